"""What the virtual till prints is read as what it meant; what is no receipt is not taken for one."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest

from agent.demo.pos import (
    Article,
    Issued,
    Item,
    PrinterSilentError,
    ReceiptSpec,
    Shop,
    VirtualPos,
    compose_card_slip,
    compose_fiscal_receipt,
    compose_text_receipt,
    compose_z_report,
    pfr_number,
    verification_url,
)
from agent.demo.printer import VirtualPrinter
from drivers.receipts.decode import decode
from drivers.receipts.port import DecodeOptions
from loyalty.identity import key_of, rs_purs
from loyalty.receipt import Receipt

SHOP = Shop(
    store="12",
    register="3",
    tin="109876543",
    company="KOD ČESME DOO",
    location_id="1204567",
    location="Kod Česme na uglu Dorćola, preko puta parka",
    address="ГОСПОДАР ЈЕВРЕМОВА 21",
    city="Београд-Стари Град",
    fiscal_device="TQ7XK2RD",
)
AT = datetime(2026, 11, 22, 9, 7, 14, tzinfo=ZoneInfo("Europe/Belgrade"))
ITEMS = (
    Item(article=Article(name="MLEKO SVEŽE 2,8% MM 1L", price_minor=15999, tax="Е")),
    Item(article=Article(name="BANANE", price_minor=17999, tax="Е", unit="KG"), thousandths=1236),
    Item(article=Article(name="Кафа млевена традиционална са Златибора 200г", price_minor=31499), thousandths=2000),
)
SALE = ReceiptSpec(number=16898, number_of_kind=16887, items=ITEMS, issued_at=AT, cashier="Јована", paid_minor=200_000)
ORIGINAL = Issued(number=pfr_number(SALE, SHOP), issued_at=AT)


def read(job: bytes) -> Receipt:
    """The one receipt of a job."""
    decoded = decode(job, DecodeOptions(time_zone="Europe/Belgrade"))
    assert decoded.problems == ()
    (receipt,) = decoded.receipts
    assert receipt.problems == (), "it reconciles"
    return receipt


def test_a_sale_is_read_as_it_was_meant() -> None:
    receipt = read(compose_fiscal_receipt(SALE, SHOP))

    assert (receipt.kind, receipt.status, receipt.total_minor) == ("sale", "final", 101_244)
    assert [line.amount_minor for line in receipt.lines] == [15999, 22247, 62998]
    assert [line.description for line in receipt.lines] == [item.article.name for item in ITEMS]
    assert [line.unit for line in receipt.lines] == ["KOM", "KG", "KOM"]
    assert (receipt.tenders[0].amount_minor, receipt.change_minor) == (200_000, 98_756)
    assert receipt.issued_at == AT
    assert receipt.key == key_of(rs_purs("TQ7XK2RD-TQ7XK2RD-16898"))
    assert receipt.fiscal
    assert receipt.fiscal.counter == "16887/16898ПП"
    assert receipt.fiscal.verification_url == verification_url(SALE, SHOP)
    assert receipt.fiscal.issuer
    assert receipt.fiscal.issuer.name == SHOP.company
    assert receipt.fiscal.issuer.location_name == SHOP.location


def test_a_refund_names_its_original_and_turns_every_sign() -> None:
    receipt = read(
        compose_fiscal_receipt(
            ReceiptSpec(
                number=16899, number_of_kind=12, items=ITEMS, issued_at=AT, cashier="Јована", original=ORIGINAL
            ),
            SHOP,
        )
    )

    assert (receipt.kind, receipt.total_minor) == ("return", -101_244)
    assert receipt.original
    assert receipt.original.key == key_of(rs_purs("TQ7XK2RD-TQ7XK2RD-16898"))


def test_a_copy_is_a_copy() -> None:
    copy = ReceiptSpec(
        number=16900, number_of_kind=1, items=ITEMS, issued_at=AT, cashier="Јована", original=ORIGINAL, is_copy=True
    )

    assert read(compose_fiscal_receipt(copy, SHOP)).status == "copy"


def test_the_verification_code_is_sealed_as_the_tax_administration_does_it() -> None:
    url = verification_url(SALE, SHOP)
    sealed = base64.b64decode(urlsplit(url).query.removeprefix("vl="))

    assert sealed[0] == 3
    assert sealed[1:9] == b"TQ7XK2RD"
    assert int.from_bytes(sealed[17:21], "little") == 16898
    assert int.from_bytes(sealed[25:33], "little") == 101_244 * 100
    assert int.from_bytes(sealed[33:41], "big") == int(AT.timestamp()) * 1000
    assert hashlib.md5(sealed[:-16]).digest() == sealed[-16:]


def test_a_plain_till_is_read_too() -> None:
    receipt = read(compose_text_receipt(SALE, SHOP))

    assert (receipt.kind, receipt.total_minor, receipt.currency) == ("sale", 101_244, "RSD")
    assert (receipt.store, receipt.register, receipt.number) == ("12", "3", "16898")
    assert [line.amount_minor for line in receipt.lines] == [15999, 22247, 62998]
    assert [line.quantity for line in receipt.lines] == ["1", "1.236", "2"]
    assert (receipt.tenders[0].kind, receipt.change_minor) == ("cash", 98_756)
    assert receipt.issued_at == AT
    assert "pos:12/3/2026-11-22/16898" in (receipt.also or ()) or receipt.key == key_of("pos:12/3/2026-11-22/16898")


def test_a_plain_till_prints_returns_copies_and_members() -> None:
    refund = ReceiptSpec(
        number=16901,
        number_of_kind=1,
        items=ITEMS[:1],
        issued_at=AT,
        cashier="Јована",
        original=Issued(number="16898", issued_at=AT),
    )
    copy = ReceiptSpec(
        number=16898,
        number_of_kind=1,
        items=ITEMS[:1],
        issued_at=AT,
        cashier="Јована",
        original=Issued(number="16898", issued_at=AT),
        is_copy=True,
    )

    returned = read(compose_text_receipt(refund, SHOP))
    member = read(compose_text_receipt(SALE, SHOP, member="KC00000017F")).member

    assert (returned.kind, returned.total_minor) == ("return", -15_999)
    assert returned.original
    assert returned.original.key == key_of("pos:12/3/2026-11-22/16898")
    assert read(compose_text_receipt(copy, SHOP)).status == "copy"
    assert member
    assert member.code == "KC00000017F"


@pytest.mark.parametrize(
    ("job", "kind"),
    [
        (compose_card_slip(amount_minor=101_244, at=AT, terminal="T0004711", authorisation="083421"), "card_slip"),
        (compose_z_report(shop=SHOP, at=AT, number=77, receipts=60, total_minor=12_345_678), "z_report"),
    ],
)
def test_what_is_no_receipt_is_recognised(job: bytes, kind: str) -> None:
    decoded = decode(job, DecodeOptions())

    assert (decoded.receipts, decoded.problems) == ((), ())
    assert [ignored.kind for ignored in decoded.ignored] == [kind]


async def test_the_till_sends_and_is_told_when_the_printer_is_off() -> None:
    printer = VirtualPrinter()
    await printer.switch_on()
    till = VirtualPos(printer.address)

    await till.send(compose_text_receipt(SALE, SHOP))
    assert printer.cuts == 1
    await printer.switch_off()
    with pytest.raises(ConnectionError):
        await till.send(compose_text_receipt(SALE, SHOP))

    assert issubclass(PrinterSilentError, ConnectionError)
