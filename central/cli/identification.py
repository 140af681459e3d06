"""`tillside-central identification`: the rules of which codes are members'."""

from __future__ import annotations

from pathlib import Path

import typer

from central import configs, operations
from central.cli.command import Data, File, Json, fail, opened, read_input, say
from central.clock import utc_now
from central.rules_file import config_from_file, rules_toml
from loyalty.centre_config import CentreConfig, ConfigError, config_hash, config_json, config_warnings

app = typer.Typer()


@app.command("check")
def identification_check(file: File, as_json: Json = False) -> None:
    """Say whether identification rules can be published, and what in them is probably not meant."""
    config = _config(file, as_json)
    _say_rules(as_json, "The rules are good:", config)


@app.command("publish")
def identification_publish(data: Data, file: File, as_json: Json = False) -> None:
    """Sign identification rules and put them in force, in place of those before, on every register."""
    rules = _config(file, as_json).identification
    with opened(data, as_json) as (folder, database):
        key = folder.program_key()
        config = database.write_now(lambda connection: configs.publish_rules(connection, rules, key, utc_now()))
    _say_rules(as_json, "In force:", config)


@app.command("show")
def identification_show(data: Data, as_json: Json = False) -> None:
    """Print the identification rules in force, as a file that can be edited and published again."""
    with opened(data, as_json) as (_, database):
        shown = database.read_now(operations.rules_in_force)
    if shown.published_at is None:
        head = "# No rules were published."
    else:
        head = f"# In force since {shown.published_at:%Y-%m-%d %H:%M} UTC: {shown.hash}"
    say(as_json, shown, f"{head}\n{rules_toml(shown.identification)}".rstrip())


def _config(file: Path, as_json: bool) -> CentreConfig:
    try:
        return config_from_file(read_input(file, as_json))
    except ConfigError as error:
        fail(as_json, str(error))


def _say_rules(as_json: bool, head: str, config: CentreConfig) -> None:
    report = operations.RulesReport(
        hash=config_hash(config_json(config)),
        rules=len(config.identification),
        warnings=tuple(map(str, config_warnings(config))),
    )
    say(as_json, report, "\n".join([f"{head} {report.rules}, {report.hash}", *report.warnings]))
