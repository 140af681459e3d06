"""What can be asked of a register: its status, its queue, its quarantine, its members.

Owns the shapes of the answers and the port that gives them. The local API and the command line give the
same answers, whether the agent runs or not. Never shows more of a member than the store holds.
"""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from msgspec import Meta, Raw, Struct

from agent.posted import Outcome as ReceiptOutcome
from agent.supervisor import MAX_LEND_S, Health
from agent.view import BadgeView, PlaceView
from drivers.receipts.glimpse import Glimpse
from loyalty.member import Member
from loyalty.receipt import AwareDatetime, Receipt
from sync.store.rows import QueuedEntry, Recovered, Resolution, SpendingStatus

MAX_NOTE_CHARACTERS = 300

Verdict = Literal["healthy", "degraded", "not_enrolled", "problem"]


class Versions(Struct, frozen=True, kw_only=True):
    """Of this program, Python and the SQLite in use."""

    tillside: str
    python: str
    sqlite: str


class RulesInForce(Struct, frozen=True, kw_only=True):
    """How many identification rules count at this register, and who gave them."""

    settings: int = 0
    centre: int = 0


class SourceView(Struct, frozen=True, kw_only=True):
    """A source of receipts as the settings have it."""

    name: str
    kind: str
    authoritative: bool


class SourceReport(Struct, frozen=True, kw_only=True):
    """The same, and when the last receipt came from it. How it is, `workers` say."""

    name: str
    kind: str
    authoritative: bool
    last_receipt: AwareDatetime | None


class ProgramHere(Struct, frozen=True, kw_only=True):
    """A program that the centre announced: from when it holds, and why it cannot be used here if it cannot.

    `valid_from` is None for one that holds for all that was before the next; `held` is false until it has come.
    """

    hash: str
    valid_from: AwareDatetime | None
    held: bool
    refused: str | None


class StatusReport(Struct, frozen=True, kw_only=True):
    """How a register is. `running` is false where the store was read without the agent.

    `keys` says where secrets are kept, `ignored` counts what was heard and is no receipt by kind, `reasons`
    why the verdict is not `healthy`; `program` is the hash of the program in force, `programs` are all that the
    centre announced, in order of time; `waiting` counts receipts of further sources without their partner;
    `templates` names those of the centre that a running agent reads with; `selling` is true while a sale is open, or a
    member is served.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    running: bool
    place: PlaceView
    badge: BadgeView
    device: str | None
    last_contact: AwareDatetime | None
    queued: int
    oldest_queued_at: AwareDatetime | None
    quarantined: int
    ignored: dict[str, int]
    members: int
    members_as_of: AwareDatetime | None
    program: str | None
    programs: tuple[ProgramHere, ...]
    item_map: str | None
    rules: RulesInForce
    templates: tuple[str, ...]
    sources: tuple[SourceReport, ...]
    waiting: int
    workers: tuple[Health, ...]
    keys: str
    state: str
    store_bytes: int
    recovered: Recovered | None
    spending: SpendingStatus
    selling: bool
    page: str
    versions: Versions


class QueuedItem(Struct, frozen=True, kw_only=True):
    """An item of the quarantine in a list.

    `shows` is the total where the receipt is booked, else the first printed line; `receipt` the key of a booked receipt
    that earns nothing until this is resolved.
    """

    id: int
    source: str
    reason: str
    detail: str
    at: AwareDatetime
    size: int
    receipt: str | None
    shows: str
    remedy: str


class QueueReport(Struct, frozen=True, kw_only=True):
    """What waits for the centre, and what waits for a person."""

    queued: int
    entries: tuple[QueuedEntry, ...]
    quarantined: tuple[QueuedItem, ...]


class Trouble(Struct, frozen=True, kw_only=True):
    """What is wrong with a document, or a receipt in it, and what to do."""

    code: str
    detail: str
    remedy: str


class ItemReport(Struct, frozen=True, kw_only=True):
    """One item of the quarantine as a person judges it.

    `text` is what the paper shows, without payment cards; `receipts` what the readers in force now make of it,
    `ignored` what of it is no receipt, `troubles` what they cannot read or what does not add up; `glimpse` is there
    where they make no receipt. `resolved_as` and `note` say how it was dealt with, if it was.
    """

    id: int
    source: str
    reason: str
    detail: str
    remedy: str
    at: AwareDatetime
    captured_at: AwareDatetime
    size: int
    receipt: str | None
    text: str
    receipts: tuple[Receipt, ...]
    ignored: tuple[str, ...]
    troubles: tuple[Trouble, ...]
    glimpse: Glimpse | None
    resolved_at: AwareDatetime | None
    resolved_as: Resolution | None
    note: str | None


class Resolve(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a person deals with an item: it is no receipt, or nothing is to be made of it, and why."""

    resolved_as: Literal["not_a_receipt", "dismissed"]
    note: Annotated[str, Meta(max_length=MAX_NOTE_CHARACTERS)] = ""


class Reread(Struct, frozen=True, kw_only=True):
    """What became of an item that was read again. `outcome` `waits` goes with `reason`, `detail` and `remedy`."""

    id: int
    outcome: Literal["read", "no_receipt", "waits"]
    receipts: tuple[ReceiptOutcome, ...] = ()
    reason: str | None = None
    detail: str | None = None
    remedy: str | None = None


class RereadReport(Struct, frozen=True, kw_only=True):
    """Items that were read again. `next` is what to ask `after` for more, None at the end."""

    items: tuple[Reread, ...]
    next: int | None = None


class EntryReport(Struct, frozen=True, kw_only=True):
    """One entry of the outbox with its body, and the salt that its digest is made with."""

    number: int
    key: str
    kind: str
    hlc: str
    wall: AwareDatetime
    salt: str
    body: Raw


class ExportedItem(Struct, frozen=True, kw_only=True):
    """One quarantined item with its bytes (`raw_base64`), as `queue export` writes it, one a line."""

    id: int
    source: str
    reason: str
    detail: str
    at: AwareDatetime
    raw_base64: str


class ExportReport(Struct, frozen=True, kw_only=True):
    """A page of the quarantine with its bytes. `next` is what to ask `after` for more, None at the end."""

    items: tuple[ExportedItem, ...]
    next: int | None = None


class FoundMembers(Struct, frozen=True, kw_only=True):
    """Members that a search found."""

    members: tuple[Member, ...]


class Lending(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how long a scanner is wanted."""

    seconds: Annotated[int, Meta(ge=1, le=MAX_LEND_S)]


class Lent(Struct, frozen=True, kw_only=True):
    """A scanner whose port is closed until then, unless it is given back before."""

    name: str
    until: AwareDatetime


class NoRegisterError(LookupError):
    """Nothing was ever run or enrolled here. The message says how to begin."""


class NotFoundError(LookupError):
    """Nothing is kept under that name. The message says where to look."""


class NotRunningError(LookupError):
    """Only a running agent can do that. The message says how to start it."""


class Inspection(Protocol):
    """The questions; asked of the running agent, or of its store where none runs."""

    def status(self) -> StatusReport: ...

    def queue(self) -> QueueReport: ...

    def entry(self, number: int) -> EntryReport:
        """Raises NotFoundError."""
        ...

    def retry(self, number: int) -> None:
        """Sends an entry that the centre refused again. Raises NotFoundError."""
        ...

    def item(self, item: int) -> ItemReport:
        """One item of the quarantine, open or resolved. Raises NotFoundError."""
        ...

    def reread(self, item: int) -> Reread:
        """Reads an item again by what is in force now, and books what comes of it. Raises NotFoundError."""
        ...

    def reread_all(self, after: int) -> RereadReport:
        """The same for a bounded number of items beyond the item `after`."""
        ...

    def resolve(self, item: int, how: Resolve) -> None:
        """Takes an item out of the quarantine kept here; it stays in its history. Raises NotFoundError."""
        ...

    def export(self, after: int) -> ExportReport:
        """What is in quarantine here beyond the item `after`, a bounded number of bytes of it."""
        ...

    def find_members(self, text: str) -> tuple[Member, ...]: ...

    def member(self, code: str) -> Member:
        """By code or by the centre's id. Raises NotFoundError."""
        ...
