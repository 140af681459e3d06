"""The OpenAPI document says what the server does, and the other way round."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from openapi_spec_validator import validate

from central.bodies import HANDLED
from central.openapi import openapi_document
from central.routes import OPERATIONS
from tests.central.conftest import RunningCentre
from tests.central.till import RefusedError, receipt


async def _served(centre: RunningCentre) -> Any:
    async with centre.session.get(f"{centre.ready.device_api}/openapi.json", ssl=False) as answer:
        return msgspec.json.decode(await answer.read())


async def test_it_is_valid_and_served(centre: RunningCentre) -> None:
    document = await _served(centre)
    validate(document)
    assert document == msgspec.json.decode(msgspec.json.encode(openapi_document()))


async def test_it_names_every_route_and_no_other(centre: RunningCentre) -> None:
    documented = {
        (method.upper(), path) for path, operations in openapi_document()["paths"].items() for method in operations
    }
    assert documented == {(operation.method, operation.path) for operation in OPERATIONS}
    # And each of them answers something else than "there is no such address"
    till = await centre.till()
    for method, path in documented - {("GET", "/v1/live")}:
        status, body = await till.request(method, path.replace("{", "").replace("}", ""), b"")
        assert status != 405
        assert status != 404 or b"openapi.json" not in body


def test_it_has_the_body_of_every_kind_of_entry_that_has_an_effect() -> None:
    schemas = openapi_document()["components"]["schemas"]
    assert {body.__name__ for body in HANDLED.values()} <= schemas.keys()
    assert "issued_at" in schemas["Receipt"]["properties"]


async def test_refusals_have_a_documented_status(centre: RunningCentre) -> None:
    till = await centre.till()
    till.sale(receipt(1))
    till.sale(receipt(2))
    with pytest.raises(RefusedError) as refused:
        await till.send(2)
    assert str(refused.value.status) in openapi_document()["paths"]["/v1/ingest"]["post"]["responses"]
    assert refused.value.problem.keys() >= {"type", "title", "status", "detail", "expected_seq"}
