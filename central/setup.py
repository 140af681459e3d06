"""`init`: everything a centre needs before it can serve.

Owns what is made and what is kept when it is run again on a centre that exists: keys, members and
ledgers stay, the schema is brought to this version, given options replace the old ones.
"""

from __future__ import annotations

import ipaddress
import secrets
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct
from sqlalchemy import Connection, insert, select

from central import limits
from central.certificates import ca_sha256, ensure_certificates
from central.db import tables
from central.db.database import Database, Place
from central.db.errors import DatabaseUrlError
from central.folder import Address, AddressError, CentreSettings, DataFolder, JoinSettings
from loyalty.limits import USUAL, USUAL_REWARDS

DEFAULT_LISTEN = Address(host="127.0.0.1", port=8443)
DEFAULT_ADMIN = Address(host="127.0.0.1", port=8790)
# What `join` is where there is to be no such page any more.
OFF = "off"


# Of the codes that are made of telephone numbers and addresses (`loyalty.addresses`).
CODE_KEY_BYTES = 32


class InitOptions(Struct, frozen=True, kw_only=True):
    """What the operator gave; None keeps what was there, or the default. `join` may be OFF."""

    listen: str | None = None
    admin: str | None = None
    hosts: tuple[str, ...] = ()
    brand: str | None = None
    database: str | None = None
    join: str | None = None
    join_url: str | None = None
    join_privacy: str | None = None


class InitDone(Struct, frozen=True, kw_only=True):
    data: str
    listen: str
    admin: str
    ca_sha256: str


def initialise(data: Path, options: InitOptions, now: datetime) -> InitDone:
    """Make or bring up to date. Raises FolderError, DatabaseError."""
    folder = DataFolder(data)
    settings = _settings(folder, options)
    folder.create()
    database = Database(Place(data=data, url=settings.database))
    try:
        database.upgrade()
        database.write_now(lambda connection: _first_row(connection, now))
    finally:
        database.close()
    folder.create_secrets()
    ensure_certificates(folder, settings.hosts, now)
    folder.save_settings(settings)
    return InitDone(data=str(data), listen=str(settings.listen), admin=str(settings.admin), ca_sha256=ca_sha256(folder))


def _settings(folder: DataFolder, options: InitOptions) -> CentreSettings:
    before = (
        folder.settings()
        if folder.has_settings()
        else CentreSettings(listen=DEFAULT_LISTEN, admin=DEFAULT_ADMIN, hosts=())
    )
    listen = Address.parse(options.listen) if options.listen else before.listen
    admin = Address.parse(options.admin) if options.admin else before.admin
    if not _is_loopback(admin.host):
        raise AddressError(
            f"{admin} is no address for them: the admin pages listen on loopback only (127.0.0.1, ::1, localhost); "
            "put your own proxy with TLS and sign-in before them to reach them from elsewhere"
        )
    if options.database is not None and folder.has_settings() and options.database != before.database:
        raise DatabaseUrlError(
            f"the centre in {folder.path} has its database elsewhere, and init moves none: give another --data "
            "for a new centre, or leave --database out"
        )
    return CentreSettings(
        listen=listen,
        admin=admin,
        hosts=options.hosts or before.hosts,
        brand=options.brand or before.brand,
        database=options.database or before.database,
        join=_join(before.join, options),
        alerts=before.alerts,
    )


def _join(before: JoinSettings | None, options: InitOptions) -> JoinSettings | None:
    """Raises AddressError."""
    if options.join == OFF:
        return None
    listen = Address.parse(options.join) if options.join else before.listen if before is not None else None
    url = options.join_url or (before.url if before is not None else None)
    privacy = options.join_privacy or (before.privacy if before is not None else None)
    if listen is None and url is None and privacy is None:
        return None
    if listen is None or url is None:
        raise AddressError(
            "the page on which people join takes both --join HOST:PORT, where it listens, and --join-url, where "
            "telephones reach it"
        )
    if privacy is not None and urlsplit(privacy).scheme != "https":
        raise AddressError(f"{privacy!r} is no address that a telephone opens; write https://…")
    return JoinSettings(listen=listen, url=_page_url(url), privacy=privacy)


def _page_url(text: str) -> str:
    """Where a page is, with a slash at its end. Raises AddressError."""
    parts = urlsplit(text)
    safe = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname or ""))
    if not safe or not parts.hostname or "@" in parts.netloc or parts.path not in ("", "/") or parts.query:
        raise AddressError(
            f"{text!r} is no address for the page on which people join; write https:// and a name of its own, such as "
            "https://join.shop.example/"
        )
    return f"{parts.scheme}://{parts.netloc.lower()}/"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _first_row(connection: Connection, now: datetime) -> None:
    if connection.execute(select(tables.centre.c.id)).first() is None:
        connection.execute(
            insert(tables.centre).values(
                id=1,
                centre_epoch=secrets.token_hex(16),
                feed_pos=0,
                created_at=now,
                code_key=secrets.token_hex(CODE_KEY_BYTES),
            )
        )
        limits.set_limits(connection, USUAL, "as a new centre has them", now)
        limits.set_limits(connection, USUAL_REWARDS, "as a new centre has them", now, "reward")
