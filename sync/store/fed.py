"""A member as the feed, a snapshot or a lookup tells of them, made ready for the tables.

Owns that form, and how much of a page goes in at once. Made where there is time for it, so that the writer, behind
whom a receipt may wait, has only rows to write. Never touches a store.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from loyalty.identification import normal_code
from loyalty.member import Member
from sync.wire import Change, ChangesResponse

# Changes of one page that go into the store in one transaction: a millisecond or two of the writer's time, where each
# has claims of its own that go with it, and lies on pages of its own.
APPLIED_AT_ONCE: Final = 8

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


def parts_of(page: ChangesResponse) -> Iterator[ChangesResponse]:
    """A page in small ones, each of which comes as far as its last change; all but the last have more behind them."""
    changes = page.changes
    last = max(0, len(changes) - 1) // APPLIED_AT_ONCE * APPLIED_AT_ONCE
    for start in range(0, last, APPLIED_AT_ONCE):
        some = changes[start : start + APPLIED_AT_ONCE]
        yield replace(page, changes=some, next=some[-1].pos, more=True)
    yield replace(page, changes=changes[last:])
