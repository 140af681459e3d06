"""Rows of receipt sources: their marks, answered calls, and receipts that wait to be matched.

Owns every statement about these tables. Never says when two receipts are one (`agent.matching` does).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from loyalty.identity import identity_keys
from loyalty.instant import Instant
from loyalty.receipt import Receipt
from sync.store.packing import Packer, unpacked
from sync.store.reading import MAX_LISTED, MAX_SOURCE_MARKS, Reading
from sync.store.rows import StoredReceipt, WaitingReceipt

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_US: Final = timedelta(microseconds=1)
_encode = msgspec.json.Encoder().encode
_receipt = msgspec.json.Decoder(Receipt)
_instant = msgspec.json.Decoder(Instant)
_WAITING = "SELECT w.id, w.source, w.arrived, w.captured, w.body FROM waiting w WHERE "
_KNOWN_BY_ID = """
SELECT w.id, w.source, w.arrived, w.captured, w.body FROM waiting w
WHERE EXISTS (SELECT 1 FROM json_each(w.keys) k JOIN receipt_keys r ON r.key = k.value) ORDER BY w.id LIMIT ?"""
_SINCE = f"{_WAITING}w.arrived <= ? ORDER BY w.id LIMIT ?"
_OF_CONTENT = f"{_WAITING}w.source = ? AND w.content = ? ORDER BY w.said, w.id LIMIT ?"


class SourceRows(Reading):
    """The part of `Writing` that sources need."""

    _packer: Packer

    def _execute(self, sql: str, parameters: Sequence[object] = ()) -> int:
        raise NotImplementedError

    # Marks and calls

    def set_source_mark(self, source: str, name: str, mark: str) -> None:
        """What `source` need not give again, in the same commit as what it gave. It becomes the newest mark."""
        self._execute("INSERT OR REPLACE INTO source_marks (source, name, mark) VALUES (?, ?, ?)", (source, name, mark))

    def trim_source_marks(self, source: str) -> None:
        """Forgets the oldest marks of `source` beyond MAX_SOURCE_MARKS."""
        self._execute(
            "DELETE FROM source_marks WHERE source = ? AND id <= (SELECT id FROM source_marks WHERE source = ? "
            "ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (source, source, MAX_SOURCE_MARKS),
        )

    def keep_answered_call(self, source: str, call: str, digest: str, answer: bytes) -> None:
        """The answer to a call, in the same commit as what the call brought."""
        self._execute(
            "INSERT INTO answered_calls (source, call, digest, answer) VALUES (?, ?, ?, ?)",
            (source, call, digest, self._packer.pack(answer)),
        )

    def forget_answered_call(self, source: str, call: str) -> None:
        """What the call brought was taken back: made again, it is another one."""
        self._execute("DELETE FROM answered_calls WHERE source = ? AND call = ?", (source, call))

    # Receipts that wait

    def add_waiting(
        self, source: str, receipt: Receipt, captured: Instant, *, content: str, said: datetime, arrived: datetime
    ) -> None:
        """Keeps a receipt of a further source until its partner comes; the same one again changes nothing."""
        self._execute(
            "INSERT OR IGNORE INTO waiting (source, key, keys, content, said, arrived, captured, body) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                source,
                receipt.key,
                _encode(identity_keys(receipt)).decode(),
                content,
                _us(said),
                _us(arrived),
                _encode(captured).decode(),
                self._packer.pack(_encode(receipt)),
            ),
        )

    def remove_waiting(self, waiting: int) -> None:
        """It found its partner, or a person has it."""
        self._execute("DELETE FROM waiting WHERE id = ?", (waiting,))

    def waiting_known_by_id(self) -> tuple[WaitingReceipt, ...]:
        """Those one of whose ids is a known receipt's by now."""
        return self._waiting(_KNOWN_BY_ID, (MAX_LISTED,))

    def waiting_since(self, arrived_before: datetime) -> tuple[WaitingReceipt, ...]:
        """Those that came before, oldest first."""
        return self._waiting(_SINCE, (_us(arrived_before), MAX_LISTED))

    def waiting_of(self, source: str, content: str, limit: int) -> tuple[WaitingReceipt, ...]:
        """Those of one source and content, by the time they say."""
        return self._waiting(_OF_CONTENT, (source, content, limit))

    def contents_due(self, arrived_before: datetime) -> tuple[tuple[str, str], ...]:
        """Sources and contents of those that came before, where a receipt of that content is there."""
        rows = self._rows(
            "SELECT DISTINCT w.source, w.content FROM waiting w WHERE w.arrived <= ? "
            "AND EXISTS (SELECT 1 FROM candidates c WHERE c.content = w.content) ORDER BY 1, 2 LIMIT ?",
            (_us(arrived_before), MAX_LISTED),
        )
        return tuple((row[0], row[1]) for row in rows)

    def _waiting(self, sql: str, parameters: tuple[object, ...]) -> tuple[WaitingReceipt, ...]:
        return tuple(
            WaitingReceipt(
                id=row[0],
                source=row[1],
                arrived=from_us(row[2]),
                captured=_instant.decode(row[3]),
                receipt=_receipt.decode(unpacked(row[4])),
            )
            for row in self._rows(sql, parameters)
        )

    # Receipts that others may be matched to, and the matches

    def set_candidate(self, key: str, content: str, said: datetime, booked: datetime) -> None:
        """The stored receipt with this key may be matched, as it is now."""
        self._execute(
            "INSERT OR REPLACE INTO candidates (receipt, content, said, booked) "
            "SELECT receipt, ?, ?, ? FROM receipt_keys WHERE key = ?",
            (content, _us(said), _us(booked), key),
        )

    def forget_candidates(self, booked_before: datetime) -> None:
        """What was booked before is matched by its ids only, and its matches need not be known any more."""
        self._execute("DELETE FROM candidates WHERE booked < ?", (_us(booked_before),))
        self._execute("DELETE FROM pairs WHERE paired < ?", (_us(booked_before),))

    def candidates(
        self, source: str, content: str, first: datetime, last: datetime, limit: int
    ) -> tuple[StoredReceipt, ...]:
        """Receipts of this content and time that no receipt of `source` was matched to."""
        rows = self._rows(
            "SELECT r.id, r.member, r.captured, r.claims, r.body FROM candidates c JOIN receipts r ON r.id = c.receipt "
            "WHERE c.content = ? AND c.said BETWEEN ? AND ? "
            "AND NOT EXISTS (SELECT 1 FROM pairs p WHERE p.source = ? AND p.receipt = c.receipt) "
            "ORDER BY c.said, c.receipt LIMIT ?",
            (content, _us(first), _us(last), source, limit),
        )
        return tuple(self._stored(row) for row in rows)

    def add_pair(self, source: str, receipt: str, key: str) -> None:
        """The receipt with key `key` of `source` is the stored one with key `receipt`."""
        self._execute(
            "INSERT OR IGNORE INTO pairs (source, receipt, key, paired) "
            "SELECT ?, receipt, ?, ? FROM receipt_keys WHERE key = ?",
            (source, key, _us(self._clock()), receipt),
        )

    def is_paired(self, source: str, key: str) -> bool:
        """Whether the receipt with this key was matched already."""
        return self._row("SELECT 1 FROM pairs WHERE source = ? AND key = ?", (source, key)) is not None


def from_us(microseconds: int) -> datetime:
    return _EPOCH + microseconds * _US


def _us(wall: datetime) -> int:
    """Microseconds since 1970, which compare as moments do whatever their offset."""
    return (wall - _EPOCH) // _US
