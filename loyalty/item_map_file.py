"""An operator's file of an item map: CSV as a spreadsheet writes it, TOML, or JSON.

Owns telling the three apart, and writing a map so that it can be edited and published again. Pure: bytes in, value
out. Never puts a map in force.
"""

from __future__ import annotations

import csv
import io
import tomllib
from typing import Final

import msgspec
from msgspec import Struct

from loyalty.item_map import (
    CONDITIONS,
    ItemEntry,
    ItemMap,
    ItemMapError,
    checked,
    item_map_from_json,
    item_map_from_values,
)

# A spreadsheet or JSON of a map that is at its limits, with room for how it is written.
MAX_FILE_BYTES: Final = 32 * 1024 * 1024
BETWEEN_VALUES: Final = "|"
RESULTS: Final = ("kind", "category", "tags")
# What a report of unmapped goods says beside them, so that it can be filled in and published.
IGNORED_COLUMNS: Final = ("currency", "lines", "turnover_minor", "last_seen")
# What a spreadsheet takes for the start of a formula; a quote before it makes it text.
FORMULA_SIGNS: Final = ("=", "+", "-", "@", "\t", "\r")
_ONE: Final = frozenset({"kind", "category"})


class ReadItemMap(Struct, frozen=True, kw_only=True):
    """A map, and how many rows of a spreadsheet give nothing yet and are left out."""

    item_map: ItemMap
    unfilled: int = 0


def item_map_from_file(content: bytes) -> ReadItemMap:
    """The checked map of a file. Raises ItemMapError.

    JSON begins with a brace, TOML with a table or a key; a CSV's first row names its columns.
    """
    if len(content) > MAX_FILE_BYTES:
        raise ItemMapError(f"more than {MAX_FILE_BYTES} bytes; put values into one entry")
    if content.lstrip().startswith(b"{"):
        return ReadItemMap(item_map=item_map_from_json(content))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ItemMapError(f"byte {error.start} is not UTF-8; save the file as UTF-8") from error
    header = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if not header:
        raise ItemMapError("the file is empty; a map of no entries, which ends the one before, is `items = []`")
    if header.startswith(("[", "#")) or "=" in header:
        return ReadItemMap(item_map=_from_toml(text))
    return _from_csv(text)


def _from_toml(text: str) -> ItemMap:
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ItemMapError(f"not TOML: {error}; correct that line") from error
    return item_map_from_values(values)


def _from_csv(text: str) -> ReadItemMap:
    """One entry a row; `|` between the values of a cell, `-` between the ends of a range."""
    delimiter = ";" if text.partition("\n")[0].count(";") else ","
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    known = (*CONDITIONS, *RESULTS, *IGNORED_COLUMNS)
    try:
        columns = [column.strip().lower() for column in next(rows, [])]
        for column in columns:
            if column not in known or columns.count(column) > 1:
                raise ItemMapError(
                    f"column {column!r} is unknown or there twice; the first row names each of "
                    f"{', '.join((*CONDITIONS, *RESULTS))} at most once"
                )
        entries, unfilled = [], 0
        for row in rows:
            if len(row) > len(columns):
                raise ItemMapError(f"line {rows.line_num}: more cells than the first row names columns")
            entry = _entry(dict(zip(columns, row, strict=False)))
            if entry.keys().isdisjoint(RESULTS):
                unfilled += any(entry.values())
            else:
                entries.append(msgspec.convert(entry, ItemEntry))
    except (csv.Error, msgspec.ValidationError) as error:
        raise ItemMapError(f"line {rows.line_num}: {error}; correct that line") from error
    return ReadItemMap(item_map=checked(ItemMap(items=tuple(entries))), unfilled=unfilled)


def _entry(cells: dict[str, str]) -> dict[str, object]:
    entry: dict[str, object] = {}
    for column, shown in cells.items():
        cell = shown.removeprefix("'") if shown[1:2] in FORMULA_SIGNS else shown
        values = [value for each in cell.split(BETWEEN_VALUES) if (value := each.strip())]
        if not values or column in IGNORED_COLUMNS:
            continue
        if column == "gtin_range":
            entry[column] = [[end.strip() for end in value.split("-")] for value in values]
        else:
            entry[column] = values[0] if column in _ONE and len(values) == 1 else values
    return entry


def item_map_toml(item_map: ItemMap) -> str:
    """The map as `[[items]]` tables. JSON's texts and lists are TOML's too."""
    if not item_map.items:
        return "items = []\n"
    tables = (
        "".join(f"{key} = {msgspec.json.encode(value).decode()}\n" for key, value in msgspec.to_builtins(entry).items())
        for entry in item_map.items
    )
    return "\n".join(f"[[items]]\n{table}" for table in tables)
