"""`tillside-central template`: the layouts of tills, as templates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from central import configs, operations
from central.cli.command import Data, Json, fail, opened, read_input, say
from central.clock import utc_now
from central.template_files import template_from_file
from loyalty.centre_config import CentreConfig, ConfigError, LayoutTemplate, config_hash, config_json

app = typer.Typer()


@app.command("publish")
def template_publish(
    data: Data,
    files: Annotated[list[Path], typer.Argument(help="Template files, as `tillside template test` found them good.")],
    as_json: Json = False,
) -> None:
    """Sign templates and put them in force, in place of those of the same names; each register tries them first."""
    read = [_template(file, as_json) for file in files]
    with opened(data, as_json) as (folder, database):
        key = folder.program_key()
        config = database.write_now(lambda connection: configs.publish_templates(connection, read, key, utc_now()))
    _say_templates(as_json, config)
    if not as_json:
        typer.echo("Each register tries them first; `tillside template check FILE` says beforehand what none can read.")


@app.command("withdraw")
def template_withdraw(
    data: Data, name: Annotated[str, typer.Argument(help="The template's name.")], as_json: Json = False
) -> None:
    """Take a template out of force."""
    with opened(data, as_json) as (folder, database):
        key = folder.program_key()
        try:
            config = database.write_now(lambda connection: configs.withdraw_template(connection, name, key, utc_now()))
        except LookupError:
            fail(as_json, f"no template {name!r} is in force; `tillside-central template show` names those that are")
    _say_templates(as_json, config)


@app.command("show")
def template_show(
    data: Data,
    name: Annotated[str | None, typer.Argument(help="Print this one's file; all names without it.")] = None,
    as_json: Json = False,
) -> None:
    """Name the templates in force and the registers that refused them, or print one as it was published."""
    with opened(data, as_json) as (_, database):
        published, refusals = database.read_now(
            lambda connection: (configs.config_in_force(connection), operations.template_refusals(connection))
        )
    config = published.config if published is not None else CentreConfig(identification=())
    if name is None:
        _say_templates(as_json, config, refusals)
        return
    template = next((one for one in config.templates if one.name == name), None)
    if template is None:
        fail(as_json, f"no template {name!r} is in force")
    say(as_json, template, template.toml.rstrip())


def _template(file: Path, as_json: bool) -> LayoutTemplate:
    try:
        return template_from_file(read_input(file, as_json))
    except ConfigError as error:
        fail(as_json, f"{file}: {error}")


def _say_templates(as_json: bool, config: CentreConfig, refusals: tuple[operations.TemplateRefusal, ...] = ()) -> None:
    names = tuple(template.name for template in config.templates)
    report = operations.TemplatesReport(hash=config_hash(config_json(config)), templates=names, refusals=refusals)
    lines = [f"In force: {', '.join(names) or 'no template'}"]
    lines += [f"Not at store {one.store}, register {one.register}: {one.why}" for one in refusals]
    say(as_json, report, "\n".join(lines))
