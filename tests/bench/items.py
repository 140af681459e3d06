"""`items`: what a map at its limit costs a line of a receipt, beside a map of 100 entries.

A quarter of the entries each by GTIN, SKU, whole name and pattern. Lines are made of the same words, so that many of
them come near an entry; each has name, SKU, GTIN and tax label. Time is that of the process: nothing waits here.
"""

from __future__ import annotations

import time
from random import Random

from loyalty.item_map import MAX_ENTRIES, ItemEntry, ItemMap, item_map_from_json, item_map_json
from loyalty.item_matching import ItemMatcher
from loyalty.receipt import Line
from tests.bench.machine import disk_folder, measured
from tests.bench.report import Report, rounded

FEW = 100
LINES = 20_000
SEED = 20261122
FIRST_GTIN = 3_850_000_000_000
SYLLABLES = ("ka", "fa", "mle", "ko", "jo", "gurt", "hle", "pi", "vo", "so", "ke", "sa", "bom", "bo", "če", "šlji")


def run() -> Report:
    dice = Random(SEED)
    words = sorted({"".join(dice.choices(SYLLABLES, k=dice.randrange(2, 5))) for _ in range(3_000)})
    lines = [_line(dice, words) for _ in range(LINES)]
    document = item_map_json(_map(dice, words, MAX_ENTRIES))
    started = time.process_time()
    matcher = ItemMatcher(item_map_from_json(document))
    ready_s = time.process_time() - started
    many, few = _line_us(matcher, lines), _line_us(ItemMatcher(_map(dice, words, FEW)), lines)
    with disk_folder() as folder:
        machine = measured(folder)
    return Report(
        name="items",
        figures={
            "entries": MAX_ENTRIES,
            "map_bytes": len(document),
            "ready_s": rounded(ready_s),
            "line_us": rounded(many),
            "line_us_of_100_entries": rounded(few),
            "mapped_of_1000": sum(1 for line in lines if matcher.of(line)) * 1000 // LINES,
        },
        machine=machine,
    )


def _map(dice: Random, words: list[str], count: int) -> ItemMap:
    def entry(number: int) -> ItemEntry:
        match number % 4:
            case 0:
                return ItemEntry(gtin=(str(FIRST_GTIN + number),), category="by gtin")
            case 1:
                return ItemEntry(sku=(str(number),), category="by sku")
            case 2:
                return ItemEntry(name=(f"{dice.choice(words)} {dice.choice(words)} 1l",), category="by name")
            case _:
                return ItemEntry(name=(f"*{dice.choice(words)} {dice.choice(words)}*",), category="by pattern")

    return ItemMap(items=tuple(map(entry, range(count))))


def _line(dice: Random, words: list[str]) -> Line:
    return Line(
        position=1,
        amount_minor=100,
        description=f"{dice.choice(words)} {dice.choice(words)} {dice.choice(words)} 1L".upper(),
        sku=str(dice.randrange(2 * MAX_ENTRIES)),
        gtin=str(FIRST_GTIN + dice.randrange(4 * MAX_ENTRIES)),
        tax_labels=("Ђ",),
    )


def _line_us(matcher: ItemMatcher, lines: list[Line]) -> float:
    started = time.process_time()
    for line in lines:
        matcher.of(line)
    return (time.process_time() - started) / len(lines) * 1_000_000
