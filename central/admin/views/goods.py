"""What the goods are, and which nobody has said it of."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Connection

from central import item_maps, unmapped
from central.admin.views.shown import Zone
from loyalty.money import to_major

# Of each currency; the list to download has more.
GOODS_SHOWN = 50


class GoodsRow(Struct, frozen=True, kw_only=True):
    """Goods that the item map in force says nothing of."""

    name: str
    facts: str
    turnover: str
    lines: int
    last_seen: str


class GoodsPage(Struct, frozen=True, kw_only=True):
    """The item map in force, if one is, and what it says nothing of. `map_hash` is empty where there is none.

    `problem` says what to do where receipts are mapped with another one than was published last.
    """

    map_hash: str
    since: str
    entries: str
    problem: str
    rows: tuple[GoodsRow, ...]


def goods_page(connection: Connection) -> GoodsPage:
    """What goods are, and which nobody has said it of, by turnover."""
    zone = Zone(connection)
    in_force, matcher = item_maps.newest_publication(connection), item_maps.matcher_in_force(connection)
    rows = tuple(_goods_row(one, zone) for one in unmapped.report(connection, GOODS_SHOWN).unmapped)
    if in_force is None:
        return GoodsPage(map_hash="", since="", entries="", problem="", rows=rows)
    return GoodsPage(
        map_hash=in_force.hash,
        since=zone.text(in_force.published_at),
        entries=f"{len(matcher.item_map.items)} entries" if matcher is not None else "no entries",
        problem=item_maps.problem_in_force(connection) or "",
        rows=rows,
    )


def _goods_row(one: unmapped.UnmappedGoods, zone: Zone) -> GoodsRow:
    of = one.goods
    facts = (
        {} if of is None else {"SKU": of.sku, "GTIN": of.gtin, "tax": ", ".join(of.tax_labels), "dept.": of.department}
    )
    return GoodsRow(
        name=f"(all beyond {unmapped.MAX_GOODS} different goods)" if of is None else of.name or "–",
        facts="; ".join(f"{what} {value}" for what, value in facts.items() if value),
        turnover=f"{to_major(one.turnover_minor, one.currency)} {one.currency}",
        lines=one.lines,
        last_seen=zone.text(one.last_seen),
    )
