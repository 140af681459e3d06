"""A register of `catchup`, in a process of its own: its sales, its queue, its real exchange; and all that only send.

Owns what a register sells and how long each of its own acknowledgements takes. Never starts anything.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import secrets
import sys
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec
import structlog
import uvloop

from central.ingest import parts_of
from loyalty.identity import identified
from loyalty.instant import Instant
from loyalty.ledger import LedgerEntry
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

QUEUED = 100_000
REGISTERS = 4
MEMBERS = 2_000
GOODS = 2_000
LINES = 8
# Entries of a batch that was made before.
SENT_AT_ONCE = 1_500
SEED = 20261122
# Between two sales of the first register, one after the other.
PAUSE_S = 0.02
DRAINED_WITHIN_S = 900.0
# Whether all is drained: looked for seldom, since each look reads the store.
LOOK_EVERY_S = 0.1
SHARES = {"ack_p50_ms": 0.5, "ack_p99_ms": 0.99, "ack_p999_ms": 0.999}
FACTS = Facts(version="0.1.0", platform="bench")
BEGAN = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)


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


def card(number: int) -> str:
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
        member=MemberReference(code=card(who)),
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
    till, client, _ = await _opened(folder, code, number, QUEUED // REGISTERS)
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


async def _opened(folder: Path, code: str, number: str, queued: int) -> tuple[_Till, CentreClient, Enrolment]:
    keeper = keeper_for(folder)
    await enrol(parse_code(code), folder, keeper, FACTS, now=datetime.now(UTC))
    enrolment = load_enrolment(folder)
    till = _Till(Store.open(folder / "store.db", keeper), number)
    await till.fill(queued)
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


async def _register(folder: Path, code: str, number: str, sales: int, queued: int) -> None:
    """Sells so many with nothing to send, then on while its queue drains; one that sells none only drains it."""
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=sys.stderr))  # what is told goes by the other
    till, client, enrolment = await _opened(folder, code, number, queued)
    store = till.store
    before = till.sold
    gc.freeze()  # as `tillside run` does
    idle = await till.sell(lambda: till.sold < before + sales)
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
    busy = await _until_drained(till, sells=sales > 0)
    _say(_figures(busy) | {"sold": len(busy)})
    running.cancel()
    await asyncio.wait({running})
    await client.close()
    store.close()


async def _until_drained(till: _Till, *, sells: bool) -> list[float]:
    """Until the queue of before is gone; what was sold meanwhile is seen to its end too."""
    backlog = till.store.last_number()
    busy: list[float] = []
    async with asyncio.timeout(DRAINED_WITHIN_S):
        if sells:
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
    return {name: ordered[int(len(ordered) * share)] for name, share in SHARES.items()} if ordered else {}


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    what, folder, *rest = sys.argv[1:]
    if what == "senders":
        asyncio.run(_senders(Path(folder), rest))
    else:
        code, number, sales, queued = rest
        uvloop.run(_register(Path(folder), code, number, int(sales), int(queued)))
