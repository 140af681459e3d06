"""A made-up shop whose days the benchmarks read: goods, prices, and what customers take of them, all from one seed.

Few goods are sold again and again and many now and then, as in any shop; every receipt has its own number, second and
sums. Two shops of different seeds share no goods.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from random import Random

from tests.drivers.receipts import journals, poslogs

GOODS = 2_000
# How much more often the first goods are taken than the last: the n-th is by 1 / (n + HEAD).
HEAD = 20
KINDS = ("Hleb", "Mleko", "Kafa", "Voda", "Jabuke", "Deterdžent", "Sok", "Čokolada", "Pivo", "Sir", "Šećer", "Jogurt")
SYLLABLES = ("ba", "če", "di", "ga", "jo", "ka", "lu", "ma", "ni", "po", "ra", "so", "ta", "vi", "že", "mle")
SIZES = ("0,5 l", "1 l", "200 g", "1kg", "3 kg", "500g", "6x0,33", "XL", "")
CASHIERS = ("Ana", "Savka", "Петар", "Милица Јовановић", "kasir 07")
# Labels of a tax with the part of a gross amount that it is.
RATES = (("Ђ", "О-ПДВ", "20,00", 20), ("Е", "П-ПДВ", "10,00", 10))
JOURNAL_LINES = 6
POSLOG_LINES = (2, 5, 9, 14)


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    name: str
    number: str
    price_minor: int
    weighed: bool
    reduced: bool


class Shop:
    """Writes its days. The same seed gives the same documents, each call the next of them."""

    def __init__(self, seed: int) -> None:
        self._dice = Random(seed)
        self._articles = [self._article(number) for number in range(GOODS)]
        self._weights = list(accumulate(1 / (number + HEAD) for number in range(GOODS)))
        self._at = datetime(2026, 11, 22, 8, 0, 0)  # noqa: DTZ001 - the clock on a shop's wall
        self._number = 1_000

    def journals(self, count: int) -> bytes:
        """Fiscal journals as they are downloaded, one after another, of one to six lines each."""
        return "".join(self._journal(1 + number % JOURNAL_LINES) for number in range(count)).encode()

    def poslog(self, count: int) -> bytes:
        """A POSLog 6.0 of small and large sales, every other line with a discount and a tax, one element a line."""
        return poslogs.poslog(*(self._sale(POSLOG_LINES[number % 4]) for number in range(count))).encode()

    def _article(self, number: int) -> Article:
        dice = self._dice
        brand = "".join(dice.choices(SYLLABLES, k=dice.randint(2, 4)))
        return Article(
            name=f"{dice.choice(KINDS)} {brand} {dice.choice(SIZES)}".strip(),
            number=f"{dice.randint(1, 99)}{number:04}",
            price_minor=dice.randint(19, 2_999) * 100 - dice.choice((1, 1, 10, 0)),
            weighed=dice.random() < 0.1,
            reduced=dice.random() < 0.4,
        )

    def _taken(self, count: int) -> list[tuple[Article, int]]:
        """So many articles with their quantities in thousandths."""
        dice = self._dice
        articles = dice.choices(self._articles, cum_weights=self._weights, k=count)
        pieces = dice.choices((1, 1, 1, 1, 1, 1, 2, 2, 3, 6), k=count)
        return [
            (article, dice.randint(80, 2_500) if article.weighed else 1_000 * piece)
            for article, piece in zip(articles, pieces, strict=True)
        ]

    def _next(self) -> int:
        self._number += 1
        self._at += timedelta(seconds=self._dice.randint(15, 240))
        return self._number

    def _journal(self, lines: int) -> str:
        number, dice = self._next(), self._dice
        items = [
            journals.Item(
                text=f"{article.name}/{'KG' if article.weighed else 'KOM'} ({'Е' if article.reduced else 'Ђ'})",
                price_minor=article.price_minor,
                quantity=f"{thousandths / 1000:.3f}".rstrip("0").rstrip(".").replace(".", ","),
                amount_minor=_product(thousandths, article.price_minor),
            )
            for article, thousandths in self._taken(lines)
        ]
        total = sum(item.amount_minor for item in items)
        gross = {label: sum(item.amount_minor for item in items if f"({label})" in item.text) for label, *_ in RATES}
        return journals.printed(
            journals.Journal(
                items=tuple(items),
                operator=dice.choice(CASHIERS),
                payments=((dice.choice(("Готовина", "Готовина", "Платна картица")), total),),
                taxes=tuple(
                    (label, name, rate, round(gross[label] * percent / (100 + percent)))
                    for label, name, rate, percent in RATES
                    if gross[label]
                ),
                time=f"{self._at.day}.{self._at.month}.{self._at.year}. {self._at:%H:%M:%S}",
                number=f"746DUV64-746DUV64-{number}",
                counter=f"{number - 11}/{number}",
                tail="",
            )
        )

    def _sale(self, lines: int) -> str:
        number = self._next()
        items, total = [], 0
        for at, (article, thousandths) in enumerate(self._taken(lines)):
            gross = _product(thousandths, article.price_minor)
            off = gross // 10 if at % 2 else 0
            tax = f"{round((gross - off) / 6) / 100:.2f}"
            more = poslogs.modifier(f"{off / 100:.2f}") + poslogs.tax(tax, included=True) if at % 2 else ""
            total += gross - off
            line = poslogs.sale(
                f"{(gross - off) / 100:.2f}", quantity=f"{thousandths / 1000:g}", name=article.name, more=more,
                price=f"{article.price_minor / 100:.2f}", item=article.number,
            )  # fmt: skip
            items.append(line.replace(">", f"><SequenceNumber>{at + 1}</SequenceNumber>", 1))
        paid = (poslogs.tender(f"{total / 100:.2f}"), poslogs.line(poslogs.tax(f"{total / 600:.2f}", included=True)))
        sold = poslogs.transaction(
            *items, *paid, total=f"{total / 100:.2f}", number=number, end=f"{self._at.isoformat()}+01:00"
        )
        return sold.replace("><", ">\n      <")


def _product(thousandths: int, price_minor: int) -> int:
    """Quantity × price in minor units, halves up."""
    return (thousandths * price_minor + 500) // 1000
