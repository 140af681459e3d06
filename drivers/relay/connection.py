"""One POS connection and its own connection to the printer: bytes both ways, as if there were no relay.

Owns carrying out what the passage says, and how a connection ends. Never decides what a job is
(`passage`) and never waits for the disk longer than the hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from drivers.relay.announce import Announcer
from drivers.relay.clock import Clock
from drivers.relay.keeper import JobKeeper, Ticket
from drivers.relay.language import ESCPOS, Language
from drivers.relay.line import Endpoint, Line
from drivers.relay.passage import Passage, Step
from drivers.relay.spool import EndedBy, Job, Origin
from drivers.relay.status import Status

# A printer on the same network answers in milliseconds; a POS gives up after some seconds.
REACH_WITHIN_S: Final = 5.0
# After the POS has said its last word a printer may still answer for so long.
ANSWER_WITHIN_S: Final = 60.0
STOPPING_ANSWER_WITHIN_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all connections of a relay share."""

    printer: Endpoint
    idle_ms: int
    hold_ms: int
    keeper: JobKeeper
    status: Status
    announcer: Announcer
    clock: Clock
    language: Language = ESCPOS


class Connection:
    """Carries one POS connection from its first byte to its last."""

    def __init__(self, pos: Line, origin: Origin, around: Surroundings) -> None:
        self._pos = pos
        self._origin = origin
        self._around = around
        self._passage = Passage(idle_ms=around.idle_ms, language=around.language)
        self._plain = False
        self._stopping = False
        self._wait: asyncio.Timeout | None = None

    def stop(self) -> None:
        """End once the job that has begun is through; now where none has."""
        self._stopping = True
        if self._wait is not None and not self._passage.is_open:
            self._wait.reschedule(0)

    async def run(self) -> None:
        """Carry bytes until both sides are done. Raises nothing for what a POS or a printer does."""
        printer = await self._reach_printer()
        if printer is None:
            return
        try:
            async with asyncio.TaskGroup() as directions:
                answers = directions.create_task(self._pass_answers(printer))
                await self._pass_jobs(printer)
                printer.finish_sending()
                await self._last_answers(answers)
        except* OSError:  # the printer's: those of the POS are dealt with where they come up
            self._pos.reset()
        finally:
            printer.close()
            self._pos.close()

    async def _reach_printer(self) -> Line | None:
        """The printer's line; None when there is none, and then the POS is told as a dead printer would."""
        printer = None
        try:
            async with asyncio.timeout(REACH_WITHIN_S):
                printer = await Line.reach(self._around.printer)
        except OSError as error:
            self._printer_is_away(error.strerror or str(error) or f"no answer within {REACH_WITHIN_S:g} s")
        else:
            self._printer_is_there()
        finally:
            if printer is None:
                self._pos.reset()
        return printer

    async def _pass_jobs(self, printer: Line) -> None:
        """Everything the POS sends, to its end. Raises OSError when the printer is gone."""
        ended_by: EndedBy = "close"
        try:
            while not (self._stopping and not self._passage.is_open):
                data = await self._receive()
                if data == b"":
                    break
                now = self._around.clock()
                await self._carry_out(self._passage.feed(data, now) if data else self._passage.idle(now), printer)
                self._tell_if_plain()
            else:
                ended_by = "shutdown"
            await self._carry_out(self._passage.end(ended_by), printer)
        finally:
            ended_by = "shutdown" if self._stopping else "close"
            self._keep_jobs(self._passage.end(ended_by))

    async def _receive(self) -> bytes | None:
        """What the POS sends next, b"" at its end, None when it is time to look at the passage again."""
        try:
            async with asyncio.timeout(self._idle_in_s()) as self._wait:
                return await self._pos.receive()
        except TimeoutError:
            return None
        except OSError:  # a POS that is reset has sent what it has sent
            return b""
        finally:
            self._wait = None

    def _idle_in_s(self) -> float | None:
        idle_at_ns = self._passage.idle_at_ns
        if idle_at_ns is None:
            return None
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
        ticket = self._around.keeper.keep(job, self._origin)
        if job.ended_by != "cut":
            return
        durable = asyncio.wrap_future(ticket.durable)
        await asyncio.wait({durable}, timeout=self._around.hold_ms / 1000)
        if not durable.done():
            self._let_go(ticket)
        elif not durable.result():
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

    async def _last_answers(self, answers: asyncio.Task[None]) -> None:
        within_s = STOPPING_ANSWER_WITHIN_S if self._stopping else ANSWER_WITHIN_S
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
        printer = self._around.printer
        self._set_printer_trouble(reason)
        self._around.announcer.say(
            "error",
            "printer_unreachable",
            f"no connection to the printer at {printer} ({reason}); the POS was told. Check that the printer is on "
            "and on the network, and that --printer names its address and port",
        )

    def _printer_is_there(self) -> None:
        if self._set_printer_trouble(""):
            printer = self._around.printer
            self._around.announcer.say("info", "printer_reached", f"the printer at {printer} answers again")

    def _set_printer_trouble(self, reason: str) -> bool:
        """Whether that was news."""
        with self._around.status.changing() as figures:
            was, figures.printer_trouble = figures.printer_trouble, reason
        if was == reason:
            return False
        self._around.keeper.look_at_status()
        return True
