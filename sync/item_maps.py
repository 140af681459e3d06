"""An item map from the centre: is it the one that was asked for, signed, and readable here? And the one that is kept.

Owns that check and where the store keeps the map in force. Never maps a line.
"""

from __future__ import annotations

import msgspec

from loyalty.item_map import ItemMapError, item_map_from_json, item_map_hash
from loyalty.item_matching import ItemMatcher
from sync.signing import is_signed
from sync.store.reading import Reading
from sync.store.writing import Writing
from sync.wire import SignedItemMap

_META = "item_map"


class ItemMapUnusableError(ValueError):
    """An item map cannot be put in force; the one before stays. The message says whose turn it is."""


def verified_item_map(signed: SignedItemMap, wanted: str, key: str) -> ItemMatcher:
    """The map with the hash `wanted`, signed with the public key `key` (unpadded URL-safe base64), ready for use.

    Takes a second of a core for a map at its limits: call it where nothing waits.
    """
    document = signed.item_map.encode()
    if not is_signed(document, signed.signature, key):
        raise ItemMapUnusableError(
            "the item map is not signed by the centre this register was enrolled with; publish it again there"
        )
    if item_map_hash(document) != wanted:
        raise ItemMapUnusableError("the centre sent another item map than the one in force; publish it again there")
    try:
        return ItemMatcher(item_map_from_json(document), wanted)
    except ItemMapError as error:
        raise ItemMapUnusableError(f"this version cannot read the item map ({error}); update the register") from error


def keep_item_map(writing: Writing, signed: SignedItemMap) -> None:
    """Keeps a map in place of the one before. It was verified by the caller."""
    writing.set_meta(_META, msgspec.json.encode(signed).decode())


def kept_item_map(reading: Reading, key: str) -> ItemMatcher | None:
    """The map last kept, if it is by the centre with `key` and this version reads it: else none is in force."""
    kept = reading.meta(_META)
    if kept is None:
        return None
    try:
        signed = msgspec.json.decode(kept, type=SignedItemMap)
        return verified_item_map(signed, signed.hash, key)
    except (msgspec.DecodeError, ItemMapUnusableError):
        return None
