"""Codes inside the writer's transaction: which of them name a member.

Owns `identifiers`, and the runs in which the codes of a snapshot's new members stand until all of them are here. Codes
come in no order: put one by one into an index of millions, each meets a page of its own, which is encrypted and
authenticated anew in every transaction. So each chunk's are a run, sorted in itself and written at the end of its
table; after the last chunk the runs are merged, a range of codes at a time, into the index, which then grows at its
end as well. A code names its member from the chunk's own commit on, run or not (`sync.store.reading`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from sync.store.reading import RANGE_CODES, Reading
from sync.store.sqlite import insert_rows

Code = tuple[str, str, int]
"""A code in normal form, its kind and the row id of its member."""

_INSERT: Final = "INSERT OR IGNORE INTO identifiers (code, kind, member) VALUES (?, ?, ?)"
_INSERT_IN_RUN: Final = "INSERT OR IGNORE INTO run_codes (run, code, kind, member)"
_DELETE: Final = "DELETE FROM identifiers WHERE code = ? AND kind = ? AND member = ?"
# A run holds the codes of rows from its first one up to the next run's.
_DELETE_FROM_RUN: Final = """
DELETE FROM run_codes
WHERE run = (SELECT max(first) FROM runs WHERE first <= ?3) AND code = ?1 AND kind = ?2 AND member = ?3"""
_DELETE_ALL_FROM_RUN: Final = """
DELETE FROM run_codes WHERE run = (SELECT max(first) FROM runs WHERE first <= ?1) AND member = ?1"""
_MERGE: Final = """
INSERT OR IGNORE INTO identifiers (code, kind, member)
SELECT c.code, c.kind, c.member FROM runs r CROSS JOIN run_codes c ON c.run = r.first
WHERE c.code > ? AND c.code <= ? ORDER BY c.code, c.kind, c.member"""


class CodeRows(Reading):
    """The part of `Writing` that is about codes."""

    def _execute(self, sql: str, parameters: Sequence[object] = ()) -> int:
        raise NotImplementedError

    def _execute_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        raise NotImplementedError

    def _insert_codes(self, codes: Sequence[Code]) -> None:
        self._execute_many(_INSERT, codes)

    def _insert_run(self, codes: Sequence[Code]) -> None:
        """Codes of rows that were just put in after all others."""
        if not codes:
            return
        first = min(member for _, _, member in codes)
        # Of a run that began with a row of the same id nothing is left: the rows were let go of, and their codes.
        self._execute("INSERT OR REPLACE INTO runs (first, size) VALUES (?, ?)", (first, len(codes)))
        insert_rows(self._connection, _INSERT_IN_RUN, [(first, *code) for code in sorted(codes)])

    def _delete_codes(self, codes: Sequence[Code]) -> None:
        self._execute_many(_DELETE, codes)
        if codes and self._has_runs():
            self._execute_many(_DELETE_FROM_RUN, codes)

    def _delete_codes_of(self, member_id: int) -> None:
        """All that name a row, known or not."""
        self._execute("DELETE FROM identifiers WHERE member = ?", (member_id,))
        self._execute(_DELETE_ALL_FROM_RUN, (member_id,))

    def _has_runs(self) -> bool:
        return bool(self._rows("SELECT 1 FROM runs LIMIT 1"))

    # After a snapshot's last chunk

    def merge_codes(self, after: str, through: str) -> None:
        """Into the index with the codes of a range, of all runs; again, it changes nothing. The runs keep theirs."""
        self._execute(_MERGE, (after, through))

    def drop_runs(self) -> bool:
        """Lets go of the first runs, about RANGE_CODES codes, once all was merged; whether there are more."""
        runs = self._rows("SELECT first, size FROM runs ORDER BY first LIMIT ?", (RANGE_CODES,))
        for first in _about(RANGE_CODES, runs):
            self._execute("DELETE FROM run_codes WHERE run = ?", (first,))
            self._execute("DELETE FROM runs WHERE first = ?", (first,))
        return self._has_runs()


def _about(codes: int, runs: Iterable[tuple[int, int]]) -> Iterator[int]:
    """The first runs, until they have so many codes."""
    for first, size in runs:
        yield first
        codes -= size
        if codes <= 0:
            return
