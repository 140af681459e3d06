"""The way back: which keys a scanner types for a text, and what another layout makes of them.

Owns choosing a key for a character. Pure. Serves whoever plays a scanner: tests, and drivers' authors.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Final

from drivers.wedge.composer import EndKey
from drivers.wedge.events import DOWN, UP, KeyEvent
from drivers.wedge.keyboard import UNKNOWN, Keyboard
from drivers.wedge.keymaps import (
    CONTROL_POSITIONS,
    KEY_ENTER,
    KEY_LEFTALT,
    KEY_LEFTCTRL,
    KEY_LEFTSHIFT,
    KEY_RIGHTALT,
    KEY_SPACE,
    KEY_TAB,
    KEYPAD_DIGITS,
    LAYOUTS,
    Layout,
    Level,
    Symbol,
)

_MODIFIERS: Final[dict[Level, tuple[int, ...]]] = {0: (), 1: (KEY_LEFTSHIFT,), 2: (KEY_RIGHTALT,)}
_END_KEYS: Final[dict[EndKey, int]] = {"enter": KEY_ENTER, "tab": KEY_TAB}
_KEYPAD: Final = {digit: code for code, digit in KEYPAD_DIGITS.items()}
# A USB keyboard that is read once a millisecond.
STEP_NS: Final = 1_000_000


class UntypableError(ValueError):
    """A scanner set to this layout has no key for a character."""


def encode(
    layout: str,
    text: str,
    *,
    prefix: EndKey | None = None,
    suffix: EndKey | None = "enter",
    start_ns: int = 0,
    step_ns: int = STEP_NS,
    alt: bool = False,
) -> list[KeyEvent]:
    """What a scanner set to `layout` types for `text`: one event every `step_ns` from `start_ns` on.

    Control characters are sent with CTRL. With `alt` every character is an ALT code of four digits, as scanners
    send them to be independent of the layout. Raises UntypableError.
    """
    strokes = [_end(prefix)] if prefix is not None else []
    strokes += [_alt_code(char) for char in text] if alt else [_strokes(LAYOUTS[layout], char) for char in text]
    strokes += [_end(suffix)] if suffix is not None else []
    moves = [move for each in strokes for move in each]
    return [
        KeyEvent(code=code, value=value, at_ns=start_ns + number * step_ns)
        for number, (code, value) in enumerate(moves)
    ]


def as_seen(text: str, scanner_layout: str, host_layout: str) -> str:
    """What a host set to `host_layout` makes of `text` typed by a scanner set to `scanner_layout`.

    Keys that the host's layout does not have give nothing. Raises UntypableError.
    """
    keyboard = Keyboard(LAYOUTS[host_layout])
    seen = "".join(keyboard.feed(event) for event in encode(scanner_layout, text))
    return seen.removesuffix("\r").replace(UNKNOWN, "")


_Move = tuple[int, int]


def _strokes(layout: Layout, char: str) -> tuple[_Move, ...]:
    found = _keys(layout.name).get(char)
    if found is not None:
        (code, level), dead = found
        return (*_press(code, *_MODIFIERS[level]), *(_press(KEY_SPACE) if dead else ()))
    code_of_control = _control_key(layout, char)
    if code_of_control is None:
        raise UntypableError(f"a scanner set to {layout.name!r} has no key for U+{ord(char):04X}")
    return tuple(_press(code_of_control, KEY_LEFTCTRL))


@cache
def _keys(layout: str) -> dict[str, tuple[tuple[int, Level], bool]]:
    """For each character the key that gives it, and whether it is dead: a live one first, then the lowest level."""
    keys: dict[str, tuple[tuple[int, Level], bool]] = {}
    for place, symbol in sorted(LAYOUTS[layout].symbols.items(), key=_preference):
        keys.setdefault(symbol.char, (place, symbol.dead))
    return keys


def _preference(item: tuple[tuple[int, Level], Symbol]) -> tuple[bool, Level, int]:
    (code, level), symbol = item
    return symbol.dead, level, code


def _control_key(layout: Layout, char: str) -> int | None:
    letter = chr(ord(char) | 0x60)
    if char < " " and "a" <= letter <= "z":
        return _keys(layout.name)[letter][0][0]
    return next((code for code, control in CONTROL_POSITIONS.items() if control == char), None)


def _alt_code(char: str) -> tuple[_Move, ...]:
    try:
        (byte,) = char.encode("cp1252")
    except UnicodeEncodeError as error:
        raise UntypableError(f"there is no ALT code for U+{ord(char):04X}") from error
    digits = [_press(_KEYPAD[digit]) for digit in f"{byte:04}"]
    return ((KEY_LEFTALT, DOWN), *(move for press in digits for move in press), (KEY_LEFTALT, UP))


def _press(code: int, *modifiers: int) -> Iterator[_Move]:
    yield from ((modifier, DOWN) for modifier in modifiers)
    yield code, DOWN
    yield code, UP
    yield from ((modifier, UP) for modifier in modifiers)


def _end(key: EndKey) -> tuple[_Move, ...]:
    return tuple(_press(_END_KEYS[key]))
