"""A register's surroundings for tests: a real store, a real spool, receipts as a till prints them."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.booking import Rules, book
from agent.bookkeeping import Bookkeeper, Take
from agent.desk import Settlement
from agent.receipts import JobSource, ReceiptIntake, at_once
from drivers.receipts.port import DecodeOptions
from drivers.receipts.spool_source import SpoolReader
from drivers.relay.clock import Moment
from drivers.relay.spool import EndedBy, Job, Origin, SpoolWriter, encode_record
from loyalty.identification import IdentificationRule
from loyalty.instant import Instant
from loyalty.member import Balance, Identifier, Member
from loyalty.program import Program, program_from_json, program_hash, program_json
from sync.enrolment import Enrolment
from sync.keys import keeper_for
from sync.records import ReceiptBody
from sync.store.reading import MAX_LISTED
from sync.store.store import Store
from sync.store.writing import Writing
from sync.wire import Change, NothingGranted, SignedProgram, Wanted
from tests.sync.programs import put_in_force

import msgspec  # isort: skip

MORNING = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
BOOT = "this-boot"
SPOOL_CAP_BYTES = 64 * 1024 * 1024
OPTIONS = DecodeOptions(currency="RSD", time_zone="Europe/Belgrade", store="12", register="3")
PROGRAM = program_from_json(
    b'{"program":"test","currency":"RSD","time_zone":"Europe/Belgrade","tiers":[{"id":"gold","multiplier":[3,2]}],'
    b'"earn":[{"id":"base","give":{"points":1,"per_minor":1000},"pending":"P14D"}]}'
)
ANA = Member(
    member="m-ana",
    identifiers=(Identifier(kind="card", code="TS1001"),),
    short_name="Ana P.",
    tier="gold",
    balance=Balance(confirmed=100, pending=0, spendable=100),
    as_of=MORNING,
)
BORA = Member(member="m-bora", identifiers=(Identifier(kind="card", code="TS1002"),), short_name="Bora", as_of=MORNING)


def at(seconds: float, *, boot: str = BOOT) -> Instant:
    return Instant(wall=MORNING + timedelta(seconds=seconds), boot=boot, monotonic_ns=int(seconds * 1e9))


class _Never:
    """A timer that nobody waits for."""

    def cancel(self) -> None:
        """It would not have come either."""


def never(_delay: float, _callback: Callable[[], None]) -> _Never:
    """For a desk on which nothing leaves by itself."""
    return _Never()


def receipt(number: int, *, total: str = "268,28", head: str = "", tail: str = "") -> bytes:
    """A printed sale; `head` and `tail` are further lines."""
    return (
        f"\x1b@SUPERMARKET\nSTORE 12  REGISTER 3\n{head}RECEIPT NO {number}\n2026-11-22 10:07\n"
        f"KAFA 1 x {total}  {total}\nTOTAL RSD  {total}\nCASH  {total}\n{tail}\n\x1dV\x00"
    ).encode()


def printed_return(number: int, of: int, *, total: str = "268,28") -> bytes:
    return (
        f"\x1b@SUPERMARKET\nSTORE 12  REGISTER 3\nRETURN OF RECEIPT NO {of}\nRECEIPT NO {number}\n2026-11-22 11:07\n"
        f"KAFA 1 x {total}  -{total}\nTOTAL RSD  -{total}\nCASH  -{total}\n\n\x1dV\x00"
    ).encode()


class Alone:
    """The exchange of a register that reaches no centre."""

    is_online = False

    async def lookup(self, code: str) -> object:
        return None

    async def want(self, wanted: Wanted) -> NothingGranted | None:
        return None


class Tie:
    """What a register without a network is to its centre; to none before it has an `enrolment`."""

    is_online = False

    def __init__(self) -> None:
        self.enrolment: Enrolment | None = None
        self.key = Ed25519PrivateKey.generate()

    def device_key(self) -> Ed25519PrivateKey:
        return self.key


class Shop:
    """One register's store and spool in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool = folder / "spool"
        self._seconds = itertools.count(1_000)
        self._writer = SpoolWriter(self.spool, cap_bytes=SPOOL_CAP_BYTES)
        self.store = self._opened()
        self._closed = False
        self.settlements: list[Settlement] = []
        self.rules = Rules()
        self.moment = at(0)

    def _opened(self) -> Store:
        state = self.folder / "state"
        return Store.open(state / "store.db", keeper_for(state))

    def reopen(self) -> None:
        """As after a restart of the agent."""
        self.store.close()
        self.store = self._opened()
        self.rules = Rules()

    def close(self) -> None:
        """Leaves the folder to others; a second time does nothing."""
        if not self._closed:
            self._closed = True
            self.store.close()
            self._writer.close()

    async def seed(self, members: Sequence[Member] = (ANA, BORA), program: Program | None = PROGRAM) -> None:
        changes = [Change(pos=n, op="upsert", member=row.member, row=row) for n, row in enumerate(members, start=1)]
        await self.store.write(partial(Writing.apply_changes, changes=changes, through=len(changes), as_of=MORNING))
        if program is not None:
            signed = SignedProgram(hash=program_hash(program), program=program_json(program).decode(), signature="")
            await self.store.write(lambda writing: put_in_force(writing, signed))

    async def scan(self, code: str, seconds: float) -> None:
        await self.store.write(lambda writing: writing.keep_scan(code, "card", None, at(seconds)))

    def print(
        self, job: bytes, seconds: float | None = None, *, ended_by: EndedBy = "cut", register: str = "3"
    ) -> None:
        """Spools a job that was printed at that second; by default one second after the one before."""
        second = next(self._seconds) if seconds is None else seconds
        self.moment = at(second)
        moment = Moment(wall=MORNING + timedelta(seconds=second), monotonic_ns=int(second * 1e9))
        origin = Origin(register=register, connection="test", boot=BOOT)
        record = encode_record(
            Job(payload=job, length=len(job), ended_by=ended_by, captured=moment), origin, late=False
        )
        kept = self._writer.keep([record])
        assert kept.error is None

    def books(
        self,
        name: str = "printer",
        *,
        store: object | None = None,
        take: Take | None = None,
        identification: Callable[[], Sequence[IdentificationRule]] = tuple,
    ) -> Bookkeeper:
        return Bookkeeper(
            name=name,
            store=store or self.store,  # type: ignore[arg-type]
            take=take or partial(book, boot=BOOT, rules=self.rules),
            settled=self.settlements.append,
            identification=identification,
        )

    def intake(
        self,
        store: object | None = None,
        *,
        source: JobSource | None = None,
        options: Callable[[], DecodeOptions] = lambda: OPTIONS,
        identification: Callable[[], Sequence[IdentificationRule]] = tuple,
        scans_taken: Callable[[], Awaitable[None]] = at_once,
    ) -> ReceiptIntake:
        """What reads the spool; `store` may be one that fails."""
        return ReceiptIntake(
            source=source or SpoolReader(self.spool),
            books=self.books(store=store, identification=identification),
            store=store or self.store,  # type: ignore[arg-type]
            options=options,
            scans_taken=scans_taken,
            now=lambda: self.moment,
        )

    async def take_all(self) -> None:
        """Everything that is in the spool now."""
        await self.intake().take_new()

    def bodies(self) -> list[ReceiptBody]:
        """Bodies of all receipt entries, oldest first."""
        entries = self.store.queue(limit=MAX_LISTED)
        return [
            msgspec.json.decode(self.store.entry(entry.number).json, type=ReceiptBody)
            for entry in entries
            if entry.kind == "receipt"
        ]
