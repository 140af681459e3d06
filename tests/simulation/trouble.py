"""What goes wrong in a simulated chain by chance, and when: at each register, at the centre, with its network.

Owns these faults, drawn from the chain's seed, and which of all that can go wrong a run has. What goes wrong in every
run is `tests.simulation.histories`', what is sold meanwhile `tests.simulation.chain`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from datetime import timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Final

from tests.simulation.histories import CLOSES_S, DAY_S, HISTORIES, History, failing_disk, riddling
from tests.simulation.network import BAD_LINE, FINE
from tests.simulation.register import SimulatedRegister

if TYPE_CHECKING:
    from tests.simulation.chain import Chain

# Seconds between two things that go wrong at a register, and at the centre.
_FAULT_S: Final = 5_400.0
_CENTRE_FAULT_S: Final = 7_200.0
# How long before the end of a run everybody has their network back.
_AFTER_OUTAGE_S: Final = 600.0
_SOON_S: Final = 7_200.0
_YEARS_S: Final = 10 * 366 * DAY_S


# What happens to a register, and to the centre, now and then; and the network that is gone once for all.
_REGISTERS, _CENTRE, NETWORK = "registers", "centre", "network"
ALL_AT_ONCE: Final = frozenset({_REGISTERS, _CENTRE, *HISTORIES})


class Trouble:
    """What goes wrong in one run: what its plan says of ALL_AT_ONCE, or the NETWORK alone."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def going(self, ends: float) -> Iterator[Coroutine[Any, Any, None]]:
        troubles = self._chain.plan.troubles
        if _REGISTERS in troubles:
            for register in self._chain.registers:
                yield self._trouble(register, ends)
                yield self._night(register, ends)
        if _CENTRE in troubles:
            yield self._centre_trouble(ends)
        if NETWORK in troubles:
            yield self._without_network(for_s=ends - self._chain.time() - _AFTER_OUTAGE_S)
        for name, history in HISTORIES.items():
            if name in troubles:
                yield history(History(self._chain, ends))

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
            faults: tuple[Callable[[SimulatedRegister, Random], Awaitable[object]], ...] = (
                self._killed,
                self._without_power,
                self._cut_off,
                self._on_a_bad_line,
                self._with_a_full_disk,
                partial(failing_disk, self._chain),
                self._with_a_wrong_clock,
                partial(riddling, self._chain),
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
        register.machine.link.fates = BAD_LINE
        await asyncio.sleep(chance.uniform(300.0, 3_600.0))
        register.machine.link.fates = FINE

    async def _with_a_full_disk(self, register: SimulatedRegister, chance: Random) -> None:
        self._chain.trace.note(register.machine.name, "has a full disk")
        register.machine.disk.full = True
        await asyncio.sleep(chance.uniform(60.0, 1_800.0))
        register.machine.disk.full = False

    async def _with_a_wrong_clock(self, register: SimulatedRegister, chance: Random) -> None:
        """By hours, as of a wrong zone, or by years, as of an empty battery."""
        most_s = chance.choice((_SOON_S, _YEARS_S))
        self._chain.trace.note(register.machine.name, "has a wrong clock")
        register.machine.clock_off = timedelta(seconds=chance.uniform(-most_s, most_s))
        await asyncio.sleep(chance.uniform(60.0, 3_600.0))
        register.machine.clock_off = timedelta()

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
                    await self._without_network(for_s=chance.uniform(600.0, 3_600.0))

    async def _without_network(self, *, for_s: float) -> None:
        """Everybody loses the network at once, and has it again at once."""
        self._chain.trace.note("network", "is gone")
        for register in self._chain.registers:
            register.machine.link.cut()
        await asyncio.sleep(for_s)
        self._chain.trace.note("network", "is back")
        self._chain.returns_of_network.append(self._chain.time())
        for register in self._chain.registers:
            register.machine.link.up = True
