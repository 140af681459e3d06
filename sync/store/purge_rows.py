"""What goes from a register's store when a member is erased.

Owns finding what is about the member, by ids and by digests of the codes that named them, and writing it without:
rows and overlay, scans, receipts, entries that wait or are kept, and what waits for a person. A transaction stays, and
belongs to an id that names nobody. Each step is a small transaction and may be done again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from loyalty.addresses import address_code, hidden_code
from loyalty.identification import MemberKind
from loyalty.member import Member, ending_of
from loyalty.receipt import MemberReference, Receipt
from loyalty.undecodable import UNDECODABLE
from sync.records import (
    AliasBody,
    AttachBody,
    CorrectBody,
    EntryKind,
    ErasedBody,
    JoinBody,
    ProfileBody,
    ReceiptBody,
    SignalBody,
)
from sync.store.fed import Fed
from sync.store.packing import Packer, unpacked
from sync.store.reading import EPOCH_VOID, ITEM_BYTES, Reading
from sync.wire import Erasure

# Rows looked through in one transaction; a receipt may be waiting behind it.
AT_ONCE: Final = 100
# The same of papers, each of which may be a picture of two megabytes: 10 ms for each text that is looked for.
BYTES_AT_ONCE: Final = 1024 * 1024
# How far erasures were carried out here, by their number.
ERASURES_THROUGH: Final = "erasures_through"
# In the place of a code that has to be one.
_NOBODY: Final = "ERASED"
# A name this short may stand anywhere.
_MIN_NAME_CHARS: Final = 6
# How tills write what is not ASCII: the code pages of printers here, and of files.
PAPER_ENCODINGS: Final = ("utf-8", "cp852", "cp1250", "cp1251", "cp855", "cp866", "iso8859-2", "iso8859-5")

_BODIES: Final[dict[str, type[Struct]]] = {
    "receipt": ReceiptBody,
    "correct": CorrectBody,
    "attach": AttachBody,
    "signal": SignalBody,
    "join": JoinBody,
    "profile": ProfileBody,
    "alias": AliasBody,
}

_encode = msgspec.json.Encoder().encode
_receipt = msgspec.json.Decoder(Receipt)
_member = msgspec.json.Decoder(Member)
_reference = msgspec.json.Decoder(MemberReference)


class About:
    """Who is erased, and how to know them."""

    def __init__(self, erasure: Erasure, key: str | None) -> None:
        self.erasure = erasure
        self.ids = frozenset((erasure.member, *erasure.aliases))
        self._digests = frozenset(erasure.codes)
        self._key = key
        self._known: dict[str, bool] = {}

    def names(self, code: str, kind: MemberKind = "card") -> bool:
        """Whether a code named them, or a telephone number or address that a code was made of."""
        if self._key is None:
            return False
        code = address_code(kind, code, self._key) or code
        if code not in self._known:
            self._known[code] = hidden_code(code, self._key) in self._digests
        return self._known[code]

    def is_of(self, member: str | None, reference: MemberReference | None) -> bool:
        return member in self.ids or (reference is not None and self.names(reference.code, reference.kind))


class PurgeRows(Reading):
    """The part of `Writing` that erases."""

    _packer: Packer
    _touched: set[str]

    def _execute(self, sql: str, parameters: Sequence[object] = ()) -> int:
        raise NotImplementedError

    def _apply(self, rows: Sequence[Fed]) -> None:
        raise NotImplementedError

    def _delete_codes_of(self, member_id: int) -> None:
        raise NotImplementedError

    def _rewrite_entry(self, number: int, body: bytes) -> None:
        raise NotImplementedError

    def set_meta(self, name: str, value: str) -> None:
        raise NotImplementedError

    def append(self, kind: EntryKind, key: str, body: Struct) -> Any:
        raise NotImplementedError

    def purge_spending(self, members: Collection[str], names: Callable[[MemberReference], bool]) -> None:
        raise NotImplementedError

    def purge_quarantine(self, texts: frozenset[str], after: int) -> int | None:
        """Masks what named the member in what waits for a person; returns where to go on, None at the end."""
        masks = [written_anyhow(text) for text in texts]
        in_words = [written_anyhow(text, ("utf-8",)) for text in texts]
        looked_at = 0
        while looked_at < BYTES_AT_ONCE:
            row = self._row("SELECT id, raw, detail, note FROM quarantine WHERE id > ? ORDER BY id LIMIT 1", (after,))
            if row is None:
                return None
            after, raw, detail, note = row
            cleaned = starred(raw, masks)
            words = [starred(text.encode(), in_words).decode() if text else text for text in (detail, note)]
            if (cleaned, *words) != (raw, detail, note):
                self._execute(
                    "UPDATE quarantine SET raw = ?, detail = ?, note = ? WHERE id = ?", (cleaned, *words, after)
                )
            looked_at += ITEM_BYTES + len(raw)
        return after

    def purge_receipts(self, about: About, after: int) -> int | None:
        """Takes the code out of the member's receipts; returns where to go on, None at the end."""
        rows = self._rows("SELECT id, member, body FROM receipts WHERE id > ? ORDER BY id LIMIT ?", (after, AT_ONCE))
        for row_id, member, body in rows:
            receipt = _receipt.decode(unpacked(body))
            if about.is_of(member, receipt.member or None):
                bare = self._packer.pack(_encode(replace(receipt, member=UNSET)))
                self._execute(
                    "UPDATE receipts SET member = ?, body = ? WHERE id = ?", (about.erasure.member, bare, row_id)
                )
        return rows[-1][0] if len(rows) == AT_ONCE else None

    def purge_entries(self, about: About, texts: frozenset[str], after: int) -> int | None:
        """Writes entries that are about the member without what tells who it is; where to go on, None at the end.

        In one of another version, which cannot be read, what named the member is masked. One that waits for the centre
        may be there already as it was: then a new epoch is needed.
        """
        rows = self._rows(
            "SELECT number, kind, body FROM entries WHERE number > ? ORDER BY number LIMIT ?", (after, AT_ONCE)
        )
        settled, masks = self.settled_through(), [written_anyhow(text) for text in texts]
        for number, kind, body in rows:
            document = unpacked(body)
            try:
                bare = _without(kind, document, about)
            except UNDECODABLE:
                bare = starred(document, masks)
            if bare is None or bare == document:
                continue
            self._rewrite_entry(number, bare)
            live = self._live_epoch()
            if number > settled and live is not None:
                self.set_meta(EPOCH_VOID, live[0])
        return rows[-1][0] if len(rows) == AT_ONCE else None

    def purge_waiting(self, about: About, after: int) -> int | None:
        """The same for receipts that wait for their partners."""
        rows = self._rows("SELECT id, body FROM waiting WHERE id > ? ORDER BY id LIMIT ?", (after, AT_ONCE))
        for row_id, body in rows:
            receipt = _receipt.decode(unpacked(body))
            if about.is_of(None, receipt.member or None):
                bare = self._packer.pack(_encode(replace(receipt, member=UNSET)))
                self._execute("UPDATE waiting SET body = ? WHERE id = ?", (bare, row_id))
        return rows[-1][0] if len(rows) == AT_ONCE else None

    def purge_scans(self, about: About, after: int) -> int | None:
        """Forgets the member's scans; returns where to go on, None at the end."""
        rows = self._rows("SELECT id, code, member FROM scans WHERE id > ? ORDER BY id LIMIT ?", (after, AT_ONCE))
        for row_id, code, member in rows:
            if member in about.ids or about.names(code):
                self._execute("DELETE FROM scans WHERE id = ?", (row_id,))
        return rows[-1][0] if len(rows) == AT_ONCE else None

    def purge_answers(self, about: About, texts: frozenset[str], after: tuple[str, str]) -> tuple[str, str] | None:
        """Takes the member out of answers that are given again to a call that is made again: of their sales, and of
        those in which somebody stands whose name, or the end of whose code, is theirs. Where to go on, None at the end.
        """
        rows = self._rows(
            "SELECT source, call, answer FROM answered_calls WHERE (source, call) > (?, ?) AND answer <> x'' "
            "ORDER BY source, call LIMIT ?",
            (*after, AT_ONCE),
        )
        members = [shown for member in about.ids if (shown := self.member(member)) is not None]
        names, endings = {shown.short_name for shown in members}, {ending_of(text) for text in texts} - {""}
        sales = {
            sale
            for sale, reference in self._rows("SELECT sale, member FROM sales WHERE member IS NOT NULL")
            if about.is_of(None, _reference.decode(reference))
        }
        for source, call, answer in rows:
            told = msgspec.json.decode(unpacked(bytes(answer)))
            shown = told.get("member")
            if not isinstance(shown, dict):
                continue
            if source.partition("/")[2] in sales or shown.get("name") in names or shown.get("ending") in endings:
                bare = self._packer.pack(_encode(told | {"member": None}))
                self._execute(
                    "UPDATE answered_calls SET answer = ? WHERE source = ? AND call = ?", (bare, source, call)
                )
        return (rows[-1][0], rows[-1][1]) if len(rows) == AT_ONCE else None

    def purge_member(self, about: About) -> None:
        """Last, since all else is found by what stands here: rows, codes, overlay."""
        for member in sorted(about.ids):
            row = self._row("SELECT id, pos FROM members WHERE member = ?", (member,))
            if row is not None:
                self._delete_codes_of(row[0])
            self._execute("DELETE FROM edits WHERE member = ?", (member,))
            self._apply((Fed(member=member, pos=row[1] if row is not None else 0, op="erase"),))
            self._touched.add(member)
        self.purge_spending(about.ids, lambda reference: about.is_of(None, reference))

    def confirm_erasure(self, erasure: Erasure) -> None:
        """Nothing of the member is here any more, which the centre is told."""
        self.append("erased", f"erased-{erasure.number}", ErasedBody(member=erasure.member, erasure=erasure.number))
        self.set_meta(ERASURES_THROUGH, str(erasure.number))


def texts_about(store: Reading, about: About) -> frozenset[str]:
    """By what the member is known here, as it may stand on paper: codes, and a name that is long enough."""
    found: set[str] = set()
    for member in about.ids:
        shown = store.member(member)
        if shown is not None:
            found.update(one.code for one in shown.identifiers)
            if shown.short_name and len(shown.short_name) >= _MIN_NAME_CHARS:
                found.add(shown.short_name)
    return frozenset(found)


def codes_in_receipts(store: Reading, about: About, after: int) -> tuple[set[str], int | None]:
    """The codes by which the member's receipts name them, and where to go on."""
    rows = store.receipt_page(after, AT_ONCE)
    found = {
        receipt.member.code for _, member, receipt in rows if receipt.member and about.is_of(member, receipt.member)
    }
    return found, rows[-1][0] if len(rows) == AT_ONCE else None


def _without(kind: str, document: bytes, about: About) -> bytes | None:
    """The body without what tells who the member is; None where it is not about them."""
    if kind not in _BODIES:
        return None
    bare = _BARE[kind](msgspec.json.decode(document, type=_BODIES[kind]), about)
    return None if bare is None else _encode(bare)


def _receipt_body(body: ReceiptBody, about: About) -> ReceiptBody | None:
    if not about.is_of(body.member or None, body.receipt.member or None):
        return None
    return replace(body, receipt=replace(body.receipt, member=UNSET), member=about.erasure.member)


def _correct_body(body: CorrectBody, about: About) -> CorrectBody | None:
    reading = _receipt_body(body.reading, about)
    return None if reading is None else replace(body, reading=reading)


def _attach_body(body: AttachBody, about: About) -> AttachBody | None:
    return (
        replace(body, member=MemberReference(code=_NOBODY)) if about.names(body.member.code, body.member.kind) else None
    )


def _signal_body(body: SignalBody, about: About) -> SignalBody | None:
    return replace(body, member=UNSET) if body.member and about.names(body.member.code, body.member.kind) else None


def _join_body(body: JoinBody, about: About) -> JoinBody | None:
    theirs = body.provisional_id in about.ids or any(about.names(one.code, one.kind) for one in body.codes)
    return replace(body, fields={}, codes=()) if theirs else None


def _profile_body(body: ProfileBody, about: About) -> ProfileBody | None:
    return replace(body, fields={}) if body.member in about.ids else None


def _alias_body(body: AliasBody, about: About) -> AliasBody | None:
    if body.member not in about.ids:
        return None
    return replace(body, code=replace(body.code, code=_NOBODY), of=UNSET)


_BARE: Final[dict[str, Callable[[Any, About], Struct | None]]] = {
    "receipt": _receipt_body,
    "correct": _correct_body,
    "attach": _attach_body,
    "signal": _signal_body,
    "join": _join_body,
    "profile": _profile_body,
    "alias": _alias_body,
}


def written_anyhow(text: str, encodings: Sequence[str] = PAPER_ENCODINGS) -> re.Pattern[bytes]:
    """Finds a text in any way of writing it: whatever the case and encoding, with spaces and hyphens between."""
    return re.compile(b"[ -]*".join(_any_of(char, encodings) for char in text if char not in " -"))


def _any_of(char: str, encodings: Sequence[str]) -> bytes:
    forms: dict[bytes, None] = {}
    for case in (char, char.lower(), char.upper()):
        for encoding in encodings:
            with suppress(UnicodeEncodeError):
                forms[re.escape(case.encode(encoding))] = None
    return b"(?:" + b"|".join(forms) + b")"


def starred(raw: bytes, masks: Iterable[re.Pattern[bytes]]) -> bytes:
    """The bytes with stars in the place of what is found, as many as there were."""
    for mask in masks:
        raw = mask.sub(lambda found: b"*" * len(found[0]), raw)
    return raw
