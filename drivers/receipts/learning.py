"""A template learned from receipts of one till: a pure function from printed lines to a proposal.

Owns the order in which things are found out: what is a receipt, marks of numbers and dates, the total by words and by
arithmetic, the items, what stands below, and what names the receipt. Whatever it proposes is judged by reading the
receipts with it. A meaning that neither the shipped words nor the sums tell is guessed in a note, or not at all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from drivers.receipts.layout import TemplateReader, generic_template
from drivers.receipts.learning_head import (
    Paper,
    date_forms,
    decimal_mark,
    head_of,
    is_most,
    is_shape,
    recognise_of,
    with_more_labels,
    with_valid_words,
    without_other_languages,
)
from drivers.receipts.learning_items import Proposal, is_label, proposals, tokens_of
from drivers.receipts.learning_places import with_places, with_returns
from drivers.receipts.learning_sums import learned_taxes, paid_words, tax_words
from drivers.receipts.learning_total import papers_of_a_total, stands_alone, with_sums_above, with_total
from drivers.receipts.port import DecodeOptions
from drivers.receipts.template import (
    ShapeText,
    Sum,
    Template,
)
from drivers.receipts.trial import TriedReceipt, tried
from drivers.receipts.wording import amount_minor, plain, without_leaders
from drivers.receipts.words import MAX_LINE_LETTERS, Layout

# More would only take longer.
MAX_RECEIPTS: Final = 50
MAX_PROPOSALS: Final = 24
_NAMELESS: Final = "learned"


class Learned(Struct, frozen=True, kw_only=True):
    """A proposal, what it makes of the receipts it was learned from, and what a person should look at.

    `others` are the places, among the papers given, of those that are none of the layout's receipts: nothing was
    learned from them.
    """

    template: Template
    receipts: tuple[TriedReceipt, ...]
    notes: tuple[str, ...] = ()
    others: tuple[int, ...] = ()


def learn(papers: Sequence[Paper], *, name: str = _NAMELESS, options: DecodeOptions | None = None) -> Learned:
    """A template for receipts of one layout, each given as its printed lines; other paper among them is set aside."""
    options = options or DecodeOptions()
    places = [at for at, paper in enumerate(papers) if any(line.strip() for line in paper)][:MAX_RECEIPTS]
    learned = _learned([papers[at] for at in places], name, options)
    if not any(each.holds for each in learned.receipts):
        likely = [places[at] for at in _likely_receipts([papers[at] for at in places], options)]
        fewer = _learned([papers[at] for at in likely], name, options)
        if is_most(sum(each.holds for each in fewer.receipts), likely) and len(likely) > 1:
            return replace(fewer, others=tuple(at for at in places if at not in likely))
    others = [at for at, receipt in zip(places, learned.receipts, strict=True) if _is_other(receipt, learned)]
    kept = [at for at in places if at not in others]
    # Of paper that is mostly of another kind it cannot be said which kind is meant.
    if others and len(kept) > len(others):
        learned = replace(_learned([papers[at] for at in kept], name, options), others=tuple(others))
    return learned


def _likely_receipts(printed: Sequence[Paper], options: DecodeOptions) -> list[int]:
    """Where the papers stand that share a total; fewer than most of them may be receipts."""
    draft, papers = _drafted([[_cut(line) for line in paper] for paper in printed], options)
    return papers_of_a_total(draft, papers)


def _cut(line: str) -> str:
    """Both ends of a line, without dots that lead to an amount: as much of it as is read (`words`)."""
    half = MAX_LINE_LETTERS // 2
    return without_leaders(line if len(line) <= MAX_LINE_LETTERS else line[:half] + line[-half:])


def _is_other(receipt: TriedReceipt, learned: Learned) -> bool:
    """Whether paper lacks what most of the papers have: a total below goods, or a number of its own."""
    if receipt.receipt is None:
        return any(each.holds for each in learned.receipts)
    numbered = sum(each.receipt is not None and bool(each.receipt.number) for each in learned.receipts)
    return not receipt.receipt.number and is_most(numbered, learned.receipts)


def _learned(printed: Sequence[Paper], name: str, options: DecodeOptions) -> Learned:
    """The better of the ways to understand a space between digits."""
    papers = [[_cut(line) for line in paper] for paper in printed]
    found = [_proposal(printed, papers, name, options, is_spaced=is_spaced) for is_spaced in _spacings(papers)]
    return max(found, key=_worth)


def _spacings(papers: Sequence[Paper]) -> tuple[bool, ...]:
    may_be = any(_SPACED.search(line) for paper in papers for line in paper)
    return (False, True) if may_be else (False,)


_SPACED: Final = re.compile(r"(?<![\d.,:])\d{1,3}(?: \d{3})+[.,]\d{2}(?!\d)")


def _worth(learned: Learned) -> tuple[int, int]:
    known = sum(
        bool(line.quantity) + bool(line.unit_price)
        for each in learned.receipts
        if each.receipt is not None
        for line in each.receipt.lines
    )
    return sum(each.holds for each in learned.receipts), known


def _proposal(
    printed: Sequence[Paper], papers: Sequence[Paper], name: str, options: DecodeOptions, *, is_spaced: bool
) -> Learned:
    """A template, and what it reads. `papers` are the `printed` lines without leaders."""
    notes: list[str] = []
    found, papers = _drafted(papers, options, is_spaced=is_spaced)
    # What stands before its words was turned around: from here on as if it stood behind.
    draft = replace(found, name=name, amounts="behind")
    draft, totals = with_total(draft, papers, notes)
    draft = with_sums_above(draft, papers, totals)
    draft = _with_items(draft, papers, totals)
    draft = replace(draft, taxes=Sum(words=_tax_words(draft, papers, totals), lines=_tax_lines(draft, papers, totals)))
    draft = _with_tenders(draft, papers, totals, notes)
    draft = replace(draft, head=head_of(draft, papers, notes), recognise=recognise_of(papers, notes))
    draft = with_places(draft, papers, notes)
    draft = with_returns(draft, papers, _below_zero(draft, papers, totals), notes)
    draft = with_valid_words(without_other_languages(draft, papers))
    template = replace(draft, amounts=found.amounts)
    reader = TemplateReader(template)
    receipts = tuple(tried(paper, reader, options) for paper in printed)
    unread = _unread_name(receipts, reader.layout)
    if unread:
        notes.append(f"an item's name holds numbers that were not understood: {unread}; check [items] lines")
    return Learned(template=template, receipts=receipts, notes=tuple(notes))


def _unread_name(receipts: Sequence[TriedReceipt], layout: Layout) -> str:
    """An item's name with an amount in it, where no quantity was read: what adds up may be understood in part only."""
    lines = [line for each in receipts if each.receipt is not None for line in each.receipt.lines]
    names = [line.description or "" for line in lines if not line.quantity]
    unread = [name for name in names if layout.amount.search(plain(name))]
    return unread[0] if is_most(len(unread), names) else ""


def _drafted(
    papers: Sequence[Paper], options: DecodeOptions, *, is_spaced: bool = False
) -> tuple[Template, list[Paper]]:
    """How numbers and dates are written, with all known words; and the papers with each amount behind its words."""
    known = generic_template()
    draft = replace(
        known,
        decimal_mark=decimal_mark(papers),
        spaced_thousands=is_spaced,
        dates=date_forms(papers),
        labels=with_more_labels(known.labels, papers),
        items=replace(known.items, lines=()),
        currency=options.currency,
    )
    if not _stand_before(papers, draft):
        return draft, list(papers)
    draft = replace(draft, amounts="before")
    layout = Layout(draft)
    return draft, [[layout.text(line).printed for line in paper] for paper in papers]


def _stand_before(papers: Sequence[Paper], draft: Template) -> bool:
    """Whether amounts stand before their words, more often than behind them."""
    amount = Layout(draft).amount
    before = behind = 0
    for paper in papers:
        for line in paper:
            tokens = tokens_of(line, amount)
            has_words = any(token.kind == "word" for token in tokens)
            if has_words and tokens[0].kind == "amount":
                before += 1
            elif has_words and any(token.kind == "amount" for token in tokens[-2:]):
                behind += 1
    return before > behind


def _below_zero(draft: Template, papers: Sequence[Paper], totals: Sequence[int | None]) -> list[bool]:
    layout = Layout(draft)
    found = [
        layout.total_of(paper[at], plain(paper[at])) if at is not None else None
        for paper, at in zip(papers, totals, strict=True)
    ]
    return [total is not None and amount_minor(total[0], "EUR") < 0 for total in found]


def _with_items(draft: Template, papers: Sequence[Paper], totals: Sequence[int | None]) -> Template:
    """The shapes of items: proposed by arithmetic, then whatever is not needed for the sums is left out."""
    layout = Layout(draft)
    goods = [_goods(paper, at, layout) for paper, at in zip(papers, totals, strict=True) if at is not None]
    labelled = any(_is_labelled(line, layout) for lines in goods for line in lines)
    found = [_with_label(each, optional=labelled) for each in proposals(goods, layout.amount)]
    shaped = {each.lines: each for each in reversed(found) if is_shape(each.lines, "items", draft.notation)}
    unique = list(shaped.values())[::-1]
    proven = [each for each in unique if each.proven > 1 or (each.proven and len(goods) < 3)][:MAX_PROPOSALS]
    rest = [each for each in unique if not each.proven and each.fits > 1 and len(each.lines) == 1][:4]
    shapes = [each.lines for each in proven] + [each.lines for each in rest if "{quantity}" not in " ".join(each.lines)]
    shapes = [shape for shape in shapes if shape != ("{name} {amount}",)]
    shapes.append(("{name} {amount} [{label}]",) if labelled else ("{name} {amount}",))
    begin = _begin(papers, totals, layout)
    draft = replace(draft, items=replace(draft.items, begin=begin))
    chosen = _needed(list(dict.fromkeys(shapes)), draft, papers)
    lines: tuple[ShapeText, ...] = tuple(shape[0] if len(shape) == 1 else shape for shape in chosen)
    return replace(draft, items=replace(draft.items, lines=lines))


def _is_labelled(line: str, layout: Layout) -> bool:
    """Whether a letter stands behind the line's amount."""
    tokens = tokens_of(line, layout.amount)
    return len(tokens) > 1 and is_label(tokens[-1], tokens[-2].kind == "amount")


def _with_label(proposal: Proposal, *, optional: bool) -> Proposal:
    """A label of a tax may be missing on any line, where there are any."""
    if not optional or "{label}" in " ".join(proposal.lines):
        return proposal
    lines = tuple(f"{line} [{{label}}]" if line.endswith("{amount}") else line for line in proposal.lines)
    return replace(proposal, lines=lines)


def _goods(paper: Paper, total: int, layout: Layout) -> list[str]:
    """Lines above the total that may be items'."""
    goods = []
    for line in paper[:total]:
        text = layout.text(line)
        if layout.is_subtotal(text):
            break
        is_other = (
            layout.is_rule(text)
            or layout.discount.fullmatch(text.plain)
            or layout.void.match(text.plain)
            or (text.day is not None)
            or (text.number is not None and not layout.amount.search(text.plain))
        )
        if not is_other:
            goods.append(line)
    return goods


def _begin(papers: Sequence[Paper], totals: Sequence[int | None], layout: Layout) -> tuple[str, ...]:
    """The heading of the items' columns: several words on most receipts, above the first amount."""
    headings: Counter[str] = Counter()
    for paper, total in zip(papers, totals, strict=True):
        first = next((at for at, line in enumerate(paper[:total]) if layout.amount.search(plain(line))), 0)
        for line in paper[max(0, first - 3) : first]:
            if (
                len(re.findall(r"\S\s{2,}\S", line.strip())) >= 1
                and not any(map(str.isdigit, line))
                and ":" not in line
            ):
                headings[line.split()[0]] += 1
    return tuple(word for word, count in headings.items() if count == len(papers) > 1 and stands_alone(word))[:1]


def _needed(shapes: list[tuple[str, ...]], draft: Template, papers: Sequence[Paper]) -> list[tuple[str, ...]]:
    """The shapes without which less would be understood; sums that hold count most, then what is known of items."""
    best = _judged(shapes, draft, papers)
    for shape in reversed(shapes[:]):
        fewer = [each for each in shapes if each != shape]
        if fewer and (judged := _judged(fewer, draft, papers)) >= best:
            shapes, best = fewer, judged
    return shapes


def _judged(shapes: Sequence[tuple[str, ...]], draft: Template, papers: Sequence[Paper]) -> tuple[int, int]:
    reader = TemplateReader(replace(draft, items=replace(draft.items, lines=tuple(shapes))))
    holds = known = 0
    for paper in papers:
        receipt = tried(paper, reader, DecodeOptions(currency=draft.currency or "EUR")).receipt
        if receipt is not None:
            holds += bool(receipt.lines) and not receipt.has_problem("total_mismatch")
            known += sum(
                bool(line.quantity) + bool(line.tax_labels) + bool(line.sku or line.gtin) for line in receipt.lines
            )
    return holds, known


def _tax_words(draft: Template, papers: Sequence[Paper], totals: Sequence[int | None]) -> tuple[str, ...]:
    found = tax_words(papers, totals, Layout(draft))
    return (*draft.taxes.words, *(word for word in found if stands_alone(word) and len(word) > 1))


def _tax_lines(draft: Template, papers: Sequence[Paper], totals: Sequence[int | None]) -> tuple[str, ...]:
    found = learned_taxes(papers, totals, Layout(draft))
    return tuple(shape for shape in found if is_shape(shape, "taxes", draft.notation))


def _with_tenders(draft: Template, papers: Sequence[Paper], totals: Sequence[int | None], notes: list[str]) -> Template:
    """Payments by their words; unknown words by what they leave of the total."""
    found = paid_words(papers, totals, Layout(draft))
    card, other = found.other[: bool(found.cash)], found.other[bool(found.cash) :]
    if card:
        notes.append(f"taken for cards, since change is given on {found.cash[0]}: {card[0]}; check it under [tenders]")
    if other:
        notes.append(f"payments of an unknown kind: {', '.join(other)}; move them under [tenders] to their kind")
    tenders = draft.tenders
    return replace(
        draft,
        tenders=replace(
            tenders,
            cash=(*tenders.cash, *found.cash),
            card=(*tenders.card, *card),
            other=(*tenders.other, *other),
        ),
        change=replace(draft.change, words=(*draft.change.words, *found.change)),
    )
