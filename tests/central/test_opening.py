"""Opening hours as people write them, and since when it is open."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from central.opening import OpeningError, open_since, spans_of

VIENNA = ZoneInfo("Europe/Vienna")


def at(day: int, clock: str) -> datetime:
    """In the week of Monday, 23 November 2026."""
    return datetime.fromisoformat(f"2026-11-{22 + day}T{clock}").replace(tzinfo=VIENNA)


@pytest.mark.parametrize(
    ("text", "now", "since"),
    [
        ("mo-fr 07:00-21:00, sa 08:00-14:00", at(1, "06:59"), None),
        ("mo-fr 07:00-21:00, sa 08:00-14:00", at(1, "07:00"), at(1, "07:00")),
        ("mo-fr 07:00-21:00, sa 08:00-14:00", at(5, "20:59"), at(5, "07:00")),
        ("mo-fr 07:00-21:00, sa 08:00-14:00", at(5, "21:00"), None),
        ("MO-FR 07:00-21:00,SA 08:00-14:00", at(6, "10:00"), at(6, "08:00")),
        ("mo-fr 07:00-21:00, sa 08:00-14:00", at(7, "10:00"), None),
        # over midnight, over the end of the week, and all around the clock
        ("fr-sa 18:00-02:00", at(6, "01:59"), at(5, "18:00")),
        ("fr-sa 18:00-02:00", at(6, "02:00"), None),
        ("su-mo 09:00-17:00", at(1, "10:00"), at(1, "09:00")),
        ("su 20:00-24:00, mo 00:00-04:00", at(1, "03:00"), at(0, "20:00")),
        # two halves of a day
        ("mo 08:00-12:00, mo 15:00-19:00", at(1, "13:00"), None),
        ("mo 08:00-12:00, mo 15:00-19:00", at(1, "16:00"), at(1, "15:00")),
    ],
)
def test_since_when_it_is_open(text: str, now: datetime, since: datetime | None) -> None:
    assert open_since(spans_of(text), now) == since


def test_who_never_shuts_has_been_open_for_days() -> None:
    since = open_since(spans_of("mo-su 00:00-24:00"), at(3, "00:05"))
    assert since is not None
    assert (at(3, "00:05") - since).days >= 5


@pytest.mark.parametrize(
    "text", ["", "mo", "mo 7-21", "xx 07:00-21:00", "mo 07:60-21:00", "mo 24:00-24:00", "mo 07:00-25:00"]
)
def test_what_is_written_otherwise_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(OpeningError, match=r"write mo-fr|00:00 to 24:00"):
        spans_of(text)
