"""What a POS that listens is told, and how it goes on where it left off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import msgspec
import pytest

from agent.checkout import MemberScan
from agent.pos_events import MAX_KEPT, PosEvents
from agent.view import BadgeView, CustomerView
from tests.agent.shop import Shop, at
from tests.agent.test_api import Served
from tests.agent.test_desk import Bench

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
AWAY = BadgeView(enrolled=True, online=False, since=None, queued=0)
POS = {"Authorization": "Bearer pos-token"}


def told(messages: tuple[bytes, ...]) -> list[dict[str, Any]]:
    return [msgspec.json.decode(message) for message in messages]


def kinds(messages: tuple[bytes, ...]) -> list[str]:
    return [event["type"] for event in told(messages)]


def test_who_comes_anew_is_told_how_it_stands_and_then_what_happens() -> None:
    till = Bench()

    reached, first = till.desk.events.after(None)
    assert [(event["type"], event["customer"]) for event in told(first)] == [("state", None)]

    till.scan("TS1001")
    till.sell("TS1001", points=40)
    reached, events = till.desk.events.after(reached)

    assert kinds(events) == ["customer", "receipt", "customer"]
    scanned, receipt, gone = told(events)
    assert (scanned["customer"]["standing"], scanned["customer"]["member"]["name"]) == ("known", "Ana P.")
    assert (receipt["receipt"], receipt["sale"]["points"]) == ("k", 40)
    assert gone["customer"] is None
    assert till.desk.events.after(reached) == (reached, ())


def test_numbers_go_up_by_one_and_what_is_as_before_is_no_event() -> None:
    till = Bench()
    before, _ = till.desk.events.after(None)

    till.desk.set_badge(AWAY)
    till.desk.set_badge(BadgeView(enrolled=True, online=False, since=None, queued=7))
    till.desk.set_badge(BadgeView(enrolled=True, online=True, since=None, queued=7))
    _, events = till.desk.events.after(before)

    assert [(event["seq"] - before, event["badge"]["online"]) for event in told(events)] == [(1, False), (2, True)]


def test_a_blocked_card_is_told_though_nobody_is_served() -> None:
    till = Bench()
    scan = till.scan("TS1002", checking=True)
    before, _ = till.desk.events.after(None)

    till.desk.refused(scan)

    assert [event["customer"]["standing"] for event in told(till.desk.events.after(before)[1])] == ["blocked"]


@pytest.mark.parametrize(("missed", "is_replayed"), [(MAX_KEPT, True), (MAX_KEPT + 1, False)])
def test_who_was_away_for_too_long_is_told_how_it_stands(missed: int, is_replayed: bool) -> None:
    events = PosEvents(NOON, AWAY)
    reached, _ = events.after(None)

    for turn in range(missed):
        events.take(CustomerView(standing="unknown", ending="1", turn=turn), AWAY, NOON)
    _, messages = events.after(reached)

    if is_replayed:
        assert [event["customer"]["turn"] for event in told(messages)] == list(range(missed))
    else:
        [state] = told(messages)
        assert (state["type"], state["customer"]["turn"]) == ("state", missed - 1)


def test_a_number_of_before_a_restart_or_of_nowhere_is_answered_with_how_it_stands() -> None:
    before = PosEvents(NOON, AWAY)
    before.take(CustomerView(standing="unknown", ending="1", turn=1), AWAY, NOON)
    reached, _ = before.after(None)
    again = PosEvents(NOON + timedelta(seconds=1), AWAY)

    assert kinds(again.after(reached)[1]) == ["state"]
    again.take(CustomerView(standing="unknown", ending="1", turn=1), AWAY, NOON)
    assert kinds(again.after(reached)[1]) == ["state"]
    assert again.after(None)[0] > reached
    assert kinds(again.after(10**17)[1]) == ["state"]


async def test_a_pos_listens_with_its_token_and_goes_on_where_it_left_off(shop: Shop) -> None:
    served = Served(shop, pos_token=lambda: "pos-token")
    await shop.seed()
    async with served.running() as http:
        async with http.ws_connect(f"{served.url}/v1/events", headers=POS) as socket:
            reached = (await socket.receive_json(timeout=5))["seq"]
            served.desk.scanned(MemberScan(id=1, code="TS1001", at=at(9)))
            event = await socket.receive_json(timeout=5)
        assert (event["type"], event["seq"], event["customer"]["member"]["name"]) == ("customer", reached + 1, "Ana P.")
        assert "TS1001" not in str(event)

        served.desk.removed(at(10))  # while nobody listened
        async with http.ws_connect(f"{served.url}/v1/events?after={event['seq']}", headers=POS) as socket:
            missed = await socket.receive_json(timeout=5)
        assert (missed["type"], missed["seq"], missed["customer"]) == ("customer", reached + 2, None)


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "9" * 19, "٣"])
async def test_what_is_no_number_of_an_event_is_said(shop: Shop, after: str) -> None:
    served = Served(shop, pos_token=lambda: "pos-token")
    async with served.running() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{served.url}/v1/events", params={"after": after}, headers=POS)
    assert refused.value.status == 422


async def test_the_page_is_not_told_events_nor_a_pos_the_page(shop: Shop) -> None:
    served = Served(shop, pos_token=lambda: "pos-token")
    async with served.running() as http:
        for path, headers in (("/v1/events", served.cookie()), ("/v1/page", POS)):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await http.ws_connect(f"{served.url}{path}", headers=headers)
            assert refused.value.status == 403
