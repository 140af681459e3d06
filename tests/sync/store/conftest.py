from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.store.store import Store
from tests.sync.store.samples import Clock, opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    with_store = opened(tmp_path, clock)
    yield with_store
    with_store.close()
