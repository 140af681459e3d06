"""The OpenAPI 3.1 document of the device API, built from the route table and the wire types."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec
from msgspec import Struct

from central.bodies import HANDLED
from central.routes import OPERATIONS, Operation, Parameter
from sync.signing import DEVICE_HEADER, REQUEST_ID_HEADER
from sync.wire import Refusal

_REF = "#/components/schemas/{name}"
_JSON, _PROBLEM = "application/json", "application/problem+json"

_MEANING = {
    400: "The request id belongs to another request",
    401: "Not signed by a device of this centre",
    403: "Refused: the token, the device or the body's device",
    404: "Nothing under this address",
    409: "Entries before these have not arrived",
    410: "Gone: open a new epoch, or take a new snapshot",
    413: "Too large: send less at once",
    422: "Unreadable",
    429: "Too many codes that nobody has; try again after Retry-After",
    500: "The centre failed; try again later",
    503: "The centre cannot store this now; try again after Retry-After",
}
_ALWAYS = (500, 503)
_SIGNED = (400, 401, 403, 413)
_SCHEME = "deviceSignature"


@cache
def openapi_json() -> bytes:
    """The document as it is served: the same for every centre of this version."""
    return msgspec.json.encode(openapi_document())


def openapi_document() -> dict[str, Any]:
    """The document as plain JSON values."""
    types = _types()
    _, components = msgspec.json.schema_components(types, ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tillside centre: device API",
            "version": version("tillside"),
            "description": "Registers talk to their centre here, over TLS to a CA they pinned at enrolment.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                _SCHEME: {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Signature",
                    "description": (
                        "RFC 9421 with the device's Ed25519 key over method, path, query, content-digest, "
                        f"{DEVICE_HEADER}, {REQUEST_ID_HEADER} and, where present, content-encoding"
                    ),
                }
            },
        },
    }


def _types() -> list[Any]:
    types: list[Any] = [Refusal, *HANDLED.values()]
    for operation in OPERATIONS:
        types += [one for one in (operation.request, operation.answer) if isinstance(one, type)]
        types += operation.special.values()
    return list(dict.fromkeys(types))


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "parameters": [_parameter(parameter) for parameter in operation.parameters],
        "responses": _responses(operation),
        "security": [{_SCHEME: []}] if operation.signed else [],
    }
    if operation.request is not None:
        described["requestBody"] = {
            "required": True,
            "description": f"JSON, or JSON compressed with zstd; at most {operation.max_body_bytes} bytes either way",
            "content": {_JSON: {"schema": _reference(operation.request)}},
        }
    return described


def _responses(operation: Operation) -> dict[str, Any]:
    if isinstance(operation.answer, str):
        content: dict[str, Any] = {operation.answer: {}}
    else:
        content = {_JSON: {"schema": _reference(operation.answer)}}
    done = {"description": operation.answer_description, "content": content}
    responses: dict[str, Any] = {"101" if operation.live else "200": done}
    refusals = {*_ALWAYS, *operation.refusals, *(_SIGNED if operation.signed else ())}
    for status in sorted(refusals | operation.special.keys()):
        schema = _reference(operation.special.get(status, Refusal))
        responses[str(status)] = {"description": _MEANING[status], "content": {_PROBLEM: {"schema": schema}}}
    return responses


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "required": parameter.required,
        "schema": parameter.schema,
        "description": parameter.description,
    }


def _reference(of: type[Struct]) -> dict[str, str]:
    return {"$ref": _REF.format(name=of.__name__)}
