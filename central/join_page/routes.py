"""The join page's listener: one page with one form, for anybody who can reach it, and the page for points beside it.

Owns its routes, the checks before them and the headers after them. Plain HTTP behind the house's own proxy, which has
the public certificate. What is asked is small, its size, pace and number are limited, and nothing personal is in an
address, in a log or in an answer. Never says what a code does (`central.invited`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import structlog
from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined
from msgspec.structs import replace
from sqlalchemy.exc import OperationalError

from central import configs, invited
from central.clock import Clock
from central.db.database import Database
from central.devices import Randomness
from central.feed import Sequencer
from central.folder import JoinSettings
from central.invited import CodeUsedError, NotOurCodeError, Told
from central.join_page.asked import AtOnce, RefusedError, body_of
from central.join_page.form import Form, asked_in, form_from
from central.join_page.points import ROUTE, PointsPage, Shown
from central.join_page.words import LANGUAGES, language_of, words_of
from central.visitors import Visitors, visitor_of
from loyalty.consent_texts import AskedText
from loyalty.made_codes import shown_code
from sync.phone_codes import Signer
from sync.qr import qr_path

_log = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_FOLDER = Path(__file__).parent
_FILES: Final = {"style.css": "text/css", "join.js": "text/javascript"}
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with "no-referrer" a browser sends forms with the origin `null`
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
    "Server": "tillside",
}


class JoinPage:
    """The page, and what its form does."""

    def __init__(
        self,
        *,
        settings: JoinSettings,
        brand: str,
        database: Database,
        sequencer: Sequencer,
        clock: Clock,
        randomness: Randomness,
        key: Signer,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`key` signs what registers are granted by telephone."""
        self._settings = settings
        self._brand = brand
        self._database = database
        self._sequencer = sequencer
        self._clock = clock
        self._randomness = randomness
        self._host = urlsplit(settings.url).netloc
        self._origin = settings.url.removesuffix("/")
        self._visitors = Visitors(monotonic_s)
        self._at_once = AtOnce()
        self._files = {name: (_FOLDER / name).read_bytes() for name in _FILES}
        environment = Environment(
            loader=PackageLoader("central.join_page", "."),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals.update(brand=brand, languages=LANGUAGES, privacy=settings.privacy or "")
        self._template = environment.get_template("page.html")
        self._points_template = environment.get_template("points.html")
        self._points = PointsPage(
            database=database,
            sequencer=sequencer,
            clock=clock,
            key=key,
            visitors=self._visitors,
            at_once=self._at_once,
            show=self._shown_points,
        )

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/", self._page, allow_head=False)
        app.router.add_post("/", self._join)
        app.router.add_get(ROUTE, self._points.look, allow_head=False)
        app.router.add_post(ROUTE, self._points.grant)
        for name in _FILES:
            app.router.add_get(f"/{name}", self._file, allow_head=False)
        return app

    # ---- before and after

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            self._check_origin(request)
            response = await handler(request)
        except RefusedError as error:
            response = self._shown(request, error.status, problem=error.problem)
            response.headers.update(error.headers)
        except web.HTTPException as error:
            response = self._shown(request, HTTPStatus(error.status), problem="problem_missing")
        except OperationalError as error:
            _log.error("database_failed", error=str(error.orig))
            response = self._shown(request, HTTPStatus.SERVICE_UNAVAILABLE, problem="problem_busy")
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:  # noqa: BLE001 - the edge: what it says may hold what somebody wrote
            _log.error("join_failed", error=type(error).__name__)
            response = self._shown(request, HTTPStatus.INTERNAL_SERVER_ERROR, problem="problem_busy")
        response.headers.update(_HEADERS)
        return response

    def _check_origin(self, request: web.Request) -> None:
        """The page under its own name, and its form from nowhere else."""
        if request.headers.getall("Host", []) != [self._host]:
            raise RefusedError(HTTPStatus.MISDIRECTED_REQUEST, "problem_missing")
        if request.method == "POST" and request.headers.getall("Origin", []) not in ([], [self._origin]):
            raise RefusedError(HTTPStatus.FORBIDDEN, "problem_form")

    # ---- what can be asked

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.path.removeprefix("/")
        return web.Response(body=self._files[name], content_type=_FILES[name], charset="utf-8")

    async def _page(self, request: web.Request) -> web.StreamResponse:
        language = self._language(request, request.query.get("language", ""))
        asked = await self._asked(language)
        return self._shown(request, HTTPStatus.OK, form=Form(), asked=asked, language=language)

    async def _join(self, request: web.Request) -> web.StreamResponse:
        guesses = self._visitors.guesses(
            visitor_of(request.remote or "", request.headers.getall("X-Forwarded-For", []))
        )
        if wait_s := guesses.wait_s():
            raise RefusedError(HTTPStatus.TOO_MANY_REQUESTS, "problem_often", wait_s=wait_s)
        written = form_from(await body_of(request))
        if written is None:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "problem_form")
        form, chosen = written
        language = self._language(request, chosen)
        asked = await self._asked(language)
        wrong, problem, wallet = "", "", ""
        if form.problem is not None:
            wrong, problem = form.problem
        elif form.agreed and form.texts != _versions(asked):
            form, problem = replace(form, agreed=frozenset()), "problem_texts"
        else:
            try:
                with guesses.asking(NotOurCodeError), guesses.asking(CodeUsedError):
                    wallet = await self._take(form.told(language, asked))
            except NotOurCodeError:
                wrong, problem = "code", "problem_code"
            except CodeUsedError:
                wrong, problem = "code", "problem_used"
        if wallet:
            return self._shown(request, HTTPStatus.OK, wallet=wallet, language=language)
        return self._shown(request, _WRONG, form=form, asked=asked, wrong=wrong, problem=problem, language=language)

    async def _asked(self, language: str) -> dict[str, AskedText]:
        """By which texts people are asked now."""
        texts = await self._database.read(configs.consents_in_force)
        return asked_in(texts, language, words_of(language), self._brand)

    async def _take(self, told: Told) -> str:
        """Lets them join; the code that stands for their card from now on."""
        with self._at_once.one_more():
            now = self._clock()
            joined = await self._database.write(
                lambda connection: invited.join(connection, told, now, self._randomness)
            )
        await self._sequencer.place()
        return joined.wallet

    # ---- what is shown

    def _language(self, request: web.Request, chosen: str) -> str:
        return language_of(chosen, request.headers.get("Accept-Language", ""))

    def _shown(
        self,
        request: web.Request,
        status: HTTPStatus,
        *,
        form: Form | None = None,
        asked: Mapping[str, AskedText] | None = None,
        wrong: str = "",
        problem: str = "",
        wallet: str = "",
        language: str = "",
    ) -> web.Response:
        language = language or self._language(request, request.query.get("language", ""))
        text = self._template.render(
            words=words_of(language),
            language=language,
            path=request.path if "code" in request.match_info else "/",
            form=form,
            asked=asked,
            texts=_versions(asked or {}),
            wrong=wrong,
            problem=problem,
            wallet=shown_code(wallet),
            picture=qr_path(wallet) if wallet else None,
        )
        return web.Response(text=text, content_type="text/html", status=status)

    def _shown_points(self, request: web.Request, status: HTTPStatus, shown: Shown, chosen: str) -> web.Response:
        language = self._language(request, chosen)
        text = self._points_template.render(
            words=words_of(language), language=language, path=request.path, asked=shown, problem=shown.problem
        )
        return web.Response(text=text, content_type="text/html", status=status)


def _versions(asked: Mapping[str, AskedText]) -> str:
    """What the form says it was asked by."""
    return " ".join(sorted({one.version for one in asked.values()}))


_WRONG: Final = HTTPStatus.UNPROCESSABLE_ENTITY
