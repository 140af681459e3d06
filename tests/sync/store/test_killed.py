"""SIGKILL in the middle of writing, again and again: what was acknowledged is there, and nothing is there by half."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random, randrange

import pytest

from sync.store.rows import QueuedEntry
from sync.store.store import Store
from tests.sync.store.samples import opened, receipt

KILLS = 30
# Numbers that one life of the process may use.
SPACING = 100_000
MAX_ACKNOWLEDGED = 60
MAX_DELAY_S = 0.003


def killed_while_writing(folder: Path, first: int, random: Random) -> list[int]:
    """Receipts that a process acknowledged before it was killed at a random moment."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.sync.store.till", str(folder), str(first)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    with process:
        acknowledged = [int(process.stdout.readline()) for _ in range(random.randrange(1, MAX_ACKNOWLEDGED))]
        time.sleep(random.random() * MAX_DELAY_S)
        process.kill()
        # The last line may be cut off; its number then counts as not acknowledged.
        acknowledged += [int(line) for line in process.stdout.readlines() if line.endswith(b"\n")]
    return acknowledged


def all_entries(store: Store) -> Iterator[QueuedEntry]:
    page = store.queue()
    while page:
        yield from page
        page = store.queue(after=page[-1].number)


@pytest.mark.long
@pytest.mark.processes
@pytest.mark.timeout(300)
def test_thirty_kills_lose_nothing_acknowledged_and_leave_nothing_by_half(tmp_path: Path) -> None:
    seed = randrange(2**32)
    print(f"seed {seed}")
    random = Random(seed)

    acknowledged = [
        number for life in range(KILLS) for number in killed_while_writing(tmp_path, (life + 1) * SPACING, random)
    ]

    with closing(opened(tmp_path)) as store:
        assert store.status().recovered is None
        entries = list(all_entries(store))
        kept = {entry.key for entry in entries}
        missing = [number for number in acknowledged if receipt(number).key not in kept]
        assert missing == []
        assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
        assert len(kept) == len(entries)
        for entry in entries:
            stored = store.known_receipt([entry.key])
            assert stored is not None
            assert sum(claim.points for claim in stored.claims) == 1
            assert store.meta(f"receipt {stored.receipt.number}") == "captured"
