"""The part of the local API that sales are priced, redeemed and closed by.

Owns its routes and what they ask of `agent.sales`. Never decides anything of a sale, nor who may ask.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from aiohttp import web

from agent.access import Party
from agent.answers import answer_of, body_of
from agent.openapi import Route
from agent.sale_shapes import BasketGiven, MemberGiven, RedemptionGiven, SaleReport
from agent.sales import Sales
from drivers.receipts.given import GivenReceipt

_KEY = ("Idempotency-Key",)


class SaleRoutes:
    """Handlers for one register's sales; `party` says who asks, once it is known that they may."""

    def __init__(self, sales: Sales, party: Callable[[web.Request], Party | None]) -> None:
        self._sales = sales
        self._party = party

    def routes(self) -> tuple[Route, ...]:
        one = "/v1/sales/{id}"
        return (
            Route(
                method="POST",
                path="/v1/sales",
                handler=self._open,
                summary="Opens a sale, with its basket so far or without.",
                body=(BasketGiven,),
                may_be_empty=True,
                answer=SaleReport,
                status=201,
                headers=_KEY,
                page=True,
                pos=True,
            ),
            Route(
                method="GET",
                path=one,
                handler=self._look,
                summary="The sale as it stands.",
                answer=SaleReport,
                page=True,
                pos=True,
            ),
            Route(
                method="PUT",
                path=one,
                handler=self._price,
                summary="Tells the basket so far: points, rewards with their discount on each line, what is safe here.",
                body=(BasketGiven,),
                answer=SaleReport,
                headers=_KEY,
                page=True,
                pos=True,
            ),
            Route(
                method="POST",
                path=f"{one}/member",
                handler=self._attach,
                summary="Whose the sale is; what was reserved of somebody else's points is released.",
                body=(MemberGiven,),
                answer=SaleReport,
                headers=_KEY,
                page=True,
                pos=True,
            ),
            Route(
                method="DELETE",
                path=f"{one}/member",
                handler=self._detach,
                summary="The sale is nobody's; what was reserved is released.",
                answer=SaleReport,
                headers=_KEY,
                page=True,
                pos=True,
            ),
            Route(
                method="POST",
                path=f"{one}/redemptions",
                handler=self._redeem,
                summary="Reserves a reward; asks the centre for 0.8 s at most where it is not safe here.",
                body=(RedemptionGiven,),
                answer=SaleReport,
                status=201,
                headers=_KEY,
                page=True,
                pos=True,
            ),
            Route(
                method="DELETE",
                path=f"{one}/redemptions/{{redemption}}",
                handler=self._release,
                summary="Releases a reserved reward.",
                answer=SaleReport,
                headers=_KEY,
                page=True,
                pos=True,
            ),
            Route(
                method="POST",
                path=f"{one}/close",
                handler=self._close,
                summary="The receipt that ended the sale: it is booked, and what was reserved counts.",
                body=(GivenReceipt,),
                answer=SaleReport,
                headers=_KEY,
                pos=True,
            ),
            Route(
                method="POST",
                path=f"{one}/void",
                handler=self._void,
                summary="Ends the sale without a receipt: what was reserved is released.",
                answer=SaleReport,
                headers=_KEY,
                page=True,
                pos=True,
            ),
        )

    async def _open(self, request: web.Request) -> web.Response:
        given = await body_of(request, BasketGiven) if await request.read() else BasketGiven()
        told = await self._sales.open(given, _key(request), by_page=self._party(request) == "page")
        return answer_of(told, HTTPStatus.CREATED)

    async def _look(self, request: web.Request) -> web.Response:
        return answer_of(await self._sales.look(_sale(request)))

    async def _price(self, request: web.Request) -> web.Response:
        return answer_of(await self._sales.price(_sale(request), await body_of(request, BasketGiven), _key(request)))

    async def _attach(self, request: web.Request) -> web.Response:
        return answer_of(await self._sales.attach(_sale(request), await body_of(request, MemberGiven), _key(request)))

    async def _detach(self, request: web.Request) -> web.Response:
        return answer_of(await self._sales.detach(_sale(request), _key(request)))

    async def _redeem(self, request: web.Request) -> web.Response:
        given = await body_of(request, RedemptionGiven)
        return answer_of(await self._sales.redeem(_sale(request), given, _key(request)), HTTPStatus.CREATED)

    async def _release(self, request: web.Request) -> web.Response:
        redemption = request.match_info["redemption"]
        return answer_of(await self._sales.release(_sale(request), redemption, _key(request)))

    async def _close(self, request: web.Request) -> web.Response:
        return answer_of(await self._sales.close(_sale(request), await request.read(), _key(request)))

    async def _void(self, request: web.Request) -> web.Response:
        return answer_of(await self._sales.void(_sale(request), _key(request)))


def _sale(request: web.Request) -> str:
    return request.match_info["id"]


def _key(request: web.Request) -> str | None:
    return request.headers.get("Idempotency-Key")
