"""GS1 is read as another library reads it, wherever that one reads at all."""

from __future__ import annotations

import random
import string
from urllib.parse import quote

import pytest
from biip import ParseConfig, ParseError
from biip.gs1_digital_link_uris import GS1DigitalLinkURI
from biip.gs1_messages import GS1Message
from biip.gtin import Gtin
from biip.upc import Upc

from drivers.scanning.digital_link import read_link
from drivers.scanning.element_strings import SEPARATOR, element_strings
from drivers.scanning.gs1_identifiers import FORM_OF, PREDEFINED_LENGTHS, PRIMARY_KEYS, form
from drivers.scanning.scan import parse_scan
from loyalty.check_digit import has_valid_check_digit, upc_a_of

MESSAGES = 4_000
UNVERIFIED = ParseConfig(gs1_element_strings_verify_date=False)
SETS = {
    "n": string.digits,
    "x": string.digits + string.ascii_letters + "!\"%&'()*+,-./:;<=>?_",
    "y": string.digits + string.ascii_uppercase + "#-/",
    "z": string.digits + string.ascii_letters + "-_",
}


@pytest.fixture
def chance() -> random.Random:
    seed = random.randrange(2**32)
    print("seed", seed)
    return random.Random(seed)


def value_of(ai: str, chance: random.Random) -> str:
    """A value of the right form; what it says is by chance, but for check digits."""
    value = ""
    for component in FORM_OF[ai].split():
        written, _, test = component.strip("[]").partition(":")
        if component.startswith("[") and chance.random() < 0.5:
            break
        longest = int(written.lstrip("nxyz."))
        length = chance.randint(1, longest) if ".." in written else longest
        part = "".join(chance.choices(SETS[written[0]], k=length))
        if test == "check":
            part = next(part[:-1] + digit for digit in string.digits if has_valid_check_digit(part[:-1] + digit))
        value += part
    return value


def message_of(chance: random.Random) -> str:
    message = ""
    for ai in chance.choices(list(FORM_OF), k=chance.randint(1, 6)):
        separated = ai[:2] not in PREDEFINED_LENGTHS or chance.random() < 0.2
        message += ai + value_of(ai, chance) + (SEPARATOR if separated else "")
    return message


def damaged(text: str, chance: random.Random) -> str:
    characters = list(text)
    for _ in range(chance.randrange(3)):
        at = chance.randrange(len(characters))
        if chance.random() < 0.5:
            del characters[at:]
            characters.append("0")
        else:
            characters[at] = chance.choice(string.printable[:95] + SEPARATOR)
    return "".join(characters)


def oracle_values(message: str) -> dict[str, str] | None:
    try:
        parsed = GS1Message.parse(message, config=UNVERIFIED)
    except ParseError:
        return None
    values: dict[str, str] = {}
    for element in parsed.element_strings:
        values.setdefault(element.ai.ai, element.value)
    return values


def test_messages_are_cut_alike(chance: random.Random) -> None:
    agreed = 0
    for _ in range(MESSAGES):
        # The other library trims blanks around a message, which the standard's character set does not have.
        message = damaged(message_of(chance), chance).strip(SEPARATOR + " ")
        expected = oracle_values(message)
        found = element_strings(message)
        if not found.problems:
            # Its dates and times are checked while it reads; ours after.
            assert expected is None or expected == found.values, message
        elif found.whole and expected is not None and "separator_missing" not in found.problems:
            assert expected == found.values, message
        agreed += expected is not None and expected == found.values
    assert agreed > MESSAGES / 5


def test_whole_messages_are_cut_alike_without_exception(chance: random.Random) -> None:
    for _ in range(MESSAGES):
        message = message_of(chance).strip(SEPARATOR)
        found = element_strings(message)
        expected = oracle_values(message)

        assert found.whole, message
        assert "separator_missing" not in found.problems, message
        assert expected is None or expected == found.values, message


def test_links_are_read_alike(chance: random.Random) -> None:
    agreed = 0
    for _ in range(MESSAGES // 2):
        key = chance.choice(list(PRIMARY_KEYS))
        path = [key, value_of(key, chance)]
        for choice in PRIMARY_KEYS[key][:1]:
            for ai in choice:
                if chance.random() < 0.5:
                    path += [ai, value_of(ai, chance)]
        query = {ai: value_of(ai, chance) for ai in chance.sample(["11", "17", "3103", "99", "98", "240", "7003"], 2)}
        stem = chance.choice(["", "/stem", "/a/b"])
        link = f"https://id.example{stem}/" + "/".join(quote(part, safe="") for part in path)
        link += "?" + "&".join(f"{ai}={quote(value, safe='')}" for ai, value in query.items())
        found = read_link(link)

        assert found is not None, link
        assert "digital_link_wrong" not in found.problems, link
        try:
            elements = GS1DigitalLinkURI.parse(link, config=UNVERIFIED).element_strings
        except ParseError:
            continue
        assert {element.ai.ai: element.value for element in elements} == found.values, link
        agreed += 1
    assert agreed > MESSAGES / 8


def test_gtins_and_upcs_are_judged_alike(chance: random.Random) -> None:
    for _ in range(2000):
        digits = "".join(chance.choices(string.digits, k=chance.choice([8, 12, 13, 14])))
        try:
            Gtin.parse(digits)
            is_gtin = True
        except ParseError:
            is_gtin = False
        assert has_valid_check_digit(digits) == is_gtin
    for _ in range(2000):
        digits = chance.choice("01") + "".join(chance.choices(string.digits, k=7))
        try:
            expected = Upc.parse(digits).as_upc_a()
        except ParseError:
            expected = None
        assert upc_a_of(digits) == expected, digits


def test_every_identifier_comes_through_alone(chance: random.Random) -> None:
    for ai in FORM_OF:
        value = value_of(ai, chance)
        scan = parse_scan(f"]C1{ai}{value}")
        if "payment_card" in scan.problems:
            continue  # a number by chance

        assert scan.gs1 == {ai: value}, (ai, value)
        assert form(FORM_OF[ai]).longest >= len(value)
