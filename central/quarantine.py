"""Entries of registers that were set aside at the centre: what people see of them, and how they come to their effect.

Owns listing and showing, applying again, bringing a body that did not travel, and dismissing. An entry is never changed
or removed here: the register's chain and the answer that it got stay as they are. Identity makes that nothing counts
twice: what was applied under its key since is a duplicate. Another history of a fork is never applied.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct
from msgspec.structs import replace
from sqlalchemy import ColumnElement, Connection, Row, and_, func, or_, select, update

from central import erasing, feed, folding, ledger, members, scopes
from central.batch import ON_HOLD, TWO_MEMBERS, TakenAgain, apply_again
from central.bodies import HANDLED, opened
from central.db import tables
from central.db.sets import among
from central.devices import shared_devices
from central.receipts import Seen
from central.redemptions import NOT_HERE
from loyalty.receipt import AwareDatetime
from loyalty.remedies import remedy_for
from loyalty.undecodable import UNDECODABLE
from sync.records import AliasBody, ConsentBody, Entry, ProfileBody, RedeemBody, ReleaseBody, Salt

# Entries that are applied again in one transaction.
AGAIN = 2000
# Of a listing.
MAX_LISTED = 200
# What an update of the centre may have learnt to handle.
_AWAIT_UPDATE = ("not_yet", "unknown_kind")
# What a person looks at, and is never applied: another history, and what counts already.
_LOOKED_AT = ("fork", TWO_MEMBERS)
# What is told of who or what was not here, and may come from another register.
_AWAIT_OTHERS = (members.UNKNOWN_ID, NOT_HERE)
_ABOUT_A_MEMBER = (ProfileBody, ConsentBody, AliasBody, RedeemBody)


class NotWaitingError(Exception):
    """Nothing waits in quarantine under this number."""


class BodyRefusedError(Exception):
    """What was brought is not the body whose digest the register sent."""


class Item(Struct, frozen=True, kw_only=True):
    """An entry that waits for a person. `seq` and `epoch` are the register's, `remedy` says what to do."""

    id: int
    received_at: AwareDatetime
    device: str
    store: str
    register: str
    epoch: str
    seq: int
    key: str
    kind: str
    reason: str
    detail: str
    remedy: str


class Listed(Struct, frozen=True, kw_only=True):
    """The oldest items, and how many there are of each reason in all."""

    items: tuple[Item, ...]
    reasons: dict[str, int]


class Shown(Struct, frozen=True, kw_only=True):
    """One item with the entry as it was sent."""

    item: Item
    entry: Entry


class Body(Struct, frozen=True, kw_only=True):
    """Salt and body of an entry, as `tillside queue show eNUMBER --json` prints them at its register."""

    salt: Salt
    body: Raw


class Ripe(Struct, frozen=True, kw_only=True):
    """Of the entries that were looked through those to try again; `through` is the last, None where none is left."""

    items: tuple[int, ...]
    through: int | None


class Again(Struct, frozen=True, kw_only=True):
    """How many of the entries that were tried have an effect now, and how many of them still wait for a person."""

    applied: int
    waiting: int


def listed(connection: Connection, after: int = 0) -> Listed:
    """What waits, with a number beyond `after`, oldest first, and the counts by reason."""
    columns = tables.quarantine.c
    counts = connection.execute(
        select(columns.reason, func.count()).where(columns.resolved_at.is_(None)).group_by(columns.reason)
    )
    rows = connection.execute(_waiting().where(columns.id > after).order_by(columns.id).limit(MAX_LISTED))
    return Listed(items=tuple(_item(row) for row in rows), reasons={row[0]: row[1] for row in counts})


def shown(connection: Connection, item: int) -> Shown:
    """Raises NotWaitingError."""
    row = _one(connection, item)
    return Shown(item=_item(row), entry=msgspec.json.decode(row.raw, type=Entry))


def retry(connection: Connection, now: datetime, items: Collection[int] = ()) -> Again:
    """Apply what was set aside once more, as if it came now: these items, or the oldest AGAIN of all.

    What still has no effect stays, with the reason of now.
    """
    columns = tables.quarantine.c
    query = _waiting().where(columns.reason.not_in(_LOOKED_AT), _not_on_hold(connection))
    return _apply(connection, query.where(columns.id.in_(tuple(items))) if items else query, now)


def ripe(connection: Connection, after: int) -> Ripe:
    """What waited for a version that handles its kind, for one machine to be left, or for what another register told
    since: of the oldest AGAIN with a number beyond `after`.

    Of who joined at one register another may tell first, as when all send again to a centre that was restored.
    """
    columns = tables.quarantine.c
    learnt = and_(columns.reason.in_(_AWAIT_UPDATE), columns.kind.in_(tuple(HANDLED)))
    released = and_(columns.reason == ON_HOLD, _not_on_hold(connection))
    to_come = columns.detail.in_(_AWAIT_OTHERS)
    query = _waiting().where(columns.id > after, or_(learnt, released, to_come))
    rows = connection.execute(query.order_by(columns.id).limit(AGAIN)).all()
    known = _known_by_now(connection, [row for row in rows if row.detail in _AWAIT_OTHERS])
    return Ripe(
        items=tuple(row.id for row in rows if row.detail not in _AWAIT_OTHERS or row.id in known),
        through=rows[-1].id if rows else None,
    )


def bring_body(connection: Connection, item: int, document: bytes, now: datetime) -> Again:
    """Take in the body of an entry that came as its digest only, and apply it.

    Raises NotWaitingError, BodyRefusedError.
    """
    row = _one(connection, item)
    if row.reason == "fork":
        raise BodyRefusedError(f"entry {item} is of another history, which is never applied; {remedy_for('fork')}")
    entry = msgspec.json.decode(row.raw, type=Entry)
    if not entry.digest:
        raise BodyRefusedError(f"entry {item} has its body; `tillside-central quarantine retry {item}` applies it")
    try:
        brought = msgspec.json.decode(document, type=Body)
    except UNDECODABLE as error:
        raise BodyRefusedError(
            f"the file is not what `tillside queue show eNUMBER --json` prints at the register ({error})"
        ) from error
    whole = replace(entry, salt=brought.salt, body=brought.body, digest=UNSET)
    if whole.body_digest.hex() != entry.digest:
        raise BodyRefusedError(
            "this is another entry's body, or was changed on the way: its digest is not the one that the register "
            f"sent; print entry {entry.seq} of {row.store} / {row.register} there again"
        )
    kept = tables.entries.c
    connection.execute(
        update(tables.entries)
        .where(kept.epoch == row.epoch, kept.seq == entry.seq)
        .values(salt=brought.salt, body=whole.json, digest=None)
    )
    table = tables.quarantine
    connection.execute(update(table).where(table.c.id == item).values(raw=msgspec.json.encode(whole)))
    return retry(connection, now, (item,))


def dismiss(connection: Connection, item: int, note: str, now: datetime) -> bool:
    """A person says that nothing is to be made of an entry, and why. False where it does not wait."""
    table = tables.quarantine
    done = connection.execute(
        update(table)
        .where(table.c.id == item, table.c.resolved_at.is_(None))
        .values(resolved_at=now, resolved_as="dismissed", note=note)
    )
    return done.rowcount == 1


def _apply(connection: Connection, query: Any, now: datetime) -> Again:
    table = tables.quarantine
    rows = connection.execute(query.order_by(table.c.id).limit(AGAIN)).all()
    touched: set[str] = set()
    moved: set[str] = set()
    set_aside: set[str] = set()
    gone: set[str] = set()
    applied = 0
    for row in rows:
        entry = msgspec.json.decode(row.raw, type=Entry)
        again = _came_whole(connection, entry) or apply_again(connection, row.device, row.epoch, entry, now)
        seen = again.seen
        if seen.code == "quarantined":
            values: dict[str, Any] = {"reason": again.reason, "detail": seen.detail}
        else:
            applied += 1
            touched |= seen.touched
            moved |= seen.moved | seen.changed
            set_aside |= seen.set_aside
            gone |= seen.gone
            if seen.member is not None:
                scopes.seen(connection, row.store, (seen.member,), row.received_at)
            values = {"resolved_at": now, "resolved_as": seen.code, "note": seen.detail or None}
            if seen.apart:
                values = {"reason": again.reason, "detail": seen.detail}
        if again.kept is not entry:
            values["raw"] = msgspec.json.encode(again.kept)
            erasing.drop_body(connection, row.epoch, row.seq)
        connection.execute(update(table).where(table.c.id == row.id).values(values))
    settled = folding.settle(connection, touched - gone, now)
    ledger.refresh_balances(connection, sorted(set_aside.difference(settled, gone)), now, to_be_planned=False)
    feed.note_changes(connection, sorted(moved.union(settled, set_aside)), now)
    return Again(applied=applied, waiting=len(rows) - applied)


def _known_by_now(connection: Connection, rows: Sequence[Row[Any]]) -> set[int]:
    """Of entries about an id that nobody had, or a redemption that was not here, those whose is here by now."""
    bodies = {row.id: opened(msgspec.json.decode(row.raw, type=Entry)) for row in rows}
    whom = {item: body.member for item, body in bodies.items() if isinstance(body, _ABOUT_A_MEMBER)}
    which = {item: body.target for item, body in bodies.items() if isinstance(body, ReleaseBody)}
    meant = members.meant(connection, set(whom.values()))
    keys = tables.redemptions.c.key
    given = set(connection.execute(select(keys).where(among(keys, set(which.values())))).scalars()) if which else set()
    return {
        *(item for item, member in whom.items() if member in meant),
        *(item for item, target in which.items() if target in given),
    }


def _not_on_hold(connection: Connection) -> ColumnElement[bool]:
    columns = tables.quarantine.c
    return or_(columns.reason != ON_HOLD, columns.device.not_in(tuple(shared_devices(connection))))


def _came_whole(connection: Connection, entry: Entry) -> TakenAgain | None:
    """A receipt of which only the digest was here may have been sent again since, and got through."""
    receipts = tables.receipts.c
    if not entry.digest or not connection.execute(select(receipts.key).where(receipts.key == entry.key)).first():
        return None
    return TakenAgain(seen=Seen(code="duplicate", detail="came whole since"), reason="", kept=entry)


def _waiting() -> Any:
    """What waits, with where it came from."""
    table, registers = tables.quarantine, tables.devices
    return (
        select(table, registers.c.store, registers.c.register)
        .join(registers, registers.c.id == table.c.device)
        .where(table.c.resolved_at.is_(None))
    )


def _one(connection: Connection, item: int) -> Row[Any]:
    row = connection.execute(_waiting().where(tables.quarantine.c.id == item)).one_or_none()
    if row is None:
        raise NotWaitingError(f"nothing waits under {item}; `tillside-central quarantine list` shows what does")
    return row


def _item(row: Row[Any]) -> Item:
    return Item(
        id=row.id,
        received_at=row.received_at,
        device=row.device,
        store=row.store,
        register=row.register,
        epoch=row.epoch,
        seq=row.seq,
        key=row.key,
        kind=row.kind,
        reason=row.reason,
        detail=row.detail,
        remedy=remedy_for(row.reason),
    )
