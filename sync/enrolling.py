"""The one exchange that makes a machine a register of a centre.

Owns pinning the centre's CA by the digest in the code, and the order that makes a lost answer harmless: the
key is durable before the token goes out, the same pair gets the same answer. Never sends the token to anyone
but the centre that made the code.
"""

from __future__ import annotations

import hashlib
import secrets
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from http import HTTPStatus
from pathlib import Path

import aiohttp
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from loyalty.undecodable import UNDECODABLE
from sync.client import (
    CONNECT_S,
    certificate_problem,
    old_tls_problem,
    pinned_context,
    plausible,
    proxy_problem,
)
from sync.enrolment import (
    FILE_NAME,
    AlreadyEnrolledError,
    CentreMismatchError,
    Enrolment,
    EnrolmentAnswerError,
    EnrolmentCode,
    EnrolmentDamagedError,
    EnrolmentUnreachableError,
    RegisterUnsaidError,
    TokenRefusedError,
    load_enrolment,
    save_enrolment,
)
from sync.keys import DEVICE_KEY, DEVICE_KEY_BYTES, KeyKeeper
from sync.network import Way, proxy_for
from sync.signing import public_key_text, sign_request
from sync.wire import EnrolRequest, EnrolResponse, Facts, Refusal

MAX_ANSWER_BYTES = 64 * 1024
EXCHANGE_S = 20.0
_TARGET = "/v1/enrol"


class CameIn(Struct, frozen=True, kw_only=True):
    """Where this register belongs now; `left` is the device that it was before, `left_refused` whether the centre shut
    that out by the same act. It does not where another machine goes on under it, or another centre let it in.
    """

    enrolment: Enrolment
    left: str | None = None
    left_refused: bool = False


async def enrol(
    code: EnrolmentCode,
    folder: Path,
    keeper: KeyKeeper,
    facts: Facts,
    *,
    now: datetime,
    replace: bool = False,
    register: str | None = None,
    way: Way | None = None,
) -> CameIn:
    """Enrols this register and saves the result to `folder`; asked again with the same code it goes on.

    `register` is which one of its store this is, for a code that leaves it open. With `replace` an earlier enrolment
    gives way: the new one has a key of its own, the old key proves to the centre which device is no more, and is taken
    away once the new one stands. Raises EnrolmentError in one of its named forms, SecretError, or OSError.
    """
    if code.asks_register and register is None:
        raise RegisterUnsaidError(
            "the code is for any of several registers: say which one this is with `tillside enroll --register`, or in "
            "the settings, [register] register"
        )
    key_name, before = DEVICE_KEY, None
    if anew := (folder / FILE_NAME).exists():
        if not replace:
            raise _already(folder)
        before = _before(folder)
        key_name = f"{DEVICE_KEY}-{hashlib.sha256(code.token.encode()).hexdigest()[:16]}"
    old_key = None if before is None else keeper.find(before.key, DEVICE_KEY_BYTES)
    key = Ed25519PrivateKey.from_private_bytes(keeper.get_or_create(key_name, DEVICE_KEY_BYTES))
    request = EnrolRequest(
        token=code.token,
        public_key=public_key_text(key),
        facts=facts,
        replaces=before.device if before is not None and old_key is not None else msgspec.UNSET,
        register=register or msgspec.UNSET,
    )
    body, headers = msgspec.json.encode(request), {"Content-Type": "application/json"}
    if before is not None and old_key is not None:
        headers = sign_request(
            method="POST",
            url=_TARGET,
            headers=headers,
            body=body,
            device=before.device,
            request_id=secrets.token_hex(16),
            key=Ed25519PrivateKey.from_private_bytes(old_key),
            created=now,
        )
    url = code.url.rstrip("/")
    way = way or Way()
    async with _on_the_way(url, way) as http:
        ca_pem = await _pinned_ca(http, url, code.ca_sha256)
        context = pinned_context(ca_pem, check_time=plausible(now), also_trusted=way.ca_pem)
        answer = await _enrolled(http, url, (body, headers), context)
    enrolment = Enrolment(
        device=answer.device,
        store=answer.store,
        register=answer.register,
        url=url,
        ca_pem=ca_pem,
        centre_epoch=answer.centre_epoch,
        program_key=answer.program_key,
        key=key_name,
    )
    save_enrolment(folder, enrolment)
    if anew:
        keeper.forget(before.key if before is not None else DEVICE_KEY)
    if before is None:
        return CameIn(enrolment=enrolment)
    return CameIn(enrolment=enrolment, left=before.device, left_refused=answer.replaced == before.device)


async def centre_of(code: EnrolmentCode, way: Way) -> str:
    """The certificate of the CA that a code names, as its centre gives it; the code is not used. Raises EnrolmentError
    and NetworkSettingError.
    """
    url = code.url.rstrip("/")
    async with _on_the_way(url, way) as http:
        return await _pinned_ca(http, url, code.ca_sha256)


@asynccontextmanager
async def _on_the_way(url: str, way: Way) -> AsyncIterator[aiohttp.ClientSession]:
    """What fails within is told as who enrols understands it."""
    proxy = proxy_for(url, way)
    timeout = aiohttp.ClientTimeout(total=EXCHANGE_S, connect=CONNECT_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), proxy=proxy) as http:
            yield http
    except aiohttp.ClientConnectorCertificateError as error:
        why = certificate_problem(error) or (
            "its certificate is of no CA that is trusted here: where a proxy inspects TLS, or a server stands before "
            "the centre, name its CA in centre.ca_file; else do not enrol until you know why"
        )
        raise CentreMismatchError(f"{url}: {why}") from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        why = (
            old_tls_problem(error)
            or proxy_problem(error, url, proxy)
            or "check the network and that the centre runs there"
        )
        raise EnrolmentUnreachableError(f"no usable answer from {url}: {why}") from error


def _before(folder: Path) -> Enrolment | None:
    """None where nobody can tell any more which device this machine was."""
    try:
        return load_enrolment(folder)
    except EnrolmentDamagedError:
        return None


async def _pinned_ca(http: aiohttp.ClientSession, url: str, ca_sha256: str) -> str:
    """The centre's CA certificate: fetched from anyone, believed only if it is the one the code names."""
    async with http.get(f"{url}/v1/ca", ssl=False, allow_redirects=False) as response:
        pem = await _bounded(response)
        found = response.status == HTTPStatus.OK
        if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise EnrolmentUnreachableError(
                f"{url} answers {response.status}: the centre, or a server before it, is not ready; see to it there"
            )
    try:
        der = ssl.PEM_cert_to_DER_cert(pem.decode("ascii")) if found else b""
    except ValueError:
        der = b""
    if hashlib.sha256(der).hexdigest() != ca_sha256:
        raise CentreMismatchError(
            f"what answers at {url} is not the centre that made this code; check the address and the network, "
            "and do not enrol until you know why"
        )
    return ssl.DER_cert_to_PEM_cert(der)


async def _enrolled(
    http: aiohttp.ClientSession, url: str, request: tuple[bytes, dict[str, str]], context: ssl.SSLContext
) -> EnrolResponse:
    body, headers = request
    async with http.post(
        f"{url}{_TARGET}",
        data=body,
        headers=headers,
        ssl=context,
        allow_redirects=False,
    ) as response:
        answer = await _bounded(response)
        status = response.status
    try:
        if status == HTTPStatus.OK:
            return msgspec.json.decode(answer, type=EnrolResponse)
        refusal = msgspec.json.decode(answer, type=Refusal)
    except UNDECODABLE as error:
        raise EnrolmentAnswerError(
            f"the answer of {url} ({status}) cannot be read; update the register or the centre"
        ) from error
    detail = f"{refusal.title}: {refusal.detail or status}"
    if status == HTTPStatus.FORBIDDEN:
        raise TokenRefusedError(detail)
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise EnrolmentUnreachableError(detail, "give the same code again in a minute")
    raise EnrolmentAnswerError(f"{detail}; update the register or the centre")


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise EnrolmentAnswerError("the answer is far too long; what answers is no centre")
    return bytes(body)


def _already(folder: Path) -> AlreadyEnrolledError:
    known = load_enrolment(folder)
    return AlreadyEnrolledError(
        f"this machine is register {known.register} of store {known.store} at {known.url} already; "
        "to enrol it anew, give `tillside enroll --replace` with a new code"
    )
