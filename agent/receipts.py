"""From printed jobs to booked receipts: the register's second way.

Owns the order of steps for a job of a spool: decode and mask off the event loop; then, in one transaction, the
receipts, their claims and entries, the scans they use up and the spool position; only then tell the relay
what it may delete. A crash anywhere reads the job again, and its receipts are known by then or nothing
of it was kept. While a begun receipt waits for its rest the position stays before it, and what was booked
beyond it is noted beside the position. Never decides whose a receipt is (`agent.booking` and
`agent.checkout` do), nor which jobs are one receipt (`drivers.receipts.joining` does).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace

from agent.bookkeeping import Bookkeeper, Prepared
from drivers.clock import Clock
from drivers.clock import now as system_now
from drivers.receipts.decode import Decoded, DecodeOptionsError, decode
from drivers.receipts.joining import JobJoiner, Torn
from drivers.receipts.port import DecodeOptions
from drivers.receipts.spool_source import SpooledJob, SpoolPosition
from sync.store.rows import SourcePosition
from sync.store.store import Store
from sync.store.writing import Writing

log = structlog.get_logger(__name__)


class JobSource(Protocol):
    """A spool of printed jobs (`drivers.receipts.spool_source.SpoolReader`)."""

    def read_after(self, position: SpoolPosition) -> list[SpooledJob]:
        """The next jobs, a bounded number of them."""
        ...

    def acknowledge(self, position: SpoolPosition) -> None:
        """Everything up to `position` is kept elsewhere."""
        ...

    async def changed(self) -> None:
        """Returns when there may be new jobs."""
        ...

    def close(self) -> None:
        """Lets go of the folder."""
        ...


class Ahead(Struct, frozen=True, kw_only=True):
    """What was dealt with beyond the kept position: all `through` there, but for the jobs that end at `waiting`."""

    through: SpoolPosition
    waiting: tuple[SpoolPosition, ...]


async def at_once() -> None:
    """Where all scans come from scanners of our own, none waits anywhere."""


class ReceiptIntake:
    """Reads one spool and books what it holds."""

    def __init__(
        self,
        *,
        source: JobSource,
        books: Bookkeeper,
        store: Store,
        options: Callable[[], DecodeOptions],
        scans_taken: Callable[[], Awaitable[None]] = at_once,
        now: Clock = system_now,
    ) -> None:
        """`scans_taken` returns once no scan waits in another spool that may have been made before these receipts."""
        self._name = books.name
        self._source = source
        self._books = books
        self._store = store
        self._options = options
        self._scans_taken = scans_taken
        self._now = now
        self._joiner = JobJoiner()
        # How far the spool was read, and what was dealt with there before a restart; None until the store has told.
        self._through: SpoolPosition | None = None
        self._ahead: Ahead | None = None

    async def run(self, ready: Callable[[], None]) -> None:
        """Books jobs as they come, until cancelled. Raises what the folder or the store raise."""
        # Wrong options are told before the first receipt comes.
        await asyncio.to_thread(decode, b"", self._options())
        ready()
        try:
            while True:
                await self.take_new()
                await self._changed_or_due()
        finally:
            self._source.close()

    async def _changed_or_due(self) -> None:
        """Returns when there may be new jobs, or a begun receipt has waited long enough for its rest."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._joiner.due_in_s(self._now())):
                await self._source.changed()

    async def take_new(self) -> None:
        """Books what the spool holds now, and gives up what has waited too long."""
        try:
            await self._take_new()
        except BaseException:
            # The store knows better than memory how far this came.
            self._forget()
            raise

    async def _take_new(self) -> None:
        if self._through is None:
            self._through, self._ahead = self._kept()
        through = self._through
        while jobs := await asyncio.to_thread(self._source.read_after, through):
            await self._scans_taken()
            for job in jobs:
                await self._take_next(job, through)
                self._through = through = job.position
            await self._acknowledge(through)
        torn = self._joiner.expired(self._now())
        if torn:
            await self._keep(await asyncio.to_thread(self._given_up, torn), through)
            await self._acknowledge(through)

    async def _acknowledge(self, through: SpoolPosition) -> None:
        """Tells the relay what it may delete: nothing of what waits."""
        done = self._joiner.done_until(through)
        if done > SpoolPosition():
            await asyncio.to_thread(self._source.acknowledge, done)

    def _forget(self) -> None:
        """Begin again at the kept position."""
        self._joiner = JobJoiner()
        self._through = self._ahead = None

    def _kept(self) -> tuple[SpoolPosition, Ahead | None]:
        """From where to read on, and what beyond it is dealt with."""
        kept = self._store.spool_position(self._name)
        position = SpoolPosition(segment=kept.segment, offset=kept.offset) if kept is not None else SpoolPosition()
        noted = self._store.meta(_ahead_name(self._name))
        return position, msgspec.json.decode(noted, type=Ahead | None) if noted is not None else None

    async def _take_next(self, job: SpooledJob, before: SpoolPosition) -> None:
        """Books `job`, unless that was done before a restart; then it only waits, if it waited."""
        ahead = self._ahead
        if ahead is None or not before < job.position <= ahead.through:
            await self._take(job, before)
        elif job.position in ahead.waiting:
            self._joiner.hold(job, before)

    async def _take(self, job: SpooledJob, before: SpoolPosition) -> None:
        prepared = await asyncio.to_thread(self._prepared, job, before)
        if prepared is not None:
            await self._keep(prepared, job.position)

    async def _keep(self, prepared: Prepared, through: SpoolPosition) -> None:
        """Writes what came of the jobs up to `through`."""
        await self._books.keep(prepared, lambda writing, _kept: self._move(writing, through))

    def _prepared(self, job: SpooledJob, before: SpoolPosition) -> Prepared | None:
        """The job read, and free of card numbers: both take time that the store's writer has not.

        None where it waits for its rest.
        """
        if job.damage is not None or job.truncated:
            return self._books.refused(job.payload, job.captured, *_incomplete(job))
        try:
            taken = self._joiner.take(job, before, self._decoded)
        except DecodeOptionsError:
            raise  # the operator's to correct; no receipt is at fault
        except Exception as error:  # noqa: BLE001 — third-party readers may raise anything
            return self._books.failed(job.payload, job.captured, error)
        given_up = self._given_up(taken.torn) if taken.torn else None
        if taken.whole is None:
            return given_up
        whole = self._books.prepared(taken.whole.payload, taken.whole.decoded, taken.whole.captured)
        return replace(whole, set_aside=(*given_up.set_aside, *whole.set_aside)) if given_up is not None else whole

    def _decoded(self, payload: bytes) -> Decoded:
        decoded = decode(payload, self._options())
        log.debug(
            "job_read",
            bytes=len(payload),
            receipts=len(decoded.receipts),
            ignored=[each.kind for each in decoded.ignored],
            problems=[each.code for each in decoded.problems],
        )
        return decoded

    def _given_up(self, torn: Sequence[Torn]) -> Prepared:
        """Begun receipts whose rest did not come."""
        detail = "the rest of this receipt did not come"
        parts = [self._books.refused(each.payload, each.captured, "torn", detail) for each in torn]
        return replace(parts[-1], set_aside=tuple(item for part in parts for item in part.set_aside))

    def _move(self, writing: Writing, through: SpoolPosition) -> None:
        """All up to `through` is dealt with, but for what waits: the position stays before the first of that."""
        done, waiting = self._joiner.done_until(through), self._joiner.parts()
        writing.set_spool_position(self._name, SourcePosition(segment=done.segment, offset=done.offset))
        ahead = Ahead(through=through, waiting=waiting) if waiting else None
        name = _ahead_name(self._name)
        if ahead is not None or writing.meta(name) is not None:
            writing.set_meta(name, msgspec.json.encode(ahead).decode())


def _incomplete(job: SpooledJob) -> tuple[str, str]:
    """Reason and detail of a job that the spool does not hold whole."""
    if job.damage is not None:
        return "spool_damaged", f"bytes {job.damage.start} to {job.damage.end}: {job.damage.reason}"
    return "job_too_long", "the relay kept the beginning only; the paper has all of it"


def _ahead_name(source: str) -> str:
    return f"receipts-ahead:{source}"
