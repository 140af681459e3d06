"""`tillside run`: this register's agent, until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import sys
from collections.abc import Callable, Coroutine
from functools import partial

import msgspec
import structlog

from agent.cli.exit_codes import DONE, PROBLEM, USAGE
from agent.register import PageUnavailableError, Register, Running
from agent.scanner_settings import scanner_problems
from agent.setting_checks import part_problems
from agent.state import keeper_of, open_store
from agent.stopping import Stops, by_signals
from agent.verbosity import OF_THIS_PROCESS
from agent.windows.limits import problems as problems_on_windows
from config.load import load_settings, settings_file
from config.settings import Settings, SettingsError
from drivers.relay.service import keep_alive, tell
from loyalty.identification_checks import rule_problems
from sync.keys import SecretError
from sync.store.errors import StoreError

if sys.platform != "win32":
    import uvloop

log = structlog.get_logger(__name__)


def main(arguments: list[str]) -> int:
    """`tillside run` with its own small parser: see `agent.cli.entry`."""
    parser = argparse.ArgumentParser(prog="tillside run", description="Run this register's agent until stopped.")
    parser.add_argument("--config", help="The settings file; else TILLSIDE_CONFIG, else the system's.")
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    chosen = parser.parse_args(arguments)
    return run_command(config=chosen.config, as_json=chosen.json)


def run_command(
    *, config: str | None, as_json: bool, stops: Stops = by_signals, told: Callable[[Running], None] | None = None
) -> int:
    """Run the agent until `stops` says so; `told` is told, too, once it answers.

    Exit codes: 0 stopped, 1 it cannot start, 2 a setting is wrong.
    """
    try:
        settings = load_settings(config)
        where = str(settings_file(config))
        for problem in (*problems_on_windows(settings, where), *scanner_problems(settings, where=where)):
            raise problem
    except SettingsError as error:
        sys.stderr.write(f"tillside run: {error}\n")
        return USAGE
    log_to_stderr()
    _warn_of_rules(settings)
    for wrong in part_problems(settings, where):
        log.error("setting_wrong", problem=str(wrong))
    keeper = keeper_of(settings)
    try:
        store = open_store(settings, keeper)
    except (StoreError, SecretError, OSError) as error:
        sys.stderr.write(f"tillside run: {error}\n")
        return PROBLEM
    try:
        register = Register(settings, store, keeper, file=where)
        run_until_stopped(register, partial(_say_ready, as_json=as_json, told=told), stops)
    except (PageUnavailableError, SecretError) as error:
        sys.stderr.write(f"tillside run: {error}\n")
        return PROBLEM
    finally:
        store.close()
    return DONE


def run_until_stopped(register: Register, ready: Callable[[Running], None], stops: Stops = by_signals) -> None:
    """Runs it until `stops` says so; `ready` is told once it answers. Raises PageUnavailableError and SecretError."""
    _run_fast(_run(register, ready, stops))


def _run_fast(work: Coroutine[None, None, None]) -> None:
    """Run on uvloop where there is one; it is not made for Windows."""
    if sys.platform == "win32":
        asyncio.run(work)
    else:
        uvloop.run(work)


async def _run(register: Register, tell_ready: Callable[[Running], None], stops: Stops) -> None:
    stop = asyncio.Event()
    stops(stop.set)
    alive = asyncio.create_task(keep_alive())

    def ready(running: Running) -> None:
        tell_ready(running)
        tell("READY=1")
        # What was loaded stays: walking through all of it would hold up a scan or a receipt for a tenth of a second.
        gc.freeze()

    try:
        await register.run(ready, stop)
    finally:
        alive.cancel()
        tell("STOPPING=1")


def _say_ready(running: Running, *, as_json: bool, told: Callable[[Running], None] | None = None) -> None:
    if told is not None:
        told(running)
    if as_json:
        line = msgspec.json.encode(running).decode()
    else:
        enrolled = "" if running.enrolled else " Not enrolled yet: scans and receipts are kept until it is."
        line = f"Ready. The cashier page is {running.page} (open it with `tillside open`).{enrolled}"
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _warn_of_rules(settings: Settings) -> None:
    """What is probably not meant, and can be used; the centre's command says the same of its rules."""
    for problem in rule_problems(settings.identification):
        log.warning("identification_rule_doubtful", problem=str(problem))


def log_to_stderr(least: int = logging.DEBUG) -> None:
    """JSON lines from the level `least` on, `debug` while it is asked for; standard output has the ready line only."""
    structlog.configure(
        processors=[
            OF_THIS_PROCESS,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=_line),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def _line(event: object, **_: object) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()
