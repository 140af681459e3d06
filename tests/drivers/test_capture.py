"""The capture file: what goes in comes out, what was torn is left out, and errors name their line."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.capture import (
    MAX_MS,
    MAX_READ_BYTES,
    BytesRead,
    CapsRead,
    Capture,
    CaptureError,
    Header,
    KeyRead,
    LostRead,
    Option,
    Read,
    decode_capture,
    encode_capture,
    harmless_options,
    header_line,
    is_capture,
    read_line,
)

STARTED = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
HEADER = Header(kind="scanner", driver="serial", options={"baud": 9600, "port": "/dev/ttyACM0"}, started_at=STARTED)
HEAD = header_line(HEADER)


def test_a_capture_reads_as_documented() -> None:
    document = (
        b'{"tillside_capture":1,"kind":"scanner","driver":"serial","options":{"baud":9600},'
        b'"started_at":"2026-11-22T10:00:00+01:00"}\n'
        b'{"ms":0,"text":"]C0TS0001\\r"}\n'
        b'{"ms":412,"hex":"c48d0D"}\n'
        b'{"ms":900,"key":[30,1]}\n'
        b'{"ms":905,"caps":true}\n'
        b'{"ms":990,"lost":[42]}\n'
    )

    capture = decode_capture(document)

    assert capture.header.started_at == STARTED
    assert capture.header.options == {"baud": 9600}
    assert capture.reads == (
        BytesRead(ms=0, data=b"]C0TS0001\r"),
        BytesRead(ms=412, data=b"\xc4\x8d\r"),
        KeyRead(ms=900, code=30, value=1),
        CapsRead(ms=905, on=True),
        LostRead(ms=990, held=(42,)),
    )
    assert (capture.torn, capture.has_keys, capture.data) == (False, True, b"]C0TS0001\r\xc4\x8d\r")


reads = st.one_of(
    st.builds(BytesRead, ms=st.integers(0, 1000), data=st.binary(max_size=50)),
    st.builds(KeyRead, ms=st.integers(0, 1000), code=st.integers(0, 767), value=st.integers(0, 2)),
    st.builds(CapsRead, ms=st.integers(0, 1000), on=st.booleans()),
    st.builds(LostRead, ms=st.integers(0, 1000), held=st.lists(st.integers(0, 767), max_size=4).map(tuple)),
)


@given(st.lists(reads, max_size=20).map(lambda each: sorted(each, key=lambda read: read.ms)))
def test_what_is_written_is_read_again(reads: list[Read]) -> None:
    capture = Capture(header=HEADER, reads=tuple(reads))

    assert decode_capture(encode_capture(capture)) == capture


def test_lines_are_ascii_and_inert() -> None:
    line = read_line(BytesRead(ms=1, data=b"=cmd()\x1b[2J</script>\x00"))

    assert line.isascii()
    assert line.count(b"\n") == 1
    assert b"\x1b" not in line


def test_a_torn_last_line_is_left_out_wherever_it_was_torn() -> None:
    whole = HEAD + read_line(BytesRead(ms=1, data=b"A\r")) + read_line(BytesRead(ms=2, data=b"\xffB\r"))
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(last + 1, len(whole) - 1):
        capture = decode_capture(whole[:end])
        assert (capture.data, capture.torn) == (b"A\r", True), end

    # without its line end alone, it is whole
    assert decode_capture(whole[:-1]) == decode_capture(whole)


def test_a_line_torn_in_the_middle_is_an_error_and_named() -> None:
    with pytest.raises(CaptureError, match="line 2"):
        decode_capture(HEAD + b'{"ms":1,"te\n' + read_line(BytesRead(ms=2, data=b"A")))


def test_a_header_alone_is_an_empty_capture() -> None:
    for document in (HEAD, HEAD.rstrip(), HEAD + b"\n\n", b"\xef\xbb\xbf" + HEAD):
        assert decode_capture(document) == Capture(header=HEADER, reads=())


def test_unknown_keys_of_the_header_are_for_later_versions_of_the_program() -> None:
    assert decode_capture(HEAD.replace(b'"kind"', b'"more":{"a":1},"kind"')).header == HEADER


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"", "line 1: no capture"),
        (b"\x1b@ KAFA\n", "line 1: no capture"),
        (b'{"receipts":[]}\n', 'lacks "tillside_capture"'),
        (b"[]\n", "line 1: no capture"),
        (b"\xff\xfe{}\n", "line 1: no capture"),
        (b'{"tillside_capture":2}\n', "version 2; this program reads version 1"),
        (HEAD.replace(b"scanner", b"toaster"), "line 1: invalid enum value 'toaster'"),
        (HEAD.replace(b"+", b"").replace(b"Z", b""), "line 1: invalid RFC3339|line 1: expected datetime"),
        (HEAD + b"nonsense\n", "line 2: "),
        (HEAD + b'{"ms":0}\n', "line 2: needs one of hex, text, key, caps and lost"),
        (HEAD + b'{"ms":0,"hex":"00","text":"0"}\n', "line 2: needs one of"),
        (HEAD + b'{"ms":0,"hex":"0"}\n', "line 2: hex is not two digits"),
        (HEAD + b'{"ms":0,"hex":"0g"}\n', "line 2: hex is not two digits"),
        (HEAD + b'{"ms":0,"key":[30,3]}\n', "line 2: key is"),
        (HEAD + b'{"ms":0,"key":[-1,1]}\n', "line 2: key is"),
        (HEAD + b'{"ms":0,"bytes":"A"}\n', "line 2: .*unknown field bytes"),
        (HEAD + b'{"ms":-1,"text":"A"}\n', "line 2: ms -1"),
        (HEAD + b'{"ms":5,"text":"A"}\n{"ms":4,"text":"B"}\n', "line 3: ms 4 is before the line above"),
        (HEAD + b'{"ms":%d,"text":"A"}\n' % (MAX_MS + 1), "line 2: ms"),
        (HEAD + b'{"ms":0,"hex":"%s"}\n' % (b"00" * (MAX_READ_BYTES + 1)), "line 2: a read of more than"),
        (HEAD + b'{"ms":0,"text":"%s"}\n' % (b"0" * 300_000), "line 2: longer than"),
        (HEAD + b'{"ms":0,"text":"\xff"}\n', "line 2: "),
    ],
)
def test_what_is_wrong_names_its_line(document: bytes, said: str) -> None:
    with pytest.raises(CaptureError, match=said):
        decode_capture(document)


def test_any_bytes_are_a_capture_or_a_capture_error() -> None:
    seed = 20261122
    chance = random.Random(seed)
    whole = HEAD + b"".join(read_line(BytesRead(ms=n, data=bytes([n] * 3))) for n in range(100, 140))
    for _ in range(3000):
        mutated = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            mutated[chance.randrange(len(mutated))] = chance.randrange(256)
        try:
            decode_capture(bytes(mutated[: chance.randint(0, len(mutated))]))
        except CaptureError:
            continue
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error


@pytest.mark.parametrize(
    ("start", "meant"),
    [
        (HEAD, True),
        (HEAD[:40], True),
        (b"\xef\xbb\xbf" + HEAD, True),
        (b'{"tillside_capture":9}', True),
        (b'{"receipts":[{"tillside":1}]}', False),
        (b'{"receipts":[]}\n{"tillside_capture":1}', False),
        (b"\x1b@TOTAL", False),
        (b"", False),
    ],
)
def test_a_capture_is_known_by_its_first_line(start: bytes, meant: bool) -> None:
    assert is_capture(start) is meant


def test_no_secret_gets_into_a_header() -> None:
    options: dict[str, Option] = {
        "port": "tcp://user:hunter2@10.0.0.9:4001",
        "password": "hunter2",
        "api_key": "hunter2",
        "access_token": "hunter2",
        "pin": "0000",
        "pins": 4,
        "baud": 9600,
    }

    assert harmless_options(options) == {"port": "tcp://10.0.0.9:4001", "pins": 4, "baud": 9600}
