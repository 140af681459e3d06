"""Which receipts of a further source are receipts of the authoritative one: one to one, by content and nearest time.

Owns that decision for receipts that share no natural id. The answer follows from the sets alone: in whatever order they
came, the same receipts are paired. Never books anything, and has no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import UNSET, Struct

from loyalty.identity import natural_ids
from loyalty.instant import Instant
from loyalty.receipt import Receipt

# Printing, and a POS that books a sale before or after it prints, are at most this far apart.
WITHIN: Final = timedelta(minutes=2)
# Two numbers of one of these schemes name two transactions. Numbers of `pos:` differ between a POS and its printer.
_SCHEMES: Final = ("rs-purs:", "hr-fisk:", "si-furs:", "hr-jir:")


class Told(Struct, frozen=True, kw_only=True):
    """One source's word on a transaction. `id` is the caller's; ids are unique within one side."""

    id: int
    receipt: Receipt
    captured: Instant


class Pairing(Struct, frozen=True, kw_only=True):
    """`pairs` are (authoritative, further) ids; `tied` further ids that fit two receipts, or one as well as another."""

    pairs: tuple[tuple[int, int], ...]
    tied: tuple[int, ...]


_Gap = tuple[timedelta, timedelta]


def content_of(receipt: Receipt) -> str:
    """What two words on one transaction have in common, whatever else they say."""
    return f"{receipt.kind}/{receipt.status}/{receipt.currency}/{receipt.total_minor}"


def gap_between(one: Told, other: Told) -> _Gap | None:
    """How far apart two words are: by what the receipts say, then by when they came. None where they cannot be one."""
    if content_of(one.receipt) != content_of(other.receipt) or _contradict(one.receipt, other.receipt):
        return None
    came = abs(one.captured.wall - other.captured.wall)
    said = abs(said_at(one) - said_at(other))
    return (said, came) if said <= WITHIN else None


def pair(authoritative: Sequence[Told], further: Sequence[Told]) -> Pairing:
    """The nearest two are one, then the next nearest of what is left, and so on.

    Where a receipt is as near to two others, nobody can tell: the further ones among them are tied, and none is paired.
    """
    gaps: dict[tuple[int, int], _Gap] = {}
    for one in authoritative:
        for other in further:
            gap = gap_between(one, other)
            if gap is not None:
                gaps[one.id, other.id] = gap
    pairs: list[tuple[int, int]] = []
    tied: list[int] = []
    while gaps:
        nearest = min(gaps.values())
        level = [edge for edge, gap in gaps.items() if gap == nearest]
        alone = [edge for edge in level if not _shares(edge, level)]
        pairs += alone
        doubtful = {other for edge in level if edge not in alone for other in edge[1:]}
        tied += doubtful
        used_first = {one for one, _ in alone}
        used_second = {other for _, other in alone} | doubtful
        gaps = {edge: gap for edge, gap in gaps.items() if edge[0] not in used_first and edge[1] not in used_second}
    return Pairing(pairs=tuple(sorted(pairs)), tied=tuple(sorted(tied)))


def _shares(edge: tuple[int, int], level: Iterable[tuple[int, int]]) -> bool:
    return any(other != edge and (other[0] == edge[0] or other[1] == edge[1]) for other in level)


def said_at(told: Told) -> datetime:
    """When the sale was: as the receipt says, else when it was captured."""
    receipt = told.receipt
    return receipt.issued_at if receipt.issued_at is not UNSET else told.captured.wall


def _contradict(one: Receipt, other: Receipt) -> bool:
    """Whether a fiscal authority numbered them as two."""
    first, second = natural_ids(one), natural_ids(other)
    for scheme in _SCHEMES:
        ours = {natural_id for natural_id in first if natural_id.startswith(scheme)}
        theirs = {natural_id for natural_id in second if natural_id.startswith(scheme)}
        if ours and theirs and not ours & theirs:
            return True
    return False
