"""The scanner that the POS has too: its members' codes, as the relay keeps them (`drivers.relay`).

Owns reading the relay's folder, and saying what the agent has taken. Never sees goods, and never opens a port: the
scanner is the relay's, so that it serves the POS without the agent.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import structlog
from msgspec import Meta, Struct

from drivers.clock import Clock
from drivers.receipts.spool_source import SpooledJob, SpoolPosition, SpoolReader
from drivers.relay.spool import read_acknowledged
from drivers.scanning.driver import Emit, Keeping, Ready, ScanEvent, typed_options
from drivers.scanning.repeats import RepeatFilter
from drivers.scanning.scan import Parse
from drivers.transport.port import PortMissingError

# A receipt waits no longer for the next scan that was made before it; the driver takes one in a few milliseconds.
TAKEN_WITHIN_S = 2.0
TAKEN_LOOK_EVERY_S = 0.01
# Scans that are shown and not durable yet, as on a disk that hangs; the next ones wait in the relay's folder.
MAX_UNKEPT = 64

_log = structlog.get_logger(__name__)


class SharedScannerOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`spool` is the folder that the relay was given as `--scans`."""

    name: str
    spool: Annotated[str, Meta(min_length=1)]


class SharedScannerDriver:
    """The `ScannerDriver` of a scanner that the relay carries.

    A scan keeps the instant at which the relay heard it, however late it is taken. It is acknowledged once it is
    durable in the agent's store: if the agent ends before that, it comes once more, with the same instant. That is
    harmless, since a receipt takes the last scan before it and uses up all others, and one that is told again after
    its receipt was made before that.
    """

    def __init__(self, options: Mapping[str, object], clock: Clock, parse: Parse) -> None:  # noqa: ARG002  the port's
        self._options = typed_options(SharedScannerOptions, options)
        self._folder = Path(self._options.spool)
        self._parse = parse
        self._repeats = RepeatFilter()
        self._unkept: deque[tuple[SpoolPosition, Keeping]] = deque()

    async def run(self, emit: Emit, ready: Ready) -> None:
        """Calls `ready` when all that waited in the folder has been taken."""
        reader = SpoolReader(self._folder)
        is_ready = False
        try:
            position = await asyncio.to_thread(_acknowledged, self._folder)
            while True:
                while jobs := await asyncio.to_thread(reader.read_after, position):
                    for job in jobs:
                        position = job.position
                        self._unkept.append((position, await self._take(job, emit)))
                        await self._acknowledge(reader)
                        await self._room()
                if not is_ready:
                    ready()
                    is_ready = True
                await self._changed(reader)
                await self._acknowledge(reader)
        except OSError as error:
            raise PortMissingError(
                f"{self._folder} cannot be read ({error.strerror or error}). It is the relay's: run the agent as the "
                "same user, and check its disk."
            ) from error
        finally:
            reader.close()

    async def _take(self, job: SpooledJob, emit: Emit) -> Keeping:
        if job.damage is not None:  # told by the reader; half a code may be somebody else's
            return None
        scan = self._parse(job.payload)
        if self._repeats.is_repeat(scan.text, self._options.name, job.captured):
            return None
        return await emit(ScanEvent(scan=scan, at=job.captured, reader=self._options.name, shared=True))

    async def _acknowledge(self, reader: SpoolReader) -> None:
        """Say that what is durable, and behind nothing that is not, need not be kept any more."""
        position = None
        while self._unkept and _is_over(self._unkept[0][1]):
            position, _ = self._unkept.popleft()
        if position is not None:
            await asyncio.to_thread(_acknowledge, reader, position)

    async def _room(self) -> None:
        """Returns once there are not too many scans that are not durable."""
        if len(self._unkept) >= MAX_UNKEPT and (keeping := self._unkept[0][1]) is not None:
            await asyncio.wait([keeping])

    async def _changed(self, reader: SpoolReader) -> None:
        """Returns once there may be another scan to take, or one more to acknowledge."""
        keeping = self._unkept[0][1] if self._unkept else None
        if keeping is not None and _is_over(keeping):
            return
        changed = asyncio.ensure_future(reader.changed())
        waiting: set[asyncio.Future[Any]] = {changed}
        if keeping is not None and not keeping.done():
            waiting.add(keeping)
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
            await asyncio.gather(changed, return_exceptions=True)
        if not changed.cancelled():
            changed.result()


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


def _is_over(keeping: Keeping) -> bool:
    """Whether nothing is to be waited for. What was cancelled was not kept: the agent ends."""
    return keeping is None or (keeping.done() and not keeping.cancelled())


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
