"""Drivers by name: the built-in ones, and third parties' good and bad ones."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from drivers import registry
from drivers.registry import AmbiguousDriverError, BrokenDriverError, UnknownDriverError
from drivers.scanning.serial_scanner import SerialScannerDriver

BUILT_IN = ("serial", "shared", "wedge")


class Packages:
    """A folder on the import path into which packages are installed as an installer would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, package: str, group: str, name: str, *, code: str) -> None:
        module = package.replace("-", "_")
        (self.folder / f"{module}.py").write_text(code)
        metadata = self.folder / f"{module}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}:Driver\n")
        importlib.invalidate_caches()


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packages:
    monkeypatch.syspath_prepend(tmp_path)
    return Packages(tmp_path)


def test_the_built_in_scanner_is_found_by_its_name() -> None:
    assert registry.load_scanner("serial") is SerialScannerDriver


def test_the_built_in_scanners_are_those_of_the_package() -> None:
    assert registry.installed(registry.SCANNERS) == BUILT_IN


def test_a_third_partys_scanner_is_found_by_its_name(packages: Packages) -> None:
    packages.install("acme-wand", registry.SCANNERS, "wand", code="class Driver: make = 'Acme'")

    assert registry.installed(registry.SCANNERS) == tuple(sorted((*BUILT_IN, "wand")))
    assert registry.load_scanner("wand").__name__ == "Driver"


def test_an_unknown_name_says_what_is_installed_and_what_to_do() -> None:
    with pytest.raises(UnknownDriverError, match=r"'seriell'.*Installed are: serial, .*\..*tillside\.scanners"):
        registry.load_scanner("seriell")


def test_nobody_imports_a_driver_that_was_not_asked_for(packages: Packages) -> None:
    packages.install("acme-bystander", registry.SCANNERS, "bystander", code="raise RuntimeError('imported')")

    registry.installed(registry.SCANNERS)
    registry.load_scanner("serial")

    assert "acme_bystander" not in sys.modules


def test_a_driver_that_cannot_be_imported_is_named_with_its_package(packages: Packages) -> None:
    packages.install("acme-broken", registry.SCANNERS, "broken", code="import no_such_module_anywhere")

    with pytest.raises(BrokenDriverError, match=r"'broken' of acme-broken .*no_such_module_anywhere.*Install"):
        registry.load_scanner("broken")


def test_a_driver_that_is_not_in_its_module_is_broken(packages: Packages) -> None:
    packages.install("acme-empty", registry.SCANNERS, "empty", code="")

    with pytest.raises(BrokenDriverError, match="AttributeError"):
        registry.load_scanner("empty")


def test_two_packages_with_one_name_are_refused(packages: Packages) -> None:
    packages.install("acme-serial", registry.SCANNERS, "serial", code="class Driver: pass")

    with pytest.raises(AmbiguousDriverError, match=r"acme-serial.*tillside|tillside.*acme-serial"):
        registry.load_scanner("serial")


def test_a_broken_reader_stops_no_other(packages: Packages) -> None:
    packages.install("acme-good", registry.READERS, "acme-good", code="class Driver: pass")
    packages.install("acme-bad", registry.READERS, "acme-bad", code="raise ValueError('no')")

    loaded = registry.load_readers()

    assert loaded.readers["acme-good"].__name__ == "Driver"
    assert "acme-bad" not in loaded.readers
    assert "acme-bad" in str(loaded.broken["acme-bad"])
