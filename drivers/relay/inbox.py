"""What one thread gets to do from all others. Owns the waking of that thread.

A queue of the standard library wakes it by a lock, and the interpreter stays with who puts something in: the woken
thread takes its processor, finds that it may not run, and gives the processor back. A call of the kernel lets go of the
interpreter first. That is a fifth of the relay's processor time for a job, and more of the time that a cut waits.
"""

from __future__ import annotations

import os
import select
import weakref
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """Items for one thread, in the order in which they came."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # Not before: whoever still has this may ring, and the number may be another file's by then.
        weakref.finalize(self, os.close, self._bell)
        self._poll = select.poll()
        self._poll.register(self._bell, select.POLLIN)

    @property
    def is_empty(self) -> bool:
        return not self._items

    def put(self, item: T) -> None:
        """From any thread."""
        self._items.append(item)
        self.wake()

    def wake(self) -> None:
        """Let the thread look around. From any thread."""
        os.eventfd_write(self._bell, 1)

    def take(self, timeout_s: float | None) -> list[T]:
        """All that is there, as soon as there is something or the thread is woken; after `timeout_s` in any case."""
        if self._poll.poll(None if timeout_s is None else timeout_s * 1000):
            os.eventfd_read(self._bell)
        return [self._items.popleft() for _ in range(len(self._items))]
