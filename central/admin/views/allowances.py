"""What is set aside for registers: of everybody, or of one member."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Connection

from central import allowance_desk, vouchers
from central.admin.views.shown import Zone
from central.allowance_desk import MAX_LISTED


class AllowanceRow(Struct, frozen=True, kw_only=True):
    """`state` says in words how it stands; what `may_be_written_off` can hardly be spent any more.

    `reward` is what a voucher brings, of which it is uses; then `member` may be empty.
    """

    allowance: str
    member: str
    reward: str | None
    place: str
    granted_at: str
    granted: int
    left: int
    state: str
    may_be_written_off: bool


class AllowancesPage(Struct, frozen=True, kw_only=True):
    rows: tuple[AllowanceRow, ...]
    more: bool
    shown: int = MAX_LISTED


def allowances_page(connection: Connection, member: str | None = None) -> AllowancesPage:
    """What is open, the oldest first."""
    zone, listed = Zone(connection), allowance_desk.listed(connection, member=member)
    brings = vouchers.rows_of(connection, [one.voucher for one in listed.allowances if one.voucher is not None])
    rows = tuple(
        AllowanceRow(
            allowance=one.allowance,
            member=one.member,
            reward=brings[one.voucher].reward if one.voucher in brings else None,
            place=one.place,
            granted_at=zone.text(one.granted_at),
            granted=one.granted,
            left=one.left,
            state=("asked back" if one.recalled else "held") if one.is_live else "its register began anew, or is gone",
            may_be_written_off=not one.is_live,
        )
        for one in listed.allowances
    )
    return AllowancesPage(rows=rows, more=listed.more)
