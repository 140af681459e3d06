"""Connectors: the settings that go with a POS by its name, so that one line of a settings file says them all.

Owns their shape, the files shipped with this package, and how a settings file is laid over one. Never says what a
setting means (`config.settings` does).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

import msgspec
from msgspec import Struct

FOLDER: Final = "connectors"
SUFFIX: Final = ".toml"
# The lists of a settings file whose tables are known by their names.
_NAMED: Final = "name"


class Connector(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of one POS, and the settings that follow from it.

    `verified` says what was seen to work and on what, `assumed` what was not. `to_say` are the keys that only the
    operator knows, each as section, table's name and key, such as `receipts.paper.spool`.
    """

    title: str
    verified: tuple[str, ...]
    assumed: tuple[str, ...]
    to_say: tuple[str, ...]
    settings: dict[str, Any]


class Missing(Struct, frozen=True, kw_only=True):
    """A key that the operator has not said yet: `table` is the name of a table in the list `section`."""

    section: str
    table: str
    key: str


def connector_names() -> tuple[str, ...]:
    """The connectors that come with Tillside, in the order of the alphabet."""
    folder = resources.files("config") / FOLDER
    return tuple(sorted(file.name.removesuffix(SUFFIX) for file in folder.iterdir() if file.name.endswith(SUFFIX)))


@cache
def connector_named(name: str) -> Connector:
    """The connector of this name. Raises LookupError where there is none."""
    if name not in connector_names():
        raise LookupError(name)
    document = (resources.files("config") / FOLDER / f"{name}{SUFFIX}").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(document), Connector)


def laid_over(connector: Connector, document: Mapping[str, Any]) -> dict[str, Any]:
    """The connector's settings with those of a settings file over them.

    Tables of one name are one table, key by key. Where a list has tables of both, those of the file come first: of
    two rules the first one that fits decides.
    """
    merged: dict[str, Any] = dict(document)
    for section, known in connector.settings.items():
        said = document.get(section)
        if isinstance(known, list):
            merged[section] = _lists(known, said) if isinstance(said, list | None) else said
        else:
            merged[section] = {**known, **said} if isinstance(said, dict) else said if said is not None else dict(known)
    return merged


def _lists(known: list[dict[str, Any]], said: list[Any] | None) -> list[Any]:
    by_name = {table[_NAMED]: table for table in known}
    tables = []
    for table in said or []:
        name = table.get(_NAMED) if isinstance(table, dict) else None
        tables.append({**by_name.pop(name), **table} if isinstance(name, str) and name in by_name else table)
    return [*tables, *(dict(table) for table in by_name.values())]


def still_to_say(connector: Connector, merged: Mapping[str, Any]) -> tuple[Missing, ...]:
    """What the operator has to say before this connector can be used."""
    missing = []
    for wanted in connector.to_say:
        section, name, key = wanted.split(".")
        tables = [table for table in merged.get(section, ()) if isinstance(table, dict) and table.get(_NAMED) == name]
        if not any(key in table for table in tables):
            missing.append(Missing(section=section, table=name, key=key))
    return tuple(missing)
