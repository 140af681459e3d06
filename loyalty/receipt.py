"""The receipt as every reader makes it and every rule reads it.

Owns the value types of a receipt in the JSON of the published contract. Never decodes a device or a
file, and never says what a receipt is worth.

Amounts are signed integers in minor units; quantities and unit prices are decimal texts in major
units. Signs are the shop's: on a return lines, discounts, taxes, tenders and total are negative.
A fact the source did not give is UNSET and its key is absent in JSON.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from loyalty.identification import MemberKind

DecimalText = Annotated[str, Meta(pattern=r"^-?[0-9]{1,15}(\.[0-9]{1,9})?$")]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}$")]
AwareDatetime = Annotated[datetime, Meta(tz=True)]
ContentHash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Minor = Annotated[int, Meta(ge=-(10**14), le=10**14)]
# Of a text that something is found by: databases keep indexes of these, whose rows have a limit.
MAX_FOUND_BY_CHARS = 255
# A receipt has a fiscal number, a till's number and perhaps a code beside; a hundred ids are an attack.
MAX_ALSO = 16

ReceiptKind = Literal["sale", "return", "exchange"]
ReceiptStatus = Literal["final", "voided", "suspended", "training", "copy", "proforma", "advance"]
LineKind = Literal["goods", "deposit", "giftcard", "tip", "fee", "donation"]
TenderKind = Literal[
    "cash", "card", "instant", "giftcard", "voucher", "coupon", "points", "transfer", "cheque", "foreign", "other"
]
Entry = Literal["scanned", "swiped", "typed", "receipt"]


class Mapped(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What an item map says of a line (`loyalty.item_matching`)."""

    kind: LineKind | UnsetType = UNSET
    category: str | UnsetType = UNSET
    tags: tuple[str, ...] = ()


class Line(Struct, frozen=True, kw_only=True, gc=False):
    """One printed line. `amount_minor` is what was printed; a discount hidden in it is derived.

    `mapped` stands beside what was printed and changes none of it; absent where no entry of the map matched.
    """

    position: int
    kind: LineKind = "goods"
    description: str | UnsetType = UNSET
    gtin: str | UnsetType = UNSET
    sku: str | UnsetType = UNSET
    quantity: DecimalText | UnsetType = UNSET
    unit: str | UnsetType = UNSET
    unit_price: DecimalText | UnsetType = UNSET
    discount_minor: Minor = 0
    amount_minor: Minor
    tax_labels: tuple[str, ...] = ()
    voided: bool = False
    tags: tuple[str, ...] = ()
    department: str | UnsetType = UNSET
    mapped: Mapped | UnsetType = UNSET

    @property
    def counts_as(self) -> LineKind:
        """The kind that rules go by: the map's where it gives one, else what the source said."""
        return (self.mapped.kind or self.kind) if self.mapped else self.kind


class Discount(Struct, frozen=True, kw_only=True, gc=False):
    """A discount on the whole receipt; discounts of a line stand in the line only."""

    description: str | UnsetType = UNSET
    amount_minor: Minor


class Tax(Struct, frozen=True, kw_only=True, gc=False):
    """One tax row. `included` says whether the line amounts already hold it."""

    label: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    rate: DecimalText | UnsetType = UNSET
    amount_minor: Minor
    included: bool = True


class Tender(Struct, frozen=True, kw_only=True, gc=False):
    """One means of payment. `currency` and `foreign_minor` go with kind `foreign`."""

    kind: TenderKind
    description: str | UnsetType = UNSET
    amount_minor: Minor
    currency: Currency | UnsetType = UNSET
    foreign_minor: Minor | UnsetType = UNSET


class Issuer(Struct, frozen=True, kw_only=True, gc=False):
    """Who issued a fiscal receipt, as printed."""

    tin: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    location_id: str | UnsetType = UNSET
    location_name: str | UnsetType = UNSET
    address: str | UnsetType = UNSET
    city: str | UnsetType = UNSET


class Fiscal(Struct, frozen=True, kw_only=True, gc=False):
    """What a fiscal authority's scheme adds. Of a buyer only the kind prefix is kept."""

    scheme: Literal["rs-purs", "hr-fisk", "si-furs"]
    number: str | UnsetType = UNSET
    counter: str | UnsetType = UNSET
    issuer: Issuer | UnsetType = UNSET
    buyer_kind: str | UnsetType = UNSET
    verification_url: str | UnsetType = UNSET


class Original(Struct, frozen=True, kw_only=True, gc=False):
    """Which earlier receipt a return gives back, as far as the source says."""

    key: str | UnsetType = UNSET
    number: str | UnsetType = UNSET
    store: str | UnsetType = UNSET
    register: str | UnsetType = UNSET
    business_day: date | UnsetType = UNSET
    issued_at: AwareDatetime | UnsetType = UNSET


class MemberReference(Struct, frozen=True, kw_only=True, gc=False):
    """The member code seen with a receipt, and how it came in."""

    code: str
    kind: MemberKind = "card"
    entry: Entry = "scanned"


class Problem(Struct, frozen=True, kw_only=True, gc=False):
    """Something about a receipt that a person should know, such as `total_mismatch`."""

    code: str
    detail: str | UnsetType = UNSET


class Receipt(Struct, frozen=True, kw_only=True, gc=False):
    """One receipt. `key` and `also` come from `loyalty.identity`, `problems` from `loyalty.reconcile`.

    `item_map` is the hash of the map that its lines were mapped with.
    """

    key: str
    also: tuple[str, ...] = ()
    source: str | UnsetType = UNSET
    kind: ReceiptKind
    status: ReceiptStatus = "final"
    store: str | UnsetType = UNSET
    register: str | UnsetType = UNSET
    number: str | UnsetType = UNSET
    business_day: date | UnsetType = UNSET
    issued_at: AwareDatetime | UnsetType = UNSET
    captured_at: AwareDatetime | UnsetType = UNSET
    operator: str | UnsetType = UNSET
    currency: Currency
    total_minor: Minor
    rounding_minor: Minor = 0
    lines: tuple[Line, ...] = ()
    discounts: tuple[Discount, ...] = ()
    taxes: tuple[Tax, ...] = ()
    tenders: tuple[Tender, ...] = ()
    change_minor: Minor = 0
    fiscal: Fiscal | UnsetType = UNSET
    original: Original | UnsetType = UNSET
    member: MemberReference | UnsetType = UNSET
    problems: tuple[Problem, ...] = ()
    item_map: ContentHash | UnsetType = UNSET

    def has_problem(self, code: str) -> bool:
        return any(problem.code == code for problem in self.problems)


def overlong(receipt: Receipt) -> str | None:
    """Where the first text stands that is too long to find a receipt, its original or its member by; None of none.

    Checked where a receipt comes in and no part of its shape: what was kept before can be read still.
    """
    original, fiscal, member = receipt.original, receipt.fiscal, receipt.member
    found_by = {
        "key": receipt.key,
        "number": receipt.number,
        "fiscal.number": fiscal.number if fiscal else UNSET,
        "original.key": original.key if original else UNSET,
        "original.number": original.number if original else UNSET,
        "member.code": member.code if member else UNSET,
    }
    return next((where for where, text in found_by.items() if text and len(text) > MAX_FOUND_BY_CHARS), None)
