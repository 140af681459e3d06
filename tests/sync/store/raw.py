"""What a store's files hold once their encryption is taken off: live rows, and what was left of others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from sync.compression import zstd
from sync.keys import STORE_KEY, STORE_KEY_BYTES, KeyKeeper, keeper_for
from sync.store.packing import unpacked
from sync.store.sqlite import PAGE_BYTES

# Of each page, at its end: an IV and an HMAC-SHA256 (SQLCipher's design).
IV_BYTES, MAC_BYTES = 16, 32
RESERVED = IV_BYTES + MAC_BYTES
WAL_HEADER, FRAME_HEADER = 32, 24
SALT_BYTES = 16
FRAME_MAGIC = b"\x28\xb5\x2f\xfd"


def everything_in(folder: Path, keeper: KeyKeeper | None = None) -> bytes:
    """All pages of the store in `folder` and of its write-ahead log, decrypted, with the documents that are packed in
    them; the bytes that a thief with the key could read.
    """
    key = (keeper or keeper_for(folder)).find(STORE_KEY, STORE_KEY_BYTES)
    assert key is not None
    path = folder / "store.db"
    pages = [*_pages(path.read_bytes(), 0, 0), *_pages(_read(path.with_name("store.db-wal")), WAL_HEADER, FRAME_HEADER)]
    plain = [_decrypted(page, key[:32]) for page in pages]
    return b"\n".join([*plain, *(document for page in plain for document in _documents(page))])


def _pages(file: bytes, before: int, each: int) -> Iterator[bytes]:
    for start in range(before, len(file) - each - PAGE_BYTES + 1, each + PAGE_BYTES):
        yield file[start + each : start + each + PAGE_BYTES]


def _decrypted(page: bytes, key: bytes) -> bytes:
    iv = page[-RESERVED : -RESERVED + IV_BYTES]
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    whole = decryptor.update(page[:-RESERVED])
    # The first page begins with the salt, in the clear, and is encrypted after it.
    first = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor().update(page[SALT_BYTES:-RESERVED])
    return whole + first


def _documents(page: bytes) -> Iterator[bytes]:
    at = page.find(FRAME_MAGIC)
    while at >= 0:
        try:
            yield unpacked(page[at:])
        except zstd.ZstdError:
            yield from _started(page[at:])
        at = page.find(FRAME_MAGIC, at + 1)


def _started(frame: bytes) -> Iterator[bytes]:
    """As much of a frame as is there; what comes after one in the page is no part of it."""
    from sync.store.packing import MODEL

    decompressor = zstd.ZstdDecompressor(zstd_dict=zstd.ZstdDict(MODEL, is_raw=True))
    try:
        yield decompressor.decompress(frame)
    except zstd.ZstdError:
        return


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
