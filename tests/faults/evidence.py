"""All that a register leaves behind: its logs, its files byte by byte, its store's rows decrypted, its wire entries.

For tests that something stands in none of them. Test code of product quality.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from sync.keys import STORE_KEY, STORE_KEY_BYTES, keeper_for
from sync.store.packing import unpacked
from sync.store.sqlite import connect
from sync.store.store import Store


@contextmanager
def all_logs(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """What is logged within the block, by whichever way; filled when it ends."""
    told: list[str] = []
    with capture_logs() as structured, caplog.at_level(0):
        yield told
    told += [repr(entry) for entry in structured]
    told += [record.getMessage() for record in caplog.records]


def file_bytes(state: Path) -> bytes:
    """Of every file of a register's state: store, write-ahead log, locks, keys."""
    return b"\n".join(file.read_bytes() for file in sorted(state.rglob("*")) if file.is_file())


def store_values(state: Path) -> list[bytes]:
    """Every value of every row of the store, decrypted, and uncompressed where it was compressed."""
    key = keeper_for(state).get_or_create(STORE_KEY, STORE_KEY_BYTES)
    values: list[bytes] = []
    with closing(connect(state / "store.db", key, read_only=True)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                for value in row:
                    if isinstance(value, bytes):
                        values += [value, unpacked(value)]
                    elif value is not None:
                        values.append(str(value).encode())
    return values


async def wire_entries(store: Store) -> bytes:
    """All that waits for the centre, as it is sent."""
    await store.write(lambda writing: writing.open_epoch("epoch-1", "device-1"))
    sent = b""
    first_seq = 1
    while (batch := store.batch_from(first_seq)) is not None:
        sent += msgspec.json.encode(batch)
        first_seq += len(batch.entries)
        if first_seq > store.queued():
            break
    return sent
