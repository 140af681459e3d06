"""What stands below the total of a layout: rows of taxes, and words before payments and change, by arithmetic.

Never reads an item.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import combinations, permutations
from typing import Final, Literal

from msgspec import Struct

from drivers.receipts.learning_items import Token, magnitude, tokens_of
from drivers.receipts.shapes import escaped
from drivers.receipts.wording import amount_minor, decimal_text, plain
from drivers.receipts.words import Layout

# More words below a total are no payments.
_MOST_PAYMENTS: Final = 12
# A row of a tax holds its base, itself and both together, at most.
_ROLES: Final = ("net", "tax", "gross")
_RATES: Final = (Decimal(3), Decimal(30))
MAX_TAX_SHAPES: Final = 8


class Paid(Struct, frozen=True, kw_only=True):
    """Words before payments that the shipped words do not know."""

    cash: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    change: tuple[str, ...] = ()


def learned_taxes(papers: Sequence[Sequence[str]], totals: Sequence[int | None], layout: Layout) -> tuple[str, ...]:
    """Shapes of lines below the total whose rate and amounts are those of a tax."""
    shapes: Counter[str] = Counter()
    for paper, total in zip(papers, totals, strict=True):
        for line in paper[total or 0 :]:
            if layout.text(line).is_total:
                continue
            shapes.update(set(_tax_shapes(tokens_of(line, layout.amount), line)))
    # Of the ways to read the same line the one that holds most often.
    chosen = [shape for shape, count in shapes.most_common() if count > 1 or len(papers) < 3]
    kept: list[str] = []
    for shape in chosen:
        form = re.sub(r"\{(?:net|tax|gross|text)\}", "{}", shape)
        if all(re.sub(r"\{(?:net|tax|gross|text)\}", "{}", other) != form for other in kept):
            kept.append(shape)
    return tuple(kept[:MAX_TAX_SHAPES])


_RATED: Final = re.compile(r"\s*(?:[^\W_]\s+)?([^\W\d_][^\d%]*?)[\s.:]*(\d{1,2}(?:[.,]\d{1,2})?)\s?%.*")


def tax_words(papers: Sequence[Sequence[str]], totals: Sequence[int | None], layout: Layout) -> tuple[str, ...]:
    """Words below the total before a rate and an amount that is no more than that part of the total."""
    found: Counter[str] = Counter()
    for paper, total in zip(papers, totals, strict=True):
        owed = _last_amount(paper[total], layout) if total is not None else None
        if total is None or owed is None:
            continue
        for line in paper[total + 1 :]:
            match, tax = _RATED.fullmatch(line), _last_amount(line, layout)
            if match is None or tax is None or layout.tax.match(plain(line)):
                continue
            rate = Decimal(decimal_text(match[2]))
            if _RATES[0] <= rate <= _RATES[1] and 0 < abs(tax) <= abs(owed) * rate / (100 + rate) + 1:
                found[match[1].strip(" .:")] += 1
    return tuple(word for word, count in found.items() if count > 1)


def _tax_shapes(tokens: Sequence[Token], printed: str) -> Iterator[str]:
    amounts = [at for at, token in enumerate(tokens) if token.kind == "amount"]
    for rate_at, rate in _rates(tokens):
        others = [at for at in amounts if at != rate_at]
        for roles in permutations(_ROLES, len(others)) if 2 <= len(others) <= len(_ROLES) else ():
            values = {role: magnitude(tokens[at].text) for role, at in zip(roles, others, strict=True)}
            if _holds(values, rate):
                named = dict(zip(others, roles, strict=True))
                yield _shape(tokens, rate_at, named, printed)


def _rates(tokens: Sequence[Token]) -> Iterator[tuple[int, Decimal]]:
    for at, token in enumerate(tokens):
        if token.kind in ("percent", "decimal", "amount", "whole") and token.text != "%":
            rate = magnitude(token.text)
            if _RATES[0] <= rate <= _RATES[1]:
                follows = at + 1 < len(tokens) and tokens[at + 1].text == "%"
                if token.kind in ("percent", "amount") or follows or token.kind == "whole":
                    yield at, rate


def _holds(values: dict[str, Decimal], rate: Decimal) -> bool:
    close = Decimal("0.011")
    tax = values.get("tax")
    if not tax or min(values.values()) == 0:
        return False
    net, gross = values.get("net"), values.get("gross")
    if net is not None and abs(net * rate / 100 - tax) > close:
        return False
    return gross is None or abs(gross * rate / (100 + rate) - tax) <= close


def _shape(tokens: Sequence[Token], rate_at: int, roles: dict[int, str], printed: str) -> str:
    parts = []
    for at, token in enumerate(tokens):
        if at == rate_at:
            parts.append("{rate}")
        elif at in roles:
            parts.append(f"{{{roles[at]}}}")
        elif token.text == "%":
            continue
        elif token.kind == "letter" or (at == 0 and token.kind == "whole"):
            parts.append("{label}" if "{label}" not in parts else escaped(token.text))
        else:
            found = re.search(re.escape(token.text), plain(printed))
            parts.append(escaped(printed[found.start() : found.end()] if found else token.text))
    return " ".join(parts)


def paid_words(papers: Sequence[Sequence[str]], totals: Sequence[int | None], layout: Layout) -> Paid:
    """Words below the total before amounts that pay it, or that are what is left of them."""
    pays: Counter[str] = Counter()
    gives: Counter[str] = Counter()
    cash: Counter[str] = Counter()
    for paper, total in zip(papers, totals, strict=True):
        owed = _last_amount(paper[total], layout) if total is not None else None
        if total is None or owed is None:
            continue
        below = paper[total + 1 :]
        known, unknown = _payments(below, layout)
        explained = list(_explained(unknown, owed - known))
        pays.update(words for words, role in explained if role == "pays")
        gives.update(words for words, role in explained if role == "gives")
        if any(role == "gives" for _, role in explained) or any(_is_change(line, layout) for line in below):
            # Change is given on cash, which stands above it.
            cash.update([words for words, role in explained if role == "pays"][-1:])
    changed = tuple(words for words, _ in cash.most_common(1))
    other = tuple(words for words, _ in pays.most_common() if words not in changed)
    return Paid(cash=changed, other=other, change=tuple(gives))


def _is_change(line: str, layout: Layout) -> bool:
    return layout.sum_of("change", layout.text(line)) is not None


def _payments(lines: Sequence[str], layout: Layout) -> tuple[int, list[tuple[str, int]]]:
    """What known words pay, and amounts behind words that are not known."""
    known = 0
    unknown: list[tuple[str, int]] = []
    for line in lines:
        text = layout.text(line)
        match = layout.tender.fullmatch(text.plain)
        if match is None or layout.tax.match(text.plain) or _is_tax(line, layout):
            continue
        words, amount = line[match.start(1) : match.end(1)].strip(" .:*"), amount_minor(match[2], "EUR")
        if layout.sum_of("change", text) is not None:
            known -= amount
        elif layout.tender_kind(words) is not None:
            known += amount
        elif layout.sum_of("rounding", text) is None and len(words) > 1:
            unknown.append((words, amount))
    return known, unknown


_Roles = Literal["pays", "gives"]
# How one, two or three amounts that follow one another may make what is owed: the words' roles, by their signs.
_SUMS: Final[tuple[tuple[_Roles, ...], ...]] = (
    ("pays",), ("pays", "gives"), ("pays", "pays"), ("pays", "pays", "gives"), ("gives",),
)  # fmt: skip


def _explained(unknown: Sequence[tuple[str, int]], owed: int) -> Iterator[tuple[str, _Roles]]:
    """What unknown words do, where their amounts make what is owed. A known payment of more leaves its change."""
    if not owed:
        return
    for roles in _SUMS:
        for chosen in combinations(unknown[:_MOST_PAYMENTS], len(roles)):
            signed = [amount if role == "pays" else -amount for role, (_, amount) in zip(roles, chosen, strict=True)]
            if sum(signed) == owed:
                yield from ((words, role) for role, (words, _) in zip(roles, chosen, strict=True))
                return


def _is_tax(line: str, layout: Layout) -> bool:
    return any(shape.lines[0].match(line, plain(line)) is not None for shape in layout.tax_lines)


def _last_amount(line: str, layout: Layout) -> int | None:
    amounts = layout.amount.findall(plain(line))
    return amount_minor(amounts[-1], "EUR") if amounts else None
