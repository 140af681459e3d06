"""The feed: one order, pages, snapshots that go on into it, one member on demand."""

from __future__ import annotations

import pytest

from tests.conformance.conftest import MEMBERS
from tests.conformance.feed import State, changes_after, page, rows_of, state_of
from tests.conformance.register import Register
from tests.conformance.rules import require
from tests.conformance.shapes import Ingested

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_pages_of_any_size_come_to_the_same(register: Register, sold: Ingested) -> None:
    start = min(outcome.pos for outcome in sold.outcomes) - 1
    whole, single = State(), State()
    whole.apply((await changes_after(register, start))[0])
    one_by_one, _ = await changes_after(register, start, limit=1)
    single.apply(one_by_one)
    missing = whole.newest.keys() - single.newest.keys()
    require(not missing, "changes", f"Read one change at a time, {len(missing)} members are not in the feed.")
    first = await page(register, start, 1)
    require(first.more or len(whole.newest) == 1, "changes", "A page of one of several changes says there are no more.")


async def test_the_feed_reaches_what_was_told(register: Register, sold: Ingested) -> None:
    told = max(*(outcome.pos for outcome in sold.outcomes), (await register.heartbeat()).feed)
    _, reached = await changes_after(register, 0 if told < 1000 else told - 1000)
    require(reached >= told, "changes", f"Position {told} was told, and the feed ends at {reached}.")


async def test_a_later_change_has_a_later_position(register: Register, sold: Ingested) -> None:
    before = sold.outcomes[0].pos
    register.receipt(register.sale(code=MEMBERS[0]))
    [outcome] = (await register.ingest(len(sold.outcomes) + 1)).outcomes
    if outcome.pos == before:
        pytest.skip("a sale changes nothing of a member's row; is a program in force?")
    newest = max(one.pos for one in sold.outcomes)
    require(outcome.pos > newest, "down", f"A sale after one at position {newest} is at {outcome.pos}.")
    found, _ = await changes_after(register, newest)
    require(outcome.pos <= max((one.pos for one in found), default=0), "changes", "A told position is not in the feed.")


async def test_a_position_that_was_not_given_asks_for_a_snapshot(register: Register) -> None:
    answer = await register.get(f"/v1/changes?after={2**62}&limit=10")
    require(answer.status == 410, "changes", f"The feed has not come that far; the centre answered {answer}.")


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=5", "after=0&limit=0", "after=0&limit=1001"])
async def test_a_query_that_makes_no_sense_is_refused(register: Register, query: str) -> None:
    answer = await register.get(f"/v1/changes?{query}")
    require(answer.status == 422, "changes", f"The query was {query!r}; the centre answered {answer}; 422 is due.")


async def test_what_is_held_of_another_scope_asks_for_a_snapshot(register: Register, sold: Ingested) -> None:
    # Given a centre that tells registers what they should hold
    scope, snapshot = (await register.heartbeat()).scope, await register.snapshot()
    if scope is None:
        pytest.skip("the centre names no scope in its heartbeat")
    require(
        snapshot.scope == scope, "scopes", f"The heartbeat names the scope {scope!r}, a snapshot {snapshot.scope!r}."
    )
    # Then one who holds that gets the changes, and one who holds something else does not
    same = await register.get(f"/v1/changes?after={snapshot.as_of}&limit=10&scope={scope}")
    require(same.status == 200, "changes", f"The scope is the register's own; the centre answered {same}.")
    other = await register.get(f"/v1/changes?after={snapshot.as_of}&limit=10&scope=conformance-other")
    require(
        other.status == 410, "changes", f"The scope is not the register's; the centre answered {other}; 410 is due."
    )


async def test_a_snapshot_and_what_comes_after_it_are_the_whole(register: Register, sold: Ingested) -> None:
    # Given a snapshot, after which things go on
    snapshot = await register.snapshot()
    register.receipt(register.sale(code=MEMBERS[1]))
    await register.ingest(len(sold.outcomes) + 1)
    begun = State()
    begun.apply(await rows_of(register, snapshot))
    begun.apply((await changes_after(register, snapshot.as_of, limit=2))[0])
    # Then it is what the feed from its beginning comes to, where that can still be read
    answer = await register.get("/v1/changes?after=0&limit=1")
    if answer.status == 410:
        pytest.skip("the centre keeps no feed from its beginning")
    whole = State()
    whole.apply((await changes_after(register, 0))[0])
    differing = {
        name
        for name in begun.members.keys() | whole.members.keys()
        if begun.members.get(name) != whole.members.get(name)
    }
    require(
        not differing,
        "snapshots",
        f"A snapshot and the changes after it differ from all changes in {len(differing)} members.",
    )
    for code in MEMBERS:
        begun.by_code(code)


async def test_a_chunk_stays_what_it_is(register: Register, sold: Ingested) -> None:
    snapshot = await register.snapshot()
    if not snapshot.chunks:
        pytest.skip("the centre makes no snapshots")
    before = await rows_of(register, snapshot)
    register.receipt(register.sale(code=MEMBERS[2]))
    await register.ingest(len(sold.outcomes) + 1)
    require(await rows_of(register, snapshot) == before, "snapshots", "A chunk changed after its digest was told.")


async def test_a_chunk_that_is_no_more_says_so(register: Register, sold: Ingested) -> None:
    snapshot = await register.snapshot()
    if not snapshot.chunks:
        pytest.skip("the centre makes no snapshots")
    answer = await register.get(f"{snapshot.chunks[0].url}9999")
    gone = answer.status in (404, 410)
    require(gone, "snapshots", f"There is no such chunk; the centre answered {answer}; 404 or 410 is due.")


async def test_a_member_is_found_by_any_way_of_writing_a_code(register: Register, sold: Ingested) -> None:
    found = await register.member(MEMBERS[0])
    if found is None:
        pytest.skip("the centre tells of no member on demand")
    held = (await state_of(register)).by_code(MEMBERS[0])
    require(
        found.row.member == held.row.member, "a-member-on-demand", "The member on demand is another than the feed's."
    )
    again = await register.member("conf-%200001")
    other = again is not None and again.row.member == found.row.member
    require(other, "a-member-on-demand", "A code in lower case, with a hyphen and a space, names nobody or another.")


async def test_a_code_that_nobody_has_is_404(register: Register) -> None:
    answer = await register.get("/v1/members/CONFORMANCE-NOBODY")
    require(answer.status == 404, "a-member-on-demand", f"Nobody has this code; the centre answered {answer}.")
