"""Cuts at random moments of what a process did, and what it had promised before each.

Owns the count. What stands in the files after a cut is looked at by whoever knows them.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.faults.figures import Figures
from tests.faults.power.disk import Disk
from tests.faults.power.trace import Said, traced

_ROOT: Final = Path(__file__).parents[3]
# What the cuts leave is read once and thrown away: no disk has to keep that.
_MEMORY: Final = Path("/dev/shm")


@dataclass(slots=True)
class Promises:
    """What a process said so far, by the word before each number: `try`, `kept`, `refused`, and others of its own."""

    said: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    @property
    def tried(self) -> set[int]:
        return self.said["try"]

    @property
    def kept(self) -> set[int]:
        return self.said["kept"]

    def furthest(self, what: str) -> int:
        return max(self.said[what], default=0)

    def hear(self, text: str) -> None:
        what, _, number = text.partition(" ")
        if number.isdigit():
            self.said[what].add(int(number))


@dataclass(slots=True, kw_only=True)
class Found:
    """What stood there after all cuts. `acknowledged` counts a promise once for each cut that came after it.

    `refused` are those that the process had said no to by the last cut.
    """

    points: int = 0
    acknowledged: int = 0
    lost: int = 0
    double: int = 0
    phantom: int = 0
    refused: int = 0
    broken: list[str] = field(default_factory=list)

    def count(self, promises: Promises, found: list[int], broken: str | None) -> None:
        there = set(found)
        self.points += 1
        self.acknowledged += len(promises.kept)
        self.lost += len(promises.kept - there)
        self.double += len(found) - len(there)
        self.phantom += len(there - promises.tried)
        self.refused = len(promises.said["refused"])
        if broken:
            self.broken.append(broken)

    def figures(self, fault: str, *, row: int = 1) -> Figures:
        return Figures(
            row=row,
            fault=fault,
            points=self.points,
            acknowledged=self.acknowledged,
            lost=self.lost,
            double=self.double,
        )


Look = Callable[[Path, Promises], tuple[list[int], str | None]]
"""Opens what a cut left as its owner does: each number that is there, as often as it is, and what is wrong with it."""


def after_cuts(count: int, folder: Path, module: str, *arguments: str, look: Look, failing: str | None = None) -> Found:
    """Run `module` on `folder`, cut its power `count` times at random moments, and look each time.

    Of the calls that `failing` names some fail before, as `traced` takes them.
    """
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    disk = Disk(folder, chance, ignored=lambda path: path.endswith("-shm"))
    command = [sys.executable, "-m", module, str(folder), *arguments]
    events = list(traced(command, folder.with_name("trace"), cwd=_ROOT, failing=failing))
    promises, found = Promises(), Found()
    done = 0
    for moment in sorted(chance.choices(range(len(events)), k=count)):
        for event in events[done : moment + 1]:
            promises.hear(event.text) if isinstance(event, Said) else disk.follow(event)
        done = moment + 1
        left = _put_down(disk.after_cut(chance))
        try:
            found.count(promises, *look(left, promises))
        finally:
            shutil.rmtree(left)
    print(f"{len(events)} events, {found}")
    return found


def _put_down(files: dict[str, bytes]) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="tillside-cut-", dir=_MEMORY if _MEMORY.is_dir() else None))
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_bytes(content)
        path.chmod(0o600)
    return folder
