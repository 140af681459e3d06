"""What a map says of a line, whatever index it was found by; and what becomes of a receipt by it."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from loyalty.evaluate import evaluate
from loyalty.identity import identified, same_content
from loyalty.item_map import ItemEntry, ItemMap, ItemMapError, item_map_from_json, item_map_hash, item_map_json
from loyalty.item_matching import MAX_ALIKE, ItemMatcher, _facts, as_sold, mapped
from loyalty.item_names import edged, normal_name, pattern_of
from loyalty.program import Program, program_from_json
from loyalty.receipt import Line, Mapped, Receipt
from loyalty.returns import Settled
from loyalty.sightings import filled, revised, sighting_of
from tests.loyalty.receipts import earning_minor, refund, sale

PROGRAM: Program = program_from_json(
    b'{"program":"p","currency":"EUR","earn":[{"id":"base","give":{"points":1,"per_minor":1}}]}'
)


def line(description: str = "", **facts: Any) -> Line:
    return Line(position=1, amount_minor=100, description=description or UNSET, **facts)


def matcher(*entries: ItemEntry) -> ItemMatcher:
    return ItemMatcher(ItemMap(items=entries))


def says(entry: ItemEntry, of: Line) -> Mapped | UnsetType:
    return matcher(entry).of(of)


FEE = Mapped(kind="fee")


@pytest.mark.parametrize(
    ("conditions", "fits", "does_not"),
    [
        ({"sku": ("1001",)}, line(sku=" 1001 "), line(sku="01001")),
        ({"gtin": ("0036000291452",)}, line(gtin="036000291452"), line(gtin="36000291")),
        ({"gtin": ("36000291",)}, line(gtin="00000036000291"), line(gtin="not a gtin")),
        ({"sku": ("1",), "gtin": ("36000291",)}, line(sku="1", gtin="36000291"), line(sku="1", gtin="96385074")),
        ({"gtin_prefix": ("385",)}, line(gtin="03850012345678"), line(gtin="0385012345670")),
        ({"gtin_range": (("2000000000000", "2099999999999"),)}, line(gtin="2099999999999"), line(gtin="2100000000000")),
        ({"gtin_range": (("2000000000000", "2099999999999"),)}, line(gtin="2000000000000"), line()),
        ({"tax_label": ("Ђ",)}, line(tax_labels=("E", "Đ")), line(tax_labels=("E",))),
        ({"tax_label": ("*",)}, line(tax_labels=("*",)), line(tax_labels=("A",))),
        ({"department": ("Pića",)}, line(department="ПИЋА"), line(department="HRANA")),
        ({"name": ("*kesa*",)}, line("НОСИВА КЕСА"), line("KES")),
        ({"name": ("kesa",)}, line("KESA"), line("VELIKA KESA")),
        ({"name": ("*kesa*", "vreća")}, line("VREĆA"), line("VREĆE")),
        # all conditions together
        ({"name": ("*kesa*",), "tax_label": ("A",)}, line("KESA", tax_labels=("A",)), line("KESA", tax_labels=("B",))),
        ({"name": ("kesa",), "sku": ("7",)}, line("KESA", sku="7"), line("KESA")),
        ({"name": ("kesa",), "sku": ("7",)}, line("KESA", sku="7"), line("HLEB", sku="7")),
        ({"name": ("*kesa*",), "sku": ("7",)}, line("NOSIVA KESA", sku="7"), line("HLEB", sku="7")),
        ({"sku": ("7",), "gtin": ("36000291",)}, line(sku="7", gtin="36000291"), line(sku="7", gtin="96385074")),
        (
            {"gtin_prefix": ("385",), "sku": ("7",)},
            line(gtin="3850012345678", sku="7"),
            line(gtin="385001234567X", sku="7"),
        ),
        (
            {"gtin_prefix": ("385",), "department": ("1",)},
            line(gtin="3850012345678", department="1"),
            line(department="1"),
        ),
        (
            {"gtin_range": (("20000000", "29999999"),), "sku": ("7",)},
            line(gtin="25000000", sku="7"),
            line(gtin="25000000"),
        ),
    ],
)
def test_an_entry_matches_by_each_of_its_conditions(conditions: dict[str, Any], fits: Line, does_not: Line) -> None:
    entry = ItemEntry(kind="fee", **conditions)

    assert says(entry, fits) == FEE
    assert says(entry, does_not) is UNSET
    assert says(entry, line()) is UNSET


def test_the_first_entry_that_says_it_gives_kind_and_category_and_all_give_tags() -> None:
    entries = (
        ItemEntry(name=("*jogurt*",), category="yoghurt", tags=("cold",)),
        ItemEntry(department=("12",), category="dairy", tags=("fresh", "cold")),
        ItemEntry(sku=("7",), kind="deposit", category="never"),
        ItemEntry(tax_label=("A",), kind="fee", tags=("a",)),
    )
    of = line("VOĆNI JOGURT", department="12", sku="7", tax_labels=("A",))

    assert matcher(*entries).of(of) == Mapped(kind="deposit", category="yoghurt", tags=("cold", "fresh", "a"))
    assert matcher(*reversed(entries)).of(of) == Mapped(kind="fee", category="never", tags=("a", "fresh", "cold"))


WORDS = ("mleko", "sir", "pivo", "1l", "kesa", "bio")
NAMES = st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join)
LINES = st.builds(
    line,
    NAMES,
    sku=st.sampled_from(["1", "2", UNSET]),
    gtin=st.sampled_from(["3850012345678", "20000011", "2000000000000", "x", UNSET]),
    department=st.sampled_from(["1", "Pića", UNSET]),
    tax_labels=st.sampled_from([(), ("A",), ("A", "Ђ")]),
)
PATTERNS = st.sampled_from(["mleko*", "*sir*", "* bio *", "pivo 1l", "mleko", "*esa", "mle* 1l"])
ENTRIES = st.builds(
    ItemEntry,
    name=st.lists(PATTERNS, max_size=2).map(tuple),
    sku=st.sampled_from([(), (), ("1",), ("1", "2")]),
    gtin=st.sampled_from([(), (), ("3850012345678", "20000011")]),
    gtin_prefix=st.sampled_from([(), (), ("385",), ("2",)]),
    gtin_range=st.sampled_from([(), (), (("20000000", "29999999"),)]),
    tax_label=st.sampled_from([(), ("A",), ("Đ",)]),
    department=st.sampled_from([(), ("1",), ("piça",), ("PICA",)]),
    kind=st.sampled_from([UNSET, "fee", "deposit"]),
    category=st.sampled_from([UNSET, "x", "y"]),
    tags=st.sampled_from([("t",), ("u", "t")]),
).filter(lambda entry: any(entry.conditions))


def one_by_one(entries: list[ItemEntry], of: Line) -> Mapped | UnsetType:
    """The same without any index: each entry by itself, then the results in their order."""
    found = [said for entry in entries if (said := matcher(entry).of(of))]
    if not found:
        return UNSET
    return Mapped(
        kind=next((one.kind for one in found if one.kind), UNSET),
        category=next((one.category for one in found if one.category), UNSET),
        tags=tuple(dict.fromkeys(tag for one in found for tag in one.tags)),
    )


@given(st.lists(ENTRIES, max_size=8), LINES)
def test_many_entries_say_what_each_says_by_itself(entries: list[ItemEntry], of: Line) -> None:
    assert matcher(*entries).of(of) == one_by_one(entries, of)


@given(st.lists(ENTRIES, max_size=6), st.lists(LINES, max_size=4))
def test_mapping_again_changes_nothing_and_another_map_leaves_no_trace(
    entries: list[ItemEntry], lines: list[Line]
) -> None:
    plain = sale("1", lines=tuple(lines))
    first, other = matcher(*entries), matcher(ItemEntry(sku=("1",), kind="tip"))

    once = mapped(plain, first)

    assert mapped(once, first) is once
    assert mapped(mapped(once, other), first) == once
    assert mapped(once, None) == plain
    # and a map that went over the wire is the same map
    again = ItemMatcher(item_map_from_json(item_map_json(ItemMap(items=tuple(entries)))))
    assert mapped(plain, again) == once


@given(st.lists(LINES, min_size=1, max_size=3))
def test_what_was_printed_and_who_it_is_stay(lines: list[Line]) -> None:
    plain = identified(sale("1", lines=tuple(lines)), b"job")

    after = mapped(plain, matcher(ItemEntry(name=("*mleko*",), kind="tip"), ItemEntry(department=("1",), tags=("t",))))

    assert [replace(each, mapped=UNSET) for each in after.lines] == list(plain.lines)
    assert (identified(replace(after, problems=()), b"job").key, after.also) == (plain.key, plain.also)
    assert same_content(plain, after)
    assert sighting_of(plain, after) == sighting_of(after, plain) == "same"
    assert filled(plain, after) is plain
    assert filled(after, plain) is after


def test_what_stands_behind_an_entry_of_ranges_counts_too() -> None:
    ranged = ItemEntry(gtin_range=(("20000000", "29999999"),), kind="fee")

    assert matcher(ranged, ItemEntry(sku=("7",), category="x")).of(line(sku="7")) == Mapped(category="x")


def test_a_map_made_ready_is_called_by_the_hash_of_its_one_form() -> None:
    item_map = ItemMap(items=(ItemEntry(sku=("7",), kind="fee"),))

    assert ItemMatcher(item_map).hash == item_map_hash(item_map_json(item_map))
    assert ItemMatcher(item_map, "known").hash == "known"
    assert ItemMatcher(item_map).item_map is item_map


def test_a_receipt_says_which_map_and_only_where_there_was_something_to_map() -> None:
    fees = matcher(ItemEntry(name=("kesa",), kind="fee"))
    bag = sale("1", lines=(line("KESA"), line("HLEB")))

    after = mapped(bag, fees)

    assert (after.item_map, after.lines[0].mapped, after.lines[1].mapped) == (fees.hash, FEE, UNSET)
    assert mapped(replace(bag, lines=()), fees).item_map is UNSET


def test_lines_that_come_later_bring_their_map() -> None:
    fees = matcher(ItemEntry(name=("kesa",), kind="fee"))
    text = mapped(sale("1", lines=(line("KESA"),)), fees)
    code = replace(text, lines=(), item_map=UNSET)

    assert filled(code, text).item_map == fees.hash
    assert revised(replace(code, status="suspended"), text).item_map == fees.hash
    assert revised(replace(text, status="suspended"), code).item_map == fees.hash


@pytest.mark.parametrize("kind", ["deposit", "giftcard", "tip", "fee", "donation"])
def test_what_the_map_says_is_no_goods_earns_nothing(kind: Any) -> None:
    lines = (Line(position=1, amount_minor=1000, sku="1"), Line(position=2, amount_minor=250, sku="2"))
    other = matcher(ItemEntry(sku=("2",), kind=kind))

    after = mapped(sale("1", lines=lines), other)

    assert earning_minor(after) == 1000
    assert [entry.points for entry in evaluate(after, program=PROGRAM)] == [1000]


def test_the_map_corrects_what_a_reader_guessed() -> None:
    guessed = Line(position=1, amount_minor=250, sku="2", kind="tip")

    after = mapped(sale("1", lines=(guessed,)), matcher(ItemEntry(sku=("2",), kind="goods")))

    assert earning_minor(after) == 250
    assert after.lines[0].kind == "tip"


@pytest.mark.parametrize("later", [True, False])
def test_what_comes_back_is_judged_as_it_was_sold(later: bool) -> None:
    # given goods that one map calls a deposit and the other does not, sold under one and returned under the other
    deposit, nothing = matcher(ItemEntry(sku=("2",), kind="deposit")), matcher()
    at_sale, at_return = (nothing, deposit) if later else (deposit, nothing)
    both = (Line(position=1, amount_minor=1000, sku="1"), Line(position=2, amount_minor=250, sku="2"))
    back = tuple(replace(each, amount_minor=-each.amount_minor) for each in both)
    sold = mapped(sale("1", lines=both), at_sale)
    returned = mapped(replace(refund("2", "1", 1250), lines=back), at_return)

    # when all of it comes back, or only those goods
    earned = evaluate(sold, program=PROGRAM)
    taken = evaluate(returned, program=PROGRAM, original=Settled(receipt=sold, entries=earned))
    part = replace(returned, lines=returned.lines[1:], total_minor=-250)
    of_part = evaluate(part, program=PROGRAM, original=Settled(receipt=sold, entries=earned))

    # then all of it is taken back, exactly, and of the part what it gave
    assert sum(entry.points for entry in (*earned, *taken)) == 0
    assert sum(entry.points for entry in of_part) == (-250 if later else 0)
    assert as_sold(as_sold(returned, sold), sold) == as_sold(returned, sold)


def test_goods_that_come_back_are_what_the_first_line_of_them_was_when_they_were_sold() -> None:
    # given bread, of which a line was voided, sold with tags and a tax label, and told apart by SKU or GTIN
    sold = sale(
        "1",
        lines=(
            line("HLEB", sku="1", tags=("voided",), voided=True),
            line("HLEB", sku="1", tags=("bio",), tax_labels=("A",), kind="deposit", mapped=Mapped(category="bread")),
            line("HLEB", sku="1", tags=("second",)),
            line("HLEB", sku="2", tags=("dry",)),
            line("HLEB", gtin="96385074", tags=("sliced",)),
        ),
    )

    # when it comes back without them
    back = as_sold(
        replace(
            refund("2", "1", 300), lines=(line("Hleb", sku="1"), line("hleb", sku="2"), line("HLEB", gtin="20000011"))
        ),
        sold,
    )

    # then it is what it was, and what was not sold there stays what it is
    assert [(each.tags, each.tax_labels, each.kind, each.mapped) for each in back.lines] == [
        (("bio",), ("A",), "deposit", Mapped(category="bread")),
        (("dry",), (), "goods", UNSET),
        ((), (), "goods", UNSET),
    ]


def test_lines_that_say_nothing_of_their_goods_share_what_the_map_says_alone() -> None:
    bread, milk = Mapped(category="bread"), Mapped(category="milk")
    sold = sale(
        "1",
        lines=(
            line(tags=("bio",), mapped=bread),
            line(department="2", mapped=milk),
            line(department="2", tax_labels=("A",)),
        ),
    )

    # goods of a department come back as that department's, and not as the first without a name
    returned = (line(tags=("own",)), line(department="2"), line(department="3", mapped=milk))
    back = as_sold(replace(refund("2", "1", 300), lines=returned), sold)

    assert [(each.tags, each.mapped) for each in back.lines] == [(("own",), bread), ((), milk), ((), milk)]


def test_goods_that_were_not_sold_there_keep_their_own() -> None:
    returned = mapped(
        replace(refund("2", "1", 100), lines=(line("KESA"),)), matcher(ItemEntry(name=("kesa",), kind="fee"))
    )

    assert as_sold(returned, sale("1", lines=(line("HLEB"),))) is returned


def test_too_many_entries_for_one_text_are_refused() -> None:
    entries = [ItemEntry(sku=("7",), name=(f"thing {n}",), category="x") for n in range(MAX_ALIKE + 1)]

    ItemMatcher(ItemMap(items=tuple(entries[:-1])))
    with pytest.raises(
        ItemMapError, match=f"'7'.*entry {MAX_ALIKE + 1}; name the goods by SKU or GTIN, or by longer names$"
    ):
        ItemMatcher(ItemMap(items=tuple(entries)))


def test_a_large_map_looks_at_few_entries_a_line() -> None:
    # given entries by GTIN, SKU, whole name and pattern
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    words = [f"{''.join(rng.choices('abcdefghijklmnoprstuvz', k=6))}" for _ in range(300)]
    two = [f"{rng.choice(words)} {rng.choice(words)}" for _ in range(4_000)]
    entries = [
        *(ItemEntry(gtin=(str(3850000000000 + n),), category="a") for n in range(2_000)),
        *(ItemEntry(sku=(str(n),), category="b") for n in range(2_000)),
        *(ItemEntry(name=(f"{name} 1l",), category="c") for name in two[:2_000]),
        *(ItemEntry(name=(f"{name}*",), category="d") for name in two[2_000:]),
    ]
    large = matcher(*entries)
    lines = [line(f"{rng.choice(two)} 1L", gtin=str(3850000000000 + rng.randrange(4_000))) for _ in range(500)]

    # when lines are looked up
    looked_at = [len(large._candidates(_facts(each))) for each in lines]

    # then a handful is looked at, and what is found is what is there
    assert max(looked_at) < 40
    patterns = [pattern_of(entry.name[0]) for entry in entries if entry.name]
    for each in lines[:20]:
        named = any(pattern.matches(edged(normal_name(each.description or ""))) for pattern in patterns)
        assert bool(large.of(each)) == (named or int(each.gtin or 0) < 3850000002000)


def test_absent_keys_stay_absent() -> None:
    plain = sale("1", 100)

    assert plain.lines[0].counts_as == "goods"
    assert b"mapped" not in encoded(plain)
    assert b"item_map" not in encoded(plain)
    assert b"department" not in encoded(plain)
    assert b'"mapped":{"kind":"fee"}' in encoded(
        mapped(sale("1", lines=(line("KESA"),)), matcher(ItemEntry(name=("kesa",), kind="fee")))
    )


def encoded(receipt: Receipt) -> bytes:
    return msgspec.json.encode(receipt)
