"""What the goods are: a map from what a line says to what it is, with its JSON, checks and content hash.

Owns what an item map may say. Entries count in their order. Never matches a line (`loyalty.item_matching` does), and
never ignores a key it does not know: an unread condition would make an entry mean more lines than it says.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from loyalty.check_digit import has_valid_check_digit
from loyalty.item_names import GRAMS, pattern_of
from loyalty.receipt import LineKind
from loyalty.undecodable import UNDECODABLE

MAX_ENTRIES: Final = 50_000
# Texts of one condition; a longer list is several entries.
MAX_VALUES: Final = 1_000
MAX_PATTERN_CHARS: Final = 100
# Ranges are tried one by one.
MAX_RANGES: Final = 200
# Of its one form; in the answer that carries it to a register each quote takes two bytes.
MAX_DOCUMENT_BYTES: Final = 7 * 1024 * 1024
MAX_WARNINGS: Final = 20

Text = Annotated[str, Meta(pattern=r"\S", max_length=64)]
Pattern = Annotated[str, Meta(pattern=r"\S", max_length=MAX_PATTERN_CHARS)]
Gtin = Annotated[str, Meta(pattern=r"^([0-9]{8}|[0-9]{12,14})$")]
GtinPrefix = Annotated[str, Meta(pattern=r"^[0-9]{1,13}$")]
_Some = Meta(max_length=MAX_VALUES)

CONDITIONS: Final = ("name", "sku", "gtin", "gtin_prefix", "gtin_range", "tax_label", "department")


class ItemMapError(ValueError):
    """An item map cannot be used. The message names the entry and the remedy."""


class ItemEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """One entry: every condition that it has must hold, each for one of its texts; then its results count.

    `name` are patterns (`loyalty.item_names`). GTINs compare as numbers; a prefix with a GTIN filled up with
    zeros to 13 digits. `kind` and `category` come from the first entry that gives them, `tags` from all that match.
    """

    name: Annotated[tuple[Pattern, ...], _Some] = ()
    sku: Annotated[tuple[Text, ...], _Some] = ()
    gtin: Annotated[tuple[Gtin, ...], _Some] = ()
    gtin_prefix: Annotated[tuple[GtinPrefix, ...], _Some] = ()
    gtin_range: Annotated[tuple[tuple[Gtin, Gtin], ...], _Some] = ()
    tax_label: Annotated[tuple[Text, ...], _Some] = ()
    department: Annotated[tuple[Text, ...], _Some] = ()
    kind: LineKind | UnsetType = UNSET
    category: Text | UnsetType = UNSET
    tags: Annotated[tuple[Text, ...], Meta(max_length=16)] = ()

    @property
    def conditions(self) -> tuple[tuple[object, ...], ...]:
        return tuple(getattr(self, condition) for condition in CONDITIONS)

    @property
    def gives(self) -> bool:
        """Whether it says anything of the lines that it matches."""
        return self.kind is not UNSET or self.category is not UNSET or bool(self.tags)


class ItemMap(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A whole map. Its version is its hash."""

    items: Annotated[tuple[ItemEntry, ...], Meta(max_length=MAX_ENTRIES)]


def item_map_from_json(document: bytes) -> ItemMap:
    """A checked map. Raises ItemMapError."""
    try:
        item_map = msgspec.json.decode(document, type=ItemMap)
    except msgspec.ValidationError as error:
        raise ItemMapError(f"{error} (entries count from 0); correct it") from error
    except UNDECODABLE as error:
        raise ItemMapError(f"not JSON: {error}") from error
    return checked(item_map)


def item_map_from_values(values: object) -> ItemMap:
    """A checked map from what a TOML parser gives. Raises ItemMapError."""
    try:
        item_map = msgspec.convert(values, ItemMap)
    except msgspec.ValidationError as error:
        raise ItemMapError(f"{error} (entries count from 0); correct it") from error
    return checked(item_map)


def checked(item_map: ItemMap) -> ItemMap:
    """The map, if each entry can be used and all of them together keep to the limits. Raises ItemMapError."""
    if len(item_map.items) > MAX_ENTRIES:
        raise ItemMapError(
            f"{len(item_map.items)} entries; write at most {MAX_ENTRIES}, with several values in one entry"
        )
    for number, entry in enumerate(item_map.items, 1):
        wrong = next(_wrong_with(entry), None)
        if wrong is not None:
            raise ItemMapError(f"entry {number}: {wrong}")
    ranges = sum(len(entry.gtin_range) for entry in item_map.items)
    if ranges > MAX_RANGES:
        raise ItemMapError(f"{ranges} GTIN ranges; write at most {MAX_RANGES}, and prefixes instead of the others")
    size = len(item_map_json(item_map))
    if size > MAX_DOCUMENT_BYTES:
        raise ItemMapError(f"{size} bytes; registers take at most {MAX_DOCUMENT_BYTES}: put values into one entry")
    return item_map


def _wrong_with(entry: ItemEntry) -> Iterator[str]:
    if not any(entry.conditions):
        yield f"it has no condition; give it one of {', '.join(CONDITIONS)}"
    if not entry.gives:
        yield "it gives nothing; give it a kind, a category or tags"
    for text in entry.name:
        pattern = pattern_of(text)
        if not any(part.strip() for part in pattern.parts):
            yield f"name {text!r} has no letter or digit"
        elif not pattern.is_whole and not pattern.grams:
            yield (
                f"name {text!r} needs {min(GRAMS)} letters together beside its *; an edge of a word is one too: write "
                "'* tv *' for the word, 'tv*' for how a name begins"
            )
    for first, last in entry.gtin_range:
        if int(first) > int(last):
            yield f"gtin_range {first}–{last} is empty; write the lower end first"


def warnings_of(item_map: ItemMap) -> tuple[str, ...]:
    """What is allowed but probably not meant; the first MAX_WARNINGS of it."""
    found = []
    seen: dict[tuple[object, ...], int] = {}
    for number, entry in enumerate(item_map.items, 1):
        before = seen.setdefault(entry.conditions, number)
        if before != number:
            found.append(f"entry {number} has the conditions of entry {before}, whose kind and category come first")
        found += [
            f"entry {number}: the check digit of gtin {gtin} is wrong"
            for gtin in entry.gtin
            if not has_valid_check_digit(gtin)
        ]
    if len(found) <= MAX_WARNINGS:
        return tuple(found)
    return (*found[:MAX_WARNINGS], f"and {len(found) - MAX_WARNINGS} more of the kind")


def kinds_given(item_map: ItemMap) -> dict[str, int]:
    """Entries by the line kind that they give."""
    return dict(sorted(Counter(entry.kind for entry in item_map.items if entry.kind is not UNSET).items()))


def item_map_json(item_map: ItemMap) -> bytes:
    """The one byte form of a map: sorted keys, no spaces, defaults left out."""
    return msgspec.json.encode(item_map, order="sorted")


def item_map_hash(document: bytes) -> str:
    """SHA-256 (hexadecimal) of a map as it is sent."""
    return hashlib.sha256(document).hexdigest()
