"""What goes wrong in a simulated chain, and when: at each register, at the centre, with disks.

Owns the faults, drawn from the chain's seed. What is sold meanwhile is `tests.simulation.chain`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any, Final

from tests.simulation.register import SimulatedRegister, copied

if TYPE_CHECKING:
    from tests.simulation.chain import Chain, Sold

# Seconds after opening at which the shops close for the night, and registers are switched off.
CLOSES_S: Final = 14 * 3_600.0
DAY_S: Final = 24 * 3_600.0
# Seconds between two things that go wrong at a register, and at the centre.
_FAULT_S: Final = 5_400.0
_CENTRE_FAULT_S: Final = 7_200.0
# Seconds between two looks for a member to be erased whom a register knows.
_KNOWN_S: Final = 60.0
_SOON_S: Final = 7_200.0
_YEARS_S: Final = 10 * 366 * DAY_S


class Trouble:
    """All that can go wrong, at once."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._old_disk_is_in = asyncio.Event()

    def all_at_once(self, ends: float) -> list[Coroutine[Any, Any, None]]:
        registers = self._chain.registers
        return [
            *(self._trouble(register, ends) for register in registers),
            *(self._night(register, ends) for register in registers),
            *(self._centre_trouble(ends), self._clone_and_restore(ends), self._restored_centre(ends)),
            *(self._erasing(ends), self._failing_disk(ends)),
        ]

    async def _night(self, register: SimulatedRegister, ends: float) -> None:
        """Whoever closes the shop switches the register off, whatever it is doing."""
        chance = self._chain.own()
        night = self._chain.began + CLOSES_S
        while night < ends:
            await asyncio.sleep(night + chance.uniform(0.0, 900.0) - self._chain.time())
            await register.die(power=True)
            register.is_off = True
            night += DAY_S
            morning = night - CLOSES_S - chance.uniform(0.0, 900.0)
            await asyncio.sleep(min(morning, ends) - self._chain.time())
            register.is_off = False
            register.start()

    async def _trouble(self, register: SimulatedRegister, ends: float) -> None:
        """One thing after the other goes wrong at a register, and is mended."""
        chance = self._chain.own()
        while await self._chain.comes_before(ends, _FAULT_S, chance):
            if not self._chain.is_open():
                continue
            faults: tuple[Callable[[SimulatedRegister, Random], Awaitable[None]], ...] = (
                self._killed,
                self._without_power,
                self._cut_off,
                self._on_a_bad_line,
                self._with_a_full_disk,
                self._with_a_failing_disk,
                self._with_a_wrong_clock,
                self._riddling,
            )
            await chance.choice(faults)(register, chance)

    async def _killed(self, register: SimulatedRegister, chance: Random) -> None:
        for _ in range(chance.randint(1, 5)):
            await register.die()
            await asyncio.sleep(chance.uniform(0.5, 30.0))
            register.start()
            await asyncio.sleep(chance.expovariate(1 / 3.0))

    async def _without_power(self, register: SimulatedRegister, chance: Random) -> None:
        await register.die(power=True)
        await asyncio.sleep(chance.uniform(30.0, 900.0))
        register.start()

    async def _cut_off(self, register: SimulatedRegister, chance: Random) -> None:
        self._chain.trace.note(register.machine.name, "has no network")
        register.machine.link.cut()
        await asyncio.sleep(chance.expovariate(1 / 3_600.0))
        register.machine.link.up = True

    async def _on_a_bad_line(self, register: SimulatedRegister, chance: Random) -> None:
        register.machine.link.bad = True
        await asyncio.sleep(chance.uniform(300.0, 3_600.0))
        register.machine.link.bad = False

    async def _with_a_full_disk(self, register: SimulatedRegister, chance: Random) -> None:
        self._chain.trace.note(register.machine.name, "has a full disk")
        register.machine.disk.full = True
        await asyncio.sleep(chance.uniform(60.0, 1_800.0))
        register.machine.disk.full = False

    async def _with_a_failing_disk(self, register: SimulatedRegister, chance: Random) -> None:
        """It fails now and then, while customers come."""
        self._chain.trace.note(register.machine.name, "has a failing disk")
        register.machine.disk.failing = True
        for _ in range(3):
            await asyncio.sleep(chance.uniform(30.0, 300.0))
            await self._chain.customer(register, chance)
        register.machine.disk.failing = False

    async def _with_a_wrong_clock(self, register: SimulatedRegister, chance: Random) -> None:
        """By hours, as of a wrong zone, or by years, as of an empty battery."""
        most_s = chance.choice((_SOON_S, _YEARS_S))
        self._chain.trace.note(register.machine.name, "has a wrong clock")
        register.machine.clock_off = timedelta(seconds=chance.uniform(-most_s, most_s))
        await asyncio.sleep(chance.uniform(60.0, 3_600.0))
        register.machine.clock_off = timedelta()

    async def _riddling(self, register: SimulatedRegister, chance: Random) -> None:
        """Among its sales it tells some that the centre cannot take in."""
        for _ in range(chance.randint(1, 4)):
            key = await register.riddle()
            self._chain.trace.note(register.machine.name, f"riddles {key}")
            if key is not None:
                self._chain.riddles[key] = register.machine.name
            await asyncio.sleep(chance.uniform(0.0, 900.0))

    async def _centre_trouble(self, ends: float) -> None:
        chance = self._chain.own()
        while await self._chain.comes_before(ends, _CENTRE_FAULT_S, chance):
            if not self._chain.is_open():
                continue
            match chance.choice(("down", "busy", "network")):
                case "down":
                    self._chain.trace.note("centre", "is down")
                    self._chain.centre.down = True
                    await asyncio.sleep(chance.uniform(30.0, 1_800.0))
                    self._chain.centre.down = False
                case "busy":
                    self._chain.centre.busy = True
                    await asyncio.sleep(chance.uniform(10.0, 300.0))
                    self._chain.centre.busy = False
                case _:
                    await self.without_network(for_s=chance.uniform(600.0, 3_600.0))

    async def without_network(self, *, for_s: float) -> None:
        """Everybody loses the network at once, and has it again at once."""
        self._chain.trace.note("network", "is gone")
        for register in self._chain.registers:
            register.machine.link.cut()
        await asyncio.sleep(for_s)
        self._chain.trace.note("network", "is back")
        self._chain.returns_of_network.append(self._chain.time())
        for register in self._chain.registers:
            register.machine.link.up = True

    async def _failing_disk(self, ends: float) -> None:
        """However short the run, one disk fails."""
        chance = self._chain.own()
        await asyncio.sleep(min(ends - self._chain.time(), CLOSES_S) * chance.uniform(0.1, 0.7))
        await self._with_a_failing_disk(chance.choice(self._chain.registers), chance)

    async def _erasing(self, ends: float) -> None:
        """A member wants to be forgotten while a register that knows them is off."""
        chance = self._chain.own()
        await asyncio.sleep((ends - self._chain.time()) * chance.uniform(0.2, 0.7))
        while not (known := [sold for sold in self._chain.sold if _is_of_old(sold)]):
            if not await self._chain.comes_before(ends, _KNOWN_S, chance):
                return
        sold = chance.choice(known)
        register = next(one for one in self._chain.registers if one.machine.name == sold.register.lstrip("c"))
        register.is_off = True
        await register.die(power=True)
        self._chain.people.erased.add(str(sold.member))
        self._chain.centre.erase(str(sold.member))
        await asyncio.sleep(chance.uniform(300.0, 1_800.0))
        register.is_off = False
        register.start()

    async def _clone_and_restore(self, ends: float) -> None:
        """One disk runs in two machines for a while; one register gets an old copy of its disk."""
        chance = self._chain.own()
        cloned, restored = chance.sample(self._chain.registers, 2)
        await asyncio.sleep(min(ends - self._chain.time(), CLOSES_S) * chance.uniform(0.2, 0.4))
        # A card that is on the page of a disk which is copied would be on the page of both.
        async with cloned.till, restored.till:
            await cloned.die()
            await restored.die()
            clone = self._chain.register(
                copied(
                    cloned.machine, self._chain.folder / "clone.db", f"c{cloned.machine.name}", self._chain.plan.calm
                )
            )
            backup = copied(restored.machine, self._chain.folder / "backup.db", "backup", self._chain.plan.calm)
        self._chain.clones.append(clone)
        for register in (cloned, restored, clone):
            register.start()
        self._chain.trace.note(cloned.machine.name, "runs twice")
        for _ in range(4):
            await asyncio.sleep(chance.uniform(300.0, 900.0))
            await self._chain.customer(clone, chance)
            await self._chain.customer(restored, chance, keen=True)
        # What is on the old disk alone would go with it, in a simulation as in a shop.
        await self._chain.until(restored, self._chain.is_drained)
        await restored.die()
        restored.machine.disk.path.write_bytes(backup.disk.path.read_bytes())
        restored.machine.disks += 1
        self._chain.trace.note(restored.machine.name, "gets an old disk")
        self._old_disk_is_in.set()
        restored.start()
        for _ in range(4):
            await asyncio.sleep(chance.uniform(30.0, 300.0))
            await self._chain.customer(restored, chance, keen=True)

    async def _restored_centre(self, ends: float) -> None:
        """In the second half of the run the centre loses its disk, and gets a backup of some time before."""
        chance = self._chain.own()
        left = ends - self._chain.time()
        await asyncio.sleep(left * chance.uniform(0.5, 0.6))
        # What went with a register's disk is with the centre alone: no backup may be without it.
        await self._old_disk_is_in.wait()
        backup = self._chain.folder / "backup of the centre"
        self._chain.centre.back_up(backup)
        await asyncio.sleep(left * chance.uniform(0.2, 0.3))
        self._chain.centre.restore(backup)


def _is_of_old(sold: Sold) -> bool:
    """Whether somebody bought who did not join at a till, and was surely on its page."""
    return sold.member is not None and sold.member.startswith("m") and not sold.unsure
