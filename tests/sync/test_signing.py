"""Signed requests: what is covered, what is refused, and one fixed vector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from aiohttp.test_utils import make_mocked_request
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import ContentDigest, HTTPMessageSigner, MappingKeyResolver, algorithms
from multidict import CIMultiDict

from sync.signing import (
    SignatureDeviceError,
    SignatureDigestError,
    SignatureError,
    SignatureInvalidError,
    SignatureMalformedError,
    SignatureMissingError,
    sign_request,
    verify_request,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
CREATED = datetime(2026, 11, 22, 9, 7, 14, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Request:
    method: str = "POST"
    url: str = "/v1/ingest?part=1"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b'{"entries":[]}'


def signed(
    request: Request | None = None, *, device: str = "dev-1", request_id: str = "req-1", key: Ed25519PrivateKey = KEY
) -> Request:
    request = request or Request(headers={"Content-Encoding": "zstd"})
    headers = sign_request(
        method=request.method,
        url=request.url,
        headers=request.headers,
        body=request.body,
        device=device,
        request_id=request_id,
        key=key,
        created=CREATED,
    )
    return replace(request, headers=headers)


def keys(device: str) -> Ed25519PublicKey | None:
    return {"dev-1": KEY.public_key(), "dev-2": OTHER_KEY.public_key()}.get(device)


def verify(request: Request) -> str:
    return verify_request(
        method=request.method,
        url=request.url,
        headers=request.headers,
        body=request.body,
        key_of_device=keys,
    )


def with_header(request: Request, name: str, value: str) -> Request:
    return replace(request, headers={**request.headers, name: value})


def without_header(request: Request, name: str) -> Request:
    return replace(request, headers={key: value for key, value in request.headers.items() if key != name})


def test_a_fixed_key_gives_the_published_signature() -> None:
    request = signed()

    assert request.headers == {
        "Content-Encoding": "zstd",
        "Tillside-Device": "dev-1",
        "Tillside-Request-Id": "req-1",
        "Content-Digest": "sha-256=:2AGqH7fdzDMKXjFzNy6mr0o9COxYB0R46FqlYD6SZlg=:",
        "Signature-Input": (
            'tillside=("@method" "@path" "@query" "content-digest" "tillside-device" "tillside-request-id"'
            ' "content-encoding");created=1795338434;keyid="dev-1";alg="ed25519"'
        ),
        "Signature": (
            "tillside=:H8a3A0mfpfvU3XtJyXJHkc31WFvnwzX0elC1LZAs7zhDDqkhavOAMIt3b2E2rPHeS4/r4XMthnUqDHUy8pogCg==:"
        ),
    }


@pytest.mark.parametrize(
    "request_",
    [
        Request(),
        Request(method="GET", url="/v1/changes?after=3&limit=500", body=b""),
        Request(method="GET", url="/v1/members/%C4%8D%20x", body=b""),
        Request(url="https://one-name.example:8443/v1/ingest"),
        Request(headers={"content-encoding": "zstd", "Accept": "application/json"}),
    ],
    ids=lambda request: f"{request.method} {request.url}",
)
def test_an_honest_request_names_its_device(request_: Request) -> None:
    assert verify(signed(request_)) == "dev-1"


def test_the_centre_may_be_reached_under_another_name() -> None:
    request = signed(Request(url="https://192.0.2.7:8443/v1/ingest?part=1"))

    assert verify(replace(request, url="/v1/ingest?part=1")) == "dev-1"


def test_headers_as_the_server_library_gives_them_are_read() -> None:
    request = signed(Request(method="GET", url="/v1/changes?after=0", body=b""))
    received = make_mocked_request("GET", request.url, headers=CIMultiDict(request.headers))

    device = verify_request(
        method=received.method, url=received.raw_path, headers=received.headers, body=b"", key_of_device=keys
    )

    assert device == "dev-1"


def _input(request: Request, old: str, new: str) -> Request:
    return with_header(request, "Signature-Input", request.headers["Signature-Input"].replace(old, new))


TAMPERED: dict[str, tuple[Callable[[Request], Request], type[SignatureError]]] = {
    "method": (lambda r: replace(r, method="PUT"), SignatureInvalidError),
    "path": (lambda r: replace(r, url="/v1/epochs?part=1"), SignatureInvalidError),
    "query": (lambda r: replace(r, url="/v1/ingest?part=2"), SignatureInvalidError),
    "no query": (lambda r: replace(r, url="/v1/ingest"), SignatureInvalidError),
    "body": (lambda r: replace(r, body=r.body + b" "), SignatureDigestError),
    "digest of another body": (
        lambda r: with_header(r, "Content-Digest", ContentDigest.create(b"x")),
        SignatureInvalidError,
    ),
    "digest algorithm": (lambda r: with_header(r, "Content-Digest", "md5=:AAAA:"), SignatureInvalidError),
    "device": (lambda r: with_header(r, "Tillside-Device", "dev-2"), SignatureDeviceError),
    "request id": (lambda r: with_header(r, "Tillside-Request-Id", "req-2"), SignatureInvalidError),
    "huge request id": (lambda r: with_header(r, "Tillside-Request-Id", "x" * 129), SignatureMalformedError),
    "encoding": (lambda r: with_header(r, "Content-Encoding", "identity"), SignatureInvalidError),
    "no encoding": (lambda r: without_header(r, "Content-Encoding"), SignatureMalformedError),
    "signature bytes": (
        lambda r: with_header(r, "Signature", "tillside=:" + "A" * 86 + "==:"),
        SignatureInvalidError,
    ),
    "no signature bytes": (lambda r: with_header(r, "Signature", "tillside=1"), SignatureMalformedError),
    "label": (lambda r: with_header(r, "Signature", r.headers["Signature"].replace("tillside", "other")),
              SignatureMalformedError),
    "created": (lambda r: _input(r, "created=179", "created=178"), SignatureInvalidError),
    "algorithm": (lambda r: _input(r, "ed25519", "hmac-sha256"), SignatureMalformedError),
    "key id": (lambda r: _input(r, "dev-1", "dev-2"), SignatureDeviceError),
    "tag": (lambda r: _input(r, "created", 'tag="x";created'), SignatureMalformedError),
    "expiry": (lambda r: _input(r, "created", "expires=1;created"), SignatureMalformedError),
    "no structured field": (lambda r: with_header(r, "Signature-Input", "]["), SignatureMalformedError),
}  # fmt: skip


@pytest.mark.parametrize("part", TAMPERED)
def test_a_tampered_request_is_refused(part: str) -> None:
    tamper, error = TAMPERED[part]

    with pytest.raises(error):
        verify(tamper(signed()))


@pytest.mark.parametrize(
    "name", ["Signature", "Signature-Input", "Content-Digest", "Tillside-Device", "Tillside-Request-Id"]
)
def test_a_missing_header_is_named(name: str) -> None:
    with pytest.raises(SignatureMissingError, match=name):
        verify(without_header(signed(), name))


@pytest.mark.parametrize("name", ["Signature", "Signature-Input", "Content-Digest", "Tillside-Device"])
def test_a_header_given_twice_is_refused(name: str) -> None:
    headers = CIMultiDict(signed().headers)
    headers.add(name, headers[name])

    with pytest.raises(SignatureMalformedError, match=name):
        verify_request(method="POST", url="/v1/ingest?part=1", headers=headers, body=Request().body, key_of_device=keys)


def test_a_second_signature_in_one_header_is_refused() -> None:
    request = signed()
    second = {
        name: request.headers[name] + ", " + request.headers[name].replace("tillside", "other", 1)
        for name in ("Signature", "Signature-Input")
    }

    with pytest.raises(SignatureMalformedError):
        verify(replace(request, headers={**request.headers, **second}))


def test_another_text_of_the_same_signature_is_refused() -> None:
    # Given the last digit of a signature, of which four bits mean nothing
    request = signed()
    value = request.headers["Signature"]
    assert value.endswith("g==:")
    for digit in "hijklmnopqrstuv":
        with pytest.raises(SignatureMalformedError, match="base64"):
            verify(with_header(request, "Signature", f"{value[:-4]}{digit}==:"))


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(SignatureDeviceError):
        verify(signed(device="dev-9"))


def test_another_devices_key_is_refused() -> None:
    with pytest.raises(SignatureInvalidError):
        verify(signed(key=OTHER_KEY))


COVERED = ("@method", "@path", "@query", "content-digest", "tillside-device", "tillside-request-id")


def signed_over(components: tuple[str, ...], *, algorithm: bool = True) -> Request:
    """A request whose signature fits, over other parts than ours."""
    headers = {
        "Tillside-Device": "dev-1",
        "Tillside-Request-Id": "req-1",
        "Content-Digest": ContentDigest.create(Request().body),
    }
    request = Request(headers=headers, url="https://centre/v1/ingest?part=1")
    signer = HTTPMessageSigner(
        signature_algorithm=algorithms.ED25519,
        key_resolver=MappingKeyResolver(public_keys={}, private_keys={"dev-1": KEY}),
    )
    signer.sign(
        request,
        key_id="dev-1",
        created=CREATED,
        covered_component_ids=components,
        include_alg=algorithm,
        use_existing_digest=True,
    )
    return request


def test_exactly_our_parts_are_taken() -> None:
    assert verify(signed_over(COVERED)) == "dev-1"


@pytest.mark.parametrize("left_out", COVERED)
def test_a_signature_that_leaves_a_part_out_is_refused(left_out: str) -> None:
    request = signed_over(tuple(name for name in COVERED if name != left_out))

    with pytest.raises(SignatureMalformedError, match=f'missing "{left_out}"'):
        verify(request)


def test_a_signature_over_more_than_our_parts_is_refused() -> None:
    with pytest.raises(SignatureMalformedError, match='surplus "@authority"'):
        verify(signed_over((*COVERED, "@authority")))


def test_a_signature_that_names_no_algorithm_is_refused() -> None:
    with pytest.raises(SignatureMalformedError, match="ed25519"):
        verify(signed_over(COVERED, algorithm=False))


@pytest.mark.parametrize("years", [-40, -10, 10, 40])
def test_the_registers_clock_decides_nothing(years: int) -> None:
    headers = sign_request(
        method="GET",
        url="/v1/changes",
        headers={},
        body=b"",
        device="dev-1",
        request_id="r",
        key=KEY,
        created=CREATED.replace(year=CREATED.year + years),
    )

    assert verify(Request(method="GET", url="/v1/changes", headers=headers, body=b"")) == "dev-1"
