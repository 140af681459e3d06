"""Prints Serbian fiscal journals as the tax authority's system does, on paper of any width.

Test code: it makes the input of the journal reader from facts, so that the facts can be asked back.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, field

CYRILLIC = dict(
    zip("абвгдежзијклмнопрстћуфхцчшђ", ["a", "b", "v", "g", "d", "e", "ž", "z", "i", "j", "k", "l", "m", "n", "o", "p",
         "r", "s", "t", "ć", "u", "f", "h", "c", "č", "š", "đ"], strict=True)
)  # fmt: skip
LATIN = str.maketrans(
    {
        **CYRILLIC, **{letter.upper(): latin.upper() for letter, latin in CYRILLIC.items()},
        "љ": "lj", "њ": "nj", "џ": "dž", "Љ": "LJ", "Њ": "NJ", "Џ": "DŽ",
    }
)  # fmt: skip

TYPES = {
    "final": ("ПРОМЕТ", "П"),
    "advance": ("АВАНС", "А"),
    "copy": ("КОПИЈА", "К"),
    "training": ("ОБУКА", "О"),
    "proforma": ("ПРЕДРАЧУН", "Р"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """`text` is the name as a till sends it, with unit and tax label."""

    text: str
    price_minor: int
    quantity: str
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """The facts of a journal. Amounts are positive; a refund is printed with a minus on its lines."""

    status: str = "final"
    refund: bool = False
    tin: str = "101670560"
    name: str = "MERCATOR-S"
    location: str = "1108934-Roda Megamarket 345"
    address: str = "ВИЗАНТИЈСКИ БУЛЕВАР 1"
    city: str = "Ниш-Медијана"
    operator: str = "Ана"
    buyer: str = ""
    reference: str = ""
    reference_time: str = ""
    items: tuple[Item, ...] = ()
    payments: tuple[tuple[str, int], ...] = (("Готовина", 0),)
    change_minor: int | None = None
    taxes: tuple[tuple[str, str, str, int], ...] = (("Ђ", "О-ПДВ", "20,00", 1000),)
    time: str = "31.12.2022. 9:05:07"
    number: str = "746DUV64-746DUV64-16898"
    counter: str = "16887/16898"
    width: int = 40
    latin: bool = False
    centred: bool = False
    escaped: bool = False
    line_end: str = "\n"
    tail: str = '<br/><img src="data:image/gif;base64,R0lGODlhhAGEAfcAAAAAAAAAMwAAZgAA=='
    trimmed: bool = True
    after: tuple[str, ...] = field(default=())


def amount(minor: int) -> str:
    sign, minor = ("-" if minor < 0 else ""), abs(minor)
    return f"{sign}{minor // 100:,}".replace(",", ".") + f",{minor % 100:02d}"


def printed(journal: Journal) -> str:
    """The journal's text."""
    lines = [line for part in _parts(journal) for line in part]
    if journal.trimmed:
        lines = [line.rstrip() for line in lines]
    if journal.escaped:
        lines = [html.escape(line) for line in lines]
    return journal.line_end.join(lines) + journal.tail


def total(journal: Journal) -> int:
    return sum(item.amount_minor for item in journal.items)


def _parts(journal: Journal) -> list[list[str]]:
    width = journal.width

    def words(text: str) -> str:
        return text.translate(LATIN) if journal.latin else text

    def wrapped(text: str) -> list[str]:
        lines = [text[at : at + width] for at in range(0, len(text), width)] or [""]
        return [line.center(width) for line in lines] if journal.centred else lines

    def pair(label: str, value: str) -> list[str]:
        text = f"{words(label)}:"
        gap = max(1, width - len(text) - len(value))
        text += " " * gap + value
        return [text[at : at + width] for at in range(0, len(text), width)]

    def title(text: str, rule: str) -> list[str]:
        return [words(text).join("  ").center(width, rule) if rule == "=" else words(text).center(width, rule)]

    rule, dashes = ["=" * width], ["-" * width]
    fiscal = journal.status in ("final", "advance")
    heading = "ФИСКАЛНИ РАЧУН" if fiscal else "ОВО НИЈЕ ФИСКАЛНИ РАЧУН"
    kind, letter = TYPES[journal.status]
    sign = -1 if journal.refund else 1
    parts = [title(heading, "="), *(wrapped(text) for text in (journal.tin, journal.name, journal.location))]
    parts += [wrapped(journal.address), wrapped(journal.city), pair("Касир", journal.operator)]
    parts += [pair("ИД купца", journal.buyer)] if journal.buyer else []
    parts += [pair("ЕСИР број", "431/2.0.0.2")]
    parts += [pair("Реф. број", journal.reference)] if journal.reference else []
    parts += [pair("Реф. време", journal.reference_time)] if journal.reference_time else []
    parts += [title(f"{kind} {'РЕФУНДАЦИЈА' if journal.refund else 'ПРОДАЈА'}", "-"), [words("Артикли")], rule]
    columns = words("Назив   Цена         Кол.         Укупно")
    parts += [[columns[at : at + width] for at in range(0, len(columns), width)]]
    for item in journal.items:
        text = words(item.text)
        parts += [[text[at : at + width] for at in range(0, len(text), width)]]
        money = f"{amount(item.price_minor):>13} {item.quantity:>10} {amount(sign * item.amount_minor):>15}"
        parts += [[money if len(money) == width else " ".join(money.split()).rjust(width)]]
    parts += [dashes, pair("Укупна рефундација" if journal.refund else "Укупан износ", amount(total(journal)))]
    parts += [pair(label, amount(paid or total(journal))) for label, paid in journal.payments]
    parts += [pair("Повраћај", amount(journal.change_minor))] if journal.change_minor is not None else []
    parts += [rule] + ([] if fiscal else [[words(heading).center(width)], rule])
    parts += [[words("Ознака       Име      Стопа        Порез")]]
    for label, name, rate, tax in journal.taxes:
        text = f"{words(label)}{words(name):>{16}}{rate + '%':>9}"
        parts += [[text + f"{amount(tax):>{width - len(text)}}"]]
    parts += [dashes, pair("Укупан износ пореза", amount(sum(tax[3] for tax in journal.taxes))), rule]
    parts += [pair("ПФР време", journal.time), pair("ПФР број рачуна", journal.number)]
    parts += [pair("Бројач рачуна", journal.counter + words(letter + ("Р" if journal.refund else "П"))), rule]
    parts += [list(journal.after)]
    if not journal.tail:
        parts += [title("КРАЈ ФИСКАЛНОГ РАЧУНА" if fiscal else heading, "="), [""]]
    return parts
