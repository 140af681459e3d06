"""The member cache: the newest change wins in any order, and own claims are laid over it until it shows them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from loyalty.instant import Instant
from loyalty.member import Balance, Identifier, Member
from loyalty.receipt import Receipt
from sync.records import ProfileBody, ReceiptBody
from sync.store.fed import fed
from sync.store.member_rows import MAX_PINS, PINNED_FOR
from sync.store.overlay import Edit
from sync.store.store import Store
from sync.store.writing import Writing
from sync.wire import Change, Outcome
from tests.sync.store.samples import CAPTURED, NOON, Clock, answer, capture, claim, member, opened, receipt, upsert

ANA, BOB = "m-ana", "m-bob"


async def apply(store: Store, *changes: Change) -> None:
    await store.write(lambda writing: writing.apply_changes(changes, max((c.pos for c in changes), default=0), NOON))


async def sweep(store: Store) -> None:
    swept: int | None = 0
    while swept is not None:
        swept = await store.write(partial(Writing.sweep_snapshot, after=swept))


def balance(store: Store, code: str = "CARD-1") -> Balance:
    shown = store.member_by_code(code)
    assert shown is not None
    return shown.balance


async def test_a_code_in_any_spelling_names_the_member(store: Store) -> None:
    await apply(store, upsert(1, member(ANA, "ab-12 34", confirmed=7)))

    for spelling in ("AB1234", " ab 12-34", "Ab-1234"):
        shown = store.member_by_code(spelling)
        assert shown is not None
        assert (shown.member, shown.balance.confirmed) == (ANA, 7)
    assert store.member_by_code("AB123") is None


async def test_the_same_digits_name_the_card_before_the_phone(store: Store) -> None:
    phone = replace(member(BOB, "x"), identifiers=(Identifier(kind="phone", code="38160123"),))
    await apply(store, upsert(1, member(ANA, "38160123")), upsert(2, phone))

    shown = store.member_by_code("38160123")
    assert shown is not None
    assert shown.member == ANA


async def test_an_older_change_never_replaces_a_newer_row(store: Store) -> None:
    await apply(store, upsert(5, member(ANA, "CARD-1", confirmed=50)))
    await apply(store, upsert(4, member(ANA, "CARD-9", confirmed=40)))
    await store.write(lambda writing: writing.keep_member(3, member(ANA, "CARD-9", confirmed=30)))

    assert balance(store).confirmed == 50
    assert store.member_by_code("CARD-9") is None
    assert store.member_pos(ANA) == 5


async def test_a_code_that_changed_hands_names_whoever_got_it_last(store: Store) -> None:
    await apply(store, upsert(8, member(BOB, "CARD-1")), upsert(5, member(ANA, "CARD-1")))
    shown = store.member_by_code("CARD-1")
    assert shown is not None
    assert shown.member == BOB

    await apply(store, upsert(9, member(BOB, "CARD-2")))
    shown = store.member_by_code("CARD-1")
    assert shown is not None
    assert shown.member == ANA


async def test_who_left_is_gone_and_may_come_back(store: Store) -> None:
    await apply(store, upsert(1, member(ANA, "CARD-1")), Change(pos=2, op="leave", member=ANA))
    assert store.member_by_code("CARD-1") is None
    assert store.member(ANA) is None
    assert store.count_members() == 0

    await apply(store, upsert(1, member(ANA, "CARD-1")))
    assert store.member_by_code("CARD-1") is None
    await apply(store, upsert(3, member(ANA, "CARD-1")))
    assert store.member_by_code("CARD-1") is not None


async def test_who_was_erased_never_comes_back(store: Store) -> None:
    await apply(store, upsert(5, member(ANA, "CARD-1")), Change(pos=4, op="erase", member=ANA))
    assert store.member_by_code("CARD-1") is None

    await apply(store, upsert(9, member(ANA, "CARD-1")))
    await store.write(lambda writing: writing.begin_snapshot())
    await store.write(lambda writing: writing.apply_snapshot([fed(upsert(20, member(ANA, "CARD-1")))]))
    await store.write(lambda writing: writing.finish_snapshot("centre-2", 20, NOON, "everything"))

    assert store.member_by_code("CARD-1") is None


@pytest.mark.parametrize("seed", range(12))
def test_replicas_converge_whatever_order_changes_come_in(tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    random = Random(seed)
    names = (ANA, BOB, "m-cid")
    codes = ("CARD-1", "CARD-2", "CARD-3", "CARD-4")
    changes = [_any_change(random, pos, random.choice(names), random.choice(codes)) for pos in range(1, 25)]

    def replica(name: str, order: list[Change]) -> list[Member | None]:
        (tmp_path / name).mkdir()
        with closing(opened(tmp_path / name)) as store:
            for start in range(0, len(order), 5):
                store.submit(
                    partial(Writing.apply_changes, changes=order[start : start + 5], through=0, as_of=None)
                ).result()
            return [*(store.member(name) for name in names), *(store.member_by_code(code) for code in codes)]

    in_order = replica("in order", changes)
    for name in ("shuffled", "shuffled again"):
        repeated = [*changes, *random.choices(changes, k=6)]
        assert replica(name, random.sample(repeated, len(repeated))) == in_order


def _any_change(random: Random, pos: int, name: str, code: str) -> Change:
    draw = random.random()
    if draw < 0.7:
        return upsert(pos, member(name, code, confirmed=pos))
    return Change(pos=pos, op="leave" if draw < 0.95 else "erase", member=name)


async def test_own_claims_are_pending_until_the_feed_shows_them(store: Store) -> None:
    # given a member with 100 points
    await apply(store, upsert(10, member(ANA, "CARD-1", confirmed=100)))
    sale = receipt(1)

    # when a receipt is captured
    await store.write(lambda writing: capture(writing, sale, ANA, claim(sale, 25)))
    assert balance(store) == Balance(confirmed=100, pending=25, spendable=100)

    # and acknowledged, with its effect at position 12
    await store.write(lambda writing: writing.open_epoch("epoch-1", "device-1"))
    batch = store.next_batch()
    assert batch is not None
    await store.write(lambda writing: writing.acknowledge(answer(batch, 1, Outcome(seq=1, code="accepted", pos=12))))
    assert balance(store) == Balance(confirmed=100, pending=25, spendable=100)

    # then a row before it changes nothing, and the row that has it takes its place
    await apply(store, upsert(11, member(ANA, "CARD-1", confirmed=101)))
    assert balance(store) == Balance(confirmed=101, pending=25, spendable=101)
    await apply(store, upsert(12, member(ANA, "CARD-1", confirmed=126)))
    assert balance(store) == Balance(confirmed=126, pending=0, spendable=126)


async def test_a_feed_that_was_faster_than_the_answer_counts_nothing_twice(store: Store) -> None:
    await apply(store, upsert(10, member(ANA, "CARD-1", confirmed=100)))
    sale = receipt(1)
    await store.write(lambda writing: capture(writing, sale, ANA, claim(sale, 25)))
    await store.write(lambda writing: writing.open_epoch("epoch-1", "device-1"))
    batch = store.next_batch()
    assert batch is not None

    await apply(store, upsert(12, member(ANA, "CARD-1", confirmed=125)))
    await store.write(lambda writing: writing.acknowledge(answer(batch, 1, Outcome(seq=1, code="accepted", pos=12))))

    assert balance(store) == Balance(confirmed=125, pending=0, spendable=125)


@pytest.mark.parametrize("outcome", [Outcome(seq=1, code="quarantined", pos=99), Outcome(seq=1, code="accepted")])
async def test_a_claim_that_the_feed_will_not_show_is_dropped(store: Store, outcome: Outcome) -> None:
    await apply(store, upsert(10, member(ANA, "CARD-1", confirmed=100)))
    sale = receipt(1)
    await store.write(lambda writing: capture(writing, sale, ANA, claim(sale, 25)))
    await store.write(lambda writing: writing.open_epoch("epoch-1", "device-1"))
    batch = store.next_batch()
    assert batch is not None

    await store.write(lambda writing: writing.acknowledge(answer(batch, 1, outcome)))

    assert balance(store) == Balance(confirmed=100, pending=0, spendable=100)


async def test_claims_wait_for_a_member_that_is_not_held_yet(store: Store) -> None:
    sale = receipt(1)
    await store.write(lambda writing: capture(writing, sale, ANA, claim(sale, 25)))

    await apply(store, upsert(10, member(ANA, "CARD-1", confirmed=100)))

    assert balance(store).pending == 25


async def test_a_row_shows_what_was_claimed_under_an_id_that_means_its_member_too(store: Store) -> None:
    sale = receipt(1)
    await store.write(lambda writing: capture(writing, sale, "p-1", claim(sale, 25)))
    await store.write(lambda writing: writing.open_epoch("epoch-1", "device-1"))
    await acknowledged(store, Outcome(seq=1, code="accepted", pos=5), through=1)

    await apply(store, upsert(6, replace(member(ANA, "CARD-1", confirmed=25), aliases=("p-1",))))

    assert balance(store) == Balance(confirmed=25, pending=0, spendable=25)


async def test_what_was_told_under_an_id_that_means_another_member_is_shown_of_them(store: Store) -> None:
    # given a card that was told here of a member, before another register made the two one
    await apply(store, upsert(1, member("p-1", "CARD-1")), upsert(2, member(ANA, "CARD-2")))
    told = Edit(fields={"note": "blue bag"}, codes=(Identifier(kind="card", code="CARD3"),))
    await store.write(lambda writing: writing.tell("profile", "k1", ProfileBody(member="p-1", fields={}), told))

    await apply(store, upsert(3, replace(member(ANA, "CARD-2"), aliases=("p-1",))))

    for code in ("CARD-2", "CARD-3"):
        shown = store.member_by_code(code)
        assert shown is not None
        assert (shown.member, shown.note) == (ANA, "blue bag")


async def test_scans_of_who_is_erased_are_forgotten_with_the_row(store: Store) -> None:
    now = Instant(wall=NOON, boot="b", monotonic_ns=0)
    await apply(store, upsert(10, member(ANA, "CARD-1")), upsert(11, member(BOB, "CARD-2")))
    for code, name in (("CARD1", ANA), ("CARD2", BOB)):
        await store.write(lambda w, code=code, name=name: w.keep_scan(code, "card", name, now))  # type: ignore[misc]

    await store.write(lambda writing: writing.apply_changes([Change(pos=12, op="erase", member=ANA)], 12, None))

    assert [scan.code for scan in store.unused_scans()] == ["CARD2"]


async def test_of_who_is_erased_nothing_is_claimed_sent_or_not(store: Store) -> None:
    await apply(store, upsert(10, member(ANA, "CARD-1")))
    sale = receipt(1)
    await store.write(lambda writing: capture(writing, sale, ANA, claim(sale, 25)))
    assert store.unconfirmed_receipts(ANA) != ()

    await store.write(lambda writing: writing.apply_changes([Change(pos=11, op="erase", member=ANA)], 11, None))

    assert store.unconfirmed_receipts(ANA) == ()


async def test_of_who_is_erased_no_scan_is_left(store: Store) -> None:
    await apply(store, upsert(10, member(ANA, "CARD-1")), upsert(11, member(BOB, "CARD-2")))
    for code, whose in (("CARD1", ANA), ("CARD2", BOB)):
        await store.write(partial(Writing.keep_scan, code=code, kind="card", member=whose, at=CAPTURED))

    await apply(store, Change(pos=12, op="erase", member=ANA))

    assert [scan.code for scan in store.unused_scans()] == ["CARD2"]


async def test_points_taken_back_are_not_promised_any_more(store: Store, clock: Clock) -> None:
    await apply(store, upsert(10, member(ANA, "CARD-1", confirmed=100)))
    due, held_back = receipt(1), receipt(2)

    await store.write(lambda writing: capture(writing, due, ANA, claim(due, -30)))
    assert balance(store) == Balance(confirmed=100, pending=-30, spendable=70)

    # points that were pending themselves were never promised
    later = clock.now + timedelta(days=14)
    await store.write(lambda writing: capture(writing, held_back, ANA, claim(held_back, -20, later)))
    assert balance(store) == Balance(confirmed=100, pending=-50, spendable=70)
    clock.forward(days=15)
    assert balance(store) == Balance(confirmed=100, pending=-50, spendable=50)


async def test_a_late_attachment_claims_under_its_own_entry(store: Store) -> None:
    await apply(store, upsert(10, member(ANA, "CARD-1", confirmed=100)))
    sale = receipt(1)

    def attach(writing: Writing) -> None:
        writing.append("attach", "attach-1", ReceiptBody(receipt=sale))
        writing.add_claims("attach-1", ANA, [claim(sale, 25)])

    await store.write(attach)
    await store.write(lambda writing: writing.open_epoch("epoch-1", "device-1"))
    batch = store.next_batch()
    assert batch is not None
    assert balance(store).pending == 25

    await store.write(lambda writing: writing.acknowledge(answer(batch, 1, Outcome(seq=1, code="accepted", pos=10))))
    assert balance(store).pending == 0


async def test_the_balance_says_as_of_when_the_feed_was_read(store: Store) -> None:
    row = replace(member(ANA, "CARD-1"), as_of=NOON - timedelta(hours=3))
    await store.write(lambda writing: writing.keep_member(1, row))
    shown = store.member_by_code("CARD-1")
    assert shown is not None
    assert shown.as_of == NOON - timedelta(hours=3)

    await apply(store, upsert(2, row))
    shown = store.member_by_code("CARD-1")
    assert shown is not None
    assert shown.as_of == NOON
    assert store.feed().position == 2

    # a page that is not the last does not make it fresher
    await store.write(lambda writing: writing.apply_changes([], 9, None))
    assert (store.feed().position, store.feed().as_of) == (9, NOON)


async def test_a_snapshot_replaces_everything_even_positions_of_another_centre_epoch(store: Store) -> None:
    await apply(store, upsert(900, member(ANA, "CARD-1", confirmed=1)), upsert(901, member(BOB, "CARD-2")))

    await store.write(lambda writing: writing.begin_snapshot())
    await store.write(lambda writing: writing.apply_snapshot([fed(upsert(3, member(ANA, "CARD-1", confirmed=2)))]))
    assert store.member_by_code("CARD-2") is not None
    await sweep(store)
    await store.write(lambda writing: writing.finish_snapshot("centre-2", 7, NOON, "everything"))

    assert balance(store).confirmed == 2
    assert store.member_by_code("CARD-2") is None
    assert (store.feed().position, store.feed().centre_epoch) == (7, "centre-2")
    await apply(store, upsert(8, member(ANA, "CARD-1", confirmed=3)))
    assert balance(store).confirmed == 3


async def test_a_snapshot_brings_back_who_left_before_it(store: Store) -> None:
    await apply(store, upsert(900, member(ANA, "CARD-1")), Change(pos=901, op="leave", member=ANA))
    assert store.member_by_code("CARD-1") is None

    await store.write(lambda writing: writing.begin_snapshot())
    await store.write(lambda writing: writing.apply_snapshot([fed(upsert(3, member(ANA, "CARD-1")))]))
    await sweep(store)
    await store.write(lambda writing: writing.finish_snapshot("centre-2", 7, NOON, "everything"))

    assert store.member_by_code("CARD-1") is not None


async def test_members_are_found_by_the_start_of_a_code(store: Store) -> None:
    await apply(
        store, upsert(1, member(ANA, "2900-1")), upsert(2, member(BOB, "2900-2")), upsert(3, member("m-c", "31"))
    )

    assert {found.member for found in store.find_members("29 00")} == {ANA, BOB}
    assert len(store.find_members("2900", limit=1)) == 1
    assert store.find_members("") == ()


# -- members that were asked for -------------------------------------------------------------------


async def snapshot_of(store: Store, *changes: Change) -> None:
    await store.write(Writing.begin_snapshot)
    await store.write(partial(Writing.apply_snapshot, rows=[fed(change) for change in changes]))
    await sweep(store)
    await store.write(lambda writing: writing.finish_snapshot("centre-2", 50, NOON + timedelta(days=1), "here"))


async def test_a_snapshot_keeps_who_was_asked_for_what_waits_and_who_joined(store: Store) -> None:
    # Given one who was in the feed, one who was asked for, and a sale of each that waits
    await apply(store, upsert(1, member(ANA, "CARD-1", confirmed=5)))
    await store.write(lambda writing: writing.keep_member(9, member(BOB, "CARD-2", confirmed=7)))
    for number, whose in ((1, ANA), (2, BOB)):
        sold = receipt(number)
        await store.write(_sold(sold, whose))

    # When a snapshot knows neither
    await snapshot_of(store, upsert(3, member("m-cid", "CARD-3")))

    # Then who was only in the feed left, and nothing that waits is gone
    assert store.member(ANA) is None
    assert balance(store, "CARD-2").pending == 10
    assert store.member_by_code("CARD-3") is not None
    assert store.queued() == 2
    # And the row of the pin is as old as it says, not as the feed
    pinned = store.member(BOB)
    assert pinned is not None
    assert pinned.as_of == member(BOB, "CARD-2").as_of
    # And the claim on who left is there when they come back
    await apply(store, upsert(60, member(ANA, "CARD-1", confirmed=5)))
    assert balance(store).pending == 10


def _sold(sold: Receipt, whose: str) -> Callable[[Writing], None]:
    return lambda writing: capture(writing, sold, whose, claim(sold, 10))


async def test_pins_that_no_snapshot_has_end_by_age_and_number(tmp_path: Path) -> None:
    clock = Clock()
    with closing(opened(tmp_path, clock)) as store:
        await store.write(lambda writing: writing.keep_member(1, member(ANA, "CARD-1")))
        await snapshot_of(store)
        clock.now += PINNED_FOR / 2
        await store.write(lambda writing: writing.keep_member(2, member(BOB, "CARD-2")))
        await snapshot_of(store)
        assert store.count_members() == 2

        # When the first is too old
        clock.now += PINNED_FOR * 2 / 3
        await store.write(lambda writing: writing.keep_member(3, member("m-cid", "CARD-3")))
        assert (store.member(ANA), store.count_members()) == (None, 2)

        # And when there are too many, the oldest go
        def keep_many(writing: Writing) -> None:
            for number in range(MAX_PINS):
                writing.keep_member(4, member(f"m-{number}", f"MANY-{number}"))

        clock.now += timedelta(days=1)
        await store.write(keep_many)
        await snapshot_of(store)
        assert store.count_members() == MAX_PINS
        assert store.member(BOB) is None


async def test_who_left_is_there_again_when_asked_for(store: Store) -> None:
    await apply(store, upsert(1, member(ANA, "CARD-1")), Change(pos=8, op="leave", member=ANA))

    await store.write(lambda writing: writing.keep_member(3, member(ANA, "CARD-1", confirmed=4)))
    assert balance(store).confirmed == 4

    # And leaves again when the feed says so
    await apply(store, Change(pos=9, op="leave", member=ANA))
    await snapshot_of(store)
    assert store.member(ANA) is None


async def test_a_claim_on_who_is_not_held_goes_when_the_feed_is_past_it(store: Store) -> None:
    sold = receipt(1)
    await store.write(lambda writing: writing.open_epoch("e", "d"))
    await store.write(_sold(sold, ANA))
    batch = store.next_batch()
    assert batch is not None
    await store.write(lambda writing: writing.acknowledge(answer(batch, 1, Outcome(seq=1, code="accepted", pos=5))))

    await store.write(lambda writing: writing.apply_changes((), 5, NOON))

    await apply(store, upsert(6, member(ANA, "CARD-1", confirmed=10)))
    assert balance(store).pending == 0
    assert store.unconfirmed_receipts(ANA) == ()


@pytest.mark.parametrize("table", ["claims", "scans", "receipts", "edits"])
def test_what_is_a_members_is_found_without_reading_all_rows(store: Store, table: str) -> None:
    """A page of the feed may hold hundreds of ids that come to mean another member."""
    plan = store._rows(f"EXPLAIN QUERY PLAN UPDATE {table} SET member = ? WHERE member = ?", ("m", "p"))

    assert [row[3] for row in plan] == [f"SEARCH {table} USING INDEX {table}_member (member=?)"]


async def test_a_number_of_the_row_names_the_member_after_a_later_one_was_refused(store: Store) -> None:
    # Given two numbers that were told here, of which the row has the first by now
    first, second = "TEL:" + "A" * 32 + ":1111", "TEL:" + "B" * 32 + ":2222"
    await apply(store, upsert(1, member(ANA, "CARD-1")))
    await store.write(lambda writing: writing.open_epoch("e-1", "device-1"))
    told = ProfileBody(member=ANA, fields={})
    for key, code in (("k1", first), ("k2", second)):
        await store.write(lambda w, key=key, code=code: w.tell("profile", key, told, Edit(phone=code)))  # type: ignore[misc]
    await acknowledged(store, Outcome(seq=1, code="accepted", pos=2), through=1)
    shown = member(ANA, "CARD-1")
    await apply(
        store, upsert(2, replace(shown, identifiers=(*shown.identifiers, Identifier(kind="phone", code=first))))
    )

    # When the centre refuses the second
    await acknowledged(store, Outcome(seq=2, code="quarantined"), through=2)

    found = store.member_by_code(first)
    assert found is not None
    assert found.member == ANA
    assert store.member_by_code(second) is None


async def acknowledged(store: Store, outcome: Outcome, *, through: int) -> None:
    batch = store.next_batch()
    assert batch is not None
    await store.write(partial(Writing.acknowledge, response=answer(batch, through, outcome)))
