"""Points that may be spent here, vouchers that may be taken, sales that are open, and what was reserved for them.

Owns the rows of `allowances`, `sales` and `redemptions`, and that each change of what is used grows the count which the
witness outside the database repeats. Points of an allowance are used in the transaction that reserves them, and an
allowance is given back only where no reservation draws of it. Never says whether points may be spent
(`loyalty.allowances` does), nor what a basket can have.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from loyalty.allowances import Allowance, Draw, Lease, Standing
from loyalty.instant import Instant
from loyalty.member import Member
from loyalty.receipt import MemberReference, Receipt
from loyalty.rewards import LineDiscount
from sync.records import AllowanceReturnBody, EntryKind, RedeemBody, wall_text
from sync.store.asked_rows import AskedRows
from sync.store.packing import Packer, unpacked
from sync.store.reading import BY_BALANCE, DRAWN, EPOCH_VOID, Reading, moment
from sync.store.rows import (
    AllowanceCursor,
    KeptRedemption,
    KeptSale,
    RedemptionState,
    SaleState,
    SpendingStatus,
)
from sync.wire import GrantedAllowance, HeldAllowance

# Sales that are open at once: more than a shop's tills and parked carts together.
MAX_OPEN_SALES: Final = 64
# Sales that were closed and are still known, so that a call which is repeated finds them: a few busy days.
MAX_ENDED_SALES: Final = 2_000
# Allowances of which nothing is left, known so that none can come to life again.
MAX_SPENT_ALLOWANCES: Final = 100_000
# How often points were used or freed, in this database.
SPENDING_COUNT: Final = "spending_count"
# Why nothing may be spent: the witness said more than the database.
SPENDING_DOUBTED: Final = "spending_doubted"
# Under which name calls about a sale are remembered.
SALE_CALLS: Final = "sale/"
# And those that open one. By which call a sale was opened stands among the calls about it under another name.
OPENING_CALLS: Final = "sales"
_OPENED_BY: Final = "opened by"
_CURSOR: Final = "allowances_through"
_CURSOR_CENTRE: Final = "allowances_centre"

_SALE = "SELECT sale, by_page, state, touched, member, receipt, basket FROM sales WHERE "
_REDEMPTION = (
    "SELECT redemption, sale, member, reward, times, points, discount_minor, lines, draws, state, program, receipt, "
    "at, entered, voucher, reserved FROM redemptions WHERE "
)
_LEASE: Final = "SELECT id, epoch, voucher, reward, member, points - used, expires_at FROM allowances WHERE "
_OPEN: Final = "returned IS NULL AND used < points"

_encode = msgspec.json.Encoder().encode
_receipt = msgspec.json.Decoder(Receipt)
_instant = msgspec.json.Decoder(Instant)
_reference = msgspec.json.Decoder(MemberReference)
_lines = msgspec.json.Decoder(tuple[LineDiscount, ...])
_draws = msgspec.json.Decoder(tuple[Draw, ...])


class SpendingReads(Reading):
    """Reads of these tables."""

    def standing(self, member: Member, *, is_sure: bool) -> Standing:
        """What this register may spend of a member's points."""
        rows = self._rows(
            "SELECT id, epoch, points, used FROM allowances WHERE member = ? AND voucher IS NULL "  # noqa: S608 - ours
            f"AND {_OPEN} ORDER BY number",
            (member.member,),
        )
        held = (Allowance(id=row[0], epoch=row[1], points=row[2], used=row[3]) for row in rows)
        return Standing(
            epoch=self.live_epoch_id(),
            is_sure=is_sure,
            balance=member.balance.spendable,
            is_short=self.is_short(member.member),
            allowances=tuple(held),
        )

    def leases(self, voucher: str) -> tuple[Lease, ...]:
        """What this register holds of a voucher, by its id."""
        rows = self._rows(f"{_LEASE}voucher = ? AND {_OPEN} ORDER BY number", (voucher,))
        return tuple(map(_lease, rows))

    def leases_of(self, member: Member) -> tuple[Lease, ...]:
        """What this register holds of vouchers that are the member's own."""
        rows = self._rows(f"{_LEASE}member = ? AND voucher IS NOT NULL AND {_OPEN} ORDER BY number", (member.member,))
        return tuple(map(_lease, rows))

    def has_allowances(self) -> bool:
        """Whether there ever was anything to spend here."""
        return self._row("SELECT 1 FROM allowances LIMIT 1") is not None

    def held_allowances(self) -> tuple[HeldAllowance, ...]:
        """All that was not given back, of whatever epoch it is."""
        rows = self._rows(
            "SELECT id, member, epoch, points, used, voucher, reward, expires_at FROM allowances "
            "WHERE returned IS NULL ORDER BY number LIMIT ?",
            (MAX_SPENT_ALLOWANCES,),
        )
        return tuple(
            HeldAllowance(
                allowance=row[0],
                member=row[1],
                epoch=row[2],
                points=row[3],
                used=row[4],
                voucher=row[5] or UNSET,
                reward=row[6] or UNSET,
                expires_at=datetime.fromisoformat(row[7]) if row[7] else UNSET,
            )
            for row in rows
        )

    def allowance_cursor(self) -> AllowanceCursor:
        """Through which number grants were taken in, and of which centre."""
        return AllowanceCursor(number=int(self.meta(_CURSOR) or 0), centre_epoch=self.meta(_CURSOR_CENTRE))

    def sale(self, sale: str) -> KeptSale | None:
        row = self._row(f"{_SALE}sale = ?", (sale,))
        return _sale(row) if row else None

    def open_sales(self) -> tuple[KeptSale, ...]:
        """Those that nobody closed yet, the longest untouched first."""
        return tuple(map(_sale, self._rows(f"{_SALE}state = 'open' ORDER BY id")))

    def redemptions_of(self, sale: str) -> tuple[KeptRedemption, ...]:
        """In the order in which they were chosen."""
        return tuple(map(_redemption, self._rows(f"{_REDEMPTION}sale = ? ORDER BY id", (sale,))))

    def redemptions_on(self, receipt: str) -> tuple[KeptRedemption, ...]:
        """Those given on the receipt with this key, and those that lapsed when it said that their sale is suspended."""
        return tuple(map(_redemption, self._rows(f"{_REDEMPTION}receipt = ? ORDER BY id", (receipt,))))

    def reserved_redemptions(self) -> tuple[KeptRedemption, ...]:
        """Those of all open sales."""
        return tuple(map(_redemption, self._rows(f"{_REDEMPTION}state = 'reserved' ORDER BY id")))

    def last_redemption(self, member: str) -> KeptRedemption | None:
        """The one that the member chose last, whatever became of it."""
        row = self._row(f"{_REDEMPTION}member = ? ORDER BY id DESC LIMIT 1", (member,))
        return _redemption(row) if row else None

    def spending_status(self, *, unsure_because: str) -> SpendingStatus:
        held = self._row(
            "SELECT count(*), coalesce(sum((points - used) * (voucher IS NULL)), 0), count(DISTINCT voucher) "  # noqa: S608
            f"FROM allowances WHERE {_OPEN} AND epoch = ?",
            (self.live_epoch_id(),),
        )
        reserved = self._row("SELECT count(*) FROM redemptions WHERE state = 'reserved'")
        sales = self._row("SELECT count(*) FROM sales WHERE state = 'open'")
        return SpendingStatus(
            allowances=held[0],
            points=held[1],
            vouchers=held[2],
            open_sales=sales[0],
            reserved=reserved[0],
            unsure_because=unsure_because,
        )

    def spending_doubted(self) -> str | None:
        """Why nothing may be spent before the centre has opened another epoch; None where it may."""
        return self.meta(SPENDING_DOUBTED)


class SpendingRows(SpendingReads, AskedRows):
    """The part of `Writing` that spends."""

    _packer: Packer
    _touched: set[str]
    _counted: bool
    _is_witnessed: Callable[[], bool]

    def _execute(self, sql: str, parameters: Sequence[object] = ()) -> int:
        raise NotImplementedError

    def set_meta(self, name: str, value: str) -> None:
        raise NotImplementedError

    def append(self, kind: EntryKind, key: str, body: Struct) -> Any:
        raise NotImplementedError

    def is_sure(self) -> bool:
        """Whether this database is the one that last used points here, as far as anything outside it tells."""
        return self._is_witnessed() and self.spending_doubted() is None

    # Allowances

    def keep_allowances(self, granted: Iterable[GrantedAllowance], through: int, centre_epoch: str) -> None:
        """A page of grants and the number after it, together; what is asked back and not reserved goes back.

        A grant again changes nothing of what was used of it. Numbers of another centre than before count anew.
        """
        cursor = self.allowance_cursor()
        known = cursor.number if cursor.centre_epoch == centre_epoch else 0
        for one in granted:
            if one.number > known:
                self._keep_allowance(one)
                self._touched.add(one.member)
        self.set_meta(_CURSOR, str(max(known, through)))
        self.set_meta(_CURSOR_CENTRE, centre_epoch)
        self.give_back_recalled()
        self._forget_spent()

    def _keep_allowance(self, one: GrantedAllowance) -> None:
        self._execute(
            "INSERT INTO allowances (id, member, epoch, number, points, recalled, voucher, reward, expires_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET number = excluded.number, recalled = excluded.recalled "
            "WHERE excluded.number > number",
            (
                one.allowance,
                one.member,
                one.epoch,
                one.number,
                one.points,
                int(one.recalled),
                one.voucher or None,
                one.reward or None,
                one.expires_at.isoformat() if one.expires_at else None,
            ),
        )

    def give_back_recalled(self) -> None:
        """Says of each allowance that is asked back what was not spent of it, unless a sale draws of it.

        One that is given back is never used again. A register that may have forgotten what it spent says nothing.
        """
        rows = self._rows(
            "SELECT id, member, points - used FROM allowances WHERE recalled = 1 AND returned IS NULL AND epoch = ?",
            (self.live_epoch_id(),),
        )
        if not rows or not self.is_sure():
            return
        reserved = {draw.allowance for one in self.reserved_redemptions() for draw in one.draws}
        for allowance, member, left in rows:
            if allowance not in reserved:
                self._execute("UPDATE allowances SET returned = ? WHERE id = ?", (left, allowance))
                body = AllowanceReturnBody(allowance=allowance, points=left)
                self.append("allowance_return", f"return-{allowance}", body)
                self._touched.add(member)
                self._count()

    def _forget_spent(self) -> None:
        last = self._row(
            f"SELECT number FROM allowances WHERE NOT ({_OPEN}) ORDER BY number DESC LIMIT 1 OFFSET ?",  # noqa: S608 - ours
            (MAX_SPENT_ALLOWANCES,),
        )
        if last is not None:
            self._execute(f"DELETE FROM allowances WHERE NOT ({_OPEN}) AND number <= ?", (last[0],))  # noqa: S608 - ours
            self.forget_asks()

    def leave_epoch(self) -> None:
        """Another epoch was opened: what the database forgot belongs to one whose allowances nobody uses any more.

        Those of the epoch before stay until it is left too, for a centre that asks what was held.
        """
        epochs = [row[0] for row in self._rows("SELECT epoch FROM epochs ORDER BY id DESC LIMIT 2")]
        self._execute(
            "DELETE FROM allowances WHERE epoch NOT IN (SELECT value FROM json_each(?))", (_encode(epochs).decode(),)
        )
        self._execute("DELETE FROM meta WHERE name = ?", (SPENDING_DOUBTED,))
        self.forget_asks()
        # An older copy would be in the epoch before.
        self._count()

    def doubt_spending(self, why: str, count: int) -> None:
        """This database is older than what was spent here: nothing is, before the centre has opened another epoch."""
        self.set_meta(SPENDING_DOUBTED, why)
        self.set_meta(SPENDING_COUNT, str(count))
        live = self._live_epoch()
        if live is not None:
            self.set_meta(EPOCH_VOID, live[0])

    def _taken(self, member: str) -> None:
        self._touched.add(member)
        self._count()

    def _count(self) -> None:
        self.set_meta(SPENDING_COUNT, str(int(self.meta(SPENDING_COUNT) or 0) + 1))
        self._counted = True

    # Sales

    def open_sale(self, sale: str, touched: Instant, *, by_page: bool, call: str | None = None) -> None:
        """`call` is the one that opens it: it is forgotten with the sale."""
        self._execute(
            "INSERT INTO sales (sale, by_page, state, touched) VALUES (?, ?, 'open', ?)",
            (sale, int(by_page), _encode(touched).decode()),
        )
        if call is not None:
            self._execute(
                "INSERT INTO answered_calls (source, call, digest, answer) VALUES (?, ?, ?, x'')",
                (SALE_CALLS + sale, _OPENED_BY, call),
            )

    def keep_basket(self, sale: str, basket: Receipt, touched: Instant) -> None:
        """What the sale is of so far."""
        self._execute(
            "UPDATE sales SET basket = ?, touched = ? WHERE sale = ?",
            (self._packer.pack(_encode(basket)), _encode(touched).decode(), sale),
        )

    def set_sale_member(self, sale: str, member: MemberReference | None) -> None:
        """Whose the sale is, by the code that was seen."""
        written = _encode(member).decode() if member is not None else None
        self._execute("UPDATE sales SET member = ? WHERE sale = ?", (written, sale))

    def end_sale(self, sale: str, state: SaleState, receipt: str | None = None) -> None:
        """Closed by the receipt with that key, or ended without one. What was reserved has to be dealt with before."""
        self._execute("UPDATE sales SET state = ?, receipt = ? WHERE sale = ?", (state, receipt, sale))
        self._forget_ended()

    def _forget_ended(self) -> None:
        old = self._rows(
            "SELECT sale FROM sales WHERE state <> 'open' ORDER BY id DESC LIMIT -1 OFFSET ?", (MAX_ENDED_SALES,)
        )
        for (sale,) in old:
            self._execute("DELETE FROM redemptions WHERE sale = ?", (sale,))
            self._execute(
                "DELETE FROM answered_calls WHERE source = ? AND call = "
                "(SELECT digest FROM answered_calls WHERE source = ? AND call = ?)",
                (OPENING_CALLS, SALE_CALLS + sale, _OPENED_BY),
            )
            self._execute("DELETE FROM answered_calls WHERE source = ?", (SALE_CALLS + sale,))
            self._execute("DELETE FROM sales WHERE sale = ?", (sale,))

    # Redemptions

    def reserve(self, one: KeptRedemption) -> None:
        """Uses the points that it draws, and takes all that it costs off what is shown of the member."""
        for draw in one.draws:
            self._execute("UPDATE allowances SET used = used + ? WHERE id = ?", (draw.points, draw.allowance))
        self._execute(
            "INSERT INTO redemptions (redemption, times, points, discount_minor, state, sale, member, reward, program, "
            "at, lines, draws, receipt, entered, voucher, reserved) "
            "VALUES (?, ?, ?, ?, 'reserved', ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?, ?)",
            (
                one.id,
                one.times,
                one.points,
                one.discount_minor,
                one.sale,
                one.member,
                one.reward,
                one.program,
                wall_text(one.at),
                _encode(one.lines).decode(),
                _encode(one.draws).decode(),
                one.entered,
                one.voucher,
                _encode(one.reserved).decode() if one.reserved is not None else None,
            ),
        )
        self._claim_spent(one)
        self._touched.add(one.member)
        self._count()

    def release(
        self, one: KeptRedemption, state: RedemptionState = "released", suspended_by: str | None = None
    ) -> None:
        """The sale goes on or ended without it: its points can be used again.

        `suspended_by` is the key of the receipt by which the sale was suspended, and may be paid for later.
        """
        for draw in one.draws:
            self._execute("UPDATE allowances SET used = used - ? WHERE id = ?", (draw.points, draw.allowance))
        self._set_state(one, state, suspended_by)
        self._execute("DELETE FROM claims WHERE key = ?", (one.id,))
        self._touched.add(one.member)
        self._count()
        self.give_back_recalled()

    def confirm(self, one: KeptRedemption, receipt: str) -> None:
        """The receipt with that key shows it: from here on it counts, whatever the centre thinks."""
        self._set_state(one, "confirmed", receipt)
        body = RedeemBody(
            member=one.member,
            reward=one.reward,
            times=one.times,
            points=one.points,
            discount_minor=one.discount_minor,
            drawn=one.draws,
            voucher=one.voucher or UNSET,
            receipt=receipt,
            program=one.program or UNSET,
            at=one.at,
            entry_method=one.entered or UNSET,
        )
        self.append("redeem", one.id, body)
        self._touched.add(one.member)
        # An older copy, where it is only reserved, could release it.
        self._count()
        self.give_back_recalled()

    def confirm_lapsed(self, one: KeptRedemption, receipt: str) -> bool:
        """The receipt of a sale that was given up came all the same: what is left where it drew from counts as drawn.

        The rest goes by the balance, whatever that is: it was given. Returns whether there is none that was not so
        before.
        """
        live, drawn = self.live_epoch_id(), []
        for draw in one.draws:
            row = self._row(
                f"SELECT points - used FROM allowances WHERE id = ? AND epoch = ? AND {_OPEN}",  # noqa: S608 - ours
                (draw.allowance, live),
            )
            if row is not None:
                drawn.append(Draw(allowance=draw.allowance, points=min(draw.points, row[0])))
        for draw in drawn:
            self._execute("UPDATE allowances SET used = used + ? WHERE id = ?", (draw.points, draw.allowance))
        given = replace(one, draws=tuple(drawn))
        self._claim_spent(given)
        self.confirm(given, receipt)
        return sum(draw.points for draw in drawn) == sum(draw.points for draw in one.draws)

    def _claim_spent(self, one: KeptRedemption) -> None:
        """Points that it costs: those of allowances, and those that go by the balance. A voucher costs none."""
        drawn = min(one.points, sum(draw.points for draw in one.draws))
        for points, spent in ((drawn, DRAWN), (one.points - drawn, BY_BALANCE)):
            if points:
                self._execute(
                    "INSERT INTO claims (key, member, points, spent) VALUES (?, ?, ?, ?)",
                    (one.id, one.member, -points, spent),
                )

    def reprice(self, one: KeptRedemption) -> None:
        """What it takes off, after the basket has changed."""
        self._execute(
            "UPDATE redemptions SET discount_minor = ?, lines = ? WHERE redemption = ?",
            (one.discount_minor, _encode(one.lines).decode(), one.id),
        )

    def _set_state(self, one: KeptRedemption, state: RedemptionState, receipt: str | None) -> None:
        self._execute("UPDATE redemptions SET state = ?, receipt = ? WHERE redemption = ?", (state, receipt, one.id))

    def purge_spending(self, members: Collection[str], names: Callable[[MemberReference], bool]) -> None:
        """Of a member who is erased nothing is set aside here, and no sale names them."""
        for sale in map(_sale, self._rows(f"{_SALE}member IS NOT NULL")):
            if sale.member is not None and names(sale.member):
                self.set_sale_member(sale.id, None)
                self._execute("UPDATE sales SET basket = NULL WHERE sale = ?", (sale.id,))
        for one in self.reserved_redemptions():
            if one.member in members and one.voucher is not None:
                self.release(one)  # the voucher may be for whoever shows it
        self.forget_asks()
        for member in members:
            self._execute("DELETE FROM allowances WHERE member = ?", (member,))
            self._execute("DELETE FROM redemptions WHERE member = ?", (member,))


def _sale(row: Any) -> KeptSale:
    sale, by_page, state, touched, member, receipt, basket = row
    return KeptSale(
        id=sale,
        by_page=bool(by_page),
        state=state,
        touched=_instant.decode(touched),
        member=_reference.decode(member) if member else None,
        receipt=receipt,
        basket=_receipt.decode(unpacked(basket)) if basket else None,
    )


def _redemption(row: Any) -> KeptRedemption:
    at: datetime = moment(row[12])
    return KeptRedemption(
        id=row[0],
        sale=row[1],
        member=row[2],
        reward=row[3],
        times=row[4],
        points=row[5],
        discount_minor=row[6],
        lines=_lines.decode(row[7]),
        draws=_draws.decode(row[8]),
        state=row[9],
        program=row[10],
        receipt=row[11],
        at=at,
        entered=row[13],
        voucher=row[14],
        reserved=_instant.decode(row[15]) if row[15] is not None else None,
    )


def _lease(row: Any) -> Lease:
    allowance, epoch, voucher, reward, member, left, expires_at = row
    return Lease(
        allowance=allowance,
        epoch=epoch,
        voucher=voucher,
        reward=reward,
        member=member,
        left=left,
        expires_at=datetime.fromisoformat(expires_at) if expires_at else None,
    )
