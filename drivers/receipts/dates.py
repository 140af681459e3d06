"""Printed dates, by the forms that a template names: `dd.mm.yyyy`, `mm/dd/yy`, `dd mmm yyyy`.

Owns the forms and the names of months. Never guesses an order: that is the template's to say.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Annotated, Final

from msgspec import Meta

from drivers.receipts.wording import plain

# `dd` and `mm` are one or two digits, `mmm` a month's name, `yy` and `yyyy` the year.
DATE_FORMAT: Final = r"^(dd?|mmm?|yy(yy)?)([ ./-]|, )(dd?|mmm?|yy(yy)?)([ ./-]|, )(dd?|mmm?|yy(yy)?)$"
DateFormat = Annotated[str, Meta(pattern=DATE_FORMAT, max_length=16)]
USUAL_DATES: Final = ("yyyy-mm-dd", "dd.mm.yyyy", "dd/mm/yyyy")

# English, German, Serbian, Croatian and Slovenian, by their first letters.
_MONTHS: Final = (
    ("JAN", "SIJ"), ("FEB", "VELJ"), ("MAR", "OZU"), ("APR", "TRA"), ("MAY", "MAI", "MAJ", "SVI"), ("JUN", "LIP"),
    ("JUL", "SRP"), ("AUG", "AVG", "KOL"), ("SEP", "RUJ"), ("OCT", "OKT", "LIS"), ("NOV", "STU"), ("DEC", "DEZ", "PRO"),
)  # fmt: skip
_TOKENS: Final = re.compile(r"y{2,4}|m{2,3}|d{1,2}|, |[ ./-]")
_DIGIT: Final = re.compile(r"\d")
# A day before or after a month's name: `6`, `6.`, `6th`, `6th of`.
_SPOKEN_DAY: Final = r"(?P<d>\d{1,2})(?:\.|[SNRT][TDH]\b(?:\s+OF\b)?)?"
# Two digits of a year are of this century: no till prints older receipts.
CENTURY: Final = 2000


class DateFormatError(ValueError):
    """A form of dates names a part twice, or not at all."""


@lru_cache(maxsize=256)
def _compiled(form: str) -> re.Pattern[str]:
    parts: list[str] = []
    for written in _TOKENS.findall(form):
        match written[0]:
            case "y":
                parts.append(rf"(?P<y>\d{{{len(written)}}})")
            case "m":
                parts.append(r"(?P<name>[A-Z]{3,9})\.?" if written == "mmm" else r"(?P<m>\d{1,2})")
            case "d":
                parts.append(_SPOKEN_DAY if "mmm" in form else r"(?P<d>\d{1,2})")
            case ".":
                parts.append(r"\s?\.\s?")
            case "/" | "-":
                parts.append(rf"\s?{written}\s?")
            case _:
                parts.append(r",?\s+")
    try:
        pattern = re.compile(rf"(?<![\d.]){''.join(parts)}(?!\d)")
    except re.error as error:
        raise DateFormatError(f"{form!r} names a part twice") from error
    if len(pattern.groupindex) != 3:
        raise DateFormatError(f"{form!r} does not name day, month and year once each")
    return pattern


def check_date_format(form: str) -> None:
    """Raises DateFormatError."""
    _compiled(form)


def date_pattern(forms: Sequence[str]) -> str:
    """A pattern for any of the forms, without groups."""
    return "|".join(re.sub(r"\(\?P<\w+>", "(?:", _compiled(form).pattern) for form in forms or USUAL_DATES)


def date_in(text: str, forms: Sequence[str]) -> date | None:
    """The first date of the first form that is met in `text`."""
    if not _DIGIT.search(text):
        return None
    letters = plain(text)
    for form in forms or USUAL_DATES:
        for match in _compiled(form).finditer(letters):
            found = _date(match.groupdict())
            if found is not None:
                return found
    return None


def _date(parts: dict[str, str | None]) -> date | None:
    name = parts.get("name")
    month = int(parts["m"] or 0) if "m" in parts else _month(name or "")
    year = int(parts["y"] or 0)
    try:
        return date(year if year > 99 else CENTURY + year, month, int(parts["d"] or 0))
    except ValueError:
        return None


def _month(name: str) -> int:
    return next((number for number, names in enumerate(_MONTHS, 1) if name.startswith(names)), 0)
