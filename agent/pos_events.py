"""What happens at a register, numbered, for a POS that listens: who is the customer, and what a receipt gave.

Owns the shapes of events, their numbers, and how many are kept for who comes back. Pure: time comes with each call.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from agent.view import BadgeView, CustomerView, SaleView
from loyalty.receipt import AwareDatetime

# Some hours of a busy till; a POS that was away for longer is told how it stands instead.
MAX_KEPT: Final = 1000

_encode = msgspec.json.Encoder().encode


class StateEvent(Struct, frozen=True, kw_only=True, tag_field="type", tag="state"):
    """How the register stands after event `seq`: told to who comes anew, or was away for too long."""

    seq: int
    customer: CustomerView | None
    badge: BadgeView


class CustomerEvent(Struct, frozen=True, kw_only=True, tag_field="type", tag="customer"):
    """Who is being served is another now, or something of them is; None where it is nobody."""

    seq: int
    at: AwareDatetime
    customer: CustomerView | None


class ReceiptEvent(Struct, frozen=True, kw_only=True, tag_field="type", tag="receipt"):
    """A receipt was kept: its key, the number on its paper, and what it gave."""

    seq: int
    at: AwareDatetime
    receipt: str
    number: str | None
    sale: SaleView


class BadgeEvent(Struct, frozen=True, kw_only=True, tag_field="type", tag="badge"):
    """The exchange with the centre began to stand, or ceased to."""

    seq: int
    at: AwareDatetime
    badge: BadgeView


PosEvent = CustomerEvent | ReceiptEvent | BadgeEvent


class PosEvents:
    """The last events of a register, each as it is sent."""

    def __init__(self, begun: datetime, badge: BadgeView) -> None:
        """Numbers go on above those of before a restart: they begin with the microsecond."""
        self._seq = int(begun.timestamp() * 1_000_000)
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=MAX_KEPT)
        self._first = self._seq
        self._customer: CustomerView | None = None
        self._badge = badge

    def take(self, customer: CustomerView | None, badge: BadgeView, at: datetime) -> None:
        """How it stands now; what is as before is no event, and neither is a queue that grew."""
        if customer != self._customer:
            self._customer = customer
            self._add(CustomerEvent(seq=self._next(), at=at, customer=customer))
        stood, self._badge = (self._badge.enrolled, self._badge.online), badge
        if stood != (badge.enrolled, badge.online):
            self._add(BadgeEvent(seq=self._next(), at=at, badge=badge))

    def receipt(self, key: str, number: str | None, sale: SaleView, at: datetime) -> None:
        """A receipt was kept."""
        self._add(ReceiptEvent(seq=self._next(), at=at, receipt=key, number=number, sale=sale))

    def after(self, seq: int | None) -> tuple[int, tuple[bytes, ...]]:
        """What to send to who knows all up to `seq` (None: nothing), and how far they have come then."""
        if seq is None or not self._first <= seq <= self._seq:
            return self._seq, (_encode(StateEvent(seq=self._seq, customer=self._customer, badge=self._badge)),)
        return self._seq, tuple(message for number, message in self._kept if number > seq)

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    def _add(self, event: PosEvent) -> None:
        if len(self._kept) == MAX_KEPT:
            self._first = self._kept[0][0]
        self._kept.append((event.seq, _encode(event)))
