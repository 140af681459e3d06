"""`tillside evaluate`: what receipts give under a program, with no configuration and no enrolment."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from agent.cli.exit_codes import DONE, PROBLEM, USAGE
from loyalty.account import Account, newest
from loyalty.fold import NEW
from loyalty.history import missing
from loyalty.ledger import LedgerEntry
from loyalty.member import Activity, Counters, Lot, MemberState, ahead_of
from loyalty.next import Preview, preview
from loyalty.periods import FIRST, is_plausible
from loyalty.program import Program, ProgramError, program_from_json
from loyalty.receipt import Problem, Receipt
from loyalty.undecodable import UNDECODABLE


class _Receipts(Struct, frozen=True, kw_only=True):
    """RECEIPTS, each still to be read, so that a wrong one stops no other."""

    receipts: tuple[Raw, ...]


# ---- the member file: a person writes it, so that a key that is not known is a slip and not news


class _Activity(Activity, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class _Lot(Lot, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class _Counters(Counters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    activity: tuple[_Activity, ...] | UnsetType = UNSET
    lots: tuple[_Lot, ...] | UnsetType = UNSET


class _Member(MemberState, frozen=True, kw_only=True, forbid_unknown_fields=True):
    counters: _Counters = _Counters()


_MEMBER: Final = msgspec.json.Decoder(_Member)
_RECEIPTS: Final = msgspec.json.Decoder(_Receipts)
T = TypeVar("T")


class UnusableFileError(ValueError):
    """A file is missing or malformed. The message names it, what is wrong, and where."""


class EvaluatedMember(Struct, frozen=True, kw_only=True):
    """Where the member stands after the last receipt."""

    code: str | UnsetType = UNSET
    tier: str | None
    confirmed: int
    pending: int
    spendable: int


class Evaluated(Struct, frozen=True, kw_only=True):
    """What the command prints: entries that move points; one that only keeps count of what came back is left out.

    `waiting` holds keys of returns whose original has not come. `estimated_without` names counters that the program's
    rules ask for and the member file does not tell. `next` is there where it was asked for.
    """

    entries: tuple[LedgerEntry, ...]
    member: EvaluatedMember
    waiting: tuple[str, ...]
    problems: tuple[Problem, ...]
    estimated_without: tuple[str, ...] | UnsetType = UNSET
    next: Preview | UnsetType = UNSET


def evaluate_command(*, receipts: str, program: str, member: str | None, look_ahead: bool = False) -> int:
    """Print the ledger entries of the receipts in file `receipts` (`-` for standard input).

    With `look_ahead` also what the last of them gives when it is taken for a basket, and what could be had next.
    Exit codes: 0 done, 1 a receipt could not be evaluated, 2 a file is missing or malformed.
    """
    try:
        rules = _read_in(program, program_from_json)
        state = _read_in(member, _MEMBER.decode) if member else NEW
        given = _read_in(receipts, _RECEIPTS.decode).receipts
    except UnusableFileError as error:
        sys.stderr.write(f"tillside evaluate: {error}\n")
        return USAGE
    usable, problems = _read(given, rules)
    as_of = newest(usable, rules.time_zone)
    if as_of != FIRST and (ahead := ahead_of(state.counters, as_of.astimezone(ZoneInfo(rules.time_zone)))):
        sys.stderr.write(
            f"tillside evaluate: {member}: {ahead} is after the newest receipt, so this is the member of a later time; "
            "give them as they were before these receipts\n"
        )
        return USAGE
    account = Account(rules, state)
    for receipt in usable:
        account.add(receipt)
    problems.extend(account.problems)
    balance = account.balance(as_of)
    result = Evaluated(
        entries=tuple(entry for entry in account.entries if entry.points),
        member=EvaluatedMember(
            code=state.code if member else UNSET,
            tier=account.tier(as_of) or None,
            confirmed=balance.confirmed,
            pending=balance.pending,
            spendable=balance.spendable,
        ),
        waiting=tuple(receipt.key for receipt in account.waiting),
        problems=tuple(problems),
        estimated_without=(missing(rules, state.counters) if member else ()) or UNSET,
        next=_preview(usable, rules, state) if look_ahead and usable else UNSET,
    )
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    return PROBLEM if problems else DONE


def _preview(receipts: list[Receipt], program: Program, state: MemberState) -> Preview:
    """The last receipt as a basket, of the member as the ones before it left them."""
    basket, account = receipts[-1], Account(program, state)
    for receipt in receipts[:-1]:
        if receipt.key != basket.key:
            account.add(receipt)
    return preview(basket, program, account.state(newest(receipts, program.time_zone)))


def _read(given: tuple[Raw, ...], program: Program) -> tuple[list[Receipt], list[Problem]]:
    """The receipts that can be evaluated, and what is wrong with the others."""
    usable, problems = [], []
    for number, raw in enumerate(given, 1):
        try:
            receipt = msgspec.json.decode(raw, type=Receipt)
        except UNDECODABLE as error:
            problems.append(Problem(code="unreadable", detail=f"receipt number {number} in the file: {error}"))
            continue
        wrong = _unusable(receipt, program)
        if wrong is None:
            usable.append(receipt)
        else:
            problems.append(wrong)
    return usable, problems


def _unusable(receipt: Receipt, program: Program) -> Problem | None:
    if receipt.currency != program.currency:
        detail = f"receipt {receipt.key} is in {receipt.currency}, the program in {program.currency}: nothing earned"
        return Problem(code="currency_mismatch", detail=detail)
    if receipt.issued_at is not UNSET and not is_plausible(receipt.issued_at):
        detail = f"receipt {receipt.key} says {receipt.issued_at.isoformat()}: nothing earned; correct its time"
        return Problem(code="implausible_time", detail=detail)
    return None


def _read_in(name: str, decode: Callable[[bytes], T]) -> T:
    """What a file holds; `-` is standard input. Raises UnusableFileError."""
    try:
        return decode(sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes())
    except OSError as error:
        raise UnusableFileError(f"cannot read {name}: {error.strerror}; check the path") from error
    except (ProgramError, *UNDECODABLE) as error:
        raise UnusableFileError(f"{'standard input' if name == '-' else name}: {error}") from error
