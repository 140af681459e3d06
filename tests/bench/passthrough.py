"""How much later a scanner's code reaches the POS through the relay that shares the scanner with it.

A scanner sends codes to a POS over one terminal, and through a relay process over two, in turns; each tenth time a
member's code follows, which the POS must not get. Then the same with a scanner that sends no suffix: silence ends its
codes, and nothing is held longer than those. The scans are spooled on a real disk meanwhile.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

from msgspec import Struct

from drivers.receipts.spool_source import SpoolPosition, SpoolReader
from drivers.relay.rules_in_force import RULES_NAME
from tests.bench.machine import disk_folder, measured
from tests.bench.report import Report, rounded

CODES = 1_000
CODES_WITHOUT_SUFFIX = 200
SEED = 20261122
# Keeps codes apart that have no suffix; two scans of a hand are further apart.
PAUSE_S = 0.022
ANSWER_WITHIN_S = 5.0


class Run(Struct, frozen=True, kw_only=True):
    """What came of sending codes: milliseconds of each, directly and relayed."""

    direct: list[float]
    relayed: list[float]
    withheld: int
    kept: int
    bytes_changed: int
    rss_mb: float


def run() -> Report:
    with disk_folder() as folder:
        return Report(name="passthrough", figures=_figures(folder), machine=measured(folder))


def _figures(folder: Path) -> dict[str, int | float | str]:
    usual = _measure(folder / "usual", CODES, b"\r")
    silent = _measure(folder / "silent", CODES_WITHOUT_SUFFIX, b"", "--scanner-suffix", "")
    return {
        "added_p50_ms": rounded(_quantile(usual.relayed, 0.50) - _quantile(usual.direct, 0.50)),
        "added_p99_ms": rounded(_quantile(usual.relayed, 0.99) - _quantile(usual.direct, 0.99)),
        "without_suffix_added_p99_ms": rounded(_quantile(silent.relayed, 0.99) - _quantile(silent.direct, 0.99)),
        "codes": len(usual.relayed) + len(silent.relayed),
        "bytes_changed": usual.bytes_changed + silent.bytes_changed,
        "members": usual.withheld + silent.withheld,
        "members_kept": usual.kept + silent.kept,
        "rss_mb": rounded(max(usual.rss_mb, silent.rss_mb)),
    }


def _measure(folder: Path, codes: int, suffix: bytes, *options: str) -> Run:
    scans = folder / "scans"
    scans.mkdir(mode=0o700, parents=True)
    (scans / RULES_NAME).write_text(json.dumps({"rules": [{"name": "club", "prefixes": ["M"], "lengths": [9]}]}))
    chance = Random(SEED)
    direct: list[float] = []
    relayed: list[float] = []
    changed = members = 0
    with _terminal() as near, _terminal() as wired, _relay(folder, wired.name, *options) as relay:
        pos = os.open(folder / "pos", os.O_RDWR | os.O_NOCTTY)
        time.sleep(PAUSE_S)
        for number in range(codes):
            code = b"]E0%013d" % chance.randrange(10**13) + suffix
            direct.append(_passed(near.scanner, near.pos, code)[0])
            took, wrong = _passed(wired.scanner, pos, code)
            relayed.append(took)
            changed += wrong
            time.sleep(PAUSE_S)
            if number % 10 == 0:
                members += 1
                os.write(wired.scanner, b"]C0M%08d" % members + suffix)
                time.sleep(PAUSE_S)
        rss_mb = _rss_mb(relay.pid)
        os.set_blocking(pos, False)
        with suppress(BlockingIOError):
            changed += len(os.read(pos, 1000))
        os.close(pos)
    return Run(
        direct=direct, relayed=relayed, withheld=members, kept=_kept(scans), bytes_changed=changed, rss_mb=rss_mb
    )


class _Terminal:
    """A pseudo-terminal: `scanner` writes at one end, whoever opens `name` reads at the other, as `pos` does."""

    def __init__(self) -> None:
        self.scanner, self.pos = os.openpty()
        tty.setraw(self.pos)
        self.name = os.ttyname(self.pos)


@contextmanager
def _terminal() -> Iterator[_Terminal]:
    terminal = _Terminal()
    try:
        yield terminal
    finally:
        os.close(terminal.scanner)
        os.close(terminal.pos)


@contextmanager
def _relay(folder: Path, scanner: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    relay = subprocess.Popen(
        [
            *(sys.executable, "-m", "agent.cli.entry", "relay", "--json", "--scanner", scanner),
            *("--pos", f"pty:{folder / 'pos'}", "--scans", str(folder / "scans"), *options),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert relay.stdout is not None
        relay.stdout.readline()
        yield relay
    finally:
        relay.terminate()
        relay.wait()
        if relay.stdout is not None:
            relay.stdout.close()


def _passed(scanner: int, pos: int, code: bytes) -> tuple[float, int]:
    """Milliseconds from sending `code` to its last byte at the POS, and how many of its bytes were changed."""
    started = time.perf_counter()
    os.write(scanner, code)
    got = b""
    while len(got) < len(code):
        if not select.select([pos], [], [], ANSWER_WITHIN_S)[0]:
            raise TimeoutError(f"{len(code) - len(got)} bytes of a code did not reach the POS")
        got += os.read(pos, 1000)
    took = (time.perf_counter() - started) * 1000
    return took, sum(one != other for one, other in zip(code, got, strict=False)) + len(got) - len(code)


def _kept(scans: Path) -> int:
    reader = SpoolReader(scans)
    position, count = SpoolPosition(), 0
    while jobs := reader.read_after(position):
        position = jobs[-1].position
        count += sum(job.payload.startswith(b"]C0M") for job in jobs)
    return count


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]


def _rss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
