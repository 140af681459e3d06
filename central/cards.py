"""Cards at the centre: the numbers of one card, whose it is, and its state.

Owns the rows of `identifiers` and `card_changes`, and the errors about them. A number is any code that names a
member, a phone's or a wallet's too; numbers with the same `card` are one card and are always changed together.
The state is stored nowhere: a card that is blocked is `blocked`, one without a member `unissued`, one that another
took the place of `replaced`, any other `active`; so unblocking leads back to what it was. Never touches receipts,
points or the feed: `central.operations` joins them; what registers are told of numbers is `central.fed_rows`'.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Literal

from msgspec import UNSET, Struct
from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from central import configs
from central.db import tables
from central.db.sets import among
from loyalty.addresses import codes_as_typed
from loyalty.identification import MemberKind, normal_code, owns_number
from loyalty.member import CardState, ending_of
from loyalty.pan import first_pan
from loyalty.receipt import AwareDatetime, Receipt

ChangeKind = Literal["linked", "issued", "blocked", "unblocked", "replaced"]

# As wide as the column that holds a code.
MAX_CODE_CHARS = 255
# Values in one IN (…): far below what any database takes.
AT_ONCE = 500

# Numbers of people, not of cards, though a telephone number may look like one.
_ADDRESSES = frozenset({"phone", "email"})

_numbers = tables.identifiers.c


class CardError(ValueError):
    """A card is not as it would have to be for that. The message says what to do; nothing was changed."""


class CodeTakenError(CardError):
    """A code already names another member."""


class CardStateError(CardError):
    """A card's state forbids it."""


class UnknownCardError(CardError):
    """No card has this number."""


class PaymentCardError(CardError):
    """A number is a payment card's, and so is kept nowhere."""


class NoCodeError(CardError):
    """What was given cannot be a card's number."""


class CardNumber(Struct, frozen=True, kw_only=True):
    """One number of a card, in normal form; `printed` is the one that people can read on it."""

    code: str
    kind: MemberKind = "card"
    printed: bool = False


class Card(Struct, frozen=True, kw_only=True):
    """One card. `member` is None for stock; `replaced_by` a number of the card that took its place."""

    card: str
    member: str | None
    numbers: tuple[CardNumber, ...]
    blocked_at: AwareDatetime | None
    blocked_because: str | None
    replaced_by: str | None

    @property
    def state(self) -> CardState:
        return state_of(self.member, self.blocked_at, self.replaced_by)


class CardChange(Struct, frozen=True, kw_only=True):
    """What somebody did to a card, under the number they named."""

    code: str
    what: ChangeKind
    member: str | None
    detail: str | None
    changed_at: AwareDatetime


class Holder(Struct, frozen=True, kw_only=True):
    """Whom a code names, as far as a receipt asks."""

    member: str | None
    blocked_at: datetime | None = None

    def refuses(self, receipt: Receipt) -> bool:
        """Whether the card was blocked before this receipt was made; a return takes back whatever the card is.

        A receipt without any time was made just now, for all we know.
        """
        if self.blocked_at is None or receipt.kind == "return":
            return False
        made_at = receipt.issued_at or receipt.captured_at
        return made_at is UNSET or made_at > self.blocked_at


class Place(Struct, frozen=True, kw_only=True):
    """On which card a number is, and whose it is."""

    card: str
    member: str | None
    printed: bool


NOBODY = Holder(member=None)


def state_of(member: str | None, blocked_at: datetime | None, replaced_by: str | None) -> CardState:
    """What these columns of a card's numbers make of it."""
    if blocked_at is not None:
        return "blocked"
    if member is None:
        return "unissued"
    return "active" if replaced_by is None else "replaced"


# ---- whose a code is


def holder_of(connection: Connection, code: str) -> Holder:
    """Whom a code names, in any way of writing it."""
    return holders(connection, {normal_code(code)}).get(normal_code(code), NOBODY)


def holders(connection: Connection, codes: Collection[str]) -> dict[str, Holder]:
    """The same for many, which are in normal form; codes that nobody knows are absent."""
    rows = _in_parts(connection, select(_numbers.code, _numbers.member, _numbers.blocked_at), _numbers.code, codes)
    return {code: Holder(member=member, blocked_at=blocked_at) for code, member, blocked_at in rows}


def code_key(connection: Connection) -> str:
    """The key of the codes that are made of telephone numbers and e-mail addresses (`loyalty.addresses`)."""
    return str(connection.execute(select(tables.centre.c.code_key)).scalar_one())


def owner_as_typed(connection: Connection, text: str) -> str | None:
    """The member that a text names which a person typed: a code, a telephone number or an e-mail address."""
    for code in codes_as_typed(text, code_key(connection)):
        owner = owner_of(connection, code)
        if owner is not None:
            return owner
    return None


def owner_of(connection: Connection, code: str) -> str | None:
    """The member that a code names, whatever the state of the card."""
    return holder_of(connection, code).member


def find(connection: Connection, code: str) -> Card | None:
    """The card that has this number, in any way of writing it."""
    rows = _rows_on_cards_of(connection, [normal_code(code)])
    return _card(rows) if rows else None


def named(connection: Connection, code: str) -> Card:
    """The same; raises UnknownCardError."""
    card = find(connection, code)
    if card is None:
        raise UnknownCardError(
            "no card has this number; `cards import` takes in stock, `members link` gives any code to a member"
        )
    return card


def cards_of(connection: Connection, member: str) -> tuple[Card, ...]:
    """A member's cards, the first one first."""
    rows = connection.execute(
        select(tables.identifiers)
        .where(_numbers.member == member)
        .order_by(_numbers.added_at, _numbers.printed, _numbers.code)
    )
    together: dict[str, list[Row[Any]]] = {}
    for row in rows:
        together.setdefault(row.card, []).append(row)
    return tuple(_card(numbers) for numbers in together.values())


def blocked_cards(connection: Connection, limit: int) -> tuple[Card, ...]:
    """The cards that are blocked, the latest first."""
    newest = (
        select(_numbers.card)
        .where(_numbers.blocked_at.is_not(None))
        .group_by(_numbers.card)
        .order_by(func.max(_numbers.blocked_at).desc(), _numbers.card)
        .limit(limit)
    )
    found = (find(connection, card) for card in connection.execute(newest).scalars().all())
    return tuple(card for card in found if card is not None)


def changes_of(connection: Connection, card: Card) -> tuple[CardChange, ...]:
    """What was done to a card, oldest first."""
    table = tables.card_changes
    codes = [number.code for number in card.numbers]
    rows = connection.execute(select(table).where(table.c.code.in_(codes)).order_by(table.c.id))
    return tuple(
        CardChange(code=row.code, what=row.what, member=row.member, detail=row.detail, changed_at=row.changed_at)
        for row in rows
    )


# ---- what is done to a card


def unite(
    connection: Connection, numbers: Sequence[CardNumber], member: str | None, now: datetime
) -> tuple[str, ...] | None:
    """Let `numbers`, and all that are on a card with one of them, be one card, and `member`'s where one is given.

    Returns the numbers that name somebody only since now; None where nothing changed. A card of stock that meets
    a member's is handed out by that. Raises CodeTakenError, and CardStateError where a card is blocked or only one
    of two was replaced.
    """
    rows = _rows_on_cards_of(connection, [number.code for number in numbers])
    known = {row.code: row for row in rows}
    owner = _one_owner(rows, member)
    fresh = [number for number in numbers if number.code not in known]
    handed_out = [row.code for row in rows if row.member is None and owner is not None]
    printed = [one.code for one in numbers if one.printed and one.code in known and not known[one.code].printed]
    cards = list(dict.fromkeys(row.card for row in rows))
    if not (fresh or handed_out or printed or len(cards) > 1):
        return None
    _check_open(rows)
    card = next((known[number.code].card for number in numbers if number.code in known), numbers[0].code)
    _merge(connection, card, [other for other in cards if other != card])
    if printed:
        _set(connection, _numbers.code.in_(printed), printed=1)
    if handed_out:
        _set(connection, _numbers.card == card, member=owner)
    replaced_by = rows[0].replaced_by if rows else None
    _insert(connection, [_row(card, one, owner, now) | {"replaced_by": replaced_by} for one in fresh])
    if owner is None:
        return ()
    _record(connection, numbers[0].code, "issued" if handed_out else "linked", member=owner, now=now)
    return (*handed_out, *(number.code for number in fresh))


def insert_new(connection: Connection, cards: Iterable[tuple[Sequence[CardNumber], str | None]], now: datetime) -> None:
    """Many cards at once, each with its member, none of whose numbers is known."""
    _insert(connection, [_row(numbers[0].code, one, member, now) for numbers, member in cards for one in numbers])


def places(connection: Connection, codes: Collection[str]) -> dict[str, Place]:
    """Where `codes`, which are in normal form, stand; those that nobody knows are absent."""
    query = select(_numbers.code, _numbers.card, _numbers.member, _numbers.printed)
    return {
        row.code: Place(card=row.card, member=row.member, printed=bool(row.printed))
        for row in _in_parts(connection, query, _numbers.code, codes)
    }


def code_of(text: str) -> str:
    """The normal form of a number that is to be kept. Raises NoCodeError."""
    code = normal_code(text)
    if not 0 < len(code) <= MAX_CODE_CHARS:
        raise NoCodeError(f"a card's number has 1 to {MAX_CODE_CHARS} characters besides spaces and hyphens")
    return code


def same_card(connection: Connection, one: str, other: str) -> bool:
    """Whether two codes, in any way of writing them, are one or numbers of one card."""
    codes = {normal_code(one), normal_code(other)}
    if len(codes) == 1:
        return True
    standing = places(connection, codes)
    return len(standing) == len(codes) and len({place.card for place in standing.values()}) == 1


def stand_together(numbers: Sequence[CardNumber], places: Mapping[str, Place]) -> bool:
    """Whether these are known as one card already, the printed one as printed."""
    first = places.get(numbers[0].code)
    return first is not None and all(
        (place := places.get(number.code)) is not None
        and (place.card, place.member) == (first.card, first.member)
        and place.printed >= number.printed
        for number in numbers
    )


def issue(connection: Connection, code: str, member: str, now: datetime) -> tuple[str, ...]:
    """Hand a card of stock out; returns its numbers, none where the member has it already."""
    card = named(connection, code)
    return unite(connection, card.numbers, member, now) or ()


def block(connection: Connection, code: str, because: str, now: datetime) -> bool:
    """Block all numbers of a card from now on; False where it is blocked already, since then."""
    card = named(connection, code)
    if card.blocked_at is not None:
        return False
    _set(connection, _numbers.card == card.card, blocked_at=now, blocked_because=because or None)
    _record(connection, normal_code(code), "blocked", member=card.member, now=now, detail=because or None)
    return True


def unblock(connection: Connection, code: str, now: datetime) -> bool:
    """Let a card be what it was before it was blocked; False where it is not blocked."""
    card = named(connection, code)
    if card.blocked_at is None:
        return False
    _set(connection, _numbers.card == card.card, blocked_at=None, blocked_because=None)
    _record(connection, normal_code(code), "unblocked", member=card.member, now=now)
    return True


def replace(connection: Connection, old: str, new: str, now: datetime) -> tuple[str, ...] | None:
    """Let the card `new` take the place of `old`; returns the numbers of `new` that name the member since now.

    `new` is stock, unheard of, or another card of the same member. A blocked card stays blocked. None where
    this was done already.
    """
    worn, taking = named(connection, old), find(connection, new)
    code = code_of(new)
    if worn.member is None:
        raise CardStateError("the old card was never handed out; issue the new one with `cards issue`")
    if taking is not None and taking.card == worn.card:
        raise CardStateError("these are two numbers of one card")
    if worn.replaced_by is not None:
        if taking is not None and worn.replaced_by == taking.card:
            return None
        raise CardStateError("the old card was replaced before; replace the one that took its place")
    if taking is not None and taking.state in ("blocked", "replaced"):
        raise CardStateError(f"the new card is {taking.state}; take another one")
    numbers = taking.numbers if taking is not None else (CardNumber(code=code, kind=worn.numbers[0].kind),)
    given = unite(connection, numbers, worn.member, now) or ()
    card = taking.card if taking is not None else code
    _set(connection, _numbers.card == worn.card, replaced_by=card)
    _record(connection, normal_code(old), "replaced", member=worn.member, now=now, detail=f"by …{ending_of(code)}")
    return given


def take_away(connection: Connection, code: str, member: str) -> None:
    """A telephone number or address names this member no more; cards always do."""
    connection.execute(
        delete(tables.identifiers).where(
            _numbers.code == code, _numbers.member == member, _numbers.kind.in_(sorted(_ADDRESSES))
        )
    )


def move(connection: Connection, source: str, target: str) -> None:
    """All cards of `source` are `target`'s."""
    _set(connection, _numbers.member == source, member=target)


def forget(connection: Connection, ids: Sequence[str]) -> None:
    """The numbers of a member, whom these ids mean, and what was done to their cards, go; of former numbers, too."""
    changes = tables.card_changes
    theirs = select(_numbers.code).where(_numbers.member.in_(ids))
    connection.execute(delete(changes).where(or_(changes.c.code.in_(theirs), changes.c.member.in_(ids))))
    connection.execute(delete(tables.identifiers).where(_numbers.member.in_(ids)))


# ---- rows


def _card(rows: Sequence[Row[Any]]) -> Card:
    first = rows[0]
    return Card(
        card=first.card,
        member=first.member,
        numbers=tuple(CardNumber(code=row.code, kind=row.kind, printed=bool(row.printed)) for row in rows),
        blocked_at=first.blocked_at,
        blocked_because=first.blocked_because,
        replaced_by=first.replaced_by,
    )


def _rows_on_cards_of(connection: Connection, codes: Sequence[str]) -> Sequence[Row[Any]]:
    """Every number of every card that has one of these, the encoded ones first."""
    cards = select(_numbers.card).where(_numbers.code.in_(codes))
    return connection.execute(
        select(tables.identifiers)
        .where(_numbers.card.in_(cards))
        .order_by(_numbers.card, _numbers.printed, _numbers.code)
    ).all()


def _one_owner(rows: Sequence[Row[Any]], member: str | None) -> str | None:
    owners = {row.member for row in rows if row.member is not None}
    if member is not None and owners - {member}:
        raise CodeTakenError("the code already names another member; a code is never moved silently")
    if len(owners) > 1:
        raise CodeTakenError("the numbers belong to two members; they cannot be one card")
    return member if member is not None else next(iter(owners), None)


def _check_open(rows: Sequence[Row[Any]]) -> None:
    """A card that is to be changed may not be blocked, nor old and new be made one."""
    if any(row.blocked_at is not None for row in rows):
        raise CardStateError("the card is blocked; unblock it first, or take another one")
    if len({row.replaced_by for row in rows}) > 1:
        raise CardStateError("one of these was replaced and the other was not; they cannot be one card")


def _merge(connection: Connection, card: str, others: Sequence[str]) -> None:
    if others:
        _set(connection, _numbers.card.in_(others), card=card)
        _set(connection, _numbers.replaced_by.in_(others), replaced_by=card)


def _insert(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Keeps new numbers. Raises PaymentCardError where one is a payment card's, and none is kept then."""
    if not rows:
        return
    in_force = configs.config_in_force(connection)
    rules = in_force.config.identification if in_force is not None else ()
    for row in rows:
        if row["kind"] not in _ADDRESSES and first_pan(row["code"], partial(owns_number, rules)) is not None:
            raise PaymentCardError(
                f"a number that ends in {ending_of(row['code'])} is a payment card's, and those are kept nowhere; if "
                "it is the shop's own, publish an identification rule that names its first digits"
            )
    connection.execute(insert(tables.identifiers), rows)


def _row(card: str, number: CardNumber, member: str | None, now: datetime) -> dict[str, Any]:
    return {
        "code": number.code,
        "kind": number.kind,
        "member": member,
        "added_at": now,
        "card": card,
        "printed": int(number.printed),
    }


def _set(connection: Connection, which: Any, **values: Any) -> None:
    connection.execute(update(tables.identifiers).where(which).values(**values))


def _record(
    connection: Connection,
    code: str,
    what: ChangeKind,
    *,
    member: str | None,
    now: datetime,
    detail: str | None = None,
) -> None:
    connection.execute(
        insert(tables.card_changes).values(code=code, what=what, member=member, detail=detail, changed_at=now)
    )


def _in_parts(
    connection: Connection, query: Any, column: Any, values: Collection[str]
) -> Iterable[Row[*tuple[Any, ...]]]:
    """The rows where `column` is one of `values`, however many those are."""
    ordered = sorted(values)
    for start in range(0, len(ordered), AT_ONCE):
        yield from connection.execute(query.where(among(column, ordered[start : start + AT_ONCE]))).all()
