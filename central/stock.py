"""Stock: printed cards that nobody has yet, as the printer's list names them.

Owns the list's two forms and taking it in. A list may also name cards that members have already: then it says which
number is printed on them. Never gives a card to a member that has none of its numbers.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec import Struct
from sqlalchemy import Connection

from central import cards
from central.cards import MAX_CODE_CHARS, CardError, CardNumber
from central.members import ImportedIdentifier
from loyalty.undecodable import UNDECODABLE

_BYTE_ORDER_MARK = "\ufeff"
_HEADINGS = ("code", "printed")


class StockFileError(ValueError):
    """A list of cards cannot be taken in. The message names the place and the remedy; nothing was changed."""


class StockFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`{"cards": […]}`, the JSON form of `cards import`."""

    cards: tuple[ImportedIdentifier, ...]


class Listed(Struct, frozen=True, kw_only=True):
    """One card of a list, and where in it."""

    place: str
    numbers: tuple[CardNumber, ...]


class TakenIn(Struct, frozen=True, kw_only=True):
    """What a list came to. `named` are numbers that name a member only since now, `members` whose cards changed."""

    added: int
    changed: int
    unchanged: int
    named: tuple[tuple[str, str], ...]
    members: tuple[str, ...]


def stock_from(document: bytes) -> tuple[Listed, ...]:
    """The cards of a list, JSON or CSV. Raises StockFileError with the place."""
    try:
        text = document.decode().removeprefix(_BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        raise StockFileError(f"byte {error.start} is no UTF-8; save the list as UTF-8") from error
    listed = _from_json(text) if text.lstrip().startswith("{") else _from_csv(text)
    place_of: dict[str, str] = {}
    for one in listed:
        for number in one.numbers:
            if not number.code:
                raise StockFileError(f"{one.place}: a number is empty; give it or leave the card out")
            if number.code in place_of:
                raise StockFileError(f"{one.place}: its number stands at {place_of[number.code]} too; keep one of them")
            place_of[number.code] = one.place
    return listed


def take_in(connection: Connection, listed: Sequence[Listed], now: datetime) -> TakenIn:
    """Add the cards that are new, and the numbers that known ones lacked; all of them or none. Raises CardError."""
    places = cards.places(connection, {number.code for one in listed for number in one.numbers})
    new = [one for one in listed if all(number.code not in places for number in one.numbers)]
    cards.insert_new(connection, [(one.numbers, None) for one in new], now)
    named: list[tuple[str, str]] = []
    members: set[str] = set()
    changed = 0
    for one in listed:
        if all(number.code not in places for number in one.numbers) or cards.stand_together(one.numbers, places):
            continue
        given = _united(connection, one, now)
        changed += given is not None
        owner = cards.owner_of(connection, one.numbers[0].code)
        if given is not None and owner is not None:
            members.add(owner)
            named += [(owner, code) for code in given]
    return TakenIn(
        added=len(new),
        changed=changed,
        unchanged=len(listed) - len(new) - changed,
        named=tuple(named),
        members=tuple(sorted(members)),
    )


def _united(connection: Connection, one: Listed, now: datetime) -> tuple[str, ...] | None:
    try:
        return cards.unite(connection, one.numbers, None, now)
    except CardError as error:
        raise type(error)(f"{one.place}: {error}") from error


def _from_json(text: str) -> tuple[Listed, ...]:
    try:
        listed = msgspec.json.decode(text, type=StockFile).cards
    except UNDECODABLE as error:
        raise StockFileError(f"{error}; the format is described in docs/central.md") from error
    return tuple(Listed(place=f"$.cards[{index}]", numbers=one.numbers) for index, one in enumerate(listed))


def _from_csv(text: str) -> tuple[Listed, ...]:
    """`code[,printed]` a line, with commas or semicolons, with or without a line of headings."""
    first_line = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in first_line else ",")
    listed: list[Listed] = []
    try:
        for row in reader:
            fields = [field.strip() for field in row]
            if not any(fields) or (not listed and fields[0].lower() == _HEADINGS[0]):
                continue
            if len(fields) > len(_HEADINGS):
                raise StockFileError(f"line {reader.line_num}: write CODE or CODE,PRINTED, nothing more")
            if any(len(field) > MAX_CODE_CHARS for field in fields):
                raise StockFileError(f"line {reader.line_num}: a number has more than {MAX_CODE_CHARS} characters")
            numbers = ImportedIdentifier(code=fields[0], printed=fields[1] if fields[1:] else "").numbers
            listed.append(Listed(place=f"line {reader.line_num}", numbers=numbers))
    except csv.Error as error:
        raise StockFileError(f"line {reader.line_num}: {error}; write CODE or CODE,PRINTED") from error
    return tuple(listed)
