"""A config from the centre: is it whole, signed, and readable here? And the two that are kept.

Owns that check and where the store keeps the config in force and the one before. Never acts on one.
"""

from __future__ import annotations

import msgspec

from loyalty.centre_config import CentreConfig, ConfigError, config_from_json, config_hash
from sync.signing import is_signed
from sync.store.reading import Reading
from sync.store.writing import Writing
from sync.wire import SignedConfig

_META, _META_BEFORE = "config", "config-before"


class ConfigUnusableError(ValueError):
    """A config cannot be put in force; the one before stays. The message says whose turn it is."""


def verified_config(signed: SignedConfig, key: str) -> CentreConfig:
    """The config, if it has its hash and is signed with the public key `key` (unpadded URL-safe base64)."""
    document = signed.config.encode()
    if not is_signed(document, signed.signature, key):
        raise ConfigUnusableError(
            "the config is not signed by the centre this register was enrolled with; "
            "publish its rules or templates again there"
        )
    if config_hash(document) != signed.hash:
        raise ConfigUnusableError(
            "the centre sent another config than it names; publish its rules or templates again there"
        )
    try:
        return config_from_json(document)
    except ConfigError as error:
        raise ConfigUnusableError(
            f"this version cannot read the config of the centre ({error}); update the register"
        ) from error


def keep_config(writing: Writing, signed: SignedConfig) -> None:
    """Keeps a config, and the one before for when this register cannot run with it. It was verified by the caller."""
    kept, fresh = writing.meta(_META), msgspec.json.encode(signed).decode()
    if kept is not None and kept != fresh:
        writing.set_meta(_META_BEFORE, kept)
    writing.set_meta(_META, fresh)


def kept_configs(reading: Reading, key: str) -> tuple[tuple[str, CentreConfig], ...]:
    """Hash and config of those kept that are by the centre with `key` and that this version reads, the newest first."""
    found = []
    for kept in (reading.meta(_META), reading.meta(_META_BEFORE)):
        if kept is None:
            continue
        try:
            signed = msgspec.json.decode(kept, type=SignedConfig)
            found.append((signed.hash, verified_config(signed, key)))
        except (msgspec.DecodeError, ConfigUnusableError):
            continue
    return tuple(found)


def kept_config(reading: Reading, key: str) -> tuple[str, CentreConfig] | None:
    """The newest of those; None where there is none."""
    return next(iter(kept_configs(reading, key)), None)
