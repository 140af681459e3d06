"""A shop's POS that prints: composes the ESC/POS jobs that a till sends, and sends them over TCP.

Owns what the virtual shop's paper looks like; every composer is a pure function of its specification.
Shop, goods and people are made up. Never knows that a relay listens.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, Literal

COLUMNS: Final = 40
# A till waits no longer for the printer to confirm a receipt.
CONFIRM_WITHIN_S: Final = 10.0

_INIT: Final = b"\x1b@"
_FEED_AND_CUT: Final = b"\x1dVB\x00"
_ASK_PAPER: Final = b"\x10\x04\x04"
_OPEN_DRAWER: Final = b"\x1bp\x00\x19\xfa"
_CENTRE, _LEFT = b"\x1ba\x01", b"\x1ba\x00"
# Code pages by their number in `ESC t` on most printers; the first that holds a letter is taken.
_CODE_PAGES: Final = ((46, "cp1251"), (18, "cp852"))

_TAX_NAMES: Final = {"Ђ": ("О-ПДВ", 20), "Е": ("П-ПДВ", 10), "Г": ("Без ПДВ", 0)}
_TENDER_NAMES: Final = {"cash": "Готовина", "card": "Платна картица", "instant": "Инстант плаћање"}

TaxLabel = Literal["Ђ", "Е", "Г"]
TenderName = Literal["cash", "card", "instant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """Who prints. `fiscal_device` is the eight-character name of its fiscal processor."""

    store: str
    register: str
    tin: str
    company: str
    location_id: str
    location: str
    address: str
    city: str
    fiscal_device: str
    software: str = "1187/4.2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """Something on the shelf; `price_minor` is per unit, tax included."""

    name: str
    price_minor: int
    tax: TaxLabel = "Ђ"
    unit: str = "KOM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An article and how much of it, in thousandths of its unit."""

    article: Article
    thousandths: int = 1000

    @property
    def amount_minor(self) -> int:
        return _rounded(Decimal(self.article.price_minor * self.thousandths) / 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A receipt that was printed before, as a refund or a copy names it."""

    number: str
    issued_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptSpec:
    """One receipt to print. `original` makes it a refund of that one, with `is_copy` a copy of it.

    `number` counts all receipts of the fiscal processor, `number_of_kind` those of the same kind.
    `paid_minor` may exceed the total; the rest is change. `voucher_minor` of it was paid by a voucher, before anything
    else. Amounts here are positive on a refund too.
    """

    number: int
    number_of_kind: int
    items: tuple[Item, ...]
    issued_at: datetime
    cashier: str
    tender: TenderName = "cash"
    paid_minor: int | None = None
    voucher_minor: int = 0
    original: Issued | None = None
    is_copy: bool = False

    @property
    def total_minor(self) -> int:
        return sum(item.amount_minor for item in self.items)

    @property
    def is_refund(self) -> bool:
        return self.original is not None and not self.is_copy


def compose_journal(spec: ReceiptSpec, shop: Shop) -> str:
    """The Serbian fiscal journal of a receipt, without its QR code."""
    title = "ОВО НИЈЕ ФИСКАЛНИ РАЧУН" if spec.is_copy else "ФИСКАЛНИ РАЧУН"
    kind = f"{'КОПИЈА' if spec.is_copy else 'ПРОМЕТ'} {'РЕФУНДАЦИЈА' if spec.is_refund else 'ПРОДАЈА'}"
    lines = [
        title.center(len(title) + 2).center(COLUMNS, "="),
        shop.tin,
        shop.company,
        *_wrapped(f"{shop.location_id}-{shop.location}"),
        shop.address,
        shop.city,
        _apart("Касир:", spec.cashier),
        _apart("ЕСИР број:", shop.software),
    ]
    if spec.original is not None:
        lines.append(_apart("Реф. број:", spec.original.number))
        lines.append(_apart("Реф. време:", _printed_time(spec.original.issued_at)))
    lines += [kind.center(COLUMNS, "-"), "Артикли", "=" * COLUMNS, "Назив   Цена         Кол.         Укупно"]
    for item in spec.items:
        lines += _item_lines(item, sign=-1 if spec.is_refund else 1)
    lines.append("-" * COLUMNS)
    lines += _payment_lines(spec)
    if spec.is_copy:
        lines += ["=" * COLUMNS, title.center(COLUMNS)]
    lines += ["=" * COLUMNS, *_tax_lines(spec.items), "=" * COLUMNS]
    lines += [
        _apart("ПФР време:", _printed_time(spec.issued_at)),
        *_apart_wrapped("ПФР број рачуна:", pfr_number(spec, shop)),
        _apart(
            "Бројач рачуна:",
            f"{spec.number_of_kind}/{spec.number}{'К' if spec.is_copy else 'П'}{'Р' if spec.is_refund else 'П'}",
        ),
        "=" * COLUMNS,
    ]
    return "\n".join(lines)


def journal_end(spec: ReceiptSpec) -> str:
    """The line after the QR code."""
    return (" ОВО НИЈЕ ФИСКАЛНИ РАЧУН " if spec.is_copy else " КРАЈ ФИСКАЛНОГ РАЧУНА ").center(COLUMNS, "=")


def pfr_number(spec: ReceiptSpec, shop: Shop) -> str:
    """The number that names a receipt for the tax administration."""
    return f"{shop.fiscal_device}-{shop.fiscal_device}-{spec.number}"


def verification_url(spec: ReceiptSpec, shop: Shop) -> str:
    """What the QR code holds: version, device twice, counters, amount × 10,000, time, kinds, buyer, seal, MD5.

    The encrypted part and the signature are filler that depends on the receipt.
    """
    device = shop.fiscal_device.encode("ascii")
    head = struct.pack(
        "<B8s8sIIQ", 3, device, device, spec.number, spec.number_of_kind, spec.total_minor * 100
    ) + struct.pack(
        ">QBBB", int(spec.issued_at.timestamp() * 1000), 2 if spec.is_copy else 0, 1 if spec.is_refund else 0, 0
    )
    body = head + hashlib.shake_256(head).digest(512)
    return "https://suf.purs.gov.rs/v/?vl=" + base64.b64encode(body + hashlib.md5(body).digest()).decode("ascii")


def compose_fiscal_receipt(spec: ReceiptSpec, shop: Shop) -> bytes:
    """The whole print job of a Serbian receipt: setup, journal, QR code, end, drawer, cut."""
    return b"".join(
        (
            _INIT,
            _text(compose_journal(spec, shop)),
            _CENTRE,
            _qr_code(verification_url(spec, shop)),
            _LEFT,
            _text(journal_end(spec)),
            _OPEN_DRAWER if spec.tender == "cash" and not spec.is_copy else b"",
            _FEED_AND_CUT,
        )
    )


def compose_text_receipt(spec: ReceiptSpec, shop: Shop, *, member: str | None = None) -> bytes:
    """A receipt of a till without a fiscal processor, in the text layout of `docs/decoding.md`.

    On a refund or a copy `spec.original` gives the number that was printed as `Račun`.
    """
    lines = [
        shop.company.center(COLUMNS),
        f"{shop.address}, {shop.city}".center(COLUMNS),
        _apart(f"Prodavnica: {shop.store}", f"Kasa: {shop.register}"),
        _apart(f"Račun: {spec.number}", f"Kasir: {spec.cashier}"),
        f"{spec.issued_at:%d.%m.%Y %H:%M:%S}",
    ]
    if spec.is_copy:
        lines.append("KOPIJA")
    elif spec.original is not None:
        lines.append(f"POVRAT računa {spec.original.number} od {spec.original.issued_at:%d.%m.%Y}")
    if member is not None:
        lines.append(f"Član: {member}")
    lines.append("-" * COLUMNS)
    for item in spec.items:
        count = f"  {_quantity(item.thousandths)} {item.article.unit} x {_amount(item.article.price_minor)}"
        lines += [item.article.name, _apart(count, _amount(item.amount_minor))]
    lines += ["-" * COLUMNS, _apart("UKUPNO RSD", _amount(spec.total_minor))]
    paid = spec.total_minor if spec.paid_minor is None else spec.paid_minor
    lines.append(_apart({"cash": "GOTOVINA", "card": "KARTICA", "instant": "IPS"}[spec.tender], _amount(paid)))
    if paid > spec.total_minor:
        lines.append(_apart("KUSUR", _amount(paid - spec.total_minor)))
    lines += ["", "Hvala na kupovini!".center(COLUMNS)]
    return _INIT + _text("\n".join(lines)) + _FEED_AND_CUT


def compose_card_slip(*, amount_minor: int, at: datetime, terminal: str, authorisation: str) -> bytes:
    """The slip of the card terminal that some tills print themselves; no receipt."""
    lines = [
        "BANKA DEMO A.D.".center(COLUMNS),
        "SLIP ZA KUPCA".center(COLUMNS),
        _apart("TERMINAL:", terminal),
        _apart("DATUM:", f"{at:%d.%m.%Y %H:%M:%S}"),
        _apart("KARTICA:", "DINA **** **** **** 0000"),
        _apart("AUTORIZACIJA:", authorisation),
        _apart("IZNOS:", f"{_amount(amount_minor)} RSD"),
        "",
        "TRANSAKCIJA ODOBRENA".center(COLUMNS),
        "Hvala! Sačuvajte slip.".center(COLUMNS),
    ]
    return _INIT + _text("\n".join(lines)) + _FEED_AND_CUT


def compose_z_report(*, shop: Shop, at: datetime, number: int, receipts: int, total_minor: int) -> bytes:
    """The end-of-day report; no receipt."""
    lines = [
        " DNEVNI IZVEŠTAJ (Z) ".center(COLUMNS, "="),
        shop.company.center(COLUMNS),
        _apart("Prodavnica / kasa:", f"{shop.store} / {shop.register}"),
        _apart("Z broj:", str(number)),
        _apart("Datum:", f"{at:%d.%m.%Y %H:%M}"),
        "-" * COLUMNS,
        _apart("Broj računa:", str(receipts)),
        _apart("Promet dana:", _amount(total_minor)),
        "=" * COLUMNS,
    ]
    return _INIT + _text("\n".join(lines)) + _FEED_AND_CUT


class PrinterSilentError(ConnectionError):
    """The printer took the bytes, or none, and did not confirm them."""


class VirtualPos:
    """A till at the printer address it was given. One connection for each job, as most do it."""

    def __init__(self, printer: str) -> None:
        host, _, port = printer.rpartition(":")
        self._host, self._port = host, int(port)

    async def send(self, job: bytes) -> None:
        """Print `job` and wait until the printer confirms it. Raises ConnectionError when it does not."""
        try:
            async with asyncio.timeout(CONFIRM_WITHIN_S):
                reader, writer = await asyncio.open_connection(self._host, self._port)
                try:
                    writer.write(job + _ASK_PAPER)
                    await writer.drain()
                    if not await reader.read(1):
                        raise PrinterSilentError("the printer ended the connection")
                finally:
                    writer.close()
        except TimeoutError as error:
            raise PrinterSilentError(f"no word from the printer within {CONFIRM_WITHIN_S:g} s") from error


def _item_lines(item: Item, *, sign: int) -> list[str]:
    article = item.article
    name = f"{article.name}/{article.unit} ({article.tax})"
    amount = _amount(sign * item.amount_minor)
    return [*_wrapped(name), f"{_amount(article.price_minor):>13}{_quantity(item.thousandths):>11}{amount:>16}"]


def _payment_lines(spec: ReceiptSpec) -> list[str]:
    paid = spec.total_minor if spec.paid_minor is None else spec.paid_minor
    lines = [_apart("Укупна рефундација:" if spec.is_refund else "Укупан износ:", _amount(spec.total_minor))]
    if spec.voucher_minor:
        lines.append(_apart("Ваучер:", _amount(spec.voucher_minor)))
    lines.append(_apart(f"{_TENDER_NAMES[spec.tender]}:", _amount(paid - spec.voucher_minor)))
    if paid > spec.total_minor:
        lines.append(_apart("Повраћај:", _amount(paid - spec.total_minor)))
    return lines


def _tax_lines(items: Iterable[Item]) -> list[str]:
    gross: dict[str, int] = {}
    for item in items:
        gross[item.article.tax] = gross.get(item.article.tax, 0) + item.amount_minor
    lines = ["Ознака       Име      Стопа        Порез"]
    total = 0
    for label, amount in gross.items():
        name, rate = _TAX_NAMES[label]
        tax = _rounded(Decimal(amount * rate) / (100 + rate))
        total += tax
        lines.append(f"{label:<9}{name:>8}{_amount(rate * 100):>8}%{_amount(tax):>14}")
    return [*lines, "-" * COLUMNS, _apart("Укупан износ пореза:", _amount(total))]


def _rounded(exact: Decimal) -> int:
    return int(exact.quantize(Decimal(1), ROUND_HALF_UP))


def _amount(minor: int) -> str:
    """`123456` → `1.234,56`."""
    sign, whole, cents = "-" if minor < 0 else "", *divmod(abs(minor), 100)
    return f"{sign}{whole:,}".replace(",", ".") + f",{cents:02}"


def _quantity(thousandths: int) -> str:
    whole, rest = divmod(thousandths, 1000)
    return str(whole) if rest == 0 else f"{whole},{rest:03}"


def _printed_time(moment: datetime) -> str:
    return f"{moment:%d.%m.%Y. %H:%M:%S}"


def _apart(label: str, value: str) -> str:
    return f"{label}{value:>{COLUMNS - len(label)}}"


def _apart_wrapped(label: str, value: str) -> list[str]:
    room = COLUMNS - len(label) - 1
    return [_apart(label, value[:room]), *_wrapped(value[room:])]


def _wrapped(text: str) -> list[str]:
    """`text` broken at any character, as fiscal printers do it."""
    return [text[at : at + COLUMNS] for at in range(0, len(text), COLUMNS)]


def _text(text: str) -> bytes:
    """`text` and a line end, with a code page selected before each letter that the one in force lacks."""
    out = bytearray()
    selected = 0
    codec = "ascii"
    for letter in f"{text}\n":
        try:
            out += letter.encode(codec)
        except UnicodeEncodeError:
            selected, codec = next(page for page in _CODE_PAGES if _holds(page[1], letter))
            out += b"\x1bt" + bytes((selected,)) + letter.encode(codec)
    return bytes(out)


def _holds(codec: str, letter: str) -> bool:
    try:
        letter.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


def _qr_code(content: str) -> bytes:
    data = content.encode("ascii")
    stored = struct.pack("<H", len(data) + 3) + b"1P0" + data
    return b"".join(
        (
            b"\x1d(k\x04\x001A2\x00",  # model 2
            b"\x1d(k\x03\x001C\x03",  # module size
            b"\x1d(k\x03\x001E0",  # error correction L
            b"\x1d(k" + stored,
            b"\x1d(k\x03\x001Q0",  # print
        )
    )
