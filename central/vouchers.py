"""Vouchers that are issued one by one: for whom, for which reward, how often each may be used, and what is left of it.

Owns the rows of `vouchers`. What is left is never stored: it is what was issued, less the redemptions that stand and
what registers hold (`central.leasing`). A code is told once, to who has it issued; here is a digest of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, Row, insert, or_, select, update

from central import allowances, cards, devices, members, programs
from central import uses as used
from central.db import tables
from central.db.sets import among
from loyalty.identification import normal_code
from loyalty.periods import Expiry, expiry
from loyalty.program import Program
from loyalty.receipt import AwareDatetime
from loyalty.schedule import in_force_at
from loyalty.voucher_codes import is_voucher_code, made_code, voucher_id
from sync.wire import HeldAllowance

# In one go: some seconds of the one writer.
MAX_ISSUED = 100_000
MAX_USES = 10_000
MAX_LISTED = 200
# Asked back in one transaction.
MAX_RECALLED = 500
_DIGEST_CHARS = 64
# Of a voucher that was not issued in this database.
_TOLD = "not issued here: a register had it when the centre was restored from a backup"


class VoucherError(ValueError):
    """That cannot be done with vouchers. The message says what to do; nothing was changed."""


class Issued(Struct, frozen=True, kw_only=True):
    """New vouchers. Their `codes` are told nowhere else."""

    reward: str
    member: str | None
    uses: int
    expires_at: AwareDatetime | None
    codes: tuple[str, ...]


class Listed(Struct, frozen=True, kw_only=True):
    """A voucher: of its `uses` so many were `given` and stand, and so many are `held` by the registers at `places`.

    From `expires_at` on it brings nothing.
    """

    voucher: str
    reward: str
    member: str | None
    uses: int
    given: int
    held: int
    places: tuple[str, ...]
    issued_at: AwareDatetime
    expires_at: AwareDatetime | None
    revoked_at: AwareDatetime | None
    because: str | None


class VoucherList(Struct, frozen=True, kw_only=True):
    vouchers: tuple[Listed, ...]
    more: bool = False


# ---- what an operator does


def issue(
    connection: Connection,
    reward: str,
    count: int,
    *,
    member: str | None = None,
    uses: int = 1,
    until: Expiry | None = None,
    now: datetime,
    randomness: Callable[[int], bytes],
) -> Issued:
    """Make so many vouchers for a reward, for one member or for whoever shows them.

    They are good until what the program says of the reward, or `until`: a last day, or so long from now. Raises
    VoucherError where no program in force or to come has such a reward, or where they would be over already, and
    UnknownMemberError.
    """
    if not (0 < count <= MAX_ISSUED and 0 < uses <= MAX_USES):
        raise VoucherError(f"issue 1 to {MAX_ISSUED} vouchers at once, of 1 to {MAX_USES} uses each")
    program = _program_with(connection, reward, now)
    if program is None:
        raise VoucherError(
            f'no published program has a reward {reward!r} with "issued": true; publish one that has, then issue them'
        )
    whose = None if member is None else members.living(connection, members.named(connection, member))
    key = cards.code_key(connection)
    codes = tuple(made_code(randomness) for _ in range(count))
    expires_at = _end_of(program, reward, until, now)
    row = {"reward": reward, "member": whose, "uses": uses, "issued_at": now, "expires_at": expires_at}
    connection.execute(insert(tables.vouchers), [row | {"id": voucher_id(code, key)} for code in codes])
    to_be_planned(connection, whose)
    return Issued(reward=reward, member=whose, uses=uses, expires_at=expires_at, codes=codes)


def _program_with(connection: Connection, reward: str, now: datetime) -> Program | None:
    """The program whose reward this is: the one in force, else the newest that has it."""
    schedule = programs.schedule(connection)
    in_force = in_force_at(schedule, now)
    newest_first = [held.program for held in (*([in_force] if in_force is not None else []), *reversed(schedule))]
    return next((one for one in newest_first if any(each.id == reward and each.issued for each in one.rewards)), None)


def _end_of(program: Program, reward: str, until: Expiry | None, now: datetime) -> datetime | None:
    expires = until or next(one.expires for one in program.rewards if one.id == reward)
    if not expires:
        return None
    try:
        end = expiry(now, expires, program.time_zone).astimezone(UTC)
    except ValueError as error:
        raise VoucherError(f"{expires!r} is no day of the calendar; write it as 2027-12-31") from error
    if end <= now:
        raise VoucherError(f"vouchers until {expires} would be over already; name a later day")
    return end


def named(connection: Connection, text: str) -> str:
    """The voucher that a person names by its code or its id. Raises VoucherError."""
    code = normal_code(text)
    is_id = len(code) == _DIGEST_CHARS
    if not is_id and not is_voucher_code(code):
        raise VoucherError("this is no code of a voucher: a character is wrong or missing")
    voucher = text.strip().lower() if is_id else voucher_id(code, cards.code_key(connection))
    if found(connection, voucher) is None:
        raise VoucherError("no voucher with this code was issued here")
    return voucher


def revoke(connection: Connection, voucher: str, because: str, now: datetime) -> None:
    """Let it bring nothing from now on; registers that hold it are asked for it. One that was revoked stays so."""
    table = tables.vouchers
    hold(connection, voucher)
    alive = update(table).where(table.c.id == voucher, table.c.revoked_at.is_(None))
    connection.execute(alive.values(revoked_at=now, because=because))
    allowances.recall(connection, allowances.open_of_vouchers(connection, [voucher]))


def listed(
    connection: Connection, *, voucher: str | None = None, member: str | None = None, reward: str | None = None
) -> VoucherList:
    """Vouchers as people see them, the newest first."""
    table = tables.vouchers
    query = select(table)
    for column, wanted in ((table.c.id, voucher), (table.c.member, member), (table.c.reward, reward)):
        if wanted is not None:
            query = query.where(column == wanted)
    rows = connection.execute(query.order_by(table.c.issued_at.desc(), table.c.id).limit(MAX_LISTED + 1)).all()
    shown = rows[:MAX_LISTED]
    ids = [row.id for row in shown]
    given, places = used.standing(connection, ids), devices.places_of(connection)
    held = allowances.open_of_vouchers(connection, ids)
    return VoucherList(
        vouchers=tuple(
            Listed(
                voucher=row.id,
                reward=row.reward,
                member=row.member,
                uses=row.uses,
                given=given.get(row.id, 0),
                held=sum(allowances.left_of(one) for one in held if one.voucher == row.id),
                places=tuple(sorted({places[one.device] for one in held if one.voucher == row.id})),
                issued_at=row.issued_at,
                expires_at=row.expires_at,
                revoked_at=row.revoked_at,
                because=row.because,
            )
            for row in shown
        ),
        more=len(rows) > MAX_LISTED,
    )


def recall_over(connection: Connection, now: datetime) -> None:
    """Ask back what registers hold of vouchers that are over, of a bounded number of them: it is of no use there."""
    held, table = tables.allowances.c, tables.vouchers.c
    over = select(held.voucher).where(held.voucher == table.id, table.expires_at <= now)
    some = connection.execute(over.where(held.state == "open", held.recalled == 0).limit(MAX_RECALLED)).scalars().all()
    allowances.recall(connection, allowances.open_of_vouchers(connection, sorted(set(some))))


# ---- what is so


def found(connection: Connection, voucher: str) -> Row[Any] | None:
    return connection.execute(select(tables.vouchers).where(tables.vouchers.c.id == voucher)).one_or_none()


def hold(connection: Connection, voucher: str) -> Row[Any] | None:
    """The same, and nobody else changes what is left of it until the end of this transaction."""
    table = tables.vouchers
    return connection.execute(select(table).where(table.c.id == voucher).with_for_update(key_share=True)).one_or_none()


def free_of(connection: Connection, voucher: Row[Any]) -> int:
    """Uses that nobody took and no register holds. Below zero where more were given than there are."""
    held = allowances.open_of_vouchers(connection, [voucher.id])
    given = used.standing(connection, [voucher.id]).get(voucher.id, 0)
    return int(voucher.uses - given - sum(allowances.left_of(row) for row in held))


def rows_of(connection: Connection, some: Sequence[str]) -> dict[str, Row[Any]]:
    """These vouchers by their ids."""
    query = select(tables.vouchers).where(among(tables.vouchers.c.id, some))
    return {row.id: row for row in connection.execute(query)} if some else {}


def of_members(
    connection: Connection, some: Sequence[str], rewards: Sequence[str], now: datetime
) -> Sequence[Row[Any]]:
    """The vouchers of these members for these rewards that are not revoked and not over, as they were issued."""
    table = tables.vouchers
    query = select(table).where(
        among(table.c.member, some),
        among(table.c.reward, rewards),
        table.c.revoked_at.is_(None),
        or_(table.c.expires_at.is_(None), table.c.expires_at > now),
    )
    return connection.execute(query.order_by(table.c.issued_at, table.c.id)).all() if some and rewards else ()


def are_anybodys(connection: Connection) -> bool:
    """Whether there are vouchers for members, which may be set aside ahead."""
    table = tables.vouchers.c
    query = select(table.id).where(table.member.is_not(None), table.revoked_at.is_(None)).limit(1)
    return connection.execute(query).first() is not None


def told_of(connection: Connection, one: HeldAllowance, member: str | None, now: datetime) -> None:
    """A register holds a voucher that this centre forgot when it was restored: of how many uses is yet to be known."""
    row = {"id": one.voucher, "reward": one.reward, "member": member, "uses": 0, "issued_at": now, "because": _TOLD}
    connection.execute(insert(tables.vouchers).values(row | {"expires_at": one.expires_at or None}))


def reach(connection: Connection, voucher: str) -> None:
    """One that is known from registers alone has as many uses as they were given."""
    row = found(connection, voucher)
    lacking = -free_of(connection, row) if row is not None and row.because == _TOLD else 0
    if lacking > 0:
        table = tables.vouchers
        connection.execute(update(table).where(table.c.id == voucher).values(uses=table.c.uses + lacking))


def forget(connection: Connection, member: str, now: datetime) -> None:
    """A member was erased: their vouchers bring nothing more."""
    table = tables.vouchers
    because = "the member was erased"
    own = update(table).where(table.c.member == member)
    connection.execute(own.where(table.c.revoked_at.is_(None)).values(revoked_at=now))
    connection.execute(own.values(because=because))
    allowances.close(connection, allowances.open_leases_of(connection, member), "erased", because, now)


def to_be_planned(connection: Connection, member: str | None) -> None:
    """What is set aside ahead for the member may be another now."""
    table = tables.balances
    connection.execute(update(table).where(table.c.member == member).values(unplanned=1))
