"""Reads again what is in quarantine, and books what comes of it as if it were fresh.

Owns that an item leaves the quarantine in the transaction that books its receipts, so that nothing is lost and nothing
counts twice: who is known already is found by identity, as with any receipt. A booked receipt that earned nothing is
corrected by its own paper only. Never reads what is not whole (a damaged spool, a cut job, a file not opened).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import structlog
from msgspec.structs import replace

from agent.booking import Booked, Rules, correct
from agent.bookkeeping import Bookkeeper, Prepared, SetAside, set_aside
from agent.inspection import NotFoundError, Reread, RereadReport
from agent.posted import Outcome
from agent.store_inspection import count_ignored
from drivers.receipts.decode import decode
from drivers.receipts.port import DecodeOptions
from loyalty.identity import identity_keys
from loyalty.receipt import Receipt
from loyalty.reconcile import unearning
from loyalty.remedies import remedy_for
from sync.store.errors import StoreError
from sync.store.rows import KeptItem
from sync.store.store import Store
from sync.store.writing import Writing

# One call of the command line; it is asked again for the next.
REREAD_AT_ONCE: Final = 20
# One run after the settings changed, and the rest of the register has its turn before the next.
REREAD_IN_A_RUN: Final = 200
PAUSE_S: Final = 30.0
# Their bytes are not all of the paper, so that what could be read of them would be wrong; or a person has to choose.
# Of a file that was not opened nothing but its name is kept, and whoever drops files gives that.
NEVER_READ: Final = frozenset((
    "spool_damaged", "job_too_long", "corrupt_store", "ambiguous", "not_a_file", "linked_file", "unreadable",
    "too_large",
))  # fmt: skip
# A receipt of a further source was read before it was set aside, and is kept as JSON whatever its source gives.
KEPT_AS_JSON: Final = b'{"key":'

log = structlog.get_logger(__name__)


class Rereader:
    """Reads one register's quarantine again."""

    def __init__(
        self,
        *,
        store: Store,
        books: Callable[[str], Bookkeeper],
        options: Callable[[str], DecodeOptions],
        rules: Rules,
        read_with: str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`books` and `options` go by the source's name; `read_with` names all by which receipts are read now."""
        self._store = store
        self._books = books
        self._options = options
        self._rules = rules
        self._read_with = read_with
        self._sleep = sleep

    async def reread_stale(self) -> None:
        """Every open item that was not read by what is in force now, once. Raises StoreError."""
        while items := self._store.not_read_with(self._read_with, REREAD_IN_A_RUN):
            for item in items:
                try:
                    await self.reread(item)
                except NotFoundError:
                    continue  # resolved since
            if len(items) < REREAD_IN_A_RUN:
                return
            await self._sleep(PAUSE_S)

    async def reread_some(self, after: int) -> RereadReport:
        """The next open items beyond the item `after`."""
        items = self._store.quarantined(REREAD_AT_ONCE, after=after)
        done = [await self.reread(item.id) for item in items]
        return RereadReport(items=tuple(done), next=items[-1].id if len(items) == REREAD_AT_ONCE else None)

    async def reread(self, item: int) -> Reread:
        """One item. Raises NotFoundError and StoreError; whatever else goes wrong leaves it where it is."""
        kept = self._open(self._store.kept_item(item), item)
        prepared = await asyncio.to_thread(self._prepared, kept)
        try:
            reread = await self._store.write(partial(self._settle, kept=kept, prepared=prepared))
        except (StoreError, NotFoundError):
            raise
        except Exception as error:  # noqa: BLE001 - an item that cannot be booked holds up no other
            log.warning("item_not_booked", item=item, error=type(error).__name__)
            not_booked = set_aside(kept.raw, "not_booked", f"{type(error).__name__}: {error}")
            instead = Prepared(masked=kept.raw, captured=kept.captured, set_aside=(not_booked,))
            reread = await self._store.write(partial(self._settle, kept=kept, prepared=instead))
        log.info("item_reread", item=item, outcome=reread.outcome, receipts=len(reread.receipts))
        return reread

    def _open(self, kept: KeptItem | None, item: int) -> KeptItem:
        if kept is None or kept.resolved_at is not None:
            raise NotFoundError(f"nothing waits in quarantine under {item}; `tillside queue list` shows what does")
        return kept

    def _prepared(self, kept: KeptItem) -> Prepared:
        item, books = kept.item, self._books(kept.item.source)
        if not kept.raw or item.reason in NEVER_READ:
            same = SetAside(reason=item.reason, detail=item.detail, raw=kept.raw)
            return Prepared(masked=kept.raw, captured=kept.captured, set_aside=(same,))
        try:
            options = self._options(item.source)
            options = replace(options, format="json") if kept.raw.startswith(KEPT_AS_JSON) else options
            return books.prepared(kept.raw, decode(kept.raw, options), kept.captured)
        except Exception as error:  # noqa: BLE001 - third-party readers may raise anything
            return books.failed(kept.raw, kept.captured, error)

    def _settle(self, writing: Writing, *, kept: KeptItem, prepared: Prepared) -> Reread:
        """Books what was read, and takes the item out if that is all of it."""
        item = self._open(writing.kept_item(kept.item.id), kept.item.id).item
        waits = list(prepared.set_aside)
        outcomes: list[Outcome] = []
        for receipt in prepared.receipts:
            booked = self._book(writing, kept, receipt, alone=len(prepared.receipts) == 1)
            outcomes.append(Outcome(key=receipt.key, fate=booked.fate))
            problem = unearning(receipt)
            if booked.fate == "conflict":
                waits.append(SetAside(reason="conflict", detail=booked.detail, raw=b""))
            elif problem is not None and (booked.settlement is not None or item.receipt is not None):
                waits.append(replace(set_aside(b"", problem.code, problem.detail or ""), receipt=receipt.key))
        if waits:
            first = waits[0]
            writing.still_quarantined(
                item.id, first.reason, first.detail, self._read_with, receipt=item.receipt or first.receipt
            )
            return Reread(
                id=item.id,
                outcome="waits",
                receipts=tuple(outcomes),
                reason=first.reason,
                detail=first.detail,
                remedy=remedy_for(first.reason),
            )
        count_ignored(writing, prepared.ignored)
        if outcomes:
            writing.resolve_quarantine(item.id, "read")
            return Reread(id=item.id, outcome="read", receipts=tuple(outcomes))
        writing.resolve_quarantine(item.id, "not_a_receipt", ", ".join(prepared.ignored))
        return Reread(id=item.id, outcome="no_receipt")

    def _book(self, writing: Writing, kept: KeptItem, receipt: Receipt, *, alone: bool) -> Booked:
        """By its own paper a booked receipt is corrected; anything else is as fresh."""
        if kept.item.receipt is None:
            return self._books(kept.item.source).take(writing, receipt, kept.captured)
        known = writing.known_receipt(identity_keys(receipt))
        target = known.receipt.key if known is not None else kept.item.receipt if alone else None
        if target is None:
            return self._books(kept.item.source).take(writing, receipt, kept.captured)
        if unearning(receipt) is not None:
            return Booked(fate="seen_again")
        return correct(writing, target, receipt, rules=self._rules)
