"""Serbian journals of every type, width, alphabet and way of wrapping come back as the facts they print."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.receipts.decode import decode
from drivers.receipts.port import DecodeOptions
from loyalty.identity import key_of, rs_purs
from loyalty.receipt import Receipt
from tests.drivers.receipts.journals import LATIN, Item, Journal, printed

CORPUS = Path(__file__).parents[4] / "shared" / "corpora" / "purs"
BELGRADE = ZoneInfo("Europe/Belgrade")

BREAD = Item(text="HLEB SAVA 500G/KOM (Е)", price_minor=8999, quantity="2", amount_minor=17998)
APPLES = Item(text="JABUKA                            KG (Е)", price_minor=11999, quantity="1,066", amount_minor=12791)
SALE = Journal(items=(BREAD, APPLES))


def read(journal: Journal) -> Receipt:
    """The one receipt of a journal; fails where there is anything else."""
    decoded = decode(printed(journal).encode(), DecodeOptions(format="purs-journal"))
    assert decoded.problems == ()
    assert decoded.ignored == ()
    (receipt,) = decoded.receipts
    return receipt


def test_a_sale_gives_all_its_facts() -> None:
    # given a journal with a buyer, paid in cash with change that is not printed
    journal = replace(SALE, buyer="10:123456789", payments=(("Готовина", 50000),))
    # when it is read
    receipt = read(journal)
    # then every fact of the contract is there
    assert receipt.problems == ()
    assert (receipt.kind, receipt.status, receipt.currency) == ("sale", "final", "RSD")
    assert receipt.number == "746DUV64-746DUV64-16898"
    assert receipt.key == key_of(rs_purs("746DUV64-746DUV64-16898"))
    assert receipt.source == "purs-journal"
    assert receipt.business_day == date(2022, 12, 31)
    assert receipt.issued_at == datetime(2022, 12, 31, 9, 5, 7, tzinfo=BELGRADE)
    assert receipt.operator == "Ана"
    assert receipt.total_minor == 30789
    assert [(line.description, line.unit, line.quantity, line.unit_price) for line in receipt.lines] == [
        ("HLEB SAVA 500G", "KOM", "2", "89.99"),
        ("JABUKA", "KG", "1.066", "119.99"),
    ]
    assert [line.tax_labels for line in receipt.lines] == [("Е",), ("Е",)]
    assert [(tender.kind, tender.amount_minor) for tender in receipt.tenders] == [("cash", 50000)]
    assert receipt.change_minor == 19211
    assert receipt.fiscal
    assert receipt.fiscal.counter == "16887/16898ПП"
    assert msgspec.to_builtins(receipt.fiscal.issuer) == {
        "tin": "101670560",
        "name": "MERCATOR-S",
        "location_id": "1108934",
        "location_name": "Roda Megamarket 345",
        "address": "ВИЗАНТИЈСКИ БУЛЕВАР 1",
        "city": "Ниш-Медијана",
    }
    assert [(tax.label, tax.name, tax.rate, tax.amount_minor) for tax in receipt.taxes] == [
        ("Ђ", "О-ПДВ", "20.00", 1000)
    ]


def test_of_a_buyer_only_the_kind_is_kept() -> None:
    receipt = read(replace(SALE, buyer="20:021535411"))
    assert receipt.fiscal
    assert receipt.fiscal.buyer_kind == "20"
    assert b"021535411" not in msgspec.json.encode(receipt)


@pytest.mark.parametrize("status", ["final", "advance", "copy", "training", "proforma"])
@pytest.mark.parametrize("refund", [False, True])
@pytest.mark.parametrize("latin", [False, True])
@pytest.mark.parametrize("width", [40, 38])
def test_all_ten_types_in_both_alphabets_and_widths(status: str, refund: bool, latin: bool, width: int) -> None:
    # given a journal whose payments print positive whatever it is
    reference = "E499KY46-E499KY46-62211" if refund else ""
    journal = replace(
        SALE, status=status, refund=refund, latin=latin, width=width, reference=reference, tail="",
        reference_time="19.07.2023. 7:52:01" if refund else "",
    )  # fmt: skip
    # when it is read
    receipt = read(journal)
    # then the signs are the shop's and the original is named
    sign = -1 if refund else 1
    assert (receipt.kind, receipt.status) == ("return" if refund else "sale", status)
    assert receipt.problems == ()
    assert receipt.total_minor == sign * 30789
    assert [line.amount_minor for line in receipt.lines] == [sign * 17998, sign * 12791]
    assert [tender.amount_minor for tender in receipt.tenders] == [sign * 30789]
    assert [tax.amount_minor for tax in receipt.taxes] == [sign * 1000]
    if refund:
        assert receipt.original
        assert receipt.original.number == reference
        assert receipt.original.key == key_of(rs_purs(reference))
        assert receipt.original.issued_at == datetime(2023, 7, 19, 7, 52, 1, tzinfo=BELGRADE)
        assert [line.quantity for line in receipt.lines] == ["-2", "-1.066"]


def test_a_refund_with_positive_lines_is_negative_too() -> None:
    # given a till that prints a refund's lines without a minus
    text = printed(replace(SALE, refund=True)).replace("-179,98", "179,98").replace("-127,91", "127,91")
    (receipt,) = decode(text.encode()).receipts
    assert receipt.problems == ()
    assert [line.amount_minor for line in receipt.lines] == [-17998, -12791]
    assert [line.quantity for line in receipt.lines] == ["-2", "-1.066"]


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("Готовина", "cash"), ("Платна картица", "card"), ("Инстант плаћање", "instant"), ("Ваучер", "voucher"),
        ("Пренос на рачун", "transfer"), ("Чек", "cheque"), ("Друго безготовинско плаћање", "other"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("latin", [False, True])
@pytest.mark.parametrize("width", [40, 38, 32])
def test_means_of_payment(label: str, kind: str, latin: bool, width: int) -> None:
    # given a payment of seven digits, which narrow paper wraps
    big = Item(text="TELEVIZOR (Ђ)", price_minor=123456789, quantity="1", amount_minor=123456789)
    receipt = read(replace(SALE, items=(big,), payments=((label, 0),), latin=latin, width=width))
    # then
    assert [(tender.kind, tender.amount_minor) for tender in receipt.tenders] == [(kind, 123456789)]
    assert receipt.problems == ()


def test_what_a_till_adds_to_the_head_is_no_part_of_it() -> None:
    text = printed(SALE).replace("Касир:", f"Магацин:{5:>32}\nКасир:", 1)
    (receipt,) = decode(text.encode()).receipts
    assert receipt.fiscal
    assert receipt.fiscal.issuer
    assert (receipt.fiscal.issuer.city, receipt.operator) == (SALE.city, SALE.operator)


def test_blanks_as_entities_are_blanks() -> None:
    (receipt,) = decode(printed(SALE).replace("  ", "&nbsp;&nbsp;").encode()).receipts
    assert receipt == decode(printed(SALE).encode()).receipts[0]


def test_a_price_below_a_para_and_a_quantity_beyond_a_thousand() -> None:
    text = printed(SALE).replace(f"{'89,99':>13}{'2':>11}", f"{'0,08999':>13}{'2.000':>11}")
    (receipt,) = decode(text.encode()).receipts
    assert (receipt.lines[0].unit_price, receipt.lines[0].quantity) == ("0.08999", "2000")
    assert receipt.problems == ()


def test_mixed_payments_and_a_printed_change() -> None:
    receipt = read(replace(SALE, payments=(("Платна картица", 10000), ("Готовина", 30000)), change_minor=9211))
    assert [(tender.kind, tender.amount_minor) for tender in receipt.tenders] == [("card", 10000), ("cash", 30000)]
    assert receipt.change_minor == 9211
    assert receipt.problems == ()


def test_a_hidden_discount_is_derived_and_rounding_is_none() -> None:
    # given four salads at 440 sold for 1408, and a third of 100 that is rounded
    pesto = Item(text="Pesto (kom) (А)", price_minor=44000, quantity="4", amount_minor=140800)
    third = Item(text="Trecina (kom) (А)", price_minor=3333, quantity="3", amount_minor=10000)
    receipt = read(replace(SALE, items=(pesto, third)))
    assert [line.discount_minor for line in receipt.lines] == [35200, 0]
    refund = read(replace(SALE, items=(pesto,), refund=True))
    assert [line.discount_minor for line in refund.lines] == [-35200]


@pytest.mark.parametrize(
    ("text", "description", "unit", "labels"),
    [
        ("POMORANDZA MREZICA 2/1            KG (Е)", "POMORANDZA MREZICA 2/1", "KG", ("Е",)),
        ("4911785 Torba BLUE BAG Š18xD70 recikl./KOM (Ђ)", "4911785 Torba BLUE BAG Š18xD70 recikl.", "KOM", ("Ђ",)),
        ("BATERIJE\\KO (Ђ)", "BATERIJE", "KO", ("Ђ",)),
        (" OPTI BMB 95,2710124500 /LIT (Ђ)", "OPTI BMB 95,2710124500", "LIT", ("Ђ",)),
        ("BODI ŽERSEJ - MAJICA - 8683120043861 (КОМ) (Ђ)", "BODI ŽERSEJ - MAJICA - 8683120043861", "КОМ", ("Ђ",)),
        ("Elixir mix 0.33l (Ђ)", "Elixir mix 0.33l", None, ("Ђ",)),
        ("TRAKA ZA PROZORE 9MM X 6 KOM (Ђ)", "TRAKA ZA PROZORE 9MM X 6 KOM", None, ("Ђ",)),
        ("18.5G NESCAFE CAPP.V KO (Ђ)", "18.5G NESCAFE CAPP.V", "KO", ("Ђ",)),
        ("MAJICA ZARA M (Ђ)", "MAJICA ZARA M", None, ("Ђ",)),
        ("MAJICA (XL) (Ђ)", "MAJICA (XL)", None, ("Ђ",)),
        ("PICA (А,Б)", "PICA", None, ("А", "Б")),
        ("USLUGA BEZ OZNAKE", "USLUGA BEZ OZNAKE", None, ()),
    ],
)  # fmt: skip
def test_names_lose_unit_and_label(text: str, description: str, unit: str | None, labels: tuple[str, ...]) -> None:
    item = Item(text=text, price_minor=1000, quantity="1", amount_minor=1000)
    (line,) = read(replace(SALE, items=(item,))).lines
    assert (line.description, line.unit or None, line.tax_labels) == (description, unit, labels)


def test_an_article_number_in_a_name_is_one_only_with_its_check_digit() -> None:
    right = Item(text="BODI - 8683120043861 (КОМ) (Ђ)", price_minor=1000, quantity="1", amount_minor=1000)
    wrong = Item(text="BODI - 8683120043862 (КОМ) (Ђ)", price_minor=1000, quantity="1", amount_minor=1000)
    lines = read(replace(SALE, items=(right, wrong))).lines
    assert [line.gtin or None for line in lines] == ["8683120043861", None]


def test_tips_and_deposits_are_no_goods() -> None:
    items = tuple(
        Item(text=f"{name} (Г)", price_minor=1000, quantity="1", amount_minor=1000)
        for name in ("Напојница", "Повратна амбалажа", "Достава", "Поклон картица 1000", "Кафа")
    )
    lines = read(replace(SALE, items=items)).lines
    assert [line.kind for line in lines] == ["tip", "deposit", "fee", "giftcard", "goods"]


def test_a_wrapped_number_is_whole() -> None:
    for width in (40, 38, 32):
        receipt = read(
            replace(SALE, number="9VMEKMSN-DBV8GPO0-1599033", counter="1598723/1599033", width=width, tail="")
        )
        assert receipt.number == "9VMEKMSN-DBV8GPO0-1599033"
        assert receipt.fiscal
        assert receipt.fiscal.counter == "1598723/1599033ПП"


@pytest.mark.parametrize("centred", [False, True])
def test_a_long_header_is_put_together(centred: bool) -> None:
    name = "PREDUZECE ZA PROIZVODNJU I PROMET NEKRETNINA DUGACKO IME DOO BEOGRAD"
    location = "1207084-Prodavnica sa veoma dugackim imenom u centru grada"
    receipt = read(replace(SALE, name=name, location=location, centred=centred))
    assert receipt.fiscal
    assert receipt.fiscal.issuer
    issuer = receipt.fiscal.issuer
    assert (issuer.name, issuer.location_id) == (name, "1207084")
    assert issuer.location_name == location.partition("-")[2]
    assert (issuer.address, issuer.city) == (SALE.address, SALE.city)


def test_entities_and_markup_are_undone() -> None:
    item = Item(text='SIR "GAUDA" & KAJMAK <FIT>/KOM (Ђ)', price_minor=1000, quantity="1", amount_minor=1000)
    journal = replace(SALE, items=(item,), escaped=True, tail="")
    (receipt,) = decode(f"<pre>{printed(journal)}</pre>".encode()).receipts
    assert receipt.lines[0].description == 'SIR "GAUDA" & KAJMAK <FIT>'


def test_a_copy_of_a_refund_with_a_place_to_sign() -> None:
    # given what some tills print: points as decimals, a space after the minus, fewer rules
    text = """\
======== ОВО НИЈЕ ФИСКАЛНИ РАЧУН =======
               123456789
             Prodavnica doo
           1000001-Prodavnica
              Glavna 118
                Beograd
Касир:                               Ana
ЕСИР број:                     1083/1.33
Реф. број:       3WX5AH6Y-3WX5AH6Y-12319
-----------КОПИЈА РЕФУНДАЦИЈА-----------
Назив   Цена         Кол.         Укупно
Jabuka /Kg (Ж)
       100.00       5.34        - 534.00
Sveska /Kom (A)
      4000.00       1.00       - 4000.00
Укупна рефундација:              4534.00
Готовина:                        4534.00
        ОВО НИЈЕ ФИСКАЛНИ РАЧУН
Ознака        Име     Стопа        Порез
Ж             VAT    19.00%        85.26
Укупан износ пореза:               85.26
ПФР време:          21.05.2022. 20:06:00
ПФР број рачуна: 3WX5AH6Y-3WX5AH6Y-12322
Бројач рачуна:               168/12322КР

Потпис купца:________________________
======== ОВО НИЈЕ ФИСКАЛНИ РАЧУН =======
"""
    # when two of them stand in one file
    decoded = decode((text + text.replace("12322", "12323")).encode())
    # then both come out
    assert decoded.problems == ()
    assert [receipt.number for receipt in decoded.receipts] == ["3WX5AH6Y-3WX5AH6Y-12322", "3WX5AH6Y-3WX5AH6Y-12323"]
    receipt = decoded.receipts[0]
    assert (receipt.kind, receipt.status, receipt.problems) == ("return", "copy", ())
    assert [(line.quantity, line.unit, line.amount_minor) for line in receipt.lines] == [
        ("-5.34", "Kg", -53400), ("-1.00", "Kom", -400000),
    ]  # fmt: skip
    assert receipt.fiscal
    assert receipt.fiscal.issuer
    assert receipt.fiscal.issuer.city == "Beograd"


def test_an_advance_that_was_paid_before_is_a_means_of_payment() -> None:
    text = printed(replace(SALE, payments=(("Готовина", 10789),))).replace(
        "Готовина:", "Плаћено авансом:                  200,00\nПДВ на аванс:                      33,33\nГотовина:"
    )
    (receipt,) = decode(text.encode()).receipts
    assert receipt.problems == ()
    assert [(tender.kind, tender.amount_minor) for tender in receipt.tenders] == [("other", 20000), ("cash", 10789)]


def test_english_labels_are_read() -> None:
    text = """\
============ FISCAL INVOICE ============
101670560
Shop
1108934-Shop
Street 1
Town
Cashier:                             Ana
POS number:                  431/2.0.0.2
--------------NORMAL SALE---------------
Items
========================================
Name   Price         Qty.          Total
Bread/pcs (E)
        89,99          2          179,98
----------------------------------------
Total Purchase:                   179,98
Cash:                             200,00
========================================
Label       Name      Rate           Tax
E            VAT    10,00%         16,36
----------------------------------------
Total Tax:                         16,36
========================================
SDC Time:           31.12.2022. 15:51:57
SDC Invoice No: 746DUV64-746DUV64-16898
Invoice Counter:           16887/16898NS
========================================
======== END OF FISCAL INVOICE =========
"""
    (receipt,) = decode(text.encode()).receipts
    assert (receipt.number, receipt.total_minor, receipt.change_minor) == ("746DUV64-746DUV64-16898", 17998, 2002)
    assert receipt.problems == ()


def test_a_total_that_does_not_add_up_is_said_and_kept() -> None:
    text = printed(SALE).replace("307,89", "407,89")
    (receipt,) = decode(text.encode()).receipts
    assert receipt.total_minor == 40789
    assert [problem.code for problem in receipt.problems] == ["total_mismatch"]


@pytest.mark.parametrize(
    ("marker", "code"),
    [("ПФР број", "torn"), ("Укупан износ:", "torn"), ("Назив", "torn"), ("ПРОМЕТ", "torn"), ("        89,99", "torn")],
)
def test_a_torn_journal_is_a_problem_with_its_bytes_and_the_next_one_is_read(marker: str, code: str) -> None:
    # given a journal that breaks off, and a whole one after it
    whole = printed(replace(SALE, tail="", number="746DUV64-746DUV64-16899"))
    torn = printed(SALE)
    torn = torn[: torn.index(marker)]
    document = (torn + "\n" + whole).encode()
    # when both are read
    decoded = decode(document)
    # then the whole one comes out, and the torn one says where it is
    assert [receipt.number for receipt in decoded.receipts] == ["746DUV64-746DUV64-16899"]
    (problem,) = decoded.problems
    assert problem.start == 0
    assert document[problem.start : problem.end].decode().strip() == torn.strip()
    if marker != "ПФР број":
        assert problem.code == code


def test_a_till_code_page_on_paper_is_read_as_the_same_receipt() -> None:
    # given the journal printed in Cyrillic by code page, after a drawer kick, with its QR code and a cut
    journal = replace(SALE, tail="")
    url = b"https://suf.purs.gov.rs/v/?vl=AzEyMzQ1Njc4"
    for page, select in (("cp855", b"\x1bt\x22"), ("cp1251", b"\x1bt\x2e"), ("utf-8", b"")):
        text = printed(journal).encode(page).replace(b"\n", b"\r\n")
        qr = b"\x1d(k" + bytes((3 + len(url), 0)) + b"1P0" + url + b"\x1d(k\x03\x001Q0"
        document = b"\x1b@" + select + b"\x1bp\x00\x19\xfa" + text + qr + b"\n\x1dVB\x00"
        # when it is read
        (receipt,) = decode(document).receipts
        # then
        assert receipt.source == "escpos"
        assert receipt.number == journal.number
        assert receipt.problems == ()
        assert receipt.fiscal
        assert receipt.fiscal.issuer
        assert receipt.fiscal.issuer.address == journal.address
        assert receipt.fiscal.verification_url == url.decode()


letters = st.text("ABCDŠĐČĆŽ abcž0123456789.,-/+", min_size=1, max_size=70)


@st.composite
def journals(draw: st.DrawFn) -> Journal:
    """Journals of any shape. Names end in a letter, so that where a name ends is sure."""
    items = []
    for _ in range(draw(st.integers(1, 6))):
        price = draw(st.integers(1, 2_000_000))
        thousandths = draw(st.one_of(st.integers(1, 9).map(lambda count: count * 1000), st.integers(1, 99_999)))
        quantity = f"{thousandths // 1000}" + (f",{thousandths % 1000:03d}" if thousandths % 1000 else "")
        amount = int(Decimal(price * thousandths) / 1000 + Decimal("0.5"))
        name = " ".join(draw(letters).split())
        text = f"A{name}Q" + draw(st.sampled_from(["/KOM (Ђ)", " (Е)", " (КОМ) (Ђ)", "/KG (Ђ)", ""]))
        items.append(Item(text=text, price_minor=price, quantity=quantity, amount_minor=amount))
    return Journal(
        items=tuple(items),
        status=draw(st.sampled_from(["final", "advance", "copy", "training", "proforma"])),
        refund=draw(st.booleans()),
        latin=draw(st.booleans()),
        centred=draw(st.booleans()),
        width=draw(st.sampled_from([40, 38, 42, 48])),
        line_end=draw(st.sampled_from(["\n", "\r\n"])),
        trimmed=draw(st.booleans()),
        tail=draw(st.sampled_from(["", Journal().tail])),
        payments=draw(st.sampled_from([(("Готовина", 0),), (("Платна картица", 0),)])),
    )


@given(journals())
def test_whatever_is_printed_is_read_back(journal: Journal) -> None:
    receipt = read(journal)
    sign = -1 if journal.refund else 1
    assert receipt.problems == ()
    assert [line.amount_minor for line in receipt.lines] == [sign * item.amount_minor for item in journal.items]
    expected = [item.text.translate(LATIN) if journal.latin else item.text for item in journal.items]
    names = [text[: text.rindex("Q") + 1] for text in expected]
    assert [_spaceless(line.description or "") for line in receipt.lines] == [_spaceless(name) for name in names]
    assert not any(line.discount_minor for line in receipt.lines)


def _spaceless(text: str) -> str:
    return "".join(text.split())


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the shared captures are not here")
@pytest.mark.parametrize("number", range(1, 13))
def test_real_journals_reconcile(number: int) -> None:
    document = (CORPUS / f"{number}.txt").read_bytes()
    decoded = decode(document)
    assert (decoded.ignored, decoded.problems) == ((), ())
    (receipt,) = decoded.receipts
    assert receipt.problems == ()
    assert receipt.lines
    assert receipt.fiscal
    assert receipt.fiscal.number == receipt.number
    assert receipt.key == key_of(rs_purs(receipt.number or ""))
