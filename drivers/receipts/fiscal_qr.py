"""The codes that a fiscal receipt carries for its authority: what they say of the receipt, and no more.

Owns the Serbian, Croatian and Slovenian code, once somebody has its text. Never looks for codes on paper, and never
asks an authority whether it knows one.

Source: the technical guides of the tax administrations of Serbia, Croatia and Slovenia, and codes of real receipts.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Sequence
from datetime import date, datetime
from typing import Final, Literal
from urllib.parse import parse_qs, unquote
from zoneinfo import ZoneInfo

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from drivers.receipts.port import MalformedReceiptError
from loyalty.identity import hr_jir
from loyalty.money import to_major
from loyalty.receipt import AwareDatetime, Fiscal, Issuer, Problem, Receipt, ReceiptKind, ReceiptStatus
from loyalty.reconcile import TOTAL_MISMATCH

FiscalFormat = Literal["purs-qr", "hr-qr", "si-qr"]

# No QR code holds more (version 40, level L).
MAX_CODE_LETTERS: Final = 7089
# The most a receipt's amount can be in minor units, as the contract of a receipt bounds it.
MAX_TOTAL_MINOR: Final = 10**14
# Croatia pays in euro from this day on.
CROATIAN_EURO: Final = date(2023, 1, 1)
# A Slovenian code printed as bars is parted into so many, each with its place in front.
PARTS: Final = range(2, 7)

BROKEN: Final = "scan it again, or type the receipt's number in"

_PURS: Final = re.compile(r"https?://suf\.purs\.gov\.rs(?::443)?/v/?\?(?:[^#]*&)?vl=([^&#]*)", re.IGNORECASE).match
_HR: Final = re.compile(r"https?://(?:www\.)?porezna\.gov\.hr(?::443)?/rn/?\?([^#]*)", re.IGNORECASE).match
_SI: Final = re.compile(r"\d{60}", re.ASCII).fullmatch


class FiscalCode(Struct, frozen=True, kw_only=True):
    """What a code says. A Slovenian one says neither kind nor amount.

    `also` holds ids that stand beside the fiscal number, or instead of it where the code has none.
    """

    format: FiscalFormat
    fiscal: Fiscal
    also: tuple[str, ...] = ()
    issued_at: AwareDatetime | UnsetType = UNSET
    business_day: date | UnsetType = UNSET
    kind: ReceiptKind = "sale"
    status: ReceiptStatus = "final"
    currency: str = "EUR"
    total_minor: int | UnsetType = UNSET


def fiscal_code(text: str) -> FiscalCode | None:
    """What the code with this text says; None if it is no fiscal code.

    Raises MalformedReceiptError (`bad_code`, `bad_amount`, `no_time`) for one that is damaged.
    """
    text = text.strip()
    if len(text) > MAX_CODE_LETTERS:
        return None
    if (match := _PURS(text)) is not None:
        return _serbian(text, match[1])
    if (match := _HR(text)) is not None:
        return _croatian(text, match[1])
    if _SI(text) is not None:
        return _slovenian(text)
    return None


def receipt_of(code: FiscalCode) -> Receipt:
    """The receipt that only its code is known of; without lines. Raises MalformedReceiptError (`no_total`)."""
    if code.total_minor is UNSET:
        raise MalformedReceiptError(
            "no_total", "this code names a receipt and not its amount; print or type the receipt"
        )
    return Receipt(
        key="",
        also=code.also,
        kind=code.kind,
        status=code.status,
        number=code.fiscal.number if code.format == "purs-qr" else UNSET,
        business_day=code.business_day,
        issued_at=code.issued_at,
        currency=code.currency,
        total_minor=code.total_minor,
        fiscal=code.fiscal,
    )


def may_be_of(code: FiscalCode, receipt: Receipt) -> bool:
    """Whether `code` can stand on the same paper as `receipt`: no number says otherwise."""
    fiscal = receipt.fiscal
    if not fiscal or not fiscal.number:
        return True
    if fiscal.scheme != code.fiscal.scheme:
        return False
    return not code.fiscal.number or _same_number(fiscal.number, code.fiscal.number)


def agrees(code: FiscalCode, receipt: Receipt) -> bool:
    """Whether both say the same amount, as far as the code says one. Some tills print it without its sign."""
    return code.total_minor is UNSET or abs(code.total_minor) == abs(receipt.total_minor)


def completed(receipt: Receipt, code: FiscalCode) -> Receipt:
    """`receipt`, read from text, with what only its code says. Where they contradict each other it says so.

    `key` is left as it was: who knows the bytes computes it again.
    """
    problems = tuple(problem for problem in receipt.problems if problem.code not in _SETTLED)
    currency = receipt.currency
    if code.total_minor is not UNSET:
        currency = code.currency if currency == "XXX" else currency
        if not agrees(code, receipt):
            said = f"{to_major(code.total_minor, code.currency)} {code.currency}"
            detail = f"the receipt's code says {said}, its text {to_major(receipt.total_minor, currency)} {currency}"
            problems = (*problems, Problem(code=TOTAL_MISMATCH, detail=detail))
    return replace(
        receipt,
        also=tuple(dict.fromkeys((*receipt.also, *code.also))),
        status=code.status if receipt.status == "final" else receipt.status,
        number=receipt.number or (code.fiscal.number if code.format == "purs-qr" else UNSET),
        business_day=receipt.business_day or code.business_day,
        issued_at=receipt.issued_at or code.issued_at,
        currency=currency,
        fiscal=_both(receipt.fiscal, code.fiscal),
        problems=problems,
    )


# What a text lacks and a code has, so that there is nothing to say about it any more.
_SETTLED: Final = ("weak_identity", "time_zone_unknown", "currency_unknown")


def _both(printed: Fiscal | UnsetType, coded: Fiscal) -> Fiscal:
    """A fact of the text stays; but the address that checks a receipt is the code's to give, or to withhold."""
    if not printed:
        return coded
    return replace(
        printed,
        number=printed.number or coded.number,
        counter=printed.counter or coded.counter,
        issuer=printed.issuer or coded.issuer,
        buyer_kind=printed.buyer_kind or coded.buyer_kind,
        verification_url=coded.verification_url,
    )


def _same_number(one: str, other: str) -> bool:
    return "".join(one.split()).lower() == "".join(other.split()).lower()


# Serbia: version, requested by, signed by, total counter, counter of the type | amount | time, types, buyer's length

_HEAD: Final = struct.Struct("<B8s8sIIQ")
_MIDDLE: Final = struct.Struct(">QBBB")
BUYER_AT: Final = _HEAD.size + _MIDDLE.size
SEAL_BYTES: Final = 16
VERSION: Final = 3
_DEVICE: Final = re.compile(rb"[0-9A-Z]{8}").fullmatch
BUYER: Final = re.compile(rb"(\d{2}):")
_STATUSES: Final[tuple[tuple[ReceiptStatus, str], ...]] = (
    ("final", "П"), ("proforma", "Р"), ("copy", "К"), ("training", "О"), ("advance", "А"),
)  # fmt: skip
_KINDS: Final[tuple[tuple[ReceiptKind, str], ...]] = (("sale", "П"), ("return", "Р"))
_BELGRADE: Final = "Europe/Belgrade"


def _serbian(url: str, payload: str) -> FiscalCode:
    data = _unpacked(payload)
    version, requested_by, signed_by, total_counter, type_counter, amount = _HEAD.unpack_from(data)
    milliseconds, invoice, transaction, buyer_bytes = _MIDDLE.unpack_from(data, _HEAD.size)
    if version != VERSION:
        raise MalformedReceiptError("bad_code", f"the code has version {version}; this version reads {VERSION}")
    if not (_DEVICE(requested_by) and _DEVICE(signed_by) and invoice < len(_STATUSES) and transaction < len(_KINDS)):
        raise MalformedReceiptError("bad_code", f"the code names no receipt; {BROKEN}")
    if len(data) < BUYER_AT + buyer_bytes + SEAL_BYTES:
        raise MalformedReceiptError("bad_code", f"the code is incomplete; {BROKEN}")
    buyer = data[BUYER_AT : BUYER_AT + buyer_bytes].strip(b"\0 ")
    status, status_letter = _STATUSES[invoice]
    kind, kind_letter = _KINDS[transaction]
    total_minor = (amount + 50) // 100  # ten-thousandths of a dinar
    if total_minor > MAX_TOTAL_MINOR:
        raise MalformedReceiptError("bad_amount", f"the code's amount is beyond any receipt's; {BROKEN}")
    issued_at = _moment(milliseconds // 1000)
    buyer_kind = BUYER.match(buyer)
    return FiscalCode(
        format="purs-qr",
        fiscal=Fiscal(
            scheme="rs-purs",
            number=f"{requested_by.decode()}-{signed_by.decode()}-{total_counter}",
            counter=f"{type_counter}/{total_counter}{status_letter}{kind_letter}",
            buyer_kind=buyer_kind[1].decode() if buyer_kind is not None else UNSET,
            # The address holds the buyer's own number, of which nothing is kept.
            verification_url=UNSET if buyer else url,
        ),
        issued_at=issued_at,
        business_day=issued_at.date(),
        kind=kind,
        status=status,
        currency="RSD",
        total_minor=-total_minor if kind == "return" else total_minor,
    )


def _unpacked(payload: str) -> bytes:
    """The bytes of a code whose seal is whole. Tills pad and escape base64 in every way."""
    text = unquote(payload).translate(_BASE64).rstrip("=")
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedReceiptError("bad_code", f"the code is no base64; {BROKEN}") from error
    if len(data) < BUYER_AT + SEAL_BYTES:
        raise MalformedReceiptError("bad_code", f"the code is incomplete; {BROKEN}")
    if hashlib.md5(data[:-SEAL_BYTES], usedforsecurity=False).digest() != data[-SEAL_BYTES:]:
        raise MalformedReceiptError("bad_code", f"the code's check sum is wrong; {BROKEN}")
    return data


# A plus that a form made a blank, and the letters of base64 for addresses.
_BASE64: Final = str.maketrans(" -_", "++/", "\r\n\t")


def _moment(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, ZoneInfo(_BELGRADE))
    except (ValueError, OverflowError, OSError) as error:
        raise MalformedReceiptError("no_time", f"the code's time is beyond any calendar; {BROKEN}") from error


# Croatia: jir or zki, datv=YYYYMMDD_HHMM, izn

_MAX_FIELDS: Final = 20
_ZKI: Final = re.compile(r"[0-9a-f]{32}", re.IGNORECASE).fullmatch
_JIR: Final = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE).fullmatch
_DATV: Final = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?:[_T -]?(\d{2}):?(\d{2})(?::?(\d{2}))?)?", re.ASCII).fullmatch
_IZN: Final = re.compile(r"([-−+]?)(?:(\d{1,15})|(\d[\d.,]{0,20})[.,](\d{1,2}))([A-Z€]*)", re.ASCII).fullmatch
_CURRENCIES: Final = {"EUR": "EUR", "€": "EUR", "HRK": "HRK", "KN": "HRK"}


def _croatian(url: str, query: str) -> FiscalCode:
    try:
        fields = {name.lower(): values for name, values in parse_qs(query, max_num_fields=_MAX_FIELDS).items()}
    except ValueError as error:
        raise MalformedReceiptError("bad_code", f"the code has too many fields; {BROKEN}") from error
    zki, jir = _field(fields, "zki"), _field(fields, "jir")
    if not (zki or jir) or (zki and not _ZKI(zki)) or (jir and not _JIR(jir)):
        raise MalformedReceiptError("bad_code", f"the code has neither a whole JIR nor a whole ZKI; {BROKEN}")
    issued_at = _croatian_moment(_field(fields, "datv"))
    day = issued_at.date() if issued_at is not UNSET else UNSET
    total_minor, currency = _croatian_amount(_field(fields, "izn"))
    if not currency:
        currency = "HRK" if day and day < CROATIAN_EURO else "EUR"
    return FiscalCode(
        format="hr-qr",
        fiscal=Fiscal(scheme="hr-fisk", number=zki.lower() or UNSET, verification_url=url),
        also=(hr_jir(jir),) if jir else (),
        issued_at=issued_at,
        business_day=day,
        kind="return" if total_minor < 0 else "sale",
        currency=currency,
        total_minor=total_minor,
    )


def _field(fields: dict[str, list[str]], name: str) -> str:
    """A field's one value, without blanks; empty where it is not there."""
    values = {"".join(value.split()) for value in fields.get(name, ())}
    if len(values) > 1:
        raise MalformedReceiptError("bad_code", f"the code has more than one {name}; {BROKEN}")
    return values.pop() if values else ""


def _croatian_moment(text: str) -> datetime | UnsetType:
    if not text:
        return UNSET
    match = _DATV(text)
    try:
        if match is None:
            raise ValueError
        year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
        return datetime(year, month, day, hour, minute, second, tzinfo=ZoneInfo("Europe/Zagreb"))
    except ValueError as error:
        raise MalformedReceiptError("no_time", f"the code's time (datv) cannot be read; {BROKEN}") from error


def _croatian_amount(text: str) -> tuple[int, str]:
    """Cents and the currency, if it is said: `12345`, `123,45`, `0000123,45`, `1.234,50 EUR`; bare digits are cents."""
    match = _IZN(text.upper())
    if match is None or (match[5] and match[5] not in _CURRENCIES):
        raise MalformedReceiptError("bad_amount", f"the code's amount (izn) cannot be read; {BROKEN}")
    sign, cents, whole, fraction, currency = match.groups()
    minor = int(cents) if cents else int(re.sub(r"[.,]", "", whole) + fraction.ljust(2, "0"))
    if minor > MAX_TOTAL_MINOR:
        raise MalformedReceiptError("bad_amount", f"the code's amount is beyond any receipt's; {BROKEN}")
    return -minor if sign in ("-", "−") else minor, _CURRENCIES.get(currency, "")


# Slovenia: 39 digits of the ZOI, 8 of the taxpayer, YYMMDDHHMMSS, and the sum of all digits modulo 10


def _slovenian(digits: str) -> FiscalCode:
    if sum(map(int, digits[:-1])) % 10 != int(digits[-1]):
        raise MalformedReceiptError("bad_code", f"the code's check digit is wrong; {BROKEN}")
    zoi = int(digits[:39])
    if zoi >> 128:
        raise MalformedReceiptError("bad_code", f"the code names no receipt; {BROKEN}")
    year, month, day, hour, minute, second = (int(digits[at : at + 2]) for at in range(47, 59, 2))
    try:
        issued_at = datetime(2000 + year, month, day, hour, minute, second, tzinfo=ZoneInfo("Europe/Ljubljana"))
    except ValueError as error:
        raise MalformedReceiptError("no_time", f"the code's time cannot be read; {BROKEN}") from error
    return FiscalCode(
        format="si-qr",
        fiscal=Fiscal(scheme="si-furs", number=f"{zoi:032x}", issuer=Issuer(tin=digits[39:47])),
        issued_at=issued_at,
        business_day=issued_at.date(),
        currency="EUR",
    )


def joined_parts(texts: Sequence[str]) -> str | None:
    """The Slovenian code that several bar codes hold, each with a 4 or 44 and its place in front, or bare.

    Its check digit and its time say whether they belong together.
    """
    numbers = [text.strip() for text in texts if text.strip().isdecimal() and text.isascii()]
    if len(numbers) not in PARTS:
        return None
    for prefix in ("4", "44", None):
        ordered = _in_order(numbers, prefix)
        if len(ordered) == 60:
            try:
                fiscal_code(ordered)
            except MalformedReceiptError:
                continue
            return ordered
    return None


def _in_order(numbers: Sequence[str], prefix: str | None) -> str:
    if prefix is None:
        return "".join(numbers)
    parts = {number: number[len(prefix) + 1 :] for number in sorted(numbers)}
    heads = [f"{prefix}{place}" for place in range(1, len(numbers) + 1)]
    follows = all(number.startswith(head) for number, head in zip(parts, heads, strict=False))
    return "".join(parts.values()) if follows and len(parts) == len(heads) else ""
