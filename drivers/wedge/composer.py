"""Where one scan ends and the next begins, in the keys that a scanner types.

Owns the text between two scans. Sans-IO: events in, codes out; no events raise, and what was torn is dropped, never
half a code. Never looks at what a code says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from drivers.wedge.events import REPEAT, CapsLight, DeviceEvent, EventsLost, KeyEvent
from drivers.wedge.keyboard import UNKNOWN, Keyboard
from drivers.wedge.keymaps import LAYOUTS

# The largest barcode there is, a version 40 QR code, holds 7,089 digits.
MAX_CODE_CHARS: Final = 8192
# Scanners type a key every 1 to 16 ms, and with the largest pause between keys that is in use every 100 ms.
IDLE_MS: Final = 300

# What people type and scanners do not: with a longer pause between two keys, or shorter. The fastest typists need
# 60 ms a key, over several keys.
TYPED_GAP_MS: Final = 50
TYPED_CHARS: Final = 4

EndKey = Literal["enter", "tab"]
Prefix = Literal["none", "enter", "tab"]
Suffix = Literal["none", "enter", "tab"]
EndedBy = Literal["enter", "tab", "idle"]
Dropped = Literal["too_long", "suffix_missing", "prefix_missing", "events_lost", "key_unknown", "typed"]

_END_KEYS: Final[Mapping[str, EndKey]] = {"\r": "enter", "\n": "enter", "\t": "tab"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposedCode:
    """The text of one scan without prefix and suffix, AIM identifier included. `at_ns` is when its last key went
    down: the suffix, or without one the last character."""

    text: str
    at_ns: int
    ended_by: EndedBy


class KeyComposer:
    """Cuts what a scanner types into codes.

    `layout` names the keyboard that the scanner is set to. `suffix` None ends a code at ENTER or TAB; "none" means that
    the scanner sends none, and that `idle_ms` without a key ends a code. With a suffix, a code that has none after
    `idle_ms` is dropped. `prefix` must lead each code.

    Where people type on the same device, `gap_ms` and `min_chars` (TYPED_GAP_MS, TYPED_CHARS) tell their typing from
    a scan: a text with a longer gap between two characters, or with fewer of them, is no code. `dropped` counts by
    reason.
    """

    def __init__(
        self,
        layout: str,
        *,
        prefix: Prefix = "none",
        suffix: Suffix | None = None,
        idle_ms: int = IDLE_MS,
        gap_ms: int | None = None,
        min_chars: int = 1,
        max_chars: int = MAX_CODE_CHARS,
    ) -> None:
        self.dropped: Counter[Dropped] = Counter()
        self._keyboard = Keyboard(LAYOUTS[layout])
        self._prefix = prefix
        self._ends = frozenset({"enter", "tab"} if suffix is None else {suffix})
        self._idle_ns = idle_ms * 1_000_000
        self._gap_ns = None if gap_ms is None else gap_ms * 1_000_000
        self._min_chars = min_chars
        self._max_chars = max_chars
        self.begun = 0
        """How often the text before was done with, whatever became of it."""
        self._text: list[str] = []
        self._started = prefix == "none"  # the prefix was seen
        self._torn = False  # the rest, up to the end, belongs to a code that was dropped
        self._typed = False
        self._char_ns = 0
        self._key_ns: int | None = None  # of the last key, until silence
        # The light follows a CapsLock that the scanner itself presses with a delay: it counts between two codes.
        self._light: CapsLight | None = None

    @property
    def is_open(self) -> bool:
        """Whether a code has begun and not ended: by its prefix, a character, or half of one."""
        led = self._started and self._prefix != "none"
        return bool(self._text) or self._torn or led or self._keyboard.is_open

    def feed(self, event: DeviceEvent) -> list[ComposedCode]:
        """Codes that `event` completes: mostly none or one."""
        codes = self.idle(event.at_ns)
        if isinstance(event, EventsLost):
            self._tear("events_lost")
        if isinstance(event, EventsLost) or (isinstance(event, KeyEvent) and event.value != REPEAT):
            self._key_ns = event.at_ns
        if isinstance(event, CapsLight) and self.is_open:
            self._light = event
            return codes
        for char in self._keyboard.feed(event):
            code = self._take(char, event.at_ns)
            if code is not None:
                codes.append(code)
        return codes

    def idle(self, now_ns: int) -> list[ComposedCode]:
        """The code that silence until `now_ns` completes; also drops what silence shows to be torn."""
        if self._key_ns is None or now_ns - self._key_ns < self._idle_ns:
            return []
        self._key_ns = None
        self._keyboard.forget()
        code = None
        if self._text and "none" not in self._ends:
            self._tear("typed" if self._looks_typed() else "suffix_missing")
        elif self._text:
            code = self._end(self._char_ns, "idle")
        self._begin(started=self._prefix == "none")
        return [code] if code is not None else []

    def idle_due_in_s(self, now_ns: int) -> float | None:
        """Seconds from `now_ns` until `idle` should be called; None when there is nothing to wait for."""
        if self._key_ns is None:
            return None
        return max(self._idle_ns - (now_ns - self._key_ns), 0) / 1e9

    def _take(self, char: str, at_ns: int) -> ComposedCode | None:
        key = _END_KEYS.get(char)
        if self._text and self._gap_ns is not None and at_ns - self._char_ns > self._gap_ns:
            self._typed = True
        self._char_ns = at_ns
        if key == self._prefix and not (key in self._ends and self._started and self._text):
            if self._text:
                self._tear("suffix_missing" if self._started else "prefix_missing")
            self._begin(started=True)
        elif key in self._ends:
            code = self._end(at_ns, key)
            self._begin(started=self._prefix == "none")
            return code
        elif char == UNKNOWN:
            self._tear("key_unknown")
        elif not self._torn:
            self._text.append(char)
            if len(self._text) > self._max_chars:
                self._tear("too_long")
        return None

    def _end(self, at_ns: int, ended_by: EndedBy) -> ComposedCode | None:
        if not self._text:
            return None
        if not self._started:
            self.dropped["prefix_missing"] += 1
        elif self._looks_typed():
            self.dropped["typed"] += 1
        else:
            return ComposedCode(text="".join(self._text), at_ns=at_ns, ended_by=ended_by)
        return None

    def _looks_typed(self) -> bool:
        return self._typed or len(self._text) < self._min_chars

    def _tear(self, reason: Dropped) -> None:
        if not self._torn:
            self.dropped[reason] += 1
        self._torn = True
        self._text.clear()

    def _begin(self, *, started: bool) -> None:
        self.begun += 1
        self._text.clear()
        self._started = started
        self._torn = False
        self._typed = False
        if self._light is not None:
            self._keyboard.feed(self._light)
            self._light = None


REMEDIES: Final[Mapping[Dropped, str]] = {
    "too_long": f"More than {MAX_CODE_CHARS} characters without a suffix: let the scanner send ENTER after each code.",
    "suffix_missing": 'Let the scanner send ENTER after each code, or set suffix = "none" if it cannot.',
    "prefix_missing": "The scanner does not send the prefix that is set: correct `prefix`.",
    "events_lost": "The machine was too busy to hear every key: scan again, and look for what keeps it busy.",
    "key_unknown": (
        "The scanner sent a key that the set layout does not have: set `layout` to the keyboard that the scanner "
        "is set to."
    ),
    "typed": (
        "Typed by hand, and ignored. If these were scans, set the scanner's delay between keys to 0, or set "
        'typed = "keep".'
    ),
}
