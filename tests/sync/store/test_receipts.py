"""Receipts, scans, spools, quarantine, programs: kept as given, found as needed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from msgspec.structs import replace

from loyalty.identity import key_of
from sync.store.errors import QuarantineFullError, UnknownReceiptError
from sync.store.quarantine_rows import DROPPED_AT_ONCE
from sync.store.reading import ITEM_BYTES
from sync.store.rows import SourcePosition
from sync.store.sqlite import DatabaseError
from sync.store.store import Store
from sync.store.writing import Writing
from sync.wire import SignedProgram
from tests.sync.store.samples import CAPTURED, Clock, capture, claim, receipt


async def test_a_receipt_is_known_under_every_key(store: Store) -> None:
    sale = receipt(1, "rs-purs:AAA-AAA-1")
    await store.write(lambda writing: capture(writing, sale, "m-ana", claim(sale, 10)))

    for key in (sale.key, key_of("rs-purs:AAA-AAA-1")):
        stored = store.known_receipt(["unknown", key])
        assert stored is not None
        assert (stored.receipt, stored.member, stored.claims, stored.captured) == (
            sale,
            "m-ana",
            (claim(sale, 10),),
            CAPTURED,
        )
    assert store.known_receipt(["unknown"]) is None


async def test_keys_of_two_receipts_give_both(store: Store) -> None:
    await store.write(lambda writing: capture(writing, receipt(1), None))
    await store.write(lambda writing: capture(writing, receipt(2), None))

    found = store.known_receipts([receipt(1).key, receipt(2).key, receipt(1).key])

    assert [stored.receipt.number for stored in found] == ["1", "2"]


async def test_a_key_is_never_given_to_a_second_receipt(store: Store) -> None:
    await store.write(lambda writing: capture(writing, receipt(1, "rs-purs:AAA-AAA-1"), None))

    with pytest.raises(DatabaseError, match="UNIQUE"):
        await store.write(lambda writing: capture(writing, receipt(2, "rs-purs:AAA-AAA-1"), None))

    assert store.known_receipt([receipt(2).key]) is None
    assert store.queued() == 1


async def test_a_receipt_can_gain_facts_keys_and_a_member(store: Store) -> None:
    await store.write(lambda writing: capture(writing, receipt(1), None))
    fuller = replace(receipt(1), also=("rs-purs:AAA-AAA-1",), operator="Milica")

    await store.write(lambda writing: writing.update_receipt(fuller, "m-ana", [claim(fuller, 10)]))

    stored = store.known_receipt([key_of("rs-purs:AAA-AAA-1")])
    assert stored is not None
    assert (stored.receipt, stored.member, stored.claims) == (fuller, "m-ana", (claim(fuller, 10),))
    with pytest.raises(UnknownReceiptError):
        await store.write(lambda writing: writing.update_receipt(receipt(9), None, []))


async def test_a_sale_knows_what_its_returns_took_back(store: Store) -> None:
    sale, first, second = receipt(1), receipt(2), receipt(3)
    await store.write(lambda writing: capture(writing, sale, "m-ana", claim(sale, 10)))

    def give_back(writing: Writing) -> None:
        writing.add_receipt(first, "m-ana", [claim(first, -4)], CAPTURED, original=sale.key)
        writing.add_receipt(second, "m-ana", [claim(second, -6)], CAPTURED, original=sale.key)

    await store.write(give_back)

    stored = store.known_receipt([sale.key])
    assert stored is not None
    assert (stored.receipt, stored.claims) == (sale, (claim(sale, 10),))
    assert stored.reversed == (claim(first, -4), claim(second, -6))
    assert store.known_receipt(["unknown"]) is None


async def test_a_number_finds_its_receipt_unless_two_have_it(store: Store) -> None:
    await store.write(lambda writing: capture(writing, receipt(1), None))
    found = store.receipt_by_number("1")
    assert found is not None
    assert found.receipt == receipt(1)

    twin = replace(receipt(1), key=key_of("pos:12/4/2026-11-22/1"))
    await store.write(lambda writing: capture(writing, twin, None))
    assert store.receipt_by_number("1") is None


async def test_scans_wait_in_order_until_a_receipt_or_nobody_uses_them(store: Store) -> None:
    def scan(code: str) -> Callable[[Writing], int]:
        return lambda writing: writing.keep_scan(code, "card", None, CAPTURED, reader="left")

    first, second, third = [await store.write(scan(code)) for code in ("1", "2", "3")]
    assert [kept.code for kept in store.unused_scans()] == ["1", "2", "3"]

    await store.write(lambda writing: writing.consume_scan(first, receipt(1).key))
    await store.write(lambda writing: writing.consume_scan(third))

    [kept] = store.unused_scans()
    assert (kept.id, kept.code, kept.kind, kept.entry, kept.at, kept.reader) == (
        second,
        "2",
        "card",
        "scanned",
        CAPTURED,
        "left",
    )


async def test_used_scans_are_forgotten_and_no_id_is_given_twice(store: Store) -> None:
    def scan(code: str) -> Callable[[Writing], int]:
        return lambda writing: writing.keep_scan(code, "card", None, CAPTURED)

    used = [await store.write(scan(code)) for code in ("1", "2", "3")]
    for each in used:
        await store.write(partial(Writing.consume_scan, scan_id=each, used_by=receipt(1).key))

    assert await store.write(Writing.drop_used_scans)
    assert not await store.write(Writing.drop_used_scans)

    assert store._rows("SELECT id FROM scans") == [(used[-1],)]
    assert await store.write(scan("4")) not in used


async def test_a_spool_is_read_on_from_where_it_was_left(store: Store) -> None:
    assert store.spool_position("till") is None
    for offset in (10, 20):
        await store.write(
            partial(Writing.set_spool_position, source="till", position=SourcePosition(segment=1, offset=offset))
        )

    assert store.spool_position("till") == SourcePosition(segment=1, offset=20)
    assert store.spool_position("other") is None


async def test_quarantined_bytes_are_kept_exactly_until_a_person_dealt_with_them(store: Store, clock: Clock) -> None:
    raw = bytes(range(256)) * 40
    kept_id = await store.write(lambda writing: writing.quarantine("till", "unreadable", "byte 7", raw))

    [kept] = store.quarantined()
    assert (kept.id, kept.source, kept.reason, kept.detail, kept.at, kept.size) == (
        kept_id,
        "till",
        "unreadable",
        "byte 7",
        clock.now,
        len(raw),
    )
    assert store.quarantined_raw(kept_id) == raw

    await store.write(lambda writing: writing.resolve_quarantine(kept_id, "dismissed", "seen"))
    assert store.quarantined() == ()
    assert store.count_quarantined() == 0
    assert store.quarantined_raw(kept_id) == raw
    assert store.quarantined_raw(99) is None


async def test_programs_are_kept_until_nothing_names_them(store: Store) -> None:
    old = SignedProgram(hash="0" * 64, program="{}", signature="s")
    new = SignedProgram(hash="1" * 64, program='{"a":1}', signature="t")
    assert store.held_programs() == frozenset()

    for signed in (old, new, old):
        await store.write(partial(Writing.keep_program, signed=signed))

    assert store.held_programs() == {old.hash, new.hash}
    assert store.program(old.hash) == old
    assert store.program("2" * 64) is None
    await store.write(lambda writing: writing.keep_only_programs({new.hash}))
    assert store.held_programs() == {new.hash}
    await store.write(lambda writing: writing.drop_program(new.hash))
    assert store.program(new.hash) is None


async def test_facts_about_the_register_are_replaced(store: Store) -> None:
    await store.write(lambda writing: writing.set_meta("device", "d-1"))
    await store.write(lambda writing: writing.set_meta("device", "d-2"))

    assert store.meta("device") == "d-2"
    assert store.meta("unknown") is None


async def test_a_resolved_item_keeps_how_and_why_and_is_resolved_once(store: Store) -> None:
    item = await store.write(lambda writing: writing.quarantine("till", "torn", "", b"raw", captured=CAPTURED))
    await store.write(lambda writing: writing.resolve_quarantine(item, "dismissed", "a test page"))

    await store.write(lambda writing: writing.resolve_quarantine(item, "read"))

    kept = store.kept_item(item)
    assert kept is not None
    assert (kept.resolved_as, kept.note, kept.captured, kept.raw) == ("dismissed", "a test page", CAPTURED, b"raw")


async def test_what_was_dealt_with_gives_up_its_bytes_a_few_at_a_time_and_no_more_than_is_needed(store: Store) -> None:
    # given more items that were dealt with than go at once
    resolved = DROPPED_AT_ONCE + 2

    def aside(writing: Writing) -> None:
        for _ in range(resolved):
            item = writing.quarantine("till", "torn", "", b"x" * ITEM_BYTES)
            writing.resolve_quarantine(item, "dismissed", "seen")

    await store.write(aside)
    full = store.quarantine_bytes()

    # when one more needs room, only the oldest few give up theirs
    await store.write(lambda writing: writing.quarantine("till", "torn", "", b"y", limit_bytes=full))
    left = [number for number in range(1, resolved + 1) if store.quarantined_raw(number)]
    assert left == [DROPPED_AT_ONCE + 1, DROPPED_AT_ONCE + 2]

    # and on a full disk the others follow, until there is nothing more
    assert await store.write(Writing.drop_resolved_bytes) == 2 * ITEM_BYTES
    assert await store.write(Writing.drop_resolved_bytes) == 0


async def test_a_full_quarantine_gives_up_what_was_dealt_with_and_then_refuses(store: Store) -> None:
    def aside(raw: bytes, receipt: str | None = None) -> Callable[[Writing], int]:
        return lambda writing: writing.quarantine("till", "torn", "", raw, receipt=receipt, limit_bytes=4 * ITEM_BYTES)

    # given two items, one of them dealt with, and room for no third
    first = await store.write(aside(b"1" * ITEM_BYTES))
    second = await store.write(aside(b"2" * 100))
    await store.write(lambda writing: writing.resolve_quarantine(first, "dismissed", "seen"))

    # then the bytes of the one make room
    third = await store.write(aside(b"3" * (ITEM_BYTES // 2)))
    assert (store.quarantined_raw(first), store.quarantined_raw(second)) == (b"", b"2" * 100)
    # and what is open is never given up: a booked receipt's item goes without its bytes, anything else is refused
    with pytest.raises(QuarantineFullError):
        await store.write(aside(b"4" * ITEM_BYTES))
    fourth = await store.write(aside(b"4" * ITEM_BYTES, "key"))
    assert (store.quarantined_raw(third), store.quarantined_raw(fourth)) == (b"3" * (ITEM_BYTES // 2), b"")
    assert [item.id for item in store.quarantined()] == [second, third, fourth]
