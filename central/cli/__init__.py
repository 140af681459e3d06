"""`tillside-central`: the centre's command line, a module per subject.

Owns arguments, exit codes and what is printed. Every command has `--json`. Exit codes: 0 done, 1 a
problem was found, 2 usage, 3 not set up here.
"""

from __future__ import annotations

import typer

from central.cli import (
    backups,
    cards,
    events,
    identification,
    items,
    ledger,
    members,
    programs,
    quarantine,
    receipts,
    registers,
    scopes,
    service,
    simulation,
    templates,
)

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="The centre of Tillside: one ledger for every register."
)
app.command()(service.init)
app.command()(service.serve)
app.command(name="open")(service.open_admin)
app.command()(backups.backup)
app.command()(backups.restore)
app.add_typer(registers.enrolment, name="enrolment")
programs.app.command("simulate")(simulation.program_simulate)
app.add_typer(programs.app, name="program")
app.add_typer(identification.app, name="identification")
app.add_typer(items.app, name="items")
app.add_typer(templates.app, name="template")
app.add_typer(members.app, name="members")
app.add_typer(cards.app, name="cards")
app.add_typer(registers.registers, name="registers")
app.add_typer(scopes.app, name="scopes")
app.add_typer(receipts.app, name="receipts")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(events.app, name="events")
app.add_typer(ledger.app, name="ledger")


def main() -> None:
    """Entry point of `tillside-central`."""
    app()
