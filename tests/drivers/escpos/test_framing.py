"""Frames are the same however a stream is split, and binary payload is never read as commands."""

from __future__ import annotations

import random
import struct
import tracemalloc
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.escpos.framing import MAX_KEPT_BYTES, EscposFramer, Frame

CORPUS = Path(__file__).parents[4] / "shared" / "corpora" / "escpos"

# Payload that would cut the paper if it were read as commands.
TRAP = b"\x1dV\x00\x1bi\x1bm"


def framed(chunks: Iterable[bytes]) -> list[Frame]:
    """All frames, neighbouring text runs joined as consumers join them."""
    framer = EscposFramer()
    frames = [frame for chunk in chunks for frame in framer.feed(chunk)]
    frames += framer.finish()
    joined: list[Frame] = []
    for frame in frames:
        if joined and joined[-1].kind == frame.kind == "text":
            joined[-1] = joined[-1]._replace(end=frame.end, data=joined[-1].data + frame.data)
        else:
            joined.append(frame)
    return joined


def bytewise(data: bytes) -> list[bytes]:
    return [data[index : index + 1] for index in range(len(data))]


WHOLE_COMMANDS = [
    ("ESC @", b"\x1b@"),
    ("ESC !", b"\x1b!\x38"),
    ("ESC E", b"\x1bE\x1b"),
    ("ESC a", b"\x1ba\x01"),
    ("ESC t", b"\x1bt\x12"),
    ("ESC R", b"\x1bR\x0e"),
    ("ESC d", b"\x1bd\x1d"),
    ("ESC J", b"\x1bJ\x18"),
    ("ESC p", b"\x1bp\x00\x1b\x1d"),
    ("ESC $", b"\x1b$\x1b\x1d"),
    ("ESC W", b"\x1bW" + TRAP + b"\x00"),
    ("ESC D", b"\x1bD\x08\x10\x18\x1b\x1d\x00"),
    ("ESC D", b"\x1bD\x00"),
    ("ESC *", b"\x1b*\x00\x08\x00" + TRAP + b"\x00"),
    ("ESC *", b"\x1b*\x21\x03\x00" + TRAP + b"\x1b\x1d"),
    ("ESC i", b"\x1bi"),
    ("ESC m", b"\x1bm"),
    ("ESC c", b"\x1bc3\x1d"),
    ("ESC ( A", b"\x1b(A\x05\x00\x61" + TRAP[:4]),
    ("ESC Z", b"\x1bZ\x00\x02\x06\x07\x00" + TRAP),
    ("GS V", b"\x1dV\x00"),
    ("GS V", b"\x1dV1"),
    ("GS V", b"\x1dVA\x1b"),
    ("GS V", b"\x1dVb\x1b"),
    ("GS V", b"\x1dVh\x1b"),
    ("GS k", b"\x1dk\x02400638133393\x00"),
    ("GS k", b"\x1dk\x49\x07" + TRAP),
    ("GS k", b"\x1dk\x61\x01\x02\x07\x00" + TRAP),
    ("GS ( k", b"\x1d(k" + struct.pack("<H", 3 + len(TRAP)) + b"1P0" + TRAP),
    ("GS ( L", b"\x1d(L" + struct.pack("<H", 10 + len(TRAP)) + b"0p0\x01\x011\x08\x00\x07\x00" + TRAP),
    ("GS 8 L", b"\x1d8L" + struct.pack("<I", 10 + len(TRAP)) + b"0p0\x01\x011\x08\x00\x07\x00" + TRAP),
    ("GS v", b"\x1dv0\x00\x01\x00\x07\x00" + TRAP),
    ("GS Q", b"\x1dQ0\x00\x07\x00\x01\x00" + TRAP),
    ("GS *", b"\x1d*\x01\x01" + TRAP + b"\x00"),
    ("GS C", b"\x1dC0\x05\x00"),
    ("GS C", b"\x1dC;1;99;1;1;5;"),
    ("GS D", b"\x1dD0C0\x20\x2001BM" + struct.pack("<I", 6 + len(TRAP)) + TRAP),
    ("FS .", b"\x1c."),
    ("FS p", b"\x1cp\x01\x00"),
    ("FS 2", b"\x1c2\x77\x21" + TRAP * 10 + b"ab"),
    ("FS g", b"\x1cg1\x00\x00\x00\x00\x00\x07\x00" + TRAP),
    ("FS g", b"\x1cg2\x00\x00\x00\x00\x00\x07\x00"),
    ("FS ( C", b"\x1c(C\x02\x00\x30\x02"),
    ("DLE EOT", b"\x10\x04\x01"),
    ("DLE EOT", b"\x10\x04\x08\x03"),
    ("DLE ENQ", b"\x10\x05\x01"),
    ("DLE DC4", b"\x10\x14\x01\x00\x01"),
    ("DLE DC4", b"\x10\x14\x08\x01\x03\x14\x01\x06\x02\x08"),
    ("FF", b"\x0c"),
    ("CAN", b"\x18"),
]


@pytest.mark.parametrize(("name", "command"), WHOLE_COMMANDS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_command_is_framed_whole_between_texts(name: str, command: bytes) -> None:
    stream = b"before" + command + b"after"
    for chunks in ([stream], bytewise(stream)):
        frames = framed(chunks)
        assert [(frame.kind, frame.name, frame.data) for frame in frames] == [
            ("text", "", b"before"),
            ("command", name, command),
            ("text", "", b"after"),
        ]
        assert [(frame.start, frame.end) for frame in frames] == [
            (0, 6),
            (6, 6 + len(command)),
            (6 + len(command), len(stream)),
        ]


@pytest.mark.parametrize(
    "command", [b"\x1dV\x00", b"\x1dV0", b"\x1dVB\x00", b"\x1dVa\x10", b"\x1dVg\x00", b"\x1bi", b"\x1bm"]
)
def test_every_form_of_cut_is_a_cut(command: bytes) -> None:
    assert [frame.is_cut for frame in framed([command])] == [True]


@pytest.mark.parametrize(
    "command", [b"\x1dV\x07", b"\x1bp\x00\x19\xfa", b"\x1dv0\x00\x01\x00\x07\x00" + TRAP, b"\x1dV"]
)
def test_what_only_looks_like_a_cut_is_none(command: bytes) -> None:
    assert not any(frame.is_cut for frame in framed([command]))


def test_drawer_kicks_are_known() -> None:
    frames = framed([b"\x1bp\x00\x19\xfa\x10\x14\x01\x00\x01\x10\x14\x02\x01\x08"])
    assert [frame.is_drawer_kick for frame in frames] == [True, True, False]


def test_defined_letters_and_pictures_come_out_as_head_and_parts() -> None:
    # given two letters of 3 bytes height and two stored pictures, full of would-be cuts
    letters = b"\x1b&\x03AB" + b"\x02" + TRAP[:6] + b"\x01" + TRAP[:3]
    pictures = b"\x1cq\x02" + (b"\x01\x00\x01\x00" + TRAP + b"!") * 2
    stream = letters + pictures + b"text"
    for chunks in ([stream], bytewise(stream)):
        # when framed
        frames = framed(chunks)
        # then each part is one frame and nothing is a cut
        assert [frame.name for frame in frames] == [
            "ESC &", "ESC & part", "ESC & part", "FS q", "FS q part", "FS q part", "",
        ]  # fmt: skip
        assert b"".join(frame.data for frame in frames) == stream
        assert not any(frame.is_cut for frame in frames)


def test_a_torn_command_comes_out_at_the_end_and_the_framer_goes_on() -> None:
    # given a picture that says 7 rows and brings 3
    framer = EscposFramer()
    assert framer.feed(b"\x1dv0\x00\x01\x00\x07\x00abc") == []
    # when the job ends there
    (torn,) = framer.finish()
    # then it is named torn, and the next job is read from its beginning
    assert (torn.kind, torn.start, torn.end, torn.is_cut) == ("torn", 0, 11, False)
    assert framer.finish() == []
    (text,) = framer.feed(b"next")
    assert (text.kind, text.start, text.end) == ("text", 11, 15)


def test_a_code_that_is_a_prefix_begins_the_next_command() -> None:
    frames = framed([b"\x1b\x1b@\x1d\x1dV\x00"])
    assert [(frame.name, frame.data) for frame in frames] == [
        ("ESC", b"\x1b"), ("ESC @", b"\x1b@"), ("GS", b"\x1d"), ("GS V", b"\x1dV\x00"),
    ]  # fmt: skip


def test_a_payload_beyond_the_limit_is_counted_and_not_kept() -> None:
    # given a picture four times as large as what is kept
    size = MAX_KEPT_BYTES * 4
    header = b"\x1d8L" + struct.pack("<I", size)
    framer = EscposFramer()
    tracemalloc.start()
    # when it comes in pieces
    assert framer.feed(header) == []
    piece = TRAP * 1024
    for _ in range(size // len(piece)):
        assert framer.feed(piece) == []
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    frames = framer.feed(b"\x00" * (size % len(piece)) + b"after")
    # then the frame tells its whole length, holds its share, and memory stayed bounded
    assert [frame.kind for frame in frames] == ["command", "text"]
    assert frames[0].end == len(header) + size
    assert len(frames[0].data) == MAX_KEPT_BYTES
    assert frames[0].skipped == len(header) + size - MAX_KEPT_BYTES
    assert held < MAX_KEPT_BYTES * 3


def test_pictures_that_claim_gigabytes_hold_nothing() -> None:
    framer = EscposFramer()
    framer.feed(b"\x1cq\xff\xff\xff\xff\xff")
    for _ in range(100):
        assert framer.feed(bytes(65536)) == []
    (torn,) = framer.finish()
    assert torn.end == 3 + 4 + 6_553_600
    assert len(torn.data) == MAX_KEPT_BYTES


pieces = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([command for _, command in WHOLE_COMMANDS]),
    st.sampled_from([command[:-1] for _, command in WHOLE_COMMANDS]),
    st.sampled_from([b"TOTAL 5,49\n", b"\x1b", b"\x1d", b"\x1c", b"\x10", b"\x1b&\x03\x20\x30", b"\x1cq\x03"]),
)


@given(st.lists(pieces, max_size=12).map(b"".join), st.data())
def test_any_split_gives_the_same_frames(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    bounds = [0, *cuts, len(stream)]
    chunks = [stream[first:last] for first, last in pairwise(bounds)]
    whole = framed([stream])
    assert framed(chunks) == whole
    assert framed(bytewise(stream)) == whole
    assert b"".join(frame.data for frame in whole) == stream


def test_random_bytes_never_raise_and_lose_nothing() -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    for _ in range(2_000):
        stream = bytes(dice.choice((0x1B, 0x1D, 0x1C, 0x10, dice.randrange(256))) for _ in range(dice.randrange(200)))
        frames = framed([stream])
        assert b"".join(frame.data for frame in frames) == stream


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the shared captures are not here")
def test_real_captures_are_framed_alike_whole_and_byte_by_byte() -> None:
    for path in sorted(CORPUS.glob("*.bin")):
        stream = path.read_bytes()
        frames = framed([stream])
        assert framed(bytewise(stream)) == frames
        assert not [frame for frame in frames if frame.kind == "torn"]
        assert any(frame.is_cut for frame in frames)
