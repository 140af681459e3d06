"""GS1 messages are cut as the standard says, and as well as can be where a scanner left something out.

Vectors: GS1 General Specifications sections 3 and 7.8, and the public tests of the GS1 Barcode Syntax Engine. `^`
stands for the separator here, as it does there.
"""

from __future__ import annotations

import random
import string

import pytest

from drivers.scanning.element_strings import (
    MAX_SEARCHED_CHARS,
    SEPARATOR,
    element_strings,
    message_in_brackets,
    with_separators,
)
from drivers.scanning.gs1_identifiers import FORM_OF, PREDEFINED_LENGTHS


def read(message: str) -> tuple[dict[str, str], tuple[str, ...]]:
    found = element_strings(message.replace("^", SEPARATOR))
    assert found.whole == ("gs1_unparsable" not in found.problems)
    return found.values, tuple(found.problems)


@pytest.mark.parametrize(
    ("message", "values"),
    [
        ("991234", {"99": "1234"}),
        ("0112345678901231", {"01": "12345678901231"}),
        ("0112345678901231^", {"01": "12345678901231"}),
        ("0112345678901231991234", {"01": "12345678901231", "99": "1234"}),
        ("0112345678901231^991234", {"01": "12345678901231", "99": "1234"}),
        ("^^0112345678901231^^991234^^", {"01": "12345678901231", "99": "1234"}),
        ("011231231231233310ABC123^99TESTING", {"01": "12312312312333", "10": "ABC123", "99": "TESTING"}),
        (
            "011231231231233310ABC123^1199122598TESTING^97XYZ",
            {"01": "12312312312333", "10": "ABC123", "11": "991225", "98": "TESTING", "97": "XYZ"},
        ),
        ("2421", {"242": "1"}),
        ("242123456^10ABC123", {"242": "123456", "10": "ABC123"}),
        ("81111234^10ABC123", {"8111": "1234", "10": "ABC123"}),
        ("800112341234512398", {"8001": "12341234512398"}),
        ("800112341234512398^0112345678901231", {"8001": "12341234512398", "01": "12345678901231"}),
        ("7007211225", {"7007": "211225"}),
        ("7007211225211231", {"7007": "211225211231"}),
        ("800302112345678900", {"8003": "02112345678900"}),
        ("800302112345678900^10ABC123", {"8003": "02112345678900", "10": "ABC123"}),
        ("800302112345678900ABCDEFGHIJKLMNOP", {"8003": "02112345678900ABCDEFGHIJKLMNOP"}),
        ("7230123", {"7230": "123"}),
        ("7230121234567890123456789012345678", {"7230": "121234567890123456789012345678"}),
        # Variable measure trade items, section 3.6: the last digit of the identifier is the decimal point's.
        ("01950123456789033103000123", {"01": "95012345678903", "3103": "000123"}),
        (
            "01950123456789033103000195392202993^17201225",
            {"01": "95012345678903", "3103": "000195", "3922": "02993", "17": "201225"},
        ),
        ("39329780150", {"3932": "9780150"}),
        # Logistic units, section 3.2 to 3.4.
        (
            "00952012345678912345020952012345678837" + "25^10ABC123",
            {"00": "952012345678912345", "02": "09520123456788", "37": "25", "10": "ABC123"},
        ),
        ("4109520123456788420SI-1000^4219781000", {"410": "9520123456788", "420": "SI-1000", "421": "9781000"}),
        ("8018123456789012345675^8019123", {"8018": "123456789012345675", "8019": "123"}),
        ("2531231231231232TEST5678901234567", {"253": "1231231231232TEST5678901234567"}),
        ("81100123456123456111", {"8110": "0123456123456111"}),
        ("20990195012345678903", {"20": "99", "01": "95012345678903"}),
        ("21" + "!\"%&'()*+,-./:;<=>?", {"21": "!\"%&'()*+,-./:;<=>?"}),
        ("10A^10A", {"10": "A"}),
    ],
)
def test_a_message_of_the_standard_is_read_without_a_problem(message: str, values: dict[str, str]) -> None:
    assert read(message) == (values, ())
    assert list(read(message)[0]) == list(values)


@pytest.mark.parametrize(
    ("message", "values", "problem"),
    [
        ("", {}, "gs1_unparsable"),
        ("^", {}, "gs1_unparsable"),
        ("891234", {}, "gs1_unparsable"),
        ("0", {}, "gs1_unparsable"),
        ("3106000123", {}, "gs1_unparsable"),
        ("01A2345678901231", {}, "gs1_unparsable"),
        ("011234567890123A", {}, "gs1_unparsable"),
        ("011234567890123", {}, "gs1_unparsable"),
        ("011234567890123^", {}, "gs1_unparsable"),
        ("01123456789012312", {"01": "12345678901231"}, "gs1_unparsable"),
        ("01123456789012315^991234", {"01": "12345678901231", "99": "1234"}, "gs1_unparsable"),
        ("0112345678901234", {"01": "12345678901234"}, "check_digit_wrong"),
        ("2421234567", {}, "gs1_unparsable"),
        ("8111123", {}, "gs1_unparsable"),
        ("80011234123451239", {}, "gs1_unparsable"),
        ("70072112252", {}, "gs1_unparsable"),
        ("800302112345678900ABCDEFGHIJKLMNOPQ", {}, "gs1_unparsable"),
        ("723012", {}, "gs1_unparsable"),
        ("10", {}, "gs1_unparsable"),
        ("99~ABC", {"99": "~ABC"}, "gs1_value_wrong"),
        ("10LOT 7^0195012345678903", {"10": "LOT 7", "01": "95012345678903"}, "gs1_value_wrong"),
        ("0195012345678903" + "11131313", {"01": "95012345678903", "11": "131313"}, "date_wrong"),
        ("10A^10B", {"10": "A"}, "gs1_conflict"),
        # What cannot be read hides nothing that a separator parts from it.
        ("15^0195012345678903", {"01": "95012345678903"}, "gs1_unparsable"),
        ("89X^0195012345678903", {"01": "95012345678903"}, "gs1_unparsable"),
        ("0195012345678903" + "89X", {"01": "95012345678903"}, "gs1_unparsable"),
    ],
)
def test_a_fault_is_told_and_the_rest_is_read(message: str, values: dict[str, str], problem: str) -> None:
    assert read(message) == (values, (problem,))


@pytest.mark.parametrize(
    ("message", "values"),
    [
        ("10LOT123450109501101530003", {"10": "LOT12345", "01": "09501101530003"}),
        (
            "0109501101530003" + "21SERIAL1234567890" + "17261231" + "10LOT",
            {"01": "09501101530003", "21": "SERIAL1234567890", "17": "261231", "10": "LOT"},
        ),
        ("3012" + "10LOT", {"30": "12", "10": "LOT"}),
        ("8018950110153000000014" + "7242V1", {"8018": "950110153000000014", "7242": "V1"}),
        ("8005012345" + "0109501101530003", {"8005": "012345", "01": "09501101530003"}),
        ("422705" + "10LOT7", {"422": "705", "10": "LOT7"}),
        ("39220299" + "10" + "LOT", {"3922": "0299", "10": "LOT"}),
    ],
)
def test_a_missing_separator_is_noticed_where_the_field_would_overflow(message: str, values: dict[str, str]) -> None:
    assert read(message) == (values, ("separator_missing",))


def test_a_variable_field_takes_all_it_may() -> None:
    """Section 7.8: without a separator nobody can tell where a lot ends."""
    assert read("0109501101530003" + "10LOT17261231") == ({"01": "09501101530003", "10": "LOT17261231"}, ())


def test_only_one_missing_separator_is_looked_for_and_not_far() -> None:
    assert read("3012" + "10A^3012" + "10A") == ({"30": "12", "10": "A"}, ("separator_missing", "gs1_unparsable"))
    assert read("3012" + "99" + "A" * MAX_SEARCHED_CHARS) == ({}, ("gs1_unparsable",))


@pytest.mark.parametrize("written", ["\x1d", "<GS>", "{GS}", "^]"])
def test_separators_are_known_however_a_scanner_writes_them(written: str) -> None:
    assert with_separators(f"{written}10A{written}21B{written}") == "10A\x1d21B"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(01)12345678901231", "0112345678901231"),
        ("(01)12345678901231(10)12345", "0112345678901231^1012345"),
        ("(01) 12345678901231 (10) 12345 ", "0112345678901231^1012345"),
        ("(3100)123456(10)12345", "3100123456^1012345"),
        ("(10)12345(11)991225", "1012345^11991225"),
        ("(10)A(B)(5)(21)C", "10A(B)(5)^21C"),
        ("(10)(11)98765", "10^1198765"),
        ("(17)9(90)217", "179^90217"),
        ("(89)1(10)A", None),
        ("(1A)12345", None),
        ("1(10)2345", None),
        ("()12345", None),
        ("(1)12345", None),
        ("(12345)12345", None),
        ("(15", None),
        ("(", None),
        ("", None),
        ("(02) 555 123", "02555 123"),
    ],
)
def test_the_printed_form_is_a_message(text: str, message: str | None) -> None:
    assert message_in_brackets(text) == (None if message is None else message.replace("^", SEPARATOR))


def test_what_was_put_together_comes_apart_again() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    variable = [ai for ai, written in FORM_OF.items() if written.startswith("x..") and ":" not in written]
    fixed = [ai for ai, written in FORM_OF.items() if written in {"n6", "n2"} and ai[:2] in PREDEFINED_LENGTHS]
    characters = string.digits + string.ascii_letters + "!\"%&'()*+,-./:;<=>?_"
    for _ in range(2000):
        values: dict[str, str] = {}
        message = ""
        for ai in chance.sample(variable, 3) + chance.sample(fixed, 2):
            of_digits = ai in fixed
            length = int(FORM_OF[ai][1:] if of_digits else chance.randint(1, int(FORM_OF[ai][3:])))
            values[ai] = "".join(chance.choices(string.digits if of_digits else characters, k=length))
            message += ai + values[ai] + ("" if of_digits and chance.random() < 0.5 else SEPARATOR)

        assert read(message) == (values, ())
