"""The port through which every driver exchanges bytes with its device, and how that fails.

Owns the protocol and its errors. Never opens anything: `serial`, `tcp` and `memory` do.
"""

from __future__ import annotations

from typing import Protocol

# Room for 64 KiB of input that nobody has read yet: a minute of a 9600 baud line, hundreds of scans. When it
# is full a transport stops reading, so that the device's own flow control holds the rest back.
INPUT_LIMIT_BYTES = 64 * 1024


class TransportError(Exception):
    """A port failed. The message says what to do about it."""


class PortMissingError(TransportError):
    """Nothing is there: no such device, or nobody answers at the address."""


class PortBusyError(TransportError):
    """The device is there and may not be used: another program holds it, or this user has no right to it."""


class PortAmbiguousError(TransportError):
    """Several devices are what the settings name."""


class PortUnpluggedError(TransportError):
    """The device went away while it was open."""


class TransportClosedError(TransportError):
    """The transport is not open: `close` was called, or `open` was not."""


class Transport(Protocol):
    """A byte stream to one device, for one reader and one writer.

    Every byte that arrives is returned once and in order; after a failure `read` first returns what
    had arrived before it. After `close`, or after any error of `open`, it may be opened again.
    """

    async def open(self) -> None:
        """Open the port. Raises PortMissingError, PortBusyError or PortAmbiguousError."""

    async def read(self) -> bytes:
        """At least one byte, as soon as there is one.

        Raises PortUnpluggedError when the device has gone, TransportClosedError when closed meanwhile.
        """

    async def write(self, data: bytes) -> None:
        """Hand all of `data` to the device. Raises PortUnpluggedError or TransportClosedError."""

    async def close(self) -> None:
        """Close the port and end a pending `read`; does nothing when it is closed."""
