"""Codes of a snapshot: each names its member from its chunk's commit on, whatever part of the runs was merged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from random import Random

import pytest

from loyalty.member import Identifier, Member
from sync.store.fed import fed
from sync.store.reading import RANGE_CODES
from sync.store.store import Store
from sync.store.writing import Writing
from sync.wire import Change
from tests.sync.store.raw import everything_in
from tests.sync.store.samples import NOON, keeper, member, opened, upsert

LETTERS = "ABCDEFGH"
PEOPLE = [f"m-{number:02d}" for number in range(40)]


def take(store: Store, *changes: Change) -> None:
    store.submit(partial(Writing.apply_snapshot, rows=[fed(change) for change in changes])).result()


def merge(store: Store, ranges: Iterable[tuple[str, str]]) -> None:
    for after, through in ranges:
        store.submit(partial(Writing.merge_codes, after=after, through=through)).result()


def drop(store: Store) -> None:
    while store.submit(Writing.drop_runs).result():
        pass


def in_runs(store: Store) -> int:
    return int(store._row("SELECT count(*) FROM run_codes")[0])


def numbered(number: int, code: str) -> Member:
    return Member(member=f"m-{number:06d}", identifiers=(Identifier(kind="card", code=code),))


def test_a_code_names_its_member_before_while_and_after_it_is_merged(store: Store) -> None:
    store.submit(Writing.begin_snapshot).result()
    take(store, upsert(1, member("m-1", "29-01")), upsert(2, member("m-2", "2903")))
    take(store, upsert(3, member("m-3", "2902")), upsert(4, member("m-4", "2904")))

    def named() -> list[str]:
        return [found.member for code in ("2901", "2902", "2903", "2904") if (found := store.member_by_code(code))]

    steps: tuple[Callable[[], None], ...] = (
        lambda: None,
        partial(merge, store, [("", "2902")]),
        partial(merge, store, [("2902", "3")]),
        partial(drop, store),
    )
    for step in steps:
        step()
        assert named() == ["m-1", "m-3", "m-2", "m-4"]
        assert {found.member for found in store.find_members("29")} == {"m-1", "m-2", "m-3", "m-4"}
        assert len(store.find_members("29", limit=3)) == 3
        assert store.member_by_code("29") is None

    assert in_runs(store) == 0


def test_a_code_that_is_taken_from_a_member_names_nobody_wherever_it_stood(store: Store) -> None:
    store.submit(Writing.begin_snapshot).result()
    take(store, upsert(1, member("m-1", "OLD")), upsert(2, member("m-2", "GONE")))
    merge(store, [("", "H")])  # GONE stands in both places, OLD in its run

    store.submit(lambda writing: writing.keep_member(5, member("m-1", "NEW"))).result()
    store.submit(
        lambda writing: writing.apply_changes([Change(pos=6, op="leave", member="m-2")], through=6, as_of=NOON)
    ).result()
    merge(store, store.code_ranges_apart())
    drop(store)

    assert store.member_by_code("OLD") is None
    assert store.member_by_code("GONE") is None
    assert store.member_by_code("NEW") is not None


def test_an_erased_members_code_is_left_in_no_byte_of_a_run(tmp_path: Path, store: Store) -> None:
    store.submit(Writing.begin_snapshot).result()
    take(store, upsert(1, member("m-1", "ERASED-CODE")), upsert(2, member("m-2", "OTHERCODE")))

    erased = Change(pos=3, op="erase", member="m-1")
    store.submit(lambda writing: writing.apply_changes([erased], through=3, as_of=NOON)).result()
    store._cut_log()

    content = everything_in(tmp_path, keeper(tmp_path))
    assert b"OTHERCODE" in content
    assert b"ERASEDCODE" not in content


@pytest.mark.parametrize("order", ["random", "as the members"])
def test_ranges_hold_all_codes_and_none_of_them_many(store: Store, order: str) -> None:
    chance = Random(7)
    codes = [f"{number:06d}" for number in range(3 * RANGE_CODES)]
    if order == "random":
        chance.shuffle(codes)
    store.submit(Writing.begin_snapshot).result()
    for start in range(0, len(codes), 5000):
        take(store, *(upsert(n + 1, numbered(n, codes[n])) for n in range(start, start + 5000)))

    ranges = store.code_ranges_apart()
    held = [sum(after < code <= through for code in codes) for after, through in ranges]

    assert sum(held) == len(codes)
    assert max(held) < 1.5 * RANGE_CODES


def test_few_codes_are_one_range_and_none_are_none(store: Store) -> None:
    assert store.code_ranges_apart() == []
    take(store, upsert(1, member("m-1", "2901")))
    assert len(store.code_ranges_apart()) == 1
    assert store.submit(Writing.drop_runs).result() is False


@pytest.mark.parametrize("seed", range(6))
def test_runs_and_the_index_together_say_what_the_rows_say(tmp_path: Path, seed: int) -> None:
    """Chunks, lookups, changes and any part of merging, in any order: codes name whom the rows say."""
    print(f"seed {seed}")
    chance = Random(seed)
    store = opened(tmp_path)
    store.submit(Writing.begin_snapshot).result()
    coming = iter(PEOPLE)
    codes = {f"{letter}{number}" for letter in LETTERS for number in range(4)}
    for pos in range(1, 121):
        whose = chance.choice(PEOPLE)
        row = member(whose, chance.choice(sorted(codes)))
        match chance.randrange(6):
            case 0 | 1:
                chunk = [name for name, _ in zip(coming, range(chance.randrange(1, 5)), strict=False)]
                pairs = [(pos * 10 + place, chance.choice(sorted(codes))) for place in range(len(chunk))]
                take(store, *(upsert(at, member(name, code)) for name, (at, code) in zip(chunk, pairs, strict=True)))
            case 2:
                store.submit(partial(Writing.keep_member, pos=10 * pos, row=row)).result()
            case 3:
                gone = Change(pos=10 * pos, op="leave" if chance.random() < 0.5 else "erase", member=whose)
                change = gone if chance.random() < 0.3 else upsert(10 * pos, row)
                store.submit(partial(Writing.apply_changes, changes=[change], through=10 * pos, as_of=NOON)).result()
            case 4:
                merge(store, [("", chance.choice(LETTERS))])
            case _:
                merge(store, store.code_ranges_apart())
                drop(store)
        assert _by_code(store, codes) == _by_rows(store, codes)
    store.close()


def _by_code(store: Store, codes: set[str]) -> dict[str, str | None]:
    return {code: found.member if (found := store.member_by_code(code)) else None for code in codes}


def _by_rows(store: Store, codes: set[str]) -> dict[str, str | None]:
    """By a look at every member there can be: who has a code, the newest of them."""
    shown = [found for name in PEOPLE if (found := store.member(name)) is not None]
    shown.sort(key=lambda one: store.member_pos(one.member) or 0)
    return dict.fromkeys(codes) | {code.code: one.member for one in shown for code in one.identifiers}
