"""A member as the feed, a snapshot or a lookup tells of them, made ready for the tables.

Owns that form. Made where there is time for it, so that the writer, behind whom a receipt may wait, has only rows to
write. Never touches a store.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, Struct

from loyalty.identification import normal_code
from loyalty.member import Member
from sync.wire import Change

_encode = msgspec.json.Encoder().encode


class Fed(Struct, frozen=True, kw_only=True, gc=False):
    """One change. `body` is the member's row as JSON, None of who left or was erased.

    `codes` are what names the member, in normal form, each with its kind; `aliases` ids that mean the same member.
    """

    member: str
    pos: int
    op: Literal["upsert", "leave", "erase"]
    body: bytes | None = None
    codes: tuple[tuple[str, str], ...] = ()
    aliases: tuple[str, ...] = ()


def fed(change: Change) -> Fed:
    """Of who leaves or is erased no row is kept, whatever comes with it."""
    if change.op != "upsert" or change.row is UNSET:
        return Fed(member=change.member, pos=change.pos, op=change.op)
    return fed_row(change.member, change.pos, change.row)


def fed_row(member: str, pos: int, row: Member) -> Fed:
    return Fed(
        member=member,
        pos=pos,
        op="upsert",
        body=_encode(row),
        codes=codes_of(row),
        aliases=row.aliases or (),
    )


def codes_of(row: Member) -> tuple[tuple[str, str], ...]:
    return tuple([(normal_code(one.code), one.kind) for one in row.identifiers])
