"""What a scan test can find: each fault of a scanner with what it does to recognition, and its remedy.

Owns the words. They name no make: manuals differ, and the programming barcodes that help are called alike in
nearly all of them. Never decides which fault there is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

FindingKind = Literal[
    "layout_wrong",
    "layout_between",
    "layout_unknown",
    "caps_lock",
    "case_changed",
    "aim_missing",
    "aim_other",
    "suffix_missing",
    "suffix_other",
    "suffix_needless",
    "prefix_missing",
    "prefix_unknown",
    "trailer_unknown",
    "fnc1_dropped",
    "fnc1_written",
    "fnc1_replaced",
    "check_digit_missing",
    "zero_added",
    "number_system_missing",
    "zeros_added",
    "code39_stars",
    "code39_check_cut",
    "code39_check_sent",
    "truncated",
    "read_twice",
    "parity_wrong",
    "garbled",
    "other_code",
    "not_read",
]
Severity = Literal["problem", "note"]


class Finding(Struct, frozen=True, kw_only=True):
    """One fault. `setting` is the line for this scanner's table that makes up for it; empty where none does.

    `codes` are the numbers of the sheet's codes that showed it.
    """

    kind: FindingKind
    severity: Severity
    what: str
    effect: str
    remedy: str
    setting: str = ""
    codes: tuple[int, ...] = ()


class _Words(Struct, frozen=True, kw_only=True):
    severity: Severity
    what: str
    effect: str
    remedy: str
    setting: str = ""


_LINE = "Set both sides alike: at the scanner under “RS-232” or “Interface”, here with baud, data_bits and parity."

_WORDS: dict[FindingKind, _Words] = {
    "layout_wrong": _Words(
        severity="problem",
        what="The scanner types for a {scanner} keyboard; its setting here says {host}.",
        effect="Letters and signs come out as others (such as Y for Z, or - for /), so cards are not recognised.",
        remedy="Set the layout here. If the POS types them wrong too, set the scanner to the POS's keyboard instead: "
        "“Country keyboard”, “Keyboard layout” or “Keyboard country” in its manual.",
        setting="layout = {layout}",
    ),
    "layout_between": _Words(
        severity="problem",
        what="The code arrives as if a scanner had typed it for a {scanner} keyboard on a {host} one.",
        effect="Letters and signs come out as others (such as Y for Z, or - for /), so cards are not recognised.",
        remedy="A scanner on a line sends characters, so something between types them: a keyboard emulation, a "
        "converter or an app. Set both to the same keyboard (“Country keyboard” or “Keyboard layout” in the scanner's "
        "manual), or let the scanner send without keys (“USB serial”, “USB-CDC” or “RS-232”).",
    ),
    "layout_unknown": _Words(
        severity="problem",
        what="What it typed fits none of the keyboards that are known here.",
        effect="Cards are not recognised.",
        remedy="Set the scanner to the US keyboard, or to send each character as an ALT code (“ALT mode”, “Universal "
        "keyboard”, “Keypad emulation”), and test again.",
        setting='layout = "us"',
    ),
    "caps_lock": _Words(
        severity="problem",
        what="Capital and small letters are exchanged.",
        effect="AIM identifiers, links and patterns in small letters are not recognised.",
        remedy="Switch CapsLock off at the POS; then look for “Caps Lock”, “Caps Lock override” or “Invert case” in "
        "the scanner's manual and set it to off or automatic.",
    ),
    "case_changed": _Words(
        severity="problem",
        what="The scanner turns letters into {case} ones.",
        effect="Links, and patterns that hold the other kind of letters, are not recognised; cards are, since their "
        "case does not count.",
        remedy="Look for “Convert case”, “Case conversion” or “Upper/lower case” in its manual and switch it off.",
    ),
    "aim_missing": _Words(
        severity="problem",
        what="No AIM identifier (such as ]C0) comes before the code.",
        effect="Nobody can tell which kind of barcode it was: a card whose number looks like goods counts as goods, "
        "and the other way round.",
        remedy="Look for “AIM ID”, “AIM code ID”, “Transmit code ID: AIM” or “Symbology identifier” in the manual and "
        "switch it on for all codes. If the POS cannot bear it, describe your cards with rules ([[identification]]).",
    ),
    "aim_other": _Words(
        severity="note",
        what="It calls this code {sent}; {aim} was expected.",
        effect="Rules that name this kind of barcode do not fit.",
        remedy="Look for a setting that converts this kind of barcode into another, and switch it off.",
    ),
    "suffix_missing": _Words(
        severity="problem",
        what="Nothing ends the code ({suffix} was expected).",
        effect="Every code is dropped after {idle_ms} ms of silence, since half a code looks the same.",
        remedy="Look for “Suffix”, “Terminator”, “Add CR” or “Enter suffix” in the manual and let it send {name}.",
        setting="suffix = {without}",
    ),
    "suffix_other": _Words(
        severity="problem",
        what="The code ends with {sent}; {suffix} was expected.",
        effect="The end of a code is not seen: codes are dropped, or run together.",
        remedy="Set the suffix here, or look for “Suffix” or “Terminator” in the manual and let it send {name}.",
        setting="suffix = {value}",
    ),
    "suffix_needless": _Words(
        severity="note",
        what="The scanner ends codes with {sent}, and the setting says that it sends nothing.",
        effect="Every scan is shown {idle_ms} ms later than it could be.",
        remedy="Remove `suffix` from this scanner's settings.",
    ),
    "prefix_missing": _Words(
        severity="problem",
        what="The prefix {prefix} that the setting names does not come.",
        effect="Every code is dropped.",
        remedy="Remove `prefix` from this scanner's settings, or look for “Prefix” or “Preamble” in its manual.",
    ),
    "prefix_unknown": _Words(
        severity="problem",
        what="{sent} comes before the code.",
        effect="Cards get a number that nobody knows, and goods are taken for cards.",
        remedy="Look for “Prefix”, “Preamble” or “Code ID” in the manual and clear it. If it is the same before every "
        "code, it can be set here instead; if it differs, it is the maker's own code ID: let it send AIM IDs.",
        setting="prefix = {value}",
    ),
    "trailer_unknown": _Words(
        severity="problem",
        what="{sent} comes after the code.",
        effect="Cards get a number that nobody knows, and goods are taken for cards.",
        remedy="Look for “Suffix”, “Postamble” or “Append” in the manual and clear it, or set it here.",
        setting="suffix = {value}",
    ),
    "fnc1_dropped": _Words(
        severity="problem",
        what="The GS1 separator (FNC1) inside the code is missing.",
        effect="Elements without a fixed length run into the next one: lots, serial numbers and coupons are wrong.",
        remedy="Look for “FNC1”, “GS1 separator”, “Send group separator” or “GS substitution” in the manual and let it "
        "send ASCII 29 (GS); on a keyboard wedge also “Control characters” or “Function codes: on”.",
    ),
    "fnc1_written": _Words(
        severity="note",
        what="The GS1 separator (FNC1) comes as the text {sent}.",
        effect="None here: it is understood. Other programs may not.",
        remedy="Look for “FNC1” or “GS substitution” in the manual if you want ASCII 29 (GS) sent.",
    ),
    "fnc1_replaced": _Words(
        severity="problem",
        what="{sent} comes in the place of the GS1 separator (FNC1).",
        effect="Elements without a fixed length run into the next one: lots, serial numbers and coupons are wrong.",
        remedy="Look for “FNC1”, “GS1 separator” or “GS substitution” in the manual and let it send ASCII 29 (GS), "
        "{{GS}} or <GS>.",
    ),
    "check_digit_missing": _Words(
        severity="problem",
        what="The check digit at the end is cut off.",
        effect="Goods are not known as goods, and may be taken for cards; a misread is not noticed.",
        remedy="Look for “Transmit check digit” of this kind of barcode in the manual and switch it on.",
    ),
    "zero_added": _Words(
        severity="note",
        what="The UPC-A comes with a zero before it, as an EAN-13.",
        effect="None: both are the same goods here.",
        remedy="Look for “UPC-A to EAN-13” in the manual if the POS needs 12 digits.",
    ),
    "number_system_missing": _Words(
        severity="problem",
        what="The first digit of the UPC-A (its number system) is cut off.",
        effect="Goods are not known as goods, and may be taken for cards.",
        remedy="Look for “UPC-A preamble” or “Transmit number system” in the manual and switch it on.",
    ),
    "zeros_added": _Words(
        severity="note",
        what="The EAN-8 is filled up with zeros.",
        effect="None: both are the same goods here.",
        remedy="Look for “EAN-8 zero extend” or “EAN-8 to EAN-13” in the manual if the POS needs 8 digits.",
    ),
    "code39_stars": _Words(
        severity="problem",
        what="The start and stop characters of Code 39 (*) are sent.",
        effect="Cards in Code 39 get a number that nobody knows.",
        remedy="Look for “Transmit start/stop characters” under Code 39 in the manual and switch it off.",
    ),
    "code39_check_cut": _Words(
        severity="problem",
        what="The last character of a Code 39 is taken for a check character and cut off.",
        effect="Cards in Code 39 lose their last character, and those without a check character are not read.",
        remedy="Look for “Check digit” or “Mod 43” under Code 39 in the manual and switch it off, or let it be sent.",
    ),
    "code39_check_sent": _Words(
        severity="problem",
        what="A check character is sent that is no part of the Code 39.",
        effect="Cards in Code 39 get one character too many.",
        remedy="Look for “Transmit check digit” under Code 39 in the manual and switch it off; or cut it with a rule "
        "(`drop_trailing = 1`).",
    ),
    "truncated": _Words(
        severity="problem",
        what="Only {count} of {total} characters arrived.",
        effect="A part of a card's number may be somebody else's, so it must not be used.",
        remedy="Keyboard wedge: set a longer “Inter-character delay” or “Keystroke delay”. Serial: slow the line down "
        "or switch flow control on. If a fixed number of characters is missing, look for “Data editing” or “Trim”.",
    ),
    "read_twice": _Words(
        severity="note",
        what="One scan came {count} times.",
        effect="None while the same code counts once within `repeat_ms`; the POS may sell goods twice.",
        remedy="Look for “Same symbol timeout”, “Reread delay” or “Timeout between same symbol” in the manual and set "
        "it longer (0.5 s or more).",
    ),
    "parity_wrong": _Words(
        severity="problem",
        what="The scanner sends 7 data bits with {parity} parity; the setting says otherwise.",
        effect="Half of all characters come out as others: nothing is recognised.",
        remedy=_LINE,
        setting="data_bits = 7 and parity = {value}",
    ),
    "garbled": _Words(
        severity="problem",
        what="What arrived is not this code in any form.",
        effect="Nothing is recognised.",
        remedy="On RS-232 the speed differs most of the time: try 9600, 19200, 38400, 57600 and 115200. " + _LINE,
        setting="baud = …",
    ),
    "other_code": _Words(
        severity="problem",
        what="Another code was read than number {number} of the sheet.",
        effect="None by itself.",
        remedy="Cover the codes beside it, and scan number {number} again.",
    ),
    "not_read": _Words(
        severity="problem",
        what="Nothing came.",
        effect="Codes of this kind are not heard.",
        remedy="If it did not beep, this kind of barcode is off: look for “Enable {symbol}” in the manual (a laser "
        "scanner reads no QR codes). If it beeped, it sends elsewhere: look for “Interface”, and at the cable.",
    ),
}


def finding(kind: FindingKind, /, *, codes: tuple[int, ...] = (), **details: object) -> Finding:
    """The finding of that kind in words; `details` fill its places. Without a `value`, no setting helps."""
    words = _WORDS[kind]
    setting = "" if details.get("value") == "" else words.setting.format_map(details)
    return Finding(
        kind=kind,
        severity=words.severity,
        what=words.what.format_map(details),
        effect=words.effect.format_map(details),
        remedy=words.remedy.format_map(details),
        setting=setting,
        codes=codes,
    )


def joined(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings that say the same of several codes as one, the problems first."""
    codes: dict[Finding, set[int]] = {}
    for each in findings:
        codes.setdefault(replace(each, codes=()), set()).update(each.codes)
    merged = [replace(each, codes=tuple(sorted(numbers))) for each, numbers in codes.items()]
    return tuple(sorted(merged, key=lambda each: each.severity != "problem"))
