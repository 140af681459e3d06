"""Settings that name what a register on Windows does not have, told before it starts.

Owns that list, in one place. Never looks at the machine: which system it is, is told.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from config.settings import SPOOL_OPTION, Settings, SettingsError

SEE = "See docs/deploy/windows.md"


def problems(settings: Settings, where: str, *, platform: str = sys.platform) -> Iterator[SettingsError]:
    """What of these settings cannot be on `platform`; nothing where it is not Windows."""
    if platform != "win32":
        return
    for source in settings.receipts:
        key = f"[[receipts]] {source.name!r}"
        if source.spool is not None:
            yield SettingsError(where, f"{key} spool", "there is no relay on Windows", f"Use webhook. {SEE}")
        if source.folder is not None:
            yield SettingsError(where, f"{key} folder", "folders are not read on Windows", f"Use webhook. {SEE}")
    for scanner in settings.scanners:
        key = f"[[scanners]] {scanner.name!r}"
        if SPOOL_OPTION in scanner.options:
            yield SettingsError(where, f"{key} {SPOOL_OPTION}", "there is no relay on Windows", f"Use port. {SEE}")
    if settings.update.root is not None:
        problem = "the centre does not update a register on Windows"
        yield SettingsError(where, "update.root", problem, f"Take it out, and install the next MSI. {SEE}")
