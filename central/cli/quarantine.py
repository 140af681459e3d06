"""`tillside-central quarantine`: entries of registers that were set aside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from msgspec import Struct

from central import quarantine
from central.cli.command import Data, File, Json, fail, opened, read_input, say
from central.clock import utc_now

app = typer.Typer()

# The largest number that a database gives.
_LAST = 2**63 - 1
Number = Annotated[int, typer.Argument(min=1, max=_LAST, help="An item's number, as `quarantine list` shows it.")]
# Why nothing is to be made of an item.
MAX_NOTE_CHARS = 500


class Dismissed(Struct, frozen=True, kw_only=True):
    item: int
    note: str


@app.command("list")
def quarantine_list(
    data: Data,
    after: Annotated[int, typer.Option(min=0, max=_LAST, help="Go on after this item.")] = 0,
    as_json: Json = False,
) -> None:
    """List entries that had no effect, oldest first, and count them by reason."""
    with opened(data, as_json) as (_, database):
        found = database.read_now(lambda connection: quarantine.listed(connection, after))
    lines = [
        f"{one.id}  {one.reason}  {one.kind}  {one.store} / {one.register} #{one.seq}  {one.detail}"
        for one in found.items
    ]
    counts = ", ".join(f"{reason}: {count}" for reason, count in sorted(found.reasons.items()))
    say(as_json, found, "\n".join([*lines, counts] if lines else [counts or "Nothing waits in quarantine."]))


@app.command("show")
def quarantine_show(data: Data, item: Number, as_json: Json = False) -> None:
    """Show one entry as it was sent, why it had no effect, and what to do."""
    with opened(data, as_json) as (_, database):
        try:
            found = database.read_now(lambda connection: quarantine.shown(connection, item))
        except quarantine.NotWaitingError as error:
            fail(as_json, str(error))
    one, sent = found.item, msgspec.json.format(msgspec.json.encode(found.entry), indent=2).decode()
    place = f"{one.kind} #{one.seq} of {one.store} / {one.register}, {one.received_at:%F %T} UTC"
    head = f"{one.reason}: {one.detail}\n{place}"
    say(as_json, found, f"{head}\n{one.remedy}\n{sent}")


@app.command("retry")
def quarantine_retry(
    data: Data,
    item: Annotated[
        list[int] | None, typer.Argument(min=1, max=_LAST, help="Items' numbers; the oldest 2,000 without one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Apply entries as if they came now; what is known by then counts nothing twice."""
    with opened(data, as_json) as (_, database):
        done = database.write_now(lambda connection: quarantine.retry(connection, utc_now(), tuple(item or ())))
    say(as_json, done, f"{done.applied} have an effect now, {done.waiting} still wait.")


@app.command("body")
def quarantine_body(data: Data, item: Number, file: File, as_json: Json = False) -> None:
    """Bring the body that was too large to travel: what `tillside queue show eNUMBER --json` prints at the register."""
    document = read_input(Path(file), as_json)
    with opened(data, as_json) as (_, database):
        try:
            done = database.write_now(lambda connection: quarantine.bring_body(connection, item, document, utc_now()))
        except (quarantine.NotWaitingError, quarantine.BodyRefusedError) as error:
            fail(as_json, str(error))
    say(as_json, done, "It has its effect now." if done.applied else "It is whole now and still has no effect.")


@app.command("dismiss")
def quarantine_dismiss(
    data: Data,
    item: Number,
    reason: Annotated[str, typer.Option(help="Why, for who asks later.")],
    as_json: Json = False,
) -> None:
    """Say that nothing is to be made of an entry, and why; it stays in the history."""
    note = reason.strip()[:MAX_NOTE_CHARS]
    if not note:
        fail(as_json, "say why with --reason TEXT", 2)
    with opened(data, as_json) as (_, database):
        if not database.write_now(lambda connection: quarantine.dismiss(connection, item, note, utc_now())):
            fail(as_json, f"nothing waits under {item}; `tillside-central quarantine list` shows what does")
    say(as_json, Dismissed(item=item, note=note), "Dismissed.")
