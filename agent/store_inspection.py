"""Answers about a register, read from its store.

Owns how the questions of `agent.inspection` become reads, and the verdict. What only a running agent knows
comes from outside as `Live`.
"""

from __future__ import annotations

import platform
import time
from base64 import b64encode
from collections.abc import Callable
from importlib.metadata import version

import msgspec
from msgspec import Raw, Struct
from sqlcipher3 import dbapi2

from agent.inspection import (
    EntryReport,
    ExportedItem,
    ExportReport,
    NotFoundError,
    QueueReport,
    RulesInForce,
    SourceReport,
    SourceView,
    StatusReport,
    Verdict,
    Versions,
)
from agent.supervisor import Health
from agent.view import BadgeView, PlaceView
from loyalty.member import Member
from loyalty.receipt import AwareDatetime
from sync.store.errors import UnknownEntryError
from sync.store.reading import MAX_LISTED, Reading, moment
from sync.store.rows import Recovered, StoreStatus
from sync.store.store import Store
from sync.store.writing import Writing

# Counters by kind, kept in the store as one JSON object.
IGNORED = "ignored"
MAX_FOUND = 20
# Counting reads every member's row: a tenth of a second for a hundred thousand.
COUNTED_FOR_S = 10.0
# One page of an export, before base64; an item alone may be larger.
MAX_EXPORTED_BYTES = 4 * 1024 * 1024


class Live(Struct, frozen=True, kw_only=True):
    """What is known of a register besides its store. `running` is false where no agent runs."""

    running: bool
    place: PlaceView
    badge: BadgeView
    page: str
    device: str | None = None
    last_contact: AwareDatetime | None = None
    workers: tuple[Health, ...] = ()
    rules: RulesInForce = RulesInForce()
    sources: tuple[SourceView, ...] = ()
    item_map: str | None = None


class StoreInspection:
    """The answers of one open store."""

    def __init__(
        self, store: Store, live: Callable[[], Live], monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._live = live
        self._monotonic_s = monotonic_s
        self._members: tuple[float, int] | None = None

    def count_members(self) -> int:
        """Members held, counted anew once in a while. It takes long where there are many: for a thread."""
        now = self._monotonic_s()
        counted = self._members
        if counted is None or now - counted[0] >= COUNTED_FOR_S:
            counted = self._members = now, self._store.count_members_apart()
        return counted[1]

    def status(self) -> StatusReport:
        return self.status_with(self.count_members())

    def status_with(self, members: int) -> StatusReport:
        """`status` of a register that holds so many members."""
        live, kept = self._live(), self._store.status()
        verdict, reasons = _verdict(live, kept)
        program = self._store.current_program()
        return StatusReport(
            verdict=verdict,
            reasons=reasons,
            running=live.running,
            place=live.place,
            badge=live.badge,
            device=live.device,
            last_contact=live.last_contact,
            queued=kept.queued,
            oldest_queued_at=kept.oldest_queued_at,
            quarantined=kept.quarantined,
            ignored=ignored_of(self._store),
            members=members,
            members_as_of=kept.feed.as_of,
            program=program.hash if program is not None else None,
            item_map=live.item_map,
            rules=live.rules,
            sources=tuple(self._source(source) for source in live.sources),
            waiting=self._store.count_waiting(),
            workers=live.workers,
            keys=kept.keys,
            state=str(self._store.path.parent),
            store_bytes=kept.file_bytes,
            recovered=kept.recovered,
            page=live.page,
            versions=Versions(
                tillside=version("tillside"), python=platform.python_version(), sqlite=dbapi2.sqlite_version
            ),
        )

    def _source(self, source: SourceView) -> SourceReport:
        last = self._store.meta(last_receipt_of(source.name))
        return SourceReport(
            name=source.name,
            kind=source.kind,
            authoritative=source.authoritative,
            last_receipt=moment(last) if last is not None else None,
        )

    def queue(self) -> QueueReport:
        store = self._store
        entries = (*store.queue(state="quarantined"), *store.queue(state="pending"))
        return QueueReport(queued=store.queued(), entries=entries, quarantined=store.quarantined())

    def entry(self, number: int) -> EntryReport:
        try:
            entry = self._store.entry(number)
        except UnknownEntryError as error:
            raise NotFoundError(str(error)) from error
        body = Raw(bytes(entry.body))
        return EntryReport(number=number, key=entry.key, kind=entry.kind, hlc=entry.hlc, wall=entry.wall, body=body)

    def retry(self, number: int) -> None:
        try:
            self._store.submit(lambda writing: writing.requeue(number)).result()
        except UnknownEntryError as error:
            raise NotFoundError(str(error)) from error

    def resolve(self, item: int) -> None:
        self._store.submit(lambda writing: _resolve(writing, item)).result()

    def export(self, after: int) -> ExportReport:
        items: list[ExportedItem] = []
        room = MAX_EXPORTED_BYTES
        for item in self._store.quarantined(after=after):
            if items and item.size > room:
                return ExportReport(items=tuple(items), next=items[-1].id)
            room -= item.size
            raw = self._store.quarantined_raw(item.id) or b""
            items.append(
                ExportedItem(
                    id=item.id,
                    source=item.source,
                    reason=item.reason,
                    detail=item.detail,
                    at=item.at,
                    raw_base64=b64encode(raw).decode(),
                )
            )
        return ExportReport(items=tuple(items), next=items[-1].id if len(items) == MAX_LISTED else None)

    def find_members(self, text: str) -> tuple[Member, ...]:
        return self._store.find_members(text, MAX_FOUND)

    def member(self, code: str) -> Member:
        member = self._store.member_by_code(code) or self._store.member(code)
        if member is None:
            raise NotFoundError("no member has this code here; the centre may know one that was never at this shop")
        return member


def _resolve(writing: Writing, item: int) -> None:
    if not any(waiting.id == item for waiting in writing.quarantined(1, after=item - 1)):
        raise NotFoundError(f"nothing waits in quarantine under {item}; `tillside queue list` shows what does")
    writing.resolve_quarantine(item)


def last_receipt_of(source: str) -> str:
    """The name under which the store keeps when the last receipt of a source was captured."""
    return f"last-receipt:{source}"


def ignored_of(store: Reading) -> dict[str, int]:
    """What was heard and is no receipt, by kind."""
    kept = store.meta(IGNORED)
    return msgspec.json.decode(kept, type=dict[str, int]) if kept is not None else {}


def _verdict(live: Live, kept: StoreStatus) -> tuple[Verdict, tuple[str, ...]]:
    """The gravest condition, and everything that is not as it should be."""
    not_enrolled = [] if live.badge.enrolled else ["not enrolled: run `tillside enroll CODE`"]
    problems = [] if live.running else ["the agent does not run: start it with `tillside run`"]
    failing = [worker for worker in live.workers if worker.condition in ("failing", "lent") and worker.problem]
    degraded = [f"{worker.kind} {worker.name}: {worker.problem}" for worker in failing]
    if kept.recovered is not None:
        degraded.append(_recovered(kept.recovered))
    silent = live.badge.enrolled and live.running and not live.badge.online
    if silent and not any(worker.kind == "sync" for worker in failing):
        degraded.append("the centre cannot be reached; the queue keeps everything until it can")
    if kept.quarantined:
        degraded.append(f"{kept.quarantined} in quarantine: see `tillside queue list`")
    reasons = (*not_enrolled, *problems, *degraded)
    if not_enrolled:
        return "not_enrolled", reasons
    if problems:
        return "problem", reasons
    return ("degraded" if degraded else "healthy"), reasons


def _recovered(recovered: Recovered) -> str:
    return f"the store was corrupt ({recovered.reason}) and is kept as {recovered.moved_to}; a new one is in use"
