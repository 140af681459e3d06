"""Each complaint has a story test that is there, and README.md names it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[a-z_/]+\.py)::(test_\w+)`")
# All that users of other systems complain of, as README.md says it. None may go.
COMPLAINTS = (
    "sent again, a sale counts twice",
    "bought and brought back, points stay",
    "a return costs its points again each time it is heard of",
    "what a reward takes off earns points",
    "one card in two places at once",
    "who joins without a network comes after their first sale",
    "one coupon at two registers",
    "a keyboard of another layout makes letters of digits",
    "a scan goes into whatever is open: a field, a quantity",
    "a second scan is lost while the first is looked up",
    "the number on the card is not the one in its code",
    "what waits goes up only with the next sale",
    "a full disk that nothing leaves any more",
    "one message that cannot be read comes round for ever",
    "the first copy of all members begins anew whenever it breaks off",
    "who was taken away once is missing from a new copy",
    "the longest pause between tries is the same for all",
    "two machines from one image are one register",
    "two members made one lose what one of them had",
    "one step is told twice and rewarded twice",
    "268.28000000000003",
)


def test_each_complaint_is_told_by_tests_that_are_there_and_run() -> None:
    table = Path(__file__).with_name("README.md").read_text(encoding="utf-8").partition("| complaint |")[2]
    rows = [row.strip("| ").split(" | ") for row in table.strip().splitlines()[2:]]

    assert tuple(complaint for complaint, _ in rows) == COMPLAINTS
    assert [complaint for complaint, told_by in rows if not NAMED.search(told_by)] == []
    every = [named for _, told_by in rows for named in NAMED.findall(told_by)]
    assert [f"{path}::{name}" for path, name in every if name not in run_in(path)] == []


@cache
def run_in(path: str) -> frozenset[str]:
    """The tests of a module that are neither left out nor expected to fail."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return frozenset(one.name for one in functions if not any(map(_is_left_out, one.decorator_list)))


def _is_left_out(decorator: ast.expr) -> bool:
    return re.search(r"\bmark\.(skip|xfail)", ast.unparse(decorator)) is not None
