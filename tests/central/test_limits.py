"""A card that is used too often: its sales are kept, flagged, and held until a person looked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from central import cashiers, ledger, limits, operations, receipts, review, reward_terms, settling
from central.db import tables
from central.stored import stored_receipt
from loyalty.limits import USUAL, Limits
from loyalty.program import program_hash
from loyalty.receipt import Line, Original, Receipt
from tests.central.conftest import RunningCentre
from tests.central.redeeming import UNIT, Shop, rewards
from tests.central.test_canonical_stories import in_force, terms
from tests.central.till import NOON, Till, receipt, returned


def limited(centre: RunningCentre, wanted: Limits = USUAL) -> None:
    in_force(centre, terms())
    centre.write(lambda connection: limits.set_limits(connection, wanted, "as usual", NOON))


def sales(count: int, first: int = 1, **facts: Any) -> list[Receipt]:
    return [receipt(first + number, **({"code": "TS0001", "operator": "Savka"} | facts)) for number in range(count)]


def states(centre: RunningCentre) -> list[str]:
    table = tables.receipts
    query = table.select().order_by(table.c.issued_at)
    return [row.state for row in centre.read(lambda connection: connection.execute(query).all())]


@pytest.mark.parametrize("batches", [1, 20], ids=["in one batch", "one by one"])
async def test_a_cashiers_own_card_twenty_times(centre: RunningCentre, batches: int) -> None:
    limited(centre)
    till = await centre.till()
    own, at_once = sales(20), 20 // batches
    answers = [await till.sell(*own[start : start + at_once]) for start in range(0, 20, at_once)]
    # then no sale is dropped, and its register hears which are held
    outcomes = [outcome for answer in answers for outcome in answer.outcomes]
    assert {outcome.code for outcome in outcomes} == {"accepted"}
    assert [outcome.detail for outcome in outcomes if outcome.detail] == [receipts.TOO_MANY] * 12
    # and only what a regular may buy counts
    assert states(centre) == [ledger.SETTLED] * 8 + [ledger.OVER_LIMIT] * 12
    assert centre.points("m1") == 800
    shown = {one.key: one.because for one in centre.read(review.held).receipts}
    assert shown[own[19].key] == "sale 20 for one member by one cashier within 24 hours, where 8 count without a look"
    # when the manager says that one is right, it counts, and the others wait on
    done = centre.write(lambda connection: review.accept(connection, own[8].key, None, NOON))
    assert (done.state, centre.points("m1")) == (ledger.SETTLED, 900)


async def test_other_cashiers_cards_and_days_are_no_concern(centre: RunningCentre) -> None:
    limited(centre, Limits(cashier=2, card=4))
    till = await centre.till()
    await till.sell(*sales(2), *sales(2, 3, operator="Mira"), *sales(3, 5, code="TS0002"))
    await till.sell(*(receipt(30 + day, code="TS0001", issued_at=NOON + timedelta(days=day)) for day in (-2, -4)))
    assert set(states(centre)) == {ledger.SETTLED, ledger.OVER_LIMIT}
    assert states(centre).count(ledger.OVER_LIMIT) == 1  # the third of m2 by Savka
    assert centre.points("m1") == 600


async def test_a_return_of_what_is_held_takes_nothing(centre: RunningCentre) -> None:
    limited(centre, Limits(member=1))
    till = await centre.till()
    first, second = sales(2)
    await till.sell(first, second, returned(3, second, operator="Savka"))
    assert centre.points("m1") == 100
    centre.write(lambda connection: review.accept(connection, second.key, None, NOON))
    assert centre.points("m1") == 100


async def test_what_is_held_stays_so_until_somebody_looked(centre: RunningCentre) -> None:
    limited(centre, Limits(member=1))
    till = await centre.till()
    first, second = sales(2)
    await till.sell(first, second)
    # when the limit is lifted and the receipt is heard of again
    centre.write(lambda connection: limits.set_limits(connection, Limits(), "too strict", NOON))
    centre.write(lambda connection: settling.arrived(connection, stored_receipt(connection, second.key)))
    assert states(centre) == [ledger.SETTLED, ledger.OVER_LIMIT]
    assert [one.because for one in centre.read(review.held).receipts] == ["more sales than count without a look"]


async def test_what_was_bought_before_a_card_had_a_name_is_counted_too(centre: RunningCentre) -> None:
    limited(centre, Limits(card=3))
    till = await centre.till()
    await till.sell(*sales(5, code="NEW-1"))
    centre.write(lambda connection: operations.link(connection, "m1", "NEW-1", NOON))
    assert states(centre) == [ledger.SETTLED] * 3 + [ledger.OVER_LIMIT] * 2


async def test_a_manager_sees_who_uses_whose_cards(centre: RunningCentre) -> None:
    limited(centre)
    till = await centre.till()
    await till.sell(*sales(10), *sales(2, 20, operator="Mira", code="TS0002"))
    await till.sell(*(receipt(40 + number, operator="Mira", code=f"GUESS{number}") for number in range(7)))
    await till.sell(receipt(60, operator="Mira"))
    shown = centre.read(lambda connection: cashiers.report(connection, NOON - timedelta(days=1)))
    savka, mira = shown.cashiers
    assert (savka.cashier, savka.sales, savka.with_member, savka.members, savka.held) == ("Savka", 10, 10, 1, 2)
    assert (savka.member, savka.most_for_one, savka.unknown_codes) == ("m1", 10, 0)
    assert (mira.cashier, mira.sales, mira.with_member, mira.members, mira.held) == ("Mira", 10, 2, 1, 0)
    assert (mira.member, mira.most_for_one, mira.unknown_codes) == ("m2", 2, 7)
    assert centre.read(lambda connection: cashiers.report(connection, NOON, store="13")).cashiers == ()


async def test_a_sale_without_a_time_is_in_the_report_when_it_was_received(centre: RunningCentre) -> None:
    limited(centre, Limits(cashier=2))
    till = await centre.till()
    await till.sell(*sales(3, issued_at=UNSET))
    [savka] = centre.read(lambda connection: cashiers.report(connection, NOON - timedelta(days=1))).cashiers
    assert (savka.cashier, savka.sales, savka.most_for_one, savka.held) == ("Savka", 3, 3, 1)
    assert centre.read(lambda connection: cashiers.report(connection, NOON + timedelta(days=9_000))).cashiers == ()


@pytest.mark.parametrize(
    "issued_at", ["0001-01-01T00:00:00+00:00", "9999-12-31T23:30:00-01:00", "1970-01-01T00:00:00+00:00"]
)
async def test_a_time_that_cannot_be_holds_up_nobody(centre: RunningCentre, issued_at: str) -> None:
    limited(centre)
    till = await centre.till()
    odd = receipt(1, code="TS0001", issued_at=datetime.fromisoformat(issued_at))
    answer = await till.sell(odd, *sales(2, 2))
    assert [outcome.seq for outcome in answer.outcomes] == [1, 2, 3]
    assert centre.points("m1") == 200


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one by one"])
async def test_what_is_taken_by_itself_is_counted_for_those_behind_it(centre: RunningCentre, together: bool) -> None:
    limited(centre, Limits(member=3))
    till = await centre.till()
    parked = [replace(one, status="suspended") for one in sales(2)]
    entries = [*parked, *sales(2), *sales(4, 3)]
    for some in [entries] if together else [[one] for one in entries]:
        await till.sell(*some)
    assert states(centre).count(ledger.OVER_LIMIT) == 3
    assert centre.points("m1") == 300


NEWEST_FIRST = list(reversed(range(20)))
IN_BLOCKS = [*range(12, 20), *range(4, 12), *range(4)]


@pytest.mark.parametrize("at_once", [1, 4, 20], ids=["one by one", "in batches", "in one batch"])
@pytest.mark.parametrize("order", [NEWEST_FIRST, IN_BLOCKS], ids=["newest first", "in blocks"])
async def test_no_order_of_arrival_lets_more_count(centre: RunningCentre, order: list[int], at_once: int) -> None:
    # Given a cashier's own card at one register that has a network and at one that has none
    limited(centre)
    till = await centre.till()
    own = sales(20)
    # When the sales come in another order than they were
    for start in range(0, 20, at_once):
        await till.sell(*(own[place] for place in order[start : start + at_once]))
    # Then as many are held as if they had come in theirs
    assert states(centre).count(ledger.OVER_LIMIT) == 12
    assert centre.points("m1") == 800
    assert len(centre.read(review.held).receipts) == 12


async def test_what_counted_goes_on_counting(centre: RunningCentre) -> None:
    limited(centre, Limits(member=2))
    till = await centre.till()
    late, *counted = sales(3)
    await till.sell(*counted)
    assert centre.points("m1") == 200
    # When an earlier sale comes late, it is the one too many
    await till.sell(late)
    assert states(centre) == [ledger.OVER_LIMIT, ledger.SETTLED, ledger.SETTLED]
    [waits] = centre.read(review.held).receipts
    assert waits.because == "sale 3 for one member within 24 hours, where 2 count without a look"
    # When a person lets it count, the limit is lowered, and a counted sale is heard of with more facts
    centre.write(lambda connection: review.accept(connection, late.key, None, NOON))
    centre.write(lambda connection: limits.set_limits(connection, Limits(member=1), "stricter", NOON))
    centre.write(lambda connection: settling.arrived(connection, stored_receipt(connection, counted[1].key)))
    assert states(centre) == [ledger.SETTLED] * 3


async def test_a_parked_sale_is_not_counted_in_a_batch_either(centre: RunningCentre) -> None:
    limited(centre, Limits(member=2))
    till = await centre.till()
    parked, *sold = sales(3)
    await till.sell(replace(parked, status="suspended"), *sold)
    assert ledger.OVER_LIMIT not in states(centre)


async def test_a_return_of_what_is_held_counts_with_it(centre: RunningCentre) -> None:
    limited(centre, Limits(member=1))
    till = await centre.till()
    first, second = sales(2)
    back = returned(3, second)
    await till.sell(first, second, back)
    shown = {one.key: one.with_sale for one in centre.read(review.held).receipts}
    assert shown == {second.key: False, back.key: True}
    with pytest.raises(review.NotHeldError, match="gives back a sale that is held"):
        centre.write(lambda connection: review.accept(connection, back.key, None, NOON))
    centre.write(lambda connection: review.accept(connection, second.key, None, NOON))
    assert centre.read(review.held).receipts == ()


async def test_an_exchange_is_counted_and_not_held(centre: RunningCentre) -> None:
    limited(centre, Limits(member=2))
    till = await centre.till()
    first, *more = sales(3)
    swapped = replace(
        receipt(2, 0, code="TS0001", kind="exchange", original=Original(number=first.number)),
        lines=(Line(position=1, amount_minor=-100_00), Line(position=2, amount_minor=100_00)),
    )
    await till.sell(first, swapped, more[1])
    assert states(centre) == [ledger.SETTLED, ledger.SETTLED, ledger.OVER_LIMIT]


# ---- what is given to a member later


@pytest.mark.parametrize("comes_first", [True, False], ids=["after its receipt", "before its receipt"])
async def test_a_sale_that_is_given_to_somebody_long_after_it_is_held(
    centre: RunningCentre, *, comes_first: bool
) -> None:
    limited(centre)
    till = await centre.till()
    # Given sales that were nobody's; a till's clock is another than that of its register
    hour = timedelta(hours=1)
    early, late, taken_up = (
        replace(one, captured_at=NOON + timedelta(minutes=place), issued_at=NOON + 9 * hour)
        for place, one in enumerate([receipt(number, operator="Savka") for number in (1, 2, 3)])
    )
    # When they are given to a member: within the time that the page leaves, the next day, and both
    for sold, at in ((early, NOON + hour), (late, NOON + 24 * hour), (taken_up, NOON + 2 * hour)):
        if comes_first:
            till.sale(sold)
        till.attach(sold.key, "TS0001", at)
        if not comes_first:
            till.sale(sold)
    answer = await till.send(1)
    # Then no sale is dropped, what came late is held with the reason, and the others count
    assert {outcome.code for outcome in answer.outcomes} == {"accepted"}
    assert [outcome.detail for outcome in answer.outcomes].count(receipts.TOO_MANY) == 1
    assert centre.points("m1") == 200
    [waits] = centre.read(review.held).receipts
    assert (waits.key, waits.member) == (late.key, "m1")
    assert waits.because == "given to its member 1439 minutes from it, where 120 pass without a look"
    # And the manager sees whose sales were given away
    [savka] = centre.read(lambda connection: cashiers.report(connection, NOON)).cashiers
    assert (savka.cashier, savka.given_late, savka.held) == ("Savka", 3, 1)
    done = centre.write(lambda connection: review.accept(connection, late.key, None, NOON))
    assert (done.state, centre.points("m1")) == (ledger.SETTLED, 300)


async def test_at_any_time_a_sale_is_given_away_where_no_limit_says_otherwise(centre: RunningCentre) -> None:
    limited(centre, Limits(member=9))
    till = await centre.till()
    [sold] = await nobodys(till, 1)
    till.attach(sold.key, "TS0001", NOON + timedelta(days=30))
    await till.send(2)
    assert states(centre) == [ledger.SETTLED]


async def test_what_is_given_away_is_counted_as_any_sale(centre: RunningCentre) -> None:
    limited(centre, Limits(cashier=2))
    till = await centre.till()
    first, second, third = await nobodys(till, 3)
    for sold in (first, second, third):
        till.attach(sold.key, "TS0001", NOON + timedelta(minutes=9))
    answer = await till.send(4)
    assert [outcome.detail or "" for outcome in answer.outcomes] == ["", "", receipts.TOO_MANY]
    assert states(centre) == [ledger.SETTLED] * 2 + [ledger.OVER_LIMIT]
    # A sale that came with its member is no late one
    await till.sell(receipt(9, code="TS0002", operator="Savka"))
    [savka] = centre.read(lambda connection: cashiers.report(connection, NOON)).cashiers
    assert (savka.sales, savka.given_late, savka.held) == (4, 3, 1)


async def test_a_return_that_is_given_to_somebody_stands_as_its_sale(centre: RunningCentre) -> None:
    limited(centre)
    till = await centre.till()
    [sold] = await nobodys(till, 1)
    back = returned(2, sold)
    await till.sell(back)
    for one, at in ((sold, NOON), (back, NOON + timedelta(days=9))):
        till.attach(one.key, "TS0001", at)
    await till.send(3)
    assert set(states(centre)) == {ledger.SETTLED}


async def nobodys(till: Till, count: int) -> list[Receipt]:
    """So many sales of one cashier without a member."""
    sold = [receipt(number, operator="Savka") for number in range(1, count + 1)]
    await till.sell(*sold)
    return sold


# ---- rewards


@pytest.fixture
def shop(data: Path) -> Iterator[Shop]:
    made = Shop(data, rewards())
    made.write(lambda connection: limits.set_limits(connection, Limits(cashier=2), "as usual", NOON, "reward"))
    yield made
    made.database.close()


def give(shop: Shop, till: Till, number: int, cashier: str = "Savka") -> str:
    """A sale by this cashier on which a reward was given; the key of that."""
    shop.now += timedelta(minutes=1)
    sold = shop.sell(till, 500, operator=cashier)
    shop.redeem(till, UNIT, key=f"r{number}", receipt=sold.key)
    return sold.key


def state_of(shop: Shop, key: str) -> str:
    return str(shop.read(lambda connection: stored_receipt(connection, key)).state)


def test_a_cashier_who_gives_one_member_too_many_rewards_is_shown_and_no_sale_is_dropped(shop: Shop) -> None:
    # given a member with points for rewards
    till = shop.till()
    shop.sell(till, 1000)
    # when one cashier gives more of them than are given without a look, and another gives one
    sold = [give(shop, till, number) for number in range(1, 4)]
    other = give(shop, till, 4, cashier="Mira")
    # then what was given was given, what is one too many is flagged, and its sale is held
    assert [shop.redemption(f"r{number}").problems for number in range(1, 5)] == ["[]", "[]", '["over_limit"]', "[]"]
    held = [ledger.SETTLED, ledger.SETTLED, ledger.OVER_LIMIT, ledger.SETTLED]
    assert [state_of(shop, key) for key in (*sold, other)] == held
    assert shop.balance().confirmed == 1000 + 1500 - 4 * UNIT
    [waits] = shop.read(review.held).receipts
    assert waits.because == "more rewards than are given without a look"
    # and the manager sees who gave it
    [flagged] = shop.read(lambda connection: cashiers.flagged(connection, NOON, "12")).rewards
    assert (flagged.redemption, flagged.cashier, flagged.problems) == ("r3", "Savka", ("over_limit",))
    rows = shop.read(lambda connection: cashiers.report(connection, NOON)).cashiers
    assert {row.cashier: (row.rewards, row.flagged) for row in rows if row.cashier} == {"Savka": (3, 1), "Mira": (1, 0)}
    # when the manager says that it is right, the sale counts
    shop.write(lambda connection: review.accept(connection, sold[2], None, shop.now))
    assert shop.balance().confirmed == 1000 + 2000 - 4 * UNIT


def test_who_gives_rewards_and_sells_nothing_is_in_the_report_of_their_store_alone(shop: Shop) -> None:
    till = shop.till()
    shop.sell(till, 1000, operator="Savka", store="12")
    shop.redeem(till, UNIT, operator="Mira")

    def report(store: str) -> dict[str, tuple[int, int]]:
        rows = shop.read(lambda connection: cashiers.report(connection, NOON, store)).cashiers
        return {row.cashier: (row.sales, row.rewards) for row in rows}

    assert report("12") == report("") == {"Savka": (1, 0), "Mira": (0, 1)}
    assert report("13") == {}


def test_rewards_given_at_once_are_counted_one_by_one(shop: Shop) -> None:
    shop.write(lambda connection: limits.set_limits(connection, Limits(member=6), "as usual", NOON, "reward"))
    till = shop.till()
    shop.sell(till, 1000)
    shop.redeem(till, 3 * UNIT, key="r1", times=3)
    shop.redeem(till, 2 * UNIT, key="r2", times=2)
    shop.redeem(till, UNIT, key="r3")
    shop.redeem(till, UNIT, key="r4")

    assert [shop.redemption(f"r{number}").problems for number in range(1, 5)] == ["[]", "[]", "[]", '["over_limit"]']


@pytest.mark.parametrize("by", ["what was set aside", "the balance"])
def test_a_register_whose_clock_was_set_back_evades_no_limit(shop: Shop, by: str) -> None:
    shop.write(lambda connection: limits.set_limits(connection, Limits(member=2), "as usual", NOON, "reward"))
    till = shop.till()
    shop.sell(till, 1000)
    # when each reward is said to be of two days before the one before it
    for number in range(1, 5):
        draws = [(shop.grant(till, UNIT).allowance, UNIT)] if by == "what was set aside" else []
        sold = shop.sell(till, 500)
        shop.redeem(till, UNIT, *draws, key=f"r{number}", receipt=sold.key, at=shop.now - timedelta(days=2 * number))

    assert [shop.redemption(f"r{number}").problems for number in (1, 2)] == ["[]"] * 2
    assert [shop.redemption(f"r{number}").problems for number in (3, 4)] == ['["over_limit"]'] * 2
    report = shop.read(lambda connection: cashiers.report(connection, shop.now - timedelta(hours=1))).cashiers
    assert sum(row.rewards for row in report) == 4


def test_a_reward_that_was_reserved_the_day_before_its_sale_keeps_its_time(shop: Shop) -> None:
    till = shop.till()
    shop.sell(till, 1000)
    before = shop.now - timedelta(hours=20)
    sold = shop.sell(till, 500)
    shop.redeem(till, UNIT, key="r1", receipt=sold.key, at=before)

    assert shop.redemption("r1").at == before


def test_a_sale_that_comes_after_its_reward_is_held_for_it(shop: Shop) -> None:
    till = shop.till()
    shop.write(lambda connection: limits.set_limits(connection, Limits(member=1), "strict", NOON, "reward"))
    shop.sell(till, 1000)
    give(shop, till, 1)
    late = receipt(90, 10, code="TS0001", issued_at=shop.now)
    shop.redeem(till, UNIT, key="r2", receipt=late.key)

    till.sale(late)
    shop.send(till, len(till.sent))

    assert state_of(shop, late.key) == ledger.OVER_LIMIT


def test_rewards_that_were_taken_back_or_are_of_another_day_are_not_counted(shop: Shop) -> None:
    till = shop.till()
    shop.sell(till, 1000)
    for number in (1, 2):
        give(shop, till, number)
    shop.release(till, "r2")
    give(shop, till, 3)
    shop.now += timedelta(days=2)
    give(shop, till, 4)

    assert [shop.redemption(f"r{number}").problems for number in (3, 4)] == ["[]", "[]"]


def test_rewards_on_sales_that_were_voided_are_not_counted(shop: Shop) -> None:
    # given as many rewards as are given without a look
    till = shop.till()
    shop.sell(till, 1000)
    for number in (1, 2):
        give(shop, till, number)
    sold = receipt(shop.sold, 500, code="TS0001", issued_at=shop.now, register=till.device[:8], operator="Savka")
    # when the sale of one was voided, and it is given anew
    till.sale(replace(sold, status="voided"))
    shop.send(till, len(till.sent))
    give(shop, till, 3)
    # then nothing is one too many, and the report has what stands
    assert [shop.redemption(f"r{number}").problems for number in (1, 2, 3)] == ["[]"] * 3
    report = shop.read(lambda connection: cashiers.report(connection, NOON)).cashiers
    assert sum(row.rewards for row in report) == 2


@pytest.mark.parametrize(
    "wanted", [Limits(cashier=2), Limits(register=2), Limits(card=2)], ids=["cashier", "register", "card"]
)
@pytest.mark.parametrize("comes_first", [True, False], ids=["the receipt first", "its reward first"])
def test_a_reward_is_counted_by_what_its_receipt_says_whenever_that_comes(
    shop: Shop, wanted: Limits, *, comes_first: bool
) -> None:
    shop.write(lambda connection: limits.set_limits(connection, wanted, "strict", NOON, "reward"))
    till, other = shop.till(), shop.till("2")
    shop.sell(till, 1000)

    def given(number: int, at: Till, **facts: str) -> str:
        shop.now += timedelta(minutes=1)
        sold = receipt(50 + number, 500, **({"code": "TS0001", "operator": "Savka"} | facts))
        if comes_first:
            at.sale(sold)
        shop.note_redemption(at, UNIT, key=f"r{number}", receipt=sold.key)
        if not comes_first:
            at.sale(sold)
        shop.send(at, 1)
        return sold.key

    elsewhere = {"register": "2", "code": "TS0001X", "operator": "Mira"}
    given(1, till)
    apart = given(2, other, **elsewhere)
    within = given(3, till)
    over = given(4, till)

    told = [shop.redemption(f"r{number}").problems for number in range(1, 5)]
    assert told == ["[]", "[]", "[]", '["over_limit"]']
    held = [state_of(shop, key) for key in (apart, within, over)]
    assert held[1:] == [ledger.SETTLED, ledger.OVER_LIMIT]
    assert held[0] != ledger.OVER_LIMIT
    # when a stricter limit holds and one that counts is heard of again, it goes on counting
    shop.write(lambda connection: limits.set_limits(connection, Limits(member=1), "stricter", NOON, "reward"))
    shop.write(lambda connection: settling.arrived(connection, stored_receipt(connection, within)))
    assert (shop.redemption("r3").problems, state_of(shop, within)) == ("[]", ledger.SETTLED)


COFFEE = {"id": "coffee", "cost": UNIT, "piece_minor": 0, "when": {"sku_in": ["C1"]}, "offline": "allowance"}


@pytest.mark.parametrize("comes_first", [True, False], ids=["the receipt first", "its reward first"])
@pytest.mark.parametrize(("sku", "problems"), [("C1", ()), ("B1", (reward_terms.NOT_FOR_BASKET,))])
def test_a_reward_on_goods_that_it_is_not_for_counts_and_is_shown(
    data: Path, sku: str, problems: tuple[str, ...], *, comes_first: bool
) -> None:
    # given a member with points for a coffee
    shop = Shop(data, rewards(rewards=[COFFEE]))
    till = shop.till()
    shop.sell(till, 1000)
    # when it was taken off by hand on a receipt that tells its goods
    bought = replace(receipt(2, 250, code="TS0001"), lines=(Line(position=1, amount_minor=250, sku=sku),))
    given = {"key": "r1", "reward": "coffee", "receipt": bought.key}
    if comes_first:
        till.sale(bought)
        shop.send(till, len(till.sent))
        outcome = shop.redeem(till, UNIT, **given)
        assert outcome.detail == (", ".join(problems) or UNSET)
    else:
        shop.redeem(till, UNIT, **given)
        till.sale(bought)
        shop.send(till, len(till.sent))
    # then what was given was given, and what is wrong is for the manager
    assert shop.balance().confirmed == 1250 - UNIT
    assert state_of(shop, bought.key) == ledger.SETTLED
    shown = shop.read(lambda connection: cashiers.flagged(connection, NOON)).rewards
    assert [one.problems for one in shown] == ([problems] if problems else [])
    shop.database.close()


@pytest.mark.parametrize(
    ("points", "more", "problems"),
    [
        (UNIT, {}, UNSET),
        (2 * UNIT, {"times": 2, "discount_minor": 1000}, UNSET),
        (UNIT, {"discount_minor": 501}, reward_terms.OTHER_TERMS),
        (UNIT - 1, {}, reward_terms.OTHER_TERMS),
        (UNIT, {"reward": "none"}, reward_terms.OTHER_TERMS),
        (UNIT, {"discount_minor": 501, "program": "0" * 64}, UNSET),
    ],
    ids=["as offered", "twice", "more off", "less paid", "no such reward", "an unknown program"],
)
def test_a_reward_that_is_not_as_its_program_says_counts_and_is_shown(
    shop: Shop, points: int, more: dict[str, Any], problems: str | UnsetType
) -> None:
    till = shop.till()
    shop.sell(till, 1000)

    outcome = shop.redeem(till, points, **{"program": program_hash(rewards())} | more)

    assert (outcome.code, outcome.detail) == ("accepted", problems)
    assert shop.balance().confirmed == 1000 - points


def test_without_limits_rewards_are_not_counted(shop: Shop) -> None:
    shop.write(lambda connection: limits.set_limits(connection, Limits(), "none", NOON, "reward"))
    till = shop.till()
    shop.sell(till, 1000)

    for number in range(1, 5):
        give(shop, till, number)

    assert shop.redemption("r4").problems == "[]"


def test_rewards_that_come_late_count_for_those_that_were_given_after_them(data: Path) -> None:
    # Given a register without a network that gave two rewards, as many as a member may have
    shop = Shop(data, rewards())
    shop.write(lambda connection: limits.set_limits(connection, Limits(member=2), "two", NOON, "reward"))
    other, away = shop.till(), shop.till("2")
    shop.sell(other, 2000)
    for number in (1, 2):
        shop.now += timedelta(minutes=1)
        shop.note_redemption(away, UNIT, key=f"away{number}")
    # When another gives two more before the first are known
    for number in (1, 2):
        shop.now += timedelta(minutes=1)
        shop.redeem(other, UNIT, key=f"other{number}")
    shop.send(away, 1)
    # Then the later ones are the ones too many, in whichever order they came
    found = {key: shop.redemption(key).problems for key in ("away1", "away2", "other1", "other2")}
    too_many = f'["{limits.OVER_LIMIT}"]'
    assert found == {"away1": "[]", "away2": "[]", "other1": too_many, "other2": too_many}
    shop.database.close()
