"""200,000 mutated streams: the framing raises nothing, keeps little, and gives the same codes for any split."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from drivers.scanning.framing import ScanFrame, ScanFramer
from loyalty.instant import Instant

SEED = 20261122
STREAMS = 200_000
LIMIT = 8
NOW = Instant(wall=datetime(2026, 11, 22, tzinfo=UTC), boot="b", monotonic_ns=0)
LATER = Instant(wall=datetime(2026, 11, 22, tzinfo=UTC), boot="b", monotonic_ns=10**10)

CODES = (
    b"]C0M-1\r",
    b"\x02]E04006\x03",
    b"]Q1a\r\nb\x03",
    b"01\x1d21\t",
    b"ab\xc5\xbd\r\r\n",
    b"x" * (LIMIT + 2) + b"\r",
)
SETTINGS: tuple[tuple[bytes, bytes | None], ...] = (
    (b"", None),
    (b"", b""),
    (b"\x02", b"\x03"),
    (b"", b"\r\n"),
    (b"ab", b"\r\r\n"),
)

Outcome = tuple[list[ScanFrame], dict[str, int]]


def mutated(chance: random.Random) -> bytes:
    """One or two codes with some bytes changed, left out, doubled or put in between."""
    stream = bytearray(chance.choice(CODES) + (chance.choice(CODES) if chance.random() < 0.2 else b""))
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(stream) + 1)
        match chance.randrange(4):
            case 0:
                stream[at : at + 1] = b""
            case 1:
                stream[at:at] = stream[at : at + 3]
            case 2:
                stream[at:at] = chance.randbytes(1)
            case _:
                stream[at : at + 1] = chance.choice((b"\r", b"\n", b"\x02", b"\x03", b"\x00", b"\xff"))
    return bytes(stream)


def outcome(framer: ScanFramer, parts: list[bytes]) -> Outcome:
    """What comes of `parts`, by a framer that has been silent before."""
    framer.dropped.clear()
    frames: list[ScanFrame] = []
    for part in parts:
        frames += framer.feed(part, NOW)
    assert len(framer._pending) <= LIMIT + 4, "a prefix and the beginning of a suffix beside the code"
    return frames + framer.idle(LATER), dict(framer.dropped)


def test_mutated_streams_give_the_same_codes_whole_byte_by_byte_and_split_anywhere() -> None:
    print("seed", SEED)
    chance = random.Random(SEED)
    framers = [ScanFramer(prefix=prefix, suffix=suffix, max_bytes=LIMIT) for prefix, suffix in SETTINGS]
    codes = dropped = 0
    for number in range(STREAMS):
        framer = framers[number % len(framers)]
        stream = mutated(chance)
        cut = chance.randrange(len(stream) + 1)

        whole = outcome(framer, [stream])

        assert outcome(framer, [stream[:cut], stream[cut:]]) == whole, stream
        assert outcome(framer, [stream[at : at + 1] for at in range(len(stream))]) == whole, stream
        assert all(0 < len(frame.data) <= LIMIT for frame in whole[0]), stream
        codes += len(whole[0])
        dropped += sum(whole[1].values())
    assert codes > STREAMS / 3
    assert dropped > STREAMS / 4
