"""Programs at the centre: from when each holds, what registers are told, and what can be taken back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from central import ledger, operations, programs
from central.db.database import Database
from central.folder import DataFolder
from central.setup import InitOptions, initialise
from loyalty.program import Program, ProgramError, program_hash
from loyalty.schedule import in_force_at
from sync.wire import MAX_ANNOUNCED
from tests.central.conftest import PROGRAM, RunningCentre
from tests.central.till import NOON, receipt

HOUR = timedelta(hours=1)
LATER = NOON + 24 * HOUR


def named(name: str) -> Program:
    return replace(PROGRAM, program=name)


class Publisher:
    """A centre's database, and the program it was made with."""

    def __init__(self, data: Path) -> None:
        self._key = DataFolder(data).program_key()
        self.database = Database(DataFolder(data).database)

    def publish(self, name: str, now: datetime, valid_from: datetime | None = None) -> str:
        return self.database.write_now(
            lambda connection: programs.publish(connection, named(name), self._key, now, valid_from)
        )

    def withdraw(self, hashed: str, now: datetime) -> None:
        self.database.write_now(lambda connection: programs.withdraw(connection, hashed, now))

    def schedule(self) -> list[tuple[datetime | None, str]]:
        found = self.database.read_now(programs.schedule)
        assert [program_hash(one.program) for one in found] == [one.hash for one in found]
        return [(valid_from, program.program) for valid_from, _, program in found]

    def at(self, moment: datetime) -> str | None:
        found = in_force_at(self.database.read_now(programs.schedule), moment)
        in_force = self.database.read_now(lambda connection: programs.program_in_force(connection, moment))
        assert (found and found.hash) == (in_force and in_force.hash)
        return found and found.program.program


@pytest.fixture
def publisher(data: Path) -> Iterator[Publisher]:
    made = Publisher(data)
    yield made
    made.database.close()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Publisher]:
    initialise(tmp_path / "empty", InitOptions(), NOON)
    made = Publisher(tmp_path / "empty")
    yield made
    made.database.close()


def test_the_first_holds_for_all_before_and_each_further_one_from_when_it_was_published(publisher: Publisher) -> None:
    publisher.publish("second", NOON + HOUR)
    assert publisher.schedule() == [(None, "test"), (NOON + HOUR, "second")]
    assert publisher.at(NOON - 1000 * HOUR) == publisher.at(NOON + HOUR - timedelta(microseconds=1)) == "test"
    assert publisher.at(NOON + HOUR) == "second"


def test_one_with_a_time_waits_for_it_and_leaves_the_one_before_in_force(publisher: Publisher) -> None:
    publisher.publish("december", NOON, LATER)
    publisher.publish("correction", NOON + HOUR)
    # In the order of time, not of publishing
    assert publisher.schedule() == [(None, "test"), (NOON + HOUR, "correction"), (LATER, "december")]
    assert publisher.at(LATER - HOUR) == "correction"
    assert publisher.at(LATER) == "december"


def test_where_the_first_has_a_time_nothing_holds_before_it(empty: Publisher) -> None:
    empty.publish("first", NOON, LATER)
    assert empty.at(LATER - HOUR) is None
    # One put in force at once holds for all before, and ends when the planned one begins
    empty.publish("meanwhile", NOON + HOUR)
    assert empty.schedule() == [(None, "meanwhile"), (LATER, "first")]


def test_one_for_the_same_time_takes_the_place_of_the_one_planned(publisher: Publisher) -> None:
    publisher.publish("december", NOON, LATER)
    publisher.publish("better", NOON + HOUR, LATER)
    assert publisher.schedule() == [(None, "test"), (LATER, "better")]


def test_what_waits_for_its_time_can_be_withdrawn_and_what_holds_cannot(publisher: Publisher) -> None:
    first = publisher.publish("december", NOON, LATER)
    publisher.publish("january", NOON, LATER + HOUR)
    publisher.withdraw(first[:12], NOON + HOUR)
    assert publisher.schedule() == [(None, "test"), (LATER + HOUR, "january")]
    for unmeant in (first, program_hash(named("test")), "", "f00"):
        with pytest.raises(ProgramError, match="program show"):
            publisher.withdraw(unmeant, NOON + HOUR)
    # What is in force by now cannot be taken back
    begun = publisher.publish("begun", NOON + HOUR, LATER)
    with pytest.raises(ProgramError, match="publish another"):
        publisher.withdraw(begun, LATER)
    # Withdrawing leaves room for the same again
    publisher.publish("december", NOON + 2 * HOUR, LATER + 5 * HOUR)
    assert publisher.at(LATER + 6 * HOUR) == "december"


def test_a_time_that_is_past_is_refused(publisher: Publisher) -> None:
    for past in (NOON, NOON - HOUR):
        with pytest.raises(ProgramError, match="publish without a time"):
            publisher.publish("late", NOON, past)
    assert publisher.schedule() == [(None, "test")]


def test_only_so_many_wait_for_their_time(publisher: Publisher) -> None:
    for count in range(programs.MAX_PLANNED):
        publisher.publish(f"planned {count}", NOON, LATER + count * HOUR)
    with pytest.raises(ProgramError, match="withdraw one first"):
        publisher.publish("one more", NOON, LATER - HOUR)
    # In place of another there is room
    publisher.publish("in its place", NOON, LATER)
    assert publisher.at(LATER) == "in its place"


def test_registers_are_told_of_the_newest(publisher: Publisher) -> None:
    for count in range(MAX_ANNOUNCED):
        publisher.publish(f"program {count}", NOON + (count + 1) * HOUR)
    told = publisher.database.read_now(programs.announced)
    assert len(told) == MAX_ANNOUNCED
    assert told[0].valid_from == NOON + HOUR
    assert told[-1].program == program_hash(named(f"program {MAX_ANNOUNCED - 1}"))


async def test_a_receipt_without_a_program_of_its_own_falls_to_the_one_of_its_time(centre: RunningCentre) -> None:
    # Given a program that gives five times as much from tomorrow on
    richer = replace(PROGRAM, earn=(replace(PROGRAM.earn[0], give=replace(PROGRAM.earn[0].give, points=5)),))
    key = centre.folder.program_key()
    centre.write(lambda connection: operations.publish(connection, richer, key, NOON, LATER))
    till = await centre.till()

    # When receipts of before and after come the day after, from a register that knew no program
    centre.clock.now = LATER + HOUR
    for number, issued_at in ((1, LATER - timedelta(minutes=1)), (2, LATER)):
        await till.sell(receipt(number, 100_00, code="TS-0001", issued_at=issued_at))

    # Then each is worth what its own time says
    entries = centre.read(lambda connection: ledger.entries_of_member(connection, "m1"))
    assert [entry.points for entry in entries] == [10, 50]


async def test_a_register_hears_of_what_holds_and_of_what_will(centre: RunningCentre) -> None:
    later = centre.write(
        lambda connection: programs.publish(connection, named("later"), centre.folder.program_key(), NOON, LATER)
    )
    till = await centre.till()
    heard: Any = await till.heartbeat()
    assert heard.program == program_hash(PROGRAM)
    assert [(one.program, one.valid_from or None) for one in heard.schedule] == [
        (program_hash(PROGRAM), None),
        (later, LATER),
    ]
