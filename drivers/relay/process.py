"""`tillside relay`: the process that stands between the POS and its printer, between a scanner and the POS, or both.

Owns the listening port and a start and an end that lose nothing. It starts with the standard library alone and
needs neither configuration nor agent.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Protocol

from drivers.relay.arguments import Settings, read_all
from drivers.relay.printer_part import PrinterPart
from drivers.relay.service import keep_alive, tell

EXIT_DONE, EXIT_PROBLEM = 0, 1


class Part(Protocol):
    """What a relay carries: a printer, or a shared scanner. `ready` is what the ready line says of it."""

    @property
    def ready(self) -> dict[str, object]: ...

    def start(self) -> bool:
        """Take what no other program may have. Whether that was possible; what was not is told."""

    async def run(self, stop: asyncio.Event) -> int:
        """Carry until `stop` is set. Returns how much of what was to be kept is not."""


def main(argv: Sequence[str]) -> int:
    """Run the relay until SIGTERM or SIGINT. Returns the exit code: 0 ended, 1 could not start or lost a job."""
    registers = read_all(argv)
    # A register that cannot start keeps none of the others from selling.
    started = [(settings.register, parts) for settings in registers if (parts := _started(settings))]
    if not started:
        return EXIT_PROBLEM
    # What is there now stays: garbage is looked for among the rest only, in microseconds.
    gc.collect()
    gc.freeze()
    ready = _ready(started, as_json=registers[0].as_json, several=len(registers) > 1)
    return asyncio.run(_serve([part for _, parts in started for part in parts], ready))


def _started(settings: Settings) -> list[Part]:
    """What one register's settings ask for; nothing where that cannot be."""
    parts: list[Part] = []
    if settings.printer is not None:
        printer = PrinterPart(settings, settings.printer)
        if not printer.start():
            return []
        parts.append(printer)
    if settings.scanner is not None:
        # A relay without a scanner stays as small as it is.
        from drivers.relay.scanner_part import ScannerPart  # noqa: PLC0415

        scanner = ScannerPart(settings, settings.scanner)
        if scanner.start():  # else another relay has it, and a printer goes on without
            parts.append(scanner)
    return parts


async def _serve(parts: Sequence[Part], ready: str) -> int:
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    alive = asyncio.create_task(keep_alive())
    print(ready, flush=True)
    tell("READY=1")
    ending = asyncio.create_task(_tell_end(stop))
    try:
        unkept = await asyncio.gather(*(part.run(stop) for part in parts))
    finally:
        alive.cancel()
        ending.cancel()
    return EXIT_PROBLEM if any(unkept) else EXIT_DONE


async def _tell_end(stop: asyncio.Event) -> None:
    await stop.wait()
    tell("STOPPING=1")


def _ready(started: Sequence[tuple[str, list[Part]]], *, as_json: bool, several: bool) -> str:
    """The ready line."""
    if not as_json:
        return "relay: " + "; ".join(_told(part) for _, parts in started for part in parts)
    told = [{key: value for part in parts for key, value in part.ready.items()} for _, parts in started]
    if several:
        named = [{"register": name} | facts for (name, _), facts in zip(started, told, strict=True)]
        return json.dumps({"registers": named, "pid": os.getpid()})
    return json.dumps(told[0] | {"pid": os.getpid()})


def _told(part: Part) -> str:
    first, second, folder = part.ready.values()
    return f"{first} → {second}, kept in {folder}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
