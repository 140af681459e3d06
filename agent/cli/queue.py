"""`tillside queue`: what waits for the centre, and what waits for a person."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import UNSET, Struct, UnsetType

from agent.booking import Fate
from agent.cli.connection import inspection
from agent.cli.exit_codes import DEGRADED, DONE, USAGE
from agent.cli.outcome import complain, guarded, say, say_json
from agent.inspection import (
    MAX_NOTE_CHARACTERS,
    ExportedItem,
    Inspection,
    NotFoundError,
    Reread,
    RereadReport,
    Resolve,
)
from agent.state_owner import become, owner_of
from config.load import load_settings, state_folder
from drivers.receipts.glimpse import Glimpse
from loyalty.money import to_major
from loyalty.receipt import Receipt
from sync.store.reading import MAX_LISTED

_USAGE = (
    "use `queue list`, `queue show NUMBER`, `queue retry NUMBER` or `queue retry --all`, "
    "`queue resolve NUMBER --as not-a-receipt` or `--as dismissed --reason TEXT`, or `queue export [FILE]`; "
    "a NUMBER is an item's, with an e before it (e12) an entry's"
)
_NUMBER = re.compile(r"(e?)([0-9]{1,18})", re.ASCII).fullmatch


class Done(Struct, frozen=True, kw_only=True):
    """Which entry was sent again (`retried`), or which item is out of quarantine (`resolved`)."""

    retried: int | UnsetType = UNSET
    resolved: int | UnsetType = UNSET


class Exported(Struct, frozen=True, kw_only=True):
    """How many items were written, and where."""

    file: str
    items: int


class Asked(Struct, frozen=True, kw_only=True):
    """One call: `as_` and `reason` go with `resolve`, `everything` with `retry`."""

    action: str
    ident: str | None = None
    everything: bool = False
    as_: str | None = None
    reason: str = ""
    as_json: bool = False


def queue_command(asked: Asked, config: str | None) -> int:
    """Run one action. Exit codes: 0 done, 1 problem, 2 usage; 4 where `list` or `retry` leaves something waiting.

    Root opens the file of an export, and works with the register as the user whose it is.
    """
    work = _work_of(asked)
    if work is None:
        return complain("queue", _USAGE, USAGE, as_json=asked.as_json)

    def run() -> int:
        settings = load_settings(config)
        with _opened(asked) as file:
            if (owner := owner_of(state_folder(settings))) is not None:
                become(owner)
            with inspection(settings) as register:
                return work(register) if file is None else _export_to(file, register, asked)

    return guarded("queue", run, as_json=asked.as_json)


_Work = Callable[[Inspection], int]


def _work_of(asked: Asked) -> _Work | None:
    """What to do; None where the call makes no sense."""
    named = _NUMBER(asked.ident or "")
    match asked.action:
        case "list":
            return partial(_list, as_json=asked.as_json)
        case "export":
            return _export
        case "retry" if asked.everything and asked.ident is None:
            return partial(_retry_all, as_json=asked.as_json)
        case _ if named is None or asked.everything:
            return None
        case "resolve":
            how = _resolution(asked)
            return (
                partial(_resolve, item=int(named[2]), how=how, as_json=asked.as_json) if how and not named[1] else None
            )
        case _:
            works = (_OF_ENTRY,) if named[1] else (_OF_ITEM, _OF_ENTRY)
            found = [work for kind in works if (work := kind.get(asked.action)) is not None]
            return partial(_first_known, works=found, number=int(named[2]), as_json=asked.as_json) if found else None


def _first_known(register: Inspection, *, works: Sequence[Callable[..., int]], number: int, as_json: bool) -> int:
    """A bare number is an item's; where there is no such item, an entry's. Raises NotFoundError."""
    for work in works[:-1]:
        with suppress(NotFoundError):
            return work(register, number=number, as_json=as_json)
    return works[-1](register, number=number, as_json=as_json)


def _resolution(asked: Asked) -> Resolve | None:
    """What a person says of an item; who dismisses one says why."""
    note = asked.reason.strip()[:MAX_NOTE_CHARACTERS]
    if asked.as_ == "not-a-receipt":
        return Resolve(resolved_as="not_a_receipt", note=note)
    return Resolve(resolved_as="dismissed", note=note) if asked.as_ == "dismissed" and note else None


def _list(register: Inspection, *, as_json: bool) -> int:
    report = register.queue()
    waiting = any(entry.state == "quarantined" for entry in report.entries) or report.quarantined
    if as_json:
        say_json(report)
        return DEGRADED if waiting else DONE
    say(f"{report.queued} queued for the centre.")
    for entry in report.entries:
        detail = f"  {entry.detail}" if entry.detail else ""
        name = f"e{entry.number}"
        say(f"  {name:>8}  {entry.state:<12} {entry.kind:<10} {entry.wall:%Y-%m-%d %H:%M:%S}{detail}")
    if report.quarantined:
        more = " or more" if len(report.quarantined) == MAX_LISTED else ""
        say(
            f"{len(report.quarantined)}{more} kept here for a person (`tillside queue show NUMBER` shows the paper, "
            "`tillside queue retry` reads it again, `tillside queue resolve NUMBER` says what it is)."
        )
    for item in report.quarantined:
        booked = "  booked, earns nothing yet" if item.receipt is not None else ""
        say(f"  {item.id:>8}  {item.at:%Y-%m-%d %H:%M:%S}  {item.source:<12} {item.reason:<18} {item.shows}{booked}")
        say(f"            {item.remedy}")
    return DEGRADED if waiting else DONE


def _show_entry(register: Inspection, number: int, *, as_json: bool) -> int:  # noqa: ARG001 - an entry is JSON
    say_json(register.entry(number))
    return DONE


def _show(register: Inspection, number: int, *, as_json: bool) -> int:
    item = register.item(number)
    if as_json:
        say_json(item)
        return DONE
    say(f"Item {item.id} of {item.source}, {item.captured_at:%Y-%m-%d %H:%M:%S}, {item.size} bytes: {item.reason}")
    for line in (item.detail, "", *item.text.splitlines(), ""):
        say(line)
    for receipt in item.receipts:
        _say_receipt(receipt)
    if item.glimpse is not None:
        _say_glimpse(item.glimpse)
    for kind in item.ignored:
        say(f"Understood as no receipt: {kind}")
    for trouble in item.troubles:
        say(f"{trouble.code}: {trouble.detail}")
    if item.resolved_at is None:
        say(f"What to do: {item.remedy}")
    else:
        note = f": {item.note}" if item.note else ""
        say(f"Resolved {item.resolved_at:%Y-%m-%d %H:%M:%S} as {item.resolved_as}{note}")
    return DONE


def _say_receipt(receipt: Receipt) -> None:
    currency = receipt.currency
    facts = (
        receipt.kind,
        receipt.status,
        f"store {receipt.store or '?'}",
        f"register {receipt.register or '?'}",
        f"number {receipt.number or '?'}",
        f"{receipt.issued_at:%Y-%m-%d %H:%M}" if receipt.issued_at else str(receipt.business_day or "no time"),
    )
    say(f"Understood: {', '.join(facts)}")
    for line in receipt.lines:
        count = f"{line.quantity} × " if line.quantity else ""
        say(f"  {count}{line.description or '?'}  {to_major(line.amount_minor, currency)}")
    say(f"  total {to_major(receipt.total_minor, currency)} {currency}")


def _say_glimpse(seen: Glimpse) -> None:
    say(f"No reader makes a receipt of it. A date on it: {seen.day or 'none'}. Lines that end in an amount:")
    for amount in seen.amounts:
        say(f"  {amount.words}  {amount.amount}")
    if not seen.amounts:
        say("  none")


def _send_again(register: Inspection, number: int, *, as_json: bool) -> int:
    register.retry(number)
    if as_json:
        say_json(Done(retried=number))
    else:
        say(f"Entry {number} goes to the centre again.")
    return DONE


def _retry(register: Inspection, number: int, *, as_json: bool) -> int:
    reread = register.reread(number)
    if as_json:
        say_json(reread)
    else:
        _say_reread(reread)
    return DEGRADED if reread.outcome == "waits" else DONE


def _retry_all(register: Inspection, *, as_json: bool) -> int:
    after: int | None = 0
    done: list[Reread] = []
    while after is not None:
        page = register.reread_all(after)
        done += page.items
        after = page.next
    waiting = sum(reread.outcome == "waits" for reread in done)
    if as_json:
        say_json(RereadReport(items=tuple(done)))
    else:
        for reread in done:
            _say_reread(reread)
        say(f"{len(done) - waiting} read, {waiting} still wait.")
    return DEGRADED if waiting else DONE


def _say_reread(reread: Reread) -> None:
    match reread.outcome:
        case "read":
            fates = ", ".join(f"{_FATES[outcome.fate]} ({outcome.key})" for outcome in reread.receipts)
            say(f"Item {reread.id}: {fates}.")
        case "no_receipt":
            say(f"Item {reread.id}: it is no receipt, and is counted as that.")
        case "waits":
            say(f"Item {reread.id} waits on: {reread.reason}: {reread.detail}")
            say(f"    {reread.remedy}")


_FATES: dict[Fate, str] = {
    "booked": "booked",
    "corrected": "corrected, and may earn now",
    "seen_again": "was known already and counts once",
    "copy": "a copy, which counts nothing",
    "waits": "waits for its partner of the authoritative source",
    "conflict": "contradicts what is known",
}


_OF_ITEM: dict[str, Callable[..., int]] = {"show": _show, "retry": _retry}
_OF_ENTRY: dict[str, Callable[..., int]] = {"show": _show_entry, "retry": _send_again}


def _resolve(register: Inspection, *, item: int, how: Resolve, as_json: bool) -> int:
    register.resolve(item, how)
    if as_json:
        say_json(Done(resolved=item))
    else:
        say(f"Item {item} is out of quarantine ({how.resolved_as}); it stays in the history.")
    return DONE


@contextmanager
def _opened(asked: Asked) -> Iterator[BinaryIO | None]:
    """The new file of an export, None where none is asked for; gone again where the export fails. Raises OSError."""
    if asked.action != "export" or asked.ident in (None, "-"):
        yield None
        return
    path = Path(asked.ident or "")
    # Receipts are personal: only this user may read the file.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        try:
            yield stream
        except BaseException:
            stream.truncate(0)
            with suppress(OSError):  # of root's folder, where this is root no more
                path.unlink()  # half of it would look like all of it
            raise


def _export(register: Inspection) -> int:
    """JSON lines; raw bytes are in base64, so that nothing in them is run or rendered."""
    for item in _exported(register):
        sys.stdout.write(msgspec.json.encode(item).decode() + "\n")
    return DONE


def _export_to(stream: BinaryIO, register: Inspection, asked: Asked) -> int:
    """The same into a file."""
    count = 0
    for item in _exported(register):
        stream.write(msgspec.json.encode(item) + b"\n")
        count += 1
    stream.flush()
    if asked.as_json:
        say_json(Exported(file=str(asked.ident), items=count))
    else:
        say(f"{count} written to {asked.ident}.")
    return DONE


def _exported(register: Inspection) -> Iterator[ExportedItem]:
    """All of the quarantine, page by page."""
    after: int | None = 0
    while after is not None:
        page = register.export(after)
        yield from page.items
        after = page.next
