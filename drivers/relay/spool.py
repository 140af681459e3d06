"""The spool: an append-only folder of printed jobs. Owns its file format and its one writer.

A record is complete or it is nothing: what a power cut tears off is recognised by its checksum. The
writer never overwrites and never deletes what the agent has not acknowledged. Not thread-safe; it
blocks on the disk, so it runs in a thread of its own.
"""

from __future__ import annotations

import errno
import json
import os
import re
import struct
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from drivers.relay.clock import Moment

if sys.platform != "win32":  # the spool's writer is not for Windows, what it writes is told of there
    import fcntl

_DATA_SYNC: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)
# Segments are deleted whole, so a small one frees acknowledged receipts soon: about 1,000 jobs of 4 KiB.
SEGMENT_BYTES = 4 * 1024 * 1024
# A job's bytes beyond this still print; 2 MiB is thirty metres of receipt drawn dot by dot.
MAX_JOB_BYTES = 2 * 1024 * 1024
MAX_HEADER_BYTES = 4096

FORMAT_VERSION = 1
MAGIC = b"\xf7TSJ"
LOCK_NAME = "lock"
ACKNOWLEDGED_NAME = "acknowledged"
STATUS_NAME = "status.json"

_SEGMENT_NAME = re.compile(r"([0-9]{12})\.spool")
# Magic, version, reserved zero, bytes of header, bytes of payload; then the CRC-32 of those, header and payload.
_LENGTHS = struct.Struct(">4sBBHI")
_CRC = struct.Struct(">I")
FRAME_BYTES = _LENGTHS.size + _CRC.size
_HEADER = json.JSONEncoder(separators=(",", ":")).encode

# Of a printed job, and of a scan.
EndedBy = Literal["cut", "idle", "close", "shutdown", "suffix", "silence"]


class SpoolError(OSError):
    """A job could not be made durable."""


class SpoolFullError(SpoolError):
    """The spool is at its cap and the agent has acknowledged nothing that could go."""


class SpoolLockedError(SpoolError):
    """Another relay writes this spool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One printed job: the POS's bytes up to and including what ended it. Or one scan: a code's bytes.

    `captured` is when its last printing byte came in, or the code's last. `length` counts all its bytes;
    `payload` holds the first MAX_JOB_BYTES of them.
    """

    payload: bytes
    length: int
    ended_by: EndedBy
    captured: Moment

    @property
    def truncated(self) -> bool:
        return self.length > len(self.payload)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a job was heard: the register's name (may be empty), one POS connection, this boot."""

    register: str
    connection: str
    boot: str


def encode_record(job: Job, origin: Origin, *, late: bool) -> bytes:
    """The record of one job. `late` says that it was printed before this record was durable."""
    header = _HEADER(
        {
            "captured_at": job.captured.wall.isoformat(timespec="microseconds"),
            "boot": origin.boot,
            "monotonic_ns": job.captured.monotonic_ns,
            "register": origin.register,
            "connection": origin.connection,
            "ended_by": job.ended_by,
            "late": late,
            "length": job.length,
        }
    ).encode()
    lengths = _LENGTHS.pack(MAGIC, FORMAT_VERSION, 0, len(header), len(job.payload))
    crc = zlib.crc32(job.payload, zlib.crc32(header, zlib.crc32(lengths)))
    return b"".join((lengths, _CRC.pack(crc), header, job.payload))


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A whole record found in a segment; `end` is the offset after it."""

    header: bytes
    payload: bytes
    end: int


def read_record(segment: bytes, offset: int) -> Record | None:
    """The whole record that stands at `offset`, or None: torn, damaged, or of another version."""
    end = _promised_end(segment, offset)
    if end is None or end > len(segment):
        return None
    start = offset + FRAME_BYTES
    _, _, _, header_bytes, _ = _LENGTHS.unpack_from(segment, offset)
    (crc,) = _CRC.unpack_from(segment, offset + _LENGTHS.size)
    view = memoryview(segment)
    if crc != zlib.crc32(view[start:end], zlib.crc32(view[offset : offset + _LENGTHS.size])):
        return None
    return Record(header=segment[start : start + header_bytes], payload=segment[start + header_bytes : end], end=end)


def next_record(segment: bytes, offset: int) -> int | None:
    """Where the next whole record after the damaged one at `offset` begins; None if there is none.

    The end that the damaged record promises is tried first, so that a printed job which holds the
    image of a record is not taken for one.
    """
    end = _promised_end(segment, offset)
    if end is not None and read_record(segment, end) is not None:
        return end
    candidate = segment.find(MAGIC, offset + 1)
    while candidate >= 0:
        if read_record(segment, candidate) is not None:
            return candidate
        candidate = segment.find(MAGIC, candidate + 1)
    return None


def _promised_end(segment: bytes, offset: int) -> int | None:
    """The end of the record at `offset` by its own lengths, None where they cannot be true."""
    if len(segment) < offset + FRAME_BYTES:
        return None
    magic, version, reserved, header_bytes, payload_bytes = _LENGTHS.unpack_from(segment, offset)
    if (magic, version, reserved) != (MAGIC, FORMAT_VERSION, 0):
        return None
    if header_bytes > MAX_HEADER_BYTES or payload_bytes > MAX_JOB_BYTES:
        return None
    return offset + FRAME_BYTES + int(header_bytes) + int(payload_bytes)


def segment_name(number: int) -> str:
    return f"{number:012d}.spool"


def segment_numbers(folder: Path) -> list[int]:
    """Numbers of the segments in `folder`, oldest first. Raises OSError where there is no folder."""
    names = (_SEGMENT_NAME.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(match[1]) for match in names if match)


def read_acknowledged(folder: Path) -> tuple[int, int]:
    """Segment and offset up to which the agent needs nothing any more; (0, 0) when it has not said."""
    try:
        said = json.loads((folder / ACKNOWLEDGED_NAME).read_bytes())
        return int(said["segment"]), int(said["offset"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, 0


def change_acknowledged(folder: Path, changed: Callable[[bytes], bytes]) -> None:
    """Writes what the agent has read anew, in its place, as `changed` has it; it must stay as long.

    Their checksums hold no more, but nobody reads these records again. What is still to be read, and what the relay is
    writing, is never touched. Raises OSError.
    """
    segment, offset = read_acknowledged(folder)
    for number in segment_numbers(folder) if folder.is_dir() else ():
        if number > segment:
            continue
        try:
            handle = os.open(folder / segment_name(number), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # the relay deletes what nobody needs
        try:
            before = os.pread(handle, offset if number == segment else os.fstat(handle).st_size, 0)
            after = changed(before)
            if after != before and len(after) == len(before):
                os.pwrite(handle, after, 0)
                os.fdatasync(handle)
        finally:
            os.close(handle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How many records of a batch are durable, from its first on, and what stopped the rest."""

    count: int
    error: OSError | None


class SpoolWriter:
    """Appends records to the newest segment of a folder which it alone writes.

    `sync` makes a file's data durable; `now_s` seeds segment numbers, so that a folder emptied by hand
    does not use one twice.
    """

    def __init__(
        self,
        folder: Path,
        *,
        cap_bytes: int,
        segment_bytes: int = SEGMENT_BYTES,
        sync: Callable[[int], None] = _DATA_SYNC,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._cap_bytes = cap_bytes
        self._segment_bytes = segment_bytes
        self._sync = sync
        self._now_s = now_s
        self._lock: int | None = None
        self._sizes: dict[int, int] = {}
        self._last_number = 0
        self._file: int | None = None
        self._number = 0
        self._written = 0
        self._durable = 0

    def open(self) -> None:
        """Take the folder, making it where it is missing (mode 0700). Does nothing once it is taken.

        Raises SpoolLockedError while another relay has it, OSError where the disk or the rights are
        not there; it may be tried again.
        """
        if self._lock is not None:
            return
        if not self._folder.is_dir():
            self._folder.mkdir(mode=0o700, parents=True)
            _sync_folder(self._folder.parent)
        lock = os.open(self._folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._sizes = {
                number: (self._folder / segment_name(number)).lstat().st_size
                for number in segment_numbers(self._folder)
            }
        except BlockingIOError as error:
            os.close(lock)
            raise SpoolLockedError(
                errno.EWOULDBLOCK,
                f"another relay writes the spool {self._folder}: stop it, or give this one its own folder",
            ) from error
        except OSError:
            os.close(lock)
            raise
        self._lock = lock
        self._last_number = max([0, read_acknowledged(self._folder)[0], *self._sizes])
        self._delete_acknowledged()

    def keep(self, records: Sequence[bytes]) -> Kept:
        """Append `records` in order and make them durable together.

        Takes the folder first if `open` could not. Never raises OSError: what went wrong stands in the
        result, and the next call begins with a new segment.
        """
        durable = written = 0
        try:
            self.open()
            for record in records:
                if self._has_no_place_for(record):
                    self._commit()
                    durable = written
                    self._start_segment()
                self._write(record)
                written += 1
            self._commit()
        except OSError as error:
            if self._commit_before_fault():
                durable = written
            return Kept(count=durable, error=error)
        return Kept(count=written, error=None)

    def close(self) -> None:
        self._end_segment()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _has_no_place_for(self, record: bytes) -> bool:
        """Whether a new segment must begin. Raises SpoolFullError at the cap."""
        if sum(self._sizes.values()) + len(record) <= self._cap_bytes:
            return self._file is None or self._written >= self._segment_bytes
        self._delete_acknowledged()
        if sum(self._sizes.values()) + len(record) > self._cap_bytes:
            raise SpoolFullError(
                errno.ENOSPC,
                f"the spool {self._folder} holds {self._cap_bytes} bytes that the agent has not acknowledged: "
                "start the agent, or raise --spool-cap-mb",
            )
        return self._file is None or self._written >= self._segment_bytes

    def _start_segment(self) -> None:
        self._end_segment()
        self._delete_acknowledged()
        # Seconds since 1970 where they are ahead: a folder emptied by hand uses no number twice.
        self._number = self._last_number = max(self._last_number + 1, int(self._now_s()))
        path = self._folder / segment_name(self._number)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._written = self._durable = self._sizes[self._number] = 0
        _sync_folder(self._folder)

    def _write(self, record: bytes) -> None:
        assert self._file is not None  # noqa: S101  _start_segment came first
        rest = memoryview(record)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        self._written += len(record)
        self._sizes[self._number] = self._written

    def _commit(self) -> None:
        """Raises OSError; then nobody knows what the disk holds of this segment, and it is left."""
        if self._file is None or self._durable == self._written:
            return
        try:
            self._sync(self._file)
        except OSError:
            self._end_segment()
            raise
        self._durable = self._written

    def _commit_before_fault(self) -> bool:
        """Whether all that was written whole is durable although the next write failed."""
        if self._file is None:
            return False
        try:
            self._commit()
        except OSError:
            return False
        self._end_segment()
        return True

    def _end_segment(self) -> None:
        """Close the segment without what is not durable: that is not ours to promise."""
        if self._file is None:
            return
        with suppress(OSError):  # a torn tail is recognised by the reader
            os.ftruncate(self._file, self._durable)
            self._sizes[self._number] = self._durable
        os.close(self._file)
        self._file = None
        if self._durable == 0:
            self._delete(self._number)

    def _delete_acknowledged(self) -> None:
        """Delete whole segments that the agent needs no more; the one being written too if it needs none of it."""
        segment, offset = read_acknowledged(self._folder)
        if (segment, offset) == (self._number, self._durable) and self._durable == self._written > 0:
            self._end_segment()
        for number, size in sorted(self._sizes.items()):
            being_written = self._file is not None and number == self._number
            if (number, size) <= (segment, offset) and not being_written:
                self._delete(number)

    def _delete(self, number: int) -> None:
        with suppress(OSError):
            (self._folder / segment_name(number)).unlink()
            del self._sizes[number]


def _sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable: a new file can be lost with its content otherwise."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
