"""From dropped files to booked receipts, with a real folder and a real store."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agent.arrivals import ArrivalIntake
from agent.receipts import at_once
from agent.store_inspection import ignored_of
from drivers.receipts.arrivals import Arrival
from drivers.receipts.database_source import DatabaseReader, DatabaseRules
from drivers.receipts.decode import DecodeOptionsError
from drivers.receipts.folder_source import FolderReader, FolderRules
from drivers.receipts.port import DecodeOptions
from drivers.receipts.row_mapping import mapping_from
from tests.agent.shop import OPTIONS, Shop, receipt

AT_ONCE = FolderRules(complete="rename", settle_ms=0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "drop").mkdir()
    return tmp_path / "drop"


def intake(
    shop: Shop, folder: Path, rules: FolderRules = AT_ONCE, *, source: FolderReader | None = None
) -> ArrivalIntake:
    return ArrivalIntake(
        source=source or FolderReader(folder, rules),
        books=shop.books("drop"),
        store=shop.store,
        options=lambda: OPTIONS,
        scans_taken=at_once,
    )


async def test_a_dropped_file_is_booked_and_moved_away(shop: Shop, folder: Path) -> None:
    await shop.seed()
    (folder / "1.prn").write_bytes(receipt(1) + receipt(2))

    await intake(shop, folder).take_new()

    assert [body.receipt.number for body in shop.bodies()] == ["1", "2"]
    assert [path.name for path in (folder / "done").iterdir()] == ["1.prn"]


async def test_a_file_that_was_not_all_understood_is_put_apart_and_kept_for_a_person(shop: Shop, folder: Path) -> None:
    (folder / "1.txt").write_bytes(b"\x1b@MYSTERY SHEET\nSOMETHING ELSE\n\x1dV\x00" + receipt(2))
    (folder / "2.txt").symlink_to(folder / "1.txt")
    (folder / "3.txt").write_bytes(receipt(3))

    await intake(shop, folder).take_new()

    assert [body.receipt.number for body in shop.bodies()] == ["2", "3"]
    assert sorted(path.name for path in (folder / "failed").iterdir()) == ["1.txt", "2.txt"]
    items = shop.store.quarantined()
    assert sorted((item.source, item.reason) for item in items) == [("drop", "not_a_file"), ("drop", "unknown_layout")]
    assert "was not opened: remove it" in {item.reason: item.detail for item in items}["not_a_file"]


async def test_a_poison_file_is_read_once_where_files_stay(shop: Shop, folder: Path) -> None:
    leave = FolderRules(complete="rename", settle_ms=0, afterwards="leave")
    (folder / "1.txt").write_bytes(b'{"receipts": [{]')
    reading = intake(shop, folder, leave)

    await reading.take_new()
    await reading.take_new()
    shop.reopen()
    await intake(shop, folder, leave).take_new()

    assert [item.reason for item in shop.store.quarantined()] == ["bad_receipt"]


async def test_the_same_file_dropped_again_counts_nothing(shop: Shop, folder: Path) -> None:
    reading = intake(shop, folder)
    for _ in range(2):
        (folder / "1.prn").write_bytes(receipt(1) + b"\x1b@CARD PAYMENT\nVISA\nAPPROVED\nMERCHANT COPY\n\x1dV\x00")
        await reading.take_new()

    assert len(shop.bodies()) == 1
    assert ignored_of(shop.store) == {"card_slip": 1}


class PowerCutError(BaseException):
    """The machine is off."""


class Failing(FolderReader):
    """Loses power before it moves a file, now and then."""

    def __init__(self, folder: Path, rules: FolderRules, chance: random.Random) -> None:
        super().__init__(folder, rules)
        self._chance = chance

    def finish(self, arrival: Arrival, *, understood: bool) -> None:
        if self._chance.random() < 0.3:
            raise PowerCutError
        super().finish(arrival, understood=understood)
        if self._chance.random() < 0.2:
            raise PowerCutError


async def test_power_cuts_lose_no_file_and_count_none_twice(shop: Shop, folder: Path) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    count = 25
    for number in range(count):
        (folder / f"{number:03}.prn").write_bytes(receipt(number))

    cuts = 0
    while True:
        try:
            await intake(shop, folder, source=Failing(folder, AT_ONCE, chance)).take_new()
            break
        except PowerCutError:
            cuts += 1
            shop.reopen()

    assert cuts > 0, f"seed {seed}"
    assert [body.receipt.number for body in shop.bodies()] == [str(n) for n in range(count)], f"seed {seed}"
    assert ignored_of(shop.store) == {}, f"seed {seed}"
    assert len(list((folder / "done").iterdir())) == count, f"seed {seed}"


async def test_a_card_number_in_a_file_or_its_name_is_not_kept(shop: Shop, folder: Path) -> None:
    (folder / "4111111111111111.txt").write_bytes(b"\x1b@MYSTERY 4111 1111 1111 1111\n\x1dV\x00")
    (folder / "4012888888881881.txt").symlink_to("nowhere")

    await intake(shop, folder, FolderRules(complete="rename", settle_ms=0, afterwards="leave")).take_new()

    items = shop.store.quarantined()
    assert len(items) == 2
    kept = [shop.store.quarantined_raw(item.id) or b"" for item in items]
    kept += [item.detail.encode() for item in items]
    kept += [name.encode() for name in shop.store.source_marks("drop")]
    assert not [each for each in kept if b"411111111111" in each.replace(b" ", b"") or b"401288888888" in each]


async def test_wrong_options_stop_the_source_and_touch_no_file(shop: Shop, folder: Path) -> None:
    (folder / "1.prn").write_bytes(receipt(1))
    wrong = ArrivalIntake(
        source=FolderReader(folder, AT_ONCE),
        books=shop.books("drop"),
        store=shop.store,
        options=lambda: DecodeOptions(format="papyrus"),
        scans_taken=at_once,
    )

    with pytest.raises(DecodeOptionsError, match="papyrus"):
        await wrong.run(lambda: None)

    assert (folder / "1.prn").exists()


def sold(file: Path, *numbers: int) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS sales (id INTEGER PRIMARY KEY, day TEXT, total TEXT)")
        connection.executemany("INSERT INTO sales VALUES (?, '2026-11-22', '7.50')", [(number,) for number in numbers])


async def test_a_database_is_read_on_after_power_cuts_and_no_sale_counts_twice(shop: Shop, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    file = tmp_path / "pos.db"
    mapping = b'dates = ["yyyy-mm-dd"]\n[receipt]\nnumber = "id"\nbusiness_day = "day"\ntotal = "total"\n'
    rules = DatabaseRules(
        query="SELECT id, day, total FROM sales WHERE id > :high_water ORDER BY id",
        high_water="id",
        mapping=mapping_from(mapping, "test"),
    )

    class Cut(DatabaseReader):
        def finish(self, arrival: Arrival, *, understood: bool) -> None:
            if chance.random() < 0.5:
                raise PowerCutError

    cuts, numbers = 0, list(range(1, 41))
    sold(file, *numbers[:30:2])
    while True:
        source = Cut(f"sqlite:///{file}", rules, lambda: OPTIONS, environment={})
        reading = ArrivalIntake(
            source=source, books=shop.books("pos"), store=shop.store, options=lambda: OPTIONS, scans_taken=at_once
        )
        try:
            await reading.take_new()
            break
        except PowerCutError:
            cuts += 1
            if cuts == 1:
                sold(file, *numbers[1:30:2], *numbers[30:])
            shop.reopen()
        finally:
            source.close()

    assert cuts > 0, f"seed {seed}"
    assert sorted(int(body.receipt.number or 0) for body in shop.bodies()) == numbers, f"seed {seed}"
    assert ignored_of(shop.store) == {}, f"seed {seed}"
    assert shop.store.quarantined() == (), f"seed {seed}"
