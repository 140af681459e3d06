"""What must be so after a run, worked out from what was printed and acknowledged alone.

Owns the expected points, by fractions, apart from every line of the product; and the invariants of `docs/protocol.md`.
Gives faults as sentences, each with what it is about, so that the history of that can be printed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any, Final

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection, Row, Table, select

from central import allowances, devices
from central.allowances import Drawn
from central.db import tables
from central.limits import OVER_LIMIT
from loyalty.entry_rules import is_spent
from loyalty.member import Member
from tests.simulation.centre import HOLDS_ALL
from tests.simulation.chain import CARD, CARD_OF, TEA, Chain, Sold
from tests.simulation.disk import SimulatedStore
from tests.simulation.register import number_of

# What is said of a reward that was given at a register which had not heard that a member was erased.
_OF_ERASED: Final = frozenset({"closed_allowance", "revoked_voucher"})
# What a centre that was restored says of a reward of which it hears before it hears of what allowed it.
_TOLD_EARLY: Final = frozenset({"unknown_allowance", "beyond_balance", "unknown_voucher", "beyond_uses"})
# Of all registers at most so many may come back within one second of a network's return.
_HERD_S: Final = 1.0
# So few meet by chance.
_FEW: Final = 10
_HERD: Final = Fraction(4, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that must not be. `about` is found in the history."""

    about: str
    what: str


def faults(chain: Chain) -> list[Fault]:
    return [
        *(*_receipts(chain), *_riddles(chain), *_points(chain), *_rewards(chain), *_spending(chain)),
        *(*_vouchers(chain), *_cards(chain), *_balances(chain), *_covered(chain)),
        *(*_people(chain), *_erased(chain), *_registers(chain), *_scopes(chain), *_marks(chain), *_herds(chain)),
    ]


def _rows(chain: Chain, table: Table) -> Sequence[Row[Any]]:
    return chain.centre.database.read_now(lambda connection: connection.execute(select(table)).all())


def _receipts(chain: Chain) -> Iterator[Fault]:
    """Every printed receipt is at the centre once, and nothing else is; what only waits is not lost, but held up."""
    held = Counter(row.number for row in _rows(chain, tables.receipts))
    printed = {str(sold.receipt.number) for sold in chain.sold}
    waiting = _waiting(chain)
    for number in sorted(printed - held.keys()):
        yield Fault(about=f"{number} ", what=f"receipt {number} is {waiting.get(number, 'lost')}")
    for number, count in sorted(held.items()):
        if count > 1 or number not in printed:
            yield Fault(about=f"{number} ", what=f"receipt {number} is there {count} times")


def _waiting(chain: Chain) -> dict[str, str]:
    """What registers have yet to tell the centre, by the keys of entries and the numbers of receipts."""
    waiting: dict[str, str] = {}
    for register in chain.registers:
        held_up = f"held up at {register.machine.name}"
        told = register.store.unacknowledged() if register.store is not None else {}
        for key, body in told.items():
            receipt = msgspec.json.decode(body).get("receipt")  # of a redemption it is a key
            number = receipt.get("number", key) if isinstance(receipt, dict) else key
            waiting |= {key: held_up, number: held_up}
    return waiting


def _riddles(chain: Chain) -> Iterator[Fault]:
    """What cannot be taken in waits for a person, whole; that it delays nothing shows where nothing is held up."""
    asked, waiting = Counter(row.key for row in _rows(chain, tables.quarantine) if row.raw), _waiting(chain)
    for key, name in chain.riddles.items():
        if not asked[key]:
            yield Fault(about=name, what=f"riddle {key} of {name} is {waiting.get(key, 'lost')}")


def _points(chain: Chain) -> Iterator[Fault]:
    """The ledger gives what the terms promise whoever was on the page, and takes it back when the goods come back."""
    given: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    means = _means(chain)
    for row in _rows(chain, tables.ledger):
        given[row.receipt][means.get(row.member, row.member), row.rule] += row.points
    of_key, ids = {sold.receipt.key: sold for sold in chain.sold}, _ids(chain)
    for sold in chain.sold:
        sale = of_key[sold.returns] if sold.returns else sold
        sign = -1 if sold.returns else 1
        found = +given[sold.receipt.key] if sign > 0 else -given[sold.receipt.key]
        promised = Counter(
            {
                (ids.get(sale.member or "", ""), rule): points
                for rule, points in _promised(chain, sale).items()
                if points
            }
        )
        if sold.returns:
            found = Counter({key: -points for key, points in given[sold.receipt.key].items()})
        if sale.reward is not None:
            # Whether it was given, and given back, is `_rewards`' to say.
            found = Counter({key: points for key, points in found.items() if not is_spent(key[1])})
        if found != promised and not (_is_unsure(chain, sale) and not found):
            number = sold.receipt.number
            yield Fault(about=f"{number} ", what=f"{number} gave {dict(found)}, promised {dict(promised)}")


def _ids(chain: Chain) -> dict[str, str]:
    """Whom the centre takes for whom: ids by the names that the simulation has for members."""
    owner = {row.code: row.member for row in _rows(chain, tables.identifiers)}
    known = {name: owner.get(codes[0]) or name for name, codes in chain.people.codes.items()}
    return known | {name: ids[0] for name, ids in chain.people.erased.items()}


def _means(chain: Chain) -> dict[str, str]:
    """Which id of a member means which other one."""
    return {row.alias: row.member for row in _rows(chain, tables.member_aliases)}


def _is_unsure(chain: Chain, sold: Sold) -> bool:
    """Whether nobody can say whose a sale has to be: nor of one whose member was erased before it was told."""
    return sold.unsure or sold.member in chain.people.erased


def _people(chain: Chain) -> Iterator[Fault]:
    """Who joined is there, and each code that a till said to keep names its member."""
    owner, ids = {row.code: row.member for row in _rows(chain, tables.identifiers)}, _ids(chain)
    rows = {row.member: msgspec.json.decode(row.row, type=Member) for row in _rows(chain, tables.feed) if row.row}
    for name in sorted(chain.people.codes.keys() - chain.people.erased):
        if ids[name] not in rows:
            yield Fault(about=name, what=f"{name} is lost")
            continue
        for code in chain.people.codes[name]:
            if owner.get(code) != ids[name]:
                yield Fault(about=name, what=f"code {code} of {name} is that of {owner.get(code)}")
        yield from _told(chain, name, rows[ids[name]])


def _told(chain: Chain, name: str, row: Member) -> Iterator[Fault]:
    """A note is one of those that were told. No permission stands that was taken back last."""
    shown = {one.channel: one.state for one in row.consents or ()} | {"note": row.note or ""}
    for (who, what), told in chain.people.told.items():
        if who != name or not told.values:
            continue
        found = shown.get(what, "")
        if found not in {*told.values, *told.maybe}:
            yield Fault(about=name, what=f"{what} of {name} is {found}, told were {told}")
        if found == "granted" and told.values[-1] == "withdrawn" and not told.maybe:
            yield Fault(about=name, what=f"{name} took back {what}, and it is granted")


def _erased(chain: Chain) -> Iterator[Fault]:
    """No register holds anything that tells of who was erased; and at the centre their codes name nobody."""
    named = {row.code for row in _rows(chain, tables.identifiers)}
    for member, ids in sorted(chain.people.erased.items()):
        for code in named.intersection(chain.people.codes[member]):
            yield Fault(about="centre", what=f"{code} of {member}, who was erased, names somebody at the centre")
        for register in chain.registers:
            store, name = register.store, register.machine.name
            if store is None:
                continue
            if any(map(store.member, ids)) or any(_names(store, code) for code in chain.people.codes[member]):
                yield Fault(about=name, what=f"{name} still knows {member}, who was erased")
            for code in chain.people.codes[member]:
                if places := store.places_of(code):
                    yield Fault(about=name, what=f"{name} still holds the card of {member} in {', '.join(places)}")


def _names(store: SimulatedStore, code: str) -> bool:
    """Whether a register knows somebody by a code; one that leads to a row which is gone is known, too."""
    try:
        return store.member_by_code(code) is not None
    except TypeError:
        return True


def _promised(chain: Chain, sale: Sold) -> dict[str, int]:
    if sale.member is None:
        return {}
    factor = Fraction(3, 2) if chain.people.tiers[sale.member] == "gold" else Fraction(1)
    total = Fraction(sale.receipt.total_minor)
    return {"base": int(total / 100 * factor), "kept": int(total / 700 * factor)}


def _rewards(chain: Chain) -> Iterator[Fault]:
    """Each discount that a cashier keyed took its points once, and gave them back with the goods; nothing else did."""
    rows = _rows(chain, tables.redemptions)
    told = {one.key: one for one in rows}
    taken: Counter[str] = Counter()
    for each in _rows(chain, tables.ledger):
        if is_spent(each.rule):
            taken[each.rule.split("/")[1]] -= each.points
    returned = {sold.returns for sold in chain.sold if sold.returns}
    given = {sold.reward: sold for sold in chain.sold if sold.reward}
    for reward, sold in given.items():
        number = f"{sold.receipt.number} "
        if (row := told.get(reward)) is None:
            if not _is_unsure(chain, sold):
                yield Fault(about=number, what=f"reward {reward} of {sold.receipt.number} is lost")
            continue
        due = 0 if sold.receipt.key in returned else row.points
        if taken[reward] != due:
            yield Fault(about=number, what=f"reward {reward} of {sold.receipt.number} took {taken[reward]}, not {due}")
    for reward in sorted(told.keys() - given.keys()):
        yield Fault(about=reward, what=f"reward {reward} was given to nobody")


def _spending(chain: Chain) -> Iterator[Fault]:
    """No register spent what was not set aside for it, and one disk that ran in two machines no more than twice that.

    A centre that was restored may hear of a reward before it hears of its allowance. It may hear of one that was given
    while the register was offline after its member was erased, or whose voucher it was.
    """
    twice = {clone.machine.device for clone in chain.clones}
    erased = {known_as for ids in chain.people.erased.values() for known_as in ids}
    theirs = {voucher for member, voucher in chain.people.vouchers.items() if member in chain.people.erased}
    rows = _rows(chain, tables.redemptions)
    drawn: Counter[str] = Counter()
    for row in rows:
        for one in msgspec.json.decode(row.drawn, type=tuple[Drawn, ...]):
            drawn[one.allowance] += one.points
        wrong = set(msgspec.json.decode(row.problems, type=tuple[str, ...])) - _TOLD_EARLY - {OVER_LIMIT}
        if row.member in erased or row.voucher in theirs:
            wrong -= _OF_ERASED
        if wrong and row.device not in twice:
            yield Fault(about=row.key, what=f"reward {row.key} overspent: {', '.join(sorted(wrong))}")
    for row in _rows(chain, tables.allowances):
        most = row.granted * (2 if row.device in twice else 1)
        if max(row.used, drawn[row.id]) + row.returned > most:
            yield Fault(about=row.member, what=f"allowance {row.id} was overspent: {drawn[row.id]} of {row.granted}")


def _vouchers(chain: Chain) -> Iterator[Fault]:
    """No voucher was given more often than it was issued for, but by one disk that ran in two machines.

    Nor can it be once more where somebody has what was given.
    """
    returned = {sold.returns for sold in chain.sold if sold.returns}
    twice = {f"{copy}{number_of(clone)}" for clone in chain.clones for copy in ("r", "cr")}
    given: defaultdict[str, list[Sold]] = defaultdict(list)
    for sold in chain.sold:
        if sold.voucher is not None and sold.receipt.key not in returned and not sold.unsure:
            given[sold.voucher].append(sold)
    for voucher, issued in chain.centre.vouchers.items():
        sales, uses = given[voucher], f"voucher {issued.name} of {issued.uses}"
        if any(sold.register in twice for sold in sales):
            continue
        if len(sales) > issued.uses:
            numbers = ", ".join(str(sold.receipt.number) for sold in sales)
            yield Fault(about=f" {issued.name} ", what=f"{uses} was given too often: {numbers}")
        held = chain.centre.database.read_now(partial(_held_of, voucher=voucher))
        if len(sales) + held > max(issued.uses, len(sales)):
            yield Fault(about=f" {issued.name} ", what=f"{uses} was given {len(sales)} times, and can be {held} more")


def _cards(chain: Chain) -> Iterator[Fault]:
    """No more full cards were given, or can be, than were filled, but by one disk that ran in two machines."""
    means, ids = _means(chain), _ids(chain)
    twice = {clone.machine.device for clone in chain.clones}
    lines, given, cards = Counter[str](), Counter[str](), defaultdict[str, set[str]](set)
    for sold in chain.sold:
        if sold.member is not None and sold.returns is None:
            lines[ids.get(sold.member, sold.member)] += len(sold.receipt.lines)
    returned = {sold.returns for sold in chain.sold if sold.returns}
    back = {sold.reward for sold in chain.sold if sold.reward and sold.receipt.key in returned}
    for row in _rows(chain, tables.redemptions):
        if row.reward == CARD.id and row.device not in twice:
            member = means.get(row.member, row.member)
            cards[member].add(row.voucher)
            given[member] += row.key not in back
    for member, some in sorted(cards.items()):
        held = sum(chain.centre.database.read_now(partial(_held_of, voucher=one)) for one in some)
        if given[member] + held > max(given[member], lines[member] // CARD_OF):
            what = f"{member} had {given[member]} full cards of {lines[member]} lines, and can have {held} more"
            yield Fault(about=member, what=what)
        if given[member] * CARD_OF > lines[member]:
            yield Fault(about=member, what=f"{member} was given {given[member]} full cards of {lines[member]} lines")


def _covered(chain: Chain) -> Iterator[Fault]:
    """Nobody spent more than they had, but for what goods that came back took of it, and what went by the balance."""
    means, ids, twice = _means(chain), _ids(chain), {clone.machine.device for clone in chain.clones}
    bound: Counter[str] = Counter()
    of_key = {sold.receipt.key: sold for sold in chain.sold}
    for sold in chain.sold:
        sale = of_key[sold.returns] if sold.returns else sold
        if sold.returns and sale.member is not None:
            bound[ids.get(sale.member, sale.member)] += sum(_promised(chain, sale).values())
    for row in _rows(chain, tables.redemptions):
        by_balance = row.points - sum(one.points for one in msgspec.json.decode(row.drawn, type=tuple[Drawn, ...]))
        if row.reward == TEA.id or row.device in twice:
            bound[means.get(row.member, row.member)] += row.points if row.device in twice else by_balance
    for row in _rows(chain, tables.balances):
        if row.member not in means and row.confirmed + bound[row.member] < 0:
            yield Fault(about=row.member, what=f"{row.member} overspent: {row.confirmed}, beyond {bound[row.member]}")


def _held_of(connection: Connection, voucher: str) -> int:
    """What registers may still give of it: what was set aside in an epoch that ended, none can."""
    live = devices.live_epochs(connection)
    rows = allowances.open_of_vouchers(connection, [voucher])
    return sum(allowances.left_of(row) for row in rows if (row.device, row.epoch) in live)


def _balances(chain: Chain) -> Iterator[Fault]:
    """What a member has is the sum of what the ledger gives them, but for what waits to confirm, or is set aside.

    By the one program of these runs: what `kept` gives waits longer than any run, and nothing expires.
    """
    confirmed, pending, aside = Counter[str](), Counter[str](), Counter[str]()
    means = _means(chain)
    for row in _rows(chain, tables.ledger):
        (pending if row.rule == "kept" else confirmed)[means.get(row.member, row.member)] += row.points
    for row in _rows(chain, tables.allowances):
        if row.state == "open" and row.voucher is None:
            aside[row.member] += row.granted - row.used - row.returned
    for row in _rows(chain, tables.balances):
        member = row.member
        found = (row.confirmed, row.pending, row.reserved)
        due = (confirmed[member], pending[member], aside[member])
        if found != due:
            yield Fault(about=member, what=f"the balance of {member} is {found}, its ledger gives {due}")


def _registers(chain: Chain) -> Iterator[Fault]:
    """Whoever has come as far as the centre holds what the centre holds for its store, each row as it is there.

    What is set aside for a register it shows as spendable there.
    """
    rows = {row.member: msgspec.json.decode(row.row, type=Member) for row in _rows(chain, tables.feed) if row.row}
    held: dict[str, set[str]] = defaultdict(set)
    for row in _rows(chain, tables.scope_members):
        if row.held:
            held[row.store].add(row.member)
    held[HOLDS_ALL] = set(rows)
    for register in chain.registers:
        name, store = register.machine.name, register.store
        if store is None:
            yield Fault(about=name, what=f"{name} did not come up")
            continue
        if store.salvaging():
            yield Fault(about=name, what=f"{name} still brings back what stands in a damaged file")
        there = held[chain.store_of(register)] & rows.keys()
        if store.count_members() != len(there):
            yield Fault(about=name, what=f"{name} holds {store.count_members()} members, its store {len(there)}")
        for member in sorted(there):
            if wrong := _unlike(store, rows[member]):
                yield Fault(about=name, what=f"{name} shows another {wrong} of {member}")


def _unlike(store: SimulatedStore, row: Member) -> str:
    """In which fields a register shows a member otherwise than the centre, but for as of when."""
    shown = store.member(row.member)
    if shown is None:
        return "nothing"
    standing = store.standing(row, is_sure=True)
    spendable = row.balance.spendable + sum(one.left for one in standing.allowances if one.epoch == standing.epoch)
    here = replace(row, balance=replace(row.balance, spendable=spendable), as_of=shown.as_of)
    return ", ".join(
        f"{field} ({getattr(shown, field)}, not {getattr(here, field)})"
        for field in Member.__struct_fields__
        if getattr(shown, field) != getattr(here, field)
    )


def _scopes(chain: Chain) -> Iterator[Fault]:
    """Whoever bought something at a store is held there."""
    held = {(row.store, row.member) for row in _rows(chain, tables.scope_members) if row.held}
    ids = _ids(chain)
    bought = {
        (str(sold.receipt.store), ids[sold.member])
        for sold in chain.sold
        if sold.member in ids and not _is_unsure(chain, sold)
    }
    for store, member in sorted(bought - held):
        yield Fault(about=member, what=f"{member} bought at store {store}, which does not hold them")


def _marks(chain: Chain) -> Iterator[Fault]:
    """What was acknowledged of an epoch never becomes less, and is nothing that was not sent; in the end it is all."""
    sent: dict[str, set[int]] = defaultdict(set)
    for register in (*chain.registers, *chain.clones):
        for epoch, first, size in register.client.sent:
            sent[epoch].update(range(first, first + size))
    for register in (*chain.registers, *chain.clones):
        name, reached = register.machine.name, Counter[tuple[str, str]]()
        for centre_epoch, epoch, mark in register.client.marks:
            if mark < reached[centre_epoch, epoch]:
                yield Fault(about=name, what=f"{name} heard of mark {mark} after {reached[centre_epoch, epoch]}")
            if not sent[epoch].issuperset(range(1, mark + 1)):
                yield Fault(about=name, what=f"{name} heard of mark {mark}, and not all of that was sent")
            reached[centre_epoch, epoch] = mark
    for register in chain.registers:
        store = register.store
        epoch_state = store.epoch() if store is not None else None
        if epoch_state is not None and epoch_state.acked_through != epoch_state.last_seq:
            yield Fault(about=register.machine.name, what=f"{register.machine.name} is acknowledged to {epoch_state}")


def _herds(chain: Chain) -> Iterator[Fault]:
    """After the network came back to all at once, they do not come back all at once."""
    for back in chain.returns_of_network:
        firsts = []
        for register in chain.registers:
            answered = register.client.answered
            place = bisect_left(answered, back)
            if place < len(answered):
                firsts.append(answered[place])
        firsts.sort()
        most = max((bisect_left(firsts, first + _HERD_S) - at for at, first in enumerate(firsts)), default=0)
        if most > max(_FEW, int(_HERD * len(chain.registers))):
            yield Fault(about="network", what=f"{most} of {len(firsts)} registers came back within a second")
