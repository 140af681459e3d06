"""Books one receipt inside the store's transaction.

Owns what happens to a receipt at the register: known or new, whose it is, what it claims, and its entry
for the centre. Never decodes, and never waits: it runs in the store's writer.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Final, Literal

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from agent.checkout import AttachMember, Checkout, MemberScan, ReceiptPrinted, UseUp, ends_a_sale, in_order, step
from agent.desk import Settlement
from agent.paper_spending import let_go_of_others, says_nothing, settled_by_paper
from agent.past import folded
from agent.view import Outcome, RewardOutcome
from loyalty.entry_rules import EXCHANGED
from loyalty.evaluate import TooManyPointsError, evaluate
from loyalty.exchange import parts_of
from loyalty.identity import identity_keys
from loyalty.instant import Instant
from loyalty.item_matching import ItemMatcher, mapped
from loyalty.ledger import LedgerEntry
from loyalty.member import Member
from loyalty.originals import original_among, original_keys, original_number
from loyalty.program import Program, ProgramError, program_from_json
from loyalty.receipt import MemberReference, Receipt
from loyalty.reconcile import TOTAL_MISMATCH, unearning
from loyalty.returns import Settled, voiding
from loyalty.schedule import judged_at
from loyalty.sightings import corrected, filled, revised, sighting_of
from sync.programs import program_at, refuse_program
from sync.records import CorrectBody, ReceiptBody
from sync.store.reading import Reading
from sync.store.rows import KeptScan, StoredReceipt
from sync.store.writing import Writing

# When the last receipt that ended a sale was captured, kept so that the checkout survives a restart.
LAST_SALE = "last_sale"

# `waits` is a receipt of a further source without its partner (`agent.matching`).
Fate = Literal["booked", "seen_again", "copy", "conflict", "waits", "corrected"]


class Booked(Struct, frozen=True, kw_only=True):
    """What became of a receipt. `settlement` goes with `booked`, `detail` with `conflict`."""

    fate: Fate
    settlement: Settlement | None = None
    detail: str = ""


class Ownership(Struct, frozen=True, kw_only=True):
    """Whose a receipt is: the code that was seen, and the member if this register knows them.

    A card that was `blocked` since it was scanned gives nobody; the centre decides by the times.
    """

    reference: MemberReference | None = None
    member: Member | None = None
    blocked: bool = False


class ClosedSale(Struct, frozen=True, kw_only=True):
    """A sale that the POS itself closes with a receipt, and whose it is by its word; None where it said nobody."""

    sale: str
    member: MemberReference | None = None


class Evaluation(Struct, frozen=True, kw_only=True):
    """What a receipt claims. `counted` is false where this register cannot tell.

    `estimated` says that it lacks something of the member's past that the rules ask for.
    """

    claims: tuple[LedgerEntry, ...] = ()
    counted: bool = False
    estimated: bool = False
    program: str | None = None
    original: StoredReceipt | None = None


class Rules:
    """The programs that are kept, each parsed once, and what the goods are.

    Used by the writer; only `map_items_with` is for others.
    """

    def __init__(self) -> None:
        self._items: ItemMatcher | None = None
        self._parsed: dict[str, Program] = {}

    def map_items_with(self, matcher: ItemMatcher | None) -> None:
        """Receipts booked from now on are mapped with this map; None takes them as printed."""
        self._items = matcher

    def mapped(self, receipt: Receipt) -> Receipt:
        return mapped(receipt, self._items)

    def at(self, writing: Writing, receipt: Receipt) -> tuple[str, Program] | None:
        """Hash and program by which a receipt is judged: the one of its own time, else the one before that.

        One that this version cannot read (the store was damaged, or an older version was put back) is refused, and the
        centre asked for it again.
        """
        moment = judged_at(receipt)
        return self.in_force(writing, moment) if moment is not None else None

    def in_force(self, writing: Writing, moment: datetime) -> tuple[str, Program] | None:
        """The same at a moment."""
        while (name := program_at(writing, moment)) is not None:
            program = self.named(writing, name)
            if program is not None:
                return name, program
        return None

    def named(self, writing: Writing, name: str | None) -> Program | None:
        """The program with this hash; None where it is not kept any more."""
        return (self._parsed.get(name) or self._read(writing, name)) if name is not None else None

    def _read(self, writing: Writing, name: str) -> Program | None:
        signed = writing.program(name)
        try:
            program = program_from_json(signed.program.encode()) if signed is not None else None
        except ProgramError as error:
            refuse_program(writing, name, f"this version cannot read the program that was kept ({error})")
            return None
        if program is not None:
            self._parsed = {known: self._parsed[known] for known in self._parsed.keys() & writing.held_programs()}
            self._parsed[name] = program
        return program


def checkout_of(store: Reading, boot: str) -> Checkout:
    """The checkout as the store keeps it."""
    last = store.meta(LAST_SALE)
    return Checkout(
        boot=boot,
        scans=in_order((_scan(kept) for kept in store.unused_scans()), boot),
        previous=msgspec.json.decode(last, type=Instant) if last is not None else None,
    )


def _scan(kept: KeptScan) -> MemberScan:
    return MemberScan(
        id=kept.id, code=kept.code, kind=kept.kind, entry=kept.entry, at=kept.at, member=kept.member or UNSET
    )


def book(
    writing: Writing,
    receipt: Receipt,
    captured: Instant,
    *,
    boot: str,
    rules: Rules,
    closes: ClosedSale | None = None,
) -> Booked:
    """Books `receipt`, or says why not. A receipt that is known under any of its ids counts once.

    A member whom the POS told of the sale that it `closes` uses up scans as any does, and takes none.
    """
    receipt = _hidden(writing, rules.mapped(receipt))
    known = _known(writing, receipt)
    if len(known) > 1:
        return Booked(fate="conflict", detail="it names two receipts that are already known")
    if receipt.status == "copy":
        return Booked(fate="copy")
    if known:
        return _again(writing, known[0], receipt, captured, boot=boot, rules=rules, closes=closes)
    if receipt.captured_at is UNSET:
        receipt = replace(receipt, captured_at=captured.wall)
    owner = _owner(writing, receipt, captured, boot, closes.member if closes is not None else None)
    if owner.reference is not None:
        receipt = replace(receipt, member=owner.reference)
    evaluation = evaluation_of(writing, receipt, owner, rules)
    original, member = evaluation.original, beneficiary(owner, evaluation)
    writing.add_receipt(
        receipt,
        member,
        evaluation.claims,
        captured,
        original=original.receipt.key if original is not None else None,
    )
    writing.count_today("receipts", captured.wall.astimezone().date())
    _append(writing, receipt, member, evaluation)
    reward = _spent(writing, receipt, member, captured, rules=rules, closes=closes)
    if (closes is None or closes.member is None) and ends_a_sale(receipt):
        let_go_of_others(writing, receipt, member, captured)
    return Booked(fate="booked", settlement=settlement_of(receipt, captured, owner, evaluation, reward))


def enrich(writing: Writing, known: StoredReceipt, seen: Receipt, *, rules: Rules) -> Booked:
    """Adds what another source knows of a receipt. It ends no turn and takes no scan."""
    return _fill_in(writing, known, _hidden(writing, rules.mapped(seen)), rules)


def correct(writing: Writing, target: str, reading: Receipt, *, rules: Rules) -> Booked:
    """The paper of a booked receipt that could not earn, read again and right: it earns now, and once.

    A target that is not in that state any more changes nothing. It keeps its member and takes no scan.
    """
    known = writing.known_receipt((target,))
    if known is None or unearning(known.receipt) is None or known.claims:
        return Booked(fate="seen_again")
    receipt = _hidden(writing, rules.mapped(corrected(known.receipt, reading)))
    if len(_known(writing, receipt)) > 1:
        return Booked(fate="conflict", detail="read again, it names another receipt that is already known")
    owner = _named(writing, receipt)
    evaluation = evaluation_of(writing, receipt, owner, rules)
    member = known.member or beneficiary(owner, evaluation)
    _keep_anew(writing, receipt, member, evaluation)
    writing.append(
        "correct", receipt.key, CorrectBody(target=receipt.key, reading=_body(writing, receipt, member, evaluation))
    )
    return Booked(fate="corrected")


def _hidden(writing: Writing, receipt: Receipt) -> Receipt:
    """The receipt without the telephone number or address of its member, which a code made of it stands for."""
    member = receipt.member
    if member is UNSET or (code := writing.hidden(member.kind, member.code)) == member.code:
        return receipt
    return replace(receipt, member=replace(member, code=code))


def _known(writing: Writing, receipt: Receipt) -> list[StoredReceipt]:
    found = (writing.known_receipt((key,)) for key in identity_keys(receipt))
    return list({stored.receipt.key: stored for stored in found if stored is not None}.values())


def _spent(
    writing: Writing,
    receipt: Receipt,
    member: str | None,
    captured: Instant,
    *,
    rules: Rules,
    closes: ClosedSale | None,
) -> RewardOutcome | None:
    """What the receipt means for what was reserved and the POS cannot tell of.

    A POS that `closes` a sale says by that which of its own rewards were given, in whichever sale they were reserved;
    what the page reserved it does not know of, unless it reserved for this sale itself.
    """
    if closes is not None and (closes.member is not None or writing.redemptions_of(closes.sale)):
        return None
    terms = partial(rules.named, writing)
    return settled_by_paper(writing, receipt, member, captured, terms, by_page_alone=closes is not None)


def _again(
    writing: Writing,
    known: StoredReceipt,
    seen: Receipt,
    captured: Instant,
    *,
    boot: str,
    rules: Rules,
    closes: ClosedSale | None,
) -> Booked:
    match sighting_of(known.receipt, seen):
        case "revision" if known.receipt.status == "final":
            return _void(writing, known, seen, captured, boot=boot, rules=rules)
        case "revision":
            return _revise(writing, known, seen, captured, boot=boot, rules=rules, closes=closes)
        case "same":
            return _fill_in(writing, known, seen, rules, closes)
        case "told_before":
            return Booked(fate="seen_again")
        case "conflict":
            return Booked(fate="conflict", detail=f"receipt {known.receipt.key} is known with other content")


def _revise(
    writing: Writing,
    known: StoredReceipt,
    seen: Receipt,
    captured: Instant,
    *,
    boot: str,
    rules: Rules,
    closes: ClosedSale | None,
) -> Booked:
    """What was suspended is final (or voided) now: it keeps its member unless another was scanned for it."""
    receipt = replace(revised(known.receipt, seen), captured_at=captured.wall)
    owner = _owner(writing, receipt, captured, boot)
    if owner.reference is not None:
        receipt = replace(receipt, member=owner.reference)
    evaluation = evaluation_of(writing, receipt, owner, rules)
    member = beneficiary(owner, evaluation)
    _rewrite(writing, receipt, member, evaluation)
    reward = _spent(writing, receipt, member, captured, rules=rules, closes=closes)
    return Booked(fate="booked", settlement=settlement_of(receipt, captured, owner, evaluation, reward))


def _void(
    writing: Writing, known: StoredReceipt, seen: Receipt, captured: Instant, *, boot: str, rules: Rules
) -> Booked:
    """A final sale is voided: what it claimed is claimed back. It ends a turn and gives no scan a receipt."""
    if known.receipt.kind == "return":
        detail = f"receipt {known.receipt.key} voids a return; what that took back, a person has to give again"
        return Booked(fate="conflict", detail=detail)
    _taken(writing, captured, boot, None)
    receipt = revised(known.receipt, seen)
    program = rules.at(writing, receipt)
    evaluation = Evaluation(
        claims=voiding(_settled(known)), counted=bool(known.claims), program=program[0] if program is not None else None
    )
    _rewrite(writing, receipt, known.member, evaluation)
    owner = _named(writing, receipt)
    return Booked(fate="booked", settlement=settlement_of(receipt, captured, owner, evaluation))


def _fill_in(
    writing: Writing, known: StoredReceipt, seen: Receipt, rules: Rules, closes: ClosedSale | None = None
) -> Booked:
    """The centre hears of a further print only if it adds something."""
    receipt = filled(known.receipt, seen)
    if receipt == known.receipt:
        return Booked(fate="seen_again")
    learned = (receipt.member, receipt.original) != (known.receipt.member, known.receipt.original)
    member = known.member
    if known.claims or not learned:
        writing.update_receipt(receipt, member, known.claims)
        _append(writing, receipt, member, Evaluation(claims=known.claims))
    else:
        owner = _named(writing, receipt)
        evaluation = evaluation_of(writing, receipt, owner, rules)
        member = member or beneficiary(owner, evaluation)
        _rewrite(writing, receipt, member, evaluation)
    if says_nothing(known.receipt):
        _spent(writing, receipt, member, known.captured, rules=rules, closes=closes)
    return Booked(fate="seen_again")


def _owner(
    writing: Writing, receipt: Receipt, captured: Instant, boot: str, told: MemberReference | None = None
) -> Ownership:
    """Who was `told` before, else the scan that this receipt takes, else the member that the receipt itself names."""
    if ends_a_sale(receipt):
        scan = _taken(writing, captured, boot, receipt.key if told is None else None)
        if told is not None:
            return ownership_of(writing, told)
        if scan is not None:
            return ownership_of(writing, MemberReference(code=scan.code, kind=scan.kind, entry=scan.entry))
    return _named(writing, receipt)


def _named(writing: Writing, receipt: Receipt) -> Ownership:
    return ownership_of(writing, receipt.member) if receipt.member else Ownership()


def ownership_of(writing: Writing, reference: MemberReference) -> Ownership:
    """Whose a receipt with this code is, as far as this register knows them."""
    member = writing.member_by_code(reference.code)
    if member is not None and member.refuses(reference.code):
        return Ownership(reference=reference, blocked=True)
    return Ownership(reference=reference, member=member)


def _taken(writing: Writing, captured: Instant, boot: str, used_by: str | None) -> MemberScan | None:
    state, effects = step(checkout_of(writing, boot), ReceiptPrinted(at=captured))
    writing.set_meta(LAST_SALE, msgspec.json.encode(state.previous).decode())
    taken: MemberScan | None = None
    for effect in effects:
        if isinstance(effect, AttachMember):
            taken = effect.scan
        elif isinstance(effect, UseUp):
            for scan in effect.ids:
                writing.consume_scan(scan, used_by if taken is not None and scan == taken.id else None)
    return taken


def evaluation_of(writing: Writing, receipt: Receipt, owner: Ownership, rules: Rules) -> Evaluation:
    """What a receipt claims for its owner under the program of its own time."""
    sold, returned = parts_of(receipt)
    original = _original(writing, returned) if returned is not None else None
    program = rules.at(writing, receipt)
    if program is None or receipt.has_problem(TOTAL_MISMATCH):
        return Evaluation(original=original)
    content_hash, terms = program
    if owner.member is None and (original is None or original.member is None):
        return Evaluation(program=content_hash, original=original)
    if returned is not None and original is None:
        # It waits at the centre, which may know the sale from another register.
        return Evaluation(program=content_hash)
    if sold is not None and original is not None and original.member != _id_of(owner):
        # What an exchange takes of one member and gives to another is not shown in one sum.
        return Evaluation(program=content_hash, original=original)
    try:
        taken = _taken_back(returned, original, sold, terms) if returned is not None and original is not None else ()
        given = _given(writing, sold, owner.member, terms) if sold is not None and owner.member is not None else _NONE
    except TooManyPointsError:
        return Evaluation(program=content_hash)  # it is worth nothing at the centre either
    beside = bool(terms.visits or terms.stamps) or terms.returns.policy != "reverse"
    return Evaluation(
        claims=(*taken, *given.entries),
        counted=True,
        estimated=given.estimated or (returned is not None and beside),
        program=content_hash,
        original=original,
    )


class _Given(Struct, frozen=True, kw_only=True):
    """What a sale gives as far as this register knows the member's past."""

    entries: tuple[LedgerEntry, ...] = ()
    estimated: bool = False


_NONE: Final = _Given()


def _given(writing: Writing, sold: Receipt, member: Member, terms: Program) -> _Given:
    """The tier is the centre's word; what of the rules' counters is not told makes the answer an estimate."""
    fold, entries, estimated = folded(writing, sold, member, terms)
    if sold.key in fold.refused:
        raise TooManyPointsError(fold.refused[sold.key])
    return _Given(entries=entries, estimated=estimated)


def _taken_back(
    returned: Receipt, original: StoredReceipt, sold: Receipt | None, terms: Program
) -> tuple[LedgerEntry, ...]:
    taken = evaluate(returned, program=terms, original=_settled(original))
    return tuple(replace(entry, rule=f"{entry.rule}{EXCHANGED}") for entry in taken) if sold is not None else taken


def _id_of(owner: Ownership) -> str | None:
    return owner.member.member if owner.member is not None else None


def _original(writing: Writing, receipt: Receipt) -> StoredReceipt | None:
    """The sale that a return, or the return part of an exchange, gives back."""
    found = {stored.receipt.key: stored for stored in writing.known_receipts(original_keys(receipt))}
    number = original_number(receipt)
    numbered = writing.receipt_by_number(number) if number is not None else None
    if numbered is not None:
        found[numbered.receipt.key] = numbered
    original = original_among(receipt, (stored.receipt for stored in found.values()))
    return found[original.key] if original is not None else None


def _settled(original: StoredReceipt) -> Settled:
    sold, _ = parts_of(original.receipt)
    returns = (parts_of(each)[1] for each in original.returns)
    return Settled(
        receipt=sold or original.receipt,
        entries=tuple(claim for claim in original.claims if claim.reverses is None),
        reversed=original.reversed,
        returns=tuple(each for each in returns if each is not None),
    )


def beneficiary(owner: Ownership, evaluation: Evaluation) -> str | None:
    """The centre's id of whom the claims are about: what a return takes back, it takes from whom the sale gave it."""
    original = evaluation.original
    if original is not None and original.member is not None:
        return original.member
    return owner.member.member if owner.member is not None else None


def _rewrite(writing: Writing, receipt: Receipt, member: str | None, evaluation: Evaluation) -> None:
    """Keeps a receipt that is known already as it is now, shows what it claims now, and tells the centre."""
    _keep_anew(writing, receipt, member, evaluation)
    _append(writing, receipt, member, evaluation)


def _keep_anew(writing: Writing, receipt: Receipt, member: str | None, evaluation: Evaluation) -> None:
    original = evaluation.original
    original_key = original.receipt.key if original is not None else None
    writing.update_receipt(receipt, member, evaluation.claims, original_key)
    if member is not None:
        writing.add_claims(receipt.key, member, evaluation.claims)


def _append(writing: Writing, receipt: Receipt, member: str | None, evaluation: Evaluation) -> None:
    writing.append("receipt", receipt.key, _body(writing, receipt, member, evaluation))


def _body(writing: Writing, receipt: Receipt, member: str | None, evaluation: Evaluation) -> ReceiptBody:
    position = writing.member_pos(member) if member is not None else None
    return ReceiptBody(
        receipt=receipt,
        member=member or UNSET,
        claims=evaluation.claims,
        program=evaluation.program or UNSET,
        as_of=UNSET if position is None else position,
    )


def settlement_of(
    receipt: Receipt,
    captured: Instant,
    owner: Ownership,
    evaluation: Evaluation,
    reward: RewardOutcome | None = None,
) -> Settlement:
    """What the page is told of a receipt."""
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
            estimated=evaluation.estimated,
            reward=reward,
            claims=claims,
        )
    if code is None and receipt.kind == "sale":
        return Settlement(receipt=receipt, captured=captured, code=None, outcome="no_card")
    outcome: Outcome = "at_centre"
    if owner.member is None and code is not None and receipt.kind == "sale":
        outcome = "blocked" if owner.blocked else "held"
    return Settlement(receipt=receipt, captured=captured, code=code, outcome=outcome, reward=reward)


def _is_pending(claim: LedgerEntry, now: datetime) -> bool:
    return claim.pending_until is not None and claim.pending_until > now
