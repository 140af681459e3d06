"""The log of a service stays small, and its newest lines are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.windows.capped_log import before, capped_log, last_lines, log_file

MOST = 100


def test_lines_are_there_at_once(tmp_path: Path) -> None:
    file = log_file(tmp_path / "tillside.toml")
    with capped_log(file) as log:
        log.write("čaša\n")

        assert file.read_bytes() == "čaša\n".encode()


def test_two_files_hold_the_newest_lines_and_neither_is_larger_than_allowed(tmp_path: Path) -> None:
    # Given a log that many lines went through
    file = tmp_path / "agent.log"
    with capped_log(file, MOST) as log:
        for number in range(100):
            log.write(f"line {number:02}\n")

    # Then its last lines are there, without a gap
    kept = last_lines(file, 1000)
    assert kept == [f"line {number:02}" for number in range(100 - len(kept), 100)]
    assert len(kept) > MOST // len("line 00\n")
    assert max(file.stat().st_size, before(file).stat().st_size) <= MOST
    assert sorted(path.name for path in tmp_path.iterdir()) == ["agent.log", "agent.log.1"]
    assert last_lines(file, 3) == ["line 97", "line 98", "line 99"]


def test_a_line_that_is_larger_than_the_file_is_kept_whole(tmp_path: Path) -> None:
    file = tmp_path / "agent.log"
    with capped_log(file, MOST) as log:
        log.write("short\n")
        log.write("x" * (2 * MOST) + "\n")

    assert last_lines(file, 10) == ["short", "x" * (2 * MOST)]


def test_it_goes_on_where_it_ended(tmp_path: Path) -> None:
    file = tmp_path / "agent.log"
    for text in ("first\n", "second\n"):
        with capped_log(file) as log:
            log.write(text)

    assert last_lines(file, 10) == ["first", "second"]


def test_no_log_is_said(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"agent\.log"):
        last_lines(tmp_path / "agent.log", 10)
