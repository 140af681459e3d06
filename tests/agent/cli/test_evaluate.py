"""`tillside evaluate`, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = {
    "program": "p",
    "currency": "EUR",
    "time_zone": "Europe/Ljubljana",
    "tiers": [{"id": "gold", "multiplier": [3, 2]}],
    "earn": [{"id": "base", "give": {"points": 3, "per_minor": 100, "round": "floor"}}],
}


TIER_BY_POINTS = {"id": "gold", "from": {"points_in": "P12M", "at_least": 5000}, "multiplier": [3, 2]}


def receipt(number: str, total: int, **more: object) -> dict[str, object]:
    return {
        "key": f"k{number}",
        "kind": "sale" if total > 0 else "return",
        "number": number,
        "issued_at": "2026-11-22T09:07:14+01:00",
        "currency": "EUR",
        "total_minor": total,
        "lines": [{"position": 1, "amount_minor": total}],
        **more,
    }


@pytest.fixture
def run(tmp_path: Path):  # type: ignore[no-untyped-def]
    def run_evaluate(receipts: list[dict[str, object]], member: object = None, program: object = PROGRAM):  # type: ignore[no-untyped-def]
        (tmp_path / "program.json").write_text(json.dumps(program))
        (tmp_path / "member.json").write_text(json.dumps(member))
        command = [sys.executable, "-m", "agent.cli.entry", "evaluate", "--program", str(tmp_path / "program.json")]
        if member is not None:
            command += ["--member", str(tmp_path / "member.json")]
        document = json.dumps({"receipts": receipts})
        return subprocess.run([*command, "-"], input=document, capture_output=True, text=True, check=False)

    return run_evaluate


def test_a_file_that_cannot_be_used_is_named_with_what_is_wrong_in_it(run) -> None:  # type: ignore[no-untyped-def]
    no_reward = {"rewards": [{"id": "r", "cost": -5, "discount_minor": 1}]}

    assert "program.json: Expected `int` >= 1 - at `$.rewards[0].cost`" in run([], program=PROGRAM | no_reward).stderr
    assert "member.json: Object missing required field `code`" in run([], member={"tier": "gold"}).stderr
    assert "standard input: Expected `array`, got `str` - at `$.receipts`" in run("none").stderr
    assert run("none").returncode == 2


def test_a_sale_its_return_and_a_repeat(run) -> None:  # type: ignore[no-untyped-def]
    bought = receipt("1", 12345)
    back = receipt("2", -12345, original={"number": "1"})

    done = run([bought, bought, back], member={"code": "1", "tier": "gold", "confirmed": 10})

    assert done.returncode == 0
    result = json.loads(done.stdout)
    assert [(entry["receipt"], entry["rule"], entry["points"]) for entry in result["entries"]] == [
        ("k1", "base", 555),
        ("k2", "base", -555),
    ]
    assert result["member"] == {"code": "1", "tier": "gold", "confirmed": 10, "pending": 0, "spendable": 10}


def test_what_the_member_file_does_not_tell_makes_an_estimate(run) -> None:  # type: ignore[no-untyped-def]
    capped = {"id": "base", "give": {"points": 3, "per_minor": 100}, "cap": {"day": 5}}
    streak = {"id": "streak", "every": 2, "within": "P5D", "give": {"points": 7}, "when": {"first_purchase": False}}
    program = PROGRAM | {"earn": [capped], "visits": [streak]}

    told = {"code": "1", "counters": {"used": {"base": {"2026-11-22": 3}}, "purchases": 1, "visits": {"streak": []}}}
    whole = json.loads(run([receipt("1", 500)], member=told, program=program).stdout)
    estimate = json.loads(run([receipt("1", 500)], member={"code": "1"}, program=program).stdout)
    new = json.loads(run([receipt("1", 500)], program=program).stdout)

    assert [entry["points"] for entry in whole["entries"]] == [2]
    assert estimate["estimated_without"] == ["used", "purchases", "visits"]
    assert "estimated_without" not in whole
    assert "estimated_without" not in new


@pytest.mark.parametrize(
    "member",
    [
        {"luck": 7},
        {"counters": {"luck": 7}},
        {"counters": {"lots": [{"points": 1, "luck": 7}]}},
        {"counters": {"activity": [{"at": "2026-11-22T12:00:00Z", "luck": 7}]}},
    ],
)
def test_a_member_file_with_an_unknown_key_is_refused(run, member: dict[str, object]) -> None:  # type: ignore[no-untyped-def]
    done = run([], member={"code": "1"} | member)

    assert done.returncode == 2
    assert "luck" in done.stderr


def test_a_return_without_its_original_is_shown_as_waiting(run) -> None:  # type: ignore[no-untyped-def]
    result = json.loads(run([receipt("2", -500, original={"number": "1"})]).stdout)

    assert result["waiting"] == ["k2"]
    assert result["entries"] == []


def test_a_receipt_in_another_currency_is_a_named_problem(run) -> None:  # type: ignore[no-untyped-def]
    done = run([receipt("1", 500, currency="RSD"), receipt("2", 500)])

    assert done.returncode == 1
    result = json.loads(done.stdout)
    assert [problem["code"] for problem in result["problems"]] == ["currency_mismatch"]
    assert [entry["receipt"] for entry in result["entries"]] == ["k2"]


@pytest.mark.parametrize("year", ["0001", "9999"])
def test_a_receipt_of_a_year_that_not_every_clock_shows_is_a_named_problem(run, year: str) -> None:  # type: ignore[no-untyped-def]
    program = PROGRAM | {"time_zone": "America/New_York", "tiers": [TIER_BY_POINTS]}

    done = run([receipt("1", 500, issued_at=f"{year}-01-01T00:00:00+14:00"), receipt("2", 500)], program=program)

    assert done.returncode == 1
    result = json.loads(done.stdout)
    assert [problem["code"] for problem in result["problems"]] == ["implausible_time"]
    assert [entry["receipt"] for entry in result["entries"]] == ["k2"]


def test_more_points_than_an_entry_can_hold_are_a_named_problem(run) -> None:  # type: ignore[no-untyped-def]
    lavish = {"id": "base", "give": {"points": 10**9, "per_minor": 1}}

    done = run([receipt("1", 10**14), receipt("2", 5)], program=PROGRAM | {"earn": [lavish]})

    assert done.returncode == 1
    result = json.loads(done.stdout)
    assert [problem["code"] for problem in result["problems"]] == ["too_many_points"]
    assert "rule base" in result["problems"][0]["detail"]
    assert result["member"]["confirmed"] == 5 * 10**9


@pytest.mark.parametrize(
    ("counters", "path"),
    [
        ({"activity": [{"at": "2026-11-22T23:59:59+01:00"}, {"at": "2026-11-23T00:00:00+01:00"}]}, "activity[1].at"),
        ({"visits": {"streak": ["2031-01-01T00:00:00Z"]}}, "visits.streak[0]"),
    ],
)
def test_a_member_of_a_later_time_is_refused(run, counters: object, path: str) -> None:  # type: ignore[no-untyped-def]
    done = run([receipt("1", 500)], member={"code": "1", "counters": counters})

    assert done.returncode == 2
    assert f"$.counters.{path}" in done.stderr
    assert done.stdout == ""


def test_where_no_receipt_tells_its_time_any_member_will_do(run) -> None:  # type: ignore[no-untyped-def]
    undated = {name: fact for name, fact in receipt("1", 500).items() if name != "issued_at"}
    member = {"code": "1", "tier": "gold", "counters": {"activity": [{"at": "2026-11-22T12:00:00Z", "points": 900}]}}

    result = json.loads(run([undated], member=member, program=PROGRAM | {"time_zone": "America/New_York"}).stdout)

    assert [entry["points"] for entry in result["entries"]] == [22]


def test_the_stages_of_a_receipt_and_a_contradiction(run) -> None:  # type: ignore[no-untyped-def]
    done = run(
        [
            receipt("1", 500, status="suspended"),
            receipt("1", 1000),
            receipt("1", 1000, status="copy"),
            receipt("2", 1000, status="training"),
            receipt("2", 1000),
            receipt("2", 1000, status="voided"),
            receipt("1", 7000),
        ]
    )

    assert done.returncode == 1
    result = json.loads(done.stdout)
    assert [(entry["receipt"], entry["points"]) for entry in result["entries"]] == [("k1", 30), ("k2", 30), ("k2", -30)]
    assert [problem["code"] for problem in result["problems"]] == ["identity_conflict"]


def test_a_return_elsewhere_names_its_original_by_its_number_alone(run) -> None:  # type: ignore[no-untyped-def]
    fiscal = {"scheme": "si-furs", "number": "ABCDEF01"}
    bought = receipt("1", 1000, store="12", register="3", business_day="2026-11-22", fiscal=fiscal)
    elsewhere = {"store": "13", "register": "1", "business_day": "2026-12-01"}
    backs = [
        receipt("2", -300, original={"number": "1"}, **elsewhere),
        receipt("3", -700, original={"number": "abcdef01"}, **elsewhere),
    ]

    result = json.loads(run([bought, *backs]).stdout)

    assert [entry["points"] for entry in result["entries"]] == [30, -9, -21]


def test_a_receipt_that_cannot_be_read_stops_no_other(run) -> None:  # type: ignore[no-untyped-def]
    done = run([receipt("1", 500, total_minor=1.5), receipt("2", 500)])

    assert done.returncode == 1
    result = json.loads(done.stdout)
    assert [problem["code"] for problem in result["problems"]] == ["unreadable"]
    assert "$.total_minor" in result["problems"][0]["detail"]
    assert [entry["receipt"] for entry in result["entries"]] == ["k2"]


def test_what_it_prints_of_the_member_can_be_read_again(run) -> None:  # type: ignore[no-untyped-def]
    first = json.loads(run([receipt("1", 500)], member={"code": "1", "tier": None}).stdout)

    again = json.loads(run([receipt("2", 500)], member=first["member"]).stdout)

    assert again["member"]["confirmed"] == 30


def test_a_wrong_program_says_where(run) -> None:  # type: ignore[no-untyped-def]
    done = run([], program={**PROGRAM, "currency": "euro"})

    assert done.returncode == 2
    assert "$.currency" in done.stderr


def test_it_starts_without_what_a_register_needs() -> None:
    probe = (
        "import sys, agent.cli.evaluate; print([m for m in ('aiohttp', 'sqlcipher3', 'structlog') if m in sys.modules])"
    )

    assert subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout == "[]\n"
