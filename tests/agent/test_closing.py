"""What a receipt that closes a sale confirms: once, of its own, and what it shows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from loyalty.member import Balance
from loyalty.program import Program, program_hash, program_json
from sync.programs import follow_schedule, keep_program
from sync.store.writing import Writing
from sync.wire import AnnouncedProgram, SignedProgram
from tests.agent.shop import ANA, BORA, Shop, at
from tests.agent.test_sales import PROGRAM, RICH, Clock, Pos, grant, ready, redeemed, states, till
from tests.agent.test_webhook import key, sale

OFF_MINOR = 5000


def shown(number: int, off_minor: int = OFF_MINOR, **more: Any) -> dict[str, Any]:
    """The sale with so much off, by default what one reward takes."""
    whole = sale(number)
    off = {"description": "OFF", "amount_minor": off_minor}
    return whole | {"total_minor": whole["total_minor"] - off_minor, "discounts": [off], "tenders": []} | more


async def reserved(pos: Pos, number: int = 1, *, code: str = "TS1001", basket: dict[str, Any] | None = None) -> str:
    """A sale with one reward of 50.00."""
    name = await pos.opened(code, basket or sale(number))
    await pos.told("POST", f"/{name}/redemptions", {"reward": "r5"})
    return name


async def posted(pos: Pos, receipt: dict[str, Any]) -> None:
    """A receipt that closes no sale."""
    status, _ = await pos.ask("POST", "/../receipts", receipt)
    assert status == 200


@pytest.mark.parametrize("code", ["TS1001", "TS1002"])
async def test_a_receipt_gives_what_it_shows_once_whoever_closes_with_it_again(shop: Shop, code: str) -> None:
    # Given two open sales with a reward each, of one member or of two
    await ready(shop)
    bora = replace(BORA, balance=Balance(confirmed=500, spendable=500))
    await shop.seed((RICH, bora), PROGRAM)
    await grant(shop, 500, number=2, member="m-bora")
    async with till(shop) as pos:
        first, second = await reserved(pos), await reserved(pos, code=code)
        # When both are closed by the same receipt, which shows one
        closed = await pos.told("POST", f"/{first}/close", shown(1))
        again = await pos.told("POST", f"/{second}/close", shown(1))
        # Then the first has it, and the POS reads why the other has not
        assert (states(closed), closed["warnings"]) == (["confirmed"], [])
        assert (again["state"], states(again), again["warnings"]) == ("ended", ["lapsed"], ["receipt_of_another"])
        assert [body.receipt for body in redeemed(shop)] == [key(1)]
        # And its own receipt closes it still
        closed = await pos.told("POST", f"/{second}/close", shown(2))
        assert (closed["state"], states(closed), closed["warnings"]) == ("closed", ["confirmed"], [])


async def test_two_sales_that_one_receipt_pays_for_give_what_it_shows_of_both(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        first, second = await reserved(pos), await reserved(pos, 2)
        for name in (first, second):
            closed = await pos.told("POST", f"/{name}/close", shown(1, 2 * OFF_MINOR))
            assert (states(closed), closed["warnings"]) == (["confirmed"], [])

    assert len(redeemed(shop)) == 2


async def test_a_receipt_that_is_known_with_other_content_gives_nothing(shop: Shop) -> None:
    # Given a sale that was closed, and another one with a reward
    await ready(shop)
    async with till(shop) as pos:
        await pos.told("POST", f"/{await pos.opened()}/close", sale(1))
        name = await reserved(pos, 2)
        # When that is closed under the number of the first
        other = [{"position": 1, "description": "X", "amount_minor": 9999}]
        closed = await pos.told("POST", f"/{name}/close", sale(1, total_minor=9999, lines=other, tenders=[]))
        # Then a person has the receipt, and the reward can be had again
        assert (closed["state"], states(closed), closed["warnings"]) == ("ended", ["lapsed"], ["receipt_conflict"])
        assert [why.split(":")[0] for why in closed["quarantined"]] == ["conflict"]
        assert (redeemed(shop), closed["safe_offline"]) == ([], 1000)


@pytest.mark.parametrize(("off_minor", "state"), [(2 * OFF_MINOR - 1, "lapsed"), (2 * OFF_MINOR, "confirmed")])
async def test_what_was_given_up_counts_where_the_receipt_shows_all_of_it(
    shop: Shop, off_minor: int, state: str
) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await reserved(pos)
        await pos.told("POST", f"/{name}/redemptions", {"reward": "r5"})
        await pos.told("POST", f"/{name}/void")

        closed = await pos.told("POST", f"/{name}/close", shown(1, off_minor))

    assert (states(closed), closed["warnings"]) == ([state, state], [])


@pytest.mark.parametrize(("off_minor", "state"), [(OFF_MINOR, "lapsed"), (2 * OFF_MINOR, "confirmed")])
async def test_what_the_basket_had_off_before_is_not_the_reward(shop: Shop, off_minor: int, state: str) -> None:
    # Given a basket with the shop's own 50.00 off, and a reward of as much which is given up
    await ready(shop)
    async with till(shop) as pos:
        name = await reserved(pos, basket=shown(1))
        await pos.told("POST", f"/{name}/void")
        # When its receipt comes all the same
        closed = await pos.told("POST", f"/{name}/close", shown(1, off_minor))
    # Then the reward was given if that shows both
    assert states(closed) == [state]


@pytest.mark.parametrize(("off_minor", "state"), [(OFF_MINOR, "reserved"), (2 * OFF_MINOR, "confirmed")])
async def test_what_the_basket_had_off_before_is_not_the_reward_on_paper_either(
    shop: Shop, off_minor: int, state: str
) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await reserved(pos, basket=shown(1))

        await posted(pos, shown(1, off_minor, member={"code": "TS1001", "kind": "card"}))

        assert states(await pos.told("GET", f"/{name}")) == [state]


async def test_a_sale_that_was_voided_and_is_closed_after_its_points_were_spent_counts_and_says_so(shop: Shop) -> None:
    # Given all that a member has, reserved for a sale that is voided, and spent on the next
    await ready(shop, points=500, ana=replace(ANA, balance=Balance(confirmed=500, spendable=500)))
    async with till(shop) as pos:
        voided = await reserved(pos)
        await pos.told("POST", f"/{voided}/void")
        await pos.told("POST", f"/{await reserved(pos, 2)}/close", shown(2))
        # When the receipt of the first shows its discount after all
        closed = await pos.told("POST", f"/{voided}/close", shown(1))
    # Then it was given, drawn of nothing, and the POS is warned
    assert (states(closed), closed["warnings"]) == (["confirmed"], ["not_set_aside"])
    assert [(body.points, sum(one.points for one in body.drawn)) for body in redeemed(shop)] == [(500, 500), (500, 0)]


async def test_a_suspended_sale_that_is_paid_for_elsewhere_gave_its_reward(shop: Shop) -> None:
    # Given a sale with a reward, closed as suspended, and another open one of the member with as much off
    await ready(shop)
    async with till(shop) as pos:
        name = await reserved(pos)
        closed = await pos.told("POST", f"/{name}/close", shown(1, status="suspended"))
        assert (closed["state"], states(closed)) == ("closed", ["lapsed"])
        other = await reserved(pos, 2)
        # When its final receipt is posted by itself, twice
        for _ in range(2):
            await posted(pos, shown(1))
        # Then its reward was given once, and the other sale is as it was
        assert states(await pos.told("GET", f"/{name}")) == ["confirmed"]
        assert states(await pos.told("GET", f"/{other}")) == ["reserved"]
    assert [(body.receipt, body.points) for body in redeemed(shop)] == [(key(1), 500)]


@pytest.mark.parametrize("again", [True, False])
async def test_a_suspended_sale_that_is_taken_up_as_another_gives_its_reward_once(shop: Shop, again: bool) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await reserved(pos)
        await pos.told("POST", f"/{name}/close", shown(1, status="suspended"))
        taken_up = await reserved(pos) if again else await pos.opened()

        closed = await pos.told("POST", f"/{taken_up}/close", shown(1))

        assert (states(closed), closed["warnings"]) == (["confirmed"] if again else [], [])
        assert states(await pos.told("GET", f"/{name}")) == ["lapsed" if again else "confirmed"]
    assert len(redeemed(shop)) == 1


async def test_a_suspended_sale_that_is_paid_for_without_its_discount_gave_nothing(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        name = await reserved(pos)
        await pos.told("POST", f"/{name}/close", sale(1, status="suspended"))

        await posted(pos, sale(1))

        assert states(await pos.told("GET", f"/{name}")) == ["lapsed"]
    assert redeemed(shop) == []


async def test_a_sale_that_is_paid_for_ahead_gave_its_reward(shop: Shop) -> None:
    await ready(shop)
    async with till(shop) as pos:
        closed = await pos.told("POST", f"/{await reserved(pos)}/close", shown(1, status="advance"))

    assert states(closed) == ["confirmed"]


async def test_a_promise_stands_when_another_program_begins(shop: Shop) -> None:
    # Given a reward that was reserved, and a program with dearer ones under the same names that begins an hour later
    await ready(shop)
    r5 = replace(PROGRAM.rewards[0], cost=900, discount_minor=9000)
    dearer = replace(PROGRAM, program="dearer", rewards=(r5, *PROGRAM.rewards[1:]))
    await shop.store.write(lambda writing: announce(writing, dearer))
    clock = Clock()
    async with till(shop, clock) as pos:
        name = await reserved(pos, basket=undated())
        # When the basket is told again after that, and another reward is chosen
        clock.passed = timedelta(hours=1)
        report = await pos.told("PUT", f"/{name}", {"basket": undated()})
        [one] = report["redemptions"]
        assert (one["state"], one["points"], one["discount_minor"]) == ("reserved", 500, OFF_MINOR)
        await pos.told("POST", f"/{name}/redemptions", {"reward": "r5"})
        await pos.told("POST", f"/{name}/close", shown(1, 2 * OFF_MINOR))
        # Then both are by the terms of the first, and a new sale is by those that hold
        given = [(body.points, body.discount_minor, body.program) for body in redeemed(shop)]
        assert given == [(500, OFF_MINOR, program_hash(PROGRAM))] * 2
        report = await pos.told("GET", f"/{await pos.opened(basket=undated())}")
        assert [one["cost"] for one in report["rewards"] if one["reward"] == "r5"] == [900]


def announce(writing: Writing, later: Program) -> None:
    signed = SignedProgram(hash=program_hash(later), program=program_json(later).decode(), signature="")
    keep_program(writing, signed)
    begins = at(30).wall + timedelta(minutes=30)
    schedule = (
        AnnouncedProgram(program=program_hash(PROGRAM)),
        AnnouncedProgram(program=signed.hash, valid_from=begins),
    )
    follow_schedule(writing, schedule, at(30).wall)


def undated() -> dict[str, Any]:
    """A basket of now, whenever that is."""
    return {name: value for name, value in sale(1).items() if name not in ("issued_at", "business_day")}
