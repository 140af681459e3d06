"""A one-time code that waits at the register until the centre can be reached.

Owns the file that holds it, mode 0600, beside `enrolment.json`, and the credential of systemd that may hold one. Never
spends it (`sync.enrolling` does).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from loyalty.undecodable import UNDECODABLE
from sync.durable import private_folder, write_private
from sync.enrolment import MAX_CODE_CHARS, CodeMalformedError, EnrolmentCode, parse_code

log = structlog.get_logger(__name__)

FILE_NAME = "enrolment-code.json"
CREDENTIAL: Final = "tillside.enrolment-code"


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


def given_code(register: str | None, environment: Mapping[str, str] = os.environ) -> DelayedCode | None:
    """The one that systemd gives the agent's service, if it does; `register` is which of its store this is."""
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    try:
        with (Path(folder) / CREDENTIAL).open(encoding="ascii", errors="replace") as file:
            return DelayedCode(code=parse_code(file.read(MAX_CODE_CHARS + 1)), register=register)
    except CodeMalformedError as error:
        log.error("given_enrolment_unusable", credential=CREDENTIAL, problem=str(error))
    except OSError:
        return None
    return None


def forget_code(folder: Path) -> None:
    """It was spent, or will never be good."""
    (folder / FILE_NAME).unlink(missing_ok=True)
