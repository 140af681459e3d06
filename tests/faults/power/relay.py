"""A relay's spool that is written, for a disk that is watched: it says what it tries and what is spooled.

`python -m tests.faults.power.relay FOLDER JOBS`
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from drivers.relay.clock import Moment
from drivers.relay.spool import Job, Origin, SpoolWriter, encode_record

# Small, so that segments end and begin among the cuts.
SEGMENT_BYTES = 40_000
ORIGIN = Origin(register="1", connection="c", boot="boot-1")
CAPTURED = Moment(wall=datetime(2026, 11, 22, 12, tzinfo=UTC), monotonic_ns=1)


def record(number: int) -> bytes:
    """A job of some size, told by its first word."""
    payload = f"{number} ".encode() + Random(number).randbytes(number * 37 % 3_000)
    return encode_record(
        Job(payload=payload, length=len(payload), ended_by="cut", captured=CAPTURED), ORIGIN, late=False
    )


def main(folder: Path, jobs: int) -> None:
    writer = SpoolWriter(folder, cap_bytes=100_000_000, segment_bytes=SEGMENT_BYTES)
    writer.open()
    number = 0
    while number < jobs:
        batch = range(number, min(jobs, number + 1 + number % 3))
        for each in batch:
            os.write(1, f"try {each}\n".encode())
        kept = writer.keep([record(each) for each in batch])
        for each in batch[: kept.count]:
            os.write(1, f"kept {each}\n".encode())
        number = batch[-1] + 1
    writer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
