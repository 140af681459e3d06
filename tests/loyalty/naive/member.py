"""One member of the naive engine: receipts one after the other, and the entries that they give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from math import floor
from typing import Any

from tests.loyalty.naive.clock import bought_at, expiry, moment, moved, periods
from tests.loyalty.naive.goods import Json
from tests.loyalty.naive.returns import Sale, basis_of, least

NEVER = datetime.max.replace(tzinfo=UTC)
BEGINNING = datetime.min.replace(tzinfo=UTC)
# More than this no entry can hold: the receipt gives nothing at all.
TOO_MANY = 10**14
Goes = Callable[[Json], bool]


class NaiveMember:
    """`entries` are what receipts gave so far, in order; each says for which sale (`of`) and by which rule (`by`)."""

    def __init__(self, program: Json, member: Json | None = None) -> None:
        self.program = program
        self.zone: str = program.get("time_zone", "UTC")
        self.file = member or {"code": "new"}
        self.past: Json = self.file.get("counters", {})
        self.entries: list[Json] = []
        self.told: list[Json] = []
        self.seen: dict[str, Json] = {}
        self.sales: dict[str, Sale] = {}
        self.waiting: dict[str, Json] = {}
        self.took_back: set[str] = set()
        self.streaks: list[Json] = []
        self.cards: list[Json] = []

    def add(self, receipt: Json) -> None:
        status, known = receipt.get("status", "final"), self.seen.get(receipt["key"])
        if status == "copy" or (known and not comes_later(status, known.get("status", "final"))):
            return
        self.told.append(receipt)
        self.seen[receipt["key"]] = receipt
        if known and known.get("status", "final") == "final":
            self._void(receipt["key"], known)
        elif status == "final" and receipt["currency"] == self.program["currency"] and adds_up(receipt):
            self._settle(receipt)
            if any(entry["points"] > TOO_MANY for entry in self.entries):
                self._begin_again()

    def _begin_again(self) -> None:
        """As if the last receipt gave and took nothing."""
        again = NaiveMember(self.program, self.file)
        for receipt in [*self.told[:-1], {**self.told[-1], "status": "training"}]:
            again.add(receipt)
        vars(self).update(vars(again))

    def _settle(self, receipt: Json) -> None:
        sold, returned = parts_of(receipt)
        if returned:
            self._take_back(returned, "/returned" if sold else "")
        if sold:
            self._sell(sold)
            for key, waits in list(self.waiting.items()):
                if self._original_of(waits):
                    del self.waiting[key]
                    self._take_back(waits, "/returned" if key in self.sales else "")

    # what a sale gives

    def _sell(self, receipt: Json) -> None:
        at = bought_at(receipt, self.zone)
        member = {
            "tier": self.tier(at),
            "purchases": self.past.get("purchases", 0) + sum(not sale.voided for sale in self.sales.values()),
            "birth_month": self.past.get("birth_month"),
            "segments": self.past.get("segments", []),
        }
        sale = Sale(receipt, member, self.zone, [])
        given = [entry for rule in self._rules() if (entry := self._by_rule(sale, rule))]
        if self.program.get("conflict") == "best_per_group":
            given = best(given)
        self.sales[receipt["key"]] = sale
        self.entries += given
        for rule in self.program.get("visits", []):
            self._visit(sale, rule)
        for rule in self.program.get("stamps", []):
            self._stamp(sale, rule)

    def _rules(self) -> list[Json]:
        return sorted(self.program["earn"], key=lambda rule: (rule.get("priority", 0), rule["id"]))

    def _by_rule(self, sale: Sale, rule: Json) -> Json | None:
        basis, give = basis_of(rule, sale.asked()), rule["give"]
        if basis <= 0:
            return None
        if "per_minor" in give:
            times = next((tier.get("multiplier", [1, 1]) for tier in self._tiers(sale.member["tier"])), [1, 1])
            points = floor(basis * give["points"] * Fraction(*times) / give["per_minor"])
        else:
            points = once(give, basis)
        cap = rule.get("cap", {})
        points = min(points, cap.get("receipt", points))
        for name, period in periods(bought_at(sale.receipt, self.zone), self.zone).items():
            if name in cap:
                points = min(points, max(0, cap[name] - self._used(rule["id"], name, period)))
        return self._entry(sale, rule, points, basis) if points else None

    def _tiers(self, name: str | None) -> list[Json]:
        return [tier for tier in self.program.get("tiers", []) if tier["id"] == name]

    def _used(self, rule: str, name: str, period: str) -> int:
        used: int = self.past.get("used", {}).get(rule, {}).get(period, 0)
        of_period = [key for key, sale in self.sales.items() if self._periods(sale)[name] == period]
        entries = [entry for entry in self.entries if entry["by"] == rule and entry["of"] in of_period]
        return used + sum(int(entry["points"]) for entry in entries)

    def _periods(self, sale: Sale) -> dict[str, str]:
        return periods(bought_at(sale.receipt, self.zone), self.zone)

    def _entry(self, sale: Sale, rule: Json, points: int, basis: Fraction) -> Json:
        at = bought_at(sale.receipt, self.zone)
        return {
            "id": f"{sale.receipt['key']}/{rule['id']}",
            "receipt": sale.receipt["key"],
            "rule": rule["id"],
            "points": points,
            "basis": basis,
            "pending_until": moved(at, rule["pending"], self.zone) if at and "pending" in rule else None,
            "expires_at": expiry(at, rule["expires"], self.zone) if at and "expires" in rule else None,
            "reverses": None,
            "of": sale.receipt["key"],
            "by": rule["id"],
            "group": rule.get("group"),
        }

    # visits and stamps

    def _visit(self, sale: Sale, rule: Json) -> None:
        if bought_at(sale.receipt, self.zone) and sale.basis(visit_goods(rule)) > 0:
            visits = self._streak(rule)
            if visits:
                entry = self._entry(sale, rule, rule["give"]["points"], Fraction(0))
                self.entries.append(entry)
                self.streaks.append({"rule": rule["id"], "visits": visits, "entry": entry})

    def _visits(self, rule: Json) -> dict[str, datetime]:
        """All visits that still are some, by name."""
        told = [moment(at) for at in sorted(self.past.get("visits", {}).get(rule["id"], []))]
        by_day = rule.get("per") == "day"
        visits = {periods(at, self.zone)["day"] if by_day else f"earlier {at}": at for at in told}
        began = dict(visits)
        for sale in self.sales.values():
            at, goods = bought_at(sale.receipt, self.zone), visit_goods(rule)
            basis = sale.basis(goods)
            if at is None or basis <= 0:
                continue
            name = self._visit_name(sale, rule)
            began.setdefault(name, at)
            if sale.remains(goods, basis) > 0:
                visits[name] = began[name]
        return visits

    def _visit_name(self, sale: Sale, rule: Json) -> str:
        return self._periods(sale)["day"] if rule.get("per") == "day" else sale.receipt["key"]

    def _streak(self, rule: Json) -> list[str] | None:
        """The names of so many visits that gave nothing yet, near enough to one another, the earliest such."""
        used = {name for streak in self.streaks if streak["rule"] == rule["id"] for name in streak["visits"]}
        free = sorted((at, name) for name, at in self._visits(rule).items() if name not in used)
        for first in range(len(free) - rule["every"] + 1):
            some = free[first : first + rule["every"]]
            if some[-1][0] <= moved(some[0][0], rule["within"], self.zone):
                return [name for _, name in some]
        return None

    def _stamp(self, sale: Sale, rule: Json) -> None:
        full = self._full(rule)
        if full > 0:
            entry = self._entry(sale, rule, full * rule["give"]["points"], Fraction(0))
            self.entries.append(entry)
            self.cards.append({"rule": rule["id"], "full": full, "entry": entry})

    def _full(self, rule: Json) -> int:
        """How many cards are full that gave nothing yet; below nothing where some gave that are full no more."""
        goods, stamps = stamp_goods(rule), self.past.get("stamps", {}).get(rule["id"], 0)
        gave = sum(card["full"] for card in self.cards if card["rule"] == rule["id"]) + stamps // rule["every"]
        for sale in self.sales.values():
            stamps += floor(sale.remains(goods, sale.basis(goods)))
        return int(stamps // rule["every"] - gave)

    def _undo(self, were: list[set[str]], by: str, suffix: str, goes: Goes) -> list[Json]:
        """What visits (that `were` some before) and stamps that are none any more take with them, of what may go."""
        visits = zip(self.program.get("visits", []), were, strict=True)
        return [
            *(entry for rule, names in visits for entry in self._unvisit(names, rule, by, suffix, goes)),
            *(entry for rule in self.program.get("stamps", []) for entry in self._unstamp(rule, by, suffix, goes)),
        ]

    def _all_visits(self) -> list[set[str]]:
        return [set(self._visits(rule)) for rule in self.program.get("visits", [])]

    def _unvisit(self, were: set[str], rule: Json, by: str, suffix: str, goes: Goes) -> list[Json]:
        gone = were - set(self._visits(rule))
        for streak in [each for each in self.streaks if each["rule"] == rule["id"] and gone & {*each["visits"]}]:
            if goes(streak["entry"]):
                self.streaks.remove(streak)
                other = self._streak(rule)
                if other is None:
                    return [self._undone(streak["entry"], streak["entry"]["points"], by, f"{rule['id']}{suffix}")]
                self.streaks.append({**streak, "visits": other})
        return []

    def _unstamp(self, rule: Json, by: str, suffix: str, goes: Goes) -> list[Json]:
        taken: list[Json] = []
        while (over := -self._full(rule)) > 0:
            card = [card for card in self.cards if card["rule"] == rule["id"]][-1]
            gone = min(over, card["full"])
            card["full"] -= gone
            if not card["full"]:
                self.cards.remove(card)
            if goes(card["entry"]):
                name = f"{rule['id']}{suffix}" + (f"/{len(taken)}" if taken else "")
                taken.append(self._undone(card["entry"], gone * rule["give"]["points"], by, name))
        return taken

    def _undone(self, entry: Json, points: int, by: str, name: str) -> Json:
        return {**entry, "receipt": by, "rule": name, "points": -points, "reverses": entry["id"], "id": f"{by}/{name}"}

    # what is taken back

    def _take_back(self, receipt: Json, suffix: str) -> None:
        sale = self._original_of(receipt)
        if sale is None:
            self.waiting[receipt["key"]] = receipt
            return
        at = bought_at(receipt, self.zone)
        were = self._all_visits()
        sale.backs.append(receipt)
        taken = []
        for entry in self._given_by(sale):
            back = self._reversal(sale, entry, receipt["key"], suffix)
            if back and self._may_go(entry, at):
                taken.append(back)
        taken += self._undo(were, receipt["key"], suffix, lambda entry: self._may_go(entry, at))
        if self._policy() == "within_balance":
            balance = self.balance(at or BEGINNING)
            held = max(0, balance["spendable"] + balance["pending"])
            for back in taken:
                if (back["expires_at"] or NEVER) <= (at or BEGINNING):
                    continue
                back["points"] = max(back["points"], -held)
                held += back["points"]
        self.took_back.add(receipt["key"])
        self.entries += taken

    def _given_by(self, sale: Sale) -> list[Json]:
        rules = {rule["id"] for rule in self.program["earn"]}
        key = sale.receipt["key"]
        return [entry for entry in self.entries if entry["id"] == f"{key}/{entry['by']}" and entry["by"] in rules]

    def _reversal(self, sale: Sale, entry: Json, by: str, suffix: str) -> Json | None:
        rule = next(rule for rule in self.program["earn"] if rule["id"] == entry["by"])
        before = [each for each in self.entries if each["reverses"] == entry["id"]]
        left = sale.remains(rule, entry["basis"])
        returned = entry["basis"] - (left if left >= least(rule) else 0)
        if returned <= sum(each["basis"] for each in before):
            return None
        if "per_minor" in rule["give"]:
            target = floor(entry["points"] * returned / entry["basis"])
        else:
            remaining = entry["basis"] - returned
            target = entry["points"] - min(entry["points"], once(rule["give"], remaining) if remaining else 0)
        gone = -sum(each["points"] for each in before)
        points = max(target, gone) - gone
        back = self._undone(entry, points, by, f"{rule['id']}{suffix}")
        return {**back, "basis": returned - sum(each["basis"] for each in before)}

    def _policy(self) -> str:
        return self.program.get("returns", {}).get("policy", "reverse")  # type: ignore[no-any-return]

    def _may_go(self, entry: Json, at: datetime | None) -> bool:
        """Under `pending_only` matured points stay; of a return without any time nothing matured before it."""
        if self._policy() != "pending_only":
            return True
        return entry["pending_until"] is not None and (at is None or at < entry["pending_until"])

    def _void(self, key: str, known: Json) -> None:
        if key in self.took_back:
            self.seen[key] = known
            return
        self.waiting.pop(key, None)
        sale = self.sales.get(key)
        if sale is None:
            return
        were = self._all_visits()
        sale.voided = True
        taken = []
        for entry in self._given_by(sale):
            before = [each for each in self.entries if each["reverses"] == entry["id"]]
            left = entry["points"] + sum(each["points"] for each in before)
            if left:
                taken.append(self._undone(entry, left, key, f"{entry['by']}/voided"))
        self.entries += [*taken, *self._undo(were, key, "/voided", lambda _: True)]

    def _original_of(self, receipt: Json) -> Sale | None:
        original = receipt.get("original", {})
        found = [
            sale
            for key, sale in self.sales.items()
            if not sale.voided and self._names(original, key, sale.receipt) and same_currency(receipt, sale.receipt)
        ]
        return found[0] if len(found) == 1 else None

    def _names(self, original: Json, key: str, sale: Json) -> bool:
        if "key" in original:
            return bool(original["key"] == key)
        if "number" not in original or original["number"] != sale.get("number"):
            return False
        return all(original.get(fact, sale.get(fact)) == sale.get(fact) for fact in ("store", "register"))

    # where the member stands

    def tier(self, now: datetime | None) -> str | None:
        """The highest tier that was given by hand or whose threshold was met not longer ago than its grace."""
        tiers = self.program.get("tiers", [])
        reached = [tier["id"] for tier in tiers if "from" in tier]
        by_hand: str | None = self.file.get("tier")
        if by_hand in reached and "activity" in self.past:
            by_hand = None
        held = by_hand
        done = self._done() if now and reached else []
        for tier in tiers:
            if tier["id"] == by_hand or ("from" in tier and now and self._holds(tier, now, done)):
                held = tier["id"]
        return held

    def _holds(self, tier: Json, now: datetime, done: list[Json]) -> bool:
        if self._met(tier["from"], now, done):
            return True
        if "grace" not in tier:
            return False
        since = moved(now, tier["grace"], self.zone, -1)
        moments = [since, *(each["at"] for each in done if since < each["at"] <= now)]
        return any(self._met(tier["from"], at, done) for at in moments)

    def _met(self, threshold: Json, at: datetime, done: list[Json]) -> bool:
        measure = next(name for name in ("points_in", "spend_in", "visits_in") if name in threshold)
        since = moved(at, threshold[measure], self.zone, -1)
        fact = {"points_in": "points", "spend_in": "spent_minor", "visits_in": "visits"}[measure]
        total = sum(each.get(fact, 0) for each in done if since < each["at"] <= at)
        return bool(total >= threshold["at_least"])

    def _done(self) -> list[Json]:
        """What tiers are reached with: a receipt each."""
        done = [{**told, "at": moment(told["at"])} for told in self.past.get("activity", [])]
        points: Counter[str] = Counter()
        for entry in self.entries:
            points[entry["of"]] += entry["points"]
        for key, sale in self.sales.items():
            at = bought_at(sale.receipt, self.zone)
            if at is not None:
                spent = max(Fraction(0), sale.basket_left())
                done.append({"at": at, "spent_minor": spent, "visits": int(spent > 0), "points": points[key]})
        return done

    def balance(self, now: datetime) -> dict[str, int]:
        confirmed, pending, reserved = opening(self.file, now)
        for entry in self.entries:
            if (entry["expires_at"] or NEVER) <= now:
                continue
            if (entry["pending_until"] or BEGINNING) > now:
                pending += entry["points"]
            else:
                confirmed += entry["points"]
        return {"confirmed": confirmed, "pending": pending, "spendable": confirmed - reserved}


def opening(file: Json, now: datetime) -> tuple[int, int, int]:
    """Confirmed, pending and reserved points of a member file, as they are at `now`."""
    confirmed, pending = file.get("confirmed", 0), file.get("pending", 0)
    reserved = confirmed - file.get("spendable", confirmed)
    lots = sorted(file.get("counters", {}).get("lots", []), key=lambda lot: soon(lot, "expires_at", NEVER))
    spent = sum(lot["points"] for lot in lots if "pending_until" not in lot) - confirmed
    for lot in lots:
        points = lot["points"]
        if "pending_until" not in lot and spent > 0:
            points -= min(spent, lot["points"])
            spent -= lot["points"] - points
        is_gone = soon(lot, "expires_at", NEVER) <= now
        if "pending_until" in lot and (is_gone or moment(lot["pending_until"]) <= now):
            pending, confirmed = pending - points, confirmed + points
        confirmed -= points if is_gone else 0
    return confirmed, pending, reserved


def soon(lot: Json, name: str, otherwise: datetime) -> datetime:
    return moment(lot[name]) if name in lot else otherwise


def visit_goods(rule: Json) -> Json:
    return {"id": rule["id"], "when": rule.get("when", {})}


def stamp_goods(rule: Json) -> Json:
    return {"id": rule["id"], "when": rule.get("when", {}), "basis": {"scope": "quantity"}}


def once(give: Json, basis: Fraction) -> int:
    """What is given once, or for the highest bracket."""
    if "brackets" not in give:
        return give["points"]  # type: ignore[no-any-return]
    reached = [points for threshold, points in give["brackets"] if basis >= threshold]
    return reached[-1] if reached else 0


def best(entries: list[Json]) -> list[Json]:
    """Of each group the entry with the most points, the first of equals."""
    kept = []
    for entry in entries:
        rivals = [each for each in entries if each["group"] is not None and each["group"] == entry["group"]]
        if not rivals or entry is max(rivals, key=lambda rival: rival["points"]):
            kept.append(entry)
    return kept


def comes_later(status: str, known: str) -> bool:
    stages = {"suspended": 1, "final": 2, "voided": 3}
    return stages.get(status, 0) > stages.get(known, 0)


def adds_up(receipt: Json) -> bool:
    return not any(problem["code"] in {"total_mismatch", "currency_unknown"} for problem in receipt.get("problems", []))


def same_currency(one: Json, other: Json) -> bool:
    return bool(one["currency"] == other["currency"])


def parts_of(receipt: Json) -> tuple[Json | None, Json | None]:
    """The sale and the return in a receipt: an exchange is both."""
    if receipt["kind"] != "exchange":
        return (receipt, None) if receipt["kind"] == "sale" else (None, receipt)
    if not receipt.get("lines"):
        is_sale = receipt["total_minor"] >= 0
        return (receipt, None) if is_sale else (None, receipt)
    sold, returned = part_of(receipt, 1), part_of(receipt, -1)
    return sold if sold["lines"] else None, returned if returned["lines"] else None


def part_of(receipt: Json, sign: int) -> Json:
    def those(name: str) -> list[Any]:
        return [each for each in receipt.get(name, []) if each["amount_minor"] * sign > 0 and not each.get("voided")]

    lines, discounts, taxes = those("lines"), those("discounts"), those("taxes")
    total = sum(line["amount_minor"] for line in lines) - sum(discount["amount_minor"] for discount in discounts)
    total += sum(tax["amount_minor"] for tax in taxes if not tax.get("included", True))
    parts = {"lines": lines, "discounts": discounts, "taxes": taxes, "tenders": those("tenders")}
    return {**receipt, **parts, "total_minor": total}
