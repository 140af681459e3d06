"""The generic text layout, as `docs/decoding.md` defines it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from drivers.receipts.decode import decode
from drivers.receipts.port import DecodeOptions
from loyalty.identity import key_of, pos_id
from loyalty.receipt import Receipt

VIENNA = DecodeOptions(time_zone="Europe/Vienna", currency="EUR")

SALE = """\
          EXAMPLE SHOP
     Main Street 1, 11000 Belgrade
Store 12                     Register 3
Receipt 4711           22.11.2026 09:07
Operator Ana Maria
----------------------------------------
2 x 1.50   Bread 500 g              3.00
Milk 1 l                            1.20
Bananas
  0.532 kg x 2.99                   1.59
Coffee                              5.00
  Discount 10%                     -0.50
Pfand                               0.25
----------------------------------------
Subtotal                           10.54
Discount for members               -0.54
TOTAL EUR                          10.00
VAT 20%            8.33             1.67
CASH                               20.00
CHANGE                             10.00
Member 2900 0001 2345
Thank you, come again
"""


def read(text: str, options: DecodeOptions = VIENNA) -> Receipt:
    decoded = decode(text.encode(), options)
    assert (decoded.ignored, decoded.problems) == ((), ())
    (receipt,) = decoded.receipts
    return receipt


def lines_of(body: str, total: str, *, head: str = "Store 12 Register 3 Receipt 1  22.11.2026 09:07") -> Receipt:
    return read(f"{head}\n{body}\nTOTAL EUR {total}\n")


def test_a_sale_gives_all_its_facts() -> None:
    receipt = read(SALE)
    assert receipt.problems == ()
    assert (receipt.kind, receipt.status, receipt.source) == ("sale", "final", "text")
    assert (receipt.store, receipt.register, receipt.number) == ("12", "3", "4711")
    assert receipt.key == key_of(pos_id("12", "3", "2026-11-22", "4711"))
    assert receipt.operator == "Ana Maria"
    assert receipt.business_day == date(2026, 11, 22)
    assert receipt.issued_at == datetime(2026, 11, 22, 9, 7, tzinfo=ZoneInfo("Europe/Vienna"))
    assert (receipt.currency, receipt.total_minor, receipt.change_minor) == ("EUR", 1000, 1000)
    assert [(line.description, line.amount_minor, line.discount_minor, line.kind) for line in receipt.lines] == [
        ("Bread 500 g", 300, 0, "goods"),
        ("Milk 1 l", 120, 0, "goods"),
        ("Bananas", 159, 0, "goods"),
        ("Coffee", 450, 50, "goods"),
        ("Pfand", 25, 0, "deposit"),
    ]
    assert [(line.quantity or None, line.unit_price or None, line.unit or None) for line in receipt.lines[:3]] == [
        ("2", "1.50", None),
        (None, None, None),
        ("0.532", "2.99", "KG"),
    ]
    assert [(each.description, each.amount_minor) for each in receipt.discounts] == [("Discount for members", 54)]
    assert [(tax.name, tax.rate, tax.amount_minor, tax.included) for tax in receipt.taxes] == [("VAT", "20", 167, True)]
    assert [(tender.kind, tender.amount_minor) for tender in receipt.tenders] == [("cash", 2000)]
    assert receipt.member
    assert (receipt.member.code, receipt.member.entry) == ("290000012345", "receipt")


@pytest.mark.parametrize(
    "body",
    [
        "2 x 1.50 Bread  3.00",
        "2 × 1,50  Bread  3,00",
        "2 PCS x 1.50  Bread  3.00",
        "Bread  2 x 1.50  3.00",
        "Bread\n  2 x 1.50   3.00",
        "Bread   3.00\n  2 x 1.50",
        "2 x   1.50\nBread   3.00",
        "2 Stk x 1,50 EUR\nBread   3,00 EUR",
    ],
)
def test_quantity_and_price_may_stand_anywhere(body: str) -> None:
    (line,) = lines_of(body, "3.00").lines
    assert (line.description, line.quantity, line.unit_price, line.amount_minor) == ("Bread", "2", "1.50", 300)


@pytest.mark.parametrize(
    ("printed", "minor"),
    [
        ("1.234,56", 123456),
        ("1,234.56", 123456),
        ("1'234.56", 123456),
        ("1234,56", 123456),
        ("12.345.678,90", 1234567890),
    ],
)
def test_points_and_commas(printed: str, minor: int) -> None:
    receipt = lines_of(f"Machine {printed}", printed)
    assert (receipt.total_minor, receipt.lines[0].amount_minor, receipt.problems) == (minor, minor, ())


def test_german_labels() -> None:
    receipt = read("""\
MUSTERMARKT
Filiale 12   Kasse 3   Bon-Nr. 4721
Datum: 22.11.2026 Uhrzeit: 10:02
Es bediente Sie: Frau Müller
Bediener: Müller
Brötchen Größe L             2,40 A
Käse, jung  0,250 kg x 12,00 EUR/kg  3,00 B
  Rabatt 10%                -0,30
Zwischensumme                5,10
Rundung                      0,05-
Summe                        5,05 EUR
A MwSt 7,00%   2,24  0,16
Geschenkkarte               10,00
Rückgeld                     4,95
""")
    assert (receipt.store, receipt.register, receipt.number) == ("12", "3", "4721")
    assert receipt.operator == "Müller"
    assert [(line.description, line.amount_minor, line.tax_labels) for line in receipt.lines] == [
        ("Brötchen Größe L", 240, ("A",)),
        ("Käse, jung", 270, ("B",)),
    ]
    assert (receipt.rounding_minor, receipt.total_minor, receipt.change_minor) == (-5, 505, 495)
    assert [(tax.label, tax.rate, tax.amount_minor) for tax in receipt.taxes] == [("A", "7.00", 16)]
    assert [tender.kind for tender in receipt.tenders] == ["giftcard"]
    assert receipt.problems == ()


def test_serbian_labels() -> None:
    receipt = read(
        """\
Prodavnica 12   Kasa 3
Račun br. 88/26   22.11.2026. 9:07:05
Kasir: Đorđe
Čokolada            120,00
  Popust            -20,00
UKUPNO RSD          100,00
PDV 20%  83,33       16,67
Platna kartica      100,00
""",
        DecodeOptions(time_zone="Europe/Belgrade"),
    )
    assert (receipt.number, receipt.operator, receipt.currency) == ("88/26", "Đorđe", "RSD")
    assert receipt.key == key_of(pos_id("12", "3", "2026-11-22", "88/26"))
    assert [(line.description, line.amount_minor, line.discount_minor) for line in receipt.lines] == [
        ("Čokolada", 10000, 2000)
    ]
    assert [tender.kind for tender in receipt.tenders] == ["card"]
    assert receipt.problems == ()


@pytest.mark.parametrize("sign", ["", "-"])
def test_a_return_is_negative_and_names_its_original(sign: str) -> None:
    # given a return at another register, with or without printed minus
    receipt = read(f"""\
Store 12   Register 1
RETURN of 4711, register 3, 2026-11-21
Receipt 5001   2026-11-22 10:00:01
2 x 1.20 Milk 1 l   {sign}2.40
TOTAL EUR  {sign}2.40
VAT 10%  {sign}0.22
CASH  {sign}2.40
""")
    # then
    assert (receipt.kind, receipt.number, receipt.total_minor) == ("return", "5001", -240)
    assert [(line.amount_minor, line.quantity) for line in receipt.lines] == [(-240, "-2")]
    assert [tender.amount_minor for tender in receipt.tenders] == [-240]
    assert [tax.amount_minor for tax in receipt.taxes] == [-22]
    assert receipt.original
    assert receipt.original.number == "4711"
    assert receipt.original.key == key_of(pos_id("12", "3", "2026-11-21", "4711"))
    assert receipt.problems == ()


def test_a_return_that_prints_a_number_only() -> None:
    receipt = read("Receipt 5001  22.11.2026 10:00\nREFUND 4711\nMilk 1.20\nTOTAL EUR 1.20\n")
    assert receipt.kind == "return"
    assert receipt.original
    assert (receipt.original.number, receipt.original.key or None) == ("4711", None)


@pytest.mark.parametrize("day", ["6th of April 2015", "06 Apr 2015", "Apr 6, 2015", "April 6th, 2015"])
def test_english_dates_may_be_written_out(day: str) -> None:
    receipt = lines_of("Thing 10.00", "10.00", head=f"Store 12 Register 3 Receipt 1\nMonday {day} 02:56:25 PM")
    assert receipt.issued_at == datetime.fromisoformat("2015-04-06T14:56:25+02:00")


@pytest.mark.parametrize("bottle", ["Bottle return", "Bottle deposit"])
def test_a_returned_bottle_leaves_a_sale_a_sale(bottle: str) -> None:
    receipt = lines_of(f"Cola 1.50\n{bottle} -0.25", "1.25")
    assert receipt.kind == "sale"
    assert [(line.amount_minor, line.kind) for line in receipt.lines] == [(150, "goods"), (-25, "deposit")]
    assert receipt.problems == ()


@pytest.mark.parametrize(
    ("mark", "status"),
    [
        ("*** COPY ***", "copy"), ("COPY 2", "copy"), ("DUPLIKAT", "copy"), ("== TRAINING ==", "training"),
        ("SCHULUNG", "training"), ("VOIDED", "voided"), ("SUSPENDED", "suspended"), ("Proforma", "proforma"),
        ("copy of the menu at the till", "final"),
    ],
)  # fmt: skip
def test_marks_on_a_line_of_their_own(mark: str, status: str) -> None:
    assert read(SALE + mark + "\n").status == status


def test_tax_on_top_is_added_and_tax_within_is_not() -> None:
    on_top = lines_of("Thing 10.00\nSubtotal 10.00\nSales Tax 8.25% 0.83", "10.83")
    assert [(tax.included, tax.amount_minor) for tax in on_top.taxes] == [(False, 83)]
    within = lines_of("Thing 10.00\nSubtotal 10.00\nincl. VAT 20% 1.67", "10.00")
    assert [(tax.included, tax.amount_minor) for tax in within.taxes] == [(True, 167)]
    assert on_top.problems == within.problems == ()


def test_a_business_day_of_its_own_and_a_printed_offset() -> None:
    receipt = read(
        "Receipt 9  2026-11-23T00:30:00+01:00\nBusiness day 2026-11-22\nBeer 3.00\nTOTAL EUR 3.00\n",
        DecodeOptions(store="12", register="3"),
    )
    assert receipt.business_day == date(2026, 11, 22)
    assert receipt.issued_at == datetime(2026, 11, 23, 0, 30, tzinfo=timezone(timedelta(hours=1)))
    assert receipt.key == key_of(pos_id("12", "3", "2026-11-22", "9"))
    zulu = read("Receipt 9  2026-11-23 00:30:00Z\nBeer 3.00\nTOTAL EUR 3.00\n")
    assert zulu.issued_at == datetime(2026, 11, 23, 0, 30, tzinfo=UTC)


def test_what_nobody_said_is_said_to_be_missing() -> None:
    receipt = read("Receipt 9  22.11.2026 09:07\nBeer 3.00\nTOTAL 3.00\n", DecodeOptions())
    assert receipt.currency == "XXX"
    assert not receipt.issued_at
    assert [problem.code for problem in receipt.problems] == ["currency_unknown", "time_zone_unknown", "weak_identity"]


def test_a_masked_card_is_no_member() -> None:
    assert not lines_of("Beer 3.00", "3.00\nMember ****1234").member


def test_several_receipts_in_a_row_without_a_cut() -> None:
    text = SALE + "\n\n" + SALE.replace("4711", "4712") + "\n" + SALE.replace("4711", "4713")
    decoded = decode(text.encode(), VIENNA)
    assert [receipt.number for receipt in decoded.receipts] == ["4711", "4712", "4713"]
    assert [receipt.store for receipt in decoded.receipts] == ["12", "12", "12"]
    assert [receipt.problems for receipt in decoded.receipts] == [(), (), ()]


def test_a_number_repeated_in_the_foot_begins_no_receipt() -> None:
    assert read(SALE + "Receipt 4711\n").number == "4711"


@pytest.mark.parametrize(
    "text",
    [
        "hello\nworld\n",
        "TOTAL 5.00\n",
        "Receipt 1 22.11.2026\nno amounts at all\n",
        "VISA\nAmount 5.49\nTOTAL EUR 5.49\n22.11.2026 10:01\n",
    ],
)
def test_what_is_no_receipt_is_not_read_as_one(text: str) -> None:
    assert decode(text.encode(), VIENNA).receipts == ()


CROATIAN = """\
KOD ČESME d.o.o.
Poslovni prostor: 1   Naplatni uređaj: 2
Račun br. 118/1/2
Datum: 22.11.2026.  Vrijeme: 10:01
Operater: Ana
----------------------------------------
Kruh bijeli                         1,20
2 x 1,50  Mlijeko                   3,00
  Popust 10%                       -0,30
Povratna naknada                    0,07
----------------------------------------
UKUPNO EUR                          3,97
Gotovina                            5,00
Za vratiti                          1,03
PDV 25%            3,12             0,78
ZKI: 0123456789abcdef0123456789abcdef
JIR: 01234567-89ab-cdef-0123-456789abcdef
Hvala na povjerenju!
"""
SLOVENIAN = """\
PRI VODNJAKU d.o.o.
Poslovalnica: 1   Blagajna: 2
Račun št. 118
22. 11. 2026  10:01
Prodajalec: Ana
----------------------------------------
Kruh beli                           1,20
2 x 1,50  Mleko                     3,00
----------------------------------------
SKUPAJ ZA PLAČILO EUR               4,20
Plačilna kartica                    5,20
Vračilo                             1,00
DDV 9,5%           3,84             0,36
ZOI: 0123456789ABCDEF0123456789ABCDEF
EOR: 01234567-89ab-cdef-0123-456789abcdef
"""


def test_a_croatian_receipt() -> None:
    receipt = read(CROATIAN)
    assert (receipt.number, receipt.store, receipt.register, receipt.operator) == ("118/1/2", "1", "2", "Ana")
    assert [(line.amount_minor, line.kind) for line in receipt.lines] == [
        (120, "goods"),
        (270, "goods"),
        (7, "deposit"),
    ]
    assert (receipt.total_minor, receipt.change_minor, receipt.problems) == (397, 103, ())
    assert [(tax.name, tax.rate, tax.amount_minor) for tax in receipt.taxes] == [("PDV", "25", 78)]
    assert receipt.fiscal
    assert (receipt.fiscal.scheme, receipt.fiscal.number) == ("hr-fisk", "0123456789abcdef0123456789abcdef")
    assert receipt.key == key_of("hr-fisk:0123456789abcdef0123456789abcdef")
    assert receipt.also == (
        "hr-jir:01234567-89ab-cdef-0123-456789abcdef",
        pos_id("1", "2", "2026-11-22", "118/1/2"),
    )


def test_a_slovenian_receipt() -> None:
    receipt = read(SLOVENIAN)
    assert (receipt.number, receipt.store, receipt.register, receipt.operator) == ("118", "1", "2", "Ana")
    assert (receipt.total_minor, receipt.change_minor, receipt.problems) == (420, 100, ())
    assert [(tender.kind, tender.amount_minor) for tender in receipt.tenders] == [("card", 520)]
    assert [(tax.name, tax.rate, tax.amount_minor) for tax in receipt.taxes] == [("DDV", "9.5", 36)]
    assert receipt.key == key_of("si-furs:0123456789abcdef0123456789abcdef")


def test_receipts_without_numbers_begin_with_the_shops_name() -> None:
    # given three receipts on one paper, which only the shop's name and the time tell apart
    one = "EXAMPLE SHOP\nMain Str. 1\n\n22.11.2026 09:0{n}\nTea  3.0{n}\nMilk  1.00\nTOTAL EUR  4.0{n}\nBAR  4.0{n}\n\n"
    decoded = decode("\n".join(one.format(n=n) for n in range(3)).encode(), VIENNA)
    assert [receipt.total_minor for receipt in decoded.receipts] == [400, 401, 402]
    assert [receipt.issued_at.minute for receipt in decoded.receipts if receipt.issued_at] == [0, 1, 2]
    assert [tender.amount_minor for receipt in decoded.receipts for tender in receipt.tenders] == [400, 401, 402]


def test_the_shops_name_at_the_foot_begins_nothing() -> None:
    receipt = read(SALE + "\nEXAMPLE SHOP\nwww.example.com\nInvoice 99 on request\n")
    assert (receipt.number, receipt.problems) == ("4711", ())


@pytest.mark.parametrize("kept", [8, 11, 14])
def test_a_receipt_without_its_end_is_torn(kept: int) -> None:
    # given a whole receipt, and one whose end is missing, on one paper
    begun = "\n".join(SALE.replace("4711", "4712").split("\n")[:kept])
    decoded = decode(f"{SALE}\n{begun}\n".encode(), VIENNA)
    assert [receipt.number for receipt in decoded.receipts] == ["4711"]
    (problem,) = decoded.problems
    assert problem.code == "torn"
    assert problem.end == len(f"{SALE}\n{begun}\n")


def test_of_a_line_that_no_paper_holds_both_ends_are_read() -> None:
    receipt = lines_of(f"Bread {'x' * 400} 3.00", "3.00")

    (line,) = receipt.lines
    assert line.description
    assert line.description.startswith("Bread xxx")
    assert line.amount_minor == 300


def test_a_receipt_printed_twice_has_one_identity() -> None:
    decoded = decode(f"{SALE}\n{SALE}".encode(), VIENNA)
    assert len({receipt.key for receipt in decoded.receipts}) == 1
    assert [receipt.problems for receipt in decoded.receipts] == [(), ()]


@pytest.mark.parametrize(
    ("head", "store", "register", "operator", "number"),
    [
        ("Filiale/Kasse: 12/3\nBon 4711", "12", "3", None, "4711"),
        ("Filiale/Kasse-Nr. 12/3 \nBon 4711", "12", "3", None, "4711"),
        ("Store/Till/Cashier: 12 / 3 / Ana\nReceipt 4711", "12", "3", "Ana", "4711"),
        ("Prodavnica 12\nКаса/Рачун бр.: 3/4711", "12", "3", None, "4711"),
        # as many values as words, or else it says something else
        ("Kasse/Bon: 3/4711/26\nFiliale 12", "12", None, None, "3/4711/26"),
        ("Store: 12 Till: 3 Cashier: Ana Maria Receipt: 4711", "12", "3", "Ana Maria", "4711"),
        ("Cashier Ana, Till 3, Store 12, Receipt 4711", "12", "3", "Ana", "4711"),
        ("Store 12 - Till 3 - Cashier Ana - Receipt 4711", "12", "3", "Ana", "4711"),
        ("Store 12 Till 3\nCashier Ana-Maria 22.11.2026 09:07\nReceipt 4711", "12", "3", "Ana-Maria", "4711"),
        ("Store 12 Till 3\nCashier 04 09:07\nReceipt 4711", "12", "3", "04", "4711"),
        ("Store 12 Till 3\nCashier: Novak, Ana\nReceipt 4711", "12", "3", "Novak, Ana", "4711"),
    ],
)
def test_several_facts_on_one_line(
    head: str, store: str, register: str | None, operator: str | None, number: str
) -> None:
    receipt = lines_of("Thing 10.00", "10.00", head=f"{head}\n22.11.2026 09:07")
    read = (receipt.store, receipt.register or None, receipt.operator or None, receipt.number)
    assert read == (store, register, operator, number)


@pytest.mark.parametrize(
    ("number", "mark", "total"),
    [
        ("Račun 119", "STORNO RAČUNA br. 118/12/3", "UKUPNO EUR"),
        ("Račun 119", "Storno računa: 118/12/3", "SKUPAJ EUR"),
        ("Račun 119", "Vračilo kupnine za račun 118/12/3", "SKUPAJ EUR"),
        ("Рачун 119", "СТОРНО РАЧУНА бр. 118/12/3", "УКУПНО"),
        ("Bon 119", "STORNOBON zu 118/12/3", "SUMME EUR"),
    ],
)
@pytest.mark.parametrize("sign", ["", "-"])
def test_a_receipt_that_takes_another_back_is_a_return_of_it(number: str, mark: str, total: str, sign: str) -> None:
    receipt = read(f"SHOP\n{number}\n{mark}\n22.11.2026 10:07\nKruh  {sign}1,50\n{total}  {sign}1,50\n")
    assert (receipt.kind, receipt.number, receipt.total_minor) == ("return", "119", -150)
    assert receipt.original
    assert receipt.original.number == "118/12/3"


@pytest.mark.parametrize(
    "foot",
    [
        "Povrat robe u roku od 14 dana",
        "Povrat od 14 dana uz račun",
        "Storno računa moguć samo uz račun",
        "Zamjena robe moguća uz račun",
        "Поврат робе у року од 14 дана",
        "Storno računa za 24h nije moguć",
        "Vračilo blaga v 14 dneh",
        "Vračilo kupnine: 14 dni z računom",
        "Rückgabe 4 Wochen mit Bon",
        "Rückgabe nur mit diesem Bon",
        "Gutschrift 2 % auf Kundenkarte",
        "Umtausch binnen 14 Tagen",
        "Refund: 30 days with receipt",
    ],
)
def test_what_a_shop_says_of_returns_below_the_total_makes_none(foot: str) -> None:
    receipt = read(f"SHOP\nRačun 119  22.11.2026 10:07\nKruh  1,50\nUKUPNO EUR  1,50\nGotovina  1,50\n{foot}\n")
    assert (receipt.kind, receipt.number, receipt.total_minor) == ("sale", "119", 150)
    assert not receipt.original


@pytest.mark.parametrize(
    "foot",
    [
        "STORNO RAČUNA br. 118/12/3",
        "Povrat po računu 118/12/3 od 21.11.2026",
        "Dobropis k računu 118/12/3",
        "Stornobon zu 118/12/3 vom 21.11.2026",
    ],
)
def test_a_mark_below_the_total_counts_with_the_number_of_the_original(foot: str) -> None:
    receipt = read(f"SHOP\nRačun 119  22.11.2026 10:07\nKruh  1,50\nUKUPNO EUR  1,50\n{foot}\n")
    assert (receipt.kind, receipt.number, receipt.total_minor) == ("return", "119", -150)
    assert receipt.original
    assert receipt.original.number == "118/12/3"
