"""The centre of a simulated chain: its real functions on its real database, called without a server.

Owns what stands between a request that arrived and its answer, as `central.device_api` does it.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec import UNSET, Struct
from sqlalchemy import Connection, select

from central import (
    allowances,
    backups,
    devices,
    feed,
    granting,
    limits,
    members,
    operations,
    programs,
    quarantine,
    scopes,
)
from central.db import tables
from central.db.database import Database
from central.device_api import ingested
from central.devices import Device
from central.folder import DataFolder
from central.ingest import Applied, ingest
from central.problems import NotFoundError, RefusedError, SnapshotNeededError
from central.scopes import ALL_STORES, EVERYTHING
from central.setup import InitOptions, initialise
from central.snapshots import zstd_lines
from loyalty.limits import Limits
from loyalty.program import Program
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
    SnapshotChunk,
    SnapshotResponse,
)
from tests.simulation.trace import Trace

T = TypeVar("T")

FACTS: Final = Facts(version="0.1.0", platform="simulation")
_ROWS_PER_CHUNK: Final = 200


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
        self.news = 0
        initialise(folder, InitOptions(), clock())
        self._data = DataFolder(folder)
        self._key = self._data.program_key()
        self.program_key = public_key_text(self._key)
        self.database = Database(self._data.database)
        self._snapshots: dict[str, bytes] = {}
        self._write(lambda connection: scopes.set_policy(connection, ALL_STORES, EVERYTHING, clock()))
        self._write(lambda connection: limits.set_limits(connection, Limits(), "few members buy all day", clock()))

    # ---- what its operator does

    def publish(self, program: Program) -> None:
        self._write(lambda connection: operations.publish(connection, program, self._key, self._clock()))

    def import_members(self, document: bytes) -> None:
        rows = members.members_from_json(document)
        self._write(lambda connection: members.import_members(connection, rows, self._clock()))
        self._place()

    def enrol(self, store: str, register: str) -> str:
        """A new device."""
        token, key = f"token {store} {register}", f"{store}-{register}".ljust(43, "A")
        request = EnrolRequest(token=token, public_key=key, facts=FACTS)

        def work(connection: Connection) -> Device:
            devices.create_enrolment(
                connection,
                token=token,
                store=store,
                register=register,
                valid_for=timedelta(hours=1),
                now=self._clock(),
            )
            return devices.enrol(connection, request, now=self._clock(), randomness=self._chance.randbytes)

        return str(self._write(work).id)

    def back_up(self, target: Path) -> None:
        self._trace.note("centre", "is backed up")
        backups.back_up(self._data, target, self._clock())

    def restore(self, backup: Path) -> None:
        """Its disk is lost: what came after the backup is with the registers alone."""
        self._trace.note("centre", "is restored")
        self.database.close()
        backups.restore(self._data, backup, None, self._clock())
        self.database = Database(self._data.database)
        self._snapshots.clear()
        self.news = self._read(feed.feed_position)

    def say_that_one_is_left(self) -> None:
        """Of machines that shared an identity one is in use; what both sent has its effect."""

        def work(connection: Connection) -> None:
            for device in sorted(devices.shared_devices(connection)):
                self._trace.note("centre", f"{device[:6]} is one machine again")
                devices.release(connection, device, self._clock())

        self._write(work)
        while self._write(lambda connection: quarantine.retry_what_may(connection, self._clock())).applied:
            self._place()

    def set_aside_ahead(self) -> None:
        """What its server does in between: points of members whose balance moved go where they shop."""

        def work(connection: Connection) -> int:
            return granting.plan(connection, self._clock(), self._chance.randbytes)

        while self._write(work):
            self._place()

    def allowances_of(self, device: str) -> int:
        """What the server's hints are made of: the newest number of what this device may spend."""

        def work(connection: Connection) -> int:
            return granting.number(connection, devices.locked_device(connection, device).id)

        return self._write(work)

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
            scope = scopes.scope_of(connection, devices.device_of(connection, device).store)
            if after > feed.feed_position(connection) or held != scope.name:
                raise SnapshotNeededError
            return feed.changes_after(connection, after, limit, self._clock(), scope)

        return self._read(work)

    def _snapshot(self, device: str, request_id: str, body: bytes) -> Struct:
        """All that is in the device's scope in small chunks, as `central.snapshots` makes them."""

        def work(connection: Connection) -> SnapshotResponse:
            chunks: list[SnapshotChunk] = []
            scope = scopes.scope_of(connection, devices.device_of(connection, device).store)
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

    def _place(self) -> None:
        while self._write(lambda connection: feed.place_changes(connection, self._clock())).more:
            pass
        self.news = self._read(feed.feed_position)


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
