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
from sqlalchemy import Connection, bindparam, select, update

from central import fleet
from central.db import tables
from central.fleet import Seen
from central.fleet_rows import Known

Standing = Literal["well", "problem", "silent"]

# What does not last is not told: a scanner that is plugged in again, a network's hiccup, a centre that starts.
LASTS: Final = timedelta(minutes=5)
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


class Watch:
    """Since when each register differs from what was told of it. Forgotten with the process: then it begins anew."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[Standing, datetime]] = {}

    def news(
        self,
        registers: Iterable[Known],
        told: Mapping[str, Standing],
        silent_after: timedelta,
        now: datetime,
        open_since: datetime | None = ALWAYS,
    ) -> tuple[Alert, ...]:
        """Registers that differed from what was told for long enough; `open_since` is None while shops are shut."""
        differ: dict[str, tuple[Standing, datetime]] = {}
        alerts = []
        for one in registers:
            standing = standing_of(one.seen, silent_after, now, open_since)
            if one.revoked or standing in (None, told.get(one.device, "well")):
                continue
            before, since = self._since.get(one.device, (standing, now))
            if before != standing:
                since = now
            if now - since >= LASTS:
                alerts.append(_alert(one, standing, now))
            else:
                differ[one.device] = (standing, since)
        self._since = differ
        return tuple(alerts)


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


def _alert(one: Known, standing: Standing, now: datetime) -> Alert:
    said = tuple(
        f"{trouble.what}: {trouble.remedy}" if trouble.remedy else trouble.what
        for trouble in fleet.troubles(one.seen, now)
    )
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
