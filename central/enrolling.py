"""Letting registers in: one-time codes, the place that each is for, and whose place it was.

Owns that a place, a register of a store, has one device in service: who comes on top is refused, unless it proves to be
the machine that is there, or an operator said that it takes that one's place. Never sees a request of HTTP.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, Row, insert, select, update

from central import devices
from central.db import tables
from central.db.dialects import give_way
from central.devices import Device, Randomness
from central.problems import TokenRefusedError
from central.texts import NameRefusedError, checked_name
from loyalty.receipt import AwareDatetime
from sync.wire import EnrolRequest

# What stands for any letters in the register of a code.
ANY = "*"
TOKEN_BYTES = 32
DEVICE_ID_BYTES = 10
_ANOTHER = "make a new one: tillside-central enrolment create"


class NobodyToReplaceError(ValueError):
    """A code cannot name whose place it gives away. The message says why."""


class Standing(Struct, frozen=True, kw_only=True):
    """A device in service at a place, with what it had not sent when it was heard of last."""

    device: str
    last_contact: AwareDatetime | None
    queued: int


class LetIn(Struct, frozen=True, kw_only=True):
    """A register that came in, and whom it shut out by that: first the device that the machine was itself."""

    device: Device
    shut_out: tuple[str, ...] = ()


class _Judged(Struct, frozen=True, kw_only=True):
    """A code that is good for a request; `again` is the device that it made before."""

    code: Row[Any]
    register: str
    again: Device | None = None


def token_hash(token: str) -> str:
    """What is kept of a one-time token."""
    return hashlib.sha256(token.encode()).hexdigest()


def create_enrolment(
    connection: Connection,
    *,
    token: str,
    store: str,
    register: str,
    valid_for: timedelta,
    now: datetime,
    replaces: str | None = None,
) -> datetime:
    """Keep the hash of a one-time token for one register; returns when it expires.

    `register` may be a pattern, `*` for any of the store. The device `replaces` is revoked when the token is used.
    Raises NameRefusedError.
    """
    if replaces is None:  # a register that is there goes by the name that it has
        checked_name(store, "store")
        checked_name(register, "register")
    expires_at = now + valid_for
    connection.execute(
        insert(tables.enrolments).values(
            token_hash=token_hash(token),
            store=store,
            register=register,
            created_at=now,
            expires_at=expires_at,
            replaces=replaces,
        )
    )
    return expires_at


def standing_at(connection: Connection, store: str, register: str) -> tuple[Standing, ...]:
    """Who is in service at a place, the newest first: one, unless a centre of before let more in."""
    columns = tables.devices.c
    here = (columns.store == store, columns.register == register, columns.revoked_at.is_(None))
    rows = connection.execute(select(tables.devices).where(*here).order_by(columns.enrolled_at.desc(), columns.id))
    return tuple(Standing(device=row.id, last_contact=row.last_contact, queued=row.queued or 0) for row in rows)


def to_replace(connection: Connection, store: str, register: str) -> str:
    """The device whose place a code for this one gives away. Raises NobodyToReplaceError."""
    if ANY in register:
        raise NobodyToReplaceError("one code replaces one register: name it, without an asterisk")
    there = standing_at(connection, store, register)
    if not there:
        raise NobodyToReplaceError(
            f"nobody is register {register} of store {store}, so there is nobody to replace: leave that out"
        )
    if len(there) > 1:
        listed = ", ".join(one.device for one in there)
        raise NobodyToReplaceError(
            f"register {register} of store {store} are {listed}: revoke all but one of them "
            "(tillside-central registers revoke), and replace that"
        )
    return there[0].device


def check(connection: Connection, request: EnrolRequest, *, proven: str | None, now: datetime) -> None:
    """Whether a request would be let in, asked before anything is written. Raises TokenRefusedError."""
    _judged(connection, request, proven, now)


def enrol(
    connection: Connection,
    request: EnrolRequest,
    *,
    now: datetime,
    randomness: Randomness,
    proven: str | None = None,
) -> LetIn:
    """The device of a token. The same key with the same token is an honest retry and gets the first answer.

    `proven` is the device whose key signed the request: that machine is it no more, so it is revoked, or released where
    another machine goes on under it. Runs alone, so that two codes for one place are not used at once.
    Raises TokenRefusedError.
    """
    give_way(connection)
    judged = _judged(connection, request, proven, now)
    device, row = judged.again, judged.code
    if device is None:
        device = _added(connection, request, judged, now, randomness)
        replaced = row.replaces
        if proven is not None and not devices.release(connection, proven, now):
            devices.revoke(connection, proven, now)
            replaced = replaced or proven
        if row.replaces is not None:
            devices.release(connection, row.replaces, now)
            devices.revoke(connection, row.replaces, now)
        connection.execute(
            update(tables.enrolments)
            .where(tables.enrolments.c.token_hash == row.token_hash)
            .values(used_at=now, device=device.id, replaces=replaced)
        )
    return LetIn(device=device, shut_out=_shut_out(connection, device.id, proven))


def _judged(connection: Connection, request: EnrolRequest, proven: str | None, now: datetime) -> _Judged:
    """What a code comes to. Raises TokenRefusedError."""
    codes = tables.enrolments
    hashed = token_hash(request.token)
    code = connection.execute(select(codes).where(codes.c.token_hash == hashed)).one_or_none()
    if code is None:
        raise TokenRefusedError("unknown", f"the code is not known here; {_ANOTHER}")
    if code.used_at is not None:
        device = devices.find_device(connection, code.device)
        if device is None or device.public_key != request.public_key or device.revoked:
            raise TokenRefusedError("used", f"the code was used before; {_ANOTHER}")
        return _Judged(code=code, register=device.register, again=device)
    if now >= code.expires_at:
        raise TokenRefusedError("expired", f"the code has expired; {_ANOTHER}")
    register = _register_of(code, request.register or None)
    _refuse_taken(connection, code, register, proven)
    return _Judged(code=code, register=register)


def _register_of(code: Row[Any], said: str | None) -> str:
    """Which register of its store a code lets in. Raises TokenRefusedError."""
    if ANY not in code.register:
        if said not in (None, code.register):
            raise TokenRefusedError(
                "register", f"the code is for register {code.register}; leave --register out, or make another"
            )
        return str(code.register)
    where = f"the code is for registers {code.register} of store {code.store}"
    if said is None:
        raise TokenRefusedError("register", f"{where}: say which one this is with --register")
    if ANY in said or not fnmatchcase(said, _literal(code.register)):
        raise TokenRefusedError("register", f"{where}, and {said!r} is none of them; make another code for it")
    try:
        checked_name(said, "register")
    except NameRefusedError as error:
        raise TokenRefusedError("register", str(error)) from error
    return said


def _refuse_taken(connection: Connection, code: Row[Any], register: str, proven: str | None) -> None:
    """Raises TokenRefusedError where somebody is in service at the place who does not leave it by this."""
    leaves = {code.replaces}
    if proven is not None and not devices.is_shared(connection, proven):
        leaves.add(proven)
    stays = [one.device for one in standing_at(connection, code.store, register) if one.device not in leaves]
    if not stays:
        return
    here = f"register {register} of store {code.store} is {stays[0]} already"
    if proven in stays:
        remedy = (
            "another machine goes on under that identity: make a code for the place where this one stands, or shut the "
            "other out with the code of tillside-central enrolment create --replace"
        )
    elif ANY in code.register:
        remedy = "say another, or let it be replaced by the code of tillside-central registers replace"
    else:
        remedy = (
            "another machine takes its place by the code of tillside-central enrolment create --replace; that machine "
            "itself comes in anew with tillside enroll --replace"
        )
    raise TokenRefusedError("place", f"{here}: {remedy}")


def _added(
    connection: Connection, request: EnrolRequest, judged: _Judged, now: datetime, randomness: Randomness
) -> Device:
    device = Device(
        id=f"d{randomness(DEVICE_ID_BYTES).hex()}",
        store=judged.code.store,
        register=judged.register,
        public_key=request.public_key,
        revoked=False,
        epoch=None,
    )
    connection.execute(
        insert(tables.devices).values(
            id=device.id,
            store=device.store,
            register=device.register,
            public_key=device.public_key,
            enrolled_at=now,
            last_contact=now,
            **devices.told_facts(request.facts),
        )
    )
    return device


def _shut_out(connection: Connection, device: str, proven: str | None) -> tuple[str, ...]:
    """Who is refused since a device came in: what that machine was before, and whose place its code gave away."""
    codes = tables.enrolments.c
    given = connection.execute(select(codes.replaces).where(codes.device == device)).scalar_one_or_none()
    itself = proven if proven is not None and devices.device_of(connection, proven).revoked else None
    return tuple(dict.fromkeys(one for one in (itself, given) if one is not None))


def _literal(pattern: str) -> str:
    """Only the asterisk stands for anything."""
    return pattern.replace("[", "[[]").replace("?", "[?]")
