"""Who is one person does not hang on what came first: joins at several tills, in every order of what they send."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import msgspec

from central import fed_rows, members, operations, quarantine
from loyalty.remedies import remedy_for
from sync.records import AliasBody, ConsentBody, JoinBody, ProfileBody, ToldCode, ToldConsent, ToldValue
from tests.central.conftest import RunningCentre
from tests.central.test_joining import at, outcome, row
from tests.central.till import NOON, Till, receipt

# Orders that are tried, of those that the tills' own leave.
TRIED = 20


def card(code: str) -> ToldCode:
    return ToldCode(kind="card", code=code)


def phone(number: str) -> ToldCode:
    return ToldCode(kind="phone", code=number)


def joins(member: str, name: str, seconds: float, *codes: ToldCode) -> JoinBody:
    fields: dict[Any, ToldValue] = {"short_name": ToldValue(value=name, hlc=at(seconds))}
    return JoinBody(provisional_id=member, fields=fields, codes=codes)


def said(member: str, state: Any) -> ConsentBody:
    told = ToldConsent(channel="sms", state=state, text_version="1")
    return ConsentBody(member=member, **{name: getattr(told, name) for name in told.__struct_fields__})


def scripts(t: str) -> list[list[tuple[str, Any, float]]]:
    """What three tills tell of one person: of a telephone number, of a card and that number, of that card."""
    number, here, other = f"+3816400{t}1", f"KA{t}", f"KB{t}"
    first = 1000 + int(t) * 10
    return [
        [
            ("join", joins(f"A{t}", "Ana", 1, phone(number)), 1),
            ("consent", said(f"A{t}", "granted"), 1.5),
            ("sale", (receipt(first, 1000_00), f"A{t}"), 0),
        ],
        [
            ("join", joins(f"B{t}", "Ana B", 2, card(here), phone(number)), 2),
            ("profile", ProfileBody(member=f"B{t}", fields={"note": ToldValue(value="b", hlc=at(2.5))}), 2.5),
            ("sale", (receipt(first + 1, 2000_00, code=here), None), 0),
        ],
        [
            ("join", joins(f"C{t}", "Ana C", 3, card(here)), 3),
            ("consent", said(f"C{t}", "withdrawn"), 3.5),
            ("alias", AliasBody(member=f"C{t}", code=card(other)), 3.6),
            ("sale", (receipt(first + 2, 4000_00, code=other), None), 0),
        ],
    ]


async def play(till: Till, kind: str, body: Any, seconds: float) -> None:
    first = len(till.sent) + 1
    if kind == "sale":
        sold, member = body
        till.sale(sold, member=member)
    else:
        till.told(kind, body, at(seconds))
    await till.send(first)


def come_to(centre: RunningCentre, t: str) -> tuple[Any, ...]:
    """Who is one with whom, and what is known of them, without what only says which try it was."""
    ids = [f"{name}{t}" for name in "ABC"]
    means = centre.read(partial(members.meant, ids=ids))
    rows = centre.read(lambda c: fed_rows.rows_of(c, sorted(set(means.values())), NOON))
    return tuple(
        (
            tuple(one[0] for one in ids if means[one] == member),
            shown.short_name,
            shown.note,
            tuple((one.channel, one.state) for one in shown.consents or ()),
            centre.points(member),
            sorted(one.code.replace(t, "")[:3] for one in shown.identifiers),
        )
        for member, shown in sorted(rows.items())
    )


async def test_joins_that_one_join_connects_are_one_person_in_any_order(centre: RunningCentre) -> None:
    chance = random.Random(seed := random.randrange(2**32))
    print("seed", seed)
    tills = [await centre.till(str(number)) for number in range(3)]
    found = []
    for trial in range(TRIED):
        told = scripts(f"{trial:03}")
        order = [which for which, script in enumerate(told) for _ in script]
        chance.shuffle(order)
        if trial < 6:  # the joins by themselves
            order = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]][trial] + order
        left = [iter(script) for script in told]
        for which in order:
            if step := next(left[which], None):
                await play(tills[which], *step)
        centre.apply_what_may()
        found.append(come_to(centre, f"{trial:03}"))

    assert found == [((("A", "B", "C"), "Ana C", "b", (("sms", "withdrawn"),), 700, ["KA", "KB", "TEL"]),)] * TRIED
    assert centre.read(quarantine.listed).items == ()


async def test_members_that_a_join_connects_are_one_in_the_batch_that_has_it_all(centre: RunningCentre) -> None:
    # Given two who joined, have bought, and buy once more ahead of the join that names them both
    till = await centre.till()
    till.told("join", joins("A", "Ana", 1, phone("+38164000001")))
    till.told("join", joins("C", "Ana", 1, card("TS900")))
    till.sale(receipt(1, code="TS900"))
    await till.send(1)
    first = len(till.sent) + 1
    till.sale(receipt(2), member="A")
    till.sale(receipt(3, code="TS900"))
    joined = till.told("join", joins("B", "Ana", 2, card("TS900"), phone("+38164000001")))
    till.sale(receipt(4), member="A")
    outcomes = (await till.send(first)).outcomes

    assert [one.code for one in outcomes] == ["accepted"] * 4
    assert next(one.detail for one in outcomes if one.seq == joined.seq) == "is C; so is A"
    assert row(centre, "A").member == row(centre, "B").member == "C"
    assert centre.points("C") == 40
    # And registers hear first who they are, then that the other is gone
    changes = [(one.op, one.member) for one in (await till.changes()).changes]
    assert changes.index(("upsert", "C")) < changes.index(("leave", "A"))


async def test_who_joined_is_one_with_the_shops_own_member_in_any_order(centre: RunningCentre) -> None:
    till = await centre.till()
    await outcome(till, "join", joins("A", "Ana", 1, phone("+38164000001")))
    await outcome(till, "join", joins("B", "Ana", 2, card("TS0001"), phone("+38164000001")))
    await outcome(till, "join", joins("D", "Vuk", 1, card("TS0002"), phone("+38164000002")))
    await outcome(till, "join", joins("E", "Vuk", 2, phone("+38164000002")))

    assert {one: row(centre, one).member for one in "ABDE"} == {"A": "m1", "B": "m1", "D": "m2", "E": "m2"}


async def test_two_of_the_shops_own_stay_two_and_a_person_hears_of_it(centre: RunningCentre) -> None:
    # Given m2, who was joined by a register and then merged with the shop's own m3
    till = await centre.till()
    await outcome(till, "join", joins("P", "Vuk", 1, phone("+38164000002")))
    centre.write(lambda c: operations.merge_members(c, "m3", "P", "same person", NOON))

    joined = await outcome(till, "join", joins("B", "Ana", 2, card("TS0001"), phone("+38164000002")))

    # Then it counts as the card says, and waits to be looked at
    assert (joined.code, row(centre, "B").member, row(centre, "P").member) == ("accepted", "m1", "P")
    (item,) = centre.read(quarantine.listed).items
    assert (item.reason, item.detail) == ("two_members", "is m1; a code names P, who was left alone")
    assert "members merge" in item.remedy == remedy_for("two_members")
    # And nothing but a person makes it go
    for items in ((), (item.id,)):
        assert centre.write(partial(quarantine.retry, now=NOON, items=items)) == quarantine.Again(applied=0, waiting=0)
    assert centre.write(lambda c: quarantine.dismiss(c, item.id, "two people", NOON))


async def test_a_join_that_comes_out_of_quarantine_may_name_two_as_well(centre: RunningCentre) -> None:
    till = await centre.till()
    document = {"members": [{"member": "m3", "identifiers": [{"kind": "phone", "code": "+38164000003"}]}]}
    centre.write(lambda c: operations.import_file(c, msgspec.json.encode(document), NOON))
    whole = till.told("join", joins("B", "Ana", 2, card("TS0001"), phone("+38164000003")))
    till.sent[0] = whole.without_body()
    await till.send(1)
    (item,) = centre.read(quarantine.listed).items
    brought = msgspec.json.encode(quarantine.Body(salt=whole.salt or "", body=msgspec.Raw(whole.json)))

    centre.write(lambda c: quarantine.bring_body(c, item.id, brought, NOON))

    assert row(centre, "B").member == "m1"
    assert [one.reason for one in centre.read(quarantine.listed).items] == ["two_members"]


async def test_whoever_joined_before_this_was_noted_may_be_the_shops_own(centre: RunningCentre) -> None:
    till = await centre.till()
    await outcome(till, "join", joins("A", "Ana", 1, phone("+38164000001")))
    assert centre.read(lambda c: members.joined(c, "A"))

    centre.database.downgrade("0035")
    centre.database.upgrade()

    assert not centre.read(lambda c: members.joined(c, "A"))
