"""When a config is fetched, and what its failing holds up: nothing."""

from __future__ import annotations

from msgspec import UNSET
from msgspec.structs import replace

from sync.errors import CentreRefusedError, CentreUnavailableError
from sync.session import REFUSED_RETRY_S
from sync.steps import FetchConfig, FetchProgram, PullChanges, SendHeartbeat, Wait
from sync.wire import HeartbeatResponse, SignedConfig, SignedProgram
from tests.sync.test_session import HASH, READY, Talk, changes, heartbeat

NEWER = "1" * 64


def beat(config: str | None = HASH, program: str | None = None) -> HeartbeatResponse:
    return replace(heartbeat(program=program), config=config or UNSET)


def config(hash_: str = HASH) -> SignedConfig:
    return SignedConfig(hash=hash_, config="{}", signature="")


def test_a_config_that_is_not_in_force_is_fetched_before_anything_else() -> None:
    talk = Talk()
    talk.answer(beat(program=HASH))

    talk.take(FetchConfig)
    assert talk.answer(config())
    talk.hold(config=HASH)
    talk.take(FetchProgram)


def test_the_one_in_force_is_not_fetched_again() -> None:
    talk = Talk(replace(READY, config=HASH))
    talk.answer(beat())

    talk.take(PullChanges)


def test_a_centre_that_never_published_one_is_not_asked() -> None:
    talk = Talk()
    talk.answer(beat(None))

    talk.take(PullChanges)


def test_one_published_since_the_heartbeat_is_taken_once() -> None:
    talk = Talk()
    talk.answer(beat())

    assert talk.answer(config(NEWER))
    talk.hold(config=NEWER)
    talk.take(PullChanges)


def test_one_that_cannot_be_used_is_shown_and_asked_for_seldom() -> None:
    talk = Talk()
    talk.answer(beat())
    talk.answer(config())
    talk.session.config_unusable("update the register", talk.now, 1.0)

    # everything else goes on
    [problem] = talk.session.problems
    assert (problem.code, problem.detail) == ("config_unusable", "update the register")
    talk.answer(changes(10))
    assert isinstance(talk.next(), Wait)
    talk.now += REFUSED_RETRY_S
    talk.take(SendHeartbeat)
    talk.answer(beat())
    talk.take(FetchConfig)

    # and one that can be used ends it
    talk.answer(config())
    assert talk.session.problems == ()


def test_one_that_is_taken_back_ends_the_problem() -> None:
    talk = Talk()
    talk.answer(beat())
    talk.answer(config())
    talk.session.config_unusable("update the register", talk.now, 1.0)

    talk.now += REFUSED_RETRY_S
    talk.answer(beat(None))

    assert talk.session.problems == ()


def test_a_refusal_is_told_and_holds_up_nothing() -> None:
    talk = Talk()
    talk.answer(beat())
    assert isinstance(talk.fail(CentreRefusedError(404, "nothing was published here")), FetchConfig)

    assert [problem.code for problem in talk.session.problems] == ["config_unusable"]
    assert talk.session.online
    talk.take(PullChanges)


def test_a_lost_answer_is_asked_for_again() -> None:
    talk = Talk()
    talk.answer(beat())
    assert isinstance(talk.fail(CentreUnavailableError("gone"), chance=0.0), FetchConfig)
    talk.answer(beat())

    talk.take(FetchConfig)
    assert talk.session.problems == ()


def test_a_program_and_a_config_do_not_hold_each_other_up() -> None:
    talk = Talk()
    talk.answer(beat(program=HASH))
    talk.fail(CentreRefusedError(404, "gone"))

    assert isinstance(talk.next(), FetchProgram)
    talk.answer(SignedProgram(hash=HASH, program="{}", signature=""))
    assert [problem.code for problem in talk.session.problems] == ["config_unusable"]
