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
    """One long-running command that prints a JSON line when it is ready; its log goes to a file in `folder`."""

    def __init__(self, name: str, command: Sequence[str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{command[1]}.log"
        self._command = [_script(command[0]), *command[1:]]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> dict[str, object]:
        """Start it and return what its ready line says. Raises DemoError when it does not come up."""
        with self.log.open("ab") as log:
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
            raise DemoError(f"{self.name} did not come up; its log is {self.log}") from error
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
    lines = await run_lines(*command)
    if not lines:
        raise DemoError(f"{' '.join(command[:3])} printed nothing")
    result: dict[str, object] = msgspec.json.decode(lines[-1])
    return result


async def run_lines(*command: str) -> list[str]:
    """Run a command with `--json` to its end and return its lines of output."""
    process = await asyncio.create_subprocess_exec(
        _script(command[0]),
        *command[1:],
        "--json",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    if process.returncode != 0:
        said = (err or out).decode().strip()[-500:]
        raise DemoError(f"{' '.join(command[:3])} ended with {process.returncode}: {said}")
    return out.decode().splitlines()


def _script(name: str) -> str:
    """The command as it was installed beside this Python."""
    return str(Path(sys.executable).with_name(name))
