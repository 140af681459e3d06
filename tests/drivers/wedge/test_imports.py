"""What the relay loads of a wedge is of the standard library; python-evdev comes with the first device."""

from __future__ import annotations

import subprocess
import sys


def test_pass_through_loads_the_standard_library_alone() -> None:
    modules = "composer, encode, passage, backend, memory_backend, evdev_backend"
    code = f"import sys; from drivers.wedge import {modules}; print(*{{name.split('.')[0] for name in sys.modules}})"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert {"msgspec", "structlog", "evdev", "loyalty", "agent", "serial"}.isdisjoint(loaded)
