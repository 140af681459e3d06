"""`tillside replay` plays what was captured, byte for byte and in its time; `parse-scan` and `decode` read it."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import socket
import sys
import tty
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.cli.commands import app
from agent.cli.decode import decode_command
from agent.cli.parse_scan import parse_capture_command
from agent.cli.replay import replay_command
from agent.doctor.diagnose import HeardCode, WedgeSetting, diagnose
from agent.doctor.sheet import CODES
from drivers.capture import BytesRead, Capture, Header, KeyRead, Kind, Read, decode_capture, encode_capture
from drivers.wedge.events import KeyEvent
from tests.browser.till import free_port

CAPTURES = Path(__file__).parents[2] / "captures"
SCANNERS = CAPTURES / "scanners"
STARTED = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def saved(folder: Path, reads: Iterable[Read], kind: Kind = "scanner") -> Path:
    file = folder / "capture.jsonl"
    header = Header(kind=kind, driver="serial", options={"baud": 19200}, started_at=STARTED)
    file.write_bytes(encode_capture(Capture(header=header, reads=tuple(reads))))
    return file


def three_scans(step_ms: int = 0) -> list[Read]:
    return [BytesRead(ms=5000 + n * step_ms, data=f"]C0TS{n}\r".encode()) for n in range(3)]


def play(file: Path, to: str, *, speed: float = 1.0, fast: bool = False) -> int:
    return replay_command(file=str(file), to=to, speed=speed, fast=fast, as_json=True)


def taken(end: int, count: int) -> bytes:
    """So many bytes of a terminal, which hands them over when it likes."""
    data = b""
    while len(data) < count:
        data += os.read(end, count - len(data))
    return data


# Replay


def test_it_plays_to_a_serial_port(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)

    assert play(saved(tmp_path, three_scans()), os.ttyname(theirs)) == 0

    assert taken(ours, 21) == b"]C0TS0\r]C0TS1\r]C0TS2\r"
    assert json.loads(capsys.readouterr().out) == {"to": os.ttyname(theirs), "reads": 3, "bytes": 21}
    os.close(ours)
    os.close(theirs)


async def test_it_plays_at_a_new_terminal_and_waits_until_all_was_read(tmp_path: Path) -> None:
    port = tmp_path / "scanner"
    playing = asyncio.create_task(asyncio.to_thread(play, saved(tmp_path, three_scans()), f"pty:{port}"))
    for _ in range(500):
        if port.exists():
            break
        await asyncio.sleep(0.01)

    terminal = os.open(port, os.O_RDONLY | os.O_NOCTTY)
    heard = b""
    while len(heard) < 21:
        heard += await asyncio.to_thread(os.read, terminal, 5)
    os.close(terminal)

    assert await playing == 0
    assert heard == b"]C0TS0\r]C0TS1\r]C0TS2\r"
    assert not port.exists()


async def test_a_network_scanner_listens_and_a_relays_capture_is_printed(tmp_path: Path) -> None:
    port = free_port()
    playing = asyncio.create_task(asyncio.to_thread(play, saved(tmp_path, three_scans()), f"tcp://127.0.0.1:{port}"))
    for _ in range(500):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            break
        except OSError:
            await asyncio.sleep(0.01)
    assert await reader.read() == b"]C0TS0\r]C0TS1\r]C0TS2\r"
    writer.close()
    assert await playing == 0

    printed: asyncio.Queue[bytes] = asyncio.Queue()

    async def printer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        printed.put_nowait(await reader.read())
        writer.close()

    async with await asyncio.start_server(printer, "127.0.0.1", 0) as server:
        address = server.sockets[0].getsockname()
        file = saved(tmp_path, [BytesRead(ms=0, data=b"\x1b@TOTAL\n")], "relay")
        assert await asyncio.to_thread(play, file, f"tcp://127.0.0.1:{address[1]}") == 0
        assert await printed.get() == b"\x1b@TOTAL\n"


@pytest.mark.parametrize(
    ("speed", "fast", "within"), [(1.0, False, (0.06, 5)), (6.0, False, (0.01, 5)), (1.0, True, (0, 5))]
)
async def test_pauses_are_kept_shortened_or_left_out(
    tmp_path: Path, speed: float, fast: bool, within: tuple[float, float]
) -> None:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    began = asyncio.get_running_loop().time()

    file = saved(tmp_path, three_scans(step_ms=30))
    assert await asyncio.to_thread(play, file, os.ttyname(theirs), speed=speed, fast=fast) == 0

    # The silence before the first read is left out; only what must pass at least is asserted.
    assert asyncio.get_running_loop().time() - began >= within[0]
    assert taken(ours, 21) == b"]C0TS0\r]C0TS1\r]C0TS2\r"
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize(
    ("content", "to", "speed", "code", "part"),
    [
        (b"no capture", "pty:x", 1.0, 2, "line 1"),
        (b'{"tillside_capture":2}\n', "pty:x", 1.0, 2, "version 2"),
        (None, "tcp://nowhere", 1.0, 2, "tcp://host:port"),
        (None, "/dev/tillside-none", 1.0, 1, "/dev/tillside-none"),
        (None, "usb:wrong", 1.0, 2, "usb:serial="),
        (None, "pty:x", 0.0, 2, "--speed"),
        (None, "pty:/no/such/folder/x", 1.0, 1, "No such file"),
    ],
)
def test_what_cannot_be_played_says_what_to_do(
    *,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
    to: str,
    speed: float,
    code: int,
    part: str,
) -> None:
    file = saved(tmp_path, three_scans())
    if content is not None:
        file.write_bytes(content)

    assert play(file, to, speed=speed) == code
    assert part in json.loads(capsys.readouterr().out.splitlines()[-1])["error"]


def test_a_capture_of_keys_is_for_parse_scan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert play(saved(tmp_path, [KeyRead(ms=0, code=30, value=1)]), "pty:x") == 2
    assert "parse-scan --file" in capsys.readouterr().out
    assert play(tmp_path / "missing", "pty:x") == 1


def test_a_port_that_is_taken_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        assert play(saved(tmp_path, three_scans()), f"tcp://127.0.0.1:{port}") == 1

    assert str(port) in capsys.readouterr().out


# What reads captures


@pytest.mark.parametrize("path", sorted(SCANNERS.glob("*.jsonl")), ids=lambda path: path.stem)
def test_our_own_captures_parse_as_they_say(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = parse_capture_command(file=str(path), as_json=True)

    parsed = json.loads(capsys.readouterr().out)
    assert parsed == json.loads(path.with_suffix(".json").read_bytes())
    wrong = "dropped" in parsed or any(scan["problems"] for scan in parsed["scans"])
    assert code == (1 if wrong else 0)


def test_of_the_payment_card_only_the_ends_are_in_its_capture() -> None:
    text = decode_capture((SCANNERS / "magstripe.jsonl").read_bytes()).data.decode()

    assert text.count("411111******1111") == 2
    assert "DOE" not in text
    assert "3012" not in text


def test_the_wedges_capture_shows_the_wrong_layout() -> None:
    capture = decode_capture((SCANNERS / "wedge-us-read-as-de.jsonl").read_bytes())
    last = [read for read in capture.reads if isinstance(read, KeyRead) and read.ms >= 4000]
    keys = tuple(KeyEvent(code=read.code, value=read.value, at_ns=read.ms * 1_000_000) for read in last)

    (found,) = diagnose(CODES[0], HeardCode(setting=WedgeSetting(layout="de"), keys=keys))

    assert (found.kind, found.setting) == ("layout_wrong", 'layout = "us"')


@pytest.mark.parametrize(
    ("content", "part"),
    [(None, "can be read"), (b"]C0TS1", "line 1"), (b'{"tillside_capture":1}\n', "line 1")],
)
def test_parse_scan_of_no_capture_is_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, part: str
) -> None:
    file = tmp_path / "capture.jsonl"
    if content is not None:
        file.write_bytes(content)

    assert parse_capture_command(file=str(file), as_json=True) == 2
    assert part in capsys.readouterr().err


def test_parse_scan_leaves_a_relays_capture_to_decode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert parse_capture_command(file=str(saved(tmp_path, [], "relay")), as_json=True) == 2
    assert "tillside decode" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["]C0TS1", "--file", "x"], ["--hex", "--file", "x"]])
def test_parse_scan_takes_a_text_or_a_file(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, ["parse-scan", *arguments]).exit_code == 2


@pytest.mark.parametrize("kind", ["relay", "scanner"])
def test_decode_reads_what_was_captured(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], kind: Kind) -> None:
    dump = (CAPTURES / "till-cyrillic-cp855.bin").read_bytes()
    reads = [BytesRead(ms=at, data=dump[at : at + 700]) for at in range(0, len(dump), 700)]

    code = decode_command(
        file=str(saved(tmp_path, reads, kind)), format="auto", code_page=None, profile=None, text=False, as_json=True
    )

    decoded = json.loads(capsysbinary.readouterr().out)
    assert code == 0
    assert [receipt["number"] for receipt in decoded["receipts"]] == ["ABCD2345-ABCD2345-10235"]


def test_decode_says_what_is_wrong_with_a_capture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "capture.jsonl"
    file.write_bytes(b'{"tillside_capture":1,"kind":"toaster"}\n')

    code = decode_command(file=str(file), format="auto", code_page=None, profile=None, text=False, as_json=True)

    assert code == 2
    assert "line 1" in capsys.readouterr().err


async def test_replay_runs_as_a_command(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent.cli.entry", "replay", str(tmp_path / "missing"), "--to", "pty:x"),
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    _, err = await process.communicate()

    assert (process.returncode, b"Traceback" in err) == (1, False)
