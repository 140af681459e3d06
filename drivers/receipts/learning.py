"""A template learned from receipts of one till: a pure function from printed lines to a proposal.

Owns the order in which things are found out: marks of numbers and dates, the total by words and by arithmetic, the
items, what stands below, and what names the receipt. Whatever it proposes is judged by reading the receipts with it.
Never guesses a word's meaning where neither the shipped words nor the sums tell it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, Literal

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
from drivers.receipts.learning_sums import learned_taxes, paid_words
from drivers.receipts.port import DecodeOptions
from drivers.receipts.shapes import CURRENCY, escaped
from drivers.receipts.template import (
    Discounts,
    ShapeText,
    Sum,
    Template,
)
from drivers.receipts.trial import TriedReceipt, tried
from drivers.receipts.wording import amount_minor, folded, plain
from drivers.receipts.words import Layout, Text

# More would only take longer.
MAX_RECEIPTS: Final = 50
MAX_PROPOSALS: Final = 24
_NAMELESS: Final = "learned"


class Learned(Struct, frozen=True, kw_only=True):
    """A proposal, what it makes of the receipts it was learned from, and what a person should look at."""

    template: Template
    receipts: tuple[TriedReceipt, ...]
    notes: tuple[str, ...] = ()


def learn(papers: Sequence[Paper], *, name: str = _NAMELESS, options: DecodeOptions | None = None) -> Learned:
    """A template for receipts of one layout, each given as its printed lines."""
    papers = [paper for paper in papers[:MAX_RECEIPTS] if any(line.strip() for line in paper)]
    known = generic_template()
    notes: list[str] = []
    draft = replace(
        known,
        name=name,
        decimal_mark=decimal_mark(papers),
        dates=date_forms(papers),
        labels=with_more_labels(known.labels, papers),
        items=replace(known.items, lines=()),
        currency=options.currency if options else None,
    )
    draft, totals = _with_total(draft, papers, notes)
    draft = _with_sums_above(draft, papers, totals)
    draft = _with_items(draft, papers, totals)
    draft = replace(draft, taxes=Sum(words=draft.taxes.words, lines=_tax_lines(draft, papers)))
    draft = _with_tenders(draft, papers, totals, notes)
    draft = replace(draft, head=head_of(draft, papers, notes), recognise=recognise_of(papers, notes))
    template = with_valid_words(without_other_languages(draft, papers))
    reader = TemplateReader(template)
    return Learned(
        template=template,
        receipts=tuple(tried(paper, reader, options or DecodeOptions()) for paper in papers),
        notes=tuple(notes),
    )


class _Priced(Struct, frozen=True, kw_only=True):
    """A line that ends in an amount: the words before its first number, and the last amount."""

    at: int
    label: str
    minor: int
    whole: str


def _priced(paper: Paper, layout: Layout) -> list[_Priced]:
    found = []
    for at, line in enumerate(paper):
        letters = plain(line)
        amounts = list(layout.amount.finditer(letters))
        if amounts:
            before = letters[: amounts[0].start()]
            label = folded(re.sub(rf"(?<![A-Z]){CURRENCY}", " ", re.sub(r"\d+", " ", before)))
            found.append(_Priced(at=at, label=label, minor=amount_minor(amounts[-1].group(), "EUR"), whole=letters))
    return found


def _with_total(draft: Template, papers: Sequence[Paper], notes: list[str]) -> tuple[Template, list[int | None]]:
    """The line of the total of each receipt: by its words, and where they are unknown by what it adds up to."""
    layout = Layout(draft)
    priced = [_priced(paper, layout) for paper in papers]
    fixed = _fixed(priced, papers)
    scores: Counter[str] = Counter()
    for paper, lines in zip(papers, priced, strict=True):
        above: list[int] = []
        for line in lines:
            text = layout.text(paper[line.at])
            if line.label in fixed:
                scores[line.label] += _score(line, text, above, lines, layout)
            elif not text.is_total and not layout.is_subtotal(text):
                above.append(line.minor)
    best = _last_of_best(scores, priced)
    points = scores[best]
    if not best or points <= 0:
        notes.append("no total was found: name its words under [total]")
        return draft, [None] * len(papers)
    totals = [next((line.at for line in lines if line.label == best), None) for lines in priced]
    printed = [paper[at] for paper, at in zip(papers, totals, strict=True) if at is not None]
    words = _label_words(printed[0], layout)
    known = tuple(word for word in draft.total.words if not _is_word_of_others(word, best, priced, scores))
    shapes: list[str] = []
    total = Sum(words=tuple(dict.fromkeys(([words] if _stands_alone(words) else []) + list(known))), lines=())
    tried_layout = Layout(replace(draft, total=total))
    if any(tried_layout.total_of(line, plain(line)) is None for line in printed):
        written = [shape for line in printed if (shape := _total_shape(line, layout)) is not None]
        shapes = [shape for shape in written if is_shape(shape, "total", draft.notation)]
    return replace(draft, total=replace(total, lines=tuple(dict.fromkeys(shapes))[:8])), totals


# A label whose points come so near to the best one's, in percent, may be the total as well.
_NEAR_PERCENT: Final = 80


def _last_of_best(scores: Counter[str], priced: Sequence[Sequence[_Priced]]) -> str:
    """The label with most points; of sums that are alike, the last one of every receipt that does not end it."""
    most = max(scores.values(), default=0)
    best = next((label for label, points in scores.items() if points == most), "")
    near = [label for label, points in scores.items() if points * 100 >= _NEAR_PERCENT * most]
    for label in near:
        at = [next((number for number, line in enumerate(lines) if line.label == label), None) for lines in priced]
        ends = sum(number is not None and number + 1 == len(lines) for number, lines in zip(at, priced, strict=True))
        if None not in at and not ends and _stands_below(label, best, priced):
            best = label
    return best


def _stands_below(label: str, other: str, priced: Sequence[Sequence[_Priced]]) -> bool:
    for lines in priced:
        labels = [line.label for line in lines]
        if other in labels and labels.index(label) < labels.index(other):
            return False
    return True


# A sum's label has a word; `x` before a price has none.
_MIN_LABEL: Final = 2


def _fixed(priced: Sequence[Sequence[_Priced]], papers: Sequence[Paper]) -> frozenset[str]:
    """Labels that stand on most receipts, on each of them once: those of sums."""
    labels = [Counter(line.label for line in lines if len(line.label) > _MIN_LABEL) for lines in priced]
    presence = Counter(label for each in labels for label in each)
    return frozenset(
        label
        for label, count in presence.items()
        if is_most(count, papers) and sum(each[label] for each in labels) * 2 <= 3 * count
    )


def _stands_alone(words: str) -> bool:
    return any(map(str.isalpha, words)) and not any(map(str.isdigit, words))


def _is_word_of_others(word: str, best: str, priced: Sequence[Sequence[_Priced]], scores: Counter[str]) -> bool:
    """Whether a known word of a total stands on these receipts before another sum than the total."""
    known = folded(word)
    return (
        known != best
        and any(line.label == known for lines in priced for line in lines)
        and scores[known] < scores[best]
    )


def _score(line: _Priced, text: Text, above: Sequence[int], lines: Sequence[_Priced], layout: Layout) -> int:
    """How much speaks for a line as the total of its receipt."""
    points = 6 if text.is_total or layout.total_word.match(text.plain) else 0
    if layout.is_subtotal(text) or layout.tax.match(text.plain) or layout.tender_kind(line.label):
        points -= 8
    if layout.change.match(text.plain) or layout.discount.fullmatch(text.plain) or layout.rounding.match(text.plain):
        points -= 8
    if not above:
        return points - 4
    points += 4 * (abs(sum(above) - line.minor) <= len(above))
    below = [other.minor for other in lines if other.at > line.at]
    points += any(first - second == line.minor for first, second in pairwise(below))
    later = [other for other in lines if other.at > line.at]
    return points + (len(later) < len(lines) / 2 + 2) - (not later)


def _label_words(printed: str, layout: Layout) -> str:
    """The words before the amount, as they are printed."""
    match = layout.amount.search(plain(printed))
    before = printed[: match.start()] if match is not None else printed
    before = re.sub(rf"(?<![A-Za-z])(?:{CURRENCY})\s*$", "", before.strip(" .:=*#>_-"), flags=re.IGNORECASE)
    return " ".join(before.strip(" .:=*#>_-").split())


def _total_shape(printed: str, layout: Layout) -> str | None:
    """The line with its amount and counts as fields."""
    shape, at = "", 0
    letters = plain(printed)
    amounts = list(layout.amount.finditer(letters))
    if not amounts:
        return None
    for match in re.finditer(r"\d[\d.,]*", letters):
        if match.start() < at:
            continue
        last = amounts[-1]
        is_amount = last.start() <= match.start() < last.end()
        shape += escaped(_bare(printed[at : match.start()])) + ("{amount}" if is_amount else "{count}")
        at = last.end() if is_amount else match.end()
    return " ".join((shape + escaped(_bare(printed[at:]))).split())


def _bare(text: str) -> str:
    return re.sub(rf"(?<![A-Za-z])(?:{CURRENCY})(?![A-Za-z])", "", text, flags=re.IGNORECASE)


def _with_sums_above(draft: Template, papers: Sequence[Paper], totals: Sequence[int | None]) -> Template:
    """Subtotals, discounts and voids above the total that the known words do not tell."""
    layout = Layout(draft)
    priced = [
        [line for line in _priced(paper, layout) if at is not None and line.at < at]
        for paper, at in zip(papers, totals, strict=True)
    ]
    presence = Counter(label for lines in priced for label in {line.label for line in lines if line.label})
    subtotals: Counter[str] = Counter()
    reductions: Counter[str] = Counter()
    voids: Counter[str] = Counter()
    for paper, lines in zip(papers, priced, strict=True):
        for number, line in enumerate(lines):
            text = layout.text(paper[line.at])
            if layout.discount.fullmatch(text.plain) or layout.is_subtotal(text) or layout.tax.match(text.plain):
                continue
            earlier = lines[:number]
            sold = [each for each in earlier if each.label and each.minor == -line.minor]
            words = _label_words(paper[line.at], layout)
            if line.minor < 0 and sold and not layout.void.match(text.plain):
                voids.update(
                    word for each in sold if (word := _word_before(words, _label_words(paper[each.at], layout)))
                )
            elif line.minor < 0 and line.label and not layout.void.match(text.plain):
                reductions[line.label.split()[0]] += 1
            elif len(earlier) > 1 and line.minor == sum(each.minor for each in earlier) and presence[line.label] > 1:
                subtotals[words] += 1
    every = [paper[line.at] for paper, lines in zip(papers, priced, strict=True) for line in lines]
    bought = Counter(line.label.split()[0] for lines in priced for line in lines if line.label and line.minor > 0)
    discounts = tuple(_as_printed(word, every) for word, count in reductions.items() if count > 1 and not bought[word])
    return replace(
        draft,
        subtotal=replace(draft.subtotal, words=(*draft.subtotal.words, *filter(_stands_alone, subtotals))),
        items=replace(draft.items, void=(*draft.items.void, *(word for word in voids if _stands_alone(word)))),
        discounts=Discounts(
            words=(*draft.discounts.words, *discounts), of=_whose_discount(papers, totals, draft, discounts)
        ),
    )


def _word_before(words: str, name: str) -> str:
    """What stands before the name of an item that is taken back."""
    name = name.split("  ", maxsplit=1)[0]
    tail = name.split()[-1] if name.split() else ""
    at = words.upper().find(tail.upper()) if tail else -1
    before = words[:at].strip(" .:*-") if at > 0 else ""
    first = before.split()
    return first[0] if first and plain(first[0]) not in plain(name) else ""


def _as_printed(word: str, lines: Iterable[str]) -> str:
    return next((part for line in lines for part in line.split() if folded(part) == word), word)


def _whose_discount(
    papers: Sequence[Paper], totals: Sequence[int | None], draft: Template, words: Sequence[str]
) -> Literal["indented", "line", "receipt"]:
    """Whether discounts belong to the item above: those without an indent do where items follow them."""
    layout = Layout(replace(draft, discounts=Discounts(words=(*draft.discounts.words, *words))))
    flush_within = indented = flush_last = 0
    for paper, total in zip(papers, totals, strict=True):
        texts = [layout.text(line) for line in paper[: total or 0]]
        edge = min((len(text.plain) - len(text.plain.lstrip()) for text in texts if text.is_sold), default=0)
        for at, text in enumerate(texts):
            match = layout.discount.fullmatch(text.plain)
            if match is None or any(layout.is_subtotal(before) for before in texts[:at]):
                continue
            # Below an item, or with items below: the item's. Behind a rule: the receipt's.
            follows = layout.amount.search(texts[at - 1].plain) is not None or any(
                after.is_sold and not layout.discount.fullmatch(after.plain) and not layout.is_subtotal(after)
                for after in texts[at + 1 :]
            )
            indented += len(match[1]) >= 2 and len(match[1]) > edge
            flush_within += len(match[1]) <= edge and follows
            flush_last += len(match[1]) <= edge and not follows
    if flush_within:
        return "line"
    return "indented" if indented or not flush_last else "receipt"


def _with_items(draft: Template, papers: Sequence[Paper], totals: Sequence[int | None]) -> Template:
    """The shapes of items: proposed by arithmetic, then whatever is not needed for the sums is left out."""
    layout = Layout(draft)
    goods = [_goods(paper, at, layout) for paper, at in zip(papers, totals, strict=True) if at is not None]
    labelled = any(_is_labelled(line, layout) for lines in goods for line in lines)
    found = [_with_label(each, optional=labelled) for each in proposals(goods, layout.amount)]
    unique = list({each.lines: each for each in reversed(found)}.values())[::-1]
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
    lines = tuple(f"{line} [{{label}}]" if optional and line.endswith("{amount}") else line for line in proposal.lines)
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
    return tuple(word for word, count in headings.items() if count == len(papers) > 1 and _stands_alone(word))[:1]


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
            holds += not receipt.has_problem("total_mismatch")
            known += sum(
                bool(line.quantity) + bool(line.tax_labels) + bool(line.sku or line.gtin) for line in receipt.lines
            )
    return holds, known


def _tax_lines(draft: Template, papers: Sequence[Paper]) -> tuple[str, ...]:
    found = learned_taxes(papers, Layout(draft))
    return tuple(shape for shape in found if is_shape(shape, "taxes", draft.notation))


def _with_tenders(draft: Template, papers: Sequence[Paper], totals: Sequence[int | None], notes: list[str]) -> Template:
    """Payments by their words; unknown words by what they leave of the total."""
    found = paid_words(papers, totals, Layout(draft))
    if found.other:
        notes.append(f"payments of an unknown kind: {', '.join(found.other)}; move them under [tenders] to their kind")
    tenders = draft.tenders
    return replace(
        draft,
        tenders=replace(tenders, cash=(*tenders.cash, *found.cash), other=(*tenders.other, *found.other)),
        change=replace(draft.change, words=(*draft.change.words, *found.change)),
    )
