"""Where a typed code begins and ends, and that nothing torn is ever taken for a code."""

from __future__ import annotations

import random
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.wedge.composer import (
    IDLE_MS,
    MAX_CODE_CHARS,
    REMEDIES,
    TYPED_CHARS,
    TYPED_GAP_MS,
    ComposedCode,
    Dropped,
    EndedBy,
    KeyComposer,
    Prefix,
    Suffix,
)
from drivers.wedge.encode import encode
from drivers.wedge.events import REPEAT, CapsLight, DeviceEvent, EventsLost, KeyEvent
from drivers.wedge.keymaps import LAYOUTS
from tests.drivers.wedge.keys import MS, at, down, press

PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
A, CAPS, ENTER, SHIFT, F5 = 30, 58, 28, 42, 63


def codes_of(composer: KeyComposer, *events: DeviceEvent) -> list[str]:
    return [code.text for event in events for code in composer.feed(event)]


@pytest.mark.parametrize("alt", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_printable_character_comes_back_on_every_layout(layout: str, alt: bool) -> None:
    composer = KeyComposer(layout)
    text = PRINTABLE + "\x1d" + PRINTABLE[::-1] + "".join(char * 2 for char in PRINTABLE)

    assert codes_of(composer, *encode(layout, text, alt=alt)) == [text]
    assert not composer.dropped


@given(
    layout=st.sampled_from(sorted(LAYOUTS)),
    text=st.text(st.sampled_from(PRINTABLE + "\x1d"), min_size=1),
    alt=st.booleans(),
)
def test_any_text_comes_back_but_where_a_dead_key_means_an_accent(layout: str, text: str, alt: bool) -> None:
    assert codes_of(KeyComposer(layout), *encode(layout, text, alt=alt)) == [text]


@pytest.mark.parametrize(("key", "ended_by"), [(28, "enter"), (96, "enter"), (15, "tab")])
def test_enter_or_tab_ends_a_code_where_no_suffix_is_set(key: int, ended_by: EndedBy) -> None:
    composer = KeyComposer("us")
    events = [*encode("us", "ONE", suffix=None), down(key, 20)]

    (code,) = [code for event in events for code in composer.feed(event)]

    assert code == ComposedCode(text="ONE", at_ns=20 * MS, ended_by=ended_by)


def test_ends_without_a_code_between_them_are_none() -> None:
    composer = KeyComposer("us")

    assert codes_of(composer, *press(ENTER), *encode("us", "A"), *press(ENTER), *press(15), *encode("us", "B")) == [
        "A",
        "B",
    ]


def test_a_set_suffix_leaves_the_other_key_in_the_code() -> None:
    assert codes_of(KeyComposer("us", suffix="enter"), *encode("us", "A\tB")) == ["A\tB"]
    assert codes_of(KeyComposer("us", suffix="tab"), *encode("us", "A\rB", suffix="tab")) == ["A\rB"]


@pytest.mark.parametrize("prefix", ["enter", "tab"])
@pytest.mark.parametrize("suffix", [None, "enter", "tab"])
def test_a_prefix_leads_each_code_and_a_text_without_it_is_dropped(prefix: Prefix, suffix: Suffix | None) -> None:
    composer = KeyComposer("us", prefix=prefix, suffix=suffix)
    end = "enter" if suffix is None else suffix
    assert prefix != "none"
    assert end != "none"

    def scan(text: str) -> list[KeyEvent]:
        return encode("us", text, prefix=prefix, suffix=end)

    texts = codes_of(composer, *scan("ONE"), *encode("us", "TORN", suffix=end), *scan("TWO"), *scan("THREE"))

    assert texts == ["ONE", "TWO", "THREE"]
    assert composer.dropped == {"prefix_missing": 1}


def test_a_prefix_in_the_middle_shows_that_a_suffix_was_lost() -> None:
    composer = KeyComposer("us", prefix="tab", suffix="enter")

    texts = codes_of(composer, *encode("us", "TORN", prefix="tab", suffix=None), *encode("us", "WHOLE", prefix="tab"))

    assert texts == ["WHOLE"]
    assert composer.dropped == {"suffix_missing": 1}


def test_a_code_without_its_suffix_is_dropped_after_the_idle_time_and_does_not_spoil_the_next() -> None:
    composer = KeyComposer("us", idle_ms=100)
    codes_of(composer, *encode("us", "TORN", suffix=None))
    last_ns = 15 * MS  # SHIFT is released
    assert composer.idle(last_ns + 99 * MS) == []
    assert not composer.dropped
    assert composer.idle_due_in_s(last_ns + 90 * MS) == pytest.approx(0.01)

    assert composer.idle(last_ns + 100 * MS) == []

    assert composer.dropped == {"suffix_missing": 1}
    assert composer.idle_due_in_s(last_ns + 100 * MS) is None
    assert codes_of(composer, *encode("us", "WHOLE", start_ns=1000 * MS)) == ["WHOLE"]


def test_keys_after_the_silence_drop_what_was_torn_when_no_timer_did() -> None:
    composer = KeyComposer("us")
    codes_of(composer, *encode("us", "TORN", suffix=None))

    assert codes_of(composer, *encode("us", "WHOLE", start_ns=(IDLE_MS + 20) * MS)) == ["WHOLE"]


def test_without_a_suffix_silence_ends_a_code_at_its_last_character() -> None:
    composer = KeyComposer("us", suffix="none", idle_ms=50)
    codes_of(composer, *encode("us", "AB\r1", suffix=None, step_ns=2 * MS))
    assert composer.idle(26 * MS + 49 * MS) == []

    (code,) = composer.idle(26 * MS + 50 * MS)

    assert code == ComposedCode(text="AB\r1", at_ns=24 * MS, ended_by="idle")


def test_the_longest_code_passes_and_a_longer_one_is_dropped_once() -> None:
    composer = KeyComposer("us", max_chars=20)

    assert codes_of(composer, *encode("us", "x" * 20), *encode("us", "x" * 60), *encode("us", "next")) == [
        "x" * 20,
        "next",
    ]
    assert composer.dropped == {"too_long": 1}


def test_lost_events_drop_the_code_that_they_were_part_of() -> None:
    scan = encode("us", "M123456")
    for cut in range(len(scan)):
        composer = KeyComposer("us")
        held = frozenset({SHIFT} if cut in {1, 2, 3} else ())
        lost = EventsLost(held=held, at_ns=scan[cut].at_ns)

        texts = codes_of(composer, *scan[:cut], lost, *scan[cut + 2 :], *encode("us", "NEXT", start_ns=50 * MS))

        # what ended before the loss is whole; the next one counts if its predecessor's end was heard
        assert set(texts) <= {"M123456", "NEXT"}
        assert ("M123456" in texts) == (scan[cut] in scan[-1:])
        assert composer.dropped == {"events_lost": 1}


def test_a_loss_at_rest_spoils_nothing_after_a_silence() -> None:
    composer = KeyComposer("us")

    assert codes_of(composer, EventsLost(held=frozenset(), at_ns=0), *encode("us", "A", start_ns=IDLE_MS * MS)) == ["A"]


def test_a_shift_that_was_never_released_is_forgotten_after_a_silence() -> None:
    composer = KeyComposer("us")

    assert codes_of(
        composer, *encode("us", "12"), down(SHIFT, 10), *encode("us", "12", start_ns=(IDLE_MS + 10) * MS)
    ) == ["12", "12"]


def test_a_key_that_the_layout_does_not_have_drops_the_code_and_names_the_layout() -> None:
    composer = KeyComposer("us")

    assert codes_of(composer, *encode("de", "a@b"), *encode("us", "next")) == ["next"]
    assert composer.dropped == {"key_unknown": 1}
    assert "layout" in REMEDIES["key_unknown"]


def test_commands_inside_a_code_are_inert() -> None:
    one, two = encode("us", "1", suffix=None), encode("us", "2")

    assert codes_of(KeyComposer("us"), *one, *press(F5), *press(56, 62), *press(125, 19), *two) == ["12"]


def test_the_caps_light_counts_between_codes_not_within_one() -> None:
    composer = KeyComposer("us")
    # the scanner presses CapsLock around its letters, and the host switches the light late
    scan: list[DeviceEvent] = [*press(CAPS), down(A), *press(CAPS), CapsLight(on=True, at_ns=0), down(A)]

    assert codes_of(composer, *scan, CapsLight(on=False, at_ns=0), *press(ENTER), down(A), *press(ENTER)) == ["Aa", "a"]
    assert codes_of(composer, down(A), CapsLight(on=True, at_ns=0), *press(ENTER), down(A), *press(ENTER)) == ["a", "A"]


def test_a_key_that_repeats_does_not_keep_a_torn_code_alive() -> None:
    composer = KeyComposer("us", idle_ms=100)

    texts = codes_of(
        composer, down(A), *[KeyEvent(code=A, value=REPEAT, at_ns=n * 30 * MS) for n in range(9)], *press(ENTER, ms=270)
    )

    assert texts == []
    assert composer.dropped == {"suffix_missing": 1}


def typist(text: str, gap_ms: float) -> list[KeyEvent]:
    keys = [key for char in text for key in press({"1": 2, "2": 3, "3": 4, "4": 5, "5": 6, "\r": ENTER}[char])]
    return at(keys, 0, gap_ms / 2)


def test_what_people_type_is_no_code_where_typing_is_ignored() -> None:
    composer = KeyComposer("us", gap_ms=TYPED_GAP_MS, min_chars=TYPED_CHARS)

    assert codes_of(composer, *typist("12345\r", 120)) == []
    assert codes_of(composer, *at(encode("us", "12345"), 1000)) == ["12345"]
    assert codes_of(composer, *at(encode("us", "123"), 2000), *at(encode("us", "12345"), 3000)) == ["12345"]
    assert composer.dropped == {"typed": 2}


def test_a_pause_within_a_scan_drops_it_rather_than_its_beginning() -> None:
    composer = KeyComposer("us", gap_ms=TYPED_GAP_MS, min_chars=TYPED_CHARS)
    first, rest = encode("us", "12", suffix=None), encode("us", "3456789")

    assert codes_of(composer, *at(first, 0), *at(rest, 4 + TYPED_GAP_MS)) == []
    assert composer.dropped == {"typed": 1}


def test_typing_that_stops_is_typing_and_no_torn_scan() -> None:
    composer = KeyComposer("us", gap_ms=TYPED_GAP_MS, min_chars=TYPED_CHARS)
    codes_of(composer, *typist("12345", 120))

    assert composer.idle(10_000 * MS) == []

    assert composer.dropped == {"typed": 1}


def test_every_reason_has_a_remedy() -> None:
    assert set(REMEDIES) == set(Dropped.__args__)  # type: ignore[attr-defined]


STREAMS = 200_000


def test_mutated_keys_never_raise_and_take_no_memory() -> None:
    seed = time.time_ns()
    print(f"seed {seed}")
    chance = random.Random(seed)
    scans = {name: [encode(name, PRINTABLE[n : n + 13], alt=n % 3 == 0) for n in range(60)] for name in LAYOUTS}
    settings: list[tuple[Prefix, Suffix | None]] = [
        ("none", None),
        ("none", "none"),
        ("tab", "enter"),
        ("enter", "enter"),
    ]
    composers = [(name, KeyComposer(name, prefix=each[0], suffix=each[1])) for name in LAYOUTS for each in settings]
    codes = now_ns = 0
    for number in range(STREAMS):
        name, composer = composers[number % len(composers)]
        scan = scans[name][number % 60]
        start = chance.randrange(len(scan))
        now_ns += chance.choice((1, 8, 400)) * MS
        for event in mutated(scan[start : start + 5], now_ns, chance):
            codes += len(composer.feed(event))

    assert codes > 0
    assert all(len(composer._text) <= MAX_CODE_CHARS for _, composer in composers)


def test_endless_noise_takes_no_memory() -> None:
    composer = KeyComposer("us", gap_ms=TYPED_GAP_MS)
    noise = encode("us", PRINTABLE, suffix=None)
    tracemalloc.start()
    try:
        for _ in range(3 * MAX_CODE_CHARS // len(PRINTABLE)):
            codes_of(composer, *noise)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 1_000_000
    assert composer.dropped == {"too_long": 1}


def mutated(keys: list[KeyEvent], now_ns: int, chance: random.Random) -> list[DeviceEvent]:
    """`keys` at `now_ns`, with one of the things that can happen to them."""
    events: list[DeviceEvent] = [KeyEvent(code=key.code, value=key.value, at_ns=now_ns) for key in keys]
    place = chance.randrange(len(events) + 1)
    match chance.randrange(6):
        case 0:
            del events[place : place + 2]
        case 1:
            events.insert(place, KeyEvent(code=chance.randrange(768), value=chance.randrange(3), at_ns=now_ns))
        case 2:
            events[place:place] = events[:place]
        case 3:
            events.reverse()
        case 4:
            events.insert(place, EventsLost(held=frozenset({chance.randrange(128), 42}), at_ns=now_ns))
        case _:
            events.insert(place, CapsLight(on=chance.random() < 0.5, at_ns=now_ns))
    return events
