"""What is no receipt is named, and a receipt is never named away."""

from __future__ import annotations

import pytest

from drivers.receipts.classify import classified
from drivers.receipts.decode import decode
from drivers.receipts.port import DecodeOptions

ZAGREB = DecodeOptions(time_zone="Europe/Zagreb")
SLIP = """\
EXAMPLE SHOP
MERCHANT COPY
Terminal ID: 12345678
VISA ************1234
AID A0000000031010
Amount EUR 5.49
TOTAL EUR 5.49
APPROVED
22.11.2026 10:01
Receipt no 0042
"""
GERMAN_SLIP = """\
** Kundenbeleg **
22.11.2026  10:01
Terminal-ID 54001122
TA-Nr. 001234  BNr 0042
Kartenzahlung
girocard kontaktlos
Betrag EUR 5,49
Zahlung erfolgt
"""
SERBIAN_SLIP = "PRODAVNICA\nKOPIJA ZA KORISNIKA\nTID 00112233\nDINACARD ****1234\nIZNOS 549,00 RSD\nODOBRENO\n"
Z_REPORT = (
    "EXAMPLE SHOP\nZ-REPORT 117\n22.11.2026 20:01\nGross 1,234.00\nTOTAL EUR 1,234.00\nCASH 1,000.00\nCARD 234.00\n"
)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (SLIP, "card_slip"),
        (GERMAN_SLIP, "card_slip"),
        (SERBIAN_SLIP, "card_slip"),
        (Z_REPORT, "z_report"),
        ("Tagesabschluss\nSumme 100,00\n", "z_report"),
        ("DNEVNI IZVEŠTAJ\nPromet 100,00\n", "z_report"),
        ("X REPORT\nSales 100.00\nTOTAL 100.00\n", "x_report"),
        ("PRESEK STANJA\nPromet 100,00\n", "x_report"),
        ("KITCHEN\nTable 5\n2 Burger\n1 Cola\n", "kitchen_ticket"),
        ("KUHINJA\nSto 5\n2 Ćevapi\n", "kitchen_ticket"),
        ("SIGN ON\nOperator 7\n22.11.2026 08:00\n", "sign_on"),
        ("Prijava kasira: 7\n", "sign_on"),
        ("NO SALE\n22.11.2026 08:00\n", "drawer"),
        ("Nullbon\n", "drawer"),
        # German
        ("MARKT 7\n*** Z-Bericht Nr. 12 ***\nBrutto 100,00\nSumme EUR 100,00\n", "z_report"),
        ("Kassenabschluss\n22.11.2026\nGesamt 100,00\n", "z_report"),
        ("Schichtabrechnung\nBediener 7\nSumme 100,00\n", "x_report"),
        ("Küche\nTisch 5\n2 x Schnitzel\n", "kitchen_ticket"),
        ("Thekenbon 14\nTisch 5\nBier 4,20\nSumme 4,20\n", "kitchen_ticket"),
        ("Wechselgeldeinlage\nBetrag EUR 200,00\n", "cash_movement"),
        ("Anmeldung\nBediener 7\n", "sign_on"),
        ("Testdruck\n1234567890\n", "test_page"),
        # Serbian, in both alphabets
        ("ДНЕВНИ ИЗВЕШТАЈ\nУкупан промет 100,00\n", "z_report"),
        ("ПРЕСЕК СТАЊА\nПромет 100,00\n", "x_report"),
        ("ШАНК\nСто 5\n2 Пиво\n", "kitchen_ticket"),
        ("Porudžbina 14\nSto 5\nKafa 2 x 150,00 300,00\n", "kitchen_ticket"),
        ("Одјава оператера 7\n", "sign_on"),
        ("Unos novca\nIznos 5.000,00\n", "cash_movement"),
        ("Otvaranje fioke\n", "drawer"),
        # Croatian
        ("Z IZVJEŠĆE br. 12\nUKUPNO EUR 100,00\n", "z_report"),
        ("ZAKLJUČAK BLAGAJNE\nUKUPNO EUR 100,00\n", "z_report"),
        ("Presjek blagajne\nUKUPNO EUR 100,00\n", "x_report"),
        ("Narudžba za kuhinju 3\nStol 5\n1 Juha 4,00\n", "kitchen_ticket"),
        ("Prijava blagajnika 7\n", "sign_on"),
        ("Otvaranje ladice\n", "drawer"),
        ("PRIMJERAK ZA KUPCA\nTID 123\nVISA ****1234\nUKUPNO EUR 5,49\nAutorizacija 123456\nODOBRENO\n", "card_slip"),
        # Slovenian
        ("DNEVNI ZAKLJUČEK\nSKUPAJ EUR 100,00\n", "z_report"),
        ("X POROČILO\nSKUPAJ EUR 100,00\n", "x_report"),
        ("NAROČILO 14\nMiza 5\n2 Kava\n", "kitchen_ticket"),
        ("Odjava natakarja 7\n", "sign_on"),
        ("Odpiranje predala\n", "drawer"),
        ("POTRDILO ZA IMETNIKA\nTID 123\nZnesek EUR 5,49\nAvtorizacija 123456\nPlačilo odobreno\n", "card_slip"),
        # a report without a title
        ("SHOP\n22.11.2026\nGross sales 90.00\nNet sales 75.00\nCash in drawer 190.00\nTOTAL 90.00\n", "z_report"),
    ],
)
def test_kinds(text: str, kind: str) -> None:
    decoded = decode(text.encode())
    assert [ignored.kind for ignored in decoded.ignored] == [kind]
    assert (decoded.receipts, decoded.problems) == ((), ())


@pytest.mark.parametrize(
    ("document", "kind"),
    [(b"", "blank"), (b"\n \n", "blank"), (b"\x1b@\x1bp\x00\x19\xfa", "drawer"), (b"\x1b@\x1dV\x00", "blank")],
)
def test_paper_without_print(document: bytes, kind: str) -> None:
    decoded = decode(document)
    assert [(ignored.kind, ignored.start, ignored.end) for ignored in decoded.ignored] == [(kind, 0, len(document))]


def test_what_nothing_gives_away_stays_a_problem_with_its_bytes() -> None:
    assert classified(["Some", "text"]) is None
    decoded = decode(b"Some\ntext\n")
    assert [(problem.code, problem.start, problem.end) for problem in decoded.problems] == [("unknown_layout", 0, 10)]


def test_a_receipt_that_carries_its_card_slip_is_a_receipt() -> None:
    sale = "Store 1 Register 2\nReceipt 7 22.11.2026 10:01\nBread 5.49\nTOTAL EUR 5.49\nVISA 5.49\n"
    decoded = decode((sale + SLIP.replace("Receipt no 0042\n", "")).encode())
    assert [receipt.number for receipt in decoded.receipts] == ["7"]


def test_a_z_report_with_a_number_is_no_receipt() -> None:
    assert decode(("Receipt 99\n" + Z_REPORT).encode()).receipts == ()


@pytest.mark.parametrize(
    "lines",
    [
        "Kitchen towels  2.99\nTOTAL EUR  2.99\nCASH  2.99",
        "Visit our kitchen\nPotato chip, slip resistant pan  2.99\nTOTAL EUR  2.99\nVISA  2.99",
        "Generation Z report (book)  2.99\nTOTAL EUR  2.99\nCASH  2.99",
        "Best prices until the end of day, every day of the week, in all our shops\nBread  2.99\nTOTAL EUR  2.99",
        "Sign in at example.com for your points\nBread  2.99\nTOTAL EUR  2.99",
        "Bread  2.99\nTOTAL EUR  2.99\nVISA  2.99\nTID 12345678\nAUTH 123456\nAPPROVED\n\nThank you",
        "Bread  2.99\nTOTAL EUR  2.99\nCASH  2.99\nCustomer copy",
    ],
)
def test_a_receipt_that_uses_such_words_is_a_receipt(lines: str) -> None:
    decoded = decode(f"EXAMPLE SHOP\nStore 1 Register 2\nReceipt 7  22.11.2026 10:01\n{lines}\n".encode(), ZAGREB)
    (receipt,) = decoded.receipts
    assert (receipt.number, receipt.total_minor, receipt.problems) == ("7", 299, ())
    assert (decoded.ignored, decoded.problems) == ((), ())


SALE = "EXAMPLE SHOP\nStore 1 Register 2\nReceipt 7  22.11.2026 10:01\nBread  5.49\nTOTAL EUR  5.49\nVISA  5.49\n"
SLIPS = {"english": SLIP, "german": GERMAN_SLIP, "serbian": SERBIAN_SLIP}


@pytest.mark.parametrize("slip", SLIPS.values(), ids=SLIPS)
@pytest.mark.parametrize("gap", ["\n", "--------------\n", "\n\n"])
@pytest.mark.parametrize("slip_first", [True, False], ids=["before", "after"])
def test_a_slip_on_the_paper_of_a_receipt_is_counted_and_changes_nothing(slip: str, gap: str, slip_first: bool) -> None:
    # given a receipt alone, and with its slip on the same paper, before or after it, with no cut between
    (alone,) = decode(SALE.encode(), ZAGREB).receipts
    parts = (slip, SALE) if slip_first else (SALE, slip)

    decoded = decode(gap.join(parts).encode(), ZAGREB)

    # then it is the same receipt, paid once
    assert decoded.receipts == (alone,)
    assert [ignored.kind for ignored in decoded.ignored] == ["card_slip"]
    assert decoded.problems == ()


def test_a_slip_within_a_receipt_is_part_of_it() -> None:
    foot = "\nVAT 20%  4.57  0.92\nThank you\n"
    (alone,) = decode((SALE + foot).encode(), ZAGREB).receipts
    decoded = decode((SALE + "\n" + SLIP + foot).encode(), ZAGREB)
    assert decoded.receipts == (alone,)
    assert decoded.ignored == ()


def test_a_receipt_that_tells_its_payment_in_the_slip_only_is_paid() -> None:
    unpaid = SALE.removesuffix("VISA  5.49\n")
    (receipt,) = decode((unpaid + "\nTID 123\nVISA  5.49\nAPPROVED\n\nThank you\n").encode(), ZAGREB).receipts
    assert [(tender.kind, tender.amount_minor) for tender in receipt.tenders] == [("card", 549)]
    assert receipt.problems == ()


def test_both_copies_of_a_slip_between_two_receipts() -> None:
    second = SALE.replace("Receipt 7", "Receipt 8")
    copies = SLIP + "\n" + SLIP.replace("MERCHANT", "CUSTOMER")
    decoded = decode(f"{SALE}\n{copies}\n{second}".encode(), ZAGREB)
    assert [(receipt.number, receipt.total_minor, receipt.problems) for receipt in decoded.receipts] == [
        ("7", 549, ()),
        ("8", 549, ()),
    ]
    assert {ignored.kind for ignored in decoded.ignored} == {"card_slip"}


GIVEN_UP = "CORNER SHOP\nReceipt No 17\n22.11.2026 09:07\nBread  1 x 5.90      5.90\n"


@pytest.mark.parametrize(
    "said", ["*** VOIDED ***", "SALE CANCELLED", "STORNIERT", "- STORNIRANO -", "PONIŠTENO", "Поништено"]
)
def test_a_sale_that_was_given_up_before_its_total_is_none(said: str) -> None:
    decoded = decode(f"{GIVEN_UP}{said}\n".encode())

    assert [ignored.kind for ignored in decoded.ignored] == ["voided_sale"]
    assert (decoded.receipts, decoded.problems) == ((), ())


def test_with_a_total_it_is_a_voided_receipt_and_without_the_word_it_is_torn() -> None:
    (voided,) = decode(f"{GIVEN_UP}TOTAL EUR            5.90\n*** VOIDED ***\n".encode()).receipts
    (torn,) = decode(f"{GIVEN_UP}Void-proof bag       1.00\n".encode()).problems

    assert voided.status == "voided"
    assert torn.code == "torn"
