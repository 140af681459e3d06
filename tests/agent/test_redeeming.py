"""Rewards at real registers beside a real centre: what two tills, a cut line, a retry and a copied disk make of them.

Registers have their stores, their exchange over TLS and the sales of the local API; only HTTP before these is left out.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.booking import Rules, book
from agent.bookkeeping import Bookkeeper
from agent.receipts import at_once
from agent.sale_shapes import BasketGiven, MemberGiven, RedemptionGiven, SaleRefusedError, SaleReport
from agent.sales import Sales
from agent.webhook import Webhook
from central import allowance_desk, ledger, planning
from central.db import tables
from drivers.clock import boot_id, now
from drivers.receipts.given import GivenReceipt
from drivers.receipts.port import DecodeOptions
from drivers.scanning.scan import parse_scan
from loyalty.allowances import Policy
from loyalty.member import Balance
from loyalty.program import Program, program_from_json
from sync.guesses import Guesses
from sync.wire import NothingGranted, Wanted
from tests.sync.centre import Centre, Register, receipt, register, running_centre, utc_now
from tests.sync.programs import in_force

CARD, MEMBER = "TS00001", "m1"
UNIT = 100


def rewards(*more: dict[str, Any]) -> Program:
    return program_from_json(
        msgspec.json.encode(
            {
                "program": "rewards",
                "currency": "RSD",
                "earn": [{"id": "base", "give": {"points": 1, "per_minor": 100}, "basis": {"less_points_paid": True}}],
                "rewards": [{"id": "r", "cost": UNIT, "discount_minor": 500, "offline": "allowance"}, *more],
            }
        )
    )


class Online:
    """The centre as sales see it."""

    def __init__(self, till: Register) -> None:
        self._till = till

    @property
    def is_online(self) -> bool:
        return self._till.loop.state.online

    async def lookup(self, code: str) -> object:
        return await self._till.loop.lookup(code)

    async def want(self, wanted: Wanted) -> NothingGranted | None:
        return await self._till.loop.want(wanted)


class Counter:
    """A till that sells with rewards."""

    def __init__(self, till: Register, number: str) -> None:
        self.till = till
        self.number = number
        rules = Rules()
        take = partial(book, boot=boot_id(), rules=rules)
        books = Bookkeeper(name="pos", store=till.store, take=take, settled=lambda _: None, identification=tuple)
        options = DecodeOptions(currency="RSD", time_zone="UTC", store="12", register=number)
        self.webhook = Webhook(books=books, store=till.store, options=lambda: options, scans_taken=at_once)
        self.sales = Sales(
            till.store,
            rules,
            Online(till),
            parse=parse_scan,
            identification=tuple,
            now=now,
            sleep=asyncio.sleep,
            guesses=Guesses(time.monotonic),
            webhook=self.webhook,
        )

    async def opened(self, number: int) -> str:
        """A sale of 20.00 for the member."""
        basket = msgspec.convert(self.document(number), GivenReceipt)
        sale = (await self.sales.open(BasketGiven(basket=basket), None, by_page=False)).sale
        await self.sales.attach(sale, MemberGiven(code=CARD), None)
        return sale

    async def redeem(self, sale: str, points: int = UNIT, call: str | None = None) -> SaleReport:
        return await self.sales.redeem(sale, RedemptionGiven(reward="r", points=points), call)

    async def close(self, sale: str, number: int, call: str | None = None) -> SaleReport:
        return await self.sales.close(sale, msgspec.json.encode(self.document(number)), call)

    def document(self, number: int) -> dict[str, Any]:
        return {
            "kind": "sale",
            "store": "12",
            "register": self.number,
            "number": str(number),
            "business_day": "2026-11-22",
            "issued_at": utc_now().isoformat(),
            "currency": "RSD",
            "total_minor": 2000,
            "lines": [{"position": 1, "description": "KAFA", "quantity": "1", "amount_minor": 2000}],
            "tenders": [{"kind": "points", "amount_minor": 500}, {"kind": "cash", "amount_minor": 1500}],
        }

    @property
    def safe(self) -> int:
        member = self.till.store.member(MEMBER)
        return self.till.store.standing(member, is_sure=self.till.store.is_sure()).safe if member else 0


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running_centre(tmp_path / "centre") as running:
        running.publish(rewards())
        yield running


@asynccontextmanager
async def counter(
    folder: Path, centre: Centre, number: str = "3", *, exchanging: bool = True
) -> AsyncIterator[Counter]:
    async with register(folder, centre, number=number, exchanging=exchanging) as till:
        if exchanging:
            await till.until(
                lambda: in_force(till.store) and till.store.member_by_code(CARD) and till.loop.state.online
            )
        yield Counter(till, number)


async def with_points(at: Counter, points: int = 250) -> None:
    """The member buys here, and the centre sets aside what makes whole rewards."""
    await at.till.sell(receipt(1, CARD, points * 100, register_number=at.number))
    await at.till.until(lambda: at.safe == points // UNIT * UNIT)


async def told(at: Counter) -> None:
    await at.till.until(lambda: at.till.store.queued() == 0 and at.till.loop.state.queued == 0)


def balance(centre: Centre) -> int:
    """By the fold of the ledger, which the kept balance has to be."""
    assert centre.database.read_now(lambda connection: ledger.check_balances(connection, utc_now())) == []
    entries = centre.database.read_now(lambda connection: ledger.entries_of_member(connection, MEMBER))
    return sum(entry.points for entry in entries)


def redemptions(centre: Centre) -> list[tuple[int, str]]:
    rows = centre.database.read_now(lambda connection: connection.execute(tables.redemptions.select()).all())
    return [(row.points, row.problems) for row in rows]


async def test_a_reward_that_is_given_without_a_network_counts_once_and_no_other_till_gives_it(
    tmp_path: Path, centre: Centre
) -> None:
    # given a member with 250 points, 200 of them set aside where they shop
    async with counter(tmp_path / "till", centre) as first:
        await with_points(first)
    async with counter(tmp_path / "other", centre, "4") as other:
        # when that register has no network and gives both, and the other one tries
        async with counter(tmp_path / "till", centre, exchanging=False) as first:
            sale = await first.opened(2)
            told_offline = await first.redeem(sale, 200)
            with pytest.raises(SaleRefusedError) as refused:
                await other.redeem(await other.opened(2))
            await first.close(sale, 2)
        assert told_offline.online is False
        assert "register 12/3 holds the rest" in str(refused.value)
        # then it counts once it is back, and what the goods earned after points had paid a part of them
        async with counter(tmp_path / "till", centre) as first:
            await told(first)
            assert redemptions(centre) == [(200, "[]")]
            assert balance(centre) == 250 - 200 + 15
            # and both show what is left
            for at in (first, other):
                await at.till.until(partial(shows, at, Balance(confirmed=65, pending=0, spendable=65)))


def shows(at: Counter, wanted: Balance) -> bool:
    member = at.till.store.member(MEMBER)
    return member is not None and member.balance == wanted


async def test_two_tills_that_try_the_same_points_at_once_give_one_reward(tmp_path: Path, centre: Centre) -> None:
    # given points for one reward that nobody holds yet
    nothing_ahead = Policy(places=0)
    centre.write(lambda connection: planning.set_policy(connection, nothing_ahead, "to be asked", utc_now()))
    async with counter(tmp_path / "till", centre) as first, counter(tmp_path / "other", centre, "4") as other:
        await first.till.sell(receipt(1, CARD, 199 * 100))
        for at in (first, other):
            await at.till.until(partial(shows, at, Balance(confirmed=199, pending=0, spendable=199)))

        # when both ask the centre for them at once
        sales = [await at.opened(2) for at in (first, other)]
        tried = await asyncio.gather(first.redeem(sales[0]), other.redeem(sales[1]), return_exceptions=True)

        # then one has them
        assert {type(one) for one in tried} == {SaleReport, SaleRefusedError}
        for at, sale in zip((first, other), sales, strict=True):
            await at.close(sale, 2)
            await told(at)
        assert redemptions(centre) == [(UNIT, "[]")]


async def test_a_pos_that_repeats_everything_redeems_once(tmp_path: Path, centre: Centre) -> None:
    async with counter(tmp_path / "till", centre) as at:
        await with_points(at)
        sale = await at.opened(2)
        answers = [await at.redeem(sale, call="redeem-1") for _ in range(3)]
        document = at.document(2)
        closed = [await at.sales.close(sale, msgspec.json.encode(document), "close-1") for _ in range(3)]
        await told(at)

    assert answers[0] == answers[1] == answers[2]
    assert closed[0] == closed[1] == closed[2]
    assert redemptions(centre) == [(UNIT, "[]")]
    assert balance(centre) == 250 - UNIT + 15


async def test_who_brings_everything_back_has_what_they_had(tmp_path: Path, centre: Centre) -> None:
    """Bought with a reward and refunded: the points come back once, and what was earned goes once."""
    async with counter(tmp_path / "till", centre) as at:
        await with_points(at)
        sale = await at.opened(2)
        await at.redeem(sale)
        document = at.document(2)
        await at.sales.close(sale, msgspec.json.encode(document), None)
        await told(at)
        assert balance(centre) == 250 - UNIT + 15

        back = document | {
            "kind": "return",
            "number": "3",
            "total_minor": -2000,
            "lines": [document["lines"][0] | {"amount_minor": -2000, "quantity": "-1"}],
            "tenders": [{"kind": "points", "amount_minor": -500}, {"kind": "cash", "amount_minor": -1500}],
            "original": {"number": "2", "store": "12", "register": at.number, "business_day": "2026-11-22"},
        }
        for _ in range(2):  # a retry
            await at.webhook.take(msgspec.json.encode(back), None)
        await told(at)

    assert balance(centre) == 250


async def test_who_buys_brings_it_back_and_spends_gets_nothing(tmp_path: Path, centre: Centre) -> None:
    # Given 250 points of goods, 200 of them set aside here
    async with counter(tmp_path / "till", centre) as at:
        await with_points(at)
        # When all the goods are brought back at the same register, and two rewards are wanted at once
        back = at.document(9) | {"kind": "return", "total_minor": -25000, "tenders": []}
        back["lines"] = [{"position": 1, "description": "KAFA", "quantity": "-1", "amount_minor": -25000}]
        back["original"] = {"key": receipt(1, CARD, 25000, register_number=at.number).key}
        await at.webhook.take(msgspec.json.encode(back), None)
        with pytest.raises(SaleRefusedError):
            await at.redeem(await at.opened(2), 200)
        # Then they are not given, nor later
        await told(at)
        await at.till.until(partial(shows, at, Balance()))
        with pytest.raises(SaleRefusedError):
            await at.redeem(await at.opened(3), 200)
        # And what was set aside is free again, for what is bought next
        await at.till.until(lambda: at.safe == 0 and at.till.store.queued() == 0)
        await at.till.sell(receipt(4, CARD, 10000, register_number=at.number))
        await at.till.until(lambda: at.safe == UNIT)

    assert redemptions(centre) == []


async def test_a_copied_register_spends_nothing_once_either_has_reached_the_centre(
    tmp_path: Path, centre: Centre
) -> None:
    # given a register with 200 points set aside, and a copy of its whole disk
    async with counter(tmp_path / "till", centre) as at:
        await with_points(at)
        epoch = at.till.store.live_epoch_id()
    shutil.copytree(tmp_path / "till", tmp_path / "copy")
    # when the register spends one reward, and the copy comes on the line after it
    async with counter(tmp_path / "till", centre) as at:
        sale = await at.opened(2)
        await at.redeem(sale)
        await at.close(sale, 2)
        await told(at)
    async with counter(tmp_path / "copy", centre) as copy:
        await copy.till.until(lambda: copy.till.store.live_epoch_id() != epoch)
        # then the copy has nothing to spend, and is granted nothing of what the epoch before it may still have spent
        assert copy.safe == 0
        with pytest.raises(SaleRefusedError):
            await copy.redeem(await copy.opened(9))
        await told(copy)
    # nor has the register any more
    async with counter(tmp_path / "till", centre) as at:
        await at.till.until(lambda: at.safe == 0)
        with pytest.raises(SaleRefusedError):
            await at.redeem(await at.opened(10))

    assert redemptions(centre) == [(UNIT, "[]")]
    # and a person sees what is left of it, and that nobody can spend it
    held = centre.database.read_now(allowance_desk.listed)
    assert [(one.left, one.is_live) for one in held.allowances] == [(UNIT, False)]
