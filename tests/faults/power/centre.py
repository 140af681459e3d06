"""A centre that takes entries in, for a disk that is watched: it says what it is sent and what it acknowledged.

`python -m tests.faults.power.centre FOLDER SALES [--weak]`: with `--weak` the log is not synced at COMMIT. Without a
number of sales it makes the centre.
"""

from __future__ import annotations

import os
import secrets
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw
from sqlalchemy import Connection, event
from sqlalchemy.pool import Pool

from central import devices, enrolling, members, programs
from central.db.database import Database
from central.folder import DataFolder
from central.ingest import ingest
from central.setup import InitOptions, initialise
from sync.records import Entry, ReceiptBody, chain_next, chain_start
from sync.wire import EnrolRequest, EpochRequest, IngestRequest
from tests.central.conftest import MEMBERS, PROGRAM
from tests.central.till import FACTS, NOON, receipt

BATCH = 6


def make(folder: Path) -> None:
    """A centre with three members and a program."""
    initialise(folder, InitOptions(), NOON)
    database = Database(DataFolder(folder).database)
    key = DataFolder(folder).program_key()
    database.write_now(
        lambda connection: members.import_members(
            connection, members.members_from_json(msgspec.json.encode(MEMBERS)), NOON
        )
    )
    database.write_now(lambda connection: programs.publish(connection, PROGRAM, key, NOON))
    database.close()


def sell(folder: Path, sales: int) -> None:
    database = Database(DataFolder(folder).database)
    device = database.write_now(enrolled)
    request = EpochRequest(facts=FACTS)
    epoch = database.write_now(
        lambda connection: devices.open_epoch(
            connection, device, request, request_id="epoch", now=NOON, randomness=secrets.token_bytes
        )
    )
    h = chain_start(device.id, epoch)
    for first in range(1, sales + 1, BATCH):
        batch = IngestRequest(
            device=device.id,
            epoch=epoch,
            first_seq=first,
            prev_hash=h.hex(),
            entries=tuple(entry(number) for number in range(first, first + BATCH)),
        )
        for each in batch.entries:
            os.write(1, f"try {each.seq}\n".encode())
            h = chain_next(h, each)
        database.write_now(
            lambda connection, batch=batch: ingest(  # type: ignore[misc]
                connection, device.id, batch, request_id=f"batch {batch.first_seq}", fingerprint="", now=NOON
            )
        )
        for each in batch.entries:
            os.write(1, f"kept {each.seq}\n".encode())
    database.close()


def enrolled(connection: Connection) -> devices.Device:
    enrolling.create_enrolment(
        connection, token="token", store="12", register="3", valid_for=timedelta(hours=1), now=NOON
    )
    request = EnrolRequest(token="token", public_key="A" * 43, facts=FACTS)
    return enrolling.enrol(connection, request, now=NOON, randomness=secrets.token_bytes).device


def entry(number: int) -> Entry:
    """A sale of one of two members, or of nobody."""
    code = (None, "TS0001", "TS0002")[number % 3]
    sold = receipt(number, 100_00 + number, code=code)
    return Entry(
        seq=number,
        key=sold.key,
        kind="receipt",
        hlc=f"{number:016x}",
        wall=NOON,
        salt=f"{number:032x}",
        body=Raw(msgspec.json.encode(ReceiptBody(receipt=sold))),
    )


def weaken(connection: Any, _record: object, _proxy: object) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")


if __name__ == "__main__":
    match sys.argv[1:]:
        case [folder]:
            make(Path(folder))
        case [folder, sales, *rest]:
            if rest:
                event.listen(Pool, "checkout", weaken)
            sell(Path(folder), int(sales))
