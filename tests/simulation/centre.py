"""The centre of a simulated chain: its real functions on its real database, called without a server.

Owns what stands between a request that arrived and its answer, as `central.device_api` does it.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Struct
from sqlalchemy import Connection, delete, select, update

from central import (
    allowance_desk,
    allowances,
    backups,
    cards,
    devices,
    enrolling,
    erasing,
    feed,
    granting,
    limits,
    members,
    operations,
    planning,
    programs,
    quarantine,
    review,
    scopes,
    vouchers,
)
from central.db import tables
from central.db.database import Database
from central.device_api import ingested, pinned
from central.devices import Device
from central.feed import Placed
from central.folder import DataFolder
from central.ingest import Applied, ingest
from central.journal import Journal, erased
from central.problems import BrokenError, NobodysCodeError, NotFoundError, RefusedError, SnapshotNeededError
from central.scopes import EVERYTHING, Scope
from central.setup import InitOptions, initialise
from central.snapshots import zstd_lines
from loyalty.limits import Limits
from loyalty.program import Program
from loyalty.voucher_codes import voucher_id
from sync.signing import public_key_text
from sync.wire import (
    AllowancesRequest,
    EnrolRequest,
    EpochRequest,
    EpochResponse,
    Facts,
    HeartbeatRequest,
    HeartbeatResponse,
    IngestRequest,
    MemberResponse,
    SnapshotChunk,
    SnapshotResponse,
)
from tests.simulation.trace import Trace

T = TypeVar("T")

FACTS: Final = Facts(version="0.1.0", platform="simulation")
# The store that holds every member; the others hold whom they saw.
HOLDS_ALL: Final = "0"
_ROWS_PER_CHUNK: Final = 200
# How often the planted one does.
_LAGS: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A voucher that was issued: its id is another in each run, its `name` is not."""

    name: str
    uses: int


class CentreDownError(Exception):
    """Nobody listens."""


class SimulatedCentre:
    """One centre. While it is `down` nothing is answered, while it is `busy` everything is put off."""

    def __init__(self, folder: Path, *, clock: Callable[[], datetime], chance: random.Random, trace: Trace) -> None:
        self._clock = clock
        self._chance = chance
        self._trace = trace
        self.down = False
        self.busy = False
        self.erasures = 0
        self.vouchers: dict[str, Issued] = {}
        self.news: dict[str, int] = {}
        self._store_of: dict[str, str] = {}
        initialise(folder, InitOptions(), clock())
        self._data = DataFolder(folder)
        self._key = self._data.program_key()
        self.program_key = public_key_text(self._key)
        self.database = Database(self._data.database)
        self.epoch = self._read(feed.centre_epoch)
        self._snapshots: dict[str, bytes] = {}
        self._write(lambda connection: scopes.set_policy(connection, HOLDS_ALL, EVERYTHING, clock()))
        for of in ("sale", "reward"):
            self._write(partial(limits.set_limits, limits=Limits(), because="few buy all day", now=clock(), of=of))

    # ---- what its operator does

    def publish(self, program: Program) -> None:
        self._write(lambda connection: operations.publish(connection, program, self._key, self._clock()))

    def import_members(self, document: bytes) -> None:
        self._write(lambda connection: operations.import_file(connection, document, self._clock()))
        self._place()

    def enrol(self, store: str, register: str) -> str:
        """A new device."""
        token, key = f"token {store} {register}", f"{store}-{register}".ljust(43, "A")
        request = EnrolRequest(token=token, public_key=key, facts=FACTS)

        def work(connection: Connection) -> Device:
            enrolling.create_enrolment(
                connection,
                token=token,
                store=store,
                register=register,
                valid_for=timedelta(hours=1),
                now=self._clock(),
            )
            return enrolling.enrol(connection, request, now=self._clock(), randomness=self._chance.randbytes).device

        device = str(self._write(work).id)
        self._store_of[device], self.news[store] = store, 0
        return device

    def issue(self, reward: str, *, member: str | None = None, uses: int = 1) -> str:
        """The id of a new voucher."""

        def work(connection: Connection) -> str:
            now, randomness = self._clock(), self._chance.randbytes
            made = vouchers.issue(connection, reward, 1, member=member, uses=uses, now=now, randomness=randomness)
            return voucher_id(made.codes[0], cards.code_key(connection))

        voucher = str(self._write(work))
        self.vouchers[voucher] = Issued(name=f"V{len(self.vouchers)}", uses=uses)
        self._trace.note("centre", f"issues {self.vouchers[voucher].name} {member or ''}")
        return voucher

    def member_of(self, code: str) -> str | None:
        """Whom a code names here."""
        return self._read(lambda connection: cards.owner_of(connection, code))

    def merge(self, gone: str, kept: str) -> None:
        self._trace.note("centre", "takes two members for one")
        self._write(lambda connection: operations.merge_members(connection, gone, kept, "the same", self._clock()))
        self._place()

    def erase(self, which: str) -> tuple[str, ...]:
        """By an id or a code; returns all ids by which they were known."""
        self._trace.note("centre", f"erases {which}")
        erasure = self._write(lambda connection: operations.erase_member(connection, which, self._clock()))
        Journal(self._data.journal).note(erased(erasure))
        self.erasures = erasure.number
        self._place()
        return (erasure.member, *erasure.aliases)

    def back_up(self, target: Path) -> None:
        self._trace.note("centre", "is backed up")
        backups.back_up(self._data, target, self._clock())

    def restore(self, backup: Path) -> None:
        """Its disk is lost: what came after the backup is with the registers alone."""
        self._trace.note("centre", "is restored")
        self.database.close()
        backups.restore(self._data, backup, None, self._clock())
        self.database = Database(self._data.database)
        self.epoch = self._read(feed.centre_epoch)
        self._snapshots.clear()
        self.news = dict.fromkeys(self.news, self._read(feed.feed_position))

    def say_that_one_is_left(self) -> None:
        """Of machines that shared an identity one is in use; what both sent has its effect."""

        def work(connection: Connection) -> None:
            for device in sorted(devices.shared_devices(connection)):
                self._trace.note("centre", f"{device[:6]} is one machine again")
                devices.release(connection, device, self._clock())

        self._write(work)
        applied = 1
        while applied:
            applied, through = 0, 0
            while (found := self._read(partial(quarantine.ripe, after=through))).through is not None:
                if found.items:
                    applied += self._write(partial(quarantine.retry, now=self._clock(), items=found.items)).applied
                    self._place()
                through = found.through

    def apply_again(self) -> None:
        """A person applies what waits: of a member whose register told of them later, once a centre was restored."""
        while self._write(lambda connection: quarantine.retry(connection, self._clock())).applied:
            self._place()

    def say_that_times_are_right(self) -> None:
        """A person looked at the receipts that a register with a wrong clock sent: all are of when they say."""
        while held := [one for one in self._read(review.held).receipts if not one.with_sale]:
            for one in held:
                self._trace.note("centre", f"{one.number} is of when it says")
                self._write(partial(review.accept, key=one.key, counts_at=None, now=self._clock()))
            self._place()

    def write_off(self, device: str) -> None:
        """A person lets go of what a register that has told all cannot spend any more."""

        def work(connection: Connection) -> None:
            listed = allowance_desk.listed(connection, register=device)
            dead = [one.allowance for one in listed.allowances if not one.is_live]
            if dead:
                self._trace.note("centre", f"{device[:6]} is written off")
                allowance_desk.write_off(connection, dead, "of an epoch that ended", self._clock())

        self._write(work)
        self._place()

    def set_aside_ahead(self) -> None:
        """What its server does in between: points of members whose balance moved go where they shop."""

        while self._read(lambda connection: planning.may_plan(connection, self._clock())):
            self._write(lambda connection: planning.plan(connection, self._clock(), self._chance.randbytes))
            self._place()

    # ---- what its hints are made of

    def news_of(self, device: str) -> int:
        """How far the feed came with something that is about this device's store."""
        return self.news[self._store_of[device]]

    def owes(self, device: str) -> bool:
        """Whether this device has not heard of all that it may spend, or is to give back."""
        return bool(self._read(lambda connection: granting.not_told(connection, (device,))))

    # ---- requests

    async def handle(self, device: str, operation: str, request_id: str, body: bytes) -> bytes:
        """The answer to a request that arrived. Raises RefusedError, CentreDownError."""
        await asyncio.sleep(self._chance.uniform(0.002, 0.05))
        if self.down:
            raise CentreDownError
        try:
            answer = getattr(self, f"_{operation}")(device, request_id, body)
        except RefusedError as error:
            self._trace.note("centre", f"{device[:6]} {operation}: {error.status}")
            raise
        return answer if isinstance(answer, bytes) else msgspec.json.encode(answer)

    def _epochs(self, device: str, request_id: str, body: bytes) -> Struct:
        wanted, now = msgspec.json.decode(body, type=EpochRequest), self._clock()

        def work(connection: Connection) -> EpochResponse:
            found = devices.locked_device(connection, device)
            devices.first_use(connection, device, request_id, "", now)
            epoch = devices.open_epoch(
                connection, found, wanted, request_id=request_id, now=now, randomness=self._chance.randbytes
            )
            return EpochResponse(epoch=epoch, centre_epoch=feed.centre_epoch(connection), server_time=now)

        opened: EpochResponse = self._write(work)
        self._trace.note("centre", f"{device[:6]} epoch {opened.epoch[:6]}")
        return opened

    def _ingest(self, device: str, request_id: str, body: bytes) -> Struct:
        batch, now = msgspec.json.decode(body, type=IngestRequest), self._clock()
        applied = self._write(
            lambda connection: ingest(connection, device, batch, request_id=request_id, fingerprint="", now=now)
        )
        if not isinstance(applied, Applied):
            raise applied
        codes = "".join(outcome.code[0] for outcome, _ in applied.outcomes)
        self._trace.note("centre", f"{device[:6]} acked {applied.acked_through} {codes}")
        self._place()
        return self._read(lambda connection: ingested(connection, applied, now))

    def _changes(self, device: str, request_id: str, body: bytes) -> Struct:
        after, limit, held = msgspec.json.decode(body, type=tuple[int, int, str])

        def work(connection: Connection) -> Struct:
            scope = self._scope(connection, device)
            if after > feed.feed_position(connection) or held != scope.name:
                raise SnapshotNeededError
            return feed.changes_after(connection, after, limit, self._clock(), scope)

        return self._read(work)

    def _snapshot(self, device: str, request_id: str, body: bytes) -> Struct:
        """All that is in the device's scope in small chunks, as `central.snapshots` makes them."""

        def work(connection: Connection) -> SnapshotResponse:
            chunks: list[SnapshotChunk] = []
            scope = self._scope(connection, device)
            as_of, after = feed.feed_position(connection), ""
            while page := feed.rows_page(connection, after, _ROWS_PER_CHUNK, scope):
                after = page[-1].member
                url, content = f"/{scope.name}/{as_of}/{len(chunks)}", zstd_lines(page)
                self._snapshots[url] = content
                chunks.append(SnapshotChunk(url=url, sha256=hashlib.sha256(content).hexdigest(), rows=len(page)))
            return SnapshotResponse(
                centre_epoch=feed.centre_epoch(connection),
                as_of=as_of,
                made_at=self._clock(),
                scope=scope.name,
                chunks=tuple(chunks),
            )

        return self._read(work)

    def _chunk(self, device: str, request_id: str, body: bytes) -> bytes:
        try:
            return self._snapshots[body.decode()]
        except KeyError:
            raise NotFoundError from None

    def _member(self, device: str, request_id: str, body: bytes) -> Struct:
        """As the server's: whom a store asked for it holds from now on."""
        code, now = body.decode(), self._clock()

        def found(connection: Connection) -> tuple[MemberResponse, bool]:
            card, scope = cards.find(connection, code), self._scope(connection, device)
            row = None if card is None or card.member is None else feed.newest_row(connection, card.member, scope)
            if row is None:
                raise NobodysCodeError(None)
            return row, scope.store is None or scopes.held_at(connection, scope.store, row.row.member)

        answer, is_held = self._read(found)
        if not is_held:
            self._write(lambda connection: pinned(connection, self._store_of[device], answer.row.member, now))
            self._place()
            answer, _ = self._read(found)
        return answer

    def _erasures(self, device: str, request_id: str, body: bytes) -> Struct:
        def work(connection: Connection) -> Struct:
            return erasing.erasures_after(connection, int(body), feed.centre_epoch(connection))

        return self._read(work)

    def _heartbeat(self, device: str, request_id: str, body: bytes) -> Struct:
        state, now = msgspec.json.decode(body, type=HeartbeatRequest), self._clock()

        def work(connection: Connection) -> HeartbeatResponse:
            found = devices.locked_device(connection, device)
            if devices.first_use(connection, device, request_id, "", now):
                devices.heartbeat(connection, found, state, now)
            return HeartbeatResponse(
                centre_epoch=feed.centre_epoch(connection),
                server_time=now,
                program=programs.hash_in_force(connection, now) or UNSET,
                schedule=programs.announced(connection),
                feed=feed.feed_position(connection),
                erasures=erasing.newest(connection),
                code_key=cards.code_key(connection),
                scope=self._scope(connection, device).name,
                allowances=granting.number(connection, found.id),
                epoch=state.epoch,
                acked_through=devices.mark_of(connection, found.id, state.epoch) if state.epoch else UNSET,
            )

        return self._write(work)

    def _allowances(self, device: str, request_id: str, body: bytes) -> Struct:
        request, now = msgspec.json.decode(body, type=AllowancesRequest), self._clock()

        def work(connection: Connection) -> Struct:
            found = devices.locked_device(connection, device)
            return granting.ask(connection, found, request, now=now, randomness=self._chance.randbytes)

        answer = self._write(work)
        self._place()
        return answer

    def _program(self, device: str, request_id: str, body: bytes) -> Struct:
        signed = self._read(lambda connection: programs.signed_program(connection, body.decode()))
        if signed is None:
            raise NotFoundError
        return signed

    # ---- its database

    def _write(self, work: Callable[[Connection], T]) -> T:
        return self.database.write_now(work)

    def _read(self, work: Callable[[Connection], T]) -> T:
        return self.database.read_now(work)

    def _scope(self, connection: Connection, device: str) -> Scope:
        return scopes.scope_of(connection, self._store_of[device])

    def _place(self) -> None:
        """Give positions to what is new."""
        while self._placed().more:
            pass

    def _placed(self) -> Placed:
        placed = self._write(lambda connection: feed.place_changes(connection, self._clock()))
        if placed.members:
            concerned = self._read(lambda connection: self._concerned(connection, sorted(placed.members)))
            self.news |= dict.fromkeys(concerned, placed.pos)
        return placed

    def _concerned(self, connection: Connection, whose: list[str]) -> set[str]:
        """The stores that what was placed is about, as `central.live` finds them."""
        if members.erased_among(connection, whose):
            return set(self.news)
        return {HOLDS_ALL} | (scopes.stores_holding(connection, whose) & self.news.keys())


class LaggingCentre(SimulatedCentre):
    """Planted: now and then it answers from a copy of its database that has not heard of the last two batches."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._answers: defaultdict[tuple[str, str], deque[Struct]] = defaultdict(partial(deque, maxlen=3))

    def _ingest(self, device: str, request_id: str, body: bytes) -> Struct:
        answer, epoch = super()._ingest(device, request_id, body), msgspec.json.decode(body, type=IngestRequest).epoch
        answers = self._answers[epoch, self.epoch]
        answers.append(answer)
        return answers[0] if self._chance.random() < _LAGS else answer


class StubbornCentre(SimulatedCentre):
    """Planted: one entry that cannot be taken in, and nothing of its batch is."""

    def _ingest(self, device: str, request_id: str, body: bytes) -> Struct:
        if b'{"answer":null}' in body:
            raise BrokenError
        return super()._ingest(device, request_id, body)


class CarelessCentre(SimulatedCentre):
    """Planted: what cannot be taken in is acknowledged, and kept for nobody."""

    def _ingest(self, device: str, request_id: str, body: bytes) -> Struct:
        answer = super()._ingest(device, request_id, body)
        self._write(lambda connection: connection.execute(delete(tables.quarantine)))
        return answer


class LavishCentre(SimulatedCentre):
    """Planted: who shows a voucher has it, whoever holds it already."""

    def _allowances(self, device: str, request_id: str, body: bytes) -> Struct:
        want = msgspec.json.decode(body, type=AllowancesRequest).want

        def work(connection: Connection) -> None:
            table = tables.allowances
            elsewhere = (table.c.voucher == (want.voucher if want else None)) & (table.c.device != device)
            connection.execute(update(table).where(elsewhere).values(state="returned"))

        if want and want.voucher:
            self._write(work)
        return super()._allowances(device, request_id, body)


class ReclaimingCentre(SimulatedCentre):
    """Planted: what a register was not heard to spend within half an hour can be spent elsewhere."""

    def set_aside_ahead(self) -> None:
        def work(connection: Connection) -> None:
            table, now = tables.allowances, self._clock()
            old = select(table).where(table.c.state == "open", table.c.granted_at < now - timedelta(minutes=30))
            rows = connection.execute(old).all()
            allowances.close(connection, rows, "written_off", "planted", now)
            granting.tell_of(connection, {row.member for row in rows}, now)

        self._write(work)
        super().set_aside_ahead()
