"""A fiscal receipt's buyer, given on every way: of the number nothing stays in what a register keeps."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from agent.cli.capture_spool import SpoolRecording
from agent.rereading import Rereader
from drivers.capture import BytesRead, decode_capture
from drivers.capture_masking import ByteMasker
from drivers.receipts.decode import decode
from tests.agent.shop import MORNING, OPTIONS, Shop
from tests.agent.test_arrivals import intake
from tests.agent.test_scanned_receipts import Counter
from tests.agent.test_webhook import posting
from tests.drivers.receipts.codes import purs_bytes, purs_url
from tests.drivers.receipts.journals import Item, Journal, printed
from tests.drivers.receipts.test_buyer_masking import NUMBER, hidden_in, stored_qr
from tests.faults.evidence import all_logs, file_bytes, store_values, wire_entries

AT_S = 420


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.close()


def sale(minor: int, *, total_counter: int = 16898) -> Journal:
    return Journal(
        items=(Item(text="HLEB (Е)", price_minor=minor, quantity="1", amount_minor=minor),),
        payments=(("Готовина", minor),),
        buyer=f"10:{NUMBER}",
        number=f"746DUV64-746DUV64-{total_counter}",
        time="22.11.2026. 10:07:00",
    )


def code(minor: int, *, total_counter: int = 16898) -> str:
    milliseconds = int((MORNING + timedelta(seconds=AT_S)).timestamp() * 1000)
    return purs_url(
        purs_bytes(
            amount=minor * 100, milliseconds=milliseconds, total_counter=total_counter, buyer=f"10:{NUMBER}".encode()
        )
    )


def job(journal: Journal, minor: int) -> bytes:
    return b"\x1b@" + printed(journal).encode("cp1251") + stored_qr(code(minor)) + b"\n\x1dV\x00"


def written(folder: Path) -> bytes:
    """All bytes of the register's data: its files as they are, its store's rows decrypted."""
    return file_bytes(folder / "state") + b"\n".join(store_values(folder / "state"))


async def test_a_buyer_is_nowhere_in_a_registers_data(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    await shop.seed()
    counter = Counter(shop)
    drop = shop.folder / "drop"
    drop.mkdir()
    with all_logs(caplog) as logs:
        # given a receipt with a buyer by print, and the same number with another amount on every way
        shop.print(job(sale(26828), 26828))
        shop.print(job(sale(99900), 99900))
        shop.print(job(sale(12300), 45600))  # its code and its text differ
        shop.print(b"\x1b@" + printed(sale(26828)).encode()[:700])  # torn in the middle
        await shop.take_all()
        (drop / "1.txt").write_bytes(printed(sale(88800)).encode())
        await intake(shop, drop).take_new()
        async with posting(shop) as post:
            invoice = {"journal": printed(sale(77700)), "invoiceRequest": {"buyerId": f"10:{NUMBER}"}}
            await post({**invoice, "verificationUrl": code(77700)}, "call-1")
        await counter.scan(code(66600), AT_S + 5)
        # and all of it is looked at and read again
        items = shop.store.quarantined()
        rereader = Rereader(
            store=shop.store, books=shop.books, options=lambda _: OPTIONS, rules=shop.rules, read_with="now"
        )
        for item in items:
            await rereader.reread(item.id)

    # then there was much to keep, and it was kept by its own reasons
    assert {item.reason for item in items} == {"conflict", "torn"}
    assert sum(item.reason == "conflict" for item in items) >= 4
    kept = written(shop.folder)
    assert b"746DUV64-746DUV64-16898" in kept
    assert "ИД купца".encode("cp1251") in kept
    # but the number stands nowhere: as it is, in base64, parted by commands
    for where in (kept, await wire_entries(shop.store), *(line.encode() for line in logs)):
        assert NUMBER.encode() not in hidden_in(where)


async def test_a_conflict_is_still_understood_without_its_buyer(shop: Shop) -> None:
    await shop.seed()
    shop.print(job(sale(26828), 26828))
    shop.print(job(sale(99900), 99900))
    await shop.take_all()

    (item,) = shop.store.quarantined()
    raw = shop.store.quarantined_raw(item.id) or b""
    (receipt,) = decode(raw, OPTIONS).receipts
    assert receipt.fiscal
    assert (receipt.total_minor, receipt.fiscal.buyer_kind, receipt.problems) == (99900, "10", ())


async def test_captures_keep_no_buyer(shop: Shop) -> None:
    shop.print(job(sale(26828), 26828))
    lines: list[bytes] = []
    await SpoolRecording(shop.spool, lines.append, own=lambda _: False).run(0)
    masker = ByteMasker(suffix=b"\r")
    scanned = [*masker.heard(BytesRead(ms=0, data=code(26828).encode() + b"\r")), *masker.end()]

    captured = decode_capture(b"".join(lines)).data
    assert "HLEB (Е)".encode("cp1251") in captured
    assert NUMBER.encode() not in hidden_in(captured)
    assert NUMBER.encode() not in hidden_in(b"".join(read.data for read in scanned if isinstance(read, BytesRead)))
