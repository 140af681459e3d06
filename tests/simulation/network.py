"""What lies between a register and its centre: nothing, a bad line, or a page that wants a password.

Owns what becomes of each request and of its answer. A request that is sent twice, and an answer that comes late, are
the same bytes again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from http import HTTPStatus
from random import Random
from typing import Any, Final, Literal, TypeVar

import msgspec

from central.problems import RefusedError, SequenceGapError
from loyalty.undecodable import UNDECODABLE
from sync.client import LOOKUP_S
from sync.errors import CentreAnswerError, CentreBusyError, CentreRefusedError, CentreUnavailableError
from sync.wire import (
    ALLOWANCES_HINT,
    AllowancesRequest,
    AllowancesResponse,
    ChangesResponse,
    EpochRequest,
    EpochResponse,
    ErasuresResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    IngestRequest,
    IngestResponse,
    LiveHint,
    MemberResponse,
    SignedProgram,
    SnapshotChunk,
    SnapshotResponse,
)
from tests.simulation.centre import CentreDownError, SimulatedCentre
from tests.simulation.trace import Trace

T = TypeVar("T")

Fate = Literal["fine", "request lost", "answer lost", "twice", "late", "torn", "portal"]
FINE: Final[tuple[Fate, ...]] = ("fine",)
BAD_LINE: Final[tuple[Fate, ...]] = ("fine", "fine", "request lost", "answer lost", "twice", "late", "torn", "portal")
# Requests come through, and most answers do not.
DEAF: Final[tuple[Fate, ...]] = ("fine", "answer lost", "answer lost", "answer lost")
_CONNECT_S: Final = 5.0
_SILENCE_S: Final = 10.0
_LATE_S: Final = (5.0, 29.0)
_BUSY_S: Final = 5.0
# News comes within this of its being there, many pieces at once.
_HINTED_S: Final = (60.0, 900.0)
# A heartbeat each half minute would be most of what happens.
_HEARTBEAT_S: Final = 1_800.0


class Link:
    """One register's way to the centre: `up` or not, and what becomes of what it carries, one of its `fates`.

    With `calm` there is as much longer between two pieces of news.
    """

    def __init__(self, calm: float) -> None:
        soonest, latest = _HINTED_S
        self.heartbeat_s = _HEARTBEAT_S * calm
        self.hinted_s = (soonest * calm, latest * calm)
        self.up = True
        self.fates = FINE
        self.broke = asyncio.Event()

    def cut(self) -> None:
        self.up = False
        self.broke.set()
        self.broke = asyncio.Event()


class SimulatedClient:
    """As `sync.client.CentreClient`, over a link.

    `sent` has the epoch, first number and size of each batch, `marks` what each answer acknowledged of which epoch, by
    which epoch of the centre.
    """

    def __init__(self, link: Link, centre: SimulatedCentre, device: str, chance: Random, trace: Trace) -> None:
        self._link = link
        self._centre = centre
        self._device = device
        self._chance = chance
        self._trace = trace
        self.answered: list[float] = []
        self.sent: list[tuple[str, int, int]] = []
        self.marks: list[tuple[str, str, int]] = []

    async def open_epoch(self, request: EpochRequest) -> EpochResponse:
        return await self._typed("epochs", EpochResponse, request)

    async def ingest(self, request: IngestRequest) -> IngestResponse:
        self.sent.append((request.epoch, request.first_seq, len(request.entries)))
        answer = await self._typed("ingest", IngestResponse, request)
        self.marks.append((answer.centre_epoch, request.epoch, answer.acked_through))
        return answer

    async def heartbeat(self, request: HeartbeatRequest) -> HeartbeatResponse:
        return await self._typed("heartbeat", HeartbeatResponse, request)

    async def changes(self, after: int, limit: int, scope: str) -> ChangesResponse:
        return await self._typed("changes", ChangesResponse, (after, limit, scope))

    async def snapshot(self, last: str | None = None, as_of: int = 0) -> SnapshotResponse:
        return await self._typed("snapshot", SnapshotResponse, last)

    async def chunk(self, chunk: SnapshotChunk) -> bytes:
        return await self._exchange("chunk", chunk.url.encode())

    async def program(self, program_hash: str) -> SignedProgram:
        return _decoded(await self._exchange("program", program_hash.encode()), SignedProgram)

    async def allowances(self, request: AllowancesRequest) -> AllowancesResponse:
        return await self._typed("allowances", AllowancesResponse, request)

    async def erasures(self, after: int) -> ErasuresResponse:
        return await self._typed("erasures", ErasuresResponse, after)

    async def member(self, code: str) -> MemberResponse | None:
        try:
            async with asyncio.timeout(LOOKUP_S):
                return _decoded(await self._exchange("member", code.encode()), MemberResponse)
        except TimeoutError:
            raise CentreUnavailableError("no answer in time") from None
        except CentreRefusedError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def hints(self) -> AsyncGenerator[LiveHint, None]:
        await self._pass_the_link()
        yield LiveHint()
        told = 0
        while True:
            broke = self._link.broke
            try:
                async with asyncio.timeout(self._chance.uniform(*self._link.hinted_s)):
                    await broke.wait()
                raise CentreUnavailableError("the live connection broke")
            except TimeoutError:
                pass
            if self._centre.down:
                raise CentreUnavailableError("the centre is gone")
            if (news := self._centre.news_of(self._device)) > told:
                told = news
                yield LiveHint(feed=told)
            if self._centre.owes(self._device):
                yield LiveHint(command=ALLOWANCES_HINT)

    async def hint(self, told: int) -> LiveHint:
        await self._pass_the_link()
        await asyncio.sleep(self._chance.uniform(*self._link.hinted_s))
        news = self._centre.news_of(self._device)
        return LiveHint(feed=news) if news > told else LiveHint()

    async def _typed(self, operation: str, type_: type[T], request: Any) -> T:
        return _decoded(await self._exchange(operation, msgspec.json.encode(request)), type_)

    async def _exchange(self, operation: str, body: bytes) -> bytes:
        await self._pass_the_link()
        request_id = self._chance.randbytes(16).hex()
        fate = self._chance.choice(self._link.fates)
        if fate != "fine":
            self._trace.note(self._device[:6], f"{operation}: {fate}")
        if fate == "portal":
            raise CentreAnswerError("a page of a portal")
        if fate == "request lost":
            await asyncio.sleep(_SILENCE_S)
            raise CentreUnavailableError("no answer")
        if fate == "twice":
            asyncio.get_running_loop().create_task(self._again(operation, request_id, body))
        answer = await self._asked(operation, request_id, body)
        if fate == "late":
            await asyncio.sleep(self._chance.uniform(*_LATE_S))
        if fate == "answer lost" or not self._link.up:
            await asyncio.sleep(_SILENCE_S)
            raise CentreUnavailableError("no answer")
        self.answered.append(asyncio.get_running_loop().time())
        return answer[: len(answer) // 2] if fate == "torn" else answer

    async def _pass_the_link(self) -> None:
        await asyncio.sleep(self._chance.uniform(0.002, 0.08))
        if not self._link.up:
            raise CentreUnavailableError("no network")

    async def _asked(self, operation: str, request_id: str, body: bytes) -> bytes:
        try:
            answer = await self._centre.handle(self._device, operation, request_id, body)
        except CentreDownError:
            await asyncio.sleep(_CONNECT_S)
            raise CentreUnavailableError("nobody listens") from None
        except RefusedError as error:
            expected = error.expected_seq if isinstance(error, SequenceGapError) else None
            raise CentreRefusedError(error.status, str(error), expected) from error
        if self._centre.busy:
            raise CentreBusyError(_BUSY_S)
        return answer

    async def _again(self, operation: str, request_id: str, body: bytes) -> None:
        """The same request once more, from somewhere on the way; nobody waits for its answer."""
        await asyncio.sleep(self._chance.uniform(0.0, 40.0))
        try:
            await self._centre.handle(self._device, operation, request_id, body)
        except (CentreDownError, RefusedError):
            return


def _decoded(body: bytes, type_: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=type_)
    except UNDECODABLE as error:
        raise CentreAnswerError("the answer is cut off") from error
