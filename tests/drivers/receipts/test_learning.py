"""Templates learned from a few receipts of tills that nobody has seen, and what they read of the tills' next ones."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from drivers.receipts.layout import TemplateReader
from drivers.receipts.learning import Learned, learn
from drivers.receipts.port import DecodeOptions
from drivers.receipts.template import TemplateError, template_from, template_problems
from drivers.receipts.template_writing import template_text
from drivers.receipts.trial import is_other, papers_of, tried, try_capture
from loyalty.receipt import Line, Receipt
from tests.drivers.receipts.layout_prints import FIRST, ITEMS, UNLABELLED, tax_none
from tests.drivers.receipts.layout_words import FOREIGN, KNOWN, PEOPLE
from tests.drivers.receipts.layouts import Item, Sale, Till

TILLS = 16
LEARNED_FROM = 6
READ = 6
# Of all facts of the receipts that were not learned from. Of each till at least, so that none is simply not read.
SHARE = Decimal("0.9")

Fact = tuple[str, bool]


def facts_of(till: Till, sale: Sale, receipt: Receipt | None) -> Iterator[Fact]:
    """Every fact of a receipt, and whether it was read right; of one that was not read every fact is wrong."""
    sign = -1 if sale.returned else 1
    read = receipt or Receipt(key="", kind="exchange", currency="XXX", total_minor=-(10**12), change_minor=-1)
    at = read.issued_at.replace(tzinfo=None, second=0) if read.issued_at else None
    yield "number", read.number == sale.number
    yield "time", at == sale.at
    yield "kind", read.kind == ("return" if sale.returned else "sale")
    yield "status", receipt is not None and read.status == ("copy" if sale.copied else "final")
    yield "total", read.total_minor == sign * sale.total
    if till.names_store:
        yield "store", read.store == till.store
    yield "register", read.register == till.register
    if till.names_operator:
        yield "operator", read.operator == sale.operator
    yield "change", read.change_minor == sign * sale.change
    yield "rounding", receipt is not None and read.rounding_minor == sign * sale.rounding
    yield "discount", receipt is not None and sum(each.amount_minor for each in read.discounts) == sign * sale.discount
    yield "lines", len(read.lines) == len(sale.items)
    for number, item in enumerate(sale.items):
        line = read.lines[number] if number < len(read.lines) else Line(position=0, amount_minor=-(10**12))
        yield from _facts_of_item(till, item, line, sign)
    for number, (kind, amount) in enumerate(sale.tenders):
        tender = read.tenders[number] if number < len(read.tenders) else None
        yield "payment", tender is not None and tender.amount_minor == sign * amount
        yield "kind of payment", tender is not None and tender.kind == kind
    taxes = [] if till.tax_form is tax_none else till.taxes(sale)
    for number, (_, rate, _, amount) in enumerate(taxes):
        tax = read.taxes[number] if number < len(read.taxes) else None
        yield "tax", tax is not None and tax.amount_minor == sign * amount
        yield "rate", tax is not None and bool(tax.rate) and Decimal(tax.rate or 0) == rate


def _facts_of_item(till: Till, item: Item, line: Line, sign: int) -> Iterator[Fact]:
    name = line.description or ""
    yield "name", bool(name) and item.name.startswith(name) and len(name) >= min(len(item.name), 5)
    yield "amount", line.amount_minor == sign * (item.amount - item.discount)
    yield "voided", line.voided == item.voided and line.position > 0
    yield "discount of a line", line.discount_minor == sign * item.discount and line.position > 0
    prints_all = till.has_quantity and (item.milli != 1000 or "many" not in till.item.__name__)
    if prints_all:
        yield "quantity", bool(line.quantity) and abs(Decimal(line.quantity or 0)) * 1000 == item.milli
        yield "unit price", bool(line.unit_price) and Decimal(line.unit_price or 0) * 100 == item.price
    if item.label and till.item not in UNLABELLED:
        yield "label", line.tax_labels == (item.label,)


def test_facts_of_tills_that_were_not_seen() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    right: Counter[str] = Counter()
    every: Counter[str] = Counter()
    of_tills = []
    for number in range(TILLS):
        # given a few receipts of a till
        till = Till(f"{seed}-{number}")
        options = DecodeOptions(time_zone="Europe/Belgrade", currency=till.currency)
        papers = [till.paper(till.sale()) for _ in range(LEARNED_FROM)]
        learned = learn(papers, options=options)
        # when its next ones are read with what was learned, as a file says it
        template = template_from(template_text(learned.template).encode(), "learned.toml")
        assert template == learned.template
        reader, own = TemplateReader(template), Counter[bool]()
        for _ in range(READ):
            sale = till.sale()
            for fact, is_right in facts_of(till, sale, tried(till.paper(sale), reader, options).receipt):
                every[fact] += 1
                right[fact] += is_right
                own[is_right] += 1
        of_tills.append(Decimal(own[True]) / own.total())
    # then nine in ten facts are right
    share = Decimal(right.total()) / every.total()
    print(f"{share:.4f} of {every.total()} facts; tills with less than nine in ten: {sum(x < SHARE for x in of_tills)}")
    print({fact: f"{right[fact] / every[fact]:.3f}" for fact in every})
    assert share >= SHARE
    assert sum(each >= SHARE for each in of_tills) >= SHARE * TILLS


def test_the_measure_can_fail() -> None:
    # given a template of another till
    ours, other = Till("1"), Till("2")
    options = DecodeOptions(time_zone="Europe/Belgrade", currency=ours.currency)
    learned = learn([other.paper(other.sale()) for _ in range(LEARNED_FROM)], options=options)
    sale = ours.sale()
    found = list(facts_of(ours, sale, tried(ours.paper(sale), TemplateReader(learned.template), options).receipt))
    assert sum(is_right for _, is_right in found) < len(found) / 2


@pytest.mark.parametrize("item", [*ITEMS, *FIRST], ids=lambda item: item.__name__)
def test_every_way_to_print_an_item_is_learned(item: object) -> None:
    # given a till that prints items in this way, whatever else it does
    for seed in range(10_000):
        till = Till(f"{seed}")
        if till.item is item and till.language in KNOWN:
            break
    options = DecodeOptions(time_zone="Europe/Belgrade", currency=till.currency)
    learned = learn([till.paper(till.sale()) for _ in range(LEARNED_FROM)], options=options)
    # then what it learned from adds up
    assert [each.why for each in learned.receipts if not each.holds] == []


def test_paper_that_is_no_receipt_is_set_aside() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    for number in range(3):
        # given receipts of a till, and a slip, a ticket or a report of the same printer among them
        till = Till(f"{seed}-{number}")
        papers = [till.paper(till.sale()) for _ in range(LEARNED_FROM)]
        at = till.chance.randrange(LEARNED_FROM + 1)
        papers.insert(at, till.other_paper())
        options = DecodeOptions(currency=till.currency)
        # when a template is learned from all of it
        learned = learn(papers, options=options)
        # then it is what the receipts alone teach
        alone = learn([paper for place, paper in enumerate(papers) if place != at], options=options)
        assert (learned.others, learned.template) == ((at,), alone.template)


def test_receipts_are_found_among_more_paper_of_other_kinds() -> None:
    # given what a register printed in half an hour, in words that nobody knows
    till = next(till for number in range(1000) if (till := Till(f"{number}")).language in FOREIGN)
    receipts = [till.paper(till.sale()) for _ in range(3)]
    others = [till.other_paper() for _ in range(4)]
    # when a template is learned from all of it
    learned = learn([*others, *receipts], options=DecodeOptions(currency=till.currency))
    # then the receipts are those that share a total below their goods
    assert learned.others == (0, 1, 2, 3)
    assert [each.why for each in learned.receipts if not each.holds] == []


def test_a_word_that_only_its_place_tells_is_guessed_in_a_note() -> None:
    # given receipts in words of no language, with store, register and who sold
    till = next(till for number in range(1000) if (till := Till(f"{number}")).language == "xx" and till.names_store)
    till.names_operator, till.people = True, PEOPLE
    learned = learn([till.paper(till.sale()) for _ in range(LEARNED_FROM)], options=DecodeOptions(currency="EUR"))
    # then the template names them, and the note says that nobody knows
    (note,) = (note for note in learned.notes if "by their place" in note)
    for fact in ("store", "register", "operator"):
        assert till.word[fact] in getattr(learned.template.labels, fact)
        assert f"{till.word[fact]} for the {fact}" in note


def test_what_was_not_understood_is_said() -> None:
    learned = learn([["Something", "else", "is printed"]] * 2)
    assert [each.holds for each in learned.receipts] == [False, False]
    assert {line.role for each in learned.receipts for line in each.lines} == {"unknown"}
    assert any("no total" in note for note in learned.notes)


def _bakery(number: int, *items: str, total: str) -> list[str]:
    head = ["PEKARNA PRI MOSTU", "PE 07 | Blag. 2 | Pek: Mojca", f"Rn 07-2-{number}   28. 11. 2026 7:05"]
    return [
        *head,
        "Kol   EM  Cena   Opis              EUR",
        *items,
        f"Znesek za plačilo {total:>12}",
        f"Gotovina {total:>20}",
    ]


def test_a_column_of_units_between_quantity_and_price_is_learned() -> None:
    papers = [
        _bakery(18, "2     kos 0,95   Kajzerica       1,90 B", "0,486 kg  4,20   Kruh ajdov      2,04 B", total="3,94"),
        _bakery(19, "1     kos 2,30   Kava z mlekom   2,30 A", total="2,30"),
        _bakery(21, "4     kos 0,95   Kajzerica       3,80 B", total="3,80"),
    ]
    learned = learn(papers, options=DecodeOptions(currency="EUR"))
    lines = [line for each in learned.receipts if each.receipt for line in each.receipt.lines]
    assert [(line.description, line.quantity, line.unit, line.unit_price) for line in lines] == [
        ("Kajzerica", "2", "KOS", "0.95"), ("Kruh ajdov", "0.486", "KG", "4.20"),
        ("Kava z mlekom", "1", "KOS", "2.30"), ("Kajzerica", "4", "KOS", "0.95"),
    ]  # fmt: skip
    assert not any("not understood" in note for note in learned.notes)


def test_a_name_that_holds_amounts_is_pointed_out_though_all_adds_up() -> None:
    papers = [
        _bakery(18, "per 0,95 Kajzerica of 7,00       1,90", "per 4,20 Kruh of 9,00      2,04", total="3,94"),
        _bakery(19, "per 2,30 Kava of 3,00   2,30", total="2,30"),
    ]
    learned = learn(papers, options=DecodeOptions(currency="EUR"))
    assert [each.why for each in learned.receipts] == ["", ""]
    assert any("that were not understood: per 0,95 Kajzerica of 7,00" in note for note in learned.notes)


def test_nothing_is_learned_of_nothing() -> None:
    assert learn([]).receipts == ()
    assert learn([["", " "]]).receipts == ()


def test_a_capture_of_many_receipts_is_parted_and_slips_are_ignored() -> None:
    till = Till("3")
    papers = [till.paper(till.sale()) for _ in range(4)]
    slip = "CUSTOMER COPY\nTID 12345678\nAPPROVED\nAMOUNT EUR 5.00\n"
    document = ("\n".join("\n".join(paper) for paper in papers) + "\f" + slip).encode()
    options = DecodeOptions(currency=till.currency)
    assert [is_other(paper) for paper in papers_of(document, options)] == [False] * 4 + [True]
    learned = learn(papers, options=options)
    capture = try_capture("roll", document, learned.template, options)
    assert (len(capture.receipts), capture.ignored) == (4, 1)


def _mutated(seed: int) -> Iterator[list[list[str]]]:
    """Receipts of one till after the other, three of each, damaged anywhere."""
    chance = random.Random(seed)
    for number in range(10):
        till = Till(f"{seed}-{number}")
        papers = []
        for _ in range(3):
            text = list("\n".join(till.paper(till.sale())))
            for _ in range(chance.randrange(30)):
                at = chance.randrange(len(text))
                text[at] = chance.choice(("", "\n", "{", "[", "9" * 12, "\0", "%", "ß", "x", ",", "-", " " * 40, "İ"))
            papers.append("".join(text).split("\n"))
        yield papers


def _assert_is_whole_or_says_so(learned: Learned) -> None:
    """A template can be written and read, or it lacks no more than its total, says so, and reads nothing."""
    text = template_text(learned.template).encode()
    problems = [problem.key for problem in template_problems(learned.template)]
    if not problems:
        assert template_from(text, "") == learned.template
        return
    assert problems == ["[total]"]
    with pytest.raises(TemplateError, match="Add its words"):
        template_from(text, "")
    assert "no total was found: name its words under [total]" in learned.notes
    assert {each.why[:8] for each in learned.receipts} == {"not read"}


def test_mutated_papers_are_learned_from_without_an_error() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    for papers in _mutated(seed):
        _assert_is_whole_or_says_so(learn(papers))


@pytest.mark.parametrize(
    ("seed", "number"),
    [
        pytest.param(513, 0, id="a minus behind a quantity"),
        pytest.param(1643622356, 3, id="a label before some amounts and behind others"),
    ],
)
def test_damage_that_once_made_no_template(seed: int, number: int) -> None:
    _assert_is_whole_or_says_so(learn(list(_mutated(seed))[number]))


def test_a_line_that_no_word_can_tell_is_no_total() -> None:
    # given three receipts whose totals are all damaged, so that one item's line is the likeliest sum of two of them
    papers = list(_mutated(3937003543))[8]
    assert sum(line.startswith("1     Žemlja") for paper in papers for line in paper) == 2
    # when a template is learned from them
    learned = learn(papers)
    # then it can be read, or says what it lacks, and nobody is told that a receipt adds up
    _assert_is_whole_or_says_so(learned)
    assert not any(each.holds for each in learned.receipts)


def test_hostile_lines_take_no_longer_than_others() -> None:
    """Patterns are bounded: a line of two hundred of anything is over before it could be noticed."""
    import time

    till = Till("5")
    reader = TemplateReader(learn([till.paper(till.sale()) for _ in range(4)]).template)
    lines = ["1,1" * 66, " " * 200, "A " * 100, "1 x " * 50, "9." * 100, "-" * 199 + "1", "1.00 " * 40, "(" * 200]
    plain = [line for _ in range(4) for line in till.paper(till.sale())][: len(lines)]
    spent = []
    for paper in (plain, lines):
        started = time.process_time()
        for number in range(20):
            tried([f"{line}{number}" for line in paper], reader, DecodeOptions())
        spent.append(time.process_time() - started)
    assert spent[1] < 100 * spent[0]


def test_learned_from_captures_of_the_repository() -> None:
    folder = Path(__file__).parents[2] / "captures"
    document = (folder / "till-english-cp858.bin").read_bytes()
    papers = papers_of(document, DecodeOptions())
    assert papers
    assert learn(papers).receipts
