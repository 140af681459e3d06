"""An erasure in spools: what was read loses what named the member; a spool that cannot be written holds it up."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.register import mask_spools
from drivers.relay.clock import Moment
from drivers.relay.spool import ACKNOWLEDGED_NAME, Job, Origin, SpoolWriter, encode_record
from sync.store.errors import StoreUnavailableError

CARD = frozenset({"TS77001"})


def spool_that_was_read(folder: Path) -> Path:
    """A spool whose one job was read; its segment."""
    moment = Moment(wall=datetime(2026, 11, 22, 9, 0, tzinfo=UTC), monotonic_ns=1)
    job = Job(payload=b"CARD TS-77001\n", length=14, ended_by="cut", captured=moment)
    writer = SpoolWriter(folder, cap_bytes=1 << 20)
    writer.keep([encode_record(job, Origin(register="1", connection="1", boot="b"), late=False)])
    writer.close()
    (segment,) = folder.glob("*.spool")
    said = {"segment": int(segment.stem), "offset": segment.stat().st_size}
    (folder / ACKNOWLEDGED_NAME).write_text(json.dumps(said))
    return segment


async def test_what_was_read_is_starred(tmp_path: Path) -> None:
    segment = spool_that_was_read(tmp_path)

    await mask_spools([tmp_path], CARD)

    assert b"CARD ********\n" in segment.read_bytes()


async def test_a_spool_that_cannot_be_written_is_named_with_the_remedy(tmp_path: Path) -> None:
    # Given a segment that is no file of its own any more, which is never written through
    segment = spool_that_was_read(tmp_path)
    elsewhere = segment.rename(tmp_path / "elsewhere")
    segment.symlink_to(elsewhere)

    with pytest.raises(StoreUnavailableError, match=rf"spool {tmp_path}.*read and write"):
        await mask_spools([tmp_path], CARD)
