"""What a process asks the disk to do, heard by strace: writes, syncs, names, and what it printed meanwhile.

Owns reading strace's lines. Never knows what a power cut leaves of them.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CALLS: Final = (
    "openat,write,pwrite64,lseek,ftruncate,fsync,fdatasync,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat"
)
# More than any page, record or line that is written at once.
_LONGEST_WRITE: Final = 4_000_000
_ENDS_WITHIN_S: Final = 300

_LINE = re.compile(r"(?P<thread>\d+) +(?P<rest>.*)")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(?P<rest>.*)")
_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*?)\)? += (?P<result>-?\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_FILE = re.compile(r"(?P<number>\d+|AT_FDCWD)<(?P<name>(?:\\x[0-9a-f]{2})*)>")
_UNFINISHED: Final = " <unfinished ...>"
_WRITES: Final = ("write(", "pwrite64(")
_SYNCS: Final = ("fsync(", "fdatasync(")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A line that the process printed."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A file was opened; `made` if it may be new, `emptied` if what it held goes."""

    path: str
    made: bool
    emptied: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrote:
    path: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A file's length was set."""

    path: str
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Syncing:
    """The disk was asked to keep a file or folder; what is asked from now on is not part of it."""

    path: str
    thread: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """It said that it did."""

    path: str
    thread: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncFailed:
    """It said that it did not."""

    path: str
    thread: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteFailed:
    """The disk refused what was told of before as written."""

    path: str
    write: Wrote


@dataclass(frozen=True, slots=True, kw_only=True)
class Renamed:
    path: str
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    path: str


Event = Said | Opened | Wrote | Cut | Syncing | Synced | SyncFailed | WriteFailed | Renamed | Removed


def traced(command: Sequence[str], log: Path, *, cwd: Path, failing: str | None = None) -> Iterator[Event]:
    """Run `command` to its end and give what it asked of the disk, in order. Raises CalledProcessError.

    `failing` are calls that fail instead, as strace takes them: `fsync:error=EIO:when=20+15`.
    """
    options = ["-f", "-qq", "-y", "-xx", "-s", str(_LONGEST_WRITE), "--seccomp-bpf", "-e", f"trace={_CALLS}"]
    if failing is not None:
        options += ["-e", f"inject={failing}"]
    subprocess.run(
        ["strace", *options, "-o", str(log), *command],
        check=True,
        stdout=subprocess.PIPE,
        timeout=_ENDS_WITHIN_S,
        cwd=cwd,
    )
    with log.open(encoding="ascii") as lines:
        yield from _Reader().events(lines)


class _Reader:
    """Follows threads whose calls overlap, and where the next byte of each open file goes."""

    def __init__(self) -> None:
        self._begun: dict[int, str] = {}
        self._places: dict[tuple[int, str], int] = {}
        self._appending: set[tuple[int, str]] = set()
        self._lengths: dict[str, int] = {}
        self._writing: dict[int, Wrote] = {}

    def events(self, lines: Iterator[str]) -> Iterator[Event]:
        for line in lines:
            found = _LINE.match(line.rstrip("\n"))
            if found is None:
                continue
            thread, rest = int(found["thread"]), found["rest"]
            if rest.endswith(_UNFINISHED):
                begun = self._begun[thread] = rest.removesuffix(_UNFINISHED)
                yield from self._asked(begun, thread)
            elif resumed := _RESUMED.match(rest):
                yield from self._done(self._begun.pop(thread) + resumed["rest"], thread)
            else:
                yield from self._asked(rest, thread)
                yield from self._done(rest, thread)

    def _asked(self, call: str, thread: int) -> Iterator[Event]:
        """A call that has begun: what it says may happen from now on."""
        name, _, arguments = call.partition("(")
        if name in ("fsync", "fdatasync"):
            yield Syncing(path=_file(arguments)[1], thread=thread)
        elif name in ("write", "pwrite64"):
            yield from self._wrote(name, arguments, thread)

    def _done(self, call: str, thread: int) -> Iterator[Event]:
        """A call with its result. A write is most of a trace, in long lines, and told of already."""
        if call.rpartition(" = ")[2].startswith("-"):
            yield from self._failed(call, thread)
            return
        found = None if call.startswith(_WRITES) else _CALL.match(call)
        if found is None:
            return
        name, arguments = found["name"], found["arguments"]
        match name:
            case "fsync" | "fdatasync":
                yield Synced(path=_file(arguments)[1], thread=thread)
            case "ftruncate":
                path, length = _file(arguments)[1], int(arguments.rpartition(",")[2])
                self._lengths[path] = length
                yield Cut(path=path, length=length)
            case "lseek":
                self._places[_file(arguments)] = int(found["result"])
            case "openat":
                yield from self._opened(call, arguments)
            case "unlink" | "unlinkat":
                texts = _texts(arguments)
                self._lengths.pop(texts[0], None)
                yield Removed(path=texts[0])
            case "rename" | "renameat" | "renameat2":
                texts = _texts(arguments)
                self._lengths[texts[1]] = self._lengths.pop(texts[0], 0)
                yield Renamed(path=texts[0], to=texts[1])

    def _failed(self, call: str, thread: int) -> Iterator[Event]:
        if call.startswith(_WRITES):
            wrote = self._writing.pop(thread)
            yield WriteFailed(path=wrote.path, write=wrote)
        elif call.startswith(_SYNCS):
            yield SyncFailed(path=_file(call)[1], thread=thread)

    def _opened(self, call: str, arguments: str) -> Iterator[Event]:
        number, path = _file(call.rpartition("= ")[2])
        if "O_DIRECTORY" in arguments:
            return
        if "O_TRUNC" in arguments:
            self._lengths[path] = 0
        self._places[number, path] = 0
        self._appending.discard((number, path))
        if "O_APPEND" in arguments:
            self._appending.add((number, path))
        yield Opened(path=path, made="O_CREAT" in arguments, emptied="O_TRUNC" in arguments)

    def _wrote(self, name: str, arguments: str, thread: int) -> Iterator[Event]:
        file = _file(arguments)
        text = arguments[arguments.index('"') + 1 : arguments.rindex('"')]
        data = bytes.fromhex(text.replace("\\x", ""))
        if file[0] == 1:
            yield from (Said(text=line) for line in data.decode().splitlines())
            return
        if name == "pwrite64":
            offset = int(arguments.partition(")")[0].rpartition(",")[2])
        else:
            offset = self._lengths.get(file[1], 0) if file in self._appending else self._places.get(file, 0)
            self._places[file] = offset + len(data)
        self._lengths[file[1]] = max(self._lengths.get(file[1], 0), offset + len(data))
        wrote = self._writing[thread] = Wrote(path=file[1], offset=offset, data=data)
        yield wrote


def _texts(arguments: str) -> list[str]:
    return [bytes.fromhex(text.replace("\\x", "")).decode() for text in _TEXT.findall(arguments)]


def _file(arguments: str) -> tuple[int, str]:
    """The number and the path of an open file."""
    found = _FILE.search(arguments)
    assert found is not None, arguments
    number = -1 if found["number"] == "AT_FDCWD" else int(found["number"])
    return number, bytes.fromhex(found["name"].replace("\\x", "")).decode()
