"""What a register and its centre tell each other by a telephone: whole, or not at all."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from sync.phone_codes import (
    MAX_NAME_CHARS,
    Ask,
    Grant,
    MalformedCodeError,
    Part,
    Told,
    ask_code,
    grant_code,
    read_ask,
    read_grant,
    seal_told,
    told_in,
    whose_card,
    whose_points,
)
from sync.signing import public_key_text

KEY, OTHER = "ab" * 32, "cd" * 32
SIGNER = Ed25519PrivateKey.generate()
NONCE = bytes(range(16))
TOLD = Told(
    member="m-1", short_name="Константин П.", tier="gold", confirmed=700, pending=-20, spendable=200, at=1_795_000_000
)


def an_ask(**more: Any) -> Ask:
    facts: dict[str, Any] = {"device": "d1", "epoch": "ee", "member": "", "points": 0, "after": 3, "through": 9}
    return Ask(**facts | {"nonce": NONCE} | more)


@pytest.mark.parametrize("asked", [an_ask(code="TS0001"), an_ask(member="m-1", points=200, has=("ff", "a-1"))])
def test_an_ask_is_read_as_it_was_made(asked: Ask) -> None:
    signed = read_ask(ask_code(asked, SIGNER, KEY, secrets.token_bytes), KEY)

    assert signed.ask == asked
    assert signed.is_by(public_key_text(SIGNER))


@pytest.mark.parametrize(
    "asked",
    [
        an_ask(),
        an_ask(points=200),
        an_ask(member="m-1"),
        an_ask(code="TS0001", member="m-1", points=200),
    ],
)
def test_an_ask_is_for_a_members_points_or_about_a_card(asked: Ask) -> None:
    with pytest.raises(MalformedCodeError):
        read_ask(ask_code(asked, SIGNER, KEY, secrets.token_bytes), KEY)


def test_asks_about_two_cards_are_two_allowances() -> None:
    every = {an_ask(code="TS0001").allowance, an_ask(code="TS0002").allowance, an_ask().allowance}

    assert len(every) == 3


def test_whom_a_grant_tells_of_only_who_has_the_key_reads_and_for_one_ask() -> None:
    sealed = seal_told(TOLD, NONCE, KEY)
    grant = Grant(device="d1", epoch="ee", nonce=NONCE, whose=bytes(12), parts=(Part(allowance="f", points=1),))
    grant = replace(grant, sealed=sealed)
    read = read_grant(grant_code(grant, SIGNER), public_key_text(SIGNER))

    assert read == grant
    assert told_in(read, KEY) == TOLD
    # an answer with another balance is sealed by another nonce
    assert seal_told(replace(TOLD, spendable=199), NONCE, KEY)[:12] != sealed[:12]
    spoilt = (replace(grant, nonce=bytes(16)), replace(grant, sealed=b""), replace(grant, sealed=sealed[:-1]))
    for one in spoilt:
        with pytest.raises(MalformedCodeError):
            told_in(one, KEY)
    with pytest.raises(MalformedCodeError):
        told_in(grant, OTHER)


def test_a_long_name_is_told_in_part() -> None:
    sealed = seal_told(replace(TOLD, short_name="x" * 80), NONCE, KEY)
    grant = Grant(device="d1", epoch="ee", nonce=NONCE, whose=bytes(12), parts=(), sealed=sealed)

    assert told_in(grant, KEY).short_name == "x" * MAX_NAME_CHARS


def test_a_card_and_a_member_of_one_name_are_two() -> None:
    assert whose_card("TS0001", KEY) != whose_points("TS0001", KEY)
