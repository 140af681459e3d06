"""How registers are, as far as the centre can tell: what they say of themselves, their last day, what is wrong.

Owns what is kept of a heartbeat for people, and the judgement that pages and alerts share. Never asks a register: it
reads what the last heartbeat left in the device's row.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct

from central.texts import MAX_NAME_CHARS, one_line
from sync.wire import (
    MAX_REASONS_TOLD,
    MAX_TOLD_CHARS,
    MAX_WORKERS_TOLD,
    HeartbeatRequest,
    RegisterState,
    WorkerState,
)

# Hours that are kept of a register: a day, the one under way among them.
HOURS: Final = 24
HOUR: Final = timedelta(hours=1)
MAX_COUNT: Final = 2**31 - 1

# A register says something every half minute; without a word for this long it is offline.
ONLINE_FOR: Final = timedelta(seconds=90)
# So long offline is no hiccup of a network any more.
SILENT_AFTER: Final = timedelta(minutes=15)
# A register that is heard sends within seconds what waits there.
WAITS_AFTER: Final = timedelta(minutes=15)
# A receipt's time is the till's; scans go by the register's. Offset by more, they are matched to the wrong minute.
CLOCK_AHEAD: Final = timedelta(minutes=1)


class Hour(Struct, frozen=True, array_like=True):
    """An hour since 1970 of one register: the most that waited there, and the receipts that it had."""

    hour: int
    queued: int = 0
    receipts: int = 0


class Trouble(Struct, frozen=True, kw_only=True):
    """What is wrong with a register, and what to do; `remedy` is empty where `what` says it in the register's words."""

    what: str
    remedy: str = ""


class Seen(Struct, frozen=True, kw_only=True):
    """A register in service as its device's row has it, with what is known of it from elsewhere.

    `refused` is what it says of programs that it cannot use.
    """

    last_contact: datetime | None
    queued: int
    oldest_queued_at: datetime | None
    clock_ahead_ms: int | None
    state: RegisterState | None
    quarantined: int
    templates_refused: str | None
    shared: bool = False
    refused: tuple[str, ...] = ()


def heard(state: str | None, hours: str, request: HeartbeatRequest, now: datetime) -> Mapping[str, Any]:
    """The columns of a device's row after a heartbeat, from those before it."""
    told = None if request.state is UNSET else _bounded(request.state)
    ahead = None if request.sent_at is UNSET else (request.sent_at - now) // timedelta(milliseconds=1)
    more = 0 if told is None else _more_receipts(state_of(state), told)
    return {
        "state": None if told is None else msgspec.json.encode(told).decode(),
        "clock_ahead_ms": None if ahead is None else max(-MAX_COUNT, min(ahead, MAX_COUNT)),
        "hours": msgspec.json.encode(after(hours_of(hours), now, counted(request.queued), more)).decode(),
    }


def failing_of(state: RegisterState) -> frozenset[str]:
    """Workers that fail, but for the exchange with the centre: that is the network's."""
    return frozenset(
        f"{one.kind} {one.name}" for one in state.workers if one.condition == "failing" and one.kind != "sync"
    )


def failed_before(version: str, state: str | None, request: HeartbeatRequest) -> Mapping[str, Any]:
    """The column that says what failed before the version that it tells of now; none where that is the same."""
    if request.version == version:
        return {}
    before = state_of(state)
    return {"failed_before": None if before is None else msgspec.json.encode(sorted(failing_of(before))).decode()}


def after(hours: tuple[Hour, ...], now: datetime, queued: int, receipts: int) -> tuple[Hour, ...]:
    """The last day's hours, the oldest first, once so much waits and so many receipts more were heard of."""
    this = hour_of(now)
    kept = [one for one in hours if this - HOURS < one.hour < this]
    under_way = next((one for one in hours if one.hour == this), Hour(this))
    return (*kept, Hour(this, max(under_way.queued, queued), under_way.receipts + receipts))


def hour_of(moment: datetime) -> int:
    return int(moment.timestamp() // HOUR.total_seconds())


def hours_of(text: str) -> tuple[Hour, ...]:
    return msgspec.json.decode(text, type=tuple[Hour, ...])


def state_of(text: str | None) -> RegisterState | None:
    return None if text is None else msgspec.json.decode(text, type=RegisterState)


def counted(value: int) -> int:
    """A count that a register tells, as the database can hold it."""
    return min(max(value, 0), MAX_COUNT)


def is_online(last_contact: datetime | None, now: datetime) -> bool:
    return last_contact is not None and now - last_contact < ONLINE_FOR


def silent_for(last_contact: datetime | None, now: datetime) -> timedelta | None:
    """How long nothing was heard of a register; None where that is not long, or nothing ever was."""
    span = timedelta(0) if last_contact is None else now - last_contact
    return span if span >= SILENT_AFTER else None


def is_off(clock_ahead_ms: int | None) -> bool:
    return clock_ahead_ms is not None and abs(clock_ahead_ms) >= CLOCK_AHEAD / timedelta(milliseconds=1)


def troubles(seen: Seen, now: datetime) -> tuple[Trouble, ...]:
    """All that is wrong, the gravest first. Of a silent register what it said last is kept back: it may be over."""
    found = []
    if seen.shared:
        found.append(
            Trouble(what="two machines alternate under this identity", remedy="enrol one of them anew; until then "
                    "what they send is on hold")
        )  # fmt: skip
    silence = silent_for(seen.last_contact, now)
    if silence is not None:
        remedy = "see whether the machine is on and has a network; `tillside doctor` there says what is wrong"
        return (*found, Trouble(what=f"nothing heard for {spoken(silence)}", remedy=remedy))
    found += _of_its_queue(seen, now) + _of_its_clock(seen)
    found += [Trouble(what=f"refused program {why}") for why in seen.refused]
    if seen.state is None and seen.templates_refused:
        found.append(Trouble(what=f"templates refused: {seen.templates_refused}"))
    if seen.state is None and seen.quarantined:
        found.append(Trouble(what=f"{seen.quarantined} in quarantine", remedy="`tillside queue list` there shows them"))
    if seen.state is not None:
        found += [Trouble(what=reason) for reason in seen.state.reasons]
    return tuple(found)


def spoken(span: timedelta) -> str:
    """A span in the one unit that people would say."""
    seconds = max(int(span.total_seconds()), 0)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _of_its_queue(seen: Seen, now: datetime) -> list[Trouble]:
    waits = None if seen.oldest_queued_at is None or not seen.queued else now - seen.oldest_queued_at
    if waits is None or waits < WAITS_AFTER:
        return []
    remedy = "it is heard, so something refuses them: `tillside doctor` there, and the centre's quarantine"
    return [Trouble(what=f"{seen.queued} waiting for {spoken(waits)}", remedy=remedy)]


def _of_its_clock(seen: Seen) -> list[Trouble]:
    if seen.clock_ahead_ms is None or not is_off(seen.clock_ahead_ms):
        return []
    span = spoken(timedelta(milliseconds=abs(seen.clock_ahead_ms)))
    remedy = "let the machine set its clock by the network: `timedatectl set-ntp true`"
    return [Trouble(what=f"its clock is {span} {'ahead' if seen.clock_ahead_ms > 0 else 'behind'}", remedy=remedy)]


def _more_receipts(before: RegisterState | None, told: RegisterState) -> int:
    """Receipts since the heartbeat before; a new day begins from none."""
    if before is None:
        return 0
    return told.receipts - before.receipts if told.receipts >= before.receipts else told.receipts


def _bounded(told: RegisterState) -> RegisterState:
    return RegisterState(
        verdict=one_line(told.verdict, MAX_NAME_CHARS),
        reasons=tuple(one_line(reason, MAX_TOLD_CHARS) for reason in told.reasons[:MAX_REASONS_TOLD]),
        workers=tuple(
            WorkerState(
                kind=one_line(one.kind, MAX_NAME_CHARS),
                name=one_line(one.name, MAX_NAME_CHARS),
                condition=one_line(one.condition, MAX_NAME_CHARS),
            )
            for one in told.workers[:MAX_WORKERS_TOLD]
        ),
        scans=counted(told.scans),
        receipts=counted(told.receipts),
    )
