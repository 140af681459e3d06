"""`tillside decode --guess`: a line of the paper in the code pages it may be in, letters that the POS draws itself, and
the settings to write.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import zip_longest

import msgspec
from msgspec import Struct

from agent.cli.exit_codes import DONE
from drivers.escpos.drawn_letters import drawn_letters
from drivers.escpos.guess import GuessedPage
from drivers.escpos.picture import Bitmap
from drivers.receipts.decode import pages_to_choose
from drivers.receipts.port import DecodeOptions

SHOWN_LETTERS = 48
# A screen or two of letters drawn by the POS; those of the region are ten.
MAX_DRAWN_LETTERS = 20
# Two dots above each other, from their bits.
_DOTS = " ▄▀█"


class _Choice(Struct, frozen=True, kw_only=True):
    """A guess, and the telling line by the name of the page it is read in."""

    guessed: GuessedPage
    lines: dict[str, str]


def guess_command(document: bytes, options: DecodeOptions, *, as_json: bool) -> int:
    """Print the pages that `document` may be in; with `as_json`, `{"guesses":[…],"drawn_letters":["0x5e"]}`.

    Raises DecodeOptionsError.
    """
    choices = [_Choice(guessed=guessed, lines=lines) for guessed, lines in pages_to_choose(document, options)]
    drawn = drawn_letters(document)
    if as_json:
        answer = {"guesses": choices, "drawn_letters": [f"0x{code:02x}" for code in drawn]}
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    else:
        parts = ["".join(_described(choice)) for choice in choices] or [_NOTHING]
        sys.stdout.buffer.write("\n".join([*parts, *_pictured(drawn)]).encode())
    sys.stdout.buffer.flush()
    return DONE


_NOTHING = "Nothing to guess: every letter is ASCII, or the code pages that are told make sense.\n"


def _described(choice: _Choice) -> Iterator[str]:
    guessed = choice.guessed
    if guessed.selected is None:
        yield "Nothing says which code page the printer is in. The likeliest:\n"
    else:
        yield f"The words make no sense in the code page that ESC t {guessed.selected} selects. The likeliest:\n"
    certainties = guessed.guess.certainties
    for page, line in choice.lines.items():
        shown = "".join(letter if letter.isprintable() else " " for letter in line)[:SHOWN_LETTERS]
        yield f"  {page:<10} {certainties[page]:>3} %  {shown}\n"
    yield "If the first line reads right, write for this printer, under [[receipts]] in tillside.toml:\n"
    yield f'  code_page = "{guessed.guess.code_page}"\n'


def _pictured(drawn: dict[int, Bitmap]) -> Iterator[str]:
    if not drawn:
        return
    shown = dict(list(drawn.items())[:MAX_DRAWN_LETTERS])
    names = ", ".join(f'"0x{code:02x}" = "?"' for code in shown)
    yield (
        "The POS draws letters itself. Name those that its receipts use, under [[receipts]] in tillside.toml:\n"
        f"  letters = {{ {names} }}\n"
    )
    for code, bitmap in shown.items():
        yield f"0x{code:02x}\n" + "".join(f"  {line}\n" for line in _lines_of(bitmap))


def _lines_of(bitmap: Bitmap) -> Iterator[str]:
    """Dots as half blocks, two rows to a line."""
    rows = [bitmap.rows[at : at + bitmap.stride] for at in range(0, len(bitmap.rows), bitmap.stride or 1)]
    bits = [f"{int.from_bytes(row, 'big'):0{bitmap.stride * 8}b}"[: bitmap.width] for row in rows]
    for upper, lower in zip_longest(bits[::2], bits[1::2], fillvalue="0" * bitmap.width):
        yield "".join(_DOTS[2 * int(top) + int(bottom)] for top, bottom in zip(upper, lower, strict=True)).rstrip()
