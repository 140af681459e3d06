"""Codes by which people join: their form, and that nobody can make one up."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from loyalty.identification import is_member_code, normal_code
from loyalty.join_codes import is_join_code, made_join_code, store_of
from loyalty.made_codes import RANDOM_BYTES, shown_code
from loyalty.pan import first_pan

KEY = "ab" * 32
CHARACTERS = "23456789ABCDEFGHJKLMNPQRSTVWXYZ"
STORES = ("11", "12", "13")


@given(st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES))
def test_a_code_says_at_which_store_it_was_made(drawn: bytes) -> None:
    code = made_join_code(lambda _: drawn, KEY, "12")

    assert store_of(code, KEY, STORES) == "12"
    assert is_member_code(code)
    assert normal_code(shown_code(code).lower()) == code


def test_nobody_else_can_make_one() -> None:
    code = made_join_code(secrets.token_bytes, KEY, "12")

    assert store_of(code, KEY, ("11", "13")) is None
    assert store_of(code, "cd" * 32, STORES) is None
    for place in range(1, len(code)):
        other = CHARACTERS[CHARACTERS.index(code[place]) - 1]
        wrong = code[:place] + other + code[place + 1 :]
        assert is_join_code(wrong)
        assert store_of(wrong, KEY, STORES) is None
    for text in ("", "J", code[:-1], code + "2", "K" + code[1:], code[:5] + "0" + code[6:], code.lower()):
        assert not is_join_code(text)
        assert store_of(text, KEY, STORES) is None


def test_a_code_is_shown_in_groups_of_four() -> None:
    # From another reading of the form, so that it stays what it is
    code = made_join_code(bytes, KEY, "12")

    assert shown_code(code).startswith("J222-2222-2222-222")
    assert [len(group) for group in shown_code(code).split("-")] == [4] * 6
    assert len({made_join_code(secrets.token_bytes, KEY, "12") for _ in range(1000)}) == 1000


def test_a_code_that_looks_like_a_payment_card_is_drawn_again() -> None:
    visa = "4222222222222"
    assert first_pan(visa) is not None
    number = sum(CHARACTERS.index(character) * 31**place for place, character in enumerate(visa + "X"))
    drawn: Iterator[bytes] = iter((number.to_bytes(RANDOM_BYTES), bytes(RANDOM_BYTES)))

    assert made_join_code(lambda _: next(drawn), KEY, "12") == made_join_code(bytes, KEY, "12")


def test_the_example_of_the_protocol_is_one() -> None:
    code = "JNS7-S4QX-84JB-4SF7-8JF8-H3RZ".replace("-", "")

    assert store_of(code, bytes(range(32)).hex(), STORES) == "12"
    assert shown_code(code) in (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
