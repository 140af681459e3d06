"""`tillside capture --spool`: what a register printed, without payment cards, for `decode` and `replay`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.cli.decode import decode_command
from agent.cli.replay import replay_command
from agent.demo.printer import VirtualPrinter
from drivers.capture import BytesRead, Capture, decode_capture
from drivers.receipts.job_masking import masked_job
from drivers.relay.clock import Moment
from drivers.relay.spool import Job, Origin, SpoolWriter, encode_record
from tests.agent.cli.test_capture import capture, settings

CAPTURES = Path(__file__).parents[2] / "captures"
PAN, MASKED = b"4111111111111111", b"411111******1111"
CUT = b"\x1dVB\x00"
START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def decoded(file: Path, capsys: pytest.CaptureFixture[str]) -> str:
    code = decode_command(file=str(file), format="auto", code_page=None, profile=None, text=False, as_json=True)
    assert code == 0
    return capsys.readouterr().out


def spooled(folder: Path, *jobs: tuple[int, bytes]) -> SpoolWriter:
    """A spool with jobs, each so many seconds after the start."""
    writer = SpoolWriter(folder, cap_bytes=64_000_000)
    origin = Origin(register="3", connection="1-1", boot="b")
    for second, payload in jobs:
        at = Moment(wall=START + timedelta(seconds=second), monotonic_ns=second * 10**9)
        job = Job(payload=payload, length=len(payload), ended_by="cut", captured=at)
        assert writer.keep([encode_record(job, origin, late=False)]).error is None
    return writer


def captured(folder: Path, spool: Path, **options: object) -> Capture:
    file = folder / "printed.jsonl"
    assert capture(settings(folder), file, **{"spool": str(spool), "seconds": 0.05, **options}) == 0
    return decode_capture(file.read_bytes())


def test_jobs_are_captured_with_their_times_and_nothing_is_acknowledged(tmp_path: Path) -> None:
    jobs = [
        (0, b"first" + CUT),
        (7, bytes(range(256)) + CUT),
        (5, b"after the clock was set back"),
        (9, b"x" * 150_000),
    ]
    spooled(tmp_path / "spool", *jobs)

    recorded = captured(tmp_path, tmp_path / "spool")

    assert (recorded.header.kind, recorded.header.started_at) == ("relay", START)
    assert recorded.data == b"".join(payload for _, payload in jobs)
    reads = [(read.ms, len(read.data)) for read in recorded.reads if isinstance(read, BytesRead)]
    assert reads == [(0, 9), (7000, 260), (7000, 28), (9000, 65536), (9000, 65536), (9000, 18928)]
    assert stat.S_IMODE((tmp_path / "printed.jsonl").stat().st_mode) == 0o600
    assert not (tmp_path / "spool" / "acknowledged").exists()


def test_an_empty_spool_is_a_capture_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()

    assert captured(tmp_path, tmp_path / "spool").data == b""


def test_a_damaged_stretch_is_left_out(tmp_path: Path) -> None:
    spooled(tmp_path / "spool", (0, b"first" + CUT), (1, b"second" + CUT), (2, b"third" + CUT))
    (segment,) = (tmp_path / "spool").glob("*.spool")
    segment.write_bytes(segment.read_bytes().replace(b"second", b"s3cond"))

    assert captured(tmp_path, tmp_path / "spool").data == b"first" + CUT + b"third" + CUT


def test_what_is_printed_meanwhile_is_captured_until_ctrl_c(tmp_path: Path) -> None:
    writer = spooled(tmp_path / "spool", (0, b"before" + CUT))
    writer.close()
    file = tmp_path / "printed.jsonl"
    running = subprocess.Popen(
        [
            *(sys.executable, "-m", "agent.cli.entry", "capture", str(file), "--spool", str(tmp_path / "spool")),
            *("--config", str(settings(tmp_path)), "--json"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ,
    )
    assert running.stderr is not None
    assert b"Capturing" in running.stderr.readline()
    while not file.exists() or b"before" not in file.read_bytes():
        assert running.poll() is None
    spooled(tmp_path / "spool", (60, b"meanwhile" + CUT)).close()
    while b"meanwhile" not in file.read_bytes():
        assert running.poll() is None
    running.send_signal(signal.SIGINT)
    out, _ = running.communicate(timeout=30)

    assert running.returncode == 0
    assert json.loads(out)["reads"] == 2
    assert decode_capture(file.read_bytes()).data == b"before" + CUT + b"meanwhile" + CUT


@pytest.mark.parametrize(
    ("printed", "kept"),
    [
        (b"VISA " + PAN + b"\n", b"VISA " + MASKED + b"\n"),
        (b"4111 1111 1111 1111\n", b"4111 11** **** 1111\n"),
        (b"41111111\x1bE\x0111111111\n", b"411111**\x1bE\x01****1111\n"),
        (b"\x1dk\x49\x10" + PAN, b"\x1dk\x49\x10" + MASKED),
        (b"TOTAL 41111111\n11111111\n", b"TOTAL 41111111\n11111111\n"),
    ],
)
def test_payment_cards_are_not_in_a_capture(printed: bytes, kept: bytes, tmp_path: Path) -> None:
    spooled(tmp_path / "spool", (0, printed + CUT))

    assert captured(tmp_path, tmp_path / "spool").data == kept + CUT


def test_a_card_split_by_a_stars_command_is_masked_too() -> None:
    assert masked_job(b"41111111\x1bE11111111\n\x1bd\x02") == b"411111**\x1bE****1111\n\x1bd\x02"


def test_a_shops_own_number_stays() -> None:
    assert masked_job(PAN, lambda number: number == PAN.decode()) == PAN


@pytest.mark.parametrize("path", sorted(CAPTURES.glob("*.bin")), ids=lambda path: path.stem)
def test_a_receipt_without_a_card_stays_as_it_is(path: Path) -> None:
    assert masked_job(path.read_bytes()) == path.read_bytes()


def test_decode_reads_it_as_what_was_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    receipt = CAPTURES / "till-cyrillic-cp855.bin"
    spooled(tmp_path / "spool", (0, receipt.read_bytes()))
    captured(tmp_path, tmp_path / "spool")
    capsys.readouterr()

    assert decoded(tmp_path / "printed.jsonl", capsys) == decoded(receipt, capsys)


async def test_replay_prints_it_again(tmp_path: Path) -> None:
    spooled(tmp_path / "spool", (0, b"first" + CUT), (3600, b"second" + CUT))
    await asyncio.to_thread(captured, tmp_path, tmp_path / "spool")
    printer = VirtualPrinter()
    await printer.switch_on()
    code = await asyncio.to_thread(
        replay_command,
        file=str(tmp_path / "printed.jsonl"),
        to=f"tcp://{printer.address}",
        speed=1.0,
        fast=True,
        as_json=True,
    )
    async with asyncio.timeout(20):
        while True:
            if printer.cuts == 2:
                break
            await asyncio.sleep(0.001)
    await printer.switch_off()

    assert code == 0
    assert printer.printed == b"first" + CUT + b"second" + CUT
