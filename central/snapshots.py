"""Snapshots: all that is in a scope as compressed chunks, for a register that starts.

Owns the snapshot files. A chunk never changes once its digest was told, so a download can be resumed
for as long as the snapshot is kept. Rows are read a chunk at a time, each in a transaction of its own, so that no
writer waits for more than that and memory holds no more. They may be newer than the snapshot's position;
the changes after that position bring them again, and a row is applied only if it is newer.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

from central import erasing, feed
from central.db.database import Database
from central.feed import FedChange
from central.problems import BusyError, NotFoundError, SnapshotInTheMakingError, SnapshotNeededError
from central.scopes import Scope
from loyalty.receipt import AwareDatetime
from sync.compression import zstd
from sync.durable import write_private
from sync.wire import SnapshotChunk, SnapshotResponse

ROWS_PER_CHUNK = 5000
# A snapshot this old is still correct, only longer to catch up from.
REUSED_FOR = timedelta(minutes=10)
# The newest of a scope are kept, and others for as long as a register on a slow line still fetches them.
KEPT = 2
KEPT_AT_MOST = 8
IN_USE_S = 3600.0
# One of a scope that nobody asked for any more.
UNUSED_S = 7 * 24 * 3600.0
# Who asks waits this long for a snapshot, well below a register's patience, and asks again then.
ANSWERED_WITHIN_S = 4.0

_log = structlog.get_logger(__name__)
_line = msgspec.json.Encoder()


class _Manifest(Struct, frozen=True, kw_only=True):
    made_at: AwareDatetime
    answer: SnapshotResponse


class Snapshots:
    """Makes snapshots when asked, one at a time, and serves their chunks.

    A snapshot's folder is named after its scope and its position; one without a manifest was not finished.
    """

    def __init__(self, folder: Path, database: Database, write: Callable[[Path, bytes], None] = write_private) -> None:
        self._folder = folder
        self._database = database
        self._write = write
        self._one_at_a_time = asyncio.Lock()
        self._making: dict[str, asyncio.Task[SnapshotResponse | None]] = {}

    async def newest(
        self, scope: Scope, now: datetime, begun: str | None = None, begun_as_of: int = 0
    ) -> SnapshotResponse:
        """A snapshot that is new enough, made if there is none; or the one that has a chunk with the digest `begun`.

        Several may have it, where nothing of it changed: then it is the one that was made as of `begun_as_of`, else the
        oldest.

        Raises SnapshotInTheMakingError where that takes longer than a register should wait.
        """
        as_of, epoch = await self._database.read(lambda c: (feed.feed_position(c), feed.centre_epoch(c)))
        kept = [one for one in await asyncio.to_thread(self._kept, scope) if one.answer.centre_epoch == epoch]
        has_it = [made.answer for made in kept if any(chunk.sha256 == begun for chunk in made.answer.chunks)]
        if has_it:
            return next((answer for answer in has_it if answer.as_of == begun_as_of), has_it[-1])
        for made in kept[:1]:
            fresh = timedelta() <= now - made.made_at < REUSED_FOR
            if made.answer.as_of == as_of or (fresh and made.answer.as_of < as_of):
                return made.answer
        making = self._making.get(scope.name)
        if making is None:
            making = self._making[scope.name] = asyncio.create_task(self._make(scope, now))
            making.add_done_callback(lambda _: self._making.pop(scope.name, None))
        await asyncio.wait({making}, timeout=ANSWERED_WITHIN_S)
        answer = making.result() if making.done() else None
        if answer is None:
            raise SnapshotInTheMakingError("ask again; meanwhile members are found by GET /v1/members/{code}")
        return answer

    def chunk(self, scope: Scope, name: str, index: str) -> bytes:
        """The bytes of one chunk of a snapshot of this scope. `name` and `index` come from a URL."""
        if not (name.isascii() and name.isalnum() and index.isascii() and index.isdigit()):
            raise NotFoundError("take the url from GET /v1/snapshot")
        folder = self._folder / name
        try:
            if not name.startswith(_prefix(scope)):
                raise FileNotFoundError(name)
            content = (folder / f"{int(index)}.jsonl.zst").read_bytes()
            os.utime(folder)
        except FileNotFoundError:
            raise SnapshotNeededError("this snapshot is gone; ask for a new one with GET /v1/snapshot") from None
        return content

    async def close(self) -> None:
        """Leave what is being made; the next start begins it anew."""
        making = tuple(self._making.values())
        for one in making:
            one.cancel()
        await asyncio.gather(*making, return_exceptions=True)

    async def _make(self, scope: Scope, now: datetime) -> SnapshotResponse | None:
        """None where somebody was erased meanwhile, who may be in what was read before."""
        async with self._one_at_a_time:
            erasure = await self._database.read(erasing.newest)
            try:
                made = await self._written(scope, now)
            except FileNotFoundError:
                made = None  # who erases drops all snapshots (`forget_snapshots`), this one too
            except OSError as error:
                _log.error("snapshot_not_written", error=error.strerror)
                raise BusyError("the centre's disk takes no snapshot now; ask again") from error
            if made is None or await self._database.read(erasing.newest) != erasure:
                await asyncio.to_thread(forget_snapshots, self._folder)
                return None
            await asyncio.to_thread(self._drop_old, scope)
            return made

    async def _written(self, scope: Scope, now: datetime) -> SnapshotResponse:
        as_of, epoch = await self._database.read(lambda c: (feed.feed_position(c), feed.centre_epoch(c)))
        name = f"{_prefix(scope)}{as_of:020d}x{secrets.token_hex(4)}"
        target = self._folder / name
        target.mkdir(mode=0o700)
        try:
            answer = await self._filled(target, scope, as_of, epoch, now)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)  # a disk that is full would have less room each time
            raise
        return answer

    async def _filled(self, target: Path, scope: Scope, as_of: int, epoch: str, now: datetime) -> SnapshotResponse:
        chunks: list[SnapshotChunk] = []
        page = await self._page(scope, "")
        while page:
            url = f"/v1/snapshots/{target.name}/{len(chunks)}"
            path = target / f"{len(chunks)}.jsonl.zst"
            # The next one is read while this one is compressed and the disk makes it durable.
            chunk, page = await asyncio.gather(
                asyncio.to_thread(self._write_chunk, path, url, page), self._page(scope, page[-1].member)
            )
            chunks.append(chunk)
        answer = SnapshotResponse(centre_epoch=epoch, as_of=as_of, made_at=now, scope=scope.name, chunks=tuple(chunks))
        manifest = msgspec.json.encode(_Manifest(made_at=now, answer=answer))
        await asyncio.to_thread(self._write, target / "manifest.json", manifest)
        return answer

    def _write_chunk(self, path: Path, url: str, page: Sequence[FedChange]) -> SnapshotChunk:
        content = zstd_lines(page)
        self._write(path, content)
        return SnapshotChunk(url=url, sha256=hashlib.sha256(content).hexdigest(), rows=len(page))

    async def _page(self, scope: Scope, after: str) -> list[FedChange]:
        return await self._database.read(lambda connection: feed.rows_page(connection, after, ROWS_PER_CHUNK, scope))

    def _kept(self, scope: Scope) -> list[_Manifest]:
        """Those of a scope that are whole, the newest first."""
        found = (_manifest(folder) for folder in self._folders(_prefix(scope)))
        return [manifest for manifest in found if manifest is not None]

    def _drop_old(self, scope: Scope) -> None:
        now = time.time()
        for place, folder in enumerate(self._folders(_prefix(scope))):
            if place >= KEPT_AT_MOST or (place >= KEPT and _unused_s(folder, now) > IN_USE_S):
                shutil.rmtree(folder, ignore_errors=True)
        for folder in self._folders():
            if _unused_s(folder, now) > UNUSED_S:
                shutil.rmtree(folder, ignore_errors=True)

    def _folders(self, prefix: str = "") -> list[Path]:
        """Newest position first."""
        return sorted((path for path in self._folder.glob(f"{prefix}*") if path.is_dir()), reverse=True)


def _prefix(scope: Scope) -> str:
    return f"{hashlib.sha256(scope.name.encode()).hexdigest()[:16]}x"


def _manifest(folder: Path) -> _Manifest | None:
    try:
        return msgspec.json.decode((folder / "manifest.json").read_bytes(), type=_Manifest)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _unused_s(folder: Path, now: float) -> float:
    """Since its last chunk was written or read."""
    try:
        return now - folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def forget_snapshots(folder: Path) -> None:
    """Drop all of them: they hold what is to be held nowhere. A register that was fetching one asks for another."""
    for path in folder.iterdir() if folder.is_dir() else ():
        shutil.rmtree(path, ignore_errors=True)


def zstd_lines(page: Sequence[FedChange]) -> bytes:
    """One Change a line, compressed."""
    return zstd.compress(_line.encode_lines(page))
