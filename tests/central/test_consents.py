"""The chain's own texts of consents at the command line, and as registers get them."""

from __future__ import annotations

from pathlib import Path

import pytest

from central import configs
from central.db.database import Database
from central.folder import DataFolder
from loyalty.centre_config import CentreConfig
from loyalty.identification import IdentificationRule
from tests.central.test_cli import answer, run
from tests.central.till import NOON

TEXTS = """version = "2026-12"
[sms]
en = "Jutro may write to me."
sr-Cyrl = "Јутро сме да ми пише."
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "consents.toml"
    file.write_text(TEXTS, encoding="utf-8")
    return file


def ask(data: Path, *arguments: str) -> tuple[int, str]:
    return run("consents", *arguments, "--data", str(data))


def in_force(data: Path) -> CentreConfig:
    database = Database(DataFolder(data).database)
    published = database.read_now(configs.config_in_force)
    database.close()
    assert published is not None
    return published.config


def test_texts_are_put_in_force_beside_the_rules_shown_and_withdrawn(data: Path, file: Path) -> None:
    folder, database = DataFolder(data), Database(DataFolder(data).database)
    rules, key = (IdentificationRule(name="plastic", prefixes=("29",)),), folder.program_key()
    database.write_now(lambda c: configs.publish_rules(c, rules, key, NOON))
    database.close()

    assert "own texts" in ask(data, "show")[1]
    assert "2026-12, for sms" in ask(data, "publish", str(file))[1]
    shown = ask(data, "show")[1]
    assert "sms sr-Cyrl  Јутро сме да ми пише." in shown
    config = in_force(data)
    assert config.identification == rules
    assert config.consents is not None
    asked = config.consents.asked("sms", "sr-Cyrl")
    assert asked is not None
    assert (asked.text, asked.version) == ("Јутро сме да ми пише.", "2026-12-sr-Cyrl")
    assert config.consents.asked("sms", "hr") is None
    assert config.consents.asked("email", "en") is None

    assert answer("consents", "withdraw", "--data", str(data)) == (0, {"consents": None})
    assert in_force(data) == CentreConfig(identification=rules)


def test_another_text_under_a_version_that_was_published_is_refused(data: Path, file: Path) -> None:
    assert ask(data, "publish", str(file))[0] == 0
    assert ask(data, "publish", str(file))[0] == 0
    file.write_text(TEXTS.replace("may", "can"), encoding="utf-8")

    code, said = ask(data, "publish", str(file))

    assert code == 1
    assert "'2026-12' was published with other texts" in said
    assert "may write" in ask(data, "show")[1]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[sms]\nen = 'x'", 'no "version"'),
        ("version = 'x'", "at least|length >= 1"),
        ("version = 'A b'\n[sms]\nen = 'x'", "version"),
        ("version = '1'\n[SMS]\nen = 'x'", "texts"),
        ("version = '1'\n[sms]\nen = 5", "texts"),
        (f"version = '1'\n[sms]\nen = '{'x' * 501}'", "500"),
        ("version", "not TOML"),
    ],
)
def test_what_are_no_texts_is_refused_with_the_place(data: Path, file: Path, content: str, why: str) -> None:
    file.write_text(content)

    code, said = ask(data, "publish", str(file))

    assert code == 1
    assert any(one in said for one in why.split("|"))
