"""The relay between a POS and a Star printer: jobs end at Star's cuts, and every byte passes unchanged."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from drivers.receipts.decode import decode
from drivers.relay.arguments import read_arguments
from drivers.relay.clock import Moment
from drivers.relay.language import language_named
from drivers.relay.passage import Passage, Step
from drivers.relay.spool import Job
from tests.drivers.relay.test_process import MAX_RSS_KB, RelayProcess, most_memory_kb
from tests.drivers.star.commands import CUTS, raster_document
from tests.drivers.star.composer import line_mode_receipt, page_mode_receipt

NOW = Moment(wall=datetime(2026, 11, 22, 9, 0, tzinfo=UTC), monotonic_ns=5_000_000_000)
WAIT_S = 20.0


def passage() -> Passage:
    return Passage(idle_ms=2000, language=language_named("star"))


def payloads(steps: Sequence[Step]) -> list[bytes]:
    return [step.payload for step in steps if isinstance(step, Job)]


def passed(steps: Sequence[Step]) -> bytes:
    return b"".join(step for step in steps if isinstance(step, bytes))


@pytest.mark.parametrize("cut", [*CUTS, b"\x1b*rB", b"\x1b\x0c\x04"])
def test_a_cut_waits_until_its_job_is_durable(cut: bytes) -> None:
    begin = b"MLEKO 159,99\n" if cut in CUTS else raster_document(2, ending=b"")
    for split in range(len(cut) + 1):
        way = passage()
        steps = way.feed(begin + cut[:split], NOW) + way.feed(cut[split:] + b"next", NOW)
        assert payloads(steps) == [begin + cut]
        index = next(index for index, step in enumerate(steps) if isinstance(step, Job))
        assert passed(steps[:index]) == begin
        assert passed(steps) == begin + cut + b"next"


def test_a_size_that_would_cut_on_another_printer_ends_no_job() -> None:
    steps = passage().feed(b"\x1bi\x01\x01TOTAL\x1dV\x00\n", NOW)
    assert payloads(steps) == []


def test_questions_and_set_up_are_no_job() -> None:
    way = passage()
    steps = way.feed(b"\x05\x04\x1b\x06\x01", NOW) + way.feed(b"\x1b@\x1b\x1ea\x01\x1b\x1dt\x05", NOW)
    assert not way.is_open
    steps += way.feed(b"\x07", NOW) + way.end("close")
    assert payloads(steps) == []
    assert passed(steps) == b"\x05\x04\x1b\x06\x01\x1b@\x1b\x1ea\x01\x1b\x1dt\x05\x07"


@pytest.mark.parametrize("seed", range(40))
def test_the_same_jobs_come_out_however_a_stream_is_split(seed: int) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    receipts = [chance.choice((line_mode_receipt(), page_mode_receipt(), raster_document(9))) for _ in range(5)]
    stream = b"".join(receipts)
    points = sorted({0, len(stream), *(chance.randrange(len(stream)) for _ in range(80))})
    way = passage()
    steps: list[Step] = []
    for start, end in pairwise(points):
        steps += way.feed(stream[start:end], NOW)
    assert payloads(steps) == receipts
    assert passed(steps + way.end("close")) == stream


class StarOnNetwork:
    """A printer at a port: keeps what comes and answers ENQ."""

    def __init__(self) -> None:
        self.printed = bytearray()
        self.address = ""

    async def switch_on(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self.printed += data
            if data.endswith(b"\x05"):
                writer.write(b"\x00")
        writer.close()


@pytest.mark.processes
async def test_a_real_relay_keeps_a_stars_jobs(tmp_path: Path) -> None:
    # given a relay told that its printer is a Star
    printer = StarOnNetwork()
    server = await printer.switch_on()
    relay = await RelayProcess(printer.address, tmp_path / "spool", "--language", "star", "--idle-ms", "50").start()
    receipts = [line_mode_receipt(), raster_document(20), page_mode_receipt()]

    # when a POS prints three jobs over one connection and asks how the printer is
    reader, writer = await relay.connect()
    writer.write(b"".join(receipts) + b"\x05")
    answer = await asyncio.wait_for(reader.readexactly(1), WAIT_S)
    writer.close()
    memory_kb = most_memory_kb(relay.process.pid)
    code = await relay.end(signal.SIGTERM)
    server.close()
    await server.wait_closed()

    # then each is a job of its own, the paper got every byte, and the answer came back
    assert (code, answer) == (0, b"\x00")
    assert bytes(printer.printed) == b"".join(receipts) + b"\x05"
    assert [job.payload for job in relay.jobs()] == receipts
    assert [receipt.source for job in relay.jobs() for receipt in decode(job.payload).receipts] == ["star", "star"]
    assert memory_kb <= MAX_RSS_KB
    assert relay.said == ""


def test_a_language_that_nobody_speaks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as refused:
        read_arguments(["--listen", "a:1", "--printer", "b:2", "--spool", str(tmp_path), "--language", "zpl"])
    assert refused.value.code == 2
