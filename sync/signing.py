"""Signatures of the register's requests, RFC 9421 with Ed25519, digests as RFC 9530; and of the centre's documents.

Owns which parts of a request are covered and the one form that is accepted; both sides use it. Never
judges freshness: no clock is trusted, so a replay is caught by sequence numbers and request ids. Never
decompresses: the digest is over the bytes as they travel.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from cryptography.exceptions import InvalidSignature as WrongSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import (
    ContentDigest,
    HTTPMessageSignaturesException,
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    InvalidSignature,
    MappingKeyResolver,
    VerifyResult,
    algorithms,
)

from sync import base64url

DEVICE_HEADER = "Tillside-Device"
REQUEST_ID_HEADER = "Tillside-Request-Id"
LABEL = "tillside"

_ALWAYS_COVERED = ("@method", "@path", "@query", "content-digest", "tillside-device", "tillside-request-id")
_COVERED_IF_PRESENT = "content-encoding"
# Only path and query are covered: a register may reach its centre under another name or through a proxy.
_ANY_ORIGIN = "https://centre"
# Device ids and request ids are short random texts; anything longer is no id of ours.
MAX_ID_LENGTH = 128


class SignatureError(ValueError):
    """A request is not what its device signed. Nothing of it may be used."""


class SignatureMissingError(SignatureError):
    """No signature, or one of the headers that go with it is absent."""


class SignatureMalformedError(SignatureError):
    """The signature is not of the one accepted form: one signature, Ed25519, exactly our components."""


class SignatureDeviceError(SignatureError):
    """The device is unknown here, or the signature was made under another id than the header names."""


class SignatureDigestError(SignatureError):
    """The body is not the one whose digest was signed."""


class SignatureInvalidError(SignatureError):
    """The signature does not fit the request and the device's key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    """A request in the shape the signature library reads."""

    method: str
    url: str
    headers: Mapping[str, str]


class _ClocklessVerifier(HTTPMessageVerifier):
    """Takes exactly the parameters we send, and `created` at no value: a till's clock may be years off."""

    signature_metadata_parameters: ClassVar[set[str]] = {"alg", "created", "keyid"}

    def validate_created_and_expires(self, sig_input: Any, max_age: Any = None) -> None:
        """Freshness is not a matter of signatures here."""


class _DeviceKeys(HTTPSignatureKeyResolver):
    """The key of one device, under its id only."""

    def __init__(self, device: str, key: Ed25519PublicKey) -> None:
        self._device = device
        self._key = key

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey:
        if key_id != self._device:
            raise SignatureDeviceError(f"signed as another device than {DEVICE_HEADER} names")
        return self._key


def public_key_text(key: Ed25519PrivateKey) -> str:
    """The public half of `key` as the wire carries it."""
    return base64url.encoded(key.public_key().public_bytes_raw())


def public_key_of(text: str) -> Ed25519PublicKey:
    """The key written as `text` by `public_key_text`. Raises ValueError."""
    return Ed25519PublicKey.from_public_bytes(base64url.decoded(text))


def is_signed(document: bytes, signature: str, key: str) -> bool:
    """Whether `signature` over `document` is by the key written as `key`; both are unpadded URL-safe base64."""
    try:
        public_key_of(key).verify(base64url.decoded(signature), document)
    except (WrongSignature, ValueError):
        return False
    return True


def sign_request(
    *,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    device: str,
    request_id: str,
    key: Ed25519PrivateKey,
    created: datetime,
) -> dict[str, str]:
    """`headers` plus the five that prove who sent this request.

    `url` is absolute or just path and query, percent-encoded as it goes on the request line; `body` is
    what goes on the wire, after compression. `created` tells the reader the register's clock, no more.
    """
    signed = {**headers, DEVICE_HEADER: device, REQUEST_ID_HEADER: request_id}
    message = _Message(method=method, url=_absolute(url), headers=signed)
    signer = HTTPMessageSigner(
        signature_algorithm=algorithms.ED25519,
        key_resolver=MappingKeyResolver(public_keys={}, private_keys={device: key}),
    )
    signer.sign(
        message,
        key_id=device,
        created=created,
        label=LABEL,
        covered_component_ids=_covered(signed),
        body=body,
    )
    return signed


def verify_request(
    *,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    key_of_device: Callable[[str], Ed25519PublicKey | None],
) -> str:
    """The device that signed exactly this request.

    `headers.items()` must give repeated header lines one by one (aiohttp's does); `body` is as received.
    Raises SignatureError in one of its named forms.
    """
    message = _Message(method=method, url=_absolute(url), headers=headers)
    device = _single(headers, DEVICE_HEADER)
    _single(headers, REQUEST_ID_HEADER)
    _single(headers, "Signature-Input")
    _require_one_text(_single(headers, "Signature"))
    digest = _single(headers, "Content-Digest")
    key = key_of_device(device)
    if key is None:
        raise SignatureDeviceError("this device is not enrolled here, or was revoked")
    result = _verified(message, _DeviceKeys(device, key))
    if result.parameters.get("alg") != algorithms.ED25519.algorithm_id:
        raise SignatureMalformedError("the signature does not name its algorithm; only ed25519 is taken")
    _require_exactly(result, _covered(headers))
    try:
        ContentDigest.verify(digest, body)
    except InvalidSignature as error:
        raise SignatureDigestError("the body does not match its Content-Digest") from error
    return device


def _verified(message: _Message, keys: HTTPSignatureKeyResolver) -> VerifyResult:
    verifier = _ClocklessVerifier(signature_algorithm=algorithms.ED25519, key_resolver=keys)
    try:
        [result] = verifier.verify(message, max_age=None)
    except InvalidSignature as error:
        if isinstance(error.__cause__, SignatureDeviceError):
            raise error.__cause__ from error
        if isinstance(error.__cause__, WrongSignature):
            raise SignatureInvalidError("the signature does not fit this request and the device's key") from error
        raise SignatureMalformedError(f"the signature cannot be read: {error}") from error
    except (HTTPMessageSignaturesException, ValueError) as error:
        raise SignatureMalformedError(f"the signature cannot be read: {error}") from error
    return result


def _require_one_text(signature: str) -> None:
    """The last digit of base64 has bits that say nothing: of the texts that mean the same bytes only one is taken."""
    encoded = signature.strip().partition("=:")[2].removesuffix(":")
    try:
        same = b64encode(b64decode(encoded, validate=True)).decode() == encoded
    except ValueError:
        same = False
    if not same:
        raise SignatureMalformedError("the signature cannot be read: it is not base64 as RFC 4648 writes it")


def _require_exactly(result: VerifyResult, covered: tuple[str, ...]) -> None:
    signed = set(result.covered_components) - {'"@signature-params"'}
    expected = {f'"{name}"' for name in covered}
    if signed != expected:
        missing = ", ".join(sorted(expected - signed)) or "none"
        surplus = ", ".join(sorted(signed - expected)) or "none"
        raise SignatureMalformedError(f"signed parts differ from ours: missing {missing}; surplus {surplus}")


def _covered(headers: Mapping[str, str]) -> tuple[str, ...]:
    if any(name.lower() == _COVERED_IF_PRESENT for name in headers):
        return (*_ALWAYS_COVERED, _COVERED_IF_PRESENT)
    return _ALWAYS_COVERED


def _single(headers: Mapping[str, str], name: str) -> str:
    values = [value for header, value in headers.items() if header.lower() == name.lower()]
    if not values:
        raise SignatureMissingError(f"the request has no {name} header")
    if len(values) > 1:
        raise SignatureMalformedError(f"the request has more than one {name} header")
    if name in (DEVICE_HEADER, REQUEST_ID_HEADER) and not 1 <= len(values[0]) <= MAX_ID_LENGTH:
        raise SignatureMalformedError(f"{name} is no id of at most {MAX_ID_LENGTH} characters")
    return values[0]


def _absolute(url: str) -> str:
    return _ANY_ORIGIN + url if url.startswith("/") else url
