"""A batch that was sent, with the register's own chain through it: what an answer is held against.

Owns cutting an answer that holds into small ones, so that taking it in never keeps a receipt waiting. Never asks the
store or the network.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from sync.records import chain_next
from sync.turns import pieces
from sync.wire import IngestRequest, IngestResponse

# Entries whose acknowledgement is one transaction: a millisecond or two of the writer's time.
ACKNOWLEDGED_AT_ONCE = 64


class Sent(Struct, frozen=True, kw_only=True):
    """`hashes` are the chain's h at `first_seq` and each number after it."""

    first_seq: int
    hashes: tuple[bytes, ...]

    def parts(self, answer: IngestResponse) -> Iterator[tuple[IngestResponse, bytes | None]]:
        """The answer in small ones, each with the own chain's h at its end; as it is where it is not of this batch."""
        place = answer.acked_through - self.first_seq
        if not 0 <= place < len(self.hashes) or self.hashes[place].hex() != answer.chain_hash:
            yield answer, None
            return
        outcomes = {outcome.seq: outcome for outcome in answer.outcomes}
        for start in range(0, place + 1, ACKNOWLEDGED_AT_ONCE):
            end = min(start + ACKNOWLEDGED_AT_ONCE - 1, place)
            seqs = range(self.first_seq + start, self.first_seq + end + 1)
            part = replace(
                answer,
                acked_through=seqs[-1],
                chain_hash=self.hashes[end].hex(),
                outcomes=tuple(outcomes[seq] for seq in seqs if seq in outcomes),
            )
            yield part, self.hashes[end]


def sent_of(batch: IngestRequest) -> Sent:
    """Walks the chain through a batch."""
    reached, hashes = bytes.fromhex(batch.prev_hash), []
    for piece in pieces(len(batch.entries)):
        for index in piece:
            reached = chain_next(reached, batch.entries[index])
            hashes.append(reached)
    return Sent(first_seq=batch.first_seq, hashes=tuple(hashes))
