"""How much later a receipt's cut reaches the printer through the relay, its spool on a real disk.

A till prints receipts over one connection, directly and through a relay process in turns, and asks for
the paper's state right after each cut; the answer ends the measurement. Till and printer run in this process, and the
relay, where this user may, a little before other programs, as its systemd unit lets it.

What the relay adds ends with the disk and the machine: the `raw_sync_…` figures are that of the same disk in the same
minutes, alone, and the `machine_gap_…` figures say how much later than it asked to a process that sleeps gets a
processor then. A cut waits for half a dozen of such wakings, in three threads. On a machine that does other work too,
`cpu_us_per_job` tells more than a latency does.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import suppress
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from agent.demo.pos import Article, Item, ReceiptSpec, Shop, compose_fiscal_receipt
from agent.demo.printer import VirtualPrinter
from drivers.receipts.spool_source import SpoolPosition, SpoolReader
from tests.bench.machine import disk_folder, measured
from tests.bench.report import Report, rounded

ROUNDS = 100
JOBS_PER_ROUND = 100
SYNCS_PER_ROUND = 20
NAPS_PER_ROUND = 20
NAP_S = 0.001
RECORD_BYTES = 5000
# As in installer/systemd/tillside-relay.service.
NICE = -5
ASK = b"\x10\x04\x04"
SHOP = Shop(
    store="12",
    register="3",
    tin="109876543",
    company="KOD ČESME DOO",
    location_id="1204567",
    location="Kod Česme",
    address="ГОСПОДАР ЈЕВРЕМОВА 21",
    city="Београд-Стари Град",
    fiscal_device="TQ7XK2RD",
)


def run() -> Report:
    with disk_folder() as folder:
        figures = asyncio.run(_measure(folder / "spool"))
        return Report(name="relay", figures=figures, machine=measured(folder))


async def _measure(spool: Path) -> dict[str, int | float | str]:
    printer = VirtualPrinter()
    await printer.switch_on()
    relay = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent.cli.entry", "relay", "--json"),
        *("--listen", "127.0.0.1:0", "--printer", printer.address, "--spool", str(spool)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert relay.stdout is not None
        ready = msgspec.json.decode(await relay.stdout.readline())
        nice = _preferred(relay.pid)
        cpu_before_us = _cpu_us(relay.pid)
        direct: list[float] = []
        relayed: list[float] = []
        answers_changed = 0
        synced: list[float] = []
        gaps: list[float] = []
        for number in range(ROUNDS):
            took, answers = await _print(printer.address, number)
            direct += took
            took, answers_relayed = await _print(ready["listening"], number)
            relayed += took
            answers_changed += _differing(answers, answers_relayed)
            synced += _syncs(spool.parent / "raw")
            gaps += _gaps()
        rss_mb, cpu_us = _rss_mb(relay.pid), _cpu_us(relay.pid) - cpu_before_us
    finally:
        relay.terminate()
        await relay.wait()
        await printer.switch_off()
    return {
        "added_p50_ms": rounded(_quantile(relayed, 0.50) - _quantile(direct, 0.50)),
        "added_p99_ms": rounded(_quantile(relayed, 0.99) - _quantile(direct, 0.99)),
        "jobs": _jobs(spool),
        "bytes_changed": _changed(printer.connections) + answers_changed,
        "rss_mb": rounded(rss_mb),
        "cpu_us_per_job": rounded(cpu_us / len(relayed)),
        "nice": nice,
        "raw_sync_p50_ms": rounded(_quantile(synced, 0.50)),
        "raw_sync_p99_ms": rounded(_quantile(synced, 0.99)),
        "machine_gap_p50_ms": rounded(_quantile(gaps, 0.50)),
        "machine_gap_p99_ms": rounded(_quantile(gaps, 0.99)),
    }


async def _print(address: str, number: int) -> tuple[list[float], bytearray]:
    """Milliseconds from sending a receipt to the printer's answer behind its cut, for each of a round; the answers."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    took = []
    answers = bytearray()
    for index in range(JOBS_PER_ROUND):
        job = _receipt(number * JOBS_PER_ROUND + index)
        started = time.perf_counter()
        writer.write(job + ASK)
        answers += await reader.readexactly(1)
        took.append((time.perf_counter() - started) * 1000)
    writer.close()
    await writer.wait_closed()
    return took, answers


def _syncs(path: Path) -> list[float]:
    """Milliseconds that the disk alone takes for a job, in between: what of the figures is not the relay's."""
    took = []
    with path.open("ab", buffering=0) as file:
        for _ in range(SYNCS_PER_ROUND):
            file.write(bytes(RECORD_BYTES))
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - started) * 1000)
    return took


def _gaps() -> list[float]:
    """Milliseconds that this process wakes later than it asked to: what of the figures is the machine's."""
    late = []
    for _ in range(NAPS_PER_ROUND):
        started = time.perf_counter()
        time.sleep(NAP_S)
        late.append((time.perf_counter() - started - NAP_S) * 1000)
    return late


def _receipt(number: int) -> bytes:
    items = tuple(
        Item(article=Article(name=f"ARTIKAL {number} {line}", price_minor=9_999 + 100 * line)) for line in range(12)
    )
    at = datetime(2026, 11, 22, 9, 0, tzinfo=ZoneInfo("Europe/Belgrade"))
    spec = ReceiptSpec(number=number, number_of_kind=number, items=items, issued_at=at, cashier="Savka")
    return compose_fiscal_receipt(spec, SHOP)


def _jobs(spool: Path) -> int:
    """Jobs in the spool that are whole and in their order."""
    reader = SpoolReader(spool)
    position, count = SpoolPosition(), 0
    while jobs := reader.read_after(position):
        position = jobs[-1].position
        count += sum(job.damage is None for job in jobs)
    return count


def _changed(connections: list[bytearray]) -> int:
    """Bytes that differ between a round printed directly and the same one through the relay."""
    return sum(_differing(direct, relayed) for direct, relayed in list(pairwise(connections))[::2])


def _differing(direct: bytearray, relayed: bytearray) -> int:
    same_place = sum(one != other for one, other in zip(direct, relayed, strict=False))
    return same_place + abs(len(direct) - len(relayed))


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]


def _rss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def _cpu_us(pid: int) -> float:
    """CPU time of a process so far, its own and the system's for it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") * 1e6


def _preferred(pid: int) -> int:
    """Run the relay as its unit does, if this user may. Returns its niceness."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, pid, NICE)
    return os.getpriority(os.PRIO_PROCESS, pid)
