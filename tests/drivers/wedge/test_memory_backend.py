"""The machine in memory behaves as a real one does."""

from __future__ import annotations

import asyncio

import pytest

from drivers.transport.port import PortBusyError, PortMissingError, PortUnpluggedError, TransportClosedError
from drivers.wedge.backend import INPUT_LIMIT_EVENTS
from drivers.wedge.events import CapsLight, EventsLost
from drivers.wedge.memory_backend import MemoryMachine
from tests.drivers.wedge.keys import down, press, up

A, SHIFT = 30, 42


@pytest.fixture
def machine() -> MemoryMachine:
    return MemoryMachine()


async def test_who_listens_hears_every_key_and_so_does_the_pos(machine: MemoryMachine) -> None:
    scanner = machine.plug_in("Scanner")
    one, other = await machine.open("Scanner"), await machine.open("/dev/input/event0")

    scanner.type(press(A))

    assert await one.read() == await other.read() == machine.pos == press(A)


async def test_a_grabbed_scanner_s_keys_go_to_who_grabbed_it_and_to_nobody_else(machine: MemoryMachine) -> None:
    scanner = machine.plug_in("Scanner")
    ours, theirs = await machine.open("Scanner"), await machine.open("Scanner")
    keyboard = await machine.virtual_keyboard(ours.device)
    await ours.grab(keyboard)

    scanner.type(press(A))
    await keyboard.inject(press(SHIFT))

    assert await ours.read() == press(A)
    assert machine.pos == press(SHIFT)
    with pytest.raises(PortBusyError, match="grabbed by another program"):
        await theirs.grab(keyboard)

    await ours.close()
    scanner.type(press(A))

    assert await theirs.read() == press(A)
    assert machine.pos == [*press(SHIFT), *press(A)]


async def test_grabbing_needs_an_open_virtual_keyboard_and_no_key_down(machine: MemoryMachine) -> None:
    scanner = machine.plug_in("Scanner")
    device = await machine.open("Scanner")
    keyboard = await machine.virtual_keyboard(device.device)
    scanner.type([down(A)])
    with pytest.raises(PortBusyError, match="held down"):
        await device.grab(keyboard)
    scanner.type([up(A)])
    await keyboard.close()

    with pytest.raises(TransportClosedError):
        await device.grab(keyboard)


async def test_closing_a_virtual_keyboard_releases_its_keys(machine: MemoryMachine) -> None:
    device = await machine.open(machine.plug_in("Scanner").device.name)
    keyboard = await machine.virtual_keyboard(device.device)
    await keyboard.inject([down(SHIFT), *press(A)])

    await keyboard.close()

    assert machine.pos == [down(SHIFT), *press(A), up(SHIFT)]
    with pytest.raises(PortUnpluggedError):
        await keyboard.inject(press(A))


async def test_an_unplugged_scanner_comes_back_under_another_number(machine: MemoryMachine) -> None:
    scanner = machine.plug_in("Scanner", nodes=2, by_id="/dev/input/by-id/scanner", serial="A1")
    device = await machine.open("/dev/input/by-id/scanner")
    scanner.type(press(A), nodes=(0, 1))
    scanner.unplug()

    assert await device.read() == press(A)
    with pytest.raises(PortUnpluggedError):
        await device.read()
    with pytest.raises(PortMissingError):
        await machine.open("usb:serial=A1")
    scanner.plug_in()
    with pytest.raises(PortUnpluggedError):
        await device.read()

    assert (await machine.open("usb:serial=A1")).device.nodes == ("/dev/input/event2", "/dev/input/event3")


async def test_who_does_not_read_loses_events_and_is_told(machine: MemoryMachine) -> None:
    scanner = machine.plug_in("Scanner")
    device = await machine.open("Scanner")

    for _ in range(INPUT_LIMIT_EVENTS // 2):
        scanner.type(press(A))
    scanner.type([down(SHIFT, 7)])
    scanner.type([down(A, 8)])

    assert await device.read() == [EventsLost(held=frozenset({SHIFT}), at_ns=7_000_000), down(A, 8)]


async def test_lights_and_losses_can_be_sent(machine: MemoryMachine) -> None:
    scanner = machine.plug_in("Scanner")
    device = await machine.open("Scanner")
    scanner.set_caps_light(on=True)
    scanner.lose_events()

    assert await device.read() == [CapsLight(on=True, at_ns=0), EventsLost(held=frozenset(), at_ns=0)]


async def test_a_scanner_may_be_forbidden_and_uinput_missing(machine: MemoryMachine) -> None:
    scanner = machine.plug_in("Scanner")
    scanner.may_open = machine.has_uinput = False

    with pytest.raises(PortBusyError):
        await machine.open("Scanner")
    with pytest.raises(PortMissingError):
        await machine.virtual_keyboard(scanner.device)


async def test_closing_ends_a_read(machine: MemoryMachine) -> None:
    machine.plug_in("Scanner")
    device = await machine.open("Scanner")
    waiting = asyncio.create_task(device.read())
    await asyncio.sleep(0)

    await device.close()

    with pytest.raises(TransportClosedError):
        await waiting
