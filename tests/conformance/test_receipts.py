"""One transaction counts once, under whichever of its ids it comes; points of it are in the feed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import MEMBERS
from tests.conformance.feed import state_of
from tests.conformance.register import Register, fresh
from tests.conformance.rules import require
from tests.conformance.shapes import Ingested, Signed

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROGRAM = json.loads(Path(__file__).with_name("program.json").read_text(encoding="utf-8"))


async def outcomes(register: Register, *receipts: dict[str, Any]) -> list[str]:
    first = len(register.entries) + 1
    for receipt in receipts:
        register.receipt(receipt)
    return (await register.ingest(first)).codes


def due(found: list[str], expected: list[str], what: str) -> None:
    require(found == expected, "kinds", f"{what}; the outcomes are {found}; {expected} are due.")


async def test_the_same_receipt_again_is_a_duplicate(register: Register, other: Register) -> None:
    receipt = register.sale()
    due(await outcomes(register, receipt, receipt), ["accepted", "duplicate"], "A receipt came twice")
    due(await outcomes(register, receipt), ["duplicate"], "A receipt came again in another batch")
    due(await outcomes(other, receipt), ["duplicate"], "A receipt came again from another register")
    await register.open_epoch()
    due(await outcomes(register, receipt), ["duplicate"], "A receipt came again in a new epoch")


async def test_any_of_its_ids_means_the_same_receipt(register: Register) -> None:
    # Given a receipt known by a fiscal number and by the till's
    fiscal, own, third = fresh("hr-fisk"), fresh("pos"), fresh("pos")
    due(await outcomes(register, register.sale(ids=(fiscal, own))), ["accepted"], "A receipt came")
    # Then either of them is enough, and teaches one more
    due(await outcomes(register, register.sale(ids=(own,))), ["duplicate"], "A receipt came under its other id")
    due(await outcomes(register, register.sale(ids=(fiscal, third))), ["duplicate"], "A receipt came with one id more")
    due(
        await outcomes(register, register.sale(ids=(third,))), ["duplicate"], "A receipt came under an id learned later"
    )


@pytest.mark.parametrize(
    "changed",
    [{"total_minor": 99_00}, {"currency": "RSD"}, {"issued_at": "2026-01-01T00:00:00Z"}],
    ids=lambda changed: next(iter(changed)),
)
async def test_an_identity_with_other_content_is_set_aside(register: Register, changed: dict[str, Any]) -> None:
    receipt = register.sale()
    found = await outcomes(register, receipt, receipt | changed, register.sale())
    what = f"A known identity came with another {next(iter(changed))}, between two honest receipts"
    due(found, ["accepted", "quarantined", "accepted"], what)


async def test_ids_of_two_receipts_are_set_aside(register: Register) -> None:
    one, other = fresh("pos"), fresh("pos")
    found = await outcomes(register, register.sale(ids=(one,)), register.sale(ids=(other,)))
    due(found, ["accepted", "accepted"], "Two receipts came")
    due(await outcomes(register, register.sale(ids=(one, other))), ["quarantined"], "A receipt came with ids of both")


async def test_a_receipt_may_come_to_be_final(register: Register) -> None:
    final = register.sale()
    parked = final | {"status": "suspended"}
    found = await outcomes(register, parked, final, final, parked)
    due(found, ["accepted", "accepted", "duplicate", "duplicate"], "A receipt came suspended, final, final, suspended")


async def test_attaching_twice_is_once(register: Register) -> None:
    receipt = register.sale()
    body = {"target": receipt["key"], "member": {"code": MEMBERS[0], "kind": "card", "entry": "typed"}}
    register.receipt(receipt)
    register.write("attach", body)
    register.write("attach", body)
    taken = await register.ingest()
    if taken.codes[1] == "quarantined":
        pytest.skip("the centre does not take in entries of kind attach")
    due(taken.codes, ["accepted", "accepted", "duplicate"], "A receipt was attached to the same member twice")


async def test_a_receipt_that_was_read_wrong_is_read_again(register: Register) -> None:
    # Given a receipt whose lines do not come to its total, and how it reads right
    right = register.sale(total_minor=100_00)
    lines = [right["lines"][0] | {"amount_minor": 90_00}]
    wrong = right | {"lines": lines, "problems": [{"code": "total_mismatch", "detail": "a line is missing"}]}
    body = {"target": right["key"], "reading": {"receipt": right, "claims": []}}
    due(await outcomes(register, wrong), ["accepted"], "A receipt came that earns nothing")
    # When it is corrected, that counts, once
    first = len(register.entries) + 1
    for _ in range(2):
        register.write("correct", body, key=right["key"])
    taken = await register.ingest(first)
    if taken.codes[0] == "quarantined":
        pytest.skip("the centre does not take in entries of kind correct")
    due(taken.codes, ["accepted", "duplicate"], "A receipt was corrected twice")
    # And what has nothing to correct, or is not there, is set aside
    sound, unknown = register.sale(), register.sale()
    due(await outcomes(register, sound), ["accepted"], "A receipt came")
    first = len(register.entries) + 1
    for receipt, total in ((sound, 50_00), (unknown, 100_00)):
        body = {"target": receipt["key"], "reading": {"receipt": receipt | {"total_minor": total}, "claims": []}}
        register.write("correct", body, key=receipt["key"])
    taken = await register.ingest(first)
    due(taken.codes, ["quarantined"] * 2, "A sound receipt was corrected, and one that never came")


@pytest.mark.parametrize("kind", ["detach", "void"])
async def test_a_kind_that_need_have_no_effect_holds_up_nothing(register: Register, kind: str) -> None:
    receipt = register.sale()
    register.receipt(receipt)
    register.write(kind, {"target": receipt["key"]})
    register.signal()
    found = (await register.ingest()).codes
    taken = found[1] in {"accepted", "quarantined"} and found[::2] == ["accepted"] * 2
    require(taken, "kinds", f"An entry of kind {kind} came between two that are sound; the outcomes are {found}.")


async def test_points_of_a_sale_are_in_the_feed(register: Register, sold: Ingested) -> None:
    # Given a centre that has the suite's program in force, and what its members have
    told = (await register.heartbeat()).program
    if told is None:
        pytest.skip("the centre names no program")
    signed = (await register.get(f"/v1/programs/{told}")).read(Signed, "programs-item-maps-config")
    if json.loads(signed.text).get("program") != PROGRAM["program"]:
        pytest.skip("another program than tests/conformance/program.json is in force")
    before = (await state_of(register)).by_code(MEMBERS[0])
    # When one of them buys for 123.45, and the same receipt comes again
    receipt = register.sale(code=MEMBERS[0], total_minor=123_45)
    register.receipt(receipt)
    register.receipt(receipt)
    taken = await register.ingest(len(sold.outcomes) + 1)
    # Then their row has 12 points more, at the position that the outcome named
    row = (await state_of(register)).by_code(MEMBERS[0])
    gained = row.row.balance.points - before.row.balance.points
    require(gained == 12, "changes", f"A point for each 10.00 of 123.45 is due; the member's row has {gained} more.")
    pos = taken.outcomes[0].pos
    require(row.pos >= pos > 0, "up", f"The outcome names position {pos}, the member's row is of {row.pos}.")
