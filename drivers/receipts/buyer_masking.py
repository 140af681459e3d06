"""Takes the number of a fiscal receipt's buyer out of bytes that are kept, so that only its kind prefix stays.

Owns where such a number may stand: in the row of a journal, as printed, posted or written to a file, and in the
address of the receipt's Serbian code. The length stays, so that byte ranges hold, and so does all else: what was
masked is read as before. Pictures stay: what is drawn cannot be told. Payment cards are `job_masking`'s.

Source: technical guide of the Serbian tax administration: `10:` and a tax number, `11:` a citizen's, `20:` the number
of an identity card, and so on; in the code behind its length.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from drivers.escpos.framing import EscposFramer
from drivers.receipts.documents import wide_codec
from drivers.receipts.fiscal_qr import BUYER, BUYER_AT, SEAL_BYTES, VERSION
from drivers.receipts.job_masking import UNSEEN, printed_lines
from drivers.receipts.journal_rows import LABELS
from drivers.receipts.wording import compact
from drivers.star.framing import StarFramer

_STAR: Final = ord("*")
# What a buyer's rows are called in a journal, and in layouts beside it.
_BUYER_LABELS: Final = frozenset(
    {label for label, field in LABELS.items() if field == "buyer" or "KUPCA" in label or "COSTCENTER" in label}
    | {"OIBKUPCA", "IDZADDVKUPCA", "DAVCNASTEVILKAKUPCA"}
)
# A loyalty card may be called so as well: it is a buyer's only behind a kind prefix.
_ANYBODYS: Final = frozenset({"CUSTOMERID", "CUSTOMERTIN"})
# How a till may write Serbian.
_ENCODINGS: Final = ("utf-8", "cp1251", "cp855", "cp866", "iso8859_5", "mac_cyrillic", "koi8_r")
_CASES: Final[tuple[Callable[[str], str], ...]] = (str.lower, str.upper, str.title)
_WORDS: Final = {case(word) for word in ("kupc", "kupac", "купц", "купац", "buyer", "customer") for case in _CASES}
# Whether there may be a buyer's row: most receipts have none.
_HAS_WORD: Final = re.compile(
    b"|".join(
        sorted(
            {re.escape(word.encode(encoding)) for word in _WORDS for encoding in _ENCODINGS}
            | {
                re.escape(case(json.dumps(word)[1:-1].encode()))
                for word in _WORDS
                for case in (bytes.lower, bytes.upper)
            }
            | {rb"\\u0[0-9A-Fa-f]{3}"}
        )
    )
)
# A kind and its number, whatever stands before them. Behind the hour of a time are two digits.
_PREFIXED: Final = re.compile(
    rb"(?<![\d:.,])[1-9]\d[ \t]{0,3}:[ \t]{0,3}(?=[A-Za-z]{0,4}\d{5})([0-9A-Za-z][0-9A-Za-z:/-]{4,30})"
)
# What stands in a text and is no letter of it: an escape of JSON, an entity of HTML.
_MARKUP: Final = rb"\\u[0-9A-Fa-f]{4}|\\.|&[#0-9A-Za-z]{2,8};"
_KIND: Final = re.compile(rb"(?:\s|" + _MARKUP + rb")*\d\d(?:\s*:|\s*\Z)")
_LETTER: Final = re.compile(_MARKUP + rb"|([0-9A-Za-z\x80-\xff])")
# A wrapped number goes on in a line that holds nothing else.
_REST: Final = re.compile(rb"\s*(?=[A-Za-z:/-]*\d)[0-9A-Za-z:/-]{1,30}\s*").fullmatch
# A label is no longer.
_MAX_LABEL_BYTES: Final = 120
_LINE_END: Final = re.compile(rb"\r\n|\r|\n|(?:\\r)?\\n|\\r|<[bB][rR]\s{0,3}/?>")
_JSON_FIELD: Final = re.compile(
    rb'"[a-z_]*(?:buyer|kupca|kupac)[a-z_]*"\s*:\s*(?:"((?:[^"\\]|\\.){1,60})"|(\d{3,20}))', re.IGNORECASE
)
_JSON_LETTER: Final = re.compile(r"\\u([0-9a-fA-F]{4})")
# The address in a Serbian code. Its base64 may be escaped in every way, and wrapped.
_CODE: Final = re.compile(
    rb"[vV][lL](?:=|%3[dD]|\\u003[dD])"
    rb"((?:[A-Za-z0-9+/=_-]|%[0-9A-Fa-f]{2}|\\/|\\u00[0-9A-Fa-f]{2}|\r?\n[ \t]{0,8}(?=[A-Za-z0-9+/=_-])){60,4000})"
)
_ESCAPED: Final = re.compile(rb"%([0-9A-Fa-f]{2})|\\u00([0-9A-Fa-f]{2})|\\/")
_BASE64: Final = bytes.maketrans(b"-_", b"+/")


def masked_buyers(document: bytes) -> bytes:
    """`document` with the number of each buyer starred; its kind prefix stays, and the length of everything."""
    codec = wide_codec(document)
    if codec is None:
        return _masked(document)
    units = array("H", document[: len(document) // 2 * 2])
    if codec == "utf-16-be":
        units.byteswap()
    letters = "".join(map(chr, units)).encode("cp1251", "replace")
    for place, (letter, kept) in enumerate(zip(_masked(letters), letters, strict=True)):
        if letter != kept:
            units[place] = letter
    if codec == "utf-16-be":
        units.byteswap()
    return units.tobytes() + document[len(units) * 2 :]


def _masked(document: bytes) -> bytes:
    masked = bytearray(document)
    for code in _CODE.finditer(document):
        masked[code.start(1) : code.end(1)] = _masked_code(code[1])
    for prefixed in _PREFIXED.finditer(masked):
        _star(masked, range(*prefixed.span(1)))
    if _HAS_WORD.search(document) is None:
        return bytes(masked)
    for field in _JSON_FIELD.finditer(bytes(masked)):
        if field[1] is not None:
            kind = _KIND.match(field[1])
            _star(masked, range(field.start(1) + (kind.end() if kind is not None else 0), field.end(1)))
        else:  # still a number
            masked[field.start(2) : field.end(2)] = b"1".ljust(len(field[2]), b"0")
    for framer in (EscposFramer(), StarFramer()):
        _star_rows(masked, _rows(document, printed_lines(document, [*framer.feed(document), *framer.finish()])))
    return bytes(masked)


def _rows(document: bytes, lines: Iterator[list[tuple[int, int]]]) -> Iterator[Sequence[int]]:
    """Where the letters of each row stand."""
    for line in lines:
        places = [place for start, end in line for place in range(start, end) if document[place] not in UNSEEN]
        text, at = bytes(document[place] for place in places), 0
        for end in _LINE_END.finditer(text):
            yield places[at : end.start()]
            at = end.end()
        yield places[at:]


def _star_rows(masked: bytearray, rows: Iterator[Sequence[int]]) -> None:
    """Star what stands behind a buyer's label, also where label or number are wrapped."""
    before, goes_on = b"", False
    for places in rows:
        text = bytes(masked[place] for place in places)
        label, colon, value = text.partition(b":")
        if goes_on and (_REST(text) or _KIND.match(text)):
            _star_value(masked, places, text, anybodys=False)
            continue
        named = _label(before, label) if colon and len(label) <= _MAX_LABEL_BYTES else None
        goes_on = named is not None
        if named is not None:
            _star_value(masked, places[len(label) + 1 :], value, anybodys=named in _ANYBODYS)
        before = b"" if colon else text


def _label(before: bytes, label: bytes) -> str | None:
    """The buyer's label that these bytes are, alone or with the line before."""
    for encoding in _ENCODINGS if _HAS_WORD.search(before + label) else ():
        for wrapped in (label, before + label):
            text = _JSON_LETTER.sub(lambda letter: chr(int(letter[1], 16)), wrapped.decode(encoding, "replace"))
            if (named := compact(text)) in _BUYER_LABELS:
                return named
    return None


def _star_value(masked: bytearray, places: Sequence[int], value: bytes, *, anybodys: bool) -> None:
    kind = _KIND.match(value)
    if kind is not None or not anybodys:
        end = value.find(b"<")
        _star(masked, places[kind.end() if kind is not None else 0 : end if end >= 0 else len(value)])


def _star(masked: bytearray, places: Sequence[int]) -> None:
    for letter in _LETTER.finditer(bytes(masked[place] for place in places)):
        if letter[1] is not None:
            masked[places[letter.start()]] = _STAR


def _masked_code(raw: bytes) -> bytes:
    """A code's base64 of the same length: its buyer starred, and its check sum right if it was."""
    for end in [*(line.start() for line in re.finditer(rb"\r?\n", raw)), len(raw)][::-1]:
        text = _plain(raw[:end])
        data = _decoded(text)
        if data is not None and data[-SEAL_BYTES:] == _seal(data):
            if (starred := _without_buyer(data)) is None:
                return raw
            sealed = starred[:-SEAL_BYTES] + _seal(starred)
            return base64.b64encode(sealed).rstrip(b"=").ljust(end, b"=") + raw[end:]
    # Not whole: as much of it as holds the buyer.
    text = _plain(raw)
    head = _decoded(text[: len(text) // 4 * 4]) or _decoded(text[: (BUYER_AT + 64) // 3 * 4])
    starred = _without_buyer(head) if head is not None else None
    if starred is None:
        return raw
    begun = base64.b64encode(starred[: len(starred) // 3 * 3])
    return (begun + text[len(begun) :]).ljust(len(raw), b"=")


def _plain(raw: bytes) -> bytes:
    """Base64 without escapes, wraps and padding."""
    text = _ESCAPED.sub(lambda one: bytes([int(one[1] or one[2] or b"2F", 16)]), raw)
    return text.translate(_BASE64, b"\r\n\t ").rstrip(b"=")


def _decoded(text: bytes) -> bytes | None:
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return None


def _seal(data: bytes) -> bytes:
    return hashlib.md5(data[:-SEAL_BYTES], usedforsecurity=False).digest()


def _without_buyer(data: bytes) -> bytes | None:
    """The starred payload; None where it names no buyer."""
    if len(data) <= BUYER_AT or data[0] != VERSION:
        return None
    end = BUYER_AT + data[BUYER_AT - 1]
    kind = BUYER.match(data, BUYER_AT, end)
    start = kind.end() if kind is not None else BUYER_AT
    hidden = re.sub(rb"[^\0 ]", b"*", data[start:end])
    return data[:start] + hidden + data[start + len(hidden) :] if hidden.strip(b"\0 ") else None
