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
from typing import Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from agent.checkout import (
    UNUSED_MEMBER_CLEARS_AFTER,
    Checkout,
    MemberRefused,
    MemberRemoved,
    MemberScan,
    MemberScanned,
    ReceiptPrinted,
    TimePassed,
    current,
    ends_a_sale,
    step,
)
from agent.customer_screen import screen_of
from agent.pos_events import PosEvents
from agent.supervisor import Health
from agent.view import (
    BadgeView,
    CustomerView,
    GiveView,
    InvitationView,
    NoticeKind,
    NoticeView,
    Outcome,
    PageState,
    PictureView,
    PlaceView,
    Promise,
    RecentView,
    RewardOutcome,
    SaleView,
    Standing,
    member_view,
    problem_views,
)
from loyalty.consent_texts import ConsentTexts
from loyalty.instant import Instant
from loyalty.ledger import LedgerEntry
from loyalty.member import Member, ending_of
from loyalty.money import minor_digits
from loyalty.receipt import MemberReference, Receipt
from sync.store.rows import DiskFull

# What a sale gave stays large for as long as a customer packs; a new scan replaces it at once.
SALE_SHOWN_FOR = timedelta(seconds=60)
# That a scan was misread or a payment card's: read in a glance, and gone before it is in the way.
NOTICE_SHOWN_FOR = timedelta(seconds=6)
# That a card is blocked: long enough to tell the customer. Of an enrolment: long enough to walk over and read it.
BLOCKED_SHOWN_FOR = timedelta(seconds=60)
_SHOWN_LONG: frozenset[NoticeKind] = frozenset(
    (
        *("blocked", "enrolling", "enrolled", "enrolled_already"),
        *("enrolment_code_broken", "enrolment_unreachable", "enrolment_refused"),
    )
)
# For how long a late member can be given a receipt. Where a clock that was put forward says that it is over already, it
# is looked at again as often as this.
RECENT_FOR = timedelta(hours=1)
_RECENT_AGAIN = timedelta(minutes=1)
# Rules whose points are told one by one; a sale to which more apply tells the first.
MAX_GIVES = 12
# Timers may fire a little early; the state is asked again just after its limit.
_AFTER_S = 0.05


class Timer(Protocol):
    """A call that is still to come."""

    def cancel(self) -> object:
        """It comes no more."""


class Settlement(Struct, frozen=True, kw_only=True):
    """What a receipt came to: whose it is (`code`), and what it gives as far as this register can tell.

    `estimated`: something of the member's past that the rules ask for is not known here. `reward` is what became of
    the rewards that were reserved for it. `claims` are the points rule by rule.
    """

    receipt: Receipt
    captured: Instant
    code: str | None
    outcome: Outcome
    points: int = 0
    pending: int = 0
    estimated: bool = False
    reward: RewardOutcome | None = None
    claims: tuple[LedgerEntry, ...] = ()


class _Notice(Struct, frozen=True, kw_only=True):
    kind: NoticeKind
    at: Instant
    code: str = ""
    reason: str | None = None

    @property
    def shown_for(self) -> timedelta:
        return BLOCKED_SHOWN_FOR if self.kind in _SHOWN_LONG else NOTICE_SHOWN_FOR


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
        schedule: Callable[[float, Callable[[], None]], Timer],
        promise: Callable[[Member], Promise] = lambda _member: Promise(),
        recent: Callable[[], tuple[RecentView, ...]] = tuple,
        invites: Callable[[], bool] = lambda: False,
        invitation: Callable[[str], InvitationView | None] = lambda _code: None,
        consents: Callable[[], ConsentTexts | None] = lambda: None,
        phone: Callable[[Member | None, int], PictureView | None] = lambda _member, _turn: None,
        asks: Callable[[MemberScan], bool] = lambda _scan: False,
    ) -> None:
        """`promise` says what of a member's points can be spent here, `recent` which receipts are nobody's, `invites`
        whether people can join by telephone, `invitation` how with a code, `consents` by which texts they are
        asked, `phone` what a member whose turn it is may ask for by theirs, or None where nobody knows whose the card
        is, and `asks` whether one may be asked about such a card.
        """
        self._consents = consents
        self._phone = phone
        self._asks = asks
        self._promise = promise
        self._find_recent = recent
        self._invites = invites
        self._invitation = invitation
        self._recent = recent()
        self._clock = clock
        self._find_member = find_member
        self._schedule = schedule
        self._timer: Timer | None = None
        self._checkout = checkout
        # Above those of before a restart, also where no scan is kept: a page that still shows one of them means it.
        self._last_scan_id = max((int(clock().wall.timestamp()), *(scan.id for scan in checkout.scans)))
        self._checking: set[int] = set()
        self._unissued: frozenset[str] = frozenset()
        self._notice: _Notice | None = None
        self._settled: Settlement | None = None
        self._seen_off: Settlement | None = None
        self._language = language
        self._place = place
        self._badge = BadgeView(enrolled=False, online=False, since=None, queued=0)
        self._health: tuple[Health, ...] = ()
        self._disk_full: DiskFull | None = None
        self._watchers: set[asyncio.Event] = set()
        self.events = PosEvents(clock().wall, self._badge)
        self._told = self._screen = b""
        self.publish()

    @property
    def told(self) -> bytes:
        """The page's state as JSON, as it was last published."""
        return self._told

    @property
    def screen(self) -> bytes:
        """The same of what the customer is shown."""
        return self._screen

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

    def scanned(self, scan: MemberScan, *, checking: bool = False, unissued: bool = False) -> None:
        """A member code was scanned; `checking` while the centre is asked about it."""
        self._checkout, _ = step(self._checkout, MemberScanned(scan=scan))
        self._notice = None
        self._unissued = self._unissued.intersection(waiting.code for waiting in self._checkout.scans)
        if checking:
            self._checking.add(scan.id)
        if unissued:
            self._unissued |= {scan.code}
        self._time_passed()  # one that waited in a spool may be too old already

    def checked(self, scan: MemberScan, *, unissued: bool = False) -> None:
        """The centre has answered, or its time is up; `unissued` where the card was not handed out yet."""
        self._checking.discard(scan.id)
        if unissued:
            self._unissued |= {scan.code}
        self.publish()

    def refused(self, scan: MemberScan) -> None:
        """The centre has answered that this card is blocked: whoever was scanned before stays the customer."""
        self._checking.discard(scan.id)
        self._checkout, _ = step(self._checkout, MemberRefused(scan=scan))
        self.tell("blocked", scan.at, scan.code)

    def removed(self, at: Instant) -> None:
        """The cashier took away whoever was shown: as the customer, or as that of the sale that is over."""
        self._checkout, _ = step(self._checkout, MemberRemoved(at=at))
        self._notice = None
        self._seen_off = self._settled
        self.publish()

    def serving(self) -> MemberScan | None:
        """Whose scan a receipt printed now would take; its id is the turn that the page is told."""
        return next((scan for scan in self._checkout.scans if scan.id == self._checkout.shown), None)

    def served(self) -> MemberReference | None:
        """The card whose sale is over, where it is still shown with that."""
        sale, settled = self.state().sale, self._settled
        return settled.receipt.member or None if sale is not None and sale.current and settled is not None else None

    def tell(self, kind: NoticeKind, at: Instant, code: str = "", *, reason: str | None = None) -> None:
        """Something that the cashier should see of a scan that is no member's; `code` is a blocked card's, `reason` why
        a voucher was not taken.
        """
        self._notice = _Notice(kind=kind, at=at, code=code, reason=reason)
        self.publish()

    def settled(self, settlement: Settlement) -> None:
        """A receipt was written."""
        if ends_a_sale(settlement.receipt):
            self._checkout, _ = step(self._checkout, ReceiptPrinted(at=settlement.captured))
            self._notice = None
        self._settled = settlement
        self._recent = self._find_recent()
        self._tell_sale(settlement.receipt)

    def claimed(self, settlement: Settlement) -> None:
        """The card of a receipt that was written has a member now, who has its points."""
        if self._settled is None or self._settled.receipt.key != settlement.receipt.key:
            return
        is_seen_off, self._settled = self._seen_off is self._settled, settlement
        if is_seen_off:
            self._seen_off = settlement
        self._tell_sale(settlement.receipt)

    def _tell_sale(self, receipt: Receipt) -> None:
        sale = self._sale(current=True)
        if sale is not None:
            self.events.receipt(receipt.key, receipt.number or None, sale, self._clock().wall)
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

    def set_disk(self, full: DiskFull | None) -> None:
        """Asked after every commit: nothing is done where it is as before."""
        if full != self._disk_full:
            self._disk_full = full
            self.publish()

    def publish(self) -> None:
        """Tells the watchers, if anything they see has changed."""
        self._wake_when_next()
        state = self.state()
        told = msgspec.json.encode(state)
        if told == self._told:
            return
        self._told, self._screen = told, msgspec.json.encode(screen_of(state))
        self.events.take(_at_the_till(state.customer), state.badge, self._clock().wall)
        for event in self._watchers:
            event.set()

    def state(self) -> PageState:
        """Everything the page shows at this moment."""
        shown = self.serving()
        notice = self._current_notice()
        # A card that is refused is the next customer's, like any other.
        sale = self._sale(current=shown is None and (notice is None or notice.kind != "blocked"))
        if shown is not None:
            customer = self._customer(shown.code, checking=shown.id in self._checking, turn=shown.id)
        elif sale is not None and sale.current and self._settled is not None and self._settled.code is not None:
            customer = self._customer(self._settled.code, checking=False)
        elif notice is not None and notice.kind == "blocked":
            customer, notice = CustomerView(standing="blocked", ending=notice.ending), None
        else:
            customer = None
        return PageState(
            language=self._language,
            place=self._place,
            badge=self._badge,
            customer=customer,
            notice=notice,
            sale=sale,
            recent=self._recent,
            problems=problem_views(self._health, self._disk_full),
            invites=self._invites(),
            consents=self._consents(),
        )

    def _time_passed(self) -> None:
        self._checkout, _ = step(self._checkout, TimePassed(at=self._clock()))
        self.publish()

    def _due(self) -> None:
        self._recent = self._find_recent()
        self._time_passed()

    def _wake_when_next(self) -> None:
        """One timer for all that leaves by itself: however much was scanned, no more of them wait than that."""
        if self._timer is not None:
            self._timer.cancel()
        left = [left for left in self._shown_for() if left > timedelta(0)]
        self._timer = self._schedule(min(left).total_seconds() + _AFTER_S, self._due) if left else None

    def _shown_for(self) -> Iterator[timedelta]:
        """How long each of what is shown stays where nothing happens; what is over already has nothing left."""
        waiting = current(self._checkout, self._clock()) if self._checkout.shown is not None else None
        if waiting is not None:
            yield UNUSED_MEMBER_CLEARS_AFTER - self._since(waiting.at)
        if self._notice is not None:
            yield self._notice.shown_for - self._since(self._notice.at)
        if self._settled is not None:
            yield SALE_SHOWN_FOR - self._since(self._settled.captured)
        if self._recent:
            left = RECENT_FOR - (self._clock().wall - min(one.at for one in self._recent))
            yield left if left > timedelta(0) else _RECENT_AGAIN

    def _customer(self, code: str, *, checking: bool, turn: int | None = None) -> CustomerView:
        member, ending = self._find_member(code), ending_of(code)
        if member is None:
            unheard_of: Standing = "unissued" if code in self._unissued else "unknown"
            standing: Standing = "checking" if checking else unheard_of
            scan = self.serving() if turn is not None and standing == "unknown" else None
            return CustomerView(
                standing=standing,
                ending=ending,
                turn=turn,
                invitation=self._invitation(code),
                phone=self._phone(None, turn) if turn is not None else None,
                asks=scan is not None and self._asks(scan),
            )
        if member.refuses(code):
            return CustomerView(standing="blocked", ending=ending, turn=turn)
        card = member.identifier(code)
        return CustomerView(
            standing="known",
            ending=ending,
            turn=turn,
            member=member_view(member, self._promise(member), self._clock().wall),
            phone=self._phone(member, turn) if turn is not None else None,
            replaced_by=card.replaced_by if card is not None and card.state == "replaced" else None,
        )

    def _current_notice(self) -> NoticeView | None:
        notice = self._notice
        if notice is None or not timedelta(0) <= self._since(notice.at) < notice.shown_for:
            return None
        return NoticeView(kind=notice.kind, ending=ending_of(notice.code), reason=notice.reason)

    def _since(self, at: Instant) -> timedelta:
        return timedelta(microseconds=self._clock().ns_since(at) // 1000)

    def _sale(self, *, current: bool) -> SaleView | None:
        settled = self._settled
        if settled is None:
            return None
        age = self._since(settled.captured)
        receipt = settled.receipt
        return SaleView(
            kind=receipt.kind,
            total_minor=receipt.total_minor,
            digits=minor_digits(receipt.currency),
            currency=receipt.currency,
            outcome=settled.outcome,
            points=settled.points,
            pending=settled.pending,
            estimated=settled.estimated,
            reward=settled.reward,
            gives=tuple(map(_give, settled.claims[:MAX_GIVES])),
            current=current and settled is not self._seen_off and timedelta(0) <= age < SALE_SHOWN_FOR,
        )


def _at_the_till(customer: CustomerView | None) -> CustomerView | None:
    """Who is being served, or whose card is refused: not who is still shown with what their receipt gave."""
    served = customer is not None and (customer.turn is not None or customer.standing == "blocked")
    return customer if served else None


def _give(claim: LedgerEntry) -> GiveView:
    return GiveView(
        rule=claim.rule,
        points=claim.points,
        basis_minor=claim.basis_minor,
        pending_until=claim.pending_until,
        why=claim.why,
    )


def restored(checkout: Checkout, now: Instant) -> Checkout:
    """The checkout as the store kept it over a restart, with the member that may still be served shown."""
    newest = checkout.scans[-1].id if checkout.scans else None
    shown, _ = step(replace(checkout, shown=newest), TimePassed(at=now))
    return shown
