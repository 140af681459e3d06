"""Whatever befalls a register, no allowance is spent twice: grants, sales, restarts, copies put back, new epochs.

Points and vouchers alike: half of what is granted are uses of a voucher.

The model is the world outside: what customers were given, and what the centre was told is left. A copy of the database
is put back without its witness, as a restored backup of the file is; both together would be the register of that day.

What is planted at the end shows that the model can find it: each variant does one thing wrong, and is found within the
runs that the product passes.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from loyalty.allowances import CannotSpendError, Draw
from sync.phone_codes import Grant, Part
from sync.records import AllowanceReturnBody, RedeemBody
from sync.store.rows import KeptRedemption
from sync.store.store import Store
from sync.store.witness import witness_of
from sync.store.writing import Writing
from sync.wire import GrantedAllowance
from tests.sync.store.samples import NOON, Clock, member, opened, upsert
from tests.sync.store.spending import (
    ANA,
    CENTRE,
    DEVICE,
    REWARD,
    TOUCHED,
    confirm,
    open_epoch,
    release,
    reserve,
    standing,
    take,
)

VOUCHERS = ("aa" * 32, "bb" * 32)
_DATABASE = ("store.db", "store.db-wal", "store.db-shm")


class Spending(RuleBasedStateMachine):
    """One register's store, and the world that remembers what it gave."""

    copied: tuple[str, ...] = _DATABASE

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.live, self.clock = self.folder / "live", Clock()
        self.store: Store = opened(self.live, self.clock)
        self.granted: dict[str, GrantedAllowance] = {}
        # What was asked for by telephone, and by which epoch; and what telephones showed then, at any time.
        self.asked: list[tuple[bytes, str]] = []
        self.shown: list[Grant] = []
        self.gave: dict[str, dict[str, int]] = {}
        self.given_up: dict[str, KeptRedemption] = {}
        self.returned: dict[str, int] = {}
        self.centre_epoch_of_register = ""
        self.names = iter(range(10**6))
        self.copies = 0

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)

    # The centre

    @initialize()
    def begin(self) -> None:
        self.store.submit(
            lambda writing: writing.apply_changes((upsert(1, member(ANA, "CARD-1", confirmed=10**6)),), 1, NOON)
        ).result()
        self._new_epoch()

    def _new_epoch(self) -> None:
        epoch = f"e-{next(self.names)}"
        self.centre_epoch_of_register = epoch
        self.store.submit(lambda writing: open_epoch(writing, epoch)).result()

    def _agrees(self) -> bool:
        """Whether the exchange goes on in the epoch that the centre knows; else it begins with another one."""
        return self.store.live_epoch_id() == self.centre_epoch_of_register

    @rule()
    def another_epoch(self) -> None:
        self._new_epoch()

    @rule(rewards=st.integers(1, 4))
    def grant(self, rewards: int) -> None:
        self._grant(member=ANA, points=rewards * REWARD.points)

    @rule(uses=st.integers(1, 2), member=st.sampled_from((ANA, "")), which=st.integers(0, 1))
    def lease(self, uses: int, member: str, which: int) -> None:
        self._grant(member=member, points=uses, voucher=VOUCHERS[which], reward="gift")

    def _grant(self, **what: Any) -> None:
        if not self._agrees():
            self._new_epoch()
        number = next(self.names) + 1
        one = GrantedAllowance(number=number, allowance=f"a-{number}", epoch=self.centre_epoch_of_register, **what)
        self.granted[one.allowance] = one
        self._page(one, number)

    # By telephone

    @rule()
    def ask_by_phone(self) -> None:
        """What is asked for is noted in this database; the centre hears of it by a telephone alone."""
        nonce = secrets.token_bytes(16)
        self.store.submit(lambda writing: writing.note_ask(nonce)).result()
        self.asked.append((nonce, self.store.live_epoch_id()))

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), rewards=st.integers(1, 2))
    def tap(self, data: st.DataObject, rewards: int) -> None:
        """A telephone has something granted, once, where the centre knows the epoch still."""
        nonce, epoch = self.asked.pop(data.draw(st.integers(0, len(self.asked) - 1)))
        if epoch == self.centre_epoch_of_register:
            self._tap(nonce, rewards * REWARD.points)

    def _tap(self, nonce: bytes, points: int) -> None:
        allowance, epoch = nonce.hex(), self.centre_epoch_of_register
        self.granted[allowance] = GrantedAllowance(
            number=1, allowance=allowance, member=ANA, epoch=epoch, points=points
        )
        parts = (Part(allowance=allowance, points=points),)
        self.shown.append(Grant(device=DEVICE, epoch=epoch, nonce=nonce, whose=bytes(12), parts=parts))

    @precondition(lambda self: self.shown)
    @rule(data=st.data())
    def scan(self, data: st.DataObject) -> None:
        """A grant is shown, now or long after it was."""
        self._scan(data.draw(st.sampled_from(self.shown)))

    def _scan(self, grant: Grant) -> None:
        self.store.submit(lambda writing: writing.take_grant(grant, ANA)).result()

    @precondition(lambda self: self.granted)
    @rule(data=st.data())
    def told(self, data: st.DataObject) -> None:
        """The centre tells of one that it granted, by whatever way."""
        one = self.granted[data.draw(st.sampled_from(sorted(self.granted)))]
        if self._agrees() and one.epoch == self.centre_epoch_of_register:
            number = next(self.names) + 1
            self._page(replace(one, number=number), number)

    @rule(rewards=st.integers(1, 3))
    def brought_and_put_back_and_brought(self, rewards: int) -> None:
        """A database of when something was asked for is put back after that was brought and spent; the picture of the
        grant is shown again, then and in the next epoch.
        """
        self._new_epoch()
        self.ask_by_phone()
        self.copy()
        nonce, _ = self.asked.pop()
        self._tap(nonce, rewards * REWARD.points)
        for _ in range(2):
            self._scan(self.shown[-1])
            self._spend_all()
        self._put_back(self.copies)
        self._scan(self.shown[-1])
        self._spend_all()
        self._new_epoch()
        self._scan(self.shown[-1])
        self._spend_all()

    @precondition(lambda self: self.granted)
    @rule(data=st.data())
    def recall(self, data: st.DataObject) -> None:
        if not self._agrees():
            self._new_epoch()
        one = self.granted[data.draw(st.sampled_from(sorted(self.granted)))]
        if one.epoch == self.centre_epoch_of_register:
            number = next(self.names) + 1
            self._page(replace(one, number=number, recalled=True), number)

    def _page(self, one: GrantedAllowance, through: int) -> None:
        keep = partial(Writing.keep_allowances, granted=(one,), through=through, centre_epoch=CENTRE)
        self.store.submit(keep).result()

    # The till

    @rule(rewards=st.integers(1, 3))
    def reserve(self, rewards: int) -> None:
        name = f"s-{next(self.names)}"
        self.store.submit(lambda writing: writing.open_sale(name, TOUCHED, by_page=False)).result()
        safe = standing(self.store).safe
        try:
            reserve(self.store, f"r-{name}", rewards * REWARD.points, sale=name)
        except CannotSpendError:
            assert safe < rewards * REWARD.points

    @rule(which=st.integers(0, 1))
    def show(self, which: int) -> None:
        """A voucher is shown; the register takes it where it holds a use of it."""
        name = f"s-{next(self.names)}"
        self.store.submit(lambda writing: writing.open_sale(name, TOUCHED, by_page=False)).result()
        may = self._may_show(VOUCHERS[which])
        try:
            take(self.store, f"r-{name}", VOUCHERS[which], sale=name)
        except CannotSpendError:
            assert not may
        else:
            assert may

    def _may_show(self, voucher: str) -> bool:
        live = self.store.live_epoch_id()
        return self.store.is_sure() and any(one.epoch == live and one.left > 0 for one in self.store.leases(voucher))

    def _reserved(self, data: st.DataObject) -> KeptRedemption | None:
        every = self.store.reserved_redemptions()
        return data.draw(st.sampled_from(every)) if every else None

    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        one = self._reserved(data)
        if one is not None:
            self._confirm(one)

    def _confirm(self, one: KeptRedemption) -> None:
        confirm(self.store, one)
        self._given()

    def _given(self) -> None:
        """A customer has what the register tells; what it tells again after a copy was put back is the same one."""
        for name, entry in self._told().items():
            self.gave[name] = {draw.allowance: draw.points for draw in entry.drawn}

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        one = self._reserved(data)
        if one is not None:
            release(self.store, one)

    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        """Nobody came back to the sale."""
        one = self._reserved(data)
        if one is not None:
            self._give_up(one)

    def _give_up(self, one: KeptRedemption) -> None:
        self.store.submit(lambda writing: writing.release(one, "lapsed")).result()
        self.given_up[one.id] = one

    @precondition(lambda self: self.given_up)
    @rule(data=st.data())
    def came_after_all(self, data: st.DataObject) -> None:
        """The receipt of a sale that was given up shows what was reserved for it."""
        self._come(data.draw(st.sampled_from(sorted(self.given_up))))

    def _come(self, name: str) -> None:
        one = self.given_up.pop(name)
        if any(kept.state == "lapsed" for kept in self.store.redemptions_of(one.sale)):
            self._came(one)
            self._given()

    def _came(self, one: KeptRedemption) -> None:
        self.store.submit(lambda writing: writing.confirm_lapsed(one, "receipt-1")).result()

    # What befalls it

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = opened(self.live, self.clock)

    @rule(data=st.data())
    def killed_before_the_witness_was_written(self, data: st.DataObject) -> None:
        witness = witness_of(self.live / "store.db")
        before = witness.read_bytes()
        one = self._reserved(data)
        if one is not None:
            self._confirm(one)
        self.store.close()
        witness.write_bytes(before)
        self.store = opened(self.live, self.clock)

    @rule()
    def copy(self) -> None:
        self.store.close()
        self.copies += 1
        self._copied(self.live, self._copy(self.copies))
        self.store = opened(self.live, self.clock)

    @precondition(lambda self: self.copies)
    @rule(data=st.data())
    def put_back(self, data: st.DataObject) -> None:
        self._put_back(data.draw(st.integers(1, self.copies)))

    @rule(rewards=st.integers(1, 3))
    def spent_and_put_back_and_spent(self, rewards: int) -> None:
        """A backup is restored in the evening, and the register sells on, first without a network and then with one."""
        self.grant(rewards)
        self.lease(1, "", 0)
        self.copy()
        self._spend_all()
        self._put_back(self.copies)
        self._spend_all()
        self._new_epoch()
        self._spend_all()

    @rule(rewards=st.integers(1, 3))
    def given_up_and_spent_and_came(self, rewards: int) -> None:
        """A customer whose sale was given up comes back once somebody else had the points."""
        self.grant(rewards)
        if standing(self.store).safe:
            self.reserve(1)
            one = self.store.reserved_redemptions()[-1]
            self._give_up(one)
            self._spend_all()
            self._come(one.id)

    def _copy(self, number: int) -> Path:
        return self.folder / f"copy-{number}"

    def _put_back(self, number: int) -> None:
        self.store.close()
        for name in self.copied:
            (self.live / name).unlink(missing_ok=True)
        self._copied(self._copy(number), self.live)
        self.store = opened(self.live, self.clock)

    def _copied(self, source: Path, target: Path) -> None:
        target.mkdir(exist_ok=True)
        for name in self.copied:
            if (source / name).exists():
                shutil.copy(source / name, target / name)

    def _spend_all(self) -> None:
        rewards = standing(self.store).safe // REWARD.points
        if rewards:
            self.reserve(rewards)
            self._confirm(self.store.reserved_redemptions()[-1])
        for which, voucher in enumerate(VOUCHERS):
            while self._may_show(voucher):
                self.show(which)
                self._confirm(self.store.reserved_redemptions()[-1])

    # What must hold

    @invariant()
    def nothing_is_spent_twice(self) -> None:
        self.returned.update(self._returned())
        spent = Counter(self.returned)
        for drawn in self.gave.values():
            spent.update(drawn)
        for allowance, points in spent.items():
            assert points <= self.granted[allowance].points, allowance

    @invariant()
    def what_is_used_is_told_or_reserved(self) -> None:
        known: Counter[str] = Counter()
        for drawn in (*(body.drawn for body in self._told().values()), *self._draws_reserved()):
            known.update({draw.allowance: draw.points for draw in drawn})
        for one in self.store.held_allowances():
            assert one.used == known[one.allowance], one.allowance

    def _draws_reserved(self) -> list[tuple[Draw, ...]]:
        return [one.draws for one in self.store.reserved_redemptions()]

    def _told(self) -> dict[str, RedeemBody]:
        """What is in the outbox of rewards that were given, by its key."""
        entries = [self.store.entry(one.number) for one in self.store.queue() if one.kind == "redeem"]
        return {entry.key: msgspec.json.decode(entry.json, type=RedeemBody) for entry in entries}

    def _returned(self) -> dict[str, int]:
        """What the register says, in the epoch that the allowance is of, of what is left of each."""
        entries = (self.store.entry(one.number) for one in self.store.queue() if one.kind == "allowance_return")
        said = [msgspec.json.decode(entry.json, type=AllowanceReturnBody) for entry in entries]
        returned = {one.allowance: one.points for one in said}
        assert len(returned) == len(said)
        return returned


ONCE = settings(max_examples=8, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck))
TestSpending = Spending.TestCase
TestSpending.settings = ONCE


# What is planted


class WitnessPutBackToo(Spending):
    """The count outside the database is as old as the database: nothing tells that this is a copy."""

    copied = (*_DATABASE, witness_of(Path("store.db")).name)


class FreedByTime(Spending):
    """What was reserved is used by somebody else after a while, and counts all the same when its receipt comes."""

    def _came(self, one: KeptRedemption) -> None:
        confirm(self.store, one)


class ConfirmedTwice(Spending):
    """A repeat of the receipt is another redemption."""

    def _confirm(self, one: KeptRedemption) -> None:
        confirm(self.store, one)
        confirm(self.store, replace(one, id=f"{one.id}-again"))
        self._given()


class GrantOfAnyEpoch(Spending):
    """What was granted in an epoch that ended is spent in the next."""

    def _new_epoch(self) -> None:
        super()._new_epoch()
        live = self.centre_epoch_of_register
        self.store.submit(lambda writing: writing._execute("UPDATE allowances SET epoch = ?", (live,))).result()


class BroughtInAnyEpoch(Spending):
    """What was granted by telephone in one epoch is taken in any, by a register that remembers its asks for ever."""

    def _scan(self, grant: Grant) -> None:
        live = self.store.live_epoch_id()
        if live and live != grant.epoch:
            self.store.submit(lambda writing: writing.note_ask(grant.nonce)).result()
            self.store.submit(
                lambda writing: writing._execute("DELETE FROM allowances WHERE id = ?", (grant.parts[0].allowance,))
            ).result()
        super()._scan(replace(grant, epoch=live))


class BroughtAgain(Spending):
    """A grant that is shown again is there anew, whatever was spent of it."""

    def _scan(self, grant: Grant) -> None:
        self.store.submit(
            lambda writing: writing._execute(
                "UPDATE allowances SET used = 0, returned = NULL WHERE id = ?", (grant.parts[0].allowance,)
            )
        ).result()
        super()._scan(grant)


@pytest.mark.parametrize(
    "planted",
    [WitnessPutBackToo, FreedByTime, ConfirmedTwice, GrantOfAnyEpoch, BroughtInAnyEpoch, BroughtAgain],
)
def test_what_is_planted_is_found(planted: type[Spending]) -> None:
    found = settings(ONCE, derandomize=True, database=None, phases=[Phase.generate], print_blob=False)

    with pytest.raises(AssertionError):
        run_state_machine_as_test(planted, settings=found)
