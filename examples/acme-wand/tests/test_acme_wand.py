"""The wand's driver does everything that a driver must."""

import asyncio
from functools import reduce
from operator import xor

from acme_wand import WandDriver

from drivers.testing import Sample, check_scanner


def sent(text: bytes) -> bytes:
    return bytes([2, len(text), *text, reduce(xor, text)])


CODES = [
    Sample(sent=sent(b"]C0M-001234"), text="M-001234"),
    Sample(sent=sent(b"]E04006381333931"), text="4006381333931"),
    Sample(sent=sent(b"]Q1TWO\r\nLINES"), text="TWOLINES"),
]


def test_it_does_what_a_driver_must() -> None:
    asyncio.run(check_scanner(WandDriver, codes=CODES))
