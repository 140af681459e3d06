"""Power cuts at any moment: what was acknowledged is there, and nothing is there that nobody tried."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select, text

from central import ledger
from central.db import tables
from central.db.database import Database
from central.folder import DataFolder
from drivers.relay.spool import read_record, segment_name, segment_numbers
from sync.store.rows import QueuedEntry
from sync.store.store import Store
from sync.store.witness import Witness, witness_of
from tests.central.till import NOON
from tests.faults.figures import Tell
from tests.faults.power import centre as centre_process
from tests.faults.power import members
from tests.faults.power import relay as relay_process
from tests.faults.power.cuts import Promises, after_cuts
from tests.sync.store.samples import opened, receipt

CUTS = 1_000
# A centre takes long to open.
CENTRE_CUTS = 100
# Enough where a cut has to find what is known to be lost.
FEW_CUTS = 15
# The disk gives errors.
ERROR_CUTS = 60
ERROR_SALES = "120"
# Which calls of the writing thread fail: one once it sells, and one in so many from then on.
SOME_SYNCS = "fsync,fdatasync:error=EIO:when=20+10"
SOME_WRITES = "pwrite64:error=EIO:when=300+199"
SALES = "160"
CENTRE_SALES = "240"
JOBS = "300"

pytestmark = [
    pytest.mark.processes,
    pytest.mark.usefixtures("strace"),
]


@pytest.fixture
def register(tmp_path: Path) -> Path:
    opened(tmp_path / "register").close()
    return tmp_path / "register"


@pytest.fixture
def centre(tmp_path: Path) -> Path:
    centre_process.make(tmp_path / "centre")
    return tmp_path / "centre"


@pytest.mark.long
def test_a_thousand_cuts_lose_nothing_that_a_register_acknowledged(register: Path, tell: Tell) -> None:
    found = after_cuts(CUTS, register, "tests.faults.power.register", SALES, look=look_at_register)

    tell(found.figures("power cut at a register"))
    assert (found.points, found.lost, found.double, found.phantom, found.broken) == (CUTS, 0, 0, 0, [])
    assert found.acknowledged > CUTS


def test_a_register_that_does_not_sync_its_commits_loses_some(register: Path, tell: Tell) -> None:
    found = after_cuts(FEW_CUTS, register, "tests.faults.power.register", SALES, "--weak", look=look_at_register)

    tell(found.figures("power cut at a register that does not sync: has to lose"))
    assert found.lost > 0


def test_a_position_that_is_kept_before_its_rows_is_found(register: Path) -> None:
    # Few cuts fall between the two.
    cuts = 3 * FEW_CUTS
    found = after_cuts(cuts, register, "tests.faults.power.register", SALES, "--apart", look=look_at_register)

    assert "a row is not of its position" in ", ".join(found.broken)


@pytest.mark.parametrize("failing", [SOME_SYNCS, SOME_WRITES], ids=["syncs", "writes"])
def test_a_disk_that_gives_errors_before_a_cut_loses_nothing_that_was_acknowledged(
    register: Path, failing: str, tell: Tell
) -> None:
    found = after_cuts(
        ERROR_CUTS, register, "tests.faults.power.register", ERROR_SALES, look=look_at_register, failing=failing
    )

    tell(found.figures(f"EIO of {failing.partition(':')[0]}, then a power cut", row=17))
    assert (found.points, found.lost, found.double, found.phantom, found.broken) == (ERROR_CUTS, 0, 0, 0, [])
    assert found.refused > 0
    assert found.acknowledged > ERROR_CUTS


def test_a_register_that_takes_no_heed_of_a_refusal_loses_some(register: Path, tell: Tell) -> None:
    arguments = ERROR_SALES, "--deaf"
    found = after_cuts(
        FEW_CUTS, register, "tests.faults.power.register", *arguments, look=look_at_register, failing=SOME_SYNCS
    )

    tell(found.figures("EIO at a register that takes no heed of it: has to lose", row=17))
    assert found.lost > 0


@pytest.mark.long
def test_a_thousand_cuts_lose_no_job_that_was_spooled(tmp_path: Path, tell: Tell) -> None:
    (tmp_path / "spool").mkdir()

    found = after_cuts(CUTS, tmp_path / "spool", "tests.faults.power.relay", JOBS, look=look_at_spool)

    tell(found.figures("power cut at a relay"))
    assert (found.points, found.lost, found.double, found.phantom, found.broken) == (CUTS, 0, 0, 0, [])
    assert found.acknowledged > CUTS


@pytest.mark.long
def test_cuts_lose_nothing_that_the_centre_acknowledged(centre: Path, tell: Tell) -> None:
    found = after_cuts(CENTRE_CUTS, centre, "tests.faults.power.centre", CENTRE_SALES, look=look_at_centre)

    tell(found.figures("power cut at the centre"))
    assert (found.points, found.lost, found.double, found.phantom, found.broken) == (CENTRE_CUTS, 0, 0, 0, [])
    assert found.acknowledged > CENTRE_CUTS


def test_a_centre_that_does_not_sync_its_commits_loses_some(centre: Path, tell: Tell) -> None:
    found = after_cuts(FEW_CUTS, centre, "tests.faults.power.centre", CENTRE_SALES, "--weak", look=look_at_centre)

    tell(found.figures("power cut at a centre that does not sync: has to lose"))
    assert found.lost > 0


def look_at_register(folder: Path, promises: Promises) -> tuple[list[int], str | None]:
    keys = {receipt(number).key: number for number in promises.tried}
    witnessed = Witness(witness_of(folder / "store.db")).count or 0
    with closing(opened(folder)) as store:
        entries = list(entries_of(store))
        there = [keys.get(entry.key, -1) for entry in entries]
        receipts = {kept.key for _, _, kept in store.receipt_page(0, 2 * len(promises.tried))}
        epoch = store.epoch()
        settled = epoch.acked_through if epoch is not None else 0
        wrong = {
            "the file was corrupt": store.status().recovered is not None,
            "a number is missing": [entry.number for entry in entries] != list(range(1, len(entries) + 1)),
            "an answer of the centre is forgotten": settled < promises.furthest("settled"),
            "a receipt is there by half": any(
                entry.key not in receipts or store.meta(f"receipt {keys.get(entry.key, -1)}") != "captured"
                for entry in entries
            ),
            **members.wrong_with(store, promises, witnessed),
        }
    return there, ", ".join(name for name, is_so in wrong.items() if is_so)


def entries_of(store: Store) -> Iterator[QueuedEntry]:
    page = store.queue()
    while page:
        yield from page
        page = store.queue(after=page[-1].number)


def look_at_spool(folder: Path, promises: Promises) -> tuple[list[int], str | None]:
    there: list[int] = []
    for number in segment_numbers(folder):
        segment, offset = (folder / segment_name(number)).read_bytes(), 0
        while (found := read_record(segment, offset)) is not None:
            job = int(found.payload.split(b" ", 1)[0])
            if segment[offset : found.end] != relay_process.record(job):
                return there, "a job was changed"
            there.append(job)
            offset = found.end
    return there, None


def look_at_centre(folder: Path, promises: Promises) -> tuple[list[int], str | None]:
    database = Database(DataFolder(folder).database)
    with closing(database):
        database.check_version()
        entries = database.read_now(lambda connection: connection.execute(select(tables.entries)).all())
        receipts = database.read_now(lambda connection: connection.execute(select(tables.receipts.c.key)).all())
        marks = database.read_now(lambda connection: connection.execute(select(tables.epochs.c.acked_through)).all())
        wrong = {
            "it is corrupt": database.read_now(
                lambda connection: connection.execute(text("PRAGMA integrity_check")).scalar_one() != "ok"
            ),
            "entries and receipts are not the same": {each.key for each in entries} != {each.key for each in receipts},
            "the mark is not the last entry": [mark.acked_through for mark in marks] not in ([], [len(entries)]),
            "a balance is not its ledger": bool(
                database.read_now(lambda connection: ledger.check_balances(connection, NOON))
            ),
        }
    return [each.seq for each in entries], ", ".join(name for name, is_so in wrong.items() if is_so)
