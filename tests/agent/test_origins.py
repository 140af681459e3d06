"""A POS that runs in a browser: pages of origins that are let in, by their tokens, and nobody else."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from typer.testing import CliRunner

from agent.access import Role
from agent.cli.commands import app
from agent.cli.exit_codes import DONE, PROBLEM, USAGE
from agent.gate import ELSEWHERE_AT_ONCE
from agent.tokens import MAX_TOKENS, ORIGINS_FOLDER, TooManyTokensError, origin_tokens
from sync.keys import SecretError
from tests.agent.shop import Shop
from tests.agent.test_api import BEARER, PLACES, WAIT_S, Served

POS, TRAINING, STRANGER = "https://pos.example", "https://training.pos.example", "https://attacker.example"
NOW = datetime(2026, 11, 27, 10, tzinfo=UTC)
# What a page is told when it may not read an answer.
UNSHARED = ("Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Access-Control-Allow-Private-Network")


class Let:
    """A register that lets two origins in, and its tokens."""

    def __init__(self, shop: Shop) -> None:
        self.tokens = origin_tokens(shop.folder / "state")
        self.served = Served(shop, pos_token=lambda: "pos-token", origins=(POS, TRAINING), role_of=self.tokens.role_of)
        self.id, self.token = self.made()

    def made(self, role: Role = "pos", origin: str = POS) -> tuple[str, str]:
        token, text = self.tokens.make(origin, role, NOW)
        return token.id, text

    def headers(self, token: str, origin: str | None = POS) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}", **({"Origin": origin} if origin is not None else {})}


@pytest.fixture
def let(shop: Shop) -> Let:
    return Let(shop)


@pytest.fixture
async def http(let: Let) -> AsyncIterator[aiohttp.ClientSession]:
    async with let.served.running() as session:
        yield session


async def asked(
    http: aiohttp.ClientSession, let: Let, headers: dict[str, str], method: str = "GET", path: str = "/v1/ping"
) -> tuple[int, Any]:
    async with http.request(method, f"{let.served.url}{path}", headers=headers) as answer:
        await answer.read()
        return answer.status, answer.headers


async def test_a_page_that_is_let_in_calls_with_its_token_and_reads_the_answer(
    let: Let, http: aiohttp.ClientSession
) -> None:
    status, headers = await asked(http, let, let.headers(let.token))
    assert (status, headers["Access-Control-Allow-Origin"], headers["Vary"]) == (204, POS, "Origin")
    assert "Access-Control-Allow-Credentials" not in headers

    # it reads what is wrong, too
    status, headers = await asked(http, let, let.headers("wrong"))
    assert (status, headers["Access-Control-Allow-Origin"]) == (403, POS)


async def test_a_preflight_is_answered_for_origins_that_are_let_in(let: Let, http: aiohttp.ClientSession) -> None:
    asks = {
        "Origin": TRAINING,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization",
    }
    for path in ("/v1/sales/s-1", "/nowhere"):
        status, headers = await asked(http, let, asks, "OPTIONS", path)
        assert (status, headers["Access-Control-Allow-Origin"]) == (204, TRAINING)
        assert "PUT" in headers["Access-Control-Allow-Methods"]
        assert headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type, Idempotency-Key"
        assert "Access-Control-Allow-Private-Network" not in headers
    private = {**asks, "Access-Control-Request-Private-Network": "true"}
    _, headers = await asked(http, let, private, "OPTIONS")
    assert headers["Access-Control-Allow-Private-Network"] == "true"


async def test_strangers_names_that_were_rebound_and_calls_without_a_page_get_403_and_no_leave_to_read(
    let: Let, http: aiohttp.ClientSession
) -> None:
    asks = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Private-Network": "true"}
    strangers = [
        {"Origin": STRANGER},
        {"Origin": "null"},
        {"Origin": POS.replace("https", "http")},
        {"Origin": f"{POS}:8443"},
        {"Origin": f"{POS}.attacker.example"},
        {"Origin": f"{POS}/"},
        {"Origin": POS, "Host": f"rebound.example:{let.served.port}"},
        {"Origin": POS, "Host": f"localhost:{let.served.port}"},
    ]
    for stranger in strangers:
        for method, more in (("OPTIONS", asks), ("GET", {"Authorization": f"Bearer {let.token}"})):
            status, headers = await asked(http, let, {**stranger, **more}, method)
            assert (status, [name for name in UNSHARED if name in headers]) == (403, []), stranger
            assert headers["Connection"] == "close"
    # no page, or our own, may not send this token either
    assert (await asked(http, let, let.headers(let.token, None)))[0] == 403
    assert (await asked(http, let, let.headers(let.token, let.served.url)))[0] == 403


async def test_a_preflight_of_our_own_page_or_of_a_program_is_nothing(let: Let, http: aiohttp.ClientSession) -> None:
    for origin in ({}, {"Origin": let.served.url}):
        status, headers = await asked(http, let, {**origin, "Access-Control-Request-Method": "GET"}, "OPTIONS")
        assert (status, "Access-Control-Allow-Origin" in headers) == (403, False)


async def test_a_page_of_another_origin_has_its_own_token_alone(let: Let, http: aiohttp.ClientSession) -> None:
    # what opens something elsewhere opens nothing here: its neighbour's token, cookies, the command line's, a program's
    others = [
        let.headers(let.token, TRAINING),
        {"Origin": POS},
        {"Origin": POS, **BEARER},
        {"Origin": POS, "Authorization": "Bearer pos-token"},
        {"Origin": POS, "Authorization": f"bearer {let.token}"},
        {"Origin": POS, **let.served.cookie()},
        {"Origin": POS, **let.served.customer_cookie()},
        let.headers(f"{let.id}.guess"),
        let.headers(let.id),
        let.headers("../../control.json"),
        let.headers(""),
    ]
    for headers in others:
        assert (await asked(http, let, headers))[0] == 403, headers
    # what is open to this machine is not open to it
    code = let.served.access.open_pairing().code
    for path in ("/openapi.json", f"/pair?code={code}"):
        assert (await asked(http, let, let.headers(let.token), path=path))[0] == 403
    assert let.served.access.redeem(code) is not None


@pytest.mark.parametrize("role", ["pos", "page"])
async def test_its_token_may_ask_what_its_role_may(let: Let, http: aiohttp.ClientSession, role: Role) -> None:
    _, token = let.made(role)
    let.served.monotonic_s = 1000.0
    for route in let.served.api.routes:
        if route.status == 101:
            continue
        let.served.monotonic_s += 1.0
        path = route.path.format(**{**PLACES, "key": "k"})
        status, _ = await asked(http, let, let.headers(token), route.method, path)
        assert (status != 403) == (route.pos if role == "pos" else route.page), route.path


async def test_a_revoked_token_opens_nothing_and_what_listens_by_it_is_let_go_of(
    let: Let, http: aiohttp.ClientSession
) -> None:
    other, its_token = let.made()
    subprotocols = ("tillside", f"tillside.token.{let.token}")
    socket_url = f"{let.served.url}/v1/events"
    async with http.ws_connect(socket_url, protocols=subprotocols, headers={"Origin": POS}) as socket:
        assert socket.protocol == "tillside"
        assert (await socket.receive_json())["type"] == "state"

        let.tokens.revoke(let.id)

        assert (await asked(http, let, let.headers(let.token)))[0] == 403
        let.served.desk.set_badge(let.served.badge(online=True))
        assert (await socket.receive(WAIT_S)).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == aiohttp.WSCloseCode.POLICY_VIOLATION
    # the other one is as it was
    assert (await asked(http, let, let.headers(its_token)))[0] == 204
    assert [token.id for token in let.tokens.all()] == [other]


async def test_a_socket_of_a_stranger_or_with_anothers_token_is_refused(let: Let, http: aiohttp.ClientSession) -> None:
    for origin, token in ((STRANGER, let.token), (TRAINING, let.token), (POS, "wrong"), (POS, "")):
        subprotocols = ("tillside", f"tillside.token.{token}") if token else ()
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{let.served.url}/v1/events", protocols=subprotocols, headers={"Origin": origin})
        assert refused.value.status == 403


async def test_pages_of_other_origins_are_slowed_and_nobody_else_with_them(
    let: Let, http: aiohttp.ClientSession
) -> None:
    calls = [asked(http, let, let.headers(let.token)) for _ in range(ELSEWHERE_AT_ONCE + 5)]
    statuses = [status for status, _ in await asyncio.gather(*calls)]
    assert sorted(statuses) == [204] * ELSEWHERE_AT_ONCE + [429] * 5
    assert (await asked(http, let, {"Authorization": "Bearer pos-token"}))[0] == 204
    let.served.monotonic_s += 1.0
    assert (await asked(http, let, let.headers(let.token)))[0] == 204


def test_a_token_is_kept_as_a_digest_that_nobody_else_may_read(tmp_path: Path) -> None:
    tokens = origin_tokens(tmp_path)
    token, text = tokens.make(POS, "pos", NOW)

    (file,) = (tmp_path / ORIGINS_FOLDER).iterdir()
    assert text.partition(".")[2] not in file.read_text()
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o600, 0o700)
    # over a restart it is the same
    assert origin_tokens(tmp_path).role_of(POS, text) == "pos"
    assert origin_tokens(tmp_path).all() == (token,)


def test_a_damaged_token_opens_nothing_and_can_be_revoked(tmp_path: Path) -> None:
    tokens = origin_tokens(tmp_path)
    token, text = tokens.make(POS, "pos", NOW)
    (tmp_path / ORIGINS_FOLDER / f"{token.id}.json").write_bytes(b"{")

    assert tokens.role_of(POS, text) is None
    with pytest.raises(SecretError, match=f"--revoke {token.id}"):
        tokens.all()
    tokens.revoke(token.id)
    assert tokens.all() == ()


def test_there_is_an_end_to_tokens(tmp_path: Path) -> None:
    tokens = origin_tokens(tmp_path)
    made = [tokens.make(POS, "pos", NOW + timedelta(seconds=n))[0] for n in range(MAX_TOKENS)]
    assert tokens.all() == tuple(made)
    with pytest.raises(TooManyTokensError, match="--revoke"):
        tokens.make(POS, "pos", NOW)


def test_the_command_makes_lists_and_revokes(tmp_path: Path) -> None:
    file = tmp_path / "tillside.toml"
    origins = f'[paths]\nstate = "state"\n[page]\nport = 9000\norigins = ["{POS}", "{TRAINING}"]\n'
    file.write_text(origins)

    def ran(*options: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["pos-token", *options, "--config", str(file)])
        return done.exit_code, done.output

    code, out = ran("--origin", POS, "--json")
    made = json.loads(out)
    assert (code, made["url"], made["role"]) == (DONE, "http://127.0.0.1:9000", "pos")
    code, out = ran("--origin", TRAINING, "--role", "page")
    assert (code, "cannot be printed again" in out) == (DONE, True)

    file.write_text(origins.replace(f', "{TRAINING}"', ""))
    code, out = ran("--list")
    assert [line.split()[1:3] for line in out.splitlines()] == [["pos", POS], ["page", TRAINING]]
    assert "not among [page] origins" in out.splitlines()[1]
    assert made["token"] not in out

    assert ran("--revoke", made["id"]) == (DONE, "")
    code, out = ran("--list", "--json")
    assert [(token["origin"], token["let_in"]) for token in json.loads(out)["tokens"]] == [(TRAINING, False)]
    assert ran("--revoke", json.loads(out)["tokens"][0]["id"], "--json") == (DONE, '{"tokens":[]}\n')
    assert ran("--list") == (DONE, "No page of another origin has a token.\n")

    for options, wanted, said in (
        (("--revoke", made["id"]), PROBLEM, "no token"),
        (("--revoke", "../x"), PROBLEM, "no token"),
        (("--origin", STRANGER), PROBLEM, f'origins = ["{STRANGER}"]'),
        (("--origin", "https://*.example"), USAGE, "is a pattern"),
        (("--origin", POS, "--renew"), USAGE, "use one of"),
    ):
        code, out = ran(*options)
        assert (code, said in out) == (wanted, True), options


async def test_a_page_of_another_origin_books_no_receipt_by_a_scan_and_no_page_enrols(
    let: Let, http: aiohttp.ClientSession
) -> None:
    _, token = let.made("page")
    receipt = f"https://porezna.gov.hr/rn?zki={'0123456789abcdef' * 2}&datv=20261122_1007&izn=10,00"
    enrolment = f"tillside-enrol:{'A' * 60}"

    async def scanned(headers: dict[str, str], text: str) -> int:
        body = {"texts": ["goods", text]}
        async with http.post(f"{let.served.url}/v1/scans", headers=headers, json=body) as answer:
            await answer.read()
            return answer.status

    theirs, ours = let.headers(token), let.served.cookie()
    assert [await scanned(theirs, text) for text in ("TS1001", receipt, enrolment)] == [200, 422, 422]
    assert [await scanned(ours, text) for text in ("TS1001", receipt, enrolment)] == [200, 200, 422]
