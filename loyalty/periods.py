"""Time as a program means it: durations on the wall clock of its zone, days, months, and when points expire.

Owns that arithmetic. Never asks a clock: the moment is passed in.
"""

from __future__ import annotations

import calendar
import re
from datetime import MAXYEAR, MINYEAR, date, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from msgspec import UNSET, Meta, UnsetType

from loyalty.receipt import Receipt

_DURATION: Final = (
    r"P(?=[1-9T])([1-9][0-9]?Y)?([1-9][0-9]{0,2}M)?([1-9][0-9]{0,3}W)?([1-9][0-9]{0,3}D)?"
    r"(T(?=[1-9])([1-9][0-9]{0,3}H)?([1-9][0-9]{0,3}M)?)?"
)
_UTC: Final = ZoneInfo("UTC")
# A day within what a datetime can hold, so that they can be told on any zone's clock.
FIRST: Final = datetime(MINYEAR, 1, 2, tzinfo=_UTC)
_LAST: Final = datetime(MAXYEAR, 12, 31, tzinfo=_UTC)
_END_OF: Final = "/end-of-"
# Days of which it is kept when the points of one way to expire are gone.
_DAYS: Final = 1_024

Duration = Annotated[str, Meta(pattern=rf"^{_DURATION}$")]
"""ISO 8601, such as `P14D`, `P1Y6M` or `PT36H`."""
_EXPIRY: Final = rf"^({_DURATION}(/end-of-(month|year))?|[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})$"
Expiry = Annotated[str, Meta(pattern=_EXPIRY)]
"""A duration, the end of the month or year in which it ends, or the last day that the points are good."""

_PARTS: Final = re.compile(rf"^{_DURATION}$")
_is_expiry = re.compile(_EXPIRY).match


def bought_at(receipt: Receipt, time_zone: str) -> datetime | None:
    """When a receipt was issued; by its day alone the end of it, by nothing at all when it was captured.

    None where none of them is told, or the year is none that every clock can show.
    """
    at: datetime | UnsetType = receipt.issued_at
    if at is UNSET and receipt.business_day is not UNSET:
        at = datetime.combine(receipt.business_day, time(23, 59, 59), ZoneInfo(time_zone))
    if at is UNSET:
        at = receipt.captured_at
    return at if at is not UNSET and is_plausible(at) else None


def is_plausible(at: date) -> bool:
    """Whether a time can be told on the clock of every zone, and windows around it."""
    return MINYEAR < at.year < MAXYEAR


def in_utc(moment: datetime) -> datetime:
    """The same moment in UTC; one that UTC has no date for is its first or last day."""
    try:
        return moment.astimezone(_UTC)
    except OverflowError:
        return FIRST if moment.year == MINYEAR else _LAST


def day_of(local: datetime) -> str:
    """The day of a moment on its own clock, `2026-11-22`; without its last three characters it is the month."""
    return local.date().isoformat()


def later(moment: datetime, duration: Duration, time_zone: str) -> datetime:
    """`moment` plus an ISO 8601 duration: days and more on `time_zone`'s wall clock, hours and minutes as they pass.

    A day that the target month does not have becomes that month's last day. Nothing is later than the year 9999.
    """
    return _moved(moment, duration, time_zone, 1)


def earlier(moment: datetime, duration: Duration, time_zone: str) -> datetime:
    """`moment` less a duration, as `later`: where a window that ends at `moment` begins."""
    return _moved(moment, duration, time_zone, -1)


def is_expiry(text: str) -> bool:
    """Whether a text is written as an Expiry is; the day may still be none of the calendar."""
    return _is_expiry(text) is not None


def expiry(moment: datetime, expires: Expiry, time_zone: str) -> datetime:
    """From when points given at `moment` are gone: the end of a day, month or year is the next one's start."""
    if expires.startswith("P") and (_END_OF not in expires or "T" in expires):
        return _expiry(moment, expires, time_zone)
    return _expiry_of_day(moment.astimezone(ZoneInfo(time_zone)).date(), expires, time_zone)


@lru_cache(maxsize=_DAYS)
def _expiry_of_day(day: date, expires: Expiry, time_zone: str) -> datetime:
    """Where it hangs on the day alone: told once for all that is given on it."""
    return _expiry(datetime.combine(day, time(), ZoneInfo(time_zone)), expires, time_zone)


def _expiry(moment: datetime, expires: Expiry, time_zone: str) -> datetime:
    zone = ZoneInfo(time_zone)
    if not expires.startswith("P"):
        return _after(date.fromisoformat(expires), zone)
    duration, _, period = expires.partition(_END_OF)
    ends = later(moment, duration, time_zone).astimezone(zone)
    match period:
        case "month":
            return _start_of_month(ends.year, ends.month + 1, zone)
        case "year":
            return _start_of_month(ends.year, 13, zone)
        case _:
            return ends


def _moved(moment: datetime, duration: Duration, time_zone: str, sign: int) -> datetime:
    months, days, minutes = _amounts(duration)
    moved_days = sign * days
    try:
        local = moment.astimezone(ZoneInfo(time_zone))
        if months:
            month = local.year * 12 + local.month - 1 + sign * months
            year, month = month // 12, month % 12 + 1
            last = 28 if local.day <= 28 else calendar.monthrange(year, month)[1]
            moved_days += date(year, month, min(local.day, last)).toordinal() - local.toordinal()
        # An hour that comes twice is told apart by `fold`, which adding days loses: it is the first on another day.
        if months or days:
            local += timedelta(moved_days)
        if minutes:
            passed = local.astimezone(_UTC) + timedelta(minutes=sign * minutes)
            local = passed.astimezone(local.tzinfo)
    except (OverflowError, ValueError):
        return _LAST if sign > 0 else FIRST
    return local


@lru_cache(maxsize=256)
def _amounts(duration: str) -> tuple[int, int, int]:
    """Months, days and minutes of a duration."""
    parts = _PARTS.match(duration)
    if parts is None:
        raise ValueError(f"{duration!r} is no ISO 8601 duration, such as P14D")
    years, months, weeks, days, _, hours, minutes = (
        int(part[:-1]) if part and part[0] != "T" else 0 for part in parts.groups()
    )
    return years * 12 + months, weeks * 7 + days, hours * 60 + minutes


def _after(day: date, zone: ZoneInfo) -> datetime:
    """The end of `day`: the first instant of the next."""
    return datetime.combine(min(day, date.max - timedelta(days=1)) + timedelta(days=1), time(), zone)


def _start_of_month(year: int, month: int, zone: ZoneInfo) -> datetime:
    """Its first instant; month 13 is the next year's first."""
    if month == 13:
        year, month = year + 1, 1
    return datetime(year, month, 1, tzinfo=zone) if year <= MAXYEAR else _LAST
