"""Telephone numbers and e-mail addresses as codes."""

from __future__ import annotations

import pytest

from loyalty.addresses import address_code, codes_as_typed, ends_like_phone, hidden_code, phone_number
from loyalty.identification import is_member_code, normal_code

KEY, OTHER = "11" * 32, "22" * 32


@pytest.mark.parametrize("written", ["+381 64 123-45-67", "00381641234567", " +381 (64) 1234567 ", "+381/64/123.45.67"])
def test_any_way_of_writing_a_number_is_one_code(written: str) -> None:
    code = address_code("phone", written, KEY)

    assert code == address_code("phone", "+381641234567", KEY)
    assert code is not None
    assert code.endswith(":4567")
    assert "641234567" not in code
    assert ends_like_phone(code) == "4567"


@pytest.mark.parametrize(
    ("written", "compared"),
    [
        ("064/123-45-67", "0641234567"),
        ("00381 64 1234567", "+381641234567"),
        ("+381 64 1234567", "+381641234567"),
        ("12345", "12345"),
        ("+" + "1" * 15, "+" + "1" * 15),
    ],
)
def test_a_number_without_its_country_is_another_one(written: str, compared: str) -> None:
    assert phone_number(written) == compared


@pytest.mark.parametrize("text", ["", "1234", "TS-0001", "+", "1" * 16, "+381 64 ext 5", "29123a4567890"])
def test_what_is_no_number_has_no_code(text: str) -> None:
    assert phone_number(text) is None
    assert address_code("phone", text, KEY) is None


def test_a_code_is_in_normal_form_and_stays_what_it_is() -> None:
    for kind, written in (("phone", "064 1234567"), ("email", "Ana.P@Example.COM")):
        code = address_code(kind, written, KEY)  # type: ignore[arg-type]
        assert code is not None
        assert normal_code(code) == code
        assert is_member_code(code)
        assert address_code(kind, code.lower(), OTHER) == code  # type: ignore[arg-type]


def test_an_address_is_compared_whatever_its_case() -> None:
    assert address_code("email", " ANA@shop.example ", KEY) == address_code("email", "ana@shop.example", KEY)
    assert address_code("email", "ana at shop", KEY) is None


def test_of_no_other_code_are_any_digits_shown() -> None:
    mail = address_code("email", "ana@shop.example", KEY) or ""

    assert [ends_like_phone(code) for code in (mail, "TS0001", "2912345678906", "")] == [""] * 4


def test_a_code_is_the_same_wherever_it_is_made() -> None:
    assert address_code("phone", "00381 64 123-45-67", KEY) == "TEL:B919EE6C303E56A8FCC17C37D43C8366:4567"
    assert address_code("email", "ana@shop.example", KEY) == "EML:E16D2CE27EF23EBE85A505E0E8D3A4AB"
    assert hidden_code("TS-0001", KEY) == "75038f81a8d121a6fba2676efe1c9f977333b0f346e1fa8395c42d9e46b6cad9"


def test_another_key_gives_another_code() -> None:
    assert address_code("phone", "0641234567", KEY) != address_code("phone", "0641234567", OTHER)
    assert hidden_code("TS-1", KEY) == hidden_code("ts 1", KEY) != hidden_code("TS-1", OTHER)


def test_cards_have_no_address_and_may_be_typed() -> None:
    assert address_code("card", "0641234567", KEY) is None
    assert codes_as_typed("TS-0001", KEY) == ("TS0001",)
    assert codes_as_typed("064 1234567", KEY) == ("0641234567", address_code("phone", "0641234567", KEY))
