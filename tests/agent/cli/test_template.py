"""`tillside template`, as a person runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.cli import commands
from agent.cli.exit_codes import DONE, PROBLEM, USAGE
from agent.layouts import templates_of
from config.settings import SettingsError, settings_from
from tests.drivers.receipts.layouts import Till

SETTINGS = {"receipts": [{"name": "printer", "spool": "/s", "template": "lost.toml"}]}


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        commands.app(["template", *arguments])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


@pytest.fixture
def captures(tmp_path: Path) -> Path:
    folder = tmp_path / "captures"
    folder.mkdir()
    till = Till("7")
    for number in range(6):
        (folder / f"{number}.txt").write_text("\n".join(till.paper(till.sale())), encoding="utf-8")
    return folder


def test_learn_then_check_then_test(captures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "mine.toml")
    files = [str(path) for path in sorted(captures.iterdir())]

    code, said, _ = run(capsys, "learn", *files, "--out", out, "--name", "mine", "--currency", "EUR")
    assert code == DONE
    assert "total │" in said
    assert said.endswith(f"6 of 6 receipts add up; written to {out}\n")
    assert "\x1b" not in said

    code, said, _ = run(capsys, "check", out)
    assert (code, said.split(",")[0]) == (DONE, "mine version 1 is right")

    code, said, _ = run(capsys, "test", str(captures), "--template", out)
    assert code == DONE
    assert said.splitlines()[-1].split() == ["6", "6", "6", "0"]

    # paper without the layout's words is counted as another's, and no receipt that fails
    (captures / "kitchen.txt").write_text("KUZINA\nTavlu 6\n2 x Pan sera\n", encoding="utf-8")
    code, said, _ = run(capsys, "test", str(captures), "--template", out)
    assert code == DONE
    assert said.splitlines()[-1].split() == ["6", "6", "6", "1"]

    # a receipt that does not add up is named with its reason
    first = captures / "0.txt"
    (captures / "broken.txt").write_text(
        "\n".join(line for line in first.read_text("utf-8").splitlines()[:-8]), encoding="utf-8"
    )
    code, said, _ = run(capsys, "test", str(captures), "--template", out, "--json")
    result = json.loads(said)
    assert code == PROBLEM
    assert (result["receipts"], result["reconciled"]) == (7, 6)
    assert [row["file"] for row in result["problems"]] == ["broken.txt"]


def test_learn_as_json_tells_each_line(captures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said, _ = run(capsys, "learn", str(captures / "0.txt"), str(captures / "1.txt"), "--json")
    answer = json.loads(said)
    assert code in (DONE, PROBLEM)
    assert "total" in [line["role"] for line in answer["receipts"][0]["lines"]]
    assert answer["template"].startswith("# Learned from 2 receipts.")


def test_learn_shows_times_in_the_zone_that_is_told(captures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(path) for path in sorted(captures.iterdir())]
    _, said, _ = run(capsys, "learn", *files, "--json", "--currency", "EUR", "--time-zone", "Europe/Belgrade")
    _, without, _ = run(capsys, "learn", *files, "--json", "--currency", "EUR")
    answer, plain = json.loads(said), json.loads(without)
    assert answer["receipts"][0]["receipt"]["issued_at"][-6:] in ("+01:00", "+02:00")
    assert "issued_at" not in plain["receipts"][0]["receipt"]
    # a template goes to shops in several zones
    assert answer["template"] == plain["template"]


def test_what_has_no_total_is_proposed_and_refused_until_it_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # given receipts on which nothing says what was to be paid
    for number in (1, 2):
        paper = f"CORNER\nTavlu 6\nNo. 10{number}\nPan sera      1,00\nMleti vera    2,5{number}\nKomu lipa\n"
        (tmp_path / f"{number}.txt").write_text(paper, encoding="utf-8")
    files, out = [str(path) for path in sorted(tmp_path.glob("*.txt"))], str(tmp_path / "mine.toml")
    # when a template is learned from them
    code, said, _ = run(capsys, "learn", *files, "--out", out)
    # then it is said at once that it is not whole, and nothing reads with it
    remedy = "[total]: nothing says where it stands. Add its words, such as TOTAL"
    assert code == PROBLEM
    assert f"! it cannot be used yet: {remedy}\n" in said
    assert "0 of 2 receipts add up" in said
    assert run(capsys, "check", out) == (PROBLEM, "", f"tillside template check: {out}: {remedy}\n")
    code, _, said = run(capsys, "test", str(tmp_path), "--template", out)
    assert (code, remedy in said) == (USAGE, True)
    _, said, _ = run(capsys, "learn", *files, "--json")
    assert [problem["key"] for problem in json.loads(said)["problems"]] == ["[total]"]


def test_a_wrong_template_is_told_with_its_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text("name = 'a'\n[totals]\nwords = ['SUM']\n", encoding="utf-8")
    code, _, said = run(capsys, "check", str(file))
    assert code == PROBLEM
    assert said == f"tillside template check: {file}: totals: no such key. Did you mean 'total'?\n"
    code, told, _ = run(capsys, "check", str(file), "--json")
    assert (code, json.loads(told)["problems"][0]["key"]) == (PROBLEM, "totals")


def test_show_prints_what_can_be_checked(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    with pytest.raises(SystemExit) as ended:
        commands.app(["template", "show", "sl"])
    assert not ended.value.code
    assert b"SKUPAJ" in capsysbinary.readouterr().out.upper()


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "fr"),
        ("test", "/nowhere/at/all"),
        ("learn", "/nowhere/at/all"),
        ("test", "/", "--template", "no.toml"),
        ("learn", ".", "--currency", "euro"),
        ("learn", ".", "--time-zone", "Mars/Base"),
        ("learn", ".", "--name", "My Till"),
        ("test", ".", "--currency", "euro"),
    ],
)
def test_what_is_not_there_is_usage(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, said = run(capsys, *arguments)
    assert code == USAGE
    assert said.startswith(f"tillside template {arguments[0]}: ")


def test_the_settings_name_a_template_that_is_read_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"lost\.toml: .*en, de, sr, hr, sl"):
        templates_of(settings_from(SETTINGS, {}, "tillside.toml"))
    shipped = {"receipts": [{**SETTINGS["receipts"][0], "template": "de"}]}
    assert templates_of(settings_from(shipped, {}, ""))["printer"][0].name == "de"
    assert templates_of(settings_from({}, {}, "")) == {}
