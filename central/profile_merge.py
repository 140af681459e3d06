"""Which of several tellings of a member's profile and consent counts, whatever order they come in.

Owns the rule: of a field the last writer's value, by hybrid logical clock; of a consent, that a grant counts only if
it saw the latest withdrawal, and that what it cannot have seen is later. Pure: what is merged is a maximum in a total
order, so tellings may come in any order, in any grouping and any number of times. Never reads a clock: `now` is when
the centre took a telling in, and is given once for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from sync.hlc import Hlc, milliseconds, parse_hlc
from sync.records import ConsentState

# A register's clock may be this far ahead of the centre's; what is told at a later time is stamped anew, once.
MAX_AHEAD = timedelta(minutes=5)


class Told(Struct, frozen=True, kw_only=True):
    """A field's value. `hlc` is the stamp that counts, `told` the register's own, `key` the entry's."""

    value: str | None
    hlc: str
    told: str = ""
    key: str = ""

    @property
    def rank(self) -> tuple[str, str, str, str]:
        return (self.hlc, self.told, self.key, self.value or "")


class ToldGrant(Struct, frozen=True, kw_only=True):
    """A grant or a withdrawal. `seen` is the stamp of the newest consent that whoever told it was shown."""

    state: ConsentState
    hlc: str
    seen: str = ""
    told: str = ""
    key: str = ""
    text_version: str = ""


class Channel(Struct, frozen=True, kw_only=True):
    """All that counts of what was told about one channel: the latest withdrawal, and the grant that saw most."""

    withdrawal: ToldGrant | None = None
    grant: ToldGrant | None = None

    @property
    def current(self) -> ToldGrant | None:
        """What holds: a grant that saw the latest withdrawal, else that withdrawal."""
        if self.grant is not None and (self.withdrawal is None or self.grant.seen >= self.withdrawal.hlc):
            return self.grant
        return self.withdrawal

    @property
    def stamp(self) -> str:
        """What the next telling has to have seen: no withdrawal is later."""
        return max(one.hlc for one in (self.withdrawal, self.grant, ZERO) if one is not None)


ZERO = ToldGrant(state="withdrawn", hlc="")


def counted(hlc: str, seen: str | None, now: datetime, wall: datetime) -> str:
    """The stamp by which a telling counts: later than what it saw, and never far ahead of the centre's clock.

    `wall` is when it was told by the register's own clock. Raises MalformedHlcError.
    """
    own = parse_hlc(bounded(hlc, hlc, now, wall))
    before = parse_hlc(bounded(seen, hlc, now, wall)) if seen else None
    return own.text if before is None or before.text < own.text else _just_after(before.text, own.text)


def bounded(stamp: str, of: str, now: datetime, wall: datetime) -> str:
    """`stamp`, or the time in its place at which it was told where it lies too far ahead; `of` is a stamp of who tells.

    A hybrid clock never goes back: of a register whose clock was years ahead once, all are ahead from then on, while
    its `wall` is right again. Where that is not, it is the present.
    """
    if parse_hlc(stamp).ms <= milliseconds(now + MAX_AHEAD):
        return stamp
    told_at = max(0, min(milliseconds(now), milliseconds(wall)))
    return Hlc(ms=told_at, counter=0, node=parse_hlc(of).node).text


def placed(told: ToldGrant, known: Sequence[ToldGrant]) -> ToldGrant:
    """What is told now of a channel of which all of `known` was told before, as it counts.

    A withdrawal is later than all that any page showed before it came, unless its own page showed all of that: so no
    grant can have seen it by a stamp that is older, however far its clock is behind. One that a grant names by its own
    stamp was seen by that, and came late. A grant may name a withdrawal of its own register, which no page of the feed
    had shown yet, by the stamp that it has there.
    """
    others = [one for one in known if one.state == "withdrawn"]
    if told.state == "granted":
        own = next((one for one in others if one.told == told.seen), None)
        if own is None or not _saw_all(own, [one for one in others if one != own]):
            return told
        return replace(told, seen=max(told.seen, own.hlc))
    newest = max((one.hlc for one in known), default="")
    if told.seen >= newest:
        return told
    named = any(one.state == "granted" and one.seen in (told.hlc, told.told) for one in known)
    if named and _saw_all(told, others):
        return told
    return replace(told, hlc=_just_after(max(told.hlc, newest), told.hlc))


def _saw_all(told: ToldGrant, withdrawals: Sequence[ToldGrant]) -> bool:
    return all(one.hlc <= told.seen for one in withdrawals)


def _just_after(stamp: str, of: str) -> str:
    """The moment after `stamp`, by the node of the stamp `of`."""
    return parse_hlc(stamp).next.text[:16] + f"-{parse_hlc(of).node}"


def later(one: Told, other: Told) -> Told:
    """Of two tellings of one field the one that counts."""
    return max(one, other, key=lambda told: told.rank)


def channel_of(told: ToldGrant) -> Channel:
    return Channel(grant=told) if told.state == "granted" else Channel(withdrawal=told)


def merged(one: Channel, other: Channel) -> Channel:
    """Both together."""
    return Channel(
        withdrawal=_latest(one.withdrawal, other.withdrawal),
        grant=_seeing_most(one.grant, other.grant),
    )


def _latest(one: ToldGrant | None, other: ToldGrant | None) -> ToldGrant | None:
    both = [each for each in (one, other) if each is not None]
    return max(both, key=lambda told: (told.hlc, told.told, told.key, told.text_version, told.seen), default=None)


def _seeing_most(one: ToldGrant | None, other: ToldGrant | None) -> ToldGrant | None:
    """A later grant that saw less must not hide an earlier one that saw the latest withdrawal."""
    both = [each for each in (one, other) if each is not None]
    return max(both, key=lambda told: (told.seen, told.hlc, told.told, told.key, told.text_version), default=None)
