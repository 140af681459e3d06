"""`tillside capture`: what a scanner sends, or a register prints, with times, in a file that `parse-scan`, `decode` and
`replay` read.

Owns the file, which is this user's alone, and which device is meant. Payment cards never get into it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO

from msgspec import Struct

from agent.cli.exit_codes import DONE, PROBLEM, USAGE
from agent.cli.outcome import complain, guarded, say, say_json
from agent.cli.terminal import without_typing
from agent.doctor.borrowing import borrowed
from agent.doctor.listening import Ear, NotRawError, ear_of
from agent.doctor.recording import Recording
from config.load import load_settings
from config.settings import ScannerSettings, Settings
from drivers.registry import RegistryError
from drivers.scanning.driver import DriverOptionsError
from drivers.transport.port import TransportError
from loyalty.identification import owns_number

INPUT_DEVICES = "/dev/input/"
MAX_SECONDS = 7 * 24 * 3600


class CaptureUsageError(ValueError):
    """What to capture cannot be told from the command line. The message says how to name it."""


class Captured(Struct, frozen=True, kw_only=True):
    """Where a capture is, and how many reads it holds."""

    file: str
    reads: int


class Device(Struct, frozen=True, kw_only=True):
    """A device that may be a scanner: how to write it, the steadiest way first, and what it says of itself."""

    kind: str
    ports: tuple[str, ...]
    description: str


class Devices(Struct, frozen=True, kw_only=True):
    """All that are there now."""

    devices: tuple[Device, ...]


def capture_command(
    *,
    file: str | None,
    scanner: str | None,
    port: str | None,
    spool: str | None,
    seconds: float | None,
    list_devices: bool,
    config: str | None,
    as_json: bool,
) -> int:
    """Record one scanner or a relay's spool until Ctrl-C or for `seconds`, or list what is there.

    Exit codes: 0 done, 1 the device or the file cannot be used, or went away meanwhile, 2 usage.
    """

    def work() -> int:
        if list_devices:
            return _list(as_json=as_json)
        settings = load_settings(config)
        if spool is not None:
            if scanner is not None or port is not None:
                raise CaptureUsageError("--spool goes without --scanner and --port: a capture is of one thing")
            return _capture_spool(settings, Path(spool), _file(file), _time(seconds), as_json=as_json)
        return _capture(settings, _meant(settings, scanner, port), _file(file), _time(seconds), as_json=as_json)

    try:
        return guarded("capture", work, as_json=as_json)
    except (NotRawError, TransportError, RegistryError) as error:
        return complain("capture", error, PROBLEM, as_json=as_json)
    except (CaptureUsageError, DriverOptionsError) as error:
        return complain("capture", error, USAGE, as_json=as_json)


def _file(file: str | None) -> Path:
    if file is None:
        raise CaptureUsageError("name the file to write, such as counter.jsonl")
    return Path(file)


def _time(seconds: float | None) -> float | None:
    if seconds is not None and not 0 < seconds <= MAX_SECONDS:
        raise CaptureUsageError(f"--seconds is more than 0 and at most {MAX_SECONDS}")
    return seconds


def _meant(settings: Settings, name: str | None, port: str | None) -> ScannerSettings:
    """The scanner of the settings that has that name or port; else one at `port` with every default."""
    if (name is None) == (port is None):
        raise CaptureUsageError(
            "name the scanner with --scanner, or its port with --port (--list shows what is there), or the folder of a "
            "relay with --spool"
        )
    for each in settings.scanners:
        if name == each.name or (port is not None and port in (each.options.get("port"), each.options.get("device"))):
            return each
    if port is None:
        names = ", ".join(repr(each.name) for each in settings.scanners) or "none"
        raise CaptureUsageError(f"there is no scanner {name!r} in the settings; there are: {names}")
    if port.startswith(INPUT_DEVICES):
        return ScannerSettings(name=port, driver="wedge", options={"device": port})
    return ScannerSettings(name=port, driver="serial", options={"port": port})


def _new(file: Path) -> int:
    """A new file's descriptor. Codes are personal: only this user may read it."""
    try:
        return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise FileExistsError(f"{file} is there already: name another file") from error
    except OSError as error:
        raise OSError(f"{file} cannot be written ({error.strerror or error}): name another file") from error


def _capture(settings: Settings, scanner: ScannerSettings, file: Path, seconds: float | None, *, as_json: bool) -> int:
    ear = ear_of(scanner)
    with os.fdopen(_new(file), "wb") as stream:
        recording = Recording(ear, partial(_write, stream), own=partial(owns_number, settings.identification))

        def begun() -> None:
            _announce(f"Capturing {scanner.name!r} to {file}; Ctrl-C ends it.", as_json=as_json)

        try:
            with without_typing(), suppress(KeyboardInterrupt):
                asyncio.run(_record(recording, ear, settings, scanner, seconds, begun))
        except BaseException:
            if not recording.reads:
                file.unlink(missing_ok=True)
            raise
    return _done(file, recording.reads, as_json=as_json)


def _capture_spool(settings: Settings, folder: Path, file: Path, seconds: float | None, *, as_json: bool) -> int:
    # The receipts' decoders, which a capture of a scanner need not load.
    from agent.cli.capture_spool import SpoolRecording

    if not folder.is_dir():
        raise CaptureUsageError(f"{folder} is no folder: name that of a relay's --spool")
    with os.fdopen(_new(file), "wb") as stream:
        recording = SpoolRecording(folder, partial(_write, stream), own=partial(owns_number, settings.identification))
        _announce(f"Capturing what is printed, from {folder} to {file}; Ctrl-C ends it.", as_json=as_json)
        with suppress(KeyboardInterrupt):
            asyncio.run(recording.run(seconds))
    return _done(file, recording.reads, as_json=as_json)


def _done(file: Path, reads: int, *, as_json: bool) -> int:
    if as_json:
        say_json(Captured(file=str(file), reads=reads))
    else:
        say(f"{reads} reads written to {file}.")
    return DONE


async def _record(
    recording: Recording,
    ear: Ear,
    settings: Settings,
    scanner: ScannerSettings,
    seconds: float | None,
    begun: Callable[[], None],
) -> None:
    async with borrowed(settings, scanner.name):
        await ear.open()
        try:
            begun()
            await recording.run(seconds)
        finally:
            await ear.close()


def _write(stream: IO[bytes], line: bytes) -> None:
    """A whole line at once, so that what can be read of the file is whole."""
    stream.write(line)
    stream.flush()


def _announce(line: str, *, as_json: bool) -> None:
    out = sys.stderr if as_json else sys.stdout
    out.write(line + "\n")
    out.flush()


def _list(*, as_json: bool) -> int:
    found = Devices(devices=(*_serial_devices(), *_keyboards()))
    if as_json:
        say_json(found)
        return DONE
    for device in found.devices:
        say(f"{device.kind:<8} {device.ports[0]}  {device.description}")
        for port in device.ports[1:]:
            say(f"{'':<8} {port}")
    if not found.devices:
        say("No serial device and no keyboard device is there.")
    return DONE


def _serial_devices() -> list[Device]:
    from drivers.transport.ports import list_devices, ways_to_write

    devices = list_devices()
    return [Device(kind="serial", ports=ways_to_write(each, devices), description=each.description) for each in devices]


def _keyboards() -> list[Device]:
    if sys.platform != "linux":
        return []
    from drivers.wedge.backend import ways_to_write
    from drivers.wedge.input_devices import input_devices

    devices = input_devices()
    return [Device(kind="keyboard", ports=ways_to_write(each, devices), description=each.name) for each in devices]
