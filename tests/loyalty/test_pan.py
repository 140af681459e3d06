"""Which numbers are payment cards'."""

from __future__ import annotations

import random

import pytest

from loyalty.pan import first_pan, is_pan, masked, pan_spans

# Numbers that the networks and payment processors publish for tests.
PUBLISHED = [
    "4111111111111111",
    "4012888888881881",
    "5555555555554444",
    "5105105105105100",
    "2223003122003222",
    "378282246310005",
    "371449635398431",
    "30569309025904",
    "38520000023237",
    "36700102000000",
    "3530111333300000",
    "6011111111111117",
    "6011000990139424",
    "6205500000000000004",
    "6759649826438453",
    "2201382000000013",
]


@pytest.mark.parametrize("pan", PUBLISHED)
def test_published_card_numbers_are_found_in_every_writing(pan: str) -> None:
    in_groups = " ".join(pan[start : start + 4] for start in range(0, len(pan), 4))

    assert is_pan(pan)
    for text in (pan, in_groups, in_groups.replace(" ", "-"), f"no. 12 {in_groups} ok", f";{pan}=2512?"):
        assert first_pan(text) == pan
    for separator in "\u00a0\u2009\u202f\u2011\u2013\u2212":
        assert first_pan(in_groups.replace(" ", separator)) == pan


def test_a_third_track_has_a_format_code_before_the_number() -> None:
    for text in (";014111111111111111=724?", "x+594111111111111111=?"):
        (span,) = pan_spans(text)
        assert text[slice(*span)] == "4111111111111111"
    assert first_pan("014111111111111111") is None


def test_the_shops_own_numbers_are_left_out_and_hide_nobody_elses() -> None:
    def own(number: str) -> bool:
        return number == "6011000990139424"

    assert first_pan("6011000990139424", own) is None
    assert first_pan("no. 6011 0009 9013 9424 paid by 4111 1111 1111 1111", own) == "4111111111111111"
    assert first_pan("6011 0009 9013 9424 4111 1111 1111 1111", own) == "4111111111111111"
    assert first_pan("6011000990139424") == "6011000990139424"


def test_digits_of_other_scripts_are_digits() -> None:
    assert first_pan("٤١١١ ١١١١ ١١١١ ١١١١") == "4111111111111111"


@pytest.mark.parametrize(
    "digits",
    [
        "4111111111111112",  # Luhn
        "9111111111111111",  # nobody's range
        "411111111111",  # too short
        "41111111111111",  # a length that Visa has not
        "4006381333931",  # EAN-13
        "2100012345674",
    ],
)
def test_other_numbers_are_none(digits: str) -> None:
    assert first_pan(digits) is None


def test_no_ean_13_is_taken_for_a_card() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    for _ in range(2000):
        payload = f"{chance.randrange(10**12):012}"
        check = -sum(int(digit) * (1, 3)[index % 2] for index, digit in enumerate(payload)) % 10
        assert first_pan(f"{payload}{check}") is None


def test_a_masked_number_keeps_its_length_and_its_ends() -> None:
    assert masked("378282246310005") == "378282*****0005"


def test_every_number_in_a_text_is_found_where_it_stands() -> None:
    text = "a 4111 1111 1111 1111 b 378282246310005;5555-5555-5555-4444 4111111111111112"

    assert [text[start:end] for start, end in pan_spans(text)] == [
        "4111 1111 1111 1111",
        "378282246310005",
        "5555-5555-5555-4444",
    ]


def test_a_text_of_single_digits_is_searched_in_bounded_time() -> None:
    assert first_pan("4 " * 4096) is None


def test_the_longest_number_at_each_place_is_found() -> None:
    """Held against trying every number of whole groups."""
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    found = 0
    for _ in range(500):
        groups = ["".join(chance.choices("0123456789", k=chance.randint(1, 6))) for _ in range(chance.randint(4, 12))]
        groups[chance.randrange(3)] = chance.choice(["4", "67", "3792", "5105"])
        text, at = " ".join(groups), 0
        expected = []
        while at < len(groups):
            ends = range(len(groups), at, -1)
            end = next((end for end in ends if is_pan("".join(groups[at:end]))), None)
            if end is not None:
                expected.append(" ".join(groups[at:end]))
            at = end or at + 1

        assert [text[start:end] for start, end in pan_spans(text)] == expected, text
        found += len(expected)
    assert found > 20


@pytest.mark.parametrize("separator", ["  ", " - ", "\u3000", "_", "/", ":", "*", ", ", "\x1d"])
def test_a_number_alone_is_found_whatever_stands_between_its_digits(separator: str) -> None:
    number = separator.join(("4111", "1111", "1111", "1111"))

    assert first_pan(number) == first_pan(f"12/34\n{separator}{number}{separator}") == "4111111111111111"
    assert first_pan(number, "4111111111111111".__eq__) is None
    assert first_pan(f"{number}{separator}1") is None
    assert first_pan(f"{number} for A") is None
    assert first_pan(number.replace(separator, "\n", 1)) is None


@pytest.mark.parametrize("number", ["⁴¹¹¹¹¹¹¹¹¹¹¹¹¹¹¹", "④①①①①①①①①①①①①①①①"])
def test_digits_of_any_shape_are_digits(number: str) -> None:
    assert first_pan(number) == "4111111111111111"
