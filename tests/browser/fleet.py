"""A chain's registers on one day, as their heartbeats left them: most are well, each of the others ails in its way."""

from __future__ import annotations

import hashlib
import random
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, insert

from central import fleet, programs
from central.db import tables
from sync.wire import GivenUp, HeldProgram, RegisterState, WorkerState

# Of a grocer's hours: how many of 100 receipts of a day fall into each.
OF_A_DAY: Final = (0, 0, 0, 0, 0, 0, 1, 4, 6, 7, 7, 8, 8, 6, 6, 7, 9, 11, 9, 7, 4, 0, 0, 0)
OLD, NEW = "0.1.0", "0.2.0"


class Register(Struct, frozen=True, kw_only=True):
    """One register: what differs from one that is well. `queue` is the longest of each of the last hours."""

    store: str
    number: str
    version: str = NEW
    day: int = 300
    heard_ago: timedelta = timedelta(seconds=12)
    queued: int = 0
    waits: timedelta = timedelta(0)
    queue: tuple[int, ...] = ()
    clock_ahead_ms: int = 140
    reasons: tuple[str, ...] = ()
    failing: str = ""
    gave_up: str = ""


UNPLUGGED: Final = "scanner counter: /dev/ttyACM0 is not there; plug the scanner in, or name its port in the settings"
CHAIN: Final = (
    Register(store="12", number="1", day=412),
    Register(store="12", number="2", day=388),
    Register(store="12", number="3", day=151, clock_ahead_ms=-2600),
    Register(store="17", number="1", day=505),
    Register(store="17", number="2", day=297, reasons=(UNPLUGGED,), failing="counter"),
    Register(store="17", number="3", day=240),
    Register(store="23", number="1", day=330, heard_ago=timedelta(hours=3), queued=2),
    Register(store="23", number="2", day=275, clock_ahead_ms=312_000),
    Register(store="31", number="1", day=460, queued=1),
    Register(store="31", number="2", day=420, queued=148, waits=timedelta(hours=5), queue=(12, 41, 77, 120, 139, 148)),
    Register(store="31", number="3", day=365, version=OLD, gave_up="self-test: no room for the copy of the store"),
    Register(store="31", number="4", day=190, heard_ago=timedelta(minutes=4)),
)


def fill(connection: Connection, now: datetime) -> None:
    """Writes the chain's rows, and a release that goes round."""
    in_force = programs.hash_in_force(connection, now)
    held = msgspec.json.encode([HeldProgram(program=in_force)] if in_force else []).decode()
    for place, one in enumerate(CHAIN):
        connection.execute(insert(tables.devices).values(_row(one, place, now) | {"programs": held}))
    connection.execute(
        insert(tables.releases).values(
            version=NEW, ring="tenth", entered_at=now - timedelta(hours=20), soak_s=24 * 3600, canaries='["12"]'
        )
    )


def _row(one: Register, place: int, now: datetime) -> dict[str, Any]:
    heard = now - one.heard_ago
    workers = [("scanner", "counter"), ("receipts", "printer"), ("sync", "centre")]
    state = RegisterState(
        verdict="degraded" if one.reasons else "healthy",
        reasons=one.reasons,
        workers=tuple(
            WorkerState(kind=kind, name=name, condition="failing" if name == one.failing else "ready")
            for kind, name in workers
        ),
        scans=one.day // 3,
        receipts=one.day,
    )
    return {
        "id": f"d{hashlib.sha256(bytes([place])).hexdigest()[:20]}",
        "store": one.store,
        "register": one.number,
        "public_key": "A" * 43,
        "enrolled_at": now - timedelta(days=90),
        "version": one.version,
        "platform": "Linux",
        "last_contact": heard,
        "queued": one.queued,
        "oldest_queued_at": heard - one.waits if one.queued else None,
        "clock_ahead_ms": one.clock_ahead_ms,
        "state": msgspec.json.encode(state).decode(),
        "hours": msgspec.json.encode(_hours(one, heard)).decode(),
        "given_up": msgspec.json.encode([GivenUp(version=NEW, reason=one.gave_up)] if one.gave_up else []).decode(),
    }


def _hours(one: Register, heard: datetime) -> list[fleet.Hour]:
    this = fleet.hour_of(heard)
    first = this - fleet.HOURS + 1
    queue = dict(zip(range(this, this - len(one.queue), -1), reversed(one.queue), strict=True))
    chance = random.Random(f"{one.store}/{one.number}")
    return [
        fleet.Hour(
            hour,
            queue.get(hour, one.queued if hour == this else 0),
            int(one.day * OF_A_DAY[hour % 24] * chance.uniform(0.7, 1.3) / 100),
        )
        for hour in range(first, this + 1)
    ]
