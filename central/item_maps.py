"""What the goods are, at the centre: item maps published, signed, in force, and receipts mapped with them.

Owns which map a receipt is mapped with: the one that its register named, if it was ever published here, else the one
in force when the receipt comes. A map that is published later changes no receipt that is here. One that cannot be read
holds up no receipt: the newest before it that can be is in force until it is published again, and the admin pages say
so. Never matches a line.
"""

from __future__ import annotations

from datetime import datetime
from functools import cached_property

import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct
from sqlalchemy import Connection, insert, select, update

from central.db import tables
from loyalty.item_map import ItemMap, ItemMapError, item_map_from_json, item_map_hash, item_map_json
from loyalty.item_matching import ItemMatcher, mapped
from loyalty.receipt import AwareDatetime, Receipt
from loyalty.undecodable import UNDECODABLE
from sync import base64url
from sync.wire import BodyTooLargeError, SignedItemMap, compress_always, decompress

# Maps kept ready in this process: the one in force, and those that registers which were away still name.
KEPT_READY = 4
# As many digits as tell maps apart for a person.
SHORT_HASH = 12

_log = structlog.get_logger(__name__)
# By hash, which never comes to mean another map.
_ready: dict[str, ItemMatcher] = {}
# Those that were logged as unreadable.
_told: set[str] = set()
# Looked through for one that can be read; whoever published more has a map that was tried before.
MAX_LOOKED_BACK = 20


class Publication(Struct, frozen=True, kw_only=True):
    """Which map is in force, and since when."""

    hash: str
    published_at: AwareDatetime


def publish(connection: Connection, matcher: ItemMatcher, key: Ed25519PrivateKey, now: datetime) -> str:
    """Put a map in force; returns its hash. Publishing an earlier one again brings it back.

    It comes made ready, which shows that it can be, and takes too long to be done while others wait to write.
    """
    document = item_map_json(matcher.item_map)
    signed = SignedItemMap(
        hash=matcher.hash, item_map=document.decode(), signature=base64url.encoded(key.sign(document))
    )
    answer = compress_always(msgspec.json.encode(signed))
    if not _is_published(connection, matcher.hash):
        connection.execute(insert(tables.item_maps).values(hash=matcher.hash, answer=answer))
    else:  # what is kept of it may be damaged
        table = tables.item_maps
        connection.execute(update(table).where(table.c.hash == matcher.hash).values(answer=answer))
    connection.execute(insert(tables.item_map_publications).values(item_map=matcher.hash, published_at=now))
    _keep_ready(matcher)
    return matcher.hash


def hash_in_force(connection: Connection) -> str | None:
    newest = newest_publication(connection)
    return None if newest is None else newest.hash


def answer_of(connection: Connection, hashed: str) -> bytes | None:
    """The map with this hash as registers get it: a SignedItemMap in JSON, one zstd frame."""
    column = tables.item_maps.c
    return connection.execute(select(column.answer).where(column.hash == hashed)).scalar_one_or_none()


def newest_publication(connection: Connection) -> Publication | None:
    columns = tables.item_map_publications.c
    row = connection.execute(
        select(columns.item_map, columns.published_at).order_by(columns.id.desc()).limit(1)
    ).first()
    return None if row is None else Publication(hash=row.item_map, published_at=row.published_at)


def item_map(connection: Connection, hashed: str) -> ItemMap:
    """A published map. Raises ItemMapError for one that is damaged, or of another version that this one cannot read."""
    document = _document(connection, hashed)
    if item_map_hash(document) != hashed:
        raise ItemMapError("what the database keeps of it is damaged")
    return item_map_from_json(document)


def matcher_in_force(connection: Connection) -> ItemMatcher | None:
    """The newest map that can be read, ready for use; None where there is none."""
    columns = tables.item_map_publications.c
    published = connection.execute(
        select(columns.item_map).order_by(columns.id.desc()).limit(MAX_LOOKED_BACK)
    ).scalars()
    for hashed in dict.fromkeys(published.all()):
        if (matcher := _matcher(connection, hashed)) is not None:
            return matcher
    return None


def problem_in_force(connection: Connection) -> str | None:
    """What people should do about the map that was published last; None where nothing is wrong with it."""
    newest, used = newest_publication(connection), matcher_in_force(connection)
    if newest is None or (used is not None and used.hash == newest.hash):
        return None
    instead = "receipts of registers that have it not are not mapped"
    if used is not None:
        instead = f"receipts are mapped with the one before, {used.hash[:SHORT_HASH]}…"
    return (
        f"The item map in force, {newest.hash[:SHORT_HASH]}…, cannot be read: {instead}. "
        "Publish the map's file again; if that does not help, update the centre."
    )


class Maps:
    """The maps that the receipts of one batch need, each looked up once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._named: dict[str, ItemMatcher | None] = {}

    def mapped(self, receipt: Receipt) -> Receipt:
        """The receipt with its lines as the map has them; what the register made of them does not count."""
        named = self._by(receipt.item_map) if receipt.item_map else None
        return mapped(receipt, named or self._in_force)

    @cached_property
    def _in_force(self) -> ItemMatcher | None:
        return matcher_in_force(self._connection)

    def _by(self, hashed: str) -> ItemMatcher | None:
        if hashed not in self._named:
            self._named[hashed] = _matcher(self._connection, hashed)
        return self._named[hashed]


def _is_published(connection: Connection, hashed: str) -> bool:
    return (
        connection.execute(select(tables.item_maps.c.hash).where(tables.item_maps.c.hash == hashed)).first() is not None
    )


def _matcher(connection: Connection, hashed: str) -> ItemMatcher | None:
    if not _is_published(connection, hashed):
        return None
    ready = _ready.get(hashed)
    if ready is not None:
        return ready
    try:
        matcher = ItemMatcher(item_map(connection, hashed), hashed)
    except ItemMapError as error:
        if hashed not in _told:  # at each batch otherwise
            _told.add(hashed)
            _log.error("item_map_unreadable", item_map=hashed, reason=str(error))
        return None
    _told.discard(hashed)
    _keep_ready(matcher)
    return matcher


def _document(connection: Connection, hashed: str) -> bytes:
    """Raises ItemMapError."""
    try:
        signed = msgspec.json.decode(decompress(answer_of(connection, hashed) or b"", "zstd"), type=SignedItemMap)
    except (*UNDECODABLE, ValueError, BodyTooLargeError) as error:
        raise ItemMapError("what the database keeps of it is damaged") from error
    return signed.item_map.encode()


def _keep_ready(matcher: ItemMatcher) -> None:
    _ready[matcher.hash] = matcher
    while len(_ready) > KEPT_READY:
        _ready.pop(next(iter(_ready)), None)
