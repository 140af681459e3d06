"""The register's HTTP side: one signed exchange at a time with the pinned centre.

Owns TLS, deadlines, compression, the size of answers and the translation of every failure into a
CentreError. Never decides what to say next (`sync.session` does), and never logs a path: it may hold a
member's code.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from io import BytesIO
from typing import TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

from loyalty.undecodable import UNDECODABLE
from sync.errors import (
    CentreAnswerError,
    CentreBusyError,
    CentreError,
    CentreProxyError,
    CentreRefusedError,
    CentreUnavailableError,
    CentreUntrustedError,
)
from sync.network import NetworkSettingError, Way, proxy_for, without_password
from sync.retry import Backoff, CappedFullJitter
from sync.signing import sign_request
from sync.turns import PIECE
from sync.wire import (
    MAX_BODY_BYTES,
    MAX_HINT_WAIT_S,
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
    NobodysCode,
    Refusal,
    SequenceGap,
    SignedConfig,
    SignedItemMap,
    SignedProgram,
    SnapshotChunk,
    SnapshotResponse,
    compress,
    decompress,
    packed,
)

# No machine that runs this program is younger than it.
EARLIEST_PLAUSIBLE = datetime(2026, 1, 1, tzinfo=UTC)
# A register's clock beyond this is set wrong; our certificates are renewed long before.
LATEST_PLAUSIBLE = EARLIEST_PLAUSIBLE + timedelta(days=15 * 365)
# The centre renews its certificate a year before its end: a clock that is further from the last contact may be wrong,
# one that is before it must be.
CONTACT_AHEAD = timedelta(days=365)
CONTACT_BEHIND = timedelta(days=1)
# OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED, X509_V_ERR_HOSTNAME_MISMATCH and the same of an
# address in digits.
_NOT_YET_VALID, _EXPIRED, _OTHER_NAMES = 9, 10, (62, 64)
# OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which the ssl module does not name.
_NO_CHECK_TIME = 0x200000

CONNECT_S = 5.0
# One exchange with a full batch over a slow line, the centre's commit included.
EXCHANGE_S = 30.0
# Not one byte for this long: the other side is gone, and the badge should say so.
SILENCE_S = 10.0
# A cashier's page shows "checking" meanwhile.
LOOKUP_S = 1.5
# A cashier has asked for a reward, and waits with the customer for the answer.
WANT_S = 0.8
# Pings on the live connection; a dead peer is noticed within one and a half of these.
LIVE_PING_S = 20.0
MAX_HINT_BYTES = 4096
# A problem document, as far as it is read and shown.
MAX_DETAIL_CHARS = 300
DEFAULT_RETRY_AFTER_S = 5.0
# Compressing more than this takes about as long as changing to a thread does (0.1 ms), a full batch 20 times that.
COMPRESS_APART_BYTES = 64 * 1024
# A kept connection that the other side has just closed deserves a second try at once, under the same id.
ATTEMPTS = 2
_SECOND_TRY = Backoff(base_s=0.1, cap_s=0.1)

# RFC 3986 pchar: what may stand in a path segment as it is. The signature covers the path as sent, and the
# HTTP library writes these so.
_PCHAR = "!$&'()*+,;=:@"
_PLAIN = re.compile(r"[A-Za-z0-9._~-]{1,128}")

# What OpenSSL calls it that no common version of TLS was found, by who notices first.
_OLD_TLS = frozenset({"TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL"})

T = TypeVar("T")


class _Answer(Struct, frozen=True, kw_only=True):
    status: int
    retry_after_s: float
    body: bytes


def plausible(now: datetime, last_contact: datetime | None = None) -> bool:
    """Whether a register's clock can be right; `last_contact` is the centre's time when it was heard last."""
    if not EARLIEST_PLAUSIBLE <= now <= LATEST_PLAUSIBLE:
        return False
    return last_contact is None or last_contact - CONTACT_BEHIND <= now <= last_contact + CONTACT_AHEAD


def pinned_context(ca_pem: str, *, check_time: bool, also_trusted: str = "") -> ssl.SSLContext:
    """TLS that trusts one CA, those in `also_trusted` where the operator gave some, and nothing else.

    Without `check_time` validity periods are left out, for a register whose clock cannot be right.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=ca_pem)
    if also_trusted:
        context.load_verify_locations(cadata=also_trusted)
    if not check_time:
        context.verify_flags |= _NO_CHECK_TIME
    return context


class CentreClient:
    """Signed exchanges of one device with its centre. Every method raises CentreError in a named form."""

    def __init__(
        self,
        *,
        url: str,
        ca_pem: str,
        device: str,
        key: Ed25519PrivateKey,
        clock: Callable[[], datetime],
        request_id: Callable[[], str],
        chance: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        exchange_s: float = EXCHANGE_S,
        lookup_s: float = LOOKUP_S,
        live_ping_s: float = LIVE_PING_S,
        way: Way | None = None,
        last_contact: Callable[[], datetime | None] = lambda: None,
    ) -> None:
        """`last_contact` is the centre's time when it was heard last, network or not."""
        self._url = url.rstrip("/")
        self._device = device
        self._key = key
        self._clock = clock
        self._request_id = request_id
        self._lookup_s = lookup_s
        self._live_ping_s = live_ping_s
        self._last_contact = last_contact
        self._way = way or Way()
        also = self._way.ca_pem
        self._contexts = {c: pinned_context(ca_pem, check_time=c, also_trusted=also) for c in (True, False)}
        self._retrying = AsyncRetrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=CappedFullJitter(_SECOND_TRY, chance),
            retry=retry_if_exception_type((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)),
            sleep=sleep,
            reraise=True,
        )
        self._exchange_s = exchange_s
        self._http = aiohttp.ClientSession(
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=exchange_s, connect=CONNECT_S, sock_read=SILENCE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        await self._http.close()

    async def open_epoch(self, request: EpochRequest) -> EpochResponse:
        return await self._typed("POST", "/v1/epochs", EpochResponse, request)

    async def ingest(self, request: IngestRequest) -> IngestResponse:
        body = await asyncio.to_thread(packed, request) if len(request.entries) > PIECE else packed(request)
        return _decoded(_accepted(await self._exchange("POST", "/v1/ingest", body)), IngestResponse)

    async def heartbeat(self, request: HeartbeatRequest) -> HeartbeatResponse:
        return await self._typed("POST", "/v1/heartbeat", HeartbeatResponse, request)

    async def changes(self, after: int, limit: int, scope: str) -> ChangesResponse:
        target = f"/v1/changes?after={after}&limit={limit}&scope={_in_query(scope)}"
        return await self._typed("GET", target, ChangesResponse)

    async def erasures(self, after: int) -> ErasuresResponse:
        return await self._typed("GET", f"/v1/erasures?after={after}", ErasuresResponse)

    async def allowances(self, request: AllowancesRequest) -> AllowancesResponse:
        """With something wanted, within WANT_S."""
        if not request.want:
            return await self._typed("POST", "/v1/allowances", AllowancesResponse, request)
        try:
            async with asyncio.timeout(WANT_S):
                return await self._typed("POST", "/v1/allowances", AllowancesResponse, request)
        except TimeoutError as error:
            raise CentreUnavailableError(f"the centre did not answer within {WANT_S:g} s") from error

    async def snapshot(self, last: str | None = None, as_of: int = 0) -> SnapshotResponse:
        """`last` is the digest of the last chunk that is here of a snapshot that was begun, and made `as_of`."""
        target = "/v1/snapshot" if last is None else f"/v1/snapshot?last={_in_query(last)}&as_of={as_of}"
        return await self._typed("GET", target, SnapshotResponse)

    async def chunk(self, chunk: SnapshotChunk) -> bytes:
        """The chunk as served; its digest is for the caller to check."""
        if not chunk.url.startswith("/"):
            raise CentreAnswerError("the centre's snapshot names another server; update the centre")
        return _accepted(await self._exchange("GET", chunk.url)).body

    async def program(self, program_hash: str) -> SignedProgram:
        return await self._typed("GET", f"/v1/programs/{program_hash}", SignedProgram)

    async def item_map(self, map_hash: str) -> SignedItemMap:
        return await self._typed("GET", f"/v1/item-maps/{map_hash}", SignedItemMap)

    async def config(self) -> SignedConfig:
        return await self._typed("GET", "/v1/config", SignedConfig)

    async def member(self, code: str) -> MemberResponse | NobodysCode | None:
        """The member of a code, or the state of a card that nobody has; None where the centre knows nothing.

        Within the lookup's own short deadline.
        """
        if not code.strip("."):
            return None  # a dot segment is no code, and would be another path
        try:
            async with asyncio.timeout(self._lookup_s):
                answer = await self._exchange("GET", f"/v1/members/{quote(code, safe=_PCHAR)}")
        except TimeoutError as error:
            raise CentreUnavailableError(f"the centre did not answer within {self._lookup_s:g} s") from error
        if answer.status != HTTPStatus.NOT_FOUND:
            return _decoded(_accepted(answer), MemberResponse)
        with suppress(*UNDECODABLE):
            said = msgspec.json.decode(answer.body, type=NobodysCode)
            return said if said.card else None
        return None  # whatever stands before the centre says no more than the status does

    async def hints(self) -> AsyncGenerator[LiveHint, None]:
        """Hints of one live connection, the first one empty as soon as it stands, until it ends.

        Ends without an error when the centre closes it, or answers no ping.
        """
        target = "/v1/live"
        try:
            async with self._http.ws_connect(
                self._url + target,
                headers=self._signed("GET", target, {}, b""),
                ssl=self._context(),
                proxy=self._proxy(),
                heartbeat=self._live_ping_s,
                max_msg_size=MAX_HINT_BYTES,
            ) as live:
                yield LiveHint()
                async for message in live:
                    if message.type == aiohttp.WSMsgType.TEXT:
                        yield msgspec.json.decode(message.data, type=LiveHint)
        except aiohttp.WSServerHandshakeError as error:
            raise CentreRefusedError(error.status, "no live connection") from error
        except (aiohttp.ClientError, TimeoutError, OSError, *UNDECODABLE) as error:
            raise translated(error, self._url, self._proxy()) from error

    async def hint(self, after: int) -> LiveHint:
        """The next one, where no live connection is let through; an empty one if none comes in MAX_HINT_WAIT_S."""
        target = f"/v1/hint?after={after}&wait={MAX_HINT_WAIT_S}"
        return _decoded(_accepted(await self._exchange("GET", target, silence_s=EXCHANGE_S)), LiveHint)

    async def _typed(self, method: str, target: str, type_: type[T], request: Struct | None = None) -> T:
        body = msgspec.json.encode(request) if request is not None else b""
        return _decoded(_accepted(await self._exchange(method, target, body)), type_)

    async def _exchange(self, method: str, target: str, body: bytes = b"", silence_s: float = SILENCE_S) -> _Answer:
        headers = {"Accept": "application/json", "Accept-Encoding": "zstd"}
        # What takes long is done beside the event loop, where a scan or a receipt may be waiting.
        sent, encoding = await asyncio.to_thread(compress, body) if len(body) > COMPRESS_APART_BYTES else compress(body)
        if body:
            headers["Content-Type"] = "application/json"
        if encoding is not None:
            headers["Content-Encoding"] = encoding
        signed = self._signed(method, target, headers, sent)
        try:
            return await self._retrying.copy()(self._once, method, target, signed, sent, silence_s)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise translated(error, self._url, self._proxy()) from error

    async def _once(self, method: str, target: str, headers: dict[str, str], body: bytes, silence_s: float) -> _Answer:
        async with self._http.request(
            method,
            self._url + target,
            headers=headers,
            data=BytesIO(body) if body else None,  # which goes in pieces
            ssl=self._context(),
            proxy=self._proxy(),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=self._exchange_s, connect=CONNECT_S, sock_read=silence_s),
        ) as response:
            received = await _bounded(response.content)
            return _Answer(
                status=response.status,
                retry_after_s=_retry_after_s(response.headers, self._clock()),
                body=decompress(received, response.headers.get("Content-Encoding")),
            )

    def _signed(self, method: str, target: str, headers: dict[str, str], body: bytes) -> dict[str, str]:
        return sign_request(
            method=method,
            url=target,
            headers=headers,
            body=body,
            device=self._device,
            request_id=self._request_id(),
            key=self._key,
            created=self._clock(),
        )

    def _context(self) -> ssl.SSLContext:
        return self._contexts[plausible(self._clock(), self._last_contact())]

    def _proxy(self) -> str | None:
        """Raises CentreProxyError."""
        try:
            return proxy_for(self._url, self._way)
        except NetworkSettingError as error:
            raise CentreProxyError(str(error)) from error


def translated(error: Exception, url: str, proxy: str | None) -> CentreError:
    """What it means that nothing usable came from `url`, and what to do."""
    match error:
        case aiohttp.ClientConnectorCertificateError() if why := certificate_problem(error):
            return CentreUntrustedError(f"{url}: {why}")
        case _ if told := old_tls_problem(error):
            return CentreUntrustedError(f"{url}: {told}")
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return CentreUntrustedError(
                f"{url} is not the centre this register was enrolled with: something on the way answers for "
                "it (a captive portal, an inspecting proxy), or the address is another's now; check the network, "
                "and sign in to it where it asks for that"
            )
        case _ if told := proxy_problem(error, url, proxy):
            return CentreProxyError(told)
        case aiohttp.ClientConnectorDNSError():
            return CentreUnavailableError(
                f"the name in {url} cannot be looked up; check the network and its name server (DNS)"
            )
        case TimeoutError():
            return CentreUnavailableError(f"{url} did not answer in time; check the network")
        case aiohttp.ClientConnectionError() | OSError():
            return CentreUnavailableError(f"{url} cannot be reached; check the network")
        case _:
            return CentreAnswerError(
                f"the answer cannot be read ({type(error).__name__}); "
                "is something between this register and its centre?"
            )


def proxy_problem(error: Exception, url: str, proxy: str | None) -> str | None:
    """What is wrong with the proxy on the way to `url`, and what to do; None where `error` is not of a proxy.

    A proxy's own words are not the centre's, and are not repeated.
    """
    name = without_password(proxy or "")
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"the proxy {name} cannot be reached; check centre.proxy, or HTTPS_PROXY where that is not set"
    if not isinstance(error, aiohttp.ClientHttpProxyError):
        return None
    if error.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return f"the proxy {name} asks who this is; put http://USER:PASSWORD@{name} into centre.proxy"
    return (
        f"the proxy {name} does not let this register through to {url} ({error.status}); allow it there, or "
        "set centre.proxy"
    )


def _in_query(text: str) -> str:
    """A name that the centre gave, which the HTTP library writes as it is; what it would write otherwise is none."""
    if not _PLAIN.fullmatch(text):
        raise CentreAnswerError(f"the centre names {text[:MAX_DETAIL_CHARS]!r}, which cannot be asked for; update it")
    return text


def certificate_problem(error: aiohttp.ClientConnectorCertificateError) -> str | None:
    """What is wrong with a certificate of the right CA; None where it is another's."""
    why = error.certificate_error
    code = why.verify_code if isinstance(why, ssl.SSLCertVerificationError) else None
    if code == _EXPIRED:
        return (
            "the centre's certificate has expired by this register's clock; set the clock if it is wrong, else restart "
            "the centre's `serve`, which renews it"
        )
    if code == _NOT_YET_VALID:
        return "the centre's certificate is not valid yet by this register's clock; set the clock of whichever is wrong"
    if code in _OTHER_NAMES:
        return (
            "the centre's certificate does not name this address; run `tillside-central init` there with this host's "
            "name, or check the address"
        )
    return None


def old_tls_problem(error: Exception) -> str | None:
    """What to do where the other side speaks no TLS 1.3, as the centre does; None where that is not it."""
    why = error.os_error if isinstance(error, aiohttp.ClientConnectorSSLError) else error
    # One that is made by hand has no reason.
    if not isinstance(why, ssl.SSLError) or getattr(why, "reason", None) not in _OLD_TLS:
        return None
    return "what answers there speaks no TLS 1.3; let the proxy or the server before the centre speak it"


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    """Everything of an answer, and never more than one may hold."""
    received = bytearray()
    async for piece in content.iter_any():
        received += piece
        if len(received) > MAX_BODY_BYTES:
            raise ValueError(f"answer exceeds {MAX_BODY_BYTES} bytes")
    return bytes(received)


def _accepted(answer: _Answer) -> _Answer:
    """The answer, if it is a 200; else the error that its status stands for."""
    status = answer.status
    if status == HTTPStatus.OK:
        return answer
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        raise CentreBusyError(answer.retry_after_s)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise CentreUnavailableError(f"the centre failed ({status}); its log says why")
    if status < HTTPStatus.BAD_REQUEST:
        raise CentreAnswerError(f"unexpected answer {status}; is something between this register and its centre?")
    refusal = _refusal(answer)
    if refusal is None and status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise CentreAnswerError(
            f"something before the centre refuses this register ({status}): what answers is no centre; check the "
            "network and what is between"
        )
    raise refusal or CentreRefusedError(status, "no reason given")


def _decoded(answer: _Answer, type_: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body, type=type_)
    except UNDECODABLE as error:
        raise CentreAnswerError(
            f"the answer cannot be read ({error}); is something between this register and its centre?"
        ) from error


def _refusal(answer: _Answer) -> CentreRefusedError | None:
    """None where nobody of ours gave a reason."""
    for shape in (SequenceGap, Refusal):
        with suppress(*UNDECODABLE):
            refusal = msgspec.json.decode(answer.body, type=shape)
            detail = (refusal.detail or refusal.title)[:MAX_DETAIL_CHARS]
            expected_seq = refusal.expected_seq if isinstance(refusal, SequenceGap) else None
            return CentreRefusedError(answer.status, detail, expected_seq)
    return None


def _retry_after_s(headers: Mapping[str, str], now: datetime) -> float:
    """Retry-After (RFC 9110, 10.2.3) in seconds.

    As a date it is by the clock of whoever answers, and measured from its `Date`; without that from `now`, here.
    """
    said = headers.get("Retry-After", "")
    if said.isascii() and said.isdigit():
        return float(said)
    try:
        until = parsedate_to_datetime(said)
        since = parsedate_to_datetime(headers["Date"]) if "Date" in headers else now
        return max(0.0, (until - since).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return DEFAULT_RETRY_AFTER_S
