"""A wedge scanner shared with the POS, as a state machine: which keys may go on to the POS, and when.

Owns the keys of a code while it is being read. Sans-IO: events in, steps out; never touches a device or a clock,
and never loses, changes or reorders a key, except those of a code that is withheld.

For whoever wires it (the relay):

    passage = WedgePassage("de", judge)       # judge(text) -> True: a member's, withhold it from the POS
    for event in await device.read():         # a grabbed device of `backend`
        for step in passage.feed(event): …
    for step in passage.idle(now_ns): …       # when `due_in_s(now_ns)` has passed and a last look at the device
                                              # shows no event; None: nothing is held
    for step in passage.end(now_ns): …        # the device has gone, or we stop: everything held goes, no key stays down

A step is either `Release`, whose events are to be injected in this order at once, or `Judged`: a code was read to
its end. `Judged.withheld` says that none of its keys went or will go to the POS; every other code has gone there by a
`Release` before it in the list, also when the judge claimed it and it was too slow.

How long a key is held: a code is held while its keys follow each other within HOLD_MS, is released at once when its
suffix has come and it is not claimed, and is let go as it comes after a longer pause, after HELD_CODE_MS in all, or
after MAX_HELD_EVENTS. So a whole code reaches the POS at the moment of its last key; what has no suffix, and what
people type, at most HOLD_MS later. While a code is let go as it comes, keys pass at once.

What is withheld: the presses and releases of a code's keys, of its prefix and its suffix. Lock keys, and releases of
keys whose press the POS has had, always go. What is released has each key's press before its release.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from drivers.wedge.composer import ComposedCode, KeyComposer, Prefix, Suffix
from drivers.wedge.events import DOWN, UP, DeviceEvent, EventsLost, KeyEvent
from drivers.wedge.keymaps import (
    KEY_ENTER,
    KEY_KPENTER,
    KEY_TAB,
    KEYPAD_DECIMAL,
    KEYPAD_DIGITS,
    KEYPAD_SIGNS,
    LOCK_KEYS,
    MODIFIERS,
    TEXT_KEYS,
)

# The POS is never slowed by more than 20 ms; the rest is for our own timer. A USB keyboard reports every 1 to 10 ms, so
# a scanner that sends without pauses of its own is within it.
HOLD_MS: Final = 16
# A 20 digit code takes 40 ms at 1 ms a report, and 400 ms at 10 ms.
HELD_CODE_MS: Final = 600
# A member code of 64 characters has 256 events with SHIFT for each. More would take a POS longer than HOLD_MS to read
# at the pace at which keys are injected.
MAX_HELD_EVENTS: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Keys for the POS, in order and unchanged."""

    events: tuple[KeyEvent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A code was read to its end. `withheld`: the POS does not get it."""

    code: ComposedCode
    withheld: bool


Step = Release | Judged

_BEGINNINGS: Final = TEXT_KEYS | MODIFIERS | KEYPAD_DIGITS.keys() | KEYPAD_SIGNS.keys() | {KEYPAD_DECIMAL}
_PREFIX_KEYS: Final[dict[str, frozenset[int]]] = {
    "none": frozenset(),
    "enter": frozenset({KEY_ENTER, KEY_KPENTER}),
    "tab": frozenset({KEY_TAB}),
}


class WedgePassage:
    """The way of one grabbed device's keys to the POS. `layout`, `prefix` and `suffix` are the composer's.

    While `may_withhold` says no, as where no rule is in force, nothing is held, not even for a moment.
    """

    def __init__(
        self,
        layout: str,
        judge: Callable[[str], bool],
        *,
        prefix: Prefix = "none",
        suffix: Suffix | None = None,
        may_withhold: Callable[[], bool] = lambda: True,
        hold_ms: int = HOLD_MS,
        held_code_ms: int = HELD_CODE_MS,
    ) -> None:
        self._composer = KeyComposer(layout, prefix=prefix, suffix=suffix)
        self._judge = judge
        self._may_withhold = may_withhold
        self._beginnings = _BEGINNINGS | _PREFIX_KEYS[prefix]
        self._hold_ns = hold_ms * 1_000_000
        self._held_code_ns = held_code_ms * 1_000_000
        self._held: list[KeyEvent] = []
        self._gone = False  # keys of the code being read have gone to the POS
        self._down: set[int] = set()  # at the POS
        self._withheld: set[int] = set()  # pressed last for a withheld code: what follows the press is withheld too
        self._fault = ""

    @property
    def composer(self) -> KeyComposer:
        """For its count of what was dropped."""
        return self._composer

    @property
    def fault(self) -> str:
        """What the judge raised last; the code then went to the POS."""
        return self._fault

    def feed(self, event: DeviceEvent) -> list[Step]:
        """Steps for one event of the device."""
        steps = self.idle(event.at_ns)
        was_open, begun = self._composer.is_open, self._composer.begun
        codes = self._composer.feed(event)
        if not codes and self._composer.begun != begun and self._composer.is_open:
            self._let_go(steps)  # what came before this prefix is no code
            self._gone = False
        if isinstance(event, EventsLost):
            self._resume(event, steps)
        elif isinstance(event, KeyEvent):
            self._take(event, steps)
        for code in codes:
            self._end_code(code, steps)
        if was_open and not self._composer.is_open:  # also when what was read is no code
            self._let_go(steps)
        return steps

    def idle(self, now_ns: int) -> list[Step]:
        """Steps for silence until `now_ns`."""
        steps: list[Step] = []
        if self._held_too_long(now_ns):
            self._let_go(steps)
        for code in self._composer.idle(now_ns):
            self._end_code(code, steps)
        self._gone = self._gone and self._composer.is_open
        return steps

    def due_in_s(self, now_ns: int) -> float | None:
        """Seconds from `now_ns` until `idle` should be called; None when there is nothing to wait for."""
        dues = [due for due in (self._composer.idle_due_in_s(now_ns), self._hold_due_in_s(now_ns)) if due is not None]
        return min(dues, default=None)

    def end(self, now_ns: int) -> list[Step]:
        """Steps for the end of the device, or of us: what is held goes, and the POS has no key down."""
        return self.feed(EventsLost(held=frozenset(), at_ns=now_ns))

    def _take(self, event: KeyEvent, steps: list[Step]) -> None:
        if event.value == DOWN:
            self._withheld.discard(event.code)
        elif event.code in self._withheld:
            return
        if self._gone or not (self._held or self._begins(event)):
            self._release([event], steps)
        else:
            self._held.append(event)
            if len(self._held) >= MAX_HELD_EVENTS or self._held_too_long(event.at_ns):
                self._let_go(steps)

    def _begins(self, event: KeyEvent) -> bool:
        """Whether this may be the first key of a code that will be withheld."""
        return event.value == DOWN and event.code in self._beginnings and self._may_withhold()

    def _end_code(self, code: ComposedCode, steps: list[Step]) -> None:
        withheld = bool(self._held) and self._claims(code.text)
        if withheld:
            self._withhold(steps)
        else:
            self._let_go(steps)
        self._gone = self._composer.is_open
        steps.append(Judged(code=code, withheld=withheld))

    def _claims(self, text: str) -> bool:
        try:
            return self._judge(text)
        except Exception as error:  # noqa: BLE001  the sale goes on whatever is wrong with our judgement
            self._fault = f"{type(error).__name__}: {error}"
            return False

    def _withhold(self, steps: list[Step]) -> None:
        held, self._held = self._held, []
        going: list[KeyEvent] = []
        for event in held:
            if event.code in LOCK_KEYS or (event.value == UP and event.code in self._down):
                going.append(event)
            elif event.value == DOWN and event.code not in self._down:
                self._withheld.add(event.code)
        self._release(going, steps)

    def _let_go(self, steps: list[Step]) -> None:
        held, self._held = self._held, []
        self._release(held, steps)
        self._gone = self._composer.is_open

    def _release(self, events: list[KeyEvent], steps: list[Step]) -> None:
        for event in events:
            if event.value == DOWN:
                self._down.add(event.code)
            elif event.value == UP:
                self._down.discard(event.code)
        if events:
            self._gone = self._composer.is_open
            steps.append(Release(events=tuple(events)))

    def _resume(self, event: EventsLost, steps: list[Step]) -> None:
        """After a loss the device says which keys are down; the POS is to think the same."""
        self._let_go(steps)
        self._release(
            [KeyEvent(code=code, value=UP, at_ns=event.at_ns) for code in sorted(self._down - event.held)], steps
        )

    def _held_too_long(self, now_ns: int) -> bool:
        due = self._hold_due_ns()
        return due is not None and now_ns >= due

    def _hold_due_ns(self) -> int | None:
        if not self._held:
            return None
        return min(self._held[-1].at_ns + self._hold_ns, self._held[0].at_ns + self._held_code_ns)

    def _hold_due_in_s(self, now_ns: int) -> float | None:
        due = self._hold_due_ns()
        return None if due is None else max(due - now_ns, 0) / 1e9
