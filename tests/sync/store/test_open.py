"""Opening a store: whose file it is, whether it is whole, and what is never touched."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from sync.keys import STORE_KEY, STORE_KEY_BYTES
from sync.store.errors import (
    SqliteUnsafeError,
    StoreInUseError,
    StoreKeyError,
    StoreTooNewError,
    StoreUnavailableError,
)
from sync.store.examination import READ_WHOLE_BYTES, examined
from sync.store.schema import MIGRATIONS, version_of
from sync.store.sqlite import PAGE_BYTES, connect, has_wal_reset_bug, refuse_unsafe
from tests.sync.store.samples import capturing, keeper, member, opened, receipt, upsert

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def filled(folder: Path, receipts: int = 3) -> None:
    with closing(opened(folder)) as store:
        for number in range(receipts):
            store.submit(capturing(number)).result()


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("store.db*") if file.suffix != ".lock"}


def test_what_was_written_is_there_again(tmp_path: Path) -> None:
    filled(tmp_path)

    with closing(opened(tmp_path)) as store:
        assert [entry.key for entry in store.queue()] == [receipt(number).key for number in range(3)]
        assert store.status().recovered is None


def test_all_files_are_private(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as store:
        store.submit(capturing(1)).result()
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.glob("store.db*")}

    assert set(modes) == {f"store.db{end}" for end in ("", "-wal", "-shm", ".lock", ".key-id", ".witness")}
    assert set(modes.values()) == {0o600}


def test_nothing_can_be_read_without_the_key(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as store:
        store.submit(lambda writing: writing.apply_changes([upsert(1, member("m-ana", "CARD4711"))], 1, None)).result()
        kept = b"".join(bytes_of(tmp_path).values())

    kept += b"".join(bytes_of(tmp_path).values())
    assert b"CARD4711" not in kept
    assert b"m-ana" not in kept
    assert b"SQLite format 3" not in kept


def test_a_lost_header_does_not_lose_the_file(tmp_path: Path) -> None:
    filled(tmp_path)
    path = tmp_path / "store.db"
    path.write_bytes(bytes(16) + path.read_bytes()[16:])

    with closing(opened(tmp_path)) as store:
        assert store.queued() == 3


def test_a_second_process_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from tests.sync.store.samples import opened
opened(Path({str(tmp_path)!r}))
"""
    with closing(opened(tmp_path)):
        second = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert second.returncode != 0
    assert StoreInUseError.__name__ in second.stderr
    assert f"process {os.getpid()} has the store" in second.stderr


def test_the_lock_goes_with_the_store(tmp_path: Path) -> None:
    opened(tmp_path).close()

    opened(tmp_path).close()


def test_another_key_is_refused_and_nothing_touched(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "keys" / STORE_KEY).write_bytes(bytes(STORE_KEY_BYTES))
    before = bytes_of(tmp_path)

    with pytest.raises(StoreKeyError, match="put the key back"):
        opened(tmp_path)
    assert bytes_of(tmp_path) == before


def test_another_key_is_told_from_damage_by_the_salt_where_the_fingerprint_is_gone(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "store.db.key-id").unlink()
    (tmp_path / "keys" / STORE_KEY).write_bytes(bytes(STORE_KEY_BYTES))

    with pytest.raises(StoreKeyError):
        opened(tmp_path)


def test_a_lost_key_is_not_replaced_by_a_new_one(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "keys" / STORE_KEY).unlink()

    with pytest.raises(StoreKeyError, match="put the key back"):
        opened(tmp_path)
    assert not (tmp_path / "keys" / STORE_KEY).exists()


def test_a_store_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    filled(tmp_path)
    key = keeper(tmp_path).get_or_create(STORE_KEY, STORE_KEY_BYTES)
    with closing(connect(tmp_path / "store.db", key)) as newer:
        newer.execute("PRAGMA user_version = 99")
        newer.execute("UPDATE meta SET value = '99' WHERE name = 'readable_from'")
    before = bytes_of(tmp_path)

    with pytest.raises(StoreTooNewError, match="version 99"):
        opened(tmp_path)
    assert {name: kept for name, kept in bytes_of(tmp_path).items() if name in before} == before


def test_a_store_that_a_newer_version_only_added_to_is_gone_on_with(tmp_path: Path) -> None:
    """An update that is gone back from takes nothing with it that was queued meanwhile."""
    filled(tmp_path)
    with closing(opened(tmp_path)) as store:
        queued = store.queued()
    key = keeper(tmp_path).get_or_create(STORE_KEY, STORE_KEY_BYTES)
    with closing(connect(tmp_path / "store.db", key)) as newer:
        newer.execute("CREATE TABLE of_tomorrow (id INTEGER PRIMARY KEY) STRICT")
        newer.execute("ALTER TABLE receipts ADD COLUMN of_tomorrow TEXT")
        newer.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")

    with closing(opened(tmp_path)) as store:
        store.submit(capturing(queued)).result()
        assert store.queued() == queued + 1
    with closing(connect(tmp_path / "store.db", key)) as again:
        assert version_of(again) == len(MIGRATIONS) + 1


@pytest.mark.parametrize(
    "damage", ["first page", "random bytes", "empty header", "cut short", "a later page", "a text"]
)
def test_a_damaged_file_is_renamed_and_selling_goes_on(tmp_path: Path, damage: str) -> None:
    filled(tmp_path, receipts=20)
    path = tmp_path / "store.db"
    whole = path.read_bytes()
    random = Random(20261122)
    path.write_bytes(
        {
            "first page": random.randbytes(PAGE_BYTES) + whole[PAGE_BYTES:],
            "random bytes": random.randbytes(len(whole)),
            "empty header": bytes(PAGE_BYTES) + whole[PAGE_BYTES:],
            "cut short": whole[: 3 * PAGE_BYTES + 100],
            "a later page": whole[: 4 * PAGE_BYTES] + random.randbytes(PAGE_BYTES) + whole[5 * PAGE_BYTES :],
            "a text": b"this is no database at all",
        }[damage]
    )
    damaged = path.read_bytes()

    with closing(opened(tmp_path)) as store:
        recovered = store.status().recovered
        assert recovered is not None
        assert Path(recovered.moved_to).read_bytes() == damaged
        assert store.queued() == 0
        store.submit(capturing(1)).result()
        assert [kept.reason for kept in store.quarantined()] == ["corrupt_store"]
    with closing(opened(tmp_path)) as store:
        # told until what can be read of it is brought back
        assert store.status().recovered == recovered
        assert store.status().quarantined == 1
        assert store.queued() == 1


def test_two_damaged_files_are_both_kept(tmp_path: Path) -> None:
    for _ in range(2):
        filled(tmp_path)
        (tmp_path / "store.db").write_bytes(b"x" * PAGE_BYTES)
        opened(tmp_path).close()

    assert len(list(tmp_path.glob("store.db.corrupt-*-[0-9]"))) == 2


def test_a_start_that_ends_right_after_the_damaged_file_was_renamed_loses_nothing(tmp_path: Path) -> None:
    # given a start that renamed the file and ended before the new one had a note of it
    filled(tmp_path)
    path = tmp_path / "store.db"
    path.write_bytes(bytes(PAGE_BYTES) + path.read_bytes()[PAGE_BYTES:])
    key = keeper(tmp_path).get_or_create(STORE_KEY, STORE_KEY_BYTES)
    moved = examined(path, key, lambda: NOON, recover=True)
    assert moved is not None

    # then the next start tells of it, once
    for _ in range(2):
        with closing(opened(tmp_path)) as store:
            recovered = store.status().recovered
            assert recovered is not None
            assert recovered.moved_to == moved.moved_to
            assert [kept.reason for kept in store.quarantined()] == ["corrupt_store"]


def test_of_several_files_set_aside_the_newest_is_told_of(tmp_path: Path) -> None:
    for number in (9, 10):
        (tmp_path / f"store.db.corrupt-20261128T100000Z-{number}").write_bytes(b"x" * PAGE_BYTES)
    (tmp_path / "store.db.corrupt-20261128T100000Z-10-wal").write_bytes(b"x")
    (tmp_path / "store.db.corrupt-20251128T100000Z-99").write_bytes(b"x" * PAGE_BYTES)

    with closing(opened(tmp_path)) as store:
        recovered = store.status().recovered
        assert recovered is not None
        assert Path(recovered.moved_to).name == "store.db.corrupt-20261128T100000Z-10"


def test_damage_that_shows_while_running_has_the_whole_file_read_at_the_next_start(tmp_path: Path) -> None:
    # given a store too long to be read whole at every start, with a page that cannot be read
    raw = bytes(READ_WHOLE_BYTES)
    with closing(opened(tmp_path)) as store:
        kept_id = store.submit(lambda writing: writing.quarantine("till", "unreadable", "", raw)).result()
    path = tmp_path / "store.db"
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // PAGE_BYTES // 2 * PAGE_BYTES)
        file.write(bytes(PAGE_BYTES))

    # when it is met
    with closing(opened(tmp_path)) as store, pytest.raises(StoreUnavailableError, match="restart the register"):
        store.quarantined_raw(kept_id)

    # then the next start finds it, and only that one
    for _ in range(2):
        with closing(opened(tmp_path)) as store:
            assert store.status().recovered is not None
    assert len(list(tmp_path.glob("store.db.corrupt-*-0"))) == 1


@pytest.mark.parametrize(
    ("version", "unsafe"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 0), False),
    ],
)
def test_a_sqlite_that_can_lose_commits_is_known(version: tuple[int, int, int], unsafe: bool) -> None:
    assert has_wal_reset_bug(version) is unsafe


def test_it_is_refused_with_the_remedy_and_the_linked_one_is_not() -> None:
    with pytest.raises(SqliteUnsafeError, match=r"3\.40\.1.*install sqlcipher3"):
        refuse_unsafe((3, 40, 1))
    refuse_unsafe()
