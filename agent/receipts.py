"""From printed jobs to booked receipts: the register's second way.

Owns the order of steps for a job of a spool: decode off the event loop; then, in one transaction, the
receipts, their claims and entries, the scans they use up and the spool position; only then tell the relay
what it may delete. A crash anywhere reads the job again, and its receipts are known by then or nothing
of it was kept. Never decides whose a receipt is (`agent.booking` and `agent.checkout` do).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Protocol

import msgspec
import structlog
from msgspec import Struct

from agent.booking import Rules, book
from agent.card_numbers import masked_bytes, masked_receipt
from agent.desk import Settlement
from agent.store_inspection import IGNORED, ignored_of
from drivers.receipts.decode import Decoded, DecodeOptionsError, decode
from drivers.receipts.port import DecodeOptions
from drivers.receipts.spool_source import SpooledJob, SpoolPosition
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
    ) -> None:
        self._name = name
        self._source = source
        self._store = store
        self._options = options
        self._boot = boot
        self._rules = rules
        self._settled = settled

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
            for job in jobs:
                await self._take(job)
                position = job.position
            await asyncio.to_thread(self._source.acknowledge, position)

    def _position(self) -> SpoolPosition:
        kept = self._store.spool_position(self._name)
        return SpoolPosition(segment=0, offset=0) if kept is None else _spool_position(kept)

    async def _take(self, job: SpooledJob) -> None:
        if job.damage is not None or job.truncated:
            await self._store.write(lambda writing: self._set_aside(writing, job, *_incomplete(job)))
            return
        decoded = await asyncio.to_thread(self._decoded, job)
        try:
            result = await self._store.write(lambda writing: self._write(writing, job, decoded))
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 — a job that cannot be booked must not hold up the next
            log.warning("job_not_booked", source=self._name, error=type(error).__name__)
            reason = f"{type(error).__name__}: {error}"
            result = await self._store.write(lambda writing: self._set_aside(writing, job, "not_booked", reason))
        for settlement in result.settlements:
            self._settled(settlement)
        if result.quarantined:
            log.warning("job_quarantined", source=self._name, count=result.quarantined)

    def _decoded(self, job: SpooledJob) -> Decoded | str:
        """The job's receipts, or why its decoder failed. Runs in a thread."""
        try:
            return decode(job.payload, self._options())
        except DecodeOptionsError:
            raise  # the operator's to correct; no receipt is at fault
        except Exception as error:  # noqa: BLE001 — third-party readers may raise anything
            log.warning("decoder_failed", source=self._name, error=type(error).__name__)
            return f"{type(error).__name__}: {error}"

    def _write(self, writing: Writing, job: SpooledJob, decoded: Decoded | str) -> JobResult:
        if isinstance(decoded, str):
            return self._set_aside(writing, job, "decoder_failed", decoded)
        settlements: list[Settlement] = []
        quarantined = 0
        ignored: list[str] = [item.kind for item in decoded.ignored]
        for receipt in decoded.receipts:
            booked = book(writing, masked_receipt(receipt), job.captured, boot=self._boot, rules=self._rules)
            if booked.settlement is not None:
                settlements.append(booked.settlement)
            elif booked.fate == "conflict":
                self._quarantine(writing, job.payload, "conflict", booked.detail)
                quarantined += 1
            else:
                ignored.append(booked.fate)
        for problem in decoded.problems:
            self._quarantine(writing, job.payload[problem.start : problem.end], problem.code, problem.detail)
            quarantined += 1
        _count(writing, ignored)
        self._move(writing, job)
        return JobResult(settlements=tuple(settlements), ignored=len(ignored), quarantined=quarantined)

    def _set_aside(self, writing: Writing, job: SpooledJob, reason: str, detail: str) -> JobResult:
        self._quarantine(writing, job.payload, reason, detail)
        self._move(writing, job)
        return JobResult(quarantined=1)

    def _quarantine(self, writing: Writing, raw: bytes, reason: str, detail: str) -> None:
        writing.quarantine(self._name, reason, detail[:MAX_DETAIL_CHARACTERS], masked_bytes(raw))

    def _move(self, writing: Writing, job: SpooledJob) -> None:
        position = SourcePosition(segment=job.position.segment, offset=job.position.offset)
        writing.set_spool_position(self._name, position)


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
