"""Whatever befalls a register, no allowance is spent twice: grants, sales, restarts, copies put back, new epochs.

The model is the world outside: what customers were given, and what the centre was told is left. A copy of the database
is put back without its witness, as a restored backup of the file is; both together would be the register of that day.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from loyalty.allowances import CannotSpendError
from sync.records import AllowanceReturnBody, RedeemBody
from sync.store.rows import KeptRedemption
from sync.store.store import Store
from sync.store.witness import witness_of
from sync.store.writing import Writing
from sync.wire import GrantedAllowance
from tests.sync.store.samples import NOON, Clock, member, opened, upsert
from tests.sync.store.spending import ANA, CENTRE, REWARD, TOUCHED, confirm, open_epoch, release, reserve, standing

_DATABASE = ("store.db", "store.db-wal", "store.db-shm")


class Spending(RuleBasedStateMachine):
    """One register's store, and the world that remembers what it gave."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.live, self.clock = self.folder / "live", Clock()
        self.store: Store = opened(self.live, self.clock)
        self.granted: dict[str, GrantedAllowance] = {}
        self.gave: Counter[str] = Counter()
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
        if not self._agrees():
            self._new_epoch()
        number = next(self.names) + 1
        one = GrantedAllowance(
            number=number,
            allowance=f"a-{number}",
            member=ANA,
            epoch=self.centre_epoch_of_register,
            points=rewards * REWARD.cost,
        )
        self.granted[one.allowance] = one
        self._page(one, number)

    @precondition(lambda self: self.granted)
    @rule(data=st.data())
    def recall(self, data: st.DataObject) -> None:
        if not self._agrees():
            self._new_epoch()
        one = self.granted[data.draw(st.sampled_from(sorted(self.granted)))]
        if one.epoch == self.centre_epoch_of_register:
            number = next(self.names) + 1
            self._page(msgspec.structs.replace(one, number=number, recalled=True), number)

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
            reserve(self.store, f"r-{name}", rewards * REWARD.cost, sale=name)
        except CannotSpendError:
            assert safe < rewards * REWARD.cost

    def _reserved(self, data: st.DataObject) -> KeptRedemption | None:
        every = self.store.reserved_redemptions()
        return data.draw(st.sampled_from(every)) if every else None

    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        one = self._reserved(data)
        if one is not None:
            confirm(self.store, one)
            self._given(one)

    def _given(self, one: KeptRedemption) -> None:
        """A customer has it; the same redemption that is confirmed again is the same one."""
        for draw in one.draws:
            self.gave[f"{one.id} {draw.allowance}"] = draw.points

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        one = self._reserved(data)
        if one is not None:
            release(self.store, one)

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
            confirm(self.store, one)
            self._given(one)
        self.store.close()
        witness.write_bytes(before)
        self.store = opened(self.live, self.clock)

    @rule()
    def copy(self) -> None:
        self.store.close()
        self.copies += 1
        kept = self.folder / f"copy-{self.copies}"
        kept.mkdir()
        for name in _DATABASE:
            if (self.live / name).exists():
                shutil.copy(self.live / name, kept / name)
        self.store = opened(self.live, self.clock)

    @precondition(lambda self: self.copies)
    @rule(data=st.data())
    def put_back(self, data: st.DataObject) -> None:
        self.store.close()
        kept = self.folder / f"copy-{data.draw(st.integers(1, self.copies))}"
        for name in _DATABASE:
            (self.live / name).unlink(missing_ok=True)
            if (kept / name).exists():
                shutil.copy(kept / name, self.live / name)
        self.store = opened(self.live, self.clock)

    # What must hold

    @invariant()
    def nothing_is_spent_twice(self) -> None:
        used: Counter[str] = Counter()
        for name, points in self.gave.items():
            used[name.partition(" ")[2]] += points
        self.returned.update(self._returned())
        for allowance, points in self.returned.items():
            used[allowance] += points
        for allowance, points in used.items():
            assert points <= self.granted[allowance].points, allowance

    def _returned(self) -> dict[str, int]:
        """What the register says, in the epoch that the allowance is of, of what is left of each."""
        entries = (self.store.entry(one.number) for one in self.store.queue() if one.kind == "allowance_return")
        said = [msgspec.json.decode(entry.json, type=AllowanceReturnBody) for entry in entries]
        returned = {one.allowance: one.points for one in said}
        assert len(returned) == len(said)
        return returned

    @invariant()
    def what_was_drawn_is_told(self) -> None:
        entries = (self.store.entry(one.number) for one in self.store.queue() if one.kind == "redeem")
        for entry in entries:
            body = msgspec.json.decode(entry.json, type=RedeemBody)
            assert sum(one.points for one in body.drawn) == body.points


TestSpending = Spending.TestCase
TestSpending.settings = settings(
    max_examples=8, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
