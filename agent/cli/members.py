"""`tillside members`: look a member up in this register's own store."""

from __future__ import annotations

from agent.cli.connection import inspection
from agent.cli.exit_codes import DONE, PROBLEM, USAGE
from agent.cli.outcome import complain, guarded, say, say_json
from agent.inspection import FoundMembers
from config.load import load_settings
from loyalty.member import Identifier, Member


def members_command(*, action: str, query: str, config: str | None, as_json: bool) -> int:
    """`find` a start of a code, or `show` a code or id. Exit codes: 0 found, 1 nobody or a problem, 2 usage."""
    if action not in ("find", "show") or not query.strip() or not query.isprintable():
        return complain("members", "use `members find START_OF_CODE` or `members show CODE`", USAGE, as_json=as_json)

    def work() -> int:
        with inspection(load_settings(config)) as register:
            found = register.find_members(query) if action == "find" else (register.member(query),)
        if as_json:
            say_json(FoundMembers(members=found) if action == "find" else found[0])
        else:
            _print(found)
        return DONE if found else PROBLEM

    return guarded("members", work, as_json=as_json)


def _print(found: tuple[Member, ...]) -> None:
    if not found:
        say("Nobody here.")
    for member in found:
        balance = member.balance
        codes = ", ".join(_named(identifier) for identifier in member.identifiers)
        as_of = f", as of {member.as_of:%Y-%m-%d %H:%M:%S %Z}" if member.as_of else ""
        say(f"{member.short_name or '(no name)'}  {member.tier or 'no tier'}  {member.member}")
        say(f"  {balance.spendable} to spend, {balance.confirmed} confirmed, {balance.pending} pending{as_of}")
        say(f"  {codes}")


def _named(identifier: Identifier) -> str:
    state = "" if identifier.state == "active" else f" ({identifier.state})"
    return f"{identifier.kind} {identifier.code}{state}"
