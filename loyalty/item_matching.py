"""What an item map says of a line: made ready once, then a few look-ups a line.

Owns matching and what a receipt's lines become by it. The same lines and map give the same on every machine. What was
printed is never changed: a receipt can be mapped again, with the same map (nothing changes) or a corrected one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from loyalty.item_map import ItemEntry, ItemMap, ItemMapError, item_map_hash, item_map_json
from loyalty.item_names import NamePattern, edged, grams_of, normal_name, pattern_of
from loyalty.receipt import Line, Mapped, Receipt

# Entries that one text of a line can lead to; each of them is looked at.
MAX_ALIKE: Final = 1_000
_MAX_GTIN_DIGITS: Final = 14
# A UPC-A is an EAN-13 with a zero in front; prefixes are given for these.
_PREFIXED_DIGITS: Final = 13

_Index = dict[str | int, list[int]]
"""Places of entries in their map, by a text or GTIN of a line."""


class _Facts(Struct, frozen=True, kw_only=True, gc=False):
    """A line as conditions compare it."""

    name: str
    sku: str
    gtin: int | None
    gtin_text: str
    tax_labels: frozenset[str]
    department: str


class _Ready(Struct, frozen=True, kw_only=True, gc=False):
    """An entry as it is compared; an empty condition is none."""

    entry: ItemEntry
    names: frozenset[str]
    patterns: tuple[NamePattern, ...]
    skus: frozenset[str]
    gtins: frozenset[int]
    prefixes: tuple[str, ...]
    ranges: tuple[tuple[int, int], ...]
    tax_labels: frozenset[str]
    departments: frozenset[str]

    def matches(self, line: _Facts) -> bool:
        """Whether a line is meant that the entry was looked up for: one with SKUs is found under these alone."""
        if not self._is_named(line.name):
            return False
        if self.gtins and line.gtin not in self.gtins:
            return False
        if self.prefixes and not line.gtin_text.startswith(self.prefixes):
            return False
        if self.ranges and (line.gtin is None or not any(low <= line.gtin <= high for low, high in self.ranges)):
            return False
        if self.tax_labels and self.tax_labels.isdisjoint(line.tax_labels):
            return False
        return not self.departments or line.department in self.departments

    def _is_named(self, name: str) -> bool:
        if not self.names and not self.patterns:
            return True
        return name in self.names or any(pattern.matches(name) for pattern in self.patterns)


class ItemMatcher:
    """A map made ready. Raises ItemMapError where too many of its entries can only be told apart one by one."""

    def __init__(self, item_map: ItemMap, content_hash: str | None = None) -> None:
        """`content_hash` saves making the map's one form again, where it is known."""
        self.item_map = item_map
        self.hash = content_hash or item_map_hash(item_map_json(item_map))
        self._entries = tuple(map(_ready, item_map.items))
        # Each entry stands in the index of its most telling condition, under each text of that.
        self._by_sku: _Index = defaultdict(list)
        self._by_gtin: _Index = defaultdict(list)
        self._by_name: _Index = defaultdict(list)
        self._by_gram: _Index = defaultdict(list)
        self._by_prefix: _Index = defaultdict(list)
        self._by_department: _Index = defaultdict(list)
        self._by_tax_label: _Index = defaultdict(list)
        self._ranged: list[int] = []
        self._place()
        self._prefix_lengths = sorted({len(prefix) for ready in self._entries for prefix in ready.prefixes})

    def _place(self) -> None:
        grams = Counter(gram for ready in self._entries for pattern in ready.patterns for gram in pattern.grams)
        for place, ready in enumerate(self._entries):
            if ready.ranges and not (ready.skus or ready.gtins or ready.names or ready.patterns or ready.prefixes):
                self._ranged.append(place)
                continue
            for index, texts in self._telling(ready, grams):
                for text in texts:
                    if not index[text] or index[text][-1] != place:
                        index[text].append(place)
                    if len(index[text]) > MAX_ALIKE:
                        raise ItemMapError(
                            f"more than {MAX_ALIKE} entries are for {text!r}, the last of them entry {place + 1}; "
                            "name the goods by SKU or GTIN, or by longer names"
                        )

    def _telling(self, ready: _Ready, grams: Counter[str]) -> Iterator[tuple[_Index, Iterable[str | int]]]:
        """The indexes that an entry belongs in, and under what."""
        if ready.skus:
            yield self._by_sku, ready.skus
        elif ready.gtins:
            yield self._by_gtin, ready.gtins
        elif ready.names or ready.patterns:
            yield self._by_name, ready.names
            # The rarest of a pattern's grams leads to the fewest entries that do not match after all.
            rarest = (
                min(pattern.grams, key=lambda gram: (grams[gram], -len(gram), gram)) for pattern in ready.patterns
            )
            yield self._by_gram, rarest
        elif ready.prefixes:
            yield self._by_prefix, ready.prefixes
        elif ready.departments:
            yield self._by_department, ready.departments
        else:
            yield self._by_tax_label, ready.tax_labels

    def of(self, line: Line) -> Mapped | UnsetType:
        """What the map says of a line; UNSET where no entry matches."""
        facts = _facts(line)
        matching = [
            ready.entry for place in sorted(self._candidates(facts)) if (ready := self._entries[place]).matches(facts)
        ]
        if not matching:
            return UNSET
        return Mapped(
            kind=next((entry.kind for entry in matching if entry.kind), UNSET),
            category=next((entry.category for entry in matching if entry.category), UNSET),
            tags=tuple(dict.fromkeys(tag for entry in matching for tag in entry.tags)),
        )

    def _candidates(self, facts: _Facts) -> set[int]:
        """Places of all entries that may match, and of few that do not."""
        name, digits = facts.name, facts.gtin_text
        found = set(self._by_sku.get(facts.sku, ()))
        found.update(self._by_name.get(name, ()), self._by_department.get(facts.department, ()))
        if self._by_gram:
            found.update(*(places for gram in grams_of(name) if (places := self._by_gram.get(gram))))
        for label in facts.tax_labels:
            found.update(self._by_tax_label.get(label, ()))
        if facts.gtin is not None:
            found.update(self._by_gtin.get(facts.gtin, ()), self._ranged)
            for length in self._prefix_lengths:
                found.update(self._by_prefix.get(digits[:length], ()))
        return found


def mapped(receipt: Receipt, matcher: ItemMatcher | None) -> Receipt:
    """The receipt as `matcher`'s map has it, whatever map it was mapped with before; without one, as printed."""
    lines = tuple(_with(line, matcher.of(line) if matcher is not None else UNSET) for line in receipt.lines)
    item_map = matcher.hash if matcher is not None and lines else UNSET
    if lines == receipt.lines and item_map == receipt.item_map:
        return receipt
    return replace(receipt, lines=lines, item_map=item_map)


def as_sold(returned: Receipt, original: Receipt) -> Receipt:
    """The return with its lines as those of the sale were, where they are the same goods: what they are, and mapped to.

    So goods that were mapped otherwise since then, or whose tags a return does not print, give back what they gave.
    Of two lines of the same goods the first counts. Lines that say none are alike in what else a map goes by.
    """
    sold = {_told_by(line): line for line in reversed(original.lines) if not line.voided}
    lines = tuple(_sold_as(line, sold.get(_told_by(line))) for line in returned.lines)
    return returned if lines == returned.lines else replace(returned, lines=lines)


def goods_of(line: Line) -> tuple[str, str, str]:
    """What tells goods apart on a receipt: name, SKU and GTIN; all empty where a line says none of them."""
    return (normal_name(line.description or ""), line.sku or "", line.gtin or "")


def _told_by(line: Line) -> tuple[object, ...]:
    goods = goods_of(line)
    return goods if any(goods) else (line.department or "", line.tax_labels)


def _sold_as(line: Line, sold: Line | None) -> Line:
    if sold is None:
        return line
    if any(goods_of(sold)):
        return replace(line, kind=sold.kind, tags=sold.tags, tax_labels=sold.tax_labels, mapped=sold.mapped)
    return _with(line, sold.mapped)


def _with(line: Line, says: Mapped | UnsetType) -> Line:
    return line if line.mapped == says else replace(line, mapped=says)


def _facts(line: Line) -> _Facts:
    gtin = (line.gtin or "").strip()
    is_gtin = gtin.isascii() and gtin.isdigit() and len(gtin) <= _MAX_GTIN_DIGITS
    return _Facts(
        name=edged(normal_name(line.description or "")),
        sku=(line.sku or "").strip(),
        gtin=int(gtin) if is_gtin else None,
        gtin_text=gtin.lstrip("0").zfill(_PREFIXED_DIGITS) if is_gtin else "",
        tax_labels=frozenset(map(_label, line.tax_labels)),
        department=_label(line.department or ""),
    )


def _ready(entry: ItemEntry) -> _Ready:
    patterns = [pattern_of(text) for text in entry.name]
    return _Ready(
        entry=entry,
        names=frozenset(pattern.parts[0] for pattern in patterns if pattern.is_whole),
        patterns=tuple(pattern for pattern in patterns if not pattern.is_whole),
        skus=frozenset(text.strip() for text in entry.sku),
        gtins=frozenset(map(int, entry.gtin)),
        prefixes=entry.gtin_prefix,
        ranges=tuple((int(low), int(high)) for low, high in entry.gtin_range),
        tax_labels=frozenset(map(_label, entry.tax_label)),
        departments=frozenset(map(_label, entry.department)),
    )


def _label(text: str) -> str:
    """A short text in any alphabet; signs without a letter, such as `*`, stay what they are."""
    return normal_name(text) or text.strip()
