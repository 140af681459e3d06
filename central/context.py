"""What other channels know of members and a till should: a cart on line, an order to collect, the next appointment.

Owns the rows of `member_context`, and which of them a register is told. Each source tells all that it knows of a member
at once, and what it told before is gone; no other source's is touched. Never decides what is done with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import Connection, Row, delete, insert, select

from central.cards import AT_ONCE
from central.db import tables
from central.db.sets import among
from loyalty.member import ContextKind, ContextLine
from loyalty.pan import first_pan
from loyalty.undecodable import UNDECODABLE

# Of one member: what a cashier reads in a glance.
MAX_LINES: Final = 4

SourceName = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,31}$")]

_lines = msgspec.json.Decoder(tuple[ContextLine, ...])


class ContextFileError(ValueError):
    """A file of context cannot be taken in. The message names the path and the remedy; nothing was changed."""


class GivenLine(ContextLine, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A line of a file."""

    kind: ContextKind


Lines = Annotated[tuple[GivenLine, ...], Meta(max_length=MAX_LINES)]


class GivenContext(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that one source knows of a member, who is named by an id, a code, a telephone number or an address."""

    member: Annotated[str, Meta(min_length=1, max_length=255)]
    lines: Lines


class ContextFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`{"source":"webshop","members":[…]}`, the format of `members context`."""

    source: SourceName
    members: tuple[GivenContext, ...]


def context_from_json(document: bytes) -> ContextFile:
    """Raises ContextFileError with the path of what is wrong."""
    try:
        file = msgspec.json.decode(document, type=ContextFile)
    except UNDECODABLE as error:
        raise ContextFileError(f"{error}; the format is described in docs/central.md") from error
    for index, given in enumerate(file.members):
        for place, line in enumerate(given.lines):
            if first_pan(line.text) is not None:
                path = f"$.members[{index}].lines[{place}].text"
                raise ContextFileError(f"{path} holds a payment card's number, and those are kept nowhere; take it out")
    return file


def keep(connection: Connection, source: str, told: Mapping[str, Lines]) -> list[str]:
    """Keep what a source says of members; without lines nothing of it is known any more. Returns whose are others."""
    known = {row.member: row.lines for row in _rows(connection, list(told)) if row.source == source}
    texts = {member: msgspec.json.encode(lines).decode() if lines else None for member, lines in told.items()}
    changed = sorted(member for member, text in texts.items() if text != known.get(member))
    table = tables.member_context
    for start in range(0, len(changed), AT_ONCE):
        some = among(table.c.member, changed[start : start + AT_ONCE])
        connection.execute(delete(table).where(some, table.c.source == source))
    rows = [{"member": member, "source": source, "lines": texts[member]} for member in changed if texts[member]]
    if rows:
        connection.execute(insert(table), rows)
    return changed


def of_members(connection: Connection, whose: Sequence[str], now: datetime) -> dict[str, tuple[ContextLine, ...]]:
    """What a till is told of each of these members: the newest lines that hold `now`; those without any are absent."""
    found: defaultdict[str, list[ContextLine]] = defaultdict(list)
    for row in _rows(connection, whose):
        found[row.member] += (line for line in _lines.decode(row.lines) if line.holds(now))
    return {
        member: tuple(sorted(lines, key=lambda line: line.at, reverse=True)[:MAX_LINES])
        for member, lines in found.items()
        if lines
    }


def move(connection: Connection, source: str, target: str) -> None:
    """What was known of `source` is known of `target`, where the same channel told nothing of that one."""
    table = tables.member_context
    theirs, mine = _rows(connection, [source]), {row.source for row in _rows(connection, [target])}
    rows = [{"member": target, "source": row.source, "lines": row.lines} for row in theirs if row.source not in mine]
    connection.execute(delete(table).where(table.c.member == source))
    if rows:
        connection.execute(insert(table), rows)


def forget(connection: Connection, member: str) -> None:
    connection.execute(delete(tables.member_context).where(tables.member_context.c.member == member))


def _rows(connection: Connection, whose: Sequence[str]) -> list[Row[Any]]:
    table = tables.member_context
    found: list[Row[Any]] = []
    for start in range(0, len(whose), AT_ONCE):
        some = among(table.c.member, whose[start : start + AT_ONCE])
        found += connection.execute(select(table).where(some).order_by(table.c.member, table.c.source)).all()
    return found
