"""`tillside demo`: a whole shift in a shop, played on real processes, ports, terminals and files.

Owns playing the plan, saying what happens, and the final table. What must come out is worked out in
`agent.demo.plan`; what came out is read from the centre's ledger and from the registers' own pages.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from agent.demo.floor import Centre, ReceiptLine, Register, until
from agent.demo.network import Cable
from agent.demo.plan import REGISTERS, Phase, expected_entries, in_order, plan_shift
from agent.demo.processes import DemoError
from agent.demo.rewards import Counter, RewardRefusedError
from agent.demo.shop import BRAND, NEW_CARD, REWARD, REWARD_POINTS, sample_members
from agent.demo.tally import balances_in, overspent, promised_balances, redeemed, tally
from agent.demo.till import Printed, Till
from agent.inspection import StatusReport
from agent.view import PageState
from loyalty.identity import key_of, rs_purs

DONE, PROBLEM = 0, 1
# Nobody walks from one register to the other within the second that a receipt tells.
BETWEEN_PHASES_S = 1.0
# Between two customers: long enough to watch, or none where nobody does.
WATCHED_PAUSE_S = 0.35
DRAINED_WITHIN_S = 60.0
RETURN_ARRIVES_WITHIN_S = 30.0
# The centre plans every 2 s, and a register is told at once.
SAFE_WITHIN_S = 30.0
Balances = dict[str, tuple[int, int]]


class Figures(Struct, frozen=True, kw_only=True):
    """The table: what was heard and given, and every way in which it could be wrong."""

    receipts: int
    entries: int
    corrections: int
    points: int
    lost: int
    double: int
    balance_mismatch: int
    printed_differently: int
    redeemed: int
    refused: int
    overspent: int
    returns_that_waited: int
    not_receipts: int
    seconds: float

    @property
    def good(self) -> bool:
        wrong = self.lost or self.double or self.balance_mismatch or self.printed_differently or self.overspent
        return not wrong and (self.redeemed, self.refused) == (1, 1)


class Demo:
    """One run of the demonstration."""

    def __init__(self, folder: Path, say: Callable[[str], None], pause_s: float) -> None:
        self.folder = folder
        self._say = say
        self._pause_s = pause_s
        self._members = sample_members()
        self._shift = plan_shift(self._members)
        self._printed: dict[str, Printed] = {}
        self._returns_that_waited = 0
        self._refused = 0
        self._stack = AsyncExitStack()
        self.centre = Centre(folder)
        self.registers = {number: Register(number, folder) for number in REGISTERS}
        self._cables: dict[int, Cable] = {}
        self._tills = {number: Till(register, self._printed) for number, register in self.registers.items()}

    async def __aenter__(self) -> Demo:
        self._stack.push_async_callback(self.centre.close)
        self._say(f"The centre of “{BRAND}” starts, with {len(self._members)} members")
        await self.centre.open()
        for number, register in self.registers.items():
            self._cables[number] = await self._stack.enter_async_context(Cable(("127.0.0.1", self.centre.port)))
            self._stack.push_async_callback(register.close)
            await register.open(self.centre, self._cables[number])
            self._say(f"Register {number} is enrolled: scanner, printer relay and agent run")
        for register in self.registers.values():
            await self._until_members_are_there(register)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _until_members_are_there(self, register: Register) -> None:
        """A register may sell at once; the expected answer counts on its members."""
        await until(
            lambda: _members_held(register, len(self._members)),
            DRAINED_WITHIN_S,
            f"register {register.number} did not get its members",
        )

    # ---- the shift

    async def play(self) -> Figures:
        """Play every phase, let everything drain, and count."""
        started = asyncio.get_running_loop().time()
        for phase in self._shift.phases:
            await asyncio.sleep(BETWEEN_PHASES_S)
            self._say(phase.title)
            await self._happen(phase)
            async with asyncio.TaskGroup() as both:
                for till in self._tills.values():
                    both.create_task(self._play_at(till, phase))
        self._say("Everything drains")
        for register in self.registers.values():
            await self._until_drained(register)
        self._say("The unknown card turns out to belong to a member: its points are credited")
        await self.centre.run("members", "link", self._shift.new_member, NEW_CARD)
        seconds = asyncio.get_running_loop().time() - started
        return await self._count(seconds)

    async def _happen(self, phase: Phase) -> None:
        match phase.event:
            case "cut":
                await self._redeem_twice(phase)
            case "restore":
                await self._until_the_return_waits()
                self._cables[2].restore()
            case "kill":
                await self._kill_during_a_sale(self._tills[1], phase)
            case _:
                pass

    async def _play_at(self, till: Till, phase: Phase) -> None:
        done = {("kill", 1): 2, ("cut", 2): 1}.get((phase.event, till.register.number), 0)
        steps = [step for step in phase.steps if step.register == till.register.number]
        for step in steps[done:]:
            await till.serve(step)
            await asyncio.sleep(self._pause_s)

    async def _redeem_twice(self, phase: Phase) -> None:
        """A member has the points for one reward. Register 2 gives it without a network; register 1 tries, with one."""
        step = next(step for step in phase.steps if step.with_reward)
        here, there = (self.registers[number] for number in (2, 1))
        await self._tills[2].scan(step)
        try:
            await here.page_shows(_is_safe, SAFE_WITHIN_S)
        except TimeoutError as error:
            raise DemoError("register 2 was not granted the points that a member has; see centre/") from error
        self._cables[2].cut()
        first, second = Counter(here), Counter(there)
        await first.open(step)
        off = await first.redeem(REWARD)
        self._say(f"  … register 2 takes {off // 100} RSD off for {REWARD_POINTS} points that were set aside for it")
        await second.open(step)
        try:
            await second.redeem(REWARD)
        except RewardRefusedError as refused:
            if "register 12/2 holds" not in str(refused):  # refused for another reason, it shows nothing
                raise
            self._refused += 1
            self._say(f"  … register 1 tries the same points: “{refused}”")
        await second.void()
        await self._tills[2].print(step)

    async def _kill_during_a_sale(self, till: Till, phase: Phase) -> None:
        """The card is on the page, the agent dies, two customers are served, the agent comes back."""
        with_card, without = [step for step in phase.steps if step.register == 1][:2]
        await till.scan(with_card)
        await till.register.kill_agent()
        await till.print(with_card)
        await till.print(without)
        await till.register.start_agent()
        self._say("  … it is back, and finds in the spool what was printed meanwhile")

    async def _until_the_return_waits(self) -> None:
        async def waits() -> bool:
            self._returns_that_waited = await self.centre.waiting_returns()
            return self._returns_that_waited > 0

        await until(waits, RETURN_ARRIVES_WITHIN_S, "the return at register 1 did not reach the centre")
        self._say("  … the centre holds the return of a sale that it does not know yet")

    async def _until_drained(self, register: Register) -> None:
        expected = sum(1 for step in self._shift.steps if step.register == register.number and step.is_transaction)

        async def drained() -> bool:
            heard = sum(
                1
                for line in await self.centre.ledger()
                if isinstance(line, ReceiptLine) and self._is_of(line, register)
            )
            return heard >= expected and (await register.status()).queued == 0

        with contextlib.suppress(DemoError):  # what is missing is counted as lost
            await until(drained, DRAINED_WITHIN_S, f"register {register.number} did not drain")

    def _is_of(self, line: ReceiptLine, register: Register) -> bool:
        return line.number is not None and line.number.startswith(register.shop.fiscal_device)

    # ---- the count

    async def _count(self, seconds: float) -> Figures:
        ledger = await self.centre.ledger()
        keys = {name: key_of(rs_purs(printed.issued.number)) for name, printed in self._printed.items()}
        times = {name: printed.issued.issued_at for name, printed in self._printed.items()}
        transactions = in_order(self._shift.steps, times, keys)
        expected = expected_entries(transactions, self._members, self._shift.new_member)
        return Figures(
            **msgspec.structs.asdict(tally(ledger, self._shift.steps, expected, keys)),
            balance_mismatch=await self._wrong_balances(balances_in(ledger), promised_balances(expected)),
            printed_differently=sum(till.printed_differently() for till in self._tills.values()),
            redeemed=redeemed(ledger),
            refused=self._refused,
            overspent=overspent(ledger),
            returns_that_waited=self._returns_that_waited,
            not_receipts=sum(sum(status.ignored.values()) for status in await self._statuses()),
            seconds=round(seconds, 1),
        )

    async def _statuses(self) -> list[StatusReport]:
        return [await register.status() for register in self.registers.values()]

    async def _wrong_balances(self, held: Balances, promised: Balances) -> int:
        """Balances that are not the fold, not the promised ones, or not what the registers show."""
        wrong = {member for member in promised.keys() | held.keys() if promised.get(member) != held.get(member)}
        cards = {member.member: member.card for member in self._members}
        for register in self.registers.values():
            for member, balance in promised.items():
                if not await _shows_balance(register, cards[member], balance):
                    wrong.add(member)
        return len(wrong) + await self.centre.mismatches()


def _is_safe(page: PageState) -> bool:
    """Whether the cashier is told that the customer's reward is safe here, network or not."""
    member = page.customer.member if page.customer is not None else None
    return member is not None and member.safe_offline >= REWARD_POINTS


async def _members_held(register: Register, count: int) -> bool:
    return (await register.status()).members >= count


async def _shows_balance(register: Register, card: str, balance: tuple[int, int]) -> bool:
    """Whether the register comes to show this balance."""

    async def shows() -> bool:
        shown = (await register.member(card)).balance
        return (shown.confirmed, shown.pending) == balance

    with contextlib.suppress(DemoError):
        await until(shows, DRAINED_WITHIN_S, "")
        return True
    return False


def demo_command(*, once: bool, as_json: bool) -> int:
    """Play the shift. Exit codes: 0 every figure is right, 1 one is off or the demo could not run."""
    console = Console(stderr=as_json, highlight=False)
    folder = Path(tempfile.mkdtemp(prefix="tillside-demo-"))
    try:
        figures = asyncio.run(_demonstrate(folder, console, once=once, as_json=as_json))
    except DemoError as error:
        console.print(f"[red]{error}[/red]")
        return PROBLEM
    except KeyboardInterrupt:
        return DONE
    if figures.good:
        shutil.rmtree(folder)
        return DONE
    console.print(f"A figure is off; everything is kept in {folder}")
    return PROBLEM


async def _demonstrate(folder: Path, console: Console, *, once: bool, as_json: bool) -> Figures:
    def say(what: str) -> None:
        console.print(f"[dim]{datetime.now().astimezone():%H:%M:%S}[/dim]  {what}")

    async with Demo(folder, say, 0.0 if once else WATCHED_PAUSE_S) as demo:
        if not once:
            await _say_where(demo, console)
        figures = await demo.play()
        console.print(_table(figures))
        if as_json:
            sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")
            sys.stdout.flush()
        if not once:
            await _stay(demo, console)
    return figures


async def _say_where(demo: Demo, console: Console) -> None:
    for number, register in demo.registers.items():
        console.print(f"Cashier page of register {number} (opens once): {await register.open_link()}", soft_wrap=True)
    console.print(f"Admin pages (open once): {await demo.centre.admin_link()}", soft_wrap=True)


async def _stay(demo: Demo, console: Console) -> None:
    """Leave everything running, with its addresses, until Ctrl-C."""
    await _say_where(demo, console)
    console.print(f"Everything is in {demo.folder}. Ctrl-C ends the demonstration.", soft_wrap=True)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


def _table(figures: Figures) -> Table:
    table = Table(title="The shift", title_justify="left", show_header=False)
    for name, value in msgspec.structs.asdict(figures).items():
        table.add_row(name.replace("_", " "), str(value))
    table.add_row("ledger equals the expected answer", "yes" if figures.good else "NO")
    return table
