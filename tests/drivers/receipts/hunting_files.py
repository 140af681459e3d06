"""Mutated files of records for their readers to be hunted with; a module of its own, so that other processes load it.

Most are a small whole file with some bytes changed, as damage is found in what is nearly right.
"""

from __future__ import annotations

import random
import time

from drivers.receipts.decode import decode
from drivers.receipts.port import DecodeOptions
from drivers.receipts.row_mapping import RowMapping, mapping_from
from tests.drivers.receipts.hunting import LOOK_EVERY, Found, check, resident_bytes

MAPPING: RowMapping = mapping_from(
    b"""
    header = false
    group = ["1"]
    [receipt]
    number = "1"
    issued_at = ["2"]
    kind = "3"
    [line]
    amount = "4"
    """,
    "hunting",
)
SALE = (
    b"<Transaction><SequenceNumber>1</SequenceNumber><RetailTransaction><LineItem><Sale><Description>x</Description>"
    b"<ExtendedAmount>2</ExtendedAmount><Quantity>1</Quantity></Sale></LineItem></RetailTransaction></Transaction>"
)
BACK = (
    b"<a:Transaction CancelFlag='true'><a:RetailTransaction><a:LineItem><a:Tender TypeCode='Refund'><a:Amount>-1"
    b"</a:Amount></a:Tender></a:LineItem><Total TotalType='TransactionGrandAmount'>1</Total></a:RetailTransaction>"
    b"</a:Transaction>"
)
RECEIPT = b'{"kind":"sale","currency":"EUR","total_minor":1,"lines":[{"position":1,"amount_minor":1}]}'
EMPTY = b"<POSLog><Transaction><ControlTransaction><NoSale/></ControlTransaction></Transaction></POSLog>"
FILES: dict[str, tuple[bytes, ...]] = {
    "poslog": (SALE, BACK, EMPTY),
    "csv": (b"1,2026-11-22 09:07,sale,1.50\n", b'1,,,"-3"\n1,,return,1\n'),
    "json": (RECEIPT, b'{"receipts":[' + RECEIPT + b"]}", b"[" + RECEIPT + b"," + RECEIPT + b"]"),
}
ODD: dict[str, tuple[bytes, ...]] = {
    "poslog": (
        b"<", b">", b"&amp;", b"&x;", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<!DOCTYPE a>", b"<?xml version='1.0'?>",
        b"<Transaction>", b"</Transaction>", b"<Tax><Amount>1</Amount></Tax>",
        b"<Discount><Amount>1</Amount></Discount>", b"<Rounding>0.01</Rounding>", b"<CustomerID>1</CustomerID>",
        b"9" * 20, b"-", b"\x00", b"\xff", b"NaN", b"'",
    ),
    "csv": (b'"', b",", b"\n", b"\r\n", b";", b"9" * 20, b"NaN", b"-", b"\x00", b"\xff", b"return", b"2026-02-30"),
    "json": (
        b"{", b"}", b"[", b"]", b'"', b"\\", b"NaN", b"1e999", b"9" * 30, b'"total_minor":2,', b"\\ud800", b"\xff",
        b"null", b"-", b",",
    ),
}  # fmt: skip


def hunt_files(name: str, seed: str, jobs: int) -> Found:
    """Hands `jobs` mutated files to the reader `name`; the same `seed` makes the same ones."""
    chance, found = random.Random(f"{name}-{seed}"), Found()
    options = DecodeOptions(
        format=name, mapping=MAPPING if name == "csv" else None, currency="EUR", time_zone="Europe/Belgrade"
    )
    for document in FILES[name]:
        decode(document, options)
    before = resident_bytes()
    for number in range(jobs):
        job = _mutated(chance, FILES[name], ODD[name])
        started = time.process_time()
        try:
            decoded = decode(job, options)
            found.receipts += len(decoded.receipts)
            check(decoded, job)
        except Exception as error:  # noqa: BLE001 - any error is what is hunted
            found.failures.append((f"{type(error).__name__}: {error}", job))
        found.slowest_ms = max(found.slowest_ms, (time.process_time() - started) * 1000)
        if number % LOOK_EVERY == 0:
            found.grown_bytes = max(found.grown_bytes, resident_bytes() - before)
    return found


def _mutated(chance: random.Random, documents: tuple[bytes, ...], odd: tuple[bytes, ...]) -> bytes:
    job = bytearray(chance.choice(documents))
    for _ in range(chance.randrange(1, 4)):
        at, size = chance.randrange(len(job) + 1), chance.randrange(1, 8)
        match chance.randrange(4):
            case 0:
                job[at : at + size] = b""
            case 1:
                job[at:at] = job[max(0, at - size) : at]
            case 2:
                job[at : at + 1] = chance.randbytes(1)
            case _:
                job[at:at] = chance.choice(odd)
    return bytes(job)
