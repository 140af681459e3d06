"""Keys as tests press them."""

from __future__ import annotations

from collections.abc import Iterable

from drivers.wedge.events import DOWN, UP, KeyEvent

MS = 1_000_000


def down(code: int, ms: float = 0) -> KeyEvent:
    return KeyEvent(code=code, value=DOWN, at_ns=int(ms * MS))


def up(code: int, ms: float = 0) -> KeyEvent:
    return KeyEvent(code=code, value=UP, at_ns=int(ms * MS))


def press(*codes: int, ms: float = 0) -> list[KeyEvent]:
    """All of `codes` go down in this order, and up in the other."""
    return [*(down(code, ms) for code in codes), *(up(code, ms) for code in reversed(codes))]


def at(events: Iterable[KeyEvent], ms: float, step_ms: float = 1) -> list[KeyEvent]:
    """`events` from `ms` on, one every `step_ms`."""
    return [
        KeyEvent(code=event.code, value=event.value, at_ns=int((ms + number * step_ms) * MS))
        for number, event in enumerate(events)
    ]
