"""Registers as the centre knows them: devices, epochs, contact.

Owns who may talk to the device API, once `central.enrolling` let it in. Never sees what a register sends in its
entries.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import UNSET, Struct
from sqlalchemy import Connection, Row, func, insert, select, update

from central import fleet, releases
from central.db import tables
from central.fleet import counted
from central.problems import DeviceRevokedError, RequestIdReusedError
from central.texts import MAX_NAME_CHARS, NameRefusedError, checked_name, one_line
from sync.records import chain_start
from sync.signing import MAX_ID_LENGTH
from sync.wire import MAX_ANNOUNCED, EpochRequest, Facts, HeartbeatRequest, HeldProgram

Randomness = Callable[[int], bytes]

EPOCH_BYTES = 16
# Facts and counts come from a register and are shown to people: kept to a size that fits a page.
MAX_FACT_CHARS = 120
# Why a register cannot use a program: a path, what is wrong there, and whose turn it is.
MAX_REFUSAL_CHARS = 500
# Why things are set aside at a register: more than there are reasons.
MAX_REASONS = 64
# What people are told of an epoch whose register did not know of entries that the centre has since.
NOT_FOLLOWED = "did not follow the newest epoch: two machines may share this identity, or its disk was restored"
# Machines that go on under one identity, each in an epoch of its own.
MAX_SHARED = 16
# A register repeats a request within seconds. A heartbeat replayed after this could change the shown queue depth, until
# the next honest one half a minute later, and nothing else: entries have their chain, epochs their own request id.
REQUEST_IDS_KEPT = timedelta(hours=1)
# Visible ASCII without `"` and `\`.
_ID = re.compile(rf"[!#-\[\]-~]{{1,{MAX_ID_LENGTH}}}")


class NotInServiceError(ValueError):
    """There is no such register, or it was revoked. The message says how to find one."""


class NotMovedError(ValueError):
    """A register cannot stand there. The message says why."""


class Device(Struct, frozen=True, kw_only=True):
    id: str
    store: str
    register: str
    public_key: str
    revoked: bool
    epoch: str | None
    version: str = ""
    state: str | None = None
    hours: str = "[]"
    log_until: datetime | None = None


def at_place(connection: Connection, store: str, register: str) -> str | None:
    """The device that stands there, and is not revoked; the newest of several."""
    columns = tables.devices.c
    here = (columns.store == store, columns.register == register, columns.revoked_at.is_(None))
    query = select(columns.id).where(*here).order_by(columns.enrolled_at.desc()).limit(1)
    found: str | None = connection.execute(query).scalar_one_or_none()
    return found


def find_device(connection: Connection, device_id: str) -> Device | None:
    query = select(tables.devices).where(tables.devices.c.id == device_id)
    row = connection.execute(query).one_or_none() if is_id(device_id) else None
    return None if row is None else _device(row)


def enrolled_at(connection: Connection, device: str) -> datetime | None:
    """When a device was enrolled; None for one that never was."""
    moment: datetime | None = connection.execute(
        select(tables.devices.c.enrolled_at).where(tables.devices.c.id == device)
    ).scalar_one_or_none()
    return moment


def locked_device(connection: Connection, device_id: str) -> Device:
    """The device, held against changes until the end of this transaction. Raises DeviceRevokedError."""
    row = connection.execute(
        select(tables.devices).where(tables.devices.c.id == device_id).with_for_update()
    ).one_or_none()
    device = None if row is None else _device(row)
    if device is None or device.revoked:
        raise DeviceRevokedError("enrol the register again with a new code")
    return device


def device_of(connection: Connection, device_id: str) -> Device:
    """The device, revoked or not; it must be there."""
    return _device(connection.execute(select(tables.devices).where(tables.devices.c.id == device_id)).one())


def revoke(connection: Connection, device_id: str, now: datetime) -> bool:
    """Refuse a device from now on. False where there is no such device."""
    found = connection.execute(
        update(tables.devices)
        .where(tables.devices.c.id == device_id, tables.devices.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )
    return found.rowcount == 1 or find_device(connection, device_id) is not None


def move(connection: Connection, device_id: str, store: str, register: str) -> None:
    """Let a device stand elsewhere; it hears of it with its next heartbeat. Raises NotMovedError."""
    device = find_device(connection, device_id)
    if device is None or device.revoked:
        raise NotMovedError(f"no device {device_id} is in service; `tillside-central registers list` shows them")
    try:
        checked_name(store, "store")
        checked_name(register, "register")
    except NameRefusedError as error:
        raise NotMovedError(str(error)) from error
    there = at_place(connection, store, register)
    if there not in (None, device_id):
        raise NotMovedError(f"register {register} of store {store} is {there}; revoke that one, or name another place")
    put_at(connection, device_id, store, register)


def log_more(connection: Connection, device_id: str, until: datetime | None) -> None:
    """Have the register's log say everything until then; None: what matters. Raises NotInServiceError."""
    device = find_device(connection, device_id)
    if device is None or device.revoked:
        raise NotInServiceError(f"no device {device_id} is in service; `tillside-central registers list` shows them")
    connection.execute(update(tables.devices).where(tables.devices.c.id == device_id).values(log_until=until))


def put_at(connection: Connection, device_id: str, store: str, register: str) -> None:
    """The same without a look at who stands there."""
    connection.execute(
        update(tables.devices).where(tables.devices.c.id == device_id).values(store=store, register=register)
    )


def revoked_devices(connection: Connection) -> frozenset[str]:
    return frozenset(
        connection.execute(select(tables.devices.c.id).where(tables.devices.c.revoked_at.is_not(None))).scalars()
    )


def first_use(connection: Connection, device: str, request_id: str, fingerprint: str, now: datetime) -> bool:
    """Whether this request id is new. Raises RequestIdReusedError when it stood for another request."""
    known = connection.execute(
        select(tables.requests.c.fingerprint).where(
            tables.requests.c.device == device, tables.requests.c.request_id == request_id
        )
    ).scalar_one_or_none()
    if known == fingerprint:
        return False
    if known is not None:
        raise RequestIdReusedError("make a fresh random Tillside-Request-Id for every new request")
    connection.execute(
        insert(tables.requests).values(device=device, request_id=request_id, fingerprint=fingerprint, received_at=now)
    )
    return True


def forget_old_requests(connection: Connection, now: datetime) -> None:
    connection.execute(tables.requests.delete().where(tables.requests.c.received_at < now - REQUEST_IDS_KEPT))


def open_epoch(
    connection: Connection,
    device: Device,
    request: EpochRequest,
    *,
    request_id: str,
    now: datetime,
    randomness: Randomness,
) -> str:
    """A new live epoch for the device; the one before it is fenced. A retry gets the epoch it opened."""
    opened = connection.execute(
        select(tables.epochs.c.epoch).where(
            tables.epochs.c.device == device.id, tables.epochs.c.request_id == request_id
        )
    ).scalar_one_or_none()
    if opened is not None:
        return str(opened)
    epoch = randomness(EPOCH_BYTES).hex()
    note = _epoch_note(connection, device, request)
    if note == NOT_FOLLOWED and (is_shared(connection, device.id) or _displaced_another(connection, device)):
        _close_all_but_newest(connection, device, now)
    elif not is_shared(connection, device.id):
        close_epoch(connection, device, now)
    connection.execute(
        insert(tables.epochs).values(
            epoch=epoch,
            device=device.id,
            request_id=request_id,
            opened_at=now,
            acked_through=0,
            chain_hash=chain_start(device.id, epoch).hex(),
            note=note,
        )
    )
    connection.execute(
        update(tables.devices)
        .where(tables.devices.c.id == device.id)
        .values(epoch=epoch, last_contact=now, **told_facts(request.facts))
    )
    return epoch


def close_epoch(connection: Connection, device: Device, now: datetime) -> None:
    """Fence all live epochs of the device; it has one, unless it is shared."""
    connection.execute(
        update(tables.epochs)
        .where(tables.epochs.c.device == device.id, tables.epochs.c.closed_at.is_(None))
        .values(closed_at=now)
    )
    connection.execute(update(tables.devices).where(tables.devices.c.id == device.id).values(epoch=None))


def is_shared(connection: Connection, device: str) -> bool:
    """Whether machines that alternate under this identity have a live epoch each, and what they send is on hold."""
    return device in shared_devices(connection, device)


def shared_devices(connection: Connection, device: str | None = None) -> frozenset[str]:
    """Devices with more than one live epoch: this one, or all."""
    epochs = tables.epochs.c
    query = select(epochs.device).where(epochs.closed_at.is_(None)).group_by(epochs.device).having(func.count() > 1)
    return frozenset(connection.execute(query if device is None else query.where(epochs.device == device)).scalars())


def is_id(text: str) -> bool:
    """Whether a text can be the id of a device or an epoch; no database is asked for what cannot, such as a NUL."""
    return _ID.fullmatch(text) is not None


def is_live(connection: Connection, device: str, epoch: str) -> bool:
    """Whether a device may go on in this epoch."""
    return mark_of(connection, device, epoch) is not None


def mark_of(connection: Connection, device: str, epoch: str) -> int | None:
    """The number through which a device's entries of this epoch are here; None where it has ended, or is not its."""
    epochs = tables.epochs.c
    query = select(epochs.acked_through).where(
        epochs.epoch == epoch, epochs.device == device, epochs.closed_at.is_(None)
    )
    return connection.execute(query).scalar_one_or_none() if is_id(epoch) else None


def live_epochs(connection: Connection) -> frozenset[tuple[str, str]]:
    """Each device in service that one machine uses, with its live epoch."""
    columns, shared = tables.devices.c, shared_devices(connection)
    query = select(columns.id, columns.epoch).where(columns.revoked_at.is_(None), columns.epoch.is_not(None))
    return frozenset((row.id, row.epoch) for row in connection.execute(query) if row.id not in shared)


def heard_since(connection: Connection, since: datetime) -> frozenset[str]:
    """The devices that were in contact after this moment."""
    columns = tables.devices.c
    return frozenset(connection.execute(select(columns.id).where(columns.last_contact > since)).scalars())


def stores_of(connection: Connection) -> dict[str, str]:
    """The store in which each device is or was."""
    columns = tables.devices.c
    return {row.id: row.store for row in connection.execute(select(columns.id, columns.store))}


def places_of(connection: Connection) -> dict[str, str]:
    """Where each device is or was, as people name it: `store/register`."""
    columns = tables.devices.c
    rows = connection.execute(select(columns.id, columns.store, columns.register))
    return {row.id: f"{row.store}/{row.register}" for row in rows}


def successors(connection: Connection, live: Collection[str]) -> dict[str, str]:
    """By device, which of these stands in its place now: itself, or the newest that was enrolled there."""
    columns = tables.devices.c
    rows = connection.execute(select(columns.id, columns.store, columns.register).order_by(columns.enrolled_at)).all()
    newest = {(row.store, row.register): row.id for row in rows if row.id in live}
    found = {row.id: newest.get((row.store, row.register)) for row in rows}
    return {device: device if device in live else place for device, place in found.items() if place is not None}


def release(connection: Connection, device_id: str, now: datetime) -> bool:
    """One machine is left under this identity: all its epochs are fenced, and it opens one that is alone.

    False where the device is not shared. What is on hold is applied by `central.quarantine`.
    """
    device = find_device(connection, device_id)
    if device is None or not is_shared(connection, device_id):
        return False
    close_epoch(connection, device, now)
    return True


def _displaced_another(connection: Connection, device: Device) -> bool:
    """Whether the live epoch itself did not follow the one before it: two machines displace each other."""
    live = connection.execute(
        select(tables.epochs.c.note).where(tables.epochs.c.epoch == device.epoch, tables.epochs.c.device == device.id)
    ).scalar_one_or_none()
    return live == NOT_FOLLOWED


def _close_all_but_newest(connection: Connection, device: Device, now: datetime) -> None:
    """Let each machine go on in an epoch of its own, a bounded number of them."""
    epochs = tables.epochs.c
    live = connection.execute(
        select(epochs.epoch)
        .where(epochs.device == device.id, epochs.closed_at.is_(None))
        .order_by(epochs.opened_at.desc(), epochs.epoch)
    ).scalars()
    for epoch in list(live)[MAX_SHARED - 1 :]:
        connection.execute(update(tables.epochs).where(epochs.epoch == epoch).values(closed_at=now))


def heartbeat(connection: Connection, device: Device, request: HeartbeatRequest, now: datetime) -> None:
    connection.execute(
        update(tables.devices)
        .where(tables.devices.c.id == device.id)
        .values(
            version=_version(request.version),
            queued=counted(request.queued),
            quarantined=counted(request.quarantined),
            quarantine_reasons=_reasons(request.reasons or {}),
            programs=_programs(request.programs or ()),
            templates_refused=one_line(request.templates_refused or "", MAX_REFUSAL_CHARS) or None,
            given_up=releases.given_up(request.given_up or ()),
            oldest_queued_at=None if request.oldest_queued_at is UNSET else request.oldest_queued_at,
            last_contact=now,
            **fleet.failed_before(device.version, device.state, request),
            **fleet.heard(device.state, device.hours, request, now),
        )
    )


def _programs(told: Sequence[HeldProgram]) -> str:
    """What a register said of programs as JSON, a bounded number of them."""
    bounded = [
        one
        if one.refused is UNSET
        else HeldProgram(program=one.program, refused=one_line(one.refused, MAX_REFUSAL_CHARS))
        for one in told[:MAX_ANNOUNCED]
    ]
    return msgspec.json.encode(bounded).decode()


def _reasons(told: dict[str, int]) -> str:
    """Counts by reason as JSON, the greatest first, a bounded number of them."""
    greatest = sorted(told.items(), key=lambda one: (-one[1], one[0]))[:MAX_REASONS]
    return msgspec.json.encode({_fact(reason): counted(count) for reason, count in greatest}).decode()


def _epoch_note(connection: Connection, device: Device, request: EpochRequest) -> str | None:
    """What people should know of how the last epoch ended, seen from both sides."""
    if device.epoch is None and request.previous is UNSET:
        return None
    if request.previous is UNSET:
        return "opened without naming the epoch before it: the register lost its store, or was cloned"
    epochs = tables.epochs.c
    query = select(epochs.acked_through, epochs.chain_hash, epochs.opened_at).where(
        epochs.epoch == request.previous, epochs.device == device.id
    )
    before = connection.execute(query).one_or_none() if is_id(request.previous) else None
    if before is None:
        return "names an epoch before it that this centre does not know"
    if before.opened_at < _newest_used(connection, device):
        return NOT_FOLLOWED
    if request.through < before.acked_through:
        return f"the register ended at {request.through}, the centre holds {before.acked_through}: a restored backup"
    if request.through == before.acked_through and request.hash not in (UNSET, before.chain_hash):
        return f"the register's chain differs at {request.through}: a restored backup or a clone"
    return None


def _newest_used(connection: Connection, device: Device) -> datetime:
    """When the newest epoch that took an entry was opened. One whose answer was lost took none, and says nothing."""
    epochs = tables.epochs.c
    moment: datetime | None = connection.execute(
        select(func.max(epochs.opened_at)).where(epochs.device == device.id, epochs.acked_through > 0)
    ).scalar_one()
    return moment or datetime.min.replace(tzinfo=UTC)


def told_facts(facts: Facts) -> dict[str, Any]:
    """The columns that hold what a register says of itself, each to a size that fits a page."""
    return {
        "version": _version(facts.version),
        "platform": _fact(facts.platform),
        "hostname": None if facts.hostname is UNSET else _fact(facts.hostname),
    }


def _version(text: str) -> str:
    return one_line(text, MAX_NAME_CHARS)


def _fact(text: str) -> str:
    return one_line(text, MAX_FACT_CHARS)


def _device(row: Row[Any]) -> Device:
    return Device(
        id=row.id,
        store=row.store,
        register=row.register,
        public_key=row.public_key,
        revoked=row.revoked_at is not None,
        epoch=row.epoch,
        version=row.version,
        state=row.state,
        hours=row.hours,
        log_until=row.log_until,
    )
