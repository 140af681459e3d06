"""A place has one device in service: who takes it, who gives it away, and how those who knock in vain are answered."""

from __future__ import annotations

import asyncio
import copy
import json
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Connection, insert
from structlog.testing import capture_logs

from central import devices, enrolling, operations
from central.db import tables
from central.doorway import TOO_MANY
from central.enrolling import NobodyToReplaceError
from central.journal import Journal, Revoked
from sync.enrolment import parse_code
from sync.guesses import MAX_MISSES
from sync.wire import EnrolResponse
from tests.central.conftest import RunningCentre
from tests.central.till import NOON, RefusedError, Till

PATIENCE_S = 60


def _token(centre: RunningCentre, register: str = "3", store: str = "12") -> str:
    return parse_code(centre.code(register, store=store)).token


def _machine(centre: RunningCentre) -> Till:
    return Till(centre.ready.device_api, centre.folder.ca_certificate.read_text(), centre.session)


def _in_service(centre: RunningCentre, store: str, register: str) -> list[str]:
    return [one.device for one in centre.read(lambda c: enrolling.standing_at(c, store, register))]


async def _refused(till: Till, token: str, **how: Any) -> dict[str, Any]:
    with pytest.raises(RefusedError) as refused:
        await till.enrol(token, **how)
    assert refused.value.status == 403
    return refused.value.problem


async def _shared(centre: RunningCentre) -> tuple[Till, Till]:
    """Two machines that alternate under one identity, at store 12, register 3: an epoch of each is live."""
    till = await centre.till()
    live = {"device": till.device, "opened_at": NOON, "acked_through": 5, "chain_hash": "00"}
    second = insert(tables.epochs).values(epoch="e2", request_id="r2", note=devices.NOT_FOLLOWED, **live)
    centre.write(lambda c: c.execute(second))
    assert centre.read(lambda c: devices.is_shared(c, till.device))
    return till, copy.copy(till)


async def test_a_machine_that_is_enrolled_anew_is_its_old_device_no_more(centre: RunningCentre) -> None:
    # Given a register, and a code for the very place that it has
    old = await centre.till()
    token = _token(centre)
    anew = _machine(centre)
    # When it is enrolled by it, and its old key says that it was there
    let_in = await anew.enrol(token, before=old)
    # Then that is refused, now and after a backup, and it alone is there
    assert let_in.replaced == old.device
    with pytest.raises(RefusedError) as refused:
        await old.heartbeat()
    assert refused.value.status == 403
    assert _in_service(centre, "12", "3") == [anew.device]
    assert [fact.device for fact in Journal(centre.folder.journal).facts() if isinstance(fact, Revoked)] == [old.device]
    # And the same answer comes again
    assert (await anew.enrol(token, before=old)).replaced == old.device


async def test_a_place_that_is_taken_is_refused_and_the_code_stays_good(centre: RunningCentre) -> None:
    there = await centre.till()
    token = _token(centre)
    problem = await _refused(_machine(centre), token)
    assert there.device in problem["detail"]
    assert "enrolment create --replace" in problem["detail"]
    assert centre.count(tables.devices) == 1
    # But once the place is free
    centre.write(lambda c: devices.revoke(c, there.device, NOON))
    assert (await _machine(centre).enrol(token)).register == "3"


async def test_nobody_is_replaced_who_did_not_sign(centre: RunningCentre) -> None:
    # Given a register, somebody with a code for another place, and with another key
    victim, foreign = await centre.till(), await centre.till("9")
    forger = copy.copy(foreign)
    forger.device = victim.device
    let_in: list[EnrolResponse] = [
        await _machine(centre).enrol(_token(centre, "4"), replaces=victim.device),
        await _machine(centre).enrol(_token(centre, "5"), before=forger),
    ]
    # Then they are let in, and nobody is replaced
    assert [one.replaced or None for one in let_in] == [None, None]
    assert await victim.heartbeat()
    # And the word of what was signed cannot be put on another body
    signed = victim.signed("POST", "/v1/enrol", b"{}")
    body = {"token": _token(centre, "6"), "public_key": _machine(centre).public_key, "replaces": victim.device}
    document = json.dumps(body | {"facts": {"version": "0", "platform": "t"}})
    url = f"{centre.ready.device_api}/v1/enrol"
    async with centre.session.post(url, data=document, headers=signed, ssl=victim.tls) as answer:
        assert answer.status == 200
    assert await victim.heartbeat()


async def test_nobody_releases_a_foreign_device_that_is_on_hold(centre: RunningCentre) -> None:
    till, _ = await _shared(centre)
    await _machine(centre).enrol(_token(centre, "1", "951"), replaces=till.device)
    assert centre.read(lambda c: devices.is_shared(c, till.device))


async def test_one_of_two_machines_leaves_the_other_its_place(centre: RunningCentre) -> None:
    # Given two machines under one identity
    till, twin = await _shared(centre)
    # When one of them is enrolled anew for the place that the other keeps
    problem = await _refused(_machine(centre), _token(centre), before=twin)
    # Then it is told what to do, and elsewhere it is let in: the other goes on, alone
    assert "another machine goes on" in problem["detail"]
    assert not (await _machine(centre).enrol(_token(centre, "4"), before=twin)).replaced
    assert not centre.read(lambda c: devices.is_shared(c, till.device))
    assert await till.heartbeat()


async def test_an_operator_gives_a_place_away_and_is_told_whose(centre: RunningCentre) -> None:
    # Given a register that had something unsent when it was heard of last
    old = await centre.till()
    await old.heartbeat(queued=7)

    def code(register: str = "3") -> operations.EnrolmentCreated:
        made: operations.EnrolmentCreated = centre.write(
            lambda c: operations.create_enrolment(
                c,
                store="12",
                register=register,
                valid_for=operations.MAX_CODE_LIFE,
                url=centre.ready.device_api,
                ca_sha256="a" * 64,
                now=NOON,
                randomness=bytes.fromhex("00" * 32).ljust,
                replace=True,
            )
        )
        return made

    created = code()
    assert created.replaces == old.device
    assert [(one.device, one.queued) for one in created.there] == [(old.device, 7)]
    # When another machine uses the code
    anew = _machine(centre)
    assert (await anew.enrol(parse_code(created.code).token)).replaced == old.device
    # Then the old one is out
    assert _in_service(centre, "12", "3") == [anew.device]
    # And nobody is replaced where nobody is, nor by a pattern
    for register in ("4", "*"):
        with pytest.raises(NobodyToReplaceError):
            code(register)


async def test_of_several_at_one_place_none_is_chosen(centre: RunningCentre) -> None:
    first, second = await centre.till("3"), await centre.till("4")
    centre.write(lambda c: devices.put_at(c, second.device, "12", "3"))
    with pytest.raises(NobodyToReplaceError, match=rf"{first.device}.*registers revoke|{second.device}"):
        centre.read(lambda c: enrolling.to_replace(c, "12", "3"))


async def test_who_knocks_in_vain_is_slowed_down_and_leaves_a_trace(centre: RunningCentre) -> None:
    # When somebody tries codes
    machine = _machine(centre)
    statuses = []
    with capture_logs() as logs:
        for attempt in range(MAX_MISSES + 2):
            with pytest.raises(RefusedError) as refused:
                await machine.enrol(f"invented-{attempt}")
            statuses.append(refused.value.status)
    # Then as many are looked up as one address may try, and a good one waits, too
    assert statuses == [403] * MAX_MISSES + [429] * 2
    with pytest.raises(RefusedError) as slowed:
        await machine.enrol(_token(centre))
    assert slowed.value.status == 429
    # And log and numbers tell of it, without the codes
    told = [line for line in logs if line["event"] == "enrolment_refused"]
    assert [line["reason"] for line in told] == ["unknown"] * MAX_MISSES
    assert "invented" not in repr(logs)
    async with centre.session.get(f"{centre.ready.admin}/metrics") as answer:
        numbers = await answer.text()
    assert f'tillside_enrolments_refused_total{{reason="unknown"}} {MAX_MISSES}.0' in numbers
    assert f'tillside_enrolments_refused_total{{reason="{TOO_MANY}"}} 3.0' in numbers


async def test_who_is_refused_waits_for_nobody_who_writes(centre: RunningCentre) -> None:
    # Given a transaction that keeps all others that write waiting
    inside, go_on = Event(), Event()

    def work(_connection: Connection) -> None:
        inside.set()
        assert go_on.wait(PATIENCE_S)

    writing = asyncio.create_task(asyncio.to_thread(centre.write, work))
    await asyncio.to_thread(inside.wait, PATIENCE_S)
    # When an invented code comes
    try:
        problem = await _refused(_machine(centre), "invented")
    finally:
        go_on.set()
        await writing
    # Then it is answered meanwhile
    assert "not known" in problem["detail"]
