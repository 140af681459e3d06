"""systemd's side of the relay: sockets that it hands over, and what it is told."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.demo.printer import VirtualPrinter
from drivers.relay.service import HandedSocketError, handed_socket, keep_alive, tell, watched_every_s
from tests.drivers.relay.running import WAIT_S
from tests.drivers.relay.test_process import ANSWER, ASK, receipt

ME = str(os.getpid())


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """Where a service tells how it is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.setblocking(False)
        yield heard


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getppid())},
        {"LISTEN_FDS": "one", "LISTEN_PID": ME},
    ],
)
def test_without_a_socket_for_this_process_it_says_how_to_get_one(environ: dict[str, str]) -> None:
    with pytest.raises(HandedSocketError, match=r"through its \.socket unit"):
        handed_socket("", environ)


def test_a_name_that_systemd_did_not_give_is_told() -> None:
    environ = {"LISTEN_FDS": "2", "LISTEN_PID": ME, "LISTEN_FDNAMES": "one:two"}
    with pytest.raises(HandedSocketError, match="no socket of the name 'three'"):
        handed_socket("three", environ)


def test_it_tells_who_listens_and_is_silent_where_nobody_does(systemd: socket.socket, tmp_path: Path) -> None:
    tell("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "notify")})
    tell("READY=1", {})
    tell("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    tell("READY=1", {"NOTIFY_SOCKET": "relative"})

    assert systemd.recv(100) == b"READY=1"
    with pytest.raises(BlockingIOError):
        systemd.recv(100)


def test_systemd_may_listen_at_a_name_that_is_no_file() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(f"\0tillside-{ME}")
        tell("STOPPING=1", {"NOTIFY_SOCKET": f"@tillside-{ME}"})

        assert heard.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize(
    ("environ", "every_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "5000000"}, 5.0),
        ({"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": ME}, 5.0),
        ({"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_it_knows_whether_it_is_watched(environ: dict[str, str], every_s: float | None) -> None:
    assert watched_every_s(environ) == every_s


async def test_while_it_is_watched_it_says_that_it_is_alive(systemd: socket.socket, tmp_path: Path) -> None:
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "10000"}
    alive = asyncio.create_task(keep_alive(environ))
    for _ in range(3):
        assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(systemd, 100), WAIT_S) == b"WATCHDOG=1"
    alive.cancel()

    await keep_alive({})


@pytest.mark.processes
async def test_systemds_own_program_hands_its_port_to_the_relay(tmp_path: Path) -> None:
    program = shutil.which("systemd-socket-activate")
    if program is None:
        pytest.skip("systemd-socket-activate is not installed")
    printer = VirtualPrinter()
    await printer.switch_on()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    spool = tmp_path / "spool"
    activated = await asyncio.create_subprocess_exec(
        *(program, f"--listen=127.0.0.1:{port}", "--fdname=pos"),
        *(f"--setenv={name}" for name in ("PYTHONPATH", "PATH")),
        *(sys.executable, "-m", "agent.cli.entry", "relay", "--json"),
        *("--listen", "systemd:pos", "--printer", printer.address, "--spool", str(spool)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert activated.stdout is not None
    reader, writer = await connected(port)
    writer.write(receipt(1) + ASK)
    ready = json.loads(await asyncio.wait_for(activated.stdout.readline(), WAIT_S))
    assert await asyncio.wait_for(reader.readexactly(1), WAIT_S) == ANSWER
    writer.close()
    activated.send_signal(signal.SIGTERM)
    await asyncio.wait_for(activated.communicate(), WAIT_S)
    await printer.switch_off()

    assert ready["listening"] == f"127.0.0.1:{port}"
    assert printer.printed == receipt(1) + ASK


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection, as soon as somebody listens. It is what starts the relay."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.005)
