"""What the cashier sees now.

Owns the state behind the page: the customer, the last sale, the badge and the problems, and telling
everyone who watches when it changes. Never decides which member a receipt gets (`agent.checkout` does,
inside the store's transaction); here the same machine runs beside it for showing only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from agent.checkout import (
    UNUSED_MEMBER_CLEARS_AFTER,
    Checkout,
    MemberScan,
    MemberScanned,
    ReceiptPrinted,
    TimePassed,
    ends_a_sale,
    step,
)
from agent.supervisor import Health
from agent.view import (
    BadgeView,
    CustomerView,
    Outcome,
    PageState,
    PlaceView,
    SaleView,
    Standing,
    ending_of,
    member_view,
    problem_views,
)
from loyalty.instant import Instant
from loyalty.member import Member
from loyalty.money import minor_digits
from loyalty.receipt import Receipt

# What a sale gave stays large for as long as a customer packs; a new scan replaces it at once.
SALE_SHOWN_FOR = timedelta(seconds=60)
# Timers may fire a little early; the state is asked again just after its limit.
_AFTER_S = 0.05


class Settlement(Struct, frozen=True, kw_only=True):
    """What a receipt came to: whose it is (`code`), and what it gives as far as this register can tell."""

    receipt: Receipt
    captured: Instant
    code: str | None
    outcome: Outcome
    points: int = 0
    pending: int = 0


class Desk:
    """The page's state of one register."""

    def __init__(
        self,
        *,
        language: str,
        place: PlaceView,
        clock: Callable[[], Instant],
        find_member: Callable[[str], Member | None],
        checkout: Checkout,
        schedule: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self._clock = clock
        self._find_member = find_member
        self._schedule = schedule
        self._checkout = checkout
        self._last_scan_id = max((scan.id for scan in checkout.scans), default=0)
        self._checking: set[int] = set()
        self._settled: Settlement | None = None
        self._language = language
        self._place = place
        self._badge = BadgeView(enrolled=False, online=False, since=None, queued=0)
        self._health: tuple[Health, ...] = ()
        self._watchers: set[asyncio.Event] = set()
        self._told = b""
        self.publish()

    @property
    def told(self) -> bytes:
        """The page's state as JSON, as it was last published."""
        return self._told

    @contextmanager
    def watching(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever `told` changes."""
        event = asyncio.Event()
        self._watchers.add(event)
        try:
            yield event
        finally:
            self._watchers.discard(event)

    def next_scan_id(self) -> int:
        """A number above those of all scans so far."""
        self._last_scan_id += 1
        return self._last_scan_id

    def scanned(self, scan: MemberScan, *, checking: bool) -> None:
        """A member code was scanned; `checking` while the centre is being asked about it."""
        self._checkout, _ = step(self._checkout, MemberScanned(scan=scan))
        if checking:
            self._checking.add(scan.id)
        self._schedule(UNUSED_MEMBER_CLEARS_AFTER.total_seconds() + _AFTER_S, self._time_passed)
        self.publish()

    def checked(self, scan: MemberScan) -> None:
        """The centre has answered, or its time is up."""
        self._checking.discard(scan.id)
        self.publish()

    def settled(self, settlement: Settlement) -> None:
        """A receipt was written."""
        if ends_a_sale(settlement.receipt):
            self._checkout, _ = step(self._checkout, ReceiptPrinted(at=settlement.captured))
        self._settled = settlement
        self._schedule(SALE_SHOWN_FOR.total_seconds() + _AFTER_S, self.publish)
        self.publish()

    def set_place(self, place: PlaceView) -> None:
        self._place = place
        self.publish()

    def set_badge(self, badge: BadgeView) -> None:
        self._badge = badge
        self.publish()

    def set_health(self, health: tuple[Health, ...]) -> None:
        self._health = health
        self.publish()

    def publish(self) -> None:
        """Tells the watchers, if anything they see has changed."""
        told = msgspec.json.encode(self.state())
        if told == self._told:
            return
        self._told = told
        for event in self._watchers:
            event.set()

    def state(self) -> PageState:
        """Everything the page shows at this moment."""
        shown = next((scan for scan in self._checkout.scans if scan.id == self._checkout.shown), None)
        sale = self._sale(current=shown is None)
        if shown is not None:
            customer = self._customer(shown.code, checking=shown.id in self._checking)
        elif sale is not None and sale.current and self._settled is not None and self._settled.code is not None:
            customer = self._customer(self._settled.code, checking=False)
        else:
            customer = None
        return PageState(
            language=self._language,
            place=self._place,
            badge=self._badge,
            customer=customer,
            sale=sale,
            problems=problem_views(self._health),
        )

    def _time_passed(self) -> None:
        self._checkout, _ = step(self._checkout, TimePassed(at=self._clock()))
        self.publish()

    def _customer(self, code: str, *, checking: bool) -> CustomerView:
        member = self._find_member(code)
        if member is None:
            standing: Standing = "checking" if checking else "unknown"
            return CustomerView(standing=standing, ending=ending_of(code))
        return CustomerView(standing="known", ending=ending_of(code), member=member_view(member))

    def _sale(self, *, current: bool) -> SaleView | None:
        settled = self._settled
        if settled is None:
            return None
        age = timedelta(microseconds=self._clock().ns_since(settled.captured) // 1000)
        receipt = settled.receipt
        return SaleView(
            kind=receipt.kind,
            total_minor=receipt.total_minor,
            digits=minor_digits(receipt.currency),
            currency=receipt.currency,
            outcome=settled.outcome,
            points=settled.points,
            pending=settled.pending,
            current=current and timedelta(0) <= age < SALE_SHOWN_FOR,
        )


def restored(checkout: Checkout, now: Instant) -> Checkout:
    """The checkout as the store kept it over a restart, with the member that may still be served shown."""
    newest = checkout.scans[-1].id if checkout.scans else None
    shown, _ = step(replace(checkout, shown=newest), TimePassed(at=now))
    return shown
