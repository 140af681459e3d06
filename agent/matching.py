"""Receipts of further sources: matched one to one with those of the authoritative one, and never booked themselves.

Owns how long one waits, what a match adds, and what becomes of one without a match: a person sees it. Every step is
one transaction of the store, so that a crash pairs nothing twice. Which two are one, natural ids say, and where there
are none in common `loyalty.pairing`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import msgspec
import structlog
from msgspec import UNSET

from agent.booking import Booked, ClosedSale, Rules, book, enrich
from drivers.clock import Clock
from drivers.clock import now as system_now
from loyalty.identity import identity_keys
from loyalty.instant import Instant
from loyalty.pairing import WITHIN, Told, content_of, pair, said_at
from loyalty.receipt import Receipt
from loyalty.sightings import sighting_of
from sync.store.rows import StoredReceipt, WaitingReceipt
from sync.store.store import Store
from sync.store.writing import Writing

# Whatever may be nearer has come by then: the window itself, and a minute for a slow source.
PAIR_AFTER: Final = timedelta(minutes=3)
# A database or a share that was away for a night is back by then; then a person is told.
MATCH_WITHIN: Final = timedelta(hours=24)
# Two days of a busy register. What comes beyond them is for a person at once.
MAX_WAITING: Final = 5_000
# A receipt that shares an id is matched as it comes; what waits is looked at this often.
SWEEP_EVERY_S: Final = 5.0
# Receipts of one content that are looked at together.
MAX_TOGETHER: Final = 500

log = structlog.get_logger(__name__)


class Matching:
    """The sources of one register that has several."""

    def __init__(
        self,
        *,
        store: Store,
        rules: Rules,
        boot: str,
        now: Clock = system_now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._rules = rules
        self._boot = boot
        self._now = now
        self._sleep = sleep

    async def run(self, ready: Callable[[], None]) -> None:
        """Matches what waits, until cancelled. Raises StoreError."""
        ready()
        while True:
            await self.match_waiting()
            await self._sleep(SWEEP_EVERY_S)

    async def match_waiting(self) -> None:
        """Matches what can be matched now, and shows what has waited too long."""
        if self._store.count_waiting():
            unmatched = await self._store.write(partial(self._sweep, now=self._now().wall))
            if unmatched:
                log.warning("receipts_unmatched", count=unmatched)

    # What the sources give

    def take_authoritative(
        self, writing: Writing, receipt: Receipt, captured: Instant, *, closes: ClosedSale | None = None
    ) -> Booked:
        """Books a receipt, and notes it as one that others may be matched to."""
        booked = book(writing, receipt, captured, boot=self._boot, rules=self._rules, closes=closes)
        if booked.fate == "booked":
            stored = writing.known_receipt(identity_keys(receipt))
            if stored is not None:
                now = self._now().wall
                writing.forget_candidates(booked_before=now - MATCH_WITHIN - PAIR_AFTER)
                seen = Told(id=0, receipt=stored.receipt, captured=stored.captured)
                writing.set_candidate(stored.receipt.key, content_of(stored.receipt), said_at(seen), now)
        return booked

    def take_further(
        self,
        source: str,
        writing: Writing,
        receipt: Receipt,
        captured: Instant,
        *,
        closes: ClosedSale | None = None,
    ) -> Booked:
        """Matches a receipt of a further source by its ids, or lets it wait for its partner."""
        if closes is not None and closes.member is not None:
            receipt = msgspec.structs.replace(receipt, member=closes.member)
        if receipt.status == "copy":
            return Booked(fate="copy")
        matched = self._by_ids(source, writing, receipt)
        if matched is not None:
            return matched
        if writing.is_paired(source, receipt.key):
            return Booked(fate="seen_again")
        if writing.count_waiting() >= MAX_WAITING:
            detail = f"{MAX_WAITING} receipts of further sources wait already: see whether the authoritative one works"
            return Booked(fate="conflict", detail=detail)
        if receipt.captured_at is UNSET:
            receipt = msgspec.structs.replace(receipt, captured_at=captured.wall)
        seen = Told(id=0, receipt=receipt, captured=captured)
        writing.add_waiting(
            source, receipt, captured, content=content_of(receipt), said=said_at(seen), arrived=self._now().wall
        )
        return Booked(fate="waits")

    def _by_ids(self, source: str, writing: Writing, receipt: Receipt) -> Booked | None:
        """What a receipt that is known under one of its ids comes to; None where it is not, or not yet at its stage."""
        found = (writing.known_receipt((key,)) for key in identity_keys(receipt))
        known = list({stored.receipt.key: stored for stored in found if stored is not None}.values())
        if not known:
            return None
        if len(known) > 1:
            return Booked(fate="conflict", detail="it names two receipts that are already known")
        if _agrees(known[0], receipt):
            writing.add_pair(source, known[0].receipt.key, receipt.key)
            return enrich(writing, known[0], receipt, rules=self._rules)
        match sighting_of(known[0].receipt, receipt):
            case "revision":
                return None  # the authoritative source has the word on that
            case "same" | "told_before":
                return Booked(fate="seen_again")
            case "conflict":
                return Booked(fate="conflict", detail=f"receipt {known[0].receipt.key} is known with other content")

    # What waits

    def _sweep(self, writing: Writing, now: datetime) -> int:
        """Returns how many were given to a person."""
        unmatched = self._sweep_ids(writing)
        for source, content in writing.contents_due(arrived_before=now - PAIR_AFTER):
            unmatched += self._sweep_content(writing, source, content, now)
        for late in writing.waiting_since(arrived_before=now - MATCH_WITHIN):
            detail = (
                "no receipt of the authoritative source has this total within two minutes of it: look there whether "
                "the sale was made, and let the authoritative source send it again"
            )
            _give_up(writing, late, "unmatched", detail)
            unmatched += 1
        return unmatched

    def _sweep_ids(self, writing: Writing) -> int:
        conflicts = 0
        for waiting in writing.waiting_known_by_id():
            matched = self._by_ids(waiting.source, writing, waiting.receipt)
            if matched is None:
                continue
            if matched.fate == "conflict":
                _give_up(writing, waiting, "conflict", matched.detail)
                conflicts += 1
            else:
                writing.remove_waiting(waiting.id)
        return conflicts

    def _sweep_content(self, writing: Writing, source: str, content: str, now: datetime) -> int:
        further = {each.id: each for each in writing.waiting_of(source, content, MAX_TOGETHER)}
        due = {each.id for each in further.values() if each.arrived <= now - PAIR_AFTER}
        told = [Told(id=each.id, receipt=each.receipt, captured=each.captured) for each in further.values()]
        first, last = min(map(said_at, told)) - WITHIN, max(map(said_at, told)) + WITHIN
        candidates = dict(enumerate(writing.candidates(source, content, first, last, MAX_TOGETHER)))
        pairing = pair(_told(candidates), told)
        for one, other in pairing.pairs:
            if other in due:
                self._match(writing, candidates[one].receipt.key, further[other])
        ties = [further[other] for other in pairing.tied if other in due]
        for tie in ties:
            detail = (
                "several receipts have this total at this time, and nobody can tell which is this one: the sale is "
                "booked as the authoritative source has it; attach the member by hand if this one names one"
            )
            _give_up(writing, tie, "ambiguous", detail)
        return len(ties)

    def _match(self, writing: Writing, key: str, waiting: WaitingReceipt) -> None:
        known = writing.known_receipt((key,))
        if known is not None:
            writing.add_pair(waiting.source, key, waiting.receipt.key)
            enrich(writing, known, waiting.receipt, rules=self._rules)
            writing.remove_waiting(waiting.id)


def _told(candidates: dict[int, StoredReceipt]) -> Sequence[Told]:
    return [Told(id=number, receipt=each.receipt, captured=each.captured) for number, each in candidates.items()]


def _agrees(known: StoredReceipt, receipt: Receipt) -> bool:
    """Whether both say the same of what they share an id for; clocks of two sources may differ by two minutes."""
    if content_of(known.receipt) != content_of(receipt):
        return False
    if known.receipt.issued_at is UNSET or receipt.issued_at is UNSET:
        return True
    return abs(known.receipt.issued_at - receipt.issued_at) <= WITHIN


def _give_up(writing: Writing, waiting: WaitingReceipt, reason: str, detail: str) -> None:
    raw = msgspec.json.encode(waiting.receipt)
    writing.quarantine(waiting.source, reason, detail, raw, captured=waiting.captured)
    writing.remove_waiting(waiting.id)
