"""A reward that was given, held against the program by which it was offered and the goods on the receipt that shows it.

Whoever takes a discount off at a till by hand can do so on any sale. Owns what the goods on its receipt say of that,
and whether it cost, and took off, what its program says. What a reward asks of the member, the day or the shop is not
asked again: it was when it was chosen. A discount that was given was given: what is found here is for a person to look
at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from loyalty.conditions import criterion_of_goods, keys_in
from loyalty.program import Program, Reward
from loyalty.purchase import Known, Purchase, tags_of
from loyalty.receipt import Line, Receipt
from loyalty.reconcile import unearning
from loyalty.rewards import Taken, goods_allow, pieces_for

# By what a line tells whether it is the goods that a condition asks for.
_TELLS: Final[dict[str, Callable[[Line], object]]] = {
    "sku_in": lambda line: line.sku,
    "gtin_in": lambda line: line.gtin,
    "category_in": lambda line: line.mapped,
    "line_tag_in": tags_of,
}
_BY_MAP: Final = frozenset({"category_in", "line_tag_in"})


def is_not_for(sold: Receipt, program: Program, taken: Taken, *, is_mapped: bool) -> bool:
    """Whether the goods of a sale cannot have the reward that was given on it.

    They are looked at as printed and as they were before any discount, since that of the reward is among these: it is
    for them if it is by either. False where the program has no such reward, or nobody can tell the goods: without
    lines, with sums that are wrong, with goods that cost nothing and do not say what they did, or where a condition
    asks for what no line tells and no item map (`is_mapped`) could.
    """
    reward = next((one for one in program.rewards if one.id == taken.reward), None)
    if reward is None or not _are_told(sold, reward, is_mapped=is_mapped):
        return False
    before = replace(sold, lines=tuple(map(_before_discount, sold.lines)), discounts=())
    return not any(
        goods_allow(Purchase(each, program.time_zone, Known()), program, reward, taken.times) for each in (before, sold)
    )


def is_other_than_offered(program: Program, taken: Taken, *, points: int, discount_minor: int) -> bool:
    """Whether a reward that cost so many points, and took so much off, is not one that its program has.

    A basket may be worth less than a discount. What hangs on the goods, nobody can tell any more.
    """
    reward = next((reward for reward in program.rewards if reward.id == taken.reward), None)
    if reward is None:
        return True
    most = reward.discount_minor
    return points != taken.times * reward.points or (most is not UNSET and discount_minor > taken.times * most)


def given_pieces(sold: Purchase, program: Program, taken: Taken) -> frozenset[int]:
    """Places of the lines of which pieces were given for `taken`: that cost nothing now, or else that it would choose
    as they were before any discount. None where it is no reward of pieces, or there are no such goods.
    """
    reward = next((one for one in program.rewards if one.id == taken.reward), None)
    if reward is None or reward.piece_minor is UNSET:
        return frozenset()
    about = {id(line) for line in criterion_of_goods(reward.when).lines_of(sold)}
    free = [place for place, line in enumerate(sold.lines) if line.amount_minor == 0 and id(line) in about]
    if free and reward.piece_minor == 0:
        return frozenset(free)
    before = replace(sold.receipt, lines=tuple(map(_before_discount, sold.receipt.lines)), discounts=())
    then = Purchase(before, sold.time_zone, sold.known)
    chosen = {id(line) for line in pieces_for(then, program, reward, taken.times)}
    return frozenset(place for place, line in enumerate(then.lines) if id(line) in chosen)


def _before_discount(line: Line) -> Line:
    return replace(line, amount_minor=line.amount_minor + line.discount_minor, discount_minor=0)


def _are_told(sold: Receipt, reward: Reward, *, is_mapped: bool) -> bool:
    lines = [line for line in sold.lines if not line.voided]
    if not lines or unearning(sold) is not None:
        return False
    if any(line.amount_minor + line.discount_minor == 0 for line in lines):
        return False
    asked = keys_in(reward.when) & _TELLS.keys() if reward.when else ()
    return all((is_mapped and name in _BY_MAP) or any(map(_TELLS[name], lines)) for name in asked)
