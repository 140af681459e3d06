"""When a register asks what it may spend."""

from __future__ import annotations

from msgspec.structs import replace

from sync.errors import CentreRefusedError
from sync.session import HEARTBEAT_S
from sync.steps import Held, OpenEpoch, PullAllowances, SendHeartbeat, Wait
from sync.wire import AllowancesResponse, GrantedAllowance
from tests.sync.test_session import READY, Talk, changes, epoch, heartbeat

GRANT = GrantedAllowance(number=3, allowance="a-1", member="m-1", epoch="e1", points=500)


def page(next_: int, *, more: bool = False, centre_epoch: str = "c1") -> AllowancesResponse:
    return AllowancesResponse(centre_epoch=centre_epoch, allowances=(GRANT,), next=next_, more=more)


def told(number: int | None, held: Held = READY) -> Talk:
    """Past a heartbeat that names the newest grant."""
    talk = Talk(held)
    beat = heartbeat(held.feed or 0)
    talk.answer(beat if number is None else replace(beat, allowances=number))
    return talk


def test_what_is_newer_than_what_is_kept_is_asked_for_page_by_page() -> None:
    talk = told(3, replace(READY, allowances=1, allowances_centre="c1"))

    assert talk.take(PullAllowances) == PullAllowances(after=1)
    assert talk.answer(page(2, more=True))
    talk.hold(allowances=2)
    assert talk.take(PullAllowances) == PullAllowances(after=2)
    assert talk.answer(page(3))
    talk.hold(allowances=3)
    talk.answer(changes(10))
    assert isinstance(talk.next(), Wait)


def test_a_centre_that_names_none_is_not_asked() -> None:
    talk = told(None)
    talk.session.poked_of_allowances()

    talk.answer(changes(10))

    assert isinstance(talk.next(), Wait)


def test_a_poke_asks_at_once() -> None:
    talk = told(3, replace(READY, allowances=3, allowances_centre="c1"))
    talk.answer(changes(10))
    assert isinstance(talk.next(), Wait)

    talk.session.poked_of_allowances()

    talk.take(PullAllowances)
    talk.answer(page(4))
    talk.hold(allowances=4)
    assert isinstance(talk.next(), Wait)


def test_a_centre_that_knows_no_allowances_is_left_alone_and_no_problem_is_made_of_it() -> None:
    talk = told(3)

    talk.fail(CentreRefusedError(404, "not found"))

    talk.answer(changes(10))
    assert isinstance(talk.next(), Wait)
    assert talk.session.problems == ()


def test_none_is_asked_for_before_the_epoch_stands_that_they_are_for() -> None:
    talk = told(3, replace(READY, epoch=None))

    talk.take(OpenEpoch)


def test_a_restored_centre_is_told_what_is_held_once_its_epoch_stands() -> None:
    talk = Talk(replace(READY, allowances=9, allowances_centre="c1"))
    talk.answer(replace(heartbeat(10, centre_epoch="c2"), allowances=2))
    talk.take(OpenEpoch)
    talk.answer(epoch("c2"))
    talk.hold(epoch="e2", epoch_centre="c2")

    assert talk.take(PullAllowances) == PullAllowances(after=0, tells_held=True)
    assert talk.answer(page(2, centre_epoch="c2"))
    talk.hold(allowances=2, allowances_centre="c2")
    assert not isinstance(talk.next(), PullAllowances)


def test_what_is_named_and_does_not_come_is_asked_for_once_for_each_time_it_is_named() -> None:
    talk = told(3)
    talk.answer(page(0))
    talk.answer(changes(10))
    assert isinstance(talk.next(), Wait)

    talk.now += HEARTBEAT_S
    talk.take(SendHeartbeat)
    talk.answer(replace(heartbeat(10), allowances=3))

    talk.take(PullAllowances)


def test_a_page_before_what_was_asked_for_is_not_taken() -> None:
    talk = told(3, replace(READY, allowances=2, allowances_centre="c1"))

    assert not talk.answer(page(1))

    assert not isinstance(talk.next(), PullAllowances)
