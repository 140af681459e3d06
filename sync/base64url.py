"""Bytes as text that fits into JSON, a URL and a line: unpadded URL-safe base64 (RFC 4648, section 5)."""

from __future__ import annotations

import base64


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """The inverse. Raises ValueError where `text` is none."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
