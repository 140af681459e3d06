"""Which line of a layout is its total, and what stands between its goods and it: subtotals, discounts, voids, rounding.

Owns what words and sums say of lines that end in an amount. Never reads an item.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from drivers.receipts.learning_head import MOST_PERCENT, Paper, is_shape, is_word
from drivers.receipts.learning_items import tokens_of
from drivers.receipts.shapes import CURRENCY, escaped
from drivers.receipts.template import Discounts, Sum, Template
from drivers.receipts.wording import amount_minor, folded, plain
from drivers.receipts.words import Layout, Text


class _Priced(Struct, frozen=True, kw_only=True):
    """A line that ends in an amount: the words before its first number, and the last amount."""

    at: int
    label: str
    minor: int
    whole: str


_PERCENT: Final = re.compile(r"(\d{1,2})\s?%")


def _priced(paper: Paper, layout: Layout) -> list[_Priced]:
    found: list[_Priced] = []
    for at, line in enumerate(paper):
        letters = plain(line)
        amounts = list(layout.amount.finditer(letters))
        if not amounts or _is_count_alone(line, layout):
            continue
        before = letters[: amounts[0].start()]
        label = folded(re.sub(rf"(?<![A-Z]){CURRENCY}", " ", re.sub(r"\d+", " ", before)))
        minor = amount_minor(amounts[-1].group(), "EUR")
        percent = _PERCENT.search(before)
        # Some tills take off without a sign: what is printed is that part of the amount above.
        if percent is not None and found and abs(abs(found[-1].minor) * int(percent[1]) - minor * 100) <= 100:
            minor = -minor
        found.append(_Priced(at=at, label=label, minor=minor, whole=letters))
    return found


def _is_count_alone(line: str, layout: Layout) -> bool:
    """Whether a line says how many at which price, and no amount."""
    kinds = [token.kind for token in tokens_of(line, layout.amount)]
    return "times" in kinds and kinds.count("amount") == 1 and "word" not in kinds


def papers_of_a_total(draft: Template, papers: Sequence[Paper]) -> list[int]:
    """Which papers have the line that looks most like a total, though most of them may be other paper."""
    layout = Layout(draft)
    priced = [_priced(paper, layout) for paper in papers]
    scores = _scores(priced, papers, layout, least=2)
    best = _last_of_best(scores, priced)
    return [at for at, lines in enumerate(priced) if best and any(line.label == best for line in lines)]


def with_total(draft: Template, papers: Sequence[Paper], notes: list[str]) -> tuple[Template, list[int | None]]:
    """The line of the total of each receipt: by its words, and where they are unknown by what it adds up to."""
    layout = Layout(draft)
    priced = [_priced(paper, layout) for paper in papers]
    scores = _scores(priced, papers, layout, least=_least_of_most(papers))
    while (best := _last_of_best(scores, priced)) and scores[best] > 0:
        totals = [next((line.at for line in lines if line.label == best), None) for lines in priced]
        printed = [paper[at] for paper, at in zip(papers, totals, strict=True) if at is not None]
        known = tuple(word for word in draft.total.words if not _is_word_of_others(word, best, priced, scores))
        without = _without_words_of(best, draft)
        told = _told(printed, known, without)
        if told is not None:
            return replace(without, total=told), totals
        # A line that nothing could tell from others, such as one that begins with how many were bought.
        del scores[best]
    notes.append("no total was found: name its words under [total]")
    return draft, [None] * len(papers)


def _told(printed: Sequence[str], known: tuple[str, ...], draft: Template) -> Sum | None:
    """The words, or else the shapes, that tell the `printed` lines of a total; None where none can."""
    words = label_words(printed[0], Layout(draft))
    own = (words,) if stands_alone(words) and is_word(words) else ()
    total = Sum(words=tuple(dict.fromkeys((*own, *known))))
    tried = Layout(replace(draft, total=total))
    told = [tried.total_of(line, plain(line)) is not None for line in printed]
    if all(told):
        return total
    written = [shape for line in printed if (shape := _total_shape(line, tried)) is not None]
    shapes = tuple(dict.fromkeys(shape for shape in written if is_shape(shape, "total", draft.notation)))[:8]
    return replace(total, lines=shapes) if shapes or any(told) else None


# No total is rounded by one unit of money.
_MOST_ROUNDED: Final = 100
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


def _scores(
    priced: Sequence[Sequence[_Priced]], papers: Sequence[Paper], layout: Layout, *, least: int
) -> Counter[str]:
    """How much speaks for each label as that of the total, over all papers."""
    fixed = _fixed(priced, least)
    scores: Counter[str] = Counter()
    for paper, lines in zip(papers, priced, strict=True):
        above: list[int] = []
        for line in lines:
            text = layout.text(paper[line.at])
            if line.label in fixed:
                scores[line.label] += _score(line, text, above, lines, layout)
            elif not text.is_total and not layout.is_subtotal(text):
                above.append(line.minor)
    return scores


def _least_of_most(papers: Sequence[Paper]) -> int:
    return max(1, -(-len(papers) * MOST_PERCENT // 100))


def _fixed(priced: Sequence[Sequence[_Priced]], least: int) -> frozenset[str]:
    """Labels that stand on so many receipts, on each of them once: those of sums."""
    labels = [Counter(line.label for line in lines if len(line.label) > _MIN_LABEL) for lines in priced]
    presence = Counter(label for each in labels for label in each)
    return frozenset(
        label
        for label, count in presence.items()
        if count >= least and sum(each[label] for each in labels) * 2 <= 3 * count
    )


def stands_alone(words: str) -> bool:
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
    # Words of other languages may begin the one that is looked for: `Net à payer`.
    points -= 2 * layout.is_subtotal(text)
    if layout.tax.match(text.plain) or layout.tender_kind(line.label):
        points -= 8
    if layout.change.match(text.plain) or layout.discount.fullmatch(text.plain) or layout.rounding.match(text.plain):
        points -= 8
    if not above:
        return points - 4
    between = (other.minor for other in lines if other.at < line.at and other.minor not in above)
    corrected = sum(above) + sum(minor for minor in between if minor < _MOST_ROUNDED)
    points += 4 * (abs(line.minor - sum(above)) <= len(above) or line.minor == corrected)
    points += 3 * _is_paid(line.minor, [other.minor for other in lines if other.at > line.at])
    later = [other for other in lines if other.at > line.at]
    return points + (len(later) < len(lines) / 2 + 2) - (not later)


def _is_paid(total: int, below: Sequence[int]) -> bool:
    """Whether an amount below, or two or three that follow one another, pay a total, with change or without."""
    return total in below or any(
        total in (first + second, first - second, first + second - third)
        for first, second, third in zip(below, below[1:], [*below[2:], 0], strict=False)
    )


def label_words(printed: str, layout: Layout) -> str:
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


def _without_words_of(total: str, draft: Template) -> Template:
    """The draft without words for other lines that the total's begin with."""

    def kept(words: Sequence[str]) -> tuple[str, ...]:
        return tuple(word for word in words if not f"{total} ".startswith(f"{folded(word)} "))

    return replace(
        draft,
        subtotal=replace(draft.subtotal, words=kept(draft.subtotal.words)),
        items=replace(draft.items, skip=kept(draft.items.skip)),
    )


def with_sums_above(draft: Template, papers: Sequence[Paper], totals: Sequence[int | None]) -> Template:
    """Subtotals, discounts and voids above the total that the known words do not tell."""
    layout = Layout(draft)
    priced = [
        [line for line in _priced(paper, layout) if at is not None and line.at < at]
        for paper, at in zip(papers, totals, strict=True)
    ]
    owed = [
        _priced([paper[at]], layout)[0].minor if at is not None else 0 for paper, at in zip(papers, totals, strict=True)
    ]
    subtotals: Counter[str] = Counter()
    roundings: Counter[str] = Counter()
    reductions: Counter[str] = Counter()
    voids: Counter[str] = Counter()
    for paper, lines, total in zip(papers, priced, owed, strict=True):
        for number, line in enumerate(lines if total > 0 else ()):
            text = layout.text(paper[line.at])
            if layout.discount.fullmatch(text.plain) or layout.is_subtotal(text) or layout.tax.match(text.plain):
                continue
            earlier = lines[:number]
            sold = [each for each in earlier if each.minor == -line.minor]
            words = label_words(paper[line.at], layout)
            before = lines[number - 1].minor if number else 0
            rest = [each.minor for each in lines[number + 1 :]]
            if abs(line.minor) < _MOST_ROUNDED and before + line.minor == total and "%" not in line.whole:
                roundings[words] += 1
            elif line.minor < 0 and sold and not layout.void.match(text.plain):
                voids.update(word for each in sold if (word := _word_before(words, _name_at(paper, each, layout))))
            elif line.minor < 0 and line.label and not layout.void.match(text.plain):
                # A rate that fits says more than that it is met again.
                reductions[line.label.split()[0]] += 1 + (_PERCENT.search(line.whole) is not None)
            elif earlier and line.minor == sum(each.minor for each in earlier) == total - sum(rest):
                subtotals[words] += 1
    every = [paper[line.at] for paper, lines in zip(papers, priced, strict=True) for line in lines]
    bought = Counter(line.label.split()[0] for lines in priced for line in lines if line.label and line.minor > 0)
    discounts = tuple(_as_printed(word, every) for word, count in reductions.items() if count > 1 and not bought[word])
    return replace(
        draft,
        subtotal=replace(draft.subtotal, words=(*draft.subtotal.words, *filter(stands_alone, subtotals))),
        rounding=replace(
            draft.rounding,
            words=(*draft.rounding.words, *(word for word, count in roundings.items() if _is_met(word, count, priced))),
        ),
        items=replace(draft.items, void=(*draft.items.void, *(word for word in voids if stands_alone(word)))),
        discounts=Discounts(
            words=(*draft.discounts.words, *discounts), of=_whose_discount(papers, totals, draft, discounts)
        ),
    )


def _name_at(paper: Paper, line: _Priced, layout: Layout) -> str:
    """The words of an item's line; those above it where it has none."""
    words = label_words(paper[line.at], layout)
    return words if len(line.label) > _MIN_LABEL or line.at == 0 else paper[line.at - 1].strip()


def _is_met(word: str, count: int, priced: Sequence[Sequence[_Priced]]) -> bool:
    """Whether nearly all lines that begin with the word round, so that it is no item's."""
    label = folded(word)
    lines = sum(line.label == label for each in priced for line in each)
    return stands_alone(word) and count > 1 and count * 100 >= MOST_PERCENT * lines


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
