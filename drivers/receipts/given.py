"""A receipt as a sender gives it in JSON: shapes that the local API describes, light to load."""

from __future__ import annotations

from msgspec import Struct

from loyalty.receipt import Receipt


class GivenReceipt(Receipt, frozen=True, kw_only=True):
    """A receipt as its sender gives it, who need not know its key."""

    key: str = ""


class GivenReceipts(Struct, frozen=True, kw_only=True):
    """Several of them in one document."""

    receipts: tuple[GivenReceipt, ...]
