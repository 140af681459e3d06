"""What the pages have in common: times and places as the shop reads them, and how many rows one shows."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, select

from central import programs
from central.db import tables

# Rows on one page; search narrows, and the newest stand first.
ROWS_SHOWN = 200


class Zone:
    """Times as the shop reads them: in the zone of the newest program."""

    def __init__(self, connection: Connection) -> None:
        self._zone = programs.zone(connection)

    def text(self, moment: datetime | None) -> str:
        return "" if moment is None else moment.astimezone(self._zone).strftime("%Y-%m-%d %H:%M:%S")


def place_names(connection: Connection) -> dict[str, str]:
    """Store and register of each device."""
    columns = tables.devices.c
    rows = connection.execute(select(columns.id, columns.store, columns.register))
    return {row.id: f"{row.store} / {row.register}" for row in rows}


def names(some: Iterable[str]) -> tuple[str, ...]:
    """Each once, 2 before 10."""
    return tuple(sorted(set(some), key=natural))


def natural(name: str) -> list[str | int]:
    """A key by which 2 comes before 10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
