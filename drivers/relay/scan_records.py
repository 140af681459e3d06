"""What is written down of a shared scanner: members' codes for the agent, figures, and lines in the log.

Owns the wording. Never says what a code was, and never holds up the code's way to the POS.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

from drivers.relay.announce import Announcer
from drivers.relay.clock import Moment
from drivers.relay.keeper import JobKeeper
from drivers.relay.spool import EndedBy, Job, Origin
from drivers.relay.status import ScannerFigures, StatusFile

_LATE: Final = (
    "a member's code reached the POS too, since the scanner paused too long within it. Raise its speed, or lower the "
    "latency timer of its adapter to 1 ms"
)


Reason = TypeVar("Reason", bound=str)


class ScanRecords:
    """Used by the event loop alone."""

    def __init__(
        self,
        *,
        keeper: JobKeeper,
        origin: Origin,
        status: StatusFile[ScannerFigures],
        announcer: Announcer,
        scanner_name: str,
        pos_name: str,
    ) -> None:
        self._keeper = keeper
        self._origin = origin
        self._status = status
        self._announcer = announcer
        self._scanner_name = scanner_name
        self._pos_name = pos_name

    def keep(self, code: bytes, at: Moment, ended_by: EndedBy, *, withheld: bool) -> None:
        """A code that may be a member's: bring it to the spool. Returns at once."""
        self._keeper.keep(Job(payload=code, length=len(code), ended_by=ended_by, captured=at), self._origin)
        with self._status.changing() as figures:
            figures.withheld += withheld

    def passed(self) -> None:
        """A code went on to the POS."""
        with self._status.changing() as figures:
            figures.passed += 1

    def lost_to_pos(self, codes: int) -> None:
        """So many codes, since the start, did not reach the POS."""
        with self._status.changing() as figures:
            before, figures.pos_lost = figures.pos_lost, codes
        if codes > before:
            self._announcer.say(
                "error",
                "codes_lost_to_pos",
                f"the POS did not take codes at {self._pos_name} in time, and it does not get them any more: they "
                "would be put onto the next sale. Scan them again, and check that the POS has its port open",
                codes=codes,
            )

    def unjudged(self, reasons: Mapping[Reason, int], remedies: Mapping[Reason, str]) -> None:
        """So many codes, since the start, went to the POS and could not be told apart, by reason."""
        total = sum(reasons.values())
        with self._status.changing() as figures:
            before, figures.unjudged = figures.unjudged, total
        if total > before:
            told = "; ".join(f"{reason}: {remedies[reason]}" for reason in reasons)
            self._announcer.say(
                "warning", "code_not_judged", f"a code went to the POS and could not be told apart: {told}"
            )

    def late(self, codes: int) -> None:
        """So many codes, since the start, were a member's and reached the POS."""
        with self._status.changing() as figures:
            before, figures.late_codes = figures.late_codes, codes
        if codes > before:
            self._announcer.say("warning", "member_code_at_pos", _LATE)

    def scanner_is(self, trouble: str) -> None:
        """What is wrong with the scanner's port; empty: nothing."""
        with self._status.changing() as figures:
            was, figures.scanner_trouble = figures.scanner_trouble, trouble
        if was == trouble:
            return
        self._keeper.look_at_status()
        if trouble:
            self._announcer.say("error", "scanner_away", trouble)
        else:
            self._announcer.say("info", "scanner_there", f"the scanner at {self._scanner_name} is there again")

    def pos_is(self, trouble: str) -> None:
        """What is wrong with the way to the POS; empty: nothing."""
        with self._status.changing() as figures:
            was, figures.pos_trouble = figures.pos_trouble, trouble
        if was == trouble:
            return
        self._keeper.look_at_status()
        if trouble:
            self._announcer.say("warning", "pos_away", trouble)
        else:
            self._announcer.say("info", "pos_there", f"the POS has its port again: {self._pos_name}")

    def failed(self, error: Exception) -> None:
        """A fault of our own. Its message may quote a code, which no log has."""
        self._announcer.say(
            "error",
            "scanner_failed",
            f"a fault of the relay ({type(error).__name__}), which goes on with the next code: report it",
        )
