"""`tillside enroll`: where the code comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cli.enroll import CODE_VARIABLE, NoCodeError, code_given, enroll_command
from agent.cli.exit_codes import PROBLEM, USAGE
from sync.enrolment import MAX_CODE_CHARS


def asked() -> str:
    return "asked"


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "code").write_text("from-file\n")
    return str(tmp_path / "code")


def test_what_is_given_comes_before_the_environment_and_a_question(file: str) -> None:
    environment = {CODE_VARIABLE: "from-environment"}

    assert code_given("given", None, environment, asked) == "given"
    assert code_given(None, file, environment, asked).strip() == "from-file"
    assert code_given(None, None, environment, asked) == "from-environment"
    assert code_given(None, None, {}, asked) == "asked"


def test_without_a_code_and_anybody_to_ask_the_ways_are_told(file: str) -> None:
    with pytest.raises(NoCodeError, match="--code-file, or set TILLSIDE_ENROL_CODE"):
        code_given(None, None, {}, None)
    with pytest.raises(NoCodeError, match="not both"):
        code_given("given", file, {}, None)


def test_of_a_file_no_more_is_read_than_a_code_has(tmp_path: Path) -> None:
    (tmp_path / "code").write_bytes(b"\xff" * 100_000)

    assert len(code_given(None, str(tmp_path / "code"), {}, None)) == MAX_CODE_CHARS + 1


@pytest.mark.parametrize(("name", "exits"), [("code", USAGE), ("none", PROBLEM)])
def test_a_file_without_a_code_and_no_file_are_told(
    file: str, name: str, exits: int, capsys: pytest.CaptureFixture[str]
) -> None:
    named = str(Path(file).with_name(name))

    assert enroll_command(code=None, code_file=named, replace=False, config=None, as_json=False) == exits
    assert capsys.readouterr().err.startswith("tillside enroll: ")
