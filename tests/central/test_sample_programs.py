"""Sample programs at the centre: a story's receipts in any order give what the story says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from random import Random, randrange

import pytest
from msgspec.structs import replace

from central import ledger
from loyalty.identity import identified
from loyalty.receipt import MemberReference, Original, Receipt
from tests.central.test_canonical import CODES, a_centre, a_till, deliver, held
from tests.central.till import NOON
from tests.loyalty.stories.shop import Member, Slip, item, sample


def at_the_bakery(ana: Member) -> list[Slip]:
    four = item("loaf", "5.60", "bread", pieces="4")
    eight = ana.buys(item("loaf", "11.20", "bread", pieces="8"), at="Tuesday 2026-11-24 09:00")
    return [
        eight,
        ana.buys(four, at="Wednesday 2026-11-25 18:30"),
        ana.brings_back(eight, item("loaf", "1.40", "bread"), at="Thursday 2026-11-26 09:00"),
        ana.buys(four, at="Sunday 2026-11-29 08:00"),
    ]


def at_the_fashion_shop(mia: Member) -> list[Slip]:
    dress = mia.buys(item("dress", "280.00"), at="Tuesday 2026-11-24 10:00")
    shoes = mia.buys(item("shoes", "130.00"), at="Wednesday 2026-11-25 10:00")
    coat = mia.buys(item("coat", "400.00"), at="Thursday 2026-11-26 10:00")
    blouse = mia.buys(item("blouse", "60.00", "new-season"), at="Friday 2026-11-27 10:00")
    return [dress, shoes, coat, blouse, mia.brings_back(coat, at="Saturday 2026-11-28 10:00")]


def at_the_med_spa(lea: Member) -> list[Slip]:
    facial, cream = item("facial", "120.00", "treatment", "facial"), item("cream", "45.00")
    first = lea.buys(facial, cream, at="Monday 2026-10-12 10:00")
    second = lea.buys(facial, cream, at="Monday 2026-11-16 10:00")
    back = lea.brings_back(second, facial, at="Tuesday 2026-11-17 10:00")
    return [first, second, back, lea.buys(facial, at="Wednesday 2026-11-18 10:00")]


def as_printed(slips: list[Slip]) -> dict[str, Receipt]:
    """The receipts of a story as a till prints them, by their keys in the story."""
    printed: dict[str, Receipt] = {}
    for slip in slips:
        receipt = slip.receipt
        original = receipt.original
        named = Original(key=printed[original.key or ""].key) if original else original
        at = receipt.issued_at
        assert at
        facts = replace(
            receipt,
            store="12",
            register="3",
            business_day=at.date(),
            original=named,
            member=MemberReference(code=CODES["m1"]),
        )
        printed[receipt.key] = identified(facts, b"")
    return printed


@pytest.mark.parametrize(
    ("name", "story"),
    [("bakery", at_the_bakery), ("fashion", at_the_fashion_shop), ("med-spa", at_the_med_spa)],
    ids=["bakery", "fashion", "med-spa"],
)
def test_a_story_in_any_order_comes_to_the_same_at_the_centre(
    name: str, story: Callable[[Member], list[Slip]], data: Path
) -> None:
    seed = randrange(2**32)
    print(f"seed {seed}")
    random = Random(seed)
    slips = story(Member(name))
    printed = as_printed(slips)
    said: Counter[tuple[str, str, str]] = Counter()
    for slip in slips:
        for rule, points in slip.points.items():
            said["m1", printed[slip.receipt.key].key, rule] += points

    with a_centre(data, (sample(name), None)) as centre:
        till = centre.write_now(lambda connection: a_till(connection, data))
        deliver(centre, till, random.sample([*printed.values()], len(printed)), iter(lambda: random.randint(1, 3), 0))

        assert held(centre) == said
        assert centre.read_now(lambda connection: ledger.check_balances(connection, NOON + timedelta(days=30))) == []
