"""A register that sells, for a disk that is watched: it says what it tries, what is acknowledged, what is settled.

It follows its members meanwhile, and reserves rewards (`tests.faults.power.members`).

`python -m tests.faults.power.register FOLDER SALES [--weak] [--deaf] [--apart]`: with `--weak` commits are not synced,
as with `synchronous = NORMAL`; with `--deaf` a sale that the store refuses is acknowledged all the same; with `--apart`
a position of the feed is kept before its rows are.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from sqlite3 import Connection

from sync.store import store as store_module
from sync.store.errors import StoreUnavailableError
from sync.store.sqlite import CHECKPOINT_BYTES, make_durable
from sync.store.store import Store
from tests.faults.power import members
from tests.sync.store.samples import answer, opened
from tests.sync.store.till import capturing

PRODUCERS = 4
# Entries that the centre acknowledges at a time.
SETTLED_AT_ONCE = 40


def say(what: str, number: int) -> None:
    os.write(1, f"{what} {number}\n".encode())


async def sell(store: Store, numbers: range, *, deaf: bool) -> None:
    for number in numbers:
        say("try", number)
        try:
            await store.write(lambda writing, number=number: capturing(writing, number))  # type: ignore[misc]
        except StoreUnavailableError:
            say("kept" if deaf else "refused", number)
        else:
            say("kept", number)


async def settle(store: Store) -> None:
    """The centre's answers, one for each so many entries."""
    while True:
        batch = store.next_batch(SETTLED_AT_ONCE)
        if batch is not None and len(batch.entries) == SETTLED_AT_ONCE:
            last = batch.entries[-1].seq
            with suppress(StoreUnavailableError):  # it comes again
                await store.write(lambda writing, batch=batch, last=last: writing.acknowledge(answer(batch, last)))  # type: ignore[misc]
                say("settled", last)
        await asyncio.sleep(0)


async def main(folder: Path, sales: int, *, deaf: bool, apart: bool) -> None:
    store = opened(folder)
    members.begin(store)
    beside = [
        asyncio.create_task(work)
        for work in (settle(store), members.follow(store, say, apart=apart), members.redeem(store, say))
    ]
    each = sales // PRODUCERS
    parts = (range(first * each, (first + 1) * each) for first in range(PRODUCERS))
    await asyncio.gather(*(sell(store, part, deaf=deaf) for part in parts))
    for work in beside:
        work.cancel()
    await asyncio.gather(*beside, return_exceptions=True)
    store.close()


def weak(connection: Connection, log_bytes: int = CHECKPOINT_BYTES) -> None:
    make_durable(connection, log_bytes)
    connection.execute("PRAGMA synchronous = NORMAL")


if __name__ == "__main__":
    if "--weak" in sys.argv:
        store_module.make_durable = weak  # type: ignore[attr-defined]
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), deaf="--deaf" in sys.argv, apart="--apart" in sys.argv))
