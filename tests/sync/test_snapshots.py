"""Taking a snapshot in: the next chunk comes while one is written, no more than that; only what was named is taken."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from sync.errors import CentreUnavailableError
from sync.snapshots import AHEAD, SnapshotIntake, rows_of
from sync.steps import FetchChunk
from sync.store.store import Store
from sync.wire import Change, SnapshotChunk, SnapshotResponse, compress_always
from tests.sync.store.samples import NOON, member, opened, upsert


def lines(*changes: Change) -> bytes:
    return compress_always(msgspec.json.Encoder().encode_lines(changes))


def named(url: str, content: bytes, rows: int) -> SnapshotChunk:
    return SnapshotChunk(url=url, sha256=hashlib.sha256(content).hexdigest(), rows=rows)


class Served:
    """A centre's chunks, one member each. `asked` are those that somebody came for; `away` takes none of them."""

    def __init__(self, count: int, name: str = "s") -> None:
        self.contents = {f"/{name}/{n}": lines(upsert(n + 1, member(f"m-{n}", f"C{n}"))) for n in range(count)}
        self.asked: list[str] = []
        self.away = False

    async def __call__(self, chunk: SnapshotChunk) -> bytes:
        self.asked.append(chunk.url)
        if self.away:
            raise CentreUnavailableError("away")
        return self.contents[chunk.url]

    def step(self, index: int) -> FetchChunk:
        chunks = tuple(named(url, content, 1) for url, content in self.contents.items())
        snapshot = SnapshotResponse(centre_epoch="c", as_of=9, made_at=NOON, scope="all", chunks=chunks)
        return FetchChunk(snapshot=snapshot, index=index)


@asynccontextmanager
async def taking(folder: Path, served: Served) -> AsyncIterator[tuple[SnapshotIntake, Store]]:
    store = opened(folder)
    intake = SnapshotIntake(store, served)
    try:
        yield intake, store
    finally:
        intake.drop()
        store.close()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_next_chunk_is_asked_for_before_this_one_is_written(tmp_path: Path) -> None:
    served = Served(AHEAD + 3)
    async with taking(tmp_path, served) as (intake, store):
        await intake.fetch(served.step(0))
        await settled()

        assert served.asked == [f"/s/{n}" for n in range(1 + AHEAD)]
        assert store.count_members() == 0


async def test_a_snapshot_is_here_after_its_last_chunk_and_nothing_was_fetched_twice(tmp_path: Path) -> None:
    served = Served(4)
    async with taking(tmp_path, served) as (intake, store):
        for index in range(4):
            assert store.feed().centre_epoch is None
            await intake.fetch(served.step(index))
            assert await intake.apply(served.step(index))

        assert (store.feed().centre_epoch, store.feed().position) == ("c", 9)
        assert [found.member for n in range(4) if (found := store.member_by_code(f"c{n}"))] == [
            f"m-{n}" for n in range(4)
        ]
        assert store.meta("snapshot") == ""
    assert served.asked == list(served.contents)


@pytest.mark.parametrize("back_in_time", [False, True])
async def test_what_failed_ahead_is_asked_for_again_when_its_turn_comes(tmp_path: Path, back_in_time: bool) -> None:
    served = Served(2)
    async with taking(tmp_path, served) as (intake, _):
        await intake.fetch(served.step(0))
        served.away = True
        await settled()
        assert await intake.apply(served.step(0))

        served.away = not back_in_time
        if served.away:
            with pytest.raises(CentreUnavailableError):
                await intake.fetch(served.step(1))
            served.away = False
        assert await intake.fetch(served.step(1)) == served.contents["/s/1"]


async def test_chunks_of_a_snapshot_that_is_gone_are_not_waited_for(tmp_path: Path) -> None:
    old, new = Served(2, "old"), Served(2, "new")
    never = asyncio.Event()
    given_up: list[str] = []

    async def centre(chunk: SnapshotChunk) -> bytes:
        if chunk.url == "/old/1":
            try:
                await never.wait()
            finally:
                given_up.append(chunk.url)
        return await (old if chunk.url in old.contents else new)(chunk)

    store = opened(tmp_path)
    intake = SnapshotIntake(store, centre)
    await intake.fetch(old.step(0))
    await settled()

    assert await intake.fetch(new.step(0)) == new.contents["/new/0"]
    await settled()
    assert given_up == ["/old/1"]
    intake.drop()
    store.close()


@pytest.mark.parametrize("wrong", ["digest", "rows", "line", "frame"])
async def test_a_chunk_that_is_not_what_was_named_is_not_taken(tmp_path: Path, wrong: str) -> None:
    served = Served(1)
    url, content = "/s/0", served.contents["/s/0"]
    chunk = named(url, content, 1)
    match wrong:
        case "digest":
            chunk = replace(chunk, sha256="0" * 64)
        case "rows":
            chunk = replace(chunk, rows=2)
        case "line":
            served.contents[url] = compress_always(b'{"pos":1,"op":"upsert","member":"m","row":{"member":7}}\n')
            chunk = named(url, served.contents[url], 1)
        case "frame":
            served.contents[url] = content[:-1]
            chunk = named(url, served.contents[url], 1)
    step = FetchChunk(
        snapshot=SnapshotResponse(centre_epoch="c", as_of=9, made_at=NOON, scope="all", chunks=(chunk,)), index=0
    )

    async with taking(tmp_path, served) as (intake, store):
        await intake.fetch(step)
        assert not await intake.apply(step)
        assert store.count_members() == 0
        assert store.feed().centre_epoch is None


def test_a_line_without_a_row_holds_nobody() -> None:
    content = lines(Change(pos=3, op="erase", member="m-1"), upsert(4, member("m-2", "a-1")))

    rows = rows_of(named("/s/0", content, 2), content)

    assert rows is not None
    assert [(row.member, row.pos, row.op, row.codes) for row in rows] == [
        ("m-1", 3, "erase", ()),
        ("m-2", 4, "upsert", (("A1", "card"),)),
    ]
    assert rows[0].body is None
