"""The relay as a process: its command line, and that killing it loses nothing that was spooled."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from agent.demo.printer import VirtualPrinter
from drivers.clock import boot_id
from drivers.receipts.spool_source import SpooledJob, SpoolPosition, SpoolReader
from drivers.relay.arguments import SerialSettings, read_arguments
from drivers.relay.process import main
from drivers.relay.spool import STATUS_NAME, segment_numbers
from tests.drivers.relay.running import until
from tests.machine import MountDisk

CUT = b"\x1dVB\x00"
ASK = b"\x10\x04\x01"
ANSWER = b"\x12"
WAIT_S = 20.0
MAX_RSS_KB = 30 * 1024
SMALL_DISK_BYTES = 512 * 1024


class RelayProcess:
    """A real relay, started from the command line."""

    def __init__(self, printer: str, spool: Path, *more: str, arguments: list[str] | None = None) -> None:
        """`arguments` stand in for those of one register."""
        self.spool = spool
        one = ["--listen", "127.0.0.1:0", "--printer", printer, "--spool", str(spool)]
        self._arguments = [*(one if arguments is None else arguments), "--json", *more]
        self._process: asyncio.subprocess.Process | None = None
        self.ready: dict[str, object] = {}
        self.said = ""

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    async def start(self) -> RelayProcess:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agent.cli.entry", "relay", *self._arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.ready = json.loads(await asyncio.wait_for(self._process.stdout.readline(), WAIT_S))
        return self

    async def end(self, how: signal.Signals) -> int:
        """The exit code."""
        with suppress(ProcessLookupError):
            self.process.send_signal(how)
        _, errors = await asyncio.wait_for(self.process.communicate(), WAIT_S)
        self.said = errors.decode()
        assert self.process.returncode is not None
        return self.process.returncode

    async def connect(self, address: str = "") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = str(address or self.ready["listening"]).rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def print(self, job: bytes, address: str = "") -> None:
        """Print over a connection of its own, and wait for the printer's word."""
        reader, writer = await self.connect(address)
        writer.write(job + ASK)
        assert await asyncio.wait_for(reader.readexactly(1), WAIT_S) == ANSWER
        writer.close()

    def jobs(self) -> list[SpooledJob]:
        reader = SpoolReader(self.spool)
        jobs: list[SpooledJob] = []
        while more := reader.read_after(jobs[-1].position if jobs else SpoolPosition()):
            jobs += more
        return jobs


@pytest.fixture
async def printer() -> AsyncIterator[VirtualPrinter]:
    virtual = VirtualPrinter()
    await virtual.switch_on()
    yield virtual
    await virtual.switch_off()


def most_memory_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def spool_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.spool"))


def receipt(number: int) -> bytes:
    return b"\x1b@" + b"receipt %d 159,99\n" % number * 40 + CUT


@pytest.mark.processes
async def test_it_says_when_it_is_ready_and_ends_on_sigterm_with_the_begun_job_kept(
    printer: VirtualPrinter, tmp_path: Path
) -> None:
    relay = await RelayProcess(printer.address, tmp_path / "spool", "--register", "12/3", "--idle-ms", "50").start()
    assert relay.ready == {
        "listening": relay.ready["listening"],
        "printer": printer.address,
        "spool": str(tmp_path / "spool"),
        "pid": relay.process.pid,
    }
    await relay.print(receipt(1))
    reader, writer = await relay.connect()
    writer.write(b"begun" + ASK)
    assert await reader.readexactly(1) == ANSWER

    code = await relay.end(signal.SIGTERM)
    writer.close()

    assert code == 0
    assert [job.payload for job in relay.jobs()] == [receipt(1), b"begun" + ASK]
    assert relay.jobs()[0].register == "12/3"
    assert relay.jobs()[0].captured.boot == boot_id()
    status = json.loads((relay.spool / STATUS_NAME).read_bytes())
    assert (status["pid"], status["jobs"], status["late"], status["unspooled"]) == (relay.process.pid, 2, 0, 0)
    assert relay.said == ""


@pytest.mark.parametrize(
    ("modules", "packages"),
    [
        ("drivers.relay.process, drivers.relay.device, drivers.relay.terminal, drivers.relay.fifo", {"drivers"}),
        ("drivers.relay.cups, drivers.relay.cups_backend, drivers.relay.windows_spooler", {"drivers"}),
        ("drivers.relay.process, drivers.relay.scanner_part, drivers.relay.shared_wedge", {"drivers", "loyalty"}),
    ],
)
def test_it_needs_nothing_but_the_standard_library(modules: str, packages: set[str]) -> None:
    program = (
        f"import sys; before = set(sys.modules); import {modules}; "
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)"
    )

    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout

    assert set(loaded.split()) == packages


@pytest.mark.processes
async def test_it_stays_small(printer: VirtualPrinter, tmp_path: Path) -> None:
    relay = await RelayProcess(printer.address, tmp_path).start()
    for number in range(100):
        await relay.print(receipt(number))

    largest_kb = most_memory_kb(relay.process.pid)
    await relay.end(signal.SIGTERM)

    assert largest_kb <= MAX_RSS_KB


@pytest.mark.processes
async def test_sigkill_at_any_moment_loses_no_spooled_job_and_the_next_start_works(
    printer: VirtualPrinter, tmp_path: Path
) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    confirmed: list[bytes] = []
    number = 0
    for _ in range(12):
        relay = await RelayProcess(printer.address, tmp_path).start()
        for _ in range(chance.randrange(1, 4)):
            await relay.print(receipt(number))
            confirmed.append(receipt(number))
            number += 1
        reader, writer = await relay.connect()
        torn = receipt(number)
        number += 1
        writer.write(torn[: chance.randrange(len(torn) + 1)])
        await asyncio.sleep(chance.random() * 0.003)
        await relay.end(signal.SIGKILL)
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    relay = await RelayProcess(printer.address, tmp_path).start()
    await relay.print(receipt(number))
    confirmed.append(receipt(number))
    assert await relay.end(signal.SIGTERM) == 0

    jobs = relay.jobs()
    assert [job for job in jobs if job.damage] == []
    kept = [job.payload for job in jobs]
    assert [payload for payload in kept if payload in confirmed] == confirmed
    assert set(kept) <= {receipt(any_number) for any_number in range(number + 1)}, "a torn job is no job"
    assert len(segment_numbers(tmp_path)) >= 12


@pytest.mark.processes
async def test_two_relays_cannot_share_a_spool_or_a_port(
    printer: VirtualPrinter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    relay = await RelayProcess(printer.address, tmp_path / "one").start()
    taken = str(relay.ready["listening"])

    same_spool = await asyncio.to_thread(
        main, ["--listen", "127.0.0.1:0", "--printer", printer.address, "--spool", str(tmp_path / "one")]
    )
    assert "another relay writes the spool" in capsys.readouterr().err
    same_port = await asyncio.to_thread(
        main, ["--listen", taken, "--printer", printer.address, "--spool", str(tmp_path / "two")]
    )
    assert f"cannot listen on {taken}" in capsys.readouterr().err
    await relay.end(signal.SIGTERM)

    assert (same_spool, same_port) == (1, 1)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--listen", "9100", "--printer", "10.0.0.5:9100", "--spool", "x"],
        ["--listen", "127.0.0.1:9100", "--printer", "10.0.0.5:99999", "--spool", "x"],
        ["--listen", "127.0.0.1:9100", "--printer", "10.0.0.5:9100", "--spool", "x", "--hold-ms", "-1"],
        ["--listen", "127.0.0.1:9100", "--printer", "10.0.0.5:9100", "--spool", "x", "--idle-ms", "0"],
    ],
)
def test_a_command_line_it_cannot_use_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert "usage: tillside relay" in capsys.readouterr().err


SCANNER = ["--scanner", "/dev/ttyUSB0", "--pos", "pty:pos", "--scans", "scans"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--scanner", "/dev/ttyUSB0"], "--pos and --scans must be given too"),
        (["--scanner", "/dev/ttyUSB0", "--pos", "pty:pos"], "--scans must be given too"),
        (["--wedge", "A wedge"], "--scans must be given too"),
        (["--wedge", "A wedge", *SCANNER], "start a relay for each scanner"),
        ([*SCANNER, "--listen", "127.0.0.1:0"], "--printer and --spool must be given too"),
        ([*SCANNER[:2], "--pos", "/dev/ttyUSB0", "--scans", "x"], "the same port"),
        ([*SCANNER[:2], "--pos", "tcp://10.0.0.5:4001", "--scans", "x"], "a serial port or pty:LINK"),
        ([*SCANNER[:2], "--pos", "pty:", "--scans", "x"], "path of a link"),
        (["--scanner", "usb:nothing", *SCANNER[2:]], "write a USB device as"),
        ([*SCANNER[:2], "--pos", "/dev/ttyS1", "--scans", "x", "--pos-group", "pos"], "--pos-group is for"),
        (
            [*SCANNER, "--listen", "127.0.0.1:0", "--printer", "127.0.0.1:1", "--spool", "scans"],
            "give each its own",
        ),
        ([*SCANNER, "--scanner-bits", "9N1"], "such as 8N1"),
        ([*SCANNER, "--scanner-suffix", r"\q"], "known after a backslash"),
        ([*SCANNER, "--scanner-suffix", "€"], "single bytes"),
        ([*SCANNER, "--scanner-suffix", "x" * 17], "longer than 16"),
        ([*SCANNER, "--scanner-prefix", r"\t"], "line ends before a code"),
        ([*SCANNER, "--scanner-baud", "fast"], "whole number"),
        (["--wedge", "usb:nothing", "--scans", "x"], "usb:serial="),
        (["--wedge", "A wedge", "--scans", "x", "--layout", "tlh"], "known are us, de"),
    ],
)
def test_a_scanner_it_cannot_use_ends_with_2_and_says_why(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_what_a_scanner_sends_is_written_with_escapes() -> None:
    settings = read_arguments([*SCANNER, "--scanner-prefix", r"\x02~", "--scanner-suffix", r"\x03\r\n\\"])
    assert settings.scanner is not None
    assert isinstance(settings.scanner.source, SerialSettings)

    assert (settings.scanner.source.prefix, settings.scanner.source.suffix) == (b"\x02~", b"\x03\r\n\\")


@pytest.mark.processes
async def test_a_wedge_that_is_not_plugged_in_is_told_and_waited_for(printer: VirtualPrinter, tmp_path: Path) -> None:
    wedge = ["--wedge", "A scanner that nobody has", "--layout", "de", "--scans", str(tmp_path / "scans")]
    relay = await RelayProcess(printer.address, tmp_path / "spool", *wedge).start()
    await relay.print(receipt(1))
    status = tmp_path / "scans" / STATUS_NAME
    await until(lambda: status.exists() and "is not plugged in" in status.read_text())

    assert await relay.end(signal.SIGTERM) == 0
    assert "is not plugged in" in relay.said
    assert relay.ready["scanner"] == "A scanner that nobody has"


@pytest.mark.processes
async def test_two_relays_cannot_share_a_folder_of_scans_but_the_printer_goes_on(
    printer: VirtualPrinter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scanner = ["--scanner", str(tmp_path / "none"), "--pos", f"pty:{tmp_path / 'pos'}", "--scans", str(tmp_path / "s")]
    first = await RelayProcess(printer.address, tmp_path / "one", *scanner).start()
    scanner[3] = f"pty:{tmp_path / 'other'}"

    alone = await asyncio.to_thread(main, scanner)
    assert "another relay writes the spool" in capsys.readouterr().err
    with_printer = await RelayProcess(printer.address, tmp_path / "two", *scanner).start()
    await with_printer.print(receipt(1))
    await with_printer.end(signal.SIGTERM)
    await first.end(signal.SIGTERM)

    assert alone == 1
    assert "scans_locked" in with_printer.said
    assert [job.payload for job in with_printer.jobs()] == [receipt(1)]


def fill(ballast: Path) -> None:
    """Take all the room that is left on a disk."""
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@pytest.mark.processes
async def test_on_a_full_disk_every_receipt_prints_and_each_is_kept_once_there_is_room(
    printer: VirtualPrinter, tmp_path: Path, mount_disk: MountDisk
) -> None:
    disk = mount_disk(tmp_path / "disk", SMALL_DISK_BYTES)
    spool, ballast = disk / "spool", disk / "ballast"
    relay = await RelayProcess(printer.address, spool).start()
    await relay.print(receipt(0))
    fill(ballast)

    for number in range(1, 30):
        await relay.print(receipt(number))
    kept_while_full = len(relay.jobs())
    ballast.unlink()
    await relay.print(receipt(30))
    code = await relay.end(signal.SIGTERM)

    assert printer.cuts == 31
    assert kept_while_full < 30
    assert "No space left on device" in relay.said
    assert code == 0
    assert [job.payload for job in relay.jobs()] == [receipt(number) for number in range(31)]
    assert [job for job in relay.jobs() if job.damage] == []


@pytest.mark.processes
async def test_without_an_agent_the_spool_stops_at_its_cap_and_printing_does_not(
    printer: VirtualPrinter, tmp_path: Path
) -> None:
    relay = await RelayProcess(printer.address, tmp_path, "--spool-cap-mb", "1").start()
    long = b"x" * 99_990 + CUT
    for _ in range(15):
        await relay.print(long)
    in_spool = len(relay.jobs())
    before = SpoolReader(tmp_path)
    before.acknowledge(relay.jobs()[-1].position)

    await relay.print(receipt(1))
    code = await relay.end(signal.SIGTERM)

    assert printer.cuts == 16
    assert in_spool == 9
    assert "start the agent" in relay.said
    assert code == 0
    assert [len(job.payload) for job in relay.jobs()][-7:] == [len(long)] * 6 + [len(receipt(1))]
    assert spool_size(tmp_path) <= 1_000_000


@pytest.mark.processes
async def test_a_spool_that_cannot_be_made_does_not_stop_the_sale(printer: VirtualPrinter, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    relay = await RelayProcess(printer.address, blocked / "spool").start()

    await relay.print(receipt(1))
    blocked.unlink()
    await relay.print(receipt(2))
    code = await relay.end(signal.SIGTERM)

    assert code == 0
    assert "receipts will print, but none is kept" in relay.said
    assert [job.payload for job in relay.jobs()] == [receipt(1), receipt(2)]


# Several registers in one process


def config(folder: Path, text: str) -> str:
    path = folder / "relay.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.processes
async def test_one_process_serves_several_registers(printer: VirtualPrinter, tmp_path: Path) -> None:
    other = VirtualPrinter()
    await other.switch_on()
    text = "".join(
        f'[[register]]\nregister = "{number}"\nlisten = "127.0.0.1:0"\nprinter = "{each.address}"\n'
        f'spool = "{tmp_path / str(number)}"\nidle_ms = 50\n'
        for number, each in ((1, printer), (2, other))
    )
    relay = await RelayProcess(printer.address, tmp_path, arguments=["--config", config(tmp_path, text)]).start()
    registers = relay.ready["registers"]
    assert isinstance(registers, list)
    for number, ready in enumerate(registers, 1):
        await relay.print(receipt(number), ready["listening"])
    code = await relay.end(signal.SIGTERM)
    await other.switch_off()

    assert code == 0
    assert [ready["register"] for ready in registers] == ["1", "2"]
    assert (printer.printed, other.printed) == (receipt(1) + ASK, receipt(2) + ASK)
    for number in (1, 2):
        (job,) = SpoolReader(tmp_path / str(number)).read_after(SpoolPosition())
        assert (job.payload, job.register) == (receipt(number), str(number))


@pytest.mark.processes
async def test_a_register_that_cannot_start_keeps_no_other_from_selling(
    printer: VirtualPrinter, tmp_path: Path
) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    text = "".join(
        f'[[register]]\nregister = "{number}"\nlisten = "127.0.0.1:{port}"\nprinter = "{printer.address}"\n'
        f'spool = "{tmp_path / str(number)}"\n'
        for number, port in ((1, taken.getsockname()[1]), (2, 0))
    )
    relay = await RelayProcess(printer.address, tmp_path, arguments=["--config", config(tmp_path, text)]).start()
    registers = relay.ready["registers"]
    assert isinstance(registers, list)
    await relay.print(receipt(1), registers[0]["listening"])
    code = await relay.end(signal.SIGTERM)
    taken.close()

    assert code == 0
    assert [ready["register"] for ready in registers] == ["2"]
    assert "cannot listen on" in relay.said
    assert '"register": "1"' in relay.said


REGISTER = '[[register]]\nlisten = "127.0.0.1:9100"\nprinter = "10.0.0.5:9100"\nspool = "a"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "a table [[register]] for each register"),
        ("nonsense", "Expected"),
        ("idle_ms = 3\n" + REGISTER, "and nothing else"),
        ("register = 3", "a table [[register]]"),
        ("register = [3]", "write a table [[register]]"),
        (REGISTER + "idle_ms = true\n", "idle_ms = True is no option"),
        (REGISTER + 'config = "x"\n', "is no option of a register"),
        (REGISTER + "idle_ms = 0\n", "whole number from 1"),
        (REGISTER + "colour = 3\n", "unrecognized arguments: --colour=3"),
        (REGISTER + "\n[[register]]\nlisten = 'a:1'\n", "register 2: the options"),
        (REGISTER + REGISTER.replace('"a"', '"b"'), "two registers have 127.0.0.1:9100"),
        (REGISTER + REGISTER.replace("127.0.0.1", "127.0.0.2"), "two registers have"),
    ],
)
def test_a_file_of_registers_that_cannot_be_used_ends_with_2_and_says_why(
    text: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--config", config(tmp_path, text)])

    assert ended.value.code == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_a_file_of_registers_goes_with_no_other_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--idle-ms", "3", "--config", config(tmp_path, REGISTER)], ["--config", str(tmp_path / "none")]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2

    told = capsys.readouterr().err
    assert "--config goes with --json only" in told
    assert "No such file" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--listen-group", "pos"], "--listen-group is for"),
        (["--printer", "127.0.0.1:9100"], "the same"),
        (["--printer-baud", "1234"], "no speed of a serial port"),
        (["--printer", "lp0"], "is no printer: write HOST:PORT"),
        (["--listen", "nowhere"], "is no way in: write HOST:PORT"),
    ],
)
def test_a_printer_it_cannot_use_ends_with_2_and_says_why(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--listen", "127.0.0.1:9100", "--printer", "10.0.0.5:9100", "--spool", "x", *arguments])

    assert ended.value.code == 2
    assert told in " ".join(capsys.readouterr().err.split())
