"""Books one receipt inside the store's transaction.

Owns what happens to a receipt at the register: known or new, whose it is, what it claims, and its entry
for the centre. Never decodes, and never waits: it runs in the store's writer.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from agent.checkout import AttachMember, Checkout, MemberScan, ReceiptPrinted, UseUp, ends_a_sale, step
from agent.desk import Settlement
from loyalty.evaluate import OriginalUnknownError, Settled, evaluate
from loyalty.identity import identity_keys, same_content
from loyalty.instant import Instant
from loyalty.ledger import LedgerEntry
from loyalty.member import Member
from loyalty.originals import original_among, original_keys, original_number
from loyalty.program import Program, program_from_json
from loyalty.receipt import MemberReference, Receipt
from loyalty.reconcile import TOTAL_MISMATCH
from sync.records import ReceiptBody
from sync.store.reading import Reading
from sync.store.rows import KeptScan, StoredReceipt
from sync.store.writing import Writing

# When the last receipt that ended a sale was captured, kept so that the checkout survives a restart.
LAST_SALE = "last_sale"

Fate = Literal["booked", "seen_again", "copy", "conflict"]


class Booked(Struct, frozen=True, kw_only=True):
    """What became of a receipt. `settlement` goes with `booked`, `detail` with `conflict`."""

    fate: Fate
    settlement: Settlement | None = None
    detail: str = ""


class Ownership(Struct, frozen=True, kw_only=True):
    """Whose a receipt is: the code that was seen, and the member if this register knows them."""

    reference: MemberReference | None = None
    scan: int | None = None
    member: Member | None = None


class Evaluation(Struct, frozen=True, kw_only=True):
    """What a receipt claims. `counted` is false where this register cannot tell."""

    claims: tuple[LedgerEntry, ...] = ()
    counted: bool = False
    program: str | None = None
    original: StoredReceipt | None = None


class Rules:
    """The program in force, parsed once for as long as it stays the same. Used by the writer only."""

    def __init__(self) -> None:
        self._hash: str | None = None
        self._program: Program | None = None

    def current(self, writing: Writing) -> tuple[str, Program] | None:
        signed = writing.current_program()
        if signed is None:
            return None
        if self._program is None or signed.hash != self._hash:
            self._hash, self._program = signed.hash, program_from_json(signed.program.encode())
        return signed.hash, self._program


def checkout_of(store: Reading, boot: str) -> Checkout:
    """The checkout as the store keeps it."""
    last = store.meta(LAST_SALE)
    return Checkout(
        boot=boot,
        scans=tuple(_scan(kept) for kept in store.unused_scans()),
        previous=msgspec.json.decode(last, type=Instant) if last is not None else None,
    )


def _scan(kept: KeptScan) -> MemberScan:
    return MemberScan(id=kept.id, code=kept.code, kind=kept.kind, at=kept.at, member=kept.member or UNSET)


def book(writing: Writing, receipt: Receipt, captured: Instant, *, boot: str, rules: Rules) -> Booked:
    """Books `receipt`, or says why not. A receipt that is known under any of its ids counts once."""
    known = _known(writing, receipt)
    if len(known) > 1:
        return Booked(fate="conflict", detail="it names two receipts that are already known")
    if receipt.status == "copy":
        return Booked(fate="copy")
    if known:
        return _again(known[0].receipt, receipt)
    if receipt.captured_at is UNSET:
        receipt = replace(receipt, captured_at=captured.wall)
    owner = _owner(writing, receipt, captured, boot)
    if owner.reference is not None:
        receipt = replace(receipt, member=owner.reference)
    evaluation = _evaluation(writing, receipt, owner, rules)
    return Booked(fate="booked", settlement=_settle(writing, receipt, captured, owner, evaluation))


def _known(writing: Writing, receipt: Receipt) -> list[StoredReceipt]:
    found = (writing.known_receipt((key,)) for key in identity_keys(receipt))
    return list({stored.receipt.key: stored for stored in found if stored is not None}.values())


def _again(known: Receipt, seen: Receipt) -> Booked:
    if not same_content(known, seen):
        return Booked(fate="conflict", detail=f"receipt {known.key} is known with other content")
    if known.status != seen.status:
        return Booked(fate="conflict", detail=f"receipt {known.key} is known as {known.status}, now as {seen.status}")
    return Booked(fate="seen_again")


def _owner(writing: Writing, receipt: Receipt, captured: Instant, boot: str) -> Ownership:
    """The scan that this receipt takes, else the member that the receipt itself names."""
    if ends_a_sale(receipt):
        scan = _taken(writing, receipt, captured, boot)
        if scan is not None:
            reference = MemberReference(code=scan.code, kind=scan.kind, entry="scanned")
            return Ownership(reference=reference, scan=scan.id, member=writing.member_by_code(scan.code))
    if receipt.member:
        return Ownership(reference=receipt.member, member=writing.member_by_code(receipt.member.code))
    return Ownership()


def _taken(writing: Writing, receipt: Receipt, captured: Instant, boot: str) -> MemberScan | None:
    state, effects = step(checkout_of(writing, boot), ReceiptPrinted(at=captured))
    writing.set_meta(LAST_SALE, msgspec.json.encode(state.previous).decode())
    taken: MemberScan | None = None
    for effect in effects:
        if isinstance(effect, AttachMember):
            taken = effect.scan
        elif isinstance(effect, UseUp):
            for scan in effect.ids:
                writing.consume_scan(scan, receipt.key if taken is not None and scan == taken.id else None)
    return taken


def _evaluation(writing: Writing, receipt: Receipt, owner: Ownership, rules: Rules) -> Evaluation:
    original = _original(writing, receipt)
    program = rules.current(writing)
    if program is None or receipt.has_problem(TOTAL_MISMATCH):
        return Evaluation(original=original)
    content_hash, terms = program
    if owner.member is None and (original is None or original.member is None):
        return Evaluation(program=content_hash, original=original)
    try:
        claims = evaluate(
            receipt,
            tier=owner.member.tier if owner.member is not None else UNSET,
            program=terms,
            original=_settled(original) if original is not None else None,
        )
    except OriginalUnknownError:
        # It waits at the centre, which may know the sale from another register.
        return Evaluation(program=content_hash)
    return Evaluation(claims=claims, counted=True, program=content_hash, original=original)


def _original(writing: Writing, receipt: Receipt) -> StoredReceipt | None:
    if receipt.kind != "return":
        return None
    found = {stored.receipt.key: stored for stored in writing.known_receipts(original_keys(receipt))}
    number = original_number(receipt)
    numbered = writing.receipt_by_number(number) if number is not None else None
    if numbered is not None:
        found[numbered.receipt.key] = numbered
    original = original_among(receipt, (stored.receipt for stored in found.values()))
    return found[original.key] if original is not None else None


def _settled(original: StoredReceipt) -> Settled:
    return Settled(receipt=original.receipt, entries=original.claims, reversed=original.reversed)


def _settle(
    writing: Writing, receipt: Receipt, captured: Instant, owner: Ownership, evaluation: Evaluation
) -> Settlement:
    # What a return takes back, it takes from whom the sale gave it to.
    original = evaluation.original
    member = original.member if original is not None else None
    if member is None and owner.member is not None:
        member = owner.member.member
    writing.add_receipt(
        receipt,
        member,
        evaluation.claims,
        captured,
        original=original.receipt.key if original is not None else None,
    )
    position = writing.member_pos(member) if member is not None else None
    body = ReceiptBody(
        receipt=receipt,
        member=member or UNSET,
        claims=evaluation.claims,
        program=evaluation.program or UNSET,
        as_of=UNSET if position is None else position,
    )
    writing.append("receipt", receipt.key, body)
    return _settlement(receipt, captured, owner, evaluation)


def _settlement(receipt: Receipt, captured: Instant, owner: Ownership, evaluation: Evaluation) -> Settlement:
    claims = evaluation.claims
    code = owner.reference.code if owner.reference is not None else None
    original = evaluation.original
    if code is None and original is not None and original.receipt.member:
        code = original.receipt.member.code
    if evaluation.counted:
        return Settlement(
            receipt=receipt,
            captured=captured,
            code=code,
            outcome="points",
            points=sum(claim.points for claim in claims),
            pending=sum(claim.points for claim in claims if _is_pending(claim, captured.wall)),
        )
    if code is None and receipt.kind == "sale":
        return Settlement(receipt=receipt, captured=captured, code=None, outcome="no_card")
    unknown = owner.member is None and code is not None and receipt.kind == "sale"
    return Settlement(receipt=receipt, captured=captured, code=code, outcome="held" if unknown else "at_centre")


def _is_pending(claim: LedgerEntry, now: datetime) -> bool:
    return claim.pending_until is not None and claim.pending_until > now
