"""The quarantine is read again: what becomes a receipt is booked once, and the rest stays with its reason."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from agent.booking import Booked, ClosedSale
from agent.inspection import NotFoundError, Reread
from agent.rereading import REREAD_AT_ONCE, Rereader
from agent.store_inspection import ignored_of
from drivers.receipts.port import DecodeOptions
from loyalty.instant import Instant
from loyalty.receipt import Receipt
from sync.records import CorrectBody
from sync.store.reading import MAX_LISTED
from sync.store.writing import Writing
from tests.agent.shop import OPTIONS, Shop, receipt

import msgspec  # isort: skip

WRONG = replace(OPTIONS, format="purs-journal")
NO_CURRENCY = replace(OPTIONS, currency=None)
SLIP = b"\x1b@CARD PAYMENT\nTERMINAL 77\nVISA\nAPPROVED\nAUTH 123456\nMERCHANT COPY\n\x1dV\x00"


def rereader(shop: Shop, options: DecodeOptions = OPTIONS, *, read_with: str = "now") -> Rereader:
    return Rereader(
        store=shop.store, books=shop.books, options=lambda _source: options, rules=shop.rules, read_with=read_with
    )


def corrections(shop: Shop) -> list[CorrectBody]:
    entries = shop.store.queue(limit=MAX_LISTED)
    return [
        msgspec.json.decode(shop.store.entry(entry.number).json, type=CorrectBody)
        for entry in entries
        if entry.kind == "correct"
    ]


def foreign(number: int) -> bytes:
    """A receipt that prints no currency."""
    return receipt(number).replace(b"TOTAL RSD", b"TOTAL")


async def test_what_wrong_settings_set_aside_is_booked_once_they_are_right(shop: Shop) -> None:
    # given a receipt of which the settings' reader made nothing, with its card scanned before
    await shop.seed()
    await shop.scan("TS1001", 5)
    shop.print(receipt(1), 30)
    await shop.intake(options=lambda: WRONG).take_new()
    (item,) = shop.store.quarantined()
    assert shop.bodies() == []

    # when
    reread = await rereader(shop).reread(item.id)

    # then it is booked as if it were fresh: with its own time, and the card of then
    assert (reread.outcome, [one.fate for one in reread.receipts]) == ("read", ["booked"])
    (body,) = shop.bodies()
    assert (body.member, [claim.points for claim in body.claims]) == ("m-ana", [40])
    assert shop.store.quarantined() == ()
    kept = shop.store.kept_item(item.id)
    assert kept is not None
    assert kept.resolved_as == "read"
    assert kept.captured.monotonic_ns == 30_000_000_000


async def test_a_second_retry_and_a_reprint_change_nothing(shop: Shop) -> None:
    await shop.seed()
    shop.print(receipt(1, tail="MEMBER TS1001\n"))
    await shop.intake(options=lambda: WRONG).take_new()
    await rereader(shop).reread(1)

    shop.print(receipt(1, tail="MEMBER TS1001\n"))
    await shop.take_all()
    with pytest.raises(NotFoundError):
        await rereader(shop).reread(1)

    assert len(shop.bodies()) == 1
    assert ignored_of(shop.store) == {"seen_again": 1}


async def test_a_reprint_that_was_read_before_the_retry_counts_once(shop: Shop) -> None:
    await shop.seed()
    shop.print(receipt(1))
    await shop.intake(options=lambda: WRONG).take_new()
    shop.print(receipt(1))
    await shop.take_all()

    reread = await rereader(shop).reread(1)

    assert [one.fate for one in reread.receipts] == ["seen_again"]
    assert len(shop.bodies()) == 1
    assert shop.store.quarantined() == ()


async def test_a_card_scanned_since_is_nobody_of_an_old_receipt(shop: Shop) -> None:
    await shop.seed()
    shop.print(receipt(1), 30)
    await shop.intake(options=lambda: WRONG).take_new()
    await shop.scan("TS1001", 40)

    await rereader(shop).reread(1)

    assert [body.receipt.member for body in shop.bodies()] == [msgspec.UNSET]
    assert [scan.code for scan in shop.store.unused_scans()] == ["TS1001"]


async def test_what_is_still_not_read_stays_with_the_reason_of_now(shop: Shop) -> None:
    shop.print(b"\x1b@MYSTERY\n\x1dV\x00")
    await shop.take_all()

    reread = await rereader(shop).reread(1)

    assert (reread.outcome, reread.reason) == ("waits", "unknown_layout")
    assert reread.remedy
    assert [item.id for item in shop.store.quarantined()] == [1]


async def test_what_turns_out_to_be_no_receipt_is_counted_as_that(shop: Shop) -> None:
    await shop.store.write(lambda writing: writing.quarantine("printer", "unknown_layout", "", SLIP))

    reread = await rereader(shop).reread(1)

    assert reread == Reread(id=1, outcome="no_receipt")
    assert ignored_of(shop.store) == {"card_slip": 1}


async def test_a_job_that_is_not_whole_is_never_read(shop: Shop) -> None:
    await shop.store.write(lambda writing: writing.quarantine("printer", "job_too_long", "", receipt(1)))

    reread = await rereader(shop).reread(1)

    assert (reread.outcome, reread.reason) == ("waits", "job_too_long")
    assert shop.bodies() == []


@pytest.mark.parametrize("reason", ["not_a_file", "linked_file", "unreadable", "too_large"])
async def test_the_name_of_a_file_that_was_not_opened_is_no_receipt(shop: Shop, reason: str) -> None:
    # given a link in the folder whose name is a receipt in the contract's shape
    name = b'{"key":"","kind":"sale","currency":"EUR","total_minor":100000,"number":"1","lines":[]}'
    await shop.store.write(lambda writing: writing.quarantine("files", reason, "", name))

    reread = await rereader(shop).reread(1)

    assert (reread.outcome, reread.reason) == ("waits", reason)
    assert shop.bodies() == []


async def test_a_receipt_that_earns_nothing_is_booked_and_waits_for_a_person(shop: Shop) -> None:
    await shop.seed()
    shop.print(foreign(1))
    await shop.intake(options=lambda: NO_CURRENCY).take_new()

    (item,) = shop.store.quarantined()
    (body,) = shop.bodies()
    assert (item.reason, item.receipt) == ("currency_unknown", body.receipt.key)


async def test_its_corrected_reading_earns_once_under_its_first_key(shop: Shop) -> None:
    # given a receipt that was booked without a currency, for a member
    await shop.seed()
    await shop.scan("TS1001", 5)
    shop.print(foreign(1), 30)
    await shop.intake(options=lambda: NO_CURRENCY).take_new()
    (body,) = shop.bodies()
    assert (body.member, body.claims) == ("m-ana", ())

    # when
    reread = await rereader(shop).reread(1)

    # then the centre gets one correction, and the register shows the points
    assert [one.fate for one in reread.receipts] == ["corrected"]
    (correction,) = corrections(shop)
    assert correction.target == correction.reading.receipt.key == body.receipt.key
    assert (correction.reading.member, [claim.points for claim in correction.reading.claims]) == ("m-ana", [40])
    member = shop.store.member_by_code("TS1001")
    assert member is not None
    assert member.balance.pending == 40
    # and neither another retry nor a reprint adds anything
    shop.print(receipt(1), 60)
    await shop.take_all()
    with pytest.raises(NotFoundError):
        await rereader(shop).reread(1)
    assert (len(shop.bodies()), len(corrections(shop))) == (1, 1)


async def test_a_reading_that_still_does_not_earn_corrects_nothing(shop: Shop) -> None:
    await shop.seed()
    shop.print(foreign(1))
    await shop.intake(options=lambda: NO_CURRENCY).take_new()

    reread = await rereader(shop, NO_CURRENCY).reread(1)

    assert (reread.outcome, reread.reason) == ("waits", "currency_unknown")
    assert corrections(shop) == []


async def test_one_item_stands_for_all_receipts_of_a_document(shop: Shop) -> None:
    await shop.seed()
    shop.print(foreign(1)[:-3] + foreign(2)[2:])
    await shop.intake(options=lambda: NO_CURRENCY).take_new()
    assert (len(shop.bodies()), len(shop.store.quarantined())) == (2, 1)

    await rereader(shop).reread(1)

    assert {body.target for body in corrections(shop)} == {body.receipt.key for body in shop.bodies()}
    assert shop.store.quarantined() == ()


async def test_after_a_change_all_is_read_again_once(shop: Shop) -> None:
    for number in range(1, 4):
        shop.print(receipt(number))
    shop.print(b"\x1b@MYSTERY\n\x1dV\x00")
    await shop.intake(options=lambda: WRONG).take_new()
    assert len(shop.store.quarantined()) == 4

    await rereader(shop).reread_stale()

    assert len(shop.bodies()) == 3
    assert shop.store.not_read_with("now", 10) == ()
    assert shop.store.not_read_with("later", 10) == (4,)


async def test_a_command_reads_all_in_parts(shop: Shop) -> None:
    for _ in range(REREAD_AT_ONCE + 1):
        await shop.store.write(lambda writing: writing.quarantine("printer", "unknown_layout", "", b"?\n"))
    reader = rereader(shop)

    first = await reader.reread_some(0)
    rest = await reader.reread_some(first.next or 0)

    assert (len(first.items), len(rest.items), rest.next) == (REREAD_AT_ONCE, 1, None)


async def test_what_cannot_be_booked_holds_up_nothing(shop: Shop) -> None:
    def failing(
        writing: Writing, receipt: Receipt, captured: Instant, /, *, closes: ClosedSale | None = None
    ) -> Booked:
        raise ValueError("too much")

    await shop.seed()
    shop.print(receipt(1))
    await shop.intake(options=lambda: WRONG).take_new()
    reader = Rereader(
        store=shop.store,
        books=lambda name: shop.books(name, take=failing),
        options=lambda _: OPTIONS,
        rules=shop.rules,
        read_with="now",
    )

    reread = await reader.reread(1)

    assert (reread.outcome, reread.reason) == ("waits", "not_booked")
    assert shop.bodies() == []
