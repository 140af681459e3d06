"""What `docs/scans.md` says of rules is what they do."""

from __future__ import annotations

import re
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path
from typing import get_args

import pytest

from drivers.scanning.scan import Scan, parse_scan
from loyalty.identification import FIXED_DIGITS, MAX_CODE_CHARS, MAX_RULES, IdentificationRule, RuleKind
from loyalty.identification_checks import MAX_CHOICES, MAX_NAME_CHARS, rule_problems
from loyalty.identification_json import rules_from_documents

PAGE = (Path(__file__).parents[3] / "docs" / "scans.md").read_text(encoding="utf-8")
SECTION = PAGE.split("\n## Rules\n")[1].split("\n## ")[0]


def examples() -> list[tuple[str, str, str]]:
    """Of each its title, its rules, and what it says of scans."""
    found = []
    for part in SECTION.split("\n### ")[1:]:
        title, _, text = part.partition("\n")
        if "```toml\n" in text:
            toml, _, behind = text.split("```toml\n")[1].partition("```\n")
            table = re.match(r"(?:\|[^\n]*\n)+", behind)
            assert table is not None, title
            found.append((title, toml, table[0]))
    return found


def rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]


def what_it_is(scan: Scan) -> str:
    member = scan.member
    if member is not None:
        return f"{member.kind} `{member.code}`" if member.claimed else "a guess"
    if "payment_card" in scan.problems:
        return "payment card"
    if scan.misread:
        return "misread"
    return "nobody" if scan.identifier is None else "goods"


def test_every_field_of_a_rule_is_described_with_its_default() -> None:
    table = SECTION.split("\n\n")[1]
    described = {name.strip("`"): default.strip("`") for name, default, _ in rows(table)}

    assert list(described) == [field.name for field in fields(IdentificationRule)]
    for field in fields(IdentificationRule):
        said = described[field.name]
        if field.default is MISSING:
            assert said == "required"
        elif field.default in ((), ""):
            assert said in ("any", "none", "the whole code"), field.name
        else:
            assert said == str(field.default).lower(), field.name
    assert all(f"`{kind}`" in table for kind in get_args(RuleKind))


@pytest.mark.parametrize(("title", "toml", "table"), examples())
def test_an_example_does_what_is_said(title: str, toml: str, table: str) -> None:
    rules = rules_from_documents(tomllib.loads(toml)["identification"])

    assert rule_problems(rules) == (), title
    for scanned, said in rows(table):
        is_no_members = said == "goods" and what_it_is(parse_scan(scanned.strip("`"), rules)) == "nobody"
        assert is_no_members or what_it_is(parse_scan(scanned.strip("`"), rules)) == said, scanned


def test_every_example_is_tried() -> None:
    assert len(examples()) == SECTION.count("```toml") == 6


def test_the_figures_are_those_of_the_code() -> None:
    text = " ".join(SECTION.split())

    assert f"at most {MAX_RULES} rules with at most {MAX_CHOICES} prefixes and ranges" in text
    assert f"at most {MAX_CODE_CHARS} letters" in text
    assert f"in at most {MAX_NAME_CHARS} characters" in text
    assert FIXED_DIGITS == 4
    assert "at least four first digits" in text
