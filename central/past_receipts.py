"""Past receipts for a replay, member by member: of the centre's database, or of a file.

Owns reading them, and how much of it is held at once. Never writes, and never evaluates anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct
from msgspec.structs import replace
from sqlalchemy import Connection, Row, func, select

from central.db import tables
from central.db.database import Database
from central.ledger import HELD_STATES
from central.members import facts_of
from central.simulation import History
from loyalty.history import Facts
from loyalty.identification import normal_code
from loyalty.member import Counters, MemberState
from loyalty.periods import FIRST
from loyalty.receipt import Receipt
from loyalty.schedule import judged_at
from loyalty.undecodable import UNDECODABLE


class ReceiptsFileError(ValueError):
    """The file cannot be replayed. The message says what is wrong and what to do."""


class Limits(Struct, frozen=True, kw_only=True):
    """How much is held at once.

    Members are read in short transactions: registers are served in between, whatever the replay takes. What one member
    has beyond `receipts_of_member` is left out and counted: that is a till's own card, not a person's. A file is held
    as a whole.
    """

    members_per_read: int = 50
    receipts_of_member: int = 20_000
    file_bytes: int = 256 * 1024 * 1024


_LIMITS: Final = Limits()


class _Receipts(Struct, frozen=True, kw_only=True):
    receipts: tuple[Raw, ...]


class PastReceipts:
    """Histories to replay. `without_member` and `left_out` are complete once all were taken."""

    def __init__(self, histories: Iterator[History], without_member: int, limits: Limits) -> None:
        self._histories = histories
        self._limits = limits
        self.without_member = without_member
        self.left_out = 0

    def __iter__(self) -> Iterator[History]:
        for history in self._histories:
            kept = history.receipts[: self._limits.receipts_of_member]
            self.left_out += len(history.receipts) - len(kept)
            yield replace(history, receipts=kept)


def receipts_of_centre(database: Database, limits: Limits = _LIMITS) -> PastReceipts:
    """All receipts that belong to a member, by the member's id; a return to whose sale it gives back."""
    return PastReceipts(_members(database, limits.members_per_read), database.read_now(_count_without_member), limits)


def receipts_of_file(document: bytes, limits: Limits = _LIMITS) -> PastReceipts:
    """The receipts of a `{"receipts":[…]}` file, by the member's code; members are named by their order in the file.

    A receipt without a code is left out and counted, a return too. Raises ReceiptsFileError for what is no such file,
    and names the first receipt that cannot be read.
    """
    if len(document) > limits.file_bytes:
        raise ReceiptsFileError(f"the file has more than {limits.file_bytes // 1024**2} MiB: replay it in parts")
    try:
        given = msgspec.json.decode(document, type=_Receipts).receipts
    except UNDECODABLE as error:
        raise ReceiptsFileError(f'{error}: give {{"receipts": […]}} as `tillside decode` prints it') from error
    by_code: dict[str, list[Receipt]] = {}
    without = 0
    for number, raw in enumerate(given, 1):
        try:
            receipt = msgspec.json.decode(raw, type=Receipt)
        except UNDECODABLE as error:
            raise ReceiptsFileError(
                f"receipt number {number} in the file: {error}; correct it, or take it out"
            ) from error
        if receipt.member is UNSET:
            without += 1
        else:
            by_code.setdefault(normal_code(receipt.member.code), []).append(receipt)
    histories = (
        History(name=f"member {place}", state=MemberState(code=""), receipts=_in_order(receipts))
        for place, receipts in enumerate(by_code.values(), 1)
    )
    return PastReceipts(histories, without, limits)


def _in_order(receipts: list[Receipt]) -> tuple[Receipt, ...]:
    """As the centre counts them: by the time that each is judged at, then by key; those without a time first."""
    return tuple(sorted(receipts, key=lambda receipt: (judged_at(receipt) or FIRST, receipt.key)))


def _members(database: Database, at_once: int) -> Iterator[History]:
    after = ""
    while read := database.read_now(partial(_some, after=after, at_once=at_once)):
        yield from read
        after = read[-1].name


def _some(connection: Connection, after: str, at_once: int) -> list[History]:
    """The next members who have any receipt, with their receipts."""
    people, receipts = tables.members.c, tables.receipts.c
    bought = select(receipts.key).where(receipts.member == people.id).exists()
    chosen = connection.execute(
        select(people.id).where(people.id > after, bought).order_by(people.id).limit(at_once)
    ).scalars()
    facts = {member: known[-1].facts for member, known in facts_of(connection, chosen.all()).items()}
    found: dict[str, list[Receipt]] = {member: [] for member in sorted(facts)}
    for row in _rows(connection, found):
        receipt = msgspec.json.decode(row.body, type=Receipt)
        found[row.whose].append(receipt if row.counts_at is None else replace(receipt, issued_at=row.counts_at))
    return [
        History(name=member, state=_state(member, facts[member]), receipts=_in_order(receipts))
        for member, receipts in found.items()
    ]


def _rows(connection: Connection, members: Collection[str]) -> Iterator[Row[Any, Any, Any]]:
    """Receipts of these members that count, each with whose it is: a return is of whoever has its sale."""
    receipts = tables.receipts
    sale = receipts.alias("sale")
    counts = receipts.c.state.not_in(HELD_STATES)
    yield from connection.execute(
        select(receipts.c.body, receipts.c.counts_at, receipts.c.member.label("whose"))
        .select_from(receipts.outerjoin(sale, sale.c.key == receipts.c.original))
        .where(receipts.c.member.in_(members), sale.c.member.is_(None), counts)
    )
    yield from connection.execute(
        select(receipts.c.body, receipts.c.counts_at, sale.c.member.label("whose"))
        .select_from(sale.join(receipts, receipts.c.original == sale.c.key))
        .where(sale.c.member.in_(members), counts)
    )


def _state(member: str, facts: Facts) -> MemberState:
    """What people told of a member, as it is now."""
    counters = Counters(birth_month=facts.birth_month or UNSET, segments=tuple(sorted(facts.segments)))
    return MemberState(code=member, tier=facts.tier, counters=counters)


def _count_without_member(connection: Connection) -> int:
    columns = tables.receipts.c
    return int(connection.execute(select(func.count(columns.key)).where(columns.member.is_(None))).scalar_one())
