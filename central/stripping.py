"""What is about erased members in a batch that comes now: it names nobody, and is not kept as it was sent.

Owns finding it, by codes and by ids, and what may be kept of it. What was made before the erasure is the erased
member's; a code that was given to somebody else may name them afterwards. Never applies anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct
from sqlalchemy import Connection

from central import cards, erasing, members
from central.addressed import Addressed, Named, id_in, with_body
from central.bodies import Body, Fault, Telling
from sync.records import CorrectBody, Entry, JoinBody, ProfileBody, ReceiptBody


class Said(Struct, frozen=True, kw_only=True):
    """An entry with what it says. `of` is the erased member whom all that it tells is about."""

    entry: Entry
    body: Body | Fault
    of: str | None = None


class Stripped(Struct, frozen=True, kw_only=True):
    """What was said, as it has its effect, and by `seq` what may be `kept` of entries in the place of what came."""

    said: tuple[Said, ...]
    kept: dict[int, Entry]


def stripped(connection: Connection, addressed: Addressed, came: Iterable[Said]) -> Stripped:
    """The entries of a batch in their order, without who was erased."""
    every = tuple(came)
    codes = {one.entry.seq: addressed.codes(one.body) for one in every if not isinstance(one.body, Fault)}
    erased = erasing.erased_codes(connection, {code for some in codes.values() for code in some})
    kept: dict[int, Entry] = {}
    if erased:
        given = {code for code, holder in cards.holders(connection, erased).items() if holder.member is not None}
        without = _Without(addressed, erased, given, kept)
        every = tuple(without(one, codes.get(one.entry.seq, ())) for one in every)
    told = {one.entry.seq: id_in(one.body) or "" for one in every if isinstance(one.body, Telling)}
    meant = members.meant(connection, told.values())
    gone = members.erased_among(connection, sorted(set(meant.values())))
    # Who joins as somebody who was erased is that one to what is told of them next.
    joined = {told[one.entry.seq] for one in every if one.of is not None and isinstance(one.body, JoinBody)}
    for one in every:
        which = told.get(one.entry.seq, "")
        if meant.get(which) in gone or which in joined:
            kept[one.entry.seq] = one.entry.without_body()
    return Stripped(said=every, kept=kept)


class _Without:
    """Takes codes that named an erased member out of what was said, and notes what may be kept of it."""

    def __init__(
        self, addressed: Addressed, erased: Mapping[str, Named], given: Collection[str], kept: dict[int, Entry]
    ) -> None:
        self._addressed = addressed
        self._erased = erased
        self._given = given
        self._kept = kept

    def __call__(self, said: Said, named: Iterable[str]) -> Said:
        entry, body = said.entry, said.body
        theirs = [code for code in named if code in self._erased]
        if not theirs:
            return said
        if isinstance(body, Telling):
            return self._telling(said, [code for code in theirs if entry.wall < self._erased[code].erased_at])
        bare = self._addressed.without(body, self._erased[theirs[0]], is_given=theirs[0] in self._given)
        if bare is body:
            return said
        is_sale = isinstance(bare, ReceiptBody | CorrectBody)
        self._kept[entry.seq] = with_body(entry, bare) if is_sale else entry.without_body()
        return Said(entry=entry, body=bare)

    def _telling(self, said: Said, theirs: Sequence[str]) -> Said:
        """What a register told before the erasure: of another than its member all but a number or address stays."""
        entry, body = said.entry, said.body
        if not theirs:
            return said
        if isinstance(body, ProfileBody):
            rest = self._addressed.without_fields(body, theirs)
            self._kept[entry.seq] = with_body(entry, rest) if rest.fields else entry.without_body()
            return Said(entry=entry, body=rest)
        self._kept[entry.seq] = entry.without_body()
        return Said(entry=entry, body=body, of=self._erased[theirs[0]].member)
