"""Snapshots: the whole feed as compressed chunks, for a register that starts.

Owns the snapshot files. A chunk never changes once its digest was told, so a download can be resumed
for as long as the snapshot is kept. Rows read while a snapshot is made may be newer than its position;
the changes after that position bring them again, and a row is applied only if it is newer.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from msgspec import Struct

from central import feed
from central.db.database import Database
from central.problems import NotFoundError, SnapshotNeededError
from loyalty.receipt import AwareDatetime
from sync.compression import zstd
from sync.durable import write_private
from sync.wire import Change, SnapshotChunk, SnapshotResponse

ROWS_PER_CHUNK = 5000
# A snapshot this old is still correct, only longer to catch up from.
REUSED_FOR = timedelta(minutes=10)
# A register on a slow line may still be fetching chunks of the ones before.
KEPT = 3
SCOPE = "everything"


class _Manifest(Struct, frozen=True, kw_only=True):
    made_at: AwareDatetime
    answer: SnapshotResponse


class Snapshots:
    """Makes snapshots when asked, and serves their chunks."""

    def __init__(self, folder: Path, database: Database) -> None:
        self._folder = folder
        self._database = database
        self._making = asyncio.Lock()

    async def newest(self, now: datetime) -> SnapshotResponse:
        """A snapshot that is new enough, made if there is none."""
        async with self._making:
            as_of, epoch = await self._database.read(lambda c: (feed.feed_position(c), feed.centre_epoch(c)))
            made = await asyncio.to_thread(self._last)
            if made is not None and made.answer.centre_epoch == epoch:
                fresh = timedelta() <= now - made.made_at < REUSED_FOR
                if made.answer.as_of == as_of or (fresh and made.answer.as_of < as_of):
                    return made.answer
            answer = await self._make(as_of, epoch, now)
            await asyncio.to_thread(self._drop_old)
            return answer

    def chunk(self, name: str, index: str) -> bytes:
        """The bytes of one chunk. `name` and `index` come from a URL."""
        if not (name.isascii() and name.isalnum() and index.isascii() and index.isdigit()):
            raise NotFoundError("take the url from GET /v1/snapshot")
        try:
            return (self._folder / name / f"{int(index)}.jsonl.zst").read_bytes()
        except FileNotFoundError:
            raise SnapshotNeededError("this snapshot is gone; ask for a new one with GET /v1/snapshot") from None

    async def _make(self, as_of: int, epoch: str, now: datetime) -> SnapshotResponse:
        name = f"{as_of:020d}x{secrets.token_hex(4)}"
        target = self._folder / name
        target.mkdir(mode=0o700)
        chunks: list[SnapshotChunk] = []
        after = ""
        while page := await self._page(after):
            after = page[-1].member
            url = f"/v1/snapshots/{name}/{len(chunks)}"
            path = target / f"{len(chunks)}.jsonl.zst"
            chunks.append(await asyncio.to_thread(_write_chunk, path, url, page))
        answer = SnapshotResponse(centre_epoch=epoch, as_of=as_of, made_at=now, scope=SCOPE, chunks=tuple(chunks))
        manifest = msgspec.json.encode(_Manifest(made_at=now, answer=answer))
        await asyncio.to_thread(write_private, target / "manifest.json", manifest)
        return answer

    async def _page(self, after: str) -> list[Change]:
        return await self._database.read(lambda connection: feed.rows_page(connection, after, ROWS_PER_CHUNK))

    def _last(self) -> _Manifest | None:
        for folder in self._folders():
            try:
                return msgspec.json.decode((folder / "manifest.json").read_bytes(), type=_Manifest)
            except (FileNotFoundError, msgspec.DecodeError):
                continue
        return None

    def _drop_old(self) -> None:
        for folder in self._folders()[KEPT:]:
            shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        """Newest position first."""
        return sorted((path for path in self._folder.iterdir() if path.is_dir()), reverse=True)


def forget_snapshots(folder: Path) -> None:
    """Drop all of them: they hold what is to be held nowhere. A register that was fetching one asks for another."""
    for path in folder.iterdir() if folder.is_dir() else ():
        shutil.rmtree(path, ignore_errors=True)


def _write_chunk(path: Path, url: str, page: list[Change]) -> SnapshotChunk:
    content = zstd_lines(page)
    write_private(path, content)
    return SnapshotChunk(url=url, sha256=hashlib.sha256(content).hexdigest(), rows=len(page))


def zstd_lines(page: list[Change]) -> bytes:
    """One Change a line, compressed."""
    return zstd.compress(b"".join(msgspec.json.encode(change) + b"\n" for change in page))
