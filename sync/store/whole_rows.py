"""Rows of a damaged store: which table each belongs to, and whether it is whole.

Owns the shape of every table that is brought back; a row that makes no sense raises one of BROKEN. Never knows what is
of use (`sync.store.salvage` does).
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from loyalty.identification import MemberKind
from loyalty.instant import Instant
from loyalty.ledger import LedgerEntry
from loyalty.member import Member
from loyalty.receipt import Entry as MemberEntry
from loyalty.receipt import Receipt
from loyalty.undecodable import UNDECODABLE
from sync.compression import zstd
from sync.hlc import parse_hlc
from sync.records import ReceiptBody, Salt
from sync.store.damaged import Row, Value
from sync.store.packing import unpacked
from sync.store.reading import moment
from sync.store.saved import SavedEntry, SavedFact, SavedItem, SavedReceipt, SavedScan, SavedWaiting
from sync.store.source_rows import from_us
from sync.wire import Change, SignedProgram

_receipt = msgspec.json.Decoder(Receipt)
_receipt_body = msgspec.json.Decoder(ReceiptBody)
_claims = msgspec.json.Decoder(tuple[LedgerEntry, ...])
_instant = msgspec.json.Decoder(Instant)
_member = msgspec.json.Decoder(Member)

# What the centre signed and said is in force; it is checked again wherever it is used.
_FACTS: Final = frozenset({"config", "item_map", "programs"})
# What is raised for a row that makes no sense.
BROKEN: Final = (*UNDECODABLE, zstd.ZstdError, ValueError, TypeError)

_TEXT: Final = (str,)
_BYTES: Final = (bytes,)
_NUMBER: Final = (int,)
_NULL: Final = (type(None),)
_HLC_DASH: Final = 16
_HASH_CHARS: Final = 64

# The first columns of each table by type; a row id is kept as NULL. Later migrations add columns at the end.
SHAPES: Final[dict[str, tuple[tuple[type, ...], ...]]] = {
    "entries": (_NULL, _TEXT, _TEXT, _TEXT, _TEXT, _TEXT, _BYTES),
    "epochs": (_NULL, _TEXT, _TEXT, _NUMBER, _NUMBER, _BYTES, _TEXT),
    "receipts": (_NULL, _TEXT + _NULL, _NUMBER + _NULL, _TEXT + _NULL, _TEXT, _BYTES, _BYTES),
    "scans": (_NULL, _TEXT, _TEXT, _TEXT, _TEXT + _NULL, _TEXT, _TEXT, _NUMBER, _TEXT + _NULL),
    "members": (_NULL, _TEXT, _NUMBER, _TEXT, _NUMBER, _BYTES + _NULL),
    "programs": (_NULL, _TEXT, _TEXT, _TEXT),
    "quarantine": (_NULL, _TEXT, _TEXT, _TEXT, _TEXT, _TEXT + _NULL, _BYTES),
    "waiting": (_NULL, _TEXT, _TEXT, _TEXT, _TEXT, _NUMBER, _NUMBER, _TEXT, _BYTES),
    "meta": (_TEXT, _TEXT),
}
_WITHOUT_ROWID: Final = frozenset({"meta"})
_MORE_COLUMNS: Final = frozenset({"members", "programs", "quarantine"})


def table_of(row: Row) -> str | None:
    """Which of the tables that are brought back a row belongs to: its types tell, so that no tree is needed."""
    for table, shape in SHAPES.items():
        values = row.values
        if (row.rowid is None) != (table in _WITHOUT_ROWID) or len(values) < len(shape):
            continue
        if len(values) > len(shape) and table not in _MORE_COLUMNS:
            continue
        if all(isinstance(value, types) for value, types in zip(values, shape, strict=False)) and _told(table, values):
            return table
    return None


def _told(table: str, values: tuple[Value, ...]) -> bool:
    """Where another table has columns of the same types, what stands in one tells."""
    match table, values:
        case "entries", (_, _, _, str(hlc), *_):
            return hlc[_HLC_DASH : _HLC_DASH + 1] == "-"
        case "programs", (_, str(content_hash), *_):
            return len(content_hash) == _HASH_CHARS
        case _:
            return True


def whole_entry(row: Row) -> SavedEntry:
    columns = tuple[str, str, str, str, Salt, bytes]
    key, kind, hlc, wall, salt, body = msgspec.convert(row.values[1:], columns)
    parse_hlc(hlc)
    moment(wall)
    msgspec.json.decode(unpacked(body))
    return SavedEntry(number=row.rowid or 0, key=key, kind=kind, hlc=hlc, wall=wall, salt=salt, body=body)


def whole_receipt(row: Row) -> SavedReceipt:
    member, captured, claims, body = msgspec.convert(row.values[3:], tuple[str | None, str, bytes, bytes])
    return SavedReceipt(
        receipt=_receipt.decode(unpacked(body)),
        member=member,
        claims=_claims.decode(claims),
        captured=_instant.decode(captured),
    )


def receipt_of_entry(row: Row) -> SavedReceipt | None:
    entry = whole_entry(row)
    if entry.kind != "receipt":
        return None
    body = _receipt_body.decode(unpacked(entry.body))
    return SavedReceipt(
        receipt=body.receipt,
        member=body.member or None,
        claims=body.claims,
        captured=Instant(wall=moment(entry.wall), boot="", monotonic_ns=0),
    )


def whole_scan(row: Row) -> SavedScan | None:
    columns = tuple[str, MemberKind, MemberEntry, str | None, str, str, int]
    code, kind, entry, member, at, reader, used = msgspec.convert(row.values[1:8], columns)
    if used:
        return None
    return SavedScan(code=code, kind=kind, entry=entry, member=member, at=_instant.decode(at), reader=reader)


def whole_item(row: Row) -> SavedItem | None:
    source, reason, detail, _, resolved_at, raw = msgspec.convert(
        row.values[1:7], tuple[str, str, str, str, str | None, bytes]
    )
    if resolved_at is not None:
        return None
    captured, receipt = msgspec.convert((*row.values[7:9], None, None)[:2], tuple[str | None, str | None])
    return SavedItem(
        source=source,
        reason=reason,
        detail=detail,
        raw=raw,
        captured=_instant.decode(captured) if captured is not None else None,
        receipt=receipt,
    )


def whole_waiting(row: Row) -> SavedWaiting:
    source, _, _, content, said, arrived, captured, body = msgspec.convert(
        row.values[1:9], tuple[str, str, str, str, int, int, str, bytes]
    )
    return SavedWaiting(
        source=source,
        receipt=_receipt.decode(unpacked(body)),
        captured=_instant.decode(captured),
        content=content,
        said=from_us(said),
        arrived=from_us(arrived),
    )


def whole_program(row: Row) -> SignedProgram:
    content_hash, program, signature = msgspec.convert(row.values[1:4], tuple[str, str, str])
    if hashlib.sha256(program.encode()).hexdigest() != content_hash:
        raise ValueError("the program is not the one that its hash names")
    return SignedProgram(hash=content_hash, program=program, signature=signature)


def whole_fact(row: Row) -> SavedFact | None:
    name, value = msgspec.convert(row.values, tuple[str, str])
    return SavedFact(name=name, value=value) if name in _FACTS else None


def whole_member(row: Row) -> Change | None:
    """As the feed told it: who joined here is told to the centre by an entry.

    Of an older image only an erasure counts: the row may have been erased since.
    """
    member, pos, op, _, body = msgspec.convert(row.values[1:6], tuple[str, int, str, int, bytes | None])
    if op == "erase":
        return Change(pos=pos, op="erase", member=member)
    if op != "upsert" or row.old:
        return None
    if body is None:
        raise ValueError("a member without a row")
    return Change(pos=pos, op="upsert", member=member, row=_member.decode(body))
