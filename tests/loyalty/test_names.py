"""Names as they are shown, one by one and whatever the text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalty.names import shown_name

TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Ana P.", "Ana P."),
        ("  Ana\t P.\n", "Ana P."),
        ("Ana \u202e.DSR 00,9 sunim", "Ana .DSR 00,9 sunim"),
        ("\u2066Ana\u2069\u200f", "Ana"),
        ("Bo\nB\u2028C\x00d\u200b\ufeff", "Bo B Cd"),
        ("Đurđa\u00adna Č.", "Đurđana Č."),
        ("محمد علي", "محمد علي"),
        # a joiner stays between letters, and nowhere else
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("क्\u200dष", "क्\u200dष"),
        ("\u200dAna\u200c P.", "Ana P."),
        ("C\u0301edo", "C\u0301edo"),
        ("李 4", "李 4"),
        # nothing is no name
        ("", ""),
        (" ", ""),
        ("\u202e", ""),
        ("\u200d\u200c", ""),
        ("\u0301", ""),
        ("\u3164 \u115f", ""),
        ("\x00", ""),
    ],
)
def test_a_name_is_what_can_be_read_of_it(text: str, name: str) -> None:
    assert shown_name(text) == name


@given(st.text(max_size=40))
def test_whatever_it_was_a_name_turns_no_line_around_and_stays_as_it_is(text: str) -> None:
    name = shown_name(text)
    assert shown_name(name) == name
    assert not any(
        unicodedata.bidirectional(char) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        for char in name
    )
    assert not any(unicodedata.category(char) in ("Cc", "Zl", "Zp") for char in name)
    assert name == name.strip()
