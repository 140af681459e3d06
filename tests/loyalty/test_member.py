"""A member's cards: what their JSON says, and which code is which."""

from __future__ import annotations

from datetime import datetime

import msgspec

from loyalty.member import Activity, Counters, Identifier, Lot, Member, ahead_of, ending_of, stamps_of

BLOCKED = Identifier(kind="card", code="TS2", card="TS2", state="blocked")


def test_a_plain_card_says_nothing_of_states() -> None:
    plain = Identifier(kind="card", code="TS1")

    assert msgspec.json.encode(plain) == b'{"kind":"card","code":"TS1"}'
    assert msgspec.json.decode(b'{"kind":"card","code":"TS1"}', type=Identifier) == plain


def test_what_is_said_of_a_card_comes_back() -> None:
    old = Identifier(kind="card", code="TS1", card="TS1", state="replaced", replaced_by="1234")

    assert msgspec.json.decode(msgspec.json.encode(old), type=Identifier) == old


def test_a_code_in_any_spelling_is_the_members_identifier() -> None:
    member = Member(member="m", identifiers=(Identifier(kind="card", code="TS1"), BLOCKED))

    assert member.identifier("ts-2") is member.identifiers[1]
    assert member.identifier("TS3") is None
    assert [member.refuses(code) for code in ("TS1", "ts 2", "TS3")] == [False, True, False]


def test_a_short_code_has_no_ending_to_show() -> None:
    assert [ending_of(code) for code in ("", "1234", "12345")] == ["", "", "2345"]


def test_what_lies_on_a_later_day_is_ahead() -> None:
    noon = datetime.fromisoformat("2026-11-23T12:00:00+01:00")
    evening, tomorrow = noon.replace(hour=23, minute=59), noon.replace(day=24, hour=0)
    visited = Counters(activity=(Activity(at=evening),), visits={"v": (evening, tomorrow)})

    assert ahead_of(visited, noon) == "$.counters.visits.v[1] (2026-11-24T00:00:00+01:00)"
    assert ahead_of(Counters(activity=(Activity(at=evening), Activity(at=tomorrow))), noon) == (
        "$.counters.activity[1].at (2026-11-24T00:00:00+01:00)"
    )
    assert ahead_of(visited, tomorrow) is None
    assert ahead_of(Counters(), noon) is None


def test_a_row_of_a_newer_centre_is_read_as_far_as_it_is_known() -> None:
    lot = {"points": 5, "why": "gift"}
    visit = {"at": "2026-11-23T12:00:00+01:00", "visits": 1, "minutes": 7}
    counters = {"purchases": 3, "luck": {"base": 7}, "lots": [lot], "activity": [visit]}
    sent = {"member": "m1", "balance": {"confirmed": 5}, "counters": counters, "mood": "good"}

    read = msgspec.json.decode(msgspec.json.encode(sent), type=Member)

    assert read.counters == Counters(
        purchases=3,
        lots=(Lot(points=5),),
        activity=(Activity(at=datetime.fromisoformat("2026-11-23T12:00:00+01:00"), visits=1),),
    )


def test_of_whom_nothing_is_counted_no_stamps_are_known() -> None:
    assert stamps_of(Member(member="m1")) == stamps_of(Member(member="m1", counters=Counters())) == {}
    assert stamps_of(Member(member="m1", counters=Counters(stamps={"coffee": 7}))) == {"coffee": 7}
