"""The virtual scanner, read as any program reads a port."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.demo.scanner import NobodyListensError, VirtualScanner


def test_a_code_is_sent_with_aim_identifier_and_suffix(tmp_path: Path) -> None:
    with VirtualScanner(tmp_path / "scanner", suffix="\r\n") as scanner:
        scanner.scan("M1", aim="]C0")
        port = os.open(scanner.port, os.O_RDWR | os.O_NOCTTY)

        assert os.read(port, 100) == b"]C0M1\r\n"

        os.close(port)


def test_what_nobody_read_can_be_taken_back(tmp_path: Path) -> None:
    with VirtualScanner(tmp_path / "scanner") as scanner:
        scanner.take_back()
        scanner.scan("M1")
        scanner.take_back()
        scanner.scan("M2")
        port = os.open(scanner.port, os.O_RDWR | os.O_NOCTTY)

        assert os.read(port, 100) == b"M2\r"

        os.close(port)


def test_unplugged_the_port_is_gone_and_plugged_in_it_is_the_same_path(tmp_path: Path) -> None:
    with VirtualScanner(tmp_path / "scanner") as scanner:
        scanner.unplug()
        scanner.unplug()
        assert not os.path.lexists(scanner.port)
        with pytest.raises(NobodyListensError, match="unplugged"):
            scanner.scan("M1")

        scanner.plug_in()
        scanner.plug_in()
        assert scanner.port.is_char_device()
    assert not os.path.lexists(scanner.port)


def test_scans_that_nobody_reads_end_in_an_error(tmp_path: Path) -> None:
    with (
        VirtualScanner(tmp_path / "scanner", deadline_s=0.01) as scanner,
        pytest.raises(NobodyListensError, match="nobody reads"),
    ):
        scanner.send(b"x" * 1_000_000)
