"""What a register tells its centre of how it is."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from agent.store_inspection import Live, StoreInspection
from agent.supervisor import Condition, Health
from agent.view import BadgeView, PlaceView
from central.fleet_rows import Known, known
from sync.store.writing import Writing
from sync.wire import MAX_REASONS_TOLD, MAX_TOLD_CHARS, MAX_WORKERS_TOLD, WorkerState
from tests.agent.shop import MORNING, Shop, receipt
from tests.agent.test_rules_in_force import PLASTIC, Scanner, configured, enrolled, publish, running, scanner
from tests.agent.test_scans import centre_is_away, desk_of, event, intake_of
from tests.sync.centre import running_centre

__all__ = ["scanner"]
# The shop's day; its times are in the zone of the machine that tests run on.
TODAY, TOMORROW = MORNING.astimezone().date(), (MORNING + timedelta(days=1)).astimezone().date()


def health(name: str, condition: Condition, problem: str) -> Health:
    return Health(name=name, kind="scanner", condition=condition, problem=problem)


def told_by(shop: Shop, *workers: Health, now: datetime = MORNING) -> StoreInspection:
    badge = BadgeView(enrolled=True, online=False, since=None, queued=0)
    live = Live(running=True, place=PlaceView(store="12", register="3"), badge=badge, page="", workers=workers)
    return StoreInspection(shop.store, lambda: live, now=lambda: now)


async def test_scans_and_receipts_of_the_day_are_told(shop: Shop) -> None:
    await shop.seed()
    intake = intake_of(shop, desk_of(shop), centre_is_away)
    for code in ("]C0TS1001", "]C0TS1002", "]E03800065711135"):  # the last is goods
        await intake.take(event(code))
    for number, bytes_ in enumerate((receipt(1), receipt(2), receipt(2), receipt(3))):  # one is printed twice
        shop.print(bytes_, 30 + number)
    await shop.take_all()

    told = told_by(shop).told_to_centre()
    assert (told.scans, told.receipts) == (2, 3)
    told = told_by(shop, now=MORNING + timedelta(days=1)).told_to_centre()
    assert (told.scans, told.receipts) == (0, 0)


async def test_a_day_is_counted_until_the_next_begins(shop: Shop) -> None:
    for day in (TODAY, TODAY, TOMORROW, TODAY, TOMORROW):  # a clock that was set back counts nothing of a day gone by
        await shop.store.write(partial(Writing.count_today, what="scans", day=day))
    assert [shop.store.counted_on("scans", day) for day in (TODAY, TOMORROW)] == [0, 2]
    assert shop.store.counted_on("receipts", TOMORROW) == 0


async def test_what_is_wrong_is_told_with_what_to_do_and_no_more_than_fits(shop: Shop) -> None:
    told = told_by(
        shop, health("counter", "failing", "unplugged: plug it in"), health("hand", "ready", "")
    ).told_to_centre()
    assert (told.verdict, told.reasons) == ("degraded", ("scanner counter: unplugged: plug it in",))
    assert told.workers == (
        WorkerState(kind="scanner", name="counter", condition="failing"),
        WorkerState(kind="scanner", name="hand", condition="ready"),
    )

    many = [health(f"s{number}", "failing", "x" * 999) for number in range(99)]
    told = told_by(shop, *many).told_to_centre()
    assert (len(told.workers), len(told.reasons)) == (MAX_WORKERS_TOLD, MAX_REASONS_TOLD)
    assert max(map(len, told.reasons)) == MAX_TOLD_CHARS


async def test_the_centre_hears_how_a_register_is(tmp_path: Path, scanner: Scanner) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        publish(centre, PLASTIC)
        config = configured(tmp_path, scanner)
        await enrolled(centre, config, centre.port)

        def of_it() -> Known:
            [one] = centre.database.read_now(known)
            return one

        async with running(config, scanner) as till:
            await till.until(lambda: till.status.rules.centre == 1)
            await scanner.scan("2912345678917")
            await till.until(lambda: (state := of_it().seen.state) is not None and state.scans == 1)

            state = of_it().seen.state
            assert state is not None
            assert (state.verdict, state.reasons) == ("healthy", ())
            assert WorkerState(kind="scanner", name="counter", condition="ready") in state.workers
            assert abs(of_it().seen.clock_ahead_ms or 0) < 10_000
