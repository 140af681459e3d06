"""`tillside capture` with a scanner on a real terminal, alone and beside a running agent."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import stat
import subprocess
import sys
import tty
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.cli.capture import capture_command
from drivers.capture import decode_capture
from drivers.capture_codes import codes_of
from tests.browser.till import Till, card, member

ROOT = Path(__file__).parents[3]
PAN = "4111111111111111"


@pytest.fixture
def scanner() -> Iterator[tuple[int, str]]:
    """A scanner's end of a terminal, and the port at the other."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    yield ours, os.ttyname(theirs)
    os.close(ours)
    os.close(theirs)


def settings(folder: Path, text: str = "") -> Path:
    file = folder / "tillside.toml"
    file.write_text(f'[paths]\nstate = "state"\n{text}', encoding="utf-8")
    return file


def capture(config: Path, file: Path | None, **options: Any) -> int:
    chosen = {"scanner": None, "port": None, "spool": None, "seconds": 0.2, "list_devices": False, **options}
    return capture_command(file=str(file) if file else None, config=str(config), as_json=True, **chosen)


def test_it_records_for_so_long_and_for_this_user_only(
    tmp_path: Path, scanner: tuple[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    os.write(scanner[0], f"\x02]C0TS0001\x03\x02]C0{PAN}\x03".encode())
    text = f'[[scanners]]\nname = "counter"\nport = "{scanner[1]}"\nprefix = "\\u0002"\nsuffix = "\\u0003"\n'
    file = tmp_path / "counter.jsonl"

    assert capture(settings(tmp_path, text), file, scanner="counter") == 0

    recorded = decode_capture(file.read_bytes())
    assert [code.said for code in codes_of(recorded).codes] == [b"]C0TS0001", b"]C0411111******1111"]
    assert recorded.header.options["suffix"] == "\x03"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(capsys.readouterr().out) == {"file": str(file), "reads": len(recorded.reads)}


def test_a_port_needs_no_settings(tmp_path: Path, scanner: tuple[int, str]) -> None:
    os.write(scanner[0], b"]C0TS0001\r")

    assert capture(settings(tmp_path), tmp_path / "c.jsonl", port=scanner[1]) == 0
    assert decode_capture((tmp_path / "c.jsonl").read_bytes()).data == b"]C0TS0001\r"


def test_a_port_of_the_settings_is_that_scanner(tmp_path: Path, scanner: tuple[int, str]) -> None:
    config = settings(tmp_path, f'[[scanners]]\nname = "counter"\nport = "{scanner[1]}"\nbaud = 19200\n')

    assert capture(config, tmp_path / "c.jsonl", port=scanner[1]) == 0
    assert decode_capture((tmp_path / "c.jsonl").read_bytes()).header.options["baud"] == 19200


def test_a_cards_number_that_a_rule_makes_the_shops_own_stays(tmp_path: Path, scanner: tuple[int, str]) -> None:
    os.write(scanner[0], f"]C0{PAN}\r".encode())
    rule = '[[identification]]\nname = "club"\nprefixes = ["411111"]\nlengths = [16]\n'

    assert capture(settings(tmp_path, rule), tmp_path / "c.jsonl", port=scanner[1]) == 0
    assert PAN in decode_capture((tmp_path / "c.jsonl").read_bytes()).data.decode()


@pytest.mark.parametrize(
    ("options", "code", "part"),
    [
        ({}, 2, "--scanner"),
        ({"scanner": "a", "port": "/dev/none"}, 2, "--scanner"),
        ({"spool": "/none", "port": "/dev/none"}, 2, "--spool goes without"),
        ({"spool": "/none"}, 2, "is no folder"),
        ({"scanner": "other"}, 2, "'counter', 'relayed'"),
        ({"port": "/dev/tillside-none"}, 1, "/dev/tillside-none"),
        ({"port": "/dev/input/by-id/none"}, 1, "none"),
        ({"port": "tcp://nowhere"}, 2, "tcp://host:port"),
        ({"scanner": "relayed"}, 1, "relay"),
        ({"scanner": "counter", "seconds": 0}, 2, "--seconds"),
        ({"scanner": "counter", "seconds": 1e9}, 2, "--seconds"),
    ],
)
def test_what_cannot_be_captured_says_what_to_do_and_leaves_no_file(
    *, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: dict[str, Any], code: int, part: str
) -> None:
    text = '[[scanners]]\nname = "counter"\nport = "/dev/none"\n[[scanners]]\nname = "relayed"\ndriver = "shared"\n'
    config = settings(tmp_path, text + 'spool = "scans"\n')

    assert capture(config, tmp_path / "c.jsonl", **options) == code
    assert part in json.loads(capsys.readouterr().out)["error"]
    assert not (tmp_path / "c.jsonl").exists()


def test_a_folder_that_is_not_there_is_told_of(
    tmp_path: Path, scanner: tuple[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert capture(settings(tmp_path), tmp_path / "away" / "c.jsonl", port=scanner[1]) == 1

    assert "c.jsonl cannot be written (No such file or directory): name another file" in capsys.readouterr().out


def test_a_file_is_needed_and_none_is_overwritten(
    tmp_path: Path, scanner: tuple[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept.jsonl"
    kept.write_text("mine")

    assert capture(settings(tmp_path), None, port=scanner[1]) == 2
    assert capture(settings(tmp_path), kept, port=scanner[1]) == 1

    assert kept.read_text() == "mine"
    assert "kept.jsonl is there already: name another file" in capsys.readouterr().out


def test_the_list_is_of_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert capture(settings(tmp_path), None, list_devices=True) == 0

    listed = json.loads(capsys.readouterr().out)["devices"]
    assert all(device["ports"] and device["kind"] in {"serial", "keyboard"} for device in listed)


# Beside a running agent


@pytest.fixture
async def till(tmp_path: Path) -> AsyncIterator[Till]:
    till = Till(tmp_path)
    await till.seed([member(7)])
    yield till
    await till.kill()
    till.close()


async def condition(till: Till) -> str:
    agent = await till.agent()
    status = await asyncio.to_thread(agent.status)
    (counter,) = [worker for worker in status.workers if worker.kind == "scanner"]
    return counter.condition


async def until(till: Till, wanted: str) -> None:
    for _ in range(500):
        if await condition(till) == wanted:
            return
        await asyncio.sleep(0.01)
    raise AssertionError((till.folder / "agent.log").read_text())


async def capturing(till: Till, file: Path) -> asyncio.subprocess.Process:
    """The command, once it has the port."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent.cli.entry", "capture", str(file), "--scanner", "counter"),
        *("--config", str(till.config)),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 30)
    assert b"Capturing" in line, await process.stderr.read() if process.stderr else line
    return process


@pytest.mark.processes
async def test_the_agent_lends_its_scanner_and_takes_it_back(till: Till) -> None:
    await till.start()
    await until(till, "ready")
    file = till.folder / "counter.jsonl"

    # when
    process = await capturing(till, file)
    assert await condition(till) == "lent"
    code, out, _ = await till.command("status", "--json")
    assert any("tillside doctor" in reason for reason in json.loads(out)["reasons"])
    till.scan(card(7))
    await asyncio.sleep(0.05)  # the terminal hands it over
    process.send_signal(signal.SIGINT)
    out_, err = await process.communicate()

    # then
    assert (process.returncode, err) == (0, b"")
    assert b"1 reads written" in out_
    assert decode_capture(file.read_bytes()).data == f"]C0{card(7)}\r".encode()
    await until(till, "ready")
    assert code in {3, 4}


@pytest.mark.processes
async def test_a_killed_capture_costs_the_agent_its_scanner_for_a_while_only(till: Till) -> None:
    await till.start()
    await until(till, "ready")
    process = await capturing(till, till.folder / "counter.jsonl")

    process.kill()
    await process.wait()

    assert await condition(till) == "lent"
    agent = await till.agent()
    await asyncio.to_thread(agent.lend, "counter", 1)  # as if its time were nearly up
    await until(till, "ready")
