"""The journal that is read in one go: what the quick way takes, it reads as the reader of lines does."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence

from drivers.receipts import journal
from drivers.receipts.decode import decode
from drivers.receipts.journal import PursJournalReader
from drivers.receipts.port import DecodeOptions, Found, Lines, MalformedReceiptError, PrintedJob
from loyalty.receipt import Receipt
from tests.bench.shop import Shop
from tests.drivers.receipts.journals import LATIN
from tests.drivers.receipts.serbian_paper import drawn

READER = PursJournalReader()
OPTIONS = DecodeOptions(time_zone="Europe/Belgrade")
PAGES = 1_500
PICTURE = "<img src=data:image/gif;base64,R0lGODlhhAGEAfcAAAAAAA width='250' height='250'/>"
ODD = (
    " ", "  ", "\t", "-", "=", "%", ":", ",", ".", "0", "1", "٢", "(Ђ)", "\u00a0", "\u200b", "&amp;", "<b>", "0,00",
    "\n", "\n\n", "\n" + "=" * 40 + "\n",
    "\n" + "-" * 40 + "\n", "\n" + "=" * 38 + "\n", "\nУкупан износ: 1,00\n", "\nПовраћај: 5,00\n",
    "\nИД купца: 10:123456789\n", "\nРеф. број: 746DUV64-746DUV64-1\n", "\nБројач рачуна: 1/2ПП\n", "\nОзнака Име\n",
    "\nПФР време: 1.1.2026. 9:00:00\n", "\n======== КРАЈ ФИСКАЛНОГ РАЧУНА =========\n", "\nФИСКАЛНИ РАЧУН\n",
    "\n============ ФИСКАЛНИ РАЧУН ============\n", "\n-----ПРОМЕТ РЕФУНДАЦИЈА-----\n", "\n    1,00    2    2,00\n",
    "\n<img src=data:image/gif;base64,R0lGODlh width='250'>\n", "\n<img src=a>Kusur: 1,00\n", "\n12 1,00 2 2,00\n",
    "\nNepoznato 12,00\n", "\nУкупно за уплату: 3,00\n", "\n1.234,5678  1  1.234,56\n", "\n101670560\n",
)  # fmt: skip


def test_what_is_read_in_one_go_is_what_the_reader_of_lines_reads() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance, taken = random.Random(seed), 0
    documents = [*_shops(seed), *(drawn(f"{seed}-{number}").text for number in range(40))]
    for number in range(PAGES):
        # given a page of journals, most of them damaged a little
        page = _damaged("\n".join(chance.choices(documents, k=2)), chance)
        texts = page.split("\n")
        job = PrintedJob(lines=_lines(texts))
        # when journals are looked for in both ways, then both find the same
        found = READER.find(job)
        assert _places(found) == _places(journal._found(texts, 0, len(texts))), f"page {number} of {seed}"
        # and what was read while it was looked for is what is read from its lines
        for each in found:
            if each.known is not None:
                taken += 1
                assert _read(job, each) == _read(job, Found(first=each.first, last=each.last, certainty=100)), number
    assert taken > PAGES // 10


def test_a_tax_rate_in_other_digits_stops_no_other_journal() -> None:
    document = Shop(1).journals(2).decode()
    rate = re.search(r"\d\d,00%", document)
    assert rate is not None
    decoded = decode(document.replace(rate.group(), "٢٠,٠٠%", 1).encode())
    assert [problem.code for problem in decoded.problems] == ["bad_amount"]
    assert len(decoded.receipts) == 1


def test_a_shops_sales_are_read_in_one_go() -> None:
    # given a day of sales, in either alphabet, on paper or in a file with CR LF
    for text in _shops(1):
        # when its journals are looked for, then no line has to be read by itself
        found = READER.find(PrintedJob(lines=_lines(text.rstrip("\n").split("\n"))))
        assert [each.known is not None for each in found] == [True] * len(found), text
        assert found


def test_a_download_with_the_picture_of_its_code_is_read_in_one_go() -> None:
    # given journals as the tax authority's page shows them: the picture stands before the end line
    end = "\n======== КРАЈ"
    text = Shop(1).journals(3).decode()
    for picture, taken in ((PICTURE, True), (f"{PICTURE} Kusur", False), (f"{PICTURE}\n{PICTURE}", False)):
        # when they are looked for
        texts = text.replace(end, f"\n{picture}{end}").split("\n")
        found = READER.find(PrintedJob(lines=_lines(texts)))
        # then a picture alone is no reason to read line by line
        assert [each.known is not None for each in found] == [taken] * 3, picture


def test_what_says_more_than_usual_is_left_to_the_reader_of_lines() -> None:
    journal_text = Shop(1).journals(1).decode()
    for old, new in (
        ("Касир:", "ИД купца: 10:123456789\nКасир:"),
        ("ПРОМЕТ ПРОДАЈА", "ПРОМЕТ РЕФУНДАЦИЈА"),
        ("ЕСИР број:", "Реф. број: 746DUV64-746DUV64-1\nЕСИР број:"),
        ("ПФР време:          22.11", "ПФР време:          32.11"),
        ("/KOM", "/KOM&nbsp;"),
    ):
        assert old in journal_text
        texts = journal_text.replace(old, new).split("\n")
        job = PrintedJob(lines=_lines(texts))
        usual = [found for found in READER.find(job) if found.known is not None]
        # A name is read by the reader's own functions, entities and all.
        assert bool(usual) == (old == "/KOM"), new


def _shops(seed: int) -> list[str]:
    days = [Shop(seed + number).journals(3 + number).decode() for number in range(4)]
    return [*days, days[0].translate(LATIN)]


def _damaged(page: str, chance: random.Random) -> str:
    for _ in range(chance.randrange(3)):
        at, end = sorted(chance.randrange(len(page) + 1) for _ in range(2))
        match chance.randrange(5):
            case 0:
                page = page[:at] + page[min(end, at + 12) :]
            case 1:
                page = page[:at] + chance.choice(ODD) + page[at:]
            case 2:
                lines = page.split("\n")
                del lines[chance.randrange(len(lines))]
                page = "\n".join(lines)
            case 3:
                lines = page.split("\n")
                lines.insert(chance.randrange(len(lines)), chance.choice(lines))
                page = "\n".join(lines)
            case _:
                lines = page.split("\n")
                first, second = chance.randrange(len(lines)), chance.randrange(len(lines))
                lines[first], lines[second] = lines[second], lines[first]
                page = "\n".join(lines)
    return page


def _lines(texts: Sequence[str]) -> Lines:
    return Lines(list(texts), list(range(len(texts))), list(range(1, len(texts) + 1)))


def _places(found: Sequence[Found] | Iterator[Found]) -> list[tuple[int, int]]:
    return [(each.first, each.last) for each in found]


def _read(job: PrintedJob, found: Found) -> Receipt | str:
    try:
        return READER.read(PrintedJob(lines=job.lines[found.first : found.last], known=found.known), OPTIONS)
    except MalformedReceiptError as error:
        return error.code
