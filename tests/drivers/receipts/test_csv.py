"""CSV files, and rows of any table, become receipts by a mapping; a bad row costs its own receipt."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import pytest
from msgspec import UNSET

from drivers.receipts.decode import Decoded, DecodeOptionsError, decode
from drivers.receipts.port import DecodeOptions
from drivers.receipts.row_mapping import MappingError, RowMapping, mapping_from
from drivers.receipts.row_receipts import MAX_ROWS_OF_RECEIPT, Row, cell_text, receipts_of
from loyalty.identity import key_of
from loyalty.receipt import Receipt

# A database's time has no zone.
AT = datetime.fromisoformat("2026-11-22T09:07:00")
LINES = """
delimiter = ";"
decimal_mark = ","
dates = ["dd.mm.yyyy"]
group = ["Racun"]
[constants]
store = "12"
register = "3"
currency = "EUR"
[receipt]
number = "Racun"
issued_at = ["Datum", "Vreme"]
kind = "Vrsta"
total = "Ukupno"
member = "Kartica"
[line]
description = "Artikl"
quantity = "Kol"
unit_price = "Cena"
amount = "Iznos"
gtin = "EAN"
[tender]
kind = "Placanje"
[values.kind]
P = "sale"
R = "return"
[values.tender]
KARTICA = "card"
GOTOVINA = "cash"
"""
UNNAMED = """
header = false
group = ["1"]
[receipt]
number = "1"
[line]
amount = "2"
"""
HEADER = "Racun;Datum;Vreme;Vrsta;Artikl;EAN;Kol;Cena;Iznos;Ukupno;Placanje;Kartica\r\n"
FIRST = (
    "1;22.11.2026;09:07;P;Čaj;3838800000015;2;2,50;5,00;1.005,84;KARTICA;2900\r\n"
    "1;22.11.2026;09:07;P;=1+1;;1;1.000,84;1.000,84;1.005,84;KARTICA;2900\r\n"
)
SECOND = "2;22.11.2026;09:09;R;Čaj;;1;2,50;2,50;2,50;GOTOVINA;\r\n"


def read(text: str, mapping: str = LINES, codec: str = "utf-8") -> Decoded:
    options = DecodeOptions(format="csv", mapping=mapping_from(mapping.encode(), "m.toml"), time_zone="Europe/Belgrade")
    return decode(text.encode(codec), options)


@pytest.mark.parametrize(
    ("document", "mapping"),
    [("", LINES), (HEADER, LINES), (f"{HEADER}\r\n \r\n", LINES), ("", UNNAMED), ("\n", UNNAMED), (" \n\n", UNNAMED)],
)
def test_a_file_without_rows_is_blank(document: str, mapping: str) -> None:
    # given the export of a day without sales, with its header or without one
    decoded = read(document, mapping)
    # then that is said, of all of it
    assert [(each.kind, each.start, each.end) for each in decoded.ignored] == [("blank", 0, len(document))]
    assert (decoded.receipts, decoded.problems) == ((), ())


@pytest.mark.parametrize(
    ("printed", "hour"),
    [("09:07", 9), ("9:07 AM", 9), ("9:07 PM", 21), ("9:07 p.m.", 21), ("12:07 am", 0), ("12:07:00 PM", 12)],
)
def test_a_time_may_be_of_twelve_hours(printed: str, hour: int) -> None:
    (receipt,) = read(HEADER + SECOND.replace("09:09", printed)).receipts
    assert receipt.issued_at == datetime.fromisoformat(f"2026-11-22T{hour:02}:07:00+01:00")


def test_one_row_a_line() -> None:
    decoded = read(HEADER + FIRST + SECOND)
    assert decoded.problems == ()
    sold, back = decoded.receipts
    assert sold.key == key_of("pos:12/3/2026-11-22/1")
    assert (sold.kind, sold.total_minor, sold.source, sold.problems) == ("sale", 100584, "csv", ())
    assert [(each.description, each.quantity, each.unit_price, each.amount_minor) for each in sold.lines] == [
        ("Čaj", "2", "2.50", 500),
        ("=1+1", "1", "1000.84", 100084),
    ]
    assert sold.lines[0].gtin == "3838800000015"
    assert sold.issued_at
    assert sold.issued_at.isoformat() == "2026-11-22T09:07:00+01:00"
    assert [(each.kind, each.amount_minor) for each in sold.tenders] == [("card", 100584)]
    assert sold.member
    assert sold.member.code == "2900"
    # everything on a return is negative, whatever is written
    assert (back.kind, back.total_minor, back.lines[0].amount_minor, back.lines[0].quantity) == (
        "return",
        -250,
        -250,
        "-1",
    )
    assert back.tenders[0].amount_minor == -250


def test_one_row_a_receipt_with_a_column_for_each_payment_and_tax() -> None:
    mapping = """
    [constants]
    currency = "EUR"
    [receipt]
    number = "no"
    total = "total"
    change = "change"
    [[tenders]]
    column = "cash"
    kind = "cash"
    [[tenders]]
    column = "card"
    kind = "card"
    [[taxes]]
    column = "vat25"
    label = "A"
    rate = "25.00"
    """
    decoded = read("no,total,cash,card,change,vat25\n7,12.50,20,,7.50,2.5\n8,3,,3,,\n", mapping)
    first, second = decoded.receipts
    assert ([each.amount_minor for each in first.tenders], first.change_minor) == ([2000], 750)
    assert [(each.label, each.rate, each.amount_minor) for each in first.taxes] == [("A", "25.00", 250)]
    assert [(each.kind, each.amount_minor) for each in second.tenders] == [("card", 300)]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ("9;22.11.2026;09:07;P;Čaj\r\n", "bad_row"),
        ('9;"22.11.2026;09:07\r\n', "bad_row"),
        ('9;22.11.2026;09:07;P;"a"b;;1;1;1;1;KARTICA;\r\n', "bad_row"),
        ("9;22.11.2026;09:07;P;Čaj;;1;1;1.5;1;KARTICA;\r\n", "bad_amount"),
        ("9;22.11.2026;09:07;P;Čaj;;1;1;99999999999999999;1;KARTICA;\r\n", "bad_amount"),
        ("9;22.11.2026;09:07;P;Čaj;;NaN;1;1;1;KARTICA;\r\n", "bad_amount"),
        ("9;22/11/2026;09:07;P;Čaj;;1;1;1;1;KARTICA;\r\n", "no_time"),
        ("9;22.11.2026;09:07;X;Čaj;;1;1;1;1;KARTICA;\r\n", "bad_value"),
        ("9;22.11.2026;09:07;P;Čaj;;1;1;;;KARTICA;\r\n", "no_total"),
    ],
)
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "cp1250"])
def test_a_bad_row_stops_no_other_and_its_bytes_are_told(bad: str, code: str, codec: str) -> None:
    text = HEADER + FIRST + bad + SECOND
    mapping = f'encoding = "windows-1250"\n{LINES}' if codec == "cp1250" else LINES
    decoded = read(text, mapping, codec)
    assert [receipt.number for receipt in decoded.receipts] == ["1", "2"]
    assert decoded.receipts[0].lines[0].description == "Čaj"
    (problem,) = decoded.problems
    assert problem.code == code
    part = text.encode(codec)[problem.start : problem.end].decode("utf-16-le" if codec == "utf-16" else codec)
    assert part == bad


def test_a_receipt_with_one_bad_row_is_no_receipt() -> None:
    decoded = read(HEADER + FIRST + "1;22.11.2026;09:07;P\r\n" + SECOND)
    assert [receipt.number for receipt in decoded.receipts] == ["2"]
    (problem,) = decoded.problems
    assert (problem.start, problem.end) == (len(HEADER.encode()), len((HEADER + FIRST).encode()) + 22)


def test_quoted_cells_may_hold_delimiters_and_lines() -> None:
    (receipt,) = read(HEADER + '3;22.11.2026;09:07;P;"Čaj; ""zeleni""\nveliki";;1;3,00;3,00;3,00;GOTOVINA;\n').receipts
    assert receipt.lines[0].description == 'Čaj; "zeleni" veliki'


def test_a_quote_that_is_never_closed_costs_its_row() -> None:
    decoded = read(HEADER + '9;"\r\n' + "".join(SECOND.replace("2;", f"{number};", 1) for number in range(100, 400)))
    assert len(decoded.receipts) == 300
    assert [problem.code for problem in decoded.problems] == ["bad_row"]


def test_a_file_without_a_header_has_numbers_for_columns() -> None:
    mapping = 'header = false\n[constants]\ncurrency = "EUR"\n[receipt]\nnumber = "1"\ntotal = "2"\n'
    assert [(each.number, each.total_minor) for each in read("5,1.00\n6,2.00\n", mapping).receipts] == [
        ("5", 100),
        ("6", 200),
    ]


def test_another_header_is_one_problem() -> None:
    (problem,) = read("a,b\n1,2\n").problems
    assert problem.code == "bad_header"
    assert "'Racun'" in problem.detail


def test_rows_of_a_database_are_read_by_the_same_mapping() -> None:
    # given what a database answers, with its own types
    mapping = RowMapping(
        group=("id",),
        receipt=mapping_from(b'[receipt]\nnumber = "id"\nissued_at = ["at"]\ntotal = "sum"\n', "m").receipt,
        line=mapping_from(b'[line]\namount = "amount"\nvoided = "void"\n[receipt]\ntotal="x"', "m").line,
    )
    answer: list[dict[str, object]] = [
        {"id": 7, "at": AT, "sum": Decimal("3.00"), "amount": 1.5, "void": False},
        {"id": 7, "at": AT, "sum": None, "amount": 1.5, "void": None},
        {"id": 7, "at": None, "sum": None, "amount": 9.0, "void": True},
    ]
    rows = [
        Row(cells={name: cell_text(value) for name, value in row.items()}, start=place, end=place + 1)
        for place, row in enumerate(answer)
    ]
    # when they are read
    ((receipt, start, end),) = receipts_of(rows, mapping, DecodeOptions(currency="EUR", time_zone="Europe/Belgrade"))
    # then they are one receipt of three lines, one of them voided
    assert isinstance(receipt, Receipt)
    assert (start, end, receipt.total_minor) == (0, 3, 300)
    assert [(each.amount_minor, each.voided) for each in receipt.lines] == [(150, False), (150, False), (900, True)]
    assert receipt.business_day == date(2026, 11, 22)


def test_a_group_without_an_end_is_cut() -> None:
    row = "1;22.11.2026;09:07;P;Čaj;;1;1,00;1,00;1,00;GOTOVINA;\n"
    assert len(read(HEADER + row * (2 * MAX_ROWS_OF_RECEIPT)).receipts) == 2


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[receipt]\nnumber_ = 'a'", "[receipt] number_: no such key. Did you mean 'number'?"),
        ("delimiter_ = ';'", "delimiter_: no such key. Did you mean 'delimiter'?"),
        ("delimiter = ';;'", "delimiter: expected"),
        ("[receipt]\nnumber = 'a'", "[receipt] total: nothing says an amount"),
        ("[line]\namount = 'a'", "group: each row would be a receipt"),
        ("dates = ['dd.dd.yyyy']\n[receipt]\ntotal = 'a'", "dates number 1"),
        ("encoding = 'no such'\n[receipt]\ntotal = 'a'", "encoding: "),
        ("[[tenders]]\ncolumn = 'a'\nkind = 'gold'", "tenders number 1.kind"),
        ("x = ", "not TOML"),
    ],
)
def test_a_wrong_mapping_says_what_to_change(written: str, said: str) -> None:
    with pytest.raises(MappingError) as refused:
        mapping_from(written.encode(), "kasa.toml")
    assert str(refused.value).startswith("kasa.toml: ")
    assert said in str(refused.value)


def test_csv_needs_a_mapping_and_a_mapping_is_for_csv() -> None:
    with pytest.raises(DecodeOptionsError, match="--mapping FILE"):
        decode(b"a,b\n", DecodeOptions(format="csv"))
    with pytest.raises(DecodeOptionsError, match="--format csv"):
        decode(b"a,b\n", DecodeOptions(mapping=mapping_from(LINES.encode(), "m")))


def test_a_line_has_the_department_that_a_column_says() -> None:
    decoded = read(HEADER + FIRST, LINES.replace('gtin = "EAN"', 'gtin = "EAN"\ndepartment = "EAN"'))

    assert [line.department for line in decoded.receipts[0].lines] == ["3838800000015", UNSET]


def test_date_and_time_in_one_column_need_no_list() -> None:
    one = read("Kada;Iznos\r\n22.11.2026 09:07;5,00\r\n", """
        delimiter = ";"
        decimal_mark = ","
        constants = { currency = "EUR" }
        receipt = { issued_at = "Kada", total = "Iznos" }
        line = { amount = "Iznos" }
        """)  # fmt: skip
    (receipt,) = one.receipts
    assert receipt.issued_at == datetime.fromisoformat("2026-11-22T09:07:00+01:00")
