"""A TLS listener that says what a test tells it to, and keeps what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from aiohttp import web

from central.certificates import ca_sha256, ensure_certificates, server_context
from central.folder import DataFolder

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it arrived, before anything was decompressed."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Listener:
    """`answer` is called for every request; `asked` holds them in order."""

    port: int
    ca_pem: str
    ca_sha256: str
    answer: Answer
    asked: list[Asked] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


@asynccontextmanager
async def listening(folder: Path, answer: Answer, *, made_at: datetime) -> AsyncIterator[Listener]:
    """Listens with a certificate of its own CA, both made at `made_at`."""
    data = DataFolder(folder)
    data.create()
    ensure_certificates(data, (), made_at)
    listener = Listener(0, data.ca_certificate.read_text(), ca_sha256(data), answer)

    async def handle(request: web.Request) -> web.StreamResponse:
        listener.asked.append(
            Asked(
                method=request.method,
                target=request.raw_path,
                headers=dict(request.headers),
                body=await request.read(),
            )
        )
        return await listener.answer(request)

    app = web.Application()
    app.router.add_route("*", "/{everything:.*}", handle)
    runner = web.AppRunner(app, auto_decompress=False, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context(data))
        await site.start()
        listener.port = runner.addresses[0][1]
        yield listener
    finally:
        await runner.cleanup()
