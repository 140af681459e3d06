"""A damaged SQLCipher file, read page by page without SQLite: every row whose page is still authentic.

Owns the form of pages, cells and of the write-ahead log (SQLite's file format; SQLCipher 4: AES-256-CBC, HMAC over
content, IV and page number). It needs neither the header nor the tree above a leaf, so one lost page takes only its own
rows with it. Never writes, and never knows what a row means.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from msgspec import Struct

from sync.store.sqlite import PAGE_BYTES

Value = None | int | float | str | bytes

# Of each page: the IV and the HMAC at its end; of the first, the salt and SQLite's own header at its start.
_IV_BYTES: Final = 16
_MAC_BYTES: Final = 32
_ENCRYPTED: Final = PAGE_BYTES - _IV_BYTES - _MAC_BYTES
# What SQLite leaves free at the end of each page stands in its header; our files are made with room for SQLCipher's
# default, an HMAC of 64 bytes, before the shorter one is chosen.
_RESERVED_AT: Final = 20
_RESERVED: Final = 80
_PAGES_AT: Final = 28
_SALT_BYTES: Final = 16
_HEADER_BYTES: Final = 100
# SQLCipher derives the HMAC's key from the page key with a masked salt, in two rounds.
_MAC_SALT_MASK: Final = 0x3A
_MAC_ROUNDS: Final = 2

_WAL_HEADER_BYTES: Final = 32
_FRAME_HEADER_BYTES: Final = 24
_WAL_HEADER = struct.Struct(">16x8s8x")
_FRAME_HEADER = struct.Struct(">II8s8x")

TABLE_LEAF: Final = 0x0D
INDEX_LEAF: Final = 0x0A
_INDEX_INTERIOR: Final = 0x02

# A row longer than this is none of ours: the largest is an item map of 7 MiB.
MAX_ROW_BYTES: Final = 64 * 1024 * 1024
# Pages that are not what their number says are tried under each other's: a disk wrote them to the wrong place.
MAX_MISPLACED: Final = 256


class Row(Struct, frozen=True, kw_only=True):
    """A row as it stands in its page. `rowid` is None in a table without; `old` says that a newer page was lost."""

    rowid: int | None
    values: tuple[Value, ...]
    old: bool = False


class _Place(Struct, frozen=True, kw_only=True):
    """Where an image of a page stands."""

    in_log: bool
    offset: int


class UnreadableRowError(Exception):
    """A cell leads to a page that is gone, or makes no sense."""


class DamagedFile:
    """The newest authentic image of each page of `path` and its log; `key` is 32 bytes of key and 16 of salt.

    Use it in one thread at a time. Raises OSError where the disk does not give the file at all.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self._cipher = AES(key[:32])
        salt = bytes(byte ^ _MAC_SALT_MASK for byte in key[32:])
        self._mac = hmac.new(hashlib.pbkdf2_hmac("sha512", key[:32], salt, _MAC_ROUNDS, _MAC_BYTES), digestmod="sha256")
        self._file = os.open(path, os.O_RDONLY)
        log = path.with_name(path.name + "-wal")
        self._log = os.open(log, os.O_RDONLY) if log.exists() else None
        self._places: dict[int, list[_Place]] = {}
        for number, place in (*self._in_file(), *self._in_log()):
            self._places.setdefault(number, []).append(place)
        self._misplaced: dict[int, _Place] = {}
        first = self.page(1)
        header = first[0] if first is not None else bytes(_RESERVED_AT) + bytes((_RESERVED,)) + bytes(_HEADER_BYTES)
        self._usable = PAGE_BYTES - header[_RESERVED_AT]
        self._last = max(int.from_bytes(header[_PAGES_AT : _PAGES_AT + 4]), *self._places, 0)

    def close(self) -> None:
        os.close(self._file)
        if self._log is not None:
            os.close(self._log)

    @property
    def numbers(self) -> range:
        """The pages that the file has, or had before it was cut short."""
        return range(1, self._last + 1)

    def find_misplaced(self, numbers: list[int]) -> list[int]:
        """Which of the unreadable `numbers` stand in the place of another of them; they can be read from now on."""
        places = [self._places[number][-1] for number in numbers if number in self._places][:MAX_MISPLACED]
        for number in numbers[:MAX_MISPLACED]:
            for place in places:
                if self._authentic(number, self._raw(place)):
                    self._misplaced[number] = place
        return [number for number in numbers if number in self._misplaced]

    def page(self, number: int) -> tuple[bytes, bool] | None:
        """The content of a page and whether a newer image of it was lost; None where no image is authentic."""
        if number in self._misplaced:
            return self._decrypted(number, self._raw(self._misplaced[number])), True
        places = self._places.get(number, [])
        for place in reversed(places):
            raw = self._raw(place)
            if self._authentic(number, raw):
                return self._decrypted(number, raw), place is not places[-1]
        return None

    def kind(self, number: int) -> int | None:
        """The type of a page's b-tree; None where the page cannot be read."""
        found = self.page(number)
        return found[0][_start(number)] if found is not None else None

    def rows(self, number: int) -> Iterator[Row | None]:
        """The rows of a page; None for each that cannot be read. Nothing where the page holds no rows."""
        found = self.page(number)
        if found is None:
            return
        page, old = found
        start = _start(number)
        kind = page[start]
        if kind not in (TABLE_LEAF, INDEX_LEAF, _INDEX_INTERIOR):
            return
        cells = start + (12 if kind == _INDEX_INTERIOR else 8)
        count = int.from_bytes(page[start + 3 : start + 5])
        for at in range(cells, min(cells + 2 * count, self._usable - 1), 2):
            try:
                yield self._row(page, int.from_bytes(page[at : at + 2]), kind, old=old)
            except (UnreadableRowError, IndexError, struct.error, UnicodeDecodeError):
                yield None

    def _row(self, page: bytes, at: int, kind: int, *, old: bool) -> Row:
        if kind == _INDEX_INTERIOR:
            at += 4
        size, at = _varint(page, at)
        rowid = None
        if kind == TABLE_LEAF:
            rowid, at = _varint(page, at)
            rowid = rowid - (1 << 64) if rowid >= 1 << 63 else rowid
        if size > MAX_ROW_BYTES:
            raise UnreadableRowError
        return Row(rowid=rowid, values=_values(self._payload(page, at, size, kind)), old=old)

    def _payload(self, page: bytes, at: int, size: int, kind: int) -> bytes:
        """What the cell holds itself, and the rest from its chain of overflow pages."""
        most = self._usable - 35 if kind == TABLE_LEAF else (self._usable - 12) * 64 // 255 - 23
        if size <= most:
            return page[at : at + size]
        least = (self._usable - 12) * 32 // 255 - 23
        local = least + (size - least) % (self._usable - 4)
        local = local if local <= most else least
        payload = bytearray(page[at : at + local])
        following = int.from_bytes(page[at + local : at + local + 4])
        while len(payload) < size:
            found = self.page(following)
            if found is None:
                raise UnreadableRowError
            payload += found[0][4 : 4 + min(size - len(payload), self._usable - 4)]
            following = int.from_bytes(found[0][:4])
        return bytes(payload)

    # Images

    def _in_file(self) -> Iterator[tuple[int, _Place]]:
        for number in range(1, os.fstat(self._file).st_size // PAGE_BYTES + 1):
            yield number, _Place(in_log=False, offset=(number - 1) * PAGE_BYTES)

    def _in_log(self) -> Iterator[tuple[int, _Place]]:
        """Frames of the log's present round, up to the last commit; SQLite's checksums are not needed."""
        if self._log is None:
            return
        header = os.pread(self._log, _WAL_HEADER_BYTES, 0)
        if len(header) < _WAL_HEADER_BYTES:
            return
        (salt,) = _WAL_HEADER.unpack(header)
        frame_bytes = _FRAME_HEADER_BYTES + PAGE_BYTES
        uncommitted: list[tuple[int, _Place]] = []
        for start in range(_WAL_HEADER_BYTES, os.fstat(self._log).st_size - frame_bytes + 1, frame_bytes):
            number, committed, of_round = _FRAME_HEADER.unpack(os.pread(self._log, _FRAME_HEADER_BYTES, start))
            if of_round != salt:
                continue
            uncommitted.append((number, _Place(in_log=True, offset=start + _FRAME_HEADER_BYTES)))
            if committed:
                yield from uncommitted
                uncommitted.clear()

    def _raw(self, place: _Place) -> bytes:
        source = self._log if place.in_log and self._log is not None else self._file
        try:
            return os.pread(source, PAGE_BYTES, place.offset)
        except OSError:  # a sector that the disk gives back no more
            return b""

    def _authentic(self, number: int, raw: bytes) -> bool:
        if len(raw) < PAGE_BYTES:
            return False
        mac = self._mac.copy()
        mac.update(raw[_SALT_BYTES if number == 1 else 0 : PAGE_BYTES - _MAC_BYTES])
        mac.update(struct.pack("<I", number))
        return hmac.compare_digest(mac.digest(), raw[PAGE_BYTES - _MAC_BYTES :])

    def _decrypted(self, number: int, raw: bytes) -> bytes:
        decryptor = Cipher(self._cipher, CBC(raw[_ENCRYPTED : _ENCRYPTED + _IV_BYTES])).decryptor()
        start = _SALT_BYTES if number == 1 else 0
        return bytes(start) + decryptor.update(raw[start:_ENCRYPTED])


def _start(number: int) -> int:
    """Where the b-tree begins in a page."""
    return _HEADER_BYTES if number == 1 else 0


def _varint(page: bytes, at: int) -> tuple[int, int]:
    """SQLite's variable-length integer at `at`, and what comes after it."""
    value = 0
    for at_byte in range(at, at + 8):
        value = value << 7 | page[at_byte] & 0x7F
        if page[at_byte] < 0x80:
            return value, at_byte + 1
    return value << 8 | page[at + 8], at + 9


def _values(payload: bytes) -> tuple[Value, ...]:
    """The columns of a record."""
    header, at = _varint(payload, 0)
    if header > len(payload):
        raise UnreadableRowError
    types = []
    while at < header:
        one, at = _varint(payload, at)
        types.append(one)
    values: list[Value] = []
    for one in types:
        size = _size_of(one)
        content = payload[at : at + size]
        if len(content) < size:
            raise UnreadableRowError
        values.append(_value(one, content))
        at += size
    return tuple(values)


def _size_of(serial_type: int) -> int:
    return (serial_type - 12) // 2 if serial_type >= 12 else (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0)[serial_type]


def _value(serial_type: int, content: bytes) -> Value:
    match serial_type:
        case 0 | 10 | 11:
            return None
        case 7:
            return float(struct.unpack(">d", content)[0])
        case 8 | 9:
            return serial_type - 8
        case _ if serial_type < 7:
            return int.from_bytes(content, signed=True)
    return content if serial_type % 2 == 0 else content.decode()
