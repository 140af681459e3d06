"""Sales that a POS prices and closes here, and the rewards that are reserved for them.

Owns the life of a sale: opened, told its basket and member, closed once or ended. Everything is durable before it is
answered, and a call that is repeated under its Idempotency-Key gets the first answer. Never knows HTTP, and waits for
the centre only where a cashier wants more than is safe here, for as long as `sync.client` says.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from agent import closing
from agent.booking import ClosedSale, Rules
from agent.calls import call_of, once
from agent.card_numbers import masked_receipt
from agent.inspection import NotFoundError
from agent.posted import BusyError
from agent.pricing import Look, fitted, look_at, report, reserve
from agent.problem import MalformedBodyError
from agent.sale_shapes import (
    MAX_REDEMPTIONS,
    BasketGiven,
    MemberGiven,
    RedemptionGiven,
    Refused,
    SaleRefusedError,
    SaleReport,
)
from agent.shown_vouchers import NotGrantedError
from agent.untold import Untold
from drivers.clock import Clock
from drivers.receipts.given import GivenReceipt
from drivers.scanning.scan import Parse
from loyalty.allowances import Asked
from loyalty.identification import IdentificationRule, is_member_code, normal_code
from loyalty.instant import Instant
from loyalty.pan import first_pan
from loyalty.receipt import MemberReference, Receipt
from sync.guesses import Guesses
from sync.store.errors import StoreUnavailableError
from sync.store.rows import KeptRedemption, KeptSale
from sync.store.spending_rows import MAX_OPEN_SALES, OPENING_CALLS, SALE_CALLS
from sync.store.store import Store
from sync.store.writing import Writing
from sync.wire import NothingGranted, Wanted

if TYPE_CHECKING:
    from agent.bookkeeping import Kept
    from agent.webhook import Webhook

# Nobody comes back to a sale that was not touched for longer: a parked cart of the same day may wait.
FORGOTTEN_AFTER: Final = timedelta(hours=12)
# How often it is looked whether there are such.
SWEEP_EVERY_S: Final = 60.0
_CLOSING: Final = "closing/"
_NOT_HERE: Final = "there is no sale {!r} here, or no more; one is opened by POST /v1/sales"
# Why the centre grants nothing, as the page says it. Of vouchers only one that was issued is refused so.
_SAID: Final[Mapping[str, Refused]] = {
    "elsewhere": "elsewhere",
    "used": "voucher_used",
    "expired": "voucher_over",
    "revoked": "voucher_over",
    "foreign": "voucher_anothers",
}

T = TypeVar("T")
Work = Callable[[Writing], SaleReport]


class Centre(Protocol):
    """What a sale needs of the exchange with the centre."""

    @property
    def is_online(self) -> bool: ...

    async def lookup(self, code: str) -> object:
        """Whoever the centre knows by the code is in the store then."""

    async def want(self, wanted: Wanted) -> NothingGranted | None:
        """What it grants is in the store then; why it grants nothing."""


class Sales:
    """The sales of one register."""

    def __init__(
        self,
        store: Store,
        rules: Rules,
        centre: Centre,
        *,
        parse: Parse,
        identification: Callable[[], tuple[IdentificationRule, ...]],
        now: Clock,
        sleep: Callable[[float], Awaitable[None]],
        guesses: Guesses,
        webhook: Webhook | None = None,
    ) -> None:
        """`webhook` is the source that books what closes a sale; `parse` reads what a scanner sent."""
        self._store = store
        self._rules = rules
        self._centre = centre
        self._parse = parse
        self._identification = identification
        self._now = now
        self._sleep = sleep
        self._guesses = guesses
        self._untold = Untold(store, guesses, centre)
        self._webhook = webhook

    async def run(self, ready: Callable[[], None]) -> None:
        """Ends sales that nobody came back to, until cancelled. Raises StoreError."""
        ready()
        while True:
            if self._store.open_sales():
                await self._store.write(self._end_forgotten)
            await self._sleep(SWEEP_EVERY_S)

    # What is asked. All raise NotFoundError, MalformedBodyError, SaleRefusedError, BusyError and StoreError; nothing is
    # kept then.

    async def open(self, given: BasketGiven, key: str | None, *, by_page: bool) -> SaleReport:
        now = self._now()
        basket = self._basket(given.basket, now) if given.basket else None

        def work(writing: Writing) -> SaleReport:
            self._end_forgotten(writing)
            make_room(writing)
            sale = writing.new_id("s-")
            writing.open_sale(sale, now, by_page=by_page, call=call_of(key))
            if basket is not None:
                writing.keep_basket(sale, replace(basket, key=sale), now)
            return self._report(writing, sale, now)

        return await self._once(OPENING_CALLS, key, given, work)

    async def price(self, sale: str, given: BasketGiven, key: str | None) -> SaleReport:
        now = self._now()
        if not given.basket:
            raise MalformedBodyError("Give the basket so far.")
        basket = replace(self._basket(given.basket, now), key=sale)
        self._untold.look_again(sale)

        def work(writing: Writing) -> SaleReport:
            _open(writing, sale)
            writing.keep_basket(sale, basket, now)
            return self._report(writing, sale, now)

        return await self._once(_calls(sale), key, given, work)

    def look(self, sale: str) -> Awaitable[SaleReport]:
        now = self._now()
        self._untold.look_again(sale)

        def work(writing: Writing) -> SaleReport:
            _known(writing, sale)
            return self._report(writing, sale, now)

        return self._store.write(work)

    async def attach(self, sale: str, given: MemberGiven, key: str | None) -> SaleReport:
        """Whom this register does not know is asked of the centre, within the time that a lookup has.

        A sale waits for nobody who tries codes: after too many that nobody has, one is kept, and nothing told of it.
        """
        reference, now = self._reference(given), self._now()
        told = await self._untold.tries(sale, reference)

        def work(writing: Writing) -> SaleReport:
            _open(writing, sale)
            hidden = replace(reference, code=writing.hidden(reference.kind, reference.code))
            self._change_member(writing, sale, hidden)
            self._untold.given(sale, hidden.code, told=told)
            return self._report(writing, sale, now)

        return await self._once(_calls(sale), key, given, work)

    async def detach(self, sale: str, key: str | None) -> SaleReport:
        now = self._now()

        def work(writing: Writing) -> SaleReport:
            _open(writing, sale)
            self._change_member(writing, sale, None)
            self._untold.given(sale, None, told=True)
            return self._report(writing, sale, now)

        return await self._once(_calls(sale), key, MemberGiven(), work)

    async def redeem(self, sale: str, given: RedemptionGiven, key: str | None) -> SaleReport:
        """Reserves a reward; what is not safe here is asked of the centre first, for as long as that may take."""
        if bool(given.voucher) is bool(given.reward or given.points):
            raise MalformedBodyError("Give a `reward`, `points` or both, or a `voucher`.")
        if given.voucher:
            code = self._parse(given.voucher).text
            if not code:
                raise SaleRefusedError("no_voucher", "The voucher has no code: scan it again, or type it.")
            given = replace(given, voucher=code)
        self._untold.look_again(sale)
        return await granted(self._centre, self._guesses, lambda asked: self._reserve(sale, given, key, asked=asked))

    async def _reserve(self, sale: str, given: RedemptionGiven, key: str | None, *, asked: Asked) -> SaleReport:
        now = self._now()
        reserved: list[KeptRedemption] = []

        def work(writing: Writing) -> SaleReport:
            look = self._fitted(writing, _open(writing, sale), now)
            self._untold.check(sale)
            if len(writing.redemptions_of(sale)) >= MAX_REDEMPTIONS:
                raise SaleRefusedError("not_for_basket", f"A sale has {MAX_REDEMPTIONS} rewards at most.")
            # What could be had next is of the goods, and was told with them: it would be half of the work here.
            after = reserve(writing, look, given, now, asked=asked)
            reserved[:] = after.reserved[-1:]
            return report(writing, after, online=self._centre.is_online, with_could=False)

        told = await self._once(_calls(sale), key, given, work)
        if not self._store.is_witnessed():
            # A copy of this register could not be told from it: nobody gets anything on that word.
            why = self._store.unsure_because()
            for one in reserved:
                await self._store.write(functools.partial(take_back, one=one, source=_calls(sale), call=call_of(key)))
            raise StoreUnavailableError(why)
        return told

    async def release(self, sale: str, redemption: str, key: str | None) -> SaleReport:
        now = self._now()

        def work(writing: Writing) -> SaleReport:
            _open(writing, sale)
            one = next((one for one in writing.redemptions_of(sale) if one.id == redemption), None)
            if one is None:
                raise NotFoundError("this sale has no such redemption")
            if one.state == "reserved":
                writing.release(one)
            return self._report(writing, sale, now)

        return await self._once(_calls(sale), key, _About(redemption=redemption), work)

    async def void(self, sale: str, key: str | None) -> SaleReport:
        """Ends a sale without a receipt: what was reserved for it can be used again."""
        now = self._now()

        def work(writing: Writing) -> SaleReport:
            _open(writing, sale)
            _end(writing, sale)
            return self._report(writing, sale, now)

        return await self._once(_calls(sale), key, _About(voids=True), work)

    async def close(self, sale: str, document: bytes, key: str | None) -> SaleReport:
        """Books the receipt that ended the sale, and what was reserved for it counts from here on, in one transaction.

        A sale that is closed already, or was ended because nobody came back to it, takes its receipt all the same.
        """
        webhook, call, now = self._webhook, call_of(key), self._now()
        # Its answer is kept as long as its receipt: longer than the sale.
        source = _CLOSING + sale
        if webhook is None:
            raise NotFoundError("no source takes receipts: add a [[receipts]] with webhook = true to the settings")
        async with webhook.in_turn():
            prepared = await webhook.prepared(document)
            if len(prepared.receipts) != 1:
                raise MalformedBodyError(f"A sale is closed by one receipt, and here are {len(prepared.receipts)}.")
            [receipt] = prepared.receipts
            if receipt.kind == "return":
                raise MalformedBodyError("A sale is closed by its own receipt, and this is a return's.")
            answer: list[SaleReport] = []
            asked = prepared.masked

            def mark(writing: Writing, kept: Kept) -> None:
                def work(writing: Writing) -> SaleReport:
                    fate = kept.outcomes[0].fate if kept.outcomes else None
                    terms = functools.partial(self._rules.named, writing)
                    warned = closing.close(writing, _known(writing, sale), receipt, fate, terms)
                    report = self._report(writing, sale, now)
                    return replace(report, quarantined=kept.quarantined, warnings=warned)

                answer[:] = [once(writing, source=source, call=call, asked=asked, answer=SaleReport, work=work)]

            first = await self._answered(source, call, asked)
            if first is not None:
                return first
            known = self._store.sale(sale)
            if known is None:
                raise NotFoundError(f"{_NOT_HERE.format(sale[:64])}, and its receipt goes to POST /v1/receipts")
            await webhook.keep(replace(prepared, closes=ClosedSale(sale=sale, member=known.member)), mark)
            return answer[0]

    async def _answered(self, source: str, call: str | None, asked: bytes) -> SaleReport | None:
        """The answer to a call that was made before, so that its receipt is not even looked at."""
        if call is None or self._store.answered_call(source, call) is None:
            return None

        def work(_writing: Writing) -> SaleReport:
            raise NotFoundError("this sale is forgotten meanwhile")

        return await self._store.write(
            lambda writing: once(writing, source=source, call=call, asked=asked, answer=SaleReport, work=work)
        )

    # In the writer

    async def _once(self, source: str, key: str | None, given: Struct, work: Work) -> SaleReport:
        call, asked = call_of(key), msgspec.json.encode((type(given).__name__, given))
        return await self._store.write(
            lambda writing: once(writing, source=source, call=call, asked=asked, answer=SaleReport, work=work)
        )

    def _report(self, writing: Writing, sale: str, now: Instant) -> SaleReport:
        kept = _known(writing, sale)
        look = self._fitted(writing, kept, now) if kept.state == "open" else look_at(writing, kept, now, self._rules)
        if wait_s := self._untold.wait_s(sale):
            nobodys = report(writing, replace(look, owner=None), online=self._centre.is_online)
            return replace(nobodys, told_in_s=wait_s)
        return report(writing, look, online=self._centre.is_online)

    def _fitted(self, writing: Writing, sale: KeptSale, now: Instant) -> Look:
        return fitted(writing, look_at(writing, sale, now, self._rules), now)

    def _change_member(self, writing: Writing, sale: str, reference: MemberReference | None) -> None:
        """What was reserved of somebody else's points is theirs again."""
        member = writing.member_by_code(reference.code) if reference is not None else None
        for one in _reserved(writing, sale):
            if member is None or one.member != member.member:
                writing.release(one)
        writing.set_sale_member(sale, reference)

    def _end_forgotten(self, writing: Writing) -> None:
        now = self._now()
        for sale in writing.open_sales():
            # Of before a restart with a clock that went back the age is unknown: it waits on.
            if timedelta(microseconds=now.ns_since(sale.touched) // 1000) > FORGOTTEN_AFTER:
                _end(writing, sale.id)

    # What was given

    def _basket(self, given: GivenReceipt, now: Instant) -> Receipt:
        """The basket as a receipt that were printed now, free of card numbers."""
        if given.kind == "return":
            raise MalformedBodyError("A basket is of a `sale` or an `exchange`; a return is given back by its receipt.")
        facts = {name: getattr(given, name) for name in Receipt.__struct_fields__}
        basket = replace(Receipt(**facts), status="final", member=UNSET, also=(), problems=())
        if basket.issued_at is UNSET and basket.business_day is UNSET:
            basket = replace(basket, issued_at=now.wall)
        return masked_receipt(basket, self._identification())

    def _reference(self, given: MemberGiven) -> MemberReference:
        if given.scan:
            member = self._parse(given.scan).member
            if member is None:
                raise MalformedBodyError("This scan is no member's.")
            return MemberReference(code=member.code, kind=member.kind, entry=member.entry)
        if not given.code or not normal_code(given.code):
            raise MalformedBodyError("Give a `code` or a `scan`.")
        code = given.code if given.kind in ("phone", "email") else normal_code(given.code)
        if given.kind not in ("phone", "email") and not is_member_code(code, given.kind):
            raise MalformedBodyError("The code has characters that no card's number has, or more than 64 of them.")
        if given.kind not in ("phone", "email") and first_pan(given.code) is not None:
            raise MalformedBodyError("This is a payment card's number, and those are kept nowhere.")
        return MemberReference(code=code, kind=given.kind, entry=given.entry)


async def granted(centre: Centre, guesses: Guesses, reserve: Callable[[Asked], Awaitable[T]]) -> T:
    """What is reserved; where it is not safe here the centre is asked for it once, and it is tried again.

    `reserve` is told whether the centre was asked, and granted it: what goes by the balance goes so only where no
    centre answers.

    A voucher's code that nobody issued counts as a guess: who tries codes is slowed down, and who has points, or a
    voucher that lies at another register, is not. Raises SaleRefusedError.
    """
    is_online = centre.is_online
    try:
        return await reserve("not_yet" if is_online else "unanswered")
    except NotGrantedError as lacking:
        if not is_online or lacking.reason == "register_unsure":
            raise
        is_voucher = lacking.wanted.voucher is not UNSET
        if is_voucher and (wait_s := guesses.wait_s()):
            why = f"Too many codes that nobody has: try again in {wait_s} s. Scans and sales go on."
            raise SaleRefusedError("no_voucher", why) from lacking
        if is_voucher:
            guesses.missed()  # others may ask meanwhile
        refused = await centre.want(lacking.wanted)
        if is_voucher and (refused is None or not refused.detail or refused.reason in _SAID):
            guesses.found()
        try:
            return await reserve(_asked(refused))
        except NotGrantedError as still:
            raise _not_granted(still, refused) from still


def _asked(refused: NothingGranted | None) -> Asked:
    if refused is None:
        return "granted"
    return "refused" if refused.detail else "unanswered"


def _not_granted(still: NotGrantedError, refused: NothingGranted | None) -> SaleRefusedError:
    """What the centre said, in the words that there are for it; what this register says where that said nothing."""
    if refused is None or not refused.detail:
        return still
    lacking: Refused = still.reason if still.wanted.voucher is UNSET else "no_voucher"
    return SaleRefusedError(_SAID.get(refused.reason, lacking), refused.detail)


class _About(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a call without a body is about, to be remembered by."""

    redemption: str = ""
    voids: bool = False


def _calls(sale: str) -> str:
    return SALE_CALLS + sale


def _no_such(sale: str) -> NotFoundError:
    return NotFoundError(_NOT_HERE.format(sale[:64]))


def _known(writing: Writing, sale: str) -> KeptSale:
    kept = writing.sale(sale)
    if kept is None:
        raise _no_such(sale)
    return kept


def _open(writing: Writing, sale: str) -> KeptSale:
    kept = _known(writing, sale)
    if kept.state != "open":
        raise SaleRefusedError("closed", f"This sale was {kept.state} already: open another by POST /v1/sales.")
    return kept


def _reserved(writing: Writing, sale: str) -> list[KeptRedemption]:
    return [one for one in writing.redemptions_of(sale) if one.state == "reserved"]


def take_back(writing: Writing, *, one: KeptRedemption, source: str, call: str | None) -> None:
    """What was reserved is not promised: the same call is another one from here on."""
    if one.id in {each.id for each in _reserved(writing, one.sale)}:
        writing.release(one)
    if call is not None:
        writing.forget_answered_call(source, call)


def _end(writing: Writing, sale: str) -> None:
    for one in _reserved(writing, sale):
        writing.release(one, "lapsed")
    writing.end_sale(sale, "ended")


def make_room(writing: Writing) -> None:
    """A POS that asks for prices and never closes makes no end of sales: those with nothing reserved go first.

    Raises BusyError.
    """
    every = writing.open_sales()
    holding = {one.sale for one in writing.reserved_redemptions()}
    idle = [sale for sale in every if sale.id not in holding]
    if len(every) < MAX_OPEN_SALES:
        return
    if not idle:
        raise BusyError(f"{MAX_OPEN_SALES} sales with rewards are open: close or void them, then open another.")
    writing.end_sale(idle[0].id, "ended")
