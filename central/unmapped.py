"""Goods that no entry of an item map says anything of, by turnover: what the next entry should be written for.

Owns a running sum for each of them, kept in the transaction that keeps their receipts, so that a report reads no
receipt. It holds what came unmapped; a report leaves out what the map in force says something of by now. Never changes
a receipt.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Struct
from sqlalchemy import Connection, func, select

from central import item_maps
from central.db import tables
from central.db.sets import among, change_rows, insert_rows
from loyalty.item_map import CONDITIONS, MAX_PATTERN_CHARS
from loyalty.item_map_file import BETWEEN_VALUES, FORMULA_SIGNS, IGNORED_COLUMNS, RESULTS
from loyalty.item_names import MAX_NAME_CHARS, normal_name
from loyalty.receipt import AwareDatetime, Line, Receipt

# Different goods that are told apart; what comes beyond that is one sum in each currency.
MAX_GOODS = 100_000
MAX_TOP = 10_000
# Goods whose key is not worked out again: what a chain sells all day.
_KEYS_KEPT = 20_000
_AT_ONCE = 500
_COLUMNS = (*(each for each in CONDITIONS if each not in ("gtin_prefix", "gtin_range")), *RESULTS, *IGNORED_COLUMNS)
_GTIN = re.compile(r"[0-9]{8}|[0-9]{12,14}")
# What a name in a map's file would not be itself with.
_SIGNS = str.maketrans(dict.fromkeys(f"*{BETWEEN_VALUES}", " "))


class Goods(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an item map can tell goods by, as it came first."""

    name: str = ""
    sku: str = ""
    gtin: str = ""
    tax_labels: tuple[str, ...] = ()
    department: str = ""

    @property
    def line(self) -> Line:
        """A line of these goods."""
        return Line(
            position=1,
            amount_minor=0,
            description=self.name or UNSET,
            sku=self.sku or UNSET,
            gtin=self.gtin or UNSET,
            tax_labels=self.tax_labels,
            department=self.department or UNSET,
        )


class UnmappedGoods(Struct, frozen=True, kw_only=True):
    """Goods with their lines on final receipts and the sum of those; returns count against it.

    `goods` is None for all that came when MAX_GOODS were told apart already.
    """

    goods: Goods | None
    currency: str
    lines: int
    turnover_minor: int
    last_seen: AwareDatetime


class UnmappedReport(Struct, frozen=True, kw_only=True):
    """By currency, the highest turnover first. `item_map` is the hash of the map that says nothing of them."""

    item_map: str | None
    unmapped: tuple[UnmappedGoods, ...]


# What tells goods apart: the receipt's currency, and of a line its description, SKU, GTIN, tax labels, department.
_Printed = tuple[Any, ...]


class Counted(NamedTuple):
    """An unmapped line as it counts: 1, or -1 where it is taken back."""

    printed: _Printed
    lines: int
    turnover_minor: int


class _Sum:
    """Lines of the same goods, as they are `printed` on the first; None for all goods that are not told apart."""

    __slots__ = ("currency", "lines", "printed", "turnover_minor")

    def __init__(self, printed: _Printed | None, currency: str) -> None:
        self.printed = printed
        self.currency = currency
        self.lines = self.turnover_minor = 0

    def add(self, lines: int, minor: int) -> None:
        self.lines += lines
        self.turnover_minor += minor


def note(
    connection: Connection,
    changes: Iterable[tuple[Receipt | None, Receipt]],
    now: datetime,
    *,
    max_goods: int = MAX_GOODS,
) -> None:
    """Take receipts as they are now in place of what they were before (None for one that is new)."""
    counted = (
        line
        for before, after in changes
        for line in (*(counted_of(before, -1) if before is not None else ()), *counted_of(after))
    )
    note_counted(connection, counted, now, max_goods=max_goods)


def counted_of(receipt: Receipt, sign: Literal[1, -1] = 1) -> tuple[Counted, ...]:
    """A receipt's unmapped lines; none of one that is not final."""
    if receipt.status != "final":
        return ()
    currency = receipt.currency
    return tuple(
        Counted(
            (currency, line.description, line.sku, line.gtin, line.tax_labels, line.department),
            sign,
            sign * line.amount_minor,
        )
        for line in receipt.lines
        if not (line.voided or line.mapped)
    )


def note_counted(
    connection: Connection, counted: Iterable[Counted], now: datetime, *, max_goods: int = MAX_GOODS
) -> None:
    """Add to the sums of goods: the same goods come often, most in the same words."""
    printed: dict[_Printed, list[int]] = {}
    for told_by, lines, minor in counted:
        if (one := printed.get(told_by)) is None:
            printed[told_by] = [lines, minor]
        else:
            one[0] += lines
            one[1] += minor
    sums: dict[str, _Sum] = {}
    for told_by, (lines, minor) in printed.items():
        sums.setdefault(_key(told_by), _Sum(told_by, told_by[0])).add(lines, minor)
    moved = {key: one for key, one in sorted(sums.items()) if one.lines or one.turnover_minor}
    if not moved:
        return
    if _increase(connection, moved, now) == len(moved):
        return
    known = _known(connection, moved)
    fresh = {key: one for key, one in moved.items() if key not in known}
    room = max(0, max_goods - _count(connection))
    _insert(connection, dict(islice(fresh.items(), room)), now)
    _add_further(connection, list(fresh.values())[room:], now)


def report(connection: Connection, top: int) -> UnmappedReport:
    """The `top` of each currency, of MAX_GOODS rows at most: they are put in order here, and not at each sale."""
    matcher = item_maps.matcher_in_force(connection)
    columns = tables.unmapped_goods.c
    found: list[UnmappedGoods] = []
    for currency in connection.execute(select(columns.currency).distinct().order_by(columns.currency)).scalars().all():
        rows = connection.execute(
            select(tables.unmapped_goods)
            .where(columns.currency == currency)
            .order_by(columns.turnover_minor.desc(), columns.key.desc())
        )
        unmapped = (
            UnmappedGoods(
                goods=goods,
                currency=currency,
                lines=row.lines,
                turnover_minor=row.turnover_minor,
                last_seen=row.last_seen,
            )
            for row in rows
            for goods in [msgspec.json.decode(row.goods, type=Goods | None)]
            if row.lines and (goods is None or matcher is None or not matcher.of(goods.line))
        )
        found += islice(unmapped, top)
        rows.close()
    return UnmappedReport(item_map=matcher.hash if matcher is not None else None, unmapped=tuple(found))


def report_csv(unmapped: Iterable[UnmappedGoods]) -> str:
    """A list that can be filled in and published as a map; no cell of it is a formula for a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    for one in unmapped:
        cells = _cells(one.goods) if one.goods is not None else {}
        cells |= {
            "lines": str(one.lines),
            "turnover_minor": str(one.turnover_minor),
            "currency": one.currency,
            "last_seen": one.last_seen.isoformat(timespec="seconds"),
        }
        writer.writerow([cells.get(column, "") for column in _COLUMNS])
    return out.getvalue()


def _cells(goods: Goods) -> dict[str, str]:
    name = " ".join(goods.name.translate(_SIGNS).split())
    cells = {
        "name": name if len(name) <= MAX_PATTERN_CHARS else f"{name[: MAX_PATTERN_CHARS - 1]}*",
        "sku": goods.sku,
        "gtin": goods.gtin if _GTIN.fullmatch(goods.gtin) else "",
        "tax_label": BETWEEN_VALUES.join(goods.tax_labels),
        "department": goods.department,
    }
    return {column: f"'{cell}" if cell.startswith(FORMULA_SIGNS) else cell for column, cell in cells.items()}


def _goods_of(printed: _Printed) -> Goods:
    _, description, sku, gtin, tax_labels, department = printed
    return Goods(
        name=(description or "")[:MAX_NAME_CHARS],
        sku=sku or "",
        gtin=gtin or "",
        tax_labels=tax_labels,
        department=department or "",
    )


@lru_cache(_KEYS_KEPT)
def _key(printed: _Printed) -> str:
    """The same for all spellings of a name."""
    goods = _goods_of(printed)
    told_by = (printed[0], normal_name(goods.name), goods.sku, goods.gtin, sorted(goods.tax_labels), goods.department)
    return hashlib.sha256(msgspec.json.encode(told_by)).hexdigest()


def _further_key(currency: str) -> str:
    return f"further:{currency}"


def _known(connection: Connection, keys: Iterable[str]) -> set[str]:
    column, known = tables.unmapped_goods.c.key, set[str]()
    for some in _batches(keys):
        known.update(connection.execute(select(column).where(among(column, some))).scalars())
    return known


def _count(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).select_from(tables.unmapped_goods)).scalar_one())


def _insert(connection: Connection, sums: dict[str, _Sum], now: datetime) -> None:
    rows = [
        {
            "key": key,
            "currency": one.currency,
            "goods": msgspec.json.encode(None if one.printed is None else _goods_of(one.printed)),
            "lines": one.lines,
            "turnover_minor": one.turnover_minor,
            "last_seen": now,
        }
        for key, one in sums.items()
    ]
    insert_rows(connection, tables.unmapped_goods, rows)


def _increase(connection: Connection, sums: dict[str, _Sum], now: datetime) -> int:
    """Count these in where they are known; returns how many are."""
    rows = [
        {"key": key, "lines": one.lines, "turnover_minor": one.turnover_minor, "last_seen": now}
        for key, one in sums.items()
    ]
    return change_rows(connection, tables.unmapped_goods, rows, by="key", adding=("lines", "turnover_minor"))


def _add_further(connection: Connection, ones: list[_Sum], now: datetime) -> None:
    further: dict[str, _Sum] = {}
    for one in ones:
        key = _further_key(one.currency)
        further.setdefault(key, _Sum(None, one.currency)).add(one.lines, one.turnover_minor)
    known = _known(connection, further)
    _insert(connection, {key: one for key, one in further.items() if key not in known}, now)
    _increase(connection, {key: one for key, one in further.items() if key in known}, now)


def _batches(keys: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(keys)
    while some := list(islice(rest, _AT_ONCE)):
        yield some
