"""The fleet: every register with how it is, narrowed by store, version or what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import asdict, replace
from sqlalchemy import Connection, select

from central import fleet, releases, rings
from central.admin.views.programs import HeldHere, held_by_device
from central.admin.views.shown import ROWS_SHOWN, Zone, names, natural
from central.db import tables
from central.fleet import HOURS, Hour, Trouble
from central.fleet_rows import Known, known
from central.rings import Ring
from sync.wire import WorkerState

RELEASES_SHOWN: Final = 3
IN_WORDS: Final[Mapping[Ring, str]] = {"canary": "the first registers", "tenth": "a tenth", "all": "all"}
UNTOLD: Final = HeldHere(hash="", behind=False, refused=())
# Two clocks, and the way between them: less than this is no difference that a page could show.
CLOCK_EVEN: Final = timedelta(seconds=2)
# The drawing of a day: an hour is so many pixels wide with the gap after it, and the highest bar so high.
HOUR_PX: Final = 4
HIGH_PX: Final = 28
# A queue shorter than this, or fewer receipts an hour, do not fill the drawing.
LONG_QUEUE: Final = 20
BUSY: Final = 10


class Bar(Struct, frozen=True, kw_only=True):
    x: int
    y: int
    height: int


class Spark(Struct, frozen=True, kw_only=True):
    """The last day drawn: bars of receipts, the line of the queue as SVG points; and both said in words."""

    width: int
    height: int
    bars: tuple[Bar, ...]
    line: str
    words: str


class FleetRow(Struct, frozen=True, kw_only=True):
    """`state` is online, offline, silent or revoked; `scans` and `receipts` are empty where the register tells none.

    `clock` says how far its clock is off; empty where it does not tell.
    """

    device: str
    store: str
    register: str
    state: str
    since: str
    last_contact: str
    version: str
    queued: int
    queued_since: str
    spark: Spark
    clock: str
    clock_is_off: bool
    workers: tuple[WorkerState, ...]
    scans: str
    receipts: str
    program: HeldHere
    troubles: tuple[Trouble, ...]
    notes: tuple[str, ...]


class Wanted(Struct, frozen=True, kw_only=True):
    """What the page is narrowed to. `show` is `problems` or `revoked`; empty is all in service.

    `q` is a register's number, `store/number`, or how its device's id begins. `page` counts from 1.
    """

    store: str = ""
    version: str = ""
    show: str = ""
    q: str = ""
    page: int = 1


class Tally(Struct, frozen=True, kw_only=True):
    """Of all registers in service, whatever the page is narrowed to."""

    registers: int
    online: int
    silent: int
    troubled: int
    queued: int
    scans: int
    receipts: int


class ReleaseRow(Struct, frozen=True, kw_only=True):
    """A release: its ring in words, how many of the ring run it, why it stopped, or for what it waits in vain."""

    version: str
    ring: str
    since: str
    runs: int
    of: int
    stopped: str
    waits: str
    is_last: bool


class FleetPage(Struct, frozen=True, kw_only=True):
    """Those with problems stand first. Of `found` rows this page shows those from the `first`, counted from 1, on.

    `before` and `after` are the addresses of the pages beside it, empty where there is none.
    """

    as_of: str
    wanted: Wanted
    tally: Tally
    stores: tuple[str, ...]
    versions: tuple[str, ...]
    rows: tuple[FleetRow, ...]
    found: int
    first: int
    before: str
    after: str
    releases: tuple[ReleaseRow, ...]


class _Judged(Struct, frozen=True, kw_only=True):
    one: Known
    troubles: tuple[Trouble, ...]


def fleet_page(connection: Connection, wanted: Wanted, now: datetime) -> FleetPage:
    judged = _judged(connection, now)
    in_service = [each for each in judged if not each.one.revoked]
    chosen = sorted((each for each in judged if _is_wanted(each, wanted)), key=_place)
    page = max(1, min(wanted.page, -(-len(chosen) // ROWS_SHOWN)))  # registers may have become fewer
    first, end = (page - 1) * ROWS_SHOWN, page * ROWS_SHOWN
    return FleetPage(
        as_of=Zone(connection).text(now),
        wanted=wanted,
        tally=_tally(in_service, now),
        stores=names(each.one.store for each in in_service),
        versions=names(each.one.version for each in in_service)[::-1],
        rows=_rows(connection, chosen[first:end], now),
        found=len(chosen),
        first=first + 1,
        before=_address(wanted, page - 1) if page > 1 else "",
        after=_address(wanted, page + 1) if end < len(chosen) else "",
        releases=_releases(connection, now),
    )


def _address(wanted: Wanted, page: int) -> str:
    asked = {name: value for name, value in asdict(replace(wanted, page=page)).items() if value}
    return f"/fleet?{urlencode(asked)}"


def fleet_tally(connection: Connection, now: datetime) -> Tally:
    return _tally([each for each in _judged(connection, now) if not each.one.revoked], now)


def _judged(connection: Connection, now: datetime) -> list[_Judged]:
    return [
        _Judged(one=one, troubles=() if one.revoked else fleet.troubles(one.seen, now)) for one in known(connection)
    ]


def _is_wanted(each: _Judged, wanted: Wanted) -> bool:
    if each.one.revoked != (wanted.show == "revoked") or (wanted.show == "problems" and not each.troubles):
        return False
    if wanted.q and not _is_meant(each.one, wanted.q.strip().casefold()):
        return False
    return wanted.store in ("", each.one.store) and wanted.version in ("", each.one.version)


def _is_meant(one: Known, text: str) -> bool:
    place = f"{one.store}/{one.register}".casefold()
    return text in (one.register.casefold(), place, place.replace("/", " / ")) or one.device.startswith(text)


def _place(each: _Judged) -> tuple[bool, list[str | int], list[str | int]]:
    """Problems first, then by store and register."""
    return not each.troubles, natural(each.one.store), natural(each.one.register)


def _tally(in_service: Sequence[_Judged], now: datetime) -> Tally:
    seen = [each.one.seen for each in in_service]
    told = [one.state for one in seen if one.state is not None]
    return Tally(
        registers=len(seen),
        online=sum(fleet.is_online(one.last_contact, now) for one in seen),
        silent=sum(fleet.silent_for(one.last_contact, now) is not None for one in seen),
        troubled=sum(bool(each.troubles) for each in in_service),
        queued=sum(one.queued for one in seen),
        scans=sum(one.scans for one in told),
        receipts=sum(one.receipts for one in told),
    )


def _rows(connection: Connection, chosen: Sequence[_Judged], now: datetime) -> tuple[FleetRow, ...]:
    devices = [each.one.device for each in chosen]
    zone, held = Zone(connection), held_by_device(connection, devices, now)
    epochs = _epoch_notes(connection, devices)
    return tuple(
        _row(each, held.get(each.one.device, UNTOLD), _notes(each.one, epochs[each.one.device]), zone, now)
        for each in chosen
    )


def _row(each: _Judged, program: HeldHere, notes: tuple[str, ...], zone: Zone, now: datetime) -> FleetRow:
    one, seen = each.one, each.one.seen
    return FleetRow(
        device=one.device,
        store=one.store,
        register=one.register,
        state=_state(one, now),
        since="" if seen.last_contact is None else fleet.spoken(now - seen.last_contact),
        last_contact=zone.text(seen.last_contact),
        version=one.version,
        queued=seen.queued,
        queued_since=fleet.spoken(now - seen.oldest_queued_at) if seen.queued and seen.oldest_queued_at else "",
        spark=spark(fleet.hours_of(one.hours), now),
        clock=_clock(seen.clock_ahead_ms),
        clock_is_off=fleet.is_off(seen.clock_ahead_ms),
        workers=() if seen.state is None else seen.state.workers,
        scans="" if seen.state is None else str(seen.state.scans),
        receipts="" if seen.state is None else str(seen.state.receipts),
        program=program,
        troubles=each.troubles,
        notes=notes,
    )


def _state(one: Known, now: datetime) -> str:
    if one.revoked:
        return "revoked"
    if fleet.is_online(one.seen.last_contact, now):
        return "online"
    return "offline" if fleet.silent_for(one.seen.last_contact, now) is None else "silent"


def _clock(ahead_ms: int | None) -> str:
    if ahead_ms is None:
        return ""
    ahead = timedelta(milliseconds=ahead_ms)
    if abs(ahead) < CLOCK_EVEN:
        return "±0 s"
    return f"{'+' if ahead_ms > 0 else '−'}{fleet.spoken(abs(ahead))}"


def spark(hours: Sequence[Hour], now: datetime) -> Spark:
    """Bars to the busiest hour, the line to the longest queue: each has a scale of its own."""
    first = fleet.hour_of(now) - HOURS + 1
    told = {one.hour: one for one in hours if one.hour >= first}
    day = [told.get(first + place, Hour(first + place)) for place in range(HOURS)]
    receipts, queued = max(one.receipts for one in day), max(one.queued for one in day)
    heights = [_high(one.receipts, max(receipts, BUSY)) for one in day]
    bars = tuple(
        Bar(x=place * HOUR_PX, y=HIGH_PX - height, height=height) for place, height in enumerate(heights) if height
    )
    line = " ".join(
        f"{place * HOUR_PX + HOUR_PX // 2},{HIGH_PX - _high(one.queued, max(queued, LONG_QUEUE))}"
        for place, one in enumerate(day)
    )
    words = f"Last 24 hours: {sum(one.receipts for one in day)} receipts, {receipts} in the busiest hour; "
    words += f"at most {queued} waiting" if queued else "nothing waiting"
    return Spark(width=HOURS * HOUR_PX, height=HIGH_PX, bars=bars, line=line if queued else "", words=words)


def _high(value: int, most: int) -> int:
    """Anything at all is seen."""
    return max(1, value * (HIGH_PX - 1) // most) if value else 0


def _releases(connection: Connection, now: datetime) -> tuple[ReleaseRow, ...]:
    zone = Zone(connection)
    return tuple(
        ReleaseRow(
            version=one.version,
            ring=IN_WORDS[one.ring],
            since=zone.text(one.entered_at),
            runs=one.runs,
            of=one.of,
            stopped=one.stopped or "",
            waits=one.waits,
            is_last=rings.after(one.ring) is None,
        )
        for one in releases.listed(connection, now).releases[:RELEASES_SHOWN]
    )


def _epoch_notes(connection: Connection, shown: Sequence[str]) -> dict[str, list[str | None]]:
    """What was odd of how each epoch of these registers began, the oldest first."""
    epochs = tables.epochs.c
    notes: dict[str, list[str | None]] = {device: [] for device in shown}
    for row in connection.execute(
        select(epochs.device, epochs.note).where(epochs.device.in_(shown)).order_by(epochs.opened_at)
    ):
        notes[row.device].append(row.note)
    return notes


def _notes(one: Known, epochs: Sequence[str | None]) -> tuple[str, ...]:
    """What is worth knowing and no problem now."""
    several = [f"{len(epochs)} epochs"] if len(epochs) > 1 else []
    odd = [note for note in epochs if note][-1:]
    return (*several, *odd, *(f"gave up {told.version}: {told.reason}" for told in one.given_up))
