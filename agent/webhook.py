"""Receipts that a POS posts to the local API.

Owns that nothing is answered before it is durable, and that a call repeated under its Idempotency-Key gets the first
answer, for as long as the register keeps receipts. Never knows HTTP (`agent.api` does).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, Generic, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from agent.bookkeeping import Bookkeeper, Kept, Mark, Prepared
from agent.calls import call_of
from agent.posted import BusyError, ReceiptsTaken
from agent.problem import MalformedBodyError
from agent.returns import ReturnReport, checked_return, report_of
from drivers.clock import Clock
from drivers.clock import now as system_now
from drivers.receipts.decode import Decoded, decode
from drivers.receipts.port import DecodeOptions
from loyalty.receipt import Receipt
from sync.store.store import Store
from sync.store.writing import Writing

_RETURNS: Final = "returns/"
# Calls that wait for one another; a POS that posts one sale at a time has one.
MAX_WAITING_CALLS: Final = 64

T = TypeVar("T", ReceiptsTaken, ReturnReport)


class _How(Struct, Generic[T], frozen=True, kw_only=True):
    """What one kind of call may hold, under which name its keys are remembered, and what it is told."""

    calls: str
    check: Callable[[tuple[Receipt, ...]], None]
    answer: type[T]
    told: Callable[[Kept], T]


class Webhook:
    """Takes the calls of one source, one after the other."""

    def __init__(
        self,
        *,
        books: Bookkeeper,
        store: Store,
        options: Callable[[], DecodeOptions],
        scans_taken: Callable[[], Awaitable[None]],
        now: Clock = system_now,
    ) -> None:
        """`scans_taken` is as `agent.receipts.ReceiptIntake` has it."""
        self._books = books
        self._store = store
        self._options = options
        self._scans_taken = scans_taken
        self._now = now
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def run(self, ready: Callable[[], None]) -> None:
        """There is nothing to do but to be there."""
        ready()
        await asyncio.Event().wait()

    async def take(self, document: bytes, idempotency_key: str | None) -> ReceiptsTaken:
        """Books the receipts of a call. Raises MalformedBodyError, BusyError and StoreError; nothing is kept then."""
        how = _How(calls=self._books.name, check=lambda _receipts: None, answer=ReceiptsTaken, told=taken_of)
        return await self._take(document, idempotency_key, how)

    async def take_return(self, document: bytes, idempotency_key: str | None) -> ReturnReport:
        """The same of one return of a sale that is named."""
        how = _How(calls=_RETURNS + self._books.name, check=checked_return, answer=ReturnReport, told=report_of)
        return await self._take(document, idempotency_key, how)

    async def _take(self, document: bytes, idempotency_key: str | None, how: _How[T]) -> T:
        call = call_of(idempotency_key)
        async with self.in_turn():
            prepared = await self.prepared(document)
            how.check(prepared.receipts)
            # Card numbers are gone from what the digest is made of, so that none can be guessed back from it.
            digest = hashlib.sha256(prepared.masked).hexdigest()
            first = self._store.answered_call(how.calls, call) if call is not None else None
            if first is not None:
                if first.digest != digest:
                    raise MalformedBodyError("This Idempotency-Key was used for another body: take a new key.")
                return msgspec.json.decode(first.answer, type=how.answer)

            def mark(writing: Writing, kept: Kept) -> None:
                if call is not None:
                    writing.keep_answered_call(how.calls, call, digest, msgspec.json.encode(how.told(kept)))

            return how.told(await self.keep(prepared, mark))

    @asynccontextmanager
    async def in_turn(self) -> AsyncIterator[None]:
        """One call after the other. Raises BusyError."""
        if self._waiting >= MAX_WAITING_CALLS:
            raise BusyError(f"{MAX_WAITING_CALLS} calls wait already: send the next when one is answered.")
        self._waiting += 1
        try:
            async with self._turn:
                yield
        finally:
            self._waiting -= 1

    async def prepared(self, document: bytes) -> Prepared:
        """The receipts of a call, free of card and buyers' numbers. Raises MalformedBodyError."""
        captured = self._now()
        decoded = await asyncio.to_thread(self._decoded, document)
        return await asyncio.to_thread(self._books.prepared, document, decoded, captured)

    async def keep(self, prepared: Prepared, mark: Mark) -> Kept:
        """Books them together with `mark`, once the scans that were made before are in the store. Raises StoreError."""
        await self._scans_taken()
        return await self._books.keep(prepared, mark)

    def _decoded(self, document: bytes) -> Decoded:
        """What the call holds. A call of which nothing can be read is its sender's to correct."""
        decoded = decode(document, replace(self._options(), format="json"))
        if not decoded.receipts:
            said = decoded.problems[0].detail if decoded.problems else "it holds no receipt"
            raise MalformedBodyError(f"Nothing was kept: {said}.")
        return decoded


def taken_of(kept: Kept) -> ReceiptsTaken:
    return ReceiptsTaken(receipts=kept.outcomes, quarantined=kept.quarantined)
