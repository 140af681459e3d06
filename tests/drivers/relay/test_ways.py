"""POS and printer on serial ports, terminals, pipes and backends see each other through the relay as without it."""

from __future__ import annotations

import asyncio
import errno
import os
import pty
import random
import stat
import sys
import threading
import tty
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from agent.demo.printer import VirtualPrinter
from drivers.relay.cups import BackendOutlet
from drivers.relay.device import Device, DeviceInlet, DeviceOutlet, PortSettings
from drivers.relay.fifo import FifoInlet
from drivers.relay.tcp import Endpoint, TcpInlet, TcpOutlet
from drivers.relay.terminal import TerminalInlet
from drivers.relay.ways import WayError, inlet_for, outlet_for
from drivers.relay.windows_spooler import SpoolerOutlet
from tests.drivers.relay.running import WAIT_S, relaying, until

CUT = b"\x1dVB\x00"
ASK = b"\x10\x04\x01"
ANSWER = b"\x12"
STATUS = b"\x14\x00\x00\x0f"
RECEIPT = b"\x1b@" + b"MLEKO 2,8% 1L              159,99\n" * 40 + CUT
PORT = PortSettings(baud=115200, data_bits=8, parity="none", stop_bits=1, flow="none")


class Cable:
    """A serial cable: the relay's port at `path`, and the device at the other end in the test's hands."""

    def __init__(self) -> None:
        self._handle, theirs = pty.openpty()
        tty.setraw(theirs)
        self.path = os.ttyname(theirs)
        self._theirs = theirs
        os.set_blocking(self._handle, False)

    async def say(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._handle, rest) :]
            except BlockingIOError:
                await asyncio.sleep(0.001)

    async def hear(self, count: int) -> bytes:
        """Exactly so many bytes."""
        heard = b""
        async with asyncio.timeout(WAIT_S):
            while len(heard) < count:
                try:
                    heard += os.read(self._handle, count - len(heard))
                except BlockingIOError:
                    await asyncio.sleep(0.001)
        return heard

    def unplug(self) -> None:
        for handle in (self._handle, self._theirs):
            if handle >= 0:
                os.close(handle)
        self._handle = self._theirs = -1


@pytest.fixture
def pos_cable() -> Iterator[Cable]:
    cable = Cable()
    yield cable
    cable.unplug()


@pytest.fixture
def printer_cable() -> Iterator[Cable]:
    cable = Cable()
    yield cable
    cable.unplug()


async def test_serial_to_serial_passes_every_byte_both_ways(
    tmp_path: Path, pos_cable: Cable, printer_cable: Cable
) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    picture = b"\x1dv0\x00\x48\x00\x40\x00" + random.Random(seed).randbytes(72 * 64)
    inlet, outlet = DeviceInlet(pos_cable.path, PORT), DeviceOutlet(printer_cable.path, PORT)
    async with relaying(outlet, tmp_path, inlet=inlet) as relay:
        for job in (RECEIPT, bytes(range(256)) + CUT, picture + CUT):
            sending = asyncio.create_task(pos_cable.say(job))
            assert await printer_cable.hear(len(job)) == job
            await sending
        await printer_cable.say(STATUS + bytes(range(256)))
        assert await pos_cable.hear(260) == STATUS + bytes(range(256)), "also while nothing is printed"
        await relay.spools(3)

    assert relay.texts() == [RECEIPT, bytes(range(256)) + CUT, picture + CUT]


async def test_a_status_passes_back_while_a_cut_waits_for_the_disk(
    tmp_path: Path, pos_cable: Cable, printer_cable: Cable
) -> None:
    may_answer = threading.Event()

    def hanging(handle: int) -> None:
        may_answer.wait(WAIT_S)
        os.fdatasync(handle)

    inlet, outlet = DeviceInlet(pos_cable.path, PORT), DeviceOutlet(printer_cable.path, PORT)
    async with relaying(outlet, tmp_path, inlet=inlet, sync=hanging):
        await pos_cable.say(RECEIPT)
        text = RECEIPT.removesuffix(CUT)
        assert await printer_cable.hear(len(text)) == text
        await printer_cable.say(STATUS)
        assert await pos_cable.hear(4) == STATUS
        may_answer.set()
        assert await printer_cable.hear(len(CUT)) == CUT


async def test_a_pos_on_a_wire_waits_while_its_printer_is_away(
    tmp_path: Path, pos_cable: Cable, capsys: pytest.CaptureFixture[str]
) -> None:
    printer = VirtualPrinter()
    await printer.switch_on()
    await printer.switch_off()
    async with relaying(printer.address, tmp_path, inlet=DeviceInlet(pos_cable.path, PORT)) as relay:
        await pos_cable.say(RECEIPT + ASK)
        await until(lambda: "the POS waits" in capsys.readouterr().err)
        await printer.switch_on()
        assert await pos_cable.hear(1) == ANSWER
        await relay.spools(1)
    await printer.switch_off()

    assert printer.printed == RECEIPT + ASK
    assert relay.texts() == [RECEIPT]


async def test_a_network_printer_is_let_go_between_the_jobs_of_a_wire(tmp_path: Path, pos_cable: Cable) -> None:
    printer = VirtualPrinter()
    await printer.switch_on()
    async with relaying(printer.address, tmp_path, inlet=DeviceInlet(pos_cable.path, PORT), idle_ms=10) as relay:
        for number in range(3):
            await pos_cable.say(b"receipt %d" % number + CUT + ASK)
            assert await pos_cable.hear(1) == ANSWER
            await until(lambda: not printer._writers)
        await relay.spools(3)
    await printer.switch_off()

    assert printer.connections == [b"receipt %d" % number + CUT + ASK for number in range(3)]


async def test_a_network_printer_that_hangs_up_is_reached_again_for_the_next_job_of_a_wire(
    tmp_path: Path, pos_cable: Cable
) -> None:
    printer = VirtualPrinter()
    await printer.switch_on()
    async with relaying(printer.address, tmp_path, inlet=DeviceInlet(pos_cable.path, PORT)) as relay:
        for number in range(2):
            await pos_cable.say(b"receipt %d" % number + CUT + ASK)
            assert await pos_cable.hear(1) == ANSWER
            await printer.switch_off()
            await printer.switch_on()
        await relay.spools(2)
    await printer.switch_off()

    assert printer.connections == [b"receipt 0" + CUT + ASK, b"receipt 1" + CUT + ASK]


async def test_connections_take_turns_on_a_port_and_old_answers_are_nobodys(
    tmp_path: Path, printer_cable: Cable
) -> None:
    async with relaying(DeviceOutlet(printer_cable.path, PORT), tmp_path) as relay:
        for number in range(3):
            reader, writer = await relay.connect()
            second_reader, second = await relay.connect()
            second.write(b"second %d" % number + CUT)
            writer.write(b"first %d" % number + CUT)
            assert await printer_cable.hear(11) == b"first %d" % number + CUT
            await printer_cable.say(ANSWER)
            assert await reader.readexactly(1) == ANSWER
            writer.close()
            await reader.read()
            assert await printer_cable.hear(12) == b"second %d" % number + CUT
            second.close()
            await second_reader.read()
            await printer_cable.say(STATUS)
        await relay.spools(6)


async def test_a_printers_port_that_is_unplugged_is_told_to_the_pos_and_taken_up_again(tmp_path: Path) -> None:
    link = tmp_path / "port"
    cable = Cable()
    link.symlink_to(cable.path)
    async with relaying(DeviceOutlet(str(link), PORT), tmp_path / "spool") as relay:
        reader, writer = await relay.connect()
        writer.write(b"half a receipt")
        assert await cable.hear(14) == b"half a receipt"
        cable.unplug()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        link.unlink()
        reader, writer = await relay.connect()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()

        cable = Cable()
        link.symlink_to(cable.path)
        reader, writer = await relay.connect()
        writer.write(RECEIPT)
        assert await cable.hear(len(RECEIPT)) == RECEIPT
        writer.close()
        assert await relay.spools(2) == [b"half a receipt", RECEIPT]
    cable.unplug()


async def test_a_pos_port_that_is_not_there_is_looked_for(tmp_path: Path, printer_cable: Cable) -> None:
    link = tmp_path / "port"
    outlet = DeviceOutlet(printer_cable.path, PORT)
    async with relaying(outlet, tmp_path / "spool", inlet=DeviceInlet(str(link), PORT)) as relay:
        for number in range(2):
            cable = Cable()
            link.symlink_to(cable.path)
            await cable.say(b"receipt %d" % number + CUT)
            assert await printer_cable.hear(13) == b"receipt %d" % number + CUT
            await relay.spools(number + 1)
            link.unlink()
            cable.unplug()


async def test_a_port_is_no_other_programs(pos_cable: Cable) -> None:
    device = Device.open(pos_cable.path, PORT, to_pos=True)
    with pytest.raises(OSError, match="used by another program"):
        Device.open(pos_cable.path, PORT, to_pos=False)
    device.close()


def test_a_path_that_is_no_port_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="is no port"):
        Device.open(str(tmp_path / "file"), PORT, to_pos=False)


async def test_a_printers_file_answers_now_and_then_and_is_empty_between(tmp_path: Path) -> None:
    """usblp reads as empty while a printer has nothing to say; a named pipe cannot be read at all."""
    path = tmp_path / "lp0"
    os.mkfifo(path)
    paper = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    device = Device.open(str(path), PORT, to_pos=False)
    await device.write(RECEIPT)
    reading = asyncio.create_task(device.read())
    await asyncio.sleep(0)
    assert not reading.done()
    reading.cancel()
    assert os.read(paper, 65536) == RECEIPT
    os.close(paper)
    with pytest.raises(BrokenPipeError):
        await device.write(b"more")
    device.close()

    quiet, said = os.pipe()
    os.close(said)  # reads as empty, for ever
    device = Device(os.dup(quiet), is_serial=False)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(device.read(), 0.05)
    device.close()
    os.close(quiet)


async def test_a_printers_file_prints_what_came_and_waits_while_it_is_full(tmp_path: Path) -> None:
    path = tmp_path / "lp0"
    os.mkfifo(path)
    paper = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    long = RECEIPT * 200
    printed = b""
    async with relaying(DeviceOutlet(str(path), PORT), tmp_path / "spool", idle_ms=50) as relay:
        _, writer = await relay.connect()
        writer.write(long)
        async with asyncio.timeout(WAIT_S):
            while len(printed) < len(long):
                try:
                    printed += os.read(paper, 4096)
                except BlockingIOError:
                    await asyncio.sleep(0.001)
        writer.close()
        await relay.spools(200)
    os.close(paper)

    assert printed == long


# Terminals and pipes that are made for a POS


def open_terminal(link: Path) -> int:
    handle = os.open(link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    tty.setraw(handle)
    return handle


async def read_from(handle: int, count: int) -> bytes:
    heard = b""
    async with asyncio.timeout(WAIT_S):
        while len(heard) < count:
            try:
                heard += os.read(handle, count - len(heard))
            except BlockingIOError:
                await asyncio.sleep(0.001)
    return heard


async def test_a_pos_prints_to_a_terminal_and_hears_its_printer(tmp_path: Path, printer_cable: Cable) -> None:
    link = tmp_path / "printer"
    outlet = DeviceOutlet(printer_cable.path, PORT)
    async with relaying(outlet, tmp_path / "spool", inlet=TerminalInlet(link)) as relay:
        for number in range(2):
            pos = open_terminal(link)
            os.write(pos, b"receipt %d" % number + CUT + ASK)
            assert await printer_cable.hear(16) == b"receipt %d" % number + CUT + ASK
            await printer_cable.say(ANSWER)
            assert await read_from(pos, 1) == ANSWER
            os.close(pos)
        await relay.spools(2)
        mode = stat.S_IMODE(link.stat().st_mode)

    assert mode == 0o600
    assert not link.exists()


async def test_a_pos_that_opens_its_terminal_for_each_piece_prints_one_job(
    tmp_path: Path, printer_cable: Cable
) -> None:
    link = tmp_path / "printer"
    outlet = DeviceOutlet(printer_cable.path, PORT)
    async with relaying(outlet, tmp_path / "spool", inlet=TerminalInlet(link)) as relay:
        for piece in (b"MLEKO ", b"159,99\n", CUT):
            pos = open_terminal(link)
            os.write(pos, piece)
            assert await printer_cable.hear(len(piece)) == piece
            os.close(pos)
        assert await relay.spools(1) == [b"MLEKO 159,99\n" + CUT]


async def test_a_pos_prints_into_a_pipe_as_into_a_file(tmp_path: Path) -> None:
    path = tmp_path / "printer"
    printer = VirtualPrinter()
    await printer.switch_on()
    async with relaying(printer.address, tmp_path / "spool", inlet=FifoInlet(path)) as relay:
        for number in range(5):
            await asyncio.to_thread(path.write_bytes, b"receipt %d" % number + CUT)
            await relay.spools(number + 1)
        mode = path.stat().st_mode
    await printer.switch_off()

    assert stat.S_ISFIFO(mode)
    assert stat.S_IMODE(mode) == 0o600
    assert path.exists(), "the POS waits at it for the next relay"
    assert relay.texts() == [b"receipt %d" % number + CUT for number in range(5)]
    assert printer.printed == b"".join(relay.texts())


async def test_nothing_is_lost_of_a_pipe_that_is_always_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "printer"
    printer = VirtualPrinter()
    await printer.switch_on()

    def print_all() -> None:
        for number in range(200):
            path.write_bytes(b"%06d" % number + CUT)

    async with relaying(printer.address, tmp_path / "spool", inlet=FifoInlet(path), idle_ms=10) as relay:
        await asyncio.to_thread(print_all)
        await relay.spools(200)
    await printer.switch_off()

    assert printer.printed == b"".join(b"%06d" % number + CUT for number in range(200))


def test_a_pipe_is_not_made_where_something_else_stands(tmp_path: Path) -> None:
    (tmp_path / "printer").write_text("mine")
    with pytest.raises(OSError, match="no named pipe"):
        FifoInlet(tmp_path / "printer").start()
    with pytest.raises(OSError, match="nobody-has-this"):
        FifoInlet(tmp_path / "other", group="nobody-has-this").start()


# Backends of CUPS

BACKEND = f"""#!{sys.executable}
import os, sys
paper = os.environ["DEVICE_URI"].removeprefix("fake:/")
assert sys.argv[1:] == ["1", "tillside", "receipt", "1", ""], sys.argv
with open(paper, "ab", buffering=0) as file:
    while data := os.read(0, 65536):
        file.write(data)
        if data.endswith(b"\\x10\\x04\\x01"):
            os.write(3, b"\\x12")
        if b"jam" in data:
            sys.exit(1)
"""


@pytest.fixture
def backends(tmp_path: Path) -> Path:
    folder = tmp_path / "backends"
    folder.mkdir()
    (folder / "fake").write_text(BACKEND)
    (folder / "fake").chmod(0o755)
    return folder


async def test_a_backend_of_cups_prints_and_answers_over_its_back_channel(tmp_path: Path, backends: Path) -> None:
    paper = tmp_path / "paper"
    outlet = BackendOutlet(f"fake:/{paper}", folder=backends)
    async with relaying(outlet, tmp_path / "spool") as relay:
        for number in range(2):
            reader, writer = await relay.connect()
            writer.write(b"receipt %d" % number + CUT + ASK)
            assert await asyncio.wait_for(reader.readexactly(1), WAIT_S) == ANSWER
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
        await relay.spools(2)

    assert paper.read_bytes() == b"".join(b"receipt %d" % number + CUT + ASK for number in range(2))


async def test_a_backend_that_gives_up_breaks_the_poss_connection(tmp_path: Path, backends: Path) -> None:
    outlet = BackendOutlet(f"fake:/{tmp_path / 'paper'}", folder=backends)
    async with relaying(outlet, tmp_path / "spool") as relay:
        reader, writer = await relay.connect()
        writer.write(b"jam\n")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        reader, writer = await relay.connect()
        writer.write(RECEIPT + ASK)
        assert await reader.readexactly(1) == ANSWER
        writer.close()
        assert await relay.spools(2) == [b"jam\n", RECEIPT]


async def test_a_backend_that_is_not_installed_looks_like_a_printer_that_is_off(
    tmp_path: Path, backends: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with relaying(BackendOutlet("usb://EPSON/TM-T20II", folder=backends), tmp_path / "spool") as relay:
        reader, writer = await relay.connect()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()

    assert "CUPS has no backend" in capsys.readouterr().err


# Windows's spooler, as far as it can be run here


class FakeQueue:
    """A queue that takes a few bytes at a time."""

    def __init__(self, log: list[bytes | str], name: str) -> None:
        self._log = log
        if name == "none":
            raise OSError(errno.EIO, "The printer name is invalid.")

    def begin_document(self) -> None:
        self._log.append("begin")

    def write(self, data: bytes) -> int:
        self._log.append(data[:1000])
        return len(data[:1000])

    def end_document(self) -> None:
        self._log.append("end")

    def close(self) -> None:
        self._log.append("close")


async def test_the_spooler_gets_a_document_that_ends_with_the_connection(tmp_path: Path) -> None:
    log: list[bytes | str] = []
    async with relaying(SpoolerOutlet("Receipts", partial(FakeQueue, log)), tmp_path) as relay:
        reader, writer = await relay.connect()
        writer.write(RECEIPT)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await relay.spools(1)

    assert (log[0], log[-2:]) == ("begin", ["end", "close"])
    assert b"".join(part for part in log if isinstance(part, bytes)) == RECEIPT


async def test_the_spooler_gets_no_empty_document_and_a_queue_that_is_none_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log: list[bytes | str] = []
    async with relaying(SpoolerOutlet("Receipts", partial(FakeQueue, log)), tmp_path / "one") as relay:
        reader, writer = await relay.connect()
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
    async with relaying(SpoolerOutlet("none", partial(FakeQueue, log)), tmp_path / "two") as relay:
        reader, writer = await relay.connect()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()

    assert log == ["close"]
    assert "The printer name is invalid." in capsys.readouterr().err


# What a text means


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("127.0.0.1:9100", TcpInlet),
        ("[::1]:9100", TcpInlet),
        ("systemd", TcpInlet),
        ("systemd:till-1", TcpInlet),
        ("/dev/ttyS1", DeviceInlet),
        ("usb:serial=A50285BI", DeviceInlet),
        ("pty:/run/tillside/printer", TerminalInlet),
        ("fifo:/run/tillside/printer", FifoInlet),
    ],
)
def test_a_way_in_is_what_its_text_says(text: str, kind: type) -> None:
    inlet = inlet_for(text, PORT)
    assert isinstance(inlet, kind)
    assert inlet.name == text


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("192.168.1.50:9100", TcpOutlet),
        ("/dev/usb/lp0", DeviceOutlet),
        ("usb:04b8:0202", DeviceOutlet),
        ("cups:usb://EPSON/TM-T20II?serial=4711", BackendOutlet),
        ("spooler:Receipts", SpoolerOutlet),
    ],
)
def test_a_way_out_is_what_its_text_says(text: str, kind: type) -> None:
    outlet = outlet_for(text, PORT)
    assert isinstance(outlet, kind)
    assert outlet.name == text


@pytest.mark.parametrize("text", ["", "9100", "host:", ":9100", "host:99999", "pty:", "fifo:", "usb:nothing", "tty"])
def test_what_is_no_way_in_is_told(text: str) -> None:
    with pytest.raises(WayError, match="write "):
        inlet_for(text, PORT)


@pytest.mark.parametrize("text", ["9100", "cups:", "cups:../../bin/sh", "cups:/etc", "spooler:", "usb:nothing"])
def test_what_is_no_printer_is_told(text: str) -> None:
    with pytest.raises(WayError, match="write "):
        outlet_for(text, PORT)


async def test_a_usb_port_that_is_not_plugged_in_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="is not plugged in"):
        await outlet_for("usb:serial=nobody-has-this", PORT).reach()


def test_addresses_are_written_as_they_are_read() -> None:
    assert str(Endpoint(host="127.0.0.1", port=9100)) == "127.0.0.1:9100"
    assert str(Endpoint(host="::1", port=9100)) == "[::1]:9100"
