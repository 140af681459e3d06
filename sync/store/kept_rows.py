"""What a register keeps of entries that the centre has: for a centre that comes back from an older backup.

Owns how long and how much, by the centre's own clock, and what goes first: the oldest. What waits for the centre, or
was refused there and waits for a person, is never given up here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from sync.store.reading import Reading

# Longer than the time between two backups of a centre, with room for a holiday; `docs/central.md` asks for one a day.
KEPT_FOR: Final = timedelta(days=30)
# A month of a busy till takes a quarter of it.
MAX_KEPT_BYTES: Final = 256 * 1024 * 1024
# Entries given up in one transaction; a receipt may be waiting behind it.
SHED_AT_ONCE: Final = 500
# What a row takes besides its body.
ROW_BYTES: Final = 160

_HOUR: Final = "%Y-%m-%dT%H"
# The greatest number of which all before it may be gone.
_SHED: Final = "shed_through"


class KeptRows(Reading):
    """The part of `Writing` that keeps what was acknowledged."""

    def _execute(self, sql: str, parameters: Sequence[object] = ()) -> int:
        raise NotImplementedError

    def _keep(self, after: int, through: int, server_time: datetime) -> None:
        """Notes that the centre has these numbers since `server_time`: by the hour, since each sale has its answer."""
        newest = self._row("SELECT hour, through FROM acknowledged ORDER BY through DESC LIMIT 1")
        hour = max(server_time.astimezone(UTC).strftime(_HOUR), newest[0] if newest else "")
        size = self._row(
            "SELECT coalesce(sum(length(body)), 0) + count(*) * ? FROM entries WHERE number > ? AND number <= ?",
            (ROW_BYTES, after, through),
        )
        self._execute(
            "INSERT INTO acknowledged (hour, through, bytes) VALUES (?, ?, ?) ON CONFLICT (hour) DO UPDATE SET "
            "through = excluded.through, bytes = bytes + excluded.bytes",
            (hour, through, size[0]),
        )

    def shed(self, kept_for: timedelta = KEPT_FOR, max_bytes: int = MAX_KEPT_BYTES) -> bool:
        """Gives up the oldest acknowledged entries that are kept too long or are too much, some at once.

        True while there are more. The newest hour stays, whatever it takes.
        """
        hours = self._rows("SELECT hour, through, bytes FROM acknowledged ORDER BY through")
        if len(hours) < 2:
            return False
        hour, through, _ = hours[0]
        newest = datetime.strptime(hours[-1][0], _HOUR).replace(tzinfo=UTC)
        too_old = datetime.strptime(hour, _HOUR).replace(tzinfo=UTC) < newest - kept_for
        if not too_old and sum(row[2] for row in hours) <= max_bytes:
            return False
        first = self.kept_from()
        last = min(through, first + SHED_AT_ONCE - 1)
        refused = "(SELECT number FROM outcomes WHERE code = 'quarantined')"
        for table in ("entries", "outcomes"):
            self._execute(
                f"DELETE FROM {table} WHERE number >= ? AND number <= ? AND number NOT IN {refused}",  # noqa: S608 - ours
                (first, last),
            )
        self._execute(
            "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (_SHED, str(last)),
        )
        if last == through:
            self._execute("DELETE FROM acknowledged WHERE hour = ?", (hour,))
        return True

    def _unkeep(self) -> None:
        """All that is kept waits for the centre again."""
        self._execute("DELETE FROM acknowledged")
