"""What goes wrong in every run of a simulated chain, however short: each a history that meets one kind of fault surely.

Owns these histories, so that what is planted is found in a run of its own history, and not where chance has it. What
goes wrong by chance besides is `tests.simulation.trouble`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any, Final

from sync.records import ConsentState
from tests.simulation.network import DEAF, FINE
from tests.simulation.people import card_of
from tests.simulation.register import SimulatedRegister, copied

if TYPE_CHECKING:
    from tests.simulation.chain import Chain, Sold

# Seconds after opening at which the shops close for the night, and registers are switched off.
CLOSES_S: Final = 14 * 3_600.0
DAY_S: Final = 24 * 3_600.0
# Seconds between two looks for what a history waits for.
_LOOKS_S: Final = 60.0
# So often a member buys where points are to be set aside for them, and so many rewards are enough.
_VISITS: Final = 12
_REWARDS: Final = 2
# So many customers come while a disk fails, or no answer is heard.
_MEANWHILE: Final = 6
# So slow is a clock whose battery is empty.
_BEHIND: Final = timedelta(days=3_650)
# Longer than a register takes to hear of a consent, if nothing goes wrong.
_HEARS_S: Final = 600.0
# Longer than anybody who took points back by time would wait.
_CUT_OFF_S: Final = 2_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """A member who surely comes and wants a reward, by a `voucher` if they have one; with a `code` that is not their
    first card.
    """

    member: str
    voucher: str | None = None
    code: str = ""


class History:
    """One history in one run, with dice of its own."""

    def __init__(self, chain: Chain, ends: float) -> None:
        self._chain = chain
        self._chance = chain.own()
        self._ends = ends

    # ---- what can be lost

    async def failing_disk(self) -> None:
        """A disk that fails now and then, while customers come."""
        await self._part_of_a_day(0.1, 0.7)
        await failing_disk(self._chain, self._any(), self._chance)

    async def riddles(self) -> None:
        """Among its sales a register tells some that the centre cannot take in."""
        await self._part_of_a_day(0.1, 0.7)
        while not await riddling(self._chain, self._any(), self._chance) and self._goes_on():
            pass

    async def deaf_line(self) -> None:
        """What a register sends comes through, and the answers are lost: it sends again."""
        await self._part_of_a_day(0.1, 0.7)
        register = self._any()
        self._chain.trace.note(register.machine.name, "hears no answer")
        register.machine.link.fates = DEAF
        for _ in range(_MEANWHILE):
            await self._chain.customer(register, self._chance)
            await asyncio.sleep(self._chance.uniform(60.0, 300.0))
        register.machine.link.fates = FINE

    async def blackout(self) -> None:
        """The power goes at all registers, just after they have taken something."""
        await self._part_of_a_day(0.7, 0.9)
        registers = list(self._chain.registers)
        async with asyncio.TaskGroup() as customers:
            for register in registers:
                customers.create_task(self._chain.customer(register, self._chance))
        self._chain.trace.note("power", "is gone")
        for register in registers:
            await register.die(power=True)
        await asyncio.sleep(self._chance.uniform(30.0, 900.0))
        self._chain.trace.note("power", "is back")
        for register in registers:
            register.start()

    async def damaged_disk(self) -> None:
        """The file of a register that sold without a network goes bad, and it sells on."""
        await self._part_of_a_day(0.1, 0.4)
        register = self._any()
        register.machine.link.cut()
        for _ in range(3):
            await self._chain.customer(register, self._chance)
        # What is reserved for a sale that is open goes with the file; so would who is on the page.
        async with register.till:
            await self._chain.until(register, self._chain.has_read)
            await register.die()
            register.machine.disk.go_bad()
            register.machine.disks += 1
            self._chain.trace.note(register.machine.name, "has a damaged file")
            register.start()
            # It may go bad once more before all came back.
            if self._chance.random() < 0.5:
                await asyncio.sleep(self._chance.uniform(0.0, 0.2))
                await register.die()
                register.machine.disk.go_bad()
                register.machine.disks += 1
                self._chain.trace.note(register.machine.name, "has a damaged file once more")
                register.start()
            self._chain.disk_is_in["damaged disk"].set()
        for _ in range(2):
            await self._chain.customer(register, self._chance)
        register.machine.link.up = True

    async def restored_centre(self) -> None:
        """In the second half of the run the centre loses its disk, and gets a backup of some time before."""
        left = self._ends - self._chain.time()
        await asyncio.sleep(left * self._chance.uniform(0.5, 0.6))
        # What went with a register's disk is with the centre alone: no backup may be without it.
        for disk_is_in in self._chain.disk_is_in.values():
            await disk_is_in.wait()
        backup = self._chain.folder / "backup of the centre"
        self._chain.centre.back_up(backup)
        until, register = self._chain.time() + left * self._chance.uniform(0.2, 0.3), self._any()
        await self._chain.customer(register, self._chance)
        await asyncio.sleep(until - self._chain.time())
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._ends):
                await self._chain.until(register, self._chain.is_drained)
        self._chain.centre.restore(backup)

    # ---- what can be given twice

    async def two_machines(self) -> None:
        """One disk runs in two machines for a while; one register gets an old copy of its disk."""
        chance = self._chance
        cloned, restored = chance.sample(self._chain.registers, 2)
        await self._part_of_a_day(0.1, 0.2)
        member = (await self._with_points(restored)).member
        # A card that is on the page of a disk which is copied would be on the page of both.
        async with cloned.till, restored.till:
            await cloned.die()
            await restored.die()
            folder, calm = self._chain.folder, self._chain.plan.calm
            clone = self._chain.register(copied(cloned.machine, folder / "clone.db", f"c{cloned.machine.name}", calm))
            backup = copied(restored.machine, folder / "backup.db", "backup", calm)
        self._chain.clones.append(clone)
        for register in (cloned, restored, clone):
            register.start()
        self._chain.trace.note(cloned.machine.name, "runs twice")
        for _ in range(4):
            await asyncio.sleep(chance.uniform(60.0, 600.0))
            await self._chain.customer(clone, chance)
            await self._chain.customer(restored, chance, Guest(member=member))
        # What is on the old disk alone would go with it, in a simulation as in a shop.
        await self._chain.until(restored, self._chain.is_drained)
        await restored.die()
        restored.machine.disk.path.write_bytes(backup.disk.path.read_bytes())
        restored.machine.disks += 1
        self._chain.trace.note(restored.machine.name, "gets an old disk")
        self._chain.disk_is_in["two machines"].set()
        restored.start()
        for _ in range(4):
            await asyncio.sleep(chance.uniform(30.0, 300.0))
            await self._chain.customer(restored, chance, Guest(member=member))

    async def cut_off(self) -> None:
        """A register is cut off that holds points and the voucher of a member; both are wanted elsewhere, and there."""
        register, other = self._chance.sample(self._chain.registers, 2)
        await self._part_of_a_day(0.1, 0.2)
        guest = await self._with_points(register)
        self._chain.trace.note(register.machine.name, f"is cut off with points of {guest.member}")
        register.machine.link.cut()
        await asyncio.sleep(_CUT_OFF_S)
        for till in (other, register):
            await self._chain.customer(till, self._chance, guest)
            await self._chain.customer(till, self._chance, Guest(member=guest.member))
        register.machine.link.up = True

    async def _with_points(self, register: SimulatedRegister) -> Guest:
        """A regular with a new voucher, who buys until the register holds that, and points for some rewards."""
        chain, chance = self._chain, self._chance
        member = chain.regular(register, chance)
        voucher = chain.issue(member)
        for _ in range(_VISITS):
            if chain.rewards_at(register, member) >= _REWARDS and chain.lies_at(register, voucher):
                break
            await chain.customer(register, chance, Guest(member=member))
            await asyncio.sleep(chance.uniform(60.0, 600.0) * chain.plan.calm)
        return Guest(member=member, voucher=voucher)

    # ---- what is not to be known

    async def erasure(self) -> None:
        """A member wants to be forgotten while a register that knows them is off."""
        await asyncio.sleep((self._ends - self._chain.time()) * self._chance.uniform(0.2, 0.7))
        while not (known := [sold for sold in self._chain.sold if _is_of_old(sold)]):
            await asyncio.sleep(_LOOKS_S)
            if not self._goes_on():
                return
        sold = self._chance.choice(known)
        register = next(one for one in self._chain.registers if one.machine.name == sold.register.lstrip("c"))
        await self._erased_while_off(str(sold.member), register)

    async def joined_twice(self) -> None:
        """Somebody joins at two registers that are cut off, and is two members until it shows, or a person says so.

        Then they want to be forgotten, while one of these is off, which has more to tell of them.
        """
        chain, (one, other) = self._chain, self._chance.sample(self._chain.registers, 2)
        await self._part_of_a_day(0.1, 0.3)
        for register in (one, other):
            register.machine.link.cut()
        name = await chain.people.join(one)
        code = await chain.people.join_again(other, name, phone=self._chance.random() < 0.5) if name else None
        if name is not None:
            chain.trace.note(one.machine.name, f"and {other.machine.name} have {name}, who joins")
            await chain.customer(one, self._chance, Guest(member=name))
            await chain.customer(other, self._chance, Guest(member=name, code=code or ""))
        for register in (one, other):
            register.machine.link.up = True
        for register in (one, other):
            await chain.until(register, chain.is_drained)
        chain.say_who_is_one()
        if name is None or code is None or chain.centre.member_of(code) is None:
            return
        other.machine.link.cut()
        await chain.customer(other, self._chance, Guest(member=name, code=code))
        await chain.people.tell(other, name, code, self._chance)
        await self._erased_while_off(name, other)
        other.machine.link.up = True

    async def taken_back(self) -> None:
        """A consent is taken back, and given anew; then taken back by a clock that is behind, unheard."""
        chain, chance = self._chain, self._chance
        one, other, behind = chance.sample(chain.registers, 3)
        await self._part_of_a_day(0.1, 0.3)
        member = chain.regular(one, chance)
        if member in chain.people.erased:
            return
        for register in (one, other, behind):
            await chain.customer(register, chance, Guest(member=member))
        await self._consents(one, member, "granted", (one, other, behind))
        chain.trace.note(behind.machine.name, f"is cut off, and behind, with the consent of {member}")
        behind.machine.link.cut()
        behind.machine.clock_off = -_BEHIND
        await asyncio.sleep(_LOOKS_S)
        await self._consents(other, member, "withdrawn", (one, other))
        await self._consents(one, member, "granted", (one, other))
        await self._consents(behind, member, "withdrawn", ())
        behind.machine.clock_off = timedelta()
        behind.machine.link.up = True

    async def _consents(
        self, register: SimulatedRegister, member: str, state: ConsentState, heard: Sequence[SimulatedRegister]
    ) -> None:
        """The member says so at a register, and the others hear of it where they can."""
        await self._chain.people.consent(register, member, card_of(member), state)
        self._chain.trace.note(register.machine.name, f"told by {member}: {state}")
        with suppress(TimeoutError):
            async with asyncio.timeout(_HEARS_S):
                for one in heard:
                    await self._chain.until(one, lambda each: each.shows_consent(card_of(member), state))

    async def _erased_while_off(self, name: str, register: SimulatedRegister) -> None:
        # A centre that was restored meanwhile may have to hear of them again.
        while self._chain.centre.member_of(card_of(name)) is None:
            await asyncio.sleep(_LOOKS_S)
            if not self._goes_on():
                return
        register.is_off = True
        await register.die(power=True)
        self._chain.people.erased[name] = self._chain.centre.erase(card_of(name))
        await asyncio.sleep(self._chance.uniform(300.0, 1_800.0))
        register.is_off = False
        register.start()

    # ---- when, and where

    async def _part_of_a_day(self, earliest: float, latest: float) -> None:
        """So far into the first day, or into a run that is shorter."""
        await asyncio.sleep(min(self._ends - self._chain.time(), CLOSES_S) * self._chance.uniform(earliest, latest))

    def _goes_on(self) -> bool:
        return self._chain.time() < self._ends

    def _any(self) -> SimulatedRegister:
        return self._chance.choice(self._chain.registers)


# Those that take something from a register which it told the centre.
LOSE_A_DISK: Final = ("two machines", "damaged disk")
HISTORIES: Final[dict[str, Callable[[History], Coroutine[Any, Any, None]]]] = {
    "two machines": History.two_machines,
    "restored centre": History.restored_centre,
    "erasure": History.erasure,
    "joined twice": History.joined_twice,
    "taken back": History.taken_back,
    "failing disk": History.failing_disk,
    "riddles": History.riddles,
    "deaf line": History.deaf_line,
    "blackout": History.blackout,
    "damaged disk": History.damaged_disk,
    "cut off": History.cut_off,
}


async def failing_disk(chain: Chain, register: SimulatedRegister, chance: Random) -> None:
    chain.trace.note(register.machine.name, "has a failing disk")
    register.machine.disk.failing = True
    for _ in range(_MEANWHILE):
        await asyncio.sleep(chance.uniform(30.0, 300.0))
        await chain.customer(register, chance)
    register.machine.disk.failing = False


async def riddling(chain: Chain, register: SimulatedRegister, chance: Random) -> bool:
    """Whether a register said that it keeps any of what no centre can take in."""
    told = False
    for _ in range(chance.randint(1, 4)):
        key = await register.riddle()
        chain.trace.note(register.machine.name, f"riddles {key}")
        if key is not None:
            told, chain.riddles[key] = True, register.machine.name
        await asyncio.sleep(chance.uniform(0.0, 900.0))
    return told


def _is_of_old(sold: Sold) -> bool:
    """Whether somebody bought who did not join at a till, and was surely on its page."""
    return sold.member is not None and sold.member.startswith("m") and not sold.unsure
