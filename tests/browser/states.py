"""Every state that the cashier page and the customer view can be in, as the register would tell it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from msgspec.structs import replace

from agent.invitations import drawn
from agent.view import (
    BadgeView,
    CustomerView,
    GiveView,
    MemberView,
    NearestView,
    NoticeView,
    PageState,
    PictureView,
    PlaceView,
    ProblemView,
    RecentView,
    ReservedView,
    RewardView,
    SaleView,
)
from loyalty.member import ContextLine, Progress
from sync.qr import qr_path

# When all of it is shown; the stage's clock stands still there.
NOW: Final = datetime(2026, 11, 22, 9, 46, tzinfo=UTC)
ONLINE: Final = BadgeView(enrolled=True, online=True, since=NOW, queued=0)
OFFLINE: Final = BadgeView(enrolled=True, online=False, since=NOW - timedelta(minutes=12), queued=7)
IDLE: Final = PageState(language="en", place=PlaceView(store="12", register="3"), badge=ONLINE)
REWARDS: Final = (
    RewardView(reward="r5", title="5 € off", cost=500, times=3, safe=True, discount_minor=500),
    RewardView(
        reward="r12", title="12 € off", cost=1000, times=1, safe=True, discount_minor=1200, min_basket_minor=4000
    ),
    RewardView(reward="r30", title="30 € off", cost=2000, times=1, safe=False, discount_minor=3000),
    RewardView(reward="coffee", title="A coffee", cost=120, times=9, safe=True, piece_minor=0),
    RewardView(reward="tenth", title="10 % off organic", cost=900, times=1, safe=True, discount_percent=10),
)


def to_reward(measure: Literal["points_in", "stamps"], missing: int) -> NearestView:
    return NearestView(reward="r5", title="5 € off", measure=measure, missing=missing)


OWN: Final = RewardView(reward="birthday", title="3 € off", cost=0, times=1, safe=True, discount_minor=300)
TENTH: Final = RewardView(reward="cup", title="The tenth coffee", cost=0, times=1, safe=True, stamps=10, piece_minor=0)
ANA: Final = MemberView(
    name="Ana P.",
    tier="gold",
    confirmed=2480,
    pending=320,
    spendable=2480,
    as_of=NOW - timedelta(minutes=4),
    progress=Progress(tier="platinum", measure="points_in", counted=3800, at_least=5000),
    safe_offline=1000,
    rewards=REWARDS,
    currency="EUR",
    digits=2,
)
ELSEWHERE: Final = (
    ContextLine(kind="appointment", text="Shoe fitting with Mara", at=NOW + timedelta(days=1, hours=2)),
    ContextLine(kind="order", text="Pram, grey: shelf 12", at=NOW - timedelta(hours=20)),
    ContextLine(kind="cart", text="3 items, 84.90 EUR", at=NOW - timedelta(minutes=50)),
    ContextLine(kind="contact", text="Asked for the catalogue by e-mail", at=NOW - timedelta(days=3)),
)
KNOWN: Final = CustomerView(standing="known", ending="0077", turn=7, member=ANA)
SALE: Final = SaleView(
    kind="sale",
    total_minor=6420,
    digits=2,
    currency="EUR",
    outcome="points",
    points=106,
    pending=10,
    current=True,
    gives=(
        GiveView(rule="base", points=96, basis_minor=6420, pending_until=None, why="floor(6420 × 3/2 ÷ 100) = 96"),
        GiveView(
            rule="organic",
            points=10,
            basis_minor=1010,
            pending_until=NOW + timedelta(days=14),
            why="floor(1010 × 1 ÷ 100) = 10",
        ),
    ),
)
RESERVED: Final = replace(
    KNOWN,
    member=replace(
        ANA,
        spendable=1980,
        reserved=(ReservedView(reward="r5", title="5 € off", points=500, discount_minor=500),),
        rewards=REWARDS[:2],
    ),
)
# What a POS took off itself, and beside it what the cashier is to take off.
AT_POS: Final = replace(
    RESERVED,
    member=replace(
        ANA,
        spendable=1980,
        reserved=(ReservedView(reward="r5", title="5 € off", points=500, discount_minor=500, by_pos=True),),
        rewards=REWARDS[:2],
    ),
)
AT_BOTH: Final = replace(
    RESERVED,
    member=replace(
        ANA,
        spendable=1080,
        reserved=(
            ReservedView(reward="r5", title="5 € off", points=500, discount_minor=500, by_pos=True),
            ReservedView(reward="tenth", title="10 % off organic", points=900, discount_percent=10),
        ),
        rewards=REWARDS[:1],
    ),
)
THREE: Final = replace(
    RESERVED,
    member=replace(
        ANA,
        spendable=480,
        reserved=(
            ReservedView(reward="r5", title="5 € off", points=1500, times=3, discount_minor=1500),
            ReservedView(reward="r5", title="5 € off", points=500, discount_minor=500),
        ),
        rewards=REWARDS[3:4],
    ),
)
OF_GOODS: Final = replace(
    RESERVED,
    member=replace(
        ANA,
        spendable=1080,
        reserved=(
            ReservedView(reward="r5", title="5 € off", points=500, discount_minor=500),
            ReservedView(reward="tenth", title="10 % off organic", points=900, discount_percent=10),
        ),
        rewards=REWARDS[:1],
    ),
)
PIECE: Final = replace(
    RESERVED,
    member=replace(
        ANA,
        spendable=2360,
        reserved=(ReservedView(reward="coffee", title="A coffee", points=120, piece_minor=0),),
        rewards=REWARDS[:1],
    ),
)
RECENT: Final = tuple(
    RecentView(
        receipt=f"k{number}",
        number=str(4711 - number),
        at=NOW - timedelta(minutes=3 + 8 * number),
        total_minor=1840 + 977 * number,
        digits=2,
        currency="EUR",
    )
    for number in range(3)
)
# A new customer joins by telephone.
INVITED: Final = CustomerView(
    standing="unknown",
    ending="4NLX",
    turn=8,
    invitation=drawn("https://join.shop.example/", "J222222222222222RNW44NLX"),
)
_PICTURE = qr_path("https://join.shop.example/p/" + "TS2" * 106)
# A member asks by telephone for points that lie elsewhere.
ASKING: Final = replace(KNOWN, phone=PictureView(size=_PICTURE.size, path=_PICTURE.path))
# Nobody knows here whose the card is: a telephone can be asked, and is.
STRANGER: Final = CustomerView(standing="unknown", ending="9001", turn=9, asks=True)
ASKING_WHO: Final = replace(STRANGER, phone=ASKING.phone)
AFTER: Final = replace(KNOWN, turn=None, member=replace(ANA, pending=330, confirmed=2576, spendable=2576))
HELD: Final = replace(SALE, outcome="held", points=0, pending=0, gives=())

STATES: Final[dict[str, PageState]] = {
    "idle": IDLE,
    "idle, late receipts": replace(IDLE, recent=RECENT, sale=replace(SALE, current=False, outcome="no_card", gives=())),
    "member": replace(IDLE, customer=KNOWN),
    "member, note": replace(
        IDLE, customer=replace(KNOWN, member=replace(ANA, note="Ordered a pram: ready to collect."))
    ),
    "member, from elsewhere": replace(IDLE, customer=replace(KNOWN, member=replace(ANA, context=ELSEWHERE))),
    "member, no rewards": replace(
        IDLE,
        customer=replace(
            KNOWN, turn=5, member=replace(ANA, rewards=(), spendable=40, pending=2, nearest=to_reward("points_in", 460))
        ),
    ),
    "member, no full card": replace(
        IDLE,
        customer=replace(KNOWN, turn=6, member=replace(ANA, rewards=(), spendable=0, nearest=to_reward("stamps", 1))),
    ),
    "member, voucher of their own": replace(
        IDLE,
        customer=replace(KNOWN, member=replace(ANA, rewards=(OWN, *REWARDS[:2]))),
        notice=NoticeView(kind="voucher", reason="no_voucher"),
    ),
    "offline": replace(
        IDLE,
        badge=OFFLINE,
        customer=replace(KNOWN, member=replace(ANA, unsafe_because="partly_granted", context=ELSEWHERE[1:3])),
    ),
    "attention": replace(
        IDLE,
        customer=KNOWN,
        problems=(
            ProblemView(kind="disk_refuses", name="", problem="the disk of /var/lib/tillside is full: free some space"),
            ProblemView(kind="receipts", name="printer", problem="the spool cannot be read: start the relay"),
        ),
    ),
    "not enrolled": replace(IDLE, badge=BadgeView(enrolled=False, online=False, since=None, queued=2)),
    "member, full card": replace(IDLE, customer=replace(KNOWN, member=replace(ANA, rewards=(TENTH, *REWARDS[:2])))),
    "reserved": replace(IDLE, customer=RESERVED),
    "reserved at a POS": replace(IDLE, customer=AT_POS),
    "reserved here and at a POS": replace(IDLE, customer=AT_BOTH),
    "reserved, three": replace(IDLE, customer=THREE),
    "reserved, of the goods": replace(IDLE, customer=OF_GOODS),
    "reserved, a piece": replace(IDLE, customer=PIECE),
    "sale": replace(IDLE, customer=AFTER, sale=SALE),
    "sale, reward given": replace(IDLE, customer=AFTER, sale=replace(SALE, reward="confirmed")),
    "sale, reward released": replace(IDLE, customer=AFTER, sale=replace(SALE, reward="released", estimated=True)),
    "return": replace(IDLE, customer=AFTER, sale=replace(SALE, kind="return", points=-106, pending=0, gives=())),
    "no card": replace(IDLE, sale=replace(SALE, outcome="no_card", points=0, pending=0, gives=()), recent=RECENT[:1]),
    "at the centre": replace(IDLE, customer=AFTER, sale=replace(SALE, outcome="at_centre", points=0, gives=())),
    "checking": replace(IDLE, customer=CustomerView(standing="checking", ending="4242", turn=8)),
    "unknown": replace(IDLE, customer=CustomerView(standing="unknown", ending="4242", turn=8)),
    "unknown, short": replace(IDLE, customer=CustomerView(standing="unknown", ending="", turn=8)),
    "unknown at the sale": replace(IDLE, customer=CustomerView(standing="unknown", ending="4242"), sale=HELD),
    "unissued": replace(IDLE, customer=CustomerView(standing="unissued", ending="0001", turn=8)),
    "unissued, short": replace(IDLE, customer=CustomerView(standing="unissued", ending="", turn=8)),
    "unissued at the sale": replace(IDLE, customer=CustomerView(standing="unissued", ending="0001"), sale=HELD),
    "idle, invites": replace(IDLE, invites=True),
    "invited": replace(IDLE, customer=INVITED, invites=True),
    "invited, at the sale": replace(IDLE, customer=replace(INVITED, turn=None), sale=HELD, invites=True),
    "by telephone": replace(IDLE, customer=ASKING),
    "unknown, a telephone could tell": replace(IDLE, customer=STRANGER),
    "unknown, by telephone": replace(IDLE, customer=ASKING_WHO),
    "points brought": replace(IDLE, customer=KNOWN, notice=NoticeView(kind="granted")),
    "blocked": replace(IDLE, customer=CustomerView(standing="blocked", ending="0055")),
    "blocked, short": replace(IDLE, customer=CustomerView(standing="blocked", ending="")),
    "blocked beside": replace(IDLE, customer=KNOWN, notice=NoticeView(kind="blocked", ending="0055")),
    "blocked at the sale": replace(
        IDLE, customer=CustomerView(standing="blocked", ending="0055"), sale=replace(HELD, outcome="blocked")
    ),
    "replaced": replace(IDLE, customer=replace(KNOWN, replaced_by="1234")),
    "replaced, short": replace(IDLE, customer=replace(KNOWN, replaced_by="")),
    "replaced at the sale": replace(IDLE, customer=replace(AFTER, replaced_by="1234"), sale=SALE),
    "misread": replace(IDLE, notice=NoticeView(kind="misread")),
    "swipe error": replace(IDLE, customer=KNOWN, notice=NoticeView(kind="swipe_error")),
    "receipt known": replace(IDLE, notice=NoticeView(kind="receipt_known")),
    "receipt old": replace(IDLE, customer=KNOWN, notice=NoticeView(kind="receipt_code_old")),
    "receipt broken": replace(IDLE, customer=AFTER, sale=SALE, notice=NoticeView(kind="receipt_code_broken")),
    "enrolling": replace(IDLE, notice=NoticeView(kind="enrolling")),
    "enrolment refused": replace(IDLE, notice=NoticeView(kind="enrolment_refused")),
    "payment card": replace(IDLE, customer=AFTER, sale=SALE, notice=NoticeView(kind="payment_card")),
    "enrolled": replace(IDLE, notice=NoticeView(kind="enrolled")),
}
# Somebody who came late with the card, and three receipts that may be theirs.
LATE: Final = replace(IDLE, customer=KNOWN, recent=RECENT)
# As much of everything as there may be, and as long.
CROWDED: Final = replace(
    IDLE,
    badge=OFFLINE,
    customer=replace(
        KNOWN,
        member=replace(
            ANA,
            name="Aleksandra-Konstantina Hadžistevanović-Đorđević",
            tier="Platinum ambassador",
            spendable=1_234_567,
            pending=98_765,
            note="Ordered a pram in grey for her sister: ready to collect at the desk on the first floor.",
            context=ELSEWHERE,
            rewards=tuple(
                replace(
                    one, reward=f"{one.reward}{number}", title=f"{one.title}, as long as a title of a reward may be"
                )
                for number in range(2)
                for one in REWARDS
            )[:9],
        ),
    ),
    problems=(
        ProblemView(kind="disk_full", name="", problem="the disk of /var/lib/tillside is full: free some space"),
        ProblemView(
            kind="scanner",
            name="counter-left",
            problem="/dev/serial/by-id/usb-0-if00 is not there: plug the scanner in",
        ),
    ),
    notice=NoticeView(kind="enrolment_refused"),
    recent=RECENT,
)
