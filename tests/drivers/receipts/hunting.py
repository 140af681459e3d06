"""Mutated jobs for a door to be hunted with: what it raises, what it says, and what it holds.

Most jobs are a few lines cut out of the captures, as damage is found at borders and not in the middle of a long job;
one in MANY is a whole capture. A module of its own, so that other processes can load it.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from drivers.receipts.decode import Decoded, decode
from drivers.receipts.port import DecodeOptions

CAPTURES = Path(__file__).parents[2] / "captures"
MANY = 1_000
SMALL_BYTES = (4, 48)
LOOK_EVERY = 500
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

ODD = (
    b"\x1b", b"\x1d", b"\x1c", b"\x10", b"\x1b@", b"\x1bt\x12", b"\x1d(k", b"\x1d(L\xff\xff", b"\x1dV", b"\x1dv0",
    b"\x1b*!", b"\x1b\x1dt", b"\x1bd\x02", b"\x1b&", b"\x1c&", b"\x00", b"\xff", b"\n", b"\r", b"\t", b"9" * 20,
    b"0,00", b"-", b"%", b" x ", b"TOTAL ", b"Receipt 1 ", "Укупан износ: ".encode("cp1251"), b"{", b"[", b"<br/>",
    b"&#x41;",     b"https://suf.purs.gov.rs/v/?vl=",
)  # fmt: skip
OPTIONS = tuple(
    DecodeOptions(format=name, code_page=page, profile=profile, time_zone="Europe/Belgrade", currency="RSD")
    for name, page, profile in (
        ("auto", None, None), ("auto", None, None), ("auto", "CP852", None), ("escpos", None, "TM-T88V"),
        ("star", None, None), ("purs-journal", None, None), ("text", "CP1251", None), ("hr-qr", None, None),
        ("json", None, None),
    )
)  # fmt: skip

Door = Callable[[bytes, DecodeOptions], Decoded]


@dataclass(slots=True, kw_only=True)
class Found:
    """What a hunt found: failures with their job, the bytes that memory grew by, and the slowest job."""

    failures: list[tuple[str, bytes]] = field(default_factory=list)
    grown_bytes: int = 0
    slowest_ms: float = 0.0
    receipts: int = 0


def captures() -> list[bytes]:
    return [path.read_bytes() for path in sorted(CAPTURES.iterdir()) if path.suffix in (".bin", ".txt")]


def mutated(chance: random.Random, documents: list[bytes]) -> bytes:
    whole = chance.choice(documents)
    if chance.randrange(MANY):
        at = chance.randrange(len(whole))
        whole = whole[at : at + chance.randint(*SMALL_BYTES)]
    job = bytearray(whole)
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(job) + 1)
        size = chance.randrange(1, 12)
        match chance.randrange(4):
            case 0:
                job[at : at + size] = b""
            case 1:
                job[at:at] = job[max(0, at - size) : at] * chance.randrange(1, 6)
            case 2:
                job[at : at + 1] = chance.randbytes(size)
            case _:
                job[at:at] = chance.choice(ODD)
    return bytes(job)


def hunt(door: Door, seed: str, jobs: int) -> Found:
    """Hands `jobs` mutated jobs to the door; the same `seed` makes the same ones."""
    chance, documents, found = random.Random(seed), captures(), Found()
    for document in documents:
        decode(document, OPTIONS[0])
    before = resident_bytes()
    for number in range(jobs):
        job, options = mutated(chance, documents), chance.choice(OPTIONS)
        started = time.process_time()
        try:
            decoded = door(job, options)
            found.receipts += len(decoded.receipts)
            check(decoded, job)
        except Exception as error:  # noqa: BLE001 - any error is what is hunted
            found.failures.append((f"{type(error).__name__}: {error}", job))
        found.slowest_ms = max(found.slowest_ms, (time.process_time() - started) * 1000)
        if number % LOOK_EVERY == 0:
            found.grown_bytes = max(found.grown_bytes, resident_bytes() - before)
    found.grown_bytes = max(found.grown_bytes, resident_bytes() - before)
    return found


def check(decoded: Decoded, job: bytes) -> None:
    """Raises where an answer says what cannot be."""
    ranges = [(each.start, each.end) for each in decoded.ignored]
    for start, end in [*ranges, *((each.start, each.end) for each in decoded.problems)]:
        if not 0 <= start <= end <= len(job):
            raise AssertionError(f"{start} to {end} is not within {len(job)} bytes")
    for problem in decoded.problems:
        if problem.code == "reader_failed":
            raise AssertionError(problem.detail)
    if decoded.receipts:
        msgspec.json.decode(msgspec.json.encode(decoded), type=Decoded)
    elif not (decoded.ignored or decoded.problems):
        raise AssertionError("nothing was said of it")


def resident_bytes() -> int:
    """What this process holds."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * PAGE_BYTES
