"""Templates: their checks, their published schema, their pattern language, and the reader of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.receipts.layout import reader_of
from drivers.receipts.port import DecodeOptions, Lines, PrintedJob, TextLine
from drivers.receipts.shapes import Notation, ShapeError, compiled_shape
from drivers.receipts.template import (
    MAX_TEMPLATE_BYTES,
    SHAPE_FIELDS,
    TemplateError,
    content_hash,
    merged,
    schema,
    template_from,
)
from drivers.receipts.template_files import SHIPPED, load_template, shipped, shipped_text
from drivers.receipts.wording import plain
from loyalty.receipt import Receipt

ROOT = Path(__file__).parents[3]
# An invented till: quantity behind the name, columns, an own word for everything.
TEMPLATE = """
name = "kvark"
language = "en"
currency = "EUR"
decimal_mark = ","
dates = ["dd/mm/yy"]
[recognise]
all = ["KVARKOMAT"]
[head]
lines = [["Chit  Day      Hour", "{number} {date} {time}"]]
[items]
begin = ["Ware"]
lines = ["{name:14}{quantity:5}{price:8}{amount:9}"]
void = ["Oops"]
[discounts]
words = ["Less"]
of = "line"
[total]
lines = ["Altogether ({count} wares) {amount}"]
[taxes]
lines = ["{label} = {rate}% {net} {tax} {gross}"]
[tenders]
cash = ["Coins"]
[change]
words = ["Yours again"]
"""
PAPER = """\
     KVARKOMAT 7
Chit  Day      Hour
0815  22/11/26 9.07

Ware           Qty   Price   Amount
Bread 500 g      2    1,50     3,00
Tea              1    2,20     2,20
Less 10%                      -0,30
Nails 3 x 40     1    4,00     4,00
Oops Nails 3 x 40             -4,00
-----------------------------------
Altogether (3 wares)           4,90
A = 20,00%  4,08  0,82  4,90
Coins                          5,00
Yours again                    0,10
"""


def job(text: str) -> PrintedJob:
    return PrintedJob(lines=Lines.of(TextLine(text=line, start=0, end=1) for line in text.splitlines()))


def read(text: str, template: str = TEMPLATE) -> Receipt:
    reader = reader_of(template_from(template.encode(), "kvark.toml"))
    (found,) = reader.find(job(text))
    assert (found.first, found.last) == (0, len(text.splitlines()))
    return reader.read(job(text), DecodeOptions(time_zone="Europe/Vienna"))


def test_an_invented_layout_gives_all_its_facts() -> None:
    receipt = read(PAPER)
    assert receipt.number == "0815"
    assert receipt.issued_at
    assert receipt.issued_at.isoformat() == "2026-11-22T09:07:00+01:00"
    assert [(line.description, line.quantity, line.amount_minor, line.voided) for line in receipt.lines] == [
        ("Bread 500 g", "2", 300, False),
        ("Tea", "1", 190, False),
        ("Nails 3 x 40", "1", 400, True),
    ]
    assert receipt.lines[1].discount_minor == 30
    assert (receipt.total_minor, receipt.change_minor, receipt.currency) == (490, 10, "EUR")
    assert [(tax.label, tax.rate, tax.amount_minor) for tax in receipt.taxes] == [("A", "20.00", 82)]
    assert [(tender.kind, tender.amount_minor) for tender in receipt.tenders] == [("cash", 500)]


def test_paper_without_the_words_of_a_layout_is_not_its_own() -> None:
    reader = reader_of(template_from(TEMPLATE.encode(), "kvark.toml"))
    assert reader.find(job(PAPER.replace("KVARKOMAT", "SOMEBODY"))) == []


def test_a_line_has_the_shape_whose_arithmetic_holds() -> None:
    # given names that end in numbers, above lines of quantity and price
    receipt = read(
        PAPER.replace("Tea              1    2,20     2,20", "Tea 2 x 9\n  1 x 2,20  2,20"),
        TEMPLATE.replace(
            'lines = ["{name:14}{quantity:5}{price:8}{amount:9}"]',
            """lines = ["{name} {amount}", "{name} {quantity} {price} {amount}",
              ["{name}", "{quantity} x {price} {amount}"]]""",
        ),
    )
    assert [line.description for line in receipt.lines] == ["Bread 500 g", "Tea 2 x 9", "Nails 3 x 40"]


AMOUNTS_FIRST = """
name = "lavke"
currency = "EUR"
decimal_mark = "."
dates = ["dd/mm/yyyy"]
[recognise]
all = ["ORTANA LAVKE"]
[labels]
original = ["REPORTA il Kvitu"]
[marks]
returned = ["REPORTA"]
[head]
lines = ["Kvitu {number} {date} {time}"]
[items]
lines = ["{amount} {quantity} x {price} {name} {label}"]
[total]
lines = ["{amount} TOTAU"]
[change]
lines = ["{amount} Retur"]
[tenders]
cash = ["Monetu"]
"""
AMOUNTS_FIRST_SALE = """ORTANA LAVKE
Kvitu 31-17   27/11/2026 09:12
 11.80 2 x 5.90 Pan sera K
 11.80 TOTAU
 20.00 Monetu
  8.20 Retur
"""
AMOUNTS_FIRST_RETURN = """ORTANA LAVKE
REPORTA il Kvitu 31-17
Kvitu 31-20   27/11/2026 09:31
 -5.90 -1 x 5.90 Pan sera K
 -5.90 TOTAU
 -5.90 Monetu
"""


def test_payments_may_stand_behind_their_amounts() -> None:
    receipt = read(AMOUNTS_FIRST_SALE, AMOUNTS_FIRST)
    assert [(tender.kind, tender.amount_minor) for tender in receipt.tenders] == [("cash", 2000)]
    assert (receipt.kind, receipt.total_minor, receipt.change_minor) == ("sale", 1180, 820)


GREEK = """
name = "greek"
decimal_mark = ","
spaced_thousands = true
amounts = "before"
currency = "EUR"
[items]
lines = ["{quantity} x {price} {name} {amount}", "{name} {amount}"]
void = ["ΑΚΥΡΩΣΗ"]
[marks]
copy = ["ΑΝΤΙΓΡΑΦΟ"]
[total]
words = ["ΣΥΝΟΛΟ"]
[tenders]
cash = ["ΜΕΤΡΗΤΑ"]
card = ["ΚΑΡΤΑ"]
"""


def test_amounts_may_stand_before_words_of_any_alphabet() -> None:
    # given paper whose amounts come first, in letters that have no Latin form
    paper = """\
ΠΑΝΤΟΠΩΛΕΙΟ
22.11.2026 10:15
   3 000,00  2 x 1 500,00 ΨΩΜΙ
       4,20  ΓΑΛΑ
      -4,20  ΑΚΥΡΩΣΗ ΓΑΛΑ
   3 000,00  ΣΥΝΟΛΟ
   1 000,00  ΚΑΡΤΑ
   2 000,00  ΜΕΤΡΗΤΑ
"""
    receipt = read(paper, GREEK)
    # then a line is read as if its amount stood behind, and no word is taken for another
    bread, milk = receipt.lines
    assert (bread.description, bread.quantity, bread.unit_price, bread.amount_minor) == ("ΨΩΜΙ", "2", "1500.00", 300000)
    assert (milk.description, milk.voided, receipt.total_minor, receipt.status) == ("ΓΑΛΑ", True, 300000, "final")
    assert [(tender.kind, tender.amount_minor) for tender in receipt.tenders] == [("card", 100000), ("cash", 200000)]
    assert read(paper.replace("22.11", "ΑΝΤΙΓΡΑΦΟ\n22.11"), GREEK).status == "copy"


def test_dots_that_lead_to_an_amount_are_spaces() -> None:
    paper = (
        "SHOP\n22.11.2026 10:15\nTea 2x1,50..... 3,00 *A\nBread... 1,00 B*\nTOTAL........ 4,00\nCASH: 2x2,00. 4,00\n"
    )
    template = """
name = "dots"
currency = "EUR"
decimal_mark = ","
[items]
lines = ["{name} {quantity} x {price} {amount} [{label}]", "{name}..... {amount} [{label}]"]
[total]
words = ["TOTAL"]
[tenders]
cash = ["CASH"]
"""
    receipt = read(paper, template)
    assert [(line.description, line.amount_minor, line.tax_labels) for line in receipt.lines] == [
        ("Tea", 300, ("A",)), ("Bread", 100, ("B",)),
    ]  # fmt: skip
    assert (receipt.lines[0].unit_price, receipt.total_minor) == ("1.50", 400)


def test_one_line_may_say_that_it_is_a_return_and_of_what() -> None:
    # given a mark of a return that also begins the label of the original, and lines that are positive all the same
    receipt = read(AMOUNTS_FIRST_RETURN.replace("-5.90", "5.90").replace("-1 x", "1 x"), AMOUNTS_FIRST)
    assert receipt.kind == "return"
    assert receipt.original
    assert (receipt.original.number, receipt.total_minor) == ("31-17", -590)


def test_a_total_below_zero_is_a_return_unless_something_is_sold_besides() -> None:
    unmarked = AMOUNTS_FIRST_RETURN.replace("REPORTA il Kvitu 31-17\n", "")
    assert read(unmarked, AMOUNTS_FIRST).kind == "return"
    mixed = unmarked.replace("-5.90 TOTAU", "2.50 1 x 2.50 Aqvu blu K\n -3.40 TOTAU")
    assert read(mixed, AMOUNTS_FIRST).kind == "sale"


def test_the_published_schema_is_that_of_the_types() -> None:
    assert (ROOT / "docs" / "template.schema.json").read_bytes() == schema()


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_templates_are_right(name: str) -> None:
    template = shipped(name)
    assert template.name == name
    assert template == load_template(name) == template_from(shipped_text(name).encode(), name)


def test_the_hash_is_of_what_is_said() -> None:
    said = template_from(TEMPLATE.encode(), "")
    commented = template_from(("# a comment\n" + TEMPLATE).encode(), "")
    changed = template_from(TEMPLATE.replace("Coins", "Coin").encode(), "")
    assert content_hash(said) == content_hash(commented) != content_hash(changed)


def test_several_templates_become_one() -> None:
    one = merged("both", [shipped("en"), shipped("de")])
    assert set(shipped("de").total.words) | set(shipped("en").total.words) == set(one.total.words)
    assert one.decimal_mark == "either"
    assert one.items.lines == shipped("en").items.lines


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("name = 'A B'", "name: expected str matching regex"),
        ("name = 'a'\n[total]\nwords = ['T']\nlines = ['{amounts}']\n[items]\nlines = ['{name} {amount}']",
         "[total] lines number 1: '{amounts}' has no field {amounts} here; did you mean {amount}?"),
        ("name = 'a'\n[total]\nwords = ['T']\n[items]\nlines = ['{name}']",
         "[items] lines number 1: it has no {amount}"),
        ("name = 'a'\n[total]\nwords = ['T']", "[items]: nothing says where it stands"),
        ("name = 'a'\n[totl]\n", "totl: no such key. Did you mean 'total'?"),
        ("name = 'a'\n[items]\nskips = []\n", "[items] skips: no such key. Did you mean 'skip'?"),
        ("name = 'a'\ndates = ['mm.mm.yyyy']\n", "dates number 1: 'mm.mm.yyyy' names a part twice"),
        ("name = ", "not TOML"),
        ("name = 'a'\nversion = 0", "version: expected int >= 1"),
        ("#" * (MAX_TEMPLATE_BYTES + 1), f"larger than {MAX_TEMPLATE_BYTES} bytes"),
    ],
)  # fmt: skip
def test_errors_name_the_place_and_the_remedy(wrong: str, said: str) -> None:
    with pytest.raises(TemplateError) as caught:
        template_from(wrong.encode(), "mine.toml")
    assert str(caught.value).startswith(f"mine.toml: {said}")


def test_a_file_that_is_not_there_says_which_are_shipped(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="en, de, sr, hr, sl"):
        load_template("nowhere.toml", tmp_path)


@pytest.mark.parametrize(
    ("written", "printed", "fields"),
    [
        ("{quantity} x {price} {name} {amount} [{label}]", "2x1.50 Bread  3.00 A",
         {"quantity": "2", "price": "1.50", "name": "Bread", "amount": "3.00", "label": "A"}),
        ("{quantity} x {price} {name} {amount} [{label}]", "0.532 kg × 2,99 EUR/kg  Bananas 1,59 €",
         {"quantity": "0.532 kg", "price": "2,99", "name": "Bananas", "amount": "1,59"}),
        ("[{count}] {name} {amount}", "7 Tea 1.00", {"count": "7", "name": "Tea", "amount": "1.00"}),
        ("Bon: {number}", "BON:4711", {"number": "4711"}),
        ("Süß {amount}", "  süß   1,00", {"amount": "1,00"}),
        ("{label} {rate}% {net} {tax}", "A 20,00 %  5,00 1,00",
         {"label": "A", "rate": "20,00", "net": "5,00", "tax": "1,00"}),
        ("Sum [[all]] {amount}", "SUM [ALL] 1.00", {"amount": "1.00"}),
        ("{name:8}{amount:8}", "Tea 2   1.00", {"name": "Tea 2", "amount": "1.00"}),
        ("{name} {amount}", "1.00", None),
        ("{name:8}{amount:8}", "Tea 2 and 1.00", None),
    ],
)  # fmt: skip
def test_shapes(written: str, printed: str, fields: dict[str, str] | None) -> None:
    allowed = {field for fields in SHAPE_FIELDS.values() for field in fields}
    (line,) = compiled_shape([written], allowed, Notation()).lines
    assert line.match(printed, plain(printed).rstrip()) == fields


@pytest.mark.parametrize(
    "wrong", ["{name", "{name} [{amount}", "{name} ]", "[a [b]]x]", "", "{name} {name}", "{text} {text} {text}"]
)
def test_shapes_that_mean_nothing(wrong: str) -> None:
    with pytest.raises(ShapeError):
        compiled_shape([wrong], ["name", "amount", "text"], Notation())
