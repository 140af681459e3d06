"""What the centre tells every register to do besides the program: its JSON, its checks, its content hash.

Owns what such a config may say; today that is the identification rules. Never matches a code
(`loyalty.identification` does), and never ignores a field it does not know: an unread condition would make
other people's codes members'.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from loyalty.identification import IdentificationRule

_RULE_FIELDS = {field.name: field for field in dataclasses.fields(IdentificationRule)}


class ConfigError(ValueError):
    """A config cannot be used. The message names the path and the remedy."""


class CentreConfig(Struct, frozen=True, kw_only=True):
    """A whole config. Rules count in their order."""

    identification: tuple[IdentificationRule, ...]


def config_from_json(document: bytes) -> CentreConfig:
    """A checked config. Raises ConfigError with path and remedy."""
    try:
        values = msgspec.json.decode(document)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigError(f"not JSON: {error}") from error
    return config_from_values(values)


def config_from_values(values: Any) -> CentreConfig:
    """A checked config from what a JSON or TOML parser gives. Raises ConfigError with path and remedy."""
    if not isinstance(values, dict):
        raise ConfigError('$: write an object with the key "identification"')
    _refuse_unknown(values, CentreConfig.__struct_fields__, "$")
    rules = values.get("identification")
    for index, table in enumerate(rules if isinstance(rules, list) else ()):
        if isinstance(table, dict):
            _refuse_unknown(table, _RULE_FIELDS, f"$.identification[{index}]")
    try:
        config = msgspec.convert(values, CentreConfig)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ConfigError(_with_remedy(str(error))) from error
    return config


def _refuse_unknown(table: Mapping[Any, Any], known: Iterable[str], path: str) -> None:
    names = sorted(known)
    for key in table:
        if key not in names:
            close = difflib.get_close_matches(str(key), names, n=1)
            remedy = f"did you mean {close[0]!r}?" if close else f"this version reads {', '.join(names)}"
            raise ConfigError(f"{path}.{key}: no such key; {remedy}")


def _with_remedy(problem: str) -> str:
    """`Expected int, got str - at $.a` as `$.a: expected int, got str; correct it`."""
    what, _, path = problem.partition(" - at ")
    path = path.strip("`") or "$"
    return f"{path}: {what[:1].lower()}{what[1:].replace('`', '')}; correct it"


def rule_values(rule: IdentificationRule) -> dict[str, object]:
    """A rule as its JSON and TOML have it: what stands at its default is left out.

    So a rule that uses nothing new can be read by an older register, or by a relay that has not been restarted.
    """
    return {name: value for name, field in _RULE_FIELDS.items() if (value := getattr(rule, name)) != field.default}


def config_json(config: CentreConfig) -> bytes:
    """The one byte form of a config: sorted keys, no spaces, defaults left out."""
    values = {"identification": [rule_values(rule) for rule in config.identification]}
    return msgspec.json.encode(values, order="sorted")


def config_hash(document: bytes) -> str:
    """SHA-256 (hexadecimal) of a config as it is sent."""
    return hashlib.sha256(document).hexdigest()
