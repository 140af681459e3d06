"""The ways in which the tills of `layouts` print an item, a head and taxes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.drivers.receipts.layouts import Item, Sale, Till

# -- ways to print an item --

Print = Callable[["Till", "Item", int], list[str]]


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


def named_numbers(till: Till, item: Item, sign: int) -> list[str]:
    numbers = f"Kol {till.count(item.milli)} Cij {till.money(item.price)}"
    return [item.name, f"  {numbers}  Izn {till.money(item.amount * sign)}"]


def price_per_unit(till: Till, item: Item, sign: int) -> list[str]:
    unit = "kg" if item.milli % 1000 else "kom"
    numbers = f"  {till.count(item.milli)} {unit} x {till.money(item.price)}/{unit}"
    return [item.name, till.apart(numbers, _end(till, item, sign))]


def numbered(till: Till, item: Item, sign: int) -> list[str]:
    """Each item with its place on the receipt."""
    return [f"{item.position}. {item.name}", till.apart(f"   {_count_price(till, item)}", _end(till, item, sign))]


def with_currency(till: Till, item: Item, sign: int) -> list[str]:
    sold = f"  {till.count(item.milli)} x {till.money(item.price)} {till.currency}"
    return [item.name, till.apart(sold, f"{till.money(item.amount * sign)} {till.currency}")]


def numbers_above(till: Till, item: Item, sign: int) -> list[str]:
    """Quantity and price of every item above its name."""
    return [
        f"{_count_price(till, item)}",
        till.apart(till.cut(item.name, _end(till, item, sign)), _end(till, item, sign)),
    ]


def first(till: Till, item: Item, sign: int) -> list[str]:
    label = f" {item.label}" if item.label else ""
    return [f"{till.money(item.amount * sign):>10}  {_count_price(till, item)} {item.name}{label}"]


def first_name(till: Till, item: Item, sign: int) -> list[str]:
    return [f"{till.money(item.amount * sign):>10}  {item.name} {_count_price(till, item)}"]


def first_plain(till: Till, item: Item, sign: int) -> list[str]:
    return [f"{till.money(item.amount * sign):>10}  {item.name}"]


def first_above(till: Till, item: Item, sign: int) -> list[str]:
    return [item.name, f"{till.money(item.amount * sign):>10}  {_count_price(till, item)}"]


PLAIN: tuple[Print, ...] = (plain, plain_code, first_plain)
ITEMS: tuple[Print, ...] = (
    plain, plain_code, front, behind, below, below, below_unit, below_many, after_many, above_many, price_first, equals,
    columns, columns_first, columns_price, columns_below, code_above, code_below, code_front, at_price, tight,
    named_numbers, price_per_unit, numbered, with_currency, numbers_above,
)  # fmt: skip
# Where amounts stand before names, all of them do.
FIRST: tuple[Print, ...] = (first, first_name, first_plain, first_above)
# Those that print no label of a tax.
UNLABELLED: tuple[Print, ...] = (
    columns, columns_first, columns_price, named_numbers, with_currency, first_name, first_plain, first_above,
)  # fmt: skip

# -- ways to print the head --


def _when(till: Till, sale: Sale) -> str:
    return f"{sale.at.strftime(till.date_form)} {sale.at.strftime(till.time_form)}"


def _store(till: Till, sign: str = "") -> str:
    return f"{till.word['store']}{sign} {till.store}" if till.names_store else ""


def _register(till: Till, sign: str = "") -> str:
    return f"{till.word['register']}{sign} {till.register}"


def _number(till: Till, sale: Sale, sign: str = "") -> str:
    return f"{till.word['number']}{sign} {sale.number}"


def _operator(till: Till, sale: Sale, sign: str = "") -> str:
    return f"{till.word['operator']}{sign} {sale.operator}" if till.names_operator else ""


def head_lines(till: Till, sale: Sale) -> list[str]:
    return [
        _store(till, ":"), _register(till, ":"), _number(till, sale, ":"), _when(till, sale),
        _operator(till, sale, ":"),
    ]  # fmt: skip


def head_pairs(till: Till, sale: Sale) -> list[str]:
    place = _store(till).ljust(till.width - len(_register(till))) + _register(till)
    return [place, _number(till, sale), _when(till, sale), _operator(till, sale)]


def head_number_with_date(till: Till, sale: Sale) -> list[str]:
    return [
        f"{_number(till, sale)}  {_when(till, sale)}", f"{_store(till)}  {_register(till)}",
        _operator(till, sale, ":"),
    ]  # fmt: skip


def head_labelled_date(till: Till, sale: Sale) -> list[str]:
    return [
        f"Datum: {sale.at.strftime(till.date_form)}", f"{sale.at.strftime(till.time_form)}",
        f"{_register(till)}   {_store(till)}", _number(till, sale, ":"), _operator(till, sale, ":"),
    ]  # fmt: skip


def head_unlabelled(till: Till, sale: Sale) -> list[str]:
    return [f"{_store(till)} {_register(till)}", f"#{sale.number} {_when(till, sale)}", _operator(till, sale, ":")]


def head_date_and_clock(till: Till, sale: Sale) -> list[str]:
    """Date and time each behind a word, on one line; who sold beside the register."""
    return [
        f"Datum {sale.at.strftime(till.date_form)}   Vr. {sale.at.strftime(till.time_form)}", _store(till, ":"),
        _number(till, sale, ":"), f"{_register(till)}  {_operator(till, sale)}",
    ]  # fmt: skip


def head_dense(till: Till, sale: Sale) -> list[str]:
    """Everything on two lines, parted by strokes."""
    parts = [part for part in (_store(till), _register(till), _operator(till, sale)) if part]
    return [" | ".join(parts), f"{_number(till, sale)} | {_when(till, sale)}"]


HEADS = (
    head_lines, head_pairs, head_number_with_date, head_labelled_date, head_unlabelled, head_date_and_clock, head_dense,
)  # fmt: skip


def head_one_line(till: Till, sale: Sale) -> list[str]:
    parts = [part for part in (_store(till, ":"), _register(till, ":"), _operator(till, sale, ":")) if part]
    return [" ".join(parts), f"{_number(till, sale)} {_when(till, sale)}"]


def head_commas(till: Till, sale: Sale) -> list[str]:
    parts = [part for part in (_store(till), _register(till), _operator(till, sale)) if part]
    return [", ".join(parts), f"{_number(till, sale)}, {_when(till, sale)}"]


def head_strokes(till: Till, sale: Sale) -> list[str]:
    parts = [part for part in (_store(till), _register(till), _operator(till, sale), _number(till, sale)) if part]
    return [" - ".join(parts), _when(till, sale)]


def head_joint(till: Till, sale: Sale) -> list[str]:
    """Two words, and behind them as many values."""
    place = f"{till.word['store']}/{till.word['register']}: {till.store}/{till.register}"
    return [
        place if till.names_store else _register(till), _operator(till, sale, ":"), _number(till, sale, ":"),
        _when(till, sale),
    ]  # fmt: skip


FURTHER_HEADS = (head_one_line, head_commas, head_strokes, head_joint)

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
