"""Printed words and numbers in a form that can be compared: one alphabet, one decimal point.

Owns the folding of Cyrillic and accented letters, printed amounts, dates and article numbers. Never
knows a receipt's layout.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from loyalty.money import AmountError, minor_digits, to_minor
from loyalty.receipt import LineKind

_CYRILLIC: Final = dict(zip("АБВГДЕЖЗИЈКЛМНОПРСТЋУФХЦЧШ", "ABVGDEZZIJKLMNOPRSTCUFHCCS", strict=True))
_LETTERS: Final = str.maketrans(
    {
        **_CYRILLIC, "Ђ": "DJ", "Љ": "LJ", "Њ": "NJ", "Џ": "DZ",
        "Đ": "DJ", "Ð": "DJ", "Š": "S", "Ž": "Z", "Č": "C", "Ć": "C",
        "Ä": "AE", "Ö": "OE", "Ü": "UE", "ẞ": "SS", "É": "E",
    }
)  # fmt: skip
# Letters of alphabets that are not made Latin stay: a Greek word is a word too.
_NO_WORD: Final = re.compile(r"[\W_]+")


def folded(text: str) -> str:
    """Upper-case words without accents, Cyrillic ones in Latin, one space between: `Број рачуна:` → `BROJ RACUNA`."""
    return _NO_WORD.sub(" ", _latin(text)).strip()


def _latin(text: str) -> str:
    upper = text.upper()
    return upper if upper.isascii() else upper.translate(_LETTERS)


_ONE_TO_ONE: Final = str.maketrans("ĐÐŠŽČĆÄÖÜÉđðšžčćäöüéß", "DDSZCCAOUEDDSZCCAOUES")


def plain(text: str) -> str:
    """Upper-case letters without accents, one for one, so that positions are those of `text`."""
    if text.isascii():
        return text.upper()
    replaced = text.translate(_ONE_TO_ONE)
    upper = replaced.upper()
    if len(upper) == len(text):
        return upper
    return "".join(letter.upper() if len(letter.upper()) == 1 else letter for letter in replaced)


# What leads the eye from a name to its amount.
_LEADERS: Final = re.compile(r"[.·]{2,}|_{3,}|…+|(?<=[.,]\d\d)\.(?= [-−]?\d[\d.,' ]*[.,]\d\d\b)")


def without_leaders(text: str) -> str:
    """The text with spaces for the dots between a name and its amount, one for one."""
    return _LEADERS.sub(lambda found: " " * len(found.group()), text)


# Labels and headings repeat on every receipt of a shop.
WORDS_REMEMBERED: Final = 4096


def compacted(text: str) -> str:
    """`folded` without spaces, for labels that may be wrapped or spaced out."""
    return _NO_WORD.sub("", _latin(text))


compact: Final = lru_cache(maxsize=WORDS_REMEMBERED)(compacted)

# So many letters of a text tell mostly that it begins with none of some known words.
BEGINNING: Final = 3


def beginnings(words: Iterable[str]) -> frozenset[str]:
    """What the beginning of a text may be that begins with one of `words`, which are folded."""
    compacted_words = [word.replace(" ", "") for word in words]
    return frozenset(word[:letters] for word in compacted_words for letters in range(BEGINNING + 1))


def beginning(text: str) -> str:
    """The first letters of `text`, folded: empty, or fewer, where there are blanks and signs among them."""
    return compact(text[:BEGINNING])[:BEGINNING]


# 15 digits at most, so that a torn or hostile number stays a number of the contract.
AMOUNT: Final = r"[-−+]?(?:\d{1,3}(?:[.,'’\u00a0]\d{3}){1,4}|\d{1,12})[.,]\d{2}(?![\d%]|[.,]\d)[-−]?"

# Of amounts as most papers print them, which are read at once: whole digits of a number of the contract.
_PLAIN_DIGITS: Final = 14
# What parts thousands beside the points, and signs off amounts.
_THOUSANDS: Final = re.compile(r"[\s'’\u00a0]")
_DECIMAL: Final = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?").fullmatch


@lru_cache(maxsize=WORDS_REMEMBERED)
def amount_minor(text: str, currency: str) -> int:
    """Minor units of a printed amount; its last `.` or `,` is the decimal point. Raises AmountError."""
    if text[-3:-2] in (".", ",") and minor_digits(currency) == len(text[-2:]):
        digits = text.replace(".", "").replace(",", "")
        if digits.isascii() and digits.isdecimal() and len(digits) <= _PLAIN_DIGITS:
            return int(digits)
    bare = _THOUSANDS.sub("", text).replace("−", "-")
    negative = bare.startswith("-") or bare.endswith("-")
    bare = bare.strip("+-")
    point = max(bare.rfind("."), bare.rfind(","))
    whole, fraction = (bare[:point], bare[point + 1 :]) if point >= 0 else (bare, "")
    digits = whole.replace(".", "").replace(",", "") or "0"
    if minor_digits(currency) < len(fraction) and not fraction.strip("0"):
        fraction = ""
    minor = to_minor(f"{digits}.{fraction}" if fraction else digits, currency)
    return -minor if negative else minor


@lru_cache(maxsize=WORDS_REMEMBERED)
def decimal_text(text: str) -> str:
    """A printed quantity or price as a plain decimal: `1.234,50` → `1234.50`. Raises AmountError."""
    bare = _THOUSANDS.sub("", text).replace("−", "-")
    point = max(bare.rfind("."), bare.rfind(","))
    plain = bare if point < 0 else bare[:point].replace(".", "").replace(",", "") + "." + bare[point + 1 :]
    if _DECIMAL(plain) is None:
        raise AmountError(f"{text!r} is not a number")
    return plain


_DATES: Final = (
    re.compile(r"(?<!\d)(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})(?!\d)"),
    re.compile(r"(?<!\d)(?P<d>\d{1,2})\s?[./]\s?(?P<m>\d{1,2})\s?[./]\s?(?P<y>\d{4})(?!\d)"),
)
_TIME: Final = re.compile(
    r"(?<![\d:])(?P<h>\d{1,2}):(?P<min>\d{2})(?::(?P<s>\d{2}))?(?:[.,]\d+)?\s?(?P<z>Z|[+-]\d{2}:?\d{2})?(?![\d:])"
    r"(?:\s?(?P<half>[APap])\.?[Mm]\b)?"
)
_NOON: Final = 12


def printed_date(text: str) -> date | None:
    """The first date in `text`: `2026-11-22`, `22.11.2026.` or `22/11/2026` (the day first)."""
    for pattern in _DATES:
        if (match := pattern.search(text)) is not None:
            try:
                return date(int(match["y"]), int(match["m"]), int(match["d"]))
            except ValueError:
                continue
    return None


def printed_moment(day: date, text: str, zone: str | None) -> datetime | None:
    """`day` at the first clock time in `text`, which may say AM or PM, at its printed offset or else in `zone`."""
    match = _TIME.search(text)
    if match is None:
        return None
    try:
        place = _offset(match["z"]) if match["z"] else ZoneInfo(zone) if zone else None
        hour, minute, second = int(match["h"]), int(match["min"]), int(match["s"] or 0)
        if match["half"] and 0 < hour <= _NOON:
            hour = hour % _NOON + (_NOON if match["half"] in "Pp" else 0)
        return datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=place) if place else None
    except (ValueError, ZoneInfoNotFoundError):
        return None


def _offset(text: str) -> timezone:
    if text == "Z":
        return UTC
    sign = -1 if text[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(text[1:3]), minutes=int(text[-2:])))


_DIGITS_13: Final = re.compile(r"(?<!\d)\d{13}(?!\d)")


def article_number(text: str) -> str | None:
    """The first 13-digit article number (GTIN) in `text` whose check digit is right."""
    for match in _DIGITS_13.finditer(text):
        digits = [int(digit) for digit in match.group()]
        if (sum(digits[:12:2]) + 3 * sum(digits[1:12:2]) + digits[12]) % 10 == 0 and digits[0] + digits[1]:
            return match.group()
    return None


# What a line is when it is not goods, by the first words of its name (folded).
_LINE_KINDS: Final[tuple[tuple[LineKind, tuple[str, ...]], ...]] = (
    ("tip", ("NAPOJNICA", "NAPITNINA", "TIP", "TRINKGELD", "BAKSIS", "GRATUITY")),
    ("deposit", ("DEPOSIT", "PFAND", "LEERGUT", "DEPOZIT", "KAUCIJA", "KAVCIJA", "POVRATNA AMBALAZA", "BOTTLE RETURN")),
    ("deposit", ("POVRATNA NAKNADA", "BOTTLE DEPOSIT", "CAN DEPOSIT", "CONTAINER DEPOSIT")),
    ("giftcard", ("GIFT CARD", "GIFTCARD", "GUTSCHEIN", "GESCHENKKARTE", "POKLON KARTICA", "POKLON VAUCER")),
    ("giftcard", ("POKLON BON", "DAROVNA KARTICA", "DARILNA KARTICA", "DARILNI BON")),
    ("donation", ("DONATION", "SPENDE", "DONACIJA")),
    ("fee", ("DELIVERY", "LIEFERUNG", "LIEFERKOSTEN", "DOSTAVA", "SERVICE FEE", "SERVICE CHARGE", "SERVICEGEBUEHR")),
)  # fmt: skip
_FIRST_WORDS: Final = {words: kind for kind, names in _LINE_KINDS for words in names}
_FIRST_LETTERS: Final = beginnings(_FIRST_WORDS)


# Where the first two words of a name stand, with any ornament before them.
KIND_LETTERS: Final = 64


def line_kind(description: str) -> LineKind:
    """What a line sells, by the first one or two words of its printed name."""
    if beginning(description) not in _FIRST_LETTERS:
        return "goods"
    words = folded(description[:KIND_LETTERS]).split()
    return _FIRST_WORDS.get(" ".join(words[:2])) or _FIRST_WORDS.get(words[0] if words else "") or "goods"
