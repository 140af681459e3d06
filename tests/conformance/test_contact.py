"""Heartbeats, hints, signed documents, and the end of a register's service."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

import msgspec
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from tests.conformance.conftest import MEMBERS, Centre
from tests.conformance.register import Register, enrol, holds
from tests.conformance.rules import require, violated
from tests.conformance.shapes import Heard, Hint, Ingested, Signed

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Long enough for a busy machine; what takes longer does not come.
PATIENCE_S = 20
DOCUMENTS: Final = "programs-item-maps-config"


async def test_a_heartbeat_is_answered_whatever_it_tells(register: Register) -> None:
    bare = await register.heartbeat()
    told = {
        "version": "0",
        "queued": 3,
        "quarantined": 2,
        "oldest_queued_at": "2026-11-22T09:07:14Z",
        "reasons": {"unreadable": 2},
        "programs": [{"program": "0" * 64, "refused": "conformance"}],
        "templates_refused": "conformance",
        "a_key_of_the_future": {},
    }
    full = (await register.post("/v1/heartbeat", told)).read(Heard, "heartbeat")
    require(
        full.centre_epoch == bare.centre_epoch, "the-centres-own-epoch", "Two heartbeats, two epochs of the centre."
    )
    require(full.feed >= bare.feed, "down", f"The feed went back from {bare.feed} to {full.feed}.")


async def test_all_answers_are_of_one_life_of_the_centre(register: Register) -> None:
    register.signal()
    told = {
        "heartbeat": (await register.heartbeat()).centre_epoch,
        "ingest": (await register.ingest()).centre_epoch,
        "snapshot": (await register.snapshot()).centre_epoch,
        "enrol": register.device.enrolled.centre_epoch,
    }
    require(
        len(set(told.values())) == 1, "the-centres-own-epoch", f"centre_epoch differs from answer to answer: {told}."
    )


# ---- documents


async def signed(register: Register, target: str, hashed: str | None) -> str:
    """The text of a document whose hash and signature hold."""
    document = (await register.get(target)).read(Signed, DOCUMENTS)
    text = document.text.encode()
    own = hashlib.sha256(text).hexdigest()
    require(
        own == document.hash, DOCUMENTS, f"{target}: the hash is {document.hash}, and SHA-256 of the text is {own}."
    )
    named = hashed is None or hashed == document.hash
    require(named, DOCUMENTS, f"{target}: the heartbeat names {hashed}, the answer is {document.hash}.")
    signed_by_it = holds(register.device.enrolled.program_key, text, document.signature)
    require(signed_by_it, DOCUMENTS, f"{target}: the signature is not by program_key over the bytes of the text.")
    return document.text


async def test_what_the_heartbeat_names_can_be_fetched(register: Register) -> None:
    heard = await register.heartbeat()
    programs = dict.fromkeys((heard.program, *(one.program for one in heard.schedule)))
    named = [f"/v1/programs/{name}" for name in programs if name is not None]
    named += [f"/v1/item-maps/{heard.item_map}"] if heard.item_map else []
    if not named and not heard.config:
        pytest.skip("the centre names no document")
    for target in named:
        msgspec.json.decode(await signed(register, target, target.rsplit("/", 1)[1]))
    if heard.config:
        msgspec.json.decode(await signed(register, "/v1/config", heard.config))


async def test_a_schedule_is_in_order_of_time(register: Register) -> None:
    heard = await register.heartbeat()
    require(len(heard.schedule) <= 16, "limits", f"The schedule names {len(heard.schedule)} programs; 16 may be.")
    times = [one.valid_from for one in heard.schedule]
    begun = [time for time in times if time is not None]
    in_order = begun == sorted(begun) and None not in times[1:]
    require(in_order, DOCUMENTS, f"The schedule is not in order of time: {times}.")


@pytest.mark.parametrize("kind", ["programs", "item-maps"])
async def test_a_document_that_was_never_published_is_404(register: Register, kind: str) -> None:
    answer = await register.get(f"/v1/{kind}/{'0' * 64}")
    require(answer.status == 404, DOCUMENTS, f"No such document was published; the centre answered {answer}.")


# ---- the live connection


@asynccontextmanager
async def listening(register: Register) -> AsyncIterator[ClientWebSocketResponse]:
    try:
        socket = await register.live()
    except WSServerHandshakeError as error:
        if error.status in (404, 501):
            pytest.skip("the centre has no live connection")
        violated("live", f"The centre answered {error.status} to a signed GET /v1/live.")
    async with socket:
        yield socket


async def hint(socket: ClientWebSocketResponse) -> Hint | None:
    """The next hint; None when the connection ends."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            message = await socket.receive()
    except TimeoutError:
        violated("live", f"No hint came within {PATIENCE_S} s.")
    if message.type != WSMsgType.TEXT:
        return None
    try:
        return msgspec.json.decode(message.data, type=Hint)
    except msgspec.DecodeError as error:
        violated("live", f"A hint cannot be read: {error}: {message.data[:200]!r}.")


async def test_a_hint_comes_at_once_and_with_news(register: Register, sold: Ingested) -> None:
    # Given a register that listens
    async with listening(register) as socket:
        first = await hint(socket)
        require(first is not None, "live", "The centre ended the live connection before it told anything.")
        told = -1 if first is None or first.feed is None else first.feed
        require(told >= 0, "live", "The first message of a live connection names no feed.")
        # When a member buys
        register.receipt(register.sale(code=MEMBERS[0]))
        [outcome] = (await register.ingest(len(sold.outcomes) + 1)).outcomes
        # Then it is told of that position
        while told < outcome.pos:
            one = await hint(socket)
            require(one is not None, "live", "The live connection ended before it told of a change.")
            told = max(told, one.feed or 0) if one is not None else told


async def test_a_live_connection_is_signed_for(register: Register) -> None:
    async with listening(register):
        answer = await register.send(register.request("GET", "/v1/live"))
    require(answer.status == 401, "live", f"An unsigned GET /v1/live was answered with {answer.status}; 401 is due.")


# ---- the end


async def test_a_revoked_device_is_refused_and_loses_its_live_connection(
    centre: Centre, session: ClientSession
) -> None:
    # Given a register of its own, that listens where it can
    if centre.revoke is None:
        pytest.skip("no --revoke-command was given")
    register = Register(await enrol(session, centre.code()), session)
    await register.open_epoch()
    register.signal()
    # When it is revoked
    async with AsyncExitStack() as stack:
        socket = None
        with suppress(WSServerHandshakeError):
            socket = await stack.enter_async_context(await register.live())
        await asyncio.to_thread(centre.revoke, register.device.id)
        # Then it is refused, whatever it asks
        batch = register.signed("POST", "/v1/ingest", register.batch())
        for request in (batch, register.signed("GET", "/v1/snapshot"), register.epoch_request()):
            answer = await register.send(request)
            refused = answer.status == 403
            require(refused, "signatures", f"The device was revoked; the centre answered {answer}; 403 is due.")
        # And hears no more
        while socket is not None and await hint(socket) is not None:
            pass
