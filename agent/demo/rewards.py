"""The demo's rewards: a POS that calls prices its sale at the register, and redeems.

Owns what such a POS says (`docs/local-api.md`), and nothing of what is safe: that is the register's to answer.
"""

from __future__ import annotations

from decimal import Decimal
from http import HTTPStatus

import aiohttp
import msgspec

from agent.demo.floor import Register
from agent.demo.plan import Step
from agent.demo.pos import Item
from agent.demo.shop import CURRENCY
from agent.problem import Problem
from agent.sale_shapes import SaleReport


class RewardRefusedError(Exception):
    """The register does not give the reward. The message is its word to the cashier."""


class Counter:
    """A sale at one register, from its basket on."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._sale = ""

    async def open(self, step: Step) -> None:
        """Tell the register what is in the basket, and whose it is."""
        opened = await self._ask("POST", "", {"basket": basket_of(step.items)})
        self._sale = f"/{opened.sale}"
        await self._ask("POST", f"{self._sale}/member", {"code": step.card})

    async def redeem(self, reward: str) -> int:
        """Reserve a reward; returns what it takes off. Raises RewardRefusedError."""
        told = await self._ask("POST", f"{self._sale}/redemptions", {"reward": reward})
        return sum(one.discount_minor for one in told.redemptions)

    async def void(self) -> None:
        await self._ask("POST", f"{self._sale}/void")

    async def _ask(self, method: str, path: str, body: object = None) -> SaleReport:
        url, headers = self._register.api
        data = None if body is None else msgspec.json.encode(body)
        async with (
            aiohttp.ClientSession(headers={**headers, "Content-Type": "application/json"}) as session,
            session.request(method, f"{url}/v1/sales{path}", data=data) as answer,
        ):
            told = await answer.read()
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise RewardRefusedError(msgspec.json.decode(told, type=Problem).detail or f"it answered {answer.status}")
        return msgspec.json.decode(told, type=SaleReport)


def basket_of(items: tuple[Item, ...]) -> dict[str, object]:
    """The basket in the shape of a receipt."""
    return {
        "kind": "sale",
        "currency": CURRENCY,
        "total_minor": sum(item.amount_minor for item in items),
        "lines": [
            {
                "position": position,
                "kind": "goods",
                "description": item.article.name,
                "quantity": str(Decimal(item.thousandths) / 1000),
                "amount_minor": item.amount_minor,
            }
            for position, item in enumerate(items, start=1)
        ],
    }
