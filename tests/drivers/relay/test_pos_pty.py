"""The port that is made for a POS, opened by a POS as it opens a scanner's."""

from __future__ import annotations

import asyncio
import grp
import os
import stat
import termios
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from drivers.relay.pos_pty import PosPty
from drivers.transport.port import PortMissingError, PortUnpluggedError, TransportClosedError

WAIT_S = 20.0


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[PosPty]:
    port = PosPty(tmp_path / "pos")
    port.make()
    yield port
    await port.remove()


def opened(link: Path) -> int:
    """The POS's end."""
    return os.open(link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110  the other side is the kernel
            await asyncio.sleep(0.001)


def mode_of(link: Path) -> int:
    return stat.S_IMODE(link.stat().st_mode)


async def test_bytes_go_both_ways_unchanged(port: PosPty, tmp_path: Path) -> None:
    pos = opened(tmp_path / "pos")
    await port.open()
    every = bytes(range(256))

    await port.write(every)
    os.write(pos, every[::-1])

    assert os.read(pos, 1000) == every, "no line discipline changes or echoes a byte"
    assert await port.read() == every[::-1]
    os.close(pos)


async def test_it_is_open_while_a_pos_has_it_open(port: PosPty, tmp_path: Path) -> None:
    with pytest.raises(PortMissingError, match="No POS has"):
        await port.open()
    pos = opened(tmp_path / "pos")
    await port.open()
    reading = asyncio.create_task(port.read())
    await asyncio.sleep(0)
    os.close(pos)

    with pytest.raises(PortUnpluggedError):
        await asyncio.wait_for(reading, WAIT_S)
    with pytest.raises(PortMissingError):
        await port.write(b"x")


async def test_what_a_pos_has_not_read_before_it_closed_is_not_for_the_next_one(port: PosPty, tmp_path: Path) -> None:
    pos = opened(tmp_path / "pos")
    await port.open()
    await port.write(b"stale\r")
    os.close(pos)
    await port.close()

    pos = opened(tmp_path / "pos")
    await port.open()
    await port.write(b"fresh\r")
    assert os.read(pos, 100) == b"fresh\r"
    os.close(pos)


async def test_a_pos_that_does_not_read_stops_the_write_and_closing_ends_it(port: PosPty, tmp_path: Path) -> None:
    pos = opened(tmp_path / "pos")
    await port.open()
    writing = asyncio.create_task(port.write(b"x" * 1_000_000))
    reading = asyncio.create_task(port.read())
    await asyncio.sleep(0.005)
    assert not writing.done()

    await port.close()

    for task in (writing, reading):
        with pytest.raises(TransportClosedError):
            await asyncio.wait_for(task, WAIT_S)
    os.close(pos)


async def test_a_pos_that_goes_in_the_middle_got_a_part(port: PosPty, tmp_path: Path) -> None:
    pos = opened(tmp_path / "pos")
    await port.open()
    writing = asyncio.create_task(port.write(b"x" * 1_000_000))
    await asyncio.sleep(0.005)
    os.close(pos)

    with pytest.raises(PortUnpluggedError):
        await asyncio.wait_for(writing, WAIT_S)


async def test_at_the_end_the_pos_has_read_everything_first(tmp_path: Path) -> None:
    port = PosPty(tmp_path / "pos")
    port.make()
    pos = opened(tmp_path / "pos")
    await port.open()
    await port.write(b"last\r")
    await port.close()
    removing = asyncio.create_task(port.remove())
    await asyncio.sleep(0.01)

    assert os.read(pos, 100) == b"last\r"
    await asyncio.wait_for(removing, WAIT_S)
    assert os.read(pos, 100) == b"", "then it is gone"
    assert not (tmp_path / "pos").is_symlink()
    os.close(pos)


async def test_a_link_that_another_run_left_is_replaced_and_a_newer_one_left_alone(tmp_path: Path) -> None:
    link = tmp_path / "pos"
    link.symlink_to("/dev/pts/9999")
    first, second = PosPty(link), PosPty(link)

    first.make()
    second.make()
    await first.remove()

    assert link.is_symlink()
    os.close(opened(link))
    await second.remove()


async def test_something_else_of_that_name_is_never_replaced(tmp_path: Path) -> None:
    link = tmp_path / "pos"
    link.write_text("precious")

    with pytest.raises(PortMissingError, match="give another to --pos"):
        await PosPty(link).open()

    assert link.read_text() == "precious"


@pytest.mark.parametrize("device", ["/dev/ttyUSB-not-there", "../../ttyACM0", "/dev/null"])
async def test_a_link_of_somebody_elses_is_never_replaced(tmp_path: Path, device: str) -> None:
    # as the scanner's own in /dev/serial/by-id, given to --pos by mistake
    link = tmp_path / "usb-Maker_Scanner-if00"
    link.symlink_to(device)

    with pytest.raises(PortMissingError, match="give another to --pos"):
        await PosPty(link).open()

    assert str(link.readlink()) == device


async def test_only_this_user_may_open_it_or_a_group(tmp_path: Path) -> None:
    alone = PosPty(tmp_path / "alone")
    group = grp.getgrgid(os.getegid()).gr_name
    shared = PosPty(tmp_path / "shared", group=group)
    alone.make()
    shared.make()

    assert (mode_of(tmp_path / "alone"), mode_of(tmp_path / "shared")) == (0o600, 0o660)
    assert (tmp_path / "shared").stat().st_gid == os.getegid()
    await alone.remove()
    await shared.remove()


async def test_a_group_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(PortMissingError, match="no-such-group"):
        await PosPty(tmp_path / "pos", group="no-such-group").open()


async def test_the_pos_need_not_set_the_line(port: PosPty, tmp_path: Path) -> None:
    pos = opened(tmp_path / "pos")

    flags = termios.tcgetattr(pos)[3]
    os.close(pos)

    assert not flags & (termios.ECHO | termios.ICANON)
