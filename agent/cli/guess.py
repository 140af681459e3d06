"""`tillside decode --guess`: a line of the paper in the code pages it may be in, and the setting to write."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from agent.cli.exit_codes import DONE
from drivers.escpos.guess import GuessedPage
from drivers.receipts.decode import pages_to_choose
from drivers.receipts.port import DecodeOptions

SHOWN_LETTERS = 48


class _Choice(Struct, frozen=True, kw_only=True):
    """A guess, and the telling line by the name of the page it is read in."""

    guessed: GuessedPage
    lines: dict[str, str]


def guess_command(document: bytes, options: DecodeOptions, *, as_json: bool) -> int:
    """Print the pages that `document` may be in; with `as_json`, `{"guesses":[…]}`. Raises DecodeOptionsError."""
    choices = [_Choice(guessed=guessed, lines=lines) for guessed, lines in pages_to_choose(document, options)]
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode({"guesses": choices}) + b"\n")
    else:
        text = "\n".join("".join(_described(choice)) for choice in choices) or _NOTHING
        sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()
    return DONE


_NOTHING = "Nothing to guess: every letter is ASCII, or the code pages that are told make sense.\n"


def _described(choice: _Choice) -> Iterator[str]:
    guessed = choice.guessed
    if guessed.selected is None:
        yield "Nothing says which code page the printer is in. The likeliest:\n"
    else:
        yield f"The words make no sense in the code page that ESC t {guessed.selected} selects. The likeliest:\n"
    certainties = {guessed.guess.code_page: guessed.guess.certainty}
    certainties |= {other.code_page: other.certainty for other in guessed.guess.runners_up}
    for page, line in choice.lines.items():
        shown = "".join(letter if letter.isprintable() else " " for letter in line)[:SHOWN_LETTERS]
        yield f"  {page:<10} {certainties[page]:>3} %  {shown}\n"
    yield "If the first line reads right, write for this printer, under [[receipts]] in tillside.toml:\n"
    yield f'  code_page = "{guessed.guess.code_page}"\n'
