"""The agent as a Windows service: `python -m agent.windows.service --config FILE`, started by the service manager.

Owns what stands around `tillside run` there: where its log goes, and what the Event Log is told. Until the manager has
heard of it, which it waits for only a while, nothing else is loaded.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.cli.exit_codes import DONE, PROBLEM
from agent.windows.capped_log import capped_log, log_file
from agent.windows.host import Kind, NotStartedByManagerError, Service
from agent.windows.life import SERVICE_NAME

if TYPE_CHECKING:
    from agent.register import Running

# Numbers of events: what a monitor filters by. The installer registers the source (installer/windows).
STARTED: Final = 1
STOPPED: Final = 2
FAILED: Final = 3


def main(arguments: list[str]) -> int:
    """Exit codes: 0 it was stopped, 1 it was not started by the service manager."""
    parser = argparse.ArgumentParser(prog="agent.windows.service", description="Run this register as a service.")
    parser.add_argument("--config", required=True, help="The settings file.")
    config = Path(parser.parse_args(arguments).config)
    try:
        Service(SERVICE_NAME).serve(lambda service: _work(service, config))
    except NotStartedByManagerError as error:
        sys.stderr.write(f"{error}\n")
        return PROBLEM
    return DONE


def _work(service: Service, config: Path) -> int:
    file = log_file(config)

    def stops(stop: Callable[[], None]) -> None:
        service.on_stop(partial(_call_soon, asyncio.get_running_loop(), stop))

    def ready(running: Running) -> None:
        service.running()
        enrolled = "" if running.enrolled else " It is not enrolled yet."
        service.event(Kind.INFORMATION, STARTED, f"The register answers at {running.page}.{enrolled}")

    code = PROBLEM
    with capped_log(file) as log, redirect_stderr(log), redirect_stdout(log):
        try:
            from agent.cli.run import run_command  # noqa: PLC0415 - the agent and all its libraries

            code = run_command(config=str(config), as_json=True, stops=stops, told=ready)
        finally:
            if code == DONE:
                service.event(Kind.INFORMATION, STOPPED, "The register was stopped.")
            else:
                text = f"The register ended with code {code}; the last lines of {file} say why and what to do."
                service.event(Kind.ERROR, FAILED, text)
    return code


def _call_soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """From the manager's thread. A loop that ended meanwhile has nothing left to stop."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(call)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
