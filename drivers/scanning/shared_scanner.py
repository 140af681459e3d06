"""The scanner that the POS has too: its members' codes, as the relay keeps them (`drivers.relay`).

Owns reading the relay's folder, and saying what the agent has taken. Never sees goods, and never opens a port: the
scanner is the relay's, so that it serves the POS without the agent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import structlog
from msgspec import Meta, Struct

from drivers.clock import Clock
from drivers.receipts.spool_source import SpooledJob, SpoolPosition, SpoolReader
from drivers.relay.spool import read_acknowledged
from drivers.scanning.driver import Emit, Ready, ScanEvent, typed_options
from drivers.scanning.repeats import RepeatFilter
from drivers.scanning.scan import Parse
from drivers.transport.port import PortMissingError

# A receipt waits no longer for the next scan that was made before it; the driver takes one in a few milliseconds.
TAKEN_WITHIN_S = 2.0
TAKEN_LOOK_EVERY_S = 0.01

_log = structlog.get_logger(__name__)


class SharedScannerOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`spool` is the folder that the relay was given as `--scans`."""

    name: str
    spool: Annotated[str, Meta(min_length=1)]


class SharedScannerDriver:
    """The `ScannerDriver` of a scanner that the relay carries.

    A scan keeps the instant at which the relay heard it, however late it is taken. It is acknowledged after `emit`
    has returned: if the agent ends in between, it comes once more, with the same instant. That is harmless, since a
    receipt takes the last scan before it and uses up all others, and one that is told again after its receipt was
    made before that.
    """

    def __init__(self, options: Mapping[str, object], clock: Clock, parse: Parse) -> None:  # noqa: ARG002  the port's
        self._options = typed_options(SharedScannerOptions, options)
        self._folder = Path(self._options.spool)
        self._parse = parse
        self._repeats = RepeatFilter()

    async def run(self, emit: Emit, ready: Ready) -> None:
        """Calls `ready` when all that waited in the folder has been taken."""
        reader = SpoolReader(self._folder)
        is_ready = False
        try:
            position = await asyncio.to_thread(_acknowledged, self._folder)
            while True:
                while jobs := await asyncio.to_thread(reader.read_after, position):
                    for job in jobs:
                        await self._take(job, emit)
                        position = job.position
                        await asyncio.to_thread(_acknowledge, reader, position)
                if not is_ready:
                    ready()
                    is_ready = True
                await reader.changed()
        except OSError as error:
            raise PortMissingError(
                f"{self._folder} cannot be read ({error.strerror or error}). It is the relay's: run the agent as the "
                "same user, and check its disk."
            ) from error
        finally:
            reader.close()

    async def _take(self, job: SpooledJob, emit: Emit) -> None:
        if job.damage is not None:  # told by the reader; half a code may be somebody else's
            return
        scan = self._parse(job.payload)
        if not self._repeats.is_repeat(scan.text, self._options.name, job.captured):
            await emit(ScanEvent(scan=scan, at=job.captured, reader=self._options.name, shared=True))


async def scans_taken(folder: Path, *, within_s: float = TAKEN_WITHIN_S) -> None:
    """Returns once the agent has taken every scan that the relay's `folder` holds now, or takes none for `within_s`.

    For who is about to book a receipt: a scan that was made before it may be waiting still, as after an agent that
    was away. Raises nothing: a folder that cannot be read holds up no receipt.
    """
    try:
        last = await asyncio.to_thread(_last_waiting, folder)
        taken = None
        while last is not None and (taken is None or taken < last):
            async with asyncio.timeout(within_s):
                taken = await _taken_beyond(folder, taken)
    except TimeoutError:
        _log.warning("scans_not_taken_yet", folder=str(folder))
    except OSError as error:
        _log.warning("scans_not_readable", folder=str(folder), reason=error.strerror)


async def _taken_beyond(folder: Path, before: SpoolPosition | None) -> SpoolPosition:
    """Up to where scans are taken, once that is beyond `before`."""
    while (taken := await asyncio.to_thread(_acknowledged, folder)) == before:  # noqa: ASYNC110  it is said in a file
        await asyncio.sleep(TAKEN_LOOK_EVERY_S)
    return taken


def _last_waiting(folder: Path) -> SpoolPosition | None:
    """The place after the last scan that has not been taken."""
    reader = SpoolReader(folder)
    position, last = _acknowledged(folder), None
    while jobs := reader.read_after(position):
        position = last = jobs[-1].position
    return last


def _acknowledged(folder: Path) -> SpoolPosition:
    segment, offset = read_acknowledged(folder)
    return SpoolPosition(segment=segment, offset=offset)


def _acknowledge(reader: SpoolReader, position: SpoolPosition) -> None:
    """A disk that takes no acknowledgement costs no scan: it is said again with the next."""
    try:
        reader.acknowledge(position)
    except OSError as error:
        _log.warning("scan_not_acknowledged", reason=error.strerror)
