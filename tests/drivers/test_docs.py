"""`docs/drivers.md` says what the code does."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from agent.demo.scanner import VirtualScanner
from drivers.clock import now
from drivers.scanning import framing, scan, serial_scanner
from drivers.scanning.driver import ScanEvent
from drivers.scanning.scan import ScanProblem, parse_scan
from drivers.scanning.serial_scanner import SerialScannerDriver, SerialScannerOptions
from drivers.transport import port, serial, tcp

PAGE = (Path(__file__).parents[2] / "docs" / "drivers.md").read_text(encoding="utf-8")
MODULES = {
    "framing": framing,
    "scan": scan,
    "port": port,
    "serial_scanner": serial_scanner,
    "serial": serial,
    "tcp": tcp,
}


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    lines = [line for line in section(title).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_every_option_is_described_with_its_default() -> None:
    described = {option.strip("`"): default.strip("`") for option, default, _ in rows("A scanner in the settings")}
    words: dict[Any, str] = {msgspec.NODEFAULT: "required", "": "empty", None: "absent"}
    fields = {field.name: field.default for field in msgspec.structs.fields(SerialScannerOptions)}
    del fields["name"]

    assert described == {name: words.get(default, str(default)) for name, default in fields.items()}


def test_the_limits_are_those_of_the_code() -> None:
    for what, value, where in rows("Limits"):
        module, name = where.strip("`").split(".")
        number = float(re.match(r"[\d,]+", value)[0].replace(",", "")) * (1024 if "KiB" in value else 1)  # type: ignore[index]
        assert getattr(MODULES[module], name) == number, what


def test_the_problem_named_is_one() -> None:
    assert set(re.findall(r"such as `(\w+)`; `ScanProblem`", PAGE)) <= set(get_args(ScanProblem))


async def test_the_driver_on_the_page_works(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    page: dict[str, Any] = {}
    exec(code, page)
    events: asyncio.Queue[ScanEvent] = asyncio.Queue()

    with VirtualScanner(tmp_path / "wand") as wand:
        driver = page["WandDriver"]({"name": "wand", "port": str(wand.port)}, now, parse_scan)
        task = asyncio.create_task(driver.run(events.put, lambda: None))
        wand.send(b"\x02\x02M1\x02\x02M")
        wand.send(b"2")

        assert [(await events.get()).scan.text for _ in range(2)] == ["M1", "M2"]

        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_the_settings_on_the_page_are_taken() -> None:
    (document,) = re.findall(r"```toml\n(\[\[scanners\]\].*?)```", PAGE, flags=re.DOTALL)
    (scanner,) = msgspec.toml.decode(document)["scanners"]
    assert scanner.pop("driver") == "serial"

    SerialScannerDriver(scanner, now, parse_scan)
