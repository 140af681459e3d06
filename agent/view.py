"""What the cashier page is told: one value that says everything it shows.

Owns the shape of that value. Never formats a number or a sentence (the page does, in its language), and
never carries more of a card than its last four characters. A code by which somebody may join is no card, and is shown.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from agent.supervisor import Health
from loyalty.consent_texts import ConsentTexts
from loyalty.member import ContextLine, Member, Progress
from loyalty.receipt import AwareDatetime, ReceiptKind
from sync.store.rows import DiskFull

Standing = Literal["known", "unknown", "checking", "unissued", "blocked"]
Outcome = Literal["points", "held", "no_card", "at_centre", "blocked"]
NoticeKind = Literal[
    "misread",
    "swipe_error",
    "payment_card",
    "blocked",
    "receipt_known",
    "receipt_code_old",
    "receipt_code_broken",
    "voucher",
    "enrolling",
    "enrolled",
    "enrolled_already",
    "enrolment_code_broken",
    "enrolment_unreachable",
    "enrolment_refused",
    "granted",
    "grant_known",
    "grant_broken",
    "grant_foreign",
    "grant_over",
    "grant_nobody",
    "grant_anothers",
]


RewardOutcome = Literal["confirmed", "released"]
"""What became of rewards that were reserved on the page: the receipt showed their discount, or it did not."""
Unsafe = Literal["register_unsure", "not_granted", "partly_granted"]
"""Why not all points can be spent without asking the centre."""


class RewardView(Struct, frozen=True, kw_only=True):
    """A reward that the member has the points for, or a voucher that lies here (`cost` 0); `safe` where it can be given
    without asking the centre. It can be had `times` times beside what is reserved, as far as the balance and one
    receipt allow. `stamps` are those of a full card, where it costs one.

    `discount_minor` is what it takes off whatever is bought. Where that hangs on the goods it is so many percent of
    them, or one piece of them at `piece_minor`. `min_basket_minor` is what goods it needs.
    """

    reward: str
    title: str | None
    cost: int
    times: int
    safe: bool
    stamps: int | None = None
    discount_minor: int | None = None
    discount_percent: int | None = None
    piece_minor: int | None = None
    min_basket_minor: int | None = None


class NearestView(Struct, frozen=True, kw_only=True):
    """The reward that a member is nearest to who can have none yet, and how many points, or stamps, are missing."""

    reward: str
    title: str | None
    measure: Literal["points_in", "stamps"]
    missing: int


class ReservedView(Struct, frozen=True, kw_only=True):
    """A reward that waits for its receipt, so many `times`: reserved on the page, where the cashier takes it off at the
    POS, as RewardView says; or `by_pos`, which took it off itself and alone gives it back.

    `points` and `discount_minor` are those of all its times together.
    """

    reward: str
    title: str | None
    points: int
    times: int = 1
    discount_minor: int | None = None
    discount_percent: int | None = None
    piece_minor: int | None = None
    by_pos: bool = False


class GiveView(Struct, frozen=True, kw_only=True):
    """Points of a sale under one rule: `basis_minor` is the money it looked at, `why` the arithmetic."""

    rule: str
    points: int
    basis_minor: int
    pending_until: AwareDatetime | None
    why: str


class RecentView(Struct, frozen=True, kw_only=True):
    """A receipt of the last hour that is nobody's, and can still be given to a member."""

    receipt: str
    number: str | None
    at: AwareDatetime
    total_minor: int
    digits: int
    currency: str


class Promise(Struct, frozen=True, kw_only=True):
    """What of a member's points can be spent here: `safe_offline` without asking anybody, and why no more.

    `reserved` are rewards that were chosen on the page or at a POS and wait for their receipt; amounts are in
    `currency`, of so many `digits`.
    """

    safe_offline: int = 0
    why: Unsafe | None = None
    rewards: tuple[RewardView, ...] = ()
    nearest: NearestView | None = None
    reserved: tuple[ReservedView, ...] = ()
    currency: str = ""
    digits: int = 0


class PlaceView(Struct, frozen=True, kw_only=True):
    """Which register this is."""

    store: str | None
    register: str | None


class BadgeView(Struct, frozen=True, kw_only=True):
    """How the exchange with the centre stands; `since` is when `online` last changed."""

    enrolled: bool
    online: bool
    since: AwareDatetime | None
    queued: int


class MemberView(Struct, frozen=True, kw_only=True):
    """The member, with points as of `as_of` by the centre's word, and what was told here since.

    `progress` says how far it is to the next tier, by the centre's word; `consents` by channel whether they may be
    written to. `safe_offline` are the points that can be spent here
    without asking the centre, `unsafe_because` says why they are fewer than may be spent. `context` is what other
    channels know.
    """

    name: str | None
    tier: str | None
    confirmed: int
    pending: int
    spendable: int
    as_of: AwareDatetime | None
    progress: Progress | None = None
    language: str | None = None
    note: str | None = None
    consents: dict[str, bool] = {}
    context: tuple[ContextLine, ...] = ()
    safe_offline: int = 0
    unsafe_because: Unsafe | None = None
    rewards: tuple[RewardView, ...] = ()
    nearest: NearestView | None = None
    reserved: tuple[ReservedView, ...] = ()
    currency: str = ""
    digits: int = 0


class InvitationView(Struct, frozen=True, kw_only=True):
    """How a customer without a card joins by telephone: at `url` with `code`, or by a QR code of both.

    `path` is that as an SVG path, `size` modules wide and high.
    """

    url: str
    code: str
    size: int
    path: str


class PictureView(Struct, frozen=True, kw_only=True):
    """A QR code as an SVG path, `size` modules wide and high."""

    size: int
    path: str


class CustomerView(Struct, frozen=True, kw_only=True):
    """Who was scanned. `member` goes with standing `known`.

    `replaced_by` is there where this is an old card: how the one ends that took its place, empty where that is
    not known. `turn` names who is being served, for what is asked about them; None once the receipt was printed.
    `invitation` goes with a code by which somebody may join, until they have. `phone` is what a member scans to have
    points set aside for this register, which has no network; `asks` says of an unknown card that a telephone can be
    asked whose it is.
    """

    standing: Standing
    ending: str
    turn: int | None = None
    member: MemberView | None = None
    replaced_by: str | None = None
    invitation: InvitationView | None = None
    phone: PictureView | None = None
    asks: bool = False


class NoticeView(Struct, frozen=True, kw_only=True):
    """A scan that is nobody's, for a short while: `blocked` beside a customer who stays; `ending` is that card's.

    A `voucher` was taken, or points `granted` by telephone, or not for a `reason`, in the words of the local API;
    `silent` where the store failed.
    """

    kind: NoticeKind
    ending: str = ""
    reason: str | None = None


class SaleView(Struct, frozen=True, kw_only=True):
    """The last receipt, and what it gave: `pending` of the `points` are held back for now.

    `held`: the card is unknown, points are kept for it. `blocked`: the card was blocked while the customer was
    served, nothing is given. `at_centre`: this register cannot tell what the
    receipt gives, the centre will. `estimated`: the points are an estimate, the centre knows more of the member's
    past. `current` until the next customer is scanned. `reward` is there where one was reserved for it on the page.
    `gives` says rule by rule where the points come from.
    """

    kind: ReceiptKind
    total_minor: int
    digits: int
    currency: str
    outcome: Outcome
    points: int
    pending: int
    estimated: bool = False
    current: bool
    reward: RewardOutcome | None = None
    gives: tuple[GiveView, ...] = ()


class ProblemView(Struct, frozen=True, kw_only=True):
    """A worker that does not work."""

    kind: str
    name: str
    problem: str


class PageState(Struct, frozen=True, kw_only=True, tag_field="type", tag="state"):
    """Everything the page shows. `invites` where whoever has no card can join by telephone; `consents` are the chain's
    own texts by which people are asked, where it has some.
    """

    language: str
    place: PlaceView
    badge: BadgeView
    customer: CustomerView | None = None
    notice: NoticeView | None = None
    sale: SaleView | None = None
    recent: tuple[RecentView, ...] = ()
    problems: tuple[ProblemView, ...] = ()
    invites: bool = False
    consents: ConsentTexts | None = None


def member_view(member: Member, promise: Promise, now: datetime) -> MemberView:
    return MemberView(
        name=member.short_name or None,
        tier=member.tier or None,
        confirmed=member.balance.confirmed,
        pending=member.balance.pending,
        spendable=member.balance.spendable,
        as_of=member.as_of or None,
        progress=member.progress or None,
        language=member.language or None,
        note=member.note or None,
        context=member.known_elsewhere(now),
        consents={one.channel: one.state == "granted" for one in member.consents or ()},
        safe_offline=promise.safe_offline,
        unsafe_because=promise.why,
        rewards=promise.rewards,
        nearest=promise.nearest,
        reserved=promise.reserved,
        currency=promise.currency,
        digits=promise.digits,
    )


def problem_views(health: tuple[Health, ...], full: DiskFull | None) -> tuple[ProblemView, ...]:
    """A full disk, for which the page has words of its own, and the workers that fail or are lent."""
    disk = []
    if full is not None:
        disk.append(ProblemView(kind="disk_refuses" if full.refuses_sales else "disk_full", name="", problem=full.said))
    return (
        *disk,
        *(
            ProblemView(kind=worker.kind, name=worker.name, problem=worker.problem)
            for worker in health
            if worker.condition in ("failing", "lent") and worker.problem
        ),
    )
