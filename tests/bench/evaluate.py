"""`evaluate`: receipts of ten lines under a program of ten rules, and what one look at a basket takes.

The rules between them use tags, categories, SKUs, thresholds, times, brackets, tax, quantity, caps, pending and expiry,
so that a receipt gets eight entries. A look at a basket (`loyalty.next`) tells what it gives and what could be had
next, under the same rules with visits, stamps and tiers beside them. Time is that of the process: nothing waits here.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from random import Random
from typing import Any

import msgspec

from loyalty.evaluate import evaluate
from loyalty.member import Activity, Counters, MemberState
from loyalty.next import preview
from loyalty.program import Program, program_from_json
from loyalty.purchase import Known
from loyalty.receipt import Receipt
from tests.bench.machine import disk_folder, measured
from tests.bench.report import Report, rounded

RECEIPTS = 10_000
LOOKS = 2_000
LINES = 10
SEED = 20261122
FIRST_VISIT = datetime.fromisoformat("2025-11-24T18:00:00+01:00")
RULES: tuple[dict[str, object], ...] = (
    {"give": {"points": 3, "per_minor": 100}, "pending": "P14D", "expires": "P12M/end-of-month"},
    {"give": {"points": 1, "per_minor": 100}, "when": {"line_tag_in": ["bio"]}},
    {
        "give": {"points": 1, "per_minor": 50},
        "when": {"all": [{"weekday_in": [1, 2]}, {"line_tag_in": ["bio"]}]},
        "cap": {"receipt": 500, "day": 1000},
    },
    {"give": {"brackets": [[5000, 50], [10000, 150]]}},
    {"give": {"points": 5, "per_minor": 100}, "when": {"time_in": [["07:00", "10:00"]]}},
    {"give": {"points": 50}, "when": {"min_basket_minor": 5000}},
    {"give": {"points": 1, "per_minor": 200}, "basis": {"exclude_tags": ["tobacco"], "tax": "excluded"}},
    {"give": {"points": 2, "per_minor": 1}, "basis": {"scope": "quantity"}, "when": {"category_in": ["fruit"]}},
    {"give": {"points": 10}, "when": {"tier_in": ["gold"]}},
    {"give": {"points": 1, "per_minor": 100}, "when": {"any": [{"sku_in": ["7", "8"]}, {"min_line_minor": 1500}]}},
)


def run() -> Report:
    dice = Random(SEED)
    program, member = _program(), Known(tier="gold")
    receipts = [_receipt(dice, number) for number in range(RECEIPTS)]
    took, entries = [], 0
    for receipt in receipts:
        started = time.process_time_ns()
        entries += len(evaluate(receipt, known=member, program=program))
        took.append(time.process_time_ns() - started)
    looked, could = [], 0
    whole, state = program_with_streaks(), _member()
    for receipt in receipts[:LOOKS]:
        started = time.process_time_ns()
        could += len(preview(receipt, whole, state).could)
        looked.append(time.process_time_ns() - started)
    with disk_folder() as folder:
        machine = measured(folder)
    return Report(
        name="evaluate",
        figures={
            "receipts_per_s": rounded(RECEIPTS * 1_000_000_000 / sum(took)),
            "preview_p99_ms": rounded(sorted(looked)[LOOKS * 99 // 100] / 1_000_000),
            "entries_per_100_receipts": entries * 100 // RECEIPTS,
            "next_per_100_baskets": could * 100 // LOOKS,
        },
        machine=machine,
    )


def _program() -> Program:
    rules = [{"id": f"rule-{number}"} | rule for number, rule in enumerate(RULES)]
    document = {"program": "bench", "currency": "EUR", "time_zone": "Europe/Ljubljana", "earn": rules}
    return program_from_json(msgspec.json.encode(document | {"tiers": [{"id": "gold", "multiplier": [3, 2]}]}))


def program_with_streaks() -> Program:
    """The ten rules, with visits, stamps and tiers beside them."""
    document = msgspec.to_builtins(_program()) | {
        "visits": [{"id": "streak", "every": 5, "within": "P30D", "give": {"points": 200}}],
        "stamps": [{"id": "fruit", "every": 10, "when": {"category_in": ["fruit"]}, "give": {"points": 100}}],
        "tiers": [
            {"id": "gold", "from": {"points_in": "P12M", "at_least": 5000}, "multiplier": [3, 2]},
            {"id": "platinum", "from": {"spend_in": "P12M", "at_least": 1_000_000}, "multiplier": [2, 1]},
        ],
    }
    return program_from_json(msgspec.json.encode(document))


def _member() -> MemberState:
    """A member of a year, who came once a week."""
    came = [FIRST_VISIT + timedelta(weeks=week) for week in range(50)]
    return MemberState(
        code="1",
        counters=Counters(
            used={"rule-2": {"2026-11": 400}},
            activity=tuple(Activity(at=at, points=120, spent_minor=9000, visits=1) for at in came),
            visits={"streak": tuple(came[-3:])},
            stamps={"fruit": 7},
        ),
    )


def _receipt(dice: Random, number: int) -> Receipt:
    lines: list[dict[str, Any]] = [
        {
            "position": position,
            "sku": str(dice.randrange(50)),
            "quantity": "1.000",
            "amount_minor": dice.randrange(100, 2000),
            "tags": ["bio"] if dice.random() < 0.3 else [],
            "tax_labels": ["A"],
            "mapped": {"category": dice.choice(["fruit", "bread", "milk"])},
        }
        for position in range(1, LINES + 1)
    ]
    return msgspec.convert(
        {
            "key": f"receipt-{number}",
            "kind": "sale",
            "issued_at": f"2026-11-{dice.randrange(1, 29):02}T{dice.randrange(24):02}:30:00+01:00",
            "currency": "EUR",
            "total_minor": sum(line["amount_minor"] for line in lines),
            "lines": lines,
            "taxes": [{"label": "A", "amount_minor": 900}],
        },
        Receipt,
    )
