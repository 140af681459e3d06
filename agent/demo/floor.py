"""The demo's shop floor: a centre, and registers with scanner, printer, relay and agent.

Owns starting the real commands with the settings an operator would write, and a view of each cashier
page through the register's own API. Never looks into a store or a database.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

import aiohttp
import msgspec
from msgspec import Struct

from agent.cli.connection import RunningAgent
from agent.control import Control, read_control
from agent.demo.network import Cable
from agent.demo.pos import Shop, VirtualPos
from agent.demo.printer import VirtualPrinter
from agent.demo.processes import DemoError, Process, run_lines, run_once
from agent.demo.scanner import VirtualScanner
from agent.demo.shop import (
    BRAND,
    CURRENCY,
    NEW_CARD,
    STORE,
    TIME_ZONE,
    members_file,
    sample_items,
    sample_members,
    sample_program,
    sample_rules,
)
from agent.inspection import StatusReport
from agent.view import PageState
from loyalty.member import Member, ending_of

SHOWN_WITHIN_S = 1.0
# A cashier would not; on a loaded machine an agent that is killed and started again may take as long.
SCANS_TRIED = 60
RECONNECT_AFTER_S = 0.05
ASK_AGAIN_S = 0.1
CENTRE, AGENT = "tillside-central", "tillside"


class Alive(Struct, frozen=True, tag_field="type", tag="alive"):
    """The register's sign of life between states."""


class CentreAddresses(Struct, frozen=True, kw_only=True):
    """The centre's ready line."""

    device_api: str
    admin: str


class ReceiptLine(Struct, frozen=True, kw_only=True, tag_field="type", tag="receipt"):
    """A transaction as `tillside-central ledger export` prints it."""

    key: str
    number: str | None
    member: str | None
    state: str


class EntryLine(Struct, frozen=True, kw_only=True, tag_field="type", tag="entry"):
    """A ledger entry as the export prints it."""

    member: str
    receipt: str
    rule: str
    points: int


class BalanceLine(Struct, frozen=True, kw_only=True, tag_field="type", tag="balance"):
    """A balance as the export prints it."""

    member: str
    confirmed: int
    pending: int


LedgerLine = ReceiptLine | EntryLine | BalanceLine


class LedgerCheck(Struct, frozen=True, kw_only=True):
    """What `tillside-central ledger check` prints, as far as the demo needs it."""

    waiting: int
    balance_mismatch: tuple[object, ...] = ()


class Centre:
    """The platform of the sample shop."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "centre"
        self._folder = folder
        self._process = Process("tillside-central", [CENTRE, "serve", "--data", str(self._data), "--json"], folder)
        self.addresses = CentreAddresses(device_api="", admin="")

    async def open(self) -> None:
        """Make it, load the sample shop and serve."""
        members, program = self._folder / "members.json", self._folder / "program.json"
        rules, items = self._folder / "rules.toml", self._folder / "items.toml"
        members.write_bytes(members_file(sample_members()))
        program.write_bytes(sample_program())
        rules.write_bytes(sample_rules())
        items.write_bytes(sample_items())
        local = "127.0.0.1:0"
        await self.run("init", "--listen", local, "--admin", local, "--brand", BRAND)
        await self.run("scopes", "set", "everything")
        await self.run("members", "import", str(members))
        await self.run("program", "publish", str(program))
        await self.run("identification", "publish", str(rules))
        await self.run("items", "publish", str(items))
        self.addresses = msgspec.convert(await self._process.start(), CentreAddresses)

    @property
    def port(self) -> int:
        return int(self.addresses.device_api.rpartition(":")[2])

    async def run(self, *command: str) -> dict[str, object]:
        """One `tillside-central` command."""
        return await run_once(CENTRE, *command, "--data", str(self._data))

    async def admin_link(self) -> str:
        return str((await self.run("open"))["open"])

    async def enrolment_code(self, register: int, url: str) -> str:
        created = await self.run("enrolment", "create", "--store", STORE, "--register", str(register), "--url", url)
        return str(created["code"])

    async def waiting_returns(self) -> int:
        return msgspec.convert(await self.run("ledger", "check"), LedgerCheck).waiting

    async def mismatches(self) -> int:
        return len(msgspec.convert(await self.run("ledger", "check"), LedgerCheck).balance_mismatch)

    async def ledger(self) -> list[LedgerLine]:
        lines = await run_lines(CENTRE, "ledger", "export", "--data", str(self._data))
        return [msgspec.json.decode(line, type=LedgerLine) for line in lines]

    async def close(self) -> None:
        await self._process.stop()


class Register:
    """One register: everything on and under its counter."""

    def __init__(self, number: int, folder: Path) -> None:
        self.number = number
        self.folder = folder / f"register-{number}"
        self.folder.mkdir()
        self.shop = Shop(
            store=STORE,
            register=str(number),
            tin="109876543",
            company=f"{BRAND.upper()} D.O.O.",
            location_id=f"12000{number}",
            location=f"{BRAND} Dorćol",
            address="Kneginje Ljubice 7",
            city="Beograd-Stari grad",
            fiscal_device=f"SAV3TE0{number}",
        )
        self.printer = VirtualPrinter()
        self.scanner = VirtualScanner(self.folder / "scanner")
        self.settings = self.folder / "tillside.toml"
        self._relay: Process | None = None
        self._agent = Process(
            f"tillside run (register {number})", [AGENT, "run", "--config", str(self.settings), "--json"], self.folder
        )
        self._pos: VirtualPos | None = None
        self._page: PageState | None = None
        self._page_changed = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    async def open(self, centre: Centre, cable: Cable) -> None:
        """Plug everything in, enrol through `cable` and start the agent."""
        await self.printer.switch_on()
        self.scanner.plug_in()
        spool = self.folder / "spool"
        relay = ["relay", "--listen", "127.0.0.1:0", "--printer", self.printer.address, "--spool", str(spool)]
        self._relay = Process(
            f"tillside relay (register {self.number})",
            [AGENT, *relay, "--register", str(self.number), "--json"],
            self.folder,
        )
        self._pos = VirtualPos(str((await self._relay.start())["listening"]))
        self.settings.write_text(self._toml(spool))
        code = await centre.enrolment_code(self.number, f"https://127.0.0.1:{cable.port}")
        await run_once(AGENT, "enroll", code, "--config", str(self.settings))
        await self.start_agent()
        self._watching = asyncio.create_task(self._watch())

    def _toml(self, spool: Path) -> str:
        return f"""\
[register]
store = "{STORE}"
register = "{self.number}"
currency = "{CURRENCY}"
time_zone = "{TIME_ZONE}"

[paths]
state = "{self.folder / "state"}"

[page]
port = {_free_port()}

[[scanners]]
name = "counter"
port = "{self.scanner.port}"

[[receipts]]
name = "printer"
spool = "{spool}"
"""

    async def start_agent(self) -> None:
        await self._agent.start()

    async def kill_agent(self) -> None:
        await self._agent.kill()

    async def open_link(self) -> str:
        """A one-time address of the cashier page, as `tillside open` makes it."""
        return str((await run_once(AGENT, "open", "--print", "--config", str(self.settings)))["url"])

    async def status(self) -> StatusReport:
        """What `tillside status` says."""
        return await asyncio.to_thread(self._running().status)

    async def member(self, code: str) -> Member:
        """The member as this register holds them."""
        return await asyncio.to_thread(self._running().member, code)

    def _running(self) -> RunningAgent:
        control = self._control()
        if control is None:
            raise self._is_away()
        return RunningAgent(control)

    @property
    def api(self) -> tuple[str, dict[str, str]]:
        """Where the register's own API is, and how one says that one may ask. Raises DemoError."""
        control = self._control()
        if control is None:
            raise self._is_away()
        return f"http://{control.host}:{control.port}", {"Authorization": f"Bearer {control.token}"}

    def _is_away(self) -> DemoError:
        return DemoError(f"the agent of register {self.number} does not run; see {self._agent.log}")

    def _control(self) -> Control | None:
        return read_control(self.folder / "state")

    # What the people at the register do

    async def scan(self, card: str) -> None:
        """Scan a card until the page shows it, as a cashier does. Raises DemoError when it never does.

        Of several scans those that nobody read by then are taken back: read later, they would be the next customer's.
        """
        for _ in range(SCANS_TRIED):
            self.scanner.scan(card, aim="]C0")
            with contextlib.suppress(TimeoutError):
                await self.page_shows(lambda page: _shows(page, card), SHOWN_WITHIN_S)
                self.scanner.take_back()
                return
        raise DemoError(f"register {self.number} did not show a scanned card; see {self._agent.log}")

    async def print(self, job: bytes) -> None:
        """Print through the relay. Raises ConnectionError where the printer does not confirm."""
        if self._pos is None:
            raise DemoError(f"register {self.number} is not open")
        await self._pos.send(job)

    # What its page shows

    @property
    def page(self) -> PageState | None:
        """The newest state of the cashier page; None while the agent is away."""
        return self._page

    async def page_shows(self, condition: Callable[[PageState], bool], within_s: float) -> PageState:
        """Wait for a state of the page. Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            while self._page is None or not condition(self._page):
                self._page_changed.clear()
                await self._page_changed.wait()
            return self._page

    async def _watch(self) -> None:
        """Follow the page over every restart of the agent."""
        async with aiohttp.ClientSession() as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError, OSError):
                    await self._follow(session)
                self._page = None
                await asyncio.sleep(RECONNECT_AFTER_S)

    async def _follow(self, session: aiohttp.ClientSession) -> None:
        control = self._control()
        if control is None:
            return
        url = f"http://{control.host}:{control.port}/v1/page"
        headers = {"Authorization": f"Bearer {control.token}"}
        async with session.ws_connect(url, headers=headers) as events:
            async for message in events:
                told = msgspec.json.decode(message.data, type=PageState | Alive)
                if isinstance(told, PageState):
                    self._page = told
                    self._page_changed.set()

    async def close(self, how: Literal["stop", "kill"] = "stop") -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        for process in (self._agent, self._relay):
            if process is not None:
                await (process.stop() if how == "stop" else process.kill())
        self.scanner.unplug()
        await self.printer.switch_off()


async def until(condition: Callable[[], Awaitable[bool]], within_s: float, otherwise: str) -> None:
    """Ask until the answer is yes. Raises DemoError with `otherwise`."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not await condition():
        if asyncio.get_running_loop().time() > deadline:
            raise DemoError(otherwise)
        await asyncio.sleep(ASK_AGAIN_S)


def _shows(page: PageState, card: str) -> bool:
    """Whether this card is the customer now, as one who knows the customers would see it.

    What the last sale gave still names the customer before; and half a code, read by an agent that came
    up in the middle of it, looks like a new card.
    """
    customer = page.customer
    if customer is None or (page.sale is not None and page.sale.current):
        return False
    standing = "unknown" if card == NEW_CARD else "known"
    return (customer.standing, customer.ending) == (standing, ending_of(card))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
