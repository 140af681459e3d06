"""Points that a register without a network is granted by the telephone of the member who stands at it.

Owns what one such ask does (`sync.phone_codes`): the register is proven by its own key, and what it asks for is set
aside as for one that asks itself (`central.granting`). An ask is one allowance, by an id that follows from it: asked
again, it is answered with the same one, and nothing is kept of it besides. Once the register has sent anything that it
booked after the ask, the ask is over. An ask may name a card that the register does not know: the centre says whose it
is, by the rules of a till, the telephone says which reward is wanted, and the register is told of the member with what
it may spend. Never says what a page says.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, Literal

from msgspec import Struct
from sqlalchemy import Connection, Row

from central import allowances, cards, devices, fed_rows, granting, members, programs, scopes
from central.devices import Device
from central.granting import Unheard
from central.problems import DeviceRevokedError
from central.recalling import NotGrantedError, Why
from loyalty.allowances import by_allowance
from loyalty.identification import normal_code
from loyalty.join_codes import is_join_code
from loyalty.meant import Meant
from loyalty.member import Member
from loyalty.program import Reward
from loyalty.wallet_codes import only_earns
from sync.phone_codes import (
    MAX_PARTS,
    Ask,
    Grant,
    MalformedCodeError,
    Part,
    Told,
    read_ask,
    seal_told,
    whose_card,
    whose_points,
)
from sync.wire import Wanted

# Where the page stands, under the address of the join page; a code follows.
PHONE_PATH: Final = "p/"

# Who only knows a number or an address spends nothing by it, however it comes in.
_NO_CARD: Final = frozenset({"phone", "email"})

Refusal = Why | Literal["code", "over", "used", "stranger", "blocked", "card"]
"""Why nothing is granted: as at a till; no register of this chain made the code; it is of before; it was spent; the
card is nobody's; it is blocked; nothing is spent by it."""


class NotByPhoneError(Exception):
    """Nothing is granted by this code."""

    def __init__(self, why: Refusal) -> None:
        super().__init__(why)
        self.why: Refusal = why


class Asked(Struct, frozen=True, kw_only=True):
    """What is asked for, by a register that is in service and where it stands; for a card, one of these `rewards`."""

    ask: Ask
    device: Device
    rewards: tuple[Reward, ...] = ()


def read(connection: Connection, code: str, now: datetime) -> Asked:
    """What a code asks for, while it may be granted as far as the register and the card go. Raises NotByPhoneError.

    The rewards are the program's, whoever the member is: who sees the ask learns nothing of them.
    """
    try:
        signed = read_ask(code, cards.code_key(connection))
    except MalformedCodeError as error:
        raise NotByPhoneError("code") from error
    ask = signed.ask
    device = devices.find_device(connection, ask.device)
    if device is None or not signed.is_by(device.public_key):
        raise NotByPhoneError("code")
    if device.revoked:
        raise NotByPhoneError("till")
    _check_goes_on(connection, ask)
    if not ask.code:
        return Asked(ask=ask, device=device)
    _holder(connection, ask.code)
    return Asked(ask=ask, device=device, rewards=_rewards(connection, now))


def _check_goes_on(connection: Connection, ask: Ask) -> None:
    """Whether the register asked in the epoch that it is in, and has told nothing since."""
    told = devices.mark_of(connection, ask.device, ask.epoch)
    if told is None or told > ask.through:
        raise NotByPhoneError("over")


def _holder(connection: Connection, code: str) -> str:
    """Whose a card is by which may be spent. Raises NotByPhoneError."""
    card = cards.find(connection, code)
    if card is None or (card.member is None and card.state == "unissued"):
        raise NotByPhoneError("stranger")
    if card.state == "blocked" or card.member is None:
        raise NotByPhoneError("blocked")
    kinds = {one.kind for one in card.numbers if one.code == normal_code(code)}
    if is_join_code(code) or only_earns(code, cards.code_key(connection)) or kinds & _NO_CARD:
        raise NotByPhoneError("card")
    return card.member


def _rewards(connection: Connection, now: datetime, meant: Meant | None = None) -> tuple[Reward, ...]:
    published = programs.program_in_force(connection, now)
    if published is None:
        return ()
    return tuple(one for one in by_allowance(published.program, now, meant) if one.points)


def grant(connection: Connection, code: str, now: datetime, reward: str = "") -> Grant | NotByPhoneError:
    """Sets aside what a code asks for, once; for a card the points of the `reward` that was chosen.

    What is refused is returned: registers that hold the points were asked for them, and that stands.
    """
    try:
        ask = read(connection, code, now).ask
        device = devices.locked_device(connection, ask.device)
        _check_goes_on(connection, ask)
        if ask.code:
            return _granted_by_card(connection, device, ask, reward, now)
        parts = _set_aside(connection, device, ask, Wanted(member=ask.member, points=ask.points), now)
    except NotByPhoneError as error:
        return error
    except DeviceRevokedError:
        return NotByPhoneError("till")
    except NotGrantedError as error:
        return NotByPhoneError(error.why)
    whose = whose_points(ask.member, cards.code_key(connection))
    return Grant(device=ask.device, epoch=ask.epoch, nonce=ask.nonce, whose=whose, parts=parts)


def _granted_by_card(connection: Connection, device: Device, ask: Ask, reward: str, now: datetime) -> Grant:
    """Raises NotByPhoneError and NotGrantedError."""
    member = _holder(connection, ask.code)
    members.hold(connection, [member])
    if _holder(connection, ask.code) != member:
        raise NotByPhoneError("other")
    row = fed_rows.rows_of(connection, [member], now).get(member)
    if row is None:
        raise NotByPhoneError("nobody")
    meant = Meant(tier=row.tier or "", segments=_segments(row), store=device.store)
    chosen = next((one for one in _rewards(connection, now, meant) if one.id == reward), None)
    if chosen is None:
        raise NotByPhoneError("other")
    parts = _set_aside(connection, device, ask, Wanted(member=member, points=chosen.points), now)
    scope = scopes.scope_of(connection, device.store)
    if scope.store is not None and not scopes.held_at(connection, scope.store, member):
        scopes.pin(connection, scope.store, member, now)
    key = cards.code_key(connection)
    told = seal_told(_told(fed_rows.rows_of(connection, [member], now)[member], now), ask.nonce, key)
    whose = whose_card(ask.code, key)
    return Grant(device=ask.device, epoch=ask.epoch, nonce=ask.nonce, whose=whose, parts=parts, sealed=told)


def _segments(row: Member) -> frozenset[str]:
    return frozenset(row.counters.segments or ()) if row.counters else frozenset()


def _told(row: Member, now: datetime) -> Told:
    return Told(
        member=row.member,
        short_name=row.short_name or "",
        tier=row.tier or "",
        confirmed=row.balance.confirmed,
        pending=row.balance.pending,
        spendable=row.balance.spendable,
        at=int(now.timestamp()),
    )


def _set_aside(connection: Connection, device: Device, ask: Ask, want: Wanted, now: datetime) -> tuple[Part, ...]:
    """What the register may spend by this ask: what was on its way to it, and what is set aside for it now."""
    unheard = Unheard(device=device.id, epoch=ask.epoch, after=ask.after, known=frozenset(ask.has))
    before = allowances.found(connection, ask.allowance)
    if before is not None and before.state != "open":
        raise NotByPhoneError("used")
    if before is None:
        granting.grant_points(connection, device, unheard, want, allowance=ask.allowance, now=now)
    member = members.meant(connection, [want.member])[want.member]
    rows = unheard.of(allowances.open_of(connection, [member]))
    if before is None or not ask.code:
        rows += [before] if before is not None else []
        return _parts({row.id: row for row in rows}.values(), ask, want.points)
    if before.member != member:
        raise NotByPhoneError("over")  # the card became somebody else's since
    # Whatever reward is chosen the second time, the ask was for one.
    rows = list({row.id: row for row in (*rows, before)}.values())
    return _parts(rows, ask, min(want.points, sum(map(allowances.left_of, rows))))


def _parts(rows: Iterable[Row[Any]], ask: Ask, points: int) -> tuple[Part, ...]:
    """So many of these as come to what is wanted, its own first. Raises NotByPhoneError where they were too many."""
    parts, lacking = [], points
    for row in sorted(rows, key=lambda row: (row.id != ask.allowance, -allowances.left_of(row), row.id)):
        if lacking > 0:
            parts.append(Part(allowance=row.id, points=int(row.granted)))
            lacking -= allowances.left_of(row)
    if len(parts) > MAX_PARTS or lacking > 0:
        raise NotByPhoneError("other")
    return tuple(parts)
