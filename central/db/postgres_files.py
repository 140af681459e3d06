"""How PostgreSQL's files come to hold nothing that was deleted: tables, indexes, statistics and the write-ahead log.

Owns those statements and their order. It runs as the owner of the database, who may write the tables anew; the log
is the server's, and is overwritten where that role was let do so. Never reaches what others keep of the log (an
archive, a replica), nor a backup.
"""

from __future__ import annotations

import time

from sqlalchemy import Connection, inspect, literal, select, text
from sqlalchemy import table as sql_table

from central.db.errors import DatabaseError

# A transaction that is open keeps rows that were deleted since it began; so long is waited for its end.
OLD_TRANSACTIONS_END_WITHIN_S = 10.0
_LOOK_AGAIN_S = 0.05

_OPEN_TRANSACTIONS = text(
    "SELECT virtualxid FROM pg_locks JOIN pg_stat_activity USING (pid) "
    "WHERE locktype = 'virtualxid' AND granted AND datname = current_database() AND pid <> pg_backend_pid()"
)
_STATISTICS = text(
    "SELECT attname, format_type(atttypid, atttypmod) FROM pg_stats JOIN pg_attribute USING (attname) "
    "WHERE schemaname = current_schema() AND tablename = :table AND attrelid = to_regclass(quote_ident(tablename))"
)
_MAY_WRITE_LOG = text(
    "SELECT pg_has_role('pg_checkpoint', 'usage') AND has_function_privilege('pg_ls_waldir()', 'execute') "
    "AND has_function_privilege('pg_switch_wal()', 'execute'), current_user"
)


def overwrite_deleted(connection: Connection, wait_s: float = OLD_TRANSACTIONS_END_WITHIN_S) -> None:
    """Leave nothing in the server's files of what was deleted before; `connection` commits each statement by itself.

    Every table is locked while it is written anew. Raises DatabaseError where something is left, and says what.
    """
    _await_older_transactions(connection, wait_s)
    quote = connection.dialect.identifier_preparer.quote
    for table in inspect(connection).get_table_names():
        connection.exec_driver_sql(f"VACUUM (FULL, ANALYZE) {quote(table)}")
        _drop_statistics_of_nothing(connection, table)
    # A transaction that began meanwhile may be shown the statistics of before.
    _await_older_transactions(connection, wait_s)
    connection.exec_driver_sql("VACUUM (FULL) pg_statistic")
    _overwrite_log(connection)


def _await_older_transactions(connection: Connection, wait_s: float) -> None:
    older = set(connection.execute(_OPEN_TRANSACTIONS).scalars())
    patience = time.monotonic() + wait_s
    while older := older & set(connection.execute(_OPEN_TRANSACTIONS).scalars()):
        if time.monotonic() > patience:
            raise DatabaseError(
                f"what was deleted is still seen by open transactions: {len(older)} (pg_stat_activity tells which); "
                "let them end, a pg_dump for example, and try again"
            )
        time.sleep(_LOOK_AGAIN_S)


def _drop_statistics_of_nothing(connection: Connection, table: str) -> None:
    """ANALYZE leaves those of a table that became empty as they were. A column that is given a type has none."""
    if connection.execute(select(literal(1)).select_from(sql_table(table)).limit(1)).first() is not None:
        return
    columns = connection.execute(_STATISTICS, {"table": table}).all()
    if columns:
        quote = connection.dialect.identifier_preparer.quote
        changes = ", ".join(f"ALTER COLUMN {quote(name)} TYPE {kind}" for name, kind in columns)
        connection.exec_driver_sql(f"ALTER TABLE {quote(table)} {changes}")


def _overwrite_log(connection: Connection) -> None:
    """Segments of the log are used again as they are; one that is left early is filled up with zeros."""
    allowed, role = connection.execute(_MAY_WRITE_LOG).one()
    if not allowed:
        name = connection.dialect.identifier_preparer.quote(role)
        raise DatabaseError(
            "tables and statistics are clean; the server's write-ahead log holds what was deleted until as much again "
            f"as max_wal_size was written. To have it overwritten at once, let a superuser say: GRANT pg_checkpoint, "
            f"pg_monitor TO {name}; GRANT EXECUTE ON FUNCTION pg_switch_wal() TO {name}; and try again"
        )
    written = connection.exec_driver_sql("SELECT pg_walfile_name(pg_current_wal_lsn())").scalar_one()
    connection.exec_driver_sql("SELECT pg_switch_wal()")
    connection.exec_driver_sql("CHECKPOINT")
    segments = _segments(connection)
    for _ in segments:
        connection.exec_driver_sql("SELECT pg_logical_emit_message(false, 'tillside', ''), pg_switch_wal()")
    if kept := [segment for segment in segments if segment <= written]:
        raise DatabaseError(
            f"tables and statistics are clean; {len(kept)} segments of the write-ahead log are kept for an archive or "
            "a replica (archive_command, pg_replication_slots, wal_keep_size): try again when they are gone"
        )


def _segments(connection: Connection) -> list[str]:
    """Names of the log's segments, which sort as they are written."""
    return list(connection.exec_driver_sql("SELECT name FROM pg_ls_waldir() WHERE length(name) = 24").scalars())
