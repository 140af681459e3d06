"""The device API: HTTP in, the centre's functions, HTTP out.

Owns the edge: size limits before reading, the signature before decompressing, decoding before acting,
and the one place where errors become problem documents. Decides nothing else.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog
from aiohttp import web
from msgspec import Struct
from sqlalchemy import Connection

from central import (
    cards,
    configs,
    devices,
    erasing,
    feed,
    granting,
    item_maps,
    members,
    problems,
    programs,
    releases,
    scopes,
)
from central.clock import Clock
from central.db.database import Database, Work
from central.db.dialects import GiveWayError, Way, database_failed
from central.devices import Device, Randomness
from central.doorway import Doorway
from central.feed import Sequencer
from central.ingest import Applied, ingest, parts_of
from central.live import AwaitedHint, LiveConnection, LiveConnections, live_socket
from central.openapi import openapi_json
from central.pace import ALONE_ENTRIES, MAX_CREDIT, Pace
from central.phone_grants import PHONE_PATH
from central.routes import OPERATIONS, Operation
from central.snapshots import Snapshots
from sync.guesses import Guesses
from sync.records import Entry
from sync.signing import DEVICE_HEADER, MAX_ID_LENGTH, REQUEST_ID_HEADER, SignatureError, public_key_of, verify_request
from sync.wire import (
    MAX_HINT_WAIT_S,
    AllowancesRequest,
    AllowancesResponse,
    BodyTooLargeError,
    EnrolRequest,
    EnrolResponse,
    EpochRequest,
    EpochResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    IngestRequest,
    IngestResponse,
    MemberResponse,
    compress,
    decompress,
)

_log = structlog.get_logger(__name__)

RequestType = TypeVar("RequestType", bound=Struct)


class Call(Struct, frozen=True, kw_only=True):
    """A request whose signature held. `body` is as sent, still compressed; `store` is the device's."""

    device: str
    store: str
    request_id: str
    fingerprint: str
    http: web.Request
    body: bytes


class _Found(Struct, frozen=True, kw_only=True):
    """The member of a code; `held` where the feed of the caller's store tells of them already."""

    answer: MemberResponse
    held: bool


class DeviceApi:
    """One handler per operation of the route table, named as the operation is."""

    def __init__(
        self,
        *,
        database: Database,
        sequencer: Sequencer,
        snapshots: Snapshots,
        live: LiveConnections,
        doorway: Doorway,
        ca_pem: bytes,
        program_key: str,
        join_url: str | None,
        releases_in: Path,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._database = database
        self._sequencer = sequencer
        self._snapshots = snapshots
        self._live = live
        self._doorway = doorway
        self._ca_pem = ca_pem
        self._program_key = program_key
        self._join_url = join_url
        self._releases = releases_in
        self._clock = clock
        self._randomness = randomness
        self._pace = Pace(time.monotonic)
        self._guesses: defaultdict[str, Guesses] = defaultdict(partial(Guesses, time.monotonic))  # by enrolled device
        self._document = openapi_json()

    def application(self) -> web.Application:
        app = web.Application(middlewares=[_problems])
        for operation in OPERATIONS:
            app.router.add_route(operation.method, operation.path, self._endpoint(operation))
        return app

    def _endpoint(self, operation: Operation) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        if not operation.signed:
            unsigned: Callable[[web.Request], Awaitable[web.StreamResponse]] = getattr(self, operation.id)

            async def anybodys(request: web.Request) -> web.StreamResponse:
                _refuse_nul(request)
                return await unsigned(request)

            return anybodys
        handler: Callable[[Call], Awaitable[web.StreamResponse]] = getattr(self, operation.id)

        async def signed(request: web.Request) -> web.StreamResponse:
            call = await self._verified(request, operation.max_body_bytes)
            _refuse_nul(request)
            return await handler(call)

        return signed

    # ---- for anyone

    async def ca(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(body=self._ca_pem, content_type="application/x-pem-file")

    async def openapi(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(body=self._document, content_type="application/json")

    async def release_file(self, request: web.Request) -> web.StreamResponse:
        """A register goes on after a break by asking for a range, which a file is served by."""
        kind, name = request.match_info["kind"], request.match_info["name"]
        path = await asyncio.to_thread(releases.release_file, self._releases, kind, name)
        if path is None:
            raise problems.NotFoundError("no release has this file")
        return web.FileResponse(path, headers={"Content-Type": "application/octet-stream"})

    async def enrol(self, request: web.Request) -> web.StreamResponse:
        operation = next(known for known in OPERATIONS if known.id == "enrol")
        body = await _read_body(request, operation.max_body_bytes)
        wanted = _decoded(body, request, EnrolRequest)
        now = self._clock()
        let_in = await self._doorway.let_in(wanted, request, body, now)
        device = let_in.device
        epoch = await self._database.read(feed.centre_epoch)
        return _answer(
            request,
            EnrolResponse(
                device=device.id,
                store=device.store,
                register=device.register,
                centre_epoch=epoch,
                program_key=self._program_key,
                server_time=now,
                replaced=let_in.shut_out[0] if let_in.shut_out else msgspec.UNSET,
            ),
        )

    # ---- for enrolled devices

    async def open_epoch(self, call: Call) -> web.StreamResponse:
        wanted = _decoded(call.body, call.http, EpochRequest)
        now = self._clock()

        def work(connection: Connection) -> EpochResponse:
            device = devices.locked_device(connection, call.device)
            devices.first_use(connection, call.device, call.request_id, call.fingerprint, now)
            epoch = devices.open_epoch(
                connection, device, wanted, request_id=call.request_id, now=now, randomness=self._randomness
            )
            return EpochResponse(epoch=epoch, centre_epoch=feed.centre_epoch(connection), server_time=now)

        return _answer(call.http, await self._database.write(work, Way.BESIDE))

    async def ingest(self, call: Call) -> web.StreamResponse:
        batch = _decoded(call.body, call.http, IngestRequest)
        now = self._clock()
        async with self._pace.turn(len(batch.entries)):
            applied = await self._applied(call, batch, now)
        if isinstance(applied, problems.EpochFencedError):
            raise applied
        await self._sequencer.place()
        credit = self._pace.credit(len(batch.entries))
        return _answer(
            call.http, await self._database.read(lambda connection: ingested(connection, applied, now, credit))
        )

    async def _applied(self, call: Call, batch: IngestRequest, now: datetime) -> Applied | problems.EpochFencedError:
        """In one transaction beside others; what would keep them waiting in small ones, so that they get in between."""

        def work(part: IngestRequest, behind: Sequence[Entry] = ()) -> Work[Applied | problems.EpochFencedError]:
            return partial(
                ingest,
                device_id=call.device,
                request=part,
                behind=behind,
                request_id=call.request_id,
                fingerprint=call.fingerprint,
                now=now,
            )

        if len(batch.entries) <= ALONE_ENTRIES:
            return await self._database.write(work(batch), Way.BESIDE)
        if not self._database.has_one_writer:
            with suppress(GiveWayError):
                return await self._database.attempt(work(batch), Way.BESIDE)
        taken: list[Applied] = []
        for part in await asyncio.to_thread(parts_of, batch, ALONE_ENTRIES):
            behind = batch.entries[part.first_seq - batch.first_seq + len(part.entries) :]
            applied = await self._database.write(work(part, behind), Way.BESIDE)
            if isinstance(applied, problems.EpochFencedError):
                return applied
            taken.append(applied)
        return msgspec.structs.replace(taken[-1], outcomes=tuple(chain.from_iterable(one.outcomes for one in taken)))

    async def changes(self, call: Call) -> web.StreamResponse:
        after = _number(call.http, "after", minimum=0, maximum=2**63 - 1)
        limit = _number(call.http, "limit", minimum=1, maximum=feed.MAX_CHANGES, default=feed.MAX_CHANGES)
        held, now = call.http.query.get("scope"), self._clock()

        def work(connection: Connection) -> Struct:
            scope = scopes.scope_of(connection, call.store)
            if held is not None and held != scope.name:
                raise problems.SnapshotNeededError(
                    "registers of this store hold other members now; take a new snapshot with GET /v1/snapshot"
                )
            if after > feed.feed_position(connection):
                raise problems.SnapshotNeededError(
                    "this centre's feed has not come that far: it was restored from a backup; "
                    "take a new snapshot with GET /v1/snapshot"
                )
            return feed.changes_after(connection, after, limit, now, scope)

        return _answer(call.http, await self._database.read(work))

    async def snapshot(self, call: Call) -> web.StreamResponse:
        scope = await self._database.read(lambda connection: scopes.scope_of(connection, call.store))
        begun = call.http.query.get("last")
        as_of = _number(call.http, "as_of", minimum=0, maximum=2**63 - 1, default=0)
        return _answer(call.http, await self._snapshots.newest(scope, self._clock(), begun, as_of))

    async def snapshot_chunk(self, call: Call) -> web.StreamResponse:
        match = call.http.match_info
        scope = await self._database.read(lambda connection: scopes.scope_of(connection, call.store))
        content = await asyncio.to_thread(self._snapshots.chunk, scope, match["snapshot"], match["chunk"])
        return web.Response(body=content, content_type="application/zstd")

    async def member(self, call: Call) -> web.StreamResponse:
        """A member whom the store does not hold is held there from now on, so that the feed goes on telling of them."""
        guesses = self._guesses[call.device]
        if wait_s := guesses.wait_s():
            raise problems.GuessingError(wait_s)
        try:
            found = await self._database.read(lambda connection: self._found(connection, call))
        except problems.NobodysCodeError:
            guesses.missed()
            raise
        if not found.held:
            member, now = found.answer.row.member, self._clock()
            await self._database.write(lambda c: pinned(c, call.store, member, now), Way.BESIDE)
            await self._sequencer.place()
            found = await self._database.read(lambda connection: self._found(connection, call))
        return _answer(call.http, found.answer)

    def _found(self, connection: Connection, call: Call) -> _Found:
        card = cards.find(connection, call.http.match_info["code"])
        scope = scopes.scope_of(connection, call.store)
        row = None if card is None or card.member is None else feed.newest_row(connection, card.member, scope)
        if row is None:
            raise problems.NobodysCodeError(None if card is None or card.member is not None else card.state)
        held = scope.store is None or scopes.held_at(connection, scope.store, row.row.member)
        return _Found(answer=row, held=held)

    async def erasures(self, call: Call) -> web.StreamResponse:
        after = _number(call.http, "after", minimum=0, maximum=2**31 - 1)

        def work(connection: Connection) -> Struct:
            return erasing.erasures_after(connection, after, feed.centre_epoch(connection))

        return _answer(call.http, await self._database.read(work))

    async def heartbeat(self, call: Call) -> web.StreamResponse:
        state = _decoded(call.body, call.http, HeartbeatRequest)
        now = self._clock()

        def work(connection: Connection) -> HeartbeatResponse:
            device = devices.locked_device(connection, call.device)
            if devices.first_use(connection, call.device, call.request_id, call.fingerprint, now):
                devices.heartbeat(connection, device, state, now)
            program, config = programs.hash_in_force(connection, now), configs.hash_in_force(connection)
            return HeartbeatResponse(
                centre_epoch=feed.centre_epoch(connection),
                server_time=now,
                program=msgspec.UNSET if program is None else program,
                schedule=programs.announced(connection),
                config=msgspec.UNSET if config is None else config,
                item_map=item_maps.hash_in_force(connection) or msgspec.UNSET,
                feed=feed.feed_position(connection),
                erasures=erasing.newest(connection),
                code_key=cards.code_key(connection),
                join_url=self._join_url or msgspec.UNSET,
                phone_url=f"{self._join_url}{PHONE_PATH}" if self._join_url else msgspec.UNSET,
                scope=scopes.scope_of(connection, device.store).name,
                allowances=granting.number(connection, device.id),
                release=releases.offered_to(connection, device.id, device.store) or msgspec.UNSET,
                log_s=_seconds_until(device.log_until, now),
                epoch=state.epoch,
                acked_through=devices.mark_of(connection, device.id, state.epoch) if state.epoch else msgspec.UNSET,
                store=device.store,
                register=device.register,
            )

        self._live.stands_at(call.device, call.store)
        return _answer(call.http, await self._database.write(work, Way.BESIDE))

    async def allowances(self, call: Call) -> web.StreamResponse:
        asked = _decoded(call.body, call.http, AllowancesRequest)
        now = self._clock()

        def work(connection: Connection) -> AllowancesResponse:
            device = devices.locked_device(connection, call.device)
            devices.first_use(connection, call.device, call.request_id, call.fingerprint, now)
            return granting.ask(connection, device, asked, now=now, randomness=self._randomness)

        answer = await self._database.write(work, Way.BESIDE)
        await self._sequencer.place_if_any()
        return _answer(call.http, answer)

    async def program(self, call: Call) -> web.StreamResponse:
        hashed = call.http.match_info["hash"]
        signed = await self._database.read(lambda connection: programs.signed_program(connection, hashed))
        if signed is None:
            raise problems.NotFoundError("no program with this hash was published here")
        return _answer(call.http, signed)

    async def item_map(self, call: Call) -> web.StreamResponse:
        """As it is stored: thousands of registers fetch a large one within the same half minute."""
        hashed = call.http.match_info["hash"]
        answer = await self._database.read(lambda connection: item_maps.answer_of(connection, hashed))
        if answer is None:
            raise problems.NotFoundError("no item map with this hash was published here")
        headers = {"Cache-Control": "no-store"}
        if "zstd" in call.http.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "zstd"
        else:
            answer = decompress(answer, "zstd")
        return web.Response(body=answer, content_type="application/json", headers=headers)

    async def config(self, call: Call) -> web.StreamResponse:
        signed = await self._database.read(configs.signed_config)
        if signed is None:
            raise problems.NotFoundError("no identification rules were published here")
        return _answer(call.http, signed)

    async def live(self, call: Call) -> web.StreamResponse:
        socket = live_socket()
        await socket.prepare(call.http)
        connection = LiveConnection(socket, call.store)
        await self._live.serve(call.device, connection, lambda: self._database.read(feed.feed_position))
        return socket

    async def hint(self, call: Call) -> web.StreamResponse:
        """Kept among the live connections meanwhile, and counted as one."""
        after = _number(call.http, "after", minimum=0, maximum=2**63 - 1)
        wait_s = _number(call.http, "wait", minimum=0, maximum=MAX_HINT_WAIT_S)

        def come_to(connection: Connection) -> int:
            scope = scopes.scope_of(connection, call.store)
            return feed.feed_position(connection) if feed.has_news(connection, after, scope) else after

        waiting = AwaitedHint(after)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                connection = LiveConnection(waiting, call.store)
                await self._live.serve(call.device, connection, lambda: self._database.read(come_to))
        return _answer(call.http, waiting.hint)

    # ---- who calls

    async def _verified(self, request: web.Request, max_body_bytes: int) -> Call:
        """The device is known before the body is read, and the signature holds before it is opened."""
        device_id = request.headers.get(DEVICE_HEADER, "")
        device = await self._known_device(device_id[: MAX_ID_LENGTH + 1])
        body = await _read_body(request, max_body_bytes)
        try:
            verify_request(
                method=request.method,
                url=request.raw_path,
                headers=request.headers,
                body=body,
                key_of_device=lambda _: public_key_of(device.public_key),
            )
        except SignatureError as error:
            _log.warning("signature_refused", device=device.id, error=type(error).__name__)
            raise problems.NotSignedError(str(error)) from error
        fingerprint = hashlib.sha256(f"{request.method} {request.raw_path}\n".encode() + body).hexdigest()
        return Call(
            device=device.id,
            store=device.store,
            request_id=request.headers[REQUEST_ID_HEADER],
            fingerprint=fingerprint,
            http=request,
            body=body,
        )

    async def _known_device(self, device_id: str) -> Device:
        if not device_id:
            raise problems.NotSignedError(f"sign the request and name the device in {DEVICE_HEADER}")
        device = await self._database.read(lambda connection: devices.find_device(connection, device_id))
        if device is None:
            raise problems.NotSignedError("this device is not enrolled here; enrol the register with a new code")
        if device.revoked:
            raise problems.DeviceRevokedError("enrol the register again with a new code")
        return device


def pinned(connection: Connection, store: str, member: str, now: datetime) -> None:
    """A store asked for this member and holds them, unless they are nobody, or somebody else, since they were found."""
    members.hold(connection, (member,))
    stands = members.meant(connection, (member,)).get(member) == member
    if stands and not members.erased_among(connection, (member,)):
        scopes.pin(connection, store, member, now)


def ingested(connection: Connection, applied: Applied, now: datetime, credit: int = MAX_CREDIT) -> IngestResponse:
    """The answer, with the positions that the sequencer gave."""
    positions = feed.positions_of(connection, {member for _, member in applied.outcomes if member is not None})
    outcomes = tuple(
        outcome if member not in positions else msgspec.structs.replace(outcome, pos=positions[member])
        for outcome, member in applied.outcomes
    )
    return IngestResponse(
        centre_epoch=feed.centre_epoch(connection),
        acked_through=applied.acked_through,
        chain_hash=applied.chain_hash,
        outcomes=outcomes,
        server_time=now,
        credit=credit,
    )


def _refuse_nul(request: web.Request) -> None:
    """Nothing has a name with a NUL, for which neither PostgreSQL nor a folder can be asked."""
    if any("\0" in part for part in request.match_info.values()):
        raise problems.NotFoundError("a name without a NUL is under this address")


async def _read_body(request: web.Request, limit: int) -> bytes:
    """At most `limit` bytes; refused by its length where one is given."""
    too_large = problems.TooLargeError(f"send at most {limit} bytes in one request")
    if request.content_length is not None and request.content_length > limit:
        raise too_large
    body = bytearray()
    async for part in request.content.iter_any():
        body += part
        if len(body) > limit:
            raise too_large
    return bytes(body)


def _decoded(body: bytes, request: web.Request, expected: type[RequestType]) -> RequestType:
    try:
        return msgspec.json.decode(decompress(body, request.headers.get("Content-Encoding")), type=expected)
    except BodyTooLargeError as error:
        raise problems.TooLargeError(str(error)) from error
    except msgspec.DecodeError as error:
        raise problems.UnreadableError(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise problems.UnreadableError(str(error)) from error


def _seconds_until(moment: datetime | None, now: datetime) -> int | msgspec.UnsetType:
    left = 0 if moment is None else math.ceil((moment - now).total_seconds())
    return left if left > 0 else msgspec.UNSET


def _number(request: web.Request, name: str, *, minimum: int, maximum: int, default: int | None = None) -> int:
    text = request.query.get(name, "" if default is None else str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and minimum <= int(text) <= maximum):
        raise problems.UnreadableError(f"{name} is a number from {minimum} to {maximum}")
    return int(text)


def _answer(request: web.Request, answer: Struct) -> web.Response:
    body = msgspec.json.encode(answer)
    headers = {"Cache-Control": "no-store"}
    if "zstd" in request.headers.get("Accept-Encoding", ""):
        body, encoding = compress(body)
        if encoding is not None:
            headers["Content-Encoding"] = encoding
    return web.Response(body=body, content_type="application/json", headers=headers)


@web.middleware
async def _problems(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Every refusal leaves as a problem document."""
    try:
        return await handler(request)
    except problems.RefusedError as error:
        return _refused(error)
    except web.HTTPNotFound:
        return _refused(problems.NotFoundError("see /openapi.json for what this version answers"))
    except web.HTTPMethodNotAllowed:
        return _refused(problems.MethodError("see /openapi.json for what this version answers"))
    except (asyncio.CancelledError, web.HTTPException, ConnectionError):
        raise
    except Exception as error:  # noqa: BLE001 - the edge: whatever failed, the register hears one form
        if database_failed(error):
            _log.error("database_failed", error=str(getattr(error, "orig", "")))
            return _refused(problems.BusyError("the centre's database failed; send it again, under the same id"))
        _log.error("request_failed", path=request.match_info.route.resource, error=type(error).__name__)
        return _refused(problems.BrokenError("the failure is in the centre's log; send the request again later"))


def _refused(error: problems.RefusedError) -> web.Response:
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    return web.Response(
        status=error.status,
        body=msgspec.json.encode(error.refusal()),
        content_type="application/problem+json",
        headers=headers,
    )
