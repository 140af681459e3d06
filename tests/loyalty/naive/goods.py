"""Lines, money and conditions of the naive engine."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor, trunc
from typing import Any

from tests.loyalty.naive.clock import bought_at, on_wall

Json = dict[str, Any]
ABOUT_LINES = {
    "line_tag_in",
    "sku_in",
    "gtin_in",
    "category_in",
    "line_kind_in",
    "min_line_minor",
    "min_line_quantity",
}
THRESHOLDS = {"min_basket_minor", "min_line_minor", "min_line_quantity"}


def lines_of(receipt: Json) -> list[Json]:
    return [line for line in receipt.get("lines", []) if not line.get("voided")]


def kind_of(line: Json) -> str:
    return line.get("mapped", {}).get("kind") or line.get("kind", "goods")  # type: ignore[no-any-return]


def tags_of(line: Json) -> set[str]:
    return {*line.get("tags", []), *line.get("mapped", {}).get("tags", [])}


def goods_of(line: Json) -> tuple[str, str, str]:
    """What tells goods apart."""
    letters = (letter if letter.isalnum() else " " for letter in line.get("description", "").casefold())
    return (" ".join("".join(letters).split()), line.get("sku", ""), line.get("gtin", ""))


def pieces_of(line: Json) -> Fraction:
    size = Fraction(floor(abs(Fraction(line.get("quantity", "1"))) * 1000), 1000)
    return -size if line["amount_minor"] < 0 else size


def money_of(receipt: Json, lines: list[Json], basis: Json) -> Fraction:
    """What a rule with this `basis` looks at of these lines: minor units, or pieces."""
    if not receipt.get("lines"):
        return Fraction(without_lines(receipt, basis)) if basis.get("scope", "receipt") == "receipt" else Fraction(0)
    lines = [line for line in lines if not tags_of(line) & set(basis.get("exclude_tags", []))]
    if basis.get("scope") == "quantity":
        return sum((pieces_of(line) for line in lines), Fraction(0))
    money = amount(lines) + share(shared(receipt, basis), lines, lines_of(receipt))
    if not basis.get("after_discount", True):
        money += sum(line.get("discount_minor", 0) for line in lines)
    if basis.get("tax") == "excluded":
        money -= sum(tax_in(tax, lines, lines_of(receipt)) for tax in receipt.get("taxes", []) if included(tax))
    return Fraction(money)


def amount(lines: list[Json]) -> int:
    return sum(line["amount_minor"] for line in lines)


def included(tax: Json) -> bool:
    return tax.get("included", True)  # type: ignore[no-any-return]


def without_lines(receipt: Json, basis: Json) -> int:
    money: int = receipt["total_minor"]
    if basis.get("tax") == "excluded":
        money -= sum(tax["amount_minor"] for tax in receipt.get("taxes", []))
    return money - (paid_with_points(receipt) if basis.get("less_points_paid") else 0)


def shared(receipt: Json, basis: Json) -> int:
    """What falls on all lines."""
    falls = 0
    if basis.get("after_discount", True):
        falls -= sum(discount["amount_minor"] for discount in receipt.get("discounts", []))
    if basis.get("tax", "included") == "included":
        falls += sum(tax["amount_minor"] for tax in receipt.get("taxes", []) if not included(tax))
    return falls - (paid_with_points(receipt) if basis.get("less_points_paid") else 0)


def paid_with_points(receipt: Json) -> int:
    return sum(tender["amount_minor"] for tender in receipt.get("tenders", []) if tender["kind"] == "points")


def tax_in(tax: Json, lines: list[Json], all_lines: list[Json]) -> int:
    labelled = [line for line in all_lines if tax.get("label") in line.get("tax_labels", [])]
    if not labelled:
        return share(tax["amount_minor"], lines, all_lines)
    return share(tax["amount_minor"], [line for line in lines if line in labelled], labelled)


def share(whole: int, part: list[Json], among: list[Json]) -> int:
    if len(part) == len(among):
        return whole
    return trunc(Fraction(whole * amount(part), amount(among))) if amount(among) else 0


@dataclass
class Asked:
    """What conditions are asked of: a receipt, what is known of its member, what its goods come to."""

    receipt: Json
    member: Json
    zone: str
    basket: Fraction

    def lines(self, when: Json | None) -> list[Json]:
        """The lines for which the whole condition holds."""
        kinds = {"goods", *named_kinds(when or {})}
        return [line for line in lines_of(self.receipt) if kind_of(line) in kinds and self.holds(when or {}, line)]

    def holds(self, when: Json, line: Json | None) -> bool:
        return all(self._one(key, value, line) for key, value in when.items())

    def holds_apart_from_lines(self, when: Json) -> bool:
        """Of the parts that all have to hold, those that ask nothing about lines."""
        return all(
            all(map(self.holds_apart_from_lines, value))
            if key == "all"
            else about_lines({key: value}) or self._one(key, value, None)
            for key, value in when.items()
        )

    def _one(self, key: str, value: Any, line: Json | None) -> bool:
        if key == "all":
            return all(self.holds(inner, line) for inner in value)
        if key == "any":
            return any(self.holds(inner, line) for inner in value)
        if key == "not":
            return not self.holds(value, line)
        if key in ABOUT_LINES:
            assert line is not None
            return of_line(key, value, line)
        return self._of_receipt(key, value)

    def _of_receipt(self, key: str, value: Any) -> bool:
        at = bought_at(self.receipt, self.zone)
        wall = on_wall(at, self.zone) if at else None
        facts = {
            "tier_in": self.member["tier"],
            "store_in": self.receipt.get("store"),
            "channel_in": self.receipt.get("source"),
            "entry_in": self.receipt.get("member", {}).get("entry"),
            "weekday_in": wall.isoweekday() if wall else None,
        }
        if key in facts:
            return facts[key] in value
        if key == "min_basket_minor":
            return self.basket >= value  # type: ignore[no-any-return]
        if key == "first_purchase":
            return (self.member["purchases"] == 0) == value  # type: ignore[no-any-return]
        if key == "birthday_month":
            return (wall is not None and wall.month == self.member["birth_month"]) == value  # type: ignore[no-any-return]
        if key == "segment_in":
            return bool(set(value) & set(self.member["segments"]))
        assert key == "time_in", key
        tells_time = "issued_at" in self.receipt or "business_day" not in self.receipt
        return wall is not None and tells_time and any(in_span(f"{wall:%H:%M}", *span) for span in value)


def in_span(clock: str, begin: str, end: str) -> bool:
    return begin <= clock < end if begin < end else not end <= clock < begin


def of_line(key: str, value: Any, line: Json) -> bool:
    if key == "line_tag_in":
        return bool(set(value) & tags_of(line))
    if key == "sku_in":
        return line.get("sku") in value
    if key == "gtin_in":
        return line.get("gtin", "").lstrip("0") in [gtin.lstrip("0") for gtin in value]
    if key == "category_in":
        return line.get("mapped", {}).get("category") in value
    if key == "line_kind_in":
        return kind_of(line) in value
    if key == "min_line_minor":
        return line["amount_minor"] >= value  # type: ignore[no-any-return]
    return bool(pieces_of(line) >= value)


def inner_of(when: Json) -> list[Json]:
    return [*when.get("all", []), *when.get("any", []), *([when["not"]] if "not" in when else [])]


def keys_in(when: Json) -> set[str]:
    return {*when} - {"all", "any", "not"} | {key for inner in inner_of(when) for key in keys_in(inner)}


def about_lines(when: Json) -> bool:
    return bool(keys_in(when) & ABOUT_LINES)


def named_kinds(when: Json) -> set[str]:
    """Kinds of lines that a rule names to earn by; within a `not` it names none."""
    inner = [*when.get("all", []), *when.get("any", [])]
    return {*when.get("line_kind_in", []), *(kind for each in inner for kind in named_kinds(each))}
