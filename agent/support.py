"""What may be sent to who helps: how a register is, and nothing of who shops or of what opens anything.

Owns what goes into a support bundle and what is left out of a text. Shapes are chosen one by one: what is not known to
be harmless is not in it. Pure; what is looked at comes with the call.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from agent.doctor.checks import DoctorReport
from agent.inspection import QueueReport, StatusReport
from config.settings import Settings
from loyalty.undecodable import UNDECODABLE

# Of the log the newest lines are taken, and of one line so much.
MAX_LOG_LINES: Final = 5_000
MAX_LOG_LINE_CHARACTERS: Final = 4_000
# Names of what is wrong, of devices and of states; long enough for a remedy.
MAX_TEXT_CHARACTERS: Final = 2_000
SET: Final = "(set)"

# Settings whose values say how a register works, and are nobody's secret whatever is written there: numbers, names of
# kinds, and words of which there are only a few.
_PLAIN_SETTINGS: Final = frozenset(
    (
        *("afterwards", "aim", "authoritative", "ballast_mb", "baud", "code_page", "complete", "currency", "data_bits"),
        *("driver", "format", "idle_ms", "language", "lookup_deadline_ms", "overlap", "parity", "poll_s", "port"),
        *("profile", "repeat_ms", "settle_ms", "stop_bits", "time_zone", "webhook"),
    )
)
# What the register's own code writes into its log that is a word of its own, a number, or a time.
_LOG_FIELDS: Final = frozenset(
    (
        *("acked_through", "condition", "count", "errno", "error", "event", "index", "kind", "level", "number"),
        *("operation", "reason", "seconds", "seq", "size", "source", "status", "step", "timestamp", "worker"),
    )
)
# Fields of reports that name something by a hash or an id of the register's or the centre's own making.
_IDS: Final = frozenset(("device", "program", "hash", "item_map"))
_LINK: Final = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s'\"]*")
_ADDRESS: Final = re.compile(r"[^\s'\"<>@]+@[^\s'\"<>@]+")
# Anything with digits that might name somebody or open something; a time of day or a short number is neither.
_CODE: Final = re.compile(r"(?<![\w+*-])\+?(?=[\w*-]*\d)(?:[\w*-]{6,}|[A-Z]{2,}\d{3,})(?!\w)")
# Looks like a code and is none: a time, a device, an address of a network, a character set.
_HARMLESS: Final = re.compile(
    r"\d{4}-\d\d-\d\d(?:T\d\d)?$|(?:tty|lp|hidraw|event|COM)[A-Z]*\d{1,3}$|\d{1,3}(?:\.\d{1,3}){3}$"
    r"|(?:windows|iso8859|utf)-\d+$|(?:CP|IBM|PC)\d{3,4}$"
)
_NUMBER_GROUPS: Final = re.compile(r"\+?\d[\d ()/.-]{6,}\d")
_HOME: Final = re.compile(r"(?i)((?:/home/|\\users\\)(?=[^/\\]*[/\\]))[^/\\]+|((?:/home/|\\users\\))[^/\\\s]+")
# A quotation begins where no word ends: an apostrophe is none. Codes of vouchers stand in groups.
_QUOTED: Final = re.compile(r"(?<!\w)'[^']*'(?!\w)|\"[^\"]*\"|[„“”][^“”]*[“”]|‘[^’]*’|«[^»]*»|»[^«]*«")
_GROUPS: Final = re.compile(r"(?<!\w)(?:[A-Z0-9]{4}[ -]){2,}[A-Z0-9]{4}(?!\w)")


def bundle(
    *,
    about: Mapping[str, str],
    settings: Settings | None,
    status: StatusReport | None,
    doctor: DoctorReport | None,
    queue: QueueReport | None,
    log: Iterable[str],
    failed: Mapping[str, str],
) -> dict[str, bytes]:
    """The files of a bundle by name. What could not be looked at is None, and `failed` says of each why."""
    files: dict[str, Any] = {
        "about.json": {**about, "not_there": {name: scrubbed(why) for name, why in failed.items()}}
    }
    if settings is not None:
        files["settings.json"] = _settings(msgspec.to_builtins(settings, enc_hook=lambda _path: SET))
    if status is not None:
        files["status.json"] = _report(msgspec.to_builtins(status))
    if doctor is not None:
        files["doctor.json"] = [
            {"area": check.area, "verdict": check.verdict, "said": scrubbed(check.said)} for check in doctor.checks
        ]
    if queue is not None:
        files["queue.json"] = _queue(queue)
    written = {name: msgspec.json.format(msgspec.json.encode(content), indent=1) for name, content in files.items()}
    return written | {"log.jsonl": _log(log)}


def scrubbed(text: str) -> str:
    """A sentence without what is quoted in it, without addresses, and without anything that looks like a code."""
    text = _QUOTED.sub("'…'", text[:MAX_TEXT_CHARACTERS])
    text = _HOME.sub(lambda found: f"{found[1] or found[2]}…", text)
    text = _LINK.sub(r"\1…", text)
    text = _ADDRESS.sub("…@…", text)
    for suspect in (_GROUPS, _CODE, _NUMBER_GROUPS):
        text = suspect.sub(lambda found: found[0] if _HARMLESS.match(found[0]) else "…", text)
    return text


def _settings(value: Any, key: str = "") -> Any:
    """Which settings there are; of those that could hold anything, only that they are set."""
    if isinstance(value, dict):
        if key in ("options", "letters"):
            return {name: _settings(each, name) for name, each in value.items() if name.isidentifier()}
        return {name: _settings(each, name) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return len(value) if key == "identification" else [_settings(each, key) for each in value]
    if value is None or isinstance(value, bool) or (isinstance(value, int) and key in _PLAIN_SETTINGS):
        return value
    return scrubbed(value) if key in _PLAIN_SETTINGS and isinstance(value, str) else SET


def _report(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _report(each, name) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_report(each, key) for each in value]
    if not isinstance(value, str):
        return value
    return value[:12] if key in _IDS else scrubbed(value)


def _queue(queue: QueueReport) -> dict[str, Any]:
    return {
        "queued": queue.queued,
        "entries": [
            {"number": one.number, "seq": one.seq, "kind": one.kind, "wall": one.wall, "state": one.state}
            for one in queue.entries
        ],
        "quarantined": [
            {"id": one.id, "reason": one.reason, "at": one.at, "size": one.size} for one in queue.quarantined
        ],
    }


def _log(lines: Iterable[str]) -> bytes:
    """The register's own lines with the fields that are known; whatever else was written is counted alone."""
    kept, others = [], Counter[str]()
    for line in lines:
        try:
            said = msgspec.json.decode(line[:MAX_LOG_LINE_CHARACTERS])
        except UNDECODABLE:
            said = None
        if not isinstance(said, dict):
            others["lines that are not the register's own"] += 1
            continue
        kept.append({name: _field(name, value) for name, value in said.items() if name in _LOG_FIELDS})
        del kept[:-MAX_LOG_LINES]
    if others:
        kept.append({"left_out": dict(others)})
    return b"".join(msgspec.json.encode(each) + b"\n" for each in kept)


def _field(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return value[:32] if name == "timestamp" else scrubbed(value)
    return value if value is None or isinstance(value, int | float) else SET
