"""200 payment card numbers of every issuer, scanned, swiped and printed: none is kept whole, no sale is lost."""

from __future__ import annotations

import json
import random
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
from msgspec import UNSET

from agent.booking import checkout_of
from agent.desk import Desk
from agent.scans import ScanIntake
from agent.store_inspection import ignored_of
from agent.view import PlaceView
from drivers.scanning.driver import ScanEvent
from drivers.scanning.scan import parse_scan
from loyalty.identification import IdentificationRule
from loyalty.pan import _ISSUER_RANGES, first_pan, luhn_holds, masked
from sync.loop import LookedUp
from tests.agent.shop import BOOT, Shop, at, never, receipt
from tests.faults.evidence import all_logs, file_bytes, store_values, wire_entries

COUNT = 200
# Rules that fit such numbers, and fix too little to say that they are the shop's.
LOOSE = (
    IdentificationRule(name="pages", pattern="https://club.example/m/{code}*"),
    IdentificationRule(name="serials", ai="21"),
    IdentificationRule(name="fours", prefixes=("4", "51", "601")),
    IdentificationRule(name="wide", ranges=(("3000", "6999"), ("2000", "2999"))),
    IdentificationRule(name="sixteen", lengths=(13, 14, 15, 16, 19), check_digit="luhn"),
    IdentificationRule(name="swipes", kind="wallet", symbologies=("magstripe",)),
)
CLUB = IdentificationRule(
    name="club", ranges=(("601100", "601100"), ("900012", "900018")), lengths=(16,), check_digit="luhn"
)
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.close()


def with_check_digit(payload: str) -> str:
    return next(payload + digit for digit in "0123456789" if luhn_holds(payload + digit))


def card_numbers(count: int, chance: random.Random) -> list[str]:
    """Different numbers, in turn of each issuer's range and each length there."""
    kinds = [(first, last, length) for first, last, lengths in _ISSUER_RANGES for length in sorted(lengths)]
    numbers: dict[str, None] = {}
    while len(numbers) < count:
        first, last, length = kinds[len(numbers) % len(kinds)]
        beginning = str(chance.randint(int(first), int(last)))
        filler = "".join(chance.choices("0123456789", k=length - len(beginning) - 1))
        number = with_check_digit(beginning + filler)
        if first_pan(number) == number:  # a valid EAN-13 is none
            numbers[number] = None
    return list(numbers)


def some_cards(count: int = COUNT) -> tuple[int, list[str]]:
    seed = random.randrange(2**32)
    print("seed", seed)
    return seed, card_numbers(count, random.Random(seed))


def grouped(number: str, separator: str, sizes: Sequence[int] = (4, 4, 4, 4, 4)) -> str:
    groups, at = [], 0
    for size in sizes:
        groups.append(number[at : at + size])
        at += size
    return separator.join(filter(None, groups))


def checked(track: str) -> str:
    first = 0x20 if track[0] == "%" else 0x30
    check = 0
    for character in track.replace("+", ";"):
        check ^= ord(character) - first
    return track + chr(first + check)


def scanned_forms(card: str) -> Iterator[str]:
    """The ways in which a card number can reach a register through its readers."""
    track_1, track_2, track_3 = f"%B{card}^DOE/JANE^25121010000?", f";{card}=25121010000?", f";01{card}=724724100?"
    yield from (card, f"]C0{card}", f"]X0{card}", f"]A0{card}", f"]E0{card}", f"M{card}", f"29 {card}")
    yield from (f"]Q1{grouped(card, separator)}" for separator in (" ", "-", ".", "\u00a0", "\u2009", "\u2011"))
    yield grouped(card, " ", (4, 6, 9))
    yield card.translate(ARABIC)
    yield f"{card[:5]}\u200b{card[5:]}"
    yield f"]Q1https://pay.example/?pan={card}&x=1"
    yield f"]Q1https://club.example/m/{card}"
    yield f"]Q1https://pay.example/?pan={quote(grouped(card, ' '))}"
    yield f"]Q1https://id.example/01/09501101530003/21/{card}"
    yield f"]Q1BEGIN:VCARD\nNOTE:{card}\nEND:VCARD"
    yield f']Q1{{"pan":"{card}","name":"DOE"}}'
    yield f"]C121{card}"
    yield f"]d2010950110153000321{card}\x1d10A"
    yield f"010950110153000310A<GS>240{card}"
    yield from (track_1, track_2, track_3, track_3.replace(";", "+"), track_1 + track_2, f"{track_1}\r{track_2}")
    yield checked(track_1) + checked(track_2) + checked(track_3)
    yield f"%E?{track_2}"
    yield f"%M77?{track_2}"
    yield track_1.lower()
    yield track_1[:40]
    yield f"%B{grouped(card, ' ')}^DOE/JANE^2512101?"


def digits_in(haystack: bytes) -> str:
    """All digits in order, of whatever script, without anything between: no number hides in groups."""
    as_bytes = re.sub(r"\D", "", haystack.decode("latin-1"))
    as_text = re.sub(r"\D", "", haystack.decode(errors="replace"))
    return f"{as_bytes} {''.join(str(unicodedata.decimal(digit)) for digit in as_text)}"


def test_what_looks_for_numbers_finds_them() -> None:
    """The other tests stand on this one."""
    seed, cards = some_cards()
    for card in cards:
        for form in scanned_forms(card):
            assert card in digits_in(form.encode()) or "%20" in form, f"seed {seed}: {form!r}"
        assert card not in digits_in(masked(card).encode())


@pytest.mark.parametrize("rules", [(), LOOSE], ids=["no rules", "loose rules"])
def test_no_scan_keeps_a_number(rules: Sequence[IdentificationRule]) -> None:
    seed, cards = some_cards()
    for card in cards:
        for form in scanned_forms(card):
            for raw in (form, form.encode()):
                scan = parse_scan(raw, rules)

                assert card not in digits_in(repr(scan).encode()), f"seed {seed}: {form!r}"
                assert scan.member is None, f"seed {seed}: {form!r}"
                assert "payment_card" in scan.problems, f"seed {seed}: {form!r}"
                assert "DOE" not in scan.text.upper(), f"seed {seed}: {form!r}"


async def test_no_number_that_is_scanned_reaches_store_page_or_log(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    # given
    seed, cards = some_cards()
    await shop.seed()
    asked: list[str] = []

    async def centre(code: str) -> LookedUp:
        asked.append(code)
        return LookedUp()

    desk = Desk(
        language="en",
        place=PlaceView(store=None, register=None),
        clock=lambda: at(10),
        find_member=shop.store.member_by_code,
        checkout=checkout_of(shop.store, BOOT),
        schedule=never,
    )
    intake = ScanIntake(store=shop.store, desk=desk, lookup=centre, guesses=lambda: True)
    pages: set[bytes] = set()

    # when every card is scanned and swiped, and members in between
    with all_logs(caplog) as told:
        for number, card in enumerate(cards):
            for form in scanned_forms(card):
                await intake.take(ScanEvent(scan=parse_scan(form.encode()), at=at(number), reader="counter"))
                pages.add(desk.told)
            await intake.take(ScanEvent(scan=parse_scan("]C0TS1001"), at=at(number), reader="counter"))
        await intake.settled()

    # then only the members' scans are there
    assert asked == []
    assert {scan.code for scan in shop.store.unused_scans()} <= {"TS1001"}
    shop.close()
    left = digits_in(b"\n".join([*pages, *(line.encode() for line in told), *store_values(shop.folder / "state")]))
    raw = file_bytes(shop.folder / "state")
    for card in cards:
        assert card not in left, f"seed {seed}: {card}"
        assert card.encode() not in raw, f"seed {seed}: {card}"


def printed(number: int, card: str, chance: random.Random) -> bytes:
    """A sale with the number somewhere on the paper."""
    track_2, track_3 = f";{card}=25121010000?", f";01{card}=724724100?"
    text = chance.choice(
        [
            card,
            grouped(card, " "),
            grouped(card, "-"),
            grouped(card, " ", (4, 6, 9)),
            f"%B{card}^DOE^2512?",
            track_2,
            track_3,
        ]
    )
    sale = receipt(number)
    match chance.randrange(6):
        case 0:
            return sale.replace(b"KAFA", f"GIFT {text}".encode())
        case 1:
            return receipt(number, tail=f"VISA {text}\nAUTH 123456\n")
        case 2:
            return receipt(number, head=f"CUSTOMER {text}\n")
        case 3:
            return receipt(number, tail=f"MEMBER {text}\n")
        case 4:
            return sale.replace(b"SUPERMARKET", f"SHOP {text}".encode())
        case _:
            return receipt(number, tail=f"\x1dk\x49{chr(len(text))}{text}\n")  # as a Code 128


def as_json(number: int, card: str, chance: random.Random) -> bytes:
    """The same from a POS that writes the contract's JSON."""
    line = {"position": 1, "kind": "goods", "description": "KAFA", "quantity": "1", "amount_minor": 26828}
    document: dict[str, object] = {
        "kind": "sale",
        "status": "final",
        "store": "12",
        "register": "3",
        "number": f"J{number}",
        "business_day": "2026-11-22",
        "currency": "RSD",
        "total_minor": 26828,
        "lines": [line],
        "tenders": [{"kind": "card", "description": "VISA", "amount_minor": 26828}],
    }
    match chance.randrange(5):
        case 0:
            line["description"] = f"GIFT {grouped(card, ' ')}"
        case 1:
            document["tenders"] = [{"kind": "card", "description": f"VISA {card}", "amount_minor": 26828}]
        case 2:
            document["member"] = {"code": card, "kind": "card", "entry": "swiped"}
        case 3:
            document["operator"] = f";{card}=2512?"
        case _:
            line["sku"] = card
            line["tags"] = [card]
    return json.dumps({"receipts": [document]}).encode()


async def test_every_sale_is_kept_and_no_number_on_its_receipt(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    # given 200 sales on paper and 200 in JSON, a payment card's number on each, and paper that cannot be read
    seed, cards = some_cards()
    chance = random.Random(seed)
    await shop.seed()
    intake = shop.intake()

    # when
    with all_logs(caplog) as told:
        for number, card in enumerate(cards, start=1):
            await shop.scan("TS1001", number * 10)
            shop.print(printed(number, card, chance), number * 10 + 1)
            shop.print(as_json(number, card, chance), number * 10 + 2)
            if number % 10 == 0:
                bold = f"{card[:6]}\x1bE\x01{card[6:]}\x1bE\x00"
                shop.print(f"\x1b@MYSTERY {card}\n{grouped(card, ' ')}\n{bold}\n\x1dV\x00".encode(), number * 10 + 3)
                shop.print(b'{"receipts":[{"kind":"sale","pan":' + card.encode(), number * 10 + 4)
            await intake.take_new()

    # then each of them is there, with its total and its member
    bodies = shop.bodies()
    assert len(bodies) == 2 * COUNT, f"seed {seed}: {ignored_of(shop.store)}, {shop.store.quarantined()}"
    assert {body.receipt.total_minor for body in bodies} == {26828}, f"seed {seed}"
    assert sum(body.member == "m-ana" for body in bodies) == COUNT, f"seed {seed}"
    assert len(shop.store.quarantined()) >= 2 * COUNT // 10, f"seed {seed}"

    # and no number is: not on the wire, not in rows, not in any file's bytes, not in a log
    sent = digits_in(await wire_entries(shop.store))
    values = [bytes(shop.store.quarantined_raw(item.id) or b"") for item in shop.store.quarantined()]
    files = [file_bytes(shop.folder / "state")]  # with the write-ahead log, before it is folded in
    shop.close()
    values += store_values(shop.folder / "state")
    files.append(file_bytes(shop.folder / "state"))
    kept = digits_in(b"\n".join([*values, *(line.encode() for line in told)]))
    for card in cards:
        assert card not in sent, f"seed {seed}: {card}"
        assert card not in kept, f"seed {seed}: {card}"
        assert not any(card.encode() in raw for raw in files), f"seed {seed}: {card}"


async def test_a_number_that_was_kept_would_be_found(shop: Shop) -> None:
    """The test above can fail."""
    card = "4111111111111111"
    await shop.store.write(
        lambda writing: writing.quarantine("printer", "planted", "4111 1111 1111 1111", card.encode())
    )
    shop.print(receipt(1).replace(b"KAFA", b"CAKE"))
    await shop.take_all()
    wire = await wire_entries(shop.store)
    shop.close()

    values = store_values(shop.folder / "state")
    assert sum(card in digits_in(value) for value in values) == 3  # the detail, and the bytes as they are and unpacked
    assert any(b"CAKE" in value for value in values)  # compressed in its row
    assert b"CAKE" in wire


def test_products_are_no_payment_cards() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    beginnings = [first for first, _, lengths in _ISSUER_RANGES if 13 in lengths]
    for number in range(COUNT):
        payload = (beginnings[number % len(beginnings)] + "".join(chance.choices("0123456789", k=12)))[:12]
        check = -sum(int(digit) * (1, 3)[index % 2] for index, digit in enumerate(payload)) % 10
        for rules in ((), LOOSE[:2]):
            for aim in ("", "]E0"):
                scan = parse_scan(f"{aim}{payload}{check}", rules)
                assert scan.identifier is not None, f"seed {seed}: {payload}{check}"
                assert (scan.identifier.kind, scan.text) == ("gtin", f"{payload}{check}"), f"seed {seed}"


async def test_the_shops_own_cards_are_members_on_every_way_in(shop: Shop) -> None:
    # given cards of the shop's ranges, one of which lies in an issuer's
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    beginnings = ["601100", *(f"90001{digit}" for digit in "2345678")]
    cards = [
        with_check_digit(beginnings[number % 8] + "".join(chance.choices("0123456789", k=9))) for number in range(COUNT)
    ]
    await shop.seed()

    # when they are scanned, swiped and printed
    for number, card in enumerate(cards, start=1):
        for form in (card, f"]C0{grouped(card, ' ')}", f";{card}=9912?", f"%B{card}^DOE/J^9912101?;{card}=9912101?"):
            member = parse_scan(form, (CLUB,)).member
            assert member is not None, f"seed {seed}: {form}"
            assert (member.code, member.claimed) == (card, True), f"seed {seed}: {form}"
        shop.print(receipt(number, tail=f"MEMBER {card}\nVISA 4111111111111111\n"), number * 10)
    intake = shop.intake(identification=lambda: (CLUB,))
    await intake.take_new()

    # then they are members', and payment cards beside them are still masked
    bodies = shop.bodies()
    assert [body.receipt.member.code for body in bodies if body.receipt.member is not UNSET] == cards, f"seed {seed}"
    assert b"4111111111111111" not in msgspec.json.encode(bodies)
