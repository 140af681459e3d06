"""Which device a name in the settings means."""

from __future__ import annotations

import pytest

from drivers.transport.port import PortAmbiguousError, PortMissingError
from drivers.wedge.backend import WedgeDevice, WedgeNameError, check_name, chosen, plugged_in, ways_to_write

COUNTER = WedgeDevice(
    name="Honeywell 1900",
    nodes=("/dev/input/event7", "/dev/input/event8"),
    by_id=("/dev/input/by-id/usb-Honeywell_1900_A1-event-kbd",),
    vid=0x0C2E,
    pid=0x0B61,
    uniq="A1",
    location="1-1.2",
)
DESK = WedgeDevice(
    name="Honeywell 1900",
    nodes=("/dev/input/event9",),
    vid=0x0C2E,
    pid=0x0B61,
    uniq="B2",
    location="1-1.3",
)
KEYBOARD = WedgeDevice(name="AT keyboard", nodes=("/dev/input/event0",))
ALL = (KEYBOARD, COUNTER, DESK)


@pytest.mark.parametrize(
    "name",
    [
        "/dev/input/by-id/usb-Honeywell_1900_A1-event-kbd",
        "/dev/input/event7",
        "/dev/input/event8",
        "usb:serial=A1",
        "usb:serial=a1",
        "usb:location=1-1.2",
    ],
)
def test_a_device_is_meant_by_any_of_its_names(name: str) -> None:
    assert chosen(name, ALL) == COUNTER


def test_a_name_and_a_model_mean_the_only_one_of_that_kind() -> None:
    assert chosen("AT keyboard", ALL) == KEYBOARD
    assert chosen("usb:0C2E:0b61", (KEYBOARD, DESK)) == DESK


@pytest.mark.parametrize("name", ["Honeywell 1900", "usb:0c2e:0b61"])
def test_two_devices_that_are_meant_alike_are_told_apart_for_the_operator(name: str) -> None:
    with pytest.raises(PortAmbiguousError, match="2 devices") as caught:
        chosen(name, ALL)

    assert "usb-Honeywell_1900_A1-event-kbd is /dev/input/event7" in str(caught.value)
    assert "usb:serial=B2 is /dev/input/event9" in str(caught.value)


def test_a_device_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(PortMissingError, match=r"usb:serial=ZZ is not plugged in\. There are: AT keyboard"):
        chosen("usb:serial=ZZ", ALL)
    with pytest.raises(PortMissingError, match="No device with keys is there"):
        chosen("usb:serial=ZZ", ())


@pytest.mark.parametrize("name", ["usb:", "usb:serial=", "usb:location=", "usb:12:34", "usb:0c2e:0b61=1", "usb:name=x"])
def test_a_name_of_no_known_form_is_refused(name: str) -> None:
    with pytest.raises(WedgeNameError, match="usb:serial="):
        check_name(name)


def test_names_are_offered_the_steadiest_first_and_only_if_they_mean_one() -> None:
    assert ways_to_write(COUNTER, ALL) == (
        "/dev/input/by-id/usb-Honeywell_1900_A1-event-kbd",
        "usb:serial=A1",
        "usb:location=1-1.2",
        "/dev/input/event7",
    )
    assert ways_to_write(KEYBOARD, ALL) == ("AT keyboard", "/dev/input/event0")
    assert plugged_in((DESK,)) == "There are: Honeywell 1900 (usb:serial=B2)."
