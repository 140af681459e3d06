"""What waits for the POS is bounded in time and room, and given up as whole codes."""

from __future__ import annotations

import random

import pytest

from drivers.relay.pos_outbox import PosOutbox
from drivers.relay.scanner_passage import Passed

S = 1_000_000_000


def code(number: int, data: bytes = b"4006381333931\r") -> Passed:
    return Passed(data=data, code=number)


def test_codes_come_out_in_their_order_once() -> None:
    outbox = PosOutbox(waits_s=3)
    outbox.put(code(1, b"a"), 0)
    outbox.put(code(2, b"b"), S)

    assert outbox.take(2 * S) == b"ab"
    assert outbox.take(2 * S) == b""


def test_old_codes_are_given_up() -> None:
    outbox = PosOutbox(waits_s=3)
    outbox.put(code(1, b"old"), 0)
    outbox.put(code(2, b"new"), 2 * S)

    assert outbox.take(4 * S) == b"new"
    assert outbox.dropped == 1


def test_a_code_that_came_in_pieces_is_given_up_with_those_still_to_come() -> None:
    outbox = PosOutbox(waits_s=3)
    outbox.put(code(1, b"40063"), 0)
    outbox.put(code(1, b"81333"), 2 * S)
    assert outbox.take(4 * S) == b""

    outbox.put(code(1, b"931\r"), 4 * S)
    outbox.put(code(2, b"next"), 4 * S)

    assert outbox.take(4 * S) == b"next"
    assert outbox.dropped == 1


def test_beyond_its_room_the_oldest_are_given_up() -> None:
    outbox = PosOutbox(max_bytes=100)
    for number in range(30):
        outbox.put(code(number, b"%02d23456789" % number), 0)

    assert outbox.take(0) == b"".join(b"%02d23456789" % number for number in range(20, 30))
    assert outbox.dropped == 20


def test_what_the_pos_surely_did_not_get_is_sent_again_and_what_it_may_have_got_is_not() -> None:
    outbox = PosOutbox()
    outbox.put(code(1, b"a"), 0)
    outbox.put(code(2, b"b"), 0)
    assert outbox.take(0) == b"ab"
    outbox.put_back()
    outbox.put(code(3, b"c"), 0)
    assert outbox.take(0) == b"abc"

    outbox.give_up()
    outbox.put(code(3, b"rest of c"), 0)

    assert outbox.take(0) == b""
    assert outbox.dropped == 3


def test_what_was_put_back_gets_no_younger() -> None:
    outbox = PosOutbox(waits_s=3)
    outbox.put(code(1), 0)
    for second in range(4):
        outbox.take(second * S)
        outbox.put_back()

    assert outbox.take(4 * S) == b""
    assert outbox.dropped == 1


@pytest.mark.parametrize("seed", range(50))
def test_whatever_happens_no_code_comes_in_part_or_twice(seed: int) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    outbox = PosOutbox(waits_s=1, max_bytes=60)
    now = 0
    sent = b""
    for number in range(60):
        for piece in range(3):
            now += chance.randrange(S // 2)
            outbox.put(code(number, b"%d/%d " % (number, piece)), now)
            if chance.random() < 0.4:
                taken = outbox.take(now)
                if chance.random() < 0.3:
                    outbox.put_back()
                else:
                    sent += taken
    sent += outbox.take(now)

    order = [tuple(map(int, piece.split(b"/"))) for piece in sent.split()]
    assert order == sorted(set(order)), "in order, none twice"
    for number in {number for number, _ in order}:
        pieces = [piece for each, piece in order if each == number]
        assert pieces == list(range(len(pieces))), "from its beginning"
