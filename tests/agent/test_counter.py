"""What the cashier does at the page: into a real store, for whoever is shown."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import pytest
from msgspec import UNSET
from msgspec.structs import replace

from agent.attaching import claiming
from agent.booking import book
from agent.checkout import Checkout
from agent.counter import INVITES_AT_ONCE, Counter
from agent.counter_shapes import MAX_SCAN_CHARS, CodeTyped, ForTurn, JoinHere, RewardWanted, ScansGiven, Shown
from agent.customer_screen import CustomerScreen
from agent.desk import Desk
from agent.inspection import NotFoundError
from agent.invitations import Invitations
from agent.joining import Joining
from agent.pace import TooOftenError
from agent.phone_points import GrantScans, PhonePoints
from agent.problem import MalformedBodyError
from agent.profiles import GivenConsent, Profiles
from agent.promises import Promises
from agent.recent import MAX_RECENT, recent_receipts
from agent.sale_shapes import BasketGiven, MemberGiven, RedemptionGiven, SaleRefusedError
from agent.sales import Sales
from agent.scans import ScanIntake
from agent.view import CustomerView, PageState, PlaceView
from agent.voucher_scans import VoucherScans
from drivers.receipts.given import GivenReceipt
from drivers.scanning.scan import parse_scan
from loyalty.addresses import address_code
from loyalty.identification import IdentificationRule
from loyalty.instant import Instant
from loyalty.join_codes import store_of
from loyalty.member import Balance, Counters, Identifier
from loyalty.program import Program, program_from_json
from loyalty.receipt import Discount, Line, MemberReference, Receipt
from loyalty.voucher_codes import made_code
from loyalty.wallet_codes import made_wallet_code
from sync.guesses import MAX_MISSES, REGAINED_EVERY_S, Guesses
from sync.loop import LookedUp
from sync.records import MAX_DRAWS, AttachBody, RedeemBody
from sync.store.errors import StoreUnavailableError
from sync.store.reading import CODE_KEY, JOIN_URL, MAX_LISTED
from sync.store.spending_rows import MAX_OPEN_SALES
from sync.store.witness import witness_of
from sync.store.writing import Writing
from sync.wire import UNANSWERED, NothingGranted
from tests.agent.shop import ANA, BOOT, BORA, Shop, Tie, at, never
from tests.agent.test_sales import EPOCH, KEY, Centre, grant
from tests.sync.store.spending import open_epoch

PROGRAM = program_from_json(
    b'{"program":"test","currency":"RSD","time_zone":"Europe/Belgrade","tiers":[{"id":"silver"},{"id":"gold"}],'
    b'"earn":[{"id":"base","give":{"points":1,"per_minor":1000}}],"rewards":['
    b'{"id":"five","title":"5 off","cost":500,"discount_minor":5000,"offline":"allowance","max_per_receipt":2,'
    b'"stack_group":"a","min_basket_minor":20000},'
    b'{"id":"nine","cost":700,"discount_minor":9000,"offline":"refuse","stack_group":"a"},'
    b'{"id":"loaf","cost":1500,"piece_minor":0,"offline":"floor","floor_points":500},'
    b'{"id":"pale","cost":100,"discount_minor":500,"offline":"allowance","when":{"tier_in":["silver"]}},'
    b'{"id":"tenth","cost":200,"discount_percent":10,"offline":"allowance"},'
    b'{"id":"cup","cost":100,"piece_minor":0,"offline":"allowance"}]}'
)
VOUCHER = made_code((9).to_bytes)
RICH = replace(ANA, balance=Balance(confirmed=2000, spendable=2000))
GONE = replace(BORA, member="m-gone", identifiers=(Identifier(kind="card", code="TS1003", card="c", state="blocked"),))
CALLED = replace(RICH, member="m-phone", identifiers=(Identifier(kind="phone", code="+381641234567"),))
CARDS = IdentificationRule(name="cards", kind="card", prefixes=("TS", "2900"))


class Till:
    """A counter over a shop's store, with a clock that the test moves."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.seconds = 30.0
        self.looked_up: list[str] = []
        self.centre = Centre(shop)
        self._number = 0
        self.tie = Tie()
        self.phone = PhonePoints(shop.store, self.tie)
        promises = Promises(shop.store, lambda: self.now().wall, self.phone.reach)
        self.invitations = Invitations(shop.store, lambda: "12")
        self.desk = Desk(
            language="en",
            place=PlaceView(store="12", register="3"),
            clock=self.now,
            find_member=shop.store.member_by_code,
            checkout=Checkout(boot=BOOT),
            schedule=never,
            promise=promises.of,
            recent=lambda: recent_receipts(shop.store, self.now()),
            invites=lambda: self.invitations.are_offered,
            invitation=self.invitations.view,
            phone=self.phone.view,
            asks=lambda scan: promises.has_by_allowance() and self.phone.asks_for(scan),
        )
        grants = GrantScans(self.phone, self.desk).take
        self.scans = ScanIntake(
            store=shop.store, desk=self.desk, lookup=self._lookup, guesses=lambda: True, grants=grants
        )
        guesses = Guesses(lambda: self.seconds)
        self.counter = Counter(
            shop.store,
            self.desk,
            self.scans,
            shop.rules,
            self.centre,
            parse=lambda raw: parse_scan(raw, (CARDS,)),
            now=self.now,
            monotonic_s=lambda: self.seconds,
            guesses=guesses,
            invitations=self.invitations,
            phone=self.phone,
            answered_within_s=0.5,
        )
        self.profiles = Profiles(shop.store, claiming(shop.rules, self.desk))
        self.joining = Joining(shop.store, self.desk, self.profiles, guesses)
        self.sales = Sales(
            shop.store,
            shop.rules,
            self.centre,
            parse=lambda raw: parse_scan(raw, (CARDS,)),
            identification=lambda: (CARDS,),
            now=self.now,
            sleep=asyncio.sleep,
            guesses=Guesses(lambda: self.seconds),
        )
        vouchers = VoucherScans(shop.store, self.desk, self.sales, self.counter, promises.program)
        self.scans.hand_vouchers_to(vouchers)

    async def _lookup(self, code: str) -> LookedUp:
        self.looked_up.append(code)
        return LookedUp()

    def now(self) -> Instant:
        return at(self.seconds)

    async def scan(self, *texts: str) -> str:
        self.seconds += 1
        heard = await self.counter.scan(ScansGiven(texts=texts))
        await self.scans.settled()
        return heard.heard

    async def sell(self, *, discount_minor: int = 0, total_minor: int = 26828) -> str:
        """A printed receipt, a second later; its key."""
        self.seconds += 1
        self._number += 1
        receipt = Receipt(
            key=f"k-{self._number}",
            kind="sale",
            number=str(self._number),
            currency="RSD",
            total_minor=total_minor,
            issued_at=self.now().wall,
            lines=(Line(position=1, amount_minor=total_minor + discount_minor),),
            discounts=(Discount(description="popust", amount_minor=discount_minor),) if discount_minor else (),
        )
        captured = self.now()
        booked = await self.shop.store.write(
            partial(book, receipt=receipt, captured=captured, boot=BOOT, rules=self.shop.rules)
        )
        assert booked.settlement is not None
        self.desk.settled(booked.settlement)
        return receipt.key

    @property
    def page(self) -> PageState:
        return msgspec.json.decode(self.desk.told, type=PageState)

    @property
    def customer(self) -> CustomerView:
        customer = self.page.customer
        assert customer is not None
        return customer

    @property
    def turn(self) -> int:
        turn = self.customer.turn
        assert turn is not None
        return turn

    @property
    def reserved(self) -> list[str]:
        """What was reserved on the page."""
        member = self.customer.member
        return [one.reward for one in member.reserved if not one.by_pos] if member is not None else []

    @property
    def offered(self) -> dict[str, int]:
        """How often each reward can be had now."""
        member = self.customer.member
        return {one.reward: one.times for one in member.rewards} if member is not None else {}

    async def reserve(self, reward: str, call: str | None = None, *, times: int = 1) -> None:
        await self.counter.reserve(RewardWanted(turn=self.turn, reward=reward, times=times), call)


@pytest.fixture
async def till(shop: Shop) -> Till:
    await shop.seed((RICH, BORA, GONE, CALLED), PROGRAM)
    await shop.store.write(lambda writing: open_epoch(writing, EPOCH))
    await grant(shop, 1000)
    return Till(shop)


def refusal(error: pytest.ExceptionInfo[SaleRefusedError]) -> str:
    return error.value.reason


# ---- who is served


async def test_a_keyboard_scanner_is_read_by_the_layout_that_names_somebody(till: Till) -> None:
    # a scanner set to a US keyboard, on a French one
    assert await till.scan("TS&àà&", "TS1001") == "member"
    assert till.customer.ending == "1001"

    assert await till.scan("4006381333931") == "goods"
    assert await till.scan("what is this?") == "nothing"
    assert till.customer.ending == "1001"


async def test_codes_that_are_tried_as_a_keyboard_scanners_are_told_nothing_of(till: Till) -> None:
    # given as many that nobody has as may be tried, in whichever layout
    for number in range(MAX_MISSES // 2):
        await till.counter.scan(ScansGiven(texts=(f"TS9{number:03}", f"TS8{number:03}")))

    # when a member's code comes, it is not shown
    with pytest.raises(TooOftenError) as error:
        await till.counter.scan(ScansGiven(texts=("TS1001",)))
    assert error.value.wait_s == REGAINED_EVERY_S
    assert till.customer.member is None
    # and goods, and whoever is shown already, are heard as before
    shown = f"TS9{MAX_MISSES // 2 - 1:03}"
    assert (await till.counter.scan(ScansGiven(texts=(shown,)))).heard == "member"
    assert (await till.counter.scan(ScansGiven(texts=("3856015400017",)))).heard == "goods"
    # a typed number has a count of its own
    await till.counter.find(CodeTyped(typed="TS1001"))
    assert till.customer.member is not None


async def test_a_scanner_at_the_page_that_finds_members_is_never_slowed(till: Till) -> None:
    for _ in range(MAX_MISSES):
        for code in ("TS1001", "TS1002"):
            till.seconds += 1
            assert await till.scan(code) == "member"


async def test_nobody_is_the_customer_once_they_are_removed(till: Till) -> None:
    await till.scan("TS1002")
    await till.scan("TS1001")
    await till.reserve("five")

    till.seconds += 1
    await till.counter.remove(Shown(turn=till.customer.turn))

    assert till.page.customer is None
    key = await till.sell()
    known = till.shop.store.known_receipt((key,))
    assert known is not None
    assert known.member is None
    assert till.shop.store.reserved_redemptions() == ()
    # who is scanned again is served again, with all their points
    await till.scan("TS1001")
    assert till.customer.member is not None
    assert till.customer.member.spendable == 2000


async def test_the_customer_of_a_sale_that_is_over_is_removed_from_sight(till: Till) -> None:
    await till.scan("TS1001")
    await till.sell()
    assert till.customer.member is not None

    till.seconds += 1
    await till.counter.remove(Shown(turn=till.customer.turn))

    assert till.page.customer is None


async def test_a_typed_number_finds_a_member_and_cannot_spend(till: Till) -> None:
    await till.counter.find(CodeTyped(typed="ts 1001"))
    assert till.customer.ending == "1001"
    till.seconds += 1
    await till.counter.find(CodeTyped(typed="+381 64 123 4567"))
    assert till.customer.member is not None

    with pytest.raises(SaleRefusedError) as error:
        await till.reserve("five")
    assert refusal(error) == "needs_card"


@pytest.mark.parametrize("spends", [True, False])
async def test_the_code_that_somebody_left_the_join_page_with_spends_where_they_were_new(
    till: Till, spends: bool
) -> None:
    code = made_wallet_code(secrets.token_bytes, KEY, spends=spends)
    iva = replace(RICH, member="m-iva", identifiers=(Identifier(kind="wallet", code=code),))
    await till.shop.seed((iva,), PROGRAM)
    await grant(till.shop, 500, member="m-iva", number=2)
    await till.shop.store.write(lambda writing: writing.set_meta(CODE_KEY, KEY))
    await till.scan(code)
    assert till.customer.member is not None

    if spends:
        await till.reserve("five")
        return
    with pytest.raises(SaleRefusedError) as error:
        await till.reserve("five")
    assert refusal(error) == "needs_card"


async def test_a_number_that_nobody_has_shows_nobody_and_guessing_is_slowed(till: Till) -> None:
    with pytest.raises(NotFoundError):
        await till.counter.find(CodeTyped(typed="TS9999"))
    assert till.centre.looked_up == ["TS9999"]
    with pytest.raises(MalformedBodyError):
        await till.counter.find(CodeTyped(typed="4111 1111 1111 1111"))

    for _ in range(MAX_MISSES - 1):
        with pytest.raises(NotFoundError):
            await till.counter.find(CodeTyped(typed="TS9999"))
    with pytest.raises(TooOftenError):
        await till.counter.find(CodeTyped(typed="TS1001"))
    assert till.page.customer is None

    till.seconds += 60
    await till.counter.find(CodeTyped(typed="TS1001"))
    assert till.customer.ending == "1001"


async def test_a_telephone_number_is_never_told_in_the_address_that_the_centre_is_asked_by(till: Till) -> None:
    with pytest.raises(NotFoundError):
        await till.counter.find(CodeTyped(typed="064 123-4567"))
    assert till.centre.looked_up == []

    # and one that is known here is a telephone number's, not a card's
    hidden = address_code("phone", "0649999999", KEY)
    assert hidden is not None
    mila = replace(RICH, member="m-mila", identifiers=(Identifier(kind="phone", code=hidden),))
    await till.shop.seed((mila,), PROGRAM)
    await till.shop.store.write(lambda writing: writing.set_meta(CODE_KEY, KEY))
    await till.counter.find(CodeTyped(typed="064/9999-999"))
    with pytest.raises(SaleRefusedError) as error:
        await till.reserve("five")
    assert (refusal(error), till.centre.looked_up) == ("needs_card", [])


async def test_a_number_that_a_rule_says_is_a_cards_is_asked_about(till: Till) -> None:
    with pytest.raises(NotFoundError):
        await till.counter.find(CodeTyped(typed="2900 0012"))

    assert till.centre.looked_up == ["29000012"]


async def test_a_lookup_that_takes_longer_than_the_page_waits_is_not_waited_for(till: Till) -> None:
    async def silent(_code: str) -> object:
        return await asyncio.Event().wait()

    till.centre.answers = silent
    with pytest.raises(NotFoundError):
        await till.counter.find(CodeTyped(typed="TS-424242"))
    assert till.centre.looked_up == ["TS424242"]


async def test_numbers_that_are_asked_at_once_count_at_once(till: Till) -> None:
    asked = (till.counter.find(CodeTyped(typed=f"TS9{number}")) for number in range(2 * MAX_MISSES))

    answers = await asyncio.gather(*asked, return_exceptions=True)

    assert [type(each) for each in answers] == [NotFoundError] * MAX_MISSES + [TooOftenError] * MAX_MISSES
    assert len(till.centre.looked_up) == MAX_MISSES


async def test_who_finds_members_is_never_slowed(till: Till) -> None:
    for _ in range(2 * MAX_MISSES):
        await till.counter.find(CodeTyped(typed="TS1001"))


async def test_a_new_card_joins_and_is_usable_at_once(till: Till) -> None:
    await till.scan("TS777123")
    assert till.customer.standing == "unknown"

    await till.joining.join(JoinHere(turn=till.turn, short_name="Iva K."), "call-1")
    till.desk.publish()

    assert till.customer.member is not None
    assert till.customer.member.name == "Iva K."
    with pytest.raises(SaleRefusedError) as error:
        await till.joining.join(JoinHere(turn=till.turn, short_name="Iva K."), "call-2")
    assert refusal(error) == "has_member"


async def test_a_new_card_joins_by_e_mail_and_gets_nobodys_points_by_it(till: Till) -> None:
    await till.shop.store.write(lambda writing: writing.set_meta(CODE_KEY, "5a" * 32))
    agreed = GivenConsent(channel="email", state="granted", text_version="2026-12-en")
    await till.scan("TS777123")
    iva = JoinHere(turn=till.turn, short_name="Iva K.", email="iva@example.com", consents=(agreed,))
    await till.joining.join(iva, "call-1")
    till.desk.publish()
    assert till.customer.member is not None
    assert till.customer.member.consents == {"email": True}

    await till.scan("TS777124")
    with pytest.raises(SaleRefusedError) as error:
        await till.joining.join(JoinHere(turn=till.turn, email="IVA@example.com"), "call-2")
    assert (refusal(error), error.value.name) == ("phone_known", "Iva K.")
    await till.joining.join(JoinHere(turn=till.turn, email="iva@example.com", known=True), "call-3")
    till.desk.publish()
    assert till.customer.member is not None
    assert till.customer.member.name == "Iva K."


async def test_a_new_card_gets_nobodys_points_by_their_telephone_number(till: Till) -> None:
    await till.shop.store.write(lambda writing: writing.set_meta(CODE_KEY, "5a" * 32))
    await till.scan("TS777123")
    await till.joining.join(JoinHere(turn=till.turn, short_name="Iva K.", phone="+381699876543"), "call-1")
    await till.scan("TS777124")

    with pytest.raises(SaleRefusedError) as error:
        await till.joining.join(JoinHere(turn=till.turn, short_name="Ivo", phone="+381 69 987-6543"), "call-2")

    assert (refusal(error), error.value.name) == ("phone_known", "Iva K.")
    assert till.shop.store.member_by_code("TS777124") is None

    # once the cashier has asked for the name, the card is one more of theirs, and nothing else is changed
    await till.joining.join(JoinHere(turn=till.turn, short_name="Ivo", phone="+381699876543", known=True), "call-3")
    iva = till.shop.store.member_by_code("TS777124")
    assert iva is not None
    assert (iva.short_name, iva) == ("Iva K.", till.shop.store.member_by_code("TS777123"))
    assert till.customer.member is not None


async def test_known_is_nothing_that_was_not_told_of_this_customer(till: Till) -> None:
    # given two members, and a card whose holder says one's number
    await till.shop.store.write(lambda writing: writing.set_meta(CODE_KEY, "5a" * 32))
    iva, ivo = "+381699876543", "+381699876544"
    await till.scan("TS777123")
    await till.joining.join(JoinHere(turn=till.turn, short_name="Iva K.", phone=iva), "call-1")
    await till.scan("TS777124")
    await till.joining.join(JoinHere(turn=till.turn, short_name="Ivo", phone=ivo, email="ivo@example.com"), "call-2")
    await till.scan("TS777125")

    async def refused(**given: object) -> tuple[str, object]:
        with pytest.raises(SaleRefusedError) as error:
            await till.joining.join(msgspec.convert({"turn": till.turn, **given}, JoinHere), None)
        return refusal(error), error.value.name

    # when it is called known that nobody told is, it is told as ever
    assert await refused(phone=iva, known=True) == ("phone_known", "Iva K.")
    # nor is it of another number, another address beside it, or another customer
    assert await refused(phone=ivo, known=True) == ("phone_known", "Ivo")
    assert await refused(phone=iva, known=True) == ("phone_known", "Iva K.")
    assert await refused(phone=iva, email="new@example.com", known=True) == ("phone_known", "Iva K.")
    await till.scan("TS777126")
    assert await refused(phone=iva, email="new@example.com", known=True) == ("phone_known", "Iva K.")
    # and what is two members' is neither's
    assert await refused(phone=iva, email="ivo@example.com") == ("two_members", UNSET)
    assert await refused(phone=iva, email="ivo@example.com", known=True) == ("two_members", UNSET)
    assert till.shop.store.member_by_code("TS777126") is None


async def test_who_is_known_by_an_address_keeps_their_telephone_number(till: Till) -> None:
    await till.shop.store.write(lambda writing: writing.set_meta(CODE_KEY, "5a" * 32))
    await till.scan("TS777123")
    iva = JoinHere(turn=till.turn, short_name="Iva K.", phone="+381699876543", email="iva@example.com")
    await till.joining.join(iva, "call-1")
    await till.scan("TS777124")
    again = JoinHere(turn=till.turn, phone="+381690000000", email="iva@example.com")
    with pytest.raises(SaleRefusedError):
        await till.joining.join(again, "call-2")

    told = await till.joining.join(replace(again, known=True), "call-3")

    assert told.entries == 1
    assert till.shop.store.member_by_code("+381690000000") is None
    assert [till.shop.store.member_by_code(code) for code in ("TS777124", "+381699876543")] == [
        till.shop.store.member_by_code("TS777123")
    ] * 2


async def test_telephone_numbers_that_are_tried_at_once_count_at_once(till: Till) -> None:
    await till.shop.store.write(lambda writing: writing.set_meta(CODE_KEY, "5a" * 32))
    await till.scan("TS777123")
    await till.joining.join(JoinHere(turn=till.turn, short_name="Iva K.", phone="+381699876543"), "call-1")
    await till.scan("TS777124")
    tried = JoinHere(turn=till.turn, phone="+381699876543")

    answers = await asyncio.gather(
        *(till.joining.join(tried, None) for _ in range(2 * MAX_MISSES)), return_exceptions=True
    )

    assert [type(each) for each in answers].count(SaleRefusedError) == MAX_MISSES


async def test_who_tries_telephone_numbers_of_members_at_a_new_card_is_slowed_down(till: Till) -> None:
    await till.shop.store.write(lambda writing: writing.set_meta(CODE_KEY, "5a" * 32))
    await till.scan("TS777123")
    await till.joining.join(JoinHere(turn=till.turn, short_name="Iva K.", phone="+381699876543"), "call-1")
    await till.scan("TS777124")
    for number in range(MAX_MISSES):
        with pytest.raises(SaleRefusedError):
            await till.joining.join(JoinHere(turn=till.turn, phone="+381699876543"), f"try-{number}")

    with pytest.raises(TooOftenError):
        await till.joining.join(JoinHere(turn=till.turn, phone="+381699876543"), "one-more")
    # who joins without a number is not
    await till.joining.join(JoinHere(turn=till.turn, short_name="Ivo"), "call-2")


async def test_a_fiscal_receipts_address_is_taken_as_a_scan_however_long(till: Till) -> None:
    address = "https://suf.purs.gov.rs/v/?vl=" + "A" * 500
    assert (await till.counter.scan(ScansGiven(texts=(address,)))).heard in ("goods", "nothing")
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode({"texts": ["A" * (MAX_SCAN_CHARS + 1)]}), type=ScansGiven)
    assert msgspec.json.decode(msgspec.json.encode({"texts": [address]}), type=ScansGiven).texts == (address,)


# ---- rewards


async def test_the_page_offers_what_the_member_may_have(till: Till) -> None:
    await till.scan("TS1001")

    member = till.customer.member
    assert member is not None
    shown = {one.reward: (one.discount_minor, one.min_basket_minor, one.safe) for one in member.rewards}
    # the silver one's is not theirs; what a percentage takes off, nobody knows without the goods
    assert shown == {
        "cup": (None, None, True),
        "five": (5000, 20000, True),
        "loaf": (None, None, True),  # by the balance, and not by what is set aside here
        "nine": (9000, None, False),  # whatever is set aside here
        "tenth": (None, None, True),
    }
    of_goods = {one.reward: (one.discount_percent, one.piece_minor) for one in member.rewards if not one.discount_minor}
    assert of_goods == {"cup": (None, 0), "loaf": (None, 0), "tenth": (10, None)}
    assert (member.currency, member.digits) == ("RSD", 2)
    assert member.nearest is None


COFFEES = (
    b'{"program":"test","currency":"RSD","time_zone":"Europe/Belgrade","earn":[],'
    b'"stamps":[{"id":"coffee","every":10,"when":{"line_tag_in":["coffee"]}}],"rewards":['
    b'{"id":"free","title":"A coffee","stamps":"coffee","piece_minor":0},'
    b'{"id":"five","cost":500,"discount_minor":5000}]}'
)


@pytest.mark.parametrize(
    ("program", "spendable", "stamps", "nearest"),
    [
        (PROGRAM, 60, 0, ("cup", None, "points_in", 40)),
        (COFFEES, 450, 8, ("five", None, "points_in", 50)),
        (COFFEES, 350, 8, ("free", "A coffee", "stamps", 2)),
        (COFFEES, 0, 0, ("five", None, "points_in", 500)),
        (b'{"program":"test","currency":"RSD","earn":[{"id":"base","give":{"points":1}}]}', 60, 0, None),
        (
            b'{"program":"test","currency":"RSD","tiers":[{"id":"silver"}],"earn":[],'
            b'"rewards":[{"id":"pale","cost":100,"discount_minor":500,"when":{"tier_in":["silver"]}}]}',
            60,
            0,
            None,
        ),
    ],
    ids=["the only one", "in points", "in stamps", "the first of equals", "no rewards", "none for them"],
)
async def test_who_can_have_no_reward_yet_is_told_what_is_missing_to_the_nearest(
    shop: Shop, program: Program | bytes, spendable: int, stamps: int, nearest: tuple[str, str | None, str, int] | None
) -> None:
    terms = program_from_json(program) if isinstance(program, bytes) else program
    balance = Balance(confirmed=spendable, spendable=spendable)
    poor = replace(ANA, tier="gold", balance=balance, counters=Counters(stamps={"coffee": stamps}))
    await shop.seed((poor,), terms)
    till = Till(shop)

    await till.scan("TS1001")

    member = till.customer.member
    assert member is not None
    assert member.rewards == ()
    found = member.nearest
    assert nearest == (found and (found.reward, found.title, found.measure, found.missing))


async def test_the_receipt_that_shows_the_discount_confirms_it(till: Till) -> None:
    await till.scan("TS1001")
    await till.reserve("five")
    assert till.reserved == ["five"]
    assert till.customer.member is not None
    assert till.customer.member.spendable == 1500

    await till.sell(discount_minor=5000)

    sale = till.page.sale
    assert sale is not None
    assert (sale.reward, till.reserved) == ("confirmed", [])
    assert [one.kind for one in till.shop.store.queue(limit=MAX_LISTED)] == ["receipt", "redeem"]


async def test_the_cashier_chooses_how_often_a_reward_is_had(till: Till) -> None:
    await till.scan("TS1001")
    assert till.offered == {"cup": 1, "five": 2, "loaf": 1, "nine": 2, "tenth": 1}

    # more than a receipt can have, and more than one of what nobody could tell apart
    for reward, times in (("five", 3), ("cup", 2)):
        with pytest.raises(SaleRefusedError) as error:
            await till.reserve(reward, times=times)
        assert refusal(error) == "not_for_basket"
    await till.reserve("five", times=2)

    assert till.customer.member is not None
    (reserved,) = till.customer.member.reserved
    assert (reserved.times, reserved.points, reserved.discount_minor) == (2, 1000, 10000)
    assert till.customer.member.spendable == 1000
    assert till.offered == {"cup": 1, "nine": 1, "tenth": 1}

    # and the receipt has to show all of it
    await till.sell(discount_minor=10000)
    assert till.page.sale is not None
    assert till.page.sale.reward == "confirmed"
    assert [one.kind for one in till.shop.store.queue(limit=MAX_LISTED)] == ["receipt", "redeem"]


async def test_a_receipt_that_shows_less_than_was_chosen_gives_none_of_it(till: Till) -> None:
    await till.scan("TS1001")
    await till.reserve("five", times=2)

    await till.sell(discount_minor=5000)

    assert till.page.sale is not None
    assert till.page.sale.reward == "released"
    assert till.customer.member is not None
    assert till.customer.member.spendable == 2000


async def test_a_full_card_is_told_as_one_and_brings_its_reward_once(shop: Shop) -> None:
    full = replace(ANA, balance=Balance(), counters=Counters(stamps={"coffee": 23}))
    await shop.seed((full,), program_from_json(COFFEES))
    till = Till(shop)

    await till.scan("TS1001")

    assert till.customer.member is not None
    (free,) = till.customer.member.rewards
    assert (free.reward, free.cost, free.stamps, free.times) == ("free", 0, 10, 1)


async def test_the_receipt_without_the_discount_releases_it(till: Till) -> None:
    await till.scan("TS1001")
    await till.reserve("five")

    await till.sell()

    sale = till.page.sale
    assert sale is not None
    assert (sale.reward, till.reserved) == ("released", [])
    assert till.customer.member is not None
    assert till.customer.member.spendable == 2000


@pytest.mark.parametrize(
    ("reward", "total_minor", "shown_minor", "outcome"),
    [
        ("tenth", 27000, 3000, "confirmed"),
        ("tenth", 27500, 2500, "released"),  # a tenth of what is paid is more
        ("cup", 20000, 5000, "released"),  # the one piece costs more
        ("cup", 0, 5000, "confirmed"),
    ],
)
async def test_a_reward_that_hangs_on_the_goods_is_judged_by_those_on_the_receipt(
    till: Till, reward: str, total_minor: int, shown_minor: int, outcome: str
) -> None:
    await till.scan("TS1001")
    await till.reserve("five")
    await till.reserve(reward)
    member = till.customer.member
    assert member is not None
    assert [(one.discount_minor, one.discount_percent, one.piece_minor) for one in member.reserved] == [
        (5000, None, None),
        (None, 10, None) if reward == "tenth" else (None, None, 0),
    ]

    await till.sell(total_minor=total_minor, discount_minor=5000 + shown_minor)

    sale = till.page.sale
    assert sale is not None
    assert (sale.reward, till.reserved) == (outcome, [])
    told = [entry for entry in till.shop.store.queue(limit=MAX_LISTED) if entry.kind == "redeem"]
    taken_off = [
        msgspec.json.decode(till.shop.store.entry(entry.number).json, type=RedeemBody).discount_minor for entry in told
    ]
    assert taken_off == ([5000, shown_minor] if outcome == "confirmed" else [])


async def test_a_sale_that_was_given_up_keeps_a_reward_of_the_goods_that_its_receipt_shows(till: Till) -> None:
    await till.scan("TS1001")
    await till.reserve("tenth")
    await till.scan("TS1002")
    await till.sell()  # of somebody else: what was reserved lapses
    await till.scan("TS1001")

    await till.sell(total_minor=27000)
    assert till.page.sale is not None
    assert till.page.sale.reward is None
    await till.scan("TS1001")
    await till.sell(total_minor=27000, discount_minor=3000)

    assert till.page.sale.reward == "confirmed"


async def test_somebody_elses_receipt_releases_what_was_reserved(till: Till) -> None:
    await till.scan("TS1001")
    await till.reserve("five")
    await till.scan("TS1002")
    # seen again before any receipt, it is still theirs
    await till.scan("TS1001")
    assert till.reserved == ["five"]

    await till.scan("TS1002")
    await till.sell(discount_minor=5000)

    assert till.shop.store.reserved_redemptions() == ()
    assert [one.kind for one in till.shop.store.queue(limit=MAX_LISTED)] == ["receipt"]


async def test_what_is_given_back_can_be_spent_again(till: Till) -> None:
    await till.scan("TS1001")
    await till.reserve("five")
    await till.reserve("five")
    assert till.reserved == ["five", "five"]

    await till.counter.release(ForTurn(turn=till.turn))

    assert till.reserved == []
    assert till.customer.member is not None
    assert till.customer.member.spendable == 2000
    await till.reserve("five")
    assert till.reserved == ["five"]


async def test_a_repeated_call_reserves_once(till: Till) -> None:
    await till.scan("TS1001")

    await till.reserve("five", "call-1")
    await till.reserve("five", "call-1")

    assert till.reserved == ["five"]


@pytest.mark.parametrize(
    ("reward", "before", "reason"),
    [
        ("five", ("five", "five"), "not_for_basket"),  # as often as the program lets a receipt have it
        ("nine", ("five",), "not_for_basket"),  # not beside one of its group
        ("pale", (), "not_for_basket"),  # not theirs
        ("tenth", ("cup",), "not_for_basket"),  # on paper nobody could tell the two apart
        ("none", (), "not_for_basket"),
    ],
)
async def test_what_cannot_be_had_is_refused(till: Till, reward: str, before: tuple[str, ...], reason: str) -> None:
    await till.scan("TS1001")
    for one in before:
        await till.reserve(one)

    with pytest.raises(SaleRefusedError) as error:
        await till.reserve(reward)

    assert refusal(error) == reason
    assert till.reserved == list(before)


async def test_what_is_not_safe_here_is_asked_of_the_centre(till: Till, shop: Shop) -> None:
    await grant(shop, 0, number=2)
    await till.scan("TS1001")
    await till.reserve("five")
    await till.reserve("five")
    await till.counter.release(ForTurn(turn=till.turn))
    with pytest.raises(SaleRefusedError) as error:
        await till.reserve("nine")  # 1,000 are set aside, for other rewards
    assert refusal(error) == "not_offline"

    till.centre.is_online = True
    till.centre.refuses = UNANSWERED
    with pytest.raises(SaleRefusedError) as error:
        await till.reserve("nine")
    assert refusal(error) == "not_offline"
    till.centre.refuses = None
    await till.reserve("nine")
    till.centre.refuses = NothingGranted(detail="Nothing is free.")
    with pytest.raises(SaleRefusedError, match=r"Nothing is free\."):
        await till.reserve("nine")
    till.centre.refuses = None
    await till.reserve("nine")

    assert till.centre.wanted == [("m-ana", 0), ("m-ana", 0), ("m-ana", 400), ("m-ana", 400)]
    assert till.reserved == ["nine", "nine"]


async def test_nothing_is_reserved_for_a_customer_who_is_no_more_shown(till: Till) -> None:
    await till.scan("TS1001")
    before = till.turn
    await till.scan("TS1002")

    with pytest.raises(SaleRefusedError) as error:
        await till.counter.reserve(RewardWanted(turn=before, reward="five"), None)

    assert refusal(error) == "not_shown"


async def test_an_unknown_card_has_no_rewards(till: Till) -> None:
    await till.scan("TS777123")

    with pytest.raises(SaleRefusedError) as error:
        await till.reserve("five")

    assert refusal(error) == "no_member"


async def test_without_a_program_nothing_can_be_redeemed(shop: Shop) -> None:
    await shop.seed((RICH,), None)
    till = Till(shop)
    await till.scan("TS1001")

    with pytest.raises(SaleRefusedError) as error:
        await till.reserve("five")

    assert refusal(error) == "no_program"


async def test_no_more_allowances_are_drawn_on_than_the_centre_reads(shop: Shop) -> None:
    await shop.seed((RICH,), PROGRAM)
    await shop.store.write(lambda writing: open_epoch(writing, EPOCH))
    for number in range(1, MAX_DRAWS + 2):
        await grant(shop, 500 // MAX_DRAWS, number=number)
    await grant(shop, 500 % MAX_DRAWS, number=MAX_DRAWS + 2)
    till = Till(shop)
    await till.scan("TS1001")

    with pytest.raises(SaleRefusedError) as error:
        await till.reserve("five")

    assert (refusal(error), till.reserved) == ("not_enough", [])
    assert "allowances" in str(error.value)


async def test_a_sale_of_the_page_makes_room_for_itself(till: Till, shop: Shop) -> None:
    def priced_only(writing: Writing) -> None:
        for _ in range(MAX_OPEN_SALES):
            writing.open_sale(writing.new_id("s-"), till.now(), by_page=False)

    await shop.store.write(priced_only)
    await till.scan("TS1001")
    await till.reserve("five")

    assert (len(shop.store.open_sales()), till.reserved) == (MAX_OPEN_SALES, ["five"])


async def test_what_a_pos_reserves_for_whoever_is_shown_is_told_as_the_poss_and_left_to_it(till: Till) -> None:
    # given a member at the page for whom the POS takes a reward off
    await till.scan("TS1001")
    basket = GivenReceipt(kind="sale", currency="RSD", total_minor=26828, lines=(Line(position=1, amount_minor=26828),))
    sale = (await till.sales.open(BasketGiven(basket=basket), None, by_page=False)).sale
    await till.sales.attach(sale, MemberGiven(code="TS1001"), None)
    await till.sales.redeem(sale, RedemptionGiven(reward="five"), None)
    till.desk.publish()

    # then the points are fewer for a reason that is told to both, and as much can be had here as before
    member = till.customer.member
    assert member is not None
    told = [(one.reward, one.points, one.discount_minor, one.by_pos) for one in member.reserved]
    assert (member.spendable, told) == (1500, [("five", 500, 5000, True)])
    screen = msgspec.json.decode(till.desk.screen, type=CustomerScreen)
    assert screen.member is not None
    assert screen.member.reserved == member.reserved

    # and beside it what is reserved here, which alone is given back here
    await till.reserve("cup")
    assert till.customer.member is not None
    assert [(one.reward, one.by_pos) for one in till.customer.member.reserved] == [("five", True), ("cup", False)]
    await till.counter.release(ForTurn(turn=till.turn))
    assert till.customer.member is not None
    assert [(one.reward, one.by_pos) for one in till.customer.member.reserved] == [("five", True)]
    await till.sales.void(sale, None)
    till.desk.publish()
    assert till.customer.member is not None
    assert till.customer.member.reserved == ()


# ---- what is asked of somebody is for nobody else


@pytest.mark.parametrize("what", ["remove", "release", "attach", "join", "reserve", "voucher", "remove nobody"])
async def test_what_was_asked_of_a_customer_is_not_done_to_the_next(till: Till, what: str) -> None:
    # given a page that shows one customer still, and the scanner of the register read the card of another
    key = await till.sell()
    await till.scan("TS1002")
    turn = till.turn
    await till.scan("TS777123" if what == "join" else "TS1001")
    if what == "release":
        await till.reserve("cup")
    counter, told, queued = till.counter, till.desk.told, till.shop.store.queue(limit=MAX_LISTED)
    asked: dict[str, Callable[[], Awaitable[object]]] = {
        "remove": lambda: counter.remove(Shown(turn=turn)),
        "remove nobody": lambda: counter.remove(Shown(turn=None)),
        "release": lambda: counter.release(ForTurn(turn=turn)),
        "attach": lambda: counter.attach(key, ForTurn(turn=turn), None),
        "join": lambda: till.joining.join(JoinHere(turn=turn, short_name="Iva K."), None),
        "reserve": lambda: counter.reserve(RewardWanted(turn=turn, reward="cup"), None),
        "voucher": lambda: counter.find(CodeTyped(typed=VOUCHER, turn=turn)),
    }

    with pytest.raises(SaleRefusedError) as error:
        await asked[what]()

    assert refusal(error) == "not_shown"
    assert (till.desk.told, till.shop.store.queue(limit=MAX_LISTED)) == (told, queued)


async def test_a_voucher_that_was_typed_while_nobody_was_shown_is_for_nobody(till: Till) -> None:
    with pytest.raises(SaleRefusedError) as error:
        await till.counter.find(CodeTyped(typed=VOUCHER))
    assert refusal(error) == "no_member"

    await till.scan("TS1001")
    with pytest.raises(SaleRefusedError) as error:
        await till.counter.find(CodeTyped(typed=VOUCHER))
    assert refusal(error) == "not_shown"


# ---- late members


async def test_a_late_member_gets_one_of_the_last_receipts(till: Till) -> None:
    first, second = await till.sell(), await till.sell(total_minor=99_900)
    assert [one.receipt for one in till.page.recent] == [second, first]

    await till.scan("TS1001")
    given = await till.counter.attach(first, ForTurn(turn=till.turn), None)

    assert given.points == 26
    assert [one.receipt for one in till.page.recent] == [second]
    sale = till.page.sale
    assert sale is not None
    assert (sale.points, sale.current, [one.rule for one in sale.gives]) == (26, True, ["base"])
    assert till.customer.member is not None
    assert till.customer.member.pending == 26
    *_, entry = till.shop.store.queue(limit=MAX_LISTED)
    assert entry.kind == "attach"
    body = msgspec.json.decode(till.shop.store.entry(entry.number).json, type=AttachBody)
    assert (body.target, body.member.code) == (first, "TS1001")
    # the card was for that receipt, not for the next one
    next_one = await till.sell()
    known = till.shop.store.known_receipt((next_one,))
    assert known is not None
    assert known.member is None


async def test_a_receipt_is_attached_once_and_not_for_ever(till: Till) -> None:
    first, second = await till.sell(), await till.sell()
    await till.scan("TS1001")
    await till.counter.attach(first, ForTurn(turn=till.turn), None)
    await till.scan("TS1002")

    for key in (first, "k-unheard-of"):
        with pytest.raises(SaleRefusedError) as error:
            await till.counter.attach(key, ForTurn(turn=till.turn), None)
        assert refusal(error) == "too_old"

    till.seconds += 3_600
    await till.scan("TS1002")
    with pytest.raises(SaleRefusedError) as error:
        await till.counter.attach(second, ForTurn(turn=till.turn), None)
    assert refusal(error) == "too_old"


async def test_only_so_many_receipts_are_offered(till: Till) -> None:
    keys = [await till.sell() for _ in range(MAX_RECENT + 2)]

    assert [one.receipt for one in till.page.recent] == keys[:1:-1]


async def test_a_reservation_that_no_copy_of_the_store_could_tell_is_not_promised(till: Till, shop: Shop) -> None:
    await till.scan("TS1001")
    witness = witness_of(shop.folder / "state" / "store.db")
    witness.unlink()
    witness.mkdir()

    with pytest.raises(StoreUnavailableError):
        await till.reserve("five", "call-1")

    # it holds nothing, and the same call is another one once the witness was written
    assert (till.reserved, shop.store.open_sales()) == ([], ())
    witness.rmdir()
    await till.scan("TS1001")
    await till.reserve("five", "call-1")
    assert till.reserved == ["five"]
    # what was promised before stays
    witness.unlink()
    witness.mkdir()
    with pytest.raises(StoreUnavailableError):
        await till.reserve("five")
    till.desk.publish()
    assert till.reserved == ["five"]


# ---- joining by telephone

PAGE_URL = "https://join.shop.example/"


async def told_of_the_join_page(till: Till, url: str = PAGE_URL) -> None:
    def keep(writing: Writing) -> None:
        writing.set_meta(CODE_KEY, KEY)
        writing.set_meta(JOIN_URL, url)

    await till.shop.store.write(keep)
    till.desk.publish()


async def test_who_has_no_card_is_shown_a_code_and_the_sale_takes_it(till: Till) -> None:
    before = till.page.invites
    await told_of_the_join_page(till)
    assert (before, till.page.invites) == (False, True)

    await till.counter.invite()

    shown = till.customer.invitation
    assert shown is not None
    assert till.customer.standing == "unknown"
    code = shown.code.replace("-", "")
    assert (shown.url, store_of(code, KEY, ["11", "12"])) == (PAGE_URL, "12")
    key = await till.sell()
    known = till.shop.store.known_receipt((key,))
    assert known is not None
    assert known.receipt.member == MemberReference(code=code, kind="card", entry="scanned")
    # it is still shown to whoever packs, and nobody was asked about it
    assert till.customer.invitation == shown
    assert (till.looked_up, till.centre.looked_up) == ([], [])


async def test_the_code_is_asked_for_once_and_is_the_next_customers_another(till: Till) -> None:
    await told_of_the_join_page(till)
    codes = []
    for _ in range(2):
        await till.counter.invite()
        await till.counter.invite()
        assert till.customer.invitation is not None
        codes.append(till.customer.invitation.code)
        await till.sell()
        till.seconds += 1
    assert codes[0] != codes[1]


async def test_codes_to_join_with_are_made_as_fast_as_people_come_and_scans_go_on(till: Till) -> None:
    await told_of_the_join_page(till)
    for _ in range(INVITES_AT_ONCE):
        till.seconds += 0.001
        await till.counter.invite()
        await till.counter.remove(Shown(turn=till.turn))

    with pytest.raises(TooOftenError) as error:
        await till.counter.invite()

    assert error.value.wait_s == 2
    assert await till.scan("TS1001") == "member"


async def test_nobody_who_is_served_is_pushed_aside_by_a_code(till: Till) -> None:
    await told_of_the_join_page(till)
    await till.scan("TS1001")

    with pytest.raises(SaleRefusedError) as error:
        await till.counter.invite()

    assert (refusal(error), till.customer.ending) == ("not_shown", "1001")


async def test_without_a_join_page_there_are_no_codes(till: Till) -> None:
    await told_of_the_join_page(till, url="")

    with pytest.raises(SaleRefusedError) as error:
        await till.counter.invite()

    assert (refusal(error), till.page.customer, till.page.invites) == ("no_join_page", None, False)


async def test_who_was_shown_a_code_can_join_at_the_till(till: Till) -> None:
    await told_of_the_join_page(till)
    await till.counter.invite()

    await till.joining.join(JoinHere(turn=till.turn, short_name="Iva"), None)

    till.desk.publish()  # as after any commit
    assert till.customer.member is not None
    assert (till.customer.member.name, till.customer.invitation) == ("Iva", None)


async def test_a_code_that_stood_on_a_screen_spends_nothing(till: Till) -> None:
    await told_of_the_join_page(till)
    await till.counter.invite()
    assert till.customer.invitation is not None
    code = till.customer.invitation.code.replace("-", "")
    joined = replace(RICH, member="m-joined", identifiers=(Identifier(kind="card", code=code),))
    await till.shop.seed((joined,), PROGRAM)
    till.desk.publish()
    assert till.customer.member is not None

    with pytest.raises(SaleRefusedError) as error:
        await till.reserve("five")

    assert refusal(error) == "needs_card"


async def test_a_late_customer_gets_the_receipt_by_a_code(till: Till) -> None:
    await told_of_the_join_page(till)
    key = await till.sell()
    till.seconds += 1

    await till.counter.invite()
    await till.counter.attach(key, ForTurn(turn=till.turn), None)

    known = till.shop.store.known_receipt((key,))
    assert known is not None
    assert known.receipt.member
    assert store_of(known.receipt.member.code, KEY, ["12"]) == "12"
