"""A process that captures receipts as fast as it can and says which are acknowledged, until it is killed.

`python -m tests.sync.store.till FOLDER FIRST`: prints the number of each receipt once its write returned.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from sync.store.store import Store
from sync.store.writing import Writing
from tests.sync.store.samples import CAPTURED, capture, claim, opened, receipt

PRODUCERS = 8


def capturing(writing: Writing, number: int) -> None:
    sale = receipt(number)
    writing.keep_scan(str(number), "card", "m-ana", CAPTURED)
    capture(writing, sale, "m-ana", claim(sale, 1))
    writing.set_meta(f"receipt {number}", "captured")


async def produce(store: Store, numbers: Iterator[int]) -> None:
    for number in numbers:
        await store.write(lambda writing, number=number: capturing(writing, number))  # type: ignore[misc]
        os.write(sys.stdout.fileno(), b"%d\n" % number)


async def main(folder: Path, first: int) -> None:
    store = opened(folder)
    numbers = itertools.count(first)
    await asyncio.gather(*(produce(store, numbers) for _ in range(PRODUCERS)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
