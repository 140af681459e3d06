"""The part of the local API by which the cashier page acts.

Owns its routes and what they ask of `agent.counter`. Never decides anything, nor who may ask.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from aiohttp import web

from agent.answers import answer_of, body_of
from agent.counter import Counter
from agent.counter_shapes import (
    Attached,
    CodeTyped,
    ForTurn,
    JoinHere,
    Reserved,
    RewardWanted,
    ScanHeard,
    ScansGiven,
    Shown,
)
from agent.joining import Joining
from agent.openapi import Route
from agent.profiles import MemberTold

_KEY = ("Idempotency-Key",)


class CounterRoutes:
    """Handlers for one register's page."""

    def __init__(
        self, counter: Counter, joining: Joining, elsewhere: Callable[[web.Request], str | None] = lambda _request: None
    ) -> None:
        """`elsewhere` gives the origin of another's page that asks."""
        self._counter = counter
        self._joining = joining
        self._elsewhere = elsewhere

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                method="POST",
                path="/v1/scans",
                handler=self._scan,
                summary="What a keyboard scanner typed into the page: taken as any scanner's scan.",
                body=(ScansGiven,),
                answer=ScanHeard,
                page=True,
            ),
            Route(
                method="POST",
                path="/v1/customer",
                handler=self._find,
                summary="Shows whose card or telephone number was typed, or takes a voucher for whoever is shown.",
                body=(CodeTyped,),
                status=204,
                page=True,
            ),
            Route(
                method="DELETE",
                path="/v1/customer",
                handler=self._remove,
                summary="Nobody is the customer; what the page reserved for whoever was is released.",
                body=(Shown,),
                status=204,
                page=True,
            ),
            Route(
                method="POST",
                path="/v1/customer/invitation",
                handler=self._invite,
                summary="Shows whoever has no card the code by which they join on their telephone.",
                status=204,
                page=True,
            ),
            Route(
                method="POST",
                path="/v1/customer/join",
                handler=self._join,
                summary="Whoever holds the unknown card that is shown joins with it.",
                body=(JoinHere,),
                answer=MemberTold,
                status=201,
                headers=_KEY,
                page=True,
            ),
            Route(
                method="POST",
                path="/v1/customer/rewards",
                handler=self._reserve,
                summary="Reserves a reward for whoever is shown; the receipt that shows its discount confirms it.",
                body=(RewardWanted,),
                answer=Reserved,
                status=201,
                headers=_KEY,
                page=True,
            ),
            Route(
                method="DELETE",
                path="/v1/customer/rewards",
                handler=self._release,
                summary="Releases what the page reserved for whoever is shown.",
                body=(ForTurn,),
                status=204,
                page=True,
            ),
            Route(
                method="POST",
                path="/v1/customer/phone",
                handler=self._ask_by_phone,
                summary="Shows the code by which a telephone says whose the unknown card is, and asks for a reward.",
                body=(ForTurn,),
                status=204,
                page=True,
            ),
            Route(
                method="DELETE",
                path="/v1/customer/phone",
                handler=self._end_by_phone,
                summary="The code by which whoever is shown could ask for points by telephone is not shown any more.",
                body=(ForTurn,),
                status=204,
                page=True,
            ),
            Route(
                method="POST",
                path="/v1/receipts/{key}/member",
                handler=self._attach,
                summary="Gives a receipt of the last hour that is nobody's to whoever is shown.",
                body=(ForTurn,),
                answer=Attached,
                headers=_KEY,
                page=True,
            ),
        )

    async def _scan(self, request: web.Request) -> web.Response:
        given, elsewhere = await body_of(request, ScansGiven), self._elsewhere(request) is not None
        return answer_of(await self._counter.scan(given, elsewhere=elsewhere))

    async def _find(self, request: web.Request) -> web.Response:
        await self._counter.find(await body_of(request, CodeTyped))
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _remove(self, request: web.Request) -> web.Response:
        await self._counter.remove(await body_of(request, Shown))
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _invite(self, _request: web.Request) -> web.Response:
        await self._counter.invite()
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _join(self, request: web.Request) -> web.Response:
        return answer_of(await self._joining.join(await body_of(request, JoinHere), _key(request)), HTTPStatus.CREATED)

    async def _reserve(self, request: web.Request) -> web.Response:
        wanted = await body_of(request, RewardWanted)
        return answer_of(await self._counter.reserve(wanted, _key(request)), HTTPStatus.CREATED)

    async def _release(self, request: web.Request) -> web.Response:
        await self._counter.release(await body_of(request, ForTurn))
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _ask_by_phone(self, request: web.Request) -> web.Response:
        await self._counter.ask_by_phone(await body_of(request, ForTurn))
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _end_by_phone(self, request: web.Request) -> web.Response:
        self._counter.end_by_phone(await body_of(request, ForTurn))
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _attach(self, request: web.Request) -> web.Response:
        given, receipt = await body_of(request, ForTurn), request.match_info["key"]
        return answer_of(await self._counter.attach(receipt, given, _key(request)))


def _key(request: web.Request) -> str | None:
    return request.headers.get("Idempotency-Key")
