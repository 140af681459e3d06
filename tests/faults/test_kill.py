"""SIGKILL of the agent at random moments of a shift: nothing is lost, nothing counts twice."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from agent.demo.floor import Centre, ReceiptLine, Register, until
from agent.demo.network import Cable
from agent.demo.plan import Cashiers, Step, expected_entries, in_order
from agent.demo.shop import sample_members
from agent.demo.tally import balances_in, promised_balances, tally
from agent.demo.till import Printed, Till
from loyalty.identity import key_of, rs_purs
from tests.faults.figures import Figures, Tell

# Three hundred kills of an agent and its centre are tests.faults.test_killed_both. Here it is a process as systemd
# starts it, beside a relay and a POS that goes on printing, with returns, and every point is worked out apart.
KILLS = 20
# The agent lives for a random part of so many times what it took to come up, on whatever machine, until it is killed.
LIVES = 0.8
DRAINED_WITHIN_S = 60.0


class Shift:
    """One register that sells while its agent is killed again and again."""

    def __init__(self, register: Register, seed: int) -> None:
        self.register = register
        self.printed: dict[str, Printed] = {}
        self.till = Till(register, self.printed)
        self.steps: list[Step] = []
        self.kills = 0
        self._chance = random.Random(seed)
        self._cashiers = Cashiers(sample_members()[:40], seed)

    async def sell(self) -> None:
        """Sell until the last kill, with an occasional return of an earlier sale."""
        while self.kills < KILLS:
            sales = [step for step in self.steps if step.kind == "sale"]
            returned = {step.of for step in self.steps}
            if len(sales) > 5 and self._chance.random() < 0.1:
                again = [step for step in sales if step.name not in returned]
                step = self._cashiers.again("return", self._chance.choice(again), self.register.number)
            else:
                (step,) = self._cashiers.sales(self.register.number, 1)
            self.steps.append(step)
            await self.till.serve(step)

    async def kill(self) -> None:
        time = asyncio.get_running_loop().time
        lives_s = 0.0
        while self.kills < KILLS:
            await asyncio.sleep(self._chance.uniform(0, lives_s))
            await self.register.kill_agent()
            self.kills += 1
            began = time()
            await self.register.start_agent()
            lives_s = LIVES * (time() - began)


async def drained(centre: Centre, register: Register, transactions: int) -> bool:
    heard = sum(isinstance(line, ReceiptLine) for line in await centre.ledger())
    return heard >= transactions and (await register.status()).queued == 0


@pytest.mark.long
@pytest.mark.processes
@pytest.mark.timeout(600)
async def test_an_agent_killed_again_and_again_loses_and_doubles_nothing(tmp_path: Path, tell: Tell) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    members = sample_members()
    centre, register = Centre(tmp_path), Register(1, tmp_path)
    await centre.open()
    # A handful of members buy hundreds of times.
    await centre.run("limits", "set", "--cashier", "0", "--register", "0", "--card", "0", "--member", "0")
    async with Cable(("127.0.0.1", centre.port)) as cable:
        try:
            await register.open(centre, cable)
            shift = Shift(register, seed)
            async with asyncio.TaskGroup() as both:
                both.create_task(shift.sell())
                both.create_task(shift.kill())

            transactions = sum(step.is_transaction for step in shift.steps)
            await until(lambda: drained(centre, register, transactions), DRAINED_WITHIN_S, "not everything arrived")
            ledger = await centre.ledger()
            keys = {name: key_of(rs_purs(printed.issued.number)) for name, printed in shift.printed.items()}
            times = {name: printed.issued.issued_at for name, printed in shift.printed.items()}
            sold = in_order(shift.steps, times, keys)
            expected = expected_entries(sold, members, new_member=members[-1].member)
            found = tally(ledger, shift.steps, expected, keys)
            status = await register.status()

            tell(
                Figures(
                    row=2,
                    fault="the whole agent killed",
                    points=shift.kills,
                    acknowledged=transactions,
                    lost=found.lost,
                    double=found.double,
                )
            )
            assert shift.kills == KILLS
            assert (found.receipts, found.lost, found.double) == (transactions, 0, 0)
            assert balances_in(ledger) == promised_balances(expected)
            assert await centre.mismatches() == 0
            assert shift.till.printed_differently() == 0
            assert (status.quarantined, status.recovered) == (0, None)
        finally:
            await register.close()
            await centre.close()
