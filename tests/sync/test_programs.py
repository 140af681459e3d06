"""What a register goes by when its centre announces programs, and some of them are not there or cannot be read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from msgspec import UNSET

from sync.programs import Programs, begun, followed
from sync.wire import MAX_ANNOUNCED, AnnouncedProgram, HeartbeatResponse

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
OLD, NEW, LATER = "a" * 64, "b" * 64, "c" * 64


def announced(name: str, valid_from: datetime | None = None) -> AnnouncedProgram:
    return AnnouncedProgram(program=name, valid_from=valid_from or UNSET)


def in_force(programs: Programs, moment: datetime, held: set[str]) -> str | None:
    names = [one.program for one in begun(programs.schedule, moment) if one.program in held]
    return names[-1] if names else None


def test_what_is_announced_holds_from_its_time() -> None:
    programs = followed(Programs(), (announced(OLD), announced(NEW, NOW + DAY)), {OLD, NEW}, NOW)
    held = {OLD, NEW}
    assert in_force(programs, NOW - 1000 * DAY, held) == OLD
    assert in_force(programs, NOW + DAY - timedelta(microseconds=1), held) == OLD
    assert in_force(programs, NOW + DAY, held) == NEW


def test_the_old_one_stays_while_the_new_one_is_not_here() -> None:
    # Given a register that goes by one program, and a centre that has another in force for all times
    before = Programs(schedule=(announced(OLD),))
    for _ in range(3):  # heartbeat after heartbeat
        before = followed(before, (announced(NEW),), {OLD}, NOW)
    assert before.schedule == (announced(OLD), announced(NEW))
    assert in_force(before, NOW, {OLD}) == OLD
    # When it comes, it holds, and the next heartbeat leaves it alone
    assert in_force(before, NOW, {OLD, NEW}) == NEW
    assert followed(before, (announced(NEW),), {OLD, NEW}, NOW).schedule == (announced(NEW),)


def test_the_old_one_stays_only_until_one_begins_that_is_here() -> None:
    before = Programs(schedule=(announced(OLD),))
    held = {OLD, LATER}
    programs = followed(before, (announced(NEW), announced(LATER, NOW + DAY)), held, NOW)
    assert in_force(programs, NOW, held) == OLD
    assert in_force(programs, NOW + DAY, held) == LATER


def test_a_planned_one_that_was_withdrawn_never_holds() -> None:
    planned = followed(Programs(), (announced(OLD), announced(NEW, NOW + DAY)), {OLD, NEW}, NOW)
    withdrawn = followed(planned, (announced(OLD),), {OLD, NEW}, NOW)
    assert in_force(withdrawn, NOW + 2 * DAY, {OLD, NEW}) == OLD
    # Also where nothing of what is announced instead is here yet
    replaced = followed(planned, (announced(LATER),), {OLD, NEW}, NOW)
    assert in_force(replaced, NOW + 2 * DAY, {OLD, NEW}) == OLD


def test_what_held_before_all_that_is_announced_stays_for_late_receipts() -> None:
    programs = Programs(schedule=(announced(OLD),))
    programs = followed(programs, (announced(NEW, NOW),), {OLD, NEW}, NOW)
    assert in_force(programs, NOW - DAY, {OLD, NEW}) == OLD
    # But not without a limit
    held = {f"{count:064}" for count in range(100)}
    for count in range(100):
        news = (announced(f"{count:064}", NOW + count * DAY),)
        programs = followed(programs, news, held, NOW + count * DAY)
    assert len(programs.schedule) == MAX_ANNOUNCED + 1


def test_a_refusal_is_forgotten_with_what_was_refused() -> None:
    programs = Programs(schedule=(announced(OLD), announced(NEW, NOW)), refused={NEW: "not JSON"})
    assert followed(programs, programs.schedule, {OLD}, NOW).refused == {NEW: "not JSON"}
    assert followed(programs, (announced(OLD),), {OLD}, NOW).refused == {}


def test_a_centre_of_before_schedules_announces_what_is_in_force() -> None:
    def heard(**facts: object) -> tuple[AnnouncedProgram, ...]:
        return HeartbeatResponse(centre_epoch="c", server_time=NOW, feed=0, **facts).announced  # type: ignore[arg-type]

    assert heard() == ()
    assert heard(program=OLD) == (announced(OLD),)
    assert heard(program=OLD, schedule=(announced(OLD), announced(NEW, NOW))) == (announced(OLD), announced(NEW, NOW))
