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
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace

from agent.booking import Rules, book
from agent.card_numbers import masked_bytes, masked_receipt, masked_text
from agent.desk import Settlement
from agent.store_inspection import IGNORED, ignored_of
from drivers.clock import Clock
from drivers.clock import now as system_now
from drivers.receipts.decode import Decoded, DecodeOptionsError, decode
from drivers.receipts.joining import JobJoiner, Torn, Whole
from drivers.receipts.port import DecodeOptions
from drivers.receipts.spool_source import SpooledJob, SpoolPosition
from loyalty.identification import IdentificationRule
from loyalty.instant import Instant
from loyalty.receipt import Receipt
from sync.store.errors import StoreError
from sync.store.rows import SourcePosition
from sync.store.store import Store
from sync.store.writing import Writing

MAX_DETAIL_CHARACTERS = 300

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


class JobResult(Struct, frozen=True, kw_only=True):
    """What one job came to."""

    settlements: tuple[Settlement, ...] = ()
    ignored: int = 0
    quarantined: int = 0


class SetAside(Struct, frozen=True, kw_only=True):
    """What a person must look at; without card numbers, as all that is kept."""

    reason: str
    detail: str
    raw: bytes


class Prepared(Struct, frozen=True, kw_only=True):
    """A job as it is written to the store: nothing in it holds a card number. `masked` is all of it."""

    masked: bytes
    captured: Instant
    receipts: tuple[Receipt, ...] = ()
    ignored: tuple[str, ...] = ()
    set_aside: tuple[SetAside, ...] = ()


class Ahead(Struct, frozen=True, kw_only=True):
    """What was dealt with beyond the kept position: all `through` there, but for the jobs that end at `waiting`."""

    through: SpoolPosition
    waiting: tuple[SpoolPosition, ...]


async def _at_once() -> None:
    """Where all scans come from scanners of our own, none waits anywhere."""


class ReceiptIntake:
    """Reads one spool and books what it holds."""

    def __init__(
        self,
        *,
        name: str,
        source: JobSource,
        store: Store,
        options: Callable[[], DecodeOptions],
        boot: str,
        rules: Rules,
        settled: Callable[[Settlement], None],
        identification: Callable[[], Sequence[IdentificationRule]] = tuple,
        scans_taken: Callable[[], Awaitable[None]] = _at_once,
        now: Clock = system_now,
    ) -> None:
        """`identification` gives the rules in force, by which the shop's own card numbers are known on paper.
        `scans_taken` returns once no scan waits in another spool that may have been made before these receipts.
        """
        self._name = name
        self._source = source
        self._store = store
        self._options = options
        self._boot = boot
        self._rules = rules
        self._settled = settled
        self._identification = identification
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
        """Writes what came of the jobs up to `through`, and tells of it."""
        try:
            result = await self._store.write(lambda writing: self._write(writing, prepared, through))
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 — a job that cannot be booked must not hold up the next
            log.warning("job_not_booked", source=self._name, error=type(error).__name__)
            not_booked = _set_aside(prepared.masked, "not_booked", f"{type(error).__name__}: {error}")
            instead = Prepared(masked=prepared.masked, captured=prepared.captured, set_aside=(not_booked,))
            result = await self._store.write(lambda writing: self._write(writing, instead, through))
        for settlement in result.settlements:
            self._settled(settlement)
        if result.quarantined:
            log.warning("job_quarantined", source=self._name, count=result.quarantined)

    def _prepared(self, job: SpooledJob, before: SpoolPosition) -> Prepared | None:
        """The job read, and free of card numbers: both take time that the store's writer has not.

        None where it waits for its rest.
        """
        if job.damage is not None or job.truncated:
            masked = masked_bytes(job.payload, self._identification())
            incomplete = _set_aside(masked, *_incomplete(job))
            return Prepared(masked=masked, captured=job.captured, set_aside=(incomplete,))
        try:
            taken = self._joiner.take(job, before, self._decoded)
        except DecodeOptionsError:
            raise  # the operator's to correct; no receipt is at fault
        except Exception as error:  # noqa: BLE001 — third-party readers may raise anything
            log.warning("decoder_failed", source=self._name, error=type(error).__name__)
            masked = masked_bytes(job.payload, self._identification())
            failed = _set_aside(masked, "decoder_failed", f"{type(error).__name__}: {error}")
            return Prepared(masked=masked, captured=job.captured, set_aside=(failed,))
        given_up = self._given_up(taken.torn) if taken.torn else None
        if taken.whole is None:
            return given_up
        whole = self._read(taken.whole)
        return replace(whole, set_aside=(*given_up.set_aside, *whole.set_aside)) if given_up is not None else whole

    def _decoded(self, payload: bytes) -> Decoded:
        return decode(payload, self._options())

    def _read(self, whole: Whole) -> Prepared:
        own = self._identification()
        masked = masked_bytes(whole.payload, own)
        return Prepared(
            masked=masked,
            captured=whole.captured,
            receipts=tuple(masked_receipt(receipt, own) for receipt in whole.decoded.receipts),
            ignored=tuple(item.kind for item in whole.decoded.ignored),
            set_aside=tuple(
                _set_aside(masked[problem.start : problem.end], problem.code, problem.detail)
                for problem in whole.decoded.problems
            ),
        )

    def _given_up(self, torn: Sequence[Torn]) -> Prepared:
        """Begun receipts whose rest did not come."""
        own = self._identification()
        masked = [masked_bytes(each.payload, own) for each in torn]
        return Prepared(
            masked=masked[-1],
            captured=torn[-1].captured,
            set_aside=tuple(_set_aside(each, "torn", "the rest of this receipt did not come") for each in masked),
        )

    def _write(self, writing: Writing, prepared: Prepared, through: SpoolPosition) -> JobResult:
        settlements: list[Settlement] = []
        set_aside = list(prepared.set_aside)
        ignored = list(prepared.ignored)
        for receipt in prepared.receipts:
            booked = book(writing, receipt, prepared.captured, boot=self._boot, rules=self._rules)
            if booked.settlement is not None:
                settlements.append(booked.settlement)
            elif booked.fate == "conflict":
                set_aside.append(SetAside(reason="conflict", detail=booked.detail, raw=prepared.masked))
            else:
                ignored.append(booked.fate)
        for item in set_aside:
            writing.quarantine(self._name, item.reason, item.detail, item.raw)
        _count(writing, ignored)
        self._move(writing, through)
        return JobResult(settlements=tuple(settlements), ignored=len(ignored), quarantined=len(set_aside))

    def _move(self, writing: Writing, through: SpoolPosition) -> None:
        """All up to `through` is dealt with, but for what waits: the position stays before the first of that."""
        done, waiting = self._joiner.done_until(through), self._joiner.parts()
        writing.set_spool_position(self._name, SourcePosition(segment=done.segment, offset=done.offset))
        ahead = Ahead(through=through, waiting=waiting) if waiting else None
        name = _ahead_name(self._name)
        if ahead is not None or writing.meta(name) is not None:
            writing.set_meta(name, msgspec.json.encode(ahead).decode())


def _set_aside(masked: bytes, reason: str, detail: str) -> SetAside:
    return SetAside(reason=reason, detail=masked_text(detail)[:MAX_DETAIL_CHARACTERS], raw=masked)


def _incomplete(job: SpooledJob) -> tuple[str, str]:
    """Reason and detail of a job that the spool does not hold whole."""
    if job.damage is not None:
        return "spool_damaged", f"bytes {job.damage.start} to {job.damage.end}: {job.damage.reason}"
    return "job_too_long", "the relay kept the beginning only; the paper has all of it"


def _ahead_name(source: str) -> str:
    return f"receipts-ahead:{source}"


def _count(writing: Writing, kinds: list[str]) -> None:
    """Adds to the counters of what was heard and gives no entry."""
    if kinds:
        counters = Counter(ignored_of(writing))
        counters.update(kinds)
        writing.set_meta(IGNORED, msgspec.json.encode(counters).decode())
