"""Each fault of a scanner is named for what it is, alone and together with others; a good scanner is left alone."""

from __future__ import annotations

import itertools
import random
import string
from collections.abc import Callable
from typing import Any, get_args

import pytest

from agent.doctor.diagnose import HeardCode, SerialSetting, WedgeSetting, diagnose, diagnose_silence
from agent.doctor.findings import Finding, FindingKind, finding, joined
from agent.doctor.sheet import CODES, FNC1, SheetCode
from drivers.wedge.encode import UntypableError, as_seen, encode
from drivers.wedge.events import CapsLight, DeviceEvent, KeyEvent
from drivers.wedge.keymaps import KEY_CAPSLOCK

LAYOUT, CARD, CARD_EAN, QR, LINK, EAN13, EAN8, UPC, WEIGHED, ITF, CODE39, GS1 = CODES
LAYOUTS = ("us", "de", "fr", "si", "hr", "rs")
NAMES = {"us": "US", "de": "German", "fr": "French", "si": "Slovenian"}


def serial(data: str | bytes, **setting: object) -> HeardCode:
    raw = data.encode() if isinstance(data, str) else data
    return HeardCode(setting=SerialSetting(**setting), data=raw)  # type: ignore[arg-type]


def wedge(text: str, scanner: str, host: str, *, end: str = "\r", **setting: object) -> HeardCode:
    """What is heard of a scanner that types for `scanner`, where the settings say `host`."""
    keys = encode(scanner, text + end.replace("\r", ""), suffix="enter" if end == "\r" else None)
    return HeardCode(setting=WedgeSetting(layout=host, **setting), keys=tuple(keys))  # type: ignore[arg-type]


def kinds(findings: tuple[Finding, ...]) -> list[str]:
    return [each.kind for each in findings]


def sent(code: SheetCode) -> str:
    return code.aims[0] + code.text


@pytest.mark.parametrize("code", CODES, ids=lambda code: str(code.number))
@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\t"])
def test_a_good_serial_scanner_has_no_fault(code: SheetCode, end: str) -> None:
    for aim in code.aims:
        assert diagnose(code, serial(aim + code.text + end)) == ()


@pytest.mark.parametrize("code", CODES, ids=lambda code: str(code.number))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_good_wedge_has_no_fault(code: SheetCode, layout: str) -> None:
    assert diagnose(code, wedge(sent(code), layout, layout)) == ()


def test_a_upc_as_the_standard_has_it_has_no_fault() -> None:
    assert diagnose(UPC, serial(f"]E00{UPC.text}\r")) == ()


# Keyboards


@pytest.mark.parametrize(("scanner", "host"), list(itertools.permutations(NAMES, 2)))
def test_a_wrong_layout_is_named_with_both_sides(scanner: str, host: str) -> None:
    (found,) = diagnose(LAYOUT, wedge(sent(LAYOUT), scanner, host))

    assert found.kind == "layout_wrong"
    assert f'types for a {NAMES[scanner]} ("{scanner}")' in found.what
    assert f'("{host}")' in found.what.partition("says")[2]
    assert f'"{scanner}"' in found.setting


@pytest.mark.parametrize(("scanner", "host"), list(itertools.permutations(NAMES, 2)))
@pytest.mark.parametrize("end", ["\r", "\n"])
def test_what_was_typed_on_its_way_to_a_port_names_both_keyboards(scanner: str, host: str, end: str) -> None:
    (found,) = diagnose(LAYOUT, serial(as_seen(sent(LAYOUT), scanner, host) + end))

    assert found.kind == "layout_between"
    assert NAMES[scanner] in found.what.partition(" keyboard on a ")[0]
    assert NAMES[host] in found.what.partition(" keyboard on a ")[2]


def test_what_was_typed_on_its_way_to_a_port_shows_on_all_codes_and_with_other_faults() -> None:
    for code in CODES:
        assert "layout_between" in kinds(diagnose(code, serial(as_seen(sent(code), "us", "de") + "\r"))), code
    assert kinds(diagnose(CARD, serial(as_seen(CARD.text, "us", "de")))) == [
        "suffix_missing",
        "layout_between",
        "aim_missing",
    ]


@pytest.mark.parametrize("host", ["us", "de", "fr"])
def test_keyboards_that_the_sheet_cannot_tell_apart_are_all_named(host: str) -> None:
    for scanner in ("si", "rs", "hr"):
        (found,) = diagnose(LAYOUT, wedge(sent(LAYOUT), scanner, host))
        assert found.setting == 'layout = "si" or "rs"'


@pytest.mark.parametrize(("scanner", "host"), list(itertools.permutations(("si", "rs", "hr"), 2)))
def test_keyboards_that_are_alike_are_no_fault(scanner: str, host: str) -> None:
    assert diagnose(LAYOUT, wedge(sent(LAYOUT), scanner, host)) == ()


def test_the_layout_card_reads_differently_on_each_keyboard() -> None:
    """So that a host which is set wrong sees something else, whichever two they are."""
    for scanner in ("us", "de", "fr", "si"):
        seen = [as_seen(LAYOUT.text, scanner, host) for host in ("us", "de", "fr", "si")]
        assert len(set(seen)) == 4, scanner


def test_a_wrong_layout_shows_on_a_card_too_and_with_other_faults() -> None:
    heard = wedge("TESTCARD-0002", "de", "us", end="")

    assert kinds(diagnose(CARD, heard)) == ["layout_wrong", "suffix_missing", "aim_missing"]


def test_alt_codes_are_right_on_every_layout() -> None:
    for layout in LAYOUTS:
        keys = tuple(encode("us", sent(LAYOUT), alt=True))
        assert diagnose(LAYOUT, HeardCode(setting=WedgeSetting(layout=layout), keys=keys)) == ()


def test_keys_of_no_known_keyboard_are_called_so() -> None:
    keys = tuple(encode("us", "ozwbirkqpvncmx"))  # a Dvorak host's, say

    assert kinds(diagnose(LAYOUT, HeardCode(setting=WedgeSetting(), keys=keys))) == ["layout_unknown"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_exchanged_case_is_capslock(layout: str) -> None:
    assert kinds(diagnose(LAYOUT, wedge(sent(LAYOUT).swapcase(), layout, layout))) == ["caps_lock"]


def test_capslock_pressed_or_lit_is_capslock() -> None:
    keys = encode("us", sent(LAYOUT))
    pressed: tuple[DeviceEvent, ...] = (
        KeyEvent(code=KEY_CAPSLOCK, value=1, at_ns=0),
        KeyEvent(code=KEY_CAPSLOCK, value=0, at_ns=0),
        *keys,
    )
    lit: tuple[DeviceEvent, ...] = (CapsLight(on=True, at_ns=0), *keys)

    for heard in (pressed, lit):
        assert kinds(diagnose(LAYOUT, HeardCode(setting=WedgeSetting(), keys=heard))) == ["caps_lock"]


def test_a_wrong_layout_with_capslock_is_both() -> None:
    assert kinds(diagnose(LAYOUT, wedge(sent(LAYOUT).swapcase(), "de", "us"))) == ["layout_wrong", "caps_lock"]


@pytest.mark.parametrize(("fold", "name"), [(str.upper, "capital"), (str.lower, "small")])
def test_folded_case_is_a_conversion(fold: Callable[[str], str], name: str) -> None:
    for code in (LAYOUT, LINK):
        (found,) = diagnose(code, serial(fold(sent(code)) + "\r"))
        assert (found.kind, name in found.what) == ("case_changed", True)


# Identifier, prefix, suffix


@pytest.mark.parametrize("code", [code for code in CODES if code != UPC], ids=lambda code: str(code.number))
def test_a_missing_identifier_is_named(code: SheetCode) -> None:
    assert kinds(diagnose(code, serial(code.text + "\r"))) == ["aim_missing"]


def test_another_identifier_is_noted() -> None:
    (found,) = diagnose(EAN8, serial("]E095200019\r"))

    assert (found.kind, found.severity) == ("aim_other", "note")
    assert "]E0" in found.what
    assert "]E4" in found.what


@pytest.mark.parametrize(
    ("setting", "data", "kind", "line"),
    [
        ({}, "{}", "suffix_missing", 'suffix = ""'),
        ({"suffix": "\x03"}, "{}", "suffix_missing", 'suffix = ""'),
        ({"suffix": "\x03"}, "{}\r\n", "suffix_other", 'suffix = "\\r\\n"'),
        ({"suffix": "\r\n"}, "{}\r", "suffix_other", 'suffix = "\\r"'),
        ({"suffix": ""}, "{}\r", "suffix_needless", ""),
        ({"prefix": "\x02"}, "{}\r", "prefix_missing", ""),
        ({}, "\x02{}\r", "prefix_unknown", 'prefix = "\\u0002"'),
        ({}, "A01{}\r", "prefix_unknown", 'prefix = "A01"'),
        ({"prefix": "\x02"}, "\x02x{}\r", "prefix_unknown", 'prefix = "\\u0002x"'),
        ({}, "{}#\r", "trailer_unknown", 'suffix = "#\\r"'),
        ({"suffix": "\r"}, "{}\x03\r", "trailer_unknown", 'suffix = "\\u0003\\r"'),
    ],
)
@pytest.mark.parametrize("code", [CARD, EAN13, EAN8, QR, GS1], ids=lambda code: str(code.number))
def test_what_stands_around_a_code_is_named(
    code: SheetCode, setting: dict[str, object], data: str, kind: str, line: str
) -> None:
    (found,) = diagnose(code, serial(data.format(sent(code)), **setting))

    assert (found.kind, found.setting) == (kind, line)


@pytest.mark.parametrize(
    ("setting", "data"),
    [
        ({"suffix": ""}, "{}"),
        ({"suffix": "\x03"}, "{}\x03"),
        ({"prefix": "\x02", "suffix": "\x03"}, "\x02{}\x03"),
        ({"prefix": "A"}, "A{}\r"),
        ({"suffix": "#"}, "{}#"),
    ],
)
def test_what_is_set_is_no_fault(setting: dict[str, object], data: str) -> None:
    for code in CODES:
        assert diagnose(code, serial(data.format(sent(code)), **setting)) == (), code.number


@pytest.mark.parametrize(
    ("setting", "end", "found", "line"),
    [
        ({}, "", ["suffix_missing"], 'suffix = "none"'),
        ({"suffix": "enter"}, "\t", ["suffix_other"], 'suffix = "tab"'),
        ({"suffix": "tab"}, "\r", ["suffix_other"], 'suffix = "enter"'),
        ({"suffix": "tab"}, "\t", [], ""),
        ({"suffix": "none"}, "", [], ""),
        ({"suffix": "none"}, "\r", ["suffix_needless"], ""),
        ({"prefix": "tab"}, "\r", ["prefix_missing"], ""),
    ],
)
def test_a_wedges_ends_are_keys(setting: dict[str, object], end: str, found: list[str], line: str) -> None:
    findings = diagnose(CARD, wedge(sent(CARD), "us", "us", end=end, **setting))

    assert kinds(findings) == found
    assert [each.setting for each in findings] == ([line] if found else [])


def test_a_wedges_prefix_of_characters_cannot_be_set() -> None:
    (found,) = diagnose(CARD, wedge(f"A{sent(CARD)}", "us", "us"))

    assert (found.kind, found.setting) == ("prefix_unknown", "")


def test_several_faults_are_all_named() -> None:
    assert kinds(diagnose(EAN13, serial(f"x{EAN13.text[:-1]}"))) == [
        "suffix_missing",
        "aim_missing",
        "check_digit_missing",
        "prefix_unknown",
    ]


# What is done to the text


@pytest.mark.parametrize(
    ("code", "text", "found"),
    [
        (EAN13, "]E0952000000001", ["check_digit_missing"]),
        (CARD_EAN, "]E0290000000042", ["check_digit_missing"]),
        (EAN8, "]E49520001", ["check_digit_missing"]),
        (EAN8, "]E40000095200019", ["zeros_added"]),
        (EAN8, "0000095200019", ["aim_missing", "zeros_added"]),
        (UPC, "0012345678905", ["aim_missing", "zero_added"]),
        (UPC, "012345678905", ["aim_missing"]),
        (UPC, "]E001234567890", ["check_digit_missing"]),
        (UPC, "]E0001234567890", ["check_digit_missing"]),
        (UPC, "]E012345678905", ["number_system_missing"]),
        (UPC, "]E01234567890", ["number_system_missing", "check_digit_missing"]),
        (ITF, "]I11952000000001", ["check_digit_missing"]),
        (CODE39, "]A0*CARD39V*", ["code39_stars"]),
        (CODE39, "]A0CARD39", ["code39_check_cut"]),
        (CODE39, "]A0CARD39VJ", ["code39_check_sent"]),
        (GS1, "]C1" + GS1.text.replace(FNC1, ""), ["fnc1_dropped"]),
        (GS1, "]C1" + GS1.text.replace(FNC1, "<GS>"), ["fnc1_written"]),
        (GS1, "]C1" + GS1.text.replace(FNC1, "{GS}"), ["fnc1_written"]),
        (GS1, "]C1^]" + GS1.text.replace(FNC1, "^]"), ["fnc1_written"]),
        (GS1, "]C1" + GS1.text.replace(FNC1, "|"), ["fnc1_replaced"]),
        (GS1, "]C1" + GS1.text.replace(FNC1, "(FNC)"[:4]), ["fnc1_replaced"]),
        (GS1, FNC1 + GS1.text, ["aim_missing"]),
        (GS1, GS1.text.replace(FNC1, ""), ["aim_missing", "fnc1_dropped"]),
    ],
)
def test_what_is_done_to_a_text_is_named(code: SheetCode, text: str, found: list[str]) -> None:
    assert sorted(kinds(diagnose(code, serial(f"{text}\r")))) == sorted(found)


def test_a_wedge_that_drops_fnc1_is_named() -> None:
    assert kinds(diagnose(GS1, wedge(sent(GS1).replace(FNC1, ""), "de", "de"))) == ["fnc1_dropped"]


@pytest.mark.parametrize(
    "text", ["]C0TESTCAR", "]C0CARD-0002", "]C0TESTCRD-0002", "]C0TSTCARD-002", "0TESTCARD-0002", "C0TESTCARD-0002"]
)
def test_missing_characters_are_named(text: str) -> None:
    (found,) = diagnose(CARD, serial(f"{text}\r"))

    assert found.kind == "truncated"


@pytest.mark.parametrize("between", ["\r", "\r\n", "\t"])
def test_one_scan_that_comes_twice_is_noted(between: str) -> None:
    for code in CODES:
        (found,) = diagnose(code, serial((sent(code) + between) * 3))
        assert (found.kind, found.severity) == ("read_twice", "note")
        assert "3 times" in found.what


def test_a_scan_that_comes_twice_without_a_suffix_is_both() -> None:
    assert kinds(diagnose(CARD, serial(sent(CARD) * 2))) == ["suffix_missing", "read_twice"]


# The line


def with_parity(text: str, parity: str) -> bytes:
    odd = parity == "odd"
    return bytes(byte | 0x80 if (byte.bit_count() % 2 == 1) != odd else byte for byte in text.encode())


@pytest.mark.parametrize("parity", ["even", "odd"])
@pytest.mark.parametrize("code", CODES, ids=lambda code: str(code.number))
def test_parity_read_as_data_is_named(code: SheetCode, parity: str) -> None:
    (found,) = diagnose(code, serial(with_parity(sent(code) + "\r", parity)))

    assert found.kind == "parity_wrong"
    assert found.setting == f'data_bits = 7 and parity = "{parity}"'


def test_noise_is_called_so_and_nothing_raises() -> None:
    seed = 20261122
    chance = random.Random(seed)
    for _ in range(150):
        code = chance.choice(CODES)
        noise = chance.randbytes(chance.randint(1, 30))
        found = kinds(diagnose(code, serial(noise, suffix=chance.choice([None, "", "\x03"]))))
        assert found[-1] in {"garbled", "truncated"}, f"seed {seed}: {noise!r}"


def test_keys_at_random_raise_nothing() -> None:
    seed = 20261122
    chance = random.Random(seed)
    for _ in range(60):
        keys = tuple(
            KeyEvent(code=chance.randrange(130), value=chance.randrange(3), at_ns=n)
            for n in range(chance.randrange(60))
        )
        heard = HeardCode(setting=WedgeSetting(layout=chance.choice(LAYOUTS)), keys=keys)
        assert diagnose(chance.choice(CODES), heard), f"seed {seed}"


def test_nothing_heard_is_a_code_that_is_switched_off() -> None:
    (found,) = diagnose_silence(QR)

    assert found.kind == "not_read"
    assert "QR Code" in found.remedy


def test_another_code_of_the_sheet_is_known_whatever_else_is_wrong() -> None:
    for asked, read in itertools.permutations(CODES, 2):
        for heard in (serial(sent(read) + "\r"), serial(read.text), wedge(sent(read), "de", "us")):
            assert kinds(diagnose(asked, heard)) == ["other_code"], (asked.number, read.number)


# Together


def test_findings_of_several_codes_are_told_once_problems_first() -> None:
    findings = [
        *diagnose(UPC, serial(f"0{UPC.text}\r")),
        *diagnose(EAN13, serial(f"{EAN13.text}\r")),
        *diagnose(CARD, serial(f"{CARD.text}\r")),
    ]

    assert [(each.kind, each.codes) for each in joined(findings)] == [
        ("aim_missing", (2, 6, 8)),
        ("zero_added", (8,)),
    ]


def test_every_finding_says_what_it_does_and_what_to_do() -> None:
    places = ["scanner", "host", "layout", "case", "aim", "sent", "suffix", "name", "idle_ms", "without", "value"]
    details: dict[str, Any] = dict.fromkeys([*places, "prefix", "count", "total", "number", "parity", "symbol"], "X")
    for kind in get_args(FindingKind):
        told = finding(kind, **details)
        for text in (told.what, told.effect, told.remedy):
            assert len(text) >= 12, kind
            assert text.endswith("."), kind
            assert "{" not in text.replace("{GS}", ""), kind


def test_every_text_of_the_sheet_can_be_typed_on_every_keyboard() -> None:
    for code in CODES:
        for layout in LAYOUTS:
            try:
                encode(layout, sent(code))
            except UntypableError as error:
                raise AssertionError((code.number, layout)) from error
    assert set(LAYOUT.text) <= set(string.printable)
