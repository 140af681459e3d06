"""Any mix of lost, doubled and late answers, fenced epochs and restored centres: each entry counts once.

A tiny store and a tiny centre, both of a few lines and both with the real hash chain, talk through the
real session; hypothesis chooses what the network does.
"""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec import Raw
from msgspec.structs import replace

from loyalty.member import Member
from sync.errors import CentreBusyError, CentreError, CentreRefusedError, CentreUnavailableError
from sync.records import Entry, chain_next, chain_start
from sync.retry import Backoff
from sync.session import Session
from sync.steps import (
    Answer,
    AskSnapshot,
    Exchange,
    FetchChunk,
    Held,
    OpenEpoch,
    PullChanges,
    SendBatch,
    SendHeartbeat,
    Wait,
)
from sync.wire import (
    Change,
    ChangesResponse,
    EpochResponse,
    HeartbeatResponse,
    IngestRequest,
    IngestResponse,
    Outcome,
    SnapshotChunk,
    SnapshotResponse,
)

DEVICE = "dev-1"
NOW = datetime(2026, 11, 22, 9, 7, 14, tzinfo=UTC)
SALT = "00" * 16


FATES = ["fine", "fine", "fine", "request lost", "answer lost", "sent twice", "late", "busy"]


class ModelStore:
    """What a register keeps: every entry for ever, numbered anew in each epoch."""

    def __init__(self) -> None:
        self.kept: list[Entry] = []
        self.unacked: set[str] = set()
        self.numbered: list[Entry] = []
        self.hashes: list[bytes] = []
        self.epoch: str | None = None
        self.epoch_centre: str | None = None
        self.acked = 0
        self.feed: int | None = None
        self.feed_centre: str | None = None
        self.members: set[str] = set()
        self.staged: set[str] = set()

    def held(self) -> Held:
        return Held(
            epoch=self.epoch,
            epoch_centre=self.epoch_centre,
            next_seq=self.acked + 1,
            queued=len(self.numbered) - self.acked,
            feed=self.feed,
            feed_centre=self.feed_centre,
            scope="all" if self.feed is not None else None,
        )

    def append(self, key: str) -> None:
        entry = Entry(seq=0, key=key, kind="signal", hlc="", wall=NOW, salt=SALT, body=Raw(b'{"what":"x"}'))
        self.kept.append(entry)
        self.unacked.add(key)
        if self.epoch is not None:
            self._number(entry)

    def _number(self, entry: Entry) -> None:
        entry = replace(entry, seq=len(self.numbered) + 1)
        self.hashes.append(chain_next(self.hashes[-1], entry))
        self.numbered.append(entry)

    def begin_epoch(self, answer: EpochResponse) -> None:
        if answer.centre_epoch != self.epoch_centre:
            self.unacked = {entry.key for entry in self.kept}
        self.epoch, self.epoch_centre, self.acked = answer.epoch, answer.centre_epoch, 0
        self.numbered, self.hashes = [], [chain_start(DEVICE, answer.epoch)]
        for entry in self.kept:
            if entry.key in self.unacked:
                self._number(entry)

    def acknowledge(self, answer: IngestResponse) -> bool:
        if answer.chain_hash != self.hashes[answer.acked_through].hex():
            return False
        assert answer.acked_through > self.acked, "the session lets acknowledgements only go forward"
        self.acked = answer.acked_through
        self.unacked -= {entry.key for entry in self.numbered[: self.acked]}
        return True

    def batch(self, step: SendBatch) -> IngestRequest:
        assert self.epoch is not None
        entries = self.numbered[step.first_seq - 1 : step.first_seq - 1 + step.max_entries]
        return IngestRequest(
            device=DEVICE,
            epoch=self.epoch,
            first_seq=step.first_seq,
            prev_hash=self.hashes[step.first_seq - 1].hex(),
            entries=tuple(entries),
        )


class ModelCentre:
    """One live epoch, a chain, a set of counted keys, and one feed change for each."""

    def __init__(self) -> None:
        self.centre_epoch = "c0"
        self.epochs = 0
        self.live: str | None = None
        self.hashes: list[bytes] = []
        self.feed: list[str] = []
        self.times_counted: dict[str, int] = {}
        self.credit = 500

    def open(self) -> EpochResponse:
        self.epochs += 1
        self.live = f"e{self.epochs}"
        self.hashes = [chain_start(DEVICE, self.live)]
        return EpochResponse(epoch=self.live, centre_epoch=self.centre_epoch, server_time=NOW)

    def ingest(self, request: IngestRequest) -> IngestResponse:
        if request.epoch != self.live:
            raise CentreRefusedError(410, "fenced")
        if request.first_seq > len(self.hashes):
            raise CentreRefusedError(409, "gap", expected_seq=len(self.hashes))
        if request.prev_hash != self.hashes[request.first_seq - 1].hex():
            self.live = None
            raise CentreRefusedError(410, "fork")
        outcomes = [self._take(entry) for entry in request.entries]
        return IngestResponse(
            centre_epoch=self.centre_epoch,
            acked_through=len(self.hashes) - 1,
            chain_hash=self.hashes[-1].hex(),
            outcomes=tuple(outcomes),
            server_time=NOW,
            credit=self.credit,
        )

    def _take(self, entry: Entry) -> Outcome:
        if entry.seq < len(self.hashes):
            return Outcome(seq=entry.seq, code="duplicate")
        self.hashes.append(chain_next(self.hashes[-1], entry))
        if entry.key in self.times_counted:
            return Outcome(seq=entry.seq, code="duplicate")
        self.times_counted[entry.key] = 1
        self.feed.append(entry.key)
        return Outcome(seq=entry.seq, code="accepted", pos=len(self.feed))

    def changes(self, step: PullChanges) -> ChangesResponse:
        page = self.feed[step.after : step.after + 3]
        return ChangesResponse(
            centre_epoch=self.centre_epoch,
            changes=tuple(
                Change(pos=step.after + n + 1, op="upsert", member=key, row=Member(member=key))
                for n, key in enumerate(page)
            ),
            next=step.after + len(page),
            more=step.after + len(page) < len(self.feed),
            as_of=NOW,
        )

    def snapshot(self) -> SnapshotResponse:
        chunk = SnapshotChunk(url=f"/{len(self.feed)}", sha256="0" * 64, rows=len(self.feed))
        return SnapshotResponse(
            centre_epoch=self.centre_epoch, as_of=len(self.feed), made_at=NOW, scope="all", chunks=(chunk, chunk)
        )

    def restore_backup(self, keep: int) -> None:
        """Everything after `keep` feed positions is forgotten, and so is the end of the live chain."""
        self.centre_epoch = f"c{int(self.centre_epoch[1:]) + 1}"
        self.feed = self.feed[:keep]
        self.times_counted = dict.fromkeys(self.feed, 1)
        self.hashes = self.hashes[: keep + 1]


class Conversation(RuleBasedStateMachine):
    """One register and one centre, with hypothesis as the network and the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.store = ModelStore()
        self.centre = ModelCentre()
        self.session = Session(Backoff(base_s=1.0, cap_s=8.0))
        self.now = 0.0
        self.sold = 0
        self.old_answers: list[IngestResponse | ChangesResponse] = []
        self.last_ack: tuple[str | None, int] = (None, 0)

    @initialize(limit=st.sampled_from([1, 2, 500]))
    def credit(self, limit: int) -> None:
        self.centre.credit = limit

    @rule(receipts=st.integers(1, 4))
    def sell(self, receipts: int) -> None:
        for _ in range(receipts):
            self.sold += 1
            self.store.append(f"k{self.sold}")

    @rule(seconds=st.floats(0.1, 60.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def another_machine_opens_an_epoch(self) -> None:
        self.centre.open()

    @precondition(lambda self: self.centre.feed)
    @rule(data=st.data())
    def the_centre_is_restored(self, data: st.DataObject) -> None:
        self.centre.restore_backup(data.draw(st.integers(0, len(self.centre.feed))))

    @rule(
        fates=st.lists(st.sampled_from(FATES), min_size=1, max_size=8),
        chance=st.floats(0, 0.999),
        which=st.integers(0, 10),
    )
    def talk(self, fates: list[str], chance: float, which: int) -> None:
        for fate in fates:
            self.exchange(fate, chance, which)

    def exchange(self, fate: str, chance: float, which: int) -> None:
        step = self.session.next(self.store.held(), self.now)
        if isinstance(step, Wait):
            self.now = step.until
            return
        try:
            answer = self._over_the_network(step, fate, which)
        except CentreError as error:
            self.session.failed(step, error, self.now, chance)
            return
        if self.session.received(step, answer, self.store.held(), self.now, chance):
            self._apply(step, answer, chance)

    def _over_the_network(self, step: Exchange, fate: str, which: int) -> Answer:
        if fate == "request lost":
            raise CentreUnavailableError
        if fate == "busy":
            raise CentreBusyError(3)
        answer = self._ask(step)
        if fate == "sent twice":
            answer = self._ask(step)
        if fate == "answer lost":
            raise CentreUnavailableError
        if isinstance(answer, IngestResponse | ChangesResponse):
            alike = [old for old in self.old_answers if type(old) is type(answer)]
            self.old_answers.append(answer)
            if fate == "late" and alike:
                return alike[which % len(alike)]
        return answer

    def _ask(self, step: Exchange) -> Answer:
        match step:
            case OpenEpoch():
                return self.centre.open()
            case SendBatch():
                return self.centre.ingest(self.store.batch(step))
            case PullChanges():
                return self.centre.changes(step)
            case AskSnapshot():
                return self.centre.snapshot()
            case FetchChunk():
                as_of = step.snapshot.as_of
                if step.snapshot.centre_epoch != self.centre.centre_epoch:
                    raise CentreRefusedError(404, "no such snapshot")
                half = as_of // 2
                members = self.centre.feed[:half] if step.first else self.centre.feed[half:as_of]
                return " ".join(members).encode()
            case SendHeartbeat():
                return HeartbeatResponse(
                    centre_epoch=self.centre.centre_epoch, server_time=NOW, feed=len(self.centre.feed)
                )
            case _:
                raise AssertionError(step)

    def _apply(self, step: Exchange, answer: Answer, chance: float) -> None:
        match answer:
            case EpochResponse():
                self.store.begin_epoch(answer)
            case IngestResponse():
                if not self.store.acknowledge(answer):
                    self.session.ack_refused(self.now, chance)
            case ChangesResponse():
                self.store.members |= {change.member for change in answer.changes}
                self.store.feed = answer.next
            case bytes():
                assert isinstance(step, FetchChunk)
                self.store.staged = (set() if step.first else self.store.staged) | set(answer.decode().split())
                if step.last:
                    self.store.members = self.store.staged
                    self.store.feed, self.store.feed_centre = step.snapshot.as_of, step.snapshot.centre_epoch

    @invariant()
    def acknowledged_goes_only_forward_within_an_epoch(self) -> None:
        epoch, acked = self.last_ack
        if epoch == self.store.epoch:
            assert self.store.acked >= acked
        self.last_ack = (self.store.epoch, self.store.acked)

    def teardown(self) -> None:
        """Once the network holds, everything that was ever sold is at the centre, and once."""
        for _ in range(200 + 10 * self.sold):
            self.exchange("fine", 0.5, 0)
        assert self.centre.times_counted == {f"k{n + 1}": 1 for n in range(self.sold)}
        assert self.store.unacked == set()
        assert self.store.members == set(self.centre.times_counted)
        assert self.session.online


TestConversation = Conversation.TestCase
TestConversation.settings = settings(
    max_examples=80,
    stateful_step_count=40,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
