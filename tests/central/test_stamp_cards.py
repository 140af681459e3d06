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
