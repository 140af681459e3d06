"""Receipts out of a POS's own database: a query asked again and again, read only.

Owns how the database is opened, from where each reading goes on, and which rows are new. Rows become receipts by the
mapping that CSV files have (`row_receipts`). Never writes into a database, and never says its password.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace
from sqlalchemy import CursorResult, Engine, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from drivers.clock import Clock
from drivers.clock import now as system_now
from drivers.receipts.arrivals import Arrival
from drivers.receipts.decode import Decoded
from drivers.receipts.pieces import DecodeProblem, Ignored, unkeepable
from drivers.receipts.port import DecodeOptions, MalformedReceiptError
from drivers.receipts.row_mapping import RowMapping
from drivers.receipts.row_receipts import Row, cell_text, receipts_of
from loyalty.instant import Instant
from loyalty.receipt import Receipt
from loyalty.reconcile import reconciled

# A POS's database is there to sell: a query that takes longer needs an index.
QUERY_TIMEOUT_S: Final = 30
CONNECT_TIMEOUT_S: Final = 10
# One call's worth, held in memory until it is booked.
MAX_RECEIPTS_PER_READ: Final = 200
# Rows looked through for new ones in one call: those that overlap come first.
MAX_ROWS_PER_READ: Final = 50_000
ROWS_AT_ONCE: Final = 500
MAX_SECRET_BYTES: Final = 4096
SQLITE_STEPS_BETWEEN_LOOKS: Final = 10_000

HighWater = int | Decimal | datetime | date | str

_RECEIPTS: Final = msgspec.json.Decoder(Receipt)
_REMEDY: Final = "check `database`, its user's rights and `query`"


class DatabaseSourceError(OSError):
    """The database cannot be read. The message says what to do, and holds no password."""


class DatabaseRules(Struct, frozen=True, kw_only=True):
    """What is asked of a database.

    `query` has the parameter `:high_water` and is ordered by the column `high_water`, a number or a time. `start` is
    where the first reading begins. `overlap` (in the column's numbers, or seconds) is read again each time, since a
    row may be committed after one with a higher number.
    """

    query: str
    high_water: str
    mapping: RowMapping
    start: int | str = 0
    overlap: int = 300
    poll_s: int = 10


class _Found(Struct, frozen=True, kw_only=True):
    """The rows of one receipt. `digest` names them as they are."""

    rows: tuple[Mapping[str, str], ...]
    high_water: HighWater
    digest: str


def secret_of(reference: str, environment: Mapping[str, str]) -> str:
    """The URL itself, or what `env:NAME` or `credential:NAME` (a file of systemd's credentials) holds.

    Raises DatabaseSourceError.
    """
    kind, _, name = reference.partition(":")
    if kind == "env":
        if not environment.get(name):
            raise DatabaseSourceError(f"the environment variable {name} is not set: set it for the agent's service")
        return environment[name]
    if kind == "credential":
        folder = environment.get("CREDENTIALS_DIRECTORY")
        if not folder or Path(name).name != name:
            raise DatabaseSourceError(f"there is no credential {name!r}: give it with LoadCredential= in the unit")
        try:
            with (Path(folder) / name).open(encoding="utf-8") as file:
                return file.read(MAX_SECRET_BYTES).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise DatabaseSourceError(
                f"the credential {name!r} cannot be read: see LoadCredential= in the unit"
            ) from error
    return reference


class DatabaseReader:
    """Reads one query of the database at `reference`."""

    def __init__(
        self,
        reference: str,
        rules: DatabaseRules,
        options: Callable[[], DecodeOptions],
        *,
        environment: Mapping[str, str] = os.environ,
        now: Clock = system_now,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._reference = reference
        self._environment = environment
        self._rules = rules
        self._options = options
        self._now = now
        self._sleep = sleep
        self._engine: Engine | None = None
        self._high: HighWater | None = None

    def read(self, marks: Mapping[str, str]) -> Sequence[Arrival]:
        """Receipts whose rows are new, or have changed. Raises DatabaseSourceError."""
        if self._high is None:
            kept = [_mark_value(mark) for mark in marks.values()]
            self._high = max(kept, key=_order) if kept else None
        arrivals: list[Arrival] = []
        since = _before(self._high, self._rules.overlap) if self._high is not None else self._rules.start
        with self._answer(since, ROWS_AT_ONCE) as answer:
            for found in self._found(dict(row) for row in answer.mappings()):
                if found.digest in marks:
                    continue
                arrivals.append(self._arrival(found))
                self._high = max((found.high_water, self._high or found.high_water), key=_order)
                if len(arrivals) >= MAX_RECEIPTS_PER_READ:
                    break
        return arrivals

    def tried(self) -> str:
        """What the query gives first, in words without anything of it. Raises DatabaseSourceError as `read` does."""
        with self._answer(self._rules.start, 1) as answer:
            self._check_columns(dict.fromkeys(answer.keys()))
            first = answer.mappings().fetchone()
            if first is None:
                return f"the query works, and has no row beyond start = {self._rules.start!r}"
            _before(next(self._named(iter([dict(first)])))[1], self._rules.overlap)
        return "the query works, and its rows have every column"

    @contextmanager
    def _answer(self, since: HighWater, rows_at_once: int) -> Iterator[CursorResult[Any]]:
        """The query's rows beyond `since`, read as they are asked for. Raises DatabaseSourceError."""
        url = _url(secret_of(self._reference, self._environment))
        try:
            if self._engine is None:
                self._engine = _engine(url)
            with self._engine.connect() as connection:
                answer = connection.execution_options(yield_per=rows_at_once).execute(
                    text(self._rules.query), {"high_water": since}
                )
                with closing(answer):
                    yield answer
        except DatabaseSourceError:
            raise
        except (SQLAlchemyError, sqlite3.Error, ImportError, OSError) as error:
            raise DatabaseSourceError(f"{_said(error, url)}: {_REMEDY}") from error

    def _found(self, rows: Iterator[Mapping[str, Any]]) -> Iterator[_Found]:
        """The receipts of an answer, in its order. Raises DatabaseSourceError."""
        before: HighWater | None = None
        numbered = self._named(rows)
        for _, group in groupby(numbered, key=lambda each: each[0]):
            taken = list(group)
            high = max((value for _, value, _ in taken), key=_order)
            if before is not None and _order(high) < _order(before):
                raise DatabaseSourceError(f"the rows do not ascend: end `query` with ORDER BY {self._rules.high_water}")
            before = high
            cells = tuple(row for _, _, row in taken)
            content = msgspec.json.encode(cells)
            yield _Found(rows=cells, high_water=high, digest=hashlib.sha256(content).hexdigest()[:32])

    def _named(self, rows: Iterator[Mapping[str, Any]]) -> Iterator[tuple[tuple[str, ...], HighWater, dict[str, str]]]:
        """Of each row: whose it is, its high water, and its cells as text."""
        for count, row in enumerate(rows):
            if count >= MAX_ROWS_PER_READ:
                raise DatabaseSourceError(f"more than {MAX_ROWS_PER_READ} rows are read again: make `overlap` smaller")
            if count == 0:
                self._check_columns(row)
            value = row[self._rules.high_water]
            if value is None or isinstance(value, float | bytes | bool):
                raise DatabaseSourceError(
                    f"column {self._rules.high_water!r} is no number and no time in every row: {_REMEDY}"
                )
            cells = {name: cell_text(cell) for name, cell in row.items()}
            whose = tuple(cells.get(column, "") for column in self._rules.mapping.group)
            yield (whose if any(whose) else (str(count),)), value, cells

    def _check_columns(self, row: Mapping[str, Any]) -> None:
        for column in (self._rules.high_water, *self._rules.mapping.columns()):
            if column not in row:
                raise DatabaseSourceError(
                    f"the query gives no column {column!r}: name it there, or correct the mapping"
                )

    def _arrival(self, found: _Found) -> Arrival:
        document, decoded = _decoded(found.rows, self._rules.mapping, self._options())
        return Arrival(
            name=found.digest,
            mark=_mark(found.high_water),
            captured=self._captured(decoded),
            payload=document,
            decoded=decoded,
        )

    def _captured(self, decoded: Decoded) -> Instant:
        """When the sale was, as far as the database says: scans are joined by it."""
        now = self._now()
        for receipt in decoded.receipts:
            if receipt.issued_at is not UNSET and receipt.issued_at < now.wall:
                return Instant(wall=receipt.issued_at.astimezone(UTC), boot="", monotonic_ns=0)
        return now

    def finish(self, arrival: Arrival, *, understood: bool) -> None:
        """The database is not ours to change."""

    async def changed(self) -> None:
        await self._sleep(self._rules.poll_s)

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None


def _decoded(rows: Sequence[Mapping[str, str]], mapping: RowMapping, options: DecodeOptions) -> tuple[bytes, Decoded]:
    """The rows as one JSON object a line, as quarantine keeps them, and what they hold."""
    document = b""
    placed = []
    for cells in rows:
        line = msgspec.json.encode(cells) + b"\n"
        placed.append(Row(cells=cells, start=len(document), end=len(document) + len(line)))
        document += line
    receipts: list[Receipt] = []
    ignored: list[Ignored] = []
    problems: list[DecodeProblem] = []
    for part, start, end in receipts_of(placed, mapping, options):
        if isinstance(part, Receipt):
            receipt = reconciled(replace(part, source="database"))
            try:
                # Structs do not check themselves when made: what leaves here can be read back.
                as_json = msgspec.json.encode(receipt)
                _RECEIPTS.decode(as_json)
                if (wrong := unkeepable(receipt, as_json)) is not None:
                    raise msgspec.ValidationError(wrong)
            except msgspec.ValidationError as error:
                detail = f"{error}; correct the row, or the mapping"
                problems.append(DecodeProblem(code="out_of_bounds", detail=detail, start=start, end=end))
            else:
                receipts.append(receipt)
        elif isinstance(part, MalformedReceiptError):
            problems.append(DecodeProblem(code=part.code, detail=str(part), start=start, end=end))
        else:
            ignored.append(Ignored(kind=part, start=start, end=end))
    return document, Decoded(receipts=tuple(receipts), ignored=tuple(ignored), problems=tuple(problems))


# Opening


def _url(secret: str) -> URL:
    try:
        url = make_url(secret)
    except ArgumentError:
        raise DatabaseSourceError("`database` is no URL: write it like postgresql://user:password@host/name") from None
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def _engine(url: URL) -> Engine:
    """Opens nothing yet. A connection is made for each reading, so that the POS's server may go and come."""
    backend = url.get_backend_name()
    if backend == "sqlite":
        engine = create_engine("sqlite://", creator=lambda: _read_only_sqlite(url.database or ""), poolclass=NullPool)
    elif backend == "postgresql":
        limits = f"-c default_transaction_read_only=on -c statement_timeout={QUERY_TIMEOUT_S * 1000}"
        arguments = {"options": limits, "connect_timeout": CONNECT_TIMEOUT_S, "application_name": "tillside"}
        engine = create_engine(url, connect_args=arguments, poolclass=NullPool)
    else:
        engine = create_engine(url, poolclass=NullPool)
    return engine


def _read_only_sqlite(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=CONNECT_TIMEOUT_S)
    connection.execute("PRAGMA query_only = ON")
    until = time.monotonic() + QUERY_TIMEOUT_S
    connection.set_progress_handler(lambda: time.monotonic() > until, SQLITE_STEPS_BETWEEN_LOOKS)
    return connection


def _said(error: Exception, url: URL) -> str:
    """The first line of what went wrong, without the password."""
    if isinstance(error, NoSuchModuleError | ImportError):
        return f"there is no driver for {url.get_backend_name()} here: install tillside's extra `sql`, or the driver"
    cause = getattr(error, "orig", None) or error
    line = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
    for secret in filter(None, (url.password and str(url.password), url.render_as_string(hide_password=False))):
        line = line.replace(secret, "***")
    return line


# High water


def _order(value: HighWater) -> tuple[int, Any]:
    """Values of one column are of one type; a column that changed its type sorts by type first."""
    if isinstance(value, datetime):
        return 2, value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return 1, value
    if isinstance(value, str):
        return 3, value
    return 0, value


def _before(value: HighWater, overlap: int) -> HighWater:
    """`overlap` before `value`, in the same form. Raises DatabaseSourceError for a text that is no time."""
    if isinstance(value, datetime):
        return value - timedelta(seconds=overlap)
    if isinstance(value, date):
        return value - timedelta(days=-(-overlap // 86_400))
    if isinstance(value, str):
        with suppress(ValueError):
            earlier = datetime.fromisoformat(value) - timedelta(seconds=overlap)
            return earlier.isoformat(sep="T" if "T" in value else " ")
        raise DatabaseSourceError(
            f"the high-water value {value[:40]!r} is no number and no ISO time: choose another column"
        )
    return value - overlap


_FORMS: Final[Mapping[str, Callable[[str], HighWater]]] = {
    "int": int,
    "Decimal": Decimal,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "str": str,
}


def _mark(value: HighWater) -> str:
    return f"{type(value).__name__} {value.isoformat() if isinstance(value, date) else value}"


def _mark_value(mark: str) -> HighWater:
    form, _, written = mark.partition(" ")
    return _FORMS[form](written)
