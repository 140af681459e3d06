"""The program on the front page: its versions, and what each register said of them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from msgspec import UNSET, Struct
from sqlalchemy import Connection

from central import programs
from central.admin.views.shown import Zone
from central.program_versions import IN_WORDS, RegisterPrograms, program_versions, register_programs
from loyalty.schedule import in_force_at

# As many digits of a hash as tell programs apart on a page.
SHORT = 12


class ProgramRow(Struct, frozen=True, kw_only=True):
    hash: str
    program: str
    state: str
    valid_from: str
    held: int
    refused: int
    registers: int


class HeldHere(Struct, frozen=True, kw_only=True):
    """The program that a register goes by, `behind` where it is not the one in force, and what it refused and why."""

    hash: str
    behind: bool
    refused: tuple[str, ...]


def program_rows(connection: Connection, now: datetime) -> tuple[ProgramRow, ...]:
    """The versions, the newest first."""
    zone, shown = Zone(connection), program_versions(connection, now)
    return tuple(
        ProgramRow(
            hash=one.hash[:SHORT],
            program=one.program,
            state=IN_WORDS[one.state],
            valid_from=zone.text(one.valid_from),
            held=one.held,
            refused=one.refused,
            registers=shown.registers,
        )
        for one in reversed(shown.versions)
    )


def held_by_device(connection: Connection, devices: Collection[str], now: datetime) -> dict[str, HeldHere]:
    """What each of these goes by that is in service and told it: thousands of schedules take half a second to read."""
    known = programs.publications(connection)
    wanted = in_force_at(known, now)
    return {
        register.device: _held_here(register, known, wanted.hash if wanted is not None else "", now)
        for register in register_programs(connection, devices)
        if register.told
    }


def _held_here(
    register: RegisterPrograms, known: tuple[programs.Publication, ...], wanted: str, now: datetime
) -> HeldHere:
    in_force = in_force_at([one for one in known if one.hash in register.held], now)
    hashed = in_force.hash if in_force is not None else ""
    return HeldHere(
        hash=hashed[:SHORT],
        behind=hashed != wanted,
        refused=tuple(f"{one.program[:SHORT]}: {one.refused}" for one in register.told if one.refused is not UNSET),
    )
