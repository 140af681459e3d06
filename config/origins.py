"""Where each setting in force comes from.

Owns telling the default, the connector, the file and the environment apart. Never
judges a value (`config.settings` does), and knows nothing of the centre.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from config.connector import connector_named
from config.load import Loaded
from config.settings import ENVIRONMENT_PREFIX, Settings
from config.shown_values import shown

Origin = Literal["default", "connector", "file", "environment", "centre"]
# Who may say a key, where, and what is said there.
_Whose = tuple[Origin, str, Mapping[str, Any]]


class ValueInForce(Struct, frozen=True, kw_only=True):
    """A setting as the documentation writes it, with its table's name among several: `scanners[counter].port`.

    `value` is None where nothing is set; `source` is the file, the variable or the connector.
    """

    key: str
    value: Any
    origin: Origin
    source: str = ""


def values_in_force(loaded: Loaded, settings: Settings, environment: Mapping[str, str]) -> Iterator[ValueInForce]:
    """Every setting of `settings`, which `loaded` and `environment` came to. Passwords are left out."""
    connector = settings.register.connector
    brought = connector_named(connector).settings if connector is not None else {}
    whose: tuple[_Whose, ...] = (
        ("file", str(loaded.file), loaded.document),
        ("connector", connector or "", brought),
    )
    for section, content in _plain(settings).items():
        if isinstance(content, dict):
            of_section = [(origin, source, said.get(section, {})) for origin, source, said in whose]
            for key, value in content.items():
                variable = f"{ENVIRONMENT_PREFIX}{section}__{key}".upper()
                of_variable: _Whose = ("environment", variable, {key: 1} if variable in environment else {})
                yield _in_force(f"{section}.", key, value, [of_variable, *of_section])
            continue
        for table in content:
            of_table = [(origin, source, _named(table["name"], said.get(section))) for origin, source, said in whose]
            for key, value in _with_options_beside(table).items():
                yield _in_force(f"{section}[{table['name']}].", key, value, of_table)


def _in_force(place: str, key: str, value: Any, whose: Sequence[_Whose]) -> ValueInForce:
    """The value with the first who says this key."""
    found = next(((origin, source) for origin, source, said in whose if key in said), ("default", ""))
    return ValueInForce(key=f"{place}{key}", value=shown(key, value), origin=found[0], source=found[1])


def _plain(settings: Settings) -> dict[str, Any]:
    return msgspec.to_builtins(settings, enc_hook=str)  # type: ignore[no-any-return]


def _named(name: str, tables: Any) -> Mapping[str, Any]:
    return next((table for table in tables or () if table.get("name") == name), {})


def _with_options_beside(table: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a scanner's driver, written beside its other keys as in the file."""
    return {key: value for key, value in table.items() if key != "options"} | dict(table.get("options", {}))
