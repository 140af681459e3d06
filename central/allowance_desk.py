"""Allowances as people see them: what is set aside where, and writing off what cannot be spent any more.

Owns that listing, for the command line and the admin pages, and the write-off with its reason. Never grants anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy import Connection, or_, select

from central import allowances, devices, feed, ledger, members
from central.db import tables
from central.db.sets import among
from loyalty.receipt import AwareDatetime

# Of a listing.
MAX_LISTED = 200


class NotOpenError(LookupError):
    """Nothing is set aside under an id. The message says what to do; nothing was changed."""


class StillLiveError(RuntimeError):
    """A register can still spend what was to be written off. The message says what to do; nothing was changed."""


class Listed(Struct, frozen=True, kw_only=True):
    """An allowance. `is_live` says that its register can still spend it; without that a person may write it off.

    With a `voucher`, by its id, it is uses of that; `member` is empty where it is for whoever shows it.
    """

    allowance: str
    member: str
    voucher: str | None
    device: str
    place: str
    granted: int
    left: int
    state: str
    recalled: bool
    is_live: bool
    granted_at: AwareDatetime
    closed_at: AwareDatetime | None
    because: str | None


class AllowanceList(Struct, frozen=True, kw_only=True):
    allowances: tuple[Listed, ...]
    more: bool = False


class WrittenOff(Struct, frozen=True, kw_only=True):
    """What was written off, and how many points, and uses of vouchers, can be had elsewhere now."""

    allowances: tuple[str, ...]
    points: int
    uses: int


def listed(
    connection: Connection, *, register: str | None = None, member: str | None = None, closed: bool = False
) -> AllowanceList:
    """What is set aside, the oldest first; `register` is `store/register` or a device's id."""
    table, known = tables.allowances, tables.devices.c
    query = select(table, known.store, known.register).join(tables.devices, known.id == table.c.device)
    if register is not None:
        query = query.where(or_(known.id == register, known.store + "/" + known.register == register))
    if member is not None:
        query = query.where(table.c.member == member)
    if not closed:
        query = query.where(table.c.state == "open")
    rows = connection.execute(query.order_by(table.c.granted_at, table.c.id).limit(MAX_LISTED + 1)).all()
    live = devices.live_epochs(connection)
    return AllowanceList(
        allowances=tuple(
            Listed(
                allowance=row.id,
                member=row.member,
                voucher=row.voucher,
                device=row.device,
                place=f"{row.store}/{row.register}",
                granted=row.granted,
                left=allowances.left_of(row),
                state=row.state,
                recalled=bool(row.recalled),
                is_live=(row.device, row.epoch) in live,
                granted_at=row.granted_at,
                closed_at=row.closed_at,
                because=row.because,
            )
            for row in rows[:MAX_LISTED]
        ),
        more=len(rows) > MAX_LISTED,
    )


def write_off(
    connection: Connection, ids: Sequence[str], because: str, now: datetime, *, even_live: bool = False
) -> WrittenOff:
    """Let what is left of these allowances be free. Raises NotOpenError where one is not open.

    What a register can still spend may be spent there and elsewhere, and the balance go below zero: StillLiveError,
    unless it is wanted `even_live`.
    """
    table = tables.allowances
    query = select(table.c.member).where(among(table.c.id, ids)).distinct()
    members.hold(connection, connection.execute(query).scalars().all())
    rows = connection.execute(select(table).where(among(table.c.id, ids), table.c.state == "open")).all()
    missing = sorted(set(ids) - {row.id for row in rows})
    if missing:
        raise NotOpenError(f"nothing is set aside under {missing[0]}; `tillside-central allowances list` shows what is")
    live = frozenset() if even_live else devices.live_epochs(connection)
    spendable = next((row for row in rows if (row.device, row.epoch) in live), None)
    if spendable is not None:
        place = devices.places_of(connection)[spendable.device]
        raise StillLiveError(
            f"register {place} is in service and can still spend {spendable.id}: written off it could be spent twice. "
            f"The register gives it back when it is asked, or revoke it if it is gone "
            f"(`tillside-central registers revoke`); `--even-live` writes it off all the same"
        )
    allowances.close(connection, rows, "written_off", because, now)
    whose = sorted({row.member for row in rows if row.member})
    ledger.refresh_balances(connection, whose, now)
    feed.note_changes(connection, whose, now)
    return WrittenOff(
        allowances=tuple(row.id for row in rows),
        points=sum(allowances.left_of(row) for row in rows if row.voucher is None),
        uses=sum(allowances.left_of(row) for row in rows if row.voucher is not None),
    )
