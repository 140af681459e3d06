"""Visits and stamps one sale after the other: what they give, and what goes when goods come back."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec import json
from msgspec.structs import replace

from loyalty.account import Account
from loyalty.fold import Fold
from loyalty.history import Facts, scope_of
from loyalty.ledger import LedgerEntry
from loyalty.member import Counters, MemberState
from loyalty.program import Program, program_from_json
from loyalty.receipt import Line, Receipt
from tests.loyalty.receipts import MORNING, refund, sale

DAY = timedelta(days=1)


def program(**keys: Any) -> Program:
    whole = {"program": "p", "currency": "EUR", "time_zone": "Europe/Ljubljana", "earn": []}
    return program_from_json(json.encode(whole | keys))


def stamps(every: int = 2, points: int = 10, **keys: Any) -> Program:
    return program(stamps=[{"id": "s", "every": every, "give": {"points": points}, **keys}])


def visits(every: int = 2, **keys: Any) -> Program:
    return program(visits=[{"id": "v", "every": every, "within": "P10D", "give": {"points": 10}, **keys}])


def cups(number: str, pieces: str, at: datetime = MORNING) -> Receipt:
    cup = Line(position=1, sku="cup", amount_minor=int(pieces) * 100, quantity=pieces)
    return sale(number, lines=(cup,), issued_at=at)


def cups_back(number: str, of: str, pieces: int) -> Receipt:
    cup = Line(position=1, sku="cup", amount_minor=-pieces * 100, quantity=str(pieces))
    return replace(refund(number, of, pieces * 100), lines=(cup,))


def moved(entries: tuple[LedgerEntry, ...]) -> list[tuple[str, int]]:
    return [(entry.entry_id, entry.points) for entry in entries]


def test_stamps_say_their_arithmetic_and_keep_their_times() -> None:
    account = Account(stamps(every=3, pending="P1D", expires="P2D"))

    (given,) = account.add(cups("1", "7"))

    assert (given.points, given.basis_minor, given.why) == (20, 0, "2 × 3 stamps × 10 = 20, 1 over")
    assert (given.pending_until, given.expires_at) == (MORNING + DAY, MORNING + 2 * DAY)


def test_an_exchange_tells_the_card_that_it_takes_from_the_one_that_it_fills() -> None:
    account = Account(stamps())
    account.add(cups("1", "2"))
    swap = (
        Line(position=1, sku="cup", amount_minor=-200, quantity="2"),
        Line(position=2, sku="mug", amount_minor=600, quantity="2"),
    )

    moves = account.add(replace(refund("2", "1"), kind="exchange", total_minor=400, lines=swap))

    assert moved(moves) == [("key-2/s/returned", -10), ("key-2/s", 10)]


def test_the_newest_points_go_first_and_one_return_may_take_of_several() -> None:
    account = Account(stamps())
    for number, pieces in (("1", "7"), ("2", "1"), ("3", "4")):
        account.add(cups(number, pieces))

    # twelve stamps are six cards: 30, 10 and 20 points; five that come back leave seven, which are three cards
    taken = account.add(cups_back("4", "1", 5))

    assert moved(taken) == [("key-4/s", -20), ("key-4/s/1", -10)]
    assert [(entry.reverses, entry.why) for entry in taken] == [
        ("key-3/s", "2 × 2 stamps brought back: 20 taken back"),
        ("key-2/s", "1 × 2 stamps brought back: 10 taken back"),
    ]
    assert moved(account.add(cups_back("5", "3", 4))) == [("key-5/s", -20)]
    # three stamps are left, and one card of the first receipt's three
    assert moved(account.add(cups_back("6", "1", 2))) == [("key-6/s", -10)]
    assert moved(account.add(cups_back("7", "2", 1))) == []


def test_three_takings_of_one_return_are_told_apart() -> None:
    account = Account(stamps(every=1))
    for number in ("1", "2", "3"):
        account.add(cups(number, "1"))
    account.add(cups("4", "3"))
    account.add(replace(cups("3", "1"), status="voided"))

    names = [entry.entry_id for entry in account.entries if entry.points < 0]

    assert names == ["key-3/s/voided"]
    assert moved(account.add(cups_back("5", "4", 3))) == [("key-5/s", -20), ("key-5/s/1", -10)]

    # three cards of three receipts go with what came back of the first
    account = Account(stamps(every=1))
    for number, pieces in (("1", "3"), ("2", "1"), ("3", "1")):
        account.add(cups(number, pieces))
    assert moved(account.add(cups_back("4", "1", 3))) == [("key-4/s", -10), ("key-4/s/1", -10), ("key-4/s/2", -10)]


def test_more_points_than_can_be_held_are_told_by_their_rule() -> None:
    # a card that would be full beside those that are counts too: 10**14 points are the most
    account = Account(stamps(every=1, points=10**9))
    assert moved(account.add(cups("1", "99999"))) == [("key-1/s", 99_999 * 10**9)]

    assert account.add(cups("2", "100000")) == ()
    assert [str(problem.detail).partition(" is more")[0] for problem in account.problems] == [
        f"receipt key-2: rule s: {100_001 * 10**9}"
    ]


def test_a_part_of_a_piece_is_no_stamp() -> None:
    account = Account(stamps())
    half = Line(position=1, amount_minor=100, quantity="1.5")

    assert account.add(sale("1", lines=(half,))) == ()
    assert moved(account.add(sale("2", lines=(half,)))) == [("key-2/s", 10)]


def test_a_voided_sale_takes_all_its_stamps() -> None:
    account = Account(stamps(every=2))
    account.add(cups("1", "4"))

    assert moved(account.add(replace(cups("1", "4"), status="voided"))) == [("key-1/s/voided", -20)]
    assert moved(account.add(cups("2", "2"))) == [("key-2/s", 10)]


def test_cards_that_are_full_stay_full_when_another_program_asks_for_more_stamps() -> None:
    old, new = stamps(every=2), stamps(every=3, points=50)
    fold = Fold(scope_of([old, new]))

    assert moved(tuple(fold.sell(cups("1", "5"), program=old, facts=Facts()))) == [("key-1/s", 20)]
    # one stamp was over; two more fill a card of three
    assert moved(tuple(fold.sell(cups("2", "1"), program=new, facts=Facts()))) == []
    assert moved(tuple(fold.sell(cups("3", "1"), program=new, facts=Facts()))) == [("key-3/s", 50)]
    assert fold.counters(new, MORNING).stamps == {"s": 0}


def test_a_streak_has_its_times_and_moves_no_money() -> None:
    account = Account(visits(pending="P1D", expires="P2D"))
    account.add(sale("1", 1))

    (given,) = account.add(sale("2", 1))

    assert (given.points, given.basis_minor, given.why) == (10, 0, "2 visits within P10D = 10")
    assert (given.pending_until, given.expires_at) == (MORNING + DAY, MORNING + 2 * DAY)


@pytest.mark.parametrize(("left", "goes"), [(1, False), (0, True)])
def test_a_visit_is_one_while_anything_of_it_is_left(left: int, goes: bool) -> None:
    account = Account(visits())
    account.add(sale("1", 100))
    account.add(sale("2", 100))

    assert bool(account.add(refund("3", "1", 100 - left))) is goes


def test_another_visit_takes_the_place_of_one_that_is_voided() -> None:
    account = Account(visits(every=2))
    for number in ("1", "2", "3"):
        account.add(replace(sale(number, 100), issued_at=MORNING + int(number) * DAY))

    assert account.add(replace(sale("1", 100), issued_at=MORNING + DAY, status="voided")) == ()
    # now the second and the third are the streak: one of them goes, and so do the points
    assert moved(account.add(replace(refund("4", "3", 100), issued_at=MORNING + 5 * DAY))) == [("key-4/v", -10)]
    assert moved(account.add(replace(sale("5", 100), issued_at=MORNING + 6 * DAY))) == [("key-5/v", 10)]


def test_a_later_streak_goes_though_an_earlier_one_stands() -> None:
    account = Account(visits(every=1))
    account.add(sale("1", 100))
    account.add(sale("2", 100))

    assert [entry.reverses for entry in account.add(refund("3", "2", 100))] == ["key-2/v"]


def test_a_day_with_visits_before_is_counted_once_on_the_programs_clock() -> None:
    # given a visit a minute after midnight in Ljubljana, which is the day before in UTC
    midnight = datetime.fromisoformat("2026-11-22T23:01:00+00:00")
    told = MemberState(code="1", counters=Counters(visits={"v": (midnight,)}))
    used_up = MemberState(code="1", counters=Counters(visits={"v": ()}, visited={"v": "2026-11-23"}))
    today, tomorrow = (
        replace(sale(name, 100), issued_at=midnight + hours) for name, hours in (("1", DAY / 2), ("2", DAY))
    )

    of_days, of_used_up = Account(visits(per="day"), told), Account(visits(per="day"), used_up)

    assert [moved(of_days.add(each)) for each in (today, tomorrow)] == [[], [("key-2/v", 10)]]
    assert [moved(of_used_up.add(each)) for each in (today, tomorrow)] == [[], []]
    assert moved(Account(visits(), told).add(today)) == [("key-1/v", 10)]


def test_what_may_still_count_is_told_until_its_window_ends() -> None:
    fold = Fold(scope_of([visits()]))
    fold.sell(sale("1", 100), program=visits(), facts=Facts())

    assert fold.counters(visits(), MORNING + 10 * DAY).visits == {"v": (MORNING,)}
    assert fold.counters(visits(), MORNING + 10 * DAY + timedelta(seconds=1)).visits == {"v": ()}


def test_of_a_rule_of_days_the_newest_that_counted_is_told() -> None:
    fold = Fold(scope_of([visits(per="day")]))
    assert fold.counters(visits(per="day"), MORNING).visited == {}

    for number, at in (("1", MORNING), ("2", MORNING + DAY)):
        fold.sell(replace(sale(number, 100), issued_at=at), program=visits(per="day"), facts=Facts())

    assert fold.counters(visits(per="day"), MORNING + DAY).visited == {"v": "2026-11-23"}


@pytest.mark.parametrize("per", ["receipt", "day"])
def test_what_was_sold_before_a_rule_began_takes_nothing_of_it_when_it_comes_back(per: str) -> None:
    # given two sales before there were visits and stamps, and one after, which fills a card and a streak of one
    before, after = (
        program(),
        program(
            visits=[{"id": "v", "every": 1, "within": "P10D", "per": per, "give": {"points": 10}}],
            stamps=[{"id": "s", "every": 1, "give": {"points": 5}}],
        ),
    )
    fold = Fold(scope_of([before, after]))
    for number in ("1", "2"):
        fold.sell(cups(number, "1", MORNING - DAY), program=before, facts=Facts())
    given = fold.sell(cups("3", "1"), program=after, facts=Facts())
    assert moved(tuple(given)) == [("key-3/v", 10), ("key-3/s", 5)]

    # then one of the first comes back, and the other is voided, and nothing goes
    assert fold.take_back(cups_back("4", "1", 1), "key-1") == []
    assert fold.void("key-2") == []
    assert moved(tuple(fold.take_back(cups_back("5", "3", 1), "key-3"))) == [("key-5/v", -10), ("key-5/s", -5)]


def test_a_day_is_a_visit_while_one_of_its_receipts_is_left() -> None:
    account = Account(visits(every=1, per="day"))
    given = [moved(account.add(sale(number, 100))) for number in ("1", "2")]
    assert given == [[("key-1/v", 10)], []]

    assert account.add(refund("3", "1", 100)) == ()
    assert moved(account.add(refund("4", "2", 100))) == [("key-4/v", -10)]


def test_of_stamps_that_a_file_told_nothing_is_known_to_have_been_given() -> None:
    # given a file that tells more stamps than a card has, as no register writes it
    account = Account(stamps(every=2), MemberState(code="1", counters=Counters(stamps={"s": 3})))
    assert moved(account.add(cups("1", "2"))) == [("key-1/s", 10)]

    # then a return takes what these receipts gave, and not more
    assert moved(account.add(cups_back("2", "1", 2))) == [("key-2/s", -10)]


def test_a_day_whose_points_stay_is_not_counted_again() -> None:
    # given points of a day that were confirmed when all of it came back, where only pending ones are taken
    rule = {"id": "v", "every": 1, "within": "P10D", "per": "day", "give": {"points": 10}, "pending": "P1D"}
    account = Account(program(visits=[rule], returns={"policy": "pending_only"}))
    account.add(sale("1", 100))
    assert account.add(replace(refund("2", "1", 100), issued_at=MORNING + 3 * DAY)) == ()

    # then another receipt of the same day makes it no visit again
    assert account.add(replace(sale("3", 100), issued_at=MORNING + timedelta(hours=2))) == ()
    assert moved(account.add(replace(sale("4", 100), issued_at=MORNING + DAY))) == [("key-4/v", 10)]
