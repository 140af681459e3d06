"""A generator of tills: each prints receipts in a layout of its own, whose facts are known.

It knows nothing of templates or of what reads them. What varies, each by chance: the language of the words (the five
that are shipped, six that are not, and invented ones), which of several words is used and how it is written; 32 to 48
columns; amounts behind their words or before them; how an item is printed (29 ways, of one to three lines, with or
without quantity, article number, place, label of a tax in three forms, unit, currency, heading, columns); dots between
name and amount; quantities always with decimals; the decimal mark, four ways to part thousands, currency and where it
stands; eight forms of dates and six of times; where number (five forms), store, register and operator (a name or a
number) stand, on one line or on several (eleven ways, above the goods or below the payments), and whether they do;
discounts of lines and of receipts, indented or not, with a sign or without; lines that are taken back; subtotals,
rounding, payments in one or two parts, change; tables of taxes in eight ways; returns, copies; noise above and below.
Beside receipts a till prints card slips, kitchen tickets and reports.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from fractions import Fraction

from msgspec import Struct
from msgspec.structs import replace

from tests.drivers.receipts.layout_prints import FIRST, FURTHER_HEADS, HEADS, ITEMS, PLAIN, TAXES
from tests.drivers.receipts.layout_words import FOREIGN, KNOWN, NAMES, NOISE, PEOPLE, SHOPS, WEIGHED, WORDS, invented


class Item(Struct, frozen=True, kw_only=True):
    """What was bought. `milli` is the quantity in thousandths, `amount` what was paid before a printed discount."""

    name: str
    milli: int
    price: int
    amount: int
    discount: int = 0
    voided: bool = False
    label: str = ""
    code: str = ""
    position: int = 0


class Sale(Struct, frozen=True, kw_only=True):
    """The facts of one receipt, in minor units; positive on a return too."""

    number: str
    at: datetime
    operator: str
    items: tuple[Item, ...]
    discount: int = 0
    rounding: int = 0
    tenders: tuple[tuple[str, int], ...] = ()
    returned: bool = False
    copied: bool = False

    @property
    def total(self) -> int:
        """What was to be paid."""
        return (
            sum(item.amount - item.discount for item in self.items if not item.voided) - self.discount + self.rounding
        )

    @property
    def change(self) -> int:
        """What was given back."""
        return sum(amount for _, amount in self.tenders) - self.total


class Till:
    """One layout. Everything about it is drawn from the seed."""

    def __init__(self, seed: str) -> None:
        chance = self.chance = random.Random(seed)
        self.language = chance.choice((*KNOWN, *KNOWN, *KNOWN, *FOREIGN, "xx", "xx"))
        self.word = (
            {key: chance.choice(words) for key, words in WORDS[self.language].items()}
            if self.language != "xx"
            else invented(chance)
        )
        if chance.random() < 0.3:
            self.word = {key: word.upper() for key, word in self.word.items()}
        self.width = chance.choice((32, 38, 40, 42, 48))
        self.mark = "." if self.language == "en" else chance.choice(",,,.")
        self.thousands = chance.choice(("", "", "." if self.mark == "," else ",", " ", "'"))
        self.currency = {"en": "GBP", "sr": "RSD"}.get(self.language, "EUR")
        self.shop, self.store, self.register = (
            chance.choice(SHOPS),
            str(chance.randrange(1, 99)),
            str(chance.randrange(1, 9)),
        )
        self.amounts_first = chance.random() < 0.12
        self.item = chance.choice(FIRST if self.amounts_first else ITEMS)
        self.has_labels, self.has_quantity = chance.random() < 0.5, self.item not in PLAIN
        self.label_form = chance.choice(("{}", "{}", "({})", "*{}"))
        self.leader = chance.choice((" ", " ", " ", " ", "."))
        self.always_weighs = chance.random() < 0.2
        self.heading = chance.random() < 0.3
        self.times = chance.choice(("x", " x ", "*", " * ", "X", " X ", " × "))
        self.date_form = chance.choice(
            ("%d.%m.%Y", "%d.%m.%Y.", "%Y-%m-%d", "%d/%m/%Y", "%d.%m.%y", "%d-%m-%Y", "%d %b %Y")
        )
        if self.language == "en" and chance.random() < 0.2:
            self.date_form = "%m/%d/%Y"
        clocks = (
            "%H:%M",
            "%H:%M",
            "%H:%M:%S",
            "%H:%M:%S",
            "%-H:%M",
            "%H:%M Uhr" if self.language == "de" else "%H:%Mh",
        )
        self.time_form = "%I:%M %p" if self.date_form == "%m/%d/%Y" else chance.choice(clocks)
        self.head = chance.choice(HEADS)
        self.names_store, self.names_operator = chance.random() < 0.85, chance.random() < 0.85
        self.head_below = chance.random() < 0.15
        self.number_form = chance.choice(("{0}", "{0}", "{0}", "{0:08}", "A-{0}", "{0}/{1}/{2}", "2026-{0:06}"))
        self.people = chance.choice((PEOPLE, PEOPLE, ("04", "7", "112", "15")))
        self.rule = chance.choice(("-", "=", "", "*"))
        self.total_form, self.colon = chance.randrange(4), chance.choice(("", ":", ""))
        self.discount_indent, self.discount_sign = chance.choice(("  ", "", "    ")), chance.choice(("-", "-", ""))
        self.discounts = chance.choice(("none", "line", "line", "receipt"))
        self.shows_subtotal, self.rounds = chance.random() < 0.4, chance.random() < 0.15
        self.tax_form, self.tax_above = chance.choice(TAXES), False
        self.tenders_first = chance.random() < 0.5
        self.voids = chance.random() < 0.3
        self.return_sign = chance.choice(("", "-"))
        self.noise_above = chance.sample(NOISE, chance.randrange(3))
        self.noise_below = chance.sample(NOISE, chance.randrange(3))
        self.number = chance.randrange(1, 90_000)
        self.now = datetime(2026, 3, 1) + timedelta(minutes=chance.randrange(200 * 1440))  # noqa: DTZ001 - as printed
        # Drawn apart, so that a seed is the till that it was in everything else.
        apart = random.Random(f"{seed} head")
        if apart.random() < 0.3:
            self.head = apart.choice(FURTHER_HEADS)
        self.rates = chance.choice(({"A": 20, "B": 10}, {"A": 25, "B": 13}, {"1": 19, "2": 7}, {"E": 22}))

    # -- what was sold --

    def sale(self) -> Sale:
        """The next receipt's facts."""
        chance = self.chance
        self.number += chance.randrange(1, 4)
        self.now += timedelta(minutes=chance.randrange(1, 2000))
        count = chance.choice((1, 2, 2, 3, 3, 4, 5, 6, 8, 12))
        items = [self._bought() for _ in range(count)]
        if self.discounts == "line":
            items = [self._reduced(item) if chance.random() < 0.3 else item for item in items]
        if self.voids and len(items) > 2 and chance.random() < 0.4:
            at = chance.randrange(len(items))
            first = items[at]
            items[at] = replace(first, voided=True, discount=0)
        kept = [item for item in items if not item.voided]
        subtotal = sum(item.amount - item.discount for item in kept)
        discount = subtotal // 10 if self.discounts == "receipt" and chance.random() < 0.5 else 0
        rounding = (-(subtotal - discount) % 5 or 0) if self.rounds else 0
        total = subtotal - discount + rounding
        returned = chance.random() < 0.08
        return Sale(
            number=self.number_form.format(self.number, self.store, self.register), at=self.now,
            operator=chance.choice(self.people), items=tuple(items), discount=discount,
            rounding=rounding, tenders=self._paid(total, returned), returned=returned,
            copied=not returned and chance.random() < 0.04,
        )  # fmt: skip

    def _bought(self) -> Item:
        chance = self.chance
        name = chance.choice(NAMES)
        milli = chance.choice((1000, 1000, 1000, 2000, 3000, 6000))
        if not self.has_quantity:
            milli = 1000
        elif name in WEIGHED and chance.random() < 0.6:
            milli = chance.randrange(50, 3000)
        scale = 100 if self.currency == "RSD" else 1
        price = chance.randrange(20, 2500) * scale
        amount = int(Fraction(milli * price, 1000) + Fraction(1, 2))
        label = chance.choice(sorted(self.rates)) if self.has_labels else ""
        code = str(chance.randrange(10**5, 10**6))
        return Item(name=name, milli=milli, price=price, amount=max(amount, 1), label=label, code=code)

    def _reduced(self, item: Item) -> Item:
        return replace(item, discount=max(1, item.amount // 10)) if item.amount > 20 else item

    def _paid(self, total: int, returned: bool) -> tuple[tuple[str, int], ...]:
        chance = self.chance
        match chance.randrange(5):
            case 0 | 1 if not returned:
                return (("cash", -(-total // 1000) * 1000),)
            case 2 if total > 1000 and not returned:
                return (("card", 500), ("cash", -(-(total - 500) // 500) * 500))
            case 3:
                return (("cash", total),)
        return (("card", total),)

    # -- how it is printed --

    def money(self, minor: int) -> str:
        whole, cents = divmod(abs(minor), 100)
        grouped = f"{whole:,}".replace(",", self.thousands) if self.thousands else str(whole)
        return f"{'-' if minor < 0 else ''}{grouped}{self.mark}{cents:02}"

    def count(self, milli: int) -> str:
        if milli % 1000 == 0 and not self.always_weighs:
            return str(milli // 1000)
        return f"{milli // 1000}{self.mark}{milli % 1000:03}"

    def apart(self, left: str, right: str) -> str:
        if self.amounts_first:
            return f"{right:>10}  {left}"
        return left.ljust(self.width - len(right) - 1, self.leader) + " " + right

    def cut(self, name: str, *others: str) -> str:
        """A name as short as the rest of its line wants it."""
        return name[: max(6, self.width - sum(map(len, others)) - 2)].strip()

    def paper(self, sale: Sale) -> list[str]:
        """The printed lines of a receipt."""
        sign = -1 if sale.returned and self.return_sign else 1
        lines = [self.shop.center(self.width).rstrip(), *self.noise_above]
        head = [line.strip() for line in self.head(self, sale) if line.strip()]
        lines += [] if self.head_below else head
        if sale.returned:
            lines.append(self.word["returned"])
        if sale.copied:
            lines.append(f"*** {self.word['copy']} ***")
        lines += [self.rule * self.width] if self.rule else [""]
        if self.heading:
            lines.append("Artikl   Kol".ljust(self.width - 6) + " Iznos")
        for position, item in enumerate(sale.items, 1):
            lines += self.item(self, replace(item, position=position), sign)
            if item.discount:
                name = f"{self.discount_indent}{self.word['discount']} 10%"
                lines.append(self.apart(name, f"{self.discount_sign}{self.money(item.discount)}"))
        lines += [
            self.apart(f"{self.word['void']} {item.name}", self.money(-item.amount * sign))
            for item in sale.items if item.voided
        ]  # fmt: skip
        lines += [self.rule * self.width] if self.rule else [""]
        lines += self._sums(sale, sign)
        lines += ["", *head] if self.head_below else []
        return [*lines, "", *self.noise_below]

    # -- what else comes out of its printer --

    def other_paper(self) -> list[str]:
        """Paper that is no receipt: of a card terminal, of the kitchen, or of the end of the day."""
        chance, word = self.chance, self.word
        when = f"{self.now.strftime(self.date_form)} {self.now.strftime(self.time_form)}"
        first, second = (self.money(chance.randrange(10_000, 900_000)) for _ in range(2))
        shop = self.shop.center(self.width).rstrip()
        match chance.randrange(4):
            case 0:
                return ["TID 12345678", when, "VISA  ************1234", self.apart("EUR", first), "OK 00"]
            case 1:
                goods = [f"{chance.randrange(1, 4)} x {chance.choice(NAMES)}" for _ in range(3)]
                return [when, f"{word['operator']} {chance.choice(self.people)}", "", *goods]
            case 2:
                paid = [self.apart(word["cash"], first), self.apart(word["card"], second)]
                return [shop, "Z 0117", when, *paid, self.apart(word["total"], second), "*"]
        taxes = [self.apart(f"{word['tax']} 20%", first), self.apart(f"{word['tax']} 10%", second)]
        return [shop, "--- Z ---", when, *taxes, self.apart(word["void"], "0"), self.apart(word["returned"], "3")]

    def _sums(self, sale: Sale, sign: int) -> list[str]:
        lines = []
        subtotal = sale.total + sale.discount - sale.rounding
        if self.shows_subtotal or sale.discount or sale.rounding:
            lines.append(self.apart(self.word["subtotal"] + self.colon, self.money(subtotal * sign)))
        if sale.discount:
            lines.append(self.apart(self.word["discount"] + " 10%", self.money(-sale.discount * sign)))
        if sale.rounding:
            lines.append(self.apart(self.word["rounding"], self.money(sale.rounding * sign)))
        total, word = self.money(sale.total * sign), self.word["total"] + self.colon
        lines.append(
            (
                self.apart(word, total), self.apart(f"{word} {self.currency}", total),
                self.apart(word, f"{total} {self.currency}"), self.apart(f"{word} ({len(sale.items)})", total),
            )[self.total_form]
        )  # fmt: skip
        taxes, paid = self.tax_form(self, sale, sign), []
        for kind, amount in sale.tenders:
            paid.append(self.apart(self.word[kind] + self.colon, self.money(amount * sign)))
        if sale.change:
            paid.append(self.apart(self.word["change"] + self.colon, self.money(sale.change)))
        return [*lines, *(paid + taxes if self.tenders_first else taxes + paid)]

    def taxes(self, sale: Sale) -> list[tuple[str, int, int, int]]:
        """Label, rate, gross and tax of each rate."""
        gross: dict[str, int] = {}
        first = min(self.rates)
        for item in sale.items:
            if not item.voided:
                label = item.label or first
                gross[label] = gross.get(label, 0) + item.amount - item.discount
        gross[first] = gross.get(first, 0) + sale.rounding - sale.discount
        found = []
        for label in sorted(gross):
            rate = self.rates[label]
            tax = int(Fraction(gross[label] * rate, 100 + rate) + Fraction(1, 2))
            if gross[label] > 0 and tax:
                found.append((label, rate, gross[label], tax))
        return found
