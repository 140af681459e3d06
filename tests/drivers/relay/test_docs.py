"""`docs/relay.md` says what the code does: options, limits, events and figures, both ways."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from drivers.relay import announce, connection, keeper, line, passage, process, spool
from drivers.relay.status import Facts, Figures

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "relay.md").read_text(encoding="utf-8")
SOURCE = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "drivers" / "relay").glob("*.py")))
LIMITS = {
    "MAX_JOB_BYTES": (spool.MAX_JOB_BYTES, "2 MiB", 2 << 20),
    "SEGMENT_BYTES": (spool.SEGMENT_BYTES, "4 MiB", 4 << 20),
    "MAX_WAITING_BYTES": (keeper.MAX_WAITING_BYTES, "4 MiB", 4 << 20),
    "RETRY_EVERY_S": (keeper.RETRY_EVERY_S, "every 5 s", 5),
    "MAX_PROLOGUE_BYTES": (passage.MAX_PROLOGUE_BYTES, "4 KiB", 4096),
    "READ_BYTES": (line.READ_BYTES, "64 KiB", 65536),
    "KERNEL_BUFFER_BYTES": (line.KERNEL_BUFFER_BYTES, "64 KiB", 65536),
    "MAX_CONNECTIONS": (process.MAX_CONNECTIONS, "64", 64),
    "REACH_WITHIN_S": (connection.REACH_WITHIN_S, "5 s", 5),
    "ANSWER_WITHIN_S": (connection.ANSWER_WITHIN_S, "60 s", 60),
    "FINISH_WITHIN_S": (process.FINISH_WITHIN_S, "5 s", 5),
    "KEEP_WITHIN_S": (process.KEEP_WITHIN_S, "5 s", 5),
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
    settings = process.read_arguments(["--listen", "a:1", "--printer", "b:2", "--spool", "c"])

    assert set(told) == set(re.findall(r'add_argument\(\s*"(--[a-z-]+)"', SOURCE))
    assert told["--idle-ms"] == str(settings.idle_ms)
    assert told["--hold-ms"] == str(settings.hold_ms)
    assert told["--spool-cap-mb"] == str(settings.spool_cap_bytes // 1_000_000)


def test_events_of_the_log_are_told() -> None:
    said = set(re.findall(r'\.say\(\s*"(?:info|warning|error)",\s*"([a-z_]+)"', SOURCE))
    told = set(re.findall(r"`([a-z_]+)`", section("Watching it").split("| event |")[1]))

    assert said == told


def test_figures_of_the_status_file_are_told() -> None:
    shown = {field.name for kind in (Facts, Figures) for field in fields(kind)} | {"written_at"}
    told = set(re.findall(r"`([a-z_]+)`", section("Watching it").split("| event |")[0]))

    assert shown <= told
