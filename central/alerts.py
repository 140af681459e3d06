"""Which registers people are told of: those that became silent, have a problem, or are well again; each once.

Owns what counts as news and the words of it. Pure but for the columns that say what was told. Never sends anything:
`central.alert_ways` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import asdict, replace
from sqlalchemy import Connection, bindparam, or_, select, update

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


class Told(Struct, frozen=True, kw_only=True):
    """What was told of a register last, and how often one that was told to be unwell was told to be otherwise."""

    standing: Standing = "well"
    turns: int = 0
    turned_at: datetime | None = None

    def turns_lately(self, now: datetime) -> int:
        return self.turns if self.turned_at is not None and now - self.turned_at < CALM else 0


class News(Struct, frozen=True, kw_only=True):
    """What is to be told of a register, and what was told of it then."""

    alert: Alert
    told: Told


NOTHING_TOLD: Final = Told()


def lasts(turns: int) -> timedelta:
    """How long it must be otherwise before that is told again."""
    return min(LASTS * (1 << min(turns, 16)), MOST_LASTS)


class Watch:
    """Since when each register differs from what was told of it. Forgotten with the process: then it begins anew."""

    def __init__(self) -> None:
        self._differs: dict[str, _Differs] = {}

    def news(
        self,
        registers: Iterable[Known],
        told: Mapping[str, Told],
        silent_after: timedelta,
        now: datetime,
        open_since: datetime | None = ALWAYS,
    ) -> tuple[News, ...]:
        """Registers that differed from what was told for long enough; `open_since` is None while shops are shut."""
        still: dict[str, _Differs] = {}
        news = []
        for one in registers:
            if one.revoked:
                continue
            before = told.get(one.device, NOTHING_TOLD)
            standing = standing_of(one.seen, silent_after, now, open_since)
            is_lately = one.seen.last_contact is not None and now - one.seen.last_contact < silent_after
            differs = _differing(self._differs.get(one.device), standing, before.standing, is_lately=is_lately, now=now)
            if differs is None:
                continue
            turns, was_well = before.turns_lately(now), before.standing == "well"
            began = None if standing is None else differs.became(standing)
            if standing is None or began is None or now - began < (LASTS if was_well else lasts(turns)):
                still[one.device] = differs
                continue
            after = replace(before, standing=standing, turns=turns)
            if not was_well:
                after = replace(after, turns=turns + 1, turned_at=now)
            news.append(News(alert=_alert(one, standing, now, after.turns), told=after))
        self._differs = still
        return tuple(news)


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


def _alert(one: Known, standing: Standing, now: datetime, turns: int) -> Alert:
    said = tuple(
        f"{trouble.what}: {trouble.remedy}" if trouble.remedy else trouble.what
        for trouble in fleet.troubles(one.seen, now)
    )
    if standing != "well" and turns:
        span = fleet.spoken(lasts(turns))
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


def told(connection: Connection) -> dict[str, Told]:
    """What was told of each register last, where anything was."""
    columns = tables.devices.c
    is_something = or_(columns.told != "well", columns.told_turned_at.is_not(None))
    rows = connection.execute(
        select(columns.id, columns.told, columns.told_turns, columns.told_turned_at).where(is_something)
    )
    return {row.id: Told(standing=row.told, turns=row.told_turns, turned_at=row.told_turned_at) for row in rows}


def keep_told(connection: Connection, news: Sequence[News]) -> None:
    connection.execute(
        update(tables.devices)
        .where(tables.devices.c.id == bindparam("device"))
        .values(told=bindparam("standing"), told_turns=bindparam("turns"), told_turned_at=bindparam("turned_at")),
        [{"device": one.alert.device, **asdict(one.told)} for one in news],
    )
