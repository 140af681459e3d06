"""Rewards that cost a full card of stamps: what is collected, set aside, spent and brought back."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from central import fed_rows, operations, vouchers
from loyalty.program import Program
from loyalty.receipt import Line
from loyalty.voucher_codes import stamp_card_id
from sync.wire import GrantedAllowance
from tests.central.redeeming import Shop, rewards
from tests.central.till import Till

FREE = "free"
CARD = stamp_card_id("m1", FREE)


def program() -> Program:
    """A card of five coffees for the sixth."""
    return rewards(
        earn=[],
        stamps=[{"id": "coffee", "every": 5, "when": {"line_tag_in": ["coffee"]}}],
        rewards=[{"id": FREE, "stamps": "coffee", "piece_minor": 0, "offline": "allowance"}],
    )


@pytest.fixture
def shop(data: Path) -> Iterator[Shop]:
    made = Shop(data, program())
    yield made
    made.database.close()


def coffees(count: int) -> tuple[Line, ...]:
    return (Line(position=1, quantity=str(count), unit_price="1.00", amount_minor=count * 100, tags=("coffee",)),)


def stamps(shop: Shop, member: str = "m1") -> int:
    """As registers are told."""
    row = shop.read(lambda connection: fed_rows.rows_of(connection, [member], shop.now))[member]
    return (row.counters.stamps or {}).get("coffee", 0) if row.counters else 0


def uses(shop: Shop, card: str = CARD) -> int:
    return sum(one.uses for one in shop.read(lambda connection: vouchers.listed(connection, voucher=card)).vouchers)


def lease(shop: Shop, till: Till) -> GrantedAllowance:
    [one] = [one for one in shop.ask(till).allowances if one.voucher == CARD]
    return one


def test_a_full_card_is_set_aside_where_the_member_shops_and_spent_once(shop: Shop) -> None:
    # given a member whose card is filled by a second sale
    till, other = shop.till("1"), shop.till("2")
    shop.sell(till, 300, lines=coffees(3))
    shop.plan()
    assert (uses(shop), stamps(shop)) == (0, 3)
    shop.sell(till, 400, lines=coffees(4))
    assert (uses(shop), stamps(shop)) == (1, 7)
    # when it was set aside there
    shop.plan()
    one = lease(shop, till)
    assert (one.reward, one.points, one.member) == (FREE, 1, "m1")
    assert "register 12/1 holds this voucher" in str(shop.ask(other, voucher=CARD).refused)
    # then it is spent without asking, and once
    shop.take(till, one, reward=FREE, key="k1")
    assert (shop.redemption("k1").problems, stamps(shop)) == ("[]", 2)
    assert shop.ask(other, after=shop.ask(other).next, voucher=CARD).refused == "this voucher was used already"
    assert shop.balance().confirmed == 0


def test_stamps_that_are_brought_back_empty_the_card(shop: Shop) -> None:
    till = shop.till()
    sold = shop.sell(till, 600, lines=coffees(6))
    assert uses(shop) == 1

    shop.take_back(till, sold)

    assert (uses(shop), stamps(shop)) == (0, 0)
    assert shop.ask(till, after=shop.ask(till).next, voucher=CARD).refused == "this voucher was used already"


def test_a_program_that_begins_to_have_cards_counts_what_was_bought_under_the_one_before(shop: Shop) -> None:
    # given stamps under a program that gave points for them
    till, key = shop.till(), shop.folder.program_key()
    points = rewards(earn=[], stamps=[{"id": "coffee", "every": 5, "give": {"points": 7}}], rewards=[])
    shop.write(lambda connection: operations.publish(connection, points, key, shop.now))
    shop.sell(till, 300, lines=coffees(3))
    # when a card of them is what a reward costs
    shop.write(lambda connection: operations.publish(connection, program(), key, shop.now))
    shop.sell(till, 200, lines=coffees(2))
    # then they fill it together
    assert uses(shop) == 1


def test_cards_of_members_that_are_merged_are_one(shop: Shop) -> None:
    # given two members with a full card each, and more stamps
    till = shop.till()
    shop.sell(till, 600, lines=coffees(6))
    shop.sell(till, 900, lines=coffees(9), code="TS0002")
    # when they are found to be one
    shop.write(partial(operations.merge_members, source="m2", target="m1", because="one person", now=shop.now))
    # then they have three cards, of which one lies under the id of before
    assert (uses(shop), uses(shop, stamp_card_id("m2", FREE)), stamps(shop)) == (2, 1, 15)


# ---- another program


def published(shop: Shop, reward: str = FREE, every: int = 5) -> str:
    """The same stamps from now on, with a reward under this name for a card of so many."""
    made = rewards(
        earn=[],
        stamps=[{"id": "coffee", "every": every, "when": {"line_tag_in": ["coffee"]}}],
        rewards=[{"id": reward, "stamps": "coffee", "piece_minor": 0, "offline": "allowance"}],
    )
    key = shop.folder.program_key()
    hashed: str = shop.write(lambda connection: operations.publish(connection, made, key, shop.now))
    return hashed


def drink(shop: Shop, count: int) -> None:
    shop.sell(shop.till(), count * 100, lines=coffees(count))


def spend(shop: Shop, hashed: str, count: int) -> None:
    """So many coffees are bought, and the card that they fill is spent by this program."""
    till = shop.till()
    drink(shop, count)
    shop.plan()
    shop.take(till, lease(shop, till), reward=FREE, key="k1", program=hashed)


@pytest.mark.parametrize("is_told", [True, False], ids=["by a register that tells its program", "by one that does not"])
def test_a_reward_under_another_name_gives_no_stamps_back(shop: Shop, *, is_told: bool) -> None:
    # given a card that was spent
    hashed, renamed = published(shop), stamp_card_id("m1", "free2")
    till = shop.till()
    drink(shop, 5)
    shop.plan()
    shop.take(till, lease(shop, till), reward=FREE, key="k1", **({"program": hashed} if is_told else {}))
    assert stamps(shop) == 0
    # when the reward has another name, and the member goes on
    published(shop, "free2")
    drink(shop, 1)
    # then what was spent is spent, and four coffees more fill the next card
    assert (stamps(shop), uses(shop, renamed)) == (1, 0)
    drink(shop, 4)
    assert (stamps(shop), uses(shop, renamed)) == (5, 1)


@pytest.mark.parametrize(("every", "more", "full"), [(2, 1, 0), (2, 2, 1), (10, 9, 0), (10, 10, 1)])
def test_a_card_of_another_size_is_filled_by_what_was_not_spent(shop: Shop, every: int, more: int, full: int) -> None:
    # given a card of five that was spent
    spend(shop, published(shop), 5)
    # when a card has another size
    published(shop, every=every)
    drink(shop, more)
    # then new ones are full of new coffees
    assert (stamps(shop), uses(shop) - 1) == (more, full)


def test_what_a_register_holds_of_a_card_is_not_had_by_another_name_as_well(shop: Shop) -> None:
    # given a full card at a register without a network
    hashed, renamed = published(shop), stamp_card_id("m1", "free2")
    till, other = shop.till("1"), shop.till("2")
    drink(shop, 5)
    shop.plan()
    held = lease(shop, till)
    # when the reward has another name, and the member goes on at another register
    published(shop, "free2")
    shop.sell(other, 100, lines=coffees(1))
    # then it is asked back, and there is no second card, before the register spends it and after
    assert (shop.allowance(held.allowance).recalled != 0, uses(shop, renamed)) == (True, 0)
    shop.take(till, held, reward=FREE, key="k1", program=hashed)
    shop.sell(other, 100, lines=coffees(1))
    assert (shop.redemption("k1").problems, stamps(shop), uses(shop, renamed)) == ("[]", 2, 0)


def test_a_card_that_comes_back_is_had_under_the_new_name_alone(shop: Shop) -> None:
    published(shop)
    till = shop.till()
    drink(shop, 5)
    shop.plan()
    held = lease(shop, till)
    published(shop, "free2")
    drink(shop, 1)
    shop.give_back(till, held.allowance, 1)
    drink(shop, 1)
    assert (uses(shop), uses(shop, stamp_card_id("m1", "free2")), stamps(shop)) == (0, 1, 7)
