"""The admin pages: server-rendered HTML on a listener of their own.

Owns routes, the checks before every page, and the headers after it. Plain HTTP on loopback, so every
request must name this very address, forms must carry their session's token, and a page may load
nothing but its own style sheet. Says nothing about what a page shows: `central.admin.views` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode

import structlog
from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from central import (
    allowance_desk,
    cards,
    devices,
    item_maps,
    members,
    metrics,
    operations,
    quarantine,
    releases,
    review,
    unmapped,
)
from central.admin.session import COOKIE, SESSION_LIFE, Sessions, allowed_hosts, use_link
from central.admin.views.allowances import allowances_page
from central.admin.views.cards import blocked_cards, card_view, unknown_cards
from central.admin.views.desk import quarantine_desk
from central.admin.views.fleet import Wanted, fleet_page, fleet_tally
from central.admin.views.front import rule_rows, shop_totals
from central.admin.views.goods import goods_page
from central.admin.views.held import held_page
from central.admin.views.members import MEMBERS_SHOWN, member_page, member_rows
from central.admin.views.programs import program_rows
from central.admin.views.variances import variance_rows
from central.certificates import ca_sha256
from central.clock import Clock
from central.db.database import Database
from central.devices import Randomness
from central.enrolling import NobodyToReplaceError
from central.feed import Sequencer
from central.folder import Address, DataFolder
from central.journal import Journal, Revoked
from central.texts import NameRefusedError
from sync.qr import qr_path

_log = structlog.get_logger(__name__)

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# The forms here carry a few short fields.
MAX_FORM_BYTES = 16 * 1024
MAX_FIELD_CHARS = 255
MAX_NUMBER_DIGITS = 18
OVERVIEW_REFRESH_S = 10
FLEET_REFRESH_S = 5
_SCRIPT = (Path(__file__).parent / "live.js").read_bytes()
# Somebody stands at the register, or will in a moment: what is left on a screen is soon of no use.
CODE_LIFE = timedelta(minutes=30)
_STYLE = (Path(__file__).parent / "style.css").read_bytes()
# Whoever is on this machine may read numbers, which are about nobody.
_OPEN_TO_ALL = frozenset({"/open", "/style.css", "/live.js", "/metrics"})
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with "no-referrer" a browser sends forms with the origin `null`
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# The one page that runs a script, which asks for nothing but this page.
_LIVE = "/fleet"
_LIVE_POLICY = _HEADERS["Content-Security-Policy"] + "; script-src 'self'; connect-src 'self'"


class _RefusedError(Exception):
    """A request that gets no page; the message is shown."""


class AdminPages:
    """Pages, and the few forms on them."""

    def __init__(
        self,
        *,
        database: Database,
        sequencer: Sequencer,
        journal: Journal,
        folder: DataFolder,
        secret: bytes,
        brand: str,
        refused: Mapping[str, int],
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._database = database
        self._sequencer = sequencer
        self._journal = journal
        self._folder = folder
        self._sessions = Sessions(secret, randomness)
        self._refused = refused
        self._clock = clock
        self._randomness = randomness
        self._at = Address(host="127.0.0.1", port=0)
        self._templates = Environment(
            loader=PackageLoader("central.admin"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals["brand"] = brand

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=MAX_FORM_BYTES)
        for path, handler in {
            "/": self._overview,
            "/fleet": self._fleet,
            "/enrolment": self._enrolment,
            "/members": self._members,
            "/members/{member}": self._member,
            "/cards": self._cards,
            "/allowances": self._allowances,
            "/goods": self._goods,
            "/goods.csv": self._goods_csv,
            "/held": self._held,
            "/quarantine": self._quarantine,
            "/variances": self._variances,
            "/metrics": self._metrics,
            "/open": self._open,
            "/style.css": self._style,
            "/live.js": self._script,
        }.items():
            app.router.add_get(path, handler, allow_head=False)
        app.router.add_post("/cards/link", self._link)
        app.router.add_post("/cards/block", self._block)
        app.router.add_post("/cards/unblock", self._unblock)
        app.router.add_post("/enrolment", self._make_code)
        app.router.add_post("/registers/revoke", self._revoke)
        app.router.add_post("/releases/stop", self._stop_release)
        app.router.add_post("/releases/go-on", self._release_goes_on)
        app.router.add_post("/allowances/write-off", self._write_off)
        app.router.add_post("/held/accept", self._accept)
        app.router.add_post("/quarantine/again", self._apply_again)
        app.router.add_post("/quarantine/dismiss", self._dismiss)
        return app

    def bound_to(self, address: Address) -> None:
        """Where the listener really is: the only place these pages may be asked for."""
        self._at = address

    async def one_time_link(self) -> str:
        link = await self._database.write(
            lambda connection: operations.admin_link(connection, self._at, self._clock(), self._randomness)
        )
        return link.open

    # ---- before and after every page

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            self._check_origin(request)
            if request.path not in _OPEN_TO_ALL:
                self._check_session(request)
            if request.method == "POST":
                await self._check_form(request)
            response = await handler(request)
        except _RefusedError as error:
            response = self._page("message.html", 403, title="Not open", text=str(error))
        except web.HTTPException as error:
            if error.status < 400:
                raise
            response = self._page("message.html", error.status, title="Not here", text=error.reason)
        except OperationalError as error:
            _log.error("database_failed", error=str(error.orig))
            text = "The database is busy or full. Nothing was changed; try again."
            response = self._page("message.html", 503, title="Not now", text=text)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:  # noqa: BLE001 - the edge: what it says may hold a member's code
            _log.error("page_failed", page=request.match_info.route.resource, error=type(error).__name__)
            text = f"The centre failed ({type(error).__name__}). Nothing was changed; its log has the time."
            response = self._page("message.html", 500, title="Failed", text=text)
        response.headers.update(_HEADERS)
        if request.path == _LIVE:
            response.headers["Content-Security-Policy"] = _LIVE_POLICY
        return response

    def _check_origin(self, request: web.Request) -> None:
        """Exactly this listener, asked for by its own pages: a name that was bound to it is refused."""
        hosts = allowed_hosts(self._at)
        if request.headers.getall("Host", []) not in [[host] for host in hosts]:
            raise _RefusedError(f"Open these pages at http://{self._at} itself.")
        origins = request.headers.getall("Origin", [])
        if origins not in ([], [f"http://{request.headers['Host']}"]):
            raise _RefusedError("Another site's page asked for this.")
        if request.method not in ("GET", "HEAD") and not origins:
            raise _RefusedError("A form must come from a page of this centre.")

    def _check_session(self, request: web.Request) -> None:
        if not self._sessions.holds(request.cookies.get(COOKIE, ""), self._clock()):
            raise _RefusedError("Run `tillside-central open` on the centre's machine and open the link it prints.")

    async def _check_form(self, request: web.Request) -> None:
        if request.content_type != "application/x-www-form-urlencoded":
            raise _RefusedError("A form must come from a page of this centre.")
        token = (await request.post()).get("token", "")
        if not isinstance(token, str) or not self._sessions.form_holds(request.cookies[COOKIE], token):
            raise _RefusedError("This form is too old; go back, reload the page and send it again.")

    def _page(self, template: str, status: int = 200, /, **values: object) -> web.Response:
        text = self._templates.get_template(template).render(**values)
        return web.Response(text=text, content_type="text/html", status=status)

    def _form_token(self, request: web.Request) -> str:
        return self._sessions.form_token(request.cookies[COOKIE])

    async def _read(self, work: Callable[[Connection], T]) -> T:
        return await self._database.read(work)

    # ---- pages

    async def _open(self, request: web.Request) -> web.StreamResponse:
        token, now = request.query.get("token", ""), self._clock()
        if not await self._database.write(lambda connection: use_link(connection, token, now)):
            raise _RefusedError("This link was used or is too old. Run `tillside-central open` for another.")
        response = web.Response(status=303, headers={"Location": "/"})
        response.set_cookie(
            COOKIE,
            self._sessions.cookie(now),
            max_age=int(SESSION_LIFE.total_seconds()),
            httponly=True,
            samesite="Strict",
            path="/",
        )
        return response

    async def _style(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(body=_STYLE, content_type="text/css", charset="utf-8")

    async def _script(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(body=_SCRIPT, content_type="text/javascript", charset="utf-8")

    async def _metrics(self, _request: web.Request) -> web.StreamResponse:
        told = await self._read(lambda connection: metrics.exposition(connection, self._refused))
        return web.Response(body=told, headers={"Content-Type": metrics.CONTENT_TYPE})

    async def _overview(self, _request: web.Request) -> web.StreamResponse:
        now = self._clock()
        tally, totals, versions, rules, alarm = await self._read(
            lambda connection: (
                fleet_tally(connection, now),
                shop_totals(connection),
                program_rows(connection, now),
                rule_rows(connection),
                item_maps.problem_in_force(connection),
            )
        )
        return self._page(
            "overview.html",
            fleet=tally,
            totals=totals,
            programs=versions,
            rules=rules,
            alarm=alarm,
            refresh_s=OVERVIEW_REFRESH_S,
        )

    async def _fleet(self, request: web.Request) -> web.StreamResponse:
        asked = {name: request.query.get(name, "")[:MAX_FIELD_CHARS] for name in ("store", "version", "show", "q")}
        number = request.query.get("page", "")
        is_number = number.isascii() and number.isdecimal() and len(number) < MAX_NUMBER_DIGITS
        wanted, now = Wanted(**asked, page=int(number) if is_number else 1), self._clock()
        page = await self._read(lambda connection: fleet_page(connection, wanted, now))
        return self._page(
            "fleet.html",
            page=page,
            token=self._form_token(request),
            refresh_s=FLEET_REFRESH_S,
            remedy=releases.REMEDY,
        )

    async def _enrolment(self, request: web.Request) -> web.StreamResponse:
        return self._page("enrolment.html", token=self._form_token(request))

    async def _members(self, request: web.Request) -> web.StreamResponse:
        text = request.query.get("q", "")[:MAX_FIELD_CHARS]
        rows = await self._read(lambda connection: member_rows(connection, text))
        return self._page("members.html", members=rows, text=text, limit=MEMBERS_SHOWN)

    async def _member(self, request: web.Request) -> web.StreamResponse:
        member, now = request.match_info["member"], self._clock()
        page = await self._read(lambda connection: member_page(connection, member, now))
        if page is None:
            raise web.HTTPNotFound(reason="There is no such member.")
        return self._page("member.html", page=page, token=self._form_token(request))

    async def _cards(self, request: web.Request) -> web.StreamResponse:
        text = request.query.get("q", "").strip()[:MAX_FIELD_CHARS]
        unknown, blocked, found = await self._read(
            lambda connection: (
                unknown_cards(connection),
                blocked_cards(connection),
                card_view(connection, text) if text else None,
            )
        )
        return self._page(
            "cards.html", unknown=unknown, blocked=blocked, text=text, found=found, token=self._form_token(request)
        )

    async def _allowances(self, request: web.Request) -> web.StreamResponse:
        page = await self._read(allowances_page)
        return self._page("allowances.html", page=page, token=self._form_token(request))

    async def _held(self, request: web.Request) -> web.StreamResponse:
        now, store = self._clock(), request.query.get("store", "")[:MAX_FIELD_CHARS]
        page = await self._read(lambda connection: held_page(connection, now, store))
        return self._page("held.html", page=page, token=self._form_token(request))

    async def _goods(self, _request: web.Request) -> web.StreamResponse:
        return self._page("goods.html", page=await self._read(goods_page))

    async def _goods_csv(self, _request: web.Request) -> web.StreamResponse:
        report = await self._read(lambda connection: unmapped.report(connection, unmapped.MAX_TOP))
        return web.Response(
            text=unmapped.report_csv(report.unmapped),
            content_type="text/csv",
            headers={"Content-Disposition": 'attachment; filename="unmapped-goods.csv"'},
        )

    async def _quarantine(self, request: web.Request) -> web.StreamResponse:
        desk = await self._read(quarantine_desk)
        return self._page("quarantine.html", desk=desk, token=self._form_token(request))

    async def _variances(self, _request: web.Request) -> web.StreamResponse:
        return self._page("variances.html", rows=await self._read(variance_rows))

    # ---- forms

    async def _link(self, request: web.Request) -> web.StreamResponse:
        code, which, now = await _field(request, "code"), await _field(request, "member"), self._clock()

        try:
            linked = await self._database.write(
                lambda connection: operations.link(connection, members.named(connection, which), code, now)
            )
        except (members.UnknownMemberError, cards.CardError) as error:
            return self._page("message.html", 409, title="Not linked", text=str(error))
        await self._sequencer.place()
        raise web.HTTPSeeOther(f"/members/{linked.member}")

    async def _block(self, request: web.Request) -> web.StreamResponse:
        reason = await _field(request, "reason")
        return await self._change_card(
            request, lambda connection, code: operations.block(connection, code, reason, self._clock())
        )

    async def _unblock(self, request: web.Request) -> web.StreamResponse:
        return await self._change_card(
            request, lambda connection, code: operations.unblock(connection, code, self._clock())
        )

    async def _change_card(
        self, request: web.Request, work: Callable[[Connection, str], operations.CardDone]
    ) -> web.StreamResponse:
        """Do something to a card, and show it."""
        code = await _field(request, "code")
        try:
            await self._database.write(lambda connection: work(connection, code))
        except cards.CardError as error:
            return self._page("message.html", 409, title="Not changed", text=str(error))
        await self._sequencer.place()
        raise web.HTTPSeeOther(f"/cards?{urlencode({'q': code})}")

    async def _apply_again(self, _request: web.Request) -> web.StreamResponse:
        now = self._clock()
        again = await self._database.write(lambda connection: quarantine.retry(connection, now))
        await self._sequencer.place()
        text = f"{again.applied} have an effect now, {again.waiting} still wait."
        return self._page("message.html", title="Re-evaluated", text=text)

    async def _dismiss(self, request: web.Request) -> web.StreamResponse:
        item, note, now = await _field(request, "item"), await _field(request, "note"), self._clock()
        if not note or not (item.isascii() and item.isdecimal() and len(item) < MAX_NUMBER_DIGITS):
            return self._page("message.html", 409, title="Not dismissed", text="Say why nothing is to be made of it.")
        if not await self._database.write(lambda connection: quarantine.dismiss(connection, int(item), note, now)):
            return self._page("message.html", 409, title="Not dismissed", text="It does not wait any more.")
        raise web.HTTPSeeOther("/quarantine")

    async def _write_off(self, request: web.Request) -> web.StreamResponse:
        which, because, now = await _field(request, "allowance"), await _field(request, "because"), self._clock()
        if not because:
            text = "Say why nothing more can be spent of it."
            return self._page("message.html", 409, title="Not written off", text=text)
        try:
            await self._database.write(lambda connection: allowance_desk.write_off(connection, [which], because, now))
        except (allowance_desk.NotOpenError, allowance_desk.StillLiveError) as error:
            return self._page("message.html", 409, title="Not written off", text=str(error))
        await self._sequencer.place()
        raise web.HTTPSeeOther("/allowances")

    async def _accept(self, request: web.Request) -> web.StreamResponse:
        key, store, now = await _field(request, "key"), await _field(request, "store"), self._clock()
        try:
            await self._database.write(lambda connection: review.accept(connection, key, None, now))
        except review.NotHeldError as error:
            return self._page("message.html", 409, title="Not held", text=str(error))
        await self._sequencer.place()
        raise web.HTTPSeeOther(f"/held?{urlencode({'store': store})}" if store else "/held")

    async def _make_code(self, request: web.Request) -> web.StreamResponse:
        """The code is in this answer alone: a page that is loaded again has none."""
        store, register = await _field(request, "store"), await _field(request, "register")
        replace = bool(await _field(request, "replace"))
        url, pinned, now = self._folder.device_url(), ca_sha256(self._folder), self._clock()
        try:
            created = await self._database.write(
                lambda connection: operations.create_enrolment(
                    connection,
                    store=store,
                    register=register,
                    valid_for=CODE_LIFE,
                    url=url,
                    ca_sha256=pinned,
                    now=now,
                    randomness=self._randomness,
                    replace=replace,
                )
            )
        except (NameRefusedError, NobodyToReplaceError) as error:
            return self._page("message.html", 409, title="No code made", text=str(error))
        minutes = CODE_LIFE // timedelta(minutes=1)
        return self._page("code.html", created=created, picture=qr_path(created.code), minutes=minutes)

    async def _stop_release(self, request: web.Request) -> web.StreamResponse:
        version, because = await _field(request, "version"), await _field(request, "because")
        if not because:
            return self._page("message.html", 409, title="Not stopped", text="Say why nobody else is to get it.")
        return await self._change_release(lambda connection: releases.stop(connection, version, because))

    async def _release_goes_on(self, request: web.Request) -> web.StreamResponse:
        version, now = await _field(request, "version"), self._clock()
        return await self._change_release(lambda connection: releases.go_on(connection, version, now))

    async def _change_release(self, work: Callable[[Connection], object]) -> web.StreamResponse:
        try:
            await self._database.write(work)
        except releases.ReleaseRefusedError as error:
            return self._page("message.html", 409, title="Not changed", text=str(error))
        raise web.HTTPSeeOther("/fleet")

    async def _revoke(self, request: web.Request) -> web.StreamResponse:
        device, now = await _field(request, "device"), self._clock()
        if await self._read(lambda connection: devices.find_device(connection, device)) is None:
            return self._page(
                "message.html", 409, title="Not revoked", text="There is no such register; reload the page."
            )
        await asyncio.to_thread(self._journal.note, Revoked(device=device, at=now))
        await self._database.write(lambda connection: devices.revoke(connection, device, now))
        raise web.HTTPSeeOther("/fleet")


async def _field(request: web.Request, name: str) -> str:
    value = (await request.post()).get(name, "")
    return value.strip()[:MAX_FIELD_CHARS] if isinstance(value, str) else ""
