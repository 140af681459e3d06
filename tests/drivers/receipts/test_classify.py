"""What is no receipt is named, and a receipt is never named away."""

from __future__ import annotations

import pytest

from drivers.receipts.classify import classified
from drivers.receipts.decode import decode

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
