"""The demo's processes: the real commands, started, awaited, killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

READY_WITHIN_S = 30.0
STOP_WITHIN_S = 10.0


class DemoError(RuntimeError):
    """The demo cannot go on; the message says what to look at."""


class Process:
    """One long-running command that prints a JSON line when it is ready; its log goes to a file."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self._command = [sys.executable, "-m", *command]
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> dict[str, object]:
        """Start it and return what its ready line says. Raises DemoError when it does not come up."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log
            )
        if self._process.stdout is None:
            raise DemoError(f"{self.name} has no standard output")
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), READY_WITHIN_S)
            ready: dict[str, object] = msgspec.json.decode(line)
        except (TimeoutError, msgspec.DecodeError) as error:
            await self.kill()
            raise DemoError(f"{self.name} did not come up; its log is {self._log}") from error
        return ready

    @property
    def pid(self) -> int:
        if self._process is None:
            raise DemoError(f"{self.name} was not started")
        return self._process.pid

    async def kill(self) -> None:
        """SIGKILL, as a pulled plug would end it."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL for one that does not listen."""
        await self._end(signal.SIGTERM)

    async def _end(self, how: signal.Signals) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            await asyncio.wait_for(process.wait(), STOP_WITHIN_S)
        except TimeoutError:
            process.kill()
            await process.wait()


async def run_once(*command: str) -> dict[str, object]:
    """Run a command with `--json` to its end and return the object on its last line of output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *command,
        "--json",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    lines = out.decode().strip().splitlines()
    if process.returncode != 0 or not lines:
        raise DemoError(f"{' '.join(command[:3])} ended with {process.returncode}: {err.decode().strip()[-500:]}")
    result: dict[str, object] = msgspec.json.decode(lines[-1])
    return result
