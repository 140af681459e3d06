"""Points that a register without a network is granted by the telephone of the member who stands at it.

Owns what one such ask does (`sync.phone_codes`): the register is proven by its own key, and what it asks for is set
aside as for one that asks itself (`central.granting`). An ask is one allowance, by an id that follows from it: asked
again, it is answered with the same one, and nothing is kept of it besides. Once the register has sent anything that it
booked after the ask, the ask is over. Never says what a page says.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, Literal

from msgspec import Struct
from sqlalchemy import Connection, Row

from central import allowances, cards, devices, granting, members
from central.devices import Device
from central.granting import Unheard
from central.problems import DeviceRevokedError
from central.recalling import NotGrantedError, Why
from sync.phone_codes import MAX_PARTS, Ask, Grant, MalformedCodeError, Part, read_ask, whose_points
from sync.wire import Wanted

# Where the page stands, under the address of the join page; a code follows.
PHONE_PATH: Final = "p/"

Refusal = Why | Literal["code", "over", "used"]
"""Why nothing is granted: as at a till; no register of this chain made the code; it is of before; it was spent."""


class NotByPhoneError(Exception):
    """Nothing is granted by this code."""

    def __init__(self, why: Refusal) -> None:
        super().__init__(why)
        self.why: Refusal = why


class Asked(Struct, frozen=True, kw_only=True):
    """What is asked for, by a register that is in service and where it stands."""

    ask: Ask
    device: Device


def read(connection: Connection, code: str) -> Asked:
    """What a code asks for, while it may be granted as far as the register goes. Raises NotByPhoneError."""
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
    return Asked(ask=ask, device=device)


def _check_goes_on(connection: Connection, ask: Ask) -> None:
    """Whether the register asked in the epoch that it is in, and has told nothing since."""
    told = devices.mark_of(connection, ask.device, ask.epoch)
    if told is None or told > ask.through:
        raise NotByPhoneError("over")


def grant(connection: Connection, code: str, now: datetime) -> Grant | NotByPhoneError:
    """Sets aside what a code asks for, once.

    What is refused is returned: registers that hold the points were asked for them, and that stands.
    """
    try:
        ask = read(connection, code).ask
        device = devices.locked_device(connection, ask.device)
        _check_goes_on(connection, ask)
        parts = _set_aside(connection, device, ask, now)
    except NotByPhoneError as error:
        return error
    except DeviceRevokedError:
        return NotByPhoneError("till")
    except NotGrantedError as error:
        return NotByPhoneError(error.why)
    whose = whose_points(ask.member, cards.code_key(connection))
    return Grant(device=ask.device, epoch=ask.epoch, nonce=ask.nonce, whose=whose, parts=parts)


def _set_aside(connection: Connection, device: Device, ask: Ask, now: datetime) -> tuple[Part, ...]:
    """What the register may spend by this ask: what was on its way to it, and what is set aside for it now."""
    unheard = Unheard(device=device.id, epoch=ask.epoch, after=ask.after, known=frozenset(ask.has))
    before = allowances.found(connection, ask.allowance)
    if before is not None and before.state != "open":
        raise NotByPhoneError("used")
    if before is None:
        want = Wanted(member=ask.member, points=ask.points)
        granting.grant_points(connection, device, unheard, want, allowance=ask.allowance, now=now)
    member = members.meant(connection, [ask.member])[ask.member]
    rows = unheard.of(allowances.open_of(connection, [member])) + ([before] if before is not None else [])
    return _parts({row.id: row for row in rows}.values(), ask)


def _parts(rows: Iterable[Row[Any]], ask: Ask) -> tuple[Part, ...]:
    """So many of these as come to what is asked for, its own first. Raises NotByPhoneError where they were too many."""
    parts, lacking = [], ask.points
    for row in sorted(rows, key=lambda row: (row.id != ask.allowance, -allowances.left_of(row), row.id)):
        if lacking > 0:
            parts.append(Part(allowance=row.id, points=int(row.granted)))
            lacking -= allowances.left_of(row)
    if len(parts) > MAX_PARTS or lacking > 0:
        raise NotByPhoneError("other")
    return tuple(parts)
