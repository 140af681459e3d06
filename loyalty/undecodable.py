"""What decoding bytes as JSON raises where they are none, or not of the wanted shape.

msgspec's own error is not all of it: text that is no UTF-8, and nesting without an end, come as Python's errors.
"""

from __future__ import annotations

import msgspec

UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
