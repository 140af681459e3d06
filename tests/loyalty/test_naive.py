"""The engine beside a second one that shares nothing with it: vectors, programs and receipts made at random."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random, randrange
from typing import Any

import msgspec
import pytest

from loyalty.account import Account
from loyalty.fold import NEW
from loyalty.ledger import LedgerEntry
from loyalty.member import MemberState
from loyalty.program import program_from_json
from loyalty.receipt import Receipt
from tests.loyalty.made import FIRST, made_member, made_program, made_receipts
from tests.loyalty.naive.clock import moment
from tests.loyalty.naive.member import BEGINNING, NaiveMember

# Programs made at random in each run; 5,000 take about two minutes.
MADE = 200
VECTORS = Path(__file__).parents[1] / "vectors"
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['story']}")
    for path in sorted(VECTORS.glob("*.json"))
    for case in msgspec.json.decode(path.read_bytes())["cases"]
]


@pytest.mark.parametrize("case", CASES)
def test_the_second_engine_gives_what_a_vector_says(case: dict[str, Any]) -> None:
    member = NaiveMember(case["program"], case.get("member"))

    for receipt in case["receipts"]:
        member.add(receipt)

    given = [entry for entry in member.entries if entry["points"]]
    assert [(entry["receipt"], entry["rule"], entry["points"]) for entry in given] == [
        (entry["receipt"], entry["rule"], entry["points"]) for entry in case["entries"]
    ]
    for entry, expected in zip(given, case["entries"], strict=True):
        for name in ("pending_until", "expires_at"):
            if name in expected:
                assert entry[name] == (moment(expected[name]) if expected[name] else None)
        assert entry["reverses"] == expected.get("reverses", entry["reverses"])
    if "after" in case:
        moments = [moment(receipt["issued_at"]) for receipt in case["receipts"] if "issued_at" in receipt]
        newest = max(moments, default=BEGINNING)
        assert {"tier": member.tier(newest), **member.balance(newest)} == case["after"]


def test_whatever_a_program_says_both_engines_give_the_same() -> None:
    seed = randrange(2**32)
    for number in range(MADE):
        random = Random(case := f"seed {seed} number {number}")
        program = made_program(random)
        member = made_member(random, program) if random.random() < 0.5 else None
        receipts = made_receipts(random, program["time_zone"], random.randint(1, 10))
        if random.random() < 0.3:
            random.shuffle(receipts)
        engine = Account(
            program_from_json(msgspec.json.encode(program)), msgspec.convert(member, MemberState) if member else NEW
        )
        naive = NaiveMember(program, member)

        for receipt in receipts:
            engine.add(msgspec.convert(receipt, Receipt))
            naive.add(receipt)

        assert ledger_of(engine.entries) == naive_ledger(naive), case
        for days in (0, 10, 20, 30, 40, 60, 400):
            at = FIRST + timedelta(days=days)
            assert (engine.tier(at) or None) == naive.tier(at), case
            assert msgspec.to_builtins(engine.balance(at)) == naive.balance(at), case


def ledger_of(entries: Iterable[LedgerEntry]) -> list[tuple[object, ...]]:
    """What moves points, with its times as instants."""
    return [
        (entry.receipt, entry.rule, entry.points, in_utc(entry.pending_until), in_utc(entry.expires_at), entry.reverses)
        for entry in entries
        if entry.points
    ]


def in_utc(at: datetime | None) -> datetime | None:
    """Python takes no time in an hour that comes twice for equal to one in another zone."""
    return at.astimezone(UTC) if at is not None else None


def naive_ledger(naive: NaiveMember) -> list[tuple[object, ...]]:
    facts = ("receipt", "rule", "points", "pending_until", "expires_at", "reverses")
    return [tuple(entry[fact] for fact in facts) for entry in naive.entries if entry["points"]]
