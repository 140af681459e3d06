"""What a register gives up when its disk is full, and in which order; transactions are not in it.

Owns the order: what can be had again goes first, what only a restored centre would need last. Never decides when.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from sync.store.writing import Writing

# In this order; each gives up a little at once, and says 0 where it had nothing.
SHED_ORDER: Final[tuple[Callable[[Writing], int], ...]] = (
    Writing.drop_pins,
    Writing.drop_used_scans,
    Writing.drop_resolved_bytes,
    partial(Writing.shed, max_bytes=0),
)


def shed_some(writing: Writing) -> bool:
    """Gives up some of the first thing that there is; False where nothing is left to give up."""
    return any(step(writing) for step in SHED_ORDER)
