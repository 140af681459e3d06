"""What keys type: modifiers, CapsLock, dead keys, ALT codes, control characters, and commands that type nothing."""

from __future__ import annotations

import pytest

from drivers.wedge.events import REPEAT, CapsLight, DeviceEvent, EventsLost, KeyEvent
from drivers.wedge.keyboard import UNKNOWN, Keyboard
from drivers.wedge.keymaps import KEYPAD_DIGITS, LAYOUTS
from tests.drivers.wedge.keys import down, press, up

SHIFT, RIGHT_SHIFT, CTRL, RIGHT_CTRL, ALT, ALTGR, META = 42, 54, 29, 97, 56, 100, 125
CAPS, NUM, SPACE, ENTER, KP_ENTER, TAB, F8 = 58, 69, 57, 28, 96, 15, 66
A, Q, M, Z, ONE, THREE, SIX, GRAVE, MINUS, EQUAL, LEFTBRACE, RIGHTBRACE = 30, 16, 50, 44, 2, 4, 7, 41, 12, 13, 26, 27
KEYPAD = {digit: code for code, digit in KEYPAD_DIGITS.items()}


def typed(layout: str, *events: DeviceEvent) -> str:
    keyboard = Keyboard(LAYOUTS[layout])
    return "".join(keyboard.feed(event) for event in events)


def alt_code(digits: str, alt: int = ALT) -> list[KeyEvent]:
    return [down(alt), *(key for digit in digits for key in press(KEYPAD[digit])), up(alt)]


@pytest.mark.parametrize("shift", [SHIFT, RIGHT_SHIFT])
def test_either_shift_holds_until_it_is_released(shift: int) -> None:
    assert typed("us", *press(A), down(shift), *press(A), *press(ONE), up(shift), *press(A)) == "aA!a"


def test_one_shift_still_holds_when_the_other_is_released() -> None:
    assert typed("us", down(SHIFT), down(RIGHT_SHIFT), up(SHIFT), *press(A), up(RIGHT_SHIFT), *press(A)) == "Aa"


def test_a_key_that_is_held_types_once() -> None:
    assert typed("us", down(A), *[KeyEvent(code=A, value=REPEAT, at_ns=0)] * 30, up(A)) == "a"


def test_a_key_whose_release_was_lost_types_again() -> None:
    assert typed("us", down(A), down(A), up(A), down(A)) == "aaa"


def test_caps_lock_turns_letters_over_with_and_without_shift() -> None:
    assert typed("de", *press(CAPS), *press(A), *press(SHIFT, A), *press(ONE), *press(CAPS), *press(A)) == "Aa1a"


def test_the_caps_light_of_the_host_is_its_caps_lock() -> None:
    assert typed("us", CapsLight(on=True, at_ns=0), *press(A), CapsLight(on=False, at_ns=0), *press(A)) == "Aa"


def test_the_number_pad_gives_digits_whatever_num_lock_says() -> None:
    keys = [key for digit in "0123456789" for key in press(KEYPAD[digit])]

    assert typed("us", *keys, *press(NUM), *keys) == "01234567890123456789"


@pytest.mark.parametrize(("layout", "decimal"), [("us", "."), ("de", ","), ("fr", "."), ("si", ","), ("rs", ",")])
def test_the_number_pad_has_the_country_s_decimal_sign(layout: str, decimal: str) -> None:
    assert typed(layout, *press(83), *(key for code in (55, 74, 78, 98) for key in press(code))) == decimal + "*-+/"


@pytest.mark.parametrize(
    ("layout", "keys", "text"),
    [
        ("de", press(GRAVE), "^"),
        ("de", press(EQUAL), "´"),
        ("de", press(SHIFT, EQUAL), "`"),
        ("fr", press(LEFTBRACE), "^"),
        ("fr", press(ALTGR, 3), "~"),
        ("fr", press(ALTGR, 8), "`"),
        ("si", press(ALTGR, 4), "^"),
        ("si", press(ALTGR, 10), "´"),
    ],
)
def test_a_dead_key_with_space_is_itself_and_with_a_letter_its_accent(
    layout: str, keys: list[KeyEvent], text: str
) -> None:
    assert typed(layout, *keys) == ""
    assert typed(layout, *keys, *press(SPACE), *press(SPACE)) == text + " "
    assert typed(layout, *keys, *press(ENTER)) == text + "\r"
    assert typed(layout, *keys, *keys, *press(SPACE)) == text + text


def test_a_dead_key_and_a_letter_are_one_character_where_there_is_one() -> None:
    assert typed("de", *press(GRAVE), *press(SHIFT, A)) == "Â"
    assert typed("de", *press(EQUAL), *press(18)) == "é"
    assert typed("de", *press(GRAVE), *press(ONE)) == "^1"
    assert typed("de", *press(GRAVE), *press(45)) == "^x"


def test_altgr_reaches_the_third_level_also_as_ctrl_with_alt() -> None:
    assert typed("de", *press(ALTGR, Q)) == "@"
    assert typed("de", *press(CTRL, ALT, Q)) == "@"
    assert typed("de", *press(CTRL, ALTGR, Q)) == "@"


@pytest.mark.parametrize("alt", [ALT, ALTGR])
@pytest.mark.parametrize(
    ("digits", "char"),
    [
        ("065", "A"),
        ("65", "A"),
        ("0065", "A"),
        ("029", "\x1d"),
        ("29", "\x1d"),
        ("013", "\r"),
        ("0228", "ä"),
        ("0128", "€"),
    ],
)
def test_an_alt_code_is_a_character_when_alt_is_released(alt: int, digits: str, char: str) -> None:
    assert typed("us", *alt_code(digits, alt)) == char


@pytest.mark.parametrize(
    ("layout", "digits", "char"),
    [
        ("us", "155", "¢"),
        ("de", "155", "ø"),
        ("fr", "155", "ø"),
        ("si", "155", "Ť"),
        ("us", "132", "ä"),
        ("si", "231", "š"),
    ],
)
def test_without_a_leading_zero_an_alt_code_is_of_the_country_s_dos_code_page(
    layout: str, digits: str, char: str
) -> None:
    assert typed(layout, *alt_code(digits)) == char


@pytest.mark.parametrize("digits", ["256", "0256", "99999", "0129", "000000999"])
def test_an_alt_code_that_is_none_is_an_unknown_character(digits: str) -> None:
    assert typed("us", *alt_code(digits)) == UNKNOWN


def test_alt_codes_work_on_every_layout_alike() -> None:
    keys = [key for char in "]C1Y-z" for key in alt_code(f"{ord(char):04}")]

    assert {typed(layout, *keys) for layout in LAYOUTS} == {"]C1Y-z"}


@pytest.mark.parametrize(
    ("layout", "keys", "char"),
    [
        ("us", (CTRL, RIGHTBRACE), "\x1d"),
        ("us", (RIGHT_CTRL, RIGHTBRACE), "\x1d"),
        ("de", (CTRL, RIGHTBRACE), "\x1d"),
        ("fr", (CTRL, RIGHTBRACE), "\x1d"),
        ("si", (CTRL, RIGHTBRACE), "\x1d"),
        ("si", (CTRL, LEFTBRACE), "\x1b"),
        ("de", (CTRL, 43), "\x1c"),
        ("us", (CTRL, SIX), "\x1e"),
        ("us", (CTRL, SHIFT, SIX), "\x1e"),
        ("us", (CTRL, MINUS), "\x1f"),
        ("us", (CTRL, 48), "\x02"),
        ("us", (CTRL, SHIFT, 48), "\x02"),
        ("de", (CTRL, Z), "\x19"),
        ("us", (CTRL, M), "\r"),
        ("fr", (CTRL, 39), "\r"),
        ("us", (CTRL, 36), "\n"),
        ("us", (CTRL, ENTER), "\n"),
        ("us", (CTRL, 23), "\t"),
        ("us", (F8,), "\x1d"),
    ],
)
def test_control_characters(layout: str, keys: tuple[int, ...], char: str) -> None:
    assert typed(layout, *press(*keys)) == char


@pytest.mark.parametrize(
    "keys",
    [
        (code,)
        for code in (1, 14, 59, 60, 63, 65, 67, 68, 87, 88, 99, 103, 105, 106, 107, 108, 110, 111, 113, 127, 139, 142)
    ]
    + [
        (ALT, 62),
        (ALT, TAB),
        (ALT, ENTER),
        (ALT, A),
        (META, 19),
        (META, ENTER),
        (META, ONE),
        (CTRL, 59),
        (CTRL, ALT, 111),
    ],
)
def test_commands_type_nothing_and_leave_nothing_behind(keys: tuple[int, ...]) -> None:
    assert typed("us", *press(A), *press(*keys), *press(A)) == "aa"


def test_enter_and_tab_are_line_ends() -> None:
    assert typed("us", *press(ENTER), *press(KP_ENTER), *press(TAB)) == "\r\r\t"


def test_a_key_that_the_layout_does_not_have_is_an_unknown_character() -> None:
    assert typed("de", *press(ALTGR, A)) == UNKNOWN
    assert typed("us", *press(ALTGR, Q)) == UNKNOWN


def test_after_a_loss_only_what_is_held_counts() -> None:
    assert typed("us", down(SHIFT), EventsLost(held=frozenset(), at_ns=0), *press(A)) == "a"
    assert typed("us", EventsLost(held=frozenset({SHIFT, A}), at_ns=0), *press(A), up(SHIFT), *press(A)) == "Aa"
    assert typed("de", *press(GRAVE), EventsLost(held=frozenset(), at_ns=0), *press(A)) == "a"
    assert typed("us", down(ALT), *press(KEYPAD["6"]), EventsLost(held=frozenset({ALT}), at_ns=0), up(ALT)) == ""
