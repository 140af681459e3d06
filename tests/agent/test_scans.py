"""Scans into the store and onto the page, with a real store."""

from __future__ import annotations

import asyncio

import pytest

from agent.booking import checkout_of
from agent.desk import Desk
from agent.scans import MAX_LOOKUPS, ScanIntake
from agent.view import PlaceView
from drivers.scanning.driver import ScanEvent
from drivers.scanning.scan import parse_scan
from sync.loop import LookedUp
from sync.store.errors import StoreUnavailableError
from tests.agent.shop import BOOT, Shop, at


def desk_of(shop: Shop) -> Desk:
    return Desk(
        language="en",
        place=PlaceView(store=None, register=None),
        clock=lambda: at(10),
        find_member=shop.store.member_by_code,
        checkout=checkout_of(shop.store, BOOT),
        schedule=lambda _delay, _callback: None,
    )


def event(text: str, seconds: float = 5) -> ScanEvent:
    return ScanEvent(scan=parse_scan(text), at=at(seconds), reader="counter")


async def centre_is_away(_code: str) -> LookedUp:
    return LookedUp()


async def test_a_members_scan_is_durable_when_it_is_shown(shop: Shop) -> None:
    await shop.seed()
    desk = desk_of(shop)

    await ScanIntake(store=shop.store, desk=desk, lookup=centre_is_away, guesses=lambda: True).take(event("]C0TS1001"))

    (kept,) = shop.store.unused_scans()
    assert (kept.code, kept.member, kept.at, kept.reader) == ("TS1001", "m-ana", at(5), "counter")
    customer = desk.state().customer
    assert customer is not None
    assert customer.standing == "known"


@pytest.mark.parametrize("goods", ["]E04006381333931", "]E490311017", "]C10104006381333931"])
async def test_goods_leave_no_trace(shop: Shop, goods: str) -> None:
    await shop.seed()
    desk = desk_of(shop)
    before = desk.told

    await ScanIntake(store=shop.store, desk=desk, lookup=centre_is_away, guesses=lambda: True).take(event(goods))

    assert shop.store.unused_scans() == ()
    assert desk.told == before


async def test_an_unknown_card_is_checked_while_the_page_says_so(shop: Shop) -> None:
    await shop.seed()
    desk = desk_of(shop)
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slow_centre(code: str) -> LookedUp:
        assert code == "NEW1"
        asked.set()
        await answer.wait()
        return LookedUp()

    await ScanIntake(store=shop.store, desk=desk, lookup=slow_centre, guesses=lambda: True).take(event("]C0NEW1"))
    await asked.wait()
    assert desk.state().customer.standing == "checking"  # type: ignore[union-attr]

    with desk.watching() as changed:
        answer.set()
        await changed.wait()

    assert desk.state().customer.standing == "unknown"  # type: ignore[union-attr]


async def test_lookups_under_way_are_bounded(shop: Shop) -> None:
    asked: list[str] = []
    never = asyncio.Event()

    async def silent_centre(code: str) -> LookedUp:
        asked.append(code)
        await never.wait()
        return LookedUp()

    intake = ScanIntake(store=shop.store, desk=desk_of(shop), lookup=silent_centre, guesses=lambda: True)
    for number in range(MAX_LOOKUPS + 3):
        await intake.take(event(f"]C0NEW{number}"))
        await asyncio.sleep(0)

    assert len(asked) == MAX_LOOKUPS
    await intake.close()


async def test_a_disk_that_does_not_answer_delays_nobody_and_the_scan_follows(shop: Shop) -> None:
    # given a store that refuses the first writes
    await shop.seed()
    desk = desk_of(shop)
    refusals = 2

    class FullDisk:
        member_by_code = staticmethod(shop.store.member_by_code)

        async def write(self, work: object) -> object:
            nonlocal refusals
            if refusals:
                refusals -= 1
                raise StoreUnavailableError("full")
            return await shop.store.write(work)  # type: ignore[arg-type]

    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    intake = ScanIntake(store=FullDisk(), desk=desk, lookup=centre_is_away, guesses=lambda: True, sleep=sleep)  # type: ignore[arg-type]
    await intake.take(event("]C0TS1001"))
    assert desk.state().customer is not None
    await intake.settled()

    assert len(shop.store.unused_scans()) == 1
    assert len(slept) == 2
