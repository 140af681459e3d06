"""The versions of the program as people see them: from when each holds, and how many registers have it.

Owns that picture. Never publishes or withdraws anything (`central.programs` does).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Final, Literal

import msgspec
from msgspec import UNSET, Struct
from sqlalchemy import Connection, select

from central import programs
from central.db import tables
from loyalty.receipt import AwareDatetime
from sync.wire import HeldProgram

State = Literal["past", "in_force", "planned"]
IN_WORDS: Final[Mapping[State, str]] = {"past": "was in force", "in_force": "in force", "planned": "planned"}


class ProgramVersion(Struct, frozen=True, kw_only=True):
    """A program between two moments. `valid_from` is None for all that was before, `until` for no end in sight.

    Of the `registers` in service so many hold it and so many refused it; the rest did not tell yet.
    """

    hash: str
    program: str
    time_zone: str
    state: State
    valid_from: AwareDatetime | None
    until: AwareDatetime | None
    published_at: AwareDatetime
    held: int
    refused: int


class RegisterRefusal(Struct, frozen=True, kw_only=True):
    """A program that a register cannot use, and why; what held there before goes on."""

    store: str
    register: str
    hash: str
    why: str


class ProgramVersions(Struct, frozen=True, kw_only=True):
    """All versions in order of time. `registers` counts those in service."""

    versions: tuple[ProgramVersion, ...]
    registers: int
    refusals: tuple[RegisterRefusal, ...]


class RegisterPrograms(Struct, frozen=True, kw_only=True):
    """What one register said of programs last."""

    device: str
    store: str
    register: str
    told: tuple[HeldProgram, ...]

    @property
    def held(self) -> frozenset[str]:
        return frozenset(one.program for one in self.told if one.refused is UNSET)

    @property
    def refused(self) -> dict[str, str]:
        return {one.program: one.refused for one in self.told if one.refused is not UNSET}


def program_versions(connection: Connection, now: datetime) -> ProgramVersions:
    """Every version that holds, held or will."""
    heads = programs.heads(connection)
    registers = register_programs(connection)
    ends = [one.valid_from for one, _ in heads[1:]]
    return ProgramVersions(
        versions=tuple(
            ProgramVersion(
                hash=one.hash,
                program=head.program,
                time_zone=head.time_zone,
                state=_state(one.valid_from, until, now),
                valid_from=one.valid_from,
                until=until,
                published_at=one.published_at,
                held=sum(one.hash in register.held for register in registers),
                refused=sum(one.hash in register.refused for register in registers),
            )
            for (one, head), until in zip(heads, [*ends, None], strict=False)
        ),
        registers=len(registers),
        refusals=tuple(_refusals(registers)),
    )


def register_programs(connection: Connection, devices: Collection[str] | None = None) -> tuple[RegisterPrograms, ...]:
    """What each register in service, or of `devices`, said last, by store and register."""
    rows = tables.devices
    which = rows.c.revoked_at.is_(None) if devices is None else rows.c.id.in_(devices) & rows.c.revoked_at.is_(None)
    found = connection.execute(
        select(rows.c.id, rows.c.store, rows.c.register, rows.c.programs)
        .where(which)
        .order_by(rows.c.store, rows.c.register, rows.c.enrolled_at)
    )
    return tuple(
        RegisterPrograms(
            device=row.id,
            store=row.store,
            register=row.register,
            told=msgspec.json.decode(row.programs, type=tuple[HeldProgram, ...]),
        )
        for row in found
    )


def _refusals(registers: Iterable[RegisterPrograms]) -> Iterable[RegisterRefusal]:
    for register in registers:
        for hashed, why in register.refused.items():
            yield RegisterRefusal(store=register.store, register=register.register, hash=hashed, why=why)


def _state(valid_from: datetime | None, until: datetime | None, now: datetime) -> State:
    if valid_from is not None and valid_from > now:
        return "planned"
    return "in_force" if until is None or until > now else "past"
