"""What a job is when it is no receipt: a card slip, a Z report, a kitchen ticket …

Owns the words that give each of them away. Never reads a receipt, and says nothing of what it does not
recognise: that stays a problem with its bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal

from drivers.receipts.wording import AMOUNT, folded

IgnoredKind = Literal["blank", "card_slip", "z_report", "x_report", "kitchen_ticket", "sign_on", "drawer"]

# A report or a ticket says what it is in its first printed lines.
TITLE_LINES: Final = 8
# Two different words of a terminal make a card slip; one may stand on a receipt.
CARD_WORDS_NEEDED: Final = 2


def _any_of(*phrases: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(phrases)})\b")


_Z: Final = _any_of(
    "Z (?:REPORT|READING|BERICHT|ABSCHLAG|IZVESTAJ|OCITAVANJE)", "END OF DAY", "DAILY (?:CLOSING|REPORT)",
    "TAGES(?:ABSCHLUSS|BERICHT)", "KASSENABSCHLUSS", "DNEVNI IZVESTAJ", "ZAKLJUCENJE DANA",
)  # fmt: skip
_X: Final = _any_of(
    "X (?:REPORT|READING|BERICHT|IZVESTAJ|OCITAVANJE)", "SHIFT REPORT", "ZWISCHENBERICHT", "PRESEK (?:STANJA|KASE)"
)
_KITCHEN: Final = _any_of(
    "KITCHEN", "BAR ORDER", "ORDER TICKET", "KUECHE", "KUECHENBON", "BESTELLBON", "KUHINJA", "SANK", "PORUDZBINA"
)
_SIGN_ON: Final = _any_of(
    "SIGN(?:ED)? (?:ON|OFF|IN|OUT)", "LOG(?:GED)? ?(?:ON|OFF|IN|OUT)", "(?:AN|AB)MELDUNG",
    "(?:PRIJAVA|ODJAVA) (?:KASIRA|OPERATERA|RADNIKA)",
)  # fmt: skip
_DRAWER: Final = _any_of(
    "NO SALE", "DRAWER OPEN(?:ED)?", "OPEN DRAWER", "NULLBON", "KASSENLADE", "OTVARANJE FIOKE", "FIOKA OTVORENA"
)
_CARD: Final = _any_of(
    "(?:CARD ?HOLDER|MERCHANT|CUSTOMER) COPY", "(?:KUNDEN|HAENDLER)BELEG", "KOPIJA ZA (?:KORISNIKA|KUPCA|TRGOVCA)",
    "SLIP", "KARTENZAHLUNG", "TERMINAL ?(?:ID|NR|NO|NUMBER)", "TA NR", "TID", "MID", "AID", "A0{7}[0-9]+", "TVR", "TSI",
    "PAN", "AUTH(?:ORI[SZ]ATION)?(?: (?:CODE|NO|NR))?", "AUTORIZACIJA", "AUTORISIERUNG", "APPROVED", "DECLINED",
    "ODOBRENO", "ODBIJENO", "GENEHMIGT", "ZAHLUNG ERFOLGT", "TRANSAKCIJA", "CONTACTLESS", "BESKONTAKTNO", "KONTAKTLOS",
    "CHIP", "BATCH", "RRN", "STAN", "CARDHOLDER VERIFICATION", "PIN (?:OK|VERIFIED|UNESEN)", "SIGNATURE", "POTPIS",
)  # fmt: skip
_AMOUNT: Final = re.compile(AMOUNT)


def classified(texts: Sequence[str]) -> IgnoredKind | None:
    """What the lines of a job are, or None where nothing gives it away."""
    printed = [text for text in texts if text.strip()]
    words = [folded(text) for text in printed]
    title = "\n".join(words[:TITLE_LINES])
    if _Z.search(title):
        return "z_report"
    if _X.search(title):
        return "x_report"
    if len({match.group() for match in _CARD.finditer("\n".join(words))}) >= CARD_WORDS_NEEDED:
        return "card_slip"
    if _DRAWER.search(title):
        return "drawer"
    if _SIGN_ON.search(title):
        return "sign_on"
    # A kitchen ticket has no prices; a restaurant's receipt may name its kitchen.
    if _KITCHEN.search(title) and not any(_AMOUNT.search(text) for text in printed):
        return "kitchen_ticket"
    return None
