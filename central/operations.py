"""What operators ask of a centre, as the command line and the admin pages both offer it.

Owns joining members, ledger and feed in one transaction. Never prints and never parses arguments.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import UNSET, Struct
from sqlalchemy import Connection, func, insert, select

from central import (
    cards,
    configs,
    context,
    devices,
    enrolling,
    erasing,
    fed_rows,
    feed,
    folding,
    item_maps,
    joining,
    ledger,
    members,
    profiles,
    programs,
    receipts,
    scopes,
    settling,
    states,
    stock,
)
from central.cards import Card, CardChange, CardNumber
from central.db import tables
from central.devices import Randomness
from central.enrolling import Standing
from central.erasing import Erased
from central.folder import Address
from loyalty.identification import IdentificationRule, MemberKind, normal_code
from loyalty.item_map import ItemEntry
from loyalty.ledger import LedgerEntry
from loyalty.member import CardState, Member
from loyalty.program import Program
from loyalty.receipt import AwareDatetime
from loyalty.standing import reached_by_activity
from sync import base64url
from sync.enrolment import EnrolmentCode, code_text
from sync.wire import Erasure

ADMIN_LINK_LIFE = timedelta(minutes=5)
LINK_TOKEN_BYTES = 32


class EnrolmentCreated(Struct, frozen=True, kw_only=True):
    """`there` is who stands at the place now; `replaces` which of them is refused once the code is used."""

    code: str
    store: str
    register: str
    expires_at: AwareDatetime
    there: tuple[Standing, ...] = ()
    replaces: str | msgspec.UnsetType = UNSET


class AdminLink(Struct, frozen=True, kw_only=True):
    open: str
    expires_at: AwareDatetime


class RulesReport(Struct, frozen=True, kw_only=True):
    hash: str
    rules: int
    warnings: tuple[str, ...]


class TemplatesReport(Struct, frozen=True, kw_only=True):
    """Names of the templates in force, and the hash of the config that they are part of.

    `refusals` are of registers in service that go on with those before, each as the register says it.
    """

    hash: str
    templates: tuple[str, ...]
    refusals: tuple[TemplateRefusal, ...] = ()


class TemplateRefusal(Struct, frozen=True, kw_only=True):
    """A register that does not read with the templates in force, and why."""

    store: str
    register: str
    why: str


class RulesShown(Struct, frozen=True, kw_only=True):
    """The identification rules in force; `hash` and `published_at` are None before the first were published."""

    hash: str | None
    published_at: AwareDatetime | None
    identification: tuple[IdentificationRule, ...]


class ItemMapReport(Struct, frozen=True, kw_only=True):
    """`unfilled` are rows of a spreadsheet that give nothing yet and are left out."""

    hash: str
    entries: int
    kinds: dict[str, int]
    unfilled: int
    warnings: tuple[str, ...]


class ItemMapShown(Struct, frozen=True, kw_only=True):
    """The item map in force; `hash` and `published_at` are None before the first was published."""

    hash: str | None
    published_at: AwareDatetime | None
    items: tuple[ItemEntry, ...]


class ImportReport(Struct, frozen=True, kw_only=True):
    added: int
    changed: int
    unchanged: int
    receipts: int


class ContextReport(Struct, frozen=True, kw_only=True):
    """`unknown` are members of the file whom nobody has here; what it says of them was passed over."""

    changed: int
    unchanged: int
    unknown: tuple[str, ...]


class Linked(Struct, frozen=True, kw_only=True):
    member: str
    receipts: int
    points: int


class StockReport(Struct, frozen=True, kw_only=True):
    """`changed` are cards known before that got a number more."""

    added: int
    changed: int
    unchanged: int
    receipts: int


class CardShown(Struct, frozen=True, kw_only=True):
    """A card as `cards show` tells of it. `held` are receipts kept for it that belong to nobody."""

    card: str
    state: CardState
    member: str | None
    numbers: tuple[CardNumber, ...]
    blocked_at: AwareDatetime | None
    blocked_because: str | None
    replaced_by: str | None
    held: int
    changes: tuple[CardChange, ...]


class CardDone(Struct, frozen=True, kw_only=True):
    """A card after something was done to it, and what its receipts gave by that."""

    card: CardShown
    receipts: int
    points: int


class ConsentShown(Struct, frozen=True, kw_only=True):
    """One thing that was said to being written to: when by that register's clock, and when it came here."""

    channel: str
    state: str
    text_version: str
    store: str
    register: str
    operator: str | None
    told_at: str
    received_at: AwareDatetime


class MemberShown(Struct, frozen=True, kw_only=True):
    member: Member
    entries: tuple[LedgerEntry, ...]
    consents: tuple[ConsentShown, ...] = ()


class MembersMerged(Struct, frozen=True, kw_only=True):
    """`merged` means `member` now, who has the points of both."""

    member: str
    merged: str
    points: int


class ErasureList(Struct, frozen=True, kw_only=True):
    erasures: tuple[Erased, ...]


class MemberFolded(Struct, frozen=True, kw_only=True):
    """A member who was folded anew: entries that this appended, and the points of all."""

    member: str
    entries: int
    points: int


class RegisterShown(Struct, frozen=True, kw_only=True):
    device: str
    store: str
    register: str
    revoked: bool
    version: str
    last_contact: AwareDatetime | None
    queued: int
    quarantined: int
    oldest_queued_at: AwareDatetime | None
    epochs: int
    note: str | None
    templates_refused: str | None = None
    shared: bool = False


class RegisterList(Struct, frozen=True, kw_only=True):
    registers: tuple[RegisterShown, ...]


class Revoked(Struct, frozen=True, kw_only=True):
    device: str


class Moved(Struct, frozen=True, kw_only=True):
    device: str
    store: str
    register: str


class Logging(Struct, frozen=True, kw_only=True):
    """A register whose log says everything `until` then; None: what matters."""

    device: str
    until: datetime | None


class Released(Struct, frozen=True, kw_only=True):
    device: str


# A code that lies about is found. Who images a hundred registers makes each its own on the day.
MAX_CODE_LIFE = timedelta(hours=24)


def create_enrolment(
    connection: Connection,
    *,
    store: str,
    register: str,
    valid_for: timedelta,
    url: str,
    ca_sha256: str,
    now: datetime,
    randomness: Randomness,
    replace: bool = False,
    replaces: str | None = None,
) -> EnrolmentCreated:
    """A one-time code for one register: address, token and the digest of the CA to pin.

    `register` may be a pattern. The device `replaces`, with `replace` the one that stands there, is revoked when the
    code is used. Raises AddressRefusedError where no register could connect to `url`, NameRefusedError for a name that
    is none, NobodyToReplaceError.
    """
    if replace:
        replaces = enrolling.to_replace(connection, store, register)
    token = base64url.encoded(randomness(enrolling.TOKEN_BYTES))
    asks = True if enrolling.ANY in register else msgspec.UNSET
    code = code_text(EnrolmentCode(url=url, token=token, ca_sha256=ca_sha256, asks_register=asks))
    expires_at = enrolling.create_enrolment(
        connection, token=token, store=store, register=register, valid_for=valid_for, now=now, replaces=replaces
    )
    return EnrolmentCreated(
        code=code,
        store=store,
        register=register,
        expires_at=expires_at,
        there=enrolling.standing_at(connection, store, register),
        replaces=UNSET if replaces is None else replaces,
    )


def admin_link(connection: Connection, admin: Address, now: datetime, randomness: Randomness) -> AdminLink:
    """A link that opens the admin pages once."""
    token = base64url.encoded(randomness(LINK_TOKEN_BYTES))
    expires_at = now + ADMIN_LINK_LIFE
    links = tables.admin_links
    connection.execute(links.delete().where(links.c.expires_at < now))
    connection.execute(insert(links).values(token_hash=enrolling.token_hash(token), expires_at=expires_at))
    return AdminLink(open=f"http://{admin}/open?token={token}", expires_at=expires_at)


def publish(
    connection: Connection,
    program: Program,
    key: Ed25519PrivateKey,
    now: datetime,
    valid_from: datetime | None = None,
) -> str:
    """Put a program in force, now or at `valid_from`, and evaluate what waited for one. Raises ProgramError."""
    before = programs.hash_in_force(connection, now)
    hashed = programs.publish(connection, program, key, now, valid_from)
    schedule_changed(connection, valid_from or now, now, all_anew=reached_by_activity(program))
    if before is None and valid_from is None:
        # It holds for all that was before, events too, which have no state that tells them.
        folding.settle_and_tell(connection, settling.members_with_events(connection), now)
    return hashed


def withdraw(connection: Connection, named: str, now: datetime) -> tuple[programs.Publication, ...]:
    """Take back a program that waits for its time, and evaluate again what fell to it already. Raises ProgramError."""
    taken = programs.withdraw(connection, named, now)
    since = min(one.valid_from for one in taken if one.valid_from is not None)
    schedule_changed(connection, since, now, all_anew=False)
    return taken


def schedule_changed(connection: Connection, since: datetime, now: datetime, *, all_anew: bool) -> None:
    """Evaluate what waited for a program, and again what falls to another one now."""
    states.begin_anew(connection, since, all_anew=all_anew)
    touched = settling.settle_without_program(connection) | settling.members_since(connection, since)
    folding.settle_and_tell(connection, touched, now)


def rules_in_force(connection: Connection) -> RulesShown:
    """Raises ConfigError for rules of another version that this one would not publish."""
    published = configs.config_in_force(connection)
    if published is None:
        return RulesShown(hash=None, published_at=None, identification=())
    return RulesShown(
        hash=published.hash, published_at=published.published_at, identification=published.config.identification
    )


def item_map_in_force(connection: Connection) -> ItemMapShown:
    """Raises ItemMapError for a map of another version that this one would not publish."""
    newest = item_maps.newest_publication(connection)
    if newest is None:
        return ItemMapShown(hash=None, published_at=None, items=())
    items = item_maps.item_map(connection, newest.hash).items
    return ItemMapShown(hash=newest.hash, published_at=newest.published_at, items=items)


def import_file(connection: Connection, document: bytes, now: datetime) -> ImportReport:
    """Import a members file. Raises MembersFileError, CardError; then nothing is changed."""
    rows = members.members_from_json(document)
    imported = members.import_members(connection, rows, now)
    for store in sorted({store for row in rows for store in row.stores}):
        scopes.seen(connection, store, [row.member for row in rows if store in row.stores], now)
    adopted, touched = _adopt(connection, imported.linked)
    touched |= settling.members_since(connection, now).intersection(imported.changed)
    moved = folding.settle(connection, touched, now)
    feed.note_changes(connection, dict.fromkeys((*imported.added, *imported.changed, *moved)), now)
    return ImportReport(
        added=len(imported.added), changed=len(imported.changed), unchanged=imported.unchanged, receipts=adopted
    )


def import_context(connection: Connection, document: bytes, now: datetime) -> ContextReport:
    """Take in what another channel knows of members. Raises ContextFileError; then nothing is changed."""
    file = context.context_from_json(document)
    whose = _living(connection, [given.member for given in file.members])
    told = {whose[given.member]: given.lines for given in file.members if given.member in whose}
    changed = context.keep(connection, file.source, told)
    feed.note_changes(connection, changed, now)
    unknown = tuple(given.member for given in file.members if given.member not in whose)
    return ContextReport(changed=len(changed), unchanged=len(told) - len(changed), unknown=unknown)


def _living(connection: Connection, written: Iterable[str]) -> dict[str, str]:
    """The member whom each of these means by id, code, number or address; who is nobody any more is absent."""
    every = sorted(set(written))
    found = members.meant(connection, every)
    by_code = {one: cards.owner_as_typed(connection, one) for one in every if one not in found}
    found |= {one: owner for one, owner in by_code.items() if owner is not None}
    erased = members.erased_among(connection, sorted(set(found.values())))
    return {one: member for one, member in found.items() if member not in erased}


def link(
    connection: Connection, member: str, code: str, now: datetime, *, printed: str = "", alias_of: str = ""
) -> Linked:
    """Let a code name a member, and give the member what was bought under it.

    `printed` is the number on the same card; `alias_of` a number of the card that `code` is another one of. A card of
    stock is handed out by this. Raises UnknownMemberError, CardError. Linking the same again changes nothing.
    """
    member = members.living(connection, member)
    kind = _kind_seen(connection, code)
    others = [CardNumber(code=cards.code_of(printed), kind=kind, printed=True)] if printed else []
    if alias_of:
        others += cards.named(connection, alias_of).numbers
    numbers = _one_card(CardNumber(code=cards.code_of(code), kind=kind), others)
    before = _points(connection, member)
    named = cards.unite(connection, numbers, member, now)
    if named is None:
        return Linked(member=member, receipts=0, points=0)
    adopted = _adopted(connection, member, named, now)
    return Linked(member=member, receipts=adopted, points=_points(connection, member) - before)


def import_stock(connection: Connection, document: bytes, now: datetime) -> StockReport:
    """Take in a list of printed cards. Raises StockFileError, CardError; then nothing is changed."""
    taken = stock.take_in(connection, stock.stock_from(document), now)
    adopted, touched = _adopt(connection, taken.named)
    moved = folding.settle(connection, touched, now)
    feed.note_changes(connection, sorted({*taken.members, *moved}), now)
    return StockReport(added=taken.added, changed=taken.changed, unchanged=taken.unchanged, receipts=adopted)


def card(connection: Connection, code: str) -> CardShown:
    """A card by any of its numbers. Raises UnknownCardError."""
    return card_shown(connection, cards.named(connection, code))


def card_shown(connection: Connection, card: Card) -> CardShown:
    """A card with the receipts kept for it and what was done to it."""
    columns = tables.receipts.c
    codes = [number.code for number in card.numbers]
    held = select(func.count()).where(columns.code.in_(codes), columns.member.is_(None))
    return CardShown(
        card=card.card,
        state=card.state,
        member=card.member,
        numbers=card.numbers,
        blocked_at=card.blocked_at,
        blocked_because=card.blocked_because,
        replaced_by=card.replaced_by,
        held=int(connection.execute(held).scalar_one()),
        changes=cards.changes_of(connection, card),
    )


def issue(connection: Connection, code: str, member: str, now: datetime) -> CardDone:
    """Hand a card of stock out to a member, with what was bought under it.

    Raises UnknownMemberError, CardError. Again, it changes nothing.
    """
    member = members.living(connection, member)
    before = _points(connection, member)
    named = cards.issue(connection, code, member, now)
    adopted = _adopted(connection, member, named, now) if named else 0
    return _card_done(connection, code, adopted, _points(connection, member) - before)


def block(connection: Connection, code: str, because: str, now: datetime) -> CardDone:
    """Let a card be accepted no more, by any of its numbers. Raises UnknownCardError."""
    blocked = cards.block(connection, code, because, now)
    owner = cards.owner_of(connection, code)
    if blocked and owner is not None:
        feed.note_changes(connection, [owner], now)
    return _card_done(connection, code, 0, 0)


def unblock(connection: Connection, code: str, now: datetime) -> CardDone:
    """Let a card be what it was, and book the receipts that were held for it. Raises UnknownCardError."""
    unblocked = cards.unblock(connection, code, now)
    owner = cards.owner_of(connection, code)
    if not unblocked or owner is None:
        return _card_done(connection, code, 0, 0)
    before = _points(connection, owner)
    numbers = [number.code for number in cards.named(connection, code).numbers]
    adopted = _adopted(connection, owner, numbers, now)
    return _card_done(connection, code, adopted, _points(connection, owner) - before)


def replace(connection: Connection, old: str, new: str, now: datetime) -> CardDone:
    """Let another card take the place of a member's; both name the member. Raises CardError."""
    named = cards.replace(connection, old, new, now)
    owner = cards.owner_of(connection, old)
    if named is None or owner is None:
        return _card_done(connection, old, 0, 0)
    before = _points(connection, owner)
    adopted = _adopted(connection, owner, named, now)
    return _card_done(connection, old, adopted, _points(connection, owner) - before)


def fold_member(connection: Connection, member: str, now: datetime) -> MemberFolded:
    """Fold a member anew, however much there is. Raises UnknownMemberError."""
    member = members.of_id(connection, member)
    before = len(ledger.entries_of_member(connection, member))
    folding.settle_and_tell(connection, [member], now, limit=None)
    entries = ledger.entries_of_member(connection, member)
    return MemberFolded(member=member, entries=len(entries) - before, points=sum(entry.points for entry in entries))


def show(connection: Connection, which: str, now: datetime) -> MemberShown:
    """A member by code or id. Raises UnknownMemberError."""
    member = members.named(connection, which)
    row = fed_rows.rows_of(connection, [member], now)[member]
    return MemberShown(
        member=row,
        entries=ledger.entries_of_member(connection, member),
        consents=tuple(
            msgspec.convert(one, ConsentShown, from_attributes=True) for one in profiles.evidence(connection, member)
        ),
    )


def merge_members(connection: Connection, source: str, target: str, because: str, now: datetime) -> MembersMerged:
    """Let one member mean another, and fold both as one. Raises UnknownMemberError, MergeError."""
    merged = joining.merge(connection, source, target, because, now)
    folding.fold_anew(connection, merged.touched, now)
    ledger.refresh_balances(connection, sorted(merged.touched), now)
    # Who is meant comes first: a register that lets the other go knows the codes by then.
    feed.note_changes(connection, [merged.target, merged.source], now)
    return MembersMerged(member=merged.target, merged=merged.source, points=_points(connection, merged.target))


def erase_member(connection: Connection, which: str, now: datetime) -> Erasure:
    """Erase a member, and let registers hear of it. Raises UnknownMemberError."""
    erasure = erasing.erase(connection, which, now)
    feed.note_changes(connection, [erasure.member, *erasure.aliases], now)
    return erasure


def erase_again(connection: Connection, erasure: Erasure) -> None:
    """Carry out an erasure in a database that is older than it; what it knows already stays as it is.

    Who was merged by then, and what became theirs, is one with the member first: half of them would stay behind.
    """
    if erasing.is_known(connection, erasure):
        return
    member, at = erasure.member, erasure.erased_at
    erasing.make_known(connection, erasure)
    for alias in erasure.aliases:
        if members.of_id(connection, alias) != member:
            merge_members(connection, alias, member, "one when they were erased", at)
    codes = erasing.codes_known_again(connection, erasure)
    _adopted(connection, member, sorted(codes), at)
    erasing.erase_again(connection, erasure, codes)
    feed.note_changes(connection, [member, *erasure.aliases], at)


def template_refusals(connection: Connection) -> tuple[TemplateRefusal, ...]:
    """Of registers in service, those that refused what is published."""
    return tuple(
        TemplateRefusal(store=one.store, register=one.register, why=one.templates_refused)
        for one in registers(connection).registers
        if one.templates_refused and not one.revoked
    )


def registers(connection: Connection) -> RegisterList:
    """Every device that was ever enrolled, by store and register."""
    table = tables.devices
    epochs, shared = tables.epochs.c, devices.shared_devices(connection)
    counted = {
        row.device: row.opened
        for row in connection.execute(select(epochs.device, func.count().label("opened")).group_by(epochs.device))
    }
    notes = {
        row.device: row.note
        for row in connection.execute(
            select(epochs.device, epochs.note).where(epochs.note.is_not(None)).order_by(epochs.opened_at)
        )
    }
    return RegisterList(
        registers=tuple(
            RegisterShown(
                device=row.id,
                store=row.store,
                register=row.register,
                revoked=row.revoked_at is not None,
                version=row.version,
                last_contact=row.last_contact,
                queued=row.queued,
                quarantined=row.quarantined,
                oldest_queued_at=row.oldest_queued_at,
                epochs=counted.get(row.id, 0),
                note=notes.get(row.id),
                templates_refused=row.templates_refused,
                shared=row.id in shared,
            )
            for row in connection.execute(select(table).order_by(table.c.store, table.c.register, table.c.enrolled_at))
        )
    )


def _adopt(connection: Connection, linked: tuple[tuple[str, str], ...]) -> tuple[int, set[str]]:
    """Receipts and events kept under codes that are linked now."""
    kept: set[str] = set()
    for columns in (tables.receipts.c, tables.events.c):
        nobodys = select(columns.code).where(columns.member.is_(None), columns.code.is_not(None))
        kept |= set(connection.execute(nobodys.distinct()).scalars())
    adopted = 0
    touched: set[str] = set()
    for member, code in linked:
        if code in kept:
            count, gained = receipts.adopt_code(connection, member, code)
            adopted += count
            touched |= gained
    return adopted, touched


def _adopted(connection: Connection, member: str, codes: Iterable[str], now: datetime) -> int:
    """Give a member the receipts kept under codes of a card, and tell registers of the card; returns how many."""
    adopted = 0
    touched: set[str] = set()
    for code in codes:
        count, gained = receipts.adopt_code(connection, member, code)
        adopted += count
        touched |= gained
    moved = folding.settle(connection, touched, now)
    feed.note_changes(connection, sorted({member, *moved}), now)
    return adopted


def _one_card(first: CardNumber, others: Iterable[CardNumber]) -> tuple[CardNumber, ...]:
    """Each number once; what one of them is known to be stays."""
    together = {first.code: first}
    for number in others:
        together[number.code] = number
    return tuple(together.values())


def _card_done(connection: Connection, code: str, adopted: int, points: int) -> CardDone:
    return CardDone(card=card(connection, code), receipts=adopted, points=points)


def _kind_seen(connection: Connection, code: str) -> MemberKind:
    """The kind under which registers saw an unknown code; a card if none did."""
    columns = tables.receipts.c
    nobodys = select(columns.body).where(columns.code == normal_code(code), columns.member.is_(None))
    body = connection.execute(nobodys.limit(1)).scalar_one_or_none()
    reference = receipts.reference_in(body) if body is not None else UNSET
    return reference.kind if reference else "card"


def _points(connection: Connection, member: str) -> int:
    columns = tables.ledger.c
    own = columns.member.in_(members.ids_of(connection, member))
    total = connection.execute(select(func.sum(columns.points)).where(own)).scalar_one()
    return int(total or 0)
