"""From settings to the reader of a source, with a real store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.receipts import at_once
from agent.sources import Intake, intake_of
from config.settings import ReceiptSettings
from drivers.receipts.row_mapping import MappingError
from tests.agent.shop import OPTIONS, Shop

MAPPING = 'dates = ["yyyy-mm-dd"]\n[receipt]\nnumber = "id"\nbusiness_day = "day"\ntotal = "total"\n'


def intake(shop: Shop, settings: ReceiptSettings) -> Intake:
    return intake_of(
        settings,
        books=shop.books(settings.name),
        store=shop.store,
        options=lambda: replace(OPTIONS, format=settings.format),
        scans_taken=at_once,
    )


class EnoughError(Exception):
    """The source has read what there is."""


async def run_once(reading: Intake) -> None:
    def ready() -> None:
        raise EnoughError

    with pytest.raises(EnoughError):
        await reading.run(ready)


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    (tmp_path / "sales.toml").write_text(MAPPING)
    return tmp_path / "sales.toml"


async def test_a_folder_of_tables_is_read_by_its_mapping(shop: Shop, tmp_path: Path, mapping: Path) -> None:
    (tmp_path / "drop").mkdir()
    (tmp_path / "drop" / "day.csv").write_text("id,day,total\n1,2026-11-22,7.50\n2,2026-11-22,8.50\n")
    settings = ReceiptSettings(name="day", folder=tmp_path / "drop", complete="rename", format="csv", mapping=mapping)

    await run_once(intake(shop, settings))

    assert [body.receipt.total_minor for body in shop.bodies()] == [750, 850]


async def test_a_database_is_read_as_the_settings_say(shop: Shop, tmp_path: Path, mapping: Path) -> None:
    file = tmp_path / "pos.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE sales (id INTEGER PRIMARY KEY, day TEXT, total TEXT)")
        connection.execute("INSERT INTO sales VALUES (1, '2026-11-22', '7.50')")
    settings = ReceiptSettings(
        name="pos",
        database=f"sqlite:///{file}",
        query="SELECT id, day, total FROM sales WHERE id > :high_water ORDER BY id",
        high_water="id",
        mapping=mapping,
    )

    await run_once(intake(shop, settings))

    (body,) = shop.bodies()
    assert (body.receipt.number, body.receipt.total_minor, body.receipt.source) == ("1", 750, "database")


def test_a_mapping_that_is_not_there_is_named(shop: Shop, tmp_path: Path) -> None:
    settings = ReceiptSettings(name="day", folder=tmp_path, mapping=tmp_path / "none.toml")

    with pytest.raises(MappingError, match=r"none.toml: cannot be read .* Name the mapping's file"):
        intake(shop, settings)
