"""`tillside mock`: a register without devices for who lets a POS call in, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import logging
import sys
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from agent.cli.exit_codes import DONE, PROBLEM
from agent.cli.outcome import complain, guarded, say, say_json
from agent.cli.run import log_to_stderr, run_until_stopped
from agent.mock import MockMember, mock_members, mock_settings, stock
from agent.pos_token import pos_token
from agent.register import PageUnavailableError, Register, Running
from agent.state import keeper_of, open_store
from agent.tokens import origin_tokens


class MockReady(Struct, frozen=True, kw_only=True):
    """Where it answers, what a POS sends as its token, and whom it can name.

    `config` is a settings file for `tillside open` and the other commands that ask a register; `origin_token` is what
    pages of the origin send that was named, if one was.
    """

    url: str
    token: str
    config: str
    members: tuple[MockMember, ...]
    origin_token: str | None


def mock_command(*, port: int, origin: str | None, as_json: bool) -> int:
    """Run it, with its state in a temporary folder. Exit codes: 0 stopped, 1 it cannot start, 2 usage."""

    def work() -> int:
        with tempfile.TemporaryDirectory(prefix="tillside-mock-") as folder:
            try:
                return _run_in(Path(folder), port, origin, as_json=as_json)
            except PageUnavailableError:
                remedy = f"cannot listen on port {port}, where a register may run: name another with --port"
                return complain("mock", remedy, PROBLEM, as_json=as_json)

    return guarded("mock", work, as_json=as_json)


def _run_in(folder: Path, port: int, origin: str | None, *, as_json: bool) -> int:
    log_to_stderr(logging.WARNING)
    settings = mock_settings(folder, port, [origin] if origin is not None else [])
    keeper = keeper_of(settings)
    token = pos_token(keeper)
    origin_token = origin_tokens(folder).make(origin, "pos", datetime.now(UTC))[1] if origin is not None else None
    config = folder / "tillside.toml"
    config.write_text(f"[paths]\nstate = {msgspec.json.encode(str(folder)).decode()}\n", encoding="utf-8")
    with closing(open_store(settings, keeper)) as store:
        store.submit(stock).result()

        def ready(running: Running) -> None:
            told = MockReady(
                url=running.page.rstrip("/"),
                token=token,
                config=str(config),
                members=mock_members(),
                origin_token=origin_token,
            )
            _say_ready(told, as_json=as_json)

        run_until_stopped(Register(settings, store, keeper), ready)
    return DONE


def _say_ready(ready: MockReady, *, as_json: bool) -> None:
    if as_json:
        say_json(ready)
    else:
        say("A register to try calls with, gone with all it holds at Ctrl-C. In another terminal:")
        say(f"export TILL={ready.url}")
        say(f"export TOKEN={ready.token}")
        if ready.origin_token is not None:
            say("What a page of the origin sends as its token:")
            say(f"export ORIGIN_TOKEN={ready.origin_token}")
        say("Its cashier page, and with --customer the customer view:")
        say(f"tillside open --config {ready.config}")
        say("Members, by card:")
        for member in ready.members:
            say(f"  {member.card}  {member.name}  {member.tier or 'no tier'}  {member.spendable} points")
    sys.stdout.flush()
