"""`tillside open`: the cashier page or the customer view, already paired."""

from __future__ import annotations

import webbrowser

from agent.cli.connection import running_agent
from agent.cli.exit_codes import DONE, PROBLEM
from agent.cli.outcome import complain, guarded, say, say_json
from config.load import load_settings


def open_command(*, config: str | None, customer: bool, print_only: bool, as_json: bool) -> int:
    """Open the page in this user's browser, or print its one-time address. Exit codes: 0 done, 1 problem."""

    def work() -> int:
        agent = running_agent(load_settings(config))
        if agent is None:
            return complain("open", "the agent does not run: start it with `tillside run`", PROBLEM, as_json=as_json)
        pairing = agent.open_pairing("customer" if customer else "cashier")
        if as_json:
            say_json(pairing)
        elif print_only:
            say(pairing.url)
        if print_only or as_json:
            return DONE
        if not webbrowser.open(pairing.url):
            say(f"No browser was found here; open this within {pairing.expires_in_s:.0f} s: {pairing.url}")
        return DONE

    return guarded("open", work, as_json=as_json)
