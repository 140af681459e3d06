"""The suite itself: its register makes what is published, its failures lead somewhere."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.conformance.conftest import MEMBERS
from tests.conformance.register import (
    Answer,
    Entry,
    Request,
    chain_start,
    holds,
    key_of,
    public_text,
    read_code,
    signature_base,
)
from tests.conformance.rules import PAGE, Section
from tests.conformance.shapes import Ingested

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def vectors(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ROOT.joinpath("tests", "vectors", "protocol", name).read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("case", vectors("signing.json")["cases"], ids=lambda case: case["story"])
def test_the_register_signs_as_published(case: dict[str, Any]) -> None:
    signing, headers = vectors("signing.json"), case["headers"]
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(signing["private_key"]))
    [created] = re.findall(r";created=(\d+);", headers["Signature-Input"])
    plain = {name: value for name, value in headers.items() if name in ("Content-Type", "Content-Encoding")}
    request = Request(
        method=case["method"], target=case["target"], body=base64.b64decode(case["body"]), headers=plain
    ).sign(signing["device"], key, request_id=headers["Tillside-Request-Id"], created=int(created))

    assert request.headers == headers
    parameters = headers["Signature-Input"].removeprefix("tillside=")
    base = signature_base(case["method"], case["target"], headers, parameters)
    assert base.decode() == case["signature_base"]
    assert public_text(key) == signing["public_key"]


def test_the_register_chains_as_published() -> None:
    chain = vectors("chain.json")
    h = chain_start(chain["device"], chain["epoch"])
    assert h.hex() == chain["h0"]

    for published in chain["entries"]:
        names = ("seq", "key", "kind", "hlc", "wall", "salt", "body")
        entry = Entry(**{name: published[name] for name in names})
        h = entry.after(h)
        assert (entry.digest.hex(), h.hex()) == (published["digest"], published["h"])
        assert (entry.wire, entry.wire_without_body) == (published["wire"], published["wire_without_body"])


def test_codes_keys_and_documents_are_those_that_are_published() -> None:
    case, [document] = vectors("enrolment.json")["cases"][0], vectors("signing.json")["documents"]

    code = read_code(f"some words before\n{case['code']}\nand after")
    assert (code.url, code.token, code.ca_sha256) == (case["url"], case["token"], case["ca_sha256"])
    assert key_of("pos:12/3/2026-11-22/4711") == "a7636025-e0dd-53cd-99e5-d600da93dd52"
    assert holds(vectors("signing.json")["public_key"], document["document"].encode(), document["signature"])


def test_what_a_centre_is_asked_to_hold_is_what_is_looked_for() -> None:
    members = json.loads((HERE / "members.json").read_text(encoding="utf-8"))["members"]

    assert tuple(member["identifiers"][0]["code"] for member in members) == MEMBERS


def test_a_failure_says_what_the_centre_did_and_where_the_page_says_otherwise() -> None:
    answer = Answer(to="POST /v1/ingest", status=200, headers={}, body=b'{"centre_epoch":"c","acked_through":1}')

    with pytest.raises(pytest.fail.Exception, match=r"(?s)POST /v1/ingest.*chain_hash.*docs/protocol.md#up"):
        answer.read(Ingested, "up")
    with pytest.raises(pytest.fail.Exception, match=r"The centre answered 200 to POST /v1/ingest.*; 409 is due"):
        answer.read(Ingested, "up", status=409)


def test_every_part_of_the_page_that_a_failure_names_is_there() -> None:
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", page, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}

    assert set(get_args(Section)) - anchors == set()


def test_nothing_of_the_product_is_used() -> None:
    for path in HERE.glob("*.py"):
        imported = re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        ours = {"agent", "central", "config", "drivers", "installer", "loyalty", "sync"}.intersection(imported)
        assert ours == ({"central"} if path.name == "own_centre.py" else set()), path.name
