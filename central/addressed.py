"""Codes in what registers send: telephone numbers and addresses become codes, and those of erased members go.

Owns finding whom the bodies of entries are about, and writing bodies and entries without them. Never looks anything up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Raw, Struct
from msgspec.structs import replace

from central.bodies import Body, Fault, opened
from loyalty.addresses import address_code, hidden_code, phone_number
from loyalty.identification import MemberKind, normal_code
from loyalty.receipt import AwareDatetime, MemberReference, Receipt
from sync.records import (
    AliasBody,
    AllowanceReturnBody,
    AttachBody,
    ConsentBody,
    CorrectBody,
    Entry,
    FieldName,
    JoinBody,
    ProfileBody,
    ReceiptBody,
    RedeemBody,
    ReleaseBody,
    SignalBody,
    ToldValue,
)
from sync.wire import Erasure

# A code shorter than this may stand anywhere in a body that cannot be read, and mean something else.
_MIN_TEXT_CHARS = 6
# Of a body that is another than the one that was sent: with the salt of that, its digest would tell what is missing.
_NO_SALT = "0" * 32
_ADDRESSES: Final[tuple[Literal["phone", "email"], ...]] = ("phone", "email")


class Named(Struct, frozen=True, kw_only=True):
    """Whom a code named until then."""

    member: str
    erased_at: AwareDatetime


class Addressed:
    """`key` makes codes of telephone numbers and addresses."""

    def __init__(self, key: Callable[[], str]) -> None:
        self._key = key

    def hidden(self, body: Any) -> Any:
        """The body with the code of a telephone number or address in its place; a code that is blank names nobody."""
        reference = _reference(body)
        if reference is not None and not normal_code(reference.code):
            return _with_reference(body, None)
        if reference is None or reference.kind not in ("phone", "email"):
            return body
        code = address_code(reference.kind, reference.code, self._key())
        if code is None or code == reference.code:
            return body
        return _with_reference(body, replace(reference, code=code))

    def codes(self, body: Struct) -> tuple[str, ...]:
        """The codes that a body names somebody by, in normal form."""
        reference = _reference(body)
        if reference is not None:
            return (normal_code(reference.code),)
        return tuple(self._made(kind, text) for kind, text in told_codes(body))

    def _made(self, kind: MemberKind, text: str) -> str:
        return address_code(kind, text, self._key()) or normal_code(text)

    def without_fields(self, body: ProfileBody, codes: Collection[str]) -> ProfileBody:
        """What is told of somebody, without the number and address that these codes were made of."""
        theirs = {name for name, text in _addresses(body.fields) if self._made(name, text) in codes}
        return replace(body, fields={name: told for name, told in body.fields.items() if name not in theirs})

    def without(self, body: Any, erased: Named, *, is_given: bool) -> Any:
        """The body without the code of somebody who was erased. A receipt of before is still the same nobody's.

        Where the code `is_given` to somebody else since, they have what was bought with it since.
        """
        receipt = _receipt(body)
        made_at = UNSET if receipt is None else receipt.issued_at or receipt.captured_at
        before = made_at is not UNSET and made_at < erased.erased_at
        if is_given and not before:
            return body
        if receipt is None:
            return _with_reference(body, None)
        return _with_member(_with_reference(body, None), erased.member if before else None)


class About:
    """Who is erased, and how to know them in an entry: by ids, by digests of codes, and by `texts` that named them."""

    def __init__(self, erasure: Erasure, key: str, texts: Collection[str]) -> None:
        self.member = erasure.member
        self.ids = frozenset((erasure.member, *erasure.aliases))
        self._digests = frozenset(erasure.codes)
        self._key = key
        self._patterns = (
            *(_id_written(member) for member in sorted(self.ids)),
            *(_written(text) for text in sorted(texts) if len(text) >= _MIN_TEXT_CHARS),
        )

    def names(self, code: str, kind: MemberKind = "card") -> bool:
        """Whether a code named them, or a telephone number or address that a code was made of."""
        made = address_code(kind, code, self._key) or code
        return hidden_code(made, self._key) in self._digests

    def entry_without(self, entry: Entry) -> Entry:
        """What may be kept of an entry that came before the erasure: the same where it is not about them.

        A sale stays, without the code. What others are told besides stays, too; where nothing does, the digest of the
        body stands in its place. In a body that cannot be read they are found by how they are written.
        """
        body = opened(entry)
        if isinstance(body, Fault):
            theirs = any(pattern.search(entry.json) for pattern in self._patterns)
            return entry.without_body() if theirs and not entry.digest else entry
        rest = self._without(body)
        if rest is body:
            return entry
        return entry.without_body() if rest is None else with_body(entry, rest)

    def _without(self, body: Body) -> Body | None:
        theirs = id_in(body) in self.ids
        reference = _reference(body)
        named = reference is not None and self.names(reference.code, reference.kind)
        match body:
            case ReceiptBody() | CorrectBody():
                return self._sale(body) if named or (theirs and reference is not None) else body
            case AttachBody() | SignalBody():
                return None if named else body
            case RedeemBody() | ReleaseBody() | AllowanceReturnBody():
                return body  # what was spent counts, by an id that names nobody
            case JoinBody() | AliasBody():
                named = any(self.names(text, kind) for kind, text in told_codes(body))
            case ProfileBody() if not theirs:
                return self._fields_of_another(body)
        return None if theirs or named else body

    def _sale(self, body: ReceiptBody | CorrectBody) -> Body:
        reading = body.reading if isinstance(body, CorrectBody) else body
        bare: Body = _with_member(_with_reference(body, None), reading.member or self.member)
        return bare

    def _fields_of_another(self, body: ProfileBody) -> Body | None:
        """What is told of somebody else, without the number and address that were the erased member's."""
        rest = {
            name: told
            for name, told in body.fields.items()
            if not (name in ("phone", "email") and self.names(told.value or "", name))
        }
        if len(rest) == len(body.fields):
            return body
        return replace(body, fields=rest) if rest else None


def id_in(body: Struct) -> str | None:
    """The id that a body names a member by."""
    match body:
        case ReceiptBody() | ProfileBody() | ConsentBody() | AliasBody():
            return body.member or None
        case CorrectBody():
            return body.reading.member or None
        case JoinBody():
            return body.provisional_id
    return None


def told_codes(body: Struct) -> tuple[tuple[MemberKind, str], ...]:
    """What registers tell that somebody is known by: kinds, and codes, numbers and addresses as they are written."""
    match body:
        case JoinBody():
            return (*((one.kind, one.code) for one in body.codes), *_addresses(body.fields))
        case AliasBody():
            return ((body.code.kind, body.code.code), *((("card", body.of),) if body.of else ()))
        case ProfileBody():
            return _addresses(body.fields)
    return ()


def with_body(entry: Entry, body: Struct) -> Entry:
    """The entry with another body than it was sent with."""
    return replace(entry, salt=_NO_SALT, body=Raw(msgspec.json.encode(body)), digest=UNSET)


def _addresses(fields: Mapping[FieldName, ToldValue]) -> tuple[tuple[Literal["phone", "email"], str], ...]:
    return tuple((name, told.value) for name in _ADDRESSES if (told := fields.get(name)) is not None and told.value)


def _id_written(member: str) -> re.Pattern[bytes]:
    return re.compile(rb'"(?:member|provisional_id)"\s*:\s*"' + re.escape(member.encode()) + b'"')


def _written(text: str) -> re.Pattern[bytes]:
    """A code, number or address by itself, in any way of writing it."""
    characters = (phone_number(text) or normal_code(text)).lstrip("+")
    spelled = rb"[ ()/.-]*".join(re.escape(one.encode()) for one in characters)
    return re.compile(rb"(?<![0-9A-Za-z])(?:00)?" + spelled + rb"(?![0-9A-Za-z])", re.IGNORECASE)


def _reference(body: Struct) -> MemberReference | None:
    match body:
        case ReceiptBody() | CorrectBody():
            receipt = _receipt(body)
            return None if receipt is None else receipt.member or None
        case AttachBody():
            return body.member
        case SignalBody():
            return body.member or None
    return None


def _receipt(body: Struct) -> Receipt | None:
    match body:
        case ReceiptBody():
            return body.receipt
        case CorrectBody():
            return body.reading.receipt
    return None


def _with_reference(body: Any, reference: MemberReference | None) -> Any:
    match body:
        case ReceiptBody():
            return replace(body, receipt=replace(body.receipt, member=reference or UNSET))
        case CorrectBody():
            return replace(body, reading=_with_reference(body.reading, reference))
        case AttachBody() if reference is None:
            # Nobody is attached to anything by it.
            return SignalBody(what="member.erased")
        case _:
            return replace(body, member=reference or UNSET)


def _with_member(body: Any, member: str | None) -> Any:
    if isinstance(body, CorrectBody):
        return replace(body, reading=_with_member(body.reading, member))
    return replace(body, member=member or UNSET)
