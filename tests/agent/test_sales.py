"""Sales of the local API, over real HTTP and into a real store: priced, redeemed, closed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Literal

import aiohttp
import msgspec
import pytest
from aiohttp import web
from msgspec.structs import replace

from agent.api import LocalApi
from agent.profiles import Profiles
from agent.receipts import at_once
from agent.sales import FORGOTTEN_AFTER, Sales
from agent.webhook import Webhook
from drivers.scanning.scan import parse_scan
from loyalty.addresses import address_code, hidden_code
from loyalty.conditions import Condition
from loyalty.identification import IdentificationRule
from loyalty.instant import Instant
from loyalty.member import Balance, Identifier, Member
from loyalty.program import Program, Reward, program_from_json
from sync.guesses import MAX_MISSES, REGAINED_EVERY_S
from sync.purging import carry_out, nothing_else
from sync.records import RedeemBody
from sync.store.reading import CODE_KEY, MAX_LISTED
from sync.store.spending_rows import MAX_ENDED_SALES, MAX_OPEN_SALES
from sync.store.witness import witness_of
from sync.store.writing import Writing
from sync.wire import Change, Erasure, GrantedAllowance, NothingGranted, Wanted
from tests.agent.shop import ANA, BORA, OPTIONS, Shop, at
from tests.agent.test_api import BEARER, Served
from tests.agent.test_webhook import key, sale
from tests.sync.store.spending import open_epoch

EPOCH, CENTRE = "e-1", "centre-1"
KEY = "ab" * 32
AddressKind = Literal["phone", "email"]
PROGRAM = program_from_json(
    b'{"program":"test","currency":"RSD","time_zone":"Europe/Belgrade",'
    b'"earn":[{"id":"base","give":{"points":1,"per_minor":1000}}],'
    b'"rewards":[{"id":"r5","cost":500,"discount_minor":5000,"offline":"allowance"},'
    b'{"id":"vip","cost":700,"discount_minor":9000,"offline":"refuse"},'
    b'{"id":"tea","cost":100,"discount_minor":1000,"offline":"floor","floor_points":200}]}'
)
RICH = replace(ANA, balance=Balance(confirmed=2000, spendable=2000))
CODE = IdentificationRule(name="cards", kind="card", prefixes=("TS",))


class Centre:
    """A centre that grants what it is asked for, or says why not."""

    def __init__(self, shop: Shop) -> None:
        self.is_online = False
        self.refuses: NothingGranted | None = None
        self.wanted: list[tuple[str, int]] = []
        self.looked_up: list[str] = []
        self.answers: Callable[[str], Awaitable[object]] = lambda _code: asyncio.sleep(0)  # others ask meanwhile
        self.grants: Callable[[Wanted], Awaitable[object]] = self._grant
        self._shop = shop

    async def lookup(self, code: str) -> object:
        self.looked_up.append(code)
        return await self.answers(code)

    async def want(self, wanted: Wanted) -> NothingGranted | None:
        self.wanted.append((wanted.member, wanted.points))
        if self.refuses is None:
            await self.grants(wanted)
        return self.refuses

    async def _grant(self, wanted: Wanted) -> None:
        await grant(self._shop, wanted.points, number=100 + len(self.wanted))


async def grant(
    shop: Shop, points: int, *, number: int = 1, name: str = "", member: str = ANA.member, recalled: bool = False
) -> None:
    granted = GrantedAllowance(
        number=number, allowance=name or f"a-{number}", member=member, epoch=EPOCH, points=points, recalled=recalled
    )
    await shop.store.write(lambda writing: writing.keep_allowances((granted,), number, CENTRE))


class Pos:
    """What a POS says to the register; answers are status and document."""

    def __init__(self, client: aiohttp.ClientSession, centre: Centre, sales: Sales, served: Served) -> None:
        self._client = client
        self.centre = centre
        self.sales = sales
        self.served = served
        self.headers: dict[str, str] = {**BEARER, "Content-Type": "application/json"}

    async def ask(self, method: str, path: str, body: object = None, call: str | None = None) -> tuple[int, Any]:
        headers = {**self.headers, **({"Idempotency-Key": call} if call is not None else {})}
        data = None if body is None else json.dumps(body)
        async with self._client.request(method, f"/v1/sales{path}", data=data, headers=headers) as answer:
            return answer.status, json.loads(await answer.read())

    async def told(self, method: str, path: str, body: object = None, call: str | None = None) -> Any:
        status, document = await self.ask(method, path, body, call)
        assert status in (200, 201), document
        return document

    async def opened(self, code: str | None = "TS1001", basket: dict[str, Any] | None = None) -> str:
        """A sale with a basket of 268.28, of this member."""
        report = await self.told("POST", "", {"basket": basket or sale(1)})
        if code is not None:
            await self.told("POST", f"/{report['sale']}/member", {"code": code})
        return str(report["sale"])


class Clock:
    def __init__(self) -> None:
        self.passed = timedelta()

    def __call__(self) -> Instant:
        return at(30 + self.passed.total_seconds())


@asynccontextmanager
async def till(shop: Shop, clock: Callable[[], Instant] | None = None) -> AsyncIterator[Pos]:
    served, centre = Served(shop), Centre(shop)
    now = clock or Clock()
    webhook = Webhook(books=shop.books("pos"), store=shop.store, options=lambda: OPTIONS, scans_taken=at_once, now=now)
    sales = Sales(
        shop.store,
        shop.rules,
        centre,
        parse=lambda raw: parse_scan(raw, (CODE,)),
        identification=lambda: (CODE,),
        now=now,
        sleep=asyncio.sleep,
        guesses=served.guesses,
        webhook=webhook,
    )
    api = LocalApi(
        served.access,
        served.desk,
        served.api._inspection,
        served.supervisor,
        lambda: None,
        profiles=Profiles(shop.store),
        guesses=served.guesses,
        sales=sales,
        webhook=webhook,
    )
    runner = web.AppRunner(api.application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", served.port).start()
    try:
        async with aiohttp.ClientSession(served.url) as client:
            yield Pos(client, centre, sales, served)
    finally:
        await runner.cleanup()


async def ready(shop: Shop, points: int = 1000, ana: Member = RICH, program: Program = PROGRAM) -> None:
    """Ana has 2,000 points, of which so many are set aside for this register."""
    await shop.seed((ana, BORA), program)
    await shop.store.write(lambda writing: open_epoch(writing, EPOCH))
    if points:
        await grant(shop, points)


def redeemed(shop: Shop) -> list[RedeemBody]:
    numbers = [entry.number for entry in shop.store.queue(limit=MAX_LISTED) if entry.kind == "redeem"]
    return [msgspec.json.decode(shop.store.entry(number).json, type=RedeemBody) for number in numbers]


def states(report: dict[str, Any]) -> list[str]:
    return [one["state"] for one in report["redemptions"]]


async def test_a_sale_is_priced_redeemed_and_closed_without_a_network(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        opened = await pos.told("POST", "", {"basket": sale(1)})
        name = opened["sale"]
        assert (opened["state"], opened["online"], "member" in opened and opened["member"]) == ("open", False, None)

        report = await pos.told("POST", f"/{name}/member", {"code": "TS1001"})
        assert report["member"]["name"] == "Ana P."
        assert (report["points"], report["safe_offline"], report["unsafe_because"]) == (26, 1000, "partly_granted")
        offers = {one["reward"]: one for one in report["rewards"]}
        assert (offers["r5"]["times"], offers["r5"]["safe_times"]) == (4, 2)
        assert offers["r5"]["lines"] == [{"position": 1, "amount_minor": 5000}]

        report = await pos.told("POST", f"/{name}/redemptions", {"reward": "r5"})
        assert states(report) == ["reserved"]
        assert (report["member"]["spendable"], report["safe_offline"]) == (1500, 500)

        report = await pos.told("POST", f"/{name}/close", sale(1))

    assert (report["state"], states(report), report["receipt"]) == ("closed", ["confirmed"], key(1))
    [body] = redeemed(shop)
    assert (body.member, body.reward, body.points, body.receipt) == ("m-ana", "r5", 500, key(1))
    assert [one.points for one in body.drawn] == [500]
    assert [each.member for each in shop.bodies()] == ["m-ana"]


async def test_what_is_not_safe_is_refused_without_a_network_and_says_why(shop: Shop) -> None:
    await ready(shop, points=500)
    async with till(shop) as pos:
        name = await pos.opened()
        status, document = await pos.ask("POST", f"/{name}/redemptions", {"reward": "r5", "times": 2})

    assert (status, document["reason"]) == (409, "not_enough")
    assert "500 points" in document["detail"]
    assert pos.centre.wanted == []


async def test_with_a_network_the_centre_is_asked_for_what_is_lacking(shop: Shop) -> None:
    await ready(shop, points=500)
    async with till(shop) as pos:
        pos.centre.is_online = True
        name = await pos.opened()
        report = await pos.told("POST", f"/{name}/redemptions", {"reward": "r5", "times": 2})

    assert (pos.centre.wanted, states(report)) == ([("m-ana", 500)], ["reserved"])


async def test_what_the_centre_says_is_what_the_cashier_reads(shop: Shop) -> None:
    await ready(shop, points=0)
    async with till(shop) as pos:
        pos.centre.is_online, pos.centre.refuses = (
            True,
            NothingGranted(detail="register 2 holds the rest", reason="elsewhere"),
        )
        name = await pos.opened()
        status, document = await pos.ask("POST", f"/{name}/redemptions", {"reward": "vip"})

    assert (status, document["reason"], document["detail"]) == (409, "elsewhere", "register 2 holds the rest")


async def test_a_reward_that_goes_by_the_balance_leaves_the_floor(shop: Shop) -> None:
    await ready(shop, points=0)
    async with till(shop) as pos:
        name = await pos.opened()
        before = await pos.told("PUT", f"/{name}", {"basket": sale(1)})
        report = await pos.told("POST", f"/{name}/redemptions", {"reward": "tea", "times": 18})
        status, document = await pos.ask("POST", f"/{name}/redemptions", {"reward": "tea"})

    [tea] = [one for one in before["rewards"] if one["reward"] == "tea"]
    assert (tea["times"], tea["safe_times"]) == (20, 18)
    assert tea["why"] == "200 points have to be left, and 100 would be"
    assert report["member"]["spendable"] == 200
    assert (status, document["reason"]) == (409, "below_floor")


async def test_what_goes_by_the_balance_and_what_was_set_aside_here_leave_the_floor_together(shop: Shop) -> None:
    # given 2,000 points of which 300 are set aside here, and no network
    await ready(shop, points=300)
    async with till(shop) as pos:
        name = await pos.opened()
        # when all but the floor is spent, of which what is set aside goes first
        report = await pos.told("POST", f"/{name}/redemptions", {"reward": "tea", "times": 18})
        assert (report["member"]["spendable"], report["safe_offline"]) == (200, 0)
        # then nothing is left for another sale, until this one ends without them
        other = await pos.opened(basket=sale(2))
        status, document = await pos.ask("POST", f"/{other}/redemptions", {"reward": "tea", "times": 3})
        assert (status, document["reason"]) == (409, "below_floor")
        await pos.told("POST", f"/{name}/void")
        report = await pos.told("POST", f"/{other}/redemptions", {"reward": "tea", "times": 4})
        assert (report["member"]["spendable"], report["safe_offline"]) == (1600, 0)
        await pos.told("POST", f"/{other}/close", sale(2))

    [body] = redeemed(shop)
    assert (body.points, [(one.allowance, one.points) for one in body.drawn]) == (400, [("a-1", 300)])


async def test_with_a_network_nothing_goes_by_the_balance_before_the_centre_was_asked(shop: Shop) -> None:
    await ready(shop, points=300)
    async with till(shop) as pos:
        pos.centre.is_online = True
        name = await pos.opened()
        # what is set aside here is nobody's business
        await pos.told("POST", f"/{name}/redemptions", {"reward": "tea", "times": 3})
        assert pos.centre.wanted == []
        # what it says of the rest holds
        pos.centre.refuses = NothingGranted(detail="register 2 holds the rest", reason="elsewhere")
        status, document = await pos.ask("POST", f"/{name}/redemptions", {"reward": "tea", "times": 15})
        assert (status, document["reason"]) == (409, "elsewhere")
        # without a word from it in time it is as without a network
        pos.centre.refuses = NothingGranted(detail="")
        report = await pos.told("POST", f"/{name}/redemptions", {"reward": "tea"})
        assert report["member"]["spendable"] == 1600
        # and what it grants leaves no floor
        pos.centre.refuses = None
        report = await pos.told("POST", f"/{name}/redemptions", {"reward": "tea", "times": 16})

    assert pos.centre.wanted == [("m-ana", 1500), ("m-ana", 100), ("m-ana", 1600)]
    assert (report["member"]["spendable"], states(report)) == (0, ["reserved"] * 3)


async def test_two_sales_at_once_never_touch_one_another(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        first, second = await pos.opened(), await pos.opened(basket=sale(2))
        one = await pos.told("POST", f"/{first}/redemptions", {"reward": "r5"})
        await pos.told("POST", f"/{second}/redemptions", {"reward": "r5"})
        status, _ = await pos.ask("POST", f"/{second}/redemptions", {"reward": "r5"})
        assert status == 409

        await pos.told("POST", f"/{first}/void")
        report = await pos.told("GET", f"/{second}")
        assert (states(report), report["safe_offline"]) == (["reserved"], 500)
        status, _ = await pos.ask("DELETE", f"/{second}/redemptions/{one['redemptions'][0]['redemption']}")
        assert status == 404


def promoted(number: int) -> dict[str, Any]:
    """A sale with 50.00 off, as much as the reward takes."""
    whole = sale(number)
    off = {"description": "PROMO", "amount_minor": 5000}
    return whole | {"total_minor": whole["total_minor"] - 5000, "discounts": [off], "tenders": []}


async def test_a_sale_that_is_closed_for_nobody_leaves_the_rewards_of_a_parked_one(shop: Shop) -> None:
    # Given Ana's parked sale with a reward, and her card scanned at a sale whose POS says nothing of her
    await ready(shop)
    async with till(shop) as pos:
        parked = await pos.opened()
        await pos.told("POST", f"/{parked}/redemptions", {"reward": "r5"})
        await shop.scan("TS1001", 20)
        other = await pos.opened(code=None, basket=sale(2))
        # When that is closed with as much off for another reason
        closed = await pos.told("POST", f"/{other}/close", promoted(2))
        # Then nothing was given for it, and the parked one is as it was
        assert states(closed) == []
        assert redeemed(shop) == []
        assert states(await pos.told("GET", f"/{parked}")) == ["reserved"]
        await pos.told("POST", f"/{parked}/void")


async def test_a_suspended_sale_that_is_closed_gives_its_own_reward_and_no_other_sales(shop: Shop) -> None:
    # Given a sale with a reward that was told as suspended, and another of the same member with one
    await ready(shop)
    async with till(shop) as pos:
        first = await pos.opened(basket=sale(2))
        await pos.told("POST", f"/{first}/redemptions", {"reward": "r5"})
        await pos.told("POST", f"/{first}/close", sale(2, status="suspended"))
        second = await pos.opened()
        await pos.told("POST", f"/{second}/redemptions", {"reward": "r5"})
        # When the first is closed for good, with one reward's discount
        closed = await pos.told("POST", f"/{first}/close", promoted(2))
        # Then one was given
        assert states(closed) == ["confirmed"]
        assert states(await pos.told("GET", f"/{second}")) == ["reserved"]
        assert len(redeemed(shop)) == 1


@pytest.mark.parametrize("state", ["reserved", "confirmed", "released"])
async def test_a_restart_goes_on_where_it_was(shop: Shop, state: str) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await pos.opened()
        report = await pos.told("POST", f"/{name}/redemptions", {"reward": "r5"})
        if state == "confirmed":
            await pos.told("POST", f"/{name}/close", sale(1))
        elif state == "released":
            await pos.told("DELETE", f"/{name}/redemptions/{report['redemptions'][0]['redemption']}")
    shop.reopen()

    async with till(shop) as pos:
        report = await pos.told("GET", f"/{name}")
        assert states(report) == [state]
        closed = await pos.told("POST", f"/{name}/close", sale(1))

    assert states(closed) == ["confirmed" if state != "released" else "released"]
    assert len(redeemed(shop)) == (1 if state != "released" else 0)


@pytest.mark.parametrize("kind", ["card", "phone"])
async def test_a_code_that_is_blank_is_no_members(shop: Shop, kind: str) -> None:
    await ready(shop)
    async with till(shop) as pos:
        opened = await pos.told("POST", "", {"basket": sale(1)})

        status, problem = await pos.ask("POST", f"/{opened['sale']}/member", {"code": " - ", "kind": kind})

    assert status == 422
    assert "`code`" in problem["detail"] or "code has characters" in problem["detail"]


async def test_each_call_that_is_repeated_gets_its_first_answer(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        calls: list[tuple[str, str, object]] = [("POST", "", {"basket": sale(1)})]
        opened = await pos.told(*calls[0], "call-0")
        one = f"/{opened['sale']}"
        calls += [
            ("PUT", one, {"basket": sale(1)}),
            ("POST", f"{one}/member", {"code": "TS1001"}),
            ("POST", f"{one}/redemptions", {"reward": "r5"}),
            ("POST", f"{one}/close", sale(1)),
        ]
        answers = [opened]
        for number, call in enumerate(calls[1:], start=1):
            answers.append(await pos.told(*call, f"call-{number}"))
        for number, call in enumerate(calls):
            assert await pos.told(*call, f"call-{number}") == answers[number]
        status, _ = await pos.ask("POST", f"{one}/redemptions", {"reward": "tea"}, "call-3")

    assert status == 422
    assert (len(redeemed(shop)), len(shop.bodies())) == (1, 1)


async def test_a_sale_is_closed_once_and_takes_nothing_more(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await pos.opened()
        await pos.told("POST", f"/{name}/close", sale(1))
        for method, path, body in [
            ("PUT", "", {"basket": sale(1)}),
            ("POST", "/member", {"code": "TS1001"}),
            ("POST", "/redemptions", {"reward": "r5"}),
            ("POST", "/void", None),
        ]:
            status, document = await pos.ask(method, f"/{name}{path}", body)
            assert (status, document["reason"]) == (409, "closed"), path


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"voucher": "V-1", "reward": "r5"}, 422),
        ({}, 422),
        ({"reward": "none"}, 409),
        ({"points": 250}, 409),
        ({"reward": "r5", "points": 750}, 409),
        ({"reward": "r5", "times": 0}, 422),
        ({"reward": "r5", "times": 9}, 409),
    ],
)
async def test_what_cannot_be_meant_is_refused_and_reserves_nothing(shop: Shop, body: object, status: int) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await pos.opened()
        answer, document = await pos.ask("POST", f"/{name}/redemptions", body)
        assert (answer, document["status"]) == (status, status)
        assert states(await pos.told("GET", f"/{name}")) == []


async def test_a_number_too_long_to_be_found_by_is_refused_and_closes_no_sale(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await pos.opened()
        status, document = await pos.ask("POST", f"/{name}/close", sale(1) | {"number": "7" * 6000})
        assert status == 422
        assert "`number` has more than 255 characters" in document["detail"]
        assert (await pos.told("GET", f"/{name}"))["state"] == "open"
        assert [entry for entry in shop.store.queue(limit=MAX_LISTED) if entry.kind == "receipt"] == []


async def test_the_cashier_may_say_how_many_points(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await pos.opened()
        report = await pos.told("POST", f"/{name}/redemptions", {"points": 1000})

    [one] = report["redemptions"]
    assert (one["reward"], one["times"], one["discount_minor"]) == ("r5", 2, 10000)


VOUCHERS = program_from_json(
    b'{"program":"test","currency":"RSD","time_zone":"Europe/Belgrade","tiers":[{"id":"gold"}],'
    b'"earn":[{"id":"base","give":{"points":1,"per_minor":1000}}],'
    b'"rewards":[{"id":"r5","cost":500,"discount_minor":5000,"offline":"allowance"},'
    b'{"id":"summer","code":"SUMMER10","discount_percent":10},'
    b'{"id":"vip","code":"GOLD20","discount_percent":20,"when":{"tier_in":["silver"]}}]}'
)


@pytest.mark.parametrize("written", ["SUMMER10", "summer-10", "]C0SUMMER10"])
async def test_a_voucher_brings_its_reward_without_points_and_without_a_network(shop: Shop, written: str) -> None:
    await ready(shop, points=0, program=VOUCHERS)
    async with till(shop) as pos:
        name = await pos.opened()
        report = await pos.told("GET", f"/{name}")
        assert [one["reward"] for one in report["rewards"]] == ["r5"]

        report = await pos.told("POST", f"/{name}/redemptions", {"voucher": written})
        [chosen] = report["redemptions"]
        assert (chosen["reward"], chosen["points"], chosen["discount_minor"]) == ("summer", 0, 2682)
        assert report["member"]["spendable"] == 2000
        # once on a receipt
        status, document = await pos.ask("POST", f"/{name}/redemptions", {"voucher": written})
        assert (status, document["reason"]) == (409, "not_for_basket")

        report = await pos.told("POST", f"/{name}/close", sale(1))

    assert states(report) == ["confirmed"]
    [body] = redeemed(shop)
    assert (body.member, body.reward, body.points, body.drawn) == ("m-ana", "summer", 0, ())
    assert pos.centre.wanted == []


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"voucher": "WINTER10"}, "no_voucher"),
        ({"voucher": "   "}, "no_voucher"),
        ({"voucher": "]C0"}, "no_voucher"),
        ({"reward": "summer"}, "no_voucher"),
        ({"reward": "summer", "points": 500}, "no_voucher"),
        ({"voucher": "GOLD20"}, "not_for_basket"),
    ],
)
async def test_a_voucher_that_is_none_or_not_for_this_member_brings_nothing(
    shop: Shop, asked: dict[str, Any], reason: str
) -> None:
    await ready(shop, program=VOUCHERS)
    async with till(shop) as pos:
        name = await pos.opened()

        status, document = await pos.ask("POST", f"/{name}/redemptions", asked)

    assert (status, document["reason"]) == (409, reason)


@pytest.mark.parametrize("kind", ["phone", "email"])
@pytest.mark.parametrize("entry", [{"entry": "typed"}, {"entry": "scanned"}, {}])
async def test_nobody_spends_by_a_telephone_number_or_an_address(
    shop: Shop, entry: dict[str, str], kind: AddressKind
) -> None:
    number = Identifier(kind=kind, code="0641234567")
    await ready(shop, ana=replace(RICH, identifiers=(*RICH.identifiers, number)))
    async with till(shop) as pos:
        name = await pos.opened(code=None)
        report = await pos.told("POST", f"/{name}/member", {"code": "0641234567", "kind": kind} | entry)
        assert report["member"]["name"] == "Ana P."
        status, document = await pos.ask("POST", f"/{name}/redemptions", {"reward": "r5"})

    assert (status, document["reason"]) == (409, "needs_card")


@pytest.mark.parametrize("field", ["code", "scan"])
async def test_a_pos_that_tries_codes_is_told_of_nobody_and_sells_on(shop: Shop, field: str) -> None:
    await ready(shop)
    async with till(shop) as pos:
        # given as many codes as may be tried, in whichever field
        name = await pos.opened(code=None)
        for number in range(MAX_MISSES):
            report = await pos.told("POST", f"/{name}/member", {field: f"TS900{number:03}"})
            assert (report["member"]["standing"], report["member"]["ending"]) == ("unknown", f"0{number:03}")
            assert "told_in_s" not in report

        # when one more comes, a member's and nobody's are told alike, and the centre is not asked
        nobodys = await pos.told("POST", f"/{name}/member", {field: "TS9001"})
        anas = await pos.told("POST", f"/{name}/member", {field: "TS1001"})
        assert nobodys["member"].pop("ending") == "9001"
        assert anas["member"].pop("ending") == "1001"
        assert anas == nobodys
        assert (anas["member"]["standing"], anas["told_in_s"]) == ("unknown", REGAINED_EVERY_S)
        assert len(pos.centre.looked_up) == MAX_MISSES
        # nor does anything else tell
        assert (await pos.told("GET", f"/{name}"))["member"]["standing"] == "unknown"
        assert (await pos.told("PUT", f"/{name}", {"basket": sale(1)}))["points"] is None
        status, refused = await pos.ask("POST", f"/{name}/redemptions", {"reward": "r5"})
        assert (status, refused["reason"]) == (409, "no_member")
        status, _ = await pos.ask("POST", "/../members/TS1001", {"note": "n"})
        assert status == 429

        # then the sale is hers all the same
        closed = await pos.told("POST", f"/{name}/close", sale(1))
        assert (closed["state"], closed["member"]["name"]) == ("closed", None)
    assert shop.store.last_receipts(1)[0].member == "m-ana"


async def test_what_was_not_told_is_told_later_and_counts_then(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        anas, other = await pos.opened(code=None), await pos.opened(code=None)
        for number in range(MAX_MISSES):
            await pos.told("POST", f"/{anas}/member", {"code": f"TS900{number:03}"})
        await pos.told("POST", f"/{anas}/member", {"code": "TS1001"})
        await pos.told("POST", f"/{other}/member", {"code": "TS9001"})

        pos.served.guessing_s += REGAINED_EVERY_S
        assert (await pos.told("GET", f"/{anas}"))["member"]["name"] == "Ana P."
        # it was no guess, and the other is one
        assert "told_in_s" not in await pos.told("GET", f"/{other}")
        await pos.told("POST", f"/{other}/member", {"code": "TS1002"})
        assert (await pos.told("GET", f"/{other}"))["told_in_s"] == REGAINED_EVERY_S
        # whose a sale is that was told once stays told
        report = await pos.told("POST", f"/{anas}/member", {"code": "TS1001"})
        assert (report["member"]["name"], "told_in_s" in report) == ("Ana P.", False)
        assert states(await pos.told("POST", f"/{anas}/redemptions", {"reward": "r5"})) == ["reserved"]


async def test_a_card_that_nobody_has_counts_once_in_its_sale(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await pos.opened(code=None)
        for _ in range(2 * MAX_MISSES):
            await pos.told("POST", f"/{name}/member", {"scan": "TS999"})
        assert (await pos.told("POST", f"/{name}/member", {"scan": "TS1001"}))["member"]["name"] == "Ana P."


async def test_whom_the_centre_finds_is_no_guess(shop: Shop) -> None:
    await ready(shop)

    async def lookup(code: str) -> None:
        mira = replace(ANA, member=f"m-{code}", identifiers=(Identifier(kind="card", code=code),))
        await shop.seed((mira,), PROGRAM)

    async with till(shop) as pos:
        pos.centre.answers = lookup
        name = await pos.opened(code=None)
        for number in range(MAX_MISSES + 1):
            report = await pos.told("POST", f"/{name}/member", {"code": f"TS9{number}"})
            assert report["member"]["standing"] == "known"


async def test_the_centre_is_told_no_telephone_number_in_the_address(shop: Shop) -> None:
    await ready(shop)
    await shop.store.write(lambda writing: writing.set_meta(CODE_KEY, KEY))
    async with till(shop) as pos:
        name = await pos.opened(code=None)
        await pos.told("POST", f"/{name}/member", {"code": "0641234567", "kind": "phone", "entry": "typed"})

    assert pos.centre.looked_up == [address_code("phone", "0641234567", KEY)]


async def test_another_member_gets_none_of_what_was_reserved(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await pos.opened()
        await pos.told("POST", f"/{name}/redemptions", {"reward": "r5"})
        report = await pos.told("POST", f"/{name}/member", {"scan": "TS1002"})
        assert (report["member"]["name"], states(report)) == ("Bora", ["released"])
        report = await pos.told("DELETE", f"/{name}/member")

    assert "member" not in report or report["member"] is None
    assert redeemed(shop) == []


async def test_who_was_scanned_beside_the_pos_is_the_customer_until_somebody_is_told(shop: Shop) -> None:
    await ready(shop)
    await shop.scan("TS1001", 20)
    async with till(shop) as pos:
        name = await pos.opened(code=None)
        report = await pos.told("POST", f"/{name}/redemptions", {"reward": "r5"})
        assert report["member"]["name"] == "Ana P."
        await shop.scan("TS1002", 25)
        await pos.told("POST", f"/{name}/close", sale(1))

    assert [body.member for body in shop.bodies()] == ["m-ana"]


async def test_a_smaller_basket_gives_back_what_it_can_no_longer_have(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await pos.opened()
        await pos.told("POST", f"/{name}/redemptions", {"reward": "r5"})
        await pos.told("POST", f"/{name}/redemptions", {"reward": "tea"})
        small = sale(1, total_minor=5500, tenders=[], lines=[{"position": 7, "description": "K", "amount_minor": 5500}])

        report = await pos.told("PUT", f"/{name}", {"basket": small})

    assert states(report) == ["reserved", "released"]
    assert report["redemptions"][0]["lines"] == [{"position": 7, "amount_minor": 5000}]


async def test_goods_that_are_taken_out_again_take_their_own_reward_along_and_no_other(shop: Shop) -> None:
    # given a coffee for nothing, and money off what else there is
    coffee = Reward(id="coffee", cost=100, piece_minor=0, when=Condition(sku_in=("C1",)), offline="allowance")
    await ready(shop, program=replace(PROGRAM, rewards=(coffee, *PROGRAM.rewards)))
    goods = {"position": 1, "description": "K", "amount_minor": 9000}
    cup = {"position": 2, "description": "C", "sku": "C1", "amount_minor": 200}
    async with till(shop) as pos:
        name = await pos.opened(basket=sale(1, total_minor=9200, tenders=[], lines=[goods, cup]))
        await pos.told("POST", f"/{name}/redemptions", {"reward": "coffee"})
        await pos.told("POST", f"/{name}/redemptions", {"reward": "r5"})

        # when the customer does without the coffee
        report = await pos.told("PUT", f"/{name}", {"basket": sale(1, total_minor=9000, tenders=[], lines=[goods])})

    assert [(one["reward"], one["state"]) for one in report["redemptions"]] == [
        ("coffee", "released"),
        ("r5", "reserved"),
    ]
    assert report["safe_offline"] == 500


async def test_somebody_who_is_erased_at_the_till_leaves_a_sale_of_nobody(shop: Shop) -> None:
    # given a member who has chosen a reward, and another one in another sale
    await ready(shop)
    await grant(shop, 500, number=2, member="m-bora")
    rich = replace(BORA, balance=Balance(confirmed=500, spendable=500))
    await shop.store.write(
        lambda writing: writing.apply_changes((Change(pos=9, op="upsert", member="m-bora", row=rich),), 9, None)
    )
    async with till(shop) as pos:
        name, other = await pos.opened(), await pos.opened("TS1002", basket=sale(2))
        for one in (name, other):
            await pos.told("POST", f"/{one}/redemptions", {"reward": "r5"})

        # when the first is erased
        await shop.store.write(lambda writing: writing.set_meta(CODE_KEY, KEY))
        codes = (hidden_code("TS1001", KEY),)
        erasure = Erasure(number=1, member="m-ana", aliases=(), codes=codes, erased_at=at(40).wall)
        await carry_out(shop.store, erasure, nothing_else)

        # then nothing of theirs can be spent, nor counts, and the sale is closed all the same
        report = await pos.told("GET", f"/{name}")
        assert (report.get("member"), report["redemptions"], report["safe_offline"]) == (None, [], 0)
        report = await pos.told("POST", f"/{name}/close", sale(1))
        assert (report["state"], report["redemptions"]) == ("closed", [])
        # and the other's stands
        assert states(await pos.told("POST", f"/{other}/close", sale(2))) == ["confirmed"]

    assert [(body.member, body.points) for body in redeemed(shop)] == [("m-bora", 500)]
    assert [one.member for one in shop.store.held_allowances()] == ["m-bora"]


async def test_a_sale_that_nobody_closed_lets_go_of_what_it_held_unless_its_receipt_comes(shop: Shop) -> None:
    await ready(shop, points=500)
    clock = Clock()
    async with till(shop, clock) as pos:
        name = await pos.opened()
        await pos.told("POST", f"/{name}/redemptions", {"reward": "r5"})
        clock.passed = FORGOTTEN_AFTER + timedelta(minutes=1)

        await pos.opened(basket=sale(2))
        report = await pos.told("GET", f"/{name}")
        assert (report["state"], states(report), report["safe_offline"]) == ("ended", ["lapsed"], 500)
        shown = sale(1, total_minor=21828, discounts=[{"description": "R5", "amount_minor": 5000}], tenders=[])
        report = await pos.told("POST", f"/{name}/close", shown)

    assert (report["state"], states(report), report["safe_offline"]) == ("closed", ["confirmed"], 0)
    [body] = redeemed(shop)
    assert [one.points for one in body.drawn] == [500]


async def test_a_sale_that_was_given_up_and_shows_no_discount_spent_nothing(shop: Shop) -> None:
    await ready(shop, points=500)
    async with till(shop) as pos:
        name = await pos.opened()
        await pos.told("POST", f"/{name}/redemptions", {"reward": "r5"})
        await pos.told("POST", f"/{name}/void")
        report = await pos.told("POST", f"/{name}/close", sale(1))

    assert (states(report), redeemed(shop)) == (["lapsed"], [])


async def test_sales_that_are_only_priced_make_room_for_others(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        held = await pos.opened()
        await pos.told("POST", f"/{held}/redemptions", {"reward": "r5"})
        for _ in range(MAX_OPEN_SALES):
            await pos.told("POST", "")

        assert (await pos.told("GET", f"/{held}"))["state"] == "open"
        assert len(shop.store.open_sales()) == MAX_OPEN_SALES


async def test_a_register_that_may_be_an_older_copy_spends_nothing(shop: Shop) -> None:
    await ready(shop)
    shop.store.close()
    witness_of(shop.folder / "state" / "store.db").write_text("tillside-witness-1 99\n")
    shop.store = shop._opened()
    async with till(shop) as pos:
        pos.centre.is_online = True
        name = await pos.opened()
        status, document = await pos.ask("POST", f"/{name}/redemptions", {"reward": "r5"})
        report = await pos.told("GET", f"/{name}")

    assert (status, document["reason"], pos.centre.wanted) == (409, "register_unsure", [])
    assert (report["safe_offline"], report["unsafe_because"]) == (0, "register_unsure")


async def test_what_cannot_be_witnessed_is_not_promised(shop: Shop) -> None:
    await ready(shop)
    witness = witness_of(shop.folder / "state" / "store.db")
    witness.unlink()
    witness.mkdir()
    async with till(shop) as pos:
        name = await pos.opened()
        status, document = await pos.ask("POST", f"/{name}/redemptions", {"reward": "r5"}, "call-1")
        assert (status, "cannot be written" in document["detail"]) == (503, True)
        witness.rmdir()

        # what was refused holds nothing, and the witness is written with the next commit
        report = await pos.told("GET", f"/{name}")
        assert (states(report), report["member"]["spendable"]) == (["released"], 2000)

        report = await pos.told("POST", f"/{name}/redemptions", {"reward": "r5"}, "call-1")

    assert states(report) == ["released", "reserved"]
    assert witness.is_file()


async def test_what_was_promised_stays_so_once_the_witness_is_gone(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await pos.opened()
        await pos.told("POST", f"/{name}/redemptions", {"reward": "r5"}, "call-1")
        witness = witness_of(shop.folder / "state" / "store.db")
        witness.unlink()
        witness.mkdir()
        status, _ = await pos.ask("POST", f"/{name}/redemptions", {"reward": "r5"})
        assert status == 503
        status, _ = await pos.ask("POST", f"/{name}/redemptions", {"reward": "r5"}, "call-1")
        assert status == 503
        report = await pos.told("GET", f"/{name}")

    assert states(report) == ["reserved", "released"]


async def test_an_unknown_sale_is_not_found(shop: Shop) -> None:
    async with till(shop) as pos:
        for method, path in [("GET", ""), ("POST", "/void"), ("DELETE", "/member")]:
            status, _ = await pos.ask(method, f"/s-none{path}")
            assert status == 404
        status, _ = await pos.ask("POST", "/s-none/close", sale(1))
    assert status == 404


async def test_a_close_is_answered_as_before_when_its_sale_is_long_forgotten(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name, other = await pos.opened(), await pos.opened()
        closed = await pos.ask("POST", f"/{name}/close", sale(1), "4711-close")
        await pos.told("POST", f"/{other}/void", None, "4712-void")

        def sell(writing: Writing) -> None:
            """All the sales of the days since."""
            for number in range(MAX_ENDED_SALES):
                writing.open_sale(f"s-later-{number}", at(60), by_page=False)
                writing.end_sale(f"s-later-{number}", "closed")

        await shop.store.write(sell)

        assert await pos.ask("POST", f"/{name}/close", sale(1), "4711-close") == closed
        status, problem = await pos.ask("POST", f"/{name}/close", sale(2), "4711-close")
        assert (status, "another body" in problem["detail"]) == (422, True)
        # of one that no receipt closed nothing is known any more: the receipt has a way of its own
        status, problem = await pos.ask("POST", f"/{other}/close", sale(2), "4712-close")
        assert (status, "POST /v1/receipts" in problem["detail"]) == (404, True)
    assert len([body for body in shop.bodies() if body]) == 1


async def test_a_key_opens_another_sale_once_the_one_that_it_opened_is_long_forgotten(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        first = await pos.told("POST", "", {}, "4711-open")
        await pos.told("POST", f"/{first['sale']}/void")
        assert await pos.told("POST", "", {}, "4711-open") == first

        def sell(writing: Writing) -> None:
            for number in range(MAX_ENDED_SALES):
                writing.open_sale(f"s-later-{number}", at(60), by_page=False)
                writing.end_sale(f"s-later-{number}", "closed")

        await shop.store.write(sell)

        again = await pos.told("POST", "", {}, "4711-open")
        assert (again["sale"] != first["sale"], again["state"]) == (True, "open")


async def test_a_sale_is_closed_by_one_receipt_of_its_own(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await pos.opened()
        for body in ({"receipts": [sale(1), sale(2)]}, sale(1, kind="return", total_minor=-1, lines=[], tenders=[])):
            status, _ = await pos.ask("POST", f"/{name}/close", body)
            assert status == 422
        assert (await pos.told("GET", f"/{name}"))["state"] == "open"


async def test_a_receipt_that_was_voided_gives_nothing(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await pos.opened()
        await pos.told("POST", f"/{name}/redemptions", {"reward": "r5"})
        report = await pos.told("POST", f"/{name}/close", sale(1, status="voided"))

    assert (states(report), redeemed(shop)) == (["lapsed"], [])


def test_an_unclosed_sale_keeps_no_card_number(shop: Shop) -> None:
    asyncio.run(_card_number(shop))


async def _card_number(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        lines = [{"position": 1, "description": "CARD 4111111111111111", "amount_minor": 26828}]
        name = await pos.opened(basket=sale(1, lines=lines))
        status, _ = await pos.ask("POST", f"/{name}/member", {"code": "4111111111111111"})

    kept = shop.store.sale(name)
    assert kept is not None
    assert kept.basket is not None
    assert "4111111111111111" not in (kept.basket.lines[0].description or "")
    assert status == 422
