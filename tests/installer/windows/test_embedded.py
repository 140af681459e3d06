"""The Python in the package is the pinned one, and finds nothing but what lies beside it."""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path

import pytest

from installer.windows.embedded import PinnedPython, WrongPythonError, read_pin, unpack

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return packed(tmp_path, {"python.exe": b"MZ", "python313.zip": b"PK", "python313._pth": b"python313.zip\n.\n"})


def packed(folder: Path, files: dict[str, bytes]) -> Path:
    file = folder / "python.zip"
    with zipfile.ZipFile(file, "w") as packing:
        for name, content in files.items():
            packing.writestr(name, content)
    return file


def pin_of(archive: Path, folder: str = "") -> PinnedPython:
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return PinnedPython(file="python-3.13.9-embed-amd64.zip", sha256=digest, source="https://there/", folder=folder)


def test_the_pinned_one_is_unpacked_and_sees_our_libraries_alone(archive: Path, tmp_path: Path) -> None:
    minor = unpack(archive, pin_of(archive), tmp_path / "python")

    assert minor == "3.13"
    assert (tmp_path / "python" / "python.exe").read_bytes() == b"MZ"
    # No `import site`, so neither the user's packages nor .pth files
    assert (tmp_path / "python" / "python313._pth").read_bytes() == b"python313.zip\r\n.\r\n..\\lib\r\n"


def test_another_file_is_refused_and_it_is_said_where_the_right_one_is(archive: Path, tmp_path: Path) -> None:
    pin = pin_of(archive)
    archive.write_bytes(archive.read_bytes() + b"\0")

    with pytest.raises(WrongPythonError) as refused:
        unpack(archive, pin, tmp_path / "python")
    for told in (pin.file, pin.sha256, pin.source, "PYTHON="):
        assert told in str(refused.value)
    assert not (tmp_path / "python").exists()


def test_a_file_that_is_not_there_is_refused_the_same_way(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongPythonError, match=r"No such file.*https://there/"):
        unpack(tmp_path / "other.zip", pin_of(archive), tmp_path / "python")


def test_only_the_named_folder_of_an_archive_is_taken(tmp_path: Path) -> None:
    archive = packed(tmp_path, {"cp313/python313._pth": b"", "cp313/DLLs/a.dll": b"a", "cp312/python.exe": b"MZ"})

    assert unpack(archive, pin_of(archive, "cp313/"), tmp_path / "python") == "3.13"
    assert sorted(path.name for path in (tmp_path / "python").iterdir()) == ["DLLs", "python313._pth"]


def test_nothing_is_put_outside(tmp_path: Path) -> None:
    archive = packed(tmp_path, {"../outside": b"", "python313._pth": b""})

    with pytest.raises(WrongPythonError, match="outside"):
        unpack(archive, pin_of(archive), tmp_path / "python")
    assert not (tmp_path / "outside").exists()


def test_an_archive_without_a_path_file_is_no_embeddable_one(tmp_path: Path) -> None:
    archive = packed(tmp_path, {"python.exe": b"MZ"})

    with pytest.raises(WrongPythonError, match="no embeddable package"):
        unpack(archive, pin_of(archive), tmp_path / "python")


@pytest.mark.parametrize("file", ["python.toml", "wine/python.toml"])
def test_the_pins_are_whole_and_of_the_version_that_the_lock_is_for(file: str) -> None:
    pin = read_pin(ROOT / "installer" / "windows" / file)

    assert len(bytes.fromhex(pin.sha256)) == 32
    lock = (ROOT / "installer" / "lock.sh").read_text()
    assert "--python-version 3.13" in lock
    assert "3.13" in pin.file or pin.folder == "cp313/"


def test_the_official_one_comes_from_its_makers() -> None:
    pin = read_pin(ROOT / "installer" / "windows" / "python.toml")

    assert pin.source.startswith("https://www.python.org/ftp/python/3.13.")
    assert (pin.file.startswith("python-3.13."), pin.file.endswith("-embed-amd64.zip"), pin.folder) == (True, True, "")


def test_the_windows_lock_has_the_versions_that_the_other_systems_have() -> None:
    windows, everywhere = (pinned((ROOT / "requirements" / name).read_text()) for name in ("windows.txt", "run.txt"))

    unix_alone = {"evdev-binary", "uvloop"}
    assert {name: version for name, version in everywhere.items() if name not in unix_alone} == windows
    assert {"colorama", "tzdata"} < set(windows)


def pinned(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE))
