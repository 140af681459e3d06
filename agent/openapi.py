"""The OpenAPI 3.1 description of the local API, made from the routes themselves.

Owns turning routes and value types into the document. Never lists what is not served.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec
from aiohttp.typedefs import Handler
from msgspec import Struct

from agent.calls import KEY
from agent.problem import MEDIA_TYPE, Problem

_PARAMETER = re.compile(r"\{(\w+)\}")
# What a parameter may be, where that is less than any text.
_TEXTS = {"Idempotency-Key": {"type": "string", "pattern": f"^{KEY}$"}}


class Route(Struct, frozen=True, kw_only=True):
    """One operation: what it is for, what it answers, and who may ask.

    `answer` is None where there is no JSON in the answer, several where it may be of each; `body` has the shapes that
    the request may be of, if any, and `may_be_empty` says that it can do without; `query` names the query parameters
    it needs, `optional` and `headers` those it can do without; `page` is true where the cashier page may ask too, not
    only the command line; `display` where the customer view may; `pos` where a POS with its token may; `open` where
    anyone on this machine may.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    answer: type[Struct] | tuple[type[Struct], ...] | None = None
    body: tuple[type[Struct], ...] = ()
    may_be_empty: bool = False
    status: int = 200
    query: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    page: bool = False
    display: bool = False
    pos: bool = False
    open: bool = False


def openapi(routes: Sequence[Route], origin: str) -> bytes:
    """The document, as JSON."""
    named = [kind for route in routes for kind in (*_answers(route), *route.body)]
    types: tuple[type[Struct], ...] = tuple(dict.fromkeys([*named, Problem]))
    schema_of, components = _schemas(types)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Tillside local API",
            "version": version("tillside"),
            "description": (
                "Served to this machine only. Every request needs the exact Host; one with an Origin, ours or one of "
                "[page] origins in the settings, whose pages send a token that was made for it."
            ),
        },
        "servers": [{"url": origin}],
        "paths": _paths(routes, schema_of),
        "components": {
            "schemas": components,
            "securitySchemes": {
                "control": {"type": "http", "scheme": "bearer", "description": "The token in control.json."},
                "pos": {"type": "http", "scheme": "bearer", "description": "What `tillside pos-token` prints."},
                "page": {"type": "apiKey", "in": "cookie", "name": "tillside-PORT", "description": "Set by /pair."},
                "display": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "tillside-PORT-customer",
                    "description": "Set by /pair for the customer view.",
                },
            },
        },
    }
    return msgspec.json.encode(document)


@cache
def _schemas(types: tuple[type[Struct], ...]) -> tuple[dict[type[Struct], dict[str, Any]], dict[str, Any]]:
    """The schema of each type, and those that they name; nobody changes them."""
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    return dict(zip(types, schemas, strict=True)), components


def _paths(routes: Iterable[Route], schema_of: dict[type[Struct], dict[str, Any]]) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schema_of)
    return paths


def _operation(route: Route, schema_of: dict[type[Struct], dict[str, Any]]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": route.summary}
    if answers := _answers(route):
        answer["content"] = {"application/json": {"schema": _any_of(answers, schema_of)}}
    refusal = {"content": {MEDIA_TYPE: {"schema": schema_of[Problem]}}}
    names = [(name, "path", True) for name in _PARAMETER.findall(route.path)]
    names += [(name, "query", name in route.query) for name in (*route.query, *route.optional)]
    operation: dict[str, Any] = {
        "summary": route.summary,
        "responses": {
            str(route.status): answer,
            "403": {"description": "Not from this machine's page or command line.", **refusal},
            "default": {"description": "What went wrong.", **refusal},
        },
        "security": _security(route),
    }
    if route.body:
        schema = _any_of(route.body, schema_of)
        content = {"application/json": {"schema": schema}}
        operation["requestBody"] = {"required": not route.may_be_empty, "content": content}
    names += [(name, "header", False) for name in route.headers]
    if names:
        operation["parameters"] = [
            {"name": name, "in": place, "required": required, "schema": _TEXTS.get(name, {"type": "string"})}
            for name, place, required in names
        ]
    return operation


def _answers(route: Route) -> tuple[type[Struct], ...]:
    if route.answer is None:
        return ()
    return route.answer if isinstance(route.answer, tuple) else (route.answer,)


def _any_of(kinds: Sequence[type[Struct]], schema_of: dict[type[Struct], dict[str, Any]]) -> dict[str, Any]:
    shapes = [schema_of[kind] for kind in kinds]
    return shapes[0] if len(shapes) == 1 else {"anyOf": shapes}


def _security(route: Route) -> list[dict[str, list[str]]]:
    if route.open:
        return []
    parties = [("control", True), ("page", route.page), ("display", route.display), ("pos", route.pos)]
    return [{party: list[str]()} for party, may in parties if may]
