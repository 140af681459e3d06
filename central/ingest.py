"""Taking in a register's entries: sequence, chain, effects and high-water mark in one transaction.

Owns the answer to `POST /v1/ingest`, and which entries are new. What these bring about is `central.batch`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, select, update

from central.batch import Batch, outcome_of
from central.db import tables
from central.devices import Device, first_use, is_id, locked_device
from central.problems import EpochFencedError, SequenceGapError, UnreadableError, WrongDeviceError
from sync.records import (
    Entry,
    chain_next,
    chain_start,
)
from sync.wire import IngestRequest, Outcome

_log = structlog.get_logger(__name__)


class Applied(Struct, frozen=True, kw_only=True):
    """Where the chain stands after the batch, and of each entry the outcome and whom it is about, still unplaced."""

    acked_through: int
    chain_hash: str
    outcomes: tuple[tuple[Outcome, str | None], ...]


class _Mark(Struct, frozen=True, kw_only=True):
    """The high-water mark of a live epoch."""

    acked_through: int
    chain_hash: str


def parts_of(batch: IngestRequest, entries: int) -> list[IngestRequest]:
    """A batch of one entry or more in smaller ones; applied one after the other they come to the same.

    What a batch repeats comes first in it, so a fork is found before anything new has an effect.
    """
    parts, h = [], bytes.fromhex(batch.prev_hash)
    for start in range(0, len(batch.entries), entries):
        some = batch.entries[start : start + entries]
        parts.append(replace(batch, first_seq=batch.first_seq + start, prev_hash=h.hex(), entries=some))
        for entry in some:
            h = chain_next(h, entry)
    return parts


def ingest(
    connection: Connection,
    device_id: str,
    request: IngestRequest,
    *,
    request_id: str,
    fingerprint: str,
    now: datetime,
    behind: Sequence[Entry] = (),
) -> Applied | EpochFencedError:
    """Apply a batch, all of it with its high-water mark or nothing. Of a part `behind` are the entries of the others.

    A fork is returned, not raised, so that its quarantined entries and the fenced epoch are committed.
    Raises RefusedError (and changes nothing) for everything else that is refused.
    """
    if any(entry.seq != request.first_seq + index for index, entry in enumerate(request.entries)):
        raise UnreadableError("$.entries[…].seq must count up from first_seq by one")
    if any("\0" in f"{entry.key}{entry.kind}{entry.hlc}" for entry in request.entries):
        raise UnreadableError("$.entries[…] has a NUL in key, kind or hlc, which not every database keeps")
    device = locked_device(connection, device_id)
    if request.device != device.id:
        raise WrongDeviceError("sign with the key of the device that the body names")
    mark = _live_mark(connection, device, request.epoch)
    first_use(connection, device.id, request_id, fingerprint, now)
    if request.first_seq > mark.acked_through + 1:
        raise SequenceGapError(mark.acked_through + 1)
    batch = Batch(connection, device, request.epoch, now)
    stored = _stored(connection, request, mark)
    h = _hash_before(connection, device, request, mark)
    if request.prev_hash != h.hex():
        return batch.fork((*request.entries, *behind), f"the chain differs already at seq {request.first_seq - 1}")
    repeated: list[tuple[Outcome, str | None]] = []
    for index, entry in enumerate(request.entries):
        h = chain_next(h, entry)
        known = stored.get(entry.seq)
        if known is None:
            batch.add(entry, h)
        elif known.h == h.hex():
            repeated.append((outcome_of(entry.seq, known.code, known.detail), known.member))
        else:
            return batch.fork((*request.entries[index:], *behind), f"seq {entry.seq} is known with other content")
    taken = batch.keep()
    if taken:
        mark = _Mark(acked_through=request.entries[-1].seq, chain_hash=h.hex())
        _raise_mark(connection, request.epoch, mark)
    connection.execute(update(tables.devices).where(tables.devices.c.id == device.id).values(last_contact=now))
    return Applied(acked_through=mark.acked_through, chain_hash=mark.chain_hash, outcomes=(*repeated, *taken))


def _live_mark(connection: Connection, device: Device, epoch: str) -> _Mark:
    epochs = tables.epochs
    query = select(epochs).where(epochs.c.epoch == epoch, epochs.c.device == device.id)
    row = connection.execute(query).one_or_none() if is_id(epoch) else None
    if row is None or row.closed_at is not None:
        raise EpochFencedError("open a new epoch with POST /v1/epochs and send what is unacknowledged again")
    return _Mark(acked_through=row.acked_through, chain_hash=row.chain_hash)


def _raise_mark(connection: Connection, epoch: str, mark: _Mark) -> None:
    connection.execute(
        update(tables.epochs)
        .where(tables.epochs.c.epoch == epoch)
        .values(acked_through=mark.acked_through, chain_hash=mark.chain_hash)
    )


def _stored(connection: Connection, request: IngestRequest, mark: _Mark) -> dict[int, Any]:
    """What is held already of the numbers that this batch names: nothing beyond the high-water mark."""
    if request.first_seq > mark.acked_through:
        return {}
    columns = tables.entries.c
    rows = connection.execute(
        select(columns.seq, columns.h, columns.code, columns.detail, columns.member).where(
            columns.epoch == request.epoch,
            columns.seq >= request.first_seq,
            columns.seq < request.first_seq + len(request.entries),
        )
    )
    return {row.seq: row for row in rows}


def _hash_before(connection: Connection, device: Device, request: IngestRequest, mark: _Mark) -> bytes:
    """h at `first_seq − 1`, as this centre holds it."""
    if request.first_seq == mark.acked_through + 1:
        return bytes.fromhex(mark.chain_hash)
    if request.first_seq == 1:
        return chain_start(device.id, request.epoch)
    held = connection.execute(
        select(tables.entries.c.h).where(
            tables.entries.c.epoch == request.epoch, tables.entries.c.seq == request.first_seq - 1
        )
    ).scalar_one()
    return bytes.fromhex(held)
