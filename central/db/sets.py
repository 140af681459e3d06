"""Many values in one statement, on either database: a list as one parameter, and rows changed all at once.

Owns how a set of values travels. A statement with a parameter for each value is compiled, parsed and planned anew for
every number of them, which costs more than what it does.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

import psycopg
from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Dialect,
    Integer,
    LargeBinary,
    Table,
    bindparam,
    insert,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine, UserDefinedType

from central.db.dialects import leave_values_out
from central.db.tables import Moment


class _Values(UserDefinedType[Any]):
    """A list as one parameter: an array on PostgreSQL, a JSON text on SQLite."""

    cache_ok = True

    def __init__(self, of: Literal["text", "bigint"]) -> None:
        self.of = of

    def bind_processor(self, dialect: Dialect) -> Any:
        return _array if dialect.name == "postgresql" else json.dumps


_TEXTS, _NUMBERS = _Values("text"), _Values("bigint")


class _Each(FunctionElement[Any]):
    """A table of the values of such a parameter, in its one column `value`."""

    inherit_cache = True


@compiles(_Each, "postgresql")
def _each_postgresql(element: _Each, compiler: SQLCompiler, **how: Any) -> str:
    values: Any = next(iter(element.clauses))
    return f"unnest({compiler.process(values, **how)}::{values.type.of}[])"


@compiles(_Each, "sqlite")
def _each_sqlite(element: _Each, compiler: SQLCompiler, **how: Any) -> str:
    values = next(iter(element.clauses))
    return f"json_each({compiler.process(values, **how)})"


class _Among(FunctionElement[bool]):
    type = Boolean()
    inherit_cache = True

    def self_group(self, against: Any = None) -> Any:  # noqa: ARG002 - SQLAlchemy's
        """As any comparison: SQLite would be asked for `… = 1` else, for which it uses no index."""
        return self


@compiles(_Among, "postgresql")
def _among_postgresql(element: _Among, compiler: SQLCompiler, **how: Any) -> str:
    """Not `= ANY`: a plan that is made once for all lists would look through the whole list for each row."""
    column, values = (compiler.process(clause, **how) for clause in element.clauses)
    return f"{column} IN (SELECT {values})"


@compiles(_Among, "sqlite")
def _among_sqlite(element: _Among, compiler: SQLCompiler, **how: Any) -> str:
    column, values = (compiler.process(clause, **how) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM {values})"  # noqa: S608 - compiled clauses


def among(column: ColumnElement[Any], values: Iterable[str] | Iterable[int]) -> ColumnElement[bool]:
    """Whether a column of texts or numbers is one of these values, however many."""
    return _Among(column, _Each(_parameter(values, _NUMBERS if isinstance(column.type, Integer) else _TEXTS)))


def _parameter(values: Iterable[Any], kind: _Values) -> Any:
    return bindparam(None, list(values), type_=kind, unique=True)


def insert_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Add rows, all with the same columns and each of them given, in one go: on PostgreSQL by COPY."""
    if not rows:
        return
    if connection.dialect.name != "postgresql":
        connection.execute(insert(table), rows)
        return
    driver: Any = connection.connection.driver_connection
    columns = tuple(rows[0])
    names = ", ".join(f'"{name}"' for name in columns)
    statement = f'COPY "{table.name}" ({names}) FROM STDIN (FORMAT BINARY)'
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types([_type_of(table.c[name].type) for name in columns])
            for row in rows:
                copy.write_row([row[name] for name in columns])
    except psycopg.Error as error:
        raise _translated(connection, f"COPY {table.name}", error) from error


def change_rows(
    connection: Connection, table: Table, rows: Sequence[dict[str, Any]], *, by: str, adding: Collection[str] = ()
) -> int:
    """Change rows, found by the column `by`; each gives all columns that change, those of `adding` by how much.

    Returns how many of them there are.
    """
    if not rows:
        return 0
    columns = [name for name in rows[0] if name != by]
    if connection.dialect.name != "postgresql":
        new = {
            name: table.c[name] + bindparam(f"new_{name}") if name in adding else bindparam(f"new_{name}")
            for name in columns
        }
        given = [{f"new_{name}": value for name, value in row.items()} for row in rows]
        changed = connection.execute(update(table).where(table.c[by] == bindparam(f"new_{by}")).values(new), given)
        return changed.rowcount
    # What is the same for all rows travels once.
    same = {name: rows[0][name] for name in columns if all(row[name] == rows[0][name] for row in rows)}
    changes = ", ".join(
        f'"{name}" = {f"t.{name} + " if name in adding else ""}'  # names are ours
        + (f"%s::{_array_of(table.c[name].type)[:-2]}" if name in same else f'v."{name}"')
        for name in columns
    )
    names = (by, *(name for name in columns if name not in same))
    values = [_array([row[name] for row in rows]) for name in names]
    arrays = ", ".join(f"%s::{_array_of(table.c[name].type)}" for name in names)
    named = ", ".join(f'"{name}"' for name in names)
    statement = (
        f'UPDATE "{table.name}" t SET {changes} FROM unnest({arrays}) AS v({named}) '  # noqa: S608 - names are ours
        f'WHERE t."{by}" = v."{by}"'
    )
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor:
            cursor.execute(statement, [*same.values(), *values])
            return int(cursor.rowcount)
    except psycopg.Error as error:
        raise _translated(connection, f"UPDATE {table.name}", error) from error


def _array(values: Sequence[Any]) -> str:
    """An array as PostgreSQL reads it. The driver's own way looks at every value several times."""
    kinds = set(map(type, values))
    if kinds == {str}:
        joined = '","'.join(values)
        if "\\" not in joined and joined.count('"') == 2 * (len(values) - 1):
            return f'{{"{joined}"}}'
    if kinds == {int}:
        return f"{{{','.join(map(str, values))}}}"
    return f"{{{','.join(map(_element, values))}}}"


def _element(value: Any) -> str:
    match value:
        case str():
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'
        case int():
            return str(value)
        case None:
            return "NULL"
        case datetime():
            return f'"{value.isoformat()}"'
        case bytes():
            return f'"\\\\x{value.hex()}"'
        case _:
            raise TypeError(f"{type(value).__name__} has no place in an array")


def _array_of(kind: TypeEngine[Any]) -> str:
    return "bigint[]" if isinstance(kind, Integer) else f"{_type_of(kind)}[]"


def _type_of(kind: TypeEngine[Any]) -> str:
    """A column's type as PostgreSQL calls it."""
    if isinstance(kind, Moment):
        return "timestamptz"
    if isinstance(kind, LargeBinary):
        return "bytea"
    if isinstance(kind, BigInteger):
        return "bigint"
    return "integer" if isinstance(kind, Integer) else "text"


def _translated(connection: Connection, what: str, error: psycopg.Error) -> Exception:
    """As SQLAlchemy would have raised it, without the values."""
    leave_values_out(error)
    return DBAPIError.instance(what, None, error, psycopg.Error, hide_parameters=True, dialect=connection.dialect)
