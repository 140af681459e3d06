"""How registers are, as the centre keeps and judges it, and the page that shows it."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from sqlalchemy import insert, update

from central import fleet, releases
from central.admin.views.fleet import HIGH_PX, LONG_QUEUE, Wanted, fleet_page, spark
from central.admin.views.shown import ROWS_SHOWN
from central.db import tables
from central.fleet import HOURS, SILENT_AFTER, Hour, Seen, after, hour_of
from central.fleet_rows import known
from sync.wire import (
    MAX_REASONS_TOLD,
    MAX_TOLD_CHARS,
    MAX_WORKERS_TOLD,
    GivenUp,
    HeartbeatRequest,
    HeartbeatResponse,
    RegisterState,
    WorkerState,
)
from tests.central.conftest import RunningCentre
from tests.central.test_admin import Browser
from tests.central.till import NOON, Till

HOUR = timedelta(hours=1)
WELL = RegisterState(
    verdict="healthy", workers=(WorkerState(kind="scanner", name="counter", condition="ready"),), scans=7, receipts=9
)
ILL = RegisterState(
    verdict="degraded",
    reasons=("scanner counter: /dev/scanner is not there: plug it in",),
    workers=(WorkerState(kind="scanner", name="counter", condition="failing"),),
    scans=2,
    receipts=5,
)


def heartbeat(state: RegisterState | Any = UNSET, **facts: Any) -> HeartbeatRequest:
    usual: dict[str, Any] = {"version": "0.1.0", "queued": 0, "quarantined": 0, "state": state}
    return HeartbeatRequest(**usual | facts)


async def beat(till: Till, state: RegisterState | Any = UNSET, **facts: Any) -> None:
    await till.post("/v1/heartbeat", heartbeat(state, **facts), HeartbeatResponse)


def seen(**facts: Any) -> Seen:
    healthy: dict[str, Any] = {
        "last_contact": NOON,
        "queued": 0,
        "oldest_queued_at": None,
        "clock_ahead_ms": 0,
        "state": WELL,
        "quarantined": 0,
        "templates_refused": None,
    }
    return Seen(**healthy | facts)


# ---- a day, hour by hour


@given(st.lists(st.tuples(st.integers(0, 60 * 90), st.integers(0, 50), st.integers(0, 9)), max_size=40))
def test_a_day_is_kept_with_the_most_that_waited_and_all_receipts(beats: list[tuple[int, int, int]]) -> None:
    beats.sort()
    hours: tuple[Hour, ...] = ()
    for minute, queued, receipts in beats:
        hours = after(hours, NOON + timedelta(minutes=minute), queued, receipts)

    assert len(hours) <= HOURS
    assert [one.hour for one in hours] == sorted({one.hour for one in hours})
    last = hour_of(NOON + timedelta(minutes=beats[-1][0])) if beats else 0
    for one in hours:
        of_it = [beat for beat in beats if hour_of(NOON + timedelta(minutes=beat[0])) == one.hour]
        assert last - HOURS < one.hour <= last
        assert (one.queued, one.receipts) == (max(b[1] for b in of_it), sum(b[2] for b in of_it))


def test_receipts_of_an_hour_are_what_came_since_the_heartbeat_before() -> None:
    columns: Any = {"state": None, "hours": "[]"}
    for receipts in (200, 203, 210, 4):  # what was before the first is of other hours; 4 is after midnight
        told = RegisterState(verdict="healthy", receipts=receipts)
        columns = fleet.heard(columns["state"], columns["hours"], heartbeat(told), NOON)
    assert fleet.hours_of(columns["hours"]) == (Hour(hour_of(NOON), 0, 10 + 4),)


def test_what_a_register_tells_is_kept_to_a_size_and_without_what_no_database_takes() -> None:
    worker = WorkerState(kind="scanner", name="n" * 1000, condition="\0" * 3)
    told = RegisterState(verdict="v" * 999, reasons=("r" * 999,) * 99, workers=(worker,) * 99, scans=-1, receipts=2**60)
    columns = fleet.heard(None, "[]", heartbeat(told, sent_at=NOON + timedelta(days=4000), queued=2**60), NOON)
    kept = fleet.state_of(columns["state"])
    assert kept is not None
    assert (len(kept.reasons), len(kept.workers)) == (MAX_REASONS_TOLD, MAX_WORKERS_TOLD)
    assert len(kept.reasons[0]) == MAX_TOLD_CHARS
    assert "\0" not in columns["state"]
    assert (kept.scans, kept.receipts, columns["clock_ahead_ms"]) == (0, fleet.MAX_COUNT, fleet.MAX_COUNT)
    assert fleet.hours_of(columns["hours"])[-1].queued == fleet.MAX_COUNT


def test_a_day_is_drawn_with_each_hour_in_its_place() -> None:
    now = hour_of(NOON)
    drawn = spark((Hour(now - HOURS, 999, 999), Hour(now - HOURS + 1, 0, 10), Hour(now, 80, 40)), NOON)
    first, last = drawn.bars
    assert (first.x, last.x) == (0, drawn.width - 4)
    assert (first.height, last.height) == (10 * (HIGH_PX - 1) // 40, HIGH_PX - 1)
    assert drawn.line.endswith(f",{HIGH_PX - (HIGH_PX - 1)}")
    assert drawn.words == "Last 24 hours: 50 receipts, 40 in the busiest hour; at most 80 waiting"
    short = spark((Hour(now, LONG_QUEUE // 4, 1),), NOON)  # a queue that is no queue does not fill the drawing
    assert short.line.endswith(f",{HIGH_PX - (HIGH_PX - 1) // 4}")
    idle = spark((), NOON)
    assert (idle.bars, idle.line, idle.words.split("; ")[1]) == ((), "", "nothing waiting")


# ---- what is wrong


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"state": ILL}, "scanner counter: /dev/scanner is not there: plug it in"),
        ({"clock_ahead_ms": 300_000}, "its clock is 5 min ahead"),
        ({"clock_ahead_ms": -300_000}, "its clock is 5 min behind"),
        ({"queued": 4, "oldest_queued_at": NOON - HOUR * 3}, "4 waiting for 3 h"),
        ({"shared": True}, "two machines alternate under this identity"),
        ({"refused": ("abc: not readable",)}, "refused program abc: not readable"),
        ({"state": None, "templates_refused": "no such key"}, "templates refused: no such key"),
        ({"state": None, "quarantined": 2}, "2 in quarantine"),
        ({"last_contact": NOON - SILENT_AFTER, "state": ILL}, "nothing heard for 15 min"),
    ],
)
def test_what_is_wrong_is_said_alone(facts: dict[str, Any], said: str) -> None:
    assert [one.what for one in fleet.troubles(seen(**facts), NOON)] == [said]


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"clock_ahead_ms": 59_000},
        {"clock_ahead_ms": None, "state": None},
        {"last_contact": None},
        {"last_contact": NOON - SILENT_AFTER + timedelta(seconds=1)},
        {"queued": 4, "oldest_queued_at": NOON - timedelta(minutes=14)},
        {"queued": 0, "oldest_queued_at": NOON - HOUR},
    ],
)
def test_of_what_is_usual_nothing_is_said(facts: dict[str, Any]) -> None:
    assert fleet.troubles(seen(**facts), NOON) == ()


# ---- on either database


async def test_a_heartbeat_leaves_how_the_register_is(centre: RunningCentre) -> None:
    till = await centre.till()
    await beat(till, WELL)
    centre.clock.now = NOON + HOUR
    more = RegisterState(verdict="healthy", scans=8, receipts=11)
    await beat(till, more, sent_at=centre.clock.now - timedelta(seconds=90), queued=3)

    [one] = centre.read(known)
    assert one.seen.state == more
    assert one.seen.clock_ahead_ms == -90_000
    assert fleet.hours_of(one.hours) == (Hour(hour_of(NOON), 0, 0), Hour(hour_of(NOON) + 1, 3, 2))

    # One of before this protocol says nothing of itself: what was told before is not taken for news
    await beat(till)
    [one] = centre.read(known)
    assert (one.seen.state, one.seen.clock_ahead_ms) == (None, None)


async def test_the_page_is_narrowed_and_shows_problems_first(centre: RunningCentre) -> None:
    for store, register, state in (("2", "1", WELL), ("10", "1", WELL), ("10", "2", ILL)):
        till = await centre.till(register, store)
        await beat(till, state, version="0.1.0" if state is WELL else "0.2.0", sent_at=NOON)
    gone = await centre.till("3", "10")
    centre.write(
        lambda connection: connection.execute(
            update(tables.devices).where(tables.devices.c.id == gone.device).values(revoked_at=NOON)
        )
    )

    def shown(**narrowed: Any) -> list[str]:
        page = centre.read(lambda connection: fleet_page(connection, Wanted(**narrowed), NOON))
        return [f"{row.store}/{row.register}" for row in page.rows]

    assert shown() == ["10/2", "2/1", "10/1"]
    assert shown(store="10") == ["10/2", "10/1"]
    assert shown(version="0.1.0") == ["2/1", "10/1"]
    assert shown(show="problems") == ["10/2"]
    assert shown(show="revoked") == ["10/3"]
    page = centre.read(lambda connection: fleet_page(connection, Wanted(store="nowhere"), NOON))
    assert (page.rows, page.stores, page.versions) == ((), ("2", "10"), ("0.2.0", "0.1.0"))
    assert (page.tally.registers, page.tally.online, page.tally.troubled) == (3, 3, 1)
    assert (page.tally.scans, page.tally.receipts) == (16, 23)


async def test_a_register_is_found_and_a_large_fleet_has_pages(centre: RunningCentre) -> None:
    # Given more registers than a page shows, in stores of five
    many = ROWS_SHOWN * 2 + 3
    rows = [
        {
            "id": f"d{number:04}", "store": f"{number // 5}", "register": f"{number % 5}", "public_key": "k" * 43,
            "enrolled_at": NOON, "version": "0.1.0", "platform": "Linux", "last_contact": NOON,
        }
        for number in range(many)
    ]  # fmt: skip
    centre.write(lambda connection: connection.execute(insert(tables.devices), rows))
    browser = Browser(centre)
    await browser.open(centre.ready.open)

    def found(q: str) -> list[str]:
        page = centre.read(lambda connection: fleet_page(connection, Wanted(q=q), NOON))
        return [row.device for row in page.rows]

    assert found("12/3") == found("12 / 3") == found("d0063") == ["d0063"]
    assert len(found("3")) == many // 5  # its number in each store
    assert found("12/33") == []

    # When one goes from page to page, Then each register is on one, and the filters go along
    path, seen = "/fleet?version=0.1.0&page=0", []
    for first in (1, ROWS_SHOWN + 1, 2 * ROWS_SHOWN + 1):
        _, text = await browser.get(path)
        seen += re.findall(r"code\">(d\d{4})<", text)
        assert f"{first} to " in text
        following = re.search(r'href="([^"]+)">the next ones', text)
        path = html.unescape(following[1]) if following else ""
        assert not path or "version=0.1.0" in path
    assert not path
    assert len(seen) == len(set(seen)) == many
    # one beyond the last shows the last
    assert f"of {many}" in (await browser.get("/fleet?page=99999"))[1]
    assert (await browser.get("/fleet?page=²"))[0] == 200


async def test_who_is_not_heard_is_offline_and_then_silent(centre: RunningCentre) -> None:
    await beat(await centre.till(), WELL)
    for span, state in ((timedelta(seconds=89), "online"), (HOUR / 6, "offline"), (HOUR, "silent")):
        page = centre.read(partial(fleet_page, wanted=Wanted(), now=NOON + span))
        assert [row.state for row in page.rows] == [state]
    assert page.tally.silent == 1


async def test_a_release_is_shown_stopped_and_taken_up_again(centre: RunningCentre) -> None:
    browser = Browser(centre)
    await browser.open(centre.ready.open)
    till = await centre.till()
    await beat(till, WELL, version="0.2.0", given_up=(GivenUp(version="0.3.0", reason="self-test: <no> room"),))
    centre.write(lambda connection: releases.offer(connection, "0.2.0", ["12"], HOUR, NOON))

    _, page = await browser.get("/fleet")
    assert "gave up 0.3.0: self-test: &lt;no&gt; room" in page
    assert "1 of 1 there run it" in page
    fields = {"token": await browser.token("/fleet"), "version": "0.2.0"}
    assert (await browser.post("/releases/stop", fields)).status == 409
    assert (await browser.post("/releases/stop", fields | {"because": "slow <tills>"})).status == 303
    assert "Stopped: slow &lt;tills&gt;" in (await browser.get("/fleet"))[1]
    for ring in ("the first registers", "a tenth", "all"):
        assert (await browser.post("/releases/go-on", fields)).status == 303
        assert f"is offered to {ring}," in (await browser.get("/fleet"))[1]
    answer = await browser.post("/releases/go-on", fields)
    assert (answer.status, "offered to all already" in await answer.text()) == (409, True)


async def test_the_page_says_it_all_and_runs_its_own_script_alone(centre: RunningCentre) -> None:
    browser = Browser(centre)
    await browser.open(centre.ready.open)
    worker = WorkerState(kind="scanner", name="<b>counter</b>", condition="failing")
    told = RegisterState(
        verdict="degraded", reasons=("scanner: <i>gone</i>; run `tillside <doctor>`",), workers=(worker,), receipts=5
    )
    await beat(await centre.till(), told, sent_at=NOON + timedelta(minutes=5))

    answer = await browser.ask("GET", "/fleet")
    text = await answer.text()
    for part in (
        "scanner: &lt;i&gt;gone",
        "<code>tillside &lt;doctor&gt;</code>",
        "&lt;b&gt;counter",
        "its clock is 5 min ahead",
        "<svg",
        ">+5 min<",
    ):
        assert part in text
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'")
    assert policy.endswith("; script-src 'self'; connect-src 'self'")
    assert "unsafe" not in policy
    assert text.count("<script") == 1
    assert "style=" not in text
    script = await browser.ask("GET", "/live.js")
    assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"
