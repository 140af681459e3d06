"""Whether a relay could be started again by its settings, asked before one that prints is.

Owns where those settings are: beside the agent's. Never opens a port or a device.
"""

from __future__ import annotations

import io
import os
from contextlib import redirect_stderr
from pathlib import Path
from typing import Final

RELAY_FILE: Final = "relay.toml"


def relay_file(config: Path) -> Path:
    """The relay's settings beside the agent's file `config`, as the units name them."""
    return config.with_name(RELAY_FILE)


def relay_settings_problem(file: Path) -> str:
    """Why this version could not start a relay by `file`, in the relay's own words; empty where it could, and where
    there is no relay: on Windows.
    """
    if os.name != "posix":
        return ""
    from drivers.relay.arguments import read_all  # noqa: PLC0415 - what it needs is there on Linux alone

    said = io.StringIO()
    try:
        with redirect_stderr(said):
            read_all(["--config", str(file)])
    except SystemExit:
        # Usage comes first, and before what is wrong the name of the program.
        last = said.getvalue().strip().rpartition("\n")[2]
        problem = last.rpartition(": error: ")[2]
        return problem if str(file) in problem else f"{file}: {problem}"
    return ""
