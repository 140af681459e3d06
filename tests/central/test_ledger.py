"""The centre's evaluation: members found late, receipts seen again, returns before their originals."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

import msgspec
import pytest

from central import cards, feed, ledger, members, operations
from central.db import tables
from loyalty.identity import fiscal_number, natural_ids
from loyalty.program import Program, program_from_json, program_json
from loyalty.receipt import Fiscal, Line, Original, Receipt
from sync.records import CorrectBody, ReceiptBody
from tests.central.conftest import RunningCentre
from tests.central.till import NOON, Till, claims_of, receipt, returned


async def test_the_tier_counts(centre: RunningCentre) -> None:
    till = await centre.till()
    await till.sell(receipt(1, 100_00, code="TS0002"))
    assert centre.points("m2") == 15
    assert centre.count(tables.variances) == 0


async def test_seen_again_counts_once_and_fills_in(centre: RunningCentre) -> None:
    # Given a receipt known from its fiscal QR code: no lines, no card
    till, other = await centre.till("3"), await centre.till("4")
    fiscal = Fiscal(scheme="rs-purs", number="AAAA-AAAA-1")
    seen_first = receipt(1, 200_00, lines=(), fiscal=fiscal)
    await till.sell(seen_first)
    # When its text comes from the other register, with the card
    answer = await other.sell(receipt(1, 200_00, code="TS0001", fiscal=fiscal))
    # Then it is the same one, and now it has lines and a member
    assert [outcome.code for outcome in answer.outcomes] == ["duplicate"]
    assert centre.count(tables.receipts) == 1
    assert centre.points("m1") == 20
    # And coming a third time it changes nothing
    await till.sell(receipt(1, 200_00, code="TS0001", fiscal=fiscal))
    assert centre.points("m1") == 20


async def test_a_second_id_is_learned_from_the_second_sighting(centre: RunningCentre) -> None:
    # Given a receipt known by its till number, then seen with its fiscal number too
    till = await centre.till()
    await till.sell(receipt(1, code="TS0001"))
    await till.sell(receipt(1, code="TS0001", fiscal=Fiscal(scheme="rs-purs", number="AAAA-AAAA-1")))
    # When it is seen by the fiscal number alone
    by_code = receipt(1, number=msgspec.UNSET, fiscal=Fiscal(scheme="rs-purs", number="AAAA-AAAA-1"), code="TS0001")
    answer = await till.sell(by_code)
    # Then it is still the same
    assert [outcome.code for outcome in answer.outcomes] == ["duplicate"]
    assert centre.points("m1") == 10


async def test_the_same_identity_with_another_total_is_quarantined(centre: RunningCentre) -> None:
    till = await centre.till()
    await till.sell(receipt(1, 100_00, code="TS0001"))
    answer = await till.sell(receipt(1, 900_00, code="TS0001"))
    assert [outcome.code for outcome in answer.outcomes] == ["quarantined"]
    assert centre.points("m1") == 10
    [aside] = centre.read(lambda connection: connection.execute(tables.quarantine.select()).all())
    assert aside.reason == "identity"


async def test_matching_two_receipts_is_quarantined(centre: RunningCentre) -> None:
    till = await centre.till()
    one = receipt(1, number=msgspec.UNSET, fiscal=Fiscal(scheme="rs-purs", number="A-A-1"))
    two = receipt(1)
    await till.sell(one, two)
    answer = await till.sell(receipt(1, fiscal=Fiscal(scheme="rs-purs", number="A-A-1")))
    assert [outcome.code for outcome in answer.outcomes] == ["quarantined"]


async def test_a_suspended_sale_earns_when_it_is_final(centre: RunningCentre) -> None:
    till = await centre.till()
    await till.sell(receipt(1, 100_00, code="TS0001", status="suspended"))
    assert centre.points("m1") == 0
    answer = await till.sell(receipt(1, 300_00, code="TS0001"))
    assert [outcome.code for outcome in answer.outcomes] == ["accepted"]
    assert centre.points("m1") == 30
    answer = await till.sell(receipt(1, 300_00, code="TS0001", status="copy"))
    assert [outcome.code for outcome in answer.outcomes] == ["duplicate"]
    # And the suspended one, sent again after its store was restored, changes nothing
    answer = await till.sell(receipt(1, 100_00, code="TS0001", status="suspended"), receipt(1, 300_00, code="TS0001"))
    assert [outcome.code for outcome in answer.outcomes] == ["duplicate", "duplicate"]
    assert centre.points("m1") == 30


async def test_the_final_sale_says_whose_it_is(centre: RunningCentre) -> None:
    till = await centre.till()
    await till.sell(receipt(1, 100_00, code="TS0001", status="suspended"), receipt(1, 100_00, code="TS0002"))
    assert (centre.points("m1"), centre.points("m2")) == (0, 15)


async def test_a_voided_sale_gives_back_what_it_gave(centre: RunningCentre, program: Program) -> None:
    # Given a sale of which some came back
    till = await centre.till()
    sold = receipt(1, 100_00, code="TS0001")
    await till.sell(sold, returned(2, sold, -40_00))
    # When it is voided, on a print without a total
    voided = receipt(1, 0, code="TS0001", status="voided", lines=())
    answer = await till.sell(voided)
    # Then it gives nothing and its return takes nothing, and the ledger is still the fold of its entries
    assert [outcome.code for outcome in answer.outcomes] == ["accepted"]
    entries = centre.read(lambda connection: ledger.entries_of_member(connection, "m1"))
    assert [(entry.rule, entry.points) for entry in entries] == [
        ("base", 10),
        ("base", -4),
        ("base/voided", -10),
        ("base/corrected", 4),
    ]
    assert len({entry.entry_id for entry in entries}) == 4
    assert centre.read(lambda connection: ledger.check_balances(connection, NOON)) == []
    # And nothing of it counts again, nor is it the original of anything
    answer = await till.sell(voided, sold, returned(3, sold))
    assert [outcome.code for outcome in answer.outcomes] == ["duplicate", "duplicate", "accepted"]
    assert centre.points("m1") == 0
    rows = centre.read(lambda connection: connection.execute(tables.receipts.select()).all())
    assert {row.number: row.state for row in rows} == {"1": "settled", "2": "waiting", "3": "waiting"}
    assert centre.count(tables.variances) == 0


async def test_a_return_waits_again_when_its_sale_is_voided(centre: RunningCentre) -> None:
    # Given a return of a sale under a card that nobody has
    till = await centre.till()
    sold = receipt(1, 100_00, code="TS999")
    await till.sell(sold, returned(2, sold))
    # When the sale is voided and the card then linked
    await till.sell(receipt(1, 100_00, code="TS999", status="voided"))
    centre.write(lambda connection: operations.link(connection, "m1", "TS999", NOON))
    # Then nothing was given or taken, and the return waits in sight
    assert centre.points("m1") == 0
    rows = centre.read(lambda connection: connection.execute(tables.receipts.select()).all())
    assert [(row.state, row.original) for row in rows if row.kind == "return"] == [(ledger.WAITING, None)]


async def test_voiding_a_return_gives_again_what_it_took(centre: RunningCentre) -> None:
    till = await centre.till()
    sold = receipt(1, 100_00, code="TS0001")
    await till.sell(sold, returned(2, sold))
    assert centre.points("m1") == 0
    answer = await till.sell(returned(2, sold, status="voided"))
    assert [outcome.code for outcome in answer.outcomes] == ["accepted"]
    assert centre.points("m1") == 10


async def test_an_attached_code_survives_a_fuller_print(centre: RunningCentre) -> None:
    # Given a receipt attached to a card that nobody has yet, then printed again with its operator
    till = await centre.till()
    sold = receipt(1, 100_00)
    till.sale(sold)
    till.attach(sold.key, "TS999")
    till.sale(msgspec.structs.replace(sold, operator="Ana"))
    await till.send(1)
    # When the card is linked
    linked = centre.write(lambda connection: operations.link(connection, "m1", "TS999", NOON))
    # Then it earns
    assert (linked.receipts, centre.points("m1")) == (1, 10)


async def test_a_return_takes_back_from_whoever_earned(centre: RunningCentre) -> None:
    # Given a sale of one member, and a return of it under another's card
    till = await centre.till()
    sold = receipt(1, 100_00, code="TS0001")
    await till.sell(sold)
    answer = await till.sell(returned(2, sold, -40_00))
    # Then the points leave the one who got them, and a second return the rest exactly
    assert [outcome.code for outcome in answer.outcomes] == ["accepted"]
    assert centre.points("m1") == 6
    await till.sell(returned(3, sold, -60_00))
    assert centre.points("m1") == 0


async def test_a_return_waits_for_its_original(centre: RunningCentre) -> None:
    # Given a return at one register whose original is still queued at another
    there, here = await centre.till("3"), await centre.till("4")
    sold = receipt(1, 100_00, code="TS0001", fiscal=Fiscal(scheme="rs-purs", number="A-A-1"))
    back = returned(
        2,
        sold,
        register="4",
        fiscal=Fiscal(scheme="rs-purs", number="B-B-2"),
        original=Original(number="a-a-1"),
    )
    answer = await here.sell(back)
    assert [outcome.code for outcome in answer.outcomes] == ["accepted"]
    assert centre.points("m1") == 0
    # When the original comes
    await there.sell(sold)
    # Then both are in the ledger
    assert centre.points("m1") == 0
    entries = centre.read(lambda connection: ledger.entries_of_member(connection, "m1"))
    assert [entry.points for entry in entries] == [10, -10]


async def test_a_number_that_two_receipts_have_is_not_guessed(centre: RunningCentre) -> None:
    # Given the same number at two registers, and a return at a third that names it alone
    till = await centre.till()
    sales = [receipt(1, code="TS0001", register=register) for register in ("1", "2")]
    await till.sell(*sales)
    back = returned(5, sales[0], register="9", business_day=msgspec.UNSET)
    await till.sell(back)
    # Then it waits, in sight
    assert centre.points("m1") == 20
    states = centre.read(lambda connection: connection.execute(tables.receipts.select()).all())
    assert [row.state for row in states if row.kind == "return"] == [ledger.WAITING]


async def test_what_a_return_says_of_its_original_is_heeded(centre: RunningCentre) -> None:
    # Given number 1 of today at register 3, and a return of number 1 of yesterday, of another register
    # and of another store, brought back at that same register 3
    till = await centre.till()
    sold = receipt(1, code="TS0001")
    yesterday = NOON.date() - timedelta(days=1)
    wrong = [
        Original(number="1", business_day=yesterday),
        Original(number="1", register="4"),
        Original(number="1", store="13"),
        Original(number="1", issued_at=NOON),
        Original(number="1", store="12", register="3", business_day=yesterday),
        Original(key="00000000-0000-0000-0000-000000000000", number="1"),
    ]
    await till.sell(sold, *(returned(5 + count, sold, original=original) for count, original in enumerate(wrong)))
    # Then none of them takes anything back; each waits, in sight
    assert centre.points("m1") == 10
    states = centre.read(lambda connection: connection.execute(tables.receipts.select()).all())
    assert [row.state for row in states if row.kind == "return"] == [ledger.WAITING] * len(wrong)
    # And when yesterday's comes, its returns take from it
    await till.sell(receipt(1, 50_00, code="TS0002", business_day=yesterday, issued_at=NOON - timedelta(days=1)))
    assert (centre.points("m1"), centre.points("m2")) == (10, 0)


async def test_a_return_at_another_store_names_its_original_by_number(centre: RunningCentre) -> None:
    till = await centre.till()
    sold = receipt(1, code="TS0001")
    day = NOON.date() + timedelta(days=3)
    back = returned(9, sold, store="99", register="7", business_day=day, original=Original(number=" 1"))
    await till.sell(sold, back)
    assert centre.points("m1") == 0


@pytest.mark.parametrize(("scheme", "named"), [("hr-fisk", "ABCDEF01"), ("si-furs", "abcdef 01"), ("rs-purs", "a-a-1")])
async def test_a_fiscal_number_finds_its_sale_however_it_is_written(
    centre: RunningCentre, scheme: Literal["rs-purs", "hr-fisk", "si-furs"], named: str
) -> None:
    till = await centre.till()
    sold = receipt(1, code="TS0001", fiscal=Fiscal(scheme=scheme, number=named.swapcase()))
    await till.sell(sold, returned(9, sold, original=Original(number=named)))
    assert centre.points("m1") == 0
    [row] = centre.read(
        lambda connection: connection.execute(tables.receipts.select().where(tables.receipts.c.key == sold.key)).all()
    )
    assert row.fiscal_number == fiscal_number(sold.fiscal or Fiscal(scheme=scheme))


async def test_an_unknown_card_earns_when_it_is_linked(centre: RunningCentre) -> None:
    # Given two sales and a return under a card that nobody has
    till = await centre.till()
    first, second = receipt(1, 100_00, code="ts 9-99"), receipt(2, 50_00, code="TS999")
    answer = await till.sell(first, second, returned(3, first))
    assert {outcome.code for outcome in answer.outcomes} == {"accepted"}
    assert [outcome.pos for outcome in answer.outcomes] == [msgspec.UNSET] * 3
    # When it is linked
    linked = centre.write(lambda connection: operations.link(connection, "m1", "TS-999", NOON))
    # Then what was bought under it counts, the return too
    assert (linked.receipts, linked.points) == (2, 5)
    assert centre.points("m1") == 5
    # And linking it again changes nothing
    again = centre.write(lambda connection: operations.link(connection, "m1", "TS999", NOON))
    assert (again.receipts, again.points) == (0, 0)
    with pytest.raises(cards.CodeTakenError):
        centre.write(lambda connection: operations.link(connection, "m2", "TS999", NOON))
    with pytest.raises(members.UnknownMemberError):
        centre.write(lambda connection: operations.link(connection, "nobody", "TS1000", NOON))


async def test_importing_a_card_links_it_too(centre: RunningCentre) -> None:
    till = await centre.till()
    await till.sell(receipt(1, 100_00, code="TS777"))
    document = b'{"members":[{"member":"m9","identifiers":[{"code":"ts-777"}]}]}'
    report = centre.write(lambda connection: operations.import_file(connection, document, NOON))
    assert (report.added, report.receipts) == (1, 1)
    assert centre.points("m9") == 10


async def test_attach_before_and_after_the_receipt(centre: RunningCentre) -> None:
    till = await centre.till()
    early, late = receipt(1), receipt(2)
    till.attach(early.key, "TS0001")
    till.sale(early)
    till.sale(late)
    till.attach(late.key, "TS0001")
    till.attach(late.key, "TS0001")
    till.attach(late.key, "TS0002")
    answer = await till.send(1)
    codes = [outcome.code for outcome in answer.outcomes]
    assert codes == ["accepted", "accepted", "accepted", "accepted", "duplicate", "quarantined"]
    assert centre.points("m1") == 20
    assert centre.points("m2") == 0


async def test_a_claim_that_differs_is_shown_and_never_refused(centre: RunningCentre, program: Program) -> None:
    # Given a register that does not know yet that a member is gold
    till = await centre.till()
    sold = receipt(1, 100_00, code="TS0002")
    till.sale(sold, member="m2", claims=claims_of(sold, program))
    answer = await till.send(1)
    # Then the ledger gives what is right, and the difference is kept
    assert [outcome.code for outcome in answer.outcomes] == ["accepted"]
    assert centre.points("m2") == 15
    [variance] = centre.read(lambda connection: connection.execute(tables.variances.select()).all())
    assert (variance.claimed, variance.given) == (10, 15)
    assert variance.detail == "base: claimed 10, given 15"


async def test_an_honest_claim_is_no_variance(centre: RunningCentre, program: Program) -> None:
    till = await centre.till()
    sold = receipt(1, 100_00, code="TS0001")
    till.sale(sold, member="m1", claims=claims_of(sold, program))
    till.sale(returned(2, sold), member="m1")
    await till.send(1)
    assert centre.count(tables.variances) == 0
    assert centre.points("m1") == 0


async def test_a_receipt_is_judged_by_the_program_of_its_own_time(centre: RunningCentre, program: Program) -> None:
    # Given a newer program in force from noon on, and a till that goes on with the older
    till = await centre.till()
    older = await till.heartbeat()
    generous = msgspec.json.decode(program_json(program))
    generous["earn"][0]["give"]["points"] = 2
    newer = program_from_json(msgspec.json.encode(generous))
    key = centre.folder.program_key()
    centre.write(lambda connection: operations.publish(connection, newer, key, NOON))
    # When a receipt of before comes, and one of after that was evaluated with the older
    till.sale(receipt(1, 100_00, code="TS0001", issued_at=NOON - timedelta(minutes=1)))
    sold = receipt(2, 100_00, code="TS0001")
    till.entry("receipt", sold.key, msgspec.json.encode(ReceiptBody(receipt=sold, program=older.program)))
    await till.send(1)
    # Then each is evaluated with what held when it was issued
    assert centre.points("m1") == 10 + 20


async def test_pending_points_are_confirmed_when_their_time_comes(centre: RunningCentre, program: Program) -> None:
    # Given a program that holds points back for two weeks
    waiting = msgspec.json.decode(program_json(program))
    waiting["earn"][0]["pending"] = "P14D"
    key = centre.folder.program_key()
    later = program_from_json(msgspec.json.encode(waiting))
    centre.write(lambda connection: operations.publish(connection, later, key, NOON))
    till = await centre.till()
    await till.sell(receipt(1, 100_00, code="TS0001"))
    [row] = [change.row for change in (await till.changes()).changes if change.member == "m1"]
    assert row
    assert (row.balance.confirmed, row.balance.pending, row.balance.spendable) == (0, 10, 0)
    # When that time has come
    after = NOON + timedelta(days=15)
    assert centre.read(lambda connection: ledger.matured(connection, NOON, 10)) == []
    due = centre.read(lambda connection: ledger.matured(connection, after, 10))
    centre.write(lambda connection: ledger.refresh_balances(connection, due, after))
    # Then they are confirmed, and not due again
    assert due == ["m1"]
    assert centre.read(lambda connection: ledger.matured(connection, after, 10)) == []
    assert centre.read(lambda connection: ledger.check_balances(connection, after)) == []
    centre.write(lambda connection: feed.note_changes(connection, due, after))
    centre.place(after)
    [row] = [change.row for change in (await till.changes()).changes if change.member == "m1"]
    assert row
    assert (row.balance.confirmed, row.balance.pending) == (10, 0)


async def test_points_are_gone_when_they_expire(centre: RunningCentre, program: Program) -> None:
    # Given a program whose points are good for two weeks
    short = msgspec.json.decode(program_json(program))
    short["earn"][0]["expires"] = "P14D"
    terms = program_from_json(msgspec.json.encode(short))
    centre.write(lambda connection: operations.publish(connection, terms, centre.folder.program_key(), NOON))
    till = await centre.till()
    await till.sell(receipt(1, 100_00, code="TS0001"))
    assert centre.points("m1") == 10
    # When they have passed
    after = NOON + timedelta(days=15)
    due = centre.read(lambda connection: ledger.matured(connection, after, 10))
    centre.write(lambda connection: ledger.refresh_balances(connection, due, after))
    # Then the balance is without them, and they are not due again
    assert due == ["m1"]
    centre.write(lambda connection: feed.note_changes(connection, due, after))
    centre.place(after)
    [row] = [change.row for change in (await till.changes()).changes if change.member == "m1"]
    assert row
    assert (row.balance.confirmed, row.balance.pending) == (0, 0)
    assert centre.read(lambda connection: ledger.matured(connection, after, 10)) == []
    assert centre.read(lambda connection: ledger.check_balances(connection, after)) == []


async def test_what_does_not_reconcile_earns_nothing(centre: RunningCentre) -> None:
    till = await centre.till()
    wrong = receipt(1, 100_00, code="TS0001", lines=(Line(position=1, amount_minor=1_00),))
    assert wrong.has_problem("total_mismatch")
    answer = await till.sell(wrong)
    assert [outcome.code for outcome in answer.outcomes] == ["accepted"]
    assert centre.points("m1") == 0


async def test_a_balance_that_is_not_the_fold_is_found(centre: RunningCentre) -> None:
    till = await centre.till()
    await till.sell(receipt(1, 100_00, code="TS0001"))
    centre.write(lambda connection: connection.execute(tables.balances.update().values(confirmed=99)))
    wrong = centre.read(lambda connection: ledger.check_balances(connection, NOON))
    assert "m1" in {mismatch.member for mismatch in wrong}


def mismatched(count: int, **facts: Any) -> Receipt:
    """A receipt whose lines were read wrong: they do not make its total."""
    return receipt(count, 100_00, code="TS0001", lines=(Line(position=1, amount_minor=70_00),), **facts)


async def correction(till: Till, target: Receipt, reading: Receipt) -> str:
    """Send how `target` reads now; what the centre says of it."""
    return (await corrected(till, target, reading))[0]


async def corrected(till: Till, target: Receipt, reading: Receipt) -> tuple[str, str]:
    """The same, and the reason."""
    body = CorrectBody(target=target.key, reading=ReceiptBody(receipt=reading))
    first = till.entry("correct", target.key, msgspec.json.encode(body)).seq
    (outcome,) = (await till.send(first)).outcomes
    return outcome.code, outcome.detail or ""


async def test_a_corrected_receipt_earns_exactly_once(centre: RunningCentre) -> None:
    # Given a receipt that does not add up, and so gives nothing
    till = await centre.till()
    wrong, right = mismatched(1), receipt(1, 100_00, code="TS0001")
    await till.sell(wrong)
    assert centre.points("m1") == 0
    # When its paper is read right
    assert await correction(till, wrong, right) == "accepted"
    # Then it earns, and telling again in any way adds nothing
    assert centre.points("m1") == 10
    assert await correction(till, wrong, right) == "duplicate"
    await till.sell(wrong, right)
    assert centre.points("m1") == 10
    assert centre.count(tables.receipts) == 1


async def test_a_return_of_a_receipt_that_is_corrected_later_takes_back(centre: RunningCentre) -> None:
    till = await centre.till()
    wrong, right = mismatched(1), receipt(1, 100_00, code="TS0001")
    await till.sell(wrong, returned(2, right))
    assert centre.points("m1") == 0

    await correction(till, wrong, right)

    assert centre.points("m1") == 0
    given = centre.read(lambda connection: ledger.entries_of_member(connection, "m1"))
    assert sorted(entry.points for entry in given) == [-10, 10]


async def test_what_earned_or_is_another_receipt_is_not_corrected(centre: RunningCentre) -> None:
    till = await centre.till()
    earned, other, wrong = receipt(1, code="TS0001"), receipt(2, code="TS0001"), mismatched(3)
    await till.sell(earned, other, wrong)
    before = centre.points("m1")

    more = receipt(1, 900_00, code="TS0001")
    # each with its own reason, which the desk shows beside what to do
    assert await corrected(till, earned, more) == ("quarantined", "the receipt has nothing to correct, or it earned")
    as_other = msgspec.structs.replace(receipt(3, code="TS0001"), also=natural_ids(other), key=wrong.key)
    another = ("quarantined", "it is also another receipt that is known already")
    assert await corrected(till, wrong, as_other) == another
    assert await corrected(till, receipt(9), receipt(9)) == ("quarantined", "its receipt is not here")
    kept = centre.read(lambda connection: connection.execute(tables.quarantine.select()).all())
    assert {(row.kind, row.reason) for row in kept} == {("correct", "correction")}
    assert {row.detail for row in kept} == {
        "the receipt has nothing to correct, or it earned",
        another[1],
        "its receipt is not here",
    }

    assert centre.points("m1") == before
