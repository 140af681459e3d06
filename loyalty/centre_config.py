"""What the centre tells every register to do besides the program: its JSON, its checks, its content hash.

Owns what such a config may say: identification rules, templates of printed layouts, and texts of consents. Never
matches a code (`loyalty.identification` does), never reads a template (a register does, which has the receipts to try
it on), and never ignores a field it does not know: an unread condition would make other people's codes members'.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from loyalty.consent_texts import ConsentTexts, consent_texts_from
from loyalty.identification import IdentificationRule
from loyalty.identification_checks import RuleProblem, RulesError, rule_problems
from loyalty.identification_json import rule_documents, rules_from_documents
from loyalty.undecodable import UNDECODABLE

# A chain with more kinds of tills than this has not been met.
MAX_TEMPLATES = 32
# A till's words and shapes fill two pages.
MAX_TEMPLATE_LETTERS = 64 * 1024
_KEYS = ("identification", "templates", "consents")

TemplateName = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,63}$")]


class ConfigError(ValueError):
    """A config cannot be used. The message says where it is wrong and the remedy."""


class LayoutTemplate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A template as it was written, in TOML. `name` is the one in it."""

    name: TemplateName
    toml: Annotated[str, Meta(min_length=1, max_length=MAX_TEMPLATE_LETTERS)]


class CentreConfig(Struct, frozen=True, kw_only=True):
    """A whole config. Rules count in their order; templates are in that of their names. Without `consents` people are
    asked in the words of the pages.
    """

    identification: tuple[IdentificationRule, ...]
    templates: tuple[LayoutTemplate, ...] = ()
    consents: ConsentTexts | None = None


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
        if key not in _KEYS:
            raise ConfigError(f"{key!r}: no such key; this version reads {', '.join(_KEYS)}")
    try:
        rules = rules_from_documents(values["identification"])
    except RulesError as error:
        raise ConfigError(str(error)) from error
    wrong = [problem for problem in rule_problems(rules) if problem.serious]
    if wrong:
        raise ConfigError("; ".join(map(str, wrong)))
    return CentreConfig(
        identification=rules,
        templates=templates_from(values.get("templates", [])),
        consents=consents_from(values["consents"]) if "consents" in values else None,
    )


def templates_from(values: object) -> tuple[LayoutTemplate, ...]:
    """Templates of a list of `{"name":…,"toml":…}`, in the order of their names. Raises ConfigError."""
    try:
        templates = msgspec.convert(values, tuple[LayoutTemplate, ...])
    except msgspec.ValidationError as error:
        raise ConfigError(f"templates: {error}; write a list of objects with name and toml") from error
    if len(templates) > MAX_TEMPLATES:
        raise ConfigError(f"templates: more than {MAX_TEMPLATES}; withdraw those of tills that are gone")
    names = [template.name for template in templates]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise ConfigError(f"templates: {repeated!r} is there twice; keep one of them")
    return tuple(sorted(templates, key=lambda template: template.name))


def consents_from(values: object) -> ConsentTexts:
    """Texts of consents. Raises ConfigError."""
    try:
        return consent_texts_from(values)
    except msgspec.ValidationError as error:
        raise ConfigError(f"consents: {error}; write a version, and texts by channel and language") from error


def config_warnings(config: CentreConfig) -> tuple[RuleProblem, ...]:
    """What is allowed but probably not meant."""
    return rule_problems(config.identification)


def config_json(config: CentreConfig) -> bytes:
    """The one byte form of a config: sorted keys, no spaces.

    Defaults are left out, so that a config which uses nothing new can be read by an older register.
    """
    document: dict[str, object] = {"identification": rule_documents(config.identification)}
    if config.templates:
        document["templates"] = config.templates
    if config.consents is not None:
        document["consents"] = config.consents
    return msgspec.json.encode(document, order="sorted")


def config_hash(document: bytes) -> str:
    """SHA-256 (hexadecimal) of a config as it is sent."""
    return hashlib.sha256(document).hexdigest()
