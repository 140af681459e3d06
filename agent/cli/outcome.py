"""What a command says and exits with, and the errors that all of them can meet."""

from __future__ import annotations

import sys
from collections.abc import Callable

import msgspec
from msgspec import Struct

from agent.cli.connection import AgentUnreachableError
from agent.cli.exit_codes import DEGRADED, DONE, NOT_ENROLLED, PROBLEM, USAGE
from agent.inspection import NoRegisterError, NotFoundError, NotRunningError, Verdict
from config.settings import SettingsError
from sync.keys import SecretError
from sync.store.errors import StoreError

OF_VERDICT: dict[Verdict, int] = {
    "healthy": DONE,
    "problem": PROBLEM,
    "not_enrolled": NOT_ENROLLED,
    "degraded": DEGRADED,
}


class Failure(Struct, frozen=True, kw_only=True):
    """What `--json` prints instead of an answer."""

    error: str


def guarded(command: str, work: Callable[[], int], *, as_json: bool) -> int:
    """Runs a command's work; what goes wrong is one line and an exit code."""
    try:
        return work()
    except SettingsError as error:
        return complain(command, error, USAGE, as_json=as_json)
    except NoRegisterError as error:
        return complain(command, error, NOT_ENROLLED, as_json=as_json)
    except (AgentUnreachableError, NotFoundError, NotRunningError, StoreError, SecretError, OSError) as error:
        return complain(command, error, PROBLEM, as_json=as_json)


def complain(command: str, error: Exception | str, code: int, *, as_json: bool) -> int:
    """Says what went wrong on standard error, or as JSON where the answer would have been."""
    if as_json:
        say_json(Failure(error=str(error)))
    else:
        sys.stderr.write(f"tillside {command}: {error}\n")
    return code


def say(text: str) -> None:
    """One line on standard output. What a device or a stranger wrote cannot steer the terminal."""
    sys.stdout.write("".join(character if character.isprintable() else "?" for character in text) + "\n")


def say_json(answer: Struct) -> None:
    sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
