"""The page by which a member's telephone brings points to a register that has no network.

Owns what is shown of an ask and of what came of it. Its checks, headers and limits are those of the join page, which
it stands beside. Looking grants nothing, so that what fetches an address in advance does nothing by it. Where the
register does not know whose card it is, the page has the program's rewards to choose from. The address
holds nothing that anybody but this centre can read. Never says whether points may be spent (`central.phone_grants`).
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs

from aiohttp import web
from msgspec import Struct
from sqlalchemy import Connection

from central import phone_grants
from central.clock import Clock
from central.db.database import Database
from central.db.dialects import Way
from central.feed import Sequencer
from central.join_page.asked import AtOnce, RefusedError, body_of
from central.phone_grants import PHONE_PATH, Asked, NotByPhoneError
from central.visitors import Visitors, visitor_of
from loyalty.program import Reward
from sync.phone_codes import MAX_CODE_CHARS, Signer, grant_code
from sync.qr import QrPath, qr_path

ROUTE: Final = f"/{PHONE_PATH}{{code:[A-Z2-7]{{1,{MAX_CODE_CHARS}}}}}"
# Of what may be done about it in a moment, by the same key.
_AGAIN: Final = frozenset({"elsewhere", "restored", "full"})
# And by another reward.
_ANOTHER: Final = _AGAIN | {"few", "other"}
_MAX_FIELDS: Final = 4


class Shown(Struct, frozen=True, kw_only=True):
    """What the page says: `points` are asked for by `place`, or granted, as `picture` says to the register; or, of a
    card that is not known there, the points of one of these `rewards`.
    """

    points: int
    place: str
    problem: str = ""
    again: bool = True
    picture: QrPath | None = None
    rewards: tuple[Reward, ...] = ()


Show = Callable[[web.Request, HTTPStatus, Shown, str], web.Response]


class PointsPage:
    """The page for what registers ask; `show` makes it, in a language."""

    def __init__(
        self,
        *,
        database: Database,
        sequencer: Sequencer,
        clock: Clock,
        key: Signer,
        visitors: Visitors,
        at_once: AtOnce,
        show: Show,
    ) -> None:
        self._database = database
        self._sequencer = sequencer
        self._clock = clock
        self._key = key
        self._visitors = visitors
        self._at_once = at_once
        self._show = show

    async def look(self, request: web.Request) -> web.StreamResponse:
        asked = await self._asked(request)
        return self._show(request, HTTPStatus.OK, _shown(asked), request.query.get("language", ""))

    async def grant(self, request: web.Request) -> web.StreamResponse:
        fields = _fields_in(await body_of(request))
        language, reward = (fields.get(name, [""])[0] for name in ("language", "reward"))
        asked = await self._asked(request)
        code, now = request.match_info["code"], self._clock()
        with self._at_once.one_more():
            granted = await self._database.write(
                lambda connection: phone_grants.grant(connection, code, now, reward), Way.BESIDE
            )
        await self._sequencer.place_if_any()
        if isinstance(granted, NotByPhoneError):
            again = _ANOTHER if asked.rewards else _AGAIN
            shown = _shown(asked, problem=f"points_{granted.why}", again=granted.why in again)
            return self._show(request, HTTPStatus.CONFLICT, shown, language)
        picture = qr_path(grant_code(granted, self._key))
        shown = _shown(asked, points=asked.ask.points or granted.points, picture=picture)
        return self._show(request, HTTPStatus.OK, shown, language)

    async def _asked(self, request: web.Request) -> Asked:
        """What a code of ours asks for. Raises RefusedError; who tries codes is slowed down."""
        guesses = self._visitors.guesses(
            visitor_of(request.remote or "", request.headers.getall("X-Forwarded-For", []))
        )
        if wait_s := guesses.wait_s():
            raise RefusedError(HTTPStatus.TOO_MANY_REQUESTS, "problem_often", wait_s=wait_s)

        def read(connection: Connection) -> Asked | NotByPhoneError:
            try:
                return phone_grants.read(connection, request.match_info["code"], self._clock())
            except NotByPhoneError as error:
                return error

        found: Any = await self._database.read(read)
        if isinstance(found, Asked):
            return found
        if found.why == "code":
            guesses.missed()
        raise RefusedError(HTTPStatus.CONFLICT, f"points_{found.why}")


def _shown(asked: Asked, **more: Any) -> Shown:
    device = asked.device
    facts: dict[str, Any] = {"points": asked.ask.points, "rewards": asked.rewards}
    return Shown(place=f"{device.store}/{device.register}", **facts | more)


def _fields_in(body: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(body.decode(), errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "problem_form") from None
