"""Reads: direct and indexed, on whatever connection they are given.

Owns every SELECT but the writer's own. Never writes. A member's balance is the feed's row plus the own
claims that the row does not show yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Raw
from msgspec.structs import replace

from loyalty.addresses import address_code, codes_as_typed
from loyalty.identification import MemberKind, normal_code
from loyalty.instant import Instant
from loyalty.ledger import LedgerEntry
from loyalty.member import Balance, Member
from loyalty.names import shown_name
from loyalty.receipt import AwareDatetime, Receipt
from sync.records import Entry, chain_next, chain_start
from sync.store.errors import NoEpochError, UnknownEntryError
from sync.store.overlay import Edit, laid_over
from sync.store.packing import unpacked
from sync.store.rows import (
    AnsweredCall,
    ChainPoint,
    Counted,
    EntryState,
    EpochState,
    FeedState,
    KeptItem,
    KeptScan,
    Quarantined,
    QueuedEntry,
    SourcePosition,
    StoredReceipt,
)
from sync.store.schema import READABLE_FROM
from sync.turns import pieces
from sync.wire import MAX_ENTRIES, IngestRequest, SignedProgram

if TYPE_CHECKING:
    from sqlite3 import Connection

Parameters = Sequence[object] | Mapping[str, object]

# After every code that there can be.
_AFTER_ALL = "\U0010ffff"
# One page of a listing.
MAX_LISTED = 1000
# Own receipts of one member that the centre has not told of yet, as many as are looked at for the next: days offline.
MAX_UNCONFIRMED = 200
# Scans that wait for a receipt: a long day of a busy till whose receipts are held up.
MAX_UNUSED_SCANS = 1_000
# Marks kept of one source: more than a folder may hold files.
MAX_SOURCE_MARKS = 20_000
# What an item of the quarantine takes besides its bytes.
ITEM_BYTES = 512
# Bodies of one ingest request, which may hold 16 MiB with all that is around them.
MAX_BATCH_BYTES = 4 * 1024 * 1024

# Codes of a snapshot that are put where they belong, or let go of, in one transaction.
RANGE_CODES = 20_000
# The codes of one in so many members are looked at, to find how all lie.
_SAMPLED = 128

# Which member a code names where two kinds share it.
_KIND_ORDER: tuple[MemberKind, ...] = ("card", "wallet", "nfc", "phone", "email")

_ADDRESSES: frozenset[MemberKind] = frozenset({"phone", "email"})
# The live epoch, where what it counts is of no use any more.
EPOCH_VOID = "epoch_void"
# How points of a claim were spent: out of an allowance, or by the balance that was shown.
DRAWN, BY_BALANCE = 1, 2
# Where the key of codes is kept.
CODE_KEY = "code-key"
# Where people join by telephone, as the centre said last; empty where they cannot.
JOIN_URL = "join-url"
# Where a code has to be appended for points to be asked for by telephone; empty where they cannot.
PHONE_URL = "phone-url"

_member = msgspec.json.Decoder(Member)
_edit = msgspec.json.Decoder(Edit)
_receipt = msgspec.json.Decoder(Receipt)
_claims = msgspec.json.Decoder(tuple[LedgerEntry, ...])
_instant = msgspec.json.Decoder(Instant)

_SAMPLE = "SELECT code FROM run_codes WHERE member % ? = 0"
# Codes are in the index, or in runs for as long as a snapshot comes in (`sync.store.code_rows`); a while in both.
_NAMED = """(
SELECT kind, member FROM identifiers WHERE {0}
UNION ALL
SELECT c.kind, c.member FROM runs r CROSS JOIN run_codes c ON c.run = r.first WHERE {0})"""
_BY_CODE = f"""
SELECT i.kind, m.member, m.pos, m.row, CASE WHEN m.covered THEN (SELECT as_of FROM feed) END
FROM {_NAMED.format("code = ?1")} i JOIN members m ON m.id = i.member ORDER BY m.pos DESC"""  # noqa: S608 - ours
_BY_START = f"""
SELECT DISTINCT m.member FROM {_NAMED.format("code >= ?1 AND code < ?2")} i CROSS JOIN members m ON m.id = i.member
LIMIT ?3"""  # noqa: S608 - ours
_BY_ID = """
SELECT '', member, pos, row, CASE WHEN covered THEN (SELECT as_of FROM feed) END
FROM members WHERE member = ? AND row IS NOT NULL"""
_RECEIPT = """
SELECT r.id, r.member, r.captured, r.claims, r.body FROM receipt_keys k JOIN receipts r ON r.id = k.receipt
WHERE k.key = ?"""
_RECEIPT_BY_NUMBER = "SELECT id, member, captured, claims, body FROM receipts WHERE number = ? LIMIT 2"
_LAST_RECEIPTS = "SELECT id, member, captured, claims, body FROM receipts ORDER BY id DESC LIMIT ?"
_ENTRY = "SELECT number, key, kind, hlc, wall, salt, body FROM entries"

_QUEUED = """
SELECT e.number, e.key, e.kind, e.wall, length(e.body), o.code, o.pos, o.detail
FROM entries e LEFT JOIN outcomes o ON o.number = e.number
WHERE e.number > :after AND """
_STATES: dict[EntryState | None, str] = {
    None: "TRUE",
    "pending": "e.number > :settled",
    "acknowledged": "e.number <= :settled AND coalesce(o.code, '') NOT IN ('quarantined', 'requeued')",
    "quarantined": "o.code = 'quarantined'",
    "requeued": "o.code = 'requeued'",
}
_QUEUE = {state: f"{_QUEUED} {condition} ORDER BY e.number LIMIT :limit" for state, condition in _STATES.items()}


def counter_of(what: Counted) -> str:
    """The name under which a counter of today is kept, as `2026-11-22 17`."""
    return f"today:{what}"


def moment(text: str) -> datetime:
    """The wall time written as `text` by the store."""
    return msgspec.convert(text, AwareDatetime)


# A reward asks for it several times.
_LIVE_EPOCH = """
SELECT epoch FROM (SELECT epoch FROM epochs ORDER BY id DESC LIMIT 1)
WHERE epoch IS NOT (SELECT value FROM meta WHERE name = ?)"""


class Reading:
    """Reads of one connection. `clock` tells which claims are still pending; `walked` a known place in the chain."""

    def __init__(self, connection: Connection, clock: Callable[[], datetime], walked: ChainPoint | None = None) -> None:
        self._connection = connection
        self._clock = clock
        self._walked = walked

    @property
    def walked(self) -> ChainPoint | None:
        """How far the chain was walked last."""
        return self._walked

    def _rows(self, sql: str, parameters: Parameters = ()) -> list[Any]:
        return self._connection.execute(sql, parameters).fetchall()

    def _row(self, sql: str, parameters: Parameters = ()) -> Any:
        """The first row or None; the statement is done with, so it holds no read transaction open."""
        found = self._rows(sql, parameters)
        return found[0] if found else None

    # Members

    def member_by_code(self, code: str) -> Member | None:
        """The member that a scanned or typed `code` names, with the balance to show. Any spelling of the code.

        A telephone number or e-mail address names its member, too.
        """
        found = self._rows(_BY_CODE, (normal_code(code),))
        key = self.code_key() if not found else None
        for typed in codes_as_typed(code, key)[1:] if key is not None else ():
            found = found or self._rows(_BY_CODE, (typed,))
        if not found:
            return None
        if len(found) > 1:
            # The newest row of each kind counts; among kinds, the one a till meets most.
            found.sort(key=lambda row: _KIND_ORDER.index(row[0]))
        return self._shown(found[0])

    def code_key(self) -> str | None:
        """The centre's key of codes that are made of telephone numbers and addresses; None before it was heard of."""
        return self.meta(CODE_KEY)

    def join_url(self) -> str:
        """Where people join by telephone; empty where they cannot."""
        return self.meta(JOIN_URL) or ""

    def phone_url(self) -> str:
        """Where points are asked for by telephone, once a code is appended; empty where they cannot."""
        return self.meta(PHONE_URL) or ""

    def hidden(self, kind: MemberKind, code: str) -> str:
        """A code as it is kept: of a telephone number or address, one that is made of it under the centre's key.

        One that is met before the centre was heard of stays what it is.
        """
        if kind not in _ADDRESSES or (key := self.code_key()) is None:
            return code
        return address_code(kind, code, key) or code

    def member(self, member: str) -> Member | None:
        """The member with the centre's id `member`, with the balance to show."""
        row = self._row(_BY_ID, (member,))
        return self._shown(row) if row else None

    def member_pos(self, member: str) -> int | None:
        """Feed position of the row held of `member`."""
        row = self._row("SELECT pos FROM members WHERE member = ? AND row IS NOT NULL", (member,))
        return int(row[0]) if row else None

    def find_members(self, text: str, limit: int = 20) -> tuple[Member, ...]:
        """Members one of whose codes starts with `text`."""
        start = normal_code(text)
        if not start:
            return ()
        rows = self._rows(
            _BY_START,
            (start, start + _AFTER_ALL, min(limit, MAX_LISTED)),
        )
        found = (self.member(row[0]) for row in rows)
        return tuple(member for member in found if member is not None)

    def count_members(self) -> int:
        """Members held. Reads the whole index: not for a hot path."""
        return int(self._row("SELECT count(*) FROM members WHERE row IS NOT NULL")[0])

    def code_ranges(self) -> list[tuple[str, str]]:
        """Ranges of the codes that stand in runs, each after its first and up to its second; of RANGE_CODES, about.

        Reads them all: not for a hot path.
        """
        codes = self._row("SELECT total(size) FROM runs")[0]
        if not codes:
            return []
        sampled = sorted(code for (code,) in self._rows(_SAMPLE, (_SAMPLED,)))
        each = max(1, round(len(sampled) * RANGE_CODES / codes))
        return list(pairwise(("", *dict.fromkeys(sampled[each::each]), _AFTER_ALL)))

    def _shown(self, row: Any) -> Member:
        _, member_id, _, body, as_of = row
        member = _member.decode(body)
        edits = self._rows("SELECT edit FROM edits WHERE member = ? ORDER BY id", (member_id,))
        if edits:
            member = laid_over(member, (_edit.decode(edit) for (edit,) in edits))
        if member.short_name and (name := shown_name(member.short_name)) != member.short_name:
            member = replace(member, short_name=name or UNSET)  # whatever the feed brought
        claims = self._rows("SELECT points, pending_until, spent FROM claims WHERE member = ?", (member_id,))
        held = self._points_held(member_id)
        if not claims and not held and as_of is None:
            return member
        if as_of is not None:
            fed = moment(as_of)
            # A row asked for by itself may be newer than the feed.
            as_of = fed if member.as_of is UNSET else max(fed, member.as_of)
        else:
            as_of = member.as_of
        return replace(
            member,
            as_of=as_of,
            balance=self._with_claims(member.balance, claims, held) if claims or held else member.balance,
        )

    def points_elsewhere(self, member: Member) -> int:
        """Of a member's points what other registers hold, at most: the centre alone knows."""
        spent = self._row(
            "SELECT coalesce(sum(points), 0) FROM claims WHERE member = ? AND spent <> 0", (member.member,)
        )
        return max(0, member.balance.confirmed + int(spent[0]) - member.balance.spendable)

    def is_short(self, member: str) -> bool:
        """Whether points that are set aside may be gone: by the member's row there are fewer, or what was brought back
        here is not in it yet.
        """
        row = self._row(_BY_ID, (member,))
        if row is not None and _member.decode(row[3]).balance.spendable < 0:
            return True
        claims = self._rows("SELECT points, pending_until FROM claims WHERE member = ? AND spent = 0", (member,))
        return self._due(claims) < 0

    def _due(self, claims: Iterable[tuple[int, str | None]]) -> int:
        """What of own claims is no more pending."""
        now = self._clock()
        return sum(points for points, until in claims if until is None or moment(until) <= now)

    def _points_held(self, member: str) -> int:
        """What is left of the member's allowances here, which the row tells as set aside."""
        rows = self._rows(
            "SELECT epoch, points - used FROM allowances WHERE member = ? AND returned IS NULL AND voucher IS NULL",
            (member,),
        )
        live = self.live_epoch_id() if rows else ""
        return sum(left for epoch, left in rows if epoch == live)

    def live_epoch_id(self) -> str:
        """The epoch whose allowances count; empty where there is none, or it is to be left."""
        row = self._row(_LIVE_EPOCH, (EPOCH_VOID,))
        return row[0] if row else ""

    def _with_claims(self, balance: Balance, claims: Iterable[tuple[int, str | None, int]], held: int) -> Balance:
        """Own claims are pending until the centre confirms them; points taken back are not promised any more.

        What was spent here, or is reserved for a sale, comes off what may be spent: off what is `held` it came already.
        A row may not tell yet what was set aside, so that what is confirmed bounds it all.
        """
        claimed = drawn = by_balance = 0
        own = []
        for points, pending_until, spent in claims:
            if spent == DRAWN:
                drawn += points
            elif spent:
                by_balance += points
            else:
                claimed += points
                own.append((points, pending_until))
        due = self._due(own)
        spendable = balance.spendable + min(0, due) + by_balance
        if held or drawn:
            spendable = min(spendable + held, balance.confirmed + min(0, due) + by_balance + drawn)
        return Balance(confirmed=balance.confirmed, pending=balance.pending + claimed, spendable=spendable)

    # Receipts

    def known_receipt(self, keys: Iterable[str]) -> StoredReceipt | None:
        """The receipt stored under the first known of `keys`."""
        found = self.known_receipts(keys)
        return found[0] if found else None

    def known_receipts(self, keys: Iterable[str]) -> tuple[StoredReceipt, ...]:
        """Each receipt stored under any of `keys`, once. More than one means that they contradict one another."""
        rows = (self._row(_RECEIPT, (key,)) for key in keys)
        found = {row[0]: row for row in rows if row}
        return tuple(self._stored(row) for row in found.values())

    def unconfirmed_receipts(self, member: str) -> tuple[StoredReceipt, ...]:
        """Receipts whose claims the feed has not covered yet, in the order they were booked; the newest at most."""
        keys = self._rows(
            "SELECT key FROM claims WHERE member = ? AND spent = 0 GROUP BY key ORDER BY max(rowid) DESC LIMIT ?",
            (member, MAX_UNCONFIRMED),
        )
        return self.known_receipts(row[0] for row in reversed(keys))

    def receipt_page(self, after: int, limit: int) -> list[tuple[int, str | None, Receipt]]:
        """Receipts with a row id beyond `after`, with whose they are, in the order in which they were kept."""
        rows = self._rows("SELECT id, member, body FROM receipts WHERE id > ? ORDER BY id LIMIT ?", (after, limit))
        return [(row_id, member, _receipt.decode(unpacked(body))) for row_id, member, body in rows]

    def last_receipts(self, limit: int) -> tuple[StoredReceipt, ...]:
        """Those that were kept last, the newest first."""
        return tuple(self._stored(row) for row in self._rows(_LAST_RECEIPTS, (limit,)))

    def receipt_by_number(self, number: str) -> StoredReceipt | None:
        """The receipt with this printed number; None where it is absent or not the only one."""
        rows = self._rows(_RECEIPT_BY_NUMBER, (number,))
        return self._stored(rows[0]) if len(rows) == 1 else None

    def _stored(self, row: Any) -> StoredReceipt:
        row_id, member, captured, claims, body = row
        returns = self._rows("SELECT claims, body FROM receipts WHERE original = ? ORDER BY id", (row_id,))
        return StoredReceipt(
            receipt=_receipt.decode(unpacked(body)),
            member=member,
            claims=_claims.decode(claims),
            reversed=tuple(entry for taken, _ in returns for entry in _claims.decode(taken)),
            returns=tuple(_receipt.decode(unpacked(given_back)) for _, given_back in returns),
            captured=_instant.decode(captured),
        )

    # Scans, spools, quarantine, programs

    def unused_scans(self) -> tuple[KeptScan, ...]:
        """Scans that belong to no receipt yet, in the order they were kept."""
        rows = self._rows(
            "SELECT id, code, kind, entry, member, at, reader FROM scans WHERE used = 0 ORDER BY id DESC LIMIT ?",
            (MAX_UNUSED_SCANS,),
        )
        return tuple(_scan(row) for row in reversed(rows))

    def spool_position(self, source: str) -> SourcePosition | None:
        """How far the spool `source` was read; None where it never was."""
        row = self._row('SELECT segment, "offset" FROM spools WHERE source = ?', (source,))
        return SourcePosition(segment=row[0], offset=row[1]) if row else None

    def source_marks(self, source: str) -> dict[str, str]:
        """What `source` need not give again, by name."""
        rows = self._rows(
            "SELECT name, mark FROM source_marks WHERE source = ? ORDER BY id DESC LIMIT ?", (source, MAX_SOURCE_MARKS)
        )
        return dict(rows)

    def answered_call(self, source: str, call: str) -> AnsweredCall | None:
        """What the call with this name was answered the first time; None where it never was."""
        row = self._row("SELECT digest, answer FROM answered_calls WHERE source = ? AND call = ?", (source, call))
        return AnsweredCall(digest=row[0], answer=unpacked(bytes(row[1]))) if row else None

    def count_waiting(self) -> int:
        """Receipts of further sources that wait for their partners."""
        return int(self._row("SELECT count(*) FROM waiting")[0])

    def counted_on(self, what: Counted, day: date) -> int:
        """How many of `what` there were on the newest day that had any, if it is this one."""
        counted_day, _, count = (self.meta(counter_of(what)) or "").partition(" ")
        return int(count) if counted_day == day.isoformat() else 0

    def quarantined(self, limit: int = MAX_LISTED, after: int = 0) -> tuple[Quarantined, ...]:
        """What waits for a person, with an id beyond `after`, oldest first."""
        rows = self._rows(
            "SELECT id, source, reason, detail, at, size, receipt FROM quarantine WHERE resolved_at IS NULL "
            "AND id > ? ORDER BY id LIMIT ?",
            (after, min(limit, MAX_LISTED)),
        )
        return tuple(_quarantined(row) for row in rows)

    def quarantined_raw(self, quarantine_id: int, first: int = -1) -> bytes | None:
        """The bytes that were quarantined, exactly; only the `first` so many if it is given."""
        column = "raw" if first < 0 else "substr(raw, 1, ?)"
        bound = () if first < 0 else (first,)
        row = self._row(f"SELECT {column} FROM quarantine WHERE id = ?", (*bound, quarantine_id))  # noqa: S608 - ours
        return bytes(row[0] or b"") if row else None  # of no bytes SQLite cuts NULL

    def kept_item(self, quarantine_id: int) -> KeptItem | None:
        """One item of the quarantine, open or resolved."""
        row = self._row(
            "SELECT id, source, reason, detail, at, size, receipt, raw, captured, resolved_at, resolved_as, note "
            "FROM quarantine WHERE id = ?",
            (quarantine_id,),
        )
        if row is None:
            return None
        item, (raw, captured, resolved_at, resolved_as, note) = _quarantined(row), row[7:]
        return KeptItem(
            item=item,
            raw=bytes(raw),
            # One of an earlier version of the program has its wall time only.
            captured=_instant.decode(captured) if captured else Instant(wall=item.at, boot="", monotonic_ns=0),
            resolved_at=moment(resolved_at) if resolved_at else None,
            resolved_as=resolved_as,
            note=note,
        )

    def not_read_with(self, read_with: str, limit: int) -> tuple[int, ...]:
        """Open items that were last read by something else than `read_with` names, oldest first."""
        rows = self._rows(
            "SELECT id FROM quarantine WHERE resolved_at IS NULL AND read_with IS NOT ? ORDER BY id LIMIT ?",
            (read_with, limit),
        )
        return tuple(row[0] for row in rows)

    def quarantine_reasons(self) -> dict[str, int]:
        """How many open items there are by reason."""
        return dict(self._rows("SELECT reason, count(*) FROM quarantine WHERE resolved_at IS NULL GROUP BY reason"))

    def quarantine_bytes(self) -> int:
        """What the quarantine takes, resolved items too."""
        return int(self._row("SELECT coalesce(sum(size), 0) + count(*) * ? FROM quarantine", (ITEM_BYTES,))[0])

    def held_programs(self) -> frozenset[str]:
        """The content hashes of the programs that are kept; `sync.programs` says which is in force."""
        return frozenset(row[0] for row in self._rows("SELECT hash FROM programs"))

    def program(self, content_hash: str) -> SignedProgram | None:
        """The program with this content hash."""
        row = self._row("SELECT hash, program, signature FROM programs WHERE hash = ?", (content_hash,))
        return SignedProgram(hash=row[0], program=row[1], signature=row[2]) if row else None

    def meta(self, name: str) -> str | None:
        """A fact about the register itself, kept by `Writing.set_meta`."""
        row = self._row("SELECT value FROM meta WHERE name = ?", (name,))
        return str(row[0]) if row else None

    # Outbox

    def feed(self) -> FeedState:
        row = self._row("SELECT position, as_of, centre_epoch, scope FROM feed")
        return FeedState(position=row[0], as_of=moment(row[1]) if row[1] else None, centre_epoch=row[2], scope=row[3])

    def epoch(self) -> EpochState | None:
        """The live epoch, None before the first."""
        row = self._live_epoch()
        if row is None:
            return None
        return EpochState(
            epoch=row[0],
            device=row[1],
            acked_through=row[3],
            chain_hash=bytes(row[4]).hex(),
            last_seq=self.last_number() - row[2],
        )

    def next_batch(self, limit: int = MAX_ENTRIES, limit_bytes: int = MAX_BATCH_BYTES) -> IngestRequest | None:
        """The oldest entries the centre has not acknowledged, at most `limit_bytes` of bodies (or one entry).

        None where nothing waits or no epoch is open.
        """
        live = self._live_epoch()
        if live is None:
            return None
        epoch, device, base, acked, chain_hash = live
        entries = self._entries_after(base + acked, limit, base, limit_bytes)
        if not entries:
            return None
        return IngestRequest(
            device=device,
            epoch=epoch,
            first_seq=acked + 1,
            prev_hash=bytes(chain_hash).hex(),
            entries=tuple(entries),
        )

    def batch_from(self, first_seq: int, limit: int = MAX_ENTRIES) -> IngestRequest | None:
        """`next_batch`, but from `first_seq` on: entries that were acknowledged, for a centre that lost them.

        The chain before them is walked from where the last call got to, else from the start of the epoch. None where
        not all of them are kept.
        """
        live = self._live_epoch()
        if live is None or first_seq > live[3]:
            return self.next_batch(limit)
        epoch, device, base, _, _ = live
        walked_from = base + self._walked_before(first_seq - 1, live).seq + 1
        if walked_from < self.kept_from() or walked_from <= int(self.meta("rewritten_through") or 0):
            return None
        before = self.walk(first_seq - 1)
        entries = self._entries_after(base + first_seq - 1, limit, base, MAX_BATCH_BYTES)
        return IngestRequest(
            device=device, epoch=epoch, first_seq=first_seq, prev_hash=before.hash.hex(), entries=tuple(entries)
        )

    def steps_to(self, seq: int) -> int:
        """How many entries `walk(seq)` would read."""
        live = self._live_epoch()
        return max(0, seq - self._walked_before(seq, live).seq) if live else 0

    def walk(self, seq: int) -> ChainPoint:
        """The chain of the live epoch at `seq`, or at its end, if that comes first. Raises NoEpochError."""
        live = self._live_epoch()
        if live is None:
            raise NoEpochError("nothing was sent yet; open an epoch first")
        known = self._walked_before(seq, live)
        reached, chain_hash = known.seq, known.hash
        while some := self._entries_after(live[2] + reached, min(MAX_LISTED, seq - reached), live[2]):
            for entry in some:
                chain_hash = chain_next(chain_hash, entry)
            reached += len(some)
        self._walked = ChainPoint(epoch=live[0], seq=reached, hash=chain_hash)
        return self._walked

    def _walked_before(self, seq: int, live: Any) -> ChainPoint:
        epoch, device, *_ = live
        if self._walked is not None and self._walked.epoch == epoch and self._walked.seq <= seq:
            return self._walked
        return ChainPoint(epoch=epoch, seq=0, hash=chain_start(device, epoch))

    def queue(
        self, *, state: EntryState | None = None, after: int = 0, limit: int = MAX_LISTED
    ) -> tuple[QueuedEntry, ...]:
        """Entries with a number beyond `after`, oldest first; of one `state` only, if given."""
        settled = self.settled_through()
        base = self.base()
        rows = self._rows(_QUEUE[state], {"after": after, "settled": settled, "limit": min(limit, MAX_LISTED)})
        return tuple(
            QueuedEntry(
                number=row[0],
                seq=row[0] - base if row[0] > base else None,
                key=row[1],
                kind=row[2],
                wall=moment(row[3]),
                state=_state(row[0] <= settled, row[5]),
                pos=row[6],
                detail=row[7],
                size=row[4],
            )
            for row in rows
        )

    def entry(self, number: int) -> Entry:
        """One entry with its body. Raises UnknownEntryError."""
        found = self._entries_after(number - 1, 1, self.base())
        if not found or found[0].seq != number - self.base():
            raise UnknownEntryError(f"there is no entry {number}; `tillside queue list` shows them")
        return found[0]

    def kept_from(self) -> int:
        """The first number from which on every entry is kept."""
        return int(self.meta("shed_through") or 0) + 1

    def readable_from(self) -> int:
        """How many migrations of the store a program has to know to go on with it."""
        return int(self.meta(READABLE_FROM) or self._row("PRAGMA user_version")[0])

    def queued(self) -> int:
        """Entries that the centre has not acknowledged."""
        return self.last_number() - self.settled_through()

    def oldest_queued_at(self) -> datetime | None:
        row = self._row("SELECT wall FROM entries WHERE number = ?", (self.settled_through() + 1,))
        return moment(row[0]) if row else None

    def count_quarantined(self) -> int:
        """What waits for a person: kept here, or refused by the centre."""
        row = self._row(
            "SELECT (SELECT count(*) FROM quarantine WHERE resolved_at IS NULL)"
            " + (SELECT count(*) FROM outcomes WHERE code = 'quarantined')"
        )
        return int(row[0])

    def last_number(self) -> int:
        """The number of the newest entry, 0 before the first."""
        return int(self._row("SELECT coalesce(max(number), 0) FROM entries")[0])

    def _live_epoch(self) -> Any:
        return self._row("SELECT epoch, device, base, acked, hash FROM epochs ORDER BY id DESC LIMIT 1")

    def base(self) -> int:
        """What the live epoch's `seq` is counted from: seq = number − base."""
        live = self._live_epoch()
        return int(live[2]) if live else 0

    def settled_through(self) -> int:
        """The greatest number that the centre acknowledged."""
        live = self._live_epoch()
        return int(live[2] + live[3]) if live else 0

    def _entries_after(self, number: int, limit: int, base: int, limit_bytes: int | None = None) -> list[Entry]:
        """At most `limit`, whose bodies have at most `limit_bytes` where that is given; but one, if there is one."""
        entries: list[Entry] = []
        total = 0
        for piece in pieces(limit):
            rows = self._rows(f"{_ENTRY} WHERE number > ? ORDER BY number LIMIT ?", (number, len(piece)))
            for row in rows:
                body = unpacked(row[6])
                total += len(body)
                if limit_bytes is not None and total > limit_bytes and entries:
                    return entries
                entries.append(_entry(row, body, base))
            if len(rows) < len(piece):
                break
            number = rows[-1][0]
        return entries


def _entry(row: Any, body: bytes, base: int) -> Entry:
    return Entry(
        seq=row[0] - base, key=row[1], kind=row[2], hlc=row[3], wall=moment(row[4]), salt=row[5], body=Raw(body)
    )


def _scan(row: Any) -> KeptScan:
    return KeptScan(
        id=row[0], code=row[1], kind=row[2], entry=row[3], member=row[4], at=_instant.decode(row[5]), reader=row[6]
    )


def _quarantined(row: Any) -> Quarantined:
    return Quarantined(
        id=row[0], source=row[1], reason=row[2], detail=row[3], at=moment(row[4]), size=row[5], receipt=row[6]
    )


def _state(settled: bool, code: str | None) -> EntryState:
    if not settled:
        return "pending"
    if code == "quarantined":
        return "quarantined"
    return "requeued" if code == "requeued" else "acknowledged"
