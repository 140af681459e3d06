"""`two_way`: from an edit of a member's profile on register A to the page of register B, where that member is served.

Centre and both agents are processes of their own with their encrypted stores, over TLS on this machine. The edit is a
call to A's local API, as a POS makes it; it is seen where B's page hears of it on its WebSocket. So in it are two
durable commits of a register, one of the centre with the merge, the sequencer, a hint, a pull and a page. Beside it
PouchDB: a write in one local database to the change in another, both in live sync with pouchdb-server.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec

from central import operations, scopes
from central.folder import DataFolder
from central.scopes import ALL_STORES, EVERYTHING
from central.setup import InitOptions, initialise
from sync.enrolling import enrol
from sync.enrolment import parse_code
from sync.keys import keeper_for
from tests.bench import pouchdb
from tests.bench.lookup import members
from tests.bench.machine import disk_folder, measured
from tests.bench.report import Figure, Report, rounded
from tests.browser.till import Till, card
from tests.sync.centre import FACTS, Centre, utc_now

EDITS = 200
WARM_UP = 10
PAUSE_S = 0.05
SEEN_WITHIN_S = 30.0


def run() -> Report:
    with disk_folder() as folder:
        machine = measured(folder)
        times = asyncio.run(_measured(folder))
        figures: dict[str, Figure] = {
            "edits": len(times),
            "p50_ms": rounded(statistics.median(times)),
            "p99_ms": rounded(sorted(times)[int(len(times) * 0.99)]),
        }
        installed = pouchdb.found()
        if installed is None:
            return Report(name="two_way", figures=figures, machine=machine, absent=("pouchdb-server",))
        row = next(members(1)).row or None
        assert row is not None
        (folder / "pouchdb").mkdir()
        peer = statistics.median(
            pouchdb.measured("two_way", installed, folder / "pouchdb", row, EDITS // 4)["times_ms"]
        )
    return Report(
        name="two_way",
        figures=figures | {"pouchdb_p50_ms": rounded(peer)},
        ratios={"vs_pouchdb": rounded(peer / statistics.median(times))},
        machine=machine,
    )


async def _measured(folder: Path) -> list[float]:
    """Milliseconds from edit to page, edit by edit."""
    async with AsyncExitStack() as stack:
        centre = await stack.enter_async_context(_serving(folder / "centre"))
        one = await stack.enter_async_context(_register(folder / "one", centre, "3"))
        other = await stack.enter_async_context(_register(folder / "other", centre, "4"))
        editing = await stack.enter_async_context(_pos(one))
        page = await stack.enter_async_context(_page(other))
        socket = await stack.enter_async_context(page.ws_connect(f"http://127.0.0.1:{other.port}/v1/page"))
        await _edited(editing, one, "Before")
        await _served(socket, other, "Before")
        times = []
        for edit in range(WARM_UP + EDITS):
            await asyncio.sleep(PAUSE_S)
            began = time.perf_counter()
            seen = asyncio.create_task(_shows(socket, f"Name {edit}"))
            await _edited(editing, one, f"Name {edit}")
            await seen
            times.append((time.perf_counter() - began) * 1000)
    return times[WARM_UP:]


async def _served(socket: aiohttp.ClientWebSocketResponse, till: Till, name: str) -> None:
    """Scan the card until the register knows whose it is."""
    shown = asyncio.create_task(_shows(socket, name))
    while not shown.done():
        till.scan(card(1))
        await asyncio.wait({shown}, timeout=1.0)
    await shown


async def _shows(socket: aiohttp.ClientWebSocketResponse, name: str) -> None:
    """Until the page is told of this name."""
    wanted = json.dumps(name)
    async with asyncio.timeout(SEEN_WITHIN_S):
        async for message in socket:
            if wanted in message.data:
                return


async def _edited(pos: aiohttp.ClientSession, till: Till, name: str) -> None:
    """Tell of the member; again where the register does not hold them yet."""
    async with asyncio.timeout(SEEN_WITHIN_S):
        while True:
            address = f"http://127.0.0.1:{till.port}/v1/members/{card(1)}"
            key = {"Idempotency-Key": secrets.token_hex(16)}
            async with pos.post(address, json={"short_name": name}, headers=key) as answer:
                if answer.ok:
                    return
            await asyncio.sleep(0.2)


@asynccontextmanager
async def _pos(till: Till) -> AsyncIterator[aiohttp.ClientSession]:
    """A POS that has its token."""
    _, told, _ = await till.command("pos-token", "--json")
    token = msgspec.json.decode(told)["token"]
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as pos:
        yield pos


@asynccontextmanager
async def _page(till: Till) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as page:
        async with page.get(await till.pairing_url()) as answer:
            answer.raise_for_status()
        yield page


@asynccontextmanager
async def _register(folder: Path, centre: Centre, number: str) -> AsyncIterator[Till]:
    """An agent that is enrolled, in a process of its own."""
    await asyncio.to_thread(folder.mkdir)
    till = Till(folder)
    state = folder / "state"
    try:
        await enrol(parse_code(centre.code(number)), state, keeper_for(state), FACTS, now=utc_now())
        await till.start()
        yield till
    finally:
        await till.kill()
        till.close()


@asynccontextmanager
async def _serving(path: Path) -> AsyncIterator[Centre]:
    """A centre with one member whom every register holds, in a process of its own."""
    initialise(path, InitOptions(listen="127.0.0.1:0", admin="127.0.0.1:0"), utc_now())
    centre = Centre(DataFolder(path))
    document = msgspec.json.encode({"members": [{"member": "m1", "identifiers": [{"code": card(1)}]}]})
    centre.write(lambda connection: scopes.set_policy(connection, ALL_STORES, EVERYTHING, utc_now()))
    centre.write(lambda connection: operations.import_file(connection, document, utc_now()))
    command = (sys.executable, "-c", "from central.cli import main; main()", "serve", "--data", str(path), "--json")
    with (path / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=log)
    assert process.stdout is not None
    try:
        centre.url = msgspec.json.decode(await process.stdout.readline())["device_api"]
        yield centre
    finally:
        centre.database.close()
        process.terminate()
        await process.wait()
