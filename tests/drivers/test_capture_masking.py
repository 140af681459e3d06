"""No payment card gets into a capture, whichever device read it, however its bytes or keys arrive."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import pytest

from drivers.capture import BytesRead, KeyRead, Read
from drivers.capture_masking import MAX_HELD_BYTES, MAX_HELD_KEYS, QUIET_MS, ByteMasker, KeyMasker
from drivers.wedge.composer import KeyComposer
from drivers.wedge.encode import encode
from drivers.wedge.events import KeyEvent

VISA, AMEX, MAESTRO = "4111111111111111", "378282246310005", "6759649826438453"
PANS = (VISA, AMEX, "5555555555554444", "4000000000000002", "30569309025904", "3530111333300000", MAESTRO)
SWIPE = f"%B{VISA}^MUSTERMANN/ERIKA MS^25121010000000000123?;{VISA}=25121010000012300000?+01{VISA}==1978?"


def bytes_reads(*parts: tuple[int, bytes]) -> list[BytesRead]:
    return [BytesRead(ms=ms, data=data) for ms, data in parts]


def masked(reads: Iterable[BytesRead], masker: ByteMasker | None = None) -> list[Read]:
    masker = masker or ByteMasker()
    given = [out for read in reads for out in masker.heard(read)]
    return given + masker.end()


def text_of(reads: Iterable[Read]) -> str:
    return b"".join(read.data for read in reads if isinstance(read, BytesRead)).decode("latin-1")


def byte_by_byte(data: bytes) -> list[BytesRead]:
    return [BytesRead(ms=index, data=data[index : index + 1]) for index in range(len(data))]


@pytest.mark.parametrize("pan", PANS)
@pytest.mark.parametrize(
    "written",
    [
        "{}\r",
        "]C0{}\r",
        "]Q1{}\r\n",
        "A0{}\r",
        "{}",
        ";{}=25121010000012300000?\r",
        "%B{}^MUSTERMANN/ERIKA^2512101?\r",
        "]C0TS0001\r]C0{}\r]C0TS0002\r",
        ";01{}=1?\r",
        "\x02{}\x03",
        "pay {} now\r",
        "ÄÖ {} é\r",
    ],
)
def test_the_middle_digits_are_gone_and_nothing_moves(pan: str, written: str) -> None:
    data = written.format(pan).encode()

    reads = masked(byte_by_byte(data))

    text = text_of(reads)
    assert pan not in text
    assert f"{pan[:6]}{'*' * (len(pan) - 10)}{pan[-4:]}" in text
    assert [(read.ms, len(read.data)) for read in reads if isinstance(read, BytesRead)] == [
        (index, 1) for index in range(len(data))
    ]


def test_grouped_digits_are_a_card_number_too() -> None:
    assert text_of(masked(byte_by_byte(b"4111 1111-1111 1111\r"))) == "4111 11**-**** 1111\r"


def test_of_a_swipe_only_the_ends_of_the_number_stay() -> None:
    text = text_of(masked(byte_by_byte(SWIPE.encode() + b"\r")))

    shown = "411111******1111"
    assert text == (
        f"%*{shown}^**********/***** **^********************?;{shown}=********************?+**{shown}==****?\r"
    )


@pytest.mark.parametrize("track", ["%B{}^DOE/JOHN^2512101123?", "%B{}^^2512101123?", ";{}=25121010000?"])
def test_a_financial_card_of_an_unknown_issuer_is_one(track: str) -> None:
    number = "590000000000"  # of no issuer's range, twelve digits as Maestro may have
    swiped = track.format(number)

    assert number not in text_of(masked(byte_by_byte(f"{swiped}\r".encode())))
    if swiped.startswith(";"):
        typed_before = typed(us(f"{swiped}\r"))
        assert number in composed(typed_before, "us")
        assert number not in composed(masked_keys(typed_before), "us")


def test_tracks_sent_one_by_one_are_masked_together_and_the_scans_around_are_not() -> None:
    tracks = [
        b"]C0TS0001\r",
        b"%BMUSTERMANN/ERIKA?\r",
        f";{VISA}=2512?\r".encode(),
        b"+0099887766554433?\r",
        b"]C0TS2\r",
    ]

    text = text_of(masked(bytes_reads(*((index, track) for index, track in enumerate(tracks)))))

    assert text == "]C0TS0001\r%***********/*****?\r;411111******1111=****?\r+****************?\r]C0TS2\r"


@pytest.mark.parametrize(
    "text",
    [
        "]C0TS0001\r",
        "]E09520000000011\r",
        "2900000000421\r",
        "]C101095200000000111730123110LOT-A1\x1d21SN42\r",
        "https://example.com/?q=4711\r",
        ";6009876543210000000=0000?\r",
        "]C04111111111111112\r",  # fails its check
        "",
    ],
)
def test_what_is_no_card_stays_as_it_is(text: str) -> None:
    assert text_of(masked(byte_by_byte(text.encode()))) == text


def test_a_prefix_of_digits_hides_no_number() -> None:
    text = text_of(masked(byte_by_byte(f"99{VISA}\r".encode()), ByteMasker(prefix=b"99")))

    assert text == "**411111******1111\r"


def test_without_a_suffix_silence_stands_between_codes() -> None:
    masker = ByteMasker(suffix=b"", quiet_ms=50)

    text = text_of(masked(bytes_reads((0, b"123"), (60, VISA.encode()), (120, b"]C0TS1")), masker))

    assert text == "123411111******1111]C0TS1"


def test_a_printable_suffix_stands_between_codes() -> None:
    text = text_of(masked(byte_by_byte(f"]C0TS1#]C0{VISA}#]C0TS2#".encode()), ByteMasker(suffix=b"#")))

    assert text == "]C0TS1#]C0411111******1111#]C0TS2#"


def test_numbers_that_are_surely_the_shops_own_stay() -> None:
    def own(number: str) -> bool:
        return number.startswith("4111")

    assert text_of(masked(byte_by_byte(f"{VISA}\r{AMEX}\r".encode()), ByteMasker(own=own))) == (
        f"{VISA}\r378282*****0005\r"
    )
    masker = KeyMasker(own=own)
    kept = [out for read in typed(us(f"{VISA}\r")) for out in masker.heard(read)] + masker.end()
    assert composed(kept, "us") == VISA


def test_digits_of_other_scripts_are_digits() -> None:
    arabic = VISA.translate({ord("0") + digit: 0x660 + digit for digit in range(10)})

    given = masked(byte_by_byte(f"{arabic}\r".encode()))

    data = b"".join(read.data for read in given if isinstance(read, BytesRead))
    assert len(data) == len(arabic.encode()) + 1
    assert arabic[6:12].encode() not in data


def test_nothing_is_given_out_before_its_burst_is_over() -> None:
    masker = ByteMasker()

    assert masker.heard(BytesRead(ms=0, data=b"4111111")) == []
    assert masker.heard(BytesRead(ms=40, data=b"111111111\r")) == []
    assert masker.until(39 + QUIET_MS) == []
    assert text_of(masker.until(40 + QUIET_MS)) == "411111******1111\r"
    assert masker.end() == []


def test_a_flood_is_held_within_its_limit_and_masked() -> None:
    seed = 20261122
    chance = random.Random(seed)
    scans = [chance.choice([VISA, f"]C0TS{number:06}"]) for number in range(6000)]
    data = "".join(f"{scan}\r" for scan in scans).encode()
    masker = ByteMasker()
    most, given, fed = 0, 0, 0
    out: list[Read] = []
    while fed < len(data):
        size = chance.randint(1, 900)
        new = masker.heard(BytesRead(ms=0, data=data[fed : fed + size]))
        fed = min(fed + size, len(data))
        out += new
        given += sum(len(read.data) for read in new if isinstance(read, BytesRead))
        most = max(most, fed - given)
    out += masker.end()

    assert text_of(out) == "".join(f"{'411111******1111' if scan == VISA else scan}\r" for scan in scans), (
        f"seed {seed}"
    )
    assert most <= MAX_HELD_BYTES + 900, f"seed {seed}"


def test_a_flood_without_a_line_end_is_starred_as_a_whole() -> None:
    text = text_of(masked(byte_by_byte(b"0123456789" * 2000)))

    assert set(text[:MAX_HELD_BYTES]) == {"*"}
    assert len(text) == 20_000


# Keys

SHIFT, ALT, ENTER = 42, 56, 28
ROW = {"1": 2, "2": 3, "3": 4, "4": 5, "5": 6, "6": 7, "7": 8, "8": 9, "9": 10, "0": 11}
PAD = {"0": 82, "1": 79, "2": 80, "3": 81, "4": 75, "5": 76, "6": 77, "7": 71, "8": 72, "9": 73}
Press = tuple[int, bool]


def us(text: str) -> list[Press]:
    keys = {**{char: (code, False) for char, code in ROW.items()}, ";": (39, False), "=": (13, False), "?": (53, True)}
    keys |= {"]": (27, False), "%": (6, True), "B": (48, True), "^": (7, True), "\r": (ENTER, False), "C": (46, True)}
    keys |= {"T": (20, True), "S": (31, True)}
    return [keys[char] for char in text]


def german(text: str) -> list[Press]:
    keys = {**{char: (code, False) for char, code in ROW.items()}, ";": (51, True), "=": (11, True), "?": (12, True)}
    return [{**keys, "\r": (ENTER, False)}[char] for char in text]


def french(text: str) -> list[Press]:
    keys = {**{char: (code, True) for char, code in ROW.items()}, ";": (51, False), "=": (13, False), "?": (50, True)}
    return [{**keys, "\r": (ENTER, False)}[char] for char in text]


def typed(presses: Sequence[Press], *, start_ms: int = 0) -> list[Read]:
    reads: list[Read] = []
    for index, (code, shifted) in enumerate(presses):
        ms = start_ms + index * 4
        reads += [KeyRead(ms=ms, code=SHIFT, value=1)] if shifted else []
        reads += [KeyRead(ms=ms + 1, code=code, value=1), KeyRead(ms=ms + 2, code=code, value=0)]
        reads += [KeyRead(ms=ms + 3, code=SHIFT, value=0)] if shifted else []
    return reads


def by_alt(text: str, form: str = "{:04}") -> list[Read]:
    reads: list[Read] = []
    for index, char in enumerate(text):
        ms = index * 20
        reads.append(KeyRead(ms=ms, code=ALT, value=1))
        for digit in form.format(ord(char)):
            reads += [KeyRead(ms=ms, code=PAD[digit], value=1), KeyRead(ms=ms, code=PAD[digit], value=0)]
        reads.append(KeyRead(ms=ms, code=ALT, value=0))
    return reads


def masked_keys(reads: Iterable[Read]) -> list[Read]:
    masker = KeyMasker()
    given = [out for read in reads for out in masker.heard(read)]
    return given + masker.end()


def composed(reads: Iterable[Read], layout: str) -> str:
    composer = KeyComposer(layout, suffix=None, max_chars=100_000)
    codes = [
        code.text
        for read in reads
        if isinstance(read, KeyRead)
        for code in composer.feed(KeyEvent(code=read.code, value=read.value, at_ns=read.ms * 1_000_000))
    ]
    return "|".join(codes)


@pytest.mark.parametrize("pan", PANS)
@pytest.mark.parametrize(
    ("layout", "keys", "written"),
    [
        ("us", us, "{}\r"),
        ("us", us, "]C0{}\r"),
        ("us", us, ";{}=25121010000012300000?\r"),
        ("us", us, ";01{}=1?\r"),
        ("de", german, "{}\r"),
        ("de", german, ";{}=25121010000012300000?\r"),
        ("fr", french, "{}\r"),
        ("fr", french, ";{}=25121010000012300000?\r"),
    ],
)
def test_keys_keep_their_number_and_times_and_type_no_card(layout: str, keys: object, written: str, pan: str) -> None:
    presses = keys(written.format(pan))  # type: ignore[operator]
    before = typed(presses)
    assert pan in composed(before, layout)

    after = masked_keys(before)

    assert [(type(read), read.ms) for read in after] == [(type(read), read.ms) for read in before]
    text = composed(after, layout)
    assert len(text) == len(composed(before, layout))
    assert pan not in text
    assert f"{pan[:6]}{'x' * (len(pan) - 10)}{pan[-4:]}" in text.lower()


def test_of_a_swiped_burst_nothing_but_the_ends_of_the_number_stays() -> None:
    text = composed(masked_keys(typed(us(f"%B{VISA}^\r;{VISA}=2512?\r"))), "us")

    shown = "411111xxxxxx1111"
    assert text.lower() == f"xx{shown}x|x{shown}xxxxxx"


@pytest.mark.parametrize("layout", ["us", "de", "fr", "si", "hr", "rs"])
@pytest.mark.parametrize("separator", ["", " ", "-", "."])
def test_groups_typed_on_any_keyboard_are_found(layout: str, separator: str) -> None:
    text = f"]C0{separator.join(VISA[at : at + 4] for at in range(0, 16, 4))}"
    before = [
        KeyRead(ms=event.at_ns // 1_000_000, code=event.code, value=event.value) for event in encode(layout, text)
    ]
    assert composed(before, layout) == text

    after = composed(masked_keys(before), layout)

    digits = "".join(character for character in after if character.isdecimal())
    assert digits == "4111111111"


@pytest.mark.parametrize("form", ["{:04}", "{:03}", "{}"])
def test_alt_codes_become_alt_codes_of_stars(form: str) -> None:
    before = by_alt(VISA, form)

    after = masked_keys([*before, KeyRead(ms=400, code=ENTER, value=1)])

    assert composed(after, "us") == "411111******1111"
    assert len(after) == len(before) + 1


def test_a_card_of_the_shop_is_typed_as_it_was() -> None:
    reads = typed(us("]C0TS1234567\r"))

    assert masked_keys(reads) == reads


def test_a_scan_a_second_before_a_payment_card_stays() -> None:
    reads = [*typed(us("]C0TS12\r")), *typed(us(f"{VISA}\r"), start_ms=2000)]

    assert composed(masked_keys(reads), "us") == "]C0TS12|411111xxxxxx1111"


def test_a_flood_of_keys_is_cut_at_its_lines_and_masked() -> None:
    seed = 20261122
    chance = random.Random(seed)
    presses = [
        press for _ in range(800) for press in us(chance.choice([f"{VISA}\r", f"]C0TS{VISA}\r", f"]C0{VISA}\r"]))
    ]
    reads = [KeyRead(ms=0, code=code, value=value) for code, _ in presses for value in (1, 0)]
    assert len(reads) > MAX_HELD_KEYS

    text = composed(masked_keys(reads), "us")

    assert VISA[6:-4] not in text, f"seed {seed}"


def test_a_flood_without_a_line_end_types_nothing() -> None:
    reads = [KeyRead(ms=0, code=code, value=value) for code, _ in us(VISA * 1000) for value in (1, 0)]

    codes = {read.code for read in masked_keys(reads)[:MAX_HELD_KEYS] if isinstance(read, KeyRead)}

    assert codes == {45}
