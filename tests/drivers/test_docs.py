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
from drivers.scanning import framing, hearing
from drivers.scanning.driver import ScanEvent
from drivers.scanning.framing import REMEDIES, Dropped
from drivers.scanning.scan import parse_scan
from drivers.scanning.serial_scanner import SerialScannerDriver, SerialScannerOptions
from drivers.testing import SCANNER_CHECKS
from drivers.transport import port, serial, tcp, testing
from drivers.transport.port import TransportError
from drivers.transport.ports import SerialDevice, transport_for

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "drivers.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "acme-wand"
MODULES = {
    "framing": framing,
    "port": port,
    "hearing": hearing,
    "serial": serial,
    "tcp": tcp,
    "testing": testing,
}


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    lines = [line for line in section(title).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_every_option_is_described_with_its_default() -> None:
    described = {option.strip("`"): default.strip("`") for option, default, _ in rows("A scanner in the settings")}
    words: dict[Any, str] = {msgspec.NODEFAULT: "required", "": "empty", None: "absent"}
    fields = {field.name: field.default for field in msgspec.structs.fields(SerialScannerOptions)}
    del fields["name"]

    assert described == {name: words.get(default, str(default)) for name, default in fields.items()}


def test_every_written_form_of_a_port_is_one() -> None:
    for written, _ in rows("Which port"):
        transport_for(written.strip("`"))


def test_the_message_on_the_page_is_what_is_said() -> None:
    (quoted,) = re.findall(r"((?:^> .*\n)+)", section("Which port"), flags=re.MULTILINE)
    said = " ".join(line.removeprefix("> ") for line in quoted.splitlines())
    two = [
        SerialDevice(name=name, path=f"/dev/{name}", vid=0x0C2E, pid=0x0B61, serial=serial)
        for name, serial in (("ttyACM0", "20B1703A"), ("ttyACM1", "20B1704F"))
    ]

    async def opened() -> None:
        await transport_for("usb:0c2e:0b61", devices=lambda: two).open()

    with pytest.raises(TransportError) as caught:
        asyncio.run(opened())
    assert str(caught.value) == said


def test_the_limits_are_those_of_the_code() -> None:
    for what, value, where in rows("Limits"):
        module, name = where.strip("`").split(".")
        number = float(re.match(r"[\d,]+", value)[0].replace(",", "")) * (1024 if "KiB" in value else 1)  # type: ignore[index]
        assert getattr(MODULES[module], name) == number, what


def test_every_error_of_a_port_is_named() -> None:
    errors = {error.__name__ for error in TransportError.__subclasses__()}

    assert set(re.findall(r"`(Port\w+Error)`", section("Ports"))) == errors - {"TransportClosedError"}


def test_every_reason_for_dropping_a_code_has_a_remedy() -> None:
    assert set(REMEDIES) == set(get_args(Dropped))


def test_every_check_is_described_in_its_own_words() -> None:
    described = {name.strip("`"): tries for name, tries in rows("Checking a driver")}

    assert described == {check.__name__: (check.__doc__ or "").splitlines()[0] for check in SCANNER_CHECKS}


def test_the_code_on_the_page_is_the_example() -> None:
    module, its_test = code_blocks("python")
    _, entry_point = code_blocks("toml")

    assert module == (EXAMPLE / "acme_wand.py").read_text(encoding="utf-8")
    assert its_test == (EXAMPLE / "tests" / "test_acme_wand.py").read_text(encoding="utf-8")
    assert entry_point in (EXAMPLE / "pyproject.toml").read_text(encoding="utf-8")


async def test_the_driver_on_the_page_works(tmp_path: Path) -> None:
    page: dict[str, Any] = {}
    exec(code_blocks("python")[0], page)
    events: asyncio.Queue[ScanEvent] = asyncio.Queue()

    with VirtualScanner(tmp_path / "wand") as wand:
        driver = page["WandDriver"]({"name": "wand", "port": str(wand.port)}, now, parse_scan)
        task = asyncio.create_task(driver.run(events.put, lambda: None))
        wand.send(b"\x02\x02M1\x7c\x00\x02\x02M")
        wand.send(b"2\x7f")

        assert [(await events.get()).scan.text for _ in range(2)] == ["M1", "M2"]

        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_the_settings_on_the_page_are_taken() -> None:
    (scanner,) = msgspec.toml.decode(code_blocks("toml")[0])["scanners"]
    assert scanner.pop("driver") == "serial"

    SerialScannerDriver(scanner, now, parse_scan)
