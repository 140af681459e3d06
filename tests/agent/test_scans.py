"""Scans into the store and onto the page, with a real store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from agent.booking import checkout_of
from agent.checkout import current
from agent.desk import Desk
from agent.scans import MAX_LOOKUPS, Lookup, ScanIntake
from agent.view import CustomerView, NoticeView, PlaceView
from drivers.scanning.driver import ScanEvent
from drivers.scanning.scan import parse_scan
from loyalty.identification import IdentificationRule
from loyalty.member import Identifier, Member
from sync.loop import LookedUp
from sync.store.errors import StoreUnavailableError
from sync.wire import Change
from tests.agent.shop import ANA, BOOT, BORA, MORNING, Shop, at, never, receipt

LOST = Member(
    member="m-lost",
    identifiers=(Identifier(kind="card", code="TS1666", state="blocked"),),
    short_name="Secret",
    as_of=MORNING,
)
CARDS = IdentificationRule(name="cards", prefixes=("TS", "NEW"))
NUMBERS = IdentificationRule(name="numbers", prefixes=("29",), lengths=(13,), check_digit="gs1")


def desk_of(shop: Shop) -> Desk:
    return Desk(
        language="en",
        place=PlaceView(store=None, register=None),
        clock=lambda: at(10),
        find_member=shop.store.member_by_code,
        checkout=checkout_of(shop.store, BOOT),
        schedule=never,
    )


def event(
    text: str, seconds: float = 5, *, rules: Sequence[IdentificationRule] = (), shared: bool = False
) -> ScanEvent:
    return ScanEvent(scan=parse_scan(text, rules), at=at(seconds), reader="counter", shared=shared)


async def centre_is_away(_code: str) -> LookedUp:
    return LookedUp()


def intake_of(
    shop: Shop,
    desk: Desk,
    lookup: Lookup = centre_is_away,
    *,
    guesses: bool = True,
    store: object = None,
    **how: Any,
) -> ScanIntake:
    return ScanIntake(
        store=store or shop.store,  # type: ignore[arg-type]
        desk=desk,
        lookup=lookup,
        guesses=lambda: guesses,
        **how,
    )


def answering(found: LookedUp) -> Lookup:
    async def centre(_code: str) -> LookedUp:
        return found

    return centre


def customer_of(desk: Desk) -> CustomerView:
    customer = desk.state().customer
    assert customer is not None
    return customer


async def test_a_members_scan_is_durable_when_it_is_shown(shop: Shop) -> None:
    await shop.seed()
    desk = desk_of(shop)

    await intake_of(shop, desk, centre_is_away).take(event("]C0TS1001"))

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

    await intake_of(shop, desk, centre_is_away).take(event(goods))

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

    await intake_of(shop, desk, slow_centre).take(event("]C0NEW1"))
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

    intake = intake_of(shop, desk_of(shop), silent_centre)
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
        hidden = staticmethod(shop.store.hidden)

        async def write(self, work: object) -> object:
            nonlocal refusals
            if refusals:
                refusals -= 1
                raise StoreUnavailableError("full")
            return await shop.store.write(work)  # type: ignore[arg-type]

    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    intake = intake_of(shop, desk, store=FullDisk(), sleep=sleep)
    await intake.take(event("]C0TS1001"))
    assert desk.state().customer is not None
    await intake.settled()

    assert len(shop.store.unused_scans()) == 1
    assert len(slept) == 2


# ---- five in a second


async def test_five_scans_in_a_second_are_all_kept_in_their_order(shop: Shop) -> None:
    await shop.seed()
    desk = desk_of(shop)
    intake = intake_of(shop, desk)

    codes = ["TS1001", "NEW1", "TS1002", "NEW2", "TS1001"]
    for number, code in enumerate(codes):
        await intake.take(event(f"]C0{code}", 5 + number / 5))

    assert [kept.code for kept in shop.store.unused_scans()] == codes
    assert customer_of(desk).member is not None


class HangingDisk:
    """A store whose disk does not answer until it is let go."""

    def __init__(self, shop: Shop) -> None:
        self.member_by_code = shop.store.member_by_code
        self.hidden = shop.store.hidden
        self.free = asyncio.Event()
        self._shop = shop

    async def write(self, work: Any) -> Any:
        await self.free.wait()
        return await self._shop.store.write(work)


async def test_a_disk_that_hangs_is_waited_for_once_and_nothing_is_skipped(shop: Shop) -> None:
    # given a disk that hangs
    await shop.seed()
    desk, disk = desk_of(shop), HangingDisk(shop)
    intake = intake_of(shop, desk, store=disk, show_within_s=0.01)
    codes = ["TS1001", "NEW1", "TS1002", "NEW2", "TS1001"]
    shown = []
    # when five cards are scanned
    for number, code in enumerate(codes):
        await intake.take(event(f"]C0{code}", 5 + number / 5))
        shown.append(customer_of(desk).standing)
        intake._show_within_s = 3600.0  # whatever waited from here on would hold the test up
    # then each was shown, the four behind the first at once
    assert [standing == "known" for standing in shown] == [True, False, True, False, True]
    # and all are kept in their order when it answers; the next one is durable again before it is shown
    disk.free.set()
    await intake.settled()
    assert [kept.code for kept in shop.store.unused_scans()] == codes
    await intake.take(event("]C0TS1002", 8))
    assert shop.store.unused_scans()[-1].code == "TS1002"


async def test_scans_that_a_disk_refuses_are_kept_in_their_order_too(shop: Shop) -> None:
    await shop.seed()
    refusals = 1  # of the first; the two behind it wait for their turn

    class FullDisk:
        member_by_code = staticmethod(shop.store.member_by_code)
        hidden = staticmethod(shop.store.hidden)

        async def write(self, work: Any) -> Any:
            nonlocal refusals
            if refusals:
                refusals -= 1
                raise StoreUnavailableError("full")
            return await shop.store.write(work)

    room = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        await room.wait()

    intake = intake_of(shop, desk_of(shop), store=FullDisk(), sleep=sleep, show_within_s=0.01)
    for number, code in enumerate(["TS1001", "TS1002", "NEW1"]):
        await intake.take(event(f"]C0{code}", 5 + number))
    room.set()
    await intake.settled()

    assert [kept.code for kept in shop.store.unused_scans()] == ["TS1001", "TS1002", "NEW1"]


async def test_the_second_is_shown_at_once_while_the_centre_is_asked_of_the_first(shop: Shop) -> None:
    await shop.seed()
    desk = desk_of(shop)
    answer = asyncio.Event()

    async def slow_centre(_code: str) -> LookedUp:
        await answer.wait()
        return LookedUp()

    intake = intake_of(shop, desk, slow_centre)
    await intake.take(event("]C0NEW1", 5))
    await intake.take(event("]C0TS1001", 6))
    assert customer_of(desk).standing == "known"

    answer.set()
    await intake.settled()
    assert customer_of(desk).standing == "known"


# ---- states of cards


async def test_a_blocked_card_is_told_of_without_a_name_and_never_kept(shop: Shop) -> None:
    await shop.seed([ANA, LOST])
    desk = desk_of(shop)
    intake = intake_of(shop, desk)

    await intake.take(event("]C0TS1666"))

    assert shop.store.unused_scans() == ()
    assert customer_of(desk) == CustomerView(standing="blocked", ending="1666")
    assert b"Secret" not in desk.told


async def test_a_blocked_card_leaves_the_sale_to_the_card_before(shop: Shop) -> None:
    await shop.seed([ANA, LOST])
    desk = desk_of(shop)
    intake = intake_of(shop, desk)

    await intake.take(event("]C0TS1001", 5))
    await intake.take(event("]C0TS1666", 6))

    assert [kept.code for kept in shop.store.unused_scans()] == ["TS1001"]
    state = desk.state()
    assert customer_of(desk).standing == "known"
    assert state.notice == NoticeView(kind="blocked", ending="1666")


NEWLY_LOST = replace(LOST, identifiers=(Identifier(kind="card", code="NEW1", state="blocked"),))


@pytest.mark.parametrize("found", [LookedUp(card="blocked"), LookedUp(member=NEWLY_LOST)], ids=["stock", "member"])
async def test_a_card_that_only_the_centre_knows_to_be_blocked_is_let_go(shop: Shop, found: LookedUp) -> None:
    # given a customer, and then a card that nobody here knows
    await shop.seed()
    desk = desk_of(shop)
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slow_centre(_code: str) -> LookedUp:
        asked.set()
        await answer.wait()
        return found

    intake = intake_of(shop, desk, slow_centre)
    await intake.take(event("]C0TS1001", 5))
    await intake.take(event("]C0NEW1", 6))
    await asked.wait()
    assert customer_of(desk).standing == "checking"
    # when the centre says that it is blocked
    answer.set()
    await intake.settled()
    # then the sale is the first one's again, here and after a restart
    assert customer_of(desk).standing == "known"
    assert desk.state().notice == NoticeView(kind="blocked", ending="")
    assert [kept.code for kept in shop.store.unused_scans()] == ["TS1001"]


async def test_a_card_from_the_drawer_is_kept_and_named_as_new(shop: Shop) -> None:
    desk = desk_of(shop)
    intake = intake_of(shop, desk, answering(LookedUp(card="unissued")))

    await intake.take(event("]C0NEW12345"))
    await intake.settled()

    assert replace(customer_of(desk), turn=None) == CustomerView(standing="unissued", ending="2345")
    assert [kept.code for kept in shop.store.unused_scans()] == ["NEW12345"]


# ---- claims and guesses


@pytest.mark.parametrize(("shared", "guesses"), [(True, True), (False, False), (True, False)])
@pytest.mark.parametrize("label", ["]C0SHELF-42", "]A0LOT7", "]Q2B1234"])
async def test_a_label_that_may_be_goods_is_never_an_unknown_card(
    shop: Shop, label: str, *, shared: bool, guesses: bool
) -> None:
    # given a customer
    await shop.seed()
    desk = desk_of(shop)
    asked: list[str] = []

    async def centre(code: str) -> LookedUp:
        asked.append(code)
        return LookedUp()

    intake = intake_of(shop, desk, centre, guesses=guesses)
    await intake.take(event("]C0TS1001", 5))
    before = desk.told
    # when a label is scanned that no rule claims
    await intake.take(event(label, 6, shared=shared))
    await intake.settled()
    # then the centre was asked, and nothing else came of it
    assert len(asked) == 1
    assert desk.told == before
    assert [kept.code for kept in shop.store.unused_scans()] == ["TS1001"]


@pytest.mark.parametrize("banana", ["]C04011", "]A094011", "4011", "]E4200012340", "]e00100033383040110"])
async def test_a_banana_is_never_an_unknown_card(shop: Shop, banana: str) -> None:
    # given a scanner of our own, and nobody who said what the cards are
    desk = desk_of(shop)
    before = desk.told

    intake = intake_of(shop, desk)
    await intake.take(event(banana))
    await intake.settled()

    assert desk.told == before
    assert not shop.store.unused_scans()


async def test_a_short_number_that_somebody_has_is_a_card(shop: Shop) -> None:
    desk = desk_of(shop)

    intake = intake_of(shop, desk, answering(LookedUp(card="unissued")))
    await intake.take(event("]C04011"))
    await intake.settled()

    assert customer_of(desk).standing == "unissued"


@pytest.mark.parametrize(
    ("found", "standing"), [(LookedUp(member=BORA), "known"), (LookedUp(card="unissued"), "unissued")], ids=str
)
async def test_a_guess_that_the_centre_knows_is_shown_and_kept_with_its_own_time(
    shop: Shop, found: LookedUp, standing: str
) -> None:
    await shop.seed([ANA])
    desk = desk_of(shop)

    async def centre(_code: str) -> LookedUp:
        if found.member is not None:
            change = Change(pos=9, op="upsert", member="m-bora", row=found.member)
            await shop.store.write(lambda writing: writing.apply_changes([change], 9, None))
        return found

    intake = intake_of(shop, desk, centre, guesses=False)
    await intake.take(event("]C0TS1002", 7, shared=True))
    assert desk.state().customer is None
    await intake.settled()

    assert customer_of(desk).standing == standing
    [kept] = shop.store.unused_scans()
    assert (kept.code, kept.at) == ("TS1002", at(7))


@pytest.mark.parametrize("seconds", [6, 5])
async def test_a_guess_that_the_centre_knows_late_does_not_replace_the_card_scanned_since(
    shop: Shop, seconds: float
) -> None:
    # given two cards, perhaps in what the scanner sent at once, so that they have one instant
    await shop.seed()
    desk = desk_of(shop)
    answer = asyncio.Event()

    async def slow_centre(_code: str) -> LookedUp:
        await answer.wait()
        return LookedUp(card="unissued")

    intake = intake_of(shop, desk, slow_centre, guesses=False)
    await intake.take(event("]C0NEW1", 5))
    await intake.take(event("]C0TS1001", seconds))
    answer.set()
    await intake.settled()

    assert customer_of(desk).standing == "known"
    # and after a restart the receipt takes the later one as well
    taken = current(checkout_of(shop.store, BOOT), at(9))
    assert taken is not None
    assert taken.code == "TS1001"


async def test_what_a_rule_claims_is_an_unknown_card_on_any_scanner(shop: Shop) -> None:
    desk = desk_of(shop)
    intake = intake_of(shop, desk, guesses=False)

    await intake.take(event("]C0NEW12345", rules=[CARDS], shared=True))
    await intake.settled()

    assert replace(customer_of(desk), turn=None) == CustomerView(standing="unknown", ending="2345")
    assert [kept.code for kept in shop.store.unused_scans()] == ["NEW12345"]


async def test_lookups_of_guesses_are_bounded_too(shop: Shop) -> None:
    asked: list[str] = []
    never = asyncio.Event()

    async def silent_centre(code: str) -> LookedUp:
        asked.append(code)
        await never.wait()
        return LookedUp()

    intake = intake_of(shop, desk_of(shop), silent_centre, guesses=False)
    for number in range(MAX_LOOKUPS + 3):
        await intake.take(event(f"]C0SHELF{number}"))
        await asyncio.sleep(0)

    assert len(asked) == MAX_LOOKUPS
    await intake.close()


# ---- what the cashier can do something about


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("]C02900000000002", "misread"),
        (";E?", "swipe_error"),
        ("4111111111111111", "payment_card"),
        (";4111111111111111=30121010000000000000?", "payment_card"),
    ],
)
async def test_a_scan_that_is_nobodys_is_told_of(shop: Shop, text: str, kind: str) -> None:
    await shop.seed()
    desk = desk_of(shop)
    intake = intake_of(shop, desk, guesses=False)
    await intake.take(event("]C0TS1001", 8, rules=[CARDS]))
    await intake.take(event(text, 9, rules=[NUMBERS]))

    state = desk.state()
    assert state.notice == NoticeView(kind=kind)  # type: ignore[arg-type]
    assert customer_of(desk).standing == "known"
    assert b"411111" not in desk.told
    assert len(shop.store.unused_scans()) == 1


@pytest.mark.parametrize(
    "text",
    ["]E05901234123458", "]d2010950110153000321" + "4111111111111111"],
    ids=["a wrong check digit", "a serial number like a payment card's"],
)
async def test_goods_are_not_told_of(shop: Shop, text: str) -> None:
    desk = desk_of(shop)
    before = desk.told

    await intake_of(shop, desk).take(event(text, rules=[NUMBERS]))

    assert desk.told == before


async def test_a_swipe_stays_a_swipe_on_the_receipt(shop: Shop) -> None:
    await shop.seed()
    await intake_of(shop, desk_of(shop)).take(event(";60111=?", 5))
    [kept] = shop.store.unused_scans()
    assert kept.entry == "swiped"

    shop.print(receipt(1), 8)
    await shop.take_all()

    [body] = shop.bodies()
    assert body.receipt.member is not UNSET
    assert body.receipt.member.entry == "swiped"
