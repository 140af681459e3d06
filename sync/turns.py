"""Long work in a thread beside the event loop's, in small pieces: between two of them the loop gets its turn.

Python runs one thread at a time, and hands over after 5 ms, or after the call that a thread is in. A scan or a receipt
would wait for that at each of its steps.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

# Entries of a batch that are worked on in one go: less than half a millisecond, whatever is done with them.
PIECE: Final = 32
# A thread that waits is awake by then; giving way for no time would mostly take the turn back before it is.
PAUSE_S: Final = 0.000_1


def pieces(count: int) -> Iterator[range]:
    """The numbers from 0 to `count`, by PIECE, with a pause before each but the first."""
    for start in range(0, count, PIECE):
        if start:
            time.sleep(PAUSE_S)
        yield range(start, min(start + PIECE, count))
