"""A real scanner's terminal, a real relay, a POS and an agent that is stopped, killed and away.

Whatever becomes of the agent, of a disk or of the relay itself: the POS gets every code that is not a member's, in
order and unchanged, and no member's code is lost in silence.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import select
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from agent.demo.printer import VirtualPrinter
from agent.demo.scanner import VirtualScanner
from drivers.receipts.spool_source import SpooledJob, SpoolPosition, SpoolReader
from drivers.relay.rules_in_force import RULES_NAME
from drivers.relay.spool import STATUS_NAME
from sync.keys import keeper_for
from sync.records import ReceiptBody
from sync.store.reading import MAX_LISTED
from sync.store.store import Store
from tests.agent.shop import receipt

pytestmark = pytest.mark.processes

WAIT_S = 20.0
MAX_RSS_KB = 30 * 1024
RULE = {"name": "club", "prefixes": ["M"], "lengths": [7]}
ASK, ANSWER = b"\x10\x04\x01", b"\x12"


def goods(number: int) -> bytes:
    return b"]E0%013d\r" % (4006381000000 + number)


def member(number: int) -> bytes:
    return b"]C0M%06d\r" % number


class Pos:
    """A POS with its scanner's port open; it opens it again when it goes, as it should."""

    def __init__(self, port: Path) -> None:
        self.got = b""
        self._port = port
        self._handle: int | None = None

    def open(self) -> None:
        self._handle = os.open(self._port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        asyncio.get_running_loop().add_reader(self._handle, self._read)

    def say(self, command: bytes) -> None:
        assert self._handle is not None
        os.write(self._handle, command)

    def close(self) -> None:
        if self._handle is not None:
            asyncio.get_running_loop().remove_reader(self._handle)
            os.close(self._handle)
            self._handle = None

    async def gets(self, expected: bytes) -> None:
        await until(lambda: len(self.got) >= len(expected))
        assert self.got == expected

    def _read(self) -> None:
        assert self._handle is not None
        try:
            data = os.read(self._handle, 65536)
        except OSError:
            data = b""
        self.got += data
        if not data:
            self.close()


class Program:
    """A command of this product, as a process."""

    def __init__(self, *arguments: str, shell_first: str = "") -> None:
        self._command = [sys.executable, "-m", "agent.cli.entry", *arguments]
        if shell_first:
            self._command = ["sh", "-c", f'{shell_first}; exec "$@"', "sh", *self._command]
        self.said = ""
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self.ready: dict[str, object] = {}

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._listening = asyncio.create_task(self._listen(self._process.stderr))
        self.ready = json.loads(await asyncio.wait_for(self._process.stdout.readline(), WAIT_S))

    async def _listen(self, errors: asyncio.StreamReader) -> None:
        while line := await errors.readline():
            self.said += line.decode()

    def send(self, how: signal.Signals) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(how)

    async def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """The exit code. A stopped process is let go on first, so that SIGTERM reaches it."""
        if self._process is None or self._listening is None:
            return 0
        self.send(how)
        self.send(signal.SIGCONT)
        await asyncio.wait_for(self._listening, WAIT_S)
        return await asyncio.wait_for(self._process.wait(), WAIT_S)


class Counter:
    """Everything on one counter, in `folder`."""

    def __init__(self, folder: Path, printer: VirtualPrinter, scanner: VirtualScanner, relay: Program) -> None:
        self.folder = folder
        self.printer = printer
        self.scanner = scanner
        self.relay = relay
        self.pos = Pos(folder / "pos")
        self.agent = Program("run", "--config", str(folder / "tillside.toml"), "--json")
        self.scans = folder / "scans"

    def write_settings(self) -> None:
        (self.folder / "tillside.toml").write_text(
            f"""
[register]
store = "12"
register = "3"
currency = "RSD"
time_zone = "Europe/Belgrade"

[paths]
state = "{self.folder / "state"}"

[page]
port = {49152 + os.getpid() % 10_000}

[[identification]]
name = "club"
prefixes = ["M"]
lengths = [7]

[[scanners]]
name = "counter"
driver = "shared"
spool = "{self.scans}"

[[receipts]]
name = "printer"
spool = "{self.folder / "spool"}"
"""
        )

    def scan(self, *codes: bytes) -> None:
        for code in codes:
            self.scanner.send(code)

    async def print(self, job: bytes) -> None:
        """Print through the relay, and wait for the printer's word."""
        host, _, port = str(self.relay.ready["listening"]).rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(job + ASK)
        assert await asyncio.wait_for(reader.readexactly(1), WAIT_S) == ANSWER
        writer.close()

    def kept(self) -> list[SpooledJob]:
        reader = SpoolReader(self.scans)
        jobs: list[SpooledJob] = []
        while more := reader.read_after(jobs[-1].position if jobs else SpoolPosition()):
            jobs += more
        return jobs

    def status(self) -> dict[str, object]:
        figures: dict[str, object] = json.loads((self.scans / STATUS_NAME).read_bytes())
        return figures

    def members_of_receipts(self) -> dict[str, str]:
        """The member code of each receipt that the agent has booked, by its number. The agent must have ended."""
        state = self.folder / "state"
        store = Store.open(state / "store.db", keeper_for(state))
        try:
            bodies = [
                msgspec.json.decode(store.entry(entry.number).json, type=ReceiptBody)
                for entry in store.queue(limit=MAX_LISTED)
                if entry.kind == "receipt"
            ]
        finally:
            store.close()
        receipts = [body.receipt for body in bodies]
        return {str(each.number): each.member.code if each.member else "" for each in receipts}

    async def has_booked(self, receipts: int) -> None:
        """Until the agent has acknowledged so many jobs of the printer."""
        reader = SpoolReader(self.folder / "spool")
        jobs = reader.read_after(SpoolPosition())
        assert len(jobs) == receipts
        await until(lambda: acknowledged(self.folder / "spool") >= jobs[-1].position)


def acknowledged(folder: Path) -> SpoolPosition:
    try:
        said = json.loads((folder / "acknowledged").read_bytes())
    except FileNotFoundError:
        return SpoolPosition()
    return SpoolPosition(segment=said["segment"], offset=said["offset"])


def most_memory_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def is_readable(handle: int) -> bool:
    return bool(select.select([handle], [], [], 0)[0])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110  other processes change it
            await asyncio.sleep(0.005)


@asynccontextmanager
async def counter(
    folder: Path, *, scans: Path | None = None, shell_first: str = "", rules: bool = True
) -> AsyncIterator[Counter]:
    printer = VirtualPrinter()
    await printer.switch_on()
    scans = scans or folder / "scans"
    if rules:
        scans.mkdir(mode=0o700)
        (scans / RULES_NAME).write_text(json.dumps({"rules": [RULE]}))
    relay = Program(
        *("relay", "--listen", "127.0.0.1:0", "--printer", printer.address, "--spool", str(folder / "spool")),
        *("--scanner", str(folder / "scanner"), "--pos", f"pty:{folder / 'pos'}", "--scans", str(scans), "--json"),
        shell_first=shell_first,
    )
    with VirtualScanner(folder / "scanner") as scanner:
        shop = Counter(folder, printer, scanner, relay)
        shop.write_settings()
        await relay.start()
        shop.pos.open()
        try:
            yield shop
        finally:
            shop.pos.close()
            await shop.agent.end(signal.SIGKILL)
            await relay.end(signal.SIGKILL)
            await printer.switch_off()


async def test_the_pos_gets_its_codes_whatever_becomes_of_the_agent(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    expected, members, number = b"", [], 0
    async with counter(tmp_path) as shop:
        await shop.agent.start()
        for step in ("nothing", "stop", "go on", "kill", "nothing", "start", "kill"):
            if step in {"stop", "go on"}:
                shop.agent.send(signal.SIGSTOP if step == "stop" else signal.SIGCONT)
            elif step == "kill":
                await shop.agent.end(signal.SIGKILL)
            elif step == "start":
                await shop.agent.start()
            for _ in range(60):
                number += 1
                if chance.random() < 0.2:
                    shop.scan(member(number))
                    members.append(member(number).strip())
                else:
                    shop.scan(goods(number))
                    expected += goods(number)
                if chance.random() < 0.1:
                    await asyncio.sleep(0.002)
            number += 1
            shop.scan(goods(number))  # once the POS has it, the relay has heard every member before it
            expected += goods(number)
            await shop.pos.gets(expected)
        assert await shop.relay.end() == 0

        kept = [job.payload for job in shop.kept()]
        status = shop.status()
    # What the agent has taken the relay may have deleted, segment by segment, from the front.
    assert kept == members[len(members) - len(kept) :]
    assert (status["jobs"], status["withheld"], status["pos_lost"], status["late_codes"], status["unjudged"]) == (
        len(members), len(members), 0, 0, 0,
    )  # fmt: skip


async def test_scans_from_while_the_agent_was_away_join_the_receipts_of_their_time(tmp_path: Path) -> None:
    async with counter(tmp_path) as shop:
        await shop.agent.start()
        for number in range(1, 13):
            if number == 4:
                await shop.agent.end(signal.SIGKILL)
            if number == 8:
                await shop.agent.start()
            if number == 9:
                shop.agent.send(signal.SIGSTOP)
            shop.scan(goods(number), member(number), goods(number))
            await shop.pos.gets(b"".join(goods(each) * 2 for each in range(1, number + 1)))
            await until(lambda: len(shop.kept()) == number)  # noqa: B023
            await shop.print(receipt(number))
        shop.agent.send(signal.SIGCONT)
        await shop.has_booked(12)
        await shop.agent.end()

        assert shop.members_of_receipts() == {str(number): f"M{number:06d}" for number in range(1, 13)}


async def test_the_agents_own_rules_reach_the_relay(tmp_path: Path) -> None:
    async with counter(tmp_path, rules=False) as shop:
        shop.scan(member(1))
        await shop.pos.gets(member(1))
        await shop.agent.start()
        await until(lambda: "rules_in_force" in shop.relay.said)
        shop.scan(member(2), goods(2))

        await shop.pos.gets(member(1) + goods(2))


async def test_on_a_disk_that_takes_nothing_the_pos_gets_its_codes_and_the_loss_is_said(tmp_path: Path) -> None:
    async with counter(tmp_path, shell_first="ulimit -f 0") as shop:
        for number in range(40):
            shop.scan(goods(number), member(number))
        await shop.pos.gets(b"".join(map(goods, range(40))))
        await until(lambda: "File too large" in shop.relay.said)
        code = await shop.relay.end()

        assert code == 1
        assert "40 codes did not reach the spool" in shop.relay.said
        assert "M0000" not in shop.relay.said, "no code in the log"
        assert [path.name for path in shop.scans.glob("*.spool")] == []


async def test_a_folder_that_cannot_be_made_costs_neither_scanner_nor_printer(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    async with counter(tmp_path, scans=blocked / "scans", rules=False) as shop:
        shop.scan(goods(1))
        await shop.print(receipt(1))
        await shop.pos.gets(goods(1))
        shop.scan(b"]C0X1\r")
        await shop.pos.gets(goods(1) + b"]C0X1\r")
        assert "codes will reach the POS, but no member's code is kept" in shop.relay.said
        blocked.unlink()
        shop.scan(b"]C0X2\r")
        await shop.pos.gets(goods(1) + b"]C0X1\r]C0X2\r")
        assert await shop.relay.end() == 0

        shop.scans = blocked / "scans"
        assert [job.payload for job in shop.kept()] == [b"]C0X1", b"]C0X2"]


async def test_at_sigterm_the_pos_gets_what_is_held_before_its_port_goes(tmp_path: Path) -> None:
    async with counter(tmp_path) as shop:
        shop.scan(goods(1))
        await shop.pos.gets(goods(1))
        shop.scan(goods(2), member(3)[:6])
        await asyncio.sleep(0.001)

        assert await shop.relay.end() == 0
        # The scanner's bytes may not all have been read yet; what was read has arrived.
        await until(lambda: shop.pos._handle is None)
        assert (goods(1) + goods(2) + member(3)[:6]).startswith(shop.pos.got)
        assert not (tmp_path / "pos").is_symlink()


async def test_a_killed_relay_serves_again_after_its_restart_and_has_lost_nothing_it_spooled(tmp_path: Path) -> None:
    async with counter(tmp_path) as shop:
        expected = b""
        for number in range(1, 6):
            shop.scan(member(number), goods(number))
            expected += goods(number)
            await shop.pos.gets(expected)
            await until(lambda: len(shop.kept()) == number)  # noqa: B023
            await shop.relay.end(signal.SIGKILL)
            shop.pos.close()
            await shop.relay.start()
            shop.pos.open()

        assert [job.payload for job in shop.kept()] == [member(number).strip() for number in range(1, 6)]


async def test_a_scanner_that_is_unplugged_in_between_serves_again_and_both_ways(tmp_path: Path) -> None:
    async with counter(tmp_path) as shop:
        shop.scan(goods(1))
        await shop.pos.gets(goods(1))
        shop.scanner.unplug()
        await until(lambda: "scanner_away" in shop.relay.said)
        await shop.print(receipt(1))
        shop.scanner.plug_in()
        shop.scan(member(2), goods(2))
        await shop.pos.gets(goods(1) + goods(2))
        await until(lambda: [job.payload for job in shop.kept()] == [member(2).strip()])

        shop.pos.say(b"\x07")
        assert shop.scanner._ends is not None
        heard = shop.scanner._ends[0]
        await until(lambda: is_readable(heard))
        assert os.read(heard, 10) == b"\x07"


async def test_a_pos_that_closes_its_port_and_opens_it_again_goes_on_with_the_next_code(tmp_path: Path) -> None:
    async with counter(tmp_path) as shop:
        shop.scan(goods(1))
        await shop.pos.gets(goods(1))
        shop.pos.close()
        await until(lambda: "pos_away" in shop.relay.said)
        shop.scan(goods(2))
        shop.pos.open()

        await shop.pos.gets(goods(1) + goods(2))


async def test_it_stays_small(tmp_path: Path) -> None:
    async with counter(tmp_path) as shop:
        for number in range(200):
            shop.scan(goods(number), member(number))
            await asyncio.sleep(0.001)
        await shop.print(receipt(1))
        await shop.pos.gets(b"".join(map(goods, range(200))))

        assert most_memory_kb(shop.relay.pid) <= MAX_RSS_KB
