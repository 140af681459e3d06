"""How fast paper becomes receipts, on one core: processor time, so that a busy machine tells the same.

`escpos_mb_s` is a shift of a till that prints its logo as a picture and a QR code under every receipt, through the
whole door; `escpos_text_mb_s` the same without logo and code, where every byte is a letter. Of the latter
`framing_mb_s` is the framing alone, `paper_mb_s` framing and paper, and `paper_receipts_per_s` how many receipts a
second the rest of the way reads: guess of the code page, layout, amounts, identity.

`journal_receipts_per_s` is a file of fiscal journals as they are downloaded, `receipt_p99_ms` one printed
receipt at a time, as the agent gets them: with its garbage frozen at start, as the agent's is.

`poslog_mb_s` is a day's POSLog 6.0 of small and large sales, half of whose lines have discounts and taxes.

Readers remember what repeats. So journals and POSLogs are of a made-up shop (`tests.bench.shop`), no two receipts are
the same, and each round reads another shop's file: nothing but labels can be known from the round before.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

from agent.demo.pos import Article, Item, ReceiptSpec, compose_fiscal_receipt
from drivers.escpos.framing import EscposFramer
from drivers.escpos.printer import printed as paper_of
from drivers.receipts.decode import decode
from drivers.receipts.port import DecodeOptions
from tests.bench.machine import disk_folder, measured
from tests.bench.relay import SHOP
from tests.bench.report import Report, rounded
from tests.bench.shop import Shop

RECEIPTS = 400
JOURNALS = 1_500
TRANSACTIONS = 600
SINGLE_RECEIPTS = 2_000
SINGLE_ROUNDS = 5
ROUNDS = 3
SEED = 20261122
OPTIONS = DecodeOptions(time_zone="Europe/Belgrade")
# A logo of 384 by 120 dots, as small printers print it; its bytes are those of commands, and none of them.
LOGO = b"\x1dv0\x00\x30\x00\x78\x00" + bytes(range(240)) * 24
TILL_ITEMS = (2, 5, 9, 14)
NAMES = ("Hleb beli", "Mleko 2,8% mm", "Kafa mlevena 200 g", "Voda negazirana", "Jabuke crvene", "Deterdžent 3 kg")


def run() -> Report:
    with_pictures = b"".join(_job(number, with_pictures=True) for number in range(RECEIPTS))
    text_only = b"".join(_job(number, with_pictures=False) for number in range(RECEIPTS))
    shops = [Shop(SEED + number) for number in range(ROUNDS)]
    poslogs = [shop.poslog(TRANSACTIONS) for shop in shops]
    journals = [shop.journals(JOURNALS) for shop in shops]
    text_s, paper_s = _best_s(lambda: _all_read(text_only, RECEIPTS)), _best_s(lambda: paper_of(text_only))
    figures: dict[str, int | float | str] = {
        "escpos_mb_s": rounded(len(with_pictures) / 1e6 / _best_s(lambda: _all_read(with_pictures, RECEIPTS))),
        "escpos_text_mb_s": rounded(len(text_only) / 1e6 / text_s),
        "framing_mb_s": rounded(len(text_only) / 1e6 / _best_s(lambda: EscposFramer(styled_text=True).feed(text_only))),
        "paper_mb_s": rounded(len(text_only) / 1e6 / paper_s),
        "paper_receipts_per_s": rounded(RECEIPTS / max(text_s - paper_s, 1e-9)),
        "journal_receipts_per_s": rounded(
            max(JOURNALS / _took_s(partial(_all_read, each, JOURNALS)) for each in journals)
        ),
        "poslog_mb_s": rounded(
            max(len(each) / 1e6 / _took_s(partial(_all_read, each, TRANSACTIONS)) for each in poslogs)
        ),
        "receipt_p99_ms": rounded(_single_p99_ms()),
    }
    with disk_folder() as folder:
        return Report(
            name="decode",
            figures=figures,
            machine=measured(folder),
        )


def _all_read(document: bytes, expected: int) -> None:
    decoded = decode(document, OPTIONS)
    if len(decoded.receipts) != expected or decoded.problems:
        raise AssertionError(f"{len(decoded.receipts)} of {expected} receipts, {len(decoded.problems)} problems")


def _best_s(work: Callable[[], object]) -> float:
    """Processor seconds of the best of some rounds."""
    return min(_took_s(work) for _ in range(ROUNDS))


def _took_s(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _single_p99_ms() -> float:
    """Of the quietest of some rounds, as the other figures are: a neighbour slows processor time, too."""
    jobs = [_job(number, with_pictures=True) for number in range(SINGLE_RECEIPTS * SINGLE_ROUNDS)]
    gc.collect()
    gc.freeze()
    try:
        return min(_p99_ms(jobs[start::SINGLE_ROUNDS]) for start in range(SINGLE_ROUNDS))
    finally:
        gc.unfreeze()


def _p99_ms(jobs: Sequence[bytes]) -> float:
    took = []
    for job in jobs:
        started = time.process_time()
        _all_read(job, 1)
        took.append((time.process_time() - started) * 1000)
    return sorted(took)[int(0.99 * (len(took) - 1))]


def _job(number: int, *, with_pictures: bool) -> bytes:
    items = tuple(
        Item(article=Article(name=f"{NAMES[line % len(NAMES)]} {number % 97}", price_minor=9_999 + 100 * line))
        for line in range(TILL_ITEMS[number % len(TILL_ITEMS)])
    )
    at = datetime(2026, 11, 22, 9, 0, tzinfo=ZoneInfo("Europe/Belgrade"))
    spec = ReceiptSpec(number=number + 1, number_of_kind=number + 1, items=items, issued_at=at, cashier="Savka")
    job = compose_fiscal_receipt(spec, SHOP)
    return job.replace(b"\x1b@", b"\x1b@" + LOGO, 1) if with_pictures else _without_codes(job)


def _without_codes(job: bytes) -> bytes:
    """The job without its QR code, which the printer stores and draws with GS ( k."""
    head, _, rest = job.partition(b"\x1d(k")
    return head + rest[rest.rindex(b"\x1d(k") + 8 :] if rest else job
