"""Rewards after goods were brought back: what was set aside for them is not given beyond the balance that is known."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from loyalty.ledger import LedgerEntry
from loyalty.member import Balance
from sync.wire import NothingGranted
from tests.agent.shop import ANA, Shop
from tests.agent.test_sales import Pos, ready, states, till


async def short(shop: Shop) -> None:
    """Ana has 2,000 points, 1,000 of them set aside here, and brought back goods of 1,800 at this register."""
    await ready(shop, points=1000)
    entry = LedgerEntry(receipt="back", rule="base", points=-1800, basis_minor=1, why="back")
    await shop.store.write(lambda writing: writing.add_claims("back", ANA.member, (entry,)))


async def wanted(pos: Pos) -> tuple[int, str]:
    """What becomes of a reward of 500 points: the status, and the state or the reason."""
    name = await pos.opened()
    status, document = await pos.ask("POST", f"/{name}/redemptions", {"reward": "r5"})
    return status, document["reason"] if status == 409 else states(document)[-1]


async def test_what_was_brought_back_here_is_not_given_without_a_network(shop: Shop) -> None:
    await short(shop)
    async with till(shop) as pos:
        report = await pos.told("GET", f"/{await pos.opened()}")
        assert (report["member"]["spendable"], report["safe_offline"]) == (200, 200)

        assert await wanted(pos) == (409, "not_enough")


async def test_what_was_brought_back_here_is_not_given_by_a_centre_that_does_not_know(shop: Shop) -> None:
    await short(shop)
    async with till(shop) as pos:
        pos.centre.is_online = True

        assert await wanted(pos) == (409, "not_enough")

    assert pos.centre.wanted == [(ANA.member, 300)]


@pytest.mark.parametrize(
    ("refused", "becomes"),
    [
        (None, (201, "reserved")),
        (NothingGranted(detail=""), (201, "reserved")),
        (NothingGranted(detail="goods were brought back"), (409, "not_enough")),
    ],
    ids=["granted", "no answer in time", "refused"],
)
async def test_beyond_a_balance_that_may_be_old_the_centre_is_asked_first(
    shop: Shop, refused: NothingGranted | None, becomes: tuple[int, str]
) -> None:
    # Given points that are set aside here, and a row that tells of none
    await ready(shop, points=500, ana=replace(ANA, balance=Balance()))
    async with till(shop) as pos:
        # When a reward is wanted, and the centre says nothing, or has its say
        pos.centre.is_online, pos.centre.refuses = True, refused
        # Then that counts, and without a word what was set aside does
        assert await wanted(pos) == becomes

    assert pos.centre.wanted == [(ANA.member, 0)]


async def test_without_a_network_an_old_balance_stands_in_nobodys_way(shop: Shop) -> None:
    await ready(shop, points=500, ana=replace(ANA, balance=Balance()))
    async with till(shop) as pos:
        assert await wanted(pos) == (201, "reserved")
