"""Two sources of one register: the authoritative one counts, the other enriches, whatever comes first."""

from __future__ import annotations

import random
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from agent.bookkeeping import Bookkeeper, Kept, Prepared
from agent.matching import MATCH_WITHIN, MAX_WAITING, PAIR_AFTER, Matching
from loyalty.identity import identified
from loyalty.instant import Instant
from loyalty.receipt import Line, MemberReference, Receipt
from tests.agent.shop import BOOT, MORNING, Shop, at


class Sources:
    """A register whose printer is authoritative, and whose POS posts as well; the clock is moved by hand."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.seconds = 0.0
        self.matching = Matching(store=shop.store, rules=shop.rules, boot=BOOT, now=self.now)

    def now(self) -> Instant:
        return at(self.seconds)

    async def _give(self, books: Bookkeeper, receipt: Receipt, seconds: float) -> Kept:
        prepared = Prepared(masked=b"", captured=at(seconds), receipts=(receipt,))
        return await books.keep(prepared, lambda _writing, _kept: None)

    async def print(self, receipt: Receipt, seconds: float) -> str:
        books = self.shop.books("printer", take=self.matching.take_authoritative)
        return (await self._give(books, receipt, seconds)).outcomes[0].fate

    async def post(self, receipt: Receipt, seconds: float, source: str = "pos") -> str:
        books = self.shop.books(source, take=partial(self.matching.take_further, source))
        return (await self._give(books, receipt, seconds)).outcomes[0].fate

    async def later(self, wait: timedelta) -> None:
        self.seconds += wait.total_seconds()
        await self.matching.match_waiting()

    def quarantined(self) -> list[str]:
        return [item.reason for item in self.shop.store.quarantined()]


@pytest.fixture
async def sources(shop: Shop) -> Sources:
    await shop.seed()
    return Sources(shop)


def printed(issued_s: float, *, number: str = "1", total_minor: int = 26828, **facts: Any) -> Receipt:
    """As the printer has it: without lines."""
    receipt = Receipt(
        key="",
        kind=facts.pop("kind", "sale"),
        currency="RSD",
        total_minor=total_minor,
        store="12",
        register="3",
        business_day=MORNING.date(),
        number=number,
        issued_at=MORNING + timedelta(seconds=issued_s),
        **facts,
    )
    return identified(receipt, b"")


def posted(issued_s: float, *, number: str = "P1", total_minor: int = 26828, **facts: Any) -> Receipt:
    """As the POS has it: under a number of its own, with lines."""
    lines = (Line(position=1, description="KAFA", amount_minor=total_minor),)
    return printed(issued_s, number=number, total_minor=total_minor, lines=lines, operator="7", **facts)


def stored(shop: Shop, receipt: Receipt) -> Receipt:
    known = shop.store.known_receipt([receipt.key])
    assert known is not None
    return known.receipt


async def test_a_receipt_that_shares_an_id_enriches_at_once(sources: Sources, shop: Shop) -> None:
    await sources.print(printed(0), 1)

    assert await sources.post(posted(30, number="1"), 31) == "seen_again"

    body = shop.bodies()[-1]
    assert body.receipt.key == printed(0).key
    assert [line.description for line in body.receipt.lines] == ["KAFA"]
    assert len(shop.bodies()) == 2  # the receipt, and its fuller sighting
    assert shop.store.count_waiting() == 0


async def test_one_that_shares_an_id_and_comes_first_waits_for_it(sources: Sources, shop: Shop) -> None:
    assert await sources.post(posted(0, number="1"), 1) == "waits"
    assert shop.bodies() == []
    await sources.print(printed(0), 2)

    await sources.later(timedelta(0))

    assert [len(body.receipt.lines) for body in shop.bodies()] == [0, 1]
    assert shop.store.count_waiting() == 0


async def test_without_an_id_total_and_time_match_once_nothing_nearer_can_come(sources: Sources, shop: Shop) -> None:
    await sources.post(posted(0), 1)
    await sources.print(printed(60), 61)

    await sources.later(PAIR_AFTER - timedelta(seconds=1))
    assert shop.store.count_waiting() == 1
    await sources.later(timedelta(seconds=1))

    whole = stored(shop, printed(60))
    assert (whole.operator, whole.lines[0].description) == ("7", "KAFA")
    assert "pos:12/3/2026-11-22/P1" in whole.also
    assert shop.store.count_waiting() == 0
    assert await sources.post(posted(0), 300) == "seen_again"  # posted once more, it is known by its own id
    assert len(shop.bodies()) == 2


async def test_a_member_that_only_the_pos_names_gets_the_points(sources: Sources, shop: Shop) -> None:
    await sources.print(printed(0, lines=(Line(position=1, amount_minor=26828),)), 1)
    await sources.post(posted(5, member=MemberReference(code="TS1001", entry="receipt")), 6)

    await sources.later(PAIR_AFTER)

    body = shop.bodies()[-1]
    assert body.member == "m-ana"
    assert sum(claim.points for claim in body.claims) == 40
    member = shop.store.member_by_code("TS1001")
    assert member is not None
    assert member.balance.pending == 40


async def test_the_nearer_of_two_is_taken_though_it_came_last(sources: Sources, shop: Shop) -> None:
    await sources.print(printed(100, number="far"), 100)
    await sources.post(posted(0), 101)
    await sources.later(timedelta(seconds=102))
    await sources.print(printed(5, number="near"), 103)

    await sources.later(PAIR_AFTER)

    assert stored(shop, printed(5, number="near")).operator == "7"
    assert stored(shop, printed(100, number="far")).operator is UNSET


async def test_a_receipt_without_a_partner_is_shown_in_the_end_and_never_booked(sources: Sources, shop: Shop) -> None:
    await sources.post(posted(0), 1)

    await sources.later(MATCH_WITHIN - timedelta(seconds=1))
    assert sources.quarantined() == []
    await sources.later(timedelta(seconds=1))

    (item,) = shop.store.quarantined()
    assert (item.source, item.reason) == ("pos", "unmatched")
    assert "look there whether the sale was made" in item.detail
    kept = msgspec.json.decode(shop.store.quarantined_raw(item.id) or b"", type=Receipt)
    assert kept.key == posted(0).key
    assert shop.bodies() == []
    assert shop.store.count_waiting() == 0


async def test_a_tie_is_for_a_person(sources: Sources, shop: Shop) -> None:
    await sources.print(printed(0, number="1"), 0)
    await sources.print(printed(20, number="2"), 20)
    await sources.post(posted(10), 10)

    await sources.later(PAIR_AFTER)

    assert sources.quarantined() == ["ambiguous"]
    assert len(shop.bodies()) == 2


async def test_each_further_source_may_enrich_the_same_receipt(sources: Sources, shop: Shop) -> None:
    await sources.print(printed(0), 1)
    await sources.post(posted(5), 6)
    await sources.post(posted(3, number="D1"), 7, source="database")

    await sources.later(PAIR_AFTER)

    also = stored(shop, printed(0)).also
    assert {"pos:12/3/2026-11-22/P1", "pos:12/3/2026-11-22/D1"} <= set(also)
    assert sources.quarantined() == []


async def test_another_content_under_a_shared_id_is_for_a_person(sources: Sources, shop: Shop) -> None:
    await sources.print(printed(0), 1)

    assert await sources.post(posted(0, number="1", total_minor=99), 2) == "conflict"

    assert sources.quarantined() == ["conflict"]
    assert stored(shop, printed(0)).total_minor == 26828


async def test_a_sale_is_not_voided_by_a_further_source(sources: Sources, shop: Shop) -> None:
    await sources.print(printed(0), 1)

    assert await sources.post(posted(0, number="1", status="voided"), 2) == "waits"

    await sources.later(MATCH_WITHIN)
    assert sources.quarantined() == ["unmatched"]
    assert stored(shop, printed(0)).status == "final"


async def test_a_voiding_that_the_authoritative_source_says_too_is_no_more_news(sources: Sources, shop: Shop) -> None:
    await sources.print(printed(0), 1)
    await sources.post(posted(0, number="1", status="voided"), 2)
    await sources.print(printed(0, status="voided"), 3)

    await sources.later(timedelta(0))

    assert shop.store.count_waiting() == 0
    assert stored(shop, printed(0)).status == "voided"


async def test_waiting_receipts_survive_a_restart(sources: Sources, shop: Shop) -> None:
    await sources.post(posted(0), 1)
    shop.reopen()
    again = Sources(shop)
    await again.print(printed(3), 4)

    await again.later(PAIR_AFTER)

    assert stored(shop, printed(3)).operator == "7"


async def test_more_than_may_wait_go_to_a_person_at_once(sources: Sources, shop: Shop) -> None:
    receipt = posted(0)

    def fill(writing: Any) -> None:
        for number in range(MAX_WAITING):
            each = msgspec.structs.replace(receipt, key=f"key-{number}")
            writing.add_waiting("pos", each, at(0), content="full", said=at(0).wall, arrived=at(0).wall)

    await shop.store.write(fill)

    assert await sources.post(receipt, 1) == "conflict"
    assert "see whether the authoritative one works" in shop.store.quarantined()[0].detail


async def test_a_random_day_comes_to_the_same_in_any_order(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    sales = [(n, chance.randrange(0, 3600), chance.choice((500, 700, 900))) for n in range(40)]
    steps: list[tuple[str, Receipt, float]] = []
    for n, second, total in sales:
        steps.append(("print", printed(second, number=f"N{n}", total_minor=total), second))
        if chance.random() < 0.8:
            late = chance.randrange(-30, 30)
            steps.append(("post", posted(second + late, number=f"P{n}", total_minor=total), second + late))

    outcomes = []
    for turn in range(2):
        folder = tmp_path / str(turn)
        folder.mkdir()
        other = Shop(folder)
        await other.seed()
        register = Sources(other)
        chance.shuffle(steps)
        for way, receipt, moment in steps:
            await (register.print if way == "print" else register.post)(receipt, moment)
        await register.later(PAIR_AFTER)
        await register.later(MATCH_WITHIN)
        printed_keys = [receipt.key for way, receipt, _ in steps if way == "print"]
        known = {key: other.store.known_receipt([key]) for key in printed_keys}
        outcomes.append(
            (
                {key: sorted(each.receipt.also) for key, each in known.items() if each is not None},
                sorted(item.reason for item in other.store.quarantined()),
            )
        )
        assert len({body.receipt.key for body in other.bodies()}) == len(sales), f"seed {seed}"
        other.close()

    assert outcomes[0] == outcomes[1], f"seed {seed}"
    enriched = sum(bool(also) for also in outcomes[0][0].values())
    assert enriched > 10, f"seed {seed}"
