"""The database: migrations, versions, durability settings, and no SQL that only SQLite knows."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, Connection, ForeignKeyConstraint, Inspector, func, inspect, select, text
from sqlalchemy.exc import IntegrityError

from central import fed_rows, feed, operations, programs
from central.clock import utc_now
from central.db import tables
from central.db.database import MIGRATIONS, Database, Place
from central.db.errors import DatabaseMissingError, DatabaseNewerError, DatabaseOlderError
from central.db.tables import SPREAD, metadata
from central.folder import AddressError, DataFolder, FolderError, NotSetUpError
from central.server import Server
from central.setup import InitOptions, initialise
from loyalty.addresses import address_code
from loyalty.member import Identifier
from tests.central.conftest import only_postgresql, only_sqlite, refuse_rows
from tests.central.till import NOON, receipt


def test_the_migrations_make_exactly_the_tables(data: Path) -> None:
    database = Database(DataFolder(data).database)
    difference = _differences(database)
    database.close()
    assert difference == []


@only_postgresql
def test_rows_can_be_spread_over_machines(data: Path) -> None:
    # Given the keys that PostgreSQL has
    database = Database(DataFolder(data).database)
    found = database.read_now(lambda connection: {table: _keys(inspect(connection), table) for table in SPREAD})
    database.close()
    # Then each unique one holds the column by which its table is spread, and each table has one
    for table, (unique, _) in found.items():
        assert unique, table
        assert [key for key in unique if SPREAD[table] not in key] == [], table
    # And a foreign key leads from that column to that of another table, or to a table of which every machine has a copy
    leading = [
        (table, key["referred_table"])
        for table, (_, foreign) in found.items()
        for key in foreign
        if key["referred_table"] in SPREAD
        and (key["constrained_columns"], key["referred_columns"]) != ([SPREAD[table]], [SPREAD[key["referred_table"]]])
    ]
    assert leading == []


def test_the_page_says_how_rows_are_spread() -> None:
    page = (Path(__file__).parents[2] / "docs" / "central.md").read_text()
    assert dict(re.findall(r"create_distributed_table\('(\w+)', '(\w+)'", page)) == SPREAD
    others = {table.name for table in metadata.sorted_tables} - SPREAD.keys()
    assert set(re.findall(r"create_reference_table\('(\w+)'", page)) == others


def test_the_schema_goes_back_to_nothing_and_comes_again(data: Path) -> None:
    # Given a database with something in every table, also what a migration has to do with
    with closing(Database(DataFolder(data).database)) as database:
        database.write_now(lambda connection: operations.import_stock(connection, b"TS901\n", NOON))
        database.write_now(lambda connection: operations.block(connection, "TS0001", "lost", NOON))
        database.write_now(_fill_every_table)
        before = database.read_now(_rows_by_table)
        # When it is taken back, one version at a time
        steps = 0
        while database.read_now(_version) != "0001":
            if database.read_now(_version) == "0013":
                # Then who was erased is not forgotten by it
                with pytest.raises(RuntimeError, match="member_aliases is not empty"):
                    database.downgrade("-1")
                database.write_now(
                    lambda c: [c.execute(table.delete()) for table in (tables.member_aliases, tables.erasures)]
                )
            database.downgrade("-1")
            steps += 1
        # And every version has its way back, and from there a way up; what there is a place for is kept
        assert steps == len(list((MIGRATIONS / "versions").glob("v*.py"))) - 1
        first = database.read_now(_rows_by_table)
        assert all(first.values())
        database.upgrade()
        assert _differences(database) == []
        after = database.read_now(_rows_by_table)
        before["identifiers"] -= 1  # cards of stock came later
        for kept in (before, after):
            assert {name: kept[name] for name in first} == first
        # And the first one leads to nothing
        database.downgrade("base")
        assert database.read_now(lambda connection: inspect(connection).get_table_names()) == ["alembic_version"]


def _version(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _rows_by_table(connection: Connection) -> dict[str, int]:
    """How many rows each table has that is there, and is the centre's."""
    names = set(inspect(connection).get_table_names()) & metadata.tables.keys()
    return {
        name: connection.execute(select(func.count()).select_from(text(name))).scalar_one() for name in sorted(names)
    }


def _fill_every_table(connection: Connection) -> None:
    """A row in each table that has none, and a value in each of its columns."""
    for table in metadata.sorted_tables:
        if connection.execute(select(table)).first() is None:
            values = {column.name: _some_value(connection, column) for column in table.c}
            serial = table.autoincrement_column
            if serial is not None:
                del values[serial.name]
            connection.execute(table.insert().values(values))


def _some_value(connection: Connection, column: Column[Any]) -> object:
    """What may stand in a column: a key that its foreign key leads to, a receipt, or something of its type."""
    for key in column.foreign_keys:
        return connection.execute(select(key.column)).scalars().first()
    if str(column) == "receipts.body":
        return msgspec.json.encode(receipt(1, code="TS0001"))
    if isinstance(column.type, tables.Moment):
        return NOON
    return {str: "[]" if column.server_default is not None else "x", bytes: b"{}", int: 1}[column.type.python_type]


@only_sqlite
def test_commits_are_durable_by_a_log(data: Path) -> None:
    database = Database(DataFolder(data).database)
    names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    pragmas = database.read_now(
        lambda connection: {name: connection.execute(text(f"pragma {name}")).scalar_one() for name in names}
    )
    database.close()
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}


@only_sqlite
def test_a_file_of_a_version_with_a_rollback_journal_is_taken_over(data: Path) -> None:
    path = data / "centre.db"
    with closing(sqlite3.connect(path)) as before:
        assert before.execute("PRAGMA journal_mode = PERSIST").fetchone() == ("persist",)
        before.execute("UPDATE centre SET feed_pos = 7")
        before.commit()
    assert path.with_name("centre.db-journal").exists()

    database = Database(DataFolder(data).database)
    assert database.read_now(feed.feed_position) == 7
    database.write_now(lambda connection: connection.execute(tables.centre.update().values(feed_pos=8)))
    database.close()

    assert [file.name for file in data.glob("centre.db*")] == ["centre.db"]


def test_who_reads_and_who_writes_do_not_wait_for_each_other(data: Path) -> None:
    database = Database(DataFolder(data).database)
    before = database.read_now(feed.feed_position)

    def writes(connection: Connection) -> int:
        connection.execute(tables.centre.update().values(feed_pos=before + 1))
        # in the middle of a change, what was there before is read
        with ThreadPoolExecutor(1) as other:
            return other.submit(database.read_now, feed.feed_position).result()

    def reads(connection: Connection) -> tuple[int, int]:
        first = feed.feed_position(connection)
        # in the middle of reading, a change is committed; what is read stays of one moment
        with ThreadPoolExecutor(1) as other:
            other.submit(database.write_now, writes).result()
        return first, feed.feed_position(connection)

    assert database.read_now(reads) == (before, before)
    assert database.read_now(feed.feed_position) == before + 1
    database.close()


def test_an_error_of_the_database_does_not_tell_what_was_written(data: Path) -> None:
    database = Database(DataFolder(data).database)
    database.write_now(lambda connection: refuse_rows(connection, "identifiers"))
    with pytest.raises(IntegrityError) as refused:
        database.write_now(
            lambda connection: connection.execute(
                text("insert into identifiers (code, kind, member) values (:code, 'card', 'm1')"), {"code": "PRIVATE"}
            )
        )
    database.close()
    assert "PRIVATE" not in str(refused.value)


async def test_a_database_from_a_newer_version_is_refused(data: Path) -> None:
    _set_revision(data, "9999")
    with pytest.raises(DatabaseNewerError, match="install that version again"):
        await _served(data)
    with pytest.raises(DatabaseNewerError):
        initialise(data, InitOptions(), NOON)


async def test_a_database_from_an_older_version_asks_for_init(data: Path) -> None:
    _set_revision(data, None)
    with pytest.raises(DatabaseOlderError, match="tillside-central init"):
        await _served(data)


async def test_a_folder_without_a_centre_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotSetUpError, match="tillside-central init"):
        await _served(tmp_path)
    database = Database(Place(data=tmp_path))
    with pytest.raises(DatabaseMissingError):
        database.check_version()
    database.close()


def test_init_again_keeps_keys_and_ledger(data: Path) -> None:
    kept = ("ca.pem", "ca.key", "server.pem", "program.key", "admin.secret")
    before = {name: (data / name).read_bytes() for name in kept}
    initialise(data, InitOptions(brand="Other"), NOON)
    assert {name: (data / name).read_bytes() for name in kept} == before
    assert DataFolder(data).settings().brand == "Other"
    assert DataFolder(data).settings().listen.port == 0


def test_the_admin_pages_stay_on_loopback(tmp_path: Path) -> None:
    with pytest.raises(AddressError, match="loopback"):
        initialise(tmp_path / "c", InitOptions(admin="0.0.0.0:8790"), NOON)
    with pytest.raises(AddressError, match="HOST:PORT"):
        initialise(tmp_path / "c", InitOptions(listen="8443"), NOON)


async def test_a_port_that_is_taken_is_named(data: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        initialise(data, InitOptions(listen=f"127.0.0.1:{port}"), NOON)
        with pytest.raises(FolderError, match=f"cannot listen on 127.0.0.1:{port}"):
            await asyncio.wait_for(_served(data), 10)


def test_members_and_their_codes_outlive_the_coming_of_cards(tmp_path: Path) -> None:
    # Given a database of the version before cards, with members and receipts
    database = Database(Place(data=tmp_path))
    database.upgrade("0002")
    old = [
        "insert into members (id, short_name, created_at) values ('m1', 'Ana P.', '2026-11-22 12:00:00')",
        "insert into balances (member, confirmed, pending) values ('m1', 7, 0)",
        "insert into identifiers (code, kind, member, added_at) values ('TS1', 'card', 'm1', '2026-11-22 12:00:00')",
        "insert into identifiers (code, kind, member, added_at) values ('38160', 'phone', 'm1', '2026-11-22 12:00:00')",
    ]
    for statement in old:
        database.write_now(lambda connection, statement=statement: connection.execute(text(statement)))  # type: ignore[misc]
    # When it is brought to this version
    database.upgrade()
    database.check_version()
    # Then every code is a card of its own, in use by whom it named, and can be blocked
    [shown] = database.read_now(lambda connection: fed_rows.rows_of(connection, ["m1"], NOON)).values()
    assert (shown.short_name, shown.balance.confirmed) == ("Ana P.", 7)
    phone, card = sorted(shown.identifiers, key=lambda one: one.kind == "card")
    assert card == Identifier(kind="card", code="TS1")
    # But a telephone number is none, and a code made of it is in its place
    assert phone.code.startswith("TEL:")
    done = database.write_now(lambda connection: operations.block(connection, "ts-1", "lost", NOON))
    assert (done.card.state, len(done.card.numbers)) == ("blocked", 1)
    with pytest.raises(IntegrityError):
        database.write_now(
            lambda connection: connection.execute(text("update identifiers set member = 'nobody' where code = 'TS1'"))
        )
    database.close()


def test_changes_that_had_a_position_go_and_entries_say_whom_they_were_about(tmp_path: Path) -> None:
    # Given a database of the version before, with changes placed and unplaced, and entries that made them, or none
    database = Database(Place(data=tmp_path))
    database.upgrade("0029")
    at = "'2026-11-22 12:00:00'"
    columns = "epoch, seq, device, key, kind, hlc, wall, salt, body, h, code, received_at, change"
    old = [
        "insert into devices (id, store, register, public_key, enrolled_at, version, platform) "
        f"values ('d', '1', '1', 'k', {at}, '', '')",
        f"insert into epochs (epoch, device, request_id, opened_at, acked_through, chain_hash) "
        f"values ('e', 'd', 'r', {at}, 3, '')",
        f"insert into changes (id, member, pos, created_at) values (1, 'm1', 7, {at}), (2, 'm2', null, {at})",
        *(
            f"insert into entries ({columns}) "
            f"values ('e', {seq}, 'd', 'k{seq}', 'receipt', '', '', '', '', '', 'accepted', {at}, {change})"
            for seq, change in ((1, 1), (2, 2), (3, "null"))
        ),
    ]
    for statement in old:
        database.write_now(lambda connection, statement=statement: connection.execute(text(statement)))  # type: ignore[misc]
    # When it is brought to this version
    database.upgrade()
    # Then what has no position yet waits for it, and each entry names whom its change was of
    changes = database.read_now(lambda c: c.execute(select(tables.changes.c.id, tables.changes.c.member)).all())
    assert changes == [(2, "m2")]
    entries = tables.entries.c
    about = database.read_now(lambda c: c.execute(select(entries.seq, entries.member).order_by(entries.seq)).all())
    assert about == [(1, "m1"), (2, "m2"), (3, None)]
    database.close()


def test_programs_published_before_times_were_kept_hold_from_when_they_were(tmp_path: Path) -> None:
    # Given a database of the version before, in which the first program was brought back after a second
    database = Database(Place(data=tmp_path))
    database.upgrade("0008")
    old = [
        "insert into programs (hash, document, signature) values ('a', '', ''), ('b', '', '')",
        "insert into publications (program, published_at) values ('a', '2026-11-20 12:00:00'), "
        "('b', '2026-11-21 12:00:00'), ('a', '2026-11-22 12:00:00')",
    ]
    for statement in old:
        database.write_now(lambda connection, statement=statement: connection.execute(text(statement)))  # type: ignore[misc]
    # When it is brought to this version
    database.upgrade()
    # Then the first held for all before, and each further one from when it was published
    known = database.read_now(programs.publications)
    database.close()
    assert [(one.hash, one.valid_from) for one in known] == [("a", None), ("b", NOON - timedelta(days=1)), ("a", NOON)]


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_what_was_kept_under_a_telephone_number_is_kept_under_its_code(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    # Given a database that keeps things under a number itself, and others under a card that looks like one
    url = request.getfixturevalue("postgres").database() if backend == "postgresql" else None
    database = Database(Place(data=tmp_path, url=url))
    database.upgrade("0014")
    number = "+381601234567"
    phone, card = ({"kind": kind, "code": number, "entry": "typed"} for kind in ("phone", "card"))
    old: list[tuple[str, dict[str, Any]]] = [
        ("insert into centre values (1, 'e', 0, :now, :key)", {"key": "5e" * 32}),
        (
            "insert into devices (id, store, register, public_key, enrolled_at, version, platform) "
            "values ('d', '12', '3', '', :now, '', '')",
            {},
        ),
        ("insert into epochs values ('e1', 'd', 'q', :now, null, 9, '', null)", {}),
    ]
    for seq, member in ((1, phone), (2, card)):
        sold, told = json.dumps({"key": "r", "member": member}), json.dumps({"what": "w", "member": member})
        old += [
            (
                "insert into receipts (key, device, kind, status, currency, total_minor, body, code, claims, "
                "knew_member, state, received_at) "
                "values (:key, 'd', 'sale', 'final', 'RSD', 1, :body, :code, :body, 0, '', :now)",
                {"key": f"r{seq}", "body": sold.encode(), "code": number},
            ),
            ("insert into attachments values ('r9', 'e1', :seq, :code, :kind, :entry)", {"seq": seq} | member),
            ("insert into events values (:key, 'w', null, :code, :now, 'd', :now)", {"key": f"s{seq}", "code": number}),
            (
                "insert into entries (epoch, seq, device, key, kind, hlc, wall, salt, body, h, code, received_at) "
                "values ('e1', :seq, 'd', :key, 'signal', '', '', '', :body, '', '', :now)",
                {"seq": seq, "key": f"s{seq}", "body": told.encode()},
            ),
        ]
    now = {"now": NOON.isoformat(sep=" ")}
    for statement, values in old:
        database.write_now(partial(_executed, statement, {**values, **(now if ":now" in statement else {})}))
    # When it is brought to this version
    database.upgrade()
    # Then the number is nowhere that things are found by, and the card is where it was
    hidden = address_code("phone", number, "5e" * 32)
    for listing in (
        "select code from receipts order by key",
        "select code from attachments order by seq",
        "select code from events order by key",
    ):
        assert database.read_now(partial(_executed, listing, {})) == [hidden, number], listing
    bodies = database.read_now(partial(_executed, "select body from receipts order by key", {}))
    database.close()
    assert [json.loads(body)["member"] for body in bodies] == [phone | {"code": hidden}, card]


def _executed(statement: str, values: dict[str, Any], connection: Connection) -> list[Any]:
    result = connection.execute(text(statement), values)
    return list(result.scalars()) if result.returns_rows else []


def _keys(inspector: Inspector, table: str) -> tuple[list[Sequence[str]], list[Any]]:
    """The columns of each unique key, and the foreign keys."""
    unique = [each["column_names"] for each in inspector.get_unique_constraints(table)]
    unique += [each["column_names"] for each in inspector.get_indexes(table) if each["unique"]]  # type: ignore[misc]
    return [*unique, inspector.get_pk_constraint(table)["constrained_columns"]], inspector.get_foreign_keys(table)


def _differences(database: Database) -> Any:
    """Between the database and the tables; on PostgreSQL without foreign keys that lead to another machine."""

    def compared(connection: Connection) -> Any:
        spread = connection.dialect.name == "postgresql"

        def counts(thing: Any, _name: Any, what: str, *_: Any) -> bool:
            return not (spread and what == "foreign_key_constraint" and _leads_across(thing))

        return compare_metadata(MigrationContext.configure(connection, opts={"include_object": counts}), metadata)

    return database.read_now(compared)


def _leads_across(key: ForeignKeyConstraint) -> bool:
    """Whether the two rows may be on two machines."""
    [element] = key.elements
    target = element.column.table.name
    return target in SPREAD and (element.parent.name, element.column.name) != (SPREAD[key.table.name], SPREAD[target])


def _set_revision(data: Path, revision: str | None) -> None:
    database = Database(DataFolder(data).database)

    def set_it(connection: Connection) -> None:
        connection.execute(text("delete from alembic_version"))
        if revision is not None:
            connection.execute(text("insert into alembic_version values (:revision)"), {"revision": revision})

    database.write_now(set_it)
    database.close()


async def _served(data: Path) -> None:
    await Server(DataFolder(data), clock=utc_now).run(lambda _: None, asyncio.Event())
