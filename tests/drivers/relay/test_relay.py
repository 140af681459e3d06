"""POS and printer see each other through the relay as they would without it, whatever its disk does."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import random
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from agent.demo.printer import VirtualPrinter
from drivers.receipts.spool_source import SpoolPosition, SpoolReader
from drivers.relay.relay import MAX_CONNECTIONS
from drivers.relay.spool import STATUS_NAME
from tests.drivers.relay.running import WAIT_S, relaying

CUT = b"\x1dVB\x00"
ASK = b"\x10\x04\x01"
ANSWER = b"\x12"
RECEIPT = b"\x1b@" + b"MLEKO 2,8% 1L              159,99\n" * 40


@pytest.fixture
async def printer() -> AsyncIterator[VirtualPrinter]:
    virtual = VirtualPrinter()
    await virtual.switch_on()
    yield virtual
    await virtual.switch_off()


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@pytest.mark.parametrize("seed", range(4))
async def test_bytes_are_the_same_on_both_sides_however_they_are_split(
    seed: int, printer: VirtualPrinter, tmp_path: Path
) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    sent = b""
    async with relaying(printer.address, tmp_path) as relay:
        reader, writer = await relay.connect()
        for _ in range(20):
            receipt = chance.randbytes(chance.randrange(1, 3000)) if chance.random() < 0.3 else RECEIPT + CUT
            at = 0
            while at < len(receipt):
                size = chance.randrange(1, 2000)
                writer.write(receipt[at : at + size])
                await writer.drain()
                at += size
            sent += receipt
        writer.write_eof()
        await reader.read()
        await hang_up(writer)

    assert printer.printed == sent


async def test_a_job_is_in_the_spool_when_its_cut_reaches_the_printer(tmp_path: Path) -> None:
    seen: list[list[bytes]] = []
    printer = VirtualPrinter(
        on_cut=lambda: seen.append([job.payload for job in SpoolReader(tmp_path).read_after(SpoolPosition())])
    )
    await printer.switch_on()
    async with relaying(printer.address, tmp_path) as relay:
        reader, writer = await relay.connect()
        for number in range(3):
            writer.write(b"receipt %d" % number + CUT + ASK)
            assert await reader.readexactly(1) == ANSWER
        await hang_up(writer)
    await printer.switch_off()

    assert seen == [[b"receipt %d" % number + CUT for number in range(until + 1)] for until in range(3)]


def _connections(status: Path) -> int | None:
    """How many the relay says are open; None as long as it has said nothing yet."""
    try:
        return int(json.loads(status.read_text())["connections"])
    except FileNotFoundError:
        return None


async def test_the_status_says_how_many_connections_are_open(printer: VirtualPrinter, tmp_path: Path) -> None:
    async with relaying(printer.address, tmp_path) as relay:
        for count in (1, 0):
            if count:
                reader, writer = await relay.connect()
                writer.write(ASK)
                assert await reader.readexactly(1) == ANSWER
            else:
                await hang_up(writer)
            async with asyncio.timeout(WAIT_S):
                while _connections(tmp_path / STATUS_NAME) != count:  # noqa: ASYNC110  a file tells nobody
                    await asyncio.sleep(0.01)


async def test_text_prints_while_its_job_still_waits_for_the_disk_and_answers_pass(tmp_path: Path) -> None:
    may_answer = threading.Event()

    def hanging(handle: int) -> None:
        may_answer.wait(WAIT_S)
        os.fdatasync(handle)

    papers: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    server = await asyncio.start_server(lambda *streams: papers.put(streams), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with relaying(f"127.0.0.1:{port}", tmp_path, sync=hanging) as relay:
        reader, writer = await relay.connect()
        paper_reader, paper_writer = await papers.get()
        writer.write(RECEIPT + CUT)
        assert await paper_reader.readexactly(len(RECEIPT)) == RECEIPT
        # The cut is held now; the printer has something to say meanwhile.
        paper_writer.write(b"\x14\x00\x00\x0f")
        assert await reader.readexactly(4) == b"\x14\x00\x00\x0f"
        may_answer.set()
        assert await paper_reader.readexactly(len(CUT)) == CUT
        await hang_up(writer)
        await hang_up(paper_writer)
    server.close()
    await server.wait_closed()


async def test_a_disk_that_hangs_holds_a_cut_no_longer_than_the_limit(
    printer: VirtualPrinter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    may_answer = threading.Event()

    def hanging(handle: int) -> None:
        may_answer.wait(WAIT_S)
        os.fdatasync(handle)

    async with relaying(printer.address, tmp_path, sync=hanging, hold_ms=20) as relay:
        reader, writer = await relay.connect()
        for number in range(3):
            writer.write(b"receipt %d" % number + CUT + ASK)
            assert await reader.readexactly(1) == ANSWER
        may_answer.set()
        await hang_up(writer)
        await relay.spools(3)

    assert printer.cuts == 3
    assert [(job.payload, job.late) for job in relay.jobs()] == [
        (b"receipt 0" + CUT, False),  # its record was written before anyone knew
        (b"receipt 1" + CUT, True),
        (b"receipt 2" + CUT, True),
    ]
    assert "printed_before_kept" in capsys.readouterr().err


async def test_a_disk_that_refuses_holds_nothing(printer: VirtualPrinter, tmp_path: Path) -> None:
    is_full = True

    def full(handle: int) -> None:
        if is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fdatasync(handle)

    async with relaying(printer.address, tmp_path, sync=full) as relay:
        reader, writer = await relay.connect()
        writer.write(b"one" + CUT + b"two" + CUT + ASK)
        assert await reader.readexactly(1) == ANSWER
        is_full = False
        writer.write(b"three" + CUT + ASK)
        assert await reader.readexactly(1) == ANSWER
        await hang_up(writer)

    assert printer.printed == b"one" + CUT + b"two" + CUT + ASK + b"three" + CUT + ASK
    assert relay.texts() == [b"one" + CUT, b"two" + CUT, b"three" + CUT]


async def test_a_job_without_cut_ends_by_idle_or_by_hanging_up(printer: VirtualPrinter, tmp_path: Path) -> None:
    async with relaying(printer.address, tmp_path, idle_ms=10) as relay:
        _, writer = await relay.connect()
        writer.write(b"first")
        assert await relay.spools(1) == [b"first"]
        writer.write(b"second\n")
        await writer.drain()
        await hang_up(writer)
        await relay.spools(2)

    assert [job.payload for job in relay.jobs()] == [b"first", b"second\n"]
    assert relay.jobs()[0].ended_by == "idle"
    assert relay.jobs()[1].ended_by in ("idle", "close")
    assert printer.printed == b"firstsecond\n"


async def test_the_printers_last_answer_comes_after_the_pos_has_said_its_last_word(tmp_path: Path) -> None:
    async def thorough(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"got %d" % len(await reader.read()))
        writer.close()

    server = await asyncio.start_server(thorough, "127.0.0.1", 0)
    async with relaying(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", tmp_path) as relay:
        reader, writer = await relay.connect()
        writer.write(RECEIPT)
        writer.write_eof()
        assert await reader.read() == b"got %d" % len(RECEIPT)
        await hang_up(writer)
    server.close()
    await server.wait_closed()

    assert relay.texts() == [RECEIPT]
    assert relay.jobs()[0].ended_by == "close"


async def test_an_unreachable_printer_looks_like_one_to_the_pos(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    off = VirtualPrinter()
    await off.switch_on()
    await off.switch_off()
    async with relaying(off.address, tmp_path) as relay:
        reader, writer = await relay.connect()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        await hang_up(writer)
        assert "Check that the printer is on" in capsys.readouterr().err
        await off.switch_on()
        reader, writer = await relay.connect()
        writer.write(ASK)
        assert await reader.readexactly(1) == ANSWER
        await hang_up(writer)
    await off.switch_off()


async def test_a_printer_that_dies_breaks_the_pos_connection_and_the_begun_job_is_kept(
    printer: VirtualPrinter, tmp_path: Path
) -> None:
    async with relaying(printer.address, tmp_path) as relay:
        reader, writer = await relay.connect()
        writer.write(b"half a receipt" + ASK)
        assert await reader.readexactly(1) == ANSWER
        await printer.switch_off()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        await hang_up(writer)
        assert await relay.spools(1) == [b"half a receipt" + ASK]


async def test_a_printer_that_dies_while_a_cut_waits_loses_no_job_behind_it(
    printer: VirtualPrinter, tmp_path: Path
) -> None:
    is_asked, may_answer = threading.Event(), threading.Event()

    def hanging(handle: int) -> None:
        is_asked.set()
        may_answer.wait(WAIT_S)
        os.fdatasync(handle)

    async with relaying(printer.address, tmp_path, sync=hanging) as relay:
        reader, writer = await relay.connect()
        writer.write(b"one" + CUT + b"two" + CUT + b"three")
        assert await asyncio.to_thread(is_asked.wait, WAIT_S)
        await printer.switch_off()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        await hang_up(writer)
        may_answer.set()
        assert await relay.spools(3) == [b"one" + CUT, b"two" + CUT, b"three"]


async def test_a_slow_printer_slows_the_pos_and_not_the_relays_memory(tmp_path: Path) -> None:
    may_print, is_printed = asyncio.Event(), asyncio.Event()
    got = bytearray()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await may_print.wait()
        while data := await reader.read(65536):
            got.extend(data)
        writer.close()
        is_printed.set()

    server = await asyncio.start_server(slow, "127.0.0.1", 0, limit=65536)
    async with relaying(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", tmp_path) as relay:
        pos = socket.create_connection(("127.0.0.1", int(relay.address.rpartition(":")[2])))
        pos.setblocking(False)
        paper = bytes(range(32, 127)) * 100_000
        sent = 0
        stalls = 0
        while stalls < 20:  # the relay takes no more once printer and kernel are full
            try:
                sent += pos.send(paper[sent : sent + 65536])
                stalls = 0
            except BlockingIOError:
                stalls += 1
                await asyncio.sleep(0.005)
        assert sent < len(paper)
        may_print.set()
        await asyncio.get_running_loop().sock_sendall(pos, paper[sent:])
        pos.close()
        await asyncio.wait_for(is_printed.wait(), WAIT_S)
    server.close()
    await server.wait_closed()

    assert bytes(got) == paper
    (job,) = relay.texts()
    assert paper.startswith(job)
    assert relay.jobs()[0].truncated


async def test_a_pos_that_resets_after_its_receipt_gets_it_printed_and_kept(
    printer: VirtualPrinter, tmp_path: Path
) -> None:
    async with relaying(printer.address, tmp_path, idle_ms=10) as relay:
        pos = socket.create_connection(("127.0.0.1", int(relay.address.rpartition(":")[2])))
        pos.sendall(ASK)
        await asyncio.to_thread(pos.recv, 1, socket.MSG_PEEK)
        pos.sendall(RECEIPT)
        pos.close()  # with an unread answer: the kernel resets
        assert await relay.spools(1) == [RECEIPT]

    assert printer.printed == ASK + RECEIPT


async def test_two_connections_at_once_keep_their_jobs_apart(printer: VirtualPrinter, tmp_path: Path) -> None:
    async with relaying(printer.address, tmp_path) as relay:
        first_reader, first = await relay.connect()
        second_reader, second = await relay.connect()
        first.write(b"first ")
        await first.drain()
        second.write(b"second" + CUT + ASK)
        assert await second_reader.readexactly(1) == ANSWER
        first.write(b"goes on" + CUT + ASK)
        assert await first_reader.readexactly(1) == ANSWER
        await hang_up(first)
        await hang_up(second)

    assert relay.texts() == [b"second" + CUT, b"first goes on" + CUT]
    assert len({job.connection for job in relay.jobs()}) == 2


async def test_a_pos_that_never_closes_is_told_when_too_many_are_open(
    printer: VirtualPrinter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with relaying(printer.address, tmp_path) as relay:
        opened = [await relay.connect() for _ in range(MAX_CONNECTIONS)]
        for reader, writer in opened:
            writer.write(ASK)
            assert await reader.readexactly(1) == ANSWER
        reader, writer = await relay.connect()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        await hang_up(writer)
        for _, opened_writer in opened:
            await hang_up(opened_writer)

    assert "too_many_connections" in capsys.readouterr().err


async def test_a_job_that_comes_in_pieces_over_several_connections_is_kept_as_one(
    printer: VirtualPrinter, tmp_path: Path
) -> None:
    pieces = [b"\x1b@MLEKO ", b"159,99\n\x1d", b"V", b"B\x00"]
    async with relaying(printer.address, tmp_path) as relay:
        for piece in pieces:
            reader, writer = await relay.connect()
            writer.write(piece)
            writer.write_eof()
            await reader.read()
            await hang_up(writer)
        assert await relay.spools(1) == [b"".join(pieces)]

    assert printer.connections == pieces
    assert relay.jobs()[0].ended_by == "cut"


async def test_a_job_whose_connection_closed_ends_when_its_pos_does_not_come_again(
    printer: VirtualPrinter, tmp_path: Path
) -> None:
    async with relaying(printer.address, tmp_path, idle_ms=20) as relay:
        for text in (b"one\n", b"two\n"):
            reader, writer = await relay.connect()
            writer.write(text)
            writer.write_eof()
            await reader.read()
            await hang_up(writer)
            await relay.spools(1 if text == b"one\n" else 2)

    assert [(job.payload, job.ended_by) for job in relay.jobs()] == [(b"one\n", "close"), (b"two\n", "close")]


async def test_a_begun_job_is_not_gone_on_with_by_a_connection_that_was_there_before(
    printer: VirtualPrinter, tmp_path: Path
) -> None:
    async with relaying(printer.address, tmp_path) as relay:
        other_reader, other = await relay.connect()
        other.write(b"the other's " + ASK)
        assert await other_reader.readexactly(1) == ANSWER
        reader, writer = await relay.connect()
        writer.write(b"first piece, ")
        writer.write_eof()
        await reader.read()
        await hang_up(writer)
        other.write(b"receipt" + CUT + ASK)
        assert await other_reader.readexactly(1) == ANSWER
        reader, writer = await relay.connect()
        writer.write(b"second piece" + CUT + ASK)
        assert await reader.readexactly(1) == ANSWER
        await hang_up(writer)
        await hang_up(other)

    assert relay.texts() == [b"the other's " + ASK + b"receipt" + CUT, b"first piece, second piece" + CUT]


async def test_stopping_keeps_a_job_that_waits_for_its_next_connection(printer: VirtualPrinter, tmp_path: Path) -> None:
    async with relaying(printer.address, tmp_path) as relay:
        reader, writer = await relay.connect()
        writer.write(b"half a receipt\n")
        writer.write_eof()
        await reader.read()
        await hang_up(writer)

    assert relay.texts() == [b"half a receipt\n"]


async def test_stopping_lets_the_begun_job_finish_and_takes_no_new_one(printer: VirtualPrinter, tmp_path: Path) -> None:
    async with relaying(printer.address, tmp_path) as relay:
        idle_reader, idle = await relay.connect()
        reader, writer = await relay.connect()
        writer.write(b"begun ")
        writer.write(ASK)
        idle.write(ASK)
        assert await reader.readexactly(1) == ANSWER
        assert await idle_reader.readexactly(1) == ANSWER
        relay.stop.set()
        assert await idle_reader.read() == b"", "a connection without a job ends at once"
        with pytest.raises(ConnectionRefusedError):
            await relay.connect()
        writer.write(b"done" + CUT + ASK)
        assert await reader.readexactly(1) == ANSWER
        assert await reader.read() == b""
        await hang_up(writer)
        await hang_up(idle)
        await asyncio.wait_for(relay.ended.wait(), WAIT_S)

    assert relay.texts() == [b"begun " + ASK + b"done" + CUT]
