"""`tillside enroll`: this register comes to belong to a centre, by a code that is told it."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from agent.centre import facts
from agent.cli.connection import AgentUnreachableError, running_agent
from agent.cli.exit_codes import DONE, PROBLEM, USAGE
from agent.cli.outcome import complain, guarded, say, say_json
from agent.state import keeper_of
from config.load import load_settings, state_folder
from config.settings import Settings
from sync.delayed_enrolment import DelayedCode, keep_code
from sync.enrolling import CameIn, enrol
from sync.enrolment import FILE_NAME as ENROLMENT_FILE
from sync.enrolment import MAX_CODE_CHARS, CodeMalformedError, EnrolmentCode, EnrolmentError, parse_code
from sync.network import NetworkSettingError, way_of


class KeptCode(Struct, frozen=True, kw_only=True):
    """Where the agent will enrol this register."""

    centre: str


CODE_VARIABLE = "TILLSIDE_ENROL_CODE"


class NoCodeError(ValueError):
    """No code was given, or more than one. The message says how to give it."""


class Enrolled(Struct, frozen=True, kw_only=True):
    """Which register this machine is now; `running` tells whether its agent goes on with it. `left` is the device that
    it was before, `left_refused` whether the centre refuses that from now on.
    """

    device: str
    store: str
    register: str
    centre: str
    running: bool
    left: str | None = None
    left_refused: bool = False


def code_given(
    code: str | None,
    file: str | None,
    environment: Mapping[str, str],
    ask: Callable[[], str] | None,
) -> str:
    """The code as given, else in `file`, else in the environment, else what the person at the till answers.

    Raises NoCodeError, and OSError where the file cannot be read.
    """
    if code is not None and file is not None:
        raise NoCodeError("give the code or the file that holds it, not both")
    if code is not None:
        return code
    if file == "-":
        return sys.stdin.read(MAX_CODE_CHARS + 1)
    if file is not None:
        with Path(file).open(encoding="ascii", errors="replace") as stream:
            return stream.read(MAX_CODE_CHARS + 1)
    if CODE_VARIABLE in environment:
        return environment[CODE_VARIABLE]
    if ask is None:
        raise NoCodeError(f"there is no code: give it, name a file with --code-file, or set {CODE_VARIABLE}")
    return ask()


def asked_unseen() -> Callable[[], str] | None:
    """What asks the person at a terminal, without showing what is typed; None where nobody sits there."""
    return (lambda: getpass.getpass("Enrolment code (it is not shown): ")) if sys.stdin.isatty() else None


def enroll_command(
    *,
    code: str | None,
    replace: bool,
    config: str | None,
    as_json: bool,
    code_file: str | None = None,
    register: str | None = None,
    delay: bool = False,
    unless_enrolled: bool = False,
    ask: Callable[[], str] | None = None,
) -> int:
    """Spend an enrolment code, or with `delay` keep it for the agent; `unless_enrolled` leaves an enrolled one alone.

    Exit codes: 0 enrolled or kept, 1 the centre refused or cannot be reached, 2 no code.
    """

    def work() -> int:
        if unless_enrolled and (state_folder(load_settings(config)) / ENROLMENT_FILE).exists():
            say("This machine belongs to a centre already: nothing was done.")
            return DONE
        try:
            parsed = parse_code(code_given(code, code_file, os.environ, ask))
        except (NoCodeError, CodeMalformedError) as error:
            return complain("enroll", error, USAGE, as_json=as_json)
        settings = load_settings(config)
        folder, keeper = state_folder(settings), keeper_of(settings)
        if delay:
            return _keep(parsed, register, settings, as_json=as_json)
        try:
            way = way_of(settings.centre.proxy, settings.centre.ca_file)
            now = datetime.now(UTC)
            which = register or (settings.register.register if parsed.asks_register else None)
            came_in = asyncio.run(
                enrol(parsed, folder, keeper, facts(), now=now, replace=replace, register=which, way=way)
            )
        except (EnrolmentError, NetworkSettingError) as error:
            return complain("enroll", error, PROBLEM, as_json=as_json)
        return _taken_up(came_in, settings, as_json=as_json)

    return guarded("enroll", work, as_json=as_json)


def _taken_up(came_in: CameIn, settings: Settings, *, as_json: bool) -> int:
    """The agent goes on with it, where one runs; what it comes to is told."""
    agent = running_agent(settings)
    if agent is not None:
        try:
            agent.take_up_enrolment()
        except AgentUnreachableError as error:
            return complain("enroll", f"enrolled, but {error}", PROBLEM, as_json=as_json)
    enrolment = came_in.enrolment
    enrolled = Enrolled(
        device=enrolment.device,
        store=enrolment.store,
        register=enrolment.register,
        centre=enrolment.url,
        running=agent is not None,
        left=came_in.left,
        left_refused=came_in.left_refused,
    )
    if as_json:
        say_json(enrolled)
        return DONE
    say(f"This is register {enrolled.register} of store {enrolled.store} at {enrolled.centre} now.")
    if enrolled.left is not None:
        say(_of_before(enrolled.left, refused=enrolled.left_refused))
    if not enrolled.running:
        say("Start its agent with `tillside run`.")
    return DONE


def _of_before(left: str, *, refused: bool) -> str:
    if refused:
        return f"It was {left}, which its centre refuses from now on; the key of that is gone."
    return (
        f"It was {left}, whose key is gone here, and which is still in service: where no other machine goes on under "
        f"it, shut it out at its centre with `tillside-central registers revoke {left}`."
    )


def _keep(code: EnrolmentCode, register: str | None, settings: Settings, *, as_json: bool) -> int:
    folder = state_folder(settings)
    if (folder / ENROLMENT_FILE).exists():
        problem = "this machine belongs to a centre: a code is kept for one that does not; see `tillside generalize`"
        return complain("enroll", problem, PROBLEM, as_json=as_json)
    which = register or (settings.register.register if code.asks_register else None)
    if code.asks_register and which is None:
        return complain("enroll", "say with --register which one of its store this is", USAGE, as_json=as_json)
    keep_code(folder, DelayedCode(code=code, register=which))
    agent = running_agent(settings)
    if agent is not None:
        try:
            agent.take_up_enrolment()
        except AgentUnreachableError as error:
            return complain("enroll", f"the code is kept, but {error}", PROBLEM, as_json=as_json)
    if as_json:
        say_json(KeptCode(centre=code.url))
    else:
        say(f"The code is kept: the agent enrols this register at {code.url} as soon as it reaches it.")
    return DONE
