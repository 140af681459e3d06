"""One scanner between itself and the POS, as if there were no relay, but for the members' codes.

Owns carrying out what the scanner passage says, both ports, and their going and coming back. Never decides what a
code is (`rules_in_force`), and never waits for a disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NoReturn

from drivers.relay.clock import Clock
from drivers.relay.pos_outbox import PosOutbox
from drivers.relay.scan_records import ScanRecords
from drivers.relay.scanner_passage import Heard, Passed, ScannerPassage, Step, Unjudged
from drivers.transport.port import PortMissingError, Transport, TransportClosedError, TransportError

# A port that is away is tried again this often.
PORT_RETRY_EVERY_S: Final = 0.5
# Some 50 codes, which take a few milliseconds.
SLICE_BYTES: Final = 1024
# At the end, for the POS to take what is on its way, and for a port that hangs to close.
FLUSH_WITHIN_S: Final = 1.0
CLOSE_WITHIN_S: Final = 2.0

_REMEDIES: Final[Mapping[Unjudged, str]] = {
    "too_long": "it is longer than any barcode: check --scanner-baud and --scanner-suffix",
    "suffix_missing": 'let the scanner send CR after each code, or set --scanner-suffix "" if it cannot',
    "prefix_missing": "the scanner does not send the prefix that is set: correct --scanner-prefix",
    "fault": "this is a fault of the relay: report it with the kind of the code",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """The two ports. `pos_retry_s` is how often a POS that is away is looked for."""

    scanner: Transport
    pos: Transport
    pos_retry_s: float = PORT_RETRY_EVERY_S


class SharedScanner:
    """Carries a scanner's codes to the POS and the POS's commands to the scanner, until it is stopped."""

    def __init__(
        self,
        ends: Ends,
        passage: ScannerPassage,
        records: ScanRecords,
        *,
        clock: Clock,
        outbox: PosOutbox | None = None,
        retry_every_s: float = PORT_RETRY_EVERY_S,
    ) -> None:
        self._ends = ends
        self._passage = passage
        self._records = records
        self._clock = clock
        self._outbox = outbox or PosOutbox()
        self._retry_every_s = retry_every_s
        self._filled = asyncio.Event()
        self._sent = asyncio.Event()
        self._sent.set()
        self._last_passed = -1

    async def run(self, stop: asyncio.Event) -> None:
        """Carry bytes until `stop` is set; then what is held goes to the POS, and both ports close."""
        hearing = asyncio.create_task(self._again_and_again(self._hear))
        serving = asyncio.create_task(self._again_and_again(self._serve_pos))
        try:
            await stop.wait()
            await _ended(hearing)
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_WITHIN_S):
                    await self._sent.wait()
        finally:
            await _ended(hearing)
            await _ended(serving)
            self._outbox.take(self._clock().monotonic_ns)
            self._outbox.give_up()
            self._records.lost_to_pos(self._outbox.dropped)

    async def _again_and_again(self, work: Callable[[], Awaitable[None]]) -> NoReturn:
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001  the next code must find a way to the POS
                self._records.failed(error)
                await asyncio.sleep(self._retry_every_s)

    # From the scanner

    async def _hear(self) -> None:
        """The scanner's bytes for as long as its port is there."""
        try:
            await self._ends.scanner.open()
            self._records.scanner_is("")
            while True:
                await self._take(await self._next())
        except TransportError as error:
            self._records.scanner_is(str(error))
        finally:
            self._carry_out(self._passage.end())
            await _closed(self._ends.scanner)
        await asyncio.sleep(self._retry_every_s)

    async def _next(self) -> bytes:
        """What the scanner sends next; nothing when it is time to look at the passage again."""
        due_at_ns = self._passage.due_at_ns
        within_s = None if due_at_ns is None else max(0.0, (due_at_ns - self._clock().monotonic_ns) / 1e9)
        try:
            async with asyncio.timeout(within_s):
                return await self._ends.scanner.read()
        except TimeoutError:
            return b""

    async def _take(self, data: bytes) -> None:
        """What the scanner sent, in slices: a scanner that floods must not keep the printer's way waiting."""
        now = self._clock()
        if not data:
            self._carry_out(self._passage.idle(now))
        rest = data
        try:
            while rest:
                slice_, rest = rest[:SLICE_BYTES], rest[SLICE_BYTES:]
                self._carry_out(self._passage.feed(slice_, now))
                if rest:
                    await asyncio.sleep(0)
        finally:
            if rest:
                self._carry_out(self._passage.feed(rest, now))

    def _carry_out(self, steps: Iterable[Step]) -> None:
        for step in steps:
            if isinstance(step, Passed):
                self._pass(step)
            elif isinstance(step, Heard):
                self._records.keep(step.data, step.at, step.ended_by, withheld=step.withheld)
        self._records.lost_to_pos(self._outbox.dropped)
        self._records.unjudged(self._passage.unjudged, _REMEDIES)
        self._records.late(self._passage.late)

    def _pass(self, passed: Passed) -> None:
        self._outbox.put(passed, self._clock().monotonic_ns)
        self._sent.clear()
        self._filled.set()
        if passed.code != self._last_passed:
            self._last_passed = passed.code
            self._records.passed()

    # To and from the POS

    async def _serve_pos(self) -> None:
        """The POS for as long as its port is there."""
        self._filled.clear()
        try:
            await self._ends.pos.open()
            self._records.pos_is("")
            async with asyncio.TaskGroup() as directions:
                directions.create_task(self._send_codes())
                directions.create_task(self._pass_commands())
        except* TransportError as errors:
            self._records.pos_is(str(errors.exceptions[0]))
        finally:
            await _closed(self._ends.pos)
        with suppress(TimeoutError):  # a code that is there is a reason to look at once
            async with asyncio.timeout(self._ends.pos_retry_s):
                await self._filled.wait()

    async def _send_codes(self) -> None:
        while True:
            self._filled.clear()
            if data := self._outbox.take(self._clock().monotonic_ns):
                await self._send(data)
            else:
                self._sent.set()
                await self._filled.wait()

    async def _send(self, data: bytes) -> None:
        try:
            await self._ends.pos.write(data)
        except (PortMissingError, TransportClosedError):
            self._outbox.put_back()
            raise
        except BaseException:
            self._outbox.give_up()
            raise

    async def _pass_commands(self) -> None:
        """What the POS tells the scanner (beep, wait, go on), at once; without a scanner nobody hears it."""
        while True:
            commands = await self._ends.pos.read()
            with suppress(TransportError):  # it tells of itself where it is read
                await self._ends.scanner.write(commands)


async def _ended(task: asyncio.Task[NoReturn]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _closed(port: Transport) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_WITHIN_S):
            await port.close()
