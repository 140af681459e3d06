"""Programs of the centre at a register: which it announced, which are kept, and which cannot be used here.

Owns the check of a program that came, and what the store keeps of the announcement. A program that cannot be used
never takes the place of one that can. Never evaluates anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from datetime import datetime

import msgspec
from msgspec import UNSET, Struct

from loyalty.program import Program, ProgramError, program_from_json
from sync.signing import is_signed
from sync.store.reading import Reading
from sync.store.writing import Writing
from sync.wire import MAX_ANNOUNCED, AnnouncedProgram, HeldProgram, SignedProgram

_META = "programs"
# What was in force before all that is announced; kept for receipts that are late.
_MAX_EARLIER = MAX_ANNOUNCED


class ProgramUnusableError(ValueError):
    """A program cannot be put in force; the one before stays. The message says whose turn it is."""


class Programs(Struct, frozen=True, kw_only=True):
    """What the store keeps of the centre's programs, besides the programs.

    `schedule` names them in order of time, of those from one time the later one counts; one that is not held is
    passed over. `refused` says by hash why a program cannot be used here.
    """

    schedule: tuple[AnnouncedProgram, ...] = ()
    refused: dict[str, str] = {}


def verified_program(signed: SignedProgram, wanted: str, key: str) -> Program:
    """The program with the hash `wanted`, signed with the public key `key` (unpadded URL-safe base64)."""
    document = signed.program.encode()
    if not is_signed(document, signed.signature, key):
        raise ProgramUnusableError(
            "the program is not signed by the centre this register was enrolled with; publish it again there"
        )
    try:
        program = program_from_json(document)
    except ProgramError as error:
        raise ProgramUnusableError(f"this version cannot read the program ({error}); update the register") from error
    # Of the bytes as they are signed: a later version may have more defaults to write out.
    if hashlib.sha256(document).hexdigest() != wanted:
        raise ProgramUnusableError("the centre sent another program than the one in force; publish it again there")
    return program


def kept_programs(reading: Reading) -> Programs:
    kept = reading.meta(_META)
    return msgspec.json.decode(kept, type=Programs) if kept is not None else Programs()


def told_of(reading: Reading) -> tuple[HeldProgram, ...]:
    """What the centre is told: of the programs it announced, those that are held and those that are refused."""
    programs, held = kept_programs(reading), reading.held_programs()
    known = dict.fromkeys(one.program for one in programs.schedule)
    told = [
        HeldProgram(program=name, refused=programs.refused.get(name, UNSET))
        for name in known
        if name in held or name in programs.refused
    ]
    return tuple(told[-MAX_ANNOUNCED:])


def program_at(reading: Reading, moment: datetime) -> str | None:
    """The hash of the program that holds at `moment`."""
    held = reading.held_programs()
    names = [one.program for one in begun(kept_programs(reading).schedule, moment) if one.program in held]
    return names[-1] if names else None


def begun(schedule: Iterable[AnnouncedProgram], moment: datetime) -> list[AnnouncedProgram]:
    """What of `schedule` has begun at `moment`, in its order; the last that is held is in force then."""
    return [one for one in schedule if one.valid_from is UNSET or one.valid_from <= moment]


def followed(
    programs: Programs, announced: tuple[AnnouncedProgram, ...], held: Collection[str], now: datetime
) -> Programs:
    """`programs` once the centre has announced these; `now` is the centre's time, `held` the hashes that are kept.

    What was in force stays until the first announced program begins that is held. A refusal of what nothing names any
    more is forgotten.
    """
    usable = [one for one in announced if one.program in held]
    before = [one for one in begun(programs.schedule, now) if one.program in held and one not in announced]
    if usable:
        before = [one for one in before if _is_before(one, usable[0])]
    schedule = (*before[-_MAX_EARLIER:], *announced)
    names = {one.program for one in schedule}
    return Programs(schedule=schedule, refused={name: programs.refused[name] for name in names & set(programs.refused)})


def _is_before(one: AnnouncedProgram, other: AnnouncedProgram) -> bool:
    if other.valid_from is UNSET:
        return False
    return one.valid_from is UNSET or one.valid_from < other.valid_from


def follow_schedule(writing: Writing, announced: tuple[AnnouncedProgram, ...], now: datetime) -> None:
    """Go by what the centre announces from now on; programs that nothing names any more are given up."""
    programs = followed(kept_programs(writing), announced, writing.held_programs(), now)
    _keep(writing, programs)
    writing.keep_only_programs({one.program for one in programs.schedule})


def keep_program(writing: Writing, signed: SignedProgram) -> None:
    """Keep an announced program, for its time. It was verified by the caller."""
    writing.keep_program(signed)
    programs = kept_programs(writing)
    refused = {name: why for name, why in programs.refused.items() if name != signed.hash}
    _keep(writing, Programs(schedule=programs.schedule, refused=refused))


def refuse_program(writing: Writing, name: str, why: str) -> None:
    """Note that an announced program cannot be used here, and why; one that is held is given up."""
    programs = kept_programs(writing)
    writing.drop_program(name)
    _keep(writing, Programs(schedule=programs.schedule, refused={**programs.refused, name: why}))


def _keep(writing: Writing, programs: Programs) -> None:
    if programs != kept_programs(writing):
        writing.set_meta(_META, msgspec.json.encode(programs).decode())
