"""Purging takes a data folder of ours, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.windows.purge import purge


def test_all_of_a_data_folder_goes(tmp_path: Path) -> None:
    folder = tmp_path / "Tillside"
    (folder / "state").mkdir(parents=True)
    (folder / "tillside.toml").touch()
    (folder / "state" / "store.db").touch()

    assert purge(folder) == 0
    assert not folder.exists()
    # When there is nothing, then nothing is wrong
    assert purge(folder) == 0


def test_another_folder_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "book.txt").touch()

    assert purge(tmp_path) == 1
    assert (tmp_path / "book.txt").exists()
    assert "left alone" in capsys.readouterr().err
