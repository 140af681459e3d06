"""Moments and durations of the naive engine. All moments that are compared are in UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

PARTS = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?)?")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def bought_at(receipt: dict[str, Any], zone: str) -> datetime | None:
    """Its own time, else the last second of its business day, else when it was captured."""
    if "issued_at" in receipt:
        return moment(receipt["issued_at"])
    if "business_day" in receipt:
        return end_of(date.fromisoformat(receipt["business_day"]), zone) - timedelta(seconds=1)
    return moment(receipt["captured_at"]) if "captured_at" in receipt else None


def end_of(day: date, zone: str) -> datetime:
    return at_wall(datetime.combine(day + timedelta(days=1), time()), zone)


def on_wall(at: datetime, zone: str) -> datetime:
    """What a clock on the wall shows."""
    return at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def at_wall(wall: datetime, zone: str) -> datetime:
    return wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def moved(at: datetime, duration: str, zone: str, sign: int = 1) -> datetime:
    """Years, months, weeks and days on the wall clock; then hours and minutes as they pass."""
    found = PARTS.fullmatch(duration)
    assert found is not None, duration
    years, months, weeks, days, hours, minutes = (int(part or 0) for part in found.groups())
    if years or months or weeks or days:
        wall = on_wall(at, zone)
        month = wall.year * 12 + wall.month - 1 + sign * (years * 12 + months)
        wall = on_day(wall, month // 12, month % 12 + 1)
        at = at_wall(wall + timedelta(days=sign * (weeks * 7 + days)), zone)
    return at + sign * timedelta(hours=hours, minutes=minutes)


def on_day(wall: datetime, year: int, month: int) -> datetime:
    """The same day of that month, or its last."""
    day = wall.day
    while True:
        try:
            return wall.replace(year=year, month=month, day=day)
        except ValueError:
            day -= 1


def expiry(at: datetime, expires: str, zone: str) -> datetime:
    if not expires.startswith("P"):
        return end_of(date.fromisoformat(expires), zone)
    duration, _, period = expires.partition("/end-of-")
    ends = moved(at, duration, zone)
    day = on_wall(ends, zone).date()
    if period == "year":
        return end_of(date(day.year, 12, 31), zone)
    if period == "month":
        while (day + timedelta(days=1)).month == day.month:
            day += timedelta(days=1)
        return end_of(day, zone)
    return ends


def periods(at: datetime | None, zone: str) -> dict[str, str]:
    """What the caps of a day, a month and ever count under."""
    day = str(on_wall(at, zone).date()) if at else "no day"
    return {"day": day, "month": day[:7] if at else "no month", "member": "member"}
