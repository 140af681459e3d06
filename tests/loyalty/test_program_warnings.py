"""What is warned of in a program, and what is not: each warning beside the same program without its cause."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from loyalty.condition_cases import MAX_CASES, Case, cases_of, contradiction, minutes_of
from loyalty.conditions import Condition, criterion_of
from loyalty.program import Program, program_from_json, unknown_tiers
from loyalty.program_warnings import Code, ProgramWarning, warnings_of
from loyalty.purchase import Known, Purchase
from loyalty.receipt import Line, Receipt
from loyalty.rule_windows import MAX_COMPARED
from tests.loyalty.receipts import MORNING

SAMPLES = sorted((Path(__file__).parents[2] / "docs" / "programs").glob("*.json"))
ONCE = {"points": 10}
BY_MONEY = {"points": 1, "per_minor": 100}


def program(*rules: dict[str, Any], **facts: Any) -> Program:
    earn = [{"id": f"r{number}", "give": BY_MONEY} | rule for number, rule in enumerate(rules)]
    whole = {"program": "p", "currency": "EUR", "time_zone": "Europe/Ljubljana", "earn": earn} | facts
    return program_from_json(json.dumps(whole).encode())


def found(checked: Program) -> list[tuple[str, str]]:
    return [(warning.path, warning.code) for warning in warnings_of(checked)]


def when(**asked: Any) -> dict[str, Any]:
    return {"when": {key.rstrip("_"): value for key, value in asked.items()}}


CONTRADICTIONS = [
    when(all_=[{"tier_in": ["gold"]}, {"not": {"tier_in": ["gold", "silver"]}}]),
    when(weekday_in=[1, 2], not_={"weekday_in": [1, 2, 3]}),
    when(not_={"weekday_in": [1, 2, 3, 4, 5, 6, 7]}),
    when(all_=[{"weekday_in": [1]}, {"weekday_in": [2]}]),
    when(time_in=[["08:00", "10:00"]], not_={"time_in": [["07:00", "12:00"]]}),
    when(all_=[{"time_in": [["22:00", "02:00"]]}, {"time_in": [["02:00", "22:00"]]}]),
    when(first_purchase=True, not_={"first_purchase": True}),
    when(birthday_month=False, not_={"any": [{"birthday_month": False}, {"store_in": ["1"]}]}),
    when(min_basket_minor=5000, not_={"min_basket_minor": 3000}),
    when(min_basket_minor=3000, not_={"min_basket_minor": 3000}),
    when(tier_in=["platinum"], weekday_in=[1]),
    when(segment_in=["vip"], not_={"segment_in": ["vip", "staff"]}),
    when(line_tag_in=["bio"], not_={"line_tag_in": ["bio"]}),
    when(sku_in=["1"], all_=[{"sku_in": ["2"]}]),
    when(line_kind_in=["tip"], not_={"line_kind_in": ["tip"]}),
    when(any_=[{"all": [{"store_in": ["1"]}, {"store_in": ["2"]}]}, {"weekday_in": [1], "not": {"weekday_in": [1]}}]),
    when(first_purchase=True, tier_in=["silver"]),
    {"when": {"line_tag_in": ["bio"]}, "basis": {"exclude_tags": ["bio", "alcohol"]}},
]
TIERS = [
    {"id": "silver", "from": {"spend_in": "P12M", "at_least": 100}, "grace": "P1M"},
    {"id": "gold", "from": {"spend_in": "P12M", "at_least": 200}, "grace": "P1M"},
]


@pytest.mark.parametrize("rule", CONTRADICTIONS, ids=lambda rule: json.dumps(rule)[:60])
def test_a_rule_that_can_never_hold_is_named(rule: dict[str, Any]) -> None:
    assert found(program(rule, tiers=TIERS)) == [("$.earn[0].when", "never_fires")]
    # What it asks for is possible to the contrary, so the same within `not` is none
    assert found(program({"when": {"not": rule["when"]}}, tiers=TIERS)) == []


POSSIBLE = [
    when(weekday_in=[1, 2], not_={"weekday_in": [2, 3]}),
    when(time_in=[["22:00", "02:00"]], not_={"time_in": [["23:00", "24:00"]]}),
    when(all_=[{"segment_in": ["vip"]}, {"segment_in": ["new"]}, {"not": {"segment_in": ["staff"]}}]),
    when(all_=[{"line_tag_in": ["bio"]}, {"line_tag_in": ["local"]}]),
    when(any_=[{"all": [{"store_in": ["1"]}, {"store_in": ["2"]}]}, {"weekday_in": [1]}]),
    when(first_purchase=True, not_={"tier_in": ["silver"]}),
    when(not_={"tier_in": ["platinum"]}),
    when(not_={"min_basket_minor": 1}, line_tag_in=["bio"]),
    when(min_basket_minor=3000, not_={"min_basket_minor": 5000}),
    {"when": {"line_tag_in": ["bio", "local"]}, "basis": {"exclude_tags": ["bio"]}},
]


@pytest.mark.parametrize("rule", POSSIBLE, ids=lambda rule: json.dumps(rule)[:60])
def test_a_rule_that_can_hold_is_not(rule: dict[str, Any]) -> None:
    assert found(program(rule, tiers=TIERS)) == []


def test_a_condition_of_too_many_cases_is_taken_as_possible() -> None:
    pairs = [{"any": [{"weekday_in": [1]}, {"weekday_in": [2]}]} for _ in range(10)]
    condition = msgspec.convert({"all": [*pairs, {"not": {"weekday_in": [1, 2]}}]}, Condition)
    assert 2 ** len(pairs) > MAX_CASES
    assert cases_of(condition) is None
    assert cases_of(Condition(any_=(condition, Condition(weekday_in=(1,))))) is None
    assert cases_of(msgspec.convert({"all": pairs, "weekday_in": [1]}, Condition)) is None
    assert found(program({"when": {"all": [*pairs, {"not": {"weekday_in": [1, 2]}}]}})) == []


def test_as_many_cases_as_are_looked_at_are() -> None:
    pair = Condition(any_=(Condition(weekday_in=(1,)), Condition(weekday_in=(2,))))

    for condition in (
        Condition(all_=(pair,) * 9),
        Condition(any_=(pair,) * 256),
        Condition(any_=(Condition(weekday_in=(1,)),) * MAX_CASES),
    ):
        assert len(cases_of(condition) or ()) == MAX_CASES


def test_cases_hold_exactly_when_the_condition_does() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    for _ in range(300):
        condition = _any_condition(dice, 3)
        purchase = _any_purchase(dice)
        holds = bool(criterion_of(condition).holds(purchase))
        cases = cases_of(condition)
        assert cases is not None
        assert any(_holds(case, purchase) for case in cases) is holds, msgspec.json.encode(condition)
        # And what holds is no contradiction
        assert all(not contradiction(case) for case in cases if _holds(case, purchase))


def _any_condition(dice: random.Random, depth: int) -> Condition:
    leaf = dice.choice(
        [
            {"weekday_in": tuple(dice.sample(range(1, 8), 3))},
            {"time_in": ((f"{dice.randrange(24):02}:30", f"{dice.randrange(24):02}:00"),)},
            {"store_in": tuple(dice.sample("123", 2))},
            {"min_basket_minor": dice.choice([50, 100, 150])},
            {"first_purchase": dice.random() < 0.5},
        ]
    )
    match dice.randrange(4) if depth else 3:
        case 0:
            return Condition(all_=(_any_condition(dice, depth - 1), _any_condition(dice, depth - 1)))
        case 1:
            return Condition(any_=(_any_condition(dice, depth - 1), _any_condition(dice, depth - 1)))
        case 2:
            return Condition(not_=_any_condition(dice, depth - 1))
        case _:
            return Condition(**leaf)  # type: ignore[arg-type]


def _any_purchase(dice: random.Random) -> Purchase:
    total = dice.choice([40, 75, 100, 125, 200])
    receipt = Receipt(
        key="k",
        kind="sale",
        store=dice.choice("123"),
        issued_at=MORNING.replace(day=dice.randrange(1, 29), hour=dice.randrange(24), minute=dice.randrange(60)),
        currency="EUR",
        total_minor=total,
        lines=(Line(position=1, amount_minor=total),),
    )
    return Purchase(receipt, "Europe/Ljubljana", Known(purchases=dice.randrange(2)))


def _holds(case: Case, purchase: Purchase) -> bool:
    return all(
        criterion_of(Condition(**{asked.key: asked.value})).holds(purchase) is asked.holds  # type: ignore[arg-type]
        for asked in case
    )


@pytest.mark.parametrize(
    ("spans", "minutes"),
    [([("00:00", "24:00")], 1440), ([("23:00", "01:00")], 120), ([("08:00", "09:00"), ("08:30", "10:00")], 120)],
)
def test_minutes_of_the_day(spans: list[tuple[str, str]], minutes: int) -> None:
    [case] = cases_of(Condition(time_in=tuple(spans))) or ()
    assert minutes_of(case).bit_count() == minutes
    [opposite] = cases_of(Condition(not_=Condition(time_in=tuple(spans)))) or ()
    assert minutes_of(opposite).bit_count() == 1440 - minutes


BRACKETS = {"brackets": [[1000, 5], [5000, 50], [10000, 150]]}
ONE_RULE = [
    # What gives nothing, or never
    (
        {"give": BRACKETS, "min_basis_minor": 5000},
        {"give": BRACKETS},
        ("$.earn[0].give.brackets[0]", "bracket_never_reached"),
    ),
    (
        {"give": BRACKETS} | when(min_basket_minor=6000),
        {"give": BRACKETS} | when(any_=[{"min_basket_minor": 6000}, {"weekday_in": [1]}]),
        ("$.earn[0].give.brackets[0]", "bracket_never_reached"),
    ),
    (
        {"give": BRACKETS} | when(not_={"min_basket_minor": 10000}),
        {"give": BRACKETS} | when(not_={"min_basket_minor": 10001}),
        ("$.earn[0].give.brackets[2]", "bracket_never_reached"),
    ),
    (
        {"give": BRACKETS} | when(not_={"min_basket_minor": 1000}),
        {"give": BRACKETS, "basis": {"tax": "excluded"}} | when(not_={"min_basket_minor": 1000}),
        ("$.earn[0].give", "never_fires"),
    ),
    (
        {"min_basis_minor": 5000} | when(not_={"min_basket_minor": 5000}),
        {"min_basis_minor": 5000} | when(not_={"min_basket_minor": 5001}),
        ("$.earn[0].give", "never_fires"),
    ),
    # Caps
    (
        {"cap": {"receipt": 500, "day": 500}},
        {"cap": {"receipt": 500, "day": 501}},
        ("$.earn[0].cap.receipt", "cap_hidden"),
    ),
    ({"cap": {"day": 50, "month": 40}}, {"cap": {"day": 50, "month": 400}}, ("$.earn[0].cap.day", "cap_hidden")),
    ({"cap": {"month": 50, "member": 40}}, {"cap": {"month": 50, "member": 51}}, ("$.earn[0].cap.month", "cap_hidden")),
    (
        {"give": {"points": 10}, "cap": {"day": 9}},
        {"give": {"points": 10}, "cap": {"day": 10}},
        ("$.earn[0].give.points", "give_above_cap"),
    ),
    (
        {"give": BRACKETS, "cap": {"receipt": 149}},
        {"give": BRACKETS, "cap": {"receipt": 150}},
        ("$.earn[0].give.brackets[2]", "give_above_cap"),
    ),
    (
        {"cap": {"receipt": 50}} | when(min_basket_minor=6000),
        {"cap": {"receipt": 60}} | when(min_basket_minor=6000),
        ("$.earn[0].cap", "give_above_cap"),
    ),
    # Time
    (
        {"pending": "P30D", "expires": "P30D"},
        {"pending": "P30D", "expires": "P31D"},
        ("$.earn[0].expires", "expires_before_confirmed"),
    ),
    (
        {"pending": "P14D", "expires": "P1D/end-of-month"},
        {"pending": "P14D", "expires": "P2M/end-of-month"},
        ("$.earn[0].expires", "expires_before_confirmed"),
    ),
    # Money
    (
        {"give": {"points": 2, "per_minor": 1}},
        {"give": {"points": 2, "per_minor": 3}},
        ("$.earn[0].give.per_minor", "points_per_minor_unit"),
    ),
    ({"group": "a"}, {}, ("$.earn[0].group", "group_without_effect")),
]


@pytest.mark.parametrize(("wrong", "right", "warning"), ONE_RULE, ids=lambda one: json.dumps(one)[:70])
def test_one_rule(wrong: dict[str, Any], right: dict[str, Any], warning: tuple[str, str]) -> None:
    assert found(program(wrong)) == [warning]
    assert found(program(right)) == []


def test_points_per_piece_or_in_a_currency_without_minor_units_are_plain() -> None:
    assert found(program({"give": {"points": 2, "per_minor": 1}, "basis": {"scope": "quantity"}})) == []
    assert found(program({"give": {"points": 2, "per_minor": 1}}, currency="JPY")) == []


SILVER = {"id": "silver", "from": {"points_in": "P12M", "at_least": 500}, "grace": "P1M", "multiplier": [3, 2]}


@pytest.mark.parametrize(
    ("gold", "warning"),
    [
        ({}, None),
        ({"grace": None}, "tier_without_grace"),
        ({"from": {"points_in": "P24M", "at_least": 500}}, "tier_hides_another"),
        ({"from": {"points_in": "P1Y", "at_least": 500}}, "tier_hides_another"),
        ({"from": {"points_in": "P24M", "at_least": 1000}}, None),
        ({"from": {"points_in": "P6M", "at_least": 400}}, None),
        ({"from": {"spend_in": "P24M", "at_least": 400}}, None),
        ({"multiplier": [4, 3]}, "tier_gives_less"),
        ({"discount_percent": 5}, "discount_not_given"),
    ],
)
def test_tiers(gold: dict[str, Any], warning: str | None) -> None:
    tier = {"id": "gold", "from": {"points_in": "P12M", "at_least": 1000}, "grace": "P1M", "multiplier": [2, 1]} | gold
    checked = program({}, tiers=[SILVER, {key: value for key, value in tier.items() if value is not None}])
    assert [code for path, code in found(checked) if path.startswith("$.tiers[1]")] == ([warning] if warning else [])


def test_a_member_of_a_group_that_is_always_beaten_is_named() -> None:
    best = {"conflict": "best_per_group"}
    double, base = {"group": "a", "give": {"points": 2, "per_minor": 100}}, {"group": "a"}
    assert found(program(double, base, **best)) == [("$.earn[1]", "always_beaten")]
    # Also where it goes first, if what beats it gives more; of equals the one that goes first wins
    assert found(program(base | {"give": ONCE}, {"group": "a", "give": {"points": 11}}, **best)) == [
        ("$.earn[0]", "always_beaten")
    ]
    assert found(program(base, base | {"priority": -1}, **best)) == [("$.earn[0]", "always_beaten")]
    brackets = {"group": "a", "give": {"brackets": [[1000, 5], [2000, 20]]}}
    assert found(program(brackets, {"group": "a", "give": {"brackets": [[1500, 5], [2500, 20]]}}, **best)) == [
        ("$.earn[1]", "always_beaten")
    ]
    # Of the same twice the second is named, and not both
    for give in (ONCE, BRACKETS):
        assert found(program({"group": "a", "give": give}, {"group": "a", "give": give}, **best)) == [
            ("$.earn[1]", "always_beaten")
        ]
    # Not where the better one is capped, asks for something, looks at other money, starts later or is of another group
    for other in (
        {"cap": {"day": 100}},
        when(weekday_in=[1]),
        {"basis": {"tax": "excluded"}},
        {"min_basis_minor": 500},
        {"group": "b"},
        {"give": {"points": 1, "per_minor": 200}},
        {"give": ONCE},
    ):
        assert found(program(double | other, base, **best)) == []
    # Where both ask for the same it is
    assert found(program(double | when(weekday_in=[1]), base | when(weekday_in=[1]), **best)) == [
        ("$.earn[1]", "always_beaten")
    ]


def test_windows_that_overlap_are_named_with_when() -> None:
    evening = when(weekday_in=[1, 2], time_in=[["17:00", "19:00"]])
    tuesday = when(weekday_in=[2, 3])
    [warning] = warnings_of(program({}, evening, tuesday))
    assert (warning.path, warning.code) == ("$.earn[2].when", "windows_overlap")
    assert "on Tuesday from 17:00 to 19:00 rule 'r1' holds too, and both give" in warning.detail
    # Best of one group is a way out, another group is none
    both = [evening | {"group": "a"}, tuesday | {"group": "a"}]
    assert found(program(*both, conflict="best_per_group")) == []
    apart = [evening | {"group": "a"}, tuesday | {"group": "b"}]
    assert found(program(*apart, conflict="best_per_group")) == [("$.earn[1].when", "windows_overlap")]
    # A third rule meets what those two of one group do not
    assert found(program(*both, evening, conflict="best_per_group")) == [
        ("$.earn[2].when", "windows_overlap"),
        ("$.earn[2].when", "windows_overlap"),
    ]
    # Where neither can give anything, that is said and nothing else
    nobodys = evening | {"when": evening["when"] | {"tier_in": ["platinum"]}}
    assert found(program(nobodys, nobodys)) == [("$.earn[0].when", "never_fires"), ("$.earn[1].when", "never_fires")]
    # Others do not meet: by day, by time, by store, by goods; or one has no window
    for other in (
        when(weekday_in=[3]),
        when(time_in=[["19:00", "20:00"]]),
        when(weekday_in=[2], all_=[{"not": {"time_in": [["16:00", "19:00"]]}}]),
        when(weekday_in=[2], store_in=["2"]),
        when(weekday_in=[2], min_basket_minor=5000),
        when(min_basket_minor=5000),
    ):
        assert found(program(evening, other)) == []
    bio, local = when(weekday_in=[2], line_tag_in=["bio"]), when(weekday_in=[2], line_tag_in=["local"])
    assert found(program(bio, local)) == []
    assert found(program(bio, bio)) == [("$.earn[1].when", "windows_overlap")]


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ({"time_in": [["08:00", "10:00"]]}, {"time_in": [["07:00", "09:00"]]}, "on any day from 08:00 to 09:00"),
        ({"time_in": [["22:00", "24:00"]]}, {"time_in": [["23:00", "02:00"]]}, "on any day from 23:00 to 24:00"),
        ({"weekday_in": [1, 2, 5]}, {"weekday_in": [5, 2]}, "on Tuesday, Friday"),
    ],
)
def test_when_windows_overlap_is_said_by_day_and_time(one: dict[str, Any], other: dict[str, Any], words: str) -> None:
    [warning] = warnings_of(program({"when": one}, {"when": other}))

    assert warning.detail.startswith(f"{words} rule 'r0' holds too")


def test_visits_that_never_come_together() -> None:
    def visits(**rule: Any) -> Program:
        return program({}, visits=[{"id": "v", "every": 5, "within": "P7D", "give": ONCE} | rule])

    assert found(visits(per="day", every=9)) == [("$.visits[0].every", "never_fires")]
    assert found(visits(per="day", every=8)) == found(visits(every=9)) == []
    assert found(visits(when={"first_purchase": True})) == [("$.visits[0].every", "never_fires")]
    assert found(visits(when={"first_purchase": True}, every=2)) == [("$.visits[0].every", "never_fires")]
    assert found(visits(when={"first_purchase": True}, every=1)) == []
    assert found(visits(when={"weekday_in": [1], "not": {"weekday_in": [1]}})) == [("$.visits[0].when", "never_fires")]


def test_events_are_capped_by_count_and_expire() -> None:
    event = {"id": "e", "on": "member.referred", "give": ONCE}
    assert found(program({}, events=[event | {"cap": {"day": 3, "month": 3}}])) == [
        ("$.events[0].cap.day", "cap_hidden")
    ]
    assert found(program({}, events=[event | {"pending": "P1M", "expires": "P1D"}])) == [
        ("$.events[0].expires", "expires_before_confirmed")
    ]
    # With points from events a tier may be reached before the first purchase
    tiers = [{"id": "gold", "from": {"points_in": "P12M", "at_least": 1}, "grace": "P1M"}]
    new = when(first_purchase=True, tier_in=["gold"])
    assert found(program(new, tiers=tiers)) == [("$.earn[0].when", "never_fires")]
    assert found(program(new, tiers=tiers, events=[event])) == []


def test_a_floor_that_nothing_goes_down_to() -> None:
    reward = {"id": "five", "cost": 500, "discount_minor": 500, "floor_points": 200}
    assert found(program({}, rewards=[reward | {"offline": "floor"}])) == []
    assert found(program({}, rewards=[reward | {"offline": "allowance"}])) == [
        ("$.rewards[0].floor_points", "floor_unused")
    ]
    assert found(program({}, rewards=[reward])) == [("$.rewards[0].floor_points", "floor_unused")]


def test_what_goes_by_the_balance_beside_what_goes_by_what_was_set_aside() -> None:
    floor = {"id": "tea", "cost": 100, "piece_minor": 0, "offline": "floor", "floor_points": 200}
    aside = {"id": "five", "cost": 500, "discount_minor": 500, "offline": "allowance"}
    of_vouchers = {"id": "gift", "issued": True, "discount_minor": 500, "offline": "allowance"}

    warned = [("$.rewards[1].offline", "floor_beside_allowance")]
    assert found(program({}, rewards=[aside, floor])) == warned
    # none where no points are set aside for the other
    assert found(program({}, rewards=[aside | {"offline": "refuse"}, floor])) == []
    assert found(program({}, rewards=[of_vouchers, floor])) == []


def test_currency_and_zone() -> None:
    assert found(program({}, currency="XXX")) == [("$.currency", "odd_currency")]
    assert found(program({}, time_zone="UTC")) == []
    clocked = [
        ((when(weekday_in=[1]),), {}),
        ((when(time_in=[["08:00", "10:00"]]),), {}),
        ((when(birthday_month=True),), {}),
        (({"cap": {"day": 5}},), {}),
        (({},), {"events": [{"id": "e", "on": "x", "give": ONCE, "cap": {"month": 1}}]}),
    ]
    for rules, facts in clocked:
        for zone in ("UTC", "Etc/UTC", "GMT", "Etc/GMT"):
            assert found(program(*rules, time_zone=zone, **facts)) == [("$.time_zone", "clock_of_utc")]
        assert found(program(*rules, **facts)) == []
    assert found(program(when(store_in=["1"]), time_zone="UTC")) == []


def test_a_program_without_any_rule_earns_nothing() -> None:
    assert found(program()) == [("$.earn", "nothing_earns")]
    assert found(program(events=[{"id": "e", "on": "x", "give": ONCE}])) == []


def test_a_warning_says_where_what_and_what_to_do() -> None:
    [warning] = warnings_of(program())
    assert isinstance(warning, ProgramWarning)
    assert str(warning) == "$.earn: there is no rule, so nothing earns points; add one"


def visits_of(**rule: Any) -> list[dict[str, Any]]:
    return [{"id": "v", "every": 9, "within": "P7D", "per": "day", "give": ONCE} | rule]


CUTS = "the smallest cap always cuts them to"


@pytest.mark.parametrize(
    ("checked", "says"),
    [
        (
            program({}, visits=visits_of()),
            "$.visits[0].every: P7D has 8 days at most, and the rule takes 9; lengthen within, or ask for fewer",
        ),
        (
            program({}, visits=visits_of(per="receipt", when={"first_purchase": True})),
            "$.visits[0].every: only a first purchase counts, and it takes more of them to give anything; "
            "take first_purchase out",
        ),
        (
            program({"give": {"points": 10}, "cap": {"day": 9}}),
            f"$.earn[0].give.points: it gives 10 points at least, and {CUTS} 9; raise the cap, or give less",
        ),
        (
            program({"give": BRACKETS, "cap": {"receipt": 149}}),
            f"$.earn[0].give.brackets[2]: it gives 150 points at least, and {CUTS} 149; raise the cap, or give less",
        ),
        (
            program({"give": {"points": 3, "per_minor": 100}, "cap": {"day": 50}} | when(min_basket_minor=6000)),
            f"$.earn[0].cap: it gives 180 points at least, and {CUTS} 50; raise the cap, or give less",
        ),
        (
            program({"cap": {"day": 50, "month": 40}}),
            "$.earn[0].cap.day: the cap of a month is 40, so that of a day, 50, never cuts anything; take it out, or "
            "lower it below 40",
        ),
        (
            program({"pending": "P14D", "expires": "P1D/end-of-month"}),
            "$.earn[0].expires: points are gone before they are confirmed, for what is bought on some days; shorten "
            "pending, or lengthen expires",
        ),
        (
            program({"give": BRACKETS, "min_basis_minor": 5000}),
            "$.earn[0].give.brackets[0]: the basis is at least 5000 where the rule gives, and reaches the next "
            "bracket, so this one never counts; take it out",
        ),
        (
            program({"give": BRACKETS} | when(not_={"min_basket_minor": 1000})),
            "$.earn[0].give: the basis is always below 1000, which gives no point; correct the thresholds",
        ),
        (
            program({"give": {"points": 2, "per_minor": 1}}),
            "$.earn[0].give.per_minor: it gives 200 points for EUR 1, since per_minor counts minor units; write 100 "
            "if points per EUR 1 were meant",
        ),
        (
            program({"give": {"points": 2, "per_minor": 2}}),
            "$.earn[0].give.per_minor: it gives 100 points for EUR 1, since per_minor counts minor units; write 200 "
            "if points per EUR 2 were meant",
        ),
        (
            program({"pending": "P30D", "expires": "P30D"}),
            "$.earn[0].expires: points are gone before they are confirmed, always; shorten pending, or lengthen "
            "expires",
        ),
        (
            program(when(first_purchase=True, tier_in=["silver"]), tiers=TIERS),
            "$.earn[0].when: the rule can never give anything: before the first purchase nobody has reached the tier "
            "that is asked for; correct the condition, or take the rule out",
        ),
        (
            program(when(weekday_in=[1, 2]), when(weekday_in=[2])),
            "$.earn[1].when: on Tuesday rule 'r0' holds too, and both give for the same goods; part "
            'their windows, or put both into one group with "conflict": "best_per_group"',
        ),
        (
            program({"give": BRACKETS} | when(not_={"min_basket_minor": 10000})),
            "$.earn[0].give.brackets[2]: the basis is always below 10000 where the rule gives, so this one never "
            "counts; take it out",
        ),
        (
            program({"group": "a"}),
            '$.earn[0].group: a group has no effect where "conflict" is "sum": all rules give; write "conflict": '
            '"best_per_group", or take the group out',
        ),
        (
            program({"group": "a"}, {"group": "a"}, conflict="best_per_group"),
            "$.earn[1]: rule 'r0' of the same group gives at least as much whenever this one does; take it out, or let "
            "it give more",
        ),
        (
            program(when(weekday_in=[1]), time_zone="UTC"),
            "$.time_zone: weekdays, times and caps of a day or month are counted in UTC; name the shop's zone, such as "
            "Europe/Belgrade",
        ),
        (program({}, currency="XXX"), "$.currency: XXX is no money of any country; name the shop's"),
        (
            program(when(weekday_in=[1], not_={"weekday_in": [1]})),
            "$.earn[0].when: the rule can never give anything: no value of weekday_in is left; correct the "
            "condition, or take the rule out",
        ),
        (
            program(when(time_in=[["08:00", "10:00"]], not_={"time_in": [["07:00", "12:00"]]})),
            "$.earn[0].when: the rule can never give anything: no time of the day is left; correct the condition, or "
            "take the rule out",
        ),
    ],
)
def test_each_warning_says_what_to_do(checked: Program, says: str) -> None:
    assert [str(warning) for warning in warnings_of(checked)] == [says]


def test_tiers_say_what_to_do() -> None:
    of_year = {"points_in": "P1Y", "at_least": 500}
    gold = {"id": "gold", "from": of_year, "multiplier": [4, 3], "discount_percent": 5}

    assert [str(warning) for warning in warnings_of(program({}, tiers=[SILVER, gold]))] == [
        "$.tiers[1].discount_percent: it is carried, and no till gives the discount by itself yet; let the till give "
        "it for this tier",
        "$.tiers[1].grace: without it a member falls on the day on which old receipts leave the window; give a grace, "
        "such as P1M, if that is too soon",
        "$.tiers[1].multiplier: it multiplies by less than 'silver', a tier before it; list tiers from the lowest up, "
        "or correct the multiplier",
        "$.tiers[1].from: whoever reaches 'silver' has reached this one too, so nobody is ever 'silver'; raise "
        "at_least, or shorten the window",
    ]


def test_every_warning_is_described_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs" / "program.md").read_text(encoding="utf-8")
    section = page.split("## Checking\n")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(get_args(Code))


def test_a_tier_that_is_asked_for_and_not_there_is_an_error_of_publishing() -> None:
    asked = program({}, when(not_={"tier_in": ["platinum"]}), tiers=TIERS)
    [wrong] = unknown_tiers(asked)
    assert wrong.startswith("$.earn[1].when: no tier of the program is called platinum")
    assert unknown_tiers(program(when(tier_in=["gold"]), tiers=TIERS)) == ()
    [two] = unknown_tiers(program(when(tier_in=["titan", "gold", "platinum"]), tiers=TIERS))
    assert two == "$.earn[0].when: no tier of the program is called platinum, titan; add it to tiers, or correct it"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.stem)
def test_a_sample_program_is_not_warned_of(sample: Path) -> None:
    checked = program_from_json(sample.read_bytes())
    assert (found(checked), unknown_tiers(checked)) == ([], ())


def test_programs_as_shops_have_them_are_not_warned_of() -> None:
    whole = json.loads(WHOLE)
    checked = program_from_json(WHOLE)
    assert len(checked.earn) == 10
    assert found(checked) == []
    # And the test can fail: with one thread pulled, it is warned of
    whole["earn"][1]["cap"] = {"receipt": 100, "day": 50}
    assert found(program_from_json(json.dumps(whole).encode())) == [("$.earn[1].cap.receipt", "cap_hidden")]


WHOLE = b"""{
  "program": "market", "currency": "EUR", "time_zone": "Europe/Ljubljana", "conflict": "best_per_group",
  "tiers": [
    {"id": "silver", "from": {"points_in": "P12M", "at_least": 1000}, "grace": "P1M", "multiplier": [5, 4]},
    {"id": "gold", "from": {"points_in": "P12M", "at_least": 5000}, "grace": "P1M", "multiplier": [3, 2]}],
  "earn": [
    {"id": "base", "group": "money", "give": {"points": 1, "per_minor": 100}, "cap": {"receipt": 500, "day": 1000},
     "pending": "P14D", "expires": "P12M/end-of-month"},
    {"id": "happy-hour", "group": "money", "when": {"weekday_in": [1, 2, 3, 4], "time_in": [["14:00", "16:00"]]},
     "give": {"points": 2, "per_minor": 100}},
    {"id": "sunday", "group": "money", "when": {"weekday_in": [7]}, "give": {"points": 2, "per_minor": 100}},
    {"id": "bio", "when": {"line_tag_in": ["bio"]}, "give": {"points": 2, "per_minor": 100},
     "basis": {"scope": "lines", "exclude_tags": ["giftcard"], "less_points_paid": true}},
    {"id": "coffee", "when": {"category_in": ["coffee"]}, "basis": {"scope": "quantity"},
     "give": {"points": 5, "per_minor": 1}, "cap": {"day": 20, "month": 200}},
    {"id": "big-basket", "give": {"brackets": [[5000, 50], [10000, 150]]}, "cap": {"month": 600}},
    {"id": "welcome", "when": {"first_purchase": true, "min_basket_minor": 1000}, "give": {"points": 100}},
    {"id": "birthday", "when": {"birthday_month": true}, "give": {"points": 200}, "cap": {"month": 200}},
    {"id": "seniors", "when": {"weekday_in": [3], "segment_in": ["senior"]}, "give": {"points": 1, "per_minor": 100}},
    {"id": "gold-opening", "when": {"tier_in": ["gold"], "store_in": ["7"], "not": {"time_in": [["10:00", "22:00"]]}},
     "give": {"points": 20}, "cap": {"day": 20}}],
  "visits": [{"id": "streak", "every": 5, "within": "P30D", "per": "day", "give": {"points": 200}}],
  "stamps": [{"id": "tenth-coffee", "every": 9, "when": {"category_in": ["coffee"]}, "give": {"points": 250}}],
  "events": [{"id": "referral", "on": "member.referred", "give": {"points": 300}, "cap": {"month": 3}}]}"""


def test_what_is_too_much_to_compare_is_left_alone() -> None:
    # More cases than are looked at, in one condition of alternatives
    days = [{"weekday_in": [1 + number % 7]} for number in range(MAX_CASES + 1)]
    assert cases_of(msgspec.convert({"any": days}, Condition)) is None
    # More rules with windows than are compared
    rules = [when(weekday_in=[1]) for _ in range(MAX_COMPARED + 1)]
    assert found(program(*rules)) == []
    assert len(found(program(*rules[1:]))) == MAX_COMPARED * (MAX_COMPARED - 1) // 2


def test_brackets_and_points_by_money_are_not_compared() -> None:
    best = {"conflict": "best_per_group"}
    brackets = {"group": "a", "give": {"brackets": [[1000, 500]]}}
    assert found(program(brackets, {"group": "a"}, **best)) == found(program({"group": "a"}, brackets, **best)) == []
    assert found(program(brackets, {"group": "a", "give": {"brackets": [[900, 1]]}}, **best)) == []
