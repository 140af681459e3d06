"""What holds under any program that can be said: nothing is gained by bringing back, nothing charged twice; caps hold.

`tests.loyalty.made` makes programs and receipts; `test_properties` asks the same of a few rules more closely.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random, randrange

import msgspec
import pytest

from loyalty.account import Account
from loyalty.canonical import KnownFacts, Seen, canonical
from loyalty.evaluate import periods_of
from loyalty.history import Facts
from loyalty.ledger import LedgerEntry
from loyalty.program import Program, program_from_json
from loyalty.purchase import Known, Purchase
from loyalty.receipt import Receipt
from tests.loyalty.made import FIRST, Json, made_program, made_receipts, made_sales, returns_of_all

EVER = datetime(2100, 1, 1, tzinfo=UTC)
# Programs made at random by each test in a run.
MADE = 40


def chances() -> Iterator[tuple[str, Random]]:
    seed = randrange(2**32)
    for number in range(MADE):
        yield (case := f"seed {seed} number {number}"), Random(case)


def program_of(document: Json) -> Program:
    return program_from_json(msgspec.json.encode(document))


def receipts_of(documents: list[Json]) -> list[Receipt]:
    return msgspec.convert(documents, list[Receipt])


def folded(program: Program, receipts: list[Receipt]) -> Account:
    account = Account(program)
    for receipt in receipts:
        account.add(receipt)
    return account


@pytest.mark.parametrize("policy", ["reverse", "within_balance"])
def test_who_brings_everything_back_has_nothing_and_owes_nothing(policy: str) -> None:
    for case, random in chances():
        document = made_program(random) | {"returns": {"policy": policy}}
        sales = made_sales(random, document["time_zone"], random.randint(1, 4))
        backs = [back for sale in sales for back in returns_of_all(random, sale)]
        mixed = receipts_of(random.sample([*sales, *backs], len(sales) + len(backs)))

        account = folded(program_of(document), mixed)

        assert account.waiting == (), case
        assert account.balance(EVER).confirmed == 0, case
        if policy == "reverse":
            assert sum(entry.points for entry in account.entries) == 0, case


def test_nothing_is_charged_twice_whatever_comes_back() -> None:
    for case, random in chances():
        document = made_program(random)
        receipts = receipts_of(made_receipts(random, document["time_zone"], random.randint(1, 6)))

        account = folded(program_of(document), random.sample(receipts, len(receipts)))

        given = {entry.entry_id: entry.points for entry in account.entries if entry.reverses is None}
        taken: Counter[str] = Counter()
        for entry in account.entries:
            if entry.reverses is not None:
                assert entry.points <= 0, case
                taken[entry.reverses] -= entry.points
        assert all(taken[name] <= given[name] for name in taken), case


def test_caps_hold_whatever_comes_back() -> None:
    for case, random in chances():
        document = made_program(random)
        program = program_of(document)
        receipts = {each.key: each for each in receipts_of(made_receipts(random, document["time_zone"], 6))}
        account = Account(program)
        for receipt in random.sample(list(receipts.values()), len(receipts)):
            account.add(receipt)

            for rule in program.earn:
                for (name, period), points in by_period(account.entries, rule.id, receipts, program).items():
                    most = getattr(rule.cap, name)
                    assert most is msgspec.UNSET or points <= most, (case, rule.id, name, period)


def by_period(
    entries: list[LedgerEntry], rule: str, receipts: dict[str, Receipt], program: Program
) -> Counter[tuple[str, str]]:
    """What a rule gave by each receipt, day and month, and ever, net of what was taken of that."""
    points: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        gave, _, of = (entry.reverses or entry.entry_id).rpartition("/")
        if of == rule:
            sale = Purchase(receipts[gave], program.time_zone, Known())
            points["receipt", gave] += entry.points
            for name, period in periods_of(sale.local):
                points[name, period] += entry.points
    return points


def test_entries_follow_from_what_was_told_and_nothing_else() -> None:
    for case, random in chances():
        document = made_program(random)
        receipts = receipts_of(made_receipts(random, document["time_zone"], 5))

        once = folded(program_of(document), receipts)
        again = folded(program_of(document), [each for receipt in receipts for each in (receipt, receipt)])

        assert once.entries == again.entries, case


def test_members_have_nothing_to_do_with_one_another() -> None:
    for case, random in chances():
        document = made_program(random)
        program = program_of(document)
        whose = {name: receipts_of(made_receipts(random, document["time_zone"], 4)) for name in ("mine", "yours")}
        left = {name: list(some) for name, some in whose.items()}
        together = {name: Account(program) for name in whose}
        while any(left.values()):
            name = random.choice([name for name, some in left.items() if some])
            together[name].add(left[name].pop(0))

        for name, receipts in whose.items():
            assert together[name].entries == folded(program, receipts).entries, case


class _Holding(msgspec.Struct, frozen=True):
    program: Program
    hash: str = "p"
    valid_from: datetime | None = None


def test_the_order_of_arrival_means_nothing_to_the_canonical_fold() -> None:
    for case, random in chances():
        document = made_program(random)
        schedule = (_Holding(program_of(document)),)
        known = (KnownFacts(facts=Facts(birth_month=10, segments=frozenset({"vip"}))),)
        sightings = receipts_of(made_receipts(random, document["time_zone"], 5))
        latest = {each.key: each for each in sightings if each.status == "final"}
        seen = [Seen(receipt=each, seen_at=FIRST, original=original_key(each, latest)) for each in latest.values()]

        in_one, in_other = (canonical(random.sample(seen, len(seen)), (), schedule, known) for _ in range(2))

        assert in_one.wanted == in_other.wanted, case


def original_key(receipt: Receipt, among: dict[str, Receipt]) -> str | None:
    original = receipt.original
    if not original:
        return None
    return original.key or next((key for key, each in among.items() if each.number == original.number), None)


def test_what_is_kept_gives_as_much_in_however_many_steps_the_rest_came_back() -> None:
    for case, random in chances():
        document = made_program(random) | {"returns": {"policy": "reverse"}}
        sale = made_sales(random, document["time_zone"], 1)[0]
        sale |= {"discounts": [], "taxes": [], "tenders": []}
        sale["lines"] = [plain(place, line) for place, line in enumerate(sale["lines"])]
        sale["total_minor"] = sum(line["amount_minor"] for line in sale["lines"])
        gone = random.sample(sale["lines"], random.randint(1, len(sale["lines"])))

        at_once = folded(program_of(document), receipts_of([sale, a_return(sale, "all", gone)]))
        steps = [a_return(sale, line["sku"], [line]) for line in random.sample(gone, len(gone))]
        in_steps = folded(program_of(document), receipts_of([sale, *steps]))

        assert net(at_once) == net(in_steps), case


def plain(place: int, line: Json) -> Json:
    """A line of goods of their own that were paid for, in whole pieces."""
    return {
        **line,
        "amount_minor": abs(line["amount_minor"]),
        "sku": f"S{place}",
        "quantity": str(place % 3 + 1),
        "voided": False,
    }


def a_return(sale: Json, name: str, lines: list[Json]) -> Json:
    back = [
        line | {"amount_minor": -line["amount_minor"], "discount_minor": -line.get("discount_minor", 0)}
        for line in lines
    ]
    return {
        "key": f"back-{name}",
        "kind": "return",
        "issued_at": "2026-12-01T09:00:00+00:00",
        "currency": sale["currency"],
        "total_minor": sum(line["amount_minor"] for line in back),
        "lines": back,
        "original": {"key": sale["key"]},
    }


def net(account: Account) -> dict[str, int]:
    points: Counter[str] = Counter()
    for entry in account.entries:
        points[entry.reverses or entry.entry_id] += entry.points
    return {name: total for name, total in points.items() if total}
