"""The fiscal code on a receipt's paper, scanned by the cashier: one transaction with the text, and nobody else's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from agent.desk import Desk
from agent.scanned_receipts import SCANNED_WITHIN, ScannedReceipts
from agent.scans import ScanIntake
from agent.view import NoticeView
from drivers.scanning.driver import ScanEvent
from drivers.scanning.receipt_codes import names_receipt
from drivers.scanning.scan import parse_scan
from loyalty.identification import IdentificationRule
from loyalty.receipt import Receipt
from sync.store.errors import StoreUnavailableError
from tests.agent.shop import BOOT, MORNING, OPTIONS, Shop, at
from tests.agent.test_scans import centre_is_away, desk_of
from tests.drivers.receipts.codes import HR_URL, JIR, SI_DIGITS, ZKI, purs_bytes, purs_url

# Issued at 10:07 in Zagreb, which is 420 s after MORNING.
CODE = HR_URL.replace("20261122_0907", "20261122_1007")
ISSUED_S = 420


def serbian(*, amount: int = 268_2800, at_s: float = ISSUED_S, invoice: int = 0) -> str:
    milliseconds = int((MORNING + timedelta(seconds=at_s)).timestamp() * 1000)
    return purs_url(purs_bytes(amount=amount, milliseconds=milliseconds, invoice=invoice))


def printed(*, total: str = "268,28", codes: str = f"ZKI: {ZKI}\nJIR: {JIR}\n") -> bytes:
    """The text of the receipt that CODE stands on."""
    return (
        f"\x1b@SUPERMARKET\nSTORE 12  REGISTER 3\nRECEIPT NO 7\n2026-11-22 10:07\nKAVA 1 x {total}  {total}\n"
        f"TOTAL EUR  {total}\nCASH  {total}\n{codes}\n\x1dV\x00"
    ).encode()


class Counter:
    """A register whose scanner and printer are used by hand."""

    def __init__(self, shop: Shop, *, store: object = None) -> None:
        self.shop = shop
        self.desk: Desk = desk_of(shop)
        self.slept: list[float] = []
        receipts = ScannedReceipts(
            store=store or shop.store,  # type: ignore[arg-type]
            page=self.desk,
            options=OPTIONS,
            boot=BOOT,
            rules=shop.rules,
            sleep=self._sleep,
        )
        self._scans = ScanIntake(
            store=shop.store,
            desk=self.desk,
            lookup=centre_is_away,
            guesses=lambda: True,
            book_receipt=receipts.take,
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def scan(
        self, text: str, seconds: float, *, rules: Sequence[IdentificationRule] = (), shared: bool = False
    ) -> None:
        scan = parse_scan(text, rules)
        await self._scans.take(ScanEvent(scan=scan, at=at(seconds), reader="counter", shared=shared))
        await self._scans.settled()

    async def prints(self, job: bytes, seconds: float) -> None:
        self.shop.print(job, seconds)
        await self.shop.take_all()

    def receipts(self) -> list[Receipt]:
        """The receipt entries, oldest first."""
        return [body.receipt for body in self.shop.bodies()]

    @property
    def notice(self) -> NoticeView | None:
        # Notices are shown for some seconds of the desk's clock, which stands still.
        return self.desk.state().notice


@pytest.fixture
async def counter(shop: Shop) -> Counter:
    await shop.seed()
    return Counter(shop)


def raster_job() -> bytes:
    """What a driver that draws everything sends: 64 rows of 8 dots, and a cut."""
    return b"\x1b@\x1dv0\x00\x01\x00\x40\x00" + bytes(64) + b"\x1dV\x00"


async def test_a_receipt_that_was_drawn_is_booked_from_the_code_on_its_paper(counter: Counter) -> None:
    # given a customer, and a job that nobody can read
    await counter.scan("TS1001", 400)
    await counter.prints(raster_job(), 425)
    assert [item.reason for item in counter.shop.store.quarantined()] == ["raster_only"]
    assert counter.receipts() == []

    # when the cashier scans the paper
    await counter.scan(f"]Q1{serbian()}", 430)

    # then it is the customer's sale
    (body,) = counter.shop.bodies()
    assert body.member == "m-ana"
    assert body.receipt.member
    assert body.receipt.member.code == "TS1001"
    assert (body.receipt.total_minor, body.receipt.currency, body.receipt.kind) == (26828, "RSD", "sale")
    assert body.receipt.fiscal
    assert body.receipt.fiscal.number == "746DUV64-746DUV64-16898"
    assert (body.receipt.store, body.receipt.register) == ("12", "3")
    assert [claim.points for claim in body.claims] == [40]
    assert counter.shop.store.unused_scans() == ()
    sale = counter.desk.state().sale
    assert sale is not None
    assert (sale.total_minor, sale.points) == (26828, 40)


@pytest.mark.parametrize("code", [CODE, f"https://porezna.gov.hr/rn?zki={ZKI}&datv=20261122_1007&izn=268,28"])
@pytest.mark.parametrize("code_first", [True, False])
async def test_text_and_code_are_one_transaction_whichever_comes_first(
    counter: Counter, code: str, code_first: bool
) -> None:
    await counter.scan("TS1001", 400)
    if code_first:
        await counter.scan(code, 425)
        await counter.prints(printed(), 430)
    else:
        await counter.prints(printed(), 425)
        await counter.scan(code, 430)

    # then the member has it once, and the text's lines are there
    told = counter.receipts()
    assert len({receipt.key for receipt in told}) == 1
    assert [line.description for line in told[-1].lines or ()] == ["KAVA"]
    first = counter.shop.bodies()[0]
    assert first.member == "m-ana"
    assert counter.shop.store.quarantined() == ()


async def test_a_second_scan_of_the_same_paper_gives_nothing_more_and_takes_nobodys_scan(counter: Counter) -> None:
    await counter.scan("TS1001", 1)
    await counter.scan(serbian(at_s=1), 2)
    await counter.scan("TS1002", 3)

    await counter.scan(serbian(at_s=1), 9)

    assert [receipt.total_minor for receipt in counter.receipts()] == [26828]
    assert [scan.code for scan in counter.shop.store.unused_scans()] == ["TS1002"]
    assert counter.notice == NoticeView(kind="receipt_known")


@pytest.mark.parametrize("off_s", [-SCANNED_WITHIN.total_seconds() - 1, SCANNED_WITHIN.total_seconds() + 1])
async def test_a_code_of_another_time_books_nothing(counter: Counter, off_s: float) -> None:
    await counter.scan("TS1001", 5)

    await counter.scan(serbian(at_s=10 + off_s), 10)

    assert counter.receipts() == []
    assert [scan.code for scan in counter.shop.store.unused_scans()] == ["TS1001"]
    assert counter.notice == NoticeView(kind="receipt_code_old")


async def test_a_damaged_code_asks_for_another_scan(counter: Counter) -> None:
    await counter.scan(serbian()[:-30], 10)

    assert counter.receipts() == []
    assert counter.notice == NoticeView(kind="receipt_code_broken")


async def test_a_code_that_the_pos_asked_for_says_nothing_on_the_page(counter: Counter) -> None:
    """With a shared scanner: a return asks for its original's code."""
    await counter.scan(serbian(at_s=-SCANNED_WITHIN.total_seconds()), 10, shared=True)
    assert counter.notice is None

    await counter.scan(serbian(at_s=5), 10, shared=True)
    await counter.scan(serbian(at_s=5), 12, shared=True)
    assert len(counter.receipts()) == 1
    assert counter.notice is None


@pytest.mark.parametrize("invoice", [1, 2, 3])
async def test_what_is_no_sale_by_its_code_earns_nothing(counter: Counter, invoice: int) -> None:
    """A proforma, a copy, a training receipt."""
    await counter.scan("TS1001", 400)

    await counter.scan(serbian(invoice=invoice), 425)

    assert [body.claims for body in counter.shop.bodies()] in ([], [()])


async def test_another_amount_under_the_same_number_is_kept_for_a_person(counter: Counter) -> None:
    await counter.scan(serbian(), 425)

    await counter.scan(serbian(amount=999_0000), 430)

    assert [item.reason for item in counter.shop.store.quarantined()] == ["conflict"]
    assert [receipt.total_minor for receipt in counter.receipts()] == [26828]


async def test_a_disk_that_refuses_is_asked_again(shop: Shop) -> None:
    class Refusing:
        refusals = 2

        async def write(self, work: object) -> object:
            if self.refusals:
                self.refusals -= 1
                raise StoreUnavailableError("full")
            return await shop.store.write(work)  # type: ignore[arg-type]

    await shop.seed()
    counter = Counter(shop, store=Refusing())

    await counter.scan(serbian(), 425)

    assert len(counter.slept) == 2
    assert len(counter.receipts()) == 1


@pytest.mark.parametrize(
    "text",
    [
        SI_DIGITS,
        "4006381333931",
        "TS1001",
        "https://shop.example/rn?jir=1",
        "https://suf.purs.gov.rs.example/v/?vl=AA",
        f"see {CODE}",
        "",
    ],
)
def test_what_else_is_scanned_is_no_receipts_code(text: str) -> None:
    assert not names_receipt(parse_scan(text))


def test_a_rule_of_the_shop_has_the_last_word() -> None:
    rule = IdentificationRule(name="links", pattern="https://porezna.gov.hr/rn?jir={code}&*")

    assert names_receipt(parse_scan(CODE))
    assert not names_receipt(parse_scan(CODE, (rule,)))


def test_the_times_of_these_codes() -> None:
    """The others stand on this one."""
    assert datetime.fromisoformat("2026-11-22T10:07:00+01:00") == MORNING + timedelta(seconds=ISSUED_S)
