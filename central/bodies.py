"""What an entry says: the kinds that this version handles, and why a body can have no effect.

Looks at one entry alone, never at the database. Never says what becomes of it.
"""

from __future__ import annotations

import hashlib
from typing import get_args

import msgspec
from msgspec import Struct

from central import events
from loyalty.identification import normal_code
from loyalty.nul import holds_nul
from loyalty.program import MAX_NAME_CHARS
from loyalty.receipt import MAX_ALSO, MAX_FOUND_BY_CHARS, overlong
from loyalty.undecodable import UNDECODABLE
from sync.records import (
    AliasBody,
    AllowanceReturnBody,
    AttachBody,
    ConsentBody,
    CorrectBody,
    Entry,
    EntryKind,
    ErasedBody,
    JoinBody,
    ProfileBody,
    ReceiptBody,
    RedeemBody,
    ReleaseBody,
    SignalBody,
)

KNOWN_KINDS = frozenset(get_args(EntryKind))
# Of redemptions: what names one in the ledger.
MAX_KEY_CHARS = 64
# What registers say of points that are spent.
Spending = RedeemBody | ReleaseBody | AllowanceReturnBody
Body = (
    ReceiptBody
    | AttachBody
    | CorrectBody
    | SignalBody
    | JoinBody
    | ProfileBody
    | ConsentBody
    | AliasBody
    | ErasedBody
    | Spending
)
# What registers tell of a member.
Telling = JoinBody | ProfileBody | ConsentBody | AliasBody
HANDLED: dict[str, type[Body]] = {
    "receipt": ReceiptBody,
    "attach": AttachBody,
    "correct": CorrectBody,
    "signal": SignalBody,
    "join": JoinBody,
    "profile": ProfileBody,
    "consent": ConsentBody,
    "alias": AliasBody,
    "erased": ErasedBody,
    "redeem": RedeemBody,
    "release": ReleaseBody,
    "allowance_return": AllowanceReturnBody,
}


class Fault(Struct, frozen=True, kw_only=True):
    """Why an entry can have no effect, found by looking at it alone."""

    reason: str
    detail: str


def opened(entry: Entry) -> Body | Fault:
    """The entry's body, or why it has none that is handled."""
    expected = HANDLED.get(entry.kind)
    if expected is None and entry.kind in KNOWN_KINDS:
        return Fault(reason="not_yet", detail=f"{entry.kind!r} is not handled by this version yet")
    if expected is None:
        return Fault(reason="unknown_kind", detail="this kind is not known here; is the centre older?")
    if entry.digest:
        return Fault(reason="digest_only", detail="too large for the way here: its register sent its digest")
    if len(entry.key) > MAX_FOUND_BY_CHARS:
        return _too_long("the entry's key")
    text = entry.json
    if holds_nul(text):
        return Fault(reason="unreadable", detail="the body holds a NUL, which not every database keeps")
    try:
        body = msgspec.json.decode(text, type=expected)
    except UNDECODABLE as error:
        return Fault(reason="unreadable", detail=f"the body cannot be read: {error}")
    long = _overlong(body)
    if long is not None:
        return _too_long(long)
    unfit = _unfit(entry, body)
    return body if unfit is None else Fault(reason="unreadable", detail=unfit)


def kept_key(key: str) -> str:
    """The key of an entry as it is found by; one that is too long is by its digest, the entry itself has it whole."""
    return key if len(key) <= MAX_FOUND_BY_CHARS else f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def _too_long(what: str) -> Fault:
    return Fault(reason="out_of_bounds", detail=f"{what} is longer than {MAX_FOUND_BY_CHARS} characters")


def _overlong(body: Body) -> str | None:
    """Where a text stands that is too long to be found by; of the others their shapes say how long they may be."""
    match body:
        case ReceiptBody():
            where = overlong(body.receipt)
            return None if where is None else f"receipt.{where}"
        case CorrectBody():
            where = overlong(body.reading.receipt)
            return "target" if _is_long(body.target) else None if where is None else f"reading.receipt.{where}"
        case AttachBody():
            return "target" if _is_long(body.target) else "member.code" if _is_long(body.member.code) else None
        case SignalBody():
            return "member.code" if body.member and _is_long(body.member.code) else None
        case ReleaseBody():
            return "target" if _is_long(body.target) else None
    return None


def _codes_in(body: Body) -> tuple[str, ...]:
    """The codes by which somebody is to be known."""
    match body:
        case JoinBody():
            return tuple(one.code for one in body.codes)
        case AliasBody():
            return (body.code.code, *((body.of,) if body.of else ()))
        case AttachBody():
            return (body.member.code,)
    return ()


def _is_long(text: str) -> bool:
    return len(text) > MAX_FOUND_BY_CHARS


def _unfit(entry: Entry, body: Body) -> str | None:
    """Why a body that can be read cannot stand under its entry."""
    if isinstance(body, SignalBody) and (len(entry.key) > events.MAX_KEY_CHARS or len(body.what) > MAX_NAME_CHARS):
        return "the key or the name of an event is too long"
    if any(not normal_code(code) for code in _codes_in(body)):
        return "a code is blank"
    if isinstance(body, RedeemBody) and len(entry.key) > MAX_KEY_CHARS:
        return f"the key of a redemption is longer than {MAX_KEY_CHARS} characters"
    if isinstance(body, RedeemBody) and len(body.receipt or "") > MAX_FOUND_BY_CHARS:
        return f"the key of a redemption's receipt is longer than {MAX_FOUND_BY_CHARS} characters"
    receipt = body.receipt if isinstance(body, ReceiptBody) else None
    if isinstance(body, CorrectBody):
        receipt = body.reading.receipt
    if receipt is not None and receipt.key != entry.key:
        return "the entry's key is not its receipt's"
    if receipt is not None and len(receipt.also) > MAX_ALSO:
        return f"more than {MAX_ALSO} ids on one receipt"
    return None
