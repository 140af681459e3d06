"""Codes in what registers send: telephone numbers and addresses become codes, and those of erased members go.

Owns finding the codes in the bodies of entries and writing bodies without them. Never looks anything up.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from msgspec import UNSET, Struct
from msgspec.structs import replace

from central.erasing import Named
from loyalty.addresses import address_code
from loyalty.identification import normal_code
from loyalty.receipt import MemberReference, Receipt
from sync.records import AttachBody, CorrectBody, ReceiptBody, SignalBody


class Addressed:
    """`key` makes codes of telephone numbers and addresses."""

    def __init__(self, key: Callable[[], str]) -> None:
        self._key = key

    def hidden(self, body: Any) -> Any:
        """The body with the code of a telephone number or address in its place."""
        reference = _reference(body)
        if reference is None or reference.kind not in ("phone", "email"):
            return body
        code = address_code(reference.kind, reference.code, self._key())
        if code is None or code == reference.code:
            return body
        return _with_reference(body, replace(reference, code=code))

    def codes(self, body: Struct) -> set[str]:
        """The code that a body names somebody by, in normal form."""
        reference = _reference(body)
        return set() if reference is None else {normal_code(reference.code)}

    def without(self, body: Any, erased: Mapping[str, Named], owned: Collection[str]) -> Any:
        """The body without the code of somebody who was erased. A receipt of before is still the same nobody's.

        A code that is `owned` was given to somebody else since, who has what was bought with it since.
        """
        reference = _reference(body)
        code = "" if reference is None else normal_code(reference.code)
        found = erased.get(code)
        if found is None:
            return body
        receipt = _receipt(body)
        made_at = UNSET if receipt is None else receipt.issued_at or receipt.captured_at
        before = made_at is not UNSET and made_at < found.erased_at
        if code in owned and not before:
            return body
        if receipt is None:
            return _with_reference(body, None)
        return _with_member(_with_reference(body, None), found.member if before else None)


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
