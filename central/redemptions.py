"""Rewards that registers gave: what was spent, of which lots, and what gives it back.

Owns the effect of the entries `redeem`, `release` and `allowance_return`. A discount that was given was given: a
redemption counts once, by its key, whatever allowed it, and what a person should look at is kept with it as `problems`.
One by a voucher that was issued takes a use of that, and nothing of the ledger.
What it takes of the ledger is `central.folding`'s. Never refuses one for want of points.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from central import allowances, limits, members, reward_terms, spent, uses, vouchers
from central.db import tables
from central.db.sets import among
from central.devices import Device
from central.plausible import AHEAD
from central.receipts import Seen
from central.spent import GIVEN, RELEASED
from loyalty.spending import taken_of
from sync.records import AllowanceReturnBody, Entry, RedeemBody, ReleaseBody

BEYOND_BALANCE, BEYOND_USES = "beyond_balance", "beyond_uses"


# A reward is reserved while its sale is rung up, or the day before: earlier than this, a clock is wrong.
LONG_BEFORE: Final = timedelta(days=1)
# What is said of a release whose redemption did not come, or waits itself.
NOT_HERE: Final = "its redemption is not here"


def redeem(connection: Connection, device: Device, entry: Entry, body: RedeemBody, now: datetime) -> Seen:
    """A reward was given: it counts, once, by what was set aside for this register and by the balance."""
    table = tables.redemptions
    known = connection.execute(select(table.c.member).where(table.c.key == entry.key)).scalar_one_or_none()
    if known is not None:
        return Seen(code="duplicate", member=known)
    member = members.meant(connection, [body.member]).get(body.member)
    if member is None:
        return Seen(code="quarantined", detail=members.UNKNOWN_ID)
    members.hold(connection, [member])
    voucher, at = body.voucher or None, _given_at(connection, body, now)
    wrong = _wrong_with(connection, voucher, body, member, at) if voucher is not None else ()
    has = spent.balance(connection, member, now).confirmed if body.points and voucher is None else 0
    drawn, problems = allowances.draw(
        connection,
        body.drawn,
        device=device.id,
        member=member,
        points=body.points if voucher is None else body.times,
        now=now,
        voucher=voucher,
    )
    problems = (*problems, *wrong)
    drawn_points = sum(one.counted for one in drawn) if voucher is None else 0
    rest = body.points - drawn_points
    free = spent.lots_free(connection, member, now) if rest else ()
    if rest > sum(part.points for part in free) or (voucher is None and body.points > max(has, 0)):
        problems = (*problems, BEYOND_BALANCE)
    parts = [part for one in drawn for part in one.parts] if voucher is None else []
    connection.execute(
        insert(table).values(
            key=entry.key,
            member=member,
            device=device.id,
            receipt=body.receipt or None,
            reward=body.reward,
            times=body.times,
            points=body.points,
            discount_minor=body.discount_minor,
            parts=msgspec.json.encode([*parts, *taken_of(free, rest)]),
            drawn=msgspec.json.encode(drawn),
            voucher=voucher,
            program=body.program or None,
            operator=body.operator or None,
            at=at,
            received_at=now,
            state=GIVEN,
            problems=msgspec.json.encode(problems).decode(),
        )
    )
    problems = reward_terms.judge(connection, entry.key, is_counted=True)
    if limits.OVER_LIMIT in problems:
        limits.hold_sale(connection, body.receipt or "")
    reward_terms.judge_later(connection, entry.key)
    return Seen(
        code="accepted",
        detail=", ".join(problems),
        member=member,
        touched=frozenset({member}),
        moved=frozenset({member}),
    )


def _given_at(connection: Connection, body: RedeemBody, now: datetime) -> datetime:
    """When it was, by the register's clock as far as that can be: not to come, not before what it draws of was set
    aside, and not long before its sale. A clock that was set back would evade the limits, and the end of a voucher.
    """
    if body.at > now + AHEAD:
        return now
    table, keys, sales = tables.allowances.c, tables.receipt_keys.c, tables.receipts.c
    of = [one.allowance for one in body.drawn]
    latest = select(func.max(table.granted_at)).where(among(table.id, of))
    granted: datetime = (connection.execute(latest).scalar() if of else None) or body.at
    sold = select(sales.issued_at).where(keys.key == (body.receipt or ""), keys.receipt == sales.key)
    issued: datetime | None = connection.execute(sold).scalar() if body.receipt else None
    if issued is not None and issued - body.at > LONG_BEFORE:
        return max(min(issued, now), granted)
    return max(body.at, granted)


def _wrong_with(connection: Connection, voucher: str, body: RedeemBody, member: str, at: datetime) -> tuple[str, ...]:
    """What a person should look at of a voucher that was taken. It is held from here on."""
    row = vouchers.hold(connection, voucher)
    if row is None:
        return ("unknown_voucher",)
    given = uses.standing(connection, [voucher]).get(voucher, 0)
    problems = {
        "foreign_voucher": row.member not in (None, member),
        "revoked_voucher": row.revoked_at is not None,
        "expired_voucher": row.expires_at is not None and row.expires_at <= at,
        BEYOND_USES: given + body.times > row.uses,
    }
    return tuple(name for name, is_so in problems.items() if is_so)


def release(connection: Connection, device: Device, body: ReleaseBody, now: datetime) -> Seen:
    """A redemption did not take place: what it took comes back, once."""
    table = tables.redemptions
    row = connection.execute(select(table).where(table.c.key == body.target)).one_or_none()
    if row is None:
        return Seen(code="quarantined", detail=NOT_HERE)
    if row.device != device.id:
        return Seen(code="quarantined", detail="another register gave this reward", member=row.member)
    if row.state == RELEASED:
        return Seen(code="duplicate", member=row.member)
    members.hold(connection, [row.member])
    if row.voucher is not None:
        vouchers.hold(connection, row.voucher)
    allowances.put_back(connection, spent.drawn_in(row), now)
    connection.execute(update(table).where(table.c.key == row.key).values(state=RELEASED, released_at=now))
    return Seen(code="accepted", member=row.member, touched=frozenset({row.member}), moved=frozenset({row.member}))


def take_return(connection: Connection, device: Device, epoch: str, body: AllowanceReturnBody, now: datetime) -> Seen:
    """A register spends no more of an allowance: what it says is left can be spent elsewhere.

    Said in the allowance's own epoch, it stands behind all that was spent of it; in another one it proves nothing.
    """
    row = allowances.found(connection, body.allowance)
    if row is None:
        return Seen(code="accepted", detail="this allowance is not known here")
    if row.device != device.id:
        return Seen(code="quarantined", detail="this allowance is another register's", member=row.member or None)
    if row.state != "open":
        return Seen(code="duplicate", detail=f"is {row.state} already", member=row.member or None)
    if row.epoch != epoch:
        detail = "is of an epoch that ended; a person writes it off (`tillside-central allowances write-off`)"
        return Seen(code="accepted", detail=detail, member=row.member or None)
    members.hold(connection, [row.member])
    if row.voucher is not None:
        vouchers.hold(connection, row.voucher)
        released = spent.drawn_of_voucher(connection, row.voucher, row.id, RELEASED)
    else:
        released = spent.drawn_of(connection, row.member, row.id, RELEASED)
    left = allowances.left_of(row)
    told = min(body.points, left)
    # What was released may not be in what the register counts; what else is missing was spent by an entry that waits.
    freed = told + min(left - told, released)
    allowances.give_back(connection, row, freed, now)
    if row.recalled == allowances.MISPLACED:
        balances = tables.balances
        connection.execute(update(balances).where(balances.c.member == row.member).values(unplanned=1))
    detail = "" if freed == left else f"{left - freed} more are set aside than the register says"
    set_aside = frozenset({row.member} if row.voucher is None else ())
    return Seen(code="accepted", detail=detail, member=row.member or None, set_aside=set_aside)
