"""Rewards that were reserved beside a till which only prints: the paper says whether they were given."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec import UNSET
from msgspec.structs import replace

from agent.booking import book
from agent.paper_spending import SUSPENDED_FOR, shown_minor
from agent.sale_shapes import BasketGiven
from drivers.receipts.decode import decode
from drivers.receipts.given import GivenReceipt
from loyalty.allowances import Draw
from loyalty.instant import Instant
from loyalty.receipt import Discount, Line, MemberReference, Receipt, Tender
from sync.records import AllowanceReturnBody
from sync.store.rows import KeptRedemption
from sync.store.writing import Writing
from tests.agent.shop import ANA, BOOT, MORNING, OPTIONS, Shop, at
from tests.agent.test_sales import Clock, Pos, grant, ready, redeemed, states, till
from tests.agent.test_webhook import sale

# What r5 takes off, and almost that.
ALL_OF_IT, TOO_LITTLE = "50,00", "49,99"


def paper(number: int, voucher: str | None = ALL_OF_IT, *, head: str = "", issued: str = "10:07") -> bytes:
    """A sale of 268.28, of which a voucher paid so much."""
    paid = f"VOUCHER  {voucher}\nCASH  {'218,28' if voucher == ALL_OF_IT else '218,29'}" if voucher else "CASH  268,28"
    return (
        f"\x1b@SUPERMARKET\nSTORE 12  REGISTER 3\n{head}RECEIPT NO {number}\n2026-11-22 {issued}\n"
        f"KAFA 1 x 268,28  268,28\nTOTAL RSD  268,28\n{paid}\n\n\x1dV\x00"
    ).encode()


async def reserved(
    pos: Pos, *, by_page: bool = True, reward: str = "r5", code: str = "TS1001", basket: dict[str, Any] | None = None
) -> str:
    """A sale of this member with a reward, made on the page or by a POS; by default of the goods of `paper`."""
    given = BasketGiven(basket=msgspec.convert(basket or sale(1), GivenReceipt))
    name = (await pos.sales.open(given, None, by_page=by_page)).sale
    await pos.told("POST", f"/{name}/member", {"code": code})
    await pos.told("POST", f"/{name}/redemptions", {"reward": reward})
    return name


async def printed(shop: Shop, job: bytes, *, code: str | None = "TS1001", at_s: float | None = None) -> str | None:
    """What the page says of the reward, once the customer's receipt was printed; by default after all that is here."""
    if code is not None:
        await shop.scan(code, 990 if at_s is None else at_s - 1)
    before = len(shop.settlements)
    shop.print(job, at_s)
    await shop.take_all()
    return shop.settlements[-1].reward if len(shop.settlements) > before else None


@pytest.mark.parametrize("by_page", [True, False])
async def test_a_receipt_that_shows_the_discount_confirms_the_reward_once(shop: Shop, by_page: bool) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await reserved(pos, by_page=by_page)

        assert await printed(shop, paper(7)) == "confirmed"
        assert await printed(shop, paper(7), code=None) is None  # the same paper again

        report = await pos.told("GET", f"/{name}")
    assert (report["state"], states(report)) == ("closed", ["confirmed"])
    [body] = redeemed(shop)
    assert (body.member, body.receipt, body.points) == ("m-ana", report["receipt"], 500)
    assert [each.receipt.key for each in shop.bodies()] == [body.receipt]


@pytest.mark.parametrize("voucher", [TOO_LITTLE, None])
async def test_a_receipt_that_does_not_show_it_gives_the_points_back(shop: Shop, voucher: str | None) -> None:
    await ready(shop, points=500)
    async with till(shop) as pos:
        name = await reserved(pos)

        assert await printed(shop, paper(7, voucher)) == "released"

        report = await pos.told("GET", f"/{name}")
        assert (report["state"], states(report), redeemed(shop)) == ("ended", ["released"], [])
        # and the member can have it at once
        await reserved(pos)


async def test_what_a_pos_reserved_only_the_pos_lets_go_of(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await reserved(pos, by_page=False)

        assert await printed(shop, paper(7, None)) is None

        report = await pos.told("GET", f"/{name}")
        assert (report["state"], states(report)) == ("open", ["reserved"])


@pytest.mark.parametrize(("by_page", "state"), [(True, "lapsed"), (False, "reserved")])
@pytest.mark.parametrize("code", ["TS1002", None])
async def test_somebody_elses_receipt_confirms_nothing_and_ends_the_turn_of_the_page(
    shop: Shop, code: str | None, by_page: bool, state: str
) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await reserved(pos, by_page=by_page)

        assert await printed(shop, paper(7), code=code) is None

        assert states(await pos.told("GET", f"/{name}")) == [state]
    assert redeemed(shop) == []


@pytest.mark.parametrize("is_printed", [True, False])
async def test_a_sale_that_was_suspended_counts_its_reward_once_it_is_paid(shop: Shop, is_printed: bool) -> None:
    """Whether or not the till prints a paper for what it suspends."""
    await ready(shop, points=500)
    async with till(shop) as pos:
        name = await reserved(pos)
        if is_printed:
            assert await printed(shop, paper(7, head="SUSPENDED\n"), at_s=40) is None
        assert await printed(shop, paper(8), code="TS1002", at_s=50) is None

        assert await printed(shop, paper(7), code=None if is_printed else "TS1001", at_s=60) == "confirmed"

        report = await pos.told("GET", f"/{name}")
        assert (report["state"], states(report)) == ("closed", ["confirmed"])
    [body] = redeemed(shop)
    assert (body.member, body.receipt, body.points) == ("m-ana", report["receipt"], 500)
    assert [draw.points for draw in body.drawn] == [500]


@pytest.mark.parametrize(
    ("voucher", "at_s"),
    [(TOO_LITTLE, 60), (None, 60), (ALL_OF_IT, 31 + SUSPENDED_FOR.total_seconds())],
    ids=["too little", "nothing", "another day"],
)
async def test_what_lapsed_counts_only_by_a_receipt_that_shows_it_the_same_day(
    shop: Shop, voucher: str | None, at_s: float
) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await reserved(pos)
        await printed(shop, paper(8), code="TS1002", at_s=50)

        assert await printed(shop, paper(9, voucher), at_s=at_s) is None

        assert states(await pos.told("GET", f"/{name}")) == ["lapsed"]
    assert redeemed(shop) == []


async def test_what_lapsed_is_not_counted_by_a_receipt_of_before_it_was_chosen(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        await reserved(pos)
    await printed(shop, paper(8), code="TS1002", at_s=50)
    [receipt] = decode(paper(7), OPTIONS).receipts
    receipt = replace(receipt, member=MemberReference(code="TS1001"))

    booked = await shop.store.write(lambda writing: book(writing, receipt, at(25), boot=BOOT, rules=shop.rules))

    assert booked.settlement is not None
    assert (booked.settlement.code, booked.settlement.reward) == ("TS1001", None)
    assert redeemed(shop) == []


async def test_what_was_chosen_again_after_it_lapsed_counts_once(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        await reserved(pos)
        await printed(shop, paper(8), code="TS1002", at_s=50)
        await reserved(pos)

        assert await printed(shop, paper(9), at_s=60) == "confirmed"
        assert await printed(shop, paper(10), at_s=70) is None

    assert len(redeemed(shop)) == 1


async def test_what_a_pos_voided_no_paper_brings_back(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await reserved(pos, by_page=False)
        assert states(await pos.told("POST", f"/{name}/void")) == ["lapsed"]

        assert await printed(shop, paper(7)) is None

    assert redeemed(shop) == []


async def coded(shop: Shop, number: int) -> str | None:
    """What the page says of the reward once a receipt of Ana's was made of the code on its paper."""
    [text] = decode(paper(number), OPTIONS).receipts
    code = replace(text, lines=(), tenders=(), member=MemberReference(code="TS1001"))
    booked = await shop.store.write(lambda writing: book(writing, code, at(40), boot=BOOT, rules=shop.rules))
    assert booked.settlement is not None
    return booked.settlement.reward


@pytest.mark.parametrize("is_interrupted", [True, False])
@pytest.mark.parametrize("is_shown", [True, False])
async def test_a_receipt_without_lines_waits_for_its_text(shop: Shop, is_shown: bool, is_interrupted: bool) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await reserved(pos)
        assert await coded(shop, 7) is None
        assert states(await pos.told("GET", f"/{name}")) == ["reserved"]
        if is_interrupted:
            await printed(shop, paper(8), code="TS1002", at_s=50)

        # when its text comes
        await printed(shop, paper(7, ALL_OF_IT if is_shown else None), code=None, at_s=60)

        report = await pos.told("GET", f"/{name}")
    not_given = "lapsed" if is_interrupted else "released"
    assert states(report) == ["confirmed" if is_shown else not_given]
    assert [body.receipt for body in redeemed(shop)] == ([report["receipt"]] if is_shown else [])


async def test_a_text_that_came_late_decides_nothing_of_a_later_sale(shop: Shop) -> None:
    await ready(shop)
    clock = Clock()
    async with till(shop, clock) as pos:
        await coded(shop, 7)
        clock.passed = timedelta(seconds=20)
        name = await reserved(pos)

        await printed(shop, paper(7, None), code=None, at_s=60)

        assert states(await pos.told("GET", f"/{name}")) == ["reserved"]


async def test_a_receipt_without_lines_that_shows_the_discount_confirms_it(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        await reserved(pos)
    [text] = decode(paper(7), OPTIONS).receipts
    total = replace(text, lines=(), member=MemberReference(code="TS1001"))

    booked = await shop.store.write(lambda writing: book(writing, total, at(40), boot=BOOT, rules=shop.rules))

    assert booked.settlement is not None
    assert booked.settlement.reward == "confirmed"


async def test_a_return_and_a_training_receipt_change_nothing(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await reserved(pos)

        assert await printed(shop, paper(7, head="TRAINING MODE\n")) is None
        assert await printed(shop, paper(8, head="RETURN OF RECEIPT NO 5\n")) is None

        assert states(await pos.told("GET", f"/{name}")) == ["reserved"]
    assert redeemed(shop) == []


@pytest.mark.parametrize("code", ["TS1001", "TS1002", None])
async def test_a_receipt_that_was_printed_before_the_reservation_decides_nothing_of_it(
    shop: Shop, code: str | None
) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await reserved(pos)  # at 10:00:30

        assert await printed(shop, paper(6, None), code=code, at_s=25) is None

        assert states(await pos.told("GET", f"/{name}")) == ["reserved"]
        # and the sale's own receipt finds it
        assert await printed(shop, paper(7)) == "confirmed"


async def test_a_receipt_that_was_posted_late_decides_nothing_of_a_later_sale(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await reserved(pos)
        [receipt] = decode(paper(6, None, issued="07:59"), OPTIONS).receipts
        posted = replace(receipt, source="json", member=MemberReference(code="TS1001"))
        now = Instant(wall=MORNING + timedelta(seconds=40), boot=BOOT, monotonic_ns=40_000_000_000)

        booked = await shop.store.write(lambda writing: book(writing, posted, now, boot=BOOT, rules=shop.rules))

        assert booked.settlement is not None
        assert booked.settlement.reward is None
        assert states(await pos.told("GET", f"/{name}")) == ["reserved"]


async def test_what_was_heard_at_the_printer_is_believed_whatever_the_tills_clock_says(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        await reserved(pos)

        assert await printed(shop, paper(7, issued="03:00")) == "confirmed"


async def test_a_till_whose_clock_missed_summer_time_is_believed(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        await reserved(pos)

        assert await printed(shop, paper(7, issued="09:00")) == "confirmed"


@pytest.mark.parametrize(("hours", "reward"), [(1, "confirmed"), (3, None)])
async def test_the_clock_of_a_database_or_a_file_is_believed_as_far_as_a_tills(
    shop: Shop, hours: int, reward: str | None
) -> None:
    await ready(shop)
    async with till(shop) as pos:
        await reserved(pos)
    [receipt] = decode(paper(7), OPTIONS).receipts
    receipt = replace(receipt, issued_at=UNSET, member=MemberReference(code="TS1001"))
    told = Instant(wall=MORNING - timedelta(hours=hours), boot="", monotonic_ns=0)

    booked = await shop.store.write(lambda writing: book(writing, receipt, told, boot=BOOT, rules=shop.rules))

    assert booked.settlement is not None
    assert booked.settlement.reward == reward


@pytest.mark.parametrize(("boot", "reward"), [(BOOT, "confirmed"), ("boot-2", None)])
async def test_a_clock_that_is_put_back_within_a_sale_does_not_put_its_receipt_before_it(
    shop: Shop, boot: str, reward: str | None
) -> None:
    """Of before a restart the order is the clock's."""
    await ready(shop)
    async with till(shop) as pos:
        await reserved(pos)
        [chosen] = shop.store.reserved_redemptions()
    assert chosen.reserved is not None
    [receipt] = decode(paper(7), OPTIONS).receipts
    receipt = replace(receipt, issued_at=UNSET, member=MemberReference(code="TS1001"))
    later = Instant(
        wall=chosen.at - timedelta(hours=1), boot=boot, monotonic_ns=chosen.reserved.monotonic_ns + 60 * 10**9
    )

    booked = await shop.store.write(lambda writing: book(writing, receipt, later, boot=boot, rules=shop.rules))

    assert booked.settlement is not None
    assert booked.settlement.reward == reward


async def test_a_reward_chosen_after_a_late_receipt_keeps_those_before_it(shop: Shop) -> None:
    await ready(shop)
    clock = Clock()
    async with till(shop, clock) as pos:
        name = await reserved(pos)
        clock.passed = timedelta(seconds=60)
        await pos.told("POST", f"/{name}/redemptions", {"reward": "tea"})

        assert await printed(shop, paper(6, None), at_s=60) is None

        assert states(await pos.told("GET", f"/{name}")) == ["reserved", "reserved"]


async def test_of_two_open_sales_of_a_member_a_receipt_ends_one(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        first, second = await reserved(pos), await reserved(pos)

        assert await printed(shop, paper(7)) == "confirmed"
        await printed(shop, paper(7, head="CASHIER: ANA\n"), code=None)  # a fuller print of it
        assert len(shop.bodies()) == 2

        found = [states(await pos.told("GET", f"/{name}")) for name in (first, second)]
    assert found == [["reserved"], ["confirmed"]]


def dear(number: int) -> dict[str, Any]:
    """A basket of other goods than `paper` has."""
    return sale(number, total_minor=90000, tenders=[], lines=[{"position": 1, "amount_minor": 90000}])


@pytest.mark.parametrize(
    ("first", "second", "ended"),
    [(sale(1), dear(2), 0), (dear(2), sale(1), 1), (sale(1), dear(7), 1), (dear(7), sale(1), 0)],
    ids=["its goods", "its goods later", "its number later", "its number"],
)
async def test_of_two_open_sales_a_receipt_ends_the_one_that_it_is_of(
    shop: Shop, first: dict[str, Any], second: dict[str, Any], ended: int
) -> None:
    await ready(shop)
    async with till(shop) as pos:
        names = [await reserved(pos, by_page=False, basket=basket) for basket in (first, second)]

        assert await printed(shop, paper(7)) == "confirmed"

        found = [states(await pos.told("GET", f"/{name}")) for name in names]
    assert [place for place, one in enumerate(found) if one == ["confirmed"]] == [ended]


def chosen_on_page(writing: Writing) -> None:
    """A reward of Ana's, for a sale of which nobody told the goods."""
    one = KeptRedemption(
        id="r-page",
        sale="s-page",
        member=ANA.member,
        reward="r5",
        times=1,
        points=500,
        discount_minor=5000,
        draws=(Draw(allowance="a-1", points=500),),
        at=at(31).wall,
        reserved=at(31),
    )
    writing.open_sale("s-page", at(31), by_page=True)
    writing.reserve(one)


@pytest.mark.parametrize(("basket", "confirmed"), [(sale(1), ["confirmed"]), (dear(2), ["reserved"])])
async def test_a_sale_of_the_page_is_ended_before_one_of_other_goods_alone(
    shop: Shop, basket: dict[str, Any], confirmed: list[str]
) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await reserved(pos, by_page=False, basket=basket)
        await shop.store.write(chosen_on_page)

        assert await printed(shop, paper(7)) == "confirmed"

        assert states(await pos.told("GET", f"/{name}")) == confirmed


async def test_a_receipt_without_lines_ends_the_sale_that_comes_to_its_total(shop: Shop) -> None:
    await ready(shop)
    [text] = decode(paper(7), OPTIONS).receipts
    total = replace(text, lines=(), member=MemberReference(code="TS1001"))
    async with till(shop) as pos:
        names = [await reserved(pos), await reserved(pos, basket=dear(2))]

        await shop.store.write(lambda writing: book(writing, total, at(40), boot=BOOT, rules=shop.rules))

        assert [states(await pos.told("GET", f"/{name}")) for name in names] == [["confirmed"], ["reserved"]]


async def test_two_rewards_of_a_sale_stand_and_fall_together(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await reserved(pos)
        await pos.told("POST", f"/{name}/redemptions", {"reward": "tea"})

        # 50.00 of the 60.00 that both take off
        assert await printed(shop, paper(7)) == "released"

        assert states(await pos.told("GET", f"/{name}")) == ["released", "released"]


BOUGHT = Receipt(
    key="k", kind="sale", currency="RSD", total_minor=900, lines=(Line(position=1, amount_minor=900, discount_minor=0),)
)


def _with(**facts: Any) -> Receipt:
    return replace(BOUGHT, **facts)


@pytest.mark.parametrize(
    ("receipt", "minor"),
    [
        (BOUGHT, 0),
        (_with(lines=(Line(position=1, amount_minor=900, discount_minor=100),)), 100),
        (_with(lines=(Line(position=1, amount_minor=900, discount_minor=100, voided=True),)), 0),
        (_with(discounts=(Discount(description="Points", amount_minor=70),)), 70),
        (_with(tenders=(Tender(kind="voucher", amount_minor=50), Tender(kind="points", amount_minor=5))), 55),
        (_with(tenders=(Tender(kind="card", amount_minor=500), Tender(kind="coupon", amount_minor=5))), 0),
    ],
)
def test_what_a_receipt_shows_as_taken_off(receipt: Receipt, minor: int) -> None:
    assert shown_minor(receipt) == minor


async def test_a_restart_between_the_reward_and_the_paper_changes_nothing(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        await reserved(pos)
    shop.reopen()

    assert await printed(shop, paper(7)) == "confirmed"

    assert [body.points for body in redeemed(shop)] == [500]


async def test_what_is_asked_back_while_a_customer_has_it_goes_back_once_the_paper_is_there(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        await reserved(pos)
        # when another register asks for the points, nothing goes back yet
        await grant(shop, 1000, number=2, name="a-1", recalled=True)
        assert given_back(shop) == []

        assert await printed(shop, paper(7)) == "confirmed"

    assert given_back(shop) == [500]


def given_back(shop: Shop) -> list[int]:
    entries = [shop.store.entry(one.number) for one in shop.store.queue() if one.kind == "allowance_return"]
    return [msgspec.json.decode(entry.json, type=AllowanceReturnBody).points for entry in entries]
