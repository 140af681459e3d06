"""Returns that a POS tells: which sale is given back, and what of it.

Owns what such a call has to say and what it is answered. How points are taken back is `loyalty.returns`'.
"""

from __future__ import annotations

from msgspec import Struct

from agent.booking import Fate
from agent.bookkeeping import Kept
from agent.problem import MalformedBodyError
from loyalty.member import ending_of
from loyalty.receipt import Receipt


class ReturnReport(Struct, frozen=True, kw_only=True):
    """What became of a return: `points` are those taken back, below zero; None where this register cannot tell.

    `ending` is how the code of whoever bought ends, None where nobody is known to have. `quarantined` says what of it
    is kept for a person; where that is all of it, it has no `receipt` and no `fate`.
    """

    receipt: str | None = None
    fate: Fate | None = None
    points: int | None = None
    ending: str | None = None
    quarantined: tuple[str, ...] = ()


def checked_return(receipts: tuple[Receipt, ...]) -> None:
    """Raises MalformedBodyError where this is not one return of a sale that is named."""
    if len(receipts) != 1 or receipts[0].kind != "return":
        raise MalformedBodyError("Give one receipt, of `kind` `return`; sales and several go to /v1/receipts.")
    [receipt] = receipts
    if not receipt.original or not (receipt.original.key or receipt.original.number):
        raise MalformedBodyError(
            "Name the sale that is given back in `original`, by `key` or `number`; where it is not known, the return "
            "goes to /v1/receipts."
        )
    if not receipt.lines:
        raise MalformedBodyError("Say in `lines` what comes back, with amounts below zero.")


def report_of(kept: Kept) -> ReturnReport:
    """Of the one receipt of such a call; of one that was known before nothing but that is told."""
    outcome = kept.outcomes[0] if kept.outcomes else None
    settled = kept.settlements[0] if kept.settlements else None
    return ReturnReport(
        receipt=outcome.key if outcome is not None else None,
        fate=outcome.fate if outcome is not None else None,
        points=settled.points if settled is not None and settled.outcome == "points" else None,
        ending=ending_of(settled.code) if settled is not None and settled.code is not None else None,
        quarantined=kept.quarantined,
    )
