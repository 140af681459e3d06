"""What is wrong with rules, said so that it can be put right."""

from __future__ import annotations

import string
from itertools import product
from time import perf_counter

import pytest

from drivers.scanning import goods
from drivers.scanning.aim import symbology_of
from loyalty.identification import MAX_RULES, SYMBOLOGIES, IdentificationRule
from loyalty.identification_checks import MAX_CHOICES, MAX_PATTERN_CHARS, RulesError, rule_problems

GOOD = [
    IdentificationRule(name="ean", symbologies=("ean13",), prefixes=("29",), lengths=(13,), check_digit="gs1"),
    IdentificationRule(
        name="range", ranges=(("9000120000000000", "9000189999999999"),), check_digit="luhn", lengths=(16,)
    ),
    IdentificationRule(name="qr", kind="wallet", pattern="https://club.example/m/{code}*"),
    IdentificationRule(name="gsrn", ai="8018", prefixes=("9501101",)),
    IdentificationRule(name="badges", kind="goods", symbologies=("code39",)),
    IdentificationRule(name="letters", prefixes=("m-", "C"), drop_leading=1, add_leading="X"),
    IdentificationRule(name="phone", kind="phone", prefixes=("04",), lengths=(9,), drop_leading=1, add_leading="+386"),
    IdentificationRule(name="bills", kind="goods", pattern="https://suf.purs.gov.rs/*", to_pos=False),
    IdentificationRule(name="code 128", symbologies=("code128",)),
]


def found(**fields: object) -> list[tuple[str, bool]]:
    """Fields and gravity of what is wrong with one rule."""
    rule = IdentificationRule(**{"name": "club", **fields})  # type: ignore[arg-type]
    return [(problem.field, problem.serious) for problem in rule_problems((rule,))]


def test_rules_as_shops_have_them_are_all_right() -> None:
    assert rule_problems(GOOD) == ()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, ""),
        ({"check_digit": "luhn"}, ""),
        ({"kind": "goods"}, ""),
        ({"lengths": (13,)}, ""),
        ({"lengths": (8, 20), "check_digit": "gs1"}, ""),
        ({"symbologies": ("ean13",)}, ""),
        ({"name": "", "prefixes": ("2",)}, "name"),
        ({"name": "a\nb", "prefixes": ("2",)}, "name"),
        ({"name": "x" * 65, "prefixes": ("2",)}, "name"),
        ({"symbologies": ("ean-13",), "prefixes": ("2",)}, "symbologies"),
        ({"ai": "(8018)"}, "ai"),
        ({"ai": "1"}, "ai"),
        ({"prefixes": ("",)}, "prefixes"),
        ({"prefixes": ("-",)}, "prefixes"),
        ({"prefixes": ("<b>",)}, "prefixes"),
        ({"prefixes": ("29123",), "lengths": (4,)}, "prefixes"),
        ({"prefixes": tuple(f"2{n}" for n in range(MAX_CHOICES + 1))}, "prefixes"),
        ({"ranges": (("2", "29"),)}, "ranges"),
        ({"ranges": (("29", "21"),)}, "ranges"),
        ({"ranges": (("2A", "2B"),)}, "ranges"),
        ({"ranges": (("", ""),)}, "ranges"),
        ({"ranges": (("٢", "٣"),)}, "ranges"),
        ({"ranges": (("20000", "29999"),), "lengths": (4,)}, "ranges"),
        ({"prefixes": ("2",), "lengths": (0,)}, "lengths"),
        ({"prefixes": ("2",), "lengths": (129,)}, "lengths"),
        ({"prefixes": ("M2",), "check_digit": "luhn"}, "check_digit"),
        ({"pattern": "https://club.example/m/"}, "pattern"),
        ({"pattern": "{code}"}, "pattern"),
        ({"pattern": "{code}*"}, "pattern"),
        ({"pattern": "a{code}b{code}"}, "pattern"),
        ({"pattern": "a{code}{id}"}, "pattern"),
        ({"pattern": "a*{code}"}, "pattern"),
        ({"pattern": "a" * MAX_PATTERN_CHARS + "{code}"}, "pattern"),
        ({"kind": "goods", "pattern": "*"}, "pattern"),
        ({"prefixes": ("2",), "drop_leading": -1}, "drop_leading"),
        ({"prefixes": ("2",), "drop_trailing": 128}, "drop_trailing"),
        ({"prefixes": ("2",), "lengths": (5, 9), "drop_leading": 3, "drop_trailing": 2}, "drop_leading"),
        ({"prefixes": ("2",), "lengths": (5,), "drop_trailing": 5}, "drop_trailing"),
        ({"prefixes": ("2",), "add_leading": "="}, "add_leading"),
        ({"prefixes": ("2",), "add_leading": "+X"}, "add_leading"),
        ({"pattern": "HTTPS://{code}*"}, "pattern"),
        ({"kind": "phone", "prefixes": ("M",)}, "prefixes"),
        ({"prefixes": ("+386",)}, "prefixes"),
        ({"prefixes": ("M",), "lengths": (12, 70)}, "lengths"),
        ({"prefixes": ("M",), "lengths": (64,), "add_leading": "C"}, "lengths"),
    ],
)
def test_what_cannot_be_right_is_named(fields: dict[str, object], field: str) -> None:
    assert (field, True) in found(**fields)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"prefixes": ("38",)}, "prefixes"),
        ({"ranges": (("6011", "6011"),)}, "ranges"),
        ({"ranges": (("29", "30"),)}, "ranges"),
        ({"kind": "goods", "symbologies": ("code39",), "to_pos": True}, "to_pos"),
        ({"kind": "goods", "symbologies": ("code39",), "drop_leading": 1}, "drop_leading"),
    ],
)
def test_what_is_likely_a_mistake_is_named_and_can_be_used(fields: dict[str, object], field: str) -> None:
    assert found(**fields) == [(field, False)]


@pytest.mark.parametrize(
    "fields",
    [
        {"prefixes": ("29", "024", "04")},
        {"prefixes": ("38",), "lengths": (10, 16)},
        {"prefixes": ("38",), "symbologies": ("code128", "qr")},
        {"prefixes": ("38",), "pattern": "TS:{code}"},
        {"kind": "phone", "prefixes": ("M+386",), "drop_leading": 1},
        {"prefixes": ("M",), "lengths": (65,), "drop_trailing": 1},
    ],
)
def test_cards_that_cannot_be_mistaken_for_products_are_all_right(fields: dict[str, object]) -> None:
    assert found(**fields) == []


def test_a_length_that_is_none_is_named_once() -> None:
    assert found(symbologies=("qr",), lengths=(0,)) == [("lengths", True)]


def test_names_are_each_rules_own() -> None:
    rules = [
        IdentificationRule(name=name, prefixes=(prefix,)) for name, prefix in (("a", "21"), ("b", "22"), ("a", "23"))
    ]

    assert [(problem.index, problem.name, problem.field) for problem in rule_problems(rules)] == [
        (0, "a", "name"),
        (2, "a", "name"),
    ]


@pytest.mark.parametrize(
    ("broad", "narrow", "hidden"),
    [
        ({"prefixes": ("2",)}, {"prefixes": ("29", "21")}, True),
        ({"prefixes": ("2",)}, {"prefixes": ("29", "31"), "lengths": (9,)}, False),
        ({"prefixes": ("2",)}, {"ranges": (("2000", "2999"),)}, True),
        ({"ranges": (("20", "29"),)}, {"ranges": (("2100", "2999"),), "lengths": (9,)}, True),
        ({"ranges": (("20", "29"),)}, {"prefixes": ("2",)}, False),
        ({"prefixes": ("2",), "lengths": (9,)}, {"prefixes": ("2",)}, False),
        ({"prefixes": ("2",), "lengths": (9, 10)}, {"prefixes": ("2",), "lengths": (9,)}, True),
        ({"prefixes": ("2",), "symbologies": ("qr",)}, {"prefixes": ("2",)}, False),
        ({"prefixes": ("2",)}, {"prefixes": ("2",), "symbologies": ("qr",)}, True),
        ({"prefixes": ("2",), "check_digit": "gs1"}, {"prefixes": ("2",)}, False),
        ({"prefixes": ("2",)}, {"prefixes": ("2",), "check_digit": "gs1"}, True),
        ({"pattern": "a/{code}"}, {"pattern": "b/{code}"}, False),
        ({"pattern": "a/{code}"}, {"pattern": "a/{code}", "prefixes": ("2",)}, True),
        ({"ai": "8018"}, {"ai": "8017"}, False),
    ],
)
def test_a_rule_that_is_never_reached_is_named(
    broad: dict[str, object], narrow: dict[str, object], hidden: bool
) -> None:
    first = IdentificationRule(name="first", **broad)  # type: ignore[arg-type]
    second = IdentificationRule(name="second", **narrow)  # type: ignore[arg-type]

    said = [problem for problem in rule_problems((first, second)) if "claims the same codes" in problem.problem]

    assert [(problem.index, problem.serious) for problem in said] == ([(1, False)] if hidden else [])


def test_there_are_no_more_than_can_be_matched_at_a_till() -> None:
    rules = [IdentificationRule(name=str(n), prefixes=(f"2{n}",)) for n in range(MAX_RULES + 1)]

    (problem,) = rule_problems(rules)

    assert problem.index is None
    assert problem.serious


def test_a_problem_names_rule_field_and_remedy() -> None:
    problems = rule_problems((GOOD[0], IdentificationRule(name="club", ranges=(("29", "21"),))))

    assert str(problems[0]) == (
        "identification rule 2 'club', ranges: '29' to '21' ends before it begins; write the smaller end first"
    )
    assert str(RulesError(problems)) == str(problems[0])
    assert RulesError(problems).problems == problems


def test_the_names_of_symbologies_are_those_that_scans_have() -> None:
    characters = string.ascii_letters + string.digits
    names = {symbology_of(f"]{code}{modifier}") for code, modifier in product(characters, repeat=2)}
    names |= set(goods._SYMBOLOGIES.values())

    assert set(SYMBOLOGIES) == names | {"upce", "magstripe", "unknown"}


def test_the_checks_of_as_many_rules_as_there_may_be_end_soon() -> None:
    rules = [
        IdentificationRule(name=str(n), prefixes=tuple(f"M{n:02}{m:02}" for m in range(MAX_CHOICES)))
        for n in range(MAX_RULES)
    ]
    begun = perf_counter()

    assert rule_problems(rules) == ()
    print(f"{perf_counter() - begun:.2f} s")
