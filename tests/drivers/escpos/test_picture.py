"""Bitmaps: what goes in by rows or columns comes out, joined and scaled, and nothing grows beyond its limits."""

from __future__ import annotations

import random

import pytest

from drivers.escpos.picture import (
    EMPTY,
    MAX_PICTURE_DOTS,
    MAX_WIDTH_DOTS,
    Bitmap,
    from_columns,
    from_rows,
    greys,
    overlaid,
    scaled,
    side_by_side,
    stacked,
)

SEED = random.randrange(2**32)


def drawn(*rows: str) -> Bitmap:
    """`#` is black."""
    packed = b"".join(
        int(row.replace("#", "1").replace(".", "0").ljust((len(row) + 7) // 8 * 8, "0"), 2).to_bytes(
            (len(row) + 7) // 8
        )
        for row in rows
    )
    return Bitmap(width=len(rows[0]), height=len(rows), rows=packed)


def seen(bitmap: Bitmap) -> list[str]:
    rows = (bitmap.rows[at : at + bitmap.stride] for at in range(0, len(bitmap.rows), bitmap.stride or 1))
    return ["".join("#" if row[x // 8] >> 7 - x % 8 & 1 else "." for x in range(bitmap.width)) for row in rows]


def test_rows_are_cut_to_their_width_and_incomplete_ones_left_off() -> None:
    bitmap = from_rows(b"\xff\xff\x81\x81\xff", width=11, height=3)
    assert seen(bitmap) == ["###########", "#......##.."]
    assert bitmap.rows == b"\xff\xe0\x81\x80"


def test_columns_are_turned_into_rows() -> None:
    # three columns of 16 dots: all black, the top one, the bottom one
    bitmap = from_columns(b"\xff\xff\x80\x00\x00\x01", width=3, height=16)
    assert seen(bitmap) == ["##.", *["#.."] * 14, "#.#"]


def test_columns_of_any_size_are_what_their_rows_are() -> None:
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    for _ in range(50):
        width, height = dice.randint(1, 70), dice.randint(1, 70)
        rows = ["".join(dice.choice("#.") for _ in range(width)) for _ in range(height)]
        columns = b"".join(
            int(
                "".join(rows[y][x] for y in range(height))
                .replace("#", "1")
                .replace(".", "0")
                .ljust(-(-height // 8) * 8, "0"),
                2,
            ).to_bytes(-(-height // 8))
            for x in range(width)
        )
        assert seen(from_columns(columns, width=width, height=height)) == rows


def test_a_dot_grows_across_and_down() -> None:
    assert seen(scaled(drawn("#.#", ".#."), 2, 3)) == [*["##..##"] * 3, *["..##.."] * 3]
    assert seen(scaled(drawn("#........#"), 3, 1)) == ["###" + "." * 24 + "###"]


def test_pictures_are_joined_below_beside_and_on_top_of_each_other() -> None:
    wide, narrow = drawn("#########", "........."), drawn("#.", ".#")
    assert seen(stacked([narrow, wide])) == ["#........", ".#.......", "#########", "........."]
    assert seen(side_by_side([(0, narrow), (4, drawn("##"))])) == ["#...##", ".#...."]
    assert seen(side_by_side([(1, narrow), (0, narrow)])) == [".#.#.", "..#.#"]
    assert seen(overlaid([narrow, drawn("...", "#..")])) == ["#..", "##."]


def test_nothing_joined_is_nothing() -> None:
    assert stacked([]) == side_by_side([]) == overlaid([]) == from_rows(b"", width=0, height=9) == EMPTY
    assert from_columns(b"", width=5, height=8).rows == b""
    assert scaled(EMPTY, 2, 2) == EMPTY
    assert greys(EMPTY) == (b"", 0, 0)


def test_a_dot_becomes_a_byte_with_white_paper_around() -> None:
    dots, width, height = greys(drawn("#.", ".#"), margin=1)
    assert (width, height) == (4, 4)
    assert dots.hex(" ", 4) == "ffffffff ff00ffff ffff00ff ffffffff"
    assert greys(drawn("#......#"))[0] == b"\x00" + b"\xff" * 6 + b"\x00"


def test_what_lies_beyond_the_limits_is_left_off() -> None:
    wide = from_rows(b"\xff" * 10_000, width=80_000, height=1)
    assert (wide.width, len(wide.rows)) == (MAX_WIDTH_DOTS, MAX_WIDTH_DOTS // 8)
    tall = stacked([from_rows(b"\xff" * 1_000_000, width=800, height=10_000)] * 5)
    assert tall.width * tall.height <= MAX_PICTURE_DOTS < (tall.height + 1) * 800
    grown = scaled(from_rows(b"\xff" * 1_000_000, width=1600, height=5_000), 3, 3)
    assert grown.width == MAX_WIDTH_DOTS
    assert grown.width * grown.height <= MAX_PICTURE_DOTS
    assert side_by_side([(0, wide), (0, drawn("#"))]).width == MAX_WIDTH_DOTS


@pytest.mark.parametrize("blank", [drawn("..."), EMPTY, from_rows(b"\0" * 8, width=8, height=8)])
def test_white_paper_is_blank(blank: Bitmap) -> None:
    assert blank.is_blank
    assert not drawn("..#").is_blank
