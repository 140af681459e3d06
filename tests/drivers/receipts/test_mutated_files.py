"""200,000 mutated files for each reader of records: no error, every range within the file, memory bounded."""

from __future__ import annotations

import random
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tests.drivers.receipts.hunting_files import FILES, hunt_files

FILES_EACH = 200_000
MAX_GROWN_BYTES = 50 * 1024 * 1024


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", FILES)
def test_mutated_files_raise_nothing_and_hold_little(name: str) -> None:
    seed = f"{random.randrange(2**32)}"
    print("seed", seed)

    # in a process of its own, which nothing but this has grown
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        found = pool.submit(hunt_files, name, seed, FILES_EACH).result()

    print(f"slowest {found.slowest_ms:.1f} ms, {found.grown_bytes // 1024} KiB more, {found.receipts} receipts")
    assert found.failures[:5] == []
    assert found.grown_bytes < MAX_GROWN_BYTES
    assert found.receipts
