"""Key maps: which character a scanner that is set to a country's keyboard meant by a key.

Owns the layouts as data and looking them up. Pure, of the standard library. Never sees an event, and never
asks the operating system for its layout: what a scanner means does not depend on the till's.

A scanner's country setting stands for that country's keyboard as Windows has it, dead keys included. Linux's own
maps differ in a few dead keys of the third level, which `docs/wedges.md` lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

# Positions, from Linux's input-event-codes.h.
KEY_TAB: Final = 15
KEY_ENTER: Final = 28
KEY_LEFTCTRL: Final = 29
KEY_LEFTSHIFT: Final = 42
KEY_RIGHTSHIFT: Final = 54
KEY_LEFTALT: Final = 56
KEY_SPACE: Final = 57
KEY_CAPSLOCK: Final = 58
KEY_F8: Final = 66
KEY_NUMLOCK: Final = 69
KEY_SCROLLLOCK: Final = 70
KEY_KPENTER: Final = 96
KEY_RIGHTCTRL: Final = 97
KEY_RIGHTALT: Final = 100
KEY_LEFTMETA: Final = 125
KEY_RIGHTMETA: Final = 126

SHIFT_KEYS: Final = frozenset({KEY_LEFTSHIFT, KEY_RIGHTSHIFT})
CTRL_KEYS: Final = frozenset({KEY_LEFTCTRL, KEY_RIGHTCTRL})
META_KEYS: Final = frozenset({KEY_LEFTMETA, KEY_RIGHTMETA})
MODIFIERS: Final = SHIFT_KEYS | CTRL_KEYS | META_KEYS | {KEY_LEFTALT, KEY_RIGHTALT}
LOCK_KEYS: Final = frozenset({KEY_CAPSLOCK, KEY_NUMLOCK, KEY_SCROLLLOCK})

# The four rows of text keys from the left: the key beside 1, beside Q, beside A (with the key that is beside ENTER
# or above it), and the key between SHIFT and Z that US keyboards lack.
ROWS: Final = (
    (41, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13),
    (16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27),
    (30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 43),
    (86, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53),
)
TEXT_KEYS: Final = frozenset(code for row in ROWS for code in row) | {KEY_SPACE}

KEYPAD_DIGITS: Final[Mapping[int, str]] = MappingProxyType(
    dict(zip((82, 79, 80, 81, 75, 76, 77, 71, 72, 73), "0123456789", strict=True))
)
KEYPAD_DECIMAL: Final = 83
KEYPAD_SIGNS: Final = MappingProxyType({55: "*", 74: "-", 78: "+", 98: "/", 117: "=", 121: ","})

# Where US keyboards have [ \ ] 6 - and 2: a scanner that sends a control character as CTRL with a key presses these
# on every layout, when the layout has no key of its own for it.
CONTROL_POSITIONS: Final = MappingProxyType({26: "\x1b", 43: "\x1c", 27: "\x1d", 7: "\x1e", 12: "\x1f", 3: "\x00"})

Level = Literal[0, 1, 2]
"""Which of a key's characters: plain, with SHIFT, with ALTGR."""

# What a dead key adds to the letter after it.
COMBINING: Final = MappingProxyType(
    {
        "`": "\u0300",
        "´": "\u0301",
        "^": "\u0302",
        "~": "\u0303",
        "˘": "\u0306",
        "˙": "\u0307",
        "¨": "\u0308",
        "°": "\u030a",
        "˝": "\u030b",
        "ˇ": "\u030c",
        "¸": "\u0327",
        "˛": "\u0328",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbol:
    """The character on a key at one level. A `dead` one waits for the next key; with SPACE it is itself."""

    char: str
    dead: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One country's keyboard. `oem` is the code page of its three-digit ALT codes."""

    name: str
    symbols: Mapping[tuple[int, Level], Symbol]
    has_altgr: bool
    decimal: str
    oem: str

    def symbol(self, code: int, level: Level, *, caps: bool = False) -> Symbol | None:
        """What a key gives; None where the layout has nothing there. CapsLock turns letters over, and them only."""
        if caps and level != 2 and self._is_letter(code):
            level = 0 if level else 1
        return self.symbols.get((code, level))

    def _is_letter(self, code: int) -> bool:
        plain, shifted = self.symbols.get((code, 0)), self.symbols.get((code, 1))
        if plain is None or shifted is None:
            return False
        return plain.char.isalpha() and plain.char != shifted.char and plain.char.upper() == shifted.char


_NOTHING: Final = "·"
_Rows = tuple[str, str, str, str]


def _layout(
    name: str,
    levels: tuple[_Rows, ...],
    *,
    dead: tuple[str, ...],
    decimal: str,
    oem: str,
) -> Layout:
    """A layout from what stands on its keys, level by level and row by row, and what of that is dead."""
    symbols: dict[tuple[int, Level], Symbol] = {}
    numbers: tuple[Level, ...] = (0, 1, 2)
    for level, rows, dead_chars in zip(numbers, levels, dead, strict=False):
        for codes, chars in zip(ROWS, rows, strict=True):
            for code, char in zip(codes, chars, strict=True):
                if char != _NOTHING:
                    symbols[code, level] = Symbol(char=char, dead=char in dead_chars)
        symbols[KEY_SPACE, level] = Symbol(char=" ")
    return Layout(name=name, symbols=MappingProxyType(symbols), has_altgr=len(levels) == 3, decimal=decimal, oem=oem)


_US: Final = _layout(
    "us",
    (
        ("`1234567890-=", "qwertyuiop[]", "asdfghjkl;'\\", "\\zxcvbnm,./"),
        ("~!@#$%^&*()_+", "QWERTYUIOP{}", 'ASDFGHJKL:"|', "|ZXCVBNM<>?"),
    ),
    dead=("", ""),
    decimal=".",
    oem="cp437",
)
_DE: Final = _layout(
    "de",
    (
        ("^1234567890ß´", "qwertzuiopü+", "asdfghjklöä#", "<yxcvbnm,.-"),
        ('°!"§$%&/()=?`', "QWERTZUIOPÜ*", "ASDFGHJKLÖÄ'", ">YXCVBNM;:_"),
        ("··²³···{[]}\\·", "@·€········~", "············", "|······µ···"),
    ),
    dead=("^´", "`", ""),
    decimal=",",
    oem="cp850",
)
_FR: Final = _layout(
    "fr",
    (
        ("²&é\"'(-è_çà)=", "azertyuiop^$", "qsdfghjklmù*", "<wxcvbn,;:!"),
        ("·1234567890°+", "AZERTYUIOP¨£", "QSDFGHJKLM%µ", ">WXCVBN?./§"),
        ("··~#{[|`\\^@]}", "··€········¤", "············", "···········"),
    ),
    dead=("^", "¨", "~`"),
    decimal=".",
    oem="cp850",
)
_SI: Final = _layout(
    "si",
    (
        ("¸1234567890'+", "qwertzuiopšđ", "asdfghjklčćž", "<yxcvbnm,.-"),
        ('¨!"#$%&/()=?*', "QWERTZUIOPŠĐ", "ASDFGHJKLČĆŽ", ">YXCVBNM;:_"),
        ("·~ˇ^˘°˛`˙´˝¨¸", "\\|€·······÷×", "···[]··łŁ·ß¤", "····@{}§<>·"),
    ),
    dead=("¸", "¨", "ˇ^˘°˛˙´˝¨¸"),
    decimal=",",
    oem="cp852",
)
# Serbian Latin differs from Slovenian in the key beside 1. Windows has a low quotation mark on it and Linux the
# backtick, which is the one a code can hold.
_RS: Final = _layout(
    "rs",
    (
        ("`1234567890'+", "qwertzuiopšđ", "asdfghjklčćž", "<yxcvbnm,.-"),
        ('~!"#$%&/()=?*', "QWERTZUIOPŠĐ", "ASDFGHJKLČĆŽ", ">YXCVBNM;:_"),
        ("·~ˇ^˘°˛`˙´˝¨¸", "\\|€·······÷×", "···[]··łŁ·ß¤", "····@{}§<>·"),
    ),
    dead=("", "", "ˇ^˘°˛˙´˝¨¸"),
    decimal=",",
    oem="cp852",
)
LayoutName = Literal["us", "de", "fr", "si", "hr", "rs"]
LAYOUTS: Final[Mapping[str, Layout]] = MappingProxyType(
    {"us": _US, "de": _DE, "fr": _FR, "si": _SI, "hr": _SI, "rs": _RS}
)
"""Layouts that a scanner can be set to, by name; Croatia's is Slovenia's."""
