"""A recording holds every byte and key with its time, and no payment card."""

from __future__ import annotations

import asyncio

import pytest

from agent.doctor.diagnose import SerialSetting, WedgeSetting
from agent.doctor.recording import Recording, read_of
from drivers.capture import CapsRead, Capture, LostRead, decode_capture
from drivers.capture_codes import codes_of
from drivers.transport.port import PortUnpluggedError
from drivers.wedge.encode import encode
from drivers.wedge.events import CapsLight, EventsLost, KeyEvent
from tests.agent.doctor.ears import SpokenEar

PAN = "4111111111111111"


class File:
    """What was written, line by line."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def capture(self) -> Capture:
        return decode_capture(b"".join(self.lines))


async def recorded(ear: SpokenEar, file: File, *pieces: bytes | KeyEvent) -> None:
    ear.say(*pieces)
    await Recording(ear, file.lines.append).run(seconds=0.03)


async def test_bytes_are_written_as_they_came() -> None:
    file = File()

    await recorded(SpokenEar(baud=9600, password="x"), file, b"]C0TS", b"0001\r", b"\xff\r")

    capture = file.capture()
    assert capture.data == b"]C0TS0001\r\xff\r"
    assert len(capture.reads) == 3
    assert (capture.header.driver, capture.header.options) == ("serial", {"baud": 9600})
    assert [code.said for code in codes_of(capture).codes] == [b"]C0TS0001", b"\xff"]


async def test_keys_are_written_as_they_came() -> None:
    file = File()
    ear = SpokenEar(WedgeSetting(layout="de"), layout="de")

    await recorded(ear, file, *encode("de", "]C0Zy-1"))

    assert [code.said for code in codes_of(file.capture()).codes] == ["]C0Zy-1"]


async def test_no_payment_card_is_ever_written() -> None:
    file = File()
    await recorded(SpokenEar(), file, *(bytes([byte]) for byte in f"]C0{PAN}\r;{PAN}=2512?\r".encode()))
    typed = File()
    await recorded(SpokenEar(WedgeSetting()), typed, *encode("us", f";{PAN}=2512?"))

    for each in (file, typed):
        capture = each.capture()
        assert PAN not in "|".join(str(code.said) for code in codes_of(capture).codes)
        assert PAN.encode() not in b"".join(each.lines)
    assert "411111******1111" in file.capture().data.decode()


async def test_a_device_that_goes_leaves_what_it_said() -> None:
    file, ear = File(), SpokenEar()
    ear.say(b"]C0TS0001\r")
    ear.unplug()

    with pytest.raises(PortUnpluggedError):
        await Recording(ear, file.lines.append).run()

    assert file.capture().data == b"]C0TS0001\r"


async def test_being_cancelled_keeps_what_was_heard() -> None:
    file, ear = File(), SpokenEar()
    ear.say(b"]C0TS0001\r")
    running = asyncio.create_task(Recording(ear, file.lines.append).run())
    await asyncio.sleep(0.005)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert file.capture().data == b"]C0TS0001\r"


async def test_times_never_fall_even_if_the_devices_do() -> None:
    file = File()
    ear = SpokenEar(WedgeSetting())

    await recorded(ear, file, *(KeyEvent(code=30, value=1, at_ns=at) for at in (50, 10, 0)))

    assert [read.ms for read in file.capture().reads] == [0, 0, 0]


async def test_what_is_quiet_is_written_before_the_end() -> None:
    lines: asyncio.Queue[bytes] = asyncio.Queue()
    ear = SpokenEar(SerialSetting(suffix="", idle_ms=20))
    ear.say(b"]C0TS0001")
    running = asyncio.create_task(Recording(ear, lines.put_nowait).run())

    assert b"tillside_capture" in await lines.get()
    assert b"TS0001" in await lines.get()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_every_event_of_a_keyboard_has_its_read() -> None:
    assert read_of(CapsLight(on=True, at_ns=0), 3) == CapsRead(ms=3, on=True)
    assert read_of(EventsLost(held=frozenset({42, 29}), at_ns=0), 4) == LostRead(ms=4, held=(29, 42))
