"""Which way in or out a text on the command line means.

Owns the written forms of ways, and what is said of one that is none. Never opens anything.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Final

from drivers.relay.device import DeviceInlet, DeviceOutlet, Find, PortSettings
from drivers.relay.line import Inlet, Outlet
from drivers.relay.tcp import Endpoint, TcpInlet, TcpOutlet, listen

PTY: Final = "pty:"
FIFO: Final = "fifo:"
USB: Final = "usb:"
CUPS: Final = "cups:"
SPOOLER: Final = "spooler:"
SYSTEMD: Final = "systemd"

_SYSTEMD = re.compile(r"systemd(?::([\w.-]+))?")


class WayError(ValueError):
    """A text means no way in or out. The message says what can be written."""


def inlet_for(text: str, settings: PortSettings, *, group: str | None = None) -> Inlet:
    """Where a POS prints to. Raises WayError. `group` may open a terminal or a named pipe that is made."""
    if text.startswith(PTY):
        # A scanner's part, which a relay without a terminal need not load.
        from drivers.relay.terminal import TerminalInlet  # noqa: PLC0415

        return TerminalInlet(_path(text, PTY), group=group)
    if text.startswith(FIFO):
        from drivers.relay.fifo import FifoInlet  # noqa: PLC0415  as above

        return FifoInlet(_path(text, FIFO), group=group)
    if handed := _SYSTEMD.fullmatch(text):
        from drivers.relay.service import handed_socket  # noqa: PLC0415  as above

        return TcpInlet(text, partial(handed_socket, handed[1] or ""))
    if text.startswith(("/", USB)):
        return DeviceInlet(text, settings, find=_finding(text))
    endpoint = _endpoint(text, "systemd, a serial port's path, usb:serial=…, pty:LINK or fifo:PATH")
    return TcpInlet(str(endpoint), partial(listen, endpoint))


def outlet_for(text: str, settings: PortSettings) -> Outlet:
    """The printer. Raises WayError."""
    if text.startswith(CUPS):
        from drivers.relay.cups import BackendOutlet, scheme_of  # noqa: PLC0415  as above

        uri = text.removeprefix(CUPS)
        if not scheme_of(uri):
            raise WayError("write cups: and a device URI, such as cups:usb://EPSON/TM-T20II; `lpinfo -v` lists them")
        return BackendOutlet(uri)
    if text.startswith(SPOOLER):
        from drivers.relay.windows_spooler import SpoolerOutlet  # noqa: PLC0415  as above

        if text == SPOOLER:
            raise WayError("write spooler: and the name of a queue of this machine")
        return SpoolerOutlet(text.removeprefix(SPOOLER))
    if text.startswith(("/", USB)):
        return DeviceOutlet(text, settings, find=_finding(text))
    return TcpOutlet(
        _endpoint(text, "the path of a port, such as /dev/usb/lp0, usb:serial=…, cups:URI or spooler:NAME")
    )


def _finding(text: str) -> Find | None:
    """How the path of a USB device is found; None for what is a path itself."""
    if not text.startswith(USB):
        return None
    # pyserial, which a relay without a USB serial device need not load.
    from drivers.transport.port import TransportError  # noqa: PLC0415
    from drivers.transport.ports import PortNameError, usb_path_finder  # noqa: PLC0415

    try:
        find = usb_path_finder(text)
    except PortNameError as error:
        raise WayError(str(error)) from error

    def found() -> str:
        try:
            return find()
        except TransportError as error:
            raise OSError(0, str(error)) from error

    return found


def _endpoint(text: str, others: str) -> Endpoint:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (host and colon and port.isascii() and port.isdigit() and int(port) < 65536):
        raise WayError(f"write HOST:PORT, such as 192.168.1.50:9100, or {others}")
    return Endpoint(host=host, port=int(port))


def _path(text: str, form: str) -> Path:
    path = text.removeprefix(form)
    if not path:
        raise WayError(f"write {form} and a path")
    return Path(path)
