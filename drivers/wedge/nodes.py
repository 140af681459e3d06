"""Several event nodes of one device as one stream: a scanner may have its modifiers on one and its keys on another.

Owns their order, which is that of the times at which the kernel took each event. Pure: reading a node is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from drivers.wedge.events import DeviceEvent

Read = Callable[[], list[DeviceEvent]]
"""All that a node has to say now, in its order; never waits."""


class NodeMerger:
    """Merges what the nodes `reads` say."""

    def __init__(self, reads: Sequence[Read]) -> None:
        self._reads = reads
        self._kept: list[DeviceEvent] = []

    def take(self) -> list[DeviceEvent]:
        """What is certain to be in order now.

        An event of one node is certain once all others were read after it: whatever came before it there is known
        then. So all are read twice; what only the second look shows may have been overtaken, and waits for the
        look after that, which follows at once.
        """
        taken: list[DeviceEvent] = []
        while seen := self._kept + self._look():
            until = max(event.at_ns for event in seen)
            seen = sorted(seen + self._look(), key=lambda event: event.at_ns)
            certain = sum(event.at_ns <= until for event in seen)
            taken += seen[:certain]
            self._kept = seen[certain:]
        return taken

    def _look(self) -> list[DeviceEvent]:
        return [event for read in self._reads for event in read()]
