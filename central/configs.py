"""What the centre tells every register to do: published, signed, in force.

Owns which identification rules are in force. Never matches a code.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct
from sqlalchemy import Connection, Row, insert, select

from central.db import tables
from loyalty.centre_config import CentreConfig, config_from_json, config_hash, config_json
from loyalty.receipt import AwareDatetime
from sync import base64url
from sync.wire import SignedConfig


class PublishedConfig(Struct, frozen=True, kw_only=True):
    """A config that is in force. `published_at` is since when."""

    hash: str
    published_at: AwareDatetime
    config: CentreConfig


def publish(connection: Connection, config: CentreConfig, key: Ed25519PrivateKey, now: datetime) -> str:
    """Put a config in force; returns its hash. Publishing an earlier one again brings it back."""
    document = config_json(config)
    hashed = config_hash(document)
    known = connection.execute(
        select(tables.configs.c.hash).where(tables.configs.c.hash == hashed)
    ).scalar_one_or_none()
    if known is None:
        signature = base64url.encoded(key.sign(document))
        connection.execute(insert(tables.configs).values(hash=hashed, document=document, signature=signature))
    connection.execute(insert(tables.config_publications).values(config=hashed, published_at=now))
    return hashed


def hash_in_force(connection: Connection) -> str | None:
    columns = tables.config_publications.c
    return connection.execute(select(columns.config).order_by(columns.id.desc()).limit(1)).scalar_one_or_none()


def signed_config(connection: Connection) -> SignedConfig | None:
    """The config in force as registers get it."""
    row = _newest(connection)
    if row is None:
        return None
    return SignedConfig(hash=row.hash, config=row.document.decode(), signature=row.signature)


def config_in_force(connection: Connection) -> PublishedConfig | None:
    row = _newest(connection)
    if row is None:
        return None
    return PublishedConfig(hash=row.hash, published_at=row.published_at, config=config_from_json(row.document))


def _newest(connection: Connection) -> Row[Any] | None:
    published = tables.config_publications
    joined = published.join(tables.configs, tables.configs.c.hash == published.c.config)
    return connection.execute(
        select(tables.configs, published.c.published_at).select_from(joined).order_by(published.c.id.desc()).limit(1)
    ).one_or_none()
