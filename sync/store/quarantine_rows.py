"""The quarantine inside the writer's transaction: what is set aside, and what becomes of it.

Owns the limit of what is kept, and that nothing in it vanishes unsaid: a resolved item stays with how and why, only
its bytes may be given up for those of open ones. Never decides what is set aside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from loyalty.instant import Instant
from sync.records import wall_text
from sync.store.errors import QuarantineFullError
from sync.store.reading import ITEM_BYTES, Reading
from sync.store.rows import Resolution

# A hundred thousand print jobs. Beyond it sources are refused and keep what they have; `status` warns long before.
MAX_QUARANTINE_BYTES: Final = 512 * 1024 * 1024
QUARANTINE_ALARM_BYTES: Final = MAX_QUARANTINE_BYTES * 8 // 10
# Items that give up their bytes at once: overwriting goes through the log, and a full disk has no room for much of it.
DROPPED_AT_ONCE: Final = 4

_FULL: Final = (
    f"the quarantine holds its {MAX_QUARANTINE_BYTES // 1024**2} MiB of what nobody could read: see "
    "`tillside queue list`, correct what its remedies name, and resolve what is no receipt"
)


class QuarantineRows(Reading):
    """Writes the table `quarantine`."""

    def _execute(self, sql: str, parameters: Sequence[object] = ()) -> int:
        raise NotImplementedError

    def quarantine(
        self,
        source: str,
        reason: str,
        detail: str,
        raw: bytes,
        *,
        captured: Instant | None = None,
        receipt: str | None = None,
        limit_bytes: int = MAX_QUARANTINE_BYTES,
    ) -> int:
        """Keeps what could not be read or believed for a person; returns its id.

        `receipt` is the key of a booked receipt that the bytes are only a copy of: where there is no room, its item is
        kept without them. Raises QuarantineFullError for anything else that has no room.
        """
        if not self._made_room(len(raw), limit_bytes):
            if receipt is None:
                raise QuarantineFullError(_FULL)
            raw = b""
        return self._execute(
            "INSERT INTO quarantine (source, reason, detail, at, raw, size, captured, receipt) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                source,
                reason,
                detail,
                wall_text(self._clock()),
                raw,
                len(raw),
                msgspec.json.encode(captured).decode() if captured is not None else None,
                receipt,
            ),
        )

    def _made_room(self, size: int, limit_bytes: int) -> bool:
        """Whether `size` more fit; for that, resolved items give up their bytes, as many as it takes."""
        lacking = self.quarantine_bytes() + ITEM_BYTES + size - limit_bytes
        while lacking > 0 and (dropped := self.drop_resolved_bytes()):
            lacking -= dropped
        return lacking <= 0

    def drop_resolved_bytes(self) -> int:
        """The few oldest resolved items that have bytes give them up; how many bytes that were."""
        last, dropped = self._row(
            "SELECT max(id), coalesce(sum(size), 0) FROM (SELECT id, size FROM quarantine "
            "WHERE resolved_at IS NOT NULL AND size > 0 ORDER BY id LIMIT ?)",
            (DROPPED_AT_ONCE,),
        )
        if dropped:
            self._execute(
                "UPDATE quarantine SET raw = x'', size = 0 WHERE resolved_at IS NOT NULL AND size > 0 AND id <= ?",
                (last,),
            )
        return int(dropped)

    def resolve_quarantine(self, quarantine_id: int, resolved_as: Resolution, note: str = "") -> None:
        """It is dealt with; it stays with how and why."""
        self._execute(
            "UPDATE quarantine SET resolved_at = ?, resolved_as = ?, note = ? WHERE id = ? AND resolved_at IS NULL",
            (wall_text(self._clock()), resolved_as, note or None, quarantine_id),
        )

    def still_quarantined(
        self, quarantine_id: int, reason: str, detail: str, read_with: str, *, receipt: str | None
    ) -> None:
        """It was read again, by what `read_with` names, and waits on."""
        self._execute(
            "UPDATE quarantine SET reason = ?, detail = ?, read_with = ?, receipt = ? "
            "WHERE id = ? AND resolved_at IS NULL",
            (reason, detail, read_with, receipt, quarantine_id),
        )
