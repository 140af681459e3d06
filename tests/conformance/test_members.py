"""What a register tells of members: that somebody joined, under which codes, and what came of it."""

from __future__ import annotations

import asyncio

import pytest

from tests.conformance.conftest import Centre
from tests.conformance.feed import changes_after
from tests.conformance.joining import joined, joining, row_of
from tests.conformance.register import Register, erased_code, phone_code
from tests.conformance.rules import require
from tests.conformance.shapes import Consent, Erasures

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_who_joined_at_a_register_is_in_the_feed(register: Register) -> None:
    one = await joined(register)
    row = await row_of(register, one.id)
    require(row is not None, "kinds", "Somebody joined at this register, and is not in its feed.")
    assert row is not None
    require(row.short_name == "Eva C.", "rows", f"Eva C. joined, and the row says {row.short_name!r}.")
    codes = {identifier.code for identifier in row.identifiers}
    require(one.card in codes, "rows", f"A card was told in the join; the row's codes are {codes}.")
    told = [code for code in codes if one.number.lstrip("+") in code]
    require(not told, "codes", f"A telephone number stands in the feed: {told}.")


async def test_a_telephone_number_names_a_member_by_its_code(register: Register) -> None:
    one, code_key = await joined(register), (await register.heartbeat()).code_key
    if code_key is None:
        pytest.skip("the centre tells no code_key")
    row = await row_of(register, one.id)
    codes = set() if row is None else {identifier.code for identifier in row.identifiers}
    code = phone_code(one.number, code_key)
    require(code in codes, "codes", f"The code of the number that was told is {code}; the row's are {codes}.")


async def test_a_join_that_comes_again_is_a_duplicate(register: Register) -> None:
    one = await joined(register)
    await register.open_epoch()
    register.write("join", one.body)
    taken = await register.ingest()
    require(taken.codes == ["duplicate"], "kinds", f"A join came again in a new epoch; the outcome is {taken.codes}.")


async def test_a_card_that_joins_again_is_the_same_member(register: Register, other: Register) -> None:
    one = await joined(register)
    again = joining(other)
    other.write("join", again.body | {"codes": one.body["codes"]})
    taken = await other.ingest()
    require(taken.codes == ["accepted"], "kinds", f"A known card joined at another register; it is {taken.codes}.")
    row = await row_of(register, one.id)
    ids = set() if row is None else row.ids
    require(
        {one.id, again.id} <= ids, "rows", f"{one.id} and {again.id} joined with one card; the row's ids are {ids}."
    )


async def test_what_is_told_of_a_member_by_any_of_their_ids_counts(register: Register) -> None:
    one = await joined(register)
    first = len(register.entries) + 1
    told = {"value": "Eva K.", "hlc": register.hlc}
    register.write("profile", {"member": one.id, "fields": {"short_name": told}})
    register.write("consent", {"member": one.id, "channel": "sms", "state": "withdrawn", "text_version": "1"})
    register.write("profile", {"member": "c-nobody", "fields": {"short_name": told}})
    taken = await register.ingest(first)
    expected = ["accepted", "accepted", "quarantined"]
    require(taken.codes == expected, "kinds", f"A name, a consent, and a name of nobody were told: {taken.codes}.")
    row = await row_of(register, one.id)
    require(row is not None and row.short_name == "Eva K.", "rows", "A later name was told, and the row has another.")


async def test_a_grant_counts_if_it_saw_the_withdrawal(register: Register) -> None:
    # Given somebody who had agreed to be written to, and withdrew that
    one = await joined(register)
    said = {"member": one.id, "channel": "sms", "text_version": "2"}
    first = len(register.entries) + 1
    register.write("consent", said | {"state": "withdrawn"})
    # When a page that did not show it says otherwise later
    register.write("consent", said | {"state": "granted"})
    taken = await register.ingest(first)
    require(taken.codes == ["accepted"] * 2, "kinds", f"A consent was withdrawn, and granted: {taken.codes}.")
    # Then it counts for nothing
    shown = await consent_of(register, one.id)
    require(
        shown.state == "withdrawn",
        "kinds",
        "A grant counted that had not seen the withdrawal: it named nothing in seen.",
    )
    # And one from a page that showed it counts
    register.write("consent", said | {"state": "granted", "seen": shown.hlc})
    await register.ingest(first + 2)
    shown = await consent_of(register, one.id)
    require(shown.state == "granted", "kinds", "A grant named in seen what the row had shown, and does not count.")


async def consent_of(register: Register, member: str) -> Consent:
    """What the feed says of the channel `sms`."""
    row = await row_of(register, member)
    found = [] if row is None else [one for one in row.consents if one.channel == "sms"]
    require(len(found) == 1, "rows", f"Something was said of the channel sms; the row has {len(found)} consents of it.")
    return found[0]


async def test_who_is_erased_is_told_of_everywhere_and_does_not_come_back(
    centre: Centre, register: Register, other: Register
) -> None:
    if centre.erase is None:
        pytest.skip("no --erase-command was given")
    one, before = await joined(register), await register.heartbeat()
    if before.erasures is None or before.code_key is None:
        pytest.skip("the centre names no erasures")
    # When somebody is erased
    await asyncio.to_thread(centre.erase, one.id)
    # Then that has a number, with what named them
    newest = (await register.heartbeat()).erasures or 0
    require(newest > before.erasures, "erasures", f"Somebody was erased; the heartbeat names {newest} still.")
    found = (await register.get(f"/v1/erasures?after={before.erasures}")).read(Erasures, "erasures").erasures
    mine = [erasure for erasure in found if one.id in (erasure.member, *erasure.aliases)]
    require(len(mine) == 1, "erasures", f"{one.id} was erased, and stands in {len(mine)} of the erasures.")
    code = erased_code(one.card, before.code_key)
    require(code in mine[0].codes, "erasures", f"The digest of {one.card} is {code}; the erasure has {mine[0].codes}.")
    # And what is sent of them by one that was away brings nobody back
    other.write("join", one.body)
    other.write("profile", {"member": one.id, "fields": {"note": {"value": "tall", "hlc": other.hlc}}})
    other.receipt(other.sale(code=one.card))
    await other.ingest()
    register.write("erased", {"member": mine[0].member, "erasure": mine[0].number})
    taken = await register.ingest(len(register.entries))
    require(taken.codes == ["accepted"], "kinds", f"An erasure was confirmed; the outcome is {taken.codes}.")
    # And all are told that they are to forget them
    for each in (register, other):
        changes, _ = await changes_after(each, before.feed)
        told = {change.op for change in changes if change.member == mine[0].member}
        require(told == {"erase"}, "changes", f"{one.id} was erased; the feed tells of {told or 'nothing'}.")
    row = await row_of(other, one.id)
    require(row is None, "erasures", f"{one.id} was erased, and is in a snapshot again: {row}.")


async def test_erasures_are_numbered(register: Register) -> None:
    newest = (await register.heartbeat()).erasures
    if newest is None:
        pytest.skip("the centre names no erasures")
    found = (await register.get("/v1/erasures?after=0")).read(Erasures, "erasures")
    numbers = [one.number for one in found.erasures]
    require(numbers == sorted(set(numbers)), "erasures", f"Erasures are numbered {numbers}.")
    require(found.more or max(numbers, default=0) >= newest, "erasures", f"{newest} was told; there are {numbers}.")
