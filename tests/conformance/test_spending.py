"""Points that are set aside for a register, and spent, freed and given back there: nobody else can spend them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.conformance.joining import Joined, joined
from tests.conformance.register import Register
from tests.conformance.rules import require, violated
from tests.conformance.shapes import Allowance, Allowances, Balance, Json

pytestmark = pytest.mark.asyncio(loop_scope="session")

# What a member has who bought once, for 500.00.
HAS = 50


async def asked(register: Register, after: int = 0, **more: Any) -> Allowances:
    answer = await register.post("/v1/allowances", {"epoch": register.epoch, "after": after, **more})
    if answer.status == 404:
        pytest.skip("the centre sets no points aside")
    return answer.read(Allowances, "allowances")


async def wanted(register: Register, one: Joined, points: int, after: int = 0) -> Allowances:
    return await asked(register, after, want={"member": one.id, "points": points})


async def granted(register: Register, one: Joined, points: int) -> Allowance:
    """So many points of somebody, for this register in its epoch."""
    answer = await wanted(register, one, points)
    require(answer.refused is None, "allowances", f"{points} of {HAS} free points were wanted: {answer.refused!r}.")
    mine = [allowance for allowance in answer.allowances if allowance.member == one.id]
    if len(mine) != 1:
        violated("allowances", f"{points} points of one member were wanted, and {len(mine)} allowances came.")
    [allowance] = mine
    found = (allowance.points, allowance.epoch, allowance.recalled)
    require(found == (points, register.epoch, False), "allowances", f"{points} points were wanted; {allowance} came.")
    require(answer.next >= allowance.number, "allowances", f"next is {answer.next}, before {allowance.number}.")
    return allowance


async def with_points(register: Register) -> Joined:
    """Somebody with 50 points that nobody holds; skips where the centre gives none."""
    one = await joined(register)
    register.receipt(register.sale(code=one.card, total_minor=500_00))
    await register.ingest(len(register.entries))
    if await balance(register, one) != Balance(confirmed=HAS, pending=0, spendable=HAS):
        pytest.skip("the centre has another program in force, or evaluates no receipts")
    return one


async def balance(register: Register, one: Joined) -> Balance:
    found = await register.member(one.card)
    if found is None:
        pytest.skip("the centre answers no member on demand")
    return found.row.balance


async def has(register: Register, one: Joined, confirmed: int, spendable: int, when: str) -> None:
    found = await balance(register, one)
    expected = Balance(confirmed=confirmed, pending=0, spendable=spendable)
    require(found == expected, "allowances", f"{when} the row has {found}; {expected} is due.")


async def told(register: Register, kind: str, body: Json, key: str = "") -> str:
    """The outcome of one entry more."""
    register.write(kind, body, key=key)
    [code] = (await register.ingest(len(register.entries))).codes
    return code


def due(found: str, outcome: str, what: str) -> None:
    require(found == outcome, "kinds", f"{what}; the outcome is {found}, and {outcome} is due.")


def reward(register: Register, one: Joined, points: int, *drawn: tuple[str, int]) -> Json:
    return {
        "member": one.id,
        "reward": "conformance",
        "times": 1,
        "points": points,
        "discount_minor": 100,
        "drawn": [{"allowance": allowance, "points": taken} for allowance, taken in drawn],
        "at": register.device.enrolled.server_time.isoformat(),
    }


async def test_points_that_are_set_aside_are_nobody_elses(register: Register, other: Register) -> None:
    one = await with_points(register)
    allowance = await granted(register, one, 20)
    await has(register, one, HAS, HAS - 20, "With 20 points set aside")
    # Another register gets of the rest, and all that it wants or nothing
    refused = await wanted(other, one, HAS - 20 + 1)
    mine = [each for each in refused.allowances if each.member == one.id]
    require(not mine, "allowances", f"{HAS - 19} points were wanted where {HAS - 20} are free; {mine} came.")
    require(refused.refused, "allowances", "A want was not granted, and nothing says why.")
    await granted(other, one, HAS - 20)
    # And each hears of its own
    heard = (await register.heartbeat()).allowances
    require(heard is not None and heard >= allowance.number, "heartbeat", f"It names {heard}, not {allowance.number}.")


async def test_a_want_whose_answer_was_lost_is_granted_once(register: Register) -> None:
    one = await with_points(register)
    first, again = [await granted(register, one, 20) for _ in range(2)]
    require(first == again, "allowances", f"The same want came again after the same number: {first}, then {again}.")
    await has(register, one, HAS, HAS - 20, "With one want that came twice")
    # One that says that it knows of it gets as much again
    after = (await asked(register)).next
    more = await wanted(register, one, 20, after)
    points = [each.points for each in more.allowances if each.member == one.id]
    require(points == [20], "allowances", f"20 points more were wanted after {after}; {points} came.")


async def test_allowances_are_those_of_the_live_epoch(register: Register) -> None:
    one = await with_points(register)
    await granted(register, one, 20)
    before = register.epoch
    after = await register.open_epoch()
    register.epoch = before
    answer = await register.post("/v1/allowances", {"epoch": before, "after": 0})
    require(answer.status == 410, "allowances", f"The epoch has ended; the centre answered {answer}; 410 is due.")
    register.begin(after)
    mine = [each for each in (await asked(register)).allowances if each.member == one.id]
    require(not mine, "allowances", f"An allowance of an epoch that ended was told of in the next: {mine}.")
    await has(register, one, HAS, HAS - 20, "With an allowance of an epoch that ended")


async def test_a_reward_counts_once_and_what_is_returned_is_free(register: Register, other: Register) -> None:
    # Given a reward of 5 points out of 20 that were set aside
    one = await with_points(register)
    allowance, key = await granted(register, one, 20), str(uuid.uuid4())
    body = reward(register, one, 5, (allowance.allowance, 5))
    if await told(register, "redeem", body, key) == "quarantined":
        pytest.skip("the centre does not take in entries of kind redeem")
    await has(register, one, HAS - 5, HAS - 20, "After a reward of 5 points")
    # When the same comes again, it counts once
    due(await told(register, "redeem", body, key), "duplicate", "A redemption came again under its key")
    # And the register that has the allowance gives back what is left of it, once; no other can
    rest = {"allowance": allowance.allowance, "points": 15}
    due(await told(other, "allowance_return", rest), "quarantined", "An allowance came back from another register")
    await has(register, one, HAS - 5, HAS - 20, "After a return that is none")
    due(await told(register, "allowance_return", rest), "accepted", "15 points of an allowance came back")
    await has(register, one, HAS - 5, HAS - 5, "With everything given back")
    await told(register, "allowance_return", rest)
    await has(register, one, HAS - 5, HAS - 5, "With everything given back twice")
    await granted(other, one, HAS - 5)


async def test_a_release_gives_everything_back_once_and_to_its_register(register: Register, other: Register) -> None:
    one = await with_points(register)
    allowance, key = await granted(register, one, 20), str(uuid.uuid4())
    if await told(register, "redeem", reward(register, one, 15, (allowance.allowance, 15)), key) == "quarantined":
        pytest.skip("the centre does not take in entries of kind redeem")
    undone = {"target": key, "because": "conformance"}
    due(await told(other, "release", undone), "quarantined", "Another register released a reward")
    await has(register, one, HAS - 15, HAS - 20, "After a release that is none")
    # Then its points are in the allowance again
    due(await told(register, "release", undone), "accepted", "A reward was released")
    await has(register, one, HAS, HAS - 20, "After a reward was released")
    due(await told(register, "release", undone), "duplicate", "A reward was released again")
    await has(register, one, HAS, HAS - 20, "After a second release")


async def test_a_reward_that_was_given_counts_whatever_was_set_aside_for_it(register: Register) -> None:
    one = await with_points(register)
    body = reward(register, one, 30, ("conformance-made-this-up", 30))
    if (found := await told(register, "redeem", body)) == "quarantined":
        pytest.skip("the centre does not take in entries of kind redeem")
    require(found == "accepted", "kinds", f"A reward named an allowance that is unknown; the outcome is {found}.")
    await has(register, one, HAS - 30, HAS - 30, "After a reward of 30 points without an allowance")
    due(await told(register, "redeem", reward(register, one, 30)), "accepted", "A reward was given beyond the balance")
    row = await balance(register, one)
    require(row.points == HAS - 60, "kinds", f"Rewards of 60 points were given of {HAS}; the row has {row}.")
