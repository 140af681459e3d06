"""The common receipt, many at once: a sale that nobody has seen and nothing waits for.

Owns doing in a few statements for a whole batch what `central.receipts` does for one receipt at a time, and going on
from a member's state where the sale comes in its order (`central.folding` folds the others anew). Whatever is not plain
(seen before, a return, attached beforehand, no program yet) is left to the other; both must come to the same, and a
test holds them to that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from msgspec import UNSET, Struct
from msgspec.structs import replace
from sqlalchemy import Connection, select

from central import (
    cards,
    ledger,
    limits,
    members,
    originals,
    programs,
    receipts,
    stamp_cards,
    states,
    unmapped,
    variances,
)
from central.cards import Holder
from central.db import tables
from central.db.sets import among, insert_rows
from central.devices import enrolled_at
from central.plausible import implausible
from central.receipts import Seen
from central.states import Carried
from central.stored import StoredReceipt
from central.unmapped import Counted
from central.variances import Compared, compared
from loyalty.canonical import Holding, Position, facts_at, position_of
from loyalty.evaluate import TooManyPointsError, earned, earns
from loyalty.exchange import parts_of
from loyalty.fold import Fold, honoured
from loyalty.history import Facts, Scope, scope_of
from loyalty.identification import normal_code
from loyalty.identity import identity_keys
from loyalty.ledger import LedgerEntry
from loyalty.member import MemberState
from loyalty.program import Program
from loyalty.purchase import Known, Purchase
from loyalty.receipt import Receipt
from loyalty.schedule import in_force_at
from sync.records import AttachBody, ReceiptBody, RedeemBody


class Sale(Struct, frozen=True, kw_only=True):
    """A receipt that came, and what can be said of it before others are kept from its member."""

    body: ReceiptBody
    keys: tuple[str, ...]
    names: frozenset[str]
    position: Position
    facts: dict[str, Any]
    counted: tuple[Counted, ...]


def sale_of(body: ReceiptBody, now: datetime) -> Sale:
    """Raises whatever is wrong with the receipt; then it is to be applied by itself, where it is set aside."""
    receipt = body.receipt
    return Sale(
        body=body,
        keys=identity_keys(receipt),
        names=frozenset(originals.names_of(receipt)),
        position=position_of(receipt, now),
        facts=receipts.facts_of(receipt),
        counted=unmapped.counted_of(receipt),
    )


class Placed(Struct, frozen=True, kw_only=True):
    """A receipt to be stored and what its register hears of it; what it gives hangs on where its member stands."""

    sale: Sale
    stored: StoredReceipt
    holding: Holding
    seen: Seen


class FreshReceipt(Struct, frozen=True, kw_only=True):
    """A receipt that is placed, its evaluation, and whom it moved."""

    placed: Placed
    ledger_rows: tuple[dict[str, Any], ...]
    variance: Compared | None
    seen: Seen


class _Going(Struct, kw_only=True):
    """A member whose sales are folded one after the other; without `fold` all of theirs are to be folded anew.

    `last` is the position of the newest, `period` when its program began to hold.
    """

    fold: Fold | None
    last: Position | None
    period: str
    program: Program | None = None

    def carried(self) -> Carried | None:
        if self.fold is None or self.last is None or self.program is None:
            return None
        return Carried(last=self.last, period=self.period, counters=self.fold.counters(self.program, self.last[0]))


class Books:
    """What a batch needs to know of receipts, members and programs, read once.

    First each sale is placed; then its members are held, and from there on is said what each gives. What was placed may
    be stored before that.
    """

    def __init__(self, connection: Connection, device: str, sales: Sequence[Sale], now: datetime) -> None:
        self._device = device
        self._now = now
        self._enrolled_at = enrolled_at(connection, device)
        self._bodies = [sale.body for sale in sales]
        self._keys = {key for sale in sales for key in sale.keys}
        names = self._keys.union(*(sale.names for sale in sales))
        codes = {normal_code(body.receipt.member.code) for body in self._bodies if body.receipt.member}
        self._known = set(_matching(connection, tables.receipt_keys.c.key, self._keys))
        self._connection, self._names = connection, names
        self._awaited = {
            *_matching(connection, tables.waits.c.what, names),
            *_matching(connection, tables.attachments.c.target, self._keys),
            *_matching(connection, tables.redemptions.c.receipt, self._keys),
        }
        self._holders = cards.holders(connection, codes)
        self._meant = members.meant(connection, {body.member for body in self._bodies if body.member is not UNSET})
        self._schedule = programs.schedule(connection)

    def hold(self, stored: frozenset[str] = frozenset()) -> None:
        """Keep others from the members, and read where they stand. Receipts of these keys are stored, uncounted yet."""
        connection = self._connection
        held_by = (holder.member for holder in self._holders.values() if holder.member is not None)
        whom = {*self._meant.values(), *held_by}
        members.hold(connection, whom)
        self._facts = members.facts_of(connection, sorted(whom))
        # What has a time that cannot be is held for that, and is not counted.
        plausible = [body.receipt for body in self._bodies if self._wrong_time(body.receipt) is None]
        self._watch = limits.Watch(connection, whom, plausible, self._now, stored)
        self._scope = scope_of(holding.program for holding in self._schedule)
        self._published = programs.published_hashes(connection)
        self._keeps_states = states.are_kept(self._schedule)
        self._going = _going(connection, self._facts, self._scope, stored) if self._keeps_states else {}
        self._ahead: dict[str, _Going] = {}

    def placed(self, sale: Sale) -> Placed | None:
        """The receipt as it is stored; None where it is not plain."""
        body = sale.body
        receipt = body.receipt
        holding = in_force_at(self._schedule, sale.position[0])
        if holding is None or parts_of(receipt)[1] is not None:
            return None
        if self._wrong_time(receipt) is not None:
            return None
        if not self._known.isdisjoint(sale.keys) or not self._awaited.isdisjoint(sale.names):
            return None
        holder = self._holder(body)
        held = holder.refuses(receipt)
        member = None if held else self._member(body, holder)
        unsettled = ledger.BLOCKED if held else ledger.NO_MEMBER
        state = unsettled if member is None else ledger.SETTLED
        self.note(body)
        return Placed(
            sale=sale,
            stored=receipts.stored_of(body, device=self._device, member=member, state=state, now=self._now),
            holding=holding,
            seen=Seen(code="accepted", detail=receipts.CARD_BLOCKED if held else "", member=member),
        )

    def fresh(self, placed: Placed) -> FreshReceipt | None:
        """The receipt with its evaluation, once its members are held; None where it passes a limit."""
        sale, stored, holding, member = placed.sale, placed.stored, placed.holding, placed.stored.member
        if member is not None and self._watch.passed(member, stored.receipt) is not None:
            return None
        entries = self._entries(stored, sale.position, holding) if member is not None else ()
        return FreshReceipt(
            placed=placed,
            ledger_rows=tuple(ledger.row_of(entry, member or "", holding.hash, self._now) for entry in entries or ()),
            variance=None if entries is None else _compared(stored, entries),
            seen=replace(
                placed.seen,
                touched=frozenset({member} if member is not None and entries is None else ()),
                moved=frozenset({member} if member is not None and (entries or self._keeps_states) else ()),
            ),
        )

    def _entries(self, stored: StoredReceipt, position: Position, holding: Holding) -> tuple[LedgerEntry, ...] | None:
        """What a member's sale gives; None where it does not come in its order."""
        member, program = stored.member or "", holding.program
        promised = stored.promised(self._published) if program.goodwill == "honour" else ()
        facts = facts_at(self._facts[member], position[0])
        if not self._keeps_states:
            return _without_memory(stored.receipt, program, facts, promised)
        going, period = self._going[member], states.period_of(holding)
        if going.last is not None and (position < going.last or period != going.period):
            going.fold = None
        if going.fold is None:
            return None
        going.last, going.period, going.program = position, period, program
        self._ahead[member] = going
        if not earns(stored.receipt, program):
            return ()
        return tuple(going.fold.sell(stored.receipt, program=program, facts=facts, promised=promised))

    def note(self, body: ReceiptBody | AttachBody | RedeemBody) -> None:
        """What this batch made known, or awaited, before the entries that follow."""
        if not isinstance(body, ReceiptBody):
            self._awaited.add(body.target if isinstance(body, AttachBody) else body.receipt or "")
            return
        self._known.update(identity_keys(body.receipt))
        if parts_of(body.receipt)[1] is not None:
            self._awaited.update(originals.awaited_names(body.receipt))
        if body.receipt.status == "voided":  # what gave that sale back waits again, for another
            self._awaited.update(_matching(self._connection, tables.waits.c.what, self._names))

    def kept_apart(self, key: str | None) -> None:
        """An entry was taken by itself: the limits of those behind it are counted with what it brought."""
        self._watch.kept_apart(key)

    def _wrong_time(self, receipt: Receipt) -> str | None:
        return implausible(receipt, received_at=self._now, enrolled_at=self._enrolled_at)

    def fold_anew(self, touched: Iterable[str]) -> None:
        """These members' receipts are folded anew at the end of the batch: nothing goes on from what was before."""
        for member in touched:
            if member in self._going:
                self._going[member].fold = None

    def states(self) -> dict[str, Carried]:
        """Where the members stand whose sales went on since this was asked last."""
        ahead, self._ahead = self._ahead, {}
        return {member: carried for member, each in ahead.items() if (carried := each.carried()) is not None}

    def _holder(self, body: ReceiptBody) -> Holder:
        reference = body.receipt.member
        return self._holders.get(normal_code(reference.code), cards.NOBODY) if reference else cards.NOBODY

    def _member(self, body: ReceiptBody, holder: Holder) -> str | None:
        return self._meant.get(body.member, holder.member) if body.member is not UNSET else holder.member


def store(connection: Connection, placed: Iterable[Placed]) -> None:
    """Store receipts and their keys, each in order: two batches that hold the same never wait for each other."""
    by_key = sorted(placed, key=lambda one: one.stored.key)
    insert_rows(connection, tables.receipts, [receipts.row_of(one.stored, one.sale.facts) for one in by_key])
    keys = sorted((key, one.stored.key) for one in by_key for key in one.sale.keys)
    insert_rows(connection, tables.receipt_keys, [{"key": key, "receipt": receipt} for key, receipt in keys])


def give(connection: Connection, fresh: Sequence[FreshReceipt], carried: dict[str, Carried], now: datetime) -> None:
    """Store what receipts that are stored give, and count them: a statement for each kind of rows."""
    insert_rows(connection, tables.ledger, [row for one in fresh for row in one.ledger_rows])
    variances.note(connection, [one.variance for one in fresh if one.variance is not None], now)
    states.save(connection, carried)
    stamp_cards.fill(connection, {member: one.counters for member, one in carried.items()}, now)
    unmapped.note_counted(connection, chain.from_iterable(one.placed.sale.counted for one in fresh), now)


def _going(connection: Connection, known: Iterable[str], scope: Scope, stored: frozenset[str]) -> dict[str, _Going]:
    """From where these members' sales go on; those who have receipts and no state are to be folded anew."""
    every = list(known)
    carried, unknown = states.load(connection, every), states.without(connection, every, stored)
    found: dict[str, _Going] = {}
    for member in every:
        state = carried.get(member)
        opening = MemberState(code=member) if state is None else MemberState(code=member, counters=state.counters)
        found[member] = _Going(
            fold=None if member in unknown else Fold(scope, opening),
            last=None if state is None else state.last,
            period="" if state is None else state.period,
        )
    return found


def _without_memory(
    receipt: Receipt, program: Program, facts: Facts, promised: Sequence[LedgerEntry]
) -> tuple[LedgerEntry, ...]:
    """What a sale gives where nothing hangs on the receipts before it."""
    if not earns(receipt, program):
        return ()
    known = Known(tier=facts.tier, birth_month=facts.birth_month, segments=facts.segments)
    sale = Purchase(receipt, program.time_zone, known)
    try:
        entries = earned(sale, program)
    except TooManyPointsError:
        return ()
    kept = honoured(promised, entries, sale)
    return entries if kept is None else (*entries, kept)


def _compared(stored: StoredReceipt, entries: Iterable[LedgerEntry]) -> Compared | None:
    if stored.member is None:
        return None
    return compared(
        stored.key,
        device=stored.device,
        member=stored.member,
        claims=stored.claims,
        entries=entries,
        could_claim=stored.knew_member,
    )


def _matching(connection: Connection, column: Any, values: set[str]) -> Iterable[str]:
    return connection.execute(select(column).where(among(column, values))).scalars() if values else ()
