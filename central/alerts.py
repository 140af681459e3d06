"""Which registers people are told of: those that became silent, have a problem, or are well again; each once.

Owns what counts as news and the words of it. Pure but for the columns that say what was told. Never sends anything:
`central.alerting` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, bindparam, select, update

from central import fleet
from central.db import tables
from central.fleet import Seen
from central.fleet_rows import Known

Standing = Literal["well", "problem", "silent"]

# What does not last is not told: a scanner that is plugged in again, a network's hiccup, a centre that starts.
LASTS: Final = timedelta(minutes=5)
# A register that was told to be unwell, and then otherwise, is told otherwise again only where that lasts twice as long
# as the time before, and no longer than this: who goes back and forth gives a few messages a day, not hundreds.
MOST_LASTS: Final = timedelta(hours=4)
# Without a message for so long, it is as if there had been none.
CALM: Final = timedelta(days=1)
# Since when it is open where nobody said when it is shut.
ALWAYS: Final = datetime.min.replace(tzinfo=UTC)
# When a line is cut, thousands are silent at once: a message names so many and counts the others.
MAX_NAMED: Final = 50
_WORDS: Final[Mapping[Standing, str]] = {"silent": "silent", "problem": "with a problem", "well": "well again"}


class Alert(Struct, frozen=True, kw_only=True):
    """One register whose standing changed; `said` are its problems, each with what to do."""

    standing: Standing
    device: str
    store: str
    register: str
    said: tuple[str, ...] = ()


class Message(Struct, frozen=True, kw_only=True):
    """What is sent at once: `text` says all of it, `alerts` the same one by one, `more` how many are not named."""

    text: str
    alerts: tuple[Alert, ...]
    more: int = 0

    @property
    def subject(self) -> str:
        return self.text.partition("\n")[0]


class _Differs(Struct, frozen=True, kw_only=True):
    """How a register differs from what was told of it.

    `heard` is what it says itself, `since` when, and `silent_since` since when it says nothing; each None while it is
    not so. What was heard stands while the register is silent or is heard only now and then.
    """

    heard: Standing | None = None
    since: datetime | None = None
    silent_since: datetime | None = None

    def became(self, standing: Standing) -> datetime | None:
        return self.silent_since if standing == "silent" else self.since


class _Turns(Struct, frozen=True, kw_only=True):
    """How often a register that was told to be unwell was told to be otherwise, and when last."""

    count: int
    last: datetime

    @property
    def lasts(self) -> timedelta:
        """How long it must be otherwise before that is told again."""
        return min(LASTS * (1 << min(self.count, 16)), MOST_LASTS)


class Watch:
    """Since when each register differs from what was told of it. Forgotten with the process: then it begins anew."""

    def __init__(self) -> None:
        self._differs: dict[str, _Differs] = {}
        self._turns: dict[str, _Turns] = {}

    def news(
        self,
        registers: Iterable[Known],
        told: Mapping[str, Standing],
        silent_after: timedelta,
        now: datetime,
        open_since: datetime | None = ALWAYS,
    ) -> tuple[Alert, ...]:
        """Registers that differed from what was told for long enough; `open_since` is None while shops are shut."""
        self._turns = {device: turns for device, turns in self._turns.items() if now - turns.last < CALM}
        still: dict[str, _Differs] = {}
        alerts = []
        for one in registers:
            if one.revoked:
                continue
            was = told.get(one.device, "well")
            standing = standing_of(one.seen, silent_after, now, open_since)
            is_lately = one.seen.last_contact is not None and now - one.seen.last_contact < silent_after
            differs = _differing(self._differs.get(one.device), standing, was, is_lately=is_lately, now=now)
            if differs is None:
                continue
            turns = self._turns.get(one.device, _Turns(count=0, last=now))
            lasts = LASTS if was == "well" else turns.lasts
            began = None if standing is None else differs.became(standing)
            if standing is None or began is None or now - began < lasts:
                still[one.device] = differs
                continue
            if was != "well":
                turns = self._turns[one.device] = _Turns(count=turns.count + 1, last=now)
            alerts.append(_alert(one, standing, now, back_and_forth=turns))
        self._differs = still
        return tuple(alerts)


def _differing(
    before: _Differs | None, standing: Standing | None, told: Standing, *, is_lately: bool, now: datetime
) -> _Differs | None:
    """How it differs after one more look; None where it does not, or where nobody has known for long."""
    if standing == told:
        return None
    if standing is None:  # not heard just now
        return replace(before, silent_since=None) if before is not None and is_lately else None
    if before is None:
        before = _Differs()
    if standing == "silent":
        return before if before.silent_since is not None else replace(before, silent_since=now)
    return replace(before, silent_since=None) if before.heard == standing else _Differs(heard=standing, since=now)


def standing_of(
    seen: Seen, silent_after: timedelta, now: datetime, open_since: datetime | None = ALWAYS
) -> Standing | None:
    """None where nobody can tell: it is not heard of, and not yet for long enough, in which it was open, to be called
    silent.
    """
    if seen.last_contact is not None and now - seen.last_contact >= silent_after:
        return "silent" if open_since is not None and now - open_since >= silent_after else None
    if not fleet.is_online(seen.last_contact, now):
        return None
    return "problem" if fleet.troubles(seen, now) else "well"


def _alert(one: Known, standing: Standing, now: datetime, back_and_forth: _Turns) -> Alert:
    said = tuple(
        f"{trouble.what}: {trouble.remedy}" if trouble.remedy else trouble.what
        for trouble in fleet.troubles(one.seen, now)
    )
    if standing != "well" and back_and_forth.count:
        span = fleet.spoken(back_and_forth.lasts)
        said = (*said, f"it was well again and is not: you are told of another change only once that lasts {span}")
    return Alert(standing=standing, device=one.device, store=one.store, register=one.register, said=said)


def message_of(alerts: Sequence[Alert], brand: str) -> Message:
    """All of it in words that a mail or a chat shows, those that are well again last."""
    counted = Counter(alert.standing for alert in alerts)
    parts = [f"{counted[standing]} {words}" for standing, words in _WORDS.items() if counted[standing]]
    ordered = sorted(alerts, key=lambda alert: (list(_WORDS).index(alert.standing), alert.store, alert.register))
    named, more = tuple(ordered[:MAX_NAMED]), max(0, len(alerts) - MAX_NAMED)
    lines = [f"{brand}, registers: {', '.join(parts)}"]
    for alert in named:
        lines.append(f"- store {alert.store}, register {alert.register}: {_WORDS[alert.standing]}")
        lines += [f"    {said}" for said in alert.said]
    if more:
        lines.append(f"and {more} more; the fleet page has them all")
    return Message(text="\n".join(lines), alerts=named, more=more)


def told(connection: Connection) -> dict[str, Standing]:
    """What was told of each register last, where that is not that it is well."""
    columns = tables.devices.c
    rows = connection.execute(select(columns.id, columns.told).where(columns.told != "well"))
    return {row.id: row.told for row in rows}


def keep_told(connection: Connection, alerts: Sequence[Alert]) -> None:
    connection.execute(
        update(tables.devices).where(tables.devices.c.id == bindparam("device")).values(told=bindparam("standing")),
        [{"device": alert.device, "standing": alert.standing} for alert in alerts],
    )
