"""Ingest: sequence, chain, effects and high-water mark in one transaction."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from central import device_api
from central.db import tables
from central.ingest import ingest
from central.pace import ALONE_ENTRIES
from sync.records import Entry, ReceiptBody
from tests.central.conftest import RunningCentre, empty_disk, fill_disk, refuse_rows
from tests.central.till import NOON, RefusedError, receipt


async def test_a_receipt_becomes_points_and_a_change(centre: RunningCentre) -> None:
    # Given an enrolled register
    till = await centre.till()
    # When it sends a receipt of a member
    answer = await till.sell(receipt(1, 123_45, code="ts 0001"))
    # Then the ledger holds the points, and the feed shows them at the position the answer names
    assert answer.acked_through == 1
    assert answer.chain_hash == till.hash_at(1).hex()
    [outcome] = answer.outcomes
    assert outcome.code == "accepted"
    assert centre.points("m1") == 12
    changes = await till.changes()
    [row] = [change for change in changes.changes if change.member == "m1"]
    assert row.pos == outcome.pos
    assert row.row
    assert row.row.balance.confirmed == 12


async def test_batch_boundaries_mean_nothing(centre: RunningCentre) -> None:
    # Given five entries
    till = await centre.till()
    for number in range(1, 6):
        till.sale(receipt(number, code="TS0001"))
    # When they come in overlapping batches
    first = await till.send(1, 3)
    second = await till.send(2, 4)
    third = await till.send(1, 5)
    # Then each counts once, and an entry that is known gets its first outcome, where its member's row stands by now
    assert (first.acked_through, second.acked_through, third.acked_through) == (3, 4, 5)
    [*before, newest] = third.outcomes
    assert before == [replace(outcome, pos=newest.pos) for outcome in (*first.outcomes, second.outcomes[-1])]
    assert centre.points("m1") == 50


async def test_a_long_batch_that_is_more_than_plain_sales_counts_each_entry_once(centre: RunningCentre) -> None:
    # Given more than what is taken in at once, with a sale that is given to somebody later, and one that comes twice
    till = await centre.till()
    sold = till.sale(receipt(1))
    for number in range(2, ALONE_ENTRIES + 50):
        till.sale(receipt(number, code="TS0001"))
    till.attach(sold.key, "TS0002")
    till.sale(receipt(2, code="TS0001"))
    # When it comes, and comes again with one more
    first = await till.send(1)
    till.sale(receipt(ALONE_ENTRIES + 50, code="TS0001"))
    second = await till.send(1)
    # Then all of it counts, once
    assert [one.code for one in first.outcomes[-3:]] == ["accepted", "accepted", "duplicate"]
    assert [one.seq for one in second.outcomes] == list(range(1, ALONE_ENTRIES + 53))
    assert [one.code for one in second.outcomes[:-1]] == [one.code for one in first.outcomes]
    assert (centre.points("m1"), centre.points("m2")) == (10 * (ALONE_ENTRIES + 49), 15)  # the other is gold
    # And of another history nothing new has an effect, however far behind what is known
    till.sent[ALONE_ENTRIES + 10] = replace(till.sent[ALONE_ENTRIES + 10], key="another")
    till.sale(receipt(ALONE_ENTRIES + 51, code="TS0001"))
    with pytest.raises(RefusedError) as refused:
        await till.send(1)
    assert refused.value.status == 410
    assert centre.points("m1") == 10 * (ALONE_ENTRIES + 49)


async def test_a_gap_is_named(centre: RunningCentre) -> None:
    till = await centre.till()
    for number in range(1, 4):
        till.sale(receipt(number))
    await till.send(1, 1)
    with pytest.raises(RefusedError) as refused:
        await till.send(3)
    assert refused.value.status == 409
    assert refused.value.problem["expected_seq"] == 2
    assert (await till.send(2)).acked_through == 3


async def test_numbers_that_do_not_count_up_are_unreadable(centre: RunningCentre) -> None:
    till = await centre.till()
    till.sale(receipt(1))
    till.sale(receipt(2))
    batch = till.batch(1)
    with pytest.raises(RefusedError) as refused:
        await till.ingest(msgspec.structs.replace(batch, entries=batch.entries[::-1]))
    assert refused.value.status == 422


async def test_an_epoch_that_was_left_is_fenced(centre: RunningCentre) -> None:
    till = await centre.till()
    till.sale(receipt(1, code="TS0001"))
    left = till.batch(1)
    await till.open_epoch()
    with pytest.raises(RefusedError) as refused:
        await till.ingest(left)
    assert refused.value.status == 410
    assert "POST /v1/epochs" in refused.value.problem["detail"]
    assert centre.count(tables.entries) == 0


async def test_a_fork_is_set_aside_and_the_resend_counts_once(centre: RunningCentre) -> None:
    # Given a register whose disk was cloned after two entries
    till = await centre.till()
    await till.sell(receipt(1, code="TS0001"), receipt(2, code="TS0001"))
    epoch, sent, hashes = till.epoch, list(till.sent), list(till.hashes)
    await till.sell(receipt(3, code="TS0001"))
    # When the clone sends another third entry
    till.sent, till.hashes = sent, hashes
    till.sale(receipt(4, code="TS0001"))
    with pytest.raises(RefusedError) as refused:
        await till.send(3)
    # Then the epoch is fenced and what was sent is set aside, in sight
    assert refused.value.status == 410
    [aside] = centre.read(lambda connection: connection.execute(tables.quarantine.select()).all())
    assert (aside.reason, aside.seq, aside.epoch) == ("fork", 3, epoch)
    assert msgspec.json.decode(aside.raw, type=Entry).key == receipt(4).key
    assert centre.points("m1") == 30
    # And both histories count once when they are sent again in epochs of their own
    await till.open_epoch(previous=epoch)
    answer = await till.sell(receipt(4, code="TS0001"), receipt(3, code="TS0001"))
    assert [outcome.code for outcome in answer.outcomes] == ["accepted", "duplicate"]
    assert centre.points("m1") == 40


async def test_a_fork_is_set_aside_whole_however_long_it_is(
    centre: RunningCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a batch that is taken in by parts, of which the first finds the fork
    monkeypatch.setattr(device_api, "ALONE_ENTRIES", 2)
    till = await centre.till()
    await till.sell(receipt(1, code="TS0001"))
    till.sent, till.hashes = [], []
    for number in range(2, 8):
        till.attach(receipt(number).key, "TS0001")
    # When it comes
    with pytest.raises(RefusedError) as refused:
        await till.send(1)
    # Then all of the other history is kept, in sight
    assert refused.value.status == 410
    aside = centre.read(lambda connection: connection.execute(tables.quarantine.select()).all())
    assert sorted((one.reason, one.seq) for one in aside) == [("fork", seq) for seq in range(1, 7)]


async def test_a_chain_that_differs_before_the_batch_is_a_fork(centre: RunningCentre) -> None:
    till = await centre.till()
    till.sale(receipt(1, code="TS0001"))
    batch = msgspec.structs.replace(till.batch(1), prev_hash="00" * 32)
    with pytest.raises(RefusedError) as refused:
        await till.ingest(batch)
    assert refused.value.status == 410
    assert centre.count(tables.receipts) == 0
    assert centre.count(tables.quarantine) == 1


async def test_a_poison_entry_is_set_aside_alone(centre: RunningCentre) -> None:
    # Given entries among which are a body of another shape, one that is no text, a kind of the future, one not handled
    # yet, and one that breaks the database's own rules
    till = await centre.till()
    till.sale(receipt(1, code="TS0001"))
    till.entry("receipt", "k", b'{"receipt":{"key":1}}')
    till.entry("receipt", "k", b'{"receipt":{"key":"\xff"}}')
    till.entry("levitate", "k", b"{}")
    till.entry("detach", "k", b'{"target":"t"}')
    till.sale(receipt(2, code="TS0001"))
    poison = receipt(3, code="TS0002", also=("pos:a", "pos:b"))
    centre.write(lambda connection: refuse_rows(connection, "receipts", "new.member = 'm2'"))
    till.sale(poison)
    till.sale(receipt(4, code="TS0001"))
    # When they come in one batch
    answer = await till.send(1)
    # Then each of them is quarantined alone, with a reason, and all are acknowledged
    codes = [outcome.code for outcome in answer.outcomes]
    assert codes == ["accepted", *["quarantined"] * 4, "accepted", "quarantined", "accepted"]
    assert answer.acked_through == 8
    aside = centre.read(lambda connection: connection.execute(tables.quarantine.select()).all())
    assert [row.reason for row in aside] == ["unreadable", "unreadable", "unknown_kind", "not_yet", "poison"]
    assert centre.points("m1") == 30
    assert centre.points("m2") == 0
    # And nothing of the poison stays behind
    assert centre.count(tables.receipts) == 3


async def test_a_receipt_with_thousands_of_ids_holds_up_nothing(centre: RunningCentre) -> None:
    till = await centre.till()
    till.sale(msgspec.structs.replace(receipt(1), also=tuple(f"pos:{n}" for n in range(40_000))))
    till.sale(receipt(2, code="TS0001"))
    answer = await till.send(1)
    assert [outcome.code for outcome in answer.outcomes] == ["quarantined", "accepted"]


async def test_effects_and_high_water_mark_are_one_transaction(centre: RunningCentre) -> None:
    # Given a batch
    till = await centre.till()
    for number in range(1, 4):
        till.sale(receipt(number, code="TS0001"))

    # When the power fails after the effects and before the commit
    class PowerCutError(Exception):
        pass

    def cut(connection: Connection) -> None:
        ingest(connection, till.device, till.batch(1), request_id="r", fingerprint="f", now=NOON)
        raise PowerCutError

    with pytest.raises(PowerCutError):
        centre.write(cut)
    # Then nothing of it is there, and the register's next attempt is taken whole
    assert [centre.count(table) for table in (tables.entries, tables.receipts, tables.ledger)] == [0, 0, 0]
    assert (await till.send(1)).acked_through == 3
    assert centre.points("m1") == 30


async def test_a_nul_stops_nothing_on_either_database(centre: RunningCentre) -> None:
    # Given a receipt whose number holds one, as JSON may
    till = await centre.till()
    sold = receipt(1, code="TS0001")
    body = ReceiptBody(receipt=replace(sold, number="1\0"))
    till.entry("receipt", sold.key, msgspec.json.encode(body))
    till.sale(receipt(2, code="TS0001"))
    # And another one only looks like it
    looks = receipt(3, code="TS0001", operator="\\u0000")
    till.sale(looks)
    # Then it is set aside, and holds up nothing behind it
    assert [outcome.code for outcome in (await till.send(1)).outcomes] == ["quarantined", "accepted", "accepted"]
    assert centre.points("m1") == 20
    # And an entry that cannot be kept as it was hashed is refused as unreadable, and not as a failure
    till.entry("signal", "s\0", b'{"what":"unknown_card"}')
    with pytest.raises(RefusedError, match="422"):
        await till.send(4)


async def test_a_database_that_fails_acknowledges_nothing(centre: RunningCentre) -> None:
    # Given a disk on which the entries cannot be stored
    till = await centre.till()
    till.sale(receipt(1, code="TS0001"))
    # When a batch hits it in the middle
    centre.write(lambda connection: fill_disk(connection, "entries"))
    status, problem = await till.request("POST", "/v1/ingest", msgspec.json.encode(till.batch(1)))
    # Then it is asked for again, and nothing counted
    assert status == 503
    assert "send it again" in msgspec.json.decode(problem)["detail"]
    centre.write(lambda connection: empty_disk(connection, "entries"))
    assert centre.count(tables.receipts) == 0
    assert (await till.send(1)).acked_through == 1


async def test_an_operational_error_inside_an_entry_is_no_poison(centre: RunningCentre) -> None:
    till = await centre.till()
    till.sale(receipt(1, code="TS0001"))

    def without_ledger(connection: Connection) -> None:
        fill_disk(connection, "ledger")
        ingest(connection, till.device, till.batch(1), request_id="r", fingerprint="f", now=NOON)

    with pytest.raises(OperationalError):
        centre.write(without_ledger)
    assert centre.count(tables.quarantine) == 0


async def test_signals_are_kept(centre: RunningCentre) -> None:
    till = await centre.till()
    till.entry("signal", "s1", b'{"what":"unknown_card"}')
    answer = await till.send(1)
    assert [outcome.code for outcome in answer.outcomes] == ["accepted"]
    assert centre.count(tables.entries) == 1
