"""The chain that binds entries, byte by byte."""

from __future__ import annotations

import hashlib
import struct
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from msgspec import Raw
from msgspec.structs import replace

from sync.records import (
    AliasBody,
    ConsentBody,
    Entry,
    ErasedBody,
    JoinBody,
    ProfileBody,
    ReceiptBody,
    chain_next,
    chain_start,
    wall_text,
)
from sync.wire import IngestRequest

DEVICE, EPOCH = "d00112233445566778899", "0123456789abcdef0123456789abcdef"
ENTRY = Entry(
    seq=1,
    key="6f1ed002-ab5a-5959-9f4c-0b1f0f1e2d3c",
    kind="signal",
    hlc="019ab3c4d5e60000-a1b2c3d4",
    wall=datetime(2026, 11, 22, 9, 7, 14, 250000, tzinfo=timezone(timedelta(hours=1))),
    salt="000102030405060708090a0b0c0d0e0f",
    body=Raw(b'{"what":"drawer_opened"}'),
)
START = "82252d1c1400f97653908d4b0a060714ef42d13bcec33769cff78a085e029bdb"
FIRST = "750f973ed5a5a52937fa38b85c71b346104b6f4e3c17dc35a97719d635db4332"


def text(value: str) -> bytes:
    """As docs/protocol.md writes it, made here by other means than the code's."""
    raw = value.encode("utf-8")
    return len(raw).to_bytes(4, "big") + raw


def test_the_start_of_a_chain_names_device_and_epoch() -> None:
    start = chain_start(DEVICE, EPOCH)

    assert start == hashlib.sha256(b"tillside-chain-1" + text(DEVICE) + text(EPOCH)).digest()
    assert start.hex() == START


def test_an_entry_is_bound_byte_by_byte() -> None:
    digest = hashlib.sha256(bytes(range(16)) + b'{"what":"drawer_opened"}').digest()
    by_hand = hashlib.sha256(
        bytes.fromhex(START)
        + struct.pack(">Q", 1)
        + text("6f1ed002-ab5a-5959-9f4c-0b1f0f1e2d3c")
        + text("signal")
        + text("019ab3c4d5e60000-a1b2c3d4")
        + text("2026-11-22T09:07:14.250000+01:00")
        + digest
    )

    assert chain_next(bytes.fromhex(START), ENTRY).hex() == by_hand.hexdigest() == FIRST
    assert ENTRY.body_digest == digest


@pytest.mark.parametrize(
    "changed",
    [
        {"seq": 2},
        {"key": "6f1ed002-ab5a-5959-9f4c-0b1f0f1e2d3d"},
        {"kind": "receipt"},
        {"hlc": "019ab3c4d5e60001-a1b2c3d4"},
        {"wall": ENTRY.wall + timedelta(microseconds=1)},
        {"wall": ENTRY.wall.astimezone(UTC)},
        {"salt": "000102030405060708090a0b0c0d0e10"},
        {"body": Raw(b'{"what":"drawer_opened" }')},
        # A boundary cannot move from one text to the next
        {"key": "6f1ed002-ab5a-5959-9f4c-0b1f0f1e2d3cs", "kind": "ignal"},
    ],
)
def test_every_part_changes_the_chain(changed: dict[str, Any]) -> None:
    start = chain_start(DEVICE, EPOCH)

    assert chain_next(start, replace(ENTRY, **changed)) != chain_next(start, ENTRY)


def test_an_entry_comes_out_of_a_batch_as_it_was_hashed() -> None:
    # Given a body in a form that no encoder of ours would write
    entry = replace(ENTRY, body=Raw(b'{ "what" : "x", "later":1.50 }'))
    batch = IngestRequest(device=DEVICE, epoch=EPOCH, first_seq=1, prev_hash="0" * 64, entries=(entry,))

    [received] = msgspec.json.decode(msgspec.json.encode(batch), type=IngestRequest).entries

    assert received.json == entry.json
    start = chain_start(DEVICE, EPOCH)
    assert chain_next(start, received) == chain_next(start, entry)


@pytest.mark.parametrize(
    ("wall", "written"),
    [
        (datetime(2026, 11, 22, 9, 7, 14, tzinfo=UTC), "2026-11-22T09:07:14Z"),
        (datetime(2026, 11, 22, 9, 7, 14, 250000, tzinfo=UTC), "2026-11-22T09:07:14.250000Z"),
        (datetime(2026, 11, 22, 9, 7, tzinfo=timezone(-timedelta(hours=3, minutes=30))), "2026-11-22T09:07:00-03:30"),
    ],
)
def test_a_wall_time_has_one_text(wall: datetime, written: str) -> None:
    assert wall_text(wall) == written
    assert wall_text(msgspec.json.decode(f'"{written}"', type=datetime)) == written


def test_a_receipt_body_leaves_out_what_is_not_known() -> None:
    document = b'{"receipt":{"key":"k","kind":"sale","currency":"EUR","total_minor":1}}'

    body = msgspec.json.decode(document, type=ReceiptBody)

    assert "member" not in msgspec.json.decode(msgspec.json.encode(body))


def test_a_body_that_does_not_travel_leaves_its_digest_in_its_place_in_the_chain() -> None:
    bare = ENTRY.without_body()
    sent = msgspec.json.decode(msgspec.json.encode(bare), type=Entry)

    assert b"salt" not in msgspec.json.encode(bare)
    assert b"body" not in msgspec.json.encode(bare)
    assert chain_next(bytes(32), sent) == chain_next(bytes(32), ENTRY)
    assert sent.json == b""


@pytest.mark.parametrize("taken", [{"salt"}, {"body"}, {"salt", "body"}])
def test_an_entry_has_its_body_or_its_digest(taken: set[str]) -> None:
    fields = {
        name: value for name, value in msgspec.json.decode(msgspec.json.encode(ENTRY)).items() if name not in taken
    }
    with pytest.raises(msgspec.ValidationError, match="salt and body, or their digest"):
        msgspec.json.decode(msgspec.json.encode(fields), type=Entry)


STAMP = "019ab3c4d5e60000-a1b2c3d4"
BODIES: list[tuple[type[Any], dict[str, Any]]] = [
    (
        JoinBody,
        {
            "provisional_id": "p0a1b2c3",
            "fields": {"short_name": {"value": "Ana P.", "hlc": STAMP}},
            "consent": [{"channel": "sms", "state": "granted", "text_version": "2026-01"}],
            "codes": [{"kind": "card", "code": "TS0001"}],
        },
    ),
    (ProfileBody, {"member": "m1", "fields": {"note": {"value": None, "hlc": STAMP, "seen": STAMP}}}),
    (
        ConsentBody,
        {"member": "m1", "channel": "email", "state": "withdrawn", "text_version": "", "seen": STAMP, "operator": "7"},
    ),
    (AliasBody, {"member": "m1", "code": {"kind": "card", "code": "9001"}, "of": "TS0001"}),
    (ErasedBody, {"member": "m1", "erasure": 3}),
]


@pytest.mark.parametrize(("kind", "document"), BODIES, ids=[kind.__name__ for kind, _ in BODIES])
def test_what_is_told_of_a_member_travels_as_it_is_documented(kind: type[Any], document: dict[str, Any]) -> None:
    body = msgspec.convert(document, kind)

    told = msgspec.json.decode(msgspec.json.encode(body))

    assert msgspec.convert(told, kind) == body
    assert {name: told[name] for name in document} == document


@pytest.mark.parametrize(
    "document",
    [
        {"member": "m1", "fields": {"shoe_size": {"value": "41", "hlc": STAMP}}},
        {"member": "m1", "fields": {"note": {"value": "x" * 501, "hlc": STAMP}}},
        {"member": "m1", "fields": {"note": {"value": "", "hlc": STAMP}}},
        {"member": "m1", "fields": {"note": {"value": "x", "hlc": "yesterday"}}},
        {"member": "../m1", "fields": {}},
    ],
)
def test_a_profile_that_says_something_else_is_not_read(document: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(document, ProfileBody)
