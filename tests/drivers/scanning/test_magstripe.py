"""What is kept of a swipe."""

from __future__ import annotations

import random
from functools import partial, reduce
from itertools import combinations, permutations
from operator import xor

import pytest

from drivers.scanning.magstripe import MAX_TRACK_CHARS, Swipe, read_swipe
from loyalty.identification import IdentificationRule, owns_number
from loyalty.pan import first_pan, luhn_holds, masked

PAN = "4111111111111111"
NAME = "DOE/JANE"
PAYMENT_TRACKS = {
    1: f"%B{PAN}^{NAME}^25121010000000000000?",
    2: f";{PAN}=25121010000012345678?",
    3: f"+01{PAN}=724724100000000000030300XXXX040400099010=000000?".replace("X", "0"),
}
CLUB_TRACKS = {1: "%B9000123456^DOE/JANE^9912?", 2: ";9000123456=9912?", 3: "+9000123456?"}


def check_character(track: str) -> str:
    """By the rows of bits, as the standard says it: each has an even number of ones."""
    first = 0x20 if track[0] == "%" else 0x30
    codes = [ord(character) - first for character in track.replace("+", ";")]
    rows = [sum(code >> bit & 1 for code in codes) % 2 << bit for bit in range(6)]
    return chr(first + sum(rows))


@pytest.mark.parametrize(
    ("track", "check"),
    [
        # A reader maker's three examples of the calculation.
        (";0?", "4"),
        (";01?", "5"),
        (";124?", "3"),
        # A third track full of digits, as read off a card.
        ("+3" + "".join(digit * 10 for digit in "4567890") + "1234" + "1" * 10 + "2" * 10 + "3" * 9 + "?", "0"),
    ],
)
def test_the_check_character_is_the_one_on_real_cards(track: str, check: str) -> None:
    assert check_character(track) == check
    assert read_swipe(track + check) == read_swipe(track)
    assert read_swipe(track + check) == Swipe(numbers=(track[1:-1],))
    wrong = "7" if check != "7" else "8"
    assert read_swipe(track + wrong) == Swipe(problems=("swipe_error",))


@pytest.mark.parametrize("line_end", ["", "\r", "\r\n", "\n"])
@pytest.mark.parametrize("checked", [False, True])
def test_any_of_the_tracks_in_any_order_give_the_number(line_end: str, checked: bool) -> None:
    for count in (1, 2, 3):
        for chosen in combinations(CLUB_TRACKS, count):
            for order in permutations(chosen):
                tracks = [CLUB_TRACKS[track] for track in order]
                text = line_end.join(each + (check_character(each) if checked else "") for each in tracks)

                assert read_swipe(text + line_end) == Swipe(numbers=("9000123456",)), text


def test_every_check_character_is_told_from_the_track_behind_it() -> None:
    """Also where it looks like a sentinel."""
    seen = set()
    for number in range(2000):
        first, second = f";{number}?", "+9000000?"
        check = check_character(first)
        seen.add(check)
        assert read_swipe(first + check + second + check_character(second)) == Swipe(numbers=(str(number), "9000000"))
        assert read_swipe(first + second) == Swipe(numbers=(str(number), "9000000"))
        assert read_swipe(first + check + ";9000000?") == Swipe(numbers=(str(number), "9000000"))
    assert seen == set("0123456789:;<=>?")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        (";77?", ("77",)),
        ("%M77?", ("M77",)),
        ("%77^SMITH/J^?", ("77",)),
        ("%B77^SMITH/J^9912?", ("77",)),
        ("%B77?", ("B77",)),  # no field of a financial card
        ("%SMITH/JOHN?", ()),  # a name is no number
        ("%SMITH JOHN 3?", ()),
        ("%90 00 12?", ("900012",)),
        (";12=34?+56?", ("12", "56")),
        ("%1^?;2?+3?", ("2", "1", "3")),
        (";2?;3?", ("2", "3")),  # a reader that knows no +
        ("%?;2?+?", ("2",)),
        (";=99?", ()),
    ],
)
def test_the_number_is_track_two_before_one_before_three(text: str, numbers: tuple[str, ...]) -> None:
    assert read_swipe(text) == Swipe(numbers=numbers)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("%E?", ()),
        (";E?", ()),
        ("+E?", ()),
        ("%E?;E?", ()),
        ("%+E?;E?", ()),
        ("%E?\r;E?\r+E?", ()),
        ("%E?;77?", ("77",)),
        ("%M77?;E?", ("M77",)),
        (";E?;88?", ("88",)),
        ("%M77?;88", ("M77",)),  # the end of track 2 was lost
        ("%?;?+?", ()),  # an empty stripe
        (";7A7?+88?", ("88",)),  # no character of track 2
        (";88?+7A7?", ("88",)),
    ],
)
def test_a_track_that_cannot_be_read_is_said(text: str, numbers: tuple[str, ...]) -> None:
    assert read_swipe(text) == Swipe(numbers=numbers, problems=("swipe_error",))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "M001234",
        "%",
        ";12",
        "%hello?",
        "%20% OFF? YES!",
        "100% SURE?",
        "%A?%B1?",
        ";1?;2?;3?",
        "+1?;2?;3?",
        "https://club.example/?c=1;2?",
        ";" + "1" * 39 + "?",
        "%" + "1" * 78 + "?",
        ";шифра?",
        ";1?x",
    ],
)
def test_what_is_no_swipe_is_none(text: str) -> None:
    assert read_swipe(text) is None


def test_a_track_is_as_long_as_the_standard_says() -> None:
    for track, start in ((1, "%"), (2, ";"), (3, "+")):
        full = start + "1" * (MAX_TRACK_CHARS[track] - 3) + "?"  # type: ignore[index]
        assert read_swipe(full + check_character(full)) is not None
        assert read_swipe(full.replace("?", "11?")) is None


def test_of_a_payment_card_only_the_ends_of_its_number_are_kept() -> None:
    for count in (1, 2, 3):
        for chosen in combinations(PAYMENT_TRACKS, count):
            text = "".join(PAYMENT_TRACKS[track] for track in chosen)

            assert read_swipe(text) == Swipe(pan_ends="411111******1111", problems=("payment_card",)), text


@pytest.mark.parametrize(
    "text",
    [
        "%B3782 822463 10005^DOE/J^2512101?",
        f"%E?;E?;59{PAN}=?",
        f";01{PAN}=724?",  # track 3 alone, by a reader that knows no +
        f"%M77?;{PAN}=2512101?",  # a card of both kinds
        f"%B{PAN}?",
        ";5999990000000004=2512101?",  # an issuer that nobody lists, with validity and service code
    ],
)
def test_a_payment_card_is_known_on_any_track(text: str) -> None:
    swipe = read_swipe(text)

    assert swipe is not None
    assert swipe.problems == ("payment_card",)
    assert swipe.numbers == ()
    assert swipe.pan_ends.count("*") >= 5


@pytest.mark.parametrize(
    "text",
    [
        ";5999990000000004?",  # no validity
        ";5999990000000005=2512101?",  # Luhn
        ";5999990000000004=2513101?",  # no month
        ";9999990000000006=2512101?",  # no bank's
        ";634004024012345676=9912?",
    ],
)
def test_a_loyalty_card_in_the_form_of_one_is_none(text: str) -> None:
    swipe = read_swipe(text)

    assert swipe is not None
    assert swipe.numbers
    assert swipe.problems == ()


def test_the_shops_own_range_is_no_payment_card() -> None:
    own = partial(owns_number, (IdentificationRule(name="club", prefixes=("601100",), lengths=(16,)),))

    assert read_swipe("%B6011000990139424^DOE/J^2512101?;6011000990139424=2512101?", own) == Swipe(
        numbers=("6011000990139424",)
    )
    assert read_swipe(f";6011000990139424?+{PAN}?", own) == Swipe(pan_ends=masked(PAN), problems=("payment_card",))


def test_mutated_swipes_give_a_swipe_or_none_and_no_payment_card_number() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    whole = [
        "".join(PAYMENT_TRACKS.values()),
        "".join(CLUB_TRACKS.values()),
        "%E?;E?+E?",
        "\r".join(CLUB_TRACKS.values()),
    ]
    bases = [*PAYMENT_TRACKS.values(), *CLUB_TRACKS.values(), *whole]
    bases += [track + check_character(track) for track in (*PAYMENT_TRACKS.values(), *CLUB_TRACKS.values())]
    noise = "%;+?^=E\r\n0419AZ \x00é٣{"
    for _ in range(200_000):
        text = bases[int(chance.random() * len(bases))]
        for _ in range(1 + int(chance.random() * 3)):
            at = int(chance.random() * len(text))
            kind = chance.random()
            piece = noise[int(chance.random() * len(noise))] if kind < 0.7 else ""
            text = text[:at] + piece + text[at + (kind > 0.3) :]
        swipe = read_swipe(text)
        if swipe is not None:
            assert all(first_pan(number) is None for number in swipe.numbers), f"seed {seed}: {text!r}"
            assert NAME not in str(swipe), f"seed {seed}: {text!r}"


def test_the_check_of_these_tests_is_a_sum_without_carry() -> None:
    text = ";1234567890=991210?"

    assert check_character(text) == chr(0x30 + reduce(xor, (ord(character) - 0x30 for character in text)))


@pytest.mark.parametrize("number", ["30000000007", "30000000000000000004"])
def test_a_number_too_short_or_too_long_for_a_bank_is_a_loyalty_cards(number: str) -> None:
    assert luhn_holds(number)
    assert read_swipe(f"%{number}^^2512101?") == Swipe(numbers=(number,))
