"""What the pages for telephones take of a request, and how much at once.

Owns those limits, since anybody can come. Never knows what is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

from aiohttp import web

# The form has nine short fields.
MAX_BODY_BYTES: Final = 4 * 1024
# A telephone on a bad line sends it in less.
BODY_WITHIN_S: Final = 10.0
# What is carried out at once, joins and grants together: registers need the same database.
MAX_JOINING: Final = 8
_FORM_TYPE: Final = "application/x-www-form-urlencoded"


class RefusedError(Exception):
    """A request that does nothing; `problem` names the text that says why."""

    def __init__(self, status: HTTPStatus, problem: str, *, wait_s: int = 0) -> None:
        super().__init__(problem)
        self.status = status
        self.problem = problem
        self.headers = {"Retry-After": str(wait_s)} if wait_s else {}


class AtOnce:
    """Lets so many be carried out at a time."""

    def __init__(self) -> None:
        self._under_way = 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Raises RefusedError where it were one too many."""
        if self._under_way >= MAX_JOINING:
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "problem_busy", wait_s=1)
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1


async def body_of(request: web.Request) -> bytes:
    """All of a form, where it is one and is not too large or too slow. Raises RefusedError."""
    refused = RefusedError(HTTPStatus.BAD_REQUEST, "problem_form")
    if request.content_type != _FORM_TYPE or (request.content_length or 0) > MAX_BODY_BYTES:
        raise refused
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for part in request.content.iter_any():
                body += part
                if len(body) > MAX_BODY_BYTES:
                    raise refused
    except TimeoutError:
        raise refused from None
    return bytes(body)
