"""What the service manager of Windows is told, and what its controls do."""

from __future__ import annotations

import pytest

from agent.windows.life import ACCEPTS, HEARD, NOT_OURS, SPECIFIC_ERROR, Control, Life, State, Status

PARAMETER_CHANGE = 6


def test_it_starts_runs_and_takes_stops() -> None:
    # Given a service that was just started
    life = Life()
    assert (life.status.state, life.status.accepts) == (State.START_PENDING, 0)
    assert life.status.wait_ms > 0

    # When the agent answers, then it can be stopped
    assert life.running() == Status(state=State.RUNNING, accepts=ACCEPTS)


@pytest.mark.parametrize("control", [Control.STOP, Control.SHUTDOWN])
def test_a_stop_is_taken_once(control: Control) -> None:
    life = Life()
    life.running()

    assert life.asked(control) == (HEARD, True)
    assert life.status.state is State.STOP_PENDING
    assert life.status.accepts == 0
    # When it is asked again, then the agent is not told twice
    assert life.asked(control) == (HEARD, False)


def test_a_stop_while_it_starts_is_not_forgotten_when_it_runs() -> None:
    life = Life()
    assert life.asked(Control.STOP) == (HEARD, True)

    assert life.running().state is State.STOP_PENDING


def test_being_asked_how_it_is_changes_nothing() -> None:
    life = Life()
    before = life.running()

    assert life.asked(Control.INTERROGATE) == (HEARD, False)
    assert life.status == before


def test_other_controls_are_not_ours() -> None:
    life = Life()

    assert life.asked(PARAMETER_CHANGE) == (NOT_OURS, False)


@pytest.mark.parametrize(("code", "error"), [(0, 0), (1, SPECIFIC_ERROR), (2, SPECIFIC_ERROR)])
def test_an_exit_code_other_than_0_is_a_failure_to_act_on(code: int, error: int) -> None:
    life = Life()
    life.running()

    assert life.ended(code) == Status(state=State.STOPPED, error=error, specific_error=code)
    assert life.asked(Control.STOP) == (HEARD, False)
