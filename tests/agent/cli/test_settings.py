"""`tillside config check` and `show`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.cli.exit_codes import DONE, USAGE
from agent.cli.settings import config_check_command, config_show_command
from agent.setting_checks import root_problems
from sync.enrolment import Enrolment, save_enrolment

WRONG = """
[page]
port = "many"
hosst = "127.0.0.1"

[[scanners]]
name = "counter"
driver = 7

[[receipts]]
name = "printer"
settle_ms = -1

[colours]
"""


def written(folder: Path, text: str) -> str:
    file = folder / "tillside.toml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def check(capsys: pytest.CaptureFixture[str], config: str, **environment: str) -> tuple[int, list[dict[str, str]]]:
    code = config_check_command(config=config, as_json=True, environment=environment)
    return code, json.loads(capsys.readouterr().out)["problems"]


def show(capsys: pytest.CaptureFixture[str], config: str, **environment: str) -> dict[str, tuple[Any, str, str]]:
    assert config_show_command(config=config, as_json=True, environment=environment) == DONE
    values = json.loads(capsys.readouterr().out)["values"]
    return {each["key"]: (each["value"], each["origin"], each["source"]) for each in values}


def test_everything_that_is_wrong_is_said_with_its_key_and_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, WRONG)

    code, problems = check(capsys, file, TILLSIDE_PAGE__HOST="", TILLSIDE_PAGE__COLOUR="red")

    assert code == USAGE
    assert {(each["where"], each["key"]) for each in problems} == {
        (file, "[page] hosst"),
        (file, "[page] port"),
        (file, "[[scanners]] number 1 'counter', driver"),
        (file, "[[receipts]] number 1 'printer', settle_ms"),
        (file, "[colours]"),
        ("environment variable TILLSIDE_PAGE__COLOUR", ""),
        ("environment variable TILLSIDE_PAGE__HOST", "[page] host"),
    }
    assert all(each["problem"] and each["remedy"] for each in problems)


def test_values_that_cannot_go_together_are_all_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(
        tmp_path,
        '[page]\nhost = "0.0.0.0"\n[register]\ntime_zone = "Mars/Base"\n[[receipts]]\nname = "a"\n'
        '[[scanners]]\nname = "x"\n[[scanners]]\nname = "x"\n',
    )

    code, problems = check(capsys, file)

    assert code == USAGE
    assert [each["key"].partition(" number")[0] for each in problems] == [
        "[page] host",
        "[register] time_zone",
        "[[scanners]] name",
        "[[receipts]]",
    ]


def test_what_drivers_templates_and_the_network_refuse_is_said_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(
        tmp_path,
        '[centre]\nproxy = "nowhere"\n[[scanners]]\nname = "a"\ndriver = "none"\n[[scanners]]\nname = "b"\nbaud = "x"\n'
        'port = "p"\n[[receipts]]\nname = "printer"\nspool = "s"\ntemplate = "gone.toml"\n',
    )

    code, problems = check(capsys, file)

    assert code == USAGE
    said = [f"{each['where']} {each['key']} {each['problem']}" for each in problems]
    for part, line in zip(("'a' driver", "'b' baud", "gone.toml", "[centre] proxy"), said, strict=True):
        assert part in line


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ('[register]\ntime_zone = "Europe"\n', "[register] time_zone", "'Europe'"),
        ('[centre]\nproxy = "ftp://u:secret@x"\n', "[centre] proxy", "'x'"),
        ('[centre]\nca_file = "gone.pem"\n', "[centre] ca_file", "gone.pem"),
        ('[update]\nroot = "gone.json"\n', "[update] root", "gone.json"),
        ('[update]\nroot = "tillside.toml"\n', "[update] root", "tillside.toml"),
        ('[[scanners]]\nname = "a"\ndriver = "magic"\n', "[[scanners]] 'a' driver", "'magic'"),
        ('[[receipts]]\nname = "p"\nspool = "s"\ncode_page = "zzz"\n', "[[receipts]] 'p' code_page", "'zzz'"),
        ('[[receipts]]\nname = "p"\nspool = "s"\nprofile = "zzz"\n', "[[receipts]] 'p' profile", "'zzz'"),
        ('[[receipts]]\nname = "p"\nspool = "s"\ntemplate = "nope"\n', "[[receipts]] 'p' template", "'nope'"),
    ],
)
def test_what_only_a_part_can_judge_is_said_with_file_key_value_and_remedy(
    text: str, key: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, text)

    code, (problem,) = check(capsys, file)

    assert (code, problem["where"], problem["key"]) == (USAGE, file, key)
    assert value in problem["problem"]
    assert problem["remedy"]
    assert "secret" not in str(problem)


def test_a_root_that_root_alone_may_read_is_for_the_updater_to_judge() -> None:
    class Closed(type(Path())):  # type: ignore[misc]
        def open(self, *_: object, **__: object) -> None:
            raise PermissionError

    assert list(root_problems(Closed("root.json"), "tillside.toml")) == []


def test_a_root_of_releases_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "root.json").write_text('{"signed":{"_type":"root"},"signatures":[]}')
    assert check(capsys, written(tmp_path, '[update]\nroot = "root.json"\n')) == (DONE, [])


@pytest.mark.parametrize("text", ["page = 3", "[page", 'scanners = "counter"'])
def test_a_file_without_the_form_is_one_problem(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, problems = check(capsys, written(tmp_path, text))

    assert (code, len(problems)) == (USAGE, 1)


def test_what_is_right_is_said_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, "[page]\nport = 9000\n")

    assert config_check_command(config=file, as_json=False, environment={}) == DONE

    assert capsys.readouterr().out == f"{file}: nothing is wrong.\n"


def test_a_person_reads_file_key_problem_and_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, "[page]\nhosst = 1\n")

    assert config_check_command(config=file, as_json=False, environment={}) == USAGE

    assert capsys.readouterr().out == f"{file}: [page] hosst: no such key. Did you mean 'host'?\n"


def test_each_value_says_where_it_comes_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(
        tmp_path,
        '[register]\nconnector = "skypos"\ntime_zone = "Europe/Zagreb"\n[paths]\nstate = "s"\n'
        '[[scanners]]\nname = "counter"\nport = "/dev/x"\n',
    )

    shown = show(capsys, file, TILLSIDE_PAGE__PORT="9001")

    assert shown["page.port"] == (9001, "environment", "TILLSIDE_PAGE__PORT")
    assert shown["page.host"] == ("127.0.0.1", "default", "")
    assert shown["register.currency"] == ("RSD", "connector", "skypos")
    assert shown["register.time_zone"] == ("Europe/Zagreb", "file", file)
    assert shown["paths.state"] == (str(tmp_path / "s"), "file", file)
    assert shown["scanners[counter].port"] == ("/dev/x", "file", file)
    assert shown["scanners[counter].driver"] == ("serial", "default", "")


def test_the_enrolment_is_the_centres_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, '[register]\nstore = "7"\nregister = "1"\n[paths]\nstate = "s"\n')
    url = "https://centre.example"
    save_enrolment(
        tmp_path / "s",
        Enrolment(device="d1", store="12", register="3", url=url, ca_pem="", centre_epoch="e", program_key="a" * 43),
    )

    shown = show(capsys, file)

    assert shown["register.store"] == ("12", "centre", url)
    assert shown["register.register"] == ("3", "centre", url)


SECRET_ADDRESSES = (
    ("TILLSIDE_CENTRE__PROXY", "http://till:hush@proxy:8080", "http://…@proxy:8080"),
    ("TILLSIDE_CENTRE__PROXY", "till:hu@sh@proxy:8080", "…@proxy:8080"),
    ("TILLSIDE_CENTRE__PROXY", "http://proxy:8080", "http://proxy:8080"),
    ("TILLSIDE_CENTRE__PROXY", "none", "none"),
)


@pytest.mark.parametrize(("variable", "address", "told"), SECRET_ADDRESSES)
def test_a_proxys_password_is_not_shown(
    variable: str, address: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = show(capsys, written(tmp_path, '[paths]\nstate = "s"\n'), **{variable: address})

    assert shown["centre.proxy"] == (told, "environment", variable)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("mssql+pyodbc://sa:hush@pos/db?pwd=hush", "mssql+pyodbc://…@pos/db"),
        ("sqlite:////pos.db?key=hush", "sqlite:////pos.db"),
        ("env:POS_DATABASE", "env:POS_DATABASE"),
    ],
)
def test_a_databases_password_is_not_shown(
    address: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(
        tmp_path,
        f'[paths]\nstate = "s"\n[[receipts]]\nname = "pos"\ndatabase = "{address}"\nhigh_water = "n"\n'
        'mapping = "m.toml"\nquery = "SELECT n FROM s WHERE n > :high_water ORDER BY n"\n',
    )

    assert config_show_command(config=file, as_json=False, environment={}) == DONE

    out = capsys.readouterr().out
    assert f'receipts[pos].database = "{told}"  (file {file})' in out
    assert "hush" not in out


def test_wrong_settings_are_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert config_show_command(config=written(tmp_path, "[page]\nport = 0\n"), as_json=False, environment={}) == USAGE

    assert "[page] port" in capsys.readouterr().err
