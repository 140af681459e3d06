"""What the cashier does at the page, for the customer who is shown: beside a POS that knows nothing of us.

Owns finding and taking away the customer, reserving rewards that the cashier then takes off at the POS, giving a late
member one of the last receipts, and taking a keyboard scanner's scans from the page. Everything is durable before it is
answered. Never prices a basket (`agent.sales` does, for a POS that tells one), and never knows HTTP.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

import msgspec
from msgspec import UNSET

from agent.attaching import attach
from agent.booking import Rules, checkout_of
from agent.calls import answered, call_of, once
from agent.checkout import MemberRemoved, MemberScan, UseUp, step
from agent.counter_shapes import (
    Attached,
    CodeTyped,
    ForTurn,
    Reserved,
    RewardWanted,
    ScanHeard,
    ScansGiven,
    Shown,
    VoucherShown,
)
from agent.desk import Desk, Settlement
from agent.inspection import NotFoundError
from agent.invitations import Invitations
from agent.pace import Allowed, check_guesses
from agent.phone_points import PhonePoints
from agent.pricing import Owner, check_spends, drawn, owner_of, scanned_now
from agent.problem import MalformedBodyError
from agent.promises import affordable, left_on_receipt, reserved_on_page
from agent.recent import recent_receipts
from agent.sale_shapes import SaleRefusedError
from agent.sales import Centre, granted, make_room, take_back
from agent.scans import ScanIntake
from agent.shown_vouchers import Brought, NotGrantedError, brought_by, own
from drivers.clock import Clock
from drivers.scanning.driver import ScanEvent
from drivers.scanning.enrolment_codes import is_enrolment_code
from drivers.scanning.grant_codes import is_grant_code
from drivers.scanning.receipt_codes import names_receipt
from drivers.scanning.scan import Parse, Scan, typed_scan
from loyalty.addresses import phone_number
from loyalty.allowances import Asked
from loyalty.identification import MemberKind, is_member_code, normal_code
from loyalty.instant import Instant
from loyalty.pan import first_pan
from loyalty.program import Program, Reward
from loyalty.receipt import MemberReference
from sync.guesses import Guesses
from sync.store.errors import StoreUnavailableError
from sync.store.rows import KeptRedemption
from sync.store.store import Store
from sync.store.writing import Writing

# A scanner of five codes in a second, for a while.
SCANS_AT_ONCE, SCANS_PER_S = 30, 2.0
# Codes to join with: a queue of people who all want one, and whoever plays with the key.
INVITES_AT_ONCE, INVITES_PER_S = 10, 0.5
# However long the settings let a lookup take: the page waits 4 s for an answer.
ANSWERED_WITHIN_S: Final = 3.0
# The name under which the page's scans and calls are kept.
PAGE: Final = "page"


class Counter:
    """The cashier's side of one register."""

    def __init__(
        self,
        store: Store,
        desk: Desk,
        scans: ScanIntake,
        rules: Rules,
        centre: Centre,
        *,
        parse: Parse,
        now: Clock,
        monotonic_s: Callable[[], float],
        guesses: Guesses,
        invitations: Invitations,
        phone: PhonePoints,
        answered_within_s: float = ANSWERED_WITHIN_S,
    ) -> None:
        self._store = store
        self._desk = desk
        self._scans = scans
        self._rules = rules
        self._centre = centre
        self._parse = parse
        self._now = now
        self._scanning = Allowed(SCANS_AT_ONCE, SCANS_PER_S, monotonic_s)
        self._inviting = Allowed(INVITES_AT_ONCE, INVITES_PER_S, monotonic_s)
        self._guesses = guesses
        # Of its own: whatever a POS asks about, a scanner at the page is heard.
        self._scanned = Guesses(monotonic_s)
        self._invitations = invitations
        self._phone = phone
        self._answered_within_s = answered_within_s

    # Who is served

    async def scan(self, given: ScansGiven, *, elsewhere: bool = False) -> ScanHeard:
        """What a page calls a scan serves a customer; a page from `elsewhere` books no receipt by it, and none enrols.

        Raises TooOftenError and MalformedBodyError.
        """
        self._scanning.take()
        scans = [self._parse(text) for text in given.texts]
        if any(map(is_enrolment_code, scans)):
            raise MalformedBodyError("The register's own scanner enrols it, or `tillside enroll`: no page does.")
        if elsewhere and any(map(names_receipt, scans)):
            raise MalformedBodyError("A page of another origin posts receipts to /v1/receipts, with a token for that.")
        scan = self._meant(scans)
        if is_grant_code(scan):
            await self._scans.take(ScanEvent(scan=scan, at=self._now(), reader=PAGE))
            return ScanHeard(heard="grant")
        if not self._scans.is_voucher(scan):
            self._count(scans)
        await self._scans.take(ScanEvent(scan=scan, at=self._now(), reader=PAGE))
        if self._scans.is_voucher(scan):
            return ScanHeard(heard="voucher")
        if scan.member is not None:
            return ScanHeard(heard="member")
        return ScanHeard(heard="goods" if scan.identifier is not None else "nothing")

    def _count(self, scans: Sequence[Scan]) -> None:
        """What nobody here has counts, since any program can call itself a scanner. Raises TooOftenError.

        Each way to read the keys is a code that was tried; whoever is shown already is none.
        """
        shown, found = self._desk.serving(), [scan.member for scan in scans if scan.member is not None]
        codes = {self._store.hidden(one.kind, one.code) for one in found} - {shown.code if shown is not None else ""}
        if not codes:
            return
        check_guesses(self._scanned)
        if all(self._store.member_by_code(code) is None for code in codes):
            for _ in codes:
                self._scanned.missed()

    def _meant(self, scans: Sequence[Scan]) -> Scan:
        """Of several ways to read the keys the one that names somebody here, else one that a rule claims."""
        found = [scan for scan in scans if scan.member is not None]
        known = [scan for scan in found if scan.member and self._store.member_by_code(scan.member.code) is not None]
        claimed = [scan for scan in found if scan.member and scan.member.claimed]
        return next(iter([*filter(is_grant_code, scans), *known, *claimed, *scans]))

    async def find(self, given: CodeTyped) -> None:
        """Shows whose number was typed, or takes a voucher for whoever is shown.

        Raises TooOftenError, MalformedBodyError, NotFoundError, SaleRefusedError and StoreError.
        """
        if self._scans.is_voucher(self._parse(given.typed)):
            self._check_shown(given.turn)
            await self.take(given.typed)
            return
        code = normal_code(given.typed)
        if not code.startswith("+") and first_pan(code) is not None:
            raise MalformedBodyError("This is a payment card's number, and those are kept nowhere.")
        check_guesses(self._guesses)
        with self._guesses.asking(NotFoundError):
            kind, named = await self._named(given.typed, code)
        await self._scans.take(ScanEvent(scan=typed_scan(kind, named), at=self._now(), reader=PAGE))

    async def _named(self, typed: str, code: str) -> tuple[MemberKind, str]:
        number = phone_number(typed)
        if number is not None and self._store.member_by_code(self._store.hidden("phone", number)) is not None:
            return "phone", number
        if is_member_code(code, "card"):
            # The centre is asked by an address that others log: by no telephone number.
            if self._store.member_by_code(code) is None and (number is None or self._is_card(code)):
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._answered_within_s):
                        await self._centre.lookup(code)
            if self._store.member_by_code(code) is not None:
                return "card", code
        raise NotFoundError("Nobody is known here by this number.")

    def _is_card(self, code: str) -> bool:
        member = self._parse(code).member
        return member is not None and member.claimed and member.kind == "card"

    async def remove(self, given: Shown) -> None:
        """Nobody is the customer; what the page reserved for whoever was is released.

        Raises SaleRefusedError and StoreError.
        """
        now = self._now()
        self._check_shown(given.turn)

        def work(writing: Writing) -> None:
            shown = scanned_now(writing, now)
            owner = owner_of(writing, shown, now.wall)
            if owner is not None:
                _let_go(writing, owner.member.member)
            _use_up(writing, now)

        await self._store.write(work)
        self._desk.removed(now)

    async def invite(self) -> None:
        """Whoever is served has no card: shows the code by which they join on their telephone, which this sale takes.

        Raises TooOftenError and SaleRefusedError.
        """
        shown = self._desk.serving()
        if shown is not None and self._invitations.view(shown.code) is not None:
            return
        if shown is not None:
            raise SaleRefusedError("not_shown", "A customer is shown by now: look again.")
        self._inviting.take()
        await self._scans.invite(self._invitations.make(), self._now())

    def _serving(self, turn: int) -> MemberScan:
        shown = self._desk.serving()
        if shown is None or shown.id != turn:
            raise _not_shown()
        return shown

    def _check_shown(self, turn: int | None) -> None:
        """None is nobody, or whoever is only shown still. Raises SaleRefusedError."""
        if turn is not None:
            self._serving(turn)
        elif self._desk.serving() is not None:
            raise _not_shown()

    # Rewards

    async def reserve(self, wanted: RewardWanted, key: str | None) -> Reserved:
        """Reserves a reward; the receipt that shows its discount confirms it. Raises SaleRefusedError and StoreError.

        What is not safe here is asked of the centre first, for as long as that may take. Where that does not answer,
        the member is shown how to ask by telephone.
        """
        asked_before = msgspec.json.encode(wanted)
        first = answered(self._store, source=PAGE, call=call_of(key), asked=asked_before, answer=Reserved)
        if first is not None and self._store.is_witnessed():
            return first
        try:
            return await granted(self._centre, self._guesses, lambda asked: self._reserve(wanted, key, asked=asked))
        except NotGrantedError as lacking:
            if lacking.reason != "not_enough" or not await self._phone.offer(lacking.wanted, wanted.turn):
                raise
            self._desk.publish()
            raise SaleRefusedError(
                "by_phone",
                "The centre does not answer: the member can ask it by telephone, with the code that is shown.",
            ) from lacking

    async def ask_by_phone(self, given: ForTurn) -> None:
        """Whoever shows an unknown card is shown how to ask by telephone. Raises SaleRefusedError and StoreError."""
        await self._phone.offer_to(self._serving(given.turn))
        self._desk.publish()

    def end_by_phone(self, given: ForTurn) -> None:
        """The code by which the member could ask is not shown any more. Raises SaleRefusedError."""
        self._serving(given.turn)
        self._phone.close()
        self._desk.publish()

    async def take(self, written: str) -> Reserved:
        """The same of what a voucher brings to whoever is shown: its code as it was typed, or all that was scanned."""
        serving = self._desk.serving()
        if serving is None:
            raise SaleRefusedError("no_member", "Nobody is shown: scan the member's card first, then the voucher.")
        shown = VoucherShown(turn=serving.id, voucher=self._parse(written).text)
        return await granted(self._centre, self._guesses, lambda asked: self._reserve(shown, None, asked=asked))

    async def _reserve(self, wanted: RewardWanted | VoucherShown, key: str | None, *, asked: Asked) -> Reserved:
        now, call = self._now(), call_of(key)
        shown = self._serving(wanted.turn)
        reserved: list[KeptRedemption] = []
        work = functools.partial(self._reserved, shown=shown, wanted=wanted, now=now, reserved=reserved, asked=asked)
        call_made = msgspec.json.encode(wanted)
        told = await self._store.write(
            lambda writing: once(writing, source=PAGE, call=call, asked=call_made, answer=Reserved, work=work)
        )
        if not self._store.is_witnessed():
            # A copy of this register could not be told from it: nobody gets anything on that word.
            why = self._store.unsure_because()
            for one in reserved:
                await self._store.write(functools.partial(_take_back, one=one, call=call))
            raise StoreUnavailableError(why)
        self._desk.publish()
        return told

    def _reserved(
        self,
        writing: Writing,
        *,
        shown: MemberScan,
        wanted: RewardWanted | VoucherShown,
        now: Instant,
        reserved: list[KeptRedemption],
        asked: Asked,
    ) -> Reserved:
        """`reserved` is told what is kept of it."""
        reference = scanned_now(writing, now)
        owner = owner_of(writing, reference, now.wall)
        if reference is None or owner is None or reference.code != shown.code:
            raise SaleRefusedError("no_member", "Nobody is known here whose points these are: scan the member's card.")
        check_spends(reference, writing.code_key())
        named = self._rules.in_force(writing, now.wall)
        if named is None:
            raise SaleRefusedError("no_program", "No program holds here now.")
        name, program = named
        member, every = owner.member, {one.id: one for one in program.rewards}
        which, brought = _meant(writing, program, owner, wanted, now=now.wall, asked=asked)
        own = {which: 1} if brought is not None else {}
        meant = affordable(program, member, now.wall, own, reach=self._phone.reach(member))
        before = reserved_on_page(writing, member.member)
        times = wanted.times if isinstance(wanted, RewardWanted) else 1
        reward = _chosen({one.id: one for one in meant}, which, times, before, every)
        points = times * reward.points
        draws = brought.draws if brought is not None else drawn(owner, reward, points, asked=asked)
        sale = before[0].sale if before else _opened(writing, reference, now)
        one = KeptRedemption(
            id=writing.new_id("r-"),
            sale=sale,
            member=member.member,
            reward=reward.id,
            times=times,
            points=points,
            discount_minor=times * (reward.discount_minor or 0),
            draws=draws,
            program=name,
            at=now.wall,
            entered=reference.entry,
            voucher=brought.voucher if brought is not None else None,
            reserved=now,
        )
        writing.reserve(one)
        reserved[:] = [one]
        return Reserved(
            reward=reward.id,
            times=times,
            points=points,
            discount_minor=one.discount_minor or None,
            currency=program.currency,
        )

    async def release(self, given: ForTurn) -> None:
        """What the page reserved for whoever is shown can be spent again. Raises SaleRefusedError and StoreError."""
        now = self._now()
        self._serving(given.turn)

        def work(writing: Writing) -> None:
            owner = owner_of(writing, scanned_now(writing, now), now.wall)
            if owner is not None:
                _let_go(writing, owner.member.member)

        await self._store.write(work)
        self._desk.publish()

    # Late members

    async def attach(self, receipt: str, given: ForTurn, key: str | None) -> Attached:
        """Gives a receipt of the last hour to whoever is shown; what the page reserved for the next one is released.

        Raises SaleRefusedError and StoreError.
        """
        now, call, asked = self._now(), call_of(key), msgspec.json.encode((receipt, given))
        if (first := answered(self._store, source=PAGE, call=call, asked=asked, answer=Attached)) is not None:
            return first
        shown = self._serving(given.turn)
        reference = MemberReference(code=shown.code, kind=shown.kind, entry=shown.entry)
        if all(one.receipt != receipt for one in recent_receipts(self._store, now)):
            raise SaleRefusedError("too_old", "This is none of the last receipts without a member.")

        settled: list[Settlement] = []

        def work(writing: Writing) -> Attached:
            settled[:] = [attach(writing, receipt, reference, now, rules=self._rules)]
            owner = owner_of(writing, scanned_now(writing, now), now.wall)
            released = owner is not None and _let_go(writing, owner.member.member)
            _use_up(writing, now)
            return Attached(receipt=receipt, points=settled[0].points, released=released)

        told = await self._store.write(
            lambda writing: once(writing, source=PAGE, call=call, asked=asked, answer=Attached, work=work)
        )
        for one in settled:
            self._desk.settled(one)
        return told


def _not_shown() -> SaleRefusedError:
    return SaleRefusedError("not_shown", "Another customer is shown by now: look again.")


def _meant(
    writing: Writing,
    program: Program,
    owner: Owner,
    wanted: RewardWanted | VoucherShown,
    *,
    now: datetime,
    asked: Asked,
) -> tuple[str, Brought | None]:
    """The id of the reward that is wanted, and what brings it where that is a voucher."""
    if isinstance(wanted, VoucherShown):
        brought = brought_by(writing, program, owner.member, owner.standing, wanted.voucher, now=now, asked=asked)
        return brought.reward.id, brought
    if any(one.id == wanted.reward and one.is_leased for one in program.rewards):
        return wanted.reward, own(writing, program, owner.member, owner.standing, wanted.reward, now=now, asked=asked)
    return wanted.reward, None


def _chosen(
    meant: dict[str, Reward], wanted: str, times: int, before: Sequence[KeptRedemption], every: dict[str, Reward]
) -> Reward:
    reward = meant.get(wanted)
    if reward is None:
        raise SaleRefusedError("not_for_basket", "The member cannot have this reward now.")
    if times > left_on_receipt(reward, before):
        raise SaleRefusedError("not_for_basket", "One receipt cannot have it so often beside what is reserved.")
    if times > 1 and not reward.points:
        raise SaleRefusedError("not_for_basket", "A voucher or a full card brings it once.")
    for other in before:
        group = every[other.reward].stack_group if other.reward in every else UNSET
        if group is not UNSET and group == reward.stack_group and other.reward != wanted:
            raise SaleRefusedError("not_for_basket", "It does not come together with the one that is reserved.")
    return reward


def _opened(writing: Writing, reference: MemberReference, now: Instant) -> str:
    make_room(writing)
    sale = writing.new_id("s-")
    writing.open_sale(sale, now, by_page=True)
    writing.set_sale_member(sale, reference)
    return sale


def _take_back(writing: Writing, *, one: KeptRedemption, call: str | None) -> None:
    take_back(writing, one=one, source=PAGE, call=call)
    if not any(each.state == "reserved" for each in writing.redemptions_of(one.sale)):
        writing.end_sale(one.sale, "ended")


def _let_go(writing: Writing, member: str) -> bool:
    """Whether there was something reserved on the page."""
    reserved = reserved_on_page(writing, member)
    for one in reserved:
        writing.release(one)
        writing.end_sale(one.sale, "ended")
    return bool(reserved)


def _use_up(writing: Writing, now: Instant) -> None:
    """No later receipt is for who was scanned until now."""
    _, effects = step(checkout_of(writing, now.boot), MemberRemoved(at=now))
    for effect in effects:
        if isinstance(effect, UseUp):
            for scan in effect.ids:
                writing.consume_scan(scan)
