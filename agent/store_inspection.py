"""Answers about a register, read from its store.

Owns how the questions of `agent.inspection` become reads, and the verdict. What only a running agent knows
comes from outside as `Live`.
"""

from __future__ import annotations

import platform
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace
from sqlcipher3 import dbapi2

from agent.card_numbers import masked_text
from agent.inspection import (
    EntryReport,
    ExportedItem,
    ExportReport,
    ItemReport,
    NotFoundError,
    NotRunningError,
    ProgramHere,
    QueuedItem,
    QueueReport,
    Reread,
    RereadReport,
    Resolve,
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
from loyalty.money import to_major
from loyalty.receipt import AwareDatetime
from loyalty.remedies import remedy_for
from sync.programs import kept_programs, program_at
from sync.store.errors import UnknownEntryError
from sync.store.quarantine_rows import MAX_QUARANTINE_BYTES, QUARANTINE_ALARM_BYTES
from sync.store.reading import MAX_LISTED, Reading, moment
from sync.store.recovery import told, whereabouts
from sync.store.rows import Quarantined, Recovered, StoreStatus
from sync.store.store import Store
from sync.store.writing import Writing
from sync.wire import MAX_REASONS_TOLD, MAX_TOLD_CHARS, MAX_WORKERS_TOLD, RegisterState, WorkerState

if TYPE_CHECKING:
    from drivers.receipts.port import DecodeOptions

# A list shows the first line of what could not be read; that stands at the beginning.
READ_FOR_FIRST_LINE = 4096
_NOT_RUNNING = (
    "the agent does not run, and it is the one that books: start it with `tillside run`, it reads all of it again"
)
# Counters by kind, kept in the store as one JSON object.
IGNORED = "ignored"
MAX_FOUND = 20
# Counting reads every member's row: a tenth of a second for a hundred thousand.
COUNTED_FOR_S = 10.0
# One page of an export, before base64; an item alone may be larger.
MAX_EXPORTED_BYTES = 4 * 1024 * 1024


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Live(Struct, frozen=True, kw_only=True):
    """What is known of a register besides its store. `running` is false where no agent runs; `code_given` says what
    became of the code by which one is to be enrolled that is not.
    """

    running: bool
    place: PlaceView
    badge: BadgeView
    page: str
    device: str | None = None
    last_contact: AwareDatetime | None = None
    silence: str = ""
    code_given: str = ""
    workers: tuple[Health, ...] = ()
    rules: RulesInForce = RulesInForce()
    templates: tuple[str, ...] = ()
    sources: tuple[SourceView, ...] = ()
    item_map: str | None = None
    serving: bool = False


class StoreInspection:
    """The answers of one open store."""

    def __init__(
        self,
        store: Store,
        live: Callable[[], Live],
        monotonic_s: Callable[[], float] = time.monotonic,
        options: Callable[[str], DecodeOptions] | None = None,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        """`options` are those by which what came from a source is read now."""
        self._store = store
        self._live = live
        self._asked_options = options
        self._monotonic_s = monotonic_s
        self._now = now
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
        programs = programs_here(self._store)
        verdict, reasons = _verdict(live, kept, programs, self._store.quarantine_bytes())
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
            program=program_at(self._store, self._now()),
            programs=programs,
            item_map=live.item_map,
            rules=live.rules,
            templates=live.templates,
            sources=tuple(self._source(source) for source in live.sources),
            waiting=self._store.count_waiting(),
            workers=live.workers,
            keys=kept.keys,
            state=str(self._store.path.parent),
            store_bytes=kept.file_bytes,
            recovered=kept.recovered,
            spending=kept.spending,
            selling=live.serving or kept.spending.open_sales > 0,
            page=live.page,
            versions=Versions(
                tillside=version("tillside"), python=platform.python_version(), sqlite=dbapi2.sqlite_version
            ),
        )

    def told_to_centre(self) -> RegisterState:
        """What a heartbeat tells of this register: as `status`, bounded, while the centre listens."""
        live, today = self._live(), self._now().astimezone().date()
        reached = replace(live, badge=replace(live.badge, online=True))
        programs, kept_bytes = programs_here(self._store), self._store.quarantine_bytes()
        verdict, reasons = _verdict(reached, self._store.status(), programs, kept_bytes)
        return RegisterState(
            verdict=verdict,
            reasons=tuple(reason[:MAX_TOLD_CHARS] for reason in reasons[:MAX_REASONS_TOLD]),
            workers=tuple(
                WorkerState(kind=one.kind, name=one.name, condition=one.condition)
                for one in live.workers[:MAX_WORKERS_TOLD]
            ),
            scans=self._store.counted_on("scans", today),
            receipts=self._store.counted_on("receipts", today),
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
        items = tuple(self._queued_item(item) for item in store.quarantined())
        return QueueReport(queued=store.queued(), entries=entries, quarantined=items)

    def _queued_item(self, item: Quarantined) -> QueuedItem:
        return QueuedItem(
            id=item.id,
            source=item.source,
            reason=item.reason,
            detail=item.detail,
            at=item.at,
            size=item.size,
            receipt=item.receipt,
            shows=self._shows(item),
            remedy=remedy_for(item.reason),
        )

    def _options(self, source: str) -> DecodeOptions:
        from drivers.receipts.port import DecodeOptions  # noqa: PLC0415 - readers are loaded where there is something to read

        return self._asked_options(source) if self._asked_options is not None else DecodeOptions()

    def _shows(self, item: Quarantined) -> str:
        known = self._store.known_receipt((item.receipt,)) if item.receipt is not None else None
        if known is not None:
            number = f"{known.receipt.number}  " if known.receipt.number else ""
            return f"{number}{to_major(known.receipt.total_minor, known.receipt.currency)} {known.receipt.currency}"
        from agent.quarantine_view import first_line  # noqa: PLC0415 - as above

        return first_line(self._store.quarantined_raw(item.id, READ_FOR_FIRST_LINE) or b"", self._options(item.source))

    def item(self, item: int) -> ItemReport:
        kept = self._store.kept_item(item)
        if kept is None:
            raise _no_item(item)
        from agent.quarantine_view import item_report  # noqa: PLC0415 - as above

        return item_report(kept, self._options(kept.item.source))

    def reread(self, item: int) -> Reread:
        kept = self._store.kept_item(item)
        if kept is None or kept.resolved_at is not None:
            raise _no_item(item)
        raise NotRunningError(_NOT_RUNNING)

    def reread_all(self, after: int) -> RereadReport:  # noqa: ARG002 - the port's
        raise NotRunningError(_NOT_RUNNING)

    def entry(self, number: int) -> EntryReport:
        try:
            entry = self._store.entry(number)
        except UnknownEntryError as error:
            raise NotFoundError(str(error)) from error
        return EntryReport(
            number=number,
            key=entry.key,
            kind=entry.kind,
            hlc=entry.hlc,
            wall=entry.wall,
            salt=entry.salt or "",
            body=Raw(entry.json),
        )

    def retry(self, number: int) -> None:
        try:
            self._store.submit(lambda writing: writing.requeue(number)).result()
        except UnknownEntryError as error:
            raise NotFoundError(str(error)) from error

    def resolve(self, item: int, how: Resolve) -> None:
        self._store.submit(lambda writing: _resolve(writing, item, how)).result()

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


def _resolve(writing: Writing, item: int, how: Resolve) -> None:
    kept = writing.kept_item(item)
    if kept is None or kept.resolved_at is not None:
        raise _no_item(item)
    writing.resolve_quarantine(item, how.resolved_as, masked_text(how.note))
    if how.resolved_as == "not_a_receipt":
        count_ignored(writing, ["not_a_receipt"])


def _no_item(item: int) -> NotFoundError:
    return NotFoundError(f"nothing waits in quarantine under {item}; `tillside queue list` shows what does")


def count_ignored(writing: Writing, kinds: Sequence[str]) -> None:
    """Adds to the counters of what was heard and gives no entry."""
    if kinds:
        counters = Counter(ignored_of(writing))
        counters.update(kinds)
        writing.set_meta(IGNORED, msgspec.json.encode(counters).decode())


def last_receipt_of(source: str) -> str:
    """The name under which the store keeps when the last receipt of a source was captured."""
    return f"last-receipt:{source}"


def ignored_of(store: Reading) -> dict[str, int]:
    """What was heard and is no receipt, by kind."""
    kept = store.meta(IGNORED)
    return msgspec.json.decode(kept, type=dict[str, int]) if kept is not None else {}


def programs_here(store: Reading) -> tuple[ProgramHere, ...]:
    """What the centre announced, as this register has it."""
    kept, held = kept_programs(store), store.held_programs()
    return tuple(
        ProgramHere(
            hash=one.program,
            valid_from=one.valid_from or None,
            held=one.program in held,
            refused=kept.refused.get(one.program),
        )
        for one in kept.schedule
    )


def _verdict(
    live: Live, kept: StoreStatus, programs: tuple[ProgramHere, ...], quarantine_bytes: int
) -> tuple[Verdict, tuple[str, ...]]:
    """The gravest condition, and everything that is not as it should be."""
    not_enrolled = [] if live.badge.enrolled else [f"not enrolled: {live.code_given or 'run `tillside enroll CODE`'}"]
    problems = [] if live.running else ["the agent does not run: start it with `tillside run`"]
    failing = [worker for worker in live.workers if worker.condition in ("failing", "lent") and worker.problem]
    degraded = [f"{worker.kind} {worker.name}: {worker.problem}" for worker in failing]
    if not live.running:  # one that runs tells it as what its exchange with the centre came to
        degraded += [f"sync centre: {one.refused}" for one in programs if one.refused is not None]
    if kept.disk_full is not None:
        degraded.append(kept.disk_full.said)
    if kept.recovered is not None:
        degraded.append(_recovered(kept.recovered))
    if kept.spending.unsure_because:
        degraded.append(
            f"no points can be spent here: {kept.spending.unsure_because}; it can be once the centre was reached"
        )
    silent = live.badge.enrolled and live.running and not live.badge.online
    if silent and not any(worker.kind == "sync" for worker in failing):
        why = f" ({live.silence})" if live.silence else ""
        degraded.append(f"the centre cannot be reached{why}; the queue keeps everything until it can")
    if kept.quarantined:
        degraded.append(f"{kept.quarantined} in quarantine: see `tillside queue list`")
    if quarantine_bytes >= QUARANTINE_ALARM_BYTES:
        degraded.append(
            f"the quarantine is nearly full ({quarantine_bytes // 1024**2} of {MAX_QUARANTINE_BYTES // 1024**2} MiB): "
            "resolve what is in it, or sources will be refused"
        )
    reasons = (*not_enrolled, *problems, *degraded)
    if not_enrolled:
        return "not_enrolled", reasons
    if problems:
        return "problem", reasons
    return ("degraded" if degraded else "healthy"), reasons


def _recovered(recovered: Recovered) -> str:
    return (
        f"the store was corrupt ({recovered.reason}) and is {whereabouts(recovered)}; a new one is in use, "
        f"{told(recovered.salvaged)}"
    )
