"""What stands on the keys, held against Linux's own maps where the machine has them."""

from __future__ import annotations

import pytest

from drivers.wedge.keymaps import KEY_SPACE, LAYOUTS, ROWS, Level, Symbol
from tests.drivers.wedge import xkb

PRINTABLE = [chr(code) for code in range(0x20, 0x7F)]
LEVELS: tuple[Level, ...] = (0, 1, 2)
# Linux's name of each layout.
XKB = {
    "us": ("us", ""),
    "de": ("de", ""),
    "fr": ("fr", ""),
    "si": ("si", ""),
    "hr": ("hr", ""),
    "rs": ("rs", "latin"),
}
# Where a scanner's keyboard, which is Windows', is not Linux': the key and the level. Of `docs/wedges.md`.
DIFFERENT: dict[str, set[tuple[int, Level]]] = {
    "us": {(86, 0), (86, 1)},
    "de": set(),
    "fr": {(3, 2), (8, 2), (41, 1)},
    "si": {(41, 0), (41, 1), (2, 2), (8, 2)},
    "hr": {(41, 0), (41, 1), (4, 2)},
    "rs": {(2, 2), (8, 2)},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_printable_character_of_ascii_is_on_a_key(layout: str) -> None:
    on_keys = {symbol.char for symbol in LAYOUTS[layout].symbols.values()}

    assert [char for char in PRINTABLE if char not in on_keys] == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_space_is_space_at_every_level_and_a_key_stands_for_one_row_place(layout: str) -> None:
    levels = LEVELS if LAYOUTS[layout].has_altgr else LEVELS[:2]

    assert all(LAYOUTS[layout].symbol(KEY_SPACE, level) == Symbol(char=" ") for level in levels)
    assert len({code for row in ROWS for code in row}) == sum(len(row) for row in ROWS)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_caps_lock_turns_letters_over_and_nothing_else(layout: str) -> None:
    keyboard = LAYOUTS[layout]
    for row in ROWS:
        for code in row:
            plain, shifted = keyboard.symbol(code, 0), keyboard.symbol(code, 1)
            turned = plain is not None and plain.char.isalpha() and shifted is not None
            turned = turned and plain is not None and shifted is not None and plain.char.upper() == shifted.char
            assert keyboard.symbol(code, 0, caps=True) == (shifted if turned else plain)
            assert keyboard.symbol(code, 1, caps=True) == (plain if turned else shifted)
            assert keyboard.symbol(code, 2, caps=True) == keyboard.symbol(code, 2)


def test_serbian_differs_from_slovenian_in_the_key_beside_1_alone() -> None:
    si, rs = LAYOUTS["si"].symbols, LAYOUTS["rs"].symbols

    assert {
        code for code, _ in si.keys() | rs.keys() if any(si.get((code, n)) != rs.get((code, n)) for n in LEVELS)
    } == {41}


@pytest.mark.skipif(not xkb.is_here(), reason="needs libxkbcommon and xkb-data")
@pytest.mark.parametrize("layout", XKB)
def test_the_maps_are_linux_ones_but_for_the_known_differences(layout: str) -> None:
    ours = LAYOUTS[layout].symbols
    different = set()

    with xkb.xkb_layout(*XKB[layout]) as theirs:
        for code in (code for row in ROWS for code in row):
            for level in LEVELS:
                mine, linux = ours.get((code, level)), theirs.symbol(code, level)
                # Linux has more on the third level; what we have there must be right as far as ASCII goes.
                matters = level < 2 or (mine is not None and mine.char.isascii())
                if matters and mine != linux:
                    different.add((code, level))

    assert different == DIFFERENT[layout]
