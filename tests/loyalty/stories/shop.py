"""What a story needs: a member of a sample program who buys, brings things back and more, and what comes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from loyalty.events import Happened
from loyalty.fold import Fold
from loyalty.history import Facts, scope_of
from loyalty.ledger import LedgerEntry
from loyalty.member import Balance, MemberState
from loyalty.program import Program, program_from_json
from loyalty.purchase import Known, Purchase
from loyalty.receipt import Discount, Entry, Line, LineKind, Mapped, MemberReference, Original, Receipt, Tax, Tender
from loyalty.rewards import offers

PROGRAMS = Path(__file__).parents[3] / "docs" / "programs"


def sample(name: str) -> Program:
    return program_from_json((PROGRAMS / f"{name}.json").read_bytes())


def minor(price: str) -> int:
    """`"4.20"` in minor units; all sample programs are in currencies with two digits."""
    return int(Decimal(price) * 100)


def item(
    name: str,
    price: str,
    *tags: str,
    pieces: str = "1",
    kind: LineKind = "goods",
    category: str | None = None,
    gtin: str | UnsetType = UNSET,
    off: str = "0",
) -> Line:
    """A line of a receipt: `price` is what was paid for all its pieces, after `off`. Tags stand on the till's paper."""
    return Line(
        position=1,
        kind=kind,
        description=name,
        sku=name,
        gtin=gtin,
        quantity=pieces,
        amount_minor=minor(price),
        discount_minor=minor(off),
        tags=tags,
        mapped=Mapped(category=category) if category else UNSET,
    )


class Slip(Struct, frozen=True, kw_only=True):
    """A receipt, and what it gave or took by rule."""

    receipt: Receipt
    points: dict[str, int]


class Member:
    """A member of the sample program `name`. Times are on the shop's clock: `"Sunday 2026-11-22 08:30"`."""

    def __init__(
        self, name: str, *, birth_month: int | None = None, segments: Iterable[str] = (), owes: int = 0
    ) -> None:
        """`owes` are points that were used before they were taken back."""
        self.program = sample(name)
        self._facts = Facts(birth_month=birth_month, segments=frozenset(segments))
        self._fold = Fold(scope_of((self.program,)), MemberState(code="1", confirmed=-owes))
        self._receipts = 0

    def buys(
        self,
        *lines: Line,
        at: str,
        off: str = "0",
        tax: str = "0",
        paid_with_points: str = "0",
        store: str | UnsetType = UNSET,
        source: str | UnsetType = UNSET,
        entry: Entry = "scanned",
        promised: int = 0,
    ) -> Slip:
        """A sale: `off` the whole receipt, `tax` in it, part of it paid with points, `promised` on its paper."""
        receipt = self._receipt("sale", lines, at)
        receipt = replace(
            receipt,
            total_minor=receipt.total_minor - minor(off),
            discounts=(Discount(amount_minor=minor(off)),) if minor(off) else (),
            taxes=(Tax(amount_minor=minor(tax)),) if minor(tax) else (),
            tenders=(Tender(kind="points", amount_minor=minor(paid_with_points)),) if minor(paid_with_points) else (),
            store=store,
            source=source,
            member=MemberReference(code="1", entry=entry),
        )
        claims = [LedgerEntry(receipt=receipt.key, rule="base", points=promised, basis_minor=0, why="")]
        given = self._fold.sell(receipt, program=self.program, facts=self._facts, promised=claims if promised else ())
        return Slip(receipt=receipt, points=by_rule(given))

    def brings_back(self, slip: Slip, *lines: Line, at: str, tax: str = "0") -> Slip:
        """Some of what is on `slip`, or all of it where no lines are named."""
        gone = tuple(replace(line, amount_minor=-line.amount_minor) for line in lines or slip.receipt.lines)
        receipt = self._receipt("return", gone, at)
        receipt = replace(
            receipt,
            total_minor=receipt.total_minor if lines else -slip.receipt.total_minor,
            taxes=(Tax(amount_minor=-minor(tax)),) if minor(tax) else (),
            original=Original(key=slip.receipt.key),
        )
        return Slip(receipt=receipt, points=by_rule(self._fold.take_back(receipt, slip.receipt.key)))

    def does(self, event: str, *, at: str) -> dict[str, int]:
        self._receipts += 1
        happened = Happened(key=f"event-{self._receipts}", on=event, at=self._moment(at))
        return by_rule(self._fold.happen(happened, self.program))

    def balance(self, at: str) -> Balance:
        return self._fold.balance(self.program, self._moment(at))

    def can_have(self, *lines: Line, at: str) -> dict[str, tuple[int, int]]:
        """Rewards for a basket: how often each can be had now, and what one of it takes off in minor units."""
        purchase = Purchase(
            self._receipt("sale", lines, at), self.program.time_zone, Known(segments=self._facts.segments)
        )
        return {
            offer.reward: (offer.times, offer.discount_minor)
            for offer in offers(purchase, self.program, self.points(at))
        }

    def points(self, at: str) -> int:
        """What they may spend."""
        return self.balance(at).spendable

    def tier(self, at: str) -> str | None:
        return self._fold.tier(self.program, self._facts, self._moment(at)) or None

    def stamps(self, rule: str, at: str) -> int:
        """Stamps on the card that is not full yet."""
        return (self._fold.counters(self.program, self._moment(at)).stamps or {}).get(rule, 0)

    def _receipt(self, kind: str, lines: Iterable[Line], at: str) -> Receipt:
        self._receipts += 1
        numbered = tuple(replace(line, position=place) for place, line in enumerate(lines, 1))
        return Receipt(
            key=f"receipt-{self._receipts}",
            kind="sale" if kind == "sale" else "return",
            number=f"{self._receipts}",
            issued_at=self._moment(at),
            currency=self.program.currency,
            total_minor=sum(line.amount_minor for line in numbered),
            lines=numbered,
        )

    def _moment(self, at: str) -> datetime:
        weekday, _, day = at.partition(" ")
        moment = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(self.program.time_zone))
        assert f"{moment:%A}" == weekday, f"{day} is a {moment:%A}"
        return moment


def by_rule(entries: Iterable[LedgerEntry]) -> dict[str, int]:
    points: Counter[str] = Counter()
    for entry in entries:
        points[entry.rule] += entry.points
    return {rule: sum_ for rule, sum_ in points.items() if sum_}
