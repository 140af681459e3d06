"""`tillside decode --guess`: a person sees a line in the likeliest code pages, and the setting to write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.cli.decode import decode_command
from agent.cli.exit_codes import DONE
from drivers.receipts.decode import paper_text
from drivers.receipts.port import DecodeOptions


def guessed(file: Path, *, as_json: bool = False, code_page: str | None = None) -> int:
    return decode_command(
        file=str(file), format="auto", code_page=code_page, profile=None, text=False, as_json=as_json, guess=True
    )


def test_the_line_is_shown_in_the_likeliest_pages_with_the_setting(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    # given a till that leaves the code page to the printer's switches
    job = tmp_path / "job.bin"
    job.write_bytes(b"\x1b@SHOP\n" + "Plaćeno Šećer žuti račun\n".encode("cp1250") + b"\x1dV\x00")
    # when
    assert guessed(job) == DONE
    shown = capfdbinary.readouterr().out.decode()
    # then
    assert shown.splitlines()[1].split() == ["CP1250", "97", "%", "Plaćeno", "Šećer", "žuti", "račun"]
    assert 'code_page = "CP1250"' in shown


def test_it_says_which_number_means_another_page(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    job = tmp_path / "job.bin"
    job.write_bytes(b"\x1b@\x1bt\x02" + "Plaćeno Šećer žuti račun Đumbir\n".encode("cp852") + b"\x1dV\x00")
    guessed(job)
    assert "ESC t 2" in capfdbinary.readouterr().out.decode()
    # and in JSON, with the letters of each page
    guessed(job, as_json=True)
    (choice,) = json.loads(capfdbinary.readouterr().out)["guesses"]
    assert choice["guessed"]["selected"] == 2
    assert choice["lines"]["CP852"] == "Plaćeno Šećer žuti račun Đumbir"


@pytest.mark.parametrize(
    ("document", "code_page"), [(b"\x1b@plain\n", None), (b"\x1b@\x86\xa7\x9f\n", "CP852"), (b"text", None)]
)
def test_where_nothing_is_to_guess_it_says_so(
    document: bytes, code_page: str | None, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    job = tmp_path / "job.bin"
    job.write_bytes(document)
    assert guessed(job, code_page=code_page) == DONE
    assert capfdbinary.readouterr().out.startswith(b"Nothing to guess")


def test_letters_that_the_pos_draws_are_shown_to_be_named(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    # given a till that draws a letter of 3 by 8 dots for ^
    job = tmp_path / "job.bin"
    job.write_bytes(b"\x1b@\x1b&\x01^^\x03\xff\x81\xc3\x1b%\x01Pla^eno\n")
    guessed(job)
    shown = capfdbinary.readouterr().out.decode()
    assert 'letters = { "0x5e" = "?" }' in shown
    assert shown.endswith("0x5e\n  █▀█\n  █\n  █\n  █▄█\n")
    guessed(job, as_json=True)
    assert json.loads(capfdbinary.readouterr().out)["drawn_letters"] == ["0x5e"]
    # when it is named, the receipt has it
    assert "".join(paper_text(job.read_bytes(), DecodeOptions(letters={0x5E: "ć"}))) == "Plaćeno\n"
