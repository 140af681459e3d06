"""Messages to people that wait to go out, by each way for itself.

Owns their rows: what is kept before anything is sent, when each is tried next, and when one is given up. Never sends.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, delete, insert, select, update

from central.alert_ways import AlertWay
from central.alerts import Message
from central.db import tables
from sync.retry import Backoff

# A way out that was away for a day: what was news then is none any more, and the fleet page has it.
GIVEN_UP_AFTER: Final = timedelta(hours=24)
BACKOFF: Final = Backoff(base_s=30.0, cap_s=900.0)
# What a server says no to for good is tried in case somebody corrects it there.
AFTER_NO: Final = timedelta(hours=1)
# By each way; the oldest go first.
MAX_WAITING: Final = 200

_waiting = tables.alerts_waiting


class Waiting(Struct, frozen=True, kw_only=True):
    """A message that did not go out yet by one way; `tries` were in vain."""

    id: int
    message: Message
    made_at: datetime
    tries: int


def put(connection: Connection, ways: Iterable[AlertWay], message: Message, now: datetime) -> int:
    """Keeps a message for each of these ways; returns how many older ones had to go for it."""
    text = msgspec.json.encode(message).decode()
    dropped = 0
    for way in ways:
        connection.execute(insert(_waiting).values(way=way, message=text, made_at=now, tries=0, next_at=now))
        newest = select(_waiting.c.id).where(_waiting.c.way == way).order_by(_waiting.c.id.desc())
        older = connection.execute(newest.offset(MAX_WAITING)).scalars().all()
        if older:
            dropped += connection.execute(delete(_waiting).where(_waiting.c.id.in_(older))).rowcount
    return dropped


def due(connection: Connection, way: AlertWay, now: datetime) -> tuple[Waiting, ...]:
    """What may be tried now, the oldest first."""
    columns = _waiting.c
    query = select(_waiting).where(columns.way == way, columns.next_at <= now).order_by(columns.id)
    return tuple(
        Waiting(
            id=row.id,
            message=msgspec.json.decode(row.message, type=Message),
            made_at=row.made_at,
            tries=row.tries,
        )
        for row in connection.execute(query)
    )


def gone(connection: Connection, one: Waiting) -> None:
    """It was sent, or given up."""
    connection.execute(delete(_waiting).where(_waiting.c.id == one.id))


def wait(connection: Connection, way: AlertWay, one: Waiting, *, is_final: bool, now: datetime, chance: float) -> None:
    """Puts off one that was tried in vain. `chance` is uniform in [0, 1).

    Where the way itself is away all that wait there are put off with it; a final no is of this one alone.
    """
    tries = one.tries + 1
    connection.execute(update(_waiting).where(_waiting.c.id == one.id).values(tries=tries))
    if is_final:
        connection.execute(update(_waiting).where(_waiting.c.id == one.id).values(next_at=now + AFTER_NO))
        return
    until = now + timedelta(seconds=BACKOFF.delay_s(tries, chance))
    connection.execute(update(_waiting).where(_waiting.c.way == way, _waiting.c.next_at < until).values(next_at=until))


def hasten(connection: Connection, way: AlertWay, now: datetime) -> None:
    """All may be tried now: somebody changed the settings."""
    connection.execute(update(_waiting).where(_waiting.c.way == way).values(next_at=now))


def forget(connection: Connection, way: AlertWay, made_before: datetime) -> int:
    """Drops what was made for a way before it was not set up any more; returns how many there were."""
    return connection.execute(delete(_waiting).where(_waiting.c.way == way, _waiting.c.made_at < made_before)).rowcount


def is_empty(connection: Connection, way: AlertWay) -> bool:
    return connection.execute(select(_waiting.c.id).where(_waiting.c.way == way).limit(1)).first() is None
