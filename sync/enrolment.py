"""How a register comes to belong to a centre: the code, the one-time exchange, the file that stays.

Owns the enrolment code's form, the pinning of the centre's CA by the digest in it, and `enrolment.json`.
Never keeps the token or the private key in that file: the key is with the `KeyKeeper`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import ssl
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import Struct

from sync.client import CONNECT_S, pinned_context, plausible
from sync.keys import DEVICE_KEY, DEVICE_KEY_BYTES, KeyKeeper
from sync.records import HexDigest
from sync.wire import EnrolRequest, EnrolResponse, Facts, PublicKey, Refusal

CODE_PREFIX = "tillside-enrol:"
# A code is a URL, a token and a digest; a QR code of this length is still read by any scanner.
MAX_CODE_CHARS = 2048
MAX_ANSWER_BYTES = 64 * 1024
EXCHANGE_S = 20.0
FILE_NAME = "enrolment.json"


class EnrolmentCode(Struct, frozen=True, kw_only=True):
    """What an operator types or scans. `ca_sha256` is over the DER form of the centre's CA certificate."""

    url: str
    token: str
    ca_sha256: HexDigest


class Enrolment(Struct, frozen=True, kw_only=True):
    """Which register of which centre this is. `key` names the device's private key at the keeper."""

    device: str
    store: str
    register: str
    url: str
    ca_pem: str
    centre_epoch: str
    program_key: PublicKey
    key: str = DEVICE_KEY


class EnrolmentError(Exception):
    """The register could not be enrolled, or does not know where it belongs. The message says what to do."""


class CodeMalformedError(EnrolmentError):
    """What was given is no enrolment code."""


class TokenRefusedError(EnrolmentError):
    """The centre does not take this code: used, expired or unknown."""


class CentreMismatchError(EnrolmentError):
    """Whoever answers at the code's address has not the CA that the code names."""


class EnrolmentUnreachableError(EnrolmentError):
    """The centre did not answer."""


class EnrolmentAnswerError(EnrolmentError):
    """What answered is no centre, or one of another version."""


class AlreadyEnrolledError(EnrolmentError):
    """This register belongs to a centre already."""


class NotEnrolledError(EnrolmentError):
    """This register belongs to no centre yet."""


class EnrolmentDamagedError(EnrolmentError):
    """`enrolment.json` cannot be read."""


def code_text(code: EnrolmentCode) -> str:
    """The one line that `tillside enroll` takes."""
    return CODE_PREFIX + base64.urlsafe_b64encode(msgspec.json.encode(code)).rstrip(b"=").decode()


def parse_code(text: str) -> EnrolmentCode:
    """The code in `text`, as typed or scanned. Raises CodeMalformedError."""
    text = "".join(text.split())
    if not text.startswith(CODE_PREFIX) or len(text) > MAX_CODE_CHARS:
        raise CodeMalformedError(
            f"this is no enrolment code; one starts with {CODE_PREFIX} and is printed by "
            "`tillside-central enrolment create`"
        )
    packed = text.removeprefix(CODE_PREFIX)
    try:
        document = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
        code = msgspec.json.decode(document, type=EnrolmentCode)
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise CodeMalformedError("the enrolment code is incomplete; copy the whole line again") from error
    address = urlsplit(code.url)
    if address.scheme != "https" or not address.hostname or address.path.strip("/") or address.query:
        raise CodeMalformedError("the enrolment code names no https address; make a new one at the centre")
    return code


async def enrol(
    code: EnrolmentCode, folder: Path, keeper: KeyKeeper, facts: Facts, *, now: datetime, replace: bool = False
) -> Enrolment:
    """Enrols this register and saves the result to `folder`; asked again with the same code it goes on.

    With `replace` an earlier enrolment gives way, with a key of its own, once the new one stands. Raises
    EnrolmentError in one of its named forms, or SecretError.
    """
    key_name = DEVICE_KEY
    if (folder / FILE_NAME).exists():
        if not replace:
            raise _already(folder)
        key_name = f"{DEVICE_KEY}-{hashlib.sha256(code.token.encode()).hexdigest()[:16]}"
    key = Ed25519PrivateKey.from_private_bytes(keeper.get_or_create(key_name, DEVICE_KEY_BYTES))
    request = EnrolRequest(token=code.token, public_key=_public_text(key), facts=facts)
    url = code.url.rstrip("/")
    timeout = aiohttp.ClientTimeout(total=EXCHANGE_S, connect=CONNECT_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as http:
            ca_pem = await _pinned_ca(http, url, code.ca_sha256)
            context = pinned_context(ca_pem, check_time=plausible(now))
            answer = await _enrolled(http, url, request, context)
    except aiohttp.ClientConnectorCertificateError as error:
        raise CentreMismatchError(
            f"the centre's certificate does not name {url}; run `tillside-central init` there with this host's name"
        ) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise EnrolmentUnreachableError(
            f"no usable answer from {url}; check the network and that the centre runs there, "
            "then give the same code again"
        ) from error
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
    _save(folder, enrolment)
    return enrolment


def load_enrolment(folder: Path) -> Enrolment:
    """The enrolment in `folder`. Raises NotEnrolledError, EnrolmentDamagedError."""
    path = folder / FILE_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Enrolment)
    except FileNotFoundError:
        raise NotEnrolledError(
            "this register is not enrolled; make a code with `tillside-central enrolment create` at the centre "
            "and give it to `tillside enroll`"
        ) from None
    except (OSError, msgspec.DecodeError) as error:
        raise EnrolmentDamagedError(
            f"{path} cannot be read ({error}); put it back from a backup, or enrol anew with "
            "`tillside enroll --replace`: what waits in the queue is kept"
        ) from error


def device_key(enrolment: Enrolment, keeper: KeyKeeper) -> Ed25519PrivateKey:
    """The private key this register signs with. Raises EnrolmentDamagedError, SecretError."""
    seed = keeper.find(enrolment.key, DEVICE_KEY_BYTES)
    if seed is None:
        raise EnrolmentDamagedError(
            f"the device's key is not among the {keeper.where()}; put it back, or enrol anew with "
            "`tillside enroll --replace`: what waits in the queue is kept"
        )
    return Ed25519PrivateKey.from_private_bytes(seed)


async def _pinned_ca(http: aiohttp.ClientSession, url: str, ca_sha256: str) -> str:
    """The centre's CA certificate: fetched from anyone, believed only if it is the one the code names."""
    async with http.get(f"{url}/v1/ca", ssl=False, allow_redirects=False) as response:
        pem = await _bounded(response)
        found = response.status == HTTPStatus.OK
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
    http: aiohttp.ClientSession, url: str, request: EnrolRequest, context: ssl.SSLContext
) -> EnrolResponse:
    async with http.post(
        f"{url}/v1/enrol",
        data=msgspec.json.encode(request),
        headers={"Content-Type": "application/json"},
        ssl=context,
        allow_redirects=False,
    ) as response:
        body = await _bounded(response)
        status = response.status
    try:
        if status == HTTPStatus.OK:
            return msgspec.json.decode(body, type=EnrolResponse)
        refusal = msgspec.json.decode(body, type=Refusal)
    except msgspec.DecodeError as error:
        raise EnrolmentAnswerError(
            f"the answer of {url} ({status}) cannot be read; update the register or the centre"
        ) from error
    detail = f"{refusal.title}: {refusal.detail or status}"
    if status == HTTPStatus.FORBIDDEN:
        raise TokenRefusedError(detail)
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise EnrolmentUnreachableError(f"{detail}; give the same code again in a minute")
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


def _save(folder: Path, enrolment: Enrolment) -> None:
    """Written beside, synced, renamed: a power cut leaves the old file or the new one."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = folder / f".{FILE_NAME}.new"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(enrolment), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(folder / FILE_NAME)
    if os.name == "posix":
        directory = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _public_text(key: Ed25519PrivateKey) -> str:
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
