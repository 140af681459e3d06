"""From a scan to the customer on the page: the register's first way.

Owns the order of steps: find the member in the local store, keep the scan, show it; ask the centre only
about a code that nobody here knows, while the page already says so. Of a code that may as well be goods nothing is
kept or shown unless the centre knows it as a card. A blocked card is shown and never kept. The code of a fiscal
receipt goes to who books it (`agent.scanned_receipts`), a voucher's to who takes it (`agent.voucher_scans`). One that
enrols goes to who does that (`agent.scanned_enrolment`), one that grants points to `agent.phone_points`; neither is
anywhere kept or shown. Never waits for the network before showing something.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Protocol, TypeVar

import structlog
from msgspec import UNSET
from msgspec.structs import replace

from agent.checkout import UNUSED_MEMBER_CLEARS_AFTER, MemberScan
from agent.desk import Desk
from drivers.scanning.driver import Keeping, ScanEvent
from drivers.scanning.enrolment_codes import is_enrolment_code
from drivers.scanning.grant_codes import is_grant_code
from drivers.scanning.receipt_codes import names_receipt
from drivers.scanning.scan import MemberCode, Scan, typed_scan
from loyalty.instant import Instant
from loyalty.member import Member
from sync.loop import LookedUp
from sync.store.errors import StoreError
from sync.store.store import Store
from sync.store.writing import Writing

# A scan is shown once it is durable, which takes a few milliseconds: what the cashier has seen survives a
# crash. Only a disk that hangs for longer than this must not keep the till waiting; the scan is then written
# behind what is shown.
SHOW_WITHIN_S = 0.5
# A disk that refuses is tried again this often, until the scan is too old to be used.
KEEP_AGAIN_AFTER_S = 1.0
KEEP_ATTEMPTS = int(UNUSED_MEMBER_CLEARS_AFTER.total_seconds() / KEEP_AGAIN_AFTER_S)
# Lookups at the centre under way at once; a code scanned beyond them counts as unknown.
MAX_LOOKUPS = 4
# The reader of codes that the register made itself.
INVITED = "invited"
# A price look-up number (PLU), as on a till's sheet of fruit: four digits, five where it tells how it was grown (IFPA).
MAX_LOOK_UP_DIGITS = 5

log = structlog.get_logger(__name__)

T = TypeVar("T")
Lookup = Callable[[str], Awaitable[LookedUp]]
TakeScan = Callable[[ScanEvent], Coroutine[Any, Any, None]]


class Vouchers(Protocol):
    """Who takes vouchers that are scanned."""

    def claims(self, scan: Scan) -> bool: ...

    async def take(self, event: ScanEvent) -> None: ...


class ScanIntake:
    """Takes the scans of all scanners of a register.

    `guesses` says whether a code that no rule claims may be a card's: nobody has said what the cards are.
    `book_receipt` takes the codes of fiscal receipts, `enrol_by` those that enrol a register, `grants` those that grant
    it points; without them they are nobody's.
    """

    def __init__(
        self,
        *,
        store: Store,
        desk: Desk,
        lookup: Lookup,
        guesses: Callable[[], bool],
        book_receipt: TakeScan | None = None,
        enrol_by: TakeScan | None = None,
        grants: TakeScan | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        show_within_s: float = SHOW_WITHIN_S,
    ) -> None:
        self._store = store
        self._desk = desk
        self._lookup = lookup
        self._guesses = guesses
        self._book_receipt = book_receipt
        self._enrol_by = enrol_by
        self._grants = grants
        self._vouchers: Vouchers | None = None
        self._sleep = sleep
        self._show_within_s = show_within_s
        self._tasks: set[asyncio.Future[Any]] = set()
        self._keeping: asyncio.Future[int | None] | None = None
        self._disk_hangs = False
        self._lookups = 0
        self._latest: dict[str, Instant] = {}

    async def take(self, event: ScanEvent) -> Keeping:
        """Keeps and shows a member's scan, and has a receipt's booked; goods are none of our business. Returns when the
        next may be taken.

        That may be before this one is durable, or before it is known whether it has to be: then it gives what is done
        once it is.
        """
        event = self._after_the_latest(event)
        if (enrols := is_enrolment_code(event.scan)) or is_grant_code(event.scan):
            by = self._enrol_by if enrols else self._grants
            return self._spawn(by(event)) if by is not None else None
        code = event.scan.member
        log.debug(
            "scan_heard",
            reader=event.reader,
            symbology=event.scan.symbology,
            characters=len(event.scan.text),
            kind=code.kind if code is not None else None,
            problems=event.scan.problems,
        )
        if self._book_receipt is not None and names_receipt(event.scan):
            return self._spawn(self._book_receipt(event))
        if self._vouchers is not None and self.is_voucher(event.scan):
            return self._spawn(self._vouchers.take(event))
        if code is None:
            self._tell(event)
            return None
        hidden = self._store.hidden(code.kind, code.code)
        if hidden != code.code:
            code = dataclasses.replace(code, code=hidden)
        member = self._store.member_by_code(code.code)
        if member is not None and member.refuses(code.code):
            self._desk.tell("blocked", event.at, code.code)
        elif member is None and self._may_be_goods(event, code):
            if self._lookups < MAX_LOOKUPS:
                return self._look_up(code.code, partial(self._answered_quietly, event, code))
        else:
            scan, keeping = await self._keep_first(event, code, member)
            ask = member is None and self._lookups < MAX_LOOKUPS
            self._desk.scanned(scan, checking=ask)
            if ask:
                self._look_up(code.code, partial(self._answered, scan, keeping))
            return keeping
        return None

    def hand_vouchers_to(self, vouchers: Vouchers) -> None:
        """Those that it claims are its business from now on; before, they are nobody's."""
        self._vouchers = vouchers

    def is_voucher(self, scan: Scan) -> bool:
        """Whether a scan goes to who takes vouchers."""
        return self._vouchers is not None and self._vouchers.claims(scan)

    async def invite(self, code: str, at: Instant) -> None:
        """Keeps and shows a code that this register made for who has no card: nobody has to be asked about it."""
        made = MemberCode(kind="card", code=code, claimed=True)
        event = self._after_the_latest(ScanEvent(scan=typed_scan("card", code), at=at, reader=INVITED))
        scan, _ = await self._keep_first(event, made, None)
        self._desk.scanned(scan)

    async def settled(self) -> None:
        """Returns when everything that was scanned is kept, and every lookup answered."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Lets lookups go; what waits to be kept had its time."""
        for task in self._tasks:
            task.cancel()
        await self.settled()

    def _after_the_latest(self, event: ScanEvent) -> ScanEvent:
        """Codes that a reader sent in one go have one instant. A nanosecond between them keeps their order, also where
        the centre's word on the first comes after the second.
        """
        latest, at = self._latest.get(event.reader), event.at
        if latest is not None and latest.wall == at.wall and latest.ns_since(at) >= 0:
            at = replace(at, monotonic_ns=latest.monotonic_ns + 1)
        self._latest[event.reader] = at
        return event if at is event.at else replace(event, at=at)

    def _tell(self, event: ScanEvent) -> None:
        """What of a scan that names nobody the cashier can do something about."""
        scan = event.scan
        if "payment_card" in scan.problems and scan.identifier is None:  # not a serial number beside goods
            self._desk.tell("payment_card", event.at)
        elif scan.misread:
            self._desk.tell("misread", event.at)
        elif "swipe_error" in scan.problems:
            self._desk.tell("swipe_error", event.at)

    def _may_be_goods(self, event: ScanEvent, code: MemberCode) -> bool:
        """Nobody claims it, and on this scanner, or by these rules, what nobody claims is no card as a rule; nor are
        the short numbers by which fruit is looked up.
        """
        return not code.claimed and (event.shared or not self._guesses() or _may_be_fruit(code))

    # -- keeping ---------------------------------------------------------------------------------

    async def _keep_first(
        self, event: ScanEvent, code: MemberCode, member: Member | None
    ) -> tuple[MemberScan, asyncio.Future[int | None]]:
        """The scan as it is shown, once it is durable or the disk has had its time."""
        keeping = self._keeping = self._spawn(self._keep(event, code, member, behind=self._keeping))
        await asyncio.wait([keeping], timeout=0 if self._disk_hangs else self._show_within_s)
        if not keeping.done():
            self._disk_hangs = True  # so the scans behind it are shown at once: five in a second wait once
        scan = MemberScan(
            id=self._desk.next_scan_id(),
            code=code.code,
            kind=code.kind,
            entry=code.entry,
            at=event.at,
            member=member.member if member is not None else UNSET,
        )
        return scan, keeping

    async def _keep(
        self, event: ScanEvent, code: MemberCode, member: Member | None, *, behind: asyncio.Future[int | None] | None
    ) -> int | None:
        """Writes the scan, after those before it; a disk that refuses is asked for as long as the scan could serve.

        Returns the scan's id in the store, None where it could not be kept.
        """
        if behind is not None and not behind.done():
            await asyncio.wait([behind])
        known = member.member if member is not None else None

        def keep(writing: Writing) -> int:
            writing.count_today("scans", event.at.wall.astimezone().date())
            return writing.keep_scan(code.code, code.kind, known, event.at, reader=event.reader, entry=code.entry)

        for _ in range(KEEP_ATTEMPTS):
            try:
                kept = await self._store.write(keep)
            except StoreError as error:
                log.warning("scan_not_kept_yet", reader=event.reader, error=type(error).__name__)
                await self._sleep(KEEP_AGAIN_AFTER_S)
            else:
                self._disk_hangs = False
                return kept
        log.error("scan_lost", reader=event.reader)
        return None

    async def _let_go(self, keeping: asyncio.Future[int | None]) -> None:
        """A scan that was kept may serve no receipt. If that cannot be written, the centre refuses it by its times."""
        kept = await keeping
        if kept is None:
            return
        try:
            await self._store.write(lambda writing: writing.consume_scan(kept))
        except StoreError as error:
            log.warning("blocked_scan_kept", error=type(error).__name__)

    # -- asking ----------------------------------------------------------------------------------

    def _look_up(self, code: str, answered: Callable[[LookedUp], Awaitable[None]]) -> asyncio.Future[None]:
        self._lookups += 1
        return self._spawn(self._ask(code, answered))

    async def _ask(self, code: str, answered: Callable[[LookedUp], Awaitable[None]]) -> None:
        found = LookedUp()
        try:
            found = await self._lookup(code)
        finally:
            self._lookups -= 1
            await answered(found)

    async def _answered(self, scan: MemberScan, keeping: asyncio.Future[int | None], found: LookedUp) -> None:
        """The centre's word on a scan that is shown already."""
        if _is_blocked(found, scan.code):
            self._desk.refused(scan)
            await self._let_go(keeping)
        else:
            self._desk.checked(scan, unissued=found.card == "unissued")

    async def _answered_quietly(self, event: ScanEvent, code: MemberCode, found: LookedUp) -> None:
        """The centre's word on a code that may have been goods; nothing is known of it here so far."""
        if _is_blocked(found, code.code):
            self._desk.tell("blocked", event.at, code.code)
        elif found.member is not None or found.card is not None:
            scan, keeping = await self._keep_first(event, code, found.member)
            self._desk.scanned(scan, unissued=found.card == "unissued")
            await asyncio.wait([keeping])

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _may_be_fruit(code: MemberCode) -> bool:
    return code.entry == "scanned" and len(code.code) <= MAX_LOOK_UP_DIGITS and code.code.isdecimal()


def _is_blocked(found: LookedUp, code: str) -> bool:
    return found.card == "blocked" or (found.member is not None and found.member.refuses(code))
