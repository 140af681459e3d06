"""The loyalty program: its JSON model, its checks and its content hash.

Owns what a program may say. Never says what a receipt is worth (`loyalty.evaluate` does) and never
ignores a field it does not know: an unread rule would give wrong points silently.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from loyalty.receipt import Currency
from loyalty.undecodable import UNDECODABLE

Name = Annotated[str, Meta(min_length=1, max_length=64)]
PositiveInt = Annotated[int, Meta(ge=1, le=10**9)]
Duration = Annotated[str, Meta(pattern=r"^P[1-9][0-9]{0,3}[DWMY]$")]
Ratio = tuple[PositiveInt, PositiveInt]
# What a program may say and this version does not do yet: a place that has to be empty.
NotYet = Annotated[tuple[msgspec.Raw, ...], Meta(max_length=0)]


class ProgramError(ValueError):
    """A program cannot be used. The message names the path and the remedy."""


class TierThreshold(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a tier is reached: at least so many points within a window."""

    points_in: Duration
    at_least: PositiveInt


class Tier(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tier. `multiplier` is a fraction, `[3, 2]` for one and a half."""

    id: Name
    from_: TierThreshold | UnsetType = msgspec.field(name="from", default=UNSET)
    multiplier: Ratio = (1, 1)


class Give(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`points` for every `per_minor` of the basis."""

    points: PositiveInt
    per_minor: PositiveInt
    round: Literal["floor"] = "floor"


class EarnRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule that gives points for what was bought.

    `pending` holds the points back for that long after the receipt. Where all rules add up (conflict `sum`),
    a `group` only says which belong together.
    """

    id: Name
    priority: int = 0
    group: Name | UnsetType = UNSET
    give: Give
    pending: Duration | UnsetType = UNSET


class Returns(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a return does to points: `reverse` takes back what the original gave."""

    policy: Literal["reverse"] = "reverse"


class Program(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole program. Rules run in the order of `(priority, id)`."""

    program: Name
    currency: Currency
    time_zone: str = "UTC"
    tiers: tuple[Tier, ...] = ()
    earn: tuple[EarnRule, ...]
    visits: NotYet = ()
    events: NotYet = ()
    rewards: NotYet = ()
    returns: Returns = Returns()
    conflict: Literal["sum"] = "sum"
    goodwill: Literal["none"] = "none"

    def multiplier(self, tier: str | UnsetType) -> Ratio:
        """The multiplier of a tier; a tier this program does not know multiplies by one."""
        for known in self.tiers:
            if known.id == tier:
                return known.multiplier
        return (1, 1)

    def ordered_rules(self) -> tuple[EarnRule, ...]:
        return tuple(sorted(self.earn, key=lambda rule: (rule.priority, rule.id)))


def program_from_json(document: bytes) -> Program:
    """A checked program. Raises ProgramError with path and remedy."""
    try:
        program = msgspec.json.decode(document, type=Program)
    except msgspec.ValidationError as error:
        raise ProgramError(f"{error}: correct it, or take out what this version does not read yet") from error
    except UNDECODABLE as error:
        raise ProgramError(f"not JSON: {error}") from error
    try:
        ZoneInfo(program.time_zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ProgramError(
            f"$.time_zone: {program.time_zone!r} is no IANA time zone, such as Europe/Belgrade"
        ) from error
    _refuse_repeated("earn", [rule.id for rule in program.earn])
    _refuse_repeated("tiers", [tier.id for tier in program.tiers])
    return program


def _refuse_repeated(path: str, ids: list[str]) -> None:
    seen: set[str] = set()
    for index, name in enumerate(ids):
        if name in seen:
            raise ProgramError(
                f"$.{path}[{index}].id: {name!r} is used twice; ids name ledger entries, so each is used once"
            )
        seen.add(name)


def program_warnings(program: Program) -> tuple[str, ...]:
    """What is allowed but probably not meant, each with its path."""
    warnings = []
    for index, tier in enumerate(program.tiers):
        if tier.from_ is not UNSET:
            warnings.append(
                f"$.tiers[{index}].from: carried, not evaluated yet; the tier of a member is set at the centre"
            )
    if not program.earn:
        warnings.append("$.earn: no rule, so nothing earns points")
    return tuple(warnings)


def program_json(program: Program) -> bytes:
    """The one byte form of a program: sorted keys, no spaces, defaults written out."""
    return msgspec.json.encode(program, order="sorted")


def program_hash(program: Program) -> str:
    """SHA-256 (hexadecimal) of `program_json`; stored with every entry."""
    return hashlib.sha256(program_json(program)).hexdigest()


def program_schema() -> bytes:
    """The JSON Schema published as `docs/program.schema.json`."""
    schema = msgspec.json.schema(Program)
    return msgspec.json.format(msgspec.json.encode(schema, order="sorted"), indent=2) + b"\n"
