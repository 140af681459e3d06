"""How the command line finds the running agent: `control.json` in the state folder, mode 0600.

Owns that file. Never lets others read it: it holds the token that opens the local API.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from loyalty.undecodable import UNDECODABLE

FILE_NAME = "control.json"
MAX_FILE_BYTES = 4096
TOKEN_BYTES = 32


class Control(Struct, frozen=True, kw_only=True):
    """Where the agent listens, and the token of this run."""

    host: str
    port: int
    token: str
    pid: int


def new_token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


def write_control(folder: Path, control: Control) -> Path:
    """Puts the file in place in one step, so that nobody reads half of it."""
    path = folder / FILE_NAME
    beside = folder / f".{FILE_NAME}.{control.pid}"
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(msgspec.json.encode(control))
    beside.replace(path)
    return path


def read_control(folder: Path) -> Control | None:
    """What the running agent wrote; None where there is no such file, or none that makes sense.

    Raises PermissionError where this user may not read it: then an agent may run or not.
    """
    try:
        with (folder / FILE_NAME).open("rb") as stream:
            return msgspec.json.decode(stream.read(MAX_FILE_BYTES), type=Control)
    except PermissionError:
        raise
    except (OSError, *UNDECODABLE):
        return None


def remove_control(folder: Path, control: Control) -> None:
    """Takes the file away, unless another agent has put its own there."""
    with suppress(PermissionError):  # on Windows, of a file that somebody has open
        if read_control(folder) == control:
            (folder / FILE_NAME).unlink(missing_ok=True)
