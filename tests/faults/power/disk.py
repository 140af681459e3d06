"""A disk that can lose its power: what was synced is there, of anything else any part.

Owns what a cut may leave, in sectors of 512 bytes: what was written after the last sync stays, goes, or stays in part,
in whatever order the disk pleases; so do names that were given, changed or taken away since their folder was synced,
but in their order, as journaling file systems do it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from tests.faults.power.trace import (
    Cut,
    Event,
    Opened,
    Removed,
    Renamed,
    Synced,
    SyncFailed,
    Syncing,
    WriteFailed,
    Wrote,
)

SECTOR: Final = 512
# How likely a sector survives that was written and not synced.
_LUCK: Final = (0.0, 0.1, 0.5, 0.9, 1.0)


@dataclass(slots=True)
class _File:
    """`kept` is what the disk promised to have; `asked` is what was asked of it since."""

    kept: bytearray = field(default_factory=bytearray)
    asked: list[Wrote | Cut] = field(default_factory=list)
    has_name: bool = False


_Name = tuple[str, _File | None]
"""A name and what it leads to from now on."""


class Disk:
    """The files under `folder`, followed through what a process does to them."""

    def __init__(self, folder: Path, chance: Random, *, ignored: Callable[[str], bool] = lambda path: False) -> None:
        """`ignored` are files that a start makes anew, such as SQLite's shared memory."""
        self._folder = folder
        self._chance = chance
        self._ignored = ignored
        self._now: dict[str, _File] = {}
        for path in folder.rglob("*"):
            if path.is_file() and not ignored(str(path)):
                self._now[str(path)] = _File(kept=bytearray(path.read_bytes()), has_name=True)
        self._kept_names = dict(self._now)
        self._asked_names: list[_Name] = []
        self._syncing: dict[tuple[str, int], tuple[_File | None, int]] = {}

    def follow(self, event: Event) -> None:
        path = getattr(event, "path", "")
        if not path.startswith(str(self._folder)) or self._ignored(path):
            return
        match event:
            case Opened(made=made, emptied=emptied):
                if made and path not in self._now:
                    self._name(path, _File())
                if emptied and path in self._now:
                    self._now[path].asked.append(Cut(path=path, length=0))
            case Wrote() | Cut():
                self._now[path].asked.append(event)
            case WriteFailed(write=write):
                asked = self._now[path].asked
                asked[:] = [each for each in asked if each is not write]
            case Removed():
                self._name(path, None)
            case Renamed(to=to):
                file = self._now[path]
                self._name(to, file)
                self._name(path, None)
            case Syncing() | Synced() | SyncFailed():
                self._sync(path, event)

    def _sync(self, path: str, event: Syncing | Synced | SyncFailed) -> None:
        match event:
            case Syncing(thread=thread):
                synced = self._now.get(path)
                count = len(synced.asked) if synced is not None else len(self._asked_names)
                self._syncing[path, thread] = (synced, count)
            case Synced(thread=thread):
                synced, count = self._syncing.pop((path, thread))
                self._keep_names(count) if synced is None else self._keep(synced, count)
            case SyncFailed(thread=thread):
                synced, count = self._syncing.pop((path, thread))
                if synced is not None:
                    self._give_up(synced, count)

    def _name(self, path: str, file: _File | None) -> None:
        if file is None:
            del self._now[path]
        else:
            self._now[path] = file
        self._asked_names.append((path, file))

    def _keep(self, file: _File, count: int) -> None:
        for each in file.asked[:count]:
            _apply(file.kept, each)
        del file.asked[:count]
        # A journaling file system that keeps a new file keeps its name too.
        last = max((place for place, (_, named) in enumerate(self._asked_names) if named is file), default=-1)
        self._keep_names(last + 1)

    def _give_up(self, file: _File, count: int) -> None:
        """A sync failed: what it was to keep is there or not, and no later sync brings it (Linux marks it as clean)."""
        file.kept = bytearray(_torn(file.kept, file.asked[:count], self._chance.choice(_LUCK), self._chance))
        del file.asked[:count]

    def _keep_names(self, count: int) -> None:
        _rename(self._kept_names, self._asked_names[:count])
        del self._asked_names[:count]

    def after_cut(self, chance: Random) -> dict[str, bytes]:
        """What may be found after the power went now, by path below the folder."""
        luck = chance.choice(_LUCK)
        names = dict(self._kept_names)
        survived = chance.randint(0, len(self._asked_names))
        _rename(names, self._asked_names[:survived])
        return {
            path[len(str(self._folder)) + 1 :]: _torn(file.kept, file.asked, luck, chance)
            for path, file in names.items()
        }


def _rename(names: dict[str, _File], changes: Iterable[_Name]) -> None:
    for path, file in changes:
        if file is None:
            names.pop(path, None)
        else:
            names[path] = file


def _torn(kept: bytearray, asked: Iterable[Wrote | Cut], luck: float, chance: Random) -> bytes:
    content = bytearray(kept)
    for each in asked:
        if isinstance(each, Cut):
            if chance.random() < luck:
                _apply(content, each)
            continue
        for sector in _sectors(each):
            if chance.random() < luck:
                _apply(content, sector)
    return bytes(content)


def _sectors(write: Wrote) -> Iterable[Wrote]:
    """The parts of a write that the disk keeps or loses each by itself."""
    at, end = write.offset, write.offset + len(write.data)
    while at < end:
        until = min(end, (at // SECTOR + 1) * SECTOR)
        yield Wrote(path=write.path, offset=at, data=write.data[at - write.offset : until - write.offset])
        at = until


def _apply(content: bytearray, change: Wrote | Cut) -> None:
    if isinstance(change, Cut):
        del content[change.length :]
        content.extend(bytes(change.length - len(content)))
        return
    content.extend(bytes(max(0, change.offset - len(content))))
    content[change.offset : change.offset + len(change.data)] = change.data
