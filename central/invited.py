"""Who joins on their own telephone, with a code that a till showed them (`loyalty.join_codes`).

Owns what one such code does, once: a new member who has it, what they told, and the sales that were kept for it. Where
a telephone number or address is somebody's already, that member gets the sales, and nothing else is changed or told:
whoever knows a number must neither change its member nor find out that there is one. Whoever joined leaves with a code
that stands for a card (`loyalty.wallet_codes`). Never decides what a page says.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from msgspec import UNSET, Struct
from sqlalchemy import Connection

from central import cards, erasing, feed, folding, joining, members, profiles, scopes
from central.cards import CardNumber
from central.devices import Randomness
from central.members import ImportedMember
from loyalty.addresses import address_code
from loyalty.identification import normal_code
from loyalty.join_codes import store_of
from loyalty.wallet_codes import made_wallet_code
from sync.records import FieldName, ToldConsent

_ID_BYTES = 16


class NotOurCodeError(Exception):
    """No register of this chain made the code."""


class CodeUsedError(Exception):
    """Somebody joined with the code before."""


class Told(Struct, frozen=True, kw_only=True):
    """What somebody says who joins, at least one of `phone` and `email`, and the code that they were shown.

    `consents` are the channels that they agree to be written to on, with the version of the text that they read.
    """

    code: str
    language: str
    short_name: str = ""
    phone: str = ""
    email: str = ""
    consents: Mapping[str, str] = {}

    @property
    def fields(self) -> dict[FieldName, str]:
        every: dict[FieldName, str] = {
            "short_name": self.short_name,
            "language": self.language,
            "phone": self.phone,
            "email": self.email,
        }
        return {name: value for name, value in every.items() if value}


class Joined(Struct, frozen=True, kw_only=True):
    """Who has the code from now on, and the `wallet` code that they leave with, in normal form."""

    member: str
    wallet: str


def join(connection: Connection, told: Told, now: datetime, randomness: Randomness) -> Joined:
    """Lets somebody join. Raises NotOurCodeError and CodeUsedError."""
    code, key = normal_code(told.code), cards.code_key(connection)
    store = store_of(code, key, scopes.stores(connection))
    if store is None:
        raise NotOurCodeError
    if cards.find(connection, code) is not None or erasing.erased_codes(connection, [code]):
        raise CodeUsedError
    addresses = [
        number
        for number in (_number("phone", told.phone, key), _number("email", told.email, key))
        if number is not None
    ]
    member = next((owner for one in addresses if (owner := cards.owner_of(connection, one.code))), None)
    wallet = made_wallet_code(randomness, key, spends=member is None)
    if member is None:
        member = _new(connection, told, store, now, randomness)
    else:
        members.hold(connection, [member])
        addresses = []
    cards_now = [CardNumber(code=code, kind="card"), CardNumber(code=wallet, kind="wallet")]
    touched, _ = joining.give(connection, member, [*cards_now, *addresses], now)
    scopes.seen(connection, store, [member], now)
    moved = folding.settle(connection, touched, now)
    feed.note_changes(connection, sorted({member, *moved}), now)
    return Joined(member=member, wallet=wallet)


def _new(connection: Connection, told: Told, store: str, now: datetime, randomness: Randomness) -> str:
    member = f"j-{randomness(_ID_BYTES).hex()}"
    made = ImportedMember(member=member, short_name=told.short_name or UNSET, language=told.language)
    members.add(connection, [made], now)
    profiles.tell_here(connection, {member: told.fields}, now)
    consents = [
        ToldConsent(channel=channel, state="granted", text_version=version)
        for channel, version in sorted(told.consents.items())
    ]
    profiles.keep_consents(connection, member, consents, profiles.Source.here(member, store, now), now)
    return member


def _number(kind: Literal["phone", "email"], written: str, key: str) -> CardNumber | None:
    code = address_code(kind, written, key)
    return CardNumber(code=code, kind=kind) if code is not None else None
