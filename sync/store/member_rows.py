"""Members inside the writer's transaction: what the feed, a snapshot or a lookup says of them.

Owns which row of a member counts, and who leaves. The newest position wins within one generation; a snapshot begins a
new one, whose rows count whatever their position, since it may be of a centre that was restored. Erasure is final. Own
claims stay until the row shows what the centre made of them, whoever comes and goes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from operator import lt
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from loyalty.member import Member
from sync.records import wall_text
from sync.store.code_rows import Code
from sync.store.fed import Fed, codes_of, fed, fed_row
from sync.store.profile_rows import ProfileRows
from sync.store.sqlite import insert_rows
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

_INSERT: Final = "INSERT INTO members (id, member, pos, op, generation, row)"
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
    """Writes the tables `members` and `feed`."""

    _connection: Connection

    # The feed

    def apply_changes(self, changes: Iterable[Change], through: int, as_of: datetime | None) -> None:
        """One page of the feed and the position after it, together.

        A row changes only where the change is newer than it. `as_of` is when the centre read the page; None
        keeps the earlier one, for a page that is not the last.
        """
        self._apply([fed(change) for change in changes])
        self._execute(
            "UPDATE feed SET position = ?, as_of = coalesce(?, as_of)",
            (through, wall_text(as_of) if as_of is not None else None),
        )
        if as_of is None:
            return
        # Who is not held has no row that could ever show them. All that wait for their row are looked at: once, at the
        # end, where they are few.
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
        self._apply((fed_row(row.member, pos, row),))
        self._execute(
            "UPDATE members SET pinned_at = ? WHERE member = ? AND row IS NOT NULL",
            (int(self._clock().timestamp()), row.member),
        )
        self._end_pins()

    def keep_told(self, row: Member) -> bool:
        """A member whom a telephone's grant tells of, by the one code that was asked about; pinned as one asked for.

        What the feed or a lookup says of them counts before it, whatever its position: of who is held the code alone is
        new. Whether they are held by that now; who was erased is not.
        """
        held = self._held((row.member,)).get(row.member)
        if held is None or held.op == "leave":
            self.keep_member(0, row)
        elif held.body is not None:
            known = _member.decode(held.body)
            new = [one for one in row.identifiers if known.identifier(one.code) is None]
            row = replace(known, identifiers=(*known.identifiers, *new))
            self._replace([(fed_row(row.member, held.pos, row), held)], held.generation)
            self._touched.add(row.member)
        return self.member(row.member) is not None

    def bring_back_member(self, change: Change) -> bool:
        """A member of a damaged file, older than anything that the centre says; whether it is of use.

        Once a snapshot stands only that someone was erased is: what it does not tell of is not held here.
        """
        if change.op != "erase" and self.feed().centre_epoch is not None:
            return False
        return bool(self._changed((fed(change),), generation=0))

    # Snapshots

    def begin_snapshot(self) -> None:
        """From here on every row counts as older than the snapshot's, whatever its position."""
        self._execute("UPDATE feed SET generation = generation + 1")

    def apply_snapshot(self, rows: Sequence[Fed]) -> None:
        """Some rows of the snapshot; members stay known while it comes in. Best in the order of member ids.

        After the last ones `code_ranges` are merged and the runs let go of (`sync.store.code_rows`).
        """
        self._apply(rows, as_run=True)

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

    def _apply(self, rows: Sequence[Fed], *, as_run: bool = False) -> None:
        """Own claims and edits that a row shows go; an erased member has no claims at all."""
        changed = self._changed(rows, self._generation(), as_run=as_run)
        self._touched.update([row.member for row in changed])
        claims = self._claims_of([one for row in changed for one in (row.member, *row.aliases)])
        edited = bool(self._rows("SELECT 1 FROM edits LIMIT 1"))
        shown: list[int] = []
        for row in changed:
            for alias in row.aliases:
                self._means(alias, row.member)
                claims[row.member] += claims.pop(alias, [])
            if edited:
                self._drop_edits(row.member, row.pos)
            if row.op == "erase":
                self._execute("DELETE FROM scans WHERE member = ?", (row.member,))
            for claim, pos in claims.pop(row.member, []):
                if row.op == "erase" or (pos is not None and pos <= row.pos):
                    shown.append(claim)
        self._execute_many("DELETE FROM claims WHERE id = ?", [(claim,) for claim in sorted(shown)])

    def _claims_of(self, members: Sequence[str]) -> defaultdict[str, list[tuple[int, int | None]]]:
        """Ids and positions of the own claims of these; the claims of all that waits for the centre are not looked
        through.
        """
        rows = self._rows(
            "SELECT member, id, pos FROM claims WHERE member IN (SELECT value FROM json_each(?))",
            (_encode(members).decode(),),
        )
        claims: defaultdict[str, list[tuple[int, int | None]]] = defaultdict(list)
        for member, claim, pos in rows:
            claims[member].append((claim, pos))
        return claims

    def _changed(self, rows: Sequence[Fed], generation: int, *, as_run: bool = False) -> Sequence[Fed]:
        """Let each row be where it is newer than the one held, and return these; of several of one member the newest
        counts, an erasure before all. `as_run`: the codes of who is new are a run.
        """
        if self._all_beyond(rows):
            self._insert(rows, generation, as_run=as_run)
            return rows
        held = self._held([row.member for row in rows])
        newest: dict[str, Fed] = {}
        for row in rows:
            before = newest.get(row.member)
            if before is None or (before.op != "erase" and (row.op == "erase" or row.pos > before.pos)):
                newest[row.member] = row
        new = [row for row in newest.values() if row.member not in held]
        old = [
            (row, held[row.member])
            for row in newest.values()
            if row.member in held and _counts(row, held[row.member], generation)
        ]
        self._insert(new, generation, as_run=as_run)
        self._replace(old, generation)
        return [*new, *(row for row, _ in old)]

    def _all_beyond(self, rows: Sequence[Fed]) -> bool:
        """Whether all are members of ids beyond those held, each once, as a first snapshot has them."""
        members = [row.member for row in rows]
        (last,) = self._row("SELECT max(member) FROM members")
        return bool(members) and (last is None or members[0] > last) and all(map(lt, members, members[1:]))

    def _insert(self, new: Sequence[Fed], generation: int, *, as_run: bool) -> None:
        if not new:
            return
        first = self._row("SELECT coalesce(max(id), 0) + 1 FROM members")[0]
        rows: list[tuple[object, ...]] = []
        codes: list[Code] = []
        for member_id, row in enumerate(new, start=first):
            # sqlcipher3 looks for an adapter of bytes, and finds none, in more time than the row takes; not of these.
            body = bytearray(row.body) if row.body is not None else None
            rows.append((member_id, row.member, row.pos, row.op, generation, body))
            for code, kind in row.codes:
                codes.append((code, kind, member_id))
        insert_rows(self._connection, _INSERT, rows)
        if as_run:
            self._insert_run(codes)
        else:
            self._insert_codes(codes)

    def _replace(self, changed: Sequence[tuple[Fed, Held]], generation: int) -> None:
        if not changed:
            return
        rows: list[tuple[object, ...]] = []
        gone: list[Code] = []
        codes: list[Code] = []
        for row, held in changed:
            pos = max(row.pos, held.pos) if row.op == "erase" else row.pos
            rows.append((pos, row.op, generation, row.body, held.id))
            before = _codes_in(held.body) if row.body != held.body else row.codes
            gone += [(code, kind, held.id) for code, kind in before if (code, kind) not in row.codes]
            codes += [(code, kind, held.id) for code, kind in row.codes if (code, kind) not in before]
        self._delete_codes(gone)
        self._execute_many(_REPLACE, rows)
        self._insert_codes(codes)

    def _forget_codes(self, rows: Iterable[tuple[int, bytes | None]]) -> None:
        self._delete_codes([(code, kind, member_id) for member_id, body in rows for code, kind in _codes_in(body)])


def _codes_in(body: bytes | None) -> tuple[tuple[str, str], ...]:
    """The codes of a row as it is kept; none where there is none."""
    return codes_of(_member.decode(body)) if body is not None else ()


def _counts(row: Fed, held: Held, generation: int) -> bool:
    if held.op == "erase":
        return False
    return row.op == "erase" or row.pos > held.pos or held.generation < generation
