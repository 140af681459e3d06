"""What an item map may say, its one form, and the three ways to write it down."""

from __future__ import annotations

import msgspec
import pytest

from loyalty.item_map import (
    MAX_ENTRIES,
    MAX_PATTERN_CHARS,
    MAX_RANGES,
    MAX_WARNINGS,
    ItemEntry,
    ItemMap,
    ItemMapError,
    checked,
    item_map_from_json,
    item_map_from_values,
    item_map_hash,
    item_map_json,
    kinds_given,
    warnings_of,
)
from loyalty.item_map_file import MAX_FILE_BYTES, ReadItemMap, item_map_from_file, item_map_toml

BAG = ItemEntry(name=("*kesa*",), tax_label=("Ђ",), kind="fee", category="bags")
MILK = ItemEntry(gtin=("3850012345678",), sku=("1001",), category="dairy", tags=("bio", "local"))
BOTH = ItemMap(items=(BAG, MILK))


def test_the_one_form_leaves_defaults_out_and_comes_back() -> None:
    document = item_map_json(BOTH)

    assert (
        document
        == (
            '{"items":[{"category":"bags","kind":"fee","name":["*kesa*"],"tax_label":["Ђ"]},'
            '{"category":"dairy","gtin":["3850012345678"],"sku":["1001"],"tags":["bio","local"]}]}'
        ).encode()
    )
    assert item_map_from_json(document) == BOTH
    assert item_map_hash(document) != item_map_hash(item_map_json(ItemMap(items=(MILK, BAG))))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"kind": "fee"}, "entry 1: it has no condition; give it one of name, sku, gtin, .*, department"),
        ({"sku": ["1"]}, "entry 1: it gives nothing"),
        ({"sku": [" "], "kind": "fee"}, r"\$.items\[0\].sku\[0\]"),
        ({"sku": ["1"], "kind": "goods", "colour": "red"}, "colour"),
        ({"sku": ["1"], "kind": "bottle"}, r"kind"),
        ({"gtin": ["385"], "kind": "fee"}, r"gtin\[0\]"),
        ({"gtin": ["3.85E+12"], "kind": "fee"}, r"gtin\[0\]"),
        ({"gtin_range": [["3850012345699", "3850012345600"]], "kind": "fee"}, "lower end first"),
        ({"name": ["***"], "kind": "fee"}, "no letter or digit"),
        ({"name": ["%!"], "kind": "fee"}, "no letter or digit"),
        ({"name": ["*tv*"], "kind": "fee"}, r"3 letters together .*: write '\* tv \*' for the word, 'tv\*' for"),
        ({"name": ["a" * (MAX_PATTERN_CHARS + 1)], "kind": "fee"}, r"name\[0\]"),
        ({"name": ["(a+)+$"] * 2_000, "kind": "fee"}, "name"),
    ],
)
def test_an_entry_that_cannot_be_used_is_named(entry: dict[str, object], words: str) -> None:
    with pytest.raises(ItemMapError, match=words):
        item_map_from_json(msgspec.json.encode({"items": [entry]}))
    with pytest.raises(ItemMapError, match=words):
        item_map_from_values({"items": [entry]})


@pytest.mark.parametrize(
    "document", [b"", b"{", b"[]", b"{}", b'{"items":{}}', b'{"items":[],"later":1}', b"\xff", b"[" * 9999]
)
def test_what_is_no_map_is_refused(document: bytes) -> None:
    with pytest.raises(ItemMapError, match=r"correct it|not JSON: .*"):
        item_map_from_json(document)


def test_a_map_has_limits() -> None:
    one = {"sku": ["1"], "kind": "fee"}
    with pytest.raises(ItemMapError, match="items"):
        item_map_from_values({"items": [one] * (MAX_ENTRIES + 1)})
    ranged = {"gtin_range": [["2000000000000", "2999999999999"]] * (MAX_RANGES + 1), "kind": "fee"}
    with pytest.raises(ItemMapError, match="GTIN ranges"):
        item_map_from_values({"items": [ranged]})
    one_gtin = [["2000000000000", "2000000000000"]]
    assert item_map_from_values({"items": [{"gtin_range": one_gtin * MAX_RANGES, "kind": "fee"}]}).items
    wide = {"sku": [f"{n:064}" for n in range(1_000)], "kind": "fee"}
    with pytest.raises(ItemMapError, match="bytes"):
        item_map_from_values({"items": [wide] * 120})


def test_what_is_probably_not_meant_is_told() -> None:
    again = ItemEntry(sku=("1001",), gtin=("3850012345678",), kind="deposit")
    typo = ItemEntry(gtin=("3850012345679",), kind="fee")

    assert warnings_of(BOTH) == ()
    assert warnings_of(ItemMap(items=(MILK, again, typo))) == (
        "entry 2 has the conditions of entry 1, whose kind and category come first",
        "entry 3: the check digit of gtin 3850012345679 is wrong",
    )
    many = warnings_of(ItemMap(items=(MILK,) * 100))
    assert len(many) == MAX_WARNINGS + 1
    assert many[-1] == "and 79 more of the kind"
    assert len(warnings_of(ItemMap(items=(MILK,) * (MAX_WARNINGS + 1)))) == MAX_WARNINGS


def test_kinds_are_counted() -> None:
    assert kinds_given(ItemMap(items=(BAG, BAG, MILK))) == {"fee": 2}


@pytest.mark.parametrize(
    "content",
    [
        item_map_json(BOTH),
        item_map_toml(BOTH).encode(),
        b"\n# a remark\n" + item_map_toml(BOTH).encode(),
        b"\n" + item_map_json(BOTH),
        "name,tax_label,gtin,sku,kind,category,tags\n*kesa*,Ђ,,,fee,bags,\n,,3850012345678,1001,,dairy,bio|local\n".encode(),
        (
            '\ufeffNAME;Tax_Label;gtin;sku;kind;category;tags\r\n"*kesa*";Ђ;;;fee;bags;\r\n'
            ";;3850012345678;1001;;dairy; bio | local\r\n"
        ).encode(),
    ],
    ids=["json", "toml", "toml with a remark", "json after an empty line", "csv", "csv of a spreadsheet"],
)
def test_three_ways_to_write_one_map(content: bytes) -> None:
    assert item_map_from_file(content) == ReadItemMap(item_map=BOTH)


def test_a_map_that_was_shown_can_be_published_again() -> None:
    shown = item_map_toml(BOTH)

    assert shown.count("\n\n") == 1
    assert item_map_from_file(shown.encode()) == ReadItemMap(item_map=BOTH)


def test_a_row_may_end_early_and_a_cell_hold_what_stands_between_columns_elsewhere() -> None:
    read = item_map_from_file(b"name,kind,category,tags\n't hoentje,fee\nbrood,goods,a;b\n")

    assert read.item_map.items == (
        ItemEntry(name=("'t hoentje",), kind="fee"),
        ItemEntry(name=("brood",), kind="goods", category="a;b"),
    )


def test_a_range_and_several_values_in_a_cell() -> None:
    read = item_map_from_file(
        b"gtin_range,gtin_prefix,kind\n2000000000000-2099999999999|21000000-21999999,,deposit\n,385|387,fee\n"
    )

    assert read.item_map.items == (
        ItemEntry(gtin_range=(("2000000000000", "2099999999999"), ("21000000", "21999999")), kind="deposit"),
        ItemEntry(gtin_prefix=("385", "387"), kind="fee"),
    )


def test_a_report_that_was_filled_in_is_a_map() -> None:
    report = (
        "name,sku,kind,category,tags,lines,turnover_minor,currency,last_seen\n"
        "'=KESA,7,fee,,,12,99000,RSD,x\nHLEB,8,,,,3,100,RSD,x\n,,,,,,,,\n"
    )

    assert item_map_from_file(report.encode()) == ReadItemMap(
        item_map=ItemMap(items=(ItemEntry(name=("=KESA",), sku=("7",), kind="fee"),)), unfilled=1
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty.*`items = "),
        (b"\xef\xbb\xbf\r\n \r\n", "empty"),
        (b"name,colour\nx,y\n", "'colour'.* name, sku, gtin, .*, tags at most once"),
        (b"name,name,kind\nx,y,fee\n", "'name'"),
        (b"sku,kind\n1,fee,more\n", "line 2"),
        (b"sku,kind\n1,\n2,fee|tip\n", "line 3: .*kind"),
        (b"gtin_range,kind\n20000000,fee\n", "line 2: .*gtin_range"),
        (b"gtin,kind\n3.85E+12,fee\n", "line 2: .*gtin"),
        (b"items = [\n", "not TOML"),
        ("sku,kind\nČ,fee\n".encode("cp1250"), "not UTF-8"),
        (b'sku,kind\n"1' + b"x" * 200_000 + b'",fee\n', "line"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(content: bytes, words: str) -> None:
    with pytest.raises(ItemMapError, match=words):
        item_map_from_file(content)


def test_an_empty_map_ends_the_one_before() -> None:
    assert item_map_from_file(item_map_toml(ItemMap(items=())).encode()).item_map == ItemMap(items=())
    assert item_map_from_file(b"sku,kind\n").item_map == ItemMap(items=())


def test_more_entries_than_a_register_looks_up_are_refused() -> None:
    entries = tuple(ItemEntry(sku=(str(number),), category="c") for number in range(MAX_ENTRIES + 1))

    with pytest.raises(ItemMapError, match=f"at most {MAX_ENTRIES}"):
        checked(ItemMap(items=entries))
    assert checked(ItemMap(items=entries[1:])).items == entries[1:]


def test_a_file_that_is_too_large_is_not_read() -> None:
    with pytest.raises(ItemMapError, match=f"more than {MAX_FILE_BYTES} bytes"):
        item_map_from_file(b"{" + b" " * MAX_FILE_BYTES)
    assert item_map_from_file(item_map_json(BOTH).ljust(MAX_FILE_BYTES)).item_map == BOTH
