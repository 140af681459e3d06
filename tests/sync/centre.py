"""A real centre in this process, and a real register beside it: TLS sockets, databases, no fakes."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET
from sqlalchemy import Connection, select

from central import ledger, limits, operations, scopes
from central.certificates import ca_sha256
from central.db import tables
from central.db.database import Database, Place
from central.folder import DataFolder
from central.scopes import ALL_STORES, EVERYTHING, Policy
from central.server import Ready, Server
from central.setup import InitOptions, initialise
from loyalty.centre_config import CentreConfig
from loyalty.evaluate import evaluate
from loyalty.identity import identified
from loyalty.instant import Instant
from loyalty.item_matching import ItemMatcher
from loyalty.ledger import LedgerEntry
from loyalty.limits import Limits
from loyalty.program import Program, program_from_json
from loyalty.receipt import Line, MemberReference, Receipt
from loyalty.reconcile import reconciled
from sync.client import CentreClient
from sync.durable import write_private
from sync.enrolling import enrol
from sync.enrolment import Enrolment, NotEnrolledError, device_key, load_enrolment, parse_code
from sync.item_maps import kept_item_map
from sync.keys import KeyKeeper, keeper_for
from sync.loop import SyncLoop, SyncState
from sync.records import ReceiptBody
from sync.retry import Backoff
from sync.session import HEARTBEAT_S
from sync.store.store import Store
from sync.store.writing import Writing
from sync.updates import Updates
from sync.wire import Facts, IngestRequest, IngestResponse
from tests.faults.figures import Figures

FACTS = Facts(version="0.1.0", platform="test")
# A test waits for a state, never for a time; this only ends one that hangs.
PATIENCE_S = 60.0
QUICK = Backoff(base_s=0.002, cap_s=0.02)
# Of a register that is to hear of what it is told with heartbeats alone.
QUICK_HEARTBEAT_S = 0.1
DAY = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def program(points: int = 1) -> Program:
    return program_from_json(
        msgspec.json.encode(
            {
                "program": "test",
                "currency": "RSD",
                "earn": [{"id": "base", "give": {"points": points, "per_minor": 100}}],
            }
        )
    )


def utc_now() -> datetime:
    return datetime.now(UTC)


class Centre:
    """A centre's data, and where it serves."""

    def __init__(self, folder: DataFolder) -> None:
        self.folder = folder
        self.url = ""
        self.database = Database(folder.database)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def write(self, work: Callable[[Connection], Any]) -> Any:
        return self.database.write_now(work)

    def code(
        self,
        register: str = "3",
        *,
        url: str | None = None,
        valid_for: timedelta = timedelta(hours=1),
        replace: bool = False,
    ) -> str:
        created: operations.EnrolmentCreated = self.write(
            lambda connection: operations.create_enrolment(
                connection,
                store="12",
                register=register,
                valid_for=valid_for,
                url=url or self.url,
                ca_sha256=ca_sha256(self.folder),
                now=utc_now(),
                randomness=secrets.token_bytes,
                replace=replace,
            )
        )
        return created.code

    def publish(self, published: Program) -> str:
        return str(self.write(lambda c: operations.publish(c, published, self.folder.program_key(), utc_now())))

    def add_members(self, first: int, count: int) -> None:
        members = [
            {"member": f"m{n}", "short_name": f"M {n}", "identifiers": [{"kind": "card", "code": f"TS{n:05}"}]}
            for n in range(first, first + count)
        ]
        document = msgspec.json.encode({"members": members})
        self.write(lambda connection: operations.import_file(connection, document, utc_now()))

    def counted(self, member: str) -> dict[str, int]:
        """Points by receipt, as the ledger holds them; a receipt that counts twice fails at once."""
        entries: list[LedgerEntry] = list(
            self.database.read_now(lambda connection: ledger.entries_of_member(connection, member))
        )
        counted = {entry.receipt: entry.points for entry in entries}
        assert len(counted) == len(entries), "a receipt counts twice"
        assert self.database.read_now(lambda connection: ledger.check_balances(connection, utc_now())) == []
        return counted

    def figures(
        self, sold: Collection[str], *, row: int, fault: str, points: int, redelivered: int | None = None
    ) -> Figures:
        """What the ledger has of `sold`, receipts by key: which it lacks, and which it has more than once."""
        found = self.database.read_now(lambda connection: connection.scalars(select(tables.ledger.c.receipt)).all())
        times = Counter(found)
        return Figures(
            row=row,
            fault=fault if self.database.kind == "sqlite" else f"{fault}, on PostgreSQL",
            points=points,
            acknowledged=len(sold),
            lost=sum(key not in times for key in sold),
            double=times.total() - len(times),
            redelivered=redelivered,
        )


@asynccontextmanager
async def running_centre(
    path: Path,
    *,
    database: str | None = None,
    members: int = 5,
    policy: Policy = EVERYTHING,
    listen: str = "127.0.0.1:0",
    join: str | None = None,
) -> AsyncIterator[Centre]:
    """Set up, with a program in force and some members, and serving; on SQLite, or in the PostgreSQL at this URL.

    People can join at the address `join`, where it is given.
    """
    folder = DataFolder(path)
    folder.create()
    if database is None:
        write_private(path / "centre.db", _without_rows())
    join_url = f"http://{join}" if join is not None else None
    options = InitOptions(listen=listen, admin="127.0.0.1:0", database=database, join=join, join_url=join_url)
    initialise(path, options, utc_now())
    centre = Centre(folder)
    centre.publish(program())
    centre.write(lambda connection: scopes.set_policy(connection, ALL_STORES, policy, utc_now()))
    centre.write(lambda connection: limits.set_limits(connection, Limits(), "few members buy all day", utc_now()))
    centre.add_members(1, members)
    centre.database.close()
    async with serving(path) as centre:
        yield centre


@cache
def _without_rows() -> bytes:
    """A centre's database as its migrations leave it. They take most of the time that `initialise` takes."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Place(data=Path(folder)))
        database.upgrade()
        database.close()
        return (Path(folder) / "centre.db").read_bytes()


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[Centre]:
    """The centre whose data is in `path`, for as long as the context lasts."""
    stop = asyncio.Event()
    ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(Server(DataFolder(path), clock=utc_now).run(ready.set_result, stop))
    tasks: set[asyncio.Future[Any]] = {running, ready}
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()
    centre = Centre(DataFolder(path))
    centre.url = ready.result().device_api
    try:
        yield centre
    finally:
        centre.database.close()
        stop.set()
        await running


class OverheardClient(CentreClient):
    """Says of each batch that it is about to go."""

    def __init__(self, sending: Callable[[IngestRequest], None], **given: Any) -> None:
        super().__init__(**given)
        self._sending = sending

    async def ingest(self, request: IngestRequest) -> IngestResponse:
        self._sending(request)
        return await super().ingest(request)


class Register:
    """A till's store and exchange, without a till."""

    def __init__(
        self,
        folder: Path,
        enrolment: Enrolment,
        keeper: KeyKeeper,
        *,
        url: str | None,
        seed: int,
        clock: Callable[[], datetime],
        ballast_bytes: int,
        heartbeat_s: float,
        sending: Callable[[IngestRequest], None],
        updates: Updates | None,
    ) -> None:
        dice = random.Random(seed)
        self.enrolment = enrolment
        self.states: list[SyncState] = []
        self.configs: list[CentreConfig] = []
        self.item_maps: list[ItemMatcher] = []
        self._changed = asyncio.Event()
        self._boot = secrets.token_hex(8)
        self._open = True
        self._clock = clock
        self.store = Store.open(folder / "store.db", keeper, clock=clock, ballast_bytes=ballast_bytes)
        self.client = OverheardClient(
            sending,
            url=url or enrolment.url,
            ca_pem=enrolment.ca_pem,
            device=enrolment.device,
            key=device_key(enrolment, keeper),
            clock=clock,
            request_id=lambda: secrets.token_hex(16),
            chance=dice.random,
            last_contact=lambda: self.store.feed().as_of,
            sleep=lambda _delay_s: asyncio.sleep(0),
        )
        self.loop = SyncLoop(
            store=self.store,
            client=self.client,
            device=enrolment.device,
            program_key=enrolment.program_key,
            facts=FACTS,
            clock=clock,
            chance=dice.random,
            changed=self._told,
            configured=self._configured,
            mapped=self._mapped,
            item_map=self.kept_item_map,
            backoff=QUICK,
            heartbeat_s=heartbeat_s,
            updates=updates,
        )
        self.store.listen(lambda _: self._woken())

    def _told(self, state: SyncState) -> None:
        self.states.append(state)
        self._changed.set()

    def _configured(self, config: CentreConfig) -> None:
        self.configs.append(config)
        self._changed.set()

    @property
    def kept_item_map(self) -> str | None:
        """The hash of the item map that counts without a network."""
        kept = kept_item_map(self.store, self.enrolment.program_key)
        return kept.hash if kept is not None else None

    def _mapped(self, matcher: ItemMatcher) -> None:
        self.item_maps.append(matcher)
        self._changed.set()

    def _woken(self) -> None:
        self.loop.wake()
        self._changed.set()

    def close_store(self) -> None:
        """At the end, or earlier where a test wants the store gone."""
        if self._open:
            self._open = False
            self.store.close()

    async def until(self, condition: Callable[[], object]) -> None:
        """Waits until `condition` holds; looked at after every commit and every change of state."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def confirmed(self, code: str) -> int | None:
        """What the page would show; None where nobody is known by this code."""
        member = self.store.member_by_code(code)
        return member.balance.confirmed if member else None

    async def sell(self, receipt: Receipt) -> None:
        """Keeps a receipt as the agent does: receipt, claims and outbox entry in one transaction."""
        code = receipt.member.code if receipt.member else ""
        member = self.store.member_by_code(code)
        claims = evaluate(receipt, program=program()) if member else ()
        captured = Instant(wall=self._clock(), boot=self._boot, monotonic_ns=0)

        def keep(writing: Writing) -> None:
            body = ReceiptBody(receipt=receipt, member=member.member if member else UNSET, claims=claims)
            writing.append("receipt", receipt.key, body)
            writing.add_receipt(receipt, member.member if member else None, claims, captured)

        await self.store.write(keep)


@asynccontextmanager
async def register(
    folder: Path,
    centre: Centre,
    *,
    url: str | None = None,
    number: str = "3",
    seed: int = 0,
    exchanging: bool = True,
    program_key: str | None = None,
    clock: Callable[[], datetime] = utc_now,
    ballast_bytes: int = 0,
    heartbeat_s: float = HEARTBEAT_S,
    sending: Callable[[IngestRequest], None] = lambda _: None,
    updates: Updates | None = None,
) -> AsyncIterator[Register]:
    """A register in `folder`, enrolled the first time and started again after that.

    It reaches its centre through `url` where that is given, and only if `exchanging`. `sending` hears of each batch.
    """
    keeper = keeper_for(folder)
    try:
        enrolment = load_enrolment(folder)
    except NotEnrolledError:
        enrolment = (await enrol(parse_code(centre.code(number)), folder, keeper, FACTS, now=utc_now())).enrolment
    if program_key is not None:
        enrolment = msgspec.structs.replace(enrolment, program_key=program_key)
    till = Register(
        folder,
        enrolment,
        keeper,
        url=url,
        seed=seed,
        clock=clock,
        ballast_bytes=ballast_bytes,
        heartbeat_s=heartbeat_s,
        sending=sending,
        updates=updates,
    )
    running = asyncio.create_task(till.loop.run(lambda: None)) if exchanging else None
    try:
        yield till
    finally:
        if running is not None:
            running.cancel()
            await asyncio.wait({running})
        await till.client.close()
        till.close_store()
        if running is not None and not running.cancelled():
            running.result()


def receipt(number: int, code: str, total_minor: int = 100_00, register_number: str = "3") -> Receipt:
    """A final sale of one line, a minute per number."""
    return identified(
        reconciled(
            Receipt(
                key="",
                kind="sale",
                store="12",
                register=register_number,
                number=str(number),
                business_day=DAY.date(),
                issued_at=DAY + timedelta(minutes=number),
                currency="RSD",
                total_minor=total_minor,
                lines=(Line(position=1, amount_minor=total_minor),),
                member=MemberReference(code=code),
            )
        ),
        b"",
    )


def seed_of_this_run() -> int:
    """Printed, so that a failure can be replayed with TILLSIDE_SEED."""
    seed = int(os.environ.get("TILLSIDE_SEED") or random.randrange(2**32))
    print(f"TILLSIDE_SEED={seed}")
    return seed
