"""`ingest`: sales in order, in batches of 500, into a centre on PostgreSQL that evaluates them.

One register after the other, so that what is measured is the work of a batch; beside it, in the same run and on the
same server, the very rows of its entries are put in by COPY and by executemany, a batch to a commit. `per_s` is by the
clock, with commits that reach the disk; `cpu_per_s` by the processor time of this process alone.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw
from sqlalchemy import Connection, insert

from central import devices, operations
from central.db import tables
from central.db.database import Database
from central.db.dialects import Way
from central.db.sets import insert_rows
from central.folder import DataFolder
from central.ingest import ingest
from central.setup import InitOptions, initialise
from loyalty.identity import identified
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
LINES = 8
MEMBERS = 1000
BEGAN = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
PROGRAM = {
    "program": "bench",
    "currency": "EUR",
    "earn": [{"id": "base", "give": {"points": 1, "per_minor": 100}, "pending": "P14D"}],
}


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
        try:
            figures, rows = _ingested(database, data)
            raw = {name: _timed(each) for name, each in _raw(database, rows).items()}
        finally:
            database.close()
    entries = BATCH * BATCHES
    figures |= {f"{name}_per_s": rounded(entries / wall) for name, (wall, _) in raw.items()}
    per_s = float(figures["per_s"])
    return Report(
        name="ingest",
        figures=figures,
        machine=machine,
        ratios={f"vs_{name}": rounded(per_s * wall / entries) for name, (wall, _) in raw.items()},
    )


def _ingested(database: Database, data: DataFolder) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    program = program_from_json(msgspec.json.encode(PROGRAM))
    people = [{"member": f"m{n}", "identifiers": [{"code": f"TS{n:05}"}]} for n in range(MEMBERS)]
    document = msgspec.json.encode({"members": people})
    database.write_now(lambda connection: operations.publish(connection, program, data.program_key(), BEGAN))
    database.write_now(lambda connection: operations.import_file(connection, document, BEGAN))
    device, epoch = database.write_now(_register)
    batches = list(_batches(device, epoch))
    wall, cpu = _timed(lambda: _take(database, batches))
    rows = database.read_now(lambda connection: connection.execute(tables.entries.select()).mappings().all())
    assert len(rows) == BATCH * BATCHES
    assert {row["code"] for row in rows} == {"accepted"}
    figures = {
        "batch": BATCH,
        "lines": LINES,
        "per_s": rounded(len(rows) / wall),
        "cpu_per_s": rounded(len(rows) / cpu),
    }
    return figures, [dict(row) for row in rows]


def _take(database: Database, batches: Sequence[IngestRequest]) -> None:
    for batch in batches:
        taking = partial(
            ingest,
            device_id=batch.device,
            request=batch,
            request_id=secrets.token_hex(8),
            fingerprint="",
            now=NOW,
        )
        database.write_now(taking, Way.BESIDE)


def _raw(database: Database, rows: Sequence[dict[str, Any]]) -> dict[str, Callable[[], None]]:
    """The rows of the entries alone, again under other epochs, a batch to a commit."""

    def each(epoch: str, put: Callable[[Connection, list[dict[str, Any]]], object]) -> None:
        every = iter(rows)
        while some := [row | {"epoch": epoch} for row in islice(every, BATCH)]:
            database.write_now(lambda connection, some=some: put(connection, some), Way.BESIDE)  # type: ignore[misc]

    return {
        "copy": lambda: each("copy", lambda connection, some: insert_rows(connection, tables.entries, some)),
        "executemany": lambda: each("many", lambda connection, some: connection.execute(insert(tables.entries), some)),
    }


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def _register(connection: Connection) -> tuple[str, str]:
    facts, hour = Facts(version="0.1.0", platform="bench"), timedelta(hours=1)
    devices.create_enrolment(connection, token="t", store="12", register="3", valid_for=hour, now=BEGAN)
    request = EnrolRequest(token="t", public_key="k", facts=facts)
    device = devices.enrol(connection, request, now=BEGAN, randomness=secrets.token_bytes)
    epoch = devices.open_epoch(
        connection, device, EpochRequest(facts=facts), request_id="e", now=BEGAN, randomness=secrets.token_bytes
    )
    return device.id, epoch


def _batches(device: str, epoch: str) -> Iterator[IngestRequest]:
    h = chain_start(device, epoch)
    for batch in range(BATCHES):
        first, before, entries = batch * BATCH + 1, h, []
        for seq in range(first, first + BATCH):
            sold = _receipt(seq)
            body = Raw(msgspec.json.encode(ReceiptBody(receipt=sold)))
            entry = Entry(
                seq=seq,
                key=sold.key,
                kind="receipt",
                hlc=f"{seq:016x}",
                wall=NOW,
                salt=secrets.token_hex(16),
                body=body,
            )
            h = chain_next(h, entry)
            entries.append(entry)
        yield IngestRequest(device=device, epoch=epoch, first_seq=first, prev_hash=before.hex(), entries=tuple(entries))


def _receipt(number: int) -> Receipt:
    lines = tuple(
        Line(position=place, description=f"GOODS {(number * place) % 997}", amount_minor=100 + place)
        for place in range(1, LINES + 1)
    )
    made = Receipt(
        key="",
        kind="sale",
        store="12",
        register="3",
        number=str(number),
        business_day=BEGAN.date(),
        issued_at=BEGAN + timedelta(seconds=number),
        currency="EUR",
        total_minor=sum(line.amount_minor for line in lines),
        lines=lines,
        member=MemberReference(code=f"TS{number % MEMBERS:05}"),
    )
    return identified(reconciled(made), b"")
