"""Nothing that is not exactly what an enrolled device signed changes anything."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from aiohttp import ClientConnectionError
from sqlalchemy import select

from central.db import tables
from sync.wire import compress
from tests.central.conftest import RunningCentre
from tests.central.till import RefusedError, Till, receipt
from tests.faults.figures import Figures, Tell

# On each of the two databases: a thousand in all.
VARIANTS = 500
# What a change of any kind would touch.
TABLES = (
    tables.devices,
    tables.epochs,
    tables.requests,
    tables.entries,
    tables.quarantine,
    tables.receipts,
    tables.ledger,
    tables.changes,
    tables.feed,
    tables.members,
    tables.balances,
    tables.allowances,
    tables.redemptions,
)


def _state(centre: RunningCentre) -> Any:
    # What the centre thinks over by itself after it started is not what was sent.
    own = [column for column in tables.centre.c if column.name != "set_aside"]
    queries = [select(*own), *(table.select() for table in TABLES)]
    return centre.read(lambda connection: [connection.execute(query).all() for query in queries])


async def test_forged_and_tampered_batches_change_nothing(centre: RunningCentre, tell: Tell) -> None:
    # Given an honest batch, signed
    till = await centre.till()
    for count in range(1, 9):
        till.sale(receipt(count, code="TS0001"))
    body, encoding = compress(msgspec.json.encode(till.batch(1)))
    assert encoding == "zstd"
    honest = _Sent(path="/v1/ingest", headers=till.signed("POST", "/v1/ingest", body, encoding=encoding), body=body)
    impostor = Till(till.url, centre.folder.ca_certificate.read_text(), centre.session)
    impostor.device = till.device
    before = _state(centre)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    sent = unsent = 0
    # When it comes changed somewhere
    while sent < VARIANTS:
        forged = _forged(honest, impostor, chance)
        try:
            status, _ = await till.request("POST", forged.path, forged.body, headers=forged.headers)
        except (ClientConnectionError, ValueError):
            unsent += 1  # a header that our own client or the server's parser does not take: another in its place
            assert unsent < VARIANTS // 5
            continue
        sent += 1
        # Then it is refused
        assert status in (400, 401), (status, forged)
    # And nothing has changed, and the honest one is still taken
    print(f"{VARIANTS} variants, and {unsent} that could not even be sent")
    assert _state(centre) == before
    status, _ = await till.request("POST", honest.path, honest.body, headers=honest.headers)
    kept, keys = centre.count(tables.entries), centre.count(tables.receipts)
    tell(
        Figures(
            row=6,
            fault=f"forged and tampered, {centre.database.kind}",
            points=VARIANTS,
            acknowledged=len(till.sent),
            lost=len(till.sent) - keys,
            double=kept - keys,
        )
    )
    assert status == 200
    assert (kept, keys) == (8, 8)


class _Sent(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    headers: dict[str, str]
    body: bytes


def _forged(honest: _Sent, impostor: Till, chance: random.Random) -> _Sent:
    """The request with one thing changed that a thief or a broken wire could change."""
    change = msgspec.structs.replace
    body, headers = honest.body, honest.headers
    at, name = chance.randrange(len(body)), chance.choice(sorted(headers))
    return chance.choice(
        [
            change(honest, body=body[:at] + bytes([body[at] ^ 1 << chance.randrange(8)]) + body[at + 1 :]),
            change(honest, body=body[:at]),
            change(honest, path="/v1/ingest?again=1"),
            change(honest, headers=impostor.signed("POST", "/v1/ingest", body, encoding="zstd")),
            change(honest, headers={header: value for header, value in headers.items() if header != name}),
            change(honest, headers=headers | {name: _flipped(headers[name], chance)}),
            change(honest, headers=headers | {"Signature": _flipped(headers["Signature"], chance)}),
        ]
    )


def _flipped(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text))
    other = chance.choice([letter for letter in "abcXYZ019" if letter != text[at]])
    return text[:at] + other + text[at + 1 :]


async def test_a_replay_gets_the_first_answer_and_changes_nothing(centre: RunningCentre) -> None:
    # Given a batch that was taken
    till = await centre.till()
    till.sale(receipt(1, code="TS0001"))
    till.sale(receipt(2, code="TS0001"))
    body = msgspec.json.encode(till.batch(1))
    headers = till.signed("POST", "/v1/ingest", body)
    _, first = await till.request("POST", "/v1/ingest", body, headers=headers)
    before = _state(centre)
    # When the very same bytes come again
    status, again = await till.request("POST", "/v1/ingest", body, headers=headers)
    # Then the answer is the first one, and the state is as it was
    assert status == 200
    assert again == first
    after = _state(centre)
    assert after == before


async def test_a_request_id_cannot_stand_for_another_request(centre: RunningCentre) -> None:
    till = await centre.till()
    till.sale(receipt(1, code="TS0001"))
    await till.send(1, request_id="same")
    before = _state(centre)
    till.sale(receipt(2, code="TS0001"))
    with pytest.raises(RefusedError) as refused:
        await till.send(2, request_id="same")
    assert refused.value.status == 400
    assert refused.value.problem["type"] == "urn:tillside:problem:request-id-reused"
    assert _state(centre) == before


async def test_a_replayed_heartbeat_does_not_bring_back_an_old_queue_depth(centre: RunningCentre) -> None:
    till = await centre.till()
    await till.heartbeat(queued=7, request_id="first")
    await till.heartbeat(queued=0)
    await till.heartbeat(queued=7, request_id="first")
    [device] = centre.read(lambda connection: connection.execute(tables.devices.select()).all())
    assert device.queued == 0


async def test_a_body_larger_than_its_limit_is_not_read(centre: RunningCentre) -> None:
    till = await centre.till()
    status, problem = await till.request("POST", "/v1/heartbeat", b"x" * 20_000)
    assert status == 413
    assert msgspec.json.decode(problem)["status"] == 413


async def test_a_compressed_body_cannot_grow_beyond_the_limit(centre: RunningCentre) -> None:
    till = await centre.till()
    bomb, encoding = compress(b" " * (17 * 1024 * 1024))
    status, problem = await till.request("POST", "/v1/ingest", bomb, encoding=encoding)
    assert status == 413
    assert "exceeds" in msgspec.json.decode(problem)["detail"]


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"\xff", b'{"device":NaN}', b"[" * 100_000, b'{"device":"x"}'],
    ids=lambda body: repr(body[:12]),
)
async def test_an_unreadable_body_is_a_problem_document(centre: RunningCentre, body: bytes) -> None:
    till = await centre.till()
    status, problem = await till.request("POST", "/v1/ingest", body)
    assert status == 422
    assert msgspec.json.decode(problem)["type"] == "urn:tillside:problem:unreadable"


async def test_one_device_cannot_send_for_another(centre: RunningCentre) -> None:
    first, second = await centre.till("1"), await centre.till("2")
    first.sale(receipt(1, code="TS0001"))
    with pytest.raises(RefusedError) as refused:
        await second.ingest(first.batch(1))
    assert refused.value.status == 403
    assert centre.count(tables.entries) == 0


async def test_an_unknown_address_is_a_problem_document(centre: RunningCentre) -> None:
    till = await centre.till()
    status, problem = await till.request("GET", "/v1/nothing-here", b"")
    assert status == 404
    assert "openapi.json" in msgspec.json.decode(problem)["detail"]
