"""True repeats: a scanner that reads the same code again while it is still in its beam.

Owns the last code of each reader, and the last component read with it where it is a composite symbol. Sans-IO:
the instant is passed in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the relay knows repeats too, and stays small
    from loyalty.instant import Instant

# Nobody scans one code twice on purpose this fast; a scanner in presentation mode reads every 100 to 500 ms.
REPEAT_WITHIN_MS = 700


class RepeatFilter:
    """Knows a repeat: the code that the same reader read last, again within `within_ms`.

    Each repeat starts the time anew, so a card left in the beam is one scan. Another code in between makes
    it a scan of its own; the component of a composite, which a scanner sends after each reading of the linear code,
    is no other code.
    """

    def __init__(self, within_ms: int = REPEAT_WITHIN_MS) -> None:
        self._within_ns = within_ms * 1_000_000
        self._codes: dict[str, tuple[str, Instant]] = {}
        self._components: dict[str, tuple[str, Instant]] = {}

    def is_repeat(self, code: str, reader: str, at: Instant, *, component: bool = False) -> bool:
        """Whether this sighting repeats the one before it; remembers it either way.

        `component` for the second message of a composite, as `CompositeJoiner` knows it.
        """
        seen = self._components if component else self._codes
        last = seen.get(reader)
        seen[reader] = (code, at)
        repeated = last is not None and last[0] == code and 0 <= at.ns_since(last[1]) < self._within_ns
        if not component and not repeated:
            self._components.pop(reader, None)
        return repeated
