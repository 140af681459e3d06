"""Issued vouchers at registers, from the head office to the sale: each is taken once, network or not."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from agent.sale_shapes import RedemptionGiven, SaleRefusedError, SaleReport
from central import cards, vouchers
from central.db.tables import redemptions
from loyalty.member import Counters
from loyalty.program import program_from_json
from loyalty.receipt import AwareDatetime
from loyalty.voucher_codes import made_code, printed_code, stamp_card_id, voucher_id
from sync.guesses import MAX_MISSES
from sync.store.reading import CODE_KEY
from sync.wire import Change, GrantedAllowance, NothingGranted, Wanted
from tests.agent.shop import ANA, Shop, at
from tests.agent.test_redeeming import CARD, MEMBER, Counter, counter, rewards, told
from tests.agent.test_sales import CENTRE, EPOCH, KEY, Pos, ready, redeemed, states, till
from tests.agent.test_webhook import sale
from tests.sync.centre import Centre, receipt, running_centre, utc_now

GIFT = {"id": "gift", "issued": True, "discount_minor": 500, "offline": "allowance"}
PROGRAM = program_from_json(
    msgspec.json.encode(
        {
            "program": "test",
            "currency": "RSD",
            "time_zone": "Europe/Belgrade",
            "earn": [{"id": "base", "give": {"points": 1, "per_minor": 1000}}],
            "rewards": [
                {"id": "r5", "cost": 500, "discount_minor": 5000, "offline": "allowance"},
                {"id": "gift", "issued": True, "discount_minor": 5000, "offline": "allowance"},
                {"id": "twice", "issued": True, "discount_percent": 10, "offline": "allowance"},
                {"id": "asked", "issued": True, "discount_percent": 10},
            ],
        }
    )
)
CODE = made_code((7).to_bytes)
ON_A_SALE = "This voucher is on an open sale here already."


# ---- at one register, which the centre told of what it holds


async def holding(
    shop: Shop,
    code: str = CODE,
    *,
    uses: int = 1,
    member: str = "",
    reward: str = "gift",
    number: int = 1,
    until: AwareDatetime | UnsetType = UNSET,
) -> None:
    """So many uses of a voucher set aside for this register."""
    lease = GrantedAllowance(
        number=number,
        allowance=f"a-{number}",
        member=member,
        epoch=EPOCH,
        points=uses,
        voucher=voucher_id(code, KEY),
        reward=reward,
        expires_at=until,
    )
    await shop.store.write(lambda writing: writing.keep_allowances((lease,), number, CENTRE))


async def knowing(shop: Shop) -> None:
    await ready(shop, points=0, program=PROGRAM)
    await shop.store.write(lambda writing: writing.set_meta(CODE_KEY, KEY))


async def refused(pos: Pos, asked: dict[str, Any], name: str | None = None) -> tuple[str, str]:
    name = name or await pos.opened()
    status, document = await pos.ask("POST", f"/{name}/redemptions", asked)
    assert status == 409, document
    return document["reason"], document["detail"]


@pytest.mark.parametrize("written", [CODE, printed_code(CODE).lower(), f"]C0{CODE}"])
async def test_a_voucher_that_lies_here_is_taken_without_a_network(shop: Shop, written: str) -> None:
    await knowing(shop)
    await holding(shop)
    async with till(shop) as pos:
        name = await pos.opened()
        report = await pos.told("POST", f"/{name}/redemptions", {"voucher": written})
        [chosen] = report["redemptions"]
        assert (chosen["reward"], chosen["points"], chosen["discount_minor"]) == ("gift", 0, 5000)
        assert report["member"]["spendable"] == 2000

        # while it is on this sale, no other has it
        assert (await refused(pos, {"voucher": written}))[0] == "voucher_used"
        report = await pos.told("POST", f"/{name}/close", sale(1))
        assert states(report) == ["confirmed"]
        assert (await refused(pos, {"voucher": written}))[0] == "not_offline"

    [body] = redeemed(shop)
    assert (body.member, body.reward, body.points, body.voucher) == ("m-ana", "gift", 0, voucher_id(CODE, KEY))
    assert [(one.allowance, one.points) for one in body.drawn] == [("a-1", 1)]


async def test_a_sale_that_ends_without_it_gives_it_back_to_the_register(shop: Shop) -> None:
    await knowing(shop)
    await holding(shop)
    async with till(shop) as pos:
        for _ in range(2):
            name = await pos.opened()
            await pos.told("POST", f"/{name}/redemptions", {"voucher": CODE})
            await pos.told("POST", f"/{name}/void")

    assert redeemed(shop) == []


async def test_a_voucher_of_several_uses_counts_once_each_time_it_is_shown(shop: Shop) -> None:
    await knowing(shop)
    await holding(shop, uses=2, reward="twice")
    async with till(shop) as pos:
        assert (await refused(pos, {"voucher": CODE, "times": 2}))[0] == "not_for_basket"
        for number in (1, 2):
            name = await pos.opened(basket=sale(number))
            await pos.told("POST", f"/{name}/redemptions", {"voucher": CODE})
            await pos.told("POST", f"/{name}/close", sale(number))

    assert [body.discount_minor for body in redeemed(shop)] == [2682, 2682]


async def test_several_uses_of_a_voucher_are_on_several_open_sales_at_once(shop: Shop) -> None:
    # given a parked sale with one of two uses that lie here
    await knowing(shop)
    await holding(shop, uses=2, reward="twice")
    async with till(shop) as pos:
        parked, other, third = await pos.opened(), await pos.opened(basket=sale(2)), await pos.opened(basket=sale(3))
        await pos.told("POST", f"/{parked}/redemptions", {"voucher": CODE})
        # when the other one is shown at another sale
        assert states(await pos.told("POST", f"/{other}/redemptions", {"voucher": CODE})) == ["reserved"]
        # then there is none for a third, unless the centre knows of one
        assert await refused(pos, {"voucher": CODE}, third) == ("voucher_used", ON_A_SALE)
        pos.centre.is_online = True
        pos.centre.refuses = NothingGranted(detail="this voucher was used already", reason="used")
        assert await refused(pos, {"voucher": CODE}, third) == ("voucher_used", ON_A_SALE)
        pos.centre.refuses, pos.centre.grants = None, lambda _wanted: holding(shop, reward="twice", number=2)
        assert states(await pos.told("POST", f"/{third}/redemptions", {"voucher": CODE})) == ["reserved"]
        for number, name in enumerate((parked, other, third), 1):
            await pos.told("POST", f"/{name}/close", sale(number))

    assert [one.allowance for body in redeemed(shop) for one in body.drawn] == ["a-1", "a-1", "a-2"]


@pytest.mark.parametrize("asked", [{"voucher": CODE}, {"reward": "asked"}])
async def test_a_voucher_that_the_centre_is_asked_for_each_time_is_also_where_it_lies(
    shop: Shop, asked: dict[str, str]
) -> None:
    # given one that lies here, and no network
    await knowing(shop)
    await holding(shop, member="m-ana", reward="asked")
    async with till(shop) as pos:
        name = await pos.opened()
        [offer] = [one for one in (await pos.told("GET", f"/{name}"))["rewards"] if one["reward"] == "asked"]
        assert (offer["times"], offer["safe_times"]) == (1, 0)
        assert (await refused(pos, asked, name))[0] == "not_offline"
        # when there is one, the centre is asked for no further use, and may say no
        pos.centre.is_online = True
        pos.centre.refuses = NothingGranted(detail="this voucher was revoked: stolen", reason="revoked")
        assert await refused(pos, asked, name) == ("voucher_over", "this voucher was revoked: stolen")
        pos.centre.refuses = None
        report = await pos.told("POST", f"/{name}/redemptions", asked)

    assert states(report) == ["reserved"]
    assert pos.centre.wanted == [("m-ana", 0), ("m-ana", 0)]


async def test_a_members_own_voucher_is_had_by_the_name_of_its_reward(shop: Shop) -> None:
    await knowing(shop)
    async with till(shop) as pos:
        name = await pos.opened()
        assert (await refused(pos, {"reward": "gift"}, name))[0] == "no_voucher"
        await holding(shop, member="m-ana")

        report = await pos.told("POST", f"/{name}/redemptions", {"reward": "gift"})

        assert states(report) == ["reserved"]


async def test_a_personal_voucher_is_not_taken_for_somebody_else(shop: Shop) -> None:
    await knowing(shop)
    await holding(shop, member="m-bora")
    async with till(shop) as pos:
        assert await refused(pos, {"voucher": CODE}) == ("voucher_anothers", "This voucher is another member's.")
        assert (await refused(pos, {"reward": "gift"}))[0] == "no_voucher"


async def test_without_a_network_a_voucher_that_lies_elsewhere_says_what_to_do(shop: Shop) -> None:
    await knowing(shop)
    async with till(shop) as pos:
        reason, detail = await refused(pos, {"voucher": CODE})

    assert reason == "not_offline"
    assert "try again once it is online" in detail
    assert pos.centre.wanted == []


async def test_a_code_that_was_typed_wrong_is_asked_of_nobody(shop: Shop) -> None:
    await knowing(shop)
    async with till(shop) as pos:
        pos.centre.is_online = True
        wrong = CODE[:-2] + CODE[-1] + CODE[-2]
        assert (await refused(pos, {"voucher": wrong}))[0] == "no_voucher"

    assert pos.centre.wanted == []


async def test_a_register_that_never_reached_the_centre_takes_none(shop: Shop) -> None:
    await ready(shop, points=0, program=PROGRAM)
    async with till(shop) as pos:
        assert (await refused(pos, {"voucher": CODE}))[0] == "not_offline"


async def test_what_the_program_has_no_more_is_not_for_this_basket(shop: Shop) -> None:
    await knowing(shop)
    await holding(shop, reward="r5")
    async with till(shop) as pos:
        assert (await refused(pos, {"voucher": CODE}))[0] == "not_for_basket"


async def test_with_a_network_the_centre_is_asked_for_it(shop: Shop) -> None:
    await knowing(shop)
    async with till(shop) as pos:
        pos.centre.is_online = True
        pos.centre.grants = lambda _wanted: holding(shop)
        name = await pos.opened()

        report = await pos.told("POST", f"/{name}/redemptions", {"voucher": CODE})

    assert states(report) == ["reserved"]


async def test_who_tries_codes_is_slowed_and_who_has_points_is_not(shop: Shop) -> None:
    await knowing(shop)
    async with till(shop) as pos:
        pos.centre.is_online = True
        pos.centre.refuses = NothingGranted(detail="the head office issued no such voucher", reason="unknown")
        name = await pos.opened()
        for number in range(MAX_MISSES):
            reason, detail = await refused(pos, {"voucher": made_code(int(number).to_bytes)}, name)
            assert (reason, detail) == ("no_voucher", "the head office issued no such voucher")
        assert "Too many codes" in (await refused(pos, {"voucher": CODE}, name))[1]
        asked = len(pos.centre.wanted)
        assert asked == MAX_MISSES

        pos.centre.refuses = None
        report = await pos.told("POST", f"/{name}/redemptions", {"reward": "r5"})

    assert states(report) == ["reserved"]


async def test_a_voucher_that_is_over_is_not_taken_though_it_lies_here(shop: Shop) -> None:
    await knowing(shop)
    async with till(shop) as pos:
        await holding(shop, member="m-ana", until=at(30).wall)
        name = await pos.opened()
        report = await pos.told("GET", f"/{name}")
        assert "gift" not in {one["reward"] for one in report["rewards"]}
        assert (await refused(pos, {"voucher": CODE}))[0] == "voucher_over"
        assert (await refused(pos, {"reward": "gift"}))[0] == "no_voucher"

        # one that ends later is
        await holding(shop, made_code((8).to_bytes), member="m-ana", number=2, until=at(30).wall + timedelta(days=1))
        assert states(await pos.told("POST", f"/{name}/redemptions", {"reward": "gift"})) == ["reserved"]


CARDS = program_from_json(
    msgspec.json.encode(
        {
            "program": "test",
            "currency": "RSD",
            "earn": [],
            "stamps": [{"id": "coffee", "every": 10}],
            "rewards": [{"id": "free", "stamps": "coffee", "discount_minor": 5000, "offline": "allowance"}],
        }
    )
)


async def stamped(shop: Shop, stamps: int) -> None:
    """A register that knows the cards program, and a member with so many stamps."""
    await ready(shop, points=0, program=CARDS)
    anas = replace(ANA, counters=Counters(stamps={"coffee": stamps}))
    change = Change(pos=1000, op="upsert", member=anas.member, row=anas)
    await shop.store.write(lambda writing: writing.apply_changes((change,), 1000, None))


async def test_a_full_card_of_stamps_that_lies_here_is_spent_without_a_network(shop: Shop) -> None:
    # given a member with a full card, a use of which was set aside for this register
    await stamped(shop, 23)
    await holding(shop, member="m-ana", reward="free")
    async with till(shop) as pos:
        name = await pos.opened()
        report = await pos.told("GET", f"/{name}")
        [offer] = report["rewards"]
        assert (offer["reward"], offer["times"], offer["safe_times"]) == ("free", 2, 1)
        # when it is wanted twice
        await pos.told("POST", f"/{name}/redemptions", {"reward": "free"})
        assert (await refused(pos, {"reward": "free"}, name))[0] == "not_offline"
        await pos.told("POST", f"/{name}/close", sale(1))
    # then one counts, and costs no points
    [body] = redeemed(shop)
    assert (body.reward, body.points, [one.allowance for one in body.drawn]) == ("free", 0, ["a-1"])


async def test_a_full_card_is_asked_of_the_centre_and_one_that_is_not_full_of_nobody(shop: Shop) -> None:
    await stamped(shop, 10)
    async with till(shop) as pos:
        pos.centre.is_online = True
        wanted: list[Wanted] = []

        async def grants(one: Wanted) -> None:
            wanted.append(one)
            await holding(shop, member="m-ana", reward="free")

        pos.centre.grants = grants
        name = await pos.opened()
        assert states(await pos.told("POST", f"/{name}/redemptions", {"reward": "free"})) == ["reserved"]
    assert [one.voucher for one in wanted] == [stamp_card_id("m-ana", "free")]


async def test_a_card_that_is_not_full_says_how_many_stamps_are_missing(shop: Shop) -> None:
    await stamped(shop, 7)
    async with till(shop) as pos:
        pos.centre.is_online = True
        name = await pos.opened()
        [offer] = (await pos.told("GET", f"/{name}"))["rewards"]
        assert [(lack["kind"], lack["count"]) for lack in offer["missing"]] == [("stamps", 3)]
        assert (await refused(pos, {"reward": "free"}, name))[0] == "not_enough"
    assert pos.centre.wanted == []


@pytest.mark.parametrize(
    ("why", "said"),
    [
        ("elsewhere", "elsewhere"),
        ("used", "voucher_used"),
        ("expired", "voucher_over"),
        ("revoked", "voucher_over"),
        ("foreign", "voucher_anothers"),
    ],
)
async def test_a_voucher_that_was_issued_is_no_guess_and_says_what_is_wrong_with_it(
    shop: Shop, why: str, said: str
) -> None:
    await knowing(shop)
    async with till(shop) as pos:
        pos.centre.is_online, pos.centre.refuses = True, NothingGranted(detail="in words", reason=why)
        name = await pos.opened()
        for _ in range(MAX_MISSES + 1):
            assert await refused(pos, {"voucher": CODE}, name) == (said, "in words")


# ---- between registers and a centre


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running_centre(tmp_path / "centre") as running:
        running.publish(rewards(GIFT))
        yield running


def issued(centre: Centre, *, member: str | None = None) -> str:
    done = centre.write(
        lambda connection: vouchers.issue(
            connection, "gift", 1, member=member, now=utc_now(), randomness=secrets.token_bytes
        )
    )
    return str(done.codes[0])


async def shown(at: Counter, code: str, number: int) -> tuple[str, SaleReport]:
    name = await at.opened(number)
    return name, await at.sales.redeem(name, RedemptionGiven(voucher=code), None)


def given(centre: Centre) -> list[tuple[str, str]]:
    rows = centre.database.read_now(lambda connection: connection.execute(redemptions.select()).all())
    return [(row.reward, row.problems) for row in rows]


async def test_a_personal_voucher_is_taken_without_a_network_and_nowhere_else(tmp_path: Path, centre: Centre) -> None:
    # given a member's voucher, which was set aside where they shop
    async with counter(tmp_path / "till", centre) as first:
        await first.till.sell(receipt(1, CARD, 1000, register_number=first.number))
        code = issued(centre, member=MEMBER)
        which = _id(centre, code)
        await first.till.until(lambda: first.till.store.leases(which))
    async with counter(tmp_path / "other", centre, "4") as other:
        # when that register has no network and takes it, and it is shown at the other one
        async with counter(tmp_path / "till", centre, exchanging=False) as first:
            name, report = await shown(first, code, 2)
            with pytest.raises(SaleRefusedError, match="register 12/3 holds this voucher"):
                await shown(other, code, 2)
            await first.close(name, 2)
        assert report.online is False
        # then it counts once, and the other hears that it was used
        async with counter(tmp_path / "till", centre) as first:
            await told(first)
            assert given(centre) == [("gift", "[]")]
            with pytest.raises(SaleRefusedError, match="was used already"):
                await shown(other, code, 3)


async def test_two_registers_that_are_shown_one_voucher_at_once_take_one(tmp_path: Path, centre: Centre) -> None:
    code = issued(centre)
    async with counter(tmp_path / "till", centre) as first, counter(tmp_path / "other", centre, "4") as other:
        tried = await asyncio.gather(shown(first, code, 2), shown(other, code, 2), return_exceptions=True)

        assert {type(one) for one in tried} == {tuple, SaleRefusedError}
        for at, one in zip((first, other), tried, strict=True):
            if isinstance(one, tuple):
                await at.close(one[0], 2)
                await told(at)
    assert given(centre) == [("gift", "[]")]


def _id(centre: Centre, code: str) -> str:
    return voucher_id(code, centre.database.read_now(cards.code_key))
