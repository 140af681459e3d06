"""Every register's row as `central.fleet` judges it.

Owns reading them, all at once: a chain's ten thousand are a few megabytes. Never changes one.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Struct
from sqlalchemy import Connection, select

from central import devices, fleet
from central.db import tables
from central.fleet import Seen
from sync.wire import GivenUp, HeldProgram

# As many digits of a hash as tell programs apart for a person.
SHORT = 12


class Known(Struct, frozen=True, kw_only=True):
    """A register that was enrolled once: where it is, and what is known of how it is."""

    device: str
    store: str
    register: str
    version: str
    revoked: bool
    seen: Seen
    hours: str
    given_up: tuple[GivenUp, ...]


def known(connection: Connection) -> tuple[Known, ...]:
    """All of them by store and register, those that were revoked among them."""
    columns, shared = tables.devices.c, devices.shared_devices(connection)
    rows = connection.execute(
        select(
            *(columns.id, columns.store, columns.register, columns.version, columns.revoked_at, columns.last_contact),
            *(columns.queued, columns.oldest_queued_at, columns.quarantined, columns.programs),
            *(columns.templates_refused, columns.clock_ahead_ms, columns.state, columns.hours, columns.given_up),
        ).order_by(columns.store, columns.register, columns.enrolled_at)
    )
    return tuple(_known(row, row.id in shared) for row in rows)


def _known(row: Any, shared: bool) -> Known:
    seen = Seen(
        last_contact=row.last_contact,
        queued=row.queued,
        oldest_queued_at=row.oldest_queued_at,
        clock_ahead_ms=row.clock_ahead_ms,
        state=fleet.state_of(row.state),
        quarantined=row.quarantined,
        templates_refused=row.templates_refused,
        shared=shared,
        refused=_refused(row.programs),
    )
    return Known(
        device=row.id,
        store=row.store,
        register=row.register,
        version=row.version,
        revoked=row.revoked_at is not None,
        seen=seen,
        hours=row.hours,
        given_up=msgspec.json.decode(row.given_up, type=tuple[GivenUp, ...]),
    )


def _refused(programs: str) -> tuple[str, ...]:
    if '"refused"' not in programs:
        return ()
    told = msgspec.json.decode(programs, type=tuple[HeldProgram, ...])
    return tuple(f"{one.program[:SHORT]}: {one.refused}" for one in told if one.refused is not UNSET)
