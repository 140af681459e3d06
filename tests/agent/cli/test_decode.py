"""`tillside decode` as a person runs it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.cli.decode import decode_command
from tests.agent.shop import receipt

CAPTURES = Path(__file__).parents[2] / "captures"
CYRILLIC = CAPTURES / "till-cyrillic-cp855.bin"


def run(
    file: Path | str,
    *,
    format: str = "auto",  # noqa: A002
    code_page: str | None = None,
    profile: str | None = None,
    text: bool = False,
    as_json: bool = False,
    items: str | None = None,
) -> int:
    return decode_command(
        file=str(file), format=format, code_page=code_page, profile=profile, text=text, as_json=as_json, items=items
    )


@pytest.mark.parametrize("as_json", [False, True])
def test_it_prints_the_contracts_json(capsysbinary: pytest.CaptureFixture[bytes], as_json: bool) -> None:
    assert run(CYRILLIC, as_json=as_json) == 0
    printed = capsysbinary.readouterr().out
    decoded = json.loads(printed)
    assert list(decoded) == ["receipts", "ignored", "problems"]
    assert [receipt["number"] for receipt in decoded["receipts"]] == ["ABCD2345-ABCD2345-10235"]
    assert [ignored["kind"] for ignored in decoded["ignored"]] == ["card_slip"]
    assert (printed.count(b"\n") == 1) is as_json


def test_it_prints_what_the_paper_shows(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(CYRILLIC, text=True) == 0
    shown = capsysbinary.readouterr().out.decode()
    assert "============ ФИСКАЛНИ РАЧУН ============\n100000001\n" in shown
    assert "[QR https://suf.purs.gov.rs/v/?vl=" in shown


def test_it_draws_what_the_paper_looked_like(capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    # given a job that is longer than one image
    (tmp_path / "job").write_bytes(b"x\n" * 1005)
    out = tmp_path / "paper.png"
    # when it is drawn
    assert decode_command(
        file=str(tmp_path / "job"), format="auto", code_page=None, profile=None, text=False, png=str(out), as_json=True
    ) == 0  # fmt: skip
    # then it stands in files that are named
    files = json.loads(capsysbinary.readouterr().out)["png"]
    assert files == [str(out), str(tmp_path / "paper-2.png")]
    assert [Path(file).read_bytes()[:4] for file in files] == [b"\x89PNG"] * 2


def test_a_picture_that_cannot_be_written_is_usage(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert decode_command(
        file=str(CYRILLIC), format="auto", code_page=None, profile=None, text=False, png=str(tmp_path), as_json=False
    ) == 2  # fmt: skip
    assert "Name a file that can be written" in capsys.readouterr().err


def test_what_was_not_read_makes_it_fail(capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    (tmp_path / "job").write_bytes(b"nothing known\n")
    assert run(tmp_path / "job") == 1
    assert [problem["code"] for problem in json.loads(capsysbinary.readouterr().out)["problems"]] == ["unknown_layout"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"format": "nonsense"}, b"choose one of auto"),
        ({"code_page": "nonsense"}, b"CP852"),
        ({"profile": "nonsense"}, b"TM-T88V"),
    ],
)
@pytest.mark.parametrize("text", [False, True])
def test_wrong_usage_says_what_to_do(
    capsysbinary: pytest.CaptureFixture[bytes], options: dict[str, str], said: bytes, text: bool
) -> None:
    assert run(CYRILLIC, text=text, **options) == 2  # type: ignore[arg-type]
    output = capsysbinary.readouterr()
    assert output.out == b""
    assert said in output.err


def test_a_missing_file_says_what_to_do(capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    assert run(tmp_path / "missing") == 2
    assert b"Name a file" in capsysbinary.readouterr().err
    assert run(tmp_path) == 2


def test_standard_input(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CYRILLIC.read_bytes())))
    assert run("-") == 0
    assert json.loads(capsysbinary.readouterr().out)["receipts"]


def test_text_cannot_steer_the_terminal(capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    (tmp_path / "job").write_bytes("a\x07b\u202ec\x9b31m\n".encode())
    run(tmp_path / "job", text=True)
    assert capsysbinary.readouterr().out.decode() == "a\ufffdb\ufffdc\ufffd31m\n"


def test_installed_readers_that_do_not_work_are_named_and_the_json_stays_json(tmp_path: Path) -> None:
    # given two packages of other people: one cannot be imported, one cannot be made
    for name, code in (
        ("acme_bad", "raise ValueError('no')"),
        ("acme_needy", "class Driver:\n def __init__(self, x): 1"),
    ):
        (tmp_path / f"{name}.py").write_text(code)
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[tillside.readers]\n{name} = {name}:Driver\n")

    # when
    def decoded(document: bytes) -> tuple[int, list[Any], list[Any]]:
        done = subprocess.run(
            [sys.executable, "-m", "agent.cli.entry", "decode", "-"],
            input=document,
            capture_output=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            cwd=Path(__file__).parents[3],
        )
        return (
            done.returncode,
            json.loads(done.stdout)["problems"],
            [json.loads(line) for line in done.stderr.splitlines()],
        )

    # then what could be read is read, and what could not says why
    assert decoded(CYRILLIC.read_bytes())[:2] == (0, [])
    exit_code, problems, log = decoded(b"nothing known\n")
    assert (exit_code, [problem["code"] for problem in problems]) == (1, ["reader_broken"])
    assert "acme_bad" in problems[0]["detail"]
    assert "acme_needy" in problems[0]["detail"]
    assert {(line["reader"], line["error"]) for line in log} == {
        ("acme_bad", "ValueError"),
        ("acme_needy", "TypeError"),
    }


def test_it_starts_light() -> None:
    code = (
        "import sys; from agent.cli.decode import decode_command\n"
        f"decode_command(file={str(CYRILLIC)!r}, format='auto', code_page=None, profile=None,\n"
        "    text=False, as_json=True)\n"
        "heavy = {'aiohttp', 'structlog', 'sqlcipher3', 'sqlite_utils', 'serial', 'biip', 'escpos', 'cryptography'}\n"
        "sys.stderr.write(str(sorted(heavy & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stderr == b"[]"


def test_an_item_map_is_tried_before_it_is_published(
    capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    items = tmp_path / "items.csv"
    items.write_text("name,kind\n*kesa*,fee\n")
    job = tmp_path / "job"
    job.write_bytes(receipt(1).replace(b"KAFA", b"KESA"))

    assert run(job, items=str(items)) == 0
    [mapped] = json.loads(capsysbinary.readouterr().out)["receipts"]
    assert run(job) == 0
    [plain] = json.loads(capsysbinary.readouterr().out)["receipts"]

    assert mapped["lines"][0].pop("mapped") == {"kind": "fee"}
    assert len(mapped.pop("item_map")) == 64
    assert mapped == plain


@pytest.mark.parametrize(("content", "said"), [(b"name,kind\n*,fee\n", b"no letter"), (None, b"No such file")])
def test_an_item_map_that_cannot_be_used_is_named(
    capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path, content: bytes | None, said: bytes
) -> None:
    items = tmp_path / "items.csv"
    if content is not None:
        items.write_bytes(content)

    assert run(CYRILLIC, items=str(items)) == 2
    output = capsysbinary.readouterr()
    assert (output.out, said in output.err, str(items).encode() in output.err) == (b"", True, True)


def test_a_csv_file_is_read_by_its_mapping(capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text("no,total\n7,1.50\n")
    (tmp_path / "good.toml").write_text('[constants]\ncurrency = "EUR"\n[receipt]\nnumber = "no"\ntotal = "total"\n')
    (tmp_path / "bad.toml").write_text('[receipt]\nnumber_ = "no"\n')

    def decoded(mapping: str) -> int:
        return decode_command(
            file=str(tmp_path / "sales.csv"), format="csv", code_page=None, profile=None, text=False, as_json=True,
            mapping=str(tmp_path / mapping),
        )  # fmt: skip

    assert decoded("good.toml") == 0
    assert [each["total_minor"] for each in json.loads(capsysbinary.readouterr().out)["receipts"]] == [150]
    assert decoded("bad.toml") == 2
    assert b"bad.toml: [receipt] number_: no such key. Did you mean 'number'?" in capsysbinary.readouterr().err
    assert decoded("none.toml") == 2
    assert b"none.toml: No such file or directory. Name a file that can be read" in capsysbinary.readouterr().err


def test_what_a_receipt_does_not_print_is_said_by_options(
    capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    # given a receipt without a currency, and with a time of nowhere
    file = tmp_path / "1.bin"
    file.write_bytes(receipt(7).replace(b"TOTAL RSD", b"TOTAL"))

    def decoded(**said: Any) -> dict[str, Any]:
        code = decode_command(
            file=str(file), format="auto", code_page=None, profile=None, text=False, as_json=True, **said
        )
        assert code == 0
        (read,) = json.loads(capsysbinary.readouterr().out)["receipts"]
        return dict(read)

    assert [problem["code"] for problem in decoded()["problems"]] == ["currency_unknown", "time_zone_unknown"]
    read = decoded(currency="EUR", time_zone="Europe/Ljubljana")
    assert (read["currency"], read["issued_at"]) == ("EUR", "2026-11-22T10:07:00+01:00")
    assert read.get("problems", []) == []


@pytest.mark.parametrize("said", [{"currency": "euro"}, {"time_zone": "Belgrade"}])
def test_an_option_that_is_none_is_told(said: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    code = decode_command(
        file=str(CYRILLIC), format="auto", code_page=None, profile=None, text=False, as_json=True, **said
    )
    assert code == 2
    assert next(iter(said.values())) in capsys.readouterr().err
