"""Who holds a device open, on Windows: it does not tell without a driver of its own.

Not yet run on Windows.
"""

from __future__ import annotations

from drivers.transport.holder import Holder, OpenPort


class WindowsHolders:
    """The `Holders` of Windows: nobody is ever seen."""

    def of(self, path: str) -> tuple[Holder, ...]:  # noqa: ARG002
        return ()

    def claim(self, path: str, port: OpenPort) -> tuple[Holder, ...]:  # noqa: ARG002
        return ()  # Windows opens a serial port for one program at a time

    def untold(self, path: str) -> str:
        return f"Windows does not tell which; in Process Explorer, search the handles for {path}."
