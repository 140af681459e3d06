"""POSLog, the retail industry's XML of what a register did: sales and returns as receipts, the rest by name.

Owns what a transaction is, who it is, and its status. Reads 2.1 and 6.x alike, by the names of elements in whatever
namespace. Never reads a document type, and never a payment card's number.

Source: ARTS IXRetail POSLog 2.1 and 6.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence, Set
from datetime import UTC, date, datetime
from typing import Final
from xml.etree.ElementTree import Element
from zoneinfo import ZoneInfo

from msgspec import UNSET, UnsetType

from drivers.receipts.classify import IgnoredKind
from drivers.receipts.port import DecodeOptions, MalformedReceiptError, Part
from drivers.receipts.poslog_body import body_of, link_of
from drivers.receipts.poslog_cut import Cut, DtdRefusedError, cuts, is_empty_log
from drivers.receipts.poslog_extensions import with_fiscal_codes
from drivers.receipts.poslog_tree import TransactionParser, attribute, children, each, innermost, is_flagged, text_of
from drivers.receipts.wording import printed_date, printed_moment
from loyalty.identity import identified, pos_id
from loyalty.receipt import Original, Problem, Receipt, ReceiptStatus

NO_CURRENCY: Final = "XXX"

_STORES: Final = ("UnitID", "RetailStoreID", "StoreID")
_STORE_ELEMENTS: Final = frozenset(("BusinessUnit", *_STORES))
_SALES: Final = ("RetailTransaction", "PostVoidTransaction", "VoidTransaction")
# What else a register reports, by what an element's name or its reason holds. The first that fits.
_CONTROLS: Final[tuple[tuple[str, IgnoredKind], ...]] = (
    ("SIGNO", "sign_on"), ("LOGO", "sign_on"), ("NOSALE", "drawer"), ("DRAWER", "drawer"), ("OPENTILL", "drawer"),
    ("LOAN", "cash_movement"), ("PICKUP", "cash_movement"), ("PAIDIN", "cash_movement"), ("PAIDOUT", "cash_movement"),
    ("PAYIN", "cash_movement"), ("PAYOUT", "cash_movement"), ("SAFE", "cash_movement"), ("BANK", "cash_movement"),
    ("SETTLE", "z_report"), ("EOD", "z_report"), ("ENDOFDAY", "z_report"), ("CLOSE", "z_report"),
    ("TENDERCONTROL", "cash_movement"),
)  # fmt: skip
_STATUSES: Final[tuple[tuple[str, ReceiptStatus], ...]] = (
    ("SUSPEND", "suspended"), ("PARK", "suspended"), ("CANCEL", "voided"), ("VOID", "voided"), ("ABORT", "voided"),
    ("TRAIN", "training"),
)  # fmt: skip
_TRAINING_FLAGS: Final = frozenset(("TrainingModeFlag",))
_VOID_FLAGS: Final = frozenset(("CancelFlag", "VoidFlag", "PostVoidFlag"))
_SUSPEND_FLAGS: Final = frozenset(("SuspendFlag",))
_RESUMES: Final = frozenset(("RESUME", "RESUMED", "RETRIEVE", "RECALL", "SUSPEND", "SUSPENDED"))
_VOIDS: Final = frozenset(("VOID", "POSTVOID", "VOIDED", "CANCEL", "CANCELLED"))
_OFFSET: Final = re.compile(r"([+-]?)(\d{1,2}):(\d{2})(?::\d{2})?").fullmatch
_HAS_ZONE: Final = re.compile(r"(?:Z|[+-]\d{2}:?\d{2})\s*$").search


def read_poslog(document: bytes, options: DecodeOptions) -> Iterator[tuple[Part, int, int]]:
    """Each transaction, or what it is, or why it cannot be read, with its byte range. Never raises."""
    found = False
    parser = TransactionParser()
    try:
        for cut in cuts(document):
            found = True
            yield _read(cut, document, options, parser), cut.start, cut.end
    except DtdRefusedError:
        detail = "it declares a document type (DTD), which is never read; let the sender leave it out"
        yield MalformedReceiptError("dtd_refused", detail), 0, len(document)
        return
    if not found and is_empty_log(document):
        yield "blank", 0, len(document)
    elif not found:
        detail = "this XML holds no Transaction of a POSLog"
        yield MalformedReceiptError("no_transaction", detail), 0, len(document)


def _read(cut: Cut, document: bytes, options: DecodeOptions, parser: TransactionParser) -> Part:
    try:
        if cut.kind == "torn":
            raise MalformedReceiptError("torn", "the transaction has no end; let the sender write it again")
        if cut.kind == "stray":
            raise MalformedReceiptError("bad_xml", "a transaction ends that has no beginning; correct it at the sender")
        if cut.kind == "too_large":
            raise MalformedReceiptError("too_large", "a transaction of more than 4 MiB; export fewer lines in each")
        transaction = parser.parsed(cut.xml)
        sale = next(iter(each(transaction, _SALES)), None)
        if sale is None:
            return _control(transaction)
        receipt = _receipt(transaction, sale, options)
    except MalformedReceiptError as error:
        return error
    except Exception as error:  # noqa: BLE001 - one bad transaction never stops the others
        detail = f"reader poslog failed ({type(error).__name__}); report it with these bytes"
        return MalformedReceiptError("reader_failed", detail)
    return identified(receipt, document[cut.start : cut.end])


def _control(transaction: Element) -> IgnoredKind:
    """What a transaction without a sale was, by the names and reasons in it. Raises MalformedReceiptError."""
    said = []
    for part in transaction:
        name = part.tag
        if name.endswith("Transaction"):
            said += [child.tag for child in part]
            said += [attribute(part, "TypeCode"), text_of(part.find("ReasonCode")), name]
    if not said:
        raise MalformedReceiptError("no_transaction", "the transaction says nothing of a sale or of anything else")
    words = ["".join(letter for letter in each_said.upper() if letter.isalpha()) for each_said in said]
    return next((kind for word in words for start, kind in _CONTROLS if start in word), "control")


def _receipt(transaction: Element, sale: Element, options: DecodeOptions) -> Receipt:
    parts, inner = children(transaction), children(sale)
    currency = _currency(sale, parts, inner) or options.currency or NO_CURRENCY
    body = body_of(transaction, sale, currency)
    business_day = printed_date(text_of(innermost(parts.get("BusinessDayDate"), "Date")))
    times = list(_times(transaction, sale, parts.keys() | inner.keys()))
    issued_at, problems = _issued_at(times, options.time_zone)
    printed_day = times[0][1] if times else None
    problems = [*problems, *_currency_problem(currency)]
    own = Original(
        store=_store(transaction) or options.store or UNSET,
        register=text_of(parts.get("WorkstationID")) or options.register or UNSET,
        business_day=business_day or printed_day or UNSET,
        number=_first_text(parts, inner, "SequenceNumber", "ReceiptNumber", "TransactionID") or UNSET,
    )
    status = _status(((transaction, parts), (sale, inner)))
    voided, resumed, given_back = _linked(body.links, own) if body.links else (None, None, None)
    who = own
    also: tuple[str, ...] = ()
    if sale.tag != "RetailTransaction" or (voided is not None and status in ("final", "voided")):
        # What is voided is the other transaction: a later stage of it.
        who, status = voided or own, "voided"
        body = body.as_sale()
    elif resumed is not None and status != "suspended":
        also = _id_of(resumed)
    receipt = Receipt(
        key="",
        also=also,
        source="poslog",
        kind=body.kind,
        status=status,
        store=who.store,
        register=who.register,
        number=who.number,
        business_day=who.business_day,
        issued_at=issued_at,
        operator=text_of(parts.get("OperatorID")) or UNSET,
        currency=currency,
        total_minor=body.total_minor,
        rounding_minor=body.rounding_minor,
        lines=body.lines,
        discounts=body.discounts,
        taxes=body.taxes,
        tenders=body.tenders,
        change_minor=body.change_minor,
        original=given_back if given_back is not None and body.kind != "sale" else UNSET,
        member=body.member,
        problems=tuple(problems),
    )
    return with_fiscal_codes(receipt, transaction, sale)


def _linked(
    links: Iterable[tuple[Element, str]], own: Original
) -> tuple[Original | None, Original | None, Original | None]:
    """The transactions that this one voids, that it resumes, and that it gives back."""
    named = {reason: link_of(link, own) for link, reason in links}
    return (
        next((link for reason, link in named.items() if reason in _VOIDS), None),
        next((link for reason, link in named.items() if reason in _RESUMES), None),
        next((link for reason, link in named.items() if reason not in _RESUMES | _VOIDS), None),
    )


def _id_of(link: Original) -> tuple[str, ...]:
    if link.store and link.register and link.business_day and link.number:
        return (pos_id(link.store, link.register, link.business_day.isoformat(), link.number),)
    return ()


def _first_text(parts: dict[str, Element], inner: dict[str, Element], *names: str) -> str:
    for name in names:
        for where in (parts, inner):
            if name in where and (text := text_of(where[name])):
                return text
    return ""


def _currency(sale: Element, parts: dict[str, Element], inner: dict[str, Element]) -> str:
    """The currency that the transaction names, or its totals, or its first amount."""
    named = _first_text(parts, inner, "CurrencyCode")
    if _is_currency(named):
        return named
    told = [attribute(total, "CurrencyCode") or attribute(total, "Currency") for total in sale.findall("Total")]
    if not any(map(_is_currency, told)):
        told += [
            value for element in sale.iter() for key, value in element.items() if key in ("Currency", "CurrencyCode")
        ]
    return next(filter(_is_currency, told), "")


def _is_currency(text: str) -> bool:
    return len(text) == 3 and text.isascii() and text.isalpha() and text.isupper() and text != NO_CURRENCY


def _currency_problem(currency: str) -> list[Problem]:
    if currency != NO_CURRENCY:
        return []
    return [Problem(code="currency_unknown", detail="name the currency in the settings")]


def _store(transaction: Element) -> str:
    """The shop: of several business units the one that says it is a store, else the first."""
    found = []
    for unit in each(transaction, _STORE_ELEMENTS):
        inner = innermost(unit, *_STORES)
        kind = attribute(inner, "TypeCode") or attribute(unit, "TypeCode")
        if text := text_of(inner):
            found.append((kind not in ("RetailStore", ""), text))
    return min(found, key=lambda each_found: each_found[0])[1] if found else ""


_TIMES: Final = ("ReceiptDateTime", "EndDateTime", "POSLogDateTime", "BeginDateTime")


def _times(transaction: Element, sale: Element, named: Set[str]) -> Iterator[tuple[str, date]]:
    """Times of the transaction, that of the receipt first, each with the offset that stands with it, and their days.

    `named` are the names of all that stands in the transaction and its sale.
    """
    for name in filter(named.__contains__, _TIMES):
        # The last of several; but when the message was sent is not when something was sold.
        told = [*sale.findall(name), *transaction.findall(name)][::-1]
        for element in sorted(told, key=lambda one: attribute(one, "TypeCode") == "Message"):
            text = text_of(element)
            offset = _OFFSET(attribute(element, "Offset"))
            if offset is not None and not _HAS_ZONE(text):
                text += f"{offset[1] or '+'}{int(offset[2]):02}:{offset[3]}"
            if (day := printed_date(text)) is not None:
                yield text, day


def _issued_at(times: Sequence[tuple[str, date]], zone: str | None) -> tuple[datetime | UnsetType, list[Problem]]:
    """The first time that says its zone, or that the shop's zone makes whole."""
    for text, day in times:
        moment = printed_moment(day, text, zone)
        if moment is not None:
            return (moment.astimezone(ZoneInfo(zone)) if zone and moment.tzinfo is UTC else moment), []
    if not times:
        return UNSET, []
    return UNSET, [Problem(code="time_zone_unknown", detail="name the time zone in the settings")]


def _status(levels: Sequence[tuple[Element, Iterable[str]]]) -> ReceiptStatus:
    """By the flags of the transaction and of the sale, each with the names in it; else by the word of either."""
    for element, names in levels:
        if is_flagged(element, names, _TRAINING_FLAGS):
            return "training"
    for element, names in levels:
        if is_flagged(element, names, _VOID_FLAGS):
            return "voided"
        if is_flagged(element, names, _SUSPEND_FLAGS):
            return "suspended"
    said = next((word for element, _ in reversed(levels) if (word := attribute(element, "TransactionStatus"))), "")
    return next((status for start, status in _STATUSES if start in said.upper()), "final") if said else "final"
