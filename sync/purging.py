"""Carrying out an erasure at a register, in small steps that may be begun again.

Owns their order: what named the member is collected first, since it is needed to find them on paper; the member's row
goes last, and then the centre is told that nothing is left. Until then the register sends nothing. It is not to be
begun while a damaged store still comes back: what is in that would come behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from sync.store.purge_rows import About, codes_in_receipts, texts_about
from sync.store.store import Store
from sync.store.writing import Writing
from sync.wire import Change, Erasure

P = TypeVar("P", int, tuple[str, str])
Step = Callable[[Writing, P], P | None]
Masked = Callable[[frozenset[str]], Awaitable[None]]
"""Takes what named a member out of files that are not the store's."""


async def nothing_else(_texts: frozenset[str]) -> None:
    """Of a register that has no such files."""


def all_but_erased(changes: Iterable[Change]) -> tuple[Change, ...]:
    """What of a page of the feed counts at once: the row of an erased member is what finds them on paper."""
    return tuple(change for change in changes if change.op != "erase")


async def carry_out(store: Store, erasure: Erasure, masked: Masked) -> None:
    """Let nothing in the store, or in the files that `masked` knows, tell who the member was; the centre is told then.

    Raises StoreError, and what `masked` raises; nobody is told then, and it may be begun again.
    """
    about = About(erasure, store.code_key())
    texts = set(texts_about(store, about))
    after: int | None = 0
    while after is not None:
        found, after = codes_in_receipts(store, about, after)
        texts |= found
        await asyncio.sleep(0)
    known = frozenset(texts)
    await masked(known)
    await _through(store, lambda writing, after: writing.purge_quarantine(known, after), 0)
    await _through(store, lambda writing, after: writing.purge_receipts(about, after), 0)
    await _through(store, lambda writing, after: writing.purge_entries(about, known, after), 0)
    await _through(store, lambda writing, after: writing.purge_waiting(about, after), 0)
    await _through(store, lambda writing, after: writing.purge_scans(about, after), 0)
    await _through(store, lambda writing, after: writing.purge_answers(about, known, after), ("", ""))
    await store.remove_damaged()
    await store.write(lambda writing: writing.purge_member(about), drains=True)
    await store.cut_log()
    await store.write(lambda writing: writing.confirm_erasure(erasure), drains=True)


def _from(step: Step[P], after: P) -> Callable[[Writing], P | None]:
    return lambda writing: step(writing, after)


async def _through(store: Store, step: Step[P], begin: P) -> None:
    after: P | None = begin
    while after is not None:
        after = await store.write(_from(step, after), drains=True)
