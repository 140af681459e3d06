"""From a scan to the customer on the page: the register's first way.

Owns the order of steps: find the member in the local store, keep the scan, show it; ask the centre only
about a code that nobody here knows, while the page already says so. Never waits for the network before
showing something.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from msgspec import UNSET

from agent.checkout import UNUSED_MEMBER_CLEARS_AFTER, MemberScan
from agent.desk import Desk
from drivers.scanning.driver import ScanEvent
from drivers.scanning.scan import MemberCode
from loyalty.member import Member
from sync.loop import LookedUp
from sync.store.errors import StoreError
from sync.store.store import Store

# A scan is shown once it is durable, which takes a few milliseconds: what the cashier has seen survives a
# crash. Only a disk that hangs for longer than this must not keep the till waiting; the scan is then written
# behind what is shown.
SHOW_WITHIN_S = 0.5
# A disk that refuses is tried again this often, until the scan is too old to be used.
KEEP_AGAIN_AFTER_S = 1.0
KEEP_ATTEMPTS = int(UNUSED_MEMBER_CLEARS_AFTER.total_seconds() / KEEP_AGAIN_AFTER_S)
# Lookups at the centre under way at once; a code scanned beyond them counts as unknown.
MAX_LOOKUPS = 4

log = structlog.get_logger(__name__)

Lookup = Callable[[str], Awaitable[LookedUp]]


class ScanIntake:
    """Takes the scans of all scanners of a register."""

    def __init__(
        self,
        *,
        store: Store,
        desk: Desk,
        lookup: Lookup,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._desk = desk
        self._lookup = lookup
        self._sleep = sleep
        self._tasks: set[asyncio.Task[None]] = set()
        self._lookups = 0

    async def take(self, event: ScanEvent) -> None:
        """Keeps and shows a member's scan; goods are none of our business."""
        code = event.scan.member
        if code is None:
            return
        member = self._store.member_by_code(code.code)
        keeping = self._spawn(self._keep(event, code, member))
        await asyncio.wait([keeping], timeout=SHOW_WITHIN_S)
        ask = member is None and self._lookups < MAX_LOOKUPS
        scan = MemberScan(
            id=self._desk.next_scan_id(),
            code=code.code,
            kind=code.kind,
            at=event.at,
            member=member.member if member is not None else UNSET,
        )
        self._desk.scanned(scan, checking=ask)
        if ask:
            self._lookups += 1
            self._spawn(self._ask(scan))

    async def settled(self) -> None:
        """Returns when everything that was scanned is kept, and every lookup answered."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Lets lookups go; what waits to be kept had its time."""
        for task in self._tasks:
            task.cancel()
        await self.settled()

    async def _keep(self, event: ScanEvent, code: MemberCode, member: Member | None) -> None:
        """Writes the scan; a disk that refuses is asked again for as long as the scan could serve."""
        known = member.member if member is not None else None
        for _ in range(KEEP_ATTEMPTS):
            try:
                await self._store.write(
                    lambda writing: writing.keep_scan(code.code, code.kind, known, event.at, reader=event.reader)
                )
            except StoreError as error:
                log.warning("scan_not_kept_yet", reader=event.reader, error=type(error).__name__)
                await self._sleep(KEEP_AGAIN_AFTER_S)
            else:
                return
        log.error("scan_lost", reader=event.reader)

    async def _ask(self, scan: MemberScan) -> None:
        try:
            await self._lookup(scan.code)
        finally:
            self._lookups -= 1
            self._desk.checked(scan)

    def _spawn(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
