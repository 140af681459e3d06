"""The checks that every request to the local API passes before anything of it is looked at.

Owns their order and what who fails one is told. Host must be exactly ours, Origin ours or one that the settings let in,
and the caller known and allowed here. Never answers what is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Final
from weakref import WeakSet

from aiohttp import web

from agent.access import Access, Party
from agent.answers import problem
from agent.cross_origin import authorization_of, is_of_own_page, is_preflight, preflight_answer
from agent.openapi import Route
from agent.pace import ACTS_AT_ONCE, ACTS_PER_S, LOOKS_AT_ONCE, LOOKS_PER_S, Allowed, Paced

# Of pages of other origins, all together: a basket of a hundred lines told line by line, then faster than hands are.
ELSEWHERE_AT_ONCE: Final = 100
ELSEWHERE_PER_S: Final = 20.0
# A second one would let one be checked and the other be meant.
_SENT_ONCE: Final = (
    *("Host", "Origin", "Authorization", "Content-Type", "Idempotency-Key", "Sec-Fetch-Site"),
    "Sec-WebSocket-Protocol",
)

# What changes nothing.
_LOOKS: Final = ("GET", "HEAD")


class Gate:
    """Of one register's API; `route_of` says what a request asks for, if there is such a thing."""

    def __init__(
        self, access: Access, route_of: Callable[[web.Request], Route | None], monotonic_s: Callable[[], float]
    ) -> None:
        self._access = access
        self._route_of = route_of
        self._acting = Paced(ACTS_AT_ONCE, ACTS_PER_S, monotonic_s)
        self._looking = Paced(LOOKS_AT_ONCE, LOOKS_PER_S, monotonic_s)
        self._from_elsewhere = Allowed(ELSEWHERE_AT_ONCE, ELSEWHERE_PER_S, monotonic_s)
        self.known: WeakSet[asyncio.BaseTransport] = WeakSet()
        """Connections on which somebody asked who may."""

    def answer_instead(self, request: web.Request) -> web.Response | None:
        """A refusal, or what a browser asks ahead of a page's call; None for who may go on. Raises TooOftenError."""
        if self.elsewhere(request) is not None:
            if is_preflight(request):
                return preflight_answer(request)
            self._from_elsewhere.take()
        refused = self._refusal(request)
        # Whoever may read the control token may do anything here anyway; who is nobody finds only what is open.
        party = self.party(request) if refused is None else None
        if party is not None and request.transport is not None:
            self.known.add(request.transport)
        if party is not None and party != "control":
            (self._looking if request.method in _LOOKS else self._acting).take(self._token(request))
        return refused

    def lets_in(self, request: web.Request) -> bool:
        """Whether who sent `request` a while ago may go on by it: a token may be revoked meanwhile."""
        return self._refusal(request) is None

    def elsewhere(self, request: web.Request) -> str | None:
        """The origin of another's page that asks and is let in; None for ours, for programs and for strangers."""
        return self._access.elsewhere(request.headers.get("Host"), request.headers.get("Origin"))

    def party(self, request: web.Request) -> Party | None:
        authorization, elsewhere = authorization_of(request), self.elsewhere(request)
        return self._access.party(authorization, *self._cookies(request), elsewhere=elsewhere)

    def _cookies(self, request: web.Request) -> tuple[str | None, str | None]:
        """Those of our own pages. A browser sends them from every port of this machine, with what tells no `Origin`."""
        if not is_of_own_page(request):
            return None, None
        access = self._access
        return request.cookies.get(access.cookie_name), request.cookies.get(access.display_cookie_name)

    def _token(self, request: web.Request) -> str:
        """What who asks is known by."""
        return authorization_of(request) or next(filter(None, self._cookies(request)), "")

    def _refusal(self, request: web.Request) -> web.Response | None:
        headers = request.headers
        if any(len(headers.getall(name, [])) > 1 for name in _SENT_ONCE):
            return problem(HTTPStatus.FORBIDDEN, "Send each header once.")
        if not self._access.is_ours(headers.get("Host"), headers.get("Origin")):
            detail = f"This register answers at {self._access.origin} only, and no page but its own and [page] origins."
            refused = problem(HTTPStatus.FORBIDDEN, detail)
            refused.force_close()  # a stranger's page keeps none of our connections
            return refused
        route, elsewhere = self._route_of(request), self.elsewhere(request)
        if route is not None and route.open and elsewhere is None:
            return None
        party = self.party(request)
        if party is None or not _may(party, route):
            return problem(HTTPStatus.FORBIDDEN, _remedy(party, elsewhere, has_token="Authorization" in headers))
        return None


def _may(party: Party, route: Route | None) -> bool:
    if party == "control":
        return True
    return route is not None and {"pos": route.pos, "page": route.page, "display": route.display}[party]


def _remedy(party: Party | None, elsewhere: str | None, *, has_token: bool) -> str:
    """What to do for who is nobody we know, or asks what is not theirs."""
    if party is None and elsewhere is not None:
        return (
            f"A page of {elsewhere} sends a token of its own: make one with `tillside pos-token --origin {elsewhere}`."
        )
    if party == "pos":
        return "This token is for sales, receipts and members alone: see /openapi.json."
    if elsewhere is not None:
        return "This token may look and act for who is shown, as the cashier page may, and nothing else."
    if has_token:
        return (
            "Read the token anew: a POS's with `tillside pos-token`, the command line's in control.json in the "
            "state folder, of which each start makes another."
        )
    return (
        "Run `tillside open` to open the page, already paired. A POS sends `Authorization: Bearer` and the "
        "token that `tillside pos-token` prints."
    )
