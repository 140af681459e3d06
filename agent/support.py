"""What may be sent to who helps: how a register is, and nothing of who shops or of what opens anything.

Owns what goes into a support bundle and what is left out of a text. Shapes are chosen one by one: what is not known to
be harmless is not in it. Pure; what is looked at comes with the call.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from agent.doctor.checks import DoctorReport
from agent.inspection import QueueReport, StatusReport
from config.settings import ReceiptSettings, ScannerSettings, Settings
from loyalty.undecodable import UNDECODABLE

# Of the log the newest lines are taken, and of one line so much.
MAX_LOG_LINES: Final = 5_000
MAX_LOG_LINE_CHARACTERS: Final = 4_000
# Names of what is wrong, of devices and of states; long enough for a remedy.
MAX_TEXT_CHARACTERS: Final = 2_000
SET: Final = "(set)"
# What is shorter stands in too many words.
MIN_HIDDEN_CHARACTERS: Final = 3
_CALLED: Final = {"scanners": "scanner", "receipts": "source"}

Clean = Callable[[str], str]
"""What leaves out of a text whatever is not to be sent."""

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
# A path from its second folder on, whose names may be people's. A space does not end it where a separator follows, or a
# word that begins with a great letter, as in a name.
_ON: Final = (
    r"[^\s'\"<>]*(?:(?: [^\s/\\'\"<>]+){1,4}[/\\][^\s'\"<>]*)*(?:(?<![.,:;)]) [^\W\d_a-z][^\s/\\'\"<>]*)*(?<![.,:;)])"
)
_PATH: Final = re.compile(rf"(?<![\w.:/\\])(/[^\s/'\"<>]+/){_ON}|(?<!\w)([A-Za-z]:\\|\\\\){_ON}")
# What the package itself makes, and ports by the system's names.
_OWN_PATH: Final = re.compile(
    r"/(?:etc|run|var/lib|var/spool)/tillside(?:/(?:spool|versions|captures|\w+\.(?:db|json|toml)))?"
    r"|/dev/(?:tty[A-Z]+\d{1,3}|usb/lp\d{1,2}|hidraw\d{1,2})"
)
# Words behind which a secret, or a number of somebody's, stands, whatever it looks like.
_SAID: Final = re.compile(
    r"(?i)\b((?:pass(?:word|wort|phrase)?|pwd|secret|token|api[_-]?key|key|pin|code|authorization|lozinka|geslo|zaporka)"
    r"\s*[=:]\s*(?:(?:bearer|basic)\s+)?|(?:bearer|basic)\s+)\S+"
    r"|\b((?:password|passwort|secret|token|lozinka|geslo|zaporka)\s+)[^\s'…]{8,}"
    r"|\b((?:card|member|voucher|code|karte|kartica|kupac)\s+)(?:[\w-]*\d[\w-]*|[A-Z]{2,}(?:-[A-Z]+)+)"
)
# A quotation begins where no word ends: an apostrophe is none. Codes of vouchers stand in groups.
_QUOTED: Final = re.compile(r"(?<!\w)'[^']*'(?!\w)|\"[^\"]*\"|[„“”][^“”]*[“”]|‘[^’]*’|«[^»]*»|»[^«]*«")
_GROUPS: Final = re.compile(r"(?<!\w)(?:[A-Z0-9]{4}[ -]){2,}[A-Z0-9]{1,4}(?!\w)")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value


# What settings say by themselves tells nothing of anybody.
_OF_DEFAULTS: Final = frozenset(
    text
    for settings in (Settings(), ReceiptSettings(name=""), ScannerSettings(name=""))
    for text in _texts(msgspec.to_builtins(settings, enc_hook=str))
)


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
    clean = _without_settings(settings)
    files: dict[str, Any] = {"about.json": {**about, "not_there": {name: clean(why) for name, why in failed.items()}}}
    if settings is not None:
        files["settings.json"] = _settings(msgspec.to_builtins(settings, enc_hook=lambda _path: SET))
    if status is not None:
        files["status.json"] = _report(msgspec.to_builtins(status), clean)
    if doctor is not None:
        files["doctor.json"] = [
            {"area": check.area, "verdict": check.verdict, "said": clean(check.said)} for check in doctor.checks
        ]
    if queue is not None:
        files["queue.json"] = _queue(queue)
    written = {name: msgspec.json.format(msgspec.json.encode(content), indent=1) for name, content in files.items()}
    return written | {"log.jsonl": _log(log, clean)}


def _without_settings(settings: Settings | None) -> Clean:
    """`scrubbed`, and without what `_settings` hides: a device or a source is told by its place in the list."""
    said = {} if settings is None else dict(_hidden(msgspec.to_builtins(settings, enc_hook=str)))
    for value in [value for value in said if len(value) < MIN_HIDDEN_CHARACTERS or value in _OF_DEFAULTS]:
        del said[value]
    if not said:
        return scrubbed
    known = "|".join(map(re.escape, sorted(said, key=len, reverse=True)))
    pattern = re.compile(rf"(?<!\w)(?:{known})(?!\w)")
    return lambda text: scrubbed(pattern.sub(lambda found: said[found[0]], text))


def _hidden(value: Any, key: str = "", called: str = "…") -> Iterator[tuple[str, str]]:
    """Texts of settings that are not shown, each with what stands for it."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _hidden(each, name, called if name == "name" else "…")
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value, 1):
            yield from _hidden(each, key, f"{_CALLED.get(key, key)} {number}")
    elif isinstance(value, str) and key not in _PLAIN_SETTINGS:
        yield value, called


def scrubbed(text: str) -> str:
    """A sentence without what is quoted in it, without addresses, folders and anything that looks like a code."""
    text = _QUOTED.sub("'…'", text[:MAX_TEXT_CHARACTERS])
    text = _LINK.sub(r"\1…", text)
    text = _PATH.sub(lambda found: found[0] if _OWN_PATH.fullmatch(found[0]) else f"{found[1] or found[2]}…", text)
    text = _ADDRESS.sub("…@…", text)
    for suspect in (_GROUPS, _CODE, _NUMBER_GROUPS):
        text = suspect.sub(lambda found: found[0] if _HARMLESS.match(found[0]) else "…", text)
    return _SAID.sub(lambda found: f"{found[1] or found[2] or found[3]}…", text)


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


def _report(value: Any, clean: Clean, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _report(each, clean, name) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_report(each, clean, key) for each in value]
    if not isinstance(value, str):
        return value
    return value[:12] if key in _IDS else clean(value)


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


def _log(lines: Iterable[str], clean: Clean) -> bytes:
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
        kept.append({name: _field(name, value, clean) for name, value in said.items() if name in _LOG_FIELDS})
        del kept[:-MAX_LOG_LINES]
    if others:
        kept.append({"left_out": dict(others)})
    return b"".join(msgspec.json.encode(each) + b"\n" for each in kept)


def _field(name: str, value: Any, clean: Clean) -> Any:
    if isinstance(value, str):
        return value[:32] if name == "timestamp" else clean(value)
    return value if value is None or isinstance(value, int | float) else SET
