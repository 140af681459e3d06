"""Files that a power cut must not halve: what is on the disk, in which order."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from sync.durable import overwrite, private_folder, write_private


def test_content_is_synced_before_its_name_and_the_name_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a file, and a disk that tells what it was asked to keep, and what was under the name then
    path = tmp_path / "file"
    path.write_bytes(b"old")
    synced: list[tuple[str, bytes]] = []

    def told(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        synced.append((kind, path.read_bytes()))

    monkeypatch.setattr(os, "fsync", told)
    # When it is written anew
    write_private(path, b"new")
    # Then the content was kept while the old was still there, and the folder once the new was
    assert synced == [("file", b"old"), ("folder", b"new")]
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_what_is_written_over_leaves_the_rest_and_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345678")

    overwrite(path, 2, b"ab")

    assert path.read_bytes() == b"12ab5678"
    with pytest.raises(FileNotFoundError):
        overwrite(tmp_path / "other", 0, b"ab")
    assert not (tmp_path / "other").exists()


def test_nobody_else_may_read_it_whatever_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch(mode=0o644)
    write_private(path, b"secret")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_private_folder_is_made_with_those_above_it_and_left_as_it_is_where_it_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "above" / "state"

    private_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    folder.chmod(0o750)
    private_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
