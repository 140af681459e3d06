"""Every byte goes to the printer once and in order; each job stands before the cut that ends it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from drivers.escpos.framing import EscposFramer, Frame
from drivers.relay.clock import Moment
from drivers.relay.passage import MAX_PROLOGUE_BYTES, Passage, Step
from drivers.relay.spool import Job

IDLE_MS = 2000
CUTS = [b"\x1dV\x00", b"\x1dV1", b"\x1dVB\x00", b"\x1dVA\x10", b"\x1bi", b"\x1bm"]
RASTER = b"\x1dv0\x00\x02\x00\x03\x00" + b"\x1dV\x00\x1bi"[:6].ljust(6, b"\x00")


def moment(ms: int = 0) -> Moment:
    start = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
    return Moment(wall=start + timedelta(milliseconds=ms), monotonic_ns=5_000_000_000 + ms * 1_000_000)


def passed(steps: Sequence[Step]) -> bytes:
    return b"".join(step for step in steps if isinstance(step, bytes))


def jobs(steps: Sequence[Step]) -> list[Job]:
    return [step for step in steps if isinstance(step, Job)]


def payloads(steps: Sequence[Step]) -> list[bytes]:
    return [job.payload for job in jobs(steps)]


@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_waits_until_its_job_is_durable(cut: bytes) -> None:
    passage = Passage(idle_ms=IDLE_MS)

    steps = passage.feed(b"\x1b@MLEKO 159,99\n" + cut + b"next", moment())

    assert steps[0] == b"\x1b@MLEKO 159,99\n"
    assert isinstance(steps[1], Job)
    assert (steps[1].payload, steps[1].ended_by) == (b"\x1b@MLEKO 159,99\n" + cut, "cut")
    assert steps[2] == cut + b"next"


@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_that_comes_byte_by_byte_waits_as_well(cut: bytes) -> None:
    passage = Passage(idle_ms=IDLE_MS)
    stream = b"HLEB\n" + cut

    gone = b""
    for index in range(len(stream) - 1):
        steps = passage.feed(stream[index : index + 1], moment(index))
        gone += passed(steps)
        assert jobs(steps) == []
    assert gone == b"HLEB\n", "a begun cut is held back"
    last = passage.feed(stream[-1:], moment(99))

    assert payloads(last) == [stream]
    assert passed(last) == cut
    assert isinstance(last[0], Job)


def test_bytes_go_as_they_come_when_they_are_no_begun_cut() -> None:
    passage = Passage(idle_ms=IDLE_MS)
    raster = b"\x1dv0\x00\x48\x00\xff\x00" + bytes(72 * 255)

    gone = [passed(passage.feed(raster[at : at + 1000], moment())) for at in range(0, len(raster), 1000)]

    assert b"".join(gone) == raster
    assert all(len(chunk) >= 300 for chunk in gone), "an unfinished picture is not held back"


def test_a_cut_inside_a_picture_is_a_picture() -> None:
    passage = Passage(idle_ms=IDLE_MS)

    steps = passage.feed(RASTER, moment())

    assert steps == [RASTER]
    assert passage.is_open


def test_several_jobs_in_one_chunk_come_out_in_order() -> None:
    passage = Passage(idle_ms=IDLE_MS)

    steps = passage.feed(b"one\x1bitwo\x1bithree", moment())
    steps += passage.end("close")

    assert payloads(steps) == [b"one\x1bi", b"two\x1bi", b"three"]
    assert [job.ended_by for job in jobs(steps)] == ["cut", "cut", "close"]
    assert passed(steps) == b"one\x1bitwo\x1bithree"


def test_a_second_cut_makes_no_second_job() -> None:
    passage = Passage(idle_ms=IDLE_MS)

    steps = passage.feed(b"one\x1bi\x1bd\x03\x1bi", moment())

    assert payloads(steps) == [b"one\x1bi"]


def test_a_job_without_a_cut_ends_when_the_pos_pauses() -> None:
    passage = Passage(idle_ms=IDLE_MS)
    passage.feed(b"no cutter here\n", moment(100))

    assert passage.idle_at_ns == moment(100 + IDLE_MS).monotonic_ns
    assert passage.idle(moment(IDLE_MS + 99)) == []
    steps = passage.idle(moment(IDLE_MS + 100))

    assert payloads(steps) == [b"no cutter here\n"]
    assert jobs(steps)[0].ended_by == "idle"
    assert jobs(steps)[0].captured == moment(100), "captured when it printed, not when the pause was over"
    assert passage.idle_at_ns is None


def test_a_begun_cut_is_let_go_when_nothing_follows() -> None:
    passage = Passage(idle_ms=IDLE_MS)
    first = passage.feed(b"text\x1d", moment())

    steps = passage.idle(moment(IDLE_MS))

    assert passed(first) == b"text"
    assert passed(steps) == b"\x1d"
    assert payloads(steps) == [b"text\x1d"]


def test_a_length_that_lies_costs_one_job_its_cut_and_no_more() -> None:
    passage = Passage(idle_ms=IDLE_MS)
    swallowed = passage.feed(b"one\n\x1d8L\xff\xff\xff\x7f two\x1bi", moment())

    steps = passage.idle(moment(IDLE_MS))
    after = passage.feed(b"three\x1bi", moment(IDLE_MS + 1))

    assert jobs(swallowed) == []
    assert payloads(steps) == [b"one\n\x1d8L\xff\xff\xff\x7f two\x1bi"]
    assert payloads(after) == [b"three\x1bi"]


def test_questions_about_the_printer_are_never_a_job() -> None:
    passage = Passage(idle_ms=IDLE_MS)

    for second in range(100):
        assert passage.feed(b"\x10\x04\x01\x10\x04\x04", moment(1000 * second)) == [b"\x10\x04\x01\x10\x04\x04"]
        assert passage.idle_at_ns is None
    assert passage.end("close") == []


def test_a_question_between_two_jobs_belongs_to_neither() -> None:
    passage = Passage(idle_ms=IDLE_MS)

    steps = passage.feed(b"\x10\x04\x01one\x1bi\x10\x04\x04two\x10\x04\x01\x1bi", moment())

    assert payloads(steps) == [b"one\x1bi", b"two\x10\x04\x01\x1bi"]
    assert passed(steps) == b"\x10\x04\x01one\x1bi\x10\x04\x04two\x10\x04\x01\x1bi"


def test_questions_do_not_keep_a_job_open() -> None:
    passage = Passage(idle_ms=IDLE_MS)
    passage.feed(b"no cutter here\n", moment(0))

    passage.feed(b"\x10\x04\x01", moment(1500))

    assert payloads(passage.idle(moment(IDLE_MS))) == [b"no cutter here\n"]


def test_setting_up_the_printer_belongs_to_the_next_job_however_late_it_comes() -> None:
    passage = Passage(idle_ms=IDLE_MS)
    passage.feed(b"\x1b@\x1bt\x2e", moment())

    assert passage.idle_at_ns is None
    steps = passage.feed(b"\xcc\xeb\xe5\xea\xee\x1bi", moment(60_000))

    assert payloads(steps) == [b"\x1b@\x1bt\x2e\xcc\xeb\xe5\xea\xee\x1bi"]


def test_what_styles_and_places_blanks_prints_nothing() -> None:
    passage = Passage(idle_ms=IDLE_MS)

    passage.feed(b"\x1b!\x38 \t\n\x1bE\x01\x1b$\x41\x42\r\n", moment())
    assert passage.idle_at_ns is None
    passage.feed(b"\x1d!\x41 .", moment())

    assert passage.idle_at_ns is not None


def test_what_comes_before_a_job_is_bounded() -> None:
    passage = Passage(idle_ms=IDLE_MS)
    for _ in range(MAX_PROLOGUE_BYTES):
        passage.feed(b"\x1b@\x1ba\x01", moment())

    (job,) = jobs(passage.feed(b"text\x1bi", moment()))

    assert len(job.payload) <= MAX_PROLOGUE_BYTES + 6
    assert not job.truncated


def test_an_oversized_job_prints_whole_and_is_kept_as_far_as_allowed() -> None:
    passage = Passage(idle_ms=IDLE_MS, max_job_bytes=1000)
    lines = b"x" * 999 + b"\n"

    steps = passage.feed(lines * 3 + b"\x1bi", moment())
    (job,) = jobs(steps)

    assert passed(steps) == lines * 3 + b"\x1bi"
    assert (job.payload, job.length, job.truncated) == (lines, 3002, True)
    (following,) = jobs(passage.feed(b"small\x1bi", moment()))
    assert not following.truncated


class FailingFraming:
    """Understands a stream up to a byte it cannot bear."""

    def __init__(self) -> None:
        self._framer = EscposFramer()

    def feed(self, data: bytes) -> Sequence[Frame]:
        if b"\xff" in data:
            raise IndexError("no such byte")
        return self._framer.feed(data)

    def finish(self) -> Sequence[Frame]:
        return self._framer.finish()


def test_a_fault_in_framing_makes_a_plain_pipe_that_still_keeps_jobs() -> None:
    passage = Passage(idle_ms=IDLE_MS, framing=FailingFraming())
    steps = passage.feed(b"before\x1d", moment())

    steps += passage.feed(b"V\x00 after \xff\x1bi more", moment())
    assert passage.fault == "IndexError: no such byte"
    assert passed(steps) == b"before\x1dV\x00 after \xff\x1bi more"
    steps += passage.idle(moment(IDLE_MS))
    steps += passage.feed(b"second\x1bi", moment(IDLE_MS + 1))
    steps += passage.end("close")

    assert passed(steps) == b"before\x1dV\x00 after \xff\x1bi moresecond\x1bi"
    assert payloads(steps) == [b"before\x1dV\x00 after \xff\x1bi more", b"second\x1bi"]
    assert [job.ended_by for job in jobs(steps)] == ["idle", "close"]


PIECES = [
    b"MLEKO 2,8% 159,99\n", b"\x1b@", b"\x1bt\x2e", b"\x1b", b"\x1d", b"\x1dV", b"\xff\x00\x10", RASTER,
    b"\x10\x04\x01", b"\x1bp\x00\x19\xfa", b"\x1d(k\x03\x001Q0", b"\x1dk\x04\x1bi\x1bi\x00", *CUTS,
]  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_no_split_changes_a_byte_or_lets_a_cut_go_first(seed: int) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    stream = b"".join(chance.choice(PIECES) for _ in range(60))
    points = sorted({0, len(stream), *(chance.randrange(len(stream)) for _ in range(chance.randrange(60)))})
    passage = Passage(idle_ms=IDLE_MS)

    steps: list[Step] = []
    for start, end in pairwise(points):
        steps += passage.feed(stream[start:end], moment())
    steps += passage.end("close")

    assert passed(steps) == stream
    for step, following in pairwise(steps):
        if isinstance(step, Job) and step.ended_by == "cut":
            assert isinstance(following, bytes)
            assert following.startswith(tuple(CUTS)), "right after its job, and not before"


@pytest.mark.parametrize("seed", range(30))
def test_the_same_jobs_come_out_however_a_stream_of_receipts_is_split(seed: int) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    receipts = [
        b"\x1b@"
        + bytes(chance.randrange(0x20, 0x7F) for _ in range(chance.randrange(5, 200)))
        + RASTER
        + chance.choice(CUTS)
        for _ in range(5)
    ]
    stream = b"".join(receipts)
    passage = Passage(idle_ms=IDLE_MS)

    kept: list[bytes] = []
    at = 0
    while at < len(stream):
        size = chance.randrange(1, 40)
        kept += payloads(passage.feed(stream[at : at + size], moment()))
        at += size

    assert kept == receipts
