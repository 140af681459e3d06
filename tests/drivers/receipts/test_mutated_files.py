"""200,000 mutated files for each reader of records: no error, every range within the file, memory bounded."""

from __future__ import annotations

import random
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import pytest

from tests.drivers.receipts.hunting_files import FILES, hunt_files

FILES_EACH = 200_000
CORES = 2
SHARDS = 2
MAX_GROWN_BYTES = 50 * 1024 * 1024


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", FILES)
def test_mutated_files_raise_nothing_and_hold_little(name: str) -> None:
    seeds = [f"{random.randrange(2**32)}-{shard}" for shard in range(SHARDS)]
    print("seeds", *seeds)
    # each in a process of its own core, which nothing but this has grown
    with ProcessPoolExecutor(max_workers=CORES, mp_context=get_context("spawn")) as pool:
        hunts = list(pool.map(partial(hunt_files, name, jobs=FILES_EACH // SHARDS), seeds))
    for found in hunts:
        print(f"slowest {found.slowest_ms:.1f} ms, {found.grown_bytes // 1024} KiB more, {found.receipts} receipts")
        assert found.failures[:5] == []
        assert found.grown_bytes < MAX_GROWN_BYTES
        assert found.receipts
