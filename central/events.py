"""Events: what a member did that is no purchase, such as a referral, a review, an app installed.

Owns that each counts once, by its key, and whose it is. What it gives is `central.folding`'s; registers tell of some
(`signal`), everything else comes in by `tillside-central events record`.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct
from sqlalchemy import Connection, insert, select, update

from central import cards, folding, members
from central.db import tables
from central.plausible import AHEAD
from loyalty.identification import normal_code
from loyalty.receipt import AwareDatetime

MAX_KEY_CHARS = 64


class EventRecorded(Struct, frozen=True, kw_only=True):
    """An event and what it gave; `is_new` is false where its key was known already."""

    key: str
    what: str
    member: str
    at: AwareDatetime
    is_new: bool
    points: int


def record(
    connection: Connection, *, key: str, what: str, code: str, at: datetime, device: str | None, now: datetime
) -> str | None:
    """Keep an event of the member whom `code` names, now or later; returns that member.

    A key that is known already counts once, whatever else is said with it. A time that is still to come is none: the
    event happened when it was told.
    """
    owner = cards.owner_of(connection, code)
    known = connection.execute(select(tables.events.c.key).where(tables.events.c.key == key)).first()
    if known is None:
        connection.execute(
            insert(tables.events).values(
                key=key,
                what=what,
                member=owner,
                code=normal_code(code),
                at=now if at > now + AHEAD else at,
                device=device,
                received_at=now,
            )
        )
    return owner


def adopt(connection: Connection, member: str, code: str) -> bool:
    """Events kept under a code that nobody had are `member`'s now; whether there were any."""
    events = tables.events
    nobodys = (events.c.code == normal_code(code)) & events.c.member.is_(None)
    return connection.execute(update(events).where(nobodys).values(member=member)).rowcount > 0


def record_by_hand(
    connection: Connection, *, key: str, what: str, which: str, at: datetime, now: datetime
) -> EventRecorded:
    """Keep an event of a member, named by a code or an id, and give what it gives. Raises UnknownMemberError."""
    member = members.named(connection, which)
    events = tables.events
    known = connection.execute(select(events).where(events.c.key == key)).one_or_none()
    if known is None:
        at = now if at > now + AHEAD else at
        connection.execute(
            insert(events).values(key=key, what=what, member=member, code=None, at=at, device=None, received_at=now)
        )
        folding.settle_and_tell(connection, {member}, now)
    else:
        member, what, at = known.member or member, known.what, known.at
    given = tables.ledger.c
    rows = connection.execute(select(given.points).where(given.receipt == key, given.member == member)).scalars()
    return EventRecorded(key=key, what=what, member=member, at=at, is_new=known is None, points=sum(rows))
