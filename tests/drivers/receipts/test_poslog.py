"""POSLog transactions come out as receipts in the contract's sense, whichever way a register writes them."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import msgspec
import pytest
from msgspec import UNSET, UnsetType

from drivers.receipts.decode import Decoded, decode
from drivers.receipts.port import DecodeOptions
from loyalty.identity import identity_keys, key_of
from loyalty.receipt import Receipt
from loyalty.sightings import sighting_of
from tests.drivers.receipts.poslogs import (
    control,
    line,
    link,
    modifier,
    poslog,
    sale,
    tax,
    tender,
    transaction,
)

CORPUS = Path(__file__).parents[4] / "shared" / "corpora" / "poslog"
CARD = "4111111111111111"


def read(*transactions: str, zone: str | None = None) -> Decoded:
    return decode(poslog(*transactions).encode(), DecodeOptions(time_zone=zone))


def only(*items: str, total: str | None, **more: str) -> Receipt:
    """The one receipt of a transaction, which adds up."""
    decoded = read(transaction(*items, total=total, **more))
    assert decoded.problems == ()
    (receipt,) = decoded.receipts
    assert receipt.problems == ()
    return receipt


def amounts(receipt: Receipt) -> list[tuple[int, int]]:
    return [(each.amount_minor, each.discount_minor) for each in receipt.lines]


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the foreign captures are not here")
def test_the_foreign_capture() -> None:
    document = (CORPUS / "ncr-ixretail-2.1-small.xml").read_bytes()
    decoded = decode(document, DecodeOptions(time_zone="America/Los_Angeles"))
    assert [ignored.kind for ignored in decoded.ignored] == ["sign_on"]
    (receipt,) = decoded.receipts
    assert (receipt.store, receipt.register, receipt.number, receipt.total_minor) == ("9", "34", "161", 107)
    assert receipt.key == key_of("pos:9/34/2017-09-30/161")
    # a reward counts once, though it is told for its line, summed up, and as an offer without money
    assert (amounts(receipt), [each.amount_minor for each in receipt.discounts]) == ([(126, 0)], [19])
    assert receipt.lines[0].quantity == "0.42"
    assert receipt.lines[0].department == "6"
    assert receipt.member
    assert receipt.member.code == "0000000000000040000066677"
    assert receipt.problems == ()


@pytest.mark.parametrize(
    ("levels", "department"),
    [
        ('<MerchandiseHierarchy Level="Class">9</MerchandiseHierarchy>'
         '<MerchandiseHierarchy Level="Department">6</MerchandiseHierarchy>', "6"),
        ("<MerchandiseHierarchy>7</MerchandiseHierarchy>", "7"),
        ('<MerchandiseHierarchy Level="Class">9</MerchandiseHierarchy>'
         '<MerchandiseHierarchy Level="Line">8</MerchandiseHierarchy>', UNSET),
    ],
)  # fmt: skip
def test_the_department_of_goods(levels: str, department: str | UnsetType) -> None:
    receipt = only(sale("2.99", more=levels), tender("2.99"), total="2.99")

    assert [goods.department for goods in receipt.lines] == [department]


def test_a_sale_says_who_when_and_what() -> None:
    receipt = only(
        sale(
            "2.99",
            quantity="1.250",
            price="2.392",
            name="Sir",
            item="3838800000015",
            quantity_attributes='UnitOfMeasureCode="KG"',
            attributes='EntryMethod="Scanned"',
        ),
        tender("5.00"),
        line("<TenderChange><Amount>2.01</Amount></TenderChange>"),
        line(tax("0.50", included=True)),
        total="2.99",
    )
    assert receipt.key == key_of("pos:12/3/2026-11-22/4711")
    assert (receipt.source, receipt.kind, receipt.status, receipt.operator) == ("poslog", "sale", "final", "7")
    assert receipt.issued_at
    assert receipt.issued_at.isoformat() == "2026-11-22T09:07:14+01:00"
    (goods,) = receipt.lines
    assert (goods.description, goods.gtin, goods.quantity, goods.unit) == ("Sir", "3838800000015", "1.250", "KG")
    assert [(each.kind, each.amount_minor) for each in receipt.tenders] == [("cash", 500)]
    assert receipt.change_minor == 201
    assert [(each.label, each.rate, each.amount_minor, each.included) for each in receipt.taxes] == [
        ("A", "20", 50, True)
    ]


@pytest.mark.parametrize(
    ("numbers", "gtin", "sku"),
    [
        ("<ItemID>1001</ItemID>", None, "1001"),
        ("<ItemID>3838800000015</ItemID>", "3838800000015", None),
        ("<ItemID>03838800000015</ItemID>", "3838800000015", None),
        ("<ItemID Type='SKU'>3838800000015</ItemID>", None, "3838800000015"),
        # as one of the public logs has it: the same number twice, with zeros in front
        (
            "<POSIdentity POSIDType='GTIN'><POSItemID>00000000067591</POSItemID></POSIdentity>"
            "<ItemID>00000000067591</ItemID>",
            "00067591",
            None,
        ),
        (
            "<POSIdentity POSIDType='EAN13'><POSItemID>3838800000015</POSItemID></POSIdentity><ItemID>1001</ItemID>",
            "3838800000015",
            "1001",
        ),
        (
            "<POSIdentity POSIDType='SKU'><POSItemID>1001</POSItemID></POSIdentity><ItemID>3838800000015</ItemID>",
            "3838800000015",
            "1001",
        ),
        # a number of the shop's that looks like a GTIN by chance, beside what was scanned
        (
            "<POSIdentity POSIDType='GTIN'><POSItemID>3838800000015</POSItemID></POSIdentity>"
            "<ItemID>100000000007</ItemID>",
            "3838800000015",
            "100000000007",
        ),
        (
            "<ItemID>03838800000015</ItemID><SerialNumber Type='GTIN'>3838800000015</SerialNumber>",
            "3838800000015",
            None,
        ),
        ("<POSIdentity><POSItemID>705438</POSItemID></POSIdentity>", None, "705438"),
        ("<POSIdentity POSIDType='GTIN'><POSItemID></POSItemID></POSIdentity>", None, None),
    ],
)
def test_an_articles_number_is_given_once(numbers: str, gtin: str | None, sku: str | None) -> None:
    sold = line(f"<Sale>{numbers}<ExtendedAmount>1.00</ExtendedAmount><Quantity>1</Quantity></Sale>")
    (goods,) = only(sold, tender("1.00"), total="1.00").lines
    assert (goods.gtin or None, goods.sku or None) == (gtin, sku)


def test_both_versions_and_any_prefix_say_the_same() -> None:
    def one(document: str) -> Receipt:
        (receipt,) = decode(document.encode()).receipts
        return receipt

    parts = (sale("3.00", price="3.00"), tender("3.00"))
    new = one(poslog(transaction(*parts, total="3.00")))
    old = one(poslog(transaction(*parts, total="3.00", version=2)))
    prefixed = one(poslog(transaction(*parts, total="3.00"), prefix="ix"))
    undeclared = one(poslog(transaction(*parts, total="3.00", more="<v:Thing v:x='1'>1</v:Thing>")))
    assert new == old == prefixed == undeclared


@pytest.mark.parametrize(
    ("items", "total"),
    [
        # a Return element, its amounts positive or negative, the total too
        ((sale("3.00", kind="Return", price="3.00"), tender("3.00", code="Refund")), "-3.00"),
        ((sale("-3.00", kind="Return", quantity="-1"), tender("3.00", code="Refund")), "3.00"),
        # a Sale of -1 with a positive amount
        ((sale("3.00", quantity="-1", price="3.00"), tender("3.00", code="Refund")), "-3.00"),
        # a Sale whose money went out
        ((sale("3.00", price="3.00"), tender("3.00", code="Refund")), "3.00"),
        # all of it negative
        ((sale("-3.00", quantity="-1"), tender("-3.00")), "-3.00"),
        ((sale("-3.00", quantity="1"), tender("-3.00")), "-3.00"),
        # a return whose payment prints as one
        ((sale("3.00", kind="Return"), tender("3.00")), "3.00"),
    ],
)
def test_each_style_of_return_is_negative(items: tuple[str, ...], total: str) -> None:
    receipt = only(*items, line(tax("0.50", included=True)), total=total)
    assert receipt.kind == "return"
    assert (receipt.total_minor, amounts(receipt)) == (-300, [(-300, 0)])
    assert receipt.lines[0].quantity == "-1"
    assert [each.amount_minor for each in receipt.tenders] == [-300]
    assert [each.amount_minor for each in receipt.taxes] == [-50]


def test_a_return_names_its_original() -> None:
    receipt = only(
        sale("3.00", kind="Return", more=link("Return", 4700, register="5")),
        tender("3.00", code="Refund"),
        total="-3.00",
    )
    assert receipt.original
    assert receipt.original.key == key_of("pos:12/5/2026-11-21/4700")
    assert receipt.original.number == "4700"


@pytest.mark.parametrize(
    ("paid", "total"), [(tender("2.00"), "2.00"), (tender("1.00", code="Refund"), "-1.00")], ids=["paid", "given back"]
)
def test_goods_out_and_back_are_an_exchange(paid: str, total: str) -> None:
    out = "5.00" if total == "2.00" else "2.00"
    receipt = only(sale(out, item="1"), sale("3.00", kind="Return", item="2"), paid, total=total)
    assert receipt.kind == "exchange"
    assert [each.amount_minor for each in receipt.lines] == [int(out[0]) * 100, -300]
    assert receipt.total_minor == int(total.replace(".", ""))


def test_a_bottle_given_back_and_a_corrected_line_make_no_return() -> None:
    bottle = only(sale("5.00"), sale("-0.25", name="Pfand", quantity="-1", item="9"), tender("4.75"), total="4.75")
    assert (bottle.kind, bottle.lines[1].kind, bottle.lines[1].amount_minor) == ("sale", "deposit", -25)
    corrected = only(
        sale("5.00", item="1"),
        sale("3.00", item="2"),
        sale("-3.00", quantity="-1", item="2"),
        tender("5.00"),
        total="5.00",
    )
    assert corrected.kind == "sale"


@pytest.mark.parametrize(
    ("item", "discount", "line_amounts", "receipt_discounts"),
    [
        # the extended amount holds the discount already, or not yet
        (sale("8.00", price="10.00", more=modifier("2.00")), "", [(800, 200)], []),
        (sale("10.00", price="10.00", more=modifier("2.00")), "", [(800, 200)], []),
        (
            sale("10.00", price="10.00", more="<ExtendedDiscountAmount>2.00</ExtendedDiscountAmount>"),
            "",
            [(800, 200)],
            [],
        ),
        # a discount on the receipt beside its share in the line: of both, only one counts
        (sale("10.00", price="10.00", more=modifier("2.00", rule="Transaction")), "2.00", [(1000, 0)], [200]),
        (sale("8.00", price="10.00", more=modifier("2.00", rule="Transaction")), "2.00", [(800, 200)], []),
        (sale("10.00", price="10.00", more=modifier("2.00")), "2.00", [(800, 200)], []),
        # nothing names it, or nothing but its percentage
        (sale("8.00", price="10.00"), "", [(800, 200)], []),
        (
            sale(
                "8.00",
                price="10.00",
                more='<RetailPriceModifier><Percent Action="Subtract">20</Percent></RetailPriceModifier>',
            ),
            "",
            [(800, 200)],
            [],
        ),
    ],
)
def test_a_discount_counts_once(
    item: str, discount: str, line_amounts: list[tuple[int, int]], receipt_discounts: list[int]
) -> None:
    more = [line(f"<Discount><Amount>{discount}</Amount></Discount>")] if discount else []
    receipt = only(item, *more, tender("8.00"), total="8.00")
    assert amounts(receipt) == line_amounts
    assert [each.amount_minor for each in receipt.discounts] == receipt_discounts


@pytest.mark.parametrize("flag", [None, True, False])
@pytest.mark.parametrize(("total", "included"), [("10.00", True), ("12.00", False)])
def test_whether_a_tax_is_in_the_prices_the_total_tells(flag: bool | None, total: str, included: bool) -> None:
    receipt = only(sale("10.00"), line(tax("2.00", included=flag)), tender(total), total=total)
    assert [each.included for each in receipt.taxes] == [included]


def test_taxes_of_lines_are_summed_where_the_receipt_has_none() -> None:
    lines = (sale("6.00", more=tax("1.00", included=True)), sale("12.00", more=tax("2.00", included=True)))
    receipt = only(*lines, tender("18.00"), total="18.00")
    assert [(each.amount_minor, each.label) for each in receipt.taxes] == [(300, "A")]
    assert receipt.lines[0].tax_labels == ("A",)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("Cash", "cash"),
        ("CreditDebit", "card"),
        ("Check", "cheque"),
        ("GiftCard", "giftcard"),
        ("GiftCertificate", "giftcard"),
        ("Voucher", "voucher"),
        ("Coupon", "coupon"),
        ("CustomerAccount", "other"),
        ("v:LoyaltyPoints", "points"),
        ("X:Odd", "other"),
    ],
)
def test_kinds_of_tender(kind: str, expected: str) -> None:
    assert only(sale("3.00"), tender("3.00", kind=kind), total="3.00").tenders[0].kind == expected


def test_foreign_money_keeps_its_own_amount() -> None:
    face = "<CurrencyCode>USD</CurrencyCode><OriginalFaceAmount>3.30</OriginalFaceAmount>"
    inner = f"<ForeignCurrency>{face}</ForeignCurrency>"
    (paid,) = only(sale("3.00"), tender("3.00", kind="ForeignCurrency", more=inner), total="3.00").tenders
    assert (paid.kind, paid.amount_minor, paid.currency, paid.foreign_minor) == ("foreign", 300, "USD", 330)


@pytest.mark.parametrize(
    "change",
    [
        tender("10.00", more="<TenderChange><Amount>7.00</Amount></TenderChange>"),
        tender("10.00")
        + line("<TenderChange TypeCode='Refund'><TenderChange><Amount>7.00</Amount></TenderChange></TenderChange>"),
        tender("10.00") + tender("7.00", code="Refund"),
        tender("10.00") + tender("-7.00"),
        tender("10.00"),
    ],
)
def test_change_however_it_is_written(change: str) -> None:
    receipt = only(sale("3.00"), change, total="3.00")
    assert (receipt.kind, receipt.change_minor, [each.amount_minor for each in receipt.tenders]) == (
        "sale",
        700,
        [1000],
    )


def test_rounding_is_in_the_total_or_in_the_payment() -> None:
    rounding = line("<Rounding RoundingDirection='Up'>0.02</Rounding>")
    inside = only(sale("2.98"), rounding, tender("3.00"), total="3.00")
    assert (inside.total_minor, inside.rounding_minor) == (300, 2)
    beside = only(sale("2.98"), rounding, tender("3.00"), total="2.98")
    assert (beside.total_minor, beside.rounding_minor) == (298, 0)
    assert [each.amount_minor for each in beside.tenders] == [300, -2]


def test_voided_lines_are_kept_and_do_not_count() -> None:
    receipt = only(
        sale("3.00"),
        sale("9.00", attributes='VoidFlag="true"'),
        tender("12.00").replace("<LineItem ", "<LineItem VoidFlag='true' "),
        tender("3.00"),
        total="3.00",
    )
    assert [(each.amount_minor, each.voided) for each in receipt.lines] == [(300, False), (900, True)]
    assert [each.amount_minor for each in receipt.tenders] == [300]


@pytest.mark.parametrize(
    ("flags", "status", "expected"),
    [
        ('CancelFlag="true"', "", "voided"),
        ('TrainingModeFlag="true"', "", "training"),
        ('TrainingModeFlag="1"', "", "training"),
        ('OfflineFlag="true"', "", "final"),
        ('SuspendFlag="true"', "", "suspended"),
        ("", "Suspended", "suspended"),
        ("", "Canceled", "voided"),
        ("", "Tendered", "final"),
        ('TrainingModeFlag="false" CancelFlag="false"', "", "final"),
    ],
)
def test_flags_and_statuses(flags: str, status: str, expected: str) -> None:
    assert only(sale("3.00"), tender("3.00"), total="3.00", flags=flags, status=status).status == expected


def test_a_resumed_sale_is_the_suspended_one() -> None:
    # given a sale parked at one register and finished at another
    parked = transaction(sale("3.00"), total="3.00", flags='SuspendFlag="true"', number=1)
    finished = transaction(
        sale("3.00"), sale("2.00"), tender("5.00"), link("Resume", 1, day="2026-11-22"), total="5.00", number=2
    )
    first, second = read(parked, finished).receipts
    # then both are one transaction, of which the second is the later stage, and has its own number for its key
    assert first.status == "suspended"
    assert first.key in identity_keys(second)
    assert second.key == key_of("pos:12/3/2026-11-22/2")
    assert sighting_of(first, second) == "revision"


@pytest.mark.parametrize("sign", ["", "-"])
def test_a_post_void_is_a_later_stage_of_what_it_voids(sign: str) -> None:
    sold = transaction(sale("3.00"), tender("3.00"), total="3.00", number=1)
    void = transaction(
        sale(f"{sign}3.00", quantity=f"{sign}1"),
        tender(f"{sign}3.00"),
        link("PostVoid", 1, day="2026-11-22"),
        total=f"{sign}3.00",
        status="PostVoided",
        number=2,
    )
    first, second = read(sold, void).receipts
    assert second.status == "voided"
    assert second.key == first.key
    assert sighting_of(first, second) == "revision"


@pytest.mark.parametrize(
    ("content", "kind", "expected"),
    [
        ("<OperatorSignOn/>", "ControlTransaction", "sign_on"),
        ("<OperatorSignOff/>", "ControlTransaction", "sign_on"),
        ("<NoSale/>", "ControlTransaction", "drawer"),
        ("<ReasonCode>No Sale</ReasonCode>", "ControlTransaction", "drawer"),
        ("<TillSettle/>", "ControlTransaction", "z_report"),
        ("<BusinessEOD/>", "ControlTransaction", "z_report"),
        ("<TenderLoan/>", "TenderControlTransaction", "cash_movement"),
        ("<TenderPickup/>", "TenderControlTransaction", "cash_movement"),
        ("<Odd/>", "TenderControlTransaction", "cash_movement"),
        ("<Odd/>", "InventoryControlTransaction", "control"),
    ],
)
def test_what_is_no_sale_is_counted_by_its_kind(content: str, kind: str, expected: str) -> None:
    decoded = read(control(content, kind=kind))
    assert (decoded.receipts, decoded.problems) == ((), ())
    assert [each.kind for each in decoded.ignored] == [expected]


@pytest.mark.parametrize(
    ("member", "code", "entry"),
    [
        (
            line("<v:LoyaltyMembership><v:LoyaltyID>2900</v:LoyaltyID></v:LoyaltyMembership>", 'EntryMethod="Scanned"'),
            "2900",
            "scanned",
        ),
        (line("<LoyaltyAccount><LoyaltyID>2900</LoyaltyID></LoyaltyAccount>", 'EntryMethod="Keyed"'), "2900", "typed"),
        (
            "<LoyaltyAccount><CustomerID>77</CustomerID><LoyaltyCard><PrimaryAccountNumber>T29</PrimaryAccountNumber></LoyaltyCard></LoyaltyAccount>",
            "T29",
            "receipt",
        ),
        ("<Customer><CustomerID>77</CustomerID></Customer>", "77", "receipt"),
        (line("<CustomerID>77</CustomerID>", 'EntryMethod="MSR"'), "77", "swiped"),
    ],
)
def test_the_member(member: str, code: str, entry: str) -> None:
    found = only(sale("3.00"), member, tender("3.00"), total="3.00").member
    assert found
    assert (found.code, found.entry) == (code, entry)


def test_no_card_number_comes_through() -> None:
    card = f"<CreditDebit><PrimaryAccountNumber>{CARD}</PrimaryAccountNumber></CreditDebit>"
    card += f"<TenderDescription>Visa {CARD}</TenderDescription>"
    receipt = only(sale("3.00"), tender("3.00", kind="CreditDebit", more=card), total="3.00")
    assert receipt.tenders[0].description == "Visa ****************"
    assert CARD.encode() not in msgspec.json.encode(receipt)


@pytest.mark.parametrize(
    ("more", "natural_id"),
    [
        ("<v:Fiscal><v:ZKI>" + "0a" * 16 + "</v:ZKI></v:Fiscal>", "hr-fisk:" + "0a" * 16),
        ("<v:ZOI>" + "0b" * 16 + "</v:ZOI>", "si-furs:" + "0b" * 16),
        ("<v:PFRNumber>746DUV64-746DUV64-16898</v:PFRNumber>", "rs-purs:746DUV64-746DUV64-16898"),
    ],
)
def test_a_vendors_fiscal_number_is_the_identity(more: str, natural_id: str) -> None:
    receipt = only(sale("3.00"), tender("3.00"), total="3.00", more=more)
    assert receipt.key == key_of(natural_id)
    assert receipt.also == ("pos:12/3/2026-11-22/4711",)


@pytest.mark.parametrize(
    ("end", "zone", "expected"),
    [
        ("2026-11-22T09:07:14", "Europe/Ljubljana", "2026-11-22T09:07:14+01:00"),
        ("2026-11-22T08:07:14.123Z", "Europe/Ljubljana", "2026-11-22T09:07:14+01:00"),
        ("2026-11-22T08:07:14Z", None, "2026-11-22T08:07:14+00:00"),
        ("2026-11-22T09:07:14.4509505+05:30", "Europe/Ljubljana", "2026-11-22T09:07:14+05:30"),
    ],
)
def test_times_with_and_without_a_zone(end: str, zone: str | None, expected: str) -> None:
    (receipt,) = read(transaction(sale("3.00"), total="3.00", end=end), zone=zone).receipts
    assert receipt.issued_at
    assert receipt.issued_at.isoformat() == expected


def test_what_is_not_said_is_a_problem_and_not_a_guess() -> None:
    bare = transaction(sale("3.00"), total="3.00", end="2026-11-22T09:07:14").replace(
        "<CurrencyCode>EUR</CurrencyCode>", ""
    )
    (receipt,) = read(bare).receipts
    assert [each.code for each in receipt.problems] == ["time_zone_unknown", "currency_unknown"]
    (mismatch,) = read(transaction(sale("3.00"), tender("9.00", kind="Check"), total="9.00")).receipts
    assert [each.code for each in mismatch.problems] == ["total_mismatch"]


def test_numbers_stay_as_they_are_written() -> None:
    one, other = only(sale("3.00", price="3.0"), sale("3.00", price="3.00"), tender("6.00"), total="6.00").lines
    assert (one.unit_price, other.unit_price) == ("3.0", "3.00")


def test_one_name_of_several_and_the_quantity_that_makes_the_amount() -> None:
    item = sale(
        "1.59",
        quantity="1",
        price="2.99",
        name="Banane",
        quantity_attributes='Units="0.532" UnitOfMeasureCode="KGM"',
        more="<Description TypeCode='Long' Language='en'>Bananas of all sizes</Description>",
    )
    (goods,) = only(item, tender("1.59"), total="1.59").lines
    assert (goods.description, goods.quantity, goods.unit) == ("Banane", "0.532", "KGM")


BLANKS = " " * 1_000_000


@pytest.mark.parametrize(
    "item",
    [
        sale("2.99", quantity=f"{BLANKS}1{BLANKS}"),
        sale("2.99", name="x" * 1_000_000),
        sale("2.99", item_type=f"Stock{BLANKS}:Stock"),
        sale("2.99", more=f'<POSIdentity POSIDType="x{BLANKS}:EAN"><POSItemID>3838800000015</POSItemID></POSIdentity>'),
        sale("2.99") + tender("2.99", kind=f"x{BLANKS}:Cash"),
        sale("2.99") + line(f'<{"x" * 1_000_000} xmlns="y"/>'),
    ],
    ids=["number", "name", "type of line", "type of number", "tender", "tag"],
)  # fmt: skip
def test_nothing_long_of_a_file_is_kept(item: str) -> None:
    document = poslog(transaction(item, total="2.99")).encode()
    decode(poslog(transaction(sale("2.99"), total="2.99")).encode(), DecodeOptions())
    tracemalloc.start()
    try:
        assert len(decode(document, DecodeOptions()).receipts) == 1
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 500_000
