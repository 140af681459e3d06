"""`tillside connectors`: the POS that a register can be set to by name, and what is known of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from agent.cli.exit_codes import DONE, USAGE
from config.connector import Connector, connector_named, connector_names


def connectors_command(*, name: str | None, as_json: bool) -> int:
    """Prints all connectors, or what one stands for. Returns the exit code."""
    if name is None:
        titles = {known: connector_named(known).title for known in connector_names()}
        print(json.dumps({"connectors": titles}) if as_json else "\n".join(f"{k:20} {v}" for k, v in titles.items()))
        return DONE
    try:
        connector = connector_named(name)
    except LookupError:
        print(f"no connector {name!r}; there are {', '.join(connector_names())}")
        return USAGE
    print(json.dumps(_document(connector), ensure_ascii=False) if as_json else "\n".join(_lines(name, connector)))
    return DONE


def _document(connector: Connector) -> dict[str, Any]:
    return {key: getattr(connector, key) for key in connector.__struct_fields__}


def _lines(name: str, connector: Connector) -> Iterator[str]:
    yield connector.title
    yield ""
    yield f'  [register]\n  connector = "{name}"'
    for title, sentences in (("Verified:", connector.verified), ("Assumed, not verified:", connector.assumed)):
        yield ""
        yield title
        yield from (f"  - {sentence}" for sentence in sentences)
    if connector.to_say:
        yield ""
        yield "To be said in the settings file:"
        yield from (f"  - [[{section}]] {table!r}: {key}" for section, table, key in map(_parts, connector.to_say))
    yield ""
    yield "It stands for:"
    for section, content in connector.settings.items():
        many = isinstance(content, list)
        for table in content if many else [content]:
            yield f"  [[{section}]]" if many else f"  [{section}]"
            yield from (f"  {key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items())


def _parts(wanted: str) -> tuple[str, str, str]:
    section, table, key = wanted.split(".")
    return section, table, key
