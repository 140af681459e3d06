"""Before the agent runs, `doctor` tries what a source of receipts reads, and keeps nothing of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.doctor.checks import checked
from config.settings import ReceiptSettings, RegisterSettings
from tests.agent.doctor.test_checks import look, of
from tests.drivers.receipts.test_database_source import MAPPING, QUERY

REGISTER = RegisterSettings(currency="EUR", time_zone="Europe/Ljubljana")


@pytest.fixture
def pos(tmp_path: Path) -> Path:
    """A POS's database with a sale, and the mapping of its columns beside it."""
    (tmp_path / "sales.toml").write_bytes(MAPPING)
    with closing(sqlite3.connect(tmp_path / "pos.db")) as connection:
        connection.execute("CREATE TABLE sales (id bigint, number text, sold_at timestamp, total numeric(9,2))")
        connection.execute("CREATE TABLE lines (id bigint, sale bigint, name text, amount numeric(9,2))")
        connection.execute("INSERT INTO sales VALUES (1, '7', '2026-11-22 10:00:00', 4.5)")
        connection.execute("INSERT INTO lines VALUES (1, 1, 'KAVA', 4.5)")
        connection.commit()
    return tmp_path


def database(folder: Path, **changed: Any) -> ReceiptSettings:
    said = {"query": QUERY, "high_water": "id", "mapping": folder / "sales.toml"}
    return ReceiptSettings(**{"name": "pos", "database": f"sqlite:///{folder / 'pos.db'}", **said, **changed})


async def said_of(folder: Path, source: ReceiptSettings) -> tuple[str, str]:
    report = await checked(look(folder, register=REGISTER, receipts=(source,)))
    check = of(report, "receipts", source.name)
    return check.verdict, check.said


async def test_a_database_is_asked_for_a_row(pos: Path) -> None:
    assert await said_of(pos, database(pos)) == ("healthy", "the query works, and its rows have every column")
    assert (await said_of(pos, database(pos, start=9)))[0] == "healthy"
    # and nothing was left beside it
    assert names_in(pos) == ["pos.db", "sales.toml", "tillside.toml"]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"database": "sqlite:////nowhere/pos.db"}, "unable to open database file"),
        ({"database": "env:NOT_THERE"}, "NOT_THERE is not set"),
        ({"query": "SELECT * FROM sale WHERE id > :high_water ORDER BY id"}, "no such table: sale"),
        ({"query": QUERY.replace("l.name, ", "")}, "no column 'name'"),
        ({"query": QUERY.replace("l.name, ", ""), "start": 9}, "no column 'name'"),
        ({"high_water": "number_of_sale"}, "no column 'number_of_sale'"),
        ({"high_water": "number"}, "no number and no ISO time"),
        ({"query": "DELETE FROM sales WHERE id > :high_water"}, "attempt to write a readonly database"),
        ({"mapping": Path("/nowhere.toml")}, "/nowhere.toml: cannot be read"),
    ],
)
async def test_what_is_wrong_with_a_database_is_told_before_the_agent_runs(
    pos: Path, changed: dict[str, Any], told: str
) -> None:
    verdict, said = await said_of(pos, database(pos, **changed))
    assert (verdict, told in said) == ("problem", True), said


async def test_a_folder_and_its_mapping_are_tried(tmp_path: Path) -> None:
    (tmp_path / "drop").mkdir()
    (tmp_path / "wrong.toml").write_text("[receipt]\nnumbr = 'no'\n")
    folder = {"name": "files", "folder": tmp_path / "drop"}

    assert (await said_of(tmp_path, ReceiptSettings(**folder)))[0] == "healthy"  # type: ignore[arg-type]
    for changed, told in (
        ({"folder": tmp_path / "gone"}, "cannot be opened"),
        ({"format": "csv", "mapping": tmp_path / "wrong.toml"}, "wrong.toml"),
        ({"format": "csv"}, "mapping"),
        ({"template": str(tmp_path / "none.toml")}, "none.toml"),
    ):
        verdict, said = await said_of(tmp_path, ReceiptSettings(**{**folder, **changed}))  # type: ignore[arg-type]
        assert (verdict, told in said) == ("problem", True), said
    assert names_in(tmp_path / "drop") == []
