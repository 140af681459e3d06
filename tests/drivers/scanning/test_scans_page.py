"""`docs/scans.md` says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

from drivers.scanning.aim import split_identifier, symbology_of
from drivers.scanning.gs1_identifiers import FORM_OF, PRIMARY_KEYS
from drivers.scanning.scan import MAX_TEXT_CHARS, ScanProblem, parse_scan
from loyalty.identification import MAX_CODE_CHARS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "scans.md").read_text(encoding="utf-8")


def rows(title: str) -> list[list[str]]:
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def identifiers(cell: str) -> list[str]:
    """`]Q0` to `]Q2`, `]Q5` as four of them."""
    named: list[str] = []
    for first, last in re.findall(r"`(\]..)`(?: to `(\]..)`)?", cell):
        span = "0123456789ABC"
        steps = span[span.index(first[2]) : span.index((last or first)[2]) + 1]
        named += [first[:2] + step for step in steps]
    return named


def test_every_problem_is_explained_with_what_to_do() -> None:
    explained = {problem.strip("`"): remedy for problem, _, remedy in rows("Problems")}

    assert explained.keys() == set(get_args(ScanProblem))
    assert all(explained.values())


def test_the_symbologies_are_those_of_the_code() -> None:
    for cell, names in rows("Symbologies"):
        wanted = re.findall(r"`([a-z0-9-]+)`", names)
        for aim in identifiers(cell):
            assert split_identifier(f"{aim}1") == (aim, "1")
            assert symbology_of(aim) in wanted, aim


def test_the_fields_are_those_of_the_document() -> None:
    table = PAGE.split("\n## ")[0]
    fields = re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)

    assert fields == list(parse_scan("]C1010950110153000310A").document())


def test_the_example_is_what_comes_out() -> None:
    (argument, document) = re.findall(r"parse-scan '(.*)'\n(.*?)\n\n", PAGE, flags=re.DOTALL)[0]

    assert json.loads(document) == parse_scan(argument).document()


def test_the_figures_are_those_of_the_code() -> None:
    decision = (ROOT / "docs" / "adr" / "0010-our-own-table-of-gs1-identifiers.md").read_text(encoding="utf-8")

    assert f"all {len(FORM_OF)} identifiers" in PAGE
    assert f"the {len(FORM_OF)} application identifiers" in decision
    assert len(PRIMARY_KEYS) == 16
    assert "sixteen primary keys" in PAGE.replace("\n", " ")
    assert f"more than {MAX_TEXT_CHARS:,} characters" in PAGE
    assert f"longer than {MAX_CODE_CHARS} characters" in PAGE.replace("\n", " ")
