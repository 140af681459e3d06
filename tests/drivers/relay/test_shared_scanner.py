"""A scanner and its POS see each other through the relay as they would without it, whatever goes and comes back."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from drivers.receipts.spool_source import SpoolPosition, SpoolReader
from drivers.relay.announce import Announcer
from drivers.relay.arguments import ToPos
from drivers.relay.clock import system_clock
from drivers.relay.keeper import SCANNED, JobKeeper
from drivers.relay.pos_outbox import PosOutbox
from drivers.relay.rules_in_force import RULES_NAME, RulesInForce
from drivers.relay.scan_records import ScanRecords
from drivers.relay.scanner_passage import ScannerPassage
from drivers.relay.shared_scanner import Ends, SharedScanner
from drivers.relay.spool import Origin, SpoolWriter
from drivers.relay.status import ScannerFacts, ScannerFigures, StatusFile
from drivers.transport.memory import MemoryTransport, memory_pair
from loyalty.pan import luhn_holds
from tests.drivers.receipts.codes import HR_URL, SI_DIGITS

GOODS = b"]E04006381333931\r"
MEMBER = b"]C0M001234\r"
GUESS = b"]C0X999\r"
CARD = b"]C04111111111111111\r"
RULES: list[dict[str, object]] = [{"name": "club", "prefixes": ["M"], "lengths": [7]}]
WAIT_S = 20.0


class Counter:
    """A scanner, the relay and a POS on a counter. `scanner` and `pos` are what the devices themselves hold."""

    def __init__(self, folder: Path, scanner: MemoryTransport, pos: MemoryTransport, figures: ScannerFigures) -> None:
        self.folder = folder
        self.scanner = scanner
        self.pos = pos
        self.figures = figures
        self.got = b""

    async def pos_gets(self, expected: bytes) -> None:
        """Reads until the POS has these bytes, all in all."""
        async with asyncio.timeout(WAIT_S):
            while len(self.got) < len(expected):
                self.got += await self.pos.read()
        assert self.got == expected

    async def scanner_hears(self, count: int) -> bytes:
        heard = b""
        async with asyncio.timeout(WAIT_S):
            while len(heard) < count:
                heard += await self.scanner.read()
        return heard

    async def kept(self, count: int) -> list[bytes]:
        """The codes in the scans' folder, once there are so many."""
        reader = SpoolReader(self.folder)
        async with asyncio.timeout(WAIT_S):
            while len(jobs := reader.read_after(SpoolPosition())) < count:
                await reader.changed()
        reader.close()
        return [job.payload for job in jobs]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110  real threads and timers change it
            await asyncio.sleep(0.002)


@asynccontextmanager
async def counter(
    folder: Path,
    *,
    rules: list[dict[str, object]] | None = RULES,
    to_pos: ToPos = "others",
    sync: Callable[[int], None] = os.fdatasync,
    judge: Callable[[bytes], object] | None = None,
    waits_s: float = WAIT_S,
    pos_is_open: bool = True,
) -> AsyncIterator[Counter]:
    """A relay in this process between two wires in memory."""
    if rules is not None:
        (folder / RULES_NAME).write_text(json.dumps({"rules": rules}))
    scanner, scanner_port = memory_pair()
    pos, pos_port = memory_pair()
    await scanner.open()
    await pos.open()
    if not pos_is_open:
        pos.unplug()
    figures = ScannerFigures()
    facts = ScannerFacts(pid=1, scanner="scanner", pos="pos", register="3", started_at=system_clock().wall)
    status = StatusFile(folder, facts, figures)
    announcer = Announcer(as_json=True)
    writer = SpoolWriter(folder, cap_bytes=10_000_000, sync=sync)
    keeper = JobKeeper(writer=writer, status=status, announcer=announcer, wording=SCANNED, retry_every_s=0.01)
    keeper.start()
    in_force = RulesInForce(folder, to_pos=to_pos, status=status, announcer=announcer)
    in_force.look()
    shared = SharedScanner(
        Ends(scanner=scanner_port, pos=pos_port, pos_retry_s=0.005),
        ScannerPassage(judge=judge or in_force.judge, may_withhold=in_force.may_withhold),  # type: ignore[arg-type]
        ScanRecords(
            keeper=keeper,
            origin=Origin(register="3", connection="1-scanner", boot="boot"),
            status=status,
            announcer=announcer,
            scanner_name="scanner",
            pos_name="pos",
        ),
        clock=system_clock,
        outbox=PosOutbox(waits_s=waits_s),
        retry_every_s=0.005,
    )
    stop = asyncio.Event()
    carrying = asyncio.create_task(shared.run(stop))
    try:
        yield Counter(folder, scanner, pos, figures)
    finally:
        stop.set()
        await carrying
        await asyncio.to_thread(keeper.close, WAIT_S)


def content_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def events(errors: str) -> list[str]:
    return [json.loads(line)["event"] for line in errors.splitlines()]


async def test_goods_and_guesses_and_payment_cards_reach_the_pos_and_a_members_code_does_not(tmp_path: Path) -> None:
    async with counter(tmp_path) as shop:
        for code in (GOODS, MEMBER, GUESS, CARD, GOODS):
            await shop.scanner.write(code)
        await shop.pos_gets(GOODS + GUESS + CARD + GOODS)

        assert await shop.kept(2) == [MEMBER.strip(), GUESS.strip()]
        assert (shop.figures.passed, shop.figures.withheld) == (4, 1)
    assert b"4111111111111111" not in content_of(tmp_path)


async def test_a_fiscal_receipts_code_reaches_the_pos_and_the_agent_alike(tmp_path: Path) -> None:
    async with counter(tmp_path) as shop:
        code = b"]Q1" + HR_URL.encode() + b"\r"
        await shop.scanner.write(GOODS + code + b"]Q1" + SI_DIGITS.encode() + b"\r")
        await shop.pos_gets(GOODS + code + b"]Q1" + SI_DIGITS.encode() + b"\r")

        assert (await shop.kept(1))[0] == code.strip()
        assert shop.figures.withheld == 0


async def test_without_rules_the_pos_gets_everything_and_the_agent_its_guesses(tmp_path: Path) -> None:
    async with counter(tmp_path, rules=None) as shop:
        await shop.scanner.write(GOODS + MEMBER)
        await shop.pos_gets(GOODS + MEMBER)

        assert await shop.kept(1) == [MEMBER.strip()]


@pytest.mark.parametrize(
    ("to_pos", "rules"), [("all", RULES), ("others", [{**RULES[0], "to_pos": True}])], ids=["all", "rule"]
)
async def test_the_pos_gets_members_codes_too_where_that_is_set(
    to_pos: ToPos, rules: list[dict[str, object]], tmp_path: Path
) -> None:
    async with counter(tmp_path, rules=rules, to_pos=to_pos) as shop:
        await shop.scanner.write(MEMBER)
        await shop.pos_gets(MEMBER)

        assert await shop.kept(1) == [MEMBER.strip()]


async def test_what_the_pos_says_reaches_the_scanner(tmp_path: Path) -> None:
    async with counter(tmp_path) as shop:
        await shop.pos.write(b"\x07")

        assert await shop.scanner_hears(1) == b"\x07"


async def test_a_code_without_a_suffix_reaches_the_pos_all_the_same(tmp_path: Path) -> None:
    async with counter(tmp_path) as shop:
        await shop.scanner.write(GOODS.strip())

        await shop.pos_gets(GOODS.strip())


async def test_a_judge_that_fails_lets_codes_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(code: bytes) -> object:
        raise RuntimeError(code)

    async with counter(tmp_path, judge=broken) as shop:
        await shop.scanner.write(MEMBER + GOODS)
        await shop.pos_gets(MEMBER + GOODS)

    errors = capsys.readouterr().err
    assert "code_not_judged" in events(errors)
    assert "M001234" not in errors, "no code in the log"


async def test_a_disk_that_hangs_delays_no_code(tmp_path: Path) -> None:
    is_asked, may_answer = threading.Event(), threading.Event()

    def hanging(_handle: int) -> None:
        is_asked.set()
        may_answer.wait(WAIT_S)

    async with counter(tmp_path, sync=hanging) as shop:
        await shop.scanner.write(MEMBER)
        assert await asyncio.to_thread(is_asked.wait, WAIT_S)
        for _ in range(50):
            await shop.scanner.write(GOODS + MEMBER)
        await shop.pos_gets(GOODS * 50)
        may_answer.set()

        assert await shop.kept(51) == [MEMBER.strip()] * 51


async def test_a_scanner_that_is_unplugged_is_taken_up_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with counter(tmp_path) as shop:
        await shop.scanner.write(GOODS)
        await shop.pos_gets(GOODS)
        shop.scanner.unplug()
        await until(lambda: bool(shop.figures.scanner_trouble))
        await shop.scanner.close()
        shop.scanner.plug_in()
        await shop.scanner.open()
        await until(lambda: not shop.figures.scanner_trouble)
        await shop.scanner.write(MEMBER + GOODS)
        await shop.pos_gets(GOODS * 2)

        assert await shop.kept(1) == [MEMBER.strip()]
    assert [event for event in events(capsys.readouterr().err) if event.startswith("scanner")] == [
        "scanner_away",
        "scanner_there",
    ]


async def test_half_a_code_of_an_unplugged_scanner_goes_to_the_pos_as_it_would_have(tmp_path: Path) -> None:
    async with counter(tmp_path) as shop:
        await shop.scanner.write(GOODS)
        await shop.pos_gets(GOODS)
        await shop.scanner.write(MEMBER[:5])
        shop.scanner.unplug()

        await shop.pos_gets(GOODS + MEMBER[:5])


async def test_a_pos_that_comes_back_soon_gets_what_was_scanned_meanwhile(tmp_path: Path) -> None:
    async with counter(tmp_path, pos_is_open=False) as shop:
        await shop.scanner.write(GOODS + MEMBER + GOODS)
        assert await shop.kept(1) == [MEMBER.strip()], "its absence costs no member's code"
        shop.pos.plug_in()

        await shop.pos_gets(GOODS + GOODS)
        assert shop.figures.pos_lost == 0


async def test_codes_that_the_pos_does_not_take_in_time_are_given_up_whole_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with counter(tmp_path, pos_is_open=False, waits_s=0.05) as shop:
        await shop.scanner.write(GOODS + GOODS)
        await until(lambda: shop.figures.passed == 2)
        await asyncio.sleep(0.06)
        await shop.scanner.write(GUESS)
        await until(lambda: shop.figures.pos_lost == 2)
        shop.pos.plug_in()

        await shop.pos_gets(GUESS)
    errors = capsys.readouterr().err
    assert "codes_lost_to_pos" in events(errors)
    assert "4006381333931" not in errors


async def test_a_pos_that_takes_nothing_does_not_stop_members_codes_and_gets_the_rest_later(tmp_path: Path) -> None:
    async with counter(tmp_path) as shop:
        for _ in range(10_000):  # more than the wire holds, and the outbox
            await shop.scanner.write(GOODS)
        await shop.scanner.write(MEMBER)
        assert await shop.kept(1) == [MEMBER.strip()]
        got = b""
        async with asyncio.timeout(WAIT_S):
            while shop.figures.passed < 10_000 or len(got) < (10_000 - shop.figures.pos_lost) * len(GOODS):
                got += await shop.pos.read()

        assert 0 < shop.figures.pos_lost < 10_000
        assert got == GOODS * (10_000 - shop.figures.pos_lost), "codes are given up whole"


async def test_what_is_held_goes_to_the_pos_when_the_relay_is_stopped(tmp_path: Path) -> None:
    async with counter(tmp_path) as shop:
        await shop.scanner.write(GOODS)
        await shop.pos_gets(GOODS)
        await shop.scanner.write(MEMBER[:6])
        await asyncio.sleep(0.002)

    await shop.pos_gets(GOODS + MEMBER[:6])


# The rules


def rules_of(folder: Path, figures: ScannerFigures | None = None) -> RulesInForce:
    """The rules that are in a folder now."""
    facts = ScannerFacts(pid=1, scanner="scanner", pos="pos", register="3", started_at=system_clock().wall)
    status = StatusFile(folder, facts, figures or ScannerFigures())
    rules = RulesInForce(folder, to_pos="others", status=status, announcer=Announcer(as_json=True))
    rules.look()
    return rules


async def test_rules_are_taken_as_they_change_and_what_cannot_be_read_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = ScannerFigures()
    rules = rules_of(tmp_path, figures)
    path = tmp_path / RULES_NAME

    def look(content: bytes) -> bool:
        fresh = tmp_path / "fresh"
        fresh.write_bytes(content)
        fresh.replace(path)
        rules.look()
        return rules.judge(MEMBER.strip()).withhold

    assert (rules.may_withhold(), figures.rules_trouble) == (False, ""), "no file is no trouble"
    assert look(json.dumps({"rules": RULES}).encode())
    assert look(b'{"rules": [')
    assert figures.rules_trouble
    assert look(b'{"rules": [{"name": 7}]}')
    assert look(b"\xff" * 2_000_000)
    path.unlink()
    rules.look()
    assert rules.judge(MEMBER.strip()).withhold, "a file that is gone says nothing"
    assert not look(b'{"rules": []}')
    assert (figures.rules, figures.rules_trouble, rules.may_withhold()) == (0, "", False)
    assert {"rules_in_force", "rules_unreadable"} <= set(events(capsys.readouterr().err))


def open_files() -> int:
    """How many this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("kind", ["link", "folder", "fifo"])
def test_only_a_plain_file_is_read_as_rules(kind: str, tmp_path: Path) -> None:
    path = tmp_path / RULES_NAME
    secret = tmp_path / "elsewhere"
    secret.write_text(json.dumps({"rules": RULES}))
    if kind == "link":
        path.symlink_to(secret)
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    figures = ScannerFigures()
    rules = rules_of(tmp_path, figures)
    handles = open_files()
    rules.look()

    assert not rules.may_withhold()
    assert figures.rules_trouble
    assert open_files() == handles, "it is looked at every second, for years"


def test_a_fault_of_our_own_is_told_without_the_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = ScannerFacts(pid=1, scanner="scanner", pos="pos", register="3", started_at=system_clock().wall)
    status, announcer = StatusFile(tmp_path, facts, ScannerFigures()), Announcer(as_json=True)
    keeper = JobKeeper(
        writer=SpoolWriter(tmp_path, cap_bytes=1_000_000), status=status, announcer=announcer, wording=SCANNED
    )
    origin = Origin(register="3", connection="1-scanner", boot="boot")
    records = ScanRecords(
        keeper=keeper, origin=origin, status=status, announcer=announcer, scanner_name="scanner", pos_name="pos"
    )

    records.failed(UnicodeDecodeError("utf-8", MEMBER, 0, 1, "no such byte"))

    said = capsys.readouterr().err
    assert (events(said), "UnicodeDecodeError" in said) == (["scanner_failed"], True)
    assert MEMBER.strip().decode() not in said


def test_a_misread_card_goes_to_both(tmp_path: Path) -> None:
    (tmp_path / RULES_NAME).write_text(
        json.dumps({"rules": [{"name": "club", "prefixes": ["29"], "lengths": [13], "check_digit": "gs1"}]})
    )
    rules = rules_of(tmp_path)

    misread, right = rules.judge(b"]E02900000000013"), rules.judge(b"]E02900000000018")

    assert (misread.keep, misread.withhold) == (b"]E02900000000013", False)
    assert (right.keep, right.withhold) == (b"]E02900000000018", True)


def test_of_a_payment_card_swiped_with_a_members_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / RULES_NAME).write_text(json.dumps({"rules": [{"name": "club", "prefixes": ["29"]}]}))
    rules = rules_of(tmp_path)

    for swiped in (b";29000000000018=4111111111111111?", b"%B4111111111111111^DOE?;29000000000018=2512?"):
        kept = rules.judge(swiped).keep
        assert kept is None or b"4111111111111111" not in kept
    assert rules.judge(b";29000000000018=4111111111111111?").keep == b"29000000000018"


def payment_card(chance: random.Random) -> str:
    leading = chance.choice(["4", "51", "55", "2221", "37", "6011", "36", "3528", "62", "67"])
    length = {"37": 15, "36": 14}.get(leading, 16)
    digits = leading + "".join(chance.choices("0123456789", k=length - len(leading) - 1))
    return next(digits + last for last in "0123456789" if luhn_holds(digits + last))


@pytest.mark.parametrize("seed", range(4))
async def test_no_payment_card_is_kept_however_it_is_read_and_the_pos_gets_each(seed: int, tmp_path: Path) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    forms = [
        "{}", "]C0{}", "]Q1{}", "]d1CARD {}", "%B{}^DOE/J^2512101?", ";{}=25121010000012300000?", "CARD-{}",
        "https://club.example/m/{}", "https://club.example/m/M1?n={}", "M {} M", "]C110A\x1d21{}", "+01{}=?",
    ]  # fmt: skip
    cards = [payment_card(chance) for _ in range(50)]
    written = [
        chance.choice(forms).format(chance.choice([card, " ".join(card[at : at + 4] for at in range(0, len(card), 4))]))
        for card in cards
    ]
    wallet: dict[str, object] = {"name": "app", "kind": "wallet", "pattern": "https://club.example/m/{code}*"}
    async with counter(tmp_path, rules=[*RULES, wallet]) as shop:
        for code in written:
            await shop.scanner.write(code.encode() + b"\r")
        await shop.scanner.write(MEMBER)
        await shop.pos_gets("".join(code + "\r" for code in written).encode())
    assert MEMBER.strip() in content_of(tmp_path)
    content = re.sub(rb"[ -]", b"", content_of(tmp_path))

    assert [card for card in cards if card.encode() in content] == []


@pytest.mark.parametrize("code", [b"tillside-enrol:eyJ1cmwiOiJodHRwczovL2NlbnRyZSJ9", b"TILLSIDE-GRANT:G6VBF6AP4BK3"])
@pytest.mark.parametrize("to_pos", ["all", "others"])
async def test_a_code_of_the_registers_own_reaches_the_agent_and_no_pos_whatever_the_rules(
    tmp_path: Path, to_pos: ToPos, code: bytes
) -> None:
    async with counter(tmp_path, to_pos=to_pos, rules=[]) as shop:
        await shop.scanner.write(code + b"\r")
        await shop.scanner.write(GOODS)
        await shop.pos_gets(GOODS)

        assert await shop.kept(1) == [code]
