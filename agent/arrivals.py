"""From documents of a folder or a database to booked receipts.

Owns the order of steps: read, decode and mask off the event loop; then, in one transaction, what was read and the mark
of its document; only then is the document moved away. A crash anywhere reads a document again whose mark was not kept,
or finishes with one whose mark was. Never reads a folder or a database itself (the port is
`drivers.receipts.arrivals`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from agent.bookkeeping import Bookkeeper, Prepared
from drivers.receipts.arrivals import Arrival, ArrivalSource
from drivers.receipts.decode import DecodeOptionsError, decode
from drivers.receipts.port import DecodeOptions
from sync.store.reading import MAX_SOURCE_MARKS
from sync.store.store import Store
from sync.store.writing import Writing


class ArrivalIntake:
    """Reads one source and books what it gives."""

    def __init__(
        self,
        *,
        source: ArrivalSource,
        books: Bookkeeper,
        store: Store,
        options: Callable[[], DecodeOptions],
        scans_taken: Callable[[], Awaitable[None]],
    ) -> None:
        """`scans_taken` is as `agent.receipts.ReceiptIntake` has it."""
        self._source = source
        self._books = books
        self._store = store
        self._options = options
        self._scans_taken = scans_taken
        self._marks: dict[str, str] | None = None

    async def run(self, ready: Callable[[], None]) -> None:
        """Books documents as they come, until cancelled. Raises what the source or the store raise."""
        # Wrong options are told before the first document comes.
        await asyncio.to_thread(decode, b"", self._options())
        try:
            while True:
                await self.take_new()
                ready()
                await self._source.changed()
        finally:
            self._source.close()

    async def take_new(self) -> None:
        """Books what the source holds now."""
        marks = self._marks if self._marks is not None else await self._kept_marks()
        while arrivals := await asyncio.to_thread(self._source.read, marks):
            await self._scans_taken()
            for arrival in arrivals:
                understood = await self._take(arrival, marks)
                await asyncio.to_thread(self._source.finish, arrival, understood=understood)
            if len(marks) > MAX_SOURCE_MARKS:
                marks = await self._kept_marks()

    async def _kept_marks(self) -> dict[str, str]:
        """The newest marks. Older ones are forgotten: their receipts are known for ever, so nothing counts twice."""
        await self._store.write(lambda writing: writing.trim_source_marks(self._books.name))
        self._marks = self._store.source_marks(self._books.name)
        return self._marks

    async def _take(self, arrival: Arrival, marks: dict[str, str]) -> bool:
        """Books `arrival` unless that was done before; whether all of it was understood."""

        def mark(writing: Writing) -> None:
            writing.set_source_mark(self._books.name, arrival.name, arrival.mark)

        if arrival.known:
            await self._store.write(mark)
            understood = True
        else:
            prepared = await asyncio.to_thread(self._prepared, arrival)
            kept = await self._books.keep(prepared, lambda writing, _kept: mark(writing))
            understood = not kept.quarantined
        marks[arrival.name] = arrival.mark
        return understood

    def _prepared(self, arrival: Arrival) -> Prepared:
        if arrival.refused is not None:
            return self._books.refused(
                arrival.payload, arrival.captured, arrival.refused.reason, arrival.refused.detail
            )
        try:
            decoded = arrival.decoded or decode(arrival.payload, self._options())
        except DecodeOptionsError:
            raise  # the operator's to correct; no document is at fault
        except Exception as error:  # noqa: BLE001 — third-party readers may raise anything
            return self._books.failed(arrival.payload, arrival.captured, error)
        return self._books.prepared(arrival.payload, decoded, arrival.captured)
