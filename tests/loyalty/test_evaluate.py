"""What receipts are worth."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from loyalty.account import Account
from loyalty.conditions import Condition
from loyalty.evaluate import OriginalUnknownError, evaluate
from loyalty.identity import pos_id, rs_purs
from loyalty.ledger import LedgerEntry, balance_of
from loyalty.member import Balance, MemberState
from loyalty.periods import later
from loyalty.program import Cap, EarnRule, Give, Program, Tier
from loyalty.purchase import Basis, Known, Purchase
from loyalty.receipt import Discount, Fiscal, Line, Original, Problem, Receipt, Tax, Tender
from loyalty.returns import Settled
from tests.loyalty.receipts import MORNING, earning_minor, refund, sale

GOLD = MemberState(code="1", tier="gold")
EVENING = MORNING + timedelta(hours=12)


def program(*rules: EarnRule, tiers: tuple[Tier, ...] = (Tier(id="gold", multiplier=(3, 2)),)) -> Program:
    rules = rules or (EarnRule(id="base", give=Give(points=3, per_minor=100)),)
    return Program(program="test", currency="EUR", time_zone="Europe/Ljubljana", tiers=tiers, earn=rules)


def test_the_whole_product_is_made_before_the_one_rounding() -> None:
    # 12.345 × 3 × 3/2 = 55.55…; rounding the basis or the tier first would give 54 or 55.5
    (entry,) = evaluate(sale("1", 1235), known=Known(tier="gold"), program=program())

    assert entry.points == 1235 * 3 * 3 // (100 * 2) == 55
    assert entry.why == "floor(1235 × 3 × 3/2 (gold) ÷ 100) = 55"


def test_a_tier_that_multiplies_by_one_is_not_in_the_arithmetic() -> None:
    terms = program(tiers=(Tier(id="silver"),))

    (entry,) = evaluate(sale("1", 1000), known=Known(tier="silver"), program=terms)

    assert entry.why == "floor(1000 × 3 ÷ 100) = 30"


def test_goods_that_cost_nothing_are_pieces_too() -> None:
    rule = EarnRule(id="pieces", basis=Basis(scope="quantity"), give=Give(points=1, per_minor=1))
    lines = (Line(position=1, amount_minor=500, quantity="2"), Line(position=2, amount_minor=0, quantity="1"))

    (entry,) = evaluate(sale("1", lines=lines), program=program(rule))

    assert (entry.points, entry.why) == (3, "floor(3 × 1 ÷ 1) = 3")


@pytest.mark.parametrize("tier", [UNSET, "silver"])
def test_a_tier_the_program_does_not_know_multiplies_by_one(tier: str) -> None:
    (entry,) = evaluate(sale("1", 1000), known=Known(tier=tier), program=program())

    assert entry.points == 30


def test_a_basis_too_small_for_a_point_gives_no_entry() -> None:
    assert evaluate(sale("1", 33), program=program()) == ()


@pytest.mark.parametrize("status", ["voided", "suspended", "training", "copy", "proforma", "advance"])
def test_only_a_final_receipt_earns(status: str) -> None:
    receipt = replace(sale("1", 1000), status=status)

    assert evaluate(receipt, program=program()) == ()


def test_a_receipt_that_does_not_reconcile_earns_nothing() -> None:
    receipt = replace(sale("1", 1000), problems=(Problem(code="total_mismatch"),))

    assert evaluate(receipt, program=program()) == ()


def test_a_receipt_in_another_currency_earns_nothing() -> None:
    assert evaluate(sale("1", 1000, currency="RSD"), program=program()) == ()


def test_rules_run_in_the_order_of_priority_and_id() -> None:
    give = Give(points=1, per_minor=100)
    rules = (EarnRule(id="b", give=give), EarnRule(id="a", priority=2, give=give), EarnRule(id="a2", give=give))

    entries = evaluate(sale("1", 1000), program=program(*rules))

    assert [entry.rule for entry in entries] == ["a2", "b", "a"]


def test_only_goods_earn_and_share_the_discounts_and_taxes_of_the_whole_receipt() -> None:
    lines = (
        Line(position=1, amount_minor=3000),
        Line(position=2, amount_minor=500, voided=True),
        Line(position=3, kind="giftcard", amount_minor=1000),
    )
    receipt = replace(
        sale("1", lines=lines),
        discounts=(Discount(amount_minor=401),),
        taxes=(Tax(amount_minor=600, included=True), Tax(amount_minor=100, included=False)),
    )

    # (100 − 401) × 3000 ÷ 4000 = −225.75, towards zero
    assert earning_minor(receipt) == 3000 - 225


@pytest.mark.parametrize(
    ("more", "less_points_paid"),
    [
        ({"discounts": (Discount(amount_minor=500),)}, False),
        ({"lines": (Line(position=1, amount_minor=1500), Line(position=2, amount_minor=-500))}, False),
        ({"lines": (Line(position=1, amount_minor=1000), Line(position=2, amount_minor=0, discount_minor=500))}, False),
        ({"tenders": (Tender(kind="points", amount_minor=500),)}, True),
    ],
    ids=["off the receipt", "a line below zero", "a piece for nothing", "paid with points"],
)
def test_what_a_reward_takes_off_earns_nothing(more: dict[str, Any], *, less_points_paid: bool) -> None:
    rule = EarnRule(id="base", give=Give(points=1, per_minor=100), basis=Basis(less_points_paid=less_points_paid))

    [entry] = evaluate(replace(sale("1", 1500), **more), program=program(rule))

    assert entry.points == 10


def test_without_lines_the_total_earns() -> None:
    assert earning_minor(replace(sale("1", 700), lines=())) == 700


def test_points_are_pending_until_the_rules_time_after_the_receipt() -> None:
    rule = EarnRule(id="base", give=Give(points=1, per_minor=100), pending="P14D")
    (entry,) = evaluate(sale("1", 1000), program=program(rule))

    assert entry.pending_until == MORNING + timedelta(days=14)
    assert balance_of([entry], EVENING) == Balance(confirmed=0, pending=10, spendable=0)
    assert balance_of([entry], MORNING + timedelta(days=14)) == Balance(confirmed=10, pending=0, spendable=10)


@pytest.mark.parametrize(
    ("start", "duration", "end"),
    [
        ("2026-01-01T10:00:00+01:00", "P1Y2M3DT4H5M", "2027-03-04T14:05:00+01:00"),
        ("2026-03-28T12:00:00+01:00", "PT24H", "2026-03-29T13:00:00+02:00"),
        ("9990-01-01T00:00:00+01:00", "P99Y", "9999-12-31T00:00:00+00:00"),
        ("2026-01-31T10:00:00+01:00", "P1M", "2026-02-28T10:00:00+01:00"),
        ("2026-10-20T10:00:00+02:00", "P2W", "2026-11-03T10:00:00+01:00"),
        ("2024-02-29T10:00:00+01:00", "P1Y", "2025-02-28T10:00:00+01:00"),
        ("2026-11-30T10:00:00+01:00", "P14M", "2028-01-30T10:00:00+01:00"),
        ("2026-03-28T12:00:00+01:00", "P1D", "2026-03-29T12:00:00+02:00"),  # the night of the clock change
    ],
)
def test_durations_run_on_the_programs_wall_clock(start: str, duration: str, end: str) -> None:
    assert later(datetime.fromisoformat(start), duration, "Europe/Ljubljana") == datetime.fromisoformat(end)


def test_a_full_return_takes_back_exactly_what_was_given() -> None:
    account = Account(program(), GOLD)
    account.add(sale("1", 1235, 77))
    (entry,) = account.add(refund("2", "1", 1235, 77))

    assert entry.reverses == "key-1/base"
    assert account.balance(EVENING) == Balance()


def test_a_return_before_its_original_waits_for_it() -> None:
    account = Account(program())
    assert account.add(refund("2", "1", 1000)) == ()
    assert [receipt.number for receipt in account.waiting] == ["2"]

    entries = account.add(sale("1", 1000))

    assert [entry.points for entry in entries] == [30, -30]
    assert account.waiting == ()


def test_evaluating_a_return_without_its_original_says_so() -> None:
    with pytest.raises(OriginalUnknownError, match="key-2"):
        evaluate(refund("2", "1", 1000), program=program())


def test_a_receipt_seen_again_under_another_of_its_ids_counts_once() -> None:
    account = Account(program())
    first = replace(sale("1", 1000), also=("pos:12/3/2026-11-22/1",))
    account.add(first)

    assert account.add(first) == ()
    assert account.add(replace(first, key="another")) == ()
    assert account.balance(EVENING).confirmed == 30


def test_returning_more_than_was_bought_takes_back_no_more_than_was_given() -> None:
    account = Account(program())
    account.add(sale("1", 1000))
    account.add(refund("2", "1", 900))
    account.add(refund("3", "1", 900))
    account.add(refund("4", "1", 900))

    assert account.balance(EVENING) == Balance()


@given(
    basis=st.integers(1, 10**7),
    points=st.integers(1, 50),
    cuts=st.lists(st.integers(1, 10**6), max_size=6),
    data=st.data(),
)
def test_returning_everything_in_any_steps_takes_back_everything(
    basis: int, points: int, cuts: list[int], data: st.DataObject
) -> None:
    account = Account(program(EarnRule(id="base", give=Give(points=points, per_minor=100))), GOLD)
    account.add(sale("1", basis))
    left = basis
    for index, cut in enumerate(cuts):
        step = min(cut, left)
        if step:
            account.add(refund(f"r{index}", "1", step))
            left -= step
            assert account.balance(EVENING).confirmed >= 0
    if left:
        account.add(refund("last", "1", left))

    assert account.balance(EVENING) == Balance()


@given(
    st.permutations([sale("1", 1235), sale("2", 999), refund("3", "1", 1235), refund("4", "2", 999), sale("5", 421)])
)
def test_the_balance_does_not_depend_on_the_order_of_arrival(receipts: list) -> None:  # type: ignore[type-arg]
    account = Account(program(), GOLD)
    for receipt in receipts:
        account.add(receipt)

    assert account.balance(EVENING).confirmed == 421 * 9 // 200
    assert account.waiting == ()


@pytest.mark.parametrize(
    ("original", "found"),
    [
        (Original(key="key-1"), True),
        (Original(number="1"), True),
        (Original(number="746DUV64-746DUV64- 16898"), True),
        (Original(number="1", business_day=date(2026, 11, 22)), True),
        (Original(number="1", business_day=date(2026, 11, 21)), False),
        (Original(number="1", register="4"), False),
        (Original(number="9", business_day=date(2026, 11, 22), store="12", register="3"), True),
        (Original(number="9", business_day=date(2026, 11, 22), store="12", register="4"), False),
        (Original(number="2"), False),
        (Original(), False),
    ],
)
def test_an_original_is_found_by_key_fiscal_number_or_the_tills_number(original: Original, found: bool) -> None:
    fiscal = Fiscal(scheme="rs-purs", number="X-X-1")
    bought = replace(sale("1", 1000), also=(rs_purs("746DUV64-746DUV64-16898"), pos_id("12", "3", "2026-11-22", "9")))
    # The return itself is made at another store, on another day.
    back = replace(refund("r", "", 1000), store="9", register="9", business_day=date(2026, 12, 24), original=original)
    back = replace(back, fiscal=fiscal)
    account = Account(program())
    account.add(bought)

    account.add(back)

    assert (account.balance(EVENING) == Balance()) is found
    assert bool(account.waiting) is not found


def test_a_training_receipt_is_no_original_and_hides_none() -> None:
    account = Account(program())
    account.add(sale("1", 1000, status="training", key="key-training"))
    account.add(refund("2", "1", 1000))
    assert [receipt.number for receipt in account.waiting] == ["2"]

    account.add(sale("1", 1000))

    assert account.balance(EVENING) == Balance()


def test_goods_and_deposit_returned_together_share_nothing_when_they_cancel_out() -> None:
    lines = (Line(position=1, amount_minor=1000), Line(position=2, kind="deposit", amount_minor=-1000))
    receipt = replace(sale("1", lines=lines), discounts=(Discount(amount_minor=100),))

    assert earning_minor(receipt) == 1000


def test_an_entry_without_basis_or_a_return_of_nothing_takes_nothing_back() -> None:
    account = Account(program())
    account.add(sale("1", 1000))

    assert account.add(refund("2", "1")) == ()


@pytest.mark.parametrize(
    ("facts", "pending_until"),
    [
        ({"business_day": date(2026, 11, 22), "captured_at": EVENING}, "2026-12-06T23:59:59+01:00"),
        ({"captured_at": EVENING}, (EVENING + timedelta(days=14)).isoformat()),
        ({}, None),
    ],
)
def test_without_a_time_on_the_receipt_its_day_or_its_capture_counts(
    facts: dict[str, object], pending_until: str | None
) -> None:
    rule = EarnRule(id="base", give=Give(points=1, per_minor=100), pending="P14D")
    receipt = replace(sale("1", 1000, issued_at=UNSET), **facts)

    (entry,) = evaluate(receipt, program=program(rule))

    assert entry.pending_until == (datetime.fromisoformat(pending_until) if pending_until else None)


def test_a_rule_that_a_later_program_lacks_is_taken_back_in_proportion() -> None:
    sold = sale("1", 1000)
    entries = evaluate(sold, program=program())
    later_program = program(EarnRule(id="other", give=Give(points=1, per_minor=1)))

    (entry,) = evaluate(refund("2", "1", 400), program=later_program, original=Settled(receipt=sold, entries=entries))

    assert (entry.points, entry.reverses) == (-12, "key-1/base")
    assert entry.why == "floor(30 × 400 ÷ 1000) − 0 = 12 taken back"


@pytest.mark.parametrize(
    ("cap", "points", "why"),
    [
        (Cap(receipt=29), 29, "floor(1000 × 3 ÷ 100) = 30, cut to 29 by the cap of a receipt"),
        (Cap(receipt=30), 30, "floor(1000 × 3 ÷ 100) = 30"),
        (Cap(day=30), 25, "floor(1000 × 3 ÷ 100) = 30, cut to 25 by the cap of a day"),
        (Cap(day=35, month=100, member=1000), 30, "floor(1000 × 3 ÷ 100) = 30"),
        (Cap(month=50), 20, "floor(1000 × 3 ÷ 100) = 30, cut to 20 by the cap of a month"),
        (Cap(day=31, month=50, member=101), 1, "floor(1000 × 3 ÷ 100) = 30, cut to 1 by the cap of a member"),
        (Cap(member=110), 10, "floor(1000 × 3 ÷ 100) = 30, cut to 10 by the cap of a member"),
        (Cap(receipt=10, day=16), 10, "floor(1000 × 3 ÷ 100) = 30, cut to 10 by the cap of a receipt"),
    ],
)
def test_an_entry_names_the_cap_that_cut_it(cap: Cap, points: int, why: str) -> None:
    rule = EarnRule(id="base", give=Give(points=3, per_minor=100), cap=cap)
    used = {"base": {"2026-11-22": 5, "2026-11": 30, "member": 100}}

    (entry,) = evaluate(sale("1", 1000), program=program(rule), known=Known(used=used))

    assert (entry.points, entry.why) == (points, why)


def test_only_the_best_of_a_group_gives_and_every_rule_that_is_in_none() -> None:
    give = Give(points=1, per_minor=100)
    rules = (
        EarnRule(id="a", give=give),
        EarnRule(id="b", give=give),
        EarnRule(id="low", group="g", give=give),
        EarnRule(id="high", group="g", give=Give(points=2, per_minor=100)),
        EarnRule(id="other", group="h", give=give),
    )
    best = replace(program(*rules), conflict="best_per_group")

    assert [entry.rule for entry in evaluate(sale("1", 1000), program=best)] == ["a", "b", "high", "other"]
    assert len(evaluate(sale("1", 1000), program=program(*rules))) == len(rules)


@pytest.mark.parametrize(("cap", "points"), [(Cap(day=30), 5), (Cap(month=50), 10), (Cap(member=100), 15)])
def test_what_has_no_time_shares_a_day_and_a_month(cap: Cap, points: int) -> None:
    # as counters are kept and sent: the names stay
    rule = EarnRule(id="base", give=Give(points=3, per_minor=100), cap=cap)
    used = {"base": {"undated day": 25, "undated month": 40, "member": 85}}

    (entry,) = evaluate(sale("1", 1000, issued_at=UNSET), program=program(rule), known=Known(used=used))

    assert entry.points == points


@pytest.mark.parametrize(
    ("rule", "bought", "points", "why"),
    [
        (EarnRule(id="r", give=Give(points=40)), sale("1", 1000), 40, "once for 1000 = 40"),
        (EarnRule(id="r", give=Give(brackets=((1000, 20), (2000, 50)))), sale("1", 1999), 20, "bracket of 1999 = 20"),
        (
            EarnRule(id="r", basis=Basis(scope="quantity"), give=Give(points=4, per_minor=1)),
            sale("1", lines=(Line(position=1, amount_minor=500, quantity="2.500"),)),
            10,
            "floor(2.5 × 4 ÷ 1) = 10",
        ),
        (
            EarnRule(id="r", basis=Basis(scope="quantity"), give=Give(brackets=((2, 5), (5, 15)))),
            sale("1", lines=(Line(position=1, amount_minor=500, quantity="4"),)),
            5,
            "bracket of 4 = 5",
        ),
        (EarnRule(id="r", give=Give(points=1, per_minor=1)), sale("1", 1), 1, "floor(1 × 1 ÷ 1) = 1"),
        (EarnRule(id="r", min_basis_minor=500, give=Give(points=1, per_minor=1)), sale("1", 499), 0, ""),
        (
            EarnRule(id="r", basis=Basis(scope="quantity"), min_basis_minor=3, give=Give(points=1, per_minor=1)),
            sale("1", lines=(Line(position=1, amount_minor=500, quantity="2"),)),
            0,
            "",
        ),
        (
            EarnRule(id="r", basis=Basis(scope="lines"), give=Give(points=1, per_minor=1)),
            replace(sale("1", 500), lines=()),
            0,
            "",
        ),
    ],
)
def test_an_entry_says_how_its_points_came_about(rule: EarnRule, bought: Receipt, points: int, why: str) -> None:
    entries = evaluate(bought, program=program(rule))

    assert [(entry.points, entry.why) for entry in entries] == ([(points, why)] if points else [])


def test_a_cap_that_is_used_up_leaves_no_entry() -> None:
    rule = EarnRule(id="base", give=Give(points=3, per_minor=100), cap=Cap(day=30))

    assert evaluate(sale("1", 1000), program=program(rule), known=Known(used={"base": {"2026-11-22": 40}})) == ()


NET = Basis(tax="excluded")
GOODS = Line(position=1, amount_minor=1220, tax_labels=("A",))
OTHER = Line(position=2, amount_minor=1100, tax_labels=("B",), tags=("bio",))
TAX_A, TAX_B = Tax(label="A", amount_minor=220), Tax(label="B", amount_minor=100)


@pytest.mark.parametrize(
    ("when", "taxes", "net"),
    [
        (UNSET, (TAX_A, TAX_B), 2000),
        # each row of tax is in the lines with its label
        (Condition(line_tag_in=("bio",)), (TAX_A, TAX_B), 1000),
        (Condition(not_=Condition(line_tag_in=("bio",))), (TAX_A, TAX_B), 1000),
        # one that is on top of the lines is in none of them, whatever stands after it
        (Condition(line_tag_in=("bio",)), (Tax(label="B", amount_minor=50, included=False), TAX_B), 1000),
        # one without a label that a line has is in all of them, by their share: 220 × 1100 ÷ 2320
        (Condition(line_tag_in=("bio",)), (Tax(label="C", amount_minor=220),), 1100 - 104),
        # half of the lines with its label: 220 × 610 ÷ 1220
        (Condition(min_line_quantity=2), (TAX_A,), 610 - 110),
    ],
)
def test_taxes_are_taken_out_of_the_lines_that_they_are_in(
    when: Condition | UnsetType, taxes: tuple[Tax, ...], net: int
) -> None:
    lines: tuple[Line, ...] = (GOODS, OTHER)
    if when is not UNSET and when.min_line_quantity is not UNSET:
        half = replace(GOODS, amount_minor=610)
        lines = (half, replace(half, position=3, quantity="2"), OTHER)
    rule = EarnRule(id="net", when=when, basis=NET, give=Give(points=1, per_minor=1))
    receipt = replace(sale("1", lines=lines), taxes=taxes)

    (entry,) = evaluate(receipt, program=program(rule))

    assert entry.basis_minor == net


def test_of_a_total_alone_points_paid_come_off_where_the_rule_says_so() -> None:
    receipt = replace(
        sale("1", 2000),
        lines=(),
        tenders=(Tender(kind="points", amount_minor=500), Tender(kind="cash", amount_minor=1500)),
    )

    def of(basis: Basis) -> int:
        rule = EarnRule(id="base", basis=basis, give=Give(points=1, per_minor=1))
        return evaluate(receipt, program=program(rule))[0].basis_minor

    assert (of(Basis()), of(Basis(less_points_paid=True))) == (2000, 1500)


def test_a_share_of_a_discount_goes_towards_zero_whatever_the_signs() -> None:
    # given 10.00 off 30.00 of bio goods, 10.00 of others, and a bottle brought back for 1.00
    lines = (
        Line(position=1, amount_minor=3000, tags=("bio",)),
        Line(position=2, amount_minor=1000),
        Line(position=3, amount_minor=-100, kind="deposit", tags=("bio",)),
    )
    receipt = replace(sale("1", lines=lines), total_minor=2900, discounts=(Discount(amount_minor=1000),))

    def basis(when: Condition) -> int:
        rule = EarnRule(id="base", when=when, give=Give(points=1, per_minor=1))
        return evaluate(receipt, program=program(rule))[0].basis_minor

    bio = Condition(line_tag_in=("bio",))
    assert basis(bio) == 3000 - 1000 * 3000 // 3900
    both = Condition(all_=(bio, Condition(line_kind_in=("goods", "deposit"))))
    assert basis(both) == 2900 - 1000 * 2900 // 3900
    # of a surcharge, which is a discount below zero, a part is given the other way
    assert (
        Purchase(
            replace(receipt, total_minor=4900, discounts=(Discount(amount_minor=-1000),)), "UTC", Known()
        ).basis_of(lines[:1], Basis())
        == 3000 + 769
    )


def test_a_balance_is_the_sum_of_what_waits_and_of_what_does_not() -> None:
    soon, late = MORNING + timedelta(days=1), MORNING + timedelta(days=9)
    waiting = LedgerEntry(receipt="r", rule="a", points=3, basis_minor=0, pending_until=soon, why="")
    entries = [
        waiting,
        replace(waiting, rule="b", points=5, pending_until=late),
        replace(waiting, rule="c", points=7, pending_until=None),
        replace(waiting, rule="d", points=11, pending_until=None, expires_at=soon),
    ]

    assert balance_of(entries, MORNING) == Balance(confirmed=18, pending=8, spendable=18)
    assert balance_of(entries, soon) == Balance(confirmed=10, pending=5, spendable=10)
    assert balance_of(entries, late) == Balance(confirmed=15, pending=0, spendable=15)
