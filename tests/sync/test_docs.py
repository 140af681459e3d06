"""docs/sync.md and docs/store.md say what the code does: endpoints, kinds, limits, the signature's vector."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import get_args

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from central.routes import OPERATIONS
from sync import client, retry, session, signing, wire
from sync.records import EntryKind
from sync.store import packing, reading, writer

PAGE = Path(__file__).parents[2].joinpath("docs", "sync.md").read_text()
STORE_PAGE = Path(__file__).parents[2].joinpath("docs", "store.md").read_text()
# Named by the contract, and by the page as what comes later.
LATER = {"POST /v1/allowances"}


def test_every_endpoint_is_described_and_nothing_else() -> None:
    served = {f"{operation.method} {operation.path}" for operation in OPERATIONS}
    described = set(re.findall(r"`((?:GET|POST) /[^`?\s]*)", PAGE))

    # Chunks are fetched from the url that the snapshot gives
    assert described - LATER == served - {"GET /v1/snapshots/{snapshot}/{chunk}"}


def test_every_entry_kind_is_named() -> None:
    assert {kind for kind in get_args(EntryKind) if f"`{kind}`" not in PAGE} == set()


@pytest.mark.parametrize(
    "words",
    [
        f"{client.CONNECT_S:g} s to connect",
        f"{client.SILENCE_S:g} s without a byte",
        f"{client.EXCHANGE_S:g} s for an exchange",
        f"{client.LOOKUP_S:g} s for a member",
        f"before {client.EARLIEST_PLAUSIBLE:%Y-%m-%d} or after {client.LATEST_PLAUSIBLE:%Y-%m-%d}",
        f"Ping every {client.LIVE_PING_S:g} s",
        f"({client.DEFAULT_RETRY_AFTER_S:g} s without one",
        f"min({retry.CAP_S:g} s, {retry.BASE_S:g} s × 2ⁿ⁻¹)",
        f"every {session.HEARTBEAT_S:g} s",
        f"waits {session.NO_CREDIT_S:g} to {2 * session.NO_CREDIT_S:g} s",
        f"pauses up to {session.REFUSED_RETRY_S / 60:g} min",
        f"{session.MAX_RETRY_AFTER_S / 3600:g} h at most",
        f"at most {signing.MAX_ID_LENGTH} characters",
        f"at most {wire.MAX_ENTRIES} entries",
        f"at most\n  {wire.MAX_BODY_BYTES // 1024**2} MiB",
        f"above {wire.COMPRESS_ABOVE_BYTES // 1024} KiB",
    ],
)
def test_every_limit_is_the_codes(words: str) -> None:
    assert words in PAGE


@pytest.mark.parametrize(
    "words",
    [
        f"| {wire.MAX_ENTRIES} entries, {reading.MAX_BATCH_BYTES // 1024**2} MiB of bodies |",
        f"| {writer.MAX_BATCH_ITEMS}, or {writer.MAX_BATCH_NS // 10**6} ms of work |",
        f"| {writer.MAX_WAITING:,} |",
        f"| {reading.MAX_LISTED:,} rows |",
        f"| {reading.MAX_UNUSED_SCANS} newest |",
        f"compressed above {packing.PACK_ABOVE_BYTES} bytes",
    ],
)
def test_every_limit_of_the_store_is_the_codes(words: str) -> None:
    assert words in STORE_PAGE


def test_the_published_signature_base_gives_the_published_signature() -> None:
    base = PAGE.split("lines joined by LF:\n\n```\n")[1].split("\n```")[0]
    [published] = re.findall(r"Signature: tillside=:([^:]+):", PAGE)

    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))

    assert base64.b64encode(key.sign(base.encode())).decode() == published
