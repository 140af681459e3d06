"""The port between a scanner's driver and the agent that supervises it.

Owns the protocol, and the typed reading of a driver's options. Never opens a device.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from drivers.clock import Clock
from drivers.scanning.scan import Parse, Scan
from loyalty.instant import Instant


class ScanEvent(Struct, frozen=True, kw_only=True):
    """A scan, when its last byte arrived, and the name of the reader it came from.

    `shared` where the POS heard it too: then most of what is no goods to us is something to the POS.
    """

    scan: Scan
    at: Instant
    reader: str
    shared: bool = False


# What is still to come before a taken scan is durable, or counts for nothing; None where that is nothing. Only a
# driver whose scans are kept elsewhere until then has to look at it.
Keeping = asyncio.Future[Any] | None
Emit = Callable[[ScanEvent], Awaitable[Keeping]]
Ready = Callable[[], None]
Options = TypeVar("Options", bound=Struct)

_MISSING = re.compile("Object missing required field `(.*)`")


class DriverOptionsError(ValueError):
    """An option of a driver cannot be used. `key` is empty when no single one is at fault."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}" if key else problem)
        self.key = key
        self.problem = problem


class ScannerDriver(Protocol):
    """One configured scanner; made anew for each start."""

    def __init__(self, options: Mapping[str, object], clock: Clock, parse: Parse) -> None:
        """`options` are the keys of the scanner's table: `name`, and the driver's own. `parse` makes a scan of
        each code that is heard, by the identification rules in force at that moment.

        Raises DriverOptionsError. Opens nothing yet.
        """

    async def run(self, emit: Emit, ready: Ready) -> None:
        """Open the device, call `ready` once, and await `emit` for each scan, in order, until cancelled.

        Raises TransportError when the device cannot be opened or has gone; the supervisor then starts a new
        driver after a while. Always leaves the device closed.
        """


def typed_options(kind: type[Options], options: Mapping[str, object]) -> Options:
    """`options` as a `kind`, a Struct that forbids unknown fields. Raises DriverOptionsError, naming the key."""
    types = get_type_hints(kind)
    for key, value in options.items():
        if key not in types:
            raise DriverOptionsError(key, f"no such option; known are {', '.join(types)}")
        if get_origin(types[key]) is Literal and value not in get_args(types[key]):
            raise DriverOptionsError(key, f"{value!r} is none of {', '.join(map(repr, get_args(types[key])))}")
    try:
        return msgspec.convert(options, kind)
    except msgspec.ValidationError as error:
        missing = _MISSING.fullmatch(str(error))
        if missing is not None:
            raise DriverOptionsError(missing[1], "is needed") from error
        problem, _, path = str(error).replace("`", "").partition(" - at $.")
        raise DriverOptionsError(path, problem[:1].lower() + problem[1:]) from error
