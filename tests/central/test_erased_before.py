"""What was made before an erasure and comes after it, what named a member before, and another history: nothing of the
member comes back, and nothing of anybody else goes.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from functools import partial

import msgspec
import pytest
from msgspec import Raw
from msgspec.structs import replace

from central import members, operations, quarantine
from central.db import tables
from loyalty.receipt import MemberReference
from sync.records import AliasBody, AttachBody, Entry, FieldName, JoinBody, ProfileBody, ToldCode, ToldValue
from tests.central.conftest import RunningCentre, everything_in
from tests.central.test_joining import PHONE, join, told
from tests.central.test_joining import row as shown
from tests.central.till import NOON, RefusedError, Till, receipt

NAME, CARD, NEW_PHONE = "Zora Erasable", "ZZ77701", "+38164999888"
# What tells who she was, in any table.
PERSON = (NAME, CARD, "641234567", "123 4567", ":4567", "64999888", ":9888")
ERASED = "the member was erased; nothing of this was kept"


def left(centre: RunningCentre) -> list[str]:
    return [repr(row)[:200] for row in centre.read(everything_in) if any(text in repr(row) for text in PERSON)]


async def erased(centre: RunningCentre) -> Till:
    """p-1 joined with a card and a telephone number, and was erased an hour later; it is two hours later now."""
    till = await centre.till()
    till.told("join", join(name=NAME, card=CARD))
    await till.send(1)
    centre.write(lambda c: operations.erase_member(c, "p-1", NOON + timedelta(hours=1)))
    centre.clock.now = NOON + timedelta(hours=2)
    assert left(centre) == []
    return till


@pytest.mark.parametrize("code", [ToldCode(kind="card", code="zz-77701"), ToldCode(kind="phone", code=PHONE)])
async def test_a_join_of_before_brings_nothing_back(centre: RunningCentre, code: ToldCode) -> None:
    await erased(centre)
    # When another register tells of her what it took in before, with what followed
    other = await centre.till("4")
    fields: dict[FieldName, ToldValue] = {"short_name": told(NAME), "phone": told(PHONE)}
    other.told("join", JoinBody(provisional_id="p-2", fields=fields, codes=(code,)))
    other.told("profile", ProfileBody(member="p-2", fields={"note": told(NAME)}))
    other.told("alias", AliasBody(member="m2", code=ToldCode(kind="card", code=CARD)))
    other.told("alias", AliasBody(member="p-2", code=ToldCode(kind="card", code="ZZ77701X")))
    other.sale(receipt(1), member="p-2")
    outcomes = (await other.send(1)).outcomes

    # Then all of it is taken in, the sale is still hers, and nothing tells who she was
    assert [one.code for one in outcomes] == ["accepted"] * 5
    assert {one.detail for one in outcomes[:4]} == {ERASED}
    assert left(centre) == []
    assert shown(centre, "p-2").member == "p-1"
    assert centre.points("p-1") == 10
    # And the register lets go of the id that it made
    assert ("leave", "p-2") in [(one.op, one.member) for one in (await other.changes()).changes]


async def test_a_join_that_is_brought_afterwards_brings_nothing_back(centre: RunningCentre) -> None:
    till = await centre.till()
    till.told("join", join(name=NAME, card=CARD))
    whole = till.told("join", join("p-2", name=NAME, phone=None, card=CARD))
    till.sent[1] = whole.without_body()
    await till.send(1)
    centre.write(lambda c: operations.erase_member(c, "p-1", NOON + timedelta(hours=1)))
    (item,) = centre.read(quarantine.listed).items
    document = msgspec.json.encode(quarantine.Body(salt=whole.salt or "", body=Raw(whole.json)))

    bring = partial(quarantine.bring_body, item=item.id, document=document, now=NOON + timedelta(hours=2))
    assert centre.write(bring).applied == 1

    assert left(centre) == []


async def test_who_joins_afterwards_with_a_card_that_was_hers_is_somebody_new(centre: RunningCentre) -> None:
    await erased(centre)
    till = await centre.till("4")
    till.told("join", join("p-3", name="Ana N.", phone=None, card=CARD), wall=centre.clock.now)
    (outcome,) = (await till.send(1)).outcomes

    assert (outcome.code, outcome.detail) == ("accepted", msgspec.UNSET)
    assert (shown(centre, CARD).member, shown(centre, CARD).short_name) == ("p-3", "Ana N.")


async def test_of_what_was_told_of_another_only_her_number_goes(centre: RunningCentre) -> None:
    await erased(centre)
    till = await centre.till("4")
    till.told("profile", ProfileBody(member="m2", fields={"note": told("tall"), "phone": told(PHONE)}))
    till.told("profile", ProfileBody(member="nobody", fields={"note": told("tall"), "phone": told(PHONE)}))
    till.told("profile", ProfileBody(member="m2", fields={"phone": told(PHONE, 1)}))
    outcomes = (await till.send(1)).outcomes

    assert [one.code for one in outcomes] == ["accepted", "quarantined", "duplicate"]
    assert shown(centre, "m2").note == "tall"
    assert left(centre) == []


# ---- what named her before


async def test_a_number_that_was_hers_goes_wherever_it_stands_and_names_her_late_sales(centre: RunningCentre) -> None:
    # Given somebody who had another number before; it is in her join, in what was done to it, and set aside
    till = await centre.till()
    till.told("join", join(name=NAME, card=CARD))
    till.told("profile", ProfileBody(member="p-1", fields={"phone": told(NEW_PHONE, 5)}))
    till.told("profile", ProfileBody(member="nobody", fields={"phone": told(PHONE, 6)}))
    till.entry("levitate", "l", b'{"tel":"call 00381 64 123-4567"}')
    await till.send(1)

    centre.write(lambda c: operations.erase_member(c, "p-1", NOON + timedelta(hours=1)))
    assert left(centre) == []

    # And when a sale of before comes under it, it is hers, and does not say so
    centre.clock.now = NOON + timedelta(hours=2)
    await till.sell(receipt(7, member=MemberReference(code=PHONE, kind="phone", entry="typed")))
    assert left(centre) == []
    assert centre.points("p-1") == 10


async def test_a_former_number_that_is_anothers_now_stays_theirs(centre: RunningCentre) -> None:
    till = await centre.till()
    till.told("join", join(name=NAME, card=CARD))
    till.told("profile", ProfileBody(member="p-1", fields={"phone": told(NEW_PHONE, 5)}))
    till.told("profile", ProfileBody(member="m2", fields={"phone": told(PHONE, 6)}))
    till.entry("levitate", "l", b'{"tel":"00381 64 123-4567"}')
    await till.send(1)

    centre.write(lambda c: operations.erase_member(c, "p-1", NOON + timedelta(hours=1)))

    assert shown(centre, PHONE).member == "m2"
    assert [item.kind for item in centre.read(quarantine.listed).items] == ["levitate"]
    changes = centre.read(lambda c: c.execute(tables.card_changes.select()).all())
    assert {row.member for row in changes} == {"m2"}


async def test_what_an_operator_wrote_of_her_goes(centre: RunningCentre) -> None:
    till = await centre.till()
    till.told("join", join(name=NAME, card=CARD))
    await till.send(1)
    said = f"{NAME}, {PHONE}, has two cards"
    voucher = {"id": "v", "reward": "r5", "member": "m1", "uses": 1, "issued_at": NOON, "revoked_at": NOON}
    centre.write(lambda c: c.execute(tables.vouchers.insert().values(**voucher, because=said)))
    centre.write(lambda c: operations.merge_members(c, "p-1", "m1", said, NOON))

    centre.write(lambda c: operations.erase_member(c, "m1", NOON))
    centre.place(NOON)

    assert left(centre) == []


async def test_an_erasure_that_was_cut_short_is_done_again_by_the_same_words(centre: RunningCentre) -> None:
    await erased(centre)

    for which in ("zz 77701", PHONE, "p-1"):
        again = centre.write(partial(operations.erase_member, which=which, now=centre.clock()))
        assert (again.number, again.member) == (1, "p-1")
    with pytest.raises(members.UnknownMemberError):
        centre.write(lambda c: operations.erase_member(c, "ZZ99999", NOON))


# ---- another history


async def forked(centre: RunningCentre, till: Till, body: bytes, *, whole: bool) -> Entry:
    """Another history under the number of the honest entry, which is a sale of m2."""
    till.sale(receipt(1, code="TS0002"))
    await till.send(1)
    other = Entry(seq=1, key="k", kind="attach", hlc="0", wall=NOON, salt=secrets.token_hex(16), body=Raw(body))
    with pytest.raises(RefusedError, match="other content"):
        await till.ingest(replace(till.batch(1), entries=(other if whole else other.without_body(),)))
    return other


async def test_erasing_whom_another_history_names_leaves_the_honest_one(centre: RunningCentre) -> None:
    till = await centre.till()
    body = AttachBody(target="t", member=MemberReference(code="TS-0001"))
    await forked(centre, till, msgspec.json.encode(body), whole=True)
    before = centre.read(lambda c: c.execute(tables.entries.select()).all())

    centre.write(lambda c: operations.erase_member(c, "m1", NOON))

    assert centre.read(lambda c: c.execute(tables.entries.select()).all()) == before
    (row,) = centre.read(lambda c: c.execute(tables.quarantine.select()).all())
    assert (b"TS-0001" in row.raw, row.resolved_as) == (False, "erased")


async def test_a_body_of_another_history_is_not_brought(centre: RunningCentre) -> None:
    till = await centre.till()
    other = await forked(centre, till, b'{"target":"t","member":{"code":"TS0001"}}', whole=False)
    before = centre.read(everything_in)
    (item,) = centre.read(quarantine.listed).items
    document = msgspec.json.encode(quarantine.Body(salt=other.salt or "", body=Raw(other.json)))

    with pytest.raises(quarantine.BodyRefusedError, match="another history"):
        centre.write(lambda c: quarantine.bring_body(c, item.id, document, NOON))

    assert centre.read(everything_in) == before
