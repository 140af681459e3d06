"""The Python that a package carries: taken by its pinned hash, or not at all.

Owns the pin and the unpacking. Never fetches anything.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

# The official packages have 11 MB, and 21 MB unpacked.
MAX_ARCHIVE_BYTES: Final = 64 * 1024 * 1024
MAX_UNPACKED_BYTES: Final = 256 * 1024 * 1024
# Beside python.exe: what is on the path, and that nothing else is; with this file Python heeds no environment either.
PATH_FILE: Final = re.compile(r"python(3)(\d+)\._pth")


class WrongPythonError(Exception):
    """The file is not the pinned one. The message says which is, and where it comes from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedPython:
    """`folder` is where in the archive Python's files are: nowhere but at its top in an official one."""

    file: str
    sha256: str
    source: str
    folder: str = ""


def read_pin(file: Path) -> PinnedPython:
    with file.open("rb") as stream:
        pin = tomllib.load(stream)
    return PinnedPython(file=pin["file"], sha256=pin["sha256"], source=pin["from"], folder=pin.get("folder", ""))


def unpack(archive: Path, pin: PinnedPython, into: Path) -> str:
    """Puts Python's files into `into` and gives its minor version, such as `3.13`. Raises WrongPythonError."""
    wanted = f"Needed is {pin.file} with SHA-256 {pin.sha256}, from {pin.source}: download it, and name it with PYTHON="
    try:
        with archive.open("rb") as stream:
            content = stream.read(MAX_ARCHIVE_BYTES + 1)
    except OSError as error:
        raise WrongPythonError(f"{archive}: cannot be read ({error.strerror}). {wanted}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != pin.sha256:
        raise WrongPythonError(f"{archive}: not the Python that this package carries (SHA-256 {found}). {wanted}")
    into.mkdir(parents=True)
    with zipfile.ZipFile(archive) as packed:
        if sum(each.file_size for each in packed.infolist()) > MAX_UNPACKED_BYTES:
            raise WrongPythonError(f"{archive}: larger than {MAX_UNPACKED_BYTES} bytes when unpacked")
        for name in packed.namelist():
            if name.endswith("/") or not name.startswith(pin.folder):
                continue
            below = PurePosixPath(name.removeprefix(pin.folder))
            if below.is_absolute() or ".." in below.parts:
                raise WrongPythonError(f"{archive}: {name} would be put outside its folder")
            place = into / below
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(packed.read(name))
    return _on_its_path(into)


def _on_its_path(python: Path) -> str:
    """Lets it find our libraries beside it, and nothing that is anywhere else on the machine."""
    for file in python.iterdir():
        if match := PATH_FILE.fullmatch(file.name):
            file.write_bytes(f"python{match[1]}{match[2]}.zip\r\n.\r\n..\\lib\r\n".encode())
            return f"{match[1]}.{match[2]}"
    raise WrongPythonError(f"{python}: no python3N._pth in it, so this is no embeddable package")
