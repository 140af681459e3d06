"""Ingest: sequence, chain, effects and high-water mark in one transaction."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from central import device_api
from central.db import tables
from central.ingest import ingest
from central.pace import ALONE_ENTRIES
from loyalty.receipt import MAX_FOUND_BY_CHARS, Fiscal, MemberReference, Original
from sync.records import AttachBody, CorrectBody, Entry, ReceiptBody, ReleaseBody, SignalBody
from tests.central.conftest import RunningCentre, empty_disk, fill_disk, only_postgresql, refuse_rows
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


async def test_a_text_too_long_to_be_found_by_is_set_aside_alone(centre: RunningCentre) -> None:
    # Given entries with a text that no index of PostgreSQL takes, wherever one is found by it, and an honest sale
    till = await centre.till()
    long = secrets.token_hex(3_000)
    sold = receipt(1, code="TS0001")
    for found_by in (
        {"number": long},
        {"fiscal": Fiscal(scheme="rs-purs", number=long)},
        {"member": MemberReference(code=long)},
        {"original": Original(number=long), "kind": "return"},
        {"original": Original(key=long), "kind": "return"},
        {"key": long},
    ):
        till.sale(replace(sold, **found_by))
    till.attach(long, "TS0001")
    till.attach(sold.key, long)
    till.entry("correct", sold.key, msgspec.json.encode(CorrectBody(target=long, reading=ReceiptBody(receipt=sold))))
    reading = ReceiptBody(receipt=replace(sold, number=long))
    till.entry("correct", sold.key, msgspec.json.encode(CorrectBody(target=sold.key, reading=reading)))
    body = SignalBody(what="app_installed", member=MemberReference(code=long))
    till.entry("signal", "s", msgspec.json.encode(body))
    till.entry("release", "r", msgspec.json.encode(ReleaseBody(target=long)))
    for kind, key_only in (("signal", b'{"what":"w"}'), ("join", b'{"provisional_id":"p1"}'), ("erased", b"[]")):
        till.entry(kind, long, key_only)
    long_ones = list(till.sent)
    till.sale(sold)
    # When they come in one batch
    answer = await till.send(1)
    # Then each is quarantined alone, with what is too long, and what is behind them counts
    assert [outcome.code for outcome in answer.outcomes] == [*["quarantined"] * len(long_ones), "accepted"]
    assert {outcome.detail for outcome in answer.outcomes[:-1]} == {
        f"{where} is longer than 255 characters"
        for where in (
            *(f"receipt.{one}" for one in ("number", "fiscal.number", "member.code")),
            *("receipt.original.number", "receipt.original.key", "reading.receipt.number"),
            *("the entry's key", "target", "member.code"),
        )
    }
    assert centre.points("m1") == 10
    # And what is set aside is the whole of it
    aside = centre.read(lambda connection: connection.execute(tables.quarantine.select()).all())
    assert {row.reason for row in aside} == {"out_of_bounds"}
    assert [msgspec.json.decode(row.raw, type=Entry) for row in aside] == long_ones
    # And coming again they are known, and another history under a long key is a fork like any
    assert (await till.send(1)).outcomes[:-1] == answer.outcomes[:-1]
    till.sent[0] = replace(till.sent[0], key=long)
    with pytest.raises(RefusedError, match="410"):
        await till.send(1)


@pytest.mark.parametrize("name", ["number", "member.code"])
async def test_what_is_as_long_as_may_be_is_taken_in(centre: RunningCentre, name: str) -> None:
    # Given texts of the greatest length, of letters that take the most bytes
    till = await centre.till()
    letters = "".join(chr(0x20000 + secrets.randbelow(0x8000)) for _ in range(MAX_FOUND_BY_CHARS))
    facts: dict[str, Any] = {"number": letters} if name == "number" else {"code": letters}
    till.sale(receipt(1, **facts))
    till.attach(letters, letters)
    till.entry("attach", letters, b'{"target":"t","member":{"code":"TS0001"}}')
    till.entry("attach", letters, msgspec.json.encode(AttachBody(target=letters, member=MemberReference(code="T"))))
    assert [outcome.code for outcome in (await till.send(1)).outcomes] == ["accepted"] * 4


@only_postgresql
async def test_what_is_beyond_a_limit_of_the_database_is_its_entry_s_own_fault(centre: RunningCentre) -> None:
    # Given a receipt that the database cannot hold, for a limit that nobody here thought of
    till = await centre.till()
    beyond = "BEGIN RAISE 'index row size exceeds maximum' USING ERRCODE = '54000'; END"

    def limit(connection: Connection) -> None:
        connection.exec_driver_sql(f"CREATE FUNCTION beyond() RETURNS trigger LANGUAGE plpgsql AS $$ {beyond} $$")
        connection.exec_driver_sql(
            "CREATE TRIGGER beyond BEFORE INSERT ON receipts FOR EACH ROW WHEN (new.number = '2') "
            "EXECUTE FUNCTION beyond()"
        )

    centre.write(limit)
    # When it comes among others, and by itself
    for number in (1, 2, 3):
        till.sale(receipt(number, code="TS0001"))
    together = await till.send(1)
    till.sale(receipt(2, code="TS0001"))
    alone = await till.send(4)
    # Then it is set aside alone
    assert [outcome.code for outcome in together.outcomes] == ["accepted", "quarantined", "accepted"]
    assert [outcome.code for outcome in alone.outcomes] == ["quarantined"]
    aside = centre.read(lambda connection: connection.execute(tables.quarantine.select()).all())
    assert {(row.reason, row.detail) for row in aside} == {
        ("poison", "could not be applied (ProgramLimitExceeded); report this")
    }
    assert centre.points("m1") == 20


async def test_an_id_with_a_nul_is_nobodys_on_either_database(centre: RunningCentre) -> None:
    till = await centre.till()
    till.sale(receipt(1))
    for path, body, status in (
        ("/v1/ingest", msgspec.json.encode(replace(till.batch(1), epoch="e\0")), 410),
        ("/v1/allowances", b'{"epoch":"e\\u0000","after":0}', 410),
        ("/v1/allowances", b'{"epoch":"%s","after":0,"want":{"member":"m\\u0000","points":1}}', 422),
        ("/v1/heartbeat", b'{"version":"1","queued":0,"quarantined":0,"epoch":"e\\u0000"}', 200),
        ("/v1/members/%00", b"", 404),
        ("/v1/members/TS%00", b"", 404),
        ("/v1/programs/%00", b"", 404),
        ("/v1/item-maps/%00", b"", 404),
        ("/v1/snapshots/%00/%00", b"", 404),
        ("/v1/releases/metadata/%00", b"", 404),
    ):
        sent = body.replace(b"%s", till.epoch.encode())
        answer = await till.request("POST" if sent else "GET", path, sent)
        assert answer[0] == status, (path, answer)
    # An epoch before that was none is one that the centre does not know
    assert await till.open_epoch(previous="e\0")


async def test_a_batch_out_of_step_is_unreadable_whoever_it_says_it_is_of(centre: RunningCentre) -> None:
    till = await centre.till()
    till.sale(receipt(1))
    till.sale(receipt(2))
    batch = replace(till.batch(1), device="another")
    with pytest.raises(RefusedError, match="422"):
        await till.ingest(replace(batch, entries=batch.entries[::-1]))
    with pytest.raises(RefusedError, match="403"):
        await till.ingest(batch)


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
