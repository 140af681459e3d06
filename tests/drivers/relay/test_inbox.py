"""Whoever puts something in wakes the thread that takes it."""

from __future__ import annotations

import threading

from drivers.relay.inbox import Inbox

WAIT_S = 20.0


def test_a_thread_that_waits_gets_what_another_one_puts_in() -> None:
    inbox: Inbox[int] = Inbox()
    putting = threading.Thread(target=inbox.put, args=(7,))

    putting.start()

    assert inbox.take(WAIT_S) == [7]
    putting.join()


def test_all_that_is_there_comes_at_once_and_in_order() -> None:
    inbox: Inbox[int] = Inbox()
    for number in range(1000):
        inbox.put(number)

    assert not inbox.is_empty
    assert inbox.take(WAIT_S) == list(range(1000))
    assert inbox.is_empty


def test_a_thread_can_be_woken_for_nothing_and_wakes_by_itself() -> None:
    inbox: Inbox[int] = Inbox()
    inbox.wake()

    assert inbox.take(WAIT_S) == []
    assert inbox.take(0.0) == []


def test_nothing_is_lost_when_wakings_pile_up() -> None:
    inbox: Inbox[int] = Inbox()
    for _ in range(1000):
        inbox.wake()
    inbox.put(1)

    assert inbox.take(WAIT_S) == [1]
    assert inbox.take(0.0) == [], "one look is enough for all of them"
