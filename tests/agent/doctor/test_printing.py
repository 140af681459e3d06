"""What `doctor` hears of a printer through its relay, when it does not ask at all, and that no job comes of it."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from agent.demo.printer import VirtualPrinter
from agent.doctor.printing import meaning, printer_said
from drivers.receipts.spool_source import SpoolPosition, SpoolReader
from tests.drivers.relay.running import WAIT_S, Running, relaying

CUT = b"\x1dVB\x00"
ASKED = b"\x10\x04\x01\x10\x04\x02\x10\x04\x04"


def said_by(relay: Running, printer: str, **more: object) -> dict[str, Any]:
    return {"listen": relay.address, "printer": printer, "connections": 0, "language": "escpos", **more}


@asynccontextmanager
async def printing(answer: bytes | None, asked: asyncio.Event | None = None) -> AsyncIterator[str]:
    """A printer that answers so, not at all without one, and sets `asked` at a question."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while heard := await reader.read(100):
                if asked is not None and heard == ASKED:
                    asked.set()
                if answer is not None:
                    writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def test_a_printer_that_is_well_answers_and_no_job_comes_of_it(tmp_path: Path) -> None:
    printer = VirtualPrinter()
    await printer.switch_on()
    async with relaying(printer.address, tmp_path) as relay:
        told = await printer_said(said_by(relay, printer.address), selling=False)
    await printer.switch_off()

    assert told == ("healthy", f"{printer.address} answers, is on line and has paper")
    assert printer.printed == ASKED
    assert SpoolReader(tmp_path).read_after(SpoolPosition()) == []


async def test_a_job_that_the_pos_goes_on_with_meanwhile_stays_one(tmp_path: Path) -> None:
    # Given a POS whose connection closed within a job
    heard = asyncio.Event()
    async with printing(None, heard) as address, relaying(address, tmp_path) as relay:
        await printed(relay, b"MLEKO 159,99\n")

        # When the printer is asked, and the POS goes on before it has answered
        asking = asyncio.create_task(printer_said(said_by(relay, address), selling=False, within_s=WAIT_S))
        async with asyncio.timeout(WAIT_S):
            await heard.wait()
        await printed(relay, b"UKUPNO 159,99\n" + CUT)

        # Then the job is one, without the question
        assert await relay.spools(1) == [b"MLEKO 159,99\nUKUPNO 159,99\n" + CUT]
        asking.cancel()


async def printed(relay: Running, part: bytes) -> None:
    """A POS's connection from its beginning to its end."""
    reader, writer = await relay.connect()
    writer.write(part)
    writer.write_eof()
    await reader.read()
    writer.close()


async def test_a_printer_that_does_not_answer_or_is_off_is_told_with_what_to_do(tmp_path: Path) -> None:
    async with printing(None) as address, relaying(address, tmp_path / "silent") as relay:
        told = await printer_said(said_by(relay, address), selling=False, within_s=0.05)
        assert told is not None
        assert (told[0], told[1].partition(":")[0]) == ("degraded", "no answer of 127.0.0.1")
        assert "print a test receipt" in told[1]

    printer = VirtualPrinter()
    await printer.switch_on()
    await printer.switch_off()
    async with relaying(printer.address, tmp_path / "off") as relay:
        told = await printer_said(said_by(relay, printer.address), selling=False)
        assert told is not None
        assert (told[0], "no way to" in told[1]) == ("problem", True)
        gone = said_by(relay, printer.address)
    told = await printer_said(gone, selling=False)
    assert told is not None
    assert (told[0], "nobody takes print jobs" in told[1]) == ("problem", True)


async def test_a_star_is_asked_in_its_own_words(tmp_path: Path) -> None:
    async with printing(b"\x23\x86\x00\x00\x00\x00\x00\x00\x00") as address, relaying(address, tmp_path) as relay:
        told = await printer_said(said_by(relay, address, language="star"), selling=False)

    assert told == ("healthy", f"{address} answers")


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"printer": "PIPE"}, "print a test receipt"),
        ({"connections": 1}, "the POS is at it"),
        ({"connections": None}, "earlier version"),
        ({"listen": "/dev/ttyS1"}, "print a test receipt"),
        ({"listen": "pty:/run/tillside/printer"}, "print a test receipt"),
        ({"listen": "cups:till"}, "print a test receipt"),
        ({"listen": "[::1]:9100"}, "print a test receipt"),
        ({"printer": "spooler:till"}, "print a test receipt"),
    ],
)
async def test_it_is_not_asked_where_that_could_disturb(changed: dict[str, object], part: str, tmp_path: Path) -> None:
    printer, pipe = VirtualPrinter(), tmp_path / "printer.fifo"
    os.mkfifo(pipe)
    if changed.get("printer") == "PIPE":
        changed = {"printer": str(pipe)}
    await printer.switch_on()
    async with relaying(printer.address, tmp_path) as relay:
        told = await printer_said(said_by(relay, printer.address) | changed, selling=False)
        sold = await printer_said(said_by(relay, printer.address), selling=True)
    await printer.switch_off()

    assert told is not None
    assert (told[0], part in told[1]) == ("healthy", True)
    assert sold is not None
    assert "the POS is at it" in sold[1]
    assert printer.connections == []


async def test_a_scanners_relay_has_no_printer() -> None:
    assert await printer_said({"scanner": "/dev/ttyACM0"}, selling=False) is None


@pytest.mark.parametrize(
    ("answer", "verdict", "part"),
    [
        (b"\x12\x12\x12", "healthy", "on line and has paper"),
        (b"\x12", "healthy", "answers"),
        (b"\x12\x12\x1e", "healthy", "nearly at its end"),
        (b"\x1a\x32\x72", "degraded", "out of paper"),
        (b"\x1a\x16\x12", "degraded", "cover"),
        (b"\x1a\x52\x12", "degraded", "error"),
        (b"\x1a\x12\x12", "degraded", "off line"),
        (b"\x14\x00\x00\x0f\x12\x12\x12", "healthy", "on line and has paper"),
        (b"\x11\x13", "degraded", "no status"),
    ],
)
def test_an_answer_means_what_the_reference_says(answer: bytes, verdict: str, part: str) -> None:
    assert (meaning(answer)[0], part in meaning(answer)[1]) == (verdict, True)


async def test_an_address_is_not_looked_for_in_the_folder_that_doctor_is_called_in(tmp_path: Path) -> None:
    """Root calls it in a folder of its own, and it works as the agent's user."""
    script = (
        "import asyncio, concurrent.futures.thread, os\n"
        "from agent.doctor.printing import printer_said\n"
        "os.chmod('.', 0)\n"
        "if os.geteuid() == 0: os.setuid(1)\n"
        "said = {'listen': '127.0.0.1:1', 'printer': '127.0.0.1:9100', 'connections': 0}\n"
        "print(asyncio.run(printer_said(said, selling=True))[0])"
    )
    shut = tmp_path / "shut"
    shut.mkdir()
    done = await asyncio.create_subprocess_exec(sys.executable, "-c", script, cwd=shut, stdout=PIPE, stderr=PIPE)
    told, error = await done.communicate()
    assert (told, error) == (b"healthy\n", b"")
