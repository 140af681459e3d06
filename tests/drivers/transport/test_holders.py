"""Who holds a port: real processes that hold real pseudo-terminals, as other programs do."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from drivers.transport.holder import Holder, OpenPort
from drivers.transport.holder_linux import LinuxHolders
from drivers.transport.holder_windows import WindowsHolders
from drivers.transport.port import PortBusyError
from drivers.transport.serial import SerialTransport

NOBODY = 65534
# What a pseudo-terminal is not: a device whose makers read it.
REAL = LinuxHolders(pseudo_terminals=range(0))

HOLD = """
import ctypes, fcntl, os, sys, termios
if len(sys.argv) > 3:
    os.setuid(int(sys.argv[3]))
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: seen by its own user, as programs started by one are
port = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
if sys.argv[2] == "flock":
    fcntl.flock(port, fcntl.LOCK_EX | fcntl.LOCK_NB)
if sys.argv[2] == "exclusive":
    fcntl.ioctl(port, termios.TIOCEXCL)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def terminal() -> Iterator[str]:
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    os.fchmod(theirs, 0o666)
    yield os.ttyname(theirs)
    os.close(theirs)
    os.close(ours)


@contextmanager
def held(path: str, how: str, user: int | None = None) -> Iterator[Holder]:
    """Another program that has `path` open, and how it keeps others out."""
    command = [sys.executable, "-I", "-c", HOLD, path, how, *([] if user is None else [str(user)])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdin is not None
        assert program.stdout.readline() == "held\n"
        yield Holder(program=Path(f"/proc/{program.pid}/comm").read_text().strip(), pid=program.pid)
        program.stdin.close()


@pytest.fixture
def _root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")


@contextmanager
def as_nobody() -> Iterator[None]:
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_another_program_that_has_a_port_open_is_seen_and_this_one_is_not(terminal: str, tmp_path: Path) -> None:
    link = tmp_path / "by-id"
    link.symlink_to(terminal)
    assert LinuxHolders().of(terminal) == ()

    with held(terminal, "open") as holder:
        assert LinuxHolders().of(terminal) == (holder,)
        assert LinuxHolders().of(str(link)) == (holder,)

    assert LinuxHolders().of(terminal) == ()


@pytest.mark.parametrize("path", ["/dev/no-such-device", "/etc/hostname", "/", "\0"])
def test_what_is_no_device_has_no_holder(path: str) -> None:
    assert LinuxHolders().of(path) == ()


def test_a_machine_without_proc_tells_nothing(terminal: str, tmp_path: Path) -> None:
    with held(terminal, "open"):
        assert LinuxHolders(proc=tmp_path / "nothing").of(terminal) == ()


async def test_a_locked_port_is_told_with_its_holder(terminal: str) -> None:
    with held(terminal, "flock") as holder:
        with pytest.raises(PortBusyError) as caught:
            await SerialTransport(terminal).open()

        assert f"{terminal} is used by {holder.program} (process {holder.pid}). Stop that program" in str(caught.value)

    port = SerialTransport(terminal)
    await port.open()
    await port.close()


@pytest.mark.usefixtures("_root")
async def test_a_port_held_exclusively_is_told_with_its_holder(terminal: str) -> None:
    with held(terminal, "exclusive", NOBODY) as holder, as_nobody(), pytest.raises(PortBusyError) as caught:
        await SerialTransport(terminal).open()

    assert f"process {holder.pid}" in str(caught.value)


@pytest.mark.usefixtures("_root")
async def test_a_holder_of_another_user_is_said_to_be_hidden(terminal: str) -> None:
    hidden = r"another program\. Programs of other users.*sudo fuser -v /dev/pts"
    with held(terminal, "exclusive"), as_nobody(), pytest.raises(PortBusyError, match=hidden):
        await SerialTransport(terminal).open()


async def test_a_device_that_another_program_reads_without_a_lock_is_refused(terminal: str) -> None:
    with held(terminal, "open") as holder, pytest.raises(PortBusyError, match=f"process {holder.pid}"):
        await SerialTransport(terminal, holders=REAL).open()

    port = SerialTransport(terminal, holders=REAL)
    await port.open()
    await port.close()


async def test_a_pseudo_terminal_that_its_maker_keeps_open_is_not(terminal: str) -> None:
    with held(terminal, "open"):
        port = SerialTransport(terminal)
        await port.open()
        await port.close()


@pytest.mark.usefixtures("_root")
async def test_a_device_that_is_open_here_stays_shut_to_programs_that_ask_for_no_lock(terminal: str) -> None:
    port = SerialTransport(terminal, holders=REAL)
    await port.open()

    with as_nobody(), pytest.raises(OSError, match="busy"):
        os.open(terminal, os.O_RDWR | os.O_NOCTTY)

    await port.close()


class Unknowing:
    """An operating system that sees nobody."""

    def of(self, path: str) -> tuple[Holder, ...]:
        return ()

    def claim(self, path: str, port: OpenPort) -> tuple[Holder, ...]:
        return ()

    def untold(self, path: str) -> str:
        return f"Nobody knows who has {path}."


async def test_where_the_system_does_not_tell_the_message_says_so(terminal: str) -> None:
    with held(terminal, "flock"), pytest.raises(PortBusyError, match=f"Nobody knows who has {terminal}"):
        await SerialTransport(terminal, holders=Unknowing()).open()


def test_windows_tells_nobody_and_says_where_to_look(terminal: str) -> None:
    with Path(terminal).open("rb", buffering=0) as port:
        assert WindowsHolders().of("COM3") == ()
        assert WindowsHolders().claim("COM3", port) == ()
    assert "Process Explorer" in WindowsHolders().untold("COM3")


async def test_a_hundred_processes_with_the_port_open_are_not_all_named(terminal: str) -> None:
    class Crowded(Unknowing):
        def of(self, path: str) -> tuple[Holder, ...]:
            return tuple(Holder(program=f"program{number}", pid=number) for number in range(100))

    with held(terminal, "flock"), pytest.raises(PortBusyError, match=r"program0 .*program2 \(process 2\)\. Stop"):
        await SerialTransport(terminal, holders=Crowded()).open()


async def test_asking_who_holds_a_port_does_not_stop_the_event_loop(terminal: str) -> None:
    asked_on: list[bool] = []

    class Where(Unknowing):
        def of(self, path: str) -> tuple[Holder, ...]:
            try:
                asyncio.get_running_loop()
                asked_on.append(True)
            except RuntimeError:
                asked_on.append(False)
            return ()

    with held(terminal, "flock"), pytest.raises(PortBusyError):
        await SerialTransport(terminal, holders=Where()).open()

    assert asked_on == [False]
