"""What operators ask of a centre, as the command line and the admin pages both offer it.

Owns joining members, ledger and feed in one transaction. Never prints and never parses arguments.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import UNSET, Struct
from sqlalchemy import Connection, func, insert, select

from central import configs, devices, feed, ledger, members, programs, receipts
from central.db import tables
from central.devices import Randomness
from central.folder import Address
from loyalty.identification import IdentificationRule, normal_code
from loyalty.ledger import LedgerEntry
from loyalty.member import Member
from loyalty.program import Program
from loyalty.receipt import AwareDatetime
from sync import base64url
from sync.enrolment import EnrolmentCode, code_text

ADMIN_LINK_LIFE = timedelta(minutes=5)
LINK_TOKEN_BYTES = 32


class EnrolmentCreated(Struct, frozen=True, kw_only=True):
    code: str
    store: str
    register: str
    expires_at: AwareDatetime


class AdminLink(Struct, frozen=True, kw_only=True):
    open: str
    expires_at: AwareDatetime


class ProgramReport(Struct, frozen=True, kw_only=True):
    hash: str
    warnings: tuple[str, ...]


class RulesReport(Struct, frozen=True, kw_only=True):
    hash: str
    rules: int
    warnings: tuple[str, ...]


class RulesShown(Struct, frozen=True, kw_only=True):
    """The identification rules in force; `hash` and `published_at` are None before the first were published."""

    hash: str | None
    published_at: AwareDatetime | None
    identification: tuple[IdentificationRule, ...]


class ImportReport(Struct, frozen=True, kw_only=True):
    added: int
    changed: int
    unchanged: int
    receipts: int


class Linked(Struct, frozen=True, kw_only=True):
    member: str
    receipts: int
    points: int


class MemberShown(Struct, frozen=True, kw_only=True):
    member: Member
    entries: tuple[LedgerEntry, ...]


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


class RegisterList(Struct, frozen=True, kw_only=True):
    registers: tuple[RegisterShown, ...]


class Revoked(Struct, frozen=True, kw_only=True):
    device: str


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
) -> EnrolmentCreated:
    """A one-time code for one register: address, token and the digest of the CA to pin.

    Raises AddressRefusedError where no register could connect to `url`.
    """
    token = base64url.encoded(randomness(devices.TOKEN_BYTES))
    code = code_text(EnrolmentCode(url=url, token=token, ca_sha256=ca_sha256))
    expires_at = devices.create_enrolment(
        connection, token=token, store=store, register=register, valid_for=valid_for, now=now
    )
    return EnrolmentCreated(code=code, store=store, register=register, expires_at=expires_at)


def admin_link(connection: Connection, admin: Address, now: datetime, randomness: Randomness) -> AdminLink:
    """A link that opens the admin pages once."""
    token = base64url.encoded(randomness(LINK_TOKEN_BYTES))
    expires_at = now + ADMIN_LINK_LIFE
    links = tables.admin_links
    connection.execute(links.delete().where(links.c.expires_at < now))
    connection.execute(insert(links).values(token_hash=devices.token_hash(token), expires_at=expires_at))
    return AdminLink(open=f"http://{admin}/open?token={token}", expires_at=expires_at)


def publish(connection: Connection, program: Program, key: Ed25519PrivateKey, now: datetime) -> str:
    """Put a program in force and evaluate what waited for one."""
    hashed = programs.publish(connection, program, key, now)
    _moved(connection, ledger.settle_without_program(connection, now), now)
    return hashed


def rules_in_force(connection: Connection) -> RulesShown:
    published = configs.config_in_force(connection)
    if published is None:
        return RulesShown(hash=None, published_at=None, identification=())
    return RulesShown(
        hash=published.hash, published_at=published.published_at, identification=published.config.identification
    )


def import_file(connection: Connection, document: bytes, now: datetime) -> ImportReport:
    """Import a members file. Raises MembersFileError, CodeTakenError; then nothing is changed."""
    imported = members.import_members(connection, members.members_from_json(document), now)
    adopted, touched = _adopt(connection, imported.linked, now)
    ledger.refresh_balances(connection, sorted(touched), now)
    feed.note_changes(connection, dict.fromkeys((*imported.added, *imported.changed, *sorted(touched))), now)
    return ImportReport(
        added=len(imported.added), changed=len(imported.changed), unchanged=imported.unchanged, receipts=adopted
    )


def link(connection: Connection, member: str, code: str, now: datetime) -> Linked:
    """Let a code name a member, and give the member what was bought under it.

    Raises UnknownMemberError, CodeTakenError. Linking the same again changes nothing.
    """
    before = _points(connection, member)
    if not members.add_identifier(connection, member, _kind_seen(connection, code), code, now):
        return Linked(member=member, receipts=0, points=0)
    adopted, touched = receipts.adopt_code(connection, member, code, now)
    ledger.refresh_balances(connection, sorted(touched), now)
    feed.note_changes(connection, sorted({member, *touched}), now)
    return Linked(member=member, receipts=adopted, points=_points(connection, member) - before)


def show(connection: Connection, which: str, now: datetime) -> MemberShown:
    """A member by code or id. Raises UnknownMemberError."""
    member = members.owner_of(connection, which) or which
    if not members.member_exists(connection, member):
        raise members.UnknownMemberError("no member has this code or id")
    row = members.rows_of(connection, [member], now)[member]
    return MemberShown(member=row, entries=ledger.entries_of_member(connection, member))


def registers(connection: Connection) -> RegisterList:
    """Every device that was ever enrolled, by store and register."""
    table = tables.devices
    epochs = tables.epochs.c
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
            )
            for row in connection.execute(select(table).order_by(table.c.store, table.c.register, table.c.enrolled_at))
        )
    )


def _adopt(connection: Connection, linked: tuple[tuple[str, str], ...], now: datetime) -> tuple[int, set[str]]:
    """Receipts kept under codes that are linked now."""
    kept = set(
        connection.execute(
            select(tables.receipts.c.code)
            .where(tables.receipts.c.member.is_(None), tables.receipts.c.code.is_not(None))
            .distinct()
        ).scalars()
    )
    adopted = 0
    touched: set[str] = set()
    for member, code in linked:
        if code in kept:
            count, moved = receipts.adopt_code(connection, member, code, now)
            adopted += count
            touched |= moved
    return adopted, touched


def _moved(connection: Connection, touched: set[str], now: datetime) -> None:
    ledger.refresh_balances(connection, sorted(touched), now)
    feed.note_changes(connection, sorted(touched), now)


def _kind_seen(connection: Connection, code: str) -> str:
    """The kind under which registers saw an unknown code; a card if none did."""
    body = connection.execute(
        select(tables.receipts.c.body).where(tables.receipts.c.code == normal_code(code)).limit(1)
    ).scalar_one_or_none()
    reference = receipts.reference_in(body) if body is not None else UNSET
    return reference.kind if reference else "card"


def _points(connection: Connection, member: str) -> int:
    columns = tables.ledger.c
    total = connection.execute(select(func.sum(columns.points)).where(columns.member == member)).scalar_one()
    return int(total or 0)
