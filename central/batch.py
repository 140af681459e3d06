"""New entries on their way into the database: each is applied under its own savepoint, runs of plain sales together.

Owns that an entry which cannot be applied is quarantined alone and delays nothing behind it, and that it is stored
exactly as it was hashed, whatever became of it. Never judges what a receipt is worth, and never looks at the chain:
`central.ingest` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import structlog
from msgspec import UNSET, Struct
from msgspec.structs import replace
from sqlalchemy import Connection, update

from central import (
    cards,
    erasing,
    events,
    feed,
    folding,
    fresh,
    joining,
    ledger,
    receipts,
    redemptions,
    scopes,
)
from central.addressed import Addressed
from central.bodies import Body, Fault, Spending, Telling, kept_key, opened
from central.cards import CardError
from central.db import tables
from central.db.dialects import database_failed, give_way
from central.db.sets import insert_rows
from central.devices import Device, close_epoch, device_of, is_shared
from central.fresh import Books, FreshReceipt, Placed, Sale
from central.item_maps import Maps
from central.problems import EpochFencedError
from central.receipts import Seen
from central.stripping import Said, stripped
from sync.records import (
    AliasBody,
    AllowanceReturnBody,
    AttachBody,
    ConsentBody,
    CorrectBody,
    Entry,
    ErasedBody,
    JoinBody,
    ProfileBody,
    ReceiptBody,
    RedeemBody,
    ReleaseBody,
    SignalBody,
    wall_text,
)
from sync.wire import Outcome

# Why an entry waits that two machines might have sent.
ON_HOLD = "shared_identity"
# Why a person should look at a join that counts.
TWO_MEMBERS = "two_members"
_HELD = Seen(code="accepted", detail="on hold: two machines alternate under this identity; enrol one of them anew")

_log = structlog.get_logger(__name__)


class _New(Struct, frozen=True, kw_only=True):
    entry: Entry
    h: bytes
    body: Body | Fault
    of: str | None = None  # the erased member whom all that it tells is about


class _Taken(Struct, frozen=True, kw_only=True):
    entry: Entry
    h: bytes
    seen: Seen
    reason: str

    @property
    def is_for_a_person(self) -> bool:
        return self.seen.code == "quarantined" or self.seen is _HELD or self.seen.apart


class _ApartError(Exception):
    """One of the sales that were stored together is to be applied by itself."""


class TakenAgain(Struct, frozen=True, kw_only=True):
    """What becomes of an entry that was set aside, why it is set aside again, and as what it may be kept."""

    seen: Seen
    reason: str
    kept: Entry


def apply_again(connection: Connection, device: str, epoch: str, entry: Entry, now: datetime) -> TakenAgain:
    """Apply an entry that was set aside before, as if it came now. The caller folds those it touched."""
    return Batch(connection, device_of(connection, device), epoch, now).apply_again(entry)


class Batch:
    """The new entries of one request, on their way into the database."""

    def __init__(self, connection: Connection, device: Device, epoch: str, now: datetime) -> None:
        self._connection = connection
        self._device = device
        self._epoch = epoch
        self._now = now
        self._maps = Maps(connection)
        self._on_hold = is_shared(connection, device.id)
        self._addressed = Addressed(lambda: cards.code_key(connection))
        self._erased: dict[int, Entry] = {}  # what may be kept of entries about erased members, by number
        self._new: list[_New] = []
        self._plain: list[tuple[_New, FreshReceipt]] = []
        self._taken: list[_Taken] = []
        self._noted = 0  # how many of them the books were told of
        self._recorded = 0  # how many of them are stored as entries
        self._given: dict[
            str, list[dict[str, Any]]
        ] = {}  # rows of the ledger by member, where only sales in order came

    def add(self, entry: Entry, h: bytes) -> None:
        """A new entry whose place in the chain holds."""
        self._new.append(self._made(entry, h))

    def apply_again(self, entry: Entry) -> TakenAgain:
        """Apply an entry that was set aside before."""
        self.add(entry, b"")
        self._without_erased()
        self._take(self._new.pop())
        taken = self._taken.pop()
        return TakenAgain(seen=taken.seen, reason=taken.reason, kept=self._kept(taken.entry))

    def _made(self, entry: Entry, h: bytes) -> _New:
        """The entry with what it says, its lines as the maps have them; whatever goes wrong in it stays its own."""
        try:
            body = self._mapped(opened(entry))
        except Exception as error:  # a poison entry must not hold back the ones behind it
            if database_failed(error):
                raise  # nothing may be acknowledged
            body = self._poison(entry, error)
        return _New(entry=entry, h=h, body=body)

    def _mapped(self, body: Body | Fault) -> Body | Fault:
        if not isinstance(body, Fault):
            body = self._addressed.hidden(body)
        if isinstance(body, ReceiptBody):
            return replace(body, receipt=self._maps.mapped(body.receipt))
        if isinstance(body, CorrectBody):
            return replace(body, reading=replace(body.reading, receipt=self._maps.mapped(body.reading.receipt)))
        return body

    def _poison(self, entry: Entry, error: Exception) -> Fault:
        name = type(getattr(error, "orig", None) or error).__name__
        _log.warning("entry_not_applied", device=self._device.id, seq=entry.seq, kind=entry.kind, error=name)
        return Fault(reason="poison", detail=f"could not be applied ({name}); report this")

    def _take_all(self) -> None:
        """Apply the entries in their order: runs of plain receipts together, all others one by one."""
        self._without_erased()
        sales = [_sale(new.body, self._now) for new in self._new]
        if self._take_together(sales):
            return
        books: Books | None = None
        for index, (new, sale) in enumerate(zip(self._new, sales, strict=True)):
            if sale is not None:
                books = books or self._books(sales[index:])
                placed = _placed(books, sale)
                if placed is not None and (plain := _plain(books, placed)) is not None:
                    self._plain.append((new, plain))
                    continue
            self._flush(books)
            self._take(new)
            if isinstance(new.body, JoinBody | ProfileBody | AliasBody):
                books = None  # codes name others now than when they were opened
            elif books is not None:
                self._note(new, books)
        self._flush(books)

    def _take_together(self, sales: Sequence[Sale | None]) -> bool:
        """A batch of nothing but plain sales; False, and nothing of it is done, where it is another one.

        It is stored before its members are held: this takes the longest, and other batches wait for these.
        """
        some = [sale for sale in sales if sale is not None]
        if len(some) < len(sales):
            return False
        books = Books(self._connection, self._device.id, some, self._now)
        placed = [one for sale in some if (one := _placed(books, sale)) is not None]
        if len(placed) < len(some):
            return False
        try:
            with self._connection.begin_nested():
                fresh.store(self._connection, placed)
                rows = [
                    self._row(_Taken(entry=new.entry, h=new.h, seen=one.seen, reason=""))
                    for new, one in zip(self._new, placed, strict=True)
                ]
                insert_rows(self._connection, tables.entries, rows)
                books.hold(frozenset(one.stored.key for one in placed))
                taken = [(new, _plain(books, one)) for new, one in zip(self._new, placed, strict=True)]
                plain = [(new, one) for new, one in taken if one is not None]
                if len(plain) < len(taken):
                    raise _ApartError
                fresh.give(self._connection, [one for _, one in plain], books.states(), self._now)
        except _ApartError:
            give_way(self._connection)
            return False
        except Exception as error:  # found out by whom it is applied again, one by one
            if database_failed(error):
                raise
            give_way(self._connection)
            _log.warning("plain_receipts_not_kept", device=self._device.id, error=type(error).__name__)
            return False
        self._were_taken(plain)
        self._recorded = len(self._taken)
        return True

    def _books(self, sales: Iterable[Sale | None]) -> Books:
        """What these need to know; whom an entry before them touched is folded anew at the end."""
        some = [sale for sale in sales if sale is not None]
        books = Books(self._connection, self._device.id, some, self._now)
        books.hold()
        books.fold_anew(one for taken in self._taken for one in taken.seen.touched)
        self._noted = len(self._taken)
        return books

    def _note(self, new: _New, books: Books) -> None:
        """What an entry that was taken by itself means for those behind it."""
        books.fold_anew(one for taken in self._taken[self._noted :] for one in taken.seen.touched)
        self._noted = len(self._taken)
        books.kept_apart(new.body.receipt.key if isinstance(new.body, ReceiptBody) else None)
        if isinstance(new.body, ReceiptBody | AttachBody | RedeemBody):
            books.note(new.body)
        elif isinstance(new.body, CorrectBody):
            books.note(new.body.reading)

    def _without_erased(self) -> None:
        """What is about an erased member names nobody, and its body is not kept as it was sent."""
        came = [Said(entry=new.entry, body=new.body) for new in self._new]
        found = stripped(self._connection, self._addressed, came)
        self._erased |= found.kept
        self._new = [replace(new, body=said.body, of=said.of) for new, said in zip(self._new, found.said, strict=True)]

    def _kept(self, entry: Entry) -> Entry:
        """The entry as it may be set aside."""
        return self._erased.get(entry.seq, entry)

    def _hold(self) -> None:
        """Keep the new entries without effect; what would wait without a body is about nobody, and has none."""
        self._without_erased()
        for new in self._new:
            if new.entry.seq in self._erased and self._kept(new.entry).digest:
                self._take(new)
            else:
                self._taken.append(_Taken(entry=new.entry, h=new.h, seen=_HELD, reason=ON_HOLD))

    def _flush(self, books: Books | None) -> None:
        """Store the plain receipts so far; if that fails, each by itself, to find the one it is."""
        plain, self._plain = self._plain, []
        if books is None or not plain:
            return
        try:
            with self._connection.begin_nested():
                fresh.store(self._connection, [one.placed for _, one in plain])
                fresh.give(self._connection, [one for _, one in plain], books.states(), self._now)
        except Exception as error:  # found out below, where it is one entry's own
            if database_failed(error):
                raise
            give_way(self._connection)  # or another register's: the same receipt at the same moment
            _log.warning("plain_receipts_not_kept", device=self._device.id, error=type(error).__name__)
            books.fold_anew(one.seen.member for _, one in plain if one.seen.member is not None)
            for new, _ in plain:
                self._take(new)
        else:
            self._were_taken(plain)

    def _were_taken(self, plain: Sequence[tuple[_New, FreshReceipt]]) -> None:
        self._taken += [_Taken(entry=new.entry, h=new.h, seen=one.seen, reason="") for new, one in plain]
        for _, one in plain:
            if one.seen.moved and one.seen.member is not None:
                self._given.setdefault(one.seen.member, []).extend(one.ledger_rows)

    def _take(self, new: _New) -> None:
        """Apply one entry under a savepoint; whatever goes wrong in it stays its own."""
        entry = new.entry
        if not isinstance(new.body, Fault):
            give_way(self._connection)  # what it meets, or waits for, may be on its way in beside it
        try:
            with self._connection.begin_nested():
                seen, reason = self._apply(new)
        except Exception as error:  # a poison entry must not hold back the ones behind it
            if database_failed(error):
                raise  # nothing may be acknowledged
            fault = self._poison(entry, error)
            seen, reason = Seen(code="quarantined", detail=fault.detail), fault.reason
        self._taken.append(_Taken(entry=entry, h=new.h, seen=seen, reason=reason))

    def _apply(self, new: _New) -> tuple[Seen, str]:
        """What became of an entry, and the reason to show if it is quarantined."""
        connection, now = self._connection, self._now
        match new.body:
            case ReceiptBody():
                return receipts.see_receipt(connection, self._device.id, new.body, now), "identity"
            case AttachBody():
                receipts.note_attach(connection, new.entry.key, new.body)
                return receipts.attach(connection, self._epoch, new.entry, new.body), "member"
            case CorrectBody():
                return receipts.correct(connection, new.body, now), "correction"
            case SignalBody():
                return self._event(new.entry, new.body), ""
            case ErasedBody():
                return self._confirmed(new.body), "erasure"
            case JoinBody() | ProfileBody() | ConsentBody() | AliasBody():
                seen = self._told(new.entry, new.body, new.of)
                return seen, TWO_MEMBERS if seen.apart else "member"
            case RedeemBody() | ReleaseBody() | AllowanceReturnBody():
                return self._spending(new.entry, new.body), "redemption"
            case Fault():
                return Seen(code="quarantined", detail=new.body.detail), new.body.reason

    def _told(self, entry: Entry, body: Telling, of: str | None) -> Seen:
        """What a register tells of a member; what would take another's card is for a person."""
        connection, now = self._connection, self._now
        if of is not None:
            return joining.nobody(connection, entry, body, of, now)
        try:
            with connection.begin_nested():
                match body:
                    case JoinBody():
                        return joining.join(connection, self._device, entry, body, now)
                    case ProfileBody():
                        return joining.profile(connection, entry, body, now)
                    case ConsentBody():
                        return joining.consent(connection, self._device, entry, body, now)
                    case AliasBody():
                        return joining.alias(connection, entry, body, now)
        except CardError as error:
            return Seen(code="quarantined", detail=str(error))

    def _confirmed(self, body: ErasedBody) -> Seen:
        """A register holds nothing of an erased member any more."""
        first = erasing.confirm(self._connection, self._device.id, body.erasure, self._now)
        if first is None:
            return Seen(code="quarantined", detail="no erasure has this number here")
        return Seen(code="accepted" if first else "duplicate")

    def _spending(self, entry: Entry, body: Spending) -> Seen:
        """What a register says of points that are spent, or that it will not spend."""
        match body:
            case RedeemBody():
                return redemptions.redeem(self._connection, self._device, entry, body, self._now)
            case ReleaseBody():
                return redemptions.release(self._connection, self._device, body, self._now)
            case AllowanceReturnBody():
                return redemptions.take_return(self._connection, self._device, self._epoch, body, self._now)

    def _event(self, entry: Entry, body: SignalBody) -> Seen:
        """Something that a member did; what names nobody is kept as an entry alone."""
        if body.member is UNSET:
            return Seen(code="accepted")
        member = events.record(
            self._connection,
            key=entry.key,
            what=body.what,
            code=body.member.code,
            at=entry.wall,
            device=self._device.id,
            now=self._now,
        )
        return Seen(code="accepted", member=member, touched=frozenset({member} if member is not None else ()))

    def keep(self) -> list[tuple[Outcome, str | None]]:
        """Apply and store the new entries, and note whose feed rows they change; returns their outcomes."""
        if not self._new:
            return []
        if self._on_hold:
            self._hold()
        else:
            self._take_all()
        gone = set[str]().union(*(one.seen.gone for one in self._taken))
        touched = {member for one in self._taken for member in one.seen.touched}
        anew = folding.fold_anew(self._connection, touched - gone, self._now)
        moved = sorted(anew.union(*(one.seen.moved for one in self._taken)) - gone)
        set_aside = set[str]().union(*(one.seen.set_aside for one in self._taken)) - gone
        changed = set_aside.union(moved, *(one.seen.changed for one in self._taken))
        plain = {member: rows for member, rows in self._given.items() if member not in anew | set_aside | gone}
        ledger.advance_balances(self._connection, plain, self._now)
        ledger.refresh_balances(self._connection, [member for member in moved if member not in plain], self._now)
        only_aside = sorted(set_aside.difference(moved))
        ledger.refresh_balances(self._connection, only_aside, self._now, to_be_planned=False)
        feed.note_changes(self._connection, sorted(changed), self._now)
        shown = {one.seen.member for one in self._taken if one.seen.member is not None} - gone
        scopes.seen(self._connection, self._device.store, shown, self._now)
        insert_rows(self._connection, tables.entries, [self._row(one) for one in self._taken[self._recorded :]])
        self._set_aside([one for one in self._taken if one.is_for_a_person])
        return [(outcome_of(one.entry.seq, one.seen.code, one.seen.detail), one.seen.member) for one in self._taken]

    def fork(self, entries: tuple[Entry, ...], detail: str) -> EpochFencedError:
        """Set the other history aside, where people see it, and fence the epoch.

        The register opens a new one and sends what is unacknowledged again under the same keys, so
        nothing is lost by setting these aside and nothing counts twice.
        """
        _log.warning("fork_found", device=self._device.id, epoch=self._epoch)
        seen = Seen(code="quarantined", detail=detail)
        self._new = [self._made(entry, b"") for entry in entries]
        self._without_erased()
        self._set_aside([_Taken(entry=entry, h=b"", seen=seen, reason="fork") for entry in entries])
        epochs = tables.epochs
        self._connection.execute(update(epochs).where(epochs.c.epoch == self._epoch).values(note=f"fork: {detail}"))
        close_epoch(self._connection, self._device, self._now)
        return EpochFencedError(
            f"{detail}: a restored backup or a clone; open a new epoch with POST /v1/epochs "
            "and send what is unacknowledged again"
        )

    def _row(self, one: _Taken) -> dict[str, Any]:
        erased = one.entry.seq in self._erased
        return {
            "epoch": self._epoch,
            "seq": one.entry.seq,
            "device": self._device.id,
            "key": kept_key(one.entry.key),
            "kind": one.entry.kind,
            "hlc": one.entry.hlc,
            "wall": wall_text(one.entry.wall),
            "salt": "" if erased else one.entry.salt or "",
            "body": b"" if erased else one.entry.json,
            "digest": one.entry.body_digest.hex() if erased or one.entry.digest else None,
            "h": one.h.hex(),
            "code": one.seen.code,
            "detail": one.seen.detail or None,
            "member": one.seen.member,
            "received_at": self._now,
        }

    def _set_aside(self, ones: list[_Taken]) -> None:
        if not ones:
            return
        rows = [
            {
                "device": self._device.id,
                "epoch": self._epoch,
                "seq": one.entry.seq,
                "key": kept_key(one.entry.key),
                "kind": one.entry.kind,
                "reason": one.reason,
                "detail": one.seen.detail,
                "raw": msgspec.json.encode(self._kept(one.entry)),
                "received_at": self._now,
            }
            for one in ones
        ]
        insert_rows(self._connection, tables.quarantine, rows)


def _sale(body: Body | Fault, now: datetime) -> Sale | None:
    try:
        return fresh.sale_of(body, now) if isinstance(body, ReceiptBody) else None
    except Exception:  # noqa: BLE001 - applied by itself instead, where it is set aside with its reason
        return None


def _placed(books: Books, sale: Sale) -> Placed | None:
    try:
        return books.placed(sale)
    except Exception:  # noqa: BLE001 - applied by itself instead, where it is set aside with its reason
        return None


def _plain(books: Books, placed: Placed) -> FreshReceipt | None:
    try:
        return books.fresh(placed)
    except Exception:  # noqa: BLE001 - applied by itself instead, where it is set aside with its reason
        return None


def outcome_of(seq: int, code: Any, detail: str | None) -> Outcome:
    return Outcome(seq=seq, code=code, detail=detail or UNSET)
