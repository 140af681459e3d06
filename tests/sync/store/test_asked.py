"""What a register was granted by telephone: taken once, for an ask of this database, and never by an older one."""

from __future__ import annotations

import secrets
import shutil
from functools import partial
from pathlib import Path

import pytest

from loyalty.allowances import CannotSpendError
from sync.phone_codes import Grant, Part
from sync.store import asked_rows, spending_rows
from sync.store.asked_rows import MAX_ASKS, Taken
from sync.store.store import Store
from sync.store.writing import Writing
from tests.sync.store.samples import NOON, member, opened, upsert
from tests.sync.store.spending import (
    ANA,
    CENTRE,
    DEVICE,
    EPOCH,
    begun,
    confirm,
    granted,
    open_epoch,
    release,
    reserve,
    standing,
)
from tests.sync.store.test_spending import files

BY_PHONE = "f" * 32


def asked(store: Store) -> bytes:
    nonce = secrets.token_bytes(16)
    store.submit(lambda writing: writing.note_ask(nonce)).result()
    return nonce


def a_grant(nonce: bytes, points: int = 1000, *, epoch: str = EPOCH, allowance: str = BY_PHONE) -> Grant:
    part = Part(allowance=allowance, points=points)
    return Grant(device=DEVICE, epoch=epoch, nonce=nonce, whose=bytes(12), parts=(part,))


def take(store: Store, grant: Grant) -> Taken:
    return store.submit(lambda writing: writing.take_grant(grant, ANA)).result()


def told(store: Store, *grants: object, through: int) -> None:
    """As the feed of allowances does."""
    keep = partial(Writing.keep_allowances, granted=grants, through=through, centre_epoch=CENTRE)  # type: ignore[arg-type]
    store.submit(keep).result()


def test_a_grant_is_taken_once_and_a_used_one_does_not_revive(store: Store) -> None:
    begun(store)
    grant = a_grant(asked(store))

    assert take(store, grant) == "taken"
    assert take(store, grant) == "known"
    assert standing(store).safe == 1000

    confirm(store, reserve(store, "r-1", 1000))
    assert take(store, grant) == "known"
    assert standing(store).safe == 0


def test_the_same_allowance_by_the_feed_is_the_same_one(store: Store) -> None:
    begun(store)
    grant = a_grant(asked(store))
    take(store, grant)
    reserve(store, "r-1", 500)

    # it has no number until the centre tells of it
    assert store.submit(lambda writing: writing.granted_so(ANA)).result() == (BY_PHONE,)
    told(store, granted(7, 1000, allowance=BY_PHONE), through=7)

    assert standing(store).safe == 500
    assert store.submit(lambda writing: writing.granted_so(ANA)).result() == ()
    [held] = store.held_allowances()
    assert (held.allowance, held.points, held.used) == (BY_PHONE, 1000, 500)


def test_what_the_feed_brought_first_and_took_back_does_not_revive(store: Store) -> None:
    begun(store)
    grant = a_grant(asked(store))
    told(store, granted(7, 1000, allowance=BY_PHONE), through=7)
    told(store, granted(8, 1000, allowance=BY_PHONE, recalled=True), through=8)

    assert take(store, grant) == "known"

    assert standing(store).safe == 0
    assert [one.kind for one in store.queue()] == ["allowance_return"]


def test_a_grant_that_nobody_asked_for_here_is_not_taken(store: Store) -> None:
    begun(store)
    nonce = asked(store)

    assert take(store, a_grant(secrets.token_bytes(16))) == "not_asked"
    assert take(store, a_grant(nonce, epoch="e-0")) == "not_asked"
    assert standing(store).safe == 0

    # an ask is for one grant
    assert take(store, a_grant(nonce)) == "taken"
    assert take(store, a_grant(nonce, allowance="e" * 32)) == "not_asked"


def test_with_its_epoch_or_its_member_an_ask_ends(store: Store) -> None:
    begun(store)
    before = asked(store)
    store.submit(lambda writing: open_epoch(writing, "e-2")).result()
    assert take(store, a_grant(before)) == "not_asked"
    assert take(store, a_grant(before, epoch="e-2")) == "not_asked"

    erased = asked(store)
    store.submit(lambda writing: writing.purge_spending({ANA}, lambda _reference: False)).result()
    assert take(store, a_grant(erased, epoch="e-2")) == "not_asked"


def test_asks_end_where_rows_that_were_spent_are_let_go_of(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spending_rows, "MAX_SPENT_ALLOWANCES", 1)
    begun(store)
    first, second = a_grant(asked(store)), a_grant(asked(store), allowance="e" * 32)
    # given one that the feed brought and took back, and another one that was spent, of which one is forgotten
    told(store, granted(7, 1000, allowance=BY_PHONE), granted(8, 1000, allowance=BY_PHONE, recalled=True), through=8)
    told(store, granted(9, 1000, allowance="a-9"), granted(10, 1000, allowance="a-9", recalled=True), through=10)
    told(store, granted(11, 1000, allowance="b-9"), through=11)
    assert BY_PHONE not in {one.allowance for one in store.held_allowances()}

    # then it does not come back by its grant, nor does anything that was asked for before
    assert [take(store, grant) for grant in (first, second)] == ["not_asked", "not_asked"]


def test_so_many_asks_are_remembered(store: Store) -> None:
    begun(store)
    nonces = [asked(store) for _ in range(MAX_ASKS + 1)]

    assert take(store, a_grant(nonces[0])) == "not_asked"
    assert take(store, a_grant(nonces[1])) == "taken"
    assert asked_rows.MAX_ASKS == MAX_ASKS


@pytest.mark.parametrize("after", ["taken", "spent", "returned", "released"])
def test_a_database_that_is_put_back_cannot_take_it_again(tmp_path: Path, after: str) -> None:
    # given a backup of when the points were asked for
    store = opened(tmp_path / "live")
    begun(store)
    grant = a_grant(asked(store))
    store.close()
    (tmp_path / "backup").mkdir()
    for file in files(tmp_path / "live"):
        shutil.copy(file, tmp_path / "backup")

    # when they were granted, and the backup is put back
    store = opened(tmp_path / "live")
    take(store, grant)
    if after == "returned":
        told(store, granted(7, 1000, allowance=BY_PHONE, recalled=True), through=7)
    elif after != "taken":
        one = reserve(store, "r-1", 1000)
        (confirm if after == "spent" else release)(store, one)
    store.close()
    for file in files(tmp_path / "live"):
        file.unlink()
    for file in (tmp_path / "backup").iterdir():
        shutil.copy(file, tmp_path / "live")
    store = opened(tmp_path / "live")

    # then nothing is taken or spent, and in the epoch that follows the grant is over
    assert take(store, grant) == "unsure"
    with pytest.raises(CannotSpendError):
        reserve(store, "r-2", 500)
    store.submit(lambda writing: open_epoch(writing, "e-2")).result()
    assert take(store, grant) == "not_asked"
    assert standing(store).safe == 0
    store.close()


def test_of_what_is_asked_for_nothing_names_the_member(store: Store) -> None:
    begun(store)
    nonce = asked(store)

    assert store.meta("phone-asks") == f'["{nonce.hex()}"]'


def test_the_points_that_lie_elsewhere(store: Store) -> None:
    begun(store)
    shown = member(ANA, "CARD-1", confirmed=5000)
    store.submit(lambda writing: writing.apply_changes((upsert(2, shown),), 2, NOON)).result()
    found = store.member(ANA)
    assert found is not None
    assert store.points_elsewhere(found) == 0
    take(store, a_grant(asked(store)))
    confirm(store, reserve(store, "r-1", 1000))
    found = store.member(ANA)
    assert found is not None
    assert (found.balance.spendable, store.points_elsewhere(found)) == (4000, 0)
