"""What every source of receipts shares: what was read becomes durable, together with the source's own mark.

Owns what a decoded document is once it is free of card and buyers' numbers, and its one transaction: receipts, claims
and entries, quarantine and counters, and whatever tells the source that it need not give this again. Never reads a
source (`agent.receipts` and `agent.arrivals` do), and never decides whose a receipt is (`agent.booking` does).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import structlog
from msgspec import Struct
from msgspec.structs import replace

from agent.booking import Booked, ClosedSale
from agent.card_numbers import masked_receipt, masked_text
from agent.desk import Settlement
from agent.posted import Outcome
from agent.store_inspection import count_ignored, last_receipt_of
from drivers.receipts.buyer_masking import masked_buyers
from drivers.receipts.decode import Decoded
from drivers.receipts.job_masking import masked_job
from loyalty.identification import IdentificationRule, owns_number
from loyalty.instant import Instant
from loyalty.receipt import Receipt
from loyalty.reconcile import unearning
from sync.records import wall_text
from sync.store.errors import StoreError
from sync.store.store import Store
from sync.store.writing import Writing

MAX_DETAIL_CHARACTERS = 300

log = structlog.get_logger(__name__)


class Take(Protocol):
    """Decides what becomes of a receipt, in the transaction: `agent.booking.book`, or a way of `agent.matching`.

    `closes` is the sale that a POS closes with it by a call; else scans and the receipt itself tell whose it is.
    """

    def __call__(
        self, writing: Writing, receipt: Receipt, captured: Instant, /, *, closes: ClosedSale | None = None
    ) -> Booked: ...


class SetAside(Struct, frozen=True, kw_only=True):
    """What a person must look at; masked, as all that is kept. `receipt` is the key of a booked one."""

    reason: str
    detail: str
    raw: bytes
    receipt: str | None = None


class Prepared(Struct, frozen=True, kw_only=True):
    """A document as it is written to the store: nothing in it holds a card or buyer's number. `masked` is all of it.

    `closes` is as `Take` has it.
    """

    masked: bytes
    captured: Instant
    receipts: tuple[Receipt, ...] = ()
    ignored: tuple[str, ...] = ()
    set_aside: tuple[SetAside, ...] = ()
    closes: ClosedSale | None = None


class Kept(Struct, frozen=True, kw_only=True):
    """What one document came to. `quarantined` says of each part that is for a person why."""

    settlements: tuple[Settlement, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    quarantined: tuple[str, ...] = ()


Mark = Callable[[Writing, Kept], None]
"""Writes that the source need not give this again; in the transaction that books it."""


class Bookkeeper:
    """Writes what one source gives.

    `take` books a receipt, or matches it to a booked one; `identification` gives the rules in force, by which the
    shop's own card numbers are known on paper.
    """

    def __init__(
        self,
        *,
        name: str,
        store: Store,
        take: Take,
        settled: Callable[[Settlement], None],
        identification: Callable[[], Sequence[IdentificationRule]] = tuple,
    ) -> None:
        self.name = name
        self._store = store
        self.take = take
        self._settled = settled
        self._identification = identification

    def prepared(self, document: bytes, decoded: Decoded, captured: Instant) -> Prepared:
        """`decoded` free of card and buyers' numbers. It takes time that the store's writer has not: for a thread."""
        own = self._identification()
        masked = self._masked(document)
        return Prepared(
            masked=masked,
            captured=captured,
            receipts=tuple(masked_receipt(receipt, own) for receipt in decoded.receipts),
            ignored=tuple(item.kind for item in decoded.ignored),
            set_aside=tuple(
                set_aside(masked[problem.start : problem.end], problem.code, problem.detail)
                for problem in decoded.problems
            ),
        )

    def refused(self, document: bytes, captured: Instant, reason: str, detail: str) -> Prepared:
        """A document that is for a person as a whole."""
        masked = self._masked(document)
        return Prepared(masked=masked, captured=captured, set_aside=(set_aside(masked, reason, detail),))

    def failed(self, document: bytes, captured: Instant, error: Exception) -> Prepared:
        """A document that a reader failed at. Third-party readers may raise anything."""
        log.warning("decoder_failed", source=self.name, error=type(error).__name__)
        return self.refused(document, captured, "decoder_failed", f"{type(error).__name__}: {error}")

    async def keep(self, prepared: Prepared, mark: Mark) -> Kept:
        """Writes what came of a document together with `mark`, and tells of it. Raises StoreError.

        What cannot be booked is quarantined whole, so that it does not hold up the next.
        """
        try:
            kept = await self._store.write(lambda writing: self._write(writing, prepared, mark))
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 — see above
            log.warning("document_not_booked", source=self.name, error=type(error).__name__)
            not_booked = set_aside(prepared.masked, "not_booked", f"{type(error).__name__}: {error}")
            instead = Prepared(masked=prepared.masked, captured=prepared.captured, set_aside=(not_booked,))
            kept = await self._store.write(lambda writing: self._write(writing, instead, mark))
        for settlement in kept.settlements:
            self._settled(settlement)
        if kept.quarantined:
            log.warning("document_quarantined", source=self.name, count=len(kept.quarantined))
        return kept

    def _masked(self, document: bytes) -> bytes:
        """`document` without card numbers and buyers' numbers. Its length stays, so that byte ranges hold."""
        return masked_job(masked_buyers(document), partial(owns_number, self._identification()))

    def _write(self, writing: Writing, prepared: Prepared, mark: Mark) -> Kept:
        settlements: list[Settlement] = []
        outcomes: list[Outcome] = []
        aside = list(prepared.set_aside)
        ignored = list(prepared.ignored)
        unearned: list[SetAside] = []
        for receipt in prepared.receipts:
            booked = self.take(writing, receipt, prepared.captured, closes=prepared.closes)
            outcomes.append(Outcome(key=receipt.key, fate=booked.fate))
            if booked.settlement is not None:
                settlements.append(booked.settlement)
                unearned += _unearned(receipt, prepared.masked)
            elif booked.fate == "conflict":
                aside.append(SetAside(reason="conflict", detail=booked.detail, raw=prepared.masked))
            elif booked.fate != "waits":
                ignored.append(booked.fate)
        # One copy of the document serves all its receipts.
        for item in (*aside, *unearned[:1]):
            writing.quarantine(
                self.name, item.reason, item.detail, item.raw, captured=prepared.captured, receipt=item.receipt
            )
        count_ignored(writing, ignored)
        if prepared.receipts:
            writing.set_meta(last_receipt_of(self.name), wall_text(prepared.captured.wall))
        kept = Kept(
            settlements=tuple(settlements),
            outcomes=tuple(outcomes),
            quarantined=tuple(f"{item.reason}: {item.detail}" for item in aside),
        )
        mark(writing, kept)
        return kept


def _unearned(receipt: Receipt, masked: bytes) -> Sequence[SetAside]:
    """A booked receipt that earns nothing until someone resolves it: its bytes are kept to be read again."""
    problem = unearning(receipt)
    if problem is None:
        return ()
    return (replace(set_aside(masked, problem.code, problem.detail or ""), receipt=receipt.key),)


def set_aside(masked: bytes, reason: str, detail: str) -> SetAside:
    """`masked` bytes for a person, with why. The detail is masked here."""
    return SetAside(reason=reason, detail=masked_text(detail)[:MAX_DETAIL_CHARACTERS], raw=masked)
