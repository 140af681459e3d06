"""A till while it is played: turns planned steps into print jobs, and remembers what it printed.

Owns receipt numbers and what was sent to the printer. Never says what a receipt is worth.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from agent.demo.floor import Register
from agent.demo.plan import Step
from agent.demo.pos import Issued, ReceiptSpec, compose_card_slip, compose_fiscal_receipt, pfr_number
from agent.demo.shop import TIME_ZONE

CASHIER = "Savka"


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """A receipt that was printed: how it is named, and its bytes."""

    issued: Issued
    job: bytes


class Till:
    """One register with its cashier. `printed` is shared: a return may name another till's sale."""

    def __init__(self, register: Register, printed: dict[str, Printed]) -> None:
        self.register = register
        self._printed = printed
        self._receipts = 0
        self._by_kind: Counter[str] = Counter()
        self._sent: list[bytes] = []

    async def serve(self, step: Step) -> None:
        """Scan the cards of a step, then print it."""
        await self.scan(step)
        await self.print(step)

    async def scan(self, step: Step) -> None:
        for card in (step.first_card, step.card):
            if card is not None:
                await self.register.scan(card)

    async def print(self, step: Step) -> None:
        job = self._job(step)
        self._sent.append(job)
        await self.register.print(job)

    def _job(self, step: Step) -> bytes:
        now = datetime.now(ZoneInfo(TIME_ZONE))
        if step.kind == "card_slip":
            return compose_card_slip(amount_minor=step.total_minor, at=now, terminal="T0004711", authorisation="083421")
        if step.kind == "reprint":
            return self._printed[step.of or ""].job
        self._receipts += 1
        self._by_kind[step.kind] += 1
        spec = ReceiptSpec(
            number=self._receipts,
            number_of_kind=self._by_kind[step.kind],
            items=step.items,
            issued_at=now,
            cashier=CASHIER,
            tender=step.tender,
            original=self._printed[step.of].issued if step.of is not None else None,
            is_copy=step.kind == "copy",
            voucher_minor=step.voucher_minor,
        )
        shop = self.register.shop
        job = compose_fiscal_receipt(spec, shop)
        self._printed[step.name] = Printed(issued=Issued(number=pfr_number(spec, shop), issued_at=now), job=job)
        return job

    def printed_differently(self) -> int:
        """Jobs whose bytes on paper are not those that were sent (each is followed by a status request)."""
        papers = self.register.printer.connections
        changed = sum(bytes(paper)[: len(sent)] != sent for paper, sent in zip(papers, self._sent, strict=False))
        return changed + abs(len(self._sent) - len(papers))
