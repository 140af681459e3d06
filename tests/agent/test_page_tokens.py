"""Browsers that have the register's own pages: each has a cookie of its own, which can be taken back at once."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import WSCloseCode, WSMsgType
from typer.testing import CliRunner

from agent.cli.commands import app
from agent.cli.exit_codes import DONE, PROBLEM, USAGE
from agent.tokens import MAX_TOKENS, PAGES_FOLDER, page_tokens
from tests.agent.shop import Shop
from tests.agent.test_api import BEARER, WAIT_S, Served

OURS = "http://127.0.0.1:8787"
NOW = datetime(2026, 11, 27, 10, tzinfo=UTC)


@pytest.fixture
def served(shop: Shop) -> Served:
    return Served(shop)


@pytest.fixture
async def http(served: Served) -> AsyncIterator[aiohttp.ClientSession]:
    async with served.running() as session:
        yield session


async def status_of(http: aiohttp.ClientSession, served: Served, cookie: dict[str, str]) -> int:
    async with http.get(f"{served.url}/v1/ping", headers=cookie) as answer:
        return answer.status


async def revoked(http: aiohttp.ClientSession, served: Served) -> int:
    async with http.post(f"{served.url}/v1/revocations", headers=BEARER) as answer:
        return answer.status


async def test_a_browser_that_is_forgotten_is_shut_out_at_once_its_sockets_too_and_no_other(
    served: Served, http: aiohttp.ClientSession
) -> None:
    cookies = {"/v1/page": served.cookie(), "/v1/display": served.customer_cookie()}
    stays = served.cookie()
    for path, cookie in cookies.items():
        async with (
            http.ws_connect(f"{served.url}{path}", headers=cookie) as socket,
            http.ws_connect(f"{served.url}/v1/page", headers=stays) as other,
        ):
            assert [(await one.receive()).type for one in (socket, other)] == [WSMsgType.TEXT] * 2

            served.pages.revoke(cookie["Cookie"].partition("=")[2].partition(".")[0])
            assert await revoked(http, served) == 204

            # nothing changed here, nor did a sign of life come: it is closed by that alone
            closed = await asyncio.wait_for(socket.receive(), 2.0)
            assert (closed.type, socket.close_code) == (WSMsgType.CLOSE, WSCloseCode.POLICY_VIOLATION)
            assert await status_of(http, served, cookie) == 403
            served.desk.set_badge(served.badge(online=True))
            served.desk.set_badge(served.badge(online=False))
            assert (await other.receive(WAIT_S)).type is WSMsgType.TEXT
    assert await status_of(http, served, stays) == 204


async def test_a_browser_that_is_paired_gets_a_token_that_is_kept_as_a_digest(
    served: Served, http: aiohttp.ClientSession, shop: Shop
) -> None:
    for view, role, place in (("cashier", "page", "/"), ("customer", "display", "/customer")):
        async with http.post(f"{served.url}/v1/pairings?view={view}", headers=BEARER) as answer:
            url = (await answer.json())["url"]
        async with http.get(url, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, place)
            name, _, text = answer.headers["Set-Cookie"].partition(";")[0].partition("=")
        assert await status_of(http, served, {"Cookie": f"{name}={text}"}) == 204
        token = next(token for token in served.pages.all() if token.id == text.partition(".")[0])
        assert (token.role, token.origin) == (role, served.url)
        file = shop.folder / "state" / PAGES_FOLDER / f"{token.id}.json"
        assert text.partition(".")[2] not in file.read_text()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_what_cannot_be_kept_opens_nothing_and_says_what_to_do(
    served: Served, http: aiohttp.ClientSession, shop: Shop
) -> None:
    (shop.folder / "state").mkdir(exist_ok=True)
    (shop.folder / "state" / PAGES_FOLDER).write_text("in the way")
    code = served.access.open_pairing().code

    async with http.get(f"{served.url}/pair?code={code}", allow_redirects=False) as answer:
        assert (answer.status, "Set-Cookie" in answer.headers) == (503, False)
        assert "make room" in (await answer.json(content_type=None))["detail"]


def test_a_page_outlives_the_agent_and_is_no_page_of_another_register(tmp_path: Path) -> None:
    _, text = page_tokens(tmp_path).make(OURS, "page", NOW)

    again = page_tokens(tmp_path)
    assert again.role_of(OURS, text) == "page"
    assert again.role_of("http://127.0.0.1:8788", text) is None
    assert page_tokens(tmp_path / "other").role_of(OURS, text) is None
    for guess in (f"{text}x", text[:-1], text.partition(".")[0], ".", "", "../../control", "\udcff"):
        assert again.role_of(OURS, guess) is None


def test_a_till_that_is_started_every_day_never_runs_out(tmp_path: Path) -> None:
    pages = page_tokens(tmp_path)
    made = [pages.make(OURS, "page", NOW + timedelta(days=day)) for day in range(MAX_TOKENS + 2)]

    assert pages.all() == tuple(token for token, _ in made[2:])
    assert [pages.role_of(OURS, text) for _, text in made[:3]] == [None, None, "page"]


def test_the_command_lists_and_forgets(tmp_path: Path) -> None:
    file = tmp_path / "tillside.toml"
    file.write_text('[paths]\nstate = "state"\n')
    pages = page_tokens(tmp_path / "state")

    def ran(*options: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["open", *options, "--config", str(file)])
        return done.exit_code, done.output

    assert ran("--list") == (DONE, "No browser has a page of this register.\n")
    assert ran("--forget", "all") == (DONE, "")
    cashier, cookie = pages.make(OURS, "page", NOW)
    customer, _ = pages.make(OURS, "display", NOW + timedelta(minutes=1))
    code, out = ran("--list")
    assert [line.split()[:3] for line in out.splitlines()] == [
        [cashier.id, "cashier", OURS],
        [customer.id, "customer", OURS],
    ]
    assert cookie not in out

    code, out = ran("--forget", cashier.id, "--json")
    assert (code, [page["id"] for page in json.loads(out)["pages"]]) == (DONE, [customer.id])
    assert pages.role_of(OURS, cookie) is None
    # one that cannot be read goes, too
    (tmp_path / "state" / PAGES_FOLDER / f"{customer.id}.json").write_bytes(b"{")
    code, out = ran("--list")
    assert (code, f"--forget {customer.id}" in out) == (PROBLEM, True)
    assert ran("--forget", "all") == (DONE, "")
    assert pages.all() == ()

    for options, wanted, said in (
        (("--forget", cashier.id), PROBLEM, "tillside open --list"),
        (("--forget", "../x"), PROBLEM, "no token"),
        (("--forget", "all", "--list"), USAGE, "alone"),
        (("--customer", "--list"), USAGE, "alone"),
    ):
        code, out = ran(*options)
        assert (code, said in out) == (wanted, True), options
