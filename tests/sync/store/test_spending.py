"""Points that are set aside here: what uses them, what frees them, and a database that was put back."""

from __future__ import annotations

import shutil
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from loyalty.allowances import CannotSpendError, Draw
from loyalty.ledger import LedgerEntry
from loyalty.member import Balance
from sync.durable import overwrite
from sync.records import AllowanceReturnBody, RedeemBody
from sync.store.reading import EPOCH_VOID
from sync.store.spending_rows import MAX_ENDED_SALES, OPENING_CALLS
from sync.store.sqlite import DatabaseError
from sync.store.store import Store
from sync.store.witness import SLOT_BYTES, witness_of
from sync.store.writing import Writing
from sync.wire import Outcome
from tests.sync.store.samples import NOON, Clock, answer, member, opened, upsert
from tests.sync.store.spending import (
    ANA,
    CENTRE,
    TOUCHED,
    begun,
    confirm,
    granted,
    open_epoch,
    release,
    reserve,
    standing,
)


def entries(store: Store, kind: str) -> list[bytes]:
    return [store.entry(one.number).json for one in store.queue() if one.kind == kind]


def spendable(store: Store) -> int:
    shown = store.member(ANA)
    assert shown is not None
    return shown.balance.spendable


def files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name in ("store.db", "store.db-wal", "store.db-shm")]


def test_what_is_reserved_cannot_be_reserved_again(store: Store) -> None:
    begun(store, granted(1, 1000))

    one = reserve(store, "r-1", 1000)

    assert one.draws == (Draw(allowance="a-1", points=1000),)
    assert (standing(store).safe, spendable(store)) == (0, 4000)
    with pytest.raises(CannotSpendError):
        reserve(store, "r-2", 500)


def test_what_is_released_can_be_used_again_and_shows_again(store: Store) -> None:
    begun(store, granted(1, 1000))
    one = reserve(store, "r-1", 1000)

    release(store, one)

    assert (standing(store).safe, spendable(store)) == (1000, 5000)
    assert store.redemptions_of("s-1")[0].state == "released"
    assert entries(store, "redeem") == []


def test_what_is_confirmed_goes_up_under_its_own_key_and_shows_until_the_feed_has_it(store: Store) -> None:
    begun(store, granted(1, 1000))
    one = reserve(store, "r-1", 500)

    confirm(store, one)

    [body] = entries(store, "redeem")
    said = msgspec.json.decode(body, type=RedeemBody)
    assert (said.points, said.drawn, said.receipt) == (500, (Draw(allowance="a-1", points=500),), "receipt-1")
    batch = store.next_batch()
    assert batch is not None
    store.submit(lambda writing: writing.acknowledge(answer(batch, 1, Outcome(seq=1, code="accepted", pos=9)))).result()
    assert (spendable(store), standing(store).safe) == (4500, 500)
    shown = member(ANA, "CARD-1", confirmed=4500)
    store.submit(lambda writing: writing.apply_changes((upsert(9, shown),), 9, NOON)).result()
    assert spendable(store) == 4500


def test_points_that_were_spent_are_no_less_pending(store: Store) -> None:
    begun(store, granted(1))

    reserve(store, "r-1", 500)

    shown = store.member(ANA)
    assert shown is not None
    assert shown.balance.pending == 0


def test_a_grant_again_changes_nothing_of_what_was_used(store: Store) -> None:
    begun(store, granted(1, 1000))
    reserve(store, "r-1", 500)

    store.submit(lambda writing: writing.keep_allowances((granted(1, 1000), granted(2, 1000)), 2, CENTRE)).result()

    assert standing(store).safe == 500


def test_what_is_asked_back_goes_back_once_with_what_is_left_of_it(store: Store) -> None:
    begun(store, granted(1, 1500))
    confirm(store, reserve(store, "r-1", 500))

    for number in (2, 3):
        asked = granted(number, 1500, recalled=True)
        store.submit(partial(Writing.keep_allowances, granted=(asked,), through=number, centre_epoch=CENTRE)).result()

    [returned] = entries(store, "allowance_return")
    assert msgspec.json.decode(returned, type=AllowanceReturnBody) == AllowanceReturnBody(allowance="a-1", points=1000)
    assert standing(store).safe == 0


@pytest.mark.parametrize("ending", ["confirmed", "released"])
def test_what_a_sale_draws_of_goes_back_once_the_sale_has_ended(store: Store, ending: str) -> None:
    begun(store, granted(1, 1500))
    one = reserve(store, "r-1", 500)
    store.submit(lambda writing: writing.keep_allowances((granted(2, 1500, recalled=True),), 2, CENTRE)).result()
    assert entries(store, "allowance_return") == []

    confirm(store, one) if ending == "confirmed" else release(store, one)

    left = 1000 if ending == "confirmed" else 1500
    assert entries(store, "allowance_return") == [b'{"allowance":"a-1","points":%d}' % left]


def test_an_allowance_of_another_epoch_is_never_used(store: Store) -> None:
    begun(store, granted(1, 1000), granted(2, 1000, allowance="a-2", epoch="e-0"))
    assert standing(store).safe == 1000

    store.submit(lambda writing: open_epoch(writing, "e-2")).result()

    assert standing(store).safe == 0
    assert [one.allowance for one in store.held_allowances()] == ["a-1"]  # for a centre that asks what was held


def test_what_was_reserved_counts_in_the_next_epoch_too(store: Store) -> None:
    begun(store, granted(1, 1000))
    one = reserve(store, "r-1", 500)
    store.submit(lambda writing: open_epoch(writing, "e-2")).result()

    confirm(store, one)

    assert len(entries(store, "redeem")) == 1


def test_a_restart_finds_each_redemption_where_it_was(tmp_path: Path, clock: Clock) -> None:
    store = opened(tmp_path, clock)
    begun(store, granted(1, 2000))
    reserve(store, "r-1", 500)
    confirm(store, reserve(store, "r-2", 500))
    release(store, reserve(store, "r-3", 500))
    store.close()

    store = opened(tmp_path, clock)

    assert [one.state for one in store.redemptions_of("s-1")] == ["reserved", "confirmed", "released"]
    assert (standing(store).safe, store.is_sure()) == (1000, True)
    store.close()


def test_a_database_that_was_put_back_spends_nothing_until_another_epoch(tmp_path: Path, clock: Clock) -> None:
    store = opened(tmp_path / "till", clock)
    begun(store, granted(1, 1000))
    store.close()
    shutil.copytree(tmp_path / "till", tmp_path / "copy")
    store = opened(tmp_path / "till", clock)
    reserve(store, "r-1", 1000)
    store.close()

    for file in files(tmp_path / "copy"):
        shutil.copy(file, tmp_path / "till" / file.name)
    store = opened(tmp_path / "till", clock)

    assert "put back" in store.unsure_because()
    assert standing(store).safe == 0
    with pytest.raises(CannotSpendError) as refused:
        reserve(store, "r-2", 500)
    assert refused.value.reason == "register_unsure"
    assert store.meta(EPOCH_VOID) == "e-1"  # the exchange opens another one
    store.close()

    store = opened(tmp_path / "till", clock)  # a restart does not forget that
    assert not store.is_sure()
    store.submit(lambda writing: open_epoch(writing, "e-2")).result()
    store.submit(
        lambda writing: writing.keep_allowances((granted(2, 500, allowance="a-2", epoch="e-2"),), 2, CENTRE)
    ).result()
    assert (store.is_sure(), standing(store).safe) == (True, 500)
    store.close()


def test_one_that_may_have_forgotten_what_it_spent_gives_nothing_back(tmp_path: Path, clock: Clock) -> None:
    store = opened(tmp_path, clock)
    begun(store, granted(1, 1000))
    reserve(store, "r-1", 500)
    store.close()
    witness_of(tmp_path / "store.db").write_text("tillside-witness-1 99\n")

    store = opened(tmp_path, clock)
    store.submit(lambda writing: writing.keep_allowances((granted(2, 1000, recalled=True),), 2, CENTRE)).result()

    assert entries(store, "allowance_return") == []
    store.close()


@pytest.mark.parametrize("content", [None, "", "tillside-witness-1 \n", "\N{SNOWMAN}"])
def test_a_witness_that_is_gone_or_broken_is_one_that_disagrees(
    tmp_path: Path, clock: Clock, content: str | None
) -> None:
    store = opened(tmp_path, clock)
    begun(store, granted(1, 1000))
    store.close()
    witness = witness_of(tmp_path / "store.db")
    witness.unlink() if content is None else witness.write_text(content)

    store = opened(tmp_path, clock)

    assert not store.is_sure()
    store.close()


def test_killed_between_the_commit_and_the_witness_it_goes_on(tmp_path: Path, clock: Clock) -> None:
    store = opened(tmp_path, clock)
    begun(store, granted(1, 1000))
    witness = witness_of(tmp_path / "store.db")
    before = witness.read_text()
    reserve(store, "r-1", 500)
    store.close()
    witness.write_text(before)

    store = opened(tmp_path, clock)

    assert (store.is_sure(), standing(store).safe) == (True, 500)
    assert witness.read_text() > before
    store.close()


@pytest.mark.parametrize("cut_off", [b"", b"tillside-witness-1 9", b"\xff" * 512])
def test_a_power_cut_that_halves_the_witness_leaves_the_count_before(
    tmp_path: Path, clock: Clock, cut_off: bytes
) -> None:
    # given a witness that was written several times, the last time only in part
    with closing(opened(tmp_path, clock)) as store:
        begun(store, granted(1))
        for name in ("r-1", "r-2"):
            release(store, reserve(store, name, 500))
    witness = witness_of(tmp_path / "store.db")
    newest = max(range(2), key=lambda slot: witness.read_bytes()[slot * SLOT_BYTES :].partition(b"\n")[0])
    overwrite(witness, newest * SLOT_BYTES, cut_off.ljust(SLOT_BYTES, b"\0"))

    # when the register starts, then it goes on: its database tells of more
    with closing(opened(tmp_path, clock)) as store:
        assert standing(store).safe == 1000
    # and where either slot tells of more, it is an older copy
    overwrite(witness, (1 - newest) * SLOT_BYTES, b"tillside-witness-1 99\n")
    with closing(opened(tmp_path, clock)) as store:
        assert standing(store).safe == 0


def test_a_witness_that_cannot_be_written_ends_spending_and_nothing_else(tmp_path: Path, clock: Clock) -> None:
    store = opened(tmp_path, clock)
    begun(store, granted(1, 1000))
    witness = witness_of(tmp_path / "store.db")
    witness.unlink()
    witness.mkdir()

    one = reserve(store, "r-1", 500)

    assert "cannot be written" in store.unsure_because()
    with pytest.raises(CannotSpendError):
        reserve(store, "r-2", 500)
    witness.rmdir()
    release(store, one)
    assert store.is_sure()
    store.close()


def test_an_older_copy_in_which_a_redemption_is_still_reserved_cannot_release_it(tmp_path: Path, clock: Clock) -> None:
    store = opened(tmp_path / "till", clock)
    begun(store, granted(1, 500))
    one = reserve(store, "r-1", 500)
    store.close()
    shutil.copytree(tmp_path / "till", tmp_path / "copy")
    store = opened(tmp_path / "till", clock)
    confirm(store, one)
    store.close()
    for file in files(tmp_path / "copy"):
        shutil.copy(file, tmp_path / "till" / file.name)

    store = opened(tmp_path / "till", clock)
    release(store, one)

    with pytest.raises(CannotSpendError):
        reserve(store, "r-2", 500)
    store.close()


def test_more_than_was_granted_is_not_even_written(store: Store) -> None:
    begun(store, granted(1, 500))
    one = reserve(store, "r-1", 500)

    with pytest.raises(DatabaseError, match="CHECK"):
        store.submit(lambda writing: writing.reserve(replace(one, id="r-2"))).result()

    assert [each.id for each in store.redemptions_of("s-1")] == ["r-1"]


def test_sales_that_ended_are_forgotten_at_last_and_their_calls_with_them(store: Store) -> None:
    begun(store)

    def end_many(writing: Writing) -> None:
        for number in range(MAX_ENDED_SALES + 1):
            writing.keep_answered_call(OPENING_CALLS, f"open-{number}", "d", b"{}")
            writing.open_sale(f"s-x{number}", TOUCHED, by_page=False, call=f"open-{number}")
            writing.keep_answered_call(f"sale/s-x{number}", "c", "d", b"{}")
            writing.end_sale(f"s-x{number}", "ended")

    store.submit(end_many).result()

    assert (store.sale("s-x0"), store.sale("s-x1") is None) == (None, False)
    assert store.answered_call("sale/s-x0", "c") is None
    assert store.answered_call(OPENING_CALLS, "open-0") is None
    assert store.answered_call(OPENING_CALLS, "open-1") is not None
    assert [sale.id for sale in store.open_sales()] == ["s-1"]


def test_what_an_epoch_before_held_is_not_given_back_in_this_one(store: Store) -> None:
    # Given an allowance of an epoch that was left
    begun(store, granted(1, 1000))
    store.submit(lambda writing: open_epoch(writing, "e-2")).result()
    # When it is asked back
    store.submit(lambda writing: writing.keep_allowances((granted(2, 1000, recalled=True),), 2, CENTRE)).result()
    # Then nothing is said of it: another copy may have spent it
    assert entries(store, "allowance_return") == []


def test_a_copy_of_before_another_epoch_spends_nothing(tmp_path: Path, clock: Clock) -> None:
    # Given a database that was put back to before an epoch that was opened and spent nothing
    store = opened(tmp_path / "till", clock)
    begun(store, granted(1, 1000))
    store.close()
    shutil.copytree(tmp_path / "till", tmp_path / "copy")
    store = opened(tmp_path / "till", clock)
    store.submit(lambda writing: open_epoch(writing, "e-2")).result()
    store.close()
    for file in files(tmp_path / "copy"):
        shutil.copy(file, tmp_path / "till" / file.name)
    # When it is opened
    with closing(opened(tmp_path / "till", clock)) as store:
        # Then it gives nothing of what it holds in an epoch that ended
        assert (store.is_sure(), standing(store).safe) == (False, 0)


@pytest.mark.parametrize(("epoch", "drawn"), [("e-1", 500), ("e-2", 0)])
def test_what_lapsed_and_was_given_draws_of_the_epoch_that_lives(store: Store, epoch: str, drawn: int) -> None:
    begun(store, granted(1, 1000))
    one = reserve(store, "r-1", 500)
    store.submit(lambda writing: writing.release(one, "lapsed")).result()
    if epoch != "e-1":
        store.submit(lambda writing: open_epoch(writing, epoch)).result()

    was_there = store.submit(lambda writing: writing.confirm_lapsed(one, "receipt-1")).result()

    [body] = entries(store, "redeem")
    said = msgspec.json.decode(body, type=RedeemBody)
    assert (sum(draw.points for draw in said.drawn), said.points, was_there) == (drawn, 500, drawn > 0)


def brought_back(store: Store, points: int) -> None:
    """Goods that this register took back, and the centre has not told of."""
    entry = LedgerEntry(receipt="back", rule="base", points=-points, basis_minor=1, why="back")
    store.submit(lambda writing: writing.add_claims("back", ANA, (entry,))).result()


def told(store: Store, confirmed: int, spendable: int, pos: int = 9) -> None:
    """What the centre tells of the member by now."""
    row = replace(member(ANA, "CARD-1"), balance=Balance(confirmed=confirmed, spendable=spendable))
    store.submit(lambda writing: writing.apply_changes((upsert(pos, row),), pos, NOON)).result()


def test_what_was_brought_back_here_is_not_spent_of_what_was_set_aside(store: Store) -> None:
    # Given 1,000 points of which 600 are set aside here, by a row that tells of it or an older one
    begun(store, granted(1, 600))
    for pos, free in ((9, 400), (10, 1000)):
        told(store, 1000, free, pos)
        assert standing(store).safe == 600
    # When goods of 700 points come back here
    brought_back(store, 700)
    # Then 300 are left, and a reward takes of these
    assert (standing(store).safe, spendable(store)) == (300, 300)
    reserve(store, "r-1", 200)
    assert (standing(store).safe, spendable(store)) == (100, 100)


def test_what_the_centre_tells_is_gone_is_not_spent_of_what_was_set_aside(store: Store) -> None:
    # Given 600 points that are set aside here, of a member who has 200 by now
    begun(store, granted(1, 600))
    told(store, 200, -400)

    assert (standing(store).safe, spendable(store)) == (200, 200)
    reserve(store, "r-1", 200)
    assert standing(store).safe == 0


def test_a_row_that_does_not_tell_yet_of_what_was_set_aside_lets_it_be_spent(store: Store) -> None:
    begun(store, granted(1, 600), confirmed=0)

    assert (standing(store).is_short, standing(store).safe) == (False, 600)
