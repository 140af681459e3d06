"""What belongs to the goods that were scanned just before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from drivers.scanning.composite import COMPOSITE_WITHIN_MS, CompositeJoiner, with_linear
from drivers.scanning.repeats import RepeatFilter
from drivers.scanning.scan import parse_scan
from loyalty.instant import Instant

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
EAN = parse_scan("]E05901234123457")
COMPONENT = parse_scan("]e010LOT7\x1d21SERIAL")


def at(ms: int) -> Instant:
    return Instant(wall=START + timedelta(milliseconds=ms), boot="b", monotonic_ns=ms * 1_000_000)


def test_the_second_message_is_about_the_goods_of_the_first() -> None:
    joiner = CompositeJoiner()

    first = joiner.joined(EAN, "counter", at(0))
    second = joiner.joined(COMPONENT, "counter", at(60))

    assert first is EAN
    assert second.gs1 == {"01": "05901234123457", "10": "LOT7", "21": "SERIAL"}
    assert second.identifier == EAN.identifier
    assert (second.text, second.aim, second.member) == (COMPONENT.text, "]e0", None)


@pytest.mark.parametrize("aim", ["]e0", "]e1", "]e2", "]e3", ""])
def test_whatever_a_scanner_calls_a_component(aim: str) -> None:
    assert with_linear(parse_scan(aim + "17261231" + "10A<GS>21B"), EAN).identifier == EAN.identifier


@pytest.mark.parametrize(
    "second",
    [
        "]C0M001234",  # a card
        "M001234",
        "]e00109501101530003" + "10A",  # goods of its own
        "]C110LOT7",  # no component
        "]e000" + "006141411234567890",  # a pallet
        "]Q1https://example.org",  # nobody and nothing
        "]C18018950110153000000014",  # a member's service relation
        "]E05901234123457",
    ],
)
def test_what_stands_for_itself_stays_as_it_is(second: str) -> None:
    scan = parse_scan(second)

    assert with_linear(scan, EAN) is scan


@pytest.mark.parametrize("first", ["]C0M001234", "]E05901234123456", "]Q1https://example.org"])
def test_only_goods_have_components(first: str) -> None:
    assert with_linear(COMPONENT, parse_scan(first)) is COMPONENT


def test_later_from_elsewhere_or_after_another_code_nothing_is_joined() -> None:
    late, elsewhere, behind = CompositeJoiner(), CompositeJoiner(), CompositeJoiner()
    card = parse_scan("]C0M001234")

    late.joined(EAN, "counter", at(0))
    elsewhere.joined(EAN, "counter", at(0))
    behind.joined(EAN, "counter", at(0))
    behind.joined(card, "counter", at(10))

    assert late.joined(COMPONENT, "counter", at(COMPOSITE_WITHIN_MS + 1)) is COMPONENT
    assert elsewhere.joined(COMPONENT, "scale", at(20)) is COMPONENT
    assert behind.joined(COMPONENT, "counter", at(20)) is COMPONENT


def test_a_clock_that_went_back_joins_nothing() -> None:
    joiner = CompositeJoiner()
    joiner.joined(EAN, "counter", at(1000))

    assert joiner.joined(COMPONENT, "counter", at(0)) is COMPONENT


def test_one_message_has_one_component() -> None:
    joiner = CompositeJoiner()
    joiner.joined(EAN, "counter", at(0))
    joiner.joined(COMPONENT, "counter", at(10))

    assert joiner.joined(COMPONENT, "counter", at(20)) is COMPONENT


def test_a_composite_left_in_the_beam_is_one_scan_of_each_part() -> None:
    # given a scanner in presentation mode, which sends both parts again and again
    joiner, repeats = CompositeJoiner(), RepeatFilter()
    taken = []

    # when
    for reading in range(10):
        for delay, heard in ((0, EAN), (40, COMPONENT)):
            moment = at(reading * 300 + delay)
            scan = joiner.joined(heard, "counter", moment)
            if not repeats.is_repeat(scan.text, "counter", moment, component=scan is not heard):
                taken.append(scan.text)

    # then
    assert taken == [EAN.text, COMPONENT.text]


def test_the_same_lot_of_another_product_is_no_repeat() -> None:
    repeats = RepeatFilter()

    sightings = [("A", False), ("LOT", True), ("B", False), ("LOT", True), ("A", False), ("LOT", True)]
    repeated = [
        repeats.is_repeat(code, "counter", at(10 * number), component=component)
        for number, (code, component) in enumerate(sightings)
    ]

    assert not any(repeated)


def test_a_component_belongs_to_one_sight_of_its_goods_until_others_are_read() -> None:
    repeats = RepeatFilter(within_ms=1000)

    sightings = [("A", False), ("LOT", True), ("A", False), ("LOT", True), ("B", False), ("LOT", True)]
    repeated = [
        repeats.is_repeat(code, "counter", at(10 * number), component=component)
        for number, (code, component) in enumerate(sightings)
    ]

    assert repeated == [False, False, True, True, False, False]


def test_what_comes_within_the_time_is_joined_to_its_last_moment() -> None:
    joiner = CompositeJoiner(within_ms=100)
    joiner.joined(EAN, "counter", at(0))

    assert joiner.joined(COMPONENT, "counter", at(100)) is not COMPONENT
