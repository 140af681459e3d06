"""Programs: what they may say, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from loyalty.program import (
    ProgramError,
    program_from_json,
    program_hash,
    program_json,
    program_schema,
    program_warnings,
)

GOOD = b'{"program":"p","currency":"EUR","earn":[{"id":"base","give":{"points":1,"per_minor":100}}]}'


def test_the_hash_is_of_the_content_not_of_its_writing() -> None:
    spaced = GOOD.replace(b",", b" ,\n")

    assert program_hash(program_from_json(spaced)) == program_hash(program_from_json(GOOD))
    assert program_from_json(program_json(program_from_json(GOOD))) == program_from_json(GOOD)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"{", "not JSON"),
        (GOOD.replace(b'"program":"p"', b'"program":"\xff"'), "not JSON"),
        (GOOD.replace(b'"points":1', b'"points":1.5'), "$.earn[0].give.points"),
        (GOOD.replace(b'"points":1', b'"points":0'), "$.earn[0].give.points"),
        (GOOD.replace(b'"program":"p"', b'"program":"p","surprise":1'), "surprise"),
        (GOOD.replace(b'"EUR"', b'"EUR","time_zone":"Mars/Base"'), "$.time_zone"),
        (GOOD.replace(b'"EUR"', b'"EUR","time_zone":"../etc/passwd"'), "$.time_zone"),
        (GOOD.replace(b"]}", b',{"id":"base","give":{"points":1,"per_minor":1}}]}'), "$.earn[1].id"),
        (GOOD.replace(b'"EUR"', b'"EUR","tiers":[{"id":"a"},{"id":"a"}]'), "$.tiers[1].id"),
    ],
)
def test_a_wrong_program_is_refused_with_its_path(document: bytes, says: str) -> None:
    with pytest.raises(ProgramError) as refused:
        program_from_json(document)

    assert says in str(refused.value)


def test_places_for_what_comes_later_may_stand_there_empty_only() -> None:
    empty = GOOD.replace(b'"EUR"', b'"EUR","visits":[],"events":[],"rewards":[]')
    assert program_from_json(empty) == program_from_json(GOOD)

    with pytest.raises(ProgramError, match=r"\$\.rewards"):
        program_from_json(empty.replace(b'"rewards":[]', b'"rewards":[{"id":"r5","cost":500}]'))


def test_what_is_probably_not_meant_is_warned_of() -> None:
    tiers = b'"EUR","tiers":[{"id":"gold","from":{"points_in":"P12M","at_least":5000}}]'
    program = program_from_json(
        GOOD.replace(b'"EUR"', tiers).replace(b'{"id":"base","give":{"points":1,"per_minor":100}}', b"")
    )

    assert [warning.split(":")[0] for warning in program_warnings(program)] == ["$.tiers[0].from", "$.earn"]
    assert program_warnings(program_from_json(GOOD)) == ()


def test_the_published_schema_is_the_one_in_force() -> None:
    published = Path(__file__).parents[2] / "docs" / "program.schema.json"

    assert published.read_bytes() == program_schema()
