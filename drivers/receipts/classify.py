"""What a job is when it is no receipt: a card slip, a Z report, a kitchen ticket …

Owns the words that give each of them away, in English, German, Serbian, Croatian and Slovenian, and where a card slip
stands among other print. Never reads a receipt, and says nothing of what it does not recognise: that stays a problem
with its bytes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct

from drivers.receipts.wording import AMOUNT, WORDS_REMEMBERED, folded

IgnoredKind = Literal[
    "blank",
    "card_slip",
    "z_report",
    "x_report",
    "kitchen_ticket",
    "cash_movement",
    "sign_on",
    "drawer",
    "test_page",
    "control",
    "voided_sale",
]

# A report or a ticket says what it is in its first printed lines, after the shop's name and address.
TITLE_LINES: Final = 12
# A title is short: beside the words that make it, a line has no more than these (`EXAMPLE SHOP Z-REPORT NO 117`).
MAX_WORDS_BESIDE: Final = 4
# Two different words of a terminal make a card slip, if one of them is met nowhere else; one may stand on a receipt.
CARD_WORDS_NEEDED: Final = 2
# A report without a title has at least so many different sums that only reports have.
REPORT_WORDS_NEEDED: Final = 3
# No word looked for stands further right: 80 mm paper has 64 columns.
MAX_LETTERS: Final = 200


def _any_of(*phrases: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(phrases)})\b")


# Matched on folded text: capitals without accents, Cyrillic in Latin letters, one space between words.
_Z: Final = _any_of(
    "Z (?:REPORT|READ(?:ING)?|OUT|TOTALS?|BERICHT|BON|ABSCHLAG|ABSCHLUSS|IZVESTAJ|IZVJESTAJ|IZVJESCE|OCITAVANJE"
    "|POROCILO|IZPIS|ZAKLJUCEK|OBRACUN)", "END OF DAY", "DAY END", "CLOSE OF (?:DAY|BUSINESS)",
    "DAILY (?:CLOSING|CLOSE|REPORT|SALES REPORT|SUMMARY)", "TAGES(?:ABSCHLUSS|BERICHT|ABRECHNUNG|ENDSUMMEN?|ENDE)",
    "KASSEN(?:ABSCHLUSS|BERICHT|SCHNITT|ABRECHNUNG)",
    "DNEVN[IO] (?:IZVESTAJ|IZVJESTAJ|IZVJESCE|OBRACUN|ZAKLJUCEK|ZAKLJUCAK|POROCILO)",
    "(?:ZAKLJUCENJE|ZAKLJUCAK|ZAKLJUCEK|ZATVARANJE|KRAJ|OBRACUN) (?:DANA|DNEVA|KASE|BLAGAJNE)", "DNEVNI PROMET",
)  # fmt: skip
_X: Final = _any_of(
    "X (?:REPORT|READ(?:ING)?|OUT|TOTALS?|BERICHT|BON|ABSCHLAG|IZVESTAJ|IZVJESTAJ|IZVJESCE|OCITAVANJE|POROCILO|IZPIS)",
    "(?:SHIFT|CASHIER|MID ?DAY) (?:REPORT|CLOSE|CLOSING|SUMMARY)", "ZWISCHEN(?:BERICHT|ABSCHLUSS|ABSCHLAG)",
    "(?:SCHICHT|BEDIENER|KASSIERER)(?:BERICHT|ABRECHNUNG|ABSCHLUSS)",
    "PRES(?:EK|JEK) (?:STANJA|KASE|BLAGAJNE|SMENE|SMJENE)", "MEDJUIZVJESCE", "VMESNO POROCILO",
    "(?:IZVESTAJ|IZVJESTAJ|IZVJESCE|POROCILO|ZAKLJUCEK|ZAKLJUCAK|OBRACUN) (?:SMENE|SMJENE|IZMENE)",
    "STANJE (?:KASE|BLAGAJNE)",
)  # fmt: skip
_REPORT_SUMS: Final = _any_of(
    "(?:GROSS|NET) (?:SALES|TURNOVER)", "NUMBER OF (?:RECEIPTS|SALES|TRANSACTIONS|CUSTOMERS)", "GRAND TOTAL GT",
    "(?:CASH|EXPECTED|COUNTED) IN DRAWER", "(?:OPENING|CLOSING|STARTING) (?:FLOAT|BALANCE|CASH)",
    "TOTAL (?:VOIDS|REFUNDS)",
    "(?:FIRST|LAST) RECEIPT", "OVER SHORT", "(?:BRUTTO|NETTO|TAGES|GESAMT)UMSATZ",
    "ANZAHL (?:BONS|BELEGE|KUNDEN|RECHNUNGEN|STORNOS)",
    "KASSEN(?:BESTAND|SOLL|IST|DIFFERENZ)", "(?:ANFANGS|END)BESTAND", "(?:ERSTER|LETZTER) BON",
    "(?:UKUPAN|UKUPNI|DNEVNI|GOTOVINSKI) PROMET", "PROMET (?:DANA|GOTOVINA|KARTICE|UKUPNO|SKUPAJ)",
    "(?:PRVI|POSLEDNJI|POSLJEDNJI|ZADNJI) RACUN", "(?:POCETNI|ZAVRSNI|ZACETNI|KONCNI) (?:POLOG|DEPOZIT|SALDO)",
    "STANJE (?:KASE|BLAGAJNE)", "STEVILO RACUNOV", "UKUPNO RACUNA", "UKUPNO STORNO", "GOTOVINA U (?:KASI|BLAGAJNI)",
)  # fmt: skip
_KITCHEN: Final = _any_of(
    "KITCHEN", "BAR ORDER", "ORDER TICKET", "KUECHE", "KUECHENBON", "BESTELLBON", "KUHINJA", "SANK", "PORUDZBINA",
    "NARUDZBA", "NAROCILO", "NARUDZBENICA",
)  # fmt: skip
# A line that says this and no more but a number is the title of a ticket, whatever stands below it.
_KITCHEN_TITLE: Final = re.compile(
    r"(?:[0-9]+ )?(?:KITCHEN|BAR|GRILL|ORDER|COLD KITCHEN|KITCHEN (?:ORDER|TICKET|COPY)|BAR (?:ORDER|TICKET)"
    r"|ORDER TICKET|KUECHE|KUECHENBON|KALTE KUECHE|WARME KUECHE|THEKE|THEKENBON|BESTELLBON|BESTELLUNG"
    r"|KUHINJA|SANK|PORUDZBINA|NARUDZBA|NARUDZBENICA|NAROCILO|TOCILNICA)"
    r"(?: (?:ZA )?(?:KUHINJU|SANK|KUHINJO))?(?: (?:NO|NR|BR|ST))?(?: [0-9]+)*"
)
# Only what is paid has these.
_PAYMENT: Final = _any_of(
    "CASH", "CARD", "VISA", "MASTERCARD", "CHANGE", "VAT", "TAX", "BAR", "BARGELD", "KARTE", "RUECKGELD",
    "WECHSELGELD", "MWST",
    "UST", "GOTOVINA", "KARTICA", "KARTICE", "KUSUR", "POVRACAJ", "POVRAT", "PDV", "DDV", "VRACILO",
)  # fmt: skip
_WHO: Final = (
    "(?:KASIRA|BLAGAJNIKA|OPERATERA|OPERATERJA|KORISNIKA|UPORABNIKA|RADNIKA|DJELATNIKA|ZAPOSLENIKA|PRODAVCA|PRODAJALCA"
    "|KONOBARA|NATAKARJA)"
)
_SIGN_ON: Final = _any_of(
    "SIGN(?:ED)? (?:ON|OFF|IN|OUT)", "LOG(?:GED)? ?(?:ON|OFF|IN|OUT)", "CLOCK(?:ED)? (?:IN|OUT)", "SHIFT (?:START|END)",
    "(?:AN|AB)MELDUNG", "SCHICHT(?:BEGINN|ENDE)", rf"(?:PRIJAVA|ODJAVA|PROMENA|ZAMENA) {_WHO}",
    "(?:POCETAK|ZACETEK|KRAJ|KONEC) (?:SMENE|SMJENE|IZMENE)",
)  # fmt: skip
_DRAWER: Final = _any_of(
    "NO SALE", "DRAWER OPEN(?:ED)?", "OPEN DRAWER", "NULLBON", "KASSENLADE", "LADE (?:GEOEFFNET|OFFEN)", "SCHUBLADE",
    "OTVARANJE (?:FIOKE|LADICE|KASE)", "(?:FIOKA|LADICA) OTVORENA", "ODPIRANJE PREDALA", "PREDAL ODPRT", "BREZ PRODAJE",
    "NULTI RACUN",
)  # fmt: skip
_CASH_MOVEMENT: Final = _any_of(
    "(?:CASH|PAID|PAY) (?:IN|OUT)", "CASH (?:DROP|PICKUP|LIFT|REMOVAL)", "PETTY CASH", "(?:OPENING|STARTING) FLOAT",
    "(?:BAR|KASSEN|WECHSELGELD)?(?:EINLAGE|ENTNAHME|EINZAHLUNG|AUSZAHLUNG)", "PRIVATENTNAHME", "GELDTRANSIT",
    "ABSCHOEPFUNG",
    "(?:UNOS|ULAZ|POLOG|UPLATA|ISPLATA|IZLAZ|PODIZANJE|DVIG) (?:NOVCA|GOTOVINE|PAZARA|DEPOZITA)",
    "(?:UPLATA|POLOG) U (?:KASU|BLAGAJNU)", "ISPLATA IZ (?:KASE|BLAGAJNE)", "VPLACILO V BLAGAJNO",
    "IZPLACILO IZ BLAGAJNE",
    "(?:POCETNI|ZACETNI) (?:POLOG|DEPOZIT)", "PRAZNJENJE KASE",
)  # fmt: skip
_TEST_PAGE: Final = _any_of(
    "SELF ?TEST", "TEST (?:PRINT|PAGE)", "PRINTER TEST", "PRINT TEST", "SELBSTTEST", "TESTDRUCK", "TESTSEITE",
    "TEST STAMPE", "PROBNA STAMPA", "PROBNI ISPIS", "TESTNI (?:ISPIS|IZPIS)", "TESTNA STRAN(?:ICA)?",
)  # fmt: skip
# Words of card terminals that nobody else prints.
_CARD_ONLY: Final = _any_of(
    "CARD ?HOLDER(?: COPY)?", "(?:MERCHANT|CUSTOMER) COPY", "(?:KUNDEN|HAENDLER)BELEG", "CARD PAYMENT", "KARTENZAHLUNG",
    "(?:KOPIJA|SLIP|PRIMERAK|PRIMJERAK|IZVOD|POTRDILO|POTVRDA) ZA (?:KORISNIKA|KUPCA|TRGOVCA|PRODAVCA|PRODAVATELJA"
    "|PRODAJALCA|IMETNIKA|BANKU|PRODAJNO MJ?ESTO)", "TERMINAL ?(?:ID|NR|NO|NUMBER)", "TA NR", "TID", "MID", "AID",
    "A0{7}[0-9]+", "TVR", "TSI",
    "RRN", "AUTH(?:ORI[SZ]ATION)?(?: (?:CODE|NO|NR))?", "A[UV]TORIZACIJ[AE]", "AUTORIZACI(?:ONI|JSKI) (?:KOD|BROJ)",
    "BROJ ODOBRENJA", "AUTORISIERUNG[A-Z]*", "GENEHMIGUNG[A-Z]*", "APPROVED", "DECLINED", "ODOBRENO", "ODBIJENO",
    "ZAVRNJENO",
    "(?:TRANSAKCIJA|PLACANJE|PLACILO) (?:ODOBREN|ODBIJEN|ZAVRNJEN)[AO]", "ZAHLUNG ERFOLGT", "GENEHMIGT", "VU NR",
    "PIN (?:OK|VERIFIED|UNESEN|UNET|PROVJEREN|PROVEREN|VNESEN)", "CARDHOLDER VERIFICATION", "POTPIS KORISNIKA",
    "PODPIS IMETNIKA",
    "PAN SEQ(?:UENCE)?(?: NO| NR)?",
)  # fmt: skip
# Words of card terminals that others print too: potato chips, a batch of bread.
_CARD_TOO: Final = _any_of(
    "SLIP", "PAN", "STAN", "CHIP", "BATCH", "CONTACTLESS", "KONTAKTLOS", "BESKONTAKTNO", "BEZKONTAKTNO", "BREZSTICNO",
    "TRANSAKCIJA",
    "SIGNATURE", "UNTERSCHRIFT", "POTPIS", "PODPIS", "VISA", "MASTERCARD", "MAESTRO", "DINACARD", "GIROCARD",
    "TERMINAL", "BNR", "PRODAJNO MJ?ESTO",
)  # fmt: skip
_AMOUNT: Final = re.compile(AMOUNT)


# All that a line says where a sale is given up before its end.
_VOIDED: Final = re.compile(
    r"(?:(?:SALE|TRANSACTION|RECEIPT|BON|BELEG|RACUN|PRODAJA|TRANSAKCIJA) )?"
    r"(?:VOID(?:ED)?|CANCEL(?:L?ED)?|ABORTED|STORNO|STORNIERT|ABGEBROCHEN|ABBRUCH|STORNIRANO?|PONISTENO?|OTKAZANO?"
    r"|PREKINUTO?|RAZVELJAVLJENO?|PREKINJENO?)"
)


class _Clues(Struct, frozen=True, kw_only=True):
    """What one line gives away: words of card terminals, their own and others', and the sums of reports."""

    words: str
    has_amount: bool
    card_only: frozenset[str]
    card_too: frozenset[str]
    sums: frozenset[str]


def _clues(text: str) -> _Clues:
    return _known_clues(text[:MAX_LETTERS])


@lru_cache(maxsize=WORDS_REMEMBERED)
def _known_clues(text: str) -> _Clues:
    words = folded(text)
    return _Clues(
        words=words,
        has_amount=_AMOUNT.search(text) is not None,
        card_only=frozenset(_CARD_ONLY.findall(words)),
        card_too=frozenset(_CARD_TOO.findall(words)),
        sums=frozenset(_REPORT_SUMS.findall(words)),
    )


def classified(texts: Sequence[str]) -> IgnoredKind | None:
    """What the lines of a job are, or None where nothing gives it away."""
    printed = [clues for text in texts if (clues := _clues(text)).words]
    title = [clues.words for clues in printed[:TITLE_LINES] if not clues.has_amount]
    if _is_titled(title, _Z):
        return "z_report"
    if _is_titled(title, _X):
        return "x_report"
    if _is_slip(printed):
        return "card_slip"
    if len(frozenset[str]().union(*(clues.sums for clues in printed))) >= REPORT_WORDS_NEEDED:
        return "z_report"
    if _is_kitchen_ticket(title, printed):
        return "kitchen_ticket"
    return next((kind for kind, pattern in _TITLED if _is_titled(title, pattern)), None)


Titles = Sequence[tuple[IgnoredKind, tuple[str, ...]]]


def titled(texts: Sequence[str], titles: Titles) -> IgnoredKind | None:
    """What a job is by `titles` in words of any language, such as a template gives them; None where it has none."""
    if not titles:
        return None
    printed = [text[:MAX_LETTERS] for text in texts if text.strip()]
    lines = [_any_letters(text) for text in printed[:TITLE_LINES] if _AMOUNT.search(text) is None]
    return next((kind for kind, words in titles if words and _is_titled(lines, _title_of(words))), None)


def _any_letters(text: str) -> str:
    """Capitals of any alphabet without accents, one space between words: capitals are printed without, often."""
    letters = unicodedata.normalize("NFKD", text).upper()
    return " ".join("".join(letter for letter in letters if not unicodedata.combining(letter)).split())


@lru_cache(maxsize=64)
def _title_of(words: tuple[str, ...]) -> re.Pattern[str]:
    phrases = (re.escape(_any_letters(word)) for word in words)
    return re.compile(rf"(?<!\w)(?:{'|'.join(phrases)})(?!\w)")


def voided_before_total(texts: Sequence[str], marks: Sequence[str] = ()) -> bool:
    """Whether lines without a total are of a sale that was given up: one of them says that and no more.

    `marks` are words for it beside the known ones, such as a template gives.
    """
    own = {folded(mark) for mark in marks}
    lines = (_clues(text).words for text in texts)
    return any(words in own or _VOIDED.fullmatch(words) for words in lines)


_TITLED: Final[tuple[tuple[IgnoredKind, re.Pattern[str]], ...]] = (
    ("drawer", _DRAWER),
    ("sign_on", _SIGN_ON),
    ("cash_movement", _CASH_MOVEMENT),
    ("test_page", _TEST_PAGE),
)


def _is_kitchen_ticket(title: Sequence[str], printed: Sequence[_Clues]) -> bool:
    """A ticket may show prices, but nothing is paid on it; a restaurant's receipt may name its kitchen."""
    titles = {words for words in title if _KITCHEN_TITLE.fullmatch(words)}
    if titles and not any(_PAYMENT.search(clues.words) for clues in printed if clues.words not in titles):
        return True
    return any(map(_KITCHEN.search, title)) and not any(clues.has_amount for clues in printed)


def _is_titled(title: Sequence[str], pattern: re.Pattern[str]) -> bool:
    """Whether one of the lines is a title of such words, and of little else."""
    for words in title:
        match = pattern.search(words)
        if match is not None and words.count(" ") - match.group().count(" ") <= MAX_WORDS_BESIDE:
            return True
    return False


def _is_slip(lines: Iterable[_Clues]) -> bool:
    only: set[str] = set()
    others: set[str] = set()
    for clues in lines:
        only |= clues.card_only
        others |= clues.card_too
    return bool(only) and len(only | others) >= CARD_WORDS_NEEDED


Mark = Callable[[int], bool]


def card_slips(texts: Sequence[str], *, is_goods: Mark, is_total: Mark) -> list[tuple[int, int]]:
    """Where card slips stand among other print: ranges of lines, the last exclusive, without a line of goods.

    A slip reaches from its first word that only terminals print to its last, and to the blank lines or rules around.
    """
    lines = [_clues(text) for text in texts]
    if not _is_slip(lines):
        return []
    stretches: list[list[int]] = []
    for at, clues in enumerate(lines):
        if not clues.card_only or is_goods(at):
            continue
        if stretches and not any(is_goods(between) for between in range(stretches[-1][-1], at)):
            stretches[-1].append(at)
        else:
            stretches.append([at])
    ranges = [_around(lines, stretch[0], stretch[-1], is_goods, is_total) for stretch in stretches]
    return [(first, last) for first, last in ranges if _is_slip(lines[first:last])]


def _around(lines: Sequence[_Clues], first: int, last: int, is_goods: Mark, is_total: Mark) -> tuple[int, int]:
    start, end = first, last + 1
    while start > 0 and lines[start - 1].words and not (is_goods(start - 1) or is_total(start - 1)):
        start -= 1
    while end < len(lines) and lines[end].words and not is_goods(end):
        end += 1
    # Where goods or their total stand without a gap, what is between them and the slip is the receipt's.
    if start > 0 and lines[start - 1].words:
        start = first
    if end < len(lines) and lines[end].words:
        end = last + 1
    return start, end
