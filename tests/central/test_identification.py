"""Identification rules at the centre: checked, published, shown, and as registers get them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from msgspec import UNSET
from sqlalchemy import Connection, insert

from central import configs
from central.clock import utc_now
from central.db import tables
from central.db.database import Database
from central.folder import DataFolder
from loyalty.centre_config import CentreConfig, config_hash
from loyalty.identification import IdentificationRule
from sync.signing import is_signed, public_key_text
from sync.wire import SignedConfig
from tests.central.conftest import RunningCentre
from tests.central.test_admin import Browser
from tests.central.test_cli import answer, run
from tests.central.till import RefusedError

PLASTIC = CentreConfig(identification=(IdentificationRule(name="plastic", prefixes=("29",), lengths=(13,)),))
NONE = CentreConfig(identification=())

RULES = """[[identification]]
name = "plastic"
prefixes = ["29"]
lengths = [13]
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    file = tmp_path / "rules.toml"
    file.write_text(RULES)
    return file


def test_a_published_config_is_signed_once_and_the_newest_publication_counts(data: Path) -> None:
    folder, database = DataFolder(data), Database(DataFolder(data).database)
    key = folder.program_key()
    assert database.read_now(configs.hash_in_force) is None
    assert database.read_now(configs.signed_config) is None

    first = database.write_now(lambda c: configs.publish(c, PLASTIC, key, utc_now()))
    second = database.write_now(lambda c: configs.publish(c, NONE, key, utc_now()))
    assert database.read_now(configs.hash_in_force) == second != first

    again = database.write_now(lambda c: configs.publish(c, PLASTIC, key, utc_now()))
    signed = database.read_now(configs.signed_config)
    in_force = database.read_now(configs.config_in_force)
    database.close()
    assert signed is not None
    assert in_force is not None
    assert again == first == signed.hash == config_hash(signed.config.encode())
    assert is_signed(signed.config.encode(), signed.signature, public_key_text(key))
    assert in_force.config == PLASTIC


def test_rules_are_checked_published_and_shown(data: Path, rules: Path) -> None:
    where = ("--data", str(data))
    code, shown = answer("identification", "show", *where)
    assert (code, shown) == (0, {"hash": None, "published_at": None, "identification": []})
    assert run("identification", "show", *where)[1] == "# No rules were published.\nidentification = []\n"

    code, checked = answer("identification", "check", str(rules))
    assert (code, checked["rules"], checked["warnings"]) == (0, 1, [])
    assert answer("identification", "show", *where)[1]["hash"] is None

    code, published = answer("identification", "publish", *where, str(rules))
    assert (code, published) == (0, checked)
    code, shown = answer("identification", "show", *where)
    assert (code, shown["hash"]) == (0, published["hash"])
    assert shown["identification"][0]["name"] == "plastic"

    # What is shown as text is a file that gives the same rules
    code, text = run("identification", "show", *where)
    assert code == 0
    assert text.startswith("# In force since ")
    assert answer("identification", "check", "-", stdin=text.encode()) == (0, checked)


def test_json_is_taken_as_well(data: Path) -> None:
    document = json.dumps({"identification": [{"name": "plastic", "prefixes": ["29"], "lengths": [13]}]}).encode()

    code, published = answer("identification", "publish", "--data", str(data), "-", stdin=document)

    assert (code, published["rules"]) == (0, 1)


def test_a_warning_does_not_keep_rules_from_being_published(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(RULES + '[[identification]]\nname = "hidden"\nprefixes = ["291"]\nlengths = [13]\n')

    code, text = run("identification", "publish", "--data", str(data), str(file))

    assert code == 0
    assert "In force: 2," in text
    assert "same codes" in text


@pytest.mark.parametrize("command", [("check",), ("publish", "--data", "{data}")], ids=lambda command: command[0])
def test_wrong_rules_are_refused_by_their_place_and_nothing_is_published(
    data: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(RULES + '[[identification]]\nname = "gold"\nprefix = "28"\n')

    arguments = [part.format(data=data) for part in command]
    code, refused = answer("identification", *arguments, str(file))

    assert code == 1
    assert "rule 2 'gold', prefix" in refused["error"]
    assert answer("identification", "show", "--data", str(data))[1]["hash"] is None


def test_without_a_file_or_a_centre_it_says_so(tmp_path: Path, rules: Path) -> None:
    assert answer("identification", "check", str(tmp_path / "absent.toml"))[0] == 2
    code, refused = answer("identification", "publish", "--data", str(tmp_path / "none"), str(rules))
    assert code == 3
    assert "tillside-central init" in refused["error"]


async def test_a_heartbeat_names_the_config_and_the_register_fetches_it(centre: RunningCentre) -> None:
    till = await centre.till()
    assert (await till.heartbeat()).config is UNSET
    with pytest.raises(RefusedError) as refused:
        await till.get("/v1/config", SignedConfig)
    assert refused.value.status == 404

    hashed = centre.write(lambda c: configs.publish(c, PLASTIC, centre.folder.program_key(), utc_now()))

    assert (await till.heartbeat()).config == hashed
    signed = await till.get("/v1/config", SignedConfig)
    assert signed.hash == hashed
    assert is_signed(signed.config.encode(), signed.signature, public_key_text(centre.folder.program_key()))


async def test_the_admin_pages_list_the_rules_in_force(centre: RunningCentre) -> None:
    browser = Browser(centre)
    await browser.open(centre.ready.open)
    assert "No identification rules" in (await browser.get("/"))[1]

    hostile = IdentificationRule(name="<b>gold</b>", prefixes=("29",), lengths=(13,))
    config = CentreConfig(identification=(hostile,))
    centre.write(lambda c: configs.publish(c, config, centre.folder.program_key(), utc_now()))

    _, page = await browser.get("/")
    assert "&lt;b&gt;gold&lt;/b&gt;" in page
    assert "<b>gold</b>" not in page


async def test_rules_that_this_version_would_not_publish_are_said_to_be_so(centre: RunningCentre) -> None:
    def work(connection: Connection) -> None:
        connection.execute(
            insert(tables.configs).values(hash="0" * 64, document=b'{"identification":[{}]}', signature="")
        )
        connection.execute(insert(tables.config_publications).values(config="0" * 64, published_at=utc_now()))

    centre.write(work)
    browser = Browser(centre)
    await browser.open(centre.ready.open)

    status, page = await browser.get("/")
    code, refused = await asyncio.to_thread(answer, "identification", "show", "--data", str(centre.folder.path))

    assert (status, code) == (200, 1)
    for text in (page, refused["error"]):
        assert "rule 1" in text
        assert "is missing" in text
