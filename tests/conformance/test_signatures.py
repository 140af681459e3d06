"""Nothing that is not exactly what an enrolled device signed is taken; what it signed is."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.conformance.register import COVERED, Register, Request, content_digest
from tests.conformance.rules import Section, require
from tests.conformance.shapes import Heard, Opened, Problem

pytestmark = pytest.mark.asyncio(loop_scope="session")

Change = Callable[[Register, Request], Request]


def header(name: str, value: Callable[[str], str]) -> Change:
    return lambda _, honest: replace(honest, headers=honest.headers | {name: value(honest.headers[name])})


def without(*names: str) -> Change:
    return lambda _, honest: replace(
        honest, headers={name: value for name, value in honest.headers.items() if name not in names}
    )


def signed(**how: object) -> Change:
    """Signed by the right device, in another form."""

    def change(register: Register, honest: Request) -> Request:
        plain = register.request(honest.method, honest.target, register.batch())
        return plain.sign(register.device.id, register.device.key, **how)  # type: ignore[arg-type]

    return change


def by_another_key(register: Register, honest: Request) -> Request:
    plain = register.request(honest.method, honest.target, register.batch())
    return plain.sign(register.device.id, Ed25519PrivateKey.generate())


def as_nobody(register: Register, honest: Request) -> Request:
    plain = register.request(honest.method, honest.target, register.batch())
    return plain.sign("d-conformance-nobody", register.device.key)


def flipped(text: str) -> str:
    """Another signature of the right form."""
    raw = bytearray(base64.b64decode(text.removeprefix("tillside=:").removesuffix(":")))
    raw[10] ^= 1
    return f"tillside=:{base64.b64encode(raw).decode()}:"


ALTERED: dict[str, Change] = {
    "with no signature": without("Signature", "Signature-Input"),
    "with no digest": without("Content-Digest"),
    "with no device": without("Tillside-Device"),
    "with no request id": without("Tillside-Request-Id"),
    "with one bit of the signature turned": header("Signature", flipped),
    "signed by another key": by_another_key,
    "signed as a device that nobody enrolled": as_nobody,
    "with another body": lambda _, honest: replace(honest, body=honest.body.replace(b"conformance", b"c0nf0rmance")),
    "with another body and its digest": lambda _, honest: replace(
        honest,
        body=honest.body + b" ",
        headers=honest.headers | {"Content-Digest": content_digest(honest.body + b" ")},
    ),
    "with another query": lambda _, honest: replace(honest, target="/v1/ingest?again=1"),
    "with another request id": header("Tillside-Request-Id", lambda text: text[::-1] + "0"),
    "with an encoding that was not signed": lambda _, honest: replace(
        honest, headers=honest.headers | {"Content-Encoding": "identity"}
    ),
    "whose signature does not cover the query": signed(covered=tuple(name for name in COVERED if name != "@query")),
    "whose signature does not cover the digest": signed(
        covered=tuple(name for name in COVERED if name != "content-digest")
    ),
    "whose signature covers more than the one form does": signed(covered=(*COVERED, "content-type")),
    "whose signature names no algorithm": lambda register, honest: signed(
        parameters=f'created=1;keyid="{register.device.id}"'
    )(register, honest),
    "whose signature has a parameter of its own": lambda register, honest: signed(
        parameters=f'created=1;keyid="{register.device.id}";alg="ed25519";nonce="n"'
    )(register, honest),
    "whose keyid is not the device": signed(parameters='created=1;keyid="somebody";alg="ed25519"'),
}


@pytest.mark.parametrize("what", ALTERED)
async def test_an_altered_request_is_refused_and_changes_nothing(register: Register, what: str) -> None:
    # Given an honest batch
    register.signal()
    honest = register.signed("POST", "/v1/ingest", register.batch())
    # When it comes altered
    answer = await register.send(ALTERED[what](register, honest))
    # Then it is refused
    require(answer.status == 401, "signatures", f"A request came {what}; the centre answered {answer}; 401 is due.")
    answer.read(Problem, "transport", status=401)
    # And the honest one is new
    taken = register.acknowledged(await register.send(honest))
    require(taken.codes == ["accepted"], "signatures", f"A request {what} was refused, and had an effect all the same.")


async def test_a_clock_that_is_years_off_locks_nobody_out(register: Register) -> None:
    register.signal()
    answer = await register.send(register.signed("POST", "/v1/ingest", register.batch(), created=1))
    require(answer.status == 200, "signatures", f"A signature was created in 1970; the centre answered {answer}.")


@pytest.mark.parametrize("target", ["/v1/members/TS%200001%2F%C4%90@x", "/v1/members/a!$&'()*+,;=:@~"])
async def test_a_path_is_verified_as_it_stands_on_the_request_line(register: Register, target: str) -> None:
    answer = await register.get(target)
    require(answer.status in (200, 404), "signatures", f"The centre answered {answer}: was the path unescaped first?")


@pytest.mark.parametrize("compressed", [True, False], ids=["compressed", "as it is"])
@pytest.mark.parametrize("count", [1, 20])
async def test_a_batch_is_read_compressed_or_not_whatever_its_size(
    register: Register, count: int, compressed: bool
) -> None:
    for _ in range(count):
        register.signal()
    request = register.request("POST", "/v1/ingest", register.batch(), compressed=compressed)
    answer = await register.send(request.sign(register.device.id, register.device.key))
    require(answer.status == 200, "compression", f"The centre answered {answer} to {len(request.body)} bytes.")
    register.acknowledged(answer)


async def test_an_answer_is_compressed_only_for_who_takes_it(register: Register) -> None:
    for _ in range(100):
        register.signal()
    plain = register.request("POST", "/v1/ingest", register.batch())
    plain.headers["Accept-Encoding"] = "identity"
    answer = await register.send(plain.sign(register.device.id, register.device.key))
    encoding = answer.headers.get("content-encoding", "identity")
    require(encoding == "identity", "compression", f"Accept-Encoding names no zstd; the answer is {encoding!r}.")
    register.acknowledged(answer)


async def test_a_body_names_the_device_that_signed(register: Register, other: Register) -> None:
    register.signal()
    answer = await other.send(other.signed("POST", "/v1/ingest", register.batch()))
    require(answer.status == 403, "up", f"A device sent a batch of another one; the centre answered {answer}.")
    taken = await register.ingest()
    require(taken.codes == ["accepted"], "up", "A batch was refused, and had an effect all the same.")


# ---- the same request again


async def test_a_batch_that_comes_again_gets_the_first_outcomes(register: Register) -> None:
    # Given a batch of which one entry was set aside
    register.receipt(register.sale())
    register.write("conformance_future", {})
    request = register.signed("POST", "/v1/ingest", register.batch())
    first = register.acknowledged(await register.send(request))
    # When the very same request comes again
    again = register.acknowledged(await register.send(request))
    # Then its answer is the first one
    require(
        (again.codes, again.acked_through) == (first.codes, first.acked_through),
        "requests-that-come-again",
        f"The same request came twice; the outcomes were {first.codes}, then {again.codes}.",
    )


async def test_a_request_id_stands_for_one_request(register: Register) -> None:
    # Given an id that was used
    register.signal()
    how = {"request_id": f"conformance-{register.epoch}"}
    register.acknowledged(await register.send(register.signed("POST", "/v1/ingest", register.batch(), **how)))
    # When another request comes under it
    register.signal()
    answer = await register.send(register.signed("POST", "/v1/ingest", register.batch(2), **how))
    # Then it is refused, and is new under an id of its own
    require(
        answer.status == 400,
        "requests-that-come-again",
        f"Another request came under an id that was used; the centre answered {answer}; 400 is due.",
    )
    taken = await register.ingest(2)
    require(taken.codes == ["accepted"], "requests-that-come-again", "A refused request had an effect all the same.")


async def test_an_epoch_that_is_asked_for_again_is_the_one_that_was_opened(register: Register) -> None:
    # Given an epoch whose opening comes again, after a batch in it
    request = register.epoch_request()
    opened = (await register.send(request)).read(Opened, "epochs")
    register.begin(opened.epoch)
    register.signal()
    await register.ingest()
    # When it does
    again = (await register.send(request)).read(Opened, "epochs")
    # Then nothing was opened, and nothing fenced
    section: Section = "requests-that-come-again"
    require(again.epoch == opened.epoch, section, "The same request for an epoch opened another one.")
    register.signal()
    answer = await register.send(register.signed("POST", "/v1/ingest", register.batch(2)))
    require(answer.status == 200, section, f"A replayed request for an epoch fenced the live one: {answer}.")


async def test_a_heartbeat_may_come_again(register: Register) -> None:
    request = register.signed("POST", "/v1/heartbeat", b'{"version":"0","queued":0,"quarantined":0}')
    (await register.send(request)).read(Heard, "heartbeat")
    (await register.send(request)).read(Heard, "requests-that-come-again")


async def test_what_is_no_request_of_this_protocol_is_a_problem_document(register: Register) -> None:
    answer = await register.get("/v1/conformance")
    require(answer.status == 404, "transport", f"There is nothing there; the centre answered {answer}.")
    problem = answer.read(Problem, "transport", status=404)
    require(problem.status == 404, "transport", f"The problem document says {problem.status}, the answer 404.")
