"""`tillside-central items`: the map of what the goods are, and the report of what it says nothing of."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from central import item_maps, operations, unmapped
from central.cli.command import Data, Files, Json, fail, opened, read_input, say
from central.clock import utc_now
from loyalty.item_map import ItemMap, ItemMapError, checked, kinds_given, warnings_of
from loyalty.item_map_file import item_map_from_file, item_map_toml
from loyalty.item_matching import ItemMatcher
from loyalty.money import to_major

app = typer.Typer()


@app.command("check")
def items_check(files: Files, as_json: Json = False) -> None:
    """Say whether an item map can be published, and what in it is probably not meant."""
    _say_items(as_json, "The map is good:", *_item_map(files, as_json))


@app.command("publish")
def items_publish(data: Data, files: Files, as_json: Json = False) -> None:
    """Sign an item map and put it in force, in place of the one before, on every register."""
    matcher, unfilled = _item_map(files, as_json)
    with opened(data, as_json) as (folder, database):
        key = folder.program_key()
        database.write_now(lambda connection: item_maps.publish(connection, matcher, key, utc_now()))
    _say_items(as_json, "In force:", matcher, unfilled)


@app.command("show")
def items_show(data: Data, as_json: Json = False) -> None:
    """Print the item map in force, as a file that can be edited and published again."""
    with opened(data, as_json) as (_, database):
        shown = database.read_now(operations.item_map_in_force)
    if shown.published_at is None:
        head = "# No item map was published."
    else:
        head = f"# In force since {shown.published_at:%Y-%m-%d %H:%M} UTC: {shown.hash}"
    say(as_json, shown, f"{head}\n{item_map_toml(ItemMap(items=shown.items))}".rstrip())


@app.command("report")
def items_report(
    *,
    data: Data,
    top: Annotated[int, typer.Option(min=1, max=unmapped.MAX_TOP, help="Goods of each currency.")] = 50,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a list to fill in and publish.")] = False,
    as_json: Json = False,
) -> None:
    """Print the goods that the map in force says nothing of, those with the highest turnover first."""
    with opened(data, as_json) as (_, database):
        report = database.read_now(lambda connection: unmapped.report(connection, top))
    if as_csv and not as_json:
        sys.stdout.write(unmapped.report_csv(report.unmapped))
        return
    rows = [
        f"{to_major(one.turnover_minor, one.currency):>14} {one.currency}  {one.lines:>7}  {_goods_text(one.goods)}"
        for one in report.unmapped
    ]
    say(as_json, report, "\n".join(["      turnover        lines  goods", *rows]) if rows else "Nothing is unmapped.")


def _goods_text(goods: unmapped.Goods | None) -> str:
    """Goods on one line; nothing of it steers the terminal."""
    if goods is None:
        return f"(all beyond {unmapped.MAX_GOODS} different goods)"
    facts = {
        "SKU": goods.sku,
        "GTIN": goods.gtin,
        "tax": ", ".join(goods.tax_labels),
        "department": goods.department,
    }
    text = "  ".join([goods.name, *(f"{what} {value}" for what, value in facts.items() if value)])
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def _item_map(files: list[Path], as_json: bool) -> tuple[ItemMatcher, int]:
    """One map of several files, their entries in the order of the files; and how many rows give nothing yet."""
    read = []
    for file in files:
        try:
            read.append(item_map_from_file(read_input(file, as_json)))
        except ItemMapError as error:
            fail(as_json, f"{file}: {error}")
    try:
        joined = checked(ItemMap(items=tuple(entry for one in read for entry in one.item_map.items)))
        return ItemMatcher(joined), sum(one.unfilled for one in read)
    except ItemMapError as error:
        fail(as_json, str(error))


def _say_items(as_json: bool, head: str, matcher: ItemMatcher, unfilled: int) -> None:
    report = operations.ItemMapReport(
        hash=matcher.hash,
        entries=len(matcher.item_map.items),
        kinds=kinds_given(matcher.item_map),
        unfilled=unfilled,
        warnings=warnings_of(matcher.item_map),
    )
    lines = [f"{head} {report.entries} entries, {report.hash}"]
    lines += [f"{count} give the kind {kind}" for kind, count in report.kinds.items()]
    if report.unfilled:
        lines.append(f"{report.unfilled} rows give nothing yet and are left out")
    say(as_json, report, "\n".join([*lines, *report.warnings]))
