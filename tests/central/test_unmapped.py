"""Goods without an entry, by turnover: always the sum over the receipts, whatever became of them."""

from __future__ import annotations

import csv
import io
import random
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from central import item_maps, unmapped
from central.db import tables
from central.db.database import Database
from central.folder import DataFolder
from central.unmapped import Goods, UnmappedGoods
from loyalty.item_map import ItemEntry, ItemMap
from loyalty.item_map_file import item_map_from_file
from loyalty.item_matching import ItemMatcher, mapped
from loyalty.item_names import normal_name
from loyalty.receipt import Line, Mapped, Receipt
from tests.central.conftest import RunningCentre
from tests.central.test_admin import Browser
from tests.central.test_cli import answer, run
from tests.central.till import NOON, receipt, returned

NAMES = ("KAFA", "Кафа", "MLEKO 1L", "BOCA", '=HYPERLINK("x")', "A*B|C")


def line(position: int, name: str, amount_minor: int, **facts: Any) -> Line:
    return Line(position=position, description=name, amount_minor=amount_minor, **facts)


def bought(count: int, *lines: Line, **facts: Any) -> Receipt:
    return receipt(count, sum(each.amount_minor for each in lines if not each.voided), lines=lines, **facts)


def publish(centre: RunningCentre, *entries: ItemEntry) -> str:
    key = centre.folder.program_key()
    return str(centre.write(lambda c: item_maps.publish(c, ItemMatcher(ItemMap(items=entries)), key, NOON)))


def reported(centre: RunningCentre, top: int = 50) -> list[tuple[str, int, int]]:
    """Name, lines and turnover of each."""
    report = centre.read(lambda c: unmapped.report(c, top))
    return [(one.goods.name if one.goods else "*", one.lines, one.turnover_minor) for one in report.unmapped]


def counted_again(centre: RunningCentre) -> dict[tuple[str, str], tuple[int, int]]:
    """The same sums, from all receipts."""
    lines, minor = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for body in centre.read(lambda c: c.execute(tables.receipts.select()).all()):
        kept = msgspec.json.decode(body.body, type=Receipt)
        for each in kept.lines:
            if kept.status == "final" and not each.voided and not each.mapped:
                lines[normal_name(each.description or ""), kept.currency] += 1
                minor[normal_name(each.description or ""), kept.currency] += each.amount_minor
    return {key: (lines[key], minor[key]) for key in lines}


def kept_sums(centre: RunningCentre) -> dict[tuple[str, str], tuple[int, int]]:
    rows = centre.read(lambda c: c.execute(tables.unmapped_goods.select()).all())
    found = {
        (normal_name(msgspec.json.decode(row.goods, type=Goods).name), row.currency): (row.lines, row.turnover_minor)
        for row in rows
    }
    assert len(found) == len(rows)
    return {key: sums for key, sums in found.items() if sums != (0, 0)}


async def test_goods_without_an_entry_stand_by_turnover_until_the_map_says_something(centre: RunningCentre) -> None:
    till = await centre.till()
    await till.sell(
        bought(1, line(1, "KAFA", 100_00), line(2, "BOCA", 20_00), line(3, "VOIDED", 9_00, voided=True)),
        bought(2, line(1, "кафа", 50_00)),
        bought(3, line(1, "HLEB", 90_00), currency="EUR"),
        bought(4, line(1, "TRAINING", 90_00), status="training"),
    )

    assert reported(centre) == [("HLEB", 1, 90_00), ("KAFA", 2, 150_00), ("BOCA", 1, 20_00)]
    assert reported(centre, top=1) == [("HLEB", 1, 90_00), ("KAFA", 2, 150_00)]

    # when the map says something of one, what is there goes and nothing of it comes
    publish(centre, ItemEntry(name=("kafa",), category="coffee"))
    await till.sell(bought(5, line(1, "KAFA", 1000_00), line(2, "BOCA", 20_00)))
    assert reported(centre) == [("HLEB", 1, 90_00), ("BOCA", 2, 40_00)]

    # and when it no longer does, all comes back that came unmapped
    publish(centre)
    assert ("KAFA", 2, 150_00) in reported(centre)


async def test_the_sums_are_those_of_the_receipts_whatever_became_of_them(centre: RunningCentre) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    till = await centre.till()
    coffee = ItemMatcher(ItemMap(items=(ItemEntry(name=("kafa",), category="coffee"),)))
    sold: list[Receipt] = []
    sent: list[Receipt] = []
    for count in range(1, 60):
        lines = tuple(
            line(place, dice.choice(NAMES), dice.randrange(1, 500), voided=dice.random() < 0.1)
            for place in range(1, dice.randrange(2, 5))
        )
        whole = bought(count, *lines, currency=dice.choice(["RSD", "RSD", "EUR"]))
        sold.append(whole)
        match dice.randrange(6):
            case 0:
                sent += [replace(whole, status="suspended"), whole]
            case 1:
                sent += [whole, replace(whole, status="voided")]
            case 2:
                sent += [replace(whole, lines=()), whole]  # a code, then the text
            case 3:
                back = tuple(replace(each, amount_minor=-each.amount_minor) for each in whole.lines)
                sent += [whole, returned(count + 1000, whole, lines=back, currency=whole.currency)]
            case 4:
                sent += [mapped(whole, coffee), whole]
            case _:
                sent += [whole, whole]
        if count == 30:
            publish(centre, ItemEntry(name=("mleko*",), category="dairy"))
    begun = 0
    while begun < len(sent):
        size = dice.randrange(1, 12)
        await till.sell(*sent[begun : begun + size])
        begun += size

    assert kept_sums(centre) == {key: sums for key, sums in counted_again(centre).items() if sums != (0, 0)}


def test_beyond_the_limit_goods_are_one_sum(data: Path) -> None:
    database = Database(DataFolder(data).database)
    first = bought(1, *(line(n, f"GOODS {n}", 1_00) for n in range(1, 6)))
    second = bought(2, *(line(n, f"GOODS {n}", 1_00) for n in range(4, 9)))

    for each in (first, second):
        database.write_now(partial(unmapped.note, changes=[(None, each)], now=NOON, max_goods=3))
    report = database.read_now(lambda c: unmapped.report(c, 50))

    assert [one.goods is None for one in report.unmapped].count(False) == 3
    assert [one.goods is None for one in report.unmapped].count(True) == 1
    assert sum(one.lines for one in report.unmapped) == 10
    assert sum(one.turnover_minor for one in report.unmapped) == 10_00
    # and what is taken out again is taken out of there
    gone = replace(second, status="voided")
    database.write_now(lambda c: unmapped.note(c, [(second, gone)], NOON, max_goods=3))
    report = database.read_now(lambda c: unmapped.report(c, 50))
    assert sum(one.lines for one in report.unmapped) == 5
    database.close()


HOSTILE = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    '=HYPERLINK("http://x","y")',
    "=cmd|' /C calc'!A0",
    'A "B", C\n;D',
]


@pytest.mark.parametrize("field", ["name", "sku", "department", "tax_labels"])
@pytest.mark.parametrize("value", HOSTILE)
def test_no_cell_of_the_list_is_a_formula(field: str, value: str) -> None:
    facts: dict[str, Any] = {field: (value,) if field == "tax_labels" else value}
    of = UnmappedGoods(goods=Goods(**facts), currency="RSD", lines=1, turnover_minor=-100, last_seen=NOON)

    rows = list(csv.reader(io.StringIO(unmapped.report_csv([of]), newline="")))

    assert len(rows) == 2
    header, cells = rows
    beside = [cell for column, cell in zip(header, cells, strict=True) if column != "turnover_minor"]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in beside)
    assert cells[header.index("turnover_minor")] == "-100"


@pytest.mark.parametrize(
    "goods",
    [
        Goods(name="KAFA * | 1/1", sku="-7", gtin="3850012345678", tax_labels=("Ђ", "E"), department="12"),
        Goods(name="X" * 150),
        Goods(name="=KESA"),
        Goods(sku="12", gtin="123"),
    ],
)
def test_a_filled_in_list_maps_what_it_lists(goods: Goods) -> None:
    of = UnmappedGoods(goods=goods, currency="RSD", lines=1, turnover_minor=1, last_seen=NOON)
    rows = list(csv.DictReader(io.StringIO(unmapped.report_csv([of]), newline="")))
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0].keys())
    writer.writeheader()
    writer.writerows([row | {"category": "found"} for row in rows])

    matcher = ItemMatcher(item_map_from_file(out.getvalue().encode()).item_map)

    assert matcher.of(goods.line) == Mapped(category="found")


async def test_the_command_prints_a_table_json_and_a_list(centre: RunningCentre, tmp_path: Path) -> None:
    till = await centre.till()
    where = ("--data", str(centre.folder.path))
    assert run("items", "report", *where) == (0, "Nothing is unmapped.\n")
    await till.sell(bought(1, line(1, "KAFA\x1b[2J", 100_00, sku="7", tax_labels=("A",)), line(2, "BOCA", 20_00)))

    code, text = run("items", "report", *where, "--top", "1")
    assert (code, "100.00 RSD        1  KAFA\ufffd[2J  SKU 7  tax A" in text, "BOCA" in text) == (0, True, False)
    code, shown = answer("items", "report", *where)
    assert (shown["item_map"], [one["turnover_minor"] for one in shown["unmapped"]]) == (None, [100_00, 20_00])

    # The list, filled in, is a map beside the one that is there
    _, listed = run("items", "report", *where, "--csv")
    filled, before = tmp_path / "filled.csv", tmp_path / "items.toml"
    filled.write_text(listed.replace("BOCA,,,,,,", "BOCA,,,,,deposit,"))
    before.write_text('[[items]]\nsku = ["7"]\ncategory = "coffee"\n')
    code, published = answer("items", "publish", *where, str(before), str(filled))
    assert (code, published["entries"], published["unfilled"]) == (0, 2, 1)
    assert run("items", "report", *where) == (0, "Nothing is unmapped.\n")
    code, refused = answer("items", "check", str(before), "-", stdin=b"sku,kind\n1,x\n")
    assert (code, refused["error"].startswith("-: ")) == (1, True)


async def test_the_admin_page_shows_the_map_and_what_it_lacks(centre: RunningCentre) -> None:
    browser, till = Browser(centre), await centre.till()
    await browser.open(centre.ready.open)
    status, empty = await browser.get("/goods")
    assert (status, "No item map is in force" in empty) == (200, True)

    await till.sell(bought(1, line(1, "<b>KAFA</b>", 100_00), line(2, "=BOCA", 20_00)))
    hashed = publish(centre, ItemEntry(name=("hleb",), category="bread"))

    _, page = await browser.get("/goods")
    assert all(words in page for words in (hashed, "1 entries", "&lt;b&gt;KAFA", "100.00 RSD", 'aria-current="page"'))
    answered = await browser.ask("GET", "/goods.csv")
    assert (answered.status, answered.content_type) == (200, "text/csv")
    assert "attachment" in answered.headers["Content-Disposition"]
    assert "\n'=BOCA," in (await answered.text()).replace("\r", "")

    # without a session it shows nothing
    assert (await Browser(centre).get("/goods.csv"))[0] == 403
