"""Sets of values as one parameter: the same on both databases, and by the index of their column."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text

from central.db import tables
from central.db.database import Database
from central.db.sets import among, change_rows, insert_rows
from central.folder import DataFolder
from tests.central.conftest import only_sqlite
from tests.central.till import NOON

MEMBERS, CHANGES, GOODS = tables.members.c, tables.changes.c, tables.unmapped_goods


@pytest.fixture
def database(data: Path) -> Iterator[Database]:
    opened = Database(DataFolder(data).database)
    yield opened
    opened.close()


def test_a_column_is_among_texts_numbers_or_none(database: Database) -> None:
    def found(*values: str) -> list[str]:
        query = select(MEMBERS.id).where(among(MEMBERS.id, values)).order_by(MEMBERS.id)
        return list(database.read_now(lambda connection: connection.execute(query).scalars()))

    assert found("m1", "nobody", "m3", "'; --") == ["m1", "m3"]
    assert found() == []
    every = database.read_now(lambda c: set(c.execute(select(CHANGES.id)).scalars()))
    some = database.read_now(lambda c: set(c.execute(select(CHANGES.id).where(among(CHANGES.id, every))).scalars()))
    none = database.read_now(lambda c: set(c.execute(select(CHANGES.id).where(~among(CHANGES.id, every))).scalars()))
    assert (some, none) == (every, set())
    assert every


@only_sqlite
def test_it_is_looked_for_by_the_index(database: Database) -> None:
    query = select(MEMBERS.id).where(among(MEMBERS.id, ["m1"]), MEMBERS.tier.is_(None))
    compiled = query.compile(dialect=database.read_now(lambda connection: connection.dialect))
    plan = database.read_now(
        lambda connection: connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", ('["m1"]',)).all()
    )
    assert any("SEARCH members USING INDEX" in row[3] for row in plan), plan


def test_a_set_holds_each_text_as_it_is(database: Database) -> None:
    plain, odd = ["a", "ž", "NULL", "", " b", "{c,d}"], ['"', "\\", '","', '\\"', "null"]
    same = {"currency": "EUR", "goods": b"{}", "lines": 1, "turnover_minor": 10, "last_seen": NOON}
    database.write_now(lambda c: insert_rows(c, GOODS, [same | {"key": key} for key in (*plain, *odd)]))
    for values in (plain, odd, [*plain, *odd], [*odd, *odd], odd[:1], []):
        found = select(GOODS.c.key).where(among(GOODS.c.key, values))
        rows = database.read_now(lambda c, found=found: list(c.execute(found).scalars()))  # type: ignore[misc]
        assert sorted(rows) == sorted(set(values))


def test_rows_change_all_at_once_to_what_is_given_or_by_it(database: Database) -> None:
    rows = [
        {"key": key, "currency": "EUR", "goods": b"{}", "lines": 1, "turnover_minor": 10, "last_seen": NOON}
        for key in ("a", "b", "c")
    ]
    later = NOON + timedelta(days=1)
    given = [
        {"key": "a", "lines": 5, "turnover_minor": -3, "last_seen": later},
        {"key": "c", "lines": 0, "turnover_minor": 7, "last_seen": later},
        {"key": "nobody", "lines": 1, "turnover_minor": 1, "last_seen": later},
    ]
    database.write_now(lambda connection: insert_rows(connection, GOODS, rows))
    changed = database.write_now(
        lambda connection: change_rows(connection, GOODS, given, by="key", adding=("lines", "turnover_minor"))
    )
    assert changed == 2
    assert database.write_now(lambda connection: change_rows(connection, GOODS, [], by="key")) == 0

    kept = database.read_now(
        lambda c: c.execute(text("SELECT key, lines, turnover_minor FROM unmapped_goods ORDER BY key")).all()
    )
    assert [tuple(row) for row in kept] == [("a", 6, 7), ("b", 1, 10), ("c", 1, 17)]
    seen = database.read_now(lambda c: c.execute(select(GOODS.c.key, GOODS.c.last_seen)).all())
    assert {row.key: row.last_seen for row in seen} == {"a": later, "b": NOON, "c": later}
    # And without `adding` they become what is given, nothing too
    balances = [{"member": "m1", "confirmed": 5, "pending": 0, "matures_at": None, "tier": None}]
    database.write_now(lambda connection: change_rows(connection, tables.balances, balances, by="member"))
    held = database.read_now(lambda c: c.execute(select(tables.balances).where(tables.balances.c.member == "m1")).one())
    assert (held.confirmed, held.pending, held.matures_at) == (5, 0, None)
