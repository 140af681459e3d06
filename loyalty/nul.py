"""NULs in JSON texts: not every database keeps one, so what holds one is refused where it comes in.

Owns finding them. Never changes a text.
"""

from __future__ import annotations

import re

# Its escape, behind any number of escaped backslashes.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_ESCAPED = rb"\u0000"


def holds_nul(document: bytes) -> bool:
    """Whether a text in the JSON `document` has a NUL."""
    return _ESCAPED in document and _NUL.search(document) is not None
