"""Row operations inside the writer's transaction.

Owns every INSERT, UPDATE and DELETE. An item's changes stand under a savepoint of its own, opened at its
first statement. New entries are buffered and inserted together before the commit: an item that only
appends needs no savepoint, since what it buffered is simply dropped if it fails.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Raw, Struct

from loyalty.identification import MemberKind, normal_code
from loyalty.identity import identity_keys
from loyalty.instant import Instant
from loyalty.ledger import LedgerEntry
from loyalty.member import Member
from loyalty.receipt import Entry as MemberEntry
from loyalty.receipt import Receipt
from sync.hlc import HybridClock, parse_hlc
from sync.records import Entry, EntryKind, chain_next, chain_start, wall_text
from sync.store.errors import AckRefusedError, NoEpochError, UnknownEntryError, UnknownReceiptError
from sync.store.kept_rows import KeptRows
from sync.store.packing import Packer, unpacked
from sync.store.profile_rows import ProfileRows
from sync.store.quarantine_rows import QuarantineRows
from sync.store.reading import MAX_LISTED, Parameters, Reading
from sync.store.rows import Committed, SourcePosition
from sync.store.saved import SavedEntry
from sync.store.source_rows import SourceRows
from sync.store.sqlite import DatabaseError
from sync.wire import Change, IngestResponse, Outcome, SignedProgram

if TYPE_CHECKING:
    from sqlite3 import Connection

_INSERT_ENTRY = "INSERT INTO entries (number, key, kind, hlc, wall, salt, body) VALUES (?, ?, ?, ?, ?, ?, ?)"
_SALT_BYTES = 16
_ID_BYTES = 16

_encode = msgspec.json.Encoder().encode
_member = msgspec.json.Decoder(Member)


class Writing(SourceRows, QuarantineRows, KeptRows, ProfileRows):
    """What a `work` passed to `Store.write` may do; valid only during that call."""

    def __init__(
        self,
        connection: Connection,
        clock: Callable[[], datetime],
        randomness: Callable[[int], bytes],
        hybrid: HybridClock,
    ) -> None:
        super().__init__(connection, clock)
        before = Reading(connection, clock)
        self._randomness = randomness
        self._hybrid = hybrid
        self._packer = Packer()
        self._buffer: list[tuple[object, ...]] = []
        self._item_start = 0
        self._item_number = 0
        self._in_savepoint = False
        self._touched: set[str] = set()
        self._number = before.last_number()
        self._batch_number = self._number
        self._numbering = before.base()

    # The batch, driven by the writer thread

    def begin(self) -> None:
        self._buffer.clear()
        self._touched.clear()
        self._batch_number = self._number
        self._connection.execute("BEGIN IMMEDIATE")

    def begin_item(self) -> None:
        self._item_start = len(self._buffer)
        self._item_number = self._number
        self._in_savepoint = False

    def end_item(self) -> None:
        if self._in_savepoint:
            self._flush()
            self._connection.execute("RELEASE item")
            self._in_savepoint = False

    def undo_item(self) -> None:
        if self._in_savepoint:
            self._connection.execute("ROLLBACK TO item")
            self._connection.execute("RELEASE item")
            self._in_savepoint = False
            self._buffer.clear()
            self._numbering = Reading(self._connection, self._clock).base()
        else:
            del self._buffer[self._item_start :]
        self._number = self._item_number

    def commit(self) -> Committed:
        self._flush()
        self._connection.execute("COMMIT")
        return Committed(appended=self._number - self._batch_number, members=frozenset(self._touched))

    def discard(self) -> None:
        """Rolls back what is open and closes the connection, whatever state the disk left it in."""
        with suppress(DatabaseError):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        with suppress(DatabaseError):
            self._connection.close()

    def _rows(self, sql: str, parameters: Parameters = ()) -> list[Any]:
        self._enter()
        return super()._rows(sql, parameters)

    def _execute(self, sql: str, parameters: Sequence[object] = ()) -> int:
        """Runs a statement that changes rows; returns the row id it inserted, if it did."""
        self._enter()
        return self._connection.execute(sql, parameters).lastrowid or 0

    def _execute_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        if rows:
            self._enter()
            self._connection.executemany(sql, rows)

    def _enter(self) -> None:
        """Before an item's statement: what it and the items before it appended is in the table."""
        if not self._in_savepoint:
            own = self._buffer[self._item_start :]
            del self._buffer[self._item_start :]
            self._flush()
            self._connection.execute("SAVEPOINT item")
            self._in_savepoint = True
            self._buffer += own
        self._flush()

    def _flush(self) -> None:
        if self._buffer:
            self._connection.executemany(_INSERT_ENTRY, self._buffer)
            self._buffer.clear()

    # Outbox

    def append(self, kind: EntryKind, key: str, body: Struct) -> Entry:
        """Adds an entry to the outbox under its idempotency key.

        Its `seq` counts in the live epoch; before the first, from 1, as that epoch will count it.
        """
        return self._append(kind, key, _encode(body))

    def _append(self, kind: str, key: str, body: bytes) -> Entry:
        wall = self._clock()
        hlc = self._hybrid.tick(wall)
        salt = self._randomness(_SALT_BYTES).hex()
        self._number += 1
        self._buffer.append((self._number, key, kind, hlc, wall_text(wall), salt, self._packer.pack(body)))
        return Entry(
            seq=self._number - self._numbering, key=key, kind=kind, hlc=hlc, wall=wall, salt=salt, body=Raw(body)
        )

    def append_again(self, entry: SavedEntry) -> None:
        """An entry of a damaged file, as it was but for its number; what is new comes after it by the clock too."""
        self._hybrid.follow(parse_hlc(entry.hlc))
        self._number += 1
        self._buffer.append((self._number, entry.key, entry.kind, entry.hlc, entry.wall, entry.salt, entry.body))

    def stamp(self) -> str:
        """A reading of the register's hybrid clock, for what is told now."""
        return self._hybrid.tick(self._clock())

    def new_id(self, prefix: str) -> str:
        """An id that no other register makes."""
        return f"{prefix}{self._randomness(_ID_BYTES).hex()}"

    def requeue(self, number: int) -> Entry:
        """Sends an entry that the centre quarantined again, as a new entry under the same key.

        Raises UnknownEntryError where the centre did not quarantine it.
        """
        row = self._row(
            "SELECT e.kind, e.key, e.body FROM entries e JOIN outcomes o ON o.number = e.number "
            "WHERE e.number = ? AND o.code = 'quarantined'",
            (number,),
        )
        if row is None:
            raise UnknownEntryError(f"entry {number} is not quarantined; `tillside queue list` shows which are")
        self._execute("UPDATE outcomes SET code = 'requeued' WHERE number = ?", (number,))
        return self._append(row[0], row[1], unpacked(row[2]))

    def open_epoch(self, epoch: str, device: str, *, all_kept: bool = False) -> None:
        """Makes `epoch` the live one: what is unacknowledged is numbered from 1 in it, under the same keys.

        With `all_kept` what was acknowledged and is kept waits again too: for a centre that no longer has it. Numbers
        and chain follow from where it starts, so its cost does not grow with the queue.
        """
        live = self._live_epoch()
        if live is not None and live[:2] == (epoch, device):
            return
        base = self.settled_through()
        if all_kept:
            base = min(base, self.kept_from() - 1)
            self._unkeep()
        self._execute(
            "INSERT INTO epochs (epoch, device, base, acked, hash, opened_at) VALUES (?, ?, ?, 0, ?, ?)",
            (epoch, device, base, chain_start(device, epoch), wall_text(self._clock())),
        )
        self._numbering = base

    def acknowledge(self, response: IngestResponse, reached: bytes | None = None) -> None:
        """Takes the centre's word for entries up to `acked_through`, if its chain is this register's own.

        `reached` is the own chain's h there, where the caller walked it. An answer older than one already taken
        changes nothing. Raises AckRefusedError, NoEpochError.
        """
        live = self._live_epoch()
        if live is None:
            raise NoEpochError("nothing was sent yet; open an epoch first")
        epoch, _, base, acked, chain_hash = live
        through = response.acked_through
        if through < acked:
            return
        if through > self._number - base:
            raise AckRefusedError(
                f"the centre acknowledged entry {through} and this register wrote {self._number - base}: "
                "its store was restored or cloned; a new epoch is needed"
            )
        if reached is None:
            reached = self._chain_through(bytes(chain_hash), base, acked, through)
        if reached.hex() != response.chain_hash:
            raise AckRefusedError(f"the centre's chain differs at entry {through}; a new epoch is needed")
        if through > acked:
            self._execute("UPDATE epochs SET acked = ?, hash = ? WHERE epoch = ?", (through, reached, epoch))
            told = {outcome.seq: outcome for outcome in response.outcomes}
            seqs = range(acked + 1, through + 1)
            outcomes = {base + seq: told.get(seq) or Outcome(seq=seq, code="accepted") for seq in seqs}
            self._settle(outcomes)
            self._settle_edits(outcomes)
            self._reduce(outcomes)
            self._keep(base + acked, base + through, response.server_time)

    def _chain_through(self, chain_hash: bytes, base: int, acked: int, through: int) -> bytes:
        for start in range(acked, through, MAX_LISTED):
            for entry in self._entries_after(base + start, min(MAX_LISTED, through - start), base):
                chain_hash = chain_next(chain_hash, entry)
        return chain_hash

    def _settle(self, outcomes: Mapping[int, Outcome]) -> None:
        """What the centre said of consecutive numbers; of one that it was told again, what it says now."""
        self._execute_many(
            "INSERT INTO outcomes (number, code, pos, detail) VALUES (?, ?, ?, ?) ON CONFLICT (number) DO UPDATE SET "
            "code = CASE code WHEN 'requeued' THEN code ELSE excluded.code END, "
            "pos = excluded.pos, detail = excluded.detail",
            [(number, one.code, one.pos or None, one.detail or None) for number, one in outcomes.items()],
        )
        claims = self._rows(
            "SELECT e.number, c.id, c.member, m.pos FROM entries e JOIN claims c ON c.key = e.key "
            "LEFT JOIN members m ON m.member = c.member WHERE e.number >= ? AND e.number <= ?",
            (min(outcomes), max(outcomes)),
        )
        self._touched.update(member for _, _, member, _ in claims)
        covered, waiting = [], []
        for number, claim, _, shown_pos in claims:
            outcome = outcomes[number]
            # Refused, without effect on the feed, or already in the row: nothing is left to add to it.
            if outcome.code == "quarantined" or not outcome.pos or (shown_pos is not None and shown_pos >= outcome.pos):
                covered.append((claim,))
            else:
                waiting.append((outcome.pos, claim))
        self._execute_many("DELETE FROM claims WHERE id = ?", covered)
        self._execute_many("UPDATE claims SET pos = ? WHERE id = ?", waiting)

    # Receipts and claims

    def add_receipt(
        self,
        receipt: Receipt,
        member: str | None,
        claims: Iterable[LedgerEntry],
        captured: Instant,
        original: str | None = None,
        *,
        settled: bool = False,
    ) -> None:
        """Keeps a receipt under all its identity keys, and what the register claims for it.

        `member` is the centre's id, if known; `original` the key of the receipt that a return gives back.
        The outbox entry with the receipt's key carries the claims to the centre; `settled`: it has them.
        """
        given = tuple(claims)
        receipt_id = self._execute(
            "INSERT INTO receipts (number, original, member, captured, claims, body) VALUES (?, ?, ?, ?, ?, ?)",
            (
                receipt.number or None,
                self._receipt_id(original) if original is not None else None,
                member,
                _encode(captured).decode(),
                _encode(given),
                self._packer.pack(_encode(receipt)),
            ),
        )
        for key in identity_keys(receipt):
            self._execute("INSERT INTO receipt_keys (key, receipt) VALUES (?, ?)", (key, receipt_id))
        if member is not None and not settled:
            self.add_claims(receipt.key, member, given)

    def update_receipt(
        self, receipt: Receipt, member: str | None, claims: Iterable[LedgerEntry], original: str | None = None
    ) -> None:
        """Replaces what is kept of a receipt: facts filled in, a revision, a member attached later.

        Keys it gained are added; without `original` the one it had stays. Claims of entries already written
        stay; see `add_claims`.
        """
        receipt_id = self._receipt_id(receipt.key)
        self._execute(
            "UPDATE receipts SET number = ?, original = coalesce(?, original), member = ?, claims = ?, body = ? "
            "WHERE id = ?",
            (
                receipt.number or None,
                self._receipt_id(original) if original is not None else None,
                member,
                _encode(tuple(claims)),
                self._packer.pack(_encode(receipt)),
                receipt_id,
            ),
        )
        for key in identity_keys(receipt):
            self._execute(
                "INSERT INTO receipt_keys (key, receipt) VALUES (?, ?) ON CONFLICT (key) DO NOTHING", (key, receipt_id)
            )

    def add_claims(self, key: str, member: str, claims: Iterable[LedgerEntry]) -> None:
        """Shows `claims` in the member's balance until the feed covers the outbox entry with this `key`."""
        self._touched.add(member)
        for claim in claims:
            pending_until = wall_text(claim.pending_until) if claim.pending_until else None
            self._execute(
                "INSERT INTO claims (key, member, points, pending_until) VALUES (?, ?, ?, ?)",
                (key, member, claim.points, pending_until),
            )

    def _receipt_id(self, key: str) -> int:
        row = self._row("SELECT receipt FROM receipt_keys WHERE key = ?", (key,))
        if row is None:
            raise UnknownReceiptError(f"no receipt is stored under {key}")
        return int(row[0])

    # Members

    def apply_changes(self, changes: Iterable[Change], through: int, as_of: datetime | None) -> None:
        """One page of the feed and the position after it, together.

        A row changes only where the change is newer than it. `as_of` is when the centre read the page; None
        keeps the earlier one, for a page that is not the last.
        """
        self._apply(changes)
        self._execute(
            "UPDATE feed SET position = ?, as_of = coalesce(?, as_of)",
            (through, wall_text(as_of) if as_of is not None else None),
        )

    def keep_member(self, pos: int, row: Member) -> None:
        """A member asked for by itself; the feed's position stays."""
        self._apply((Change(pos=pos, op="upsert", member=row.member, row=row),))

    def bring_back_member(self, change: Change) -> bool:
        """A member of a damaged file, older than anything that the centre says; whether it is of use.

        Once a snapshot stands only that someone was erased is: what it does not tell of is not held here.
        """
        if change.op != "erase" and self.feed().centre_epoch is not None:
            return False
        return self._apply_row(change, generation=0)

    def begin_snapshot(self) -> None:
        """From here on every row counts as older than the snapshot's, whatever its position."""
        self._execute("UPDATE feed SET generation = generation + 1")

    def apply_snapshot(self, changes: Iterable[Change]) -> None:
        """Some rows of the snapshot; members stay known while it comes in."""
        self._apply(changes)

    def finish_snapshot(self, centre_epoch: str, position: int, as_of: datetime) -> None:
        """Drops the members that were not in the snapshot, and goes on from its position."""
        generation = self._generation()
        gone = self._rows(
            "SELECT id, member, row FROM members WHERE generation < ? AND op NOT IN ('erase', 'join')", (generation,)
        )
        for member_id, member, body in gone:
            self._forget_codes(member_id, body)
            self._touched.add(member)
        self._execute("DELETE FROM members WHERE generation < ? AND op NOT IN ('erase', 'join')", (generation,))
        self._execute(
            "UPDATE feed SET position = ?, as_of = ?, centre_epoch = ?", (position, wall_text(as_of), centre_epoch)
        )

    def _generation(self) -> int:
        return int(self._row("SELECT generation FROM feed")[0])

    def _apply(self, changes: Iterable[Change]) -> None:
        generation = self._generation()
        claimed = {row[0] for row in self._rows("SELECT DISTINCT member FROM claims")}
        edited = bool(self._rows("SELECT 1 FROM edits LIMIT 1"))
        for change in changes:
            if self._apply_row(change, generation):
                self._touched.add(change.member)
                for alias in change.row.aliases or () if change.row else ():
                    self._means(alias, change.member)
                    if alias in claimed:
                        claimed.add(change.member)
                if edited:
                    self._drop_edits(change.member, change.pos)
                if change.member in claimed or change.op == "erase":
                    self._drop_claims(change)

    def _apply_row(self, change: Change, generation: int) -> bool:
        """Whether the row changed. Erasure is final, whatever comes before or after; else the newest position wins."""
        held = self._row("SELECT id, pos, op, generation, row FROM members WHERE member = ?", (change.member,))
        row = change.row if change.op == "upsert" and change.row is not UNSET else None
        body = _encode(row) if row is not None else None
        if held is None:
            member_id = self._execute(
                "INSERT INTO members (member, pos, op, generation, row) VALUES (?, ?, ?, ?, ?)",
                (change.member, change.pos, change.op, generation, body),
            )
        else:
            member_id, pos, op, row_generation, old_body = held
            newer = change.pos > pos or row_generation < generation
            if op == "erase" or not (newer or change.op == "erase"):
                return False
            self._forget_codes(member_id, old_body)
            self._execute(
                "UPDATE members SET pos = ?, op = ?, generation = ?, row = ? WHERE id = ?",
                (max(change.pos, pos) if change.op == "erase" else change.pos, change.op, generation, body, member_id),
            )
        if row is not None:
            self._connection.executemany(
                "INSERT OR IGNORE INTO identifiers (code, kind, member) VALUES (?, ?, ?)",
                [(normal_code(identifier.code), identifier.kind, member_id) for identifier in row.identifiers],
            )
        return True

    def _forget_codes(self, member_id: int, body: bytes | None) -> None:
        for identifier in _member.decode(body).identifiers if body is not None else ():
            self._execute(
                "DELETE FROM identifiers WHERE code = ? AND kind = ? AND member = ?",
                (normal_code(identifier.code), identifier.kind, member_id),
            )

    def _drop_claims(self, change: Change) -> None:
        """The row shows what the centre made of these; an erased member has none at all."""
        if change.op == "erase":
            self._execute("DELETE FROM claims WHERE member = ?", (change.member,))
            self._execute("DELETE FROM scans WHERE member = ?", (change.member,))
        else:
            self._execute("DELETE FROM claims WHERE member = ? AND pos <= ?", (change.member, change.pos))

    # Scans, spools, quarantine, programs

    def keep_scan(
        self,
        code: str,
        kind: MemberKind,
        member: str | None,
        at: Instant,
        *,
        reader: str = "",
        entry: MemberEntry = "scanned",
    ) -> int:
        """Keeps a scanned member code until a receipt uses it; returns its id. `member` is the centre's id."""
        return self._execute(
            "INSERT INTO scans (code, kind, entry, member, at, reader) VALUES (?, ?, ?, ?, ?, ?)",
            (code, kind, entry, member, _encode(at).decode(), reader),
        )

    def consume_scan(self, scan_id: int, used_by: str | None = None) -> None:
        """The scan belongs to the receipt with key `used_by`, or to none (replaced, cleared, too old)."""
        self._execute("UPDATE scans SET used = 1, used_by = ? WHERE id = ?", (used_by, scan_id))

    def set_spool_position(self, source: str, position: SourcePosition) -> None:
        """How far the spool `source` was read, in the same commit as what was read from it."""
        self._execute(
            'INSERT INTO spools (source, segment, "offset") VALUES (?, ?, ?) '
            'ON CONFLICT (source) DO UPDATE SET segment = excluded.segment, "offset" = excluded."offset"',
            (source, position.segment, position.offset),
        )

    def keep_program(self, signed: SignedProgram) -> None:
        """Keeps a program, whose hash and signature were checked by the caller; `sync.programs` says when it holds."""
        self._execute(
            "INSERT INTO programs (hash, program, signature) VALUES (?, ?, ?) ON CONFLICT (hash) DO NOTHING",
            (signed.hash, signed.program, signed.signature),
        )

    def drop_program(self, content_hash: str) -> None:
        """The program with this content hash is held no more."""
        self._execute("DELETE FROM programs WHERE hash = ?", (content_hash,))

    def keep_only_programs(self, content_hashes: Collection[str]) -> None:
        """Drops every other program."""
        for unnamed in self.held_programs().difference(content_hashes):
            self.drop_program(unnamed)

    def set_meta(self, name: str, value: str) -> None:
        """A fact about the register itself, such as the device id that its enrolment gave."""
        self._execute(
            "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )
