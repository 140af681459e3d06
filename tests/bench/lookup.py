"""`lookup`: from a scanned code to the member with the balance to show, in a store of a million members.

Codes are asked in random order, so most pages come from the disk's cache and are decrypted anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from random import Random

from loyalty.member import Balance, Identifier, Member
from sync.keys_linux import LinuxKeyKeeper
from sync.store.fed import fed
from sync.store.store import Store
from sync.store.writing import Writing
from sync.wire import Change
from tests.bench.machine import disk_folder, measured
from tests.bench.report import Report, rounded

MEMBERS = 1_000_000
CHUNK = 5_000
LOOKUPS = 20_000
SEED = 20261122


def code_of(number: int) -> str:
    """Card codes as a programme hands them out, in no order."""
    return f"29{number * 7919 % MEMBERS:010d}"


def members(count: int) -> Iterator[Change]:
    """Feed rows of `count` members with a card and a phone each."""
    as_of = datetime(2026, 11, 22, 9, 7, 14, tzinfo=UTC)
    for number in range(count):
        row = Member(
            member=f"m-{number:07d}",
            identifiers=(
                Identifier(kind="card", code=code_of(number)),
                Identifier(kind="phone", code=f"38160{number:07d}"),
            ),
            short_name=f"Ana {number % 997}",
            tier=("basic", "silver", "gold")[number % 3],
            language="sr",
            balance=Balance(confirmed=number % 5000, pending=number % 50, spendable=number % 5000),
            as_of=as_of,
        )
        yield Change(pos=number + 1, op="upsert", member=row.member, row=row)


def fill(store: Store, count: int) -> None:
    """Brings `count` members in as a snapshot does."""
    chunk: list[Change] = []
    store.submit(lambda writing: writing.begin_snapshot()).result()
    for change in members(count):
        chunk.append(change)
        if len(chunk) == CHUNK:
            store.submit(_applying(tuple(chunk))).result()
            chunk.clear()
    store.submit(_applying(tuple(chunk))).result()
    for after, through in store.code_ranges_apart():
        store.submit(partial(Writing.merge_codes, after=after, through=through)).result()
    while store.submit(Writing.drop_runs).result():
        pass
    store.submit(lambda writing: writing.finish_snapshot("bench", count, datetime.now(UTC), "everything")).result()


def _applying(rows: tuple[Change, ...]) -> Callable[[Writing], None]:
    return lambda writing: writing.apply_snapshot([fed(row) for row in rows])


def run() -> Report:
    random = Random(SEED)
    with disk_folder() as folder:
        machine = measured(folder)
        with closing(Store.open(folder / "store.db", LinuxKeyKeeper(folder / "keys", {}))) as store:
            fill(store, MEMBERS)
            taken_us = sorted(_timed_us(store, code_of(random.randrange(MEMBERS))) for _ in range(LOOKUPS))
    return Report(
        name="lookup",
        figures={
            "members": MEMBERS,
            "p50_us": rounded(taken_us[LOOKUPS // 2]),
            "p99_us": rounded(taken_us[LOOKUPS * 99 // 100]),
        },
        machine=machine,
    )


def _timed_us(store: Store, code: str) -> float:
    started = time.perf_counter_ns()
    found = store.member_by_code(code)
    taken = time.perf_counter_ns() - started
    if found is None:
        raise LookupError(code)
    return taken / 1000
