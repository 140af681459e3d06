"""Row operations inside the writer's transaction.

Owns every INSERT, UPDATE and DELETE. An item's changes stand under a savepoint of its own, opened at its
first statement. New entries are buffered and inserted together before the commit: an item that only
appends needs no savepoint, since what it buffered is simply dropped if it fails.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw, Struct

from loyalty.identification import MemberKind
from loyalty.identity import identity_keys
from loyalty.instant import Instant
from loyalty.ledger import LedgerEntry
from loyalty.receipt import Entry as MemberEntry
from loyalty.receipt import Receipt
from sync.hlc import HybridClock, MalformedHlcError, parse_hlc
from sync.records import Entry, EntryKind, chain_next, chain_start, wall_text
from sync.store.errors import AckRefusedError, NoEpochError, UnknownEntryError, UnknownReceiptError
from sync.store.kept_rows import KeptRows
from sync.store.member_rows import MemberRows
from sync.store.packing import Packer, unpacked
from sync.store.purge_rows import PurgeRows
from sync.store.quarantine_rows import QuarantineRows
from sync.store.reading import MAX_LISTED, Parameters, Reading, counter_of
from sync.store.rows import Committed, Counted, SourcePosition
from sync.store.saved import SavedEntry
from sync.store.source_rows import SourceRows
from sync.store.spending_rows import SPENDING_COUNT, SpendingRows
from sync.store.sqlite import PAGE_BYTES, DatabaseError, fold_log
from sync.store.witness import Witness
from sync.wire import IngestResponse, Outcome, SignedProgram

if TYPE_CHECKING:
    from sqlite3 import Connection

_INSERT_ENTRY = "INSERT INTO entries (number, key, kind, hlc, wall, salt, body) VALUES (?, ?, ?, ?, ?, ?, ?)"
# And leaves nothing.
_WRITES_A_PAGE = ("INSERT INTO meta (name, value) VALUES ('', '')", "DELETE FROM meta WHERE name = ''")
_SALT_BYTES = 16
_ID_BYTES = 16

_encode = msgspec.json.Encoder().encode


class Writing(SourceRows, QuarantineRows, KeptRows, MemberRows, SpendingRows, PurgeRows):
    """What a `work` passed to `Store.write` may do; valid only during that call."""

    def __init__(
        self,
        connection: Connection,
        clock: Callable[[], datetime],
        randomness: Callable[[int], bytes],
        hybrid: HybridClock,
        witness: Witness,
    ) -> None:
        super().__init__(connection, clock)
        before = Reading(connection, clock)
        self._randomness = randomness
        self._hybrid = hybrid
        self._witness = witness
        self._is_witnessed = lambda: not witness.problem
        self._counted = False
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

    @property
    def committed_number(self) -> int:
        """The newest entry that was durable before this batch."""
        return self._batch_number

    def free_bytes(self) -> int:
        """What the file holds of pages that can be used again."""
        return int(self._connection.execute("PRAGMA freelist_count").fetchone()[0]) * PAGE_BYTES

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
        count = Reading(self._connection, self._clock).meta(SPENDING_COUNT) if self._counted else None
        self._connection.execute("COMMIT")
        if count is not None:
            # Whoever waits for this batch is answered after that.
            self._witness.reach(int(count))
            self._counted = bool(self._witness.problem)
        return Committed(appended=self._number - self._batch_number, members=frozenset(self._touched))

    def rest(self) -> None:
        """While nobody waits: what a commit would have to do else, which is then answered that much later. It folds the
        log in, and begins it anew, which takes a sync by itself.
        """
        if fold_log(self._connection):
            self._connection.execute("BEGIN IMMEDIATE")
            for statement in _WRITES_A_PAGE:
                self._connection.execute(statement)
            self._connection.execute("COMMIT")

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

    def follow(self, stamps: Iterable[str]) -> None:
        """Whatever is told from now on is later by the hybrid clock than what these stamps are of.

        A stamp of another form, which no release makes, is passed over.
        """
        for stamp in stamps:
            with suppress(MalformedHlcError):
                self._hybrid.follow(parse_hlc(stamp))

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

    def count_today(self, what: Counted, day: date) -> None:
        """One more of `what` on this day; of a day before the one that is counted nothing is said any more."""
        self._execute(
            "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = CASE "
            "WHEN substr(value, 1, 10) = substr(excluded.value, 1, 10) "
            "THEN substr(value, 1, 11) || (CAST(substr(value, 12) AS INTEGER) + 1) "
            "ELSE max(value, excluded.value) END",
            (counter_of(what), f"{day} 1"),
        )

    def consume_scan(self, scan_id: int, used_by: str | None = None) -> None:
        """The scan belongs to the receipt with key `used_by`, or to none (replaced, cleared, too old)."""
        self._execute("UPDATE scans SET used = 1, used_by = ? WHERE id = ?", (used_by, scan_id))

    def drop_used_scans(self) -> bool:
        """Forgets some used scans; whether there were any. The newest stays, so that no id is given twice."""
        last = self._row(
            "SELECT max(id) FROM (SELECT id FROM scans WHERE used = 1 AND id < (SELECT max(id) FROM scans) "
            "ORDER BY id LIMIT ?)",
            (MAX_LISTED,),
        )
        if last[0] is None:
            return False
        self._execute("DELETE FROM scans WHERE used = 1 AND id <= ?", (last[0],))
        return True

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
