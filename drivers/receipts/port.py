"""What a receipt reader gets and gives. Owns the port that built-in and third-party readers implement.

A reader is a class registered under the entry-point group `tillside.readers`. It is made without
arguments, keeps no state between calls, and gets text: bytes, code pages and cuts are settled before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Protocol, Self, overload

from msgspec import Struct

from drivers.escpos.paper import PrintedCode
from drivers.receipts.classify import IgnoredKind
from drivers.receipts.row_mapping import RowMapping
from drivers.receipts.template import Template
from loyalty.receipt import Receipt

CERTAIN = 100
# Below that of any whole receipt: the end is missing.
TORN_CERTAINTY = 10


class DecodeOptions(Struct, frozen=True, kw_only=True):
    """What the operator knows about a source; nothing is needed.

    `format` is `auto`, `escpos`, `star`, `text` (any reader), `json`, `poslog`, `csv` (by its `mapping`), or the name
    of one reader. `code_page` overrules what the printer stream selects, `letters` names those that the POS draws
    itself, by code. `store`, `register`, `currency` and `time_zone` complete receipts that do not print them.
    `templates` are read with beside the installed readers.
    """

    format: str = "auto"
    code_page: str | None = None
    profile: str | None = None
    letters: dict[int, str] = {}
    store: str | None = None
    register: str | None = None
    currency: str | None = None
    time_zone: str | None = None
    mapping: RowMapping | None = None
    templates: tuple[Template, ...] = ()


class TextLine(Struct, frozen=True, kw_only=True, gc=False):
    """A line and the byte range of the document that made it."""

    text: str
    start: int
    end: int


class Lines(Sequence[TextLine]):
    """Lines as columns, one entry a line: a line is made where it is looked at. Most of a file's are looked at as text.

    Nobody changes the columns of lines that are handed on.
    """

    __slots__ = ("ends", "starts", "texts")

    def __init__(self, texts: list[str], starts: list[int], ends: list[int]) -> None:
        self.texts, self.starts, self.ends = texts, starts, ends

    @classmethod
    def of(cls, lines: Iterable[TextLine]) -> Self:
        """Lines that were made one by one."""
        made = list(lines)
        return cls([line.text for line in made], [line.start for line in made], [line.end for line in made])

    def __len__(self) -> int:
        return len(self.texts)

    @overload
    def __getitem__(self, at: int) -> TextLine: ...

    @overload
    def __getitem__(self, at: slice) -> Lines: ...

    def __getitem__(self, at: int | slice) -> TextLine | Lines:
        if isinstance(at, slice):
            return Lines(self.texts[at], self.starts[at], self.ends[at])
        return TextLine(text=self.texts[at], start=self.starts[at], end=self.ends[at])


class PrintedJob(Struct, frozen=True, kw_only=True):
    """One sheet of paper, or one text up to its page break.

    For `read`, what stood in the `Found` as `known` stands here again.
    """

    lines: Lines
    codes: tuple[PrintedCode, ...] = ()
    known: object = None


class Found(Struct, frozen=True, kw_only=True):
    """A reader says: lines `first` up to `last` (exclusive) are a receipt of mine.

    `certainty` is 1 to CERTAIN. Where readers differ, the surer one reads. What a reader has learned by looking may
    stand in `known`, which is nobody else's to look into.
    """

    first: int
    last: int
    certainty: int
    known: object = None


class MalformedReceiptError(ValueError):
    """A receipt was found and cannot be read. `code` names why, the message says what to do."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


Part = Receipt | IgnoredKind | MalformedReceiptError
"""What a record of a file is: a receipt, something else by its kind, or why it cannot be read."""


class ReceiptReader(Protocol):
    """Reads one kind of printed receipt."""

    name: ClassVar[str]

    def find(self, job: PrintedJob) -> Sequence[Found]:
        """Where receipts of this kind stand in `job`, in order, not overlapping. Never raises."""

    def read(self, job: PrintedJob, options: DecodeOptions) -> Receipt:
        """The receipt that `job`, cut to one Found, holds. `key` may be empty: the caller sets it.

        Raises MalformedReceiptError.
        """
