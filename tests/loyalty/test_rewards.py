"""What points buy: read as the terms of a shop's rewards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import UNSET, json
from msgspec.structs import replace

from loyalty.member import Counters, Lot, MemberState
from loyalty.next import preview
from loyalty.program import Program, ProgramError, program_from_json
from loyalty.purchase import Known, Purchase
from loyalty.receipt import Discount, Line, Mapped, MemberReference, Receipt
from loyalty.rewards import (
    LineDiscount,
    Missing,
    Offer,
    RewardUnavailableError,
    Taken,
    by_code,
    offers,
    redeemed,
    shared_out,
)
from loyalty.streaks import Streaks, Undoing
from tests.loyalty.receipts import MORNING, sale

FIVE = {"id": "five", "cost": 500, "discount_minor": 500}
TENTH = {"id": "tenth", "cost": 200, "discount_percent": 10}
NOBODY = Known()
COFFEE = {"id": "coffee", "cost": 90, "piece_minor": 0, "when": {"category_in": ["coffee"]}}


def program(*rewards: dict[str, Any], **more: Any) -> Program:
    document = {"program": "P", "currency": "EUR", "time_zone": "Europe/Ljubljana", "earn": [], "rewards": rewards}
    return program_from_json(json.encode(document | more))


def basket(receipt: Receipt, known: Known = NOBODY) -> Purchase:
    return Purchase(receipt, "Europe/Ljubljana", known)


def line(position: int, amount: int, quantity: str | None = None, category: str = "") -> Line:
    mapped = Mapped(category=category) if category else UNSET
    return Line(position=position, amount_minor=amount, quantity=quantity or UNSET, mapped=mapped)


def offered(receipt: Receipt, *rewards: dict[str, Any], points: int = 10_000, taken: tuple[Taken, ...] = ()) -> Offer:
    """The offer of the first of some rewards."""
    name = rewards[0]["id"]
    return next(o for o in offers(basket(receipt), program(*rewards), points, taken) if o.reward == name)


def off(offer: Offer) -> dict[int, int]:
    """What an offer takes off each line, by the line's number."""
    return {each.position: each.amount_minor for each in offer.lines}


# ---- what a voucher brings

SUMMER = {"id": "summer", "code": "SUMMER10", "discount_minor": 100}
ISSUED = {"id": "birthday", "issued": True, "discount_minor": 300, "offline": "allowance"}


def test_a_voucher_brings_its_reward_once_and_costs_nothing() -> None:
    shown, bought = program(FIVE, SUMMER), basket(sale("1", 1000))

    [one] = redeemed(bought, shown, (Taken(reward="summer"),))

    assert (one.points, one.discount_minor) == (0, 100)
    assert [offer.reward for offer in offers(bought, shown, 10_000)] == ["five"]
    with pytest.raises(RewardUnavailableError, match="1 times at most"):
        redeemed(bought, shown, (Taken(reward="summer"), Taken(reward="summer")))


def test_a_voucher_may_count_more_than_once_where_the_program_says_so() -> None:
    shown = program(SUMMER | {"max_per_receipt": 2})

    [one] = redeemed(basket(sale("1", 1000)), shown, (Taken(reward="summer", times=2),))

    assert one.discount_minor == 200


def test_an_issued_voucher_brings_its_reward_once_and_is_offered_to_nobody() -> None:
    shown = program(FIVE, ISSUED)

    [one] = redeemed(basket(sale("1", 1000)), shown, (Taken(reward="birthday"),))

    assert (one.points, one.discount_minor) == (0, 300)
    assert [offer.reward for offer in offers(basket(sale("1", 1000)), shown, 10**6)] == ["five"]
    with pytest.raises(RewardUnavailableError):
        redeemed(basket(sale("1", 1000)), shown, (Taken(reward="birthday", times=2),))


def test_what_vouchers_bring_is_offered_as_often_as_there_are_of_them() -> None:
    shown, bought = program(FIVE, ISSUED | {"max_per_receipt": 3}), basket(sale("1", 1000))

    offer = next(one for one in offers(bought, shown, 0, brought={"birthday": 2}) if one.reward == "birthday")

    assert (offer.cost, offer.times, offer.discount_minor, offer.missing) == (0, 2, 300, ())


def test_a_code_names_one_reward_or_none() -> None:
    shown = program(FIVE, SUMMER)

    assert [one and one.id for one in (by_code(shown, "SUMMER10"), by_code(shown, "WINTER10"))] == ["summer", None]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([FIVE | {"code": "SUMMER10"}], r"\$.rewards\[0\]: give one of cost, in points, stamps, the code"),
        ([{"id": "r", "discount_minor": 1}], r"\$.rewards\[0\]: give one of cost"),
        ([SUMMER | {"offline": "allowance"}], r"\$.rewards\[0\].offline: nothing is spent"),
        ([{"id": "r", "stamps": "coffee", "discount_minor": 1}], r"\$.rewards\[0\].stamps: 'coffee' is no stamp rule"),
        ([SUMMER | {"expires": "P1M"}], r"\$.rewards\[0\].expires: only vouchers that are issued"),
        ([ISSUED | {"expires": "2027-02-30"}], r"\$.rewards\[0\].expires: '2027-02-30' is no day"),
        ([SUMMER | {"issued": True}], r"\$.rewards\[0\]: give one of cost"),
        ([ISSUED | {"offline": "floor", "floor_points": 1}], r"\$.rewards\[0\].offline: an issued voucher, and a card"),
        ([SUMMER | {"code": "summer"}], "Expected a code of 4 to 64 capital letters"),
        ([SUMMER, SUMMER | {"id": "other"}], r"\$.rewards\[1\].code: 'SUMMER10' is another reward's code"),
    ],
)
def test_what_a_voucher_cannot_be(wrong: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(ProgramError, match=said):
        program(*wrong)


# ---- what costs stamps


CARD_OF_TEN = {"id": "coffee", "every": 10, "when": {"line_tag_in": ["coffee"]}}
FREE = {"id": "free", "stamps": "coffee", "piece_minor": 0, "offline": "allowance"}


def stamped(*rewards: dict[str, Any], stamps: Sequence[dict[str, Any]] = (CARD_OF_TEN,)) -> Program:
    document = {"program": "test", "currency": "EUR", "earn": [], "stamps": list(stamps), "rewards": list(rewards)}
    return program_from_json(json.encode(document))


@pytest.mark.parametrize(
    ("has", "leased", "times", "missing"),
    [(0, 0, 0, [10]), (7, 0, 0, [3]), (10, 0, 1, []), (27, 0, 2, []), (7, 1, 1, [])],
)
def test_a_reward_costs_a_full_card_of_stamps(has: int, leased: int, times: int, missing: list[int]) -> None:
    brought = {"free": leased} if leased else {}

    shop = basket(sale("1", 200, 300, 400))
    [offer] = offers(shop, stamped(FREE), 0, brought=brought, stamps={"coffee": has})

    assert (offer.cost, offer.times) == (0, times)
    assert [lack.count for lack in offer.missing if lack.kind == "stamps"] == missing


def test_stamps_of_cards_give_no_points_and_are_all_kept() -> None:
    book = Streaks(Counters(stamps={"coffee": 8}))
    coffees = sale("1", 200, 300, 400)
    tagged = replace(coffees, lines=tuple(replace(line, tags=("coffee",)) for line in coffees.lines))

    assert book.sold(basket(tagged), stamped(FREE)) == []
    assert book.stamps() == {"coffee": 11}
    book.check(basket(tagged), stamped(FREE))
    assert list(book.voided(basket(tagged), Undoing(receipt="back"))) == []
    assert book.stamps() == {"coffee": 8}


def test_the_reward_says_how_many_stamps_are_missing_and_the_rule_nothing() -> None:
    member = MemberState(code="1", counters=Counters(stamps={"coffee": 8}))

    told = preview(sale("1", 200, 300), stamped(FREE), member)

    assert told.could == ()
    assert [(one.reward, one.missing[0].why) for one in told.rewards] == [("free", "2 stamps more")]


@pytest.mark.parametrize(
    ("rewards", "stamps", "said"),
    [
        ([FREE, FREE | {"id": "other"}], [CARD_OF_TEN], r"\$.rewards\[0\].stamps: 'coffee' is spent on another"),
        ([FREE], [CARD_OF_TEN | {"give": {"points": 5}}], r"\$.rewards\[0\].stamps: 'coffee' is no stamp rule without"),
        ([FREE | {"cost": 5}], [CARD_OF_TEN], r"\$.rewards\[0\]: give one of cost, in points, stamps"),
        ([FREE | {"offline": "floor", "floor_points": 1}], [CARD_OF_TEN], r"\$.rewards\[0\].offline: an issued"),
        ([], [CARD_OF_TEN], r"\$.stamps\[0\]: it gives nothing"),
    ],
)
def test_a_card_is_spent_on_one_thing(rewards: list[dict[str, Any]], stamps: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(ProgramError, match=said):
        stamped(*rewards, stamps=stamps)


# ---- what comes off


def test_an_amount_comes_off_all_goods_by_their_share() -> None:
    offer = offered(sale("1", 1000, 2000, 333), FIVE)

    assert off(offer) == {1: 150, 2: 300, 3: 50}
    assert offer.discount_minor == 500


def test_a_percentage_is_rounded_once_for_the_whole_and_then_shared() -> None:
    offer = offered(sale("1", 105, 105, 105), TENTH)

    assert offer.discount_minor == 31
    assert off(offer) == {1: 11, 2: 10, 3: 10}


def test_goods_for_a_cent_bear_their_part_and_a_percentage_of_them_is_taken_from_a_cent_on() -> None:
    assert off(offered(sale("1", 499, 1), FIVE)) == {1: 499, 2: 1}
    assert off(offered(sale("1", 10), TENTH)) == {1: 1}
    assert offered(sale("1", 9), TENTH).times == 0


def test_a_reward_for_some_goods_touches_no_others() -> None:
    goods = sale("1", lines=(line(1, 1000), line(2, 800, category="fruit")))

    offer = offered(goods, TENTH | {"when": {"category_in": ["fruit"]}})

    assert off(offer) == {2: 80}


@pytest.mark.parametrize(("piece", "free"), [("dearest", {3: 250}), ("cheapest", {2: 180})])
def test_one_piece_is_free_the_dearest_or_the_cheapest(piece: str, free: dict[int, int]) -> None:
    goods = (line(1, 9999), line(2, 360, "2", "coffee"), line(3, 250, "1", "coffee"), line(4, 200, "1", "coffee"))

    assert off(offered(sale("1", lines=goods), COFFEE | {"piece": piece})) == free


def test_one_piece_at_a_fixed_price_saves_what_it_costs_more() -> None:
    goods = sale("1", lines=(line(1, 750, "3", "coffee"), line(2, 100, "1", "coffee")))

    offer = offered(goods, COFFEE | {"piece_minor": 100})

    assert off(offer) == {1: 150}
    assert offer.times == 3


@pytest.mark.parametrize("quantity", ["1.280", "2.500", "0.400", "0", None])
def test_goods_by_weight_and_without_a_number_are_one_piece(quantity: str | None) -> None:
    offer = offered(sale("1", lines=(line(1, 640, quantity, "coffee"),)), COFFEE)

    assert off(offer) == {1: 640}
    assert offer.times == 1


def test_what_the_receipt_took_off_already_is_not_given_twice() -> None:
    receipt = replace(sale("1", 1000, 1000), discounts=(Discount(amount_minor=1500),), total_minor=500)

    assert offered(receipt, FIVE).discount_minor == 500
    assert offered(receipt, FIVE | {"discount_minor": 501}).times == 0
    assert offered(receipt, TENTH).discount_minor == 50


def test_lines_below_zero_and_what_is_no_goods_give_nothing() -> None:
    bottle = Line(position=2, amount_minor=25, kind="deposit")
    returned = Line(position=3, amount_minor=-400)

    offer = offered(sale("1", lines=(line(1, 1000), bottle, returned)), TENTH)

    # of the 600 that goods come to
    assert off(offer) == {1: 60}


# ---- how often, and what is missing


def test_it_can_be_had_as_often_as_points_goods_and_terms_allow() -> None:
    goods = sale("1", 1700)

    assert offered(goods, FIVE).times == 3
    assert offered(goods, FIVE, points=1499).times == 2
    assert offered(goods, FIVE | {"max_per_receipt": 1}).times == 1
    assert offered(goods, FIVE | {"min_basket_minor": 800}).times == 2
    assert offered(goods, TENTH).times == 1


def test_an_offer_says_what_it_is_called_and_costs() -> None:
    offer = offered(sale("1", 1700), FIVE | {"title": "Five off"})

    assert (offer.title, offer.cost) == ("Five off", 500)


def test_points_that_are_missing_are_said() -> None:
    offer = offered(sale("1", 1700), FIVE, points=120)

    assert (offer.times, offer.discount_minor) == (0, 0)
    assert offer.missing == (Missing(kind="points", count=380, unit="points", why="380 points more"),)


def test_who_owes_points_misses_the_whole_cost() -> None:
    [missing] = offered(sale("1", 1700), FIVE, points=-40).missing

    assert missing.count == 500


@pytest.mark.parametrize("reward", [FIVE, TENTH])
@pytest.mark.parametrize(("basket_minor", "short", "words"), [(720, 280, "2.80"), (999, 1, "0.01")])
def test_a_basket_that_is_too_small_says_by_how_much(
    reward: dict[str, Any], basket_minor: int, short: int, words: str
) -> None:
    offer = offered(sale("1", basket_minor), reward | {"min_basket_minor": 1000})

    assert offer.missing == (Missing(kind="basket", count=short, unit="minor", why=f"goods for {words} EUR more"),)


def test_money_is_said_as_its_currency_is_written() -> None:
    yen = basket(sale("1", 720, currency="JPY"))

    [offer] = offers(yen, program(FIVE | {"min_basket_minor": 1000}, currency="JPY"), 10_000)

    assert offer.missing[0].why == "goods for 280 JPY more"


def test_goods_worth_less_than_the_reward_do_not_waste_it() -> None:
    [missing] = offered(sale("1", 420), FIVE).missing

    assert (missing.kind, missing.count, missing.unit) == ("goods", 80, "minor")
    assert offered(sale("1", 420), FIVE | {"min_basket_minor": 420}).missing == (missing,)


def test_goods_that_are_missing_are_said_beside_a_basket_that_is_too_small() -> None:
    coffee = {"id": "cup", "cost": 90, "piece_minor": 0, "when": {"category_in": ["coffee"]}, "min_basket_minor": 1000}
    goods = sale("1", 420)

    assert [lack.why for lack in offered(goods, coffee).missing] == ["goods for 5.80 EUR more", "goods it is for"]
    with pytest.raises(RewardUnavailableError, match=r"goods for 5\.80 EUR more; goods it is for$"):
        redeemed(basket(goods), program(coffee), (Taken(reward="cup"),))


def test_a_basket_with_nothing_in_it_yet_misses_the_goods() -> None:
    [missing] = offered(sale("1", 0), FIVE).missing

    assert (missing.kind, missing.count) == ("goods", 500)


@pytest.mark.parametrize("reward", [COFFEE, TENTH | {"when": {"category_in": ["coffee"]}}])
def test_goods_that_are_not_in_the_basket_are_missing(reward: dict[str, Any]) -> None:
    offer = offered(sale("1", 420), reward)

    assert offer.missing == (Missing(kind="goods", count=1, unit="pieces", why="goods it is for"),)


def test_a_piece_that_costs_no_more_than_the_fixed_price_is_not_taken() -> None:
    goods = sale("1", lines=(line(1, 100, "1", "coffee"),))

    assert offered(goods, COFFEE | {"piece_minor": 100}).times == 0
    assert offered(goods, COFFEE | {"piece_minor": 99}).times == 1


# ---- for whom, and when


@pytest.mark.parametrize(
    ("when", "is_meant"),
    [
        ({"tier_in": ["gold"]}, True),
        ({"tier_in": ["silver"]}, False),
        ({"store_in": ["12"]}, True),
        ({"store_in": ["14"]}, False),
        ({"weekday_in": [7]}, True),
        ({"weekday_in": [1]}, False),
    ],
)
def test_a_reward_that_is_not_meant_for_this_member_shop_or_day_is_not_shown(
    when: dict[str, Any], is_meant: bool
) -> None:
    receipt = replace(sale("1", 1700), store="12")
    rules = program(FIVE | {"when": when})

    assert bool(offers(basket(receipt, Known(tier="gold")), rules, 900)) is is_meant
    if not is_meant:
        with pytest.raises(RewardUnavailableError, match="does not hold for this member, shop or day"):
            redeemed(basket(receipt, Known(tier="gold")), rules, [Taken(reward="five")])


@pytest.mark.parametrize(
    ("days", "is_meant"),
    [
        ({"valid_from": "2026-11-22"}, True),
        ({"valid_from": "2026-11-23"}, False),
        ({"valid_until": "2026-11-22"}, True),
        ({"valid_until": "2026-11-21"}, False),
        ({"valid_from": "2026-11-01", "valid_until": "2026-11-30"}, True),
    ],
)
def test_the_days_on_which_it_can_be_had_are_both_included(days: dict[str, str], is_meant: bool) -> None:
    assert bool(offers(basket(sale("1", 1700)), program(FIVE | days), 900)) is is_meant


def test_the_day_is_the_shops_own() -> None:
    # given a quarter past midnight in Ljubljana, which is the day before by UTC
    night = MORNING.replace(hour=0, minute=15)

    assert offered(sale("1", 1700, issued_at=night), FIVE | {"valid_from": "2026-11-22"}).until is UNSET
    assert offered(sale("1", 1700, issued_at=night), FIVE | {"valid_until": "2026-11-22"}).until == "2026-11-22"


def test_a_basket_of_no_known_day_has_nothing_that_days_bound() -> None:
    undated = basket(sale("1", 1700, issued_at=UNSET))

    assert offers(undated, program(FIVE | {"valid_from": "2020-01-01"}), 900) == ()
    assert len(offers(undated, program(FIVE), 900)) == 1


# ---- several together


def test_each_reward_looks_at_what_those_chosen_before_it_left() -> None:
    five, tenth = Taken(reward="five", times=2), Taken(reward="tenth")

    first, then = redeemed(basket(sale("1", 2000)), program(FIVE, TENTH), [tenth, five])
    assert (first.reward, first.times, first.points, first.discount_minor) == ("tenth", 1, 200, 200)
    assert (then.reward, then.times, then.points) == ("five", 2, 1000)
    assert then.lines == (LineDiscount(position=1, amount_minor=1000),)
    assert [each.discount_minor for each in redeemed(basket(sale("1", 2000)), program(FIVE, TENTH), [five, tenth])] == [
        1000,
        100,
    ]


def test_they_are_shown_by_priority_and_then_by_name() -> None:
    shown = offers(basket(sale("1", 2000)), program(TENTH, FIVE, COFFEE | {"priority": -1}), 900)

    assert [offer.reward for offer in shown] == ["coffee", "five", "tenth"]


def test_rewards_of_one_group_do_not_come_together() -> None:
    rewards = (TENTH | {"stack_group": "a"}, FIVE | {"stack_group": "a"})

    offer = offered(sale("1", 2000), *rewards, taken=(Taken(reward="five"),))
    assert offer.times == 0
    assert offer.missing == (
        Missing(kind="stacked", count=None, unit=None, why="it does not come together with 'five'"),
    )
    with pytest.raises(RewardUnavailableError, match="does not come together with 'five'"):
        redeemed(basket(sale("1", 2000)), program(*rewards), [Taken(reward="five"), Taken(reward="tenth")])


def test_one_of_a_group_can_be_had_again() -> None:
    offer = offered(sale("1", 2000), FIVE | {"stack_group": "a"}, taken=(Taken(reward="five"),))

    assert offer.times == 3


def test_what_was_chosen_one_by_one_counts_together() -> None:
    five = Taken(reward="five")

    offer = offered(sale("1", 2000), FIVE | {"max_per_receipt": 2}, taken=(five, five))

    assert offer.missing == (Missing(kind="most", count=None, unit=None, why="a receipt can have it 2 times at most"),)


def test_what_is_taken_is_not_offered_again_beyond_its_terms() -> None:
    goods, once = sale("1", 2000), FIVE | {"max_per_receipt": 1, "min_basket_minor": 500}

    assert offered(goods, once, taken=(Taken(reward="five"),)).missing[0].kind == "most"
    assert offered(goods, TENTH, taken=(Taken(reward="tenth"),)).missing[0].kind == "most"
    assert offered(goods, FIVE, taken=(Taken(reward="five", times=3),), points=2000).times == 1
    assert offered(goods, FIVE, taken=(Taken(reward="five", times=3),), points=1999).missing[0].count == 1
    [missing] = offered(
        goods, FIVE | {"min_basket_minor": 1200, "discount_minor": 100}, taken=(Taken(reward="five"),)
    ).missing
    assert (missing.kind, missing.count) == ("basket", 400)


def test_a_piece_is_taken_once() -> None:
    goods = sale("1", lines=(line(1, 500, "2", "coffee"), line(2, 100, "1", "coffee")))
    again = COFFEE | {"id": "again", "priority": 1}

    first, second = redeemed(
        basket(goods), program(COFFEE, again), [Taken(reward="coffee", times=2), Taken(reward="again")]
    )

    assert (first.discount_minor, second.discount_minor) == (500, 100)
    offer = offered(goods, COFFEE, taken=(Taken(reward="coffee", times=3),))
    assert (offer.times, offer.missing[0].kind) == (0, "goods")
    assert offered(goods, COFFEE | {"piece_minor": 50}, taken=(Taken(reward="coffee"),)).times == 2


def test_what_a_basket_cannot_have_is_refused_in_words() -> None:
    goods = basket(sale("1", 700))

    with pytest.raises(RewardUnavailableError, match="no reward 'six'"):
        redeemed(goods, program(FIVE), [Taken(reward="six")])
    with pytest.raises(RewardUnavailableError, match="'Five off': this basket can have it 1 times at most"):
        redeemed(goods, program(FIVE | {"title": "Five off"}), [Taken(reward="five", times=2)])
    with pytest.raises(RewardUnavailableError, match=r"'five': goods it is for, 8\.00 EUR more"):
        redeemed(goods, program(FIVE | {"discount_minor": 1500}), [Taken(reward="five")])


amounts = st.lists(st.integers(0, 10**7), min_size=1, max_size=12)


@given(weights=amounts, share=st.integers(0, 100))
def test_parts_are_whole_and_sum_to_what_was_shared(weights: list[int], share: int) -> None:
    amount = sum(weights) * share // 100

    parts = shared_out(amount, weights)

    assert sum(parts) == amount
    assert all(0 <= part <= weight for part, weight in zip(parts, weights, strict=True))


def test_several_pieces_together_take_no_more_than_one_after_the_other() -> None:
    goods = basket(sale("1", lines=(line(1, 30000, "3", "coffee"),)))
    rules = program(COFFEE, TENTH | {"discount_percent": 50}, FIVE | {"discount_minor": 15000})

    for before in ("five", "tenth"):
        # half of the money is gone: one piece and a half are left to give
        taken = redeemed(goods, rules, [Taken(reward=before), Taken(reward="coffee", times=2)])
        assert [each.discount_minor for each in taken] == [15000, 15000]
        with pytest.raises(RewardUnavailableError, match="2 times at most"):
            redeemed(goods, rules, [Taken(reward=before), Taken(reward="coffee", times=3)])


def test_of_what_is_left_the_dearest_or_the_cheapest_piece_is_taken() -> None:
    lines = (line(1, 300, "3", "coffee"), line(2, 60, "1", "tea"))
    half = FIVE | {"discount_minor": 150, "when": {"category_in": ["coffee"]}}

    def off_lines(piece: str, times: int) -> dict[int, int]:
        rules = program(half, {"id": "free", "cost": 1, "piece_minor": 0, "piece": piece})
        goods = basket(sale("1", lines=lines))
        _, one = redeemed(goods, rules, [Taken(reward="five"), Taken(reward="free", times=times)])
        return {each.position: each.amount_minor for each in one.lines}

    assert [off_lines("dearest", times) for times in (1, 2, 3)] == [{1: 100}, {1: 100, 2: 60}, {1: 150, 2: 60}]
    assert [off_lines("cheapest", times) for times in (1, 2, 3)] == [{1: 50}, {1: 50, 2: 60}, {1: 150, 2: 60}]


# Amounts below zero take back goods of the same name, or of none that was bought.
bought = st.tuples(st.integers(-5000, 5000), st.integers(1, 5), st.sampled_from(["coffee", "tea", "cake"]))


@given(
    prices=st.lists(bought, min_size=1, max_size=6),
    discount=st.integers(0, 3000),
    price=st.sampled_from([0, 70]),
    piece=st.sampled_from(["dearest", "cheapest"]),
    chosen=st.lists(st.tuples(st.sampled_from(["five", "tenth", "coffee"]), st.integers(1, 4)), max_size=6),
)
@example([(248, 1, "coffee"), (2, 1, "coffee")], 0, 0, "dearest", [("five", 2), ("coffee", 1)])
def test_no_rewards_together_take_more_off_a_line_than_it_costs(
    prices: list[tuple[int, int, str]], discount: int, price: int, piece: str, chosen: list[tuple[str, int]]
) -> None:
    lines = tuple(
        replace(line(place, amount, str(count), "coffee"), description=name)
        for place, (amount, count, name) in enumerate(prices, 1)
    )
    receipt = replace(sale("1", lines=lines), discounts=(Discount(amount_minor=discount),))
    tenth = TENTH | {"discount_percent": 50}
    rules = program(FIVE | {"cost": 1, "discount_minor": 50}, tenth, COFFEE | {"piece_minor": price, "piece": piece})

    # when whatever is still offered is taken, several times of one where it can be had so often
    taken: tuple[Taken, ...] = ()
    one_by_one: tuple[Taken, ...] = ()
    for name, wanted in chosen:
        offer = next(o for o in offers(basket(receipt), rules, 10_000, taken) if o.reward == name)
        if times := min(offer.times, wanted):
            before = sum(each.discount_minor for each in redeemed(basket(receipt), rules, taken))
            taken += (Taken(reward=name, times=times),)
            # Money off is rounded to the lines once for all its times: only pieces come to the same one by one.
            one_by_one += (Taken(reward=name),) * times if name == "coffee" else taken[-1:]
            assert sum(each.discount_minor for each in redeemed(basket(receipt), rules, taken)) > before

    # then each line bears it, and the whole basket too
    off_lines = dict.fromkeys(range(1, len(lines) + 1), 0)
    whole = redeemed(basket(receipt), rules, taken)
    for each in whole:
        assert each.discount_minor == sum(one.amount_minor for one in each.lines)
        for one in each.lines:
            assert one.amount_minor > 0
            off_lines[one.position] += one.amount_minor
    assert all(0 <= off_lines[each.position] <= max(0, each.amount_minor) for each in lines)
    assert sum(off_lines.values()) <= max(0, sum(each.amount_minor for each in lines) - discount)

    # and pieces come to the same one after the other
    singly = redeemed(basket(receipt), rules, one_by_one)
    assert sum(each.discount_minor for each in singly) == sum(each.discount_minor for each in whole)


# ---- seen from the till


def test_a_look_at_a_basket_shows_the_rewards_that_points_buy_now() -> None:
    # given 300 points of which 200 are gone by the time of the basket, and 400 that have matured by then
    lots = (
        Lot(points=200, expires_at=MORNING),
        Lot(points=100),
        Lot(points=400, pending_until=MORNING),
    )
    member = MemberState(code="1", confirmed=300, pending=400, counters=Counters(lots=lots))
    receipt = replace(sale("1", 1700), member=MemberReference(code="1"))

    seen = preview(receipt, program(FIVE), member)

    assert [(offer.reward, offer.times) for offer in seen.rewards] == [("five", 1)]


def test_a_look_at_a_basket_of_no_time_counts_what_is_confirmed() -> None:
    member = MemberState(code="1", confirmed=500)

    assert preview(sale("1", 1700, issued_at=UNSET), program(FIVE), member).rewards[0].times == 1
    assert preview(sale("1", 1700), program(), member).rewards == ()


# ---- what a program may say


@pytest.mark.parametrize(
    ("reward", "words"),
    [
        ({"id": "r", "cost": 1}, "$.rewards[0]: give one of discount_minor, discount_percent, piece_minor"),
        (FIVE | {"discount_percent": 5}, "$.rewards[0]: give one of"),
        (FIVE | {"offline": "floor"}, '.floor_points: with "offline": "floor" say how many points must be left'),
        (FIVE | {"valid_from": "2026-02-30"}, "$.rewards[0].valid_from: '2026-02-30' is no day of the calendar"),
        (FIVE | {"valid_until": "soon"}, "Expected a day, such as 2027-12-31 - at `$.rewards[0].valid_until`"),
        (FIVE | {"valid_from": "2026-12-02", "valid_until": "2026-12-01"}, "2026-12-01 is before valid_from"),
        (FIVE | {"when": {}}, "$.rewards[0].when: a condition that asks nothing"),
        (TENTH | {"discount_percent": 101}, "$.rewards[0].discount_percent"),
    ],
)
def test_a_reward_that_cannot_be_is_refused_with_path_and_remedy(reward: dict[str, Any], words: str) -> None:
    with pytest.raises(ProgramError) as refused:
        program(reward)

    assert words in str(refused.value)
