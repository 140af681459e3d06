"""docs/protocol.md, docs/sync.md and docs/store.md say what the code does: endpoints, kinds, limits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from msgspec import Struct
from msgspec.structs import fields

from central import routes
from central.bodies import HANDLED
from central.routes import OPERATIONS
from loyalty import addresses, item_map
from loyalty.ledger import LedgerEntry
from loyalty.member import MAX_POINTS, Balance, Consent, ContextLine, Identifier, Member, Progress
from loyalty.receipt import MAX_ALSO
from sync import client, enrolling, enrolment, records, retry, session, signing, steps, wire
from sync.records import EntryKind
from sync.store import packing, reading, writer

DOCS = Path(__file__).parents[2] / "docs"
PROTOCOL, PAGE, STORE_PAGE = ((DOCS / name).read_text() for name in ("protocol.md", "sync.md", "store.md"))
MIB, KIB = 1024**2, 1024


def max_length(of: Any) -> int:
    """The most characters that a type of the wire takes."""
    [found] = [meta.max_length for meta in of.__metadata__]
    return int(found)


def pattern(of: Any) -> str:
    [found] = [meta.pattern for meta in of.__metadata__]
    return str(found)


def test_every_endpoint_is_described_and_nothing_else() -> None:
    served = {f"{operation.method} {operation.path}" for operation in OPERATIONS}
    described = set(re.findall(r"`((?:GET|POST) /[^`?\s]*)", PROTOCOL))

    # Chunks are fetched from the url that the snapshot gives
    assert described == served - {"GET /v1/snapshots/{snapshot}/{chunk}"}


def test_every_endpoint_is_in_the_table_of_those_that_may_be_left_out() -> None:
    table = PROTOCOL.split("## What a centre answers\n")[1].split("\n## ")[0]

    for operation in OPERATIONS:
        if operation.id != "snapshot_chunk":
            [row] = [row for row in table.splitlines() if f"`{operation.method} {operation.path}`" in row]
            assert row.split("|")[2].strip() == ("yes" if operation.signed else "no")


def test_every_entry_kind_is_named() -> None:
    table = PROTOCOL.split("### Kinds\n")[1].split("\n### ")[0]

    assert {kind for kind in get_args(EntryKind) if f"`{kind}`" not in table} == set()


def test_every_key_of_every_body_is_named() -> None:
    table = PROTOCOL.split("### Kinds\n")[1].split("\n### ")[0]

    for kind, body in HANDLED.items():
        [row] = [row for row in table.splitlines() if row.startswith("|") and f"`{kind}`" in row.split("|")[1]]
        named = set(re.findall(r"\w+", row.split("|")[2]))
        assert {field.encode_name for field in fields(body)} <= named


def test_a_row_is_described_with_all_its_keys() -> None:
    shown, prose = PROTOCOL.split("### Rows\n```json\n")[1].split("\n### ")[0].split("```")
    named = {*re.findall(r'"(\w+)":', shown), *re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", prose)))}

    for shape in (Member, Identifier, Balance, Consent, ContextLine, Progress):
        assert {field.encode_name for field in fields(shape)} <= named


@pytest.mark.parametrize(
    ("before", "shapes"),
    [
        ("3. `POST /v1/enrol` `", [wire.EnrolRequest, wire.Facts]),
        ("where the code leaves that open. The answer:\n```json\n", [wire.EnrolResponse]),
        ("padding, the JSON\n```json\n", [enrolment.EnrolmentCode]),
        ("`POST /v1/epochs` `", [wire.EpochRequest]),
        ('"facts":{…}}` → `', [wire.EpochResponse]),
        ("`POST /v1/ingest` `{", [wire.IngestRequest]),
        ("`200` is `", [wire.IngestResponse]),
        ("in their order: `", [wire.Outcome]),
        ("scope=NAME` → `", [wire.ChangesResponse]),
        ("each beyond `after`: `", [wire.Change]),
        ("Each of them is\n`", [LedgerEntry]),
        ("`GET /v1/snapshot?last=SHA256&as_of=POS` → `", [wire.SnapshotResponse, wire.SnapshotChunk]),
        ("`GET /v1/members/{code}` → `", [wire.MemberResponse]),
        ("`GET /v1/erasures?after=NUMBER` → `", [wire.ErasuresResponse, wire.Erasure]),
        (
            "every 30 s:\n```json\n",
            [wire.HeartbeatRequest, wire.HeldProgram, wire.GivenUp, wire.RegisterState, wire.WorkerState],
        ),
        ("All of it is for people. The answer:\n```json\n", [wire.HeartbeatResponse, wire.AnnouncedProgram]),
        ("**`GET /v1/programs/{hash}`** → `", [wire.SignedProgram]),
        ("**`GET /v1/item-maps/{hash}`** → `", [wire.SignedItemMap]),
        ("**`GET /v1/config`** → `", [wire.SignedConfig]),
    ],
    ids=lambda value: value[0].__name__ if isinstance(value, list) else "",
)
def test_every_shape_is_shown_with_all_its_keys(before: str, shapes: list[type[Struct]]) -> None:
    [shown] = re.findall(re.escape(before) + r"([^`]+)`", PROTOCOL)
    # Counts by reason are named as the register likes
    named = set(re.findall(r'"(\w+)"\??:', shown.replace('{"unreadable":2}', "…")))

    assert named == {field.encode_name for shape in shapes for field in fields(shape)}


@pytest.mark.parametrize(
    "words",
    [
        f"| {wire.MAX_BODY_BYTES // MIB} MiB | 413 |",
        f"at most {wire.MAX_BODY_BYTES // MIB} MiB as it travels and at most {wire.MAX_BODY_BYTES // MIB} MiB once",
        f"| a body of enrol, epochs, heartbeat | {routes.SMALL_BODY_BYTES // KIB} KiB | 413 |",
        f"| {enrolling.MAX_ANSWER_BYTES // KIB} KiB | the register ends the attempt |",
        f"| entries of a batch | {wire.MAX_ENTRIES:,}; {wire.FIRST_ENTRIES} without a `credit` for more | 422 |",
        f"at most {wire.MAX_ENTRIES:,}\nentries, {wire.FIRST_ENTRIES} until",
        f"| {reading.MAX_BATCH_BYTES // MIB} MiB, or one entry |",
        f"| ids in `also` | {MAX_ALSO} |",
        f"| a hint | {client.MAX_HINT_BYTES // KIB} KiB |",
        f"| an item map | {item_map.MAX_DOCUMENT_BYTES // MIB} MiB |",
        f"of a `join` | {max_length(records.FieldValue)} characters; {records.MAX_CODES}, {records.MAX_CHANNELS} |",
        f"an `operator`; a `because` | {max_length(records.TextVersion)} characters; {records.MAX_BECAUSE_CHARS} |",
        f"| `{pattern(records.MemberId)}`; `{pattern(records.ConsentChannel)}` |",
        f"its `times`; points, and minor units | {records.MAX_DRAWS} allowances; {records.MAX_TIMES:,}; 10¹⁴ |",
        f"| the number of an erasure | 1 to {records.MAX_ERASURE:,} |",
        f"| `held` of allowances | {wire.MAX_HELD:,} | 422 |",
        f"| a line of `context` | {max_length(fields(ContextLine)[1].type)} characters |",
        f"a `value` at most {max_length(records.FieldValue)} characters",
        f"there are {records.MAX_CODES} codes and {records.MAX_CHANNELS} channels",
        f"`number` is {addresses.MIN_DIGITS} to {addresses.MAX_DIGITS} digits",
        f"in `programs` of a heartbeat | {wire.MAX_ANNOUNCED} |",
        f"of a heartbeat; a reason | {wire.MAX_WORKERS_TOLD}, {wire.MAX_REASONS_TOLD}; {wire.MAX_TOLD_CHARS} ",
        f"| an enrolment code | {enrolment.MAX_CODE_CHARS:,} characters |",
        f"| an id | {signing.MAX_ID_LENGTH} characters | 401 |",
        f"{client.CONNECT_S:g} s to connect, {client.SILENCE_S:g} s without a byte, {client.EXCHANGE_S:g} s for an",
        f"{client.LOOKUP_S:g} s for a member on demand",
        f"registers ask for {steps.CHANGES_PER_PULL}.",
        f"pings, every {client.LIVE_PING_S:g} s",
        f"above {wire.COMPRESS_ABOVE_BYTES // KIB} KiB",
        f"every {session.HEARTBEAT_S:g} s",
        f"waits {session.NO_CREDIT_S:g} to {2 * session.NO_CREDIT_S:g} s",
        f"({client.DEFAULT_RETRY_AFTER_S:g} s without one, an hour at most)",
        f"pauses, up to {session.REFUSED_RETRY_S / 60:g} min",
        f"by chance, up to {retry.CAP_S:g} s",
        f"the first {client.MAX_DETAIL_CHARS} characters",
    ],
)
def test_every_limit_of_the_protocol_is_the_codes(words: str) -> None:
    assert words in PROTOCOL


def test_numbers_that_are_written_as_powers_are_those() -> None:
    assert (records.MAX_SEQ, MAX_POINTS) == (2**63 - 1, 10**14)
    assert "| `seq` | 2⁶³ − 1 | 422 |" in PROTOCOL


def test_a_pause_that_a_centre_asks_for_is_an_hour_at_most() -> None:
    assert session.MAX_RETRY_AFTER_S == 3600


@pytest.mark.parametrize(
    "words",
    [
        f"before {client.EARLIEST_PLAUSIBLE:%Y-%m-%d} or after {client.LATEST_PLAUSIBLE:%Y-%m-%d}",
        f"min({retry.CAP_S:g} s, {retry.BASE_S:g} s × 2ⁿ⁻¹)",
        f"pauses up to {session.REFUSED_RETRY_S / 60:g} min",
    ],
)
def test_every_limit_of_our_register_is_the_codes(words: str) -> None:
    assert words in PAGE


@pytest.mark.parametrize(
    "words",
    [
        f"| {wire.MAX_ENTRIES:,} entries, {reading.MAX_BATCH_BYTES // 1024**2} MiB of bodies |",
        f"| {writer.MAX_BATCH_ITEMS}, or {writer.MAX_BATCH_NS // 10**6} ms of work |",
        f"| {writer.MAX_WAITING:,} |",
        f"| {reading.MAX_LISTED:,} rows |",
        f"| {reading.MAX_UNUSED_SCANS} newest |",
        f"compressed above {packing.PACK_ABOVE_BYTES} bytes",
    ],
)
def test_every_limit_of_the_store_is_the_codes(words: str) -> None:
    assert words in STORE_PAGE
