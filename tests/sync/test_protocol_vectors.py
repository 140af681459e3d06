"""The published vectors of the protocol, and the examples of docs/protocol.md: what our own code makes of them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from loyalty.addresses import address_code, email_address, hidden_code, phone_number
from loyalty.identification import normal_code
from sync.enrolment import CODE_PREFIX, CodeMalformedError, EnrolmentCode, code_text, parse_code
from sync.records import Entry, chain_next, chain_start, wall_text
from sync.signing import (
    DEVICE_HEADER,
    REQUEST_ID_HEADER,
    SignatureError,
    is_signed,
    public_key_text,
    sign_request,
    verify_request,
)
from sync.wire import IngestRequest, compress, decompress

ROOT = Path(__file__).parents[2]
PAGE = ROOT.joinpath("docs", "protocol.md").read_text(encoding="utf-8")


def vectors(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ROOT.joinpath("tests", "vectors", "protocol", name).read_text(encoding="utf-8"))
    return found


SIGNING, CHAIN, ENROLMENT, COMPRESSION, CODES = (
    vectors(f"{name}.json") for name in ("signing", "chain", "enrolment", "compression", "codes")
)
KEY = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(SIGNING["private_key"]))


def stories(cases: list[dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case["story"])


def verified(case: dict[str, Any]) -> str:
    return verify_request(
        method=case["method"],
        url=case["target"],
        headers=case["headers"],
        body=base64.b64decode(case["body"]),
        key_of_device=lambda _: KEY.public_key(),
    )


# ---- signatures


def test_the_key_is_written_as_published() -> None:
    assert public_key_text(KEY) == SIGNING["public_key"]


@stories(SIGNING["cases"])
def test_a_request_is_signed_as_published(case: dict[str, Any]) -> None:
    headers = case["headers"]
    [created] = re.findall(r";created=(\d+);", headers["Signature-Input"])

    signed = sign_request(
        method=case["method"],
        url=case["target"],
        headers={name: value for name, value in headers.items() if name in ("Content-Type", "Content-Encoding")},
        body=base64.b64decode(case["body"]),
        device=SIGNING["device"],
        request_id=headers[REQUEST_ID_HEADER],
        key=KEY,
        created=datetime.fromtimestamp(int(created), UTC),
    )

    assert signed == headers
    assert headers[DEVICE_HEADER] == SIGNING["device"] == verified(case)


@stories(SIGNING["cases"])
def test_the_published_base_is_what_was_signed(case: dict[str, Any]) -> None:
    signature = base64.b64encode(KEY.sign(case["signature_base"].encode())).decode()

    assert case["headers"]["Signature"] == f"tillside=:{signature}:"


@stories(SIGNING["refused"])
def test_nothing_but_the_one_form_is_taken(case: dict[str, Any]) -> None:
    with pytest.raises(SignatureError):
        verified(case)


@stories(SIGNING["documents"])
def test_a_document_is_signed_as_published(case: dict[str, Any]) -> None:
    document = case["document"].encode()

    assert hashlib.sha256(document).hexdigest() == case["hash"]
    assert is_signed(document, case["signature"], SIGNING["public_key"])
    assert not is_signed(document + b" ", case["signature"], SIGNING["public_key"])


# ---- chain


def test_the_chain_comes_to_the_published_hashes() -> None:
    h = chain_start(CHAIN["device"], CHAIN["epoch"])
    assert h.hex() == CHAIN["h0"] == hashlib.sha256(bytes.fromhex(CHAIN["h0_hashed"])).hexdigest()

    for published in CHAIN["entries"]:
        whole, without = (msgspec.json.decode(published[form], type=Entry) for form in ("wire", "wire_without_body"))
        assert (whole.json.decode(), wall_text(whole.wall)) == (published["body"], published["wall"])
        assert whole.body_digest.hex() == without.digest == published["digest"]
        assert chain_next(h, whole) == chain_next(h, without)
        h = chain_next(h, whole)
        assert h.hex() == published["h"] == hashlib.sha256(bytes.fromhex(published["hashed"])).hexdigest()


def test_the_signed_batch_holds_the_chain() -> None:
    batch = msgspec.json.decode(base64.b64decode(SIGNING["cases"][0]["body"]), type=IngestRequest)

    assert (batch.device, batch.epoch, batch.prev_hash) == (CHAIN["device"], CHAIN["epoch"], CHAIN["h0"])
    h = bytes.fromhex(CHAIN["h0"])
    for entry in batch.entries:
        h = chain_next(h, entry)
    assert h.hex() == CHAIN["entries"][-1]["h"]


# ---- enrolment


@pytest.mark.parametrize("case", ENROLMENT["cases"], ids=["one line", "wrapped", "a key more"])
def test_a_code_says_what_is_published(case: dict[str, Any]) -> None:
    code = parse_code(case["code"])

    assert code == EnrolmentCode(url=case["url"], token=case["token"], ca_sha256=case["ca_sha256"])
    assert hashlib.sha256(ssl.PEM_cert_to_DER_cert(ENROLMENT["ca_pem"])).hexdigest() == code.ca_sha256


def test_a_code_is_written_as_published() -> None:
    case = ENROLMENT["cases"][0]

    assert code_text(EnrolmentCode(url=case["url"], token=case["token"], ca_sha256=case["ca_sha256"])) == case["code"]
    assert case["code"].startswith(CODE_PREFIX)


@stories(ENROLMENT["refused"])
def test_what_is_no_code_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(CodeMalformedError):
        parse_code(case["code"])


# ---- compression


@stories(COMPRESSION["frames"])
def test_a_frame_is_unpacked_as_published(case: dict[str, Any]) -> None:
    plain = base64.b64decode(COMPRESSION["plain"])

    assert decompress(base64.b64decode(case["frame"]), "zstd") == plain


def test_our_own_frame_comes_back() -> None:
    plain = base64.b64decode(COMPRESSION["plain"])
    frame, encoding = compress(plain)

    assert encoding == "zstd"
    assert decompress(frame, encoding) == plain


@stories(COMPRESSION["refused"])
def test_what_is_not_one_whole_frame_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="body"):
        decompress(base64.b64decode(case["frame"]), "zstd")


# ---- codes of members


@pytest.mark.parametrize("case", CODES["addresses"], ids=lambda case: case["written"])
def test_a_number_or_address_has_the_published_code(case: dict[str, Any]) -> None:
    compared = phone_number(case["written"]) if case["kind"] == "phone" else email_address(case["written"])

    assert compared == case["address"]
    assert address_code(case["kind"], case["written"], CODES["code_key"]) == case["code"] == normal_code(case["code"])


def test_what_is_no_number_or_address_has_no_code() -> None:
    assert [address_code(case["kind"], case["written"], CODES["code_key"]) for case in CODES["no_addresses"]] == [
        None
    ] * len(CODES["no_addresses"])


def test_codes_are_compared_and_hidden_as_published() -> None:
    for case in CODES["normal"]:
        assert normal_code(case["written"]) == case["code"]
    for case in CODES["erased"]:
        assert hidden_code(case["code"], CODES["code_key"]) == case["hidden"]


# ---- the page


def test_the_pages_code_is_the_first_vector() -> None:
    first = CODES["addresses"][0]

    assert f"`{CODES['code_key']}`, `{first['written']}` is `{first['code']}`" in PAGE


def test_the_pages_request_is_the_first_vector() -> None:
    first = SIGNING["cases"][0]
    lines = [f"{name}: {value}" for name, value in first["headers"].items()]
    head = "\n".join((f"{first['method']} {first['target']} HTTP/1.1", *lines))
    body = base64.b64decode(first["body"]).decode()

    assert f"```http\n{head}\n\n{body}\n```" in PAGE
    assert f"```\n{first['signature_base']}\n```" in PAGE
    assert f"{len(body.encode())} bytes" in PAGE
    assert f"`{SIGNING['private_key']}`; its public key is\n`{SIGNING['public_key']}`" in PAGE


def test_the_pages_chain_is_the_vector() -> None:
    shown = PAGE.split("the third travels as its digest:\n\n```\n")[1].split("\n```")[0]
    parts = [re.findall(r"^(\S+) +(.*)$", part, flags=re.MULTILINE) for part in shown.split("\n\n")]
    names = {"d": "digest", **dict.fromkeys(("h₁", "h₂", "h₃"), "h")}

    assert parts[0] == [("h₀", CHAIN["h0"])]
    for published, part in zip(CHAIN["entries"], parts[1:], strict=True):
        expected = {name: str(value) for name, value in published.items() if not name.startswith(("hashed", "wire"))}
        assert {names.get(name, name): value for name, value in part} == expected
