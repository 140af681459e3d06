"""What some tests need of the machine: to mount a small disk, to watch what a process asks of the disk.

Where it does not let them they fail: faults that nobody tried are not survived. An option lets them be skipped.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import pytest

_OPTION = "--without-root-or-strace"

MountDisk = Callable[[Path, int], Path]
"""Mounts an empty file system of so many bytes on a new folder, until the test is over."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(_OPTION, action="store_true", help="skip tests that need either")


def _runs(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _missing(request: pytest.FixtureRequest, what: str) -> NoReturn:
    if request.config.getoption(_OPTION):
        pytest.skip(what)
    pytest.fail(f"{what}: run the tests as root where strace is installed, or leave these out with {_OPTION}")


@pytest.fixture
def mount_disk(request: pytest.FixtureRequest) -> Iterator[MountDisk]:
    with ExitStack() as mounted:

        def mount(place: Path, size: int) -> Path:
            place.mkdir()
            options = f"size={size},mode=0700"
            command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
            if not _runs(*command):
                _missing(request, "a small disk may not be mounted here")
            mounted.callback(subprocess.run, ["umount", "--lazy", str(place)], check=True)
            return place

        yield mount


@pytest.fixture(scope="session")
def strace(request: pytest.FixtureRequest) -> None:
    """strace is here, and may look."""
    if not _runs("strace", "-qq", "-o", "/dev/null", "true"):
        _missing(request, "strace is not here, or may not watch processes")
