"""A keyboard wedge and its POS on a machine in memory: there is no uinput on machines that run tests."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from drivers.receipts.spool_source import SpoolPosition, SpoolReader
from drivers.relay.announce import Announcer
from drivers.relay.arguments import ToPos
from drivers.relay.clock import system_clock
from drivers.relay.keeper import SCANNED, JobKeeper
from drivers.relay.rules_in_force import RULES_NAME, RulesInForce
from drivers.relay.scan_records import ScanRecords
from drivers.relay.scanner_passage import Verdict
from drivers.relay.shared_wedge import Rules, SharedWedge, Wedge
from drivers.relay.spool import Origin, SpoolWriter
from drivers.relay.status import ScannerFacts, ScannerFigures, StatusFile
from drivers.wedge.backend import WedgeDevice
from drivers.wedge.composer import KeyComposer
from drivers.wedge.encode import encode
from drivers.wedge.events import DOWN, UP, KeyEvent
from drivers.wedge.keymaps import KEY_LEFTSHIFT
from drivers.wedge.memory_backend import MemoryKeyboard, MemoryMachine, MemoryScanner

GOODS = "]E04006381333931"
MEMBER = "]C0M001234"
CARD = "]C04111111111111111"
RULES: list[dict[str, object]] = [{"name": "club", "prefixes": ["M"], "lengths": [7]}]
NAME = "Scanner in memory"
WAIT_S = 20.0


class Counter:
    """A wedge set to German, the relay and a POS on a counter."""

    def __init__(
        self, folder: Path, machine: MemoryMachine, scanner: MemoryScanner, figures: ScannerFigures, rules: RulesInForce
    ) -> None:
        self.folder = folder
        self.machine = machine
        self.scanner = scanner
        self.figures = figures
        self.rules = rules

    def scan(self, *codes: str) -> list[KeyEvent]:
        """Types codes one behind the other, now."""
        typed: list[KeyEvent] = []
        for code in codes:
            start_ns = max(time.monotonic_ns(), typed[-1].at_ns + 1_000_000 if typed else 0)
            typed += encode("de", code, start_ns=start_ns)
        self.scanner.type(typed)
        return typed

    async def pos_hears(self, *codes: str) -> None:
        """Until what the POS has heard, all in all, are these codes."""
        await until(lambda: len(texts(self.machine.pos)) >= len(codes))
        assert texts(self.machine.pos) == list(codes)
        assert nothing_is_down(self.machine.pos)

    async def kept(self, count: int) -> list[str]:
        reader = SpoolReader(self.folder)
        async with asyncio.timeout(WAIT_S):
            while len(jobs := reader.read_after(SpoolPosition())) < count:
                await reader.changed()
        reader.close()
        return [job.payload.decode() for job in jobs]

    async def is_grabbed(self) -> None:
        await until(lambda: self.scanner.grabbed_by is not None)


class SlowMachine(MemoryMachine):
    """A machine whose virtual keyboard is there when it may be."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked = asyncio.Event()
        self.may_settle = asyncio.Event()

    async def virtual_keyboard(self, like: WedgeDevice) -> MemoryKeyboard:
        self.is_asked.set()
        await self.may_settle.wait()
        return await super().virtual_keyboard(like)


def texts(events: Sequence[KeyEvent]) -> list[str]:
    composer = KeyComposer("de")
    return [code.text for event in events for code in composer.feed(event)]


def nothing_is_down(events: Sequence[KeyEvent]) -> bool:
    down: set[int] = set()
    for event in events:
        if event.value == DOWN:
            down.add(event.code)
        elif event.value == UP:
            assert event.code in down, "a key goes up that was never down"
            down.discard(event.code)
    return not down


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110  real timers change it
            await asyncio.sleep(0.002)


@asynccontextmanager
async def counter(
    folder: Path,
    *,
    rules: list[dict[str, object]] | None = None,
    to_pos: ToPos = "others",
    has_uinput: bool = True,
    judge: Callable[[str], Verdict] | None = None,
    machine: MemoryMachine | None = None,
) -> AsyncIterator[Counter]:
    (folder / RULES_NAME).write_text(json.dumps({"rules": RULES if rules is None else rules}))
    machine = machine or MemoryMachine()
    machine.has_uinput = has_uinput
    scanner = machine.plug_in(NAME)
    figures = ScannerFigures()
    facts = ScannerFacts(pid=1, scanner=NAME, pos="its keyboard", register="3", started_at=system_clock().wall)
    status = StatusFile(folder, facts, figures)
    announcer = Announcer(as_json=True)
    writer = SpoolWriter(folder, cap_bytes=10_000_000)
    keeper = JobKeeper(writer=writer, status=status, announcer=announcer, wording=SCANNED)
    keeper.start()
    in_force = RulesInForce(folder, to_pos=to_pos, status=status, announcer=announcer)
    in_force.look()
    shared = SharedWedge(
        Wedge(device=NAME, layout="de"),
        machine,
        Rules(judge=judge or in_force.judge, may_withhold=in_force.may_withhold),
        ScanRecords(
            keeper=keeper,
            origin=Origin(register="3", connection="1-scanner", boot="boot"),
            status=status,
            announcer=announcer,
            scanner_name=NAME,
            pos_name="its keyboard",
        ),
        clock=system_clock,
        retry_every_s=0.005,
        look_every_s=0.005,
    )
    stop = asyncio.Event()
    carrying = asyncio.create_task(shared.run(stop))
    try:
        yield Counter(folder, machine, scanner, figures, in_force)
    finally:
        stop.set()
        await carrying
        await asyncio.to_thread(keeper.close, WAIT_S)
        assert scanner.grabbed_by is None
        assert nothing_is_down(machine.pos)


async def test_goods_and_payment_cards_are_typed_on_and_a_members_code_is_not(tmp_path: Path) -> None:
    async with counter(tmp_path) as shop:
        await shop.is_grabbed()
        shop.scan(GOODS, MEMBER, CARD, GOODS)
        await shop.pos_hears(GOODS, CARD, GOODS)

        assert await shop.kept(1) == [MEMBER]
        assert (shop.figures.passed, shop.figures.withheld) == (3, 1)
    assert b"4111111111111111" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())  # noqa: ASYNC240


async def test_a_scan_is_of_the_moment_at_which_its_last_key_came(tmp_path: Path) -> None:
    async with counter(tmp_path) as shop:
        await shop.is_grabbed()
        typed = shop.scan(MEMBER)
        await shop.kept(1)
        (job,) = SpoolReader(tmp_path).read_after(SpoolPosition())

    enter_down = [event.at_ns for event in typed if event.value == DOWN][-1]
    assert job.captured.monotonic_ns == enter_down
    assert job.ended_by == "suffix"


async def test_what_people_type_goes_on_key_by_key(tmp_path: Path) -> None:
    async with counter(tmp_path) as shop:
        await shop.is_grabbed()
        typed = [
            KeyEvent(code=KEY_LEFTSHIFT, value=value, at_ns=time.monotonic_ns() + number)
            for number, value in enumerate((DOWN, UP))
        ]
        shop.scanner.type(typed)
        await until(lambda: len(shop.machine.pos) == 2)

        assert shop.machine.pos == typed


async def test_without_uinput_it_only_listens_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with counter(tmp_path, has_uinput=False) as shop:
        await until(lambda: bool(shop.figures.pos_trouble))
        shop.scan(MEMBER, GOODS)

        assert await shop.kept(1) == [MEMBER]
        await shop.pos_hears(MEMBER, GOODS)
        assert shop.scanner.grabbed_by is None
        assert shop.figures.withheld == 0
    assert "only listened to" in capsys.readouterr().err


@pytest.mark.parametrize(("rules", "to_pos"), [([], "others"), (RULES, "all")])
async def test_where_nothing_is_withheld_it_is_not_grabbed(
    rules: list[dict[str, object]], to_pos: ToPos, tmp_path: Path
) -> None:
    async with counter(tmp_path, rules=rules, to_pos=to_pos) as shop:
        await asyncio.sleep(0.02)
        shop.scan(MEMBER)

        assert await shop.kept(1) == [MEMBER]
        await shop.pos_hears(MEMBER)
        assert shop.scanner.grabbed_by is None
        assert shop.figures.pos_trouble == ""


async def test_it_is_grabbed_when_a_rule_comes_and_let_go_when_it_goes(tmp_path: Path) -> None:
    async with counter(tmp_path, rules=[]) as shop:
        (tmp_path / RULES_NAME).write_text(json.dumps({"rules": RULES}))
        shop.rules.look()
        await shop.is_grabbed()
        shop.scan(MEMBER, GOODS)
        await shop.pos_hears(GOODS)

        (tmp_path / RULES_NAME).write_text(json.dumps({"rules": []}))
        shop.rules.look()
        await until(lambda: shop.scanner.grabbed_by is None)
        shop.scan(MEMBER)
        await shop.pos_hears(GOODS, MEMBER)


async def test_keys_from_before_the_grab_are_not_typed_again(tmp_path: Path) -> None:
    # given a virtual keyboard that the system takes its time to take up
    machine = SlowMachine()
    async with counter(tmp_path, machine=machine) as shop:
        await asyncio.wait_for(machine.is_asked.wait(), WAIT_S)
        before_ns = time.monotonic_ns()
        whole = encode("de", MEMBER, start_ns=before_ns - 60_000_000)
        half = next(at for at in range(12, len(whole)) if nothing_is_down(whole[:at]))
        shop.scanner.type(encode("de", GOODS, start_ns=before_ns - 200_000_000))
        shop.scanner.type(whole[:half])
        machine.may_settle.set()
        await shop.is_grabbed()

        # when the rest of a code comes after the grab
        now_ns = time.monotonic_ns()
        rest = [
            KeyEvent(code=each.code, value=each.value, at_ns=now_ns + number)
            for number, each in enumerate(whole[half:])
        ]
        shop.scanner.type(rest)
        await shop.pos_hears(GOODS, MEMBER)
        shop.scan(MEMBER, GOODS)
        await shop.pos_hears(GOODS, MEMBER, GOODS)
        assert shop.figures.unjudged == 0


async def test_a_wedge_that_is_unplugged_is_taken_up_again(tmp_path: Path) -> None:
    async with counter(tmp_path) as shop:
        await shop.is_grabbed()
        shop.scanner.type(encode("de", MEMBER, start_ns=time.monotonic_ns())[:7])
        shop.scanner.unplug()
        await until(lambda: bool(shop.figures.scanner_trouble))
        assert nothing_is_down(shop.machine.pos), "half a code went to the POS, and no key stays down"
        shop.scanner.plug_in()
        await shop.is_grabbed()
        before = len(shop.machine.pos)
        shop.scan(MEMBER, GOODS)
        await until(lambda: texts(shop.machine.pos[before:]) == [GOODS])

        assert await shop.kept(1) == [MEMBER]


async def test_a_judge_that_fails_lets_codes_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(code: str) -> Verdict:
        raise RuntimeError(code)

    async with counter(tmp_path, judge=broken) as shop:
        await shop.is_grabbed()
        shop.scan(MEMBER, GOODS)
        await shop.pos_hears(MEMBER, GOODS)
    errors = capsys.readouterr().err
    assert "code_not_judged" in errors
    assert "M001234" not in errors, "no code in the log"


async def test_what_is_held_goes_to_the_pos_when_the_relay_is_stopped(tmp_path: Path) -> None:
    async with counter(tmp_path) as shop:
        await shop.is_grabbed()
        typed = encode("de", MEMBER, suffix=None, start_ns=time.monotonic_ns())
        shop.scanner.type(typed)
        await asyncio.sleep(0.002)

    assert shop.machine.pos == typed
