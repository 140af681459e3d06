"""`tillside-central init`, `serve` and `open`: the centre itself."""

from __future__ import annotations

import asyncio
import gc
import secrets
import signal
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated

import typer

from central.cli.command import Data, Json, failures, opened, say
from central.clock import utc_now

if TYPE_CHECKING:
    from central.folder import DataFolder
    from central.server import Ready


# Objects made and not yet gone before cycles are looked for: more than a batch of entries has at one time, since few of
# them are ever part of one.
GARBAGE_AFTER = 50_000


def init(
    *,
    data: Data,
    listen: Annotated[str, typer.Option(help="Where registers connect, over TLS; port 0 lets the system choose.")] = "",
    admin: Annotated[str, typer.Option(help="Where the admin pages are, on loopback.")] = "",
    host: Annotated[list[str] | None, typer.Option(help="A name or address registers use; may be repeated.")] = None,
    brand: Annotated[str, typer.Option(help="The shop's name, shown on the admin pages.")] = "",
    database: Annotated[
        str, typer.Option(help="postgresql://USER@HOST/DATABASE, without a password; SQLite in the folder without it.")
    ] = "",
    join: Annotated[
        str, typer.Option(help="Where the page listens on which people join, behind your proxy; `off` for none.")
    ] = "",
    join_url: Annotated[str, typer.Option(help="Where telephones reach that page: https://join.shop.example/")] = "",
    join_privacy: Annotated[str, typer.Option(help="What it links to on what is done with people's data.")] = "",
    as_json: Json = False,
) -> None:
    """Make a centre, or bring the one that is there to this version; keys that exist are kept."""
    from central.setup import InitOptions, initialise

    options = InitOptions(
        listen=listen or None,
        admin=admin or None,
        hosts=tuple(host or ()),
        brand=brand or None,
        database=database or None,
        join=join or None,
        join_url=join_url or None,
        join_privacy=join_privacy or None,
    )
    with failures(as_json):
        done = initialise(data, options, utc_now())
    say(as_json, done, f"The centre is ready in {data}.\nStart it: tillside-central serve --data {data}")


def serve(data: Data, as_json: Json = False) -> None:
    """Serve registers and the admin pages until SIGTERM or Ctrl-C. Logs are JSON lines on standard error."""
    from central.journal import Journal, missing
    from central.server import Server

    def ready(addresses: Ready) -> None:
        text = f"Registers connect to {addresses.device_api}\nAdmin pages: {addresses.open} (opens once)"
        say(as_json, addresses, text)
        sys.stdout.flush()
        # What was loaded stays: walking through all of it would hold up every request for a tenth of a second.
        gc.freeze()
        gc.set_threshold(GARBAGE_AFTER)

    async def run(folder: DataFolder) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await Server(folder, clock=utc_now).run(ready, stop)

    # What is wrong with the folder is said as by any command, before the log begins.
    with opened(data, as_json) as (folder, database):
        journal = Journal(folder.journal)
        facts = journal.facts()
        lacking = database.read_now(lambda connection: missing(connection, facts, utc_now()))
        if lacking:
            journal.note(*lacking)
    _log_json()
    with failures(as_json):
        _run_fast(run(folder))


def open_admin(data: Data, as_json: Json = False) -> None:
    """Print a link that opens the admin pages once, within five minutes."""
    from central import operations

    with opened(data, as_json) as (folder, database):
        admin = folder.serving()["admin"]
        link = database.write_now(
            lambda connection: operations.admin_link(connection, admin, utc_now(), secrets.token_bytes)
        )
    say(as_json, link, f"{link.open}\nIt opens once, until {link.expires_at:%H:%M:%S} UTC.")


def _run_fast(work: Coroutine[None, None, None]) -> None:
    """Run on uvloop where there is one; it is not made for Windows."""
    if sys.platform == "win32":
        asyncio.run(work)
    else:
        import uvloop

        uvloop.run(work)


def _log_json() -> None:
    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
