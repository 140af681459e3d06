"""A member as this register shows them: the feed's row with what was told here and the row does not show yet.

Owns laying the one over the other. Pure: the store keeps both. What counts in the end, the centre says; its row has it
when the feed reaches the edit's position, and the edit goes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import UNSET, Struct
from msgspec.structs import replace

from loyalty.member import Consent, Identifier, Member

# Fields that a register shows.
SHOWN: Final = ("short_name", "language", "note")


class Edit(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one entry tells of a member, as far as a register may hold it once the entry is sent.

    `fields` are of SHOWN, null where one was taken away; `phone` is the code of a new number, empty where it was
    taken away.
    """

    fields: dict[str, str | None] = {}
    phone: str | None = None
    codes: tuple[Identifier, ...] = ()
    consents: tuple[Consent, ...] = ()
    stamps: dict[str, str] = {}

    @property
    def identifiers(self) -> tuple[Identifier, ...]:
        """All codes that it lets name the member."""
        return (*self.codes, *((Identifier(kind="phone", code=self.phone),) if self.phone else ()))


def laid_over(row: Member, edits: Iterable[Edit]) -> Member:
    """The member with the edits in the order in which they were told."""
    for edit in edits:
        row = _with(row, edit)
    return row


def _with(row: Member, edit: Edit) -> Member:
    fields = {name: edit.fields[name] or UNSET for name in SHOWN if name in edit.fields}
    told = {consent.channel: consent for consent in (*(row.consents or ()), *edit.consents)}
    identifiers = row.identifiers
    if edit.phone is not None:
        identifiers = tuple(one for one in identifiers if one.kind != "phone")
    known = {one.code for one in identifiers}
    return replace(
        row,
        identifiers=(*identifiers, *(one for one in edit.identifiers if one.code not in known)),
        consents=tuple(told.values()) or UNSET,
        stamps={**(row.stamps or {}), **edit.stamps} or UNSET,
        **fields,
    )
