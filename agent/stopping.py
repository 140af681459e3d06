"""What tells the agent to stop, as a port: signals here, the service manager in `agent.windows.host`.

Owns the signals of each system. Never decides what stopping does.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from types import FrameType

# Is given, within the running loop, what to call there once the agent shall stop.
Stops = Callable[[Callable[[], None]], None]


def by_signals(stop: Callable[[], None]) -> None:
    """SIGTERM and Ctrl-C; on Windows Ctrl-C and Ctrl-Break, which are all that a process can be sent there."""
    loop = asyncio.get_running_loop()
    if sys.platform == "win32":

        def told(_number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(stop)

        for number in (signal.SIGINT, signal.SIGBREAK):
            signal.signal(number, told)
    else:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
