"""A one-time code that waits at the register until the centre can be reached.

Owns the file that holds it, mode 0600, beside `enrolment.json`. Never spends it (`sync.enrolling` does).
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from loyalty.undecodable import UNDECODABLE
from sync.durable import private_folder, write_private
from sync.enrolment import EnrolmentCode

FILE_NAME = "enrolment-code.json"


class DelayedCode(Struct, frozen=True, kw_only=True):
    """The code, and which register of its store this is, where the code leaves that open."""

    code: EnrolmentCode
    register: str | None = None


def keep_code(folder: Path, delayed: DelayedCode) -> None:
    """In place of an earlier one. Raises OSError."""
    private_folder(folder)
    write_private(folder / FILE_NAME, msgspec.json.encode(delayed))


def kept_code(folder: Path) -> DelayedCode | None:
    """None where none waits, or none that can be read."""
    try:
        return msgspec.json.decode((folder / FILE_NAME).read_bytes(), type=DelayedCode)
    except (OSError, *UNDECODABLE):
        return None


def forget_code(folder: Path) -> None:
    """It was spent, or will never be good."""
    (folder / FILE_NAME).unlink(missing_ok=True)
