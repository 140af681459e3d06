"""`tillside capture --spool`: what a register printed, from its relay's spool, in a file for `decode` and `replay`.

Owns the times of a capture of jobs. Payment cards never get into it; the spool is only read, and nothing is
acknowledged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from drivers.capture import (
    MAX_CAPTURE_BYTES,
    MAX_MS,
    MAX_READ_BYTES,
    MAX_READS,
    BytesRead,
    Header,
    Read,
    header_line,
    read_line,
)
from drivers.receipts.buyer_masking import masked_buyers
from drivers.receipts.job_masking import masked_job
from drivers.receipts.spool_source import SpooledJob, SpoolPosition, SpoolReader
from loyalty.pan import Own

Write = Callable[[bytes], object]


class SpoolRecording:
    """A capture of the jobs in `folder`, from the oldest that is still there on; `reads` are written so far."""

    def __init__(self, folder: Path, write: Write, *, own: Own) -> None:
        self.reads = 0
        self._reader = SpoolReader(folder)
        self._write = write
        self._own = own
        self._position = SpoolPosition()
        self._began: datetime | None = None
        self._ms = 0
        self._bytes = 0

    async def run(self, seconds: float | None = None) -> None:
        """Write all jobs that are there, then those that come, for that long or until cancelled. Raises OSError."""
        try:
            await self._write_waiting()
            async with asyncio.timeout(seconds):
                while not self._is_full:
                    await self._reader.changed()
                    await self._write_waiting()
        except TimeoutError:
            return
        finally:
            if self._began is None:
                self._begin(datetime.now(UTC))
            self._reader.close()

    async def _write_waiting(self) -> None:
        while True:
            if not self._write_next():
                return
            await asyncio.sleep(0)  # for Ctrl-C

    @property
    def _is_full(self) -> bool:
        return self.reads >= MAX_READS or self._bytes >= MAX_CAPTURE_BYTES - 4 * MAX_READ_BYTES or self._ms >= MAX_MS

    def _write_next(self) -> bool:
        """Whether there were jobs."""
        jobs = self._reader.read_after(self._position)
        for job in jobs:
            self._position = job.position
            for read in self._reads(job) if job.damage is None else ():
                if self._is_full:
                    return False
                line = read_line(read)
                self._write(line)
                self._bytes += len(line)
                self.reads += 1
        return bool(jobs)

    def _reads(self, job: SpooledJob) -> Iterator[Read]:
        began = self._began or self._begin(job.captured.wall)
        # A clock that was set back does not turn the order of jobs round.
        self._ms = min(MAX_MS, max(self._ms, (job.captured.wall - began) // timedelta(milliseconds=1)))
        payload = masked_job(masked_buyers(job.payload), self._own)
        for start in range(0, len(payload), MAX_READ_BYTES):
            yield BytesRead(ms=self._ms, data=payload[start : start + MAX_READ_BYTES])

    def _begin(self, at: datetime) -> datetime:
        self._began = at
        self._write(header_line(Header(kind="relay", driver="spool", started_at=at)))
        return at
