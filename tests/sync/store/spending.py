"""A register's store that may spend points of one member, and what is reserved of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from loyalty.allowances import Draw, Standing, leased
from loyalty.instant import Instant
from loyalty.program import Reward
from sync.store.rows import KeptRedemption
from sync.store.store import Store
from sync.store.writing import Writing
from sync.wire import GrantedAllowance
from tests.sync.store.samples import NOON, member, upsert

ANA, EPOCH, DEVICE, CENTRE = "m-ana", "e-1", "d-1", "centre-1"
REWARD = Reward(id="r5", cost=500, discount_minor=500, offline="allowance")
TOUCHED = Instant(wall=datetime(2026, 11, 22, 12, 0, tzinfo=UTC), boot="boot-1", monotonic_ns=0)


def granted(
    number: int, points: int = 1000, *, allowance: str = "a-1", epoch: str = EPOCH, recalled: bool = False
) -> GrantedAllowance:
    return GrantedAllowance(
        number=number, allowance=allowance, member=ANA, epoch=epoch, points=points, recalled=recalled
    )


def open_epoch(writing: Writing, epoch: str) -> None:
    """As the centre's answer does."""
    writing.open_epoch(epoch, DEVICE)
    writing.leave_epoch()


def begun(store: Store, *grants: GrantedAllowance, confirmed: int = 5000) -> None:
    """A live epoch, one member, a sale, and what was granted."""

    def work(writing: Writing) -> None:
        writing.apply_changes((upsert(1, member(ANA, "CARD-1", confirmed=confirmed)),), 1, NOON)
        open_epoch(writing, EPOCH)
        writing.keep_allowances(grants, len(grants), CENTRE)
        writing.open_sale("s-1", TOUCHED, by_page=False)

    store.submit(work).result()


def standing(store: Store) -> Standing:
    shown = store.member(ANA)
    assert shown is not None
    return store.standing(shown, is_sure=store.is_sure())


def take(store: Store, name: str, voucher: str, *, sale: str = "s-1") -> KeptRedemption:
    """As a lease of the voucher lets it. Raises CannotSpendError."""

    def work(writing: Writing) -> KeptRedemption:
        epoch = writing.live_epoch_id()
        lease = leased(writing.leases(voucher), epoch=epoch, is_sure=writing.is_sure())
        one = KeptRedemption(
            id=name,
            sale=sale,
            member=ANA,
            reward=lease.reward,
            times=1,
            points=0,
            discount_minor=300,
            draws=(Draw(allowance=lease.allowance, points=1),),
            at=NOON,
            voucher=voucher,
        )
        writing.reserve(one)
        return one

    return store.submit(work).result()


def reserve(store: Store, name: str, points: int, *, sale: str = "s-1") -> KeptRedemption:
    """As an allowance lets it. Raises CannotSpendError."""
    return store.submit(reserving(name, points, sale=sale)).result()


def reserving(name: str, points: int, *, sale: str = "s-1") -> Callable[[Writing], KeptRedemption]:
    """The work of that."""

    def work(writing: Writing) -> KeptRedemption:
        shown = writing.member(ANA)
        assert shown is not None
        draws = writing.standing(shown, is_sure=writing.is_sure()).drawn(REWARD, points)
        one = KeptRedemption(
            id=name,
            sale=sale,
            member=ANA,
            reward=REWARD.id,
            times=points // REWARD.points,
            points=points,
            discount_minor=points,
            draws=draws,
            at=NOON,
        )
        writing.reserve(one)
        return one

    return work


def confirm(store: Store, one: KeptRedemption, receipt: str = "receipt-1") -> None:
    store.submit(lambda writing: writing.confirm(one, receipt)).result()


def release(store: Store, one: KeptRedemption) -> None:
    store.submit(lambda writing: writing.release(one)).result()
