"""A simulated register: its cashier, what its printer spooled, and its agent, which may die at any await.

Owns what the agent's process does with scans and spooled receipts, by the real booking; the exchange with the centre is
the real loop. Printing goes on whatever becomes of the agent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final, TypeVar, cast

from msgspec import Struct

from agent.booking import Rules, book, checkout_of
from agent.desk import Desk, restored
from agent.inspection import NotFoundError
from agent.profiles import EditRequest, JoinRequest, MemberTold, Profiles
from agent.recognition import Recognition
from agent.scans import ScanIntake
from agent.view import PlaceView
from drivers.scanning.driver import ScanEvent
from loyalty.allowances import CannotSpendError, Draw, leased
from loyalty.instant import Instant
from loyalty.member import Member
from loyalty.program import Reward
from loyalty.receipt import Receipt
from sync.client import CentreClient
from sync.loop import LookedUp, SyncLoop
from sync.records import ConsentState
from sync.retry import Backoff
from sync.store.errors import StoreError
from sync.store.recovery import recovery_of, told
from sync.store.rows import KeptRedemption
from sync.store.salvage import salvage
from sync.store.store import Store
from sync.store.witness import witness_of
from sync.store.writing import Writing
from sync.wire import Wanted
from tests.simulation.centre import FACTS
from tests.simulation.disk import Disk, SimulatedStore
from tests.simulation.network import Link, SimulatedClient
from tests.simulation.trace import Trace

T = TypeVar("T")

_SPOOL: Final = "simulated spool"
# Less often than a supervisor does it: hours of a full disk are many of the same.
_STORE_RETRY_S: Final = 60.0
# A cashier scans again where a card did not come up.
_PATIENCE_S: Final = 5.0
# Kinds of entries that no centre can take in: of a later version, and one whose body is no such thing.
_RIDDLES: Final[tuple[Any, ...]] = ("riddle", "receipt", "profile")
_RECOGNITION: Final = Recognition(())


class Riddle(Struct, frozen=True, kw_only=True):
    """The body of an entry that is none of its kind."""

    answer: None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """A printed receipt, as it stands in the relay's spool."""

    receipt: Receipt
    captured: Instant


@dataclass(slots=True, kw_only=True)
class Machine:
    """What outlives the agent: its identity, its disk, the spool, the clock that the register goes by.

    `taken` is how many of the spool's receipts the agent said it has: those the relay does not keep.
    `disks` counts those that it has had.
    """

    name: str
    device: str
    disk: Disk
    link: Link
    spool: list[Spooled] = field(default_factory=list)
    taken: int = 0
    disks: int = 1
    boots: int = 0
    clock_off: timedelta = timedelta()

    @property
    def boot(self) -> str:
        return f"{self.name}-{self.boots}"


class SimulatedRegister:
    """One machine with its agent. One that is switched off does not start."""

    def __init__(
        self,
        machine: Machine,
        *,
        client: SimulatedClient,
        program_key: str,
        now: Callable[[], datetime],
        chance: Random,
        trace: Trace,
        open_store: Callable[..., SimulatedStore],
        backoff: Backoff,
    ) -> None:
        self.machine = machine
        self.client = client
        self._program_key = program_key
        self._now = now
        self._chance = chance
        self._trace = trace
        self._open_store = open_store
        self._backoff = backoff
        self._agent: asyncio.Task[None] | None = None
        self._loop: SyncLoop | None = None
        self._printed = asyncio.Event()
        self._desk: Desk | None = None
        self._intake: ScanIntake | None = None
        self.store: SimulatedStore | None = None
        self.is_off = False
        self.till = asyncio.Lock()

    # ---- the machine

    def wall(self) -> datetime:
        return self._now() + self.machine.clock_off

    def instant(self) -> Instant:
        return Instant(
            wall=self.wall(),
            boot=self.machine.boot,
            monotonic_ns=round(asyncio.get_running_loop().time() * 1_000_000_000),
        )

    def start(self) -> None:
        """The agent comes up, on whatever the disk holds."""
        if self._agent is None and not self.is_off:
            self._trace.note(self.machine.name, "starts")
            self._agent = asyncio.get_running_loop().create_task(self._run())

    async def die(self, *, power: bool = False) -> None:
        """The agent ends in the middle of whatever it does; with `power` the machine does."""
        if self._agent is None:
            return
        self._trace.note(self.machine.name, "power cut" if power else "killed")
        agent, self._agent = self._agent, None
        agent.cancel()
        await asyncio.wait({agent})
        if power:
            self.machine.boots += 1

    def look(self) -> None:
        """Raises what ended the agent, if it was neither killed nor switched off."""
        if self._agent is not None and self._agent.done():
            self._agent.result()

    # ---- the cashier

    def print(self, receipt: Receipt) -> None:
        """The POS prints, and the relay spools: it needs no agent."""
        self.machine.spool.append(Spooled(receipt=receipt, captured=self.instant()))
        self._printed.set()

    async def scan(self, code: str) -> bool | None:
        """A card is scanned: True once it is on the page and kept, False where nobody hears it, else None."""
        intake, agent, desk = self._intake, self._agent, self._desk
        if intake is None or agent is None or desk is None:
            return False
        event = ScanEvent(scan=_RECOGNITION.parse(code), at=self.instant(), reader="simulated")
        taking = asyncio.get_running_loop().create_task(_kept(intake, event))
        await asyncio.wait({taking, agent}, return_when=asyncio.FIRST_COMPLETED, timeout=_PATIENCE_S)
        if not taking.done() or taking.cancelled():
            taking.cancel()
            return None  # the agent ended in the middle of it
        shown = desk.serving()
        return True if taking.result() and shown is not None and shown.code == code else None

    async def riddle(self) -> str | None:
        """Something tells what no centre can take in; the key of the entry, None where it was not said to be kept."""
        key, kind = self._chance.randbytes(12).hex(), self._chance.choice(_RIDDLES)

        def tell(writing: Writing) -> str:
            return writing.append(kind, key, Riddle()).key

        return await self._kept(lambda store: store.write(tell))

    async def join(self, request: JoinRequest) -> MemberTold | None:
        """Somebody joins here; None where the page did not say so."""
        return await self._kept(lambda store: Profiles(cast("Store", store)).join(request, None))

    async def edit(self, code: str, request: EditRequest) -> MemberTold | None:
        """A member tells something of themselves; None where the page did not say that it is kept."""
        return await self._kept(lambda store: Profiles(cast("Store", store)).edit(code, request, None))

    def shows_consent(self, code: str, state: ConsentState) -> bool:
        """Whether the feed has told this register that whoever has this code said so; what was told here is no more."""
        member = self.store.member_by_code(code) if self.store is not None else None
        return member is not None and any(one.state == state and one.hlc for one in member.consents or ())

    async def _kept(self, work: Callable[[SimulatedStore], Coroutine[Any, Any, T]]) -> T | None:
        """What a piece of the agent's work gives; None where the agent ends before, or the store refuses."""
        store, agent = self.store, self._agent
        if store is None or agent is None:
            return None
        working = asyncio.get_running_loop().create_task(work(store))
        await asyncio.wait({working, agent}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done() or working.cancelled():
            working.cancel()
            return None
        try:
            return working.result()
        except (StoreError, NotFoundError, CannotSpendError):
            return None

    async def redeem(self, code: str, reward: Reward, sale: str, times: int) -> str | None:
        """A reward is chosen for the customer, so many at once: its id once it is on the page, None where it was not
        said to be."""

        def drawn(writing: Writing, member: Member) -> tuple[Draw, ...]:
            return writing.standing(member, is_sure=writing.is_sure()).drawn(reward, times * reward.points)

        return await self._reserve(code, reward, sale, drawn, times=times)

    async def show(self, code: str, voucher: str, reward: Reward, sale: str) -> str | None:
        """A voucher is shown for the customer, and the centre asked for it where it does not lie here."""

        def drawn(writing: Writing, _member: Member) -> tuple[Draw, ...]:
            leases, epoch = writing.leases(voucher), writing.live_epoch_id()
            return (Draw(allowance=leased(leases, epoch=epoch, is_sure=writing.is_sure()).allowance, points=1),)

        chosen = await self._reserve(code, reward, sale, drawn, voucher)
        if chosen is not None:
            return chosen
        await self._ask_for(code, voucher)
        return await self._reserve(code, reward, sale, drawn, voucher)

    async def _ask_for(self, code: str, voucher: str) -> None:
        """What the centre says shows in what then is there."""
        store, loop = self.store, self._loop
        member = store.member_by_code(code) if store is not None else None
        if member is not None and loop is not None:
            want = Wanted(member=member.member, points=1, voucher=voucher)
            await self._kept(lambda _store: loop.want(want))

    async def _reserve(
        self,
        code: str,
        reward: Reward,
        sale: str,
        drawn: Callable[[Writing, Member], tuple[Draw, ...]],
        voucher: str | None = None,
        *,
        times: int = 1,
    ) -> str | None:
        """The id of what is reserved for the sale; None where the page did not say that it is."""
        at, chosen = self.instant(), self._chance.randbytes(12).hex()

        def reserve(writing: Writing) -> str:
            member = writing.member_by_code(code)
            if member is None:
                raise CannotSpendError("not_enough", "not known here")
            one = KeptRedemption(
                id=chosen,
                sale=sale,
                member=member.member,
                reward=reward.id,
                times=times,
                points=times * reward.points,
                discount_minor=times * (reward.discount_minor or 0),
                draws=drawn(writing, member),
                at=at.wall,
                voucher=voucher,
                reserved=at,
            )
            writing.open_sale(sale, at, by_page=True)
            writing.reserve(one)
            return chosen

        return await self._kept(lambda store: store.write(reserve))

    # ---- the agent

    async def _run(self) -> None:
        store = self._open_store(self.machine.disk, clock=self.wall, randomness=self._chance.randbytes)
        self._desk = self._desk_of(store)
        self._intake = ScanIntake(
            store=cast("Store", store), desk=self._desk, lookup=self._lookup, guesses=lambda: _RECOGNITION.guesses
        )
        self.store, receipts_back = store, asyncio.Event()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._bring_back(store, receipts_back.set))
                tasks.create_task(self._read_spool(store, self._desk, receipts_back))
                tasks.create_task(self._exchange(store))
        finally:
            self.store, intake, self._intake, self._loop = None, self._intake, None, None
            await intake.close()
            store.close()

    def _desk_of(self, store: SimulatedStore) -> Desk:
        loop = asyncio.get_running_loop()

        def later(after_s: float, work: Callable[[], None]) -> asyncio.TimerHandle:
            return loop.call_later(after_s, lambda: None if store.closed else work())

        return Desk(
            language="en",
            place=PlaceView(store=None, register=self.machine.name),
            clock=self.instant,
            find_member=store.member_by_code,
            checkout=restored(checkout_of(store, self.machine.boot), self.instant()),
            schedule=later,
        )

    async def _lookup(self, code: str) -> LookedUp:
        return await self._loop.lookup(code) if self._loop is not None else LookedUp()

    async def _exchange(self, store: SimulatedStore) -> None:
        while True:
            loop = SyncLoop(
                store=cast("Store", store),
                client=cast("CentreClient", self.client),
                device=self.machine.device,
                program_key=self._program_key,
                facts=FACTS,
                clock=self.wall,
                chance=self._chance.random,
                changed=lambda state: None,
                configured=lambda config: None,
                mapped=lambda matcher: None,
                item_map=None,
                backoff=self._backoff,
                heartbeat_s=self.machine.link.heartbeat_s,
            )
            store.committed = lambda committed, loop=loop: loop.wake()  # type: ignore[misc]
            self._loop = loop
            try:
                await loop.run(lambda: None)
            except StoreError as error:
                self._trace.note(self.machine.name, f"exchange ended: {error}")
            await asyncio.sleep(_STORE_RETRY_S)

    async def _bring_back(self, store: SimulatedStore, receipts_back: Callable[[], None]) -> None:
        """What stands in a damaged file, if there is one; a disk that fails meanwhile is asked again."""
        was_damaged = store.salvaging()
        while store.salvaging():
            try:
                await salvage(cast("Store", store), receipts_back=receipts_back)
            except StoreError:
                await asyncio.sleep(_STORE_RETRY_S)
        receipts_back()
        recovery = recovery_of(store)
        if was_damaged and recovery is not None:
            self._trace.note(self.machine.name, told(recovery.recovered.salvaged))

    @staticmethod
    def place(store: SimulatedStore) -> int:
        """How many of the spool's receipts the store has."""
        return int(store.meta(_SPOOL) or 0)

    async def _read_spool(self, store: SimulatedStore, desk: Desk, receipts_back: asyncio.Event) -> None:
        """One receipt after the other; the place in the spool moves in the same transaction."""
        rules = Rules()
        await receipts_back.wait()
        while True:
            place = max(self.place(store), self.machine.taken)
            if place >= len(self.machine.spool):
                self._printed.clear()
                await self._printed.wait()
                continue
            spooled = self.machine.spool[place]

            def work(writing: Writing, spooled: Spooled = spooled, place: int = place) -> Any:
                booked = book(writing, spooled.receipt, spooled.captured, boot=self.machine.boot, rules=rules)
                writing.set_meta(_SPOOL, str(place + 1))
                return booked

            try:
                booked = await store.write(work)
            except StoreError:
                await asyncio.sleep(_STORE_RETRY_S)
                continue
            self.machine.taken = place + 1
            if booked.settlement is not None:
                desk.settled(booked.settlement)
            self._trace.note(
                self.machine.name,
                f"{booked.fate} {spooled.receipt.number} {booked.settlement and booked.settlement.code}",
            )


async def _kept(intake: ScanIntake, event: ScanEvent) -> bool:
    """Whether a scan is durable that was taken."""
    keeping = await intake.take(event)
    return keeping is not None and await keeping is not None


def number_of(register: SimulatedRegister) -> int:
    """That of a copy is the one of what was copied."""
    return int(register.machine.name.lstrip("rc"))


def copied(machine: Machine, path: Path, name: str, calm: float) -> Machine:
    """The same register once more: a disk that was copied while its agent was off."""
    path.write_bytes(machine.disk.path.read_bytes())
    if (witness := witness_of(machine.disk.path)).exists():
        witness_of(path).write_bytes(witness.read_bytes())
    return Machine(
        name=name,
        device=machine.device,
        disk=Disk(path=path, chance=machine.disk.chance),
        link=Link(calm),
        spool=list(machine.spool),
        taken=machine.taken,
        boots=machine.boots + 1_000,
        clock_off=machine.clock_off,
    )
