"""Pages of a text: what is parted and decoded many lines at once is what comes of one line after the other."""

from __future__ import annotations

import random
from collections.abc import Iterable

from drivers.escpos.codepages import code_page
from drivers.receipts import documents
from drivers.receipts.port import Lines, TextLine

DOCUMENTS = 2_000
PARTS = (
    b"Hleb", "Млеко".encode(), b"\n", b"\n", b"\r\n", b"\r", b"\x0c", b"<br/>", b"< 3", b" ", b"\t", b"\n\n\n\n\n",
    b"\n \n\t\n \n\n", b"[cut]\n", b" [cut] \n", b"=== A ===\n", b"x" * 450, b"\xd0", b"\xff", b"\xc2\x85", b"\xa0",
)  # fmt: skip


def test_lines_at_once_are_lines_one_by_one() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance, plain = random.Random(seed), 0
    for number in range(DOCUMENTS):
        parts = chance.choices(PARTS, k=chance.randrange(2, 8))
        document = b"".join(chance.choices(parts, k=chance.randrange(1, 40)))
        page = code_page(chance.choice(("UTF-8", "CP1251", "CP932")))
        at_once = list(documents._narrow_runs(document, page))
        plain += sum(run.is_plain for run in at_once)
        lines = document.split(b"\n")
        whole = [line + b"\n" for line in lines[:-1]] + [lines[-1]] * bool(lines[-1])
        one_by_one = documents._runs_one_by_one(whole, 0, page)
        assert _columns(at_once) == _columns(one_by_one), f"document {number} of {seed}"
    assert plain > DOCUMENTS // 100


def test_lines_are_a_sequence_of_lines() -> None:
    made = [TextLine(text="a", start=0, end=2), TextLine(text="b", start=2, end=4), TextLine(text="c", start=4, end=5)]
    lines = Lines.of(made)
    assert list(lines) == made
    assert (lines[-1], list(lines[1:]), len(lines)) == (made[-1], made[1:], 3)
    assert lines[1:].starts == [2, 4]


def _columns(runs: Iterable[documents._Run]) -> list[tuple[int, int, list[tuple[str, int, int]]]]:
    return [
        (page.start, page.end, [(line.text, line.start, line.end) for line in page.printed.lines])
        for page in documents._pages(iter(runs))
    ]
