"""Letting a register in: once for each token, and only over the pinned CA."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aiohttp import ClientSession
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.conformance.conftest import Centre
from tests.conformance.register import Device, Register, ask_to_enrol, enrol, pinned_ca, read_code
from tests.conformance.rules import require
from tests.conformance.shapes import Enrolled, Problem

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_token_counts_once(centre: Centre, session: ClientSession) -> None:
    # Given a code that was used
    code, key = read_code(centre.code()), Ed25519PrivateKey.generate()
    ca_pem = await pinned_ca(session, code)
    first = (await ask_to_enrol(session, code, ca_pem, key)).read(Enrolled, "enrolment")
    # When its register did not hear of it, and asks again
    again = (await ask_to_enrol(session, code, ca_pem, key)).read(Enrolled, "enrolment")
    # Then it is the same device
    require(
        again.device == first.device,
        "enrolment",
        "The centre made another device of the same token with the same key: an answer that is lost makes two.",
    )
    # And for another key the code is spent
    other = await ask_to_enrol(session, code, ca_pem, Ed25519PrivateKey.generate())
    require(other.status == 403, "enrolment", f"A used token came with another key; the centre answered {other}.")
    other.read(Problem, "transport", status=403)


async def test_a_token_that_nobody_made_is_refused(device: Device, centre: Centre, session: ClientSession) -> None:
    code = replace(read_code(centre.code()), token="conformance-made-this-up")
    answer = await ask_to_enrol(session, code, device.ca_pem, Ed25519PrivateKey.generate())
    require(answer.status == 403, "enrolment", f"The token is unknown; the centre answered {answer}.")


async def test_an_expired_token_is_refused(device: Device, centre: Centre, session: ClientSession) -> None:
    if centre.expired is None:
        pytest.skip("no --expired-code was given")
    code = replace(read_code(centre.expired), url=device.url)
    answer = await ask_to_enrol(session, code, device.ca_pem, Ed25519PrivateKey.generate())
    require(answer.status == 403, "enrolment", f"The token has expired; the centre answered {answer}.")


async def test_nobody_takes_a_device_out_of_service_who_does_not_prove_to_be_it(
    centre: Centre, session: ClientSession
) -> None:
    # Given a register, and somebody else who says to have been it
    victim = await enrol(session, centre.code())
    await enrol(session, centre.code(), replaces=victim, proven=False)
    # Then it goes on
    answer = await Register(victim, session).get("/v1/erasures?after=0")
    require(
        answer.status == 200,
        "enrolment",
        f"Another device said to be in place of this one, unsigned, and the centre answers this one {answer}.",
    )
    # When it is enrolled anew, and signs that with its key of before
    await enrol(session, centre.code(), replaces=victim)
    # Then it is that device no more
    answer = await Register(victim, session).get("/v1/erasures?after=0")
    require(answer.status == 403, "enrolment", f"A device that was replaced is answered {answer}.")
