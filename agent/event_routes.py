"""The socket by which a POS hears what happens at its register.

Owns the route and where a caller goes on. Never knows what an event is made of (`agent.pos_events`).
"""

from __future__ import annotations

from aiohttp import web

from agent.desk import Desk
from agent.openapi import Route
from agent.pos_events import BadgeEvent, CustomerEvent, ReceiptEvent, StateEvent
from agent.problem import MalformedBodyError
from agent.watching import Send, Watchers, changed_or_alive

_MAX_DIGITS = 18


class EventRoutes:
    """The handler of one register's events."""

    def __init__(self, desk: Desk, watchers: Watchers) -> None:
        self._desk = desk
        self._watchers = watchers

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                method="GET",
                path="/v1/events",
                handler=self._events,
                summary="WebSocket: what happens here, numbered; from `after` on, or how it stands where that is gone.",
                answer=(StateEvent, CustomerEvent, ReceiptEvent, BadgeEvent),
                status=101,
                optional=("after",),
                pos=True,
            ),
        )

    async def _events(self, request: web.Request) -> web.StreamResponse:
        reached = _after(request.query.get("after"))

        async def tell(send: Send) -> None:
            nonlocal reached
            with self._desk.watching() as changed:
                while True:
                    reached, messages = self._desk.events.after(reached)
                    for message in messages:
                        await send(message)
                    await changed_or_alive(changed, send)

        return await self._watchers.serve(request, tell)


def _after(given: str | None) -> int | None:
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= _MAX_DIGITS):
        raise MalformedBodyError("`after` is the `seq` of the last event that was taken in.")
    return int(given)
