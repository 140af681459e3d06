"""The member code in a POSLog, and how it came in. Owns which element is believed where several name a customer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from xml.etree.ElementTree import Element

from msgspec import UNSET, UnsetType

from drivers.receipts.poslog_tree import attribute, text_of
from loyalty.identification import MAX_WRITTEN_CHARS, MemberKind
from loyalty.receipt import Entry, MemberReference

MEMBER_ELEMENTS: Final = frozenset(
    (
        "LoyaltyMembership",
        "LoyaltyAccount",
        "LoyaltyCard",
        "LoyaltyID",
        "LoyaltyCardID",
        "Loyalty",
        "Customer",
        "CustomerID",
    )
)
# The card's number first, then the account's, then what the shop calls the customer.
_CODES: Final = (
    "LoyaltyID", "LoyaltyCardID", "PrimaryAccountNumber", "CardNumber", "AccountNumber", "LoyaltyAccountID",
    "MembershipID", "CustomerID",
)  # fmt: skip
_ENTRIES: Final[dict[str, Entry]] = {
    "SCANNED": "scanned", "MSR": "swiped", "SWIPED": "swiped", "MAGNETICSTRIPE": "swiped", "KEYED": "typed",
    "MANUAL": "typed", "TAPPED": "scanned",
}  # fmt: skip
_KINDS: Final[dict[str, MemberKind]] = {"PHONE": "phone", "EMAIL": "email", "WALLET": "wallet", "NFC": "nfc"}


def best_member(elements: Sequence[tuple[Element, str]]) -> MemberReference | UnsetType:
    """The code of the member in these elements, each with the way in which its line came in."""
    found: tuple[int, MemberReference] | None = None
    for element, line_entry in elements:
        entry = attribute(element, "EntryMethod") or line_entry
        # An account may hold the card, and the program it is of.
        for inner in element.iter():
            name, code = inner.tag, text_of(inner)
            if name in _CODES and code.strip("0") and len(code) <= MAX_WRITTEN_CHARS and "*" not in code:
                rank = _CODES.index(name) + (name == "LoyaltyAccountID" and inner is not element) * len(_CODES)
                if found is None or rank < found[0]:
                    kind = _KINDS.get(attribute(inner, "Type").upper(), "card")
                    found = rank, MemberReference(code=code, kind=kind, entry=_ENTRIES.get(entry.upper(), "receipt"))
    return UNSET if found is None else found[1]
