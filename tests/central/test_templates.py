"""Templates at the centre: published beside the rules, replaced by name, withdrawn, and as registers get them."""

from __future__ import annotations

from pathlib import Path

import pytest

from central import configs
from central.clock import utc_now
from central.db import tables
from central.db.database import Database
from central.folder import DataFolder
from loyalty.centre_config import MAX_TEMPLATES, CentreConfig, ConfigError, LayoutTemplate
from loyalty.identification import IdentificationRule
from tests.central.test_cli import answer, run

RULES = (IdentificationRule(name="plastic", prefixes=("29",), lengths=(13,)),)


def template(name: str, version: int = 1) -> LayoutTemplate:
    return LayoutTemplate(name=name, toml=f'name = "{name}"\nversion = {version}\n')


def file_of(folder: Path, content: str) -> str:
    file = folder / "template.toml"
    file.write_text(content, encoding="utf-8")
    return str(file)


def test_rules_and_templates_stay_when_the_other_is_published(data: Path) -> None:
    folder, database = DataFolder(data), Database(DataFolder(data).database)
    key = folder.program_key()

    database.write_now(lambda c: configs.publish_rules(c, RULES, key, utc_now()))
    database.write_now(lambda c: configs.publish_templates(c, [template("b"), template("a")], key, utc_now()))
    database.write_now(lambda c: configs.publish_templates(c, [template("b", version=2)], key, utc_now()))
    both = database.write_now(lambda c: configs.publish_rules(c, RULES, key, utc_now()))
    in_force = database.read_now(configs.config_in_force)
    database.close()

    assert both == CentreConfig(identification=RULES, templates=(template("a"), template("b", version=2)))
    assert in_force is not None
    assert in_force.config == both


def test_more_than_registers_take_are_refused_and_nothing_changes(data: Path) -> None:
    folder, database = DataFolder(data), Database(DataFolder(data).database)
    key = folder.program_key()
    many = [template(f"t{number}") for number in range(MAX_TEMPLATES + 1)]

    with pytest.raises(ConfigError, match="more than 32; withdraw"):
        database.write_now(lambda c: configs.publish_templates(c, many, key, utc_now()))

    assert database.read_now(configs.hash_in_force) is None
    database.close()


def test_a_template_is_published_shown_and_withdrawn(data: Path, tmp_path: Path) -> None:
    where = ("--data", str(data))
    text = '# the corner shop\nname = "corner"\nversion = 3\n'

    assert answer("template", "publish", *where, file_of(tmp_path, text))[1]["templates"] == ["corner"]
    assert answer("template", "show", *where)[1]["templates"] == ["corner"]
    assert run("template", "show", "corner", *where)[1] == text
    assert answer("template", "withdraw", "corner", *where)[1]["templates"] == []
    code, said = answer("template", "withdraw", "corner", *where)
    assert (code, "no template 'corner' is in force" in said["error"]) == (1, True)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("name = ", "not TOML"),
        ("version = 1\n", "no name"),
        ('name = "Corner Shop"\n', "templates"),
        (f'name = "long"\ndescription = "{"x" * 70_000}"\n', "longer than 65536 letters"),
    ],
)
def test_what_is_no_template_is_refused_with_the_file(data: Path, tmp_path: Path, content: str, why: str) -> None:
    file = file_of(tmp_path, content)

    code, said = answer("template", "publish", "--data", str(data), file)

    assert code == 1
    assert file in said["error"]
    assert why in said["error"]


def test_show_names_the_registers_that_refused_what_is_in_force(data: Path) -> None:
    folder, database = DataFolder(data), Database(DataFolder(data).database)
    database.write_now(lambda c: configs.publish_templates(c, [template("a")], folder.program_key(), utc_now()))
    database.write_now(lambda c: c.execute(tables.devices.insert().values(
        id="d", store="12", register="3", public_key="", enrolled_at=utc_now(), version="", platform="",
        templates_refused="receipt 7 is no longer read",
    )))  # fmt: skip
    database.close()

    code, text = run("template", "show", "--data", str(data))
    assert (code, text) == (0, "In force: a\nNot at store 12, register 3: receipt 7 is no longer read\n")
    _, shown = answer("template", "show", "--data", str(data))
    assert shown["refusals"] == [{"store": "12", "register": "3", "why": "receipt 7 is no longer read"}]
