"""What registers and operators write is shown in one line, as it is seen, and to a size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.texts import MAX_NAME_CHARS, NameRefusedError, checked_name, one_line


@given(st.text(max_size=200), st.integers(0, 64))
def test_what_is_shown_is_one_line_that_can_be_seen(text: str, most: int) -> None:
    shown = one_line(text, most)
    assert len(shown) <= most
    assert shown.isprintable()
    assert one_line(shown, most) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("scanner counter: /dev/ttyS0 žđš 中 🙂", "scanner counter: /dev/ttyS0 žđš 中 🙂"),
        ("x\n- store 1, register 1: silent", "x - store 1, register 1: silent"),
        ("a\u2028b\r\nc\td\u00a0e", "a b  c d e"),
        ("\x1b[2J\u202egnp.exe\u200b\0\x9b", "[2Jgnp.exe"),
        ("\ud800", ""),
    ],
)
def test_what_would_do_something_is_left_out(text: str, shown: str) -> None:
    assert one_line(text, 100) == shown


@pytest.mark.parametrize("name", ["12", "Köln, Dom", "R-3/a", "1*", "x" * MAX_NAME_CHARS])
def test_a_name_is_kept_as_it_is(name: str) -> None:
    assert checked_name(name, "store") == name


@pytest.mark.parametrize("name", ["", " ", "1 ", "1\n- store 2", "\x1b[2J", "1\u202e2", "x" * 5000, "\0", "a\u00a0b"])
def test_a_name_that_forges_lines_is_refused_and_not_repeated(name: str) -> None:
    with pytest.raises(NameRefusedError) as refused:
        checked_name(name, "store")
    said = str(refused.value)
    assert said.isprintable()
    assert len(said) < 200
    assert "cannot name a store: write 1 to 64 visible characters" in said
