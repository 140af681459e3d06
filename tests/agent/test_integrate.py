"""A POS that calls in, as the page for its developers and the sample client do it, at `tillside mock`."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, CookieJar, web

from tests.browser.till import READY_WITHIN_S, free_port

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "integrate.md").read_text(encoding="utf-8")
CLIENT = ROOT / "examples" / "pos-client" / "pos_client.py"
AFTER_EACH = "\x1e"

pytestmark = pytest.mark.processes


@pytest.fixture
async def register() -> AsyncIterator[dict[str, str]]:
    """What a developer's terminal has after the two lines of `tillside mock` were pasted; `OPEN` opens its page."""
    mock = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent.cli.entry", "mock", "--port", str(free_port())), stdout=asyncio.subprocess.PIPE
    )
    assert mock.stdout is not None
    said = await asyncio.wait_for(mock.stdout.readuntil(b"Members, by card:\n"), READY_WITHIN_S)
    told = dict(re.findall(r"export (\w+)=(\S+)", said.decode()))
    told["OPEN"] = re.findall(r"^tillside (open .*)$", said.decode(), re.MULTILINE)[0]
    yield {**os.environ, **told}
    mock.terminate()
    assert await mock.wait() == 0


async def output(environment: dict[str, str], *command: str) -> tuple[str, str]:
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode(), err.decode()


def shows(shown: Any, told: Any) -> bool:
    """Whether the page's shortened answer is one of what was told: keys may lack, and `…` stands for anything."""
    if isinstance(shown, dict):
        return isinstance(told, dict) and all(key in told and shows(value, told[key]) for key, value in shown.items())
    if isinstance(shown, list):
        if shown[-1:] == ["…"]:
            shown, told = shown[:-1], told[: len(shown) - 1]
        return len(shown) == len(told) and all(map(shows, shown, told))
    if isinstance(shown, str) and shown.endswith("…"):
        return isinstance(told, str) and told.startswith(shown[:-1])
    return bool(shown == told)


async def test_every_call_of_the_page_is_answered_as_it_says(register: dict[str, str]) -> None:
    # given each block of commands with the answer that follows it
    steps = re.findall(r"```sh\n(.*?)```\n(?:```json\n(.*?)```)?", PAGE, re.DOTALL)
    script = "".join(f"{commands}printf '\\x1e'\n" for commands, _ in steps)

    # when
    out, err = await output(register, "bash", "-euc", script)

    # then
    assert err == ""
    answers = out.split(AFTER_EACH)[:-1]
    assert len(answers) == len(steps)
    wrong = [(shown, told) for (_, shown), told in zip(steps, answers, strict=True) if not as_shown(shown, told)]
    assert wrong == []
    assert sum(bool(shown) for _, shown in steps) == PAGE.count("```json")


def as_shown(shown: str, told: str) -> bool:
    return shows(json.loads(shown), json.loads(told)) if shown else told == ""


async def test_its_cashier_page_opens_as_often_as_one_likes(register: dict[str, str]) -> None:
    for view, place in (("", "/"), ("--customer", "/customer")):
        tillside = (sys.executable, "-m", "agent.cli.entry", *register["OPEN"].split(), *view.split(), "--print")
        url, err = await output(register, *tillside)

        async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as browser, browser.get(url.strip()) as page:
            assert (page.status, page.url.path, err) == (200, place, "")
            assert "Tillside" in await page.text()


async def test_a_page_of_an_origin_that_was_named_calls_it() -> None:
    origin = "http://localhost:3000"
    for wrong in ("localhost:3000", "*"):
        refused = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agent.cli.entry", "mock", "--origin", wrong), stderr=asyncio.subprocess.PIPE
        )
        _, err = await refused.communicate()
        assert (refused.returncode, "[page] origins" in err.decode()) == (2, True)
    mock = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent.cli.entry", "mock", "--port", str(free_port()), "--origin", origin),
        stdout=asyncio.subprocess.PIPE,
    )
    assert mock.stdout is not None
    said = await asyncio.wait_for(mock.stdout.readuntil(b"Members, by card:\n"), READY_WITHIN_S)
    told = dict(re.findall(r"export (\w+)=(\S+)", said.decode()))

    for token, status in ((told["ORIGIN_TOKEN"], 204), (told["TOKEN"], 403)):
        headers = {"Origin": origin, "Authorization": f"Bearer {token}"}
        async with ClientSession() as page, page.get(f"{told['TILL']}/v1/ping", headers=headers) as answer:
            assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (status, origin)
    mock.terminate()
    assert await mock.wait() == 0


async def test_the_sample_client_redeems_what_is_safe_and_sells_on_without_the_rest(register: dict[str, str]) -> None:
    client = (sys.executable, str(CLIENT), "TS10023776J")

    sales = [await output(register, *client) for _ in range(3)]

    closed = [json.loads(out) for out, _ in sales]
    assert [sale["state"] for sale in closed] == ["closed"] * 3
    assert [[one["state"] for one in sale["redemptions"]] for sale in closed] == [["confirmed"], ["confirmed"], []]
    assert [err for _, err in sales] == ["", "", "80 points more than may be spent here without the centre.\n"]


async def test_the_sample_client_sells_to_whoever_is_unknown(register: dict[str, str]) -> None:
    out, err = await output(register, sys.executable, str(CLIENT), "TS99000001X")

    assert (json.loads(out)["member"]["standing"], err) == ("unknown", "")


async def test_the_sample_client_gives_no_reward_that_the_register_could_not_keep() -> None:
    # given a register that prices, and cannot write what it is to reserve
    reward = {"reward": "r5", "title": "5 off", "times": 1, "discount_minor": 500}
    answers: dict[str, tuple[int, object]] = {
        "/v1/sales": (201, {"sale": "s-1"}),
        "/v1/sales/s-1/member": (200, {"rewards": [reward]}),
        "/v1/sales/s-1/redemptions": (503, {"detail": "the witness cannot be written"}),
        "/v1/receipts": (200, {"receipts": [{"fate": "booked"}]}),
    }
    told: list[tuple[str, Any]] = []

    async def answered(request: web.Request) -> web.Response:
        told.append((request.path, await request.json()))
        status, document = answers[request.path]
        return web.json_response(document, status=status)

    application = web.Application()
    application.router.add_post("/{any:.*}", answered)
    runner = web.AppRunner(application)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()

    # when
    here = {**os.environ, "TILL": f"http://127.0.0.1:{port}", "TOKEN": "t"}
    try:
        _, err = await output(here, sys.executable, str(CLIENT), "TS10023776J")
    finally:
        await runner.cleanup()

    # then its receipt is no sale's, and shows no discount
    assert err == "the witness cannot be written\n"
    path, receipt = told[-1]
    assert (path, receipt["total_minor"], "discounts" in receipt) == ("/v1/receipts", 85997, False)


async def test_a_port_that_is_taken_is_named_with_the_way_out(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])

        mock = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agent.cli.entry", "mock", "--port", port, "--json"
        )

        assert await mock.wait() == 1
    assert json.loads(capfd.readouterr().out) == {
        "error": f"cannot listen on port {port}, where a register may run: name another with --port"
    }
