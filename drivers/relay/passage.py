"""What one POS prints as a state machine: which bytes may go to the printer now, and which job must be
durable before which byte.

Owns where jobs begin and end. Bytes in, steps out; never touches a socket, a disk or a clock, and
never loses, changes or reorders a byte: whatever goes wrong in here, the rest is a plain pipe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from drivers.escpos.framing import Frame, prints
from drivers.relay.clock import Moment
from drivers.relay.language import ESCPOS, Framing, Language
from drivers.relay.spool import MAX_JOB_BYTES, EndedBy, Job

# Between jobs a POS sets up the printer; so much of that is put before the next job's bytes.
MAX_PROLOGUE_BYTES: Final = 4096

Step = bytes | Job
"""Bytes to pass on, or a job that must be durable before the steps after it."""


class Passage:
    """The way of one connection's bytes from the POS to the printer, or of several that carry one job."""

    def __init__(
        self,
        *,
        idle_ms: int,
        max_job_bytes: int = MAX_JOB_BYTES,
        language: Language = ESCPOS,
        framing: Framing | None = None,
    ) -> None:
        self._questions, self._drawing = language.questions, language.drawing
        self._begun_cuts = language.begun_cuts
        self._framing: Framing | None = framing or language.framing()
        self._idle_ns = idle_ms * 1_000_000
        self._max_job_bytes = max_job_bytes
        self._fed = 0
        self._framed = 0
        self._held = b""
        self._payload = bytearray()
        self._length = 0
        self._prints = False
        self._quiet_since: Moment | None = None
        self._fault = ""

    @property
    def fault(self) -> str:
        """Why this connection became a plain pipe; "" while it is understood."""
        return self._fault

    @property
    def is_open(self) -> bool:
        """Whether a job has begun, or a command."""
        return self._prints or (self._framing is not None and self._framed < self._fed)

    @property
    def idle_at_ns(self) -> int | None:
        """When, on the monotonic clock, `idle` has something to say; None while nothing is open."""
        if self._quiet_since is None or not self.is_open:
            return None
        return self._quiet_since.monotonic_ns + self._idle_ns

    def feed(self, data: bytes, now: Moment) -> list[Step]:
        """Steps for what the POS sent."""
        waiting, base = self._held + data, self._fed - len(self._held)
        self._held = b""
        self._fed += len(data)
        frames = self._frames(data)
        if frames and self._only_asks(frames, base):
            return [waiting]
        self._quiet_since = now
        steps: list[Step] = []
        taken = 0
        for frame in frames:
            if not frame.is_cut:
                self._prints = self._prints or self._draws(frame)
                if self._payload or frame.name not in self._questions:
                    continue
            # Offsets are the framing's word; they may never make us drop or repeat a byte.
            start = min(max(frame.start - base, taken), len(waiting))
            end = min(max(frame.end - base, start), len(waiting))
            if frame.is_cut:
                _pass(steps, waiting[taken:start])
                self._take(waiting[taken:end])
                steps.extend(self._end_job("cut"))
                _pass(steps, waiting[start:end])
                taken = end
            elif start == taken:
                _pass(steps, waiting[taken:end])
                taken = end
        self._hold(waiting[taken:], steps)
        return steps

    def idle(self, now: Moment) -> list[Step]:
        """Steps once `idle_at_ns` has come; none before."""
        if self.idle_at_ns is None or now.monotonic_ns < self.idle_at_ns:
            return []
        return self.end("idle")

    def hang_up(self) -> list[Step]:
        """Steps when the connection closes, whose job another one may go on with: everything held goes."""
        held, self._held = self._held, b""
        if not held:
            return []
        self._take(held)
        return [held]

    def end(self, ended_by: EndedBy) -> list[Step]:
        """Steps for the end of the job, or of waiting: everything held goes, and an open job ends."""
        if self._framing is not None:
            torn = self._guarded(self._framing.finish)
            self._prints = self._prints or any(self._draws(frame) for frame in torn)
            self._framed = self._fed
        return [*self.hang_up(), *self._end_job(ended_by)]

    def _frames(self, data: bytes) -> Sequence[Frame]:
        framing = self._framing
        if framing is None:
            self._prints = True
            return ()
        frames = self._guarded(lambda: framing.feed(data))
        if frames:
            self._framed = frames[-1].end
        return frames

    def _guarded(self, call: Callable[[], Sequence[Frame]]) -> Sequence[Frame]:
        try:
            return call()
        except Exception as error:  # noqa: BLE001  the sale goes on whatever is wrong with our reading of it
            self._framing = None
            self._fault = f"{type(error).__name__}: {error}"
            self._prints = True
            return ()

    def _only_asks(self, frames: Sequence[Frame], base: int) -> bool:
        whole = frames[0].start == base and frames[-1].end == self._fed
        return whole and all(frame.name in self._questions for frame in frames)

    def _hold(self, rest: bytes, steps: list[Step]) -> None:
        """Pass `rest` but for a begun cut at its end."""
        if self._framing is not None and rest.endswith(self._begun_cuts):
            self._held = max((begun for begun in self._begun_cuts if rest.endswith(begun)), key=len)
        going = rest[: len(rest) - len(self._held)]
        self._take(going)
        _pass(steps, going)

    def _take(self, data: bytes) -> None:
        self._payload += data[: max(0, self._max_job_bytes - len(self._payload))]
        self._length += len(data)
        if not self._prints and self._length > MAX_PROLOGUE_BYTES:
            del self._payload[:-MAX_PROLOGUE_BYTES]
            self._length = len(self._payload)

    def _end_job(self, ended_by: EndedBy) -> Iterable[Job]:
        if not self._prints or self._quiet_since is None:
            if ended_by == "cut":
                self._begin_job()
            return ()
        job = Job(payload=bytes(self._payload), length=self._length, ended_by=ended_by, captured=self._quiet_since)
        self._begin_job()
        return (job,)

    def _draws(self, frame: Frame) -> bool:
        if frame.kind == "text":
            return prints(frame.data)
        return frame.name in self._drawing

    def _begin_job(self) -> None:
        self._payload.clear()
        self._length = 0
        self._prints = False


def _pass(steps: list[Step], data: bytes) -> None:
    """Add `data` to the bytes that may go, joined to those before it."""
    if not data:
        return
    if steps and isinstance(steps[-1], bytes):
        steps[-1] += data
    else:
        steps.append(data)
