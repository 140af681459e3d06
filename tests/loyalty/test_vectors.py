"""The published vectors: what this project's evaluator makes of them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from loyalty.account import Account, newest
from loyalty.fold import NEW
from loyalty.member import MemberState
from loyalty.program import program_from_json
from loyalty.receipt import Receipt

VECTORS = Path(__file__).parents[1] / "vectors"
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['story']}")
    for path in sorted(VECTORS.glob("*.json"))
    for case in msgspec.json.decode(path.read_bytes())["cases"]
]
MOMENTS = ("pending_until", "expires_at")


@pytest.mark.parametrize("case", CASES)
def test_a_vector_gives_what_it_says(case: dict[str, Any]) -> None:
    program = program_from_json(msgspec.json.encode(case["program"]))
    receipts = msgspec.convert(case["receipts"], tuple[Receipt, ...])
    account = Account(program, msgspec.convert(case["member"], MemberState) if "member" in case else NEW)

    for receipt in receipts:
        account.add(receipt)

    given = [msgspec.to_builtins(entry) for entry in account.entries if entry.points]
    assert [(entry["receipt"], entry["rule"], entry["points"]) for entry in given] == [
        (entry["receipt"], entry["rule"], entry["points"]) for entry in case["entries"]
    ]
    for entry, expected in zip(given, case["entries"], strict=True):
        assert {key: comparable(key, entry[key]) for key in expected} == {
            key: comparable(key, value) for key, value in expected.items()
        }
        assert entry["why"]
    assert [problem.code for problem in account.problems] == case.get("problems", [])
    if "after" in case:
        as_of = newest(receipts, program.time_zone)
        balance = account.balance(as_of)
        assert {"tier": account.tier(as_of) or None, **msgspec.to_builtins(balance)} == case["after"]


def comparable(key: str, value: Any) -> Any:
    return datetime.fromisoformat(value) if key in MOMENTS and value is not None else value
