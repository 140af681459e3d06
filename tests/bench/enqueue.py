"""`enqueue`: receipts made durable per second, beside raw SQLite and two queues that sync each put.

Every contender keeps the same receipts, in write-ahead-log mode with a sync for each commit. Raw SQLite gets them
as finished JSON in rows of that size, in pages of the store's; the store makes the JSON, numbers, packs and
encrypts it. NATS JetStream keeps them in a stream in files, synced before each acknowledgement; its producers are
tasks that each wait for theirs. `raw_group_commit_packed_per_s` is raw SQLite with rows of the size that the store
packs them to: what is left to gain. The queues are run from one thread and from 64, and their better figure counts.

How much a group of receipts gains over a queue that syncs each by itself hangs on how long a sync takes, so all run
once more with 2 ms added to each (`slow_flush_`): the disk of a register, not of a data centre. A library that is
preloaded does that, where there is a C compiler; NATS, which is written in Go, is not reached by it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from msgspec import Struct

from loyalty.ledger import LedgerEntry
from loyalty.receipt import Line, MemberReference, Receipt, Tax, Tender
from sync.keys_linux import LinuxKeyKeeper
from sync.records import ReceiptBody
from sync.store.packing import Packer
from sync.store.sqlite import PAGE_BYTES
from sync.store.store import Store
from sync.store.writing import Writing
from tests.bench.machine import disk_folder, measured, slow_flush
from tests.bench.report import Report, rounded

PRODUCERS = 64
ROWS_PER_COMMIT = 64
SLOW = "slow_flush"
PEERS = {"persist_queue": "persistqueue", "huey": "huey", "nats_jetstream": "nats"}
NATS_STARTS_WITHIN_S = 20.0

# Rows compress as well as their texts repeat, so no two receipts have the same lines.
SEED = 20261122
LINES = 8
_GOODS = (
    "Hleb beli 500 g", "Mleko sveže 2,8 % 1 l", "Jabuka ajdared", "Kafa mlevena 200 g", "Deterdžent prašak 3 kg",
    "Čokolada mlečna 100 g", "Jogurt čašica 180 g", "Sir gauda rinfuz", "Pileći file", "Paradajz čeri 250 g",
    "Ulje suncokretovo 1 l", "Brašno T-500 1 kg", "Šećer kristal 1 kg", "Testenina penne 400 g", "Pirinač 1 kg",
    "Sok narandža 1,5 l", "Voda gazirana 1,5 l", "Pivo svetlo 0,5 l", "Šampon 400 ml", "Pasta za zube 75 ml",
    "Toalet papir 10/1", "Kesa treger", "Banane", "Limun", "Krompir mladi", "Crni luk", "Jaja L 10/1", "Puter 250 g",
    "Pavlaka 20 % 400 g", "Salama čajna 100 g", "Tuna u ulju 160 g", "Kukuruz šećerac 340 g", "Ajvar blagi 690 g",
    "Keks plazma 300 g", "Smoki 150 g", "Sladoled vanila 1 l", "Pelene 4 maxi", "Sijalica LED 9 W", "Baterije AA 4/1",
    "Hrana za mačke 400 g",
)  # fmt: skip


def receipts(count: int) -> list[ReceiptBody]:
    """Sales of eight lines with a member and a claim, each with lines and an identity of its own."""
    random = Random(SEED)
    return [_receipt(number, random) for number in range(count)]


def _receipt(number: int, random: Random) -> ReceiptBody:
    moment = datetime(2026, 11, 22, 9, 7, 14, tzinfo=UTC) + timedelta(seconds=37 * number)
    lines = tuple(_line(position, random) for position in range(1, LINES + 1))
    total = sum(line.amount_minor for line in lines)
    receipt = Receipt(
        key=str(uuid.uuid5(uuid.NAMESPACE_URL, f"tillside:bench:{number}")),
        source="escpos",
        kind="sale",
        store="12",
        register="3",
        number=str(4711 + number),
        business_day=moment.date(),
        issued_at=moment,
        captured_at=moment + timedelta(milliseconds=random.randrange(5000)),
        operator="Milica",
        currency="RSD",
        total_minor=total,
        lines=lines,
        taxes=(Tax(label="Ђ", name="О-ПДВ", rate="20.00", amount_minor=total // 6, included=True),),
        tenders=(Tender(kind="card", amount_minor=total),),
        member=MemberReference(code=f"29{random.randrange(10**10):010d}"),
    )
    points = total // 100
    claim = LedgerEntry(
        receipt=receipt.key, rule="base", points=points, basis_minor=total, why=f"floor({total} × 1 ÷ 100) = {points}"
    )
    return ReceiptBody(
        receipt=receipt, member=str(uuid.UUID(int=random.getrandbits(128))), claims=(claim,), as_of=number
    )


def _line(position: int, random: Random) -> Line:
    price, thousandths = random.randrange(1999, 99999), random.randrange(100, 4000)
    return Line(
        position=position,
        description=random.choice(_GOODS),
        gtin=f"860{random.randrange(10**10):010d}",
        quantity=f"{thousandths / 1000:.3f}",
        unit="KOM",
        unit_price=f"{price / 100:.2f}",
        amount_minor=price * thousandths // 1000,
        tax_labels=("Ђ",),
    )


class Sizes(Struct, frozen=True, kw_only=True):
    """How often each contender has its turn, and with how many receipts: one by one, in groups, into a peer."""

    rounds: int
    one_by_one: int
    grouped: int
    peer: int


# Enough that a round lasts about half a second where a sync takes 0.3 ms; or 2 ms.
SIZES = Sizes(rounds=5, one_by_one=1_500, grouped=20_000, peer=1_500)
SLOW_SIZES = Sizes(rounds=2, one_by_one=300, grouped=6_000, peer=300)


def run() -> Report:
    absent = tuple(name for name, module in PEERS.items() if not find_spec(module))
    if "nats_jetstream" not in absent and _nats_server() is None:
        absent += ("nats_jetstream",)
    with disk_folder() as folder:
        machine = measured(folder)
        figures = _rates(folder, SIZES, absent)
        slow = _slow_rates(folder)
    ratios = _ratios(figures)
    if slow is None:
        absent += (SLOW,)
    else:
        figures |= {f"{SLOW}_{name}": rate for name, rate in slow.items()}
        ratios |= {f"{SLOW}_{name}": ratio for name, ratio in _ratios(slow).items()}
    return Report(
        name="enqueue",
        figures={name: rounded(rate) for name, rate in figures.items()},
        ratios={name: rounded(ratio) for name, ratio in ratios.items()},
        machine=machine,
        absent=absent,
    )


def _rates(folder: Path, sizes: Sizes, absent: Sequence[str]) -> dict[str, float]:
    """What each contender made durable a second, the median of its rounds; they take turns."""
    bodies = receipts(sizes.grouped)
    # A register does not hold 20,000 receipts for its collector to walk through.
    gc.freeze()
    single, some = bodies[: sizes.one_by_one], bodies[: sizes.peer]
    contenders: dict[str, Callable[[Path], float]] = {
        "sixty_four_producers_per_s": lambda place: _sixty_four_producers(place, bodies),
        "raw_group_commit_per_s": lambda place: _raw(place, bodies, ROWS_PER_COMMIT),
        "raw_group_commit_packed_per_s": lambda place: _raw(place, bodies, ROWS_PER_COMMIT, Packer().pack),
        "one_producer_per_s": lambda place: _one_producer(place, single),
        "raw_single_commit_per_s": lambda place: _raw(place, single, 1),
    }
    peers = {"persist_queue": _persist_queue, "huey": _huey, "nats_jetstream": _nats}
    contenders |= {
        f"{name}_per_s": lambda place, peer=peer: peer(place, some)  # type: ignore[misc]
        for name, peer in peers.items()
        if name not in absent
    }
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(sizes.rounds):
        for name, contender in contenders.items():
            place = folder / f"{name}-{turn}"
            place.mkdir()
            # What an earlier contender left for the disk to write is not this one's burden.
            os.sync()
            taken[name].append(contender(place))
            shutil.rmtree(place)
    return {name: statistics.median(rates) for name, rates in taken.items()}


def _ratios(figures: dict[str, float]) -> dict[str, float]:
    ratios = {
        "vs_raw_single_commit": figures["one_producer_per_s"] / figures["raw_single_commit_per_s"],
        "vs_raw_group_commit": figures["sixty_four_producers_per_s"] / figures["raw_group_commit_per_s"],
    }
    best_peer = max((figures[f"{name}_per_s"] for name in PEERS if f"{name}_per_s" in figures), default=None)
    if best_peer is not None:
        ratios["vs_best_peer"] = figures["sixty_four_producers_per_s"] / best_peer
    return ratios


def _slow_rates(folder: Path) -> dict[str, float] | None:
    """The same in a process whose every flush takes 2 ms longer; None where that cannot be made."""
    library = slow_flush(folder)
    if library is None:
        return None
    told = subprocess.run(
        [sys.executable, "-m", "tests.bench.enqueue", str(folder)],
        env={**os.environ, "LD_PRELOAD": str(library)},
        stdout=subprocess.PIPE,
        check=True,
    )
    return msgspec.json.decode(told.stdout, type=dict[str, float])


def _slowly(folder: Path) -> None:
    """What `_slow_rates` starts: prints the rates, and that of flushes, which shows that they are slow."""
    absent = [name for name, module in PEERS.items() if not find_spec(module)]
    rates = _rates(folder, SLOW_SIZES, [*absent, "nats_jetstream"])
    rates["fdatasync_per_s"] = measured(folder).fdatasync_per_s
    sys.stdout.buffer.write(msgspec.json.encode(rates))


def _appending(body: ReceiptBody) -> Callable[[Writing], object]:
    return lambda writing: writing.append("receipt", body.receipt.key, body)


async def _produce(store: Store, bodies: Sequence[ReceiptBody]) -> None:
    for body in bodies:
        await store.write(_appending(body))


def _one_producer(folder: Path, bodies: list[ReceiptBody]) -> float:
    async def produce(store: Store) -> float:
        started = time.perf_counter()
        await _produce(store, bodies)
        return len(bodies) / (time.perf_counter() - started)

    with closing(_store(folder)) as store:
        return _loop_runner()(produce(store))


def _sixty_four_producers(folder: Path, bodies: list[ReceiptBody]) -> float:
    async def produce(store: Store) -> float:
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(PRODUCERS):
                group.create_task(_produce(store, bodies[number::PRODUCERS]))
        return len(bodies) / (time.perf_counter() - started)

    with closing(_store(folder)) as store:
        return _loop_runner()(produce(store))


def _loop_runner() -> Callable[[Coroutine[Any, Any, float]], float]:
    """The event loop that the register runs on."""
    if find_spec("uvloop") is None:
        return asyncio.run
    import uvloop

    return uvloop.run


def _store(folder: Path) -> Store:
    return Store.open(folder / "store.db", LinuxKeyKeeper(folder / "keys", {}))


def _raw(
    folder: Path, bodies: list[ReceiptBody], rows_per_commit: int, pack: Callable[[bytes], bytes] = bytes
) -> float:
    """Plain SQLite with the store's pragmas; the rows are made beforehand."""
    rows = [
        (
            number,
            body.receipt.key,
            "receipt",
            "019ab0c1d2e30000-5e1f00a4",
            "2026-11-22T09:07:14.000000Z",
            "0" * 32,
            pack(msgspec.json.encode(body)),
        )
        for number, body in enumerate(bodies, start=1)
    ]
    with closing(sqlite3.connect(folder / "raw.db", isolation_level=None)) as raw:
        raw.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
            raw.execute(f"PRAGMA {pragma}")
        raw.execute(
            "CREATE TABLE entries (number INTEGER PRIMARY KEY, key TEXT, kind TEXT, hlc TEXT, wall TEXT, salt TEXT, "
            "body BLOB)"
        )
        started = time.perf_counter()
        for first in range(0, len(rows), rows_per_commit):
            raw.execute("BEGIN IMMEDIATE")
            for row in rows[first : first + rows_per_commit]:
                raw.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            raw.execute("COMMIT")
        return len(rows) / (time.perf_counter() - started)


def _persist_queue(folder: Path, bodies: list[ReceiptBody]) -> float:
    from persistqueue import SQLiteQueue

    queue = SQLiteQueue(str(folder), auto_commit=True, multithreading=True)
    try:
        return _best_of_threads(queue.put, bodies)
    finally:
        queue.close()


def _huey(folder: Path, bodies: list[ReceiptBody]) -> float:
    from huey.storage import SqliteStorage

    storage = SqliteStorage("bench", str(folder / "huey.db"), fsync=True)
    try:
        return _best_of_threads(storage.enqueue, bodies)
    finally:
        storage.close()


def _nats(folder: Path, bodies: list[ReceiptBody]) -> float:
    items = [msgspec.json.encode(body) for body in bodies]
    kept = f'jetstream {{ store_dir: "{folder}", sync_interval: always }}'
    (folder / "nats.conf").write_text(f'listen: "127.0.0.1:-1"\nports_file_dir: "{folder}"\n{kept}\n')
    server = subprocess.Popen([str(_nats_server()), "-c", str(folder / "nats.conf")], stderr=subprocess.DEVNULL)
    try:
        return max(asyncio.run(_published(folder, items, producers)) for producers in (1, PRODUCERS))
    finally:
        server.kill()
        server.wait()


async def _published(folder: Path, items: list[bytes], producers: int) -> float:
    import nats

    async with asyncio.timeout(NATS_STARTS_WITHIN_S):
        while not (ports := _ports_of(folder)):  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.05)
    connection = await nats.connect(ports[0])
    stream = connection.jetstream()
    await stream.add_stream(name=f"bench-{producers}", subjects=[f"bench.{producers}"])

    async def produce(mine: list[bytes]) -> None:
        for item in mine:
            await stream.publish(f"bench.{producers}", item)

    started = time.perf_counter()
    await asyncio.gather(*(produce(items[number::producers]) for number in range(producers)))
    taken = time.perf_counter() - started
    await connection.close()
    return len(items) / taken


def _ports_of(folder: Path) -> list[str]:
    """Where the server listens, once it has written that down."""
    for told in folder.glob("*.ports"):
        return list(msgspec.json.decode(told.read_bytes())["nats"])
    return []


def _nats_server() -> Path | None:
    """The server's program: beside this Python, where its package puts it, or on the path."""
    found = shutil.which("nats-server", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    return None if found is None else Path(found)


def _best_of_threads(put: Callable[[bytes], object], bodies: list[ReceiptBody]) -> float:
    items = [msgspec.json.encode(body) for body in bodies]
    return max(_from_threads(put, items, 1), _from_threads(put, items, PRODUCERS))


def _from_threads(put: Callable[[bytes], object], items: list[bytes], threads: int) -> float:
    def produce(mine: list[bytes]) -> None:
        for item in mine:
            put(item)

    producers = [threading.Thread(target=produce, args=(items[number::threads],)) for number in range(threads)]
    started = time.perf_counter()
    for producer in producers:
        producer.start()
    for producer in producers:
        producer.join()
    return len(items) / (time.perf_counter() - started)


if __name__ == "__main__":
    _slowly(Path(sys.argv[1]))
