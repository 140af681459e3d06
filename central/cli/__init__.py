"""`tillside-central`: the centre's command line, a module per subject.

Owns arguments, exit codes and what is printed. Every command has `--json`. Exit codes: 0 done, 1 a
problem was found, 2 usage, 3 not set up here. A subject's module is imported when one of its commands is asked for:
the database's and the server's libraries take seconds to load.
"""

from __future__ import annotations

import typer

from central.cli import backups, service
from central.cli.subjects import subject

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="The centre of Tillside: one ledger for every register."
)
app.command()(service.init)
app.command()(service.serve)
app.command(name="open")(service.open_admin)
app.command()(backups.backup)
app.command()(backups.restore)
for _name, _where, _help in (
    ("enrolment", "registers:enrolment", "Let a register in."),
    ("program", "programs:app", "Check and publish the loyalty program."),
    ("identification", "identification:app", "Check and publish the rules of which codes are members'."),
    ("consents", "consents:app", "Publish the texts by which people are asked whether they may be written to."),
    ("items", "items:app", "Check and publish the map of what the goods are."),
    ("template", "templates:app", "Publish the layouts of tills, as templates."),
    ("members", "members:app", "Import, link, show, merge and erase members."),
    ("cards", "cards:app", "Hand out, block and replace cards."),
    ("registers", "registers:registers", "List registers and shut one out."),
    ("alerts", "alerts:app", "Say who is told of registers that are silent or have a problem."),
    ("release", "releases:app", "Release versions of the program to registers, ring by ring."),
    ("allowances", "allowances:app", "Say what is set aside for registers to spend, and write off what is lost."),
    ("vouchers", "vouchers:app", "Issue vouchers, see what became of them, and revoke one."),
    ("scopes", "scopes:app", "Say which members the registers of a store hold."),
    ("receipts", "receipts:app", "Look at receipts that are held, and let them count."),
    ("limits", "limits:app", "Say how often a card may be used, and see who uses which."),
    ("quarantine", "quarantine:app", "Look at what registers sent and what had no effect, and put it right."),
    ("events", "events:app", "Record what members did that is no purchase."),
    ("ledger", "ledger:app", "Check and export the ledger."),
):
    app.add_typer(subject(_where, _help), name=_name)


def main() -> None:
    """Entry point of `tillside-central`."""
    app()
