"""A one-time code that waits at the register until the centre can be reached, and what became of it.

Owns the file that holds it, mode 0600, beside `enrolment.json`, the credential of systemd that may hold one, and the
file that says how trying it ended. Never spends it (`sync.enrolling` does).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace

from loyalty.receipt import AwareDatetime
from loyalty.undecodable import UNDECODABLE
from sync.durable import private_folder, write_private
from sync.enrolment import MAX_CODE_CHARS, CodeMalformedError, EnrolmentCode, parse_code

log = structlog.get_logger(__name__)

FILE_NAME = "enrolment-code.json"
WORD_NAME = "enrolment-code-word.json"
CREDENTIAL: Final = "tillside.enrolment-code"

T = TypeVar("T", bound=Struct)


class DelayedCode(Struct, frozen=True, kw_only=True):
    """The code, and which register of its store this is, where somebody said."""

    code: EnrolmentCode
    register: str | None = None


class Word(Struct, frozen=True, kw_only=True):
    """What the last try of a code for the centre at `url` came to, since when; `refused` where it is good no more."""

    url: str
    problem: str
    since: AwareDatetime
    refused: bool


def keep_code(folder: Path, delayed: DelayedCode) -> None:
    """In place of an earlier one. Raises OSError."""
    private_folder(folder)
    write_private(folder / FILE_NAME, msgspec.json.encode(delayed))
    (folder / WORD_NAME).unlink(missing_ok=True)


def kept_code(folder: Path) -> DelayedCode | None:
    """None where none waits, or none that can be read."""
    return _read(folder / FILE_NAME, DelayedCode)


def given_code(register: str | None, environment: Mapping[str, str] = os.environ) -> DelayedCode | None:
    """The one that systemd gives the agent's service, if it does; `register` is which of its store this is."""
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    try:
        with (Path(folder) / CREDENTIAL).open(encoding="ascii", errors="replace") as file:
            code = parse_code(file.read(MAX_CODE_CHARS + 1))
        return DelayedCode(code=code, register=register if code.asks_register else None)
    except CodeMalformedError as error:
        log.error("given_enrolment_unusable", credential=CREDENTIAL, problem=str(error))
    except OSError:
        return None
    return None


def note(folder: Path, delayed: DelayedCode, problem: str, now: datetime, *, refused: bool) -> None:
    """What trying a code came to. Written where that is news: it is tried for as long as it takes. Raises OSError."""
    word = Word(url=delayed.code.url, problem=problem, since=now, refused=refused)
    before = _read(folder / WORD_NAME, Word)
    if before is None or replace(before, since=now) != word:
        private_folder(folder)
        write_private(folder / WORD_NAME, msgspec.json.encode(word))


def told_of_code(folder: Path) -> str:
    """What a register that is not enrolled says of the code that was given to it; empty where none was."""
    word, kept = _read(folder / WORD_NAME, Word), kept_code(folder)
    if word is not None:
        since = f"{word.since:%Y-%m-%d %H:%M} UTC"
        became = f"was refused at {since}" if word.refused else f"waits and is tried again and again, since {since}"
        return f"a code for {word.url} {became}: {word.problem}"
    if kept is not None:
        return f"a code for {kept.code.url} waits: the agent enrols this register by it once it reaches that"
    return ""


def forget_code(folder: Path) -> None:
    """It was spent, or will never be good."""
    (folder / FILE_NAME).unlink(missing_ok=True)


def forget_all(folder: Path) -> None:
    """This register is enrolled: no code waits, and nothing is to be said of any."""
    forget_code(folder)
    (folder / WORD_NAME).unlink(missing_ok=True)


def _read(path: Path, shape: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=shape)
    except (OSError, *UNDECODABLE):
        return None
