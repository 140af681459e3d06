"""Whether a relay could be started again, told by its file and without touching a port."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agent.cli.self_test import self_test_command
from agent.updating.relay_settings import relay_file, relay_settings_problem

SHIPPED = Path(__file__).parents[3] / "installer" / "systemd" / "relay.toml"


def test_the_file_that_is_shipped_can_be_used(tmp_path: Path) -> None:
    beside = relay_file(tmp_path / "tillside.toml")
    beside.write_text(SHIPPED.read_text(encoding="utf-8"), encoding="utf-8")
    assert relay_settings_problem(beside) == ""


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ('[[register]\nregister = "1"', "Expected ']]'"),
        ('[[register]]\nregister = "1"\nlisten = "systemd:pos"\nprinter = "nowhere:x"\nspool = "s"', "nowhere:x"),
        ('[[register]]\nregister = "1"\nprinters = "p:9100"', "printers"),
        ("", "[[register]]"),
    ],
)
def test_a_broken_one_names_itself_and_what_is_wrong(tmp_path: Path, broken: str, said: str) -> None:
    file = tmp_path / "relay.toml"
    file.write_text(broken, encoding="utf-8")
    told = relay_settings_problem(file)
    assert (said in told, str(file) in told, "\n" in told) == (True, True, False), told


def test_one_that_is_not_there_is_a_problem_too(tmp_path: Path) -> None:
    assert "No such file" in relay_settings_problem(tmp_path / "relay.toml")


def test_a_version_asked_for_it_says_so_and_otherwise_does_not_look(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "tillside.toml"
    config.write_text('[paths]\nstate = "state"\n', encoding="utf-8")
    (tmp_path / "relay.toml").write_text("[[register]", encoding="utf-8")

    assert self_test_command(config=str(config), store=False, as_json=True) == 0
    capsys.readouterr()
    assert self_test_command(config=str(config), store=False, relay=True, as_json=True) == 2
    assert "relay.toml" in msgspec.json.decode(capsys.readouterr().out)["error"]
