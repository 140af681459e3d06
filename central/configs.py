"""What the centre tells every register to do: published, signed, in force.

Owns which identification rules, templates and texts of consents are in force. Never matches a code, and never reads a
receipt.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, Row, insert, select

from central.db import tables
from loyalty.centre_config import (
    CentreConfig,
    ConfigError,
    LayoutTemplate,
    config_from_json,
    config_hash,
    config_json,
    templates_from,
)
from loyalty.consent_texts import ConsentTexts
from loyalty.identification import IdentificationRule
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


def publish_rules(
    connection: Connection, rules: tuple[IdentificationRule, ...], key: Ed25519PrivateKey, now: datetime
) -> CentreConfig:
    """Put rules in force beside the templates that are; returns the whole."""
    config = replace(_in_force(connection), identification=rules)
    publish(connection, config, key, now)
    return config


def publish_templates(
    connection: Connection, templates: Sequence[LayoutTemplate], key: Ed25519PrivateKey, now: datetime
) -> CentreConfig:
    """Put templates in force, in place of those of the same names; returns the whole. Raises ConfigError."""
    config = _in_force(connection)
    names = {template.name for template in templates}
    kept = [template for template in config.templates if template.name not in names]
    return _publish_these(connection, config, (*kept, *templates), key, now)


def withdraw_template(connection: Connection, name: str, key: Ed25519PrivateKey, now: datetime) -> CentreConfig:
    """Take a template out of force; returns the whole. Raises LookupError where it is not in force."""
    config = _in_force(connection)
    if name not in {template.name for template in config.templates}:
        raise LookupError(name)
    kept = [template for template in config.templates if template.name != name]
    return _publish_these(connection, config, kept, key, now)


def publish_consents(
    connection: Connection, texts: ConsentTexts | None, key: Ed25519PrivateKey, now: datetime
) -> CentreConfig:
    """Let people be asked by these texts, or by the pages' own; returns the whole.

    Raises ConfigError where the version was published with other texts: what was agreed to could not be told any more.
    """
    for document in connection.execute(select(tables.configs.c.document)).scalars():
        before = config_from_json(document).consents
        if before is not None and texts is not None and before.version == texts.version and before != texts:
            raise ConfigError(f"version {texts.version!r} was published with other texts; give these another version")
    config = replace(_in_force(connection), consents=texts)
    publish(connection, config, key, now)
    return config


def consents_in_force(connection: Connection) -> ConsentTexts | None:
    """By which texts people are asked; None where by the pages' own."""
    return _in_force(connection).consents


def _publish_these(
    connection: Connection,
    config: CentreConfig,
    templates: Sequence[LayoutTemplate],
    key: Ed25519PrivateKey,
    now: datetime,
) -> CentreConfig:
    whole = replace(config, templates=templates_from(msgspec.to_builtins(templates)))
    publish(connection, whole, key, now)
    return whole


def _in_force(connection: Connection) -> CentreConfig:
    published = config_in_force(connection)
    return published.config if published is not None else CentreConfig(identification=())


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
