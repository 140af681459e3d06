"""`docs/wedges.md` says what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from drivers.clock import now
from drivers.scanning import hearing
from drivers.scanning.scan import parse_scan
from drivers.wedge import backend, composer, evdev_backend, passage
from drivers.wedge.backend import VIRTUAL_PHYS
from drivers.wedge.driver import WedgeDriver, WedgeOptions
from drivers.wedge.encode import as_seen
from drivers.wedge.keymaps import LAYOUTS
from tests.drivers.wedge.test_keymaps import DIFFERENT

PAGE = (Path(__file__).parents[3] / "docs" / "wedges.md").read_text(encoding="utf-8")
MODULES = {
    "backend": backend,
    "composer": composer,
    "hearing": hearing,
    "evdev_backend": evdev_backend,
    "passage": passage,
}


def rows(heading: str) -> list[list[str]]:
    table = PAGE.split(heading)[1].split("\n\n")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_option_is_described_with_its_default() -> None:
    described = {
        option.strip("`"): default.strip("`") for option, default, _ in rows("| option | default | what it does |")
    }
    words: dict[Any, str] = {msgspec.NODEFAULT: "required", None: "absent"}
    fields = {field.name: field.default for field in msgspec.structs.fields(WedgeOptions)}
    del fields["name"]

    assert described == {name: words.get(default, str(default)) for name, default in fields.items()}


def test_every_layout_is_named_and_so_is_every_difference_from_linux() -> None:
    (layouts,) = [what for option, _, what in rows("| option | default | what it does |") if option == "`layout`"]

    assert {name for name in LAYOUTS if f"`{name}`" in layouts} == set(LAYOUTS)
    assert {layout.strip("`") for layout, *_ in rows("| layout | key | on the scanner | on Linux |")} == {
        layout for layout, keys in DIFFERENT.items() if keys
    }
    for layout in LAYOUTS.values():
        assert layout.oem.removeprefix("cp") in PAGE


def test_the_limits_are_those_of_the_code() -> None:
    for what, value, where in rows("| limit | value | where |"):
        module, name = where.strip("`").split(".")
        number = re.match(r"[\d,]+", value)
        assert number is not None
        assert getattr(MODULES[module], name) == float(number[0].replace(",", "")), what


def test_the_numbers_in_the_text_are_those_of_the_code() -> None:
    assert f"fewer than {composer.TYPED_CHARS} characters, or more than {composer.TYPED_GAP_MS} ms" in PAGE
    assert f"within {passage.HOLD_MS} ms" in PAGE
    assert f"or {passage.HELD_CODE_MS} ms, or {passage.MAX_HELD_EVENTS} events" in PAGE
    assert f"bursts of {evdev_backend.BURST_KEYS}" in PAGE
    assert f'ATTRS{{phys}}=="{VIRTUAL_PHYS}"' in PAGE


def test_the_example_of_a_wrong_layout_is_what_comes_of_it() -> None:
    assert as_seen("]C0Z-1", "us", "de") == "+C0Yß1"


def test_the_settings_on_the_page_are_taken() -> None:
    (document,) = re.findall(r"```toml\n(\[\[scanners\]\].*?)```", PAGE, flags=re.DOTALL)
    (scanner,) = msgspec.toml.decode(document)["scanners"]
    assert scanner.pop("driver") == "wedge"

    WedgeDriver(scanner, now, parse_scan)
