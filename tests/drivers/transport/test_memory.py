"""The twin in memory: the same promises, and the faults it can show."""

from __future__ import annotations

import asyncio

import pytest

from drivers.transport.memory import memory_pair
from drivers.transport.port import (
    INPUT_LIMIT_BYTES,
    PortBusyError,
    PortMissingError,
    PortUnpluggedError,
    TransportClosedError,
)


async def test_what_one_end_writes_the_other_reads() -> None:
    near, far = memory_pair()
    await near.open()
    await far.open()

    await far.write(b"scan")
    await far.write(b"\r")
    await near.write(b"beep")

    assert await near.read() == b"scan\r"
    assert await far.read() == b"beep"


async def test_a_read_waits_for_the_write() -> None:
    near, far = memory_pair()
    await near.open()
    await far.open()
    reading = asyncio.create_task(near.read())
    await asyncio.sleep(0)

    await far.write(b"late")

    assert await reading == b"late"


async def test_reads_can_be_split() -> None:
    near, far = memory_pair(split_bytes=3)
    await near.open()
    await far.open()

    await far.write(b"12345678")

    assert [await near.read() for _ in range(3)] == [b"123", b"456", b"78"]


async def test_what_is_under_way_when_unplugged_is_lost() -> None:
    near, far = memory_pair(delay_s=0.002)
    await near.open()
    await far.open()
    await far.write(b"lost")

    near.unplug()
    near.plug_in()
    await far.write(b"new")

    assert await near.read() == b"new"


async def test_a_delayed_byte_is_not_there_before_its_time() -> None:
    near, far = memory_pair(delay_s=3600)
    await near.open()
    await far.open()
    await far.write(b"never")
    reading = asyncio.create_task(near.read())
    await asyncio.sleep(0)
    assert not reading.done()

    near.unplug()

    with pytest.raises(PortUnpluggedError):
        await reading


async def test_a_delayed_byte_arrives() -> None:
    near, far = memory_pair(delay_s=0.002)
    await near.open()
    await far.open()
    reading = asyncio.create_task(near.read())
    await asyncio.sleep(0)

    await far.write(b"later")

    assert await reading == b"later"


async def test_what_had_arrived_is_read_before_the_failure_and_it_can_be_plugged_in_again() -> None:
    near, far = memory_pair()
    await near.open()
    await far.open()
    await far.write(b"last")
    far.unplug()

    assert await near.read() == b"last"
    with pytest.raises(PortUnpluggedError):
        await near.read()
    with pytest.raises(PortUnpluggedError):
        await far.write(b"x")
    await near.close()
    with pytest.raises(PortMissingError):
        await near.open()

    near.plug_in()
    await near.open()
    await far.write(b"back")
    assert await near.read() == b"back"


async def test_close_ends_a_pending_read_and_a_closed_end_refuses() -> None:
    near, _ = memory_pair()
    await near.open()
    reading = asyncio.create_task(near.read())
    await asyncio.sleep(0)

    await near.close()

    with pytest.raises(TransportClosedError):
        await reading
    with pytest.raises(TransportClosedError):
        await near.write(b"x")


async def test_an_open_end_is_busy() -> None:
    near, _ = memory_pair()
    await near.open()

    with pytest.raises(PortBusyError):
        await near.open()


async def test_a_writer_waits_for_a_reader_that_falls_behind() -> None:
    near, far = memory_pair()
    await near.open()
    await far.open()
    await far.write(b"x" * INPUT_LIMIT_BYTES)
    writing = asyncio.create_task(far.write(b"y"))
    await asyncio.sleep(0)
    assert not writing.done()

    assert await near.read() == b"x" * INPUT_LIMIT_BYTES

    await writing
    assert await near.read() == b"y"
