"""A voucher that is scanned at the register's own scanner, or typed into the page by a keyboard scanner.

Owns which scans are vouchers, and which sale takes one: the one that a POS has open and touched last, else what the
page shows. Both go by the doors that a POS and the cashier use (`agent.sales`, `agent.counter`); what came of it is
said on the page. A scan that a rule claims as a member's is none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import structlog

from agent.counter import Counter
from agent.desk import Desk
from agent.problem import MalformedBodyError
from agent.sale_shapes import RedemptionGiven, Refused, SaleRefusedError
from agent.sales import Sales
from drivers.scanning.driver import ScanEvent
from drivers.scanning.scan import Scan
from loyalty.identification import normal_code
from loyalty.program import Program
from loyalty.rewards import by_code
from loyalty.voucher_codes import is_voucher_code
from sync.store.errors import StoreError
from sync.store.rows import KeptSale
from sync.store.store import Store

# What the page has no words for: the basket of a POS, or its sale, is not there yet, or no more.
_OF_POS: Final = frozenset({"no_basket", "closed"})

log = structlog.get_logger(__name__)


def is_voucher(scan: Scan, program: Program | None) -> bool:
    """Whether a scan is an issued voucher's, or a code of the program in force."""
    if scan.member is not None and scan.member.claimed:
        return False
    code = normal_code(scan.text)
    return is_voucher_code(code) or (program is not None and by_code(program, code) is not None)


class VoucherScans:
    """Takes the vouchers that the scanners of a register read."""

    def __init__(
        self, store: Store, desk: Desk, sales: Sales, counter: Counter, program: Callable[[], Program | None]
    ) -> None:
        """`program` is the one in force now."""
        self._store = store
        self._desk = desk
        self._sales = sales
        self._counter = counter
        self._program = program

    def claims(self, scan: Scan) -> bool:
        return is_voucher(scan, self._program())

    async def take(self, event: ScanEvent) -> None:
        """Reserves what it brings, and says so. Never raises what a cashier can do nothing about."""
        refused: Refused | Literal["silent"] | None = None
        try:
            await self._reserve(event.scan.text)
        except SaleRefusedError as error:
            refused = "not_for_basket" if error.reason in _OF_POS else error.reason
        except (StoreError, MalformedBodyError) as error:
            log.warning("voucher_not_taken", error=type(error).__name__)
            refused = "silent"
        self._desk.tell("voucher", event.at, reason=refused)

    async def _reserve(self, text: str) -> None:
        of_pos = [sale for sale in self._store.open_sales() if not sale.by_page]
        last = max(of_pos, key=lambda sale: (sale.touched.wall, sale.touched.monotonic_ns), default=None)
        if last is not None and not self._is_parked(last):
            await self._sales.redeem(last.id, RedemptionGiven(voucher=text), None)
        else:
            await self._counter.take(text)

    def _is_parked(self, sale: KeptSale) -> bool:
        """Whether it is another customer's than whoever was scanned since."""
        serving = self._desk.serving()
        if serving is None or sale.member is None or sale.member.code == serving.code:
            return False
        return serving.at.ns_since(sale.touched) > 0
