"""A simulated chain of shops: what is sold where, from the morning until all is told.

Owns the traffic, drawn from one seed, and the truth about it: what was printed, and which card was on the page. What
goes wrong meanwhile is `tests.simulation.trouble`'s, what must have become of it all `tests.simulation.checker`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from loyalty.identity import identified
from loyalty.program import program_from_json
from loyalty.receipt import Line, Original, Receipt
from loyalty.reconcile import reconciled
from loyalty.voucher_codes import stamp_card_id
from sync.retry import Backoff
from sync.store.purge_rows import ERASURES_THROUGH
from tests.simulation.centre import SimulatedCentre
from tests.simulation.disk import Disk, SimulatedStore
from tests.simulation.histories import CLOSES_S, DAY_S, LOSE_A_DISK, Guest
from tests.simulation.network import FINE, Link, SimulatedClient
from tests.simulation.people import WITH_VOUCHERS, People, card_of
from tests.simulation.register import Machine, SimulatedRegister, number_of
from tests.simulation.trace import Trace
from tests.simulation.trouble import ALL_AT_ONCE, Trouble

OPENS: Final = datetime(2026, 11, 23, 7, tzinfo=UTC)
# Seconds between two customers of a register.
_CUSTOMER_S: Final = 1_500.0
_SCANS: Final = 3
_GOES_S: Final = 2.0
# How often one of a register's regulars comes.
_REGULAR: Final = 0.6
_NO_CARD: Final = 0.2
# How many join, and how many of those who are on the page tell something of themselves.
_JOINS: Final = 0.04
_TELLS: Final = 0.15
# How many of those who are on the page want a reward, and what it takes off; how many of these show a voucher.
_WANTS_ONE: Final = 0.5
_OFF_MINOR: Final = 100
_SHOWS: Final = 0.3
# How many of those who do show their own, where they have one; and how many of the others one that is new. A new one's
# code is in two hands: a friend shows it elsewhere within so many seconds.
_OWN: Final = 0.5
_NEW: Final = 0.6
_FRIEND_S: Final = 60.0
_LOOKS_S: Final = 1.0
# Under which name a store keeps which centre it told last (`sync.loop`).
_EPOCH_CENTRE: Final = "epoch_centre"
# Seconds between two looks of the centre at what it can set aside ahead.
_SETS_ASIDE_S: Final = 300.0

PROGRAM: Final = program_from_json(
    msgspec.json.encode(
        {
            "program": "simulated",
            "currency": "EUR",
            "time_zone": "Europe/Ljubljana",
            "tiers": [{"id": "gold", "multiplier": [3, 2]}],
            "earn": [
                {"id": "base", "priority": 1, "give": {"points": 1, "per_minor": 100}},
                {"id": "kept", "priority": 2, "give": {"points": 1, "per_minor": 700}, "pending": "P14D"},
            ],
            "rewards": [
                {"id": "treat", "cost": 10, "discount_minor": 100, "offline": "allowance"},
                {"id": "gift", "issued": True, "discount_minor": 100, "offline": "allowance"},
                {"id": "tea", "cost": 10, "discount_minor": 100, "offline": "floor", "floor_points": 5},
                {"id": "card", "stamps": "lines", "discount_minor": 100, "offline": "allowance"},
            ],
            "stamps": [{"id": "lines", "every": 8}],
            "returns": {"policy": "reverse"},
        }
    )
)


TREAT, GIFT, TEA, CARD = PROGRAM.rewards
# So many lines fill a card.
CARD_OF: Final = PROGRAM.stamps[0].every


@dataclass(frozen=True, slots=True, kw_only=True)
class Sold:
    """What a POS printed, once. `member` is who was on the page; with `unsure` nobody can say whether they were.

    `reward` is the id of the redemption whose discount the cashier keyed, `voucher` the id of what brought it.
    """

    receipt: Receipt
    register: str
    member: str | None
    unsure: bool
    returns: str | None = None
    reward: str | None = None
    voucher: str | None = None


@dataclass(slots=True, kw_only=True)
class Plan:
    """How large a run is, what is planted in it, and which `troubles` it has: all, if nothing else is said.

    With `calm` there is as much longer between two customers, two faults, two pieces of news.
    """

    seed: int
    registers: int = 50
    registers_in_store: int = 5
    hours: float = 10.0
    calm: float = 1.0
    store: type[SimulatedStore] = SimulatedStore
    centre: type[SimulatedCentre] = SimulatedCentre
    client: type[SimulatedClient] = SimulatedClient
    backoff: Backoff = field(default_factory=Backoff)
    drains_within_s: float = 2 * 3_600.0
    troubles: frozenset[str] = ALL_AT_ONCE


class Chain:
    """One run. Call `play` in a loop of virtual time, then ask what happened.

    `riddles` are the keys of entries that no centre can take in, with their registers.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.folder = folder
        self._chance = Random(plan.seed)
        loop = asyncio.get_running_loop()
        self._loop = loop
        self.began = loop.time()
        self.trace = Trace(lambda: loop.time() - self.began)
        self.centre = plan.centre(folder / "centre", clock=self.now, chance=self.own(), trace=self.trace)
        self.registers: list[SimulatedRegister] = []
        self.clones: list[SimulatedRegister] = []
        self.sold: list[Sold] = []
        self.riddles: dict[str, str] = {}
        self.returns_of_network: list[float] = []
        self.people = People()
        self._passed_on: list[str] = []
        self._going = asyncio.TaskGroup()
        self._numbers = 0
        self.disk_is_in = {name: asyncio.Event() for name in LOSE_A_DISK if name in plan.troubles}
        self._trouble = Trouble(self)

    def now(self) -> datetime:
        return OPENS + timedelta(seconds=self._loop.time() - self.began)

    def time(self) -> float:
        """Seconds, as the loop counts them."""
        return self._loop.time()

    def store_of(self, register: SimulatedRegister) -> str:
        return str(number_of(register) // self.plan.registers_in_store)

    def own(self) -> Random:
        """Everybody rolls their own dice, so that one more event here changes nothing there."""
        return Random(self._chance.getrandbits(64))

    async def play(self) -> None:
        self._set_up()
        for register in self.registers:
            register.start()
        ends = self._loop.time() + self.plan.hours * 3_600
        going = [self._serve(register, ends) for register in self.registers]
        going.append(self._setting_aside(ends))
        going += self._trouble.going(ends)
        async with self._going as tasks:
            for each in going:
                tasks.create_task(each)
        await self._heal()
        await self._drain()

    def _set_up(self) -> None:
        rows = [
            {"member": member, "identifiers": [{"kind": "card", "code": card_of(member)}]}
            | ({"tier": tier} if tier else {})
            for member, tier in self.people.tiers.items()
        ]
        self.centre.publish(PROGRAM)
        self.centre.import_members(msgspec.json.encode({"members": rows}))
        self.people.vouchers |= {member: self.issue(member) for member in WITH_VOUCHERS}
        for number in range(self.plan.registers):
            store = str(number // self.plan.registers_in_store)
            device = self.centre.enrol(store, str(number))
            disk = Disk(path=self.folder / f"r{number}.db", chance=self.own())
            machine = Machine(name=f"r{number}", device=device, disk=disk, link=Link(self.plan.calm))
            self.registers.append(self.register(machine))

    def register(self, machine: Machine) -> SimulatedRegister:
        client = self.plan.client(machine.link, self.centre, machine.device, self.own(), self.trace)
        return SimulatedRegister(
            machine,
            client=client,
            program_key=self.centre.program_key,
            now=self.now,
            chance=self.own(),
            trace=self.trace,
            open_store=self.plan.store,
            backoff=self.plan.backoff,
        )

    # ---- selling

    async def _serve(self, register: SimulatedRegister, ends: float) -> None:
        chance = self.own()
        while await self.comes_before(ends, _CUSTOMER_S, chance):
            if self.is_open():
                await self.customer(register, chance)

    async def comes_before(self, ends: float, every_s: float, chance: Random) -> bool:
        """Wait for what comes about so often; False once the run is at its end."""
        wait_s = chance.expovariate(1 / (every_s * self.plan.calm))
        await asyncio.sleep(min(wait_s, ends - self._loop.time()))
        return self._loop.time() < ends

    def is_open(self) -> bool:
        return (self._loop.time() - self.began) % DAY_S < CLOSES_S

    async def _setting_aside(self, ends: float) -> None:
        while self._loop.time() < ends:
            await asyncio.sleep(_SETS_ASIDE_S * self.plan.calm)
            if not self.centre.down:
                for register in self.registers:
                    if self.is_drained(register) and register.store and not register.store.reserved_redemptions():
                        self.centre.write_off(register.machine.device)
                self.centre.set_aside_ahead()

    async def customer(self, register: SimulatedRegister, chance: Random, guest: Guest | None = None) -> None:
        """One after the other at each register: whoever comes, or a certain guest, if they were not erased by then."""
        async with register.till:
            if guest and guest.member in self.people.erased:
                return
            await self._serve_one(register, chance, guest)
            await asyncio.sleep(_GOES_S)

    async def _serve_one(self, register: SimulatedRegister, chance: Random, guest: Guest | None) -> None:
        what = 1.0 if guest else chance.random()
        earlier = [sold for sold in self.sold if sold.returns is None and sold.receipt.status == "final"]
        if earlier and what < 0.06:
            self._return(register, chance.choice(earlier[-200:]))
            return
        if register.machine.spool and what < 0.10:
            self.trace.note(register.machine.name, "prints it again")
            register.print(register.machine.spool[-1].receipt)
            return
        disk = register.machine.disks
        member, unsure, code = await self._who(register, chance, guest)
        amounts = [chance.randint(50, 3_000) for _ in range(chance.randint(1, 6))]
        reward = voucher = None
        times = 1
        if member is not None and not unsure and sum(amounts) > _OFF_MINOR and (guest or chance.random() < _WANTS_ONE):
            voucher = guest.voucher if guest else self._voucher(register, member, chance)
            if voucher is None and sum(amounts) > 2 * _OFF_MINOR and self._numbers % 2:
                times = min(2, max(1, self.rewards_at(register, member)))
            reward = await self._reward(register, member, code, voucher, times)
        await asyncio.sleep(chance.uniform(1.0, 90.0))
        # What was on the page went with the disk, if that was put away meanwhile.
        unsure |= member is not None and register.machine.disks != disk
        receipt = self._receipt(register, amounts, times * _OFF_MINOR if reward is not None else 0)
        sold = Sold(receipt=receipt, register=register.machine.name, member=member, unsure=unsure)
        self._print(register, sold if reward is None else replace(sold, reward=reward, voucher=voucher))

    async def _who(
        self, register: SimulatedRegister, chance: Random, guest: Guest | None
    ) -> tuple[str | None, bool, str]:
        """Who is on the page, whether nobody can say if they are, and by which code.

        Some have joined just now, or tell something.
        """
        if guest:
            code = guest.code or card_of(guest.member)
            return *await self._card(register, guest.member, code), code
        if chance.random() < _NO_CARD:
            return None, False, ""
        comes: str | None = self.people.comes(number_of(register), chance, regular=chance.random() < _REGULAR)
        if chance.random() < _JOINS:
            comes = await self.people.join(register)
            self.trace.note(register.machine.name, f"joins {comes}")
        if comes is None:
            return None, False, ""
        code = chance.choice(self.people.codes[comes])
        member, unsure = await self._card(register, comes, code)
        if member is not None and not unsure and chance.random() < _TELLS:
            await self.people.tell(register, member, code, chance)
            self.trace.note(register.machine.name, f"told by {member}")
        return member, unsure, code

    async def _card(self, register: SimulatedRegister, member: str, code: str) -> tuple[str | None, bool]:
        """Scan a card until it is on the page, or give up."""
        unsure = False
        for _ in range(_SCANS):
            heard = await register.scan(code)
            if heard:
                self.trace.note(register.machine.name, f"shows {member}")
                return member, False
            unsure |= heard is None
            await asyncio.sleep(2.0)
        return member if unsure else None, unsure

    def say_who_is_one(self) -> None:
        """Whoever the centre takes for two members, since they joined twice, is one."""
        for name in self.people.codes.keys() - self.people.erased.keys():
            first, *others = (self.centre.member_of(code) for code in self.people.codes[name])
            for other in others:
                if first is not None and other not in (None, first):
                    self.centre.merge(str(other), first)

    def issue(self, member: str | None = None, *, uses: int = 1) -> str:
        """A new voucher, by its id."""
        return self.centre.issue(GIFT.id, member=member, uses=uses)

    def regular(self, register: SimulatedRegister, chance: Random) -> str:
        return self.people.comes(number_of(register), chance, regular=True)

    def rewards_at(self, register: SimulatedRegister, member: str) -> int:
        """How many rewards a register may give of a member's points without asking."""
        store = register.store
        known = store.member(member) if store is not None else None
        return 0 if store is None or known is None else store.standing(known, is_sure=True).safe // TREAT.points

    def lies_at(self, register: SimulatedRegister, voucher: str) -> bool:
        return register.store is not None and bool(register.store.leases(voucher))

    @staticmethod
    def _full_card(register: SimulatedRegister, code: str) -> str | None:
        """Whoever has this code as the register knows them, by the id of their full card."""
        known = register.store.member_by_code(code) if register.store is not None else None
        return stamp_card_id(known.member, CARD.id) if known is not None else None

    def _voucher(self, register: SimulatedRegister, member: str, chance: Random) -> str | None:
        """What they show, if anything: their own, or one for whoever shows it, which a friend knows of too."""
        if chance.random() >= _SHOWS:
            return None
        if member in self.people.vouchers and chance.random() < _OWN:
            return self.people.vouchers[member]
        if self._passed_on and chance.random() >= _NEW:
            return chance.choice(self._passed_on)
        self._passed_on.append(self.issue(uses=chance.choice((1, 1, 2))))
        others = [other for other in self.registers if other is not register]
        self._going.create_task(self._friend(chance.choice(others), self._passed_on[-1]))
        return self._passed_on[-1]

    async def _friend(self, register: SimulatedRegister, voucher: str) -> None:
        chance = self.own()
        await asyncio.sleep(chance.uniform(0.0, _FRIEND_S))
        await self.customer(register, chance, Guest(member=self.regular(register, chance), voucher=voucher))

    async def _reward(
        self, register: SimulatedRegister, member: str, code: str, voucher: str | None, times: int
    ) -> str | None:
        """Ask for the reward, so many at once; the id of what the page says is given, and the cashier keys.

        A register that has not heard of a further card of somebody's gives nothing to it.
        """
        self._numbers += 1
        sale = f"S{self._numbers}"
        card = self._full_card(register, code)
        if voucher is None and times == 1 and card is not None and self._numbers % 3 == 0:
            reward = await register.show(code, card, CARD, sale)
        elif voucher is None:
            reward = await register.redeem(code, TEA if self._numbers % 3 == 1 else TREAT, sale, times)
        else:
            reward = await register.show(code, voucher, GIFT, sale)
        shown = self.centre.vouchers[voucher].name if voucher is not None else ""
        self.trace.note(register.machine.name, f"rewards {member}: {reward} {shown} ")
        return reward

    def _return(self, register: SimulatedRegister, sold: Sold) -> None:
        """All of an earlier sale comes back, at this register, once."""
        if any(each.returns == sold.receipt.key for each in self.sold):
            return
        amounts = [-line.amount_minor for line in sold.receipt.lines]
        off_minor = -sum(discount.amount_minor for discount in sold.receipt.discounts)
        original = Original(number=sold.receipt.number, store=sold.receipt.store, register=sold.receipt.register)
        receipt = self._receipt(register, amounts, off_minor, kind="return", original=original)
        self._print(
            register,
            Sold(
                receipt=receipt,
                register=register.machine.name,
                member=None,
                unsure=False,
                returns=sold.receipt.key,
            ),
        )

    def _receipt(self, register: SimulatedRegister, amounts: list[int], off_minor: int = 0, **facts: object) -> Receipt:
        self._numbers += 1
        return identified(
            reconciled(
                msgspec.convert(
                    {
                        "key": "",
                        # The relay hears it on its way to the printer.
                        "source": "escpos",
                        "kind": "sale",
                        "store": self.store_of(register),
                        "register": str(number_of(register)),
                        "number": f"N{self._numbers}",
                        "business_day": self.now().date(),
                        "issued_at": self.now().replace(microsecond=0),
                        "currency": "EUR",
                        "total_minor": sum(amounts) - off_minor,
                        "discounts": ({"amount_minor": off_minor},) if off_minor else (),
                        "lines": tuple(
                            Line(position=place, amount_minor=amount) for place, amount in enumerate(amounts, 1)
                        ),
                    }
                    | facts,
                    Receipt,
                )
            ),
            b"",
        )

    def _print(self, register: SimulatedRegister, sold: Sold) -> None:
        self.sold.append(sold)
        self.trace.note(register.machine.name, f"prints {sold.receipt.number} {sold.receipt.total_minor} {sold.member}")
        register.print(sold.receipt)

    # ---- the end

    async def _heal(self) -> None:
        self.centre.down = self.centre.busy = False
        for register in (*self.registers, *self.clones):
            machine = register.machine
            machine.link.up, machine.link.fates = True, FINE
            machine.disk.full = machine.disk.failing = False
            machine.clock_off = timedelta()
            register.is_off = False
            register.start()

    async def _drain(self) -> None:
        """Until nobody has anything to tell; clones go first, and are put away."""
        try:
            async with asyncio.timeout(self.plan.drains_within_s):
                for clone in self.clones:
                    await self.until(clone, self.is_drained)
                    await clone.die()
                # Who was cut off since the centre was restored has to show first which of two machines it is.
                for _ in range(2):
                    for register in self.registers:
                        await self.until(register, self.is_drained)
                    self.centre.say_that_one_is_left()
                    self.centre.apply_again()
                    self.centre.say_that_times_are_right()
                    self.say_who_is_one()
                # What one of them asks for may still be news to another.
                while not all(map(self._is_level, self.registers)):
                    for register in self.registers:
                        await self.until(register, self._is_level)
        except TimeoutError:
            self.trace.note("chain", "not all is drained")  # what is missing is counted

    async def until(self, register: SimulatedRegister, so: Callable[[SimulatedRegister], bool]) -> None:
        while not so(register):
            register.look()
            await asyncio.sleep(_LOOKS_S)

    def is_drained(self, register: SimulatedRegister) -> bool:
        store = register.store
        if store is None or store.meta(_EPOCH_CENTRE) != self.centre.epoch or store.salvaging():
            return False
        return self.has_read(register) and store.queued() == 0

    def has_read(self, register: SimulatedRegister) -> bool:
        """Whether all is booked that was printed."""
        if register.store is None:
            return False
        taken = max(register.place(register.store), register.machine.taken)
        return taken == len(register.machine.spool)

    def _is_level(self, register: SimulatedRegister) -> bool:
        store = register.store
        if store is None or int(store.meta(ERASURES_THROUGH) or 0) < self.centre.erasures:
            return False
        return store.feed().position >= self.centre.news_of(register.machine.device)
