"""Bodies of requests and answers of the local API.

Owns how they are read and written. Never says what is asked.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, TypeVar

import msgspec
from aiohttp import hdrs, web
from msgspec import UNSET, Struct, UnsetType

from agent.problem import MEDIA_TYPE, MalformedBodyError, Problem
from loyalty.undecodable import UNDECODABLE

JSON: Final = "application/json"
_Body = TypeVar("_Body", bound=Struct)


def problem(
    status: HTTPStatus, detail: str, reason: str | UnsetType = UNSET, name: str | UnsetType = UNSET
) -> web.Response:
    """A problem document; `reason` is one of a few words for programs, `name` a member's for the cashier."""
    document = Problem(title=status.phrase, status=status.value, detail=detail, reason=reason, name=name)
    return web.Response(status=status.value, body=msgspec.json.encode(document), content_type=MEDIA_TYPE)


def unreadable(request: web.Request) -> str:
    """What to do about a body that is not read as it is; empty where it is. What is packed could be of any size."""
    if request.content_type != JSON:
        return f"Send JSON, and say so: `Content-Type: {JSON}`."
    if (request.charset or "utf-8").lower() != "utf-8":
        return "Send JSON in UTF-8: no other charset is read."
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        return "Send the body as it is, without a Content-Encoding."
    return ""


async def body_of(request: web.Request, kind: type[_Body]) -> _Body:
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except UNDECODABLE as error:
        raise MalformedBodyError(f"The body is not as /openapi.json has it: {error}.") from error


def answer_of(answer: Struct, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(answer), content_type=JSON)
