"""Every `tillside` command and its options; a command's own module is imported only to run it."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Annotated, Literal

import typer

Config = Annotated[
    str | None, typer.Option("--config", help="The settings file; else TILLSIDE_CONFIG, else the system's.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CodePageOption = Annotated[str | None, typer.Option("--code-page", help="Code page of the printer, such as CP852.")]
CurrencyOption = Annotated[str | None, typer.Option("--currency", help="For receipts that print none, such as EUR.")]
TimeZoneOption = Annotated[
    str | None, typer.Option("--time-zone", help="Where receipts print their time, such as Europe/Belgrade.")
]

app = typer.Typer(
    name="tillside",
    help="Links this register to one customer profile, with or without a network.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def decode(
    file: Annotated[str, typer.Argument(help="A printer dump, journal or text file; - reads standard input.")],
    format: Annotated[  # noqa: A002 — the option is called --format
        str,
        typer.Option(help="auto, escpos, star, purs-journal, purs-qr, hr-qr, si-qr, poslog, json or csv."),
    ] = "auto",
    code_page: CodePageOption = None,
    profile: Annotated[str | None, typer.Option(help="Printer profile by python-escpos' name.")] = None,
    text: Annotated[bool, typer.Option("--text", help="Print what the paper shows.")] = False,
    png: Annotated[str | None, typer.Option("--png", help="Write what the paper looked like to this file.")] = None,
    guess: Annotated[bool, typer.Option("--guess", help="Show a line in the code pages that it may be in.")] = False,
    items: Annotated[str | None, typer.Option(help="Map the lines with this item map.")] = None,
    mapping: Annotated[
        str | None, typer.Option(help="The file that says which columns of a CSV file are what.")
    ] = None,
    template: Annotated[
        str | None, typer.Option(help="Read with this template too: a file, or the name of a shipped one.")
    ] = None,
    currency: CurrencyOption = None,
    time_zone: TimeZoneOption = None,
    as_json: Json = False,
) -> None:
    """Print the receipts in a file."""
    from agent.cli.decode import decode_command

    raise typer.Exit(
        decode_command(
            file=file, format=format, code_page=code_page, profile=profile, text=text, png=png, guess=guess,
            items=items, mapping=mapping, template=template, currency=currency, time_zone=time_zone, as_json=as_json,
        )
    )  # fmt: skip


template_app = typer.Typer(help="Learn, test, check and show layouts of receipts.", no_args_is_help=True)
app.add_typer(template_app, name="template")


@template_app.command("learn")
def template_learn(
    captures: Annotated[list[str], typer.Argument(help="Printer dumps or text files of one till's receipts.")],
    out: Annotated[str | None, typer.Option(help="Write the template to this file; else it is printed.")] = None,
    name: Annotated[
        str, typer.Option(help="What the template is called: small letters, digits and hyphens.")
    ] = "learned",
    code_page: CodePageOption = None,
    currency: CurrencyOption = None,
    time_zone: TimeZoneOption = None,
    as_json: Json = False,
) -> None:
    """Propose a template, and show line by line what it understands."""
    from agent.cli.template import learn_command

    raise typer.Exit(
        learn_command(
            captures=captures, out=out, name=name, code_page=code_page, currency=currency, time_zone=time_zone,
            as_json=as_json,
        )
    )  # fmt: skip


@template_app.command("test")
def template_test(
    folder: Annotated[str, typer.Argument(help="A folder of captures, or one capture.")],
    template: Annotated[
        str | None, typer.Option(help="A template's file, or the name of a shipped one; else all shipped ones.")
    ] = None,
    code_page: CodePageOption = None,
    currency: CurrencyOption = None,
    as_json: Json = False,
) -> None:
    """Say which receipts of a folder a template reads, and which of them add up."""
    from agent.cli.template import try_command

    raise typer.Exit(
        try_command(folder=folder, template=template, code_page=code_page, currency=currency, as_json=as_json)
    )


@template_app.command("check")
def template_check(
    file: Annotated[str, typer.Argument(help="A template's file.")],
    as_json: Json = False,
) -> None:
    """Say what is wrong with a template, and what to do."""
    from agent.cli.template import check_command

    raise typer.Exit(check_command(file=file, as_json=as_json))


@template_app.command("show")
def template_show(
    name: Annotated[str, typer.Argument(help="en, de, sr, hr or sl.")],
    as_json: Json = False,
) -> None:
    """Print a shipped template to start from."""
    from agent.cli.template import show_command

    raise typer.Exit(show_command(name=name, as_json=as_json))


@app.command("parse-scan")
def parse_scan(
    text: Annotated[str | None, typer.Argument(help="What the scanner sent.")] = None,
    hex: Annotated[bool, typer.Option("--hex", help="TEXT is hexadecimal.")] = False,  # noqa: A002
    file: Annotated[str | None, typer.Option(help="A capture, instead of TEXT: print all its scans.")] = None,
    as_json: Json = False,
) -> None:
    """Print what a scanned code is."""
    from agent.cli.parse_scan import parse_capture_command, parse_scan_command

    if (text is None) == (file is None) or (hex and file is not None):
        raise typer.BadParameter("give the text of one scan, or a capture with --file")
    if file is not None:
        raise typer.Exit(parse_capture_command(file=file, as_json=as_json))
    raise typer.Exit(parse_scan_command(text=text or "", hex=hex, as_json=as_json))


@app.command()
def evaluate(
    receipts: Annotated[str, typer.Argument(help='A file with {"receipts":[…]}; - reads standard input.')],
    program: Annotated[str, typer.Option(help="The program's JSON file.")],
    member: Annotated[str | None, typer.Option(help="The member's JSON file; a new member without it.")] = None,
    look_ahead: Annotated[
        bool,
        typer.Option("--next", help="Take the last receipt for a basket: what could be had next."),
    ] = False,
    as_json: Json = False,  # noqa: ARG001 — the output is JSON either way
) -> None:
    """Print the ledger entries that receipts give."""
    from agent.cli.evaluate import evaluate_command

    raise typer.Exit(evaluate_command(receipts=receipts, program=program, member=member, look_ahead=look_ahead))


@app.command(add_help_option=False, context_settings={"ignore_unknown_options": True, "help_option_names": []})
def run(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Run this register's agent until stopped (see `tillside run --help`)."""
    from agent.cli.run import main as run_main

    raise typer.Exit(run_main(arguments or []))


@app.command()
def enroll(
    code: Annotated[
        str | None, typer.Argument(help="The code that `tillside-central enrolment create` printed; asked for without.")
    ] = None,
    code_file: Annotated[
        str | None,
        typer.Option("--code-file", help="A file that holds the code, or -; else TILLSIDE_ENROL_CODE does."),
    ] = None,
    register: Annotated[
        str | None, typer.Option(help="Which register of its store this is, for a code that leaves it open.")
    ] = None,
    delay: Annotated[
        bool, typer.Option("--delay", help="Keep the code; the agent uses it once it reaches the centre.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Let an earlier enrolment go; what is queued is kept.")
    ] = False,
    unless_enrolled: Annotated[
        bool, typer.Option("--unless-enrolled", help="Do nothing where this register belongs to a centre already.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Enrol this register at the centre."""
    from agent.cli.enroll import asked_unseen, enroll_command

    if replace and (delay or unless_enrolled):
        option = "--delay" if delay else "--unless-enrolled"
        raise typer.BadParameter(
            f"--replace is for a register that belongs to a centre, {option} for one that does not"
        )

    raise typer.Exit(
        enroll_command(
            code=code,
            code_file=code_file,
            register=register,
            delay=delay,
            replace=replace,
            unless_enrolled=unless_enrolled,
            config=config,
            as_json=as_json,
            ask=asked_unseen(),
        )
    )


@app.command()
def generalize(
    discard: Annotated[
        bool, typer.Option("--discard", help="Also what waits for the centre, and print jobs that nobody has read.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Take everything out of an installed machine that makes it this register, before an image is made of it."""
    from agent.cli.generalize import generalize_command

    raise typer.Exit(generalize_command(discard=discard, config=config, as_json=as_json))


@app.command()
def status(
    metrics: Annotated[bool, typer.Option("--metrics", help="Print numbers for Prometheus.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Say how this register is."""
    from agent.cli.status import status_command

    raise typer.Exit(status_command(metrics=metrics, config=config, as_json=as_json))


@app.command("self-test")
def self_test(
    store: Annotated[
        bool, typer.Option("--store", help="Open a copy of the store too, and keep one; the agent must not run.")
    ] = False,
    relay: Annotated[
        bool, typer.Option("--relay", help="Read the relay's settings too, relay.toml beside the register's.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Say whether this version can run on this machine."""
    from agent.cli.self_test import self_test_command

    raise typer.Exit(self_test_command(store=store, relay=relay, config=config, as_json=as_json))


@app.command()
def update(
    to: Annotated[
        str | None, typer.Option("--to", help="Wish for this version, also if it was given up before.")
    ] = None,
    run: Annotated[bool, typer.Option("--run", help="Carry out what is wished for, as the service does.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Say which version is in use and which is wanted."""
    from agent.cli.update import update_command

    raise typer.Exit(update_command(to=to, run=run, config=config, as_json=as_json))


@app.command("pos-token")
def pos_token(
    renew: Annotated[bool, typer.Option("--renew", help="Make another: the one before is refused at once.")] = False,
    origin: Annotated[
        str | None, typer.Option("--origin", help="Make one for pages of this origin, which [page] origins names.")
    ] = None,
    role: Annotated[
        Literal["pos", "page"], typer.Option("--role", help="With --origin: what a POS may ask, or the cashier page.")
    ] = "pos",
    listing: Annotated[bool, typer.Option("--list", help="Print which origins have tokens, and since when.")] = False,
    revoke: Annotated[
        str | None, typer.Option("--revoke", metavar="ID", help="Refuse one of these from now on.")
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Print the token with which a POS posts receipts; it stays the same when the agent starts again."""
    from agent.cli import origin_token
    from agent.cli.exit_codes import USAGE
    from agent.cli.outcome import complain
    from agent.cli.pos_token import pos_token_command

    if sum((renew, origin is not None, listing, revoke is not None)) > 1:
        code = complain("pos-token", "use one of --renew, --origin, --list and --revoke", USAGE, as_json=as_json)
    elif origin is not None:
        code = origin_token.make_command(origin=origin, role=role, config=config, as_json=as_json)
    elif listing:
        code = origin_token.list_command(config=config, as_json=as_json)
    elif revoke is not None:
        code = origin_token.revoke_command(name=revoke, config=config, as_json=as_json)
    else:
        code = pos_token_command(config=config, renew=renew, as_json=as_json)
    raise typer.Exit(code)


@app.command()
def mock(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where it answers, on this machine only.")] = 8787,
    origin: Annotated[str | None, typer.Option("--origin", help="Let pages of this origin call, too.")] = None,
    as_json: Json = False,
) -> None:
    """Run a register without devices, with a sample program and members, to let a POS call in."""
    from agent.cli.mock import mock_command

    raise typer.Exit(mock_command(port=port, origin=origin, as_json=as_json))


@app.command()
def doctor(
    test_sheet: Annotated[
        str | None, typer.Option("--test-sheet", help="Write the page of test codes to this file, .pdf or .png.")
    ] = None,
    scan_test: Annotated[bool, typer.Option("--scan-test", help="Test a scanner with that page.")] = False,
    scanner: Annotated[str | None, typer.Option(help="Which scanner to test, where there are several.")] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Find out what is wrong with this register and its scanners."""
    from agent.cli.doctor import doctor_command

    raise typer.Exit(
        doctor_command(
            test_sheet=test_sheet,
            scan_test=scan_test,
            scanner=scanner,
            config=config,
            as_json=as_json,
            ask=input if sys.stdin.isatty() and sys.stdout.isatty() else None,
        )
    )


@app.command()
def capture(
    file: Annotated[str | None, typer.Argument(help="The file to write; it must not be there yet.")] = None,
    scanner: Annotated[str | None, typer.Option(help="A scanner of the settings.")] = None,
    port: Annotated[str | None, typer.Option(help="A port or an input device, with its driver's defaults.")] = None,
    spool: Annotated[str | None, typer.Option(help="A relay's folder: what is printed, and was.")] = None,
    seconds: Annotated[float | None, typer.Option(help="End after so long; else Ctrl-C does.")] = None,
    list_devices: Annotated[bool, typer.Option("--list", help="List the devices that are there.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Record what a scanner sends, or a register prints, with times, without payment cards."""
    from agent.cli.capture import capture_command

    raise typer.Exit(
        capture_command(
            file=file,
            scanner=scanner,
            port=port,
            spool=spool,
            seconds=seconds,
            list_devices=list_devices,
            config=config,
            as_json=as_json,
        )
    )


@app.command()
def replay(
    file: Annotated[str, typer.Argument(help="A capture.")],
    to: Annotated[str, typer.Option(help="A serial port, tcp://host:port, or pty:PATH for a new terminal.")],
    speed: Annotated[float, typer.Option(help="2 is twice as fast as it was.")] = 1.0,
    fast: Annotated[bool, typer.Option("--fast", help="Leave all pauses out.")] = False,
    as_json: Json = False,
) -> None:
    """Play a capture as the device that it was taken from."""
    from agent.cli.replay import replay_command

    raise typer.Exit(replay_command(file=file, to=to, speed=speed, fast=fast, as_json=as_json))


@app.command()
def queue(
    action: Annotated[str, typer.Argument(help="list, show, retry, resolve or export.")] = "list",
    ident: Annotated[
        str | None,
        typer.Argument(help="An item's number, or e and an entry's, for show, retry and resolve; a file, for export."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Read all of the quarantine again (retry).")] = False,
    resolved_as: Annotated[
        str | None, typer.Option("--as", help="What an item is (resolve): not-a-receipt or dismissed.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why an item is dismissed (resolve).")] = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show what waits for the centre and for a person, read it again, or say what it is."""
    from agent.cli.queue import Asked, queue_command

    asked = Asked(action=action, ident=ident, everything=everything, as_=resolved_as, reason=reason, as_json=as_json)
    raise typer.Exit(queue_command(asked, config))


@app.command()
def connectors(
    name: Annotated[str | None, typer.Argument(help="One of them; all without it.")] = None,
    as_json: Json = False,
) -> None:
    """Show the POS that a register can be set to by name, and what is known of each."""
    from agent.cli.connectors import connectors_command

    raise typer.Exit(connectors_command(name=name, as_json=as_json))


config_app = typer.Typer(help="Check and show this register's settings.", no_args_is_help=True)
app.add_typer(config_app, name="config")


@config_app.command("check")
def config_check(config: Config = None, as_json: Json = False) -> None:
    """Say everything that is wrong with the settings, and what to do."""
    from agent.cli.settings import config_check_command

    raise typer.Exit(config_check_command(config=config, as_json=as_json))


@config_app.command("show")
def config_show(config: Config = None, as_json: Json = False) -> None:
    """Print each setting in force, and where it comes from."""
    from agent.cli.settings import config_show_command

    raise typer.Exit(config_show_command(config=config, as_json=as_json))


@app.command()
def members(
    action: Annotated[str, typer.Argument(help="find or show.")],
    query: Annotated[str, typer.Argument(help="A card code, or the centre's member id.")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Look a member up in this register's own store."""
    from agent.cli.members import members_command

    raise typer.Exit(members_command(action=action, query=query, config=config, as_json=as_json))


@app.command("support-bundle")
def support_bundle(
    out: Annotated[str, typer.Option(help="The file to write.")] = "tillside-support.zip",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Write how this register is into one file for who helps, without secrets and without who shops."""
    from agent.cli.support_bundle import support_bundle_command

    raise typer.Exit(support_bundle_command(out=out, config=config, as_json=as_json))


@app.command("open")
def open_page(
    customer: Annotated[
        bool, typer.Option("--customer", help="What the customer sees, for a display of theirs.")
    ] = False,
    print_only: Annotated[bool, typer.Option("--print", help="Print the address; open no browser.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="Print which browsers have a page, and since when.")] = False,
    forget: Annotated[
        str | None, typer.Option("--forget", metavar="ID", help="Shut one of these out from now on, or all.")
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Open the cashier page or the customer view, already paired."""
    from agent.cli import open_pages
    from agent.cli.exit_codes import USAGE
    from agent.cli.open import open_command
    from agent.cli.outcome import complain

    if sum((customer or print_only, listing, forget is not None)) > 1:
        code = complain("open", "use --list and --forget alone", USAGE, as_json=as_json)
    elif listing:
        code = open_pages.list_command(config=config, as_json=as_json)
    elif forget is not None:
        code = open_pages.forget_command(which=forget, config=config, as_json=as_json)
    else:
        code = open_command(config=config, customer=customer, print_only=print_only, as_json=as_json)
    raise typer.Exit(code)


@app.command(add_help_option=False, context_settings={"ignore_unknown_options": True, "help_option_names": []})
def relay(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Stand between the POS and its printer (see `tillside relay --help`)."""
    from drivers.relay.process import main as relay_main

    raise typer.Exit(relay_main(arguments or []))


def demo(
    once: Annotated[bool, typer.Option("--once", help="Exit after the table; 1 if any figure is off.")] = False,
    as_json: Json = False,
) -> None:
    """Run a whole shop on this machine: a centre, two registers, a shift of receipts."""
    from agent.demo.shift import demo_command

    raise typer.Exit(demo_command(once=once, as_json=as_json))


# A register's package has no centre to show.
if find_spec("central") is not None:
    app.command()(demo)
