"""The agent's side of the relay's spool: jobs in the order they were kept, resumed by position.

Owns reading segments and saying what is no longer needed. Never writes a segment, never returns half a
record, and never follows a link or opens anything in the folder that is not a plain segment file.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from drivers.receipts.folder_watch import FolderWatch, WatchUnavailableError
from drivers.relay.spool import (
    ACKNOWLEDGED_NAME,
    FRAME_BYTES,
    MAX_HEADER_BYTES,
    MAX_JOB_BYTES,
    Record,
    next_record,
    read_record,
    segment_name,
    segment_numbers,
)
from loyalty.instant import Instant
from loyalty.receipt import AwareDatetime

# One call's worth: a few seconds of decoding after a long absence.
MAX_JOBS_PER_READ: Final = 256
MAX_BYTES_PER_READ: Final = 4 * 1024 * 1024
# Held in memory at a time: any whole record, and the beginning of the next.
WINDOW_BYTES: Final = 2 * (FRAME_BYTES + MAX_HEADER_BYTES + MAX_JOB_BYTES)
# Always as long, so that it can be written over what stands there; within one sector, so it never tears.
ACKNOWLEDGED_BYTES: Final = 80
# A folder that cannot be watched (missing yet, another system) is looked at this often, and one that can
# be this often all the same, should its disk not tell.
POLL_EVERY_S: Final = 0.5
WATCHED_POLL_EVERY_S: Final = 5.0

log = structlog.get_logger(__name__)


class SpoolPosition(Struct, frozen=True, kw_only=True, order=True):
    """A place in the spool: everything before it has been dealt with. The first is 0, 0."""

    segment: int = 0
    offset: int = 0


class SpoolDamage(Struct, frozen=True, kw_only=True):
    """A stretch of a segment, bytes `start` to `end`, that holds no whole record."""

    segment: int
    start: int
    end: int
    reason: str


class SpooledJob(Struct, frozen=True, kw_only=True):
    """One printed job. `position` is the place after it, to go on from.

    `truncated` jobs were longer than the relay keeps. Where `damage` is set nobody printed `payload`:
    it holds the damaged bytes as found, for quarantine and not for decoding.
    """

    position: SpoolPosition
    payload: bytes
    captured: Instant
    register: str
    ended_by: str
    connection: str = ""
    late: bool = False
    truncated: bool = False
    damage: SpoolDamage | None = None


class _Header(Struct, frozen=True, kw_only=True):
    captured_at: AwareDatetime
    boot: str
    monotonic_ns: int
    register: str
    connection: str
    ended_by: str
    late: bool
    length: int


class SpoolReader:
    """Reads the spool in `folder`, which need not exist yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: tuple[int, int] | None = None
        self._watch: FolderWatch | None = None

    def read_after(self, position: SpoolPosition) -> list[SpooledJob]:
        """The next jobs after `position`, a bounded number; none when all is read. Blocks on the disk.

        A record at the end of the newest segment that is not whole yet is left for a later call. Raises
        OSError when a segment cannot be read.
        """
        self._seen = self._newest()
        numbers = self._segments()
        if numbers and position.segment > numbers[-1]:
            log.warning("spool_replaced", segment=position.segment, newest=numbers[-1])
            position = SpoolPosition()
        jobs: list[SpooledJob] = []
        size = 0
        for number in numbers:
            if number < position.segment:
                continue
            start = position.offset if number == position.segment else 0
            for job in self._jobs_of(number, start, closed=number != numbers[-1]):
                jobs.append(job)
                size += len(job.payload)
                if len(jobs) >= MAX_JOBS_PER_READ or size >= MAX_BYTES_PER_READ:
                    return jobs
        return jobs

    def acknowledge(self, position: SpoolPosition) -> None:
        """Tell the relay that nothing before `position` is needed any more. Blocks on the disk.

        A disk that takes no new file gets it written in place: it is what lets the relay make room.
        """
        content = msgspec.json.encode(position).ljust(ACKNOWLEDGED_BYTES)
        fresh, path = self._folder / f"{ACKNOWLEDGED_NAME}.new", self._folder / ACKNOWLEDGED_NAME
        try:
            _write(fresh, content)
            fresh.replace(path)
        except OSError as error:
            log.warning("spool_acknowledged_in_place", reason=error.strerror)
            with suppress(OSError):
                fresh.unlink()
            _write(path, content)

    async def changed(self) -> None:
        """Returns once the spool holds something that the last `read_after` did not see."""
        while self._newest() == self._seen:
            await self._event()

    async def _event(self) -> None:
        """Something has happened in the folder, or it is time to look."""
        if self._watch is None:
            try:
                self._watch = FolderWatch(self._folder)
            except WatchUnavailableError:
                await asyncio.sleep(POLL_EVERY_S)
            return  # what happened before the watch began is looked for first
        with suppress(TimeoutError):
            async with asyncio.timeout(WATCHED_POLL_EVERY_S):
                await self._watch.event()

    def close(self) -> None:
        """Let go of the folder."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _segments(self) -> list[int]:
        try:
            return segment_numbers(self._folder)
        except FileNotFoundError:
            return []

    def _newest(self) -> tuple[int, int] | None:
        """Number and size of the newest segment."""
        for number in reversed(self._segments()):
            with suppress(FileNotFoundError):
                return number, (self._folder / segment_name(number)).lstat().st_size
        return None

    def _jobs_of(self, number: int, start: int, *, closed: bool) -> Iterator[SpooledJob]:
        """Jobs and damage of one segment from `start`; a torn end counts as damage only once it is `closed`."""
        segment = _Segment.open(self._folder, number)
        if segment is None:
            return
        try:
            yield from segment.jobs(start, closed=closed)
        finally:
            segment.close()


class _Segment:
    """One open segment file."""

    def __init__(self, number: int, handle: int, found_at: datetime) -> None:
        self._number = number
        self._handle = handle
        self._found_at = found_at

    @classmethod
    def open(cls, folder: Path, number: int) -> _Segment | None:
        """The segment; None if it is gone or is no plain file."""
        try:
            handle = os.open(folder / segment_name(number), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            log.warning("spool_link_ignored", segment=number)
            return None
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            os.close(handle)
            log.warning("spool_file_ignored", segment=number)
            return None
        return cls(number, handle, datetime.fromtimestamp(facts.st_mtime, UTC))

    def close(self) -> None:
        os.close(self._handle)

    def jobs(self, start: int, *, closed: bool) -> Iterator[SpooledJob]:
        while True:
            window = os.pread(self._handle, WINDOW_BYTES, start)
            is_last = len(window) < WINDOW_BYTES
            read = 0
            for end, job in self._jobs_in(window, start):
                read = end
                yield job
            if is_last:
                if closed and read < len(window):
                    yield self._damaged(window[read:], start + read, "the segment ends within a record")
                return
            if read == 0:
                # A whole record would have been found: it takes no more than half a window.
                read = WINDOW_BYTES // 2
                yield self._damaged(window[:read], start, "no record begins here")
            start += read

    def _jobs_in(self, window: bytes, start: int) -> Iterator[tuple[int, SpooledJob]]:
        """Jobs and damage in `window`, which begins at `start` of the segment, each with its end in the window."""
        at = 0
        while at < len(window):
            record = read_record(window, at)
            if record is not None:
                yield record.end, self._job(record, window[at : record.end], start + at)
                at = record.end
                continue
            following = next_record(window, at)
            if following is None:
                return
            yield following, self._damaged(window[at:following], start + at, "checksum or form is wrong")
            at = following

    def _job(self, record: Record, raw: bytes, start: int) -> SpooledJob:
        try:
            header = msgspec.json.decode(record.header, type=_Header)
        except msgspec.DecodeError as error:
            return self._damaged(raw, start, f"header: {error}")
        return SpooledJob(
            position=SpoolPosition(segment=self._number, offset=start + len(raw)),
            payload=record.payload,
            captured=Instant(wall=header.captured_at, boot=header.boot, monotonic_ns=header.monotonic_ns),
            register=header.register,
            ended_by=header.ended_by,
            connection=header.connection,
            late=header.late,
            truncated=header.length > len(record.payload),
        )

    def _damaged(self, raw: bytes, start: int, reason: str) -> SpooledJob:
        damage = SpoolDamage(segment=self._number, start=start, end=start + len(raw), reason=reason)
        log.warning("spool_damaged", segment=damage.segment, start=damage.start, end=damage.end, reason=reason)
        return SpooledJob(
            position=SpoolPosition(segment=self._number, offset=damage.end),
            payload=raw,
            captured=Instant(wall=self._found_at, boot="", monotonic_ns=0),
            register="",
            ended_by="damage",
            damage=damage,
        )


def _write(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, content)
    finally:
        os.close(handle)
