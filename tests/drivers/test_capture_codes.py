"""The codes of a capture, cut as its header says."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import pytest

from drivers.capture import BytesRead, CapsRead, Capture, CaptureError, Header, KeyRead, LostRead, Option, Read
from drivers.capture_codes import Code, codes_of
from drivers.wedge.encode import encode

STARTED = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def capture(reads: Iterable[Read], driver: str = "serial", **options: Option) -> Capture:
    return Capture(
        header=Header(kind="scanner", driver=driver, options=options, started_at=STARTED), reads=tuple(reads)
    )


def sent(*parts: tuple[int, bytes]) -> list[Read]:
    return [BytesRead(ms=ms, data=data) for ms, data in parts]


def typed(layout: str, text: str, start_ms: int = 0) -> list[Read]:
    return [KeyRead(ms=start_ms + e.at_ns // 1_000_000, code=e.code, value=e.value) for e in encode(layout, text)]


def test_bytes_are_cut_at_line_ends_with_the_time_of_the_last_read() -> None:
    found = codes_of(capture(sent((0, b"]C0TS"), (4, b"0001\r]C"), (9, b"0TS0002\r\n"))))

    assert found.codes == (Code(ms=4, said=b"]C0TS0001"), Code(ms=9, said=b"]C0TS0002"))
    assert not found.dropped


def test_prefix_suffix_and_silence_are_the_headers() -> None:
    assert codes_of(capture(sent((0, b"\x02A\x03")), prefix="\x02", suffix="\x03")).codes == (Code(ms=0, said=b"A"),)
    quiet = capture(sent((0, b"A1"), (60, b"B2"), (70, b"B3")), suffix="", idle_ms=50)
    assert [code.said for code in codes_of(quiet).codes] == [b"A1", b"B2B3"]


def test_what_was_torn_is_counted() -> None:
    found = codes_of(capture(sent((0, b"]C0TS0001\r]C0TS"))))

    assert [code.said for code in found.codes] == [b"]C0TS0001"]
    assert found.dropped == {"suffix_missing": 1}


@pytest.mark.parametrize("layout", ["us", "de", "fr", "si", "hr", "rs"])
def test_keys_are_composed_for_the_headers_layout(layout: str) -> None:
    found = codes_of(capture(typed(layout, "]C0Zy-1"), "wedge", layout=layout))

    assert [code.said for code in found.codes] == ["]C0Zy-1"]


def test_keys_without_a_layout_are_us() -> None:
    assert [code.said for code in codes_of(capture(typed("us", "Zy"), "wedge")).codes] == ["Zy"]


def test_a_wedge_without_suffix_ends_in_silence() -> None:
    keys = [read for read in typed("us", "AB") if not (isinstance(read, KeyRead) and read.code == 28)]

    found = codes_of(capture(keys, "wedge", suffix="none"))

    assert [code.said for code in found.codes] == ["AB"]


def test_light_and_loss_are_heard() -> None:
    lit = codes_of(capture([CapsRead(ms=0, on=True), *typed("us", "ab", 1)], "wedge"))
    lost = codes_of(capture([*typed("us", "ab")[:4], LostRead(ms=10, held=()), *typed("us", "cd", 11)], "wedge"))

    assert [code.said for code in lit.codes] == ["AB"]
    assert ([code.said for code in lost.codes], lost.dropped) == ([], {"events_lost": 1})


@pytest.mark.parametrize("options", [{"layout": "dvorak"}, {"prefix": "x"}, {"suffix": "\r"}])
def test_options_that_no_wedge_has_are_refused(options: dict[str, Option]) -> None:
    with pytest.raises(CaptureError, match="line 1"):
        codes_of(capture(typed("us", "A"), "wedge", **options))


def test_an_empty_capture_has_no_codes() -> None:
    assert codes_of(capture([])).codes == ()


def test_a_driver_that_is_not_installed_is_named() -> None:
    with pytest.raises(CaptureError, match="'acme-pen' is installed"):
        codes_of(capture(sent((0, b"M-1")), "acme-pen"))
