"""One Windows of wine's own, in a folder: programs run in it, its registry read.

Owns what wine 8 needs so that a current Python runs in it. Never touches another prefix of the machine.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Final

# The longest is installing: 3,000 files, and compiling them.
DONE_WITHIN_S: Final = 900.0
# A machine that does other things besides.
SERVICE_WITHIN_MS: Final = 180_000


class Prefix:
    """`folder` is the prefix, made by `make`."""

    def __init__(self, folder: Path) -> None:
        self.drive = folder / "drive_c"
        self._environment = {
            **os.environ,
            "WINEPREFIX": str(folder),
            "WINEARCH": "win64",
            "WINEDEBUG": os.environ.get("WINEDEBUG", "-all"),
            # No mono, no browser engine: nothing here asks for them, and wine would ask a person.
            "WINEDLLOVERRIDES": "mscoree,mshtml=",
            "DISPLAY": "",
        }

    def make(self, libraries: Path) -> None:
        """A new prefix that says it is Windows 10, with what is in `libraries` among its own libraries."""
        self.run("wineboot", "--init")
        self.run("wine", "reg", "add", r"HKCU\Software\Wine", "/v", "Version", "/d", "win10", "/f")
        # Python asks this library what machine it is on, by a call that wine does not have; without it, it goes on.
        self.run("wine", "reg", "add", r"HKCU\Software\Wine\DllOverrides", "/v", "propsys", "/d", "", "/f")
        # How long its service manager waits for a service: 10 s, where Windows waits 30.
        control = r"HKLM\System\CurrentControlSet\Control"
        wait_ms = str(SERVICE_WITHIN_MS)
        self.run("wine", "reg", "add", control, "/v", "ServicesPipeTimeout", "/t", "REG_DWORD", "/d", wait_ms, "/f")
        for library in libraries.glob("*.dll"):
            (self.drive / "windows" / "system32" / library.name).write_bytes(library.read_bytes())
        self.end()
        self.begin()

    def begin(self) -> None:
        """The machine is switched on: its services start, and go on without any other program."""
        # Wine would end them with the last one. What goes on keeps its output, so there is none to wait for; nor may it
        # be a file, which would stop Python here, though not on Windows.
        for command in (("wineserver", "--persistent"), ("wineboot",)):
            subprocess.run(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
                timeout=DONE_WITHIN_S,
            )

    def end(self) -> None:
        """Every program of the prefix ends."""
        subprocess.run(["wineserver", "--kill"], env=self._environment, check=False)
        subprocess.run(["wineserver", "--wait"], env=self._environment, check=False)

    def run(self, *command: str) -> tuple[int, str]:
        """The exit code and all that was said, which comes through a pipe, as wine's own files are none to Python."""
        done = subprocess.run(
            command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=DONE_WITHIN_S,
        )
        return done.returncode, done.stdout.decode("utf-8", "replace").replace("\r\n", "\n")

    def value(self, key: str, name: str) -> str | None:
        """A value of the registry; None where there is none."""
        code, said = self.run("wine", "reg", "query", key, "/v", name)
        found = re.search(rf"^\s+{re.escape(name)}\s+REG_\w+\s+(.*)$", said, re.MULTILINE)
        return found[1].strip() if code == 0 and found else None
