"""A register without devices and without a centre, for who lets a POS call in.

Owns the settings of such a register, and what its store holds as if a centre had told it: the demonstration's program
and its first members, half of whose points may be spent here. Never starts it; all else is the register itself.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec import UNSET, Struct

from agent.demo.shop import (
    CURRENCY,
    REWARD_POINTS,
    STORE,
    TIME_ZONE,
    SampleMember,
    sample_members,
    sample_program,
    sample_rules,
)
from config.settings import Settings, settings_from
from loyalty.member import Balance, Identifier, Member
from loyalty.program import program_from_json, program_hash, program_json
from sync.programs import follow_schedule, keep_program
from sync.store.writing import Writing
from sync.wire import AnnouncedProgram, Change, GrantedAllowance, SignedProgram

REGISTER = "1"
MEMBERS = 5
# Of each member: four rewards, two of them without asking the centre, which is not there.
POINTS = 4 * REWARD_POINTS
SAFE_POINTS = 2 * REWARD_POINTS
_DEVICE, _EPOCH, _CENTRE = "mock-register", "mock-epoch", "mock-centre"


class MockMember(Struct, frozen=True, kw_only=True):
    """Whom a POS can name: the code on the card, and what the store says of them."""

    card: str
    name: str
    tier: str | None
    spendable: int


def mock_members() -> tuple[MockMember, ...]:
    return tuple(
        MockMember(card=one.card, name=one.short_name, tier=one.tier, spendable=POINTS)
        for one in sample_members(MEMBERS)
    )


def mock_settings(folder: Path, port: int, origins: Sequence[str] = ()) -> Settings:
    """Of a register whose state is in `folder` and whose one source are the calls of a POS. Raises SettingsError."""
    document = {
        "register": {"store": STORE, "register": REGISTER, "currency": CURRENCY, "time_zone": TIME_ZONE},
        "paths": {"state": str(folder)},
        "store": {"ballast_mb": 0},
        "page": {"port": port, "origins": list(origins)},
        "receipts": [{"name": "pos", "webhook": True}],
        **tomllib.loads(sample_rules().decode()),
    }
    return settings_from(document, {}, where="tillside mock")


def stock(writing: Writing) -> None:
    """Puts into a new store what a centre would have sent."""
    now = datetime.now(UTC)
    members = sample_members(MEMBERS)
    rows = [_row(member, now) for member in members]
    changes = [Change(pos=pos, op="upsert", member=row.member, row=row) for pos, row in enumerate(rows, start=1)]
    writing.apply_changes(changes, len(changes), now)
    program = program_from_json(sample_program())
    # The signature was for whoever took it from a centre: see `sync.programs.verified_program`.
    signed = SignedProgram(hash=program_hash(program), program=program_json(program).decode(), signature="")
    keep_program(writing, signed)
    follow_schedule(writing, (AnnouncedProgram(program=signed.hash),), now)
    writing.open_epoch(_EPOCH, _DEVICE)
    writing.leave_epoch()
    granted = [
        GrantedAllowance(
            number=number,
            allowance=f"a-{number}",
            member=member.member,
            epoch=_EPOCH,
            points=SAFE_POINTS,
            recalled=False,
        )
        for number, member in enumerate(members, start=1)
    ]
    writing.keep_allowances(granted, len(granted), _CENTRE)


def _row(member: SampleMember, now: datetime) -> Member:
    return Member(
        member=member.member,
        identifiers=(Identifier(kind="card", code=member.card),),
        short_name=member.short_name,
        tier=member.tier or UNSET,
        language=member.language,
        balance=Balance(confirmed=POINTS, spendable=POINTS),
        as_of=now,
    )
