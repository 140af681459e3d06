"""Points by telephone: what a register without a network has a member ask for, and the grant that it is shown.

Owns when that is offered, the code of an ask and its picture, and what is said of a grant that a scanner reads. What is
asked for is the points that a reward lacks here, of whoever is shown; or, by a card that nobody knows here, whose it is
and the points of a reward that the member chooses. Nothing is promised before the grant is kept
(`sync.store.asked_rows`). Never says whether a reward can be given, and never talks to the centre.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import UNSET, Struct
from msgspec.structs import replace

from agent.pricing import check_spends
from agent.sale_shapes import SaleRefusedError
from agent.view import NoticeKind, PictureView
from drivers.scanning.driver import ScanEvent
from loyalty.identification import MemberKind, normal_code
from loyalty.instant import Instant
from loyalty.member import Balance, Identifier, Member
from loyalty.receipt import Entry, MemberReference
from sync.enrolment import Enrolment, EnrolmentError
from sync.keys import SecretError
from sync.phone_codes import (
    MAX_HAS,
    NONCE_BYTES,
    Ask,
    Grant,
    MalformedCodeError,
    Told,
    ask_code,
    read_grant,
    told_in,
    whose_card,
    whose_points,
)
from sync.qr import qr_path
from sync.store.asked_rows import Taken
from sync.store.errors import StoreError
from sync.store.store import Store
from sync.store.writing import Writing
from sync.wire import Wanted

_SAID: Final[dict[Taken, NoticeKind]] = {"taken": "granted", "known": "grant_known", "not_asked": "grant_over"}

# Who only knows a number or an address spends nothing by it.
_ADDRESSES: Final = frozenset({"phone", "email"})

log = structlog.get_logger(__name__)


class Link(Protocol):
    """What this register is to its centre (`agent.centre.CentreLink`)."""

    @property
    def enrolment(self) -> Enrolment | None: ...

    @property
    def is_online(self) -> bool: ...

    def device_key(self) -> Ed25519PrivateKey:
        """Raises EnrolmentError and SecretError."""


class Serving(Protocol):
    """The cashier's page (`agent.desk.Desk`)."""

    def serving(self) -> Turn | None: ...

    def tell(self, kind: NoticeKind, at: Instant, *, reason: str | None = None) -> None: ...


class Turn(Protocol):
    """Whose turn it is, by which code."""

    @property
    def id(self) -> int: ...

    @property
    def code(self) -> str: ...

    @property
    def kind(self) -> MemberKind: ...

    @property
    def entry(self) -> Entry: ...


class _Offer(Struct, frozen=True, kw_only=True):
    """What is shown to whom: with so many points safe here it is of no use any more. `member` is empty where nobody
    knows here whose the card of the turn is.
    """

    turn: int
    member: str
    points: int
    enough: int
    picture: PictureView


class _Whose(Struct, frozen=True, kw_only=True):
    """The member whose points were granted; `told` where they are not known here yet."""

    member: str
    told: Member | None = None


class PhonePoints:
    """What one register asks for. `randomness` gives so many unguessable bytes."""

    def __init__(self, store: Store, link: Link, randomness: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._store = store
        self._link = link
        self._randomness = randomness
        self._offer: _Offer | None = None

    @property
    def is_offered(self) -> bool:
        """Whether a member can ask for this register, which cannot ask itself."""
        store = self._store
        known = bool(store.phone_url()) and store.code_key() is not None and self._link.enrolment is not None
        return known and not self._link.is_online and store.is_sure() and bool(store.live_epoch_id())

    def reach(self, member: Member) -> int:
        """Points of a member that lie elsewhere, and could be set aside here by telephone; 0 where none need be."""
        return self._store.points_elsewhere(member) if self.is_offered else 0

    def asks_for(self, turn: Turn) -> bool:
        """Whether a telephone can say whose the card of a turn is that nobody knows here: one that may spend."""
        if turn.kind in _ADDRESSES or not self.is_offered:
            return False
        try:
            check_spends(_reference(turn), self._store.code_key())
        except SaleRefusedError:
            return False
        return True

    def view(self, member: Member | None, turn: int) -> PictureView | None:
        """What the member is shown whose turn it is; None is whoever has a card that nobody knows here."""
        offer = self._offer
        if offer is None or (offer.turn, offer.member) != (turn, member.member if member is not None else ""):
            return None
        if member is None:
            return offer.picture
        return offer.picture if self._safe(member) < offer.enough else None

    async def offer(self, wanted: Wanted, turn: int) -> bool:
        """Has the member whose turn it is shown what to ask for; False where that cannot be. Raises StoreError."""
        before, member = self._offer, self._store.member(wanted.member)
        if member is None or not wanted.points:
            return False
        if before is not None and (before.turn, before.points) == (turn, wanted.points) and self.view(member, turn):
            return True
        picture = await self._asked(wanted)
        if picture is None:
            return False
        enough = self._safe(member) + wanted.points
        self._offer = _Offer(turn=turn, member=wanted.member, points=wanted.points, enough=enough, picture=picture)
        return True

    async def offer_to(self, turn: Turn) -> None:
        """Has whoever shows a card that nobody knows here shown what to ask for.

        Raises SaleRefusedError and StoreError.
        """
        if self._store.member_by_code(turn.code) is not None:
            raise SaleRefusedError("has_member", "This card has a member already: choose the reward.")
        check_spends(_reference(turn), self._store.code_key())
        if self.view(None, turn.id) is not None:
            return
        picture = await self._asked(None, normal_code(turn.code)) if self.asks_for(turn) else None
        if picture is None:
            raise SaleRefusedError("not_offline", "Nobody can be asked by telephone here and now whose card this is.")
        self._offer = _Offer(turn=turn.id, member="", points=0, enough=0, picture=picture)

    async def _asked(self, wanted: Wanted | None, code: str = "") -> PictureView | None:
        """The picture of an ask for a member's points, or for a card by its code, once it will be remembered."""
        store, enrolment = self._store, self._link.enrolment
        code_key = store.code_key()
        if not store.phone_url() or code_key is None or enrolment is None:
            return None
        try:
            key = self._link.device_key()
        except (EnrolmentError, SecretError) as error:
            log.warning("points_not_asked_for", error=type(error).__name__)
            return None
        ask = Ask(
            device=enrolment.device,
            epoch="",
            member=wanted.member if wanted is not None else "",
            points=wanted.points if wanted is not None else 0,
            after=0,
            through=0,
            nonce=self._randomness(NONCE_BYTES),
            code=code,
        )
        card = whose_card(code, code_key) if code else b""
        noted = await store.write(lambda writing: _noted(writing, ask, card))
        if noted is None:
            return None
        picture = qr_path(store.phone_url() + ask_code(noted, key, code_key, self._randomness))
        return PictureView(size=picture.size, path=picture.path)

    def close(self) -> None:
        """What is shown is shown no more. A grant for it is taken all the same."""
        self._offer = None

    async def take(self, text: str, serving: Turn | None) -> NoticeKind:
        """Keeps what a scanned text says was granted, of whoever is shown.

        Raises StoreError and `UnsureError`.
        """
        enrolment, code_key = self._link.enrolment, self._store.code_key()
        if enrolment is None or code_key is None:
            return "grant_foreign"
        try:
            grant = read_grant(text, enrolment.program_key)
        except MalformedCodeError:
            return "grant_broken"
        if grant.device != enrolment.device:
            return "grant_foreign"
        if not self._store.is_sure():
            raise UnsureError
        if grant.epoch != self._store.live_epoch_id():
            return "grant_over"
        whose = self._whose(grant, serving, code_key)
        if isinstance(whose, str):
            return whose
        taken = await self._store.write(lambda writing: writing.take_grant(grant, whose.member, whose.told))
        if taken == "unsure" or not self._store.is_sure():
            raise UnsureError
        return _SAID[taken]

    def _whose(self, grant: Grant, serving: Turn | None, code_key: str) -> _Whose | NoticeKind:
        """Whose points these are, where it is whoever is shown."""
        if serving is None:
            return "grant_nobody"
        member = self._store.member_by_code(serving.code)
        if not grant.sealed:
            if member is None:
                return "grant_nobody"
            return _Whose(member=member.member) if _is_of(grant, member, code_key) else "grant_anothers"
        if not hmac.compare_digest(grant.whose, whose_card(normal_code(serving.code), code_key)):
            return "grant_anothers"
        try:
            told = told_in(grant, code_key)
        except MalformedCodeError:
            return "grant_broken"
        if member is None:
            return _Whose(member=told.member, told=_member(told, serving))
        return _Whose(member=member.member) if told.member in _names(member) else "grant_anothers"

    def _safe(self, member: Member) -> int:
        return self._store.standing(member, is_sure=self._store.is_sure()).safe


class UnsureError(Exception):
    """This register spends nothing before the centre has answered."""


class GrantScans:
    """Takes the grants that the scanners of a register read, and says what came of them."""

    def __init__(self, phone: PhonePoints, desk: Serving) -> None:
        self._phone = phone
        self._desk = desk

    async def take(self, event: ScanEvent) -> None:
        serving = self._desk.serving()
        try:
            kind = await self._phone.take(event.scan.text, serving)
        except UnsureError:
            self._desk.tell("granted", event.at, reason="register_unsure")
        except StoreError as error:
            log.warning("grant_not_kept", error=type(error).__name__)
            self._desk.tell("granted", event.at, reason="silent")
        else:
            self._desk.tell(kind, event.at)


def _noted(writing: Writing, ask: Ask, card: bytes) -> Ask | None:
    """The ask as it stands here, once it will be remembered; None where this register spends nothing, or asked too
    often already.
    """
    epoch, has = writing.epoch(), writing.granted_so(ask.member) if ask.member else ()
    if not writing.is_sure() or epoch is None or epoch.epoch != writing.live_epoch_id() or len(has) > MAX_HAS:
        return None
    writing.note_ask(ask.nonce, card)
    return replace(ask, epoch=epoch.epoch, after=writing.allowance_cursor().number, through=epoch.last_seq, has=has)


def _reference(turn: Turn) -> MemberReference:
    return MemberReference(code=turn.code, kind=turn.kind, entry=turn.entry)


def _is_of(grant: Grant, member: Member, code_key: str) -> bool:
    """Whether the points are the member's, under whichever id they were asked for."""
    return any(hmac.compare_digest(grant.whose, whose_points(name, code_key)) for name in _names(member))


def _names(member: Member) -> tuple[str, ...]:
    return (member.member, *(member.aliases or ()))


def _member(told: Told, serving: Turn) -> Member:
    """As a register holds one, by the code that was asked about alone, until the feed tells of them."""
    return Member(
        member=told.member,
        identifiers=(Identifier(kind=serving.kind, code=normal_code(serving.code)),),
        short_name=told.short_name or UNSET,
        tier=told.tier or UNSET,
        balance=Balance(confirmed=told.confirmed, pending=told.pending, spendable=told.spendable),
        as_of=datetime.fromtimestamp(told.at, UTC),
    )
