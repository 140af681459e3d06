"""Points by telephone: what a register without a network has a member ask for, and the grant that it is shown.

Owns when that is offered, the code of an ask and its picture, and what is said of a grant that a scanner reads. What is
asked for is the points that a reward lacks here, of whoever is shown; nothing is promised before the grant is kept
(`sync.store.asked_rows`). Never says whether a reward can be given, and never talks to the centre.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from typing import Final, Protocol

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from agent.view import NoticeKind, PictureView
from drivers.scanning.driver import ScanEvent
from loyalty.instant import Instant
from loyalty.member import Member
from sync.enrolment import Enrolment, EnrolmentError
from sync.keys import SecretError
from sync.phone_codes import (
    MAX_HAS,
    NONCE_BYTES,
    Ask,
    Grant,
    MalformedCodeError,
    ask_code,
    read_grant,
    whose_points,
)
from sync.qr import qr_path
from sync.store.asked_rows import Taken
from sync.store.errors import StoreError
from sync.store.store import Store
from sync.store.writing import Writing
from sync.wire import Wanted

_SAID: Final[dict[Taken, NoticeKind]] = {"taken": "granted", "known": "grant_known", "not_asked": "grant_over"}

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


class _Offer(Struct, frozen=True, kw_only=True):
    """What is shown to whom: with so many points safe here it is of no use any more."""

    turn: int
    member: str
    points: int
    enough: int
    picture: PictureView


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

    def view(self, member: Member, turn: int) -> PictureView | None:
        """What the member is shown whose turn it is."""
        offer = self._offer
        if offer is None or (offer.turn, offer.member) != (turn, member.member):
            return None
        return offer.picture if self._safe(member) < offer.enough else None

    async def offer(self, wanted: Wanted, turn: int) -> bool:
        """Has the member whose turn it is shown what to ask for; False where that cannot be. Raises StoreError."""
        store, enrolment, before = self._store, self._link.enrolment, self._offer
        code_key, member = store.code_key(), store.member(wanted.member)
        if not store.phone_url() or code_key is None or enrolment is None or member is None or not wanted.points:
            return False
        if before is not None and (before.turn, before.points) == (turn, wanted.points) and self.view(member, turn):
            return True
        try:
            key = self._link.device_key()
        except (EnrolmentError, SecretError) as error:
            log.warning("points_not_asked_for", error=type(error).__name__)
            return False
        nonce, device = self._randomness(NONCE_BYTES), enrolment.device
        ask = await store.write(lambda writing: _noted(writing, device, wanted, nonce))
        if ask is None:
            return False
        picture = qr_path(store.phone_url() + ask_code(ask, key, code_key, self._randomness))
        self._offer = _Offer(
            turn=turn,
            member=wanted.member,
            points=wanted.points,
            enough=self._safe(member) + wanted.points,
            picture=PictureView(size=picture.size, path=picture.path),
        )
        return True

    def close(self) -> None:
        """What is shown is shown no more. A grant for it is taken all the same."""
        self._offer = None

    async def take(self, text: str, code: str | None) -> NoticeKind:
        """Keeps what a scanned text says was granted, of whoever is shown with the member `code`.

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
        member = self._store.member_by_code(code) if code is not None else None
        if member is None:
            return "grant_nobody"
        if not _is_of(grant, member, code_key):
            return "grant_anothers"
        taken = await self._store.write(lambda writing: writing.take_grant(grant, member.member))
        if taken == "unsure" or not self._store.is_sure():
            raise UnsureError
        return _SAID[taken]

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
            kind = await self._phone.take(event.scan.text, serving.code if serving is not None else None)
        except UnsureError:
            self._desk.tell("granted", event.at, reason="register_unsure")
        except StoreError as error:
            log.warning("grant_not_kept", error=type(error).__name__)
            self._desk.tell("granted", event.at, reason="silent")
        else:
            self._desk.tell(kind, event.at)


def _noted(writing: Writing, device: str, wanted: Wanted, nonce: bytes) -> Ask | None:
    """The ask, once it will be remembered; None where this register spends nothing, or asked too often already."""
    epoch, has = writing.epoch(), writing.granted_so(wanted.member)
    if not writing.is_sure() or epoch is None or epoch.epoch != writing.live_epoch_id() or len(has) > MAX_HAS:
        return None
    writing.note_ask(nonce)
    return Ask(
        device=device,
        epoch=epoch.epoch,
        member=wanted.member,
        points=wanted.points,
        after=writing.allowance_cursor().number,
        through=epoch.last_seq,
        nonce=nonce,
        has=has,
    )


def _is_of(grant: Grant, member: Member, code_key: str) -> bool:
    """Whether the points are the member's, under whichever id they were asked for."""
    names = (member.member, *(member.aliases or ()))
    return any(hmac.compare_digest(grant.whose, whose_points(name, code_key)) for name in names)
