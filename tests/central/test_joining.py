"""Joins, profiles, consents and aliases that registers send, and members that are merged."""

from __future__ import annotations

import secrets
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from central import cards, events, members, operations, profiles, quarantine
from central.admin.views.members import member_page
from central.db import tables
from loyalty.addresses import address_code
from loyalty.member import Consent, Member
from loyalty.receipt import MemberReference
from sync.hlc import Hlc, milliseconds
from sync.records import (
    AliasBody,
    ConsentBody,
    JoinBody,
    ProfileBody,
    RedeemBody,
    ReleaseBody,
    ToldCode,
    ToldConsent,
    ToldValue,
)
from sync.wire import Outcome
from tests.central.conftest import RunningCentre, refuse_changes, serving
from tests.central.till import NOON, Till, receipt

PHONE = "+381 64 123 4567"


def at(seconds: float = 0, node: str = "aaaaaaaa") -> str:
    return Hlc(ms=milliseconds(NOON + timedelta(seconds=seconds)), counter=0, node=node).text


def told(value: str | None, seconds: float = 0, **more: Any) -> ToldValue:
    return ToldValue(value=value, hlc=at(seconds), **more)


def join(member: str = "p-1", *, name: str = "Iva", phone: str | None = PHONE, card: str | None = None) -> JoinBody:
    codes = [ToldCode(kind="phone", code=phone)] if phone else []
    codes += [ToldCode(kind="card", code=card)] if card else []
    fields: dict[Any, ToldValue] = {"short_name": told(name)} | ({"phone": told(phone)} if phone else {})
    consent = ToldConsent(channel="sms", state="granted", text_version="2026-01", operator="7")
    return JoinBody(provisional_id=member, fields=fields, codes=tuple(codes), consent=(consent,))


def row(centre: RunningCentre, member: str) -> Member:
    shown: Member = centre.read(lambda c: operations.show(c, member, NOON)).member
    return shown


async def outcome(till: Till, kind: str, body: msgspec.Struct, hlc: str | None = None) -> Outcome:
    till.told(kind, body, hlc)
    return (await till.send(len(till.sent))).outcomes[0]


async def test_who_joined_at_a_till_is_a_member_with_consent_and_is_found_by_phone(centre: RunningCentre) -> None:
    till = await centre.till()

    joined = await outcome(till, "join", join())

    code = address_code("phone", PHONE, centre.read(cards.code_key))
    member = row(centre, "00381641234567")
    assert joined.code == "accepted"
    assert (member.member, member.short_name) == ("p-1", "Iva")
    assert [one.code for one in member.identifiers] == [code]
    assert [(one.channel, one.state) for one in member.consents or ()] == [("sms", "granted")]
    # And who said so where, shown which text, is kept
    (said,) = centre.read(lambda c: profiles.evidence(c, "p-1"))
    assert (said.store, said.register, said.operator, said.text_version) == ("12", "3", "7", "2026-01")
    # And other registers hear of it, without the number
    (change,) = [one for one in (await till.changes()).changes if one.member == "p-1"]
    assert "641234567" not in msgspec.json.encode(change).decode()
    # And the same again is nobody new
    assert (await outcome(till, "join", join())).code == "duplicate"


async def test_sales_of_who_joined_earn_in_the_same_batch_and_before_the_join_came(centre: RunningCentre) -> None:
    till = await centre.till()
    by_phone = MemberReference(code=PHONE, kind="phone", entry="typed")
    # Given a sale whose register knew her by an id that nobody here knows yet
    await till.sell(receipt(1, member=by_phone))
    # When she comes, with another sale behind her
    first = len(till.sent) + 1
    till.told("join", join())
    till.sale(receipt(2, member=by_phone), member="p-1")
    outcomes = (await till.send(first)).outcomes

    assert [one.code for one in outcomes] == ["accepted", "accepted"]
    assert centre.points("p-1") == 20


async def test_who_is_known_by_phone_joins_as_who_they_are(centre: RunningCentre) -> None:
    till = await centre.till()
    document = {"members": [{"member": "m1", "identifiers": [{"kind": "phone", "code": PHONE}]}]}
    centre.write(lambda c: operations.import_file(c, msgspec.json.encode(document), NOON))

    joined = await outcome(till, "join", join(card="TS900"))
    till.sale(receipt(1), member="p-1")
    await till.send(len(till.sent))

    assert (joined.code, joined.detail) == ("accepted", "is m1")
    assert row(centre, "p-1").aliases == ("p-1",)
    assert row(centre, "TS900").member == "m1"
    assert centre.points("m1") == 10


async def test_the_last_writer_of_a_field_wins_whatever_comes_first(centre: RunningCentre) -> None:
    till, other = await centre.till("3"), await centre.till("4")

    await outcome(till, "profile", ProfileBody(member="m1", fields={"language": told("sl", 20), "note": told("a", 1)}))
    late = await outcome(other, "profile", ProfileBody(member="m1", fields={"language": told("hr", 10)}))
    seen = row(centre, "m1").stamps or {}
    behind = told("it", -600, seen=seen["language"])
    await outcome(other, "profile", ProfileBody(member="m1", fields={"language": behind}))

    member = row(centre, "m1")
    assert late.code == "duplicate"
    # One that saw the last is later, though its clock is behind
    assert (member.language, member.note) == ("it", "a")


async def test_a_new_phone_number_takes_the_place_of_the_old_one_and_never_anothers(centre: RunningCentre) -> None:
    till = await centre.till()
    await outcome(till, "join", join())

    await outcome(till, "profile", ProfileBody(member="p-1", fields={"phone": told("+38651000000", 5)}))
    taken = await outcome(till, "profile", ProfileBody(member="m1", fields={"phone": told("+38651000000", 6)}))

    assert row(centre, "+38651000000").member == "p-1"
    assert centre.read(lambda c: cards.owner_as_typed(c, PHONE)) is None
    assert taken.code == "quarantined"
    assert "phone" not in (row(centre, "m1").stamps or {})


async def test_a_grant_counts_only_if_it_saw_the_withdrawal(centre: RunningCentre) -> None:
    till, other = await centre.till("3"), await centre.till("4")

    def said(state: str, **more: Any) -> ConsentBody:
        return ConsentBody(member="m1", channel="sms", state=state, text_version="1", **more)  # type: ignore[arg-type]

    await outcome(till, "consent", said("granted"), at(1))
    await outcome(till, "consent", said("withdrawn"), at(2))
    # When another till, which was offline, asks with an older page before it
    await outcome(other, "consent", said("granted"), at(3))
    blind = (row(centre, "m1").consents or ())[0]
    await outcome(other, "consent", said("granted", seen=blind.hlc), at(4))

    assert blind.state == "withdrawn"
    assert (row(centre, "m1").consents or ())[0].state == "granted"
    assert len(centre.read(lambda c: profiles.evidence(c, "m1"))) == 4


async def test_a_withdrawal_at_a_till_whose_clock_is_behind_is_not_lost(centre: RunningCentre) -> None:
    first, second, behind = await centre.till("3"), await centre.till("4"), await centre.till("5")

    def shown() -> Consent:
        return (row(centre, "m1").consents or ())[0]

    def said(state: str, **more: Any) -> ConsentBody:
        return ConsentBody(member="m1", channel="sms", state=state, text_version="1", **more)  # type: ignore[arg-type]

    # Given a consent that was taken back and given anew, while a third till has no network, and shows the first
    await outcome(first, "consent", said("granted"), at(-3600))
    old = shown().hlc
    await outcome(second, "consent", said("withdrawn", seen=old), at(0, "bbbbbbbb"))
    await outcome(first, "consent", said("granted", seen=shown().hlc), at(60))
    # When it is taken back there, by a clock that is ten years behind
    await outcome(behind, "consent", said("withdrawn", seen=old), at(-10 * 365 * 86_400, "cccccccc"))

    # Then it is, until somebody who saw that grants it
    assert shown().state == "withdrawn"
    await outcome(first, "consent", said("granted", seen=shown().hlc), at(120))
    assert shown().state == "granted"


async def test_a_till_whose_clock_was_years_ahead_once_tells_what_it_was_told_when(centre: RunningCentre) -> None:
    till, other = await centre.till("3"), await centre.till("4")
    # Given what it was told before another, and sends after that
    far = ToldValue(value="old", hlc=at(10 * 365 * 86_400))
    till.told("profile", ProfileBody(member="m1", fields={"note": far}), hlc=far.hlc)
    centre.clock.now = NOON + timedelta(hours=3)
    await outcome(other, "profile", ProfileBody(member="m1", fields={"note": told("new", 7200)}))
    centre.clock.now = NOON + timedelta(hours=6)
    await till.send(1)

    assert row(centre, "m1").note == "new"


async def test_another_code_of_a_member_earns_and_nobody_elses_is_taken(centre: RunningCentre) -> None:
    till = await centre.till()
    await till.sell(receipt(1, code="TS901"))

    linked = await outcome(till, "alias", AliasBody(member="m1", code=ToldCode(kind="card", code="TS901"), of="TS0001"))
    taken = await outcome(till, "alias", AliasBody(member="m1", code=ToldCode(kind="card", code="TS0002")))
    unknown = await outcome(till, "alias", AliasBody(member="nobody", code=ToldCode(kind="card", code="TS902")))

    assert [one.code for one in (linked, taken, unknown)] == ["accepted", "quarantined", "quarantined"]
    assert centre.points("m1") == 10
    assert len({one.card for one in row(centre, "m1").identifiers}) == 1


async def test_merged_members_have_the_points_cards_and_history_of_both(centre: RunningCentre) -> None:
    till = await centre.till()
    await outcome(till, "join", join(card="TS900"))
    await till.sell(receipt(1, code="TS900"), receipt(2, code="TS0001"))
    # When an operator says that she is m1, and her register goes on as before
    centre.write(lambda c: refuse_changes(c, "ledger"))
    merged = centre.write(lambda c: operations.merge_members(c, "p-1", "m1", "same person", NOON))
    till.sale(receipt(3), member="p-1")
    await till.send(len(till.sent))

    # Then she has all of it, and every row of the ledger is where it was
    assert merged.points == 20
    assert centre.points("m1") == 30
    rows = centre.read(lambda c: c.execute(tables.ledger.select()).all())
    assert sorted(one.member for one in rows) == ["m1", "m1", "p-1"]
    member = row(centre, "p-1")
    assert (member.member, member.aliases) == ("m1", ("p-1",))
    assert {one.code for one in member.identifiers} >= {"TS900", "TS0001"}
    assert [one.channel for one in member.consents or ()] == ["sms"]
    # And registers hear first who she is, then that the other is gone
    changes = [(one.op, one.member) for one in (await till.changes()).changes]
    assert changes.index(("upsert", "m1")) < changes.index(("leave", "p-1")) or ("leave", "p-1") in changes
    # And a return of what she bought before takes from the one that she is
    with pytest.raises(ValueError, match="one member already"):
        centre.write(lambda c: operations.merge_members(c, "p-1", "m1", "", NOON))


async def test_of_two_who_are_one_the_field_counts_that_was_told_last(centre: RunningCentre) -> None:
    till = await centre.till()
    await outcome(till, "profile", ProfileBody(member="m2", fields={"language": told("sl", 1), "note": told("b", 4)}))
    await outcome(till, "profile", ProfileBody(member="m1", fields={"language": told("hr", 2), "note": told("a", 3)}))

    centre.write(lambda c: operations.merge_members(c, "m2", "m1", "", NOON))

    assert (row(centre, "m1").language, row(centre, "m1").note) == ("hr", "b")


async def test_a_grant_that_saw_what_is_to_come_saw_no_more_than_there_was(centre: RunningCentre) -> None:
    till, other = await centre.till("3"), await centre.till("4")

    def said(state: str, **more: Any) -> ConsentBody:
        return ConsentBody(member="m1", channel="sms", state=state, text_version="1", **more)  # type: ignore[arg-type]

    await outcome(till, "consent", said("granted", seen=at(10 * 365 * 86_400)), at(1))
    centre.clock.now = NOON + timedelta(minutes=10)
    await outcome(other, "consent", said("withdrawn", seen=(row(centre, "m1").consents or ())[0].hlc), at(600))

    assert (row(centre, "m1").consents or ())[0].state == "withdrawn"


async def test_merging_and_selling_come_to_the_same_in_any_order(centre: RunningCentre) -> None:
    till = await centre.till()
    await outcome(till, "join", join("p-1", phone="+38640000001", card="TS901"))
    await outcome(till, "join", join("p-2", phone="+38640000002", card="TS902"))
    centre.write(lambda c: operations.merge_members(c, "p-1", "p-2", "", NOON))
    await till.sell(receipt(1, code="TS901"), receipt(2, code="TS902"))
    centre.write(lambda c: operations.merge_members(c, "p-2", "m3", "", NOON))
    await till.sell(receipt(3, code="TS901"))

    # Both ids mean the last one for ever
    assert row(centre, "p-1").member == row(centre, "p-2").member == "m3"
    assert row(centre, "m3").aliases == ("p-1", "p-2")
    assert centre.points("m3") == 30


async def merged_into_m1(centre: RunningCentre) -> Till:
    """p-1 joined, bought once as m1 did, and means m1 since."""
    till = await centre.till()
    await outcome(till, "join", join(card="TS900"))
    await till.sell(receipt(1, code="TS900"), receipt(2, code="TS0001"))
    centre.write(lambda c: operations.merge_members(c, "p-1", "m1", "same person", NOON))
    return till


async def test_whatever_is_asked_of_an_id_that_was_merged_is_asked_of_who_it_means(centre: RunningCentre) -> None:
    await merged_into_m1(centre)
    centre.write(lambda c: operations.import_stock(c, b"TS951\n", NOON))

    linked = centre.write(lambda c: operations.link(c, "p-1", "TS950", NOON))
    issued = centre.write(lambda c: operations.issue(c, "TS951", "p-1", NOON))
    folded = centre.write(lambda c: operations.fold_member(c, "p-1", NOON))
    event = partial(events.record_by_hand, key="e", what="member.referred", which="p-1", at=NOON, now=NOON)

    assert (linked.member, issued.card.member, folded.member, centre.write(event).member) == ("m1",) * 4
    assert {one.code for one in row(centre, "m1").identifiers} >= {"TS0001", "TS900", "TS950", "TS951"}
    assert (folded.entries, folded.points) == (0, 20)
    assert centre.points("m1") == 20
    assert centre.read(lambda c: members.find_members(c, "p-1", 50)) == ["m1"]
    assert centre.read(lambda c: members.find_members(c, "", 50)) == ["m1", "m2", "m3"]
    # And a file that still tells of it as of somebody is refused
    document = msgspec.json.encode({"members": [{"member": "p-1", "short_name": "Iva"}]})
    with pytest.raises(members.MembersFileError, match="p-1 was merged into m1; name m1 in the file"):
        centre.write(lambda c: operations.import_file(c, document, NOON))


async def test_the_page_of_a_member_has_the_points_of_both_under_either_id(centre: RunningCentre) -> None:
    await merged_into_m1(centre)

    for member in ("m1", "p-1"):
        page = centre.read(partial(member_page, which=member, now=NOON))
        assert page.member.member == "m1"
        assert [one.points for one in page.entries] == [10, 10]
        assert [one.points for one in page.receipts] == [10, 10]


async def test_what_comes_ahead_of_its_members_join_counts_as_soon_as_that_is_there(centre: RunningCentre) -> None:
    # Given what one register tells of somebody who joined at another, which sends later: as after a restored backup
    late, early = await centre.till("1"), await centre.till("2")
    given = RedeemBody(member="p-1", reward="r5", times=1, points=5, discount_minor=500, at=NOON)
    language = ProfileBody(member="p-1", fields={"language": told("sl")})
    told_early = [await outcome(early, "redeem", given), await outcome(early, "profile", language)]
    [redeemed, _] = early.sent
    told_early.append(await outcome(early, "release", ReleaseBody(target=redeemed.key)))
    assert {one.code for one in told_early} == {"quarantined"}
    assert centre.apply_what_may() == 0
    # When the join comes
    await outcome(late, "join", join())
    while centre.apply_what_may():
        pass
    # Then nobody has to do anything: all three have their effect
    assert centre.read(quarantine.listed).items == ()
    assert row(centre, "p-1").language == "sl"
    [redemption] = centre.read(lambda c: c.execute(tables.redemptions.select()).all())
    assert (redemption.key, redemption.state) == (redeemed.key, "released")


async def test_what_a_merged_member_bought_shows_in_the_others_row(centre: RunningCentre) -> None:
    # Given a sale of somebody who is then merged into another, and whose acknowledgement was lost
    till = await centre.till()
    await outcome(till, "join", join(card="TS-NEW"))
    till.sale(receipt(1, code="TS-NEW"))
    await till.send(2)
    centre.write(lambda c: operations.merge_members(c, "p-1", "m1", "same person", NOON))
    centre.place(NOON)
    # When the register sends it again
    [sold] = (await till.send(2)).outcomes
    # Then it waits for the row that shows it, which is there, and not for the other's going
    [shown] = [change.pos for change in (await till.changes()).changes if change.member == "m1"]
    assert sold.pos == shown


async def test_what_a_newer_register_adds_to_a_body_is_passed_over_when_that_is_tried_again(data: Path) -> None:
    async with serving(data) as centre:
        # Given a release and an edit of what is not here, with keys that nobody knows yet but others use
        till = await centre.till()
        release = {"target": "nothing", "because": "", "member": {"code": "TS0001"}}
        edit = {"member": "p-9", "fields": {}, "target": {"of": "another version"}}
        known = {"target": "nothing", "because": "", "member": "m1"}
        for kind, body in (("release", release), ("profile", edit), ("release", known)):
            till.entry(kind, secrets.token_hex(8), msgspec.json.encode(body))
        assert {one.code for one in (await till.send(1)).outcomes} == {"quarantined"}
        # When it is looked through
        assert centre.apply_what_may() == 0
        assert len(centre.read(quarantine.listed).items) == 3
    # Then the centre serves on, and starts again
    async with serving(data) as centre:
        assert centre.read(lambda c: quarantine.ripe(c, 0)).items == ()


async def test_what_may_be_applied_is_found_behind_however_much_that_may_not(
    centre: RunningCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "AGAIN", 3)
    # Given edits of many whom nobody knows, and behind them one of somebody who joins later at another register
    early, late = await centre.till("1"), await centre.till("2")
    for number in range(7):
        await outcome(early, "profile", ProfileBody(member=f"nobody-{number}", fields={"language": told("sl")}))
    await outcome(early, "profile", ProfileBody(member="p-1", fields={"language": told("sl")}))
    await outcome(late, "join", join())
    # When all that waits was looked through once
    assert centre.apply_what_may() == 1
    # Then hers has its effect
    assert row(centre, "p-1").language == "sl"
    assert len(centre.read(quarantine.listed).items) == 7
