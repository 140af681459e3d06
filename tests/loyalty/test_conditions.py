"""When a rule gives: what is asked of a receipt, of its lines, and of both at once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from msgspec import UNSET, UnsetType

from loyalty.conditions import Condition
from loyalty.evaluate import evaluate
from loyalty.program import EarnRule, Give
from loyalty.purchase import Known
from loyalty.receipt import Line
from tests.loyalty.receipts import sale
from tests.loyalty.test_evaluate import program


@pytest.mark.parametrize(
    ("asked", "gtin", "holds"),
    [
        ("96385074", "0000096385074", True),
        ("96385074", "00000096385074", True),
        ("00000096385074", "96385074", True),
        ("96385074", "0096385074x", False),
        ("96385074", "000000000096385074", False),
        ("96385074", "٩٦٣٨٥٠٧٤", False),
        ("96385074", None, False),
    ],
)
def test_zeros_in_front_of_a_gtin_do_not_matter(asked: str, gtin: str | None, holds: bool) -> None:
    goods = Line(position=1, amount_minor=1000, gtin=gtin if gtin is not None else UNSET)
    rule = EarnRule(id="base", when=Condition(gtin_in=(asked,)), give=Give(points=1))

    assert bool(evaluate(sale("1", lines=(goods,)), program=program(rule))) is holds


def test_zeros_in_front_of_an_article_number_do_matter() -> None:
    goods = Line(position=1, amount_minor=1000, sku="0036000291452")

    def gives(sku: str) -> bool:
        rule = EarnRule(id="base", when=Condition(sku_in=(sku,)), give=Give(points=1))
        return bool(evaluate(sale("1", lines=(goods,)), program=program(rule)))

    assert gives("0036000291452")
    assert not gives("036000291452")


def test_of_several_keys_all_have_to_hold_within_one_of_several() -> None:
    both = Condition(all_=(Condition(sku_in=("A",)), Condition(min_line_minor=500)), line_tag_in=("bio",))
    rule = EarnRule(id="base", when=Condition(any_=(both, Condition(sku_in=("B",)))), give=Give(points=1, per_minor=1))

    def points(**facts: Any) -> int:
        bought = sale("1", lines=(Line(**{"position": 1, "amount_minor": 500} | facts),))
        return sum(entry.points for entry in evaluate(bought, program=program(rule)))

    assert points(sku="A", tags=("bio",)) == points(sku="B") == 500
    assert points(sku="A") == points(sku="A", tags=("bio",), amount_minor=499) == points(tags=("bio",)) == 0


@pytest.mark.parametrize(
    ("span", "inside", "outside"),
    [
        (("16:30", "18:15"), ["16:30", "18:14"], ["16:29", "18:15", "15:45"]),
        (("22:30", "02:15"), ["22:30", "23:59", "00:00", "02:14"], ["22:29", "02:15", "12:00"]),
        (("22:00", "24:00"), ["22:00", "23:59"], ["21:59", "00:00"]),
    ],
)
def test_a_span_of_the_day_holds_its_begin_and_not_its_end(
    span: tuple[str, str], inside: list[str], outside: list[str]
) -> None:
    rule = EarnRule(id="base", when=Condition(time_in=(span,)), give=Give(points=1))

    def gives(clock: str) -> bool:
        at = datetime.fromisoformat(f"2026-11-22T{clock}:00+01:00")
        return bool(evaluate(sale("1", 100, issued_at=at), program=program(rule)))

    assert [clock for clock in (*inside, *outside) if gives(clock)] == inside


def test_what_is_asked_of_the_receipt_may_stand_among_what_is_asked_of_lines() -> None:
    # bio goods for anyone but gold members, and everything dear for those
    gold = Condition(tier_in=("gold",))
    when = Condition(
        any_=(
            Condition(all_=(Condition(line_tag_in=("bio",)), Condition(not_=gold))),
            Condition(tier_in=("gold",), min_line_minor=900),
        )
    )
    rule = EarnRule(id="base", when=when, give=Give(points=1, per_minor=100))
    receipt = sale("1", lines=(Line(position=1, amount_minor=500, tags=("bio",)), Line(position=2, amount_minor=1000)))

    def points(tier: str | UnsetType) -> int:
        return sum(entry.points for entry in evaluate(receipt, program=program(rule, tiers=()), known=Known(tier=tier)))

    assert (points(UNSET), points("gold")) == (5, 10)
