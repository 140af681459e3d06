"""The HTTP side of a register over real TLS: who is trusted, what is sent, how failures are named."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import create_server
from typing import Any

import msgspec
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Raw, Struct

from central.certificates import ensure_certificates, server_context
from central.folder import DataFolder
from loyalty.member import Member
from sync.client import (
    EARLIEST_PLAUSIBLE,
    LATEST_PLAUSIBLE,
    CentreClient,
    old_tls_problem,
    pinned_context,
    plausible,
)
from sync.errors import (
    CentreAnswerError,
    CentreBusyError,
    CentreError,
    CentreRefusedError,
    CentreUnavailableError,
    CentreUntrustedError,
)
from sync.records import Entry
from sync.signing import verify_request
from sync.wire import (
    MAX_BODY_BYTES,
    MAX_ENTRIES,
    AllowancesRequest,
    ChangesResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    IngestRequest,
    IngestResponse,
    LiveHint,
    MemberResponse,
    NobodysCode,
    SnapshotChunk,
    Wanted,
    compress_always,
    decompress,
)
from tests.faults.proxy import SILENT, Fault, FaultyProxy
from tests.sync.listener import Answer, Listener, listening

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
NOW = datetime.now(UTC)
ALIVE = HeartbeatRequest(version="0.1.0", queued=0, quarantined=0)
HEARD = HeartbeatResponse(centre_epoch="c1", server_time=NOW, feed=7)


def said(answer: Struct | bytes, status: int = 200, **headers: str) -> Answer:
    body = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
    names = {name.replace("_", "-"): value for name, value in headers.items()}

    async def say(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers=names)

    return say


@asynccontextmanager
async def client_of(url: str, ca_pem: str, *, now: datetime = NOW, **options: Any) -> AsyncIterator[CentreClient]:
    ids = iter(f"request-{number}" for number in range(1000))
    client = CentreClient(
        url=url,
        ca_pem=ca_pem,
        device="dev-1",
        key=KEY,
        clock=lambda: now,
        request_id=lambda: next(ids),
        chance=lambda: 0.0,
        **options,
    )
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def talking(folder: Path, answer: Answer, **options: Any) -> AsyncIterator[tuple[CentreClient, Listener]]:
    async with (
        listening(folder, answer, made_at=NOW) as listener,
        client_of(listener.url, listener.ca_pem, **options) as client,
    ):
        yield client, listener


def signer_of(listener: Listener, number: int = -1) -> str:
    asked = listener.asked[number]
    return verify_request(
        method=asked.method,
        url=asked.target,
        headers=asked.headers,
        body=asked.body,
        key_of_device=lambda device: KEY.public_key() if device == "dev-1" else None,
    )


# -- what is sent ----------------------------------------------------------------------------------


async def test_a_request_is_signed_and_its_answer_typed(tmp_path: Path) -> None:
    async with talking(tmp_path, said(HEARD)) as (client, listener):
        assert await client.heartbeat(ALIVE) == HEARD

    assert signer_of(listener) == "dev-1"
    assert "Content-Encoding" not in listener.asked[0].headers


@pytest.mark.parametrize("count", [100, MAX_ENTRIES])
async def test_a_large_body_goes_compressed_and_is_signed_as_it_travels(tmp_path: Path, count: int) -> None:
    entries = tuple(
        Entry(seq=n, key=f"k{n}", kind="signal", hlc="", wall=NOW, salt="00" * 16, body=Raw(b'{"what":"x"}'))
        for n in range(1, count + 1)
    )
    batch = IngestRequest(device="dev-1", epoch="e", first_seq=1, prev_hash="0" * 64, entries=entries)
    acked = IngestResponse(
        centre_epoch="c1", acked_through=count, chain_hash="0" * 64, outcomes=(), server_time=NOW, credit=1
    )

    async with talking(tmp_path, said(acked)) as (client, listener):
        assert await client.ingest(batch) == acked

    [asked] = listener.asked
    plain = msgspec.json.encode(batch)
    assert asked.headers["Content-Encoding"] == "zstd"
    assert len(asked.body) < len(plain)
    assert decompress(asked.body, "zstd") == plain
    assert signer_of(listener) == "dev-1"


async def test_the_query_is_signed_as_it_stands(tmp_path: Path) -> None:
    changes = ChangesResponse(centre_epoch="c1", changes=(), next=5, more=False, as_of=NOW)
    async with talking(tmp_path, said(changes)) as (client, listener):
        assert await client.changes(5, 500, "everything") == changes

    assert listener.asked[0].target == "/v1/changes?after=5&limit=500&scope=everything"
    assert signer_of(listener) == "dev-1"


@pytest.mark.parametrize("scope", ["", "a b", "a&after=0", "š", "x" * 129])
async def test_a_scope_that_would_be_written_otherwise_is_not_asked_for(tmp_path: Path, scope: str) -> None:
    async with talking(tmp_path, said(Member(member="m1"))) as (client, listener):
        with pytest.raises(CentreAnswerError):
            await client.changes(5, 500, scope)

    assert listener.asked == []


@pytest.mark.parametrize(
    "code", ["TS 1/2", "../../admin", "?a=b#c", "čaša", "%2F", "<script>", "'; DROP TABLE", "!$&'()*+,;=:@~-._"]
)
async def test_a_hostile_code_stays_one_path_segment(tmp_path: Path, code: str) -> None:
    member = MemberResponse(pos=3, row=Member(member="m1"))
    async with talking(tmp_path, said(member)) as (client, listener):
        assert await client.member(code) == member

    target = listener.asked[0].target
    assert target.startswith("/v1/members/")
    assert target.count("/") == 3
    assert "?" not in target
    assert signer_of(listener) == "dev-1"


async def test_a_compressed_answer_is_read(tmp_path: Path) -> None:
    body = compress_always(msgspec.json.encode(HEARD))
    async with talking(tmp_path, said(body, Content_Encoding="zstd")) as (client, _):
        assert await client.heartbeat(ALIVE) == HEARD


async def test_a_chunk_comes_as_it_was_served(tmp_path: Path) -> None:
    content = compress_always(b"{}\n")
    chunk = SnapshotChunk(url="/v1/snapshots/a/0", sha256=hashlib.sha256(content).hexdigest(), rows=1)
    async with talking(tmp_path, said(content, Content_Type="application/zstd")) as (client, _):
        assert await client.chunk(chunk) == content

        with pytest.raises(CentreAnswerError, match="another server"):
            await client.chunk(msgspec.structs.replace(chunk, url="https://elsewhere.example/chunk"))


@pytest.mark.parametrize("code", ["", ".", ".."])
async def test_a_code_that_is_another_path_is_nobodys(tmp_path: Path, code: str) -> None:
    async with talking(tmp_path, said(b"")) as (client, listener):
        assert await client.member(code) is None

    assert listener.asked == []


# -- whom it trusts --------------------------------------------------------------------------------


async def test_another_ca_is_not_trusted(tmp_path: Path) -> None:
    async with (
        listening(tmp_path / "a", said(HEARD), made_at=NOW) as ours,
        listening(tmp_path / "b", said(HEARD), made_at=NOW) as theirs,
        client_of(theirs.url, ours.ca_pem) as client,
    ):
        with pytest.raises(CentreUntrustedError, match="not the centre"):
            await client.heartbeat(ALIVE)

        assert theirs.asked == []


async def test_another_ca_is_not_trusted_with_a_wrong_clock_either(tmp_path: Path) -> None:
    async with (
        listening(tmp_path / "a", said(HEARD), made_at=NOW) as ours,
        listening(tmp_path / "b", said(HEARD), made_at=NOW) as theirs,
        client_of(theirs.url, ours.ca_pem, now=datetime(1999, 1, 1, tzinfo=UTC)) as client,
    ):
        with pytest.raises(CentreUntrustedError):
            await client.heartbeat(ALIVE)


@pytest.mark.parametrize(
    ("register_clock", "trusted"),
    [
        (NOW, False),
        (EARLIEST_PLAUSIBLE - timedelta(seconds=1), True),
        (LATEST_PLAUSIBLE + timedelta(seconds=1), True),
    ],
)
async def test_validity_is_left_out_only_where_the_clock_cannot_be_right(
    tmp_path: Path, register_clock: datetime, trusted: bool
) -> None:
    # Given a certificate that is long out of date by the clock of this machine
    async with (
        listening(tmp_path, said(HEARD), made_at=NOW - timedelta(days=30 * 365)) as listener,
        client_of(listener.url, listener.ca_pem, now=register_clock) as client,
    ):
        if trusted:
            assert await client.heartbeat(ALIVE) == HEARD
        else:
            with pytest.raises(CentreUntrustedError, match="clock"):
                await client.heartbeat(ALIVE)


def test_plausible_clocks() -> None:
    assert plausible(NOW)
    assert not plausible(datetime(1970, 1, 1, tzinfo=UTC))
    assert not plausible(datetime(2099, 1, 1, tzinfo=UTC))


# -- how failures are named ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (said(b"", 500), CentreUnavailableError),
        (said(b"<html>", 502), CentreUnavailableError),
        (said(b"<html>"), CentreAnswerError),
        (said(b"{}"), CentreAnswerError),
        (said(b'{"server_time":"yesterday"}'), CentreAnswerError),
        (said(b'{"centre_epoch":"\xff"}'), CentreAnswerError),
        (said(b'{"x":' + b"[" * 100_000), CentreAnswerError),
        (said(b"", 302, Location="https://portal.example/"), CentreAnswerError),
        (said(b"", 204), CentreAnswerError),
        (said(b"no frame", Content_Encoding="zstd"), CentreAnswerError),
        (said(b"x", Content_Encoding="br"), CentreAnswerError),
        (said(compress_always(b"0" * (MAX_BODY_BYTES + 1)), Content_Encoding="zstd"), CentreAnswerError),
        (said(b"0" * (MAX_BODY_BYTES + 1)), CentreAnswerError),
    ],
)
async def test_an_unusable_answer_is_named(tmp_path: Path, answer: Answer, error: type[CentreError]) -> None:
    async with talking(tmp_path, answer) as (client, _):
        with pytest.raises(error) as caught:
            await client.heartbeat(ALIVE)

    assert type(caught.value) is error


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("retry_after", "seconds"), [("7", 7.0), ("", 5.0), ("soon", 5.0), ("-1", 5.0)])
async def test_a_busy_centre_says_when(tmp_path: Path, status: int, retry_after: str, seconds: float) -> None:
    async with talking(tmp_path, said(b"", status, Retry_After=retry_after)) as (client, _):
        with pytest.raises(CentreBusyError) as caught:
            await client.heartbeat(ALIVE)

    assert caught.value.retry_after_s == seconds


@pytest.mark.parametrize(
    ("date", "retry_after", "seconds"),
    [
        ("Sun, 22 Nov 2026 12:00:00 GMT", "Sun, 22 Nov 2026 12:02:00 GMT", 120.0),  # whatever time it is here
        ("", "Sun, 22 Nov 2026 12:02:00 GMT", 5.0),
        ("Sun, 22 Nov 2026 12:00:00 GMT", "Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("Sun, 22 Nov 2026 12:00:00 GMT", "Sun, 22 Nov 99999 12:00:00 GMT", 5.0),
        ("Sun, 22 Nov 2026 12:00:00 GMT", "Sun, 22 Nov 2026 12:00:00", 5.0),
    ],
)
async def test_a_busy_centre_says_when_by_its_own_clock(
    tmp_path: Path, date: str, retry_after: str, seconds: float
) -> None:
    async with talking(tmp_path, said(b"", 503, Date=date, Retry_After=retry_after)) as (client, _):
        with pytest.raises(CentreBusyError) as caught:
            await client.heartbeat(ALIVE)

    assert caught.value.retry_after_s == seconds


async def test_a_refusal_keeps_status_and_reason(tmp_path: Path) -> None:
    document = b'{"type":"urn:x","title":"Gap","status":409,"detail":"send again from seq 9","expected_seq":9}'
    async with talking(tmp_path, said(document, 409)) as (client, _):
        with pytest.raises(CentreRefusedError) as caught:
            await client.heartbeat(ALIVE)

    assert (caught.value.status, caught.value.detail, caught.value.expected_seq) == (409, "send again from seq 9", 9)


@pytest.mark.parametrize("body", [b"<html>", b'{"title":"\xff","status":413}'])
async def test_a_refusal_without_a_readable_reason_is_still_one(tmp_path: Path, body: bytes) -> None:
    async with talking(tmp_path, said(body, 413)) as (client, _):
        with pytest.raises(CentreRefusedError, match="no reason"):
            await client.heartbeat(ALIVE)


async def test_nobody_listening_is_unreachable(tmp_path: Path) -> None:
    async with listening(tmp_path, said(HEARD), made_at=NOW) as listener:
        ca_pem = listener.ca_pem
    with closing(create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    async with client_of(f"https://127.0.0.1:{port}", ca_pem) as client:
        with pytest.raises(CentreUnavailableError, match="check the network"):
            await client.heartbeat(ALIVE)


def test_a_server_without_tls_1_3_is_told(tmp_path: Path) -> None:
    # Given a server before the centre as nginx is without a word on TLS
    folder = DataFolder(tmp_path)
    folder.create()
    ensure_certificates(folder, (), NOW)
    old = server_context(folder)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    ca_pem = folder.ca_certificate.read_text()
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = pinned_context(ca_pem, check_time=True).wrap_bio(to_client, to_server, server_hostname="localhost")
    server = old.wrap_bio(to_server, to_client, server_side=True)

    # When they greet each other
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    with pytest.raises(ssl.SSLError):
        server.do_handshake()
    with pytest.raises(ssl.SSLError) as refused:
        client.do_handshake()

    assert "TLS 1.3" in (old_tls_problem(refused.value) or "")
    assert old_tls_problem(ssl.SSLError(1, "something else")) is None
    assert old_tls_problem(TimeoutError()) is None


async def test_a_silent_network_ends_at_the_deadline(tmp_path: Path) -> None:
    async with (
        listening(tmp_path, said(HEARD), made_at=NOW) as listener,
        FaultyProxy("127.0.0.1", listener.port, lambda _: SILENT) as proxy,
        client_of(f"https://127.0.0.1:{proxy.port}", listener.ca_pem, exchange_s=0.05) as client,
    ):
        with pytest.raises(CentreUnavailableError, match="did not answer in time"):
            await client.heartbeat(ALIVE)


async def test_a_lost_connection_is_tried_once_more_as_the_same_request(tmp_path: Path) -> None:
    # Given a centre that takes the first request and is gone before it answers
    async def vanish(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        listener.answer = said(HEARD)
        return web.Response()

    slept: list[float] = []

    async def sleep(delay_s: float) -> None:
        slept.append(delay_s)

    async with talking(tmp_path, vanish, sleep=sleep) as (client, listener):
        assert await client.heartbeat(ALIVE) == HEARD
        assert await client.heartbeat(ALIVE) == HEARD

    # Then it came twice under one id and signature; the next one has its own
    first, again, other = listener.asked
    assert (first.headers, first.body) == (again.headers, again.body)
    assert other.headers["Tillside-Request-Id"] != first.headers["Tillside-Request-Id"]
    assert len(slept) == 1


async def test_a_connection_that_is_lost_twice_is_unavailable(tmp_path: Path) -> None:
    async def vanish(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with talking(tmp_path, vanish) as (client, listener):
        with pytest.raises(CentreUnavailableError):
            await client.heartbeat(ALIVE)

    assert len(listener.asked) == 2


async def test_an_answer_that_is_cut_off_is_not_taken(tmp_path: Path) -> None:
    large = msgspec.json.encode(HEARD) + b" " * 200_000
    async with (
        listening(tmp_path, said(large), made_at=NOW) as listener,
        FaultyProxy("127.0.0.1", listener.port, lambda _: Fault(cut_answer_after=60_000)) as proxy,
        client_of(f"https://127.0.0.1:{proxy.port}", listener.ca_pem) as client,
    ):
        with pytest.raises(CentreUnavailableError):
            await client.heartbeat(ALIVE)


# -- lookups ---------------------------------------------------------------------------------------


async def test_a_code_that_the_centre_does_not_know_is_no_error(tmp_path: Path) -> None:
    async with talking(tmp_path, said(b'{"title":"Nothing","status":404}', 404)) as (client, _):
        assert await client.member("nobody") is None


async def test_of_a_card_that_nobody_has_the_centre_says_what_it_is(tmp_path: Path) -> None:
    async with talking(tmp_path, said(b'{"title":"Nobody","status":404,"card":"unissued"}', 404)) as (client, _):
        answer = await client.member("TS1")

    assert isinstance(answer, NobodysCode)
    assert answer.card == "unissued"


@pytest.mark.parametrize(
    "body",
    [b"<html>not found</html>", b'{"title":"N","status":404,"card":"golden"}', b'{"title":"\xff","status":404}', b""],
)
async def test_a_404_that_says_nothing_we_know_is_nobody(tmp_path: Path, body: bytes) -> None:
    async with talking(tmp_path, said(body, 404)) as (client, _):
        assert await client.member("TS1") is None


async def test_a_lookup_has_its_own_short_deadline(tmp_path: Path) -> None:
    async def think(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(3600)
        return web.Response()

    async with talking(tmp_path, think, lookup_s=0.05) as (client, _):
        with pytest.raises(CentreUnavailableError, match=r"0\.05 s"):
            await client.member("TS1")


async def test_a_customer_waits_for_points_that_are_not_here_for_less_than_a_second(tmp_path: Path) -> None:
    async def think(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(3600)
        return web.Response()

    wanted = AllowancesRequest(epoch="e1", after=0, want=Wanted(member="m1", points=500))
    async with talking(tmp_path, think) as (client, _):
        with pytest.raises(CentreUnavailableError, match=r"within 0\.8 s"):
            await client.allowances(wanted)


# -- hints -----------------------------------------------------------------------------------------


async def test_hints_come_as_long_as_the_connection_stands(tmp_path: Path) -> None:
    async def live(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str('{"feed":5}')
        await socket.send_str('{"command":"heartbeat","later":"unknown"}')
        await socket.close()
        return socket

    async with talking(tmp_path, live) as (client, listener):
        hints = [hint async for hint in client.hints()]

    assert hints == [LiveHint(), LiveHint(feed=5), LiveHint(command="heartbeat")]
    assert signer_of(listener) == "dev-1"


@pytest.mark.parametrize(("message", "error"), [("no json", CentreAnswerError), ('{"feed":"x"}', CentreAnswerError)])
async def test_a_hint_that_cannot_be_read_is_named(tmp_path: Path, message: str, error: type[CentreError]) -> None:
    async def live(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(message)
        await socket.receive()
        return socket

    async with talking(tmp_path, live) as (client, _):
        with pytest.raises(error):
            [hint async for hint in client.hints()]


async def test_a_refused_live_connection_is_named(tmp_path: Path) -> None:
    async with talking(tmp_path, said(b"", 403)) as (client, _):
        with pytest.raises(CentreRefusedError) as caught:
            [hint async for hint in client.hints()]

    assert caught.value.status == 403
