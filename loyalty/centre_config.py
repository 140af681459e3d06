"""What the centre tells every register to do besides the program: its JSON, its checks, its content hash.

Owns what such a config may say; today that is the identification rules. Never matches a code
(`loyalty.identification` does), and never ignores a field it does not know: an unread condition would make
other people's codes members'.
"""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import Struct

from loyalty.identification import IdentificationRule
from loyalty.identification_checks import RuleProblem, RulesError, rule_problems
from loyalty.identification_json import rule_documents, rules_from_documents
from loyalty.undecodable import UNDECODABLE


class ConfigError(ValueError):
    """A config cannot be used. The message says where it is wrong and the remedy."""


class CentreConfig(Struct, frozen=True, kw_only=True):
    """A whole config. Rules count in their order."""

    identification: tuple[IdentificationRule, ...]


def config_from_json(document: bytes) -> CentreConfig:
    """A checked config. Raises ConfigError."""
    try:
        values = msgspec.json.decode(document)
    except UNDECODABLE as error:
        raise ConfigError(f"not JSON: {error}") from error
    return config_from_values(values)


def config_from_values(values: object) -> CentreConfig:
    """A checked config from what a JSON or TOML parser gives. Raises ConfigError."""
    if not isinstance(values, dict) or "identification" not in values:
        raise ConfigError('there is no "identification"; write its list of rules, an empty one for none')
    for key in values:
        if key != "identification":
            raise ConfigError(f"{key!r}: no such key; this version reads identification")
    try:
        rules = rules_from_documents(values["identification"])
    except RulesError as error:
        raise ConfigError(str(error)) from error
    wrong = [problem for problem in rule_problems(rules) if problem.serious]
    if wrong:
        raise ConfigError("; ".join(map(str, wrong)))
    return CentreConfig(identification=rules)


def config_warnings(config: CentreConfig) -> tuple[RuleProblem, ...]:
    """What is allowed but probably not meant."""
    return rule_problems(config.identification)


def config_json(config: CentreConfig) -> bytes:
    """The one byte form of a config: sorted keys, no spaces.

    Defaults are left out, so that a rule which uses nothing new can be read by an older register.
    """
    return msgspec.json.encode({"identification": rule_documents(config.identification)}, order="sorted")


def config_hash(document: bytes) -> str:
    """SHA-256 (hexadecimal) of a config as it is sent."""
    return hashlib.sha256(document).hexdigest()
