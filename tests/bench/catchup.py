"""`catchup`: registers with a long queue come back, to a centre on PostgreSQL that evaluates what they send.

The centre is a process of its own, and so is each register: its real store, its real exchange over TLS. While the
queues drain, the first register goes on selling. Where throughput is measured they share the processors: the centre,
its server and the other registers run only where the first register leaves them one.

How long a till waits is measured apart, since there none of them would be: the first register has a processor and a
disk to itself, while centre, server and the other registers share the other processors and write to memory. What is
timed is its own durable acknowledgement, which is all that a till waits for; before it, the same with nothing to send.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from central import limits, operations
from central.certificates import ca_sha256
from central.db import tables
from central.db.database import Database
from central.folder import DataFolder
from central.setup import InitOptions, initialise
from loyalty.limits import Limits
from loyalty.program import program_from_json
from tests.bench.catchup_register import BEGAN, MEMBERS, QUEUED, REGISTERS, SHARES, card
from tests.bench.machine import disk_folder, measured, slow_flush
from tests.bench.report import Figure, Report, rounded
from tests.in_memory import memory_folder
from tests.postgres import programs, started

# Sales of the first register with nothing to send, before its queue drains.
SALES = 500
# Where it is timed, and how many wait at each register then: a hundredth of what is sold is enough to tell something.
SALES_AT_TILL = 2_000
QUEUED_AT_TILL = 32_000
STANDS_BACK = ("chrt", "--idle", "0")
REGISTER = (sys.executable, "-m", "tests.bench.catchup_register")
PROGRAM = {
    "program": "bench",
    "currency": "RSD",
    "earn": [{"id": "base", "give": {"points": 1, "per_minor": 10_000}, "pending": "P14D"}],
}


def run() -> Report:
    with disk_folder() as disk:
        machine = measured(disk)
    found = programs()
    if found is None:
        return Report(name="catchup", figures={}, machine=machine, absent=("postgresql",))
    figures, shared = _all_on_the_same(found)
    figures["per_s_made_before"] = rounded(QUEUED / _taken_made_before(found))
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        absent: tuple[str, ...] = ("a processor for the till alone",)
        return Report(name="catchup", figures=figures | shared, machine=machine, absent=absent)
    absent, ratios = (), {}
    os.sched_setaffinity(0, cores[:-1])
    try:
        with disk_folder() as folder:
            for prefix, library in (("", None), ("slow_flush_", slow_flush(folder))):
                if prefix and library is None:
                    absent = ("slow_flush",)
                    continue
                idle, busy = _at_a_till(found, cores[-1], library)
                for name in SHARES:
                    figures |= {
                        f"{prefix}{name}_idle": rounded(idle[name]),
                        f"{prefix}{name}_busy": rounded(busy[name]),
                    }
                    ratios[f"{prefix}{name.removesuffix('_ms')}_busy_vs_idle"] = rounded(busy[name] / idle[name])
                figures |= {f"{prefix}sales_idle": idle["sold"], f"{prefix}sales_busy": busy["sold"]}
    finally:
        os.sched_setaffinity(0, cores)
    return Report(name="catchup", figures=figures | shared, ratios=ratios, machine=machine, absent=absent)


def _all_on_the_same(found: Path) -> tuple[dict[str, Figure], dict[str, Figure]]:
    """All on the same processors and the same disk; and how long the first register waited there."""
    with _around(found) as (folder, data, url), ExitStack() as ending:
        tills: list[subprocess.Popen[str]] = []
        for number in range(1, REGISTERS + 1):
            sales, under = (SALES, ()) if number == 1 else (0, STANDS_BACK)
            code = _code(data, url, number)
            tills.append(_till(folder / f"till-{number}", number, code, sales, QUEUED // REGISTERS, under=under))
            ending.callback(tills[-1].kill)
        told = [json.loads(_line(till)) for till in tills]  # each has filled its queue, the first sold with it idle
        drained_s, done = _timed(tills)
        idle, busy = told[0], done[0]
        taken, sold = _counted(data), QUEUED + idle["sold"] + busy["sold"]
        assert taken == sold, f"{taken} of {sold} transactions are in the ledger"
    figures: dict[str, Figure] = {
        "queued": QUEUED,
        "registers": REGISTERS,
        "per_s": rounded(QUEUED / drained_s),
        "bytes_per_transaction": rounded(idle["bytes_per_transaction"]),
    }
    shared: dict[str, Figure] = {
        "shared_ack_p99_ms_idle": rounded(idle["ack_p99_ms"]),
        "shared_ack_p99_ms_busy": rounded(busy["ack_p99_ms"]),
    }
    return figures, shared


def _taken_made_before(found: Path) -> float:
    """Seconds that the centre takes for batches that cost the two cores next to nothing."""
    with _around(found) as (folder, data, url), ExitStack() as ending:
        codes = [_code(data, url, number) for number in range(1, REGISTERS + 1)]
        senders = _process([*STANDS_BACK, *REGISTER, "senders", str(folder / "sender"), *codes])
        ending.callback(senders.kill)
        _line(senders)
        taken_s, _ = _timed([senders])
        assert _counted(data) == QUEUED
        return taken_s


def _at_a_till(found: Path, core: int, preloaded: Path | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the first register waits for on a processor and a disk of its own, idle and while its queue drains.

    All else runs on the processors that this process has, and writes to memory; so does the register with a library
    `preloaded` that makes its flushes slow.
    """
    alone = ["taskset", "-c", str(core)]
    if preloaded is not None:
        alone = ["env", f"LD_PRELOAD={preloaded}", *alone]
    with (
        _in_memory() if preloaded else disk_folder() as own,
        _around(found, durable=False) as (folder, data, url),
        ExitStack() as ending,
    ):
        tills: list[subprocess.Popen[str]] = []
        for number in range(REGISTERS, 0, -1):
            place, sales, under = (folder, 0, []) if number > 1 else (own, SALES_AT_TILL, alone)
            code = _code(data, url, number)
            tills.append(_till(place / f"till-{number}", number, code, sales, QUEUED_AT_TILL, under=under))
            ending.callback(tills[-1].kill)
            told = json.loads(_line(tills[-1]))  # the others are still when the first sells
        _, done = _timed(tills)
        return told, done[-1]


# ---- the centre


@contextmanager
def _around(found: Path, *, durable: bool = True) -> Iterator[tuple[Path, DataFolder, str]]:
    """A folder, and a centre in it with a server of its own; in memory where they need not be durable."""
    with (
        disk_folder() if durable else _in_memory() as folder,
        started(found, durable=durable, under=STANDS_BACK if durable else ()) as server,
        _centre(folder, server.database(), STANDS_BACK if durable else ()) as (data, url),
    ):
        yield folder, data, url


@contextmanager
def _in_memory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tillside-bench-", dir=memory_folder()) as folder:
        yield Path(folder)


@contextmanager
def _centre(folder: Path, database_url: str, under: Sequence[str]) -> Iterator[tuple[DataFolder, str]]:
    data = DataFolder(folder / "centre")
    initialise(data.path, InitOptions(listen="127.0.0.1:0", admin="127.0.0.1:0", database=database_url), BEGAN)
    database = Database(data.database)
    program = program_from_json(msgspec.json.encode(PROGRAM))
    people = [{"member": f"m{n}", "identifiers": [{"code": card(n)}]} for n in range(MEMBERS)]
    document = msgspec.json.encode({"members": people})
    database.write_now(lambda connection: operations.publish(connection, program, data.program_key(), BEGAN))
    database.write_now(lambda connection: operations.import_file(connection, document, BEGAN))
    # These few members buy all day, as no shop's do.
    database.write_now(lambda connection: limits.set_limits(connection, Limits(), "few members", BEGAN))
    database.close()
    command = [
        *under,
        str(Path(sys.executable).with_name("tillside-central")),
        "serve",
        "--data",
        str(data.path),
        "--json",
    ]
    serving = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield data, json.loads(_line(serving))["device_api"]
    finally:
        serving.terminate()
        serving.wait(30)


def _counted(data: DataFolder) -> int:
    database = Database(data.database)
    try:
        rows = database.read_now(lambda connection: connection.execute(tables.ledger.select()).all())
        return len({row.receipt for row in rows})
    finally:
        database.close()


def _code(data: DataFolder, url: str, number: int) -> str:
    """With which a register is enrolled."""
    database = Database(data.database)
    created = database.write_now(
        lambda connection: operations.create_enrolment(
            connection,
            store="12",
            register=str(number),
            valid_for=timedelta(hours=1),
            url=url,
            ca_sha256=ca_sha256(data),
            now=datetime.now(UTC),
            randomness=secrets.token_bytes,
        )
    )
    database.close()
    return created.code


def _till(
    folder: Path, number: int, code: str, sales: int, queued: int, *, under: Sequence[str]
) -> subprocess.Popen[str]:
    """Register `number`, with so many waiting; one that sells does so before its queue drains, and on."""
    return _process([*under, *REGISTER, "register", str(folder), code, str(number), str(sales), str(queued)])


def _process(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _timed(processes: list[subprocess.Popen[str]]) -> tuple[float, list[Any]]:
    """Lets them go; seconds until all are done, and what each says then."""
    began = time.perf_counter()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    done = [json.loads(_line(process)) for process in processes]
    return time.perf_counter() - began, done


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "a process of the benchmark ended"
    return line
