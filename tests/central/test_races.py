"""Several writers at once, as PostgreSQL has them: what runs side by side, what waits, and that all counts once."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Barrier, Event

import pytest
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import OperationalError

from central import devices, enrolling, feed, ledger
from central.clock import utc_now
from central.db import tables
from central.db.database import ATTEMPTS, Database
from central.db.dialects import Way
from central.db.errors import DatabaseServedError
from central.folder import DataFolder
from central.ingest import Applied, ingest
from central.problems import TokenRefusedError
from central.server import Server
from loyalty.receipt import Line
from sync.wire import EnrolRequest, EpochRequest
from tests.central.conftest import only_postgresql
from tests.central.till import FACTS, NOON, Till, receipt, returned

pytestmark = only_postgresql

# Long enough that a thread which waits for nothing but the processor is through; a test fails after it, never passes.
PATIENCE_S = 60
ROUNDS = 12
HELD_BACK_S = 0.3

Also = Callable[[Connection], object]
"""What is done in a transaction besides."""


def nothing(_connection: Connection) -> None:
    """All is the product's."""


@dataclass
class Races:
    """One database, and registers that reach it without a network."""

    database: Database
    folder: DataFolder
    threads: ThreadPoolExecutor

    def till(self, register: str) -> Till:
        till = Till("", self.folder.ca_certificate.read_text(), None)  # type: ignore[arg-type]
        self.database.write_now(lambda connection: _enrolled(connection, till, register))
        return till

    def send(self, till: Till, first: int = 1, *, also: Also = nothing) -> Applied:
        return self.database.write_now(taking(till, first, also), Way.BESIDE)

    def at_once(self, *work: Callable[[], Applied]) -> list[Applied]:
        """Runs all of them, begun at the same moment."""
        gate = Barrier(len(work))

        def run(one: Callable[[], Applied]) -> Applied:
            gate.wait(PATIENCE_S)
            return one()

        begun = [self.threads.submit(run, one) for one in work]
        return [each.result(PATIENCE_S) for each in begun]

    def begun(self, till: Till, first: int = 1, *, also: Also = nothing) -> tuple[Future[Applied], Event]:
        """A batch that is taken in and not committed until the event is set."""
        inside, go_on = Event(), Event()

        def work(connection: Connection) -> Applied:
            applied = taking(till, first, also)(connection)
            inside.set()
            assert go_on.wait(PATIENCE_S)
            return applied

        future = self.threads.submit(self.database.write_now, work, Way.BESIDE)
        assert inside.wait(PATIENCE_S)
        return future, go_on

    def cursor(self, after: int) -> int:
        """Where who has read everything after a position stands."""
        read = self.database.read_now(lambda connection: feed.changes_after(connection, after, 10, NOON))
        return read.changes[-1].pos

    def points(self, member: str) -> int:
        assert self.database.read_now(lambda connection: ledger.check_balances(connection, NOON)) == []
        entries = self.database.read_now(lambda connection: ledger.entries_of_member(connection, member))
        return sum(entry.points for entry in entries)


def taking(till: Till, first: int, also: Also) -> Callable[[Connection], Applied]:
    batch = till.batch(first)

    def work(connection: Connection) -> Applied:
        applied = ingest(connection, till.device, batch, request_id=secrets.token_hex(8), fingerprint="", now=NOON)
        assert isinstance(applied, Applied)
        also(connection)
        return applied

    return work


def _enrolled(connection: Connection, till: Till, register: str) -> None:
    token = secrets.token_hex(8)
    hour = timedelta(hours=1)
    enrolling.create_enrolment(connection, token=token, store="12", register=register, valid_for=hour, now=NOON)
    request = EnrolRequest(token=token, public_key=till.public_key, facts=FACTS)
    device = enrolling.enrol(connection, request, now=NOON, randomness=secrets.token_bytes).device
    till.device = device.id
    till.epoch = devices.open_epoch(
        connection, device, EpochRequest(facts=FACTS), request_id="e", now=NOON, randomness=secrets.token_bytes
    )


def codes_of(applied: Applied) -> list[str]:
    return [outcome.code for outcome, _ in applied.outcomes]


def goods(name: str, amount_minor: int = 100_00) -> tuple[Line, ...]:
    return (Line(position=1, description=name, amount_minor=amount_minor),)


@pytest.fixture
def races(data: Path) -> Iterator[Races]:
    folder = DataFolder(data)
    database = Database(folder.database)
    with ThreadPoolExecutor(4) as threads:
        yield Races(database, folder, threads)
    database.close()


def test_registers_are_taken_in_side_by_side(races: Races) -> None:
    # Given a batch of one register that is on its way in, and not committed
    one, other = races.till("1"), races.till("2")
    one.sale(receipt(1, code="TS0001", register="1", lines=goods("bread")))
    other.sale(receipt(1, code="TS0002", register="2", lines=goods("milk")))
    first, go_on = races.begun(one)
    # When another register sends
    applied = races.send(other)
    # Then it is answered while the first is still under way
    assert codes_of(applied) == ["accepted"]
    assert not first.done()
    go_on.set()
    assert codes_of(first.result(PATIENCE_S)) == ["accepted"]
    assert (races.points("m1"), races.points("m2")) == (10, 15)


def test_one_receipt_from_two_registers_at_the_same_moment_counts_once(races: Races) -> None:
    one, other = races.till("1"), races.till("2")
    for count in range(1, ROUNDS + 1):
        sold = receipt(count, code="TS0001")
        one.sale(sold)
        other.sale(sold)
        outcomes = races.at_once(
            lambda count=count: races.send(one, count),  # type: ignore[misc]
            lambda count=count: races.send(other, count),  # type: ignore[misc]
        )
        assert sorted(code for applied in outcomes for code in codes_of(applied)) == ["accepted", "duplicate"]
    assert races.points("m1") == 10 * ROUNDS


def test_batches_about_the_same_members_in_any_order_never_stop_each_other(races: Races) -> None:
    # Given two registers that sell to the same members, in opposite orders
    one, other = races.till("1"), races.till("2")
    cards = ("TS0001", "TS0002")
    for count in range(1, ROUNDS + 1):
        first = 2 * count - 1
        for till, register, order in ((one, "1", cards), (other, "2", cards[::-1])):
            for place, code in enumerate(order):
                till.sale(receipt(first + place, code=code, register=register))
        # When they send at the same moment
        outcomes = races.at_once(
            lambda first=first: races.send(one, first),  # type: ignore[misc]
            lambda first=first: races.send(other, first),  # type: ignore[misc]
        )
        # Then both are taken in
        assert [codes_of(applied) for applied in outcomes] == [["accepted"] * 2] * 2
    # And every sale counts once
    assert (races.points("m1"), races.points("m2")) == (20 * ROUNDS, 30 * ROUNDS)


def test_sales_to_one_member_wait_for_each_other(races: Races) -> None:
    # Given a sale that is not committed
    one, other = races.till("1"), races.till("2")
    one.sale(receipt(1, code="TS0001", register="1", lines=goods("bread")))
    other.sale(receipt(2, code="TS0001", register="2", lines=goods("milk")))
    first, go_on = races.begun(one)
    # When another register sells to the same member
    second = races.threads.submit(races.send, other)
    with pytest.raises(TimeoutError):
        second.result(HELD_BACK_S)
    # Then it goes on from what the first one gave
    go_on.set()
    assert codes_of(first.result(PATIENCE_S)) == codes_of(second.result(PATIENCE_S)) == ["accepted"]
    assert races.points("m1") == 20


def test_a_return_that_comes_while_its_sale_is_on_its_way_in_finds_it(races: Races) -> None:
    # Given a sale that is not committed
    one, other = races.till("1"), races.till("2")
    sold = receipt(1, code="TS0001")
    one.sale(sold)
    other.sale(returned(2, sold))
    first, go_on = races.begun(one)
    # When its return comes from another register
    second = races.threads.submit(races.send, other)
    with pytest.raises(TimeoutError):
        second.result(HELD_BACK_S)
    # Then it waits for the sale, and takes back what it gave
    go_on.set()
    assert codes_of(first.result(PATIENCE_S)) == codes_of(second.result(PATIENCE_S)) == ["accepted"]
    assert races.points("m1") == 0
    states = select(tables.receipts.c.state)
    assert races.database.read_now(lambda connection: connection.execute(states).scalars().all()) == ["settled"] * 2


def _placed(database: Database) -> None:
    while database.write_now(lambda connection: feed.place_changes(connection, NOON), Way.PLACE).more:
        pass


def take_positions(connection: Connection) -> None:
    """Give positions as a centre might that takes them from a sequence, in the transaction that makes the change."""
    changed = "member IN (SELECT changes.member FROM changes)"
    connection.exec_driver_sql(f"UPDATE feed SET pos = nextval('positions') WHERE {changed}")
    connection.exec_driver_sql("DELETE FROM changes")


def _newest_told(database: Database) -> None:
    """Tell the newest of those positions that is committed."""
    told = tables.centre.update().values(feed_pos=select(func.max(tables.feed.c.pos)).scalar_subquery())
    database.write_now(lambda connection: connection.execute(told), Way.PLACE)


@pytest.mark.parametrize(
    ("also", "place", "told"),
    [
        pytest.param(nothing, _placed, ["m1"], id="ours"),
        pytest.param(take_positions, _newest_told, [], id="control: positions before the commit"),
    ],
)
def test_a_change_committed_late_gets_a_position_behind_those_that_overtook_it(
    races: Races, also: Also, place: Callable[[Database], None], told: list[str]
) -> None:
    # Given a batch whose change was made first and is committed last
    one, other = races.till("1"), races.till("2")
    one.sale(receipt(1, code="TS0001", register="1", lines=goods("bread")))
    other.sale(receipt(1, code="TS0002", register="2", lines=goods("milk")))
    _placed(races.database)
    start = races.cursor(0)
    races.database.write_now(lambda c: c.exec_driver_sql(f"CREATE SEQUENCE positions START {start + 1}"))
    first, go_on = races.begun(one, also=also)
    races.send(other, also=also)
    # When positions are given while it is under way, and again after it
    place(races.database)
    cursor = races.cursor(start)
    assert cursor > start
    go_on.set()
    first.result(PATIENCE_S)
    place(races.database)
    # Then who has read up to the first pass finds it behind; who took positions earlier never does
    later = races.database.read_now(lambda connection: feed.changes_after(connection, cursor, 10, NOON))
    assert [change.member for change in later.changes] == told


def test_two_sequencers_at_once_give_every_position_once(races: Races) -> None:
    _placed(races.database)
    for round_ in range(ROUNDS):
        members = random.sample(["m1", "m2", "m3"], 2)
        races.database.write_now(lambda connection, members=members: feed.note_changes(connection, members, NOON))  # type: ignore[misc]
        before = races.database.read_now(feed.feed_position)
        gate = Barrier(2)

        def place(gate: Barrier = gate) -> None:
            gate.wait(PATIENCE_S)
            _placed(races.database)

        for each in [races.threads.submit(place) for _ in range(2)]:
            each.result(PATIENCE_S)
        given = races.database.read_now(lambda c, before=before: feed.changes_after(c, before, 10, NOON))  # type: ignore[misc]
        assert [change.pos for change in given.changes] == [before + 1, before + 2], round_
        assert {change.member for change in given.changes} == set(members)


def test_a_transaction_that_loses_every_race_is_given_up(races: Races) -> None:
    runs = 0

    def work(connection: Connection) -> None:
        nonlocal runs
        runs += 1
        connection.exec_driver_sql("DO $$ BEGIN RAISE 'lost' USING ERRCODE = '40001'; END $$")

    with pytest.raises(OperationalError, match="lost"):
        races.database.write_now(work, Way.BESIDE)
    assert runs == ATTEMPTS


async def test_a_second_server_refuses_and_takes_over_once_the_first_is_gone(data: Path) -> None:
    # Given a process that serves
    folder = DataFolder(data)
    first, second = Database(folder.database), Database(folder.database)
    first.serve_alone()
    first.serve_alone()
    # When another one starts on the same database
    with pytest.raises(DatabaseServedError, match="another process serves"):
        await Server(folder, clock=utc_now).run(lambda _: None, asyncio.Event())
    # Then it can as soon as the connection of the first is gone, however it went
    second.write_now(_kill_who_serves)
    second.serve_alone()
    # And the first one knows
    with pytest.raises(OperationalError):
        first.serve_alone()
    with pytest.raises(DatabaseServedError):
        first.serve_alone()
    first.close()
    second.close()


def _kill_who_serves(connection: Connection) -> None:
    holders: Sequence[int] = (
        connection.exec_driver_sql(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = 7420002 "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        .scalars()
        .all()
    )
    assert len(holders) == 1
    # It waits until the process is gone.
    assert connection.exec_driver_sql(f"SELECT pg_terminate_backend({holders[0]}, 10000)").scalar_one()


def test_of_two_codes_for_one_place_that_are_used_at_once_one_wins(races: Races) -> None:
    for place in map(str, range(ROUNDS)):
        # Given two codes for one place
        tokens = [_code_for(races, place) for _ in range(2)]
        gate = Barrier(2)
        # When both are used at the same moment
        ends = list(races.threads.map(partial(_use, races, gate), tokens))
        # Then one of them is in
        assert sorted(ends) == ["in", "place"]


def _code_for(races: Races, place: str) -> str:
    token, hour = secrets.token_hex(8), timedelta(hours=1)
    races.database.write_now(
        lambda connection: enrolling.create_enrolment(
            connection, token=token, store="12", register=place, valid_for=hour, now=NOON
        )
    )
    return token


def _use(races: Races, gate: Barrier, token: str) -> str:
    """How using a code ended, in a transaction that was begun beside others."""
    request = EnrolRequest(token=token, public_key=secrets.token_urlsafe(32), facts=FACTS)

    def work(connection: Connection) -> str:
        enrolling.enrol(connection, request, now=NOON, randomness=secrets.token_bytes)
        return "in"

    gate.wait(PATIENCE_S)
    try:
        return races.database.write_now(work, Way.BESIDE)
    except TokenRefusedError as error:
        return error.reason
