"""Frames are the same however a stream is split, and only what cuts a Star printer's paper is a cut."""

from __future__ import annotations

import random
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.escpos.framing import MAX_KEPT_BYTES, Frame
from drivers.star.framing import MAX_BARCODE_BYTES, StarFramer
from tests.drivers.star.commands import COMMANDS, CUTS, KICKS, TRAP, raster_document, u16

MUTATED_STREAMS = 200_000


def framed(chunks: Iterable[bytes]) -> list[Frame]:
    """All frames, neighbouring text runs joined as consumers join them."""
    framer = StarFramer()
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


def split(data: bytes, points: Iterable[int]) -> list[bytes]:
    bounds = [0, *sorted(points), len(data)]
    return [data[first:last] for first, last in pairwise(bounds)]


@pytest.mark.parametrize(
    ("name", "clause", "command"), COMMANDS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_command_is_framed_whole_between_texts(name: str, clause: str, command: bytes) -> None:
    stream = b"before" + command + b"after"
    for chunks in ([stream], bytewise(stream)):
        frames = framed(chunks)
        assert [(frame.kind, frame.name, frame.data) for frame in frames] == [
            ("text", "", b"before"),
            ("command", name, command),
            ("text", "", b"after"),
        ], clause
        assert [(frame.start, frame.end) for frame in frames] == [
            (0, 6),
            (6, 6 + len(command)),
            (6 + len(command), len(stream)),
        ]
        assert [frame.effect for frame in frames] == [""] * 3


@pytest.mark.parametrize("command", CUTS)
def test_the_cutter_cuts(command: bytes) -> None:
    assert [frame.is_cut for frame in framed([command])] == [True]


@pytest.mark.parametrize("command", [b"\x1bd\x04", b"\x1bd", b"\x1di", b"\x1dV\x00", b"\x1bi\x00\x00", b"\x1bm"])
def test_what_only_looks_like_a_cut_is_none(command: bytes) -> None:
    assert not any(frame.is_cut for frame in framed([command]))


@pytest.mark.parametrize("command", KICKS)
def test_both_drawers_are_known(command: bytes) -> None:
    assert [frame.is_drawer_kick for frame in framed([command])] == [True]


@pytest.mark.parametrize("command", [b"\x1b*rD0\x00", b"\x1b\x07\x14\x14", b"\x1bp", b"\x1b\x1d\x07\x01\x07\x07"])
def test_settings_and_buzzers_open_no_drawer(command: bytes) -> None:
    assert not any(frame.is_drawer_kick for frame in framed([command]))


@pytest.mark.parametrize(
    ("settings", "ending", "cuts"),
    [
        (b"", b"\x1b\x0c\x04", True),
        (b"", b"\x1b\x0c\x00", True),
        (b"", b"\x1b\x0c\x19", True),
        (b"", b"\x1b*rB", True),
        (b"", b"\x1b*rb", True),
        (b"\x1b*rE13\x00", b"\x1b\x0c\x04", True),
        (b"\x1b*rE3\x00", b"\x1b\x0c\x04", True),
        (b"\x1b*rE1\x00", b"\x1b\x0c\x04", False),
        (b"\x1b*rE2\x00", b"\x1b*rB", False),
        (b"\x1b*rE1\x00", b"\x1b\x0c\x00", True),
        (b"\x1b*rF1\x00", b"\x1b\x0c\x00", False),
        (b"\x1b*re1\x00", b"\x1b\x0c\x19", False),
        (b"", b"\x1b\x0c\x0a", False),
        (b"", b"\x1b*rC\x1b\x0c\x04", False),
    ],
)
def test_a_raster_document_ends_as_it_is_set_to(settings: bytes, ending: bytes, cuts: bool) -> None:
    frames = framed([raster_document(3, settings, ending)])
    assert [frame.name for frame in frames].count("b") == 3
    assert any(frame.is_cut for frame in frames) is cuts
    assert not any(frame.is_cut for frame in frames[:-1])


def test_an_ending_without_dots_cuts_nothing() -> None:
    assert not any(frame.is_cut for frame in framed([b"\x1b*rA\x1b\x0c\x04\x1b*rB\x1b\x0c\x04"]))
    # two endings of one document cut once
    assert [frame.is_cut for frame in framed([raster_document(1, ending=b"\x1b\x0c\x04\x1b*rB")])].count(True) == 1


def test_raster_mode_ends_with_its_command_and_with_a_reset() -> None:
    for out in (b"\x1b*rB", b"\x1b@"):
        frames = framed([b"\x1b*rA" + b"b\x02\x00ab noise" + out + b"bread"])
        assert [(frame.kind, frame.name, frame.data) for frame in frames[1:]] == [
            ("command", "b", b"b\x02\x00ab"),
            ("text", "", b" noise"),
            ("command", "ESC * r B" if out == b"\x1b*rB" else "ESC @", out),
            ("text", "", b"bread"),
        ]


def test_what_repeats_a_part_comes_out_as_head_and_parts() -> None:
    logos = b"\x1b\x1cq\x02" + (b"\x01\x00\x01\x00" + TRAP + b"!") * 2
    macros = b"\x1b\x1d+\x02" + (b"\x00" + u16(len(TRAP)) + TRAP) * 2
    code = b"\x1b\x1dyD2\x02" + b"\x01" + u16(4) + b"2005" + b"\x03" + u16(len(TRAP)) + TRAP
    audio = b"\x1b\x1dsU\x00\x01" + u16(len(TRAP)) + b"\x00" + TRAP
    stream = logos + macros + code + audio + b"text"
    for chunks in ([stream], bytewise(stream)):
        frames = framed(chunks)
        assert [frame.name for frame in frames] == [
            "ESC FS q", *["ESC FS q part"] * 2, "ESC GS +", *["ESC GS + part"] * 2,
            "ESC GS y D 2", *["ESC GS y D 2 part"] * 2, "ESC GS s U", "ESC GS s U part", "",
        ]  # fmt: skip
        assert b"".join(frame.data for frame in frames) == stream
        assert not any(frame.effect for frame in frames)


def test_unknown_commands_are_as_short_as_the_printer_takes_them() -> None:
    frames = framed([b'01\x1b"12\x1b\x1dZ3\x1b\x1eZ4\x1d!5\x1b\x1b@\x1b\x1d\x1bE'])
    assert [(frame.name, frame.data) for frame in frames if frame.kind == "command"] == [
        ('ESC "', b'\x1b"'), ("ESC GS Z", b"\x1b\x1dZ"), ("ESC RS Z", b"\x1b\x1eZ"), ("GS !", b"\x1d!"),
        ("ESC", b"\x1b"), ("ESC @", b"\x1b@"), ("ESC GS", b"\x1b\x1d"), ("ESC E", b"\x1bE"),
    ]  # fmt: skip


@pytest.mark.parametrize("begun", [b"\x1bb\x06\x02\x02\x401234", b"\x1bD\x01", b"\x1b#2", b"\x1b*rE1"])
def test_a_command_without_its_end_does_not_swallow_the_next_receipt(begun: bytes) -> None:
    frames = framed([begun + b"\nBREAD 3.00\n" * 60 + b"\x1bd\x03"])
    assert frames[-1].is_cut
    assert frames[0].end < MAX_BARCODE_BYTES + 20


def test_a_torn_command_comes_out_at_the_end_and_the_framer_goes_on() -> None:
    framer = StarFramer()
    assert framer.feed(b"\x1bX\x03\x00abc") == []
    (torn,) = framer.finish()
    assert (torn.kind, torn.start, torn.end, torn.effect) == ("torn", 0, 7, "")
    assert framer.finish() == []
    (text,) = framer.feed(b"next")
    assert (text.kind, text.start, text.end) == ("text", 7, 11)


def test_pictures_that_claim_gigabytes_hold_no_more_than_is_kept() -> None:
    framer = StarFramer()
    tracemalloc.start()
    framer.feed(b"\x1b\x1d8L\xff\xff\xff\xff")
    for _ in range(100):
        assert framer.feed(bytes(65536)) == []
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    (torn,) = framer.finish()
    assert torn.end == 8 + 6_553_600
    assert len(torn.data) == MAX_KEPT_BYTES
    assert held < MAX_KEPT_BYTES * 3


pieces = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([command for _, _, command in COMMANDS]),
    st.sampled_from([command[:-1] for _, _, command in COMMANDS]),
    st.sampled_from([b"TOTAL 5,49\n", b"\x1b", b"\x1d", b"\x1b\x1d", b"\x1b*rA", b"b\x03\x00", b"\x1b\x1cq\x03"]),
)


@given(st.lists(pieces, max_size=12).map(b"".join), st.data())
def test_any_split_gives_the_same_frames(stream: bytes, data: st.DataObject) -> None:
    chunks = split(stream, data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    whole = framed([stream])
    assert framed(chunks) == whole
    assert framed(bytewise(stream)) == whole
    assert b"".join(frame.data for frame in whole) == stream


def test_200_000_mutated_streams_never_raise_and_lose_nothing() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    commands = [command for _, _, command in COMMANDS] + CUTS + KICKS + [raster_document(1), b"TOTAL 5,49\n"]
    for _ in range(MUTATED_STREAMS):
        stream = bytearray(b"".join(dice.choices(commands, k=3)))
        stream[dice.randrange(len(stream))] = dice.choice((0x1B, 0x1D, 0x00, 0xFF, 0x62, dice.randrange(256)))
        at = dice.randrange(len(stream))
        del stream[at : at + dice.randrange(3)]
        document = bytes(stream)
        framer = StarFramer()
        cut_at = dice.randrange(len(document) + 1)
        frames = framer.feed(document[:cut_at]) + framer.feed(document[cut_at:]) + framer.finish()
        assert b"".join([frame.data for frame in frames]) == document


def test_it_needs_nothing_but_the_standard_library() -> None:
    program = (
        "import sys; import drivers.star.framing; "
        "print({name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, check=True, text=True)
    foreign = {name for name in eval(done.stdout) if not name.startswith(("_", "site"))}
    assert foreign - {"drivers", "sitecustomize"} == set()
