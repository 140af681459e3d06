"""What is wrong with a scanner, from what it sent for a code that is known.

Owns the judgement: each fault changes what arrives in a known way, so the least faults that explain exactly what
arrived are taken for the cause. Pure. Never hears a scanner (`listening` does), and never keeps what was heard.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import permutations

import msgspec
from msgspec import Struct

from agent.doctor.findings import Finding, FindingKind, finding
from agent.doctor.sheet import CODES, FNC1, SheetCode
from drivers.scanning.framing import IDLE_MS
from drivers.wedge.composer import IDLE_MS as WEDGE_IDLE_MS
from drivers.wedge.composer import Prefix, Suffix
from drivers.wedge.encode import as_seen
from drivers.wedge.events import DeviceEvent
from drivers.wedge.keyboard import Keyboard
from drivers.wedge.keymaps import LAYOUTS

# A shorter text would be found in another one by chance.
MIN_FOUND_CHARS = 6
MIN_PIECE_CHARS = 3
# Of a code that lost characters in its middle, this share has to be there to be known again.
MIN_SHARE_LEFT = 0.6

# What the settings take as prefix and suffix.
MAX_END_CHARS = 16

_AIM = re.compile(r"\][A-Za-z][0-9A-Za-z]")
_LINE_ENDS = re.compile(r"[\r\n\t]+")
_CONTROLS_AT_END = re.compile(r"[\x00-\x1c\x1e\x1f]+$")
_WRITTEN_FNC1 = ("<GS>", "{GS}", "^]")
_CODE_39 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-. $/+%"
_END_KEYS = {"none": "", "enter": "\r", "tab": "\t"}

_CHARACTER_NAMES = {
    "\r": "CR (ENTER)",
    "\n": "LF",
    "\t": "TAB",
    "\x02": "STX",
    "\x03": "ETX",
    "\x04": "EOT",
    FNC1: "GS",
    " ": "a space",
}
_LAYOUT_NAMES = {"us": "US", "de": "German", "fr": "French", "si": "Slovenian", "hr": "Croatian", "rs": "Serbian"}
# Croatia's is Slovenia's: naming both would say nothing.
_TRIED_LAYOUTS = ("us", "de", "fr", "si", "rs")
_SYMBOL_NAMES = {
    "code128": "Code 128",
    "gs1-128": "GS1-128",
    "code39": "Code 39",
    "ean13": "EAN-13",
    "ean8": "EAN-8",
    "upca": "UPC-A",
    "itf": "Interleaved 2 of 5",
    "qr": "QR Code",
}

# How unlikely a fault is: of two explanations the one that weighs less is taken. From `_PIECE` on, what was heard
# may as well have been another code of the sheet; `_GARBLED` explains nothing.
_HARMLESS, _COMMON, _RARE, _LAYOUT, _BETWEEN, _EXTRA, _PIECE, _GARBLED = 1, 2, 3, 3, 4, 5, 12, 60


class SerialSetting(Struct, frozen=True, kw_only=True):
    """What the settings say of a scanner that sends bytes."""

    prefix: str = ""
    suffix: str | None = None
    idle_ms: int = IDLE_MS


class WedgeSetting(Struct, frozen=True, kw_only=True):
    """What the settings say of a scanner that types."""

    layout: str = "us"
    prefix: Prefix = "none"
    suffix: Suffix | None = None
    idle_ms: int = WEDGE_IDLE_MS


class HeardCode(Struct, frozen=True, kw_only=True):
    """All that came for one pull of the trigger, until silence: `data` of a serial scanner, `keys` of a wedge."""

    setting: SerialSetting | WedgeSetting
    data: bytes = b""
    keys: tuple[DeviceEvent, ...] = ()


class _Fault(Struct, frozen=True, kw_only=True):
    """One fault, its weight, and what fills its words."""

    kind: FindingKind
    weight: int
    details: dict[str, object] = {}


_Faults = tuple[_Fault, ...]


class _Asked(Struct, frozen=True, kw_only=True):
    """What was asked for, how the scanner is set here, and how what came ended."""

    code: SheetCode
    setting: SerialSetting | WedgeSetting
    end: str


class _Explanation(Struct, frozen=True, kw_only=True):
    """Faults that explain what was heard; `layout` where the scanner typed for another one than is set."""

    faults: _Faults
    layout: str = ""

    @property
    def weight(self) -> int:
        return sum(fault.weight for fault in self.faults) + (_LAYOUT if self.layout else 0)


def diagnose(expected: SheetCode, heard: HeardCode) -> tuple[Finding, ...]:
    """What is wrong, if `heard` is what a scanner sent for `expected`; nothing if all is right."""
    found = list(_explanations(expected, heard))
    best = min(found, key=lambda each: each.weight)
    number = (expected.number,)
    if best.weight >= _PIECE and _is_another(expected, heard):
        return (finding("other_code", codes=number, number=expected.number),)
    findings = [finding(fault.kind, codes=number, **fault.details) for fault in best.faults]
    if best.layout and isinstance(heard.setting, WedgeSetting):
        # The sheet cannot tell Slovenian from Serbian, so all that explain as much are named.
        alike = [each.layout for each in found if each.layout and each.faults == best.faults]
        findings.insert(0, _wrong_layout(expected, heard.setting.layout, alike))
    return tuple(findings)


def diagnose_silence(expected: SheetCode) -> tuple[Finding, ...]:
    """What is wrong, if nothing came for `expected`."""
    return (finding("not_read", codes=(expected.number,), symbol=_SYMBOL_NAMES[expected.symbol]),)


def _wrong_layout(expected: SheetCode, host: str, scanner: Sequence[str]) -> Finding:
    return finding(
        "layout_wrong",
        codes=(expected.number,),
        host=f'{_LAYOUT_NAMES[host]} ("{host}")',
        scanner=" or ".join(f'{_LAYOUT_NAMES[each]} ("{each}")' for each in scanner),
        layout=" or ".join(f'"{each}"' for each in scanner),
    )


def _is_another(expected: SheetCode, heard: HeardCode) -> bool:
    """Whether another code of the sheet was read."""
    return any(
        explanation.weight < _PIECE for code in CODES if code != expected for explanation in _explanations(code, heard)
    )


def _explanations(expected: SheetCode, heard: HeardCode) -> Iterator[_Explanation]:
    """All ways in which `heard` may have come of `expected`; the last explains anything."""
    if isinstance(heard.setting, SerialSetting):
        for before, text in _decoded(heard.data):
            around, body, end = _without_ends(text, heard.setting)
            for faults in _of_body(_Asked(code=expected, setting=heard.setting, end=end), body):
                yield _Explanation(faults=(*before, *around, *faults))
            for faults in _typed_between(expected, body):
                yield _Explanation(faults=(*before, *around, *faults))
        yield _Explanation(faults=(_Fault(kind="garbled", weight=_GARBLED),))
        return
    for layout in (heard.setting.layout, *_TRIED_LAYOUTS):
        around, body, end = _without_ends(_composed(heard.keys, layout), heard.setting)
        other = layout if layout != heard.setting.layout else ""
        for faults in _of_body(_Asked(code=expected, setting=heard.setting, end=end), body):
            yield _Explanation(faults=(*around, *faults), layout=other)
    yield _Explanation(faults=(_Fault(kind="layout_unknown", weight=_GARBLED),))


# From bytes and keys to text


def _decoded(data: bytes) -> Iterator[tuple[_Faults, str]]:
    """The text that bytes may be, as scans are read, and as if their eighth bit were parity."""
    try:
        yield (), data.decode()
    except UnicodeDecodeError:
        yield (), data.decode("latin-1")
    if any(byte >= 0x80 for byte in data):
        ones = {byte.bit_count() % 2 for byte in data}
        parity = "even" if ones == {0} else "odd" if ones == {1} else ""
        details: dict[str, object] = {
            "parity": parity or "some",
            "value": f'"{parity}"' if parity else "as the scanner has it",
        }
        fault = _Fault(kind="parity_wrong", weight=_RARE, details=details)
        yield (fault,), bytes(byte & 0x7F for byte in data).decode("ascii")


def _composed(keys: Sequence[DeviceEvent], layout: str) -> str:
    """What a scanner set to `layout` meant by these keys."""
    keyboard = Keyboard(LAYOUTS[layout])
    return "".join(keyboard.feed(event) for event in keys)


def _typed_between(code: SheetCode, body: str) -> Iterator[_Faults]:
    """Faults that make `body` of the code if something on the line types it, and not for the keyboard it is read by."""
    for aim in (*code.aims, ""):
        missing = () if aim else (_Fault(kind="aim_missing", weight=_COMMON),)
        for faults, text in _variants(code, has_aim=bool(aim)):
            if pairs := _ways_to_see(aim + text).get(body):
                details: dict[str, object] = {"scanner": _any_of(pair[0] for pair in pairs)}
                details["host"] = _any_of(pair[1] for pair in pairs)
                # Where a key gives nothing on the other keyboard, characters may have been lost as well.
                weight = _BETWEEN if len(body) == len(aim + text) else _EXTRA + 1
                yield (_Fault(kind="layout_between", weight=weight, details=details), *missing, *faults)


@cache
def _ways_to_see(text: str) -> dict[str, list[tuple[str, str]]]:
    """What `text` looks like, typed for one keyboard and read by another: which pairs of them give it."""
    ways: dict[str, list[tuple[str, str]]] = {}
    for scanner, host in permutations(_TRIED_LAYOUTS, 2):
        if (seen := as_seen(text, scanner, host)) != text:
            ways.setdefault(seen, []).append((scanner, host))
    return ways


def _any_of(layouts: Iterator[str]) -> str:
    return " or ".join(_LAYOUT_NAMES[each] for each in dict.fromkeys(layouts))


# What stands around a code


def _without_ends(text: str, setting: SerialSetting | WedgeSetting) -> tuple[_Faults, str, str]:
    """What is wrong around the code, the code itself, once, and what ended it."""
    prefix, suffix = _ends(setting)
    faults, body = _without_suffix(text, suffix, setting)
    end = text[len(body) :]
    lines = [line for line in (body.split(suffix) if suffix else _LINE_ENDS.split(body)) if line]
    if len(lines) == 1 and len(body) % 2 == 0 and body[: len(body) // 2] == body[len(body) // 2 :]:
        lines = [body[: len(body) // 2]] * 2  # nothing stood between the two
    if len(lines) > 1 and len(set(lines)) == 1 and len(lines[0]) >= MIN_FOUND_CHARS:
        faults = (*faults, _Fault(kind="read_twice", weight=_HARMLESS, details={"count": len(lines)}))
        body = lines[0]
    if prefix and body.startswith(prefix):
        body = body.removeprefix(prefix)
    elif prefix:
        faults = (*faults, _Fault(kind="prefix_missing", weight=_COMMON, details={"prefix": _named(prefix)}))
    return faults, body, end


def _without_suffix(text: str, suffix: str | None, setting: SerialSetting | WedgeSetting) -> tuple[_Faults, str]:
    if suffix is None:
        body = text.rstrip("\r\n\t")
        return ((_suffix_missing(suffix, setting),) if body == text else ()), body
    if suffix and text.endswith(suffix):
        return (), text.removesuffix(suffix)
    end = _CONTROLS_AT_END.search(text)
    if not suffix:
        if end is None:
            return (), text
        details: dict[str, object] = {"sent": _named(end[0]), "idle_ms": setting.idle_ms}
        return (_Fault(kind="suffix_needless", weight=_HARMLESS, details=details),), text[: end.start()]
    if end is None:
        return (_suffix_missing(suffix, setting),), text
    details = {"sent": _named(end[0]), "suffix": _named(suffix), "name": _named(suffix)}
    details["value"] = _value(end[0], setting)
    return (_Fault(kind="suffix_other", weight=_RARE, details=details),), text[: end.start()]


def _suffix_missing(suffix: str | None, setting: SerialSetting | WedgeSetting) -> _Fault:
    details: dict[str, object] = {
        "suffix": "CR, LF or TAB" if suffix is None else _named(suffix),
        "name": "CR (ENTER)" if suffix is None else _named(suffix),
        "idle_ms": setting.idle_ms,
        "without": '""' if isinstance(setting, SerialSetting) else '"none"',
    }
    return _Fault(kind="suffix_missing", weight=_COMMON, details=details)


def _ends(setting: SerialSetting | WedgeSetting) -> tuple[str, str | None]:
    """Prefix and suffix that are set, as characters."""
    if isinstance(setting, SerialSetting):
        return setting.prefix, setting.suffix
    return _END_KEYS[setting.prefix], None if setting.suffix is None else _END_KEYS[setting.suffix]


def _named(text: str) -> str:
    """`text` for people: control characters by name."""
    parts = re.findall(r"[!-~]+|.", text, re.DOTALL)
    return " ".join(
        f"“{part}”" if part[0] > " " and part[0].isprintable() else _CHARACTER_NAMES.get(part, f"U+{ord(part):04X}")
        for part in parts
    )


def _value(text: str, setting: SerialSetting | WedgeSetting) -> str:
    """`text` as it stands in the settings; empty where it cannot be set."""
    if isinstance(setting, WedgeSetting):
        return {"\t": '"tab"', "\r": '"enter"'}.get(text, "")
    return msgspec.json.encode(text).decode() if len(text) <= MAX_END_CHARS and text.isascii() else ""


# The code itself


def _of_body(asked: _Asked, body: str) -> Iterator[_Faults]:
    """Faults that make `body` of the code: its case, its identifier, its text."""
    code = asked.code
    for case, fold, seen in _cases(code, body):
        for identifier, rest, has_aim in _identifiers(asked, fold, seen):
            for faults in _of_text(asked, fold, rest, has_aim=has_aim):
                yield (*case, *identifier, *faults)
        for aim in code.aims:
            if 0 < len(aim + code.text) - len(seen) < len(aim) and fold(aim + code.text).endswith(seen):
                yield (*case, _truncated(aim + code.text, len(seen), weight=_EXTRA))


_Fold = Callable[[str], str]


def _cases(code: SheetCode, body: str) -> Iterator[tuple[_Faults, _Fold, str]]:
    yield (), str, body
    if re.search("[A-Za-z]", body):
        yield (_Fault(kind="caps_lock", weight=_RARE),), str, body.swapcase()
    whole = code.aims[0] + code.text
    for name, fold in (("capital", str.upper), ("small", str.lower)):
        if fold(whole) != whole:
            yield (_Fault(kind="case_changed", weight=_RARE, details={"case": name}),), fold, body


def _identifiers(asked: _Asked, fold: _Fold, seen: str) -> Iterator[tuple[_Faults, str, bool]]:
    """What is wrong with the AIM identifier, what follows it, and whether there is one."""
    aims = tuple(map(fold, asked.code.aims))
    found = _AIM.search(seen)
    if found is not None:
        before, rest = _before(asked, seen[: found.start()]), seen[found.end() :]
        if found[0] in aims:
            yield before, rest, True
        elif not before:
            details: dict[str, object] = {"sent": found[0], "aim": asked.code.aims[0]}
            yield (_Fault(kind="aim_other", weight=_COMMON, details=details),), rest, True
    yield (_Fault(kind="aim_missing", weight=_COMMON),), seen, False


def _of_text(asked: _Asked, fold: _Fold, rest: str, *, has_aim: bool) -> Iterator[_Faults]:
    for faults, text in _variants(asked.code, has_aim=has_aim):
        predicted = fold(text)
        if rest == predicted:
            yield faults
        elif len(predicted) >= MIN_FOUND_CHARS and predicted in rest:
            before, _, after = rest.partition(predicted)
            yield (*faults, *_before(asked, before), *_after(asked, after))
    if FNC1 in asked.code.text:
        yield from _replaced_fnc1(fold(asked.code.text), rest)
    if _is_piece(rest, fold(asked.code.text)):
        yield (_truncated(asked.code.text, len(rest), weight=_PIECE),)


def _before(asked: _Asked, sent: str) -> _Faults:
    """What comes before the code and belongs neither to it nor to the settings."""
    if not sent:
        return ()
    value = _value(_ends(asked.setting)[0] + sent, asked.setting)
    return (_Fault(kind="prefix_unknown", weight=_EXTRA, details={"sent": _named(sent), "value": value}),)


def _after(asked: _Asked, sent: str) -> _Faults:
    if not sent:
        return ()
    value = _value(sent + asked.end, asked.setting)
    return (_Fault(kind="trailer_unknown", weight=_EXTRA, details={"sent": _named(sent), "value": value}),)


def _variants(code: SheetCode, *, has_aim: bool) -> Iterator[tuple[_Faults, str]]:
    """Texts that scanners send for the code, and the faults that this takes."""
    text = code.text
    yield (), text
    cut = _Fault(kind="check_digit_missing", weight=_RARE)
    if code.symbol in ("ean13", "ean8", "upca", "itf"):
        yield (cut,), text[:-1]
    if code.symbol == "ean8":
        yield (_Fault(kind="zeros_added", weight=_HARMLESS),), text.zfill(13)
    elif code.symbol == "upca":
        yield from _upc_variants(text, cut, has_aim=has_aim)
    elif code.symbol == "code39":
        stars = _Fault(kind="code39_stars", weight=_RARE)
        yield (stars,), f"*{text}*"
        yield (_Fault(kind="code39_check_cut", weight=_RARE),), text[:-1]
        yield (_Fault(kind="code39_check_sent", weight=_RARE),), text + _code_39_check(text)
    elif code.symbol == "gs1-128":
        yield from _gs1_variants(text)


def _upc_variants(text: str, cut: _Fault, *, has_aim: bool) -> Iterator[tuple[_Faults, str]]:
    # By the standard the zero comes with the AIM identifier ]E0.
    zero = () if has_aim else (_Fault(kind="zero_added", weight=_HARMLESS),)
    system = _Fault(kind="number_system_missing", weight=_RARE)
    yield zero, f"0{text}"
    yield (*zero, cut), f"0{text[:-1]}"
    yield (system,), text[1:]
    yield (system, cut), text[1:-1]


def _gs1_variants(text: str) -> Iterator[tuple[_Faults, str]]:
    dropped = (_Fault(kind="fnc1_dropped", weight=_RARE),)
    yield dropped, text.replace(FNC1, "")
    for written in _WRITTEN_FNC1:
        details: dict[str, object] = {"sent": _named(written)}
        faults = (_Fault(kind="fnc1_written", weight=_HARMLESS, details=details),)
        # The leading FNC1, which is the AIM identifier's to tell, is written like the others.
        for leading in ("", written):
            yield faults, leading + text.replace(FNC1, written)
    yield (), FNC1 + text


def _replaced_fnc1(text: str, rest: str) -> Iterator[_Faults]:
    """Whether something else stands in the place of FNC1."""
    between = re.fullmatch("(.{1,4}?)".join(map(re.escape, text.split(FNC1))), rest, re.DOTALL)
    if between is not None and between[1] != FNC1:
        yield (_Fault(kind="fnc1_replaced", weight=_RARE + 1, details={"sent": _named(between[1])}),)


def _truncated(text: str, count: int, *, weight: int) -> _Fault:
    return _Fault(kind="truncated", weight=weight, details={"count": count, "total": len(text)})


def _is_piece(rest: str, text: str) -> bool:
    """Whether `rest` is `text` with characters missing, at its ends or here and there."""
    if not MIN_PIECE_CHARS <= len(rest) < len(text):
        return False
    left = iter(text)
    return rest in text or (len(rest) >= MIN_SHARE_LEFT * len(text) and all(character in left for character in rest))


def _code_39_check(text: str) -> str:
    """The modulo 43 check character (ISO/IEC 16388, annex A)."""
    return _CODE_39[sum(map(_CODE_39.index, text)) % len(_CODE_39)]
