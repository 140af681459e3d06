"""The feed: one order, no skipped row, and a snapshot that continues into it."""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from aiohttp import WSMsgType

from central import feed, operations, snapshots
from central.db import tables
from central.db.database import Database, Work
from central.folder import DataFolder
from central.problems import SnapshotInTheMakingError
from central.scopes import WHOLE
from central.snapshots import forget_snapshots
from loyalty.member import Member
from sync import base64url
from sync.compression import zstd
from sync.wire import Change, LiveHint, SnapshotResponse
from tests.central.conftest import RunningCentre
from tests.central.till import NOON, RefusedError, Till, receipt


def _import(centre: RunningCentre, *members: dict[str, Any]) -> None:
    document = msgspec.json.encode({"members": members})
    centre.write(lambda connection: operations.import_file(connection, document, NOON))


async def _placed(till: Till, pos: int) -> None:
    """Wait until the server has placed what another process wrote: it sends a hint."""
    socket = await till.live()
    async with asyncio.timeout(10):
        while (msgspec.json.decode((await socket.receive()).data, type=LiveHint).feed or 0) < pos:
            pass
    await socket.close()


async def _chunks(till: Till, snapshot: SnapshotResponse) -> list[Change]:
    changes = []
    for chunk in snapshot.chunks:
        status, content = await till.request("GET", chunk.url, b"")
        assert status == 200
        assert hashlib.sha256(content).hexdigest() == chunk.sha256
        lines = zstd.decompress(content).splitlines()
        assert len(lines) == chunk.rows
        changes += [msgspec.json.decode(line, type=Change) for line in lines]
    return changes


def _applied(rows: dict[str, Change], changes: list[Change] | tuple[Change, ...]) -> None:
    """As a register does: a change is applied only if it is newer than the row."""
    for change in changes:
        if change.member not in rows or rows[change.member].pos < change.pos:
            rows[change.member] = change


async def test_changes_come_in_order_and_in_pages(centre: RunningCentre) -> None:
    till = await centre.till()
    first = await till.changes(limit=2)
    assert [change.pos for change in first.changes] == [1, 2]
    assert (first.next, first.more) == (2, True)
    rest = await till.changes(after=first.next)
    assert [change.member for change in (*first.changes, *rest.changes)] == ["m1", "m2", "m3"]
    assert (rest.next, rest.more) == (3, False)
    assert (await till.changes(after=3)).changes == ()


async def test_a_member_changed_again_moves_to_the_end(centre: RunningCentre) -> None:
    till = await centre.till()
    await till.sell(receipt(1, code="TS0001"))
    changes = (await till.changes()).changes
    assert [(change.pos, change.member) for change in changes] == [(2, "m2"), (3, "m3"), (4, "m1")]


async def test_another_process_is_heard_within_a_second(centre: RunningCentre) -> None:
    # Given a register that listens
    till = await centre.till()
    socket = await till.live()
    hint = await socket.receive()
    assert msgspec.json.decode(hint.data, type=LiveHint).feed == 3
    # When the command line imports a member
    _import(centre, {"member": "m4", "short_name": "Ivo"})
    # Then a hint comes, and the member is in the feed
    async with asyncio.timeout(5):
        hint = await socket.receive()
    assert hint.type == WSMsgType.TEXT
    assert msgspec.json.decode(hint.data, type=LiveHint).feed == 4
    assert [change.member for change in (await till.changes(after=3)).changes] == ["m4"]
    await socket.close()


async def test_a_row_is_what_the_centre_was_at_its_position(centre: RunningCentre) -> None:
    # Given a change that is committed and not placed
    till = await centre.till()
    await till.sell(receipt(1, code="TS0001"))
    before = (await till.changes()).changes
    centre.write(lambda connection: connection.execute(tables.balances.update().values(confirmed=77)))
    # Then the feed still says what it said: nothing of it is shown before it has a position
    assert (await till.changes()).changes == before


async def test_snapshot_and_changes_give_the_whole_state(centre: RunningCentre) -> None:
    # Given a history of imports and sales, and a snapshot taken somewhere in it
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    till = await centre.till()
    taken_at = chance.randrange(10)
    rows: dict[str, Change] = {}
    for step in range(10):
        if step == taken_at:
            snapshot = await till.snapshot()
            _applied(rows, await _chunks(till, snapshot))
        if chance.random() < 0.4:
            member = chance.randrange(1, 8)
            _import(centre, {"member": f"m{member}", "short_name": f"Name {step}"})
        else:
            await till.sell(receipt(step, 100_00, code=chance.choice(["TS0001", "TS0002", "TS9999"])))
    while centre.place(NOON).more:
        pass
    # When a register takes the changes after it, in small pages
    after = snapshot.as_of
    while True:
        page = await till.changes(after=after, limit=2)
        _applied(rows, page.changes)
        after = page.next
        if not page.more:
            break
    # Then it holds exactly what one holds that took all changes from the start
    whole: dict[str, Change] = {}
    _applied(whole, (await till.changes()).changes)
    assert rows == whole
    assert len(whole) == len(centre.read(lambda c: c.execute(tables.members.select()).all()))


async def test_a_snapshot_is_cut_into_chunks_and_can_be_resumed(centre: RunningCentre) -> None:
    # Given more members than one chunk holds
    count = snapshots.ROWS_PER_CHUNK + 1
    _import(centre, *({"member": f"x{number}", "short_name": "N"} for number in range(count)))
    till = await centre.till()
    await _placed(till, count + 3)
    snapshot = await till.snapshot()
    assert [chunk.rows for chunk in snapshot.chunks] == [snapshots.ROWS_PER_CHUNK, 4]
    # When it is asked for again, it is the same one
    assert await till.snapshot() == snapshot
    assert len({change.member for change in await _chunks(till, snapshot)}) == count + 3


@pytest.mark.parametrize(
    "path", ["/v1/snapshots/..%2F..%2Fca/0", "/v1/snapshots/x/..%2F..%2Fca.key", "/v1/snapshots/x%00/0"]
)
async def test_a_chunk_is_never_another_file(centre: RunningCentre, path: str) -> None:
    till = await centre.till()
    status, _ = await till.request("GET", path, b"")
    assert status == 404


async def test_a_chunk_that_is_gone_asks_for_a_new_snapshot(centre: RunningCentre) -> None:
    till = await centre.till()
    status, problem = await till.request("GET", "/v1/snapshots/00x1/0", b"")
    assert status == 410
    assert msgspec.json.decode(problem)["type"] == "urn:tillside:problem:snapshot-needed"


@pytest.mark.parametrize("dropped", [True, False], ids=["and the snapshots dropped", "and they are dropped later"])
async def test_a_snapshot_is_made_anew_where_somebody_is_erased_meanwhile(data: Path, dropped: bool) -> None:
    folder = DataFolder(data)

    class Interrupted(Database):
        """After the first page was read, a member is erased by the command line."""

        reads = 0

        async def read(self, work: Work[Any]) -> Any:
            found = await super().read(work)
            self.reads += 1
            if isinstance(found, list) and found and self.reads < 10:
                self.reads = 10
                await self.write(lambda c: operations.erase_member(c, "m1", NOON))
                if dropped:
                    await asyncio.to_thread(forget_snapshots, folder.snapshots)
            return found

    database = Interrupted(folder.database)
    database.write_now(lambda c: feed.place_changes(c, NOON))
    made = snapshots.Snapshots(folder.snapshots, database)

    with pytest.raises(SnapshotInTheMakingError):
        await made.newest(WHOLE, NOON)
    assert list(folder.snapshots.iterdir()) == []
    again = await made.newest(WHOLE, NOON)

    database.close()
    content = zstd.decompress((folder.snapshots / again.chunks[0].url.split("/")[3] / "0.jsonl.zst").read_bytes())
    assert b"Ana" not in content
    assert b"Mila" in content


async def test_a_position_beyond_the_feed_needs_a_snapshot(centre: RunningCentre) -> None:
    till = await centre.till()
    with pytest.raises(RefusedError) as refused:
        await till.changes(after=99)
    assert refused.value.status == 410


@pytest.mark.parametrize("query", ["after=-1", "after=x", "", "after=0&limit=0", "after=0&limit=1001", "after=９"])
async def test_a_query_that_makes_no_sense_is_refused(centre: RunningCentre, query: str) -> None:
    till = await centre.till()
    status, _ = await till.request("GET", f"/v1/changes?{quote(query, safe='=&')}", b"")
    assert status == 422


async def test_a_member_is_found_by_any_way_of_writing_the_code(centre: RunningCentre) -> None:
    till = await centre.till()
    await till.sell(receipt(1, code="TS0001"))
    status, body = await till.request("GET", "/v1/members/ts%200001", b"")
    assert status == 200
    found = msgspec.json.decode(body)
    assert found["pos"] == 4
    assert msgspec.convert(found["row"], Member).balance.confirmed == 10
    status, _ = await till.request("GET", "/v1/members/nobody", b"")
    assert status == 404


async def test_a_program_comes_with_its_signature(centre: RunningCentre) -> None:
    till = await centre.till()
    hashed = (await till.heartbeat()).program
    status, body = await till.request("GET", f"/v1/programs/{hashed}", b"")
    assert status == 200
    signed = msgspec.json.decode(body)
    assert hashlib.sha256(signed["program"].encode()).hexdigest() == hashed
    signature = base64url.decoded(signed["signature"])
    centre.folder.program_key().public_key().verify(signature, signed["program"].encode())
    status, _ = await till.request("GET", "/v1/programs/unknown", b"")
    assert status == 404


# -- a snapshot that is gone on with ---------------------------------------------------------------


async def test_a_register_goes_on_with_the_snapshot_it_began_whatever_came_since(centre: RunningCentre) -> None:
    # Given a snapshot, and a newer one since
    till, other = await centre.till("3"), await centre.till("4")
    begun = await till.snapshot()
    centre.clock.now += snapshots.REUSED_FOR
    await till.sell(receipt(1, code="TS0001"))
    newer = await other.snapshot()
    assert newer.as_of > begun.as_of
    # When a register asks that has a chunk of the first
    path = f"/v1/snapshot?last={begun.chunks[0].sha256}"
    assert await till.get(path, SnapshotResponse) == begun
    # And another centre process on the same folder knows it, too
    again = snapshots.Snapshots(centre.folder.snapshots, centre.database)
    assert await again.newest(WHOLE, centre.clock(), begun.chunks[0].sha256) == begun
    # Then it is that one, until it is gone
    shutil.rmtree(centre.folder.snapshots / begun.chunks[0].url.split("/")[-2])
    assert await till.get(path, SnapshotResponse) == newer


async def test_a_snapshot_of_a_time_to_come_is_not_fresh(centre: RunningCentre) -> None:
    # Given one that was made while the centre's clock was ahead, and news since
    till = await centre.till()
    centre.clock.now += timedelta(days=365)
    made = await till.snapshot()
    centre.clock.now -= timedelta(days=365)
    await till.sell(receipt(1, code="TS0001"))
    await till.changes()
    # When a register asks again, and again much later by the clock that is right
    for _ in range(2):
        newer = await till.snapshot()
        assert newer.as_of > made.as_of
        centre.clock.now += timedelta(days=30)


async def test_of_snapshots_that_have_the_same_chunk_a_register_goes_on_with_its_own(
    centre: RunningCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given three snapshots, of which the first chunks are the same, since who changed is in the last
    monkeypatch.setattr(snapshots, "ROWS_PER_CHUNK", 1)
    till, other = await centre.till("3"), await centre.till("4")
    made = []
    for number in range(3):
        if number:
            centre.clock.now += snapshots.REUSED_FOR
            await till.sell(receipt(number, code="TS0002"))
        made.append(await other.snapshot())
    assert len({one.as_of for one in made}) == 3
    assert len({one.chunks[0].sha256 for one in made}) == 1

    # then each is gone on with by who has its first chunk; who does not say as of when, with the oldest
    last = f"/v1/snapshot?last={made[0].chunks[0].sha256}"
    for one in made:
        assert await till.get(f"{last}&as_of={one.as_of}", SnapshotResponse) == one
    for as_of in ("", "&as_of=77"):
        assert await till.get(f"{last}{as_of}", SnapshotResponse) == made[0]


async def test_what_was_left_half_made_is_no_snapshot(centre: RunningCentre) -> None:
    till = await centre.till()
    made = await till.snapshot()
    (centre.folder.snapshots / made.chunks[0].url.split("/")[-2] / "manifest.json").unlink()

    again = await till.snapshot()

    assert again.chunks[0].url != made.chunks[0].url
    assert len(await _chunks(till, again)) == 3
