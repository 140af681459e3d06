"""Codes of issued vouchers: nobody comes upon one, and a typing mistake is never another's voucher."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalty.identification import normal_code
from loyalty.voucher_codes import RANDOM_BYTES, is_voucher_code, made_code, printed_code, stamp_card_id, voucher_id

KEY = "ab" * 32
CHARACTERS = "23456789ABCDEFGHJKLMNPQRSTVWXYZ"
codes = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES).map(lambda some: made_code(lambda _: some))


@given(codes)
def test_a_code_is_one_however_it_is_written(code: str) -> None:
    assert is_voucher_code(code)
    assert len(code) == 12
    assert printed_code(code) == f"{code[:4]}-{code[4:8]}-{code[8:]}"
    assert normal_code(f" {printed_code(code).lower()} ") == code


def test_all_of_the_randomness_counts() -> None:
    numbers = [0, 1, 31**5, 31**10 - 1, 31**10]

    made = [made_code(number.to_bytes) for number in numbers]

    assert made[0] == made[-1] == "V2222222222V"
    assert len(set(made)) == len(numbers) - 1


@given(codes, st.data())
def test_one_wrong_character_or_two_that_changed_places_are_no_code(code: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(code) - 1))
    other = data.draw(st.sampled_from(CHARACTERS.replace(code[place], "")))
    assert not is_voucher_code(code[:place] + other + code[place + 1 :])
    swapped = code[: place - 1] + code[place] + code[place - 1] + code[place + 1 :]
    assert swapped == code or not is_voucher_code(swapped)


@pytest.mark.parametrize("code", ["", "V", "SUMMER10", "V2222222222V2", "v2222222222v", "V222222222OV", "X2222222222V"])
def test_what_is_no_code(code: str) -> None:
    assert not is_voucher_code(code)


def test_what_is_kept_of_a_code_tells_it_only_to_who_has_the_key() -> None:
    code, other = made_code((7).to_bytes), made_code((8).to_bytes)

    assert voucher_id(code, KEY) == voucher_id(code, KEY)
    assert len({voucher_id(code, KEY), voucher_id(other, KEY), voucher_id(code, "cd" * 32)}) == 3
    assert code not in voucher_id(code, KEY)


def test_full_cards_of_each_member_and_reward_are_one_voucher() -> None:
    cards = [stamp_card_id("m1", "free"), stamp_card_id("m1", "cake"), stamp_card_id("m2", "free")]

    assert len(set(cards)) == 3
    assert all(len(card) == 64 for card in cards)
    assert stamp_card_id("m1", "free") == cards[0]
