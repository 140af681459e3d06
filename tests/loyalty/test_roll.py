"""What time alone does to a member."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from loyalty.account import Account
from loyalty.member import Activity, Counters, Lot, MemberState
from loyalty.program import Tier, program_from_json
from loyalty.roll import roll
from tests.loyalty.receipts import MORNING

PROGRAM = program_from_json(
    b"""{"program":"p","currency":"EUR","earn":[],
    "tiers":[{"id":"gold","from":{"points_in":"P30D","at_least":100},"grace":"P10D"}]}"""
)


def on(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T00:00:00+00:00")


MEMBER = MemberState(
    code="1",
    confirmed=100,
    pending=40,
    spendable=90,
    counters=Counters(
        lots=(
            Lot(points=70, expires_at=on("2027-03-01")),
            Lot(points=60, expires_at=on("2027-01-01")),
            Lot(points=40, pending_until=on("2026-12-01"), expires_at=on("2027-02-01")),
        )
    ),
)


@pytest.mark.parametrize(
    ("until", "confirmed", "pending", "spendable"),
    [
        ("2026-11-30", 100, 40, 90),
        ("2026-12-01", 140, 0, 130),
        ("2027-01-01", 110, 0, 100),  # 30 of the 60 were spent before
        ("2027-02-01", 70, 0, 60),
        ("2027-03-01", 10, 0, 0),  # what is reserved does not expire
    ],
)
def test_points_mature_and_expire_the_soonest_first(until: str, confirmed: int, pending: int, spendable: int) -> None:
    rolled = roll(MEMBER, PROGRAM, on(until))

    assert (rolled.confirmed, rolled.pending, rolled.spendable) == (confirmed, pending, spendable)


def test_what_was_reserved_expires_once_it_is_free_again() -> None:
    held = roll(MEMBER, PROGRAM, on("2027-03-01"))

    free = roll(replace(held, spendable=held.confirmed), PROGRAM, on("2027-03-02"))

    assert held.counters.lots == (Lot(points=10, expires_at=on("2027-03-01")),)
    assert (free.confirmed, free.spendable, free.counters.lots) == (0, 0, ())


def test_a_debt_stays_as_it_is() -> None:
    owing = MemberState(code="1", confirmed=-50, counters=Counters(lots=(Lot(points=20, expires_at=on("2027-01-01")),)))

    rolled = roll(owing, PROGRAM, on("2028-01-01"))

    assert (rolled.confirmed, rolled.spendable) == (-50, -50)


def test_points_in_no_lot_stay() -> None:
    assert roll(MemberState(code="1", confirmed=7, pending=3), PROGRAM, on("2030-01-01")).balance.confirmed == 7


@pytest.mark.parametrize(("until", "tier"), [("2026-11-30", "gold"), ("2026-12-10", "gold"), ("2026-12-11", None)])
def test_a_tier_ends_after_its_window_and_grace(until: str, tier: str | None) -> None:
    activity = (Activity(at=on("2026-11-01"), points=60), Activity(at=on("2026-11-25"), points=40))

    rolled = roll(MemberState(code="1", tier="gold", counters=Counters(activity=activity)), PROGRAM, on(until))

    # 100 points until the first are 30 days old, on 1 December, and ten days of grace after that
    assert (rolled.tier or None) == tier


@given(st.lists(st.dates(MORNING.date(), date(2028, 1, 1)), min_size=1, max_size=4))
def test_rolling_in_steps_comes_to_the_same(days: list[date]) -> None:
    member = MEMBER
    for day in sorted(days):
        member = roll(member, PROGRAM, on(str(day)))

    assert member == roll(MEMBER, PROGRAM, on(str(max(days))))


def test_a_tier_that_was_given_by_hand_stays() -> None:
    friend = Tier(id="friend")
    by_hand = replace(PROGRAM, tiers=(*PROGRAM.tiers, friend))

    untold = roll(MemberState(code="1", tier="gold"), PROGRAM, on("2030-01-01"))
    given_by_hand = roll(
        MemberState(code="1", tier="friend", counters=Counters(activity=(Activity(at=on("2026-11-01"), points=500),))),
        by_hand,
        on("2026-11-02"),
    )

    # of gold it is not told what it was reached with
    assert (untold.tier, given_by_hand.tier) == ("gold", "friend")
    assert (roll(MemberState(code="1"), PROGRAM, on("2030-01-01")).tier or None) is None


def test_activity_stays_told_beside_a_tier_that_is_given_by_hand() -> None:
    friend = replace(PROGRAM, tiers=(Tier(id="friend"), *PROGRAM.tiers))
    old, new = (Activity(at=on(day), points=500) for day in ("2020-11-01", "2026-11-01"))

    told = Account(friend, MemberState(code="1", counters=Counters(activity=(old, new)))).state(on("2026-11-02"))

    # what left all windows is told no more
    assert told.counters.activity == (new,)
    assert told.tier == "gold"


def test_activity_stays_told_until_its_grace_is_over() -> None:
    bought = Activity(at=on("2026-11-01"), points=500)
    member = MemberState(code="1", counters=Counters(activity=(bought,)))

    # 30 days of its window and 10 of grace
    assert Account(PROGRAM, member).state(on("2026-12-10")).counters.activity == (bought,)
    assert Account(PROGRAM, member).state(on("2026-12-12")).counters.activity == ()


def test_activity_of_a_time_that_utc_has_no_date_for_counts_as_long_ago() -> None:
    long_ago = Activity(at=datetime.fromisoformat("0001-01-01T00:30+01:00"), points=500)

    rolled = roll(MemberState(code="1", counters=Counters(activity=(long_ago,))), PROGRAM, on("2026-11-02"))

    assert (rolled.tier or None) is None


def test_what_was_spent_came_off_the_lots_that_expire_and_then_off_those_that_stay() -> None:
    lots = (Lot(points=30), Lot(points=20, expires_at=on("2027-01-01")), Lot(points=9, pending_until=on("2027-02-01")))
    member = MemberState(code="1", confirmed=29, pending=9, counters=Counters(lots=lots))

    rolled = roll(member, PROGRAM, on("2026-12-01"))

    assert rolled.counters.lots == (Lot(points=29), Lot(points=9, pending_until=on("2027-02-01")))
    # what is pending cannot have been spent, however soon it expires
    soon = Lot(points=9, pending_until=on("2026-12-15"), expires_at=on("2026-12-31"))
    waiting = replace(member, counters=Counters(lots=(*lots[:2], soon)))
    assert roll(waiting, PROGRAM, on("2026-12-01")).counters.lots == (soon, Lot(points=29))
    one_spent = roll(replace(member, confirmed=49), PROGRAM, on("2026-12-01")).counters.lots
    assert one_spent == (Lot(points=19, expires_at=on("2027-01-01")), Lot(points=30), lots[2])


def test_lots_that_nobody_told_stay_untold() -> None:
    assert roll(MemberState(code="1", confirmed=5), PROGRAM, on("2026-12-01")).counters.lots is UNSET
