"""What the passage has to know of a printer's language: ESC/POS, or Star's.

Owns which commands ask, which draw, and which begun bytes may become a cut. Never decides what a job is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, Protocol

from drivers.escpos.framing import EscposFramer, Frame

LanguageName = Literal["escpos", "star"]


class Framing(Protocol):
    """What finds commands in the stream: `EscposFramer`, or another printer language's."""

    def feed(self, data: bytes) -> Sequence[Frame]: ...

    def finish(self) -> Sequence[Frame]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """A printer language.

    `questions` are about the printer's state: no part of a job when they come before it or alone, however often
    a POS asks. `drawing` commands put something on paper; the others set up, feed, cut, or open the drawer.
    `begun_cuts` are last bytes that wait until it is known whether they are a cut.
    """

    framing: Callable[[], Framing]
    questions: frozenset[str]
    drawing: frozenset[str]
    begun_cuts: tuple[bytes, ...]


ESCPOS: Final = Language(
    framing=partial(EscposFramer, styled_text=True),
    questions=frozenset({"DLE EOT", "DLE ENQ", "GS r", "GS I", "GS a", "ESC u", "ESC v"}),
    drawing=frozenset({"ESC *", "ESC Z", "FS p", "GS ( L", "GS ( k", "GS /", "GS 8 L", "GS D", "GS Q", "GS k", "GS v"}),
    begun_cuts=(b"\x1b", b"\x1d", b"\x1dV", *(b"\x1dV" + bytes((form,)) for form in (65, 66, 97, 98, 103, 104))),
)


def language_named(name: LanguageName) -> Language:
    """The language of that name. A relay for ESC/POS stays as small as it is."""
    if name == "escpos":
        return ESCPOS
    from drivers.star.framing import StarFramer  # noqa: PLC0415

    return Language(
        framing=StarFramer,
        questions=frozenset({"ENQ", "EOT", "ESC ACK", "ESC GS ) I"}),
        drawing=frozenset(
            {"ESC b", "ESC K", "ESC L", "ESC k", "ESC X", "ESC GS S", "ESC GS y P", "ESC GS x P", "ESC GS ( k"}
            | {"ESC FS p", "ESC RS L", "b", "k"}
        ),
        begun_cuts=(b"\x1b", b"\x1bd", b"\x1b\x0c", b"\x1b*", b"\x1b*r"),
    )
