"""What must hold for any roll of paper: reading it whole, cut by cut, or from its own text is the same."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from drivers.escpos.framing import EscposFramer
from drivers.receipts.decode import Decoded, decode, paper_text
from drivers.receipts.joining import JobJoiner
from drivers.receipts.pieces import DecodeProblem, Ignored
from drivers.receipts.port import DecodeOptions
from drivers.receipts.spool_source import SpooledJob, SpoolPosition
from loyalty.receipt import Receipt
from tests.drivers.receipts.hunting import captures
from tests.drivers.receipts.journals import Item, Journal, printed
from tests.drivers.receipts.test_joining import at

OPTIONS = DecodeOptions(currency="EUR", time_zone="Europe/Belgrade")
ROLLS = 150
SET_UP = b"\x1b@\x1bt\x2e"
CUTS = (b"\x1dV\x00", b"\x1dVA\x00", b"\x1dVB\x03", b"\x1bi", b"\x1bm")
NAMES = ("Хлеб бели", "Mleko 1 l", "Kafa mlevena 200 g", "Сир (100 г)", "Tea")


def _text_receipt(chance: random.Random) -> str:
    amounts = [chance.randrange(1, 99_999) for _ in range(chance.randrange(1, 9))]
    lines = [f"{chance.choice(NAMES)}  {minor // 100}.{minor % 100:02}" for minor in amounts]
    total = f"{sum(amounts) // 100}.{sum(amounts) % 100:02}"
    number = f"Receipt {chance.randrange(1, 9999)}\n" if chance.random() < 0.8 else ""
    head = f"EXAMPLE SHOP\nStore 12 Register 3\n{number}22.11.2026 09:{chance.randrange(60):02}\n"
    return "".join((head, "\n".join(lines), f"\nTOTAL EUR  {total}\nCASH  {total}\n"))


def _journal(chance: random.Random) -> str:
    items = tuple(
        Item(text=f"{chance.choice(NAMES)}/KOM (Ђ)", price_minor=minor, quantity="1", amount_minor=minor)
        for minor in (chance.randrange(1, 99_999) for _ in range(chance.randrange(1, 6)))
    )
    number = f"746DUV64-746DUV64-{chance.randrange(1, 99_999)}"
    return printed(Journal(items=items, number=number, refund=chance.random() < 0.2, tail=""))


def _sheet(chance: random.Random) -> bytes:
    """Paper between two cuts, which needs nothing of the one before."""
    match chance.randrange(7):
        case 0 | 1:
            body = _text_receipt(chance).encode("cp1251")
        case 2 | 3:
            body = _journal(chance).encode("cp1251")
        case 4:
            body = f"CUSTOMER COPY\nTID 12345678\nAPPROVED\nAMOUNT EUR {chance.randrange(1, 99)}.00\n".encode()
        case 5:
            body = b"Z REPORT 117\nTOTAL EUR 1,234.00\n" if chance.random() < 0.5 else b"whatever this is\n"
        case _:
            body = _text_receipt(chance).encode("cp1251")[: chance.randrange(40, 90)] + b"\n"
    return SET_UP + body + chance.choice(CUTS)


def _shifted(decoded: Decoded, by: int) -> tuple[tuple[Ignored, ...], tuple[DecodeProblem, ...]]:
    return (
        tuple(replace(each, start=each.start + by, end=each.end + by) for each in decoded.ignored),
        tuple(replace(each, start=each.start + by, end=each.end + by) for each in decoded.problems),
    )


def _cut(document: bytes) -> Iterator[tuple[int, bytes]]:
    """Jobs as the relay cuts them, with their place."""
    framer, start = EscposFramer(), 0
    for frame in framer.feed(document):
        if frame.is_cut:
            yield start, document[start : frame.end]
            start = frame.end
    if start < len(document):
        yield start, document[start:]


def test_a_roll_says_what_its_jobs_say() -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(ROLLS):
        # given a roll of receipts, slips, reports and broken things
        roll = b"".join(_sheet(chance) for _ in range(chance.randrange(1, 8)))
        # when it is read whole, and cut by cut as the relay hands it on
        whole = decode(roll, OPTIONS)
        jobs = [(start, decode(job, OPTIONS)) for start, job in _cut(roll)]
        # then it is the same, to the byte range
        assert whole.receipts == tuple(receipt for _, job in jobs for receipt in job.receipts)
        assert whole.ignored == tuple(each for start, job in jobs for each in _shifted(job, start)[0])
        assert whole.problems == tuple(each for start, job in jobs for each in _shifted(job, start)[1])


def test_receipts_that_share_a_paper_are_those_that_are_cut_apart() -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(ROLLS):
        # given receipts of the one kind or the other, with nothing between but a blank line
        compose = chance.choice((_text_receipt, _journal))
        texts = [compose(chance) for _ in range(chance.randrange(1, 6))]
        together = decode("\n".join(texts).encode(), OPTIONS)
        # then they are those that come one by one, but for identities made of the bytes
        assert together.problems == ()
        assert [_facts(receipt) for receipt in together.receipts] == [
            _facts(receipt) for text in texts for receipt in decode(text.encode(), OPTIONS).receipts
        ]


def test_jobs_that_pause_anywhere_give_the_receipts_of_the_roll() -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    joined = 0
    for _ in range(ROLLS):
        # given a printed receipt, and a pause above its total
        compose, mark = chance.choice(((_text_receipt, b"TOTAL"), (_journal, "ПФР време".encode("cp1251"))))
        body = compose(chance).encode("cp1251")
        lines = body[: body.index(mark)].splitlines(keepends=True)
        head = 4 + (compose is _journal or b"Receipt" in body)
        at_line = chance.randrange(head, len(lines) + 1)
        job = SET_UP + body + b"\x1dV\x00"
        pause = len(SET_UP) + sum(map(len, lines[:at_line]))
        # when both parts come to the joiner
        joiner = JobJoiner()
        receipts: list[Receipt] = []
        for offset, part, ended_by in ((1, job[:pause], "idle"), (2, job[pause:], "cut")):
            spooled = SpooledJob(
                position=SpoolPosition(offset=offset),
                payload=part,
                captured=at(offset),
                register="3",
                ended_by=ended_by,
            )
            taken = joiner.take(spooled, SpoolPosition(offset=offset - 1), lambda payload: decode(payload, OPTIONS))
            assert taken.torn == ()
            receipts += taken.whole.decoded.receipts if taken.whole is not None else ()
            joined += taken.whole is None
        # then it is the receipt of the whole job
        assert tuple(receipts) == decode(job, OPTIONS).receipts, job
    assert joined == ROLLS


@pytest.mark.parametrize("document", [each for each in captures() if b"\x1b" in each])
def test_what_the_paper_shows_reads_as_the_stream_it_came_from(document: bytes) -> None:
    stream = decode(document, OPTIONS)
    text = decode("".join(paper_text(document, OPTIONS)).encode(), OPTIONS)
    # but for receipts that were drawn, of which their code alone is read
    assert [_facts(receipt) for receipt in text.receipts] == [
        _facts(receipt) for receipt in stream.receipts if receipt.lines
    ]


def _facts(receipt: Receipt) -> tuple[object, ...]:
    return (
        receipt.kind,
        receipt.status,
        receipt.number or "",
        receipt.issued_at or None,
        receipt.total_minor,
        tuple((line.description or "", line.amount_minor) for line in receipt.lines),
        tuple((tender.kind, tender.amount_minor) for tender in receipt.tenders),
    )
