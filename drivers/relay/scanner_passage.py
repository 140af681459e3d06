"""A shared scanner as a state machine: which bytes may go to the POS now, and which codes are a member's.

Owns where a code begins and ends on its way to the POS. Bytes and their moments in, steps out; never touches a
port, a disk or a clock. Every byte comes out once and in order, either passed or withheld, and nothing is
withheld but a whole code of which the judge says so. What cannot be judged passes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from drivers.relay.clock import Moment
from drivers.scanning.framing import IDLE_MS, MAX_FRAME_BYTES
from drivers.scanning.own_codes import MAX_BEGINNING, may_become_one

# A code whose suffix does not come goes to the POS after this silence. The POS may wait 20 ms for a code, and
# timers and threads need some of that. At 9600 baud there is 1 ms between two bytes of a code.
HOLD_MS: Final = 15

_HOLD_NS: Final = HOLD_MS * 1_000_000
_IDLE_NS: Final = IDLE_MS * 1_000_000
_LINE_ENDS: Final = b"\r\n\t"

EndedBy = Literal["suffix", "silence"]
# Why a code was passed without being judged.
Unjudged = Literal["too_long", "suffix_missing", "prefix_missing", "fault"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is done with a code: `withhold` it from the POS, `keep` this of it for the agent; None: nothing."""

    withhold: bool = False
    keep: bytes | None = None


Judge = Callable[[bytes], Verdict]
"""Says of a code, without its prefix and suffix, what is done with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """Bytes for the POS. Those of one scan have the same `code`, a number that grows."""

    data: bytes
    code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """Bytes that the POS does not get: a whole code."""

    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A code that may be a member's: what is kept of it, and when its last byte came."""

    data: bytes
    at: Moment
    ended_by: EndedBy
    withheld: bool


Step = Passed | Withheld | Heard


class ScannerPassage:
    """The way of one scanner's bytes to the POS.

    `suffix` None ends a code at CR, LF or TAB, alone or together; empty means that the scanner sends none and
    that silence ends a code. `prefix` must lead a code for it to be judged. While `may_withhold` says no, nothing
    is held, not even for a moment, but what begins like a code that is the register's own.
    """

    def __init__(
        self,
        *,
        judge: Judge,
        may_withhold: Callable[[], bool],
        prefix: bytes = b"",
        suffix: bytes | None = None,
        max_bytes: int = MAX_FRAME_BYTES,
    ) -> None:
        self.unjudged: Counter[Unjudged] = Counter()
        self.fault = ""  # what the judge raised last
        self.late = 0  # codes that were to be withheld when their beginning had gone to the POS already
        self._judge = judge
        self._may_withhold = may_withhold
        self._prefix = prefix
        # Line ends after the suffix are part of the code: scanners send CR LF where only CR is known.
        ending = rb"[\r\n\t]+" if suffix is None else re.escape(suffix) + rb"[\r\n\t]*"
        self._ending = None if suffix == b"" else re.compile(ending)
        self._suffix_bytes = len(suffix or b"\r")
        self._limit = max_bytes + len(prefix)
        self._number = 0
        self._code = bytearray()
        self._gone = 0  # so many of these bytes were passed already
        self._searched = 0  # so many of them hold no suffix
        self._overlong = False
        self._last: Moment | None = None
        self._before: tuple[bool, Moment] | None = None  # whether the last code was withheld, and its end

    @property
    def due_at_ns(self) -> int | None:
        """When, on the monotonic clock, `idle` has something to do; None while no code has begun."""
        if self._last is None:
            return None
        waits_for_suffix = self._ending is not None and self._gone == len(self._code)
        return self._last.monotonic_ns + (_IDLE_NS if waits_for_suffix else _HOLD_NS)

    def feed(self, data: bytes, now: Moment) -> list[Step]:
        """Steps for what the scanner sent."""
        steps = self.idle(now)
        data = self._finish_code_before(data, now, steps)
        if not data:
            return steps
        self._code += data
        self._last = now
        while (end := self._end()) is not None:
            self._complete(end, "suffix", steps)
        if len(self._code) > self._limit and not self._overlong:
            self._overlong = True
            self.unjudged["too_long"] += 1
        if self._overlong or self._gone or not (self._may_withhold() or self._may_be_own()):
            self._let_go(steps)
        return steps

    def _may_be_own(self) -> bool:
        begun = bytes(self._code[self._code_start() :][: len(self._prefix) + MAX_BEGINNING])
        if len(begun) <= len(self._prefix):
            return bool(begun) and self._prefix.startswith(begun)
        return begun.startswith(self._prefix) and may_become_one(begun[len(self._prefix) :])

    def idle(self, now: Moment) -> list[Step]:
        """Steps once `due_at_ns` has come; none before."""
        due_at_ns = self.due_at_ns
        if due_at_ns is None or now.monotonic_ns < due_at_ns:
            return []
        steps: list[Step] = []
        if self._ending is None:
            self._complete(len(self._code), "silence", steps)
        elif self._gone < len(self._code):
            self._let_go(steps)
            if self._code_start() == len(self._code):  # line ends alone are no code that anything follows
                self._begin()
        else:
            self._abandon()
        return steps

    def end(self) -> list[Step]:
        """Steps for the end of the scanner or of the relay: everything held goes to the POS."""
        steps: list[Step] = []
        self._let_go(steps)
        self._begin()
        return steps

    def _finish_code_before(self, data: bytes, now: Moment, steps: list[Step]) -> bytes:
        """`data` without the line ends at its start that still belong to the code before, and go where that went."""
        if self._before is None or self._last is not None:
            return data
        withheld, at = self._before
        rest = data.lstrip(_LINE_ENDS)
        line_ends = data[: len(data) - len(rest)]
        if not line_ends or now.monotonic_ns - at.monotonic_ns >= _HOLD_NS:
            return data
        steps.append(Withheld(data=line_ends) if withheld else Passed(data=line_ends, code=self._number - 1))
        return rest

    def _code_start(self) -> int:
        """Where the code begins, after line ends, which some scanners send before it."""
        return len(self._code) - len(self._code.lstrip(_LINE_ENDS))

    def _end(self) -> int | None:
        """The end of the code with its suffix; None while the suffix is not there."""
        if self._ending is None:
            return None
        begins = 0 if self._overlong else self._code_start()
        found = self._ending.search(self._code, max(self._searched, begins))
        if found is None:
            self._searched = max(0, len(self._code) - self._suffix_bytes + 1)
            return None
        return found.end()

    def _complete(self, end: int, ended_by: EndedBy, steps: list[Step]) -> None:
        assert self._last is not None  # noqa: S101  a code has a last byte
        at, whole, gone = self._last, bytes(self._code[:end]), self._gone
        content = self._content(whole)
        verdict = Verdict() if content is None else self._verdict(content)
        withheld = verdict.withhold and not gone
        self.late += verdict.withhold and not withheld
        if withheld:
            steps.append(Withheld(data=whole))
        elif gone < end:
            steps.append(Passed(data=whole[gone:], code=self._number))
        if verdict.keep is not None:
            steps.append(Heard(data=verdict.keep, at=at, ended_by=ended_by, withheld=withheld))
        rest = bytes(self._code[end:])
        self._begin()
        self._before = withheld, at
        if rest:
            self._code += rest
            self._last = at

    def _content(self, whole: bytes) -> bytes | None:
        """The code in `whole`, without line ends, prefix and suffix; None where there is none to judge."""
        content = whole.lstrip(_LINE_ENDS)
        if self._ending is not None and (suffix := self._ending.search(content)) is not None:
            content = content[: suffix.start()]
        content = content.rstrip(_LINE_ENDS)
        if self._overlong or not content:
            return None
        if not content.startswith(self._prefix):
            self.unjudged["prefix_missing"] += 1
            return None
        return content[len(self._prefix) :]

    def _verdict(self, content: bytes) -> Verdict:
        try:
            return self._judge(content)
        except Exception as error:  # noqa: BLE001  the POS gets its code whatever is wrong with our reading of it
            self.unjudged["fault"] += 1
            self.fault = type(error).__name__
            return Verdict()

    def _let_go(self, steps: list[Step]) -> None:
        """Pass what is held. The rest of this code follows at once, so that the POS gets all of it or nothing."""
        if self._gone < len(self._code):
            steps.append(Passed(data=bytes(self._code[self._gone :]), code=self._number))
        if self._overlong:  # the beginning of its suffix is all that is still of use
            del self._code[: max(0, len(self._code) - self._suffix_bytes + 1)]
            self._searched = 0
        self._gone = len(self._code)

    def _abandon(self) -> None:
        """The suffix did not come for so long that what comes next is another code."""
        if not self._overlong and self._code_start() < len(self._code):
            self.unjudged["suffix_missing"] += 1
        self._begin()

    def _begin(self) -> None:
        self._number += 1
        self._code.clear()
        self._gone = self._searched = 0
        self._overlong = False
        self._last = None
