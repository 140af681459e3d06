"""An operator's file of identification rules: TOML as in a register's settings, or JSON of the same shape.

Owns telling the two apart, and writing rules so that they can be edited and published again. Never puts any in
force.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence

import msgspec

from loyalty.centre_config import CentreConfig, ConfigError, config_from_json, config_from_values
from loyalty.identification import IdentificationRule
from loyalty.identification_json import rule_documents


def config_from_file(content: bytes) -> CentreConfig:
    """The checked config of a file. No TOML begins with a brace, and every JSON object does. Raises ConfigError."""
    if content.lstrip().startswith(b"{"):
        return config_from_json(content)
    try:
        values = tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        raise ConfigError(f"byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"not TOML: {error}; correct that line") from error
    return config_from_values(values)


def rules_toml(rules: Sequence[IdentificationRule]) -> str:
    """`rules` as `[[identification]]` tables. JSON's texts, numbers, truth values and lists are TOML's too."""
    if not rules:
        return "identification = []\n"
    tables = (
        "".join(f"{key} = {msgspec.json.encode(value).decode()}\n" for key, value in document.items())
        for document in rule_documents(rules)
    )
    return "\n".join(f"[[identification]]\n{table}" for table in tables)
