"""The way to a centre over networks that go wrong: proxies, portals, names, certificates, silence. Real sockets."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from msgspec import Raw

from central.certificates import ensure_certificates, server_context
from central.folder import DataFolder
from sync.client import CentreClient, plausible
from sync.errors import (
    CentreAnswerError,
    CentreBusyError,
    CentreProxyError,
    CentreUnavailableError,
    CentreUntrustedError,
)
from sync.network import MAX_CA_BYTES, NetworkSettingError, Way, proxy_for, way_of, without_password
from sync.records import Entry
from sync.wire import IngestRequest, LiveHint
from tests.faults.proxy import FaultyProxy
from tests.sync.centre import PATIENCE_S
from tests.sync.listener import Listener, listening
from tests.sync.test_client import ALIVE, HEARD, NOW, client_of, said

CENTRE = "https://centre.example:8443"


# -- which proxy -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("proxy", "environment", "bypassed", "taken"),
    [
        ("system", {}, (), None),
        ("system", {"https": "http://proxy.shop:3128"}, (), "http://proxy.shop:3128"),
        ("system", {"https": "proxy.shop:3128"}, (), "http://proxy.shop:3128"),
        ("system", {"http": "http://other:1"}, (), None),
        ("system", {"https": "http://proxy.shop:3128"}, ("centre.example",), None),
        ("system", {"https": "http://proxy.shop:3128"}, ("centre.example:8443",), None),
        ("none", {"https": "http://proxy.shop:3128"}, (), None),
        ("http://own:8080", {"https": "http://proxy.shop:3128"}, ("centre.example",), "http://own:8080"),
    ],
)
def test_which_proxy_is_taken(
    proxy: str, environment: dict[str, str], bypassed: tuple[str, ...], taken: str | None
) -> None:
    found = proxy_for(CENTRE, Way(proxy=proxy), proxies=lambda: environment, bypassed=lambda host: host in bypassed)

    assert found == taken


@pytest.mark.parametrize("proxy", ["proxy.shop", "https://proxy.shop:1", "http://:3128", "http://a:x", "socks"])
def test_a_proxy_that_is_no_address_is_named(proxy: str) -> None:
    with pytest.raises(NetworkSettingError, match=r"centre\.proxy.*http://HOST:PORT"):
        way_of(proxy, None)


def test_a_ca_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NetworkSettingError, match=r"centre\.ca_file"):
        way_of("none", tmp_path / "shop.pem")


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "device", "folder", "long", "der"])
def test_a_ca_file_without_certificates_is_named(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "shop.pem"
    block = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    content = {"empty": b"", "text": b"no certificate", "cut": block.encode(), "long": b"#" * (MAX_CA_BYTES + 1)}
    if kind == "folder":
        file.mkdir()
    elif kind != "device":
        file.write_bytes(content.get(kind, b"\x30\x82\xff"))

    with pytest.raises(NetworkSettingError, match=r"centre\.ca_file"):
        way_of("none", Path("/dev/null") if kind == "device" else file)


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("socks5://proxy.shop:1080", "'socks5', which is not supported"),
        ("http://u:a?b@h", "%3F"),
        ("http://u:1?b@h", "%3F"),
        ("http://:3128", "no address"),
    ],
)
def test_a_proxy_of_the_system_that_cannot_be_used_is_named_where_it_would_be(proxy: str, said: str) -> None:
    def proxied(bypassed: bool) -> str | None:
        return proxy_for(CENTRE, Way(), proxies=lambda: {"https": proxy}, bypassed=lambda _host: bypassed)

    with pytest.raises(NetworkSettingError, match=r"centre\.proxy.*HTTPS_PROXY") as wrong:
        proxied(bypassed=False)
    assert said in str(wrong.value)
    assert "u:" not in str(wrong.value)
    assert proxied(bypassed=True) is None


async def test_an_exchange_by_a_proxy_that_cannot_be_used_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.shop:1080")
    folder = DataFolder(tmp_path)
    ensure_certificates(folder, ("centre.example",), NOW)

    async with client_of(CENTRE, folder.ca_certificate.read_text()) as client:
        for attempt in (client.changes(0, 1, "all"), anext(client.hints())):
            with pytest.raises(CentreProxyError, match="not supported"):
                await attempt


def test_a_proxy_is_told_without_its_password() -> None:
    assert without_password("http://till:secret@proxy.shop:3128") == "proxy.shop:3128"
    assert without_password("http://proxy.shop:3128") == "proxy.shop:3128"


class ConnectProxy:
    """An HTTP proxy that knows CONNECT only; `status` is its answer, `asked` what it was asked for."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.asked: list[str] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        target = head.split(b" ", 2)[1].decode()
        self.asked.append(target)
        writer.write(f"HTTP/1.1 {self.status} Said\r\nContent-Length: 0\r\n\r\n".encode())
        if self.status != 200:
            writer.close()
            return
        host, _, port = target.rpartition(":")
        onward_reader, onward = await asyncio.open_connection(host, int(port))
        try:
            await asyncio.gather(carry(reader, onward), carry(onward_reader, writer))
        finally:
            onward.transport.abort()


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(serve: Serve, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server of the test's own, by its port; whatever it still serves at the end is cut off."""
    tasks: set[asyncio.Task[None] | None] = set()
    writers: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        writers.append(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)

    server = await asyncio.start_server(handle, host, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        running = [task for task in tasks if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        for _ in range(20):  # both ends take in that the connection is gone
            await asyncio.sleep(0)


@asynccontextmanager
async def proxying(status: int = 200) -> AsyncIterator[ConnectProxy]:
    proxy = ConnectProxy(status)
    async with serving(proxy.serve) as proxy.port:
        yield proxy


async def test_a_centre_is_reached_through_a_proxy_and_still_only_the_pinned_one(tmp_path: Path) -> None:
    async with listening(tmp_path, said(HEARD), made_at=NOW) as listener, proxying() as proxy:
        way = Way(proxy=f"http://127.0.0.1:{proxy.port}")
        async with client_of(listener.url, listener.ca_pem, way=way) as client:
            assert await client.heartbeat(ALIVE) == HEARD

    assert proxy.asked == [f"127.0.0.1:{listener.port}"]


async def test_the_systems_proxy_is_taken_but_for_hosts_that_the_system_excepts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with listening(tmp_path, said(HEARD), made_at=NOW) as listener, proxying() as proxy:
        # Given a proxy in the environment, and settings that say nothing of one
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        async with client_of(listener.url, listener.ca_pem, way=way_of("system", None)) as client:
            assert await client.heartbeat(ALIVE) == HEARD
        assert proxy.asked == [f"127.0.0.1:{listener.port}"]
        # When the environment excepts the centre from it
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        async with client_of(listener.url, listener.ca_pem, way=way_of("system", None)) as client:
            assert await client.heartbeat(ALIVE) == HEARD
        # Then it is not asked again
        assert len(proxy.asked) == 1


@pytest.mark.parametrize(
    ("status", "words"), [(407, "USER:PASSWORD"), (403, "allow it there"), (502, r"does not let .* through")]
)
async def test_a_proxy_that_refuses_is_named_with_what_to_do(tmp_path: Path, status: int, words: str) -> None:
    async with listening(tmp_path, said(HEARD), made_at=NOW) as listener, proxying(status) as proxy:
        way = Way(proxy=f"http://till:secret@127.0.0.1:{proxy.port}")
        async with client_of(listener.url, listener.ca_pem, way=way) as client:
            with pytest.raises(CentreProxyError, match=words) as caught:
                await client.heartbeat(ALIVE)

    assert "secret" not in str(caught.value)


async def test_a_proxy_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with listening(tmp_path, said(HEARD), made_at=NOW) as listener:
        async with proxying() as proxy:
            way = Way(proxy=f"http://127.0.0.1:{proxy.port}")
        async with client_of(listener.url, listener.ca_pem, way=way) as client:
            with pytest.raises(CentreProxyError, match=r"cannot be reached; check centre\.proxy"):
                await client.heartbeat(ALIVE)


async def test_a_ca_of_the_shops_own_network_is_trusted_where_it_is_set(tmp_path: Path) -> None:
    async with (
        listening(tmp_path / "centre", said(HEARD), made_at=NOW) as centre,
        listening(tmp_path / "inspector", said(HEARD), made_at=NOW) as inspector,
        client_of(inspector.url, centre.ca_pem, way=Way(ca_pem=inspector.ca_pem)) as client,
    ):
        assert await client.heartbeat(ALIVE) == HEARD


# -- who answers -----------------------------------------------------------------------------------


async def test_a_portal_that_answers_every_connection_in_plain_text_is_no_centre(tmp_path: Path) -> None:
    async def portal(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n<html>Sign in</html>")
        writer.close()

    async with listening(tmp_path, said(HEARD), made_at=NOW) as listener:
        ca_pem = listener.ca_pem
    async with serving(portal) as port, client_of(f"https://127.0.0.1:{port}", ca_pem) as client:
        with pytest.raises(CentreUntrustedError, match=r"captive portal.*sign in"):
            await client.heartbeat(ALIVE)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_that_is_not_the_centres_does_not_put_the_register_out_of_service(
    tmp_path: Path, status: int
) -> None:
    async with (
        listening(tmp_path, said(b"<html>blocked</html>", status), made_at=NOW) as listener,
        client_of(listener.url, listener.ca_pem) as client,
    ):
        with pytest.raises(CentreAnswerError, match="what answers is no centre"):
            await client.heartbeat(ALIVE)


async def test_a_name_that_cannot_be_looked_up_is_told_from_a_centre_that_is_away(tmp_path: Path) -> None:
    async with listening(tmp_path, said(HEARD), made_at=NOW) as listener:
        ca_pem = listener.ca_pem
    async with client_of("https://centre.invalid:8443", ca_pem) as client:
        with pytest.raises(CentreUnavailableError, match="DNS"):
            await client.heartbeat(ALIVE)


@pytest.mark.parametrize(
    ("made_at", "words"),
    [(NOW - timedelta(days=30 * 365), "expired.*serve"), (NOW + timedelta(days=30), "not valid yet.*clock")],
    ids=["expired", "not yet"],
)
async def test_a_certificate_out_of_its_time_is_told_with_what_to_do(
    tmp_path: Path, made_at: datetime, words: str
) -> None:
    async with (
        listening(tmp_path, said(HEARD), made_at=made_at) as listener,
        client_of(listener.url, listener.ca_pem) as client,
    ):
        with pytest.raises(CentreUntrustedError, match=words):
            await client.heartbeat(ALIVE)


async def test_a_certificate_for_another_name_is_told_with_what_to_do(tmp_path: Path) -> None:
    async with raw_server(tmp_path, deaf, host="127.0.0.2") as (url, ca_pem), client_of(url, ca_pem) as client:
        with pytest.raises(CentreUntrustedError, match="does not name this address"):
            await client.heartbeat(ALIVE)


# -- clocks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("years", [-10, 10, 3])
async def test_a_clock_that_cannot_be_right_by_the_last_contact_locks_nobody_out(tmp_path: Path, years: int) -> None:
    # given a register whose clock is years off, and a certificate that is right by the centre's
    off = NOW + timedelta(days=365 * years)
    made_at = NOW if years < 0 else NOW - timedelta(days=20 * 365)
    async with (
        listening(tmp_path, said(HEARD), made_at=made_at) as listener,
        client_of(listener.url, listener.ca_pem, now=off, last_contact=lambda: NOW) as client,
    ):
        assert await client.heartbeat(ALIVE) == HEARD


def test_a_clock_is_measured_by_the_last_contact() -> None:
    assert plausible(NOW, NOW - timedelta(days=300))
    assert not plausible(NOW, NOW - timedelta(days=400))
    assert plausible(NOW, NOW + timedelta(hours=12))
    assert not plausible(NOW, NOW + timedelta(days=2))


# -- silence ---------------------------------------------------------------------------------------


async def deaf(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Takes a connection, and nothing more."""
    await reader.read(1)
    await asyncio.Event().wait()


@asynccontextmanager
async def raw_server(folder: Path, serve: Serve, *, host: str = "127.0.0.1") -> AsyncIterator[tuple[str, str]]:
    """The same with a certificate of a CA of its own: its address, and that CA."""
    data = DataFolder(folder)
    data.create()
    ensure_certificates(data, (), NOW)
    async with serving(serve, host, server_context(data)) as port:
        yield f"https://{host}:{port}", data.ca_certificate.read_text()


async def test_a_centre_that_stops_reading_ends_at_the_deadline(tmp_path: Path) -> None:
    # given a batch that no buffer on the way takes in whole
    body = msgspec.json.encode(os.urandom(6 * 1024 * 1024).hex())
    entry = Entry(seq=1, key="k", kind="signal", hlc="", wall=NOW, salt="00" * 16, body=Raw(body))
    batch = IngestRequest(device="dev-1", epoch="e", first_seq=1, prev_hash="0" * 64, entries=(entry,))
    async with raw_server(tmp_path, deaf) as (url, ca_pem), client_of(url, ca_pem, exchange_s=0.5) as client:
        with pytest.raises(CentreUnavailableError, match="did not answer in time"):
            await client.ingest(batch)


@pytest.mark.parametrize("said_so_far", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"])
async def test_a_centre_that_stops_in_the_middle_of_an_answer_ends_at_the_deadline(
    tmp_path: Path, said_so_far: bytes
) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said_so_far)
        await asyncio.Event().wait()

    async with raw_server(tmp_path, half) as (url, ca_pem), client_of(url, ca_pem, exchange_s=0.3) as client:
        with pytest.raises(CentreUnavailableError, match="did not answer in time"):
            await client.heartbeat(ALIVE)


async def test_without_a_date_a_busy_centres_time_is_taken_by_the_registers_clock(tmp_path: Path) -> None:
    # given an answer without a Date, as a small proxy gives it
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        later = format_datetime(NOW + timedelta(seconds=90), usegmt=True).encode()
        writer.write(b"HTTP/1.1 503 Busy\r\nRetry-After: " + later + b"\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with raw_server(tmp_path, answer) as (url, ca_pem), client_of(url, ca_pem) as client:
        with pytest.raises(CentreBusyError) as caught:
            await client.heartbeat(ALIVE)

    assert 89.0 < caught.value.retry_after_s <= 90.0


@asynccontextmanager
async def behind(listener: Listener, **options: Any) -> AsyncIterator[tuple[CentreClient, FaultyProxy]]:
    """A client, and the network between it and `listener`."""
    async with FaultyProxy("127.0.0.1", listener.port) as network:
        url = f"https://127.0.0.1:{network.port}"
        async with client_of(url, listener.ca_pem, **options) as client:
            yield client, network


async def test_a_kept_connection_that_was_half_closed_costs_nothing(tmp_path: Path) -> None:
    async with listening(tmp_path, said(HEARD), made_at=NOW) as listener, behind(listener) as (client, network):
        assert await client.heartbeat(ALIVE) == HEARD
        network.half_close()

        assert await client.heartbeat(ALIVE) == HEARD
        assert network.connections == 2


async def test_a_connection_that_is_half_closed_instead_of_an_answer_ends_the_exchange(tmp_path: Path) -> None:
    async def half(_request: web.Request) -> web.StreamResponse:
        network.half_close()
        return web.Response()

    async with listening(tmp_path, half, made_at=NOW) as listener, behind(listener) as (client, network):
        with pytest.raises(CentreUnavailableError, match="cannot be reached"):
            await client.heartbeat(ALIVE)


async def test_a_kept_connection_that_fell_silent_ends_at_the_deadline_and_is_not_used_again(tmp_path: Path) -> None:
    async with (
        listening(tmp_path, said(HEARD), made_at=NOW) as listener,
        behind(listener, exchange_s=2.0) as (client, network),
    ):
        assert await client.heartbeat(ALIVE) == HEARD
        network.fall_silent()

        with pytest.raises(CentreUnavailableError, match="did not answer in time"):
            await client.heartbeat(ALIVE)
        assert await client.heartbeat(ALIVE) == HEARD
        assert network.connections == 2


@pytest.mark.parametrize("fall", [FaultyProxy.fall_silent, FaultyProxy.half_close], ids=["silent", "half-closed"])
async def test_a_live_connection_that_fell_silent_ends(tmp_path: Path, fall: Callable[[FaultyProxy], None]) -> None:
    async def live(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        return socket

    async with (
        listening(tmp_path, live, made_at=NOW) as listener,
        behind(listener, live_ping_s=0.05) as (client, network),
        asyncio.timeout(PATIENCE_S),
    ):
        hints = client.hints()
        assert await anext(hints) == LiveHint()
        fall(network)

        assert [hint async for hint in hints] == []


async def test_a_centre_that_answers_byte_by_byte_has_no_more_time_than_another(tmp_path: Path) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        with suppress(ConnectionError):
            while True:
                await answer.write(b" ")
                await asyncio.sleep(0.01)
        return answer

    async with (
        listening(tmp_path, drip, made_at=NOW) as listener,
        client_of(listener.url, listener.ca_pem, exchange_s=0.3) as client,
    ):
        with pytest.raises(CentreUnavailableError, match="did not answer in time"):
            await client.heartbeat(ALIVE)
