"""What a voucher that is shown at this register brings: which reward, and which use of it is taken.

Owns the ways of a code: that of a reward in the program, which anybody may use; that of a voucher which was issued, of
which this register has to hold a use (`loyalty.allowances`). Never asks the centre, and runs in the store's writer.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from msgspec import UNSET, Struct
from msgspec.structs import replace

from agent.sale_shapes import SaleRefusedError
from loyalty.allowances import Asked, CannotSpendError, Draw, Lease, Standing, leased
from loyalty.identification import normal_code
from loyalty.member import Member, stamps_of
from loyalty.program import Program, Reward
from loyalty.rewards import by_code, full_cards
from loyalty.voucher_codes import is_voucher_code, stamp_card_id, voucher_id
from sync.store.writing import Writing
from sync.wire import Wanted

_ASKS_EACH_TIME: Final = "the centre is asked for it each time, and does not answer: try again once it is online"


class NotGrantedError(SaleRefusedError):
    """The centre may grant what is lacking, which is `wanted`."""

    def __init__(self, error: CannotSpendError, wanted: Wanted) -> None:
        super().__init__(error.reason, f"{error}.")
        self.wanted = wanted


class Brought(Struct, frozen=True, kw_only=True):
    """A reward that a voucher brings, and the use of it that is taken; None where anybody may use the code."""

    reward: Reward
    lease: Lease | None = None

    @property
    def draws(self) -> tuple[Draw, ...]:
        return (Draw(allowance=self.lease.allowance, points=1),) if self.lease is not None else ()

    @property
    def voucher(self) -> str | None:
        return self.lease.voucher if self.lease is not None else None


def brought_by(
    writing: Writing,
    program: Program,
    member: Member,
    standing: Standing,
    written: str,
    *,
    now: datetime,
    asked: Asked,
) -> Brought:
    """By a code as it was typed, or what a scanner sent says. Raises SaleRefusedError, also NotGrantedError."""
    code = normal_code(written)
    anybodys = by_code(program, code)
    if anybodys is not None:
        return Brought(reward=anybodys)
    if not is_voucher_code(code):
        raise SaleRefusedError("no_voucher", "No voucher has this code: see whether it is whole, or scan it again.")
    key = writing.code_key()
    if key is None:
        raise SaleRefusedError("not_offline", "This register never reached the centre, which issued this voucher.")
    voucher = voucher_id(code, key)
    wanted = Wanted(member=member.member, points=1, voucher=voucher)
    try:
        lease = _lease(standing, writing.leases(voucher), wanted)
    except NotGrantedError:
        # The centre may know of further uses.
        if asked != "not_yet" and any(one.voucher == voucher for one in writing.reserved_redemptions()):
            raise SaleRefusedError("voucher_used", "This voucher is on an open sale here already.") from None
        raise
    if lease.member not in ("", member.member):
        raise SaleRefusedError("voucher_anothers", "This voucher is another member's.")
    if lease.is_over(now):
        raise SaleRefusedError("voucher_over", "This voucher is over.")
    return _brought(program, lease, wanted, asked)


def own(
    writing: Writing,
    program: Program,
    member: Member,
    standing: Standing,
    reward: str,
    *,
    now: datetime,
    asked: Asked,
) -> Brought:
    """By a voucher of the member's own that was set aside here for this reward: nobody has to show it.

    Raises SaleRefusedError.
    """
    usable = [
        one
        for one in writing.leases_of(member)
        if one.reward == reward and one.epoch == standing.epoch and not one.is_over(now)
    ]
    card = _card(program, member, reward)
    if not usable and card is None:
        raise SaleRefusedError("no_voucher", f"{reward!r} needs its voucher: scan that, or give its code.")
    which = usable[0].voucher if usable else card
    wanted = Wanted(member=member.member, points=1, voucher=which or UNSET)
    return _brought(program, _lease(standing, usable, wanted), wanted, asked)


def _card(program: Program, member: Member, reward: str) -> str | None:
    """The voucher that stands for the member's full cards; None where stamps do not bring the reward.

    Raises SaleRefusedError where none is full.
    """
    full = full_cards(program, stamps_of(member)).get(reward)
    if full == 0:
        raise SaleRefusedError("not_enough", f"No card of stamps is full: {reward!r} costs one.")
    return None if full is None else stamp_card_id(member.member, reward)


def _lease(standing: Standing, leases: Iterable[Lease], wanted: Wanted) -> Lease:
    try:
        return leased(leases, epoch=standing.epoch, is_sure=standing.is_sure)
    except CannotSpendError as error:
        raise NotGrantedError(error, wanted) from error


def _brought(program: Program, lease: Lease, wanted: Wanted, asked: Asked) -> Brought:
    """What lies here brings its reward, where the centre has answered for this one if that is to be asked each time."""
    reward = next((one for one in program.rewards if one.id == lease.reward and one.is_leased), None)
    if reward is None:
        raise SaleRefusedError("not_for_basket", f"The program in force has no reward {lease.reward!r} for vouchers.")
    if reward.offline == "refuse" and asked != "granted":
        raise NotGrantedError(CannotSpendError("not_offline", _ASKS_EACH_TIME), replace(wanted, points=0))
    return Brought(reward=reward, lease=lease)
