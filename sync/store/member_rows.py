"""Members inside the writer's transaction: what the feed, a snapshot or a lookup says of them.

Owns which row of a member counts, and who leaves. The newest position wins within one generation; a snapshot begins a
new one, whose rows count whatever their position, since it may be of a centre that was restored. Erasure is final. Own
claims stay until the row shows what the centre made of them, whoever comes and goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET, Struct

from loyalty.identification import normal_code
from loyalty.member import Member
from sync.records import wall_text
from sync.store.profile_rows import ProfileRows
from sync.store.sqlite import CACHE_KIB, LOADING_CACHE_KIB
from sync.wire import Change

if TYPE_CHECKING:
    from sqlite3 import Connection

# Members that were asked for by themselves and are no part of a snapshot; beyond this, or after this time, they leave.
MAX_PINS: Final = 1000
PINNED_FOR: Final = timedelta(days=30)
# Members looked at in one transaction for who was not in the snapshot.
SWEPT_AT_ONCE: Final = 5000

_encode = msgspec.json.Encoder().encode
_member = msgspec.json.Decoder(Member)

_INSERT: Final = "INSERT INTO members (id, member, pos, op, generation, row) VALUES (?, ?, ?, ?, ?, ?)"
_INSERT_CODE: Final = "INSERT OR IGNORE INTO identifiers (code, kind, member) VALUES (?, ?, ?)"
# Who leaves is pinned no more.
_REPLACE: Final = (
    "UPDATE members SET pos = ?1, op = ?2, generation = ?3, covered = 1, row = ?4, "
    "pinned_at = CASE WHEN ?4 IS NOT NULL THEN pinned_at END WHERE id = ?5"
)


# Rows that a snapshot lacks; who is pinned stays, and who joined here and is not in the feed yet. Rows that are
# pinned for too long, and those beyond MAX_PINS.
_OLD: Final = "FROM members WHERE id > ? AND id <= ? AND generation < ? AND op NOT IN ('erase', 'join')"
_LACKING: Final = f"{_OLD} AND (pinned_at IS NULL OR row IS NULL)"
_UNCOVERED: Final = "FROM members WHERE covered = 0 AND pinned_at"
_LONG_PINNED: Final = f"{_UNCOVERED} < ?"
_PINNED_FIRST: Final = f"{_UNCOVERED} IS NOT NULL ORDER BY pinned_at, id LIMIT ?"
_TOO_MANY: Final = f"{_UNCOVERED} IS NOT NULL ORDER BY pinned_at DESC, id LIMIT -1 OFFSET ?"


class Held(Struct, frozen=True, kw_only=True):
    """The row of a member as it is before a change."""

    id: int
    pos: int
    op: str
    generation: int
    body: bytes | None


class MemberRows(ProfileRows):
    """Writes the tables `members`, `identifiers` and `feed`."""

    _connection: Connection

    # The feed

    def apply_changes(self, changes: Iterable[Change], through: int, as_of: datetime | None) -> None:
        """One page of the feed and the position after it, together.

        A row changes only where the change is newer than it. `as_of` is when the centre read the page; None
        keeps the earlier one, for a page that is not the last.
        """
        self._apply(tuple(changes))
        self._execute(
            "UPDATE feed SET position = ?, as_of = coalesce(?, as_of)",
            (through, wall_text(as_of) if as_of is not None else None),
        )
        # Who is not held has no row that could ever show them.
        for table in ("claims", "edits"):
            self._execute(
                f"DELETE FROM {table} WHERE pos <= ? AND NOT EXISTS "  # noqa: S608 - ours
                f"(SELECT 1 FROM members m WHERE m.member = {table}.member AND m.row IS NOT NULL)",
                (through,),
            )

    def keep_member(self, pos: int, row: Member) -> None:
        """A member asked for by itself, who is pinned by that; the feed's position stays."""
        held = self._held((row.member,)).get(row.member)
        if held is not None and held.op == "leave":
            # The centre was asked just now, so that they left before counts no more.
            self._execute("DELETE FROM members WHERE id = ?", (held.id,))
        self._apply((Change(pos=pos, op="upsert", member=row.member, row=row),))
        self._execute(
            "UPDATE members SET pinned_at = ? WHERE member = ? AND row IS NOT NULL",
            (int(self._clock().timestamp()), row.member),
        )
        self._end_pins()

    def bring_back_member(self, change: Change) -> bool:
        """A member of a damaged file, older than anything that the centre says; whether it is of use.

        Once a snapshot stands only that someone was erased is: what it does not tell of is not held here.
        """
        if change.op != "erase" and self.feed().centre_epoch is not None:
            return False
        return bool(self._changed((change,), generation=0))

    # Snapshots

    def begin_snapshot(self) -> None:
        """From here on every row counts as older than the snapshot's, whatever its position."""
        self._execute("UPDATE feed SET generation = generation + 1")

    def apply_snapshot(self, changes: Sequence[Change]) -> None:
        """Some rows of the snapshot; members stay known while it comes in. Best in the order of member ids."""
        # Codes come in no order: every page of their index is met again and again.
        self._connection.execute(f"PRAGMA cache_size = -{LOADING_CACHE_KIB}")
        self._apply(changes)

    def sweep_snapshot(self, after: int) -> int | None:
        """Let go of members that were not in the snapshot and are not pinned: among SWEPT_AT_ONCE from `after` on.

        Returns where to go on, None after the last one.
        """
        generation = self._generation()
        last = self._row(
            "SELECT max(id) FROM (SELECT id FROM members WHERE id > ? ORDER BY id LIMIT ?)", (after, SWEPT_AT_ONCE)
        )[0]
        if last is None:
            return None
        self._forget(_LACKING, (after, last, generation))
        kept = self._rows(f"SELECT id {_OLD}", (after, last, generation))
        self._connection.executemany("UPDATE members SET covered = 0 WHERE id = ?", kept)
        return int(last)

    def finish_snapshot(self, centre_epoch: str, position: int, as_of: datetime, scope: str) -> None:
        """Go on from the snapshot's position; all that was not in it was swept."""
        self._end_pins()
        self._execute(
            "UPDATE feed SET position = ?, as_of = ?, centre_epoch = ?, scope = ?",
            (position, wall_text(as_of), centre_epoch, scope),
        )
        self._connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")

    def _end_pins(self) -> None:
        """Who is pinned and not in the feed leaves after a while; of the others the feed tells."""
        self._forget(_LONG_PINNED, (int((self._clock() - PINNED_FOR).timestamp()),))
        self._forget(_TOO_MANY, (MAX_PINS,))

    def drop_pins(self) -> bool:
        """Lets go of some of those whom only a question brought here, the longest first; whether there were any."""
        before = self._connection.total_changes
        self._forget(_PINNED_FIRST, (SWEPT_AT_ONCE,))
        return self._connection.total_changes > before

    def _forget(self, which: str, parameters: Sequence[object]) -> None:
        """Drop rows whole; own claims stay."""
        gone = self._rows(f"SELECT id, member, row {which}", parameters)
        self._forget_codes([(member_id, body) for member_id, _, body in gone])
        self._touched.update(member for _, member, _ in gone)
        self._connection.executemany("DELETE FROM members WHERE id = ?", [(member_id,) for member_id, _, _ in gone])

    # Rows

    def _generation(self) -> int:
        return int(self._row("SELECT generation FROM feed")[0])

    def _held(self, members: Sequence[str]) -> dict[str, Held]:
        rows = self._rows(
            "SELECT member, id, pos, op, generation, row FROM members WHERE member IN (SELECT value FROM json_each(?))",
            (_encode(members).decode(),),
        )
        return {row[0]: Held(id=row[1], pos=row[2], op=row[3], generation=row[4], body=row[5]) for row in rows}

    def _apply(self, changes: Sequence[Change]) -> None:
        """Own claims and edits that a row shows go; an erased member has no claims at all."""
        changed = self._changed(changes, self._generation())
        self._touched.update(change.member for change in changed)
        claimed = {row[0] for row in self._rows("SELECT DISTINCT member FROM claims")}
        edited = bool(self._rows("SELECT 1 FROM edits LIMIT 1"))
        for change in changed:
            for alias in change.row.aliases or () if change.row else ():
                self._means(alias, change.member)
                if alias in claimed:
                    claimed.add(change.member)
            if edited:
                self._drop_edits(change.member, change.pos)
            if change.op == "erase":
                self._execute("DELETE FROM claims WHERE member = ?", (change.member,))
                self._execute("DELETE FROM scans WHERE member = ?", (change.member,))
            elif change.member in claimed:
                self._execute("DELETE FROM claims WHERE member = ? AND pos <= ?", (change.member, change.pos))

    def _changed(self, changes: Sequence[Change], generation: int) -> list[Change]:
        """Let each change be where it is newer than the row, and return these; of several of one member the newest
        counts, an erasure before all.
        """
        held = self._held([change.member for change in changes])
        newest: dict[str, Change] = {}
        for change in changes:
            before = newest.get(change.member)
            if before is None or (before.op != "erase" and (change.op == "erase" or change.pos > before.pos)):
                newest[change.member] = change
        new = [change for change in newest.values() if change.member not in held]
        old = [
            (change, held[change.member])
            for change in newest.values()
            if change.member in held and _counts(change, held[change.member], generation)
        ]
        self._insert(new, generation)
        self._replace(old, generation)
        return [*new, *(change for change, _ in old)]

    def _insert(self, changes: Sequence[Change], generation: int) -> None:
        if not changes:
            return
        first = self._row("SELECT coalesce(max(id), 0) + 1 FROM members")[0]
        rows, codes = [], []
        for member_id, change in enumerate(changes, start=first):
            row = _row_of(change)
            rows.append((member_id, change.member, change.pos, change.op, generation, _body(row)))
            codes += _codes(row, member_id)
        self._connection.executemany(_INSERT, rows)
        codes.sort()
        self._connection.executemany(_INSERT_CODE, codes)

    def _replace(self, changes: Sequence[tuple[Change, Held]], generation: int) -> None:
        if not changes:
            return
        rows, gone, codes = [], [], []
        for change, held in changes:
            row = _row_of(change)
            body = _body(row)
            pos = max(change.pos, held.pos) if change.op == "erase" else change.pos
            rows.append((pos, change.op, generation, body, held.id))
            if body != held.body:
                gone.append((held.id, held.body))
                codes += _codes(row, held.id)
        self._forget_codes(gone)
        self._connection.executemany(_REPLACE, rows)
        self._connection.executemany(_INSERT_CODE, codes)

    def _forget_codes(self, rows: Iterable[tuple[int, bytes | None]]) -> None:
        known = ((member_id, _member.decode(body)) for member_id, body in rows if body is not None)
        codes = [code for member_id, row in known for code in _codes(row, member_id)]
        self._connection.executemany("DELETE FROM identifiers WHERE code = ? AND kind = ? AND member = ?", codes)


def _counts(change: Change, held: Held, generation: int) -> bool:
    if held.op == "erase":
        return False
    return change.op == "erase" or change.pos > held.pos or held.generation < generation


def _row_of(change: Change) -> Member | None:
    return change.row if change.op == "upsert" and change.row is not UNSET else None


def _body(row: Member | None) -> bytes | None:
    return None if row is None else _encode(row)


def _codes(row: Member | None, member_id: int) -> list[tuple[str, str, int]]:
    if row is None:
        return []
    return [(normal_code(identifier.code), identifier.kind, member_id) for identifier in row.identifiers]
