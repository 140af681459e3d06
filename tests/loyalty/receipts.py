"""Receipts for tests, made as short as a test's story."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from msgspec import Struct, UnsetType

from loyalty.purchase import Known, Purchase
from loyalty.receipt import Line, Original, Receipt, ReceiptStatus

MORNING = datetime.fromisoformat("2026-11-22T09:00:00+01:00")


class _ReceiptFile(Struct):
    receipts: tuple[Receipt, ...]


def sale(
    number: str,
    *amounts: int,
    lines: tuple[Line, ...] = (),
    status: ReceiptStatus = "final",
    currency: str = "EUR",
    issued_at: datetime | UnsetType = MORNING,
    key: str | None = None,
) -> Receipt:
    """A sale of goods lines of these amounts, or of the `lines` given."""
    lines = lines or tuple(Line(position=i, amount_minor=amount) for i, amount in enumerate(amounts, 1))
    return Receipt(
        key=key or f"key-{number}",
        kind="sale",
        status=status,
        number=number,
        issued_at=issued_at,
        currency=currency,
        total_minor=sum(line.amount_minor for line in lines if not line.voided),
        lines=lines,
    )


def earning_minor(receipt: Receipt) -> int:
    """The money that earns where a rule says nothing of it."""
    return Purchase(receipt, "UTC", Known()).basket_minor


def receipts_in(document: bytes) -> tuple[Receipt, ...]:
    """Receipts of a `{"receipts": […]}` document."""
    return msgspec.json.decode(document, type=_ReceiptFile).receipts


def refund(number: str, of: str, *amounts: int) -> Receipt:
    """A return of goods lines of these (positive) amounts from the receipt numbered `of`."""
    return Receipt(
        key=f"key-{number}",
        kind="return",
        number=number,
        issued_at=MORNING + timedelta(hours=1),
        currency="EUR",
        total_minor=-sum(amounts),
        lines=tuple(Line(position=i, amount_minor=-amount) for i, amount in enumerate(amounts, 1)),
        original=Original(number=of),
    )
