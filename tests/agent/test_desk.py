"""What the page is told, moment by moment."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from agent.checkout import UNUSED_MEMBER_CLEARS_AFTER, Checkout, MemberScan
from agent.desk import BLOCKED_SHOWN_FOR, NOTICE_SHOWN_FOR, RECENT_FOR, SALE_SHOWN_FOR, Desk, Settlement, restored
from agent.supervisor import Health
from agent.view import BadgeView, CustomerView, NoticeKind, NoticeView, PageState, PlaceView, RecentView
from loyalty.instant import Instant
from loyalty.member import ContextLine, Identifier, Member
from loyalty.receipt import Receipt
from sync.store.rows import DiskFull
from tests.agent.shop import ANA, BOOT, BORA, at


class Pending:
    """A timer of the bench."""

    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Bench:
    """A desk with a clock that the test moves, and members that it may change."""

    def __init__(self, checkout: Checkout | None = None, *, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.timers: list[Pending] = []
        self.members: dict[str, Member] = {"TS1001": ANA, "TS1002": BORA}
        self.recent: Callable[[], tuple[RecentView, ...]] = tuple
        self.desk = Desk(
            language="en",
            place=PlaceView(store="12", register="3"),
            clock=self.now,
            find_member=self.members.get,
            checkout=checkout or Checkout(boot=BOOT),
            schedule=self.schedule,
            recent=lambda: tuple(self.recent()),
        )

    def now(self) -> Instant:
        return at(self.seconds)

    def schedule(self, delay: float, callback: Callable[[], None]) -> Pending:
        timer = Pending(self.seconds + delay, callback)
        self.timers.append(timer)
        return timer

    def waiting(self) -> list[Pending]:
        return [timer for timer in self.timers if not timer.is_cancelled]

    def move_to(self, seconds: float) -> None:
        """Everything that is due on the way happens at its time."""
        while due := [timer for timer in self.waiting() if timer.due <= seconds]:
            timer = min(due, key=lambda one: one.due)
            self.timers.remove(timer)
            self.seconds = timer.due
            timer.callback()
        self.seconds = seconds

    def told(self) -> PageState:
        """What the page was told last, asked for or not."""
        return msgspec.json.decode(self.desk.told, type=PageState)

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


def test_however_much_is_scanned_one_timer_waits_and_what_is_shown_leaves_in_its_turn() -> None:
    bench = Bench()

    # when a customer was scanned, nine more and a blocked card after them, and a receipt was printed before
    bench.sell("TS1002")
    for second in range(1, 11):
        bench.move_to(second)
        bench.scan("TS1001")
    bench.desk.tell("blocked", bench.now(), "X1")
    clears = 10 + UNUSED_MEMBER_CLEARS_AFTER.total_seconds()

    # then there is a timer for what leaves first, and one at a time for what leaves later; nobody else does anything
    assert [timer.due for timer in bench.waiting()] == [SALE_SHOWN_FOR.total_seconds() + 0.05]
    bench.move_to(10 + BLOCKED_SHOWN_FOR.total_seconds() + 1)
    assert bench.told().notice is None
    assert bench.told().customer is not None
    assert [timer.due for timer in bench.waiting()] == [clears + 0.05]
    bench.move_to(clears + 1)
    assert bench.told().customer is None
    assert bench.waiting() == []


def test_a_customer_from_before_a_restart_leaves_like_any_other() -> None:
    scan = MemberScan(id=1, code="TS1001", at=at(0))

    # given a register that starts a minute later
    bench = Bench(restored(Checkout(boot=BOOT, scans=(scan,)), at(60)), seconds=60)
    assert bench.told().customer is not None

    # when nothing happens until ten minutes after the scan
    bench.move_to(UNUSED_MEMBER_CLEARS_AFTER.total_seconds() + 1)

    # then the page is told so
    assert bench.told().customer is None


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


def test_what_another_channel_knows_is_shown_until_it_is_over_and_to_the_cashier_alone() -> None:
    bench = Bench()
    order = ContextLine(kind="order", text="Pram, shelf 12", at=at(0).wall, until=at(60).wall)
    bench.members["TS1001"] = replace(ANA, context=(order,))

    bench.scan("TS1001")

    assert b"Pram" in bench.desk.told
    assert b"Pram" not in bench.desk.screen
    bench.move_to(60)
    bench.desk.publish()
    assert b"Pram" not in bench.desk.told


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
    assert Bench(soon).desk.next_scan_id() > 7


def test_no_turn_of_before_a_restart_is_anothers_after_it() -> None:
    # given a page that still shows whoever was scanned before, and whose scan is not kept any more
    before = Bench()
    turn = before.scan("TS1001").id

    after = Bench(seconds=60)

    assert after.scan("TS1002").id > turn


def test_a_receipt_is_offered_to_late_members_for_an_hour_though_nothing_happens() -> None:
    bench = Bench()
    first, second = (
        RecentView(receipt=f"k{at_s}", number=None, at=at(at_s).wall, total_minor=100, digits=2, currency="RSD")
        for at_s in (0, 1_800)
    )
    hour = RECENT_FOR.total_seconds()
    bench.recent = lambda: tuple(
        one for one, since in ((second, 1_800), (first, 0)) if since <= bench.seconds < since + hour
    )
    bench.sell(None)
    bench.move_to(1_800)
    bench.sell(None)

    told = []
    for seconds in (hour - 1, hour + 1, hour + 1_799, hour + 1_801):
        bench.move_to(seconds)
        told.append([one.receipt for one in bench.told().recent])

    assert told == [["k1800", "k0"], ["k1800"], ["k1800"], []]
    assert bench.waiting() == []


def test_receipts_that_a_clock_put_forward_makes_look_old_are_looked_for_again() -> None:
    bench = Bench()
    old = RecentView(receipt="k", number=None, at=at(-7_200).wall, total_minor=100, digits=2, currency="RSD")
    bench.recent = lambda: (old,) if bench.seconds < 600 else ()
    bench.sell(None)

    bench.move_to(900)

    assert bench.told().recent == ()


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


def test_a_full_disk_is_a_problem_for_as_long_as_it_is_full() -> None:
    bench = Bench()

    told = []
    keeps, refuses = (DiskFull(refuses_sales=refuses, said="free some") for refuses in (False, True))
    for full in (keeps, refuses, None):
        bench.desk.set_disk(full)
        told.append([(problem.kind, problem.problem) for problem in bench.desk.state().problems])

    assert told == [[("disk_full", "free some")], [("disk_refuses", "free some")], []]


# ---- states of cards, and notices

WORN = Member(
    member="m-jelena",
    identifiers=(Identifier(kind="card", code="TS1003", state="replaced", replaced_by="1234"),),
    short_name="Jelena",
)
LOST = Member(
    member="m-lost", identifiers=(Identifier(kind="card", code="TS1666", state="blocked"),), short_name="Secret"
)
BLOCKED = CustomerView(standing="blocked", ending="1666")


def test_an_old_card_is_the_members_and_names_the_new_one() -> None:
    bench = Bench()
    bench.members["TS1003"] = WORN

    bench.scan("TS1003")

    customer = bench.desk.state().customer
    assert customer is not None
    assert (customer.standing, customer.replaced_by) == ("known", "1234")
    assert customer.member is not None
    # and one whose successor cannot be named says so
    bench.members["TS1003"] = msgspec.structs.replace(
        WORN, identifiers=(Identifier(kind="card", code="TS1003", state="replaced"),)
    )
    assert bench.desk.state().customer.replaced_by == ""  # type: ignore[union-attr]
    bench.scan("TS1001")
    assert bench.desk.state().customer.replaced_by is None  # type: ignore[union-attr]


def test_a_card_that_is_blocked_while_its_customer_is_served_loses_name_and_points() -> None:
    bench = Bench()
    scan = bench.scan("TS1666")
    bench.members["TS1666"] = LOST

    bench.desk.publish()

    assert bench.desk.state().customer == replace(BLOCKED, turn=scan.id)
    assert b"Secret" not in bench.desk.told


def test_a_blocked_card_is_shown_for_a_minute_or_until_the_next() -> None:
    bench = Bench()
    bench.desk.tell("blocked", bench.now(), "TS1666")
    assert (bench.desk.state().customer, bench.desk.state().notice) == (BLOCKED, None)

    bench.move_to(BLOCKED_SHOWN_FOR.total_seconds() - 1)
    assert bench.desk.state().customer == BLOCKED
    bench.move_to(BLOCKED_SHOWN_FOR.total_seconds() + 1)
    assert bench.desk.state().customer is None
    assert b"blocked" not in bench.desk.told

    bench.desk.tell("blocked", bench.now(), "TS1666")
    bench.scan("TS1001")
    assert bench.desk.state().customer.standing == "known"  # type: ignore[union-attr]
    assert bench.desk.state().notice is None


def test_a_blocked_card_beside_a_customer_is_a_notice_until_the_receipt() -> None:
    bench = Bench()
    bench.scan("TS1001")
    bench.desk.tell("blocked", bench.now(), "TS1666")

    state = bench.desk.state()
    assert state.customer is not None
    assert state.customer.standing == "known"
    assert state.notice == NoticeView(kind="blocked", ending="1666")

    bench.sell("TS1001")
    state = bench.desk.state()
    assert state.notice is None
    assert state.sale is not None
    assert state.sale.current


def test_a_blocked_card_after_a_sale_is_the_next_customers() -> None:
    bench = Bench()
    bench.scan("TS1001")
    bench.sell("TS1001")
    bench.move_to(5)

    bench.desk.tell("blocked", bench.now(), "TS1666")

    state = bench.desk.state()
    assert state.customer == BLOCKED
    assert state.sale is not None
    assert not state.sale.current


def test_a_card_that_the_centre_refuses_leaves_whoever_was_there() -> None:
    bench = Bench()
    bench.scan("TS1001")
    refused = bench.scan("NEW12345", checking=True)

    bench.desk.refused(refused)

    state = bench.desk.state()
    assert state.customer is not None
    assert state.customer.standing == "known"
    assert state.notice == NoticeView(kind="blocked", ending="2345")


def test_a_card_from_the_drawer_is_new_until_it_is_somebodys() -> None:
    bench = Bench()
    scan = bench.scan("NEW12345", checking=True)
    bench.desk.checked(scan, unissued=True)
    assert bench.desk.state().customer == CustomerView(standing="unissued", ending="2345", turn=scan.id)

    # the sale's own view says so too
    bench.sell("NEW12345")
    assert bench.desk.state().customer == CustomerView(standing="unissued", ending="2345")

    # and once a member has it
    bench.members["NEW12345"] = BORA
    assert bench.desk.state().customer.standing == "known"  # type: ignore[union-attr]


def test_a_notice_is_gone_after_a_few_seconds_or_with_the_next_scan() -> None:
    bench = Bench()
    kinds: tuple[NoticeKind, ...] = (
        "misread",
        "swipe_error",
        "payment_card",
        "receipt_known",
        "receipt_code_old",
        "receipt_code_broken",
    )
    for kind in kinds:
        bench.desk.tell(kind, bench.now())
        assert bench.desk.state().notice == NoticeView(kind=kind)
        assert bench.desk.state().customer is None
        bench.move_to(bench.seconds + NOTICE_SHOWN_FOR.total_seconds() + 1)
        assert bench.desk.state().notice is None
        assert msgspec.json.decode(bench.desk.told)["notice"] is None

    bench.desk.tell("misread", bench.now())
    bench.scan("TS1001")
    assert bench.desk.state().notice is None


def test_what_is_told_of_an_enrolment_stays_long_enough_to_walk_over() -> None:
    bench = Bench()

    bench.desk.tell("enrolled", bench.now())
    bench.move_to(bench.seconds + NOTICE_SHOWN_FOR.total_seconds() + 1)

    assert bench.desk.state().notice == NoticeView(kind="enrolled")


def test_what_was_scanned_long_ago_is_no_notice_and_no_customer() -> None:
    # given scans that lay in a spool while no agent ran
    bench = Bench()
    bench.move_to(3_600)

    bench.desk.tell("misread", at(10))
    assert bench.desk.state().notice is None

    bench.desk.scanned(MemberScan(id=bench.desk.next_scan_id(), code="TS1001", at=at(20)))
    assert bench.desk.state().customer is None
    bench.desk.scanned(MemberScan(id=bench.desk.next_scan_id(), code="TS1002", at=at(3_500)))
    assert bench.desk.state().customer is not None
    bench.move_to(3_500 + UNUSED_MEMBER_CLEARS_AFTER.total_seconds() + 1)
    assert bench.desk.state().customer is None


def test_a_customer_who_is_removed_is_shown_no_more_whether_served_or_done() -> None:
    bench = Bench()
    bench.scan("TS1001")
    assert bench.desk.serving() is not None
    bench.seconds += 1
    bench.desk.removed(bench.now())
    assert (bench.desk.state().customer, bench.desk.serving()) == (None, None)

    bench.sell("TS1002")
    assert bench.desk.state().customer is not None
    bench.desk.removed(bench.now())
    state = bench.desk.state()
    assert state.customer is None
    assert state.sale is not None
    assert not state.sale.current


def test_that_a_card_was_in_the_drawer_is_forgotten_with_its_sale() -> None:
    bench = Bench()
    bench.desk.checked(bench.scan("NEW12345", checking=True), unissued=True)
    bench.sell("NEW12345")
    # others come, and then the card again, of which the centre says nothing
    bench.seconds = 10
    bench.scan("TS1002")
    bench.sell("TS1002")
    bench.seconds = 20
    bench.desk.checked(bench.scan("NEW12345", checking=True))

    customer = bench.desk.state().customer
    assert customer is not None
    assert customer.standing == "unknown"
