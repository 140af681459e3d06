"""The door of the device API that anybody may knock at: a code, and perhaps a proof of who the machine was, come in.

Owns how often one address may knock in vain, what is said of those who are refused, and the journal of who came in.
Codes are never logged.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from datetime import datetime

import structlog
from aiohttp import web
from sqlalchemy import Connection

from central import devices, enrolling
from central.db.database import Database
from central.devices import Randomness
from central.enrolling import LetIn
from central.journal import Journal, Revoked, enrolled
from central.problems import TokenRefusedError, TooManyRefusedError
from central.visitors import Visitors, visitor_of
from sync.signing import DEVICE_HEADER, SignatureError, public_key_of, verify_request
from sync.wire import EnrolRequest

# Refused without a look at the database: of an address from which too many came in vain.
TOO_MANY = "too_many"

_log = structlog.get_logger(__name__)


class Doorway:
    """Lets registers in. An address has as many attempts in vain as `sync.guesses` says, however good the next is."""

    def __init__(self, *, database: Database, journal: Journal, randomness: Randomness) -> None:
        self._database = database
        self._journal = journal
        self._randomness = randomness
        self._visitors = Visitors(time.monotonic)
        self._refused: Counter[str] = Counter()

    @property
    def refused(self) -> Mapping[str, int]:
        """How many were refused since the start, by the word for why."""
        return self._refused

    async def let_in(self, wanted: EnrolRequest, request: web.Request, body: bytes, now: datetime) -> LetIn:
        """Who comes by a request whose `body` is as it travelled. Raises TokenRefusedError, TooManyRefusedError."""
        visitor = visitor_of(request.remote or "", request.headers.getall("X-Forwarded-For", ()))
        guesses = self._visitors.guesses(visitor)
        if (wait_s := guesses.wait_s()) > 0:
            self._refused[TOO_MANY] += 1
            raise TooManyRefusedError(wait_s)
        try:
            return await self._let_in(wanted, request, body, now)
        except TokenRefusedError as error:
            guesses.missed()
            self._refused[error.reason] += 1
            _log.warning("enrolment_refused", reason=error.reason)
            raise

    async def _let_in(self, wanted: EnrolRequest, request: web.Request, body: bytes, now: datetime) -> LetIn:
        """Nothing is written for who is refused: a look comes first."""

        def look(connection: Connection) -> str | None:
            proven = _proven(connection, wanted, request, body)
            enrolling.check(connection, wanted, proven=proven, now=now)
            return proven

        proven = await self._database.read(look)
        let_in = await self._database.write(
            lambda connection: enrolling.enrol(connection, wanted, now=now, randomness=self._randomness, proven=proven)
        )
        device = let_in.device
        revoked = (Revoked(device=one, at=now) for one in let_in.shut_out)
        await asyncio.to_thread(self._journal.note, enrolled(device, wanted.token, now), *revoked)
        _log.info(
            "device_enrolled",
            device=device.id,
            store=device.store,
            register=device.register,
            shut_out=list(let_in.shut_out),
        )
        return let_in


def _proven(connection: Connection, wanted: EnrolRequest, request: web.Request, body: bytes) -> str | None:
    """The device that signed, where it is the one that is to be replaced. What does not hold proves nothing."""
    named = request.headers.get(DEVICE_HEADER, "")
    device = devices.find_device(connection, named) if named and named == wanted.replaces else None
    if device is None:
        return None
    try:
        verify_request(
            method=request.method,
            url=request.raw_path,
            headers=request.headers,
            body=body,
            key_of_device=lambda _: public_key_of(device.public_key),
        )
    except SignatureError as error:
        _log.warning("replacement_not_proven", device=device.id, error=type(error).__name__)
        return None
    return device.id
