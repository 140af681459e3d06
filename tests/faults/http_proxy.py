"""A proxy that ends TLS and lets whole exchanges go wrong: answers lost, cut in half, late, requests doubled.

Owns faults of the protocol's own kind, which bytes under TLS cannot show: a doubled record only breaks
the connection, a doubled request is really taken in twice. It passes requests on exactly as signed.
"""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Literal

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

Fate = Literal["fine", "request lost", "answer lost", "answer cut", "request doubled", "answer late"]

_HOP_BY_HOP = frozenset({"host", "connection", "content-length", "transfer-encoding", "server", "date"})


class _Answer:
    def __init__(self, status: int, headers: CIMultiDict[str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class HttpFaultProxy:
    """Listens on a free port of 127.0.0.1 with the centre's own certificate and passes requests to `target`.

    `fate_of` is asked with the path of each request. `ingested` is told the body and Content-Encoding of
    each ingest that reached the centre, as often as it did; `delivered` counts what the centre answered.
    A body above `max_bytes` is answered with 413.
    """

    def __init__(
        self,
        target: str,
        certificate: ssl.SSLContext,
        fate_of: Callable[[str], Fate],
        ingested: Callable[[bytes, str | None], None] = lambda _body, _encoding: None,
        max_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self._target = target
        self._certificate = certificate
        self._fate_of = fate_of
        self._ingested = ingested
        self._max_bytes = max_bytes
        self._last: dict[str, _Answer] = {}
        self.fates: Counter[Fate] = Counter()
        self.delivered = 0
        self.url = ""

    async def __aenter__(self) -> HttpFaultProxy:
        self._http = aiohttp.ClientSession(auto_decompress=False, connector=aiohttp.TCPConnector(ssl=False))
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{everything:.*}", self._carry)
        self._runner = web.AppRunner(app, auto_decompress=False, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._certificate).start()
        self.url = f"https://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        await self._http.close()

    async def _carry(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._meet(self._fate_of(request.path), request)
        except ConnectionError:  # the register is gone, in the middle of it
            return _gone(request)

    async def _meet(self, fate: Fate, request: web.Request) -> web.StreamResponse:
        self.fates[fate] += 1
        body = await request.read()
        if len(body) > self._max_bytes:
            return web.Response(status=413, text="<html>too large</html>")
        if fate == "request lost":
            return _gone(request)
        try:
            answer = await self._deliver(request, body)
            if fate == "request doubled":
                answer = await self._deliver(request, body)
        except aiohttp.ClientError:  # the centre is gone
            return _gone(request)
        before = self._last.get(request.path)
        self._last[request.path] = answer
        if fate == "answer lost":
            return _gone(request)
        if fate == "answer late" and before is not None:
            answer = before
        if fate == "answer cut":
            return await _half(request, answer)
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    async def _deliver(self, request: web.Request, body: bytes) -> _Answer:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        if request.path == "/v1/ingest":
            self._ingested(body, request.headers.get("Content-Encoding"))
        async with self._http.request(
            request.method, self._target + request.raw_path, headers=headers, data=body or None
        ) as response:
            kept = CIMultiDict(
                (name, value) for name, value in response.headers.items() if name.lower() not in _HOP_BY_HOP
            )
            answer = _Answer(response.status, kept, await response.read())
        self.delivered += 1
        return answer


def _gone(request: web.Request) -> web.StreamResponse:
    """Resets the connection without a word."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _half(request: web.Request, answer: _Answer) -> web.StreamResponse:
    """Promises all of the answer, sends half, and resets."""
    half = web.StreamResponse(status=answer.status, headers=answer.headers)
    half.content_length = len(answer.body)
    await half.prepare(request)
    await half.write(answer.body[: len(answer.body) // 2])
    return _gone(request)
