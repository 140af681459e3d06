"""Where the transactions of a POSLog stand in its bytes, whatever is broken between them.

Owns the cutting, the letters that the XML says it is in, and that a document type is never read. Each transaction is
cut out before anything is parsed, so that one that is malformed stops no other, and entities cannot be declared.
Never reads what is in a transaction. Takes time in proportion to the document.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct

from drivers.receipts.documents import wide_codec

# A document says what it is in its beginning, after comments and schema locations.
HEAD_BYTES: Final = 64 * 1024
# Where a log's end tag stands.
TAIL_BYTES: Final = 256
# A thousand lines with all that vendors add take one to two MiB.
MAX_TRANSACTION_BYTES: Final = 4 * 1024 * 1024

_BOM: Final = b"\xef\xbb\xbf"
_BLANK: Final = b" \t\r\n"
_BEGINS_XML: Final = re.compile(rb"<(?:\?xml[\s?]|!DOCTYPE\s)")
_HTML: Final = re.compile(rb"<(?:!DOCTYPE\s+html|html)[\s>]", re.IGNORECASE)
_ROOT: Final = re.compile(rb"<(?:[A-Za-z_][\w.\-]{0,62}:)?(?:POSLog|Transaction)[\s/>]")
_EMPTY_END: Final = re.compile(rb"(?:POSLog\s*|/)>\s*$")
_ANY_MARK: Final = rb"<(?:(?P<skip>!--|!\[CDATA\[|\?)|(?P<dtd>!DOCTYPE)|(?P<ends>/?)(?P<name>%s)(?=[\s/>]))"
_MARK: Final = re.compile(_ANY_MARK % rb"(?:[A-Za-z_][\w.\-]{0,62}:)?Transaction")
_CLOSERS: Final = {b"!--": b"-->", b"![CDATA[": b"]]>", b"?": b"?>"}
_ENCODING: Final = re.compile(rb"<\?xml[^>]{0,200}?\sencoding\s*=\s*[\"']([A-Za-z0-9._\-]{1,40})[\"']")
# Alphabets of one byte a letter or UTF-8; UTF-16 is known by its bytes.
_KNOWN_ENCODING: Final = re.compile(
    r"utf-?8|us-ascii|ascii|iso[-_]?8859-\d{1,2}|latin-?\d{1,2}|(?:windows-|cp)\d{3,4}|koi8-[ru]|mac-?\w{1,12}"
)

# The rest of a tag; no attribute may hold a `<`.
_TAG_END: Final = re.compile(rb"[^<>]*>")

CutKind = Literal["transaction", "torn", "stray", "too_large"]


class DtdRefusedError(ValueError):
    """The document declares a document type, by which a small file could become a huge one."""


class Cut(Struct, frozen=True, kw_only=True):
    """A transaction, `torn` where its end is missing, `stray` where its beginning is.

    Its bytes are `document[start:end]`; only a whole one that is not too large has its XML, in UTF-8 and without
    damaged letters.
    """

    kind: CutKind
    start: int
    end: int
    xml: bytes = b""


def is_xml_document(document: bytes) -> bool:
    """Whether `document` is XML that may be a POSLog, and no web page."""
    head = document[:HEAD_BYTES]
    codec = wide_codec(head)
    if codec is not None:
        head = head.decode(codec, "replace").encode()
    head = head.removeprefix(_BOM).lstrip(_BLANK)
    if not head.startswith(b"<") or _HTML.search(head):
        return False
    return _BEGINS_XML.match(head) is not None or _ROOT.search(head) is not None


def is_empty_log(document: bytes) -> bool:
    """Whether an XML `document` without transactions is a whole POSLog: nothing was sold."""
    # The same for two bytes a letter, whose other one is zero.
    head, tail = (part.replace(b"\0", b"") for part in (document[:HEAD_BYTES], document[-TAIL_BYTES:]))
    return _ROOT.search(head) is not None and _EMPTY_END.search(tail) is not None


def cuts(document: bytes) -> Iterator[Cut]:
    """The transactions of `document` in order. Raises DtdRefusedError where one has not begun."""
    codec = wide_codec(document)
    if codec is None:
        yield from _Cutter(document, None).cuts()
        return
    # Cut as UTF-8; the places in the document are counted along.
    narrow = document.decode(codec, "replace").encode()
    at = place = 0
    for cut in _Cutter(narrow, "utf-8").cuts():
        start = place + _wide_size(narrow[at : cut.start])
        at, place = cut.end, start + _wide_size(narrow[cut.start : cut.end])
        end = min(place, len(document))
        yield Cut(kind=cut.kind, start=min(start, end), end=end, xml=cut.xml)


def _wide_size(narrow: bytes) -> int:
    return len(narrow.decode("utf-8", "replace").encode("utf-16-le"))


class _Cutter:
    """Goes once through a document; `codec` is known, or told by each XML declaration met."""

    def __init__(self, document: bytes, codec: str | None) -> None:
        self._document = document
        self._tells_codec = codec is None
        self._codec = codec or "utf-8"
        # Of each closer, where the next one stands; below zero where none does.
        self._closer_at: dict[bytes, int] = {}
        # Where the open transaction begins and its name with the prefix; empty where none is open.
        self._start, self._name = 0, b""
        # Up to where nothing in it can be a mark.
        self._plain_to = 0
        # Where the last one ended.
        self._boundary = 0

    def cuts(self) -> Iterator[Cut]:
        at = 0
        while (mark := self._next_mark(at)) is not None:
            at = mark.end()
            if mark["skip"] is not None:
                at = self._past(mark["skip"], at)
                self._hear_encoding(mark.start(), at)
            elif mark["dtd"] is not None:
                if not self._name:
                    raise DtdRefusedError
            else:
                at = self._tag_end(at)
                ends = self._document[at - 2 : at] == b"/>" or bool(mark["ends"])
                yield from self._begun(mark) if not mark["ends"] else ()
                if ends:
                    yield self._ended(at)
        if self._name:
            yield self._cut("torn", self._start, len(self._document))

    def _next_mark(self, at: int) -> re.Match[bytes] | None:
        """What may begin or end a transaction; in one that is open, only another of its name."""
        if not self._name:
            return _MARK.search(self._document, at)
        return _marks_named(self._name).search(self._document, max(at, self._plain_to))

    def _begun(self, mark: re.Match[bytes]) -> Iterator[Cut]:
        if self._name:
            yield self._cut("torn", self._start, mark.start())
        self._start, self._name = mark.start(), mark["name"]
        self._plain_to = self._end_of_plain(mark.end())

    def _end_of_plain(self, at: int) -> int:
        """Where the open transaction may end, if nothing that begins or hides one stands before; else `at` itself."""
        end = self._next(b"</" + self._name, at)
        if end < 0 or any(self._stands(mark, at, end) for mark in (b"<!", b"<?", b"<" + self._name)):
            return at
        return end

    def _stands(self, mark: bytes, at: int, end: int) -> bool:
        """Whether `mark` stands from `at` up to `end`. Tags are many, and its second letter alone is found faster."""
        return self._document.find(mark[1:2], at, end) >= 0 and self._document.find(mark, at, end) >= 0

    def _ended(self, end: int) -> Cut:
        cut = self._cut("transaction", self._start, end) if self._name else self._cut("stray", self._boundary, end)
        self._name, self._boundary = b"", end
        return cut

    def _tag_end(self, at: int) -> int:
        """The place after the tag whose name ends at `at`, or `at` where it is not closed."""
        match = _TAG_END.match(self._document, at)
        return match.end() if match is not None else at

    def _cut(self, kind: CutKind, start: int, end: int) -> Cut:
        if kind != "transaction":
            return Cut(kind=kind, start=start, end=end)
        if end - start > MAX_TRANSACTION_BYTES:
            return Cut(kind="too_large", start=start, end=end)
        return Cut(kind=kind, start=start, end=end, xml=_in_utf8(self._document[start:end], self._codec))

    def _past(self, opener: bytes, at: int) -> int:
        """What follows a comment, CDATA section or instruction; `at` itself where it is never closed.

        One that holds a second opener is taken for unclosed: a comment may not hold one, and nothing is lost.
        """
        closer = _CLOSERS[opener]
        closed = self._next(closer, at)
        if closed < 0 or self._document.find(b"<" + opener, at, closed) >= 0:
            return at
        return closed + len(closer)

    def _next(self, closer: bytes, at: int) -> int:
        """Where the next `closer` stands, or below zero. Places asked for one after the other are looked at once."""
        found = self._closer_at.get(closer, 0)
        if 0 <= found < at:
            found = self._closer_at[closer] = self._document.find(closer, at)
        return found

    def _hear_encoding(self, start: int, end: int) -> None:
        if not self._tells_codec or self._name:
            return
        match = _ENCODING.match(self._document, start, end)
        if match is not None:
            name = match[1].decode("ascii").lower()
            self._codec = name if _KNOWN_ENCODING.fullmatch(name) and _is_codec(name) else "utf-8"


def _in_utf8(data: bytes, codec: str) -> bytes:
    """`data`, which says that it is in `codec`, in UTF-8; what is damaged is replaced."""
    text = data.decode(codec, "replace")
    return text.encode() if codec != "utf-8" or "\ufffd" in text else data


@lru_cache(maxsize=16)
def _marks_named(name: bytes) -> re.Pattern[bytes]:
    return re.compile(_ANY_MARK % re.escape(name))


def _is_codec(name: str) -> bool:
    try:
        "".encode(name)
    except LookupError:
        return False
    return True
