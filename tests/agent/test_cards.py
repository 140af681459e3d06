"""Cards from the drawer to the bin: a real register beside a real centre, from the scan to the ledger and the page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import UNSET
from msgspec.structs import replace

from agent.booking import Rules, book, checkout_of
from agent.desk import Desk, Settlement
from agent.scans import ScanIntake
from agent.view import CustomerView, NoticeView, PageState, PlaceView
from central import operations
from drivers.clock import boot_id, now
from drivers.scanning.driver import ScanEvent
from drivers.scanning.scan import parse_scan
from loyalty.identification import IdentificationRule
from loyalty.identity import identified
from loyalty.receipt import Line, Receipt
from tests.sync.centre import Centre, Register, register, running_centre, utc_now
from tests.sync.programs import in_force

RULES = (IdentificationRule(name="cards", prefixes=("TS", "900")),)
MEMBER, CARD = "m1", "TS00001"
STOCK = b"TS-777001,900 001\nTS-777002,900 002\n"


class Counter:
    """What stands at one till: the scanner's way in, the page, the receipts' way up."""

    def __init__(self, till: Register) -> None:
        self.till = till
        self._numbers = 0
        self._rules = Rules()
        self.desk = Desk(
            language="en",
            place=PlaceView(store="12", register="3"),
            clock=now,
            find_member=till.store.member_by_code,
            checkout=checkout_of(till.store, boot_id()),
            schedule=asyncio.get_running_loop().call_later,
        )
        self._intake = ScanIntake(
            store=till.store, desk=self.desk, lookup=till.loop.lookup, guesses=lambda: False, show_within_s=60.0
        )

    async def scan(self, text: str) -> PageState:
        """What the page says once the centre was asked, if it was."""
        event = ScanEvent(scan=parse_scan(text, RULES), at=now(), reader="counter")
        await self._intake.take(event)
        await self._intake.settled()
        return self.desk.state()

    async def sell(self) -> Settlement:
        """A sale of 100.00 that is printed now, booked and taken in by the centre."""
        self._numbers += 1
        captured = now()
        sale = identified(
            Receipt(
                key="",
                kind="sale",
                store="12",
                register="3",
                number=str(self._numbers),
                business_day=captured.wall.date(),
                issued_at=captured.wall,
                currency="RSD",
                total_minor=100_00,
                lines=(Line(position=1, amount_minor=100_00),),
            ),
            b"",
        )
        booked = await self.till.store.write(
            lambda writing: book(writing, sale, captured, boot=boot_id(), rules=self._rules)
        )
        assert booked.settlement is not None
        self.desk.settled(booked.settlement)
        await self.till.until(lambda: self.till.store.queued() == 0)
        return booked.settlement

    async def close(self) -> None:
        await self._intake.close()


@asynccontextmanager
async def counter(folder: Path, centre: Centre) -> AsyncIterator[Counter]:
    async with register(folder, centre) as till:
        await till.until(lambda: in_force(till.store) and till.store.member_by_code(CARD))
        counter = Counter(till)
        try:
            yield counter
        finally:
            await counter.close()


def customer(state: PageState) -> CustomerView:
    assert state.customer is not None
    return state.customer


async def test_a_card_from_the_drawer_is_kept_for_handed_out_and_known(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre, counter(tmp_path / "till", centre) as till:
        # Given a card that was given away without a word
        centre.write(lambda connection: operations.import_stock(connection, STOCK, utc_now()))
        # When its printed number is scanned at a sale
        scanned = customer(await till.scan("]C0900001"))
        assert replace(scanned, turn=None) == CustomerView(standing="unissued", ending="0001")
        assert (await till.sell()).outcome == "held"
        # And the centre hands it out
        done = centre.write(lambda connection: operations.issue(connection, "TS777001", MEMBER, utc_now()))
        assert (done.receipts, done.points) == (1, 100)
        await till.till.until(lambda: till.till.store.member_by_code("TS777001"))
        # Then the encoded one is the member's, with the points of the sale before
        known = customer(await till.scan("]C0TS777001"))
        assert known.standing == "known"
        assert known.member is not None
        assert known.member.confirmed == 100
        assert (await till.sell()).points == 100
        assert sum(centre.counted(MEMBER).values()) == 200


async def test_a_blocked_card_earns_nothing_wherever_it_turns_up(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre, counter(tmp_path / "till", centre) as till:
        # Given a card that was lost; the member has another, and so has somebody else
        centre.write(lambda connection: operations.link(connection, MEMBER, CARD, utc_now(), printed="900777"))
        centre.write(lambda connection: operations.block(connection, CARD, "lost", utc_now()))
        await till.till.until(lambda: (found := till.till.store.member_by_code(CARD)) and found.refuses("900777"))
        # When it is scanned, alone
        assert customer(await till.scan("]C0900777")) == CustomerView(standing="blocked", ending="0777")
        assert (await till.sell()).outcome == "no_card"
        # Or after a good one
        await till.scan("]C0TS00002")
        state = await till.scan(f"]C0{CARD}")
        assert state.notice == NoticeView(kind="blocked", ending="0001")
        assert customer(state).standing == "known"
        assert (await till.sell()).points == 100
        # Then only the good one's member has points
        assert centre.counted(MEMBER) == {}
        assert sum(centre.counted("m2").values()) == 100


async def test_a_block_that_the_register_hears_of_between_scan_and_receipt_holds(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre, counter(tmp_path / "till", centre) as till:
        # Given a customer, whose card is blocked while the goods are scanned
        assert customer(await till.scan(f"]C0{CARD}")).standing == "known"
        centre.write(lambda connection: operations.block(connection, CARD, "stolen", utc_now()))
        await till.till.until(lambda: (found := till.till.store.member_by_code(CARD)) and found.refuses(CARD))
        assert customer(till.desk.state()).standing == "blocked"
        # When the receipt is printed
        assert (await till.sell()).outcome == "blocked"
        # Then it is held, and unblocking books it
        shown = centre.write(lambda connection: operations.card(connection, CARD))
        assert shown.held == 1
        assert centre.counted(MEMBER) == {}
        done = centre.write(lambda connection: operations.unblock(connection, CARD, utc_now()))
        assert (done.receipts, done.points) == (1, 100)
        await till.till.until(lambda: till.till.confirmed(CARD) == 100)


async def test_a_blocked_card_of_the_drawer_is_refused_by_the_centres_word(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre, counter(tmp_path / "till", centre) as till:
        centre.write(lambda connection: operations.import_stock(connection, STOCK, utc_now()))
        centre.write(lambda connection: operations.block(connection, "900002", "box stolen", utc_now()))
        await till.scan("]C0TS00002")

        state = await till.scan("]C0TS777002")

        assert state.notice == NoticeView(kind="blocked", ending="7002")
        assert customer(state).standing == "known"
        assert (await till.sell()).points == 100
        assert sum(centre.counted("m2").values()) == 100


async def test_a_replaced_card_earns_and_says_what_took_its_place(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre, counter(tmp_path / "till", centre) as till:
        centre.write(lambda connection: operations.import_stock(connection, STOCK, utc_now()))
        centre.write(lambda connection: operations.replace(connection, CARD, "900001", utc_now()))
        await till.till.until(lambda: till.till.store.member_by_code("900001"))

        old = customer(await till.scan(f"]C0{CARD}"))
        assert (old.standing, old.replaced_by) == ("known", "0001")
        assert (await till.sell()).points == 100
        assert customer(await till.scan("]C0TS777001")).replaced_by is None
        assert (await till.sell()).points == 100
        assert sum(centre.counted(MEMBER).values()) == 200


async def test_a_goods_label_is_asked_for_in_silence_and_nobody_sees_it(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre, counter(tmp_path / "till", centre) as till:
        # Given a label that no rule claims and nobody knows
        before = await till.scan("]C0SHELF-42")
        assert before.customer is None
        assert (await till.sell()).outcome == "no_card"
        assert till.till.store.unused_scans() == ()
        # And a member's card that nobody described to this register
        centre.write(lambda connection: operations.import_stock(connection, b"OLD-42\n", utc_now()))
        assert customer(await till.scan("]C0OLD-42")).standing == "unissued"
        held = await till.sell()
        assert (held.outcome, held.receipt.member) != ("no_card", UNSET)
