"""Origins of web pages, written exactly as browsers send them.

Owns what may be written, and what is said of anything else. There are no patterns: one that fits too much lets a
stranger in. Source: RFC 6454, section 6.1.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

# A shop's POS, its training system, and room; each may ask whatever its tokens allow.
MAX_ORIGINS = 8
DEFAULT_PORTS = {"http": 80, "https": 443}
_LIKE = "Write it like https://pos.example, with its :port where the address has one"
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\]")


def origin_problem(text: str) -> tuple[str, str] | None:
    """What is wrong with an origin and what to do, in words; None where it is as browsers send it."""
    if "*" in text:
        return f"{text!r} is a pattern", "Name each origin by itself: scheme, host and port exactly"
    sent = _as_browsers_send(text)
    if sent is None:
        return f"{text!r} is no origin of a web page", _LIKE
    if sent != text:
        return f"{text!r} is not what browsers send", f"Write {sent!r}"
    return None


def _as_browsers_send(text: str) -> str | None:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in DEFAULT_PORTS or host is None:
        return None
    host = f"[{host}]" if ":" in host else host
    if not _HOST.fullmatch(host):
        return None
    return f"{parts.scheme}://{host}" + ("" if port in (None, DEFAULT_PORTS[parts.scheme]) else f":{port}")
