"""What a register tells of members: that somebody joined, under which codes, and what came of it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import pytest

from tests.conformance.feed import state_of
from tests.conformance.register import Register, phone_code
from tests.conformance.rules import require
from tests.conformance.shapes import Erasures, Json, Row

pytestmark = pytest.mark.asyncio(loop_scope="session")


@dataclass(frozen=True, kw_only=True)
class Joined:
    """Somebody who joined at this register in this test; nobody else has their id and codes."""

    id: str
    card: str
    number: str
    body: Json


def joining(register: Register) -> Joined:
    unique = secrets.token_hex(6)
    member, card, number = f"c-{unique}", f"CONFJ{unique.upper()}", f"+381{secrets.randbelow(10**11):011d}"
    told = {"value": "Eva C.", "hlc": register.hlc}
    body = {
        "provisional_id": member,
        "fields": {"short_name": told, "phone": {"value": number, "hlc": register.hlc}},
        "consent": [{"channel": "sms", "state": "granted", "text_version": "1"}],
        "codes": [{"kind": "card", "code": card}, {"kind": "phone", "code": number}],
    }
    return Joined(id=member, card=card, number=number, body=body)


async def joined(register: Register) -> Joined:
    """Somebody whose join was taken in; skips where the centre does not take joins in."""
    one = joining(register)
    register.write("join", one.body)
    taken = await register.ingest(len(register.entries))
    if taken.codes == ["quarantined"]:
        pytest.skip("the centre does not take in entries of kind join")
    require(taken.codes == ["accepted"], "kinds", f"Somebody joined whom nobody knew; the outcome is {taken.codes}.")
    return one


async def row_of(register: Register, member: str) -> Row | None:
    held = (await state_of(register)).members.values()
    return next((change.row for change in held if change.row is not None and member in change.row.ids), None)


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


async def test_erasures_are_numbered(register: Register) -> None:
    newest = (await register.heartbeat()).erasures
    if newest is None:
        pytest.skip("the centre names no erasures")
    found = (await register.get("/v1/erasures?after=0")).read(Erasures, "erasures")
    numbers = [one.number for one in found.erasures]
    require(numbers == sorted(set(numbers)), "erasures", f"Erasures are numbered {numbers}.")
    require(found.more or max(numbers, default=0) >= newest, "erasures", f"{newest} was told; there are {numbers}.")
