"""What the centre's own role can do about PostgreSQL's files, and when it says that something is left in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, create_engine

from central.db import postgres_files
from central.db.errors import DatabaseError
from tests.postgres import Server

ROLE = "tillside"
CODE = b"TS-OF-NOBODY"
PAGE = Path(__file__).parents[2] / "docs" / "profiles.md"
GRANTS = re.findall(r"^ *(GRANT .*;)$", PAGE.read_text(), flags=re.MULTILINE)


@pytest.fixture
def admin(postgres: Server) -> Iterator[psycopg.Connection]:
    """The server's administrator, in a database that is the role's own, and holds a row that was deleted."""
    url = postgres.database()
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {ROLE} LOGIN".encode())
        admin.execute(f"ALTER DATABASE {admin.info.dbname} OWNER TO {ROLE}".encode())
        admin.execute(f"SET ROLE {ROLE}".encode())
        admin.execute("CREATE TABLE cards (code varchar PRIMARY KEY)")
        admin.execute(b"INSERT INTO cards VALUES ('" + CODE + b"')")
        admin.execute("ANALYZE cards")
        admin.execute("DELETE FROM cards")
        admin.execute("RESET ROLE")
        admin.execute("CHECKPOINT")
        yield admin
        admin.execute(f"REASSIGN OWNED BY {ROLE} TO postgres".encode())
        admin.execute(f"DROP OWNED BY {ROLE}".encode())
        admin.execute(f"DROP ROLE {ROLE}".encode())
    postgres.drop(url)


@pytest.fixture
def overwrite(admin: psycopg.Connection) -> Iterator[Callable[[], None]]:
    """Overwrites what was deleted, as the role, and waits for nobody."""
    info = admin.info
    engine: Engine = create_engine(
        f"postgresql+psycopg://{ROLE}@/{info.dbname}?host={info.host}", isolation_level="AUTOCOMMIT"
    )

    def overwrite() -> None:
        with engine.connect() as connection:
            postgres_files.overwrite_deleted(connection, wait_s=0)

    yield overwrite
    engine.dispose()


def names_of_files_with_it(postgres: Server) -> set[str]:
    return {path.name for path in postgres.data.rglob("*") if path.is_file() and CODE in path.read_bytes()}


def test_the_owner_cleans_the_tables_and_says_what_the_log_needs(
    postgres: Server, admin: psycopg.Connection, overwrite: Callable[[], None]
) -> None:
    with pytest.raises(DatabaseError, match="write-ahead log") as refused:
        overwrite()
    # Then the log alone holds it
    assert {len(name) for name in names_of_files_with_it(postgres)} == {24}
    # And who does what was said, as the page says it, too, has it overwritten
    said = re.findall(r"GRANT [^;]*;", str(refused.value))
    assert said == GRANTS
    for grant in said:
        admin.execute(grant.encode())
    overwrite()
    assert names_of_files_with_it(postgres) == set()


def test_an_older_transaction_that_sees_what_was_deleted_is_told_of(
    postgres: Server, admin: psycopg.Connection, overwrite: Callable[[], None]
) -> None:
    # Given a transaction of somebody else that goes on, and has not looked at the table yet
    for grant in GRANTS:
        admin.execute(grant.encode())
    with psycopg.connect(host=admin.info.host, dbname=admin.info.dbname, user="postgres") as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT 1")
        with pytest.raises(DatabaseError, match="still seen by open transactions: 1 "):
            overwrite()
    # When it is over
    overwrite()
    assert names_of_files_with_it(postgres) == set()


def test_a_log_that_is_kept_for_a_replica_is_told_of(
    postgres: Server, admin: psycopg.Connection, overwrite: Callable[[], None]
) -> None:
    for grant in GRANTS:
        admin.execute(grant.encode())
    admin.execute("SELECT pg_create_physical_replication_slot('replica', true)")
    try:
        with pytest.raises(DatabaseError, match=r"segments .* are kept for an archive or a replica"):
            overwrite()
        assert {len(name) for name in names_of_files_with_it(postgres)} == {24}
    finally:
        admin.execute("SELECT pg_drop_replication_slot('replica')")
    overwrite()
    assert names_of_files_with_it(postgres) == set()
