"""Every code that can stand on a receipt or in a quarantine says what to do about it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from loyalty.reconcile import EARNS_NOTHING
from loyalty.remedies import REMEDIES, remedy_for

ROOT = Path(__file__).parents[1]
FOLDERS = ("agent", "central", "drivers", "loyalty", "sync")
# Of what is made with a code by keyword, and by place.
BY_KEYWORD = {"Problem": "code", "DecodeProblem": "code", "SetAside": "reason", "Refusal": "reason", "Fault": "reason"}
BY_PLACE = {"MalformedReceiptError": 0, "refused": 2, "set_aside": 1, "quarantine": 1, "_give_up": 2}
# Codes of problem documents over HTTP, which are about requests.
NOT_ABOUT_RECEIPTS = {"sync/session.py", "central/problems.py"}
# What the scan cannot see: values of a Literal, and reasons that stand beside an answer.
NAMED_ELSEWHERE = {
    *EARNS_NOTHING,
    "raster_only",
    "torn",
    "unknown_layout",
    "spool_damaged",
    "job_too_long",
    "identity",
    "member",
    "correction",
    "redemption",
    "poison",
    "fork",
    "shared_identity",
    "erasure",
    "two_members",
}


def codes_in(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        given: list[ast.expr] = [word.value for word in node.keywords if word.arg == BY_KEYWORD.get(name)]
        if name in BY_PLACE and len(node.args) > BY_PLACE[name]:
            given.append(node.args[BY_PLACE[name]])
        yield from (one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str))


def codes() -> set[str]:
    sources = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    return {
        code
        for path in sources
        if path.relative_to(ROOT).as_posix() not in NOT_ABOUT_RECEIPTS
        for code in codes_in(path)
    }


def test_every_code_has_a_remedy() -> None:
    found = codes()
    assert {"bad_code", "linked_file", "decoder_failed", "not_yet", "weak_identity", "conflict"} <= found

    assert sorted((found | NAMED_ELSEWHERE) - REMEDIES.keys()) == []


def test_every_remedy_is_of_a_code_that_something_gives() -> None:
    assert sorted(REMEDIES.keys() - codes() - NAMED_ELSEWHERE) == []


def test_what_is_named_elsewhere_stands_in_the_code() -> None:
    text = "".join(path.read_text("utf-8") for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    text = text.replace((ROOT / "loyalty" / "remedies.py").read_text("utf-8"), "")

    assert [code for code in sorted(NAMED_ELSEWHERE) if f'"{code}"' not in text] == []


def test_a_code_of_another_makers_reader_gets_an_answer_too() -> None:
    assert "its maker knows more" in remedy_for("acme_smudge")
