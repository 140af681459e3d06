"""Draws Serbian journals at random, as portal and tills print them, beside the facts that each of them states.

Test code. It shares nothing with the reader, nor with `journals`: what it knows of the format it has from the public
guides and from real journals.
"""

from __future__ import annotations

import base64
import html
import random
import textwrap
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

BELGRADE = ZoneInfo("Europe/Belgrade")
Facts = dict[str, Any]

_CYRILLIC = "АБВГДЂЕЖЗИЈКЛЉМНЊОПРСТЋУФХЦЧЏШ"
_LATIN = (*"ABVGDĐEŽZIJKL", "Lj", *"MN", "Nj", *"OPRSTĆUFHCČ", "Dž", "Š")
_TO_LATIN = str.maketrans(
    dict(zip(_CYRILLIC, _LATIN, strict=True))
    | {cyrillic.lower(): latin.lower() for cyrillic, latin in zip(_CYRILLIC, _LATIN, strict=True)}
)
# What each language calls the parts; Latin is the Cyrillic in other letters.
_ENGLISH = {
    "ФИСКАЛНИ РАЧУН": "FISCAL INVOICE", "ОВО НИЈЕ ФИСКАЛНИ РАЧУН": "THIS IS NOT A FISCAL INVOICE",
    "КРАЈ ФИСКАЛНОГ РАЧУНА": "END OF FISCAL INVOICE",
    "Касир": "Cashier", "ИД купца": "Buyer TIN", "Опционо поље купца": "Buyer's Cost Center", "ЕСИР број": "POS number",
    "ЕСИР време": "POS Time", "Реф. број": "Ref. No.", "Реф. време": "Ref. DT", "Артикли": "Items",
    "Назив   Цена         Кол.         Укупно": "Name    Price         Qty.         Total",
    "Укупан износ": "Total Purchase", "Укупна рефундација": "Total Refund", "Повраћај": "Change",
    "Готовина": "Cash", "Платна картица": "Card", "Инстант плаћање": "Mobile Money", "Ваучер": "Voucher",
    "Пренос на рачун": "Wire Transfer", "Чек": "Check", "Друго безготовинско плаћање": "Other",
    "Ознака       Име      Стопа        Порез": "Label       Name      Rate           Tax",
    "Укупан износ пореза": "Total Tax", "ПФР време": "SDC Time", "ПФР број рачуна": "SDC Invoice No",
    "Бројач рачуна": "Invoice Counter",
    "ПРОМЕТ": "NORMAL", "АВАНС": "ADVANCE", "КОПИЈА": "COPY", "ОБУКА": "TRAINING", "ПРЕДРАЧУН": "PROFORMA",
    "ПРОДАЈА": "SALE", "РЕФУНДАЦИЈА": "REFUND",
}  # fmt: skip
_TYPES = (
    ("final", "ПРОМЕТ", "П", "N"), ("proforma", "ПРЕДРАЧУН", "Р", "P"), ("copy", "КОПИЈА", "К", "C"),
    ("training", "ОБУКА", "О", "T"), ("advance", "АВАНС", "А", "A"),
)  # fmt: skip
_TENDERS = (
    ("Готовина", "cash"), ("Платна картица", "card"), ("Инстант плаћање", "instant"), ("Ваучер", "voucher"),
    ("Пренос на рачун", "transfer"), ("Чек", "cheque"), ("Друго безготовинско плаћање", "other"),
)  # fmt: skip
_RATES = (
    ("Ђ", "О-ПДВ", "20,00"), ("Е", "П-ПДВ", "10,00"), ("Г", "Без ПДВ", "0,00"), ("А", "Није у ПДВ", "0,00"),
    ("Б", "ПБЛ", "0,50"), ("Ж", "VAT", "19,00"),
)  # fmt: skip
_WORDS = (
    "HLEB", "Mleko 2,8%", "ČOKOLADA", "šunka", "Кафа", "ЂУМБИР", "1/1", "0.33l", "500G", "(XL)", "S/M", "95,2710124500",
    '"D"-BRAON', "M&M'S", "R&B <3>", "- 8683120043861", "Š18xD70", "recikl.", "12,50", "SAT", "100%", "No:5", "ULJE;",
    "Љубичица", "Džem", "X 6", "C.V.", "1.299,00", "+", "B&LT", "№1", "2.025", "sa", "бб", "'93",
)  # fmt: skip
_UNITS = ("KG", "KOM", "kom", "ком", "КОМ", "KO", "LIT", "lit", "FL", "pak", "Кг", "gr", "kom.", "usl", "М2")
_NAMES = (
    "MERCATOR-S", "JYSK", "2000-TRADE DOO", "DOO MACCHIATO KUĆA NOVI SAD", "Promet Prodaja d.o.o.", "Касир 24",
    'STR "KOD ŽIKE" Žika Žikić PR', "METRO CASH & CARRY DOO BEOGRAD", "1 IKS DVA", "Ukupan iznos plus",
    "PREDUZEĆE ZA PROIZVODNJU, PROMET I USLUGE EXPORT-IMPORT DUGAČKO IME DOO",
)  # fmt: skip
_LOCATIONS = (
    "Roda Megamarket 345", "Trgovina na malo Y104", "Складишно-дистрибутивни центар Ниш", "RS04 Niš Stop Shop",
    "Prodavnica  NIŠ MEDIJANA - OJ NI2", "БС Ђачко Острво", "MP 12/3 - Касир", "K",
    "Ресторан са веома дугачким именом број 7",
)  # fmt: skip
_ADDRESSES = (
    "ВИЗАНТИЈСКИ БУЛЕВАР 1", "Мајаковског ББ", "ИX БРИГАДЕ 27 Л1", "ЖЕЛЕЗНИЧКА 10  0", "КЊАЖЕВАЧКА ББПИЈАЦА БАШТА СУТ.",
    "11. ОКТОБРА 5", "Бул. Михајла Пупина 10а/ВП-3", "Tržni centar: sprat 4", "ПУТ ЗА АЕРОДРОМ КОНСТАНТИН ВЕЛИКИ 102А",
)  # fmt: skip
_CITIES = ("Ниш-Медијана", "Нови Сад", "Београд-Стари Град", "Београд (Звездара)", "Čačak", "Сремска Митровица")
_OPERATORS = ("1011902", "Operater 1", "Anja Stojanović", "k8", "daliborka.obradovic", "Вељко:2", "604")


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """A document, and what it states. `text` is it before its letters became bytes."""

    document: bytes
    text: str
    facts: Facts


def drawn(seed: str) -> Paper:
    """The same journal for the same seed."""
    return _Drawing(random.Random(seed)).paper()


class _Drawing:
    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.width = chance.choice((40, 40, 40, 38, 42, 48))
        self.language = chance.choice(("cyrillic", "cyrillic", "cyrillic", "latin", "english"))
        self.points = self.language == "english" and chance.random() < 0.5
        self.status, self.type_word, self.letter, self.english_letter = chance.choice(_TYPES[:1] * 3 + _TYPES)
        self.refund = chance.random() < 0.3
        self.sign = -1 if self.refund else 1
        # A till's own print has its pairs of label and value closer.
        self.is_aligned = chance.random() < 0.85
        # Some tills print a refund's lines without a minus.
        self.lines_positive = self.likely(0.2)
        self.rates = chance.sample(_RATES, chance.randint(1, 4))
        self.facts: Facts = {}

    def words(self, text: str) -> str:
        if self.language == "english":
            return _ENGLISH.get(text, text)
        return text.translate(_TO_LATIN) if self.language == "latin" else text

    def money(self, minor: int) -> str:
        thousands, mark = ("", ".") if self.points else (".", ",")
        sign, minor = ("-" if minor < 0 else ""), abs(minor)
        return sign + f"{minor // 100:,}".replace(",", thousands) + f"{mark}{minor % 100:02d}"

    def likely(self, share: float) -> bool:
        return self.chance.random() < share

    def wrapped(self, text: str) -> list[str]:
        return [text[at : at + self.width] for at in range(0, len(text), self.width)] or [""]

    def pair(self, label: str, value: str) -> list[str]:
        text = f"{self.words(label)}:"
        gap = self.width - len(text) - len(value) if self.is_aligned else 1
        return self.wrapped(text + " " * max(gap, 1 if self.is_aligned and gap == 0 else gap) + value)

    def rule(self, words: str, mark: str) -> str:
        return words.center(self.width, mark)

    def paper(self) -> Paper:
        lines = [*self.head(), *self.items(), *self.payments(), *self.taxes(), *self.fiscal()]
        text, document = self.dressed(lines)
        return Paper(document=document, text=text, facts=self.facts)

    # the head

    def head(self) -> list[str]:
        fiscal = self.status in ("final", "advance")
        title = self.words("ФИСКАЛНИ РАЧУН" if fiscal else "ОВО НИЈЕ ФИСКАЛНИ РАЧУН")
        self.title = title
        lines = [self.rule(f" {title} ", "="), *self.issuer()]
        if self.likely(0.9):
            operator = self.chance.choice(_OPERATORS)
            self.facts["operator"] = operator
            lines += self.pair("Касир", operator)
        self.facts["buyer_kind"] = None
        if self.likely(0.25):
            kind = self.chance.choice(("10", "11", "12", "20", "21", "40"))
            self.facts["buyer_kind"] = kind
            self.facts["secret"] = str(self.chance.randrange(10**8, 10**9))
            lines += self.pair("ИД купца", f"{kind}:{self.facts['secret']}")
            if self.likely(0.4):
                lines += self.pair("Опционо поље купца", f"20:{self.chance.randrange(10**5)}")
        if self.likely(0.9):
            lines += self.pair(
                "ЕСИР број", self.chance.choice(("431/2.0.0.2", "13/2.0", "1090/2.0", "771/12.06.17.21"))
            )
        if self.likely(0.1):
            lines += self.pair("ЕСИР време", "01.02.2023. 10:00:00")
        self.facts["original"] = None
        if self.refund or self.status == "copy" or self.likely(0.1):
            number, at = self.number(), self.moment()
            lines += self.pair("Реф. број", number)
            self.facts["original"] = (number, None)
            if self.likely(0.8):
                lines += self.pair("Реф. време", self.clock(at))
                self.facts["original"] = (number, at)
        words = f"{self.words(self.type_word)} {self.words('РЕФУНДАЦИЈА' if self.refund else 'ПРОДАЈА')}"
        self.facts |= {"status": self.status, "kind": "return" if self.refund else "sale"}
        return [*lines, self.rule(words, "-")]

    def issuer(self) -> list[str]:
        chance = self.chance
        tin = str(chance.randrange(10**8, 10**9))
        name, location = chance.choice(_NAMES), f"{chance.randrange(1_000_000, 1_300_000)}-{chance.choice(_LOCATIONS)}"
        address, city = chance.choice(_ADDRESSES), chance.choice(_CITIES)
        number, _, place = location.partition("-")
        self.facts["issuer"] = {
            "tin": tin, "name": name, "location_id": number, "location_name": " ".join(place.split()),
            "address": " ".join(address.split()), "city": city,
        }  # fmt: skip
        texts = [tin, name, location, address, city]
        is_centred = self.likely(0.4)
        parted = [chance.choice((self.wrapped, self.in_words))(text) for text in texts]
        if self.likely(0.3) or any(self.is_ambiguous(lines, is_centred=is_centred) for lines in parted):
            parted = [[text] for text in texts]
        return [line.center(self.width) if is_centred else line for lines in parted for line in lines]

    def in_words(self, text: str) -> list[str]:
        return textwrap.wrap(text, self.width, break_on_hyphens=False)

    def is_ambiguous(self, lines: list[str], *, is_centred: bool) -> bool:
        """Whether nobody can tell from the paper if a blank stood where a line was cut."""
        cuts = list(pairwise(lines))
        if is_centred and any(before.endswith(" ") or after.startswith(" ") for before, after in cuts):
            return True
        in_words = lines == self.in_words(" ".join(lines)) and len(lines) > 1
        return len(lines[-1]) == self.width or (in_words and any(len(before) == self.width for before, _ in cuts))

    def number(self) -> str:
        letters = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789"
        requested, signed = ("".join(self.chance.choices(letters, k=8)) for _ in range(2))
        signed = self.chance.choice((requested, signed))
        return f"{requested}-{signed}-{self.chance.randrange(1, 10 ** self.chance.randint(1, 8))}"

    def moment(self) -> datetime:
        # Hours that come twice are another test's.
        at = datetime(2022, 1, 1, 4, tzinfo=BELGRADE) + timedelta(seconds=self.chance.randrange(4 * 365 * 86_400))
        return at.replace(tzinfo=BELGRADE, hour=self.chance.randrange(4, 24))

    def clock(self, at: datetime) -> str:
        return f"{at:%d.%m.%Y.} {at.hour}:{at:%M:%S}" if self.likely(0.3) else f"{at:%d.%m.%Y. %H:%M:%S}"

    # what was sold

    def items(self) -> list[str]:
        lines = [self.words("Артикли"), "=" * self.width] if self.likely(0.9) else []
        lines += self.wrapped(self.words("Назив   Цена         Кол.         Укупно"))
        self.facts["lines"] = []
        for _ in range(self.chance.choice((1, 1, 2, 3, 5, 9))):
            lines += self.item()
        self.total = sum(line["amount_minor"] for line in self.facts["lines"])
        self.facts["total_minor"] = self.total
        return [*lines, "-" * self.width]

    def item(self) -> list[str]:
        chance = self.chance
        name = " ".join(chance.choices(_WORDS, k=chance.choice((1, 2, 3, 4, 9, 14))))
        # What a name ends in tells it from its unit; a bare number or size may be either.
        name += chance.choice(("", " A.", " Ljuti", ' "eko"')) if name.split()[-1].isalpha() else " Ž"
        name = name.removesuffix("SAT").strip() or "Sat"
        unit, text = self.with_unit(name)
        labels = chance.sample([rate[0] for rate in self.rates], min(len(self.rates), chance.choice((1, 1, 1, 1, 2))))
        between = chance.choice((", ", ","))
        shown = [self.words(label) for label in labels]
        text += f" ({between.join(shown)})"
        price = chance.choice((0, 1, 99, 8999, 12_345, 100_000, 1_234_567_89, chance.randrange(1, 999_999)))
        thousandths = chance.choice((1000, 2000, chance.randrange(1, 99) * 1000, chance.randrange(1, 99_999)))
        if price > 10**7:
            thousandths = 1000
        mark = "." if self.points else ","
        quantity = f"{Decimal(thousandths) / 1000:f}"
        if "." in quantity:
            quantity = quantity.rstrip("0").rstrip(".") if self.likely(0.5) else f"{Decimal(thousandths) / 1000:.3f}"
        product = int((Decimal(price * thousandths) / 1000).quantize(Decimal(1), ROUND_HALF_UP))
        hidden = product * chance.choice((5, 20, 50)) // 100 if self.likely(0.1) and product > 10_000 else 0
        amount = self.sign * (product - hidden)
        self.facts["lines"].append(
            {
                "description": " ".join(name.split()), "unit": unit, "quantity": self.sign * Decimal(quantity),
                "unit_price": Decimal(price) / 100, "amount_minor": amount, "discount_minor": self.sign * hidden,
                "tax_labels": tuple(shown),
            }
        )  # fmt: skip
        shown_amount = amount if not self.lines_positive else abs(amount)
        figures = (
            self.money(price),
            quantity.replace(".", mark),
            self.money(shown_amount),
        )
        aligned = f"{figures[0]:>13}{figures[1]:>11}{figures[2]:>{self.width - 24}}"
        return [*self.wrapped(text), aligned if len(aligned) == self.width else "  ".join(figures).rjust(self.width)]

    def with_unit(self, name: str) -> tuple[str | None, str]:
        unit = self.chance.choice(_UNITS)
        style = self.chance.choice(("column", "slash", "spaced slash", "backslash", "parentheses", "none"))
        bare = unit.rstrip(".")
        match style:
            case "column" if len(name) < self.width - 10:
                return bare, f"{name}{unit:>{self.width - 4 - len(name)}}"
            case "slash":
                return bare, f"{name}/{unit}"
            case "spaced slash":
                return bare, f"{name} /{unit}"
            case "backslash":
                return bare, f"{name}\\{unit}"
            case "parentheses":
                return bare, f"{name} ({unit})"
            case _:
                return None, name

    # what was paid

    def payments(self) -> list[str]:
        chance, total = self.chance, abs(self.total)
        label = "Укупна рефундација" if self.refund else "Укупан износ"
        lines = self.pair(label, self.money(total))
        means = chance.sample(_TENDERS, chance.choice((1, 1, 1, 2, 3)))
        cuts = sorted(chance.randrange(total + 1) for _ in means[1:])
        paid = [after - before for before, after in pairwise((0, *cuts, total))]
        change = 0
        cash_at = next((at for at, (_, kind) in enumerate(means) if kind == "cash"), None)
        if cash_at is not None and not self.refund and self.likely(0.4):
            change = chance.randrange(100_000)
            paid[cash_at] += change
        for (name, _), amount in zip(means, paid, strict=True):
            lines += self.pair(name, self.money(amount))
        if change and self.likely(0.5):
            lines += self.pair("Повраћај", self.money(change))
        self.facts["tenders"] = [(kind, self.sign * amount) for (_, kind), amount in zip(means, paid, strict=True)]
        self.facts["change_minor"] = change
        lines.append("=" * self.width)
        if self.status not in ("final", "advance"):
            lines += [self.title.center(self.width), "=" * self.width]
        return lines

    def taxes(self) -> list[str]:
        lines = self.wrapped(self.words("Ознака       Име      Стопа        Порез"))
        self.facts["taxes"] = []
        for label, name, rate in self.rates:
            tax = self.chance.randrange(10 ** self.chance.randint(1, 9))
            shown = self.words(label), self.words(name), rate.replace(",", "." if self.points else ",")
            self.facts["taxes"].append((shown[0], shown[1], Decimal(rate.replace(",", ".")), self.sign * tax))
            text = f"{shown[0]:<2}{shown[1]:>15}{shown[2] + '%':>9}"
            lines.append(text + f"{self.money(tax):>{self.width - len(text)}}")
        whole = sum(abs(tax[3]) for tax in self.facts["taxes"])
        return [
            *lines,
            "-" * self.width,
            *self.pair("Укупан износ пореза", self.money(whole)),
            "=" * self.width,
        ]

    # what the processor signed

    def fiscal(self) -> list[str]:
        at, number = self.moment(), self.number()
        whole = int(number.rpartition("-")[2])
        if self.language == "english":
            letters = self.english_letter + ("R" if self.refund else "S")
        else:
            letters = self.words(self.letter) + self.words("Р" if self.refund else "П")
        counter = f"{self.chance.randrange(1, whole + 1)}/{whole}{letters}"
        self.facts |= {"number": number, "issued_at": at, "counter": counter}
        lines = [*self.pair("ПФР време", self.clock(at)), *self.pair("ПФР број рачуна", number)]
        return [*lines, *self.pair("Бројач рачуна", counter), "=" * self.width]

    # how it comes

    def dressed(self, lines: list[str]) -> tuple[str, bytes]:
        chance = self.chance
        end = self.rule(f" {self.words('КРАЈ ФИСКАЛНОГ РАЧУНА')} ", "=")
        if self.status not in ("final", "advance"):
            end = self.rule(f" {self.title} ", "=")
        lines = lines if self.likely(0.4) else [line.rstrip() for line in lines]
        if self.likely(0.25) or any("<" in line for line in lines):
            quotes = self.likely(0.8)
            lines = [html.escape(line, quote=quotes) for line in lines]
        if self.likely(0.1):
            lines = [line.replace("  ", "\u00a0 ") for line in lines]
        if self.likely(0.1):
            lines = [line + " " * chance.randrange(4) for line in lines]
        picture = base64.b64encode(chance.randbytes(chance.randint(90, 900))).decode()
        match chance.randrange(6):
            case 0:
                lines = [*lines, end]
            case 1:
                lines = [
                    *lines[:-1],
                    f'{lines[-1]}<br/><img src="data:image/gif;base64,{picture}" width="250"/><br/>{end}',
                ]
            case 2:
                lines = [*lines[:-1], f"{lines[-1]}<br/><img src=data:image/gif;base64,{picture}", end]
            case 3:
                lines = [*lines, *textwrap.wrap(picture, 76), end]
            case 4:
                lines = [*lines, "", end, ""]
            case _:
                lines = ["<pre>" + lines[0], *lines[1:], f"{end}</pre>"]
        text = chance.choice(("\n", "\n", "\r\n", "\r")).join(lines)
        return text, self.encoded(text)

    def encoded(self, text: str) -> bytes:
        pages = ["utf-8", "utf-8", "utf-8-sig", "utf-16"]
        pages += ["cp1251"] if self.language == "cyrillic" else ["cp1250"]
        try:
            return text.encode(self.chance.choice(pages))
        except UnicodeEncodeError:
            return text.encode()
