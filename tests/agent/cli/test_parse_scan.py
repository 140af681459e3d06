"""`tillside parse-scan`."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from agent.cli.parse_scan import parse_scan_command


def test_a_good_scan_prints_its_json_and_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    code = parse_scan_command(text="]E05901234123457", hex=False, as_json=True)

    printed = capsys.readouterr().out
    assert code == 0
    assert printed.count("\n") == 1
    assert json.loads(printed) == {
        "symbology": "ean13",
        "aim": "]E0",
        "text": "5901234123457",
        "identifier": {"kind": "gtin", "code": "5901234123457"},
        "problems": [],
    }


def test_without_json_it_is_the_same_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    parse_scan_command(text="]C0M1", hex=False, as_json=False)

    printed = capsys.readouterr().out
    assert printed.count("\n") > 1
    assert json.loads(printed)["identifier"] == {"kind": "card", "code": "M1"}


def test_bytes_can_be_given_in_hexadecimal(capsys: pytest.CaptureFixture[str]) -> None:
    code = parse_scan_command(text=b"]C10109501101530003\x1d".hex(" "), hex=True, as_json=True)

    assert code == 0
    assert json.loads(capsys.readouterr().out)["gs1"] == {"01": "09501101530003"}


def test_a_problem_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse_scan_command(text="]E05901234123456", hex=False, as_json=True) == 1
    assert json.loads(capsys.readouterr().out)["problems"] == ["check_digit_wrong"]


@pytest.mark.parametrize("text", ["", "]C0"])
def test_nothing_is_a_problem_too(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert parse_scan_command(text=text, hex=False, as_json=True) == 1
    assert json.loads(capsys.readouterr().out)["problems"] == ["empty"]


def test_bad_hexadecimal_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse_scan_command(text="5d4", hex=True, as_json=True) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert "two digits for each byte" in printed.err


def test_it_starts_light() -> None:
    code = (
        "import sys; from agent.cli.parse_scan import parse_scan_command as p;"
        "p(text=']C1010950110153000310A', hex=False, as_json=True);"
        "print(*{'biip', 'aiohttp', 'sqlcipher3', 'structlog', 'serial', 'cryptography'} & set(sys.modules))"
    )

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed.splitlines()[1] == ""
