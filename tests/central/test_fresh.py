"""Many receipts at once come to the same as one by one."""

from __future__ import annotations

import random
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, Table
from structlog.testing import capture_logs

from central import devices, enrolling, folding, ledger, limits, operations, receipts
from central.db import tables
from central.db.database import Database
from central.folder import DataFolder
from central.ingest import Applied, ingest
from loyalty.entry_rules import corrected_rule
from loyalty.limits import Limits
from loyalty.program import Program, program_from_json
from loyalty.receipt import Fiscal, Receipt
from sync.records import AttachBody, ReceiptBody
from sync.wire import EnrolRequest, EpochRequest
from tests.central.till import FACTS, NOON, Till, claims_of, receipt, returned

ENTRIES = 120
# In the middle of the shift: the second member's card is good before and held after.
BLOCKED_AT = NOON + timedelta(minutes=ENTRIES // 2)
# What must be the same, without what only says in which order rows came.
COMPARED = {
    tables.receipts: ("key", "status", "member", "code", "original", "state", "body", "claims", "knew_member"),
    tables.receipt_keys: ("key", "receipt"),
    tables.waits: ("receipt", "what"),
    tables.variances: ("receipt", "member", "claimed", "given", "detail", "resolved_at"),
    tables.balances: ("member", "confirmed", "pending"),
}


@contextmanager
def _database(folder: Path) -> Iterator[Database]:
    database = Database(DataFolder(folder).database)
    try:
        yield database
    finally:
        database.close()


def _shift(till: Till, program: Program, chance: random.Random) -> None:
    """A shift in which everything happens: repeats, other ids, returns early and late, unknown cards."""
    sales: list[Receipt] = []
    late: list[Receipt] = []
    for count in range(1, ENTRIES + 1):
        code = chance.choice([None, "TS0001", "TS0002", "TS9999"])
        fiscal = chance.choice([msgspec.UNSET, Fiscal(scheme="rs-purs", number=f"A-A-{count}")])
        made = receipt(count, chance.randrange(1, 500_00), code=code, fiscal=fiscal)
        match chance.choice(["sale"] * 5 + ["again", "back", "early", "late", "attach", "other", "parked", "void"]):
            case "again" if sales:
                seen = chance.choice(sales)
                till.sale(msgspec.structs.replace(seen, source="again", lines=seen.lines if count % 2 else ()))
            case "back" if sales:
                till.sale(returned(count, chance.choice(sales), -chance.randrange(1, 100_00)))
            case "early":
                till.sale(returned(count + 1000, made))
                late.append(made)
            case "late" if late:
                till.sale(late.pop())
            case "attach" if sales:
                till.attach(
                    chance.choice([made, chance.choice(sales)]).key, chance.choice(["TS0001", "TS0002", "TS9999"])
                )
                till.sale(made)
            case "parked":
                till.sale(msgspec.structs.replace(made, status="suspended", total_minor=1))
                till.sale(made)
                sales.append(made)
            case "void" if sales:
                till.sale(msgspec.structs.replace(chance.choice(sales), status="voided"))
            case "other" if sales:
                till.sale(msgspec.structs.replace(chance.choice(sales), total_minor=1))
            case _:
                wrong = count % 7 == 0 and code is not None
                till.sale(made, member="m2" if wrong else None, claims=claims_of(made, program) if wrong else ())
                sales.append(made)


def _enrolled(connection: Connection, till: Till) -> None:
    """A device with an epoch; the same ids in every database."""
    enrolling.create_enrolment(
        connection, token="t", store="12", register="3", valid_for=devices.REQUEST_IDS_KEPT, now=NOON
    )
    request = EnrolRequest(token="t", public_key=till.public_key, facts=FACTS)
    device = enrolling.enrol(connection, request, now=NOON, randomness=bytes).device
    epoch = EpochRequest(facts=FACTS)
    till.device = device.id
    till.epoch = devices.open_epoch(connection, device, epoch, request_id="e", now=NOON, randomness=bytes)


def _one_by_one(connection: Connection, till: Till) -> None:
    for entry in till.sent:
        if entry.kind == "receipt":
            receipt_body = msgspec.json.decode(entry.json, type=ReceiptBody)
            seen = receipts.see_receipt(connection, till.device, receipt_body, NOON)
        else:
            attach_body = msgspec.json.decode(entry.json, type=AttachBody)
            seen = receipts.attach(connection, till.epoch, entry, attach_body)
        folding.settle(connection, seen.touched, NOON)


def _take(database: Database, till: Till, first: int, last: int) -> Applied:
    """A batch of these entries."""

    def work(connection: Connection) -> object:
        batch = till.batch(first, last)
        request_id = secrets.token_hex(8)
        return ingest(connection, till.device, batch, request_id=request_id, fingerprint="f", now=NOON)

    applied = database.write_now(work)
    assert isinstance(applied, Applied)
    return applied


def _state(database: Database) -> dict[str, Any]:
    points: Counter[tuple[str, str, str]] = Counter()
    for row in database.read_now(lambda connection: connection.execute(tables.ledger.select()).all()):
        points[row.member, row.receipt, corrected_rule(row.rule)] += row.points
    return {"ledger": {name: total for name, total in points.items() if total}} | {
        table.name: sorted(
            tuple(map(repr, row))
            for row in database.read_now(
                lambda connection, table=table, names=names: connection.execute(  # type: ignore[misc]
                    table.select().with_only_columns(*(table.c[name] for name in names))
                ).all()
            )
        )
        for table, names in COMPARED.items()
    }


@pytest.mark.parametrize("batch", [1, 7, ENTRIES])
def test_batches_come_to_the_same_as_single_receipts(
    copied: Callable[[Path], Path], tmp_path: Path, program: Program, batch: int
) -> None:
    # Given a shift with everything in it
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    with _database(copied(tmp_path / "a")) as together, _database(copied(tmp_path / "b")) as single:
        till = Till("", (tmp_path / "a" / "ca.pem").read_text(), None)  # type: ignore[arg-type]
        for database in (together, single):
            database.write_now(lambda connection: _enrolled(connection, till))
            database.write_now(lambda connection: operations.block(connection, "TS0002", "", BLOCKED_AT))
        _shift(till, program, random.Random(seed))
        # When one centre takes it in batches and another entry by entry
        for first in range(1, len(till.sent) + 1, batch):
            _take(together, till, first, first + batch - 1)
        single.write_now(lambda connection: _one_by_one(connection, till))
        # Then both hold the same receipts, ledger, variances and balances
        assert _state(together) == _state(single)
        assert together.read_now(lambda connection: ledger.check_balances(connection, NOON)) == []
        assert len(_state(together)["ledger"]) > ENTRIES // 10
        assert any("'blocked'" in row for row in _state(together)["receipts"])


def test_sales_that_are_stored_together_are_counted_once_for_the_limits(
    copied: Callable[[Path], Path], tmp_path: Path
) -> None:
    # Given at most five sales of a member within the window, and a batch of nothing but sales that keeps to that
    with _database(copied(tmp_path / "a")) as database:
        till = Till("", (tmp_path / "a" / "ca.pem").read_text(), None)  # type: ignore[arg-type]
        database.write_now(lambda connection: _enrolled(connection, till))
        database.write_now(lambda connection: limits.set_limits(connection, Limits(member=5), "few", NOON))
        for count in range(1, 6):
            till.sale(receipt(count, code="TS0001"))
        for count, code in enumerate(("TS0002", "TS0001", "TS0002"), start=6):
            till.sale(receipt(count, code=code))
        # When it comes, none of its sales is held, nor was any taken by itself
        with capture_logs() as logs:
            _take(database, till, 1, 5)
        assert (_held(database), logs) == ([], [])
        # And of a batch that passes it the sale that is one too many alone, with the others stored once
        _take(database, till, 6, 8)
        assert _held(database) == ["7"]
        assert _rows(database, tables.entries) == _rows(database, tables.receipts) == 8


def test_a_members_first_sales_go_on_from_nothing(
    copied: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a program under which what a sale gives hangs on those before it
    welcome = {"id": "first", "when": {"first_purchase": True}, "give": {"points": 5}}
    remembering = program_from_json(msgspec.json.encode({"program": "test", "currency": "RSD", "earn": [welcome]}))
    folded: list[str] = []
    fold_anew = folding.fold_anew

    def overheard(connection: Connection, members: Iterable[str], now: datetime) -> set[str]:
        every = list(members)
        folded.extend(every)
        return fold_anew(connection, every, now)

    with _database(copied(tmp_path / "a")) as database:
        till = Till("", (tmp_path / "a" / "ca.pem").read_text(), None)  # type: ignore[arg-type]
        database.write_now(lambda connection: _enrolled(connection, till))
        key = DataFolder(tmp_path / "a").program_key()
        database.write_now(lambda connection: operations.publish(connection, remembering, key, NOON))
        for count in range(1, 9):
            till.sale(receipt(count, code=f"TS000{1 + count % 2}"))
        monkeypatch.setattr(folding, "fold_anew", overheard)
        # When the first sales of two members come, some together and some behind those
        _take(database, till, 1, 5)
        _take(database, till, 6, 8)
        # Then nobody's receipts were folded anew, and the first sale of each gave more
        assert folded == []
        given = database.read_now(lambda connection: connection.execute(tables.ledger.select()).all())
        assert sorted(row.member for row in given if row.rule == "first") == ["m1", "m2"]
        assert database.read_now(lambda connection: ledger.check_balances(connection, NOON)) == []


def _held(database: Database) -> list[str]:
    """The numbers of the sales that are one too many."""
    columns = tables.receipts.c
    query = columns.state == ledger.OVER_LIMIT
    held = database.read_now(lambda connection: connection.execute(tables.receipts.select().where(query)).all())
    return sorted(row.number for row in held)


def _rows(database: Database, table: Table) -> int:
    return len(database.read_now(lambda connection: connection.execute(table.select()).all()))
