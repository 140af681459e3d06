"""When the shops of a chain are open, as a person writes it: `mo-fr 07:00-21:00, sa 08:00-14:00`.

Owns that form and since when it has been open at a moment. Pure: times are those of the shops' zone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Final

from msgspec import Struct

DAYS: Final = ("mo", "tu", "we", "th", "fr", "sa", "su")
DAY_MIN: Final = 24 * 60
MAX_PARTS: Final = 14
_PART: Final = re.compile(r"([a-z]{2})(?:-([a-z]{2}))? (\d{2}):(\d{2})-(\d{2}):(\d{2})")


class OpeningError(ValueError):
    """Opening hours are not written so. The message says how."""


class Span(Struct, frozen=True, kw_only=True):
    """From when to when on one day of the week (Monday is 0), in minutes of that day; it may end on the next."""

    day: int
    begins_min: int
    ends_min: int


def spans_of(text: str) -> tuple[Span, ...]:
    """Raises OpeningError."""
    parts = text.lower().split(",")
    if len(parts) > MAX_PARTS:
        raise OpeningError(f"opening hours have {MAX_PARTS} parts at most")
    return tuple(span for part in parts for span in _spans(part.strip()))


def open_since(spans: Sequence[Span], now: datetime) -> datetime | None:
    """Since when, by the clock of the zone that `now` is in; None while all is shut. Spans that touch are one."""
    since: datetime | None = None
    looked = now
    for _ in range(len(DAYS) + 1):
        begun = [begins for begins, ends in _around(spans, looked) if begins <= looked < ends]
        if not begun:
            break
        since = min(begun)
        looked = since - timedelta(minutes=1)
    return since


def _around(spans: Sequence[Span], moment: datetime) -> list[tuple[datetime, datetime]]:
    """Those that begin on its day or on the one before."""
    found = []
    for back in (0, 1):
        day = datetime.combine(moment.date() - timedelta(days=back), time(), moment.tzinfo)
        found += [
            (day + timedelta(minutes=span.begins_min), day + timedelta(minutes=span.ends_min))
            for span in spans
            if span.day == day.weekday()
        ]
    return found


def _spans(part: str) -> list[Span]:
    written = _PART.fullmatch(part)
    if written is None or not {written[1], written[2] or written[1]} <= set(DAYS):
        raise OpeningError(f"{part!r} is no time of opening; write mo-fr 07:00-21:00, sa 08:00-14:00")
    begins, ends = (60 * int(written[hour]) + int(written[hour + 1]) for hour in (3, 5))
    if max(int(written[4]), int(written[6])) >= 60 or begins >= DAY_MIN or ends > DAY_MIN:
        raise OpeningError(f"{part!r} has a time that no day has; it goes from 00:00 to 24:00")
    first, last = DAYS.index(written[1]), DAYS.index(written[2] or written[1])
    days = [(first + more) % len(DAYS) for more in range((last - first) % len(DAYS) + 1)]
    # What ends before it begins ends on the next day.
    return [Span(day=day, begins_min=begins, ends_min=ends if ends > begins else ends + DAY_MIN) for day in days]
