"""The member: who they are by code, and the points they hold.

Owns the value types shared by register and centre. Never holds a name beyond a short one, an
address or a birth date: those stay at the centre.
"""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType

from loyalty.identification import MemberKind
from loyalty.receipt import AwareDatetime


class Identifier(Struct, frozen=True, kw_only=True):
    """A code that names a member. `code` is in normal form (`loyalty.identification.normal_code`)."""

    kind: MemberKind
    code: str


class Balance(Struct, frozen=True, kw_only=True):
    """Points at one moment: confirmed may be spent unless reserved, pending not yet."""

    confirmed: int = 0
    pending: int = 0
    spendable: int = 0


class Member(Struct, frozen=True, kw_only=True):
    """A member as a register may hold one. `member` is the centre's id."""

    member: str
    identifiers: tuple[Identifier, ...] = ()
    short_name: str | UnsetType = UNSET
    tier: str | UnsetType = UNSET
    language: str | UnsetType = UNSET
    balance: Balance = Balance()
    as_of: AwareDatetime | UnsetType = UNSET


class MemberState(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What evaluation knows of a member: the JSON of a member file (every key but `code` optional).

    Without `spendable` nothing is reserved: all that is confirmed may be spent.
    """

    code: str
    tier: str | UnsetType | None = UNSET
    confirmed: int = 0
    pending: int = 0
    spendable: int | UnsetType = UNSET
    counters: dict[str, int] = {}

    @property
    def balance(self) -> Balance:
        spendable = self.confirmed if self.spendable is UNSET else self.spendable
        return Balance(confirmed=self.confirmed, pending=self.pending, spendable=spendable)
