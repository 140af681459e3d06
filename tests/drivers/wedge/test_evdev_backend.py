"""The backend of Linux, on stand-ins for python-evdev's objects: no test needs /dev/input or /dev/uinput."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from drivers.transport.port import PortBusyError, PortMissingError, PortUnpluggedError, TransportClosedError
from drivers.wedge.backend import INPUT_LIMIT_EVENTS, VIRTUAL_PHYS, WedgeDevice
from drivers.wedge.evdev_backend import BURST_KEYS, EvdevBackend, OpenEvdevWedge
from drivers.wedge.events import CapsLight, DeviceEvent, EventsLost
from tests.drivers.wedge.fake_evdev import (
    EV_KEY,
    EV_LED,
    EV_SYN,
    LED_CAPSL,
    SYN_DROPPED,
    SYN_REPORT,
    FakeKernel,
    InputEvent,
    UInputError,
    key,
)
from tests.drivers.wedge.keys import down, press, up

A, SHIFT, ENTER = 30, 42, 28
ONE, TWO = "/dev/input/event7", "/dev/input/event8"
SCANNER = WedgeDevice(
    name="Scanner", nodes=(ONE, TWO), vid=0x05E0, pid=0x1200, uniq="A1", keys=frozenset({A, SHIFT, ENTER, 0x110})
)


@pytest.fixture
def kernel() -> FakeKernel:
    return FakeKernel(ONE, TWO)


def backend_of(kernel: FakeKernel) -> EvdevBackend:
    return EvdevBackend(evdev=kernel, devices=lambda: (SCANNER,), set_clock=kernel.set_clock, settle_s=0)


@asynccontextmanager
async def opened(kernel: FakeKernel) -> AsyncIterator[OpenEvdevWedge]:
    """The scanner, open, and past what is said of its state at first."""
    device = await backend_of(kernel).open("usb:serial=A1")
    try:
        await device.read()
        yield device
    finally:
        await device.close()


async def read(device: OpenEvdevWedge, count: int) -> list[DeviceEvent]:
    events: list[DeviceEvent] = []
    while len(events) < count:
        events += await device.read()
    return events


async def test_keys_come_with_the_kernel_s_times_of_the_monotonic_clock(kernel: FakeKernel) -> None:
    async with opened(kernel) as device:
        kernel.send(ONE, *key(A, 1, 1234), *key(A, 0, 1240))

        assert await read(device, 2) == [down(A, 1234), up(A, 1240)]

    assert len(kernel.clocks) == 2


async def test_two_nodes_are_one_stream_in_the_order_of_their_times(kernel: FakeKernel) -> None:
    async with opened(kernel) as device:
        kernel.send(TWO, *key(A, 1, 2), *key(A, 0, 3))
        kernel.send(ONE, *key(SHIFT, 1, 1), *key(SHIFT, 0, 4))

        assert await read(device, 4) == [down(SHIFT, 1), down(A, 2), up(A, 3), up(SHIFT, 4)]


async def test_dropped_events_are_told_with_the_keys_that_are_down_and_torn_reports_are_not(kernel: FakeKernel) -> None:
    async with opened(kernel) as device:
        kernel.send(TWO, *key(SHIFT, 1, 1))
        kernel.send(
            ONE,
            *key(A, 1, 2),
            InputEvent(0, 3000, EV_SYN, SYN_DROPPED, 0),
            InputEvent(0, 3000, EV_KEY, ENTER, 1),
            InputEvent(0, 3000, EV_SYN, SYN_REPORT, 0),
            *key(A, 0, 4),
        )

        events = await read(device, 4)

    # the fake kernel has taken all of it by the time of the question: A is up again, ENTER down
    assert events == [down(SHIFT, 1), down(A, 2), EventsLost(held=frozenset({SHIFT, ENTER}), at_ns=3_000_000), up(A, 4)]


async def test_the_caps_light_is_told_at_first_and_when_it_changes(kernel: FakeKernel) -> None:
    kernel.nodes[TWO].leds.add(LED_CAPSL)
    device = await backend_of(kernel).open("Scanner")

    (light,) = await device.read()
    kernel.send(ONE, InputEvent(1, 0, EV_LED, LED_CAPSL, 0), InputEvent(1, 0, EV_LED, 0, 1))

    assert isinstance(light, CapsLight)
    assert light.on
    assert await device.read() == [CapsLight(on=False, at_ns=1_000_000_000)]
    await device.close()


async def test_a_key_that_is_down_at_first_shows_that_a_code_was_under_way(kernel: FakeKernel) -> None:
    kernel.nodes[ONE].held.add(SHIFT)
    device = await backend_of(kernel).open("Scanner")

    _, lost = await device.read()

    assert isinstance(lost, EventsLost)
    assert lost.held == {SHIFT}
    await device.close()


async def test_what_arrived_before_unplugging_is_read_first(kernel: FakeKernel) -> None:
    async with opened(kernel) as device:
        kernel.send(ONE, *key(A, 1, 1))
        kernel.unplug(ONE)
        kernel.unplug(TWO)

        assert await device.read() == [down(A, 1)]
        with pytest.raises(PortUnpluggedError, match="Plug it in again"):
            await device.read()
        with pytest.raises(PortUnpluggedError):
            await device.read()


async def test_unplugging_wakes_who_waits(kernel: FakeKernel) -> None:
    async with opened(kernel) as device:
        waiting = asyncio.create_task(device.read())
        await asyncio.sleep(0)
        kernel.unplug(TWO)

        with pytest.raises(PortUnpluggedError):
            await waiting


async def test_closing_ends_a_read_and_may_be_done_again(kernel: FakeKernel) -> None:
    async with opened(kernel) as device:
        waiting = asyncio.create_task(device.read())
        await asyncio.sleep(0)

        await device.close()
        await device.close()

        with pytest.raises(TransportClosedError):
            await waiting
    assert kernel.nodes[ONE].opened == kernel.nodes[TWO].opened == []


async def test_who_does_not_read_leaves_the_rest_with_the_kernel(kernel: FakeKernel) -> None:
    async with opened(kernel) as device:
        keys = [event for number in range(INPUT_LIMIT_EVENTS) for event in key(A, 1 - number % 2, number)]
        kernel.send(ONE, *keys)
        await asyncio.sleep(0.001)
        kernel.send(ONE, *key(ENTER, 1, 10_000_000))
        await asyncio.sleep(0.001)

        events = await device.read()
        assert len(events) == INPUT_LIMIT_EVENTS
        assert await device.read() == [down(ENTER, 10_000_000)]


async def test_a_device_of_somebody_else_s_is_refused_with_the_remedy(kernel: FakeKernel) -> None:
    kernel.nodes[TWO].forbidden = True

    with pytest.raises(PortBusyError, match="udev rule"):
        await backend_of(kernel).open("Scanner")

    assert kernel.nodes[ONE].opened == []


async def test_a_device_that_goes_while_it_is_opened_is_missing(kernel: FakeKernel) -> None:
    kernel.nodes[ONE].gone = True

    with pytest.raises(PortMissingError, match="Plug it in again"):
        await backend_of(kernel).open("Scanner")


async def test_grabbing_takes_all_nodes_and_closing_lets_go(kernel: FakeKernel) -> None:
    backend = backend_of(kernel)
    keyboard = await backend.virtual_keyboard(SCANNER)
    async with opened(kernel) as device:
        await device.grab(keyboard)
        assert None not in {kernel.nodes[ONE].grabbed_by, kernel.nodes[TWO].grabbed_by}

    assert {kernel.nodes[ONE].grabbed_by, kernel.nodes[TWO].grabbed_by} == {None}


async def test_without_an_open_virtual_keyboard_nothing_is_grabbed(kernel: FakeKernel) -> None:
    keyboard = await backend_of(kernel).virtual_keyboard(SCANNER)
    await keyboard.close()
    async with opened(kernel) as device:
        with pytest.raises(TransportClosedError):
            await device.grab(keyboard)

        assert kernel.nodes[ONE].grabbed_by is None


async def test_a_device_that_another_program_has_grabbed_is_busy_and_left_whole(kernel: FakeKernel) -> None:
    keyboard = await backend_of(kernel).virtual_keyboard(SCANNER)
    async with opened(kernel) as device:
        kernel.nodes[TWO].grabbed_by = "somebody"
        with pytest.raises(PortBusyError, match="grabbed by another program"):
            await device.grab(keyboard)

        assert kernel.nodes[ONE].grabbed_by is None


async def test_grabbing_waits_for_a_moment_without_a_key_down(kernel: FakeKernel) -> None:
    keyboard = await backend_of(kernel).virtual_keyboard(SCANNER)
    async with opened(kernel) as device:
        kernel.send(ONE, *key(SHIFT, 1))
        grabbing = asyncio.create_task(device.grab(keyboard))
        await asyncio.sleep(0.001)
        assert not grabbing.done()
        assert kernel.nodes[TWO].grabbed_by is None

        kernel.send(ONE, *key(SHIFT, 0))
        await grabbing

        assert kernel.nodes[TWO].grabbed_by is not None


async def test_a_key_that_goes_down_while_grabbing_is_left_to_those_who_heard_it(kernel: FakeKernel) -> None:
    keyboard = await backend_of(kernel).virtual_keyboard(SCANNER)
    kernel.nodes[TWO].pressed_while_grabbed.append(A)
    async with opened(kernel) as device:
        grabbing = asyncio.create_task(device.grab(keyboard))
        await asyncio.sleep(0)
        assert kernel.nodes[ONE].grabbed_by is kernel.nodes[TWO].grabbed_by is None

        kernel.send(TWO, *key(A, 0))
        await grabbing

        assert kernel.nodes[ONE].grabbed_by is not None


async def test_a_key_that_stays_down_keeps_the_device_with_the_others(kernel: FakeKernel) -> None:
    backend = EvdevBackend(
        evdev=kernel, devices=lambda: (SCANNER,), set_clock=kernel.set_clock, settle_s=0, grab_within_s=0
    )
    keyboard = await backend.virtual_keyboard(SCANNER)
    device = await backend.open("Scanner")
    kernel.send(ONE, *key(SHIFT, 1))

    with pytest.raises(PortBusyError, match="held down"):
        await device.grab(keyboard)

    assert kernel.nodes[ONE].grabbed_by is None
    await device.close()


async def test_a_device_that_goes_while_it_is_grabbed_is_unplugged(kernel: FakeKernel) -> None:
    keyboard = await backend_of(kernel).virtual_keyboard(SCANNER)
    async with opened(kernel) as device:
        kernel.nodes[TWO].gone = True

        with pytest.raises(PortUnpluggedError):
            await device.grab(keyboard)

        assert device.device == SCANNER


async def test_a_device_that_has_gone_when_it_was_opened_says_so_at_the_first_read(kernel: FakeKernel) -> None:
    device = OpenEvdevWedge(SCANNER, [kernel.InputDevice(ONE, readonly=True)], 0)
    kernel.unplug(ONE)
    await device.read()

    with pytest.raises(PortUnpluggedError):
        await device.read()
    await device.close()


async def test_the_virtual_keyboard_has_the_keys_of_the_scanner_and_a_name_of_its_own(kernel: FakeKernel) -> None:
    await backend_of(kernel).virtual_keyboard(SCANNER)

    (keyboard,) = kernel.keyboards
    assert keyboard.events == {EV_KEY: [ENTER, A, SHIFT]}
    assert keyboard.about["phys"] == VIRTUAL_PHYS
    assert keyboard.about["name"] == "Scanner (Tillside)"
    assert (keyboard.about["vendor"], keyboard.about["product"]) == (0x05E0, 0x1200)


async def test_keys_are_injected_one_report_each_and_in_bursts_that_a_desktop_can_read(kernel: FakeKernel) -> None:
    keyboard = await backend_of(kernel).virtual_keyboard(SCANNER)
    injecting = asyncio.create_task(keyboard.inject(press(A) * BURST_KEYS))
    await asyncio.sleep(0)

    written = kernel.keyboards[0].written
    assert written == [(EV_KEY, A, 1), (EV_SYN, SYN_REPORT, 0), (EV_KEY, A, 0), (EV_SYN, SYN_REPORT, 0)] * (
        BURST_KEYS // 2
    )
    await injecting
    assert len(written) == 4 * BURST_KEYS


async def test_two_who_inject_do_not_mix(kernel: FakeKernel) -> None:
    keyboard = await backend_of(kernel).virtual_keyboard(SCANNER)
    first, second = press(A) * BURST_KEYS, press(ENTER) * BURST_KEYS

    await asyncio.gather(keyboard.inject(first), keyboard.inject(second))

    codes = [code for kind, code, _ in kernel.keyboards[0].written if kind == EV_KEY]
    assert codes == [event.code for event in [*first, *second]]


async def test_a_virtual_keyboard_that_has_gone_says_so(kernel: FakeKernel) -> None:
    keyboard = await backend_of(kernel).virtual_keyboard(SCANNER)
    kernel.keyboards[0].fails = True
    with pytest.raises(PortUnpluggedError, match="Start again"):
        await keyboard.inject(press(A))

    await keyboard.close()
    await keyboard.close()

    assert kernel.keyboards[0].is_closed
    with pytest.raises(PortUnpluggedError, match="was closed"):
        await keyboard.inject(press(A))


@pytest.mark.parametrize("error", [UInputError("cannot be opened for writing"), PermissionError(13, "denied")])
async def test_a_machine_without_uinput_or_the_right_to_it_says_so(kernel: FakeKernel, error: Exception) -> None:
    kernel.uinput_fails = error

    with pytest.raises((PortMissingError, PortBusyError), match=r"modprobe uinput|udev rule"):
        await backend_of(kernel).virtual_keyboard(SCANNER)


def test_python_evdev_has_what_the_stand_in_has() -> None:
    evdev = pytest.importorskip("evdev")

    for name in ("read", "active_keys", "leds", "grab", "ungrab", "close"):
        assert callable(getattr(evdev.InputDevice, name))
    assert "readonly" in inspect.signature(evdev.InputDevice.__init__).parameters
    assert {"name", "vendor", "product", "bustype", "phys"} <= set(inspect.signature(evdev.UInput.__init__).parameters)
    assert (evdev.ecodes.EV_KEY, evdev.ecodes.EV_LED, evdev.ecodes.SYN_DROPPED) == (EV_KEY, EV_LED, SYN_DROPPED)
    assert issubclass(evdev.UInputError, Exception)
    assert [
        field for field in ("sec", "usec", "type", "code", "value") if field not in evdev.InputEvent.__slots__
    ] == []
