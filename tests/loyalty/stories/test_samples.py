"""The sample programs are whole: usable, listed, each with its terms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loyalty.program_warnings import warnings_of
from tests.loyalty.stories.shop import PROGRAMS, sample

NAMES = sorted(path.stem for path in PROGRAMS.glob("*.json"))


def test_there_are_ten_each_with_its_terms_and_its_story() -> None:
    stories = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    listed = (PROGRAMS / "README.md").read_text(encoding="utf-8")

    assert len(NAMES) == 10
    for name in NAMES:
        assert f"({name}.json)" in listed
        assert f"({name}.md)" in listed
        assert (PROGRAMS / f"{name}.md").is_file()
        assert name.replace("-", "_") in stories


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_can_be_used_and_nothing_in_it_is_doubtful(name: str) -> None:
    assert warnings_of(sample(name)) == ()


@pytest.mark.parametrize("name", NAMES)
def test_each_rule_of_a_sample_stands_in_its_story(name: str) -> None:
    program = json.loads((PROGRAMS / f"{name}.json").read_bytes())
    story = Path(__file__).with_name(f"test_{name.replace('-', '_')}.py").read_text(encoding="utf-8")

    for part in ("earn", "visits", "stamps", "events", "rewards"):
        for rule in program.get(part, []):
            assert f'"{rule["id"]}"' in story
