"""Somebody who joins at a register for one test, and the row in which the feed tells of them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import pytest

from tests.conformance.feed import state_of
from tests.conformance.register import Register
from tests.conformance.rules import require
from tests.conformance.shapes import Json, Row


@dataclass(frozen=True, kw_only=True)
class Joined:
    """Somebody who joined at this register in this test; nobody else has their id and codes."""

    id: str
    card: str
    number: str
    body: Json


def joining(register: Register) -> Joined:
    unique = secrets.token_hex(6)
    member, card, number = f"c-{unique}", f"CONFJ{unique.upper()}", f"+381{secrets.randbelow(10**11):011d}"
    told = {"value": "Eva C.", "hlc": register.hlc}
    body = {
        "provisional_id": member,
        "fields": {"short_name": told, "phone": {"value": number, "hlc": register.hlc}},
        "consent": [{"channel": "sms", "state": "granted", "text_version": "1"}],
        "codes": [{"kind": "card", "code": card}, {"kind": "phone", "code": number}],
    }
    return Joined(id=member, card=card, number=number, body=body)


async def joined(register: Register) -> Joined:
    """Somebody whose join was taken in; skips where the centre does not take joins in."""
    one = joining(register)
    register.write("join", one.body)
    taken = await register.ingest(len(register.entries))
    if taken.codes == ["quarantined"]:
        pytest.skip("the centre does not take in entries of kind join")
    require(taken.codes == ["accepted"], "kinds", f"Somebody joined whom nobody knew; the outcome is {taken.codes}.")
    return one


async def row_of(register: Register, member: str) -> Row | None:
    held = (await state_of(register)).members.values()
    return next((change.row for change in held if change.row is not None and member in change.row.ids), None)
