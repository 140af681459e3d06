"""An answer is taken in by small parts, each of which says no more than it did."""

from __future__ import annotations

from msgspec.structs import replace

from sync.records import Entry, chain_next, chain_start
from sync.sent import ACKNOWLEDGED_AT_ONCE, sent_of
from sync.wire import IngestRequest, IngestResponse, Outcome
from tests.sync.store.samples import NOON
from tests.sync.test_records import ENTRY

COUNT = 2 * ACKNOWLEDGED_AT_ONCE + 5


def batch() -> tuple[IngestRequest, list[str]]:
    entries: tuple[Entry, ...] = tuple(replace(ENTRY, seq=seq) for seq in range(11, 11 + COUNT))
    before = reached = chain_start("d", "e")
    hashes = [(reached := chain_next(reached, entry)).hex() for entry in entries]
    return IngestRequest(device="d", epoch="e", first_seq=11, prev_hash=before.hex(), entries=entries), hashes


def answered(through: int, chain_hash: str) -> IngestResponse:
    return IngestResponse(
        centre_epoch="c",
        acked_through=through,
        chain_hash=chain_hash,
        outcomes=tuple(Outcome(seq=seq, code="accepted") for seq in range(11, through + 1)),
        server_time=NOON,
        credit=1,
    )


def test_the_parts_are_the_whole() -> None:
    request, hashes = batch()
    for count in (1, ACKNOWLEDGED_AT_ONCE, ACKNOWLEDGED_AT_ONCE + 1, COUNT):
        answer = answered(10 + count, hashes[count - 1])

        parts = list(sent_of(request).parts(answer))

        assert [outcome for part, _ in parts for outcome in part.outcomes] == list(answer.outcomes)
        assert parts[-1][0].acked_through == answer.acked_through
        for part, reached in parts:
            assert part.chain_hash == hashes[part.acked_through - 11] == (reached or b"").hex()
            assert len(part.outcomes) <= ACKNOWLEDGED_AT_ONCE


def test_an_answer_to_something_else_is_left_to_the_store() -> None:
    request, hashes = batch()
    for answer in (answered(10, hashes[0]), answered(11, hashes[1]), answered(11 + COUNT, hashes[0])):
        assert list(sent_of(request).parts(answer)) == [(answer, None)]
