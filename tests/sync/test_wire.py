"""Bodies on the wire: compression that pays, and decompression that cannot be made to explode."""

from __future__ import annotations

import msgspec
import pytest

from sync.wire import (
    COMPRESS_ABOVE_BYTES,
    MAX_BODY_BYTES,
    MAX_ENTRIES,
    BodyTooLargeError,
    IngestRequest,
    compress,
    compress_always,
    decompress,
)


@pytest.mark.parametrize(
    ("size", "encoding"), [(0, None), (COMPRESS_ABOVE_BYTES, None), (COMPRESS_ABOVE_BYTES + 1, "zstd")]
)
def test_a_body_is_compressed_above_the_limit_only(size: int, encoding: str | None) -> None:
    body = b"x" * size

    sent, named = compress(body)

    assert named == encoding
    assert decompress(sent, named) == body


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = compress_always(b"0" * (MAX_BODY_BYTES + 1))
    assert len(bomb) < 10_000

    with pytest.raises(BodyTooLargeError):
        decompress(bomb, "zstd")


def test_a_body_of_exactly_the_limit_passes() -> None:
    assert len(decompress(compress_always(b"0" * MAX_BODY_BYTES), "zstd")) == MAX_BODY_BYTES
    assert len(decompress(b"0" * MAX_BODY_BYTES, None)) == MAX_BODY_BYTES
    with pytest.raises(BodyTooLargeError):
        decompress(b"0" * (MAX_BODY_BYTES + 1), None)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(b"no frame", "zstd"), (b"", "zstd"), (compress_always(b"hello" * 500)[:-4], "zstd"), (b"x", "gzip")],
    ids=["no frame", "nothing", "cut off", "another encoding"],
)
def test_what_is_no_frame_is_refused(body: bytes, encoding: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - BodyTooLargeError is one too
        decompress(body, encoding)


@pytest.mark.parametrize(
    "changed",
    [{"first_seq": 0}, {"prev_hash": "0" * 63}, {"prev_hash": "G" * 64}, {"entries": [{}]}, {"entries": None}],
)
def test_a_batch_of_another_shape_is_not_read(changed: dict[str, object]) -> None:
    document = {"device": "d", "epoch": "e", "first_seq": 1, "prev_hash": "0" * 64, "entries": []} | changed

    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(document, IngestRequest)


def test_a_batch_holds_no_more_than_its_limit() -> None:
    entry = {
        "seq": 1,
        "key": "k",
        "kind": "signal",
        "hlc": "",
        "wall": "2026-11-22T09:07:14Z",
        "salt": "0" * 32,
        "body": {},
    }
    document = {"device": "d", "epoch": "e", "first_seq": 1, "prev_hash": "0" * 64}

    whole = msgspec.json.encode(document | {"entries": [entry] * MAX_ENTRIES})
    assert len(msgspec.json.decode(whole, type=IngestRequest).entries) == MAX_ENTRIES
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(
            msgspec.json.encode(document | {"entries": [entry] * (MAX_ENTRIES + 1)}), type=IngestRequest
        )
