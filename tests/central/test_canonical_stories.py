"""What comes late at the centre, and what it changes: told as it happens in a shop."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from central import events, feed, folding, ledger, operations, review, server, variances
from central.admin.views.members import member_page
from central.db import tables
from loyalty.ledger import LedgerEntry
from loyalty.member import Member
from loyalty.program import Program, program_from_json
from loyalty.receipt import Line, MemberReference, Original, Receipt
from sync.records import ReceiptBody, SignalBody
from tests.central.conftest import RunningCentre
from tests.central.till import NOON, Till, receipt, returned

Given = list[tuple[str, str, int]]


def terms(**changes: Any) -> Program:
    rules: dict[str, Any] = {
        "program": "stories",
        "currency": "RSD",
        "earn": [{"id": "base", "give": {"points": 1, "per_minor": 100}}],
    }
    return program_from_json(msgspec.json.encode(rules | changes))


def in_force(centre: RunningCentre, program: Program) -> str:
    """Publish it as the only program, for all that was before too."""
    key = centre.folder.program_key()
    centre.write(lambda connection: connection.execute(tables.publications.delete()))
    hashed: str = centre.write(lambda connection: operations.publish(connection, program, key, NOON))
    return hashed


def given(centre: RunningCentre, member: str = "m1") -> Given:
    """Receipt number (or event key), rule and points of each entry, as recorded."""
    numbers = {row.key: row.number for row in centre.read(lambda c: c.execute(tables.receipts.select()).all())}
    entries = centre.read(lambda connection: ledger.entries_of_member(connection, member))
    return [(numbers.get(entry.receipt, entry.receipt), entry.rule, entry.points) for entry in entries]


def row_of(centre: RunningCentre, member: str = "m1") -> Member:
    centre.place(centre.clock())
    found = centre.read(lambda connection: feed.newest_row(connection, member))
    assert found is not None
    row: Member = found.row
    return row


def claimed(till: Till, sold: Receipt, points: int, program: str, *, knows: bool = True) -> None:
    """A till that printed so many points for a sale."""
    claim = LedgerEntry(receipt=sold.key, rule="base", points=points, basis_minor=sold.total_minor, why="printed")
    body = ReceiptBody(
        receipt=sold, member="m1" if knows else msgspec.UNSET, claims=(claim,), program=program or msgspec.UNSET
    )
    till.entry("receipt", sold.key, msgspec.json.encode(body))


async def test_a_late_receipt_takes_its_place_and_its_successors_are_corrected(centre: RunningCentre) -> None:
    # given a cap of a day, and two receipts of which the later came first
    cap = {"id": "base", "give": {"points": 1, "per_minor": 100}, "cap": {"day": 120}}
    in_force(centre, terms(earn=[cap]))
    till = await centre.till()
    await till.sell(receipt(20, 100_00, code="TS0001"))
    assert given(centre) == [("20", "base", 100)]
    # when the earlier one comes
    await till.sell(receipt(10, 50_00, code="TS0001"))
    # then it has its points, the later one has what the cap leaves, and no row was changed
    assert given(centre) == [("20", "base", 100), ("10", "base", 50), ("20", "base/corrected", -30)]
    entries = centre.read(lambda connection: ledger.entries_of_member(connection, "m1"))
    assert entries[2].reverses == entries[0].entry_id
    assert entries[2].why.startswith("receipt 10 came later: 100 → 70: floor(10000 × 1 ÷ 100) = 100")
    assert centre.points("m1") == 120
    # and a further one corrects again, under a name of its own
    await till.sell(receipt(5, 40_00, code="TS0001"))
    assert ("20", "base/corrected/2", -40) in given(centre)
    assert centre.points("m1") == 120


async def test_a_sale_in_its_order_is_not_folded_anew(centre: RunningCentre, monkeypatch: pytest.MonkeyPatch) -> None:
    cap = {"id": "base", "give": {"points": 1, "per_minor": 100}, "cap": {"month": 120}}
    in_force(centre, terms(earn=[cap]))
    till = await centre.till()
    await till.sell(receipt(1, 50_00, code="TS0001"))
    # given that the bodies of receipts that were folded cannot be read any more
    centre.write(lambda connection: connection.execute(tables.receipts.update().values(body=b"")))
    # when further ones come in their order, then what is left of the cap is known without them
    await till.sell(receipt(2, 50_00, code="TS0001"))
    await till.sell(receipt(3, 50_00, code="TS0001"))
    assert [points for _, _, points in given(centre)] == [50, 50, 20]


async def test_a_tier_is_reached_and_lapses_and_registers_hear_of_both(centre: RunningCentre) -> None:
    tier = {"id": "silver", "from": {"points_in": "P30D", "at_least": 100}, "multiplier": [2, 1], "grace": "P5D"}
    in_force(centre, terms(tiers=[tier]))
    till = await centre.till()
    centre.clock.now = NOON + timedelta(minutes=1)
    await till.sell(receipt(1, 100_00, code="TS0001"))
    assert row_of(centre).tier == "silver"
    await till.sell(receipt(2, 10_00, code="TS0001"))
    assert given(centre)[-1] == ("2", "base", 20)
    # when window and grace of the first receipt are over
    centre.clock.now = NOON + timedelta(days=36)
    for _ in range(3):
        centre.write(lambda connection: server._mature(connection, centre.clock()))
    # then the tier is gone, by time alone
    assert row_of(centre).tier is msgspec.UNSET


async def test_a_tier_given_by_hand_holds_for_receipts_from_then_on(centre: RunningCentre) -> None:
    in_force(centre, terms(tiers=[{"id": "gold", "multiplier": [3, 1]}]))
    till = await centre.till()
    await till.sell(receipt(1, 10_00, code="TS0001"))
    # when a member is given a tier at two o'clock
    later = NOON + timedelta(hours=2)
    document = b'{"members":[{"member":"m1","tier":"gold"}]}'
    centre.write(lambda connection: operations.import_file(connection, document, later))
    # then a receipt of before that comes late has the factor of before, and what was given stays
    await till.sell(receipt(2, 10_00, code="TS0001"), receipt(180, 10_00, code="TS0001"))
    assert given(centre) == [("1", "base", 10), ("2", "base", 10), ("180", "base", 30)]


async def test_birth_month_and_segments_come_with_an_import(centre: RunningCentre) -> None:
    rules = [
        {"id": "birthday", "give": {"points": 50}, "when": {"birthday_month": True}},
        {"id": "vip", "give": {"points": 7}, "when": {"segment_in": ["vip"]}},
    ]
    in_force(centre, terms(earn=rules))
    document = b'{"members":[{"member":"m9","birth_month":11,"segments":["vip"],"identifiers":[{"code":"TS9"}]}]}'
    centre.write(lambda connection: operations.import_file(connection, document, NOON))
    till = await centre.till()
    await till.sell(receipt(1, code="TS9"), receipt(2, code="TS0001"))
    assert (given(centre, "m9"), given(centre)) == ([("1", "birthday", 50), ("1", "vip", 7)], [])


async def test_an_exchange_takes_back_and_gives(centre: RunningCentre) -> None:
    in_force(centre, terms())
    till = await centre.till()
    sold = receipt(1, 80_00, code="TS0001")
    lines = (Line(position=1, amount_minor=-80_00), Line(position=2, amount_minor=100_00))
    swap = receipt(2, 20_00, code="TS0001", kind="exchange", lines=lines, original=Original(key=sold.key))
    # given that the exchange comes before the sale
    await till.sell(swap)
    assert given(centre) == [("2", "base", 100)]
    assert centre.read(lambda c: c.execute(tables.receipts.select()).one()).state == ledger.WAITING
    await till.sell(sold)
    assert sorted(given(centre)) == [("1", "base", 80), ("2", "base", 100), ("2", "base/returned", -80)]


async def test_goodwill_keeps_a_printed_promise_and_goes_with_the_goods(centre: RunningCentre) -> None:
    # given a program that honours, and a till that printed more than the rules give
    program = in_force(centre, terms(goodwill="honour"))
    till = await centre.till()
    sold = receipt(1, 100_00, code="TS0001")
    claimed(till, sold, 130, program)
    await till.send(1)
    assert given(centre) == [("1", "base", 100), ("1", "goodwill", 30)]
    # when half of it comes back, half of the promise goes, and all of it in the end
    await till.sell(returned(2, sold, -50_00))
    assert given(centre)[2:] == [("2", "base", -50), ("2", "goodwill", -15)]
    await till.sell(returned(3, sold, -50_00))
    assert centre.points("m1") == 0


@pytest.mark.parametrize("case", ["no program", "unknown program", "unknown member", "lower", "not honoured"])
async def test_goodwill_is_given_for_no_other_claim(centre: RunningCentre, case: str) -> None:
    program = in_force(centre, terms(goodwill="none" if case == "not honoured" else "honour"))
    named = {"no program": "", "unknown program": "0" * 64}.get(case, program)
    till = await centre.till()
    claimed(
        till, receipt(1, 100_00, code="TS0001"), 90 if case == "lower" else 130, named, knows=case != "unknown member"
    )
    await till.send(1)
    assert given(centre) == [("1", "base", 100)]


async def test_a_variance_says_both_and_a_later_correction_resolves_it(centre: RunningCentre) -> None:
    # given a till that knows of an earlier receipt of its own, which comes later
    cap = {"id": "base", "give": {"points": 1, "per_minor": 100}, "cap": {"day": 120}}
    program = in_force(centre, terms(earn=[cap]))
    till = await centre.till()
    sold = receipt(20, 100_00, code="TS0001")
    claimed(till, sold, 70, program)
    await till.send(1)
    [open_one] = centre.read(variances.explained).variances
    assert (open_one.claimed, open_one.given, open_one.resolved_at) == (70, 100, None)
    assert ([one.why for one in open_one.claims], [one.why for one in open_one.entries]) == (
        ["printed"],
        ["floor(10000 × 1 ÷ 100) = 100"],
    )
    # when the earlier receipt comes, then the ledger says what the till said
    await till.sell(receipt(10, 50_00, code="TS0001"))
    [resolved] = centre.read(variances.explained).variances
    assert (resolved.claimed, resolved.given, resolved.resolved_at) == (70, 70, NOON)
    assert [one.points for one in resolved.entries] == [100, -30]


@pytest.mark.parametrize(
    "facts",
    [
        {"issued_at": NOON + timedelta(days=400)},
        {"captured_at": NOON + timedelta(days=2)},
        {"issued_at": NOON - timedelta(days=12_000)},
        {"issued_at": NOON - timedelta(days=2_000), "captured_at": NOON - timedelta(days=2_000)},
    ],
    ids=["issued to come", "captured to come", "older than any paper", "caught before its register was there"],
)
async def test_a_receipt_whose_time_cannot_be_waits_for_a_person(centre: RunningCentre, facts: dict[str, Any]) -> None:
    in_force(centre, terms())
    till = await centre.till()
    odd = receipt(1, 100_00, code="TS0001", **facts)
    answer = await till.sell(odd, returned(2, odd, -40_00))
    assert [outcome.code for outcome in answer.outcomes] == ["accepted", "accepted"]
    # then it gives nothing, and is shown with the reason
    assert centre.points("m1") == 0
    [held, _] = sorted(centre.read(review.held).receipts, key=lambda one: one.key != odd.key)
    assert (held.key, held.member) == (odd.key, "m1")
    assert "still to come" in held.because or "ten years" in held.because or "enrolled" in held.because
    # when somebody says when it was, it counts then
    when = NOON - timedelta(hours=1)
    done = centre.write(lambda connection: review.accept(connection, odd.key, when, NOON))
    assert (done.state, centre.points("m1")) == (ledger.SETTLED, 60)
    with pytest.raises(review.NotHeldError):
        centre.write(lambda connection: review.accept(connection, odd.key, None, NOON))


async def test_an_old_paper_is_no_implausible_one(centre: RunningCentre) -> None:
    in_force(centre, terms())
    till = await centre.till()
    await till.sell(receipt(1, 100_00, code="TS0001", issued_at=NOON - timedelta(days=2_000), captured_at=NOON))
    assert centre.points("m1") == 100


async def test_events_give_points_once_and_within_their_cap(centre: RunningCentre) -> None:
    # given an event that counts twice a month
    rule = {"id": "referral", "on": "member.referred", "give": {"points": 300}, "cap": {"month": 2}}
    in_force(centre, terms(events=[rule]))

    def record(key: str, which: str = "TS-0001", days: int = 0) -> events.EventRecorded:
        done: events.EventRecorded = centre.write(
            lambda connection: events.record_by_hand(
                connection, key=key, what="member.referred", which=which, at=NOON - timedelta(days=days), now=NOON
            )
        )
        return done

    # when it is told three times, one of them again, and the third was the first to happen
    assert (record("a").points, record("b", "m1").points, record("a").is_new) == (300, 300, False)
    assert record("c", days=3).points == 300
    # then the newest has what the cap leaves
    assert given(centre)[2:] == [("c", "referral", 300), ("b", "referral/corrected", -300)]
    # and a register may tell of one, under a code that nobody has yet
    till = await centre.till()
    body = SignalBody(what="member.referred", member=MemberReference(code="TS77"))
    till.entry("signal", "event-1", msgspec.json.encode(body))
    till.entry("signal", "bell", msgspec.json.encode(SignalBody(what="bell")))
    answer = await till.send(1)
    assert [outcome.code for outcome in answer.outcomes] == ["accepted", "accepted"]
    centre.write(lambda connection: operations.link(connection, "m2", "TS77", NOON))
    assert given(centre, "m2") == [("event-1", "referral", 300)]


async def test_who_has_bought_nothing_any_more_has_no_counters(centre: RunningCentre) -> None:
    first = {"id": "welcome", "give": {"points": 100}, "when": {"first_purchase": True}}
    in_force(centre, terms(earn=[first]))
    till = await centre.till()
    sold = receipt(1, code="TS0001")
    await till.sell(sold)
    # when the only sale is voided
    await till.sell(replace(sold, status="voided"))
    assert centre.points("m1") == 0
    # then the next one is the first
    await till.sell(receipt(2, code="TS0001"))
    assert given(centre)[-1] == ("2", "welcome", 100)


async def test_an_event_falls_to_the_program_of_its_time_whenever_that_is_published(centre: RunningCentre) -> None:
    key = centre.folder.program_key()
    centre.write(lambda connection: connection.execute(tables.publications.delete()))

    def happened(key: str, at: datetime) -> None:
        centre.write(
            lambda connection: events.record_by_hand(
                connection, key=key, what="review", which="m1", at=at, now=centre.clock()
            )
        )

    # given a review from before the first program, and one of a later hour
    later = NOON + timedelta(hours=3)
    happened("early", NOON - timedelta(hours=1))
    happened("late", later)
    review = {"id": "review", "on": "review", "give": {"points": 30}}
    # when the first program is published, it gives for both
    centre.write(lambda connection: operations.publish(connection, terms(events=[review]), key, NOON))
    assert given(centre) == [("early", "review", 30), ("late", "review", 30)]
    # and another that holds from before the later one corrects that
    more = terms(events=[review | {"give": {"points": 50}}])
    since = NOON + timedelta(hours=2)
    centre.write(lambda connection: operations.publish(connection, more, key, NOON, since))
    assert given(centre)[2:] == [("late", "review/corrected", 20)]
    # and the member's page shows them
    page = centre.read(lambda connection: member_page(connection, "m1", centre.clock()))
    assert [entry.points for entry in page.entries] == [20, 30, 30]


async def test_one_with_too_much_to_fold_is_named_and_folded_by_a_person(centre: RunningCentre) -> None:
    in_force(centre, terms())
    till = await centre.till()
    sold = receipt(1, 100_00, code="TS0001")
    await till.sell(sold, receipt(2, 100_00, code="TS0001"), receipt(3, 10_00, code="TS0002"))
    await till.sell(returned(4, sold))
    before = given(centre)
    # given a limit that the first member is above, when both are folded
    centre.write(lambda connection: connection.execute(tables.ledger.delete()))
    moved = centre.write(lambda connection: folding.fold_anew(connection, ["m1", "m2"], NOON, limit=1))
    # then the other is, and the first is named until a person folds them
    assert (moved, given(centre), given(centre, "m2")) == ({"m2"}, [], [("3", "base", 10)])
    [named] = centre.read(lambda connection: connection.execute(tables.unfolded.select()).all())
    assert (named.member, named.because) == ("m1", "2 receipts, events and redemptions: more than 1")
    done = centre.write(lambda connection: operations.fold_member(connection, "m1", NOON))
    assert (done.entries, done.points, sorted(given(centre))) == (3, 100, sorted(before))
    assert centre.count(tables.unfolded) == 0


async def test_a_member_who_cannot_be_folded_holds_up_nobody(centre: RunningCentre) -> None:
    cap = {"id": "base", "give": {"points": 1, "per_minor": 100}, "cap": {"day": 120}}
    in_force(centre, terms(earn=[cap]))
    till = await centre.till()
    await till.sell(receipt(20, 10_00, code="TS0001"), receipt(20, 10_00, code="TS0002", register="4"))
    # given a member of whom a receipt cannot be read any more
    spoiled = tables.receipts.update().where(tables.receipts.c.member == "m1").values(body=b"{")
    centre.write(lambda connection: connection.execute(spoiled))
    # when both have one that comes late
    answer = await till.sell(receipt(1, 10_00, code="TS0001"), receipt(1, 10_00, code="TS0002", register="4"))
    # then all is acknowledged, the other has their points, and the first is named
    assert {outcome.code for outcome in answer.outcomes} == {"accepted"}
    assert (len(given(centre)), len(given(centre, "m2"))) == (1, 2)
    [named] = centre.read(lambda connection: connection.execute(tables.unfolded.select()).all())
    assert (named.member, named.because) == ("m1", "could not be folded (DecodeError); report this")


async def test_what_fell_to_a_program_is_evaluated_again_when_that_is_withdrawn(centre: RunningCentre) -> None:
    # given a program planned for one o'clock, and a till that is ahead of it
    in_force(centre, terms())
    double = terms(earn=[{"id": "base", "give": {"points": 2, "per_minor": 100}}])
    key, at_one = centre.folder.program_key(), NOON + timedelta(hours=1)
    till = await centre.till()
    await till.sell(receipt(90, 10_00, code="TS0001"))
    hashed = centre.write(lambda connection: operations.publish(connection, double, key, NOON, at_one))
    assert given(centre) == [("90", "base", 10), ("90", "base/corrected", 10)]
    # when it is withdrawn
    centre.write(lambda connection: operations.withdraw(connection, hashed, NOON))
    assert given(centre)[2:] == [("90", "base/corrected/2", -10)]


async def test_a_return_that_is_found_to_be_of_another_sale_takes_from_that_one(centre: RunningCentre) -> None:
    # given two sales with one number, and a return that names it alone while only one was there
    in_force(centre, terms())
    till = await centre.till()
    mine, theirs = receipt(1, 100_00, code="TS0001"), receipt(1, 100_00, code="TS0002", register="4")
    await till.sell(mine, returned(2, mine, original=Original(number="1")))
    assert centre.points("m1") == 0
    # when the first is voided and the other comes
    await till.sell(replace(mine, status="voided"), theirs)
    # then the return takes from whom it takes now, and nothing of it stays with the first
    assert (centre.points("m1"), centre.points("m2")) == (0, 0)
    assert [points for _, _, points in given(centre)] == [100, -100, -100, 100]
