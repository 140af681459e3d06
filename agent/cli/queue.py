"""`tillside queue`: what waits for the centre, and what waits for a person."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from msgspec import UNSET, Struct, UnsetType

from agent.cli.connection import inspection
from agent.cli.exit_codes import DEGRADED, DONE, USAGE
from agent.cli.outcome import complain, guarded, say, say_json
from agent.inspection import ExportedItem, Inspection
from config.load import load_settings
from sync.store.reading import MAX_LISTED

_USAGE = "use `queue list`, `queue show NUMBER`, `queue retry NUMBER`, `queue resolve ID` or `queue export [FILE]`"


class Done(Struct, frozen=True, kw_only=True):
    """Which entry was sent again (`retried`), or which item is out of quarantine (`resolved`)."""

    retried: int | UnsetType = UNSET
    resolved: int | UnsetType = UNSET


class Exported(Struct, frozen=True, kw_only=True):
    """How many items were written, and where."""

    file: str
    items: int


def queue_command(*, action: str, ident: str | None, config: str | None, as_json: bool) -> int:
    """Run one action. Exit codes: 0 done, 1 problem, 2 usage; `list` 4 when something is in quarantine."""
    actions: dict[str, Callable[[Inspection], int]] = {
        "list": lambda register: _list(register, as_json=as_json),
        "show": lambda register: _show(register, int(ident or 0)),
        "retry": lambda register: _retry(register, int(ident or 0), as_json=as_json),
        "resolve": lambda register: _resolve(register, int(ident or 0), as_json=as_json),
        "export": lambda register: _export(register, ident, as_json=as_json),
    }
    needs_number = action in ("show", "retry", "resolve")
    if action not in actions or (needs_number and not (ident and ident.isascii() and ident.isdecimal())):
        return complain("queue", _USAGE, USAGE, as_json=as_json)

    def work() -> int:
        with inspection(load_settings(config)) as register:
            return actions[action](register)

    return guarded("queue", work, as_json=as_json)


def _list(register: Inspection, *, as_json: bool) -> int:
    report = register.queue()
    waiting = any(entry.state == "quarantined" for entry in report.entries) or report.quarantined
    if as_json:
        say_json(report)
        return DEGRADED if waiting else DONE
    say(f"{report.queued} queued for the centre.")
    for entry in report.entries:
        detail = f"  {entry.detail}" if entry.detail else ""
        say(f"  {entry.number:>8}  {entry.state:<12} {entry.kind:<10} {entry.wall:%Y-%m-%d %H:%M:%S}{detail}")
    if report.quarantined:
        more = " or more" if len(report.quarantined) == MAX_LISTED else ""
        say(
            f"{len(report.quarantined)}{more} kept here in quarantine (`tillside queue export` writes them out, "
            "`tillside queue resolve ID` says that one is dealt with)."
        )
    for item in report.quarantined:
        size = f"{item.size} bytes"
        say(f"  {item.id:>8}  {item.source:<12} {item.reason:<18} {item.at:%Y-%m-%d %H:%M:%S}  {size}  {item.detail}")
    return DEGRADED if waiting else DONE


def _show(register: Inspection, number: int) -> int:
    say_json(register.entry(number))
    return DONE


def _retry(register: Inspection, number: int, *, as_json: bool) -> int:
    register.retry(number)
    if as_json:
        say_json(Done(retried=number))
    else:
        say(f"Entry {number} goes to the centre again.")
    return DONE


def _resolve(register: Inspection, item: int, *, as_json: bool) -> int:
    register.resolve(item)
    if as_json:
        say_json(Done(resolved=item))
    else:
        say(f"Item {item} is out of quarantine; its bytes are kept.")
    return DONE


def _export(register: Inspection, file: str | None, *, as_json: bool) -> int:
    """JSON lines; raw bytes are in base64, so that nothing in them is run or rendered."""
    if file is None or file == "-":
        for item in _exported(register):
            sys.stdout.write(msgspec.json.encode(item).decode() + "\n")
        return DONE
    # Receipts are personal: only this user may read the file.
    descriptor = os.open(Path(file), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    count = 0
    try:
        with os.fdopen(descriptor, "wb") as stream:
            for item in _exported(register):
                stream.write(msgspec.json.encode(item) + b"\n")
                count += 1
    except BaseException:
        Path(file).unlink()  # half of it would look like all of it
        raise
    if as_json:
        say_json(Exported(file=file, items=count))
    else:
        say(f"{count} written to {file}.")
    return DONE


def _exported(register: Inspection) -> Iterator[ExportedItem]:
    """All of the quarantine, page by page."""
    after: int | None = 0
    while after is not None:
        page = register.export(after)
        yield from page.items
        after = page.next
