"""Releases and who is offered them.

Owns their rows and the files that registers fetch. Which ring is next `central.rings` judges; what is signed
`central.release_folder` makes, which alone knows how and is imported by whoever signs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, Row, insert, select, update

from central import fleet, rings
from central.db import tables
from central.rings import Judgement, Ring
from central.texts import MAX_NAME_CHARS, one_line
from loyalty.receipt import AwareDatetime
from sync.program_versions import version_key
from sync.wire import GivenUp

# What a register says of releases that it gave up, so many and so long at most.
MAX_GIVEN_UP = 32
MAX_REASON_CHARS = 300
# What to do where a ring waits.
REMEDY = "`tillside update` and `tillside doctor` at its registers say why; the next ring begins with"


class ReleaseRefusedError(ValueError):
    """A release cannot be offered so. The message says what to do."""


class Release(Struct, frozen=True, kw_only=True):
    """One release: the ring that it has reached, since when, and why it goes no further if it does not.

    `stopped` is why it is offered to nobody else, `waits` for what its ring waits that may never come.
    """

    version: str
    ring: Ring
    entered_at: AwareDatetime
    soak_s: int
    canaries: tuple[str, ...]
    stopped: str | None
    runs: int = 0
    of: int = 0
    waits: str = ""


class ReleaseList(Struct, frozen=True, kw_only=True):
    """Newest first."""

    releases: tuple[Release, ...]


class Moved(Struct, frozen=True, kw_only=True):
    """What became of a release: it stopped, or began with a ring."""

    version: str
    ring: Ring
    stopped: str = ""


def release_file(folder: Path, kind: str, name: str) -> Path | None:
    """A file that a register asks for; None where there is none of that name."""
    path = folder / kind / name
    is_one = kind in ("metadata", "targets") and path.parent == folder / kind and not name.startswith(".")
    return path if is_one and path.is_file() else None


def offer(connection: Connection, version: str, canaries: Sequence[str], soak: timedelta, now: datetime) -> None:
    """Offers a release to its first ring. Raises ReleaseRefusedError."""
    version_key(version)
    stores = _stores(connection)
    unknown = [store for store in canaries if store not in stores]
    if unknown:
        raise ReleaseRefusedError(f"no register is enrolled in store {unknown[0]}; name stores that have some")
    if not canaries and not any(rings.takes(device, store, "canary", ()) for store, device in stores.items()):
        # A small chain: the first ring is the store of whoever stands first among all.
        canaries = sorted(stores, key=lambda store: rings.share_of(stores[store]))[:1]
    if _row(connection, version) is not None:
        raise ReleaseRefusedError(f"{version} was offered already: a version is released once, give the next one")
    connection.execute(
        insert(tables.releases).values(
            version=version,
            ring=rings.RINGS[0],
            entered_at=now,
            soak_s=int(soak.total_seconds()),
            canaries=msgspec.json.encode(list(canaries)).decode(),
        )
    )


def _stores(connection: Connection) -> dict[str, str]:
    """Of each store with registers in service, the one that stands first among all."""
    devices = tables.devices.c
    found: dict[str, str] = {}
    for row in connection.execute(select(devices.id, devices.store).where(devices.revoked_at.is_(None))):
        first = found.setdefault(row.store, row.id)
        found[row.store] = min(first, row.id, key=rings.share_of)
    return found


def stop(connection: Connection, version: str, reason: str) -> None:
    """Nobody else is offered it. Registers that run it run it on. Raises ReleaseRefusedError."""
    _named(connection, version)
    _change(connection, version, stopped=reason, told=reason, lost="[]", waits=None)


def go_on(connection: Connection, version: str, now: datetime) -> Ring:
    """Takes a stopped release up again in its ring, or lets one that runs begin with the next.

    Registers that gave it up or got worse are excused, and who is silent since before counts no more: somebody knows of
    them. Raises ReleaseRefusedError.
    """
    release = _named(connection, version)
    ring = release.ring
    if release.stopped is None:
        following = rings.after(ring)
        if following is None:
            raise ReleaseRefusedError(f"{version} is offered to all already")
        ring = following
    excused = _ids(one.id for one in _devices(_rows(connection), version) if one.gave_up or one.worse > 0)
    anew = {"entered_at": now, "stopped": None, "told": None, "waits": None, "lost": "[]"}
    _change(connection, version, ring=ring, excused=excused, **anew)
    return ring


def offered_to(connection: Connection, device: str, store: str) -> str | None:
    """The newest version that this register should run."""
    offered = [
        release.version
        for release in _releases(connection)
        if release.stopped is None and rings.takes(device, store, release.ring, release.canaries)
    ]
    return max(offered, key=version_key, default=None)


def listed(connection: Connection, now: datetime) -> ReleaseList:
    """All releases with how many registers of the ring run each."""
    told, rows = [], _rows(connection)
    for release in _releases(connection):
        judgement = _judged(connection, release, rows, now)
        waits = "" if release.stopped else judgement.waits
        told.append(replace(release, runs=judgement.runs, of=judgement.of, waits=waits))
    return ReleaseList(releases=tuple(sorted(told, key=lambda one: version_key(one.version), reverse=True)))


def move(connection: Connection, now: datetime) -> tuple[Moved, ...]:
    """Stops releases that do harm and lets those that do not go on to their next ring.

    One that stopped because registers were silent is taken up again once all of those speak, and run it: the shop was
    shut. Of those that come back with another version nobody knows what they went through.
    """
    moved, rows = [], _rows(connection)
    for release in _releases(connection):
        judgement, version = _judged(connection, release, rows, now), release.version
        following = rings.after(release.ring)
        if release.stopped is not None:
            if not judgement.stop and _are_back(connection, version, rows, now):
                _change(connection, version, stopped=None, told=None, lost="[]")
                moved.append(Moved(version=version, ring=release.ring))
        elif judgement.stop:
            _change(connection, version, stopped=judgement.stop, lost=_ids(judgement.lost), waits=None)
            moved.append(Moved(version=version, ring=release.ring, stopped=judgement.stop))
        elif judgement.on and following is not None:
            _change(connection, version, ring=following, entered_at=now, waits=None)
            moved.append(Moved(version=version, ring=following))
        elif judgement.is_long and not release.waits:  # once in a ring
            _change(connection, version, waits=judgement.waits)
    return tuple(moved)


def untold(connection: Connection) -> tuple[Release, ...]:
    """Those that stopped by themselves or get nowhere, and nobody was told."""
    rows = connection.execute(select(tables.releases))
    return tuple(_release(row) for row in rows if (row.stopped or row.waits) and row.told != (row.stopped or row.waits))


def keep_told(connection: Connection, told: Sequence[Release]) -> None:
    for release in told:
        _change(connection, release.version, told=release.stopped or release.waits)


def given_up(told: Sequence[GivenUp]) -> str:
    """What a register said as JSON, a bounded part of it."""
    bounded = [
        GivenUp(version=one_line(one.version, MAX_NAME_CHARS), reason=one_line(one.reason, MAX_REASON_CHARS))
        for one in told[-MAX_GIVEN_UP:]
    ]
    return msgspec.json.encode(bounded).decode()


def _judged(connection: Connection, release: Release, rows: Sequence[Any], now: datetime) -> Judgement:
    return rings.judged(
        release.version,
        release.ring,
        release.canaries,
        _devices(rows, release.version, _excused(connection, release.version)),
        since=release.entered_at,
        soak=timedelta(seconds=release.soak_s),
        now=now,
    )


def _excused(connection: Connection, version: str) -> frozenset[str]:
    """Registers that had given it up when somebody had it go on."""
    row = _row(connection, version)
    return frozenset(msgspec.json.decode(row.excused, type=list[str])) if row is not None else frozenset()


def _are_back(connection: Connection, version: str, rows: Sequence[Any], now: datetime) -> bool:
    """Whether a release stopped because of registers that were silent, and each of them runs it."""
    row = _row(connection, version)
    lost = frozenset(msgspec.json.decode(row.lost, type=list[str])) if row is not None else frozenset()
    well = {one.id for one in _devices(rows, version) if one.version == version and not _is_silent(one, now)}
    return bool(lost) and lost <= well


def _is_silent(one: rings.Device, now: datetime) -> bool:
    return one.last_contact is None or now - one.last_contact >= rings.SILENT_AFTER


def _ids(devices: Iterable[str]) -> str:
    return msgspec.json.encode(sorted(devices)).decode()


def _rows(connection: Connection) -> Sequence[Any]:
    """Registers in service."""
    devices = tables.devices.c
    return connection.execute(
        select(
            *(devices.id, devices.store, devices.version, devices.last_contact, devices.given_up),
            *(devices.state, devices.failed_before),
        ).where(devices.revoked_at.is_(None))
    ).all()


def _devices(rows: Sequence[Any], version: str, excused: Collection[str] = ()) -> list[rings.Device]:
    return [
        rings.Device(
            id=row.id,
            store=row.store,
            version=row.version,
            last_contact=row.last_contact,
            gave_up=_reason(row.given_up, version),
            excused=row.id in excused,
            worse=_newly_failing(row) if row.version == version else 0,
        )
        for row in rows
    ]


def _newly_failing(row: Any) -> int:
    """1 where something fails that did not before this version, -1 where what failed then does not any more."""
    state = fleet.state_of(row.state)
    if state is None or row.failed_before is None:
        return 0
    before, now = frozenset(msgspec.json.decode(row.failed_before, type=list[str])), fleet.failing_of(state)
    return 1 if now - before else -1 if before - now else 0


def _reason(given_up: str, version: str) -> str:
    if version not in given_up:
        return ""
    told = msgspec.json.decode(given_up, type=tuple[GivenUp, ...])
    return next((one.reason or "it did not say why" for one in told if one.version == version), "")


def _releases(connection: Connection) -> list[Release]:
    return [_release(row) for row in connection.execute(select(tables.releases))]


def _row(connection: Connection, version: str) -> Row[Any] | None:
    return connection.execute(select(tables.releases).where(tables.releases.c.version == version)).one_or_none()


def _named(connection: Connection, version: str) -> Release:
    row = _row(connection, version)
    if row is None:
        raise ReleaseRefusedError(f"{version} was never offered; `release list` shows what was")
    return _release(row)


def _release(row: Row[Any]) -> Release:
    canaries = tuple(msgspec.json.decode(row.canaries, type=list[str]))
    return Release(
        version=row.version,
        ring=row.ring,
        entered_at=row.entered_at,
        soak_s=row.soak_s,
        canaries=canaries,
        stopped=row.stopped,
        waits=row.waits or "",
    )


def _change(connection: Connection, version: str, **values: object) -> None:
    connection.execute(update(tables.releases).where(tables.releases.c.version == version).values(**values))
