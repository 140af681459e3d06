"""Vouchers that are issued one by one: at one register at a time, counted once, and back when the goods come back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec import UNSET
from msgspec.structs import replace
from sqlalchemy import Connection
from typer.testing import CliRunner

from central import allowance_desk, erasing, joining, operations, planning, vouchers
from central.cli import app
from central.db import tables
from central.members import UnknownMemberError
from central.problems import UnreadableError
from central.vouchers import VoucherError
from loyalty.allowances import Policy
from loyalty.receipt import Line, Original
from loyalty.voucher_codes import is_voucher_code
from sync.wire import GrantedAllowance, HeldAllowance
from tests.central.redeeming import GIFT, REWARD, UNIT, Shop, rewards
from tests.central.till import Till

NOT_AHEAD = {"rewards": [{"id": GIFT, "issued": True, "discount_minor": 300}]}


@pytest.fixture
def shop(data: Path, request: pytest.FixtureRequest) -> Iterator[Shop]:
    made = Shop(data, rewards(**getattr(request, "param", {})))
    yield made
    made.database.close()


def refused(shop: Shop, till: Till, voucher: str, member: str = "m1") -> str:
    answer = shop.ask(till, after=shop.ask(till).next, voucher=voucher, member=member)
    assert answer.allowances == ()
    return str(answer.refused)


def reason(shop: Shop, till: Till, voucher: str, member: str = "m1") -> object:
    return shop.ask(till, after=shop.ask(till).next, voucher=voucher, member=member).refused_because


def problems(shop: Shop, key: str) -> Any:
    return json.loads(shop.redemption(key).problems)


# ---- one use at one place


def test_a_voucher_of_one_use_is_at_one_register_at_a_time(shop: Shop) -> None:
    # given a voucher that one register was asked for
    first, second = shop.till("1"), shop.till("2")
    [voucher] = shop.issue()
    lease = shop.lease(first, voucher)
    assert (lease.voucher, lease.reward, lease.points, lease.member) == (voucher, GIFT, 1, "")
    # when it is shown at another one
    said = refused(shop, second, voucher)
    assert reason(shop, second, voucher) == "elsewhere"
    # then that hears where it is, and the first one is asked for it
    assert "register 12/1 holds this voucher and was asked for it" in said
    [again] = shop.ask(first, after=lease.number).allowances
    assert (again.allowance, again.recalled) == (lease.allowance, True)
    # and once it gave it back, the other one has it, and no point of anybody moved
    shop.give_back(first, lease.allowance, 1)
    assert shop.lease(second, voucher).voucher == voucher
    assert shop.balance() == shop.balance()


def test_a_voucher_that_was_used_is_used(shop: Shop) -> None:
    first, second = shop.till("1"), shop.till("2")
    sold = shop.sell(first, 300)
    [voucher] = shop.issue()

    outcome = shop.take(first, shop.lease(first, voucher), key="k1", receipt=sold.key)

    assert (outcome.code, outcome.detail or "", problems(shop, "k1")) == ("accepted", "", [])
    assert refused(shop, second, voucher) == refused(shop, first, voucher) == "this voucher was used already"
    assert reason(shop, second, voucher) == "used"
    assert (shop.voucher(voucher).given, shop.voucher(voucher).held) == (1, 0)
    # it took nothing of the ledger, and told again it is the same
    assert shop.balance().confirmed == 300
    assert shop.redeem(first, 0, key="k1", reward=GIFT, voucher=voucher).code == "duplicate"


def test_a_want_whose_answer_was_lost_is_granted_once(shop: Shop) -> None:
    till = shop.till()
    [voucher] = shop.issue(uses=2)
    before = shop.ask(till).next
    lost = shop.ask(till, after=before, voucher=voucher)

    assert shop.ask(till, after=before, voucher=voucher).allowances == lost.allowances
    # once the register has it, the same want is the other use; there is no third
    assert len(shop.ask(till, after=lost.next, voucher=voucher).allowances) == 1
    assert refused(shop, till, voucher) == "this voucher was used already"


def test_a_register_that_holds_one_can_have_the_centres_word_alone(shop: Shop) -> None:
    till = shop.till()
    [voucher] = shop.issue(uses=2)
    lease = shop.lease(till, voucher)

    answer = shop.ask(till, after=lease.number, want=0, voucher=voucher)

    assert (answer.allowances, answer.refused, shop.voucher(voucher).held) == ((), UNSET, 1)
    shop.write(partial(vouchers.revoke, voucher=voucher, because="stolen", now=shop.now))
    assert shop.ask(till, after=lease.number, want=0, voucher=voucher).refused_because == "revoked"


def test_of_an_epoch_that_ended_it_stays_set_aside_until_a_person_writes_it_off(shop: Shop) -> None:
    till, other = shop.till("1"), shop.till("2")
    [voucher] = shop.issue()
    lease = shop.lease(till, voucher)
    shop.open_epoch(till)

    assert "waits for the head office" in refused(shop, other, voucher)
    assert "ended" in str(shop.give_back(till, lease.allowance, 1).detail)
    done = shop.write(lambda connection: allowance_desk.write_off(connection, [lease.allowance], "gone", shop.now))

    assert (done.points, done.uses) == (0, 1)
    assert shop.lease(other, voucher).voucher == voucher


# ---- whose it is, and whether it holds


def test_a_personal_voucher_is_one_members(shop: Shop) -> None:
    till = shop.till()
    [voucher] = shop.issue(member="m1")

    assert refused(shop, till, voucher, member="m2") == "this voucher is another member's"
    assert reason(shop, till, voucher, member="m2") == "foreign"
    lease = shop.lease(till, voucher)
    assert lease.member == "m1"
    # one that was given to another all the same counts, and is shown
    shop.take(till, lease, key="k1", member="m2")
    assert problems(shop, "k1") == ["foreign_voucher"]
    assert shop.voucher(voucher).given == 1


def test_what_was_never_issued_and_what_was_revoked_brings_nothing(shop: Shop) -> None:
    till = shop.till()
    [voucher, held] = shop.issue(2)
    lease = shop.lease(till, held)
    for one in (voucher, held):
        shop.write(partial(vouchers.revoke, voucher=one, because="stolen", now=shop.now))

    assert refused(shop, till, "ab" * 32) == "the head office issued no such voucher"
    assert reason(shop, till, "ab" * 32) == "unknown"
    assert refused(shop, till, voucher) == "this voucher was revoked: stolen"
    assert reason(shop, till, voucher) == "revoked"
    # where one is held, that register is asked for it; what it gave meanwhile counts, and is shown
    assert [one.recalled for one in shop.ask(till, after=lease.number).allowances] == [True]
    shop.take(till, lease, key="k1")
    assert problems(shop, "k1") == ["revoked_voucher"]


def test_what_was_taken_without_being_set_aside_counts_and_is_shown(shop: Shop) -> None:
    first, second = shop.till("1"), shop.till("2")
    [voucher, other] = shop.issue(2)
    lease = shop.lease(first, voucher)
    shop.take(first, lease, key="k1")

    for key, till, more, found in (
        ("k2", first, {}, ["closed_allowance", "beyond_uses"]),
        ("k3", second, {}, ["foreign_allowance", "beyond_uses"]),
        ("k4", first, {"voucher": other}, ["foreign_allowance"]),
        ("k5", first, {"voucher": "ab" * 32}, ["foreign_allowance", "unknown_voucher"]),
    ):
        assert shop.take(till, lease, key=key, **more).code == "accepted"
        assert sorted(problems(shop, key)) == sorted(found), key
    assert shop.voucher(voucher).given == 3
    # a lease of points brings no voucher, and the other way round
    shop.sell(first, 300)
    points = shop.grant(first, 100)
    shop.redeem(first, 0, (points.allowance, 1), key="k6", reward=GIFT, voucher=other)
    assert "foreign_allowance" in problems(shop, "k6")
    [third] = shop.issue()
    shop.redeem(first, 100, (shop.lease(first, third).allowance, 1), key="k7")
    assert problems(shop, "k7") == ["foreign_allowance"]
    assert shop.voucher(third).held == 1


def test_one_that_is_on_its_way_back_from_a_register_is_not_called_used_there(shop: Shop) -> None:
    first, second = shop.till("1"), shop.till("2")
    [voucher] = shop.issue()
    lease = shop.lease(first, voucher)
    refused(shop, second, voucher)
    shop.ask(first, after=lease.number)  # it is told to give it back, and has not yet

    assert refused(shop, first, voucher) == "this register is giving this voucher back: try again in a minute"


# ---- what brings it back


def test_goods_that_come_back_whole_bring_it_back_and_a_part_of_them_does_not(shop: Shop) -> None:
    till = shop.till()
    sold = shop.sell(till, 300)
    [voucher] = shop.issue()
    shop.take(till, shop.lease(till, voucher), receipt=sold.key)

    shop.take_back(till, sold, -100)
    assert refused(shop, till, voucher) == "this voucher was used already"
    shop.take_back(till, sold, -200)

    assert shop.voucher(voucher).given == 0
    assert shop.lease(till, voucher).voucher == voucher


@pytest.mark.parametrize(("back", "given"), [(999, 0), (1000, 0), (998, 1)])
def test_what_cash_was_rounded_by_keeps_no_use(shop: Shop, back: int, given: int) -> None:
    # given a sale of 999 for which 1,000 were paid, with a voucher
    till = shop.till()
    sold = shop.sell(till, 1000, rounding_minor=1, lines=(Line(position=1, amount_minor=999),))
    [voucher] = shop.issue()
    shop.take(till, shop.lease(till, voucher), receipt=sold.key)
    # when it comes back, then the voucher does where nothing of the goods stays
    shop.take_back(till, sold, -back)
    assert shop.voucher(voucher).given == given


@pytest.mark.parametrize(("back", "given"), [(300, 0), (100, 1)])
def test_goods_that_are_exchanged_come_back_as_others_do(shop: Shop, back: int, given: int) -> None:
    # given a sale with a voucher
    till = shop.till()
    sold = shop.sell(till, 300)
    [voucher] = shop.issue()
    shop.take(till, shop.lease(till, voucher), receipt=sold.key)
    # when all of it, or a part, is exchanged for something dearer
    lines = (Line(position=1, amount_minor=-back), Line(position=2, amount_minor=500))
    shop.sell(till, 500 - back, kind="exchange", original=Original(number=sold.number), lines=lines)
    # then the voucher is back where all of it is
    assert shop.voucher(voucher).given == given


def test_of_an_exchange_its_sale_is_what_may_come_back(shop: Shop) -> None:
    # given an exchange for something cheaper, on which a voucher was taken
    till = shop.till()
    first = shop.sell(till, 500)
    lines = (Line(position=1, amount_minor=-500), Line(position=2, amount_minor=300))
    swapped = shop.sell(till, -200, kind="exchange", original=Original(number=first.number), lines=lines)
    [voucher] = shop.issue()
    shop.take(till, shop.lease(till, voucher), receipt=swapped.key)
    assert shop.voucher(voucher).given == 1
    # when that comes back
    shop.take_back(till, swapped, -300)
    assert shop.voucher(voucher).given == 0


def test_goods_that_a_voucher_paid_for_whole_bring_it_back_piece_by_piece(shop: Shop) -> None:
    till = shop.till()
    sold = shop.sell(till, 0, lines=(Line(position=1, amount_minor=0, quantity="3"),))
    [voucher] = shop.issue()
    shop.take(till, shop.lease(till, voucher), receipt=sold.key)

    # one of three free pieces comes back with a total of nothing
    shop.take_back(till, sold, 0)
    assert shop.voucher(voucher).given == 1

    for _ in range(2):
        shop.take_back(till, sold, 0)
    assert shop.voucher(voucher).given == 0


def test_a_free_piece_that_is_kept_keeps_its_voucher_used(shop: Shop) -> None:
    # given a coffee for nothing, by a voucher, beside a cake that was paid for
    till = shop.till()
    shop.sell(till, 1000)
    lines = (
        Line(position=1, description="COFFEE", quantity="1", amount_minor=0, discount_minor=180),
        Line(position=2, description="CAKE", quantity="1", amount_minor=50),
    )
    sold = shop.sell(till, 50, lines=lines)
    [voucher] = shop.issue()
    shop.take(till, shop.lease(till, voucher), receipt=sold.key)

    # when the cake alone comes back
    shop.take_back(till, sold, -50)

    assert shop.voucher(voucher).given == 1


def test_a_sale_that_is_voided_brings_it_back(shop: Shop) -> None:
    till = shop.till()
    sold = shop.sell(till, 300)
    [voucher] = shop.issue()
    shop.take(till, shop.lease(till, voucher), receipt=sold.key)

    till.sale(replace(sold, status="voided"))
    shop.send(till, len(till.sent))

    assert shop.voucher(voucher).given == 0


def test_one_that_did_not_take_place_is_its_registers_again(shop: Shop) -> None:
    till, other = shop.till("1"), shop.till("2")
    [voucher] = shop.issue()
    lease = shop.lease(till, voucher)
    shop.take(till, lease, key="k1")
    assert shop.release(other, "k1").code == "quarantined"

    assert shop.release(till, "k1").code == "accepted"
    assert shop.release(till, "k1").code == "duplicate"

    assert (shop.voucher(voucher).given, shop.voucher(voucher).held) == (0, 1)
    assert "register 12/1 holds this voucher" in refused(shop, other, voucher)
    # it says that it did not use it, and what was released is in that or not
    assert shop.give_back(till, lease.allowance, 0).code == "accepted"
    assert shop.lease(other, voucher).voucher == voucher


# ---- ahead


def test_a_personal_voucher_lies_where_its_member_shops(shop: Shop) -> None:
    # given a member who shops at one register more than at another
    often, seldom = shop.till("1"), shop.till("2")
    for till in (often, often, seldom):
        shop.sell(till, 1)
    before = {till.device: shop.ask(till).next for till in (often, seldom)}
    # when a voucher of one use, and one of two, is issued for them, and one for whoever shows it
    [single], [double], _ = shop.issue(member="m1"), shop.issue(member="m1", uses=2), shop.issue()
    shop.plan()
    # then each lies where they mostly shop, and the second use of one at the other
    at = {till.device: shop.ask(till, after=before[till.device]).allowances for till in (often, seldom)}
    assert {one.voucher for one in at[often.device]} == {single, double}
    assert [one.voucher for one in at[seldom.device]] == [double]
    # and planned again nothing moves
    shop.sell(often, 1)
    shop.plan()
    assert shop.ask(often, after=at[often.device][-1].number).allowances == ()


def test_one_that_lies_where_its_member_seldom_shops_is_asked_back(shop: Shop) -> None:
    first, second = shop.till("1"), shop.till("2")
    shop.sell(first, 1)
    [voucher] = shop.issue(member="m1")
    shop.plan()
    [lease] = shop.ask(first).allowances
    # when they shop at another register from then on, which is in contact
    for _ in range(2):
        shop.sell(second, 1)
    shop.write(lambda connection: connection.execute(tables.devices.update().values(last_contact=shop.now)))
    shop.plan()
    # then it is asked back, and dealt out anew
    [again] = shop.ask(first, after=lease.number).allowances
    assert again.recalled
    shop.give_back(first, lease.allowance, 1)
    shop.plan()
    assert [one.voucher for one in shop.ask(second).allowances] == [voucher]


@pytest.mark.parametrize("shop", [NOT_AHEAD], indirect=True)
def test_where_the_program_does_not_say_so_none_is_set_aside_ahead(shop: Shop) -> None:
    till = shop.till()
    shop.sell(till, 1)
    [voucher] = shop.issue(member="m1")
    shop.plan()

    assert not shop.read(lambda connection: planning.may_plan(connection, shop.now))
    assert shop.ask(till).allowances == ()
    assert shop.lease(till, voucher).voucher == voucher


HERE_FOR_VIPS = rewards(
    rewards=[
        {
            "id": GIFT,
            "issued": True,
            "discount_minor": 300,
            "offline": "allowance",
            "when": {"all": [{"segment_in": ["vip"]}, {"store_in": ["12"]}]},
        }
    ]
)


@pytest.mark.parametrize(("segments", "held"), [('["vip"]', 1), ("[]", 0)])
def test_a_voucher_lies_only_where_its_member_can_have_what_it_brings(data: Path, segments: str, held: int) -> None:
    shop = Shop(data, HERE_FOR_VIPS)
    shop.sell(shop.till(), 1)
    shop.write(lambda connection: connection.execute(tables.members.update().values(segments=segments)))
    [voucher] = shop.issue(member="m1")

    shop.plan()

    assert shop.voucher(voucher).held == held
    shop.database.close()


def test_a_voucher_whose_reward_begins_tomorrow_is_set_aside_then(data: Path) -> None:
    gift = {"id": GIFT, "issued": True, "discount_minor": 300, "offline": "allowance", "valid_from": "2026-11-23"}
    shop = Shop(data, rewards(rewards=[gift]))
    shop.sell(shop.till(), 1)
    [voucher] = shop.issue(member="m1")
    shop.plan()
    assert shop.voucher(voucher).held == 0

    shop.pass_time(timedelta(hours=11))
    shop.plan()

    assert shop.voucher(voucher).held == 1
    shop.database.close()


def test_with_no_places_nothing_lies_anywhere(shop: Shop) -> None:
    till = shop.till()
    shop.sell(till, 1)
    shop.write(lambda connection: planning.set_policy(connection, Policy(places=0), "to be asked", shop.now))
    shop.issue(member="m1")
    shop.plan()

    assert shop.ask(till).allowances == ()


# ---- members that become one, and that are erased


def test_a_voucher_goes_with_its_member(shop: Shop) -> None:
    till = shop.till()
    [voucher] = shop.issue(member="m2")
    shop.write(lambda connection: joining.merge(connection, "m2", "m1", "the same", shop.now))

    assert shop.lease(till, voucher, member="m1").member == "m1"


def test_of_a_member_who_is_erased_no_voucher_brings_anything(shop: Shop) -> None:
    till = shop.till()
    [voucher] = shop.issue(member="m1", uses=2)
    lease = shop.lease(till, voucher)
    shop.write(lambda connection: erasing.erase(connection, "m1", shop.now))

    assert shop.voucher(voucher).held == 0
    assert shop.allowance(lease.allowance).state == "erased"
    assert refused(shop, till, voucher, member="m2") == "this voucher was revoked: the member was erased"


# ---- a centre that was restored


def test_a_restored_centre_hears_of_what_registers_hold(shop: Shop) -> None:
    # given a centre that forgot two vouchers, one of which was used since; and knows of a third, not where it is
    till, other = shop.till("1"), shop.till("2")
    forgotten, used, known = shop.issue(3)
    leases = [shop.lease(till, one) for one in (forgotten, used, known)]
    shop.write(lambda connection: connection.execute(tables.allowances.delete()))
    gone = tables.vouchers.delete().where(tables.vouchers.c.id != known)
    shop.write(lambda connection: connection.execute(gone))
    # when the register tells what it holds, after what it gave
    shop.take(till, leases[1], key="k1")
    held = tuple(_held(one, used=int(one.voucher == used)) for one in leases)
    for _ in range(2):
        shop.ask(till, held=held)
    # then each is where it was
    assert [shop.voucher(one).held for one in (forgotten, used, known)] == [1, 0, 1]
    assert [shop.voucher(one).given for one in (forgotten, used, known)] == [0, 1, 0]
    assert refused(shop, other, used) == "this voucher was used already"
    assert "register 12/1 holds this voucher" in refused(shop, other, forgotten)


def test_a_voucher_that_was_forgotten_has_as_many_uses_as_registers_were_given(shop: Shop) -> None:
    # given a voucher of two uses, both of which registers hold, at a centre that forgot it
    tills = [shop.till("1"), shop.till("2")]
    [voucher] = shop.issue(uses=2)
    leases = [shop.lease(till, voucher) for till in tills]
    for table in (tables.allowances, tables.vouchers):
        shop.write(partial(Connection.execute, statement=table.delete()))
    # when both tell, one of them after it gave its use
    shop.take(tills[0], leases[0])
    for till, one in zip(tills, leases, strict=True):
        shop.ask(till, held=(_held(one, used=int(till is tills[0])),))
    # then there are these two, and no third
    listed = shop.voucher(voucher)
    assert (listed.uses, listed.given, listed.held) == (2, 1, 1)
    assert "not issued here" in str(listed.because)
    assert "register 12/2 holds this voucher" in refused(shop, tills[0], voucher)


def _held(one: GrantedAllowance, used: int = 0) -> HeldAllowance:
    facts = {name: getattr(one, name) for name in ("allowance", "member", "epoch", "points", "voucher", "reward")}
    return HeldAllowance(used=used, **facts)


def test_what_is_held_of_nobodys_voucher_is_passed_over(shop: Shop) -> None:
    till = shop.till()
    one = HeldAllowance(
        allowance="a", member="m99", epoch=till.epoch, points=1, used=0, voucher="ab" * 32, reward=REWARD
    )

    shop.ask(till, held=(one,))

    assert shop.read(vouchers.listed).vouchers == ()


def test_what_is_held_of_an_unknown_voucher_has_to_say_what_it_brings(shop: Shop) -> None:
    till = shop.till()
    one = HeldAllowance(allowance="a", member="", epoch=till.epoch, points=1, used=0, voucher="ab" * 32)

    with pytest.raises(UnreadableError):
        shop.ask(till, held=(one,))


def test_another_policy_looks_at_who_has_vouchers_and_no_points(shop: Shop) -> None:
    shop.issue(member="m2")
    shop.write(lambda connection: connection.execute(tables.balances.update().values(unplanned=0)))

    shop.write(lambda connection: planning.set_policy(connection, Policy(), "more", shop.now))

    unplanned = tables.balances.select().where(tables.balances.c.unplanned == 1)
    assert "m2" in {row.member for row in shop.read(lambda connection: connection.execute(unplanned).all())}


def test_a_program_that_begins_to_have_vouchers_sets_them_aside_when_it_begins(shop: Shop) -> None:
    # given a member's voucher under a program that sets none aside, and another program that will
    till = shop.till()
    key = shop.folder.program_key()
    points_only = rewards(rewards=[{"id": REWARD, "cost": UNIT, "discount_minor": 500, "offline": "allowance"}])
    begins = shop.now + timedelta(days=1)
    [voucher] = shop.issue(member="m1")
    shop.write(lambda connection: operations.publish(connection, points_only, key, shop.now))
    shop.sell(till, 10)
    shop.plan()
    shop.write(lambda connection: operations.publish(connection, rewards(), key, shop.now, begins))
    shop.pass_time(timedelta(hours=23))
    shop.plan()
    assert shop.voucher(voucher).held == 0
    # when that begins, and nobody shops
    shop.pass_time(timedelta(hours=1))
    shop.plan()
    # then it lies where the member shops
    assert (shop.voucher(voucher).held, shop.voucher(voucher).places) == (1, ("12/1",))


# ---- the end of a voucher


def test_a_voucher_is_good_until_what_its_reward_says_or_who_issues_it(shop: Shop) -> None:
    # given a reward whose vouchers are good for a month, and for some of them another day
    gift = {"id": GIFT, "issued": True, "discount_minor": 300, "expires": "P1M"}
    key = shop.folder.program_key()
    shop.write(lambda connection: operations.publish(connection, rewards(rewards=[gift]), key, shop.now))
    [by_kind], [by_hand] = shop.issue(), shop.issue(until="2026-12-31")
    # then each has its end, on the program's clock
    zone = ZoneInfo("Europe/Belgrade")
    assert shop.voucher(by_hand).expires_at == datetime(2027, 1, 1, tzinfo=zone)
    end = shop.voucher(by_kind).expires_at
    assert end is not None
    assert end.astimezone(zone).month == shop.now.astimezone(zone).month % 12 + 1
    with pytest.raises(VoucherError, match="over already"):
        shop.issue(until="2020-01-01")
    with pytest.raises(VoucherError, match="no day of the calendar"):
        shop.issue(until="2027-02-30")


def test_a_voucher_that_is_over_is_asked_back_and_set_aside_nowhere(shop: Shop) -> None:
    # given one that lies at a register, which was told its end
    till, other = shop.till("1"), shop.till("2")
    shop.sell(till, 10)
    [own], [anybodys] = shop.issue(member="m1", until="P1D"), shop.issue(until="P1D")
    shop.plan()
    granted = shop.ask(till)
    [lease] = granted.allowances
    assert lease.expires_at == shop.voucher(own).expires_at
    # when it is over
    shop.pass_time(timedelta(days=1))
    shop.plan()
    # then the register is asked for it, and nobody gets it
    [again] = shop.ask(till, after=granted.next).allowances
    assert again.recalled
    for voucher in (own, anybodys):
        assert refused(shop, other, voucher) == "this voucher is over"
        assert reason(shop, other, voucher) == "expired"


def test_a_voucher_that_was_taken_after_its_end_counts_and_is_shown(shop: Shop) -> None:
    till = shop.till()
    [voucher] = shop.issue(2, until="P1D")[:1]
    lease = shop.lease(till, voucher)
    shop.now += timedelta(days=1)

    shop.take(till, lease, key="k1")

    assert problems(shop, "k1") == ["expired_voucher"]


def test_a_clock_that_is_set_back_takes_no_voucher_before_its_end(shop: Shop) -> None:
    till = shop.till()
    [voucher] = shop.issue(2, until="P1D")[:1]
    lease = shop.lease(till, voucher)
    shop.now += timedelta(days=40)
    sold = shop.sell(till, 300)

    shop.take(till, lease, key="k1", receipt=sold.key, at=shop.now - timedelta(days=40))

    assert problems(shop, "k1") == ["expired_voucher"]


# ---- what an operator does


def test_vouchers_are_issued_for_a_reward_that_brings_them(shop: Shop) -> None:
    def issue(reward: str = GIFT, count: int = 1, **more: Any) -> vouchers.Issued:
        done: vouchers.Issued = shop.write(
            lambda connection: vouchers.issue(
                connection, reward, count, now=shop.now, randomness=lambda _: next(bits).to_bytes(16), **more
            )
        )
        return done

    bits = iter(range(100))
    done = issue(count=3, member="TS0001")
    assert (len(set(done.codes)), done.member) == (3, "m1")
    assert all(map(is_voucher_code, done.codes))
    with pytest.raises(VoucherError, match="no published program has a reward 'r5' with \"issued\""):
        issue(REWARD)
    with pytest.raises(VoucherError, match="issue 1 to"):
        issue(count=0)
    with pytest.raises(UnknownMemberError):
        issue(member="nobody")


def test_the_command_line_issues_shows_and_revokes(shop: Shop, data: Path) -> None:
    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["vouchers", *words, "--data", str(data)])
        return result.exit_code, result.output.strip()

    assert run("issue", "--reward", GIFT, "--until", "soon")[0] == 2
    status, printed = run("issue", "--reward", GIFT, "--count", "2", "--member", "m1", "--until", "P90D")
    assert status == 0
    code = printed.splitlines()[0]
    status, shown = run("show", code.lower())
    assert (status, "used 0 of 1 times" in shown, ", until 20" in shown) == (0, True, True)
    which = shown.split()[0]
    assert which in run("list", "--member", "TS0001", "--reward", GIFT)[1]
    assert run("show", which)[0] == 0
    assert "revoked" in run("revoke", which, "--because", "stolen")[1]
    assert "stolen" in json.loads(run("show", code, "--json")[1])["because"]
    # what cannot be is said
    assert run("revoke", code, "--because", " ")[0] == 2
    assert "a character is wrong" in run("show", code[:-1] + ("2" if code[-1] != "2" else "3"))[1]
    assert run("show", "V222-2222-222V") == (1, run("show", "V222-2222-222V")[1])
    assert run("revoke", "V222-2222-222V", "--because", "x")[0] == 1
    assert run("issue", "--reward", REWARD)[0] == 1
    assert run("list", "--member", "nobody")[0] == 1
    assert run("list", "--reward", REWARD)[1] == "No vouchers were issued."


def test_what_is_set_aside_is_listed_with_the_voucher(shop: Shop, data: Path) -> None:
    till = shop.till()
    [voucher] = shop.issue()
    lease = shop.lease(till, voucher)
    shop.now += timedelta(hours=1)

    listed = CliRunner().invoke(app, ["allowances", "list", "--data", str(data)]).output

    assert f"{lease.allowance}  voucher {voucher}" in listed
    live = CliRunner().invoke(app, ["allowances", "write-off", lease.allowance, "--because", "x", "--data", str(data)])
    assert (live.exit_code, shop.allowance(lease.allowance).state) == (1, "open")
    shop.open_epoch(till)
    off = (
        CliRunner()
        .invoke(app, ["allowances", "write-off", lease.allowance, "--because", "x", "--data", str(data)])
        .output
    )
    assert "1 written off, 0 points, and 1 uses of vouchers are free" in off
