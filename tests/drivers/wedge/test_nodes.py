"""The order of keys that come from two event nodes."""

from __future__ import annotations

import random

from drivers.wedge.events import DeviceEvent
from drivers.wedge.nodes import NodeMerger, Read
from tests.drivers.wedge.keys import down, up

EVENTS = 12


class Node:
    """A node whose events become readable one look after another."""

    def __init__(self, *looks: list[DeviceEvent]) -> None:
        self._looks = list(looks)

    def read(self) -> list[DeviceEvent]:
        return self._looks.pop(0) if self._looks else []


def test_one_node_is_as_it_is() -> None:
    assert NodeMerger([Node([down(30, 1), up(30, 2)]).read]).take() == [down(30, 1), up(30, 2)]


def test_modifiers_on_another_node_come_where_they_belong() -> None:
    modifiers, keys = Node([down(42, 1), up(42, 4)]), Node([down(30, 2), up(30, 3)])

    for order in ([modifiers, keys], [Node([down(42, 1), up(42, 4)]), Node([down(30, 2), up(30, 3)])][::-1]):
        assert NodeMerger([each.read for each in order]).take() == [down(42, 1), down(30, 2), up(30, 3), up(42, 4)]


def test_a_modifier_that_shows_only_after_its_key_was_read_still_comes_before_it() -> None:
    # SHIFT goes down after the first node was looked at, and its key before the second one is
    modifiers, keys = Node([], [down(42, 1)], [up(42, 4)]), Node([down(30, 2)], [up(30, 3)])

    assert NodeMerger([modifiers.read, keys.read]).take() == [down(42, 1), down(30, 2), up(30, 3), up(42, 4)]


def test_any_interleaving_of_looks_gives_the_order_of_times() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(500):
        clock = _Kernel(chance)

        merger = NodeMerger([clock.reading(0), clock.reading(1)])
        taken: list[DeviceEvent] = []
        while len(taken) < EVENTS:
            taken += merger.take()

        assert taken == clock.happened


class _Kernel:
    """Two nodes to which events happen while they are being read."""

    def __init__(self, chance: random.Random) -> None:
        self.happened: list[DeviceEvent] = []
        self._chance = chance
        self._waiting: list[list[DeviceEvent]] = [[], []]
        self._left = EVENTS

    def reading(self, node: int) -> Read:
        def read() -> list[DeviceEvent]:
            for _ in range(self._chance.randrange(3)):
                if self._left:
                    self._left -= 1
                    event = down(30, len(self.happened))
                    self.happened.append(event)
                    self._waiting[self._chance.randrange(2)].append(event)
            events, self._waiting[node] = self._waiting[node], []
            return events

        return read
