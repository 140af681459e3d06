"""Letting registers in: one-time codes, their end, and shutting a register out."""

from __future__ import annotations

import asyncio
import copy
import secrets
import stat
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from aiohttp import WSMsgType
from msgspec import UNSET
from sqlalchemy import Connection

from central import devices, enrolling, live, operations, quarantine, scopes, server
from central.db import tables
from central.journal import Enrolled, Journal, Moved, Revoked, replay
from central.texts import NameRefusedError
from sync import base64url
from sync.enrolment import parse_code
from sync.wire import (
    GivenUp,
    HeartbeatRequest,
    HeartbeatResponse,
    HeldProgram,
    IngestResponse,
    RegisterState,
    WorkerState,
)
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
    assert len(base64url.decoded(token)) == enrolling.TOKEN_BYTES
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
    # within a second: a look at the database, and the goodbye
    assert server.LOOK_EVERY_S + live.CLOSE_S <= 1.0


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


async def _sells(centre: RunningCentre, till: Till, number: int) -> IngestResponse:
    """A sale of a machine that opens a new epoch where its own is fenced."""
    centre.clock.now += timedelta(minutes=1)
    first = len(till.sent) + 1
    till.sale(receipt(number, code="TS0001"))
    try:
        return await till.send(first)
    except RefusedError as refused:
        if refused.status != 410:
            raise
    unacknowledged, before = till.sent[first - 1 :], till.epoch
    await till.open_epoch(previous=before)
    for entry in unacknowledged:
        till.entry(entry.kind, entry.key, entry.json)
    return await till.send(1)


def _clone(till: Till) -> Till:
    """The same disk in another machine."""
    twin = copy.copy(till)
    twin.sent, twin.hashes = list(till.sent), list(till.hashes)
    return twin


def _shared(centre: RunningCentre) -> list[bool]:
    return [one.shared for one in centre.read(operations.registers).registers]


async def test_machines_that_alternate_are_on_hold_and_shown_until_one_is_enrolled_anew(centre: RunningCentre) -> None:
    # Given a register whose disk was copied
    till = await centre.till()
    await _sells(centre, till, 1)
    twin = _clone(till)
    # When both go on, one after the other
    for number in range(2, 8):
        answer = await _sells(centre, till if number % 2 else twin, number)
        assert answer.outcomes[-1].code == "accepted"
    # Then neither fences the other any more, and people see it
    opened = centre.count(tables.epochs)
    for number in range(8, 14):
        answer = await _sells(centre, till if number % 2 else twin, number)
        assert "on hold" in (answer.outcomes[-1].detail or "")
    assert centre.count(tables.epochs) == opened
    assert _shared(centre) == [True]
    # And what they send is kept without effect, whoever tries
    counted = centre.points("m1")
    assert counted < 130
    assert centre.read(quarantine.listed).reasons["shared_identity"] == 13 - counted // 10
    assert centre.write(lambda c: quarantine.retry(c, NOON)) == quarantine.Again(applied=0, waiting=0)
    # When one of them is enrolled anew
    anew = Till(twin.url, centre.folder.ca_certificate.read_text(), centre.session)
    await anew.enrol(parse_code(centre.code("4")).token, before=twin)
    # Then all of it counts, once, and both go on
    centre.apply_what_may()
    assert centre.points("m1") == 130
    assert _shared(centre) == [False, False]
    await anew.open_epoch()
    assert (await _sells(centre, anew, 14)).outcomes[0].detail is UNSET
    assert (await _sells(centre, till, 15)).outcomes[0].detail is UNSET
    assert centre.points("m1") == 150


async def test_a_machine_that_is_gone_is_released_by_a_person(centre: RunningCentre) -> None:
    till = await centre.till()
    await _sells(centre, till, 1)
    twin = _clone(till)
    for number in range(2, 8):
        await _sells(centre, till if number % 2 else twin, number)
    assert centre.write(lambda c: devices.release(c, till.device, NOON))
    assert not centre.write(lambda c: devices.release(c, till.device, NOON))
    centre.apply_what_may()
    await _sells(centre, till, 8)
    assert centre.points("m1") == 80


async def test_an_old_disk_and_answers_that_are_lost_are_no_second_machine(centre: RunningCentre) -> None:
    # Given epochs that were opened and whose answers never came
    till = await centre.till()
    await _sells(centre, till, 1)
    old = _clone(till)
    for _ in range(3):
        centre.clock.now += timedelta(minutes=1)
        asked = _clone(till)
        await asked.open_epoch(previous=till.epoch)
    await _sells(centre, till, 2)
    await _sells(centre, till, 3)
    # When its disk of before comes back, and sells on
    for number in range(4, 8):
        await _sells(centre, old, number)
    # Then nothing is on hold, and what is odd was noted
    assert _shared(centre) == [False]
    assert centre.points("m1") == 70
    notes = centre.read(lambda connection: connection.execute(tables.epochs.select()).all())
    assert any("two machines" in (epoch.note or "") for epoch in notes)


async def test_a_code_for_any_register_of_a_store_lets_in_the_one_that_says_which_it_is(centre: RunningCentre) -> None:
    # Given a code for registers whose number begins with 1
    code = parse_code(centre.code("1*"))
    till = Till(centre.ready.device_api, centre.folder.ca_certificate.read_text(), centre.session)
    assert code.asks_register
    # When it is used without a number, with one that it is not for, and with a pattern
    tried: tuple[tuple[dict[str, Any], str], ...] = (
        ({}, "--register"),
        ({"register": "21"}, "none of them"),
        ({"register": "1*"}, "none of them"),
    )
    for said, part in tried:
        with pytest.raises(RefusedError) as refused:
            await till.enrol(code.token, **said)
        assert refused.value.status == 403
        assert part in refused.value.problem["detail"]
    # Then it is spent on the first that it is for, once
    enrolled = await till.enrol(code.token, register="12")
    assert (enrolled.store, enrolled.register) == ("12", "12")
    assert (await till.enrol(code.token, register="13")).register == "12"
    other = Till(centre.ready.device_api, centre.folder.ca_certificate.read_text(), centre.session)
    with pytest.raises(RefusedError):
        await other.enrol(code.token, register="13")


async def test_nobody_says_to_be_a_register_that_is_enrolled(centre: RunningCentre) -> None:
    till = await centre.till("3")
    other = Till(centre.ready.device_api, centre.folder.ca_certificate.read_text(), centre.session)
    token = _token(centre.code("*"))
    with pytest.raises(RefusedError) as refused:
        await other.enrol(token, register="3")
    assert "registers replace" in refused.value.problem["detail"]
    # But one that was shut out has left its place
    centre.write(lambda connection: devices.revoke(connection, till.device, NOON))
    assert (await other.enrol(token, register="3")).register == "3"


@pytest.mark.parametrize(("pattern", "fits"), [("[1]*", "1a"), ("?*", "12")])
async def test_only_an_asterisk_stands_for_anything(centre: RunningCentre, pattern: str, fits: str) -> None:
    till = Till(centre.ready.device_api, centre.folder.ca_certificate.read_text(), centre.session)
    with pytest.raises(RefusedError):
        await till.enrol(_token(centre.code(pattern)), register=fits)


async def test_a_code_for_one_register_lets_no_other_in(centre: RunningCentre) -> None:
    till = Till(centre.ready.device_api, centre.folder.ca_certificate.read_text(), centre.session)
    token = _token(centre.code("3"))
    with pytest.raises(RefusedError) as refused:
        await till.enrol(token, register="4")
    assert "register 3" in refused.value.problem["detail"]
    assert (await till.enrol(token, register="3")).register == "3"


@pytest.mark.parametrize("name", ["", "1\n- store 2, register 1: well", "\x1b[2J", "x" * 65])
async def test_no_name_forges_what_people_read(centre: RunningCentre, name: str) -> None:
    # neither by who makes a code
    def made(connection: Connection, store: str, register: str) -> None:
        hour = timedelta(hours=1)
        enrolling.create_enrolment(connection, token="t", store=store, register=register, valid_for=hour, now=NOON)

    for store, register in ((name, "1"), ("12", name)):
        with pytest.raises(NameRefusedError, match="cannot name a"):
            centre.write(partial(made, store=store, register=register))
    # nor by the register that it lets in, or who moves it
    till = Till(centre.ready.device_api, centre.folder.ca_certificate.read_text(), centre.session)
    with pytest.raises(RefusedError) as refused:
        await till.enrol(_token(centre.code("*")), register=name)
    assert refused.value.status in (403, 422)
    assert centre.count(tables.devices) == 0
    there = await centre.till()
    with pytest.raises(devices.NotMovedError, match="cannot name a store"):
        centre.write(lambda connection: devices.move(connection, there.device, name, "1"))


async def test_what_a_register_says_of_itself_is_kept_in_one_line(centre: RunningCentre) -> None:
    till = await centre.till()
    forged = "x\n- store 1, register 1: silent\n    call +49 900\x1b[2J\u202e"
    state = RegisterState(
        verdict=forged, reasons=(forged,), workers=(WorkerState(kind=forged, name=forged, condition=forged),)
    )
    request = HeartbeatRequest(
        version=forged * 9,
        queued=0,
        quarantined=1,
        reasons={forged: 1},
        programs=(HeldProgram(program="a" * 64, refused=forged),),
        templates_refused=forged,
        given_up=(GivenUp(version=forged, reason=forged),),
        state=state,
    )
    await till.post("/v1/heartbeat", request, HeartbeatResponse)
    [row] = centre.read(lambda connection: connection.execute(tables.devices.select()).all())
    texts = (row.version, row.quarantine_reasons, row.programs, row.templates_refused, row.given_up, row.state)
    for text in texts:
        assert "- store 1, register 1: silent" in text
        for bad in ("\n", "\\n", "\x1b", "u001b", "\u202e"):
            assert bad not in text


async def test_who_takes_a_place_shuts_out_who_had_it_by_the_same_act(centre: RunningCentre) -> None:
    # Given a register that listens, and a code for another machine in its place
    old = await centre.till()
    created = centre.write(
        lambda connection: operations.create_enrolment(
            connection,
            store="12",
            register="3",
            valid_for=timedelta(hours=1),
            url=centre.ready.device_api,
            ca_sha256="a" * 64,
            now=centre.clock(),
            randomness=secrets.token_bytes,
            replaces=old.device,
        )
    )
    assert await old.heartbeat()
    # When that one uses it
    anew = Till(centre.ready.device_api, centre.folder.ca_certificate.read_text(), centre.session)
    await anew.enrol(_token(created.code))
    # Then the old one is refused at its next word, the new one is not, and a backup brings neither back
    with pytest.raises(RefusedError) as refused:
        await old.heartbeat()
    assert refused.value.status == 403
    await anew.open_epoch()
    assert await anew.heartbeat()
    assert [fact.device for fact in Journal(centre.folder.journal).facts() if isinstance(fact, Revoked)] == [old.device]


async def test_a_register_that_moves_goes_on_with_its_chain_in_the_scope_of_its_new_store(
    centre: RunningCentre,
) -> None:
    # Given a register that sold in store 12, where registers hold whom they saw
    centre.write(lambda connection: scopes.set_policy(connection, scopes.ALL_STORES, scopes.DEFAULT, NOON))
    till = await centre.till()
    assert (await till.sell(receipt(1))).acked_through == 1
    before = await till.heartbeat()
    # When it is moved
    centre.write(lambda connection: devices.move(connection, till.device, "13", "2"))
    # Then it hears where it is and whose members it holds, and its chain goes on
    after = await till.heartbeat()
    assert (before.store, before.register, after.store, after.register) == ("12", "3", "13", "2")
    assert after.scope == centre.read(lambda connection: scopes.scope_of(connection, "13")).name != before.scope
    assert (await till.sell(receipt(2))).acked_through == 2


async def test_a_live_connection_hears_of_the_store_where_its_register_is() -> None:
    moved, stays = (live.LiveConnection(live.live_socket(), "12") for _ in range(2))
    connections = live.LiveConnections()
    connections._of = {"d1": [moved], "d2": [stays]}

    connections.stands_at("d1", "13")

    assert connections.stores() == {"12", "13"}


async def test_a_register_moves_to_a_place_that_is_free_and_only_in_service(centre: RunningCentre) -> None:
    here, there = await centre.till("3"), await centre.till("4")

    def move(device: str, register: str) -> None:
        centre.write(lambda connection: devices.move(connection, device, "12", register))

    with pytest.raises(devices.NotMovedError, match=there.device):
        move(here.device, "4")
    move(here.device, "3")
    centre.write(lambda connection: devices.revoke(connection, there.device, NOON))
    move(here.device, "4")
    for gone in (there.device, "d0"):
        with pytest.raises(devices.NotMovedError, match="registers list"):
            move(gone, "5")


def test_a_backup_takes_no_move_back(centre: RunningCentre) -> None:
    facts = (
        Enrolled(at=NOON, token_hash="a" * 64, device="d1", store="12", register="3", public_key="k"),
        Moved(at=NOON, device="d1", store="13", register="2"),
    )

    centre.write(lambda connection: replay(connection, facts))

    assert centre.read(devices.places_of)["d1"] == "13/2"
