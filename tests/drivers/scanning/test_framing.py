"""Where scans end, whole, in pieces and in noise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.scanning.framing import MAX_FRAME_BYTES, REMEDIES, Dropped, ScanFrame, ScanFramer
from loyalty.instant import Instant

BOOT_TIME = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def at(ms: float) -> Instant:
    return Instant(wall=BOOT_TIME + timedelta(milliseconds=ms), boot="b", monotonic_ns=int(ms * 1e6))


def frames_of(framer: ScanFramer, *parts: bytes) -> list[bytes]:
    return [frame.data for part in parts for frame in framer.feed(part, at(0))]


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n", b"\t", b"\r\n\r\n"])
def test_any_usual_line_end_ends_a_scan(end: bytes) -> None:
    assert frames_of(ScanFramer(), b"one" + end + b"two" + end) == [b"one", b"two"]


def test_separators_stay_inside_a_scan() -> None:
    assert frames_of(ScanFramer(), b"]C10101\x1d21X\r") == [b"]C10101\x1d21X"]


def test_a_set_suffix_leaves_line_ends_in_the_scan() -> None:
    framer = ScanFramer(suffix=b"\r\x03")

    assert frames_of(framer, b"BEGIN:VCARD\r\nEND\r", b"\x03", b"next\r\x03") == [b"BEGIN:VCARD\r\nEND", b"next"]


def test_a_prefix_is_taken_off_and_a_scan_without_it_is_dropped() -> None:
    framer = ScanFramer(prefix=b"\x02")

    assert frames_of(framer, b"\x02one\r", b"torn\r", b"\x02two\r\x02\r") == [b"one", b"two"]
    assert framer.dropped == {"prefix_missing": 1}


def test_the_longest_scan_passes_and_a_longer_one_is_dropped_once() -> None:
    framer = ScanFramer()

    assert frames_of(framer, b"x" * MAX_FRAME_BYTES + b"\r") == [b"x" * MAX_FRAME_BYTES]
    assert frames_of(framer, b"x" * (MAX_FRAME_BYTES + 1) + b"\r", b"next\r") == [b"next"]
    assert framer.dropped == {"too_long": 1}


def test_endless_noise_is_dropped_once_and_takes_no_memory() -> None:
    framer = ScanFramer(suffix=b"\r\n")

    assert frames_of(framer, *[b"x" * 4096] * 100, b"x\r", b"\nnext\r\n") == [b"next"]
    assert framer.dropped == {"too_long": 1}


def test_a_scan_without_its_suffix_is_dropped_after_the_idle_time_and_does_not_spoil_the_next() -> None:
    framer = ScanFramer(idle_ms=100)
    assert framer.feed(b"torn", at(0)) == []
    assert framer.idle(at(99)) == []

    assert framer.idle(at(100)) == []

    assert framer.dropped == {"suffix_missing": 1}
    assert [frame.data for frame in framer.feed(b"whole\r", at(101))] == [b"whole"]


def test_without_a_suffix_silence_ends_a_scan_at_the_instant_of_its_last_byte() -> None:
    framer = ScanFramer(suffix=b"", idle_ms=50)
    framer.feed(b"12", at(0))
    framer.feed(b"34\r", at(30))
    assert framer.idle_due_in_s(at(40)) == pytest.approx(0.04)
    assert framer.idle(at(79)) == []

    (frame,) = framer.idle(at(80))

    assert frame.data == b"1234\r"
    assert frame.at == at(30)
    assert framer.idle_due_in_s(at(80)) is None


def test_bytes_after_the_silence_complete_it_when_no_timer_did() -> None:
    framer = ScanFramer(suffix=b"", idle_ms=50)
    framer.feed(b"one", at(0))

    (frame,) = framer.feed(b"two", at(60))

    assert frame.data == b"one"
    assert frame.at == at(0)


def test_noise_without_a_suffix_is_dropped_until_silence() -> None:
    framer = ScanFramer(suffix=b"", idle_ms=50)
    for _ in range(10):
        assert framer.feed(b"x" * 4096, at(0)) == []
    assert framer.idle(at(50)) == []
    framer.feed(b"next", at(60))

    assert [frame.data for frame in framer.idle(at(110))] == [b"next"]
    assert framer.dropped == {"too_long": 1}


def test_a_frame_carries_the_instant_at_which_it_was_complete() -> None:
    framer = ScanFramer()
    framer.feed(b"o", at(0))

    (frame,) = framer.feed(b"ne\rtw", at(10))

    assert frame.at == at(10)


def test_every_reason_has_a_remedy() -> None:
    assert set(REMEDIES) == set(get_args(Dropped))


LIMIT = 20
# Bytes that are rich in prefixes, suffixes and their halves, with runs around the limit.
STREAM = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.sampled_from([b"\r", b"\n", b"\r\n", b"\t", b"\x02", b"\x03", b"x" * LIMIT, b"x" * 3 * LIMIT]),
    ),
    max_size=12,
).map(b"".join)


@given(
    stream=STREAM,
    cuts=st.lists(st.integers(0, 200)),
    suffix=st.sampled_from([None, b"", b"\r", b"\r\n", b"\r\r\n"]),
    prefix=st.sampled_from([b"", b"\x02", b"ab"]),
)
def test_any_split_gives_the_same_frames(stream: bytes, cuts: list[int], suffix: bytes | None, prefix: bytes) -> None:
    edges = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    in_pieces = [stream[start:end] for start, end in pairwise(edges)]
    in_bytes = [bytes([byte]) for byte in stream]

    def outcome(parts: list[bytes]) -> tuple[list[ScanFrame], dict[str, int]]:
        framer = ScanFramer(prefix=prefix, suffix=suffix, max_bytes=LIMIT)
        return [frame for part in parts for frame in framer.feed(part, at(0))] + framer.idle(at(9999)), framer.dropped

    whole = outcome([stream])
    assert outcome(in_pieces) == whole
    assert outcome(in_bytes) == whole
    assert all(len(frame.data) <= LIMIT for frame in whole[0])
