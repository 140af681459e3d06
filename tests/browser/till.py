"""A till for tests: a register process with a scanner on a real pty and a spool to print into."""

from __future__ import annotations

import asyncio
import os
import pty
import socket
import sys
import tty
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec

from agent.access import View
from agent.cli.connection import RunningAgent
from agent.control import read_control
from drivers.clock import boot_id, now
from drivers.relay.clock import Moment
from drivers.relay.spool import Job, Origin, SpoolWriter, encode_record
from loyalty.member import Balance, Identifier, Member
from loyalty.program import Program, program_hash, program_json
from sync.keys import keeper_for
from sync.store.store import Store
from sync.store.writing import Writing
from sync.wire import Change, SignedProgram
from tests.sync.programs import put_in_force

CODE_128, EAN_13, QR = "]C0", "]E0", "]Q1"
READY_WITHIN_S = 30.0
STOP_WITHIN_S = 10.0
ROWS_PER_WRITE = 1000
SPOOL_CAP_BYTES = 16 * 1024 * 1024


def member(
    number: int,
    *,
    name: str = "",
    tier: str = "",
    balance: Balance | None = None,
    identifiers: tuple[Identifier, ...] = (),
) -> Member:
    """A member with card `TS` and nine digits, or with other `identifiers`."""
    return Member(
        member=f"m{number}",
        identifiers=identifiers or (Identifier(kind="card", code=card(number)),),
        short_name=name or f"Member {number}",
        tier=tier or "silver",
        balance=balance or Balance(confirmed=number, pending=0, spendable=number),
        as_of=datetime.now(UTC),
    )


def card(number: int) -> str:
    return f"TS{number:09}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def spooled(job: bytes) -> bytes:
    """A job that was printed now, as the relay of register 3 keeps it."""
    at = now()
    moment = Moment(wall=at.wall, monotonic_ns=at.monotonic_ns)
    origin = Origin(register="3", connection="test", boot=boot_id())
    return encode_record(Job(payload=job, length=len(job), ended_by="cut", captured=moment), origin, late=False)


class Till:
    """One register in `folder`. Seed it before it starts."""

    def __init__(self, folder: Path, *, language: str = "en", settings: str = "", origins: Iterable[str] = ()) -> None:
        """`settings` are further tables of the settings file, `origins` those whose pages may call."""
        self.folder = folder
        self.port = free_port()
        self.spool = folder / "spool"
        self.spool.mkdir()
        self._scanner, terminal = pty.openpty()
        tty.setraw(self._scanner)
        tty.setraw(terminal)
        self._terminal = terminal
        self.config = folder / "tillside.toml"
        self.config.write_text(
            f"""
[register]
store = "12"
register = "3"
currency = "RSD"
time_zone = "Europe/Belgrade"
language = "{language}"
[paths]
state = "state"
[store]
ballast_mb = 1
[page]
port = {self.port}
origins = {list(origins)}
[[scanners]]
name = "counter"
port = "{os.ttyname(terminal)}"
repeat_ms = 0
[[receipts]]
name = "printer"
spool = "spool"
{settings}""",
            encoding="utf-8",
        )
        self._process: asyncio.subprocess.Process | None = None
        self._writer: SpoolWriter | None = None

    async def seed(self, members: Iterable[Member], program: Program | None = None) -> None:
        """What the centre would have sent."""
        state = self.folder / "state"
        store = Store.open(state / "store.db", keeper_for(state))
        changes = [Change(pos=n, op="upsert", member=row.member, row=row) for n, row in enumerate(members, start=1)]
        as_of = datetime.now(UTC)
        for start in range(0, len(changes), ROWS_PER_WRITE):
            some = changes[start : start + ROWS_PER_WRITE]
            await store.write(partial(Writing.apply_changes, changes=some, through=len(changes), as_of=as_of))
        if program is not None:
            text = program_json(program).decode()
            signed = SignedProgram(hash=program_hash(program), program=text, signature="")
            await store.write(lambda writing: put_in_force(writing, signed))
        await asyncio.to_thread(store.close)

    async def start(self) -> dict[str, object]:
        """Starts the agent; returns what its ready line says."""
        with (self.folder / "agent.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "agent.cli.entry", "run", "--config", str(self.config), "--json"),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), READY_WITHIN_S)
        assert line, (self.folder / "agent.log").read_text()
        ready: dict[str, object] = msgspec.json.decode(line)
        return ready

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None
        self._process.terminate()
        return await asyncio.wait_for(self._process.wait(), STOP_WITHIN_S)

    async def command(self, *arguments: str) -> tuple[int, str, str]:
        """Runs a `tillside` command for this register: exit code, output, errors."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agent.cli.entry", *arguments, "--config", str(self.config)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def agent(self) -> RunningAgent:
        """The running agent, asked as the command line asks it."""
        control = await asyncio.to_thread(read_control, self.folder / "state")
        assert control is not None
        return RunningAgent(control)

    async def pairing_url(self, view: View = "cashier") -> str:
        """The address that `tillside open` opens."""
        pairing = await asyncio.to_thread((await self.agent()).open_pairing, view)
        return pairing.url

    def scan(self, code: str, *, aim: str = CODE_128) -> None:
        """What a scanner sends for a code."""
        os.write(self._scanner, f"{aim}{code}\r".encode())

    def print(self, job: bytes) -> None:
        """One printed job, as the relay spools it."""
        if self._writer is None:
            self._writer = SpoolWriter(self.spool, cap_bytes=SPOOL_CAP_BYTES)
        kept = self._writer.keep([spooled(job)])
        assert kept.error is None

    def close(self) -> None:
        os.close(self._scanner)
        os.close(self._terminal)
        if self._writer is not None:
            self._writer.close()
