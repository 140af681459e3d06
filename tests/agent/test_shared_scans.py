"""Scans of a scanner that the POS has too, from the relay's folder to receipts and the page, with a real store."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent.booking import checkout_of
from agent.checkout import UNUSED_MEMBER_CLEARS_AFTER
from agent.desk import Desk
from agent.scans import ScanIntake
from agent.view import PlaceView
from drivers.clock import now
from drivers.relay.clock import Moment
from drivers.relay.spool import ACKNOWLEDGED_NAME, Job, Origin, SpoolWriter, encode_record
from drivers.scanning.scan import parse_scan
from drivers.scanning.shared_scanner import SharedScannerDriver, scans_taken
from loyalty.identification import IdentificationRule
from sync.loop import LookedUp
from tests.agent.shop import ANA, BOOT, MORNING, Shop, at, never, receipt

RULES = (IdentificationRule(name="club", prefixes=("TS",), lengths=(6,)),)
WAIT_S = 20.0


class Counter:
    """A shop whose scanner is the relay's. `seconds` is what time it is."""

    def __init__(self, shop: Shop, folder: Path, seconds: float, **how: Any) -> None:
        self.shop = shop
        self.folder = folder
        self._relay = SpoolWriter(folder, cap_bytes=1_000_000)
        self.desk = Desk(
            language="en",
            place=PlaceView(store=None, register=None),
            clock=lambda: at(seconds),
            find_member=shop.store.member_by_code,
            checkout=checkout_of(shop.store, BOOT),
            schedule=never,
        )
        intake: dict[str, Any] = {"store": shop.store, "lookup": _centre_is_away, **how}
        self.scans = ScanIntake(desk=self.desk, guesses=lambda: False, **intake)

    def relay_keeps(self, code: str, seconds: float) -> None:
        moment = Moment(wall=MORNING + timedelta(seconds=seconds), monotonic_ns=int(seconds * 1e9))
        job = Job(payload=code.encode(), length=len(code), ended_by="suffix", captured=moment)
        origin = Origin(register="3", connection="1-scanner", boot=BOOT)
        assert self._relay.keep([encode_record(job, origin, late=False)]).error is None

    async def take_scans(self) -> None:
        """Run the driver until it has taken what waits."""
        ready = asyncio.Event()
        driver = SharedScannerDriver(
            {"name": "counter", "spool": str(self.folder)}, now, partial(parse_scan, rules=RULES)
        )
        task = asyncio.create_task(driver.run(self.scans.take, ready.set))
        await asyncio.wait_for(ready.wait(), WAIT_S)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def forget_what_was_taken(self) -> None:
        """As where the agent ended after it had taken a scan, and before it had said so."""
        (self.folder / ACKNOWLEDGED_NAME).unlink()

    async def take_receipts(self) -> None:
        shop = self.shop
        intake = shop.intake(scans_taken=partial(scans_taken, self.folder))
        await intake.take_new()

    def codes(self) -> list[str | None]:
        """The member code of each receipt, oldest first."""
        members = [body.receipt.member for body in self.shop.bodies()]
        return [member.code if member else None for member in members]


async def _centre_is_away(_code: str) -> LookedUp:
    return LookedUp()


async def test_receipts_that_are_read_first_wait_for_the_scans_made_before_them(shop: Shop, tmp_path: Path) -> None:
    # given an agent that was away while three customers were served
    await shop.seed()
    counter = Counter(shop, tmp_path / "scans", seconds=300)
    for number, code in enumerate(("]C0TS1001", "]C0TS1002", "]C0TS1001"), start=1):
        counter.relay_keeps(code, seconds=number * 60)
        shop.print(receipt(number), seconds=number * 60 + 30)

    # when it books the receipts before it has looked at the scans
    receipts = asyncio.create_task(counter.take_receipts())
    await asyncio.sleep(0.005)
    await counter.take_scans()
    await asyncio.wait_for(receipts, WAIT_S)

    assert counter.codes() == ["TS1001", "TS1002", "TS1001"]


async def test_a_scan_that_is_told_twice_serves_one_receipt(shop: Shop, tmp_path: Path) -> None:
    # given an agent that ended between taking a scan and saying so, and takes it again
    await shop.seed()
    counter = Counter(shop, tmp_path / "scans", seconds=20)
    counter.relay_keeps("]C0TS1001", seconds=10)
    await counter.take_scans()
    counter.forget_what_was_taken()
    await counter.take_scans()
    assert len(shop.store.unused_scans()) == 2

    shop.print(receipt(1), seconds=30)
    shop.print(receipt(2), seconds=40)
    await counter.take_receipts()

    assert counter.codes() == ["TS1001", None]
    assert shop.store.unused_scans() == ()


class HangingDisk:
    """A store whose disk does not answer any more."""

    def __init__(self, shop: Shop) -> None:
        self.member_by_code = shop.store.member_by_code
        self.hidden = shop.store.hidden

    async def write(self, _work: object) -> None:
        await asyncio.Event().wait()


async def unheard(_code: str) -> LookedUp:
    return await asyncio.Future()


@pytest.mark.parametrize("code", ["]C0TS1001", "]C0GUESS1"])
async def test_a_scan_that_was_taken_and_not_written_outlives_the_agent(shop: Shop, tmp_path: Path, code: str) -> None:
    # given an agent that ends while its disk hangs, or the centre has not said whether a code is a card's
    await shop.seed()
    counter = Counter(shop, tmp_path / "scans", 20, store=HangingDisk(shop), lookup=unheard, show_within_s=0.0)
    counter.relay_keeps(code, seconds=10)
    await counter.take_scans()
    assert (counter.desk.state().customer is not None) == (code == "]C0TS1001")
    await counter.scans.close()
    # when it is started again, and asks
    again = Counter(shop, tmp_path / "nobody", 20, lookup=_guess_is_anas)
    again.folder = counter.folder
    await again.take_scans()
    await again.scans.settled()
    shop.print(receipt(1), seconds=30)
    await again.take_receipts()
    # then the receipt has its member
    assert again.codes() == [code.removeprefix("]C0")]


async def _guess_is_anas(_code: str) -> LookedUp:
    return LookedUp(member=ANA)


async def test_a_scan_that_is_told_again_after_its_receipt_serves_no_other_and_is_not_shown(
    shop: Shop, tmp_path: Path
) -> None:
    await shop.seed()
    counter = Counter(shop, tmp_path / "scans", seconds=40)
    counter.relay_keeps("]C0TS1001", seconds=10)
    await counter.take_scans()
    shop.print(receipt(1), seconds=30)
    await counter.take_receipts()
    counter.forget_what_was_taken()

    # as the agent that starts again
    again = Counter(shop, tmp_path / "scans-of-nobody", seconds=40)
    again.folder = counter.folder
    await again.take_scans()
    assert again.desk.state().customer is None
    shop.print(receipt(2), seconds=50)
    await again.take_receipts()

    assert again.codes() == ["TS1001", None]


async def test_a_scan_of_an_hour_ago_is_not_the_customer_of_now(shop: Shop, tmp_path: Path) -> None:
    await shop.seed()
    counter = Counter(shop, tmp_path / "scans", seconds=3600)
    counter.relay_keeps("]C0TS1001", seconds=3600 - UNUSED_MEMBER_CLEARS_AFTER.total_seconds() - 1)
    await counter.take_scans()
    assert counter.desk.state().customer is None

    counter.relay_keeps("]C0TS1002", seconds=3590)
    await counter.take_scans()

    customer = counter.desk.state().customer
    assert customer is not None
    assert (customer.standing, customer.ending) == ("known", "1002")


async def test_a_guess_that_nobody_knows_is_no_unknown_card(shop: Shop, tmp_path: Path) -> None:
    await shop.seed()
    counter = Counter(shop, tmp_path / "scans", seconds=20)
    counter.relay_keeps("]C0SHELF-LABEL-7", seconds=10)

    await counter.take_scans()
    await counter.scans.settled()

    assert counter.desk.state().customer is None
    assert shop.store.unused_scans() == ()
