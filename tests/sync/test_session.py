"""The rules of the conversation, one by one, without a socket."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from sync.errors import (
    CentreAnswerError,
    CentreBusyError,
    CentreError,
    CentreProxyError,
    CentreRefusedError,
    CentreUnavailableError,
    CentreUntrustedError,
)
from sync.retry import Backoff
from sync.session import (
    BACKLOG_ENTRIES,
    HEARTBEAT_S,
    MAX_RETRY_AFTER_S,
    NO_CREDIT_S,
    PULL_IN_BACKLOG_S,
    Session,
)
from sync.steps import (
    Answer,
    AskSnapshot,
    Exchange,
    FetchChunk,
    FetchProgram,
    Held,
    OpenEpoch,
    PullChanges,
    PullErasures,
    SendBatch,
    SendHeartbeat,
    SnapshotProgress,
    Step,
    Wait,
)
from sync.wire import (
    FIRST_ENTRIES,
    MAX_ENTRIES,
    AnnouncedProgram,
    Change,
    ChangesResponse,
    EpochResponse,
    Erasure,
    ErasuresResponse,
    HeartbeatResponse,
    IngestResponse,
    Outcome,
    SignedProgram,
    SnapshotChunk,
    SnapshotResponse,
)

NOW = datetime(2026, 11, 22, 9, 7, 14, tzinfo=UTC)
HASH = "0" * 64
BACKOFF = Backoff(base_s=1.0, cap_s=16.0)
READY = Held(epoch="e1", epoch_centre="c1", feed=10, feed_centre="c1", scope="all")


def heartbeat(feed: int = 10, program: str | None = None, centre_epoch: str = "c1") -> HeartbeatResponse:
    return HeartbeatResponse(centre_epoch=centre_epoch, server_time=NOW, feed=feed, program=program or UNSET)


def epoch(centre_epoch: str = "c1") -> EpochResponse:
    return EpochResponse(epoch="e2", centre_epoch=centre_epoch, server_time=NOW)


def acked(through: int, *, centre_epoch: str = "c1", credit: int = MAX_ENTRIES, pos: int = 0) -> IngestResponse:
    return IngestResponse(
        centre_epoch=centre_epoch,
        acked_through=through,
        chain_hash=HASH,
        outcomes=(Outcome(seq=through, code="accepted", pos=pos),),
        server_time=NOW,
        credit=credit,
    )


def changes(next_: int, *, more: bool = False, centre_epoch: str = "c1") -> ChangesResponse:
    return ChangesResponse(centre_epoch=centre_epoch, changes=(), next=next_, more=more, as_of=NOW)


def snapshot(chunks: int, centre_epoch: str = "c1") -> SnapshotResponse:
    return SnapshotResponse(
        centre_epoch=centre_epoch,
        as_of=50,
        made_at=NOW,
        scope="all",
        chunks=tuple(SnapshotChunk(url=f"/v1/snapshot/{n}", sha256=HASH, rows=1) for n in range(chunks)),
    )


class Talk:
    """A session beside a clock that the test turns by hand."""

    def __init__(self, held: Held = READY) -> None:
        self.session = Session(BACKOFF)
        self.held = held
        self.now = 1000.0

    def next(self) -> Step:
        return self.session.next(self.held, self.now)

    def take(self, kind: type[Exchange]) -> Any:
        step = self.next()
        assert isinstance(step, kind), step
        return step

    def answer(self, answer: Answer, chance: float = 0.5) -> bool:
        step = self.next()
        assert not isinstance(step, Wait)
        return self.session.received(step, answer, self.held, self.now, chance)

    def fail(self, error: CentreError, chance: float = 0.5) -> Exchange:
        step = self.next()
        assert not isinstance(step, Wait)
        self.session.failed(step, error, self.now, chance)
        return step

    def settled(self) -> Talk:
        """Past the first heartbeat and the first pull; nothing is left to do."""
        self.answer(heartbeat(self.held.feed or 0))
        assert self.held.feed is not None
        self.answer(changes(self.held.feed))
        assert isinstance(self.next(), Wait)
        return self

    def settled_but_up(self) -> Talk:
        """Past the first heartbeat, with a batch to send next."""
        self.answer(heartbeat(self.held.feed or 0))
        if isinstance(self.next(), PullChanges):
            self.answer(changes(self.held.feed or 0))
        self.take(SendBatch)
        return self

    def hold(self, **changed: Any) -> None:
        self.held = Held(**{name: changed.get(name, getattr(self.held, name)) for name in Held.__struct_fields__})


def wait_s(talk: Talk) -> float:
    step = talk.next()
    assert isinstance(step, Wait), step
    return step.until - talk.now


# -- the way in ------------------------------------------------------------------------------------


def test_a_new_register_says_hello_then_opens_an_epoch_then_takes_a_snapshot() -> None:
    talk = Talk(Held())

    talk.take(SendHeartbeat)
    talk.answer(heartbeat(50, program=HASH))
    assert talk.take(FetchProgram).hash == HASH
    assert talk.answer(SignedProgram(hash=HASH, program="{}", signature=""))
    talk.hold(programs=frozenset({HASH}))

    talk.take(OpenEpoch)
    assert talk.answer(epoch())
    talk.hold(epoch="e2", epoch_centre="c1")

    talk.take(AskSnapshot)
    assert not talk.answer(snapshot(chunks=2))
    assert talk.take(FetchChunk).first
    assert talk.answer(b"chunk")
    assert talk.take(FetchChunk).last
    assert talk.answer(b"chunk")
    talk.hold(feed=50, feed_centre="c1", scope="all")

    assert talk.take(PullChanges).after == 50
    assert talk.answer(changes(50))
    assert wait_s(talk) == HEARTBEAT_S


def test_an_empty_snapshot_is_put_into_the_store_at_once() -> None:
    talk = Talk(Held(epoch="e1", epoch_centre="c1"))
    talk.answer(heartbeat(0))

    talk.take(AskSnapshot)
    assert talk.answer(snapshot(chunks=0))


def test_a_snapshot_goes_on_where_the_network_left_it() -> None:
    talk = Talk(Held(epoch="e1", epoch_centre="c1"))
    talk.answer(heartbeat(50))
    talk.answer(snapshot(chunks=3))
    talk.answer(b"first")

    talk.fail(CentreUnavailableError())
    talk.now += BACKOFF.cap_s
    talk.answer(heartbeat(50))

    assert talk.take(FetchChunk).index == 1


@pytest.mark.parametrize(
    ("held", "index"),
    [
        (SnapshotProgress(centre_epoch="c1", as_of=50, chunks=2, last=HASH), 2),
        (SnapshotProgress(centre_epoch="c1", as_of=50, chunks=3, last=HASH), 0),
        (SnapshotProgress(centre_epoch="c1", as_of=49, chunks=2, last=HASH), 0),
        (SnapshotProgress(centre_epoch="c0", as_of=50, chunks=2, last=HASH), 0),
        (SnapshotProgress(centre_epoch="c1", as_of=50, chunks=2, last="f" * 64), 0),
    ],
    ids=["the same", "finished", "another position", "another centre", "another digest"],
)
def test_a_restarted_register_goes_on_with_the_same_snapshot_only(held: SnapshotProgress, index: int) -> None:
    talk = Talk(Held(epoch="e1", epoch_centre="c1", snapshot=held))
    talk.answer(heartbeat(50))

    talk.answer(snapshot(chunks=3))

    assert talk.take(FetchChunk).index == index


def test_what_is_held_of_a_snapshot_says_which_one_to_go_on_with() -> None:
    progress = SnapshotProgress(centre_epoch="c1", as_of=50, chunks=2, last=HASH)
    talk = Talk(Held(epoch="e1", epoch_centre="c1", snapshot=progress))
    talk.answer(heartbeat(50))

    assert talk.take(AskSnapshot) == AskSnapshot(last=HASH, as_of=50)


def test_rows_of_before_scopes_are_taken_anew() -> None:
    talk = Talk(msgspec.structs.replace(READY, scope=None))
    talk.answer(heartbeat(10))

    talk.take(AskSnapshot)


def test_a_snapshot_in_the_making_holds_up_nothing_but_itself() -> None:
    talk = Talk(Held(epoch="e1", epoch_centre="c1"))
    talk.answer(heartbeat(50))
    talk.take(AskSnapshot)

    talk.fail(CentreBusyError(2), chance=0.0)
    talk.hold(queued=1)

    talk.take(SendBatch)
    talk.hold(queued=0)
    assert wait_s(talk) == 2
    talk.now += 2
    talk.take(AskSnapshot)


@pytest.mark.parametrize("status", [404, 410])
def test_a_snapshot_that_is_gone_is_asked_for_again(status: int) -> None:
    talk = Talk(Held(epoch="e1", epoch_centre="c1"))
    talk.answer(heartbeat(50))
    talk.answer(snapshot(chunks=3))

    talk.fail(CentreRefusedError(status, "gone"))
    talk.now += BACKOFF.cap_s

    talk.take(AskSnapshot)


def test_a_broken_chunk_starts_the_snapshot_anew_after_a_pause() -> None:
    talk = Talk(Held(epoch="e1", epoch_centre="c1"))
    talk.answer(heartbeat(50))
    talk.answer(snapshot(chunks=2))
    talk.take(FetchChunk)

    talk.session.chunk_broken(talk.now, 0.5)

    assert wait_s(talk) == 0.5
    talk.now += 0.5
    talk.take(AskSnapshot)


@pytest.mark.parametrize("broken", ["gone at the centre", "damaged on the way"])
def test_a_chunk_that_never_comes_whole_is_fetched_less_and_less(broken: str) -> None:
    talk = Talk(Held(epoch="e1", epoch_centre="c1"))
    talk.answer(heartbeat(50))
    gaps = []
    for _ in range(5):
        talk.answer(snapshot(chunks=2))
        if broken == "gone at the centre":
            talk.fail(CentreRefusedError(404, "gone"))
        else:
            talk.answer(b"chunk")
            talk.session.chunk_broken(talk.now, 0.5)
        gaps.append(wait_s(talk))
        talk.now += gaps[-1]
    assert gaps == [0.5, 1.0, 2.0, 4.0, 8.0]

    # and at once again after one that could be kept
    talk.answer(snapshot(chunks=2))
    talk.answer(b"chunk")
    talk.session.chunk_kept()
    talk.session.chunk_broken(talk.now, 0.5)
    assert wait_s(talk) == 0.5


# -- up --------------------------------------------------------------------------------------------


def test_something_new_is_sent_at_once() -> None:
    talk = Talk().settled()

    talk.hold(queued=3)

    step = talk.take(SendBatch)
    assert (step.first_seq, step.max_entries) == (1, 3)
    assert talk.answer(acked(3))


def test_a_batch_never_exceeds_the_limit_or_the_credit() -> None:
    talk = Talk().settled()
    talk.hold(queued=5000)

    assert talk.take(SendBatch).max_entries == FIRST_ENTRIES
    talk.answer(acked(500, credit=9999))
    talk.hold(next_seq=501, queued=4500)
    assert talk.take(SendBatch).max_entries == MAX_ENTRIES
    talk.answer(acked(2500, credit=20))
    talk.hold(next_seq=2501, queued=2500)

    assert talk.take(SendBatch) == SendBatch(first_seq=2501, max_entries=20)


def test_what_was_promised_before_an_outage_does_not_hold_behind_it() -> None:
    talk = Talk().settled()
    talk.hold(queued=9000)
    talk.take(SendBatch)
    talk.answer(acked(500, credit=2000))
    talk.hold(next_seq=501, queued=8500)

    talk.take(SendBatch)
    talk.fail(CentreUnavailableError("gone"))
    talk.now += 3600
    talk.answer(heartbeat())

    assert talk.take(SendBatch).max_entries == FIRST_ENTRIES


def test_without_credit_it_waits_and_then_probes_with_one_entry() -> None:
    talk = Talk().settled()
    talk.hold(queued=10)
    talk.answer(acked(5, credit=0), chance=0.2)
    talk.hold(next_seq=6, queued=5)

    assert wait_s(talk) == pytest.approx(NO_CREDIT_S * 1.2)
    talk.now += NO_CREDIT_S * 1.2
    assert talk.take(SendBatch).max_entries == 1


def test_uploads_and_downloads_take_turns() -> None:
    talk = Talk()
    talk.hold(queued=1000)
    talk.answer(heartbeat(99))
    kinds: list[type] = []
    for _ in range(4):
        step = talk.next()
        kinds.append(type(step))
        if isinstance(step, SendBatch):
            talk.answer(acked(step.first_seq))
            talk.hold(next_seq=step.first_seq + 1, queued=talk.held.queued - 1)
        elif isinstance(step, PullChanges):
            talk.answer(changes(step.after + 1, more=True))
            talk.hold(feed=step.after + 1)

    in_turns: list[type] = [SendBatch, PullChanges, SendBatch, PullChanges]
    assert kinds == in_turns


def test_what_an_entry_did_is_pulled_right_after() -> None:
    talk = Talk().settled()
    talk.hold(queued=1)

    talk.answer(acked(1, pos=11))
    talk.hold(next_seq=2, queued=0)

    assert talk.take(PullChanges).after == 10


def test_an_acknowledgement_beyond_the_own_last_number_opens_a_new_epoch() -> None:
    talk = Talk().settled()
    talk.hold(queued=3)

    assert not talk.answer(acked(4))

    talk.now += BACKOFF.cap_s
    talk.take(OpenEpoch)


@pytest.mark.parametrize(
    ("said", "opens"),
    [
        ({"epoch": "e1", "acked_through": 7}, True),
        ({"epoch": "e1", "acked_through": None}, True),
        ({"epoch": "e1", "acked_through": 6}, False),
        ({"epoch": "e1", "acked_through": 3}, False),
        ({"epoch": "e0", "acked_through": 9}, False),
        ({}, False),
    ],
)
def test_a_heartbeat_tells_who_has_nothing_to_send_that_another_machine_went_on(
    said: dict[str, Any], opens: bool
) -> None:
    # Given a register whose last number is 6, which the centre may not have answered for yet
    talk = Talk(msgspec.structs.replace(READY, next_seq=4, queued=3))

    talk.answer(msgspec.structs.replace(heartbeat(), **said))

    assert isinstance(talk.next(), OpenEpoch) is opens


def test_an_acknowledgement_the_store_refuses_opens_a_new_epoch() -> None:
    talk = Talk().settled()
    talk.hold(queued=3)
    talk.answer(acked(3))

    talk.session.ack_refused(talk.now, 0.5)

    assert wait_s(talk) == 0.5
    talk.now += 0.5
    talk.take(OpenEpoch)


def test_a_late_answer_to_an_earlier_batch_moves_nothing_back() -> None:
    talk = Talk().settled()
    talk.hold(next_seq=11, queued=3)
    first = talk.take(SendBatch)

    assert not talk.answer(acked(7))

    assert wait_s(talk) == 0.5
    talk.now += 0.5
    assert talk.take(SendBatch) == first


def test_a_gap_is_sent_again_from_where_the_centre_stands() -> None:
    talk = Talk().settled()
    talk.hold(next_seq=11, queued=3)

    talk.fail(CentreRefusedError(409, "gap", expected_seq=9), chance=0)
    assert talk.take(SendBatch) == SendBatch(first_seq=9, max_entries=5)
    # An acknowledgement of what was acknowledged before is nothing for the store
    assert not talk.answer(acked(9))
    assert talk.take(SendBatch).first_seq == 10

    assert talk.answer(acked(13))
    talk.hold(next_seq=14, queued=0)
    assert isinstance(talk.next(), Wait)


@pytest.mark.parametrize(("status", "expected"), [(409, 12), (409, 11), (409, 0), (409, None), (410, None)])
def test_a_disagreement_about_the_chain_opens_a_new_epoch(status: int, expected: int | None) -> None:
    talk = Talk().settled()
    talk.hold(next_seq=11, queued=3)

    talk.fail(CentreRefusedError(status, "fenced", expected_seq=expected), chance=0)

    talk.take(OpenEpoch)
    assert talk.answer(epoch())
    talk.hold(epoch="e2", next_seq=1, queued=3)
    assert talk.take(SendBatch).first_seq == 1


def test_what_is_no_longer_kept_is_numbered_anew() -> None:
    talk = Talk().settled()
    talk.hold(next_seq=11, queued=3)
    talk.fail(CentreRefusedError(409, "gap", expected_seq=2), chance=0)
    talk.take(SendBatch)

    talk.session.cannot_resend()

    talk.take(OpenEpoch)


@pytest.mark.parametrize(("status", "code"), [(413, "entry_too_large"), (422, "entry_unreadable")])
def test_a_batch_that_is_not_taken_is_halved_down_to_the_entry_to_blame(status: int, code: str) -> None:
    talk = Talk().settled()
    talk.hold(queued=4)

    sizes = []
    for _ in range(3):
        step = talk.fail(CentreRefusedError(status, "no"))
        assert isinstance(step, SendBatch)
        sizes.append(step.max_entries)

    # Then its digest is sent in the place of its body
    assert sizes == [4, 2, 1]
    assert talk.next() == SendBatch(first_seq=1, max_entries=1, digests=True)

    # And where not even that is taken, the entry is named, the lane rests, and the others go on
    talk.fail(CentreRefusedError(status, "no"))
    assert [problem.code for problem in talk.session.problems] == [code]
    assert talk.session.online
    talk.session.hinted(11)
    assert isinstance(talk.next(), PullChanges)


def test_behind_an_entry_without_its_body_the_others_go_on_with_theirs() -> None:
    talk = Talk().settled()
    talk.hold(queued=2)
    for _ in range(2):
        talk.fail(CentreRefusedError(413, "too large"))

    talk.answer(acked(1))
    talk.hold(next_seq=2, queued=1)

    assert talk.take(SendBatch) == SendBatch(first_seq=2, max_entries=1)
    assert talk.session.problems == ()


def test_a_split_batch_grows_back() -> None:
    talk = Talk().settled()
    talk.hold(queued=8)
    talk.fail(CentreRefusedError(413, "too large"))
    talk.answer(acked(4))
    talk.hold(next_seq=5, queued=400)
    assert talk.take(SendBatch).max_entries == 8


# -- down ------------------------------------------------------------------------------------------


def test_changes_are_pulled_until_there_are_no_more() -> None:
    talk = Talk()
    talk.answer(heartbeat(30))

    assert talk.answer(changes(20, more=True))
    talk.hold(feed=20)
    assert talk.take(PullChanges).after == 20
    assert talk.answer(changes(30))
    talk.hold(feed=30)

    assert isinstance(talk.next(), Wait)


def test_who_catches_up_looks_seldom_at_what_comes_down() -> None:
    talk = Talk().settled()
    talk.hold(queued=2 * BACKLOG_ENTRIES)
    talk.answer(acked(1, pos=11))
    talk.hold(next_seq=2, queued=2 * BACKLOG_ENTRIES - 1)
    assert talk.answer(changes(11))
    talk.hold(feed=11)

    talk.session.hinted(12)
    assert isinstance(talk.next(), SendBatch)
    talk.answer(acked(2, pos=13))
    talk.hold(next_seq=3, queued=2 * BACKLOG_ENTRIES - 2)
    assert isinstance(talk.next(), SendBatch)

    talk.now += PULL_IN_BACKLOG_S
    talk.answer(heartbeat(13))
    talk.answer(acked(3))
    talk.hold(next_seq=4, queued=2 * BACKLOG_ENTRIES - 3)
    assert talk.take(PullChanges).after == 11
    assert talk.answer(changes(12, more=True))
    talk.hold(feed=12)
    talk.answer(acked(4))
    talk.hold(next_seq=5, queued=2 * BACKLOG_ENTRIES - 4)
    assert talk.take(PullChanges).after == 12, "what is behind at the feed is not made to wait"


def test_who_catches_up_takes_down_what_was_there_and_not_what_came_meanwhile() -> None:
    # given a feed that grows faster than it is taken in
    talk = Talk().settled()
    talk.hold(queued=2 * BACKLOG_ENTRIES)
    talk.answer(acked(1, pos=12))
    talk.hold(next_seq=2, queued=2 * BACKLOG_ENTRIES - 1)
    assert talk.answer(changes(11, more=True))
    talk.hold(feed=11)
    talk.answer(acked(2, pos=20))
    talk.hold(next_seq=3, queued=2 * BACKLOG_ENTRIES - 2)

    # when a look at it came to where its end was as it began
    assert talk.take(PullChanges).after == 11
    assert talk.answer(changes(13, more=True))
    talk.hold(feed=13)

    # then only entries go, until the next look, which goes as far as the end is by then
    for seq in (3, 4):
        talk.answer(acked(seq, pos=30))
        talk.hold(next_seq=seq + 1, queued=2 * BACKLOG_ENTRIES - seq)
        assert isinstance(talk.next(), SendBatch)
    talk.now += PULL_IN_BACKLOG_S
    talk.answer(heartbeat(30))
    talk.answer(acked(5))
    talk.hold(next_seq=6, queued=2 * BACKLOG_ENTRIES - 5)
    assert talk.take(PullChanges).after == 13
    assert talk.answer(changes(29, more=True))
    talk.hold(feed=29)
    talk.answer(acked(6))
    talk.hold(next_seq=7, queued=2 * BACKLOG_ENTRIES - 6)
    assert talk.take(PullChanges).after == 29


def test_a_hint_during_a_pull_is_not_lost() -> None:
    talk = Talk()
    talk.answer(heartbeat(10))
    step = talk.take(PullChanges)

    talk.session.hinted(12)
    assert talk.session.received(step, changes(11), talk.held, talk.now, 0.5)
    talk.hold(feed=11)

    assert talk.take(PullChanges).after == 11


def test_a_hint_of_what_is_known_wakes_nothing() -> None:
    talk = Talk().settled()

    talk.session.hinted(10)

    assert isinstance(talk.next(), Wait)


@pytest.mark.parametrize(("feed", "current"), [(10, True), (11, False), (9, False)])
def test_a_heartbeat_without_news_makes_what_is_held_current(feed: int, current: bool) -> None:
    talk = Talk()

    assert talk.answer(heartbeat(feed)) is current


def test_a_position_that_is_too_old_needs_a_snapshot() -> None:
    talk = Talk()
    talk.answer(heartbeat(99))

    talk.fail(CentreRefusedError(410, "too old"))

    talk.take(AskSnapshot)


@pytest.mark.parametrize("answer", [changes(9), changes(10, more=True), changes(10)], ids=["back", "more", "news"])
def test_a_feed_that_does_not_move_is_not_asked_in_a_hot_loop(answer: ChangesResponse) -> None:
    talk = Talk()
    talk.answer(heartbeat(11))

    for wait in (0.5, 1.0, 2.0):
        talk.answer(answer)
        assert wait_s(talk) == wait
        talk.now += wait

    talk.answer(changes(11))
    talk.hold(feed=11)
    assert isinstance(talk.next(), Wait)


# -- a restored centre -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [acked(1, centre_epoch="c2"), changes(30, centre_epoch="c2"), heartbeat(centre_epoch="c2")],
    ids=["up", "down", "idle"],
)
def test_a_restored_centre_gets_everything_again_and_gives_a_snapshot(answer: Answer) -> None:
    # Given a register that is about to exchange something
    talk = Talk()
    if isinstance(answer, IngestResponse):
        talk = talk.settled()
        talk.hold(queued=1)
    elif isinstance(answer, ChangesResponse):
        talk.answer(heartbeat(10))

    # When the answer comes from a centre that was restored from a backup
    assert not talk.answer(answer)

    # Then both ways begin anew
    talk.hold(queued=0)
    kinds = set()
    for _ in range(2):
        step = talk.next()
        kinds.add(type(step))
        if isinstance(step, OpenEpoch):
            assert talk.answer(epoch("c2"))
            talk.hold(epoch="e2", epoch_centre="c2")
        else:
            assert talk.answer(snapshot(0, "c2"))
            talk.hold(feed=50, feed_centre="c2", scope="all")
    assert kinds == {OpenEpoch, AskSnapshot}
    assert isinstance(talk.next(), PullChanges)


def test_a_snapshot_of_the_centre_before_it_was_restored_is_left() -> None:
    talk = Talk(Held(epoch="e1", epoch_centre="c1"))
    talk.answer(heartbeat(50))
    talk.answer(snapshot(3))
    talk.hold(queued=1)
    talk.answer(acked(1, centre_epoch="c2"))
    talk.hold(queued=0)
    talk.answer(epoch("c2"))
    talk.hold(epoch_centre="c2")

    talk.take(AskSnapshot)


# -- pauses ----------------------------------------------------------------------------------------


def test_an_unreachable_centre_is_asked_less_and_less_and_everything_waits() -> None:
    talk = Talk()
    waits = []
    for _ in range(7):
        talk.fail(CentreUnavailableError())
        waits.append(wait_s(talk))
        talk.now += waits[-1]

    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert not talk.session.online


@pytest.mark.parametrize(
    "error", [CentreUnavailableError("500"), CentreBusyError(0)], ids=["unavailable", "busy without a time"]
)
@pytest.mark.parametrize("failing", [SendBatch, PullChanges, PullErasures, FetchProgram, OpenEpoch])
def test_what_fails_while_heartbeats_are_answered_is_tried_less_and_less(
    failing: type[Exchange], error: CentreError
) -> None:
    # Given a centre that answers all but one question
    talk = Talk(Held(feed=10, feed_centre="c1", scope="all") if failing is OpenEpoch else READY)
    heard = heartbeat(11, program=HASH if failing is FetchProgram else None)
    heard = msgspec.structs.replace(heard, erasures=1 if failing is PullErasures else UNSET)
    answers: dict[type[Exchange], Answer] = {SendHeartbeat: heard, PullChanges: changes(11), OpenEpoch: epoch()}
    talk.hold(queued=1 if failing is SendBatch else 0)

    # When that is asked again and again
    tried_at: list[float] = []
    while len(tried_at) < 7:
        step = talk.next()
        if isinstance(step, Wait):
            talk.now = step.until
        elif isinstance(step, failing):
            tried_at.append(talk.now)
            talk.fail(error)
        else:
            talk.answer(answers[type(step)])
            talk.hold(feed=11 if isinstance(step, PullChanges) else talk.held.feed)

    # Then it is asked less and less, and the heartbeat that is answered in between changes nothing of it
    assert [after - before for before, after in pairwise(tried_at)] == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]


def test_a_batch_that_a_slow_line_does_not_carry_goes_again_by_half_and_grows_back() -> None:
    # Given a line that carries a hundred entries before the time is up
    talk = Talk()
    talk.answer(heartbeat())
    talk.answer(changes(10))
    talk.hold(queued=400)

    # When the queue goes up
    sizes: list[int] = []
    while talk.held.queued:
        step = talk.next()
        if isinstance(step, Wait):
            talk.now = step.until
        elif isinstance(step, SendHeartbeat):
            talk.answer(heartbeat())
        elif isinstance(step, SendBatch):
            sizes.append(step.max_entries)
            if step.max_entries > 100:
                talk.fail(CentreUnavailableError("no answer in time"))
            else:
                through = step.first_seq + step.max_entries - 1
                talk.answer(acked(through))
                talk.hold(next_seq=through + 1, queued=talk.held.last_seq - through)

    # Then it all goes, and what grows is seldom too large again
    assert sizes == [400, 200, 100, 112, 56, 63, 70, 78, 33]


def test_changes_without_room_on_the_disk_are_asked_for_again_and_entries_go_up_meanwhile() -> None:
    talk = Talk()
    talk.hold(queued=2)
    talk.answer(heartbeat())
    talk.answer(acked(1))
    talk.hold(next_seq=2, queued=1)
    step = talk.take(PullChanges)
    talk.answer(changes(10))

    talk.session.no_room(step, talk.now, 0.5)

    talk.take(SendBatch)
    talk.answer(acked(2))
    talk.hold(next_seq=3, queued=0)
    assert wait_s(talk) == BACKOFF.cap_s / 2
    talk.now += BACKOFF.cap_s / 2
    talk.take(PullChanges)


def test_a_snapshot_without_room_on_the_disk_is_asked_for_again_even_if_it_was_the_last_chunk() -> None:
    talk = Talk().settled()
    talk.now += HEARTBEAT_S
    talk.answer(msgspec.structs.replace(heartbeat(), scope="others"))
    talk.answer(snapshot(chunks=1))
    step = talk.take(FetchChunk)
    talk.answer(b"chunk")

    talk.session.no_room(step, talk.now, 0.5)

    assert wait_s(talk) == BACKOFF.cap_s / 2
    talk.now += BACKOFF.cap_s / 2
    talk.take(AskSnapshot)


def test_a_program_without_room_on_the_disk_is_asked_for_again() -> None:
    talk = Talk().settled()
    talk.now += HEARTBEAT_S
    talk.answer(heartbeat(program=HASH))
    step = talk.take(FetchProgram)
    talk.answer(SignedProgram(hash=HASH, program="{}", signature=""))

    talk.session.no_room(step, talk.now, 0.5)

    assert wait_s(talk) == BACKOFF.cap_s / 2
    talk.now += BACKOFF.cap_s / 2
    talk.take(FetchProgram)


def test_one_answer_ends_the_pauses() -> None:
    talk = Talk()
    for _ in range(7):
        talk.fail(CentreUnavailableError())
        talk.now += wait_s(talk)

    talk.answer(heartbeat())
    assert talk.session.online

    talk.fail(CentreUnavailableError())
    assert wait_s(talk) == 0.5


def test_a_live_connection_ends_the_pause_for_an_unreachable_centre() -> None:
    talk = Talk()
    talk.fail(CentreUnavailableError())
    assert isinstance(talk.next(), Wait)

    talk.session.reachable()

    assert isinstance(talk.next(), SendHeartbeat)


def test_a_broken_live_connection_is_looked_into_at_once() -> None:
    talk = Talk().settled()
    assert isinstance(talk.next(), Wait)

    talk.session.doubted()

    assert isinstance(talk.next(), SendHeartbeat)


@pytest.mark.parametrize(("asked_s", "chance", "waited_s"), [(10, 0, 10), (10, 0.5, 15), (1e9, 0, MAX_RETRY_AFTER_S)])
def test_a_busy_centre_sets_the_pace_and_jitter_spreads_it(asked_s: float, chance: float, waited_s: float) -> None:
    talk = Talk().settled()
    talk.hold(queued=5)

    talk.fail(CentreBusyError(asked_s), chance=chance)

    assert wait_s(talk) == waited_s
    # A live connection does not excuse from it
    talk.session.reachable()
    assert wait_s(talk) == waited_s
    assert talk.session.online


def test_a_centre_that_is_busy_again_and_again_is_asked_less_and_never_before_it_said() -> None:
    talk = Talk().settled()
    talk.hold(queued=5)
    waits = []
    for _ in range(6):
        talk.fail(CentreBusyError(0.5), chance=0.5)
        waits.append(wait_s(talk))
        talk.now += waits[-1]

    assert waits == [0.5 + BACKOFF.ceiling_s(failures) * 0.5 for failures in range(1, 7)]


def test_after_an_outage_something_small_goes_before_the_backlog() -> None:
    talk = Talk().settled()
    talk.hold(queued=500)
    talk.fail(CentreUnavailableError("the cable is out"))
    talk.now += BACKOFF.cap_s

    # when the first small request is lost too, it is made again, and the backlog waits
    talk.take(SendHeartbeat)
    talk.fail(CentreUnavailableError("the cable is out"))
    talk.now += BACKOFF.cap_s
    talk.take(SendHeartbeat)
    talk.answer(heartbeat())

    talk.take(SendBatch)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CentreUntrustedError("not the centre"), "centre_untrusted"),
        (CentreAnswerError("a page of a portal"), "centre_unreadable"),
        (CentreProxyError("the proxy asks"), "proxy_refused"),
    ],
)
def test_who_answers_in_the_centres_place_is_told_until_the_centre_does(error: CentreError, code: str) -> None:
    talk = Talk().settled()
    talk.hold(queued=1)

    talk.fail(error)

    assert [problem.code for problem in talk.session.problems] == [code]
    assert talk.session.silence == str(error)
    assert not talk.session.online
    # then a network that is away is no person's business, and what is told is told no more once the centre answers
    talk.now += BACKOFF.cap_s
    talk.fail(CentreUnavailableError("no network"))
    assert (talk.session.problems, talk.session.silence) == ((), "no network")
    talk.now += BACKOFF.cap_s
    talk.answer(heartbeat())
    assert (talk.session.problems, talk.session.silence) == ((), "")


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_device_asks_seldom_and_says_so(status: int) -> None:
    talk = Talk()

    talk.fail(CentreRefusedError(status, "this device was revoked"))

    assert wait_s(talk) == BACKOFF.cap_s / 2
    assert not talk.session.online
    [problem] = talk.session.problems
    assert problem.code == "device_refused"
    assert "enrol" in problem.detail

    talk.now += 3600
    talk.answer(heartbeat())
    assert talk.session.problems == ()


def test_a_program_that_cannot_be_used_stops_nothing_else() -> None:
    talk = Talk().settled()
    talk.now += HEARTBEAT_S
    talk.answer(heartbeat(program=HASH))
    assert talk.answer(SignedProgram(hash=HASH, program="{", signature=""))

    talk.session.program_unusable(HASH, "not JSON", talk.now, 0.5)
    talk.hold(queued=1)

    assert [problem.code for problem in talk.session.problems] == ["program_unusable"]
    talk.take(SendBatch)
    talk.now += 3600
    talk.answer(heartbeat(program=HASH))
    talk.take(FetchProgram)


def test_programs_are_fetched_the_one_in_force_first_and_a_bad_one_keeps_none_away() -> None:
    # Given three that are announced, of which the register holds none
    old, now, later = "a" * 64, "b" * 64, "c" * 64
    schedule = tuple(AnnouncedProgram(program=name) for name in (old, now, later))
    heard = msgspec.structs.replace(heartbeat(program=now), schedule=schedule)
    talk = Talk().settled()
    talk.now += HEARTBEAT_S
    talk.answer(heard)

    # When the first to come, the one in force, cannot be used
    assert talk.next() == FetchProgram(hash=now)
    assert talk.answer(SignedProgram(hash=now, program="{", signature=""))
    talk.session.program_unusable(now, "not JSON", talk.now, 0.5)

    # Then the others follow at once, the newest first
    for name in (later, old):
        assert talk.next() == FetchProgram(hash=name)
        assert talk.answer(SignedProgram(hash=name, program="{}", signature=""))
        talk.hold(programs=talk.held.programs | {name})
    # And the bad one is asked for again after a pause, and then after a longer one
    assert wait_s(talk) > 0
    talk.now += BACKOFF.cap_s
    assert talk.next() == FetchProgram(hash=now)
    assert [problem.code for problem in talk.session.problems] == ["program_unusable"]
    talk.fail(CentreRefusedError(404, "gone"))
    assert isinstance(talk.next(), Wait)

    # Until it is announced no more
    talk.now += HEARTBEAT_S
    talk.answer(msgspec.structs.replace(heard, program=later, schedule=(schedule[0], schedule[2])))
    assert talk.session.problems == ()


def erasures(*numbers: int, more: bool = False) -> ErasuresResponse:
    made = (Erasure(number=number, member=f"m{number}", aliases=(), codes=(), erased_at=NOW) for number in numbers)
    return ErasuresResponse(centre_epoch="c1", erasures=tuple(made), more=more)


def told_of(number: int) -> HeartbeatResponse:
    return msgspec.structs.replace(heartbeat(10), erasures=number)


def test_nothing_is_sent_before_it_is_known_who_was_erased() -> None:
    # Given a register that was away, with something to send
    talk = Talk(msgspec.structs.replace(READY, queued=3, erasures=1))
    # When the centre tells of two erasures more
    talk.answer(told_of(3))
    assert talk.take(PullErasures).after == 1
    assert talk.answer(erasures(2, more=True))
    talk.hold(erasures=2)
    assert talk.take(PullErasures).after == 2
    assert talk.answer(erasures(3))
    talk.hold(erasures=3)
    # Then it sends once they are carried out
    talk.take(SendBatch)


def test_what_comes_back_of_a_damaged_file_is_not_sent_before_erasures_are_carried_out_on_all_of_it() -> None:
    # Given a register whose damaged file is still coming back, at a centre that erased somebody
    talk = Talk(msgspec.structs.replace(READY, queued=3, erasures=None))
    talk.answer(told_of(1))
    kinds = set()
    for _ in range(3):
        step = talk.next()
        kinds.add(type(step))
        if isinstance(step, PullChanges):
            talk.answer(changes(10))
    assert not {SendBatch, PullErasures} & kinds

    # When all of it is there
    talk.hold(erasures=0)
    # Then it is purged first
    assert talk.take(PullErasures).after == 0
    assert talk.answer(erasures(1))
    talk.hold(erasures=1)
    talk.take(SendBatch)


def test_what_comes_back_of_a_damaged_file_is_sent_at_once_where_nobody_was_erased() -> None:
    talk = Talk(msgspec.structs.replace(READY, queued=3, erasures=None))
    talk.answer(told_of(0))

    talk.take(SendBatch)


def test_after_every_loss_of_the_network_it_is_asked_anew() -> None:
    talk = Talk(msgspec.structs.replace(READY, queued=3)).settled_but_up()
    talk.fail(CentreUnavailableError("gone"))
    talk.now += BACKOFF.cap_s

    talk.take(SendHeartbeat)
    talk.answer(told_of(1))
    talk.take(PullErasures)
    # And where the centre promises and does not tell, nothing goes up, and the rest goes on
    assert not talk.answer(erasures())
    kinds = set()
    for _ in range(3):
        step = talk.next()
        kinds.add(type(step))
        if isinstance(step, PullChanges):
            talk.answer(changes(10))
    assert SendBatch not in kinds


def test_an_erasure_in_the_feed_is_carried_out_at_once() -> None:
    talk = Talk().settled()
    talk.session.hinted(11)
    talk.take(PullChanges)
    erased = Change(pos=11, op="erase", member="m1")
    talk.answer(msgspec.structs.replace(changes(11), changes=(erased,)))
    talk.hold(feed=11)

    talk.take(SendHeartbeat)
    talk.answer(msgspec.structs.replace(told_of(1), feed=11))
    talk.take(PullErasures)


def test_a_refused_heartbeat_stops_nothing_else() -> None:
    talk = Talk()
    talk.fail(CentreRefusedError(400, "no"))

    talk.take(PullChanges)
    assert [problem.code for problem in talk.session.problems] == ["request_refused"]


@pytest.mark.parametrize(("status", "code"), [(400, "request_refused"), (403, "device_refused")])
def test_what_was_refused_on_one_lane_is_said_until_that_lane_succeeds(status: int, code: str) -> None:
    # Given a centre that refuses what is sent, and answers everything else
    talk = Talk().settled()
    talk.hold(queued=1)
    talk.take(SendBatch)
    talk.fail(CentreRefusedError(status, "no"))
    talk.now += 3600
    # When it answers a heartbeat and a pull
    talk.answer(heartbeat(11))
    talk.session.received(PullChanges(after=10, scope="all"), changes(11), talk.held, talk.now, 0.5)
    # Then it is still said, once
    assert [problem.code for problem in talk.session.problems] == [code]
    # Until a batch is taken
    talk.take(SendBatch)
    talk.answer(acked(1))
    assert talk.session.problems == ()


def test_a_program_that_is_no_longer_wanted_is_no_problem_any_more() -> None:
    talk = Talk().settled()
    for refused in (CentreRefusedError(404, "gone"), CentreRefusedError(403, "no")):
        talk.now += 3600
        talk.answer(heartbeat(program=HASH))
        talk.take(FetchProgram)
        talk.fail(refused)
        assert talk.session.problems
        talk.now += 3600
        talk.answer(heartbeat())
        assert talk.session.problems == ()


def test_an_answer_to_another_question_is_a_mistake_of_the_caller() -> None:
    talk = Talk()

    with pytest.raises(TypeError):
        talk.session.received(SendHeartbeat(), b"chunk", talk.held, talk.now, 0.5)
