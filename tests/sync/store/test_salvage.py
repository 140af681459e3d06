"""A damaged store: what can be read of it comes back, once, while the register goes on."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from loyalty.identification import normal_code
from loyalty.receipt import Line
from sync.keys import STORE_KEY, STORE_KEY_BYTES
from sync.purging import carry_out, nothing_else
from sync.records import Entry, SignalBody
from sync.store.damaged import DamagedFile
from sync.store.fed import fed
from sync.store.purge_rows import ERASURES_THROUGH
from sync.store.rows import Salvaged
from sync.store.salvage import salvage
from sync.store.sqlite import PAGE_BYTES, DatabaseError, connect
from sync.store.store import Store
from sync.store.whole_rows import table_of
from sync.store.writing import Writing
from sync.wire import Erasure
from tests.faults.figures import Figures, Tell
from tests.sync.store.samples import (
    CAPTURED,
    answer,
    capture,
    capturing,
    claim,
    keeper,
    member,
    opened,
    receipt,
    upsert,
)

SALES = 45
ACKNOWLEDGED = 30
MEMBERS = 200
DAMAGES = 15

# A call that was answered: nobody makes it again.
WAITING: dict[str, Any] = {
    "source": "pos",
    "receipt": receipt(9_000),
    "captured": CAPTURED,
    "content": "full",
    "said": CAPTURED.wall,
    "arrived": CAPTURED.wall,
}

Damage = Callable[[random.Random, bytearray], None]


def sale(number: int) -> Any:
    """Every tenth is longer than a page, so that it has pages of its own; their texts do not compress away."""
    dice = random.Random(number)
    names = [dice.randbytes(40).hex() for _ in range(250 if number % 10 == 0 else 8)]
    lines = tuple(Line(position=n, amount_minor=0, description=name) for n, name in enumerate(names, start=1))
    return replace(receipt(number), lines=lines)


def fill(store: Store) -> None:
    """A morning: some of it acknowledged, members, scans, and something for a person."""
    store.submit(
        lambda writing: writing.apply_changes(
            [upsert(number, member(f"m-{number}", f"CARD{number:05}", number)) for number in range(1, MEMBERS + 1)],
            MEMBERS,
            None,
        )
    ).result()
    store.submit(lambda writing: writing.open_epoch("e-1", "device-1")).result()
    for number in range(SALES):
        _sell(store, number)
        if number == ACKNOWLEDGED - 1:
            batch = store.next_batch()
            assert batch is not None
            store.submit(partial(Writing.acknowledge, response=answer(batch, ACKNOWLEDGED))).result()
    store.submit(lambda writing: writing.append("signal", "s-1", SignalBody(what="opened"))).result()
    store.submit(lambda writing: writing.keep_scan("CARD00007", "card", "m-7", CAPTURED)).result()
    store.submit(partial(Writing.add_waiting, **WAITING)).result()
    store.submit(lambda writing: writing.quarantine("till", "unreadable", "why", b"\x1b@" * 9000)).result()
    store.submit(lambda writing: writing.set_meta("config", "signed by the centre")).result()


def _sell(store: Store, number: int) -> None:
    sold = sale(number)
    name = f"m-{number + 1}" if number % 3 == 0 else None
    store.submit(lambda writing: capture(writing, sold, name, claim(sold, 5))).result()


@pytest.fixture(scope="module")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a register that was closed in order; and beside it the same, cut off with its log."""
    folder = tmp_path_factory.mktemp("morning")
    with closing(opened(folder)) as store:
        fill(store)
        shutil.copytree(folder, folder / "cut-off")
    return folder


def damaged(morning: Path, folder: Path, damage: Callable[[bytearray], None]) -> Path:
    """The register's folder with its file damaged; it is found corrupt at the next start, whatever the damage is."""
    shutil.copytree(morning, folder, ignore=shutil.ignore_patterns("cut-off", "*.lock"))
    path = folder / "store.db"
    content = bytearray(path.read_bytes())
    damage(content)
    path.write_bytes(content)
    (folder / "store.db.suspect").touch()
    return folder


def readable(folder: Path, sql: str, last: int) -> set[tuple[str, str]]:
    """What SQLite itself still reads of the file, row by row, by the tree from its root: keys and bodies."""
    key = keeper(folder).get_or_create(STORE_KEY, STORE_KEY_BYTES)
    found = set()
    connection = None
    for number in range(1, last + 1):
        try:
            connection = connection or connect(folder / "store.db", key, read_only=True)
            found.update(connection.execute(sql, (number,)).fetchall())
        except DatabaseError:  # it reads nothing more on this connection
            connection = None
    return found


ENTRIES = "SELECT key, hex(body) FROM entries WHERE number = ?"
RECEIPTS = "SELECT k.key, hex(r.body) FROM receipts r JOIN receipt_keys k ON k.receipt = r.id WHERE r.id = ?"


async def salvaged(store: Store) -> Salvaged:
    told = asyncio.Event()
    await salvage(store, receipts_back=told.set)
    assert told.is_set()
    recovered = store.status().recovered
    assert recovered is not None
    assert recovered.salvaged.done
    return recovered.salvaged


def truncated(dice: random.Random, content: bytearray) -> None:
    del content[dice.randrange(PAGE_BYTES, len(content)) :]


def zeroed(dice: random.Random, content: bytearray) -> None:
    for _ in range(dice.randrange(1, 6)):
        start = dice.randrange(len(content) // PAGE_BYTES) * PAGE_BYTES
        content[start : start + PAGE_BYTES] = bytes(PAGE_BYTES)


def flipped(dice: random.Random, content: bytearray) -> None:
    for _ in range(dice.randrange(1, 12)):
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)


def swapped(dice: random.Random, content: bytearray) -> None:
    first, second = (PAGE_BYTES * number for number in dice.sample(range(len(content) // PAGE_BYTES), 2))
    one, other = content[first : first + PAGE_BYTES], content[second : second + PAGE_BYTES]
    content[first : first + PAGE_BYTES], content[second : second + PAGE_BYTES] = other, one


def scribbled(dice: random.Random, content: bytearray) -> None:
    start = dice.randrange(len(content))
    piece = content[start : start + dice.randrange(1, 5 * PAGE_BYTES)]
    content[start : start + len(piece)] = dice.randbytes(len(piece))


async def test_whatever_the_damage_nothing_that_can_be_read_is_lost_and_nothing_comes_twice(
    morning: Path, tmp_path: Path, tell: Tell
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    with closing(opened(morning)) as store:
        written = {entry.key: entry for entry in entries_of(store)}
    whole_entries, whole_sales = readable(morning, ENTRIES, SALES + 1), readable(morning, RECEIPTS, SALES)
    assert (len(whole_entries), len(whole_sales)) == (SALES + 1, SALES)
    kept_whole = readable_rows = lost = double = 0
    for number in range(DAMAGES):
        damage = (truncated, zeroed, flipped, swapped, scribbled)[number % 5]
        folder = damaged(morning, tmp_path / str(number), lambda content: damage(dice, content))  # noqa: B023
        # a page of a chain that is not authentic comes as zeros here
        entries = {key for key, _ in readable(folder, ENTRIES, SALES + 1) & whole_entries}
        sales = {key for key, _ in readable(folder, RECEIPTS, SALES) & whole_sales}

        with closing(opened(folder)) as store:
            if store.status().recovered is None:  # the damage hit nothing that is in use
                kept_whole += 1
                continue
            # given a sale before anything came back
            await store.write(capturing(1000))
            told = await salvaged(store)
            waiting = entries_of(store)

            keys = [entry.key for entry in waiting]
            due = entries - {receipt(done).key for done in range(ACKNOWLEDGED)}
            readable_rows += len(due)
            lost += len(due - set(keys))
            double += len(keys) - len(set(keys))
            assert (lost, double) == (0, 0), damage.__name__
            assert set(keys) <= set(written) | {receipt(1000).key}
            for entry in waiting:
                was = written.get(entry.key)
                # one that was made again from its receipt has a time and salt of its own
                assert was is None or (entry.kind, entry.json) == (was.kind, was.json) or told.lost_pages
            assert all(store.known_receipt((key,)) for key in sales)
            assert store.known_receipt((receipt(1000).key,)) is not None
    points = DAMAGES - kept_whole
    tell(Figures(row=20, fault="a damaged store", points=points, acknowledged=readable_rows, lost=lost, double=double))
    assert kept_whole < DAMAGES // 2


def entries_of(store: Store) -> list[Entry]:
    return [store.entry(item.number) for item in store.queue()]


async def test_with_the_header_gone_everything_comes_back(morning: Path, tmp_path: Path) -> None:
    def damage(content: bytearray) -> None:
        content[:PAGE_BYTES] = bytes(PAGE_BYTES)

    with closing(opened(morning)) as whole:
        waited = entries_of(whole)[ACKNOWLEDGED:]
        balance = whole.member_by_code("CARD00061")
    with closing(opened(damaged(morning, tmp_path / "till", damage))) as store:
        told = await salvaged(store)

        # what waited, under the same keys and clocks and salts, in the same order; what was acknowledged does not
        assert [_as_sent(entry) for entry in entries_of(store)] == [_as_sent(entry) for entry in waited]
        assert all(store.known_receipt((receipt(number).key,)) for number in range(SALES))
        assert store.count_members() == MEMBERS
        assert store.member_by_code("CARD00061") == balance
        assert store.member_by_code(normal_code("CARD00007")) is not None
        assert [scan.code for scan in store.unused_scans()] == ["CARD00007"]
        assert [item.reason for item in store.quarantined()] == ["corrupt_store", "unreadable"]
        assert store.quarantined_raw(store.quarantined()[1].id) == b"\x1b@" * 9000
        assert store.meta("config") == "signed by the centre"
        assert (told.lost_pages, told.lost_rows) == (1, 0)
        assert told.brought_back == {
            "entries": SALES - ACKNOWLEDGED + 1,
            "receipts": SALES,
            "members": MEMBERS,
            "scans": 1,
            "waiting receipts": 1,
            "quarantined": 1,
            "facts": 1,
        }
        # and the item in quarantine says so to a person
        assert f"{SALES - ACKNOWLEDGED + 1} entries" in store.quarantined()[0].detail
        # a new entry is later than all that came back
        later = await store.write(lambda writing: writing.append("signal", "s-2", SignalBody(what="closed")))
        assert later.hlc > max(entry.hlc for entry in waited)


def _as_sent(entry: Entry) -> tuple[object, ...]:
    return entry.key, entry.kind, entry.hlc, entry.wall, entry.salt, entry.json


async def test_what_was_only_in_the_log_of_a_register_that_was_cut_off_comes_back(
    morning: Path, tmp_path: Path
) -> None:
    def damage(content: bytearray) -> None:
        content[:] = random.Random(1).randbytes(len(content))

    # given that SQLite stops at the log's first broken page, and the file below it is of no use
    folder = damaged(morning / "cut-off", tmp_path / "till", damage)
    with (folder / "store.db-wal").open("r+b") as log:
        log.seek(PAGE_BYTES // 2)
        log.write(b"broken")

    with closing(opened(folder)) as store:
        await salvaged(store)
        keys = {entry.key for entry in entries_of(store)}

    assert {receipt(number).key for number in range(SALES - 15, SALES)} <= keys


async def test_a_start_that_is_killed_before_the_log_has_its_new_name_loses_nothing_of_it(
    morning: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a start that ends when the damaged file has its new name and the log, in which alone some sales are, has not
    def damage(content: bytearray) -> None:
        content[:] = random.Random(1).randbytes(len(content))

    folder = damaged(morning / "cut-off", tmp_path / "till", damage)
    with (folder / "store.db-wal").open("r+b") as log:
        log.write(b"broken")
    renamed: list[str] = []
    rename = Path.rename

    def once(path: Path, name: Path) -> Path:
        if renamed:
            raise KeyboardInterrupt
        renamed.append(path.name)
        return rename(path, name)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", once)
        with pytest.raises(KeyboardInterrupt):
            opened(folder)
    assert renamed == ["store.db"]

    with closing(opened(folder)) as store:
        await salvaged(store)
        keys = {entry.key for entry in entries_of(store)}

    assert {receipt(number).key for number in range(SALES - 15, SALES)} <= keys


async def test_a_store_that_is_damaged_before_all_came_back_brings_back_what_was_in_both(
    morning: Path, tmp_path: Path
) -> None:
    def damage(content: bytearray) -> None:
        content[:PAGE_BYTES] = random.Random(1).randbytes(PAGE_BYTES)

    # given a store that took the place of a damaged one, sold, and was damaged itself
    folder = damaged(morning, tmp_path / "till", damage)
    with closing(opened(folder)) as store:
        await store.write(lambda writing: writing.append("signal", "s-between", SignalBody(what="opened")))
    path = folder / "store.db"
    content = bytearray(path.read_bytes())
    damage(content)
    path.write_bytes(content)

    with closing(opened(folder)) as store:
        calls: list[set[str]] = []
        await salvage(store, receipts_back=lambda: calls.append({entry.key for entry in entries_of(store)}))
        keys = [entry.key for entry in entries_of(store)]
        assert store.status().quarantined == len(store.quarantined())

    # then all is there once, and receipts were known only when those of both were
    waited = {receipt(number).key for number in range(ACKNOWLEDGED, SALES)}
    assert waited | {"s-between", "s-1"} == set(keys)
    assert len(keys) == len(set(keys))
    assert waited <= calls[0]
    # and neither is looked through again
    with closing(opened(folder)) as store:
        assert store.status().recovered is None
        assert not store.salvaging()


async def test_of_files_that_gave_what_they_had_nothing_comes_back_after_the_next_damage(
    morning: Path, tmp_path: Path
) -> None:
    def damage(content: bytearray) -> None:
        content[:PAGE_BYTES] = random.Random(1).randbytes(PAGE_BYTES)

    folder = damaged(morning, tmp_path / "till", damage)
    with closing(opened(folder)) as store:
        await salvaged(store)
    path = folder / "store.db"
    path.write_bytes(random.Random(2).randbytes(PAGE_BYTES))

    with closing(opened(folder)) as store:
        told = await salvaged(store)

        recovered = store.status().recovered
        assert recovered is not None
        assert Path(recovered.moved_to).name.endswith("-1")
        assert told.brought_back == {}


async def test_a_sale_whose_entry_is_lost_is_told_to_the_centre_from_its_receipt(morning: Path, tmp_path: Path) -> None:
    # given a file in which no page with an entry that waits can be read
    key = keeper(morning).get_or_create(STORE_KEY, STORE_KEY_BYTES)
    lost = []
    with closing(DamagedFile(morning / "store.db", key)) as file:
        for number in file.numbers:
            rows = [row for row in file.rows(number) if row is not None]
            if any(table_of(row) == "entries" and (row.rowid or 0) > ACKNOWLEDGED for row in rows):
                lost.append(number)
    assert lost

    def damage(content: bytearray) -> None:
        for number in lost:
            content[(number - 1) * PAGE_BYTES : number * PAGE_BYTES] = bytes(PAGE_BYTES)

    with closing(opened(damaged(morning, tmp_path / "till", damage))) as store:
        told = await salvaged(store)
        keys = [entry.key for entry in entries_of(store)]

    # then each sale that the centre may not have waits for it once
    assert {receipt(number).key for number in range(ACKNOWLEDGED, SALES)} <= set(keys)
    assert len(keys) == len(set(keys))
    assert told.brought_back["entries made again"] >= SALES - ACKNOWLEDGED


async def test_a_salvage_that_was_cut_short_goes_on_and_brings_nothing_twice(morning: Path, tmp_path: Path) -> None:
    def damage(content: bytearray) -> None:
        content[:PAGE_BYTES] = bytes(PAGE_BYTES)

    folder = damaged(morning, tmp_path / "till", damage)
    # given starts that each end once something more is back
    for _ in range(3):
        with closing(opened(folder)) as store:
            something_back = asyncio.Event()
            store.listen(lambda _: something_back.set())  # noqa: B023
            salvaging = asyncio.create_task(salvage(store, receipts_back=lambda: None))
            await something_back.wait()
            salvaging.cancel()
            await asyncio.wait({salvaging})
            recovered = store.status().recovered
            assert recovered is not None
            assert not recovered.salvaged.done

    with closing(opened(folder)) as store:
        told = await salvaged(store)
        assert [entry.key for entry in entries_of(store)] == [
            *(receipt(number).key for number in range(ACKNOWLEDGED, SALES)),
            "s-1",
        ]
        assert told.brought_back["entries"] == SALES - ACKNOWLEDGED + 1
        assert len(store.unused_scans()) == 1
        [waiting] = store.submit(lambda writing: writing.waiting_since(CAPTURED.wall)).result()
        assert (waiting.source, waiting.receipt, waiting.captured) == ("pos", receipt(9_000), CAPTURED)
    with closing(opened(folder)) as store:
        assert store.status().recovered is None


async def test_members_of_a_damaged_file_do_not_come_after_those_of_a_snapshot(morning: Path, tmp_path: Path) -> None:
    def damage(content: bytearray) -> None:
        content[:PAGE_BYTES] = bytes(PAGE_BYTES)

    with closing(opened(damaged(morning, tmp_path / "till", damage))) as store:
        # given a centre that has since told which members there are
        await store.write(lambda writing: writing.begin_snapshot())
        await store.write(lambda writing: writing.apply_snapshot([fed(upsert(900, member("m-1", "CARD00001", 77)))]))
        await store.write(lambda writing: writing.finish_snapshot("centre-1", 900, CAPTURED.wall, "everything"))

        await salvaged(store)

        assert store.count_members() == 1
        shown = store.member_by_code("CARD00001")
        assert shown is not None
        assert shown.balance.confirmed == 77


async def test_a_file_that_is_gone_ends_the_salvage(morning: Path, tmp_path: Path) -> None:
    def damage(content: bytearray) -> None:
        content[:PAGE_BYTES] = bytes(PAGE_BYTES)

    with closing(opened(damaged(morning, tmp_path / "till", damage))) as store:
        recovered = store.status().recovered
        assert recovered is not None
        await asyncio.to_thread(Path(recovered.moved_to).unlink)

        assert (await salvaged(store)).brought_back == {}


async def test_whoever_was_erased_while_the_file_came_back_is_erased_in_it_too(morning: Path, tmp_path: Path) -> None:
    def damage(content: bytearray) -> None:
        content[:PAGE_BYTES] = bytes(PAGE_BYTES)

    erasure = Erasure(number=4, member="m-1", aliases=(), codes=(), erased_at=CAPTURED.wall)
    with closing(opened(damaged(morning, tmp_path / "till", damage))) as store:
        # given an erasure that was carried out before the member's sales were back
        assert store.salvaging()
        await carry_out(store, erasure, nothing_else)
        await salvaged(store)
        assert not store.salvaging()

        # then all erasures are asked for anew, and what is told of one goes under its one key
        assert store.meta(ERASURES_THROUGH) == "0"
        await carry_out(store, erasure, nothing_else)
        assert store.meta(ERASURES_THROUGH) == "4"
        assert {entry.key for entry in entries_of(store) if entry.kind == "erased"} == {"erased-4"}
        assert store.member("m-1") is None
