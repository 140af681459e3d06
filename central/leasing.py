"""Setting uses of vouchers aside for registers: for who shows one at a till, and ahead where its member shops.

Owns whether that may be done. A use is set aside under the lock of its voucher, and only where nobody took or holds it:
what was given and what all registers hold together never is more than was issued, so a voucher of one use is at one
register at a time. The rows are allowances (`central.allowances`), and end as these do.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, Row

from central import allowances, members, spent, uses, vouchers
from central.devices import Device, Randomness
from central.problems import UnreadableError
from central.recalling import NotGrantedError, asked_back
from loyalty.allowances import Place, Policy, Unit, misplaced, planned
from loyalty.spending import LotPart
from sync.wire import AllowancesRequest, HeldAllowance, Wanted

# What is set aside of a voucher at one register ahead.
_AHEAD = 1
_USE = (Unit(points=_AHEAD),)


def lease(
    connection: Connection,
    device: Device,
    request: AllowancesRequest,
    want: Wanted,
    *,
    now: datetime,
    randomness: Randomness,
) -> None:
    """Set aside one use of a voucher that is shown at a register. Raises NotGrantedError.

    One that was set aside for it and is on its way counts as this one.
    """
    row = vouchers.hold(connection, want.voucher or "")
    _may_be_taken(connection, row, want.member, now)
    if row is None or not want.points:
        return  # it lies there, and is asked for all the same
    every = allowances.open_of_vouchers(connection, [row.id])
    own = [one for one in every if (one.device, one.epoch) == (device.id, request.epoch) and allowances.left_of(one)]
    if any(not one.recalled and (one.number is None or one.number > request.after) for one in own):
        return
    if vouchers.free_of(connection, row) <= 0:
        if any(one.recalled for one in own):
            raise NotGrantedError("this register is giving this voucher back: try again in a minute", "elsewhere")
        others = [one for one in every if one not in own]
        said = asked_back(connection, others, "this voucher")
        if said:
            raise NotGrantedError("; ".join(said), "elsewhere")
        raise NotGrantedError("this voucher was used already", "used")
    _set_aside(connection, row, device.id, request.epoch, now=now, randomness=randomness)


def _may_be_taken(connection: Connection, row: Row[Any] | None, member: str, now: datetime) -> None:
    if row is None:
        raise NotGrantedError("the head office issued no such voucher", "unknown")
    if row.revoked_at is not None:
        raise NotGrantedError(f"this voucher was revoked: {row.because}", "revoked")
    if row.expires_at is not None and row.expires_at <= now:
        raise NotGrantedError("this voucher is over", "expired")
    if row.member is not None and members.meant(connection, [member]).get(member) != row.member:
        raise NotGrantedError("this voucher is another member's", "foreign")


def _set_aside(
    connection: Connection, row: Row[Any], device: str, epoch: str, *, now: datetime, randomness: Randomness
) -> None:
    allowances.set_aside(
        connection,
        allowance=allowances.new_id(randomness),
        member=row.member or allowances.NOBODYS,
        device=device,
        epoch=epoch,
        lots=(LotPart(points=_AHEAD),),
        voucher=row.id,
        now=now,
    )


class Ahead(Struct, frozen=True, kw_only=True):
    """What is known once something is set aside ahead: how far to go, and for some members how often they shopped where
    (`visits`, by device); the live `epochs`, the devices that were `heard` of late, and how much more each may hold.
    """

    policy: Policy
    visits: Mapping[str, Counter[str]]
    epochs: Mapping[str, str]
    heard: frozenset[str]
    room: MutableMapping[str, int]
    now: datetime
    randomness: Randomness


# The rewards that a member cannot have at a register.
KeptFrom = Callable[[str, str], frozenset[str]]


def plan(connection: Connection, ahead: Ahead, rewards: Sequence[str], kept_from: KeptFrom) -> None:
    """Set uses of members' vouchers for these rewards aside where they shop, and ask back what lies elsewhere.

    None is set aside where its member is `kept_from` the reward. Runs alone.
    """
    policy, epochs, room = replace(ahead.policy, rewards=_AHEAD), ahead.epochs, ahead.room
    rows = vouchers.of_members(connection, sorted(ahead.visits), rewards, ahead.now)
    given = uses.standing(connection, [row.id for row in rows])
    leases: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for one in allowances.open_of_vouchers(connection, [row.id for row in rows]):
        leases[one.voucher].append(one)
    for row in rows:
        visits, every = ahead.visits[row.member], leases[row.id]
        held: Counter[str] = Counter()
        for one in every:
            if epochs.get(one.device) == one.epoch:
                held[one.device] += allowances.left_of(one)
        at = {
            device: Place(
                device=device,
                visits=visits[device],
                held=held[device],
                closed_to=frozenset(_USE if row.reward in kept_from(row.member, device) else ()),
                takes_more=device in ahead.heard and room[device] > 0,
            )
            for device in sorted({*visits, *held})
        }
        free = row.uses - given.get(row.id, 0) - sum(map(allowances.left_of, every))
        for share in planned(free, _USE, list(at.values()), policy):
            if room[share.device] <= 0:
                continue
            room[share.device] -= 1
            _set_aside(connection, row, share.device, epochs[share.device], now=ahead.now, randomness=ahead.randomness)
            free -= share.points
            at[share.device] = replace(at[share.device], held=at[share.device].held + share.points)
        away = misplaced(free, _USE, list(at.values()), policy)
        lying = [one for one in every if one.device in away and epochs.get(one.device) == one.epoch]
        allowances.recall(connection, lying, allowances.MISPLACED)


def report(connection: Connection, device: str, held: Sequence[HeldAllowance], now: datetime) -> None:
    """What a restored centre forgot of what a register holds is set aside again, less what was given of it already.

    So is a voucher of which it knows nothing: of as many uses as registers were given. Raises UnreadableError.
    """
    means = members.meant(connection, {one.member for one in held if one.member})
    for one in held:
        voucher = one.voucher or ""
        if allowances.found(connection, one.allowance) is not None or (one.member and one.member not in means):
            continue
        whose = means.get(one.member)
        if vouchers.hold(connection, voucher) is None:
            if not one.reward:
                raise UnreadableError("$.held[…] names a voucher without the reward that it brings")
            vouchers.told_of(connection, one, whose, now)
        used = min(spent.drawn_of_voucher(connection, voucher, one.allowance, spent.GIVEN), one.points)
        left = one.points - used
        allowances.set_aside(
            connection,
            allowance=one.allowance,
            member=whose or allowances.NOBODYS,
            device=device,
            epoch=one.epoch,
            lots=(LotPart(points=left),) if left else (),
            voucher=voucher,
            used=used,
            now=now,
        )
        vouchers.reach(connection, voucher)
