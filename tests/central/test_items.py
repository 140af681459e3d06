"""Item maps at the centre: checked, published, shown; and what a receipt is mapped with when it comes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import UNSET
from msgspec.structs import replace

from central import item_maps
from central.admin.views.goods import goods_page
from central.clock import utc_now
from central.db import tables
from central.stored import stored_receipt
from loyalty.evaluate import evaluate
from loyalty.item_map import ItemEntry, ItemMap
from loyalty.item_matching import ItemMatcher, mapped
from loyalty.program import Program
from loyalty.receipt import Line, Mapped, Receipt
from sync.signing import is_signed, public_key_text
from sync.wire import SignedItemMap, compress_always
from tests.central.conftest import RunningCentre
from tests.central.test_cli import answer, run
from tests.central.till import RefusedError, receipt, returned

BAGS = ItemMap(items=(ItemEntry(sku=("2",), kind="deposit", category="bottles"),))
NONE = ItemMap(items=())
CSV = "sku,name,kind,category\n2,*boca*,deposit,bottles\n3,,,\n"


def bought(count: int, *, code: str | None = "TS-0001", **facts: Any) -> Receipt:
    """A sale of goods for 100.00 and of what the map calls a deposit for 20.00."""
    goods = Line(position=1, sku="1", amount_minor=100_00, description="KAFA")
    bottle = Line(position=2, sku="2", amount_minor=20_00, description="POVRATNA BOCA")
    return receipt(count, 120_00, lines=(goods, bottle), code=code, **facts)


def publish(centre: RunningCentre, item_map: ItemMap) -> str:
    return str(
        centre.write(lambda c: item_maps.publish(c, ItemMatcher(item_map), centre.folder.program_key(), utc_now()))
    )


def kept(centre: RunningCentre, key: str) -> Receipt:
    stored: Receipt = centre.read(lambda c: stored_receipt(c, key)).receipt
    return stored


def test_a_map_is_checked_published_and_shown(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "items.csv"
    file.write_text(CSV)
    where = ("--data", str(data))
    assert answer("items", "show", *where) == (0, {"hash": None, "published_at": None, "items": []})
    assert run("items", "show", *where)[1] == "# No item map was published.\nitems = []\n"

    code, checked = answer("items", "check", str(file))
    assert (code, checked["entries"], checked["unfilled"], checked["kinds"]) == (0, 1, 1, {"deposit": 1})
    assert answer("items", "show", *where)[1]["hash"] is None

    assert answer("items", "publish", *where, str(file)) == (0, checked)
    code, shown = answer("items", "show", *where)
    assert (code, shown["hash"], shown["items"][0]["sku"]) == (0, checked["hash"], ["2"])
    assert "1 rows give nothing yet" in run("items", "publish", *where, str(file))[1]

    # What is shown as text, and as JSON, is a file that gives the same map
    code, text = run("items", "show", *where)
    assert text.startswith("# In force since ")
    again = answer("items", "check", "-", stdin=text.encode())[1]
    document = json.dumps({"items": shown["items"]}).encode()
    assert again["hash"] == answer("items", "check", "-", stdin=document)[1]["hash"] == checked["hash"]


@pytest.mark.parametrize("command", [("check",), ("publish", "--data", "{data}")], ids=lambda command: command[0])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("sku,kind\n1,bottle\n", "bottle"),
        ("name,kind\n*tv*,fee\n", "entry 1: name '*tv*'"),
        ("sku,name,kind\n" + "".join(f"1,x {n},fee\n" for n in range(1_001)), "more than 1000 entries"),
    ],
)
def test_a_wrong_map_is_refused_and_nothing_is_published(
    data: Path, command: tuple[str, ...], content: str, words: str
) -> None:
    code, refused = answer("items", *[part.format(data=data) for part in command], "-", stdin=content.encode())

    assert code == 1
    assert words in refused["error"]
    assert answer("items", "show", "--data", str(data))[1]["hash"] is None


async def test_a_heartbeat_names_the_map_and_the_register_fetches_it(centre: RunningCentre) -> None:
    till = await centre.till()
    assert (await till.heartbeat()).item_map is UNSET
    with pytest.raises(RefusedError) as refused:
        await till.get(f"/v1/item-maps/{'0' * 64}", SignedItemMap)
    assert refused.value.status == 404

    hashed, other = publish(centre, BAGS), publish(centre, NONE)
    assert (await till.heartbeat()).item_map == other
    assert publish(centre, BAGS) == hashed
    assert (await till.heartbeat()).item_map == hashed

    signed = await till.get(f"/v1/item-maps/{hashed}", SignedItemMap)
    assert is_signed(signed.item_map.encode(), signed.signature, public_key_text(centre.folder.program_key()))
    # and for a client that knows no zstd
    plain = await till.request(
        "GET",
        f"/v1/item-maps/{hashed}",
        b"",
        headers={**till.signed("GET", f"/v1/item-maps/{hashed}", b""), "Accept-Encoding": ""},
    )
    assert msgspec.json.decode(plain[1], type=SignedItemMap) == signed


async def test_a_receipt_is_mapped_when_it_comes_and_what_is_no_goods_earns_nothing(centre: RunningCentre) -> None:
    till = await centre.till()
    before, after = bought(1), bought(2)
    await till.sell(before)
    hashed = publish(centre, BAGS)
    await till.sell(after)

    assert (kept(centre, before.key).item_map, kept(centre, before.key)) == (UNSET, before)
    stored = kept(centre, after.key)
    assert (stored.item_map, stored.lines[0].mapped, stored.lines[1].kind) == (hashed, UNSET, "goods")
    assert stored.lines[1].mapped == Mapped(kind="deposit", category="bottles")
    assert mapped(stored, None) == after
    assert centre.points("m1") == 12 + 10


async def test_a_receipt_is_mapped_with_the_map_that_its_register_named(
    centre: RunningCentre, program: Program
) -> None:
    # given a register that was away while the map changed
    till = await centre.till()
    publish(centre, BAGS)
    register_has = ItemMatcher(BAGS)
    publish(centre, NONE)
    sold = mapped(bought(1), register_has)
    claims = evaluate(sold, program=program)

    # when its receipt comes
    till.sale(sold, member="m1", claims=claims)
    await till.send(1)

    # then both say the same
    assert kept(centre, sold.key) == sold
    assert centre.points("m1") == 10 == sum(claim.points for claim in claims)
    assert centre.count(tables.variances) == 0


async def test_a_map_that_was_never_published_here_does_not_count_and_the_difference_shows(
    centre: RunningCentre, program: Program
) -> None:
    till = await centre.till()
    in_force = publish(centre, NONE)
    theirs = mapped(bought(1), ItemMatcher(BAGS))
    forged = replace(theirs, lines=(theirs.lines[0], replace(theirs.lines[1], mapped=Mapped(kind="tip"))))

    till.sale(forged, member="m1", claims=evaluate(forged, program=program))
    await till.send(1)

    assert kept(centre, forged.key).item_map == in_force
    assert centre.points("m1") == 12
    [variance] = centre.read(lambda c: c.execute(tables.variances.select()).all())
    assert (variance.claimed, variance.given) == (10, 12)


async def test_what_a_register_says_of_a_line_does_not_count_beside_the_map(centre: RunningCentre) -> None:
    till = await centre.till()
    hashed = publish(centre, BAGS)
    forged = bought(1)
    lines = tuple(replace(line, mapped=Mapped(kind="goods", tags=("double",))) for line in forged.lines)

    await till.sell(replace(forged, lines=lines, item_map=hashed))

    assert kept(centre, forged.key) == mapped(forged, ItemMatcher(BAGS))


async def test_a_map_published_later_changes_nothing_that_is_here(centre: RunningCentre) -> None:
    till = await centre.till()
    held, earned = bought(1, code="TS-9999"), bought(2)
    await till.sell(held, earned)
    before = centre.points("m1")
    entries = centre.read(lambda c: c.execute(tables.ledger.select()).all())

    # when a map comes, and then the same receipts again under it, and a card that was unknown
    publish(centre, BAGS)
    await till.sell(mapped(earned, ItemMatcher(BAGS)))
    answer("members", "link", "--data", str(centre.folder.path), "m2", "TS-9999")

    # then the ledger is as it was, and what was held counts as it came
    assert centre.points("m1") == before
    assert centre.read(lambda c: c.execute(tables.ledger.select()).all())[: len(entries)] == entries
    assert kept(centre, held.key) == held
    assert centre.points("m2") == 18


async def test_a_return_under_another_map_takes_back_what_the_sale_gave(centre: RunningCentre) -> None:
    till = await centre.till()
    sold = bought(1)
    await till.sell(sold)
    publish(centre, BAGS)
    back = tuple(replace(line, amount_minor=-line.amount_minor) for line in sold.lines)

    await till.sell(returned(2, sold, lines=back))

    assert centre.points("m1") == 0


async def test_a_receipt_whose_map_cannot_be_opened_has_the_one_in_force(centre: RunningCentre) -> None:
    # Given a stored map whose bytes are damaged, and a batch in which one receipt names it
    till, in_force = await centre.till(), publish(centre, BAGS)
    hashed = "d" * 64
    centre.write(lambda c: c.execute(tables.item_maps.insert().values(hash=hashed, answer=b"no zstd frame")))
    sold = [bought(1), replace(bought(2), item_map=hashed), bought(3)]
    for one in sold:
        till.sale(one)

    # When it comes
    answered = await till.send(1)

    # Then all are taken, and it is mapped as one of a register without a map
    assert answered.acked_through == 3
    assert [outcome.code for outcome in answered.outcomes] == ["accepted"] * 3
    assert [kept(centre, one.key).item_map for one in sold] == [in_force] * 3


async def test_a_damaged_map_stops_no_receipt_and_is_shown_until_it_is_published_again(
    centre: RunningCentre,
) -> None:
    # given a map, another after it, and what the database keeps of the second damaged
    first, second = publish(centre, BAGS), publish(centre, NONE)
    table = tables.item_maps
    whole = centre.read(lambda c: item_maps.answer_of(c, second))
    assert whole is not None
    till = await centre.till()
    for number, damage in enumerate((b"", b"no frame", whole[:-3], compress_always(b"{}"), bytes(len(whole))), 1):
        centre.write(
            lambda c, damage=damage: c.execute(  # type: ignore[misc]
                table.update().where(table.c.hash == second).values(answer=damage)
            )
        )
        item_maps._ready.clear()  # as in a process that was just started

        # when a register without a map sends a receipt
        sold = bought(number)
        answered = await till.sell(sold)

        # then it is taken, mapped with the map before, and people are told what to do
        assert [outcome.code for outcome in answered.outcomes] == ["accepted"]
        assert kept(centre, sold.key) == mapped(sold, ItemMatcher(BAGS))
        assert kept(centre, sold.key).item_map == first
        told = centre.read(goods_page).problem
        assert f"{second[:12]}…, cannot be read" in told
        assert f"the one before, {first[:12]}…" in told

    # and publishing it again heals it, for registers too
    publish(centre, NONE)
    item_maps._ready.clear()
    assert centre.read(lambda c: item_maps.answer_of(c, second)) is not None
    assert centre.read(goods_page).problem == ""
    last = bought(9)
    await till.sell(last)
    assert kept(centre, last.key).item_map == second


async def test_where_no_map_can_be_read_receipts_count_as_they_are(centre: RunningCentre) -> None:
    hashed = publish(centre, BAGS)
    centre.write(lambda c: c.execute(tables.item_maps.update().values(answer=b"")))
    item_maps._ready.clear()
    till = await centre.till()

    sold = bought(1)
    await till.sell(sold)

    assert kept(centre, sold.key) == sold
    assert centre.read(item_maps.problem_in_force) is not None
    assert centre.read(item_maps.hash_in_force) == hashed
