"""From keys to characters: what a keyboard of a given layout types.

Owns the modifiers, CapsLock, dead keys and ALT codes between two keys. Sans-IO. Never finds where a code begins or
ends (`composer` does), and never acts on a key: what is no text gives no character.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from drivers.wedge.events import DOWN, UP, CapsLight, DeviceEvent, EventsLost, KeyEvent
from drivers.wedge.keymaps import (
    COMBINING,
    CONTROL_POSITIONS,
    CTRL_KEYS,
    KEY_CAPSLOCK,
    KEY_ENTER,
    KEY_F8,
    KEY_KPENTER,
    KEY_LEFTALT,
    KEY_RIGHTALT,
    KEY_TAB,
    KEYPAD_DECIMAL,
    KEYPAD_DIGITS,
    KEYPAD_SIGNS,
    META_KEYS,
    MODIFIERS,
    SHIFT_KEYS,
    TEXT_KEYS,
    Layout,
    Level,
)

UNKNOWN: Final = "\ufffd"
"""A character that was meant and cannot be told: the layout has nothing there, or an ALT code is none."""

# ALT codes name one byte, and scanners write four digits at most.
MAX_ALT_DIGITS: Final = 5


class Keyboard:
    """Follows one device's keys. ENTER gives CR, TAB gives HT.

    The number pad gives digits whatever NumLock says, which is what a scanner means by it. CTRL with a key gives the
    control character, and so does F8: GS, as Honeywell and others send it when CTRL is not used for it. All other
    function, cursor and system keys, and anything with ALT or the Windows key, are commands and give nothing.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._held: set[int] = set()  # modifiers only
        self._caps = False
        self._dead = ""
        self._alt_digits = ""

    @property
    def is_open(self) -> bool:
        """Whether half a character has been typed: a dead key, or digits of an ALT code."""
        return bool(self._dead or self._alt_digits)

    def feed(self, event: DeviceEvent) -> str:
        """The characters that `event` completes: mostly none or one."""
        if isinstance(event, CapsLight):
            self._caps = event.on
        elif isinstance(event, EventsLost):
            self.forget(event.held)
        elif event.value == DOWN:
            return self._down(event.code)
        elif event.value == UP:
            return self._up(event)
        return ""

    def forget(self, held: frozenset[int] = frozenset()) -> None:
        """Start anew with `held` down: for when a key's release was lost."""
        self._held = set(held & MODIFIERS)
        self._dead = ""
        self._alt_digits = ""

    def _down(self, code: int) -> str:
        if code in MODIFIERS:
            self._held.add(code)
            if self._is_alt(code):
                self._alt_digits = ""
            return ""
        if code == KEY_CAPSLOCK:
            self._caps = not self._caps
            return ""
        if self._held & META_KEYS:
            return ""
        if any(map(self._is_alt, self._held)):
            return self._with_alt(code)
        if self._held & CTRL_KEYS and KEY_RIGHTALT not in self._held:
            return self._after_dead(self._control(code))
        return self._plain(code)

    def _up(self, event: KeyEvent) -> str:
        self._held.discard(event.code)
        if not self._is_alt(event.code) or not self._alt_digits:
            return ""
        digits, self._alt_digits = self._alt_digits, ""
        return self._after_dead(_alt_character(digits, self._layout.oem))

    def _is_alt(self, code: int) -> bool:
        """ALT as such: the right one too where it is no ALTGR."""
        return code == KEY_LEFTALT or (code == KEY_RIGHTALT and not self._layout.has_altgr)

    def _with_alt(self, code: int) -> str:
        if code in KEYPAD_DIGITS:
            self._alt_digits = (self._alt_digits + KEYPAD_DIGITS[code])[-MAX_ALT_DIGITS:]
            return ""
        if self._layout.has_altgr and self._held & CTRL_KEYS:  # CTRL+ALT is another way to ALTGR
            return self._text(code, 2)
        # Of a scanner, the right ALT with a text key meant ALTGR.
        return UNKNOWN if KEY_RIGHTALT in self._held and code in TEXT_KEYS else ""

    def _control(self, code: int) -> str:
        if code in {KEY_ENTER, KEY_KPENTER}:
            return "\n"
        symbol = self._layout.symbol(code, self._level())
        if symbol is not None and ("a" <= symbol.char.lower() <= "z" or symbol.char in "@[\\]^_"):
            return chr(ord(symbol.char) & 0x1F)
        return CONTROL_POSITIONS.get(code, "")

    def _plain(self, code: int) -> str:
        if code in TEXT_KEYS:
            return self._text(code, self._level())
        if code in {KEY_ENTER, KEY_KPENTER}:
            return self._after_dead("\r")
        if code == KEY_TAB:
            return self._after_dead("\t")
        if code == KEY_F8:
            return self._after_dead("\x1d")
        if code == KEYPAD_DECIMAL:
            return self._after_dead(self._layout.decimal)
        return self._after_dead(KEYPAD_DIGITS.get(code) or KEYPAD_SIGNS.get(code, ""))

    def _text(self, code: int, level: Level) -> str:
        symbol = self._layout.symbol(code, level, caps=self._caps)
        if symbol is None:
            return self._after_dead(UNKNOWN)
        if not symbol.dead:
            return self._after_dead(symbol.char)
        before, self._dead = self._dead, symbol.char
        return before

    def _level(self) -> Level:
        if KEY_RIGHTALT in self._held:
            return 2
        return 1 if self._held & SHIFT_KEYS else 0

    def _after_dead(self, char: str) -> str:
        """`char` with the dead key before it: one letter where there is one, else both."""
        if not self._dead or not char:
            return char
        dead, self._dead = self._dead, ""
        if char == " ":
            return dead
        composed = unicodedata.normalize("NFC", char + COMBINING[dead]) if char.isalpha() else ""
        return composed if len(composed) == 1 else dead + char


def _alt_character(digits: str, oem: str) -> str:
    """What ALT and these digits of the number pad stand for.

    A leading 0 means Windows-1252, else the country's DOS code page. Control characters are themselves in both,
    though DOS drew symbols for them: a scanner means the byte.
    """
    value = int(digits)
    if value > 0xFF:
        return UNKNOWN
    if value < 0x80:
        return chr(value)
    return bytes([value]).decode("cp1252" if digits[0] == "0" else oem, errors="replace")
