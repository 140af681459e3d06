"""A look at a store ends when its time is over, within a table too, and says how far it came."""

from __future__ import annotations

from contextlib import closing
from itertools import chain, repeat
from pathlib import Path

import pytest

from sync.keys import STORE_KEY, STORE_KEY_BYTES, keeper_for
from sync.store.errors import StoreTooNewError
from sync.store.looking import looked_at
from sync.store.sqlite import connect
from sync.store.store import Store

ROWS = 20_000


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, bytes]:
    """A store's file with a table before all others that takes thousands of steps to read, and its key."""
    path, keeper = tmp_path / "state" / "store.db", keeper_for(tmp_path / "state")
    Store.open(path, keeper).close()
    key = keeper.find(STORE_KEY, STORE_KEY_BYTES)
    assert key is not None
    with closing(connect(path, key)) as connection:
        connection.execute("CREATE TABLE A (number INTEGER NOT NULL, text TEXT NOT NULL)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO A VALUES (?, ?)", ((number, "x" * 40) for number in range(ROWS)))
        connection.execute("COMMIT")
    return path, key


def test_with_time_enough_all_is_read(kept: tuple[Path, bytes]) -> None:
    look = looked_at(*kept, within_s=600)

    assert look.fault == ""
    assert look.read == look.tables > 10
    assert look.version == look.known > 0
    assert look.file_bytes == kept[0].stat().st_size


def test_time_that_ends_between_tables_or_within_one_leaves_the_rest_unread(kept: tuple[Path, bytes]) -> None:
    for there_is_time in (1, 2):
        # Given a clock that says so often that there is time, when it is set and before the first table
        times = chain(repeat(0.0, there_is_time), repeat(100.0))

        look = looked_at(*kept, within_s=5, monotonic_s=times.__next__)

        assert (look.read, look.fault) == (0, "")
        assert look.tables > 10


def test_a_store_of_a_later_version_is_left_alone(kept: tuple[Path, bytes]) -> None:
    with closing(connect(*kept)) as connection:
        connection.execute("PRAGMA user_version = 9999")
        connection.execute("DELETE FROM meta WHERE name = 'readable_from'")

    with pytest.raises(StoreTooNewError, match="newer version"):
        looked_at(*kept)
