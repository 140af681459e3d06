"""One member's receipts as they arrive: sightings of one sale, what contradicts, and where the member stands then."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from msgspec import UNSET, json
from msgspec.structs import replace

from loyalty.account import Account, newest
from loyalty.member import Balance, Counters, MemberState
from loyalty.periods import FIRST
from loyalty.program import Program, program_from_json
from loyalty.receipt import Line, Receipt
from tests.loyalty.receipts import MORNING, refund, sale

DAY = timedelta(days=1)
ZONE = "Europe/Ljubljana"
BASE = {"id": "base", "give": {"points": 3, "per_minor": 100}}
BIO = {"id": "bio", "when": {"line_tag_in": ["bio"]}, "give": {"points": 1, "per_minor": 100}}


def program(**keys: Any) -> Program:
    whole = {"program": "p", "currency": "EUR", "time_zone": "Europe/Ljubljana", "earn": [BASE]}
    return program_from_json(json.encode(whole | keys))


def moved(account: Account, receipt: Receipt) -> list[tuple[str, int]]:
    return [(entry.entry_id, entry.points) for entry in account.add(receipt)]


def two_kinds(number: str, sign: int = 1) -> Receipt:
    bio = Line(position=1, sku="apples", amount_minor=1000 * sign, tags=("bio",))
    return sale(number, lines=(bio, Line(position=2, sku="nails", amount_minor=2000 * sign)))


def without_lines(receipt: Receipt) -> Receipt:
    return replace(receipt, lines=())


def test_what_contradicts_is_named_with_its_receipt_and_gives_nothing() -> None:
    account = Account(program())
    account.add(replace(sale("1", 1000), also=("pos:1/1/2026-11-22/1",)))
    account.add(replace(sale("2", 1000), also=("pos:1/1/2026-11-22/2",)))
    account.add(refund("3", "1", 1000))

    assert account.add(sale("1", 999)) == ()
    assert account.add(replace(sale("4", 1000), also=("pos:1/1/2026-11-22/1", "pos:1/1/2026-11-22/2"))) == ()
    assert account.add(replace(refund("3", "1", 1000), status="voided")) == ()
    assert [(problem.code, problem.detail) for problem in account.problems] == [
        ("identity_conflict", "receipt key-1: it is known with another kind, currency, total or minute"),
        ("identity_conflict", "receipt key-4: its ids belong to two receipts"),
        (
            "identity_conflict",
            "receipt key-3: it voids a return that took points back; only a person can undo that",
        ),
    ]


def test_points_beyond_what_an_entry_holds_are_a_problem_that_names_receipt_and_rule() -> None:
    account = Account(program(earn=[BASE | {"give": {"points": 10**9, "per_minor": 1}}]))

    assert account.add(sale("1", 10**6)) == ()
    (problem,) = account.problems
    assert problem.code == "too_many_points"
    assert str(problem.detail).startswith("receipt key-1: rule base: 1000000000000000 is more than")


def test_a_sighting_that_says_less_takes_nothing_away() -> None:
    account = Account(program(earn=[BIO]))
    assert moved(account, two_kinds("1")) == [("key-1/bio", 10)]

    # a QR code of the same sale has no lines; the goods that come back are still those that were sold
    assert moved(account, without_lines(two_kinds("1"))) == []
    nails = replace(refund("2", "1", 500), lines=(Line(position=1, sku="nails", amount_minor=-500),))
    assert moved(account, nails) == []
    apples = replace(refund("3", "1", 1000), lines=(Line(position=1, sku="apples", amount_minor=-1000),))
    assert moved(account, apples) == [("key-3/bio", -10)]


def test_what_a_parked_sale_told_counts_when_the_final_one_says_less() -> None:
    account = Account(program(earn=[BIO]))

    assert moved(account, replace(two_kinds("1"), status="suspended")) == []
    assert moved(account, without_lines(two_kinds("1"))) == [("key-1/bio", 10)]


def test_a_receipt_is_known_by_every_id_that_it_was_ever_seen_under() -> None:
    account = Account(program())
    parked = replace(sale("1", 1000), status="suspended", also=("pos:1/1/2026-11-22/1",))
    final = replace(sale("1", 1000), also=("pos:1/1/2026-11-22/1", "rs-purs:A-A-1"))
    reprint = replace(sale("1", 1000), also=("rs-purs:A-A-1", "hr-fisk:1"))
    void = replace(sale("1", 1000), status="voided", also=("hr-fisk:1", "si-furs:1"))

    assert [moved(account, each) for each in (parked, final, reprint)] == [[], [("key-1/base", 30)], []]
    # under another key, known by the id that the one before brought
    assert moved(account, replace(void, key="other")) == [("key-1/base/voided", -30)]
    assert moved(account, replace(sale("1", 1000), key="another", also=("si-furs:1",))) == []
    assert account.balance(MORNING) == Balance()


def test_a_visit_that_came_back_whole_counts_for_no_tier_and_another_of_the_same_second_does() -> None:
    tiers = [{"id": "gold", "from": {"visits_in": "P1M", "at_least": 2}}]
    account = Account(program(tiers=tiers))
    account.add(sale("1", 1000))
    account.add(sale("2", 1000))
    assert account.tier(MORNING) == "gold"

    account.add(refund("3", "1", 400))
    assert account.tier(MORNING) == "gold"
    account.add(refund("4", "1", 600))
    assert not account.tier(MORNING)
    assert [(each.visits, each.spent_minor) for each in account.state(MORNING).counters.activity or ()] == [
        (0, 0),
        (1, 1000),
    ]


def test_points_of_two_sales_of_one_second_count_each_for_itself() -> None:
    account = Account(program(tiers=[{"id": "gold", "from": {"points_in": "P1M", "at_least": 60}}]))
    account.add(sale("1", 1000))
    account.add(sale("2", 1000))

    assert account.tier(MORNING) == "gold"
    assert [each.points for each in account.state(MORNING).counters.activity or ()] == [30, 30]


def test_a_first_purchase_that_was_voided_was_none() -> None:
    account = Account(program(earn=[{"id": "welcome", "when": {"first_purchase": True}, "give": {"points": 50}}]))

    assert moved(account, sale("1", 1000)) == [("key-1/welcome", 50)]
    assert moved(account, replace(sale("1", 1000), status="voided")) == [("key-1/welcome/voided", -50)]
    assert moved(account, sale("2", 1000)) == [("key-2/welcome", 50)]
    assert moved(account, sale("3", 1000)) == []
    assert account.state(MORNING).counters.purchases == 2


def test_a_sale_that_was_voided_makes_room_under_its_cap_again() -> None:
    account = Account(program(earn=[BASE | {"cap": {"day": 30}}]))
    assert moved(account, sale("1", 1000)) == [("key-1/base", 30)]
    assert moved(account, sale("2", 1000)) == []

    account.add(replace(sale("1", 1000), status="voided"))

    assert moved(account, sale("3", 1000)) == [("key-3/base", 30)]


def test_a_cap_of_a_day_counts_by_the_shops_own() -> None:
    # given a quarter past midnight in Ljubljana, which is the day before by UTC
    night = MORNING.replace(hour=0, minute=15)
    account = Account(program(earn=[BASE | {"cap": {"day": 30}}]))

    assert moved(account, sale("0", 1000, issued_at=night - timedelta(hours=1))) == [("key-0/base", 30)]
    assert moved(account, sale("1", 500, issued_at=night)) == [("key-1/base", 15)]
    assert account.state(night).counters.used == {"base": {"2026-11-22": 15, "2026-11": 45, "member": 45}}
    assert moved(account, sale("2", 1000, issued_at=MORNING)) == [("key-2/base", 15)]
    assert moved(account, sale("3", 1000, issued_at=night + timedelta(minutes=30))) == []


def test_a_sale_that_was_voided_counts_for_no_tier() -> None:
    spender = {"id": "spender", "from": {"spend_in": "P1M", "at_least": 1000}}
    regular = {"id": "regular", "from": {"visits_in": "P1M", "at_least": 2}}
    account = Account(program(tiers=[spender, regular]))
    account.add(sale("1", 1000))
    account.add(sale("2", 999))
    assert account.tier(MORNING) == "regular"

    account.add(replace(sale("1", 1000), status="voided"))

    assert account.tier(MORNING) is UNSET


def test_the_state_says_all_that_the_next_receipt_needs() -> None:
    told = Counters(birth_month=11, segments=("vip",))
    account = Account(program(earn=[BASE | {"pending": "P14D"}]), MemberState(code="1", confirmed=7, counters=told))
    account.add(sale("1", 1000))

    early, late = account.state(MORNING), account.state(MORNING + 14 * DAY)

    assert (early.code, early.confirmed, early.pending, early.spendable) == ("1", 7, 30, 7)
    assert (late.confirmed, late.pending, late.spendable) == (37, 0, 37)
    assert (early.counters.birth_month, early.counters.segments, early.counters.purchases) == (11, ("vip",), 1)


def test_balances_stand_as_of_the_newest_receipt() -> None:
    assert newest([sale("1", 1, issued_at=MORNING + DAY), sale("2", 1)], "UTC") == MORNING + DAY
    assert newest([], "UTC") == FIRST


def test_what_is_told_by_its_day_stands_at_the_end_of_it() -> None:
    by_day = replace(sale("1", 100), issued_at=UNSET, business_day=MORNING.date())

    assert newest([by_day, sale("2", 100)], ZONE) == MORNING.replace(hour=23, minute=59, second=59)
