"""`catchup`: registers with a long queue come back, to a centre on PostgreSQL that evaluates what they send.

The centre is a process of its own, and so is each register: its real store, its real exchange over TLS. While the
queues drain, the first register goes on selling, and what is timed is its own durable acknowledgement, which is all
that a till waits for; beside it, the same with nothing to send. On one machine they share the processors: the centre,
its server and the other registers run only where the first register leaves them one, as at a till they would not be
there at all.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec
import structlog

from central import limits, operations
from central.certificates import ca_sha256
from central.db import tables
from central.db.database import Database
from central.folder import DataFolder
from central.ingest import parts_of
from central.setup import InitOptions, initialise
from loyalty.identity import identified
from loyalty.instant import Instant
from loyalty.ledger import LedgerEntry
from loyalty.limits import Limits
from loyalty.program import program_from_json
from loyalty.receipt import Line, MemberReference, Receipt, Tax, Tender
from loyalty.reconcile import reconciled
from sync.client import CentreClient
from sync.enrolling import enrol
from sync.enrolment import Enrolment, device_key, load_enrolment, parse_code
from sync.keys import keeper_for
from sync.loop import SyncLoop
from sync.records import ReceiptBody
from sync.store.store import Store
from sync.store.writing import Writing
from sync.wire import MAX_ENTRIES, EpochRequest, Facts, IngestRequest, compress
from tests.bench.machine import disk_folder, measured
from tests.bench.report import Report, rounded
from tests.postgres import programs, started

QUEUED = 100_000
REGISTERS = 4
MEMBERS = 2_000
GOODS = 2_000
LINES = 8
# Entries of a batch that was made before.
SENT_AT_ONCE = 1_500
SEED = 20261122
# Sales of the first register, one after the other with a pause, before and while the queues drain.
SALES = 500
PAUSE_S = 0.02
DRAINED_WITHIN_S = 900.0
# Whether all is drained: looked for seldom, since each look reads the store.
LOOK_EVERY_S = 0.1
STANDS_BACK = ("chrt", "--idle", "0")
FACTS = Facts(version="0.1.0", platform="bench")
BEGAN = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
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
    with _around(found) as (folder, data, url), ExitStack() as ending:
        tills = [_till(folder / f"till-{number}", data, url, number) for number in range(1, REGISTERS + 1)]
        for till in tills:
            ending.callback(till.kill)
        told = [json.loads(_line(till)) for till in tills]  # each has filled its queue, the first sold with it idle
        drained_s, done = _timed(tills)
        taken = _counted(data)
    with _around(found) as (folder, data, url), ExitStack() as ending:
        codes = [_code(data, url, number) for number in range(1, REGISTERS + 1)]
        senders = _process([*STANDS_BACK, sys.executable, "-m", "tests.bench.catchup", str(folder / "sender"), *codes])
        ending.callback(senders.kill)
        _line(senders)
        taken_s, _ = _timed([senders])
        assert _counted(data) == QUEUED
    idle, busy = told[0]["ack_p99_ms"], done[0]["ack_p99_ms"]
    sold = QUEUED + done[0]["sold"] + told[0]["sold"]
    assert taken == sold, f"{taken} of {sold} transactions are in the ledger"
    return Report(
        name="catchup",
        figures={
            "queued": QUEUED,
            "registers": REGISTERS,
            "per_s": rounded(QUEUED / drained_s),
            "per_s_made_before": rounded(QUEUED / taken_s),
            "ack_p50_ms_idle": rounded(told[0]["ack_p50_ms"]),
            "ack_p50_ms_busy": rounded(done[0]["ack_p50_ms"]),
            "ack_p99_ms_idle": rounded(idle),
            "ack_p99_ms_busy": rounded(busy),
            "bytes_per_transaction": rounded(told[0]["bytes_per_transaction"]),
        },
        ratios={"ack_p99_busy_vs_idle": rounded(busy / idle)},
        machine=machine,
    )


# ---- the centre


@contextmanager
def _around(found: Path) -> Iterator[tuple[Path, DataFolder, str]]:
    """A folder, and a centre in it with a server of its own."""
    with (
        disk_folder() as folder,
        started(found, durable=True, under=STANDS_BACK) as server,
        _centre(folder, server.database()) as (data, url),
    ):
        yield folder, data, url


@contextmanager
def _centre(folder: Path, database_url: str) -> Iterator[tuple[DataFolder, str]]:
    data = DataFolder(folder / "centre")
    initialise(data.path, InitOptions(listen="127.0.0.1:0", admin="127.0.0.1:0", database=database_url), BEGAN)
    database = Database(data.database)
    program = program_from_json(msgspec.json.encode(PROGRAM))
    people = [{"member": f"m{n}", "identifiers": [{"code": _card(n)}]} for n in range(MEMBERS)]
    document = msgspec.json.encode({"members": people})
    database.write_now(lambda connection: operations.publish(connection, program, data.program_key(), BEGAN))
    database.write_now(lambda connection: operations.import_file(connection, document, BEGAN))
    # These few members buy all day, as no shop's do.
    database.write_now(lambda connection: limits.set_limits(connection, Limits(), "few members", BEGAN))
    database.close()
    command = [
        *STANDS_BACK,
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


def _till(folder: Path, data: DataFolder, url: str, number: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.bench.catchup", str(folder), _code(data, url, number), str(number)]
    return _process(command if number == 1 else [*STANDS_BACK, *command])


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


# ---- a register, in a process of its own


class Goods:
    """What a shop sells: a few articles again and again, each with its name, number and price."""

    def __init__(self, chance: random.Random) -> None:
        syllables = ("ba", "če", "di", "ga", "jo", "ka", "lu", "ma", "ni", "po", "ra", "so", "ta", "vi", "že", "mle")
        self.articles = [
            (
                "".join(chance.choices(syllables, k=3)).title() + chance.choice((" 1 l", " 500 g", " 200 g", " XL")),
                f"860{number:010}",
                chance.randint(19, 2_999) * 100 - 1,
            )
            for number in range(GOODS)
        ]
        self.weights = list(accumulate(1 / (number + 20) for number in range(GOODS)))


def _card(number: int) -> str:
    return f"29{number:010}"


def _sale(
    number: int, register: str, goods: Goods, chance: random.Random
) -> tuple[Receipt, str, tuple[LedgerEntry, ...]]:
    moment = BEGAN + timedelta(seconds=7 * number)
    taken = chance.choices(goods.articles, cum_weights=goods.weights, k=LINES)
    lines = []
    for position, (name, gtin, price) in enumerate(taken, start=1):
        pieces = chance.choice((1, 1, 1, 1, 2, 3))
        lines.append(
            Line(
                position=position,
                description=name,
                gtin=gtin,
                quantity=str(pieces),
                unit="KOM",
                unit_price=f"{price // 100}.{price % 100:02}",
                amount_minor=pieces * price,
                tax_labels=("Ђ",),
            )
        )
    total, who = sum(line.amount_minor for line in lines), chance.randrange(MEMBERS)
    made = Receipt(
        key="",
        source="escpos",
        kind="sale",
        store="12",
        register=register,
        number=str(4711 + number),
        business_day=moment.date(),
        issued_at=moment,
        captured_at=moment + timedelta(milliseconds=chance.randrange(5000)),
        operator="Milica",
        currency="RSD",
        total_minor=total,
        lines=tuple(lines),
        taxes=(Tax(label="Ђ", name="О-ПДВ", rate="20.00", amount_minor=total // 6, included=True),),
        tenders=(Tender(kind="card", amount_minor=total),),
        member=MemberReference(code=_card(who)),
    )
    receipt = identified(reconciled(made), b"")
    points = total // 10_000
    claim = LedgerEntry(
        receipt=receipt.key,
        rule="base",
        points=points,
        basis_minor=total,
        pending_until=moment + timedelta(days=14),
        why=f"floor({total} × 1 ÷ 10000) = {points}",
    )
    return receipt, f"m{who}", (claim,)


class _Till:
    def __init__(self, store: Store, register: str) -> None:
        self.store = store
        self.sold = 0
        self._register = register
        self._chance = random.Random(f"{SEED}-{register}")
        self._goods = Goods(random.Random(SEED))
        self._boot = uuid.uuid4().hex

    def _next(self) -> Callable[[Writing], None]:
        receipt, member, claims = _sale(self.sold, self._register, self._goods, self._chance)
        self.sold += 1
        captured = Instant(wall=datetime.now(UTC), boot=self._boot, monotonic_ns=0)

        def keep(writing: Writing) -> None:
            writing.append("receipt", receipt.key, ReceiptBody(receipt=receipt, member=member, claims=claims))
            writing.add_receipt(receipt, member, claims, captured)

        return keep

    async def fill(self, count: int) -> None:
        for start in range(0, count, 500):
            await asyncio.gather(*(self.store.write(self._next()) for _ in range(min(500, count - start))))

    async def sell(self, going_on: Callable[[], bool]) -> list[float]:
        """Milliseconds until each sale was durable."""
        taken = []
        while going_on():
            keep = self._next()
            began = time.perf_counter()
            await self.store.write(keep)
            taken.append(1000 * (time.perf_counter() - began))
            await asyncio.sleep(PAUSE_S)
        return taken


async def _senders(folder: Path, codes: list[str]) -> None:
    """All registers, whose batches were made before: what is timed costs them next to nothing."""
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=sys.stderr))  # what is told goes by the other
    ready = [
        await _ready(folder.with_name(f"{folder.name}-{number}"), code, str(number))
        for number, code in enumerate(codes, start=1)
    ]
    _say({})
    await asyncio.to_thread(sys.stdin.readline)
    await asyncio.gather(*(_send(client, batches) for client, batches in ready))
    _say({})
    await asyncio.gather(*(client.close() for client, _ in ready))


async def _ready(folder: Path, code: str, number: str) -> tuple[CentreClient, list[IngestRequest]]:
    till, client, _ = await _opened(folder, code, number)
    device = load_enrolment(folder).device
    epoch = (await client.open_epoch(EpochRequest(facts=FACTS))).epoch
    await till.store.write(lambda writing: writing.open_epoch(epoch, device))
    whole = till.store.next_batch(QUEUED, 10**9)
    assert whole is not None
    till.store.close()
    return client, parts_of(whole, SENT_AT_ONCE)


async def _send(client: CentreClient, batches: list[IngestRequest]) -> None:
    for batch in batches:
        answer = await client.ingest(batch)
        assert answer.acked_through == batch.first_seq + len(batch.entries) - 1


async def _opened(folder: Path, code: str, number: str) -> tuple[_Till, CentreClient, Enrolment]:
    keeper = keeper_for(folder)
    await enrol(parse_code(code), folder, keeper, FACTS, now=datetime.now(UTC))
    enrolment = load_enrolment(folder)
    till = _Till(Store.open(folder / "store.db", keeper), number)
    await till.fill(QUEUED // REGISTERS)
    client = CentreClient(
        url=enrolment.url,
        ca_pem=enrolment.ca_pem,
        device=enrolment.device,
        key=device_key(enrolment, keeper),
        clock=lambda: datetime.now(UTC),
        request_id=lambda: secrets.token_hex(16),
        chance=random.random,
        sleep=asyncio.sleep,
    )
    return till, client, enrolment


async def _register(folder: Path, code: str, number: str) -> None:
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=sys.stderr))  # what is told goes by the other
    till, client, enrolment = await _opened(folder, code, number)
    store = till.store
    first, before = number == "1", till.sold
    idle = await till.sell(lambda: first and till.sold < before + SALES)
    _say(_figures(idle) | {"sold": len(idle), "bytes_per_transaction": await _travelling(store, enrolment.device)})
    await asyncio.to_thread(sys.stdin.readline)
    loop = SyncLoop(
        store=store,
        client=client,
        device=enrolment.device,
        program_key=enrolment.program_key,
        facts=FACTS,
        clock=lambda: datetime.now(UTC),
        chance=random.random,
        changed=lambda _: None,
        configured=lambda _: None,
        mapped=lambda _: None,
        item_map=None,
    )
    store.listen(lambda _: loop.wake())
    running = asyncio.create_task(loop.run(lambda: None))
    busy = await _until_drained(till, first)
    _say(_figures(busy) | {"sold": len(busy)})
    running.cancel()
    await asyncio.wait({running})
    await client.close()
    store.close()


async def _until_drained(till: _Till, first: bool) -> list[float]:
    """Until the queue of before is gone; what was sold meanwhile is seen to its end too."""
    backlog = till.store.last_number()
    busy: list[float] = []
    async with asyncio.timeout(DRAINED_WITHIN_S):
        if first:
            busy = await till.sell(lambda: till.store.settled_through() < backlog)
        while till.store.queued():  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(LOOK_EVERY_S)
    return busy


async def _travelling(store: Store, device: str) -> float:
    """Bytes of an ingest request's body for each entry in it, as it travels."""
    await store.write(lambda writing: writing.open_epoch(secrets.token_hex(16), device))
    batch = await store.batch(1, MAX_ENTRIES)
    assert batch is not None
    return len(compress(msgspec.json.encode(batch))[0]) / len(batch.entries)


def _figures(taken: list[float]) -> dict[str, Any]:
    ordered = sorted(taken)
    return {f"ack_p{share}_ms": ordered[len(ordered) * share // 100] for share in (50, 99)} if ordered else {}


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    folder, *codes = sys.argv[1:]
    asyncio.run(_senders(Path(folder), codes) if len(codes) == REGISTERS else _register(Path(folder), *codes))
