"""Letting registers in: one-time codes, their end, and shutting a register out."""

from __future__ import annotations

import asyncio
import stat
from datetime import timedelta

import pytest
from aiohttp import WSMsgType

from central import devices
from central.db import tables
from sync import base64url
from sync.enrolment import parse_code
from tests.central.conftest import RunningCentre, everything_in
from tests.central.till import NOON, RefusedError, Till, receipt


def _token(code: str) -> str:
    return parse_code(code).token


async def test_a_code_lets_one_register_in_and_only_its_hash_is_kept(centre: RunningCentre) -> None:
    # Given a code
    code = centre.code()
    token = _token(code)
    # When a register uses it
    till = await Till.enrolled(centre.ready.device_api, code, centre.session)
    # Then it is a device of that store and register, and the token is nowhere
    [device] = centre.read(lambda connection: connection.execute(tables.devices.select()).all())
    assert (device.id, device.store, device.register) == (till.device, "12", "3")
    assert len(base64url.decoded(token)) == devices.TOKEN_BYTES
    held = centre.read(everything_in)
    assert len(held) > 10
    assert token not in repr(held)


async def test_a_used_code_is_refused_for_another_key(centre: RunningCentre) -> None:
    code = centre.code()
    till = await Till.enrolled(centre.ready.device_api, code, centre.session)
    # When another machine comes with the same code
    with pytest.raises(RefusedError) as refused:
        await Till.enrolled(centre.ready.device_api, code, centre.session)
    # Then it is told what to do, and nothing changed
    assert refused.value.status == 403
    assert "enrolment create" in refused.value.problem["detail"]
    assert centre.count(tables.devices) == 1
    # But the first one, whose answer was lost, gets it again
    assert (await till.enrol(_token(code))).device == till.device


async def test_an_expired_or_invented_code_is_refused(centre: RunningCentre) -> None:
    code = centre.code(valid_for=timedelta(minutes=30))
    centre.clock.now = NOON + timedelta(minutes=30)
    with pytest.raises(RefusedError) as expired:
        await Till.enrolled(centre.ready.device_api, code, centre.session)
    assert expired.value.status == 403
    assert "expired" in expired.value.problem["detail"]
    till = Till(centre.ready.device_api, centre.folder.ca_certificate.read_text(), centre.session)
    with pytest.raises(RefusedError) as unknown:
        await till.enrol("invented")
    assert unknown.value.status == 403
    assert centre.count(tables.devices) == 0


async def test_a_revoked_register_is_refused_and_its_live_connection_shut(centre: RunningCentre) -> None:
    # Given a register with a live connection
    till = await centre.till()
    socket = await till.live()
    assert (await socket.receive()).type == WSMsgType.TEXT
    # When another process revokes it
    centre.write(lambda connection: devices.revoke(connection, till.device, NOON))
    # Then the connection ends, and every signed request is refused
    async with asyncio.timeout(5):
        assert (await socket.receive()).type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED)
    for attempt in (till.heartbeat, till.snapshot, till.changes, lambda: till.sell(receipt(1))):
        with pytest.raises(RefusedError) as refused:
            await attempt()
        assert refused.value.status == 403
        assert refused.value.problem["type"] == "urn:tillside:problem:device-revoked"
    assert centre.count(tables.entries) == 0


async def test_the_data_folder_is_for_its_owner_only(centre: RunningCentre) -> None:
    assert stat.S_IMODE(centre.folder.path.stat().st_mode) == 0o700
    for file in centre.folder.path.rglob("*"):
        assert stat.S_IMODE(file.stat().st_mode) == (0o700 if file.is_dir() else 0o600), file


async def test_an_epoch_asked_for_twice_is_opened_once(centre: RunningCentre) -> None:
    # Given a register that opened an epoch and never heard the answer
    till = await centre.till()
    first = till.epoch
    opened = await till.open_epoch(request_id="one-request", previous=first)
    # When it sends the same request again
    again = await till.open_epoch(request_id="one-request", previous=first)
    # Then it is the same epoch
    assert again == opened
    assert centre.count(tables.epochs) == 2


async def test_two_machines_under_one_identity_are_shown(centre: RunningCentre) -> None:
    # Given a register and its clone
    till = await centre.till()
    shared = till.epoch
    await till.open_epoch(previous=shared)
    # When the clone, still in the old epoch, opens one of its own
    await till.open_epoch(previous=shared)
    # Then a person can see it
    notes = centre.read(lambda connection: connection.execute(tables.epochs.select()).all())
    assert any("two machines" in (epoch.note or "") for epoch in notes)
