"""A member's receipts and events in their one order, under the program and the facts of each one's time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from msgspec import UNSET, json
from msgspec.structs import replace

from loyalty.account import Account
from loyalty.canonical import Canonical, KnownFacts, Seen, canonical, facts_at, position_of
from loyalty.events import Happened
from loyalty.fold import Fold
from loyalty.history import Facts, remembers, scope_of
from loyalty.ledger import LedgerEntry
from loyalty.program import Program, program_from_json
from loyalty.receipt import Line, Receipt
from tests.loyalty.receipts import MORNING, refund, sale

DAY = timedelta(days=1)
BASE = {"id": "base", "give": {"points": 3, "per_minor": 100}}
NOBODY = Facts()


def program(**keys: Any) -> Program:
    whole = {"program": "p", "currency": "EUR", "time_zone": "Europe/Ljubljana", "earn": [BASE]}
    return program_from_json(json.encode(whole | keys))


class Holding(NamedTuple):
    valid_from: datetime | None
    hash: str
    program: Program


def seen(receipt: Receipt, at: datetime = MORNING, **how: Any) -> Seen:
    return Seen(receipt=replace(receipt, issued_at=at), seen_at=MORNING + 30 * DAY, **how)


def folded(*moments: Seen | Happened, terms: Program | None = None, known: tuple[KnownFacts, ...] = ()) -> Canonical:
    schedule = (Holding(None, "hash", terms or program()),)
    receipts = [each for each in moments if isinstance(each, Seen)]
    return canonical(receipts, [each for each in moments if isinstance(each, Happened)], schedule, known)


def points(found: Canonical) -> list[tuple[str, int]]:
    return [(one.entry.entry_id, one.entry.points) for one in found.wanted]


def test_the_order_is_that_of_time_and_then_of_the_key() -> None:
    capped = program(earn=[BASE | {"cap": {"day": 40}}])
    late, early = seen(sale("1", 1000), MORNING + timedelta(hours=1)), seen(sale("2", 1000))

    found = folded(late, early, terms=capped)

    assert points(found) == [("key-2/base", 30), ("key-1/base", 10)]
    assert found.last == late.position
    assert points(folded(early, seen(sale("0", 1000)), terms=capped)) == [("key-0/base", 30), ("key-2/base", 10)]
    assert folded().last is None


def test_what_tells_no_time_stands_where_it_came() -> None:
    undated = sale("1", 1000, issued_at=UNSET)

    assert position_of(undated, MORNING) == (MORNING.astimezone(UTC), "key-1")


def test_each_is_judged_by_the_program_and_the_facts_of_its_time_and_a_return_by_that_of_its_sale() -> None:
    tiers = [{"id": "gold", "multiplier": [2, 1]}]
    old, new = (
        program(tiers=tiers),
        program(tiers=tiers, earn=[{"id": "base", "give": {"points": 5, "per_minor": 100}}]),
    )
    schedule = (Holding(None, "old", old), Holding(MORNING + DAY, "new", new))
    known = (KnownFacts(facts=NOBODY), KnownFacts(valid_from=MORNING + 2 * DAY, facts=Facts(tier="gold")))
    receipts = [
        seen(sale("1", 1000)),
        seen(sale("2", 1000), MORNING + DAY),
        seen(sale("3", 1000), MORNING + 2 * DAY),
        seen(refund("4", "1", 1000), MORNING + 3 * DAY, original="key-1"),
    ]

    found = canonical(receipts, [], schedule, known)

    assert [(one.entry.points, one.program) for one in found.wanted] == [
        (30, "old"),
        (50, "new"),
        (100, "new"),
        (-30, "old"),
    ]
    assert facts_at((), MORNING) == Facts()


def test_before_the_first_program_nothing_counts() -> None:
    schedule = (Holding(MORNING + DAY, "new", program()),)
    happened = Happened(key="e", on="app.installed", at=MORNING)

    assert canonical([seen(sale("1", 1000))], [happened], schedule, ()).wanted == ()


def test_a_return_counts_after_its_sale_and_one_of_a_sale_that_earns_nothing_takes_nothing() -> None:
    early = seen(refund("2", "1", 400), original="key-1")
    bought = seen(sale("1", 1000), MORNING + DAY)
    exchange = replace(
        sale("3", lines=(Line(position=1, amount_minor=-600), Line(position=2, amount_minor=2000))), kind="exchange"
    )

    found = folded(early, seen(exchange, original="key-1"), bought)

    assert points(found) == [
        ("key-3/base", 60),
        ("key-1/base", 30),
        ("key-2/base", -12),
        ("key-3/base/returned", -18),
    ]
    assert points(folded(early, seen(sale("1", 1000, status="training"), MORNING + DAY))) == []
    foreign = replace(refund("2", "1", 400), currency="RSD")
    assert points(folded(bought, seen(foreign, MORNING + 2 * DAY, original="key-1"))) == [("key-1/base", 30)]


def test_a_sale_of_another_member_gives_nothing_here() -> None:
    assert points(folded(seen(sale("1", 1000), sells=False))) == []
    assert points(folded(seen(refund("2", "1", 400)))) == []


def test_events_count_in_their_turn_and_towards_tiers() -> None:
    terms = program(
        tiers=[{"id": "gold", "from": {"points_in": "P1M", "at_least": 90}, "multiplier": [2, 1]}],
        events=[{"id": "app", "on": "app.installed", "give": {"points": 100}, "cap": {"member": 1}}],
    )
    first, again = (Happened(key=key, on="app.installed", at=MORNING + DAY) for key in ("e1", "e2"))

    found = folded(again, seen(sale("1", 1000)), seen(sale("2", 1000), MORNING + 2 * DAY), first, terms=terms)

    assert points(found) == [("key-1/base", 30), ("e1/app", 100), ("key-2/base", 60)]
    assert [one.program for one in found.wanted] == ["hash"] * 3
    untiered = program(events=[{"id": "app", "on": "app.installed", "give": {"points": 100}}])
    assert points(folded(first, again, terms=untiered)) == [("e1/app", 100), ("e2/app", 100)]


def test_a_cap_of_events_counts_by_the_shops_own_day() -> None:
    # given a quarter past midnight in Ljubljana, which is the day before by UTC
    night = MORNING.replace(hour=0, minute=15)
    terms = program(events=[{"id": "app", "on": "app.opened", "give": {"points": 5}, "cap": {"day": 1}}])
    moments = {"e1": night - timedelta(hours=1), "e2": night, "e3": MORNING}

    found = folded(*(Happened(key=key, on="app.opened", at=at) for key, at in moments.items()), terms=terms)

    assert points(found) == [("e1/app", 5), ("e2/app", 5)]


def test_events_of_one_second_count_each_for_itself() -> None:
    terms = program(
        tiers=[{"id": "gold", "from": {"points_in": "P1M", "at_least": 10}}],
        events=[{"id": "app", "on": "app.opened", "give": {"points": 5}}],
    )

    fold = folded(*(Happened(key=key, on="app.opened", at=MORNING) for key in ("e1", "e2")), terms=terms).fold

    assert fold.tier(terms, NOBODY, MORNING) == "gold"
    assert [each.points for each in fold.counters(terms, MORNING).activity or ()] == [5, 5]


def test_a_higher_promise_is_kept_where_the_program_says_so() -> None:
    def claim(rule: str, amount: int, **times: Any) -> LedgerEntry:
        return LedgerEntry(receipt="key-1", rule=rule, points=amount, basis_minor=0, why="", **times)

    times = {"pending_until": MORNING + DAY, "expires_at": MORNING + 9 * DAY}
    claims = (claim("base", 40, **times), claim("more", 20), claim("less", -5))
    bought, back = seen(sale("1", 1000), promised=claims), seen(refund("2", "1", 500), MORNING + DAY, original="key-1")

    kept = folded(bought, back, terms=program(goodwill="honour"))

    assert points(kept) == [("key-1/base", 30), ("key-1/goodwill", 30), ("key-2/base", -15), ("key-2/goodwill", -15)]
    assert (kept.wanted[1].entry.pending_until, kept.wanted[1].entry.expires_at) == tuple(times.values())
    assert kept.wanted[1].entry.why == "60 were promised at the till, 30 are given by the rules"
    assert points(folded(bought, terms=program())) == [("key-1/base", 30)]
    modest = seen(sale("1", 1000), promised=claims[2:])
    assert points(folded(modest, terms=program(goodwill="honour"))) == [("key-1/base", 30)]
    # to the point: one that the rules give already adds nothing, and one point more is kept
    exact, by_one = (claim("base", 30),), (claim("base", 30), claim("more", 1))
    assert points(folded(seen(sale("1", 1000), promised=exact), terms=program(goodwill="honour"))) == [
        ("key-1/base", 30)
    ]
    assert points(folded(seen(sale("1", 1000), promised=by_one), terms=program(goodwill="honour"))) == [
        ("key-1/base", 30),
        ("key-1/goodwill", 1),
    ]


def test_goodwill_takes_no_room_under_caps() -> None:
    capped = program(goodwill="honour", earn=[BASE | {"cap": {"day": 60}}])
    claims = (LedgerEntry(receipt="key-1", rule="base", points=90, basis_minor=0, why=""),)

    found = folded(seen(sale("1", 1000), promised=claims), seen(sale("2", 1000)), terms=capped)

    assert points(found) == [("key-1/base", 30), ("key-1/goodwill", 60), ("key-2/base", 30)]


def test_goodwill_counts_for_no_tier_neither_given_nor_taken() -> None:
    terms = program(goodwill="honour", tiers=[{"id": "gold", "from": {"points_in": "P1M", "at_least": 31}}])
    bought = seen(
        sale("1", 1000),
        promised=(LedgerEntry(receipt="key-1", rule="base", points=90, basis_minor=0, why=""),),
    )
    half = seen(refund("2", "1", 500), MORNING + DAY, original="key-1")

    given, taken = folded(bought, terms=terms).fold, folded(bought, half, terms=terms).fold

    assert [fold.balance(terms, MORNING + DAY).confirmed for fold in (given, taken)] == [90, 45]
    assert given.tier(terms, NOBODY, MORNING) is UNSET
    assert [each.points for each in taken.counters(terms, MORNING + DAY).activity or ()] == [15]


def test_a_rule_that_only_begins_like_goodwill_has_its_cap() -> None:
    capped = program(goodwill="honour", earn=[BASE | {"id": "goodwill-week", "cap": {"day": 50}}])

    found = folded(*(seen(sale(f"{number}", 1000)) for number in (1, 2)), terms=capped)

    assert points(found) == [("key-1/goodwill-week", 30), ("key-2/goodwill-week", 20)]


def test_when_time_alone_may_change_a_tier() -> None:
    tiers = [
        {"id": "silver", "from": {"visits_in": "P10D", "at_least": 1}, "grace": "P5D"},
        {"id": "friend"},
        {"id": "gold", "from": {"spend_in": "P30D", "at_least": 9000}},
    ]
    terms = program(tiers=tiers)
    fold = folded(seen(sale("1", 1000)), terms=terms).fold

    changes = [MORNING]
    while (then := fold.tier_changes_at(terms, changes[-1])) is not None:
        changes.append(then)

    assert changes == [MORNING, MORNING + 10 * DAY, MORNING + 15 * DAY, MORNING + 30 * DAY]
    assert fold.tier_changes_at(terms, MORNING - DAY) == MORNING
    assert fold.tier_changes_at(program(), MORNING - DAY) is None
    lapses = MORNING + 15 * DAY
    # at the moment at which one visit leaves, the next one that will is what changes it
    twice = folded(seen(sale("1", 1000)), seen(sale("2", 1000), MORNING + DAY), terms=terms).fold
    assert twice.tier_changes_at(terms, MORNING + 10 * DAY) == MORNING + 11 * DAY
    assert fold.tier(terms, NOBODY, lapses - timedelta(seconds=1)) == "silver"
    assert fold.tier(terms, NOBODY, lapses) is UNSET


def test_a_sale_that_was_never_folded_can_be_voided_and_learned_of() -> None:
    fold = Fold(scope_of([program()]))

    fold.learn(sale("1", 1000))

    assert fold.void("key-1") == []
    assert fold.sale("key-1") is None


@pytest.mark.parametrize(
    ("keys", "asks"),
    [
        ({}, False),
        ({"earn": [BASE | {"cap": {"receipt": 5}, "when": {"birthday_month": True, "segment_in": ["vip"]}}]}, False),
        ({"earn": [BASE | {"cap": {"day": 5}}]}, True),
        ({"earn": [BASE | {"when": {"not": {"first_purchase": True}}}]}, True),
        ({"events": [{"id": "app", "on": "a", "give": {"points": 1}}]}, False),
        ({"events": [{"id": "app", "on": "a", "give": {"points": 1}, "cap": {"month": 1}}]}, True),
        ({"visits": [{"id": "v", "every": 2, "within": "P1D", "give": {"points": 1}}]}, True),
        ({"stamps": [{"id": "s", "every": 2, "give": {"points": 1}}]}, True),
        ({"tiers": [{"id": "gold"}]}, False),
        ({"tiers": [{"id": "gold", "from": {"visits_in": "P1M", "at_least": 2}}]}, True),
    ],
)
def test_whether_a_program_remembers_what_was_before(keys: dict[str, Any], asks: bool) -> None:
    assert remembers(program(**keys)) is asks


def test_a_fold_goes_on_from_what_its_counters_tell() -> None:
    # given a fold that ends after any of its receipts, and another that goes on from its counters
    terms = program(
        earn=[
            BASE | {"cap": {"day": 50, "month": 120}},
            {"id": "first", "when": {"first_purchase": True}, "give": {"points": 7}},
        ],
        tiers=[{"id": "gold", "from": {"spend_in": "P10D", "at_least": 2500}, "multiplier": [2, 1], "grace": "P1D"}],
        visits=[{"id": "v", "every": 3, "within": "P9D", "per": "day", "give": {"points": 9}}],
        stamps=[{"id": "s", "every": 4, "give": {"points": 11}}],
    )
    receipts = [replace(sale(f"{number}", 1000), issued_at=MORNING + number * DAY / 2) for number in range(12)]
    whole = Account(terms)
    given = [whole.add(receipt) for receipt in receipts]

    for place in range(1, len(receipts)):
        before = Account(terms)
        for receipt in receipts[:place]:
            before.add(receipt)
        after = Account(terms, before.state(MORNING + (place - 1) * DAY / 2))

        assert [after.add(receipt) for receipt in receipts[place:]] == given[place:]
    assert any(entry.rule == "v" for entries in given for entry in entries)
