"""Connectors: one line of a settings file stands for the settings of a POS, and the file's own words win."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.connector import Connector, connector_named, connector_names, laid_over, still_to_say
from config.load import load_settings
from config.settings import SettingsError

DOCUMENTS = Path(__file__).parents[2] / "docs" / "connectors"
# What the operator says beside the connector's name, where it needs anything said.
SAID = {
    "esir-files": '[[receipts]]\nname = "answers"\nfolder = "out"\n',
    "sors-kasa-database": (
        '[[receipts]]\nname = "database"\ndatabase = "sqlite:///shop.db"\n'
        'query = "select * from sales where no > :high_water"\nhigh_water = "no"\nmapping = "sales.toml"\n'
    ),
}


def written(folder: Path, name: str, text: str = "") -> Path:
    file = folder / "tillside.toml"
    file.write_text(f'[register]\nconnector = "{name}"\n{text}', encoding="utf-8")
    return file


@pytest.mark.parametrize("name", connector_names())
def test_one_line_is_a_register_that_can_start(name: str, tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, name, SAID.get(name, "")), environment={})

    assert settings.register.currency == "RSD"
    assert settings.register.time_zone == "Europe/Belgrade"
    assert len(settings.receipts) == 1


@pytest.mark.parametrize("name", connector_names())
def test_its_page_says_what_is_verified_and_what_is_assumed_in_the_same_words(name: str) -> None:
    texts = [page.read_text(encoding="utf-8") for page in DOCUMENTS.glob("*.md")]
    (page,) = [text for text in texts if f'connector = "{name}"' in text and "| assumed |" in text]
    connector = connector_named(name)

    assert all(f"| verified | {sentence} |" in page for sentence in connector.verified)
    assert all(f"| assumed | {sentence} |" in page for sentence in connector.assumed)
    assert connector.verified
    assert connector.assumed


@pytest.mark.parametrize("name", sorted(SAID))
def test_what_only_the_operator_knows_is_asked_for(name: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as error:
        load_settings(written(tmp_path, name), environment={})

    section, table, key = connector_named(name).to_say[0].split(".")
    assert f"[[{section}]] {table!r}, {key}" in str(error.value)
    assert "connector" in str(error.value)


def test_the_files_own_words_win_key_by_key(tmp_path: Path) -> None:
    said = (
        'currency = "EUR"\n[[receipts]]\nname = "paper"\nspool = "elsewhere"\n'
        '[[scanners]]\nname = "counter"\nport = "COM3"\n'
    )

    settings = load_settings(written(tmp_path, "skypos", said), environment={})

    assert settings.register.currency == "EUR"
    assert settings.register.time_zone == "Europe/Belgrade"
    assert [source.spool for source in settings.receipts] == [tmp_path / "elsewhere"]
    assert [scanner.name for scanner in settings.scanners] == ["counter"]


def test_tables_of_the_file_come_before_those_of_the_connector() -> None:
    known = {"identification": [{"name": "cards", "prefixes": ["29"]}, {"name": "codes", "kind": "goods"}]}
    connector = Connector(title="a till", verified=(), assumed=(), to_say=(), settings=known)

    merged = laid_over(connector, {"identification": [{"name": "own"}, {"name": "cards", "lengths": [13]}]})

    assert merged["identification"] == [
        {"name": "own"},
        {"name": "cards", "prefixes": ["29"], "lengths": [13]},
        {"name": "codes", "kind": "goods"},
    ]
    assert connector.settings == known


def test_a_key_that_is_said_in_another_table_is_still_to_say() -> None:
    connector = Connector(title="a till", verified=(), assumed=(), to_say=("receipts.files.folder",), settings={})

    missing = still_to_say(connector, {"receipts": [{"name": "files"}, {"name": "others", "folder": "out"}]})

    assert [(item.table, item.key) for item in missing] == [("files", "folder")]


def test_an_unknown_connector_is_told_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as error:
        load_settings(written(tmp_path, "skypos2"), environment={})

    assert "[register] connector" in str(error.value)
    assert "Did you mean 'skypos'?" in str(error.value)


def test_the_environment_may_name_it(tmp_path: Path) -> None:
    file = tmp_path / "tillside.toml"
    file.write_text("", encoding="utf-8")

    settings = load_settings(file, environment={"TILLSIDE_REGISTER__CONNECTOR": "skypos"})

    assert settings.register.currency == "RSD"


def test_a_second_source_beside_the_connectors_is_told_how_to_speak_of_both(tmp_path: Path) -> None:
    # given a source of one's own, without a word of the one that the connector brings
    own = '[[receipts]]\nname = "export"\nfolder = "/srv/export"\n'

    with pytest.raises(SettingsError) as error:
        load_settings(written(tmp_path, "skypos", own), environment={})

    # then the message names the connector, its source and what to write, and that is enough
    told = str(error.value)
    assert all(word in told for word in ("authoritative", "connector 'skypos'", "'paper'", "[[receipts]]"))
    paper = '[[receipts]]\nname = "paper"\nauthoritative = true\n'
    settings = load_settings(written(tmp_path, "skypos", own + paper), environment={})
    assert [(source.name, source.authoritative) for source in settings.receipts] == [("export", False), ("paper", True)]
