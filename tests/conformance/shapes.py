"""The centre's answers as docs/protocol.md has them, written down again here: a reader of their own."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Time = Annotated[datetime, Meta(tz=True)]
Id = Annotated[str, Meta(pattern=r"^[!#-\[\]-~]{1,128}$")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
PublicKey = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{43}$")]
Signature = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{86}$")]
Position = Annotated[int, Meta(ge=0)]


class Enrolled(Struct):
    device: Id
    store: str
    register: str
    centre_epoch: Id
    program_key: PublicKey
    server_time: Time


class Opened(Struct):
    epoch: Id
    centre_epoch: Id
    server_time: Time


class Outcome(Struct):
    seq: int
    code: Literal["accepted", "duplicate", "quarantined"]
    detail: str = ""
    pos: Position = 0


class Ingested(Struct):
    centre_epoch: Id
    acked_through: int
    chain_hash: Digest
    outcomes: list[Outcome]
    server_time: Time
    credit: Annotated[int, Meta(ge=0)]

    @property
    def codes(self) -> list[str]:
        return [outcome.code for outcome in self.outcomes]


class Problem(Struct):
    title: str
    status: int
    type: str = "about:blank"
    detail: str = ""


class Gap(Problem, kw_only=True):
    expected_seq: int


class Balance(Struct):
    confirmed: int
    pending: int
    spendable: int

    @property
    def points(self) -> int:
        return self.confirmed + self.pending


class Identifier(Struct):
    kind: Literal["card", "phone", "email", "wallet", "nfc"]
    code: str
    card: str = ""
    state: str = "active"


class Consent(Struct):
    channel: str
    state: Literal["granted", "withdrawn"]
    hlc: str
    text_version: str = ""


class Row(Struct):
    member: str
    balance: Balance
    identifiers: list[Identifier] = []
    aliases: list[str] = []
    short_name: str = ""
    consents: list[Consent] = []

    @property
    def ids(self) -> set[str]:
        """Whatever means this member."""
        return {self.member, *self.aliases}


class Change(Struct):
    pos: Annotated[int, Meta(ge=1)]
    op: Literal["upsert", "leave", "erase"]
    member: str
    row: Row | None = None


class Changes(Struct):
    centre_epoch: Id
    changes: list[Change]
    next: Position
    more: bool
    as_of: Time


class Chunk(Struct):
    url: Annotated[str, Meta(pattern="^/")]
    sha256: Digest
    rows: int


class Snapshot(Struct):
    centre_epoch: Id
    as_of: Position
    made_at: Time
    scope: str
    chunks: list[Chunk]


class OnDemand(Struct):
    pos: Annotated[int, Meta(ge=1)]
    row: Row


class Announced(Struct):
    program: Digest
    valid_from: Time | None = None


class Heard(Struct):
    centre_epoch: Id
    server_time: Time
    feed: Position
    program: Digest | None = None
    schedule: list[Announced] = []
    config: Digest | None = None
    item_map: Digest | None = None
    erasures: int | None = None
    code_key: Digest | None = None
    join_url: str | None = None
    scope: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._~-]{1,128}$")] | None = None
    allowances: Position | None = None


class Allowance(Struct):
    number: Annotated[int, Meta(ge=1)]
    allowance: str
    member: str
    epoch: Id
    points: Annotated[int, Meta(ge=0)]
    recalled: bool


class Allowances(Struct):
    centre_epoch: Id
    allowances: list[Allowance]
    next: Position
    more: bool
    refused: str | None = None


class Erasure(Struct):
    number: Annotated[int, Meta(ge=1)]
    member: str
    aliases: list[str]
    codes: list[Digest]
    erased_at: Time


class Erasures(Struct):
    centre_epoch: Id
    erasures: list[Erasure]
    more: bool


class Hint(Struct):
    feed: Position | None = None


class Signed(Struct):
    """A signed document: its text stands under `program`, `item_map` or `config`."""

    hash: Digest
    signature: Signature
    program: str | None = None
    item_map: str | None = None
    config: str | None = None

    @property
    def text(self) -> str:
        return next((text for text in (self.program, self.item_map, self.config) if text is not None), "")


Json = dict[str, Any]
