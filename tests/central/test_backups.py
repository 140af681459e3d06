"""The drill: a backup while the centre serves, a loss, a restore; nothing counts twice and nothing comes back."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from central import backups, devices, operations
from central.backups import restore
from central.db.errors import DatabaseError
from central.folder import DataFolder, FolderError
from central.journal import Enrolled, Journal, Moved, Revoked, erased, missing
from sync.enrolment import parse_code
from sync.records import Entry
from tests.central.conftest import RunningCentre, only_postgresql, only_sqlite, serving
from tests.central.till import NOON, RefusedError, Till, receipt


@pytest.fixture
def empty_database(data: Path, request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Where the restored centre has its database: nowhere else for SQLite."""
    if DataFolder(data).settings().database is None:
        yield None
        return
    server = request.getfixturevalue("postgres")
    url = server.database()
    yield url
    server.drop(url)


async def test_a_restored_centre_is_brought_up_to_date_by_what_registers_keep(
    centre: RunningCentre, tmp_path: Path, empty_database: str | None
) -> None:
    # Given a centre that serves, of which a backup is made
    till, lost = await centre.till("1"), await centre.till("2")
    await till.sell(*(receipt(count, code="TS0001") for count in range(1, 4)))
    backups.back_up(centre.folder, tmp_path / "backup", NOON)
    # When it goes on: sales are acknowledged, a register comes, another one is shut out; and then it is lost
    await till.sell(*(receipt(count, code="TS0001") for count in range(4, 6)))
    code = centre.code("3")
    late = await Till.enrolled(centre.ready.device_api, code, centre.session)
    await late.sell(receipt(1, code="TS0002", register="3"))
    Journal(centre.folder.journal).note(Revoked(device=lost.device, at=NOON))
    before = {member: centre.points(member) for member in ("m1", "m2")}
    old_epoch = (await till.snapshot()).centre_epoch
    # And restored from the backup, with the journal of the folder that is still there
    again = DataFolder(tmp_path / "again")
    again.create()
    again.journal.write_bytes(centre.folder.journal.read_bytes())
    done = restore(again, tmp_path / "backup", empty_database, NOON)
    async with serving(again.path) as restored:
        assert restored.points("m1") == 30
        for each in (till, late, lost):
            each.url = restored.ready.device_api
        # Then it says that it is another, and an epoch of before is fenced
        kept = {each: list(each.sent) for each in (till, late)}
        with pytest.raises(RefusedError, match="410"):
            await till.send(5)
        for each, entries in kept.items():
            # And registers, also the one it never saw, send again what they keep, under the same keys
            await each.open_epoch()
            _again(each, entries)
            answer = await each.send(1)
            assert answer.centre_epoch == done.centre_epoch != old_epoch
        # And it comes to what it was: nothing is missing, nothing counts twice
        assert {member: restored.points(member) for member in ("m1", "m2")} == before
        # And neither a used code nor a revoked register is let in
        with pytest.raises(RefusedError, match="used before"):
            await Till(lost.url, again.ca_certificate.read_text(), restored.session).enrol(parse_code(code).token)
        with pytest.raises(RefusedError, match="403"):
            await lost.heartbeat()


def _again(till: Till, entries: list[Entry]) -> None:
    for entry in entries:
        till.entry(entry.kind, entry.key, entry.json)


def test_a_backup_is_whole_or_none(data: Path, tmp_path: Path) -> None:
    folder = DataFolder(data)
    backups.back_up(folder, tmp_path / "backup", NOON)
    names = {path.name for path in (tmp_path / "backup").iterdir()}
    assert names >= {"backup.json", "centre.json", "ca.key", "program.key", "admin.secret"}
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "backup").iterdir()} == {0o600}
    # Not over another one, and not from one that was not finished
    with pytest.raises(FolderError, match="there already"):
        backups.back_up(folder, tmp_path / "backup", NOON)
    (tmp_path / "backup" / "backup.json").unlink()
    with pytest.raises(FolderError, match="no whole backup"):
        restore(DataFolder(tmp_path / "again"), tmp_path / "backup", None, NOON)


@only_sqlite
def test_what_was_there_stays_beside_what_is_restored(data: Path, tmp_path: Path) -> None:
    folder = DataFolder(data)
    backups.back_up(folder, tmp_path / "backup", NOON)
    (data / "centre.db").write_bytes(b"damaged")
    (data / "centre.db-wal").write_bytes(b"of the damaged one")
    restore(folder, tmp_path / "backup", None, NOON)
    left = {path.name: path.read_bytes() for path in data.glob("centre.db*.before-*")}
    assert left == {
        "centre.db.before-20261122T120000": b"damaged",
        "centre.db-wal.before-20261122T120000": b"of the damaged one",
    }


@only_postgresql
def test_a_database_that_holds_something_is_not_restored_over(data: Path, tmp_path: Path) -> None:
    backups.back_up(DataFolder(data), tmp_path / "backup", NOON)
    with pytest.raises(DatabaseError, match="not empty"):
        restore(DataFolder(data), tmp_path / "backup", None, NOON)


def test_a_database_restored_by_other_means_begins_a_new_life_too(data: Path) -> None:
    folder = DataFolder(data)
    first, second = (restore(folder, None, None, NOON) for _ in range(2))
    assert first.centre_epoch != second.centre_epoch
    assert first.of is None


def test_a_line_that_a_crash_cut_short_hides_no_other(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    facts: list[Any] = [
        Enrolled(at=NOON, token_hash="t", device="d1", store="12", register="3", public_key="k"),
        Revoked(at=NOON, device="d1"),
    ]
    journal.note(facts[0])
    with journal.path.open("ab") as file:
        file.write(msgspec.json.encode(facts[0])[:20])
    journal.note(facts[1])
    assert journal.facts() == tuple(facts)


def test_a_disk_that_takes_a_part_of_a_line_leaves_none_of_it(tmp_path: Path) -> None:
    # Given a journal on a disk that has room for a part of the next line
    journal = Journal(tmp_path / "journal.jsonl")
    kept, refused = (Revoked(at=NOON, device=device) for device in ("d1", "d2"))
    journal.note(kept)
    before = journal.path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # When a fact comes, it is not taken for noted
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, hard))
    try:
        with pytest.raises(FolderError, match=r"journal\.jsonl cannot be written .* do the same again"):
            journal.note(refused)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    # Then nothing of it is there, and with room again it is
    assert journal.path.read_bytes() == before
    journal.note(refused)
    assert journal.facts() == (kept, refused)


def test_a_last_line_that_was_cut_short_is_passed_over_wherever_it_was_cut(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    kept, torn = Revoked(at=NOON, device="d1"), Revoked(at=NOON, device="č2")
    journal.note(kept)
    before = journal.path.read_bytes()
    journal.note(torn)
    whole = journal.path.read_bytes()
    for end in range(len(before), len(whole) - 1):
        journal.path.write_bytes(whole[:end])
        assert journal.facts() == ((kept,) if end < len(whole) - 1 else (kept, torn)), end


async def test_what_a_killed_process_did_not_note_is_found(centre: RunningCentre) -> None:
    # Given facts of which the journal has none: a process was killed after each commit
    journal = Journal(centre.folder.journal)
    gone, moved, stays = await centre.till("1"), await centre.till("2"), await centre.till("3")
    centre.write(lambda connection: devices.revoke(connection, gone.device, NOON))
    centre.write(lambda connection: devices.move(connection, moved.device, "13", "9"))
    erasure = centre.write(lambda connection: operations.erase_member(connection, "m1", NOON))
    enrolments = journal.facts()
    # When what is missing is added
    lacking = centre.read(lambda connection: missing(connection, enrolments, NOON))
    journal.note(*lacking)
    # Then it is all there, and nothing is missing any more
    assert set(lacking) == {
        Revoked(at=NOON, device=gone.device),
        Moved(at=NOON, device=moved.device, store="13", register="9"),
        erased(erasure),
    }
    assert centre.read(lambda connection: missing(connection, journal.facts(), NOON)) == ()
    # And of a journal that is gone every fact is found anew
    anew = centre.read(lambda connection: missing(connection, (), NOON))
    places = {(one.device, one.store, one.register) for one in anew if isinstance(one, Enrolled)}
    assert places == {(gone.device, "12", "1"), (moved.device, "13", "9"), (stays.device, "12", "3")}
    assert {one.token_hash for one in anew if isinstance(one, Enrolled)} == {
        one.token_hash for one in enrolments if isinstance(one, Enrolled)
    }
