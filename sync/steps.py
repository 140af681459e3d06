"""What a register can say to its centre, and what it knows when it decides: the values that `sync.session` works on.

Owns their shapes. Decides nothing, and never sends anything.
"""

from __future__ import annotations

from msgspec import Struct

from sync.wire import (
    AllowancesResponse,
    ChangesResponse,
    EpochResponse,
    ErasuresResponse,
    HeartbeatResponse,
    IngestResponse,
    SignedConfig,
    SignedItemMap,
    SignedProgram,
    SnapshotChunk,
    SnapshotResponse,
)

# One page is held in memory as a whole, and goes into the store some at a time.
CHANGES_PER_PULL = 500


class SnapshotProgress(Struct, frozen=True, kw_only=True):
    """How much of which snapshot the store has: chunks up to the one with digest `last`."""

    centre_epoch: str
    as_of: int
    chunks: int
    last: str


class Held(Struct, frozen=True, kw_only=True):
    """What the store holds, as far as the session decides on it.

    `next_seq` is the first unacknowledged number of `epoch`, `queued` how many entries wait from there on.
    `feed` is the position reached (None before the first snapshot), `scope` what that snapshot was of. `epoch_centre`
    and `feed_centre` are the centre's own epoch when each was begun. `programs` are the hashes of those that are
    kept, `config` and `item_map` the hashes in force, `snapshot` how far one came, `erasures` the
    number of the last that was carried out, None while a damaged store still comes back. `allowances` is the number
    through which grants were taken in, as `allowances_centre` counts them.
    """

    epoch: str | None = None
    epoch_centre: str | None = None
    next_seq: int = 1
    queued: int = 0
    feed: int | None = None
    feed_centre: str | None = None
    scope: str | None = None
    programs: frozenset[str] = frozenset()
    config: str | None = None
    item_map: str | None = None
    snapshot: SnapshotProgress | None = None
    erasures: int | None = 0
    allowances: int = 0
    allowances_centre: str | None = None

    @property
    def last_seq(self) -> int:
        return self.next_seq + self.queued - 1


class OpenEpoch(Struct, frozen=True, kw_only=True):
    """POST /v1/epochs; the answer makes the store number what is unacknowledged from 1 again.

    With `all_kept` so is what was acknowledged and is kept: the centre asked for something that it lost.
    """

    all_kept: bool = False


class SendBatch(Struct, frozen=True, kw_only=True):
    """POST /v1/ingest with entries from `first_seq` on, at most so many; `digests` instead of bodies."""

    first_seq: int
    max_entries: int
    digests: bool = False


class PullChanges(Struct, frozen=True, kw_only=True):
    """GET /v1/changes."""

    after: int
    scope: str
    limit: int = CHANGES_PER_PULL


class PullErasures(Struct, frozen=True, kw_only=True):
    """GET /v1/erasures; each is carried out in the store before anything is sent."""

    after: int


class PullAllowances(Struct, frozen=True, kw_only=True):
    """POST /v1/allowances; with `tells_held` all that the store has of them goes along."""

    after: int
    tells_held: bool = False


class AskSnapshot(Struct, frozen=True, kw_only=True):
    """GET /v1/snapshot; its chunks are fetched by FetchChunk.

    `last` is the digest of the last chunk that the store has of one, which was made `as_of`.
    """

    last: str | None = None
    as_of: int = 0


class FetchChunk(Struct, frozen=True, kw_only=True):
    """One chunk of the snapshot."""

    snapshot: SnapshotResponse
    index: int

    @property
    def chunk(self) -> SnapshotChunk:
        return self.snapshot.chunks[self.index]

    @property
    def first(self) -> bool:
        return self.index == 0

    @property
    def last(self) -> bool:
        return self.index == len(self.snapshot.chunks) - 1

    @property
    def progress(self) -> SnapshotProgress:
        """What the store has once this chunk is in it."""
        return SnapshotProgress(
            centre_epoch=self.snapshot.centre_epoch,
            as_of=self.snapshot.as_of,
            chunks=self.index + 1,
            last=self.chunk.sha256,
        )


class FetchProgram(Struct, frozen=True, kw_only=True):
    """GET /v1/programs/{hash}."""

    hash: str


class FetchConfig(Struct, frozen=True, kw_only=True):
    """GET /v1/config."""


class FetchItemMap(Struct, frozen=True, kw_only=True):
    """GET /v1/item-maps/{hash}."""

    hash: str


class SendHeartbeat(Struct, frozen=True, kw_only=True):
    """POST /v1/heartbeat."""


class Wait(Struct, frozen=True, kw_only=True):
    """Nothing to do before `until`, unless something new is in the store or a hint comes."""

    until: float


FetchWanted = FetchProgram | FetchConfig | FetchItemMap
Exchange = (
    OpenEpoch
    | SendBatch
    | PullErasures
    | PullAllowances
    | PullChanges
    | AskSnapshot
    | FetchChunk
    | FetchWanted
    | SendHeartbeat
)
Step = Exchange | Wait
Answer = (
    EpochResponse
    | IngestResponse
    | ChangesResponse
    | ErasuresResponse
    | AllowancesResponse
    | SnapshotResponse
    | HeartbeatResponse
    | SignedProgram
    | SignedConfig
    | SignedItemMap
    | bytes
)
