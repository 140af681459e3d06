"""The agent and its commands load without what only Unix has. That they run is tried under wine (`make msi-wine`)."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Modules of ours that a register on Windows loads while it runs, or for a command.
LOADED = (
    "agent.cli.commands",
    "agent.cli.doctor",
    "agent.cli.enroll",
    "agent.cli.generalize",
    "agent.cli.open",
    "agent.cli.pos_token",
    "agent.cli.queue",
    "agent.cli.run",
    "agent.cli.self_test",
    "agent.cli.settings",
    "agent.cli.status",
    "agent.cli.support_bundle",
    "agent.cli.update",
    "agent.sources",
    "agent.webhook",
    "agent.windows.purge",
    "agent.windows.recovery",
    "agent.windows.service",
    "drivers.receipts.readers",
    "drivers.scanning.serial_scanner",
    "sync.loop",
    "sync.store.salvage",
)
# Libraries come first: what they ask of the system is theirs, and theirs is of this system here.
PROGRAM = """
import asyncio, importlib, importlib.metadata, multiprocessing, os, signal, socket, subprocess, sys, tempfile, types
import aiohttp.web, backports.zstd, cryptography, msgspec, platformdirs, prometheus_client, qrcode, rich, serial
import serial.tools.list_ports, sqlcipher3, sqlite_utils, structlog, tenacity, tuf.ngclient, typer

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in {"evdev", "fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty", "uvloop"}:
            raise ModuleNotFoundError(f"No module named {name!r}")

for name in ("fcntl", "grp", "pwd", "resource", "termios", "tty", "pty"):
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Absent())
for name in ("O_CLOEXEC", "O_DIRECTORY", "O_NOCTTY", "O_NOFOLLOW", "O_NONBLOCK", "fdatasync", "geteuid", "mkfifo",
             "pidfd_open", "pipe2", "posix_fallocate", "posix_spawn", "pread", "pwrite", "sync"):
    delattr(os, name)
for name in ("SIGHUP", "SIGKILL", "SIGPIPE", "SIGUSR1"):
    delattr(signal, name)
sys.platform = "win32"
sys.modules["msvcrt"] = types.ModuleType("msvcrt")
for name in sys.argv[1:]:
    importlib.import_module(name)
    print(name)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="stands in for Windows elsewhere")
def test_what_runs_there_loads() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, *LOADED], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert tuple(done.stdout.split()) == LOADED
