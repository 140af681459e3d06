"""Points that registers spend: set aside before, counted once, and back where they came from."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import msgspec
import pytest
from aiohttp import ClientWebSocketResponse
from msgspec import UNSET, UnsetType
from msgspec.structs import replace
from sqlalchemy import Connection, String, cast, event, literal, select

from central import allowance_desk, devices, operations, planning
from central.db import tables
from central.problems import EpochFencedError
from loyalty.allowances import Draw, Policy
from loyalty.member import Balance
from sync.records import RedeemBody
from sync.wire import (
    ALLOWANCES_HINT,
    MAX_HELD,
    AllowancesRequest,
    AllowancesResponse,
    HeldAllowance,
    LiveHint,
    Wanted,
)
from tests.central.conftest import RunningCentre
from tests.central.redeeming import Shop, rewards
from tests.central.test_admin import Browser
from tests.central.test_server import until
from tests.central.till import NOON, RefusedError, Till, receipt

EXPIRING = {"earn": [{"id": "base", "give": {"points": 1, "per_minor": 1}, "expires": "P10D"}]}
PENDING = {"earn": [{"id": "base", "give": {"points": 1, "per_minor": 1}, "pending": "P7D"}]}


@pytest.fixture
def shop(data: Path, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """One whose program differs from the usual one by what the test names."""
    made = Shop(data, rewards(**getattr(request, "param", {})))
    yield made
    made.database.close()


def balance(confirmed: int, spendable: int) -> Balance:
    return Balance(confirmed=confirmed, pending=0, spendable=spendable)


# ---- granting


def test_points_that_are_set_aside_cannot_be_set_aside_again(shop: Shop) -> None:
    # given a member with 500 points
    first, second = shop.till("1"), shop.till("2")
    shop.sell(first, 500)
    # when one register gets 400 of them
    granted = shop.ask(first, want=400)
    # then it hears of one allowance, and another register gets no more than the rest
    assert [(one.points, one.recalled) for one in granted.allowances] == [(400, False)]
    assert shop.balance() == balance(500, 100)
    refused = shop.ask(second, want=200)
    assert refused.allowances == ()
    assert refused.refused_because == "elsewhere"
    assert "200 points are wanted, and 100 are free" in str(refused.refused)
    assert "register 12/1 holds the rest and was asked for it" in str(refused.refused)
    # and what is asked back comes again to its register, under a higher number
    [again] = shop.ask(first, after=granted.next).allowances
    assert (again.allowance, again.recalled) == (granted.allowances[0].allowance, True)
    assert again.number > granted.next


def test_nobody_is_asked_where_all_of_it_would_not_do(shop: Shop) -> None:
    first, second = shop.till("1"), shop.till("2")
    shop.sell(first, 500)
    granted = shop.ask(first, want=400)

    refused = shop.ask(second, want=600)

    assert refused.refused == "600 points are wanted, and 500 can be spent"
    assert shop.ask(first, after=granted.next).allowances == ()


def test_a_want_whose_answer_was_lost_is_granted_once(shop: Shop) -> None:
    till = shop.till()
    shop.sell(till, 500)
    lost = shop.ask(till, want=200)

    again = shop.ask(till, want=200)

    assert again.allowances == lost.allowances
    assert shop.balance() == balance(500, 300)
    # and once the register has it, the same want is another one
    assert len(shop.ask(till, after=again.next, want=200).allowances) == 1
    assert shop.balance() == balance(500, 100)


@pytest.mark.parametrize("shop", [PENDING], indirect=True)
def test_pending_points_and_nobodys_are_not_set_aside(shop: Shop) -> None:
    till = shop.till()
    shop.sell(till, 500)

    assert shop.ask(till, want=100).refused == "100 points are wanted, and 0 can be spent"
    assert shop.ask(till, want=100, member="m99").refused == "the head office knows no such member"


def test_an_epoch_that_ended_gets_nothing_and_its_points_stay_set_aside(shop: Shop) -> None:
    # given an allowance of a register that opens another epoch
    till = shop.till()
    shop.sell(till, 500)
    granted = shop.grant(till, 300)
    before = till.epoch
    shop.open_epoch(till)
    # then the old epoch is refused, and the new one does not get its points
    ended, till.epoch = till.epoch, before
    with pytest.raises(EpochFencedError):
        shop.ask(till)
    till.epoch = ended
    assert shop.ask(till).allowances == ()
    assert shop.balance() == balance(500, 200)
    assert "waits for the head office" in str(shop.ask(till, want=300).refused)
    # nor can it give them back: another copy of it may have spent them
    assert "ended" in str(shop.give_back(till, granted.allowance, 300).detail)
    assert shop.balance() == balance(500, 200)


def test_two_machines_of_one_identity_get_nothing(shop: Shop) -> None:
    till = shop.till()
    shop.sell(till, 500)
    shop.write(
        lambda connection: connection.execute(
            tables.epochs.insert().values(
                epoch="other",
                device=till.device,
                request_id="other",
                opened_at=shop.now,
                acked_through=0,
                chain_hash="0" * 64,
            )
        )
    )

    refused = shop.ask(till, want=100)

    assert refused.allowances == ()
    assert "two machines" in str(refused.refused)


# ---- redeeming


def test_a_redemption_counts_once_and_lowers_what_is_set_aside(shop: Shop) -> None:
    till = shop.till()
    shop.sell(till, 500)
    granted = shop.grant(till, 300)

    outcome = shop.redeem(till, 200, (granted.allowance, 200), key="k1")

    assert (outcome.code, outcome.detail or "") == ("accepted", "")
    assert shop.balance() == balance(300, 200)
    # sent again in the same place, in a new epoch, or under another number: the same
    assert shop.send(till, len(till.sent))[-1].code == "accepted"
    assert shop.redeem(till, 200, (granted.allowance, 200), key="k1").code == "duplicate"
    assert shop.balance() == balance(300, 200)


def test_a_voucher_is_counted_and_takes_no_points(shop: Shop) -> None:
    till = shop.till()
    sold = shop.sell(till, 300)
    assert shop.redeem(till, 0, key="k1", reward="summer", receipt=sold.key).code == "accepted"
    assert shop.redeem(till, 0, key="k1", reward="summer", receipt=sold.key).code == "duplicate"

    assert shop.balance() == balance(300, 300)
    assert (shop.redemption("k1").points, shop.redemption("k1").problems) == (0, "[]")
    # and goods that come back bring nothing back of it
    shop.take_back(till, sold)
    assert shop.balance() == balance(0, 0)


def test_what_is_given_back_is_free_again(shop: Shop) -> None:
    first, second = shop.till("1"), shop.till("2")
    shop.sell(first, 500)
    granted = shop.grant(first, 500)
    shop.redeem(first, 100, (granted.allowance, 100))

    assert shop.give_back(first, granted.allowance, 400).code == "accepted"
    assert shop.give_back(first, granted.allowance, 400).code == "duplicate"

    assert shop.allowance(granted.allowance).state == "returned"
    assert shop.balance() == balance(400, 400)
    assert len(shop.ask(second, want=400).allowances) == 1


def test_another_register_can_neither_draw_nor_give_back_nor_release(shop: Shop) -> None:
    first, second = shop.till("1"), shop.till("2")
    shop.sell(first, 500)
    granted = shop.grant(first, 300)
    shop.redeem(first, 100, (granted.allowance, 100), key="k1")

    assert shop.give_back(second, granted.allowance, 200).code == "quarantined"
    assert shop.release(second, "k1").code == "quarantined"
    outcome = shop.redeem(second, 100, (granted.allowance, 100), key="k2")

    # the reward was given all the same: it counts, by what is free, and is shown
    assert (outcome.code, outcome.detail) == ("accepted", "foreign_allowance")
    assert shop.allowance(granted.allowance).used == 100
    assert shop.balance() == balance(300, 100)


def test_a_redemption_beyond_the_balance_counts_and_is_flagged(shop: Shop) -> None:
    till = shop.till()
    shop.sell(till, 50)

    outcome = shop.redeem(till, 100, key="k1")

    assert outcome.detail == "beyond_balance"
    assert shop.balance() == balance(-50, -50)
    assert shop.redemption("k1").problems == '["beyond_balance"]'


def test_more_than_an_allowance_holds_is_taken_of_what_is_free(shop: Shop) -> None:
    till = shop.till()
    shop.sell(till, 500)
    granted = shop.grant(till, 100)
    shop.give_back(till, granted.allowance, 100)
    other = shop.grant(till, 100)

    outcome = shop.redeem(till, 300, (granted.allowance, 100), (other.allowance, 150), ("unknown", 50))

    assert outcome.detail == "closed_allowance, overdrawn, unknown_allowance"
    assert shop.allowance(other.allowance).state == "spent"
    assert shop.balance() == balance(200, 200)


def test_a_released_redemption_gives_all_back_once(shop: Shop) -> None:
    till = shop.till()
    shop.sell(till, 500)
    granted = shop.grant(till, 200)
    shop.redeem(till, 300, (granted.allowance, 200), key="k1")
    assert shop.balance() == balance(200, 200)

    assert shop.release(till, "k1").code == "accepted"
    assert shop.release(till, "k1").code == "duplicate"

    # its register may count on what was set aside for it again, and gives it back where it does not
    assert shop.balance() == balance(500, 300)
    assert shop.give_back(till, granted.allowance, 0).code == "accepted"
    assert shop.balance() == balance(500, 500)


@pytest.mark.parametrize("shop", [EXPIRING], indirect=True)
def test_what_a_release_gives_back_is_of_the_lot_that_it_came_from(shop: Shop) -> None:
    # given points that end in ten days, of which some were set aside and drawn
    till = shop.till()
    shop.sell(till, 300)
    granted = shop.grant(till, 100)
    shop.redeem(till, 100, (granted.allowance, 100), key="k1")
    # when the reward was not given after all, and another is
    shop.release(till, "k1")
    shop.redeem(till, 100, (granted.allowance, 100), key="k2")
    assert shop.balance() == balance(200, 200)
    # then the rest ends with the lot, and nothing is owed for it
    shop.pass_time(timedelta(days=11))
    assert shop.balance() == balance(0, 0)


@pytest.mark.parametrize("shop", [EXPIRING], indirect=True)
def test_two_redemptions_of_one_batch_take_different_lots(shop: Shop) -> None:
    # given points of two lots
    till = shop.till()
    shop.sell(till, 100)
    shop.pass_time(timedelta(days=5))
    shop.sell(till, 100)
    # when two rewards that were given by the balance come together
    shop.note_redemption(till, 100)
    shop.note_redemption(till, 60)
    shop.send(till, len(till.sent) - 1)
    # then nothing is owed for the first lot when it ends
    assert shop.balance() == balance(40, 40)
    shop.pass_time(timedelta(days=5))
    assert shop.balance() == balance(40, 40)
    shop.pass_time(timedelta(days=5))
    assert shop.balance() == balance(0, 0)


# ---- the sale that shows it


@pytest.mark.parametrize("sale_first", [True, False])
def test_goods_that_come_back_bring_their_share_back(shop: Shop, sale_first: bool) -> None:
    # given a sale that a reward was redeemed on, whichever of the two comes first
    till = shop.till()
    shop.sell(till, 500)
    shop.sold += 1
    sale = receipt(shop.sold, 1000, code="TS0001", issued_at=shop.now, register="r")
    if sale_first:
        till.sale(sale)
        shop.note_redemption(till, 200, receipt=sale.key)
    else:
        shop.note_redemption(till, 200, receipt=sale.key)
        till.sale(sale)
    shop.send(till, len(till.sent) - 1)
    assert shop.balance() == balance(1300, 1300)
    # when half of it comes back
    shop.take_back(till, sale, -500)
    # then so does half of the points
    assert shop.balance() == balance(500 - 100 + 500, 900)
    shop.take_back(till, sale, -500)
    assert shop.balance() == balance(500, 500)


def test_a_voided_sale_gives_back_what_was_spent_on_it(shop: Shop) -> None:
    till = shop.till()
    shop.sell(till, 500)
    sale = shop.sell(till, 1000)
    shop.redeem(till, 200, receipt=sale.key)
    assert shop.balance() == balance(1300, 1300)

    till.sale(replace(sale, status="voided"))
    shop.send(till, len(till.sent))

    assert shop.balance() == balance(500, 500)


def test_a_sale_of_nobody_gives_its_redemption_back_when_it_is_voided(shop: Shop) -> None:
    till = shop.till()
    shop.sell(till, 500)
    shop.sold += 1
    sale = receipt(shop.sold, 1000, issued_at=shop.now)
    till.sale(sale)
    shop.note_redemption(till, 200, receipt=sale.key)
    shop.send(till, len(till.sent) - 1)
    assert shop.balance() == balance(300, 300)

    till.sale(replace(sale, status="voided"))
    shop.send(till, len(till.sent))

    assert shop.balance() == balance(500, 500)


def test_what_was_spent_is_no_variance(shop: Shop) -> None:
    till = shop.till()
    sale = shop.sell(till, 1000)
    before = shop.read(lambda connection: connection.execute(tables.variances.select()).all())

    shop.redeem(till, 200, receipt=sale.key)

    assert shop.read(lambda connection: connection.execute(tables.variances.select()).all()) == before


# ---- lots that end


@pytest.mark.parametrize("shop", [EXPIRING], indirect=True)
def test_what_is_set_aside_does_not_expire(shop: Shop) -> None:
    # given 300 points that end in ten days, 100 of them set aside
    till = shop.till()
    shop.sell(till, 300)
    granted = shop.grant(till, 100)
    # when they end
    shop.pass_time(timedelta(days=11))
    # then only these are left, and can be spent where they are
    assert shop.balance() == balance(100, 0)
    shop.redeem(till, 60, (granted.allowance, 60))
    assert shop.balance() == balance(40, 0)
    # and what is given back has ended
    shop.give_back(till, granted.allowance, 40)
    assert shop.balance() == balance(0, 0)


@pytest.mark.parametrize("shop", [EXPIRING], indirect=True)
def test_a_lot_of_which_more_was_spent_than_it_gave_stays_a_debt(shop: Shop) -> None:
    till = shop.till()
    sale = shop.sell(till, 300)
    shop.redeem(till, 200)
    shop.take_back(till, sale)
    assert shop.balance() == balance(-200, -200)

    shop.pass_time(timedelta(days=11))

    assert shop.balance() == balance(-200, -200)


# ---- members who become one, or nobody


def test_who_is_merged_keeps_what_is_set_aside_and_spent(shop: Shop) -> None:
    till = shop.till()
    shop.sell(till, 500)
    granted = shop.grant(till, 300)
    shop.redeem(till, 100, (granted.allowance, 100))
    shop.write(lambda connection: operations.merge_members(connection, "m1", "m3", "the same person", shop.now))
    assert shop.balance("m3") == balance(400, 200)

    # what the register still says of the old id is about the same person
    shop.redeem(till, 100, (granted.allowance, 100))

    assert shop.balance("m3") == balance(300, 200)


def test_two_members_who_are_merged_spend_what_registers_hold_of_both_and_no_more(shop: Shop) -> None:
    # given points of two members, set aside at two registers that are cut off
    first, second = shop.till("1"), shop.till("2")
    shop.sell(first, 300)
    shop.sell(second, 200, code="TS0002")
    here, told = shop.grant(first, 300), shop.ask(second, want=100, member="m2")
    [there] = told.allowances
    # when they turn out to be one person
    shop.write(lambda connection: operations.merge_members(connection, "m1", "m2", "the same person", shop.now))
    assert shop.balance("m2") == balance(500, 100)
    # then no register gets more than is free of both
    assert "101 points are wanted, and 100 are free" in str(
        shop.ask(second, want=101, member="m1", after=told.next).refused
    )
    # and what both spend under the old ids counts once each, and comes to no more than they had
    assert shop.redeem(first, 300, (here.allowance, 300), member="m1").code == "accepted"
    assert shop.redeem(second, 100, (there.allowance, 100), member="m2").code == "accepted"
    assert shop.balance("m2") == balance(100, 100)
    # and a return of what one of them holds is about the same person
    [more] = shop.ask(second, want=100, member="m1", after=told.next).allowances
    shop.give_back(second, more.allowance, 100)
    assert shop.balance("m2") == balance(100, 100)


def test_an_erased_member_has_nothing_set_aside_and_what_was_spent_stays(shop: Shop) -> None:
    till = shop.till()
    shop.sell(till, 500)
    granted = shop.grant(till, 300)
    shop.redeem(till, 100, (granted.allowance, 100), key="k1")

    shop.write(lambda connection: operations.erase_member(connection, "m1", shop.now))

    assert shop.allowance(granted.allowance).state == "erased"
    assert shop.redemption("k1").member == "m1"
    assert shop.balance() == balance(400, 400)
    assert shop.ask(till, want=100).refused == "the head office knows no such member"
    # one that comes later counts all the same
    assert shop.redeem(till, 100, (granted.allowance, 100)).detail == "closed_allowance"
    assert shop.balance() == balance(300, 300)


# ---- a centre that was restored


def test_a_restored_centre_grants_nothing_before_every_register_said_what_it_holds(shop: Shop) -> None:
    # given two registers, and a centre that forgot what the first one holds, and that it spent some of it
    first, second, gone = shop.till("1"), shop.till("2"), shop.till("3")
    shop.sell(first, 500)
    forgotten = HeldAllowance(allowance="a9", member="m1", epoch=first.epoch, points=300, used=100)
    shop.write(lambda connection: connection.execute(tables.devices.update().values(owes_report=1)))
    # then nobody gets anything, and a cashier hears for whom it waits
    refused = shop.ask(second, want=100, held=())
    assert refused.allowances == ()
    assert "register 12/1, register 12/3" in str(refused.refused)
    # when the one tells, with what it spent, and the other is revoked
    shop.redeem(first, 100, ("a9", 100))
    assert shop.ask(first, held=(forgotten,)).refused == shop.ask(first).refused
    shop.write(
        lambda connection: connection.execute(
            tables.devices.update().where(tables.devices.c.id == gone.device).values(revoked_at=shop.now)
        )
    )
    # then what is left of that is set aside again, and the rest can be had
    assert (shop.allowance("a9").granted, shop.allowance("a9").used) == (300, 100)
    assert shop.balance() == balance(400, 200)
    assert len(shop.ask(second, want=200).allowances) == 1
    # and what it told once it does not tell twice
    shop.ask(first, held=(forgotten,))
    assert shop.balance() == balance(400, 0)
    # and its numbers go on behind those that it knows of
    shop.sell(first, 100)
    [granted] = shop.ask(first, after=70, want=100).allowances
    assert granted.number > 70


# ---- ahead, and what people do


def held_by(shop: Shop, register: str) -> list[int]:
    return [one.points for one in shop.ask(shop.till(register)).allowances]


def test_points_are_set_aside_ahead_where_a_member_shops(shop: Shop) -> None:
    # given a member who came to register 1 twice, to 2 once, and to 3 long ago
    shop.sell(shop.till("3"), 100)
    shop.now += timedelta(days=200)
    for register in ("1", "1", "2"):
        shop.sell(shop.till(register), 150)
    # when the centre looks at it
    shop.plan()
    # then whole rewards are set aside there, the more where they come more often
    assert (held_by(shop, "1"), held_by(shop, "2"), held_by(shop, "3")) == ([300], [200], [])
    assert shop.balance() == balance(550, 50)
    # and a second look gives nothing more, nor does one without a movement
    shop.plan()
    assert (held_by(shop, "1"), held_by(shop, "2")) == ([300], [200])
    # and what comes later is set aside besides
    shop.sell(shop.till("2"), 250)
    shop.plan()
    assert (held_by(shop, "1"), held_by(shop, "2")) == ([300], [200, 100])
    assert shop.balance() == balance(800, 200)


def test_what_lies_where_a_member_seldom_shops_is_dealt_out_anew_once_they_have_little(shop: Shop) -> None:
    # given a member with a reward at each of two registers, who shops more often at the first
    first, second = shop.till("1"), shop.till("2")
    for till in (first, first, second):
        shop.sell(till, 70)
    shop.plan()
    [here], [there] = shop.ask(first).allowances, shop.ask(second).allowances
    # when they spend the one there, and the centre looks at it
    shop.redeem(first, 100, (here.allowance, 100))
    shop.plan()
    # then the other is asked back, and comes to where they mostly shop
    [asked] = shop.ask(second, after=1).allowances
    assert (asked.allowance, asked.recalled) == (there.allowance, True)
    shop.plan()
    assert shop.ask(second, after=asked.number).allowances == ()
    shop.give_back(second, there.allowance, 100)
    shop.plan()
    assert (held_by(shop, "1"), held_by(shop, "2")) == ([100], [])


@pytest.mark.parametrize("lacks", ["contact", "room"])
def test_nothing_is_asked_back_for_a_register_that_is_silent_or_full(shop: Shop, lacks: str) -> None:
    # given a member with a reward at each of two registers, who has spent the one where they shop more often
    first, second = shop.till("1"), shop.till("2")
    for till in (first, first, second):
        shop.sell(till, 70)
    shop.plan()
    [here], [there] = shop.ask(first).allowances, shop.ask(second).allowances
    shop.redeem(first, 100, (here.allowance, 100))
    # when that one was not heard of since, or holds as much as it may
    if lacks == "contact":
        shop.now += planning.HEARD_WITHIN
    else:
        shop.write(lambda connection: _fill(connection, shop, first))
    shop.plan()
    # then the reward stays where it can be had
    assert shop.ask(second, after=there.number).allowances == ()


def _fill(connection: Connection, shop: Shop, till: Till) -> None:
    """Set aside for a register of as many other members as it may hold points of."""
    table = tables.allowances
    facts = {"device": till.device, "epoch": till.epoch, "granted": 1, "lots": b"[]", "state": "open"}
    facts |= {"granted_at": shop.now, "member": "other"}
    count = select(literal(1).label("n")).cte(recursive=True)
    count = count.union_all(select(count.c.n + 1).where(count.c.n < MAX_HELD))
    values = [literal(value, table.c[name].type) for name, value in facts.items()]
    connection.execute(table.insert().from_select([*facts, "id"], select(*values, cast(count.c.n, String))))


def test_the_ledger_of_a_member_is_read_only_where_points_are_free(shop: Shop) -> None:
    # given a member all of whose points are set aside but less than a reward's
    shop.sell(shop.till(), 350)
    shop.plan()
    balances = tables.balances
    again = balances.update().where(balances.c.member == "m1").values(unplanned=1)
    shop.write(lambda connection: connection.execute(again))
    read: list[str] = []

    def looked_at(connection: Connection) -> int:
        event.listen(connection, "before_cursor_execute", lambda *about: read.append(about[2]))
        return planning.plan(connection, shop.now, secrets.token_bytes)

    # when the centre looks at them again
    assert shop.write(looked_at) == 1
    # then what they hold is read, and not what came of each sale
    assert any("FROM allowances" in statement for statement in read)
    assert not [statement for statement in read if "FROM ledger" in statement]


def test_who_stands_at_a_till_has_what_is_asked_back_to_be_dealt_out(shop: Shop) -> None:
    first, second, third = shop.till("1"), shop.till("2"), shop.till("3")
    for till in (first, first, second):
        shop.sell(till, 70)
    shop.plan()
    [here], [there] = shop.ask(first).allowances, shop.ask(second).allowances
    shop.redeem(first, 100, (here.allowance, 100))
    shop.plan()
    # when somebody wants it elsewhere before it has come back
    assert "register 12/2 holds the rest" in str(shop.ask(third, want=100).refused)
    shop.give_back(second, there.allowance, 100)
    shop.plan()
    # then it is theirs
    assert len(shop.ask(third, want=100).allowances) == 1


@pytest.mark.parametrize(
    "shop", [{"rewards": [{"id": "r5", "cost": 100, "discount_minor": 500, "offline": "refuse"}]}], indirect=True
)
def test_nothing_is_set_aside_ahead_for_rewards_that_ask_first(shop: Shop) -> None:
    shop.sell(shop.till("1"), 500)

    shop.plan()

    assert held_by(shop, "1") == []
    assert shop.balance() == balance(500, 500)


@pytest.mark.parametrize(
    "shop",
    [
        {
            "rewards": [
                {"id": "coffee", "cost": 90, "piece_minor": 0, "offline": "allowance"},
                {"id": "mug", "cost": 500, "piece_minor": 0, "offline": "allowance"},
            ]
        }
    ],
    indirect=True,
)
def test_a_dear_reward_is_set_aside_before_cheaper_ones(shop: Shop) -> None:
    # given a member with points for coffee, at two registers
    for register, points in (("1", 200), ("1", 100), ("2", 100)):
        shop.sell(shop.till(register), points)
    shop.plan()
    assert (held_by(shop, "1"), held_by(shop, "2")) == ([180], [180])
    # when they have enough for a mug, and what lies elsewhere is back
    shop.sell(shop.till("1"), 200)
    shop.plan()
    # then that is there where they shop most, and coffee of the rest elsewhere
    assert (held_by(shop, "1"), held_by(shop, "2")) == ([180], [180])
    [there] = shop.ask(shop.till("2")).allowances
    assert there.recalled
    shop.give_back(shop.till("2"), there.allowance, 180)
    shop.plan()
    assert (held_by(shop, "1"), held_by(shop, "2")) == ([180, 320], [90])


@pytest.mark.parametrize(
    "shop",
    [
        {
            "rewards": [
                {"id": "coffee", "cost": 90, "piece_minor": 0, "offline": "allowance"},
                {
                    "id": "mug",
                    "cost": 500,
                    "piece_minor": 0,
                    "offline": "allowance",
                    "when": {"segment_in": ["vip"], "store_in": ["12"]},
                },
            ]
        }
    ],
    indirect=True,
)
def test_nothing_is_set_aside_for_a_reward_that_is_for_others(shop: Shop) -> None:
    # given a member with points for a mug, which only some may have
    shop.sell(shop.till("1"), 600)
    shop.plan()
    # then they hold coffee
    assert held_by(shop, "1") == [270]
    # and when they are one of those, a mug as well, once what they hold is dealt out anew
    shop.write(lambda connection: connection.execute(tables.members.update().values(segments='["vip"]')))
    shop.sell(shop.till("1"), 1)
    shop.plan()
    assert held_by(shop, "1") == [270, 230]


@pytest.mark.parametrize(
    "shop",
    [
        {
            "rewards": [
                {"id": "coffee", "cost": 90, "piece_minor": 0, "offline": "allowance", "valid_until": "2026-11-23"},
                {"id": "mug", "cost": 500, "piece_minor": 0, "offline": "allowance", "valid_from": "2026-11-23"},
            ]
        }
    ],
    indirect=True,
)
def test_what_begins_or_ends_on_a_day_is_set_aside_by_that_though_nobody_shops(shop: Shop) -> None:
    # given a member with points for what begins tomorrow
    one, other = shop.till("1"), shop.till("2")
    shop.sell(one, 1_010)
    shop.plan()
    assert held_by(shop, "1") == [270]
    # when it is almost tomorrow in Belgrade, nothing is due
    shop.pass_time(timedelta(hours=10, minutes=59))
    assert not shop.read(lambda connection: planning.may_plan(connection, shop.now))
    # and then that is there
    shop.pass_time(timedelta(minutes=1))
    assert shop.read(lambda connection: planning.may_plan(connection, shop.now))
    shop.plan()
    assert held_by(shop, "1") == [270, 730]
    assert not shop.read(lambda connection: planning.may_plan(connection, shop.now))
    # when the day after the other is over, nothing more is set aside for it
    shop.pass_time(timedelta(days=1))
    shop.plan()
    shop.sell(other, 90)
    shop.plan()
    assert held_by(shop, "2") == []


def test_the_policy_says_how_much_is_set_aside_where(shop: Shop) -> None:
    for register in ("1", "1", "2"):
        shop.sell(shop.till(register), 200)
    wanted = Policy(places=1, rewards=2)
    shop.write(lambda connection: planning.set_policy(connection, wanted, "one till each", shop.now))

    shop.plan()

    # of 600 points as money two parts of 200
    assert (held_by(shop, "1"), held_by(shop, "2")) == ([400], [])
    kept = shop.read(planning.policy)
    assert (kept.policy, kept.because, kept.set_at) == (wanted, "one till each", shop.now)


def test_a_machine_that_took_the_place_of_another_has_what_is_set_aside_there(shop: Shop) -> None:
    shop.sell(shop.till("1"), 300)
    old = shop.tills.pop("1")
    shop.write(lambda connection: devices.revoke(connection, old.device, shop.now))
    shop.till("1")

    shop.plan()

    assert held_by(shop, "1") == [300]


def test_a_return_leaves_points_free_for_who_asked(shop: Shop) -> None:
    # given a register that was asked back for what another one wants
    first, second = shop.till("1"), shop.till("2")
    shop.sell(first, 300)
    shop.plan()
    [held] = shop.ask(first).allowances
    assert shop.ask(second, want=200).refused is not UNSET
    # when it gives it back, and the centre looks where to set points aside
    shop.give_back(first, held.allowance, 300)
    shop.plan()
    # then they are there for the other
    assert len(shop.ask(second, want=200).allowances) == 1


@pytest.mark.parametrize("shop", [EXPIRING], indirect=True)
def test_what_ended_is_asked_back(shop: Shop) -> None:
    till = shop.till()
    shop.sell(till, 300)
    granted = shop.grant(till, 300)

    shop.pass_time(timedelta(days=11))

    [again] = shop.ask(till, after=granted.number).allowances
    assert (again.allowance, again.recalled) == (granted.allowance, True)


def test_a_person_writes_off_what_is_lost(shop: Shop) -> None:
    till = shop.till()
    shop.sell(till, 500)
    granted = shop.grant(till, 300)
    shop.open_epoch(till)

    [listed] = shop.read(lambda connection: allowance_desk.listed(connection, register="12/1")).allowances
    assert (listed.allowance, listed.left, listed.is_live) == (granted.allowance, 300, False)
    ids = [granted.allowance]
    done = shop.write(lambda connection: allowance_desk.write_off(connection, ids, "the disk is broken", shop.now))

    assert done.points == 300
    assert shop.balance() == balance(500, 500)
    assert shop.allowance(granted.allowance).because == "the disk is broken"
    with pytest.raises(allowance_desk.NotOpenError):
        shop.write(lambda connection: allowance_desk.write_off(connection, ids, "again", shop.now))
    # what was spent of it after all counts, and is shown
    assert shop.redeem(till, 300, (granted.allowance, 300)).detail == "closed_allowance"
    assert shop.balance() == balance(200, 200)


def test_what_a_register_can_still_spend_is_written_off_only_where_that_is_wanted(shop: Shop) -> None:
    # given points at a register in service
    till = shop.till()
    shop.sell(till, 500)
    ids = [shop.grant(till, 300).allowance]
    write_off = partial(allowance_desk.write_off, ids=ids, because="so", now=shop.now)
    # when they are to be written off, then nothing is, and what to do is said
    with pytest.raises(allowance_desk.StillLiveError, match=r"register 12/1 is in service .* `--even-live`"):
        shop.write(write_off)
    assert (shop.allowance(ids[0]).state, shop.balance()) == ("open", balance(500, 200))
    # but they are where somebody knows what that means
    assert shop.write(partial(write_off, even_live=True)).points == 300
    assert shop.balance() == balance(500, 500)


def test_of_a_register_that_was_revoked_it_is_written_off(shop: Shop) -> None:
    till = shop.till()
    shop.sell(till, 500)
    ids = [shop.grant(till, 300).allowance]
    shop.write(lambda connection: devices.revoke(connection, till.device, shop.now))
    assert shop.write(partial(allowance_desk.write_off, ids=ids, because="gone", now=shop.now)).points == 300


def test_a_revoked_register_keeps_what_was_set_aside(shop: Shop) -> None:
    till = shop.till()
    shop.sell(till, 500)
    shop.grant(till, 300)

    shop.write(lambda connection: devices.revoke(connection, till.device, shop.now))

    assert shop.balance() == balance(500, 200)
    assert "waits for the head office" in str(shop.ask(shop.till("2"), want=300).refused)


# ---- over the wire


async def told_balance(till: Till) -> Balance | UnsetType:
    """As the newest change of the member says."""
    row = [change.row for change in (await till.changes()).changes if change.member == "m1"][-1]
    return UNSET if row is UNSET else row.balance


async def test_a_register_hears_of_an_allowance_and_spends_it(centre: RunningCentre) -> None:
    # given a program with rewards, and a member with points
    key = centre.folder.program_key()
    centre.write(lambda connection: operations.publish(connection, rewards(), key, NOON + timedelta(seconds=1)))
    centre.clock.now = NOON + timedelta(minutes=1)
    till = await centre.till()
    await till.sell(receipt(1, 500, code="TS0001"))
    # when the register wants some of them
    request = AllowancesRequest(epoch=till.epoch, after=0, want=Wanted(member="m1", points=300))
    granted = await till.post("/v1/allowances", request, AllowancesResponse, request_id="want-1")
    # then it has them, the heartbeat names their number, and the feed shows the rest
    [allowance] = granted.allowances
    assert (await till.heartbeat()).allowances == granted.next == allowance.number
    assert await told_balance(till) == balance(500, 200)
    # and for a reward that takes the centre's word it has that, and no more points
    request = AllowancesRequest(epoch=till.epoch, after=granted.next, want=Wanted(member="m1", points=0))
    word = await till.post("/v1/allowances", request, AllowancesResponse, request_id="word-1")
    assert (word.refused, word.allowances) == (UNSET, ())
    # and what it spends counts once, however often it is sent
    body = RedeemBody(
        member="m1",
        reward="r5",
        times=3,
        points=300,
        discount_minor=1500,
        drawn=(Draw(allowance=allowance.allowance, points=300),),
        at=NOON,
    )
    till.entry("redeem", "k1", msgspec.json.encode(body))
    await till.send(2)
    await till.send(2)
    assert await told_balance(till) == balance(200, 200)
    # and an epoch that is not its own is refused
    with pytest.raises(RefusedError) as refused:
        await till.post("/v1/allowances", AllowancesRequest(epoch="another", after=0), AllowancesResponse)
    assert refused.value.status == 410


async def test_the_server_sets_points_aside_by_itself(centre: RunningCentre) -> None:
    key = centre.folder.program_key()
    centre.write(lambda connection: operations.publish(connection, rewards(), key, NOON + timedelta(seconds=1)))
    centre.clock.now = NOON + timedelta(minutes=1)
    till = await centre.till()
    before = (await till.heartbeat()).allowances
    await till.sell(receipt(1, 500, code="TS0001"))
    centre.clock.now += timedelta(minutes=1)

    await until(lambda: centre.count(tables.allowances) == 1)
    assert (await till.heartbeat()).allowances != before

    answer = await till.post("/v1/allowances", AllowancesRequest(epoch=till.epoch, after=0), AllowancesResponse)
    assert [one.points for one in answer.allowances] == [300]


async def test_a_register_that_listens_is_told_at_once_of_what_was_set_aside_and_of_what_is_asked_back(
    centre: RunningCentre,
) -> None:
    # given a register that listens, at which a member shops
    key = centre.folder.program_key()
    centre.write(lambda connection: operations.publish(connection, rewards(), key, NOON + timedelta(seconds=1)))
    centre.clock.now = NOON + timedelta(minutes=1)
    till, other = await centre.till(), await centre.till(register="4")
    socket = await till.live()
    await till.sell(receipt(1, 500, code="TS0001"))
    # when points are set aside for it ahead, it is told
    centre.clock.now += timedelta(minutes=1)
    await told_of_allowances(socket)
    granted = await till.post(
        "/v1/allowances", AllowancesRequest(epoch=till.epoch, after=0), AllowancesResponse, request_id="ask-1"
    )
    # and when another register needs them, it is told again
    want = AllowancesRequest(epoch=other.epoch, after=0, want=Wanted(member="m1", points=400))
    refused = await other.post("/v1/allowances", want, AllowancesResponse, request_id="want-1")
    await told_of_allowances(socket)
    again = AllowancesRequest(epoch=till.epoch, after=granted.next)
    recalled = await till.post("/v1/allowances", again, AllowancesResponse, request_id="ask-2")

    assert "was asked for it" in str(refused.refused)
    assert [(one.points, one.recalled) for one in recalled.allowances] == [(300, True)]
    await socket.close()


async def told_of_allowances(socket: ClientWebSocketResponse) -> None:
    async with asyncio.timeout(10):
        while msgspec.json.decode((await socket.receive()).data, type=LiveHint).command != ALLOWANCES_HINT:
            pass


async def test_what_is_lost_is_written_off_on_the_pages(centre: RunningCentre) -> None:
    # given points that are set aside for a register which began anew
    till = await centre.till()
    await till.sell(receipt(1, 500_000, code="TS0001"))
    request = AllowancesRequest(epoch=till.epoch, after=0, want=Wanted(member="m1", points=300))
    [allowance] = (await till.post("/v1/allowances", request, AllowancesResponse)).allowances
    browser = Browser(centre)
    await browser.open(centre.ready.open)
    # while it can spend them there is no form for it
    assert "Write off" not in (await browser.get("/allowances"))[1]
    by_hand = {"allowance": allowance.allowance, "because": "x", "token": await browser.token("/fleet")}
    assert (await browser.post("/allowances/write-off", by_hand)).status == 409
    await till.open_epoch()
    # when somebody says why, on the list or at the member
    for page in ("/allowances", "/members/m1"):
        assert "Write off" in (await browser.get(page))[1]
    fields = {"allowance": allowance.allowance, "token": await browser.token("/allowances")}
    assert (await browser.post("/allowances/write-off", fields | {"because": " "})).status == 409
    assert (await browser.post("/allowances/write-off", fields | {"because": "lost", "token": "x"})).status == 403
    assert (await browser.post("/allowances/write-off", fields | {"because": "lost"})).status == 303
    # then they are free, once
    assert await told_balance(till) == balance(500, 500)
    assert (await browser.post("/allowances/write-off", fields | {"because": "lost"})).status == 409


def test_a_reward_is_taken_in_on_a_receipt_whose_sender_gave_it_a_long_key(shop: Shop) -> None:
    till = shop.till()
    shop.sell(till, 1000)
    granted = shop.grant(till, 500)
    sold = replace(receipt(77, 100, code="TS0001", issued_at=shop.now, register=till.device[:8]), key="k" * 255)
    till.sale(sold)
    shop.send(till, len(till.sent))

    told = shop.redeem(till, 500, (granted.allowance, 500), receipt=sold.key)

    assert told.code == "accepted"
    assert shop.balance().spendable == 600
    refused = shop.redeem(till, 0, receipt="k" * 256)
    assert (refused.code, refused.detail) == (
        "quarantined",
        "the key of a redemption's receipt is longer than 255 characters",
    )
