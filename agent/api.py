"""The local API and the cashier page, for this machine only.

Owns the routes that are no part of their own, and that every request passes `agent.gate` before anything else is looked
at; whatever fails there gets 403 and changes nothing. Never renders data into HTML: the page gets JSON and writes it as
text.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from agent.access import Access, Pairing, View
from agent.answers import answer_of, body_of, problem, unreadable
from agent.counter import Counter
from agent.counter_routes import CounterRoutes
from agent.cross_origin import shared_with
from agent.desk import Desk
from agent.event_routes import EventRoutes
from agent.gate import Gate
from agent.inspection import (
    EntryReport,
    ExportReport,
    FoundMembers,
    ItemReport,
    Lending,
    Lent,
    NotFoundError,
    QueueReport,
    Reread,
    RereadReport,
    Resolve,
    StatusReport,
)
from agent.joining import Joining
from agent.listening import BODY_WITHIN_S
from agent.openapi import Route, openapi
from agent.pace import TooOftenError, check_guesses
from agent.page_routes import PageRoutes
from agent.posted import BusyError, ReceiptsTaken
from agent.problem import MEDIA_TYPE, MalformedBodyError
from agent.profiles import EditRequest, JoinRequest, MemberTold, Profiles
from agent.returns import ReturnReport
from agent.sale_routes import SaleRoutes
from agent.sale_shapes import SaleRefusedError
from agent.store_inspection import StoreInspection
from agent.supervisor import StuckWorkerError, Supervisor, UnknownWorkerError
from agent.watching import MAX_LISTENERS, MAX_PAGES, Watchers
from drivers.receipts.given import GivenReceipt, GivenReceipts
from loyalty.member import Member
from sync.guesses import Guesses
from sync.store.errors import StoreError

if TYPE_CHECKING:
    from agent.rereading import Rereader
    from agent.sales import Sales
    from agent.webhook import Webhook

# A receipt of a thousand lines; everything else that is sent here is small.
MAX_BODY_BYTES = 256 * 1024

# Errors whose message is for whoever asked.
_STATUS_OF: tuple[tuple[type[Exception], HTTPStatus], ...] = (
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (UnknownWorkerError, HTTPStatus.NOT_FOUND),
    (MalformedBodyError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (StoreError, HTTPStatus.SERVICE_UNAVAILABLE),
    (StuckWorkerError, HTTPStatus.SERVICE_UNAVAILABLE),
    (BusyError, HTTPStatus.SERVICE_UNAVAILABLE),
)
_TOLD = tuple(kind for kind, _ in _STATUS_OF)

log = structlog.get_logger(__name__)


class LocalApi:
    """The handlers of one register."""

    def __init__(
        self,
        access: Access,
        desk: Desk,
        inspection: StoreInspection,
        supervisor: Supervisor,
        take_up_enrolment: Callable[[], None],
        *,
        profiles: Profiles,
        guesses: Guesses,
        sales: Sales | None = None,
        counter: Counter | None = None,
        joining: Joining | None = None,
        webhook: Webhook | None = None,
        rereader: Callable[[], Rereader] | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
        body_within_s: float = BODY_WITHIN_S,
    ) -> None:
        """`webhook` is the source that takes posted receipts, where the settings have one; `guesses` are of all calls.

        `rereader` gives what reads the quarantine again: it is loaded when it is first asked.
        """
        self._access = access
        self._gate = Gate(access, self._route, monotonic_s)
        self.known = self._gate.known
        self._inspection = inspection
        self._supervisor = supervisor
        self._take_up_enrolment = take_up_enrolment
        self._profiles = profiles
        self._webhook = webhook
        self._rereader = rereader
        self._sales = SaleRoutes(sales, self._gate.party) if sales is not None else None
        self._guesses = guesses
        self._body_within_s = body_within_s
        self._counter = None
        if counter is not None and joining is not None:
            self._counter = CounterRoutes(counter, joining, self._gate.elsewhere)
        self._pages, self._listeners = (Watchers(most, self._gate.lets_in) for most in (MAX_PAGES, MAX_LISTENERS))
        self._events = EventRoutes(desk, self._listeners)
        self._page = PageRoutes(access, desk, self._pages)
        self.routes = self._routes()
        self._by_place = {(route.method, route.path): route for route in self.routes}
        self._openapi = openapi(self.routes, access.origin)
        self._headers = headers_of(access.authority)

    def application(self) -> web.Application:
        application = web.Application(middlewares=[self._guard], client_max_size=MAX_BODY_BYTES)
        for route in self.routes:
            application.router.add_route(route.method, route.path, route.handler)
        application.on_response_prepare.append(self._say_as_problem)
        application.on_shutdown.extend((self._pages.leave, self._listeners.leave))
        return application

    def _routes(self) -> tuple[Route, ...]:
        get, post = "GET", "POST"
        sales = self._sales.routes() if self._sales is not None else ()
        counter = self._counter.routes() if self._counter is not None else ()
        return (
            *self._page.routes(),
            *self._events.routes(),
            Route(
                method=get,
                path="/openapi.json",
                handler=self._document,
                summary="This document.",
                open=True,
            ),
            Route(
                method=get,
                path="/v1/status",
                handler=self._status,
                summary="How this register is.",
                answer=StatusReport,
                page=True,
            ),
            Route(
                method=get,
                path="/v1/members/{code}",
                handler=self._member,
                summary="A member by code, from this register's own store.",
                answer=Member,
                page=True,
                pos=True,
            ),
            Route(
                method=post,
                path="/v1/members",
                handler=self._join,
                summary="Somebody joins, and is usable at once; a repeat under its key gets the first answer.",
                body=(JoinRequest,),
                answer=MemberTold,
                status=201,
                headers=("Idempotency-Key",),
                pos=True,
            ),
            Route(
                method=post,
                path="/v1/members/{code}",
                handler=self._edit_member,
                summary="What is told of a member: fields, consents, another code; shown here at once.",
                body=(EditRequest,),
                answer=MemberTold,
                headers=("Idempotency-Key",),
                pos=True,
            ),
            Route(
                method=get,
                path="/v1/members",
                handler=self._members,
                summary="Members one of whose codes starts with the text.",
                answer=FoundMembers,
                query=("starts",),
            ),
            Route(
                method=post,
                path="/v1/pairings",
                handler=self._open_pairing,
                summary="A one-time address that opens the page, paired; with `view=customer` the customer's.",
                answer=Pairing,
                status=201,
                optional=("view",),
            ),
            Route(
                method=post,
                path="/v1/revocations",
                handler=self._revoked,
                summary="Closes the sockets of those whose token or cookie the command line has just revoked.",
                status=204,
            ),
            Route(
                method=post,
                path="/v1/enrolment",
                handler=self._enrolled,
                summary="Take up the enrolment that the command line has just saved.",
                status=204,
            ),
            Route(
                method=post,
                path="/v1/receipts",
                handler=self._receipts,
                summary="Receipts of a POS, answered once durable; a repeat under its key gets the first answer.",
                body=(GivenReceipts, GivenReceipt),
                answer=ReceiptsTaken,
                headers=("Idempotency-Key",),
                pos=True,
            ),
            Route(
                method=post,
                path="/v1/returns",
                handler=self._return,
                summary="A return of a sale that its `original` names: booked, and what it takes back is told.",
                body=(GivenReceipt,),
                answer=ReturnReport,
                headers=("Idempotency-Key",),
                pos=True,
            ),
            Route(
                method=get,
                path="/v1/queue",
                handler=self._queue,
                summary="What waits for the centre, and for a person.",
                answer=QueueReport,
            ),
            Route(
                method=get,
                path="/v1/queue/{number}",
                handler=self._entry,
                summary="One entry with its body.",
                answer=EntryReport,
            ),
            Route(
                method=post,
                path="/v1/queue/{number}/retry",
                handler=self._retry,
                summary="Sends an entry again that the centre refused.",
                status=204,
            ),
            Route(
                method=get,
                path="/v1/quarantine",
                handler=self._export,
                summary="What could not be read or believed, with its bytes, in pages: ask `after` the last `next`.",
                answer=ExportReport,
                optional=("after",),
            ),
            Route(
                method=get,
                path="/v1/quarantine/{id}",
                handler=self._item,
                summary="One item of it: what the paper shows, what readers make of it, and what to do.",
                answer=ItemReport,
            ),
            Route(
                method=post,
                path="/v1/quarantine/{id}/reread",
                handler=self._reread,
                summary="Reads an item again by what is in force now, and books what comes of it.",
                answer=Reread,
            ),
            Route(
                method=post,
                path="/v1/quarantine/reread",
                handler=self._reread_some,
                summary="The same for the next items: ask `after` the last `next`.",
                answer=RereadReport,
                optional=("after",),
            ),
            Route(
                method=post,
                path="/v1/quarantine/{id}/resolve",
                handler=self._resolve,
                summary="Takes an item out of the quarantine: a person has dealt with it.",
                body=(Resolve,),
                status=204,
            ),
            Route(
                method=post,
                path="/v1/scanners/{name}/lend",
                handler=self._lend,
                summary="Closes a scanner's port for a while, so that the caller can test it; asked again, anew.",
                body=(Lending,),
                answer=Lent,
            ),
            Route(
                method="DELETE",
                path="/v1/scanners/{name}/lend",
                handler=self._give_back,
                summary="Takes the scanner back before its time is up.",
                status=204,
            ),
            *sales,
            *counter,
        )

    # The checks

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await self._answer(request, handler)
        if not response.prepared:
            response.headers.update(self._headers)
            if elsewhere := self._gate.elsewhere(request):
                response.headers.update(shared_with(elsewhere))
        return response

    async def _say_as_problem(self, _request: web.Request, response: web.StreamResponse) -> None:
        """An `Expect` that aiohttp does not know it refuses before it asks us, in a text of its own."""
        if isinstance(response, web.HTTPExpectationFailed):
            told = problem(HTTPStatus.EXPECTATION_FAILED, "Send no `Expect` but `100-continue`, or none.")
            response.body = told.body
            length = {"Content-Type": MEDIA_TYPE, "Content-Length": str(told.content_length)}
            response.headers.update({**self._headers, **length})

    def _route(self, request: web.Request) -> Route | None:
        resource = request.match_info.route.resource
        if resource is None:
            return None
        # aiohttp answers HEAD with what GET answers.
        method = "GET" if request.method == "HEAD" else request.method
        return self._by_place.get((method, resource.canonical))

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return self._gate.answer_instead(request) or await self._answer_whole(request, handler)
        except _TOLD as error:
            return problem(next(status for kind, status in _STATUS_OF if isinstance(error, kind)), str(error))
        except TooOftenError as error:
            slowed = problem(HTTPStatus.TOO_MANY_REQUESTS, str(error))
            slowed.headers[hdrs.RETRY_AFTER] = str(error.wait_s)
            return slowed
        except SaleRefusedError as error:
            return problem(HTTPStatus.CONFLICT, str(error), error.reason, error.name)
        except web.HTTPRequestEntityTooLarge:
            detail = f"The body is larger than {MAX_BODY_BYTES // 1024} KiB: send fewer receipts in one call."
            return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
        except web.HTTPException as error:
            refused = problem(HTTPStatus(error.status), "Nothing here; see /openapi.json for what is.")
            if allowed := error.headers.get(hdrs.ALLOW):
                refused.headers[hdrs.ALLOW] = allowed
            return refused
        except Exception as error:  # noqa: BLE001 — the caller gets an answer, the log the kind of error
            log.error("request_failed", method=request.method, error=type(error).__name__)
            return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong here; the agent's log names it.")

    async def _answer_whole(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Once all of the body is here: who sends it slowly takes up a connection for so long, and nothing else."""
        if request.can_read_body:
            if self._route(request) is not None and (unread := unreadable(request)):
                return problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, unread)
            try:
                async with asyncio.timeout(self._body_within_s):
                    await request.read()
            except TimeoutError:
                detail = f"The body was not whole within {self._body_within_s:g} s: send it in one go."
                slow = problem(HTTPStatus.REQUEST_TIMEOUT, detail)
                slow.force_close()
                return slow
        return await handler(request)

    async def _document(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._openapi, content_type="application/json")

    # Questions

    async def _status(self, _request: web.Request) -> web.Response:
        members = await asyncio.to_thread(self._inspection.count_members)
        return answer_of(self._inspection.status_with(members))

    async def _member(self, request: web.Request) -> web.Response:
        check_guesses(self._guesses)
        with self._guesses.asking(NotFoundError):
            return answer_of(self._inspection.member(request.match_info["code"]))

    async def _members(self, request: web.Request) -> web.Response:
        if "starts" not in request.query:
            raise MalformedBodyError("Say in `starts` how a code of theirs begins.")
        return answer_of(FoundMembers(members=self._inspection.find_members(request.query["starts"])))

    async def _join(self, request: web.Request) -> web.Response:
        wanted = await body_of(request, JoinRequest)
        return answer_of(await self._profiles.join(wanted, request.headers.get("Idempotency-Key")), HTTPStatus.CREATED)

    async def _edit_member(self, request: web.Request) -> web.Response:
        wanted = await body_of(request, EditRequest)
        which, key = request.match_info["code"], request.headers.get("Idempotency-Key")
        check_guesses(self._guesses)
        with self._guesses.asking(NotFoundError):
            return answer_of(await self._profiles.edit(which, wanted, key))

    async def _open_pairing(self, request: web.Request) -> web.Response:
        view: View = "customer" if request.query.get("view") == "customer" else "cashier"
        return answer_of(self._access.open_pairing(view), HTTPStatus.CREATED)

    async def _revoked(self, _request: web.Request) -> web.Response:
        for watchers in (self._pages, self._listeners):
            watchers.look_again()
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _enrolled(self, _request: web.Request) -> web.Response:
        self._take_up_enrolment()
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _receipts(self, request: web.Request) -> web.Response:
        webhook, document = self._taking(), await request.read()
        return answer_of(await webhook.take(document, request.headers.get("Idempotency-Key")))

    async def _return(self, request: web.Request) -> web.Response:
        webhook, document = self._taking(), await request.read()
        return answer_of(await webhook.take_return(document, request.headers.get("Idempotency-Key")))

    def _taking(self) -> Webhook:
        if self._webhook is None:
            raise NotFoundError(
                "no source takes posted receipts: add a [[receipts]] with webhook = true to the settings"
            )
        return self._webhook

    async def _queue(self, _request: web.Request) -> web.Response:
        return answer_of(await asyncio.to_thread(self._inspection.queue))

    async def _entry(self, request: web.Request) -> web.Response:
        return answer_of(self._inspection.entry(_number(request.match_info["number"])))

    async def _retry(self, request: web.Request) -> web.Response:
        await asyncio.to_thread(self._inspection.retry, _number(request.match_info["number"]))
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _export(self, request: web.Request) -> web.Response:
        return answer_of(self._inspection.export(_number(request.query.get("after", "0"))))

    async def _item(self, request: web.Request) -> web.Response:
        return answer_of(await asyncio.to_thread(self._inspection.item, _number(request.match_info["id"])))

    async def _reread(self, request: web.Request) -> web.Response:
        return answer_of(await self._rereading().reread(_number(request.match_info["id"])))

    async def _reread_some(self, request: web.Request) -> web.Response:
        return answer_of(await self._rereading().reread_some(_number(request.query.get("after", "0"))))

    def _rereading(self) -> Rereader:
        if self._rereader is None:
            raise NotFoundError("nothing here reads receipts")
        return self._rereader()

    async def _resolve(self, request: web.Request) -> web.Response:
        how = await body_of(request, Resolve)
        await asyncio.to_thread(self._inspection.resolve, _number(request.match_info["id"]), how)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _lend(self, request: web.Request) -> web.Response:
        lending = await body_of(request, Lending)
        name = request.match_info["name"]
        return answer_of(Lent(name=name, until=await self._supervisor.lend("scanner", name, lending.seconds)))

    async def _give_back(self, request: web.Request) -> web.Response:
        self._supervisor.give_back("scanner", request.match_info["name"])
        return web.Response(status=HTTPStatus.NO_CONTENT)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise NotFoundError("what waits is named by its number; `tillside queue list` shows them")
    return int(text)


def headers_of(authority: str) -> dict[str, str]:
    """Sent with every answer: the page runs our own files and nothing else, and nobody frames or keeps it."""
    return {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
            f"connect-src 'self' ws://{authority}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
            "require-trusted-types-for 'script'; trusted-types 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Server": "tillside",
    }
