"""Names of goods: one form for each, and patterns that mean what they look like."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalty.item_names import MAX_NAME_CHARS, edged, grams_of, normal_name, pattern_of


@pytest.mark.parametrize(
    ("printed", "normal"),
    [
        ("FLAŠA (povratna)", "flasa povratna"),
        ("Флаша (повратна)", "flasa povratna"),
        ("ЂУВЕЧ", "duvec"),
        ("ĐUVEČ", "duvec"),
        ("DJUVEC", "duvec"),
        ("Џем од шљива, љут", "dzem od sljiva ljut"),
        ("Crème brûlée", "creme brulee"),
        ("Spaß & Käse", "spass kase"),
        ("Coca-Cola 1,5L", "coca cola 1 5l"),
        ("  a\t b_c  ", "a b c"),
        ("Γάλα 1L", "γαλα 1l"),
        ("%%%", ""),
    ],
)
def test_a_name_has_one_form(printed: str, normal: str) -> None:
    assert normal_name(printed) == normal


@given(st.text(max_size=60))
def test_a_normal_name_is_its_own_normal_form(text: str) -> None:
    once = normal_name(text)

    assert normal_name(once) == once
    assert once == " ".join(once.split())


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("mleko 1l", "МЛЕКО 1Л", True),
        ("mleko 1l", "MLEKO 1L", True),
        ("mleko 1l", "MLEKO 1L PROMO", False),
        ("mleko*", "Млеко 2,8%", True),
        ("mleko*", "KOZJE MLEKO", False),
        ("*kesa*", "NOSIVE KESAČE", True),
        ("* tip *", "TIP", True),
        ("* tip *", "A TIP 5", True),
        ("* tip *", "MULTIPACK", False),
        ("*tip*", "MULTIPACK", True),
        ("*boca", "POVRATNA BOCA", True),
        ("*boca", "BOCA 1L", False),
        ("povrat* amb*", "POVRATNA AMBALAŽA", True),
        ("povrat* amb*", "AMBALAŽA POVRATNA", False),
        ("jogurt * 1l", "JOGURT 1L", True),  # the edge of a word is one edge
        ("jogurt * 1l", "JOGURT VOĆNI 1L", True),
        ("jogurt * 1l", "JOGURT 11L", False),
        ("abc*abc", "ABC", False),  # a part is used once
        ("abc*abc", "ABCABC", True),
        ("đ*", "", False),
    ],
)
def test_a_pattern_fits_what_it_looks_like(pattern: str, name: str, fits: bool) -> None:
    assert pattern_of(pattern).matches(edged(normal_name(name))) is fits


@given(st.lists(st.text("ab ", max_size=3), min_size=1, max_size=4), st.text("ab ", max_size=9))
def test_a_pattern_means_the_same_as_a_regular_expression(parts: list[str], name: str) -> None:
    # given any text with `*`, as a regular expression in which the edge of a word is looked at and not used up
    normal = edged(normal_name(name))
    pattern = pattern_of("*".join(parts))
    written = ".*".join(re.escape(part).replace(r"\ ", "(?: |(?<= ))") for part in pattern.parts)

    assert pattern.matches(normal) == (re.fullmatch(written, normal) is not None)


@given(st.text("ab *", max_size=8), st.text("ab ", max_size=12))
def test_a_name_that_fits_has_all_the_runs_that_it_is_looked_up_by(pattern: str, name: str) -> None:
    made, normal = pattern_of(pattern), edged(normal_name(name))

    if made.matches(normal):
        assert made.grams <= set(grams_of(normal))


def test_what_is_beyond_the_compared_length_does_not_count() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    name = "".join(rng.choice("abcdefg") for _ in range(MAX_NAME_CHARS))

    assert normal_name(name + "xyz") == normal_name(name)
    assert normal_name("x" + name) != normal_name(name)
