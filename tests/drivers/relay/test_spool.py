"""What is kept survives; what is torn is nothing; nothing unacknowledged is ever deleted."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from drivers.relay.clock import Moment
from drivers.relay.spool import (
    ACKNOWLEDGED_NAME,
    Job,
    Origin,
    SpoolFullError,
    SpoolLockedError,
    SpoolWriter,
    encode_record,
    next_record,
    read_record,
    segment_name,
    segment_numbers,
)

ORIGIN = Origin(register="3", connection="1-1", boot="boot")


def record(payload: bytes = b"MLEKO 159,99\n\x1bi") -> bytes:
    captured = Moment(wall=datetime(2026, 11, 22, 9, 0, tzinfo=UTC), monotonic_ns=7)
    return encode_record(
        Job(payload=payload, length=len(payload), ended_by="cut", captured=captured), ORIGIN, late=False
    )


def spool_writer(
    folder: Path, *, cap_bytes: int = 1_000_000, segment_bytes: int = 1000, sync: Callable[[int], None] = os.fdatasync
) -> SpoolWriter:
    return SpoolWriter(folder, cap_bytes=cap_bytes, segment_bytes=segment_bytes, sync=sync, now_s=lambda: 100.0)


def segments(folder: Path) -> list[bytes]:
    return [(folder / segment_name(number)).read_bytes() for number in segment_numbers(folder)]


def acknowledge(folder: Path, segment: int, offset: int) -> None:
    (folder / ACKNOWLEDGED_NAME).write_text(f'{{"segment":{segment},"offset":{offset}}}')


def test_records_are_read_back_whole() -> None:
    stream = record(b"one") + record(b"") + record(b"three" * 1000)

    found = []
    at = 0
    while (whole := read_record(stream, at)) is not None:
        found.append(whole.payload)
        at = whole.end

    assert found == [b"one", b"", b"three" * 1000]
    assert at == len(stream)


def test_a_torn_record_is_nothing_wherever_it_is_torn() -> None:
    whole = record()

    assert [read_record(whole[:size], 0) for size in range(len(whole))] == [None] * len(whole)
    assert read_record(whole, 0) is not None


@pytest.mark.parametrize("seed", range(20))
def test_a_changed_byte_makes_no_record_and_the_next_is_found(seed: int) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    first, second = record(bytes(chance.randrange(256) for _ in range(200))), record(b"second")
    damaged = bytearray(first + second)
    at = chance.randrange(len(first))
    damaged[at] ^= 1 << chance.randrange(8)

    assert read_record(bytes(damaged), 0) is None
    assert next_record(bytes(damaged), 0) == len(first)


def test_the_image_of_a_record_inside_a_damaged_job_is_not_taken_for_one() -> None:
    first, second = bytearray(record(b"a receipt that shows " + record(b"forged") + b" on paper")), record(b"second")
    first[-1] ^= 1

    assert next_record(bytes(first) + second, 0) == len(first)


def test_the_folder_and_its_files_are_for_the_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "var" / "spool"

    spool_writer(folder).keep([record()])

    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_batch_is_durable_with_one_sync(tmp_path: Path) -> None:
    synced: list[int] = []
    writer = spool_writer(tmp_path, segment_bytes=1_000_000, sync=synced.append)

    kept = writer.keep([record()] * 50)

    assert (kept.count, kept.error) == (50, None)
    assert len(synced) == 1
    assert segments(tmp_path) == [record() * 50]


def test_segments_end_at_their_size(tmp_path: Path) -> None:
    writer = spool_writer(tmp_path, segment_bytes=2 * len(record()))

    writer.keep([record()] * 5)

    assert segments(tmp_path) == [record() * 2, record() * 2, record()]


def test_a_restarted_writer_begins_a_new_segment_and_leaves_a_torn_one_alone(tmp_path: Path) -> None:
    writer = spool_writer(tmp_path)
    writer.keep([record()])
    writer.close()
    with (tmp_path / segment_name(segment_numbers(tmp_path)[-1])).open("ab") as torn:
        torn.write(record()[:30])

    spool_writer(tmp_path).keep([record(b"after")])

    assert segments(tmp_path) == [record() + record()[:30], record(b"after")]


def test_a_folder_emptied_by_hand_repeats_no_segment_number(tmp_path: Path) -> None:
    first = SpoolWriter(tmp_path, cap_bytes=1_000_000, now_s=lambda: 500.0)
    first.keep([record()])
    first.close()
    for path in tmp_path.iterdir():
        path.unlink()

    second = SpoolWriter(tmp_path, cap_bytes=1_000_000, now_s=lambda: 600.0)
    second.keep([record()])

    assert segment_numbers(tmp_path) == [600]


def test_a_clock_set_back_does_not_turn_the_order(tmp_path: Path) -> None:
    first = SpoolWriter(tmp_path, cap_bytes=1_000_000, now_s=lambda: 500.0)
    first.keep([record()])
    first.close()

    second = SpoolWriter(tmp_path, cap_bytes=1_000_000, now_s=lambda: 3.0)
    second.keep([record()])

    assert segment_numbers(tmp_path) == [500, 501]


def test_two_writers_cannot_have_one_folder(tmp_path: Path) -> None:
    spool_writer(tmp_path).open()

    with pytest.raises(SpoolLockedError, match="another relay"):
        spool_writer(tmp_path).open()


def test_acknowledged_segments_go_when_the_next_begins(tmp_path: Path) -> None:
    writer = spool_writer(tmp_path, segment_bytes=1)
    writer.keep([record(b"one"), record(b"two"), record(b"three")])
    first, second, third = segment_numbers(tmp_path)

    acknowledge(tmp_path, second, 5)
    writer.keep([record(b"four")])

    assert segment_numbers(tmp_path) == [second, third, third + 1]
    assert first not in segment_numbers(tmp_path)


def test_at_the_cap_nothing_unacknowledged_goes_and_the_writer_says_so(tmp_path: Path) -> None:
    writer = spool_writer(tmp_path, cap_bytes=4 * len(record()), segment_bytes=1)

    kept = writer.keep([record()] * 6)

    assert kept.count == 4
    assert isinstance(kept.error, SpoolFullError)
    assert "start the agent" in str(kept.error)
    assert segments(tmp_path) == [record()] * 4


def test_at_the_cap_acknowledged_jobs_make_room_even_in_the_newest_segment(tmp_path: Path) -> None:
    writer = spool_writer(tmp_path, cap_bytes=4 * len(record()), segment_bytes=1_000_000)
    writer.keep([record()] * 4)
    (number,) = segment_numbers(tmp_path)
    acknowledge(tmp_path, number, 4 * len(record()))

    kept = writer.keep([record(b"MLEKO 199,99\n\x1bi")])

    assert kept.error is None
    assert segments(tmp_path) == [record(b"MLEKO 199,99\n\x1bi")]
    assert segment_numbers(tmp_path) != [number]


@pytest.mark.parametrize("seed", range(20))
def test_under_its_cap_the_oldest_acknowledged_go_first_and_what_is_not_acknowledged_stays(
    seed: int, tmp_path: Path
) -> None:
    """An agent that is behind, by chance more or less, over many times what the cap holds."""
    print("seed", seed)
    chance = random.Random(seed)
    cap_bytes = 20 * len(record(b"%06d" % 0))
    kept: list[tuple[bytes, int, int]] = []  # each with the place after it
    acknowledged = refused = 0
    writer = spool_writer(tmp_path, cap_bytes=cap_bytes, segment_bytes=chance.randrange(1, 1000))
    for number in range(400):
        if chance.random() < 0.02:
            writer.close()
            writer = spool_writer(tmp_path, cap_bytes=cap_bytes, segment_bytes=chance.randrange(1, 1000))
        fresh = record(b"%06d" % number)
        if writer.keep([fresh]).error is None:
            newest = segment_numbers(tmp_path)[-1]
            kept.append((fresh, newest, (tmp_path / segment_name(newest)).stat().st_size))
        else:
            refused += 1
        if chance.random() < 0.3 and acknowledged < len(kept):
            acknowledged = chance.randrange(acknowledged, len(kept)) + 1
            acknowledge(tmp_path, *kept[acknowledged - 1][1:])

        there = b"".join(segments(tmp_path))
        all_kept = b"".join(each for each, _, _ in kept)
        assert len(there) <= cap_bytes
        assert all_kept.endswith(there), "what is there is the newest, whole and in order"
        assert len(there) >= sum(len(each) for each, _, _ in kept[acknowledged:])
    assert refused < 400


def test_an_unreadable_acknowledgement_deletes_nothing(tmp_path: Path) -> None:
    writer = spool_writer(tmp_path, segment_bytes=1)
    writer.keep([record()] * 2)

    (tmp_path / ACKNOWLEDGED_NAME).write_bytes(b'{"segment": nonsense')
    writer.keep([record()])

    assert len(segments(tmp_path)) == 3


def test_after_a_failed_sync_nothing_is_claimed_and_the_next_segment_is_used(tmp_path: Path) -> None:
    failing = [False, True, False]

    def sync(handle: int) -> None:
        if failing.pop(0):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.fdatasync(handle)

    writer = spool_writer(tmp_path, segment_bytes=1_000_000, sync=sync)
    writer.keep([record(b"one")])

    refused = writer.keep([record(b"two"), record(b"three")])
    again = writer.keep([record(b"two"), record(b"three")])

    assert refused.count == 0
    assert refused.error is not None
    assert refused.error.errno == errno.EIO
    assert again.error is None
    assert segments(tmp_path) == [record(b"one"), record(b"two") + record(b"three")]


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_write_cut_off_by_the_system_keeps_what_came_before_and_leaves_no_torn_record(tmp_path: Path) -> None:
    writer = spool_writer(tmp_path, segment_bytes=1_000_000)

    with file_size_limit(int(2.5 * len(record()))):
        kept = writer.keep([record()] * 4)
    again = writer.keep([record()] * 2)

    assert kept.count == 2
    assert kept.error is not None
    assert kept.error.errno == errno.EFBIG
    assert again.error is None
    assert segments(tmp_path) == [record() * 2, record() * 2]


def test_a_folder_that_is_no_folder_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    place = tmp_path / "spool"
    place.write_bytes(b"")
    writer = spool_writer(place)

    refused = writer.keep([record()])
    place.unlink()
    again = writer.keep([record()])

    assert refused.error is not None
    assert again.error is None
    assert segments(place) == [record()]
