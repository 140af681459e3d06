"""Takes a snapshot into the store, a chunk at a time, and fetches further ones meanwhile.

Owns how far ahead is fetched, what a chunk has to be, and the steps after the last one. Which chunk comes next, the
session decides. Each step is a transaction of its own, since a receipt may be waiting behind it, and may be taken again
after a restart.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from loyalty.member import Member
from loyalty.undecodable import UNDECODABLE
from sync.steps import FetchChunk
from sync.store.fed import Fed, fed_row
from sync.store.store import Store
from sync.store.writing import Writing
from sync.wire import SnapshotChunk, SnapshotResponse, decompress

# Where the store keeps how far a snapshot came.
SNAPSHOT: Final = "snapshot"
# Chunks that are fetched and read while one is written. One is enough, as long as the line is not slower than the disk.
AHEAD: Final = 1


class _Line(Struct, frozen=True, kw_only=True, gc=False):
    """A Change whose row is not read yet."""

    pos: int
    op: Literal["upsert", "leave", "erase"]
    member: str
    row: Raw | UnsetType = UNSET


class _Fetched(Struct, frozen=True, kw_only=True):
    """A chunk as served, and its rows; None where it is not the one that the snapshot names."""

    content: bytes
    rows: list[Fed] | None


_lines = msgspec.json.Decoder(_Line)
_member = msgspec.json.Decoder(Member)


class SnapshotIntake:
    """One register's. `fetch` asks the centre for a chunk, and may raise CentreError."""

    def __init__(self, store: Store, fetch: Callable[[SnapshotChunk], Awaitable[bytes]]) -> None:
        self._store = store
        self._ask = fetch
        self._ahead: dict[SnapshotChunk, asyncio.Task[_Fetched]] = {}
        self._rows: list[Fed] | None = None

    async def fetch(self, step: FetchChunk) -> bytes:
        """The chunk as served, which `apply` has next; further ones are on their way when it returns."""
        chunks = step.snapshot.chunks[step.index : step.index + 1 + AHEAD]
        for chunk in self._ahead.keys() - set(chunks):
            self._ahead.pop(chunk).cancel()
        try:
            fetched = await self._fetching(chunks[0])
        finally:
            self._ahead.pop(chunks[0], None)
        for chunk in chunks[1:]:
            self._fetching(chunk)
        self._rows = fetched.rows
        return fetched.content

    def drop(self) -> None:
        """Fetch no further."""
        for task in self._ahead.values():
            task.cancel()
        self._ahead.clear()

    async def apply(self, step: FetchChunk) -> bool:
        """The rows of a chunk and how far the snapshot came by them, in one transaction; False where it is broken."""
        rows, self._rows = self._rows, None
        if rows is None:
            return False
        if step.first:
            await self._store.write(Writing.begin_snapshot)
        await self._store.write(partial(_chunk_here, step=step, rows=rows))
        if step.last:
            await self.finish(step.snapshot)
        return True

    async def finish(self, snapshot: SnapshotResponse) -> None:
        """Codes go where they belong, and who was not in it goes, a bounded number in a transaction; then the position
        is the snapshot's.
        """
        if not snapshot.chunks:
            await self._store.write(Writing.begin_snapshot)
        for after, through in await asyncio.to_thread(self._store.code_ranges_apart):
            await self._store.write(partial(Writing.merge_codes, after=after, through=through))
        while await self._store.write(Writing.drop_runs):
            pass
        swept: int | None = 0
        while swept is not None:
            swept = await self._store.write(partial(Writing.sweep_snapshot, after=swept))
        await self._store.write(partial(_snapshot_here, snapshot=snapshot))

    def _fetching(self, chunk: SnapshotChunk) -> asyncio.Task[_Fetched]:
        """What went wrong with one that nobody had come for yet is nothing to tell of: it is asked for anew."""
        task = self._ahead.get(chunk)
        if task is None or _went_wrong(task):
            task = self._ahead[chunk] = asyncio.create_task(self._fetched(chunk), name="snapshot chunk")
            task.add_done_callback(_went_wrong)
        return task

    async def _fetched(self, chunk: SnapshotChunk) -> _Fetched:
        content = await self._ask(chunk)
        return _Fetched(content=content, rows=await asyncio.to_thread(rows_of, chunk, content))


def _went_wrong(task: asyncio.Task[_Fetched]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _chunk_here(writing: Writing, step: FetchChunk, rows: list[Fed]) -> None:
    writing.apply_snapshot(rows)
    if not step.last:
        writing.set_meta(SNAPSHOT, msgspec.json.encode(step.progress).decode())


def _snapshot_here(writing: Writing, snapshot: SnapshotResponse) -> None:
    writing.finish_snapshot(snapshot.centre_epoch, snapshot.as_of, snapshot.made_at, snapshot.scope)
    writing.set_meta(SNAPSHOT, "")


def rows_of(chunk: SnapshotChunk, content: bytes) -> list[Fed] | None:
    """The rows of a chunk as served; None where it is not the one that the snapshot names.

    A row is read by itself and only what is kept of it stays, so that the collector has nothing to look through.
    """
    if hashlib.sha256(content).hexdigest() != chunk.sha256:
        return None
    try:
        rows = [_fed(line) for line in _lines.decode_lines(decompress(content, "zstd"))]
    except (*UNDECODABLE, ValueError):
        return None
    return rows if len(rows) == chunk.rows else None


def _fed(line: _Line) -> Fed:
    if line.op != "upsert" or line.row is UNSET:
        return Fed(member=line.member, pos=line.pos, op=line.op)
    return fed_row(line.member, line.pos, _member.decode(line.row))
