"""What was told of members at this register, until the member's row shows it.

Owns the rows of `edits`, members who joined here and are not in the feed yet, ids that come to mean another member, and
that what a register may not hold goes from an entry once the centre has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from loyalty.addresses import address_code
from loyalty.identification import normal_code
from loyalty.member import Identifier, Member
from loyalty.undecodable import UNDECODABLE
from sync.records import AliasBody, ConsentBody, Entry, EntryKind, FieldName, JoinBody, ProfileBody, ToldValue
from sync.store.code_rows import CodeRows
from sync.store.overlay import Edit
from sync.store.packing import Packer, unpacked
from sync.wire import Outcome

Told = JoinBody | ProfileBody | ConsentBody | AliasBody
# Where a member stands who joined here and is not in the feed yet: no snapshot knows them, and none forgets them.
JOINED: Final = "join"
# Fields that no register holds once the centre has them.
_CONTACT: Final = frozenset({"phone", "email", "address", "birth_date"})
# The greatest number whose entry is another now than when it was chained.
_REWRITTEN: Final = "rewritten_through"

_encode = msgspec.json.Encoder().encode
_join = msgspec.json.Decoder(JoinBody)
_member = msgspec.json.Decoder(Member)
_profile = msgspec.json.Decoder(ProfileBody)


class ProfileRows(CodeRows):
    """The part of `Writing` that is about members' profiles."""

    _packer: Packer
    _touched: set[str]

    def _generation(self) -> int:
        raise NotImplementedError

    def append(self, kind: EntryKind, key: str, body: msgspec.Struct) -> Entry:
        raise NotImplementedError

    def tell(self, kind: EntryKind, key: str, body: Told, edit: Edit) -> Entry:
        """Adds an entry that tells of a member, and shows `edit` until the row does.

        Consents of the edit are as of the entry, whose stamp they get.
        """
        entry = self.append(kind, key, body)
        stamped = tuple(replace(consent, hlc=entry.hlc) for consent in edit.consents)
        member = body.provisional_id if isinstance(body, JoinBody) else body.member
        self._show(key, member, replace(edit, consents=stamped))
        return entry

    def add_joined(self, member: Member) -> None:
        """Somebody who joined here: known at once, before the centre has heard of them."""
        self._execute(
            "INSERT INTO members (member, pos, op, generation, row) VALUES (?, 0, ?, ?, ?)",
            (member.member, JOINED, self._generation(), _encode(member)),
        )

    def _show(self, key: str, member: str, edit: Edit) -> None:
        self._touched.add(member)
        self._execute("INSERT INTO edits (key, member, edit) VALUES (?, ?, ?)", (key, member, _encode(edit)))
        self._name(member, edit.identifiers)

    def _name(self, member: str, identifiers: Iterable[Identifier]) -> None:
        row = self._row("SELECT id FROM members WHERE member = ?", (member,))
        if row is not None:
            self._insert_codes([(normal_code(one.code), one.kind, row[0]) for one in identifiers])

    def _settle_edits(self, outcomes: Mapping[int, Outcome]) -> None:
        """What the centre refused, or has no effect in the feed, or the row shows already, is shown no more."""
        rows = self._rows(
            "SELECT e.number, d.id, d.member, m.pos FROM entries e JOIN edits d ON d.key = e.key "
            "LEFT JOIN members m ON m.member = d.member WHERE e.number >= ? AND e.number <= ?",
            (min(outcomes), max(outcomes)),
        )
        for number, edit, member, shown_pos in rows:
            self._touched.add(member)
            pos = outcomes[number].pos or None
            if outcomes[number].code == "quarantined" or pos is None or (shown_pos is not None and shown_pos >= pos):
                self._drop_edit(edit, member)
            else:
                self._execute("UPDATE edits SET pos = ? WHERE id = ?", (pos, edit))

    def _drop_edits(self, member: str, pos: int) -> None:
        """The row shows what the centre made of these."""
        for row in self._rows("SELECT id FROM edits WHERE member = ? AND pos <= ?", (member, pos)):
            self._drop_edit(row[0], member)

    def _drop_edit(self, edit_id: int, member: str) -> None:
        (body,) = self._row("SELECT edit FROM edits WHERE id = ?", (edit_id,))
        self._execute("DELETE FROM edits WHERE id = ?", (edit_id,))
        named = self._named(member)
        for one in msgspec.json.decode(body, type=Edit).identifiers:
            if normal_code(one.code) not in named:
                self._execute(
                    "DELETE FROM identifiers WHERE code = ? AND member = (SELECT id FROM members WHERE member = ?)",
                    (normal_code(one.code), member),
                )

    def _named(self, member: str) -> set[str]:
        """The codes of the member's row and of each edit: what another edit hides counts again if that is refused."""
        row = self._row("SELECT row FROM members WHERE member = ? AND row IS NOT NULL", (member,))
        edits = self._rows("SELECT edit FROM edits WHERE member = ?", (member,))
        named = [_member.decode(row[0]).identifiers] if row is not None else []
        named += [msgspec.json.decode(body, type=Edit).identifiers for (body,) in edits]
        return {normal_code(one.code) for identifiers in named for one in identifiers}

    def _means(self, alias: str, member: str) -> None:
        """An id means another member from here on: what was under it is theirs."""
        for table in ("claims", "scans", "receipts", "edits", "allowances", "redemptions"):
            self._execute(f"UPDATE {table} SET member = ? WHERE member = ?", (member, alias))  # noqa: S608 - ours
        row = self._row("SELECT id FROM members WHERE member = ?", (alias,))
        if row is not None:
            self._delete_codes_of(row[0])
            self._execute("DELETE FROM members WHERE id = ?", (row[0],))
            self._touched.add(alias)
        for (body,) in self._rows("SELECT edit FROM edits WHERE member = ?", (member,)):
            self._name(member, msgspec.json.decode(body, type=Edit).identifiers)

    def _reduce(self, outcomes: Mapping[int, Outcome]) -> None:
        """What only an unsent entry may hold goes from those that the centre has; what was refused waits on, whole."""
        rows = self._rows(
            "SELECT number, kind, body FROM entries WHERE number >= ? AND number <= ? AND kind IN ('join', 'profile')",
            (min(outcomes), max(outcomes)),
        )
        for number, kind, body in rows:
            if outcomes[number].code == "quarantined":
                continue
            document = unpacked(body)
            try:
                reduced = self._reduced(kind, document)
            except UNDECODABLE:
                continue  # of another version of this program: a centre may have it on hold, unread
            if reduced != document:
                self._rewrite_entry(number, reduced)

    def _reduced(self, kind: str, document: bytes) -> bytes:
        if kind == "join":
            return _encode(_reduced_join(_join.decode(document), self.code_key()))
        return _encode(_reduced_profile(_profile.decode(document)))

    def _rewrite_entry(self, number: int, body: bytes) -> None:
        """An entry that is another now can be sent in a later epoch only, since this one's chain holds the first."""
        self._execute("UPDATE entries SET body = ? WHERE number = ?", (self._packer.pack(body), number))
        self._execute(
            "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET "
            "value = max(CAST(value AS INTEGER), CAST(excluded.value AS INTEGER))",
            (_REWRITTEN, str(number)),
        )


def _reduced_join(body: JoinBody, key: str | None) -> JoinBody:
    """Without what a register may not hold; numbers and addresses name the member by codes from here on."""
    codes = tuple(
        replace(one, code=address_code(one.kind, one.code, key) or one.code) if key is not None else one
        for one in body.codes
    )
    return replace(body, fields=_without_contact(body.fields), codes=codes)


def _reduced_profile(body: ProfileBody) -> ProfileBody:
    return replace(body, fields=_without_contact(body.fields))


def _without_contact(fields: Mapping[FieldName, ToldValue]) -> dict[FieldName, ToldValue]:
    return {name: told for name, told in fields.items() if name not in _CONTACT}
