"""A generator of tills: each prints receipts in a layout of its own, whose facts are known.

It knows nothing of templates or of what reads them. What varies, each by chance: the language of the words (five, and
an invented one), which of several words is used and how it is written; 32 to 48 columns; how an item is printed (20
ways, of one, two and three lines, with or without quantity, article number, tax label, unit, heading, columns); the
decimal mark, thousands, currency and where it stands; the form of dates and times; where number, store, register and
operator stand, on one line or on several; discounts of lines and of receipts, indented or not; lines that are taken
back; subtotals, rounding, payments in one or two parts, change; tables of taxes in eight ways; returns, copies; noise
above and below.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from fractions import Fraction

from msgspec import Struct
from msgspec.structs import replace

NAMES = (
    "Bread 500 g", "Milk 1 l", "Coffee ground 200 g", "Butter", "Apples", "Green Tea 20", "Chocolate 70", "Rice 1 kg",
    "Eggs 10", "Soap", "Paper towels 4", "Cheese young", "Ham sliced", "Olive oil 0,5 l", "Water 6x1,5 l", "Yogurt",
    "Potatoes", "Onions", "Tomatoes", "Batteries AA 4", "Light bulb E27", "Notebook A5", "Kruh bijeli", "Mleko 2,8",
    "Käse jung", "Brötchen", "Čokolada", "Šunka", "Žemlja", "Jabuke", "Sirup", "Pivo 0,5 l",
)  # fmt: skip
WEIGHED = ("Apples", "Potatoes", "Onions", "Tomatoes", "Cheese young", "Ham sliced", "Jabuke")
PEOPLE = ("Ana", "Marko", "Eva Novak", "M. Weber", "Ivana", "Tom")
SHOPS = ("DROGA MARKET", "Kvarner Trgovine", "Bakery Sunrise", "MEGA DISKONT", "Papirnica Jež", "Hofladen Weber")
NOISE = ("www.example.com", "Thank you!", "Hvala na poseti", "Vielen Dank", "Tel 01 234 56 78", "Open 8:00-20:00",
         "Glavna ulica 12", "10000 Zagreb", "Keep your receipt", "VAT No ATU12345678", "PIB 101234567")  # fmt: skip
WORDS: dict[str, dict[str, Sequence[str]]] = {
    "en": {
        "number": ("Receipt", "Receipt No", "Invoice", "Ticket", "Trans"),
        "store": ("Store", "Shop", "Branch"),
        "register": ("Register", "Till", "POS", "Terminal"),
        "operator": ("Cashier", "Operator", "Served by"),
        "total": ("TOTAL", "Total", "AMOUNT DUE", "TO PAY"),
        "subtotal": ("Subtotal", "SUB-TOTAL"),
        "discount": ("Discount", "Savings"),
        "cash": ("CASH", "Cash"),
        "card": ("CARD", "Visa", "MASTERCARD"),
        "change": ("CHANGE", "Change"),
        "tax": ("VAT", "Tax"),
        "rounding": ("Rounding",),
        "void": ("VOID", "Void"),
        "returned": ("RETURN", "REFUND"),
        "copy": ("COPY", "DUPLICATE"),
    },
    "de": {
        "number": ("Bon", "Bon-Nr.", "Beleg Nr", "Rechnung", "Belegnummer"),
        "store": ("Filiale", "Markt"),
        "register": ("Kasse", "Kassa", "Kassen-Nr"),
        "operator": ("Bediener", "Kassierer", "Es bediente Sie"),
        "total": ("SUMME", "Gesamtbetrag", "Zu zahlen", "GESAMT"),
        "subtotal": ("Zwischensumme",),
        "discount": ("Rabatt", "Nachlass"),
        "cash": ("BAR", "Bargeld"),
        "card": ("Karte", "EC", "girocard"),
        "change": ("Rückgeld", "Wechselgeld"),
        "tax": ("MwSt", "USt"),
        "rounding": ("Rundung",),
        "void": ("STORNO", "Sofortstorno"),
        "returned": ("RETOURE", "GUTSCHRIFT"),
        "copy": ("KOPIE", "DUPLIKAT"),
    },
    "sr": {
        "number": ("Račun", "Račun br.", "Broj računa"),
        "store": ("Prodavnica", "Objekat"),
        "register": ("Kasa", "Blagajna"),
        "operator": ("Kasir", "Prodavac"),
        "total": ("UKUPNO", "Za uplatu", "ZA PLAĆANJE"),
        "subtotal": ("Međuzbir",),
        "discount": ("Popust", "Sniženje"),
        "cash": ("Gotovina", "GOTOVINA"),
        "card": ("Platna kartica", "KARTICA"),
        "change": ("Kusur", "Povraćaj"),
        "tax": ("PDV",),
        "rounding": ("Zaokruženje",),
        "void": ("STORNO",),
        "returned": ("REFUNDACIJA", "POVRAT"),
        "copy": ("KOPIJA",),
    },
    "hr": {
        "number": ("Račun", "Račun br.", "Br. računa"),
        "store": ("Poslovnica", "Poslovni prostor"),
        "register": ("Blagajna", "Naplatni uređaj"),
        "operator": ("Operater", "Blagajnik", "Konobar"),
        "total": ("UKUPNO", "Sveukupno", "ZA PLATITI"),
        "subtotal": ("Međuzbroj",),
        "discount": ("Popust",),
        "cash": ("Gotovina", "Novčanice"),
        "card": ("Kartica", "Kreditna kartica"),
        "change": ("Za vratiti", "Povrat"),
        "tax": ("PDV",),
        "rounding": ("Zaokruženje",),
        "void": ("STORNO",),
        "returned": ("POVRAT",),
        "copy": ("KOPIJA",),
    },
    "sl": {
        "number": ("Račun", "Račun št.", "Št. računa"),
        "store": ("Poslovalnica", "Prodajalna"),
        "register": ("Blagajna",),
        "operator": ("Prodajalec", "Blagajnik", "Natakar"),
        "total": ("SKUPAJ", "ZA PLAČILO", "Skupaj"),
        "subtotal": ("Vmesna vsota",),
        "discount": ("Popust",),
        "cash": ("Gotovina",),
        "card": ("Kartica", "Plačilna kartica"),
        "change": ("Vračilo", "Vrnjeno"),
        "tax": ("DDV",),
        "rounding": ("Zaokrožitev", "Izravnava"),
        "void": ("STORNO",),
        "returned": ("DOBROPIS",),
        "copy": ("KOPIJA",),
    },
    # no language at all: only position and arithmetic can tell what these are
    "xx": {
        "number": ("Kvitt", "Lapp"),
        "store": ("Sted",),
        "register": ("Skrin",),
        "operator": ("Ved",),
        "total": ("ALTSAM", "BETALES"),
        "subtotal": ("Delsam",),
        "discount": ("Avslag",),
        "cash": ("Kontant", "Mynt"),
        "card": ("Kort",),
        "change": ("Vekslepeng",),
        "tax": ("MVA",),
        "rounding": ("Avrund",),
        "void": ("ANGRE",),
        "returned": ("RETUR",),
        "copy": ("KOPI",),
    },
}


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
        self.language = chance.choice(("en", "de", "sr", "hr", "sl", "en", "de", "sr", "hr", "sl", "xx"))
        self.word = {key: chance.choice(words) for key, words in WORDS[self.language].items()}
        if chance.random() < 0.3:
            self.word = {key: word.upper() for key, word in self.word.items()}
        self.width = chance.choice((32, 38, 40, 42, 48))
        self.mark = "." if self.language == "en" else chance.choice(",,,.")
        self.thousands = chance.choice(("", "." if self.mark == "," else ","))
        self.currency = {"en": "GBP", "sr": "RSD"}.get(self.language, "EUR")
        self.shop, self.store, self.register = (
            chance.choice(SHOPS),
            str(chance.randrange(1, 99)),
            str(chance.randrange(1, 9)),
        )
        self.item = chance.choice(ITEMS)
        self.has_labels, self.has_quantity = chance.random() < 0.5, self.item not in PLAIN
        self.label_form = chance.choice(("{}", "{}", "({})"))
        self.heading = chance.random() < 0.3
        self.times = chance.choice(("x", " x ", "*", " * ", "X", " X ", " × "))
        self.date_form = chance.choice(
            ("%d.%m.%Y", "%d.%m.%Y.", "%Y-%m-%d", "%d/%m/%Y", "%d.%m.%y", "%d-%m-%Y", "%d %b %Y")
        )
        if self.language == "en" and chance.random() < 0.2:
            self.date_form = "%m/%d/%Y"
        self.time_form = "%I:%M %p" if self.date_form == "%m/%d/%Y" else chance.choice(("%H:%M", "%H:%M:%S"))
        self.head = chance.choice(HEADS)
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
            number=str(self.number), at=self.now, operator=chance.choice(PEOPLE), items=tuple(items), discount=discount,
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
        if milli % 1000 == 0:
            return str(milli // 1000)
        return f"{milli // 1000}{self.mark}{milli % 1000:03}"

    def apart(self, left: str, right: str) -> str:
        return left.ljust(self.width - len(right) - 1) + " " + right

    def cut(self, name: str, *others: str) -> str:
        """A name as short as the rest of its line wants it."""
        return name[: max(6, self.width - sum(map(len, others)) - 2)].strip()

    def paper(self, sale: Sale) -> list[str]:
        """The printed lines of a receipt."""
        sign = -1 if sale.returned and self.return_sign else 1
        lines = [self.shop.center(self.width).rstrip(), *self.noise_above]
        lines += self.head(self, sale)
        if sale.returned:
            lines.append(self.word["returned"])
        if sale.copied:
            lines.append(f"*** {self.word['copy']} ***")
        lines += [self.rule * self.width] if self.rule else [""]
        if self.heading:
            lines.append(self.apart("Artikl   Kol", "Iznos"))
        for item in sale.items:
            lines += self.item(self, item, sign)
            if item.discount:
                name = f"{self.discount_indent}{self.word['discount']} 10%"
                lines.append(self.apart(name, f"{self.discount_sign}{self.money(item.discount)}"))
        lines += [
            self.apart(f"{self.word['void']} {item.name}", self.money(-item.amount * sign))
            for item in sale.items if item.voided
        ]  # fmt: skip
        lines += [self.rule * self.width] if self.rule else [""]
        lines += self._sums(sale, sign)
        return [*lines, "", *self.noise_below]

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


# -- ways to print an item --

Print = Callable[[Till, Item, int], list[str]]


def _end(till: Till, item: Item, sign: int) -> str:
    label = f" {till.label_form.format(item.label)}" if item.label else ""
    return till.money(item.amount * sign) + label


def _count_price(till: Till, item: Item) -> str:
    return f"{till.count(item.milli)}{till.times}{till.money(item.price)}"


def plain(till: Till, item: Item, sign: int) -> list[str]:
    return [till.apart(till.cut(item.name, _end(till, item, sign)), _end(till, item, sign))]


def plain_code(till: Till, item: Item, sign: int) -> list[str]:
    end = _end(till, item, sign)
    return [till.apart(f"{item.code} {till.cut(item.name, item.code, end)}", end)]


def front(till: Till, item: Item, sign: int) -> list[str]:
    before, end = _count_price(till, item), _end(till, item, sign)
    return [till.apart(f"{before} {till.cut(item.name, before, end)}", end)]


def behind(till: Till, item: Item, sign: int) -> list[str]:
    after, end = _count_price(till, item), _end(till, item, sign)
    return [till.apart(f"{till.cut(item.name, after, end)} {after}", end)]


def below(till: Till, item: Item, sign: int) -> list[str]:
    return [item.name, till.apart(f"  {_count_price(till, item)}", _end(till, item, sign))]


def below_unit(till: Till, item: Item, sign: int) -> list[str]:
    unit = "kg" if item.milli % 1000 else "kom"
    return [
        item.name,
        till.apart(f"  {till.count(item.milli)} {unit} x {till.money(item.price)}", _end(till, item, sign)),
    ]


def below_many(till: Till, item: Item, sign: int) -> list[str]:
    """Quantity and price only where there are several."""
    return plain(till, item, sign) if item.milli == 1000 else below(till, item, sign)


def after_many(till: Till, item: Item, sign: int) -> list[str]:
    return plain(till, item, sign) + ([] if item.milli == 1000 else [f"   {_count_price(till, item)}"])


def above_many(till: Till, item: Item, sign: int) -> list[str]:
    return ([] if item.milli == 1000 else [f"{_count_price(till, item)}"]) + plain(till, item, sign)


def price_first(till: Till, item: Item, sign: int) -> list[str]:
    return [
        item.name,
        till.apart(f" {till.money(item.price)}{till.times}{till.count(item.milli)}", _end(till, item, sign)),
    ]


def equals(till: Till, item: Item, sign: int) -> list[str]:
    return [item.name, till.apart(f" {till.count(item.milli)} x {till.money(item.price)} =", _end(till, item, sign))]


def columns(till: Till, item: Item, sign: int) -> list[str]:
    name = item.name[: till.width - 26].ljust(till.width - 26)
    return [f"{name} {till.count(item.milli):>6}{till.money(item.price):>9}{till.money(item.amount * sign):>10}"]


def columns_first(till: Till, item: Item, sign: int) -> list[str]:
    name = item.name[: till.width - 26].ljust(till.width - 26)
    return [f"{till.count(item.milli):<6}{name}{till.money(item.price):>9} {till.money(item.amount * sign):>10}"]


def columns_price(till: Till, item: Item, sign: int) -> list[str]:
    name = item.name[: till.width - 26].ljust(till.width - 26)
    return [f"{name} {till.money(item.price):>9}{till.count(item.milli):>6}{till.money(item.amount * sign):>10}"]


def columns_below(till: Till, item: Item, sign: int) -> list[str]:
    return [item.name, f"{till.count(item.milli):>9} {till.money(item.price):>10} {_end(till, item, sign):>11}"]


def code_above(till: Till, item: Item, sign: int) -> list[str]:
    return [item.code, item.name, till.apart(f"  {_count_price(till, item)}", _end(till, item, sign))]


def code_below(till: Till, item: Item, sign: int) -> list[str]:
    return [item.name, f"  {item.code}", till.apart(f"  {_count_price(till, item)}", _end(till, item, sign))]


def code_front(till: Till, item: Item, sign: int) -> list[str]:
    return [f"{item.code} {item.name}", till.apart(f"  {_count_price(till, item)}", _end(till, item, sign))]


def at_price(till: Till, item: Item, sign: int) -> list[str]:
    return [item.name, till.apart(f"  {till.count(item.milli)} @ {till.money(item.price)}", _end(till, item, sign))]


def tight(till: Till, item: Item, sign: int) -> list[str]:
    after, end = f"{till.count(item.milli)}x{till.money(item.price)}", _end(till, item, sign)
    return [till.apart(f"{till.cut(item.name, after, end)} {after}", end)]


PLAIN: tuple[Print, ...] = (plain, plain_code)
ITEMS: tuple[Print, ...] = (
    plain, plain_code, front, behind, below, below, below_unit, below_many, after_many, above_many, price_first, equals,
    columns, columns_first, columns_price, columns_below, code_above, code_below, code_front, at_price, tight,
)  # fmt: skip

# -- ways to print the head --


def _when(till: Till, sale: Sale) -> str:
    return f"{sale.at.strftime(till.date_form)} {sale.at.strftime(till.time_form)}"


def head_lines(till: Till, sale: Sale) -> list[str]:
    word = till.word
    return [
        f"{word['store']}: {till.store}", f"{word['register']}: {till.register}", f"{word['number']}: {sale.number}",
        _when(till, sale), f"{word['operator']}: {sale.operator}",
    ]  # fmt: skip


def head_pairs(till: Till, sale: Sale) -> list[str]:
    word = till.word
    return [
        till.apart(f"{word['store']} {till.store}", f"{word['register']} {till.register}"),
        till.apart(f"{word['number']} {sale.number}", ""), _when(till, sale), f"{word['operator']} {sale.operator}",
    ]  # fmt: skip


def head_number_with_date(till: Till, sale: Sale) -> list[str]:
    word = till.word
    return [
        f"{word['number']} {sale.number}  {_when(till, sale)}"[: till.width + 20],
        f"{word['store']} {till.store}  {word['register']} {till.register}", f"{word['operator']}: {sale.operator}",
    ]  # fmt: skip


def head_labelled_date(till: Till, sale: Sale) -> list[str]:
    word = till.word
    return [
        f"Datum: {sale.at.strftime(till.date_form)}", f"{sale.at.strftime(till.time_form)}",
        f"{word['register']} {till.register}   {word['store']} {till.store}", f"{word['number']}: {sale.number}",
        f"{word['operator']}: {sale.operator}",
    ]  # fmt: skip


def head_unlabelled(till: Till, sale: Sale) -> list[str]:
    word = till.word
    return [
        f"{word['store']} {till.store} {word['register']} {till.register}", f"#{sale.number} {_when(till, sale)}",
        f"{word['operator']}: {sale.operator}",
    ]  # fmt: skip


HEADS = (head_lines, head_pairs, head_number_with_date, head_labelled_date, head_unlabelled)

# -- ways to print taxes --


def tax_none(till: Till, sale: Sale, sign: int) -> list[str]:
    return []


def tax_word(till: Till, sale: Sale, sign: int) -> list[str]:
    return [till.apart(f"{till.word['tax']} {rate}%", till.money(tax * sign)) for _, rate, _, tax in till.taxes(sale)]


def tax_label_word(till: Till, sale: Sale, sign: int) -> list[str]:
    return [
        till.apart(f"{label} {till.word['tax']} {rate}% {till.money((gross - tax) * sign)}", till.money(tax * sign))
        for label, rate, gross, tax in till.taxes(sale)
    ]


def _table(till: Till, sale: Sale, sign: int, order: str, *, percent: str = "%") -> list[str]:
    rows = [till.apart(f"{till.word['tax']}{percent}", "A  B  C")]
    for label, rate, gross, tax in till.taxes(sale):
        values = {"n": gross - tax, "t": tax, "g": gross}
        numbers = " ".join(f"{till.money(values[each] * sign):>8}" for each in order)
        rows.append(f"{label} {rate}{till.mark}00{percent} {numbers}")
    return rows


def tax_net_tax(till: Till, sale: Sale, sign: int) -> list[str]:
    return _table(till, sale, sign, "nt")


def tax_net_tax_gross(till: Till, sale: Sale, sign: int) -> list[str]:
    return _table(till, sale, sign, "ntg")


def tax_gross_net_tax(till: Till, sale: Sale, sign: int) -> list[str]:
    return _table(till, sale, sign, "gnt")


def tax_tax_net(till: Till, sale: Sale, sign: int) -> list[str]:
    return _table(till, sale, sign, "tn")


def tax_bare(till: Till, sale: Sale, sign: int) -> list[str]:
    return _table(till, sale, sign, "ntg", percent="")


TAXES = (
    tax_none, tax_word, tax_label_word, tax_net_tax, tax_net_tax_gross, tax_gross_net_tax, tax_tax_net, tax_bare,
)  # fmt: skip
