"""What a browser is told so that a page of another origin may call: the headers of CORS, and a token for WebSockets.

Owns these headers. Never decides which origins are let in (`agent.access`). Sources: the Fetch standard, section 3.2;
for `Private-Network` the draft of Private Network Access, which browsers up to 2025 asked by. What came after it, Local
Network Access, asks the user or a policy of the browser and needs nothing of a server.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web

# What a page's WebSocket names, and beside it the token: a browser lets it send no header of its own.
SUBPROTOCOL: Final = "tillside"
BEARER_SUBPROTOCOL: Final = "tillside.token."
# How long a browser may remember an answer; an origin that is taken out of the settings is refused all the same.
REMEMBERED_FOR_S: Final = 600
_OF_OWN: Final = (None, "same-origin", "none")


def is_of_own_page(request: web.Request) -> bool:
    """Whether nothing tells that another's page asks: a browser says so with each request, a program does not.

    `none` is what a person opened. Source: Fetch Metadata Request Headers, section 2.
    """
    return request.headers.get("Sec-Fetch-Site") in _OF_OWN


def is_preflight(request: web.Request) -> bool:
    return request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers


def preflight_answer(request: web.Request) -> web.Response:
    """For an origin that is let in: which calls its page may try. `shared_with` goes with it."""
    headers: dict[str, str] = {
        hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST, PUT, DELETE",
        hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "Authorization, Content-Type, Idempotency-Key",
        hdrs.ACCESS_CONTROL_MAX_AGE: str(REMEMBERED_FOR_S),
    }
    if request.headers.get("Access-Control-Request-Private-Network") == "true":
        headers["Access-Control-Allow-Private-Network"] = "true"
    return web.Response(status=HTTPStatus.NO_CONTENT, headers=headers)


def shared_with(origin: str) -> dict[str, str]:
    """With every answer to a page of `origin`: it alone may read it, and never one that was made for a cookie."""
    return {
        hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: origin,
        hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: "Retry-After",
        hdrs.VARY: "Origin",
    }


def authorization_of(request: web.Request) -> str | None:
    """The header, or the token that a WebSocket of a browser named among its subprotocols."""
    given = request.headers.get(hdrs.AUTHORIZATION)
    if given is not None:
        return given
    offered = [name.strip() for name in request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "").split(",")]
    token = next((name for name in offered if name.startswith(BEARER_SUBPROTOCOL)), None)
    return f"Bearer {token.removeprefix(BEARER_SUBPROTOCOL)}" if token is not None else None
