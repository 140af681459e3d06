"""Receipts that a POS posts, over real HTTP and into a real store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from agent.api import MAX_BODY_BYTES, LocalApi
from agent.profiles import Profiles
from agent.receipts import at_once
from agent.store_inspection import StoreInspection
from agent.webhook import MAX_WAITING_CALLS, Webhook
from loyalty.identity import key_of
from sync.store.packing import unpacked
from tests.agent.shop import OPTIONS, Shop, at
from tests.agent.test_api import BEARER, Served

PATH = "/v1/receipts"


def sale(number: int, **facts: Any) -> dict[str, Any]:
    return {
        "kind": "sale",
        "store": "12",
        "register": "3",
        "number": str(number),
        "business_day": "2026-11-22",
        "issued_at": "2026-11-22T10:07:00+01:00",
        "currency": "RSD",
        "total_minor": 26828,
        "tenders": [{"kind": "cash", "amount_minor": 26828}],
        "lines": [{"position": 1, "description": "KAFA", "amount_minor": 26828}],
        **facts,
    }


def key(number: int) -> str:
    return key_of(f"pos:12/3/2026-11-22/{number}")


@asynccontextmanager
async def posting(
    shop: Shop, scans_taken: Callable[[], Awaitable[None]] = at_once
) -> AsyncIterator[Callable[..., Awaitable[tuple[int, Any]]]]:
    """A register's API with a webhook; gives what posts to it and returns status and answer."""
    served = Served(shop)
    webhook = Webhook(
        books=shop.books("pos"),
        store=shop.store,
        options=lambda: OPTIONS,
        scans_taken=scans_taken,
        now=lambda: at(30),
    )
    inspection: StoreInspection = served.api._inspection
    profiles = Profiles(shop.store)
    api = LocalApi(
        served.access,
        served.desk,
        inspection,
        served.supervisor,
        lambda: None,
        profiles=profiles,
        guesses=served.guesses,
        webhook=webhook,
    )
    runner = web.AppRunner(api.application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", served.port).start()
    try:
        async with aiohttp.ClientSession(served.url, headers=BEARER) as client:

            async def post(
                body: object, idempotency_key: str | None = None, *, path: str = PATH, **headers: str
            ) -> tuple[int, Any]:
                sent = {
                    "Content-Type": "application/json",
                    **headers,
                    **({"Idempotency-Key": idempotency_key} if idempotency_key is not None else {}),
                }
                data = body if isinstance(body, bytes) else json.dumps(body)
                async with client.post(path, data=data, headers=sent) as response:
                    return response.status, json.loads(await response.read())

            yield post
    finally:
        await runner.cleanup()


async def test_a_posted_receipt_is_booked_for_who_was_scanned(shop: Shop) -> None:
    await shop.seed()
    await shop.scan("TS1001", 5)

    async with posting(shop) as post:
        answer = await post(sale(1))

    assert answer == (200, {"receipts": [{"key": key(1), "fate": "booked"}], "quarantined": []})
    (body,) = shop.bodies()
    assert (body.member, body.receipt.key) == ("m-ana", key(1))
    assert [settlement.outcome for settlement in shop.settlements] == ["points"]


async def test_what_was_answered_survives_a_restart(shop: Shop) -> None:
    async with posting(shop) as post:
        first = await post({"receipts": [sale(1), sale(2)]}, "call-1")
    shop.reopen()

    async with posting(shop) as post:
        again = await post({"receipts": [sale(1), sale(2)]}, "call-1")

    assert again == first == (200, {"receipts": [{"key": key(n), "fate": "booked"} for n in (1, 2)], "quarantined": []})
    assert len(shop.bodies()) == 2


async def test_a_repeat_without_a_key_counts_once_as_well(shop: Shop) -> None:
    async with posting(shop) as post:
        await post(sale(1))
        _, again = await post(sale(1))

    assert again["receipts"][0]["fate"] == "seen_again"
    assert len(shop.bodies()) == 1


async def test_a_key_used_for_another_body_is_refused(shop: Shop) -> None:
    async with posting(shop) as post:
        await post(sale(1), "call-1")
        status, answer = await post(sale(2), "call-1")

    assert (status, answer["status"]) == (422, 422)
    assert "take a new key" in answer["detail"]
    assert len(shop.bodies()) == 1


async def test_calls_with_one_key_at_the_same_time_get_one_answer(shop: Shop) -> None:
    async with posting(shop) as post:
        answers = await asyncio.gather(*(post(sale(1), "call-1") for _ in range(8)))

    assert {json.dumps(answer) for answer in answers} == {json.dumps(answers[0])}
    assert len(shop.bodies()) == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "holds no receipt"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "correct it at the sender"),
        (b'{"receipts": []}', "holds no receipt"),
        (b'{"hello": 1}', "neither"),
        (sale(1, total_minor="a lot"), "total_minor"),
        (sale(1, total_minor=1.5), "total_minor"),
        (sale(1, kind="gift"), "at `$.kind`; allowed: exchange, return, sale;"),
    ],
)
async def test_a_body_of_which_nothing_can_be_read_is_the_senders_to_correct(
    shop: Shop, body: object, said: str
) -> None:
    async with posting(shop) as post:
        status, answer = await post(body, "call-1")
        corrected = await post(sale(1), "call-1")

    assert status == 422
    assert said in answer["detail"]
    assert corrected[0] == 200
    assert shop.store.quarantined() == ()


async def test_a_bad_receipt_among_good_ones_is_kept_for_a_person_and_named(shop: Shop) -> None:
    async with posting(shop) as post:
        status, answer = await post({"receipts": [sale(1), sale(2, kind="gift"), sale(3)]})

    assert status == 200
    assert [taken["key"] for taken in answer["receipts"]] == [key(1), key(3)]
    assert [reason.partition(":")[0] for reason in answer["quarantined"]] == ["bad_receipt"]
    assert [item.source for item in shop.store.quarantined()] == ["pos"]


async def test_a_body_beyond_the_bound_is_refused_with_the_remedy(shop: Shop) -> None:
    async with posting(shop) as post:
        status, answer = await post(b" " * (MAX_BODY_BYTES + 1))

    assert status == 413
    assert "send fewer receipts" in answer["detail"]


@pytest.mark.parametrize(
    "headers", [{"Authorization": "Bearer wrong"}, {"Origin": "http://evil.example"}, {"Host": "evil.example"}]
)
async def test_a_stranger_books_nothing(shop: Shop, headers: dict[str, str]) -> None:
    async with posting(shop) as post:
        status, _ = await post(sale(1), **headers)

    assert status == 403
    assert shop.bodies() == []


@pytest.mark.parametrize("wrong", ["", "a" * 256, "two words"])
async def test_a_key_that_is_none_is_refused(shop: Shop, wrong: str) -> None:
    async with posting(shop) as post:
        status, answer = await post(sale(1), wrong)

    assert status == 422
    assert "Idempotency-Key" in answer["detail"]


async def test_more_calls_than_may_wait_are_told_to_come_again(shop: Shop) -> None:
    freed = asyncio.Event()

    async def scans_taken() -> None:
        await freed.wait()

    async with posting(shop, scans_taken) as post:
        calls = [asyncio.ensure_future(post(sale(n))) for n in range(MAX_WAITING_CALLS + 1)]
        done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        freed.set()
        answers = await asyncio.gather(*calls)

    assert [call.result()[0] for call in done] == [503]
    assert sorted(status for status, _ in answers) == [200] * MAX_WAITING_CALLS + [503]


async def test_a_register_without_the_source_says_how_to_add_it(shop: Shop) -> None:
    served = Served(shop)
    runner = web.AppRunner(served.api.application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", served.port).start()
    try:
        async with aiohttp.ClientSession(headers=BEARER) as client, client.post(served.url + PATH, json={}) as asked:
            answer = json.loads(await asked.read())
    finally:
        await runner.cleanup()

    assert answer["status"] == 404
    assert "webhook = true" in answer["detail"]


async def test_no_card_number_of_a_call_is_kept(shop: Shop) -> None:
    async with posting(shop) as post:
        await post(sale(1, operator="4111111111111111"), "4111111111111111")

    [(source, call, digest, answer)] = shop.store._rows("SELECT source, call, digest, answer FROM answered_calls")
    assert "4111111111111111" not in f"{source}{call}{digest}{unpacked(answer)!r}{shop.bodies()}"
    assert unpacked(answer) != answer
