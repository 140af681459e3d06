"""What a register does beside selling, for a disk that is watched: it follows its members, and reserves rewards.

Owns both sides of that: the work, which says what was kept, and what of it has to stand in the store after a cut.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

import msgspec

from loyalty.allowances import CannotSpendError
from sync.snapshots import SNAPSHOT, SnapshotIntake
from sync.steps import FetchChunk, SnapshotProgress
from sync.store.errors import StoreUnavailableError
from sync.store.store import Store
from sync.store.writing import Writing
from sync.wire import Change, SnapshotChunk, SnapshotResponse, compress_always
from tests.faults.power.cuts import Promises
from tests.sync.store.samples import NOON, member, upsert
from tests.sync.store.spending import ANA, CENTRE, begun, granted, reserving

# A turn is a snapshot and the pages of the feed that follow it, each of one position and one row of every member.
TURN: Final = 10
CHUNKS: Final = 3
MEMBERS: Final = tuple(f"m-{number}" for number in range(CHUNKS))
POINTS, MANY = 500, 1_000_000

Say = Callable[[str, int], None]


def begin(store: Store) -> None:
    """An epoch, and points that may be spent in it."""
    begun(store, granted(1, MANY), confirmed=MANY)


async def follow(store: Store, say: Say, *, apart: bool) -> None:
    """With `apart` a position is kept before its rows are."""
    for turn in itertools.count(1):
        await _take_snapshot(store, say, turn)
        for pos in range(turn * TURN + 1, (turn + 1) * TURN):
            changes = [_row(number, pos) for number in range(CHUNKS)]
            if apart:
                await _kept(store, partial(Writing.apply_changes, changes=(), through=pos, as_of=NOON))
            await _kept(store, partial(Writing.apply_changes, changes=changes, through=pos, as_of=NOON))
            say("fed", pos)


async def redeem(store: Store, say: Say) -> None:
    """One reward after the other; one that could not be witnessed is not promised to anybody."""
    for number in itertools.count(1):
        try:
            await store.write(reserving(f"r-{number}", POINTS))
        except (StoreUnavailableError, CannotSpendError):
            await asyncio.sleep(0)
            continue
        if store.is_witnessed():
            say("reserved", number)


def wrong_with(store: Store, promises: Promises, witnessed: int) -> dict[str, bool]:
    """What is amiss, by name. `witnessed` is what the witness said before the store was opened."""
    position, progress = store.feed().position, _progress(store)
    chunks = CHUNKS * (position // TURN) + (progress.chunks if progress is not None else 0)
    reserved = {one.id for one in store.reserved_redemptions()}
    promised = {f"r-{number}" for number in promises.said["reserved"]}
    return {
        "a page of the feed is forgotten": position < promises.furthest("fed"),
        "a chunk of the snapshot is forgotten": chunks < promises.furthest("chunk"),
        "a row is not of its position": not all(
            _confirmed(store, number) in _allowed(number, position, progress) for number in range(CHUNKS)
        ),
        "a redemption is forgotten": not promised <= reserved,
        "the witness does not know of one": witnessed < len(promised),
        "it is not sure of itself": bool(promised) and not store.is_sure(),
    }


def _row(number: int, pos: int) -> Change:
    return upsert(pos, member(MEMBERS[number], f"CARD-{number + 2}", confirmed=pos))


def _confirmed(store: Store, number: int) -> int:
    found = store.member(MEMBERS[number])
    return found.balance.confirmed if found is not None else 0


def _allowed(number: int, position: int, progress: SnapshotProgress | None) -> set[int]:
    """The positions that a member's row may be of: a chunk is there with its number, but for the last one."""
    before = position if position >= TURN else 0  # no row before the first snapshot
    if progress is None:
        return {before}
    if number < progress.chunks:
        return {progress.as_of}
    return {before, progress.as_of} if number == progress.chunks == CHUNKS - 1 else {before}


def _progress(store: Store) -> SnapshotProgress | None:
    kept = store.meta(SNAPSHOT)
    return msgspec.json.decode(kept, type=SnapshotProgress) if kept else None


async def _take_snapshot(store: Store, say: Say, turn: int) -> None:
    as_of = turn * TURN
    rows = [[_row(number, as_of)] for number in range(CHUNKS)]
    rows[0].append(upsert(as_of, member(ANA, "CARD-1", confirmed=MANY)))
    contents = {
        f"/{turn}/{index}": compress_always(msgspec.json.Encoder().encode_lines(some))
        for index, some in enumerate(rows)
    }
    chunks = tuple(
        SnapshotChunk(url=url, sha256=hashlib.sha256(content).hexdigest(), rows=len(some))
        for (url, content), some in zip(contents.items(), rows, strict=True)
    )
    snapshot = SnapshotResponse(centre_epoch=CENTRE, as_of=as_of, made_at=NOON, scope="all", chunks=chunks)

    async def fetch(chunk: SnapshotChunk) -> bytes:
        return contents[chunk.url]

    intake = SnapshotIntake(store, fetch)
    for index in range(CHUNKS):
        await _take(intake, FetchChunk(snapshot=snapshot, index=index))
        say("chunk", CHUNKS * (turn - 1) + index + 1)
    say("fed", as_of)


async def _take(intake: SnapshotIntake, step: FetchChunk) -> None:
    while True:
        await intake.fetch(step)
        with suppress(StoreUnavailableError):
            assert await intake.apply(step)
            return


async def _kept(store: Store, work: Callable[[Writing], object]) -> None:
    """As the register asks again for what could not be kept."""
    while True:
        try:
            await store.write(work)
        except StoreUnavailableError:
            await asyncio.sleep(0)
        else:
            return
