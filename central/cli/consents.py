"""`tillside-central consents`: the chain's own texts by which people are asked whether they may be written to."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import typer
from msgspec import Struct

from central import configs
from central.cli.command import Data, File, Json, fail, opened, read_input, say
from central.clock import utc_now
from loyalty.centre_config import ConfigError, consents_from
from loyalty.consent_texts import ConsentTexts

app = typer.Typer()


class ConsentsReport(Struct, frozen=True, kw_only=True):
    """By which texts people are asked; None where by the pages' own."""

    consents: ConsentTexts | None


@app.command("publish")
def consents_publish(data: Data, file: File, as_json: Json = False) -> None:
    """Ask people by the texts of a TOML file from now on, at every register and on the join page."""
    texts = _texts(file, as_json)
    with opened(data, as_json) as (folder, database):
        key = folder.program_key()
        database.write_now(lambda connection: configs.publish_consents(connection, texts, key, utc_now()))
    say(as_json, ConsentsReport(consents=texts), f"In force: {_told(texts)}")


@app.command("withdraw")
def consents_withdraw(data: Data, as_json: Json = False) -> None:
    """Ask people by the pages' own texts again."""
    with opened(data, as_json) as (folder, database):
        key = folder.program_key()
        database.write_now(lambda connection: configs.publish_consents(connection, None, key, utc_now()))
    say(as_json, ConsentsReport(consents=None), "People are asked by the pages' own texts.")


@app.command("show")
def consents_show(data: Data, as_json: Json = False) -> None:
    """Print the texts in force."""
    with opened(data, as_json) as (_, database):
        texts = database.read_now(configs.consents_in_force)
    if texts is None:
        said = "People are asked by the pages' own texts."
    else:
        lines = [
            f"{channel} {language}  {text}"
            for channel, by_language in texts.texts.items()
            for language, text in by_language.items()
        ]
        said = "\n".join([f"In force: {_told(texts)}", *lines])
    say(as_json, ConsentsReport(consents=texts), said)


def _told(texts: ConsentTexts) -> str:
    return f"{texts.version}, for {', '.join(texts.texts)}"


def _texts(file: Path, as_json: bool) -> ConsentTexts:
    """`version` and a table for each channel, with a text for each language."""
    try:
        values = tomllib.loads(read_input(file, as_json).decode())
        version = values.pop("version", msgspec.UNSET)
        if version is msgspec.UNSET:
            raise ConfigError('there is no "version"; name these texts, as version = "2026-12"')
        return consents_from({"version": version, "texts": values})
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        fail(as_json, f"{file}: not TOML in UTF-8: {error}; correct that line")
    except ConfigError as error:
        fail(as_json, f"{file}: {error}")
