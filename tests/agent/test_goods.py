"""What the goods are, at the register: mapped before they are evaluated, with the map of the centre, network or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from agent.booking import Booked, book
from agent.cli.stopped import stopped_register
from central import item_maps
from config.load import load_settings
from loyalty.identity import identified
from loyalty.item_map import ItemEntry, ItemMap
from loyalty.item_matching import ItemMatcher
from loyalty.receipt import Line, Mapped, MemberReference, Original, Receipt
from tests.agent.shop import BOOT, MORNING, Shop, at, receipt
from tests.agent.test_rules_in_force import configured, enrolled, running, scanner
from tests.faults.proxy import FaultyProxy
from tests.sync.centre import running_centre, utc_now

__all__ = ("scanner",)

DEPOSITS = ItemMap(items=(ItemEntry(name=("*boca*",), kind="deposit"), ItemEntry(name=("kafa",), tags=("hot",))))
MEMBER = MemberReference(code="TS1001")


def sale(number: str, **facts: Any) -> Receipt:
    """Coffee for 100.00 and a bottle for 50.00."""
    lines = (
        Line(position=1, description="KAFA", amount_minor=100_00),
        Line(position=2, description="ПОВРАТНА БОЦА", amount_minor=50_00),
    )
    plain = Receipt(
        key="",
        kind="sale",
        store="12",
        register="3",
        number=number,
        business_day=MORNING.date(),
        issued_at=MORNING,
        currency="RSD",
        total_minor=150_00,
        lines=lines,
        member=MEMBER,
    )
    return identified(replace(plain, **facts), b"")


async def booked(shop: Shop, seen: Receipt, seconds: float) -> Booked:
    return await shop.store.write(lambda writing: book(writing, seen, at(seconds), boot=BOOT, rules=shop.rules))


async def test_a_receipt_is_mapped_before_it_is_evaluated_and_keeps_what_was_printed(shop: Shop) -> None:
    await shop.seed()
    matcher = ItemMatcher(DEPOSITS)
    shop.rules.map_items_with(matcher)

    await booked(shop, sale("1"), 1)

    # gold: one and a half points for each 10.00 of goods
    [body] = shop.bodies()
    assert [claim.points for claim in body.claims] == [15]
    assert body.receipt.item_map == matcher.hash
    assert [line.mapped for line in body.receipt.lines] == [Mapped(tags=("hot",)), Mapped(kind="deposit")]
    assert [line.kind for line in body.receipt.lines] == ["goods", "goods"]


async def test_what_a_source_says_of_a_map_does_not_count(shop: Shop) -> None:
    await shop.seed()
    lines = tuple(replace(line, mapped=Mapped(kind="goods", tags=("double",))) for line in sale("1").lines)

    await booked(shop, sale("1", lines=lines, item_map="0" * 64), 1)

    [body] = shop.bodies()
    assert (body.receipt.item_map, [line.mapped for line in body.receipt.lines]) == (UNSET, [UNSET, UNSET])


async def test_a_map_that_comes_later_changes_no_receipt_that_is_booked(shop: Shop) -> None:
    await shop.seed()
    await booked(shop, sale("1"), 1)
    shop.rules.map_items_with(ItemMatcher(DEPOSITS))

    # when it is printed again, and then brought back
    again = await booked(shop, sale("1"), 2)
    back = tuple(replace(line, amount_minor=-line.amount_minor) for line in sale("1").lines)
    named = Original(number="1", store="12", register="3")
    await booked(shop, sale("2", kind="return", total_minor=-150_00, lines=back, original=named), 3)

    assert again.fate == "seen_again"
    sold, returned = shop.bodies()
    assert sold.receipt.item_map is UNSET
    assert [claim.points for claim in (*sold.claims, *returned.claims)] == [22, -22]


async def test_a_printed_receipt_is_mapped_like_any(shop: Shop) -> None:
    await shop.seed()
    shop.rules.map_items_with(ItemMatcher(DEPOSITS))
    shop.print(receipt(1), 10)

    await shop.take_all()

    assert [line.mapped for line in shop.bodies()[0].receipt.lines] == [Mapped(tags=("hot",))]


async def test_the_centres_map_is_in_force_while_the_register_runs_and_after_a_restart(
    tmp_path: Path, scanner: Any
) -> None:
    async with running_centre(tmp_path / "centre") as centre, FaultyProxy("127.0.0.1", centre.port) as network:
        config = configured(tmp_path, scanner)
        await enrolled(centre, config, network.port)
        async with running(config, scanner) as till:
            await till.until(lambda: till.status.badge.online)
            assert till._register._rules.mapped(sale("1")) == sale("1")

            # when the centre publishes a map
            hashed = centre.write(
                lambda c: item_maps.publish(c, ItemMatcher(DEPOSITS), centre.folder.program_key(), utc_now())
            )
            await till.until(lambda: till.status.item_map == hashed)
            assert till._register._rules.mapped(sale("1")).item_map == hashed

        # and when it starts again without a network
        await network.take_down()
        async with running(config, scanner) as till:
            assert till._register._rules.mapped(sale("1")).lines[1].counts_as == "deposit"
            assert (till.status.item_map, till.status.badge.online) == (hashed, False)

        # and when nobody runs it, it can still be asked
        with stopped_register(load_settings(config, environment={})) as stopped:
            assert stopped.status().item_map == hashed
