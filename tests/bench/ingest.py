"""`ingest`: sales in order, in batches of 500, into a centre on PostgreSQL that evaluates them.

One register after the other, so that what is measured is the work of a batch; beside it, in the same run and on the
same server, the very rows that it adds (entries, receipts with their ids, the ledger) are put in by COPY, and those
of its entries alone by COPY and by executemany, a batch to a commit: what no evaluating centre can be faster than.
`per_s` is by the clock, with commits that reach the disk; `cpu_per_s` by the processor time of this process alone,
and `p99_ms` is of a batch. `curve_registers` are entries a second from 1 to 1,000 registers in batches of 20, as many
at once as the centre has writers; `curve_rows` batches of 500 into ledgers of 100,000 to 10,000,000 rows, a hundred a
member, and `curve_rows_cpu` the same by processor time.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw
from sqlalchemy import Connection, Table, insert, text

from central import devices, enrolling, limits, operations
from central.db.database import Database
from central.db.dialects import POSTGRES_WRITERS, Way
from central.db.sets import insert_rows
from central.db.tables import metadata
from central.folder import DataFolder
from central.ingest import ingest
from central.setup import InitOptions, initialise
from loyalty.identity import identified
from loyalty.limits import Limits
from loyalty.program import program_from_json
from loyalty.receipt import Line, MemberReference, Receipt
from loyalty.reconcile import reconciled
from sync.records import Entry, ReceiptBody, chain_next, chain_start
from sync.wire import EnrolRequest, EpochRequest, Facts, IngestRequest
from tests.bench.machine import disk_folder, measured
from tests.bench.report import Report, rounded
from tests.postgres import programs, started

BATCH = 500
BATCHES = 12
REGISTERS = (1, 10, 100, 1_000)
SMALL_BATCH = 20
AT_LEAST = 2_000
ROWS = (100_000, 1_000_000, 10_000_000)
ROWS_A_MEMBER = 100
ROWS_AT_ONCE = 500_000
LINES = 8
MEMBERS = 1000
# The tables that a sale adds rows to, with what has to be another for the same rows to be added again.
RENAMED = {
    "receipts": ("key",),
    "receipt_keys": ("receipt", "key"),
    "ledger": ("receipt",),
    "entries": ("key", "epoch"),
}
BEGAN = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
PROGRAM = {
    "program": "bench",
    "currency": "EUR",
    "earn": [{"id": "base", "give": {"points": 1, "per_minor": 100}, "pending": "P14D"}],
}

Added = dict[str, list[dict[str, Any]]]


def run() -> Report:
    with disk_folder() as disk:
        machine = measured(disk)
    found = programs()
    if found is None:
        return Report(name="ingest", figures={}, machine=machine, absent=("postgresql",))
    with tempfile.TemporaryDirectory(prefix="tillside-bench-") as folder, started(found, durable=True) as server:
        data = DataFolder(Path(folder) / "centre")
        initialise(data.path, InitOptions(listen="127.0.0.1:0", database=server.database()), BEGAN)
        database = Database(data.database)
        # These few members buy all day, as no shop's do.
        database.write_now(lambda connection: limits.set_limits(connection, Limits(), "few members", BEGAN))
        try:
            figures, added = _ingested(database, data)
            raw = {name: _timed(each) for name, each in _raw(database, added).items()}
        finally:
            database.close()
    entries = BATCH * BATCHES
    figures |= {f"{name}_per_s": rounded(entries / wall) for name, (wall, _) in raw.items()}
    figures |= {f"{name}_cpu_per_s": rounded(entries / cpu) for name, (_, cpu) in raw.items()}
    per_s = float(figures["per_s"])
    return Report(
        name="ingest",
        figures=figures,
        machine=machine,
        ratios={f"vs_{name}": rounded(per_s * wall / entries) for name, (wall, _) in raw.items()},
    )


def _ingested(database: Database, data: DataFolder) -> tuple[dict[str, Any], Added]:
    program = program_from_json(msgspec.json.encode(PROGRAM))
    people = [{"member": f"m{n}", "identifiers": [{"code": f"TS{n:05}"}]} for n in range(MEMBERS)]
    document = msgspec.json.encode({"members": people})
    database.write_now(lambda connection: operations.publish(connection, program, data.program_key(), BEGAN))
    database.write_now(lambda connection: operations.import_file(connection, document, BEGAN))
    batches = _Register(database, 0).batches(BATCHES, BATCH)
    taken = [_timed(partial(_take, database, batch)) for batch in batches]
    wall, cpu = (sum(each) for each in zip(*taken, strict=True))
    added = database.read_now(_added)
    rows = added["entries"]
    assert len(rows) == len(added["receipts"]) == BATCH * BATCHES
    assert {row["code"] for row in rows} == {"accepted"}
    by_rows = {size: _into(database, size) for size in ROWS}
    figures = {
        "batch": BATCH,
        "lines": LINES,
        "per_s": rounded(len(rows) / wall),
        "cpu_per_s": rounded(len(rows) / cpu),
        "p99_ms": rounded(1000 * max(each for each, _ in taken)),
        "curve_registers": {str(count): rounded(_from(database, count)) for count in REGISTERS},
        "curve_rows": {str(size): rounded(wall) for size, (wall, _) in by_rows.items()},
        "curve_rows_cpu": {str(size): rounded(cpu) for size, (_, cpu) in by_rows.items()},
    }
    return figures, added


def _added(connection: Connection) -> Added:
    """What is there now of the tables that a sale adds rows to, by table, each in the order of its receipts."""
    return {
        name: [
            {column: value for column, value in row.items() if column != "id"}
            for row in connection.execute(metadata.tables[name].select().order_by(by)).mappings()
        ]
        for name, (by, *_) in RENAMED.items()
    }


def _from(database: Database, count: int) -> float:
    """Entries a second from so many registers at once."""
    rounds = max(1, AT_LEAST // SMALL_BATCH // count)
    every = [_Register(database, count + number).batches(rounds, SMALL_BATCH) for number in range(count)]
    with ThreadPoolExecutor(POSTGRES_WRITERS) as writers:
        began = time.perf_counter()
        for batches in zip(*every, strict=True):
            list(writers.map(partial(_take, database), batches))
        return count * rounds * SMALL_BATCH / (time.perf_counter() - began)


def _into(database: Database, size: int) -> tuple[float, float]:
    """Entries a second into a ledger of so many rows, by the clock and by the processor."""
    held = database.read_now(lambda connection: connection.execute(text("SELECT count(*) FROM ledger")).scalar_one())
    for first in range(held, size, ROWS_AT_ONCE):
        given = {"first": first, "last": min(first + ROWS_AT_ONCE, size) - 1, "each": ROWS_A_MEMBER}
        for statement in (_PEOPLE, _FILL):
            database.write_now(partial(Connection.execute, statement=statement, parameters=given))
    batches = _Register(database, -size).batches(4, BATCH)
    taken = [_timed(partial(_take, database, batch)) for batch in batches]
    return BATCH * len(taken) / sum(wall for wall, _ in taken), BATCH * len(taken) / sum(cpu for _, cpu in taken)


_PEOPLE = text(
    "INSERT INTO members (id, created_at) SELECT 'm' || n, now() FROM generate_series("
    "CAST(:first AS bigint) / :each, CAST(:last AS bigint) / :each) n ON CONFLICT (id) DO NOTHING"
)
_FILL = text(
    "INSERT INTO ledger (member, receipt, rule, points, basis_minor, why, program, recorded_at) "
    "SELECT 'm' || n / :each, md5(n::text), 'base', 5, 500, 'floor(500 × 1 ÷ 100) = 5', 'p', now() "
    "FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) n"
)


def _take(database: Database, batch: IngestRequest) -> None:
    taking = partial(
        ingest,
        device_id=batch.device,
        request=batch,
        request_id=secrets.token_hex(8),
        fingerprint="",
        now=NOW,
    )
    database.write_now(taking, Way.BESIDE)


def _raw(database: Database, added: Added) -> dict[str, Callable[[], None]]:
    """The rows that were added, again under other names, a batch to a commit."""

    def each(mark: str, names: Sequence[str], put: Callable[[Connection, Table, list[dict[str, Any]]], object]) -> None:
        def batch(connection: Connection, first: int) -> None:
            for name in names:
                some = added[name][first : first + BATCH]
                again = [row | {column: f"{mark}{row[column]}" for column in RENAMED[name]} for row in some]
                put(connection, metadata.tables[name], again)

        for first in range(0, BATCH * BATCHES, BATCH):
            database.write_now(partial(batch, first=first), Way.BESIDE)

    def execute(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
        connection.execute(insert(table), rows)

    return {
        "copy_all": lambda: each("all", tuple(RENAMED), insert_rows),
        "copy": lambda: each("copy", ("entries",), insert_rows),
        "executemany": lambda: each("many", ("entries",), execute),
    }


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


class _Register:
    """An enrolled register, and the batches it sends, made beforehand."""

    def __init__(self, database: Database, number: int) -> None:
        self._number = str(number)
        self._device, self._epoch = database.write_now(self._enrolled)

    def _enrolled(self, connection: Connection) -> tuple[str, str]:
        facts, hour, token = Facts(version="0.1.0", platform="bench"), timedelta(hours=1), secrets.token_hex(8)
        enrolling.create_enrolment(
            connection, token=token, store="12", register=self._number, valid_for=hour, now=BEGAN
        )
        request = EnrolRequest(token=token, public_key="k", facts=facts)
        device = enrolling.enrol(connection, request, now=BEGAN, randomness=secrets.token_bytes).device
        epoch = devices.open_epoch(
            connection, device, EpochRequest(facts=facts), request_id="e", now=BEGAN, randomness=secrets.token_bytes
        )
        return device.id, epoch

    def batches(self, count: int, size: int) -> list[IngestRequest]:
        return list(self._batches(count, size))

    def _batches(self, count: int, size: int) -> Iterator[IngestRequest]:
        h = chain_start(self._device, self._epoch)
        for first in range(1, count * size, size):
            before, entries = h, []
            for seq in range(first, first + size):
                sold = _receipt(seq, self._device)
                entry = Entry(
                    seq=seq,
                    key=sold.key,
                    kind="receipt",
                    hlc=f"{seq:016x}",
                    wall=NOW,
                    salt=secrets.token_hex(16),
                    body=Raw(msgspec.json.encode(ReceiptBody(receipt=sold))),
                )
                h = chain_next(h, entry)
                entries.append(entry)
            yield IngestRequest(
                device=self._device,
                epoch=self._epoch,
                first_seq=first,
                prev_hash=before.hex(),
                entries=tuple(entries),
            )


def _receipt(number: int, register: str) -> Receipt:
    lines = tuple(
        Line(position=place, description=f"GOODS {(number * place) % 997}", amount_minor=100 + place)
        for place in range(1, LINES + 1)
    )
    made = Receipt(
        key="",
        kind="sale",
        store="12",
        register=register,
        number=str(number),
        business_day=BEGAN.date(),
        issued_at=BEGAN + timedelta(seconds=number),
        currency="EUR",
        total_minor=sum(line.amount_minor for line in lines),
        lines=lines,
        member=MemberReference(code=f"TS{number % MEMBERS:05}"),
    )
    return identified(reconciled(made), b"")
