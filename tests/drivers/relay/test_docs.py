"""`docs/relay.md` says what the code does: options, limits, events and figures, both ways."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from drivers.relay import (
    announce,
    arguments,
    connection,
    cups,
    device,
    keeper,
    line,
    passage,
    pos_outbox,
    pos_pty,
    printer_part,
    relay,
    rules_in_force,
    scanner_part,
    scanner_passage,
    shared_scanner,
    spool,
    tcp,
)
from drivers.relay.status import Facts, Figures, ScannerFacts, ScannerFigures
from drivers.scanning.shared_scanner import SharedScannerOptions
from drivers.wedge import passage as wedge_passage

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "relay.md").read_text(encoding="utf-8")
SOURCE = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "drivers" / "relay").glob("*.py")))
LIMITS = {
    "MAX_JOB_BYTES": (spool.MAX_JOB_BYTES, "2 MiB", 2 << 20),
    "SEGMENT_BYTES": (spool.SEGMENT_BYTES, "4 MiB", 4 << 20),
    "MAX_WAITING_BYTES": (keeper.MAX_WAITING_BYTES, "4 MiB", 4 << 20),
    "MAX_WAITING_JOBS": (keeper.MAX_WAITING_JOBS, "4,096", 4096),
    "HOLD_MS": (scanner_passage.HOLD_MS, "15 ms", 15),
    "HELD_CODE_MS": (wedge_passage.HELD_CODE_MS, "600 ms", 600),
    "MAX_HELD_EVENTS": (wedge_passage.MAX_HELD_EVENTS, "400 events", 400),
    "POS_WAITS_S": (pos_outbox.POS_WAITS_S, "3 s", 3),
    "MAX_POS_BYTES": (pos_outbox.MAX_POS_BYTES, "64 KiB", 65536),
    "PORT_RETRY_EVERY_S": (shared_scanner.PORT_RETRY_EVERY_S, "every 0.5 s", 0.5),
    "PTY_LOOK_EVERY_S": (scanner_part.PTY_LOOK_EVERY_S, "every 20 ms", 0.02),
    "SCANS_SEGMENT_BYTES": (scanner_part.SCANS_SEGMENT_BYTES, "64 KiB", 65536),
    "LOOK_EVERY_S": (rules_in_force.LOOK_EVERY_S, "every 1 s", 1),
    "FLUSH_WITHIN_S": (shared_scanner.FLUSH_WITHIN_S, "1 s", 1),
    "DRAIN_WITHIN_S": (pos_pty.DRAIN_WITHIN_S, "0.5 s", 0.5),
    "RETRY_EVERY_S": (keeper.RETRY_EVERY_S, "every 5 s", 5),
    "MAX_PROLOGUE_BYTES": (passage.MAX_PROLOGUE_BYTES, "4 KiB", 4096),
    "READ_BYTES": (line.READ_BYTES, "64 KiB", 65536),
    "KERNEL_BUFFER_BYTES": (tcp.KERNEL_BUFFER_BYTES, "64 KiB", 65536),
    "MAX_CONNECTIONS": (relay.MAX_CONNECTIONS, "64", 64),
    "REACH_WITHIN_S": (tcp.REACH_WITHIN_S, "5 s", 5),
    "ANSWER_WITHIN_S": (connection.ANSWER_WITHIN_S, "60 s", 60),
    "LAST_ANSWER_WITHIN_S": (connection.LAST_ANSWER_WITHIN_S, "1 s at the end", 1),
    "PORT_ANSWER_WITHIN_S": (device.PORT_ANSWER_WITHIN_S, "0.3 s", 0.3),
    "TURN_WITHIN_S": (line.TURN_WITHIN_S, "60 s", 60),
    "PRINTER_AGAIN_AFTER_S": (connection.PRINTER_AGAIN_AFTER_S, "every 0.5 s", 0.5),
    "TAKE_AGAIN_AFTER_S": (relay.TAKE_AGAIN_AFTER_S, "every 0.5 s", 0.5),
    "FINISH_WITHIN_S": (relay.FINISH_WITHIN_S, "5 s", 5),
    "PORT_DRAIN_WITHIN_S": (device.PORT_DRAIN_WITHIN_S, "5 s", 5),
    "BACKEND_ENDS_WITHIN_S": (cups.BACKEND_ENDS_WITHIN_S, "5 s", 5),
    "KEEP_WITHIN_S": (printer_part.KEEP_WITHIN_S, "5 s", 5),
    "REPEAT_EVERY_S": (announce.REPEAT_EVERY_S, "60 s", 60),
}


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("name", LIMITS)
def test_each_limit_is_told_as_it_is(name: str) -> None:
    value, told, meant = LIMITS[name]
    row = next(row for row in section("Limits").splitlines() if f"`{name}`" in row)

    assert told in row
    assert value == meant


def test_the_page_knows_every_limit_that_is_tested_and_no_other() -> None:
    assert set(re.findall(r"`([A-Z][A-Z_]+)`", section("Limits"))) == set(LIMITS)


def test_options_and_their_defaults_are_told() -> None:
    told = dict(re.findall(r"^\| `(--[a-z-]+)[^`]*` \| ([^|]+) \|", PAGE, re.MULTILINE))
    printer = ["--listen", "a:1", "--printer", "b:2", "--spool", "c"]
    settings = arguments.read_arguments([*printer, "--scanner", "/dev/a", "--pos", "pty:b", "--scans", "d"])
    assert settings.printer is not None
    assert settings.scanner is not None
    assert isinstance(settings.scanner.source, arguments.SerialSettings)

    assert set(told) == set(re.findall(r'add_argument\(\s*"(--[a-z-]+)"', SOURCE))
    assert told["--idle-ms"] == str(settings.printer.idle_ms)
    assert told["--hold-ms"] == str(settings.printer.hold_ms)
    assert told["--language"] == settings.printer.language
    assert told["--to-pos"] == settings.scanner.to_pos
    wedge = arguments.read_arguments(["--wedge", "A wedge", "--scans", "d"]).scanner
    assert wedge is not None
    assert isinstance(wedge.source, arguments.WedgeSettings)
    assert (told["--layout"], told["--wedge-prefix"]) == (wedge.source.layout, wedge.source.prefix)
    assert (told["--wedge-suffix"], wedge.source.suffix) == ("either", None)
    assert told["--scanner-baud"] == str(settings.scanner.source.baud)
    assert told["--scanner-bits"] == told["--printer-bits"] == arguments.BITS
    assert told["--printer-baud"] == str(settings.printer.serial.baud)
    assert told["--printer-flow"] == settings.printer.serial.flow
    assert told["--language"] == settings.printer.language
    assert told["--spool-cap-mb"] == str(settings.spool_cap_bytes // 1_000_000)


def test_the_options_of_the_driver_are_told() -> None:
    told = re.findall(r"^\| `([a-z_]+)` \| required \|", section("A scanner shared with the POS"), re.MULTILINE)

    assert tuple(told) == SharedScannerOptions.__struct_fields__


def test_events_of_the_log_are_told() -> None:
    said = set(re.findall(r'\.say\(\s*"(?:info|warning|error)",\s*"([a-z_]+)"', SOURCE))
    told = set(re.findall(r"`([a-z_]+)`", section("Watching it").split("| event |")[1]))

    assert said == told


def test_figures_of_the_status_file_are_told() -> None:
    kinds = (Facts, Figures, ScannerFacts, ScannerFigures)
    shown = {field.name for kind in kinds for field in fields(kind)} | {"written_at"}
    told = set(re.findall(r"`([a-z_]+)`", section("Watching it").split("| event |")[0]))

    assert shown <= told
