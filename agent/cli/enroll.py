"""`tillside enroll`: this register comes to belong to a centre."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from msgspec import Struct

from agent.centre import facts
from agent.cli.connection import AgentUnreachableError, running_agent
from agent.cli.exit_codes import DONE, PROBLEM, USAGE
from agent.cli.outcome import complain, guarded, say, say_json
from agent.state import keeper_of
from config.load import load_settings, state_folder
from sync.enrolling import enrol
from sync.enrolment import CodeMalformedError, EnrolmentError, parse_code
from sync.network import NetworkSettingError, way_of


class Enrolled(Struct, frozen=True, kw_only=True):
    """Which register this machine is now; `running` tells whether its agent goes on with it."""

    device: str
    store: str
    register: str
    centre: str
    running: bool


def enroll_command(*, code: str, replace: bool, config: str | None, as_json: bool) -> int:
    """Spend an enrolment code. Exit codes: 0 enrolled, 1 the centre refused or cannot be reached, 2 no code."""

    def work() -> int:
        try:
            parsed = parse_code(code)
        except CodeMalformedError as error:
            return complain("enroll", error, USAGE, as_json=as_json)
        settings = load_settings(config)
        folder, keeper = state_folder(settings), keeper_of(settings)
        try:
            way = way_of(settings.centre.proxy, settings.centre.ca_file)
            now = datetime.now(UTC)
            enrolment = asyncio.run(enrol(parsed, folder, keeper, facts(), now=now, replace=replace, way=way))
        except (EnrolmentError, NetworkSettingError) as error:
            return complain("enroll", error, PROBLEM, as_json=as_json)
        agent = running_agent(settings)
        if agent is not None:
            try:
                agent.take_up_enrolment()
            except AgentUnreachableError as error:
                return complain("enroll", f"enrolled, but {error}", PROBLEM, as_json=as_json)
        enrolled = Enrolled(
            device=enrolment.device,
            store=enrolment.store,
            register=enrolment.register,
            centre=enrolment.url,
            running=agent is not None,
        )
        if as_json:
            say_json(enrolled)
            return DONE
        say(f"This is register {enrolled.register} of store {enrolled.store} at {enrolled.centre} now.")
        if not enrolled.running:
            say("Start its agent with `tillside run`.")
        return DONE

    return guarded("enroll", work, as_json=as_json)
