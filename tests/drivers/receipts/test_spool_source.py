"""Jobs come out whole, in order and once from any position; damage comes out as damage."""

from __future__ import annotations

import asyncio
import os
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from drivers.receipts.spool_source import (
    MAX_JOBS_PER_READ,
    WINDOW_BYTES,
    SpooledJob,
    SpoolPosition,
    SpoolReader,
)
from drivers.relay.clock import Moment
from drivers.relay.spool import (
    MAX_JOB_BYTES,
    Job,
    Origin,
    SpoolWriter,
    encode_record,
    read_acknowledged,
    segment_name,
    segment_numbers,
)
from loyalty.instant import Instant

AT = datetime(2026, 11, 22, 9, 7, 14, 250_000, tzinfo=UTC)
START = SpoolPosition()
WAIT_S = 20.0


def record(payload: bytes, *, length: int | None = None, late: bool = False) -> bytes:
    job = Job(
        payload=payload,
        length=len(payload) if length is None else length,
        ended_by="cut",
        captured=Moment(wall=AT, monotonic_ns=123),
    )
    return encode_record(job, Origin(register="3", connection="77-1", boot="boot"), late=late)


def writer(folder: Path, *, segment_bytes: int = 1_000_000) -> SpoolWriter:
    return SpoolWriter(folder, cap_bytes=100_000_000, segment_bytes=segment_bytes, now_s=lambda: 1.0)


def put(folder: Path, number: int, content: bytes) -> None:
    (folder / segment_name(number)).write_bytes(content)


def read_all(folder: Path, position: SpoolPosition = START) -> list[SpooledJob]:
    reader = SpoolReader(folder)
    jobs: list[SpooledJob] = []
    while more := reader.read_after(jobs[-1].position if jobs else position):
        jobs += more
    return jobs


def payloads(jobs: list[SpooledJob]) -> list[bytes]:
    return [job.payload for job in jobs if job.damage is None]


def test_a_job_comes_out_as_it_was_kept(tmp_path: Path) -> None:
    writer(tmp_path).keep([record(b"MLEKO\x1bi", late=True)])

    (job,) = read_all(tmp_path)

    assert job == SpooledJob(
        position=SpoolPosition(segment=1, offset=len(record(b"MLEKO\x1bi", late=True))),
        payload=b"MLEKO\x1bi",
        captured=Instant(wall=AT, boot="boot", monotonic_ns=123),
        register="3",
        ended_by="cut",
        connection="77-1",
        late=True,
    )


def test_every_position_resumes_right_after_its_job(tmp_path: Path) -> None:
    writer(tmp_path, segment_bytes=600).keep([record(b"job %d" % number) for number in range(20)])
    jobs = read_all(tmp_path)

    assert len(segment_numbers(tmp_path)) > 3
    for index, job in enumerate(jobs):
        assert read_all(tmp_path, job.position) == jobs[index + 1 :]


def test_one_call_brings_a_bounded_number(tmp_path: Path) -> None:
    writer(tmp_path).keep([record(b"x")] * (MAX_JOBS_PER_READ + 10))
    reader = SpoolReader(tmp_path)

    first = reader.read_after(START)
    second = reader.read_after(first[-1].position)

    assert (len(first), len(second)) == (MAX_JOBS_PER_READ, 10)


@pytest.mark.parametrize("size", [0, 1, 19, 20, 60, 150])
def test_a_record_being_written_is_waited_for(size: int, tmp_path: Path) -> None:
    whole = record(b"one")
    put(tmp_path, 5, whole + record(b"two")[:size])

    before = read_all(tmp_path)
    put(tmp_path, 5, whole + record(b"two"))
    after = read_all(tmp_path, before[-1].position)

    assert payloads(before) == [b"one"]
    assert payloads(after) == [b"two"]


def test_a_torn_end_is_damage_once_the_relay_has_started_anew(tmp_path: Path) -> None:
    torn = record(b"torn by a power cut")[:-4]
    put(tmp_path, 5, record(b"one") + torn)
    put(tmp_path, 6, record(b"two"))

    one, damaged, two = read_all(tmp_path)

    assert (one.payload, two.payload) == (b"one", b"two")
    assert damaged.damage is not None
    assert (damaged.damage.start, damaged.damage.end) == (len(record(b"one")), len(record(b"one")) + len(torn))
    assert damaged.payload == torn
    assert read_all(tmp_path, damaged.position) == [two]


@pytest.mark.parametrize("seed", range(10))
def test_a_damaged_record_is_set_aside_with_its_bytes_and_the_others_come(seed: int, tmp_path: Path) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    records = [record(b"job %d " % number + chance.randbytes(chance.randrange(300))) for number in range(6)]
    victim = chance.randrange(6)
    damaged = bytearray(records[victim])
    damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    put(tmp_path, 5, b"".join((*records[:victim], bytes(damaged), *records[victim + 1 :])))
    put(tmp_path, 6, record(b"last"))

    jobs = read_all(tmp_path)

    found = [job.payload for job in jobs if job.damage]
    assert found == [bytes(damaged)]
    assert len(payloads(jobs)) == 6
    assert jobs[victim].damage is not None


def test_damage_longer_than_the_window_is_passed_over(tmp_path: Path) -> None:
    noise = bytes(3 * WINDOW_BYTES)
    put(tmp_path, 5, record(b"one") + noise + record(b"two"))
    put(tmp_path, 6, b"")

    jobs = read_all(tmp_path)

    assert payloads(jobs) == [b"one", b"two"]
    assert b"".join(job.payload for job in jobs if job.damage) == noise


def test_the_largest_jobs_cross_windows_unharmed(tmp_path: Path) -> None:
    large = bytes(range(256)) * (MAX_JOB_BYTES // 256)
    put(tmp_path, 5, b"".join(record(large[: MAX_JOB_BYTES - number]) for number in range(5)))

    assert [len(payload) for payload in payloads(read_all(tmp_path))] == [MAX_JOB_BYTES - n for n in range(5)]


def test_a_record_of_a_later_form_is_set_aside(tmp_path: Path) -> None:
    later = bytearray(record(b"unknown"))
    later[4] = 9
    put(tmp_path, 5, bytes(later) + record(b"known"))

    jobs = read_all(tmp_path)

    assert payloads(jobs) == [b"known"]
    assert jobs[0].payload == bytes(later)


def test_a_truncated_job_says_so(tmp_path: Path) -> None:
    put(tmp_path, 5, record(b"head", length=9_000_000))

    (job,) = read_all(tmp_path)

    assert job.truncated


def test_nothing_but_plain_segment_files_is_opened(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(record(b"not from the spool"))
    spool = tmp_path / "spool"
    spool.mkdir()
    os.mkfifo(spool / segment_name(1))
    (spool / segment_name(2)).symlink_to(outside)
    (spool / segment_name(3)).mkdir()
    (spool / "9.spool").write_bytes(record(b"misnamed"))
    (spool / f"{segment_name(4)}.part").write_bytes(record(b"being copied"))
    put(spool, 7, record(b"a job"))

    assert payloads(read_all(spool)) == [b"a job"]


def test_a_deleted_segment_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path, 8, record(b"later"))

    assert payloads(read_all(tmp_path, SpoolPosition(segment=5, offset=100))) == [b"later"]


def test_a_position_beyond_what_the_disk_kept_goes_on_with_the_next_segment(tmp_path: Path) -> None:
    put(tmp_path, 5, record(b"one"))
    put(tmp_path, 6, record(b"two"))

    assert payloads(read_all(tmp_path, SpoolPosition(segment=5, offset=9999))) == [b"two"]


def test_a_spool_that_was_replaced_is_read_from_its_beginning(tmp_path: Path) -> None:
    put(tmp_path, 2, record(b"fresh"))

    assert payloads(read_all(tmp_path, SpoolPosition(segment=900, offset=10))) == [b"fresh"]


def test_what_is_acknowledged_is_what_the_relay_reads(tmp_path: Path) -> None:
    reader = SpoolReader(tmp_path)

    reader.acknowledge(SpoolPosition(segment=1_795_345_120, offset=123_456))
    assert read_acknowledged(tmp_path) == (1_795_345_120, 123_456)
    reader.acknowledge(SpoolPosition(segment=1_795_345_121, offset=7))

    assert read_acknowledged(tmp_path) == (1_795_345_121, 7)
    assert [path.name for path in tmp_path.iterdir()] == ["acknowledged"]


def test_acknowledging_works_where_no_new_file_can_be_made(tmp_path: Path) -> None:
    reader = SpoolReader(tmp_path)
    reader.acknowledge(SpoolPosition(segment=1, offset=2))
    (tmp_path / "acknowledged.new").mkdir()  # stands for a disk that takes no new file

    reader.acknowledge(SpoolPosition(segment=3, offset=4))

    assert read_acknowledged(tmp_path) == (3, 4)


async def test_it_wakes_when_a_job_is_kept(tmp_path: Path) -> None:
    spool = writer(tmp_path)
    spool.keep([record(b"one")])
    reader = SpoolReader(tmp_path)
    (first,) = reader.read_after(START)

    waiting = asyncio.create_task(reader.changed())
    await asyncio.sleep(0)
    assert not waiting.done()
    await asyncio.to_thread(spool.keep, [record(b"two")])
    await asyncio.wait_for(waiting, WAIT_S)

    assert payloads(reader.read_after(first.position)) == [b"two"]
    reader.close()


async def test_a_job_kept_between_reading_and_waiting_is_not_slept_over(tmp_path: Path) -> None:
    spool = writer(tmp_path)
    reader = SpoolReader(tmp_path)
    assert reader.read_after(START) == []
    spool.keep([record(b"one")])

    await asyncio.wait_for(reader.changed(), WAIT_S)

    assert payloads(reader.read_after(START)) == [b"one"]
    reader.close()


async def test_a_folder_that_does_not_exist_yet_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "later" / "spool"
    reader = SpoolReader(folder)
    assert reader.read_after(START) == []

    waiting = asyncio.create_task(reader.changed())
    await asyncio.sleep(0)
    await asyncio.to_thread(writer(folder).keep, [record(b"one")])
    await asyncio.wait_for(waiting, WAIT_S)

    assert payloads(reader.read_after(START)) == [b"one"]
    reader.close()


async def test_the_relays_other_files_wake_nobody(tmp_path: Path) -> None:
    spool = writer(tmp_path)
    spool.keep([record(b"one")])
    reader = SpoolReader(tmp_path)
    reader.read_after(START)
    waiting = asyncio.create_task(reader.changed())
    await asyncio.sleep(0)

    for _ in range(3):
        (tmp_path / "status.json").write_text("{}")
        await asyncio.sleep(0.005)
    assert not waiting.done()
    waiting.cancel()
    reader.close()
