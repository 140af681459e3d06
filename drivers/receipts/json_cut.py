"""Where the records of a JSON file stand in its bytes, whatever is broken between them.

Owns the cutting by brackets: each record is cut out before it is parsed, so that one that is no JSON, or a bomb, stops
no other. And what parsers accept though it may mean anything. Never knows what a record is. Takes time in
proportion to the document.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final, NoReturn

import msgspec
from msgspec import Raw

from loyalty.undecodable import UNDECODABLE

# The next bracket that is in no text. Possessive: what was passed is never looked at again.
_BRACKET: Final = re.compile(rb'[^"{}\[\]]*+(?:"(?:[^"\\]++|\\.)*+"[^"{}\[\]]*+)*+([{}\[\]])', re.DOTALL)
_RECEIPTS: Final = re.compile(rb'"receipts"\s*:\s*\Z')
_SEPARATORS: Final = b", \t\r\n\xef\xbb\xbf"


class AmbiguousError(ValueError):
    """An object says a key twice, or a number is none, and so may mean anything."""


def elements(document: bytes) -> Iterator[tuple[int, int, bool]]:
    """Where each receipt stands, and all else that stands where one should; and whether it is in a list."""
    at = depth = start = 0
    # Where the last one ended, and how deep the list is open that receipts stand in; 0 where none is.
    last = listed = 0
    while (mark := _BRACKET.match(document, at)) is not None:
        here = mark.start(1)
        if mark[1] in b"{[":
            opens_list = mark[1] == b"[" and not listed
            if depth == listed or (opens_list and depth == 0):
                yield from _between(document, last, here, is_listed=bool(listed))
                start = here
            if opens_list and (depth == 0 or (depth == 1 and _RECEIPTS.search(document, at, here))):
                listed, last = depth + 1, here + 1
            depth += 1
        elif depth:
            depth -= 1
            if depth == listed:
                yield start, here + 1, bool(listed)
                last = here + 1
            elif depth < listed:
                yield from _between(document, last, here, is_listed=True)
                last, listed = here + 1, 0
                # What else its object says is passed over.
                at = mark.end()
                while depth and (mark := _BRACKET.match(document, at)) is not None:
                    depth += 1 if mark[1] in b"{[" else -1
                    last = at = mark.end()
                if not _goes_on(document[here + 1 : last]):
                    yield here + 1, last, True
                continue
        at = mark.end()
    yield from _between(document, last, len(document), is_listed=bool(listed))


def _goes_on(rest: bytes) -> bool:
    """Whether `rest` is nothing, or what may stand in an object after its list up to the end."""
    try:
        return not rest or bool(msgspec.json.decode(b'{"":0' + rest, type=dict[str, Raw]))
    except UNDECODABLE:
        return False


def _between(document: bytes, start: int, end: int, *, is_listed: bool) -> Iterator[tuple[int, int, bool]]:
    """What stands between two receipts and is neither."""
    text = document[start:end].lstrip(_SEPARATORS)
    if text:
        yield end - len(text), end - len(text) + len(text.rstrip(_SEPARATORS)), is_listed


def refuse_ambiguity(text: bytes) -> None:
    """Raises AmbiguousError; RecursionError where what the contract does not know is too deep."""
    json.loads(text, object_pairs_hook=_unique, parse_int=_skipped, parse_float=_skipped, parse_constant=_refused)


def _unique(pairs: list[tuple[str, object]]) -> None:
    names = {name for name, _ in pairs}
    if len(names) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise AmbiguousError(f"the key {twice[:40]!r} stands there twice")


def _skipped(_number: str) -> None:
    """A number, which was read already."""


def _refused(constant: str) -> NoReturn:
    raise AmbiguousError(f"{constant} is no number of JSON")
