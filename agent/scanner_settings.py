"""What the drivers of scanners say of their settings, before any device is opened."""

from __future__ import annotations

from collections.abc import Iterator

from agent.register import scanner_driver
from config.settings import Settings, SettingsError
from drivers.registry import RegistryError
from drivers.scanning.driver import DriverOptionsError
from drivers.scanning.scan import parse_scan


def scanner_problems(settings: Settings, where: str) -> Iterator[SettingsError]:
    """An option that its driver does not take is a wrong setting, not a device that is missing."""
    for scanner in settings.scanners:
        try:
            scanner_driver(scanner, parse_scan)
        except DriverOptionsError as error:
            key = f"[[scanners]] {scanner.name!r} {error.key}".strip()
            yield SettingsError(where, key, error.problem, "See docs/settings.md")
        except RegistryError as error:
            yield SettingsError(where, f"[[scanners]] {scanner.name!r} driver", str(error), "See docs/drivers.md")
