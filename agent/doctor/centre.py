"""A look at the centre from this machine, by the way that the exchange takes: name server, proxy, TLS, clock.

Asks for nothing but what everybody gets, and signs nothing, so that the exchange is as it was.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from msgspec import Struct

from config.load import state_folder
from config.settings import Settings
from sync.delayed_enrolment import kept_code
from sync.enrolment import (
    Enrolment,
    EnrolmentCode,
    EnrolmentError,
    EnrolmentUnreachableError,
    NotEnrolledError,
    load_enrolment,
)
from sync.network import NetworkSettingError, Way, proxy_for, way_of, without_password

WITHIN_S = 10.0


class Sight(Struct, frozen=True, kw_only=True):
    """`way` names the address and the proxy; `problem` is empty where the centre answers. A clock that is ahead is
    behind by less than nothing; None where nobody said.
    """

    way: str = ""
    problem: str = ""
    clock_behind_s: float | None = None


async def seen(settings: Settings) -> Sight | None:
    """None for a machine that belongs to no centre, and is on the way to none by a code that waits."""
    folder = state_folder(settings)
    try:
        enrolment: Enrolment | None = load_enrolment(folder)
    except NotEnrolledError:
        enrolment = None
    except EnrolmentError:
        return None
    waiting = kept_code(folder)
    try:
        way = way_of(settings.centre.proxy, settings.centre.ca_file)
        if enrolment is not None:
            return await _seen(enrolment.url, enrolment.ca_pem, way)
        return await _seen_by(waiting.code, way) if waiting is not None else None
    except NetworkSettingError as error:
        return Sight(problem=str(error))


async def _seen_by(code: EnrolmentCode, way: Way) -> Sight:
    """Along the way of a code, which is not used."""
    from sync.enrolling import centre_of  # noqa: PLC0415 - as below

    try:
        ca_pem = await centre_of(code, way)
    except EnrolmentUnreachableError as error:
        return Sight(problem=error.why)
    except EnrolmentError as error:
        return Sight(problem=str(error))
    return await _seen(code.url, ca_pem, way)


async def _seen(url: str, ca_pem: str, way: Way) -> Sight:
    """Raises NetworkSettingError."""
    # Half a second, and not for the test sheet.
    import aiohttp  # noqa: PLC0415

    from sync.client import pinned_context, plausible, translated  # noqa: PLC0415

    proxy = proxy_for(url, way)
    context = pinned_context(ca_pem, check_time=plausible(datetime.now(UTC)), also_trusted=way.ca_pem)
    timeout = aiohttp.ClientTimeout(total=WITHIN_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as http,
            http.get(f"{url}/v1/ca", ssl=context, proxy=proxy, allow_redirects=False) as answer,
        ):
            status, told, now = answer.status, answer.headers.get("Date", ""), time.time()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return Sight(problem=str(translated(error, url, proxy)))
    if status != HTTPStatus.OK:
        return Sight(
            problem=f"{url} answers {status}: the centre, or a server before it, is not ready; see to it there"
        )
    through = f"{url}, through the proxy {without_password(proxy)}" if proxy is not None else url
    return Sight(way=through, clock_behind_s=_behind(told, now))


def _behind(told: str, now: float) -> float | None:
    """By how much this clock is behind what a `Date` says, whose unit is a second."""
    try:
        return parsedate_to_datetime(told).timestamp() - now
    except ValueError:
        return None
