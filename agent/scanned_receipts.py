"""A receipt that the cashier gives by scanning the fiscal code on its paper, where the print job could not be read.

Owns what becomes of such a code: booked as a receipt without lines, or told to the cashier why not. It is the same
transaction as its text, whichever comes first. Never says which scans are such codes (`drivers.scanning.receipt_codes`
does).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Protocol

import structlog

from agent.booking import Booked, Rules, book
from agent.desk import Settlement
from agent.view import NoticeKind
from drivers.receipts.buyer_masking import masked_buyers
from drivers.receipts.decode import decode
from drivers.receipts.port import DecodeOptions
from drivers.scanning.driver import ScanEvent
from loyalty.instant import Instant
from loyalty.receipt import Receipt
from sync.store.errors import StoreError
from sync.store.store import Store
from sync.store.writing import Writing

# A cashier scans the paper that has just been printed. What is older, or from a clock that far ahead, is another
# sale's: the original of a return, or a receipt that somebody brought along.
SCANNED_WITHIN = timedelta(hours=1)
# A disk that refuses is tried again so often, for as long as the customer may still be there.
KEEP_AGAIN_AFTER_S = 1.0
KEEP_ATTEMPTS = 600

log = structlog.get_logger(__name__)


class Page(Protocol):
    """The cashier's page (`agent.desk.Desk`)."""

    def settled(self, settlement: Settlement) -> None: ...

    def tell(self, kind: NoticeKind, at: Instant) -> None: ...


class ScannedReceipts:
    """Books the receipts whose codes are scanned."""

    def __init__(
        self,
        *,
        store: Store,
        page: Page,
        options: DecodeOptions,
        boot: str,
        rules: Rules,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._page = page
        self._options = options
        self._boot = boot
        self._rules = rules
        self._sleep = sleep

    async def take(self, event: ScanEvent) -> None:
        """Book the receipt of the code that was scanned, and show what it gives or what is wrong with it."""
        decoded = await asyncio.to_thread(decode, event.scan.text.encode(), self._options)
        if len(decoded.receipts) != 1:
            self._page.tell("receipt_code_broken", event.at)
            return
        receipt = decoded.receipts[0]
        if not _is_fresh(receipt, event.at):
            if not event.shared:  # else it may be the POS's: it asks for the original of a return
                self._page.tell("receipt_code_old", event.at)
            return
        booked = await self._booked(event, receipt)
        if booked is None:
            return
        if booked.settlement is not None:
            self._page.settled(booked.settlement)
        elif not event.shared:
            self._page.tell("receipt_known", event.at)

    async def _booked(self, event: ScanEvent, receipt: Receipt) -> Booked | None:
        """None where no disk took it."""
        for _ in range(KEEP_ATTEMPTS):
            try:
                return await self._store.write(partial(self._write, event=event, receipt=receipt))
            except StoreError as error:
                log.warning("scanned_receipt_not_kept_yet", reader=event.reader, error=type(error).__name__)
                await self._sleep(KEEP_AGAIN_AFTER_S)
        log.error("scanned_receipt_lost", reader=event.reader)
        return None

    def _write(self, writing: Writing, *, event: ScanEvent, receipt: Receipt) -> Booked:
        booked = book(writing, receipt, event.at, boot=self._boot, rules=self._rules)
        if booked.fate == "conflict":
            raw = masked_buyers(event.scan.text.encode())
            writing.quarantine(event.reader, "conflict", booked.detail, raw, captured=event.at)
        return booked


def _is_fresh(receipt: Receipt, at: Instant) -> bool:
    return not receipt.issued_at or abs(at.wall - receipt.issued_at) <= SCANNED_WITHIN
