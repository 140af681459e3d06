"""Every command of the public lists is framed right, however the stream is cut, and no damage to one raises."""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.escpos.framing import EscposFramer, Frame, split_text
from drivers.escpos.printer import EscposPrinter
from tests.drivers.escpos.commands import COMMANDS, TRAP

MUTATED_JOBS = 200_000
# What is printed of them is bounded by their own length; nothing else may grow.
MAX_GROWN_KIB = 48 * 1024


def framed(chunks: Iterable[bytes], *, styled_text: bool = False) -> list[Frame]:
    """All frames, neighbouring text runs joined as consumers join them."""
    framer = EscposFramer(styled_text=styled_text)
    frames = [frame for chunk in chunks for frame in framer.feed(chunk)]
    frames += framer.finish()
    joined: list[Frame] = []
    for frame in frames:
        if joined and joined[-1].kind == frame.kind == "text":
            joined[-1] = joined[-1]._replace(end=frame.end, data=joined[-1].data + frame.data)
        else:
            joined.append(frame)
    return joined


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[f"{name}-{code.hex()[:12]}" for name, code in COMMANDS])
def test_a_command_ends_where_its_list_says(name: str, command: bytes) -> None:
    # given the command between texts
    stream = b"before" + command + b"after"
    # when it comes whole, cut anywhere, or byte by byte
    splits = [[stream[:at], stream[at:]] for at in range(len(stream))]
    for chunks in (*splits, [stream[at : at + 1] for at in range(len(stream))]):
        frames = framed(chunks)
        # then it is one frame, and its parameters are neither text nor a command
        assert [(frame.kind, frame.name, frame.data) for frame in frames] == [
            ("text", "", b"before"), ("command", name, command), ("text", "", b"after"),
        ]  # fmt: skip
        assert [frame.start for frame in frames] == [0, 6, 6 + len(command)]
        assert frames[1].is_cut == (name in ("GS V", "ESC i", "ESC m"))


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[f"{name}-{code.hex()[:12]}" for name, code in COMMANDS])
def test_within_styled_text_it_ends_there_too(name: str, command: bytes) -> None:
    stream = b"before" + command + b"after"
    for chunks in ([stream], [stream[at : at + 1] for at in range(len(stream))]):
        found = [
            part
            for frame in framed(chunks, styled_text=True)
            for part in (split_text(frame.data) if frame.kind == "text" else [frame.data])
        ]
        assert found == [b"before", command, b"after"], name


def test_fonts_of_chinese_letters_have_their_own_sizes() -> None:
    small = b"\x1c2\x77\x21" + TRAP * 8
    stream = b"\x1c(A\x02\x000\x02" + small + b"\x1b@" + b"\x1c2\x77\x21" + TRAP * 18 + b"after"
    for size in (1, 5, len(stream)):
        frames = framed(stream[at : at + size] for at in range(0, len(stream), size))
        assert [frame.name for frame in frames] == ["FS ( A", "FS 2", "ESC @", "FS 2", ""]


def test_a_customer_display_has_windows_and_the_printer_areas() -> None:
    window, none, area = b"\x1bW\x01\x01" + TRAP, b"\x1bW\x01\x00", b"\x1bW" + TRAP * 2
    stream = b"\x1b=\x02" + window + none + b"\x1b=\x01" + area + b"\x1b=\x02" + b"\x1b@" + area + b"after"
    for size in (1, 3, len(stream)):
        frames = framed(stream[at : at + size] for at in range(0, len(stream), size))
        assert [frame.data for frame in frames if frame.name == "ESC W"] == [window, none, area, area]
        assert frames[-1].data == b"after"


pieces = st.one_of(
    st.sampled_from([command for _, command in COMMANDS]),
    st.sampled_from([command[:-1] for _, command in COMMANDS]),
    st.sampled_from([b"TOTAL 5,49\n", b"\x1b", b"\x1d", b"\x1c", b"\x1f", b"\x10", b"\x1b&\x03AC", b"\x1cq\x02", TRAP]),
    st.binary(max_size=6),
)


@given(st.lists(pieces, max_size=12).map(b"".join), st.integers(min_value=1, max_value=40), st.booleans())
def test_any_split_gives_the_same_frames(stream: bytes, size: int, styled_text: bool) -> None:
    whole = framed([stream], styled_text=styled_text)
    assert framed((stream[at : at + size] for at in range(0, len(stream), size)), styled_text=styled_text) == whole
    # and every byte is in one of them
    assert b"".join(frame.data for frame in whole) == stream
    assert [frame.start for frame in whole[1:]] == [frame.end for frame in whole[:-1]]


@given(st.lists(pieces, max_size=12).map(b"".join))
def test_styled_text_holds_what_comes_out_of_it_else(stream: bytes) -> None:
    def taken_apart(frames: Iterable[Frame]) -> list[bytes]:
        """Letters and marks by themselves; all else as it is."""
        parts = [split_text(frame.data) if frame.kind == "text" else [frame.data] for frame in frames]
        return [part for group in parts for part in group if part]

    assert taken_apart(framed([stream], styled_text=True)) == taken_apart(framed([stream]))


def test_mutated_jobs_raise_nothing_and_hold_little() -> None:
    """Commands cut, spliced, repeated and damaged, through framing and paper."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    pool = [command for _, command in COMMANDS if len(command) < 200] + [
        b"TOTAL  5,49\n",
        b"\n",
        b"\r",
        b"\t",
        b"\x1bL",
        b"\x0c",
    ] * 8
    slowest, grown_from = 0.0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    jobs = 0
    while jobs < MUTATED_JOBS:
        framer, printer = EscposFramer(styled_text=True), EscposPrinter()
        # a connection carries many jobs, and what one leaves behind meets the next
        for _ in range(200):
            job = bytearray(b"".join(dice.choices(pool, k=5)))
            job[int(dice.random() * len(job))] = int(dice.random() * 256)
            if jobs & 1:
                at = int(dice.random() * len(job))
                del job[at : at + int(dice.random() * 4)]
            started = time.process_time()
            printer.feed(framer.feed(bytes(job)))
            sheets = printer.take()
            if not jobs & 15:
                printer.feed(framer.finish())
                sheets += printer.finish()
            slowest = max(slowest, time.process_time() - started)
            for sheet in sheets:
                for line in sheet.lines:
                    assert "\x1b" not in line.text, line
                    assert line.start <= line.end, line
            jobs += 1
    print(f"slowest {slowest * 1000:.1f} ms")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - grown_from < MAX_GROWN_KIB
