"""What the page is told, moment by moment."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from agent.checkout import UNUSED_MEMBER_CLEARS_AFTER, Checkout, MemberScan
from agent.desk import SALE_SHOWN_FOR, Desk, Settlement, restored
from agent.supervisor import Health
from agent.view import BadgeView, PlaceView
from loyalty.instant import Instant
from loyalty.member import Member
from loyalty.receipt import Receipt
from tests.agent.shop import ANA, BOOT, BORA, at


class Bench:
    """A desk with a clock that the test moves, and members that it may change."""

    def __init__(self, checkout: Checkout | None = None) -> None:
        self.seconds = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.members: dict[str, Member] = {"TS1001": ANA, "TS1002": BORA}
        self.desk = Desk(
            language="en",
            place=PlaceView(store="12", register="3"),
            clock=self.now,
            find_member=self.members.get,
            checkout=checkout or Checkout(boot=BOOT),
            schedule=lambda delay, callback: self.timers.append((self.seconds + delay, callback)),
        )

    def now(self) -> Instant:
        return at(self.seconds)

    def move_to(self, seconds: float) -> None:
        self.seconds = seconds
        for timer in [timer for timer in self.timers if timer[0] <= seconds]:
            self.timers.remove(timer)
            timer[1]()

    def scan(self, code: str, *, checking: bool = False) -> MemberScan:
        scan = MemberScan(id=self.desk.next_scan_id(), code=code, at=self.now())
        self.desk.scanned(scan, checking=checking)
        return scan

    def sell(self, code: str | None, points: int = 40, *, captured: float | None = None) -> None:
        receipt = Receipt(key="k", kind="sale", currency="RSD", total_minor=26828)
        instant = self.now() if captured is None else at(captured)
        outcome = "points" if code else "no_card"
        self.desk.settled(
            Settlement(receipt=receipt, captured=instant, code=code, outcome=outcome, points=points, pending=points)  # type: ignore[arg-type]
        )


def test_a_known_member_is_shown_with_points_and_their_age() -> None:
    bench = Bench()

    bench.scan("TS1001")

    customer = bench.desk.state().customer
    assert customer is not None
    assert customer.standing == "known"
    assert customer.member is not None
    assert (customer.member.name, customer.member.tier, customer.member.spendable) == ("Ana P.", "gold", 100)
    assert customer.member.as_of == ANA.as_of


def test_of_an_unknown_card_only_the_last_four_are_told() -> None:
    bench = Bench()

    bench.scan("9876543210001234")

    customer = bench.desk.state().customer
    assert customer is not None
    assert (customer.standing, customer.ending) == ("unknown", "1234")
    assert b"98765" not in bench.desk.told


def test_a_code_too_short_to_hide_is_not_told_at_all() -> None:
    bench = Bench()

    bench.scan("1234")

    assert b"1234" not in bench.desk.told


def test_while_the_centre_is_asked_the_page_says_so() -> None:
    bench = Bench()
    scan = bench.scan("NEW1", checking=True)
    assert bench.desk.state().customer is not None
    assert bench.desk.state().customer.standing == "checking"  # type: ignore[union-attr]

    # when the centre knew the card
    bench.members["NEW1"] = BORA
    bench.desk.checked(scan)

    assert bench.desk.state().customer.standing == "known"  # type: ignore[union-attr]


def test_an_unused_member_clears_after_ten_minutes() -> None:
    bench = Bench()
    bench.scan("TS1001")

    bench.move_to(UNUSED_MEMBER_CLEARS_AFTER.total_seconds() - 1)
    assert bench.desk.state().customer is not None

    bench.move_to(UNUSED_MEMBER_CLEARS_AFTER.total_seconds() + 1)
    assert bench.desk.state().customer is None


def test_what_a_sale_gave_is_shown_with_its_customer_and_then_leaves() -> None:
    bench = Bench()
    bench.scan("TS1001")
    bench.move_to(30)

    bench.sell("TS1001")

    state = bench.desk.state()
    assert state.sale is not None
    assert (state.sale.current, state.sale.points, state.sale.total_minor, state.sale.digits) == (True, 40, 26828, 2)
    assert state.customer is not None

    bench.move_to(30 + SALE_SHOWN_FOR.total_seconds() + 1)
    state = bench.desk.state()
    assert state.customer is None
    assert state.sale is not None
    assert not state.sale.current


def test_the_next_customer_replaces_what_the_sale_gave() -> None:
    bench = Bench()
    bench.scan("TS1001")
    bench.move_to(30)
    bench.sell("TS1001")

    bench.move_to(35)
    bench.scan("TS1002")

    state = bench.desk.state()
    assert state.customer is not None
    assert state.customer.member is not None
    assert state.customer.member.name == "Bora"
    assert state.sale is not None
    assert not state.sale.current


def test_receipts_read_long_after_they_were_printed_do_not_fill_the_page() -> None:
    bench = Bench()
    bench.move_to(5_000)

    bench.sell("TS1001", captured=100)

    state = bench.desk.state()
    assert state.customer is None
    assert state.sale is not None
    assert not state.sale.current


def test_a_restart_in_the_middle_of_a_sale_shows_the_member_again() -> None:
    kept = Checkout(boot=BOOT, scans=(MemberScan(id=7, code="TS1001", at=at(0)),))

    soon, late = (restored(kept, at(seconds)) for seconds in (60, 3_600))

    assert Bench(soon).desk.state().customer is not None
    assert Bench(late).desk.state().customer is None
    assert Bench(soon).desk.next_scan_id() == 8


def test_watchers_are_told_of_changes_only() -> None:
    bench = Bench()
    with bench.desk.watching() as changed:
        bench.desk.publish()
        assert not changed.is_set()

        bench.desk.set_badge(BadgeView(enrolled=True, online=True, since=None, queued=7))
        assert changed.is_set()

        told = msgspec.json.decode(bench.desk.told)
        assert (told["type"], told["badge"]["queued"]) == ("state", 7)


def test_a_member_that_the_feed_changed_is_shown_anew() -> None:
    bench = Bench()
    bench.scan("TS1001")
    bench.members["TS1001"] = msgspec.structs.replace(ANA, short_name="Ana Marija")

    bench.desk.publish()

    assert b"Ana Marija" in bench.desk.told


def test_only_workers_that_fail_are_problems() -> None:
    bench = Bench()

    bench.desk.set_health(
        (
            Health(name="counter", kind="scanner", condition="failing", problem="not there: plug it in"),
            Health(name="centre", kind="sync", condition="ready"),
        )
    )

    (problem,) = bench.desk.state().problems
    assert (problem.kind, problem.name, problem.problem) == ("scanner", "counter", "not there: plug it in")
