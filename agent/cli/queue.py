"""`tillside queue`: what waits for the centre, and what waits for a person."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.cli.connection import inspection
from agent.cli.outcome import DEGRADED, DONE, USAGE, complain, guarded, say, say_json
from agent.inspection import Inspection
from config.load import load_settings

_USAGE = "use `queue list`, `queue show NUMBER`, `queue retry NUMBER` or `queue export [FILE]`"


def queue_command(*, action: str, ident: str | None, config: str | None, as_json: bool) -> int:
    """Run one action. Exit codes: 0 done, 1 problem, 2 usage; `list` 4 when something is in quarantine."""
    actions: dict[str, Callable[[Inspection], int]] = {
        "list": lambda register: _list(register, as_json=as_json),
        "show": lambda register: _show(register, int(ident or 0)),
        "retry": lambda register: _retry(register, int(ident or 0)),
        "export": lambda register: _export(register, ident),
    }
    if action not in actions or (action in ("show", "retry") and not (ident and ident.isascii() and ident.isdecimal())):
        return complain("queue", _USAGE, USAGE)

    def work() -> int:
        with inspection(load_settings(config)) as register:
            return actions[action](register)

    return guarded("queue", work)


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
        say(f"{len(report.quarantined)} kept here in quarantine (`tillside queue export` writes them out).")
    for item in report.quarantined:
        say(f"  {item.source:<12} {item.reason:<18} {item.at:%Y-%m-%d %H:%M:%S}  {item.size} bytes  {item.detail}")
    return DEGRADED if waiting else DONE


def _show(register: Inspection, number: int) -> int:
    say_json(register.entry(number))
    return DONE


def _retry(register: Inspection, number: int) -> int:
    register.retry(number)
    say(f"Entry {number} goes to the centre again.")
    return DONE


def _export(register: Inspection, file: str | None) -> int:
    """JSON lines; raw bytes are in base64, so that nothing in them is run or rendered."""
    lines = b"".join(msgspec.json.encode(item) + b"\n" for item in register.export())
    if file is None or file == "-":
        sys.stdout.write(lines.decode())
        return DONE
    # Receipts are personal: only this user may read the file.
    descriptor = os.open(Path(file), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(lines)
    say(f"Written to {file}.")
    return DONE
