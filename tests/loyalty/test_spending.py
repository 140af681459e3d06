"""Points that are spent: which lots they take, what their entries say, and where they go when goods come back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json
from msgspec.structs import replace

from loyalty.canonical import Canonical, Seen, Spent, canonical
from loyalty.corrections import corrections
from loyalty.entry_rules import is_reserved, is_spent
from loyalty.ledger import LedgerEntry, balance_of
from loyalty.member import Balance
from loyalty.program import Program, program_from_json
from loyalty.receipt import Discount, Line, Receipt
from loyalty.spending import LotPart, Spending, free_lots, spent_entries, taken_of
from tests.loyalty.receipts import MORNING, refund, sale
from tests.loyalty.test_canonical import Holding

DAY = timedelta(days=1)
SPRING, AUTUMN = MORNING + 120 * DAY, MORNING + 300 * DAY
BASE = {"id": "base", "give": {"points": 1, "per_minor": 1}}


def program(**keys: Any) -> Program:
    whole = {"program": "p", "currency": "EUR", "time_zone": "Europe/Ljubljana", "earn": [BASE]}
    return program_from_json(json.encode(whole | keys))


def earned(points: int, rule: str = "base", **times: Any) -> LedgerEntry:
    return LedgerEntry(receipt="key-0", rule=rule, points=points, basis_minor=points, why="earned", **times)


def spending(*parts: LotPart, redemption: str = "r-1") -> Spending:
    return Spending(redemption=redemption, what="5 € off", parts=parts or (LotPart(points=500),))


def named(name: str, **line: Any) -> Line:
    facts: dict[str, Any] = {"position": 1, "description": name, "quantity": "1"}
    return Line(**(facts | line))


def seen(receipt: Receipt, **how: Any) -> Seen:
    return Seen(receipt=receipt, seen_at=MORNING + 30 * DAY, **how)


def folded(*seen_: Seen, spent: tuple[Spent, ...] = (), terms: Program | None = None) -> Canonical:
    return canonical(seen_, (), (Holding(None, "hash", terms or program()),), (), spent)


def on(receipt: str, what: Spending | None = None) -> Spent:
    return Spent(receipt=receipt, at=MORNING + DAY, spending=what or spending(), program="then")


def points(found: Canonical) -> list[tuple[str, int]]:
    return [(one.entry.entry_id, one.entry.points) for one in found.wanted]


class TestLots:
    def test_what_expires_soonest_is_spent_first_and_what_never_does_last(self) -> None:
        entries = [earned(30), earned(20, "b", expires_at=AUTUMN), earned(10, "c", expires_at=SPRING)]

        lots = free_lots(entries, MORNING)

        assert lots == (
            LotPart(points=10, expires_at=SPRING),
            LotPart(points=20, expires_at=AUTUMN),
            LotPart(points=30),
        )
        assert taken_of(lots, 15) == (LotPart(points=10, expires_at=SPRING), LotPart(points=5, expires_at=AUTUMN))

    def test_pending_expired_and_set_aside_points_are_not_free(self) -> None:
        entries = [
            earned(30),
            earned(5, "b", pending_until=SPRING),
            earned(2, "e", pending_until=MORNING),
            earned(7, "c", expires_at=MORNING),
            earned(20, "d", expires_at=AUTUMN),
        ]

        assert free_lots(entries, MORNING, {AUTUMN: 15}) == (LotPart(points=5, expires_at=AUTUMN), LotPart(points=32))

    def test_what_is_owed_is_taken_of_what_expires_soonest(self) -> None:
        entries = [earned(30), earned(20, "b", expires_at=AUTUMN), earned(-25, "c", expires_at=SPRING)]

        assert free_lots(entries, MORNING) == (LotPart(points=25),)

    def test_more_than_there_is_is_of_no_lot(self) -> None:
        assert taken_of((LotPart(points=10, expires_at=SPRING),), 11) == (
            LotPart(points=10, expires_at=SPRING),
            LotPart(points=1),
        )
        assert taken_of((), 3) == (LotPart(points=3),)
        assert taken_of((LotPart(points=10),), 0) == ()


class TestBalance:
    def test_a_spend_takes_of_its_lot_so_that_what_is_left_of_it_expires(self) -> None:
        entries = [
            earned(100, expires_at=SPRING),
            *spent_entries(spending(LotPart(points=60, expires_at=SPRING)), "k", 9),
        ]

        assert balance_of(entries, MORNING).confirmed == 40
        assert balance_of(entries, SPRING).confirmed == 0

    def test_a_debt_does_not_expire(self) -> None:
        entries = [earned(50), earned(-20, "b", expires_at=SPRING)]

        assert balance_of(entries, SPRING).confirmed == balance_of(entries, MORNING).confirmed == 30

    def test_what_is_set_aside_of_a_lot_does_not_expire_and_is_not_spendable(self) -> None:
        entries = [earned(100, expires_at=SPRING), earned(7, "b")]

        assert balance_of(entries, MORNING, {SPRING: 60}) == Balance(confirmed=107, pending=0, spendable=47)
        assert balance_of(entries, SPRING, {SPRING: 60}) == Balance(confirmed=67, pending=0, spendable=7)

    @given(st.lists(st.tuples(st.integers(1, 500), st.sampled_from([None, SPRING, AUTUMN])), max_size=6), st.data())
    def test_spending_what_is_free_never_makes_a_debt_at_any_time(
        self, lots: list[tuple[int, Any]], data: st.DataObject
    ) -> None:
        entries = [earned(points, f"r{place}", expires_at=at) for place, (points, at) in enumerate(lots)]
        for number in range(3):
            free = free_lots(entries, MORNING)
            amount = data.draw(st.integers(0, sum(lot.points for lot in free)))
            what = Spending(redemption=f"s{number}", what="x", parts=taken_of(free, amount))
            assert what.points == amount
            entries += spent_entries(what, "k", 10)
        for moment in (MORNING, SPRING, AUTUMN):
            assert balance_of(entries, moment).confirmed >= 0
        assert balance_of(entries, MORNING).confirmed == sum(lot.points for lot in free_lots(entries, MORNING))


class TestReturns:
    BOUGHT = sale("1", 600, 400)

    def test_the_entries_of_a_redemption_stand_behind_those_of_its_sale(self) -> None:
        what = spending(LotPart(points=300, expires_at=SPRING), LotPart(points=200))

        found = folded(seen(self.BOUGHT), spent=(on("key-1", what),))

        assert points(found) == [("key-1/base", 1000), ("key-1/spent/r-1", -300), ("key-1/spent/r-1/1", -200)]
        assert found.wanted[1].entry.expires_at == SPRING
        assert [one.entry.why for one in found.wanted[1:]] == ["300 spent on 5 € off", "200 spent on 5 € off"]
        assert [one.program for one in found.wanted] == ["hash", "then", "then"]

    def test_goods_that_come_back_bring_their_share_of_the_points_to_its_lot(self) -> None:
        what = spending(LotPart(points=301, expires_at=SPRING), LotPart(points=200))
        some, rest = refund("2", "1", 400), refund("3", "1", 600)

        found = folded(
            seen(self.BOUGHT),
            seen(some, sells=False, original="key-1"),
            seen(rest, sells=False, original="key-1"),
            spent=(on("key-1", what),),
        )

        back = [one.entry for one in found.wanted if one.entry.reverses and is_spent(one.entry.rule)]
        assert [(one.receipt, one.points, one.expires_at) for one in back] == [
            ("key-2", 120, SPRING),
            ("key-2", 80, None),
            ("key-3", 181, SPRING),
            ("key-3", 120, None),
        ]
        assert back[0].why == "floor(301 × 400 ÷ 1000) − 0 = 120 given back"
        assert found.fold.balance(program(), MORNING + DAY).confirmed == 0

    @pytest.mark.parametrize("shown", ["on its line", "on the receipt", "at no price"])
    @pytest.mark.parametrize("order", [("coffee", "cake"), ("cake", "coffee")])
    def test_points_for_a_piece_come_back_with_that_piece_whatever_the_money(
        self, shown: str, order: tuple[str, str]
    ) -> None:
        # given a coffee of 1.80 for points, beside a cake of 0.50 that was paid for
        free = {
            "on its line": {"amount_minor": 0, "discount_minor": 180},
            "on the receipt": {"amount_minor": 180},
            "at no price": {"amount_minor": 0},
        }[shown]
        coffee, cake = named("coffee", **free), named("cake", amount_minor=50)
        bought = sale("1", lines=(coffee, cake))
        if shown == "on the receipt":
            bought = replace(bought, discounts=(Discount(amount_minor=180),), total_minor=50)
        back = {
            "coffee": replace(refund("c", "1", 0), lines=(named("coffee", amount_minor=0),)),
            "cake": replace(refund("d", "1", 50), lines=(named("cake", amount_minor=-50),)),
        }
        terms = program(rewards=[{"id": "free", "cost": 500, "piece_minor": 0, "piece": "dearest"}])

        # when they come back one after the other
        found = folded(
            seen(bought),
            *(seen(back[name], sells=False, original="key-1") for name in order),
            spent=(on("key-1", replace(spending(), what="free")),),
            terms=terms,
        )

        spent_back = [one.entry for one in found.wanted if one.entry.reverses and is_spent(one.entry.rule)]
        assert [(one.receipt, one.points) for one in spent_back] == [("key-c", 500)]

    def test_of_several_pieces_points_come_back_in_parts_and_with_a_return_that_names_none_by_its_money(self) -> None:
        free = named("coffee", amount_minor=0, quantity="3")
        bought = sale("1", lines=(free, named("cake", amount_minor=100)))
        terms = program(rewards=[{"id": "free", "cost": 200, "piece_minor": 0}])
        what = replace(spending(LotPart(points=600)), what="free", times=3)

        def back(*returns: Receipt) -> list[int]:
            returned = [seen(one, sells=False, original="key-1") for one in returns]
            found = folded(seen(bought), *returned, spent=(on("key-1", what),), terms=terms)
            return [one.entry.points for one in found.wanted if one.entry.reverses and is_spent(one.entry.rule)]

        one, two = (
            replace(refund(key, "1", 0), lines=(named("coffee", amount_minor=0, quantity=count),))
            for key, count in (("one", "1"), ("two", "2"))
        )
        assert back(one) == [200]
        assert back(one, two) == [200, 400]
        assert back(replace(refund("half", "1", 50), lines=())) == [300]
        assert back(replace(refund("all", "1", 100), lines=())) == [600]
        # a till that names goods on its returns otherwise than on its sales
        other = named("article 17", amount_minor=-100)
        assert back(replace(refund("other", "1", 100), lines=(replace(other, quantity="4"),))) == [600]
        assert back(replace(refund("other", "1", 100), lines=(other,))) == []

    def test_points_that_come_back_are_given_under_every_policy(self) -> None:
        for policy in ("pending_only", "within_balance"):
            terms = program(returns={"policy": policy})
            whole = refund("2", "1", 1000)

            found = folded(
                seen(self.BOUGHT), seen(whole, sells=False, original="key-1"), spent=(on("key-1"),), terms=terms
            )

            assert ("key-2/spent/r-1", 500) in points(found)
            left = found.fold.balance(terms, MORNING + DAY).confirmed
            assert left == (1000 if policy == "pending_only" else 0)

    def test_a_voided_sale_gives_its_redemptions_back(self) -> None:
        with_it = folded(seen(self.BOUGHT), spent=(on("key-1"),))
        recorded = [one.entry for one in with_it.wanted]

        appended = corrections(recorded, [], because="x", voided={"key-1"})

        assert [(one.rule, one.points) for one in appended] == [("base/voided", -1000), ("spent/r-1/voided", 500)]

    def test_a_till_that_voids_its_sale_says_what_comes_back(self) -> None:
        fold = folded(seen(self.BOUGHT), spent=(on("key-1"),)).fold

        assert [one.why for one in fold.void("key-1")] == ["voided: 1000 taken back", "voided: 500 given back"]

    def test_what_was_spent_on_nothing_that_counts_stands_alone(self) -> None:
        unearning = replace(self.BOUGHT, currency="USD")

        alone = folded(spent=(on("key-9"),))

        assert points(alone) == [("key-9/spent/r-1", -500)]
        assert alone.wanted[0].entry.basis_minor == 1
        assert points(folded(seen(unearning), spent=(on("key-1"),))) == [("key-1/spent/r-1", -500)]
        assert points(folded(seen(self.BOUGHT, sells=False), spent=(on("key-1"),))) == [("key-1/spent/r-1", -500)]

    def test_what_was_spent_on_a_sale_of_somebody_else_stands_at_its_own_time(self) -> None:
        next_hour = sale("2", 100, issued_at=MORNING + timedelta(hours=1))

        found = folded(seen(self.BOUGHT, sells=False), seen(next_hour), spent=(on("key-1"),))

        assert points(found) == [("key-2/base", 100), ("key-1/spent/r-1", -500)]

    def test_the_order_in_which_redemptions_are_told_does_not_matter(self) -> None:
        two = (on("key-1"), on("key-1", spending(LotPart(points=100), redemption="r-2")))

        assert folded(seen(self.BOUGHT), spent=two).wanted == folded(seen(self.BOUGHT), spent=two[::-1]).wanted

    def test_points_spent_are_none_that_were_lost_for_a_tier(self) -> None:
        tiers = [{"id": "gold", "from": {"points_in": "P12M", "at_least": 900}}]
        terms = program(tiers=tiers)

        found = folded(seen(self.BOUGHT), spent=(on("key-1"),), terms=terms)

        activity = found.fold.counters(terms, MORNING + DAY).activity or ()
        assert [each.points for each in activity] == [1000]

    def test_points_that_come_back_are_none_that_were_earned_for_a_tier(self) -> None:
        terms = program(tiers=[{"id": "gold", "from": {"points_in": "P12M", "at_least": 900}}])
        some = seen(refund("2", "1", 400), sells=False, original="key-1")

        found = folded(seen(self.BOUGHT), some, spent=(on("key-1"),), terms=terms)

        assert ("key-2/spent/r-1", 200) in points(found)
        activity = found.fold.counters(terms, MORNING + DAY).activity or ()
        assert [each.points for each in activity] == [600]

    def test_no_rule_of_a_program_is_called_like_a_redemption(self) -> None:
        assert is_reserved("spent/r-1")
        assert not is_reserved("spent")
        assert not is_spent("spent")
