"""A config from the centre: is it whole, signed, and readable here? And the one that is kept.

Owns that check and where the store keeps the config in force. Never acts on one.
"""

from __future__ import annotations

import msgspec

from loyalty.centre_config import CentreConfig, ConfigError, config_from_json, config_hash
from sync.signing import is_signed
from sync.store.reading import Reading
from sync.store.writing import Writing
from sync.wire import SignedConfig

_META = "config"


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
    """Keeps a config in place of the one before. It was verified by the caller."""
    writing.set_meta(_META, msgspec.json.encode(signed).decode())


def kept_config(reading: Reading, key: str) -> tuple[str, CentreConfig] | None:
    """Hash and config last kept, if it is by the centre with `key` and this version reads it: else none is in force."""
    kept = reading.meta(_META)
    if kept is None:
        return None
    try:
        signed = msgspec.json.decode(kept, type=SignedConfig)
        return signed.hash, verified_config(signed, key)
    except (msgspec.DecodeError, ConfigUnusableError):
        return None
