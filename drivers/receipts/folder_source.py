"""A folder into which a POS drops whole files: which of them are whole, and reading each once.

Owns what may be opened, when a file is whole, the order of files, and where a file goes that was dealt with. Everything
happens beside one open folder: no name is followed out of it, whatever the folder becomes meanwhile. Never opens what
is no plain file, never takes a file that is still written, never writes into one.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import fnmatch
import hashlib
import os
import signal
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import structlog
from msgspec import Struct

from drivers.clock import Clock
from drivers.clock import now as system_now
from drivers.receipts.arrivals import Arrival, Refusal
from drivers.receipts.folder_watch import FolderWatch, WatchUnavailableError
from loyalty.instant import Instant
from loyalty.pan import pan_spans

# A day's journal of a busy till is some megabytes.
MAX_FILE_BYTES: Final = 16 * 1024 * 1024
# One call's worth: what is held in memory until it is booked.
MAX_FILES_PER_READ: Final = 256
MAX_BYTES_PER_READ: Final = 16 * 1024 * 1024
# Names that are looked at; a folder in which files stay has to be cleared by whoever fills it.
MAX_FOLDER_FILES: Final = 10_000
# A network share tells of nothing, and a busy local folder now and then loses an event.
RESCAN_EVERY_S: Final = 10.0
UNWATCHED_RESCAN_EVERY_S: Final = 2.0
# A file written in a thousand pieces is a thousand events.
LOOK_AGAIN_AFTER_S: Final = 0.2
DONE: Final = "done"
FAILED: Final = "failed"

_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_READ_ONLY: Final = (errno.EROFS, errno.EACCES, errno.EPERM)
_NS_PER_S: Final = 1_000_000_000
_NS_PER_MS: Final = 1_000_000

log = structlog.get_logger(__name__)

Complete = Literal["rename", "size", "close"]
Afterwards = Literal["move", "delete", "leave"]


class FolderError(OSError):
    """The folder cannot be used. The message says what to do."""


class FolderRules(Struct, frozen=True, kw_only=True):
    """How one POS drops its files.

    `complete` says when a file is whole: `rename`, once it has a name that fits; `size`, once its size and times have
    not changed for `settle_ms`; `close`, once nobody has it open for writing, and like `size` where the system cannot
    tell (a network share). `afterwards` says what becomes of a file that was read.
    """

    pattern: str = "*"
    complete: Complete = "size"
    settle_ms: int = 1000
    temporary: tuple[str, ...] = (".tmp", ".part")
    afterwards: Afterwards = "move"


class _Stamp(Struct, frozen=True, kw_only=True):
    """What tells without opening it that a file is another or has changed."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, facts: os.stat_result) -> _Stamp:
        return cls(
            device=facts.st_dev,
            inode=facts.st_ino,
            size=facts.st_size,
            modified_ns=facts.st_mtime_ns,
            changed_ns=facts.st_ctime_ns,
        )

    @property
    def text(self) -> str:
        return f"{self.inode}.{self.size}.{self.modified_ns}.{self.changed_ns}"


class _Found(Struct, frozen=True, kw_only=True):
    """A file of the folder. `noticed` is when it was first seen as it is now."""

    name: str
    stamp: _Stamp
    plain: bool
    links: int
    noticed: Instant
    captured: Instant


class FolderReader:
    """Reads the files of `folder`. One thread at a time."""

    def __init__(self, folder: Path, rules: FolderRules, *, now: Clock = system_now) -> None:
        self._folder = folder
        self._rules = rules
        self._now = now
        self._directory: int | None = None
        self._identity: tuple[int, int] | None = None
        self._watch: FolderWatch | None = None
        # Files that are not whole yet, by name.
        self._noticed: dict[str, _Found] = {}
        self._looked_before = False
        self._settles_in_s: float | None = None
        # What the last look gave, by the name that its mark is kept under.
        self._given: dict[str, _Found] = {}
        # Files of this run that could not be moved away: tried again at the next look.
        self._stuck: set[str] = set()
        self._stays = rules.afterwards == "leave"

    # Reading

    def read(self, marks: Mapping[str, str]) -> Sequence[Arrival]:
        """The next whole files, oldest first; a file whose mark is known and that stays here is not given again.

        Raises FolderError.
        """
        directory = self._open()
        found, more = self._find(directory)
        self._given.clear()
        arrivals: list[Arrival] = []
        size = 0
        self._settles_in_s = None
        for file in found:
            arrival = self._arrival(directory, file, marks)
            if arrival is None:
                continue
            arrivals.append(arrival)
            self._given[arrival.name] = file
            size += len(arrival.payload)
            if len(arrivals) >= MAX_FILES_PER_READ or size >= MAX_BYTES_PER_READ:
                return arrivals
        self._looked_before = True
        if more and not arrivals:
            raise FolderError(
                f"{self._folder} holds more than {MAX_FOLDER_FILES} files: let the POS clear away what was read, "
                'or set afterwards = "move"'
            )
        return arrivals

    def tried(self) -> None:
        """Opens the folder as each look does, and closes it. Raises FolderError."""
        self._open()
        self.close()

    def _open(self) -> int:
        """The folder as it is now; it stays open until the next look, so that nothing can be put in its place."""
        self._leave()
        try:
            self._directory = os.open(self._folder, _FOLDER_FLAGS)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise FolderError(f"{self._folder} is a link or no folder: name the folder itself") from error
            raise FolderError(
                f"{self._folder} cannot be opened ({error.strerror}): make the folder, or connect the share, and let "
                "the agent's user read it"
            ) from error
        facts = os.fstat(self._directory)
        identity = facts.st_dev, facts.st_ino
        if identity != self._identity:
            self._identity = identity
            self._unwatch()
        return self._directory

    def _find(self, directory: int) -> tuple[list[_Found], bool]:
        """The files that may be ours, oldest first and then by name; and whether there are more than are looked at."""
        now = self._now()
        found: dict[str, _Found] = {}
        more = False
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if not self._is_ours(entry.name):
                        continue
                    if len(found) >= MAX_FOLDER_FILES:
                        more = True
                        break
                    with suppress(FileNotFoundError):
                        facts = entry.stat(follow_symlinks=False)
                        if not stat.S_ISDIR(facts.st_mode):
                            found[entry.name] = self._notice(entry.name, facts, now)
        except OSError as error:
            raise FolderError(f"{self._folder} cannot be read ({error.strerror}): see to its disk or share") from error
        self._noticed = found
        return sorted(found.values(), key=lambda file: (file.stamp.modified_ns, file.name)), more

    def _is_ours(self, name: str) -> bool:
        return (
            not name.startswith(".")
            and fnmatch.fnmatchcase(name, self._rules.pattern)
            and not name.endswith(self._rules.temporary)
        )

    def _notice(self, name: str, facts: os.stat_result, now: Instant) -> _Found:
        stamp = _Stamp.of(facts)
        before = self._noticed.get(name)
        if before is not None and before.stamp == stamp:
            return before
        return _Found(
            name=name,
            stamp=stamp,
            plain=stat.S_ISREG(facts.st_mode),
            links=facts.st_nlink,
            noticed=now,
            captured=self._captured(facts, now),
        )

    def _captured(self, facts: os.stat_result, now: Instant) -> Instant:
        """When the sale was: now where it comes while we look. What lay here before says it itself, by a clock that
        may be a server's.
        """
        if self._looked_before:
            return now
        written = datetime.fromtimestamp(facts.st_mtime_ns // _NS_PER_S, UTC)
        return now if written >= now.wall else Instant(wall=written, boot="", monotonic_ns=0)

    # One file

    def _arrival(self, directory: int, file: _Found, marks: Mapping[str, str]) -> Arrival | None:
        """What `file` gives now; None where it is not whole, gone, or dealt with."""
        name = _kept_name(file)
        seen_stamp, _, seen_content = marks.get(name, "").partition(" ")
        if seen_stamp == file.stamp.text:
            if self._stays or file.name in self._stuck:
                return None
            return Arrival(name=name, mark=marks[name], captured=file.captured, known=True)
        refused = self._refusal(file)
        if refused is not None:
            return self._refused(file, refused) if self._is_settled(file) else None
        if self._rules.complete == "size" and not self._is_settled(file):
            return None
        try:
            content = self._content(directory, file)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            detail = f"{name} cannot be read ({error.strerror}): let the agent's user read it, or drop it again"
            return self._refused(file, Refusal(reason="unreadable", detail=detail)) if self._is_settled(file) else None
        if content is None:
            return None
        digest = f"{len(content)}.{hashlib.sha256(content).hexdigest()}"
        return Arrival(
            name=name,
            mark=f"{file.stamp.text} {digest}",
            captured=file.captured,
            payload=content,
            known=digest == seen_content,
        )

    def _refusal(self, file: _Found) -> Refusal | None:
        """Why `file` is not opened at all."""
        name = _kept_name(file)
        if not file.plain:
            detail = (
                f"{file.name} is a link, a pipe or a device and was not opened: remove it; the POS drops plain files"
            )
            return Refusal(reason="not_a_file", detail=detail)
        if file.links != 1:
            detail = f"{name} has a second name elsewhere and was not opened: drop a copy of it instead"
            return Refusal(reason="linked_file", detail=detail)
        if file.stamp.size > MAX_FILE_BYTES:
            detail = f"{name} is larger than {MAX_FILE_BYTES // 1024**2} MiB: drop it again in smaller files"
            return Refusal(reason="too_large", detail=detail)
        return None

    def _refused(self, file: _Found, refusal: Refusal) -> Arrival:
        return Arrival(
            name=_kept_name(file),
            mark=f"{file.stamp.text} -",
            captured=file.captured,
            payload=os.fsencode(file.name),
            refused=refusal,
        )

    def _is_settled(self, file: _Found) -> bool:
        """Whether it has not changed for long enough; where not, notes when to look again."""
        left_ns = self._rules.settle_ms * _NS_PER_MS - self._now().ns_since(file.noticed)
        if left_ns <= 0:
            return True
        left_s = left_ns / _NS_PER_S
        self._settles_in_s = min(left_s, self._settles_in_s or left_s)
        return False

    def _content(self, directory: int, file: _Found) -> bytes | None:
        """All of the file, None where it is not whole or is another by now. Raises OSError."""
        handle = os.open(file.name, _FILE_FLAGS, dir_fd=directory)
        try:
            facts = os.fstat(handle)
            if _Stamp.of(facts) != file.stamp or not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
                return None
            if self._rules.complete == "close":
                written = _is_written(handle)
                if written or (written is None and not self._is_settled(file)):
                    self._settles_in_s = min(LOOK_AGAIN_AFTER_S, self._settles_in_s or LOOK_AGAIN_AFTER_S)
                    return None
            content = b"".join(_pieces(handle, file.stamp.size + 1))
            whole = _Stamp.of(os.fstat(handle)) == file.stamp and len(content) == file.stamp.size
            return content if whole else None
        finally:
            os.close(handle)

    # Afterwards

    def finish(self, arrival: Arrival, *, understood: bool) -> None:
        """Puts a file that was dealt with where the rules say; in a folder that cannot be changed it stays.

        What was not understood is never deleted.
        """
        file = self._given.get(arrival.name)
        if self._stays or self._directory is None or file is None:
            return
        place = DONE if understood else FAILED
        try:
            self._move(self._directory, file, place, delete=understood and self._rules.afterwards == "delete")
        except OSError as error:
            self._stuck.add(file.name)
            if error.errno in _READ_ONLY:
                self._stays = True
            log.warning("file_stays", reason=error.strerror)

    def _move(self, directory: int, file: _Found, place: str, *, delete: bool) -> None:
        with suppress(FileExistsError):
            os.mkdir(place, 0o700, dir_fd=directory)
        target = os.open(place, _FOLDER_FLAGS, dir_fd=directory)
        try:
            name = _free_name(file.name, target)
            os.rename(file.name, name, src_dir_fd=directory, dst_dir_fd=target)
            if not _is_same(file.stamp, os.stat(name, dir_fd=target, follow_symlinks=False)):
                # The POS has put another in its place, or writes on: it is read as any other.
                os.rename(name, _free_name(file.name, directory), src_dir_fd=target, dst_dir_fd=directory)
            elif delete:
                os.unlink(name, dir_fd=target)
        except FileNotFoundError:
            pass  # taken away by somebody else
        finally:
            os.close(target)

    # Waiting

    async def changed(self) -> None:
        """Returns once it is time to look again: something happened, a file may be whole, or long enough has passed."""
        self._stuck.clear()
        every_s = RESCAN_EVERY_S
        if self._watch is None:
            try:
                self._watch = FolderWatch(self._folder)
            except WatchUnavailableError:
                every_s = UNWATCHED_RESCAN_EVERY_S
            else:
                return  # what happened before the watch began is looked for first
        wait_s = every_s if self._settles_in_s is None else min(every_s, self._settles_in_s)
        if self._watch is None:
            await asyncio.sleep(wait_s)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._watch.event()
                await asyncio.sleep(min(LOOK_AGAIN_AFTER_S, wait_s))

    def close(self) -> None:
        self._leave()
        self._unwatch()

    def _leave(self) -> None:
        if self._directory is not None:
            os.close(self._directory)
            self._directory = None

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None


def _pieces(handle: int, size: int) -> Iterator[bytes]:
    """What is in the file, `size` bytes of it at most."""
    while size > 0 and (piece := os.read(handle, size)):
        size -= len(piece)
        yield piece


def _is_written(handle: int) -> bool | None:
    """Whether anybody has the file open for writing; None where the system cannot tell (fcntl(2), F_SETLEASE).

    A lease of a file that is open for writing is refused. It is given back at once; a POS that opens the file within
    these microseconds waits for them, and the signal that tells us is one that nobody heeds.
    """
    try:
        fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def _is_same(stamp: _Stamp, facts: os.stat_result) -> bool:
    """Whether a renamed file is the one that was read: renaming changes `changed_ns` alone."""
    return (stamp.device, stamp.inode, stamp.size, stamp.modified_ns) == (
        facts.st_dev,
        facts.st_ino,
        facts.st_size,
        facts.st_mtime_ns,
    )


def _free_name(name: str, directory: int) -> str:
    """A name that nothing in `directory` has: `name`, else with a number before it."""
    candidate, number = name, 1
    while True:
        try:
            os.stat(candidate, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return candidate
        number += 1
        candidate = f"{number}-{name}"


def _kept_name(file: _Found) -> str:
    """The file's name as it may be stored: valid Unicode, and without the digits of a payment card.

    Two names that become one so are told apart by the file's number.
    """
    text = os.fsencode(file.name).decode("utf-8", "backslashreplace")
    for start, end in pan_spans(text):
        text = text[:start] + "*" * (end - start) + text[end:]
    return text if text == file.name else f"{text}#{file.stamp.inode}"
