"""Serial ports, on real pseudo-terminals."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import tty
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from drivers.transport.port import (
    INPUT_LIMIT_BYTES,
    PortBusyError,
    PortMissingError,
    PortUnpluggedError,
    TransportClosedError,
)
from drivers.transport.serial import KERNEL_HOLDS_BYTES, SerialLine, SerialTransport, write_deadline_s

WAIT_S = 20.0


class Device:
    """The far end of a pseudo-terminal, which stays there while nobody has the port open."""

    def __init__(self) -> None:
        self.end, self.theirs = os.openpty()
        tty.setraw(self.theirs)
        self.path = os.ttyname(self.theirs)
        self.plugged = True

    def send(self, data: bytes) -> None:
        os.write(self.end, data)

    def forbid(self) -> None:
        Path(self.path).chmod(0)

    def unplug(self) -> None:
        if self.plugged:
            self.plugged = False
            os.close(self.theirs)
            os.close(self.end)


@pytest.fixture
def device() -> Iterator[Device]:
    device = Device()
    yield device
    device.unplug()


@pytest.fixture
async def port(device: Device) -> AsyncIterator[SerialTransport]:
    port = SerialTransport(device.path)
    await port.open()
    yield port
    await port.close()


async def read_exactly(port: SerialTransport, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += await port.read()
    return data


async def test_bytes_pass_both_ways_unchanged(device: Device, port: SerialTransport) -> None:
    every_byte = bytes(range(256))

    device.send(every_byte)
    await port.write(every_byte)

    assert await read_exactly(port, 256) == every_byte
    assert os.read(device.end, 1000) == every_byte


async def test_a_write_is_as_long_as_its_device_takes_to_read_it(device: Device, port: SerialTransport) -> None:
    # given a job that is much larger than what the kernel holds
    job = random.randbytes(20 * KERNEL_HOLDS_BYTES)
    # when it is written, and the device takes a little at a time
    writing = asyncio.create_task(port.write(job))
    taken = b""
    while len(taken) < len(job):
        taken += await asyncio.to_thread(os.read, device.end, 500)
    await writing
    # then it is there whole
    assert taken == job


@pytest.mark.parametrize("baud", [300, 1200, 9600, 115_200])
def test_no_line_is_too_slow_for_its_deadline(baud: int) -> None:
    bits = 10 * KERNEL_HOLDS_BYTES

    assert write_deadline_s(SerialLine(baud=baud)) > bits / baud


async def test_a_port_that_is_closed_ends_a_write_that_nobody_reads(port: SerialTransport) -> None:
    writing = asyncio.create_task(port.write(bytes(20 * KERNEL_HOLDS_BYTES)))
    await asyncio.sleep(0)

    await port.close()

    with pytest.raises((TransportClosedError, PortUnpluggedError)):
        await writing


async def test_what_came_while_nobody_listened_is_read(device: Device) -> None:
    device.send(b"early")
    port = SerialTransport(device.path)

    await port.open()

    assert await read_exactly(port, 5) == b"early"
    await port.close()


async def test_what_came_before_it_was_unplugged_is_read_first(device: Device, port: SerialTransport) -> None:
    thread = port._thread
    assert thread is not None
    device.send(b"last words")
    await thread.changed.wait()
    device.unplug()
    await thread.closed.wait()

    assert await port.read() == b"last words"
    with pytest.raises(PortUnpluggedError):
        await port.read()


async def test_an_unplugged_device_ends_a_pending_read(device: Device, port: SerialTransport) -> None:
    reading = asyncio.create_task(port.read())
    await asyncio.sleep(0)

    device.unplug()

    with pytest.raises(PortUnpluggedError, match="Plug it in again"):
        await reading
    with pytest.raises(PortUnpluggedError):
        await port.read()


async def test_a_device_plugged_back_in_is_opened_again_by_the_same_transport(tmp_path: Path) -> None:
    link = tmp_path / "by-id"
    first = Device()
    link.symlink_to(first.path)
    port = SerialTransport(str(link))
    await port.open()
    first.unplug()
    with pytest.raises(PortUnpluggedError):
        await port.read()
    link.unlink()
    with pytest.raises(PortMissingError):
        await port.open()

    second = Device()
    link.symlink_to(second.path)
    await port.open()
    second.send(b"back")

    assert await read_exactly(port, 4) == b"back"
    await port.close()
    second.unplug()


async def test_close_ends_a_pending_read(port: SerialTransport) -> None:
    reading = asyncio.create_task(port.read())
    await asyncio.sleep(0.01)

    await port.close()

    with pytest.raises(TransportClosedError):
        await reading
    with pytest.raises(TransportClosedError):
        await port.read()
    with pytest.raises(TransportClosedError):
        await port.write(b"x")
    await port.close()


async def test_a_cancelled_read_loses_nothing(device: Device, port: SerialTransport) -> None:
    reading = asyncio.create_task(port.read())
    await asyncio.sleep(0)
    device.send(b"kept")
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)

    assert await read_exactly(port, 4) == b"kept"


async def test_ten_thousand_scans_arrive_in_order(device: Device, port: SerialTransport) -> None:
    scans = b"".join(b"]C0%08d\r" % number for number in range(10_000))

    def send() -> None:
        for start in range(0, len(scans), 997):
            os.write(device.end, scans[start : start + 997])

    sending = asyncio.create_task(asyncio.to_thread(send))
    received = await read_exactly(port, len(scans))
    await sending

    assert received == scans


async def test_a_reader_that_falls_behind_holds_the_device_back(device: Device, port: SerialTransport) -> None:
    os.set_blocking(device.end, False)
    sent = 0

    async def fill() -> None:
        nonlocal sent
        refused = 0
        while refused < 20:
            try:
                sent += os.write(device.end, b"x" * 1024)
                refused = 0
            except BlockingIOError:
                refused += 1
            await asyncio.sleep(0.001)

    await fill()

    # What was taken is bounded: our own limit and one read more, and what the terminal itself holds.
    assert INPUT_LIMIT_BYTES <= sent < INPUT_LIMIT_BYTES + 64 * 1024
    assert await read_exactly(port, sent) == b"x" * sent


async def test_a_missing_port_says_where_ports_are_listed() -> None:
    port = SerialTransport("/dev/serial/by-id/nothing-here")

    with pytest.raises(PortMissingError, match="ls /dev/serial/by-id"):
        await port.open()
    with pytest.raises(TransportClosedError):
        await port.read()


async def test_a_file_is_no_port(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(PortMissingError, match="no serial port"):
        await SerialTransport(str(tmp_path / "file")).open()


async def test_a_port_in_use_is_busy_and_the_first_user_keeps_it(device: Device, port: SerialTransport) -> None:
    with pytest.raises(PortBusyError, match="another program"):
        await SerialTransport(device.path).open()

    device.send(b"mine")
    assert await read_exactly(port, 4) == b"mine"


async def test_a_port_that_this_user_may_not_open_names_the_remedy(device: Device) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give up the right to open its own terminal")
    device.forbid()
    os.seteuid(65534)
    try:
        with pytest.raises(PortBusyError, match="dialout"):
            await SerialTransport(device.path).open()
    finally:
        os.seteuid(0)


async def test_a_cancelled_open_leaves_the_port_free(device: Device) -> None:
    opening = asyncio.create_task(SerialTransport(device.path).open())
    await asyncio.sleep(0)
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)

    port = SerialTransport(device.path, SerialLine(baud=115200))
    await port.open()
    device.send(b"free")
    assert await read_exactly(port, 4) == b"free"
    await port.close()


async def test_a_cancelled_open_ends_once_nothing_has_the_port(device: Device) -> None:
    # given a port that is slow to open
    looking, found = threading.Event(), threading.Event()

    def slow() -> str:
        looking.set()
        found.wait(WAIT_S)
        return device.path

    opening = asyncio.create_task(SerialTransport("slow", find=slow).open())
    await asyncio.to_thread(looking.wait, WAIT_S)
    # when nobody wants it any more
    opening.cancel()
    await asyncio.sleep(0.01)
    # then that is over when it is closed
    assert not opening.done()
    found.set()
    await asyncio.gather(opening, return_exceptions=True)
    assert opening.cancelled()
