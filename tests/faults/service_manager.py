"""A service manager as systemd is one: holds a service's socket, watches it from outside, and starts it again.

Owns nothing of the service but its start. It speaks `sd_listen_fds(3)` and `sd_notify(3)`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

STARTS_WITHIN_S = 30.0
ENDS_WITHIN_S = 30.0
# A service says so twice in the time that it may be silent.
ALIVE_TIMES = 3
# Becomes the service in the place of itself, so that it is the process that the socket is meant for.
_HAND_OVER = """
import os, sys
handle = int(sys.argv[1])
os.dup2(handle, 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="pos")
os.execv(sys.executable, [sys.executable, "-m", "agent.cli.entry", *sys.argv[2:]])
"""


class ServiceManager:
    """Runs `tillside ARGUMENTS` with a listening socket of its own at `address`, until it is closed.

    A service that says nothing for `watchdog_s` is killed.
    """

    def __init__(self, folder: Path, *arguments: str, watchdog_s: float = 30.0) -> None:
        self._arguments = arguments
        self._watchdog_s = watchdog_s
        self._log = folder / "service.log"
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=16)
        self._notify = folder / "notify"
        self._said = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._said.bind(str(self._notify))
        self._said.setblocking(False)
        self._process: asyncio.subprocess.Process | None = None
        self._ready = asyncio.Event()
        self._stopping = False
        self._keeping: asyncio.Task[None] | None = None
        self.starts = 0
        self.hung = 0
        self._alive = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._keeping = asyncio.create_task(self._keep_running())
        await self.ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        self._listening.close()
        self._said.close()

    @property
    def port(self) -> int:
        port: int = self._listening.getsockname()[1]
        return port

    @property
    def log(self) -> str:
        return self._log.read_text()

    def signal(self, number: int) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def ready(self) -> None:
        """Returns once the service has said that it is ready."""
        async with asyncio.timeout(STARTS_WITHIN_S):
            await self._ready.wait()

    async def started_again(self, after: int) -> None:
        """Returns once it is ready after more than `after` starts."""
        async with asyncio.timeout(STARTS_WITHIN_S):
            while True:
                if self.starts > after and self._ready.is_set():
                    return
                await asyncio.sleep(0.005)

    async def alive_again(self) -> None:
        """Returns once the service has said ALIVE_TIMES more that it is alive: for longer than it may be silent."""
        async with asyncio.timeout(STARTS_WITHIN_S):
            for _ in range(ALIVE_TIMES):
                self._alive.clear()
                await self._alive.wait()

    async def stop(self) -> int:
        """The exit code of the last run, ended by SIGTERM."""
        if self._keeping is None or self._process is None:
            return 0
        self._stopping = True
        with suppress(ProcessLookupError):
            self._process.terminate()
        await asyncio.wait_for(self._keeping, ENDS_WITHIN_S)
        assert self._process.returncode is not None
        return self._process.returncode

    async def _keep_running(self) -> None:
        while not self._stopping:
            self._ready.clear()
            with self._log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-c", _HAND_OVER, str(self._listening.fileno()), *self._arguments),
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=log,
                    pass_fds=(self._listening.fileno(),),
                    env={
                        **os.environ,
                        "NOTIFY_SOCKET": str(self._notify),
                        "WATCHDOG_USEC": str(int(self._watchdog_s * 1e6)),
                    },
                )
            self.starts += 1
            watching = asyncio.create_task(self._watch(self._process))
            await self._process.wait()
            watching.cancel()

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Hear the service, and kill it when it goes silent."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(self._watchdog_s if self._ready.is_set() else STARTS_WITHIN_S):
                    said = await loop.sock_recv(self._said, 4096)
            except TimeoutError:
                self.hung += 1
                with suppress(ProcessLookupError):
                    process.kill()
                return
            if said == b"READY=1":
                self._ready.set()
            elif said == b"WATCHDOG=1":
                self._alive.set()
