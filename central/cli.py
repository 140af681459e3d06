"""`tillside-central`: the centre's command line.

Owns arguments, exit codes and what is printed. Every command has `--json`. Exit codes: 0 done, 1 a
problem was found, 2 usage, 3 not set up here.
"""

from __future__ import annotations

import asyncio
import io
import re
import secrets
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec
import qrcode
import structlog
import typer
from msgspec import Struct
from sqlalchemy.exc import OperationalError

from central import audit, configs, devices, item_maps, operations, unmapped
from central.cards import CardError
from central.certificates import ca_sha256
from central.clock import utc_now
from central.db.database import Database, DatabaseError
from central.folder import Address, DataFolder, FolderError
from central.members import MembersFileError, UnknownMemberError
from central.rules_file import config_from_file, rules_toml
from central.server import Ready, Server
from central.setup import InitOptions, initialise
from central.stock import StockFileError
from central.template_files import template_from_file
from loyalty.centre_config import (
    CentreConfig,
    ConfigError,
    LayoutTemplate,
    config_hash,
    config_json,
    config_warnings,
)
from loyalty.item_map import (
    ItemMap,
    ItemMapError,
    checked,
    kinds_given,
    warnings_of,
)
from loyalty.item_map_file import item_map_from_file, item_map_toml
from loyalty.item_matching import ItemMatcher
from loyalty.money import to_major
from loyalty.program import Program, ProgramError, program_from_json, program_hash, program_warnings
from sync.enrolment import AddressRefusedError

if sys.platform != "win32":
    import uvloop

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="The centre of Tillside: one ledger for every register."
)
enrolment = typer.Typer(no_args_is_help=True, help="Let a register in.")
program = typer.Typer(no_args_is_help=True, help="Check and publish the loyalty program.")
identification = typer.Typer(no_args_is_help=True, help="Check and publish the rules of which codes are members'.")
items = typer.Typer(no_args_is_help=True, help="Check and publish the map of what the goods are.")
templates = typer.Typer(no_args_is_help=True, help="Publish the layouts of tills, as templates.")
members = typer.Typer(no_args_is_help=True, help="Import, link and show members.")
cards = typer.Typer(no_args_is_help=True, help="Hand out, block and replace cards.")
registers = typer.Typer(no_args_is_help=True, help="List registers and shut one out.")
accounts = typer.Typer(no_args_is_help=True, help="Check and export the ledger.")
app.add_typer(enrolment, name="enrolment")
app.add_typer(program, name="program")
app.add_typer(identification, name="identification")
app.add_typer(items, name="items")
app.add_typer(templates, name="template")
app.add_typer(members, name="members")
app.add_typer(cards, name="cards")
app.add_typer(registers, name="registers")
app.add_typer(accounts, name="ledger")

PROBLEM, USAGE = 1, 2
# A code left lying about must not open a register months later.
MAX_VALID_FOR = timedelta(days=30)
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}

Data = Annotated[Path, typer.Option("--data", help="The centre's data folder.", envvar="TILLSIDE_CENTRE_DATA")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
File = Annotated[Path, typer.Argument(help="A file, or - for standard input.", allow_dash=True)]
Files = Annotated[
    list[Path],
    typer.Argument(help="Files, or - for standard input; their entries count in this order.", allow_dash=True),
]
Number = Annotated[str, typer.Argument(help="Any number of the card, in any way of writing it.")]


def main() -> None:
    """Entry point of `tillside-central`."""
    app()


@app.command()
def init(
    *,
    data: Data,
    listen: Annotated[str, typer.Option(help="Where registers connect, over TLS; port 0 lets the system choose.")] = "",
    admin: Annotated[str, typer.Option(help="Where the admin pages are, on loopback.")] = "",
    host: Annotated[list[str] | None, typer.Option(help="A name or address registers use; may be repeated.")] = None,
    brand: Annotated[str, typer.Option(help="The shop's name, shown on the admin pages.")] = "",
    as_json: Json = False,
) -> None:
    """Make a centre, or bring the one that is there to this version; keys that exist are kept."""
    options = InitOptions(listen=listen or None, admin=admin or None, hosts=tuple(host or ()), brand=brand or None)
    with _failures(as_json):
        done = initialise(data, options, utc_now())
    _say(as_json, done, f"The centre is ready in {data}.\nStart it: tillside-central serve --data {data}")


@app.command()
def serve(data: Data, as_json: Json = False) -> None:
    """Serve registers and the admin pages until SIGTERM or Ctrl-C. Logs are JSON lines on standard error."""

    def ready(addresses: Ready) -> None:
        text = f"Registers connect to {addresses.device_api}\nAdmin pages: {addresses.open} (opens once)"
        _say(as_json, addresses, text)
        sys.stdout.flush()

    async def run(folder: DataFolder) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await Server(folder, clock=utc_now).run(ready, stop)

    with _opened(data, as_json) as (folder, _):
        pass  # what is wrong with the folder is said as by any command, before the log begins
    _log_json()
    with _failures(as_json):
        _run_fast(run(folder))


@app.command(name="open")
def open_admin(data: Data, as_json: Json = False) -> None:
    """Print a link that opens the admin pages once, within five minutes."""
    with _opened(data, as_json) as (folder, database):
        admin = folder.serving()["admin"]
        link = database.write_now(
            lambda connection: operations.admin_link(connection, admin, utc_now(), secrets.token_bytes)
        )
    _say(as_json, link, f"{link.open}\nIt opens once, until {link.expires_at:%H:%M:%S} UTC.")


@enrolment.command("create")
def enrolment_create(
    *,
    data: Data,
    store: Annotated[str, typer.Option(help="The store's number or name.")],
    register: Annotated[str, typer.Option(help="The register's number in the store.")],
    valid_for: Annotated[str, typer.Option(help="How long the code can be used: 30m, 24h, 7d.")] = "24h",
    url: Annotated[str, typer.Option(help="The address registers use, if it is not the one served.")] = "",
    as_json: Json = False,
) -> None:
    """Print a one-time code, and its QR, that lets one register in."""
    life = _duration(valid_for, as_json)
    with _opened(data, as_json) as (folder, database):
        address, pinned = url or _device_url(folder), ca_sha256(folder)
        created = database.write_now(
            lambda connection: operations.create_enrolment(
                connection,
                store=store,
                register=register,
                valid_for=life,
                url=address,
                ca_sha256=pinned,
                now=utc_now(),
                randomness=secrets.token_bytes,
            )
        )
    text = (
        f"{_qr(created.code)}\n{created.code}\n\n"
        f"Store {store}, register {register}; usable once, until {created.expires_at:%Y-%m-%d %H:%M} UTC.\n"
        "At the register: tillside enroll CODE"
    )
    _say(as_json, created, text)


@program.command("check")
def program_check(file: File, as_json: Json = False) -> None:
    """Say whether a program can be published, and what in it is probably not meant."""
    checked = _program(file, as_json)
    report = operations.ProgramReport(hash=program_hash(checked), warnings=program_warnings(checked))
    _say(as_json, report, "\n".join([f"The program is good: {report.hash}", *report.warnings]))


@program.command("publish")
def program_publish(data: Data, file: File, as_json: Json = False) -> None:
    """Sign a program and put it in force; receipts that waited for one are evaluated."""
    checked = _program(file, as_json)
    with _opened(data, as_json) as (folder, database):
        key = folder.program_key()
        try:
            hashed = database.write_now(lambda connection: operations.publish(connection, checked, key, utc_now()))
        except ProgramError as error:
            _fail(as_json, str(error))
    report = operations.ProgramReport(hash=hashed, warnings=program_warnings(checked))
    _say(as_json, report, "\n".join([f"In force: {hashed}", *report.warnings]))


@identification.command("check")
def identification_check(file: File, as_json: Json = False) -> None:
    """Say whether identification rules can be published, and what in them is probably not meant."""
    config = _config(file, as_json)
    _say_rules(as_json, "The rules are good:", config)


@identification.command("publish")
def identification_publish(data: Data, file: File, as_json: Json = False) -> None:
    """Sign identification rules and put them in force, in place of those before, on every register."""
    rules = _config(file, as_json).identification
    with _opened(data, as_json) as (folder, database):
        key = folder.program_key()
        config = database.write_now(lambda connection: configs.publish_rules(connection, rules, key, utc_now()))
    _say_rules(as_json, "In force:", config)


@identification.command("show")
def identification_show(data: Data, as_json: Json = False) -> None:
    """Print the identification rules in force, as a file that can be edited and published again."""
    with _opened(data, as_json) as (_, database):
        shown = database.read_now(operations.rules_in_force)
    if shown.published_at is None:
        head = "# No rules were published."
    else:
        head = f"# In force since {shown.published_at:%Y-%m-%d %H:%M} UTC: {shown.hash}"
    _say(as_json, shown, f"{head}\n{rules_toml(shown.identification)}".rstrip())


@items.command("check")
def items_check(files: Files, as_json: Json = False) -> None:
    """Say whether an item map can be published, and what in it is probably not meant."""
    _say_items(as_json, "The map is good:", *_item_map(files, as_json))


@items.command("publish")
def items_publish(data: Data, files: Files, as_json: Json = False) -> None:
    """Sign an item map and put it in force, in place of the one before, on every register."""
    matcher, unfilled = _item_map(files, as_json)
    with _opened(data, as_json) as (folder, database):
        key = folder.program_key()
        database.write_now(lambda connection: item_maps.publish(connection, matcher, key, utc_now()))
    _say_items(as_json, "In force:", matcher, unfilled)


@items.command("show")
def items_show(data: Data, as_json: Json = False) -> None:
    """Print the item map in force, as a file that can be edited and published again."""
    with _opened(data, as_json) as (_, database):
        shown = database.read_now(operations.item_map_in_force)
    if shown.published_at is None:
        head = "# No item map was published."
    else:
        head = f"# In force since {shown.published_at:%Y-%m-%d %H:%M} UTC: {shown.hash}"
    _say(as_json, shown, f"{head}\n{item_map_toml(ItemMap(items=shown.items))}".rstrip())


@items.command("report")
def items_report(
    *,
    data: Data,
    top: Annotated[int, typer.Option(min=1, max=unmapped.MAX_TOP, help="Goods of each currency.")] = 50,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a list to fill in and publish.")] = False,
    as_json: Json = False,
) -> None:
    """Print the goods that the map in force says nothing of, those with the highest turnover first."""
    with _opened(data, as_json) as (_, database):
        report = database.read_now(lambda connection: unmapped.report(connection, top))
    if as_csv and not as_json:
        sys.stdout.write(unmapped.report_csv(report.unmapped))
        return
    rows = [
        f"{to_major(one.turnover_minor, one.currency):>14} {one.currency}  {one.lines:>7}  {_goods_text(one.goods)}"
        for one in report.unmapped
    ]
    _say(as_json, report, "\n".join(["      turnover        lines  goods", *rows]) if rows else "Nothing is unmapped.")


@templates.command("publish")
def template_publish(
    data: Data,
    files: Annotated[list[Path], typer.Argument(help="Template files, as `tillside template test` found them good.")],
    as_json: Json = False,
) -> None:
    """Sign templates and put them in force, in place of those of the same names; each register tries them first."""
    read = [_template(file, as_json) for file in files]
    with _opened(data, as_json) as (folder, database):
        key = folder.program_key()
        config = database.write_now(lambda connection: configs.publish_templates(connection, read, key, utc_now()))
    _say_templates(as_json, config)
    if not as_json:
        typer.echo("Each register tries them first; `tillside template check FILE` says beforehand what none can read.")


@templates.command("withdraw")
def template_withdraw(
    data: Data, name: Annotated[str, typer.Argument(help="The template's name.")], as_json: Json = False
) -> None:
    """Take a template out of force."""
    with _opened(data, as_json) as (folder, database):
        key = folder.program_key()
        try:
            config = database.write_now(lambda connection: configs.withdraw_template(connection, name, key, utc_now()))
        except LookupError:
            _fail(as_json, f"no template {name!r} is in force; `tillside-central template show` names those that are")
    _say_templates(as_json, config)


@templates.command("show")
def template_show(
    data: Data,
    name: Annotated[str | None, typer.Argument(help="Print this one's file; all names without it.")] = None,
    as_json: Json = False,
) -> None:
    """Name the templates in force, or print one as it was published."""
    with _opened(data, as_json) as (_, database):
        published = database.read_now(configs.config_in_force)
    config = published.config if published is not None else CentreConfig(identification=())
    if name is None:
        _say_templates(as_json, config)
        return
    template = next((one for one in config.templates if one.name == name), None)
    if template is None:
        _fail(as_json, f"no template {name!r} is in force")
    _say(as_json, template, template.toml.rstrip())


@members.command("import")
def members_import(data: Data, file: File, as_json: Json = False) -> None:
    """Add or change members from a JSON file; all of them or none."""
    with _opened(data, as_json) as (_, database):
        document = _read(file, as_json)
        report = database.write_now(lambda connection: operations.import_file(connection, document, utc_now()))
    _say(
        as_json,
        report,
        f"{report.added} added, {report.changed} changed, {report.unchanged} unchanged; "
        f"{report.receipts} receipts found their member",
    )


@members.command("link")
def members_link(
    *,
    data: Data,
    member: Annotated[str, typer.Argument(help="The member's id.")],
    code: Annotated[str, typer.Argument(help="The card code, in any way of writing it.")],
    printed: Annotated[str, typer.Option(help="The number printed on the same card.")] = "",
    alias_of: Annotated[str, typer.Option(help="A number of the card that CODE is another number of.")] = "",
    as_json: Json = False,
) -> None:
    """Let a code name a member; what was bought under it before earns now."""
    with _opened(data, as_json) as (_, database):
        linked = database.write_now(
            lambda connection: operations.link(connection, member, code, utc_now(), printed=printed, alias_of=alias_of)
        )
    _say(as_json, linked, f"Linked. {linked.receipts} receipts gave {linked.points} points.")


@members.command("show")
def members_show(
    data: Data,
    which: Annotated[str, typer.Argument(help="A code or a member's id.")],
    as_json: Json = False,
) -> None:
    """Show a member with cards, balance and ledger."""
    with _opened(data, as_json) as (_, database):
        shown = database.read_now(lambda connection: operations.show(connection, which, utc_now()))
    balance = shown.member.balance
    codes = [f"{one.kind} {one.code}  {one.state}" for one in shown.member.identifiers]
    lines = [f"{entry.points:>8}  {entry.rule}  {entry.why}" for entry in shown.entries]
    head = f"{shown.member.member}  {shown.member.tier or 'no tier'}  confirmed {balance.confirmed}"
    _say(as_json, shown, "\n".join([f"{head}  pending {balance.pending}", *codes, *lines]))


@cards.command("import")
def cards_import(data: Data, file: File, as_json: Json = False) -> None:
    """Take in printed cards that nobody has yet, from lines CODE[,PRINTED] or JSON; all of them or none."""
    with _opened(data, as_json) as (_, database):
        document = _read(file, as_json)
        report = database.write_now(lambda connection: operations.import_stock(connection, document, utc_now()))
    _say(
        as_json,
        report,
        f"{report.added} added, {report.changed} changed, {report.unchanged} unchanged; "
        f"{report.receipts} receipts found their member",
    )


@cards.command("issue")
def cards_issue(
    data: Data,
    code: Number,
    member: Annotated[str, typer.Argument(help="The member's id.")],
    as_json: Json = False,
) -> None:
    """Hand a card out to a member; what was bought under it before earns now."""
    with _opened(data, as_json) as (_, database):
        done = database.write_now(lambda connection: operations.issue(connection, code, member, utc_now()))
    _say(as_json, done, _card_text(done.card, done))


@cards.command("block")
def cards_block(
    *,
    data: Data,
    code: Number,
    reason: Annotated[str, typer.Option(help="Why, for whoever looks at it later.")] = "",
    as_json: Json = False,
) -> None:
    """Let a card be accepted no more, from now on, by any of its numbers."""
    with _opened(data, as_json) as (_, database):
        done = database.write_now(lambda connection: operations.block(connection, code, reason, utc_now()))
    _say(as_json, done, _card_text(done.card))


@cards.command("unblock")
def cards_unblock(data: Data, code: Number, as_json: Json = False) -> None:
    """Let a blocked card be what it was; receipts held for it are booked."""
    with _opened(data, as_json) as (_, database):
        done = database.write_now(lambda connection: operations.unblock(connection, code, utc_now()))
    _say(as_json, done, _card_text(done.card, done))


@cards.command("replace")
def cards_replace(
    data: Data,
    old: Annotated[str, typer.Argument(help="Any number of the card the member has.")],
    new: Annotated[str, typer.Argument(help="A number of the card that takes its place.")],
    as_json: Json = False,
) -> None:
    """Give a member another card; the old one still earns, and the cashier is told to take it in."""
    with _opened(data, as_json) as (_, database):
        done = database.write_now(lambda connection: operations.replace(connection, old, new, utc_now()))
    _say(as_json, done, _card_text(done.card, done))


@cards.command("show")
def cards_show(data: Data, code: Number, as_json: Json = False) -> None:
    """Show a card: its numbers, its state, whose it is and what was done to it."""
    with _opened(data, as_json) as (_, database):
        shown = database.read_now(lambda connection: operations.card(connection, code))
    _say(as_json, shown, _card_text(shown))


@registers.command("list")
def registers_list(data: Data, as_json: Json = False) -> None:
    """List the registers with last contact and queue depth."""
    with _opened(data, as_json) as (_, database):
        listed = database.read_now(operations.registers)
    lines = [
        f"{one.device}  store {one.store} register {one.register}  queued {one.queued}"
        f"  {'revoked' if one.revoked else one.last_contact or 'never seen'}"
        for one in listed.registers
    ]
    _say(as_json, listed, "\n".join(lines) or "No register is enrolled.")


@registers.command("revoke")
def registers_revoke(
    data: Data, device: Annotated[str, typer.Argument(help="The device's id.")], as_json: Json = False
) -> None:
    """Refuse a register from now on and shut its live connection; a new code lets it in again."""
    with _opened(data, as_json) as (_, database):
        found = database.write_now(lambda connection: devices.revoke(connection, device, utc_now()))
    if not found:
        _fail(as_json, f"there is no device {device}; `tillside-central registers list` shows them")
    _say(as_json, operations.Revoked(device=device), f"{device} is refused from now on.")


@accounts.command("check")
def ledger_check(data: Data, as_json: Json = False) -> None:
    """Count receipts, entries and points, and fold every balance anew; 1 where one differs."""
    with _opened(data, as_json) as (_, database):
        found = database.read_now(lambda connection: audit.check(connection, utc_now()))
    text = f"{found.receipts} receipts, {found.entries} entries, {found.points} points"
    wrong = [f"{one.member}: kept {one.held}, folded {one.folded}" for one in found.balance_mismatch]
    _say(as_json, found, "\n".join([text, *wrong]))
    if wrong:
        raise typer.Exit(PROBLEM)


@accounts.command("export")
def ledger_export(data: Data, as_json: Json = False) -> None:
    """Print every receipt, entry and balance, one JSON object a line."""
    with _opened(data, as_json) as (_, database):
        lines = database.read_now(lambda connection: list(audit.lines(connection)))
    for line in lines:
        typer.echo(msgspec.json.encode(line).decode())


# ---- around the commands


def _say(as_json: bool, document: Struct, text: str) -> None:
    typer.echo(msgspec.json.encode(document).decode() if as_json else text)


def _goods_text(goods: unmapped.Goods | None) -> str:
    """Goods on one line; nothing of it steers the terminal."""
    if goods is None:
        return f"(all beyond {unmapped.MAX_GOODS} different goods)"
    facts = {
        "SKU": goods.sku,
        "GTIN": goods.gtin,
        "tax": ", ".join(goods.tax_labels),
        "department": goods.department,
    }
    text = "  ".join([goods.name, *(f"{what} {value}" for what, value in facts.items() if value)])
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def _card_text(card: operations.CardShown, done: operations.CardDone | None = None) -> str:
    numbers = ", ".join(f"{number.code}{' (printed)' if number.printed else ''}" for number in card.numbers)
    lines = [f"{numbers}  {card.state}  {card.member or 'nobody has it'}"]
    if card.blocked_at is not None:
        lines.append(f"blocked {card.blocked_at:%Y-%m-%d %H:%M} UTC: {card.blocked_because or 'no reason given'}")
    if card.replaced_by is not None:
        lines.append(f"replaced by {card.replaced_by}")
    if card.held:
        lines.append(f"receipts kept for it: {card.held}")
    if done is not None and done.receipts:
        lines.append(f"{done.receipts} receipts gave {done.points} points")
    lines += [
        f"{change.changed_at:%Y-%m-%d %H:%M} UTC  {change.what}  {change.member or ''}  {change.detail or ''}".rstrip()
        for change in card.changes
    ]
    return "\n".join(lines)


def _fail(as_json: bool, message: str, code: int = PROBLEM) -> NoReturn:
    if as_json:
        typer.echo(msgspec.json.encode({"error": message}).decode())
    else:
        typer.echo(message, err=True)
    raise typer.Exit(code)


@contextmanager
def _failures(as_json: bool) -> Iterator[None]:
    """Named errors become one line and an exit code."""
    try:
        yield
    except (
        ConfigError,
        ItemMapError,
        FolderError,
        DatabaseError,
        CardError,
        MembersFileError,
        StockFileError,
        UnknownMemberError,
    ) as error:
        _fail(as_json, str(error), getattr(error, "exit_code", PROBLEM))
    except AddressRefusedError as error:
        _fail(as_json, str(error), USAGE)
    except OperationalError as error:
        _fail(as_json, f"the database cannot be used now ({error.orig}); nothing was changed, try again")
    except typer.Exit:
        raise
    except OSError as error:
        _fail(as_json, f"{error}; nothing was changed, correct that and try again")
    except Exception as error:  # noqa: BLE001 - the edge: what it says may hold a member's code
        _fail(as_json, f"the centre failed ({type(error).__name__}); what was under way was undone, report this")


@contextmanager
def _opened(data: Path, as_json: bool) -> Iterator[tuple[DataFolder, Database]]:
    """The data folder and its database, both checked."""
    folder = DataFolder(data)
    with _failures(as_json):
        folder.settings()
        database = Database(folder.database)
        try:
            database.check_version()
            yield folder, database
        finally:
            database.close()


def _program(file: Path, as_json: bool) -> Program:
    try:
        return program_from_json(_read(file, as_json))
    except ProgramError as error:
        _fail(as_json, str(error))


def _config(file: Path, as_json: bool) -> CentreConfig:
    try:
        return config_from_file(_read(file, as_json))
    except ConfigError as error:
        _fail(as_json, str(error))


def _template(file: Path, as_json: bool) -> LayoutTemplate:
    try:
        return template_from_file(_read(file, as_json))
    except ConfigError as error:
        _fail(as_json, f"{file}: {error}")


def _say_templates(as_json: bool, config: CentreConfig) -> None:
    names = tuple(template.name for template in config.templates)
    report = operations.TemplatesReport(hash=config_hash(config_json(config)), templates=names)
    _say(as_json, report, f"In force: {', '.join(names) or 'no template'}")


def _say_rules(as_json: bool, head: str, config: CentreConfig) -> None:
    report = operations.RulesReport(
        hash=config_hash(config_json(config)),
        rules=len(config.identification),
        warnings=tuple(map(str, config_warnings(config))),
    )
    _say(as_json, report, "\n".join([f"{head} {report.rules}, {report.hash}", *report.warnings]))


def _item_map(files: list[Path], as_json: bool) -> tuple[ItemMatcher, int]:
    """One map of several files, their entries in the order of the files; and how many rows give nothing yet."""
    read = []
    for file in files:
        try:
            read.append(item_map_from_file(_read(file, as_json)))
        except ItemMapError as error:
            _fail(as_json, f"{file}: {error}")
    try:
        joined = checked(ItemMap(items=tuple(entry for one in read for entry in one.item_map.items)))
        return ItemMatcher(joined), sum(one.unfilled for one in read)
    except ItemMapError as error:
        _fail(as_json, str(error))


def _say_items(as_json: bool, head: str, matcher: ItemMatcher, unfilled: int) -> None:
    report = operations.ItemMapReport(
        hash=matcher.hash,
        entries=len(matcher.item_map.items),
        kinds=kinds_given(matcher.item_map),
        unfilled=unfilled,
        warnings=warnings_of(matcher.item_map),
    )
    lines = [f"{head} {report.entries} entries, {report.hash}"]
    lines += [f"{count} give the kind {kind}" for kind, count in report.kinds.items()]
    if report.unfilled:
        lines.append(f"{report.unfilled} rows give nothing yet and are left out")
    _say(as_json, report, "\n".join([*lines, *report.warnings]))


def _read(file: Path, as_json: bool) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        _fail(as_json, f"{file} cannot be read: {error.strerror}", USAGE)


def _duration(text: str, as_json: bool) -> timedelta:
    match = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", text)
    life = int(match[1]) * _UNITS[match[2]] if match else None
    if life is None or life > MAX_VALID_FOR:
        _fail(as_json, f"{text!r} is no time a code may be valid for; write 30m, 24h or 7d, 30d at most", USAGE)
    return life


def _device_url(folder: DataFolder) -> str:
    """Where registers reach this centre: the first host it was given, the port it really has."""
    listen, hosts = folder.serving()["listen"], folder.settings().hosts
    if listen.port == 0:
        raise FolderError("the port is not known before the centre runs; start `serve`, or give --url")
    return f"https://{Address(host=hosts[0] if hosts else listen.host, port=listen.port)}"


def _qr(text: str) -> str:
    image = qrcode.QRCode(error_correction=qrcode.constants.ERROR_CORRECT_L, border=2)
    image.add_data(text)
    drawn = io.StringIO()
    image.print_ascii(out=drawn, invert=True)
    return drawn.getvalue()


def _run_fast(work: Coroutine[None, None, None]) -> None:
    """Run on uvloop where there is one; it is not made for Windows."""
    if sys.platform == "win32":
        asyncio.run(work)
    else:
        uvloop.run(work)


def _log_json() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
