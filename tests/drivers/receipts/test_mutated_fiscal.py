"""Mutated journals and codes, many for each reader: a receipt of the contract, or MalformedReceiptError.

The readers are asked themselves, with small inputs, so that so many cost seconds. The door that they stand behind has
its own hunt (`test_mutated_jobs`).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec
import pytest

from drivers.receipts.fiscal_lines import printed_numbers, written_codes
from drivers.receipts.fiscal_qr import fiscal_code, receipt_of
from drivers.receipts.journal import PursJournalReader
from drivers.receipts.port import DecodeOptions, Lines, MalformedReceiptError, PrintedJob, TextLine
from loyalty.receipt import Receipt
from tests.drivers.receipts.codes import HR_URL, JIR, SI_DIGITS, ZKI, ZOI, purs_bytes, purs_url
from tests.drivers.receipts.serbian_paper import drawn

# In the test command. `INPUTS = 200_000` is the size of a night.
INPUTS = 40_000
# Every so many receipts that come out are read back from JSON.
READ_BACK_EVERY = 20
ODD = (
    " " * 50, "-", "=" * 40, ":", ",", ".", "(", ")", "/", "%", "&", "&amp;", "<br>", "<b", "9" * 16, "0,00",
    "-1,00", "٣",
    "Укупан износ:", "ПФР време:", "ФИСКАЛНИ РАЧУН", "Артикли", "101670560", "1108934-Roda", "ZKI:", "f" * 32, "\x00",
    "\u00a0", "\ud7ff", "12/34ПП", "31.02.2022. 25:61:61", "https://suf.purs.gov.rs/v/?vl=", "(Ђ)", "KG",
)  # fmt: skip
LETTERS = "0123456789abcdefABCDEF&=%+/_-,. €٠\ud7ff\x00"
READER, OPTIONS = PursJournalReader(), DecodeOptions()
# The facts of a code and a little of what is sealed with them.
PAYLOAD = purs_bytes(buyer=b"10:114877945")[:80]


@dataclass(slots=True)
class Hunt:
    """What a hunt found: receipts, refusals, the slowest input, and what nobody expected."""

    receipts: int = 0
    refused: int = 0
    slowest_ms: float = 0.0
    failures: list[tuple[str, object]] = field(default_factory=list)

    def take(self, given: object, read: Callable[[], Receipt | None]) -> None:
        started = time.process_time()
        try:
            receipt = read()
            if receipt is not None:
                self.receipts += 1
                if self.receipts % READ_BACK_EVERY == 0:
                    msgspec.json.decode(msgspec.json.encode(receipt), type=Receipt)
        except MalformedReceiptError:
            self.refused += 1
        except Exception as error:  # noqa: BLE001 - any error is what is hunted
            self.failures.append((f"{type(error).__name__}: {error}", given))
        self.slowest_ms = max(self.slowest_ms, (time.process_time() - started) * 1000)


def test_mutated_journals_are_receipts_or_are_refused() -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    # given small journals of every kind, each mutated again from the start after some steps
    texts = [drawn(f"{seed}-{number}").text.splitlines() for number in range(80)]
    small = [_lines(text) for text in sorted(texts, key=len)[:30]]
    hunt, journal = Hunt(), small[0]
    for number in range(INPUTS):
        if number % 5 == 0:
            journal = list(chance.choice(small))
        _damage(journal, chance.choice(small), chance)
        job = PrintedJob(lines=Lines.of(journal))
        # when they are read whole, as what damage left of them may begin anywhere
        hunt.take(job, partial(READER.read, job, OPTIONS))
        if number % 20 == 0:
            hunt.take(job, partial(_found, job))
    print(f"seed {seed}, {hunt.receipts} receipts, {hunt.refused} refused, slowest {hunt.slowest_ms:.1f} ms")
    assert hunt.failures == []
    assert hunt.receipts > INPUTS // 10
    assert hunt.refused > INPUTS // 10


def test_mutated_serbian_codes_are_receipts_or_are_refused() -> None:
    # given payloads that are wrong within, and sealed anew, or wrong outside
    _hunt_codes(lambda chance: purs_url(_bytes_altered(PAYLOAD, chance), seal=chance.random() < 0.9))


@pytest.mark.parametrize("code", [f"{HR_URL}&zki={ZKI}", SI_DIGITS], ids=["Croatia", "Slovenia"])
def test_mutated_codes_are_receipts_or_are_refused(code: str) -> None:
    _hunt_codes(lambda chance: _altered(code, chance))


def _hunt_codes(mutated: Callable[[random.Random], str]) -> None:
    seed = random.randrange(2**32)
    chance, hunt = random.Random(seed), Hunt()
    for _ in range(INPUTS):
        text = mutated(chance)
        hunt.take(text, partial(_coded, text))
    print(f"seed {seed}, {hunt.receipts} receipts, {hunt.refused} refused, slowest {hunt.slowest_ms:.1f} ms")
    assert hunt.failures == []
    assert hunt.refused


def test_mutated_numbers_are_numbers_or_none() -> None:
    seed = random.randrange(2**32)
    chance, hunt = random.Random(seed), Hunt()
    texts = (f"ZKI: {ZKI}\nJIR: {JIR}", f"ZOI:\n{ZOI[:20]}\n{ZOI[20:]}", f"{HR_URL[:50]}\n{HR_URL[50:]}", SI_DIGITS)
    for _ in range(INPUTS // 5):
        text = _altered(chance.choice(texts), chance)
        hunt.take(text, partial(_numbered, text))
    print(f"seed {seed}, slowest {hunt.slowest_ms:.1f} ms")
    assert hunt.failures == []


@pytest.mark.parametrize(
    "filling", [" ", "A", "9", "1 ", "a:", "(", "/ ", "9,99 ", "&amp;", "<b>", "0 % ", "-", "ZKI f "]
)
def test_long_lines_cost_no_more_than_their_length(filling: str) -> None:
    # given a journal in which each line in turn is followed by as much as a line may hold, and by many such lines
    hunt, journal = Hunt(), drawn("long lines").text.splitlines()
    for at in range(len(journal)):
        long = [*journal[:at], journal[at] + filling * 4_000, *[filling * 390] * 100, *journal[at + 1 :]]
        job = PrintedJob(lines=Lines.of(_lines(long)))
        hunt.take(filling, partial(READER.read, job, OPTIONS))
    print(f"slowest {hunt.slowest_ms:.1f} ms")
    assert hunt.failures == []


def test_a_bug_that_is_planted_is_found() -> None:
    hunt = Hunt()
    hunt.take("given", lambda: receipt_of("no code"))  # type: ignore[arg-type]
    assert len(hunt.failures) == 1


def _found(job: PrintedJob) -> None:
    last = 0
    for found in READER.find(job):
        if not last <= found.first < found.last <= len(job.lines):
            raise AssertionError(found)
        last = found.last


def _coded(text: str) -> Receipt | None:
    code = fiscal_code(text)
    return receipt_of(code) if code is not None else None


def _numbered(text: str) -> Receipt | None:
    lines = Lines.of(_lines(text.split("\n")))
    fiscal = printed_numbers(lines).fiscal
    list(written_codes(lines))
    return Receipt(key="", kind="sale", currency="EUR", total_minor=0, fiscal=fiscal) if fiscal is not None else None


def _lines(texts: Sequence[str]) -> list[TextLine]:
    return [TextLine(text=text, start=at, end=at + 1) for at, text in enumerate(texts)]


def _damage(journal: list[TextLine], other: list[TextLine], chance: random.Random) -> None:
    at = chance.randrange(len(journal) + 1)
    match chance.randrange(5):
        case 0:
            del journal[at : at + chance.randrange(1, 3)]
        case 1:
            journal.insert(at, chance.choice(other))
        case 2 if at < len(journal):
            journal[at] = chance.choice(other)
        case _ if at < len(journal):
            line = journal[at].text
            cut = chance.randrange(len(line) + 1)
            text = line[:cut] + chance.choice(("", *ODD)) + line[cut + chance.randrange(4) :]
            journal[at] = TextLine(text=text, start=at, end=at + 1)


def _altered(code: str, chance: random.Random) -> str:
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(code) or 1)
        code = code[:at] + chance.choice(LETTERS) * chance.randint(0, 2) + code[at + chance.randint(0, 2) :]
    return code


def _bytes_altered(payload: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(payload) + 1)
        payload = payload[:at] + chance.randbytes(chance.randint(0, 2)) + payload[at + chance.randint(0, 2) :]
    return payload
