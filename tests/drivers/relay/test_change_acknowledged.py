"""What the agent has read of a spool can be written anew in its place; what is still to be read is never touched."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from drivers.relay.clock import Moment
from drivers.relay.spool import (
    ACKNOWLEDGED_NAME,
    Job,
    Origin,
    SpoolWriter,
    change_acknowledged,
    encode_record,
    read_record,
)

CARD, STARS = b"TS-77001", b"********"


def record() -> bytes:
    moment = Moment(wall=datetime(2026, 11, 22, 9, 0, tzinfo=UTC), monotonic_ns=1)
    job = Job(payload=b"CARD TS-77001\n", length=14, ended_by="cut", captured=moment)
    return encode_record(job, Origin(register="1", connection="1", boot="b"), late=False)


def test_only_what_was_read_is_changed_while_the_relay_writes_on(tmp_path: Path) -> None:
    # Given a spool of which the first job was read
    one = record()
    writer = SpoolWriter(tmp_path, cap_bytes=1 << 20)
    writer.keep([one, one])
    (segment,) = tmp_path.glob("*.spool")
    said = {"segment": int(segment.stem), "offset": len(one)}
    (tmp_path / ACKNOWLEDGED_NAME).write_text(json.dumps(said))
    # When what was read is changed, and the relay goes on
    change_acknowledged(tmp_path, lambda raw: raw.replace(CARD, STARS))
    writer.keep([one])
    writer.close()
    # Then the first job is without it, and the others are whole
    after = segment.read_bytes()
    assert (after.count(CARD), after.count(STARS)) == (2, 1)
    assert after[: len(one)].count(STARS) == 1
    assert read_record(after, len(one)) is not None
    assert read_record(after, 2 * len(one)) is not None


def test_a_change_that_would_move_what_follows_is_not_made(tmp_path: Path) -> None:
    one = record()
    writer = SpoolWriter(tmp_path, cap_bytes=1 << 20)
    writer.keep([one])
    writer.close()
    (segment,) = tmp_path.glob("*.spool")
    (tmp_path / ACKNOWLEDGED_NAME).write_text(json.dumps({"segment": int(segment.stem), "offset": len(one)}))

    change_acknowledged(tmp_path, lambda raw: raw + b"x")
    change_acknowledged(tmp_path / "none", lambda raw: raw)

    assert segment.read_bytes() == one
