"""A program in a register's store, as if the centre had announced it and it had come."""

from __future__ import annotations

from datetime import UTC, datetime

from sync.programs import follow_schedule, keep_program, program_at
from sync.store.reading import Reading
from sync.store.writing import Writing
from sync.wire import AnnouncedProgram, SignedProgram


def put_in_force(writing: Writing, signed: SignedProgram) -> None:
    """For all times."""
    keep_program(writing, signed)
    follow_schedule(writing, (AnnouncedProgram(program=signed.hash),), datetime.now(UTC))


def in_force(reading: Reading) -> str | None:
    """The hash of the program that holds now."""
    return program_at(reading, datetime.now(UTC))
