"""The checkout: which member a sale belongs to.

Owns the rule that joins member scans to receipts by their instants, so that the answer is the same
whether the agent was there when the receipt printed or found it in the spool after a crash. Pure:
state and event in, state and effects out. Never looks a member up, never stores, never reads a clock.

The rule: a receipt captured at T takes the last unused member scan that was made at or before T, after
the receipt before it, and not longer than ten minutes before T. Earlier scans are used up with it (a
second scan replaces the first); a scan made after T stays for the next sale. A card that may not be accepted
replaces nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from functools import cmp_to_key

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from loyalty.identification import MemberKind
from loyalty.instant import Instant
from loyalty.receipt import Entry, Receipt

UNUSED_MEMBER_CLEARS_AFTER = timedelta(minutes=10)
# The oldest go first. A cashier scans one or two between two receipts; a long day of them waits where receipts are held
# up while cards are scanned, and each is somebody's points.
MAX_UNUSED_SCANS = 1_000

_CLEARS_AFTER_NS = UNUSED_MEMBER_CLEARS_AFTER // timedelta(microseconds=1) * 1000
# These end a customer's turn. Training, proforma and copies print beside the sale that goes on.
_ENDS_A_SALE = frozenset({"final", "advance", "suspended", "voided"})


class MemberScan(Struct, frozen=True, kw_only=True):
    """A member code that was scanned. `id` names it in the store and grows with every scan."""

    id: int
    code: str
    kind: MemberKind = "card"
    entry: Entry = "scanned"
    at: Instant
    member: str | UnsetType = UNSET


class MemberScanned(Struct, frozen=True, kw_only=True):
    """A member code came from a scanner."""

    scan: MemberScan


class MemberRefused(Struct, frozen=True, kw_only=True):
    """The card of this scan turned out to be one that may not be accepted."""

    scan: MemberScan


class MemberRemoved(Struct, frozen=True, kw_only=True):
    """The cashier said at `at` that whoever was scanned is not the customer."""

    at: Instant


class ReceiptPrinted(Struct, frozen=True, kw_only=True):
    """A receipt that ends a sale (`ends_a_sale`) was captured at `at`."""

    at: Instant


class TimePassed(Struct, frozen=True, kw_only=True):
    """Nothing happened until `at`."""

    at: Instant


Event = MemberScanned | MemberRefused | MemberRemoved | ReceiptPrinted | TimePassed


class ShowMember(Struct, frozen=True, kw_only=True):
    """Effect: this scan's member is the customer now."""

    scan: MemberScan


class AttachMember(Struct, frozen=True, kw_only=True):
    """Effect: the receipt belongs to this scan's member; None where nobody was scanned."""

    scan: MemberScan | None


class UseUp(Struct, frozen=True, kw_only=True):
    """Effect: these scans can serve no later receipt."""

    ids: tuple[int, ...]


class ClearMember(Struct, frozen=True, kw_only=True):
    """Effect: there is no customer now."""


Effect = ShowMember | AttachMember | UseUp | ClearMember


class Checkout(Struct, frozen=True, kw_only=True):
    """Unused scans in the order in which they were made, and when the last receipt was captured.

    `boot` is the run of the operating system that this is decided in. `shown` is the id of the scan whose
    member the page shows.
    """

    boot: str
    scans: tuple[MemberScan, ...] = ()
    previous: Instant | None = None
    shown: int | None = None


def ends_a_sale(receipt: Receipt) -> bool:
    """Whether this receipt closes a customer's turn, so that a scan is used up by it."""
    return receipt.status in _ENDS_A_SALE


def step(state: Checkout, event: Event) -> tuple[Checkout, tuple[Effect, ...]]:
    """The next state, and what has to be done."""
    match event:
        case MemberScanned(scan=scan):
            return _scanned(state, scan)
        case MemberRefused(scan=scan):
            return _refused(state, scan)
        case MemberRemoved(at=at):
            return _removed(state, at)
        case ReceiptPrinted(at=at):
            return _printed(state, at)
        case TimePassed(at=at):
            return _passed(state, at)


def current(state: Checkout, now: Instant) -> MemberScan | None:
    """The scan that a receipt printed `now` would take."""
    return next((scan for scan in reversed(state.scans) if _belongs(state, scan, now)), None)


def in_order(scans: Iterable[MemberScan], boot: str) -> tuple[MemberScan, ...]:
    """Scans in the order in which they were made, which is not always the one in which they are told."""

    def later(one: MemberScan, other: MemberScan) -> int:
        return _is_after(one.at, other.at, boot) - _is_after(other.at, one.at, boot)

    return tuple(sorted(scans, key=cmp_to_key(later)))


def _scanned(state: Checkout, scan: MemberScan) -> tuple[Checkout, tuple[Effect, ...]]:
    scans = in_order((*state.scans, scan), state.boot)
    used_up = tuple(old.id for old in scans[:-MAX_UNUSED_SCANS])
    state = replace(state, scans=scans[-MAX_UNUSED_SCANS:])
    effects: list[Effect] = [UseUp(ids=used_up)] if used_up else []
    # One that is told of late, after the receipt it was too late for or a later scan, is nobody's customer.
    in_time = state.previous is None or _is_after(scan.at, state.previous, state.boot)
    if in_time and scans[-1] is scan:
        state = replace(state, shown=scan.id)
        effects.append(ShowMember(scan=scan))
    return state, tuple(effects)


def _refused(state: Checkout, scan: MemberScan) -> tuple[Checkout, tuple[Effect, ...]]:
    """The customer is whoever was scanned before, if that one could still be."""
    if all(kept.id != scan.id for kept in state.scans):
        return state, ()
    left = replace(state, scans=tuple(kept for kept in state.scans if kept.id != scan.id))
    if state.shown != scan.id:
        return left, (UseUp(ids=(scan.id,)),)
    before = current(left, scan.at)
    shown: Effect = ClearMember() if before is None else ShowMember(scan=before)
    return replace(left, shown=before.id if before is not None else None), (UseUp(ids=(scan.id,)), shown)


def _removed(state: Checkout, at: Instant) -> tuple[Checkout, tuple[Effect, ...]]:
    """Nobody who was scanned before is the customer of a later receipt."""
    later = tuple(scan for scan in state.scans if _is_after(scan.at, at, state.boot))
    gone = tuple(scan.id for scan in state.scans if scan not in later)
    shown = state.shown if any(scan.id == state.shown for scan in later) else None
    effects: list[Effect] = [UseUp(ids=gone)] if gone else []
    if state.shown is not None and shown is None:
        effects.append(ClearMember())
    return replace(state, scans=later, shown=shown), tuple(effects)


def _printed(state: Checkout, at: Instant) -> tuple[Checkout, tuple[Effect, ...]]:
    taken = current(state, at)
    later = tuple(scan for scan in state.scans if _is_after(scan.at, at, state.boot))
    ids = tuple(scan.id for scan in state.scans if scan not in later)
    shown = later[-1].id if later else None
    previous = at if state.previous is None or _is_after(at, state.previous, state.boot) else state.previous
    effects: list[Effect] = [AttachMember(scan=taken)]
    if ids:
        effects.append(UseUp(ids=ids))
    if state.shown is not None and shown is None:
        effects.append(ClearMember())
    return replace(state, scans=later, previous=previous, shown=shown), tuple(effects)


def _passed(state: Checkout, now: Instant) -> tuple[Checkout, tuple[Effect, ...]]:
    """Time only clears the page: a receipt that is found later still takes the scan that was in time."""
    if state.shown is None or current(state, now) is not None:
        return state, ()
    return replace(state, shown=None), (ClearMember(),)


def _belongs(state: Checkout, scan: MemberScan, at: Instant) -> bool:
    if _is_after(scan.at, at, state.boot):
        return False
    if state.previous is not None and not _is_after(scan.at, state.previous, state.boot):
        return False
    # Across a restart with a clock that went back, the age is unknown: then nobody's points go astray.
    return 0 <= at.ns_since(scan.at) <= _CLEARS_AFTER_NS


def _is_after(first: Instant, second: Instant, boot: str) -> bool:
    """Whether `first` came after `second`: by the monotonic clock within one run of the machine, and
    everything of the present run after everything of earlier ones. Only between two earlier runs does the
    wall clock decide.
    """
    if first.boot != second.boot and boot in (first.boot, second.boot):
        return first.boot == boot
    return first.ns_since(second) > 0
