"""Programs, members and receipts made at random, as JSON: everything that a program may say, in any mixture.

Not for reading but for holding engines against one another: the rules make no sense, and neither do the sales.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

Json = dict[str, Any]
# Around the night in which clocks go back in Europe and the one in New York; most sales are within a few weeks.
FIRST = datetime.fromisoformat("2026-10-10T00:00:00+00:00")
ZONES = ("UTC", "Europe/Ljubljana", "America/New_York", "Asia/Kolkata")
STORES = ("12", "13")
SEGMENTS = ("staff", "vip")
GOODS: tuple[Json, ...] = (
    {"sku": "A", "description": "Apples", "tags": ["bio", "fruit"], "tax_labels": ["B"]},
    {"sku": "B", "description": "Bread", "tags": ["bio"], "tax_labels": ["B"]},
    {"sku": "C", "description": "Coffee", "tags": ["coffee"], "tax_labels": ["A"], "gtin": "0096385074"},
    {"sku": "D", "mapped": {"category": "tools", "tags": ["heavy"]}, "tax_labels": ["A"]},
    {"sku": "E", "description": "Cigarettes", "tags": ["tobacco"]},
    {"description": "Nails"},
    {"tags": ["loose"]},
    {},
)
KINDS = ("deposit", "giftcard", "tip", "fee", "donation")
TAGS = ("bio", "fruit", "coffee", "heavy", "tobacco", "loose")


def made_program(random: Random) -> Json:
    program = {
        "program": "made",
        "currency": "EUR",
        "time_zone": random.choice(ZONES),
        "tiers": _tiers(random),
        "earn": [_earn_rule(random, number) for number in range(random.randint(0, 4))],
        "conflict": random.choice(("sum", "best_per_group")),
        "returns": {"policy": random.choice(("reverse", "reverse", "within_balance", "pending_only"))},
    }
    if random.random() < 0.4:
        program["visits"] = [_visits(random, number) for number in range(random.randint(1, 2))]
    if random.random() < 0.4:
        program["stamps"] = [_stamps(random, number) for number in range(random.randint(1, 2))]
    return program


def _tiers(random: Random) -> list[Json]:
    if random.random() < 0.4:
        return []
    measure = random.choice(("points_in", "spend_in", "visits_in"))
    window, least = random.choice(("P3D", "P1M", "P1Y")), random.randint(1, 4)
    size = {"points_in": 60, "spend_in": 900, "visits_in": 1}[measure]
    tiers: list[Json] = [
        {"id": "silver", "from": {measure: window, "at_least": least * size}},
        {"id": "gold", "from": {measure: window, "at_least": (least + random.randint(1, 3)) * size}},
        {"id": "hand"},
    ]
    for tier in tiers:
        if random.random() < 0.7:
            tier["multiplier"] = [random.randint(1, 5), random.randint(1, 3)]
        if "from" in tier and random.random() < 0.5:
            tier["grace"] = random.choice(("P2D", "P1M", "PT12H"))
    kept = random.sample(range(3), random.randint(1, 3))
    return [tier for place, tier in enumerate(tiers) if place in kept]


def _earn_rule(random: Random, number: int) -> Json:
    rule: Json = {"id": f"earn-{number}", "give": _give(random), **_times(random)}
    if random.random() < 0.3:
        rule["priority"] = random.randint(-2, 2)
    if random.random() < 0.5:
        rule["group"] = random.choice("ab")
    if random.random() < 0.6:
        rule["when"] = made_condition(random)
    if random.random() < 0.5:
        rule["basis"] = _basis(random)
    if random.random() < 0.2:
        rule["min_basis_minor"] = random.choice((1, 2, 400, 1000))
    if random.random() < 0.4:
        periods = random.sample(("receipt", "day", "month", "member"), random.randint(1, 3))
        rule["cap"] = {period: random.randint(1, 150) for period in periods}
    return rule


def _give(random: Random) -> Json:
    kind = random.random()
    if kind < 0.55:
        return {"points": random.randint(1, 9), "per_minor": random.choice((1, 7, 50, 100, 130))}
    if kind < 0.75:
        return {"points": random.randint(1, 60)}
    thresholds = sorted(random.sample((1, 2, 300, 700, 1000, 2000, 4000), random.randint(1, 3)))
    return {"brackets": [[threshold, random.randint(1, 90)] for threshold in thresholds]}


def _times(random: Random) -> Json:
    times = {}
    if random.random() < 0.4:
        times["pending"] = random.choice(("P1D", "P14D", "PT1H", "PT36H", "P1M", "P1MT1H"))
    if random.random() < 0.4:
        times["expires"] = random.choice(("P2D", "P1M", "P1M/end-of-month", "P1Y/end-of-year", "2026-11-10", "PT30M"))
    return times


def _basis(random: Random) -> Json:
    basis: Json = {"scope": random.choice(("receipt", "lines", "quantity"))}
    if random.random() < 0.4:
        basis["exclude_tags"] = random.sample(TAGS, random.randint(1, 2))
    if random.random() < 0.4:
        basis["tax"] = random.choice(("included", "excluded"))
    if random.random() < 0.4:
        basis["after_discount"] = random.random() < 0.5
    if random.random() < 0.4:
        basis["less_points_paid"] = random.random() < 0.5
    return basis


def made_condition(random: Random, depth: int = 2) -> Json:
    if depth and random.random() < 0.3:
        kind = random.choice(("all", "any", "not"))
        inner = [made_condition(random, depth - 1) for _ in range(random.randint(1, 2))]
        return {kind: inner[0] if kind == "not" else inner}
    asked: Json = {
        "tier_in": [random.choice(("silver", "gold", "hand"))],
        "weekday_in": random.sample(range(1, 8), 4),
        "time_in": [random.choice((["06:00", "13:00"], ["22:00", "02:30"], ["00:00", "24:00"]))],
        "store_in": [random.choice(STORES)],
        "channel_in": ["escpos"],
        "entry_in": ["scanned"],
        "segment_in": [random.choice(SEGMENTS)],
        "first_purchase": random.random() < 0.7,
        "birthday_month": random.random() < 0.7,
        "min_basket_minor": random.choice((300, 700, 1500)),
        "line_tag_in": random.sample(TAGS, random.randint(1, 3)),
        "sku_in": random.sample("ABCDE", 2),
        "gtin_in": ["96385074"],
        "category_in": ["tools"],
        "line_kind_in": random.sample(("goods", *KINDS), 2),
        "min_line_minor": random.choice((200, 500)),
        "min_line_quantity": random.choice((1, 2)),
    }
    return {key: asked[key] for key in random.sample(list(asked), random.choice((1, 1, 2)))}


def _visits(random: Random, number: int) -> Json:
    rule = {
        "id": f"visits-{number}",
        "every": random.randint(1, 4),
        "within": random.choice(("P1D", "P7D", "P1M", "PT20H")),
        "per": random.choice(("receipt", "day")),
        "give": {"points": random.randint(1, 200)},
        **_times(random),
    }
    return rule | ({"when": made_condition(random)} if random.random() < 0.5 else {})


def _stamps(random: Random, number: int) -> Json:
    rule = {"id": f"stamps-{number}", "every": random.randint(1, 5), "give": {"points": random.randint(1, 200)}}
    return rule | _times(random) | ({"when": made_condition(random)} if random.random() < 0.5 else {})


def made_member(random: Random, program: Json) -> Json:
    """A member file that tells more or less of a member's past."""
    counters: Json = {}
    if random.random() < 0.7:
        counters["birth_month"] = random.choice((10, 11, 12))
    if random.random() < 0.5:
        counters["segments"] = random.sample(SEGMENTS, random.randint(0, 2))
    if random.random() < 0.3:
        counters["purchases"] = random.randint(0, 2)
    if random.random() < 0.3:
        counters["used"] = {"earn-0": {"2026-10": random.randint(0, 90), "member": random.randint(0, 90)}}
    if random.random() < 0.3:
        past = [FIRST - timedelta(days=random.randint(0, 40)) for _ in range(random.randint(0, 3))]
        counters["activity"] = [
            {"at": at.isoformat(), "points": random.randint(0, 90), "spent_minor": random.randint(0, 900), "visits": 1}
            for at in past
        ]
    if random.random() < 0.3:
        counters["stamps"] = {rule["id"]: random.randint(0, 9) for rule in program.get("stamps", [])}
    if random.random() < 0.3:
        at = (FIRST - timedelta(hours=random.randint(1, 40))).isoformat()
        counters["visits"] = {rule["id"]: [at] for rule in program.get("visits", [])}
    if random.random() < 0.3:
        counters["lots"] = [
            {"points": 40, "expires_at": (FIRST + timedelta(days=random.randint(0, 40))).isoformat()},
            {"points": 30, "pending_until": (FIRST + timedelta(days=random.randint(0, 40))).isoformat()},
            {"points": random.randint(1, 50)},
        ]
    member: Json = {"code": "1", "confirmed": random.choice((0, 60, 100)), "pending": 30 if "lots" in counters else 0}
    if random.random() < 0.3:
        member["tier"] = random.choice(("silver", "gold", "hand"))
    return member | {"counters": counters}


def made_receipts(random: Random, zone: str, count: int) -> list[Json]:
    """So many sales, with returns, exchanges and voidings that go with some of them, in the order of their times."""
    sales = [_sale(random, zone, number) for number in range(count)]
    receipts = list(sales)
    for sale in sales:
        steps = range(random.choice((0, 0, 1, 1, 2, 3)))
        receipts += [made_return(random, sale, f"{sale['key']}-back-{step}") for step in steps]
        if random.random() < 0.08:
            receipts.append(sale | {"status": "voided"})
        if random.random() < 0.05:
            receipts.append(sale)
    for number in range(count // 4):
        receipts += [_exchange(random, zone, f"exchange-{number}", random.choice(sales))]
    return sorted(receipts, key=lambda receipt: (_at(receipt), receipt["key"]))


def made_sales(random: Random, zone: str, count: int) -> list[Json]:
    """Sales that come to something, so that all of each can come back."""
    sales: list[Json] = []
    while len(sales) < count:
        sale = _sale(random, zone, len(sales))
        if sale["total_minor"] > 0 and sale["lines"] and "problems" not in sale:
            sales.append(sale | {"currency": "EUR"})
    return sales


def returns_of_all(random: Random, sale: Json) -> list[Json]:
    """Some steps in which all of a sale comes back, to the last minor unit."""
    backs = [made_return(random, sale, f"{sale['key']}-back-{step}") for step in range(random.randint(0, 3))]
    backs = [back | {"original": {"key": sale["key"]}} for back in backs if back["total_minor"] < 0]
    left = sale["total_minor"] + sum(back["total_minor"] for back in backs)
    at = (_at(sale) + timedelta(minutes=random.randint(0, 40_000))).isoformat()
    rest = {"key": f"{sale['key']}-rest", "kind": "return", "currency": "EUR", "total_minor": min(0, -left)}
    return [*backs, rest | {"issued_at": at, "original": {"key": sale["key"]}}]


def _at(receipt: Json) -> datetime:
    return datetime.fromisoformat(receipt["issued_at"]) if "issued_at" in receipt else FIRST


def _sale(random: Random, zone: str, number: int) -> Json:
    at = FIRST + timedelta(minutes=random.randint(0, 40 * 24 * 60))
    if random.random() < 0.1:  # the hour that comes twice
        at = datetime.fromisoformat("2026-10-25T00:00:00+00:00") + timedelta(minutes=random.randint(0, 119))
    lines = [_line(random, place) for place in range(1, random.randint(1, 5))]
    receipt: Json = {
        "key": f"sale-{number}",
        "kind": "sale",
        "number": f"{number}",
        "issued_at": at.astimezone(ZoneInfo(zone)).isoformat(),
        "store": random.choice(STORES),
        "source": random.choice(("escpos", "poslog")),
        "currency": "EUR" if random.random() < 0.97 else "CHF",
        "member": {"code": "1", "kind": "card", "entry": random.choice(("scanned", "typed"))},
        "lines": lines,
    }
    if random.random() < 0.02:
        del receipt["issued_at"]
        receipt |= random.choice(({}, {"business_day": "2026-10-25"}, {"captured_at": at.isoformat()}))
    if random.random() < 0.03:
        receipt["problems"] = [{"code": "total_mismatch"}]
    return _summed(random, receipt, 1)


def _line(random: Random, place: int) -> Json:
    line: Json = {
        "position": place,
        **random.choice(GOODS),
        "amount_minor": random.choice((1, 99, 250, 500, 640, 1999)),
    }
    if random.random() < 0.15:
        line["kind"] = random.choice(KINDS)
    if random.random() < 0.5:
        line["quantity"] = random.choice(("1", "2", "3.000", "0.7505", "1.25"))
    if random.random() < 0.2:
        line["discount_minor"] = random.randint(1, 90)
    if random.random() < 0.05:
        line["voided"] = True
    if random.random() < 0.05:
        line["amount_minor"] = -random.randint(1, 60)
    return line


def _summed(random: Random, receipt: Json, sign: int) -> Json:
    """With discounts, taxes and payments, and the total that comes of it."""
    goods = sum(line["amount_minor"] for line in receipt["lines"] if not line.get("voided"))
    discount = sign * random.randint(1, 120) if random.random() < 0.3 else 0
    taxes: list[Json] = []
    if random.random() < 0.5:
        taxes.append({"label": "A", "amount_minor": goods // 6})
    if random.random() < 0.2:
        taxes.append(
            {"label": random.choice(("B", "C")), "amount_minor": goods // 9, "included": random.random() < 0.5}
        )
    extra = sum(tax["amount_minor"] for tax in taxes if not tax.get("included", True))
    total = goods - discount + extra if receipt["lines"] else sign * random.randint(1, 3000)
    receipt |= {"total_minor": total, "taxes": taxes}
    if discount:
        receipt["discounts"] = [{"amount_minor": discount}]
    if random.random() < 0.2:
        points = total // 3
        receipt["tenders"] = [
            {"kind": "points", "amount_minor": points},
            {"kind": "cash", "amount_minor": total - points},
        ]
    return receipt


def made_return(random: Random, sale: Json, key: str) -> Json:
    """Some of a sale, all of it, or a bit more."""
    at = _at(sale) + timedelta(minutes=random.choice((0, 5, 600, 3_000, 30_000)))
    original = {"key": sale["key"]} if random.random() < 0.6 else {"number": sale["number"]}
    if random.random() < 0.03:
        original = {"number": "unknown"}
    receipt: Json = {
        "key": key,
        "kind": "return",
        "number": f"r-{key}",
        "issued_at": at.isoformat(),
        "store": random.choice(STORES),
        "currency": sale["currency"],
        "lines": [_back(random, line) for line in sale["lines"] if random.random() < 0.6],
        "original": original,
    }
    if random.random() < 0.02:
        del receipt["issued_at"]
    if random.random() < 0.2:  # the whole, to the last minor unit
        return receipt | {"lines": [_turned(line) for line in sale["lines"]], "total_minor": -sale["total_minor"]}
    if random.random() < 0.1:
        return _summed(random, receipt | {"lines": []}, -1)
    return _summed(random, receipt, -1) if receipt["lines"] else receipt | {"total_minor": 0}


def _turned(line: Json) -> Json:
    return line | {"amount_minor": -line["amount_minor"]}


def _back(random: Random, line: Json) -> Json:
    back = _turned(line)
    if random.random() < 0.5:
        back["amount_minor"] = -(line["amount_minor"] // random.choice((2, 3)))
        back["quantity"] = random.choice(("1", "0.5"))
    return {name: value for name, value in back.items() if name != "tags" or random.random() < 0.5}


def _exchange(random: Random, zone: str, key: str, sale: Json) -> Json:
    lines = [_back(random, line) for line in sale["lines"] if random.random() < 0.7]
    lines += [_line(random, place) for place in range(10, 10 + random.randint(0, 2))]
    at = _at(sale) + timedelta(minutes=random.randint(0, 9_000))
    receipt: Json = {
        "key": key,
        "kind": "exchange",
        "number": f"x-{key}",
        "issued_at": at.astimezone(ZoneInfo(zone)).isoformat(),
        "currency": "EUR",
        "lines": lines,
        "original": {"key": sale["key"]},
    }
    return _summed(random, receipt, random.choice((1, -1)))
