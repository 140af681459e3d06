"""`bootstrap`: a new register takes the snapshot of a store with a million members, while its line is cut three times.

A centre on SQLite serves in this process; the register is a process of its own with its encrypted store, its client
and its loop, and reaches the centre through a proxy over TLS. `seconds` is from its first request, when no snapshot was
made yet, to the position after the last row, so that making it, the cuts and the pauses after them are in it. `cpu_s`
and `rss_mb` are the register's, the largest that it ever was. Beside it the same rows and codes go into the same
encrypted tables by bare `executemany`, a transaction for as many as a chunk has, each synced; `raw_cpu_s` and
`raw_seconds` are without making them. And PouchDB replicates such rows out of pouchdb-server into a fresh local
database, as it is set up by itself and with the batches that are fastest here.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, update

from central import scopes
from central.db import tables
from central.db.database import Database
from central.folder import DataFolder
from central.scopes import ALL_STORES, DEFAULT
from central.setup import InitOptions, initialise
from central.snapshots import ROWS_PER_CHUNK
from sync.enrolling import enrol
from sync.enrolment import parse_code
from sync.keys import STORE_KEY, STORE_KEY_BYTES, keeper_for
from sync.store.fed import fed
from sync.store.sqlite import connect, make_durable
from sync.store.store import Store
from tests.bench import pouchdb
from tests.bench.lookup import members
from tests.bench.machine import disk_folder, measured
from tests.bench.report import Figure, Report, rounded
from tests.faults.proxy import FaultyProxy
from tests.sync.centre import FACTS, Centre, serving, utc_now

MEMBERS = 1_000_000
CUTS = 3
PEER_DOCUMENTS = 10_000
STORE = "12"
_ROWS_AT_ONCE = 20_000
_RAW_MEMBER = "INSERT INTO members (id, member, pos, op, generation, row) VALUES (?, ?, ?, ?, ?, ?)"
_RAW_CODE = "INSERT INTO identifiers (code, kind, member) VALUES (?, ?, ?)"


def run(count: int = MEMBERS) -> Report:
    with disk_folder() as folder:
        machine = measured(folder)
        _fill(folder / "centre", count)
        taken = asyncio.run(_bootstrapped(folder, count))
        raw = _raw(folder / "raw", count)
        installed = pouchdb.found()
        peer = None
        if installed is not None:
            row = next(members(1)).row or None
            assert row is not None
            (folder / "pouchdb").mkdir()
            peer = pouchdb.measured("replicate", installed, folder / "pouchdb", row, PEER_DOCUMENTS)
    figures: dict[str, Figure] = {"members": count, "cuts": CUTS}
    figures |= {name: rounded(taken[name]) for name in ("seconds", "cpu_s", "rss_mb")}
    figures |= {name: rounded(value) for name, value in raw.items()}
    ratios = {
        "vs_raw_rows": rounded(raw["raw_seconds"] / taken["seconds"]),
        "vs_raw_rows_cpu": rounded(raw["raw_cpu_s"] / taken["cpu_s"]),
    }
    if peer is None:
        absent = ("pouchdb-server",)
        return Report(name="bootstrap", figures=figures, ratios=ratios, machine=machine, absent=absent)
    per_s, default_per_s = (peer["documents"] / peer[name] for name in ("seconds", "default_seconds"))
    own_per_s = count / taken["seconds"]
    return Report(
        name="bootstrap",
        figures=figures
        | {"pouchdb_documents_per_s": rounded(per_s), "pouchdb_default_documents_per_s": rounded(default_per_s)},
        ratios=ratios
        | {"vs_pouchdb": rounded(own_per_s / per_s), "vs_pouchdb_default": rounded(own_per_s / default_per_s)},
        machine=machine,
    )


def _fill(path: Path, count: int) -> None:
    """A feed of so many members, all seen at one store, as if the sequencer had placed them."""
    initialise(path, InitOptions(listen="127.0.0.1:0", admin="127.0.0.1:0"), utc_now())
    database, now = Database(DataFolder(path).database), datetime.now(UTC)

    def work(connection: Connection) -> None:
        scopes.set_policy(connection, ALL_STORES, DEFAULT, now)
        for rows in _batches(count):
            connection.execute(insert(tables.feed), rows)
            seen = [{"store": STORE, "member": r["member"], "seen_at": now, "held": 1, "pos": r["pos"]} for r in rows]
            connection.execute(insert(tables.scope_members), seen)
        connection.execute(update(tables.centre).values(feed_pos=count))

    database.write_now(work)
    database.close()


def _batches(count: int) -> Iterator[list[dict[str, Any]]]:
    rows = ({"member": c.member, "pos": c.pos, "op": c.op, "row": msgspec.json.encode(c.row)} for c in members(count))
    while some := list(islice(rows, _ROWS_AT_ONCE)):
        yield some


def _raw(folder: Path, count: int) -> dict[str, float]:
    """The least that such tables ask for, with nothing fetched, read, checked or noted."""
    keeper = keeper_for(folder)
    Store.open(folder / "store.db", keeper).close()
    cpu_s = seconds = 0.0
    with closing(connect(folder / "store.db", keeper.get_or_create(STORE_KEY, STORE_KEY_BYTES))) as connection:
        make_durable(connection)
        changes = (fed(change) for change in members(count))
        ids = itertools.count(1)
        while some := list(zip(islice(changes, ROWS_PER_CHUNK), ids, strict=False)):
            rows = [(number, one.member, one.pos, one.op, 1, bytearray(one.body or b"")) for one, number in some]
            codes = sorted((code, kind, number) for one, number in some for code, kind in one.codes)
            before = time.process_time(), time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_RAW_MEMBER, rows)
            connection.executemany(_RAW_CODE, codes)
            connection.execute("COMMIT")
            cpu_s += time.process_time() - before[0]
            seconds += time.perf_counter() - before[1]
    return {"raw_cpu_s": cpu_s, "raw_seconds": seconds}


async def _bootstrapped(folder: Path, count: int) -> dict[str, float]:
    """What the register's process says of itself; its line is cut whenever another quarter of the chunks is in."""
    async with serving(folder / "centre") as centre, FaultyProxy("127.0.0.1", centre.port) as proxy:
        await _enrolled(centre, folder / "till")
        process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "tests.bench.bootstrapped",
                str(folder / "till"),
                f"https://127.0.0.1:{proxy.port}",
            ),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        chunks = -(-count // ROWS_PER_CHUNK)
        due = [chunks * cut // (CUTS + 1) for cut in range(1, CUTS + 1)]
        async for line in process.stdout:
            if line.startswith(b"{"):
                answer: dict[str, float] = msgspec.json.decode(line)
                await process.wait()
                assert not due, "the snapshot was here before the line was cut"
                assert answer["members"] == count
                return answer
            if due and line.strip().isdigit() and int(line) >= due[0]:
                due.pop(0)
                await proxy.cut()
    raise RuntimeError("the register ended without its snapshot")


async def _enrolled(centre: Centre, state: Path) -> None:
    await enrol(parse_code(centre.code()), state, keeper_for(state), FACTS, now=utc_now())
