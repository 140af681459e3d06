"""From printed jobs to booked receipts: the register's second way.

Owns the order of steps for a job of a spool: decode and mask off the event loop; then, in one transaction, the
receipts, their claims and entries, the scans they use up and the spool position; only then tell the relay
what it may delete. A crash anywhere reads the job again, and its receipts are known by then or nothing
of it was kept. Never decides whose a receipt is (`agent.booking` and `agent.checkout` do).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec
import structlog
from msgspec import Struct

from agent.booking import Rules, book
from agent.card_numbers import masked_bytes, masked_receipt, masked_text
from agent.desk import Settlement
from agent.store_inspection import IGNORED, ignored_of
from drivers.receipts.decode import DecodeOptionsError, decode
from drivers.receipts.port import DecodeOptions
from drivers.receipts.spool_source import SpooledJob, SpoolPosition
from loyalty.identification import IdentificationRule
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
    receipts: tuple[Receipt, ...] = ()
    ignored: tuple[str, ...] = ()
    set_aside: tuple[SetAside, ...] = ()


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

    async def run(self, ready: Callable[[], None]) -> None:
        """Books jobs as they come, until cancelled. Raises what the folder or the store raise."""
        # Wrong options are told before the first receipt comes.
        await asyncio.to_thread(decode, b"", self._options())
        ready()
        try:
            while True:
                await self.take_new()
                await self._source.changed()
        finally:
            self._source.close()

    async def take_new(self) -> None:
        """Books what the spool holds now."""
        position = self._position()
        while jobs := await asyncio.to_thread(self._source.read_after, position):
            await self._scans_taken()
            for job in jobs:
                await self._take(job)
                position = job.position
            await asyncio.to_thread(self._source.acknowledge, position)

    def _position(self) -> SpoolPosition:
        kept = self._store.spool_position(self._name)
        return SpoolPosition(segment=0, offset=0) if kept is None else _spool_position(kept)

    async def _take(self, job: SpooledJob) -> None:
        prepared = await asyncio.to_thread(self._prepared, job)
        try:
            result = await self._store.write(lambda writing: self._write(writing, job, prepared))
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 — a job that cannot be booked must not hold up the next
            log.warning("job_not_booked", source=self._name, error=type(error).__name__)
            not_booked = _set_aside(prepared.masked, "not_booked", f"{type(error).__name__}: {error}")
            instead = Prepared(masked=prepared.masked, set_aside=(not_booked,))
            result = await self._store.write(lambda writing: self._write(writing, job, instead))
        for settlement in result.settlements:
            self._settled(settlement)
        if result.quarantined:
            log.warning("job_quarantined", source=self._name, count=result.quarantined)

    def _prepared(self, job: SpooledJob) -> Prepared:
        """The job read, and free of card numbers: both take time that the store's writer has not."""
        own = self._identification()
        masked = masked_bytes(job.payload, own)
        if job.damage is not None or job.truncated:
            return Prepared(masked=masked, set_aside=(_set_aside(masked, *_incomplete(job)),))
        try:
            decoded = decode(job.payload, self._options())
        except DecodeOptionsError:
            raise  # the operator's to correct; no receipt is at fault
        except Exception as error:  # noqa: BLE001 — third-party readers may raise anything
            log.warning("decoder_failed", source=self._name, error=type(error).__name__)
            failed = _set_aside(masked, "decoder_failed", f"{type(error).__name__}: {error}")
            return Prepared(masked=masked, set_aside=(failed,))
        return Prepared(
            masked=masked,
            receipts=tuple(masked_receipt(receipt, own) for receipt in decoded.receipts),
            ignored=tuple(item.kind for item in decoded.ignored),
            set_aside=tuple(
                _set_aside(masked[problem.start : problem.end], problem.code, problem.detail)
                for problem in decoded.problems
            ),
        )

    def _write(self, writing: Writing, job: SpooledJob, prepared: Prepared) -> JobResult:
        settlements: list[Settlement] = []
        set_aside = list(prepared.set_aside)
        ignored = list(prepared.ignored)
        for receipt in prepared.receipts:
            booked = book(writing, receipt, job.captured, boot=self._boot, rules=self._rules)
            if booked.settlement is not None:
                settlements.append(booked.settlement)
            elif booked.fate == "conflict":
                set_aside.append(SetAside(reason="conflict", detail=booked.detail, raw=prepared.masked))
            else:
                ignored.append(booked.fate)
        for item in set_aside:
            writing.quarantine(self._name, item.reason, item.detail, item.raw)
        _count(writing, ignored)
        self._move(writing, job)
        return JobResult(settlements=tuple(settlements), ignored=len(ignored), quarantined=len(set_aside))

    def _move(self, writing: Writing, job: SpooledJob) -> None:
        position = SourcePosition(segment=job.position.segment, offset=job.position.offset)
        writing.set_spool_position(self._name, position)


def _set_aside(masked: bytes, reason: str, detail: str) -> SetAside:
    return SetAside(reason=reason, detail=masked_text(detail)[:MAX_DETAIL_CHARACTERS], raw=masked)


def _incomplete(job: SpooledJob) -> tuple[str, str]:
    """Reason and detail of a job that the spool does not hold whole."""
    if job.damage is not None:
        return "spool_damaged", f"bytes {job.damage.start} to {job.damage.end}: {job.damage.reason}"
    return "job_too_long", "the relay kept the beginning only; the paper has all of it"


def _spool_position(kept: SourcePosition) -> SpoolPosition:
    return SpoolPosition(segment=kept.segment, offset=kept.offset)


def _count(writing: Writing, kinds: list[str]) -> None:
    """Adds to the counters of what was heard and gives no entry."""
    if kinds:
        counters = Counter(ignored_of(writing))
        counters.update(kinds)
        writing.set_meta(IGNORED, msgspec.json.encode(counters).decode())
