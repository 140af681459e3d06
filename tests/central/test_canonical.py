"""The centre comes to the same ledger in whatever order receipts arrive, and never changes a row of it."""

from __future__ import annotations

import random
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from sqlalchemy import Connection

from central import devices, enrolling, ledger, operations, programs
from central.db import tables
from central.db.database import Database
from central.folder import DataFolder
from central.ingest import Applied, ingest
from loyalty.canonical import KnownFacts, Seen, canonical
from loyalty.entry_rules import corrected_rule
from loyalty.exchange import parts_of
from loyalty.history import Facts
from loyalty.program import Program, program_from_json
from loyalty.receipt import Line, Original, Receipt
from sync.wire import EnrolRequest, EpochRequest
from tests.central.conftest import refuse_changes
from tests.central.till import FACTS, NOON, Till, receipt

CODES = {"m1": "TS0001", "m2": "TS0002"}
TIER = {"m2": "gold"}
SWITCH = NOON + timedelta(days=6)
LATER = NOON + timedelta(days=30)
BIO = {"line_tag_in": ["bio"]}
EVERYTHING: dict[str, Any] = {
    "program": "everything",
    "currency": "RSD",
    "time_zone": "Europe/Belgrade",
    "tiers": [
        {"id": "silver", "from": {"points_in": "P5D", "at_least": 800}, "multiplier": [5, 4], "grace": "P1D"},
        {"id": "gold", "multiplier": [3, 2]},
    ],
    "earn": [
        {"id": "base", "give": {"points": 1, "per_minor": 70}, "cap": {"day": 900, "month": 4000}},
        {"id": "first", "give": {"points": 50}, "when": {"first_purchase": True}},
        {"id": "big", "give": {"brackets": [[20_000, 11], [60_000, 70]]}, "pending": "P2D"},
        {"id": "bio", "give": {"points": 7, "per_minor": 1000}, "when": BIO, "expires": "P9D"},
    ],
    "visits": [{"id": "streak", "every": 3, "within": "P4D", "per": "day", "give": {"points": 100}}],
    "stamps": [{"id": "stamps", "every": 4, "when": BIO, "give": {"points": 30}}],
}
CHANGED: dict[str, Any] = {
    "earn": [
        {"id": "base", "give": {"points": 2, "per_minor": 90}, "cap": {"day": 500, "member": 6000}},
        {"id": "bio", "give": {"points": 9, "per_minor": 1000}, "when": BIO, "expires": "P9D"},
    ],
    "stamps": [{"id": "stamps", "every": 3, "when": BIO, "give": {"points": 30}}],
}
POLICIES: list[dict[str, Any]] = [
    {},
    {"returns": {"policy": "within_balance"}},
    {"returns": {"policy": "pending_only"}},
    {"tiers": [], "earn": [{"id": "base", "give": {"points": 1, "per_minor": 70}}], "visits": [], "stamps": []},
]


def program(**changes: Any) -> Program:
    return program_from_json(msgspec.json.encode(EVERYTHING | changes))


def history(chance: random.Random, count: int) -> list[Receipt]:
    """Sales of two members, returns of them, exchanges, voidings, parked sales: all sightings, in order of time."""
    sightings: list[Receipt] = []
    sales: list[Receipt] = []
    for number in range(1, count + 1):
        at = NOON + timedelta(minutes=chance.randrange(12 * 24 * 60))
        facts: dict[str, Any] = {"code": chance.choice([*CODES.values()]), "issued_at": at, "business_day": at.date()}
        lines = tuple(
            Line(
                position=place,
                sku=f"S{place}",
                amount_minor=chance.randrange(1, 400_00),
                tags=chance.choice([(), ("bio",)]),
            )
            for place in range(1, chance.randrange(2, 5))
        )
        made = receipt(number, sum(line.amount_minor for line in lines), lines=lines, **facts)
        what = chance.choice(["sale"] * 5 + ["return"] * 3 + ["exchange", "void", "parked"])
        if what in ("return", "exchange") and sales:
            sold = chance.choice(sales)
            back = tuple(replace(line, amount_minor=-line.amount_minor) for line in chance.sample(sold.lines, 1))
            # A register's clock may be behind: a return may stand before its sale.
            facts["issued_at"] = (sold.issued_at or NOON) + timedelta(minutes=chance.randrange(-100, 3 * 24 * 60))
            lines = (*back, *(lines if what == "exchange" else ()))
            total = sum(line.amount_minor for line in lines)
            facts |= {"kind": what, "original": Original(key=sold.key)}
            made = receipt(number, total, lines=lines, **facts)
        elif what == "parked":
            sightings.append(replace(made, status="suspended"))
        sightings.append(made)
        if made.kind != "return":
            sales.append(made)
        if what == "void":
            sightings.append(replace(chance.choice(sightings), status="voided"))
    return sightings


def expected(sightings: Iterable[Receipt], centre: Database) -> Counter[tuple[str, str, str]]:
    """What each member's ledger should hold, per receipt and rule, by folding everything at once."""
    schedule = centre.read_now(programs.schedule)
    stages = {"suspended": 0, "final": 1, "voided": 2}
    latest: dict[str, Receipt] = {}
    for seen in sightings:
        if seen.key not in latest or stages[seen.status] > stages[latest[seen.key].status]:
            latest[seen.key] = seen
    final = {key: each for key, each in latest.items() if each.status == "final"}
    owner = {
        each.member.code: member
        for member, code in CODES.items()
        for each in final.values()
        if each.member and each.member.code == code
    }
    points: Counter[tuple[str, str, str]] = Counter()
    for member in CODES:
        mine = {
            key
            for key, each in final.items()
            if each.member and owner[each.member.code] == member and parts_of(each)[0]
        }
        seen_all = [
            Seen(
                receipt=each,
                seen_at=NOON,
                sells=key in mine,
                original=each.original.key or None if each.original and each.original.key in mine else None,
            )
            for key, each in final.items()
        ]
        known = (KnownFacts(facts=Facts(tier=TIER.get(member, msgspec.UNSET))),)
        for wanted in canonical(seen_all, (), schedule, known).wanted:
            points[member, wanted.entry.receipt, wanted.entry.rule] += wanted.entry.points
    return Counter({name: total for name, total in points.items() if total})


def held(database: Database) -> Counter[tuple[str, str, str]]:
    """The sum of what the ledger holds per member, receipt and rule."""
    points: Counter[tuple[str, str, str]] = Counter()
    for row in database.read_now(lambda connection: connection.execute(tables.ledger.select()).all()):
        points[row.member, row.receipt, corrected_rule(row.rule)] += row.points
    return Counter({name: total for name, total in points.items() if total})


@contextmanager
def a_centre(folder: Path, *schedule: tuple[Program, datetime | None]) -> Iterator[Database]:
    """A centre with these programs, whose ledger refuses to be changed."""
    database = Database(DataFolder(folder).database)
    key = DataFolder(folder).program_key()
    database.write_now(lambda connection: connection.execute(tables.publications.delete()))
    for published, valid_from in schedule:
        database.write_now(
            lambda connection, published=published, valid_from=valid_from: operations.publish(  # type: ignore[misc]
                connection, published, key, NOON, valid_from
            )
        )
    database.write_now(lambda connection: refuse_changes(connection, "ledger"))
    try:
        yield database
    finally:
        database.close()


def a_till(connection: Connection, made: Path) -> Till:
    till = Till("", (made / "ca.pem").read_text(), None)  # type: ignore[arg-type]
    enrolling.create_enrolment(
        connection, token="t", store="12", register="3", valid_for=devices.REQUEST_IDS_KEPT, now=NOON
    )
    request = EnrolRequest(token="t", public_key=till.public_key, facts=FACTS)
    device = enrolling.enrol(connection, request, now=NOON, randomness=bytes).device
    till.device = device.id
    epoch = EpochRequest(facts=FACTS)
    till.epoch = devices.open_epoch(connection, device, epoch, request_id="e", now=NOON, randomness=bytes)
    return till


def deliver(database: Database, till: Till, sightings: Sequence[Receipt], sizes: Iterator[int]) -> None:
    """Send all of them in batches of these sizes."""
    first = len(till.sent) + 1
    for seen in sightings:
        till.sale(seen)
    moment = NOON + timedelta(days=20)
    while first <= len(till.sent):
        size = next(sizes)
        request = till.batch(first, first + size - 1)
        moment += timedelta(minutes=1)
        applied = database.write_now(
            lambda connection, request=request, moment=moment: ingest(  # type: ignore[misc]
                connection, till.device, request, request_id=secrets.token_hex(8), fingerprint="f", now=moment
            )
        )
        assert isinstance(applied, Applied)
        first += size


@pytest.mark.parametrize("policy", POLICIES, ids=["reverse", "within_balance", "pending_only", "plain"])
def test_the_order_of_arrival_does_not_matter(
    copied: Callable[[Path], Path], tmp_path: Path, policy: dict[str, Any]
) -> None:
    # given a fortnight of two members, with a program that changes in the middle
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    first, second = program(**policy), program(**(policy if policy.get("tiers") == [] else CHANGED | policy))
    sightings = history(chance, 40)
    for order in ("in order", "shuffled", "shuffled again"):
        if order != "in order":
            chance.shuffle(sightings)
        else:
            sightings.sort(key=lambda seen: seen.issued_at or NOON)
        folder = copied(tmp_path / order)
        with a_centre(folder, (first, None), (second, SWITCH)) as centre:
            till = centre.write_now(partial(a_till, made=folder))
            # when they come in batches of any size
            deliver(centre, till, sightings, iter(lambda: chance.randrange(1, 9), 0))
            # then the ledger holds what folding all of them in order gives, and every balance is its fold
            assert held(centre) == expected(sightings, centre), order
            assert centre.read_now(lambda connection: ledger.check_balances(connection, LATER)) == []
            unfolded = centre.read_now(lambda connection: connection.execute(tables.unfolded.select()).all())
            assert unfolded == []
