"""One connection of a POS and its line to the printer: bytes both ways, as if there were no relay.

Owns carrying out what the passage says, and how a connection ends. Never decides what a job is
(`passage`) and never waits for the disk longer than the hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from drivers.relay.announce import Announcer
from drivers.relay.clock import Clock
from drivers.relay.keeper import JobKeeper, Ticket
from drivers.relay.language import ESCPOS, Language
from drivers.relay.line import Arrival, Line, Outlet
from drivers.relay.passage import Passage, Step
from drivers.relay.spool import Job, Origin
from drivers.relay.status import Status
from drivers.relay.unfinished import Unfinished

# After the POS has said its last word a printer may still answer for so long.
ANSWER_WITHIN_S: Final = 60.0
# Where nobody has hung up, or the relay ends, for no longer than this.
LAST_ANSWER_WITHIN_S: Final = 1.0
# A POS on a wire cannot be told that its printer is away: it is held up, and the printer tried so often.
PRINTER_AGAIN_AFTER_S: Final = 0.5

_Outcome = asyncio.Future[bool | None]
"""Whether a job is durable; None where the hold was over before that was known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all connections of a relay share."""

    printer: Outlet
    unfinished: Unfinished
    idle_ms: int
    hold_ms: int
    keeper: JobKeeper
    status: Status
    announcer: Announcer
    clock: Clock
    language: Language = ESCPOS


class Connection:
    """Carries one connection of a POS from its first byte to its last.

    On a wire a connection begins with the POS's first byte, and ends when the printer is lost or, where the line to
    it should not stay open, with a pause after a job.
    """

    def __init__(self, arrival: Arrival, origin: Origin, around: Surroundings, *, on_wire: bool = False) -> None:
        self._pos = arrival.line
        self._pos_name = arrival.pos
        self._origin = origin
        self._around = around
        self._on_wire = on_wire
        self._passage = self._fresh_passage()
        self._is_first = True
        self._plain = False
        self._stopping = asyncio.Event()
        self._printer_is_done = False
        self._wait: asyncio.Timeout | None = None

    def stop(self) -> None:
        """End once the job that has begun is through; now where none has."""
        self._stopping.set()
        self._end_wait()

    async def run(self) -> None:
        """Carry bytes until both sides are done. Raises nothing for what a POS or a printer does."""
        try:
            heard = await self._first_heard() if self._on_wire else None
            printer = None if heard == b"" else await self._printer_for_pos()
            if printer is None:
                self._pos.reset()
                self._keep_unprinted(heard)
                return
            try:
                await self._carry(printer, heard)
            except* OSError:  # the printer's: those of the POS are dealt with where they come up
                self._pos.reset()
            finally:
                printer.close()
        finally:
            self._pos.close()

    async def _carry(self, printer: Line, heard: bytes | None) -> None:
        async with asyncio.TaskGroup() as directions:
            answers = directions.create_task(self._pass_answers(printer))
            await self._pass_jobs(printer, heard)
            printer.finish_sending()
            await self._last_answers(answers)

    async def _first_heard(self) -> bytes:
        """What the POS on a wire has to say; b"" when it goes, or the relay ends, before it says anything."""
        while not self._stopping.is_set():
            if (data := await self._receive()) is not None:
                return data
        return b""

    async def _printer_for_pos(self) -> Line | None:
        """A line to the printer. None when there is none: for a POS on a wire, only because the relay ends."""
        while (printer := await self._reach_printer()) is None and self._on_wire:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), PRINTER_AGAIN_AFTER_S)
            if self._stopping.is_set():
                return None
        return printer

    async def _reach_printer(self) -> Line | None:
        try:
            printer = await self._around.printer.reach()
        except OSError as error:
            self._printer_is_away(error.strerror or str(error))
            return None
        self._printer_is_there()
        return printer

    def _keep_unprinted(self, heard: bytes | None) -> None:
        """What was taken from a wire and finds no printer: no other program will ever see it."""
        if heard:
            self._go_on_with_begun_job()
            self._keep_jobs([*self._passage.feed(heard, self._around.clock()), *self._passage.end("shutdown")])

    async def _pass_jobs(self, printer: Line, heard: bytes | None) -> None:
        """Everything the POS sends, to its end. Raises OSError when the printer is gone."""
        try:
            while heard or not self._is_over:
                data = heard or await self._receive()
                heard = None
                if data == b"" or (data is None and self._may_end_in_pause):
                    break
                if data:
                    self._go_on_with_begun_job()
                now = self._around.clock()
                await self._carry_out(self._passage.feed(data, now) if data else self._passage.idle(now), printer)
                self._tell_if_plain()
            await self._hang_up(printer)
        finally:
            self._keep_jobs(self._passage.end("shutdown" if self._stopping.is_set() else "close"))

    @property
    def _is_over(self) -> bool:
        """Whether what the POS sends from now on is for another connection."""
        ends = self._stopping.is_set() or (self._on_wire and self._printer_is_done)
        return ends and not self._passage.is_open

    @property
    def _may_end_in_pause(self) -> bool:
        """Whether a POS on a wire has no job open, and the line to its printer should not stay open."""
        return self._on_wire and not self._around.printer.stays and not self._passage.is_open

    def _go_on_with_begun_job(self) -> None:
        """The POS's last connection may have closed in the middle of a job."""
        if self._is_first:
            self._is_first = False
            self._passage = self._around.unfinished.take(self._pos_name) or self._passage

    async def _hang_up(self, printer: Line) -> None:
        if self._stopping.is_set():
            await self._carry_out(self._passage.end("close"), printer)
            return
        await self._carry_out(self._passage.hang_up(), printer)
        passage, self._passage = self._passage, self._fresh_passage()
        self._around.unfinished.leave(self._pos_name, passage, self._origin)

    def _fresh_passage(self) -> Passage:
        return Passage(idle_ms=self._around.idle_ms, language=self._around.language)

    async def _receive(self) -> bytes | None:
        """What the POS sends next, b"" at its end, None when it is time to look at the passage again."""
        try:
            async with asyncio.timeout(self._look_in_s()) as self._wait:
                return await self._pos.receive()
        except TimeoutError:
            return None
        except OSError:  # a POS that is reset has sent what it has sent
            return b""
        finally:
            self._wait = None

    def _end_wait(self) -> None:
        if self._wait is not None and not self._passage.is_open:
            self._wait.reschedule(0)

    def _look_in_s(self) -> float | None:
        if self._is_first:
            return None
        idle_at_ns = self._passage.idle_at_ns
        if idle_at_ns is None:
            return self._around.idle_ms / 1000 if self._may_end_in_pause else None
        return max(0.0, (idle_at_ns - self._around.clock().monotonic_ns) / 1e9)

    async def _carry_out(self, steps: Iterable[Step], printer: Line) -> None:
        rest = iter(steps)
        try:
            for step in rest:
                if isinstance(step, Job):
                    await self._keep(step)
                else:
                    await printer.send(step)
        finally:  # a printer that is gone takes no bytes; the jobs behind them were sold all the same
            self._keep_jobs(rest)

    async def _keep(self, job: Job) -> None:
        """Bring `job` to the spool; what a cut ends is durable before this returns, or the hold is over."""
        if job.ended_by != "cut":
            self._around.keeper.keep(job, self._origin)
            return
        loop = asyncio.get_running_loop()
        outcome: _Outcome = loop.create_future()
        ticket = self._around.keeper.keep(job, self._origin, partial(_tell, loop, outcome))
        deadline = loop.call_later(self._around.hold_ms / 1000, _settle, outcome, None)
        try:
            is_durable = await outcome
        finally:
            deadline.cancel()
        if is_durable is None:
            self._let_go(ticket)
        elif not is_durable:
            self._count_late()

    def _keep_jobs(self, steps: Iterable[Step]) -> None:
        for step in steps:
            if isinstance(step, Job):
                self._around.keeper.keep(step, self._origin)

    def _let_go(self, ticket: Ticket) -> None:
        ticket.late = True
        self._count_late()
        self._around.announcer.say(
            "warning",
            "printed_before_kept",
            f"the spool's disk took longer than {self._around.hold_ms} ms; the job prints and is kept as soon as "
            "the disk answers. Look for a failing or overloaded disk",
        )

    def _count_late(self) -> None:
        with self._around.status.changing() as figures:
            figures.late += 1

    async def _pass_answers(self, printer: Line) -> None:
        """Everything the printer answers, at once, whatever waits the other way. Raises OSError as above."""
        pos_listens = True
        while answer := await printer.receive():
            if pos_listens:  # one that does not may still send; the printer must not stall on its answers
                try:
                    await self._pos.send(answer)
                except OSError:
                    pos_listens = False
        self._pos.finish_sending()
        self._printer_is_done = True
        if self._on_wire:  # else it is the POS that hears of it, and ends
            self._end_wait()

    async def _last_answers(self, answers: asyncio.Task[None]) -> None:
        hurries = self._stopping.is_set() or self._on_wire
        within_s = LAST_ANSWER_WITHIN_S if hurries else ANSWER_WITHIN_S
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s) as self._wait:
                await asyncio.shield(answers)
        self._wait = None
        answers.cancel()

    def _tell_if_plain(self) -> None:
        if self._plain or not self._passage.fault:
            return
        self._plain = True
        with self._around.status.changing() as figures:
            figures.plain += 1
        self._around.announcer.say(
            "error",
            "plain_pipe",
            "the POS's bytes are not understood on one connection; they print unchanged, and its jobs end when it "
            "pauses. Report this with the job from the spool",
            reason=self._passage.fault,
        )

    def _printer_is_away(self, reason: str) -> None:
        self._set_printer_trouble(reason)
        told = "the POS waits" if self._on_wire else "the POS was told"
        self._around.announcer.say(
            "error",
            "printer_unreachable",
            f"no way to the printer {self._around.printer.name} ({reason}); {told}. Check that the printer is on and "
            "connected, and that --printer names it",
        )

    def _printer_is_there(self) -> None:
        if self._set_printer_trouble(""):
            name = self._around.printer.name
            self._around.announcer.say("info", "printer_reached", f"the printer {name} is there again")

    def _set_printer_trouble(self, reason: str) -> bool:
        """Whether that was news."""
        with self._around.status.changing() as figures:
            was, figures.printer_trouble = figures.printer_trouble, reason
        if was == reason:
            return False
        self._around.keeper.look_at_status()
        return True


def _settle(outcome: _Outcome, is_durable: bool | None) -> None:
    if not outcome.done():
        outcome.set_result(is_durable)


def _tell(loop: asyncio.AbstractEventLoop, outcome: _Outcome, is_durable: bool) -> None:
    """The same from the disk's thread, which may outlive the loop."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(_settle, outcome, is_durable)
