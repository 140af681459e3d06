"""500 codes that mean harm are scanned, and as many texts printed: nothing of them acts anywhere."""

from __future__ import annotations

import base64
import json
import random
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from agent.booking import checkout_of
from agent.cli.members import members_command
from agent.cli.parse_scan import parse_scan_command
from agent.cli.queue import Asked, queue_command
from agent.desk import Desk
from agent.scans import ScanIntake
from agent.view import PageState, PlaceView
from drivers.scanning.driver import ScanEvent
from drivers.scanning.scan import parse_scan
from loyalty.identification import IdentificationRule, normal_code
from sync.loop import LookedUp
from sync.store.reading import MAX_LISTED
from tests.agent.shop import BOOT, Shop, at, never, receipt
from tests.faults.evidence import all_logs
from tests.faults.hostile import WRITTEN, hostile_codes

COUNT = 500
ACTING = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# All that a member code may be made of; none of it means anything to a page, a database or a shell.
HARMLESS = set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/+$%@=~")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
GREEDY = (
    IdentificationRule(name="pages", kind="wallet", pattern="https://club.example/m/{code}*"),
    IdentificationRule(name="serials", ai="21"),
    IdentificationRule(name="swipes", symbologies=("magstripe",)),
    IdentificationRule(name="all", symbologies=("unknown", "qr", "code128", "code39", "datamatrix")),
)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.close()


def hostile(seed: int) -> list[str]:
    print("seed", seed)
    return hostile_codes(COUNT, random.Random(seed))


def raw_of(code: str) -> bytes:
    """As a scanner sends it: half of a surrogate pair is three bytes that are no UTF-8."""
    return code.encode(errors="surrogatepass")


def acting(text: str) -> list[str]:
    """Characters that a terminal, a page or an editor acts on."""
    return [character for character in text if unicodedata.category(character) in ACTING]


def desk_of(shop: Shop) -> Desk:
    return Desk(
        language="en",
        place=PlaceView(store="12", register="3"),
        clock=lambda: at(10),
        find_member=shop.store.member_by_code,
        checkout=checkout_of(shop.store, BOOT),
        schedule=never,
    )


def test_there_are_as_many_as_are_asked_for_and_each_seed_gives_its_own() -> None:
    codes = hostile_codes(COUNT, random.Random(7))

    assert len(set(codes)) == COUNT
    assert set(WRITTEN) <= set(codes)
    assert codes == hostile_codes(COUNT, random.Random(7)) != hostile_codes(COUNT, random.Random(8))


@pytest.mark.parametrize("rules", [(), GREEDY], ids=["no rules", "greedy rules"])
def test_a_scan_of_one_says_nothing_that_acts(rules: Sequence[IdentificationRule]) -> None:
    seed = random.randrange(2**32)
    for code in hostile(seed):
        for raw in (code, raw_of(code)):
            scan = parse_scan(raw, rules)

            document = msgspec.json.encode(scan.document()).decode()
            assert acting(document) == [], f"seed {seed}: {code!r}"
            assert json.loads(document)["text"] == scan.text, f"seed {seed}: {code!r}"
            member = scan.member
            if member is not None:
                assert set(member.code) <= HARMLESS, f"seed {seed}: {code!r}"
                assert not member.code.startswith(FORMULA_STARTS), f"seed {seed}: {code!r}"
                assert len(member.code) <= 64, f"seed {seed}: {code!r}"


@pytest.mark.parametrize("rules", [(), GREEDY], ids=["no rules", "greedy rules"])
async def test_store_page_and_log_take_no_harm(
    shop: Shop, rules: Sequence[IdentificationRule], caplog: pytest.LogCaptureFixture
) -> None:
    # given
    seed = random.randrange(2**32)
    codes = hostile(seed)
    await shop.seed()
    desk = desk_of(shop)
    asked: list[str] = []

    async def centre(code: str) -> LookedUp:
        asked.append(code)
        return LookedUp()

    intake = ScanIntake(store=shop.store, desk=desk, lookup=centre, guesses=lambda: not rules)
    files = {file for file in shop.folder.rglob("*") if "state" not in file.parts}

    # when each is scanned
    with all_logs(caplog) as told:
        for number, code in enumerate(codes):
            scan = parse_scan(raw_of(code), rules)
            await intake.take(ScanEvent(scan=scan, at=at(number / 100), reader="counter"))
            await intake.settled()

            # then the page says whose card it may be by four harmless characters
            page = desk.told.decode()
            assert acting(page) == [], f"seed {seed}: {code!r}"
            customer = msgspec.json.decode(page, type=PageState).customer
            if customer is not None:
                assert set(customer.ending) <= HARMLESS, f"seed {seed}: {code!r}"
                assert len(customer.ending) <= 4, f"seed {seed}: {code!r}"

    # and only codes were kept and asked for, nothing was logged of them, nothing else written
    kept = [scan.code for scan in shop.store.unused_scans()]
    assert all(set(code) <= HARMLESS and len(code) <= 64 for code in (*kept, *asked)), f"seed {seed}"
    assert not any(text in line for line in told for text in (*kept, *WRITTEN) if len(text) > 8), f"seed {seed}"
    assert [line for line in told if acting(line)] == [], f"seed {seed}"
    assert {file for file in shop.folder.rglob("*") if "state" not in file.parts} == files

    # and the next member is known as ever
    assert shop.store.count_members() == 2
    await intake.take(ScanEvent(scan=parse_scan("]C0TS1001"), at=at(10), reader="counter"))
    shown = desk.state().customer
    assert shown is not None
    assert shown.standing == "known"


def printable(text: str) -> bytes:
    """As a till would print it: in its code page, without its own line ends and commands."""
    kept = "".join(character for character in text if character.isprintable())[:200]
    return kept.encode("cp852", errors="replace")


async def test_what_is_printed_and_set_aside_is_inert_in_every_listing_and_export(
    shop: Shop, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    # given receipts with such texts, and paper that is no receipt at all
    seed = random.randrange(2**32)
    codes = hostile(seed)
    await shop.seed()
    with all_logs(caplog) as told:
        for number, code in enumerate(codes[:100], start=1):
            shop.print(receipt(number).replace(b"KAFA", b"KAFA " + printable(code)))
            shop.print(b"\x1b@MYSTERY " + raw_of(code)[:500] + b"\n\x1dV\x00")
        await shop.take_all()
    shop.close()
    config = shop.folder / "tillside.toml"
    config.write_text('[register]\nstore = "12"\nregister = "3"\n[paths]\nstate = "state"\n')

    def said(action: str, ident: str | None = None, *, as_json: bool = False) -> str:
        assert queue_command(Asked(action=action, ident=ident, as_json=as_json), str(config)) in (0, 4)
        return capsys.readouterr().out

    # then lists show nothing that acts
    for as_json in (False, True):
        listing = said("list", as_json=as_json)
        assert [acting(line) for line in listing.splitlines() if acting(line)] == [], f"seed {seed}"
    for number in range(1, 40):
        assert acting(said("show", f"e{number}").rstrip("\n")) == [], f"seed {seed}"
        for line in said("show", str(number)).splitlines():
            assert acting(line) == [], f"seed {seed}"
        assert acting(said("show", str(number), as_json=True).rstrip("\n")) == [], f"seed {seed}"

    # and the export is one JSON document a line, with the bytes in base64
    exported = [json.loads(line) for line in said("export").splitlines()]
    assert len(exported) > 50, f"seed {seed}"
    for item in exported:
        plain = {key: value for key, value in item.items() if key != "raw_base64"}
        assert acting(json.dumps(plain, ensure_ascii=False)) == [], f"seed {seed}"
        assert base64.b64decode(item["raw_base64"], validate=True).startswith(b"\x1b@"), f"seed {seed}"
        assert not any(str(value).startswith(FORMULA_STARTS) for value in plain.values()), f"seed {seed}"
    assert [line for line in told if acting(line)] == [], f"seed {seed}"


async def test_asking_for_one_finds_nobody_and_changes_nothing(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    seed = random.randrange(2**32)
    codes = hostile(seed)
    await shop.seed()
    shop.close()
    config = shop.folder / "tillside.toml"
    config.write_text('[paths]\nstate = "state"\n')

    # An argument of a process holds no zero, and bytes that are no text come as half surrogates.
    queries = [raw_of(code).replace(b"\x00", b"").decode(errors="surrogateescape") for code in codes]
    for code in [query for query in queries if not "TS1001".startswith(normal_code(query))][:80]:
        for action in ("find", "show"):
            for as_json in (False, True):
                exit_code = members_command(action=action, query=code, config=str(config), as_json=as_json)
                said = capsys.readouterr()
                assert exit_code in (1, 2), f"seed {seed}: {code!r}"
                assert "m-ana" not in said.out, f"seed {seed}: {code!r}"
                assert [c for c in acting(said.out + said.err) if c != "\n"] == [], f"seed {seed}: {code!r}"


def test_the_command_line_shows_one_without_obeying_it(capsys: pytest.CaptureFixture[str]) -> None:
    seed = random.randrange(2**32)
    codes = hostile(seed)
    capsys.readouterr()
    for code in codes:
        assert parse_scan_command(text=raw_of(code).hex(), hex=True, as_json=True) in (0, 1)
        line, rest = capsys.readouterr().out.split("\n", maxsplit=1)
        assert rest == "", f"seed {seed}: {code!r}"
        assert acting(line) == [], f"seed {seed}: {code!r}"


async def test_the_store_is_whole_after_all_of_them(shop: Shop) -> None:
    seed = random.randrange(2**32)
    await shop.seed()
    for number, code in enumerate(hostile(seed)):
        member = parse_scan(raw_of(code), GREEDY).member
        if member is not None:
            await shop.scan(member.code, number)
    shop.print(receipt(1), 501)
    await shop.take_all()

    assert shop.store.queue(limit=MAX_LISTED)
    shop.reopen()
    assert shop.store.status().recovered is None
    assert shop.store.count_members() == 2
